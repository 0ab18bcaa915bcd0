/* SPDX-License-Identifier: MIT */
/*
 * tunnel_rig.h - a tunnel in memory, for the tests of client/:
 *
 *	the test as app -- socket pair as TUN -- tunnel, netstack, mux (client)
 *	     == two buffers ==  mux (server) -- the test as far side
 *
 * No root, no clock (r->now), no threads.  rig_pump() moves everything that
 * can be moved.
 */
#ifndef TUNNEL_RIG_H
#define TUNNEL_RIG_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/tunnel_priv.h"

#define RIG_STREAMS	64
#define RIG_DGRAMS	256
#define RIG_ECHO	(1u << 20)
#define RIG_WIRE	(256u << 10)
#define RIG_ACCEPT	0
#define RIG_WAIT	(-1)

struct rig_stream {			/* of the far side */
	struct mux_stream *s;
	struct mux_open open;
	uint8_t *data;			/* received, to be pulled back */
	size_t len, pulled;
	bool fin, reset, closed;
	uint8_t reason;
};

struct rig_dgram {
	struct rig_stream *stream;
	struct mux_dgram d;
	size_t len;
	uint8_t data[2048];
};

struct rig {
	uint64_t now;
	struct profile profile;
	struct plan_offer offer;
	struct loop *loop;
	struct sock_stock socks;
	int app, helper;		/* the test's ends */
	int tun_fd;
	struct tunnel *t;
	struct bufpool *pool;
	struct mux *c, *s;		/* NULL: no session */
	uint8_t wire[RIG_WIRE];		/* towards the far side */
	size_t wire_len;
	struct buf *rx;			/* towards the client */
	size_t rx_len;

	int answer;			/* RIG_ACCEPT, RIG_WAIT, or a reason */
	bool echo;			/* far side sends back what comes */
	struct rig_stream streams[RIG_STREAMS];
	uint32_t n_streams;
	struct rig_dgram dgrams[RIG_DGRAMS];
	uint32_t n_dgrams;
};

/* ---- the far side ------------------------------------------------------------------ */

static inline size_t rig_server_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	struct rig_stream *st = user;
	size_t n = st->len - st->pulled;

	(void)ctx;
	if (n > max)
		n = max;
	memcpy(dst, st->data + st->pulled, n);
	st->pulled += n;
	return n;
}

static inline void rig_server_closed(void *ctx, void *user)
{
	struct rig_stream *st = user;

	(void)ctx;
	if (!st)
		return;
	st->closed = true;
	st->s = NULL;
}

static const struct mux_ops rig_server_ops = { rig_server_pull, rig_server_closed };

static inline void rig_server_open(struct rig *r, const struct mux_event *ev)
{
	struct rig_stream *st = &r->streams[r->n_streams];

	ck_assert_uint_lt(r->n_streams, RIG_STREAMS);
	r->n_streams++;
	memset(st, 0, sizeof(*st));
	st->s = ev->stream;
	st->open = ev->u.open;
	if (r->answer > 0) {
		mux_stream_refuse(r->s, ev->stream, (enum mux_refused)r->answer);
		st->s = NULL;
		return;
	}
	mux_stream_set_user(ev->stream, st);
	if (r->answer == RIG_ACCEPT) {
		struct ipaddr none = { 0 };

		mux_stream_accept(r->s, ev->stream, &none, 0, r->now);
	}
}

static inline void rig_server_event(struct rig *r, const struct mux_event *ev)
{
	struct rig_stream *st = ev->user;
	struct rig_dgram *d;

	if (ev->type == MUX_EV_OPEN) {
		rig_server_open(r, ev);
	} else if (ev->type == MUX_EV_DATA) {
		if (!st->data)
			st->data = malloc(RIG_ECHO);
		ck_assert_uint_le(st->len + ev->len, RIG_ECHO);
		memcpy(st->data + st->len, ev->data, ev->len);
		st->len += ev->len;
		mux_stream_consumed(r->s, ev->stream, (uint32_t)ev->len, r->now);
		if (r->echo)
			mux_stream_ready(r->s, ev->stream, r->now);
	} else if (ev->type == MUX_EV_FIN) {
		st->fin = true;
		if (r->echo)
			mux_stream_fin(r->s, ev->stream);
	} else if (ev->type == MUX_EV_RESET) {
		st->reset = true;
		st->reason = ev->u.reason;
	} else if (ev->type == MUX_EV_DGRAM && st) {
		ck_assert_uint_lt(r->n_dgrams, RIG_DGRAMS);
		d = &r->dgrams[r->n_dgrams++];
		d->stream = st;
		d->d = ev->u.dgram;
		d->len = ev->len;
		memcpy(d->data, ev->data, ev->len < sizeof(d->data) ? ev->len : sizeof(d->data));
	}
}

/* ---- the wire ------------------------------------------------------------------------ */

static inline bool rig_up(struct rig *r)
{
	struct mux_event ev;
	const uint8_t *p;
	size_t len, used, at = 0;
	bool moved = false;
	int ret;

	while (r->wire_len < RIG_WIRE / 2 && (p = mux_output(r->c, 65536, &len, r->now))) {
		memcpy(r->wire + r->wire_len, p, len);
		r->wire_len += len;
		mux_written(r->c, len);
		moved = true;
	}
	do {
		ret = mux_recv(r->s, r->wire + at, r->wire_len - at, &used, &ev, r->now);
		ck_assert_msg(ret >= 0, "%s", mux_error(r->s));
		at += used;
		if (ret)
			rig_server_event(r, &ev);
	} while (ret);
	memmove(r->wire, r->wire + at, r->wire_len - at);
	r->wire_len -= at;
	mux_recv_done(r->s, r->now);
	return moved;
}

static inline bool rig_down(struct rig *r)
{
	struct mux_event ev;
	const uint8_t *p;
	size_t len, used, at = 0;
	bool moved = false;
	struct buf *b;
	int ret;

	while (r->rx_len < RIG_WIRE / 2 && (p = mux_output(r->s, 65536, &len, r->now))) {
		memcpy(r->rx->data + r->rx_len, p, len);
		r->rx_len += len;
		mux_written(r->s, len);
		moved = true;
	}
	do {
		ret = mux_recv(r->c, r->rx->data + at, r->rx_len - at, &used, &ev, r->now);
		ck_assert_msg(ret >= 0, "%s", mux_error(r->c));
		at += used;
		if (ret && ev.stream)
			tunnel_mux_event(r->t, &ev, r->rx, r->now);
	} while (ret);
	b = buf_get(r->pool);
	ck_assert_ptr_nonnull(b);
	memcpy(b->data, r->rx->data + at, r->rx_len - at);
	buf_unref(r->rx);
	r->rx = b;
	r->rx_len -= at;
	mux_recv_done(r->c, r->now);
	return moved;
}

static inline void rig_pump(struct rig *r)
{
	int i, still = 0;

	tunnel_timer(r->t, r->now);
	for (i = 0; i < 10000 && still < 2; i++) {
		bool moved = false;

		tunnel_tun_ready(r->t, r->now);
		if (r->c) {
			moved |= rig_up(r);
			moved |= rig_down(r);
		}
		tunnel_flush(r->t, r->now);
		still = moved ? 0 : still + 1;
	}
	tunnel_timer(r->t, r->now);
	tunnel_flush(r->t, r->now);
}

/* let @us pass in steps, timers served */
static inline void rig_wait(struct rig *r, uint64_t us)
{
	uint64_t end = r->now + us;

	while (r->now < end) {
		uint64_t next = tunnel_timer(r->t, r->now);

		ck_assert_uint_gt(next, r->now);
		r->now = next < end ? next : end;
		if (r->c)
			mux_timer(r->c, r->now);
		if (r->s)
			mux_timer(r->s, r->now);
		rig_pump(r);
	}
}

/* ---- life --------------------------------------------------------------------------------- */

static inline struct ipaddr rig_addr(const char *text)
{
	struct ipaddr a;

	ck_assert_int_eq(addr_parse(text, &a), 0);
	return a;
}

static inline void rig_attach(struct rig *r)
{
	static const char json[] = "{\"interface4\":\"10.9.0.2\"}";
	struct mux_config config = { .role = MUX_CLIENT, .max_streams = 65536 };

	r->c = mux_new(&config, &tunnel_mux_ops, r->t);
	config.role = MUX_SERVER;
	r->s = mux_new(&config, &rig_server_ops, r);
	ck_assert(r->c && r->s);
	ck_assert_int_eq(mux_send_config(r->s, json, sizeof(json) - 1), 0);
	rig_pump(r);
	tunnel_attach(r->t, r->c, r->now);
	rig_pump(r);
}

static inline void rig_detach(struct rig *r)
{
	tunnel_detach(r->t, r->now);
	mux_free(r->c);
	mux_free(r->s);
	r->c = r->s = NULL;
	r->wire_len = r->rx_len = 0;
	tunnel_flush(r->t, r->now);
}

static inline struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct tunnel_env env;
	int tun[2], helper[2], size = 4 << 20;

	ck_assert_ptr_nonnull(r);
	r->now = 1000 * USEC_PER_SEC;
	profile_defaults(&r->profile);
	r->offer.addr4 = rig_addr("10.9.0.2");
	r->offer.addr6 = rig_addr("fd00:9::2");
	r->offer.mtu = 1400;
	r->offer.n_resolvers = 2;
	r->offer.resolvers[0] = rig_addr("10.0.0.53");
	r->offer.resolvers[1] = rig_addr("10.0.1.53");
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, tun), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, helper), 0);
	setsockopt(tun[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(tun[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r->tun_fd = tun[0];
	r->app = tun[1];
	r->helper = helper[1];
	sock_stock_init(&r->socks, helper[0]);
	r->loop = loop_new();
	r->pool = bufpool_new(RIG_WIRE, 4096);
	r->rx = buf_get(r->pool);
	ck_assert(r->loop && r->rx);
	env = (struct tunnel_env){ .loop = r->loop, .socks = &r->socks, .profile = &r->profile,
				   .service4 = rig_addr("198.18.53.53"),
				   .service6 = rig_addr("fd61:7070:7475::53") };
	r->t = tunnel_new(&env, r->tun_fd, false, &r->offer, r->now);
	ck_assert_ptr_nonnull(r->t);
	r->echo = true;
	return r;
}

static inline void rig_free(struct rig *r)
{
	uint32_t i;

	if (r->c)
		rig_detach(r);
	tunnel_free(r->t);
	buf_unref(r->rx);
	ck_assert_uint_eq(bufpool_in_use(r->pool), 0);
	bufpool_free(r->pool);
	loop_free(r->loop);
	close(r->socks.helper);
	r->socks.helper = -1;
	sock_stock_free(&r->socks);
	close(r->tun_fd);
	close(r->app);
	close(r->helper);
	for (i = 0; i < RIG_STREAMS; i++)
		free(r->streams[i].data);
	free(r);
}

/* ---- packets of the app --------------------------------------------------------------------- */

#define TCP_FIN	0x01
#define TCP_SYN	0x02
#define TCP_RST	0x04
#define TCP_PSH	0x08
#define TCP_ACK	0x10

struct rig_packet {			/* one that came out of the TUN */
	struct ipaddr src, dst;
	uint8_t proto;
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags;			/* TCP */
	uint8_t type, code;		/* ICMP */
	const uint8_t *data;
	size_t len;
	uint8_t raw[65600];
};

static inline uint32_t rig_sum(uint32_t sum, const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline void rig_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void rig_put32(uint8_t *p, uint32_t v)
{
	rig_put16(p, v >> 16);
	rig_put16(p + 2, v);
}

/* @l4 with a zero checksum at @check */
static inline void rig_send_ip(struct rig *r, const struct ipaddr *src, const struct ipaddr *dst,
			       uint8_t proto, uint8_t *l4, size_t len, size_t check)
{
	static uint8_t p[65600];
	size_t h = src->family == 4 ? 20 : 40, al = addr_len(src->family);
	uint32_t sum = 0;

	if (proto != 1) {
		sum = rig_sum(0, src->bytes, al);
		sum = rig_sum(sum, dst->bytes, al);
		sum = rig_sum(sum + proto + (uint32_t)len, NULL, 0);
	}
	rig_put16(l4 + check, ~rig_sum(sum, l4, len));
	memset(p, 0, h);
	if (src->family == 4) {
		p[0] = 0x45;
		rig_put16(p + 2, (uint32_t)(h + len));
		p[8] = 64;
		p[9] = proto;
		memcpy(p + 12, src->bytes, 4);
		memcpy(p + 16, dst->bytes, 4);
		rig_put16(p + 10, ~rig_sum(0, p, 20));
	} else {
		p[0] = 0x60;
		rig_put16(p + 4, (uint32_t)len);
		p[6] = proto;
		p[7] = 64;
		memcpy(p + 8, src->bytes, 16);
		memcpy(p + 24, dst->bytes, 16);
	}
	memcpy(p + h, l4, len);
	ck_assert_int_eq(write(r->app, p, h + len), (ssize_t)(h + len));
}

static inline void rig_send_udp(struct rig *r, const char *src, uint16_t sport, const char *dst,
				uint16_t dport, const void *data, size_t len)
{
	struct ipaddr s = rig_addr(src), d = rig_addr(dst);
	static uint8_t l4[65600];

	rig_put16(l4, sport);
	rig_put16(l4 + 2, dport);
	rig_put16(l4 + 4, (uint32_t)(8 + len));
	rig_put16(l4 + 6, 0);
	memcpy(l4 + 8, data, len);
	rig_send_ip(r, &s, &d, 17, l4, 8 + len, 6);
}

static inline void rig_send_echo(struct rig *r, const char *src, const char *dst, uint16_t id,
				 uint16_t seq, const char *text)
{
	struct ipaddr s = rig_addr(src), d = rig_addr(dst);
	uint8_t l4[256] = { 0 };

	l4[0] = s.family == 4 ? 8 : 128;
	rig_put16(l4 + 4, id);
	rig_put16(l4 + 6, seq);
	memcpy(l4 + 8, text, strlen(text));
	rig_send_ip(r, &s, &d, s.family == 4 ? 1 : 58, l4, 8 + strlen(text), 2);
}

struct rig_tcp {			/* a tiny TCP of an app */
	struct rig *r;
	struct ipaddr src, dst;
	uint16_t sport, dport;
	uint32_t seq, ack;		/* next to send, next expected */
};

static inline void rig_tcp_send(struct rig_tcp *c, uint8_t flags, const void *data, size_t len)
{
	static uint8_t l4[65600];
	size_t h = flags & TCP_SYN ? 24 : 20;

	memset(l4, 0, 24);
	rig_put16(l4, c->sport);
	rig_put16(l4 + 2, c->dport);
	rig_put32(l4 + 4, c->seq);
	rig_put32(l4 + 8, flags & TCP_ACK ? c->ack : 0);
	l4[12] = (uint8_t)(h / 4 << 4);
	l4[13] = flags;
	rig_put16(l4 + 14, 65535);
	if (flags & TCP_SYN) {
		l4[20] = 2;
		l4[21] = 4;
		rig_put16(l4 + 22, 1360);
	}
	if (len)
		memcpy(l4 + h, data, len);
	rig_send_ip(c->r, &c->src, &c->dst, 6, l4, h + len, 16);
	c->seq += (uint32_t)len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
}

static inline struct rig_tcp rig_tcp_syn(struct rig *r, const char *src, uint16_t sport,
					 const char *dst, uint16_t dport)
{
	struct rig_tcp c = { .r = r, .src = rig_addr(src), .dst = rig_addr(dst),
			     .sport = sport, .dport = dport, .seq = 1000 };

	rig_tcp_send(&c, TCP_SYN, NULL, 0);
	return c;
}

/* The next packet for the app.  Return: false: none */
static inline bool rig_read(struct rig *r, struct rig_packet *p)
{
	ssize_t n = read(r->app, p->raw, sizeof(p->raw));
	const uint8_t *l4;
	size_t h;

	if (n < 20)
		return false;
	memset(p, 0, offsetof(struct rig_packet, raw));
	if (p->raw[0] >> 4 == 4) {
		h = (p->raw[0] & 15u) * 4;
		p->proto = p->raw[9];
		p->src.family = p->dst.family = 4;
		memcpy(p->src.bytes, p->raw + 12, 4);
		memcpy(p->dst.bytes, p->raw + 16, 4);
	} else {
		h = 40;
		p->proto = p->raw[6];
		p->src.family = p->dst.family = 6;
		memcpy(p->src.bytes, p->raw + 8, 16);
		memcpy(p->dst.bytes, p->raw + 24, 16);
	}
	l4 = p->raw + h;
	p->len = (size_t)n - h;
	if (p->proto == 1 || p->proto == 58) {
		p->type = l4[0];
		p->code = l4[1];
		p->data = l4 + 4;
		p->len -= 4;
		return true;
	}
	p->src_port = (uint16_t)(l4[0] << 8 | l4[1]);
	p->dst_port = (uint16_t)(l4[2] << 8 | l4[3]);
	h = 8;
	if (p->proto == 6) {
		p->seq = ntohl(*(const uint32_t *)(const void *)(l4 + 4));
		p->ack = ntohl(*(const uint32_t *)(const void *)(l4 + 8));
		h = (l4[12] >> 4) * 4u;
		p->flags = l4[13];
	}
	p->data = l4 + h;
	p->len -= h;
	return true;
}

/* Read the SYN-ACK and answer it. */
static inline void rig_tcp_established(struct rig_tcp *c)
{
	static struct rig_packet p;

	ck_assert(rig_read(c->r, &p));
	ck_assert_uint_eq(p.proto, 6);
	ck_assert_uint_eq(p.flags & (TCP_SYN | TCP_ACK | TCP_RST), TCP_SYN | TCP_ACK);
	c->ack = p.seq + 1;
	rig_tcp_send(c, TCP_ACK, NULL, 0);
}

/*
 * Read and acknowledge what came on this connection.
 * Return: bytes in @buf; *flags: all flags seen
 */
static inline size_t rig_tcp_read(struct rig_tcp *c, uint8_t *buf, size_t size, uint8_t *flags)
{
	static struct rig_packet p;
	bool news = false;
	size_t n = 0;

	*flags = 0;
	while (rig_read(c->r, &p)) {
		if (p.proto != 6 || p.dst_port != c->sport)
			continue;
		*flags |= p.flags;
		if (p.flags & TCP_RST || p.seq != c->ack)
			continue;
		ck_assert_uint_le(n + p.len, size);
		memcpy(buf + n, p.data, p.len);
		n += p.len;
		c->ack += (uint32_t)p.len + !!(p.flags & TCP_FIN);
		news = news || p.len || p.flags & TCP_FIN;
	}
	if (news)
		rig_tcp_send(c, TCP_ACK, NULL, 0);
	return n;
}

static inline int rig_main(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}

#endif
