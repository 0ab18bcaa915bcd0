/* SPDX-License-Identifier: MIT */
/* session.c - see session.h: the table of state x event */
#include "client/session.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[SESSION_DOWN] = "down", [SESSION_RESOLVING] = "resolving",
	[SESSION_CONNECTING] = "connecting", [SESSION_SECURING] = "securing",
	[SESSION_NEGOTIATING] = "negotiating", [SESSION_CONFIGURING] = "configuring",
	[SESSION_UP] = "up", [SESSION_PROBING] = "probing",
	[SESSION_RECONNECTING] = "reconnecting", [SESSION_REFUSED] = "refused",
	[SESSION_FAILED] = "failed",
};
static_assert(sizeof(names) / sizeof(names[0]) == SESSION_STATES, "a name for each state");

#define D	SESSION_DOWN
#define RS	SESSION_RESOLVING
#define CN	SESSION_CONNECTING
#define SC	SESSION_SECURING
#define NG	SESSION_NEGOTIATING
#define CF	SESSION_CONFIGURING
#define UP	SESSION_UP
#define PB	SESSION_PROBING
#define RC	SESSION_RECONNECTING
#define RF	SESSION_REFUSED
#define FL	SESSION_FAILED

/*
 * Once it was up, the steps of a new dial do not show: to the apps and to
 * people it is one thing, "reconnecting", until it is up or refused.
 */
static const uint8_t table[SESSION_STATES][SESSION_EVENTS] = {
	/*        resolving conn sec neg conf up  prob inb lost refu brok stop */
	[D]  = { RS,        D,   D,  D,  D,   D,  D,   D,  D,   D,   FL,  D },
	[RS] = { RS,        CN,  SC, NG, CF,  RS, RS,  RS, RS,  RF,  FL,  D },
	[CN] = { RS,        CN,  SC, NG, CF,  CN, CN,  CN, RS,  RF,  FL,  D },
	[SC] = { RS,        CN,  SC, NG, CF,  SC, SC,  SC, RS,  RF,  FL,  D },
	[NG] = { RS,        CN,  SC, NG, CF,  NG, NG,  NG, RS,  RF,  FL,  D },
	[CF] = { RS,        CN,  SC, NG, CF,  UP, CF,  CF, RS,  RF,  FL,  D },
	[UP] = { UP,        UP,  UP, UP, UP,  UP, PB,  UP, RC,  RF,  FL,  D },
	[PB] = { PB,        PB,  PB, PB, PB,  UP, PB,  UP, RC,  RF,  FL,  D },
	[RC] = { RC,        RC,  RC, RC, RC,  UP, RC,  RC, RC,  RF,  FL,  D },
	[RF] = { RS,        CN,  SC, NG, CF,  UP, RF,  RF, RF,  RF,  FL,  D },
	[FL] = { FL,        FL,  FL, FL, FL,  FL, FL,  FL, FL,  FL,  FL,  D },
};

const char *session_state_name(enum session_state state)
{
	return names[state];
}

void session_init(struct session *s, uint64_t now)
{
	*s = (struct session){ .state = SESSION_DOWN, .since = now };
}

bool session_event(struct session *s, enum session_event ev, enum cause cause,
		   const char *why, uint64_t now)
{
	enum session_state next = table[s->state][ev];

	if (ev == SE_LOST || ev == SE_REFUSED || ev == SE_BROKEN) {
		s->cause = cause;
		snprintf(s->why, sizeof(s->why), "%s", why ? why : "");
	}
	/* a dial out of `refused` shows as reconnecting when the tunnel has been up */
	if (s->state == SESSION_REFUSED && s->was_up &&
	    next >= SESSION_RESOLVING && next <= SESSION_CONFIGURING)
		next = SESSION_RECONNECTING;
	if (next == s->state)
		return false;
	if (next == SESSION_UP && s->state != SESSION_PROBING) {
		if (s->was_up)
			s->reconnects++;
		s->was_up = true;
	}
	s->spent[s->state] += now - s->since;
	s->state = next;
	s->since = now;
	return true;
}
