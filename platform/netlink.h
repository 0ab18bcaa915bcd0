/* SPDX-License-Identifier: MIT */
/*
 * netlink.h - one request to the kernel, or one dump, over libnl.  libnl's own
 * error numbers say less than the kernel's: these functions return the latter.
 */
#ifndef APPTUNNEL_NETLINK_H
#define APPTUNNEL_NETLINK_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "profiles/addr.h"

/*
 * netlink_request() - begin a message
 * @type: RTM_...; @flags: NLM_F_... beside REQUEST and ACK
 * @head, @size: the fixed header after nlmsghdr
 * Return: the message, or NULL: no memory
 */
struct nl_msg *netlink_request(int type, int flags, const void *head, size_t size);

/* netlink_put_addr() - the address as attribute.  0, or -EMSGSIZE */
int netlink_put_addr(struct nl_msg *m, int attr, const struct ipaddr *a);

/*
 * netlink_done() - send and wait for the kernel's verdict; frees @m
 * @m: NULL is no memory; @bad: 0, or what went wrong while it was filled
 * Return: 0, or the kernel's negative errno
 */
int netlink_done(int protocol, struct nl_msg *m, int bad);

/*
 * netlink_dump() - as netlink_done(), for a request with NLM_F_DUMP
 * @each: called with each message; a value other than 0 ends the dump
 * Return: 0, what @each returned, -EAGAIN: the table changed meanwhile (what
 * came is to be forgotten and read anew), or another negative errno
 */
int netlink_dump(int protocol, struct nl_msg *m, int bad,
	    int (*each)(const struct nlmsghdr *h, void *arg), void *arg);

/* netlink_addr() - read an address of @family (4, 6); family 0 when absent */
struct ipaddr netlink_addr(const struct nlattr *a, uint8_t family);

#define NL_TRIES	10	/* for a dump that is torn again and again */

static inline uint8_t netlink_af(uint8_t family)
{
	return family == 4 ? AF_INET : AF_INET6;
}

#endif
