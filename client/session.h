/* SPDX-License-Identifier: MIT */
/*
 * session.h - the state of the session with Sentry: one table of
 * state x event -> state, pure.  What a state means for the apps:
 *
 *	down		not started
 *	resolving ...	the first dial: shadows refuse, no interface yet
 *	configuring	Sentry's CONFIG is being applied by the daemon
 *	up, probing	flows run; probing: nothing came in for AtpProbeIdleSec
 *	reconnecting	interface, routes and DNS stay; SYNs are held 10 s
 *	refused		Sentry said no, or is not the one pinned; SYNs are
 *			answered at once; dialled again after 15 min
 *	failed		cannot be tried: profile or identity unusable
 */
#ifndef APPTUNNEL_SESSION_H
#define APPTUNNEL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "client/atp/retry.h"
#include "platform/helper_msg.h"

enum session_event {
	SE_RESOLVING,		/* a dial begins */
	SE_CONNECTING,		/* names are known */
	SE_SECURING,		/* TCP is there, TLS begins */
	SE_NEGOTIATING,		/* TLS is there, POST is out */
	SE_CONFIGURING,		/* 101 and CONFIG came */
	SE_UP,			/* plan read back, PROBE answered */
	SE_PROBING,		/* probes are out */
	SE_INBOUND,		/* something came in */
	SE_LOST,		/* network class: will be dialled again */
	SE_REFUSED,		/* refused or trust class */
	SE_BROKEN,		/* profile or identity */
	SE_STOP,
	SESSION_EVENTS
};

struct session {
	enum session_state state;
	uint64_t since;			/* monotonic us */
	uint64_t spent[SESSION_STATES];	/* us in each state, without the present one */
	bool was_up;			/* it has been up since the start */
	uint64_t reconnects;
	enum cause cause;		/* of the last LOST, REFUSED or BROKEN */
	char why[256];			/* its detail */
};

void session_init(struct session *s, uint64_t now);	/* down; times are monotonic us */
/*
 * session_event() - the only place where the state changes
 * @cause, @why: for LOST, REFUSED, BROKEN; else CAUSE_NONE and NULL
 * Return: true when the state changed
 */
bool session_event(struct session *s, enum session_event ev, enum cause cause,
		   const char *why, uint64_t now);
const char *session_state_name(enum session_state state);

#endif
