/* SPDX-License-Identifier: MIT */
/* Copies of profiles, their hashes, and what a trial leaves on disk. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/store.h"

static char state[64];

static int text(const char *what)
{
	int fd = files_memory("text");

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, what, strlen(what)), (ssize_t)strlen(what));
	return fd;
}

static void put(enum store_copy copy, const char *what, bool is_signed)
{
	int fd = text(what);

	ck_assert_int_eq(store_put(state, "corp", copy, fd, is_signed), 0);
	close(fd);
}

static bool holds(enum store_copy copy, const char *what, bool is_signed)
{
	bool as = !is_signed, same;
	char buf[64];
	int fd = store_open(state, "corp", copy, &as);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof(buf));
	same = n == (ssize_t)strlen(what) && !memcmp(buf, what, (size_t)n) && as == is_signed;
	ck_assert_int_lt(write(fd, "x", 1), 0);		/* sealed */
	close(fd);
	return same;
}

static void setup(void)
{
	snprintf(state, sizeof(state), "/tmp/apptunnel-store.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(state));
}

static void teardown(void)
{
	static const char *const names[] = {
		"active.ini", "active.p7m", "previous.ini", "previous.p7m", "staged.ini",
		"staged.p7m", "trial", "rejected", "",
	};
	char path[160];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/profiles/corp/%s", state, names[i]);
		(void)remove(path);
	}
	snprintf(path, sizeof(path), "%s/profiles", state);
	(void)remove(path);
	ck_assert_msg(!remove(state), "%s is not empty", state);
}

/* FIPS 180-4's examples, the empty text, and every length around a block */
START_TEST(hashes)
{
	static const struct {
		const char *text, *hex;
	} known[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	uint8_t sum[SHA256_LEN], all[SHA256_LEN], *million = malloc(1000000), one[200 * SHA256_LEN];
	char hex[SHA256_HEX];
	int fd;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		sha256(known[i].text, strlen(known[i].text), sum);
		ck_assert_str_eq(sha256_hex(sum, hex), known[i].hex);
	}
	memset(million, 'a', 1000000);
	sha256(million, 1000000, sum);
	ck_assert_str_eq(sha256_hex(sum, hex),
			 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	/* the hash of the hashes of 0 to 199 times 'a', as another program has it */
	for (size_t n = 0; n < 200; n++)
		sha256(million, n, one + n * SHA256_LEN);
	sha256(one, sizeof(one), all);
	ck_assert_str_eq(sha256_hex(all, hex), "752c007f38611cfbf5fa42cb1cea3d8e086491c844d0cc4defd632cb81423506");
	fd = text("abc");
	ck_assert_int_eq(sha256_fd(fd, 3, sum), 0);
	ck_assert_str_eq(sha256_hex(sum, hex), known[1].hex);
	ck_assert_int_eq(sha256_fd(fd, 2, sum), -EFBIG);
	close(fd);
	free(million);
}
END_TEST

START_TEST(copies)
{
	uint8_t sum[SHA256_LEN], other[SHA256_LEN];
	struct stat st;
	char path[160];

	ck_assert_int_eq(store_open(state, "corp", STORE_ACTIVE, NULL), -ENOENT);
	ck_assert_int_eq(store_back(state, "corp"), -ENOENT);
	ck_assert_int_lt(store_put(state, "../corp", STORE_ACTIVE, 0, false), 0);
	put(STORE_STAGED, "one", false);
	ck_assert_int_eq(store_commit(state, "corp"), 0);
	ck_assert(holds(STORE_ACTIVE, "one", false));
	ck_assert_int_eq(store_open(state, "corp", STORE_STAGED, NULL), -ENOENT);
	ck_assert_int_eq(store_open(state, "corp", STORE_PREVIOUS, NULL), -ENOENT);
	put(STORE_STAGED, "two, signed", true);
	ck_assert_int_eq(store_commit(state, "corp"), 0);
	ck_assert(holds(STORE_ACTIVE, "two, signed", true) && holds(STORE_PREVIOUS, "one", false));
	ck_assert_int_eq(store_sum(state, "corp", STORE_ACTIVE, sum), 0);
	sha256("two, signed", 11, other);
	ck_assert(!memcmp(sum, other, sizeof(sum)));
	ck_assert_int_eq(store_back(state, "corp"), 0);
	ck_assert(holds(STORE_ACTIVE, "one", false));
	ck_assert_int_eq(store_back(state, "corp"), -ENOENT);
	put(STORE_STAGED, "three", false);
	store_unstage(state, "corp");
	ck_assert_int_eq(store_commit(state, "corp"), -ENOENT);
	ck_assert(holds(STORE_ACTIVE, "one", false));
	snprintf(path, sizeof(path), "%s/profiles/corp", state);
	ck_assert(!stat(path, &st) && (st.st_mode & 07777) == 0700);
	/* a folder that others may write is not ours */
	ck_assert(!chmod(path, 0777));
	ck_assert_int_eq(store_open(state, "corp", STORE_ACTIVE, NULL), -EPERM);
	ck_assert(!chmod(path, 0700));
}
END_TEST

START_TEST(rejected)
{
	uint8_t sum[STORE_REJECTED_MAX + 1][SHA256_LEN];

	for (int i = 0; i <= STORE_REJECTED_MAX; i++) {
		sha256(&i, sizeof(i), sum[i]);
		ck_assert(!store_rejected(state, "corp", sum[i]));
		ck_assert_int_eq(store_reject(state, "corp", sum[i]), 0);
		ck_assert(store_rejected(state, "corp", sum[i]));
		ck_assert_int_eq(store_reject(state, "corp", sum[i]), 0);
	}
	ck_assert(!store_rejected(state, "corp", sum[0]));	/* the oldest went */
	ck_assert(store_rejected(state, "corp", sum[1]));
	store_accept(state, "corp", sum[5]);
	ck_assert(!store_rejected(state, "corp", sum[5]) && store_rejected(state, "corp", sum[6]));
	ck_assert(!store_rejected(state, "corp2", sum[6]));
}
END_TEST

START_TEST(on_trial)
{
	struct store_trial t = { .deadline_s = 1234567890123, .ready_due = true,
				 .version = 7 }, got;
	char stems[FILES_LIST_MAX][FILES_STEM_MAX], path[160];
	FILE *f;

	ck_assert_int_eq(store_trial_get(state, "corp", &got), -ENOENT);
	store_boot(t.boot);
	sha256("x", 1, t.sum);
	sha256("folder", 6, t.folder);
	ck_assert_int_eq(store_trial_put(state, "corp", &t), 0);
	ck_assert_int_eq(store_trial_get(state, "corp", &got), 0);
	ck_assert(got.deadline_s == t.deadline_s && got.ready_due && !strcmp(got.boot, t.boot) &&
		  !memcmp(got.sum, t.sum, sizeof(t.sum)) && got.version == 7 &&
		  !memcmp(got.folder, t.folder, sizeof(t.folder)));
	ck_assert_int_eq(store_list(state, stems), 1);
	ck_assert_str_eq(stems[0], "corp");
	/* what cannot be read is a trial that is over */
	snprintf(path, sizeof(path), "%s/profiles/corp/trial", state);
	f = fopen(path, "w");
	fputs("until soon\n", f);
	fclose(f);
	ck_assert_int_eq(store_trial_get(state, "corp", &got), 0);
	ck_assert(!got.deadline_s && got.ready_due && !got.boot[0]);
	ck_assert_int_eq(store_trial_end(state, "corp"), 0);
	ck_assert_int_eq(store_trial_get(state, "corp", &got), -ENOENT);
	ck_assert_int_eq(store_trial_end(state, "corp"), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store");
	TCase *t = tcase_create("store");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, hashes);
	tcase_add_test(t, copies);
	tcase_add_test(t, rejected);
	tcase_add_test(t, on_trial);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
