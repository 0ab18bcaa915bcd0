/* SPDX-License-Identifier: MIT */
/* test_value.c - single values: what is accepted, and what comes out */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/value.h"

static struct value_error e;

START_TEST(counts)
{
	uint64_t v = 7;

	ck_assert(!value_number("0", 1, 0, 5, false, &v, &e) && v == 0);
	ck_assert(!value_number("18446744073709551615", 20, 0, UINT64_MAX, false, &v, &e));
	ck_assert(v == UINT64_MAX);
	v = 7;
	ck_assert(value_number("18446744073709551616", 20, 0, UINT64_MAX, false, &v, &e));
	ck_assert_int_eq(e.code, FC_RANGE);
	ck_assert(value_number("", 0, 0, 5, false, &v, &e));
	ck_assert_int_eq(e.code, FC_NUMBER);
	ck_assert(value_number("00", 2, 0, 5, false, &v, &e));
	ck_assert(value_number("0", 1, 5, 9, false, &v, &e));
	ck_assert_int_eq(e.code, FC_RANGE);
	ck_assert(v == 7);	/* written on success only */
	ck_assert(!value_number("0", 1, 5, 9, true, &v, &e) && v == 0);
	ck_assert(value_number("4", 1, 5, 9, true, &v, &e));
	/* no byte behind the element is looked at */
	ck_assert(!value_number("12", 1, 0, 5, false, &v, &e) && v == 1);
}
END_TEST

START_TEST(choices)
{
	static const char *const words[] = { "info", "debug", "session", NULL };
	unsigned int v = 9;

	ck_assert(!value_enum("DeBug", 5, words, &v, &e) && v == 1);
	ck_assert(value_enum("debu", 4, words, &v, &e) && v == 1);
	ck_assert(value_enum("debugg", 6, words, &v, &e));
	ck_assert(!value_log_level("debug session", 13, words, &v, &e) && v == 2);
	ck_assert(!value_log_level("debug", 5, words, &v, &e) && v == 1);
	ck_assert(!value_log_level("debug \t debug", 13, words, &v, &e) && v == 1);
	ck_assert(value_log_level("debug ", 6, words, &v, &e));
	ck_assert(value_log_level("debug x", 7, words, &v, &e));
	ck_assert_uint_eq(e.at, 6);
	ck_assert(value_log_level("session debug", 13, words, &v, &e));
	ck_assert(value_log_level("debugsession", 12, words, &v, &e));
}
END_TEST

START_TEST(elements)
{
	const char *list = " a ;;\tb;", *s = list, *elem;
	size_t n = strlen(list), len;

	ck_assert(value_element(&s, &n, &elem, &len) && len == 1 && *elem == 'a');
	ck_assert(value_element(&s, &n, &elem, &len) && len == 0);
	ck_assert(value_element(&s, &n, &elem, &len) && len == 1 && *elem == 'b');
	ck_assert(value_element(&s, &n, &elem, &len) && len == 0);
	ck_assert(!value_element(&s, &n, &elem, &len));
	s = "";
	n = 0;
	ck_assert(value_element(&s, &n, &elem, &len) && len == 0);
	ck_assert(!value_element(&s, &n, &elem, &len));
}
END_TEST

static int host(const char *s, struct profile_host *h)
{
	return value_host(s, strlen(s), h, &e);
}

START_TEST(hosts)
{
	struct profile_host h;

	ck_assert(!host("Sentry.example.com", &h) && h.port == 443 && !h.addr.family);
	ck_assert_str_eq(h.name, "Sentry.example.com");
	ck_assert(!host("s:1", &h) && h.port == 1);
	ck_assert_str_eq(h.name, "s");
	ck_assert(!host("192.0.2.7:65535", &h) && h.port == 65535 && h.addr.family == 4);
	ck_assert_str_eq(h.name, "192.0.2.7");
	ck_assert(!host("2001:db8::7", &h) && h.port == 443 && h.addr.family == 6);
	ck_assert(!host("[2001:db8::7]", &h) && h.port == 443 && h.addr.family == 6);
	ck_assert_str_eq(h.name, "2001:db8::7");
	ck_assert(!host("[2001:db8::7]:99", &h) && h.port == 99);
	ck_assert(host("", &h) && host(":443", &h) && host("[]:1", &h) && host("[", &h));
	ck_assert(host("a:b:c", &h) && host("a:", &h) && host("[::1]:", &h) && host("[::1]x", &h));
	ck_assert(host("::ffff:1.2.3.4", &h) && strstr(e.text, "1.2.3.4"));
}
END_TEST

START_TEST(prefixes)
{
	char buf[PREFIX_STRLEN];
	struct prefix p;
	bool bits;

	ck_assert(!value_prefix("10.1.2.3/8", 10, &p, &bits, &e) && bits);
	ck_assert_str_eq(prefix_format(&p, buf), "10.0.0.0/8");
	ck_assert(!value_prefix("0.0.0.0/0", 9, &p, &bits, &e) && !bits && p.len == 0);
	ck_assert(!value_prefix("::/0", 4, &p, &bits, &e) && p.addr.family == 6);
	ck_assert(!value_prefix("10.0.0.0/33", 10, &p, &bits, &e) && p.len == 3);
	ck_assert(value_prefix("10.0.0.0/33", 11, &p, &bits, &e) && e.at == 9);
	ck_assert(value_prefix("10.0.0.0/99999999999999999999", 29, &p, &bits, &e));
	ck_assert(value_prefix("10.0.0.0/-1", 11, &p, &bits, &e));
	ck_assert(value_prefix("10.0.0.0/8/8", 12, &p, &bits, &e));
	ck_assert(value_prefix("/8", 2, &p, &bits, &e) && e.at == 0);
	ck_assert(!value_ula("fdaa::/48", 9, &p, &bits, &e));
	ck_assert(value_ula("fe80::/64", 9, &p, &bits, &e));
}
END_TEST

START_TEST(port_ranges)
{
	struct port_range r;

	ck_assert(!value_ports("1-65535", 7, &r, &e) && r.lo == 1 && r.hi == 65535);
	ck_assert(!value_ports("53", 2, &r, &e) && r.lo == 53 && r.hi == 53);
	ck_assert(value_ports("65536", 5, &r, &e) && e.at == 0);
	ck_assert(value_ports("1-65536", 7, &r, &e) && e.at == 2);
	ck_assert(value_ports("2-1", 3, &r, &e) && value_ports("-", 1, &r, &e));
	ck_assert(value_ports("0", 1, &r, &e) && value_ports("", 0, &r, &e));
}
END_TEST

START_TEST(paths_and_pins)
{
	char path[PROFILE_PATH_MAX] = "untouched", deep[PROFILE_PATH_MAX + 1];
	struct profile_pin pin = { .kind = 99 };

	ck_assert(!value_path("a/b.pem", 7, "/etc/x", path, &e));
	ck_assert_str_eq(path, "/etc/x/a/b.pem");
	ck_assert(!value_path("/a", 2, "/etc/x", path, &e));
	ck_assert_str_eq(path, "/a");
	memset(deep, 'd', sizeof(deep));
	deep[0] = '/';
	ck_assert(!value_path(deep, PROFILE_PATH_MAX - 1, "/", path, &e));
	ck_assert(value_path(deep, PROFILE_PATH_MAX, "/", path, &e));
	ck_assert(value_path(deep, PROFILE_PATH_MAX + 1, "/", path, &e));
	ck_assert(value_path(deep + 1, PROFILE_PATH_MAX - 2, "/x", path, &e));
	ck_assert_int_eq(e.code, FC_PATH);
	ck_assert(value_path("pkcs11:", 7, "/x", path, &e));
	ck_assert_int_eq(e.code, FC_VALUE_UNSUPPORTED);
	ck_assert(value_pin("sha256:00", 9, "/x", &pin, &e) && pin.kind == 99);
	ck_assert(!value_pin("sha256.pem", 10, "/x", &pin, &e) && pin.kind == PIN_FILE);
	ck_assert_str_eq(pin.path, "/x/sha256.pem");
}
END_TEST

START_TEST(names_and_services)
{
	char out[PROFILE_NAME_MAX], service[129];

	ck_assert(!value_domain("_tcp.a-b.x1", 11, false, out, &e));
	ck_assert_str_eq(out, "_tcp.a-b.x1");
	ck_assert(value_domain("_tcp.a", 6, true, NULL, &e) && e.at == 0);
	ck_assert(value_domain("a.-b", 4, false, NULL, &e) && e.at == 2);
	ck_assert(value_domain("a.b.", 4, false, NULL, &e) && e.at == 4);
	ck_assert(value_domain("", 0, false, NULL, &e) && value_domain(".", 1, false, NULL, &e));
	ck_assert(!value_service("<TCP_ANY>", 9, service, &e));
	ck_assert_str_eq(service, "<TCP_ANY>");
	ck_assert(!value_service("eng/x-1", 7, service, &e));
	ck_assert(value_service("", 0, service, &e) && value_service("<IP_ANY>x", 9, service, &e));
	ck_assert(!value_email("a.b+c@example.com", 17, NULL, &e));
	ck_assert(value_email("a@", 2, NULL, &e) && value_email("@b", 2, NULL, &e) && value_email("a@b@c", 5, NULL, &e));
	ck_assert(!value_app("/bin/*", 6, &e) && !value_app("cgroup:/a", 9, &e));
	ck_assert(value_app("/", 1, &e) && value_app("unit:", 5, &e) && value_app("", 0, &e));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("value");
	TCase *t = tcase_create("value");
	SRunner *r;
	int failed;

	tcase_add_test(t, counts);
	tcase_add_test(t, choices);
	tcase_add_test(t, elements);
	tcase_add_test(t, hosts);
	tcase_add_test(t, prefixes);
	tcase_add_test(t, port_ranges);
	tcase_add_test(t, paths_and_pins);
	tcase_add_test(t, names_and_services);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
