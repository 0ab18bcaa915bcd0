/* SPDX-License-Identifier: MIT */
/*
 * session_io.c - a session's bytes: what TLS gives to frames, frames to streams,
 * and back.
 */
#define _GNU_SOURCE
#include "tests/sentry/session_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_IN	(128 * 1024)	/* plain text parsed at once; over a frame's 65,544 */
#define SESSION_ROOM	(128 * 1024)	/* frames made ahead of the socket */
#define SESSION_RECORD	16384
#define SESSION_IOV	16
#define SESSION_RTT_US	(200 * USEC_PER_MSEC)

/* DATA of one stream, gathered over the frames of a burst into one system call */
struct batch {
	struct stream *st;
	int n;
	size_t len;
	struct iovec iov[SESSION_IOV];
};

/* one thread: one buffer, warm for whoever is served */
static uint8_t in[SESSION_IN];

/* ---- input --------------------------------------------------------------- */

static void batch_flush(struct batch *b)
{
	struct stream *st = b->st;

	if (!st)
		return;
	b->st = NULL;
	tcp_write(st, b->iov, b->n, b->len);
	b->n = 0;
	b->len = 0;
}

static void batch_add(struct batch *b, struct stream *st, const uint8_t *data, size_t len)
{
	if (b->st != st || b->n == SESSION_IOV)
		batch_flush(b);
	b->st = st;
	/* frames that follow each other are not adjacent: headers lie between */
	b->iov[b->n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	b->len += len;
}

static void session_probe(struct session *ses, bool answered)
{
	ses->probes++;
	ses->s->counters.probes++;
	session_say(ses, "probe", json_pack("{s:I,s:b}", "n", (json_int_t)ses->probes,
					    "answered", (int)answered));
}

static void session_event(struct session *ses, struct mux_event *ev, struct batch *b)
{
	struct stream *st = ev->user;

	if (ev->type == MUX_EV_DATA) {
		if (st && st->state != STREAM_GONE)
			batch_add(b, st, ev->data, ev->len);
		return;
	}
	batch_flush(b);
	switch (ev->type) {
	case MUX_EV_OPEN:
		ses->last_id = mux_stream_id(ev->stream);
		stream_open(ses, ev);
		break;
	case MUX_EV_FIN:
		if (st && st->state != STREAM_GONE)
			tcp_fin(st);
		break;
	case MUX_EV_RESET:
		if (st)
			st->reset_in = true;	/* closed() brings the rest */
		break;
	case MUX_EV_DGRAM:
		if (st && st->assoc && st->state != STREAM_GONE)
			assoc_dgram(st, &ev->u.dgram, ev->data, ev->len);
		break;
	case MUX_EV_PROBE:
		session_probe(ses, true);
		break;
	case MUX_EV_GOAWAY:
		session_say(ses, "session.bye", json_pack("{s:i,s:s%}", "reason",
			    (int)ev->u.goaway.reason, "text", ev->data ? (const char *)ev->data : "",
			    ev->data ? ev->len : 0));
		conn_finish(ses->conn);
		break;
	case MUX_EV_DATA:
	case MUX_EV_CONFIG:
	case MUX_EV_OPENED:
	case MUX_EV_REFUSED:
	case MUX_EV_DGRAM_ERROR:
	case MUX_EV_PROBE_REPLY:
		break;
	}
}

static void session_broken(struct session *ses)
{
	ses->s->counters.protocol_errors++;
	session_say(ses, "session.error", json_pack("{s:s}", "text", mux_error(ses->mux)));
	session_drop_streams(ses);
	conn_closing(ses->conn);
}

/*
 * Under the fault no-probe-reply a PROBE never reaches the mux, which would
 * answer it.  @len is cut to one frame, so that each frame is looked at.
 * Return: bytes of a PROBE at @p that was swallowed, 0: none
 */
static size_t probe_swallow(struct session *ses, const uint8_t *p, size_t *len)
{
	static const uint8_t probe[8] = { 0x11, 0, 0, 8, 0, 0, 0, 0 };
	struct fault *f;
	size_t frame;

	if (*len < LIMIT_FRAME_HEADER)
		return 0;
	frame = LIMIT_FRAME_HEADER + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
	if (frame < *len)
		*len = frame;
	if (*len < 16 || memcmp(p, probe, sizeof(probe)) != 0)
		return 0;
	f = fault_find(ses->s->faults, FAULT_NO_PROBE_REPLY, ses->device);
	if (!f)
		return 0;
	fault_fire(ses->s, f, ses->device);
	session_probe(ses, false);
	return 16;
}

/* Frames of @len bytes at in[].  Return: bytes taken; the session may be over. */
static size_t session_parse(struct session *ses, size_t len)
{
	struct sentry *s = ses->s;
	struct batch b = { 0 };
	struct mux_event ev;
	bool look = fault_find(s->faults, FAULT_NO_PROBE_REPLY, ses->device) != NULL;
	size_t off = 0;

	while (off < len && !ses->closing) {
		size_t n = len - off, used = 0;
		int r;

		if (look) {
			used = probe_swallow(ses, in + off, &n);
			off += used;
			if (used)
				continue;
		}
		r = mux_recv(ses->mux, in + off, n, &used, &ev, s->now);
		off += used;
		if (r < 0) {
			batch_flush(&b);
			if (!ses->closing)
				session_broken(ses);
			return len;
		}
		if (r == 0) {
			if (!used || !look)
				break;
			continue;	/* one frame was taken, it had no event */
		}
		session_event(ses, &ev, &b);
		if (ses->reap && !b.st)
			stream_reap(ses);
	}
	batch_flush(&b);
	if (ses->closing)
		return len;
	stream_reap(ses);
	return off;
}

/* Keeps the incomplete frame at the end of in[].  Return: 0, -ENOMEM */
static int keep_part(struct conn *c, size_t off, size_t len)
{
	c->part_len = len - off;
	if (!c->part_len)
		return 0;
	if (!c->part)
		c->part = malloc(LIMIT_FRAME_HEADER + LIMIT_PAYLOAD);
	if (!c->part)
		return -ENOMEM;
	memcpy(c->part, in + off, c->part_len);
	return 0;
}

void session_input(struct session *ses)
{
	struct conn *c = ses->conn;
	size_t have = c->part_len, burst = 0, off;
	int n = 1;

	c->read_again = false;
	if (c->no_read || ses->closing)
		return;
	if (have)
		memcpy(in, c->part, have);
	do {
		while (have < SESSION_IN && (n = conn_read(c, in + have, SESSION_IN - have)) > 0) {
			have += (size_t)n;
			burst += (size_t)n;
		}
		off = session_parse(ses, have);
		if (ses->closing)
			return;		/* GOAWAY either way: nothing more is read */
		memmove(in, in + off, have - off);
		have -= off;
	} while (n > 0 && burst < LIMIT_BURST);
	if (n < 0 || keep_part(c, 0, have)) {
		conn_drop(c, false, n == -EPIPE ? "end of file" : "cut");
		return;
	}
	/* OpenSSL may hold records that epoll knows nothing of */
	c->read_again = n > 0;
	mux_recv_done(ses->mux, ses->s->now);
	conn_touch(c);
}

/* ---- output -------------------------------------------------------------- */

/* Return: 1 all is out, 0 blocked, -EIO */
static int session_output(struct session *ses)
{
	struct conn *c = ses->conn;
	struct sentry *s = ses->s;
	size_t total = 0;
	int n;

	n = conn_write_head(c);
	while (n > 0) {
		size_t len = 0, off = 0;
		const uint8_t *span = mux_output(ses->mux, SESSION_ROOM, &len, s->now);

		if (!span || !len)
			break;
		while (off < len) {
			size_t piece = len - off < SESSION_RECORD ? len - off : SESSION_RECORD;

			n = conn_write(c, span + off, piece);
			if (n <= 0)
				break;
			off += (size_t)n;
		}
		mux_written(ses->mux, off);
		total += off;
		if (n > 0 && total >= LIMIT_BURST) {
			conn_touch(c);		/* others first */
			break;
		}
	}
	return n < 0 ? n : conn_push(c);
}

static void session_rtt(struct session *ses)
{
	struct conn *c = ses->conn;
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	if (ses->s->now < c->rtt_read + SESSION_RTT_US)
		return;
	c->rtt_read = ses->s->now;
	if (getsockopt(c->src.fd, IPPROTO_TCP, TCP_INFO, &ti, &len) == 0)
		mux_set_rtt(ses->mux, ti.tcpi_rtt);
}

void session_serve(struct session *ses)
{
	struct conn *c = ses->conn;
	struct sentry *s = ses->s;
	uint64_t next;
	int n;

	if (c->no_write)
		return;
	session_rtt(ses);
	n = c->want_write ? 0 : session_output(ses);
	stream_reap(ses);
	if (n < 0) {
		/* what the peer said last may say why */
		if (c->state == CONN_UP && !c->no_read)
			session_input(ses);
		if (c->ses)
			conn_drop(c, false, "cut");
		return;
	}
	if (c->state == CONN_CLOSING) {
		if (n > 0)
			conn_finish(c);
		return;
	}
	if (n > 0 && ses->fault_at && s->now >= ses->fault_at) {
		fault_apply(ses);
		if (c->state != CONN_UP)
			return;
	}
	next = mux_timer(ses->mux, s->now);
	if (next <= s->now)
		next = s->now + USEC_PER_MSEC;
	if (ses->fault_at && ses->fault_at < next)
		next = ses->fault_at > s->now ? ses->fault_at : s->now + USEC_PER_MSEC;
	if (next == UINT64_MAX)
		timer_off(&s->loop, &ses->mux_timer);
	else
		timer_set(&s->loop, &ses->mux_timer, next);
}
