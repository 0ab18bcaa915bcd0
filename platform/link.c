/* SPDX-License-Identifier: MIT */
/* link.c - the TUN as a network interface, and its addresses. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "platform/names.h"
#include "platform/netlink.h"
#include "platform/sys.h"

#define GEN_MODE_NONE	1	/* IN6_ADDR_GEN_MODE_NONE */

/*
 * No link-local address of its own, so that the kernel sends no router
 * solicitations into the tunnel.  Not vital: without IPv6 there is nothing to set.
 */
static void link_quiet(unsigned int index)
{
	struct ifinfomsg h = { .ifi_index = (int)index };
	struct nl_msg *m = netlink_request(RTM_NEWLINK, 0, &h, sizeof(h));
	struct nlattr *spec, *inet6;

	if (!m)
		return;
	spec = nla_nest_start(m, IFLA_AF_SPEC);
	inet6 = spec ? nla_nest_start(m, AF_INET6) : NULL;
	if (!inet6 || nla_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, GEN_MODE_NONE)) {
		nlmsg_free(m);
		return;
	}
	nla_nest_end(m, inet6);
	nla_nest_end(m, spec);
	(void)netlink_done(NETLINK_ROUTE, m, 0);
}

int link_set(const struct plan_item *i, const struct plan_names *n)
{
	struct ifinfomsg h = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct nl_msg *m;
	int bad = 0;

	h.ifi_index = (int)if_nametoindex(n->tun);
	if (!h.ifi_index)
		return -ENODEV;
	link_quiet((unsigned int)h.ifi_index);
	m = netlink_request(RTM_NEWLINK, 0, &h, sizeof(h));
	if (!m)
		return -ENOMEM;
	bad |= nla_put_u32(m, IFLA_MTU, i->value);
	bad |= nla_put_u32(m, IFLA_TXQLEN, NAMES_TUN_QUEUE);
	bad |= nla_put(m, IFLA_IFALIAS, (int)strlen(i->path), i->path);
	return netlink_done(NETLINK_ROUTE, m, bad ? -EMSGSIZE : 0);
}

struct link_seen {
	unsigned int flags;
	uint32_t mtu, queue;
	char alias[64];
};

static int link_read(const struct nlmsghdr *h, void *arg)
{
	struct link_seen *l = arg;
	struct nlattr *a[IFLA_MAX + 1];
	struct ifinfomsg *i;

	if (h->nlmsg_type != RTM_NEWLINK ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*i), a, IFLA_MAX, NULL))
		return 0;
	i = nlmsg_data(h);
	l->flags = i->ifi_flags;
	if (a[IFLA_MTU] && nla_len(a[IFLA_MTU]) >= 4)
		l->mtu = nla_get_u32(a[IFLA_MTU]);
	if (a[IFLA_TXQLEN] && nla_len(a[IFLA_TXQLEN]) >= 4)
		l->queue = nla_get_u32(a[IFLA_TXQLEN]);
	if (a[IFLA_IFALIAS])
		nla_strlcpy(l->alias, a[IFLA_IFALIAS], sizeof(l->alias));
	return 0;
}

/* -ENODEV: there is no such interface */
static int link_look(const struct plan_names *n, struct link_seen *l, int *index)
{
	struct ifinfomsg h = { .ifi_index = (int)if_nametoindex(n->tun) };

	memset(l, 0, sizeof(*l));
	*index = h.ifi_index;
	if (!h.ifi_index)
		return -ENODEV;
	/* not a dump, but one answer before the acknowledgement */
	return netlink_dump(NETLINK_ROUTE, netlink_request(RTM_GETLINK, NLM_F_ACK, &h, sizeof(h)), 0,
		       link_read, l);
}

int link_present(const struct plan_item *i, const struct plan_names *n)
{
	struct link_seen l;
	int index, err;

	err = link_look(n, &l, &index);
	if (err)
		return err == -ENODEV ? -ENOENT : err;
	if (i->kind == PLAN_TUN)
		return 0;
	return (l.flags & IFF_UP) && l.mtu == i->value && l.queue == NAMES_TUN_QUEUE ?
	       0 : -ENOENT;
}

int link_delete(const struct plan_names *n)
{
	struct ifinfomsg h = { 0 };
	struct link_seen l;
	int err;

	err = link_look(n, &l, &h.ifi_index);
	if (err)
		return err;
	if (strncmp(l.alias, LINK_ALIAS, strlen(LINK_ALIAS)))
		return -ENODEV;		/* somebody else's by now */
	return netlink_done(NETLINK_ROUTE, netlink_request(RTM_DELLINK, NLM_F_ACK, &h, sizeof(h)), 0);
}

/* ---- addresses ------------------------------------------------------------------------ */

struct addr_search {
	struct ipaddr addr;
	unsigned int index;
	bool here;
};

static int addr_read(const struct nlmsghdr *h, void *arg)
{
	struct addr_search *s = arg;
	struct nlattr *a[IFA_MAX + 1];
	struct ifaddrmsg *i;
	struct ipaddr found;
	uint8_t family;

	if (h->nlmsg_type != RTM_NEWADDR ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*i), a, IFA_MAX, NULL))
		return 0;
	i = nlmsg_data(h);
	family = i->ifa_family == AF_INET ? 4 : 6;
	found = netlink_addr(a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], family);
	if (i->ifa_index == s->index && addr_equal(&found, &s->addr))
		s->here = true;
	return 0;
}

int addr_change(bool add, const struct plan_item *i, const struct plan_names *n)
{
	unsigned int index = if_nametoindex(n->tun);
	struct ifaddrmsg h = { .ifa_family = netlink_af(i->family), .ifa_prefixlen = i->prefix.len,
			       .ifa_index = index };
	uint32_t flags = IFA_F_NOPREFIXROUTE | (i->family == 6 ? IFA_F_NODAD : 0);
	struct nl_msg *m;
	int bad = 0;

	if (!index)
		return -ENODEV;
	m = netlink_request(add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0,
		       &h, sizeof(h));
	if (!m)
		return -ENOMEM;
	bad |= netlink_put_addr(m, IFA_LOCAL, &i->prefix.addr);
	bad |= netlink_put_addr(m, IFA_ADDRESS, &i->prefix.addr);
	if (add)
		bad |= nla_put_u32(m, IFA_FLAGS, flags);
	return netlink_done(NETLINK_ROUTE, m, bad ? -EMSGSIZE : 0);
}

int addr_present(const struct plan_item *i, const struct plan_names *n)
{
	struct ifaddrmsg h = { .ifa_family = netlink_af(i->family) };
	struct addr_search s = { .addr = i->prefix.addr, .index = if_nametoindex(n->tun) };
	int err = -EAGAIN;

	if (!s.index)
		return -ENOENT;
	for (int tries = NL_TRIES; err == -EAGAIN && tries; tries--)
		err = netlink_dump(NETLINK_ROUTE,
				   netlink_request(RTM_GETADDR, NLM_F_DUMP, &h, sizeof(h)), 0,
				   addr_read, &s);
	return err ? err : s.here ? 0 : -ENOENT;
}
