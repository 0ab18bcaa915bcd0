/* SPDX-License-Identifier: MIT */
/*
 * ctl_diff.c - apptunnel profile diff: the keys that differ, and what of the
 * machine would: the plans of the two, line by line, in the words and in the
 * order in which one takes the place of the other (new before old).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_load.h"
#include "profiles/diff.h"
#include "profiles/plan.h"
#include "profiles/text.h"

/* The plan of one profile, a line an item, and the lines once more in order. */
struct lines {
	struct plan plan;
	char *nft;
	char **v, **sorted;
};

static void lines_free(struct lines *x)
{
	size_t i;

	for (i = 0; x->v && i < x->plan.n; i++)
		free(x->v[i]);
	free(x->v);
	free(x->sorted);
	free(x->nft);
	plan_free(&x->plan);
}

static int line_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int lines_take(struct lines *x, const struct profile *p)
{
	struct plan_names names;
	char buf[PLAN_LINE_MAX];
	size_t i;
	int r;

	*x = (struct lines){ 0 };
	plan_names_default(&names, 0);
	r = plan_build(&x->plan, p, NULL, &names);
	if (r < 0)
		return r;
	x->v = calloc(x->plan.n + 1, sizeof(*x->v));
	x->sorted = calloc(x->plan.n + 1, sizeof(*x->sorted));
	x->nft = malloc(PLAN_NFT_MAX);
	if (!x->v || !x->sorted || !x->nft)
		return -ENOMEM;
	r = plan_nft_text(&x->plan, x->nft, PLAN_NFT_MAX);
	for (i = 0; r >= 0 && i < x->plan.n; i++) {
		r = plan_item_text(&x->plan, &x->plan.items[i], buf, sizeof(buf));
		x->v[i] = x->sorted[i] = strdup(buf);
		if (!x->v[i])
			return -ENOMEM;
	}
	if (r < 0)
		return r;
	qsort(x->sorted, x->plan.n, sizeof(*x->sorted), line_order);
	return 0;
}

static bool lines_have(const struct lines *x, const char *line)
{
	return bsearch(&line, x->sorted, x->plan.n, sizeof(*x->sorted), line_order);
}

/* Of these there is one, and the new one overwrites the old. */
static bool is_overwritten(const struct plan *by, const struct plan_item *item)
{
	size_t i;

	switch ((enum plan_kind)item->kind) {
	case PLAN_RULE_MAIN:
	case PLAN_RULE:
	case PLAN_SHADOW:
	case PLAN_THROW:
	case PLAN_GUARD:
	case PLAN_ADDR:
	case PLAN_ROUTE:
	case PLAN_INBOUND:
	case PLAN_KINDS:
		return false;
	case PLAN_SYSCTL:
	case PLAN_NFT:
	case PLAN_TUN:
	case PLAN_LINK:
	case PLAN_DNS:
		break;
	}
	for (i = 0; i < by->n; i++) {
		if (by->items[i].kind == item->kind && !strcmp(by->items[i].path, item->path))
			return true;
	}
	return false;
}

/* One line of the result, "[#] ..." or an element of a JSON array. */
static void put_command(const char *line, bool json, bool first, struct text *t)
{
	if (json) {
		text_add(t, first ? "\n  " : ",\n  ");
		text_json(t, line);
	} else {
		text_addf(t, "%s[#] %s\n", first ? "\n" : "", line);
	}
}

static void put_commands(const struct lines *a, const struct lines *b, bool json, struct text *t)
{
	bool first = true, tables = strcmp(a->nft, b->nft) != 0;
	char buf[PLAN_LINE_MAX];
	size_t i;

	for (i = 0; i < b->plan.n; i++) {
		/* the line of the tables is the same, whatever stands in them */
		if (lines_have(a, b->v[i]) && !(tables && b->plan.items[i].kind == PLAN_NFT))
			continue;
		put_command(b->v[i], json, first, t);
		first = false;
	}
	for (i = a->plan.n; i--;) {
		const struct plan_item *item = &a->plan.items[i];

		if (lines_have(b, a->v[i]) || is_overwritten(&b->plan, item) ||
		    plan_undo_text(&a->plan, item, buf, sizeof(buf)) <= 0)
			continue;
		put_command(buf, json, first, t);
		first = false;
	}
}

static int put_diff(const struct ctl_opts *o, struct ctl_loaded *l, struct ctl_loaded *m,
		    struct text *t)
{
	struct diff_side a = { l->p, &l->o, l->path, l->folder };
	struct diff_side b = { m->p, &m->o, m->path, m->folder };
	struct lines x = { 0 }, y = { 0 };
	int n, r;

	n = o->json ? diff_json(&a, &b, t) : diff_text(&a, &b, t);
	if (n < 0)
		return n;
	/* one takes the other's place, and its name on the interface with it */
	memcpy(m->p->stem, l->p->stem, sizeof(m->p->stem));
	r = lines_take(&x, l->p);
	if (!r)
		r = lines_take(&y, m->p);
	if (!r)
		put_commands(&x, &y, o->json, t);
	lines_free(&x);
	lines_free(&y);
	return r < 0 ? r : n;
}

static int print_diff(const struct ctl_opts *o, struct ctl_loaded *l, struct ctl_loaded *m)
{
	struct text t = { 0 };
	int n = put_diff(o, l, m, &t), code;
	char *s;

	if (n < 0) {
		text_free(&t);
		fprintf(stderr, "apptunnel: %s\n", strerror(-n));
		return CTL_UNEXPECTED;
	}
	if (!t.n) {
		fprintf(stderr, "%s and %s: the same is in effect\n", l->path, m->path);
		return CTL_DONE;
	}
	if (o->json)
		text_add(&t, "]}\n");
	s = text_take(&t);
	code = ctl_print(s);
	free(s);
	return code;
}

int ctl_profile_diff(const struct ctl_opts *o, int argc, char **argv)
{
	struct ctl_loaded l, m;
	int i, code = CTL_DONE;

	for (i = 0; i < 2; i++) {
		struct ctl_loaded *x = i ? &m : &l;

		code = ctl_load(o, argv[argc - 2 + i], x);
		if (!code)
			continue;
		if (code == CTL_PROFILE) {
			ctl_load_errors(x);
			ctl_loaded_free(x);
		}
		if (i)
			ctl_loaded_free(&l);
		return code;
	}
	code = print_diff(o, &l, &m);
	ctl_loaded_free(&l);
	ctl_loaded_free(&m);
	return code;
}
