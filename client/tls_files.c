/* SPDX-License-Identifier: MIT */
/*
 * tls_files.c - identity, pins and authorities out of PEM files, which came
 * as descriptors: nothing is opened by a path.
 */
#include "client/tls.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/limits.h"

bool tls_fail(const struct tls_failure *f, enum cause cause, const char *fmt, ...)
{
	va_list ap;

	*f->cause = cause;
	va_start(ap, fmt);
	vsnprintf(f->why, f->size, fmt, ap);
	va_end(ap);
	return false;
}

const char *tls_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "no further reason";
}

/* ---- files -------------------------------------------------------------- */

static void wipe(char *buf, size_t len)
{
	if (!buf)
		return;
	OPENSSL_cleanse(buf, len);
	free(buf);
}

/* Whole file of a descriptor, wherever its offset stands; NULL: errno. */
static char *file_read(int fd, size_t max, size_t *len)
{
	struct stat st;
	size_t done = 0;
	char *buf;

	if (fstat(fd, &st) < 0)
		return NULL;
	if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > max) {
		errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
		return NULL;
	}
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return NULL;
	while (done < (size_t)st.st_size) {
		ssize_t n = pread(fd, buf + done, (size_t)st.st_size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			wipe(buf, done);
			return NULL;
		}
		if (n == 0)
			break;		/* it shrank */
		done += (size_t)n;
	}
	*len = done;
	return buf;
}

/* A PEM file as a memory BIO; *buf (of *len bytes) backs it: wipe() it after BIO_free(). */
static BIO *pem_open(int fd, size_t max, char **buf, size_t *len)
{
	BIO *bio;

	*buf = file_read(fd, max, len);
	if (!*buf)
		return NULL;
	bio = BIO_new_mem_buf(*buf, (int)*len);
	if (!bio) {
		wipe(*buf, *len);
		*buf = NULL;
		errno = ENOMEM;
	}
	return bio;
}

/* Nobody is asked for a passphrase: an encrypted key is refused. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static X509 *cert_next(BIO *bio)
{
	bool asked = false;

	return PEM_read_bio_X509(bio, NULL, no_passphrase, &asked);
}

static X509 *cert_load(int fd, const char *key, enum cause cause, const struct tls_failure *f)
{
	X509 *cert;
	char *buf;
	size_t len;
	BIO *bio = pem_open(fd, LIMIT_PEM, &buf, &len);

	if (!bio) {
		tls_fail(f, cause, "%s cannot be read: %s", key, strerror(errno));
		return NULL;
	}
	cert = cert_next(bio);
	if (!cert)
		tls_fail(f, cause, "%s holds no certificate in PEM form (%s)", key,
		     tls_reason());
	BIO_free(bio);
	wipe(buf, len);
	return cert;
}

static EVP_PKEY *key_load(int fd, const struct tls_failure *f)
{
	bool asked = false;
	EVP_PKEY *pkey;
	char *buf;
	size_t len;
	BIO *bio = pem_open(fd, LIMIT_PEM, &buf, &len);

	if (!bio) {
		tls_fail(f, CAUSE_IDENTITY, "PrivateKey cannot be read: %s", strerror(errno));
		return NULL;
	}
	pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	if (!pkey && asked)
		tls_fail(f, CAUSE_IDENTITY,
		     "PrivateKey is encrypted; a service cannot be asked for its passphrase");
	else if (!pkey)
		tls_fail(f, CAUSE_IDENTITY, "PrivateKey holds no private key in PEM form (%s)",
		     tls_reason());
	BIO_free(bio);
	wipe(buf, len);
	return pkey;
}

/* Each certificate of a PEM file to the chain we send, or to the trust store. */
bool tls_load_certs(struct tls_ctx *c, int fd, bool trust, const struct tls_failure *f)
{
	const char *key = trust ? "CaFile" : "Chain";
	enum cause cause = trust ? CAUSE_PROFILE : CAUSE_IDENTITY;
	unsigned int n = 0;
	bool good = true;
	X509 *cert;
	char *buf;
	size_t len;
	BIO *bio = pem_open(fd, trust ? LIMIT_CA : LIMIT_PEM, &buf, &len);

	if (!bio)
		return tls_fail(f, cause, "%s cannot be read: %s", key, strerror(errno));
	while (good && (cert = cert_next(bio))) {
		if (trust)
			good = X509_STORE_add_cert(SSL_CTX_get_cert_store(c->ssl), cert) == 1;
		else
			good = SSL_CTX_add1_chain_cert(c->ssl, cert) == 1;
		X509_free(cert);
		n++;
	}
	if (!good)
		tls_fail(f, cause, "certificate %u of %s cannot be used (%s)", n, key,
		     tls_reason());
	else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		good = tls_fail(f, cause, "certificate %u of %s is damaged (%s)", n + 1, key,
			    tls_reason());
	else if (n == 0)
		good = tls_fail(f, cause, "%s holds no certificate in PEM form", key);
	ERR_clear_error();
	BIO_free(bio);
	wipe(buf, len);
	return good;
}

bool tls_load_identity(struct tls_ctx *c, const struct tls_setup *files,
			  const struct tls_failure *f)
{
	EVP_PKEY *pkey = NULL;
	X509 *cert = NULL;
	bool good = false;

	if (files->certificate < 0 || files->key < 0)
		return tls_fail(f, CAUSE_IDENTITY, "%s was not given",
			    files->certificate < 0 ? "Certificate" : "PrivateKey");
	cert = cert_load(files->certificate, "Certificate", CAUSE_IDENTITY, f);
	if (!cert)
		goto out;
	if (X509_get_version(cert) != X509_VERSION_3) {
		tls_fail(f, CAUSE_IDENTITY, "Certificate is not an X.509 version 3 certificate");
		goto out;
	}
	pkey = key_load(files->key, f);
	if (!pkey)
		goto out;
	if (X509_check_private_key(cert, pkey) != 1) {
		tls_fail(f, CAUSE_IDENTITY, "PrivateKey does not belong to Certificate");
		goto out;
	}
	if (SSL_CTX_use_certificate(c->ssl, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(c->ssl, pkey) != 1) {
		tls_fail(f, CAUSE_IDENTITY, "Certificate cannot be used (%s)", tls_reason());
		goto out;
	}
	good = files->chain < 0 || tls_load_certs(c, files->chain, false, f);
out:
	X509_free(cert);
	EVP_PKEY_free(pkey);
	return good;
}

bool tls_load_pins(struct tls_ctx *c, const struct profile *p, const struct tls_setup *files,
		      const struct tls_failure *f)
{
	if (p->n_pins == 0 || p->n_pins > PROFILE_MAX_PINS)
		return tls_fail(f, CAUSE_PROFILE, "PinnedCertificate names no certificate");
	for (uint32_t i = 0; i < p->n_pins; i++) {
		struct tls_pin *pin = &c->pins[i];
		char key[32];
		X509 *cert;
		int len;

		pin->kind = p->pins[i].kind;
		c->n_pins = i + 1;
		if (pin->kind != PIN_FILE) {
			memcpy(pin->sha256, p->pins[i].sha256, sizeof(pin->sha256));
			continue;
		}
		snprintf(key, sizeof(key), "PinnedCertificate %u", i + 1);
		if (files->pins[i] < 0)
			return tls_fail(f, CAUSE_PROFILE, "%s was not given", key);
		cert = cert_load(files->pins[i], key, CAUSE_PROFILE, f);
		if (!cert)
			return false;
		len = i2d_X509(cert, &pin->der);
		X509_free(cert);
		if (len <= 0)
			return tls_fail(f, CAUSE_PROFILE, "%s cannot be encoded", key);
		pin->der_len = (size_t)len;
	}
	return true;
}
