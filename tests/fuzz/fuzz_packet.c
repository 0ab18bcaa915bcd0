/* SPDX-License-Identifier: MIT */
/*
 * fuzz_packet.c - packets from the TUN and an owner that does things in any
 * order.  Segments are made from the state of the flow they are for, a little
 * off, so that the deep parts of TCP are reached.  What comes out is sound, and
 * nothing is left behind.
 */
// fuzz: netstack/*.c profiles/addr.c build/lwip/src/core/*.c build/lwip/src/core/ipv*/*.c
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/netstack.h"
#include "netstack/packet.h"
#include "netstack/slab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLOWS	4
#define OPS_MAX	400

struct flow {
	struct ns_tuple tuple;
	struct ns_tcp *t;
	bool held;
	uint32_t seq;				/* the app's next */
	uint32_t ack;				/* what it saw of us */
};

static struct netstack *ns;
static struct flow flows[FLOWS];
static struct bufpool *pool;
static uint64_t now;
static const uint8_t *in;
static size_t left;
static bool vnet, refuse_gso, accept_at_once, abort_in_callback;

static uint32_t take(unsigned int bytes)
{
	uint32_t v = 0;

	while (bytes--) {
		v = v << 8 | (left ? *in : 0);
		if (left) {
			in++;
			left--;
		}
	}
	return v;
}

static struct flow *flow_of(const struct ns_tcp *t)
{
	int i;

	for (i = 0; i < FLOWS; i++)
		if (flows[i].t == t)
			return &flows[i];
	return NULL;
}

static struct flow *flow_by_tuple(const struct ns_tuple *t)
{
	int i;

	for (i = 0; i < FLOWS; i++)
		if (!memcmp(&flows[i].tuple, t, sizeof(*t)))
			return &flows[i];
	return NULL;
}

static int output(void *ctx, const struct iovec *iov, int n)
{
	static uint8_t packet[70000];
	struct ns_tuple tuple = { 0 };
	struct tcp_view v;
	size_t len = 0;
	struct flow *f;
	struct pkt p;
	int i;

	(void)ctx;
	if (vnet && (iov[0].iov_len != 10 ||
		     (((const uint8_t *)iov[0].iov_base)[1] && refuse_gso)))
		return iov[0].iov_len == 10 ? -EINVAL : (abort(), 0);
	for (i = vnet; i < n; i++) {
		if (len + iov[i].iov_len > 65535 + 40)
			abort();
		memcpy(packet + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	if (pkt_parse(packet, len, &p) != PKT_OK || p.ip_len != len)
		abort();
	if (p.proto != PROTO_TCP || p.fragment)
		return 0;
	if (!tcp_parse(&p, &v))
		abort();
	tuple.src = p.dst;
	tuple.dst = p.src;
	tuple.src_port = v.dst;
	tuple.dst_port = v.src;
	f = flow_by_tuple(&tuple);
	if (f && !(v.flags & TH_RST))
		f->ack = v.seq + v.len + !!(v.flags & (TH_SYN | TH_FIN));
	return 0;
}

static void tcp_syn(void *ctx, struct ns_tcp *t, const struct ns_tuple *tuple)
{
	struct flow *f = flow_by_tuple(tuple);

	(void)ctx;
	if (!f) {
		ns_tcp_refuse(ns, t, NS_REFUSE_HOST, now);
		return;
	}
	f->t = t;
	f->held = !accept_at_once;
	if (accept_at_once)
		ns_tcp_accept(ns, t, now);
}

static void tcp_readable(void *ctx, struct ns_tcp *t, void *user)
{
	struct flow *f = flow_of(t);

	(void)ctx;
	(void)user;
	if (f && abort_in_callback) {
		f->t = NULL;
		ns_tcp_abort(ns, t);
	}
}

static void tcp_sent(void *ctx, struct ns_tcp *t, void *user, uint32_t n)
{
	(void)ctx;
	(void)t;
	(void)user;
	if (!n)
		abort();
}

static void tcp_eof(void *ctx, struct ns_tcp *t, void *user)
{
	(void)ctx;
	(void)t;
	(void)user;
}

static void tcp_closed(void *ctx, struct ns_tcp *t, void *user, bool reset)
{
	struct flow *f = flow_of(t);

	(void)ctx;
	(void)user;
	(void)reset;
	if (f)
		f->t = NULL;
}

static void udp(void *ctx, const struct ns_tuple *tuple, const uint8_t *bytes, size_t len,
		uint16_t segment)
{
	(void)ctx;
	if (len > 65535 || (segment && segment >= len))
		abort();
	ns_udp_send(ns, tuple, bytes, len, segment);
	ns_icmp_error(ns, tuple, PROTO_UDP, NS_REFUSE_PORT);
}

static void echo(void *ctx, const struct ns_tuple *tuple, uint16_t seq, const uint8_t *bytes,
		 size_t len)
{
	(void)ctx;
	ns_echo_reply(ns, tuple, seq, bytes, len);
}

/* ---- steps -------------------------------------------------------------------- */

/* Make the sums of a packet right: a fuzzer would not find them. */
static void sums(uint8_t *p, size_t len)
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

static void packet_input(const uint8_t *packet, size_t len)
{
	uint8_t type = vnet ? (uint8_t)take(1) : 0;
	size_t size;
	uint8_t *to = ns_input_buf(ns, &size);

	if (!to)
		return;
	if (vnet) {
		memset(to, 0, 10);
		to[1] = type < 16 ? type : 0;
		to[4] = type;
		to[5] = 1;
		to += 10;
		size -= 10;
	}
	if (len > size)
		abort();
	if (len)
		memcpy(to, packet, len);
	sums(to, len);
	if (vnet)
		to[-10] = type >> 7;		/* VIRTIO_NET_HDR_F_NEEDS_CSUM */
	ns_input(ns, len + (vnet ? 10 : 0), now);
}

static void step_raw(void)
{
	size_t len = take(1);

	len = len < left ? len : left;
	in += len;
	left -= len;
	packet_input(in - len, len);
}

/* Mostly what fits, now and then what does not. */
static uint32_t nearly(uint32_t right)
{
	uint8_t how = (uint8_t)take(1);

	if (how < 160)
		return right;
	if (how < 224)
		return right + (uint32_t)(int16_t)take(2);
	return right + (uint32_t)(int8_t)take(1) * 0x01000001u;
}

static void step_segment(struct flow *f)
{
	static uint8_t packet[70000];
	static const uint8_t usual[] = { TH_ACK, TH_ACK, TH_ACK | TH_PSH, TH_SYN, TH_ACK,
					 TH_ACK | TH_FIN, TH_RST, TH_RST | TH_ACK };
	uint8_t how = (uint8_t)take(1);
	uint8_t flags = how & 0x80 ? (uint8_t)take(1) : usual[how & 7];
	uint8_t options = how & 0x40 ? (take(1) % 11) * 4 : 0, i;
	uint32_t len = how & 0x20 ? take(2) % 60000 : how & 0x10 ? take(1) : 0;
	uint8_t *tcp;
	uint32_t seq;
	size_t n;

	n = ip_header_write(packet, &f->tuple.src, &f->tuple.dst, PROTO_TCP, 64,
			    20u + options + len);
	tcp = packet + n;
	memset(tcp, 0, 20);
	put_be16(tcp, f->tuple.src_port);
	put_be16(tcp + 2, f->tuple.dst_port);
	seq = nearly(f->seq);
	put_be32(tcp + 4, seq);
	put_be32(tcp + 8, nearly(f->ack));
	tcp[12] = (uint8_t)((20 + options) / 4 << 4);
	tcp[13] = flags;
	put_be16(tcp + 14, (uint16_t)take(how & 8 ? 2 : 1));
	for (i = 0; i < options; i++)
		tcp[20 + i] = (uint8_t)take(1);
	memset(tcp + 20 + options, 'x', len);
	if (seq == f->seq)
		f->seq += len + !!(flags & TH_SYN) + !!(flags & TH_FIN);
	packet_input(packet, n + 20 + options + len);
}

static void step_fragment(void)
{
	static uint8_t packet[4096];
	struct flow *f = &flows[take(1) % FLOWS];
	uint8_t how = (uint8_t)take(1);
	uint32_t off = take(2), len = take(1) * 8u + (how & 4 ? 3 : 0);
	uint8_t proto = how & 8 ? PROTO_TCP : how & 16 ? PROTO_DSTOPTS : PROTO_UDP;
	size_t n;

	if (f->tuple.src.family == 4) {
		n = ip_header_write(packet, &f->tuple.src, &f->tuple.dst, proto, 64, len);
		packet[5] = how & 3;
		put_be16(packet + 6, (uint16_t)(off & 0x3fff));
	} else {
		n = ip_header_write(packet, &f->tuple.src, &f->tuple.dst, PROTO_FRAGMENT, 64,
				    8 + len);
		packet[n] = proto;
		packet[n + 1] = 0;
		put_be16(packet + n + 2, (uint16_t)(off & 0x7ff9));
		put_be32(packet + n + 4, how & 3);
		n += 8;
	}
	memset(packet + n, 0, len);
	if (len >= 8) {
		put_be16(packet + n, 1);
		put_be16(packet + n + 2, 2);
		put_be16(packet + n + 4, (uint16_t)(len * 2));
	}
	packet_input(packet, n + len);
}

static void step_owner(struct flow *f)
{
	static uint8_t sink[65536];
	uint32_t what = take(1), n = take(2);
	struct buf *b;

	if (!f->t)
		return;
	if (f->held) {
		f->held = false;
		if (what & 0x80) {
			struct ns_tcp *t = f->t;

			f->t = NULL;
			ns_tcp_refuse(ns, t, (enum ns_refusal)(what % 5), now);
		} else {
			ns_tcp_accept(ns, f->t, now);
		}
		return;
	}
	switch (what % 4) {
	case 0:
		if (ns_tcp_read(ns, f->t, sink, n) > n)
			abort();
		break;
	case 1:
		b = buf_get(pool);
		if (!b)
			break;
		n = n < b->size ? n : b->size;
		memset(b->data, 'y', n);
		ns_tcp_write(ns, f->t, b, b->data, n);
		buf_unref(b);
		break;
	case 2:
		ns_tcp_fin(ns, f->t);
		break;
	case 3:
		if (what < 0x40) {
			struct ns_tcp *t = f->t;

			f->t = NULL;
			ns_tcp_abort(ns, t);
		}
		break;
	}
}

static void set_up(uint8_t how)
{
	static const struct ns_ops ops = {
		output, tcp_syn, tcp_readable, tcp_sent, tcp_eof, tcp_closed, udp, echo,
	};
	struct ns_config config = { .mtu = 1400, .max_tcp = 16, .hash_key = "a key of fuzz" };
	int i;

	vnet = how & 1;
	refuse_gso = how & 2;
	accept_at_once = how & 4;
	abort_in_callback = (how & 0x38) == 0x38;
	config.vnet_hdr = config.tso = config.uso = vnet;
	now = 1000000;
	memset(flows, 0, sizeof(flows));
	for (i = 0; i < FLOWS; i++) {
		struct ns_tuple *t = &flows[i].tuple;

		addr_parse(i & 1 ? "fd09::1" : "10.9.0.1", &t->src);
		addr_parse(i & 1 ? "fd08::9" : "10.8.0.9", &t->dst);
		t->src_port = (uint16_t)(1 + i);
		t->dst_port = 2;
		flows[i].seq = 0xfffff000u + (uint32_t)i;
	}
	pool = bufpool_new(16384, 64);
	ns = ns_new(&config, &ops, NULL);
	if (!ns || !pool)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int n;

	in = data;
	left = size;
	set_up((uint8_t)take(1));
	for (n = 0; n < OPS_MAX && left; n++) {
		uint8_t op = (uint8_t)take(1);
		struct flow *f = &flows[op >> 6];

		switch (op & 15) {
		case 0:
			step_raw();
			break;
		case 1:
			step_fragment();
			break;
		case 2:
			now += take(2) * 1000ull;
			ns_timer(ns, now);
			break;
		case 3:
		case 4:
			ns_flush(ns, now);
			break;
		case 5:
		case 6:
		case 7:
			step_owner(f);
			break;
		default:
			step_segment(f);
			break;
		}
	}
	ns_flush(ns, now);
	ns_free(ns);
	if (bufpool_in_use(pool) || slab_in_use())
		abort();
	bufpool_free(pool);
	return 0;
}
