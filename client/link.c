/* SPDX-License-Identifier: MIT */
/*
 * link.c - the connection under the session, as the session sees it: what
 * state it leads to, when it counts as up, how it is probed, lost and left
 * (docs/protocol.md, 1 to 6).
 *
 * link_dial.c makes the connection, link_io.c carries its bytes, link_config.c
 * has the daemon apply what Sentry offers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/random.h>

#include "client/link_priv.h"
#include "client/log.h"

void link_state(struct engine *e, enum session_event ev, enum cause cause,
		       const char *why, uint64_t now)
{
	enum session_state before = e->session.state;

	if (!session_event(&e->session, ev, cause, why, now))
		return;
	e->since_wall = time(NULL);
	if (cause == CAUSE_NONE)
		LOG(LOG_LVL_INFO, "session.state", "%s -> %s", session_state_name(before),
		    session_state_name(e->session.state));
	else
		LOG(LOG_LVL_WARNING, "session.state", "%s -> %s: %s (%s)",
		    session_state_name(before), session_state_name(e->session.state),
		    cause_info(cause)->code, why ? why : "");
	daemon_link_state(e);
}

/* ---- the beginning --------------------------------------------------------- */

void link_fresh(struct engine *e, uint64_t now)
{
	e->rx_start = e->rx_end = 0;
	e->have_config = e->offer_pending = e->offer_due = e->attached = false;
	e->out_blocked = e->rx_starved = false;
	e->up_probe = e->offer_at = e->rtt_read = 0;
	e->live_since = now;
}

void link_up(struct engine *e, uint64_t now)
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

/* ---- the end --------------------------------------------------------------- */

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

void link_protocol_error(struct engine *e, const char *why, uint64_t now)
{
	e->out_blocked = false;
	link_write(e, now);
	e->goodbye = true;
	link_lost(e, CAUSE_PROTOCOL, 0, why, now);
}

void link_violated(struct engine *e, const char *why, uint64_t now)
{
	mux_goaway(e->mux, MUX_PROTOCOL_ERROR, 0, why);
	link_protocol_error(e, why, now);
}

void link_goaway(struct engine *e, const struct mux_event *ev, uint64_t now)
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

/* ---- time ------------------------------------------------------------------ */

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

	if (!e->mux)
		until = link_dial_timer(e, now);
	if (e->mux) {
		t = mux_timer(e->mux, now);
		until = t < until ? t : until;
	}
	if (e->mux && e->offer_due) {
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
	if (!e->conn) {
		t = link_redial(e, now);
		until = t < until ? t : until;
	}
	return until;
}
