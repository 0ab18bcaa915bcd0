/* SPDX-License-Identifier: MIT */
/* store.c - copies of profiles in the state folder. */
#define _GNU_SOURCE
#include "platform/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER		"profiles"
#define LINES_MAX	8192	/* bytes of rejected and of trial */
#define COPY		16384	/* bytes copied at once */
#define DIR_FLAGS	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define BOOT_ID		"/proc/sys/kernel/random/boot_id"

static const char *const names[STORE_COPIES][2] = {
	[STORE_ACTIVE] = { "active.ini", "active.p7m" },
	[STORE_PREVIOUS] = { "previous.ini", "previous.p7m" },
	[STORE_STAGED] = { "staged.ini", "staged.p7m" },
};

static int below(int dir, const char *name, bool make)
{
	struct stat st;
	int fd;

	if (make && mkdirat(dir, name, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(dir, name, DIR_FLAGS);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || (st.st_uid && st.st_uid != geteuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH))) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

/* STATE_DIR/profiles[/@stem].  Descriptor or a negative errno */
static int folder(const char *state_dir, const char *stem, bool make)
{
	int top, all, one;

	if (stem && !files_stem_ok(stem))
		return -EINVAL;
	top = open(state_dir, DIR_FLAGS & ~O_NOFOLLOW);
	if (top < 0)
		return -errno;
	all = below(top, FOLDER, make);
	close(top);
	if (all < 0 || !stem)
		return all;
	one = below(all, stem, make);
	close(all);
	return one;
}

/* ---- small files ---------------------------------------------------------- */

static int write_all(int fd, const char *data, size_t n)
{
	while (n) {
		ssize_t w = write(fd, data, n);

		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		data += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Beside its place, synced, then renamed.  @from: copied, unless @text is given */
static int put(int dir, const char *name, int from, const char *text)
{
	char tmp[64], buf[COPY];
	off_t at = 0;
	ssize_t n = 0;
	int fd, err = 0;

	snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (text)
		err = write_all(fd, text, strlen(text));
	while (!text && !err && (n = pread(from, buf, sizeof(buf), at)) > 0) {
		at += n;
		err = at > (off_t)FILES_PROFILE_MAX ? -EFBIG : write_all(fd, buf, (size_t)n);
	}
	if (!err && n < 0)
		err = -errno;
	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	if (!err && renameat(dir, tmp, dir, name))
		err = -errno;
	if (!err && fsync(dir))
		err = -errno;
	if (err)
		(void)unlinkat(dir, tmp, 0);
	return err;
}

/* All of a small file as text; free() it.  NULL: it is not there, or cannot be read */
static char *get(int dir, const char *name)
{
	char *text = malloc(LINES_MAX + 1);
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 || !text ? -1 : read(fd, text, LINES_MAX);

	if (fd >= 0)
		close(fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

/* ---- copies ---------------------------------------------------------------- */

int store_put(const char *state_dir, const char *stem, enum store_copy copy, int text,
	      bool is_signed)
{
	int dir = folder(state_dir, stem, true), err;

	if (dir < 0)
		return dir;
	err = put(dir, names[copy][is_signed], text, NULL);
	if (!err && unlinkat(dir, names[copy][!is_signed], 0) && errno != ENOENT)
		err = -errno;
	close(dir);
	return err;
}

int store_open(const char *state_dir, const char *stem, enum store_copy copy, bool *is_signed)
{
	int dir = folder(state_dir, stem, false), fd, to = -1, ro = -1, err = 0;
	char buf[COPY];
	ssize_t n = 0;
	int kind;

	if (dir < 0)
		return dir;
	for (kind = 0, fd = -1; kind < 2 && fd < 0; kind++)
		fd = openat(dir, names[copy][kind], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	close(dir);
	if (err)
		return err;
	to = files_memory(stem);
	err = to < 0 ? to : 0;
	while (!err && (n = read(fd, buf, sizeof(buf))) > 0)
		err = write_all(to, buf, (size_t)n);
	if (!err && (n < 0 || fchmod(to, 0444)))
		err = -errno;
	if (!err) {
		ro = files_seal(to);
		err = ro < 0 ? ro : 0;
	}
	if (to >= 0)
		close(to);
	close(fd);
	if (!err && is_signed)
		*is_signed = kind == 2;
	return err ? err : ro;
}

int store_sum(const char *state_dir, const char *stem, enum store_copy copy,
	      uint8_t sum[SHA256_LEN])
{
	int fd = store_open(state_dir, stem, copy, NULL), err;

	if (fd < 0)
		return fd;
	err = sha256_fd(fd, FILES_PROFILE_MAX, sum);
	close(fd);
	return err;
}

/* @to is replaced by @from in one step; of which kind it is goes with it */
static int move(int dir, enum store_copy from, enum store_copy to)
{
	for (int kind = 0; kind < 2; kind++) {
		if (renameat(dir, names[from][kind], dir, names[to][kind]) == 0) {
			if (unlinkat(dir, names[to][!kind], 0) && errno != ENOENT)
				return -errno;
			return fsync(dir) ? -errno : 0;
		}
		if (errno != ENOENT)
			return -errno;
	}
	return -ENOENT;
}

int store_commit(const char *state_dir, const char *stem)
{
	int fd, dir, err;
	bool is_signed;

	fd = store_open(state_dir, stem, STORE_ACTIVE, &is_signed);
	err = fd == -ENOENT ? 0 : fd < 0 ? fd :
	      store_put(state_dir, stem, STORE_PREVIOUS, fd, is_signed);
	if (fd >= 0)
		close(fd);
	dir = err ? err : folder(state_dir, stem, false);
	if (dir < 0)
		return dir;
	/* a crash before this leaves active as it was */
	err = move(dir, STORE_STAGED, STORE_ACTIVE);
	close(dir);
	return err;
}

int store_back(const char *state_dir, const char *stem)
{
	int dir = folder(state_dir, stem, false), err;

	if (dir < 0)
		return dir;
	err = move(dir, STORE_PREVIOUS, STORE_ACTIVE);
	close(dir);
	return err;
}

void store_unstage(const char *state_dir, const char *stem)
{
	int dir = folder(state_dir, stem, false);

	if (dir < 0)
		return;
	(void)unlinkat(dir, names[STORE_STAGED][0], 0);
	(void)unlinkat(dir, names[STORE_STAGED][1], 0);
	close(dir);
}

/* ---- what was rolled back ---------------------------------------------------- */

static int rejected_change(const char *state_dir, const char *stem,
			   const uint8_t sum[SHA256_LEN], bool add)
{
	const size_t line = SHA256_HEX;		/* the LF in place of the NUL */
	char *old, *text = calloc(1, LINES_MAX + SHA256_HEX + 1), hex[SHA256_HEX];
	int dir = folder(state_dir, stem, add), err = 0;
	size_t n = 0, skip = 0, len;

	if (dir < 0 || !text) {
		free(text);
		if (dir >= 0)
			close(dir);
		return dir < 0 ? dir : -ENOMEM;
	}
	sha256_hex(sum, hex);
	old = get(dir, "rejected");
	len = old ? strlen(old) / line * line : 0;
	if (add && len >= STORE_REJECTED_MAX * line)
		skip = len - (STORE_REJECTED_MAX - 1) * line;	/* the oldest go */
	for (size_t at = skip; at < len; at += line) {
		if (!strncmp(old + at, hex, line - 1))
			continue;
		memcpy(text + n, old + at, line);
		n += line;
	}
	if (add)
		snprintf(text + n, line + 1, "%s\n", hex);
	if (add || n != len)
		err = put(dir, "rejected", -1, text);
	free(old);
	free(text);
	close(dir);
	return err;
}

int store_reject(const char *state_dir, const char *stem, const uint8_t sum[SHA256_LEN])
{
	return store_rejected(state_dir, stem, sum) ? 0 : rejected_change(state_dir, stem, sum, true);
}

void store_accept(const char *state_dir, const char *stem, const uint8_t sum[SHA256_LEN])
{
	(void)rejected_change(state_dir, stem, sum, false);
}

bool store_rejected(const char *state_dir, const char *stem, const uint8_t sum[SHA256_LEN])
{
	int dir = folder(state_dir, stem, false);
	char *text = dir < 0 ? NULL : get(dir, "rejected"), hex[SHA256_HEX];
	bool found = text && strstr(text, sha256_hex(sum, hex));

	if (dir >= 0)
		close(dir);
	free(text);
	return found;
}

/* ---- on trial ------------------------------------------------------------------ */

void store_boot(char boot[40])
{
	int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, boot, 39);

	if (fd >= 0)
		close(fd);
	boot[n > 0 ? n : 0] = '\0';
	boot[strcspn(boot, "\n ")] = '\0';
	if (!boot[0])
		snprintf(boot, 40, "unknown");
}

int store_trial_put(const char *state_dir, const char *stem, const struct store_trial *t)
{
	int dir = folder(state_dir, stem, true), err;
	char text[320], hex[SHA256_HEX], folder[SHA256_HEX];

	if (dir < 0)
		return dir;
	snprintf(text, sizeof(text), "until %" PRIu64 " boot %s sha256 %s ready %d version %" PRIu64
		 " folder %s\n", t->deadline_s, t->boot, sha256_hex(t->sum, hex), t->ready_due,
		 t->version, sha256_hex(t->folder, folder));
	err = put(dir, "trial", -1, text);
	close(dir);
	return err;
}

static bool hex_read(const char *hex, uint8_t sum[SHA256_LEN])
{
	if (strlen(hex) != SHA256_HEX - 1)
		return false;
	for (int i = 0; i < SHA256_LEN; i++) {
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		sum[i] = (uint8_t)byte;
	}
	return true;
}

int store_trial_get(const char *state_dir, const char *stem, struct store_trial *t)
{
	int dir = folder(state_dir, stem, false), ready = 1;
	char *text, hex[SHA256_HEX] = "", mark[SHA256_HEX] = "";

	if (dir < 0)
		return dir;
	text = get(dir, "trial");
	close(dir);
	if (!text)
		return -ENOENT;
	*t = (struct store_trial){ .ready_due = true, .version = UINT64_MAX };
	/* one that cannot be read is one that is over */
	if (sscanf(text, "until %" SCNu64 " boot %39s sha256 %64s ready %d version %" SCNu64
		   " folder %64s", &t->deadline_s, t->boot, hex, &ready, &t->version, mark) != 6 ||
	    !hex_read(hex, t->sum) || !hex_read(mark, t->folder))
		*t = (struct store_trial){ .ready_due = true, .version = UINT64_MAX };
	else
		t->ready_due = ready != 0;
	free(text);
	return 0;
}

int store_trial_end(const char *state_dir, const char *stem)
{
	int dir = folder(state_dir, stem, false), err = 0;

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	if (unlinkat(dir, "trial", 0) && errno != ENOENT)
		err = -errno;
	if (!err && fsync(dir))
		err = -errno;
	close(dir);
	return err;
}

int store_list(const char *state_dir, char stems[FILES_LIST_MAX][FILES_STEM_MAX])
{
	int fd = folder(state_dir, NULL, false), n = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : -errno;
	}
	while (n < FILES_LIST_MAX && (e = readdir(d))) {
		if (files_stem_ok(e->d_name))
			snprintf(stems[n++], FILES_STEM_MAX, "%s", e->d_name);
	}
	closedir(d);
	return n;
}
