/* SPDX-License-Identifier: MIT */
/*
 * packet.h - views of IP packets whose every offset was checked, and the
 * checksums.  The only place that looks into packet bytes by position.
 */
#ifndef APPTUNNEL_PACKET_H
#define APPTUNNEL_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "profiles/addr.h"

#define IPV4_HLEN	20u
#define IPV6_HLEN	40u
#define TCP_HLEN_MIN	20u
#define TCP_HLEN_MAX	60u
#define UDP_HEADER	8u
#define ICMP_ECHO_HLEN	8u
#define FRAG6_HLEN	8u
#define IP_TOTAL_MAX	65535u

enum {
	PROTO_HOPOPTS = 0, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17,
	PROTO_ROUTING = 43, PROTO_FRAGMENT = 44, PROTO_ICMP6 = 58,
	PROTO_NONE = 59, PROTO_DSTOPTS = 60,
};

enum {
	TH_FIN = 0x01, TH_SYN = 0x02, TH_RST = 0x04, TH_PSH = 0x08, TH_ACK = 0x10,
};

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}

/* An IP packet.  Pointers lead into the parsed bytes. */
struct pkt {
	struct ipaddr src, dst;
	uint8_t proto;			/* of l4; for a later fragment: of its datagram */
	uint8_t ttl, tos;
	bool fragment;			/* part of a datagram: l4 is frag_off bytes into it */
	bool frag_more;
	uint16_t frag_off;
	uint32_t frag_id;
	uint16_t proto_at;		/* IPv6: offset of the byte that named proto */
	bool verify;			/* the checksum behind the header is ours to look at;
					 * pkt_parse() leaves it false */
	uint8_t problem;		/* PKT_PROBLEM: ICMPv6 code, offset of what is wrong */
	uint16_t problem_at;
	uint8_t *ip;
	uint32_t ip_len;		/* of the whole packet, from its header */
	uint8_t *l4;
	uint32_t l4_len;
};

enum pkt_result {
	PKT_OK,
	PKT_MALFORMED,			/* drop and count */
	PKT_MULTICAST,			/* or broadcast: drop and count */
	PKT_PROBLEM,			/* IPv6: drop, count, and answer "parameter problem" */
};

/*
 * pkt_parse() - read the IP header, its options, and IPv6's extension headers
 * (RFC 791, RFC 8200).  A source route is malformed: we are no router on it.
 * @data: the packet without virtio header; more bytes than the packet says
 *	are ignored
 * @p: complete on PKT_OK and PKT_PROBLEM; src, dst, ip and ip_len also on
 *	PKT_MULTICAST
 */
enum pkt_result pkt_parse(uint8_t *data, size_t len, struct pkt *p);

struct tcp_view {
	uint8_t *header;
	uint16_t src, dst;
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;
	uint8_t hlen;			/* with options, whose lengths are sound */
	uint8_t *payload;
	uint32_t len;			/* of the payload */
};

/* Return: false when malformed; with p->verify also when the checksum is wrong */
bool tcp_parse(const struct pkt *p, struct tcp_view *t);

struct udp_view {
	uint16_t src, dst;
	uint8_t *payload;
	uint32_t len;
};

/*
 * udp_parse() - @batch: the packet is a batch of datagrams (USO), whose length
 *	field may be 0 or that of the whole
 * Return: false when malformed; with p->verify also when the checksum is wrong,
 *	or missing where IPv6 wants one
 */
bool udp_parse(const struct pkt *p, struct udp_view *u, bool batch);

/* icmp_sum_right() - ICMP or ICMPv6; true without p->verify */
bool icmp_sum_right(const struct pkt *p);

/*
 * csum_add() - add @len bytes to a ones' complement sum
 * @sum: 0 or an earlier result
 * @odd: the bytes before these were odd in number
 * Return: the sum, not folded
 */
uint64_t csum_add(uint64_t sum, const void *data, size_t len, bool odd);
uint16_t csum_fold(uint64_t sum);	/* 16 bits in host order, not complemented */

/* The pseudo-header's sum; @len: of the upper-layer packet */
uint64_t csum_pseudo(const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto,
		     uint32_t len);

/*
 * ip_header_write() - an IPv4 (20 bytes) or IPv6 header for @len bytes behind
 * it; IPv4: don't fragment, identification 0, checksum filled in
 * Return: its length
 */
size_t ip_header_write(uint8_t *h, const struct ipaddr *src, const struct ipaddr *dst,
		       uint8_t proto, uint8_t ttl, size_t len);

/*
 * iov_slice() - @len bytes from offset @off of @pieces pieces
 * @to: holds @pieces entries
 * Return: how many of them were set
 */
int iov_slice(const struct iovec *from, int pieces, size_t off, size_t len, struct iovec *to);

/* ip4_header_checksum() - fill in the checksum of a 20-byte header */
void ip4_header_checksum(uint8_t *h);

#endif
