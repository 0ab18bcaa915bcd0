/* SPDX-License-Identifier: MIT */
/*
 * plan_priv.h - what plan.c (building) and plan_text.c (printing) share.
 */
#ifndef APPTUNNEL_PLAN_PRIV_H
#define APPTUNNEL_PLAN_PRIV_H

#include "profiles/plan.h"

/* Disjoint prefixes, sorted by address; owned. */
struct prefix_set {
	size_t n;
	struct prefix *p;
};

/* prefix_set_make() - @in sorted, without what another one covers.  0, -ENOMEM */
int prefix_set_make(struct prefix_set *set, const struct prefix *in, size_t n);
void prefix_set_free(struct prefix_set *set);
bool prefix_set_covers(const struct prefix_set *set, const struct prefix *p);
bool prefix_set_whole(const struct prefix_set *set, uint8_t family);	/* all there is? */
bool prefix_set_any(const struct prefix_set *set, uint8_t family);

/* What the profile takes: IPRoutes minus ExcRoutes, and the service addresses. */
struct plan_reach {
	struct prefix service[2];	/* 4, 6 */
	size_t n;
	struct prefix *routes;		/* order of the file; service addresses last */
	struct prefix_set covered;	/* the same, sorted and merged */
	struct prefix_set excluded;
	bool whole4, whole6;		/* the family's whole default route */
	bool block4, block6;		/* nothing of it, and it is refused ([lock] IPv6) */
};

/* plan_reach_make() - Return: 0, -ENOMEM (then nothing is held) */
int plan_reach_make(struct plan_reach *r, const struct profile *profile,
		    const struct plan_names *names);
void plan_reach_free(struct plan_reach *r);

#endif
