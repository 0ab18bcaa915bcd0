/* SPDX-License-Identifier: MIT */
/* packet.c - bounds-checked views of packets, checksums */
#include "netstack/packet.h"

#include <string.h>

#define EXT_HEADERS_MAX	8		/* IPv6 extension headers of one packet */

#define SUM_RIGHT	0xffffu		/* of bytes that hold their own checksum */

enum { TCPOPT_END = 0, TCPOPT_NOP = 1 };
enum { IPOPT_END = 0, IPOPT_NOP = 1, IPOPT_LOOSE = 131, IPOPT_STRICT = 137 };
enum { OPT6_PAD1 = 0, OPT6_PADN = 1 };
/* RFC 8200, 4.2: what one does who does not know an option */
enum { OPT6_SKIP = 0, OPT6_DROP = 1 };
enum { PROBLEM_FIELD = 0, PROBLEM_OPTION = 2 };

static bool addr_is_bad_source(const struct ipaddr *a)
{
	return addr_is_multicast(a) || addr_is_loopback(a) || addr_is_unspecified(a) ||
	       addr_is_mapped(a) || (a->family == 4 && get_be32(a->bytes) == 0xffffffff);
}

static enum pkt_result addresses_check(const struct pkt *p)
{
	if (addr_is_multicast(&p->dst) ||
	    (p->dst.family == 4 && get_be32(p->dst.bytes) == 0xffffffff))
		return PKT_MULTICAST;
	if (addr_is_bad_source(&p->src) || addr_is_loopback(&p->dst) ||
	    addr_is_unspecified(&p->dst) || addr_is_mapped(&p->dst) || addr_equal(&p->src, &p->dst))
		return PKT_MALFORMED;
	return PKT_OK;
}

/* Options are not carried, but a lie in them is not believed either. */
static bool ip4_options_sound(const uint8_t *o, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (o[at] == IPOPT_END)
			return true;
		if (o[at] == IPOPT_NOP) {
			at++;
			continue;
		}
		if (len - at < 2 || o[at + 1] < 2 || o[at + 1] > len - at)
			return false;
		if (o[at] == IPOPT_LOOSE || o[at] == IPOPT_STRICT)
			return false;
		at += o[at + 1];
	}
	return true;
}

static enum pkt_result ip4_parse(uint8_t *data, size_t len, struct pkt *p)
{
	enum pkt_result r;
	uint16_t frag;
	size_t hlen;

	if (len < IPV4_HLEN)
		return PKT_MALFORMED;
	hlen = (data[0] & 0x0f) * 4u;
	p->ip_len = get_be16(data + 2);
	if (hlen < IPV4_HLEN || p->ip_len < hlen || p->ip_len > len)
		return PKT_MALFORMED;
	/* the kernel fills it in for everybody, also in super-segments */
	if (csum_fold(csum_add(0, data, hlen, false)) != SUM_RIGHT ||
	    !ip4_options_sound(data + IPV4_HLEN, hlen - IPV4_HLEN))
		return PKT_MALFORMED;
	p->src.family = p->dst.family = 4;
	memcpy(p->src.bytes, data + 12, 4);
	memcpy(p->dst.bytes, data + 16, 4);
	r = addresses_check(p);
	if (r != PKT_OK)
		return r;

	p->tos = data[1];
	p->ttl = data[8];
	p->proto = data[9];
	p->l4 = data + hlen;
	p->l4_len = p->ip_len - (uint32_t)hlen;
	frag = get_be16(data + 6);
	p->frag_off = (uint16_t)((frag & 0x1fff) * 8);
	p->frag_more = frag & 0x2000;
	p->fragment = p->frag_off || p->frag_more;
	p->frag_id = get_be16(data + 4);
	return PKT_OK;
}

static void frag6_parse(const uint8_t *h, struct pkt *p)
{
	uint16_t off = get_be16(h + 2);

	p->frag_off = off & 0xfff8;
	p->frag_more = off & 1;
	p->frag_id = get_be32(h + 4);
	/* a fragment that is the whole ("atomic") is none */
	p->fragment = p->frag_off || p->frag_more;
}

/* The first problem is the one that is told. */
static void problem(struct pkt *p, uint8_t code, uint32_t at)
{
	if (p->problem_at)
		return;
	p->problem = code;
	p->problem_at = (uint16_t)at;
}

/* Options of the hop-by-hop or destination header between two offsets. */
static bool ip6_options_sound(const uint8_t *data, uint32_t at, uint32_t end, struct pkt *p)
{
	while (at < end) {
		uint8_t type = data[at];

		if (type == OPT6_PAD1) {
			at++;
			continue;
		}
		if (end - at < 2 || data[at + 1] > end - at - 2)
			return false;
		/* A jumbogram's length is one of those that nobody may skip. */
		if (type >> 6 == OPT6_DROP)
			return false;
		if (type >> 6 != OPT6_SKIP)
			problem(p, PROBLEM_OPTION, at);
		at += 2u + data[at + 1];
	}
	return true;
}

static enum pkt_result ip6_parse(uint8_t *data, size_t len, struct pkt *p)
{
	bool seen_fragment = false;
	enum pkt_result r;
	uint32_t at = IPV6_HLEN;
	uint8_t next;
	int n;

	if (len < IPV6_HLEN)
		return PKT_MALFORMED;
	/* length 0 is a jumbogram's: none fits into a TUN packet */
	p->ip_len = IPV6_HLEN + get_be16(data + 4);
	if (p->ip_len == IPV6_HLEN || p->ip_len > len)
		return PKT_MALFORMED;
	p->src.family = p->dst.family = 6;
	memcpy(p->src.bytes, data + 8, 16);
	memcpy(p->dst.bytes, data + 24, 16);
	r = addresses_check(p);
	if (r != PKT_OK)
		return r;

	p->tos = (uint8_t)(get_be16(data) >> 4);
	p->ttl = data[7];
	next = data[6];
	p->proto_at = 6;
	for (n = 0; ; n++) {
		/* hop-by-hop options are unknown in any but the first place */
		bool known = (next == PROTO_HOPOPTS && !n) || next == PROTO_ROUTING ||
			     next == PROTO_FRAGMENT || next == PROTO_DSTOPTS;
		uint32_t size = 8;

		if (!known)
			break;
		if (n == EXT_HEADERS_MAX || p->ip_len - at < 8)
			return PKT_MALFORMED;
		if (next == PROTO_FRAGMENT) {
			if (seen_fragment)
				return PKT_MALFORMED;
			seen_fragment = true;
			frag6_parse(data + at, p);
		} else {
			size += data[at + 1] * 8u;
			if (p->ip_len - at < size)
				return PKT_MALFORMED;
			/* segments left: we are no router on the way (RFC 5095) */
			if (next == PROTO_ROUTING && data[at + 3])
				problem(p, PROBLEM_FIELD, at + 2);
			if (next != PROTO_ROUTING &&
			    !ip6_options_sound(data, at + 2, at + size, p))
				return PKT_MALFORMED;
		}
		next = data[at];
		p->proto_at = (uint16_t)at;
		at += size;
		if (p->fragment)	/* what follows belongs to the datagram */
			break;
	}
	p->proto = next;
	p->l4 = data + at;
	p->l4_len = p->ip_len - at;
	return p->problem_at ? PKT_PROBLEM : PKT_OK;
}

enum pkt_result pkt_parse(uint8_t *data, size_t len, struct pkt *p)
{
	memset(p, 0, sizeof(*p));
	p->ip = data;
	if (!len)
		return PKT_MALFORMED;
	if (data[0] >> 4 == 4)
		return ip4_parse(data, len, p);
	if (data[0] >> 4 == 6)
		return ip6_parse(data, len, p);
	return PKT_MALFORMED;
}

/* Does the checksum in the first @len bytes of transport fit? */
static bool sum_right(const struct pkt *p, uint32_t len)
{
	uint64_t sum = 0;

	if (p->proto != PROTO_ICMP)
		sum = csum_pseudo(&p->src, &p->dst, p->proto, len);
	return csum_fold(csum_add(sum, p->l4, len, false)) == SUM_RIGHT;
}

bool icmp_sum_right(const struct pkt *p)
{
	return !p->verify || sum_right(p, p->l4_len);
}

/* lwIP trusts the option lengths; so they are checked here */
static bool tcp_options_sound(const uint8_t *o, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (o[at] == TCPOPT_END)
			return true;
		if (o[at] == TCPOPT_NOP) {
			at++;
			continue;
		}
		if (len - at < 2 || o[at + 1] < 2 || o[at + 1] > len - at)
			return false;
		at += o[at + 1];
	}
	return true;
}

bool tcp_parse(const struct pkt *p, struct tcp_view *t)
{
	uint8_t *h = p->l4;
	uint8_t hlen;

	if (p->l4_len < TCP_HLEN_MIN)
		return false;
	hlen = (uint8_t)((h[12] >> 4) * 4);
	if (hlen < TCP_HLEN_MIN || hlen > p->l4_len)
		return false;
	if (!tcp_options_sound(h + TCP_HLEN_MIN, hlen - TCP_HLEN_MIN))
		return false;
	if (p->verify && !sum_right(p, p->l4_len))
		return false;
	t->header = h;
	t->src = get_be16(h);
	t->dst = get_be16(h + 2);
	if (!t->src || !t->dst)
		return false;
	t->seq = get_be32(h + 4);
	t->ack = get_be32(h + 8);
	t->flags = h[13];
	t->window = get_be16(h + 14);
	t->hlen = hlen;
	t->payload = h + hlen;
	t->len = p->l4_len - hlen;
	return true;
}

bool udp_parse(const struct pkt *p, struct udp_view *u, bool batch)
{
	uint8_t *h = p->l4;
	uint32_t len;

	if (p->l4_len < UDP_HEADER)
		return false;
	len = get_be16(h + 4);
	if (batch)
		len = p->l4_len;
	else if (len < UDP_HEADER || len > p->l4_len)
		return false;
	/* 0 says "none", which IPv4 allows (RFC 768) and IPv6 does not (RFC 8200, 8.1) */
	if (p->verify && (get_be16(h + 6) ? !sum_right(p, len) : p->src.family == 6))
		return false;
	u->src = get_be16(h);
	u->dst = get_be16(h + 2);
	if (!u->dst)
		return false;
	u->payload = h + UDP_HEADER;
	u->len = len - UDP_HEADER;
	return true;
}

uint64_t csum_add(uint64_t sum, const void *data, size_t len, bool odd)
{
	const uint8_t *p = data;
	uint64_t s = 0, w;
	uint16_t folded;

	/* in native order: the ones' complement sum only swaps its bytes */
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		s += w;
		s += s < w;
	}
	if (len) {
		w = 0;
		memcpy(&w, p, len);
		s += w;
		s += s < w;
	}
	s = (s >> 32) + (s & 0xffffffff);
	s = (s >> 32) + (s & 0xffffffff);
	s = (s >> 16) + (s & 0xffff);
	s = (s >> 16) + (s & 0xffff);
	folded = (uint16_t)((s >> 16) + s);
	if (odd)
		folded = (uint16_t)(folded << 8 | folded >> 8);
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		folded = (uint16_t)(folded << 8 | folded >> 8);
	return sum + folded;
}

uint16_t csum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

uint64_t csum_pseudo(const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto,
		     uint32_t len)
{
	size_t n = addr_len(src->family);
	uint64_t sum;

	sum = csum_add(0, src->bytes, n, false);
	sum = csum_add(sum, dst->bytes, n, false);
	return sum + proto + (len >> 16) + (len & 0xffff);
}

void ip4_header_checksum(uint8_t *h)
{
	put_be16(h + 10, 0);
	put_be16(h + 10, (uint16_t)~csum_fold(csum_add(0, h, IPV4_HLEN, false)));
}

size_t ip_header_write(uint8_t *h, const struct ipaddr *src, const struct ipaddr *dst,
		       uint8_t proto, uint8_t ttl, size_t len)
{
	if (src->family == 4) {
		memset(h, 0, IPV4_HLEN);
		h[0] = 0x45;
		put_be16(h + 2, (uint16_t)(IPV4_HLEN + len));
		put_be16(h + 6, 0x4000);
		h[8] = ttl;
		h[9] = proto;
		memcpy(h + 12, src->bytes, 4);
		memcpy(h + 16, dst->bytes, 4);
		ip4_header_checksum(h);
		return IPV4_HLEN;
	}
	put_be32(h, 0x60000000);
	put_be16(h + 4, (uint16_t)len);
	h[6] = proto;
	h[7] = ttl;
	memcpy(h + 8, src->bytes, 16);
	memcpy(h + 24, dst->bytes, 16);
	return IPV6_HLEN;
}

int iov_slice(const struct iovec *from, int pieces, size_t off, size_t len, struct iovec *to)
{
	int i, n = 0;

	for (i = 0; i < pieces && len; i++) {
		size_t size = from[i].iov_len, take;

		if (off >= size) {
			off -= size;
			continue;
		}
		take = size - off < len ? size - off : len;
		to[n++] = (struct iovec){ (uint8_t *)from[i].iov_base + off, take };
		len -= take;
		off = 0;
	}
	return n;
}
