/* SPDX-License-Identifier: MIT */
/* frag.c - datagrams in fragments: put together on the way in, cut on the way out */
#include "netstack/internal.h"

#include <errno.h>
#include <string.h>

#include "netstack/slab.h"

#define FRAG_IOV_MAX	4
#define LATE_QUOTE	512u		/* bytes of the first fragment that the sender gets back */
#define IP6_LENGTH_AT	4u		/* of the payload length; of the offset in a */
#define FRAG6_OFFSET_AT	2u		/* fragment header */

struct part {
	struct part *next;			/* by offset */
	uint32_t off, len;
	uint8_t data[];
};

struct datagram {
	struct link link;			/* on reasm.list, oldest first */
	uint64_t due;
	struct ipaddr src, dst;
	uint32_t id;
	uint8_t proto;				/* IPv6: the first fragment's */
	bool poisoned;				/* overlapped: swallow the rest of it */
	uint32_t total;				/* 0: the last fragment is not here yet */
	uint32_t have;
	struct part *parts;
};

static void parts_free(struct netstack *ns, struct datagram *d)
{
	while (d->parts) {
		struct part *p = d->parts;

		d->parts = p->next;
		ns->reasm.bytes -= (uint32_t)sizeof(*p) + p->len;
		slab_free(p);
	}
}

static void datagram_free(struct netstack *ns, struct datagram *d)
{
	parts_free(ns, d);
	link_remove(&d->link);
	ns->reasm.count--;
	slab_free(d);
}

static void datagram_drop(struct netstack *ns, struct datagram *d)
{
	if (!d->poisoned)
		ns->counters.frag_dropped++;
	datagram_free(ns, d);
}

static void datagram_poison(struct netstack *ns, struct datagram *d)
{
	ns->counters.frag_dropped++;
	d->poisoned = true;
	parts_free(ns, d);
}

/*
 * It did not come together in time: RFC 1122, 3.3.2 and RFC 8200, 4.5 have the
 * sender told when its first fragment is here.
 */
static void datagram_late(struct netstack *ns, const struct datagram *d)
{
	const struct part *first = d->parts;
	uint8_t quote[IPV6_HLEN + LATE_QUOTE];
	struct pkt p = { .src = d->src, .dst = d->dst, .proto = d->proto, .ip = quote };
	size_t hlen;

	if (!first || first->off)
		return;
	hlen = ip_header_write(quote, &d->src, &d->dst, d->proto, IP_TTL_OUT, first->len);
	p.l4 = quote + hlen;
	p.l4_len = first->len < LATE_QUOTE ? first->len : LATE_QUOTE;
	p.ip_len = (uint32_t)hlen + p.l4_len;
	memcpy(p.l4, first->data, p.l4_len);
	icmp_quote(ns, &p, d->src.family == 4 ? 11 : 3, 1, 0);
}

static struct datagram *oldest(const struct netstack *ns)
{
	return container_of(ns->reasm.list.next, struct datagram, link);
}

static struct datagram *datagram_get(struct netstack *ns, const struct pkt *p)
{
	struct datagram *d;
	struct link *l;

	for (l = ns->reasm.list.next; l != &ns->reasm.list; l = l->next) {
		d = container_of(l, struct datagram, link);
		if (d->id == p->frag_id && addr_equal(&d->src, &p->src) &&
		    addr_equal(&d->dst, &p->dst) &&
		    (p->src.family == 6 || d->proto == p->proto))
			return d;
	}
	if (ns->reasm.count >= REASM_MAX)
		datagram_drop(ns, oldest(ns));
	d = slab_calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->src = p->src;
	d->dst = p->dst;
	d->id = p->frag_id;
	d->proto = p->proto;
	d->due = ns->now + REASM_US;
	list_push(&ns->reasm.list, &d->link);
	ns->reasm.count++;
	return d;
}

/* Return: 0 taken or a mere repetition, -EINVAL it overlaps, -ENOMEM */
static int part_insert(struct netstack *ns, struct datagram *d, const struct pkt *p)
{
	uint32_t off = p->frag_off, len = p->l4_len;
	struct part **at = &d->parts, *n;

	while (*at && (*at)->off + (*at)->len <= off)
		at = &(*at)->next;
	if (*at && (*at)->off < off + len) {
		if ((*at)->off == off && (*at)->len == len &&
		    !memcmp((*at)->data, p->l4, len))
			return 0;
		return -EINVAL;
	}
	n = slab_alloc(sizeof(*n) + len);
	if (!n)
		return -ENOMEM;
	n->off = off;
	n->len = len;
	memcpy(n->data, p->l4, len);
	n->next = *at;
	*at = n;
	d->have += len;
	ns->reasm.bytes += (uint32_t)sizeof(*n) + len;
	return 0;
}

static void datagram_deliver(struct netstack *ns, struct datagram *d)
{
	struct buf *b = buf_get(ns->rx_pool);
	uint8_t *ip;
	struct part *part;
	struct pkt p;
	size_t hlen;

	if (!b) {
		ns->counters.no_buffer++;
		datagram_drop(ns, d);
		return;
	}
	ip = b->data + RX_PACKET_AT;
	hlen = ip_header_write(ip, &d->src, &d->dst, d->proto, IP_TTL_OUT, d->total);
	for (part = d->parts; part; part = part->next)
		memcpy(ip + hlen + part->off, part->data, part->len);
	hlen += d->total;
	datagram_free(ns, d);
	ns->counters.reassembled++;
	switch (pkt_parse(ip, hlen, &p)) {
	case PKT_OK:
		p.verify = true;
		/* a fragment inside is nobody's */
		if (p.fragment)
			ns->counters.malformed++;
		else
			packet_input(ns, b, &p, 0);
		break;
	case PKT_PROBLEM:
		ns->counters.malformed++;
		icmp_problem(ns, &p, p.problem, p.problem_at);
		break;
	case PKT_MALFORMED:
	case PKT_MULTICAST:		/* not from these addresses */
		ns->counters.malformed++;
		break;
	}
	buf_unref(b);
}

/* where the last of the bytes that are here ends */
static uint32_t parts_end(const struct datagram *d)
{
	const struct part *p = d->parts;

	while (p->next)
		p = p->next;
	return p->off + p->len;
}

void frag_packet(struct netstack *ns, const struct pkt *p)
{
	uint32_t most = IP_TOTAL_MAX - (p->src.family == 4 ? IPV4_HLEN : 0);
	uint32_t end = p->frag_off + p->l4_len;
	struct datagram *d;
	int r;

	if (!p->l4_len || end > most || (p->frag_more && p->l4_len % 8)) {
		ns->counters.malformed++;
		if (p->src.family == 6 && p->l4_len)	/* RFC 8200, 4.5 */
			icmp_problem(ns, p, 0, end > most ? p->proto_at + FRAG6_OFFSET_AT
							  : IP6_LENGTH_AT);
		return;
	}
	d = datagram_get(ns, p);
	if (!d || d->poisoned)
		return;
	if (!p->frag_off)
		d->proto = p->proto;
	/* two ends, or bytes beyond the end */
	if (d->total && (end > d->total || (!p->frag_more && end != d->total))) {
		datagram_poison(ns, d);
		return;
	}
	r = part_insert(ns, d, p);
	if (r == -EINVAL) {
		datagram_poison(ns, d);
		return;
	}
	if (r < 0) {
		datagram_drop(ns, d);
		return;
	}
	if (!p->frag_more)
		d->total = end;
	if (d->total && parts_end(d) > d->total) {
		datagram_poison(ns, d);
		return;
	}
	if (d->total && d->have == d->total) {
		datagram_deliver(ns, d);
		return;
	}
	while (ns->reasm.bytes > REASM_BYTES)
		datagram_drop(ns, oldest(ns));
}

uint64_t frag_timer(struct netstack *ns)
{
	while (!list_empty(&ns->reasm.list) && oldest(ns)->due <= ns->now) {
		datagram_late(ns, oldest(ns));
		datagram_drop(ns, oldest(ns));
	}
	return list_empty(&ns->reasm.list) ? NEVER : oldest(ns)->due;
}

void frag_free(struct netstack *ns)
{
	while (!list_empty(&ns->reasm.list))
		datagram_free(ns, oldest(ns));
}

/* ---- on the way out ---------------------------------------------------------------- */

static size_t fragment_header(struct netstack *ns, uint8_t *h, const struct ipaddr *src,
			      const struct ipaddr *dst, uint8_t proto, size_t off, size_t len,
			      bool more)
{
	size_t n;

	if (src->family == 4) {
		n = ip_header_write(h, src, dst, proto, IP_TTL_OUT, len);
		put_be16(h + 4, (uint16_t)ns->ip_id);
		put_be16(h + 6, (uint16_t)((more ? 0x2000 : 0) | off / 8));
		ip4_header_checksum(h);
		return n;
	}
	n = ip_header_write(h, src, dst, PROTO_FRAGMENT, IP_TTL_OUT, FRAG6_HLEN + len);
	h[n] = proto;
	h[n + 1] = 0;
	put_be16(h + n + 2, (uint16_t)(off | (more ? 1 : 0)));
	put_be32(h + n + 4, ns->ip_id);
	return n + FRAG6_HLEN;
}

int frag_send(struct netstack *ns, const struct ipaddr *src, const struct ipaddr *dst,
	      uint8_t proto, struct iovec *data, int n, size_t len)
{
	size_t hlen = src->family == 4 ? IPV4_HLEN : IPV6_HLEN;
	size_t step = (ns->config.mtu - hlen - (src->family == 4 ? 0 : FRAG6_HLEN)) & ~(size_t)7;
	uint8_t h[IPV6_HLEN + FRAG6_HLEN];
	struct iovec iov[2 + FRAG_IOV_MAX];
	size_t off;
	int r, result = 0;

	if (n > FRAG_IOV_MAX || len > IP_TOTAL_MAX - (src->family == 4 ? IPV4_HLEN : 0))
		return -EMSGSIZE;
	if (hlen + len <= ns->config.mtu) {
		iov[1] = (struct iovec){
			h, ip_header_write(h, src, dst, proto, IP_TTL_OUT, len),
		};
		memcpy(iov + 2, data, (size_t)n * sizeof(*iov));
		return raw_send(ns, iov, n + 2);
	}
	ns->ip_id++;
	for (off = 0; off < len; off += step) {
		size_t size = len - off < step ? len - off : step;

		iov[1] = (struct iovec){
			h, fragment_header(ns, h, src, dst, proto, off, size, off + size < len),
		};
		r = raw_send(ns, iov, 2 + iov_slice(data, n, off, size, iov + 2));
		if (r < 0)
			result = r;
	}
	return result;
}
