/* SPDX-License-Identifier: MIT */
/*
 * tls.c - trust, session tickets and the context (docs/protocol.md, 1).
 *
 * Whether Sentry is Sentry is decided by tls_check_leaf() alone: in the
 * handshake (verify_peer()) and again after each handshake (tls_io.c), because
 * a resumed one calls no verify callback.
 */
#include "client/tls.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/log.h"

#define TLS_SUITES_13	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:" \
			"TLS_CHACHA20_POLY1305_SHA256"
#define TLS_SUITES_12	"ECDHE+AESGCM:ECDHE+CHACHA20"
#define TLS_GROUPS	"X25519:P-256:P-384"
#define TLS_LEVEL	2		/* OpenSSL's: 112 bits, so RSA from 2,048 */

/* ---- trust -------------------------------------------------------------- */

/* All pins are compared, each in constant time. */
static bool leaf_pinned(const struct tls_ctx *c, X509 *leaf)
{
	uint8_t cert_hash[EVP_MAX_MD_SIZE], key_hash[32];
	uint8_t *der = NULL, *spki = NULL;
	unsigned int hash_len;
	bool found = false;
	int der_len = i2d_X509(leaf, &der);
	int spki_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki);

	if (der_len <= 0 || spki_len <= 0 ||
	    X509_digest(leaf, EVP_sha256(), cert_hash, &hash_len) != 1 ||
	    EVP_Digest(spki, (size_t)spki_len, key_hash, NULL, EVP_sha256(), NULL) != 1)
		goto out;
	for (uint32_t i = 0; i < c->n_pins; i++) {
		const struct tls_pin *pin = &c->pins[i];

		switch ((enum profile_pin_kind)pin->kind) {
		case PIN_FILE:
			found |= pin->der_len == (size_t)der_len &&
				 CRYPTO_memcmp(pin->der, der, pin->der_len) == 0;
			break;
		case PIN_CERT_SHA256:
			found |= CRYPTO_memcmp(pin->sha256, cert_hash, 32) == 0;
			break;
		case PIN_KEY_SHA256:
			found |= CRYPTO_memcmp(pin->sha256, key_hash, 32) == 0;
			break;
		}
	}
out:
	OPENSSL_free(der);
	OPENSSL_free(spki);
	return found;
}

/* "sha256:HEX (subject)", printable. */
static void leaf_describe(X509 *leaf, char *buf, size_t size)
{
	uint8_t hash[EVP_MAX_MD_SIZE] = { 0 };
	char hex[65], subject[96], *text;
	unsigned int len;

	X509_digest(leaf, EVP_sha256(), hash, &len);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	text = X509_NAME_oneline(X509_get_subject_name(leaf), NULL, 0);
	log_printable(text ? text : "", text ? strlen(text) : 0, subject, sizeof(subject));
	OPENSSL_free(text);
	snprintf(buf, size, "sha256:%s (%s)", hex, subject[0] ? subject : "no subject");
}

/* Not strftime(): it looks for the time zone's file. */
static void date_text(const ASN1_TIME *t, char *buf, size_t size)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		snprintf(buf, size, "an unreadable date");
	else
		snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static bool leaf_named(const struct profile_host *h, X509 *leaf)
{
	if (h->addr.family)
		return X509_check_ip(leaf, h->addr.bytes, addr_len(h->addr.family), 0) == 1;
	return X509_check_host(leaf, h->name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
			       NULL) == 1;
}

bool tls_check_leaf(const struct tls_ctx *c, uint32_t host, X509 *leaf,
		    enum cause *cause, char *why, size_t size)
{
	const struct tls_failure f = { cause, why, size };
	char who[192], date[32];

	leaf_describe(leaf, who, sizeof(who));
	if (c->pinned && !leaf_pinned(c, leaf))
		return tls_fail(&f, CAUSE_PIN, "it presented %s, which is not pinned", who);
	if (!c->pinned && !leaf_named(&c->hosts[host], leaf))
		return tls_fail(&f, CAUSE_NAME, "it presented %s, which is not for %s", who,
			    c->hosts[host].name);
	/* both return 0 for a date that cannot be read */
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) >= 0) {
		date_text(X509_get0_notBefore(leaf), date, sizeof(date));
		return tls_fail(&f, CAUSE_DATES, "its certificate is valid from %s only: %s", date, who);
	}
	if (X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0) {
		date_text(X509_get0_notAfter(leaf), date, sizeof(date));
		return tls_fail(&f, CAUSE_DATES, "its certificate expired at %s: %s", date, who);
	}
	return true;
}

static void chain_failed(const struct tls_ctx *c, struct tls *t, X509_STORE_CTX *x, X509 *leaf)
{
	const struct tls_failure f = { &t->cause, t->why, sizeof(t->why) };
	int err = X509_STORE_CTX_get_error(x);
	enum cause cause = CAUSE_CHAIN;
	char who[192];

	if (err == X509_V_ERR_CERT_NOT_YET_VALID || err == X509_V_ERR_CERT_HAS_EXPIRED)
		cause = CAUSE_DATES;
	if (err == X509_V_ERR_HOSTNAME_MISMATCH || err == X509_V_ERR_IP_ADDRESS_MISMATCH)
		cause = CAUSE_NAME;
	leaf_describe(leaf, who, sizeof(who));
	tls_fail(&f, cause, "%s%s%s: it presented %s", X509_verify_cert_error_string(err),
	     cause == CAUSE_NAME ? ", wanted " : "",
	     cause == CAUSE_NAME ? c->hosts[t->host].name : "", who);
}

/* Stands in for X509_verify_cert(); 1: go on. */
static int verify_peer(X509_STORE_CTX *x, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = ssl ? SSL_get_app_data(ssl) : NULL;
	X509 *leaf = X509_STORE_CTX_get0_cert(x);
	struct tls_ctx *c = arg;

	if (!t || !leaf) {
		X509_STORE_CTX_set_error(x, X509_V_ERR_UNSPECIFIED);
		return 0;
	}
	if (!c->pinned && X509_verify_cert(x) != 1) {
		chain_failed(c, t, x, leaf);
		return 0;
	}
	if (!tls_check_leaf(c, t->host, leaf, &t->cause, t->why, sizeof(t->why))) {
		/* decides on the alert that Sentry gets */
		X509_STORE_CTX_set_error(x, t->cause == CAUSE_DATES ?
					 X509_V_ERR_CERT_HAS_EXPIRED : X509_V_ERR_CERT_REJECTED);
		return 0;
	}
	X509_STORE_CTX_set_error(x, X509_V_OK);
	return 1;
}

int tls_set_host(const struct tls_ctx *c, uint32_t host, SSL *ssl)
{
	const struct profile_host *h = &c->hosts[host];

	if (!h->addr.family && SSL_set_tlsext_host_name(ssl, h->name) != 1)
		return -ENOMEM;
	if (c->pinned)
		return 0;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (h->addr.family) {
		if (X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), h->addr.bytes,
					      addr_len(h->addr.family)) != 1)
			return -ENOMEM;
	} else if (SSL_set1_host(ssl, h->name) != 1) {
		return -ENOMEM;
	}
	return 0;
}

/* ---- tickets: in memory, for one handshake each --------------------------- */

SSL_SESSION *tls_ticket_take(struct tls_ctx *c, uint32_t host)
{
	SSL_SESSION *s = c->tickets[host][0];

	memmove(&c->tickets[host][0], &c->tickets[host][1],
		(TLS_TICKETS - 1) * sizeof(c->tickets[host][0]));
	c->tickets[host][TLS_TICKETS - 1] = NULL;
	return s;
}

void tls_ticket_keep(struct tls_ctx *c, uint32_t host, SSL_SESSION *s)
{
	SSL_SESSION_free(c->tickets[host][TLS_TICKETS - 1]);
	memmove(&c->tickets[host][1], &c->tickets[host][0],
		(TLS_TICKETS - 1) * sizeof(c->tickets[host][0]));
	c->tickets[host][0] = s;
}

void tls_tickets_drop(struct tls_ctx *c, uint32_t host)
{
	for (int i = 0; i < TLS_TICKETS; i++) {
		SSL_SESSION_free(c->tickets[host][i]);
		c->tickets[host][i] = NULL;
	}
}

static int ticket_came(SSL *ssl, SSL_SESSION *s)
{
	struct tls *t = SSL_get_app_data(ssl);

	if (!t || !SSL_SESSION_is_resumable(s))
		return 0;
	tls_ticket_keep(t->ctx, t->host, s);
	return 1;			/* the reference is ours now */
}

/* ---- the context ---------------------------------------------------------- */

static bool context_rules(struct tls_ctx *c, const struct profile *p)
{
	static const uint8_t alpn[] = "\x08http/1.1";
	int max = p->tls_max == TLS_MAX_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;

	SSL_CTX_set_security_level(c->ssl, TLS_LEVEL);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_clear_options(c->ssl, SSL_OP_LEGACY_SERVER_CONNECT |
			      SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
			      SSL_OP_NO_EXTENDED_MASTER_SECRET);
	SSL_CTX_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	/*
	 * One recv() brings a record and the next one's first bytes.  A larger buffer
	 * costs more than it saves: OpenSSL moves all of the rest for each record.
	 */
	SSL_CTX_set_read_ahead(c->ssl, 1);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT |
				       SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ssl, ticket_came);
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(c->ssl, verify_peer, c);
	return SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(c->ssl, max) == 1 &&
	       SSL_CTX_set_cipher_list(c->ssl, TLS_SUITES_12) == 1 &&
	       SSL_CTX_set_ciphersuites(c->ssl, TLS_SUITES_13) == 1 &&
	       SSL_CTX_set1_groups_list(c->ssl, TLS_GROUPS) == 1 &&
	       SSL_CTX_set_alpn_protos(c->ssl, alpn, sizeof(alpn) - 1) == 0;
}

struct tls_ctx *tls_ctx_new(const struct profile *p, const struct tls_setup *files,
			    enum cause *cause, char *why, size_t size)
{
	const struct tls_failure f = { cause, why, size };
	struct tls_ctx *c = calloc(1, sizeof(*c));

	ERR_clear_error();
	if (!c) {
		tls_fail(&f, CAUSE_IDENTITY, "no memory for TLS");
		return NULL;
	}
	c->pinned = !p->pinning_disabled;
	c->n_hosts = p->n_hosts < PROFILE_MAX_HOSTS ? p->n_hosts : PROFILE_MAX_HOSTS;
	memcpy(c->hosts, p->hosts, sizeof(c->hosts));
	c->bio = tls_method();
	c->ssl = SSL_CTX_new(TLS_client_method());
	if (!c->bio || !c->ssl || !context_rules(c, p)) {
		tls_fail(&f, CAUSE_IDENTITY, "TLS cannot be set up (%s)", tls_reason());
		goto err;
	}
	if (!tls_load_identity(c, files, &f))
		goto err;
	if (c->pinned && !tls_load_pins(c, p, files, &f))
		goto err;
	if (!c->pinned && files->ca < 0) {
		tls_fail(&f, CAUSE_PROFILE, "pinning is disabled and there is no CA bundle");
		goto err;
	}
	if (!c->pinned && !tls_load_certs(c, files->ca, true, &f))
		goto err;
	ERR_clear_error();
	return c;
err:
	ERR_clear_error();
	tls_ctx_free(c);
	return NULL;
}

void tls_ctx_free(struct tls_ctx *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < PROFILE_MAX_HOSTS; i++)
		tls_tickets_drop(c, i);
	for (uint32_t i = 0; i < c->n_pins; i++)
		OPENSSL_free(c->pins[i].der);
	SSL_CTX_free(c->ssl);
	BIO_meth_free(c->bio);
	free(c);
}
