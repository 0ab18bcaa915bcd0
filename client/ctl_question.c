/* SPDX-License-Identifier: MIT */
/* ctl_question.c - a question to the policy, as people write one */
#include "client/ctl_question.h"

#include <string.h>

#include "profiles/plan.h"
#include "profiles/text.h"
#include "profiles/value.h"

#define PROTO_ICMP	1
#define PROTO_TCP	6
#define PROTO_UDP	17
#define PROTO_ICMPV6	58

bool question_proto(struct question *q, const char *s, size_t n)
{
	static const struct {
		const char *name;
		uint8_t proto;
	} protos[] = { { "tcp", PROTO_TCP }, { "udp", PROTO_UDP }, { "icmp", PROTO_ICMP } };
	size_t i;

	for (i = 0; i < sizeof(protos) / sizeof(protos[0]); i++) {
		if (!text_same(s, n, protos[i].name))
			continue;
		q->proto = protos[i].proto;
		q->proto_name = protos[i].name;
		return true;
	}
	return false;
}

const char *question_dest(struct question *q, const char *s, size_t n)
{
	const char *first = memchr(s, ':', n), *colon = first, *p;
	bool bracket = n && s[0] == '[', port;
	struct profile_host host;
	struct value_error e;

	for (p = s; p < s + n; p++) {
		if (*p == ':')
			colon = p;
	}
	/* several colons without brackets are those of an IPv6 address */
	port = colon && (bracket ? colon[-1] == ']' : colon == first);
	if (!n || value_host(s, n, &host, &e) < 0 || !host.addr.family)
		return "DEST must be an address";
	if (port && q->proto == PROTO_ICMP)
		return "ICMP has no ports";
	if (!port && q->proto != PROTO_ICMP)
		return "TCP and UDP need DEST:PORT";
	q->dst = host.addr;
	q->port = port ? host.port : 0;
	if (q->proto == PROTO_ICMP && q->dst.family == 6)
		q->proto = PROTO_ICMPV6;
	return NULL;
}

void question_decide(const struct profile *p, const struct question *q,
		     struct policy_answer *answer)
{
	struct policy_query query = { .proto = q->proto, .dst = q->dst, .port = q->port };
	struct plan_names names;

	plan_names_default(&names, 0);
	query.service4 = names.service4;
	query.service6 = names.service6;
	policy_decide(p, &query, answer);
}
