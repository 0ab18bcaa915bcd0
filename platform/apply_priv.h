/* SPDX-License-Identifier: MIT */
/*
 * apply_priv.h - what apply.c (doing), apply_item.c (one change of it),
 * apply_inbound.c, apply_change.c (from one plan to another) and undo.c share.
 */
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

/* The TUN that apply_tunnel() hands to its caller. */
struct tun_out {
	int fd;
	bool vnet_hdr;
};

/* ---- apply_item.c ---------------------------------------------------------- */

/* item_say() - "[#] COMMAND" */
void item_say(struct apply *a, const struct plan *plan, const struct plan_item *i);

/* item_explain() - "COMMAND: error" */
void item_explain(const struct plan *plan, const struct plan_item *i, int err, char *why,
		  size_t size);

/*
 * item_do() - do what stands in the journal as record @index
 * @t: takes the TUN; NULL: this is not the time to make one
 * Return: 0 or a negative errno
 */
int item_do(struct apply *a, const struct plan *plan, size_t index, struct tun_out *t);

/* item_may_lack() - is @err of this item no failure? */
bool item_may_lack(const struct plan_item *i, int err);

/* item_look() - does the machine hold it?  0, -ENOENT, or another negative errno */
int item_look(struct apply *a, const struct plan *plan, const struct journal_rec *r);

/* apply_nft_again() - put the rule set of @plan in the place of the one that
 * stands, in one transaction; not @force: only if it is another one */
int apply_nft_again(struct apply *a, const struct plan *plan, bool force, char *why, size_t size);

/* ---- apply_inbound.c ------------------------------------------------------- */

#define APPLY_INBOUND_LINE	160	/* bytes of an element of the rule set */
#define APPLY_INBOUND_TEXT	(APPLY_INBOUND_MAX * APPLY_INBOUND_LINE)

/*
 * apply_inbound() - keep the connections that @plan would lead into the tunnel
 * and that leave directly now
 * @old: @n_old items that stand already; what they lead into it is not of those
 * Return: how many; or a negative errno and @why
 */
int apply_inbound(struct apply *a, const struct plan *plan, const struct plan_item *old,
		  size_t n_old, char *why, size_t size);

/* apply_inbound_text() - those that the journal holds, as elements of the rule set;
 * @text is not touched when there are none */
void apply_inbound_text(const struct apply *a, char *text, size_t size);

/* ---- apply.c ---------------------------------------------------------------- */

/* apply_items() - announce and do @items, those of the LOCK stage first; what the
 * journal holds is left alone.  0 or a negative errno and @why */
int apply_items(struct apply *a, const struct plan *plan, const struct plan_item *items, size_t n,
		char *why, size_t size);

/* apply_redo() - do what stands in the journal once more */
int apply_redo(struct apply *a, const struct plan *plan, size_t index, char *why, size_t size);

/*
 * apply_read_back() - does the machine hold what the journal says of @stages
 * (bits)?  What somebody removed meanwhile is set again
 */
int apply_read_back(struct apply *a, const struct plan *plan, unsigned int stages, char *why,
		    size_t size);

/* apply_forget_lost_dns() - our resolv.conf was written over by others: no longer ours */
void apply_forget_lost_dns(struct apply *a);

/* ---- undo.c ------------------------------------------------------------------- */

/* apply_open_dir() - make and open the state folder.  0 or a negative errno */
int apply_open_dir(struct apply *a, bool make);

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
