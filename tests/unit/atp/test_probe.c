/* SPDX-License-Identifier: MIT */
/*
 * test_probe.c - AtpProbeIdleSec, AtpProbeIntervalSec, AtpProbeCount on a clock
 * that the test owns.
 */
#include <check.h>
#include <stdlib.h>

#include "client/atp/probe.h"
#include "client/limits.h"

#define S	USEC_PER_SEC
#define T0	(1000 * S)

static struct probe p;

static void setup(void)
{
	probe_init(&p, 60, 5, 3, T0);
}

START_TEST(silent_without_outbound)
{
	ck_assert_int_eq(probe_step(&p, false, T0 + 3600 * S), PROBE_NOTHING);
	ck_assert_uint_eq(probe_deadline(&p, false), UINT64_MAX);
}
END_TEST

START_TEST(full_round)
{
	ck_assert_uint_eq(probe_deadline(&p, true), T0 + 60 * S);
	ck_assert_int_eq(probe_step(&p, true, T0 + 60 * S - 1), PROBE_NOTHING);
	ck_assert_int_eq(probe_step(&p, true, T0 + 60 * S), PROBE_SEND);
	ck_assert_uint_eq(probe_deadline(&p, false), T0 + 65 * S);
	ck_assert_int_eq(probe_step(&p, true, T0 + 65 * S - 1), PROBE_NOTHING);
	/* a round goes on although nothing more is to be sent */
	ck_assert_int_eq(probe_step(&p, false, T0 + 65 * S), PROBE_SEND);
	ck_assert_int_eq(probe_step(&p, false, T0 + 70 * S), PROBE_SEND);
	ck_assert_uint_eq(p.sent, 3);
	ck_assert_int_eq(probe_step(&p, false, T0 + 75 * S - 1), PROBE_NOTHING);
	ck_assert_int_eq(probe_step(&p, false, T0 + 75 * S), PROBE_DEAD);
}
END_TEST

START_TEST(inbound_ends_round)
{
	ck_assert_int_eq(probe_step(&p, true, T0 + 60 * S), PROBE_SEND);
	probe_inbound(&p, T0 + 61 * S);
	ck_assert_int_eq(probe_step(&p, true, T0 + 65 * S), PROBE_NOTHING);
	ck_assert_uint_eq(probe_deadline(&p, true), T0 + 121 * S);
	ck_assert_uint_eq(probe_deadline(&p, false), UINT64_MAX);
	ck_assert_int_eq(probe_step(&p, true, T0 + 121 * S), PROBE_SEND);
	ck_assert_uint_eq(p.sent, 1);
}
END_TEST

START_TEST(first_send_after_long_idle)
{
	ck_assert_int_eq(probe_step(&p, false, T0 + 4000 * S), PROBE_NOTHING);
	ck_assert_int_eq(probe_step(&p, true, T0 + 4000 * S), PROBE_SEND);
	ck_assert_int_eq(probe_step(&p, true, T0 + 4000 * S), PROBE_NOTHING);
}
END_TEST

START_TEST(network_change_probes_at_once)
{
	probe_network_changed(&p, T0 + S);
	ck_assert_uint_le(probe_deadline(&p, false), T0 + S);
	ck_assert_int_eq(probe_step(&p, false, T0 + S), PROBE_SEND);
	ck_assert_int_eq(probe_step(&p, false, T0 + 2 * S), PROBE_SEND);
	ck_assert_int_eq(probe_step(&p, false, T0 + 3 * S), PROBE_SEND);
	ck_assert_int_eq(probe_step(&p, false, T0 + 4 * S), PROBE_DEAD);
	setup();
	probe_network_changed(&p, T0 + S);
	ck_assert_int_eq(probe_step(&p, false, T0 + S), PROBE_SEND);
	probe_inbound(&p, T0 + S);
	ck_assert_int_eq(probe_step(&p, false, T0 + 10 * S), PROBE_NOTHING);
}
END_TEST

START_TEST(stopped_process_does_not_rush)
{
	ck_assert_int_eq(probe_step(&p, true, T0 + 60 * S), PROBE_SEND);
	ck_assert_int_eq(probe_step(&p, true, T0 + 600 * S), PROBE_SEND);
	ck_assert_int_eq(probe_step(&p, true, T0 + 600 * S), PROBE_NOTHING);
	ck_assert_int_eq(probe_step(&p, true, T0 + 605 * S), PROBE_SEND);
	ck_assert_int_eq(probe_step(&p, true, T0 + 610 * S), PROBE_DEAD);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("probe");
	TCase *tc = tcase_create("probe");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, silent_without_outbound);
	tcase_add_test(tc, full_round);
	tcase_add_test(tc, inbound_ends_round);
	tcase_add_test(tc, first_send_after_long_idle);
	tcase_add_test(tc, network_change_probes_at_once);
	tcase_add_test(tc, stopped_process_does_not_rush);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
