/* SPDX-License-Identifier: MIT */
/*
 * tcp_segment.c - segments of the apps: to flows, held SYNs, tombstones, and
 * to nobody.
 */
#include "netstack/internal.h"

#include <string.h>

#include "netstack/slab.h"

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

/*
 * Is it one that its app can have sent?  What is beyond our window, or says to
 * have received what was never sent, changes nothing (RFC 9293, 3.10.7.4; RFC
 * 5961, 5): lwIP would believe its window, and for good.  Nobody goes back
 * farther than a window either.
 */
static bool segment_acceptable(const struct tcp_pcb *pcb, const struct tcp_view *v)
{
	if ((int32_t)(v->seq - (pcb->rcv_nxt + pcb->rcv_wnd)) > 0 ||
	    (int32_t)(v->seq - (pcb->rcv_nxt - SEGMENT_BACK_MAX)) < 0)
		return false;
	return !(v->flags & TH_ACK) ||
	       ((int32_t)(v->ack - pcb->snd_nxt) <= 0 &&
		(int32_t)(v->ack - (pcb->lastack - pcb->snd_wnd_max)) >= 0);
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
	/* resets and SYNs are lwIP's to judge */
	if (t->established && !(v->flags & (TH_RST | TH_SYN)) && !segment_acceptable(pcb, v)) {
		ns->counters.tcp_unacceptable++;
		lwip_challenge(ns, t);
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
