/* SPDX-License-Identifier: MIT */
/*
 * The numbers that docs/protocol.md and docs/design.md promise, written a
 * second time: the other tests go by the names in limits.h, and would follow
 * a slip of the pen there.
 */
#include <check.h>
#include <stdlib.h>

#include "client/limits.h"

#define S	1000000ull
#define K	1024ull

START_TEST(dialling)
{
	ck_assert_uint_eq(LIMIT_CONNECT_US, 10 * S);
	ck_assert_uint_eq(LIMIT_TLS_US, 10 * S);
	ck_assert_uint_eq(LIMIT_ANSWER_US, 10 * S);
	ck_assert_uint_eq(LIMIT_HTTP_HEAD, 16 * K);
	ck_assert_uint_eq(LIMIT_HTTP_BODY, 16 * K);
	ck_assert_uint_eq(LIMIT_HTTP_LINES, 64);
	ck_assert_uint_eq(LIMIT_CONFIG, 16 * K);
	ck_assert_uint_eq(LIMIT_BACKOFF_FIRST_US, S / 2);
	ck_assert_uint_eq(LIMIT_BACKOFF_MAX_US, 60 * S);
	ck_assert_uint_eq(LIMIT_STABLE_US, 60 * S);
	ck_assert_uint_eq(LIMIT_REFUSED_US, 15 * 60 * S);
}
END_TEST

START_TEST(frames)
{
	ck_assert_uint_eq(LIMIT_PAYLOAD, 65536);
	ck_assert_uint_eq(LIMIT_DATA, 16376);
	ck_assert_uint_eq(LIMIT_STREAM_ID, (1u << 31) - 1);
	ck_assert_uint_eq(LIMIT_OPENS_PENDING, 1024);
	ck_assert_uint_eq(LIMIT_OPENS_PENDING_PEER, 2048);
	ck_assert_uint_eq(LIMIT_OPENS_HELD, 4096);
	ck_assert_uint_eq(LIMIT_SYN_HELD_US, 10 * S);
	ck_assert_uint_eq(LIMIT_PROBES_PER_S, 10);
}
END_TEST

START_TEST(flow_control)
{
	ck_assert_uint_eq(LIMIT_BUDGET, 128 * K * K);
	ck_assert_uint_eq(LIMIT_WINDOW_FLOOR, K);
	ck_assert_uint_eq(LIMIT_WINDOW_FIRST, 16 * K);
	ck_assert_uint_eq(LIMIT_WINDOW_MAX, 16 * K * K);
	ck_assert_uint_eq(LIMIT_WINDOW_SUM, 1u << 31);
	ck_assert_uint_eq(LIMIT_RETURN_US, S);
	ck_assert_uint_eq(LIMIT_DGRAM_AGE_US, S / 10);
	ck_assert_uint_eq(LIMIT_DGRAM_MAX_AGE_US, 2 * S);
	ck_assert_uint_eq(LIMIT_DGRAM_QUEUE, 16 * K);
}
END_TEST

START_TEST(store)
{
	ck_assert_uint_eq(LIMIT_STORE, 32 * K * K);
	ck_assert_uint_eq(LIMIT_STORE_RESERVE, 64 * K);
	ck_assert_uint_eq(LIMIT_CHUNK, 64 * K);
	ck_assert_uint_eq(LIMIT_ACK_BYTES, 64 * K);
	ck_assert_uint_eq(LIMIT_ACK_US, S / 10);
	ck_assert_uint_eq(LIMIT_BURST, K * K);
	ck_assert_uint_eq(LIMIT_LOWAT_MIN, 16 * K);
	ck_assert_uint_eq(LIMIT_LOWAT_MAX, 256 * K);
	ck_assert_uint_eq(LIMIT_KEEPALIVE_S, 60);
	ck_assert_uint_eq(LIMIT_KEEPALIVE_NEXT_S, 15);
	ck_assert_uint_eq(LIMIT_KEY_BYTES, 64 * K * K * K);
}
END_TEST

START_TEST(associations)
{
	ck_assert_uint_eq(LIMIT_ASSOC_IDLE_US, 300 * S);
	ck_assert_uint_eq(LIMIT_ASSOC_DNS_US, 20 * S);
	ck_assert_uint_eq(LIMIT_ASSOC_PEERS, 256);
	ck_assert_uint_eq(LIMIT_DIRECT_SOCKETS, 1024);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits");
	TCase *tc = tcase_create("limits");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, dialling);
	tcase_add_test(tc, frames);
	tcase_add_test(tc, flow_control);
	tcase_add_test(tc, store);
	tcase_add_test(tc, associations);
	suite_add_tcase(s, tc);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
