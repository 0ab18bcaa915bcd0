/* SPDX-License-Identifier: MIT */
/* tun.c - create the TUN: not persistent, so it dies with its last descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "platform/sys.h"

#define VNET_HDR_LEN	10	/* virtio header without num_buffers */
#define OFFLOAD_USO	0x60u	/* TUN_F_USO4 | TUN_F_USO6, Linux 6.2; a pair */
#define OFFLOAD_TSO	(TUN_F_TSO4 | TUN_F_TSO6)

/* the best that this kernel takes; without any, packets merely stay small */
static void set_offload(int fd)
{
	static const unsigned int ladder[] = {
		TUN_F_CSUM | OFFLOAD_TSO | OFFLOAD_USO, TUN_F_CSUM | OFFLOAD_TSO, TUN_F_CSUM, 0
	};

	for (size_t i = 0; i < sizeof(ladder) / sizeof(*ladder); i++)
		if (!ioctl(fd, TUNSETOFFLOAD, (unsigned long)ladder[i]))
			return;
}

static int open_as(const struct plan_names *n, bool vnet_hdr, int *out)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int size = VNET_HDR_LEN, fd, err;

	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* TUN_EXCL: never attach to a device that stands there already */
	r.ifr_flags |= (short)(IFF_TUN_EXCL | (vnet_hdr ? IFF_VNET_HDR : 0));
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", n->tun);
	if (ioctl(fd, TUNSETIFF, &r) || (vnet_hdr && ioctl(fd, TUNSETVNETHDRSZ, &size))) {
		err = -errno;
		close(fd);
		return err;
	}
	if (vnet_hdr)
		set_offload(fd);
	*out = fd;
	return 0;
}

int tun_open(const struct plan_names *n, int *fd, bool *vnet_hdr)
{
	bool with = !n->no_vnet_hdr;
	int err = open_as(n, with, fd);

	if (err == -EINVAL && with) {
		with = false;
		err = open_as(n, false, fd);
	}
	if (!err)
		*vnet_hdr = with;
	return err;
}
