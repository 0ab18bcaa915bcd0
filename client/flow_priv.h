/* SPDX-License-Identifier: MIT */
/*
 * flow_priv.h - the inside of a flow; private to flow_open.c (from the held
 * SYN to its answer) and flow.c (bytes, ends, memory).
 */
#ifndef APPTUNNEL_FLOW_PRIV_H
#define APPTUNNEL_FLOW_PRIV_H

#include "client/tunnel_priv.h"

enum flow_state { FLOW_HELD, FLOW_OPENING, FLOW_OPEN };

struct flow {
	struct user user;
	uint8_t state;			/* enum flow_state */
	uint8_t resolver;		/* DNS over TCP: resolvers asked before this one */
	bool dns, over, eof;
	struct ns_tcp *tcp;
	struct mux_stream *stream;
	struct flow *next, *prev;	/* of its list; next: of the free list */
	uint64_t until;			/* HELD: when it is answered, us */
	uint64_t up, down;		/* payload bytes */
};

struct flow_list {
	struct flow *head, *tail;
};

struct flows {
	struct flow_list held, live;	/* held: in the order of `until` */
	uint32_t n_held;
	struct flow *free;
	struct flow_slab *slabs;
};

static inline void list_append(struct flow_list *l, struct flow *f)
{
	f->next = NULL;
	f->prev = l->tail;
	if (l->tail)
		l->tail->next = f;
	else
		l->head = f;
	l->tail = f;
}

static inline void list_remove(struct flow_list *l, struct flow *f)
{
	if (f->prev)
		f->prev->next = f->next;
	else
		l->head = f->next;
	if (f->next)
		f->next->prev = f->prev;
	else
		l->tail = f->prev;
}

/* ---- flow.c ---------------------------------------------------------------------- */

/* flow_alloc() - on no list yet.  NULL: no memory */
struct flow *flow_alloc(struct flows *fs);
/* flow_drop() - both sides are done with it, or it was never joined */
void flow_drop(struct flows *fs, struct flow *f);
/* flow_put() - one side is done with it: drop it if the other is, too */
void flow_put(struct flows *fs, struct flow *f);
/* flow_refuse() - answer its held SYN; @why is for the log */
void flow_refuse(struct tunnel *t, struct flow *f, enum ns_refusal how, const char *why);
/* flow_log_end() - level session; ask for the level first */
void flow_log_end(const struct flow *f, const struct ns_tuple *tuple, const char *how);

/* ---- flow_open.c ----------------------------------------------------------------- */

/* flow_hold() - there is no session: its SYN waits for one */
void flow_hold(struct tunnel *t, struct flow *f);
/*
 * flow_next_resolver() - REFUSED: with DNS over TCP the next resolver gets the
 * SYN.  In a flow of its own, for the mux will still say closed() for this one
 * Return: false: there is none, nothing was done
 */
bool flow_next_resolver(struct tunnel *t, struct flow *f);

#endif
