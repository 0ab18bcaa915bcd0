/* SPDX-License-Identifier: MIT */
/* merge.c - repeated and overlapping entries of lists */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "profiles/lint.h"

/* ---- prefixes ---------------------------------------------------------------------- */

static int prefix_order(const struct prefix *a, const struct prefix *b)
{
	int d;

	if (a->addr.family != b->addr.family)
		return a->addr.family < b->addr.family ? -1 : 1;
	d = memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));
	return d ? d : a->len < b->len ? -1 : a->len > b->len;
}

static int prefix_qsort(const void *a, const void *b)
{
	return prefix_order(a, b);
}

int prefix_index_build(struct prefix_index *x, const struct prefix *v, size_t n)
{
	*x = (struct prefix_index){ 0 };
	x->v = malloc((n ? n : 1) * sizeof(*v));
	if (!x->v)
		return -ENOMEM;
	memcpy(x->v, v, n * sizeof(*v));
	x->n = n;
	qsort(x->v, n, sizeof(*v), prefix_qsort);
	return 0;
}

void prefix_index_free(struct prefix_index *x)
{
	if (!x)
		return;
	free(x->v);
	*x = (struct prefix_index){ 0 };
}

/* How many stand before @q in the order (those equal to it included if @equal). */
static size_t index_rank(const struct prefix_index *x, const struct prefix *q, bool equal)
{
	size_t lo = 0, hi = x->n, mid;

	while (lo < hi) {
		int d;

		mid = lo + (hi - lo) / 2;
		d = prefix_order(&x->v[mid], q);
		if (d < 0 || (equal && !d))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct prefix *prefix_index_covering(const struct prefix_index *x, const struct prefix *q)
{
	size_t i = index_rank(x, q, true);

	/* no prefix covers another, so nothing stands between the two */
	return i && prefix_covers(&x->v[i - 1], q) ? &x->v[i - 1] : NULL;
}

const struct prefix *prefix_index_inside(const struct prefix_index *x, const struct prefix *q)
{
	size_t i = index_rank(x, q, false);

	return i < x->n && prefix_covers(q, &x->v[i]) ? &x->v[i] : NULL;
}

/* An element on its way through the sort. */
struct sorted {
	struct prefix prefix;
	uint32_t at;
};

static int sorted_compare(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	int d = prefix_order(&x->prefix, &y->prefix);

	return d ? d : x->at < y->at ? -1 : x->at > y->at;
}

static void overlap_finding(struct reading *r, enum schema_id id, uint32_t dropped,
			    uint32_t kept, const char *what)
{
	const struct place *p = &r->elem[id][dropped];
	char key[SCHEMA_NAME_MAX];

	finding_add(r->f, FC_OVERLAP, p->line, p->column, schema_name(id, 0, p->number, key),
		    "%s (line %u); the entries are merged", what, r->elem[id][kept].line);
}

static int merge_prefixes(struct reading *r, enum schema_id id, struct prefix *v, uint32_t *n)
{
	char a[PREFIX_STRLEN], b[PREFIX_STRLEN], what[2 * PREFIX_STRLEN + 32];
	struct sorted *s, *top = NULL;
	uint32_t i, kept = 0;
	bool *drop;

	if (*n < 2 || r->n_elem[id] != *n)
		return 0;
	s = calloc(*n, sizeof(*s));
	drop = calloc(*n, sizeof(*drop));
	if (!s || !drop) {
		free(s);
		free(drop);
		return -ENOMEM;
	}
	for (i = 0; i < *n; i++)
		s[i] = (struct sorted){ v[i], i };
	qsort(s, *n, sizeof(*s), sorted_compare);
	for (i = 0; i < *n; i++) {
		if (!top || !prefix_covers(&top->prefix, &s[i].prefix)) {
			top = &s[i];
			continue;
		}
		drop[s[i].at] = true;
		prefix_format(&s[i].prefix, a);
		prefix_format(&top->prefix, b);
		if (prefix_equal(&top->prefix, &s[i].prefix))
			snprintf(what, sizeof(what), "%s is given already", a);
		else
			snprintf(what, sizeof(what), "%s is inside %s", a, b);
		overlap_finding(r, id, s[i].at, top->at, what);
	}
	for (i = 0; i < *n; i++) {
		if (drop[i])
			continue;
		v[kept] = v[i];
		r->elem[id][kept++] = r->elem[id][i];
	}
	memset(&v[kept], 0, (*n - kept) * sizeof(*v));
	*n = kept;
	r->n_elem[id] = kept;
	free(s);
	free(drop);
	return 0;
}

/* ---- ports ---------------------------------------------------------------------------- */

struct sorted_ports {
	struct port_range range;
	uint32_t at;
};

static int ports_compare(const void *a, const void *b)
{
	const struct sorted_ports *x = a, *y = b;

	if (x->range.lo != y->range.lo)
		return x->range.lo < y->range.lo ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void ports_finding(struct reading *r, const struct sorted_ports *a,
			  const struct sorted_ports *b)
{
	/* whichever stands later in the file is the one too many */
	const struct sorted_ports *late = a->at > b->at ? a : b, *early = late == a ? b : a;
	char what[64];

	if (!memcmp(&late->range, &early->range, sizeof(late->range)))
		snprintf(what, sizeof(what), "the entry is given already");
	else
		snprintf(what, sizeof(what), "%u-%u overlaps %u-%u", late->range.lo,
			 late->range.hi, early->range.lo, early->range.hi);
	overlap_finding(r, K_UDP_PORTS, late->at, early->at, what);
}

/* Ports end up sorted, so their places mean nothing afterwards. */
static void merge_ports(struct reading *r)
{
	struct port_range *ports = r->p->ports, *last = NULL;
	uint32_t i, kept = 0, n = r->p->n_ports, top = 0;
	struct sorted_ports s[PROFILE_MAX_PORTS];

	if (r->n_elem[K_UDP_PORTS] != n)
		return;
	for (i = 0; i < n; i++)
		s[i] = (struct sorted_ports){ ports[i], i };
	qsort(s, n, sizeof(*s), ports_compare);
	for (i = 0; i < n; i++) {
		if (last && s[i].range.lo <= last->hi)
			ports_finding(r, &s[i], &s[top]);
		/* neighbours become one range without a word */
		if (last && s[i].range.lo <= last->hi + 1u) {
			if (s[i].range.hi > last->hi) {
				last->hi = s[i].range.hi;
				top = i;
			}
			continue;
		}
		top = i;
		last = &ports[kept++];
		*last = s[i].range;
	}
	memset(&ports[kept], 0, (n - kept) * sizeof(*ports));
	r->p->n_ports = kept;
}

/* ---- short lists ----------------------------------------------------------------------- */

static bool same_host(const void *a, const void *b)
{
	const struct profile_host *x = a, *y = b;

	return x->port == y->port && !strcasecmp(x->name, y->name);
}

static bool same_pin(const void *a, const void *b)
{
	const struct profile_pin *x = a, *y = b;

	return x->kind == y->kind && !strcmp(x->path, y->path) &&
	       !memcmp(x->sha256, y->sha256, sizeof(x->sha256));
}

static bool same_addr(const void *a, const void *b)
{
	return addr_equal(a, b);
}

static bool same_name(const void *a, const void *b)
{
	return !strcasecmp(a, b);
}

static void merge_short(struct reading *r, enum schema_id id, void *array, size_t size,
			uint32_t *n, bool (*same)(const void *, const void *))
{
	char *v = array;
	uint32_t i, k, kept = 0;

	if (r->n_elem[id] != *n)
		return;
	for (i = 0; i < *n; i++) {
		for (k = 0; k < kept && !same(v + k * size, v + i * size); k++)
			;
		if (k < kept) {
			overlap_finding(r, id, i, k, "the entry is given already");
			continue;
		}
		if (kept != i) {
			memcpy(v + kept * size, v + i * size, size);
			r->elem[id][kept] = r->elem[id][i];
		}
		kept++;
	}
	memset(v + kept * size, 0, (*n - kept) * size);
	*n = kept;
	r->n_elem[id] = kept;
}

int merge_lists(struct reading *r)
{
	struct profile *p = r->p;
	int e;

	merge_short(r, K_HOST, p->hosts, sizeof(p->hosts[0]), &p->n_hosts, same_host);
	merge_short(r, K_PINS, p->pins, sizeof(p->pins[0]), &p->n_pins, same_pin);
	merge_short(r, K_RESOLVERS, p->resolvers, sizeof(p->resolvers[0]), &p->n_resolvers,
		    same_addr);
	merge_short(r, K_SEARCH, p->search, sizeof(p->search[0]), &p->n_search, same_name);
	merge_ports(r);
	e = merge_prefixes(r, K_ROUTES, p->routes, &p->n_routes);
	if (!e)
		e = merge_prefixes(r, K_EXCLUDED, p->excluded, &p->n_excluded);
	return e;
}
