/* SPDX-License-Identifier: MIT */
/* The event loop: kinds, deletion during a turn, time-outs. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/limits.h"
#include "client/loop.h"

static struct loop *loop;
static int pair[2][2];
static struct loop_src src[2];

static void setup(void)
{
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]), 0);
		src[i] = (struct loop_src){ .kind = EV_DIRECT, .fd = pair[i][0], .owner = &src[i] };
		ck_assert_int_eq(loop_add(loop, &src[i], EPOLLIN), 0);
	}
}

static void teardown(void)
{
	loop_free(loop);
	for (int i = 0; i < 4; i++)
		close(pair[i / 2][i % 2]);
}

static int turn(uint64_t wait_us)
{
	uint64_t now = loop_now();

	return loop_wait(loop, now, now + wait_us);
}

START_TEST(ready_sources_come_once_a_turn)
{
	uint32_t events;
	struct loop_src *s;

	ck_assert_int_eq(turn(0), 0);
	ck_assert_ptr_null(loop_next(loop, &events));
	ck_assert_int_eq(write(pair[1][1], "x", 1), 1);
	ck_assert_int_eq(turn(1000), 1);
	s = loop_next(loop, &events);
	ck_assert_ptr_eq(s, &src[1]);
	ck_assert_int_eq(s->kind, EV_DIRECT);
	ck_assert_uint_eq(events, EPOLLIN);
	ck_assert_ptr_null(loop_next(loop, &events));
	ck_assert_int_eq(turn(0), 1);		/* level triggered: still there */
}
END_TEST

START_TEST(deleted_during_the_turn)
{
	struct loop_src *first, *other;
	uint32_t events;

	ck_assert_int_eq(write(pair[0][1], "x", 1), 1);
	ck_assert_int_eq(write(pair[1][1], "x", 1), 1);
	ck_assert_int_eq(turn(1000), 2);
	first = loop_next(loop, &events);
	other = first == &src[0] ? &src[1] : &src[0];
	loop_del(loop, other);
	ck_assert_ptr_null(loop_next(loop, &events));
	ck_assert_int_eq(turn(0), 1);
	ck_assert_ptr_eq(loop_next(loop, &events), first);
	ck_assert_int_eq(loop_add(loop, other, EPOLLIN), 0);
	ck_assert_int_eq(turn(0), 2);
}
END_TEST

START_TEST(changes)
{
	struct loop_src bad = { .kind = EV_TUN, .fd = -1 };
	uint32_t events;

	ck_assert_int_eq(loop_add(loop, &src[0], EPOLLIN), -EEXIST);
	ck_assert_int_eq(loop_add(loop, &bad, EPOLLIN), -EBADF);
	ck_assert_int_eq(loop_mod(loop, &src[0], EPOLLIN | EPOLLOUT), 0);
	ck_assert_uint_eq(src[0].events, EPOLLIN | EPOLLOUT);
	ck_assert_int_eq(turn(0), 1);
	loop_next(loop, &events);
	ck_assert_uint_eq(events, EPOLLOUT);
	/* equal: no system call, so even a dead descriptor is no error */
	bad.events = EPOLLIN;
	ck_assert_int_eq(loop_mod(loop, &bad, EPOLLIN), 0);
	ck_assert_int_eq(loop_mod(loop, &bad, EPOLLOUT), -EBADF);
	loop_del(loop, &bad);
}
END_TEST

START_TEST(time_is_up_not_early)
{
	uint64_t start = loop_now();

	ck_assert_int_eq(loop_wait(loop, start, start + 3 * USEC_PER_MSEC), 0);
	ck_assert_uint_ge(loop_now(), start + 3 * USEC_PER_MSEC);
	/* a deadline in the past does not wait */
	start = loop_now();
	ck_assert_int_eq(loop_wait(loop, start, 0), 0);
	ck_assert_uint_lt(loop_now() - start, USEC_PER_SEC);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("loop");
	TCase *t = tcase_create("loop");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, ready_sources_come_once_a_turn);
	tcase_add_test(t, deleted_during_the_turn);
	tcase_add_test(t, changes);
	tcase_add_test(t, time_is_up_not_early);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
