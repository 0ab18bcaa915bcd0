/* SPDX-License-Identifier: MIT */
/*
 * conn.c - one attempt at one Host: names, addresses raced, TLS, POST; and
 * the connection that stands at the end of it.
 *
 * The stage says what the attempt waits for:
 *	RESOLVING	no address yet
 *	CONNECTING	addresses are tried, more may still come from the resolver
 *	SECURING	one connection stands, the others are closed; TLS handshake
 *	NEGOTIATING	the POST is going out, its answer is read
 *	LIVE		101 came; the descriptor belongs to the caller's loop
 *	FAILED		cause, why and retry_after say it all; nothing is open
 */
#include "client/conn_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/limits.h"
#include "client/log.h"

#define CONN_PORT	443		/* left out of the Host header */

/* ---- ends ------------------------------------------------------------------------ */

static void src_close(struct conn *c, struct loop_src *s)
{
	if (s->fd < 0)
		return;
	loop_del(c->env.loop, s);
	close(s->fd);
	s->fd = -1;
}

static void dialling_stop(struct conn *c)
{
	lookup_stop(&c->lookup);
	for (unsigned int i = 0; i < RACE_MAX; i++)
		src_close(c, &c->tries[i]);
}

static void conn_shut(struct conn *c, bool clean)
{
	dialling_stop(c);
	tls_close(c->tls, clean);
	c->tls = NULL;
	src_close(c, &c->src);
}

__attribute__((format(printf, 3, 4)))
static void conn_fail(struct conn *c, enum cause cause, const char *fmt, ...)
{
	char text[TLS_WHY];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_printable(text, strlen(text), c->why, sizeof(c->why));
	c->cause = cause;
	c->stage = CONN_FAILED;
	c->by = UINT64_MAX;
	conn_shut(c, false);
}

/* ---- NEGOTIATING ------------------------------------------------------------------ */

static int request_write(struct conn *c)
{
	const struct profile *p = c->env.profile;
	struct atp_request *r = calloc(1, sizeof(*r));
	bool brackets = c->h->addr.family == 6;
	char port[8] = "";
	int len;

	if (!r)
		return -ENOMEM;
	if (c->h->port != CONN_PORT)
		snprintf(port, sizeof(port), ":%u", c->h->port);
	snprintf(r->host, sizeof(r->host), "%s%s%s%s", brackets ? "[" : "", c->h->name,
		 brackets ? "]" : "", port);
	snprintf(r->device_id, sizeof(r->device_id), "%s", p->device_id);
	snprintf(r->user_id, sizeof(r->user_id), "%s", p->user_id);
	snprintf(r->service, sizeof(r->service), "%s", p->service);
	snprintf(r->platform, sizeof(r->platform), "%s", p->platform);
	snprintf(r->client, sizeof(r->client), "AppTunnel-Linux/%s", APPTUNNEL_VERSION);
	r->tcp_idle_ms = p->tcp_idle_ms;
	len = atp_request_write(r, c->request, sizeof(c->request));
	free(r);
	if (len > 0)
		c->request_len = (size_t)len;
	return len > 0 ? 0 : len;
}

/* @rest: what came behind the blank line of the 101 */
static void answered(struct conn *c, enum atp_answer_kind kind, const uint8_t *rest, size_t len)
{
	const struct atp_answer *a = &c->reader.answer;

	switch (kind) {
	case ATP_ANSWER_MORE:
		return;
	case ATP_ANSWER_ACCEPTED:
		if (a->resumed) {	/* it would send no CONFIG */
			conn_fail(c, CAUSE_ODD_ANSWER,
				  "the answer resumes a session, which was not asked for");
			return;
		}
		memcpy(c->early, rest, len);
		c->early_len = len;
		c->tls->phase = TLS_LIVE;
		c->stage = CONN_LIVE;
		loop_del(c->env.loop, &c->src);
		c->src.kind = EV_SENTRY;
		return;
	case ATP_ANSWER_REFUSED:
		c->retry_after_s = a->retry_after_s;
		conn_fail(c, cause_of_refusal(a->status, a->code), "status %d%s%s%s%s", a->status,
			  a->code[0] ? ", " : "", a->code, a->message[0] ? ": " : "",
			  a->message);
		return;
	case ATP_ANSWER_BAD:
		conn_fail(c, CAUSE_ODD_ANSWER, "the answer is not one of Sentry: %s", a->message);
		return;
	}
}

static void conn_negotiate(struct conn *c)
{
	uint8_t buf[LIMIT_RECORD];
	uint32_t events = EPOLLIN;
	enum atp_answer_kind kind;
	size_t used = 0;
	ssize_t n;

	if (c->request_sent < c->request_len) {
		n = tls_write(c->tls, (uint8_t *)c->request + c->request_sent,
			      c->request_len - c->request_sent);
		if (n > 0)
			c->request_sent += (size_t)n;
		else if (n != -EAGAIN)		/* its reason may be read below */
			c->request_sent = c->request_len;
	}
	if (tls_flush(c->tls) == -EAGAIN)
		events |= EPOLLOUT;
	while (c->stage == CONN_NEGOTIATING) {
		n = tls_read(c->tls, buf, sizeof(buf));
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			conn_fail(c, c->tls->cause, "%s", c->tls->why);
			return;
		}
		kind = atp_answer_feed(&c->reader, buf, (size_t)n, &used);
		if (n == 0 && kind == ATP_ANSWER_MORE) {
			conn_fail(c, CAUSE_CUT, "the far side closed the connection %s",
				  c->reader.len ? "within its answer" : "without an answer");
			return;
		}
		answered(c, kind, buf + used, (size_t)n - used);
	}
	if (c->stage != CONN_NEGOTIATING)
		return;
	if (c->request_sent < c->request_len)
		events |= EPOLLOUT;
	loop_mod(c->env.loop, &c->src, events);
}

/* ---- SECURING ------------------------------------------------------------------------ */

static void conn_secure(struct conn *c, uint64_t now)
{
	int err = tls_handshake(c->tls);

	if (err == -EAGAIN) {
		loop_mod(c->env.loop, &c->src,
			 EPOLLIN | (c->tls->want_write ? EPOLLOUT : 0));
		return;
	}
	if (err < 0) {
		conn_fail(c, c->tls->cause, "%s", c->tls->why);
		return;
	}
	err = request_write(c);
	if (err < 0) {
		conn_fail(c, CAUSE_PROFILE, "the request cannot be written: %s", strerror(-err));
		return;
	}
	atp_answer_init(&c->reader);
	c->stage = CONN_NEGOTIATING;
	c->by = now + LIMIT_ANSWER_US;
	conn_negotiate(c);
}

/* Attempt @i stands: the others end, TLS begins. */
static void conn_won(struct conn *c, unsigned int i, uint64_t now)
{
	char addr[ADDR_STRLEN];
	int err;

	loop_del(c->env.loop, &c->tries[i]);
	c->src.fd = c->tries[i].fd;
	c->tries[i].fd = -1;
	c->peer = c->race.list[i].addr;
	LOG(LOG_LVL_DEBUG, "session.tcp", "%s port %u answered", addr_format(&c->peer, addr),
	    c->h->port);
	dialling_stop(c);
	c->stage = CONN_SECURING;
	c->by = now + LIMIT_TLS_US;
	err = loop_add(c->env.loop, &c->src, EPOLLIN);
	if (err < 0) {
		conn_fail(c, CAUSE_CONNECT, "the connection cannot be watched: %s",
			  strerror(-err));
		return;
	}
	c->tls = tls_open(c->env.tls, c->host, c->src.fd);
	if (!c->tls) {
		conn_fail(c, CAUSE_TLS_IO, "no memory for TLS");
		return;
	}
	conn_secure(c, now);
}

/* ---- RESOLVING, CONNECTING -------------------------------------------------------------- */

/* None of these options is worth a failure. */
static void sock_patience(const struct conn *c, int fd)
{
	const struct profile *p = c->env.profile;
	uint64_t probing_s = p->probe_idle_s + (uint64_t)p->probe_count * p->probe_interval_s;
	uint64_t user_ms = 2 * 1000 * probing_s;	/* so that the probes decide */
	unsigned int ms = user_ms < INT32_MAX ? (unsigned int)user_ms : INT32_MAX;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

static void sock_options(const struct conn *c, int fd)
{
	int on = 1, lowat = LIMIT_LOWAT_MAX;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
	sock_patience(c, fd);
}

void conn_set_profile(struct conn *c, const struct profile *p)
{
	unsigned int i;

	c->env.profile = p;
	c->h = &p->hosts[c->host];
	if (c->lookup.name)
		c->lookup.name = c->h->name;
	if (c->src.fd >= 0)
		sock_patience(c, c->src.fd);
	for (i = 0; i < RACE_MAX; i++)
		if (c->tries[i].fd >= 0)
			sock_patience(c, c->tries[i].fd);
}

static void try_failed(struct conn *c, unsigned int i, int error, uint64_t now)
{
	src_close(c, &c->tries[i]);
	race_failed(&c->race, i, error, now);
}

static void try_start(struct conn *c, unsigned int i, uint64_t now)
{
	const struct ipaddr *addr = &c->race.list[i].addr;
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(addr, c->h->port, &ss);
	int fd = sock_take(c->env.socks, HELPER_SOCK_TCP, addr->family), err;

	if (fd < 0) {
		if (!c->starved_since)
			c->starved_since = now;
		if (now - c->starved_since < LIMIT_CONNECT_US)
			race_postpone(&c->race, i, now + LIMIT_STARVED_US, now);
		else
			race_failed(&c->race, i, -fd, now);
		return;
	}
	c->starved_since = 0;
	sock_options(c, fd);
	c->tries[i].fd = fd;
	if (connect(fd, (struct sockaddr *)&ss, len) == 0) {
		conn_won(c, i, now);
		return;
	}
	if (errno != EINPROGRESS) {
		try_failed(c, i, errno, now);
		return;
	}
	err = loop_add(c->env.loop, &c->tries[i], EPOLLOUT);
	if (err < 0)
		try_failed(c, i, -err, now);
}

static void addresses_take(struct conn *c, uint64_t now)
{
	if (!c->lookup.resolver)
		return;
	if (lookup_pending(&c->lookup) && now >= c->by) {
		lookup_stop(&c->lookup);
		c->lookup.error = "no answer in time";
	}
	c->lookup.fresh = false;
	for (; c->taken < c->lookup.n; c->taken++)
		race_add(&c->race, &c->lookup.addrs[c->taken], now);
	if (!c->lookup.pending6)
		race_answered6(&c->race);
}

static void dialling_failed(struct conn *c)
{
	char addr[ADDR_STRLEN];

	if (c->race.n == 0)
		conn_fail(c, CAUSE_RESOLVE, "%s cannot be resolved: %s", c->h->name,
			  c->lookup.error ? c->lookup.error : "it has no usable address");
	else if (c->race.error == EAGAIN)
		conn_fail(c, CAUSE_CONNECT, "no socket for %s port %u came from the daemon",
			  c->h->name, c->h->port);
	else
		conn_fail(c, CAUSE_CONNECT, "%s port %u (%s%s): %s", c->h->name, c->h->port,
			  addr_format(&c->race.list[0].addr, addr),
			  c->race.n > 1 ? " and others" : "", strerror(c->race.error));
}

static void conn_dialling(struct conn *c, uint64_t now)
{
	int i;

	addresses_take(c, now);
	while ((i = race_expired(&c->race, now)) >= 0)
		try_failed(c, (unsigned int)i, ETIMEDOUT, now);
	while (c->stage <= CONN_CONNECTING && (i = race_start(&c->race, now)) >= 0) {
		c->stage = CONN_CONNECTING;
		try_start(c, (unsigned int)i, now);
	}
	if (c->stage <= CONN_CONNECTING && race_lost(&c->race) && !lookup_pending(&c->lookup))
		dialling_failed(c);
}

static void try_event(struct conn *c, const struct loop_src *src, uint64_t now)
{
	unsigned int i = (unsigned int)(src - c->tries);
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(src->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		try_failed(c, i, error, now);
		conn_dialling(c, now);
	} else {
		conn_won(c, i, now);
	}
}

/* ---- the caller's side -------------------------------------------------------------------- */

struct conn *conn_dial(const struct conn_env *env, uint32_t host, uint64_t now)
{
	struct conn *c;

	if (host >= env->profile->n_hosts || host >= PROFILE_MAX_HOSTS)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->env = *env;
	c->host = host;
	c->h = &env->profile->hosts[host];
	c->stage = CONN_RESOLVING;
	c->by = now + LIMIT_RESOLVE_US;
	c->lowat = LIMIT_LOWAT_MAX;
	c->src = (struct loop_src){ .kind = EV_DIAL, .fd = -1, .owner = c };
	for (unsigned int i = 0; i < RACE_MAX; i++)
		c->tries[i] = c->src;
	if (c->h->addr.family) {
		race_init(&c->race, false);
		race_add(&c->race, &c->h->addr, now);
	} else {
		lookup_start(env->resolver, &c->lookup, c->h->name, now);
		race_init(&c->race, c->lookup.pending6);
	}
	conn_dialling(c, now);
	return c;
}

void conn_event(struct conn *c, struct loop_src *src, uint32_t events, uint64_t now)
{
	(void)events;		/* each stage asks the socket itself */
	switch (c->stage) {
	case CONN_RESOLVING:
	case CONN_CONNECTING:
		if (src && src >= c->tries && src < c->tries + RACE_MAX && src->fd >= 0)
			try_event(c, src, now);
		else
			conn_dialling(c, now);
		return;
	case CONN_SECURING:
		conn_secure(c, now);
		return;
	case CONN_NEGOTIATING:
		conn_negotiate(c);
		return;
	case CONN_LIVE:
	case CONN_FAILED:
		return;
	}
}

uint64_t conn_deadline(const struct conn *c)
{
	uint64_t t, first;

	if (c->stage == CONN_SECURING || c->stage == CONN_NEGOTIATING)
		return c->by;
	if (c->stage == CONN_LIVE || c->stage == CONN_FAILED)
		return UINT64_MAX;
	first = race_deadline(&c->race);
	if (c->lookup.fresh)
		return 0;
	if (lookup_pending(&c->lookup)) {
		first = c->by < first ? c->by : first;
		t = resolver_deadline(c->env.resolver);
		first = t < first ? t : first;
	}
	return first;
}

void conn_timer(struct conn *c, uint64_t now)
{
	switch (c->stage) {
	case CONN_RESOLVING:
	case CONN_CONNECTING:
		if (lookup_pending(&c->lookup))
			resolver_timer(c->env.resolver, now);
		conn_dialling(c, now);
		return;
	case CONN_SECURING:
	case CONN_NEGOTIATING:
		if (now < c->by)
			return;
		conn_event(c, NULL, 0, now);	/* what has come counts before the clock */
		if (c->stage == CONN_SECURING)
			conn_fail(c, CAUSE_TIMEOUT, "TLS was not agreed on within %u s",
				  (unsigned int)(LIMIT_TLS_US / USEC_PER_SEC));
		else if (c->stage == CONN_NEGOTIATING && now >= c->by)
			conn_fail(c, CAUSE_TIMEOUT, "the request was not answered within %u s",
				  (unsigned int)(LIMIT_ANSWER_US / USEC_PER_SEC));
		return;
	case CONN_LIVE:
	case CONN_FAILED:
		return;
	}
}

void conn_close(struct conn *c, bool clean)
{
	if (!c)
		return;
	conn_shut(c, clean && c->stage == CONN_LIVE);
	OPENSSL_cleanse(c->request, sizeof(c->request));
	free(c);
}
