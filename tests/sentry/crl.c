/* SPDX-License-Identifier: MIT */
/*
 * crl.c - lists of revoked certificates.  OpenSSL could look at them in its
 * handshake, but does not on a resumed one, and knows nothing of sessions that
 * are up: so admit.c asks here, at each POST and when a list has changed.
 */
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define DER_SEQUENCE	0x30	/* no text begins so */

/* PEM text with one list.  Return: NULL and *why, when it is known */
static X509_CRL *crl_pem(const uint8_t *text, size_t len, const char **why)
{
	BIO *b = BIO_new_mem_buf(text, (int)len);
	X509_CRL *crl = b ? PEM_read_bio_X509_CRL(b, NULL, NULL, NULL) : NULL;
	X509_CRL *second = crl ? PEM_read_bio_X509_CRL(b, NULL, NULL, NULL) : NULL;

	if (second) {
		*why = "more than one list in the file; name a file for each in Crl";
		X509_CRL_free(second);
		X509_CRL_free(crl);
		crl = NULL;
	}
	BIO_free(b);
	return crl;
}

/* The one list of file @path.  Return: NULL and *why */
static X509_CRL *crl_read(const char *path, const char **why)
{
	uint8_t *file = NULL;
	size_t len = 0;
	int err = sentry_file_read(path, SENTRY_CRL_MAX, &file, &len);
	X509_CRL *crl = NULL;

	*why = err ? strerror(-err) : "not a list of revoked certificates, in PEM or DER form";
	if (!err && len && file[0] == DER_SEQUENCE) {
		const uint8_t *p = file;

		crl = d2i_X509_CRL(NULL, &p, (long)len);
		if (crl && p != file + len) {
			X509_CRL_free(crl);
			crl = NULL;
		}
	} else if (!err && len) {
		crl = crl_pem(file, len, why);
	}
	free(file);
	ERR_clear_error();
	return crl;
}

/* Return: the one of @cas that signed @crl and may, or NULL */
static const X509 *crl_ca(X509_CRL *crl, STACK_OF(X509) *cas)
{
	for (int i = 0; i < sk_X509_num(cas); i++) {
		X509 *ca = sk_X509_value(cas, i);

		if (X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) == 0 &&
		    (X509_get_key_usage(ca) & KU_CRL_SIGN) &&
		    X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1)
			return ca;
	}
	ERR_clear_error();
	return NULL;
}

/* Return: NULL, or what is wrong with a list of a known CA */
static const char *crl_judge(X509_CRL *crl)
{
	/* a part of a list, or one of somebody else's certificates: taken for whole it would lie */
	for (int i = 0; i < X509_CRL_get_ext_count(crl); i++)
		if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)))
			return "the list has a critical extension, so it is not a whole list of this CA";
	if (X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl)) > 0)
		return "the list is of the future; is the clock right?";
	return NULL;
}

/* Is @a older than @b, of the same CA? */
static bool crl_older(const X509_CRL *a, const X509_CRL *b)
{
	ASN1_INTEGER *m = X509_CRL_get_ext_d2i(a, NID_crl_number, NULL, NULL);
	ASN1_INTEGER *n = X509_CRL_get_ext_d2i(b, NID_crl_number, NULL, NULL);
	int day = 0, sec = 0;
	bool older;

	if (m && n)
		older = ASN1_INTEGER_cmp(m, n) < 0;
	else
		older = ASN1_TIME_diff(&day, &sec, X509_CRL_get0_lastUpdate(b),
				       X509_CRL_get0_lastUpdate(a)) && (day < 0 || sec < 0);
	ASN1_INTEGER_free(m);
	ASN1_INTEGER_free(n);
	return older;
}

/* Return: 0 and one more in @c, or -EINVAL and *why */
static int crl_add(struct crls *c, const struct crls *old, const char *path,
		   STACK_OF(X509) *cas, const char **why)
{
	X509_CRL *crl = crl_read(path, why);
	const X509 *ca;

	if (!crl)
		return -EINVAL;
	ca = crl_ca(crl, cas);
	*why = ca ? crl_judge(crl) : "none of DeviceCa has signed the list, or the list was altered";
	for (uint32_t i = 0; !*why && i < c->n; i++)
		if (c->v[i].ca == ca)
			*why = "another file holds a list of this CA already";
	for (uint32_t i = 0; !*why && i < old->n; i++)
		if (old->v[i].ca == ca && crl_older(crl, old->v[i].crl))
			*why = "the list is older than the one before";
	if (*why) {
		X509_CRL_free(crl);
		return -EINVAL;
	}
	c->v[c->n].crl = crl;
	c->v[c->n++].ca = ca;
	return 0;
}

int crls_load(struct crls *out, const struct crls *old, char *const *files, uint32_t n,
	      STACK_OF(X509) *cas, char *why, size_t size)
{
	struct crls c = { 0 };
	const char *what = NULL;

	for (uint32_t i = 0; i < n && i < SENTRY_CAS_MAX; i++) {
		if (crl_add(&c, old, files[i], cas, &what)) {
			snprintf(why, size, "%s: %s", files[i], what);
			crls_free(&c);
			return -EINVAL;
		}
	}
	if (out == old)
		crls_free(out);
	*out = c;
	return 0;
}

void crls_free(struct crls *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		X509_CRL_free(c->v[i].crl);
	c->n = 0;
}

bool crls_revoked(const struct crls *c, const X509 *x)
{
	for (uint32_t i = 0; i < c->n; i++) {
		X509_REVOKED *r = NULL;

		/* 2: on hold before, and taken off again */
		if (X509_NAME_cmp(X509_CRL_get_issuer(c->v[i].crl), X509_get_issuer_name(x)) == 0 &&
		    X509_CRL_get0_by_serial(c->v[i].crl, &r, X509_get0_serialNumber(x)) == 1)
			return true;
	}
	return false;
}

uint32_t crls_count(const struct crls *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		int all = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(c->v[i].crl));

		n += all > 0 ? (uint32_t)all : 0;
	}
	return n;
}

bool crls_stale(const struct crls *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		const ASN1_TIME *next = X509_CRL_get0_nextUpdate(c->v[i].crl);

		if (next && X509_cmp_current_time(next) < 0)
			return true;
	}
	return false;
}
