/* SPDX-License-Identifier: MIT */
/* tcp.c - the owner's calls on TCP flows, and what waits for its time */
#include "netstack/internal.h"

#include <errno.h>
#include <string.h>

static void refuse_now(struct netstack *ns, struct ns_tcp *t)
{
	uint32_t isn = get_be32(t->u.held.syn + 4);

	if (t->u.held.how == NS_REFUSE_RST || t->u.held.how == NS_REFUSE_PORT)
		tcp_send_bare(ns, &t->tuple, 0, isn + 1, TH_RST | TH_ACK);
	else
		icmp_refuse_syn(ns, &t->tuple, isn, (enum ns_refusal)t->u.held.how);
	flow_forget(ns, t);
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
