/* SPDX-License-Identifier: MIT */
/*
 * loop.c - epoll behind the few calls of loop.h.
 *
 * The events of one turn lie in an array that the caller walks; loop_del()
 * blanks what is left of a source there, so that an owner which was freed by
 * an earlier event of the same turn is never touched again.
 */
#include "client/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "client/limits.h"

#define LOOP_EVENTS	256	/* taken from the kernel in one turn; the rest comes next turn */
#define LOOP_WAIT_MAX_US (3600 * USEC_PER_SEC)	/* one sleep: keeps the arithmetic small */

struct loop {
	int epfd;
	int n, next;			/* of events[] */
	bool coarse;			/* no epoll_pwait2: milliseconds */
	struct epoll_event events[LOOP_EVENTS];
};

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	close(l->epfd);
	free(l);
}

static int loop_ctl(struct loop *l, int op, struct loop_src *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(l->epfd, op, s->fd, &ev) < 0)
		return -errno;
	s->events = events;
	return 0;
}

int loop_add(struct loop *l, struct loop_src *s, uint32_t events)
{
	return loop_ctl(l, EPOLL_CTL_ADD, s, events);
}

int loop_mod(struct loop *l, struct loop_src *s, uint32_t events)
{
	if (s->events == events)
		return 0;
	return loop_ctl(l, EPOLL_CTL_MOD, s, events);
}

void loop_del(struct loop *l, struct loop_src *s)
{
	for (int i = l->next; i < l->n; i++)
		if (l->events[i].data.ptr == s)
			l->events[i].data.ptr = NULL;
	if (s->fd >= 0)
		epoll_ctl(l->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	s->events = 0;
}

/* Round up: a timer that is waited for must be due when the wait is over. */
static int loop_sleep(struct loop *l, uint64_t us, bool for_ever)
{
	struct timespec ts = {
		.tv_sec = (time_t)(us / USEC_PER_SEC),
		.tv_nsec = (long)(us % USEC_PER_SEC) * 1000,
	};
	int ms = for_ever ? -1 : (int)((us + USEC_PER_MSEC - 1) / USEC_PER_MSEC);

	if (!l->coarse) {
		int n = epoll_pwait2(l->epfd, l->events, LOOP_EVENTS,
				     for_ever ? NULL : &ts, NULL);

		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		l->coarse = true;	/* old kernel, or a filter that does not know it */
	}
	return epoll_wait(l->epfd, l->events, LOOP_EVENTS, ms);
}

int loop_wait(struct loop *l, uint64_t now, uint64_t until)
{
	uint64_t us = until > now ? until - now : 0;
	int n;

	l->n = l->next = 0;
	if (until != UINT64_MAX && us > LOOP_WAIT_MAX_US)
		us = LOOP_WAIT_MAX_US;
	n = loop_sleep(l, us, until == UINT64_MAX);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	l->n = n;
	return n;
}

struct loop_src *loop_next(struct loop *l, uint32_t *events)
{
	while (l->next < l->n) {
		struct epoll_event *ev = &l->events[l->next++];

		if (!ev->data.ptr)
			continue;	/* loop_del() during this turn */
		*events = ev->events;
		return ev->data.ptr;
	}
	return NULL;
}

uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}
