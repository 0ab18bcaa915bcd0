/* SPDX-License-Identifier: MIT */
/*
 * store.h - memory of the mux: 64 KiB chunks from a last-in-first-out free
 * list, and the counted frames in them from the moment they are made until
 * the peer's ACK covers them (docs/protocol.md, 5).  Internal to client/atp.
 */
#ifndef APPTUNNEL_STORE_H
#define APPTUNNEL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/limits.h"

/* Besides 64 KiB a chunk has room for the head of one datagram of full size. */
#define CHUNK_SLACK	128

struct chunk {
	struct chunk *next;
	uint32_t used;			/* bytes of whole frames from data[0] on */
	uint32_t refs;			/* datagrams in it (mux_dgram.c) */
	uint8_t data[LIMIT_CHUNK + CHUNK_SLACK] __attribute__((aligned(64)));
};

struct chunk_pool {
	struct chunk *free;
	uint32_t n_free, n_used;
	uint32_t least_free;	/* since the last trim: these were not needed */
};

struct chunk *chunk_get(struct chunk_pool *p);	/* NULL: no memory */
void chunk_put(struct chunk_pool *p, struct chunk *c);
/* chunk_trim() - give the chunks that were free since the last call back to the
 * system, but for @keep */
void chunk_trim(struct chunk_pool *p, uint32_t keep);
void chunk_free_all(struct chunk_pool *p);	/* those that are free */

struct store {
	struct chunk_pool *pool;
	uint32_t chunks, max_chunks;	/* the last one is not for data */
	struct chunk *head, *cursor, *tail;
	uint32_t head_off;		/* acknowledged bytes of the head chunk */
	uint32_t cursor_off;		/* sent bytes of the cursor chunk */
	uint64_t acked, sent, made;	/* counts of section 5: acked <= sent <= made */
};

/* store_init() - empty; @pool: borrowed; @bytes: room, in whole chunks, at least four of them */
void store_init(struct store *s, struct chunk_pool *pool, uint32_t bytes);
/* store_free() - its chunks go back to the pool */
void store_free(struct store *s);

/*
 * store_room() - where the next frame goes
 * @min: bytes it needs at least
 * @data: it is a DATA frame: the reserve is not for it
 * @room: contiguous bytes there, at least @min
 * Return: NULL when the store is full (or has no memory): ask again after an ACK
 */
uint8_t *store_room(struct store *s, size_t min, bool data, size_t *room);
/* store_add() - @len bytes at that place are now a whole frame */
void store_add(struct store *s, size_t len);

/*
 * store_unsent() - the next frames to send
 * @max: bytes; cut at a frame boundary (one frame is returned even if longer)
 * Return: NULL when all has been sent.  Frames do not cross chunks.
 */
const uint8_t *store_unsent(struct store *s, size_t max, size_t *len);
/* store_sent() - the first @n of them went out */
void store_sent(struct store *s, size_t n);

/*
 * store_ack() - the peer accepted everything up to @offset
 * Return: 0; -ERANGE: below what it said before, or above what was sent;
 *	-EINVAL: not a frame boundary
 */
int store_ack(struct store *s, uint64_t offset);

/* store_tail_room() - bytes that fit without a new chunk */
static inline size_t store_tail_room(const struct store *s)
{
	return s->tail ? LIMIT_CHUNK - s->tail->used : 0;
}

static inline uint64_t store_held(const struct store *s)
{
	return s->made - s->acked;
}

#endif
