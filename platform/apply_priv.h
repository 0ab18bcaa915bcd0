/* SPDX-License-Identifier: MIT */
/* apply_priv.h - what apply.c (doing) and undo.c (undoing) share. */
#ifndef APPTUNNEL_APPLY_PRIV_H
#define APPTUNNEL_APPLY_PRIV_H

#include "platform/apply.h"
#include "platform/journal.h"

struct apply {
	const struct sys_ops *ops;
	void *ctx;
	void (*say)(void *arg, const char *line);
	void *say_arg;
	char state_dir[PROFILE_PATH_MAX];
	char stem[33];
	int dir;			/* the state folder, once needed; else -1 */
	struct journal *j;		/* NULL: nothing is applied */
};

/* apply_open_dir() - make and open the state folder.  0 or a negative errno */
int apply_open_dir(struct apply *a, bool make);

/* apply_other_has() - the item in the journal of another profile, live or not;
 * *old takes a sysctl's first value */
bool apply_other_has(const struct apply *a, const struct plan_item *i, uint32_t *old);

/* undo_rec() - one record back; prints, marks, tolerates what is gone already */
int undo_rec(struct apply *a, size_t index);

/*
 * undo_back() - all records from the last down to @first that are of @stages
 * (bits: 1 << PLAN_LOCK, 1 << PLAN_TUNNEL), going on past failures
 * @keep_dns: but for PLAN_DNS
 * Return: 0, or the first error; @why (unless NULL) names what stayed
 */
int undo_back(struct apply *a, size_t first, unsigned int stages, bool keep_dns,
	      char *why, size_t size);

#define UNDO_ALL	(1u << PLAN_LOCK | 1u << PLAN_TUNNEL)

/* undo_finish() - the journal is empty: delete it.  0 or a negative errno */
int undo_finish(struct apply *a);

/* undo_stale() - undo what a dead daemon left under this stem.  0: also when
 * there was nothing; -EBUSY: it lives; or a negative errno */
int undo_stale(struct apply *a);

#endif
