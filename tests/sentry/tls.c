/* SPDX-License-Identifier: MIT */
/*
 * tls.c - OpenSSL in one file: the context, and bytes in and out of a connection.
 *
 * Records are collected in a buffer of the connection and sent LIMIT_TLS_BATCH at
 * a time: the copy stays in the cache, and the network stack is entered once for
 * a batch instead of once a record.  The burst's end pushes what is left.
 */
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TLS_REKEY	(64ull << 30)	/* bytes written under one key, TLS 1.3 */

/* ---- the socket under OpenSSL -------------------------------------------- */

int conn_push(struct conn *c)
{
	ssize_t n;

	while (c->out_sent < c->out_len) {
		n = send(c->src.fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->want_write = true;
			return 0;
		}
		if (n < 0)
			return -EIO;
		c->out_sent += (size_t)n;
		c->s->counters.wire_out += (uint64_t)n;
	}
	c->out_sent = c->out_len = 0;
	return 1;
}

static int bio_write(BIO *b, const char *data, int len)
{
	struct conn *c = BIO_get_data(b);
	int n;

	BIO_clear_retry_flags(b);
	if (LIMIT_TLS_BATCH - c->out_len < (size_t)len) {
		n = conn_push(c);
		if (n == 0)
			BIO_set_retry_write(b);
		if (n <= 0)
			return -1;
		if ((size_t)len > LIMIT_TLS_BATCH)	/* a long handshake flight: in parts */
			len = LIMIT_TLS_BATCH;
	}
	memcpy(c->out + c->out_len, data, (size_t)len);
	c->out_len += (size_t)len;
	return len;
}

static int bio_read(BIO *b, char *data, int len)
{
	struct conn *c = BIO_get_data(b);
	ssize_t n;

	BIO_clear_retry_flags(b);
	n = recv(c->src.fd, data, (size_t)len, 0);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			BIO_set_retry_read(b);
		return -1;
	}
	if (n == 0)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	c->s->counters.wire_in += (uint64_t)n;
	return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	struct conn *c = BIO_get_data(b);
	int n;

	(void)num, (void)ptr;
	if (cmd == BIO_CTRL_EOF)
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	if (cmd != BIO_CTRL_FLUSH)
		return cmd == BIO_CTRL_DUP;
	/* the end of a handshake's flight, or an alert */
	BIO_clear_retry_flags(b);
	n = conn_push(c);
	if (n == 0)
		BIO_set_retry_write(b);
	return n > 0 ? 1 : -1;
}

/* ---- context ------------------------------------------------------------- */

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

/* TLS 1.3 suites and older ones stand in one list; OpenSSL wants two. */
static int set_ciphers(struct sentry *s)
{
	const struct conf *c = &s->conf;
	char old[1024], v13[1024];
	size_t n_old = 0, n_13 = 0;
	const char *p = c->ciphers;

	if (!p)
		return SSL_CTX_set_cipher_list(s->tls, c->tls_max < TLS1_2_VERSION ?
					       "ALL:@SECLEVEL=0" : "ECDHE+AESGCM:ECDHE+CHACHA20");
	if (strlen(p) >= sizeof(old))
		return 0;
	while (*p) {
		size_t n = strcspn(p, ":");
		bool is13 = strncmp(p, "TLS_", 4) == 0;
		char *list = is13 ? v13 : old;
		size_t *len = is13 ? &n_13 : &n_old;

		if (*len)
			list[(*len)++] = ':';
		memcpy(list + *len, p, n);
		*len += n;
		p += n + (p[n] == ':');
	}
	old[n_old] = v13[n_13] = 0;
	return (!n_old || SSL_CTX_set_cipher_list(s->tls, old)) &&
	       (!n_13 || SSL_CTX_set_ciphersuites(s->tls, v13));
}

static int load_files(struct sentry *s, const char **what)
{
	const struct conf *c = &s->conf;
	STACK_OF(X509_NAME) *names;
	BIO *b;
	X509 *x;

	*what = c->certificate;
	if (SSL_CTX_use_certificate_chain_file(s->tls, c->certificate) != 1)
		return -EINVAL;
	*what = c->private_key;
	if (SSL_CTX_use_PrivateKey_file(s->tls, c->private_key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(s->tls) != 1)
		return -EINVAL;
	if (c->chain) {
		*what = c->chain;
		b = BIO_new_file(c->chain, "r");
		while (b && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)))
			SSL_CTX_add0_chain_cert(s->tls, x);
		if (!b)
			return -EINVAL;
		BIO_free(b);
		ERR_clear_error();
	}
	*what = c->device_ca;
	names = SSL_load_client_CA_file(c->device_ca);
	if (!names || SSL_CTX_load_verify_locations(s->tls, c->device_ca, NULL) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return -EINVAL;
	}
	SSL_CTX_set_client_CA_list(s->tls, names);
	return 0;
}

int tls_init(struct sentry *s)
{
	const struct conf *c = &s->conf;
	const char *what = "the TLS context";
	X509 *own;

	s->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sentry");
	s->tls = SSL_CTX_new(TLS_server_method());
	if (!s->bio || !s->tls)
		goto bad;
	BIO_meth_set_write(s->bio, bio_write);
	BIO_meth_set_read(s->bio, bio_read);
	BIO_meth_set_ctrl(s->bio, bio_ctrl);
	if (c->tls_max < TLS1_2_VERSION || c->tls_min < TLS1_2_VERSION)
		SSL_CTX_set_security_level(s->tls, 0);
	SSL_CTX_set_min_proto_version(s->tls, c->tls_min);
	SSL_CTX_set_max_proto_version(s->tls, c->tls_max);
	SSL_CTX_set_options(s->tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(s->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/*
	 * One recv() brings a record and the next one's first bytes.  A larger buffer
	 * costs more than it saves: OpenSSL moves all of the rest for each record.
	 */
	SSL_CTX_set_read_ahead(s->tls, 1);
	/* tickets carry the session, nothing is kept here */
	SSL_CTX_set_session_cache_mode(s->tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(s->tls, (const unsigned char *)"atp", 3);
	SSL_CTX_set_verify(s->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(s->tls), X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_alpn_select_cb(s->tls, alpn_select, NULL);
	what = "Ciphers";
	if (!set_ciphers(s))
		goto bad;
	if (load_files(s, &what))
		goto bad;
	own = SSL_CTX_get0_certificate(s->tls);
	if (X509_NAME_cmp(X509_get_subject_name(own), X509_get_issuer_name(own)) == 0)
		event_emit(s, "warning", json_pack("{s:s}", "text",
			   "Sentry's certificate is self-signed: devices must pin it"));
	return 0;
bad:
	fprintf(stderr, "%s: %s: %s\n", c->path, what,
		ERR_reason_error_string(ERR_peek_error()) ?
		ERR_reason_error_string(ERR_peek_error()) : "cannot be used");
	return -EINVAL;
}

void tls_done(struct sentry *s)
{
	SSL_CTX_free(s->tls);
	BIO_meth_free(s->bio);
	s->tls = NULL;
	s->bio = NULL;
}

/* ---- a connection -------------------------------------------------------- */

int tls_attach(struct conn *c)
{
	BIO *b = BIO_new(c->s->bio);

	c->ssl = b ? SSL_new(c->s->tls) : NULL;
	c->out = malloc(LIMIT_TLS_BATCH);	/* its pages come with use */
	if (!c->ssl || !c->out) {
		BIO_free(b);
		tls_detach(c);
		return -ENOMEM;
	}
	BIO_set_data(b, c);
	BIO_set_init(b, 1);
	SSL_set_bio(c->ssl, b, b);
	SSL_set_accept_state(c->ssl);
	return 0;
}

void tls_detach(struct conn *c)
{
	SSL_free(c->ssl);
	free(c->out);
	c->ssl = NULL;
	c->out = NULL;
	c->out_sent = c->out_len = 0;
}

/* The SHA-256 of the device's certificate.  Return: 0, -EACCES */
static int tls_thumb(struct conn *c)
{
	X509 *x = SSL_get0_peer_certificate(c->ssl);
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (!x || !X509_digest(x, EVP_sha256(), md, &n) || n != 32)
		return -EACCES;
	for (unsigned int i = 0; i < n; i++)
		snprintf(c->thumb + 2 * i, 3, "%02x", md[i]);
	return 0;
}

int tls_accept(struct conn *c, const char **why)
{
	unsigned long e;
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		*why = "no extended master secret";
		if (SSL_version(c->ssl) == TLS1_2_VERSION && !SSL_get_extms_support(c->ssl))
			return -EPROTO;
		*why = "no certificate";
		return tls_thumb(c) ? -EPROTO : 1;
	}
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		c->want_write = false;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		c->want_write = true;
		return 0;
	case SSL_ERROR_SSL:
		e = ERR_peek_error();
		*why = ERR_reason_error_string(e) ? ERR_reason_error_string(e) : "TLS error";
		if (SSL_get_verify_result(c->ssl) != X509_V_OK)
			*why = X509_verify_cert_error_string(SSL_get_verify_result(c->ssl));
		return -EPROTO;
	}
	*why = "the connection was cut";
	return -EIO;
}

bool tls_cert_current(struct conn *c)
{
	X509 *x = SSL_get0_peer_certificate(c->ssl);

	return x && X509_cmp_current_time(X509_get0_notBefore(x)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(x)) > 0;
}

int conn_write(struct conn *c, const void *buf, size_t len)
{
	size_t n;

	if (c->write_len && c->write_len <= len)
		len = c->write_len;	/* a record waits: OpenSSL wants the same again */
	ERR_clear_error();
	if (SSL_write_ex(c->ssl, buf, len, &n) == 1) {
		c->write_len = 0;
		c->want_write = false;
		c->s->counters.app_out += n;
		c->since_rekey += n;
		if (c->since_rekey >= TLS_REKEY && SSL_version(c->ssl) == TLS1_3_VERSION) {
			SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
			c->since_rekey = 0;
		}
		return (int)n;
	}
	switch (SSL_get_error(c->ssl, 0)) {
	case SSL_ERROR_WANT_WRITE:
		c->write_len = len;
		c->want_write = true;
		return 0;
	case SSL_ERROR_WANT_READ:
		c->write_len = len;
		return 0;
	}
	return -EIO;
}

int conn_read(struct conn *c, void *buf, size_t len)
{
	size_t n;

	ERR_clear_error();
	if (SSL_read_ex(c->ssl, buf, len, &n) == 1) {
		c->s->counters.app_in += n;
		return (int)n;
	}
	switch (SSL_get_error(c->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		c->want_write = true;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -EPIPE;
	}
	return -EIO;
}
