/* SPDX-License-Identifier: MIT */
/*
 * link_priv.h - what the files of the link share.  Private to link.c (up,
 * probed, lost), link_dial.c (until frames can come), link_io.c (bytes, both
 * ways) and link_config.c (what Sentry offers).  What the rest of the engine
 * calls is in engine.h.
 */
#ifndef APPTUNNEL_LINK_PRIV_H
#define APPTUNNEL_LINK_PRIV_H

#include "client/engine.h"

/* ---- link.c ---------------------------------------------------------------- */

/* link_state() - the session's state may be another one: log it, tell the daemon */
void link_state(struct engine *e, enum session_event ev, enum cause cause, const char *why,
		uint64_t now);
/* link_fresh() - forget what was of the connection before; frames come from here on */
void link_fresh(struct engine *e, uint64_t now);
/* link_up() - the PROBE that decides on it was answered */
void link_up(struct engine *e, uint64_t now);
/* link_goaway() - Sentry ends the session.  The connection is gone afterwards */
void link_goaway(struct engine *e, const struct mux_event *ev, uint64_t now);
/*
 * link_protocol_error() - Sentry broke the protocol, and the mux has the
 * GOAWAY that says so.  It leaves as far as it goes at once: nobody is kept
 * waiting for the sake of one that lies.  The connection is gone afterwards
 */
void link_protocol_error(struct engine *e, const char *why, uint64_t now);
/* link_violated() - the same where the mux could not see it */
void link_violated(struct engine *e, const char *why, uint64_t now);

/* ---- link_dial.c ----------------------------------------------------------- */

/* link_dial_timer() - of an attempt under way.  Return: the next deadline, us */
uint64_t link_dial_timer(struct engine *e, uint64_t now);
/* link_redial() - nothing is connected: is it time?  Return: when to look again, us */
uint64_t link_redial(struct engine *e, uint64_t now);

/* ---- link_config.c --------------------------------------------------------- */

/* link_config() - a CONFIG came.  The connection may be gone afterwards */
void link_config(struct engine *e, const struct mux_event *ev, uint64_t now);
/*
 * link_offer() - have the offer applied if it is due: one at a time, and later
 * ones of a session not faster than an honest Sentry makes them
 * Return: when to look again, us
 */
uint64_t link_offer(struct engine *e, uint64_t now);

#endif
