/* SPDX-License-Identifier: MIT */
/*
 * The engine's end of the control socket: a caller that does not read is let go
 * after its deadline, a slow one is not, and `log` is all of the ring.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/engine.h"
#include "client/log.h"
#include "platform/control.h"

#define LINES	30000		/* more than the ring holds */
#define DEADLINE (CONTROL_DEADLINE_MS * USEC_PER_MSEC)

static struct engine e;
static uint64_t now;
static int caller;
static char got[2u << 20];

static void setup(void)
{
	memset(&e, 0, sizeof(e));
	e.loop = loop_new();
	ck_assert_ptr_nonnull(e.loop);
	now = loop_now();
	for (int i = 0; i < LINES; i++)
		log_event(NULL, LOG_LVL_DEBUG, "test.fill", "line %06d of many, to fill it", i);
}

static void teardown(void)
{
	control_free_all(&e);
	loop_free(e.loop);
	if (caller >= 0)
		close(caller);
}

static void ask(uint32_t flags)
{
	struct control_request req;
	int fds[2];

	memset(&req, 0, sizeof(req));
	req.magic = CONTROL_MAGIC;
	req.verb = CONTROL_LOG;
	req.flags = flags;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	caller = fds[1];
	control_accept(&e, fds[0], &req, now);
}

/* The caller reads @most bytes at most.  Return: bytes; *end: the far side is gone */
static size_t take(char *buf, size_t most, bool *end)
{
	size_t n = 0;
	ssize_t r = -1;

	while (n < most && (r = read(caller, buf + n, most - n)) > 0)
		n += (size_t)r;
	*end = r == 0;
	return n;
}

static void turn(void)
{
	struct loop_src *src;
	uint32_t events;

	loop_wait(e.loop, loop_now(), 0);
	while ((src = loop_next(e.loop, &events)))
		control_event(&e, src, events, now);
}

START_TEST(who_does_not_read_is_let_go)
{
	bool end;

	ask(0);
	ck_assert_uint_eq(e.n_controls, 1);
	ck_assert_uint_eq(control_timer(&e, now), now + DEADLINE);
	now += DEADLINE - 1;
	control_timer(&e, now);
	ck_assert_uint_eq(e.n_controls, 1);
	now += 1;
	ck_assert_uint_eq(control_timer(&e, now), UINT64_MAX);
	ck_assert_uint_eq(e.n_controls, 0);
	/* what had been written is there, the exit line is not */
	take(got, sizeof(got) - 1, &end);
	ck_assert(end);
	ck_assert_ptr_null(strstr(got, "\nexit "));
}
END_TEST

START_TEST(who_reads_slowly_gets_all)
{
	size_t n = 0, lines = 0;
	bool end = false;
	char *p;

	ask(0);
	while (!end) {
		n += take(got + n, sizeof(got) - 1 - n, &end);
		now += DEADLINE * 9 / 10;
		turn();
		control_timer(&e, now);
	}
	got[n] = 0;
	ck_assert_uint_eq(e.n_controls, 0);
	ck_assert_ptr_nonnull(strstr(got, "\nexit 0\n"));
	for (p = got; (p = strstr(p, "test.fill: line ")); p++)
		lines++;
	ck_assert_uint_gt(lines, 10000);
	ck_assert_uint_lt(lines, LINES);
	ck_assert_ptr_nonnull(strstr(got, "line 029999 of many"));
}
END_TEST

START_TEST(a_follower_that_reads_stays)
{
	bool end;
	int i;

	ask(CONTROL_F_FOLLOW);
	for (i = 0; i < 200; i++) {
		take(got, sizeof(got) - 1, &end);
		ck_assert(!end);
		turn();
		control_timer(&e, now);
	}
	/* all was read: nothing is due but the next look at the ring */
	now += 10 * DEADLINE;
	ck_assert_uint_le(control_timer(&e, now), now + USEC_PER_SEC);
	ck_assert_uint_eq(e.n_controls, 1);
	log_event(NULL, LOG_LVL_DEBUG, "test.news", "something new");
	control_timer(&e, now);
	memset(got, 0, 4096);
	take(got, 4095, &end);
	ck_assert_ptr_nonnull(strstr(got, "test.news: something new\n"));
	/* it goes: so does its state here */
	close(caller);
	caller = -1;
	turn();
	ck_assert_uint_eq(e.n_controls, 0);
}
END_TEST

START_TEST(callers_are_bounded)
{
	int fds[ENGINE_CONTROLS];
	char text[200] = "";
	bool end;
	int i;

	for (i = 0; i < ENGINE_CONTROLS; i++) {
		ask(CONTROL_F_FOLLOW);
		fds[i] = caller;
	}
	ask(0);
	ck_assert_uint_eq(e.n_controls, ENGINE_CONTROLS);
	take(text, sizeof(text) - 1, &end);
	ck_assert(end);
	ck_assert_str_eq(text, "err apptunnel: too many questions at once, try again\nexit 1\n");
	for (i = 0; i < ENGINE_CONTROLS; i++)
		close(fds[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("control of the engine");
	TCase *tc = tcase_create("control");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, who_does_not_read_is_let_go);
	tcase_add_test(tc, who_reads_slowly_gets_all);
	tcase_add_test(tc, a_follower_that_reads_stays);
	tcase_add_test(tc, callers_are_bounded);
	suite_add_tcase(s, tc);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
