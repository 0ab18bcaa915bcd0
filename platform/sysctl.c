/* SPDX-License-Identifier: MIT */
/* sysctl.c - single numbers below /proc/sys. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/sys.h"

static int sysctl_open(const char *path, int flags)
{
	char full[128];
	int fd;

	if ((size_t)snprintf(full, sizeof(full), "/proc/sys/%s", path) >= sizeof(full))
		return -ENAMETOOLONG;
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sysctl_read(const char *path, uint32_t *value)
{
	int fd = sysctl_open(path, O_RDONLY);
	char buf[32], *end;
	unsigned long v;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n <= 0)
		return n ? (int)n : -EIO;
	buf[n] = '\0';
	errno = 0;
	v = strtoul(buf, &end, 10);
	if (errno || end == buf || (*end && *end != '\n') || v > UINT32_MAX)
		return -EINVAL;
	*value = (uint32_t)v;
	return 0;
}

int sysctl_write(const char *path, uint32_t value)
{
	int fd = sysctl_open(path, O_WRONLY), err = 0, n;
	char buf[16];

	if (fd < 0)
		return fd;
	n = snprintf(buf, sizeof(buf), "%u\n", value);
	if (write(fd, buf, (size_t)n) != n)
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}
