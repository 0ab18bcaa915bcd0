/* SPDX-License-Identifier: MIT */
/*
 * fake_tun.h - a netstack between a pretended TUN device and a pretended owner,
 * and a small TCP client on the device's side.  Included by one test program
 * each; everything is static.
 */
#ifndef TEST_FAKE_TUN_H
#define TEST_FAKE_TUN_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/netstack.h"
#include "netstack/packet.h"
#include "netstack/slab.h"

#define FAKE_OUT_MAX	8192
#define FAKE_MTU	1400

struct fake_packet {
	uint8_t vnet[10];
	uint32_t len;
	uint8_t *data;
};

/* what the owner was told, in numbers */
struct fake {
	struct netstack *ns;
	uint64_t now;
	bool vnet;
	struct fake_packet out[FAKE_OUT_MAX];	/* a ring, but no test fills it */
	uint32_t head, tail;
	int output_error;			/* what output() returns, once */
	int output_error_gso;			/* for super-segments, always */

	struct ns_tcp *t;			/* of the last event */
	struct ns_tuple tuple;
	uint32_t syns, readables, sents, eofs, closes, resets, udps, echoes;
	uint64_t sent_bytes;
	size_t udp_len;
	uint16_t udp_segment, echo_seq;
	uint8_t udp_data[65536];
	int refuse;				/* answer SYNs at once: enum + 1; -1 accept */
	bool abort_in_readable;
};

__attribute__((unused))
static int fake_output(void *ctx, const struct iovec *iov, int n)
{
	struct fake *f = ctx;
	struct fake_packet *p = &f->out[f->tail % FAKE_OUT_MAX];
	int i, r = f->output_error;

	f->output_error = 0;
	if (r)
		return r;
	if (f->vnet) {
		ck_assert_uint_eq(iov[0].iov_len, 10);
		if (((uint8_t *)iov[0].iov_base)[1] && f->output_error_gso)
			return f->output_error_gso;
	}
	ck_assert_uint_lt(f->tail - f->head, FAKE_OUT_MAX);
	p->len = 0;
	for (i = f->vnet; i < n; i++)
		p->len += (uint32_t)iov[i].iov_len;
	memset(p->vnet, 0, sizeof(p->vnet));
	if (f->vnet)
		memcpy(p->vnet, iov[0].iov_base, 10);
	p->data = malloc(p->len + 1);
	p->len = 0;
	for (i = f->vnet; i < n; i++) {
		memcpy(p->data + p->len, iov[i].iov_base, iov[i].iov_len);
		p->len += (uint32_t)iov[i].iov_len;
	}
	f->tail++;
	return 0;
}

/* The oldest packet out, NULL: none.  Valid until fake_drop(). */
__attribute__((unused))
static struct fake_packet *fake_peek(struct fake *f)
{
	return f->head == f->tail ? NULL : &f->out[f->head % FAKE_OUT_MAX];
}

__attribute__((unused))
static void fake_drop(struct fake *f)
{
	free(f->out[f->head++ % FAKE_OUT_MAX].data);
}

__attribute__((unused))
static void fake_clear(struct fake *f)
{
	while (fake_peek(f))
		fake_drop(f);
}

__attribute__((unused))
static uint32_t fake_pending(const struct fake *f)
{
	return f->tail - f->head;
}

static void fake_tcp_syn(void *ctx, struct ns_tcp *t, const struct ns_tuple *tuple)
{
	struct fake *f = ctx;

	f->syns++;
	f->t = t;
	f->tuple = *tuple;
	ns_tcp_set_user(t, f);
	if (f->refuse < 0)
		ns_tcp_accept(f->ns, t, f->now);
	else if (f->refuse > 0)
		ns_tcp_refuse(f->ns, t, (enum ns_refusal)(f->refuse - 1), f->now);
}

static void fake_tcp_readable(void *ctx, struct ns_tcp *t, void *user)
{
	struct fake *f = ctx;

	ck_assert_ptr_eq(user, f);
	f->t = t;
	f->readables++;
	if (f->abort_in_readable)
		ns_tcp_abort(f->ns, t);
}

static void fake_tcp_sent(void *ctx, struct ns_tcp *t, void *user, uint32_t n)
{
	struct fake *f = ctx;

	ck_assert_ptr_eq(user, f);
	f->t = t;
	f->sents++;
	f->sent_bytes += n;
}

static void fake_tcp_eof(void *ctx, struct ns_tcp *t, void *user)
{
	struct fake *f = ctx;

	(void)user;
	f->t = t;
	f->eofs++;
}

static void fake_tcp_closed(void *ctx, struct ns_tcp *t, void *user, bool reset)
{
	struct fake *f = ctx;

	(void)user;
	f->closes++;
	f->resets += reset;
	if (f->t == t)
		f->t = NULL;
}

static void fake_udp(void *ctx, const struct ns_tuple *tuple, const uint8_t *data,
		     size_t len, uint16_t segment)
{
	struct fake *f = ctx;

	f->udps++;
	f->tuple = *tuple;
	f->udp_len = len;
	f->udp_segment = segment;
	memcpy(f->udp_data, data, len);
}

static void fake_echo(void *ctx, const struct ns_tuple *tuple, uint16_t sequence,
		      const uint8_t *data, size_t len)
{
	struct fake *f = ctx;

	f->echoes++;
	f->tuple = *tuple;
	f->udp_len = len;
	f->echo_seq = sequence;
	memcpy(f->udp_data, data, len);
}

__attribute__((unused))
static struct fake *fake_new_mtu(bool vnet, uint32_t max_tcp, uint16_t mtu)
{
	static const struct ns_ops ops = {
		.output = fake_output, .tcp_syn = fake_tcp_syn,
		.tcp_readable = fake_tcp_readable, .tcp_sent = fake_tcp_sent,
		.tcp_eof = fake_tcp_eof, .tcp_closed = fake_tcp_closed,
		.udp = fake_udp, .echo = fake_echo,
	};
	struct ns_config config = {
		.mtu = mtu, .vnet_hdr = vnet, .tso = vnet, .uso = vnet,
		.hash_key = "fifteen letters", .max_tcp = max_tcp,
	};
	struct fake *f = calloc(1, sizeof(*f));

	f->vnet = vnet;
	f->now = 1000000;
	f->refuse = -1;
	f->ns = ns_new(&config, &ops, f);
	ck_assert_ptr_nonnull(f->ns);
	return f;
}

__attribute__((unused))
static struct fake *fake_new(bool vnet)
{
	return fake_new_mtu(vnet, 0, FAKE_MTU);
}

__attribute__((unused))
static void fake_free(struct fake *f)
{
	ns_free(f->ns);
	fake_clear(f);
	free(f);
	ck_assert_uint_eq(slab_in_use(), 0);
}

__attribute__((unused))
static void fake_flush(struct fake *f)
{
	ns_flush(f->ns, f->now);
}

/* Let @us pass, with every timer on its time. */
__attribute__((unused))
static void fake_wait(struct fake *f, uint64_t us)
{
	uint64_t end = f->now + us, next = ns_timer(f->ns, f->now);

	while (next <= end) {
		f->now = next > f->now ? next : f->now + 1;
		next = ns_timer(f->ns, f->now);
	}
	f->now = end;
	ns_timer(f->ns, f->now);
}

/* Make the checksums of what is a packet right. */
static void fake_sums(uint8_t *p, size_t len)
{
	size_t hlen = len ? (p[0] & 15) * 4u : 0;
	struct pkt k;
	uint8_t *at;

	if (len && p[0] >> 4 == 4 && hlen >= IPV4_HLEN && hlen <= len) {
		put_be16(p + 10, 0);
		put_be16(p + 10, (uint16_t)~csum_fold(csum_add(0, p, hlen, false)));
	}
	if (pkt_parse(p, len, &k) != PKT_OK || k.fragment || k.l4_len < 8)
		return;
	if (k.proto == PROTO_TCP && k.l4_len >= TCP_HLEN_MIN)
		at = k.l4 + 16;
	else if (k.proto == PROTO_UDP)
		at = k.l4 + 6;
	else if (k.proto == PROTO_ICMP || k.proto == PROTO_ICMP6)
		at = k.l4 + 2;
	else
		return;
	put_be16(at, 0);
	put_be16(at, (uint16_t)~csum_fold(csum_add(k.proto == PROTO_ICMP ? 0 :
						   csum_pseudo(&k.src, &k.dst, k.proto, k.l4_len),
						   k.l4, k.l4_len, false)));
}

/* @vnet: NULL for a header without offloads, and no checksums made right */
__attribute__((unused))
static void fake_input_vnet(struct fake *f, const uint8_t *vnet, const void *data, size_t len)
{
	static const uint8_t none[10];
	size_t size;
	uint8_t *to = ns_input_buf(f->ns, &size);

	ck_assert_ptr_nonnull(to);
	ck_assert_uint_ge(size, len + (f->vnet ? 10 : 0));
	if (f->vnet) {
		memcpy(to, vnet ? vnet : none, 10);
		to += 10;
		len += 10;
	}
	if (len > (f->vnet ? 10u : 0u))
		memcpy(to, data, len - (f->vnet ? 10 : 0));
	ns_input(f->ns, len, f->now);
}

__attribute__((unused))
static void fake_input(struct fake *f, const void *data, size_t len)
{
	static uint8_t copy[70000];

	if (len)
		memcpy(copy, data, len);
	fake_sums(copy, len);
	fake_input_vnet(f, NULL, copy, len);
}

__attribute__((unused))
static struct ipaddr fake_addr(const char *text)
{
	struct ipaddr a = { 0 };

	ck_assert_int_eq(addr_parse(text, &a), 0);
	return a;
}

/* app 10.9.0.1 or fd09::1, destination 10.8.0.9 or fd08::9 */
__attribute__((unused))
static struct ns_tuple fake_tuple(int family, uint16_t src_port, uint16_t dst_port)
{
	struct ns_tuple t = { .src_port = src_port, .dst_port = dst_port };

	t.src = fake_addr(family == 4 ? "10.9.0.1" : "fd09::1");
	t.dst = fake_addr(family == 4 ? "10.8.0.9" : "fd08::9");
	return t;
}

/* Is the transport checksum of a packet without offloads right? */
__attribute__((unused))
static void fake_check_sum(const struct fake_packet *o, const struct pkt *p)
{
	uint64_t sum = csum_pseudo(&p->src, &p->dst, p->proto, p->l4_len);

	if (o->vnet[0] & 1) {
		/* the kernel completes it: the pseudo-header must be in place */
		uint16_t at = p->proto == PROTO_TCP ? 16 : 6;

		ck_assert_uint_eq(get_be16(p->l4 + at), csum_fold(sum));
		ck_assert_uint_eq(o->vnet[6], p->l4 - p->ip);
		/* the headers' true length: the payload goes to page fragments */
		ck_assert_uint_eq(o->vnet[2] | o->vnet[3] << 8, p->l4 - p->ip +
				  (p->proto == PROTO_TCP ? p->l4[12] >> 4 << 2 : 8));
		ck_assert_uint_eq(o->vnet[8], at);
		return;
	}
	if (p->proto == PROTO_ICMP)
		sum = 0;
	ck_assert_uint_eq(csum_fold(csum_add(sum, p->l4, p->l4_len, false)), 0xffff);
}

/* Take the oldest packet and read it; @copy (65,600 bytes) keeps its bytes. */
__attribute__((unused))
static bool fake_next(struct fake *f, struct pkt *p, uint8_t *copy)
{
	struct fake_packet *o = fake_peek(f);

	if (!o)
		return false;
	memcpy(copy, o->data, o->len);
	ck_assert_int_eq(pkt_parse(copy, o->len, p), PKT_OK);
	ck_assert_uint_eq(p->ip_len, o->len);
	if (p->src.family == 4)
		ck_assert_uint_eq(csum_fold(csum_add(0, copy, 20, false)), 0xffff);
	if (!p->fragment && (p->proto == PROTO_TCP || p->proto == PROTO_UDP ||
			     p->proto == PROTO_ICMP || p->proto == PROTO_ICMP6))
		fake_check_sum(o, p);
	fake_drop(f);
	return true;
}

/* ---- a TCP client ---------------------------------------------------------- */

struct client {
	struct fake *f;
	struct ns_tuple t;
	uint32_t snd_nxt, snd_una, rcv_nxt;
	uint32_t window;			/* what it announces, unscaled */
	uint32_t peer_window;			/* what it was announced */
	uint8_t scale;				/* its own; 255: no scaling */
	uint8_t peer_scale;
	uint16_t mss, peer_mss;			/* its own (0: no option), the answer's */
	bool sack, peer_sack;
	bool established, fin_seen, rst_seen, auto_ack;
	uint8_t *rx;
	size_t rx_len, rx_max;
	uint32_t packets, acks, supers;		/* seen; bare ACKs; super-segments */
	uint16_t last_gso;
};

__attribute__((unused))
static void client_init(struct client *c, struct fake *f, int family, uint16_t port)
{
	memset(c, 0, sizeof(*c));
	c->f = f;
	c->t = fake_tuple(family, port, 80);
	c->snd_nxt = c->snd_una = 1000u * port + 7;
	c->window = 65535;
	c->scale = 7;
	c->mss = 1360;
	c->sack = true;
	c->auto_ack = true;
	c->rx_max = 16 << 20;
	c->rx = NULL;
}

__attribute__((unused))
static void client_free(struct client *c)
{
	free(c->rx);
	c->rx = NULL;
}

/* One segment with any sequence number; moves nothing. */
__attribute__((unused))
static void client_segment(struct client *c, uint8_t flags, uint32_t seq, uint32_t ack,
			   const void *data, size_t len)
{
	static uint8_t packet[70000];
	size_t n = 0, options = 0, hlen = c->t.src.family == 4 ? 20 : 40;
	uint32_t window = c->window;
	uint8_t *tcp = packet + hlen;

	memset(tcp, 0, 60);
	if (flags & TH_SYN && !(flags & TH_ACK)) {
		uint8_t *o = tcp + 20;

		if (c->mss) {
			memcpy(o + options, (uint8_t[]){ 2, 4, (uint8_t)(c->mss >> 8),
							  (uint8_t)c->mss }, 4);
			options += 4;
		}
		if (c->sack) {
			memcpy(o + options, (uint8_t[]){ 1, 1, 4, 2 }, 4);
			options += 4;
		}
		if (c->scale != 255) {
			memcpy(o + options, (uint8_t[]){ 1, 3, 3, c->scale }, 4);
			options += 4;
		}
	} else if (c->scale != 255) {
		window >>= c->scale;
	}
	n = hlen + 20 + options + len;
	ip_header_write(packet, &c->t.src, &c->t.dst, PROTO_TCP, 64, n - hlen);
	put_be16(tcp, c->t.src_port);
	put_be16(tcp + 2, c->t.dst_port);
	put_be32(tcp + 4, seq);
	put_be32(tcp + 8, ack);
	tcp[12] = (uint8_t)((20 + options) / 4 << 4);
	tcp[13] = flags;
	put_be16(tcp + 14, (uint16_t)(window > 65535 ? 65535 : window));
	if (len)
		memcpy(tcp + 20 + options, data, len);
	fake_input(c->f, packet, n);
}

__attribute__((unused))
static void client_ack(struct client *c)
{
	client_segment(c, TH_ACK, c->snd_nxt, c->rcv_nxt, NULL, 0);
}

/* Read all that came out and belongs to the client.  Return: packets */
__attribute__((unused))
static int client_pull(struct client *c)
{
	static uint8_t copy[70000];
	struct fake_packet *o;
	struct tcp_view v;
	struct pkt p;
	int n = 0;
	bool ack = false;

	while ((o = fake_peek(c->f))) {
		uint8_t gso_type = o->vnet[1];
		uint16_t gso_size = (uint16_t)(o->vnet[4] | o->vnet[5] << 8);

		ck_assert(fake_next(c->f, &p, copy));
		ck_assert_uint_eq(p.proto, PROTO_TCP);
		ck_assert(tcp_parse(&p, &v));
		ck_assert_uint_eq(v.dst, c->t.src_port);
		ck_assert_uint_eq(v.src, c->t.dst_port);
		n++;
		c->packets++;
		if (v.flags & TH_RST) {
			c->rst_seen = true;
			continue;
		}
		if (v.flags & TH_SYN) {
			uint8_t *opt = v.header + 20, *end = v.header + v.hlen;

			ck_assert(v.flags & TH_ACK);
			ck_assert_uint_eq(v.ack, c->snd_nxt);
			c->rcv_nxt = v.seq + 1;
			c->established = true;
			c->peer_scale = 255;
			while (opt < end && *opt) {
				if (*opt == 1) {
					opt++;
					continue;
				}
				if (*opt == 2)
					c->peer_mss = get_be16(opt + 2);
				if (*opt == 3)
					c->peer_scale = opt[2];
				if (*opt == 4)
					c->peer_sack = true;
				opt += opt[1];
			}
			ack = true;
			continue;
		}
		ck_assert(v.flags & TH_ACK);
		c->snd_una = v.ack;
		c->peer_window = (uint32_t)v.window << (c->scale == 255 ? 0 : c->peer_scale);
		if (!v.len && !(v.flags & TH_FIN))
			c->acks++;
		if (gso_type) {
			ck_assert_uint_eq(gso_type, p.src.family == 4 ? 1 : 4);
			c->supers++;
			c->last_gso = gso_size;
			ck_assert_uint_gt(v.len, gso_size);
		} else {
			ck_assert_uint_le(o->len, 65535);
		}
		if (v.len && v.seq == c->rcv_nxt) {
			if (!c->rx)
				c->rx = malloc(c->rx_max);
			ck_assert_uint_le(c->rx_len + v.len, c->rx_max);
			memcpy(c->rx + c->rx_len, v.payload, v.len);
			c->rx_len += v.len;
			c->rcv_nxt += v.len;
			ack = true;
		} else if (v.len) {
			ack = true;
		}
		if (v.flags & TH_FIN && v.seq + v.len == c->rcv_nxt) {
			c->rcv_nxt++;
			c->fin_seen = true;
			ack = true;
		}
	}
	if (ack && c->auto_ack)
		client_ack(c);
	return n;
}

__attribute__((unused))
static void client_send(struct client *c, const void *data, size_t len)
{
	client_segment(c, TH_ACK | TH_PSH, c->snd_nxt, c->rcv_nxt, data, len);
	c->snd_nxt += (uint32_t)len;
}

__attribute__((unused))
static void client_fin(struct client *c)
{
	client_segment(c, TH_ACK | TH_FIN, c->snd_nxt++, c->rcv_nxt, NULL, 0);
}

__attribute__((unused))
static void client_syn(struct client *c)
{
	client_segment(c, TH_SYN, c->snd_nxt, 0, NULL, 0);
}

/* SYN, SYN-ACK, ACK, with an owner that accepts at once */
__attribute__((unused))
static void client_connect(struct client *c)
{
	client_syn(c);
	c->snd_nxt++;
	client_pull(c);
	ck_assert(c->established);
	fake_flush(c->f);
	client_pull(c);
}

/* Acknowledge until nothing more comes. */
__attribute__((unused))
static void client_drain(struct client *c)
{
	do
		fake_flush(c->f);
	while (client_pull(c));
}

/* Write @len bytes of a pattern to the app, from buffers of @pool. */
__attribute__((unused))
static void fake_write(struct fake *f, struct ns_tcp *t, struct bufpool *pool, size_t len,
		       size_t start)
{
	while (len) {
		struct buf *b = buf_get(pool);
		size_t n = len < b->size ? len : b->size, i;

		for (i = 0; i < n; i++)
			b->data[i] = (uint8_t)((start + i) * 7 + ((start + i) >> 8));
		ck_assert_int_eq(ns_tcp_write(f->ns, t, b, b->data, n), 0);
		buf_unref(b);
		start += n;
		len -= n;
	}
}

__attribute__((unused))
static bool pattern_is(const uint8_t *data, size_t len, size_t start)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (data[i] != (uint8_t)((start + i) * 7 + ((start + i) >> 8)))
			return false;
	return true;
}

__attribute__((unused))
static void pattern_fill(uint8_t *data, size_t len, size_t start)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (uint8_t)((start + i) * 7 + ((start + i) >> 8));
}

/* Run @suite in this process.  Return: the exit status */
__attribute__((unused))
static int suite_run(Suite *suite)
{
	SRunner *r = srunner_create(suite);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
