/* SPDX-License-Identifier: MIT */
/*
 * tcp.c - a stream's far connection.  Registered edge-triggered once: no epoll_ctl
 * while data flows.  What the device sends goes straight from the TLS buffer to
 * send(); what the backend sends is received straight into the mux's store.
 */
#define _GNU_SOURCE
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TCP_CHUNKS_FREE	1024	/* chunks kept for the next stream that blocks */
#define TCP_IOV		32

enum mux_refused tcp_reason(int err)
{
	switch (err) {
	case ECONNREFUSED:
	case ECONNRESET:
		return MUX_REF_CONN;
	case ENETUNREACH:
	case EAFNOSUPPORT:
		return MUX_REF_NET;
	case ETIMEDOUT:
		return MUX_REF_TIMEOUT;
	case EACCES:
	case EPERM:
		return MUX_REF_DENIED;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case EADDRNOTAVAIL:
	case EAGAIN:
		return MUX_REF_LIMIT;
	}
	return MUX_REF_HOST;
}

/* ---- connecting ---------------------------------------------------------- */

static void tcp_connected(struct stream *st)
{
	struct sentry *s = st->ses->s;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct ipaddr local = { 0 };
	uint16_t port = 0;
	int one = 1;

	if (getsockname(st->src.fd, (struct sockaddr *)&ss, &len) == 0)
		addr_from_sockaddr(&ss, &local, &port);
	setsockopt(st->src.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	timer_off(&s->loop, &st->timer);
	free(st->opening);
	st->opening = NULL;
	st->state = STREAM_OPEN;
	mux_stream_accept(st->ses->mux, st->ms, &local, port, s->now);
	conn_touch(st->ses->conn);
}

/* Return: 0 under way, or an errno */
static int tcp_try(struct stream *st, const struct ipaddr *a)
{
	struct sentry *s = st->ses->s;
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, st->port, &ss);
	int err, one = 1;

	st->src.fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (st->src.fd < 0)
		return errno;
	setsockopt(st->src.fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(st->src.fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) {
		err = errno;
	} else {
		/* also when it stands at once: EPOLLOUT says so */
		err = -loop_add(&s->loop, &st->src, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
		if (!err)
			return 0;
	}
	loop_close(&s->loop, &st->src);
	return err;
}

void tcp_connect(struct stream *st)
{
	struct opening *op = st->opening;

	while (op->next_addr < op->n_addrs) {
		int err;

		st->addr = op->addrs[op->next_addr++];
		err = tcp_try(st, &st->addr);
		if (!err)
			return;
		op->reason = tcp_reason(err);
	}
	stream_refuse(st, op->reason);
}

static void tcp_connecting(struct stream *st, uint32_t events)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	getsockopt(st->src.fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err || (events & EPOLLHUP)) {
		st->opening->reason = tcp_reason(err ? err : ECONNRESET);
		loop_close(&st->ses->s->loop, &st->src);
		tcp_connect(st);
		return;
	}
	tcp_connected(st);
}

/* ---- to the backend ------------------------------------------------------ */

static struct chunk *chunk_get(struct sentry *s)
{
	struct chunk *c = s->chunks;

	if (c) {
		s->chunks = c->next;
		s->n_chunks--;
	} else {
		c = malloc(sizeof(*c));
	}
	if (c) {
		c->next = NULL;
		c->start = c->end = 0;
	}
	return c;
}

static void chunk_put(struct sentry *s, struct chunk *c)
{
	if (s->n_chunks >= TCP_CHUNKS_FREE) {
		free(c);
		return;
	}
	c->next = s->chunks;
	s->chunks = c;
	s->n_chunks++;
}

void tcp_free_out(struct stream *st)
{
	struct chunk *c;

	while ((c = st->out)) {
		st->out = c->next;
		chunk_put(st->ses->s, c);
	}
	st->out_last = NULL;
	st->out_bytes = 0;
}

/* Bounded by the window that this side granted.  Return: 0, -ENOMEM */
static int out_append(struct stream *st, const uint8_t *p, size_t len)
{
	while (len) {
		struct chunk *c = st->out_last;
		size_t n;

		if (!c || c->end == sizeof(c->data)) {
			c = chunk_get(st->ses->s);
			if (!c)
				return -ENOMEM;
			if (st->out_last)
				st->out_last->next = c;
			else
				st->out = c;
			st->out_last = c;
		}
		n = sizeof(c->data) - c->end;
		if (n > len)
			n = len;
		memcpy(c->data + c->end, p, n);
		c->end += (uint32_t)n;
		st->out_bytes += (uint32_t)n;
		p += n;
		len -= n;
	}
	return 0;
}

static void tcp_took(struct stream *st, size_t n)
{
	struct session *ses = st->ses;

	st->far_out += n;
	ses->far_out += n;
	ses->s->counters.far_out += n;
	if (st->ms) {
		mux_stream_consumed(ses->mux, st->ms, (uint32_t)n, ses->s->now);
		conn_touch(ses->conn);
	}
}

/* The far connection was reset.  What it sent before is still delivered. */
static void tcp_failed(struct stream *st)
{
	char c;

	if (st->far_dead)
		return;
	st->far_dead = true;
	tcp_free_out(st);
	if (!st->ms) {
		stream_gone(st, true);
	} else if (recv(st->src.fd, &c, 1, MSG_PEEK) == 1) {
		mux_stream_ready(st->ses->mux, st->ms, st->ses->s->now);
		conn_touch(st->ses->conn);
	} else {
		stream_reset(st, MUX_RST_RESET);
	}
}

static void tcp_shut(struct stream *st)
{
	if (!st->fin_in || st->fin_sent || st->out)
		return;
	st->fin_sent = true;
	shutdown(st->src.fd, SHUT_WR);
}

void tcp_write(struct stream *st, const struct iovec *iov, int n, size_t len)
{
	struct msghdr mh = { .msg_iov = (struct iovec *)(uintptr_t)iov,
			     .msg_iovlen = (size_t)n };
	ssize_t took = 0;
	size_t skip;

	if (st->state != STREAM_OPEN || st->far_dead || st->fin_in)
		return;		/* its credit stays out: the end is near */
	if (!st->out) {
		took = sendmsg(st->src.fd, &mh, MSG_NOSIGNAL);
		if (took < 0 && errno != EAGAIN && errno != EINTR) {
			tcp_failed(st);
			return;
		}
		if (took > 0)
			tcp_took(st, (size_t)took);
		if ((size_t)took == len)
			return;
	}
	skip = took > 0 ? (size_t)took : 0;
	for (int i = 0; i < n; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		if (out_append(st, (const uint8_t *)iov[i].iov_base + skip,
			       iov[i].iov_len - skip)) {
			stream_reset(st, MUX_RST_LIMIT);
			return;
		}
		skip = 0;
	}
}

static void tcp_flush(struct stream *st)
{
	while (st->out) {
		struct iovec iov[TCP_IOV];
		struct msghdr mh = { .msg_iov = iov };
		size_t len = 0, left;
		ssize_t n;

		for (struct chunk *c = st->out; c && mh.msg_iovlen < TCP_IOV; c = c->next) {
			iov[mh.msg_iovlen].iov_base = c->data + c->start;
			iov[mh.msg_iovlen++].iov_len = c->end - c->start;
			len += c->end - c->start;
		}
		n = sendmsg(st->src.fd, &mh, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				tcp_failed(st);
			return;
		}
		st->out_bytes -= (uint32_t)n;
		for (left = (size_t)n; left; ) {
			struct chunk *c = st->out;
			size_t m = c->end - c->start;

			if (left < m) {
				c->start += (uint32_t)left;
				break;
			}
			left -= m;
			st->out = c->next;
			chunk_put(st->ses->s, c);
		}
		if (!st->out)
			st->out_last = NULL;
		tcp_took(st, (size_t)n);
		if ((size_t)n < len)
			return;
	}
	tcp_shut(st);
	if (st->state == STREAM_DRAINING)
		stream_gone(st, false);
}

void tcp_fin(struct stream *st)
{
	st->fin_in = true;
	if (st->state == STREAM_OPEN && !st->far_dead)
		tcp_shut(st);
}

/* ---- from the backend ---------------------------------------------------- */

size_t tcp_pull(struct stream *st, uint8_t *dst, size_t max)
{
	size_t got = 0;

	if (st->state != STREAM_OPEN)
		return 0;
	while (got < max) {
		ssize_t n = recv(st->src.fd, dst + got, max - got, 0);

		if (n > 0) {
			got += (size_t)n;
			/* a short read emptied the socket; an edge tells of more */
			if (got < max && !st->far_fin && !st->far_dead)
				break;
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		/* end of file: EPOLLRDHUP says it to the mux; an error: reap does */
		if (n < 0 || st->far_dead) {
			st->far_dead = true;
			stream_forget(st);
		}
		break;
	}
	st->far_in += got;
	st->ses->far_in += got;
	st->ses->s->counters.far_in += got;
	return got;
}

void tcp_event(struct stream *st, uint32_t events)
{
	struct session *ses = st->ses;

	if (st->state == STREAM_CONNECTING) {
		tcp_connecting(st, events);
		/* what came in the same edge is not told again */
		if (st->state != STREAM_OPEN)
			return;
	}
	if (st->state != STREAM_OPEN && st->state != STREAM_DRAINING)
		return;
	if (events & EPOLLERR) {
		tcp_failed(st);
		return;
	}
	if (events & EPOLLOUT) {
		tcp_flush(st);
		if (st->state == STREAM_GONE)
			return;
	}
	if (!st->ms || ses->closing)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP)) {
		mux_stream_ready(ses->mux, st->ms, ses->s->now);
		conn_touch(ses->conn);
	}
	if ((events & EPOLLRDHUP) && !st->far_fin) {
		st->far_fin = true;
		mux_stream_fin(ses->mux, st->ms);
	}
}
