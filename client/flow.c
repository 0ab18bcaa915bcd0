/* SPDX-License-Identifier: MIT */
/*
 * flow.c - one TCP connection of an app: its netstack side (struct ns_tcp)
 * joined with its wire side (struct mux_stream).
 *
 *	HELD     the SYN is held, there is no session; in fs->held
 *	OPENING  the SYN is held, Sentry was asked; in fs->live
 *	OPEN     bytes go both ways; in fs->live
 *
 * Either side may end first.  tcp is NULL once netstack has forgotten the
 * connection or was told to; stream is NULL once the mux has.  `over` is set
 * when an event ended the stream and the mux will still say closed(): until
 * then it must not be called for this stream.  A flow goes when both are NULL.
 *
 * Bytes are never copied to be kept here: upwards they stay in netstack until
 * the mux pulls them into a frame, downwards netstack refers to the receive
 * buffer, and credit goes back as the app's TCP acknowledges.
 */
#include <stdlib.h>
#include <string.h>

#include "client/log.h"
#include "client/policy.h"
#include "client/tunnel_priv.h"

#define FLOW_SLAB	64	/* flows allocated at once */

enum flow_state { FLOW_HELD, FLOW_OPENING, FLOW_OPEN };

struct flow {
	struct user user;
	uint8_t state;			/* enum flow_state */
	uint8_t resolver;		/* DNS over TCP: resolvers asked before this one */
	bool dns, over, eof;
	struct ns_tcp *tcp;
	struct mux_stream *stream;
	struct flow *next, *prev;	/* of its list; next: of the free list */
	uint64_t until;			/* HELD: when it is answered, us */
	uint64_t up, down;		/* payload bytes */
};

struct flow_list {
	struct flow *head, *tail;
};

struct slab {
	struct slab *next;
	struct flow flows[FLOW_SLAB];
};

struct flows {
	struct flow_list held, live;	/* held: in the order of `until` */
	uint32_t n_held;
	struct flow *free;
	struct slab *slabs;
};

/* ---- lists and memory -------------------------------------------------------------- */

static void list_append(struct flow_list *l, struct flow *f)
{
	f->next = NULL;
	f->prev = l->tail;
	if (l->tail)
		l->tail->next = f;
	else
		l->head = f;
	l->tail = f;
}

static void list_remove(struct flow_list *l, struct flow *f)
{
	if (f->prev)
		f->prev->next = f->next;
	else
		l->head = f->next;
	if (f->next)
		f->next->prev = f->prev;
	else
		l->tail = f->prev;
}

static struct flow *flow_alloc(struct flows *fs)
{
	struct flow *f;
	uint32_t i;

	if (!fs->free) {
		struct slab *s = malloc(sizeof(*s));

		if (!s)
			return NULL;
		s->next = fs->slabs;
		fs->slabs = s;
		for (i = 0; i < FLOW_SLAB; i++) {
			s->flows[i].next = fs->free;
			fs->free = &s->flows[i];
		}
	}
	f = fs->free;
	fs->free = f->next;
	memset(f, 0, sizeof(*f));
	f->user.kind = USER_FLOW;
	return f;
}

/* Both sides are done with it, or it was never joined. */
static void flow_drop(struct flows *fs, struct flow *f)
{
	if (f->state == FLOW_HELD) {
		list_remove(&fs->held, f);
		fs->n_held--;
	} else {
		list_remove(&fs->live, f);
	}
	f->next = fs->free;
	fs->free = f;
}

static void flow_put(struct flows *fs, struct flow *f)
{
	if (!f->tcp && !f->stream)
		flow_drop(fs, f);
}

static void set_live(struct flows *fs, struct flow *f, enum flow_state state)
{
	if (f->state == FLOW_HELD) {
		list_remove(&fs->held, f);
		fs->n_held--;
		list_append(&fs->live, f);
	}
	f->state = (uint8_t)state;
}

static void hold(struct tunnel *t, struct flow *f)
{
	f->state = FLOW_HELD;
	f->until = t->now + LIMIT_SYN_HELD_US;
	list_append(&t->flows->held, f);
	t->flows->n_held++;
}

struct flows *flows_new(struct tunnel *t)
{
	(void)t;
	return calloc(1, sizeof(struct flows));
}

void flows_free(struct flows *fs)
{
	struct slab *s;

	if (!fs)
		return;
	while ((s = fs->slabs)) {
		fs->slabs = s->next;
		free(s);
	}
	free(fs);
}

/* ---- log ----------------------------------------------------------------------------- */

static void __attribute__((noinline)) log_open(struct tunnel *t, const struct ns_tuple *tuple)
{
	char src[ADDR_STRLEN], dst[ADDR_STRLEN];
	struct policy_answer a;

	tunnel_verdict(t, MUX_TCP, &tuple->dst, tuple->dst_port, &a);
	LOG(LOG_LVL_SESSION, "flow.open", "tcp %s port %u to %s port %u: %s, %s",
	    addr_format(&tuple->src, src), tuple->src_port,
	    addr_format(&tuple->dst, dst), tuple->dst_port, verdict_name(a.verdict), a.reason);
}

static void __attribute__((noinline)) log_end(const struct flow *f, const struct ns_tuple *tuple,
					      const char *how)
{
	char src[ADDR_STRLEN], dst[ADDR_STRLEN];

	LOG(LOG_LVL_SESSION, "flow.end",
	    "tcp %s port %u to %s port %u: %s, %llu bytes up, %llu down",
	    addr_format(&tuple->src, src), tuple->src_port,
	    addr_format(&tuple->dst, dst), tuple->dst_port, how,
	    (unsigned long long)f->up, (unsigned long long)f->down);
}

/* One that was answered before there was anything to join. */
static void __attribute__((noinline)) log_refused(const struct ns_tuple *tuple, const char *why)
{
	static const struct flow nothing;

	log_end(&nothing, tuple, why);
}

/* ---- ends ------------------------------------------------------------------------------ */

/* A connection that had been accepted leaves netstack. */
static void count_end(struct tunnel *t, const struct flow *f, bool reset)
{
	if (f->state != FLOW_OPEN)
		return;
	t->counters.tcp_open--;
	if (reset)
		t->counters.tcp_reset++;
}

/* Answer a held SYN. */
static void refuse(struct tunnel *t, struct flow *f, enum ns_refusal how, const char *why)
{
	struct ns_tcp *tcp = f->tcp;

	if (log_level >= LOG_LVL_SESSION)
		log_end(f, ns_tcp_tuple(tcp), why);
	t->counters.tcp_refused++;
	f->tcp = NULL;
	ns_tcp_refuse(t->ns, tcp, how, t->now);
}

/* RST to the app. */
static void abort_tcp(struct tunnel *t, struct flow *f, const char *why)
{
	struct ns_tcp *tcp = f->tcp;

	if (log_level >= LOG_LVL_SESSION)
		log_end(f, ns_tcp_tuple(tcp), why);
	count_end(t, f, true);
	f->tcp = NULL;
	ns_tcp_abort(t->ns, tcp);
}

/* ---- opening ------------------------------------------------------------------------------ */

static struct mux_stream *open_stream(struct tunnel *t, struct flow *f)
{
	const struct ns_tuple *tuple = ns_tcp_tuple(f->tcp);
	struct mux_open open = { .proto = MUX_TCP, .addr = tuple->dst, .port = tuple->dst_port,
				 .source_port = tuple->src_port };
	const char *name;

	if (f->dns) {
		const struct ipaddr *r = dnsfwd_resolver(t, f->resolver);

		if (!r)
			return NULL;
		open.addr = *r;
	} else {
		name = dnsfwd_name_of(t, &tuple->dst);
		if (name)
			memcpy(open.name, name, strlen(name) + 1);
	}
	return mux_stream_open(t->mux, &open, f, t->now);
}

/* Ask Sentry, or answer the app that it cannot be. */
static void start(struct tunnel *t, struct flow *f)
{
	f->stream = open_stream(t, f);
	if (f->stream)
		return;
	refuse(t, f, NS_REFUSE_RST, f->dns ? "no resolver" : "too many connections");
	flow_put(t->flows, f);
}

void flow_syn(struct tunnel *t, struct ns_tcp *tcp, const struct ns_tuple *tuple)
{
	enum ns_refusal how = NS_REFUSE_RST;
	bool service = tunnel_is_service(t, &tuple->dst);
	const char *why = "no memory";
	struct flows *fs = t->flows;
	struct flow *f;

	t->counters.tcp_total++;
	if (log_level >= LOG_LVL_SESSION)
		log_open(t, tuple);
	if (service && tuple->dst_port != DNS_PORT) {
		why = "not a port of the DNS forwarder";
		goto refused;
	}
	if (!t->mux && (t->hopeless || fs->n_held >= LIMIT_OPENS_HELD)) {
		how = t->hopeless ? NS_REFUSE_HOST : NS_REFUSE_RST;
		why = t->hopeless ? "no session" : "too many wait for a session";
		goto refused;
	}
	f = flow_alloc(fs);
	if (!f)
		goto refused;
	f->dns = service;
	f->tcp = tcp;
	ns_tcp_set_user(tcp, f);
	if (!t->mux) {
		hold(t, f);
		return;
	}
	f->state = FLOW_OPENING;
	list_append(&fs->live, f);
	start(t, f);
	return;
refused:
	if (log_level >= LOG_LVL_SESSION)
		log_refused(tuple, why);
	t->counters.tcp_refused++;
	ns_tcp_refuse(t->ns, tcp, how, t->now);
}

void flows_attach(struct tunnel *t)
{
	struct flow *f;

	while ((f = t->flows->held.head)) {
		set_live(t->flows, f, FLOW_OPENING);
		start(t, f);
	}
}

void flows_detach(struct tunnel *t)
{
	struct flow *f, *next;

	for (f = t->flows->live.head; f; f = next) {
		next = f->next;
		if (!f->stream)
			continue;	/* the app has yet to acknowledge the last bytes */
		f->stream = NULL;
		f->over = false;
		if (!f->tcp) {
			flow_drop(t->flows, f);
		} else if (f->state == FLOW_OPENING) {
			/* the app was told nothing yet: it may have the next session */
			list_remove(&t->flows->live, f);
			f->resolver = 0;
			hold(t, f);
		} else {
			abort_tcp(t, f, "session lost");
			flow_drop(t->flows, f);
		}
	}
	if (t->hopeless)
		flows_hopeless(t);
}

void flows_hopeless(struct tunnel *t)
{
	struct flow *f;

	while ((f = t->flows->held.head)) {
		refuse(t, f, NS_REFUSE_HOST, "no session");
		flow_drop(t->flows, f);
	}
}

/* The app is told at once; Sentry too, unless it ended the stream itself. */
static void revoke(struct tunnel *t, struct flow *f)
{
	static const char why[] = "the new profile decides otherwise";
	struct mux_stream *stream = f->stream;

	if (f->state == FLOW_OPEN)
		abort_tcp(t, f, why);
	else
		refuse(t, f, NS_REFUSE_RST, why);
	if (stream && !f->over) {
		f->stream = NULL;
		mux_stream_reset(t->mux, stream, MUX_RST_POLICY);
	}
	flow_put(t->flows, f);
}

uint32_t flows_reconsider(struct tunnel *t, const struct policy_diff *d)
{
	struct flow *lists[] = { t->flows->held.head, t->flows->live.head };
	struct flow *f, *next;
	uint32_t n = 0, i;

	for (i = 0; i < 2; i++) {
		for (f = lists[i]; f; f = next) {
			const struct ns_tuple *tuple = f->tcp ? ns_tcp_tuple(f->tcp) : NULL;

			next = f->next;
			if (!tuple || !tunnel_verdict_changed(t, d, MUX_TCP, &tuple->dst,
							      tuple->dst_port))
				continue;
			revoke(t, f);
			n++;
		}
	}
	return n;
}

uint64_t flows_timer(struct tunnel *t)
{
	struct flow *f;

	while ((f = t->flows->held.head) && f->until <= t->now) {
		refuse(t, f, NS_REFUSE_HOST, "no session in time");
		flow_drop(t->flows, f);
	}
	return f ? f->until : UINT64_MAX;
}

bool flows_waiting(const struct tunnel *t)
{
	return t->flows->held.head != NULL;
}

/* ---- netstack's side ------------------------------------------------------------------------- */

void flow_readable(struct tunnel *t, void *user)
{
	struct flow *f = user;

	if (f->stream && !f->over)
		mux_stream_ready(t->mux, f->stream, t->now);
}

void flow_sent(struct tunnel *t, void *user, uint32_t n)
{
	struct flow *f = user;

	if (f->stream && !f->over)
		mux_stream_consumed(t->mux, f->stream, n, t->now);
}

void flow_eof(struct tunnel *t, void *user)
{
	struct flow *f = user;

	if (f->stream && !f->over && !f->eof)
		mux_stream_fin(t->mux, f->stream);
	f->eof = true;
}

void flow_tcp_closed(struct tunnel *t, struct ns_tcp *tcp, void *user, bool reset)
{
	struct flow *f = user;

	if (log_level >= LOG_LVL_SESSION)
		log_end(f, ns_tcp_tuple(tcp), reset ? "reset by the app" : "finished");
	count_end(t, f, reset);
	f->tcp = NULL;
	if (f->stream && !f->over && (reset || !f->eof)) {
		mux_stream_reset(t->mux, f->stream, MUX_RST_RESET);
		f->stream = NULL;
	}
	flow_put(t->flows, f);
}

/* ---- the mux' side ------------------------------------------------------------------------------- */

size_t flow_pull(struct tunnel *t, void *user, uint8_t *dst, size_t max)
{
	struct flow *f = user;
	size_t n;

	if (!f->tcp)
		return 0;
	n = ns_tcp_read(t->ns, f->tcp, dst, max);
	f->up += n;
	t->counters.bytes_up += n;
	return n;
}

void flow_mux_closed(struct tunnel *t, void *user)
{
	struct flow *f = user;

	f->stream = NULL;
	flow_put(t->flows, f);
}

/* 00-overview's table, as docs/protocol.md numbers the reasons; unknown ones are 2 */
static enum ns_refusal refusal_of(uint8_t reason)
{
	switch ((enum mux_refused)reason) {
	case MUX_REF_CONN:
	case MUX_REF_LIMIT:
	case MUX_REF_NAME:
	case MUX_REF_UNSUPPORTED:
		return NS_REFUSE_RST;
	case MUX_REF_NET:
		return NS_REFUSE_NET;
	case MUX_REF_DENIED:
		return NS_REFUSE_DENIED;
	case MUX_REF_HOST:
	case MUX_REF_TIMEOUT:
		break;
	}
	return NS_REFUSE_HOST;
}

static enum ns_refusal refusal_of_reset(uint8_t reason)
{
	switch ((enum mux_reset_reason)reason) {
	case MUX_RST_TIMEOUT:
	case MUX_RST_HOST:
		return NS_REFUSE_HOST;
	case MUX_RST_POLICY:
		return NS_REFUSE_DENIED;
	case MUX_RST_RESET:
	case MUX_RST_IDLE:
	case MUX_RST_LIMIT:
	case MUX_RST_SESSION:
		break;
	}
	return NS_REFUSE_RST;
}

/*
 * DNS over TCP: the next resolver gets the SYN.  In a flow of its own, for
 * the mux will still say closed() for this one.
 */
static bool next_resolver(struct tunnel *t, struct flow *f)
{
	struct flow *g;

	if (!f->dns || !dnsfwd_resolver(t, f->resolver + 1u))
		return false;
	g = flow_alloc(t->flows);
	if (!g)
		return false;
	g->state = FLOW_OPENING;
	g->dns = true;
	g->resolver = (uint8_t)(f->resolver + 1);
	g->tcp = f->tcp;
	f->tcp = NULL;
	ns_tcp_set_user(g->tcp, g);
	list_append(&t->flows->live, g);
	start(t, g);
	return true;
}

static void flow_data(struct tunnel *t, struct flow *f, const struct mux_event *ev,
		      struct buf *b)
{
	f->down += ev->len;
	t->counters.bytes_down += ev->len;
	if (f->tcp)		/* when it fails, tcp_closed follows */
		(void)ns_tcp_write(t->ns, f->tcp, b, ev->data, ev->len);
}

void flow_event(struct tunnel *t, const struct mux_event *ev, struct buf *b)
{
	struct flow *f = ev->user;

	switch (ev->type) {
	case MUX_EV_OPENED:
		if (!f->tcp || f->state != FLOW_OPENING)
			break;
		f->state = FLOW_OPEN;
		t->counters.tcp_open++;
		ns_tcp_accept(t->ns, f->tcp, t->now);
		break;
	case MUX_EV_REFUSED:
		f->over = true;
		if (f->tcp && !next_resolver(t, f))
			refuse(t, f, refusal_of(ev->u.reason), "refused by Sentry");
		break;
	case MUX_EV_DATA:
		flow_data(t, f, ev, b);
		break;
	case MUX_EV_FIN:
		if (f->tcp)
			ns_tcp_fin(t->ns, f->tcp);
		break;
	case MUX_EV_RESET:
		f->over = true;
		if (!f->tcp)
			break;
		if (f->state == FLOW_OPEN)
			abort_tcp(t, f, "reset by the far end");
		else
			refuse(t, f, refusal_of_reset(ev->u.reason),
			       "reset before it was open");
		break;
	case MUX_EV_CONFIG:
	case MUX_EV_OPEN:
	case MUX_EV_DGRAM:
	case MUX_EV_DGRAM_ERROR:
	case MUX_EV_PROBE_REPLY:
	case MUX_EV_PROBE:
	case MUX_EV_GOAWAY:
		break;
	}
}
