/* SPDX-License-Identifier: MIT */
/*
 * tls_ctx.c - the contexts of OpenSSL, one for each of our own certificates.  A
 * new connection uses that of s->tls.  Each has ticket keys of its own: a ticket
 * that was given out with one certificate never resumes with the other.
 */
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

/* ---- making one -------------------------------------------------------------- */

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *outlen,
		       const unsigned char *in, unsigned int inlen, void *arg)
{
	static const char ours[] = "http/1.1";

	(void)ssl, (void)arg;
	for (unsigned int i = 0; i < inlen && in[i] <= inlen - i - 1; i += in[i] + 1u) {
		if (in[i] == sizeof(ours) - 1 && memcmp(in + i + 1, ours, sizeof(ours) - 1) == 0) {
			*out = in + i + 1;
			*outlen = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* All certificates of PEM file @path, at least one.  Return: 0, -EINVAL */
static int read_certificates(const char *path, STACK_OF(X509) *out)
{
	BIO *b = BIO_new_file(path, "r");
	int n = 0;
	X509 *x;
	bool end;

	while (b && (x = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
		if (sk_X509_push(out, x) <= 0) {
			X509_free(x);
			break;
		}
		n++;
	}
	/* what ends the file must be its end, not a certificate that is broken */
	end = b && n && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	BIO_free(b);
	if (end)
		ERR_clear_error();
	return end ? 0 : -EINVAL;
}

static int set_ciphers(SSL_CTX *tls, const struct conf *c)
{
	const char *old = c->ciphers12;

	/* a set of TLS 1.3 suites alone leaves nothing to an older version: conf_tls.c */
	if (!old)
		old = c->tls_max < TLS1_2_VERSION ? "ALL:@SECLEVEL=0" :
						    "ECDHE+AESGCM:ECDHE+CHACHA20";
	return SSL_CTX_set_cipher_list(tls, old) &&
	       (!c->ciphers13 || SSL_CTX_set_ciphersuites(tls, c->ciphers13));
}

/* Return: 0, -EINVAL and *what */
static int set_own(SSL_CTX *tls, const struct own *own, const char **what)
{
	STACK_OF(X509) *chain;
	int err = 0;

	*what = own->certificate;
	if (SSL_CTX_use_certificate_chain_file(tls, own->certificate) != 1)
		return -EINVAL;
	*what = own->private_key;
	if (SSL_CTX_use_PrivateKey_file(tls, own->private_key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(tls) != 1)
		return -EINVAL;
	if (!own->chain)
		return 0;
	*what = own->chain;
	chain = sk_X509_new_null();
	err = chain ? read_certificates(own->chain, chain) : -EINVAL;
	for (int i = 0; !err && i < sk_X509_num(chain); i++)
		err = SSL_CTX_add1_chain_cert(tls, sk_X509_value(chain, i)) == 1 ? 0 : -EINVAL;
	sk_X509_pop_free(chain, X509_free);
	return err;
}

static int set_device_cas(SSL_CTX *tls, STACK_OF(X509) *cas)
{
	for (int i = 0; i < sk_X509_num(cas); i++) {
		X509 *x = sk_X509_value(cas, i);

		if (X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), x) != 1 ||
		    SSL_CTX_add_client_CA(tls, x) != 1)
			return -EINVAL;
	}
	return 0;
}

static void set_rules(SSL_CTX *tls, const struct conf *c)
{
	if (c->tls_max < TLS1_2_VERSION || c->tls_min < TLS1_2_VERSION)
		SSL_CTX_set_security_level(tls, 0);
	SSL_CTX_set_min_proto_version(tls, c->tls_min);
	SSL_CTX_set_max_proto_version(tls, c->tls_max);
	SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/*
	 * One recv() brings a record and the next one's first bytes.  A larger buffer
	 * costs more than it saves: OpenSSL moves all of the rest for each record.
	 */
	SSL_CTX_set_read_ahead(tls, 1);
	/* tickets carry the session, nothing is kept here */
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(tls, (const unsigned char *)"atp", 3);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(tls), X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_alpn_select_cb(tls, alpn_select, NULL);
}

/* A context for own certificate @i.  Return: NULL and *what */
static SSL_CTX *make(const struct sentry *s, int i, const char **what)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	ERR_clear_error();
	*what = "the TLS context";
	if (!tls)
		return NULL;
	set_rules(tls, &s->conf);
	*what = "Ciphers";
	if (!set_ciphers(tls, &s->conf))
		goto bad;
	if (set_own(tls, &s->conf.own[i], what))
		goto bad;
	*what = "DeviceCa";
	if (set_device_cas(tls, s->device_cas))
		goto bad;
	return tls;
bad:
	SSL_CTX_free(tls);
	return NULL;
}

static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	return text ? text : "cannot be used";
}

/* ---- the certificate in use ---------------------------------------------------- */

static bool expired(const SSL_CTX *tls)
{
	return X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(tls))) < 0;
}

static bool current(const SSL_CTX *tls)
{
	return tls && !expired(tls) &&
	       X509_cmp_current_time(X509_get0_notBefore(SSL_CTX_get0_certificate(tls))) < 0;
}

static void use(struct sentry *s, int i, const char *why)
{
	if (s->tls == s->own[i])
		return;
	s->tls = s->own[i];
	s->own_warned = false;
	event_emit(s, "certificate", json_pack("{s:i,s:s,s:s}", "number", i + 1, "file",
		   s->conf.own[i].certificate, "text", why));
}

void tls_own_due(struct sentry *s)
{
	if (!s->own_asked && s->tls == s->own[0] && expired(s->tls) && current(s->own[1]))
		use(s, 1, "the first has expired");
	if (!s->own_warned && expired(s->tls)) {
		s->own_warned = true;
		event_emit(s, "warning", json_pack("{s:s}", "text",
			   "Sentry's certificate has expired: devices refuse it"));
	}
}

bool tls_own_use(struct sentry *s, unsigned int n, char *why, size_t size)
{
	SSL_CTX *new[SENTRY_OWN] = { NULL };
	const char *what;

	if (n > SENTRY_OWN || (n && !s->own[n - 1])) {
		snprintf(why, size, "there is no certificate %u in the configuration", n);
		return false;
	}
	for (int i = 0; i < SENTRY_OWN; i++) {
		if (!s->own[i] || (n && (int)n - 1 != i))
			continue;
		new[i] = make(s, i, &what);
		if (!new[i]) {
			snprintf(why, size, "%s: %s", what, reason());
			for (int j = 0; j < i; j++)
				SSL_CTX_free(new[j]);
			return false;
		}
	}
	for (int i = 0; i < SENTRY_OWN; i++) {
		bool in_use = s->tls == s->own[i];

		if (!new[i])
			continue;
		SSL_CTX_free(s->own[i]);	/* connections of it hold it */
		s->own[i] = new[i];
		if (in_use)
			s->tls = new[i];
	}
	s->own_asked = n != 0;
	s->own_warned = false;
	use(s, n ? (int)n - 1 : 0, n ? "asked for" : "by the dates");
	tls_own_due(s);
	return true;
}

static json_t *one_status(const struct sentry *s, int i)
{
	const X509 *x = SSL_CTX_get0_certificate(s->own[i]);
	unsigned char md[EVP_MAX_MD_SIZE];
	char hex[SENTRY_DIGEST_HEX] = "", date[32] = "?";
	unsigned int n = 0;
	struct tm tm;

	if (X509_digest(x, EVP_sha256(), md, &n) && n == 32)
		for (unsigned int k = 0; k < n; k++)
			snprintf(hex + 2 * (size_t)k, 3, "%02x", md[k]);
	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_pack("{s:i,s:s,s:s,s:s,s:b,s:b}", "number", i + 1, "file",
			 s->conf.own[i].certificate, "thumbprint", hex, "notAfter", date,
			 "expired", (int)expired(s->own[i]), "inUse", s->tls == s->own[i]);
}

json_t *tls_own_status(const struct sentry *s)
{
	json_t *a = json_array();

	for (int i = 0; i < SENTRY_OWN; i++)
		if (s->own[i])
			json_array_append_new(a, one_status(s, i));
	return a;
}

/* ---- start and end --------------------------------------------------------------- */

static void warn_self_signed(struct sentry *s, int i)
{
	X509 *x = SSL_CTX_get0_certificate(s->own[i]);

	if (X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0)
		event_emit(s, "warning", json_pack("{s:s,s:s}", "text",
			   "Sentry's certificate is self-signed: devices must pin it", "file",
			   s->conf.own[i].certificate));
}

int tls_init(struct sentry *s)
{
	const struct conf *c = &s->conf;
	const char *what = "the TLS context";

	s->bio = tls_bio_method();
	s->device_cas = sk_X509_new_null();
	if (!s->bio || !s->device_cas)
		goto bad;
	for (uint32_t i = 0; i < c->n_device_ca; i++) {
		what = c->device_ca[i];
		ERR_clear_error();
		if (read_certificates(c->device_ca[i], s->device_cas))
			goto bad;
	}
	for (int i = 0; i < SENTRY_OWN; i++) {
		if (!c->own[i].certificate)
			continue;
		s->own[i] = make(s, i, &what);
		if (!s->own[i])
			goto bad;
		warn_self_signed(s, i);
	}
	s->tls = s->own[0];
	tls_own_due(s);
	return 0;
bad:
	fprintf(stderr, "%s: %s: %s\n", c->path, what, reason());
	return -EINVAL;
}

void tls_done(struct sentry *s)
{
	for (int i = 0; i < SENTRY_OWN; i++) {
		SSL_CTX_free(s->own[i]);
		s->own[i] = NULL;
	}
	sk_X509_pop_free(s->device_cas, X509_free);
	BIO_meth_free(s->bio);
	s->tls = NULL;
	s->device_cas = NULL;
	s->bio = NULL;
}
