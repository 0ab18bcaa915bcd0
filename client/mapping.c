/* SPDX-License-Identifier: MIT */
/* mapping.c - see mapping.h: mappings come and go, another profile is asked about them */
#include "client/mapping.h"

#include <errno.h>
#include <stdlib.h>

int mappings_init(struct mappings *ms, uint32_t n_buckets)
{
	memset(ms, 0, sizeof(*ms));
	ms->buckets = calloc(n_buckets, sizeof(struct mapping *));
	if (!ms->buckets)
		return -ENOMEM;
	ms->n_buckets = n_buckets;
	return 0;
}

void mappings_done(struct mappings *ms)
{
	free(ms->buckets);
	memset(ms, 0, sizeof(*ms));
}

void mapping_add(const struct tunnel *t, struct mappings *ms, struct mapping *m,
		 const struct mapping_key *key)
{
	struct mapping **bucket = mapping_bucket(t, ms, key);

	m->key = *key;
	m->chain = *bucket;
	*bucket = m;
	m->dns_only = true;
	m->last = t->now;
	age_append(&ms->idle[true], m);
	ms->n++;
}

void mapping_remove(const struct tunnel *t, struct mappings *ms, struct mapping *m)
{
	struct mapping **at = mapping_bucket(t, ms, &m->key);

	while (*at != m)
		at = &(*at)->chain;
	*at = m->chain;
	age_remove(&ms->idle[m->dns_only], m);
	ms->n--;
	peers_free(&m->peers);
}

/* ---- another profile ------------------------------------------------------------ */

struct reconsidered {
	const struct tunnel *t;
	const struct policy_diff *diff;
	const struct mapping *m;
};

/* The ports that it was spoken to at are not known: as the last one that the app used. */
static bool peer_changed(void *ctx, const struct ipaddr *a)
{
	const struct reconsidered *r = ctx;

	return tunnel_verdict_changed(r->t, r->diff, r->m->key.proto, a, r->m->dst.port);
}

static bool held_changed(void *ctx, const struct held *h)
{
	const struct reconsidered *r = ctx;

	return tunnel_verdict_changed(r->t, r->diff, h->proto, &h->tuple.dst, h->tuple.dst_port);
}

bool mapping_reconsider(const struct tunnel *t, const struct policy_diff *d, struct mapping *m)
{
	struct reconsidered r = { .t = t, .diff = d, .m = m };

	peers_drop(&m->peers, peer_changed, &r);
	return peer_changed(&r, &m->dst.addr);
}

uint32_t mapping_reconsider_held(const struct tunnel *t, const struct policy_diff *d,
				 struct held_queue *q)
{
	struct reconsidered r = { .t = t, .diff = d };

	return held_drop(q, held_changed, &r);
}
