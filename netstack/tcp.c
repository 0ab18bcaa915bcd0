/* SPDX-License-Identifier: MIT */
/*
 * tcp.c - TCP flows from their SYN to their end: held SYNs, refusals,
 * tombstones, the owner's calls and the callbacks to it.
 */
#include "netstack/internal.h"

#include <errno.h>
#include <string.h>

#include "netstack/slab.h"

/* ---- flows --------------------------------------------------------------- */

struct ns_tcp *flow_new(struct netstack *ns, const struct ns_tuple *tuple, uint32_t hash)
{
	struct ns_tcp *t = slab_calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tuple = *tuple;
	t->hash = hash;
	flow_insert(ns, t);
	ns->flows++;
	ns->counters.tcp_flows++;
	ns->counters.tcp_total++;
	return t;
}

static void flow_drop_queues(struct netstack *ns, struct ns_tcp *t)
{
	ns->rx_queued -= t->rx.bytes;
	queue_clear(&t->rx);
	if (t->state == FLOW_OPEN) {
		queue_clear(&t->u.out.tx);
		t->u.out.next = NULL;
		t->u.out.unsent = 0;
	}
}

static void flow_unlist(struct ns_tcp *t)
{
	link_remove(&t->dirty);
	link_remove(&t->armed);
	link_remove(&t->timed);
	t->starving = false;
}

/* The flow counts no longer; its memory may live on as a tombstone. */
static void flow_end(struct netstack *ns, struct ns_tcp *t)
{
	flow_unlist(t);
	flow_drop_queues(ns, t);
	if (t->state == FLOW_HELD)
		ns->counters.syn_held--;
	ns->flows--;
	ns->counters.tcp_flows--;
}

void flow_forget(struct netstack *ns, struct ns_tcp *t)
{
	if (t->state == FLOW_TOMB) {
		flow_unlist(t);
		ns->tomb_count--;
	} else {
		flow_end(ns, t);
	}
	flow_unhash(ns, t);
	if (t->busy)
		t->dead = true;
	else
		slab_free(t);
}

static void flow_bury(struct netstack *ns, struct ns_tcp *t)
{
	flow_end(ns, t);
	if (ns->tomb_count >= TOMBS_MAX)
		flow_forget(ns, container_of(ns->tombs.next, struct ns_tcp, timed));
	t->state = FLOW_TOMB;
	t->user = NULL;
	ns->tomb_count++;
	flow_wait(&ns->tombs, t, ns->now + TOMB_US);
}

void flow_dirty(struct netstack *ns, struct ns_tcp *t)
{
	if (!link_listed(&t->dirty))
		list_push(&ns->dirty, &t->dirty);
}

/* Lists of waiting flows are ordered by time. */
void flow_wait(struct link *list, struct ns_tcp *t, uint64_t due)
{
	struct link *at = list->prev;

	t->due = due;
	while (at != list && container_of(at, struct ns_tcp, timed)->due > due)
		at = at->prev;
	t->timed.prev = at;
	t->timed.next = at->next;
	at->next->prev = &t->timed;
	at->next = &t->timed;
}

/*
 * Tell the owner what happened.  It may do anything in its callbacks, also
 * end this flow: @t->dead then.
 */
void flow_dispatch(struct netstack *ns, struct ns_tcp *t)
{
	const struct ns_ops *ops = &ns->ops;
	uint8_t events = t->events;
	uint32_t acked;

	if (t->busy || t->state != FLOW_OPEN || (!events && !t->u.out.acked))
		return;
	t->events = 0;
	t->busy++;
	acked = t->u.out.acked;
	t->u.out.acked = 0;
	if (acked && !(events & EV_RESET))
		ops->tcp_sent(ns->ctx, t, t->user, acked);
	if (!t->dead && events & EV_READABLE && !(events & EV_RESET))
		ops->tcp_readable(ns->ctx, t, t->user);
	if (!t->dead && events & EV_EOF && !(events & EV_RESET))
		ops->tcp_eof(ns->ctx, t, t->user);
	if (!t->dead && events & (EV_RESET | EV_NOMEM)) {
		ops->tcp_closed(ns->ctx, t, t->user, true);
		if (!t->dead)
			flow_forget(ns, t);
	}
	if (!t->dead && events & EV_DONE) {
		t->done = true;
		flow_dirty(ns, t);
	}
	t->busy--;
	if (t->dead && !t->busy)
		slab_free(t);
}

/* Both directions ended.  Bytes that the owner has not read keep it alive. */
static void flow_finish(struct netstack *ns, struct ns_tcp *t)
{
	if (t->busy)
		flow_dirty(ns, t);
	if (t->rx.bytes || t->busy)
		return;
	t->busy++;
	ns->ops.tcp_closed(ns->ctx, t, t->user, false);
	t->busy--;
	if (t->dead) {
		slab_free(t);
	} else if (t->time_wait && flow_find(ns, &t->tuple, t->hash) == t) {
		flow_bury(ns, t);
	} else {
		flow_forget(ns, t);
	}
}

void dirty_run(struct netstack *ns)
{
	struct link todo;

	if (ns->rx_queued < RX_BUDGET / 4 * 3) {
		while (!list_empty(&ns->starved)) {
			struct ns_tcp *t = container_of(ns->starved.next, struct ns_tcp, timed);

			link_remove(&t->timed);
			t->starving = false;
			flow_dirty(ns, t);
		}
	}
	/* what a callback dirties is for the next round */
	list_take(&todo, &ns->dirty);
	while (!list_empty(&todo)) {
		struct ns_tcp *t = container_of(todo.next, struct ns_tcp, dirty);

		link_remove(&t->dirty);
		if (t->state != FLOW_OPEN)
			continue;
		lwip_flush(ns, t);
		if (t->events || t->u.out.acked)
			flow_dispatch(ns, t);
		else if (t->done)
			flow_finish(ns, t);
	}
}

/* ---- segments without a flow ----------------------------------------------- */

void tcp_send_bare(struct netstack *ns, const struct ns_tuple *t, uint32_t seq, uint32_t ack,
		   uint8_t flags)
{
	uint8_t h[IPV6_HLEN + TCP_HLEN_MIN];
	struct out o = { .ip = h, .l4_hlen = TCP_HLEN_MIN, .proto = PROTO_TCP };
	uint8_t *tcp;

	o.ip_hlen = (uint16_t)ip_header_write(h, &t->dst, &t->src, PROTO_TCP, IP_TTL_OUT,
					      TCP_HLEN_MIN);
	tcp = h + o.ip_hlen;
	memset(tcp, 0, TCP_HLEN_MIN);
	put_be16(tcp, t->dst_port);
	put_be16(tcp + 2, t->src_port);
	put_be32(tcp + 4, seq);
	put_be32(tcp + 8, flags & TH_ACK ? ack : 0);
	tcp[12] = TCP_HLEN_MIN / 4 << 4;
	tcp[13] = flags;
	gso_send(ns, &o);
}

/* RFC 9293 3.10.7.1: the reset that fits a segment for nobody */
static void segment_reject(struct netstack *ns, const struct ns_tuple *t,
			   const struct tcp_view *v)
{
	if (v->flags & TH_RST || !rate_take(&ns->rst_rate, RST_RATE, ns->now))
		return;
	ns->counters.rst_no_flow++;
	if (v->flags & TH_ACK)
		tcp_send_bare(ns, t, v->ack, 0, TH_RST);
	else
		tcp_send_bare(ns, t, 0, v->seq + v->len + !!(v->flags & TH_SYN) +
			      !!(v->flags & TH_FIN), TH_RST | TH_ACK);
}

/* ---- held SYNs ---------------------------------------------------------------- */

static void syn_packet(struct netstack *ns, const struct ns_tuple *tuple, uint32_t hash,
		       const struct tcp_view *v)
{
	struct ns_tcp *t;

	if (ns->flows >= ns->config.max_tcp) {
		segment_reject(ns, tuple, v);
		return;
	}
	t = flow_new(ns, tuple, hash);
	if (!t) {
		segment_reject(ns, tuple, v);
		return;
	}
	t->state = FLOW_HELD;
	t->u.held.since = ns->now;
	t->u.held.hlen = v->hlen;
	memcpy(t->u.held.syn, v->header, v->hlen);
	ns->counters.syn_held++;
	t->busy++;
	ns->ops.tcp_syn(ns->ctx, t, &t->tuple);
	t->busy--;
	if (t->dead)
		slab_free(t);
	else
		flow_dispatch(ns, t);
}

/* The app took its SYN back. */
static void held_cancel(struct netstack *ns, struct ns_tcp *t)
{
	if (t->state == FLOW_HELD) {
		t->busy++;
		ns->ops.tcp_closed(ns->ctx, t, t->user, true);
		t->busy--;
		if (t->dead) {
			slab_free(t);
			return;
		}
	}
	flow_forget(ns, t);
}

static void held_packet(struct netstack *ns, struct ns_tcp *t, const struct tcp_view *v)
{
	uint32_t isn = get_be32(t->u.held.syn + 4), hash = t->hash;
	struct ns_tuple tuple = t->tuple;

	if (v->flags & TH_RST) {
		if (v->seq == isn + 1 || v->seq == isn)
			held_cancel(ns, t);
	} else if (v->flags & TH_SYN && !(v->flags & TH_ACK) && v->seq != isn) {
		held_cancel(ns, t);
		syn_packet(ns, &tuple, hash, v);
	}
	/* else the same SYN again, or nothing that could be answered yet */
}

static void refuse_now(struct netstack *ns, struct ns_tcp *t)
{
	uint32_t isn = get_be32(t->u.held.syn + 4);

	if (t->u.held.how == NS_REFUSE_RST || t->u.held.how == NS_REFUSE_PORT)
		tcp_send_bare(ns, &t->tuple, 0, isn + 1, TH_RST | TH_ACK);
	else
		icmp_refuse_syn(ns, &t->tuple, isn, (enum ns_refusal)t->u.held.how);
	flow_forget(ns, t);
}

/* ---- segments of flows ------------------------------------------------------------ */

/*
 * Cut off what lies beyond our window, and beyond the end that the app named
 * before: lwIP keeps a segment that arrives early as it is, and is prepared
 * neither for one that is too long nor for bytes behind a FIN.
 */
static void segment_trim(struct ns_tcp *t, struct tcp_view *v)
{
	const struct tcp_pcb *pcb = t->pcb;
	uint32_t edge = pcb->rcv_nxt + pcb->rcv_wnd, end = v->seq + v->len;
	bool fin = v->flags & TH_FIN;

	if (t->fin_known && (int32_t)(t->fin_at - edge) < 0) {
		if (end != t->fin_at)
			fin = false;
		edge = t->fin_at + fin;
	}
	if (fin && (int32_t)(end + 1 - edge) > 0)
		fin = false;
	if ((int32_t)(end - edge) > 0)
		v->len = end - edge < v->len ? v->len - (end - edge) : 0;
	if (fin && !t->fin_known && (int32_t)(end - pcb->rcv_nxt) >= 0) {
		t->fin_known = true;
		t->fin_at = end;
	}
	if (!fin)
		v->flags &= (uint8_t)~TH_FIN;
	v->header[13] = v->flags;
}

static void open_packet(struct netstack *ns, struct ns_tcp *t, struct buf *b,
			struct tcp_view *v)
{
	struct tcp_pcb *pcb = t->pcb;
	struct ns_tuple tuple = t->tuple;
	uint32_t hash = t->hash;

	if (!pcb) {
		/* over, but the owner is still reading */
		if (v->flags & TH_SYN) {
			flow_unhash(ns, t);
			list_push(&ns->orphans, &t->armed);
			syn_packet(ns, &tuple, hash, v);
		} else if (!(v->flags & TH_RST) && (v->len || v->flags & TH_FIN)) {
			tcp_send_bare(ns, &tuple, t->last_snd, t->last_rcv, TH_ACK);
		}
		return;
	}
	if (v->flags & TH_SYN && !t->established) {
		if (v->flags & TH_ACK)
			return;
		if (v->seq != pcb->rcv_nxt - 1) {
			t->busy++;
			ns->ops.tcp_closed(ns->ctx, t, t->user, true);
			t->busy--;
			if (!t->dead) {
				lwip_abort(ns, t);
				flow_forget(ns, t);
			} else {
				slab_free(t);
			}
			syn_packet(ns, &tuple, hash, v);
			return;
		}
		/* the same SYN again; its options were read the first time */
		v->hlen = TCP_HLEN_MIN;
		v->len = 0;
		v->header[12] = TCP_HLEN_MIN / 4 << 4;
	} else if (!(v->flags & (TH_ACK | TH_RST | TH_SYN))) {
		ns->counters.malformed++;
		return;
	}
	if (v->len && ns->rx_queued >= RX_BUDGET_HARD) {
		/* windows that were announced before add up to more than we hold */
		ns->counters.rx_over_budget++;
		return;
	}
	segment_trim(t, v);
	lwip_input(ns, t, b, v);
	flow_dirty(ns, t);
	flow_dispatch(ns, t);
}

static void tomb_packet(struct netstack *ns, struct ns_tcp *t, const struct tcp_view *v)
{
	struct ns_tuple tuple = t->tuple;
	uint32_t hash = t->hash;

	if (v->flags & TH_RST)
		return;
	if (v->flags & TH_SYN && !(v->flags & TH_ACK)) {
		flow_forget(ns, t);
		syn_packet(ns, &tuple, hash, v);
		return;
	}
	if (v->len || v->flags & (TH_FIN | TH_SYN))
		tcp_send_bare(ns, &tuple, t->last_snd, t->last_rcv, TH_ACK);
}

void tcp_packet(struct netstack *ns, struct buf *b, const struct pkt *p)
{
	struct ns_tuple tuple = { .src = p->src, .dst = p->dst };
	struct tcp_view v;
	struct ns_tcp *t;
	uint32_t hash;

	if (!tcp_parse(p, &v) ||
	    (v.flags & TH_SYN && v.flags & (TH_FIN | TH_RST)) ||
	    !(v.flags & (TH_SYN | TH_RST | TH_ACK | TH_FIN))) {
		ns->counters.malformed++;
		return;
	}
	tuple.src_port = v.src;
	tuple.dst_port = v.dst;
	hash = tuple_hash(ns, &tuple);
	t = flow_find(ns, &tuple, hash);
	if (!t) {
		if (v.flags & TH_SYN && !(v.flags & TH_ACK))
			syn_packet(ns, &tuple, hash, &v);
		else
			segment_reject(ns, &tuple, &v);
		return;
	}
	switch ((enum flow_state)t->state) {
	case FLOW_HELD:
	case FLOW_REFUSED:
		held_packet(ns, t, &v);
		break;
	case FLOW_OPEN:
		open_packet(ns, t, b, &v);
		break;
	case FLOW_TOMB:
		tomb_packet(ns, t, &v);
		break;
	}
}

void tcp_too_big(struct netstack *ns, const struct ns_tuple *tuple, uint32_t mtu)
{
	uint32_t headers = (tuple->src.family == 4 ? IPV4_HLEN : IPV6_HLEN) + TCP_HLEN_MIN;
	struct ns_tcp *t = flow_find(ns, tuple, tuple_hash(ns, tuple));

	if (!t || t->state != FLOW_OPEN || !t->peer_mss || mtu < headers + MSS_MIN)
		return;
	if (mtu - headers < t->peer_mss)
		t->peer_mss = (uint16_t)(mtu - headers);
}

/* ---- timers ---------------------------------------------------------------------- */

static struct ns_tcp *timed_first(const struct link *list)
{
	return list_empty(list) ? NULL : container_of(list->next, struct ns_tcp, timed);
}

uint64_t timed_run(struct netstack *ns)
{
	const struct link *lists[] = { &ns->acks, &ns->refused, &ns->tombs };
	uint64_t next = NEVER;
	struct ns_tcp *t;
	size_t i;

	while ((t = timed_first(&ns->acks)) && t->due <= ns->now) {
		link_remove(&t->timed);
		lwip_ack(ns, t);
	}
	while ((t = timed_first(&ns->refused)) && t->due <= ns->now)
		refuse_now(ns, t);
	while ((t = timed_first(&ns->tombs)) && t->due <= ns->now)
		flow_forget(ns, t);
	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		t = timed_first(lists[i]);
		if (t && t->due < next)
			next = t->due;
	}
	return next;
}

/* ---- the owner's calls --------------------------------------------------------------- */

void ns_tcp_set_user(struct ns_tcp *t, void *user)
{
	t->user = user;
}

const struct ns_tuple *ns_tcp_tuple(const struct ns_tcp *t)
{
	return &t->tuple;
}

void ns_tcp_accept(struct netstack *ns, struct ns_tcp *t, uint64_t now)
{
	struct held held = t->u.held;

	if (t->state != FLOW_HELD)
		return;
	ns->now = now;
	ns->counters.syn_held--;
	t->state = FLOW_OPEN;
	memset(&t->u, 0, sizeof(t->u));
	if (lwip_accept(ns, t, &held) < 0) {
		tcp_send_bare(ns, &t->tuple, 0, get_be32(held.syn + 4) + 1, TH_RST | TH_ACK);
		t->events |= EV_RESET;
		flow_dirty(ns, t);
	}
}

void ns_tcp_refuse(struct netstack *ns, struct ns_tcp *t, enum ns_refusal how, uint64_t now)
{
	uint64_t due;

	if (t->state != FLOW_HELD)
		return;
	ns->now = now;
	t->u.held.how = (uint8_t)how;
	due = t->u.held.since + REFUSE_DELAY_US;
	/* A reset is heard at once; an ICMP error is not while connect() still
	 * holds the socket. */
	if (how == NS_REFUSE_RST || how == NS_REFUSE_PORT || due <= now) {
		refuse_now(ns, t);
		return;
	}
	t->state = FLOW_REFUSED;
	t->user = NULL;
	ns->counters.syn_held--;
	flow_wait(&ns->refused, t, due);
}

size_t ns_tcp_read(struct netstack *ns, struct ns_tcp *t, uint8_t *dst, size_t max)
{
	size_t n = queue_read(&t->rx, dst, max);

	if (!n)
		return 0;
	ns->rx_queued -= n;
	t->grant += (uint32_t)n;
	flow_dirty(ns, t);
	return n;
}

size_t ns_tcp_readable(const struct ns_tcp *t)
{
	return t->rx.bytes;
}

int ns_tcp_write(struct netstack *ns, struct ns_tcp *t, struct buf *b,
		 const uint8_t *data, size_t len)
{
	struct piece *tail = t->u.out.tx.tail;
	const uint8_t *end = tail ? tail->data + tail->len : NULL;

	if (t->state != FLOW_OPEN || t->fin_wanted || !len)
		return 0;
	flow_dirty(ns, t);
	if (len > UINT32_MAX - t->u.out.tx.bytes ||
	    queue_append(ns->chunk_pool, &t->u.out.tx, b, data, len,
			 len < TX_COPY_MAX) < 0) {
		lwip_abort(ns, t);
		t->events |= EV_RESET;
		return -ENOMEM;
	}
	if (!t->u.out.next) {
		/* the first new byte: behind the old end, or in a piece of its own */
		if (tail && tail->data + tail->len != end) {
			t->u.out.next = tail;
			t->u.out.next_data = end;
		} else {
			t->u.out.next = tail ? tail->next : t->u.out.tx.head;
			t->u.out.next_data = t->u.out.next->data;
		}
	}
	t->u.out.unsent += (uint32_t)len;
	return 0;
}

void ns_tcp_fin(struct netstack *ns, struct ns_tcp *t)
{
	if (t->state != FLOW_OPEN)
		return;
	t->fin_wanted = true;
	flow_dirty(ns, t);
}

void ns_tcp_abort(struct netstack *ns, struct ns_tcp *t)
{
	if (t->state == FLOW_HELD)
		tcp_send_bare(ns, &t->tuple, 0, get_be32(t->u.held.syn + 4) + 1,
			      TH_RST | TH_ACK);
	else
		lwip_abort(ns, t);
	flow_forget(ns, t);
}

int tcp_start(struct netstack *ns)
{
	list_init(&ns->dirty);
	list_init(&ns->armed);
	list_init(&ns->acks);
	list_init(&ns->refused);
	list_init(&ns->tombs);
	list_init(&ns->starved);
	list_init(&ns->orphans);
	ns->tick_due = NEVER;
	return lwip_start(ns);
}

void tcp_stop(struct netstack *ns)
{
	uint32_t i;

	while (!list_empty(&ns->orphans))
		flow_forget(ns, container_of(ns->orphans.next, struct ns_tcp, armed));
	for (i = 0; i <= ns->table_mask; i++) {
		while (ns->table[i]) {
			struct ns_tcp *t = ns->table[i];

			if (t->state == FLOW_OPEN)
				lwip_abort(ns, t);
			flow_forget(ns, t);
		}
	}
	lwip_stop(ns);
}
