/* SPDX-License-Identifier: MIT */
/* The states of the session, as `status` shows them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/session.h"

static void go(struct session *s, enum session_event ev, uint64_t now)
{
	session_event(s, ev, ev == SE_LOST ? CAUSE_CUT : ev == SE_REFUSED ? CAUSE_PIN : CAUSE_NONE,
		      "why", now);
}

START_TEST(first_dial_shows_each_step)
{
	static const enum session_event steps[] = { SE_RESOLVING, SE_CONNECTING, SE_SECURING,
						    SE_NEGOTIATING, SE_CONFIGURING, SE_UP };
	static const enum session_state states[] = { SESSION_RESOLVING, SESSION_CONNECTING,
						     SESSION_SECURING, SESSION_NEGOTIATING,
						     SESSION_CONFIGURING, SESSION_UP };
	struct session s;

	session_init(&s, 100);
	for (size_t i = 0; i < 6; i++) {
		ck_assert(session_event(&s, steps[i], CAUSE_NONE, NULL, 200 + i));
		ck_assert_int_eq(s.state, states[i]);
	}
	ck_assert(s.was_up);
	ck_assert_uint_eq(s.reconnects, 0);
	ck_assert_uint_eq(s.spent[SESSION_DOWN], 100);
}
END_TEST

START_TEST(a_new_dial_of_a_tunnel_that_was_up_shows_as_reconnecting)
{
	struct session s;

	session_init(&s, 0);
	go(&s, SE_RESOLVING, 1);
	go(&s, SE_CONFIGURING, 2);
	go(&s, SE_UP, 3);
	go(&s, SE_LOST, 4);
	ck_assert_int_eq(s.state, SESSION_RECONNECTING);
	ck_assert_int_eq(s.cause, CAUSE_CUT);
	go(&s, SE_RESOLVING, 5);
	go(&s, SE_CONNECTING, 6);
	go(&s, SE_NEGOTIATING, 7);
	ck_assert_int_eq(s.state, SESSION_RECONNECTING);
	go(&s, SE_UP, 8);
	ck_assert_int_eq(s.state, SESSION_UP);
	ck_assert_uint_eq(s.reconnects, 1);
}
END_TEST

START_TEST(refused_is_left_only_by_a_dial)
{
	struct session s;

	session_init(&s, 0);
	go(&s, SE_RESOLVING, 1);
	go(&s, SE_REFUSED, 2);
	ck_assert_int_eq(s.state, SESSION_REFUSED);
	go(&s, SE_INBOUND, 3);
	go(&s, SE_LOST, 4);
	ck_assert_int_eq(s.state, SESSION_REFUSED);
	go(&s, SE_RESOLVING, 5);
	ck_assert_int_eq(s.state, SESSION_RESOLVING);
}
END_TEST

START_TEST(failed_is_left_only_by_stop)
{
	struct session s;

	for (int ev = 0; ev < SESSION_EVENTS; ev++) {
		session_init(&s, 0);
		session_event(&s, SE_BROKEN, CAUSE_IDENTITY, "no key", 1);
		ck_assert_int_eq(s.state, SESSION_FAILED);
		go(&s, (enum session_event)ev, 2);
		ck_assert_int_eq(s.state, ev == SE_STOP ? SESSION_DOWN : SESSION_FAILED);
	}
}
END_TEST

START_TEST(probing_ends_with_any_inbound_byte_and_counts_no_reconnect)
{
	struct session s;

	session_init(&s, 0);
	go(&s, SE_RESOLVING, 1);
	go(&s, SE_CONFIGURING, 2);
	go(&s, SE_UP, 3);
	go(&s, SE_PROBING, 10);
	ck_assert_int_eq(s.state, SESSION_PROBING);
	ck_assert(!session_event(&s, SE_PROBING, CAUSE_NONE, NULL, 11));
	go(&s, SE_INBOUND, 12);
	ck_assert_int_eq(s.state, SESSION_UP);
	ck_assert_uint_eq(s.reconnects, 0);
}
END_TEST

START_TEST(every_state_has_a_name)
{
	for (int i = 0; i < SESSION_STATES; i++)
		ck_assert_ptr_nonnull(session_state_name((enum session_state)i));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session");
	TCase *tc = tcase_create("table");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, first_dial_shows_each_step);
	tcase_add_test(tc, a_new_dial_of_a_tunnel_that_was_up_shows_as_reconnecting);
	tcase_add_test(tc, refused_is_left_only_by_a_dial);
	tcase_add_test(tc, failed_is_left_only_by_stop);
	tcase_add_test(tc, probing_ends_with_any_inbound_byte_and_counts_no_reconnect);
	tcase_add_test(tc, every_state_has_a_name);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
