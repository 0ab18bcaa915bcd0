/* SPDX-License-Identifier: MIT */
/*
 * policy_diff.c - for which flows do two profiles differ?
 *
 * policy_decide() reads lists of thousands of prefixes from end to end, and a
 * reload asks it for every flow that lives.  So the same questions are asked
 * of sorted sets first, for both profiles: an address that IPRoutes names in
 * both, in ExcRoutes of both or neither, is settled.  Of all others the decision
 * itself is made twice.
 */
#include <stdlib.h>

#include "client/policy.h"
#include "profiles/plan_priv.h"

#define PROTO_UDP	17

struct view {			/* a profile, quick to ask */
	const struct profile *profile;
	struct prefix_set routes, excluded;
};

struct policy_diff {
	struct view was, is;
};

static int view_make(struct view *v, const struct profile *p)
{
	int err;

	v->profile = p;
	err = prefix_set_make(&v->routes, p->routes, p->n_routes);
	if (!err)
		err = prefix_set_make(&v->excluded, p->excluded, p->n_excluded);
	return err;
}

static enum verdict verdict_of(const struct profile *p, const struct policy_query *q)
{
	struct policy_answer a;

	policy_decide(p, q, &a);
	return a.verdict;
}

struct policy_diff *policy_diff_new(const struct profile *was, const struct profile *is)
{
	struct policy_diff *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	if (view_make(&d->was, was) < 0 || view_make(&d->is, is) < 0) {
		policy_diff_free(d);
		return NULL;
	}
	return d;
}

void policy_diff_free(struct policy_diff *d)
{
	if (!d)
		return;
	prefix_set_free(&d->was.routes);
	prefix_set_free(&d->was.excluded);
	prefix_set_free(&d->is.routes);
	prefix_set_free(&d->is.excluded);
	free(d);
}

bool policy_diff_has(const struct policy_diff *d, const struct policy_query *q)
{
	struct prefix host = { .addr = q->dst, .len = q->dst.family == 4 ? 32 : 128 };
	bool same = prefix_set_covers(&d->was.routes, &host) &&
		    prefix_set_covers(&d->is.routes, &host) &&
		    prefix_set_covers(&d->was.excluded, &host) ==
		    prefix_set_covers(&d->is.excluded, &host);

	if (same && q->proto == PROTO_UDP)
		same = policy_udp_tunnelled(d->was.profile, q->port) ==
		       policy_udp_tunnelled(d->is.profile, q->port);
	if (same)
		return false;
	return verdict_of(d->was.profile, q) != verdict_of(d->is.profile, q);
}
