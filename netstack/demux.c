/* SPDX-License-Identifier: MIT */
/* demux.c - the stack itself: start and end, the flow table, packets in */
#include "netstack/internal.h"

#include <stdlib.h>
#include <string.h>

/* virtio_net_hdr, as the TUN device writes it: bytes of the machine's order */
enum { VNET_FLAGS_AT = 0, VNET_GSO_TYPE_AT = 1, VNET_GSO_SIZE_AT = 4 };
enum { VNET_NEEDS_CSUM = 1, VNET_DATA_VALID = 2 };
enum { VNET_GSO_NONE = 0, VNET_GSO_TCP4 = 1, VNET_GSO_TCP6 = 4, VNET_GSO_UDP = 5,
       VNET_GSO_ECN = 0x80 };

/* ---- keyed hash ------------------------------------------------------------- */

uint32_t tuple_hash(const struct netstack *ns, const struct ns_tuple *t)
{
	uint64_t words[5], ports = (uint64_t)t->src_port << 16 | t->dst_port;
	uint64_t h;

	if (t->src.family == 4) {
		memcpy(words, t->src.bytes, 4);
		memcpy((uint8_t *)words + 4, t->dst.bytes, 4);
		words[1] = ports | 4ull << 32;
		h = siphash24(ns->hash_key, words, 16);
	} else {
		memcpy(words, t->src.bytes, 16);
		memcpy(words + 2, t->dst.bytes, 16);
		words[4] = ports | 6ull << 32;
		h = siphash24(ns->hash_key, words, 40);
	}
	return (uint32_t)(h ^ h >> 32);
}

/* ---- flow table ---------------------------------------------------------------- */

static bool tuple_equal(const struct ns_tuple *a, const struct ns_tuple *b)
{
	return a->src_port == b->src_port && a->dst_port == b->dst_port &&
	       !memcmp(&a->src, &b->src, sizeof(a->src)) &&
	       !memcmp(&a->dst, &b->dst, sizeof(a->dst));
}

struct ns_tcp *flow_find(const struct netstack *ns, const struct ns_tuple *t, uint32_t hash)
{
	struct ns_tcp *f = ns->table[hash & ns->table_mask];

	while (f && (f->hash != hash || !tuple_equal(&f->tuple, t)))
		f = f->hash_next;
	return f;
}

void flow_insert(struct netstack *ns, struct ns_tcp *t)
{
	struct ns_tcp **at = &ns->table[t->hash & ns->table_mask];

	t->hash_next = *at;
	*at = t;
}

void flow_unhash(struct netstack *ns, struct ns_tcp *t)
{
	struct ns_tcp **at = &ns->table[t->hash & ns->table_mask];

	while (*at && *at != t)
		at = &(*at)->hash_next;
	if (*at)
		*at = t->hash_next;
}

/* ---- packets in ------------------------------------------------------------------ */

bool rate_take(struct rate *r, uint32_t per_second, uint64_t now)
{
	uint64_t gained = (now - r->last) * per_second / 1000000;

	if (gained) {
		r->tokens = gained > per_second - r->tokens ? per_second
							    : r->tokens + (uint32_t)gained;
		r->last = now;
	}
	if (!r->tokens)
		return false;
	r->tokens--;
	return true;
}

static void other_packet(struct netstack *ns, const struct pkt *p)
{
	ns->counters.other_proto++;
	if (p->src.family == 4)
		icmp_quote(ns, p, 3, 2, 0);		/* protocol unreachable */
	else if (p->proto != PROTO_NONE)
		icmp_problem(ns, p, 1, p->proto_at);	/* unrecognised next header */
}

void packet_input(struct netstack *ns, struct buf *b, struct pkt *p, uint16_t segment)
{
	bool v6 = p->src.family == 6;

	switch (p->proto) {
	case PROTO_TCP:
		tcp_packet(ns, b, p);
		break;
	case PROTO_UDP:
		udp_packet(ns, p, segment);
		break;
	case PROTO_ICMP:
	case PROTO_ICMP6:
		/* the other family's ICMP is no protocol here */
		if (v6 == (p->proto == PROTO_ICMP6))
			icmp_packet(ns, p);
		else
			other_packet(ns, p);
		break;
	default:
		other_packet(ns, p);
		break;
	}
}

/* @verify: nobody vouches for the checksum behind the IP header */
static void packet_route(struct netstack *ns, struct buf *b, uint8_t *data, size_t len,
			 uint16_t segment, bool verify)
{
	struct pkt p;

	switch (pkt_parse(data, len, &p)) {
	case PKT_OK:
		break;
	case PKT_MALFORMED:
		ns->counters.malformed++;
		return;
	case PKT_MULTICAST:
		ns->counters.dropped_multicast++;
		return;
	case PKT_PROBLEM:
		ns->counters.malformed++;
		icmp_problem(ns, &p, p.problem, p.problem_at);
		return;
	}
	p.verify = verify;
	if (p.ttl <= 1)
		icmp_quote(ns, &p, p.src.family == 4 ? 11 : 3, 0, 0);
	else if (p.fragment)
		frag_packet(ns, &p);
	else
		packet_input(ns, b, &p, segment);
}

uint8_t *ns_input_buf(struct netstack *ns, size_t *size)
{
	size_t at = RX_PACKET_AT - (ns->config.vnet_hdr ? VNET_HLEN : 0);

	if (!ns->rx)
		ns->rx = buf_get(ns->rx_pool);
	if (!ns->rx) {
		ns->counters.no_buffer++;
		return NULL;
	}
	*size = ns->rx->size - at;
	return ns->rx->data + at;
}

void ns_input(struct netstack *ns, size_t len, uint64_t now)
{
	struct buf *b = ns->rx;
	uint8_t *packet = b->data + RX_PACKET_AT;
	uint16_t segment = 0;
	bool verify = true;

	ns->now = now;
	ns->counters.packets_in++;
	if (ns->config.vnet_hdr) {
		const uint8_t *h = packet - VNET_HLEN;
		uint8_t type;

		if (len < VNET_HLEN) {
			ns->counters.malformed++;
			return;
		}
		len -= VNET_HLEN;
		type = h[VNET_GSO_TYPE_AT] & (uint8_t)~VNET_GSO_ECN;
		if (type == VNET_GSO_UDP)
			memcpy(&segment, h + VNET_GSO_SIZE_AT, sizeof(segment));
		if ((type != VNET_GSO_NONE && type != VNET_GSO_TCP4 && type != VNET_GSO_TCP6 &&
		     type != VNET_GSO_UDP) || (type == VNET_GSO_UDP && !segment)) {
			ns->counters.malformed++;
			return;
		}
		/* What an app of this machine sends has its checksum yet to come
		 * and never saw a wire: nothing to verify on the common way. */
		verify = !(h[VNET_FLAGS_AT] & (VNET_NEEDS_CSUM | VNET_DATA_VALID));
	}
	ns->counters.bytes_in += len;
	packet_route(ns, b, packet, len, segment, verify);
	if (b->refs > 1) {
		/* bytes of it wait in a flow: the next packet needs another */
		buf_unref(b);
		ns->rx = NULL;
	}
}

void ns_flush(struct netstack *ns, uint64_t now)
{
	ns->now = now;
	dirty_run(ns);
	if (ns->trim_due <= now) {
		ns->trim_due = now + TRIM_US;
		bufpool_trim(ns->rx_pool, RX_BUFS_SPARE);
		bufpool_trim(ns->chunk_pool, CHUNK_SPARE);
	}
}

uint64_t ns_timer(struct netstack *ns, uint64_t now)
{
	uint64_t next, frag;

	ns->now = now;
	if (ns->tick_due <= now)
		lwip_tick(ns);
	timed_run(ns);
	frag = frag_timer(ns);
	dirty_run(ns);
	/* the flush may have put something on a list */
	next = timed_run(ns);
	if (frag < next)
		next = frag;
	if (list_empty(&ns->armed))
		ns->tick_due = NEVER;
	return ns->tick_due < next ? ns->tick_due : next;
}

const struct ns_counters *ns_counters(const struct netstack *ns)
{
	return &ns->counters;
}

/* ---- start and end ------------------------------------------------------------------ */

struct netstack *ns_new(const struct ns_config *config, const struct ns_ops *ops, void *ctx)
{
	struct netstack *ns = calloc(1, sizeof(*ns));
	uint32_t slots = 1024;

	if (!ns)
		return NULL;
	ns->config = *config;
	ns->ops = *ops;
	ns->ctx = ctx;
	if (!ns->config.max_tcp)
		ns->config.max_tcp = NS_TCP_DEFAULT_MAX;
	if (ns->config.max_tcp > NS_TCP_LIMIT_MAX)
		ns->config.max_tcp = NS_TCP_LIMIT_MAX;
	ns->tso = config->vnet_hdr && config->tso;
	ns->uso = config->vnet_hdr && config->uso;
	memcpy(ns->hash_key, config->hash_key, sizeof(ns->hash_key));
	ns->ip_id = (uint32_t)ns->hash_key[0];
	ns->icmp_rate.tokens = ICMP_RATE;
	ns->rst_rate.tokens = RST_RATE;
	list_init(&ns->reasm.list);

	/* Pages of the table that no flow hashed to take no memory. */
	while (slots < 2 * ns->config.max_tcp)
		slots *= 2;
	ns->table_mask = slots - 1;
	ns->table = calloc(slots, sizeof(*ns->table));
	ns->rx_pool = bufpool_new(RX_BUF_SIZE, RX_BUFS_MAX);
	ns->chunk_pool = bufpool_new(CHUNK_SIZE, UINT32_MAX);
	if (!ns->table || !ns->rx_pool || !ns->chunk_pool || tcp_start(ns) < 0) {
		bufpool_free(ns->chunk_pool);
		bufpool_free(ns->rx_pool);
		free(ns->table);
		free(ns);
		return NULL;
	}
	return ns;
}

void ns_free(struct netstack *ns)
{
	if (!ns)
		return;
	tcp_stop(ns);
	frag_free(ns);
	buf_unref(ns->rx);
	bufpool_free(ns->rx_pool);
	bufpool_free(ns->chunk_pool);
	free(ns->table);
	free(ns);
}
