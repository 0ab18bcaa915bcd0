/* SPDX-License-Identifier: MIT */
/*
 * inbound.c - TCP connections that were opened from outside before the lock
 * came.  Where connection tracking was not running, nothing else can tell them
 * from our own: so they are listed, by their local port that listens.
 */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "platform/netlink.h"
#include "platform/sys.h"

#define STATES_LISTEN	(1u << TCP_LISTEN)
#define STATES_LIVE	(1u << TCP_ESTABLISHED | 1u << TCP_SYN_RECV | \
			 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 | \
			 1u << TCP_CLOSE_WAIT | 1u << TCP_LAST_ACK | 1u << TCP_CLOSING)

struct listing {
	uint8_t listens[65536 / 8];	/* a bit for each port */
	struct plan_item *out;
	size_t n, max;
};

static struct ipaddr diag_addr(const struct inet_diag_msg *d, const __be32 *words)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ipaddr a = { .family = d->idiag_family == AF_INET ? 4 : 6 };

	memcpy(a.bytes, words, addr_len(a.family));
	if (a.family == 6 && !memcmp(a.bytes, mapped, sizeof(mapped))) {
		a = (struct ipaddr){ .family = 4 };
		memcpy(a.bytes, (const uint8_t *)words + sizeof(mapped), 4);
	}
	return a;
}

static int on_listener(const struct nlmsghdr *h, void *arg)
{
	const struct inet_diag_msg *d = nlmsg_data(h);
	struct listing *l = arg;
	uint16_t port;

	if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || !nlmsg_valid_hdr(h, sizeof(*d)))
		return 0;
	port = ntohs(d->id.idiag_sport);
	l->listens[port / 8] |= (uint8_t)(1u << (port % 8));
	return 0;
}

static int on_connection(const struct nlmsghdr *h, void *arg)
{
	const struct inet_diag_msg *d = nlmsg_data(h);
	struct listing *l = arg;
	struct plan_item i = { .kind = PLAN_INBOUND, .stage = PLAN_LOCK };

	if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || !nlmsg_valid_hdr(h, sizeof(*d)))
		return 0;
	i.sport = ntohs(d->id.idiag_sport);
	i.dport = ntohs(d->id.idiag_dport);
	i.from = diag_addr(d, d->id.idiag_src);
	i.prefix.addr = diag_addr(d, d->id.idiag_dst);
	i.family = i.prefix.addr.family;
	i.prefix.len = (uint8_t)(addr_len(i.family) * 8);
	if (!(l->listens[i.sport / 8] & 1u << (i.sport % 8)) || !i.dport ||
	    addr_is_loopback(&i.prefix.addr) || addr_equal(&i.from, &i.prefix.addr))
		return 0;
	if (l->n < l->max)
		l->out[l->n++] = i;
	return 0;
}

static int diag(uint8_t family, uint32_t states,
		int (*each)(const struct nlmsghdr *h, void *arg), struct listing *l)
{
	struct inet_diag_req_v2 r = { .sdiag_family = netlink_af(family),
				      .sdiag_protocol = IPPROTO_TCP, .idiag_states = states };
	int err = netlink_dump(NETLINK_SOCK_DIAG,
			  netlink_request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, sizeof(r)), 0, each, l);

	/* sockets come and go; those that matter here are old */
	return err == -EAGAIN || err == -EAFNOSUPPORT || err == -ENOENT ? 0 : err;
}

int inbound_list(struct plan_item *out, size_t max)
{
	struct listing l = { .out = out, .max = max };
	int err = 0;

	for (uint8_t f = 4; !err && f <= 6; f += 2)
		err = diag(f, STATES_LISTEN, on_listener, &l);
	for (uint8_t f = 4; !err && f <= 6; f += 2)
		err = diag(f, STATES_LIVE, on_connection, &l);
	return err ? err : (int)l.n;
}
