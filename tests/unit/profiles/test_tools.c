/* SPDX-License-Identifier: MIT */
/* test_tools.c - what is written from the table of keys, and the difference of two profiles */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/diff.h"
#include "profiles/effective.h"
#include "profiles/reader.h"
#include "profiles/schema_doc.h"
#include "profiles/write.h"

#define FOLDER	"/etc/apptunnel/profiles.d"

struct one {
	struct profile *p;
	struct origins o;
	struct findings f;
	struct diff_side side;
};

static int try_read(struct one *x, const char *text, const char *stem, const char *folder)
{
	*x = (struct one){ .p = malloc(sizeof(*x->p)) };
	x->side = (struct diff_side){ x->p, &x->o, stem, folder };
	ck_assert(x->p && !findings_init(&x->f, stem));
	return profile_read(text, strlen(text), stem, folder, x->p, &x->f, &x->o);
}

static void done(struct one *x)
{
	free(x->p);
	findings_free(&x->f);
	origins_free(&x->o);
}

static char *say_all(const struct findings *f)
{
	char line[FINDING_LINE_MAX];
	struct text t = { 0 };
	size_t i;

	for (i = 0; i < f->n; i++)
		text_addf(&t, "%s %s\n", finding_code_name(f->v[i].code),
			  finding_format(f, &f->v[i], line, sizeof(line)));
	text_add(&t, "");
	return text_take(&t);
}

/* ---- the example ------------------------------------------------------------------------ */

START_TEST(example_is_a_profile)
{
	struct text t = { 0 };
	struct one x;

	schema_example(&t);
	ck_assert_int_eq(try_read(&x, t.s, "corp", FOLDER), 0);
	/* the advice of a profile that holds what is required, and nothing else */
	ck_assert_msg(x.f.n == 1 && x.f.v[0].code == FC_ROUTES_DEFAULT, "%s", say_all(&x.f));
	text_free(&t);
	done(&x);
}
END_TEST

static bool not_built(enum finding_code code)
{
	return code == FC_KEY_UNSUPPORTED || code == FC_VALUE_UNSUPPORTED ||
	       code == FC_SECTION_UNSUPPORTED;
}

/* "#KEY = ..." of the example, not "# a comment" */
static bool is_key_line(const char *line)
{
	return line[0] == '#' && line[1] != ' ' && line[1] != '[' && line[1] != '\n';
}

/* The example with the one commented line at @at taken in, and the section's line, too. */
static char *with_line(const char *text, const char *at)
{
	char *s = strdup(text), *line = s + (at - text), *section;

	ck_assert(s != NULL);
	line[0] = ' ';
	/* back to the line "[section]", or "#[section]" */
	for (section = line; strncmp(section, "\n[", 2) && strncmp(section, "\n#[", 3); section--)
		ck_assert(section > s);
	if (section[1] == '#')
		section[1] = ' ';
	return s;
}

START_TEST(every_line_of_the_example_is_accepted)
{
	const struct schema_key *k;
	struct text t = { 0 };
	const char *line;
	bool seen[SCHEMA_KEYS] = { false };
	size_t i, keys = 0;

	schema_example(&t);
	for (line = t.s; *line; line += strcspn(line, "\n") + 1) {
		char *text, *all;
		struct one x;
		size_t id, errors = 0;

		if (!is_key_line(line))
			continue;
		keys++;
		text = with_line(t.s, line);
		try_read(&x, text, "corp", FOLDER);
		all = say_all(&x.f);
		/* half a rule is an error of its own */
		for (i = 0; i < x.f.n; i++)
			errors += finding_code_is_error(x.f.v[i].code) && !not_built(x.f.v[i].code) &&
				  x.f.v[i].code != FC_RULE;
		ck_assert_msg(!errors, "%.*s: %s", (int)strcspn(line, "\n"), line, all);
		for (id = 0; id < SCHEMA_KEYS && !x.o.key[id].first; id++)
			;
		for (id = 0; id < SCHEMA_KEYS; id++) {
			k = &schema[id];
			if (!x.o.key[id].first)
				continue;
			/* what is refused is refused, and nothing else is */
			ck_assert_msg(k->state != STATE_REFUSED || x.f.errors, "%s", k->name);
			seen[id] = true;
		}
		free(all);
		free(text);
		done(&x);
	}
	for (i = 0; i < SCHEMA_KEYS; i++)
		ck_assert_msg(seen[i], "[%s] %s is not in the example", schema[i].section,
			      schema[i].name);
	ck_assert_uint_eq(keys + 6, SCHEMA_KEYS);
	text_free(&t);
}
END_TEST

/* ---- the schema --------------------------------------------------------------------------- */

START_TEST(schema_is_json_and_has_the_keys_that_can_be)
{
	struct text t = { 0 };
	json_error_t e;
	json_t *j, *keys;
	size_t i, n = 0;

	schema_json(&t);
	j = json_loads(t.s, JSON_REJECT_DUPLICATES, &e);
	ck_assert_msg(j != NULL, "%s, line %d", e.text, e.line);
	keys = json_object_get(json_object_get(json_object_get(j, "properties"), "keys"), "items");
	for (i = 0; i < SCHEMA_KEYS; i++)
		n += schema[i].state != STATE_REFUSED;
	ck_assert_uint_eq(json_array_size(json_object_get(keys, "anyOf")), n);
	json_decref(j);
	text_free(&t);
}
END_TEST

/* ---- differences ---------------------------------------------------------------------------- */

#define REQUIRED \
	"[sentry]\nHost = \"a.example;b.example\"\nDeviceId = d\nUserId = u\n" \
	"[identity]\nCertificate = c.pem\nPrivateKey = /k.pem\n" \
	"[pinning]\nPinnedCertificate = \"s.pem;t.pem\"\n"

static char *difference(const char *a, const char *b, int *n)
{
	struct text t = { 0 };
	struct one x, y;

	ck_assert_int_eq(try_read(&x, a, "x", "/old"), 0);
	ck_assert_int_eq(try_read(&y, b, "y", "/new"), 0);
	*n = diff_text(&x.side, &y.side, &t);
	text_add(&t, "");
	done(&x);
	done(&y);
	return text_take(&t);
}

START_TEST(same_values_are_no_difference)
{
	char *s;
	int n;

	/* spelling, the order of routes, defaults, files beside their profiles, names of files */
	s = difference(REQUIRED "[tunnel]\nIPRoutes = \"10.0.0.0/8;fd00::/8\"\nMTU = 1400\n",
		       REQUIRED "[tunnel]\nIncludedRoutes.2 = 10.1.2.3/8\n"
		       "IncludedRoutes.1 = \"FD00:0::/8;10.5.0.0/16\"\n[lock]\nMode = Session\n", &n);
	ck_assert_int_eq(n, 0);
	ck_assert_str_eq(s, "");
	free(s);
}
END_TEST

START_TEST(differences_are_shown_with_their_lines)
{
	char *s;
	int n;

	s = difference(REQUIRED "[tunnel]\nIPRoutes = \"10.0.0.0/8;172.16.0.0/16\"\n",
		       REQUIRED "[tunnel]\nIPRoutes = \"192.0.2.0/24;10.0.0.0/8\"\nMTU = 1300\n"
		       "TunIP = 192.168.13.10\n", &n);
	ck_assert_int_eq(n, 3);
	ck_assert_str_eq(s, "--- x\n+++ y\n"
			 "[tunnel] IPRoutes (x:11 -> y:11)\n  - 172.16.0.0/16\n  + 192.0.2.0/24\n"
			 "[tunnel] MTU (default -> y:12)\n  - 1400\n  + 1300\n"
			 "[tunnel] TunIP (Sentry -> y:13)\n  + 192.168.13.10\n");
	free(s);
}
END_TEST

START_TEST(order_counts_where_it_has_a_meaning)
{
	char *s;
	int n;

	s = difference(REQUIRED "[dns]\nDnsResolverIPs = \"10.0.0.1;10.0.0.2\"\n",
		       REQUIRED "[dns]\nDnsResolverIPs = \"10.0.0.2;10.0.0.1\"\n", &n);
	ck_assert_int_eq(n, 1);
	ck_assert_msg(strstr(s, "another order\n  - 10.0.0.1\n  - 10.0.0.2\n  + 10.0.0.2\n"), "%s", s);
	free(s);
}
END_TEST

START_TEST(differences_as_json)
{
	struct text t = { 0 };
	json_error_t e;
	struct one x, y;
	json_t *j, *c;

	ck_assert_int_eq(try_read(&x, REQUIRED "[tunnel]\nExcRoutes = 10.1.0.0/16\n", "x", "/o"), 0);
	ck_assert_int_eq(try_read(&y, REQUIRED "[lock]\nAllowInbound = false\n", "y", "/o"), 0);
	ck_assert_int_eq(diff_json(&x.side, &y.side, &t), 2);
	text_add(&t, "]}");
	j = json_loads(t.s, JSON_REJECT_DUPLICATES, &e);
	ck_assert_msg(j != NULL, "%s: %s", e.text, t.s);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "to"), "file")), "y");
	c = json_array_get(json_object_get(j, "changes"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(c, "key")), "ExcRoutes");
	ck_assert(json_is_null(json_object_get(c, "to")));
	ck_assert_uint_eq(json_array_size(json_object_get(c, "removed")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(c, "added")), 0);
	c = json_array_get(json_object_get(j, "changes"), 1);
	ck_assert(json_is_true(json_object_get(c, "from")));
	ck_assert(json_is_false(json_object_get(c, "to")));
	json_decref(j);
	text_free(&t);
	done(&x);
	done(&y);
}
END_TEST

/* ---- writing -------------------------------------------------------------------------------- */

START_TEST(long_lists_are_written_and_read_again)
{
	struct text t = { 0 }, again = { 0 };
	struct one x, y;
	uint32_t i;

	text_add(&t, REQUIRED "[profile]\nName = a\"b\nDescription = \" ;# \"\n[tunnel]\n");
	for (i = 1; i <= 7000; i++)
		text_addf(&t, "IPRoutes.%u = \"fd00:%x::/48;10.%u.%u.0/24\"\n", i, i, i / 256, i % 256);
	ck_assert_int_eq(try_read(&x, t.s, "x", "/o"), -EBADMSG);	/* 14,000 are too many */
	done(&x);
	t.n = 0;
	text_add(&t, REQUIRED "[profile]\nName = a\"b\nDescription = \" ;# \"\n[tunnel]\n");
	for (i = 1; i <= 4000; i++)
		text_addf(&t, "IPRoutes.%u = \"fd00:%x::/48;10.%u.%u.0/24\"\n", i, i, i / 256, i % 256);
	ck_assert_int_eq(try_read(&x, t.s, "x", "/o"), 0);
	write_profile(x.p, &x.o, "/o", &again);
	ck_assert_int_eq(try_read(&y, again.s, "x", "/o"), 0);
	ck_assert(!memcmp(x.p, y.p, sizeof(*x.p)));
	ck_assert_uint_eq(x.p->n_routes, 8000);
	text_free(&t);
	text_free(&again);
	done(&x);
	done(&y);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tools");
	TCase *t = tcase_create("tools");
	SRunner *r;
	int failed;

	tcase_add_test(t, example_is_a_profile);
	tcase_add_test(t, every_line_of_the_example_is_accepted);
	tcase_add_test(t, schema_is_json_and_has_the_keys_that_can_be);
	tcase_add_test(t, same_values_are_no_difference);
	tcase_add_test(t, differences_are_shown_with_their_lines);
	tcase_add_test(t, order_counts_where_it_has_a_meaning);
	tcase_add_test(t, differences_as_json);
	tcase_add_test(t, long_lists_are_written_and_read_again);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
