/* SPDX-License-Identifier: MIT */
/* Addresses and prefixes: read strictly, compared, judged. */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/addr.h"

static struct ipaddr A(const char *text)
{
	struct ipaddr a;

	ck_assert_msg(!addr_parse(text, &a), "%s", text);
	return a;
}

static struct prefix P(const char *text)
{
	struct prefix p;

	ck_assert_msg(!prefix_parse(text, &p), "%s", text);
	return p;
}

START_TEST(parses_strictly)
{
	static const char *const good[] = { "0.0.0.0", "192.0.2.1", "255.255.255.255", "::",
		"::1", "2001:db8::53", "fe80::1", "ff02::1" };
	static const char *const bad[] = { "", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4",
		"1.2.3.256", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4/8", "fe80::1%eth0", "::ffff:192.0.2.1",
		"::ffff:c000:201", "2001:db8:::1", "1:2:3:4:5:6:7:8:9", "0x7f.0.0.1", "[::1]" };
	struct ipaddr a = { .family = 99 };
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		a = A(good[i]);
		ck_assert_str_eq(addr_format(&a, buf), good[i]);
	}
	a.family = 99;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_msg(addr_parse(bad[i], &a) == -EINVAL, "%s", bad[i]);
		ck_assert_uint_eq(a.family, 99);
	}
	a.family = 0;
	ck_assert_str_eq(addr_format(&a, buf), "-");
}
END_TEST

START_TEST(parses_prefixes)
{
	static const char *const good[] = { "0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "::/0",
		"2001:db8::1/128", "10.1.2.3/8",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" };
	static const char *const bad[] = { "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/33",
		"::/129", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/8 ",
		"10.0.0.0/8/8", "10.0.0.0/4294967304", "10.0.0.0/255.0.0.0" };
	struct prefix p = { .len = 77 };
	char buf[PREFIX_STRLEN];

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		p = P(good[i]);
		ck_assert_str_eq(prefix_format(&p, buf), good[i]);
	}
	p.len = 77;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_msg(prefix_parse(bad[i], &p) == -EINVAL, "%s", bad[i]);
		ck_assert_uint_eq(p.len, 77);
	}
}
END_TEST

START_TEST(masks_host_bits)
{
	static const char *const rows[][2] = {
		{ "10.1.2.3/8", "10.0.0.0/8" }, { "255.255.255.255/0", "0.0.0.0/0" },
		{ "192.0.2.255/25", "192.0.2.128/25" }, { "192.0.2.1/31", "192.0.2.0/31" },
		{ "2001:db8:ffff::1/33", "2001:db8:8000::/33" }, { "::1/127", "::/127" } };
	struct prefix p;
	char buf[PREFIX_STRLEN];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		p = P(rows[i][0]);
		ck_assert(prefix_mask(&p));
		ck_assert_str_eq(prefix_format(&p, buf), rows[i][1]);
		ck_assert(!prefix_mask(&p));
	}
	p = P("192.0.2.1/32");
	ck_assert(!prefix_mask(&p));
}
END_TEST

START_TEST(compares_and_covers)
{
	struct ipaddr a = A("10.1.2.3"), b = A("10.1.2.4"), c = A("::1");
	struct prefix all = P("0.0.0.0/0"), ten = P("10.0.0.0/8"), odd = P("10.1.2.0/23");
	struct prefix all6 = P("::/0"), host = P("10.1.2.3/32");

	ck_assert(addr_equal(&a, &a));
	ck_assert(!addr_equal(&a, &b));
	ck_assert_int_lt(addr_compare(&a, &b), 0);
	ck_assert_int_gt(addr_compare(&b, &a), 0);
	ck_assert_int_lt(addr_compare(&a, &c), 0);
	ck_assert(prefix_has(&all, &a) && prefix_has(&ten, &a) && prefix_has(&odd, &a));
	ck_assert(!prefix_has(&all6, &a) && !prefix_has(&all, &c) && prefix_has(&all6, &c));
	ck_assert(prefix_has(&host, &a) && !prefix_has(&host, &b));
	a = A("10.1.3.255");
	ck_assert(prefix_has(&odd, &a));
	a = A("10.1.4.0");
	ck_assert(!prefix_has(&odd, &a));
	ck_assert(prefix_covers(&all, &ten) && prefix_covers(&ten, &ten));
	ck_assert(!prefix_covers(&odd, &ten) && !prefix_covers(&all6, &ten));
	ck_assert(prefix_equal(&ten, &ten) && !prefix_equal(&ten, &all));
}
END_TEST

START_TEST(knows_kinds)
{
	struct ipaddr a;

	a = A("127.9.9.9");
	ck_assert(addr_is_loopback(&a) && !addr_is_assignable(&a));
	a = A("::1");
	ck_assert(addr_is_loopback(&a) && !addr_is_assignable(&a));
	a = A("128.0.0.1");
	ck_assert(!addr_is_loopback(&a) && addr_is_assignable(&a));
	a = A("::2");
	ck_assert(!addr_is_loopback(&a) && addr_is_assignable(&a));
	a = A("239.1.1.1");
	ck_assert(addr_is_multicast(&a) && !addr_is_assignable(&a));
	a = A("ff02::1");
	ck_assert(addr_is_multicast(&a) && !addr_is_assignable(&a));
	a = A("240.0.0.1");
	ck_assert(!addr_is_multicast(&a) && !addr_is_assignable(&a));
	a = A("0.1.2.3");
	ck_assert(!addr_is_unspecified(&a) && !addr_is_assignable(&a));
	a = A("0.0.0.0");
	ck_assert(addr_is_unspecified(&a) && !addr_is_assignable(&a));
	a = A("::");
	ck_assert(addr_is_unspecified(&a) && !addr_is_assignable(&a));
	a = A("169.254.169.254");
	ck_assert(addr_is_linklocal(&a));
	a = A("febf::1");
	ck_assert(addr_is_linklocal(&a));
	a = A("fec0::1");
	ck_assert(!addr_is_linklocal(&a));
	a.family = 0;
	ck_assert(!addr_is_assignable(&a) && !addr_is_loopback(&a));
}
END_TEST

START_TEST(turns_into_sockaddr)
{
	static const char *const rows[] = { "192.0.2.7", "2001:db8::7" };
	struct sockaddr_storage ss;
	struct ipaddr a, b;
	uint16_t port;

	for (size_t i = 0; i < 2; i++) {
		a = A(rows[i]);
		ck_assert_uint_eq(addr_to_sockaddr(&a, 443, &ss),
				  i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		ck_assert_int_eq(addr_from_sockaddr(&ss, &b, &port), 0);
		ck_assert(addr_equal(&a, &b));
		ck_assert_uint_eq(port, 443);
		ck_assert_int_eq(addr_from_sockaddr(&ss, &b, NULL), 0);
	}
	a.family = 0;
	ck_assert_uint_eq(addr_to_sockaddr(&a, 1, &ss), 0);
	ck_assert_int_eq(addr_from_sockaddr(&ss, &b, &port), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("addr");
	TCase *t = tcase_create("addr");
	SRunner *r;
	int failed;

	tcase_add_test(t, parses_strictly);
	tcase_add_test(t, parses_prefixes);
	tcase_add_test(t, masks_host_bits);
	tcase_add_test(t, compares_and_covers);
	tcase_add_test(t, knows_kinds);
	tcase_add_test(t, turns_into_sockaddr);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
