/* SPDX-License-Identifier: MIT */
/*
 * conn_live.c - what a connection says of itself, and the bytes that flow
 * once it is live.
 */
#include "client/conn_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "client/log.h"

enum conn_stage conn_stage(const struct conn *c)
{
	return c->stage;
}

enum cause conn_cause(const struct conn *c, uint32_t *retry_after_s)
{
	if (retry_after_s)
		*retry_after_s = c->retry_after_s;
	return c->cause;
}

const char *conn_why(const struct conn *c)
{
	return c->why;
}

const struct atp_answer *conn_answer(const struct conn *c)
{
	return &c->reader.answer;
}

void conn_peer(const struct conn *c, struct ipaddr *addr, uint16_t *port,
	       uint8_t cert_sha256[32], bool *pinned)
{
	*addr = c->peer;
	*port = c->h->port;
	memset(cert_sha256, 0, 32);
	if (c->tls)
		memcpy(cert_sha256, c->tls->cert_sha256, 32);
	*pinned = c->env.tls->pinned;
}

const char *conn_tls_version(const struct conn *c)
{
	return c->tls ? SSL_get_version(c->tls->ssl) : "-";
}

const char *conn_cipher(const struct conn *c)
{
	const char *name = c->tls ? SSL_get_cipher_name(c->tls->ssl) : NULL;

	return name ? name : "-";
}

bool conn_resumed(const struct conn *c)
{
	return c->tls && SSL_session_reused(c->tls->ssl);
}

void conn_local(const struct conn *c, struct ipaddr *addr)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	*addr = (struct ipaddr){ 0 };
	if (c->src.fd >= 0 && getsockname(c->src.fd, (struct sockaddr *)&ss, &len) == 0)
		addr_from_sockaddr(&ss, addr, NULL);
}

uint64_t conn_answer_deadline(const struct conn *c)
{
	return c->stage == CONN_NEGOTIATING || c->stage == CONN_LIVE ? c->by : UINT64_MAX;
}

/* ---- bytes ------------------------------------------------------------------------------- */

static void conn_ended(struct conn *c, enum cause cause, const char *why)
{
	c->cause = cause;
	log_printable(why, strlen(why), c->why, sizeof(c->why));
}

ssize_t conn_read(struct conn *c, uint8_t *buf, size_t size)
{
	ssize_t n;

	if (c->stage != CONN_LIVE)
		return -EIO;
	if (c->early_at < c->early_len) {
		n = (ssize_t)(c->early_len - c->early_at < size ? c->early_len - c->early_at : size);
		memcpy(buf, c->early + c->early_at, (size_t)n);
		c->early_at += (size_t)n;
		return n;
	}
	n = tls_read(c->tls, buf, size);
	if (n == 0)
		conn_ended(c, CAUSE_CUT, "the far side closed the connection");
	else if (n < 0 && n != -EAGAIN)
		conn_ended(c, c->tls->cause, c->tls->why);
	return n;
}

ssize_t conn_write(struct conn *c, const uint8_t *buf, size_t len)
{
	ssize_t n;

	if (c->stage != CONN_LIVE)
		return -EIO;
	n = tls_write(c->tls, buf, len);
	if (n < 0 && n != -EAGAIN && c->cause == CAUSE_NONE)
		conn_ended(c, CAUSE_CUT, c->tls->write_error ?
			   strerror(c->tls->write_error) : "nothing can be sent any more");
	return n;
}

int conn_flush(struct conn *c)
{
	return c->stage == CONN_LIVE ? tls_flush(c->tls) : 0;
}

bool conn_has_pending(const struct conn *c)
{
	return c->stage == CONN_LIVE &&
	       (c->early_at < c->early_len || tls_has_pending(c->tls));
}

bool conn_key_worn(const struct conn *c)
{
	return c->tls && c->tls->sent >= LIMIT_KEY_BYTES &&
	       SSL_version(c->tls->ssl) < TLS1_3_VERSION;
}

void conn_keepalive(struct conn *c, bool on)
{
	int value = on, idle = LIMIT_KEEPALIVE_S, next = LIMIT_KEEPALIVE_NEXT_S;

	if (c->src.fd < 0 || c->keepalive == on)
		return;
	setsockopt(c->src.fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(c->src.fd, IPPROTO_TCP, TCP_KEEPINTVL, &next, sizeof(next));
	if (setsockopt(c->src.fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value)) == 0)
		c->keepalive = on;
}

void conn_lowat(struct conn *c, uint32_t bytes)
{
	if (bytes < LIMIT_LOWAT_MIN)
		bytes = LIMIT_LOWAT_MIN;
	if (bytes > LIMIT_LOWAT_MAX)
		bytes = LIMIT_LOWAT_MAX;
	if (c->src.fd < 0 || c->lowat == bytes)
		return;
	if (setsockopt(c->src.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes)) == 0)
		c->lowat = bytes;
}

struct loop_src *conn_src(struct conn *c)
{
	return &c->src;
}

uint64_t conn_rtt_us(const struct conn *c)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (c->src.fd < 0 || getsockopt(c->src.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	return info.tcpi_rtt;
}
