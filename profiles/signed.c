/* SPDX-License-Identifier: MIT */
/* signed.c - open a signed profile; nothing of it is read before it is verified */
#include "profiles/signed.h"

#include <errno.h>
#include <limits.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- DER ------------------------------------------------------------------- */

#define TAG_NUMBER	0x1f
#define TAG_CONSTRUCTED	0x20
#define TAG_CLASS	0xc0
#define TAG_SEQUENCE	0x10
#define TAG_SET		0x11
#define LENGTH_LONG	0x80
#define LENGTH_BYTES	4	/* of a long length */

/* Tag and length at @p.  Return: bytes of both, 0: not DER */
static size_t der_head(const uint8_t *p, size_t left, uint8_t *tag, size_t *len)
{
	size_t n, i, v = 0;

	if (left < 2 || (p[0] & TAG_NUMBER) == TAG_NUMBER)	/* none here has a high number */
		return 0;
	*tag = p[0];
	if (!(p[1] & LENGTH_LONG)) {
		*len = p[1];
		return *len <= left - 2 ? 2 : 0;
	}
	n = p[1] & ~LENGTH_LONG & 0xff;
	if (!n || n > LENGTH_BYTES || left < 2 + n || !p[2])	/* indefinite, huge, padded */
		return 0;
	for (i = 0; i < n; i++)
		v = v << 8 | p[2 + i];
	if (v < LENGTH_LONG || v > left - 2 - n)
		return 0;
	*len = v;
	return 2 + n;
}

/* A universal tag is constructed when it is SEQUENCE or SET, and only then. */
static bool der_form(uint8_t tag)
{
	uint8_t number = tag & TAG_NUMBER;
	bool container = number == TAG_SEQUENCE || number == TAG_SET;

	return (tag & TAG_CLASS) || (number && container == !!(tag & TAG_CONSTRUCTED));
}

bool signed_der(const uint8_t *der, size_t len, unsigned int depth)
{
	size_t end[SIGNED_DEPTH + 1], at = 0, n, head;
	unsigned int level = 0;
	uint8_t tag;

	if (depth > SIGNED_DEPTH)
		return false;
	end[0] = len;
	do {
		head = der_head(der + at, end[level] - at, &tag, &n);
		if (!head || !der_form(tag))
			return false;
		at += head;
		if (!level && n != len - at)	/* one value, and nothing behind it */
			return false;
		if (tag & TAG_CONSTRUCTED) {
			if (level == depth)
				return false;
			end[++level] = at + n;
		} else {
			at += n;
		}
		while (level && at == end[level])
			level--;
	} while (level);
	return at == len;
}

/* ---- signer.pem -------------------------------------------------------------- */

static STACK_OF(X509) *read_signers(const uint8_t *pem, size_t len, struct findings *f)
{
	BIO *bio = len && len <= SIGNED_SIGNER_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	STACK_OF(X509) *certs = sk_X509_new_null();
	X509 *cert;

	while (bio && certs && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if ((size_t)sk_X509_num(certs) < SIGNED_SIGNERS && sk_X509_push(certs, cert) > 0)
			continue;
		X509_free(cert);
		sk_X509_pop_free(certs, X509_free);
		certs = NULL;
	}
	/* what ends the file must be its end, not a certificate that is broken */
	if (bio && certs && sk_X509_num(certs) &&
	    ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
		BIO_free(bio);
		return certs;
	}
	finding_add(f, FC_SIGNER_FILE, 0, 0, NULL, "who may sign cannot be told: the signer's file "
		    "must hold 1 to %u certificates in PEM form; nothing is accepted until then",
		    SIGNED_SIGNERS);
	BIO_free(bio);
	sk_X509_pop_free(certs, X509_free);
	return NULL;
}

/* Both are in the stack for the message to be compared with. */
static X509 *find_signer(const STACK_OF(X509) *certs, CMS_SignerInfo *si)
{
	int i;

	for (i = 0; i < sk_X509_num(certs); i++) {
		if (!CMS_SignerInfo_cert_cmp(si, sk_X509_value(certs, i)))
			return sk_X509_value(certs, i);
	}
	return NULL;
}

/* ---- the message ------------------------------------------------------------- */

/* The part that is the same for whoever signed: what kind of message is it? */
static CMS_ContentInfo *read_message(const uint8_t *der, size_t len, size_t max,
				     struct findings *f)
{
	const uint8_t *p = der;
	CMS_ContentInfo *cms;
	ASN1_OCTET_STRING **content;

	if (len > max || len > INT_MAX) {
		finding_add(f, FC_TOO_BIG, 0, 0, NULL, "the signed file is larger than %zu KiB",
			    max >> 10);
		return NULL;
	}
	if (len >= 5 && !memcmp(der, "-----", 5)) {
		finding_add(f, FC_SIGNED_FORM, 0, 0, NULL, "the file is in PEM form; DER is accepted "
			    "(openssl cms -outform DER)");
		return NULL;
	}
	if (!len || der[0] != (TAG_CONSTRUCTED | TAG_SEQUENCE)) {
		finding_add(f, FC_UNSIGNED, 0, 0, NULL, "the file is not signed; a CMS message in DER "
			    "form is accepted (scripts/mdm-push makes one)");
		return NULL;
	}
	if (!signed_der(der, len, SIGNED_DEPTH)) {
		finding_add(f, FC_SIGNED_FORM, 0, 0, NULL, "the signed file is cut short, has bytes "
			    "behind its end, or is not in DER form; deliver it again");
		return NULL;
	}
	cms = d2i_CMS_ContentInfo(NULL, &p, (long)len);
	if (!cms || p != der + len) {
		finding_add(f, FC_SIGNED_FORM, 0, 0, NULL, "the signed file is not a CMS message");
		goto fail;
	}
	if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed ||
	    OBJ_obj2nid(CMS_get0_eContentType(cms)) != NID_pkcs7_data) {
		finding_add(f, FC_SIGNED_KIND, 0, 0, NULL, "the CMS message is of another kind "
			    "(encrypted, compressed, a digest); signed data is accepted");
		goto fail;
	}
	content = CMS_get0_content(cms);
	if (!content || !*content) {
		finding_add(f, FC_SIGNED_KIND, 0, 0, NULL, "the signature is detached: the text is not "
			    "in it (openssl cms -sign -nodetach)");
		goto fail;
	}
	return cms;
fail:
	CMS_ContentInfo_free(cms);
	return NULL;
}

/* May it hold what no signature covers?  The signer's certificate, nothing else. */
static bool brings_more(CMS_ContentInfo *cms, CMS_SignerInfo *si, const X509 *cert)
{
	STACK_OF(X509) *certs = CMS_get1_certs(cms);
	STACK_OF(X509_CRL) *crls = CMS_get1_crls(cms);
	int n = sk_X509_num(certs);
	bool more = crls || CMS_unsigned_get_attr_count(si) > 0 || n > 1 ||
		    (n == 1 && X509_cmp(sk_X509_value(certs, 0), cert));

	sk_X509_pop_free(certs, X509_free);
	sk_X509_CRL_pop_free(crls, X509_CRL_free);
	return more;
}

/* Its one signer, from the file; NULL: said why. */
static X509 *judge_signer(CMS_ContentInfo *cms, const STACK_OF(X509) *certs, struct findings *f)
{
	STACK_OF(CMS_SignerInfo) *all = CMS_get0_SignerInfos(cms);
	X509_ALGOR *digest;
	CMS_SignerInfo *si;
	X509 *cert;
	int nid;

	if (sk_CMS_SignerInfo_num(all) != 1) {
		finding_add(f, FC_SIGNED_KIND, 0, 0, NULL, "the message has %d signers; one is "
			    "accepted", all ? sk_CMS_SignerInfo_num(all) : 0);
		return NULL;
	}
	si = sk_CMS_SignerInfo_value(all, 0);
	cert = find_signer(certs, si);
	if (!cert) {
		finding_add(f, FC_SIGNED_BY, 0, 0, NULL, "the file is signed by somebody who may not "
			    "sign for this machine: the certificate is not one of the signer's file");
		return NULL;
	}
	CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest, NULL);
	nid = OBJ_obj2nid(digest->algorithm);
	if (CMS_signed_get_attr_count(si) < 1 ||
	    (nid != NID_sha256 && nid != NID_sha384 && nid != NID_sha512)) {
		finding_add(f, FC_SIGNED_KIND, 0, 0, NULL, "the signature is of a weak kind; SHA-256, "
			    "-384 or -512 with signed attributes is accepted");
		return NULL;
	}
	if (brings_more(cms, si, cert)) {
		finding_add(f, FC_SIGNED_KIND, 0, 0, NULL, "the message holds certificates, lists or "
			    "attributes that are neither the signer's nor signed (openssl cms -sign "
			    "without -certfile)");
		return NULL;
	}
	return cert;
}

/* Return: false: said why */
static bool judge_purpose(X509 *cert, struct findings *f)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	uint32_t usage = X509_get_key_usage(cert), extended = X509_get_extended_key_usage(cert);
	const char *wrong = NULL;

	if (X509_check_ca(cert))
		wrong = "it is a CA's";
	else if (usage == UINT32_MAX || !(usage & KU_DIGITAL_SIGNATURE))
		wrong = "its key usage has no digitalSignature";
	else if (extended == UINT32_MAX || !(extended & (XKU_CODE_SIGN | XKU_SMIME)))
		wrong = "its extended key usage has neither codeSigning nor emailProtection";
	else if (!key || EVP_PKEY_get_security_bits(key) < SIGNED_BITS)
		wrong = "its key is too weak";
	if (wrong)
		finding_add(f, FC_SIGNER_UNFIT, 0, 0, NULL, "the signer's certificate is not one to "
			    "sign with: %s", wrong);
	return !wrong;
}

static bool judge_dates(X509 *cert, uint64_t now_s, struct findings *f)
{
	time_t now = (time_t)now_s;
	const char *wrong = NULL;
	char date[32] = "?";
	struct tm tm;

	/* both return 0 for a date that cannot be read */
	if (X509_cmp_time(X509_get0_notBefore(cert), &now) >= 0)
		wrong = "is not valid yet";
	else if (X509_cmp_time(X509_get0_notAfter(cert), &now) <= 0)
		wrong = "has expired";
	if (!wrong)
		return true;
	if (gmtime_r(&now, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm);
	finding_add(f, FC_SIGNER_EXPIRED, 0, 0, NULL, "the signer's certificate %s (this machine's "
		    "clock says %s); sign with a new one, and install it as signer", wrong, date);
	return false;
}

/* The one step that reads content.  Return: 0, -EBADMSG, -ENOMEM */
static int verify(CMS_ContentInfo *cms, STACK_OF(X509) *certs, struct findings *f, char **text,
		  size_t *text_len)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *data = NULL, *copy;
	long n;

	if (!out)
		return -ENOMEM;
	if (CMS_verify(cms, certs, NULL, NULL, out,
		       CMS_NOINTERN | CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY) != 1) {
		finding_add(f, FC_SIGNED_ALTERED, 0, 0, NULL, "the signature does not fit: the file "
			    "was altered after it was signed; deliver it again");
		BIO_free(out);
		return -EBADMSG;
	}
	n = BIO_get_mem_data(out, &data);
	copy = n >= 0 ? malloc((size_t)n + 1) : NULL;
	if (copy) {
		if (n)
			memcpy(copy, data, (size_t)n);
		copy[n] = '\0';
		*text = copy;
		*text_len = (size_t)n;
	}
	BIO_free(out);
	return copy ? 0 : -ENOMEM;
}

int signed_open_max(const uint8_t *der, size_t len, size_t max, const uint8_t *signer_pem,
		    size_t signer_len, uint64_t now_s, struct findings *f, char **text,
		    size_t *text_len)
{
	CMS_ContentInfo *cms = NULL;
	STACK_OF(X509) *certs;
	X509 *cert = NULL;
	int r = -EBADMSG;

	ERR_clear_error();
	certs = read_signers(signer_pem, signer_len, f);
	ERR_clear_error();
	if (certs)
		cms = read_message(der, len, max, f);
	if (cms)
		cert = judge_signer(cms, certs, f);
	if (cert && judge_purpose(cert, f) && judge_dates(cert, now_s, f))
		r = verify(cms, certs, f, text, text_len);
	CMS_ContentInfo_free(cms);
	sk_X509_pop_free(certs, X509_free);
	ERR_clear_error();
	return r;
}

int signed_open(const uint8_t *der, size_t len, const uint8_t *signer_pem, size_t signer_len,
		uint64_t now_s, struct findings *f, char **text, size_t *text_len)
{
	return signed_open_max(der, len, SIGNED_MAX, signer_pem, signer_len, now_s, f, text,
			       text_len);
}
