/* SPDX-License-Identifier: MIT */
/*
 * rule.c - policy rules.  libnl has no setter for "not" (FIB_RULE_INVERT), so
 * the message is built here.
 */
#include <errno.h>
#include <linux/fib_rules.h>
#include <stdlib.h>
#include <string.h>

#include "platform/names.h"
#include "platform/netlink.h"
#include "platform/sys.h"

#define RULES_MAX	65536	/* more than that is not read */

/* All rules of a family, as read last; for reading back a long plan. */
static struct rule_cache {
	bool valid;
	size_t n, room;
	struct rule_seen *r;
} caches[2];

/* the rule that @i stands for */
static struct rule_seen rule_wanted(const struct plan_item *i, const struct plan_names *n)
{
	struct rule_seen r = { .family = i->family, .action = FR_ACT_TO_TBL,
			       .protocol = NAMES_ROUTE_PROTO };

	if (i->kind == PLAN_RULE) {
		r.invert = true;
		r.prio = n->prio;
		r.table = n->table;
		r.mark = n->mark;
		r.mask = n->mark;
		return r;
	}
	r.prio = n->prio_main;
	r.table = RT_TABLE_MAIN;
	r.sport[0] = r.sport[1] = i->sport;
	r.dport[0] = r.dport[1] = i->dport;
	r.ipproto = IPPROTO_UDP;
	if (i->kind == PLAN_INBOUND) {
		r.ipproto = IPPROTO_TCP;
		r.src = i->from;
		r.dst = i->prefix.addr;
		r.src_len = r.dst_len = (uint8_t)(addr_len(i->family) * 8);
	}
	return r;
}

static int put_ports(struct nl_msg *m, int attr, const uint16_t ports[2])
{
	struct fib_rule_port_range range = { .start = ports[0], .end = ports[1] };

	return ports[0] ? nla_put(m, attr, sizeof(range), &range) : 0;
}

int rule_change(bool add, const struct plan_item *i, const struct plan_names *n)
{
	struct rule_seen r = rule_wanted(i, n);
	struct fib_rule_hdr h = {
		.family = netlink_af(r.family), .action = r.action,
		.src_len = r.src_len, .dst_len = r.dst_len,
		.flags = r.invert ? FIB_RULE_INVERT : 0,
	};
	struct nl_msg *m;
	int bad = 0;

	rule_forget();
	m = netlink_request(add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0,
		       &h, sizeof(h));
	if (!m)
		return -ENOMEM;
	bad |= nla_put_u32(m, FRA_PRIORITY, r.prio);
	bad |= nla_put_u32(m, FRA_TABLE, r.table);
	bad |= nla_put_u8(m, FRA_PROTOCOL, r.protocol);
	if (r.mask) {
		bad |= nla_put_u32(m, FRA_FWMARK, r.mark);
		bad |= nla_put_u32(m, FRA_FWMASK, r.mask);
	}
	if (r.ipproto)
		bad |= nla_put_u8(m, FRA_IP_PROTO, r.ipproto);
	bad |= put_ports(m, FRA_SPORT_RANGE, r.sport);
	bad |= put_ports(m, FRA_DPORT_RANGE, r.dport);
	if (r.src_len) {
		bad |= netlink_put_addr(m, FRA_SRC, &r.src);
		bad |= netlink_put_addr(m, FRA_DST, &r.dst);
	}
	return netlink_done(NETLINK_ROUTE, m, bad ? -EMSGSIZE : 0);
}

static uint32_t get_u32(struct nlattr *a, uint32_t without)
{
	return a && nla_len(a) >= 4 ? nla_get_u32(a) : without;
}

static uint8_t get_u8(struct nlattr *a)
{
	return a && nla_len(a) >= 1 ? nla_get_u8(a) : 0;
}

static void get_ports(struct nlattr *a, uint16_t ports[2])
{
	struct fib_rule_port_range range;

	if (!a || (size_t)nla_len(a) < sizeof(range))
		return;
	memcpy(&range, nla_data(a), sizeof(range));
	ports[0] = range.start;
	ports[1] = range.end;
}

static int rule_read(const struct nlmsghdr *h, void *arg)
{
	struct rule_cache *c = arg;
	struct nlattr *a[FRA_MAX + 1];
	struct rule_seen *r;
	struct fib_rule_hdr *f;

	if (h->nlmsg_type != RTM_NEWRULE ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*f), a, FRA_MAX, NULL))
		return 0;
	if (c->n == c->room) {
		size_t room = c->room ? c->room * 2 : 64;

		r = room <= RULES_MAX ? realloc(c->r, room * sizeof(*r)) : NULL;
		if (!r)
			return -ENOMEM;
		c->r = r;
		c->room = room;
	}
	f = nlmsg_data(h);
	r = &c->r[c->n++];
	memset(r, 0, sizeof(*r));
	r->family = f->family == AF_INET ? 4 : 6;
	r->action = f->action;
	r->invert = f->flags & FIB_RULE_INVERT;
	r->src_len = f->src_len;
	r->dst_len = f->dst_len;
	r->prio = get_u32(a[FRA_PRIORITY], 0);
	r->table = get_u32(a[FRA_TABLE], f->table);
	r->mark = get_u32(a[FRA_FWMARK], 0);
	r->mask = get_u32(a[FRA_FWMASK], 0);
	r->protocol = get_u8(a[FRA_PROTOCOL]);
	r->ipproto = get_u8(a[FRA_IP_PROTO]);
	get_ports(a[FRA_SPORT_RANGE], r->sport);
	get_ports(a[FRA_DPORT_RANGE], r->dport);
	r->src = netlink_addr(a[FRA_SRC], r->family);
	r->dst = netlink_addr(a[FRA_DST], r->family);
	return 0;
}

void rule_forget(void)
{
	caches[0].valid = caches[1].valid = false;
}

int rule_find(uint8_t family, bool (*match)(const struct rule_seen *r, const void *arg),
	      const void *arg, struct rule_seen *out)
{
	struct rule_cache *c = &caches[family == 6];
	struct fib_rule_hdr h = { .family = netlink_af(family) };
	int err;

	for (int tries = NL_TRIES; !c->valid; tries--) {
		c->n = 0;
		err = netlink_dump(NETLINK_ROUTE, netlink_request(RTM_GETRULE, NLM_F_DUMP, &h, sizeof(h)),
			      0, rule_read, c);
		if (err && (err != -EAGAIN || !tries))
			return err;
		c->valid = !err;
	}
	for (size_t n = 0; n < c->n; n++) {
		if (c->r[n].family == family && match(&c->r[n], arg)) {
			*out = c->r[n];
			return 0;
		}
	}
	return -ENOENT;
}

static bool rule_same(const struct rule_seen *r, const void *arg)
{
	const struct rule_seen *w = arg;

	return r->action == w->action && r->protocol == w->protocol &&
	       r->ipproto == w->ipproto && r->invert == w->invert && r->prio == w->prio &&
	       r->table == w->table && r->mark == w->mark && r->mask == w->mask &&
	       r->src_len == w->src_len && r->dst_len == w->dst_len &&
	       !memcmp(r->sport, w->sport, sizeof(r->sport)) &&
	       !memcmp(r->dport, w->dport, sizeof(r->dport)) &&
	       addr_equal(&r->src, &w->src) && addr_equal(&r->dst, &w->dst);
}

int rule_present(const struct plan_item *i, const struct plan_names *n)
{
	struct rule_seen wanted = rule_wanted(i, n), found;

	return rule_find(i->family, rule_same, &wanted, &found);
}
