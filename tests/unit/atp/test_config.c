/* SPDX-License-Identifier: MIT */
/*
 * test_config.c - CONFIG: what is taken, what is left out with a warning, and
 * what ends the session.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/atp/handshake.h"

static struct atp_config c;
static char why[256];

static int parse(const char *json)
{
	return atp_config_parse(json, strlen(json), &c, why, sizeof(why));
}

START_TEST(defaults)
{
	ck_assert_int_eq(parse("{}"), 0);
	ck_assert_uint_eq(c.mtu, 1400);
	ck_assert_uint_eq(c.resume_window_s, 120);
	ck_assert_uint_eq(c.max_streams, 65536);
	ck_assert_uint_eq(c.n_dns + c.n_search, 0);
	ck_assert_uint_eq(c.interface4.family + c.interface6.family, 0);
	ck_assert_str_eq(c.resume_host, "");
	ck_assert_str_eq(why, "");
}
END_TEST

START_TEST(everything)
{
	char text[ADDR_STRLEN];

	ck_assert_int_eq(parse("{\"interface4\":\"172.28.13.2/29\",\"interface6\":\"fd00::2\","
			       "\"dns\":[\"10.0.0.53\",\"fd00::53\"],\"search\":[\"corp.example.\"],"
			       "\"mtu\":1300,\"resume_window_s\":0,\"resume_host\":\"[fd00::1]:8443\","
			       "\"max_streams\":100,\"routes\":[\"0.0.0.0/0\"]}"), 0);
	ck_assert_str_eq(addr_format(&c.interface4, text), "172.28.13.2");
	ck_assert_str_eq(addr_format(&c.interface6, text), "fd00::2");
	ck_assert_uint_eq(c.n_dns, 2);
	ck_assert_str_eq(addr_format(&c.dns[1], text), "fd00::53");
	ck_assert_str_eq(c.search[0], "corp.example");
	ck_assert_uint_eq(c.mtu, 1300);
	ck_assert_uint_eq(c.resume_window_s, 0);
	ck_assert_str_eq(c.resume_host, "[fd00::1]:8443");
	ck_assert_uint_eq(c.max_streams, 100);
	ck_assert_str_eq(why, "");
}
END_TEST

static const char *const bad[] = {
	"", "[]", "{", "{}x", "null", "{\"mtu\":1400,\"mtu\":1400}", "\xff",
	"{\"interface4\":1}", "{\"interface4\":null}", "{\"interface4\":\"\"}",
	"{\"interface4\":\"fd00::1\"}", "{\"interface6\":\"10.0.0.1\"}",
	"{\"interface4\":\"0.0.0.1\"}", "{\"interface4\":\"127.0.0.1/8\"}",
	"{\"interface4\":\"224.0.0.1\"}", "{\"interface4\":\"255.255.255.255\"}",
	"{\"interface4\":\"10.0.0.1/33\"}", "{\"interface4\":\"10.0.0.1/\"}",
	"{\"interface4\":\"10.0.0.1; reboot\"}",
	"{\"interface6\":\"::\"}", "{\"interface6\":\"::1\"}", "{\"interface6\":\"ff02::1/64\"}",
	"{\"dns\":\"10.0.0.1\"}", "{\"dns\":{}}", "{\"dns\":[0,0,0,0,0,0,0,0,0]}",
	"{\"search\":\"example\"}",
	"{\"mtu\":\"1400\"}", "{\"mtu\":1400.0}", "{\"mtu\":-1}", "{\"mtu\":65536}",
	"{\"mtu\":true}", "{\"resume_window_s\":-1}", "{\"resume_window_s\":3601}",
	"{\"resume_host\":7}", "{\"max_streams\":0}", "{\"max_streams\":1048577}",
	"{\"max_streams\":99999999999999999999}",
	"{\"a\":[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]}",
};

START_TEST(protocol_error)
{
	memset(&c, 0x55, sizeof(c));
	ck_assert_msg(parse(bad[_i]) == -EPROTO, "%s was taken", bad[_i]);
	ck_assert_uint_eq(strncmp(why, "CONFIG: ", 8), 0);
	ck_assert_uint_eq(c.mtu, 0x5555);	/* written on success only */
}
END_TEST

START_TEST(edges)
{
	ck_assert_int_eq(parse("{\"mtu\":0}"), 0);
	ck_assert_uint_eq(c.mtu, 1280);
	ck_assert_int_eq(parse("{\"mtu\":65535,\"resume_window_s\":3600,\"max_streams\":1048576}"), 0);
	ck_assert_uint_eq(c.mtu, 65535);
	ck_assert_int_eq(parse("{\"max_streams\":1}"), 0);
	ck_assert_int_eq(parse("{\"dns\":[],\"search\":[]}"), 0);
	/* depth counts brackets, not text */
	ck_assert_int_eq(parse("{\"x\":\"[[[[[[[[[[[[[[[[[[\\\"[[\"}"), 0);
	ck_assert_int_eq(parse("{\"a\":[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]}"), 0);
}
END_TEST

START_TEST(bad_entries_are_left_out)
{
	ck_assert_int_eq(parse("{\"dns\":[\"10.0.0.53\",\"$(x)\",7,\"127.0.0.1\",\"224.0.0.1\","
			       "\"0.0.0.0\",\"10.0.0.54\"],"
			       "\"search\":[\"a b\",\"ok.example\",\"\",\".\",\"a..b\",\"-\",{}],"
			       "\"resume_host\":\"a;b\"}"), 0);
	ck_assert_uint_eq(c.n_dns, 2);
	ck_assert_uint_eq(c.n_search, 2);
	ck_assert_str_eq(c.search[0], "ok.example");
	ck_assert_str_eq(c.search[1], "-");
	ck_assert_str_eq(c.resume_host, "");
	ck_assert_ptr_nonnull(strstr(why, "dns entry 2 left out; dns entry 3 left out"));
	ck_assert_ptr_nonnull(strstr(why, "resume_host left out"));
}
END_TEST

START_TEST(warnings_are_cut)
{
	char small[20];

	ck_assert_int_eq(atp_config_parse("{\"dns\":[1,2,3,4]}", 17, &c, small, sizeof(small)), 0);
	ck_assert_uint_lt(strlen(small), sizeof(small));
	ck_assert_int_eq(atp_config_parse("{\"dns\":[1,2,3,4]}", 17, &c, NULL, 0), 0);
	ck_assert_int_eq(atp_config_parse("[", 1, &c, small, 1), -EPROTO);
	ck_assert_str_eq(small, "");
}
END_TEST

START_TEST(resume_host_forms)
{
	static const struct { const char *text; bool ok; } rows[] = {
		{ "sentry.example", true }, { "sentry.example:443", true }, { "10.0.0.1", true },
		{ "10.0.0.1:1", true }, { "[fd00::1]:65535", true }, { "[fd00::1]", true },
		{ "sentry.example:0", false }, { "sentry.example:65536", false },
		{ "sentry.example:", false }, { ":443", false }, { "", false },
		{ "10.0.0.256", false }, { "[10.0.0.1]", false }, { "[fd00::1", false },
		{ "[fd00::1]x", false }, { "fd00::1", false }, { "a:b:c", false },
		{ "a\\nb", false },
	};
	char json[128];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(json, sizeof(json), "{\"resume_host\":\"%s\"}", rows[i].text);
		ck_assert_int_eq(parse(json), 0);
		ck_assert_msg((c.resume_host[0] != 0) == rows[i].ok, "%s", rows[i].text);
		ck_assert((why[0] == 0) == rows[i].ok);
	}
}
END_TEST

START_TEST(over_16_kib)
{
	char *text = malloc(LIMIT_CONFIG + 2);

	memset(text, ' ', LIMIT_CONFIG + 2);
	memcpy(text, "{}", 2);
	ck_assert_int_eq(atp_config_parse(text, LIMIT_CONFIG, &c, why, sizeof(why)), 0);
	ck_assert_int_eq(atp_config_parse(text, LIMIT_CONFIG + 1, &c, why, sizeof(why)), -EPROTO);
	free(text);
}
END_TEST

START_TEST(round_trip)
{
	struct atp_config d;
	char buf[LIMIT_CONFIG];
	int n;

	ck_assert_int_eq(parse("{\"interface4\":\"172.28.13.2\",\"dns\":[\"10.0.0.53\"],"
			       "\"search\":[\"a\",\"b.c\"],\"mtu\":1350,\"resume_host\":\"h:1\"}"), 0);
	d = c;
	n = atp_config_write(&d, buf, sizeof(buf));
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(atp_config_parse(buf, (size_t)n, &c, why, sizeof(why)), 0);
	ck_assert_mem_eq(&c, &d, sizeof(c));
	ck_assert_int_eq(atp_config_write(&d, buf, 20), -ENOSPC);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, defaults);
	tcase_add_test(tc, everything);
	tcase_add_loop_test(tc, protocol_error, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tc, edges);
	tcase_add_test(tc, bad_entries_are_left_out);
	tcase_add_test(tc, warnings_are_cut);
	tcase_add_test(tc, resume_host_forms);
	tcase_add_test(tc, over_16_kib);
	tcase_add_test(tc, round_trip);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
