/* SPDX-License-Identifier: MIT */
/*
 * peers.c - the addresses that a port has sent to.
 *
 * One address lies in the struct itself; with the second one a table is made,
 * which doubles up to LIMIT_ASSOC_PEERS.  Its entries are chained by hash and
 * linked by age, so that the oldest gives way at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/tunnel_priv.h"

#define PEER_NONE	UINT16_MAX
#define PEER_TABLE_MIN	8	/* entries of the first table */
#define PEER_KEPT_S	(LIMIT_ASSOC_IDLE_US / USEC_PER_SEC)

static uint32_t seconds(uint64_t now)
{
	return (uint32_t)(now / USEC_PER_SEC);
}

static bool fresh(const struct peer *e, uint64_t now)
{
	return seconds(now) - e->sent_s <= PEER_KEPT_S;
}

/* The app chooses these addresses: it could make chains of at most 256 for itself. */
static uint16_t bucket(const struct peers *p, const struct ipaddr *a)
{
	uint64_t x, y;

	memcpy(&x, a->bytes, 8);
	memcpy(&y, a->bytes + 8, 8);
	x = (x ^ (y << 1 | y >> 63)) * 0x9e3779b97f4a7c15ull;
	return (uint16_t)((x >> 40) & (p->cap - 1u));
}

static uint16_t *heads(const struct peers *p)
{
	return (uint16_t *)(p->table + p->cap);
}

static uint16_t find(const struct peers *p, const struct ipaddr *a)
{
	uint16_t i = heads(p)[bucket(p, a)];

	while (i != PEER_NONE && !addr_equal(&p->table[i].addr, a))
		i = p->table[i].chain;
	return i;
}

static void age_unlink(struct peers *p, uint16_t i)
{
	struct peer *e = &p->table[i];

	if (e->older != PEER_NONE)
		p->table[e->older].newer = e->newer;
	else
		p->oldest = e->newer;
	if (e->newer != PEER_NONE)
		p->table[e->newer].older = e->older;
	else
		p->newest = e->older;
}

static void age_append(struct peers *p, uint16_t i)
{
	struct peer *e = &p->table[i];

	e->newer = PEER_NONE;
	e->older = p->newest;
	if (p->newest != PEER_NONE)
		p->table[p->newest].newer = i;
	else
		p->oldest = i;
	p->newest = i;
}

static void chain_in(struct peers *p, uint16_t i)
{
	uint16_t *head = &heads(p)[bucket(p, &p->table[i].addr)];

	p->table[i].chain = *head;
	*head = i;
}

static void chain_out(struct peers *p, uint16_t i)
{
	uint16_t *at = &heads(p)[bucket(p, &p->table[i].addr)];

	while (*at != i)
		at = &p->table[*at].chain;
	*at = p->table[i].chain;
}

static int grow(struct peers *p)
{
	uint16_t cap = p->cap ? (uint16_t)(p->cap * 2) : PEER_TABLE_MIN, i;
	struct peer *table = calloc(cap, sizeof(*table) + sizeof(uint16_t));

	if (!table)
		return -ENOMEM;
	if (p->cap) {
		memcpy(table, p->table, p->n * sizeof(*table));
		free(p->table);
	} else {
		p->oldest = p->newest = PEER_NONE;
	}
	p->table = table;
	p->cap = cap;
	memset(heads(p), 0xff, cap * sizeof(uint16_t));	/* PEER_NONE */
	for (i = 0; i < p->n; i++)
		chain_in(p, i);
	return 0;
}

static void add(struct peers *p, const struct ipaddr *a, uint32_t sent_s)
{
	uint16_t i;

	if (p->n < p->cap) {
		i = p->n++;
	} else {
		i = p->oldest;
		chain_out(p, i);
		age_unlink(p, i);
	}
	p->table[i].addr = *a;
	p->table[i].sent_s = sent_s;
	chain_in(p, i);
	age_append(p, i);
}

int peers_sent(struct peers *p, const struct ipaddr *a, uint64_t now)
{
	uint16_t i;
	int err;

	if (!p->cap) {
		if (!p->first.addr.family || addr_equal(&p->first.addr, a) ||
		    !fresh(&p->first, now)) {
			p->first.addr = *a;
			p->first.sent_s = seconds(now);
			return 0;
		}
		err = grow(p);
		if (err)
			return err;
		add(p, &p->first.addr, p->first.sent_s);
	}
	i = find(p, a);
	if (i != PEER_NONE) {
		p->table[i].sent_s = seconds(now);
		if (p->newest != i) {
			age_unlink(p, i);
			age_append(p, i);
		}
		return 0;
	}
	/* one that is too old gives its place before the table grows */
	if (p->n == p->cap && p->cap < LIMIT_ASSOC_PEERS && fresh(&p->table[p->oldest], now)) {
		err = grow(p);
		if (err)
			return err;
	}
	add(p, a, seconds(now));
	return 0;
}

bool peers_known(const struct peers *p, const struct ipaddr *a, uint64_t now)
{
	uint16_t i;

	if (!p->cap)
		return addr_equal(&p->first.addr, a) && fresh(&p->first, now);
	i = find(p, a);
	return i != PEER_NONE && fresh(&p->table[i], now);
}

/* The table shrinks by moving its last entry into the gap. */
static void forget(struct peers *p, uint16_t i)
{
	uint16_t last = (uint16_t)(p->n - 1u);
	struct peer *e = &p->table[i];

	chain_out(p, i);
	age_unlink(p, i);
	p->n--;
	if (i == last)
		return;
	chain_out(p, last);
	*e = p->table[last];
	if (e->older != PEER_NONE)
		p->table[e->older].newer = i;
	else
		p->oldest = i;
	if (e->newer != PEER_NONE)
		p->table[e->newer].older = i;
	else
		p->newest = i;
	chain_in(p, i);
}

void peers_drop(struct peers *p, bool (*drop)(void *ctx, const struct ipaddr *a), void *ctx)
{
	uint16_t i = 0;

	if (!p->cap && p->first.addr.family && drop(ctx, &p->first.addr))
		memset(&p->first, 0, sizeof(p->first));
	while (i < p->n) {
		if (drop(ctx, &p->table[i].addr))
			forget(p, i);	/* another one stands there now */
		else
			i++;
	}
}

void peers_free(struct peers *p)
{
	free(p->table);
	memset(p, 0, sizeof(*p));
}
