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

void policy_decide(const struct profile *p, const struct policy_query *q,
		   struct policy_answer *out);
/* policy_udp_tunnelled() - the same question for UDP, without the words */
bool policy_udp_tunnelled(const struct profile *p, uint16_t port);
const char *verdict_name(enum verdict v);

#endif
