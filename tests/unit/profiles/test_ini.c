/* SPDX-License-Identifier: MIT */
/* test_ini.c - the raw scan at its limits, and its agreement with iniparser */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/ini.h"
#include "profiles/text.h"

static struct findings f;
static struct ini_doc doc;

static int scan_n(const char *text, size_t n)
{
	ck_assert(!findings_init(&f, "t"));
	return ini_scan(text, n, &f, &doc);
}

static int scan(const char *text)
{
	return scan_n(text, strlen(text));
}

static void done(void)
{
	ini_free(&doc);
	findings_free(&f);
}

static void entry_is(size_t i, const char *name, const char *value)
{
	const struct ini_entry *e = &doc.entries[i];

	ck_assert_uint_lt(i, doc.n_entries);
	ck_assert_msg(e->name_n == strlen(name) && !memcmp(e->name, name, e->name_n), "%zu: %.*s", i,
		      (int)e->name_n, e->name);
	ck_assert_msg(e->value_n == strlen(value) && !memcmp(e->value, value, e->value_n),
		      "%zu: %.*s", i, (int)e->value_n, e->value);
}

START_TEST(values_and_places)
{
	ck_assert_int_eq(scan("\xef\xbb\xbf# c\r\n[One]\r\n a = \xc3\xa4 b \t\r\nB=\"  x;y # z \"\r\n\r\n"
			      "[two]\nc.1 =\nd = \"\"\n e=a=\"b\"\n"), 0);
	ck_assert(doc.clean);
	ck_assert_uint_eq(doc.n_sections, 2);
	ck_assert_uint_eq(doc.sections[1].line, 6);
	ck_assert_uint_eq(doc.n_entries, 5);
	entry_is(0, "a", "\xc3\xa4 b");
	entry_is(1, "B", "  x;y # z ");
	entry_is(2, "c.1", "");
	entry_is(3, "d", "");
	entry_is(4, "e", "a=\"b\"");
	ck_assert_uint_eq(doc.entries[0].line, 3);
	ck_assert_uint_eq(ini_column(&doc.entries[0], doc.entries[0].name), 2);
	/* columns count characters: the umlaut has two bytes */
	ck_assert_uint_eq(ini_column(&doc.entries[0], doc.entries[0].value + 3), 8);
	ck_assert_uint_eq(ini_column(&doc.entries[1], doc.entries[1].value), 4);
	ck_assert_int_eq(ini_agree(&doc), 0);
	done();
}
END_TEST

START_TEST(both_readers_agree)
{
	static const char *const texts[] = {
		"", "\n", "\n\n# x", "[a]", "[a]\n[b]\n", "[a]\nx=1", "[a]\nx=", "[a]\nx=\"\"\n",
		"[a]\nx =\t y  z \t\n", "[a]\n\tX.Y-z_0=\" y \"\n", "[a]\nx = = y\n",
		"[a]\nx = a=b\n", "[a]\nx = [b]\n", "[a]\nx = ]\n", "[a]\nx = a\"b\n",
		"[a]\nx = a'b'\n", "[a]\nx = \"'\"\n", "[a]\nx = \"\\ \"\n", "[a]\nx = a\\b\n",
		"[a]\nx = %s%n\n", "[a]\nx = \"=\"\n", "[a]\nx = \"[b]\"\n", "[a]\n  ;c\\ \\n\nx=1\n",
		"[a]\nx = \xe2\x82\xac\n[B.c]\nx = 2\n", "[a]\nx = \" \"\n", "[a]\nx = \"\t\"\n",
		"[a]\nx = \xc2\xa0y\xc2\xa0\n", "[a]\r\nx = 1\r\n", "[a]\n;\nx=1\n", "[a]\n#\nx=1\n",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(scan(texts[i]), 0);
		ck_assert_msg(doc.clean, "not clean: %s", texts[i]);
		ck_assert_msg(!ini_agree(&doc), "no agreement: %s", texts[i]);
		done();
	}
}
END_TEST

START_TEST(disagreement_is_noticed)
{
	/* what the scan refuses is what iniparser reads otherwise */
	static const char *const texts[] = {
		"[a]\nx = 1;2\n", "[a]\nx = \"1\n", "[a]\nx = 1\\\ny = 2\n", "[a]\nx = 1\nX = 2\n",
		"[a]\n# c\\\nx = 1\n", "[a]\nx = 'y'\n", "[a]\nx = \"y\" z\n", "[a]\nx y\n",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(scan(texts[i]), 0);
		ck_assert_msg(!doc.clean, "clean: %s", texts[i]);
		done();
	}
	/* and when the scan had seen something else, it would be noticed */
	ck_assert_int_eq(scan("[a]\nx = 12\ny = 3\n"), 0);
	doc.entries[0].value_n--;
	ck_assert_int_eq(ini_agree(&doc), -EBADMSG);
	doc.entries[0].value_n++;
	ck_assert_int_eq(ini_agree(&doc), 0);
	doc.n_entries--;
	ck_assert_int_eq(ini_agree(&doc), -EBADMSG);
	doc.n_entries++;
	doc.sections[0].name++;
	ck_assert_int_eq(ini_agree(&doc), -EBADMSG);
	done();
}
END_TEST

static void key_lines(struct text *t, size_t n)
{
	size_t i;

	text_add(t, "[a]\n");
	for (i = 0; i < n; i++)
		text_addf(t, "k%zu = %zu\n", i, i);
}

START_TEST(number_of_keys)
{
	struct text t = { 0 };

	key_lines(&t, INI_KEYS_MAX);
	ck_assert_int_eq(scan_n(t.s, t.n), 0);
	ck_assert(doc.clean);
	ck_assert_uint_eq(doc.n_entries, INI_KEYS_MAX);
	ck_assert_int_eq(ini_agree(&doc), 0);
	done();
	text_add(&t, "one = more\n");
	ck_assert_int_eq(scan_n(t.s, t.n), -EBADMSG);
	ck_assert_uint_eq(f.n, 1);
	ck_assert_int_eq(f.v[0].code, FC_TOO_MANY_KEYS);
	ck_assert_uint_eq(f.v[0].line, INI_KEYS_MAX + 2);
	done();
	text_free(&t);
}
END_TEST

START_TEST(number_of_sections)
{
	struct text t = { 0 };
	size_t i;

	for (i = 0; i <= INI_KEYS_MAX; i++)
		text_addf(&t, "[s%zu]\n", i);
	ck_assert_int_eq(scan_n(t.s, t.n), -EBADMSG);
	ck_assert_int_eq(f.v[0].code, FC_TOO_MANY_KEYS);
	done();
	text_free(&t);
}
END_TEST

START_TEST(size_of_the_file)
{
	char *text = malloc(INI_FILE_MAX + 8);
	size_t i;

	ck_assert(text != NULL);
	for (i = 0; i < INI_FILE_MAX + 8; i++)
		text[i] = i % 100 == 99 ? '\n' : '#';
	ck_assert_int_eq(scan_n(text, INI_FILE_MAX), 0);
	ck_assert(doc.clean);
	done();
	ck_assert_int_eq(scan_n(text, INI_FILE_MAX + 1), -EBADMSG);
	ck_assert_uint_eq(f.n, 1);
	ck_assert_int_eq(f.v[0].code, FC_TOO_BIG);
	ck_assert_uint_eq(f.v[0].line, 0);
	done();
	/* the mark at the beginning does not count */
	memcpy(text, "\xef\xbb\xbf", 3);
	ck_assert_int_eq(scan_n(text, INI_FILE_MAX + 3), 0);
	done();
	ck_assert_int_eq(scan_n(text, INI_FILE_MAX + 4), -EBADMSG);
	done();
	free(text);
}
END_TEST

START_TEST(longest_line_reaches_iniparser)
{
	char text[INI_LINE_MAX + 16];
	int n;

	/* 1,022 bytes with CR LF: one byte more than iniparser's buffer, but for the CR */
	n = snprintf(text, sizeof(text), "[a]\nx = %0*d\r\n", (int)INI_LINE_MAX - 4, 7);
	ck_assert_int_eq(scan_n(text, (size_t)n), 0);
	ck_assert(doc.clean);
	ck_assert_uint_eq(doc.entries[0].value_n, INI_LINE_MAX - 4);
	ck_assert_int_eq(ini_agree(&doc), 0);
	done();
}
END_TEST

START_TEST(broken_values_are_marked)
{
	ck_assert_int_eq(scan("[a]\nx = \"y\nz = 1;2\nok = 1\nq = a\\\n"), 0);
	ck_assert_uint_eq(doc.n_entries, 4);
	ck_assert(doc.entries[0].broken && doc.entries[1].broken && !doc.entries[2].broken &&
		  doc.entries[3].broken);
	ck_assert_uint_eq(f.n, 3);
	done();
}
END_TEST

START_TEST(duplicates_name_the_first)
{
	ck_assert_int_eq(scan("[a]\nx = 1\n[b]\nx = 2\n[A]\nX = 3\nx = 4\n"), 0);
	ck_assert_uint_eq(doc.n_sections, 2);
	ck_assert_uint_eq(doc.entries[0].dup_of, 0);
	ck_assert_uint_eq(doc.entries[1].dup_of, 0);
	ck_assert_uint_eq(doc.entries[2].dup_of, 2);
	ck_assert_uint_eq(doc.entries[3].dup_of, 2);
	ck_assert(!doc.clean);
	ck_assert_uint_eq(f.n, 1);
	ck_assert_int_eq(f.v[0].code, FC_DUPLICATE_SECTION);
	done();
}
END_TEST

START_TEST(text_helpers)
{
	char buf[TEXT_QUOTE_SIZE], long_text[200];

	ck_assert_str_eq(text_quote("a\x1b\"\xc2\x9b\xff", 6, buf), "\"a\\x1b\"\\xc2\\x9b\\xff\"");
	memset(long_text, 'x', sizeof(long_text));
	text_quote(long_text, sizeof(long_text), buf);
	ck_assert_uint_eq(strlen(buf), TEXT_QUOTE_CHARS + 5);
	memset(long_text, 1, sizeof(long_text));
	text_quote(long_text, sizeof(long_text), buf);
	ck_assert_uint_lt(strlen(buf), TEXT_QUOTE_SIZE);
	ck_assert_uint_eq(text_distance("MTUU", 4, "MTU"), 1);
	ck_assert_uint_eq(text_distance("mtu", 3, "MTU"), 0);
	ck_assert_uint_eq(text_distance("Nmae", 4, "Name"), 2);
	ck_assert_uint_eq(text_distance("abcdef", 6, "ghijkl"), 3);
	ck_assert_uint_eq(text_distance("", 0, "abc"), 3);
	ck_assert_uint_eq(text_utf8("\xf0\x9f\x98\x80", 4), 4);
	ck_assert_uint_eq(text_utf8("\xf0\x9f\x98", 3), 0);
	ck_assert_uint_eq(text_utf8("\x80", 1), 0);
	ck_assert_uint_eq(text_chars("\xc3\xa4\xe2\x82\xac" "b", 6), 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ini");
	TCase *t = tcase_create("ini");
	SRunner *r;
	int failed;

	tcase_add_test(t, values_and_places);
	tcase_add_test(t, both_readers_agree);
	tcase_add_test(t, disagreement_is_noticed);
	tcase_add_test(t, number_of_keys);
	tcase_add_test(t, number_of_sections);
	tcase_add_test(t, size_of_the_file);
	tcase_add_test(t, longest_line_reaches_iniparser);
	tcase_add_test(t, broken_values_are_marked);
	tcase_add_test(t, duplicates_name_the_first);
	tcase_add_test(t, text_helpers);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
