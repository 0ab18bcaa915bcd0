/* SPDX-License-Identifier: MIT */
/* Where debug logs may lie, and that a long one gives way. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/debuglog.h"

static char top[64], dir[80], path[128];

static const char *at(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void setup(void)
{
	snprintf(top, sizeof(top), "/tmp/debuglog.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/log", top);
}

static void teardown(void)
{
	unlink(at("corp.log"));
	unlink(at("corp.log.1"));
	unlink(at("other"));
	unlink(dir);		/* where a test made a link of it */
	rmdir(dir);
	snprintf(path, sizeof(path), "%s/real", top);
	rmdir(path);
	rmdir(top);
}

START_TEST(the_folder_is_made_and_appended_to)
{
	struct stat st;
	int fd = debuglog_open(dir, "corp", geteuid());

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(write(fd, "one", 3), 3);
	close(fd);
	fd = debuglog_open(dir, "corp", geteuid());
	ck_assert_int_eq(write(fd, "two", 3), 3);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 6);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	close(fd);
}
END_TEST

START_TEST(one_old_file_is_kept)
{
	struct stat st;
	int i, fd;

	for (i = 1; i <= 3; i++) {
		fd = debuglog_open(dir, "corp", geteuid());
		ck_assert_int_eq(ftruncate(fd, i), 0);
		close(fd);
		ck_assert_int_eq(debuglog_rotate(dir, "corp", geteuid()), 0);
	}
	ck_assert_int_eq(stat(at("corp.log.1"), &st), 0);
	ck_assert_int_eq(st.st_size, 3);
	ck_assert_int_lt(stat(at("corp.log"), &st), 0);
	ck_assert_int_eq(debuglog_rotate(dir, "corp", geteuid()), -ENOENT);
}
END_TEST

START_TEST(nothing_that_others_could_have_laid_there)
{
	char real[96];
	int fd;

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert_int_eq(debuglog_open(dir, "corp", geteuid()), -EPERM);
	ck_assert_int_eq(debuglog_rotate(dir, "corp", geteuid()), -EPERM);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	ck_assert_int_eq(debuglog_open(dir, "corp", geteuid() + 1), -EPERM);
	ck_assert_int_eq(symlink("/dev/null", at("corp.log")), 0);
	ck_assert_int_eq(debuglog_open(dir, "corp", geteuid()), -ELOOP);
	unlink(at("corp.log"));
	ck_assert_int_eq(mkfifo(at("corp.log"), 0600), 0);
	ck_assert_int_lt(debuglog_open(dir, "corp", geteuid()), 0);
	unlink(at("corp.log"));
	fd = open(at("other"), O_CREAT | O_WRONLY, 0600);
	close(fd);
	snprintf(real, sizeof(real), "%s", at("other"));
	ck_assert_int_eq(link(real, at("corp.log")), 0);
	ck_assert_int_eq(debuglog_open(dir, "corp", geteuid()), -EPERM);
	unlink(at("corp.log"));
	unlink(at("other"));
	rmdir(dir);
	snprintf(real, sizeof(real), "%s/real", top);
	ck_assert_int_eq(mkdir(real, 0700), 0);
	ck_assert_int_eq(symlink(real, dir), 0);
	ck_assert_int_lt(debuglog_open(dir, "corp", geteuid()), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("debuglog");
	TCase *tc = tcase_create("files");
	SRunner *r;
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_folder_is_made_and_appended_to);
	tcase_add_test(tc, one_old_file_is_kept);
	tcase_add_test(tc, nothing_that_others_could_have_laid_there);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
