/* SPDX-License-Identifier: MIT */
/*
 * packet_log.c - level "packet": one line for each packet that goes through
 * the TUN, in either direction.  Addresses, ports, flags and lengths; never a
 * byte of what an app said.
 */
#include <stdio.h>
#include <string.h>

#include "client/log.h"
#include "client/tunnel_priv.h"
#include "netstack/packet.h"

#define VNET_HDR	10u	/* bytes of struct virtio_net_hdr before a packet */
#define HEAD_MAX	128u	/* bytes that are looked at: IP and TCP header, some options */

static const char *tcp_flags(uint8_t bits, char text[9])
{
	static const char letters[] = "FSRPAUEC";
	size_t i, n = 0;

	for (i = 0; i < 8; i++)
		if (bits & 1u << i)
			text[n++] = letters[i];
	text[n] = '\0';
	return text;
}

/* What stands behind the IP header.  @l4: @have bytes of it, @len it has. */
static void describe(char *out, size_t size, const struct pkt *p, const uint8_t *l4,
		     size_t have, size_t len)
{
	char src[ADDR_STRLEN], dst[ADDR_STRLEN], flags[9];
	size_t head = have >= TCP_HLEN_MIN ? (l4[12] >> 4) * 4u : 0;

	addr_format(&p->src, src);
	addr_format(&p->dst, dst);
	if (p->fragment && p->frag_off)
		snprintf(out, size, "fragment of protocol %u, %s to %s, at %u", p->proto, src, dst,
			 p->frag_off);
	else if (p->proto == PROTO_TCP && have >= TCP_HLEN_MIN)
		snprintf(out, size, "tcp %s port %u to %s port %u, %s, payload %zu", src,
			 get_be16(l4), dst, get_be16(l4 + 2), tcp_flags(l4[13], flags),
			 len > head ? len - head : 0);
	else if (p->proto == PROTO_UDP && have >= UDP_HEADER)
		snprintf(out, size, "udp %s port %u to %s port %u, payload %zu", src,
			 get_be16(l4), dst, get_be16(l4 + 2), len - UDP_HEADER);
	else if ((p->proto == PROTO_ICMP || p->proto == PROTO_ICMP6) && have >= 2)
		snprintf(out, size, "icmp %s to %s, type %u code %u", src, dst, l4[0], l4[1]);
	else
		snprintf(out, size, "protocol %u, %s to %s", p->proto, src, dst);
}

/* @head: @have bytes, of a packet of @len in all */
static void packet_line(const char *way, uint8_t *head, size_t have, size_t len)
{
	struct pkt p;
	char text[256];
	size_t l3;

	memset(&p, 0, sizeof(p));
	if (have >= IPV4_HLEN && head[0] >> 4 == 4) {
		l3 = (head[0] & 15u) * 4u;
		p.src.family = p.dst.family = 4;
		memcpy(p.src.bytes, head + 12, 4);
		memcpy(p.dst.bytes, head + 16, 4);
		p.proto = head[9];
		p.frag_off = (uint16_t)((get_be16(head + 6) & 0x1fff) * 8u);
		p.fragment = p.frag_off || head[6] & 0x20;
	} else if (have >= IPV6_HLEN && head[0] >> 4 == 6) {
		l3 = IPV6_HLEN;
		p.src.family = p.dst.family = 6;
		memcpy(p.src.bytes, head + 8, 16);
		memcpy(p.dst.bytes, head + 24, 16);
		p.proto = head[6];	/* with extension headers: the first of them */
	} else {
		LOG(LOG_LVL_PACKET, "packet", "%s %zu bytes, not an IP packet", way, len);
		return;
	}
	if (l3 > have)
		l3 = have;
	describe(text, sizeof(text), &p, head + l3, have - l3, len > l3 ? len - l3 : 0);
	LOG(LOG_LVL_PACKET, "packet", "%s %zu bytes, %s", way, len, text);
}

void packet_log(const struct tunnel *t, const char *way, const struct iovec *iov, int n)
{
	size_t skip = t->vnet_hdr ? VNET_HDR : 0, have = 0, len = 0, part;
	uint8_t head[VNET_HDR + HEAD_MAX];
	int i;

	for (i = 0; i < n; i++) {
		part = sizeof(head) - have < iov[i].iov_len ? sizeof(head) - have : iov[i].iov_len;
		if (part)
			memcpy(head + have, iov[i].iov_base, part);
		have += part;
		len += iov[i].iov_len;
	}
	if (have > skip)
		packet_line(way, head + skip, have - skip, len - skip);
}
