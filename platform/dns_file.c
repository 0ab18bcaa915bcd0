/* SPDX-License-Identifier: MIT */
/* dns_file.c - see dns_file.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* memfd_create */
#endif
#include "platform/dns_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/file_image.h"
#include "platform/fnv.h"
#include "platform/names.h"
#include "profiles/profile.h"

#define SUFFIX		".resolv"
#define HEAD		"# apptunnel "
#define NOTE		"# The file that stood here comes back on disconnect.\n"
#define HEAD_MAX	160u		/* bytes that head and note add */
#define CHAIN_MAX	NAMES_MAX_PROFILES

static const char *const kind_names[] = { "none", "link", "file" };

/* ---- our text ------------------------------------------------------------------------ */

/* is it ours, and as we wrote it?  @stem (33 bytes) says whose */
static bool ours_is(const struct image *i, char *stem)
{
	unsigned long long hash;
	char owner[33];
	int used = 0;

	if (i->kind != IMAGE_FILE || strlen(i->data) != i->len ||
	    sscanf(i->data, HEAD "%32[A-Za-z0-9_-] %16llx%n", owner, &hash, &used) != 2 ||
	    i->data[used] != '\n')
		return false;
	if (fnv_bytes(FNV_START, i->data + used + 1, i->len - (size_t)used - 1) != hash)
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
	snprintf(all + at - 17, 18, "%016llx\n",
		 (unsigned long long)fnv_bytes(FNV_START, rest, strlen(rest)));
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
	err = image_read_fd(fd, &all, &len);
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
	if (all.len > IMAGE_MAX) {
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
	err = image_write_fd(fd, all.data, all.len);
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
	ours = ours_is(&i, owner) && !strcmp(owner, stem);
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
		if (ours_is(&i, owner) && !strcmp(owner, stem) &&
		    renameat(dir, name, dir, e->d_name))
			err = -errno;
		image_free(&i);
	}
	closedir(d);
	return err;
}

int dns_file_restore(int state_dir, const char *stem, const char *path, bool force)
{
	char name[64], owner[33] = "";
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
	ours = ours_is(&now, owner) && !strcmp(owner, stem);
	same = now.kind == kept.kind && now.len == kept.len && now.mode == kept.mode &&
	       now.uid == kept.uid && now.gid == kept.gid &&
	       !memcmp(now.data, kept.data, now.len);
	if (!ours && !force)
		err = hand_on(state_dir, stem);
	else if (!same)
		err = image_write(path, stem, &kept);
	if (!err)
		image_forget_half(path, stem);
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
	err = image_read_fd(fd, &out->data, &out->len);
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
	for (int hops = 0; hops < CHAIN_MAX && ours_is(&i, owner); hops++) {
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
	err = fd < 0 ? -errno : image_write_fd(fd, i.data, i.len);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
			  F_SEAL_WRITE))
		err = -errno;
	if (err && fd >= 0)
		close(fd);
	image_free(&i);
	return err ? err : fd;
}
