/* SPDX-License-Identifier: MIT */
/*
 * buf.h - reference-counted buffers of one size from a last-in-first-out free
 * list, so that a fast path touches the same warm memory again.  TUN packets
 * and TLS plaintext are read into them; flows keep references, not copies.
 * One thread, no locks.
 */
#ifndef APPTUNNEL_BUF_H
#define APPTUNNEL_BUF_H

#include <stddef.h>
#include <stdint.h>

struct bufpool;

struct buf {
	struct bufpool *pool;
	struct buf *next_free;
	uint32_t refs;
	uint32_t size;			/* bytes of data[] */
	uint8_t data[];
};

/* @size: bytes of each buffer, @max: buffers that may exist at once */
struct bufpool *bufpool_new(uint32_t size, uint32_t max);
void bufpool_free(struct bufpool *p);	/* all buffers must be back */
/* buf_get() - a buffer with one reference, NULL: bound reached or no memory */
struct buf *buf_get(struct bufpool *p);
void buf_ref(struct buf *b);
void buf_unref(struct buf *b);		/* NULL is fine */
uint32_t bufpool_in_use(const struct bufpool *p);
/* bufpool_trim() - give free buffers beyond @keep back to the system */
void bufpool_trim(struct bufpool *p, uint32_t keep);

#endif
