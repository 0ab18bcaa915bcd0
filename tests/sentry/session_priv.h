/* SPDX-License-Identifier: MIT */
/*
 * session_priv.h - the inside of a session; private to session.c (its beginning
 * and end) and session_io.c (its bytes)
 */
#ifndef SENTRY_SESSION_PRIV_H
#define SENTRY_SESSION_PRIV_H

#include "tests/sentry/sentry.h"

/* session_say() - an event line that says whose session it is; @more is taken */
void session_say(struct session *ses, const char *event, json_t *more);
/* session_drop_streams() - none is left, and no frame is read any more */
void session_drop_streams(struct session *ses);

#endif
