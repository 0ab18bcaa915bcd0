/* SPDX-License-Identifier: MIT */
/*
 * install.c - what is kept goes into the profile folder, for that is what the
 * next connect shall find.  The folder is others' to write to at any moment: a
 * file that was delivered while the one that is kept was still tried is newer,
 * and is not written over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/daemon.h"

#define COPY		16384
#define MARK_NONE	0x00	/* in place of a hash, in each byte: there is no file */
#define MARK_UNFIT	0xff	/* one that is not read: its owner, mode, kind or size */
#define MARK_WRITTEN	0xfe	/* one that somebody is writing: never the same again */

static bool is_mark(const uint8_t mark[SHA256_LEN], uint8_t what)
{
	for (int i = 0; i < SHA256_LEN; i++) {
		if (mark[i] != what)
			return false;
	}
	return true;
}

void install_mark(const struct daemon *d, const char *stem, uint8_t mark[SHA256_LEN])
{
	struct parse_input in;
	char why[512];
	int err = parse_open(d, stem, &in, why, sizeof(why));

	if (!err) {
		err = sha256_fd(in.text, FILES_PROFILE_MAX, mark);
		parse_close(&in);
	}
	if (err)
		memset(mark, err == -ENOENT ? MARK_NONE : err == -ETXTBSY ? MARK_WRITTEN :
		       MARK_UNFIT, SHA256_LEN);
}

bool install_delivered(const struct daemon *d, const char *stem, const uint8_t mark[SHA256_LEN],
		       const uint8_t sum[SHA256_LEN])
{
	uint8_t now[SHA256_LEN];

	install_mark(d, stem, now);
	if (is_mark(now, MARK_NONE))
		return false;
	return is_mark(now, MARK_WRITTEN) ||
	       (memcmp(now, mark, SHA256_LEN) != 0 && memcmp(now, sum, SHA256_LEN) != 0);
}

static int copy_to(int from, int to)
{
	char buf[COPY];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(from, buf, sizeof(buf), at)) > 0) {
		if (write(to, buf, (size_t)n) != n)
			return -EIO;
		at += n;
	}
	if (n < 0 || fchmod(to, 0644) < 0 || fsync(to) < 0)
		return -errno;
	return 0;
}

int install_text(const struct daemon *d, const char *stem, int text, bool is_signed,
		 const uint8_t sum[SHA256_LEN], const uint8_t mark[SHA256_LEN])
{
	char name[FILES_STEM_MAX + 8], tmp[FILES_STEM_MAX + 8];
	int dir, fd, err;

	snprintf(name, sizeof(name), "%s.%s", stem, is_signed ? "p7m" : "ini");
	snprintf(tmp, sizeof(tmp), ".%s.new", stem);
	dir = open(d->o.profile_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	(void)unlinkat(dir, tmp, 0);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	err = fd < 0 ? -errno : copy_to(text, fd);
	if (fd >= 0)
		close(fd);
	/* looked at last: what comes between this and the rename came at the same moment */
	if (!err && install_delivered(d, stem, mark, sum))
		err = -EEXIST;
	if (!err && renameat(dir, tmp, dir, name) < 0)
		err = -errno;
	if (!err && fsync(dir) < 0)
		err = -errno;
	if (err)
		(void)unlinkat(dir, tmp, 0);
	close(dir);
	return err;
}
