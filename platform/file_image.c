/* SPDX-License-Identifier: MIT */
/* file_image.c - a file or link as a whole, read and replaced */
#include "platform/file_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profiles/profile.h"

void image_free(struct image *i)
{
	free(i->data);
	i->data = NULL;
}

int image_read_fd(int fd, char **data, size_t *len)
{
	char *buf = malloc(IMAGE_MAX + 2);
	size_t got = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while ((n = read(fd, buf + got, IMAGE_MAX + 1 - got)) > 0)
		got += (size_t)n;
	if (n < 0 || got > IMAGE_MAX) {
		n = n < 0 ? -errno : -EFBIG;
		free(buf);
		return (int)n;
	}
	buf[got] = '\0';
	*data = buf;
	*len = got;
	return 0;
}

int image_write_fd(int fd, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, data + done, len - done, (off_t)done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int read_target(const char *path, char **data, size_t *len)
{
	char target[PROFILE_PATH_MAX + 1];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n < 0 || (size_t)n == sizeof(target))
		return n < 0 ? -errno : -ENAMETOOLONG;
	*data = strndup(target, (size_t)n);
	*len = (size_t)n;
	return *data ? 0 : -ENOMEM;
}

int image_read(const char *path, struct image *out)
{
	struct image i = { .kind = IMAGE_NONE };
	struct stat st;
	int fd, err = 0;

	if (lstat(path, &st)) {
		if (errno != ENOENT)
			return -errno;
		i.data = strdup("");
		if (!i.data)
			return -ENOMEM;
	} else if (S_ISLNK(st.st_mode)) {
		i.kind = IMAGE_LINK;
		err = read_target(path, &i.data, &i.len);
	} else if (S_ISREG(st.st_mode)) {
		i.kind = IMAGE_FILE;
		i.mode = st.st_mode & 07777;
		i.uid = st.st_uid;
		i.gid = st.st_gid;
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		err = image_read_fd(fd, &i.data, &i.len);
		close(fd);
	} else {
		return -EINVAL;
	}
	if (err)
		image_free(&i);
	else
		*out = i;
	return err;
}

static void dir_sync(const char *path)
{
	char dir[PROFILE_PATH_MAX];
	char *slash;
	int fd;

	if ((size_t)snprintf(dir, sizeof(dir), "%s", path) >= sizeof(dir))
		return;
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
}

/* a bind mount cannot be renamed over, and its folder may be read-only */
static bool wants_in_place(int err)
{
	return err == -EBUSY || err == -EXDEV || err == -EROFS;
}

static int write_in_place(const char *path, const struct image *i)
{
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC), err;
	struct stat st;

	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	if (!err)
		err = image_write_fd(fd, i->data, i->len);
	if (!err && (ftruncate(fd, (off_t)i->len) || fsync(fd)))
		err = -errno;
	close(fd);
	return err;
}

static int make_file(const char *tmp, const struct image *i)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return -errno;
	err = image_write_fd(fd, i->data, i->len);
	/* the mode first: a file that is given away is no longer ours to change */
	if (!err && (fchmod(fd, i->mode) || fchown(fd, i->uid, i->gid) || fsync(fd)))
		err = -errno;
	close(fd);
	return err;
}

/* the name beside @path under which the new file is made; false: too long */
static bool tmp_name(char *buf, size_t size, const char *path, const char *stem)
{
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash - path) + 1 : 0;

	return (size_t)snprintf(buf, size, "%.*s.apptunnel.%s.tmp", dir, path, stem) < size;
}

int image_write(const char *path, const char *stem, const struct image *i)
{
	char tmp[PROFILE_PATH_MAX + 64];
	int err = 0;

	if (i->kind == IMAGE_NONE) {
		if (unlink(path) && errno != ENOENT)
			return -errno;
		dir_sync(path);
		return 0;
	}
	if (!tmp_name(tmp, sizeof(tmp), path, stem))
		return -ENAMETOOLONG;
	(void)unlink(tmp);
	if (i->kind == IMAGE_LINK)
		err = symlink(i->data, tmp) ? -errno : 0;
	else
		err = make_file(tmp, i);
	if (!err && rename(tmp, path))
		err = -errno;
	if (!err) {
		dir_sync(path);
		return 0;
	}
	(void)unlink(tmp);
	return i->kind == IMAGE_FILE && wants_in_place(err) ? write_in_place(path, i) : err;
}

void image_forget_half(const char *path, const char *stem)
{
	char tmp[PROFILE_PATH_MAX + 64];

	if (tmp_name(tmp, sizeof(tmp), path, stem))
		(void)unlink(tmp);
}
