/* SPDX-License-Identifier: MIT */
/* diff.c - two profiles, key by key, by the values in effect */
#include "profiles/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/effective.h"

/* The values of one key on one side: as they stand, and sorted for looking up. */
struct values {
	char **v, **sorted;
	size_t n;
};

static void values_free(struct values *x)
{
	size_t i;

	for (i = 0; x->v && i < x->n; i++)
		free(x->v[i]);
	free(x->v);
	free(x->sorted);
	*x = (struct values){ 0 };
}

static int value_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A file beside the profile is the same file in the other's folder: what follows counts. */
static const char *beside(const struct diff_side *s, enum schema_id id, const char *v)
{
	size_t n = strlen(s->folder);

	if ((schema[id].type != T_PATH && schema[id].type != T_PIN) || strncmp(v, s->folder, n) != 0 ||
	    v[n] != '/')
		return v;
	return v + n + 1;
}

static int values_take(const struct diff_side *s, enum schema_id id, struct values *x)
{
	size_t i, n = effective_count(s->p, id);
	char buf[EFFECTIVE_MAX];

	*x = (struct values){ .n = n };
	x->v = calloc(n + 1, sizeof(*x->v));
	x->sorted = calloc(n + 1, sizeof(*x->sorted));
	if (!x->v || !x->sorted)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		x->v[i] = strdup(beside(s, id, effective_text(s->p, id, i, buf)));
		if (!x->v[i])
			return -ENOMEM;
		x->sorted[i] = x->v[i];
	}
	if (n)
		qsort(x->sorted, n, sizeof(*x->sorted), value_order);
	return 0;
}

static bool values_have(const struct values *x, const char *v)
{
	return x->n && bsearch(&v, x->sorted, x->n, sizeof(*x->sorted), value_order);
}

/* May the elements of a list stand in another order, and mean the same? */
static bool any_order(enum schema_id id)
{
	const struct schema_key *k = &schema[id];

	return k->form == FORM_LIST && k->type != T_HOST && k->type != T_ADDRESS &&
	       k->type != T_DOMAIN;
}

static bool values_same(enum schema_id id, const struct values *a, const struct values *b)
{
	bool sorted = any_order(id);
	size_t i;

	for (i = 0; i < a->n && i < b->n; i++) {
		if (strcmp(sorted ? a->sorted[i] : a->v[i], sorted ? b->sorted[i] : b->v[i]) != 0)
			return false;
	}
	return a->n == b->n;
}

struct difference {
	enum schema_id id;
	struct values a, b;
	bool reordered;			/* a list of the same elements */
};

/*
 * The next key from @id on that differs.  Return: 1: @d is filled; 0: there is none; -ENOMEM
 */
static int next_difference(const struct diff_side *a, const struct diff_side *b, size_t id,
			   struct difference *d)
{
	size_t i;
	int r;

	for (; id < SCHEMA_KEYS; id++) {
		if (schema[id].state == STATE_REFUSED)
			continue;
		/* the file's name stands for a Name that is not given */
		if (id == K_NAME && !a->o->key[id].first && !b->o->key[id].first)
			continue;
		*d = (struct difference){ .id = id };
		r = values_take(a, id, &d->a);
		if (!r)
			r = values_take(b, id, &d->b);
		if (!r && !values_same(id, &d->a, &d->b)) {
			d->reordered = d->a.n == d->b.n;
			for (i = 0; d->reordered && i < d->a.n; i++)
				d->reordered = values_have(&d->b, d->a.v[i]);
			return 1;
		}
		values_free(&d->a);
		values_free(&d->b);
		if (r)
			return r;
	}
	return 0;
}

/* ---- for people --------------------------------------------------------------------------- */

static void put_origin(const struct diff_side *s, enum schema_id id, struct text *t)
{
	static const char *const words[] = { NULL, "default", "Sentry", "not given" };
	const struct origin *from = &s->o->key[id];
	enum effective_source source = effective_source(s->o, id);

	if (source != FROM_FILE)
		text_add(t, words[source]);
	else if (from->last != from->first)
		text_addf(t, "%s:%u-%u", s->file, from->first, from->last);
	else
		text_addf(t, "%s:%u", s->file, from->first);
}

/* Of @have what @other lacks; all of it when @all. */
static void put_values(const struct values *have, const struct values *other, bool all, char sign,
		       struct text *t)
{
	size_t i;

	for (i = 0; i < have->n; i++) {
		if (all || !values_have(other, have->v[i]))
			text_addf(t, "  %c %s\n", sign, have->v[i]);
	}
}

int diff_text(const struct diff_side *a, const struct diff_side *b, struct text *t)
{
	struct difference d;
	int r, n = 0;

	for (r = next_difference(a, b, 0, &d); r > 0; r = next_difference(a, b, d.id + 1, &d)) {
		if (!n++)
			text_addf(t, "--- %s\n+++ %s\n", a->file, b->file);
		text_addf(t, "[%s] %s (", schema[d.id].section, schema[d.id].name);
		put_origin(a, d.id, t);
		text_add(t, " -> ");
		put_origin(b, d.id, t);
		text_add(t, d.reordered ? "), another order\n" : ")\n");
		put_values(&d.a, &d.b, d.reordered, '-', t);
		put_values(&d.b, &d.a, d.reordered, '+', t);
		values_free(&d.a);
		values_free(&d.b);
	}
	if (!r && t->failed)
		r = -ENOMEM;
	return r ? r : n;
}

/* ---- for programs ------------------------------------------------------------------------- */

static void json_side(const char *name, const struct diff_side *s, struct text *t)
{
	text_addf(t, "\"%s\": {\"profile\": ", name);
	text_json(t, s->p->stem);
	text_add(t, ", \"file\": ");
	text_json(t, s->file);
	text_add(t, "}, ");
}

static void json_missing(const char *name, const struct values *have, const struct values *other,
			 struct text *t)
{
	const char *sep = "";
	size_t i;

	text_addf(t, ", \"%s\": [", name);
	for (i = 0; i < have->n; i++) {
		if (values_have(other, have->v[i]))
			continue;
		text_add(t, sep);
		text_json(t, have->v[i]);
		sep = ", ";
	}
	text_add(t, "]");
}

int diff_json(const struct diff_side *a, const struct diff_side *b, struct text *t)
{
	struct difference d;
	int r, n = 0;

	text_add(t, "{\"version\": 1, ");
	json_side("from", a, t);
	json_side("to", b, t);
	text_add(t, "\"changes\": [");
	for (r = next_difference(a, b, 0, &d); r > 0; r = next_difference(a, b, d.id + 1, &d)) {
		text_addf(t, "%s\n  {\"section\": \"%s\", \"key\": \"%s\", \"from\": ", n++ ? "," : "",
			  schema[d.id].section, schema[d.id].name);
		effective_json(a->p, d.id, t);
		text_add(t, ", \"to\": ");
		effective_json(b->p, d.id, t);
		if (schema[d.id].form == FORM_LIST) {
			json_missing("removed", &d.a, &d.b, t);
			json_missing("added", &d.b, &d.a, t);
		}
		text_add(t, "}");
		values_free(&d.a);
		values_free(&d.b);
	}
	text_addf(t, "%s], \"commands\": [", n ? "\n" : "");
	if (!r && t->failed)
		r = -ENOMEM;
	return r ? r : n;
}
