/* SPDX-License-Identifier: MIT */
/* overlap.c - routes that two profiles have in common. */
#include "platform/overlap.h"

static bool excluded(const struct profile *p, const struct prefix *in)
{
	for (uint32_t i = 0; i < p->n_excluded; i++) {
		if (prefix_covers(&p->excluded[i], in))
			return true;
	}
	return false;
}

const struct prefix *overlap_find(const struct profile *p, const struct profile *o)
{
	for (uint32_t i = 0; i < p->n_routes; i++) {
		for (uint32_t k = 0; k < o->n_routes; k++) {
			const struct prefix *a = &p->routes[i], *b = &o->routes[k], *in;

			if (!prefix_covers(a, b) && !prefix_covers(b, a))
				continue;
			in = prefix_covers(a, b) ? b : a;
			if (!excluded(p, in) && !excluded(o, in))
				return in;
		}
	}
	return NULL;
}
