/* SPDX-License-Identifier: MIT */
/* The log: its ring, its limit for a noisy call site, its debug file. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/log.h"

START_TEST(lines_come_back_in_order)
{
	uint64_t cursor;
	char line[LOG_LINE_MAX];

	cursor = log_oldest();
	while (log_read(&cursor, line, sizeof(line)))
		;
	LOG(LOG_LVL_SESSION, "test.one", "%d", 1);	/* level is off: not there */
	log_event(NULL, LOG_LVL_DEBUG, "test.two", "number %d", 2);
	log_event(NULL, LOG_LVL_DEBUG, "test.three", "number %d", 3);
	ck_assert_uint_gt(log_read(&cursor, line, sizeof(line)), 0);
	ck_assert_ptr_nonnull(strstr(line, " debug test.two: number 2"));
	log_read(&cursor, line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, "number 3"));
	ck_assert_uint_eq(log_read(&cursor, line, sizeof(line)), 0);
}
END_TEST

START_TEST(what_a_peer_says_stays_one_printable_line)
{
	uint64_t cursor = log_oldest();
	char line[LOG_LINE_MAX];

	while (log_read(&cursor, line, sizeof(line)))
		;
	log_event(NULL, LOG_LVL_DEBUG, "test", "%s", "a\nb\x1b[31mc\x7f");
	log_read(&cursor, line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, "a?b?[31mc?"));
	ck_assert_str_eq(log_printable("x\r\xc3\xa4y", 5, line, sizeof(line)), "x???y");
}
END_TEST

START_TEST(the_ring_keeps_the_newest_mebibyte)
{
	uint64_t cursor;
	char line[LOG_LINE_MAX];
	int first, n = 0, last = -1;

	for (int i = 0; i < 30000; i++)
		log_event(NULL, LOG_LVL_DEBUG, "test.fill", "line %06d of many, to fill it", i);
	cursor = log_oldest();
	ck_assert_uint_gt(log_read(&cursor, line, sizeof(line)), 0);
	ck_assert_int_eq(sscanf(strstr(line, "line "), "line %d", &first), 1);
	ck_assert_int_gt(first, 10000);
	while (log_read(&cursor, line, sizeof(line))) {
		ck_assert_int_eq(sscanf(strstr(line, "line "), "line %d", &last), 1);
		ck_assert_int_eq(last, first + ++n);
	}
	ck_assert_int_eq(last, 29999);
	cursor = 0;	/* a reader that was overtaken goes on with the oldest */
	log_read(&cursor, line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, " debug test.fill: line "));
}
END_TEST

START_TEST(a_noisy_site_is_kept_back)
{
	uint64_t cursor = log_oldest();
	char line[LOG_LINE_MAX];
	int n = 0;

	while (log_read(&cursor, line, sizeof(line)))
		;
	log_level = LOG_LVL_DEBUG;
	for (int i = 0; i < 10 * LOG_SITE_RATE; i++)
		LOG(LOG_LVL_DEBUG, "test.noisy", "%d", i);
	log_level = LOG_LVL_INFO;
	while (log_read(&cursor, line, sizeof(line)))
		n++;
	ck_assert_int_ge(n, LOG_SITE_RATE);
	ck_assert_int_le(n, 3 * LOG_SITE_RATE);	/* the second may have changed meanwhile */
}
END_TEST

START_TEST(a_debug_log_gets_every_line_once)
{
	static char text[1u << 16];
	FILE *file = tmpfile(), *second = tmpfile();
	size_t n;

	ck_assert(file && second);
	ck_assert(!log_set_level(LOG_LVL_INFO));
	LOG(LOG_LVL_INFO, "test.before", "before the file");
	log_set_file(dup(fileno(file)));
	ck_assert_int_eq(log_level, LOG_LVL_DEBUG);
	LOG(LOG_LVL_DEBUG, "test.debug", "with the file");
	LOG(LOG_LVL_SESSION, "test.session", "above its level");
	log_set_file(dup(fileno(second)));	/* rotated */
	LOG(LOG_LVL_DEBUG, "test.rotated", "with the second file");
	ck_assert(log_set_level(LOG_LVL_SESSION));
	ck_assert_int_eq(log_level, LOG_LVL_SESSION);
	ck_assert(log_set_level(LOG_LVL_ERROR));
	ck_assert_int_eq(log_level, LOG_LVL_DEBUG);
	log_set_file(-1);
	ck_assert_int_eq(log_level, LOG_LVL_ERROR);
	LOG(LOG_LVL_DEBUG, "test.after", "after it");
	log_set_level(LOG_LVL_INFO);
	n = (size_t)pread(fileno(file), text, sizeof(text) - 1, lseek(fileno(file), 0, SEEK_END) > 60000 ?
			  lseek(fileno(file), 0, SEEK_END) - 60000 : 0);
	text[n] = '\0';
	ck_assert_ptr_nonnull(strstr(text, " info test.before: before the file\n"));
	ck_assert_ptr_nonnull(strstr(text, " debug test.debug: with the file\n"));
	ck_assert_ptr_null(strstr(text, "test.session"));
	ck_assert_ptr_null(strstr(text, "test.rotated"));
	n = (size_t)pread(fileno(second), text, sizeof(text) - 1, 0);
	text[n] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "test.rotated"));
	ck_assert_ptr_null(strstr(text, "test.debug"));
	ck_assert_ptr_null(strstr(text, "test.after"));
	fclose(file);
	fclose(second);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("ring");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, lines_come_back_in_order);
	tcase_add_test(tc, what_a_peer_says_stays_one_printable_line);
	tcase_add_test(tc, the_ring_keeps_the_newest_mebibyte);
	tcase_add_test(tc, a_noisy_site_is_kept_back);
	tcase_add_test(tc, a_debug_log_gets_every_line_once);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
