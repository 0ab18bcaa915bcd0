/* SPDX-License-Identifier: MIT */
/* What the daemon opens for a profile, and what it refuses. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/files.h"

static char dir[64], why[256];
static bool p7m;

static const char *path(const char *name)
{
	static char buf[2][128];
	static int turn;

	turn = !turn;
	snprintf(buf[turn], sizeof(buf[turn]), "%s/%s", dir, name);
	return buf[turn];
}

static void put(const char *name, const char *text, mode_t mode)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	ck_assert(!fchmod(fd, mode));
	close(fd);
}

static void setup(void)
{
	strcpy(dir, "/tmp/test_files.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	static const char *const names[] = { "good.ini", "open.ini", "link.ini", "fifo.ini",
		"dir.ini", "big.ini", "a b.ini", ".ini", "notes.txt", "cert", "key", "keylink",
		"pin" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (unlink(path(names[i])) < 0)
			rmdir(path(names[i]));
	}
	ck_assert(!rmdir(dir));
}

START_TEST(judges_stat)
{
	const unsigned int me = 1000;

	ck_assert_ptr_null(files_check_stat(S_IFREG | 0644, 0, me, false));
	ck_assert_ptr_null(files_check_stat(S_IFREG | 0644, me, me, false));
	ck_assert_ptr_null(files_check_stat(S_IFREG | 0600, 0, me, true));
	ck_assert_ptr_null(files_check_stat(S_IFREG | 0400, 0, me, true));
	ck_assert_ptr_nonnull(files_check_stat(S_IFREG | 0644, 1001, me, false));
	ck_assert_ptr_nonnull(files_check_stat(S_IFREG | 0664, 0, me, false));
	ck_assert_ptr_nonnull(files_check_stat(S_IFREG | 0646, 0, me, false));
	ck_assert_ptr_nonnull(files_check_stat(S_IFREG | 0640, 0, me, true));
	ck_assert_ptr_nonnull(files_check_stat(S_IFREG | 0604, 0, me, true));
	ck_assert_ptr_nonnull(files_check_stat(S_IFIFO | 0600, 0, me, false));
	ck_assert_ptr_nonnull(files_check_stat(S_IFDIR | 0700, 0, me, false));
	ck_assert_ptr_nonnull(files_check_stat(S_IFLNK | 0600, 0, me, false));
	ck_assert_ptr_nonnull(files_check_stat(S_IFCHR | 0600, 0, me, false));
}
END_TEST

START_TEST(seals_a_good_profile)
{
	char text[16] = "";
	void *map;
	int fd;

	put("good.ini", "[sentry]\n", 0644);
	fd = files_open_profile(dir, "good", false, &p7m, why, sizeof(why));
	ck_assert_msg(fd >= 0, "%s", why);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 9);	/* it stands at the beginning */
	ck_assert_str_eq(text, "[sentry]\n");
	ck_assert_int_lt(write(fd, "x", 1), 0);
	ck_assert_int_lt(ftruncate(fd, 0), 0);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS),
			 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	map = mmap(NULL, 9, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	munmap(map, 9);
	put("good.ini", "changed\n", 0644);	/* the copy is not the file */
	ck_assert_int_eq(pread(fd, text, 9, 0), 9);
	ck_assert_str_eq(text, "[sentry]\n");
	close(fd);
}
END_TEST

static void refused(const char *stem, int err, const char *word)
{
	int fd = files_open_profile(dir, stem, false, &p7m, why, sizeof(why));

	ck_assert_int_lt(fd, 0);
	if (err)
		ck_assert_int_eq(fd, err);
	ck_assert_msg(strstr(why, word), "%s: %s", stem, why);
}

START_TEST(refuses_other_profiles)
{
	put("good.ini", "x\n", 0644);
	put("open.ini", "x\n", 0666);
	ck_assert(!symlink("good.ini", path("link.ini")));
	ck_assert(!mkfifo(path("fifo.ini"), 0600));
	ck_assert(!mkdir(path("dir.ini"), 0700));
	put("big.ini", "", 0644);
	ck_assert(!truncate(path("big.ini"), FILES_PROFILE_MAX + 1));
	refused("none", -ENOENT, "No such file");
	refused("open", -EPERM, "written by others");
	refused("link", -ELOOP, "symbolic link");
	refused("fifo", -EPERM, "regular file");	/* and does not hang */
	refused("dir", -EPERM, "regular file");
	refused("big", -EFBIG, "1 MiB");
	refused("../x", -EINVAL, "name");
	refused("", -EINVAL, "name");
	ck_assert(!truncate(path("big.ini"), FILES_PROFILE_MAX));
	close(files_open_profile(dir, "big", false, &p7m, why, sizeof(why)));
}
END_TEST

START_TEST(lists_profiles)
{
	char stems[FILES_LIST_MAX][FILES_STEM_MAX];

	put("open.ini", "", 0600);
	put("good.ini", "", 0600);
	put("a b.ini", "", 0600);
	put(".ini", "", 0600);
	put("notes.txt", "", 0600);
	ck_assert_int_eq(files_list(dir, stems), 2);
	ck_assert_str_eq(stems[0], "good");
	ck_assert_str_eq(stems[1], "open");
	ck_assert_int_eq(files_list("/nowhere/at/all", stems), -ENOENT);
}
END_TEST

START_TEST(stems)
{
	ck_assert(files_stem_ok("a"));
	ck_assert(files_stem_ok("ABCabc019_-ABCabc019_-ABCabc0199"));		/* 32 */
	ck_assert(!files_stem_ok("ABCabc019_-ABCabc019_-ABCabc01999"));
	ck_assert(!files_stem_ok(""));
	ck_assert(!files_stem_ok("a.b"));
	ck_assert(!files_stem_ok("a/b"));
}
END_TEST

START_TEST(opens_an_identity)
{
	struct profile *p = calloc(1, sizeof(*p));
	struct identity id;
	uint64_t stamp, looks;

	ck_assert_ptr_nonnull(p);
	put("cert", "C", 0644);
	put("key", "K", 0600);
	put("pin", "P", 0644);
	ck_assert(!symlink("key", path("keylink")));
	snprintf(p->certificate, sizeof(p->certificate), "%s", path("cert"));
	snprintf(p->private_key, sizeof(p->private_key), "%s", path("key"));
	p->n_pins = 2;
	p->pins[0].kind = PIN_KEY_SHA256;
	p->pins[1].kind = PIN_FILE;
	snprintf(p->pins[1].path, sizeof(p->pins[1].path), "%s", path("pin"));
	ck_assert_msg(files_open_identity(p, &id, why, sizeof(why)) == 0, "%s", why);
	stamp = files_identity_stamp(&id);
	ck_assert_int_ge(id.certificate, 0);
	ck_assert_int_ge(id.key, 0);
	ck_assert_int_eq(id.chain, -1);
	ck_assert_int_eq(id.pins[0], -1);
	ck_assert_int_ge(id.pins[1], 0);
	ck_assert_int_lt(write(id.key, "x", 1), 0);
	files_close_identity(&id);
	ck_assert_int_eq(id.key, -1);
	ck_assert_int_eq(files_open_identity(p, &id, why, sizeof(why)), 0);
	ck_assert_uint_eq(files_identity_stamp(&id), stamp);
	looks = files_identity_looks(&id);
	files_close_identity(&id);
	/* delivered once more, in another file at another time: nothing is new */
	put("pin2", "P", 0644);
	ck_assert_int_eq(rename(path("pin2"), p->pins[1].path), 0);
	ck_assert_int_eq(files_open_identity(p, &id, why, sizeof(why)), 0);
	ck_assert_uint_eq(files_identity_stamp(&id), stamp);
	ck_assert_uint_ne(files_identity_looks(&id), looks);
	files_close_identity(&id);
	put("pin", "Q2", 0644);
	ck_assert_int_eq(files_open_identity(p, &id, why, sizeof(why)), 0);
	ck_assert_uint_ne(files_identity_stamp(&id), stamp);
	files_close_identity(&id);

	put("key", "K", 0640);
	ck_assert_int_eq(files_open_identity(p, &id, why, sizeof(why)), 12);
	ck_assert_msg(strstr(why, "PrivateKey") && strstr(why, "read by others"), "%s", why);
	files_close_identity(&id);
	put("key", "K", 0600);
	snprintf(p->private_key, sizeof(p->private_key), "%s", path("keylink"));
	ck_assert_int_eq(files_open_identity(p, &id, why, sizeof(why)), 12);
	ck_assert_msg(strstr(why, "symbolic link"), "%s", why);
	files_close_identity(&id);
	snprintf(p->private_key, sizeof(p->private_key), "%s", path("key"));
	put("pin", "P", 0666);
	ck_assert_int_eq(files_open_identity(p, &id, why, sizeof(why)), 6);
	files_close_identity(&id);
	free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("files");
	TCase *t = tcase_create("files");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, judges_stat);
	tcase_add_test(t, seals_a_good_profile);
	tcase_add_test(t, refuses_other_profiles);
	tcase_add_test(t, lists_profiles);
	tcase_add_test(t, stems);
	tcase_add_test(t, opens_an_identity);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
