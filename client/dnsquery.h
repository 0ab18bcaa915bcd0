/* SPDX-License-Identifier: MIT */
/*
 * dnsquery.h - the queries that the forwarder has in flight: found by the ID
 * that it gave them, and in one list in the order of when something is due.
 * Private to dnsfwd.c.
 */
#ifndef APPTUNNEL_DNSQUERY_H
#define APPTUNNEL_DNSQUERY_H

#include "client/tunnel_priv.h"

#define QUERY_BUCKETS	1024	/* a power of two */
#define QUERY_RANDOM	128	/* random IDs fetched at once */

enum query_state { QUERY_WAITS, QUERY_SENT };

struct query {
	struct ns_tuple tuple;		/* the app and the service address */
	struct query *chain;		/* by id; free list */
	struct query *prev, *next;	/* by due */
	uint64_t due, give_up;		/* us; due is never after give_up */
	uint16_t id, app_id;		/* ours, the app's */
	uint16_t len;
	uint16_t qlen;			/* header and question */
	uint8_t state;			/* enum query_state */
	uint8_t tries;			/* resolvers asked, repeats counted */
	uint8_t at;			/* index of the one asked last */
	uint8_t asked;			/* bit i: resolver i was asked */
	uint8_t data[DNS_QUERY_MAX];
};

struct queries {			/* all zero: none */
	struct query *ids[QUERY_BUCKETS];
	struct query *head, *tail;	/* by due */
	struct query *free;
	uint32_t n_used;		/* of all[]: the rest was never touched */
	uint32_t n_random;
	uint16_t random[QUERY_RANDOM];
	struct query all[DNS_IN_FLIGHT];
};

/*
 * query_new() - one with a random ID that no other has, due at @give_up (us);
 * the caller fills in the rest
 * Return: NULL: DNS_IN_FLIGHT are under way, or there is no ID
 */
struct query *query_new(struct queries *qs, uint64_t give_up);
void query_free(struct queries *qs, struct query *q);
/*
 * query_set_due() - when something is to be done for @q, its give_up at the
 * latest.  One that stays is not moved: whoever walks the list by `next` while
 * doing this ends
 */
void query_set_due(struct queries *qs, struct query *q, uint64_t due);

/* NULL: none has this ID */
static inline struct query *query_find(const struct queries *qs, uint16_t id)
{
	struct query *q = qs->ids[id % QUERY_BUCKETS];

	while (q && q->id != id)
		q = q->chain;
	return q;
}

#endif
