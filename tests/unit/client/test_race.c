/* SPDX-License-Identifier: MIT */
/* Racing addresses (RFC 8305): order, stagger, failures, time-outs. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/limits.h"
#include "client/race.h"

#define T0	(1000 * USEC_PER_SEC)

static struct race race;

static void add(const char *text, uint64_t now)
{
	struct ipaddr a;

	ck_assert_int_eq(addr_parse(text, &a), 0);
	race_add(&race, &a, now);
}

static uint8_t family(int i)
{
	ck_assert_int_ge(i, 0);
	return race.list[i].addr.family;
}

START_TEST(families_take_turns)
{
	race_init(&race, false);
	add("192.0.2.1", T0);
	add("192.0.2.2", T0);
	add("2001:db8::1", T0);
	add("2001:db8::2", T0);
	ck_assert_uint_eq(family(race_start(&race, T0)), 6);
	ck_assert_int_eq(race_start(&race, T0), -1);
	ck_assert_uint_eq(race_deadline(&race), T0 + LIMIT_RACE_US);
	ck_assert_int_eq(race_start(&race, T0 + LIMIT_RACE_US - 1), -1);
	ck_assert_uint_eq(family(race_start(&race, T0 + LIMIT_RACE_US)), 4);
	ck_assert_uint_eq(family(race_start(&race, T0 + 2 * LIMIT_RACE_US)), 6);
	ck_assert_uint_eq(family(race_start(&race, T0 + 3 * LIMIT_RACE_US)), 4);
	ck_assert_int_eq(race_start(&race, T0 + 4 * LIMIT_RACE_US), -1);
	ck_assert_uint_eq(race_deadline(&race), T0 + LIMIT_CONNECT_US);
}
END_TEST

START_TEST(failure_starts_the_next)
{
	int i;

	race_init(&race, false);
	add("2001:db8::1", T0);
	add("192.0.2.1", T0);
	i = race_start(&race, T0);
	race_failed(&race, (unsigned int)i, ENETUNREACH, T0 + 5);
	ck_assert_uint_eq(family(race_start(&race, T0 + 5)), 4);
	ck_assert(!race_lost(&race));
	race_failed(&race, 1, ECONNREFUSED, T0 + 9);
	ck_assert(race_lost(&race));
	ck_assert_int_eq(race.error, ECONNREFUSED);
	ck_assert_uint_eq(race_deadline(&race), UINT64_MAX);
	race_failed(&race, 1, EIO, T0 + 9);	/* told twice: no harm */
	ck_assert_int_eq(race.error, ECONNREFUSED);
	ck_assert_uint_eq(race.trying, 0);
}
END_TEST

START_TEST(each_address_has_ten_seconds)
{
	race_init(&race, false);
	add("192.0.2.1", T0);
	add("192.0.2.2", T0);
	ck_assert_int_eq(race_start(&race, T0), 0);
	ck_assert_int_eq(race_start(&race, T0 + LIMIT_RACE_US), 1);
	ck_assert_int_eq(race_expired(&race, T0 + LIMIT_CONNECT_US - 1), -1);
	ck_assert_int_eq(race_expired(&race, T0 + LIMIT_CONNECT_US), 0);
	race_failed(&race, 0, ETIMEDOUT, T0 + LIMIT_CONNECT_US);
	ck_assert_int_eq(race_expired(&race, T0 + LIMIT_CONNECT_US), -1);
	ck_assert_uint_eq(race_deadline(&race), T0 + LIMIT_RACE_US + LIMIT_CONNECT_US);
	ck_assert_int_eq(race_expired(&race, race_deadline(&race)), 1);
}
END_TEST

START_TEST(ipv4_waits_for_aaaa)
{
	race_init(&race, true);
	ck_assert(race_lost(&race));		/* nothing yet */
	add("192.0.2.1", T0);
	ck_assert_int_eq(race_start(&race, T0), -1);
	ck_assert_uint_eq(race_deadline(&race), T0 + LIMIT_RESOLVE_DELAY_US);
	ck_assert_int_eq(race_start(&race, T0 + LIMIT_RESOLVE_DELAY_US - 1), -1);
	ck_assert_uint_eq(family(race_start(&race, T0 + LIMIT_RESOLVE_DELAY_US)), 4);

	race_init(&race, true);
	add("192.0.2.1", T0);
	race_answered6(&race);			/* there is no AAAA */
	ck_assert_uint_eq(family(race_start(&race, T0)), 4);

	race_init(&race, true);
	add("192.0.2.1", T0);
	add("2001:db8::1", T0 + 10);
	ck_assert_uint_eq(family(race_start(&race, T0 + 10)), 6);
	ck_assert_int_eq(race_start(&race, T0 + 10), -1);
}
END_TEST

START_TEST(late_address_joins)
{
	race_init(&race, true);
	add("192.0.2.1", T0);
	ck_assert_int_eq(race_start(&race, T0 + LIMIT_RESOLVE_DELAY_US), 0);
	add("2001:db8::1", T0 + 60 * USEC_PER_MSEC);
	ck_assert_int_eq(race_start(&race, T0 + 60 * USEC_PER_MSEC), -1);
	ck_assert_int_eq(race_start(&race, T0 + LIMIT_RESOLVE_DELAY_US + LIMIT_RACE_US), 1);
}
END_TEST

START_TEST(no_socket_lets_another_go)
{
	int i;

	race_init(&race, false);
	add("2001:db8::1", T0);
	add("192.0.2.1", T0);
	i = race_start(&race, T0);
	race_postpone(&race, (unsigned int)i, T0 + LIMIT_STARVED_US, T0);
	ck_assert_uint_eq(family(race_start(&race, T0)), 4);
	ck_assert(!race_lost(&race));
	/* the stagger holds for the one that waited, too */
	ck_assert_int_eq(race_start(&race, T0 + LIMIT_STARVED_US), -1);
	ck_assert_uint_eq(family(race_start(&race, T0 + LIMIT_RACE_US)), 6);
}
END_TEST

START_TEST(useless_addresses_are_ignored)
{
	char text[32];

	race_init(&race, false);
	add("0.0.0.0", T0);
	add("::", T0);
	add("224.0.0.1", T0);
	add("ff02::1", T0);
	ck_assert_uint_eq(race.n, 0);
	add("192.0.2.1", T0);
	add("192.0.2.1", T0);
	ck_assert_uint_eq(race.n, 1);
	for (int i = 0; i < 40; i++) {
		snprintf(text, sizeof(text), "198.51.100.%d", i);
		add(text, T0);
	}
	ck_assert_uint_eq(race.n, RACE_MAX);
	race_failed(&race, 99, EIO, T0);
	race_failed(&race, 3, EIO, T0);		/* was not started */
	ck_assert_uint_eq(race.waiting, RACE_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("race");
	TCase *t = tcase_create("race");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, families_take_turns);
	tcase_add_test(t, failure_starts_the_next);
	tcase_add_test(t, each_address_has_ten_seconds);
	tcase_add_test(t, ipv4_waits_for_aaaa);
	tcase_add_test(t, late_address_joins);
	tcase_add_test(t, no_socket_lets_another_go);
	tcase_add_test(t, useless_addresses_are_ignored);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
