/* SPDX-License-Identifier: MIT */
/* buf.c - reference-counted buffers of one size */
#include "netstack/buf.h"

#include <stdlib.h>

struct bufpool {
	struct buf *free;
	uint32_t size;
	uint32_t max;
	uint32_t exist;			/* free and in use */
	uint32_t in_use;
};

struct bufpool *bufpool_new(uint32_t size, uint32_t max)
{
	struct bufpool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->size = size;
	p->max = max;
	return p;
}

void bufpool_free(struct bufpool *p)
{
	if (!p)
		return;
	bufpool_trim(p, 0);
	free(p);
}

struct buf *buf_get(struct bufpool *p)
{
	struct buf *b = p->free;

	if (b) {
		p->free = b->next_free;
	} else {
		if (p->exist >= p->max)
			return NULL;
		b = malloc(sizeof(*b) + p->size);
		if (!b)
			return NULL;
		b->pool = p;
		b->size = p->size;
		p->exist++;
	}
	p->in_use++;
	b->next_free = NULL;
	b->refs = 1;
	return b;
}

void buf_ref(struct buf *b)
{
	b->refs++;
}

void buf_unref(struct buf *b)
{
	struct bufpool *p;

	if (!b || --b->refs)
		return;
	p = b->pool;
	b->next_free = p->free;
	p->free = b;
	p->in_use--;
}

uint32_t bufpool_in_use(const struct bufpool *p)
{
	return p->in_use;
}

void bufpool_trim(struct bufpool *p, uint32_t keep)
{
	while (p->free && p->exist - p->in_use > keep) {
		struct buf *b = p->free;

		p->free = b->next_free;
		p->exist--;
		free(b);
	}
}
