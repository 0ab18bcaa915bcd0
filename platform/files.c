/* SPDX-License-Identifier: MIT */
/*
 * files.c - open what a profile is and names, without following anybody.
 */
#define _GNU_SOURCE
#include "platform/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/exit_code.h"
#include "platform/fnv.h"
#include "platform/sha256.h"

#define FILES_SUFFIX	".ini"
#define FILES_SIGNED	".p7m"
#define FILES_COPY	16384	/* bytes copied at once */

bool files_stem_ok(const char *stem)
{
	size_t len = strspn(stem, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789_-");

	return len > 0 && len < FILES_STEM_MAX && !stem[len];
}

static int stem_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

int files_list(const char *dir, char stems[FILES_LIST_MAX][FILES_STEM_MAX])
{
	const size_t tail = sizeof(FILES_SUFFIX) - 1;
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0, i, once;

	if (!d)
		return -errno;
	while (n < FILES_LIST_MAX && (e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (len <= tail || len - tail >= FILES_STEM_MAX ||
		    (strcmp(e->d_name + len - tail, FILES_SUFFIX) &&
		     strcmp(e->d_name + len - tail, FILES_SIGNED)))
			continue;
		memcpy(stems[n], e->d_name, len - tail);
		stems[n][len - tail] = '\0';
		if (files_stem_ok(stems[n]))
			n++;
	}
	closedir(d);
	qsort(stems, (size_t)n, FILES_STEM_MAX, stem_order);
	for (i = once = 0; i < n; i++) {	/* NAME.ini and NAME.p7m are one profile */
		if (once && !strcmp(stems[once - 1], stems[i]))
			continue;
		memmove(stems[once++], stems[i], FILES_STEM_MAX);
	}
	return once;
}

/* ---- judging and opening ------------------------------------------------- */

const char *files_check_stat(unsigned int mode, unsigned int uid, unsigned int euid, bool secret)
{
	if (S_ISLNK(mode))
		return "is a symbolic link; put the file itself there";
	if (!S_ISREG(mode))
		return "is not a regular file";
	if (uid != 0 && uid != euid)
		return "does not belong to root (chown root)";
	if (mode & (S_IWGRP | S_IWOTH))
		return "can be written by others (chmod go-w)";
	if (secret && (mode & (S_IRWXG | S_IRWXO)))
		return "can be read by others (chmod 600)";
	return NULL;
}

/* What an open file must be.  Takes over @fd (which may be a negative errno). */
static int judge(int fd, const char *label, const char *path, bool secret, char *why, size_t size)
{
	const char *wrong;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int err = fd < 0 ? -fd : errno;

		if (err == ELOOP)
			snprintf(why, size, "%s %.400s %s", label, path,
				 files_check_stat(S_IFLNK, 0, 0, false));
		else
			snprintf(why, size, "%s %.400s: %s", label, path, strerror(err));
		if (fd >= 0)
			close(fd);
		return -err;
	}
	wrong = files_check_stat(st.st_mode, st.st_uid, geteuid(), secret);
	if (!wrong)
		return fd;
	snprintf(why, size, "%s %.400s %s", label, path, wrong);
	close(fd);
	return -EPERM;
}

/* O_NONBLOCK: a FIFO or a device must not stop the daemon before it is judged. */
#define OPEN_FLAGS	(O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static int open_path(const char *label, const char *path, bool secret, char *why, size_t size)
{
	int fd = open(path, OPEN_FLAGS);

	return judge(fd < 0 ? -errno : fd, label, path, secret, why, size);
}

/* One plain name below @dir. */
static int open_below(const char *dir, const char *name)
{
	struct open_how how = {
		.flags = OPEN_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int dfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	if (dfd < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, dfd, name, &how, sizeof(how));
	if (fd < 0 && errno == ENOSYS)	/* an old container runtime's filter */
		fd = openat(dfd, name, OPEN_FLAGS);
	fd = fd < 0 ? -errno : fd;
	close(dfd);
	return fd;
}

/* ---- memory files -------------------------------------------------------- */

int files_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

int files_seal(int fd)
{
	char path[40];
	int ro;

	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	return ro < 0 ? -errno : ro;
}

/* Copy all of @from.  Return: 0, -EFBIG, or another negative errno */
static int copy_bounded(int from, int to, size_t max)
{
	char buf[FILES_COPY];
	size_t sum = 0;
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		sum += (size_t)n;
		if (sum > max)
			return -EFBIG;
		if (write(to, buf, (size_t)n) != n)
			return -EIO;
	}
	return n < 0 ? -errno : 0;
}

/* A sealed copy of @from, whose name is @name.  Takes over @from */
static int sealed_copy(int from, const char *name, size_t max, char *why, size_t size)
{
	int to, ro = -EINVAL, err;

	to = files_memory(name);
	err = to < 0 ? to : copy_bounded(from, to, max);
	if (!err && fchmod(to, 0444) < 0)	/* the parser opens it again by path */
		err = -errno;
	if (!err)
		ro = files_seal(to);
	if (err || ro < 0) {
		err = err ? err : ro;
		if (err == -EFBIG)
			snprintf(why, size, "%.400s is larger than %s", name,
				 max == FILES_PROFILE_MAX ? "1 MiB" : "64 KiB");
		else
			snprintf(why, size, "%.400s: %s", name, strerror(-err));
	}
	if (to >= 0)
		close(to);
	close(from);
	return err ? err : ro;
}

/* Half a profile is not to be read: the kernel refuses a lease for reading while
 * anybody has the file open for writing.  Where it knows no leases, nobody is. */
static bool being_written(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}

int files_open_profile(const char *dir, const char *stem, bool signer, bool *p7m, char *why,
		       size_t size)
{
	char name[FILES_STEM_MAX + sizeof(FILES_SUFFIX)];
	bool is_p7m = signer;
	int from;

	if (!files_stem_ok(stem)) {
		snprintf(why, size, "a profile's name holds 1 to 32 of A-Z a-z 0-9 _ -");
		return -EINVAL;
	}
	snprintf(name, sizeof(name), "%s%s", stem, is_p7m ? FILES_SIGNED : FILES_SUFFIX);
	from = open_below(dir, name);
	if (from == -ENOENT) {
		is_p7m = !is_p7m;
		snprintf(name, sizeof(name), "%s%s", stem, is_p7m ? FILES_SIGNED : FILES_SUFFIX);
		from = open_below(dir, name);
	}
	from = judge(from, "profile", name, false, why, size);
	if (from < 0)
		return from;
	if (being_written(from)) {
		snprintf(why, size, "profile %s is being written; try again", name);
		close(from);
		return -ETXTBSY;
	}
	from = sealed_copy(from, name, FILES_PROFILE_MAX, why, size);
	if (from >= 0)
		*p7m = is_p7m;
	return from;
}

int files_copy_profile(int fd, const char *stem, char *why, size_t size)
{
	struct stat st;
	int from;

	/* a regular file, or reading could wait for somebody */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, size, "profile %s is not a regular file", stem);
		return -EINVAL;
	}
	from = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (from < 0)
		return -errno;
	return sealed_copy(from, stem, FILES_PROFILE_MAX, why, size);
}

int files_open_signer(const char *path, char *why, size_t size)
{
	int from = open_path("--signer", path, false, why, size);

	return from < 0 ? from : sealed_copy(from, "signer.pem", FILES_SIGNER_MAX, why, size);
}

/* ---- identity ------------------------------------------------------------ */

int files_open_identity(const struct profile *p, struct identity *id, char *why, size_t size)
{
	struct {
		const char *label, *path;
		int *fd;
		bool secret;
	} files[] = {
		{ "[identity] Certificate", p->certificate, &id->certificate, false },
		{ "[identity] PrivateKey", p->private_key, &id->key, true },
		{ "[identity] chain", p->chain, &id->chain, false },
	};
	uint32_t i;

	files_forget_identity(id);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (!files[i].path[0])
			continue;
		*files[i].fd = open_path(files[i].label, files[i].path, files[i].secret, why, size);
		if (*files[i].fd < 0)
			return EXIT_IDENTITY;
	}
	if (p->ca_file[0]) {
		id->ca = open_path("[pinning] CaFile", p->ca_file, false, why, size);
		if (id->ca < 0)
			return EXIT_PROFILE;
	} else {
		/* the system's own: there or not, a link or not */
		id->ca = open(FILES_CA_BUNDLE, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	for (i = 0; i < p->n_pins; i++) {
		if (p->pins[i].kind != PIN_FILE)
			continue;
		id->pins[i] = open_path("[pinning] PinnedCertificate", p->pins[i].path, false,
					why, size);
		if (id->pins[i] < 0)
			return EXIT_PROFILE;
	}
	return 0;
}

static uint64_t look_at(uint64_t sum, int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fnv_word(sum, 0);
	sum = fnv_word(sum, st.st_dev);
	sum = fnv_word(sum, st.st_ino);
	sum = fnv_word(sum, (uint64_t)st.st_size);
	sum = fnv_word(sum, (uint64_t)st.st_mtim.tv_sec);
	sum = fnv_word(sum, (uint64_t)st.st_mtim.tv_nsec);
	return fnv_word(sum, st.st_mode);
}

/*
 * By what it says: an MDM that delivers the same certificate once more, as it
 * does with each profile, costs nobody a session.  What is too large to be read
 * here goes by its place and time.
 */
static uint64_t stamp_file(uint64_t sum, int fd)
{
	uint8_t hash[SHA256_LEN];
	uint64_t word;
	size_t i;

	if (fd < 0)
		return fnv_word(sum, 0);
	if (sha256_fd(fd, FILES_STAMP_MAX, hash))
		return look_at(sum, fd);
	for (i = 0; i < sizeof(hash); i += sizeof(word)) {
		memcpy(&word, hash + i, sizeof(word));
		sum = fnv_word(sum, word);
	}
	return sum;
}

static uint64_t identity_sum(const struct identity *id, uint64_t (*one)(uint64_t sum, int fd))
{
	uint64_t sum = FNV_START;
	int i;

	sum = one(sum, id->certificate);
	sum = one(sum, id->key);
	sum = one(sum, id->chain);
	sum = one(sum, id->ca);
	for (i = 0; i < PROFILE_MAX_PINS; i++)
		sum = one(sum, id->pins[i]);
	return sum;
}

uint64_t files_identity_stamp(const struct identity *id)
{
	return identity_sum(id, stamp_file);
}

uint64_t files_identity_looks(const struct identity *id)
{
	return identity_sum(id, look_at);
}

void files_forget_identity(struct identity *id)
{
	int i;

	id->certificate = id->key = id->chain = id->ca = -1;
	for (i = 0; i < PROFILE_MAX_PINS; i++)
		id->pins[i] = -1;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void files_close_identity(struct identity *id)
{
	int i;

	close_one(&id->certificate);
	close_one(&id->key);
	close_one(&id->chain);
	close_one(&id->ca);
	for (i = 0; i < PROFILE_MAX_PINS; i++)
		close_one(&id->pins[i]);
}
