/* SPDX-License-Identifier: MIT */
/*
 * link_dial.c - a connection that does not stand yet: one Host after the other
 * is dialled (conn.c) until frames can come.  When, and which Host is next,
 * retry.c decides; why an attempt failed, link_lost() is told.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "client/link_priv.h"
#include "client/log.h"

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

/* ---- time ------------------------------------------------------------------ */

uint64_t link_dial_timer(struct engine *e, uint64_t now)
{
	if (!e->conn || e->mux)
		return UINT64_MAX;
	if (now >= conn_deadline(e->conn)) {
		conn_timer(e->conn, now);
		link_progress(e, now);
	}
	return e->conn && !e->mux ? conn_deadline(e->conn) : UINT64_MAX;
}

uint64_t link_redial(struct engine *e, uint64_t now)
{
	if (e->conn || !e->tls || e->session.state == SESSION_FAILED)
		return UINT64_MAX;
	if (now >= e->retry.next)
		link_dial(e, now);
	return e->conn ? now : e->retry.next;
}
