/* SPDX-License-Identifier: MIT */
/*
 * apply_change.c - from one plan to another while traffic flows.
 *
 * What leaves directly today and is to be tunnelled is refused first; what is
 * tunnelled already gets its new route before its new shadow, for a shadow that
 * is longer than the route would cut it off; what is over goes last, in the
 * order of undoing.  Each change is in the journal before it is made, so a crash
 * at any point leaves what undoing from the journal clears away.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/apply_priv.h"
#include "platform/dns_file.h"
#include "profiles/plan_diff.h"

struct change {
	struct apply *a;
	const struct plan *plan;
	struct plan_item *old;		/* what stands, as the journal says it */
	size_t *rec;			/* which record that is */
	size_t n;
	struct plan_diff diff;
	bool has_tun;			/* the tunnel's part stands and is to be changed, too */
	char *why;
	size_t size;
};

/* Connections from outside are of the moment, not of a plan: they go only with
 * the permission. */
static bool compared(const struct change *c, const struct plan_item *i)
{
	return i->kind != PLAN_INBOUND || !c->plan->profile->allow_inbound;
}

static int change_begin(struct change *c)
{
	const struct journal *j = c->a->j;

	c->old = calloc(j->n + 1, sizeof(*c->old));
	c->rec = calloc(j->n + 1, sizeof(*c->rec));
	if (!c->old || !c->rec)
		return -ENOMEM;
	for (size_t k = 0; k < j->n; k++) {
		if (j->recs[k].gone)
			continue;
		if (j->recs[k].item.kind == PLAN_TUN && c->plan->offer)
			c->has_tun = true;
		if (!compared(c, &j->recs[k].item))
			continue;
		c->rec[c->n] = k;
		c->old[c->n++] = j->recs[k].item;
	}
	return plan_diff_make(&c->diff, c->old, c->n, c->plan->items, c->plan->n);
}

static void change_end(struct change *c)
{
	plan_diff_free(&c->diff);
	free(c->old);
	free(c->rec);
}

static const struct plan_item *fresh(const struct change *c, size_t k)
{
	return &c->plan->items[c->diff.fresh[k]];
}

static bool leads_now(const struct change *c, const struct plan_item *i)
{
	return plan_items_lead(c->old, c->n, &i->prefix);
}

/* Apply those of the new items for which @pick says yes. */
static int run_picked(struct change *c, bool (*pick)(const struct change *c,
						     const struct plan_item *i))
{
	struct plan_item *items = calloc(c->diff.n_fresh + 1, sizeof(*items));
	size_t n = 0;
	int err;

	if (!items)
		return -ENOMEM;
	for (size_t k = 0; k < c->diff.n_fresh; k++) {
		/* the same in every plan; when they hold already, the journal has none */
		if (fresh(c, k)->kind != PLAN_SYSCTL && pick(c, fresh(c, k)))
			items[n++] = *fresh(c, k);
	}
	err = apply_items(c->a, c->plan, items, n, c->why, c->size);
	free(items);
	return err;
}

/* ---- first: nothing may leave that is to be tunnelled ------------------------ */

/* An exception inside what gets a shadow: it leaves directly, and shall go on so. */
static bool pick_stays_direct(const struct change *c, const struct plan_item *i)
{
	return i->kind == PLAN_THROW && !leads_now(c, i);
}

/* What cannot reach the tunnel yet has no flow that a shadow could cut. */
static bool pick_lock(const struct change *c, const struct plan_item *i)
{
	if (i->stage != PLAN_LOCK || i->kind == PLAN_THROW)
		return false;
	return i->kind != PLAN_SHADOW || !c->has_tun || !leads_now(c, i);
}

/* One thing of the kernel that moves from one stage to the other ([lock] Mode):
 * only the journal learns of it. */
static int adopt(struct change *c)
{
	struct journal *j = c->a->j;
	int err = 0;

	for (size_t k = 0; !err && k < c->diff.n_fresh; k++) {
		const struct plan_item *i = fresh(c, k);

		for (size_t g = 0; !err && i->kind == PLAN_SHADOW && g < c->diff.n_gone; g++) {
			const struct plan_item *o = &c->old[c->diff.gone[g]];

			if (o->kind != PLAN_SHADOW || o->stage == i->stage ||
			    !prefix_equal(&o->prefix, &i->prefix))
				continue;
			err = journal_add(j, i, 0);
			err = err < 0 ? err : journal_sync(j);
			if (!err)
				err = journal_mark(j, c->rec[c->diff.gone[g]], '-');
		}
	}
	if (err)
		snprintf(c->why, c->size, "the journal cannot be written: %s", strerror(-err));
	return err;
}

static int change_lock(struct change *c)
{
	int inbound = 0, err;

	err = adopt(c);
	if (!err) {
		inbound = apply_inbound(c->a, c->plan, c->old, c->n, c->why, c->size);
		err = inbound < 0 ? inbound : 0;
	}
	if (!err)
		err = run_picked(c, pick_stays_direct);
	if (!err)
		err = run_picked(c, pick_lock);
	if (!err)
		err = apply_nft_again(c->a, c->plan, inbound > 0, c->why, c->size);
	return err;
}

/* ---- then: the tunnel's part, and what is over -------------------------------- */

static bool pick_tunnel(const struct change *c, const struct plan_item *i)
{
	return i->stage == PLAN_TUNNEL && c->has_tun;
}

static bool pick_late_shadow(const struct change *c, const struct plan_item *i)
{
	return i->stage == PLAN_LOCK && i->kind == PLAN_SHADOW && !pick_lock(c, i);
}

static bool pick_late_throw(const struct change *c, const struct plan_item *i)
{
	return i->kind == PLAN_THROW && !pick_stays_direct(c, i);
}

static bool in_reach(const struct change *c, const struct plan_item *i)
{
	return i->stage == PLAN_LOCK || c->has_tun;
}

static int drop(struct change *c, size_t g)
{
	size_t rec = c->rec[c->diff.gone[g]];
	int err = undo_rec(c->a, rec);

	if (err)
		undo_explain(c->a, &c->a->j->recs[rec].item, err, c->why, c->size);
	return err;
}

/* What stands where something new is to stand; its shadow holds the place. */
static int drop_clashing(struct change *c)
{
	int err = 0;

	for (size_t g = 0; !err && g < c->diff.n_gone; g++) {
		const struct plan_item *o = &c->old[c->diff.gone[g]];
		bool clash = false;

		if ((o->kind != PLAN_THROW && o->kind != PLAN_ROUTE) || !in_reach(c, o))
			continue;
		for (size_t k = 0; !clash && k < c->diff.n_fresh; k++)
			clash = in_reach(c, fresh(c, k)) && plan_item_clash(o, fresh(c, k));
		if (clash)
			err = drop(c, g);
	}
	return err;
}

/* Is there something new of this kind that was written over the old? */
static bool written_over(const struct change *c, uint8_t kind)
{
	if (kind != PLAN_NFT && kind != PLAN_LINK && kind != PLAN_DNS)
		return false;
	for (size_t k = 0; k < c->plan->n; k++) {
		if (c->plan->items[k].kind == kind)
			return true;
	}
	return false;
}

/*
 * Going back: what was written over is in the journal still, and is written
 * again; so is what only may have been.
 */
static int write_again(struct change *c)
{
	int err = 0;

	for (size_t g = 0; !err && g < c->diff.n_gone; g++) {
		uint8_t kind = c->old[c->diff.gone[g]].kind;

		if (!c->has_tun || (kind != PLAN_LINK && kind != PLAN_DNS))
			continue;
		for (size_t k = 0; !err && k < c->n; k++) {
			const struct plan_item *i = &c->old[k];

			if (i->kind != kind || c->a->j->recs[c->rec[k]].gone)
				continue;
			for (size_t n = 0; n < c->plan->n; n++) {
				if (plan_item_same(&c->plan->items[n], i))
					err = apply_redo(c->a, c->plan, c->rec[k], c->why, c->size);
			}
		}
	}
	return err;
}

/* In which of three rounds the old goes. */
static int round_of(const struct change *c, const struct plan_item *o)
{
	if (o->kind == PLAN_THROW)
		return 2;	/* what it excepts leaves directly: not without its route */
	/* without its route it would cut off what a shorter new route takes */
	return o->kind == PLAN_SHADOW &&
	       plan_items_lead(c->plan->items, c->plan->n, &o->prefix) ? 0 : 1;
}

static int drop_gone(struct change *c)
{
	int err = 0;

	for (int round = 0; round < 3; round++) {
		for (size_t g = 0; !err && g < c->diff.n_gone; g++) {
			const struct plan_item *o = &c->old[c->diff.gone[g]];

			if (!in_reach(c, o) || round_of(c, o) != round)
				continue;
			if (written_over(c, o->kind))
				err = journal_mark(c->a->j, c->rec[c->diff.gone[g]], '-');
			else
				err = drop(c, g);
		}
	}
	return err;
}

static int change_rest(struct change *c)
{
	int err;

	err = drop_clashing(c);
	if (!err)
		err = run_picked(c, pick_tunnel);
	if (!err)
		err = write_again(c);
	if (!err)
		err = run_picked(c, pick_late_shadow);
	if (!err)
		err = run_picked(c, pick_late_throw);
	if (!err)
		err = drop_gone(c);
	if (!err)
		err = apply_read_back(c->a, c->plan, c->has_tun ? UNDO_ALL : 1u << PLAN_LOCK,
				      c->why, c->size);
	return err;
}

int apply_change(struct apply *a, const struct plan *plan, enum plan_stage upto, char *why,
		 size_t size)
{
	struct change c = { .a = a, .plan = plan, .why = why, .size = size };
	int err;

	if (!a->j) {
		snprintf(why, size, "nothing is locked");
		return -EINVAL;
	}
	snprintf(why, size, "no memory");
	apply_forget_lost_dns(a);
	err = change_begin(&c);
	if (!err)
		err = change_lock(&c);
	if (!err && upto == PLAN_TUNNEL)
		err = change_rest(&c);
	change_end(&c);
	if (!err)
		why[0] = '\0';
	return err;
}
