/* SPDX-License-Identifier: MIT */
/*
 * policy.h - the one decision: tunnel, direct or block.  Pure; the data path,
 * `apptunnel explain` (online and offline), logs and tests call the same code.
 */
#ifndef APPTUNNEL_POLICY_H
#define APPTUNNEL_POLICY_H

#include "profiles/profile.h"

enum verdict { VERDICT_TUNNEL, VERDICT_DIRECT, VERDICT_BLOCK };

struct policy_query {
	uint8_t proto;			/* 6, 17, 1 or 58 */
	struct ipaddr dst;
	uint16_t port;			/* host order; 0 for ICMP */
	bool in_tun;			/* the packet came out of the TUN: routing is
					 * decided already; false (explain): ask the routes too */
	struct ipaddr service4, service6;
};

struct policy_answer {
	enum verdict verdict;
	char reason[160];		/* one phrase, names key and value that decided */
};

/* policy_decide() - @out is always filled */
void policy_decide(const struct profile *p, const struct policy_query *q,
		   struct policy_answer *out);
/* policy_udp_tunnelled() - the same question for UDP, without the words */
bool policy_udp_tunnelled(const struct profile *p, uint16_t port);
const char *verdict_name(enum verdict v);

/* ---- two profiles (policy_diff.c, not in the command line) */

struct policy_diff;
/* policy_diff_new() - both are borrowed for its life.  NULL: no memory */
struct policy_diff *policy_diff_new(const struct profile *was, const struct profile *is);
/* policy_diff_has() - is the verdict on @q another one now?  Asks routes, so in_tun is false */
bool policy_diff_has(const struct policy_diff *d, const struct policy_query *q);
void policy_diff_free(struct policy_diff *d);

#endif
