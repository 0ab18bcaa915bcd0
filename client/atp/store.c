/* SPDX-License-Identifier: MIT */
/*
 * store.c - counted frames until they are acknowledged.
 *
 *	head (first not acknowledged)   cursor (first not sent)   tail
 *	  |                               |                         |
 *	[ chunk ] -> [ chunk ] -> ... -> [ chunk ] -> ... -> [ chunk |.. ]
 *
 * Frames lie behind each other and never cross a chunk, so their own headers
 * are the index: an ACK walks them, once, when their memory is given back.
 */
#include "client/atp/store.h"

#include <errno.h>
#include <stdlib.h>

#include "client/atp/frame.h"

#define STORE_MIN_CHUNKS 4u

struct chunk *chunk_get(struct chunk_pool *p)
{
	struct chunk *c = p->free;

	if (c) {
		p->free = c->next;
		p->n_free--;
		if (p->n_free < p->least_free)
			p->least_free = p->n_free;
	} else {
		c = aligned_alloc(64, sizeof(*c));
		if (!c)
			return NULL;
	}
	c->next = NULL;
	c->used = 0;
	c->refs = 0;
	p->n_used++;
	return c;
}

void chunk_put(struct chunk_pool *p, struct chunk *c)
{
	c->next = p->free;
	p->free = c;
	p->n_free++;
	p->n_used--;
}

static void free_chunks(struct chunk_pool *p, uint32_t n)
{
	struct chunk *c;

	while (n--) {
		c = p->free;
		p->free = c->next;
		p->n_free--;
		free(c);
	}
}

void chunk_trim(struct chunk_pool *p, uint32_t keep)
{
	if (p->least_free > keep)
		free_chunks(p, p->least_free - keep);
	p->least_free = p->n_free;
}

void chunk_free_all(struct chunk_pool *p)
{
	free_chunks(p, p->n_free);
	p->least_free = 0;
}

void store_init(struct store *s, struct chunk_pool *pool, uint32_t bytes)
{
	*s = (struct store){ .pool = pool, .max_chunks = bytes / LIMIT_CHUNK };
	if (s->max_chunks < STORE_MIN_CHUNKS)
		s->max_chunks = STORE_MIN_CHUNKS;
}

void store_free(struct store *s)
{
	struct chunk *c;

	while ((c = s->head)) {
		s->head = c->next;
		chunk_put(s->pool, c);
	}
	s->cursor = s->tail = NULL;
	s->chunks = 0;
}

uint8_t *store_room(struct store *s, size_t min, bool data, size_t *room)
{
	uint32_t most = data ? s->max_chunks - LIMIT_STORE_RESERVE / LIMIT_CHUNK : s->max_chunks;
	struct chunk *c = s->tail;

	if (!c || LIMIT_CHUNK - c->used < min) {
		if (s->chunks >= most)
			return NULL;
		c = chunk_get(s->pool);
		if (!c)
			return NULL;
		s->chunks++;
		if (s->tail)
			s->tail->next = c;
		else
			s->head = s->cursor = c;
		s->tail = c;
	} else if (s->chunks > most) {
		return NULL;
	}
	*room = LIMIT_CHUNK - c->used;
	return c->data + c->used;
}

void store_add(struct store *s, size_t len)
{
	s->tail->used += (uint32_t)len;
	s->made += len;
}

const uint8_t *store_unsent(struct store *s, size_t max, size_t *len)
{
	uint32_t off, end;

	if (s->sent == s->made)
		return NULL;
	while (s->cursor_off == s->cursor->used) {
		s->cursor = s->cursor->next;
		s->cursor_off = 0;
	}
	off = s->cursor_off;
	end = s->cursor->used;
	if (end - off > max) {
		/* only when much waits, e.g. after a burst of replies */
		end = off;
		do {
			end += LIMIT_FRAME_HEADER + get24(s->cursor->data + end + 1);
		} while (end < s->cursor->used && end - off + LIMIT_FRAME_HEADER +
			 get24(s->cursor->data + end + 1) <= max);
	}
	*len = end - off;
	return s->cursor->data + off;
}

void store_sent(struct store *s, size_t n)
{
	s->cursor_off += (uint32_t)n;
	s->sent += n;
}

static void drop_head(struct store *s)
{
	struct chunk *c = s->head;

	s->head = c->next;
	s->head_off = 0;
	if (s->cursor == c) {
		s->cursor = c->next;
		s->cursor_off = 0;
	}
	if (s->tail == c)
		s->tail = NULL;
	s->chunks--;
	chunk_put(s->pool, c);
}

int store_ack(struct store *s, uint64_t offset)
{
	uint32_t len;

	if (offset < s->acked || offset > s->sent)
		return -ERANGE;
	while (s->acked < offset) {
		if (s->head_off == s->head->used) {
			drop_head(s);
			continue;
		}
		len = LIMIT_FRAME_HEADER + get24(s->head->data + s->head_off + 1);
		if (len > offset - s->acked)
			return -EINVAL;
		s->head_off += len;
		s->acked += len;
	}
	if (s->head && s->head_off == s->head->used && s->sent == s->acked &&
	    (s->head != s->tail || s->made == s->sent))
		drop_head(s);
	return 0;
}
