/* SPDX-License-Identifier: MIT */
/*
 * link.c - the connection under the session: dialled, read, written, probed,
 * lost, and dialled again (docs/protocol.md, 1 to 6).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "client/engine.h"
#include "client/log.h"

/* The mux is there before the TUN is: nothing can be pulled until then. */
static size_t link_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	struct engine *e = ctx;

	return e->tunnel ? tunnel_mux_ops.pull(e->tunnel, user, dst, max) : 0;
}

static void link_closed(void *ctx, void *user)
{
	struct engine *e = ctx;

	if (e->tunnel)
		tunnel_mux_ops.closed(e->tunnel, user);
}

static const struct mux_ops link_mux_ops = { .pull = link_pull, .closed = link_closed };

static void link_state(struct engine *e, enum session_event ev, enum cause cause,
		       const char *why, uint64_t now)
{
	enum session_state before = e->session.state;

	if (!session_event(&e->session, ev, cause, why, now))
		return;
	if (cause == CAUSE_NONE)
		LOG(LOG_LVL_INFO, "session.state", "%s -> %s", session_state_name(before),
		    session_state_name(e->session.state));
	else
		LOG(LOG_LVL_WARNING, "session.state", "%s -> %s: %s (%s)",
		    session_state_name(before), session_state_name(e->session.state),
		    cause_info(cause)->code, why ? why : "");
	daemon_link_state(e);
}

/* ---- dialling ------------------------------------------------------------------ */

struct mux *link_mux_new(struct engine *e)
{
	struct mux_config config = { .role = MUX_CLIENT, .max_streams = 65536 };

	return mux_new(&config, &link_mux_ops, e);
}

static void link_fresh(struct engine *e, uint64_t now)
{
	e->rx_start = e->rx_end = 0;
	e->have_config = e->offer_pending = e->offer_due = e->attached = false;
	e->out_blocked = e->rx_starved = false;
	e->up_probe = e->offer_at = e->rtt_read = 0;
	e->live_since = now;
}

/* The connection carries frames from here on; CONFIG comes first. */
static void link_live(struct engine *e, uint64_t now)
{
	struct loop_src *src = conn_src(e->conn);
	int err;

	e->mux = link_mux_new(e);
	err = e->mux ? loop_add(e->loop, src, EPOLLIN) : -ENOMEM;
	if (err == -EEXIST)
		err = loop_mod(e->loop, src, EPOLLIN);
	if (err) {
		link_lost(e, CAUSE_CUT, 0, strerror(-err), now);
		return;
	}
	link_fresh(e, now);
	link_read(e, now);	/* frames may have come with the 101 */
}

static void link_progress(struct engine *e, uint64_t now)
{
	uint32_t retry_after = 0;
	enum cause cause;

	if (!e->conn || e->mux)
		return;
	switch (conn_stage(e->conn)) {
	case CONN_RESOLVING:
		break;
	case CONN_CONNECTING:
		link_state(e, SE_CONNECTING, CAUSE_NONE, NULL, now);
		break;
	case CONN_SECURING:
		link_state(e, SE_SECURING, CAUSE_NONE, NULL, now);
		break;
	case CONN_NEGOTIATING:
	case CONN_LIVE:
		if (!e->answer_by)
			e->answer_by = now + LIMIT_ANSWER_US;
		link_state(e, SE_NEGOTIATING, CAUSE_NONE, NULL, now);
		if (conn_stage(e->conn) == CONN_LIVE)
			link_live(e, now);
		break;
	case CONN_FAILED:
		cause = conn_cause(e->conn, &retry_after);
		link_lost(e, cause, retry_after, conn_why(e->conn), now);
		break;
	}
}

void link_dial(struct engine *e, uint64_t now)
{
	if (e->conn || !e->tls)
		return;
	e->env = (struct conn_env){
		.loop = e->loop, .socks = &e->socks, .tls = e->tls,
		.resolver = e->resolver, .profile = e->profile,
	};
	e->answer_by = 0;
	link_state(e, SE_RESOLVING, CAUSE_NONE, NULL, now);
	LOG(LOG_LVL_DEBUG, "session.dial", "host %s port %u",
	    e->profile->hosts[e->retry.host].name, e->profile->hosts[e->retry.host].port);
	e->conn = conn_dial(&e->env, e->retry.host, now);
	if (!e->conn)
		link_lost(e, CAUSE_CUT, 0, strerror(ENOMEM), now);
	else
		link_progress(e, now);
}

void link_dial_event(struct engine *e, struct loop_src *src, uint32_t events, uint64_t now)
{
	if (!e->conn || e->mux)
		return;
	conn_event(e->conn, src, events, now);
	link_progress(e, now);
}

/* ---- the end of a connection ------------------------------------------------------ */

static void link_drop(struct engine *e, bool clean, uint64_t now)
{
	if (e->attached)
		tunnel_detach(e->tunnel, now);
	e->attached = false;
	if (e->mux)
		e->kept_probes += mux_counters(e->mux)->probes_out;
	mux_free(e->mux);
	e->mux = NULL;
	conn_close(e->conn, clean);
	e->conn = NULL;
	buf_unref(e->rx);
	e->rx = NULL;
	e->rx_start = e->rx_end = 0;
	e->answer_by = 0;
	e->offer_pending = e->offer_due = e->have_config = e->goodbye = false;
}

void link_lost(struct engine *e, enum cause cause, uint32_t retry_after_s,
	       const char *why, uint64_t now)
{
	const struct cause_info *info = cause_info(cause);
	enum retry_class class;
	uint32_t random = 0;
	char text[256];

	snprintf(text, sizeof(text), "%s", why ? why : "");	/* why may die with the connection */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint32_t)now;
	if (e->mux && e->attached)
		LOG(LOG_LVL_SESSION, "session.end",
		    "%s after %" PRIu64 " ms, last inbound %" PRIu64 " ms ago, %u probes in this round",
		    info->code, (now - e->live_since) / USEC_PER_MSEC,
		    (now - e->probe.last_in) / USEC_PER_MSEC, e->probe.sent);
	link_drop(e, e->goodbye, now);
	class = retry_failed(&e->retry, cause, retry_after_s, random, now);
	e->attempts_over = e->retry.round > 0;
	if (e->retry.next != UINT64_MAX)
		LOG(LOG_LVL_DEBUG, "session.retry", "%s: dial host %u again in %" PRIu64 " ms",
		    info->code, e->retry.host,
		    (e->retry.next > now ? e->retry.next - now : 0) / USEC_PER_MSEC);
	if (e->tunnel)
		tunnel_set_hopeless(e->tunnel, class != RETRY_NETWORK, now);
	link_state(e, class == RETRY_NETWORK ? SE_LOST :
		   class == RETRY_BROKEN ? SE_BROKEN : SE_REFUSED, cause, text, now);
	daemon_link_state(e);	/* also without a change: a waiting connect wants each cause */
}

void link_leave(struct engine *e, uint64_t now)
{
	const uint8_t *p;
	size_t len;

	if (e->mux) {
		mux_goaway(e->mux, MUX_BYE, 0, "");
		while ((p = mux_output(e->mux, LIMIT_CHUNK, &len, now))) {
			ssize_t n = conn_write(e->conn, p, len);

			if (n <= 0)
				break;
			mux_written(e->mux, (size_t)n);
		}
		conn_flush(e->conn);
	}
	link_drop(e, true, now);
}

void link_stop(struct engine *e, uint64_t now)
{
	link_state(e, SE_STOP, CAUSE_NONE, NULL, now);
	link_leave(e, now);
}

/* ---- CONFIG and up ------------------------------------------------------------------ */

static void link_keep_address(const struct engine *e, struct plan_offer *o)
{
	const struct plan_offer *has = &e->offer;

	if (!addr_equal(&has->addr4, &o->addr4) || !addr_equal(&has->addr6, &o->addr6) ||
	    has->mtu != o->mtu)
		LOG(LOG_LVL_WARNING, "config.address",
		    "Sentry offers another address or MTU; the interface keeps its own");
	o->addr4 = has->addr4;
	o->addr6 = has->addr6;
	o->mtu = has->mtu;
}

/* Who wins: the profile before Sentry; mtu is the smaller of both (section 8). */
int link_offer_make(struct engine *e, const struct profile *p, const struct atp_config *c,
		    struct plan_offer *out)
{
	struct plan_offer *o = out;
	uint32_t i;

	memset(o, 0, sizeof(*o));
	o->addr4 = p->tun4.family ? p->tun4 : c->interface4;
	o->addr6 = p->tun6.family ? p->tun6 : c->interface6;
	o->mtu = c->mtu < p->mtu ? c->mtu : p->mtu;
	if (p->n_resolvers) {
		o->n_resolvers = p->n_resolvers;
		memcpy(o->resolvers, p->resolvers, sizeof(o->resolvers));
	} else {
		o->n_resolvers = c->n_dns;
		memcpy(o->resolvers, c->dns, sizeof(c->dns));
	}
	if (p->n_search) {
		o->n_search = p->n_search;
		memcpy(o->search, p->search, sizeof(o->search));
	} else {
		o->n_search = c->n_search;
		for (i = 0; i < c->n_search; i++)
			memcpy(o->search[i], c->search[i], sizeof(c->search[i]));
	}
	if (e->tunnel)
		link_keep_address(e, o);
	return o->addr4.family || o->addr6.family ? 0 : -EPROTO;
}

/*
 * Sentry broke the protocol, and the mux has the GOAWAY that says so.  As far
 * as it goes at once: nobody is kept waiting for the sake of one that lies.
 */
static void link_protocol_error(struct engine *e, const char *why, uint64_t now)
{
	e->out_blocked = false;
	link_write(e, now);
	e->goodbye = true;
	link_lost(e, CAUSE_PROTOCOL, 0, why, now);
}

/* The same where the mux could not see it. */
static void link_violated(struct engine *e, const char *why, uint64_t now)
{
	mux_goaway(e->mux, MUX_PROTOCOL_ERROR, 0, why);
	link_protocol_error(e, why, now);
}

/*
 * Have the offer applied: one at a time, and later ones of a session not
 * faster than an honest Sentry makes them.  Return: when to look again
 */
static uint64_t link_offer(struct engine *e, uint64_t now)
{
	if (!e->offer_due || e->offer_pending || standby_waits(e))
		return UINT64_MAX;
	if (now < e->offer_at)
		return e->offer_at;
	e->offer_due = false;
	e->offer_pending = true;
	e->offer_at = now + LIMIT_CONFIG_US;
	daemon_link_offer(&e->offer);
	return UINT64_MAX;
}

static void link_log_config(const struct plan_offer *o, const struct atp_config *c)
{
	char addr4[ADDR_STRLEN], addr6[ADDR_STRLEN], dns[ADDR_STRLEN];

	LOG(LOG_LVL_DEBUG, "config.offer",
	    "addresses %s, %s, MTU %u, %u resolvers from %s, %u search domains, %u streams",
	    addr_format(&o->addr4, addr4), addr_format(&o->addr6, addr6), o->mtu,
	    o->n_resolvers, addr_format(&o->resolvers[0], dns), o->n_search, c->max_streams);
}

static void link_config(struct engine *e, const struct mux_event *ev, uint64_t now)
{
	struct plan_offer offer;
	char why[256];
	bool differs;

	if (atp_config_parse((const char *)ev->data, ev->len, &e->config, why, sizeof(why)) < 0) {
		link_violated(e, why, now);
		return;
	}
	if (why[0])
		LOG(LOG_LVL_WARNING, "config.entry", "%s", why);
	mux_set_max_streams(e->mux, e->config.max_streams);
	if (link_offer_make(e, e->profile, &e->config, &offer) < 0) {
		link_violated(e, "CONFIG names no interface address and the profile has no TunIP",
			      now);
		return;
	}
	differs = memcmp(&offer, &e->offer, sizeof(offer)) != 0;
	e->offer = offer;
	e->have_config = true;
	link_log_config(&offer, &e->config);
	link_state(e, SE_CONFIGURING, CAUSE_NONE, NULL, now);
	if (!e->attached || differs)
		e->offer_due = true;
	link_offer(e, now);
}

void link_profile_changed(struct engine *e, uint64_t now)
{
	const struct profile *p = e->profile;
	struct plan_offer offer;

	if (e->conn)
		conn_set_profile(e->conn, p);
	if (e->attached)
		probe_tune(&e->probe, p->probe_idle_s, p->probe_interval_s, p->probe_count);
	/* without a CONFIG the next one makes the offer */
	if (e->have_config && link_offer_make(e, p, &e->config, &offer) == 0 &&
	    memcmp(&offer, &e->offer, sizeof(offer))) {
		e->offer = offer;
		e->offer_due = true;
		e->offer_at = now;	/* the daemon asked for it */
		link_offer(e, now);
	}
}

void link_applied(struct engine *e, int error, uint64_t now)
{
	if (!e->offer_pending || !e->mux)
		return;		/* the connection it was for is gone */
	e->offer_pending = false;
	if (error == -EADDRINUSE || error == -EINVAL) {
		link_violated(e, error == -EINVAL ? "Sentry offers what it may not" :
			      "Sentry offers an address that this machine already has", now);
		return;
	}
	if (error || !e->tunnel) {
		link_lost(e, CAUSE_CUT, 0, "the daemon could not apply what Sentry offers", now);
		return;
	}
	tunnel_set_offer(e->tunnel, &e->offer);
	if (e->attached)
		return;		/* a later CONFIG */
	if (getrandom(&e->up_probe, sizeof(e->up_probe), GRND_NONBLOCK) != sizeof(e->up_probe))
		e->up_probe = now;
	e->up_probe |= 1;	/* 0 means none */
	mux_probe(e->mux, e->up_probe);
}

static void link_up(struct engine *e, uint64_t now)
{
	struct ipaddr addr;
	char text[ADDR_STRLEN];
	uint16_t port;
	bool pinned;
	uint8_t sha[32];

	e->up_probe = 0;
	e->answer_by = 0;
	e->attached = true;
	probe_init(&e->probe, e->profile->probe_idle_s, e->profile->probe_interval_s,
		   e->profile->probe_count, now);
	retry_up(&e->retry, now);
	e->attempts_over = false;
	conn_peer(e->conn, &addr, &port, sha, &pinned);
	LOG(LOG_LVL_DEBUG, "session.tls", "%s, %s, TLS session %s", conn_tls_version(e->conn),
	    conn_cipher(e->conn), conn_resumed(e->conn) ? "resumed" : "new");
	LOG(LOG_LVL_INFO, "session.up", "Sentry %s at %s port %u, %s, %s",
	    e->profile->hosts[e->retry.host].name, addr_format(&addr, text), port,
	    conn_tls_version(e->conn), pinned ? "pinned" : "NOT pinned");
	link_state(e, SE_UP, CAUSE_NONE, NULL, now);
	tunnel_set_hopeless(e->tunnel, false, now);
	tunnel_attach(e->tunnel, e->mux, now);
}

void link_adopt(struct engine *e, struct link_start *s, uint64_t now)
{
	link_fresh(e, now);
	e->conn = s->conn;
	e->mux = s->mux;
	e->rx = s->rx;
	e->rx_start = s->rx_start;
	e->rx_end = s->rx_end;
	e->out_blocked = s->out_blocked;
	e->config = s->config;
	e->offer = s->offer;
	e->have_config = true;
	retry_init(&e->retry, e->profile->n_hosts, now);
	e->retry.host = s->host;
	mux_set_max_streams(e->mux, e->config.max_streams);
	tunnel_set_offer(e->tunnel, &e->offer);
	link_state(e, SE_CONFIGURING, CAUSE_NONE, NULL, now);
	link_up(e, now);
}

static void link_goaway(struct engine *e, const struct mux_event *ev, uint64_t now)
{
	enum cause cause = CAUSE_GOAWAY_INTERNAL;
	char text[128], why[200];

	switch ((enum mux_goaway)ev->u.goaway.reason) {
	case MUX_BYE:
		cause = CAUSE_GOAWAY_BYE;
		break;
	case MUX_DRAINING:	/* a second session beside this one is not built yet */
		cause = CAUSE_DRAINING;
		break;
	case MUX_REVOKED:
		cause = CAUSE_REVOKED;
		break;
	case MUX_PROTOCOL_ERROR:
		cause = CAUSE_PROTOCOL;
		break;
	case MUX_REPLACED:
		cause = CAUSE_REPLACED;
		break;
	case MUX_INTERNAL:
		break;
	}
	snprintf(why, sizeof(why), "Sentry ended the session: %s",
		 log_printable((const char *)ev->data, ev->len, text, sizeof(text)));
	link_lost(e, cause, 0, why, now);
}

/* ---- reading -------------------------------------------------------------------------- */

/* Room for at least one more record behind what is still incomplete. */
static bool link_room(struct engine *e)
{
	size_t held = e->rx_end - e->rx_start;
	struct buf *fresh;

	if (e->rx && e->rx->size - e->rx_end >= LIMIT_DATA + LIMIT_FRAME_HEADER)
		return true;
	if (e->rx && e->rx->refs == 1) {	/* nobody else looks at it: use it again */
		memmove(e->rx->data, e->rx->data + e->rx_start, held);
	} else {
		fresh = buf_get(e->rx_pool);
		if (!fresh)
			return false;
		if (held)
			memcpy(fresh->data, e->rx->data + e->rx_start, held);
		buf_unref(e->rx);
		e->rx = fresh;
	}
	e->rx_start = 0;
	e->rx_end = held;
	return true;
}

static void link_event(struct engine *e, const struct mux_event *ev, uint64_t now)
{
	switch (ev->type) {
	case MUX_EV_CONFIG:
		link_config(e, ev, now);
		break;
	case MUX_EV_GOAWAY:
		link_goaway(e, ev, now);
		break;
	case MUX_EV_PROBE_REPLY:
		LOG(LOG_LVL_SESSION, "probe.answered", "%u were sent in this round",
		    e->up_probe ? 1 : e->probe.sent);
		if (e->up_probe && ev->u.opaque == e->up_probe)
			link_up(e, now);
		break;
	case MUX_EV_PROBE:
	case MUX_EV_OPEN:	/* a server's event: the mux refuses it */
		break;
	case MUX_EV_OPENED:
	case MUX_EV_REFUSED:
	case MUX_EV_DATA:
	case MUX_EV_FIN:
	case MUX_EV_RESET:
	case MUX_EV_DGRAM:
	case MUX_EV_DGRAM_ERROR:
		if (e->attached)
			tunnel_mux_event(e->tunnel, ev, e->rx, now);
		break;
	}
}

/* Return: false when the connection is gone. */
static bool link_consume(struct engine *e, uint64_t now)
{
	struct mux_event ev;
	char why[200];
	size_t used;
	int got;

	while (e->rx_start < e->rx_end) {
		got = mux_recv(e->mux, e->rx->data + e->rx_start, e->rx_end - e->rx_start,
			       &used, &ev, now);
		if (got < 0) {
			snprintf(why, sizeof(why), "%s", mux_error(e->mux));
			link_protocol_error(e, why, now);
			return false;
		}
		e->rx_start += used;
		if (!got)
			break;
		link_event(e, &ev, now);
		if (!e->mux)
			return false;
	}
	return true;
}

#define RTT_LOOK_US	(10 * USEC_PER_MSEC)

/* A system call: not for every burst. */
static void link_rtt(struct engine *e, uint64_t now)
{
	if (now - e->rtt_read < RTT_LOOK_US)
		return;
	e->rtt_read = now;
	mux_set_rtt(e->mux, conn_rtt_us(e->conn));
}

void link_read(struct engine *e, uint64_t now)
{
	uint32_t retry_after = 0;
	size_t total = 0;
	ssize_t n = -EAGAIN;
	enum cause cause;

	if (!e->mux)
		return;
	while (total < LIMIT_BURST) {
		e->rx_starved = !link_room(e);
		if (e->rx_starved) {
			loop_mod(e->loop, conn_src(e->conn), e->out_blocked ? EPOLLOUT : 0);
			break;
		}
		n = conn_read(e->conn, e->rx->data + e->rx_end, e->rx->size - e->rx_end);
		if (n <= 0)
			break;
		e->rx_end += (size_t)n;
		total += (size_t)n;
		if (!link_consume(e, now))
			return;
	}
	if (total) {
		e->bytes_in += total;
		mux_recv_done(e->mux, now);
		link_rtt(e, now);
		if (e->attached) {
			probe_inbound(&e->probe, now);
			link_state(e, SE_INBOUND, CAUSE_NONE, NULL, now);
		}
	}
	if (n == 0) {
		link_lost(e, CAUSE_CUT, 0, "Sentry closed the connection", now);
	} else if (n < 0 && n != -EAGAIN) {
		cause = conn_cause(e->conn, &retry_after);
		link_lost(e, cause, retry_after, conn_why(e->conn), now);
	}
}

/* ---- writing -------------------------------------------------------------------------- */

#define LOWAT_LOOK_US	(100 * USEC_PER_MSEC)

/*
 * What the kernel has not sent yet stays small: 50 ms of the rate of late
 * (conn_lowat() keeps the bounds), so that a key press does not wait behind it.
 */
static void link_tune(struct engine *e, uint64_t now)
{
	uint64_t took = now - e->tune_since;

	if (took < LOWAT_LOOK_US)
		return;
	conn_lowat(e->conn, (uint32_t)((e->bytes_out - e->tune_bytes) * 50 * USEC_PER_MSEC / took));
	e->tune_since = now;
	e->tune_bytes = e->bytes_out;
}

void link_write(struct engine *e, uint64_t now)
{
	const uint8_t *p = NULL;
	size_t len, total = 0;
	ssize_t n = 0;

	if (!e->mux)
		return;
	/* asked before it leaves: a lone datagram leaves no trace in the mux */
	e->wanted |= mux_wants_to_send(e->mux);
	while (!e->out_blocked && total < LIMIT_BURST) {
		p = mux_output(e->mux, LIMIT_CHUNK, &len, now);
		if (!p)
			break;
		n = conn_write(e->conn, p, len);
		if (n <= 0)
			break;
		mux_written(e->mux, (size_t)n);
		total += (size_t)n;
	}
	if (n >= 0 && !e->out_blocked)
		n = conn_flush(e->conn);
	e->bytes_out += total;
	if (total)
		link_tune(e, now);
	if (n == -EAGAIN || (p && total >= LIMIT_BURST))
		e->out_blocked = true;
	else if (n < 0)
		return;		/* broken for writing: what came is still read, then it is lost */
	loop_mod(e->loop, conn_src(e->conn),
		 (e->rx_starved ? 0 : EPOLLIN) | (e->out_blocked ? EPOLLOUT : 0));
}

/* ---- time ------------------------------------------------------------------------------- */

static uint64_t link_probes(struct engine *e, uint64_t now)
{
	bool wants = e->wanted || mux_wants_to_send(e->mux);
	uint64_t opaque = now;

	e->wanted = false;

	switch (probe_step(&e->probe, wants, now)) {
	case PROBE_NOTHING:
		break;
	case PROBE_SEND:
		if (e->probe.sent == 1)
			e->probe_rounds++;
		LOG(LOG_LVL_SESSION, "probe.sent", "%u of %u, last inbound %" PRIu64 " ms ago",
		    e->probe.sent, e->probe.count, (now - e->probe.last_in) / USEC_PER_MSEC);
		mux_probe(e->mux, opaque);
		link_state(e, SE_PROBING, CAUSE_NONE, NULL, now);
		break;
	case PROBE_DEAD:
		link_lost(e, CAUSE_PROBES, 0, "no answer to any probe", now);
		return UINT64_MAX;
	}
	return probe_deadline(&e->probe, wants);
}

uint64_t link_timer(struct engine *e, uint64_t now)
{
	uint64_t until = UINT64_MAX, t;

	if (e->conn && !e->mux) {
		if (now >= conn_deadline(e->conn)) {
			conn_timer(e->conn, now);
			link_progress(e, now);
		}
		if (e->conn && !e->mux)
			until = conn_deadline(e->conn);
	}
	if (e->mux) {
		t = mux_timer(e->mux, now);
		until = t < until ? t : until;
	}
	if (e->mux) {
		t = link_offer(e, now);
		until = t < until ? t : until;
	}
	if (e->mux && e->answer_by && !e->attached) {
		if (now >= e->answer_by)
			link_lost(e, CAUSE_TIMEOUT, 0, e->have_config ?
				  "no answer to the first probe within 10 s" :
				  "no CONFIG within 10 s of the request", now);
		else
			until = e->answer_by < until ? e->answer_by : until;
	}
	if (e->attached) {
		/* who only downloads learns by RST that Sentry gave the connection up */
		conn_keepalive(e->conn, tunnel_counters(e->tunnel)->tcp_open > 0);
		t = link_probes(e, now);
		until = t < until ? t : until;
	}
	if (e->attached && conn_key_worn(e->conn))
		link_lost(e, CAUSE_CUT, 0, "64 GiB with the same TLS 1.2 keys: dialling again", now);
	if (!e->conn && e->tls && e->session.state != SESSION_FAILED) {
		if (now >= e->retry.next)
			link_dial(e, now);
		until = e->conn ? now : e->retry.next < until ? e->retry.next : until;
	}
	return until;
}
