/* SPDX-License-Identifier: MIT */
/*
 * held.c - a short, bounded queue of datagrams that wait for a session or for
 * a socket.  Off the fast path: it allocates.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/tunnel_priv.h"

void held_init(struct held_queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
	q->n = 0;
	q->bytes = 0;
}

bool held_room(const struct held_queue *q, size_t len)
{
	return q->n < HELD_MAX && len <= HELD_BYTES && q->bytes <= HELD_BYTES - len;
}

int held_push(struct held_queue *q, const struct held *head, const uint8_t *data)
{
	struct held *h;

	if (!held_room(q, head->len))
		return -ENOBUFS;
	h = malloc(sizeof(*h) + head->len);
	if (!h)
		return -ENOMEM;
	*h = *head;
	h->next = NULL;
	if (head->len)
		memcpy(h->data, data, head->len);
	*q->tail = h;
	q->tail = &h->next;
	q->n++;
	q->bytes += h->len;
	return 0;
}

struct held *held_pop(struct held_queue *q)
{
	struct held *h = q->head;

	if (!h)
		return NULL;
	q->head = h->next;
	if (!q->head)
		q->tail = &q->head;
	q->n--;
	q->bytes -= h->len;
	return h;
}

uint32_t held_drop(struct held_queue *q, bool (*drop)(void *ctx, const struct held *h),
		   void *ctx)
{
	struct held **at = &q->head, *h;
	uint32_t n = 0;

	while ((h = *at)) {
		if (!drop(ctx, h)) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		q->n--;
		q->bytes -= h->len;
		free(h);
		n++;
	}
	q->tail = at;
	return n;
}

void held_clear(struct held_queue *q)
{
	struct held *h;

	while ((h = held_pop(q)))
		free(h);
}
