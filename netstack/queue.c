/* SPDX-License-Identifier: MIT */
/* queue.c - bytes of one direction of a flow, as references and chunks */
#include "netstack/internal.h"

#include <errno.h>
#include <string.h>

#include "netstack/slab.h"

static struct piece *piece_push(struct queue *q, struct buf *b, const uint8_t *data)
{
	struct piece *p = slab_alloc(sizeof(*p));

	if (!p)
		return NULL;
	p->next = NULL;
	p->b = b;
	p->data = data;
	p->len = 0;
	p->chunk = false;
	if (q->tail)
		q->tail->next = p;
	else
		q->head = p;
	q->tail = p;
	return p;
}

static size_t chunk_room(const struct piece *p)
{
	if (!p || !p->chunk)
		return 0;
	return (size_t)(p->b->data + p->b->size - (p->data + p->len));
}

static int queue_copy(struct bufpool *chunks, struct queue *q, const uint8_t *data, size_t len)
{
	while (len) {
		size_t room = chunk_room(q->tail), n;
		struct piece *p = q->tail;

		if (!room) {
			struct buf *b = buf_get(chunks);

			if (!b)
				return -ENOMEM;
			p = piece_push(q, b, b->data);
			if (!p) {
				buf_unref(b);
				return -ENOMEM;
			}
			p->chunk = true;
			room = b->size;
		}
		n = len < room ? len : room;
		memcpy(p->b->data + (p->data + p->len - p->b->data), data, n);
		p->len += (uint32_t)n;
		q->bytes += (uint32_t)n;
		data += n;
		len -= n;
	}
	return 0;
}

int queue_append(struct bufpool *chunks, struct queue *q, struct buf *b,
		 const uint8_t *data, size_t len, bool copy)
{
	struct piece *p;

	if (!len)
		return 0;
	if (copy)
		return queue_copy(chunks, q, data, len);
	if (q->tail && !q->tail->chunk && q->tail->b == b &&
		   q->tail->data + q->tail->len == data) {
		q->tail->len += (uint32_t)len;
	} else {
		p = piece_push(q, b, data);
		if (!p)
			return -ENOMEM;
		buf_ref(b);
		p->len = (uint32_t)len;
	}
	q->bytes += (uint32_t)len;
	return 0;
}

size_t queue_read(struct queue *q, uint8_t *dst, size_t max)
{
	size_t done = 0;

	while (q->head && done < max) {
		struct piece *p = q->head;
		size_t n = p->len < max - done ? p->len : max - done;

		if (dst)
			memcpy(dst + done, p->data, n);
		done += n;
		p->data += n;
		p->len -= (uint32_t)n;
		if (p->len)
			break;
		q->head = p->next;
		if (!q->head)
			q->tail = NULL;
		buf_unref(p->b);
		slab_free(p);
	}
	q->bytes -= (uint32_t)done;
	return done;
}

void queue_clear(struct queue *q)
{
	queue_read(q, NULL, SIZE_MAX);
}
