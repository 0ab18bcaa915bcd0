/* SPDX-License-Identifier: MIT */
/* dnsquery.c - see dnsquery.h */
#include "client/dnsquery.h"

#include <errno.h>
#include <sys/random.h>

#define ID_TRIES	64

static int random_id(struct queries *qs, uint16_t *out)
{
	int i;

	for (i = 0; i < ID_TRIES; i++) {
		if (!qs->n_random) {
			if (getrandom(qs->random, sizeof(qs->random), 0) != sizeof(qs->random))
				return -EIO;
			qs->n_random = QUERY_RANDOM;
		}
		*out = qs->random[--qs->n_random];
		if (!query_find(qs, *out))
			return 0;
	}
	return -EBUSY;
}

static struct query *slot_take(struct queries *qs)
{
	struct query *q = qs->free;

	if (q)
		qs->free = q->chain;
	else if (qs->n_used < DNS_IN_FLIGHT)
		q = &qs->all[qs->n_used++];
	return q;
}

static void due_remove(struct queries *qs, struct query *q)
{
	if (q->prev)
		q->prev->next = q->next;
	else
		qs->head = q->next;
	if (q->next)
		q->next->prev = q->prev;
	else
		qs->tail = q->prev;
}

/* Nearly always the latest: the walk is short. */
static void due_insert(struct queries *qs, struct query *q, uint64_t due)
{
	struct query *p = qs->tail;

	q->due = due;
	while (p && p->due > due)
		p = p->prev;
	q->prev = p;
	q->next = p ? p->next : qs->head;
	if (q->next)
		q->next->prev = q;
	else
		qs->tail = q;
	if (p)
		p->next = q;
	else
		qs->head = q;
}

struct query *query_new(struct queries *qs, uint64_t give_up)
{
	struct query *q;
	uint16_t id;

	if (random_id(qs, &id))
		return NULL;
	q = slot_take(qs);
	if (!q)
		return NULL;
	q->id = id;
	q->give_up = give_up;
	q->chain = qs->ids[id % QUERY_BUCKETS];
	qs->ids[id % QUERY_BUCKETS] = q;
	due_insert(qs, q, give_up);
	return q;
}

void query_set_due(struct queries *qs, struct query *q, uint64_t due)
{
	if (due > q->give_up)
		due = q->give_up;
	if (due == q->due)
		return;
	due_remove(qs, q);
	due_insert(qs, q, due);
}

void query_free(struct queries *qs, struct query *q)
{
	struct query **at = &qs->ids[q->id % QUERY_BUCKETS];

	while (*at != q)
		at = &(*at)->chain;
	*at = q->chain;
	due_remove(qs, q);
	q->chain = qs->free;
	qs->free = q;
}
