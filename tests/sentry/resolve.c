/* SPDX-License-Identifier: MIT */
/* resolve.c - names of backends by c-ares, on this thread */
#define _GNU_SOURCE
#include "tests/sentry/sentry.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVE_FDS	16
#define RESOLVE_MS	3000	/* a try */

struct resolver {
	struct sentry *s;
	ares_channel channel;
	struct src fds[RESOLVE_FDS];	/* c-ares' sockets; it closes them */
	uint32_t pending;
};

struct query {
	struct resolver *r;
	struct stream *st;
};

static void resolve_arm(struct sentry *s)
{
	struct resolver *r = s->resolver;
	struct timeval max = { RESOLVE_MS / 1000, 0 }, tv, *t;

	if (!r->pending) {
		timer_off(&s->loop, &s->dns_timer);
		return;
	}
	t = ares_timeout(r->channel, &max, &tv);
	timer_set(&s->loop, &s->dns_timer,
		  s->now + (uint64_t)t->tv_sec * USEC_PER_SEC + (uint64_t)t->tv_usec + 1000);
}

static void sock_state(void *data, ares_socket_t fd, int rd, int wr)
{
	struct resolver *r = data;
	uint32_t events = (rd ? EPOLLIN : 0u) | (wr ? EPOLLOUT : 0u);
	struct src *free_one = NULL;

	for (int i = 0; i < RESOLVE_FDS; i++) {
		struct src *f = &r->fds[i];

		if (f->fd < 0)
			free_one = f;
		if (f->fd != fd)
			continue;
		if (events) {
			loop_mod(&r->s->loop, f, events);
		} else {
			epoll_ctl(r->s->loop.epfd, EPOLL_CTL_DEL, fd, NULL);
			f->fd = -1;
		}
		return;
	}
	if (!events || !free_one)
		return;		/* none free: the timer serves it */
	*free_one = (struct src){ .kind = SRC_DNS, .fd = fd, .owner = r->s };
	if (loop_add(&r->s->loop, free_one, events))
		free_one->fd = -1;
}

int resolve_init(struct sentry *s)
{
	struct resolver *r = calloc(1, sizeof(*r));
	struct ares_options o = { .timeout = RESOLVE_MS, .tries = 2, .lookups = (char *)"fb",
				  .sock_state_cb = sock_state, .sock_state_cb_data = r };
	int err;

	if (!r)
		goto bad;
	r->s = s;
	for (int i = 0; i < RESOLVE_FDS; i++)
		r->fds[i].fd = -1;
	s->dns_timer = (struct timer){ .kind = TIMER_DNS, .owner = s };
	err = ares_library_init(ARES_LIB_INIT_ALL);
	if (!err)
		err = ares_init_options(&r->channel, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
	if (!err && s->conf.resolvers)
		err = ares_set_servers_ports_csv(r->channel, s->conf.resolvers);
	if (err) {
		fprintf(stderr, "%s: resolver: %s\n", s->conf.path, ares_strerror(err));
		free(r);
		return -EIO;
	}
	s->resolver = r;
	return 0;
bad:
	fprintf(stderr, "%s: out of memory\n", s->conf.path);
	return -EIO;
}

void resolve_free(struct sentry *s)
{
	if (!s->resolver)
		return;
	timer_off(&s->loop, &s->dns_timer);
	ares_destroy(s->resolver->channel);
	ares_library_cleanup();
	free(s->resolver);
	s->resolver = NULL;
}

static void resolved(void *arg, int status, int timeouts, struct ares_addrinfo *res)
{
	struct query *q = arg;
	struct stream *st = q->st;
	struct ipaddr addrs[SENTRY_NAME_ADDRS];
	uint32_t n = 0;

	(void)timeouts;
	st->resolving = false;
	q->r->pending--;
	free(q);
	if (res) {
		for (struct ares_addrinfo_node *a = res->nodes; a; a = a->ai_next) {
			struct sockaddr_storage ss = { 0 };

			if (n == SENTRY_NAME_ADDRS || a->ai_addrlen > sizeof(ss))
				continue;
			memcpy(&ss, a->ai_addr, a->ai_addrlen);
			if (addr_from_sockaddr(&ss, &addrs[n], NULL) == 0)
				n++;
		}
		ares_freeaddrinfo(res);
	}
	if (st->state == STREAM_GONE) {
		free(st);	/* stream_gone() left it to us */
		return;
	}
	stream_resolved(st, status == ARES_SUCCESS ? 0 : status == ARES_ETIMEOUT ? -ETIMEDOUT :
			-ENOENT, addrs, n);
}

void resolve_start(struct sentry *s, struct stream *st, const char *name)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct resolver *r = s->resolver;
	struct query *q = malloc(sizeof(*q));

	if (!q) {
		stream_refuse(st, MUX_REF_LIMIT);
		return;
	}
	*q = (struct query){ r, st };
	st->resolving = true;
	r->pending++;
	/* the answer may come before this returns */
	ares_getaddrinfo(r->channel, name, NULL, &hints, resolved, q);
	resolve_arm(s);
}

void resolve_event(struct sentry *s, struct src *src, uint32_t events)
{
	int fd = src->fd;

	ares_process_fd(s->resolver->channel,
			events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
	resolve_arm(s);
}

void resolve_timer(struct sentry *s)
{
	ares_process_fd(s->resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolve_arm(s);
}
