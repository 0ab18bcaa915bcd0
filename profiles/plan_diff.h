/* SPDX-License-Identifier: MIT */
/*
 * plan_diff.h - what is new in a plan, and what is over: so that a changed
 * profile touches nothing that stays.  Pure.
 */
#ifndef APPTUNNEL_PLAN_DIFF_H
#define APPTUNNEL_PLAN_DIFF_H

#include "profiles/plan.h"

struct plan_diff {
	size_t n_fresh, n_gone;
	uint32_t *fresh;	/* indexes of the new list, in its order */
	uint32_t *gone;		/* indexes of the old list, last first: the order of undoing */
};

/* plan_item_same() - do both say the same?  (Whether a value came from Sentry is no difference) */
bool plan_item_same(const struct plan_item *a, const struct plan_item *b);

/*
 * plan_item_clash() - do both want the same place in the kernel, so that one
 * must go before the other comes?  (A route and an exception of one prefix.)
 */
bool plan_item_clash(const struct plan_item *a, const struct plan_item *b);

/*
 * plan_diff_make() - compare two lists of changes; neither holds an item twice
 * @d: filled on success; release it with plan_diff_free()
 * Return: 0, -ENOMEM
 */
int plan_diff_make(struct plan_diff *d, const struct plan_item *old, size_t n_old,
		   const struct plan_item *now, size_t n_now);
void plan_diff_free(struct plan_diff *d);

/*
 * plan_items_lead() - does the list lead all of @p into the tunnel, or refuse
 * it?  By the longest route, shadow or exception that covers @p as a whole;
 * false: @p leaves as if there were no tunnel
 */
bool plan_items_lead(const struct plan_item *items, size_t n, const struct prefix *p);

#endif
