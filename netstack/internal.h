/* SPDX-License-Identifier: MIT */
/* internal.h - what the files of netstack/ share; nobody else includes it */
#ifndef APPTUNNEL_NETSTACK_INTERNAL_H
#define APPTUNNEL_NETSTACK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"

#include "netstack/buf.h"
#include "netstack/netstack.h"
#include "netstack/packet.h"
#include "netstack/siphash.h"

/* ---- bounds ---------------------------------------------------------- */

#define NS_TCP_DEFAULT_MAX	65536u		/* flows, when the owner names no number */
#define NS_TCP_LIMIT_MAX	(1u << 20)

/*
 * Read buffers: 64 KiB of payload each.  Past a half in use only large
 * segments are kept in place, past three quarters none is: what waits is
 * copied to its size, so that there always is a buffer to read to.
 */
#define RX_BUFS_MAX		1024u
#define RX_KEEP_MIN		8192u		/* keep in place from this payload size */
#define RX_KEEP_MIN_BUSY	32768u
#define TRIM_US			1000000u
#define RX_BUFS_SPARE		64u		/* free ones that are kept after a rush */
#define CHUNK_SIZE		4096u		/* where small pieces are collected */
#define CHUNK_SPARE		256u
#define TX_COPY_MAX		2048u		/* smaller writes are copied */

/* a read buffer: lwIP's handle, virtio header, packet on a multiple of four */
#define RX_META_SIZE		40u
#define RX_PACKET_AT		56u
#define VNET_HLEN		10u
#define RX_BUF_SIZE		(RX_PACKET_AT + 65536u + 64u)

#define RX_BUDGET		(64u << 20)	/* bytes of all flows that nobody read yet */
#define RX_BUDGET_HARD		(2 * RX_BUDGET)	/* beyond: as if lost on the way */
#define WINDOW_FULL		(256u << 10)	/* receive window of a flow */
#define WINDOW_SMALL		65535u		/* in a rush, and before the handshake ends */
#define SEGMENT_BACK_MAX	(2 * WINDOW_FULL)	/* what is older was never in flight */
#define WINDOW_UPDATE		(64u << 10)	/* tell the app when its window grew by this */

#define GSO_PAYLOAD_MAX		65455u		/* 65535 less the largest headers */
#define GSO_UDP_SEGMENTS_MAX	64u		/* what every kernel with USO takes */
#define MSS_MIN			88u		/* an app may not ask for smaller segments */
#define SEGMENT_PIECES_MAX	48u		/* references in one segment */
#define IOV_MAX_OUT		(SEGMENT_PIECES_MAX + 16u)
#define CWND_OFF		(1u << 30)	/* no congestion on a local link */

#define TICK_US			500000u		/* lwIP's slow timer */
#define ACK_DELAY_US		1000u		/* a response may carry the ACK of a request */
#define REFUSE_DELAY_US		2000u		/* ICMP sooner after a SYN is not heard */
#define TOMB_US			2000000u	/* TIME_WAIT */
#define TOMBS_MAX		16384u
#define PROBE_TICKS_MAX		120u		/* a minute between window probes */
#define PROBES_MAX		16u		/* unanswered ones */

#define ICMP_RATE		100u		/* a second, and as many at once */
#define RST_RATE		1000u

#define REASM_MAX		64u
#define REASM_US		30000000u
#define REASM_BYTES		(256u << 10)

#define IP_TTL_OUT		64u
#define NEVER			UINT64_MAX

/* ---- lists ----------------------------------------------------------- */

struct link {
	struct link *next, *prev;		/* both NULL: on no list */
};

static inline void list_init(struct link *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct link *head)
{
	return head->next == head;
}

static inline bool link_listed(const struct link *l)
{
	return l->next;
}

static inline void list_push(struct link *head, struct link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void link_remove(struct link *l)
{
	if (!l->next)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->next = l->prev = NULL;
}

/* all of @from, in order, to the empty list @to */
static inline void list_take(struct link *to, struct link *from)
{
	list_init(to);
	if (list_empty(from))
		return;
	to->next = from->next;
	to->prev = from->prev;
	to->next->prev = to;
	to->prev->next = to;
	list_init(from);
}

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* ---- bytes that wait --------------------------------------------------- */

struct piece {
	struct piece *next;
	struct buf *b;
	const uint8_t *data;
	uint32_t len;
	bool chunk;				/* b is ours to append to */
};

struct queue {
	struct piece *head, *tail;
	uint32_t bytes;
};

/* queue.c; -ENOMEM: a part may be queued, give the flow up */
int queue_append(struct bufpool *chunks, struct queue *q, struct buf *b,
		 const uint8_t *data, size_t len, bool copy);
size_t queue_read(struct queue *q, uint8_t *dst, size_t max);	/* dst NULL: drop */
void queue_clear(struct queue *q);

/* ---- flows ------------------------------------------------------------ */

enum flow_state {
	FLOW_HELD,				/* SYN here, owner asked */
	FLOW_REFUSED,				/* answer waits its 2 ms; forgotten by the owner */
	FLOW_OPEN,				/* the owner accepted; lwIP has a pcb until the end */
	FLOW_TOMB,				/* TIME_WAIT */
};

/* what happened while lwIP had the flow */
enum {
	EV_READABLE = 0x01, EV_EOF = 0x02, EV_RESET = 0x04, EV_DONE = 0x08,
	EV_NOMEM = 0x10,
};

struct held {
	uint64_t since;
	uint8_t syn[TCP_HLEN_MAX];		/* TCP header */
	uint8_t hlen;
	uint8_t how;				/* enum ns_refusal */
};

struct ns_tcp {
	struct ns_tcp *hash_next;
	uint32_t hash;
	uint8_t state;
	uint8_t events;
	uint8_t busy;				/* callbacks of it are running */
	bool dead;				/* free it when they are done */
	struct ns_tuple tuple;
	uint16_t peer_mss;
	void *user;

	struct link dirty;			/* work for ns_flush() */
	struct link armed;			/* lwIP's timer, or the window probe */
	struct link timed;			/* one of acks, refused, tombs, starved */
	uint64_t due;

	struct tcp_pcb *pcb;
	struct queue rx;			/* from the app, not read yet */
	uint32_t window;			/* what rcv_wnd may grow to */
	uint32_t grant;				/* read, not yet given back to the window */
	uint32_t batch;				/* bytes since the last flush */
	bool fin_wanted, fin_sent;
	bool eof;				/* the app's FIN was taken */
	bool fin_known;				/* its place is fin_at */
	uint32_t fin_at;
	bool established;
	bool starving;				/* on ns->starved */
	bool time_wait;				/* it ends in a tombstone */
	bool done;				/* both ways, but bytes are unread */
	uint8_t probe_wait, probe_left;		/* ticks; wait 0: no probing */
	uint8_t probes;				/* since the app was last heard */
	uint32_t last_snd, last_rcv;		/* for the tombstone's ACK */
	union {
		struct held held;
		struct {
			struct queue tx;	/* to the app, not acknowledged */
			struct piece *next;	/* holds the first byte that lwIP lacks */
			const uint8_t *next_data;
			uint32_t unsent;	/* bytes from there */
			uint32_t acked;		/* to be told to the owner */
		} out;
	} u;
};

struct rate {
	uint64_t last;
	uint32_t tokens;
};

struct reasm {
	struct link list;			/* by age */
	uint32_t count;
	uint32_t bytes;
};

struct netstack {
	struct ns_config config;
	struct ns_ops ops;
	void *ctx;
	uint64_t now;
	uint64_t hash_key[2];

	struct bufpool *rx_pool, *chunk_pool;
	struct buf *rx;				/* where the next packet goes */

	struct ns_tcp **table;			/* chains */
	uint32_t table_mask;
	uint32_t flows;				/* tombs not counted */

	struct link dirty, armed, acks, refused, tombs, starved;
	struct link orphans;			/* out of the table, bytes still unread */
	uint32_t tomb_count;
	uint64_t trim_due;			/* free buffers go back to the system */
	uint64_t tick_due;			/* NEVER: nothing is armed */
	uint64_t rx_queued;

	struct netif netif;
	struct tcp_pcb_listen *listener;

	struct rate icmp_rate, rst_rate;
	struct reasm reasm;
	bool tso, uso;
	uint32_t ip_id;
	struct ns_counters counters;
};

/* ---- demux.c ------------------------------------------------------------ */

/* The flow table, by a keyed hash.  flow_find(): NULL: none; flow_unhash(): fine when it is out */
uint32_t tuple_hash(const struct netstack *ns, const struct ns_tuple *t);
struct ns_tcp *flow_find(const struct netstack *ns, const struct ns_tuple *t, uint32_t hash);
void flow_insert(struct netstack *ns, struct ns_tcp *t);
void flow_unhash(struct netstack *ns, struct ns_tcp *t);

/* rate_take() - may one more go out now? */
bool rate_take(struct rate *r, uint32_t per_second, uint64_t now);

/* packet_input() - one parsed packet, also from frag.c.  @b: the buffer that
 * holds it; references may be kept */
void packet_input(struct netstack *ns, struct buf *b, struct pkt *p, uint16_t segment);

/* ---- flow.c, tcp.c, tcp_segment.c -------------------------------------------- */

/* tcp_start() - empty lists, and lwIP.  0 or a negative errno.  tcp_stop() forgets every flow */
int tcp_start(struct netstack *ns);
void tcp_stop(struct netstack *ns);
uint64_t timed_run(struct netstack *ns);	/* Return: when next, NEVER */
/* tcp_packet() - a segment of an app, as packet_input() */
void tcp_packet(struct netstack *ns, struct buf *b, const struct pkt *p);
/* tcp_too_big() - an ICMP error says that a segment of ours was: @mtu, or 0: not said */
void tcp_too_big(struct netstack *ns, const struct ns_tuple *t, uint32_t mtu);
/* send an empty segment; ack with TH_ACK only */
void tcp_send_bare(struct netstack *ns, const struct ns_tuple *t, uint32_t seq, uint32_t ack,
		   uint8_t flags);

/* flow_new() - in the table and counted.  NULL: no memory */
struct ns_tcp *flow_new(struct netstack *ns, const struct ns_tuple *tuple, uint32_t hash);
/* flow_forget() - out of table and lists; freed when no callback of it runs any more */
void flow_forget(struct netstack *ns, struct ns_tcp *t);
/* flow_dirty() - dirty_run() is to look at it; flow_wait() - timed_run() at @due (us) */
void flow_dirty(struct netstack *ns, struct ns_tcp *t);
void flow_wait(struct link *list, struct ns_tcp *t, uint64_t due);
/* flow_dispatch() - t->events to the owner, who may end the flow: @t may be gone on return */
void flow_dispatch(struct netstack *ns, struct ns_tcp *t);
/* dirty_run() - do what flows have to do since the last time */
void dirty_run(struct netstack *ns);

/* ---- tcp_lwip.c, tcp_send.c ---------------------------------------------------- */

/* lwip_start() - our one netif and one listener in lwIP.  0 or a negative errno */
int lwip_start(struct netstack *ns);
void lwip_stop(struct netstack *ns);
/* lwip_enter() - point lwIP's lists at the flow; lwip_leave() - store back what
 * lwIP made of it: t->pcb may be NULL then, t->events say why */
void lwip_enter(struct ns_tcp *t);
void lwip_leave(struct netstack *ns, struct ns_tcp *t);
/* Return: 0, -ENOMEM */
int lwip_accept(struct netstack *ns, struct ns_tcp *t, const struct held *h);
/*
 * What follows enters lwIP for one flow: t->pcb may be NULL afterwards, t->events
 * wait for flow_dispatch().
 */
/* lwip_input() - the segment @v, which lies in @b (a reference is taken) */
void lwip_input(struct netstack *ns, struct ns_tcp *t, struct buf *b, struct tcp_view *v);
/* lwip_flush() - bytes that fit the app's window, FIN, window, ACK (tcp_send.c) */
void lwip_flush(struct netstack *ns, struct ns_tcp *t);
/* lwip_ack() - the delayed ACK, if it is still due */
void lwip_ack(struct netstack *ns, struct ns_tcp *t);
/* lwip_challenge() - an ACK with the next flush, whatever came */
void lwip_challenge(struct netstack *ns, struct ns_tcp *t);
/* lwip_abort() - RST to the app, pcb gone; fine without one */
void lwip_abort(struct netstack *ns, struct ns_tcp *t);
/* lwip_tick() - lwIP's slow timer, for the flows that are armed */
void lwip_tick(struct netstack *ns);
/* lwip_arm() - does this flow have something to time?  Then the next tick is for it, too */
void lwip_arm(struct netstack *ns, struct ns_tcp *t);

/* ---- gso.c ------------------------------------------------------------------ */

/*
 * A packet on its way out.  The IP header's length and checksum, and the
 * transport checksum, are filled in here.  @segment: cut the payload into
 * pieces of this size (TCP segments, datagrams of a batch); 0: one packet.
 */
struct out {
	uint8_t *ip;				/* header: IP, then transport */
	uint16_t ip_hlen, l4_hlen;
	uint8_t proto;
	uint16_t segment;
	struct iovec *data;			/* payload */
	int pieces;
	uint32_t len;				/* of the payload */
};

/* gso_send() - to the TUN, cut here where the kernel does not.  Return: 0, or a negative
 * errno: (some of) it is lost */
int gso_send(struct netstack *ns, struct out *o);
/* raw_send() - a complete packet without offloads.  @iov[0] is kept free for
 * the virtio header.  Return: as gso_send() */
int raw_send(struct netstack *ns, struct iovec *iov, int n);

/* ---- icmp.c, udp.c, frag.c ---------------------------------------------------- */

/* icmp_packet() - an echo request, or an error about one of our packets */
void icmp_packet(struct netstack *ns, const struct pkt *p);
/* icmp_refuse_syn() - the error that tells connect() (docs/design.md, last table);
 * @isn: of the SYN, for the quote.  Not rate limited: each SYN is a flow's */
void icmp_refuse_syn(struct netstack *ns, const struct ns_tuple *t, uint32_t isn,
		     enum ns_refusal how);
/* icmp_quote() - an error about a packet of an app, where RFC 1122, 3.2.2 and
 * RFC 4443, 2.4 allow one; rate limited */
void icmp_quote(struct netstack *ns, const struct pkt *p, uint8_t type, uint8_t code,
		uint32_t word);
/* icmp_problem() - ICMPv6 "parameter problem", at offset @at of the packet */
void icmp_problem(struct netstack *ns, const struct pkt *p, uint8_t code, uint32_t at);
/* udp_packet() - a datagram of an app, or a batch of @segment bytes each */
void udp_packet(struct netstack *ns, const struct pkt *p, uint16_t segment);

/* frag_send() - @len bytes of transport (@data, @n pieces) as one datagram, in fragments where
 * needed.  Return: 0, -EMSGSIZE, or another negative errno: (some of) it is lost */
int frag_send(struct netstack *ns, const struct ipaddr *src, const struct ipaddr *dst,
	      uint8_t proto, struct iovec *data, int n, size_t len);
/* frag_packet() - a fragment; with the last one packet_input() gets the whole (RFC 791, RFC 8200,
 * 4.5; what overlaps is dropped as RFC 5722 has it) */
void frag_packet(struct netstack *ns, const struct pkt *p);
/* frag_timer() - forget what did not come together.  Return: when next, NEVER */
uint64_t frag_timer(struct netstack *ns);
void frag_free(struct netstack *ns);

#endif
