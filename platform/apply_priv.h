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
	uint64_t nft_sum;		/* of the rule set that stands; 0: not known */
};

/* apply_open_dir() - make and open the state folder.  0 or a negative errno */
int apply_open_dir(struct apply *a, bool make);

/* apply_items() - announce and do @items, those of the LOCK stage first; what the
 * journal holds is left alone.  0 or a negative errno and @why */
int apply_items(struct apply *a, const struct plan *plan, const struct plan_item *items, size_t n,
		char *why, size_t size);

/* apply_redo() - do what stands in the journal once more */
int apply_redo(struct apply *a, const struct plan *plan, size_t index, char *why, size_t size);

/* apply_nft_again() - put the rule set of @plan in the place of the one that
 * stands, in one transaction; not @force: only if it is another one */
int apply_nft_again(struct apply *a, const struct plan *plan, bool force, char *why, size_t size);

/*
 * apply_read_back() - does the machine hold what the journal says of @stages
 * (bits)?  What somebody removed meanwhile is set again
 */
int apply_read_back(struct apply *a, const struct plan *plan, unsigned int stages, char *why,
		    size_t size);

/* apply_forget_lost_dns() - our resolv.conf was written over by others: no longer ours */
void apply_forget_lost_dns(struct apply *a);

/* apply_other_has() - the item in the journal of another profile, live or not;
 * *old takes a sysctl's first value */
bool apply_other_has(const struct apply *a, const struct plan_item *i, uint32_t *old);

/* undo_rec() - one record back; prints, marks, tolerates what is gone already */
int undo_rec(struct apply *a, size_t index);

/* undo_explain() - "COMMAND THAT UNDOES: error" */
void undo_explain(struct apply *a, const struct plan_item *i, int err, char *why, size_t size);

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
