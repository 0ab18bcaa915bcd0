/* SPDX-License-Identifier: MIT */
/* ctl_profile.c - apptunnel profile: the table of its verbs, and those that show profiles */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_load.h"
#include "profiles/schema_doc.h"
#include "profiles/show.h"
#include "profiles/text.h"
#include "profiles/write.h"

/* ---- check ------------------------------------------------------------------------------- */

static int profile_check(const struct ctl_opts *o, int argc, char **argv)
{
	const char *what = argv[argc - 1];
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

/* A valid profile, or the exit code, said on stderr. */
static int load_good(const struct ctl_opts *o, const char *what, struct ctl_loaded *l)
{
	int code = ctl_load(o, what, l);

	if (code == CTL_PROFILE) {
		ctl_load_errors(l);
		ctl_loaded_free(l);
	}
	return code;
}

static int print_text(struct text *t)
{
	char *s = text_take(t);
	int code = ctl_print(s);

	free(s);
	return code;
}

static int profile_show(const struct ctl_opts *o, int argc, char **argv)
{
	bool ini = argc == 3 && (!strcmp(argv[1], "--ini") || !strcmp(argv[2], "--ini"));
	const char *what = ini && !strcmp(argv[1], "--ini") ? argv[2] : argv[1];
	struct text t = { 0 };
	struct ctl_loaded l;
	int code;

	if ((argc == 3 && !ini) || what[0] == '-' || (ini && o->json)) {
		fprintf(stderr, "usage: apptunnel profile show FILE|NAME [--json|--ini]\n");
		return CTL_USAGE;
	}
	code = load_good(o, what, &l);
	if (code)
		return code;
	if (ini)
		write_profile(l.p, &l.o, l.folder, &t);
	else if (o->json)
		show_json(l.p, &l.o, l.path, &t);
	else
		show_text(l.p, &l.o, l.path, &t);
	code = print_text(&t);
	ctl_loaded_free(&l);
	return code;
}

/* ---- what the table of keys gives -------------------------------------------------------- */

static int profile_schema(const struct ctl_opts *o, int argc, char **argv)
{
	struct text t = { 0 };

	(void)o;
	(void)argc;
	(void)argv;
	schema_json(&t);
	return print_text(&t);
}

static int profile_example(const struct ctl_opts *o, int argc, char **argv)
{
	struct text t = { 0 };

	(void)o;
	(void)argc;
	(void)argv;
	schema_example(&t);
	return print_text(&t);
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

/* The name by which commands know a file of the profile folder; false: none. */
static bool stem_of(const char *file, char stem[PROFILE_STEM_MAX])
{
	size_t n = strlen(file) - strlen(".ini");	/* or .p7m */

	if (n >= PROFILE_STEM_MAX)
		return false;
	snprintf(stem, PROFILE_STEM_MAX, "%.*s", (int)n, file);
	return profile_stem_ok(stem);
}

/*
 * The profiles as `check NAME` and `connect NAME` would find them.  What cannot
 * be read is said on stderr, and the others are listed.
 */
static int profile_list(const struct ctl_opts *o, int argc, char **argv)
{
	char stem[PROFILE_STEM_MAX], last[PROFILE_STEM_MAX] = "";
	struct ctl_names names;
	struct text t = { 0 };
	int code = ctl_profile_files(o, &names), r;
	bool first = true;
	size_t i;

	(void)argc;
	(void)argv;
	if (code)
		return code;
	if (o->json)
		text_add(&t, "{\"version\": 1, \"profiles\": [");
	for (i = 0; i < names.n; i++) {
		struct ctl_loaded l;

		if (!stem_of(names.v[i], stem)) {
			fprintf(stderr, "apptunnel: %s/%s: not a name by which commands know a profile "
				"([A-Za-z0-9_-]{1,32}.ini or .p7m)\n", o->profile_dir, names.v[i]);
			continue;
		}
		if (!strcmp(stem, last))
			continue;	/* .ini and .p7m: the one that would be used is listed */
		memcpy(last, stem, sizeof(last));
		r = ctl_load(o, stem, &l);
		if (r && r != CTL_PROFILE) {
			code = r;
			continue;
		}
		ctl_check_files(&l);
		list_one(o, &l, first, &t);
		first = false;
		ctl_loaded_free(&l);
	}
	if (o->json)
		text_add(&t, "\n]}\n");
	r = print_text(&t);
	ctl_names_free(&names);
	return r ? r : code;
}

/* ---- the table ----------------------------------------------------------------------------- */

static const struct sub {
	const char *name;
	/* argv[0] is the name */
	int (*run)(const struct ctl_opts *o, int argc, char **argv);
	int least, most;	/* arguments behind the name; the verb sees to its options itself */
	const char *args;
} subs[] = {
	{ "check", profile_check, 1, 1, "FILE|NAME [--json]" },
	{ "show", profile_show, 1, 2, "FILE|NAME [--json|--ini]" },
	{ "list", profile_list, 0, 0, "[--json]" },
	{ "diff", ctl_profile_diff, 2, 2, "FILE|NAME FILE|NAME [--json]" },
	{ "test", ctl_profile_test, 1, 3, "CASES [--profile FILE|NAME] [--json]" },
	{ "import", ctl_profile_import, 1, 7, "FILE [-o FILE] [--payload N] [--force] [--json]" },
	{ "example", profile_example, 0, 0, "" },
	{ "schema", profile_schema, 0, 0, "" },
	{ "apply", ctl_profile_apply, 1, 6,
	  "FILE [--confirm-within S] [--ready tunnel,dns,tcp:HOST:PORT] [--force]" },
	{ "confirm", ctl_profile_confirm, 0, 1, "[NAME]" },
	{ "rollback", ctl_profile_rollback, 0, 1, "[NAME]" },
};
#define N_SUBS	(sizeof(subs) / sizeof(subs[0]))

/* Of one verb, or (NULL) of all. */
static int usage(const struct sub *one)
{
	size_t i;

	for (i = 0; i < N_SUBS; i++) {
		if (!one || one == &subs[i])
			fprintf(stderr, "%s apptunnel profile %s%s%s\n", one || !i ? "usage:" : "      ",
				subs[i].name, subs[i].args[0] ? " " : "", subs[i].args);
	}
	return CTL_USAGE;
}

int ctl_profile(const struct ctl_opts *o, int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < N_SUBS; i++) {
		const struct sub *s = &subs[i];

		if (strcmp(argv[1], s->name) != 0)
			continue;
		/* a verb without options takes no word that looks like one */
		if (argc - 2 < s->least || argc - 2 > s->most ||
		    (s->least == s->most && argc > 2 && argv[argc - 1][0] == '-'))
			return usage(s);
		return s->run(o, argc - 1, argv + 1);
	}
	return usage(NULL);
}
