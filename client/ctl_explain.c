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
#include "client/ctl_question.h"
#include "platform/control.h"
#include "profiles/text.h"

#define PROTO_ICMP	1
#define PROTO_ICMPV6	58

static int usage(const char *why)
{
	if (why)
		fprintf(stderr, "apptunnel: %s\n", why);
	fprintf(stderr, "usage: apptunnel explain tcp|udp|icmp DEST[:PORT] [--profile FILE] [--json]\n"
		"DEST is an address; an IPv6 address with a port stands in brackets\n");
	return CTL_USAGE;
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

static int offline(const struct ctl_opts *o, const struct question *q, const char *profile)
{
	struct policy_answer answer;
	struct ctl_loaded l;
	int code = ctl_load(o, profile, &l);

	if (code == CTL_PROFILE) {
		ctl_load_errors(&l);
		ctl_loaded_free(&l);
	}
	if (code)
		return code;
	question_decide(l.p, q, &answer);
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
	const char *dest = NULL, *profile = NULL, *wrong;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--profile")) {
			if (++i == argc)
				return usage("--profile needs a value");
			profile = argv[i];
		} else if (!q.proto && argv[i][0] != '-') {
			if (!question_proto(&q, argv[i], strlen(argv[i])))
				return usage("the protocol is tcp, udp or icmp");
		} else if (!dest && argv[i][0] != '-') {
			dest = argv[i];
		} else {
			return usage(NULL);
		}
	}
	if (!dest)
		return usage(NULL);
	wrong = question_dest(&q, dest, strlen(dest));
	if (wrong)
		return usage(wrong);
	return profile ? offline(o, &q, profile) : online(o, &q);
}
