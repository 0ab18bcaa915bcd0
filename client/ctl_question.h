/* SPDX-License-Identifier: MIT */
/* ctl_question.h - "tcp 10.1.2.3:443": what `explain` and `profile test` ask the policy */
#ifndef APPTUNNEL_CTL_QUESTION_H
#define APPTUNNEL_CTL_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/policy.h"
#include "profiles/addr.h"

struct question {
	const char *proto_name;		/* "tcp", "udp", "icmp"; static */
	uint8_t proto;			/* 6, 17, 1 or 58 */
	struct ipaddr dst;
	uint16_t port;			/* 0 for ICMP */
};

/* question_proto() - Return: is @s one of tcp, udp and icmp?  Then it is in @q */
bool question_proto(struct question *q, const char *s, size_t n);

/*
 * question_dest() - ADDRESS[:PORT] in the forms of a Host; after question_proto()
 * Return: NULL, or what is wrong (static)
 */
const char *question_dest(struct question *q, const char *s, size_t n);

/* question_decide() - what profile @p says, by the code that decides packets */
void question_decide(const struct profile *p, const struct question *q,
		     struct policy_answer *answer);

#endif
