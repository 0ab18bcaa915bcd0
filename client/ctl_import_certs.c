/* SPDX-License-Identifier: MIT */
/* ctl_import_certs.c - certificates that came inside a file, and whether they are a CA's */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "client/ctl_import.h"

#define PEM_BEGIN	"-----BEGIN CERTIFICATE-----"

/* Written anew: what stands around a certificate in the file does not come along. */
static char *to_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *pem = NULL;
	long n;

	if (bio && PEM_write_bio_X509(bio, cert)) {
		n = BIO_get_mem_data(bio, &data);
		pem = n > 0 ? strndup(data, (size_t)n) : NULL;
	}
	BIO_free(bio);
	return pem;
}

static void take(struct import_result *r, const char *where, X509 *cert)
{
	uint8_t sha256[SHA256_DIGEST_LENGTH];
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);
	char *pem = to_pem(cert);
	bool ca = X509_check_ca(cert) > 0;
	bool self = X509_get_extension_flags(cert) & EXFLAG_SS;
	size_t i;

	if (n <= 0 || !pem) {
		free(pem);
		OPENSSL_free(der);
		import_note(r, IMPORT_NOT_CARRIED, where, "a certificate that cannot be written");
		return;
	}
	SHA256(der, (size_t)n, sha256);
	OPENSSL_free(der);
	for (i = 0; i < r->n_certs; i++) {
		if (!memcmp(r->certs[i].sha256, sha256, sizeof(sha256))) {
			free(pem);
			return;
		}
	}
	if (ca && self)
		import_note(r, IMPORT_REMARK, where, "a CA by its own words, so it goes to "
			    "CaFile; if it is the gateway's own certificate, name it in "
			    "PinnedCertificate instead");
	import_cert(r, ca, pem, sha256, where);
}

size_t import_cert_bytes(struct import_result *r, const char *where, const void *s, size_t n)
{
	const unsigned char *der = s;
	size_t found = 0;
	X509 *cert;
	BIO *bio;

	if (!n || n > IMPORT_CERT_MAX)
		return 0;
	if (!memmem(s, n, PEM_BEGIN, strlen(PEM_BEGIN))) {
		cert = d2i_X509(NULL, &der, (long)n);
		if (cert) {
			take(r, where, cert);
			found = 1;
		}
		X509_free(cert);
		ERR_clear_error();
		return found;
	}
	bio = BIO_new_mem_buf(s, (int)n);
	while (bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		take(r, where, cert);
		X509_free(cert);
		found++;
	}
	BIO_free(bio);
	ERR_clear_error();
	return found;
}
