/* SPDX-License-Identifier: MIT */
/* resolv.conf comes back as it was: a file, a link, nothing, or what others wrote. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/dns_file.h"
#include "platform/file_image.h"

#define TEXT	"nameserver 198.18.53.53\nsearch corp.internal\n"
#define THEIRS	"# by hand\nnameserver 192.0.2.53\n"

static char base[64], path[96];
static int dir;

static void setup(void)
{
	snprintf(base, sizeof(base), "/tmp/apptunnel-dns.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(path, sizeof(path), "%s/resolv.conf", base);
	dir = open(base, O_RDONLY | O_DIRECTORY);
	ck_assert_int_ge(dir, 0);
}

/* also the last check: nothing of ours is left behind */
static void teardown(void)
{
	(void)unlink(path);
	(void)unlinkat(dir, "stub", 0);
	close(dir);
	ck_assert_msg(!rmdir(base), "%s is not empty", base);
}

static void put(const char *name, const char *text, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert(!fchmod(fd, mode));
	close(fd);
}

static const char *get(const char *name)
{
	static char buf[4096];
	int fd = openat(dir, name, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	close(fd);
	return buf;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	ck_assert(!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW));
	return st.st_mode;
}

static void take_over(const char *stem)
{
	ck_assert_int_eq(dns_file_backup(dir, stem, path), 0);
	ck_assert_int_eq(dns_file_write(dir, stem, path, TEXT), 0);
	ck_assert_int_eq(dns_file_present(stem, path, TEXT), 0);
	ck_assert(dns_file_ours(stem, path));
	ck_assert_ptr_nonnull(strstr(get("resolv.conf"), TEXT));
}

START_TEST(a_file_comes_back)
{
	put("resolv.conf", THEIRS, 0640);
	take_over("corp");
	ck_assert_uint_eq(mode_of("resolv.conf"), S_IFREG | 0640);
	ck_assert_int_eq(dns_file_present("corp", path, "other\n"), -ENOENT);
	ck_assert(!dns_file_ours("home", path));
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, false), 0);
	ck_assert_str_eq(get("resolv.conf"), THEIRS);
	ck_assert_uint_eq(mode_of("resolv.conf"), S_IFREG | 0640);
	/* once more is nothing */
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, true), 0);
	ck_assert_str_eq(get("resolv.conf"), THEIRS);
}
END_TEST

START_TEST(a_link_comes_back)
{
	char target[32] = "";

	put("stub", THEIRS, 0644);
	ck_assert(!symlink("stub", path));
	take_over("corp");
	ck_assert(S_ISREG(mode_of("resolv.conf")));
	ck_assert_str_eq(get("stub"), THEIRS);
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, false), 0);
	ck_assert_int_eq(readlink(path, target, sizeof(target) - 1), 4);
	ck_assert_str_eq(target, "stub");
}
END_TEST

START_TEST(nothing_comes_back)
{
	take_over("corp");
	ck_assert_uint_eq(mode_of("resolv.conf"), S_IFREG | 0644);
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, false), 0);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(what_others_wrote_stays)
{
	put("resolv.conf", THEIRS, 0644);
	take_over("corp");
	put("resolv.conf", "nameserver 192.0.2.99\n", 0644);
	ck_assert(!dns_file_ours("corp", path));
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, false), 0);
	ck_assert_str_eq(get("resolv.conf"), "nameserver 192.0.2.99\n");

	/* one character more is no longer ours */
	take_over("corp");
	put("resolv.conf", "# apptunnel corp 0123456789abcdef\nnameserver 192.0.2.98\n", 0644);
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, false), 0);
	ck_assert_ptr_nonnull(strstr(get("resolv.conf"), "192.0.2.98"));

	/* a crash in the middle of our own writing: by force */
	put("resolv.conf", THEIRS, 0644);
	ck_assert_int_eq(dns_file_backup(dir, "corp", path), 0);
	put("resolv.conf", "# apptunnel co", 0644);
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, true), 0);
	ck_assert_str_eq(get("resolv.conf"), THEIRS);
}
END_TEST

START_TEST(a_folder_is_refused)
{
	ck_assert(!mkdir(path, 0700));
	ck_assert_int_eq(dns_file_backup(dir, "corp", path), -EINVAL);
	ck_assert(!rmdir(path));
}
END_TEST

START_TEST(a_huge_file_is_refused)
{
	put("resolv.conf", "", 0644);
	ck_assert(!truncate(path, IMAGE_MAX + 1));
	ck_assert_int_eq(dns_file_backup(dir, "corp", path), -EFBIG);
}
END_TEST

static void snapshot_is(const char *text)
{
	char buf[4096];
	int fd = dns_file_snapshot(dir, path);
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	n = pread(fd, buf, sizeof(buf) - 1, 0);
	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	ck_assert_str_eq(buf, text);
	ck_assert_int_lt(write(fd, "x", 1), 0);		/* sealed */
	close(fd);
}

START_TEST(snapshots)
{
	snapshot_is("");
	put("resolv.conf", THEIRS, 0644);
	snapshot_is(THEIRS);
	take_over("corp");
	snapshot_is(THEIRS);
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, false), 0);
	/* a link is followed, also when it is only kept, and its file changed */
	put("stub", THEIRS, 0644);
	ck_assert(!unlink(path));
	ck_assert(!symlink("stub", path));
	snapshot_is(THEIRS);
	take_over("corp");
	put("stub", "nameserver 192.0.2.77\n", 0644);
	snapshot_is("nameserver 192.0.2.77\n");
	ck_assert(!unlinkat(dir, "stub", 0));
	snapshot_is("");
	ck_assert_int_eq(dns_file_restore(dir, "corp", path, false), 0);
}
END_TEST

/* the first profile ends first: the second must give back what was before both */
START_TEST(two_profiles)
{
	put("resolv.conf", THEIRS, 0644);
	take_over("one");
	take_over("two");
	snapshot_is(THEIRS);
	ck_assert_int_eq(dns_file_restore(dir, "one", path, false), 0);
	ck_assert(dns_file_ours("two", path));
	snapshot_is(THEIRS);
	ck_assert_int_eq(dns_file_restore(dir, "two", path, false), 0);
	ck_assert_str_eq(get("resolv.conf"), THEIRS);

	take_over("one");
	take_over("two");
	ck_assert_int_eq(dns_file_restore(dir, "two", path, false), 0);
	ck_assert(dns_file_ours("one", path));
	ck_assert_int_eq(dns_file_restore(dir, "one", path, false), 0);
	ck_assert_str_eq(get("resolv.conf"), THEIRS);
}
END_TEST

START_TEST(leavings_are_forgotten)
{
	put("resolv.conf", THEIRS, 0644);
	ck_assert_int_eq(dns_file_backup(dir, "corp", path), 0);
	put("corp.resolv.new", "half", 0600);
	dns_file_forget(dir, "corp");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dns_file");
	TCase *t = tcase_create("dns_file");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_file_comes_back);
	tcase_add_test(t, a_link_comes_back);
	tcase_add_test(t, nothing_comes_back);
	tcase_add_test(t, what_others_wrote_stays);
	tcase_add_test(t, a_folder_is_refused);
	tcase_add_test(t, a_huge_file_is_refused);
	tcase_add_test(t, snapshots);
	tcase_add_test(t, two_profiles);
	tcase_add_test(t, leavings_are_forgotten);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
