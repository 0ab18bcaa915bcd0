/* SPDX-License-Identifier: MIT */
/*
 * loop.h - epoll with one enum of event kinds.  There are no callbacks: the
 * engine's one switch reads the kind of what is ready.
 */
#ifndef APPTUNNEL_LOOP_H
#define APPTUNNEL_LOOP_H

#include <stdint.h>

enum ev_kind {
	EV_HELPER,		/* the daemon's messages */
	EV_TUN,			/* packets of the apps */
	EV_SENTRY,		/* the connection that is up */
	EV_DIAL,		/* sockets of connections being made */
	EV_RESOLVE,		/* c-ares' sockets */
	EV_DIRECT,		/* protected UDP sockets */
	EV_CONTROL,		/* command line connections */
	EV_SIGNAL,
	EV_KINDS
};

/* Embedded in whatever owns a descriptor. */
struct loop_src {
	enum ev_kind kind;
	int fd;
	uint32_t events;	/* as registered */
	void *owner;
};

struct loop;
struct loop *loop_new(void);		/* NULL: errno says why */
void loop_free(struct loop *l);		/* sources are their owners'; NULL is fine */
/* Return: 0 or a negative errno.  @events: EPOLLIN | EPOLLOUT | ... */
int loop_add(struct loop *l, struct loop_src *s, uint32_t events);
int loop_mod(struct loop *l, struct loop_src *s, uint32_t events);	/* no system call when equal */
void loop_del(struct loop *l, struct loop_src *s);	/* also drops events of this turn */

/*
 * loop_wait() - wait for events
 * @until: absolute monotonic us, UINT64_MAX: for ever
 * Return: events of this turn (0: time is up); read them by loop_next()
 */
int loop_wait(struct loop *l, uint64_t now, uint64_t until);
struct loop_src *loop_next(struct loop *l, uint32_t *events);	/* NULL: no more */

uint64_t loop_now(void);	/* CLOCK_MONOTONIC in us; read once a turn */

#endif
