/* SPDX-License-Identifier: MIT */
/*
 * ctl_check.c - the files that a profile names, as far as the caller may see
 * them.  What only root may read is not checked, and that is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl_load.h"
#include "profiles/value.h"

#define FILE_MAX	(1u << 20)	/* bytes of a PEM file */
#define SOON_DAYS	30

/* A file of the profile, and where the profile names it. */
struct named {
	struct ctl_loaded *l;
	enum schema_id id;
	struct origin_place place;
	const char *path;
};

static void found(const struct named *n, enum finding_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void found(const struct named *n, enum finding_code code, const char *fmt, ...)
{
	char key[SCHEMA_NAME_MAX], text[FINDING_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	finding_add(&n->l->f, code, n->place.line, n->place.column,
		    schema_name(n->id, 0, n->place.number, key), "%s", text);
}

/* ---- kind, owner, mode ------------------------------------------------------------------- */

static void open_failed(const struct named *n, int err)
{
	if (err == ENOENT || err == ENOTDIR)
		found(n, FC_FILE_MISSING, "%s is not there", n->path);
	else if (err == ELOOP)
		found(n, FC_FILE_KIND, "%s is a symbolic link; a regular file is accepted", n->path);
	else
		found(n, FC_NOT_CHECKED, "%s was not checked: %s", n->path, strerror(err));
}

/* Return: false when there is no use in reading it */
static bool check_stat(const struct named *n, const struct stat *st, bool secret)
{
	if (!S_ISREG(st->st_mode)) {
		found(n, FC_FILE_KIND, "%s is not a regular file", n->path);
		return false;
	}
	if (st->st_uid != 0 && st->st_uid != n->l->owner)
		found(n, FC_FILE_OWNER, "%s belongs to uid %u; root or the owner of the profile is "
		      "accepted", n->path, (unsigned int)st->st_uid);
	if (secret && (st->st_mode & (S_IRWXG | S_IRWXO)))
		found(n, FC_FILE_MODE, "%s is open to group or others (mode %04o); a private key has "
		      "0600 or 0400", n->path, (unsigned int)(st->st_mode & 07777));
	else if (st->st_mode & (S_IWGRP | S_IWOTH))
		found(n, FC_FILE_MODE, "%s can be written by group or others (mode %04o)", n->path,
		      (unsigned int)(st->st_mode & 07777));
	return true;
}

/* The bytes of a PEM file; NULL: said why. */
static BIO *read_pem(const struct named *n, bool secret)
{
	struct stat st;
	BIO *bio = NULL;
	char *buf;
	int fd, err;
	ssize_t r;

	fd = open(n->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		err = errno;
		open_failed(n, err);
		/* mode and owner are seen without reading */
		if (err == EACCES && !lstat(n->path, &st))
			check_stat(n, &st, secret);
		return NULL;
	}
	buf = malloc(FILE_MAX);
	if (fstat(fd, &st) < 0 || !buf) {
		open_failed(n, errno);
		goto out;
	}
	if (!check_stat(n, &st, secret))
		goto out;
	r = read(fd, buf, FILE_MAX);	/* a regular file comes whole */
	if (r < 0) {
		open_failed(n, errno);
		goto out;
	}
	bio = BIO_new(BIO_s_mem());
	if (bio && r > 0 && BIO_write(bio, buf, (int)r) != (int)r) {
		BIO_free(bio);
		bio = NULL;
	}
	OPENSSL_cleanse(buf, FILE_MAX);
out:
	free(buf);
	close(fd);
	return bio;
}

/* ---- certificates and keys ----------------------------------------------------------------- */

static void check_dates(const struct named *n, X509 *cert)
{
	time_t soon = time(NULL) + SOON_DAYS * 86400L;

	if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		found(n, FC_EXPIRED, "%s is not valid yet", n->path);
	else if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		found(n, FC_EXPIRED, "%s has expired", n->path);
	else if (X509_cmp_time(X509_get0_notAfter(cert), &soon) < 0)
		found(n, FC_EXPIRES_SOON, "%s expires within %d days", n->path, SOON_DAYS);
}

/* The first certificate of a file; NULL: said why. */
static X509 *read_cert(const struct named *n)
{
	BIO *bio = read_pem(n, false);
	X509 *cert;

	if (!bio)
		return NULL;
	cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (!cert) {
		found(n, FC_FILE_PEM, "%s holds no certificate in PEM form", n->path);
		return NULL;
	}
	check_dates(n, cert);
	return cert;
}

static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static EVP_PKEY *read_key(const struct named *n)
{
	BIO *bio = read_pem(n, true);
	EVP_PKEY *key;

	if (!bio)
		return NULL;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (!key)
		found(n, FC_FILE_PEM, "%s holds no private key in PEM form without a passphrase",
		      n->path);
	return key;
}

/* ---- which files ------------------------------------------------------------------------------ */

/* The path of a plain key, from its text: also in a profile that is invalid elsewhere. */
static bool named_path(struct ctl_loaded *l, enum schema_id id, struct named *n, char *path)
{
	const struct origin *o = &l->o.key[id];
	struct value_error e;

	if (!o->n_place || !o->text.s ||
	    value_path(o->text.s, o->text.n, l->folder, path, &e) < 0)
		return false;
	*n = (struct named){ .l = l, .id = id, .place = o->place[0], .path = path };
	return true;
}

static void check_identity(struct ctl_loaded *l)
{
	char path[PROFILE_PATH_MAX];
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	struct named n;

	if (named_path(l, K_CERTIFICATE, &n, path))
		cert = read_cert(&n);
	if (cert && X509_get_version(cert) != X509_VERSION_3)
		found(&n, FC_X509_V3, "%s is not an X.509 v3 certificate", n.path);
	if (named_path(l, K_PRIVATE_KEY, &n, path))
		key = read_key(&n);
	if (cert && key && X509_check_private_key(cert, key) != 1)
		found(&n, FC_KEY_MISMATCH, "%s is not the key of the certificate", n.path);
	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void check_pins(struct ctl_loaded *l)
{
	const struct origin *o = &l->o.key[K_PINS];
	const char *rest = o->text.s, *elem;
	size_t left = o->text.n, len, i;
	struct profile_pin pin;
	struct value_error e;
	X509 *cert;

	for (i = 0; i < o->n_place && value_element(&rest, &left, &elem, &len); i++) {
		struct named n = { .l = l, .id = K_PINS, .place = o->place[i], .path = pin.path };

		if (!len || value_pin(elem, len, l->folder, &pin, &e) < 0 || pin.kind != PIN_FILE)
			continue;
		cert = read_cert(&n);
		if (cert && (X509_get_extension_flags(cert) & EXFLAG_SS))
			found(&n, FC_SELF_SIGNED, "%s is self-signed: every change of it must reach "
			      "all devices before", n.path);
		X509_free(cert);
	}
}

/* Is @cert made out to one of the hosts?  (Of a valid profile only: else nobody knows.) */
static bool names_sentry(const struct ctl_loaded *l, X509 *cert)
{
	uint32_t i;

	for (i = 0; l->good && i < l->p->n_hosts; i++) {
		const struct profile_host *h = &l->p->hosts[i];

		if (h->addr.family ? X509_check_ip(cert, h->addr.bytes, addr_len(h->addr.family), 0) == 1 :
				     X509_check_host(cert, h->name, 0, 0, NULL) == 1)
			return true;
	}
	return false;
}

/* A CA signs itself, too; what stands for nobody but Sentry is its own certificate. */
static void check_trusted(struct ctl_loaded *l)
{
	char path[PROFILE_PATH_MAX];
	struct named n;
	X509 *cert;

	if (!named_path(l, K_CA_FILE, &n, path))
		return;
	cert = read_cert(&n);
	if (cert && (X509_get_extension_flags(cert) & EXFLAG_SS) &&
	    (!X509_check_ca(cert) || names_sentry(l, cert)))
		found(&n, FC_SELF_SIGNED, "%s is Sentry's own certificate, self-signed: every change of "
		      "it must reach all devices before", n.path);
	X509_free(cert);
	ERR_clear_error();
}

/* What the daemon asks of the profile itself when it connects (platform/files.c). */
static void check_profile(struct ctl_loaded *l)
{
	struct stat st;

	if (lstat(l->path, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode))
		finding_add(&l->f, FC_FILE_KIND, 0, 0, NULL, "this file is a symbolic link; connect "
			    "accepts a regular file only");
	if (!S_ISREG(st.st_mode))
		return;
	if (st.st_uid != 0)
		finding_add(&l->f, FC_FILE_OWNER, 0, 0, NULL, "this file belongs to uid %u; connect "
			    "accepts one of root's only (chown root)", (unsigned int)st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		finding_add(&l->f, FC_FILE_MODE, 0, 0, NULL, "this file can be written by group or "
			    "others (mode %04o); connect refuses that (chmod go-w)",
			    (unsigned int)(st.st_mode & 07777));
}

void ctl_check_files(struct ctl_loaded *l)
{
	char path[PROFILE_PATH_MAX];
	struct named n;

	if (l->stored)
		check_profile(l);
	check_identity(l);
	if (named_path(l, K_CHAIN, &n, path))
		X509_free(read_cert(&n));
	check_trusted(l);
	check_pins(l);
	findings_sort(&l->f);
}
