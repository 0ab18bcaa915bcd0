/* SPDX-License-Identifier: MIT */
/*
 * apply_inbound.c - TCP connections from outside that are older than the lock
 * ([lock] AllowInbound): their answers go on leaving directly, by a rule and an
 * element of the rule set each, until they end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/apply_priv.h"
#include "profiles/plan_diff.h"

int apply_inbound(struct apply *a, const struct plan *plan, const struct plan_item *old,
		  size_t n_old, char *why, size_t size)
{
	struct plan_item *items;
	int n, kept = 0, err;

	if (!plan->profile->allow_inbound)
		return 0;
	items = calloc(APPLY_INBOUND_MAX, sizeof(*items));
	if (!items)
		return -ENOMEM;
	n = a->ops->connections(a->ctx, items, APPLY_INBOUND_MAX);
	for (int k = 0; k < n; k++) {
		if (plan_covers(plan, &items[k].prefix.addr) &&
		    !plan_items_lead(old, n_old, &items[k].prefix) &&
		    journal_find(a->j, &items[k], 0) < 0)
			items[kept++] = items[k];
	}
	if (n < 0)
		snprintf(why, size, "listing the open connections: %s", strerror(-n));
	err = n < 0 ? n : apply_items(a, plan, items, (size_t)kept, why, size);
	free(items);
	return err ? err : kept;
}

/* A line of nft(8), @verb "add" or "delete".  Return: its length, below APPLY_INBOUND_LINE */
static size_t element(char *text, size_t size, const char *verb, const char *table,
		      const struct plan_item *i)
{
	char l[ADDR_STRLEN], p[ADDR_STRLEN];

	return (size_t)snprintf(text, size, "%s element inet %s open%u { %s . %u . %s . %u }\n",
				verb, table, i->family, addr_format(&i->prefix.addr, p), i->dport,
				addr_format(&i->from, l), i->sport);
}

void apply_inbound_text(const struct apply *a, char *text, size_t size)
{
	size_t len = 0;

	for (size_t k = 0; k < a->j->n && size - len > APPLY_INBOUND_LINE; k++) {
		const struct plan_item *i = &a->j->recs[k].item;

		if (i->kind == PLAN_INBOUND && !a->j->recs[k].gone)
			len += element(text + len, size - len, "add", a->j->names.nft, i);
	}
}

static void drop_open(struct apply *a, const struct plan_item *i)
{
	char text[256];

	element(text, sizeof(text), "delete", a->j->names.nft, i);
	/* it may have gone with the table; an element too many hurts nobody */
	(void)a->ops->nft(a->ctx, text);
}

int apply_inbound_sweep(struct apply *a)
{
	const size_t max = 4 * APPLY_INBOUND_MAX;
	struct plan_item *now;
	int n, held = 0, err = 0;

	for (size_t k = 0; a->j && k < a->j->n; k++)
		held += a->j->recs[k].item.kind == PLAN_INBOUND && !a->j->recs[k].gone;
	if (!held)
		return 0;
	now = calloc(max, sizeof(*now));
	if (!now)
		return -ENOMEM;
	n = a->ops->connections(a->ctx, now, max);
	/* a list that was cut short proves nobody's end */
	for (size_t k = 0; n >= 0 && (size_t)n < max && k < a->j->n; k++) {
		const struct plan_item i = a->j->recs[k].item;
		bool lives = false;

		if (i.kind != PLAN_INBOUND || a->j->recs[k].gone)
			continue;
		for (int c = 0; c < n && !lives; c++)
			lives = now[c].sport == i.sport && now[c].dport == i.dport &&
				addr_equal(&now[c].from, &i.from) &&
				prefix_equal(&now[c].prefix, &i.prefix);
		if (lives)
			continue;
		err = undo_rec(a, k);
		if (err)
			break;
		drop_open(a, &i);
		held--;
	}
	free(now);
	return n < 0 ? n : err ? err : held;
}
