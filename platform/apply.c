/* SPDX-License-Identifier: MIT */
/*
 * apply.c - the plan meets the kernel: announce in the journal, do, read back.
 * One change of it is apply_item.c.
 */
#include "platform/apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/apply_priv.h"
#include "platform/dns_file.h"

#define BATCH		256	/* routes and rules that share one sync of the journal */
#define COMPACT_MIN	1024	/* dead records that are not worth a rewrite */

struct apply *apply_new(const struct sys_ops *ops, void *ctx,
			const char *state_dir, const char *stem,
			void (*say)(void *arg, const char *line), void *say_arg)
{
	struct apply *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->ops = ops;
	a->ctx = ctx;
	a->say = say;
	a->say_arg = say_arg;
	a->dir = -1;
	snprintf(a->stem, sizeof(a->stem), "%s", stem);
	if ((size_t)snprintf(a->state_dir, sizeof(a->state_dir), "%s", state_dir) >=
	    sizeof(a->state_dir)) {
		free(a);
		return NULL;
	}
	return a;
}

void apply_free(struct apply *a)
{
	if (!a)
		return;
	journal_close(a->j);
	if (a->dir >= 0)
		close(a->dir);
	free(a);
}

int apply_resolv_snapshot(struct apply *a, const char *resolv_conf)
{
	int err = apply_open_dir(a, true);

	return err ? err : dns_file_snapshot(a->dir, resolv_conf);
}

/* ---- many changes ------------------------------------------------------------------------ */

static bool in_batch(const struct plan_item *i)
{
	return i->kind == PLAN_SHADOW || i->kind == PLAN_THROW || i->kind == PLAN_ROUTE ||
	       i->kind == PLAN_INBOUND;
}

static bool live_dns(const struct apply *a)
{
	for (size_t k = 0; k < a->j->n; k++)
		if (a->j->recs[k].item.kind == PLAN_DNS && !a->j->recs[k].gone)
			return true;
	return false;
}

/*
 * Write the item into the journal, with what its undoing needs.
 * Return: 1: it is to be done; 0: it holds already and is nobody's to undo
 */
static int announce(struct apply *a, const struct plan *plan, const struct plan_item *i)
{
	uint32_t old = 0;
	int err;

	if (i->kind == PLAN_SYSCTL) {
		err = a->ops->sysctl_get(a->ctx, i->path, &old);
		if (err)
			return item_may_lack(i, err) ? 0 : err;
		/* another profile's journal knows what stood there before both */
		if (!apply_other_has(a, i, &old) && old == i->value)
			return 0;
	}
	if (i->kind == PLAN_DNS && !live_dns(a)) {
		err = dns_file_backup(a->dir, a->stem, plan->names.resolv_conf);
		if (err)
			return err;
	}
	err = journal_add(a->j, i, old);
	return err < 0 ? err : 1;
}

/* take back the announcement of records that were never tried */
static void retract(struct apply *a, size_t first)
{
	for (size_t k = first; k < a->j->n; k++)
		(void)journal_mark(a->j, k, '-');
}

/*
 * Announce @n items together, sync, and do them.  On failure what was done
 * stands in the journal, to be undone by the caller; the rest is retracted.
 */
static int run_batch(struct apply *a, const struct plan *plan,
		     const struct plan_item *const *items, size_t n, struct tun_out *t,
		     char *why, size_t size)
{
	size_t first = a->j->n, k = 0, at = first;
	bool held[BATCH];
	int err = 0;

	for (k = 0; k < n; k++) {
		int r = announce(a, plan, items[k]);

		if (r < 0) {
			snprintf(why, size, "announcing it in the journal: ");
			item_explain(plan, items[k], r, why + strlen(why), size - strlen(why));
			retract(a, first);
			return r;
		}
		held[k] = !r;
	}
	err = journal_sync(a->j);
	if (err) {
		snprintf(why, size, "the journal cannot be written: %s", strerror(-err));
		retract(a, first);
		return err;
	}
	for (k = 0; k < n; k++) {
		item_say(a, plan, items[k]);
		if (held[k])
			continue;
		err = item_do(a, plan, at, t);
		if (err && item_may_lack(items[k], err)) {
			(void)journal_mark(a->j, at, '-');
			err = 0;
		}
		if (err) {
			item_explain(plan, items[k], err, why, size);
			/* what exists is not ours; else it may be half done */
			retract(a, err == -EEXIST ? at : at + 1);
			return err;
		}
		at++;
	}
	return 0;
}

/* apply @items of @stage that the journal does not hold yet */
static int run_items(struct apply *a, const struct plan *plan, const struct plan_item *items,
		     size_t n, enum plan_stage stage, struct tun_out *t, char *why, size_t size)
{
	const struct plan_item *batch[BATCH];
	size_t in = 0, hint = 0;
	int err = 0, at;

	for (size_t k = 0; !err && k < n; k++) {
		if (items[k].stage != stage)
			continue;
		at = journal_find(a->j, &items[k], hint);
		if (at >= 0) {
			hint = (size_t)at + 1;
			continue;
		}
		if (in && (in == BATCH || !in_batch(&items[k]) || !in_batch(batch[in - 1]))) {
			err = run_batch(a, plan, batch, in, t, why, size);
			in = 0;
		}
		batch[in++] = &items[k];
	}
	return err || !in ? err : run_batch(a, plan, batch, in, t, why, size);
}

int apply_items(struct apply *a, const struct plan *plan, const struct plan_item *items, size_t n,
		char *why, size_t size)
{
	int err = run_items(a, plan, items, n, PLAN_LOCK, NULL, why, size);

	return err ? err : run_items(a, plan, items, n, PLAN_TUNNEL, NULL, why, size);
}

int apply_redo(struct apply *a, const struct plan *plan, size_t index, char *why, size_t size)
{
	int err;

	item_say(a, plan, &a->j->recs[index].item);
	err = item_do(a, plan, index, NULL);
	if (err)
		item_explain(plan, &a->j->recs[index].item, err, why, size);
	return err;
}

/* ---- reading back ------------------------------------------------------------------------ */

/*
 * Does the machine hold what the journal says of @stages?  What somebody removed
 * meanwhile is set again (a TUN and a file are not: that takes more); then
 * everything must be there.
 */
int apply_read_back(struct apply *a, const struct plan *plan, unsigned int stages, char *why,
		    size_t size)
{
	bool mended = true;
	size_t len;
	int err;

	for (int round = 0; round < 2 && mended; round++) {
		mended = false;
		a->ops->present(a->ctx, NULL, &plan->names);
		for (size_t k = 0; k < a->j->n; k++) {
			const struct plan_item *i = &a->j->recs[k].item;

			if (a->j->recs[k].gone || !(stages & 1u << i->stage))
				continue;
			err = item_look(a, plan, &a->j->recs[k]);
			if (err == -ENOENT && !round && i->kind != PLAN_TUN &&
			    i->kind != PLAN_DNS) {
				item_say(a, plan, i);
				(void)item_do(a, plan, k, NULL);	/* judged in the next round */
				mended = true;
			} else if (err) {
				snprintf(why, size, "read back, and not found: ");
				len = strlen(why);
				item_explain(plan, i, err, why + len, size - len);
				return err == -ENOENT ? -EIO : err;
			}
		}
	}
	return 0;
}

/* ---- the two stages ---------------------------------------------------------------------- */

int apply_lock(struct apply *a, const struct plan *plan, char *why, size_t size)
{
	char stayed[512] = "";
	size_t len;
	int err;

	if (a->j)
		return -EALREADY;
	err = apply_open_dir(a, true);
	if (!err)
		err = undo_stale(a);
	if (err == -EBUSY) {
		snprintf(why, size, "profile %s is in the hands of another daemon that uses %s",
			 a->stem, a->state_dir);
		return -EEXIST;
	}
	if (err == -EBADMSG) {
		snprintf(why, size, "%s/%s.journal cannot be read (damaged, or of another version): "
			 "see what it says, undo that by hand, then delete it", a->state_dir,
			 a->stem);
		return err;
	}
	if (err) {
		snprintf(why, size, "%s/%s.journal: %s", a->state_dir, a->stem, strerror(-err));
		return err == -EEXIST ? -EIO : err;
	}
	err = a->ops->conflict(a->ctx, &plan->names, why, size);
	if (err) {
		if (err != -EEXIST)
			snprintf(why, size, "looking for conflicts: %s", strerror(-err));
		return err;
	}
	err = journal_create(&a->j, a->dir, a->stem, &plan->names);
	if (err) {
		snprintf(why, size, "the journal in %s cannot be written: %s.  Without it nothing "
			 "is changed, for it could not be undone", a->state_dir, strerror(-err));
		return err == -EEXIST ? -EIO : err;
	}
	err = apply_inbound(a, plan, NULL, 0, why, size);
	if (err >= 0)
		err = run_items(a, plan, plan->items, plan->n, PLAN_LOCK, NULL, why, size);
	if (!err)
		err = apply_read_back(a, plan, 1u << PLAN_LOCK, why, size);
	if (!err)
		return 0;
	if (apply_undo(a, stayed, sizeof(stayed))) {
		len = strlen(why);
		snprintf(why + len, size - len, "; and it could not all be undone: %s", stayed);
	}
	return err;
}

/* records of the TUNNEL stage before @first that the plan no longer holds */
static int drop_others(struct apply *a, const struct plan *plan, size_t first)
{
	struct journal now = { .dir = -1, .fd = -1 };
	size_t hint = 0;
	int err = 0;

	now.recs = calloc(plan->n ? plan->n : 1, sizeof(*now.recs));
	if (!now.recs)
		return -ENOMEM;
	for (size_t k = 0; k < plan->n; k++)
		now.recs[now.n++].item = plan->items[k];
	for (size_t k = 0; !err && k < first; k++) {
		const struct journal_rec *r = &a->j->recs[k];
		int at;

		if (r->gone || r->item.stage != PLAN_TUNNEL)
			continue;
		at = journal_find(&now, &r->item, hint);
		if (at >= 0)
			hint = (size_t)at + 1;
		else if (r->item.kind == PLAN_DNS || r->item.kind == PLAN_LINK)
			err = journal_mark(a->j, k, '-');	/* written over */
		else
			err = undo_rec(a, k);
	}
	free(now.recs);
	return err;
}

/* the network's own tools wrote over our file: what they wrote is what is to be
 * kept from now on, so the file is taken over anew */
void apply_forget_lost_dns(struct apply *a)
{
	for (size_t k = 0; k < a->j->n; k++)
		if (a->j->recs[k].item.kind == PLAN_DNS && !a->j->recs[k].gone &&
		    !dns_file_ours(a->stem, a->j->names.resolv_conf))
			(void)journal_mark(a->j, k, '-');
}

int apply_tunnel(struct apply *a, const struct plan *plan, int *tun,
		 bool *vnet_hdr, char *why, size_t size)
{
	struct tun_out t = { .fd = -1 };
	size_t before;
	int err = 0;

	if (!a->j || !plan->offer) {
		snprintf(why, size, "there is no lock, or no offer");
		return -EINVAL;
	}
	if (a->j->n_gone > COMPACT_MIN && a->j->n_gone > a->j->n / 2)
		err = journal_compact(a->j);
	if (err)
		snprintf(why, size, "rewriting the journal: %s", strerror(-err));
	before = a->j->n;
	if (!err)	/* the tunnel's part builds on the lock's */
		err = apply_read_back(a, plan, 1u << PLAN_LOCK, why, size);
	if (!err)
		apply_forget_lost_dns(a);
	if (!err)
		err = run_items(a, plan, plan->items, plan->n, PLAN_TUNNEL, &t, why, size);
	if (!err) {
		/* the new stands before the old goes: removing the last address of an
		 * interface would flush its routes */
		err = drop_others(a, plan, before);
		if (err)
			snprintf(why, size, "removing what is over: %s", strerror(-err));
	}
	if (!err)
		err = apply_read_back(a, plan, UNDO_ALL, why, size);
	if (err) {
		if (t.fd >= 0)
			close(t.fd);
		(void)undo_back(a, 0, 1u << PLAN_TUNNEL, false, NULL, 0);
		return err;
	}
	*tun = t.fd;
	if (t.fd >= 0)
		*vnet_hdr = t.vnet_hdr;
	return 0;
}
