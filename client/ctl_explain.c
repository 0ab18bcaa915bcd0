/* SPDX-License-Identifier: MIT */
/*
 * ctl_explain.c - apptunnel explain: where a packet would go, and why.  With
 * --profile from a file, by the code that decides packets; else the connected
 * profile's engine answers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_load.h"
#include "client/policy.h"
#include "platform/control.h"
#include "profiles/plan.h"
#include "profiles/text.h"
#include "profiles/value.h"

#define PROTO_ICMP	1
#define PROTO_TCP	6
#define PROTO_UDP	17
#define PROTO_ICMPV6	58

struct question {
	const char *proto_name;
	uint8_t proto;
	struct ipaddr dst;
	uint16_t port;
	const char *profile;
};

static int usage(const char *why)
{
	if (why)
		fprintf(stderr, "apptunnel: %s\n", why);
	fprintf(stderr, "usage: apptunnel explain tcp|udp|icmp DEST[:PORT] [--profile FILE] [--json]\n"
		"DEST is an address; an IPv6 address with a port stands in brackets\n");
	return CTL_USAGE;
}

static bool take_proto(struct question *q, const char *s)
{
	static const struct {
		const char *name;
		uint8_t proto;
	} protos[] = { { "tcp", PROTO_TCP }, { "udp", PROTO_UDP }, { "icmp", PROTO_ICMP } };
	size_t i;

	for (i = 0; i < sizeof(protos) / sizeof(protos[0]); i++) {
		if (strcmp(s, protos[i].name) != 0)
			continue;
		q->proto = protos[i].proto;
		q->proto_name = protos[i].name;
		return true;
	}
	return false;
}

/* DEST[:PORT], in the forms of a Host.  Return: NULL, or what is wrong */
static const char *take_dest(struct question *q, const char *s)
{
	const char *colon = strrchr(s, ':'), *bracket = strrchr(s, ']');
	bool port = colon && (bracket ? colon > bracket : colon == strchr(s, ':'));
	struct profile_host host;
	struct value_error e;

	if (!*s || value_host(s, strlen(s), &host, &e) < 0 || !host.addr.family)
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

static int print_answer(const struct ctl_opts *o, const struct question *q,
			const struct policy_answer *a, const char *profile)
{
	char addr[ADDR_STRLEN], *s;
	struct text t = { 0 };
	int code;

	addr_format(&q->dst, addr);
	if (o->json) {
		text_addf(&t, "{\"version\": 1, \"profile\": ");
		text_json(&t, profile);
		text_addf(&t, ", \"protocol\": \"%s\", \"address\": \"%s\"", q->proto_name, addr);
		if (q->port)
			text_addf(&t, ", \"port\": %u", q->port);
		text_addf(&t, ", \"verdict\": \"%s\", \"reason\": ", verdict_name(a->verdict));
		text_json(&t, a->reason);
		text_add(&t, "}\n");
	} else {
		text_addf(&t, "%s: %s\n", verdict_name(a->verdict), a->reason);
	}
	s = text_take(&t);
	code = ctl_print(s);
	free(s);
	return code;
}

static int offline(const struct ctl_opts *o, const struct question *q)
{
	struct policy_query query = { .proto = q->proto, .dst = q->dst, .port = q->port };
	struct policy_answer answer;
	struct plan_names names;
	struct ctl_loaded l;
	int code = ctl_load(o, q->profile, &l);

	if (code == CTL_PROFILE) {
		ctl_load_errors(&l);
		ctl_loaded_free(&l);
	}
	if (code)
		return code;
	plan_names_default(&names, 0);
	query.service4 = names.service4;
	query.service6 = names.service6;
	policy_decide(l.p, &query, &answer);
	code = print_answer(o, q, &answer, l.stem);
	ctl_loaded_free(&l);
	return code;
}

static int online(const struct ctl_opts *o, const struct question *q)
{
	struct control_request req;

	memset(&req, 0, sizeof(req));	/* padding, too: the far side looks at it */
	req.magic = CONTROL_MAGIC;
	req.verb = CONTROL_EXPLAIN;
	req.proto = q->proto == PROTO_ICMPV6 ? PROTO_ICMP : q->proto;
	req.flags = o->json ? CONTROL_F_JSON : 0;
	req.port = q->port;
	req.addr = q->dst;
	return ctl_request(o, &req);
}

int ctl_explain(const struct ctl_opts *o, int argc, char **argv)
{
	struct question q = { 0 };
	const char *dest = NULL, *wrong;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--profile")) {
			if (++i == argc)
				return usage("--profile needs a value");
			q.profile = argv[i];
		} else if (!q.proto && argv[i][0] != '-') {
			if (!take_proto(&q, argv[i]))
				return usage("the protocol is tcp, udp or icmp");
		} else if (!dest && argv[i][0] != '-') {
			dest = argv[i];
		} else {
			return usage(NULL);
		}
	}
	if (!dest)
		return usage(NULL);
	wrong = take_dest(&q, dest);
	if (wrong)
		return usage(wrong);
	return q.profile ? offline(o, &q) : online(o, &q);
}
