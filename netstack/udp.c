/* SPDX-License-Identifier: MIT */
/* udp.c - datagrams of the apps, and to them.  No state: the owner has it. */
#include "netstack/internal.h"

#include <errno.h>
#include <string.h>

void udp_packet(struct netstack *ns, const struct pkt *p, uint16_t segment)
{
	struct ns_tuple tuple = { .src = p->src, .dst = p->dst };
	struct udp_view u;

	if (!udp_parse(p, &u, segment != 0)) {
		ns->counters.malformed++;
		return;
	}
	tuple.src_port = u.src;
	tuple.dst_port = u.dst;
	ns->ops.udp(ns->ctx, &tuple, u.payload, u.len, segment < u.len ? segment : 0);
}

static void udp_header_write(uint8_t *h, const struct ns_tuple *t, uint32_t len)
{
	put_be16(h, t->dst_port);
	put_be16(h + 2, t->src_port);
	put_be16(h + 4, (uint16_t)len);
	put_be16(h + 6, 0);
}

/* One datagram, larger than the MTU: its checksum is of the whole. */
static int udp_send_fragments(struct netstack *ns, const struct ns_tuple *t,
			      const uint8_t *data, size_t len)
{
	struct iovec iov[2];
	uint8_t h[UDP_HEADER];
	uint16_t check;
	uint64_t sum;

	udp_header_write(h, t, (uint32_t)(UDP_HEADER + len));
	sum = csum_pseudo(&t->dst, &t->src, PROTO_UDP, (uint32_t)(UDP_HEADER + len));
	sum = csum_add(sum, h, sizeof(h), false);
	sum = csum_add(sum, data, len, false);
	check = (uint16_t)~csum_fold(sum);
	put_be16(h + 6, check ? check : 0xffff);
	iov[0] = (struct iovec){ h, sizeof(h) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)data, len };
	return frag_send(ns, &t->dst, &t->src, PROTO_UDP, iov, 2, UDP_HEADER + len);
}

static int udp_send_packet(struct netstack *ns, const struct ns_tuple *t,
			   const uint8_t *data, size_t len, uint16_t segment)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	uint8_t h[IPV6_HLEN + UDP_HEADER];
	struct out o = {
		.ip = h, .l4_hlen = UDP_HEADER, .proto = PROTO_UDP, .segment = segment,
		.data = &iov, .pieces = len ? 1 : 0, .len = (uint32_t)len,
	};

	o.ip_hlen = (uint16_t)ip_header_write(h, &t->dst, &t->src, PROTO_UDP, IP_TTL_OUT,
					      UDP_HEADER + len);
	udp_header_write(h + o.ip_hlen, t, (uint32_t)(UDP_HEADER + len));
	if (o.ip_hlen == IPV4_HLEN) {
		/* may be fragmented behind us, where an MTU is smaller */
		put_be16(h + 4, (uint16_t)ns->ip_id++);
		put_be16(h + 6, 0);
	}
	return gso_send(ns, &o);
}

int ns_udp_send(struct netstack *ns, const struct ns_tuple *tuple,
		const uint8_t *data, size_t len, uint16_t segment)
{
	size_t headers = (tuple->src.family == 4 ? IPV4_HLEN : IPV6_HLEN) + UDP_HEADER;
	size_t one = segment ? segment : len, at = 0;
	size_t most = IP_TOTAL_MAX - UDP_HEADER - (tuple->src.family == 4 ? IPV4_HLEN : 0);
	int r, result = 0;

	if (one > most)
		return -EMSGSIZE;
	do {
		size_t left = len - at, n = left < one ? left : one;

		if (headers + n > ns->config.mtu) {
			r = udp_send_fragments(ns, tuple, data + at, n);
		} else {
			/* as many datagrams as one write may hold */
			if (segment && left > one) {
				size_t batch = (GSO_PAYLOAD_MAX / one) * one;

				if (batch > GSO_UDP_SEGMENTS_MAX * one)
					batch = GSO_UDP_SEGMENTS_MAX * one;
				n = left < batch ? left : batch;
			}
			r = udp_send_packet(ns, tuple, data + at, n, segment);
		}
		if (r < 0)
			result = r;
		at += n;
	} while (at < len);
	return result;
}
