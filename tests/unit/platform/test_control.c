/* SPDX-License-Identifier: MIT */
/* A control request is refused for every field that its verb has no use for. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/control.h"

static struct control_request request(int verb)
{
	struct control_request r = { .magic = CONTROL_MAGIC, .verb = (uint8_t)verb };

	if (verb == CONTROL_EXPLAIN) {
		r.proto = 6;
		ck_assert(!addr_parse("10.1.2.3", &r.addr));
	}
	if (verb == CONTROL_APPLY)
		strcpy(r.profile, "corp");
	return r;
}

#define GOOD(r) ck_assert_int_eq(control_request_check(&(r)), 0)
#define BAD_WITH(r, field, value) do { \
	struct control_request with = (r); \
	with.field = (value); \
	ck_assert_int_eq(control_request_check(&with), -EBADMSG); \
} while (0)

START_TEST(every_verb)
{
	int verb;

	for (verb = 0; verb < 256; verb++) {
		struct control_request r = request(verb);

		if (verb < CONTROL_CONNECT || verb > CONTROL_ROLLBACK) {
			ck_assert_int_eq(control_request_check(&r), -EBADMSG);
			continue;
		}
		GOOD(r);
		BAD_WITH(r, magic, 0);
		BAD_WITH(r, pad, 1);
		BAD_WITH(r, flags, 0x40000000u);
		BAD_WITH(r, flags, 0x80000000u);
		BAD_WITH(r, level, LOG_LVL_PACKET + 1);
		if (verb != CONTROL_LOG) {
			BAD_WITH(r, level, 1);
			BAD_WITH(r, flags, CONTROL_F_FOLLOW);
			BAD_WITH(r, flags, CONTROL_F_SET_LEVEL);
			BAD_WITH(r, flags, CONTROL_F_DEBUG_ON);
			BAD_WITH(r, flags, CONTROL_F_DEBUG_OFF);
		}
		if (verb != CONTROL_STATUS) {
			BAD_WITH(r, flags, CONTROL_F_HISTORY);
		}
		if (verb != CONTROL_CONNECT) {
			BAD_WITH(r, timeout_ms, 1);
			BAD_WITH(r, flags, CONTROL_F_KEEP_TRYING);
		}
		if (verb == CONTROL_CONNECT || verb == CONTROL_DISCONNECT || verb >= CONTROL_APPLY)
			BAD_WITH(r, flags, CONTROL_F_JSON);
		BAD_WITH(r, end, 1);
		if (verb != CONTROL_APPLY) {
			BAD_WITH(r, flags, CONTROL_F_SIGNED);
			BAD_WITH(r, ready, CONTROL_READY_TUNNEL);
			BAD_WITH(r, confirm_ms, 1000);
			BAD_WITH(r, ready_port, 80);
			BAD_WITH(r, ready_host[0], 'x');
		}
		if (verb != CONTROL_EXPLAIN) {
			BAD_WITH(r, proto, 6);
			BAD_WITH(r, port, 1);
			BAD_WITH(r, addr.family, 4);
			BAD_WITH(r, addr.bytes[7], 1);
		}
	}
}
END_TEST

START_TEST(ranges)
{
	struct control_request r = request(CONTROL_CONNECT);

	r.timeout_ms = CONTROL_CONNECT_MAX_MS;
	r.flags = CONTROL_F_KEEP_TRYING;
	GOOD(r);
	BAD_WITH(r, timeout_ms, CONTROL_CONNECT_MAX_MS + 1);
	r = request(CONTROL_APPLY);
	r.ready = CONTROL_READY_TUNNEL | CONTROL_READY_DNS;
	r.confirm_ms = CONTROL_CONFIRM_MAX_MS;
	r.flags = CONTROL_F_SIGNED | CONTROL_F_FORCE;
	GOOD(r);
	BAD_WITH(r, confirm_ms, CONTROL_CONFIRM_MAX_MS + 1);
	BAD_WITH(r, ready, 8);
	BAD_WITH(r, ready, CONTROL_READY_TCP);	/* to where? */
	BAD_WITH(r, ready_port, 80);
	BAD_WITH(r, profile[0], '\0');
	r.ready = CONTROL_READY_TCP;
	r.ready_port = 443;
	BAD_WITH(r, ready_port, 443);		/* of whom? */
	strcpy(r.ready_host, "web-1.corp.internal");
	GOOD(r);
	BAD_WITH(r, ready_host[0], '-');	/* it becomes an argument */
	BAD_WITH(r, ready_host[3], ' ');
	BAD_WITH(r, ready_host[100], 'x');
	r = request(CONTROL_LOG);
	r.level = LOG_LVL_PACKET;
	r.flags = CONTROL_F_FOLLOW | CONTROL_F_SET_LEVEL | CONTROL_F_JSON;
	GOOD(r);
	BAD_WITH(r, flags, CONTROL_F_DEBUG_ON | CONTROL_F_DEBUG_OFF);
	BAD_WITH(r, flags, CONTROL_F_DEBUG_ON | CONTROL_F_FOLLOW);
	BAD_WITH(r, flags, CONTROL_F_DEBUG_OFF | CONTROL_F_SET_LEVEL);
	r.flags = CONTROL_F_DEBUG_ON | CONTROL_F_JSON;
	GOOD(r);
	r.flags = CONTROL_F_DEBUG_OFF;
	GOOD(r);
	r = request(CONTROL_EXPLAIN);
	r.port = 65535;
	r.proto = 17;
	GOOD(r);
	BAD_WITH(r, proto, 0);
	BAD_WITH(r, proto, 132);
	BAD_WITH(r, addr.family, 0);
	BAD_WITH(r, addr.family, 5);
	BAD_WITH(r, addr.bytes[4], 1);	/* behind an IPv4 address */
}
END_TEST

START_TEST(names)
{
	static const char *const bad[] = { ".", "..", "../x", "a/b", "a b", "a.ini", "a\n", "a;b",
					   "\xff" };
	struct control_request r = request(CONTROL_STATUS);
	size_t i;

	memset(r.profile, 'Z', 32);
	GOOD(r);
	BAD_WITH(r, profile[32], 'Z');		/* not terminated */
	memset(r.profile, 0, sizeof(r.profile));
	strcpy(r.profile, "a-B_9");
	GOOD(r);
	BAD_WITH(r, profile[20], 'x');		/* something behind the end */
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(r.profile, 0, sizeof(r.profile));
		strcpy(r.profile, bad[i]);
		ck_assert_msg(control_request_check(&r) == -EBADMSG, "%s", bad[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("control");
	TCase *t = tcase_create("control");
	SRunner *r;
	int failed;

	tcase_add_test(t, every_verb);
	tcase_add_test(t, ranges);
	tcase_add_test(t, names);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
