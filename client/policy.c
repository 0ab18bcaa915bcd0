/* SPDX-License-Identifier: MIT */
/* policy.c - tunnel, direct or block */
#include "client/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PROTO_ICMP	1
#define PROTO_TCP	6
#define PROTO_UDP	17
#define PROTO_ICMPV6	58
#define PORT_DNS	53

const char *verdict_name(enum verdict v)
{
	switch (v) {
	case VERDICT_TUNNEL:
		return "tunnel";
	case VERDICT_DIRECT:
		return "direct";
	case VERDICT_BLOCK:
		return "block";
	}
	return "?";
}

static void answer(struct policy_answer *out, enum verdict v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void answer(struct policy_answer *out, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	out->verdict = v;
	va_start(ap, fmt);
	vsnprintf(out->reason, sizeof(out->reason), fmt, ap);
	va_end(ap);
}

/* The range that holds @port, by binary search: the record is sorted and merged. */
static const struct port_range *port_find(const struct profile *p, uint16_t port)
{
	uint32_t lo = 0, hi = p->n_ports, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (port < p->ports[mid].lo)
			hi = mid;
		else if (port > p->ports[mid].hi)
			lo = mid + 1;
		else
			return &p->ports[mid];
	}
	return NULL;
}

bool policy_udp_tunnelled(const struct profile *p, uint16_t port)
{
	return !p->udp_split || port_find(p, port);
}

/* The longest of the prefixes that hold @a. */
static const struct prefix *prefix_find(const struct prefix *v, uint32_t n, const struct ipaddr *a)
{
	const struct prefix *best = NULL;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (prefix_has(&v[i], a) && (!best || v[i].len > best->len))
			best = &v[i];
	}
	return best;
}

/*
 * Is @family the one that a full tunnel of the other leaves over?  Then
 * [lock] IPv6 says what becomes of it.  The same question as plan.c asks, for
 * which what ExcRoutes takes out whole does not count; without its sorted sets
 * (no allocation here), and only where words are wanted.
 */
static bool family_left_over(const struct profile *p, uint8_t family)
{
	uint32_t halves[129] = { 0 }, i, k;
	unsigned int len;

	for (i = 0; i < p->n_routes; i++) {
		const struct prefix *r = &p->routes[i];

		for (k = 0; k < p->n_excluded && !prefix_covers(&p->excluded[k], r); k++)
			;
		if (k < p->n_excluded)
			continue;
		if (r->addr.family == family)
			return false;
		halves[r->len]++;
	}
	/* disjoint prefixes are the whole when their sizes add up to 1 */
	for (len = 128; len; len--)
		halves[len - 1] += halves[len] / 2;
	return halves[0] != 0;
}

/* Addresses that no route of ours moves: those of the local table and of a link. */
static bool never_routed(const struct ipaddr *a)
{
	return addr_is_loopback(a) || addr_is_unspecified(a) ||
	       (a->family == 6 && (addr_is_linklocal(a) || addr_is_multicast(a)));
}

static void decide_udp(const struct profile *p, const struct policy_query *q,
		       struct policy_answer *out)
{
	const struct port_range *r = port_find(p, q->port);

	if (!p->udp_split)
		answer(out, VERDICT_TUNNEL, "SplitUDPPortList is not set: all UDP is tunnelled");
	else if (!r)
		answer(out, VERDICT_DIRECT, "UDP port %u is not in SplitUDPPortList", q->port);
	else if (r->lo == r->hi)
		answer(out, VERDICT_TUNNEL, "UDP port %u is in SplitUDPPortList (%u)", q->port, r->lo);
	else
		answer(out, VERDICT_TUNNEL, "UDP port %u is in SplitUDPPortList (%u-%u)", q->port,
		       r->lo, r->hi);
}

/*
 * What routing does with @q.  Return: false when it leaves outside the tunnel,
 * @out says why; else @route is the IPRoute that takes it
 */
static bool decide_route(const struct profile *p, const struct policy_query *q,
			 struct policy_answer *out, const struct prefix **route)
{
	char addr[ADDR_STRLEN], text[PREFIX_STRLEN];
	const struct prefix *excluded;

	addr_format(&q->dst, addr);
	if (never_routed(&q->dst)) {
		answer(out, VERDICT_DIRECT, "%s is of this machine or its link", addr);
		return false;
	}
	excluded = prefix_find(p->excluded, p->n_excluded, &q->dst);
	if (excluded) {
		answer(out, VERDICT_DIRECT, "%s is in ExcRoutes %s", addr,
		       prefix_format(excluded, text));
		return false;
	}
	*route = prefix_find(p->routes, p->n_routes, &q->dst);
	if (*route && addr_is_multicast(&q->dst)) {
		answer(out, VERDICT_BLOCK, "%s is in IPRoutes %s, and multicast is not carried", addr,
		       prefix_format(*route, text));
		return false;
	}
	if (*route)
		return true;
	if (!family_left_over(p, q->dst.family))
		answer(out, VERDICT_DIRECT, "%s is not in IPRoutes", addr);
	else if (p->lock_ipv6 == LOCK_IPV6_DIRECT)
		answer(out, VERDICT_DIRECT, "IPRoutes has no IPv%u, and [lock] IPv6 = direct",
		       q->dst.family);
	else
		answer(out, VERDICT_BLOCK, "IPRoutes has no IPv%u, and [lock] IPv6 = block",
		       q->dst.family);
	return false;
}

void policy_decide(const struct profile *p, const struct policy_query *q,
		   struct policy_answer *out)
{
	bool service = addr_equal(&q->dst, &q->service4) || addr_equal(&q->dst, &q->service6);
	const struct prefix *route = NULL;
	char addr[ADDR_STRLEN], text[PREFIX_STRLEN];

	addr_format(&q->dst, addr);
	if (service && (q->proto == PROTO_UDP || q->proto == PROTO_TCP) && q->port == PORT_DNS) {
		answer(out, VERDICT_TUNNEL, "%s port 53 is the DNS forwarder's service address",
		       addr);
		return;
	}
	if (service) {
		answer(out, VERDICT_BLOCK, "%s is the service address, which answers DNS only", addr);
		return;
	}
	if (!q->in_tun && !decide_route(p, q, out, &route))
		return;
	switch (q->proto) {
	case PROTO_UDP:
		decide_udp(p, q, out);
		return;
	case PROTO_TCP:
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		break;
	default:
		answer(out, VERDICT_BLOCK, "protocol %u is not carried", q->proto);
		return;
	}
	/* the packet came out of the TUN; which route led it there is only for the words */
	if (!route)
		route = prefix_find(p->routes, p->n_routes, &q->dst);
	if (route)
		answer(out, VERDICT_TUNNEL, "%s is in IPRoutes %s", addr, prefix_format(route, text));
	else
		answer(out, VERDICT_TUNNEL, "%s came in through the tunnel's interface", addr);
}
