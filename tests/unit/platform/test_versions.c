/* SPDX-License-Identifier: MIT */
/* The Version that was taken last survives, and a damaged file is not "none". */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/versions.h"

static char dir[64];

static const char *path(const char *name)
{
	static char buf[128];

	snprintf(buf, sizeof(buf), "%s/" VERSIONS_DIR "%s%s", dir, name ? "/" : "", name ? name : "");
	return buf;
}

static void setup(void)
{
	strcpy(dir, "/tmp/test_versions.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	unlink(path("corp"));
	rmdir(path(NULL));
	ck_assert(!rmdir(dir));
}

static void put(const char *text, size_t n)
{
	FILE *f = fopen(path("corp"), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, n, f), n);
	fclose(f);
}

START_TEST(remembers)
{
	uint64_t v = 99;
	struct stat st;

	ck_assert_int_eq(versions_read(dir, "corp", &v), 0);
	ck_assert_uint_eq(v, 0);
	ck_assert_int_eq(versions_write(dir, "corp", 7), 0);
	ck_assert_int_eq(versions_read(dir, "corp", &v), 0);
	ck_assert_uint_eq(v, 7);
	ck_assert_int_eq(versions_write(dir, "corp", 1ull << 53), 0);
	ck_assert_int_eq(versions_read(dir, "corp", &v), 0);
	ck_assert_uint_eq(v, 1ull << 53);
	ck_assert_int_eq(versions_read(dir, "lab", &v), 0);
	ck_assert_uint_eq(v, 0);
	ck_assert(!stat(path(NULL), &st) && (st.st_mode & 07777) == 0700);
	ck_assert(!stat(path("corp"), &st) && (st.st_mode & 07777) == 0600);
}
END_TEST

START_TEST(refuses_damage)
{
	static const char *const bad[] = { "", "\n", "7", "7\n8\n", "-7\n", " 7\n", "0x7\n", "7 \n",
					   "99999999999999999999\n" };
	uint64_t v = 5;
	size_t i;

	ck_assert_int_eq(versions_write(dir, "corp", 7), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(bad[i], strlen(bad[i]));
		ck_assert_msg(versions_read(dir, "corp", &v) < 0, "%s", bad[i]);
		ck_assert_uint_eq(v, 5);
	}
	put("7\0\n", 3);
	ck_assert_int_eq(versions_read(dir, "corp", &v), -EBADMSG);
	ck_assert_int_lt(versions_write("/nonexistent", "corp", 1), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("versions");
	TCase *tc = tcase_create("versions");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, remembers);
	tcase_add_test(tc, refuses_damage);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
