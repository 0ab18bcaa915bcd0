/* SPDX-License-Identifier: MIT */
/* ctl_plan.c - apptunnel plan: what connecting would change, before it does */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_load.h"
#include "profiles/plan.h"
#include "profiles/text.h"

static int usage(void)
{
	fprintf(stderr, "usage: apptunnel plan [NAME|FILE | --profile FILE] [--json]\n");
	return CTL_USAGE;
}

static int print_text(const struct plan *plan)
{
	char *line = malloc(PLAN_LINE_MAX), *s;
	struct text t = { 0 };
	size_t i;
	int code;

	for (i = 0; line && i < plan->n; i++) {
		if (plan_item_text(plan, &plan->items[i], line, PLAN_LINE_MAX) >= 0)
			text_addf(&t, "[#] %s\n", line);
		else
			t.failed = true;	/* can't happen: no line is that long */
	}
	s = line ? text_take(&t) : NULL;
	code = ctl_print(s);
	free(s);
	free(line);
	return code;
}

static int print_json(const struct plan *plan)
{
	char *s = plan_json(plan);
	size_t n = s ? strlen(s) : 0;
	int code = ctl_print(s);

	if (!code && n && s[n - 1] != '\n')
		code = ctl_print("\n");
	free(s);
	return code;
}

int ctl_plan(const struct ctl_opts *o, int argc, char **argv)
{
	struct plan_names names;
	struct ctl_loaded l;
	const char *what = NULL;
	struct plan plan;
	int code, i, r;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--profile")) {
			if (what || ++i == argc)
				return usage();
		} else if (what || argv[i][0] == '-') {
			return usage();
		}
		what = argv[i];
	}
	code = ctl_load(o, what, &l);
	if (code == CTL_PROFILE) {
		ctl_load_errors(&l);
		ctl_loaded_free(&l);
	}
	if (code)
		return code;
	plan_names_default(&names, 0);
	r = plan_build(&plan, l.p, NULL, &names);
	if (r < 0) {
		fprintf(stderr, "apptunnel: %s\n", strerror(-r));
		code = CTL_UNEXPECTED;
	} else {
		code = o->json ? print_json(&plan) : print_text(&plan);
		plan_free(&plan);
	}
	ctl_loaded_free(&l);
	return code;
}
