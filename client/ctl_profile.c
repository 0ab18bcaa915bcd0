/* SPDX-License-Identifier: MIT */
/* ctl_profile.c - apptunnel profile check | show | list */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_load.h"
#include "profiles/show.h"
#include "profiles/text.h"

static int usage(void)
{
	fprintf(stderr, "usage: apptunnel profile check FILE|NAME [--json]\n"
		"       apptunnel profile show FILE|NAME [--json]\n"
		"       apptunnel profile list [--json]\n");
	return CTL_USAGE;
}

/* ---- check ------------------------------------------------------------------------------- */

static int profile_check(const struct ctl_opts *o, const char *what)
{
	char line[FINDING_LINE_MAX], *s;
	struct text t = { 0 };
	struct ctl_loaded l;
	int code = ctl_load(o, what, &l), r;
	size_t i;

	if (code && code != CTL_PROFILE)
		return code;
	ctl_check_files(&l);
	if (o->json) {
		s = findings_json(&l.f);
	} else {
		for (i = 0; i < l.f.n; i++)
			text_addf(&t, "%s\n", finding_format(&l.f, &l.f.v[i], line, sizeof(line)));
		s = text_take(&t);
	}
	r = ctl_print(s);
	if (!o->json && !r)
		fprintf(stderr, "%s: %s (errors: %zu, warnings: %zu)\n", l.path,
			l.f.errors ? "invalid" : "valid", l.f.errors, l.f.warnings);
	free(s);
	code = r ? r : l.f.errors ? CTL_PROFILE : CTL_DONE;
	ctl_loaded_free(&l);
	return code;
}

/* ---- show -------------------------------------------------------------------------------- */

static int profile_show(const struct ctl_opts *o, const char *what)
{
	struct text t = { 0 };
	struct ctl_loaded l;
	int code = ctl_load(o, what, &l);
	char *s;

	if (code == CTL_PROFILE) {
		ctl_load_errors(&l);
		ctl_loaded_free(&l);
	}
	if (code)
		return code;
	if (o->json)
		show_json(l.p, &l.o, l.path, &t);
	else
		show_text(l.p, &l.o, l.path, &t);
	s = text_take(&t);
	code = ctl_print(s);
	free(s);
	ctl_loaded_free(&l);
	return code;
}

/* ---- list -------------------------------------------------------------------------------- */

static void list_one(const struct ctl_opts *o, const struct ctl_loaded *l, bool first,
		     struct text *t)
{
	char state[64];

	if (o->json) {
		text_addf(t, "%s\n  {\"name\": ", first ? "" : ",");
		text_json(t, l->stem);
		text_add(t, ", \"file\": ");
		text_json(t, l->path);
		text_addf(t, ", \"valid\": %s, \"errors\": %zu, \"warnings\": %zu}",
			  l->f.errors ? "false" : "true", l->f.errors, l->f.warnings);
		return;
	}
	if (l->f.errors)
		snprintf(state, sizeof(state), "invalid, errors: %zu", l->f.errors);
	else if (l->f.warnings)
		snprintf(state, sizeof(state), "valid, warnings: %zu", l->f.warnings);
	else
		snprintf(state, sizeof(state), "valid");
	text_addf(t, "%-32s  %-24s  %s\n", l->stem, state, l->good ? l->p->name : "");
}

/* A file that cannot be read is said on stderr, and the others are listed. */
static int profile_list(const struct ctl_opts *o)
{
	struct ctl_names names;
	struct text t = { 0 };
	int code = ctl_profile_files(o, &names), r;
	bool first = true;
	size_t i;
	char *s;

	if (code)
		return code;
	if (o->json)
		text_add(&t, "{\"version\": 1, \"profiles\": [");
	for (i = 0; i < names.n; i++) {
		struct text path = { 0 };
		struct ctl_loaded l;
		char *p;

		text_addf(&path, "%s/%s", o->profile_dir, names.v[i]);
		p = text_take(&path);
		r = p ? ctl_load(o, p, &l) : CTL_UNEXPECTED;
		free(p);
		if (r && r != CTL_PROFILE) {
			code = r;
			continue;
		}
		if (l.f.n && l.f.v[0].code == FC_FILE_NAME)
			fprintf(stderr, "apptunnel: %s: not a name by which commands know a profile "
				"([A-Za-z0-9_-]{1,32}.ini)\n", l.path);
		else
			list_one(o, &l, first, &t);
		first &= l.f.n && l.f.v[0].code == FC_FILE_NAME;
		ctl_loaded_free(&l);
	}
	if (o->json)
		text_add(&t, "\n]}\n");
	s = text_take(&t);
	r = ctl_print(s);
	free(s);
	ctl_names_free(&names);
	return r ? r : code;
}

int ctl_profile(const struct ctl_opts *o, int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list"))
		return profile_list(o);
	if (argc == 3 && argv[2][0] != '-' && !strcmp(argv[1], "check"))
		return profile_check(o, argv[2]);
	if (argc == 3 && argv[2][0] != '-' && !strcmp(argv[1], "show"))
		return profile_show(o, argv[2]);
	return usage();
}
