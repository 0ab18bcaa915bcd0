/* SPDX-License-Identifier: MIT */
/*
 * tls_io.c - one TLS connection: handshake, records in and out, what an error
 * means.
 *
 * The BIO under OpenSSL is ours.  Once live it collects records and sends
 * them LIMIT_TLS_BATCH at a time: the copy stays in the cache, and the network
 * stack is entered once for 64 KiB instead of once a record; tls_flush() ends
 * a batch.  A write
 * that failed for good is remembered and afterwards pretended: OpenSSL must
 * go on reading, for the reason (an alert, a refusal) often lies in the
 * socket's receive queue by then.
 */
#include "client/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/limits.h"

/* TLS alert numbers (RFC 8446, 6.2; RFC 5246, 7.2) that mean something to us */
enum {
	ALERT_HANDSHAKE_FAILURE = 40, ALERT_BAD_CERTIFICATE = 42, ALERT_UNSUPPORTED_CERT,
	ALERT_CERT_REVOKED, ALERT_CERT_EXPIRED, ALERT_CERT_UNKNOWN, ALERT_UNKNOWN_CA = 48,
	ALERT_ACCESS_DENIED, ALERT_PROTOCOL_VERSION = 70, ALERT_INSUFFICIENT_SECURITY,
	ALERT_CERT_REQUIRED = 116,
};

/* ---- the socket under OpenSSL --------------------------------------------- */

/* Return: 0, -EAGAIN: some is left.  An error is remembered and what was held is dropped. */
static int out_send(struct tls *t)
{
	ssize_t n;

	while (t->out_sent < t->out_len) {
		n = send(t->fd, t->out + t->out_sent, t->out_len - t->out_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (n < 0) {
			t->write_error = errno;
			break;
		}
		t->out_sent += (size_t)n;
	}
	t->out_sent = t->out_len = 0;
	return 0;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct tls *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (t->write_error)
		return len;
	if (t->out_len + (size_t)len > sizeof(t->out) &&
	    (out_send(t) < 0 || (size_t)len > sizeof(t->out))) {
		BIO_set_retry_write(bio);
		return -1;
	}
	memcpy(t->out + t->out_len, data, (size_t)len);
	t->out_len += (size_t)len;
	return len;
}

static int bio_read(BIO *bio, char *buf, int size)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	n = recv(t->fd, buf, (size_t)size, MSG_DONTWAIT);
	if (n > 0)
		return (int)n;
	if (n == 0)
		t->eof = true;
	else if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_read(bio);
	else
		t->read_error = errno;
	return n == 0 ? 0 : -1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct tls *t = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	if (cmd != BIO_CTRL_FLUSH)
		return 0;
	BIO_clear_retry_flags(bio);
	if (t->phase != TLS_HANDSHAKE || out_send(t) == 0)
		return 1;
	BIO_set_retry_write(bio);
	return -1;
}

BIO_METHOD *tls_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "apptunnel");

	if (m && BIO_meth_set_write(m, bio_write) == 1 &&
	    BIO_meth_set_read(m, bio_read) == 1 && BIO_meth_set_ctrl(m, bio_ctrl) == 1)
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* ---- what went wrong --------------------------------------------------------- */

static enum cause alert_cause(enum tls_phase phase, int alert)
{
	if (phase == TLS_LIVE)
		return CAUSE_CUT;
	switch (alert) {
	case ALERT_BAD_CERTIFICATE:
	case ALERT_UNSUPPORTED_CERT:
	case ALERT_CERT_REVOKED:
	case ALERT_CERT_EXPIRED:
	case ALERT_CERT_UNKNOWN:
	case ALERT_UNKNOWN_CA:
	case ALERT_ACCESS_DENIED:
	case ALERT_CERT_REQUIRED:
		return CAUSE_CERT_REFUSED;
	case ALERT_HANDSHAKE_FAILURE:
	case ALERT_PROTOCOL_VERSION:
	case ALERT_INSUFFICIENT_SECURITY:
		return CAUSE_TLS_VERSION;
	}
	return CAUSE_TLS_IO;
}

/* Errors that OpenSSL found in what the peer sent: which say "no common TLS"? */
static enum cause reason_cause(enum tls_phase phase, int reason)
{
	if (phase == TLS_LIVE)
		return CAUSE_CUT;
	switch (reason) {
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_WRONG_SSL_VERSION:
	case SSL_R_UNKNOWN_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_INAPPROPRIATE_FALLBACK:
	case SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED:
	case SSL_R_WRONG_CIPHER_RETURNED:
	case SSL_R_UNKNOWN_CIPHER_RETURNED:
	case SSL_R_DH_KEY_TOO_SMALL:
	case SSL_R_EE_KEY_TOO_SMALL:
		return CAUSE_TLS_VERSION;
	case SSL_R_BAD_EXTENSION:	/* also OpenSSL's word for an ALPN that we did not offer */
		return CAUSE_ODD_ANSWER;
	}
	return CAUSE_TLS_IO;
}

static void tls_why(struct tls *t, enum cause cause, const char *what, const char *detail)
{
	t->cause = cause;
	snprintf(t->why, sizeof(t->why), "%s%s%s", what, detail ? ": " : "",
		 detail ? detail : "");
}

/* Sets cause and why, unless a check of ours did.  @ssl_error: of SSL_get_error(). */
static void tls_judge(struct tls *t, int ssl_error)
{
	unsigned long e = ERR_peek_last_error();
	int reason = ERR_GET_REASON(e), alert = reason - SSL_AD_REASON_OFFSET;

	if (t->cause != CAUSE_NONE)
		;
	else if (ssl_error == SSL_ERROR_SSL && ERR_GET_LIB(e) == ERR_LIB_SSL && alert >= 0)
		tls_why(t, alert_cause(t->phase, alert), "the far side refused by TLS alert",
			SSL_alert_desc_string_long(alert));
	else if (t->read_error)
		tls_why(t, t->phase == TLS_LIVE ? CAUSE_CUT : CAUSE_TLS_IO,
			"the connection broke", strerror(t->read_error));
	else if (ssl_error == SSL_ERROR_SSL)
		tls_why(t, reason_cause(t->phase, reason), "what came is not TLS as agreed",
			ERR_reason_error_string(e));
	else if (t->eof)
		tls_why(t, t->phase == TLS_LIVE ? CAUSE_CUT : CAUSE_TLS_IO,
			"the far side closed the connection", NULL);
	else
		tls_why(t, t->phase == TLS_LIVE ? CAUSE_CUT : CAUSE_TLS_IO,
			"TLS broke", NULL);
	if (t->cause == CAUSE_CERT_REFUSED)
		tls_tickets_drop(t->ctx, t->host);
	ERR_clear_error();
}

/* ---- handshake ------------------------------------------------------------------ */

struct tls *tls_open(struct tls_ctx *ctx, uint32_t host, int fd)
{
	struct tls *t = calloc(1, sizeof(*t));
	SSL_SESSION *ticket;
	BIO *bio = NULL;

	if (!t)
		return NULL;
	ERR_clear_error();
	t->ctx = ctx;
	t->host = host;
	t->fd = fd;
	t->ssl = SSL_new(ctx->ssl);
	bio = BIO_new(ctx->bio);
	if (!t->ssl || !bio || SSL_set_app_data(t->ssl, t) != 1 ||
	    tls_set_host(ctx, host, t->ssl) < 0) {
		BIO_free(bio);
		SSL_free(t->ssl);
		free(t);
		return NULL;
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_connect_state(t->ssl);
	ticket = tls_ticket_take(ctx, host);
	if (ticket) {
		SSL_set_session(t->ssl, ticket);	/* in vain: a full handshake */
		SSL_SESSION_free(ticket);
	}
	return t;
}

/* Everything that must hold before a byte of HTTP, full handshake or resumed. */
static bool peer_good(struct tls *t)
{
	X509 *leaf = SSL_get1_peer_certificate(t->ssl);
	const uint8_t *alpn;
	unsigned int len;
	bool good = false;

	SSL_get0_alpn_selected(t->ssl, &alpn, &len);
	if (!leaf || X509_digest(leaf, EVP_sha256(), t->cert_sha256, NULL) != 1)
		tls_why(t, t->ctx->pinned ? CAUSE_PIN : CAUSE_CHAIN,
			"it presented no certificate", NULL);
	else if (SSL_version(t->ssl) < TLS1_2_VERSION)
		tls_why(t, CAUSE_TLS_VERSION, "it agreed on an old version",
			SSL_get_version(t->ssl));
	else if (SSL_version(t->ssl) == TLS1_2_VERSION && SSL_get_extms_support(t->ssl) != 1)
		tls_why(t, CAUSE_TLS_VERSION,
			"it speaks TLS 1.2 without the extended master secret", NULL);
	else if (len != 0 && (len != 8 || memcmp(alpn, "http/1.1", 8) != 0))
		tls_why(t, CAUSE_ODD_ANSWER, "it chose another protocol than http/1.1 (ALPN)",
			NULL);
	else if (!t->ctx->pinned && SSL_get_verify_result(t->ssl) != X509_V_OK)
		tls_why(t, CAUSE_CHAIN, "its certificate was not verified",
			X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)));
	else
		good = tls_check_leaf(t->ctx, t->host, leaf, &t->cause, t->why,
				      sizeof(t->why));
	X509_free(leaf);
	ERR_clear_error();
	return good;
}

int tls_handshake(struct tls *t)
{
	int ret, err;

	ERR_clear_error();
	t->want_write = false;
	ret = SSL_do_handshake(t->ssl);
	if (ret != 1) {
		err = SSL_get_error(t->ssl, ret);
		if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE) {
			t->want_write = err == SSL_ERROR_WANT_WRITE;
			return -EAGAIN;
		}
		tls_judge(t, err);
		return -EIO;
	}
	if (!peer_good(t)) {
		tls_tickets_drop(t->ctx, t->host);
		return -EIO;
	}
	/* TLS 1.2 gives no new ticket when it resumes: the old one serves again */
	if (SSL_version(t->ssl) == TLS1_2_VERSION && SSL_session_reused(t->ssl)) {
		SSL_SESSION *s = SSL_get1_session(t->ssl);

		if (s && SSL_SESSION_is_resumable(s) && !t->ctx->tickets[t->host][0])
			tls_ticket_keep(t->ctx, t->host, s);
		else
			SSL_SESSION_free(s);
	}
	t->phase = TLS_ANSWER;
	return 0;
}

/* ---- records -------------------------------------------------------------------- */

/* The end of what can be read: 0 or -EIO. */
static ssize_t read_end(struct tls *t, int err)
{
	if (err == SSL_ERROR_ZERO_RETURN || (t->eof && t->phase == TLS_LIVE)) {
		ERR_clear_error();
		t->eof = true;
		return 0;
	}
	if (t->eof && ERR_peek_error() == 0)
		return 0;
	tls_judge(t, err);
	return -EIO;
}

ssize_t tls_read(struct tls *t, uint8_t *buf, size_t size)
{
	size_t got = 0, n;
	int ret, err;

	if (t->deferred)
		return t->cause == CAUSE_NONE ? 0 : -EIO;
	while (got < size) {
		ERR_clear_error();
		ret = SSL_read_ex(t->ssl, buf + got, size - got, &n);
		if (ret == 1) {
			got += n;
			t->drained = false;
			if (!SSL_has_pending(t->ssl))
				break;
			continue;
		}
		err = SSL_get_error(t->ssl, ret);
		if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE) {
			/* WANT_WRITE: an answer of TLS itself is stuck; tls_write()
			 * clears the way and says so through tls_has_pending() */
			t->drained = true;
			t->read_blocked = err == SSL_ERROR_WANT_WRITE;
			return got ? (ssize_t)got : -EAGAIN;
		}
		t->deferred = true;
		if (read_end(t, err) == 0 && !got)
			return 0;
		return got ? (ssize_t)got : -EIO;
	}
	return (ssize_t)got;
}

bool tls_has_pending(const struct tls *t)
{
	return t->deferred || (!t->drained && SSL_has_pending(t->ssl));
}

/* AES-GCM must not protect unlimited records with one key. */
static void key_update(struct tls *t)
{
	if (t->sent < LIMIT_KEY_BYTES || t->retry || SSL_version(t->ssl) < TLS1_3_VERSION)
		return;
	if (SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
		t->sent = 0;
}

ssize_t tls_write(struct tls *t, const uint8_t *buf, size_t len)
{
	size_t done = 0, part, n;
	int ret, err;

	if (t->write_dead || len < t->retry)
		return -EIO;
	key_update(t);
	while (done < len) {
		part = len - done < LIMIT_RECORD ? len - done : LIMIT_RECORD;
		/* no record is made that could not be held */
		if (sizeof(t->out) - t->out_len < part + LIMIT_RECORD_EXTRA && out_send(t) < 0)
			break;
		ERR_clear_error();
		ret = SSL_write_ex(t->ssl, buf + done, part, &n);
		if (ret == 1 && !t->write_error) {
			done += n;
			t->sent += n;
			t->retry = 0;
			continue;
		}
		err = ret == 1 ? SSL_ERROR_SYSCALL : SSL_get_error(t->ssl, ret);
		if (err == SSL_ERROR_WANT_WRITE || err == SSL_ERROR_WANT_READ) {
			t->retry = part > t->retry ? part : t->retry;
			break;
		}
		t->write_dead = true;
		ERR_clear_error();
		break;
	}
	if (done && t->read_blocked)
		t->read_blocked = t->drained = false;
	if (done)
		return (ssize_t)done;
	return t->write_dead ? -EIO : -EAGAIN;
}

int tls_flush(struct tls *t)
{
	return out_send(t);
}

void tls_close(struct tls *t, bool clean)
{
	if (!t)
		return;
	ERR_clear_error();
	if (clean && SSL_is_init_finished(t->ssl) && !t->write_dead && !t->retry)
		SSL_shutdown(t->ssl);
	out_send(t);
	/* else OpenSSL takes a cut connection's ticket for unusable */
	SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	ERR_clear_error();
	free(t);
}
