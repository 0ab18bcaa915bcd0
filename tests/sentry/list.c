/* SPDX-License-Identifier: MIT */
/*
 * list.c - the file of the device list: is it signed, by whom, and is it newer
 * than the last one?  docs/mdm.md has the format.
 */
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "profiles/signed.h"

#define SEEN_TEXT	256	/* bytes of a state file */
#define DER_SEQUENCE	0x30	/* a signed message begins so, no JSON does */

int sentry_file_read(const char *path, size_t max, uint8_t **out, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	uint8_t *buf = NULL;
	struct stat sb;
	size_t have = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &sb) < 0)
		err = -errno;
	else if (!S_ISREG(sb.st_mode))
		err = -EINVAL;
	else if (sb.st_size < 0 || (uint64_t)sb.st_size > max)
		err = -EFBIG;
	else if (!(buf = malloc((size_t)sb.st_size + 1)))
		err = -ENOMEM;
	while (!err && n > 0 && have < (size_t)sb.st_size) {
		n = read(fd, buf + have, (size_t)sb.st_size - have);
		if (n < 0 && errno != EINTR)
			err = -errno;
		have += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (err) {
		free(buf);
		return err;
	}
	*out = buf;
	*len = have;
	return 0;
}

/* Return: 0 and the text (free() it); -EBADMSG and @why; another negative errno and @why */
static int list_open(const char *path, const uint8_t *der, size_t len, const char *signer,
		     char **text, size_t *text_len, char *why, size_t size)
{
	struct findings f;
	uint8_t *pem = NULL;
	size_t pem_len = 0;
	int err = sentry_file_read(signer, SIGNED_SIGNER_MAX, &pem, &pem_len);

	if (err) {
		snprintf(why, size, "%s: who may sign cannot be read: %s", signer, strerror(-err));
		return err;
	}
	err = findings_init(&f, path);
	if (!err)
		err = signed_open_max(der, len, SENTRY_LIST_MAX, pem, pem_len,
				      (uint64_t)time(NULL), &f, text, text_len);
	if (err)
		snprintf(why, size, "%s: %s", path, f.n ? f.v[0].text : strerror(-err));
	findings_free(&f);
	free(pem);
	return err;
}

static int text_digest(const char *text, size_t len, char hex[SENTRY_DIGEST_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (!EVP_Digest(text, len, md, &n, EVP_sha256(), NULL) || n != 32)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
	return 0;
}

int list_load(struct devices *out, const char *path, const char *signer, char *why, size_t size)
{
	struct devices d = { 0 };
	uint8_t *file = NULL;
	char *text = NULL;
	size_t len = 0, text_len = 0;
	int err = sentry_file_read(path, SENTRY_LIST_MAX, &file, &len);

	if (err) {
		snprintf(why, size, "%s: %s", path, err == -EINVAL ? "not a regular file" :
			 strerror(-err));
		return err;
	}
	if (signer) {
		err = list_open(path, file, len, signer, &text, &text_len, why, size);
	} else if (len && file[0] == DER_SEQUENCE) {
		snprintf(why, size, "%s: the list is signed, and nobody says by whom it may be: "
			 "name the signer's certificate as DeviceSigner", path);
		err = -EBADMSG;
	} else {
		text = (char *)file;
		text_len = len;
		file = NULL;
	}
	if (!err)
		err = devices_parse(&d, text, text_len, path, why, size);
	if (!err && signer && !d.id.version) {
		snprintf(why, size, "%s: the signed list has no header; its first line must be "
			 "{\"DeviceList\": 1, \"Version\": N, \"Group\": \"NAME\"}", path);
		err = -EINVAL;
	}
	if (!err && text_digest(text, text_len, d.id.digest)) {
		snprintf(why, size, "%s: out of memory", path);
		err = -ENOMEM;
	}
	free(text);
	free(file);
	if (err) {
		devices_free(&d);
		return err;
	}
	d.is_signed = signer != NULL;
	*out = d;
	return 0;
}

/* ---- which list came last -------------------------------------------------- */

bool list_newer(const struct devices *d, const struct devices_id *seen, const char *path,
		char *why, size_t size)
{
	const struct devices_id *id = &d->id;

	if (!seen->version)
		return true;
	if (!id->version) {
		snprintf(why, size, "%s: the list has no header, and the one before had: version %"
			 PRIu64 " of group %s", path, seen->version, seen->group);
		return false;
	}
	if (strcmp(id->group, seen->group) != 0) {
		snprintf(why, size, "%s: the list is of group %s, the one before was of %s", path,
			 id->group, seen->group);
		return false;
	}
	if (id->version < seen->version) {
		snprintf(why, size, "%s: the list is older than the one before: version %" PRIu64
			 ", which follows %" PRIu64, path, id->version, seen->version);
		return false;
	}
	if (id->version == seen->version && strcmp(id->digest, seen->digest) != 0) {
		snprintf(why, size, "%s: version %" PRIu64 " came before, with other content", path,
			 id->version);
		return false;
	}
	return true;
}

/* "VERSION GROUP DIGEST\n" and nothing else */
static int seen_parse(const char *text, struct devices_id *seen)
{
	struct devices_id id = { 0 };
	char *end;
	size_t n;

	errno = 0;
	id.version = strtoull(text, &end, 10);
	if (errno || *text < '1' || *text > '9' || id.version > SENTRY_VERSION_MAX || *end != ' ')
		return -EBADMSG;
	n = strcspn(++end, " \n");
	if (!n || n >= sizeof(id.group) || end[n] != ' ')
		return -EBADMSG;
	memcpy(id.group, end, n);
	end += n + 1;
	n = strspn(end, "0123456789abcdef");
	if (n != SENTRY_DIGEST_HEX - 1 || strcmp(end + n, "\n") != 0)
		return -EBADMSG;
	memcpy(id.digest, end, n);
	*seen = id;
	return 0;
}

int list_seen_read(const char *path, struct devices_id *seen)
{
	char text[SEEN_TEXT + 1];
	uint8_t *file = NULL;
	size_t len = 0;
	int err = sentry_file_read(path, SEEN_TEXT, &file, &len);

	if (err == -ENOENT) {
		*seen = (struct devices_id){ 0 };
		return 0;
	}
	if (err)
		return err;
	memcpy(text, file, len);
	text[len] = 0;
	free(file);
	return seen_parse(text, seen);
}

int list_seen_write(const char *path, const struct devices_id *seen)
{
	char temp[4096], text[SEEN_TEXT];
	int fd, err = 0, n;
	size_t len;

	/* members of a group may share the file: each writes by a name of its own */
	n = snprintf(temp, sizeof(temp), "%s.%ld", path, (long)getpid());
	if (n < 0 || (size_t)n >= sizeof(temp))
		return -ENAMETOOLONG;
	n = snprintf(text, sizeof(text), "%" PRIu64 " %s %s\n", seen->version, seen->group,
		     seen->digest);
	len = (size_t)n;
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) < 0)
		err = errno ? -errno : -EIO;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err && rename(temp, path) < 0)
		err = -errno;
	if (err)
		unlink(temp);
	return err;
}
