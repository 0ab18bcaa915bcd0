/* SPDX-License-Identifier: MIT */
/*
 * tcp_send.c - what flows have to send: bytes just in time, window updates,
 * ACKs, FINs, and lwIP's slow timer.
 */
#include "netstack/internal.h"

#include "lwip/priv/tcp_priv.h"

/* Hand @n bytes from the first that lwIP lacks to lwIP, as one segment. */
static bool segment_write(struct ns_tcp *t, uint32_t n)
{
	uint32_t done = 0;
	int pieces = 0;

	while (done < n && pieces++ < (int)SEGMENT_PIECES_MAX) {
		struct piece *p = t->u.out.next;
		uint32_t left = (uint32_t)(p->data + p->len - t->u.out.next_data);
		uint32_t len = n - done < left ? n - done : left;
		uint8_t more = len < t->u.out.unsent ? TCP_WRITE_FLAG_MORE : 0;

		if (tcp_write(t->pcb, t->u.out.next_data, (u16_t)len, more) != ERR_OK)
			break;
		done += len;
		t->u.out.unsent -= len;
		t->u.out.next_data += len;
		if (len == left) {
			t->u.out.next = p->next;
			t->u.out.next_data = p->next ? p->next->data : NULL;
		}
	}
	return done;
}

/*
 * Just in time: lwIP gets what may leave now and nothing else.  A segment that
 * waits inside lwIP for the window to fit it would wait for lwIP's probe timer,
 * seconds long.
 */
static void pump(struct ns_tcp *t)
{
	struct tcp_pcb *pcb = t->pcb;

	while (t->u.out.unsent && !pcb->unsent) {
		uint32_t window = pcb->snd_wnd < pcb->cwnd ? pcb->snd_wnd : pcb->cwnd;
		uint32_t flying = pcb->snd_nxt - pcb->lastack;
		uint32_t room = flying < window ? window - flying : 0;
		uint32_t half = pcb->snd_wnd_max / 2;
		uint32_t n = pcb->mss;

		if (half && half < n)
			n = half;
		if (room < n)
			n = room;
		if (t->u.out.unsent <= n)
			n = t->u.out.unsent;
		else if (n >= t->peer_mss)
			n -= n % t->peer_mss;
		else if (flying)
			break;			/* its ACK brings more room */
		if (!n || !segment_write(t, n))
			break;
		tcp_output(pcb);
	}

	if (!t->u.out.unsent || pcb->unsent || pcb->unacked) {
		t->probe_wait = 0;
	} else if (!t->probe_wait) {
		/* The window is shut and nothing is on its way that would be
		 * answered: the update may get lost. */
		t->probe_wait = t->probe_left = 1;
		t->probes = 0;
	}
}

static void window_update(struct netstack *ns, struct ns_tcp *t)
{
	struct tcp_pcb *pcb = t->pcb;
	uint32_t grown, announced, step = t->window / 4;

	if (t->grant) {
		if (t->window < WINDOW_FULL && pcb->flags & TF_WND_SCALE &&
		    ns->rx_queued < RX_BUDGET / 2) {
			/* it began in a rush that is over */
			t->grant += WINDOW_FULL - t->window;
			t->window = WINDOW_FULL;
		}
		if (ns->rx_queued > RX_BUDGET && t->rx.bytes) {
			link_remove(&t->timed);
			list_push(&ns->starved, &t->timed);
			t->starving = true;
		} else {
			pcb->rcv_wnd += t->grant;
			if (pcb->rcv_wnd > t->window)
				pcb->rcv_wnd = t->window;
			t->grant = 0;
		}
	}
	if (t->eof)
		return;
	if (step > WINDOW_UPDATE)
		step = WINDOW_UPDATE;
	announced = pcb->rcv_ann_right_edge - pcb->rcv_nxt;
	grown = pcb->rcv_nxt + pcb->rcv_wnd - pcb->rcv_ann_right_edge;
	/* an app that waits at a shut window hears of the first whole segment */
	if (announced < t->peer_mss && step > t->peer_mss)
		step = t->peer_mss;
	if ((int32_t)grown > 0 && grown >= step) {
		pcb->rcv_ann_wnd = pcb->rcv_wnd;
		tcp_ack_now(pcb);
	}
}

void lwip_flush(struct netstack *ns, struct ns_tcp *t)
{
	struct tcp_pcb *pcb = t->pcb;

	if (!pcb || !t->established) {
		t->batch = 0;
		return;
	}
	lwip_enter(t);
	window_update(ns, t);
	pump(t);
	if (t->fin_wanted && !t->fin_sent && !t->u.out.unsent) {
		tcp_shutdown(pcb, 0, 1);
		/* no memory for the FIN: the next tick tries again */
		tcp_clear_flags(pcb, TF_CLOSEPEND);
		t->fin_sent = pcb->state == FIN_WAIT_1 || pcb->state == LAST_ACK;
	}
	if (pcb->flags & TF_ACK_DELAY && !(pcb->flags & TF_ACK_NOW)) {
		if (t->batch >= t->peer_mss || t->eof || t->starving)
			tcp_ack_now(pcb);
		else if (!link_listed(&t->timed))
			flow_wait(&ns->acks, t, ns->now + ACK_DELAY_US);
	}
	if (pcb->flags & TF_ACK_NOW) {
		tcp_output(pcb);
		tcp_clear_flags(pcb, TF_ACK_DELAY);
	}
	t->batch = 0;
	lwip_leave(ns, t);
}

void lwip_ack(struct netstack *ns, struct ns_tcp *t)
{
	if (!t->pcb || !(t->pcb->flags & TF_ACK_DELAY))
		return;
	lwip_enter(t);
	tcp_ack_now(t->pcb);
	tcp_output(t->pcb);
	lwip_leave(ns, t);
}

void lwip_challenge(struct netstack *ns, struct ns_tcp *t)
{
	tcp_ack_now(t->pcb);
	flow_dirty(ns, t);
}

/* ---- timer --------------------------------------------------------------------- */

static void probe_tick(struct netstack *ns, struct ns_tcp *t)
{
	if (!t->probe_wait || --t->probe_left)
		return;
	if (t->probes++ >= PROBES_MAX) {
		lwip_abort(ns, t);
		return;
	}
	lwip_enter(t);
	tcp_keepalive(t->pcb);			/* answered with the window */
	lwip_leave(ns, t);
	t->probe_wait = t->probe_wait < PROBE_TICKS_MAX / 2 ? t->probe_wait * 2
							    : PROBE_TICKS_MAX;
	t->probe_left = t->probe_wait;
}

void lwip_tick(struct netstack *ns)
{
	struct tcp_pcb *chain = NULL;
	struct link todo, *l;

	ns->tick_due = NEVER;
	list_take(&todo, &ns->armed);
	for (l = todo.next; l != &todo; l = l->next) {
		struct ns_tcp *t = container_of(l, struct ns_tcp, armed);

		t->pcb->next = chain;
		chain = t->pcb;
	}
	tcp_active_pcbs = chain;
	tcp_slowtmr();
	tcp_active_pcbs = NULL;
	for (l = todo.next; l != &todo; l = l->next) {
		struct ns_tcp *t = container_of(l, struct ns_tcp, armed);

		if (t->pcb)
			t->pcb->next = NULL;
	}

	/* callbacks may end any flow, also others of this list */
	while (!list_empty(&todo)) {
		struct ns_tcp *t = container_of(todo.next, struct ns_tcp, armed);

		link_remove(&t->armed);
		if (t->pcb) {
			lwip_arm(ns, t);
			probe_tick(ns, t);
		}
		if (t->pcb)
			flow_dirty(ns, t);
		flow_dispatch(ns, t);
	}
}
