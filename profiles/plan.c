/* SPDX-License-Identifier: MIT */
/*
 * plan.c - profile and offer become the ordered list of changes.
 *
 * The rules come last in the LOCK stage: table, rule set and sysctls are
 * filled while no packet looks at them, and one rule a family turns the key.
 */
#include "profiles/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/names.h"
#include "profiles/plan_priv.h"

#define PLAN_MTU_MIN	1280u

static const char *const sysctls[] = {
	/* answers to marked sockets pass a strict rp_filter */
	"net/ipv4/conf/all/src_valid_mark",
	/* accepted connections carry the mark of their SYN (IPv6 too) */
	"net/ipv4/tcp_fwmark_accept",
	/* RST and ICMP that the kernel sends carry the mark of their cause */
	"net/ipv4/fwmark_reflect",
	"net/ipv6/fwmark_reflect",
};

void plan_names_default(struct plan_names *names, unsigned int n)
{
	*names = (struct plan_names){
		.mark = NAMES_MARK,
		.table = NAMES_TABLE + n,
		.prio = NAMES_RULE_PRIO + n,
		.prio_main = NAMES_RULE_PRIO_MAIN,
	};
	snprintf(names->tun, sizeof(names->tun), "%s%u", NAMES_TUN_STEM, n);
	snprintf(names->nft, sizeof(names->nft), "%s", NAMES_NFT_TABLE);
	if (n)
		snprintf(names->nft, sizeof(names->nft), "%s%u", NAMES_NFT_TABLE, n);
	(void)addr_parse(NAMES_SERVICE4, &names->service4);
	(void)addr_parse(NAMES_SERVICE6, &names->service6);
	names->service4.bytes[3] = (uint8_t)(names->service4.bytes[3] + n);
	names->service6.bytes[15] = (uint8_t)(names->service6.bytes[15] + n);
	snprintf(names->resolv_conf, sizeof(names->resolv_conf), "%s", NAMES_RESOLV_CONF);
}

static int prefix_order(const void *a, const void *b)
{
	const struct prefix *p = a, *q = b;
	int d = addr_compare(&p->addr, &q->addr);

	return d ? d : (int)p->len - (int)q->len;
}

int prefix_set_make(struct prefix_set *set, const struct prefix *in, size_t n)
{
	struct prefix *p = calloc(n + 1, sizeof(*p));
	size_t kept = 0;

	if (!p)
		return -ENOMEM;
	if (n)
		memcpy(p, in, n * sizeof(*p));
	qsort(p, n, sizeof(*p), prefix_order);
	for (size_t i = 0; i < n; i++)
		if (!kept || !prefix_covers(&p[kept - 1], &p[i]))
			p[kept++] = p[i];
	set->p = p;
	set->n = kept;
	return 0;
}

void prefix_set_free(struct prefix_set *set)
{
	free(set->p);
	set->p = NULL;
	set->n = 0;
}

bool prefix_set_covers(const struct prefix_set *set, const struct prefix *p)
{
	size_t lo = 0, hi = set->n;

	/* the last member that does not begin behind @p is the only candidate */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (addr_compare(&set->p[mid].addr, &p->addr) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && prefix_covers(&set->p[lo - 1], p);
}

bool prefix_set_whole(const struct prefix_set *set, uint8_t family)
{
	uint32_t halves[130] = { 0 };

	/* members are disjoint: they are the whole when their sizes add up to 1 */
	for (size_t i = 0; i < set->n; i++)
		if (set->p[i].addr.family == family)
			halves[set->p[i].len]++;
	for (size_t len = 128; len; len--)
		halves[len - 1] += halves[len] / 2;
	return halves[0] != 0;
}

bool prefix_set_any(const struct prefix_set *set, uint8_t family)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->p[i].addr.family == family)
			return true;
	return false;
}

static struct prefix host_prefix(const struct ipaddr *a)
{
	return (struct prefix){ .addr = *a, .len = (uint8_t)(addr_len(a->family) * 8) };
}

int plan_reach_make(struct plan_reach *r, const struct profile *profile,
		    const struct plan_names *names)
{
	struct prefix_set whole = { 0 };
	int err;

	memset(r, 0, sizeof(*r));
	r->service[0] = host_prefix(&names->service4);
	r->service[1] = host_prefix(&names->service6);
	r->routes = calloc((size_t)profile->n_routes + 2, sizeof(*r->routes));
	if (!r->routes)
		return -ENOMEM;
	err = prefix_set_make(&r->excluded, profile->excluded, profile->n_excluded);
	if (err)
		goto fail;
	for (size_t i = 0; i < profile->n_routes; i++) {
		const struct prefix *p = &profile->routes[i];

		/* left out, so that the longest match equals subtraction */
		if (prefix_set_covers(&r->excluded, p))
			continue;
		if (prefix_equal(p, &r->service[0]) || prefix_equal(p, &r->service[1]))
			continue;
		r->routes[r->n++] = *p;
	}
	r->routes[r->n++] = r->service[0];
	r->routes[r->n++] = r->service[1];
	err = prefix_set_make(&r->covered, r->routes, r->n);
	if (err)
		goto fail;
	/* what counts for the other family is what the profile says, services aside */
	err = prefix_set_make(&whole, r->routes, r->n - 2);
	if (err)
		goto fail;
	r->whole4 = prefix_set_whole(&whole, 4);
	r->whole6 = prefix_set_whole(&whole, 6);
	if (profile->lock_ipv6 == LOCK_IPV6_BLOCK) {
		r->block4 = r->whole6 && !prefix_set_any(&whole, 4);
		r->block6 = r->whole4 && !prefix_set_any(&whole, 6);
	}
	prefix_set_free(&whole);
	return 0;
fail:
	plan_reach_free(r);
	return err;
}

void plan_reach_free(struct plan_reach *r)
{
	free(r->routes);
	prefix_set_free(&r->excluded);
	prefix_set_free(&r->covered);
	memset(r, 0, sizeof(*r));
}

static struct plan_item *push(struct plan *plan, size_t room, enum plan_kind kind,
			      enum plan_stage stage, uint8_t family)
{
	struct plan_item *i;

	if (plan->n == room)	/* the room was counted; can't happen */
		return &plan->items[room - 1];
	i = &plan->items[plan->n++];
	i->kind = kind;
	i->stage = stage;
	i->family = family;
	return i;
}

/* [lock] IPv6 = block: the family that IPRoutes leaves out is refused at once */
static void block_other(struct plan *plan, size_t room, enum plan_stage stage,
			const struct plan_reach *r)
{
	if (r->block4)
		push(plan, room, PLAN_SHADOW, stage, 4)->prefix.addr.family = 4;
	if (r->block6)
		push(plan, room, PLAN_SHADOW, stage, 6)->prefix.addr.family = 6;
}

static void lock_stage(struct plan *plan, size_t room, const struct plan_reach *r)
{
	bool lock = plan->profile->lock_mode != LOCK_OFF;
	struct plan_item *i;

	for (size_t n = 0; n < sizeof(sysctls) / sizeof(*sysctls); n++) {
		i = push(plan, room, PLAN_SYSCTL, PLAN_LOCK, 0);
		i->value = 1;
		i->family = strncmp(sysctls[n], "net/ipv6/", 9) ? 4 : 6;
		snprintf(i->path, sizeof(i->path), "%s", sysctls[n]);
	}
	i = push(plan, room, PLAN_NFT, PLAN_LOCK, 0);
	i->value = lock;
	i = push(plan, room, PLAN_RULE_MAIN, PLAN_LOCK, 4);
	i->sport = 68;
	i->dport = 67;
	i = push(plan, room, PLAN_RULE_MAIN, PLAN_LOCK, 6);
	i->sport = 546;
	i->dport = 547;
	for (size_t n = 0; n < r->excluded.n; n++) {
		const struct prefix *p = &r->excluded.p[n];

		if (prefix_equal(p, &r->service[0]) || prefix_equal(p, &r->service[1]))
			continue;	/* would stand where the service route stands */
		i = push(plan, room, PLAN_THROW, PLAN_LOCK, p->addr.family);
		i->prefix = *p;
	}
	for (size_t n = 0; lock && n < r->n; n++) {
		i = push(plan, room, PLAN_SHADOW, PLAN_LOCK, r->routes[n].addr.family);
		i->prefix = r->routes[n];
	}
	if (lock)
		block_other(plan, room, PLAN_LOCK, r);
	push(plan, room, PLAN_RULE, PLAN_LOCK, 4);
	push(plan, room, PLAN_RULE, PLAN_LOCK, 6);
}

/* the tunnel's own address: TunIP, else Sentry's, else not known yet */
static void addr_items(struct plan *plan, size_t room, uint8_t family)
{
	const struct profile *p = plan->profile;
	const struct plan_offer *o = plan->offer;
	struct ipaddr a = family == 4 ? p->tun4 : p->tun6;
	struct plan_item *i;

	if (!a.family && o)
		a = family == 4 ? o->addr4 : o->addr6;
	if (!a.family && o)
		return;
	/* the guard stands before the address does */
	i = push(plan, room, PLAN_GUARD, PLAN_TUNNEL, family);
	i->prefix = host_prefix(&a);
	i->from_sentry = !a.family;
	i = push(plan, room, PLAN_ADDR, PLAN_TUNNEL, family);
	i->prefix = host_prefix(&a);
	i->from_sentry = !a.family;
}

static int tunnel_stage(struct plan *plan, size_t room, const struct plan_reach *r)
{
	const struct profile *p = plan->profile;
	const struct plan_offer *o = plan->offer;
	struct plan_item *i;

	push(plan, room, PLAN_TUN, PLAN_TUNNEL, 0);
	i = push(plan, room, PLAN_LINK, PLAN_TUNNEL, 0);
	i->value = p->mtu;
	if (o && o->mtu && o->mtu < i->value)
		i->value = o->mtu < PLAN_MTU_MIN ? PLAN_MTU_MIN : o->mtu;
	snprintf(i->path, sizeof(i->path), "apptunnel %s", p->stem);
	addr_items(plan, room, 4);
	addr_items(plan, room, 6);
	for (size_t n = 0; n < r->n; n++) {
		i = push(plan, room, PLAN_ROUTE, PLAN_TUNNEL, r->routes[n].addr.family);
		i->prefix = r->routes[n];
	}
	if (p->lock_mode == LOCK_OFF)	/* then only while the tunnel is up */
		block_other(plan, room, PLAN_TUNNEL, r);
	if (p->backend != BACKEND_NONE) {
		char *text = malloc(PLAN_RESOLV_MAX);
		int len;

		if (!text)
			return -ENOMEM;
		len = plan_resolv_text(plan, text, PLAN_RESOLV_MAX);
		i = push(plan, room, PLAN_DNS, PLAN_TUNNEL, 0);
		i->from_sentry = !p->n_search && !o;
		i->value = 2166136261u;		/* FNV-1a: only to see a change */
		for (int n = 0; n < len; n++)
			i->value = (i->value ^ (uint8_t)text[n]) * 16777619u;
		free(text);
		if (len < 0)
			return len;
	}
	return 0;
}

int plan_build(struct plan *plan, const struct profile *profile,
	       const struct plan_offer *offer, const struct plan_names *names)
{
	struct plan out = { .names = *names, .profile = profile, .offer = offer };
	struct plan_reach reach;
	size_t room;
	int err;

	err = plan_reach_make(&reach, profile, names);
	if (err)
		return err;
	room = 2 * reach.n + reach.excluded.n + 32;	/* 32: all that stands alone */
	out.items = calloc(room, sizeof(*out.items));
	err = out.items ? 0 : -ENOMEM;
	if (!err) {
		lock_stage(&out, room, &reach);
		err = tunnel_stage(&out, room, &reach);
	}
	plan_reach_free(&reach);
	if (err)
		free(out.items);
	else
		*plan = out;
	return err;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	free(plan->items);
	plan->items = NULL;
	plan->n = 0;
}

bool plan_covers(const struct plan *plan, const struct ipaddr *a)
{
	uint8_t best = 0;
	bool found = false, covers = false;

	for (size_t n = 0; n < plan->n; n++) {
		const struct plan_item *i = &plan->items[n];

		if (i->kind != PLAN_SHADOW && i->kind != PLAN_THROW && i->kind != PLAN_ROUTE)
			continue;
		if (!prefix_has(&i->prefix, a) || (found && i->prefix.len < best))
			continue;
		found = true;
		best = i->prefix.len;
		covers = i->kind != PLAN_THROW;
	}
	return covers;
}
