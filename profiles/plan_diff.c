/* SPDX-License-Identifier: MIT */
/* plan_diff.c - two lists of changes, sorted and walked side by side. */
#include "profiles/plan_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool plan_item_same(const struct plan_item *a, const struct plan_item *b)
{
	return a->kind == b->kind && a->stage == b->stage && a->family == b->family &&
	       a->sport == b->sport && a->dport == b->dport && a->value == b->value &&
	       prefix_equal(&a->prefix, &b->prefix) && addr_equal(&a->from, &b->from) &&
	       !strcmp(a->path, b->path);
}

bool plan_item_clash(const struct plan_item *a, const struct plan_item *b)
{
	return ((a->kind == PLAN_THROW && b->kind == PLAN_ROUTE) ||
		(a->kind == PLAN_ROUTE && b->kind == PLAN_THROW)) &&
	       prefix_equal(&a->prefix, &b->prefix);
}

/* a list sorted without being moved */
struct ref {
	const struct plan_item *item;
	uint32_t index;
};

static int by_number(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static int by_item(const struct plan_item *a, const struct plan_item *b)
{
	int d = by_number(a->kind, b->kind);

	if (!d)
		d = by_number(a->stage, b->stage);
	if (!d)
		d = by_number(a->family, b->family);
	if (!d)
		d = addr_compare(&a->prefix.addr, &b->prefix.addr);
	if (!d)
		d = by_number(a->prefix.len, b->prefix.len);
	if (!d)
		d = by_number(a->value, b->value);
	if (!d)
		d = by_number(a->sport, b->sport);
	if (!d)
		d = by_number(a->dport, b->dport);
	if (!d)
		d = addr_compare(&a->from, &b->from);
	return d ? d : strcmp(a->path, b->path);
}

static int by_ref(const void *a, const void *b)
{
	return by_item(((const struct ref *)a)->item, ((const struct ref *)b)->item);
}

static int ascending(const void *a, const void *b)
{
	return by_number(*(const uint32_t *)a, *(const uint32_t *)b);
}

static int descending(const void *a, const void *b)
{
	return ascending(b, a);
}

static struct ref *refs_make(const struct plan_item *items, size_t n)
{
	struct ref *r = calloc(n + 1, sizeof(*r));

	if (!r)
		return NULL;
	for (size_t i = 0; i < n; i++)
		r[i] = (struct ref){ &items[i], (uint32_t)i };
	qsort(r, n, sizeof(*r), by_ref);
	return r;
}

int plan_diff_make(struct plan_diff *d, const struct plan_item *old, size_t n_old,
		   const struct plan_item *now, size_t n_now)
{
	struct plan_diff out = { .fresh = calloc(n_now + 1, sizeof(*out.fresh)),
				 .gone = calloc(n_old + 1, sizeof(*out.gone)) };
	struct ref *a = refs_make(old, n_old), *b = refs_make(now, n_now);
	size_t i = 0, k = 0;

	if (!out.fresh || !out.gone || !a || !b) {
		plan_diff_free(&out);
		free(a);
		free(b);
		return -ENOMEM;
	}
	while (i < n_old || k < n_now) {
		int order = i == n_old ? 1 : k == n_now ? -1 : by_item(a[i].item, b[k].item);

		if (order < 0)
			out.gone[out.n_gone++] = a[i].index;
		if (order > 0)
			out.fresh[out.n_fresh++] = b[k].index;
		i += order <= 0;
		k += order >= 0;
	}
	qsort(out.fresh, out.n_fresh, sizeof(*out.fresh), ascending);
	qsort(out.gone, out.n_gone, sizeof(*out.gone), descending);
	free(a);
	free(b);
	*d = out;
	return 0;
}

void plan_diff_free(struct plan_diff *d)
{
	if (!d)
		return;
	free(d->fresh);
	free(d->gone);
	*d = (struct plan_diff){ 0 };
}

bool plan_items_lead(const struct plan_item *items, size_t n, const struct prefix *p)
{
	bool found = false, leads = false;
	uint8_t best = 0;

	for (size_t k = 0; k < n; k++) {
		const struct plan_item *i = &items[k];
		bool throws = i->kind == PLAN_THROW;

		if (i->kind != PLAN_SHADOW && i->kind != PLAN_ROUTE && !throws)
			continue;
		/* of one prefix the exception wins: it has the better metric */
		if (!prefix_covers(&i->prefix, p) ||
		    (found && (i->prefix.len < best || (i->prefix.len == best && !throws))))
			continue;
		found = true;
		best = i->prefix.len;
		leads = !throws;
	}
	return leads;
}
