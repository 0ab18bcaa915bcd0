/* SPDX-License-Identifier: MIT */
/* icmp.c - echo, and the errors that tell an app what became of its flow */
#include "netstack/internal.h"

#include <string.h>

enum {
	ICMP4_ECHO_REPLY = 0, ICMP4_UNREACH = 3, ICMP4_QUENCH = 4, ICMP4_REDIRECT = 5,
	ICMP4_ECHO = 8, ICMP4_TIME = 11, ICMP4_PARAM = 12,
	ICMP6_UNREACH = 1, ICMP6_TOO_BIG = 2, ICMP6_TIME = 3, ICMP6_PARAM = 4,
	ICMP6_ECHO = 128, ICMP6_ECHO_REPLY = 129, ICMP6_REDIRECT = 137,
};

#define ICMP4_CODE_FRAG		4
#define ICMP_HLEN		8u
#define QUOTE_L4		8u		/* of the transport header */
#define QUOTE4_MAX		548u		/* whole packet: 576 */
#define QUOTE6_MAX		1232u		/* whole packet: 1280 */

struct code {
	uint8_t type4, code4, type6, code6;
};

static struct code refusal_code(enum ns_refusal how)
{
	switch (how) {
	case NS_REFUSE_NET:
		return (struct code){ ICMP4_UNREACH, 0, ICMP6_UNREACH, 0 };
	case NS_REFUSE_HOST:
		return (struct code){ ICMP4_UNREACH, 1, ICMP6_UNREACH, 3 };
	case NS_REFUSE_DENIED:
		return (struct code){ ICMP4_UNREACH, 13, ICMP6_UNREACH, 1 };
	case NS_REFUSE_RST:
	case NS_REFUSE_PORT:
		break;
	}
	return (struct code){ ICMP4_UNREACH, 3, ICMP6_UNREACH, 4 };
}

static bool type_is_error(uint8_t family, uint8_t type)
{
	if (family == 4)
		return type == ICMP4_UNREACH || type == ICMP4_TIME || type == ICMP4_PARAM;
	return type >= ICMP6_UNREACH && type <= ICMP6_PARAM;
}

/* Never an error about one of these (RFC 1122, 3.2.2; RFC 4443, 2.4 e). */
static bool type_is_final(uint8_t family, uint8_t type)
{
	if (family == 4)
		return type_is_error(4, type) || type == ICMP4_QUENCH || type == ICMP4_REDIRECT;
	return type < ICMP6_ECHO || type == ICMP6_REDIRECT;
}

/* ---- sending ------------------------------------------------------------------- */

static void icmp_checksum(uint8_t *h, const struct ipaddr *src, const struct ipaddr *dst,
			  const uint8_t *data, size_t len)
{
	uint64_t sum = 0;

	if (src->family == 6)
		sum = csum_pseudo(src, dst, PROTO_ICMP6, (uint32_t)(ICMP_HLEN + len));
	put_be16(h + 2, 0);
	sum = csum_add(sum, h, ICMP_HLEN, false);
	sum = csum_add(sum, data, len, false);
	put_be16(h + 2, (uint16_t)~csum_fold(sum));
}

static int icmp_send(struct netstack *ns, const struct ipaddr *src, const struct ipaddr *dst,
		     uint8_t type, uint8_t code, uint32_t word, const uint8_t *data,
		     size_t len)
{
	uint8_t h[ICMP_HLEN] = { type, code };
	struct iovec iov[2] = {
		{ h, sizeof(h) }, { (void *)(uintptr_t)data, len },
	};

	put_be32(h + 4, word);
	icmp_checksum(h, src, dst, data, len);
	return frag_send(ns, src, dst, src->family == 4 ? PROTO_ICMP : PROTO_ICMP6,
			 iov, len ? 2 : 1, ICMP_HLEN + len);
}

static void error_send(struct netstack *ns, const struct ns_tuple *t, uint8_t proto,
		       const uint8_t l4[QUOTE_L4], uint8_t type, uint8_t code, uint32_t word)
{
	uint8_t quote[IPV6_HLEN + QUOTE_L4];
	size_t n;

	/* What the app sent, as far as an error needs it.  From the address it
	 * was sent to: Linux ignores errors from the TUN's own. */
	n = ip_header_write(quote, &t->src, &t->dst, proto, IP_TTL_OUT, QUOTE_L4);
	memcpy(quote + n, l4, QUOTE_L4);
	if (icmp_send(ns, &t->dst, &t->src, type, code, word, quote, n + QUOTE_L4) == 0)
		ns->counters.icmp_sent++;
}

void icmp_refuse_syn(struct netstack *ns, const struct ns_tuple *t, uint32_t isn,
		     enum ns_refusal how)
{
	struct code c = refusal_code(how);
	uint8_t l4[QUOTE_L4];

	put_be16(l4, t->src_port);
	put_be16(l4 + 2, t->dst_port);
	put_be32(l4 + 4, isn);
	if (t->src.family == 4)
		error_send(ns, t, PROTO_TCP, l4, c.type4, c.code4, 0);
	else
		error_send(ns, t, PROTO_TCP, l4, c.type6, c.code6, 0);
}

static bool icmp_allowed(struct netstack *ns)
{
	if (rate_take(&ns->icmp_rate, ICMP_RATE, ns->now))
		return true;
	ns->counters.icmp_limited++;
	return false;
}

void ns_icmp_error_raw(struct netstack *ns, const struct ns_tuple *t, uint8_t proto,
		       uint8_t type, uint8_t code, uint32_t mtu)
{
	uint8_t l4[QUOTE_L4] = { 0 };

	if (!type_is_error(t->src.family, type) || !icmp_allowed(ns))
		return;
	if (proto == PROTO_ICMP || proto == PROTO_ICMP6) {
		l4[0] = t->src.family == 4 ? ICMP4_ECHO : ICMP6_ECHO;
		put_be16(l4 + 4, t->src_port);
	} else {
		put_be16(l4, t->src_port);
		put_be16(l4 + 2, t->dst_port);
		put_be16(l4 + 4, UDP_HEADER);
	}
	error_send(ns, t, proto, l4, type, code, mtu);
}

void ns_icmp_error(struct netstack *ns, const struct ns_tuple *t, uint8_t proto,
		   enum ns_refusal how)
{
	struct code c = refusal_code(how);

	if (t->src.family == 4)
		ns_icmp_error_raw(ns, t, proto, c.type4, c.code4, 0);
	else
		ns_icmp_error_raw(ns, t, proto, c.type6, c.code6, 0);
}

void icmp_quote(struct netstack *ns, const struct pkt *p, uint8_t type, uint8_t code,
		uint32_t word)
{
	bool v4 = p->src.family == 4;
	bool icmp = p->proto == (v4 ? PROTO_ICMP : PROTO_ICMP6);
	uint32_t most = v4 ? QUOTE4_MAX : QUOTE6_MAX;

	/* nor about a later part of what may be one */
	if (p->frag_off && (v4 || icmp))
		return;
	if (icmp && (!p->l4_len || type_is_final(p->src.family, p->l4[0])))
		return;
	if (!icmp_allowed(ns))
		return;
	if (icmp_send(ns, &p->dst, &p->src, type, code, word, p->ip,
		      p->ip_len < most ? p->ip_len : most) == 0)
		ns->counters.icmp_sent++;
}

void icmp_problem(struct netstack *ns, const struct pkt *p, uint8_t code, uint32_t at)
{
	icmp_quote(ns, p, ICMP6_PARAM, code, at);
}

int ns_echo_reply(struct netstack *ns, const struct ns_tuple *tuple, uint16_t sequence,
		  const uint8_t *data, size_t len)
{
	uint8_t type = tuple->src.family == 4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY;

	return icmp_send(ns, &tuple->dst, &tuple->src, type, 0,
			 (uint32_t)tuple->src_port << 16 | sequence, data, len);
}

/* ---- receiving --------------------------------------------------------------------- */

/* "Too big" for one of our segments: behind the app's interface is a smaller MTU. */
static void too_big(struct netstack *ns, const struct pkt *outer, uint32_t mtu)
{
	struct ns_tuple t = { 0 };
	const uint8_t *quote = outer->l4 + ICMP_HLEN;
	uint32_t len = outer->l4_len - ICMP_HLEN, hlen;

	if (outer->src.family == 4) {
		hlen = len >= IPV4_HLEN ? (quote[0] & 0x0f) * 4u : 0;
		if (hlen < IPV4_HLEN || len < hlen + 4 || quote[9] != PROTO_TCP)
			return;
		memcpy(t.dst.bytes, quote + 12, 4);
		memcpy(t.src.bytes, quote + 16, 4);
	} else {
		hlen = IPV6_HLEN;
		if (len < hlen + 4 || quote[6] != PROTO_TCP)
			return;
		memcpy(t.dst.bytes, quote + 8, 16);
		memcpy(t.src.bytes, quote + 24, 16);
	}
	t.src.family = t.dst.family = outer->src.family;
	t.dst_port = get_be16(quote + hlen);
	t.src_port = get_be16(quote + hlen + 2);
	tcp_too_big(ns, &t, mtu);
}

void icmp_packet(struct netstack *ns, const struct pkt *p)
{
	struct ns_tuple tuple = { .src = p->src, .dst = p->dst };
	bool v4 = p->src.family == 4;
	uint8_t type, code;

	if (p->l4_len < ICMP_HLEN || !icmp_sum_right(p)) {
		ns->counters.malformed++;
		return;
	}
	type = p->l4[0];
	code = p->l4[1];
	if (type == (v4 ? ICMP4_ECHO : ICMP6_ECHO) && !code) {
		tuple.src_port = get_be16(p->l4 + 4);
		ns->ops.echo(ns->ctx, &tuple, get_be16(p->l4 + 6), p->l4 + ICMP_HLEN,
			     p->l4_len - ICMP_HLEN);
	} else if (v4 && type == ICMP4_UNREACH && code == ICMP4_CODE_FRAG) {
		too_big(ns, p, get_be16(p->l4 + 6));
	} else if (!v4 && type == ICMP6_TOO_BIG) {
		too_big(ns, p, get_be32(p->l4 + 4));
	}
	/* the rest tells of our answers to flows that ended: nobody asks */
}
