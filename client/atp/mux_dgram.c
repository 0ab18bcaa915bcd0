/* SPDX-License-Identifier: MIT */
/*
 * mux_dgram.c - datagrams that wait for the connection.  Each is stored as
 * the frame that it will be, in chunks that are filled one after the other
 * and go back to the free list with their last datagram: no allocation per
 * packet, and at rest no memory.
 */
#include <errno.h>
#include <string.h>

#include "client/atp/mux_int.h"

#define DGRAM_HEAD_MAX	(LIMIT_FRAME_HEADER + 8 + 16)

_Static_assert(sizeof(struct dgram_node) + LIMIT_FRAME_HEADER + LIMIT_PAYLOAD <=
	       LIMIT_CHUNK + CHUNK_SLACK, "the largest datagram fits a chunk");

void dgram_done(struct mux *m, struct dgram_node *n)
{
	struct chunk *c = n->chunk;

	if (--c->refs)
		return;
	if (c == m->dgram_chunk)
		m->dgram_chunk = NULL;
	m->dgram_chunks--;
	chunk_put(&m->pool, c);
}

struct dgram_node *dgram_take(struct mux *m, struct mux_stream *s)
{
	struct dgram_node *n = s->dgrams;

	(void)m;
	if (!n)
		return NULL;
	s->dgrams = n->next;
	if (!s->dgrams)
		s->dgrams_tail = NULL;
	s->dgram_bytes -= n->len;
	link_remove(&n->queue);
	return n;
}

static void drop_oldest(struct mux *m, struct mux_stream *s)
{
	dgram_done(m, dgram_take(m, s));
	m->count.dgrams_dropped++;
}

void dgram_drop_all(struct mux *m, struct mux_stream *s)
{
	struct dgram_node *n;

	while ((n = dgram_take(m, s)))
		dgram_done(m, n);
	sched_update(m, s);
}

void dgram_drop_late(struct mux *m, struct mux_stream *s)
{
	uint64_t age;

	while (s->dgrams) {
		age = m->now - s->dgrams->time;
		if (age < LIMIT_DGRAM_MAX_AGE_US &&
		    (age < LIMIT_DGRAM_AGE_US || s->dgram_bytes <= LIMIT_DGRAM_QUEUE))
			break;
		drop_oldest(m, s);
	}
}

static struct dgram_node *node_new(struct mux *m, size_t frame)
{
	size_t need = (sizeof(struct dgram_node) + frame + 7) & ~(size_t)7;
	struct chunk *c = m->dgram_chunk;
	struct dgram_node *n;

	if (!c || sizeof(c->data) - c->used < need) {
		if (m->dgram_chunks >= MUX_DGRAM_CHUNKS)
			return NULL;
		c = chunk_get(&m->pool);
		if (!c)
			return NULL;
		m->dgram_chunks++;
		m->dgram_chunk = c;
	}
	n = (struct dgram_node *)(void *)(c->data + c->used);
	c->used += (uint32_t)need;
	c->refs++;
	n->chunk = c;
	return n;
}

/* Room for a frame of @need bytes on @s, which drops its oldest for it. */
static struct dgram_node *node_make(struct mux *m, struct mux_stream *s, size_t need)
{
	struct dgram_node *n;

	dgram_drop_late(m, s);
	n = node_new(m, need);
	while (!n && s->dgrams) {
		drop_oldest(m, s);
		n = node_new(m, need);
	}
	if (!n)
		m->count.dgrams_dropped++;
	return n;
}

static void node_queue(struct mux *m, struct mux_stream *s, struct dgram_node *n, size_t len)
{
	n->len = (uint32_t)len;
	n->stream = s;
	n->time = m->now;
	n->next = NULL;
	if (s->dgrams_tail)
		s->dgrams_tail->next = n;
	else
		s->dgrams = n;
	s->dgrams_tail = n;
	s->dgram_bytes += n->len;
	link_append(&m->dgrams, &n->queue);
	sched_update(m, s);
}

int dgram_queue(struct mux *m, struct mux_stream *s, const struct mux_dgram *d,
		const uint8_t *data, size_t len)
{
	struct dgram_node *n;
	size_t head;

	if (!addr_len(d->addr.family) ||
	    len > LIMIT_PAYLOAD + LIMIT_FRAME_HEADER - DGRAM_HEAD_MAX ||
	    (d->segment && (!len || len > (size_t)d->segment * FRAME_SEGMENTS)))
		return -EINVAL;
	n = node_make(m, s, DGRAM_HEAD_MAX + len);
	if (!n)
		return -ENOBUFS;
	/* The ID is put in when it is sent: the OPEN may still be held. */
	head = frame_put_dgram(n->frame, 0, d, len);
	if (len)
		memcpy(n->frame + head, data, len);
	node_queue(m, s, n, head + len);
	return 0;
}

void dgram_queue_error(struct mux *m, struct mux_stream *s, const struct mux_dgram *at,
		       uint8_t type, uint8_t code, uint32_t mtu)
{
	struct dgram_node *n;

	if (!addr_len(at->addr.family))
		return;
	n = node_make(m, s, FRAME_CONTROL_MAX);
	if (n)
		node_queue(m, s, n, frame_put_dgram_error(n->frame, 0, at, type, code, mtu));
}

void dgram_timer(struct mux *m)
{
	struct dgram_node *n;

	while (!link_empty(&m->dgrams)) {
		n = link_entry(m->dgrams.next, struct dgram_node, queue);
		if (m->now - n->time < LIMIT_DGRAM_MAX_AGE_US)
			break;
		/* the oldest of all is the oldest of its association */
		struct mux_stream *s = n->stream;

		drop_oldest(m, s);
		sched_update(m, s);
	}
}
