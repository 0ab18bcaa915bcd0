/* SPDX-License-Identifier: MIT */
/*
 * gso.c - packets out: virtio headers, checksums, super-segments for the
 * kernel to cut, and cutting them here when it does not take them.
 */
#include "netstack/internal.h"

#include <errno.h>
#include <string.h>

/* struct virtio_net_hdr of linux/virtio_net.h, whose legacy form a TUN uses */
struct vnet_hdr {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
};

_Static_assert(sizeof(struct vnet_hdr) == VNET_HLEN, "as the kernel has it");

enum { VNET_NEEDS_CSUM = 1 };
enum { VNET_GSO_TCP4 = 1, VNET_GSO_TCP6 = 4, VNET_GSO_UDP = 5 };

static int emit(struct netstack *ns, struct vnet_hdr *vnet, struct iovec *iov, int n)
{
	size_t bytes = 0;
	int i, r;

	for (i = 1; i < n; i++)
		bytes += iov[i].iov_len;
	if (ns->config.vnet_hdr) {
		iov[0] = (struct iovec){ vnet, sizeof(*vnet) };
		r = ns->ops.output(ns->ctx, iov, n);
	} else {
		r = ns->ops.output(ns->ctx, iov + 1, n - 1);
	}
	if (r < 0) {
		ns->counters.output_failed++;
		return r;
	}
	ns->counters.packets_out++;
	ns->counters.bytes_out += bytes;
	return 0;
}

int raw_send(struct netstack *ns, struct iovec *iov, int n)
{
	struct vnet_hdr vnet = { 0 };

	return emit(ns, &vnet, iov, n);
}

static uint16_t csum_at(uint8_t proto)
{
	return proto == PROTO_TCP ? 16 : 6;
}

static void addresses(const struct out *o, struct ipaddr *src, struct ipaddr *dst)
{
	memset(src, 0, sizeof(*src));
	memset(dst, 0, sizeof(*dst));
	if (o->ip_hlen == IPV4_HLEN) {
		src->family = dst->family = 4;
		memcpy(src->bytes, o->ip + 12, 4);
		memcpy(dst->bytes, o->ip + 16, 4);
	} else {
		src->family = dst->family = 6;
		memcpy(src->bytes, o->ip + 8, 16);
		memcpy(dst->bytes, o->ip + 24, 16);
	}
}

/* Lengths for @len bytes of payload; IPv4's header checksum. */
static void header_finish(const struct out *o, uint8_t *ip, uint32_t len)
{
	uint32_t total = o->ip_hlen + o->l4_hlen + len;

	if (o->ip_hlen == IPV4_HLEN) {
		put_be16(ip + 2, (uint16_t)total);
		ip4_header_checksum(ip);
	} else {
		put_be16(ip + 4, (uint16_t)(total - IPV6_HLEN));
	}
	if (o->proto == PROTO_UDP)
		put_be16(ip + o->ip_hlen + 4, (uint16_t)(o->l4_hlen + len));
}

/* The pseudo-header's sum only: the kernel does or skips the rest. */
static int send_offloaded(struct netstack *ns, struct out *o, uint8_t gso_type)
{
	struct iovec iov[IOV_MAX_OUT];
	struct vnet_hdr vnet = {
		.flags = VNET_NEEDS_CSUM,
		.gso_type = gso_type,
		.hdr_len = (uint16_t)(o->ip_hlen + o->l4_hlen),
		.gso_size = gso_type ? o->segment : 0,
		.csum_start = o->ip_hlen,
		.csum_offset = csum_at(o->proto),
	};
	struct ipaddr src, dst;
	int i;

	addresses(o, &src, &dst);
	header_finish(o, o->ip, o->len);
	put_be16(o->ip + o->ip_hlen + csum_at(o->proto),
		 csum_fold(csum_pseudo(&src, &dst, o->proto, o->l4_hlen + o->len)));
	iov[1] = (struct iovec){ o->ip, o->ip_hlen + o->l4_hlen };
	for (i = 0; i < o->pieces; i++)
		iov[2 + i] = o->data[i];
	return emit(ns, &vnet, iov, o->pieces + 2);
}

/* One packet of @len bytes of payload in @n pieces, checksum and all. */
static int send_plain(struct netstack *ns, const struct out *o, uint8_t *ip,
		      const struct iovec *data, int n, uint32_t len)
{
	struct iovec iov[IOV_MAX_OUT];
	struct ipaddr src, dst;
	uint8_t *l4 = ip + o->ip_hlen, *field = l4 + csum_at(o->proto);
	uint32_t at = o->l4_hlen;
	uint64_t sum;
	uint16_t check;
	int i;

	addresses(o, &src, &dst);
	header_finish(o, ip, len);
	put_be16(field, 0);
	sum = csum_pseudo(&src, &dst, o->proto, o->l4_hlen + len);
	sum = csum_add(sum, l4, o->l4_hlen, false);
	for (i = 0; i < n; i++) {
		sum = csum_add(sum, data[i].iov_base, data[i].iov_len, at & 1);
		at += (uint32_t)data[i].iov_len;
	}
	check = (uint16_t)~csum_fold(sum);
	if (o->proto == PROTO_UDP && !check)
		check = 0xffff;			/* 0 says: none */
	put_be16(field, check);
	iov[1] = (struct iovec){ ip, o->ip_hlen + o->l4_hlen };
	for (i = 0; i < n; i++)
		iov[2 + i] = data[i];
	return raw_send(ns, iov, n + 2);
}

/* What the kernel would have made of a super-segment. */
static int send_cut(struct netstack *ns, const struct out *o)
{
	uint8_t headers[IPV6_HLEN + TCP_HLEN_MAX];
	struct iovec data[SEGMENT_PIECES_MAX + 2];
	uint8_t *l4 = headers + o->ip_hlen;
	uint32_t off, seq = 0;
	int r, result = 0;

	if (o->proto == PROTO_TCP)
		seq = get_be32(o->ip + o->ip_hlen + 4);
	for (off = 0; off < o->len; off += o->segment) {
		uint32_t len = o->len - off < o->segment ? o->len - off : o->segment;
		int n = iov_slice(o->data, o->pieces, off, len, data);

		memcpy(headers, o->ip, o->ip_hlen + o->l4_hlen);
		if (o->proto == PROTO_TCP) {
			put_be32(l4 + 4, seq + off);
			if (off + len < o->len)
				l4[13] &= (uint8_t)~(TH_FIN | TH_PSH);
		}
		r = send_plain(ns, o, headers, data, n, len);
		if (r < 0)
			result = r;
	}
	return result;
}

int gso_send(struct netstack *ns, struct out *o)
{
	bool cut = o->segment && o->len > o->segment;
	bool *offload = o->proto == PROTO_TCP ? &ns->tso : &ns->uso;
	uint8_t type;
	int r;

	if (!cut) {
		if (ns->config.vnet_hdr)
			return send_offloaded(ns, o, 0);
		return send_plain(ns, o, o->ip, o->data, o->pieces, o->len);
	}
	if (!*offload)
		return send_cut(ns, o);
	if (o->proto == PROTO_UDP)
		type = VNET_GSO_UDP;
	else
		type = o->ip_hlen == IPV4_HLEN ? VNET_GSO_TCP4 : VNET_GSO_TCP6;
	r = send_offloaded(ns, o, type);
	if (r == -EINVAL) {
		/* this kernel does not take them, now or ever */
		*offload = false;
		ns->counters.gso_refused++;
		r = send_cut(ns, o);
	}
	return r;
}
