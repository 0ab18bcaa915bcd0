/* SPDX-License-Identifier: MIT */
/* flow.c - a TCP flow's record: its lists, its end, the callbacks to the owner */
#include "netstack/internal.h"

#include "netstack/slab.h"

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
