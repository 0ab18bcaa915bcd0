/* SPDX-License-Identifier: MIT */
/*
 * flow_open.c - from an app's SYN to its answer.  The SYN is held: until there
 * is a session, then until Sentry says OPENED or REFUSED, so that connect()
 * returns what the backend said.
 */
#include <stdlib.h>
#include <string.h>

#include "client/flow_priv.h"
#include "client/log.h"
#include "client/policy.h"

/* ---- log ------------------------------------------------------------------------------ */

static void __attribute__((noinline)) log_open(struct tunnel *t, const struct ns_tuple *tuple)
{
	char src[ADDR_STRLEN], dst[ADDR_STRLEN];
	struct policy_answer a;

	tunnel_verdict(t, MUX_TCP, &tuple->dst, tuple->dst_port, &a);
	LOG(LOG_LVL_SESSION, "flow.open", "tcp %s port %u to %s port %u: %s, %s",
	    addr_format(&tuple->src, src), tuple->src_port,
	    addr_format(&tuple->dst, dst), tuple->dst_port, verdict_name(a.verdict), a.reason);
}

/* One that was answered before there was anything to join. */
static void __attribute__((noinline)) log_refused(const struct ns_tuple *tuple, const char *why)
{
	static const struct flow nothing;

	flow_log_end(&nothing, tuple, why);
}

/* ---- a SYN ---------------------------------------------------------------------------- */

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
	flow_refuse(t, f, NS_REFUSE_RST, f->dns ? "no resolver" : "too many connections");
	flow_put(t->flows, f);
}

void flow_hold(struct tunnel *t, struct flow *f)
{
	f->state = FLOW_HELD;
	f->until = t->now + LIMIT_SYN_HELD_US;
	list_append(&t->flows->held, f);
	t->flows->n_held++;
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
		flow_hold(t, f);
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

bool flow_next_resolver(struct tunnel *t, struct flow *f)
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

/* ---- sessions come, or do not --------------------------------------------------------- */

static void set_live(struct flows *fs, struct flow *f, enum flow_state state)
{
	if (f->state == FLOW_HELD) {
		list_remove(&fs->held, f);
		fs->n_held--;
		list_append(&fs->live, f);
	}
	f->state = (uint8_t)state;
}

void flows_attach(struct tunnel *t)
{
	struct flow *f;

	while ((f = t->flows->held.head)) {
		set_live(t->flows, f, FLOW_OPENING);
		start(t, f);
	}
}

void flows_hopeless(struct tunnel *t)
{
	struct flow *f;

	while ((f = t->flows->held.head)) {
		flow_refuse(t, f, NS_REFUSE_HOST, "no session");
		flow_drop(t->flows, f);
	}
}

uint64_t flows_timer(struct tunnel *t)
{
	struct flow *f;

	while ((f = t->flows->held.head) && f->until <= t->now) {
		flow_refuse(t, f, NS_REFUSE_HOST, "no session in time");
		flow_drop(t->flows, f);
	}
	return f ? f->until : UINT64_MAX;
}

bool flows_waiting(const struct tunnel *t)
{
	return t->flows->held.head != NULL;
}
