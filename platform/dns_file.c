/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* memfd_create */
#endif
#include "platform/dns_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/names.h"
#include "profiles/profile.h"

#define SUFFIX		".resolv"
#define HEAD		"# apptunnel "
#define NOTE		"# The file that stood here comes back on disconnect.\n"
#define HEAD_MAX	160u		/* bytes that head and note add */
#define CHAIN_MAX	NAMES_MAX_PROFILES

/* What stands at a path: a file, a link (data is its target), or nothing. */
struct image {
	enum { IMAGE_NONE, IMAGE_LINK, IMAGE_FILE } kind;
	unsigned int mode, uid, gid;
	size_t len;
	char *data;		/* NUL-terminated; owned */
};

static const char *const kind_names[] = { "none", "link", "file" };

static void image_free(struct image *i)
{
	free(i->data);
	i->data = NULL;
}

static uint64_t fnv(const char *s, size_t len)
{
	uint64_t h = 14695981039346656037ull;

	while (len--)
		h = (h ^ (uint8_t)*s++) * 1099511628211ull;
	return h;
}

static int read_all(int fd, char **data, size_t *len)
{
	char *buf = malloc(DNS_FILE_MAX + 2);
	size_t got = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while ((n = read(fd, buf + got, DNS_FILE_MAX + 1 - got)) > 0)
		got += (size_t)n;
	if (n < 0 || got > DNS_FILE_MAX) {
		n = n < 0 ? -errno : -EFBIG;
		free(buf);
		return (int)n;
	}
	buf[got] = '\0';
	*data = buf;
	*len = got;
	return 0;
}

static int write_all(int fd, const char *data, size_t len)
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

static int image_read(const char *path, struct image *out)
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
		err = read_all(fd, &i.data, &i.len);
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
		err = write_all(fd, i->data, i->len);
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
	err = write_all(fd, i->data, i->len);
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

static int image_write(const char *path, const char *stem, const struct image *i)
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

/* is it ours, and as we wrote it?  @stem (33 bytes) says whose */
static bool image_ours(const struct image *i, char *stem)
{
	unsigned long long hash;
	char owner[33];
	int used = 0;

	if (i->kind != IMAGE_FILE || strlen(i->data) != i->len ||
	    sscanf(i->data, HEAD "%32[A-Za-z0-9_-] %16llx%n", owner, &hash, &used) != 2 ||
	    i->data[used] != '\n')
		return false;
	if (fnv(i->data + used + 1, i->len - (size_t)used - 1) != hash)
		return false;
	memcpy(stem, owner, sizeof(owner));
	return true;
}

static int ours_make(const char *stem, const char *text, char **out)
{
	size_t size = strlen(text) + HEAD_MAX, at;
	char *all = malloc(size), *rest;

	if (!all)
		return -ENOMEM;
	at = (size_t)snprintf(all, size, HEAD "%s %016llx\n", stem, 0ull);
	rest = all + at;
	snprintf(rest, size - at, NOTE "%s", text);
	/* the hash stands in front of what it is the hash of */
	snprintf(all + at - 17, 18, "%016llx\n", (unsigned long long)fnv(rest, strlen(rest)));
	rest[0] = NOTE[0];
	*out = all;
	return 0;
}

/* ---- what is kept ------------------------------------------------------------------- */

static int kept_name(char *buf, size_t size, const char *stem)
{
	int n = snprintf(buf, size, "%s" SUFFIX, stem);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int kept_read(int dir, const char *stem, struct image *out)
{
	struct image i = { .kind = IMAGE_NONE };
	char name[64], kind[8] = "", *all;
	int fd, err, used = 0;
	size_t len;

	err = kept_name(name, sizeof(name), stem);
	if (err)
		return err;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = read_all(fd, &all, &len);
	close(fd);
	if (err)
		return err;
	if (sscanf(all, "%7s %o %u %u%n", kind, &i.mode, &i.uid, &i.gid, &used) != 4 ||
	    all[used++] != '\n')
		err = -EBADMSG;
	for (unsigned int k = IMAGE_NONE; !err && k <= IMAGE_FILE; k++)
		if (!strcmp(kind, kind_names[k]))
			i.kind = k;
	if (!err) {
		i.len = len - (size_t)used;
		memmove(all, all + used, i.len + 1);
		i.data = all;
		*out = i;
	} else {
		free(all);
	}
	return err;
}

int dns_file_backup(int state_dir, const char *stem, const char *path)
{
	char name[64], tmp[64], head[64];
	struct image i, all = { .kind = IMAGE_FILE };
	int err, fd, n;

	err = image_read(path, &i);
	if (err)
		return err;
	n = snprintf(head, sizeof(head), "%s %o %u %u\n", kind_names[i.kind], i.mode, i.uid,
		     i.gid);
	all.len = (size_t)n + i.len;
	all.data = malloc(all.len + 1);
	err = all.data ? kept_name(name, sizeof(name), stem) : -ENOMEM;
	if (err)
		goto end;
	if (all.len > DNS_FILE_MAX) {
		err = -EFBIG;
		goto end;
	}
	memcpy(all.data, head, (size_t)n);
	memcpy(all.data + n, i.data, i.len);
	snprintf(tmp, sizeof(tmp), "%s.new", name);
	unlinkat(state_dir, tmp, 0);
	fd = openat(state_dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		goto end;
	}
	err = write_all(fd, all.data, all.len);
	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	if (!err && (renameat(state_dir, tmp, state_dir, name) || fsync(state_dir)))
		err = -errno;
	if (err)
		unlinkat(state_dir, tmp, 0);
end:
	free(all.data);
	image_free(&i);
	return err;
}

int dns_file_write(int state_dir, const char *stem, const char *path, const char *text)
{
	struct image kept, ours = { .kind = IMAGE_FILE, .mode = 0644 };
	int err;

	err = kept_read(state_dir, stem, &kept);
	if (err)
		return err;
	if (kept.kind == IMAGE_FILE) {
		ours.mode = kept.mode;
		ours.uid = kept.uid;
		ours.gid = kept.gid;
	}
	err = ours_make(stem, text, &ours.data);
	if (!err) {
		ours.len = strlen(ours.data);
		err = image_write(path, stem, &ours);
	}
	image_free(&ours);
	image_free(&kept);
	return err;
}

int dns_file_present(const char *stem, const char *path, const char *text)
{
	struct image i;
	char *ours;
	int err;

	err = image_read(path, &i);
	if (err)
		return err;
	err = ours_make(stem, text, &ours);
	if (!err) {
		err = i.kind == IMAGE_FILE && !strcmp(i.data, ours) ? 0 : -ENOENT;
		free(ours);
	}
	image_free(&i);
	return err;
}

bool dns_file_ours(const char *stem, const char *path)
{
	char owner[33];
	struct image i;
	bool ours;

	if (image_read(path, &i))
		return false;
	ours = image_ours(&i, owner) && !strcmp(owner, stem);
	image_free(&i);
	return ours;
}

/*
 * Another profile came after ours and kept our text for the original: now that
 * ours ends, what we kept is what that one must give back.
 */
static int hand_on(int dir, const char *stem)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	char name[64], owner[33], other[33];
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct image i;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	err = kept_name(name, sizeof(name), stem);
	while (!err && (e = readdir(d))) {
		size_t len = strlen(e->d_name), tail = strlen(SUFFIX);

		if (len <= tail || len - tail >= sizeof(other) ||
		    strcmp(e->d_name + len - tail, SUFFIX) || !strcmp(e->d_name, name))
			continue;
		memcpy(other, e->d_name, len - tail);
		other[len - tail] = '\0';
		if (kept_read(dir, other, &i))
			continue;
		if (image_ours(&i, owner) && !strcmp(owner, stem) &&
		    renameat(dir, name, dir, e->d_name))
			err = -errno;
		image_free(&i);
	}
	closedir(d);
	return err;
}

int dns_file_restore(int state_dir, const char *stem, const char *path, bool force)
{
	char name[64], owner[33] = "", tmp[PROFILE_PATH_MAX + 64];
	struct image kept, now;
	bool ours, same;
	int err;

	err = kept_name(name, sizeof(name), stem);
	if (!err)
		err = kept_read(state_dir, stem, &kept);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = image_read(path, &now);
	if (err == -EINVAL || err == -EFBIG) {		/* nothing that we would have made */
		image_free(&kept);
		return unlinkat(state_dir, name, 0) ? -errno : 0;
	}
	if (err) {
		image_free(&kept);
		return err;
	}
	ours = image_ours(&now, owner) && !strcmp(owner, stem);
	same = now.kind == kept.kind && now.len == kept.len && now.mode == kept.mode &&
	       now.uid == kept.uid && now.gid == kept.gid &&
	       !memcmp(now.data, kept.data, now.len);
	if (!ours && !force)
		err = hand_on(state_dir, stem);
	else if (!same)
		err = image_write(path, stem, &kept);
	/* what a crash left between making a file and renaming it */
	if (!err && tmp_name(tmp, sizeof(tmp), path, stem))
		(void)unlink(tmp);
	if (!err && unlinkat(state_dir, name, 0) && errno != ENOENT)
		err = -errno;
	image_free(&kept);
	image_free(&now);
	return err;
}

void dns_file_forget(int state_dir, const char *stem)
{
	char name[64];

	if (kept_name(name, sizeof(name) - 4, stem))
		return;
	(void)unlinkat(state_dir, name, 0);
	memcpy(name + strlen(name), ".new", 5);
	(void)unlinkat(state_dir, name, 0);
}

/* ---- the network's own resolvers --------------------------------------------------- */

/* follow a link that was kept: what it points at lives on, and may have changed */
static int link_read(const char *path, const char *target, struct image *out)
{
	char full[PROFILE_PATH_MAX * 2];
	const char *slash = strrchr(path, '/');
	int dir = slash && target[0] != '/' ? (int)(slash - path) + 1 : 0, fd, err;

	*out = (struct image){ .kind = IMAGE_FILE };
	if ((size_t)snprintf(full, sizeof(full), "%.*s%s", dir, path, target) >= sizeof(full))
		return -ENAMETOOLONG;
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		out->data = strdup("");		/* a dangling link is no resolver */
		return out->data ? 0 : -ENOMEM;
	}
	err = read_all(fd, &out->data, &out->len);
	close(fd);
	return err;
}

int dns_file_snapshot(int state_dir, const char *path)
{
	struct image i, next;
	char owner[33];
	int err, fd = -1;

	err = image_read(path, &i);
	if (err)
		return err;
	for (int hops = 0; hops < CHAIN_MAX && image_ours(&i, owner); hops++) {
		if (kept_read(state_dir, owner, &next))
			break;
		image_free(&i);
		i = next;
	}
	if (i.kind == IMAGE_LINK) {
		err = link_read(path, i.data, &next);
		image_free(&i);
		if (err)
			return err;
		i = next;
	}
	fd = memfd_create("resolv", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	err = fd < 0 ? -errno : write_all(fd, i.data, i.len);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
			  F_SEAL_WRITE))
		err = -errno;
	if (err && fd >= 0)
		close(fd);
	image_free(&i);
	return err ? err : fd;
}
