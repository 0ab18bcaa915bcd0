/* SPDX-License-Identifier: MIT */
/*
 * loop.h - epoll and a timer heap for the endpoint.  No callbacks: main.c's two
 * switches read the kind of what is ready or due.
 */
#ifndef SENTRY_LOOP_H
#define SENTRY_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

enum src_kind {
	SRC_LISTEN,		/* devices dial here */
	SRC_CONN,		/* a device's TLS connection */
	SRC_TCP,		/* far connection of a TCP stream */
	SRC_ASSOC,		/* far socket of an association */
	SRC_DNS,		/* c-ares' sockets */
	SRC_CTL_LISTEN,
	SRC_CTL,		/* `sentry ctl` */
	SRC_SIGNAL,
};

/* Embedded in whatever owns a descriptor.  fd is -1 when there is none; an event
 * of this turn for a descriptor that was closed meanwhile is so recognised,
 * because owners are freed at the end of a turn only. */
struct src {
	enum src_kind kind;
	int fd;
	uint32_t events;
	void *owner;
};

enum timer_kind { TIMER_CONN, TIMER_MUX, TIMER_STREAM, TIMER_DNS, TIMER_RELOAD };

struct timer {
	uint64_t at;		/* monotonic, us */
	uint32_t pos;		/* place in the heap from 1; 0: not armed */
	enum timer_kind kind;
	void *owner;
};

#define LOOP_EVENTS	256	/* a turn */

struct loop {
	int epfd;
	int n, next;
	struct epoll_event events[LOOP_EVENTS];
	struct timer **heap;	/* [1..n_heap] */
	uint32_t n_heap, cap_heap;
};

/* Return: 0 or a negative errno */
int loop_init(struct loop *l);
void loop_done(struct loop *l);

/* Return: 0 or a negative errno */
int loop_add(struct loop *l, struct src *s, uint32_t events);
void loop_mod(struct loop *l, struct src *s, uint32_t events);	/* no system call when equal */
/* loop_close() - forget and close the descriptor; fine when there is none */
void loop_close(struct loop *l, struct src *s);

/* loop_wait() - wait until @until (absolute us, UINT64_MAX: for ever), or not at
 * all when it has passed.  Return: 0, or a negative errno */
int loop_wait(struct loop *l, uint64_t now, uint64_t until);
struct src *loop_next(struct loop *l, uint32_t *events);	/* NULL: no more */

/* timer_set() - arm or move; the caller sees -ENOMEM only when arming */
int timer_set(struct loop *l, struct timer *t, uint64_t at);
void timer_off(struct loop *l, struct timer *t);
uint64_t timer_first(const struct loop *l);			/* UINT64_MAX: none */
/* timer_due() - take the first timer that is due, disarmed.  Return: NULL: none */
struct timer *timer_due(struct loop *l, uint64_t now);

uint64_t loop_now(void);

#endif
