/* SPDX-License-Identifier: MIT */
/* loop.c - see loop.h */
#include "tests/sentry/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int loop_init(struct loop *l)
{
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	return l->epfd < 0 ? -errno : 0;
}

void loop_done(struct loop *l)
{
	if (l->epfd >= 0)
		close(l->epfd);
	l->epfd = -1;
	free(l->heap);
	l->heap = NULL;
	l->n_heap = l->cap_heap = 0;
}

int loop_add(struct loop *l, struct src *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		return -errno;
	s->events = events;
	return 0;
}

void loop_mod(struct loop *l, struct src *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (s->fd < 0 || s->events == events)
		return;
	/* cannot fail for a registered descriptor */
	epoll_ctl(l->epfd, EPOLL_CTL_MOD, s->fd, &ev);
	s->events = events;
}

void loop_close(struct loop *l, struct src *s)
{
	if (s->fd < 0)
		return;
	/* not registered is fine: the owner failed between socket() and loop_add() */
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	close(s->fd);
	s->fd = -1;
}

int loop_wait(struct loop *l, uint64_t now, uint64_t until)
{
	int ms = -1;

	l->n = l->next = 0;
	if (until <= now) {
		ms = 0;
	} else if (until != UINT64_MAX) {
		uint64_t d = (until - now + 999) / 1000;

		ms = d > 3600000 ? 3600000 : (int)d;
	}
	l->n = epoll_wait(l->epfd, l->events, LOOP_EVENTS, ms);
	if (l->n < 0) {
		l->n = 0;
		return errno == EINTR ? 0 : -errno;
	}
	return 0;
}

struct src *loop_next(struct loop *l, uint32_t *events)
{
	while (l->next < l->n) {
		struct epoll_event *ev = &l->events[l->next++];
		struct src *s = ev->data.ptr;

		if (s->fd < 0)
			continue;
		*events = ev->events;
		return s;
	}
	return NULL;
}

/* ---- timers: a binary heap, so that arming is O(log n) and idle is free --- */

static void heap_put(struct loop *l, uint32_t pos, struct timer *t)
{
	l->heap[pos] = t;
	t->pos = pos;
}

static void heap_up(struct loop *l, uint32_t pos)
{
	struct timer *t = l->heap[pos];

	while (pos > 1 && l->heap[pos / 2]->at > t->at) {
		heap_put(l, pos, l->heap[pos / 2]);
		pos /= 2;
	}
	heap_put(l, pos, t);
}

static void heap_down(struct loop *l, uint32_t pos)
{
	struct timer *t = l->heap[pos];

	for (;;) {
		uint32_t child = pos * 2;

		if (child > l->n_heap)
			break;
		if (child < l->n_heap && l->heap[child + 1]->at < l->heap[child]->at)
			child++;
		if (l->heap[child]->at >= t->at)
			break;
		heap_put(l, pos, l->heap[child]);
		pos = child;
	}
	heap_put(l, pos, t);
}

int timer_set(struct loop *l, struct timer *t, uint64_t at)
{
	if (!t->pos) {
		if (l->n_heap + 1 >= l->cap_heap) {
			uint32_t cap = l->cap_heap ? l->cap_heap * 2 : 256;
			struct timer **h = realloc(l->heap, cap * sizeof(*h));

			if (!h)
				return -ENOMEM;
			l->heap = h;
			l->cap_heap = cap;
		}
		t->at = at;
		heap_put(l, ++l->n_heap, t);
		heap_up(l, t->pos);
		return 0;
	}
	if (at < t->at) {
		t->at = at;
		heap_up(l, t->pos);
	} else if (at > t->at) {
		t->at = at;
		heap_down(l, t->pos);
	}
	return 0;
}

void timer_off(struct loop *l, struct timer *t)
{
	uint32_t pos = t->pos;
	struct timer *last;

	if (!pos)
		return;
	t->pos = 0;
	last = l->heap[l->n_heap--];
	if (last == t)
		return;
	heap_put(l, pos, last);
	heap_up(l, pos);
	heap_down(l, last->pos);
}

uint64_t timer_first(const struct loop *l)
{
	return l->n_heap ? l->heap[1]->at : UINT64_MAX;
}

struct timer *timer_due(struct loop *l, uint64_t now)
{
	struct timer *t;

	if (!l->n_heap || l->heap[1]->at > now)
		return NULL;
	t = l->heap[1];
	timer_off(l, t);
	return t;
}
