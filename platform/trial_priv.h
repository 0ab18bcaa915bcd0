/* SPDX-License-Identifier: MIT */
/*
 * trial_priv.h - what trial.c, trial_ready.c (does it work?) and trial_request.c
 * (apply, confirm, rollback) share.
 */
#ifndef APPTUNNEL_TRIAL_PRIV_H
#define APPTUNNEL_TRIAL_PRIV_H

#include "platform/daemon.h"

#define VERSION_STAYS	UINT64_MAX	/* struct store_trial's version: no older one comes back */

/* ---- trial.c ------------------------------------------------------------------ */

/* trial_find() - NULL: the profile is not on trial; @stem "": one that is free */
struct trial *trial_find(struct daemon *d, const char *stem);
/* trial_make() - that of the profile, empty, or a free one.  NULL: there is none */
struct trial *trial_make(struct daemon *d, const char *stem);
/* trial_keep() - for good; @w: who is told of a trouble with that, or NULL.  @t is free then */
void trial_keep(struct daemon *d, struct trial *t, struct client *w);
/* trial_back() - the profile before: in the store at once, the session as soon as it can.
 * Whoever waits for it is answered */
void trial_back(struct daemon *d, struct trial *t, const char *why);

/* ---- trial_request.c ---------------------------------------------------------- */

/*
 * trial_answer() - to all who wait for something about this profile
 * @rolled: the words before its name, to those who rolled it back
 * @why, @so: to whoever waits for an apply; @why NULL: nothing
 */
void trial_answer(struct daemon *d, const char *stem, const char *rolled, const char *why,
		  const char *so);
/* trial_unwanted() - did whoever applied it go, or somebody roll it back, while it was being
 * taken into use?  @why: set then */
bool trial_unwanted(struct daemon *d, const char *stem, const char **why);

/* ---- trial_ready.c ------------------------------------------------------------ */

/* trial_ready_timer() - look, or have a child look; t->try_at is the next time.  What was
 * the last to be seen ends the trial with trial_keep(), unless it waits for a confirmation */
void trial_ready_timer(struct daemon *d, struct trial *t);
/* trial_not_seen() - what the time-out is to be told as */
const char *trial_not_seen(const struct trial *t);

#endif
