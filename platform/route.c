/* SPDX-License-Identifier: MIT */
/* route.c - routes of our own table. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "platform/names.h"
#include "platform/netlink.h"
#include "platform/sys.h"

#define ROUTES_MAX	(1u << 20)	/* more than that is not read */
/* What IPv6 takes for metric 0; said aloud, or a deletion would match the shadow. */
#define METRIC6		1024u

struct route_seen {
	struct prefix prefix;
	uint8_t type, proto;
	uint32_t metric, oif;
};

/* Our table of both families, as read last and sorted; for reading back. */
static struct {
	bool valid;
	uint32_t table;
	size_t n, room;
	struct route_seen *r;
} cache;

static struct route_seen route_wanted(const struct plan_item *i)
{
	struct route_seen r = { .prefix = i->prefix, .type = RTN_UNICAST,
				.proto = NAMES_ROUTE_PROTO };

	r.metric = i->family == 6 ? METRIC6 : 0;
	if (i->kind == PLAN_SHADOW) {
		r.type = RTN_UNREACHABLE;
		r.metric = NAMES_SHADOW_METRIC;
	} else if (i->kind == PLAN_THROW) {
		r.type = RTN_THROW;
	}
	return r;
}

int route_change(bool add, const struct plan_item *i, const struct plan_names *n)
{
	struct route_seen r = route_wanted(i);
	bool dev = add && i->kind == PLAN_ROUTE;
	struct rtmsg h = {
		.rtm_family = netlink_af(i->family), .rtm_dst_len = i->prefix.len,
		.rtm_table = RT_TABLE_UNSPEC, .rtm_protocol = r.proto, .rtm_type = r.type,
		.rtm_scope = !add ? RT_SCOPE_NOWHERE : dev ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
	};
	unsigned int oif = 0;
	struct nl_msg *m;
	int bad = 0;

	cache.valid = false;
	if (dev) {
		oif = if_nametoindex(n->tun);
		if (!oif)
			return -ENODEV;
	}
	m = netlink_request(add ? RTM_NEWROUTE : RTM_DELROUTE,
		       add ? NLM_F_CREATE | NLM_F_EXCL : 0, &h, sizeof(h));
	if (!m)
		return -ENOMEM;
	bad |= netlink_put_addr(m, RTA_DST, &i->prefix.addr);
	bad |= nla_put_u32(m, RTA_TABLE, n->table);
	if (r.metric)
		bad |= nla_put_u32(m, RTA_PRIORITY, r.metric);
	if (dev)
		bad |= nla_put_u32(m, RTA_OIF, oif);
	return netlink_done(NETLINK_ROUTE, m, bad ? -EMSGSIZE : 0);
}

static int route_read(const struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[RTA_MAX + 1];
	struct route_seen *r;
	struct rtmsg *t;
	uint32_t table;

	(void)arg;
	if (h->nlmsg_type != RTM_NEWROUTE ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*t), a, RTA_MAX, NULL))
		return 0;
	t = nlmsg_data(h);
	table = a[RTA_TABLE] && nla_len(a[RTA_TABLE]) >= 4 ? nla_get_u32(a[RTA_TABLE]) :
							    t->rtm_table;
	if (table != cache.table)
		return 0;
	if (cache.n == cache.room) {
		size_t room = cache.room ? cache.room * 2 : 256;

		r = room <= ROUTES_MAX ? realloc(cache.r, room * sizeof(*r)) : NULL;
		if (!r)
			return -ENOMEM;
		cache.r = r;
		cache.room = room;
	}
	r = &cache.r[cache.n++];
	memset(r, 0, sizeof(*r));
	r->type = t->rtm_type;
	r->proto = t->rtm_protocol;
	r->prefix.len = t->rtm_dst_len;
	r->prefix.addr = netlink_addr(a[RTA_DST], t->rtm_family == AF_INET ? 4 : 6);
	r->prefix.addr.family = t->rtm_family == AF_INET ? 4 : 6;
	if (a[RTA_PRIORITY] && nla_len(a[RTA_PRIORITY]) >= 4)
		r->metric = nla_get_u32(a[RTA_PRIORITY]);
	if (a[RTA_OIF] && nla_len(a[RTA_OIF]) >= 4)
		r->oif = nla_get_u32(a[RTA_OIF]);
	return 0;
}

static int by_prefix(const void *a, const void *b)
{
	const struct route_seen *r = a, *s = b;
	int d = addr_compare(&r->prefix.addr, &s->prefix.addr);

	return d ? d : (int)r->prefix.len - (int)s->prefix.len;
}

/* bsearch() needs one equal member; with type and metric there is just one */
static int by_all(const void *a, const void *b)
{
	const struct route_seen *r = a, *s = b;
	int d = by_prefix(a, b);

	if (d)
		return d;
	if (r->type != s->type)
		return r->type < s->type ? -1 : 1;
	return (r->metric > s->metric) - (r->metric < s->metric);
}

static int cache_fill(uint32_t table)
{
	int err = 0;

	if (cache.valid && cache.table == table)
		return 0;
	cache.table = table;
	for (int tries = NL_TRIES; tries; tries--) {
		cache.n = 0;
		for (uint8_t f = 4; f <= 6; f += 2) {
			struct rtmsg h = { .rtm_family = netlink_af(f) };
			struct nl_msg *m = netlink_request(RTM_GETROUTE, NLM_F_DUMP, &h, sizeof(h));

			if (!m)
				return -ENOMEM;
			err = netlink_dump(NETLINK_ROUTE, m, nla_put_u32(m, RTA_TABLE, table) ?
				      -EMSGSIZE : 0, route_read, NULL);
			if (err == -ENOENT || err == -EAFNOSUPPORT)
				err = 0;	/* a table without routes does not exist */
			if (err)
				break;
		}
		if (err != -EAGAIN)
			break;
	}
	if (err)
		return err;
	if (cache.n)
		qsort(cache.r, cache.n, sizeof(*cache.r), by_all);
	cache.valid = true;
	return 0;
}

int route_present(const struct plan_item *i, const struct plan_names *n)
{
	struct route_seen wanted = route_wanted(i), *found;
	int err = cache_fill(n->table);

	if (err)
		return err;
	found = cache.n ? bsearch(&wanted, cache.r, cache.n, sizeof(*cache.r), by_all) : NULL;
	if (!found || found->proto != wanted.proto)
		return -ENOENT;
	if (i->kind == PLAN_ROUTE && found->oif != if_nametoindex(n->tun))
		return -ENOENT;
	return 0;
}

int route_first(uint8_t family, uint32_t table, struct prefix *out)
{
	int err = cache_fill(table);

	if (err)
		return err;
	for (size_t n = 0; n < cache.n; n++) {
		if (cache.r[n].prefix.addr.family == family) {
			*out = cache.r[n].prefix;
			return 0;
		}
	}
	return -ENOENT;
}

void route_forget(void)
{
	cache.valid = false;
}
