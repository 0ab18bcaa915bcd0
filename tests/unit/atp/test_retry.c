/* SPDX-License-Identifier: MIT */
/*
 * test_retry.c - the table of causes against the tables of docs/protocol.md, 2,
 * and when the next attempt is due.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/atp/retry.h"
#include "client/limits.h"

#define S	USEC_PER_SEC
#define T0	(1000 * S)
#define HALF	0x80000000u
#define MAX	0xffffffffu

static const struct refusal {
	int status;
	const char *code;
	int exit;
	enum retry_class class;
} refusals[] = {
	{ 400, "bad_request", 14, RETRY_REFUSED },
	{ 403, "certificate_unknown", 12, RETRY_REFUSED },
	{ 403, "identity_mismatch", 12, RETRY_REFUSED },
	{ 403, "device_unknown", 13, RETRY_REFUSED },
	{ 403, "device_blocked", 13, RETRY_REFUSED },
	{ 403, "device_not_enrolled", 13, RETRY_REFUSED },
	{ 403, "device_not_compliant", 13, RETRY_REFUSED },
	{ 403, "user_blocked", 13, RETRY_REFUSED },
	{ 403, "service_denied", 17, RETRY_REFUSED },
	{ 403, "service_unknown", 17, RETRY_REFUSED },
	{ 404, "service_denied", 17, RETRY_REFUSED },
	{ 404, "service_unknown", 17, RETRY_REFUSED },
	{ 426, "upgrade_required", 14, RETRY_REFUSED },
	{ 429, "busy", 4, RETRY_NETWORK },
	{ 503, "busy", 4, RETRY_NETWORK },
	{ 503, "draining", 4, RETRY_NETWORK },
	{ 200, "", 14, RETRY_NETWORK },
	{ 403, "", 14, RETRY_NETWORK },
	{ 403, "something_else", 14, RETRY_NETWORK },
	{ 404, "device_blocked", 14, RETRY_NETWORK },
	{ 502, NULL, 14, RETRY_NETWORK },
};

START_TEST(refusal_row)
{
	const struct refusal *r = &refusals[_i];
	const struct cause_info *i = cause_info(cause_of_refusal(r->status, r->code));

	ck_assert_int_eq(i->exit, r->exit);
	ck_assert_int_eq(i->class, r->class);
	if (i->exit != 14 || r->class == RETRY_REFUSED)
		ck_assert_str_eq(i->code, strcmp(r->code, "busy") ? r->code : "busy");
}
END_TEST

START_TEST(every_cause_is_described)
{
	static const int exits[] = { 0, 4, 6, 11, 12, 13, 14, 17 };
	int c, k;
	size_t i;

	for (c = 0; c < CAUSES; c++) {
		const struct cause_info *info = cause_info((enum cause)c);

		ck_assert_ptr_nonnull(info->code);
		ck_assert_uint_gt(strlen(info->code), 2);
		ck_assert_uint_eq(strspn(info->code, "abcdefghijklmnopqrstuvwxyz_"),
				  strlen(info->code));
		ck_assert_uint_gt(strlen(info->text), 15);
		ck_assert_int_eq(info->text[strlen(info->text) - 1], '.');
		for (i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
			if (exits[i] == info->exit)
				break;
		ck_assert_uint_lt(i, sizeof(exits) / sizeof(exits[0]));
		ck_assert(info->class != RETRY_TRUST || info->exit == 11);
		for (k = 0; k < c; k++)
			ck_assert_str_ne(info->code, cause_info((enum cause)k)->code);
	}
	ck_assert_int_eq(cause_info((enum cause)9999)->exit, 0);
}
END_TEST

START_TEST(each_cause_has_its_class_and_exit)
{
	/* docs/protocol.md 2, written a second time */
	static const struct {
		enum retry_class class;
		int exit;
		enum cause causes[14];
	} rows[] = {
		{ RETRY_NETWORK, 4, { CAUSE_RESOLVE, CAUSE_CONNECT, CAUSE_TLS_IO, CAUSE_TIMEOUT,
				      CAUSE_CUT, CAUSE_PROBES, CAUSE_BUSY, CAUSE_DRAINING,
				      CAUSE_GOAWAY_BYE, CAUSE_GOAWAY_INTERNAL, CAUSE_REPLACED } },
		{ RETRY_NETWORK, 14, { CAUSE_ODD_ANSWER } },
		{ RETRY_REFUSED, 14, { CAUSE_BAD_REQUEST, CAUSE_UPGRADE, CAUSE_PROTOCOL } },
		{ RETRY_REFUSED, 12, { CAUSE_CERT_UNKNOWN, CAUSE_IDENTITY_MISMATCH,
				       CAUSE_CERT_REFUSED } },
		{ RETRY_REFUSED, 13, { CAUSE_DEVICE_UNKNOWN, CAUSE_DEVICE_BLOCKED,
				       CAUSE_DEVICE_NOT_ENROLLED, CAUSE_DEVICE_NOT_COMPLIANT,
				       CAUSE_USER_BLOCKED, CAUSE_REVOKED } },
		{ RETRY_REFUSED, 17, { CAUSE_SERVICE_DENIED, CAUSE_SERVICE_UNKNOWN } },
		{ RETRY_TRUST, 11, { CAUSE_PIN, CAUSE_CHAIN, CAUSE_NAME, CAUSE_DATES,
				     CAUSE_TLS_VERSION } },
		{ RETRY_BROKEN, 6, { CAUSE_PROFILE } },
		{ RETRY_BROKEN, 12, { CAUSE_IDENTITY } },
	};
	int seen = 1;		/* CAUSE_NONE */
	size_t i, k;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (k = 0; rows[i].causes[k]; k++, seen++) {
			const struct cause_info *info = cause_info(rows[i].causes[k]);

			ck_assert_msg(info->class == rows[i].class && info->exit == rows[i].exit,
				      "%s: class %d, exit %d", info->code, info->class,
				      info->exit);
		}
	}
	ck_assert_int_eq(seen, CAUSES);
}
END_TEST

START_TEST(backoff_of_one_host)
{
	/* round 1 on: 0.5 s doubled to 60 s, half of it with this jitter */
	static const uint64_t want[] = { 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	uint64_t now = T0;
	struct retry r;
	size_t i;

	retry_init(&r, 1, now);
	ck_assert_uint_eq(r.next, now);
	ck_assert_int_eq(retry_failed(&r, CAUSE_CONNECT, 0, HALF, now), RETRY_NETWORK);
	ck_assert_uint_eq(r.next, now);			/* the first time at once */
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		retry_failed(&r, CAUSE_TIMEOUT, 0, HALF, now);
		ck_assert_uint_eq(r.next, now + want[i] * USEC_PER_MSEC);
		now = r.next;
	}
	retry_failed(&r, CAUSE_CUT, 0, 0, now);
	ck_assert_uint_eq(r.next, now);			/* full jitter: from nothing */
	retry_failed(&r, CAUSE_CUT, 0, MAX, now);
	ck_assert_uint_le(r.next, now + 60 * S);
	ck_assert_uint_ge(r.next, now + 59 * S);
}
END_TEST

START_TEST(hosts_in_turn)
{
	struct retry r;

	retry_init(&r, 3, T0);
	retry_failed(&r, CAUSE_CONNECT, 0, HALF, T0);
	ck_assert_uint_eq(r.host, 0);
	ck_assert_uint_eq(r.next, T0);
	retry_failed(&r, CAUSE_CONNECT, 0, HALF, T0);
	ck_assert_uint_eq(r.host, 1);
	ck_assert_uint_eq(r.next, T0);
	retry_failed(&r, CAUSE_CONNECT, 0, HALF, T0);
	ck_assert_uint_eq(r.host, 2);
	ck_assert_uint_eq(r.next, T0);
	retry_failed(&r, CAUSE_CONNECT, 0, HALF, T0);
	ck_assert_uint_eq(r.host, 0);
	ck_assert_uint_eq(r.next, T0 + S / 4);		/* a round in vain */
	/* up on Host 1: its outage begins and ends its rounds there */
	retry_failed(&r, CAUSE_CONNECT, 0, HALF, T0);
	ck_assert_uint_eq(r.host, 1);
	retry_up(&r, T0 + 10 * S);
	retry_failed(&r, CAUSE_CUT, 0, HALF, T0 + 100 * S);
	ck_assert_uint_eq(r.host, 1);
	ck_assert_uint_eq(r.next, T0 + 100 * S);
	retry_failed(&r, CAUSE_CUT, 0, HALF, T0 + 100 * S);
	retry_failed(&r, CAUSE_CUT, 0, HALF, T0 + 100 * S);
	ck_assert_uint_eq(r.host, 0);
	ck_assert_uint_eq(r.next, T0 + 100 * S);
	retry_failed(&r, CAUSE_CUT, 0, HALF, T0 + 100 * S);
	ck_assert_uint_eq(r.host, 1);
	ck_assert_uint_gt(r.next, T0 + 100 * S);
}
END_TEST

START_TEST(stable_connection_starts_anew)
{
	uint64_t now = T0;
	struct retry r;
	int i;

	retry_init(&r, 1, now);
	for (i = 0; i < 5; i++)
		retry_failed(&r, CAUSE_CONNECT, 0, HALF, now);
	retry_up(&r, now);
	now += LIMIT_STABLE_US - 1;
	retry_failed(&r, CAUSE_CUT, 0, HALF, now);
	ck_assert_uint_gt(r.next, now);			/* lived too short */
	retry_up(&r, now);
	now += LIMIT_STABLE_US;
	retry_failed(&r, CAUSE_CUT, 0, HALF, now);
	ck_assert_uint_eq(r.next, now);
	retry_failed(&r, CAUSE_CONNECT, 0, HALF, now);
	ck_assert_uint_eq(r.next, now + S / 4);
}
END_TEST

START_TEST(retry_after)
{
	struct retry r;

	retry_init(&r, 2, T0);
	retry_failed(&r, CAUSE_BUSY, 20, HALF, T0);
	ck_assert_uint_eq(r.next, T0 + 20 * S);
	retry_kick(&r, T0 + S);
	ck_assert_uint_eq(r.next, T0 + 20 * S);
	retry_kick(&r, T0 + 21 * S);
	ck_assert_uint_eq(r.next, T0 + 21 * S);
	retry_failed(&r, CAUSE_BUSY, 100000, HALF, T0 + 21 * S);
	ck_assert_uint_eq(r.next, T0 + 321 * S);
}
END_TEST

START_TEST(refused_and_trust)
{
	struct retry r;

	retry_init(&r, 2, T0);
	ck_assert_int_eq(retry_failed(&r, CAUSE_DEVICE_BLOCKED, 0, 0, T0), RETRY_REFUSED);
	ck_assert_uint_eq(r.next, T0 + 810 * S);
	ck_assert_int_eq(retry_failed(&r, CAUSE_PIN, 0, MAX, T0), RETRY_TRUST);
	ck_assert_uint_ge(r.next, T0 + 989 * S);
	ck_assert_uint_le(r.next, T0 + 990 * S);
	ck_assert_int_eq(retry_failed(&r, CAUSE_IDENTITY, 0, MAX, T0), RETRY_BROKEN);
	ck_assert_uint_eq(r.next, UINT64_MAX);
	ck_assert_int_eq(r.class, RETRY_BROKEN);
	retry_kick(&r, T0 + 5);
	ck_assert_uint_eq(r.next, T0 + 5);
}
END_TEST

START_TEST(odd_ones_repeat)
{
	struct retry r;

	retry_init(&r, 1, T0);
	ck_assert_int_eq(retry_failed(&r, CAUSE_ODD_ANSWER, 0, HALF, T0), RETRY_NETWORK);
	ck_assert_int_eq(retry_failed(&r, CAUSE_ODD_ANSWER, 0, HALF, T0), RETRY_REFUSED);
	ck_assert_int_eq(retry_failed(&r, CAUSE_CUT, 0, HALF, T0), RETRY_NETWORK);
	ck_assert_int_eq(retry_failed(&r, CAUSE_ODD_ANSWER, 0, HALF, T0), RETRY_NETWORK);
	ck_assert_int_eq(retry_failed(&r, CAUSE_PROTOCOL, 0, HALF, T0), RETRY_NETWORK);
	/* also when a session came up in between, and died of it again */
	retry_up(&r, T0 + S);
	ck_assert_int_eq(retry_failed(&r, CAUSE_PROTOCOL, 0, HALF, T0 + 2 * S), RETRY_REFUSED);
}
END_TEST

START_TEST(replaced_is_not_at_once)
{
	struct retry r;

	retry_init(&r, 1, T0);
	retry_up(&r, T0);
	retry_failed(&r, CAUSE_REPLACED, 0, 0, T0 + 100 * S);
	ck_assert_uint_ge(r.next, T0 + 100 * S + LIMIT_BACKOFF_FIRST_US);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("retry");
	TCase *tc = tcase_create("retry");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, refusal_row, 0, (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_test(tc, every_cause_is_described);
	tcase_add_test(tc, each_cause_has_its_class_and_exit);
	tcase_add_test(tc, backoff_of_one_host);
	tcase_add_test(tc, hosts_in_turn);
	tcase_add_test(tc, stable_connection_starts_anew);
	tcase_add_test(tc, retry_after);
	tcase_add_test(tc, refused_and_trust);
	tcase_add_test(tc, odd_ones_repeat);
	tcase_add_test(tc, replaced_is_not_at_once);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
