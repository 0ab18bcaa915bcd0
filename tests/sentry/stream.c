/* SPDX-License-Identifier: MIT */
/*
 * stream.c - a stream from its OPEN to its end: rules, names, audit.
 *
 * The mux and the far socket each end a stream in their own time.  Whatever the
 * mux forgets inside one of its calls is put on the session's reap list, and
 * looked at when that call has returned.
 */
#define _GNU_SOURCE
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

bool stream_allowed(const struct conf *c, const struct ipaddr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t zero[12];

	for (uint32_t i = 0; i < c->n_allow; i++)
		if (prefix_has(&c->allow[i], a))
			return true;
	if (addr_is_loopback(a))
		return c->allow_loopback;
	if (addr_is_unspecified(a) || addr_is_multicast(a) || addr_is_linklocal(a))
		return false;
	if (a->family == 4)
		return a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 240;
	/* IPv4 in IPv6 clothes would pass the rules above */
	return a->family == 6 && memcmp(a->bytes, mapped, 12) != 0 &&
	       memcmp(a->bytes, zero, 12) != 0;
}

/* @by_name: a rule believed the name, and the address that came beside it is yet to prove it */
static bool service_allows(const struct service *sv, const struct mux_open *o, bool *by_name)
{
	*by_name = false;
	switch (sv->kind) {
	case SERVICE_IP_ANY:
		return true;
	case SERVICE_TCP_ANY:
		return o->proto == MUX_TCP;
	case SERVICE_TCP:
		break;
	}
	if (o->proto != MUX_TCP)
		return false;
	for (uint32_t i = 0; i < sv->n_servers; i++) {
		const struct server *s = &sv->servers[i];

		if (s->port != o->port)
			continue;
		if (s->addr.family ? addr_equal(&s->addr, &o->addr) :
				     strcasecmp(s->host, o->name) == 0) {
			*by_name = !s->addr.family && o->addr.family;
			return true;
		}
	}
	return !sv->n_servers;
}

/* ---- ends ---------------------------------------------------------------- */

void stream_forget(struct stream *st)
{
	if (st->reaping || st->state == STREAM_GONE)
		return;
	st->reaping = true;
	st->next_reap = st->ses->reap;
	st->ses->reap = st;
}

void stream_gone(struct stream *st, bool rst)
{
	struct session *ses = st->ses;
	struct sentry *s = ses->s;

	if (st->state == STREAM_GONE)
		return;
	st->state = STREAM_GONE;
	if (st->ms) {
		mux_stream_set_user(st->ms, NULL);
		st->ms = NULL;
	}
	if (rst && st->src.fd >= 0 && !st->assoc) {
		struct linger lg = { .l_onoff = 1 };

		setsockopt(st->src.fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
	}
	timer_off(&s->loop, &st->timer);
	loop_close(&s->loop, &st->src);
	tcp_free_out(st);
	assoc_free(st->assoc);
	st->assoc = NULL;
	free(st->opening);
	st->opening = NULL;
	if (st->prev)
		st->prev->next = st->next;
	else
		ses->streams = st->next;
	if (st->next)
		st->next->prev = st->prev;
	ses->n_streams--;
	st->ses = NULL;
	if (!st->resolving)	/* else the resolver lets go of it */
		sentry_bury(s, &st->grave);
}

void stream_refuse(struct stream *st, enum mux_refused reason)
{
	struct session *ses = st->ses;

	ses->s->counters.streams_refused++;
	if (st->ms) {
		struct mux_stream *ms = st->ms;

		st->ms = NULL;
		mux_stream_set_user(ms, NULL);
		mux_stream_refuse(ses->mux, ms, reason);
		conn_touch(ses->conn);
	}
	stream_gone(st, true);
}

void stream_reset(struct stream *st, enum mux_reset_reason reason)
{
	struct session *ses = st->ses;

	if (st->ms) {
		struct mux_stream *ms = st->ms;

		st->ms = NULL;
		mux_stream_set_user(ms, NULL);
		mux_stream_reset(ses->mux, ms, reason);
		conn_touch(ses->conn);
	}
	stream_gone(st, true);
}

void stream_reap(struct session *ses)
{
	struct stream *st;

	while ((st = ses->reap)) {
		ses->reap = st->next_reap;
		st->reaping = false;
		if (st->state == STREAM_GONE)
			continue;
		if (st->ms) {
			/* pull ran dry on a far connection that was reset */
			if (st->far_dead)
				stream_reset(st, MUX_RST_RESET);
		} else if (st->reset_in || !st->out) {
			stream_gone(st, st->reset_in);
		} else {
			st->state = STREAM_DRAINING;
			timer_set(&ses->s->loop, &st->timer,
				  ses->s->now + SENTRY_FAR_LINGER_US);
		}
	}
}

/* ---- the beginning ------------------------------------------------------- */

static struct stream *stream_new(struct session *ses, struct mux_event *ev)
{
	struct stream *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->opening = calloc(1, sizeof(*st->opening));
	if (!st->opening) {
		free(st);
		return NULL;
	}
	st->opening->open = ev->u.open;
	st->opening->reason = MUX_REF_HOST;
	st->ses = ses;
	st->ms = ev->stream;
	st->proto = ev->u.open.proto;
	st->addr = ev->u.open.addr;
	st->port = ev->u.open.port;
	st->src = (struct src){ .kind = st->proto == MUX_TCP ? SRC_TCP : SRC_ASSOC, .fd = -1,
				.owner = st };
	st->timer = (struct timer){ .kind = TIMER_STREAM, .owner = st };
	st->next = ses->streams;
	if (st->next)
		st->next->prev = st;
	ses->streams = st;
	ses->n_streams++;
	ses->streams_total++;
	mux_stream_set_user(ev->stream, st);
	return st;
}

static void deny(struct stream *st, const char *why)
{
	st->ses->s->counters.denied++;
	event_audit(st, st->opening, &st->addr, st->port, "BLOCK", why);
	stream_refuse(st, MUX_REF_DENIED);
}

void stream_open(struct session *ses, struct mux_event *ev)
{
	struct sentry *s = ses->s;
	struct stream *st = stream_new(ses, ev);
	struct fault *f;

	s->counters.streams++;
	if (!st) {
		s->counters.streams_refused++;
		mux_stream_refuse(ses->mux, ev->stream, MUX_REF_LIMIT);
		return;
	}
	f = fault_find(s->faults, FAULT_REFUSE_OPEN, ses->device);
	if (f) {
		fault_fire(s, f, ses->device);
		stream_refuse(st, f->value);
		return;
	}
	f = fault_find(s->faults, FAULT_DELAY_OPEN, ses->device);
	if (f) {
		fault_fire(s, f, ses->device);
		st->state = STREAM_DELAYED;
		/* DGRAMs may come before the answer */
		if (st->proto != MUX_TCP && assoc_open(st, 0)) {
			stream_refuse(st, MUX_REF_LIMIT);
			return;
		}
		if (timer_set(&s->loop, &st->timer, s->now + f->value * USEC_PER_MSEC))
			stream_refuse(st, MUX_REF_LIMIT);
		return;
	}
	stream_proceed(st);
}

static void proceed_assoc(struct stream *st)
{
	struct sentry *s = st->ses->s;
	bool ping = st->proto != MUX_UDP;
	struct ipaddr none = { 0 };
	int err;

	if (ping && !(st->proto == MUX_ICMP ? s->ping4 : s->ping6)) {
		stream_refuse(st, MUX_REF_UNSUPPORTED);
		return;
	}
	err = assoc_open(st, st->opening->open.addr.family);
	if (err) {
		stream_refuse(st, err == -EACCES ? MUX_REF_UNSUPPORTED : tcp_reason(-err));
		return;
	}
	s->counters.assocs++;
	st->state = STREAM_OPEN;
	mux_stream_accept(st->ses->mux, st->ms, &none, 0, s->now);
	conn_touch(st->ses->conn);
	assoc_flush_held(st);
}

void stream_proceed(struct stream *st)
{
	struct session *ses = st->ses;
	struct sentry *s = ses->s;
	const struct mux_open *o = &st->opening->open;

	if (o->proto != MUX_TCP && o->proto != MUX_UDP && o->proto != MUX_ICMP &&
	    o->proto != MUX_ICMP6) {
		stream_refuse(st, MUX_REF_UNSUPPORTED);
		return;
	}
	if (o->bad_name) {
		stream_refuse(st, MUX_REF_NAME);
		return;
	}
	if (!service_allows(ses->service, o, &st->opening->by_name)) {
		deny(st, "service");
		return;
	}
	if (o->proto != MUX_TCP) {
		proceed_assoc(st);
		return;
	}
	if (timer_set(&s->loop, &st->timer, s->now + s->conf.connect_us)) {
		stream_refuse(st, MUX_REF_LIMIT);
		return;
	}
	if (!o->addr.family || st->opening->by_name) {
		struct ipaddr literal;

		if (addr_parse(o->name, &literal) == 0) {
			stream_resolved(st, 0, &literal, 1);
			return;
		}
		st->state = STREAM_RESOLVING;
		resolve_start(s, st, o->name);
		return;
	}
	stream_resolved(st, 0, &o->addr, 1);
}

void stream_resolved(struct stream *st, int err, const struct ipaddr *addrs, uint32_t n)
{
	struct opening *op = st->opening;
	const struct conf *c = &st->ses->s->conf;

	if (err || !n) {
		event_audit(st, op, &st->addr, st->port, "NONE", "name not found");
		stream_refuse(st, err == -ETIMEDOUT ? MUX_REF_TIMEOUT : MUX_REF_NAME);
		return;
	}
	if (op->by_name) {	/* with both, the address is dialled, if the name leads there */
		while (n && !addr_equal(&addrs[n - 1], &op->open.addr))
			n--;
		if (!n) {
			deny(st, "the name does not lead to that address");
			return;
		}
		addrs += n - 1;
		n = 1;
	}
	for (uint32_t i = 0; i < n && op->n_addrs < SENTRY_NAME_ADDRS; i++)
		if (stream_allowed(c, &addrs[i]))
			op->addrs[op->n_addrs++] = addrs[i];
	st->addr = addrs[0];
	if (!op->n_addrs) {
		deny(st, "destination");
		return;
	}
	st->addr = op->addrs[0];
	event_audit(st, op, &st->addr, st->port, "ALLOW", "");
	st->state = STREAM_CONNECTING;
	tcp_connect(st);
}

void stream_timer(struct stream *st)
{
	switch (st->state) {
	case STREAM_DELAYED:
		stream_proceed(st);
		return;
	case STREAM_RESOLVING:
	case STREAM_CONNECTING:
		stream_refuse(st, MUX_REF_TIMEOUT);
		return;
	case STREAM_OPEN:
		if (st->assoc)
			assoc_timer(st);
		return;
	case STREAM_DRAINING:
		stream_gone(st, true);
		return;
	case STREAM_GONE:
		return;
	}
}
