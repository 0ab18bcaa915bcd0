/* SPDX-License-Identifier: MIT */
/* What the journal keeps, torn at any byte, locked, or of another boot. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/journal.h"

static char base[64];
static int dir;
static struct plan_names names;
static struct journal *j;

static void setup(void)
{
	snprintf(base, sizeof(base), "/tmp/apptunnel-journal.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	dir = open(base, O_RDONLY | O_DIRECTORY);
	plan_names_default(&names, 1);
	snprintf(names.resolv_conf, sizeof(names.resolv_conf), "/etc/a b/resolv.conf");
	j = NULL;
}

static void teardown(void)
{
	journal_close(j);
	(void)unlinkat(dir, "corp.journal", 0);
	close(dir);
	ck_assert_msg(!rmdir(base), "%s is not empty", base);
}

static struct plan_item sysctl_item(void)
{
	struct plan_item i = { .kind = PLAN_SYSCTL, .family = 4, .value = 1 };

	snprintf(i.path, sizeof(i.path), "net/ipv4/conf/all/src_valid_mark");
	return i;
}

static struct plan_item inbound_item(uint16_t port)
{
	struct plan_item i = { .kind = PLAN_INBOUND, .family = 6, .sport = 22, .dport = port };

	addr_parse("2001:db8::1", &i.from);
	prefix_parse("2001:db8::2/128", &i.prefix);
	return i;
}

static void reopen(bool take)
{
	journal_close(j);
	j = NULL;
	ck_assert_int_eq(journal_open(&j, dir, "corp", take), 0);
}

static long size_of(void)
{
	struct stat st;

	ck_assert(!fstatat(dir, "corp.journal", &st, 0));
	return st.st_size;
}

START_TEST(keeps_what_undoing_needs)
{
	struct plan_item a = sysctl_item(), b = inbound_item(40000);
	struct plan_item c = { .kind = PLAN_LINK, .stage = PLAN_TUNNEL, .value = 1400,
			       .path = "apptunnel corp" };

	ck_assert_int_eq(journal_create(&j, dir, "corp", &names), 0);
	ck_assert_int_eq(journal_add(j, &a, 7), 0);
	ck_assert_int_eq(journal_add(j, &b, 0), 1);
	ck_assert_int_eq(journal_add(j, &c, 0), 2);
	ck_assert_int_eq(journal_sync(j), 0);
	ck_assert_int_eq(journal_mark(j, 2, '='), 0);
	ck_assert_int_eq(journal_mark(j, 1, '-'), 0);
	reopen(true);
	ck_assert_uint_eq(j->n, 3);
	ck_assert(j->same_boot);
	ck_assert_uint_eq(j->recs[0].old, 7);
	ck_assert(!j->recs[0].done && !j->recs[0].gone);
	ck_assert(j->recs[1].gone && j->recs[2].done);
	ck_assert_int_eq(journal_find(j, &a, 0), 0);
	ck_assert_int_eq(journal_find(j, &b, 0), -ENOENT);	/* gone */
	ck_assert_int_eq(journal_find(j, &c, 1), 2);
	ck_assert_int_eq(journal_find(j, &a, 2), 0);		/* around */
	ck_assert(!memcmp(&j->recs[1].item.from, &b.from, sizeof(b.from)));
	ck_assert_uint_eq(j->recs[1].item.dport, 40000);
	ck_assert_str_eq(j->names.tun, "atp1");
	ck_assert_str_eq(j->names.nft, "apptunnel1");
	ck_assert_str_eq(j->names.resolv_conf, "/etc/a b/resolv.conf");
	ck_assert(addr_equal(&j->names.service6, &names.service6));
	ck_assert_uint_eq(j->names.table, names.table);
	/* numbers go on where they were */
	ck_assert_int_eq(journal_add(j, &b, 0), 3);
	ck_assert_uint_eq(j->recs[3].seq, 3);
}
END_TEST

START_TEST(one_owner)
{
	struct journal *other;

	ck_assert_int_eq(journal_open(&other, dir, "corp", true), -ENOENT);
	ck_assert_int_eq(journal_create(&j, dir, "corp", &names), 0);
	ck_assert_int_eq(journal_create(&other, dir, "corp", &names), -EEXIST);
	ck_assert_int_eq(journal_open(&other, dir, "corp", true), -EBUSY);
	ck_assert_int_eq(journal_open(&other, dir, "corp", false), 0);	/* looking is free */
	journal_close(other);
	reopen(true);
}
END_TEST

/* a crash may cut the file anywhere: whole lines count, the rest was not done */
START_TEST(torn_at_every_byte)
{
	struct plan_item a = sysctl_item(), b = inbound_item(1);
	long whole, head;
	int fd;

	ck_assert_int_eq(journal_create(&j, dir, "corp", &names), 0);
	head = size_of();
	journal_add(j, &a, 0);
	journal_add(j, &b, 0);
	journal_mark(j, 1, '-');
	whole = size_of();
	for (long at = whole; at >= 0; at--) {
		journal_close(j);
		j = NULL;
		fd = openat(dir, "corp.journal", O_WRONLY);
		ck_assert(!ftruncate(fd, at));
		close(fd);
		ck_assert_int_eq(journal_open(&j, dir, "corp", true), 0);
		ck_assert_uint_le(j->n, 2);
		if (at < head)
			ck_assert_uint_eq(j->n, 0);
		/* what was torn is cut off, and the next line stands alone */
		if (at >= head) {
			size_t n = j->n;

			ck_assert_int_eq(journal_add(j, &a, 5), (int)n);
			reopen(true);
			ck_assert_uint_eq(j->n, n + 1);
			ck_assert_uint_eq(j->recs[n].old, 5);
		}
	}
}
END_TEST

START_TEST(refuses_nonsense)
{
	static const char *const bad[] = {
		"something else\n",
		"apptunnel journal 1\nboot x\nnames 1 2 3\n",
		"apptunnel journal 1\nboot x\nnames 1 2 3 4 t n 198.18.53.53 ::1 /e\nwhat 1\n",
		"apptunnel journal 1\nboot x\nnames 1 2 3 4 t n 198.18.53.53 ::1 /e\n- 1\n",
		"apptunnel journal 1\nboot x\nnames 1 2 3 4 t n 198.18.53.53 ::1 /e\n"
		"+ 0 99 0 4 0 0 1 0 -/0 - x\n",
		"apptunnel journal 1\nboot x\nnames 1 2 3 4 t n 198.18.53.53 ::1 /e\n"
		"+ 0 1 0 4 0 0 1 0 10.0.0.0/99 - x\n",
		/* nobody makes it write elsewhere */
		"apptunnel journal 1\nboot x\nnames 1 2 3 4 t n 198.18.53.53 ::1 e\n",
		"apptunnel journal 1\nboot x\nnames 1 2 3 4 t n 198.18.53.53 ::1 /e\n"
		"+ 0 0 0 4 0 0 1 0 - - kernel/core_pattern\n",
		"apptunnel journal 1\nboot x\nnames 1 2 3 4 t n 198.18.53.53 ::1 /e\n"
		"+ 0 0 0 4 0 0 1 0 - - net/../kernel/sysrq\n" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int fd = openat(dir, "corp.journal", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		ck_assert_int_eq(write(fd, bad[i], strlen(bad[i])), (ssize_t)strlen(bad[i]));
		close(fd);
		ck_assert_msg(journal_open(&j, dir, "corp", true) == -EBADMSG, "%s", bad[i]);
	}
}
END_TEST

START_TEST(refuses_what_others_can_write)
{
	static const char good[] = "apptunnel journal 1\nboot x\n"
				   "names 1 2 3 4 t n 198.18.53.53 ::1 /e\n";
	int fd = openat(dir, "corp.journal", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_eq(write(fd, good, sizeof(good) - 1), (ssize_t)sizeof(good) - 1);
	ck_assert_int_eq(journal_open(&j, dir, "corp", false), 0);
	journal_close(j);
	ck_assert_int_eq(fchmod(fd, 0620), 0);
	ck_assert_int_eq(journal_open(&j, dir, "corp", false), -EPERM);
	if (geteuid() == 0) {
		ck_assert_int_eq(fchmod(fd, 0600), 0);
		ck_assert_int_eq(fchown(fd, 64431, 0), 0);
		ck_assert_int_eq(journal_open(&j, dir, "corp", false), -EPERM);
	}
	close(fd);
	j = NULL;
}
END_TEST

START_TEST(another_boot)
{
	static const char text[] = "apptunnel journal 1\nboot long-ago\n"
		"names 1 2 3 4 t n 198.18.53.53 fd00::1 /e\n+ 0 1 0 0 0 0 1 0 -/0 - -\n";
	int fd = openat(dir, "corp.journal", O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	reopen(true);
	ck_assert(!j->same_boot);
	ck_assert_uint_eq(j->n, 1);
}
END_TEST

START_TEST(compacts)
{
	struct plan_item b;
	long before;
	struct journal *other;

	ck_assert_int_eq(journal_create(&j, dir, "corp", &names), 0);
	for (unsigned int i = 0; i < 500; i++) {
		b = inbound_item((uint16_t)(i + 1));
		ck_assert_int_eq(journal_add(j, &b, 0), (int)i);
		if (i % 100)
			journal_mark(j, i, '-');
	}
	journal_mark(j, 100, '=');
	journal_mark(j, 200, '!');
	before = size_of();
	ck_assert_int_eq(journal_compact(j), 0);
	ck_assert_int_lt(size_of(), before / 20);
	ck_assert_uint_eq(j->n, 5);
	ck_assert_int_eq(journal_open(&other, dir, "corp", true), -EBUSY);	/* still ours */
	b = inbound_item(9999);
	ck_assert_int_eq(journal_add(j, &b, 0), 5);
	reopen(true);
	ck_assert_uint_eq(j->n, 6);
	ck_assert(j->recs[1].done && j->recs[2].undoing && !j->recs[3].done);
	ck_assert_uint_eq(j->recs[4].item.dport, 401);
}
END_TEST

/* no half line stays where the disk is full */
START_TEST(full_disk)
{
	struct plan_item a = sysctl_item();
	struct rlimit old, small;
	long before;

	ck_assert_int_eq(journal_create(&j, dir, "corp", &names), 0);
	ck_assert_int_eq(journal_add(j, &a, 0), 0);
	before = size_of();
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = (rlim_t)before + 10;
	signal(SIGXFSZ, SIG_IGN);
	ck_assert(!setrlimit(RLIMIT_FSIZE, &small));
	ck_assert_int_lt(journal_add(j, &a, 0), 0);
	ck_assert(!setrlimit(RLIMIT_FSIZE, &old));
	signal(SIGXFSZ, SIG_DFL);
	ck_assert_int_eq(size_of(), before);
	ck_assert_uint_eq(j->n, 1);
	ck_assert_int_eq(journal_add(j, &a, 3), 1);
	reopen(true);
	ck_assert_uint_eq(j->n, 2);
}
END_TEST

START_TEST(lists_and_removes)
{
	char stems[4][33];

	ck_assert_int_eq(journal_list(dir, stems, 4), 0);
	ck_assert_int_eq(journal_create(&j, dir, "corp", &names), 0);
	ck_assert_int_eq(journal_list(dir, stems, 4), 1);
	ck_assert_str_eq(stems[0], "corp");
	ck_assert_int_eq(journal_remove(j), 0);
	ck_assert_int_eq(journal_list(dir, stems, 4), 0);
	ck_assert_int_eq(journal_remove(j), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal");
	TCase *t = tcase_create("journal");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, keeps_what_undoing_needs);
	tcase_add_test(t, one_owner);
	tcase_add_test(t, torn_at_every_byte);
	tcase_add_test(t, refuses_nonsense);
	tcase_add_test(t, refuses_what_others_can_write);
	tcase_add_test(t, another_boot);
	tcase_add_test(t, compacts);
	tcase_add_test(t, full_disk);
	tcase_add_test(t, lists_and_removes);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
