/* SPDX-License-Identifier: MIT */
/*
 * netmon.c - hear from the kernel that the machine stands in another network:
 * an address or a default route came or went.  What we do ourselves (our
 * TUNs, our routes) does not count.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/daemon.h"

#define NETMON_BUF	32768	/* bytes: the most that the kernel puts into one datagram */
#define NETMON_DATAGRAMS	64	/* in one turn: a routing daemon may have a lot to say */

int netmon_open(void)
{
	struct sockaddr_nl nl = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			     RTMGRP_IPV6_ROUTE,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), err;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&nl, sizeof(nl)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/*
 * A TUN's last messages are read when it has no name any more, so the indexes
 * of the latest ones are kept.
 */
static bool ours(unsigned int ifindex)
{
	static unsigned int kept[2 * NAMES_MAX_PROFILES], next;
	const unsigned int n = sizeof(kept) / sizeof(kept[0]);
	char name[IF_NAMESIZE];
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (kept[i] == ifindex)
			return true;
	}
	if (!if_indextoname(ifindex, name) ||
	    strncmp(name, NAMES_TUN_STEM, sizeof(NAMES_TUN_STEM) - 1) != 0)
		return false;
	kept[next++ % n] = ifindex;
	return true;
}

static bool counts(struct nlmsghdr *h)
{
	const struct ifaddrmsg *a = NLMSG_DATA(h);
	const struct rtmsg *r = NLMSG_DATA(h);

	switch (h->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*a)) && !ours(a->ifa_index);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*r)) && !r->rtm_dst_len &&
		       r->rtm_table == RT_TABLE_MAIN && r->rtm_protocol != NAMES_ROUTE_PROTO;
	}
	return false;
}

bool netmon_read(int fd)
{
	_Alignas(struct nlmsghdr) char buf[NETMON_BUF];
	int left_to_read = NETMON_DATAGRAMS;
	bool changed = false;
	struct nlmsghdr *h;
	ssize_t n = 0;

	while (left_to_read-- && (n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		size_t left = (size_t)n;

		for (h = (struct nlmsghdr *)buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
			changed |= counts(h);
	}
	return changed || (n < 0 && errno == ENOBUFS);	/* some were lost: assume so */
}
