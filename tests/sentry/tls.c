/* SPDX-License-Identifier: MIT */
/*
 * tls.c - OpenSSL for a connection: handshake, and bytes in and out.
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

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sentry");

	if (!m)
		return NULL;
	BIO_meth_set_write(m, bio_write);
	BIO_meth_set_read(m, bio_read);
	BIO_meth_set_ctrl(m, bio_ctrl);
	return m;
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

bool tls_cert_revoked(struct conn *c)
{
	X509 *x = SSL_get0_peer_certificate(c->ssl);

	return x && crls_revoked(&c->s->crls, x);
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
