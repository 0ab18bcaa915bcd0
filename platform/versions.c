/* SPDX-License-Identifier: MIT */
/* versions.c - one number a file, replaced by rename */
#include "platform/versions.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBER_MAX	24	/* bytes: 20 digits, LF, NUL */
#define NAME_MAX_	64	/* bytes of a name here, with NUL */

/* STATE_DIR/versions; made when @make.  Descriptor or negative errno */
static int open_dir(const char *state_dir, bool make)
{
	int state = open(state_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC), fd;

	if (state < 0)
		return -errno;
	if (make && mkdirat(state, VERSIONS_DIR, 0700) < 0 && errno != EEXIST)
		fd = -errno;
	else
		fd = openat(state, VERSIONS_DIR, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		fd = -errno;
	close(state);
	return fd;
}

int versions_read(const char *state_dir, const char *stem, uint64_t *version)
{
	int dir = open_dir(state_dir, false), fd;
	char text[NUMBER_MAX], *end;
	uint64_t v;
	ssize_t n;

	if (dir < 0) {
		if (dir == -ENOENT)
			*version = 0;
		return dir == -ENOENT ? 0 : dir;
	}
	fd = openat(dir, stem, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	n = fd < 0 ? -errno : read(fd, text, sizeof(text) - 1);
	if (fd >= 0) {
		n = n < 0 ? -errno : n;
		close(fd);
	}
	close(dir);
	if (n == -ENOENT) {
		*version = 0;
		return 0;
	}
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	if (text[0] < '0' || text[0] > '9')
		return -EBADMSG;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || strcmp(end, "\n") != 0)
		return -EBADMSG;
	*version = v;
	return 0;
}

static int write_number(int dir, const char *name, uint64_t version)
{
	char text[NUMBER_MAX];
	int len = snprintf(text, sizeof(text), "%" PRIu64 "\n", version), fd, err = 0;

	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, (size_t)len) != len || fsync(fd) < 0)
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}

int versions_write(const char *state_dir, const char *stem, uint64_t version)
{
	int dir = open_dir(state_dir, true), err;
	char tmp[NAME_MAX_];

	if (dir < 0)
		return dir;
	snprintf(tmp, sizeof(tmp), ".%s", stem);	/* no profile has such a name */
	err = write_number(dir, tmp, version);
	if (!err && (renameat(dir, tmp, dir, stem) < 0 || fsync(dir) < 0))
		err = -errno;
	close(dir);
	return err;
}
