/* SPDX-License-Identifier: MIT */
/* The history of usage: days, bounds, and files that are none of ours. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/usage.h"

static char top[64], path[128];
static struct usage_file f, g;

static void setup(void)
{
	snprintf(top, sizeof(top), "/tmp/usage.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/usage/corp", top);
	memset(&f, 0, sizeof(f));
	f.magic = USAGE_MAGIC;
}

static void teardown(void)
{
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	rmdir(top);
}

START_TEST(totals_become_differences)
{
	struct usage_totals a = { .up_s = 60, .tcp = 5, .bytes_up = 100 }, more;
	struct usage_totals b = { .up_s = 120, .tcp = 5, .bytes_up = 40, .dns = 2 };

	usage_more(&b, &a, &more);
	ck_assert_uint_eq(more.up_s, 60);
	ck_assert_uint_eq(more.tcp, 0);
	ck_assert_uint_eq(more.dns, 2);
	ck_assert_uint_eq(more.bytes_up, 40);	/* it went back: a new count */
}
END_TEST

START_TEST(days_add_up_and_the_oldest_gives_way)
{
	struct usage_totals one = { .up_s = 1, .bytes_down = UINT64_MAX };
	uint32_t i;

	for (i = 0; i < USAGE_DAYS + 10; i++) {
		usage_add(&f, 20000 + i, &one);
		usage_add(&f, 20000 + i, &one);
	}
	ck_assert_uint_eq(f.n, USAGE_DAYS);
	ck_assert_uint_eq(f.days[0].day, 20010);
	ck_assert_uint_eq(f.days[USAGE_DAYS - 1].day, 20000 + USAGE_DAYS + 9);
	for (i = 0; i < USAGE_DAYS; i++) {
		ck_assert_uint_eq(f.days[i].sum.up_s, 2);
		ck_assert_uint_eq(f.days[i].sum.bytes_down, UINT64_MAX);	/* not beyond */
	}
	usage_add(&f, 1, &one);		/* the clock was set back */
	ck_assert_uint_eq(f.n, USAGE_DAYS);
	ck_assert_uint_eq(f.days[USAGE_DAYS - 1].sum.up_s, 3);
}
END_TEST

START_TEST(it_comes_back_as_it_was)
{
	struct usage_totals one = { .up_s = 7, .sessions = 1, .tcp = 2, .udp = 3, .dns = 4,
				    .bytes_up = 5, .bytes_down = 6 };
	struct stat st;

	ck_assert_int_eq(usage_load(top, "corp", &g), -ENOENT);
	usage_add(&f, 20000, &one);
	usage_add(&f, 20002, &one);
	ck_assert_int_eq(usage_store(top, "corp", &f), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_lt(st.st_size, 200);
	ck_assert_int_eq(usage_load(top, "corp", &g), 0);
	ck_assert_uint_eq(g.n, 2);
	ck_assert_uint_eq(g.days[1].day, 20002);
	ck_assert_uint_eq(g.days[1].sum.bytes_down, 6);
	usage_forget(top, "corp");
	ck_assert_int_eq(usage_load(top, "corp", &g), -ENOENT);
	usage_forget(top, "corp");
}
END_TEST

START_TEST(what_is_none_of_ours_is_refused)
{
	struct usage_totals one = { .up_s = 7 };
	off_t size;
	int fd;

	usage_add(&f, 20000, &one);
	usage_add(&f, 20001, &one);
	ck_assert_int_eq(usage_store(top, "corp", &f), 0);
	fd = open(path, O_RDWR);
	for (size = lseek(fd, 0, SEEK_END) - 1; size >= 0; size--) {	/* cut anywhere */
		ck_assert_int_eq(ftruncate(fd, size), 0);
		ck_assert_int_eq(usage_load(top, "corp", &g), -EBADMSG);
	}
	close(fd);
	f.magic++;
	usage_store(top, "corp", &f);
	ck_assert_int_eq(usage_load(top, "corp", &g), -EBADMSG);
	f.magic--;
	f.days[1].day = f.days[0].day;
	usage_store(top, "corp", &f);
	ck_assert_int_eq(usage_load(top, "corp", &g), -EBADMSG);
	f.days[1].day++;
	usage_store(top, "corp", &f);
	fd = open(path, O_RDWR);
	ck_assert_int_eq(pwrite(fd, "\xff\xff\xff\xff", 4, 4), 4);	/* n */
	close(fd);
	ck_assert_int_eq(usage_load(top, "corp", &g), -EBADMSG);
	unlink(path);
	ck_assert_int_eq(symlink("/dev/zero", path), 0);
	ck_assert_int_eq(usage_load(top, "corp", &g), -ELOOP);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("usage");
	TCase *tc = tcase_create("usage");
	SRunner *r;
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, totals_become_differences);
	tcase_add_test(tc, days_add_up_and_the_oldest_gives_way);
	tcase_add_test(tc, it_comes_back_as_it_was);
	tcase_add_test(tc, what_is_none_of_ours_is_refused);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
