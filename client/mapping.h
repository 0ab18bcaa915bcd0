/* SPDX-License-Identifier: MIT */
/*
 * mapping.h - the ports of apps that datagrams come from, found by key and in
 * the order of their last traffic.  What RFC 4787 calls a mapping: one for a
 * port whatever the destination (endpoint-independent); who may answer is in
 * its peers (address-dependent filtering).
 *
 * assoc.c has mappings to associations of the session, direct.c to sockets.
 * A mapping is a part of theirs, which they allocate and free.
 */
#ifndef APPTUNNEL_MAPPING_H
#define APPTUNNEL_MAPPING_H

#include <string.h>

#include "client/tunnel_priv.h"

struct mapping_key {			/* hashed as bytes: no padding */
	struct ipaddr addr;
	uint8_t proto;			/* enum mux_proto */
	uint16_t port;			/* or identifier */
};
_Static_assert(sizeof(struct mapping_key) == 20, "mapping_key is hashed as bytes");

struct mapping {
	struct mapping_key key;
	bool dns_only;			/* in which list it is: spoke to port 53 only */
	struct mapping *chain;
	struct mapping *older, *newer;
	uint64_t last;			/* traffic in either direction, us */
	struct {			/* whom the app spoke to last */
		struct ipaddr addr;
		uint16_t port;
	} dst;
	uint64_t up, down;		/* payload bytes */
	struct peers peers;
};

struct age_list {
	struct mapping *oldest, *newest;
};

struct mappings {
	struct mapping **buckets;
	uint32_t n_buckets;		/* a power of two */
	uint32_t n;
	struct age_list idle[2];	/* by dns_only */
};

/* mappings_init() - Return: 0, -ENOMEM.  @n_buckets: a power of two */
int mappings_init(struct mappings *ms, uint32_t n_buckets);
/* mappings_done() - the table itself; mappings that are left are the caller's matter */
void mappings_done(struct mappings *ms);
/* mapping_add() - @m, all zero, is the mapping of @key from now on; only DNS was seen */
void mapping_add(const struct tunnel *t, struct mappings *ms, struct mapping *m,
		 const struct mapping_key *key);
/* mapping_remove() - out of the table; its peers are freed, @m is not */
void mapping_remove(const struct tunnel *t, struct mappings *ms, struct mapping *m);
/*
 * mapping_reconsider() - the profile changes: forget the peers that the new one
 * decides on otherwise
 * Return: does it decide otherwise on whom the app spoke to last?
 */
bool mapping_reconsider(const struct tunnel *t, const struct policy_diff *d, struct mapping *m);
/* mapping_reconsider_held() - likewise, free what waits in @q.  Return: how many datagrams */
uint32_t mapping_reconsider_held(const struct tunnel *t, const struct policy_diff *d,
				 struct held_queue *q);

/* ---- for every datagram: inline --------------------------------------------- */

static inline void mapping_key_make(struct mapping_key *key, uint8_t proto,
				    const struct ns_tuple *tuple)
{
	memset(key, 0, sizeof(*key));
	key->addr = tuple->src;
	key->proto = proto;
	key->port = tuple->src_port;
}

static inline struct mapping **mapping_bucket(const struct tunnel *t, const struct mappings *ms,
					      const struct mapping_key *key)
{
	return &ms->buckets[siphash24(t->key, key, sizeof(*key)) & (ms->n_buckets - 1)];
}

static inline struct mapping *mapping_find(const struct tunnel *t, const struct mappings *ms,
					   const struct mapping_key *key)
{
	struct mapping *m = *mapping_bucket(t, ms, key);

	while (m && memcmp(&m->key, key, sizeof(*key)))
		m = m->chain;
	return m;
}

static inline void age_remove(struct age_list *l, struct mapping *m)
{
	if (m->older)
		m->older->newer = m->newer;
	else
		l->oldest = m->newer;
	if (m->newer)
		m->newer->older = m->older;
	else
		l->newest = m->older;
}

static inline void age_append(struct age_list *l, struct mapping *m)
{
	m->newer = NULL;
	m->older = l->newest;
	if (l->newest)
		l->newest->newer = m;
	else
		l->oldest = m;
	l->newest = m;
}

/* Traffic was seen; @dns: to or from where only resolvers are. */
static inline void mapping_touch(const struct tunnel *t, struct mappings *ms, struct mapping *m,
				 bool dns)
{
	if (m->last == t->now && m->dns_only == dns)
		return;
	age_remove(&ms->idle[m->dns_only], m);
	m->dns_only = dns;
	m->last = t->now;
	age_append(&ms->idle[dns], m);
}

#endif
