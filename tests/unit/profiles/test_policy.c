/* SPDX-License-Identifier: MIT */
/* test_policy.c - the one decision, with its words */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/policy.h"

static struct profile *p;
static struct policy_answer a;

static struct ipaddr addr(const char *text)
{
	struct ipaddr x;

	ck_assert_msg(!addr_parse(text, &x), "%s", text);
	return x;
}

static void route(const char *text)
{
	ck_assert(!prefix_parse(text, &p->routes[p->n_routes++]));
}

static void exclude(const char *text)
{
	ck_assert(!prefix_parse(text, &p->excluded[p->n_excluded++]));
}

static void fresh(void)
{
	profile_defaults(p);
	p->n_routes = 0;
	memset(p->routes, 0, sizeof(p->routes[0]));
}

/* The seed's list, merged and sorted as the reader leaves it. */
static void seed_ports(void)
{
	static const struct port_range ports[] = { { 53, 53 }, { 161, 162 }, { 200, 1024 } };

	memcpy(p->ports, ports, sizeof(ports));
	p->n_ports = 3;
	p->udp_split = 1;
}

static enum verdict ask(uint8_t proto, const char *dst, uint16_t port, bool in_tun)
{
	struct policy_query q = {
		.proto = proto, .dst = addr(dst), .port = port, .in_tun = in_tun,
		.service4 = addr("198.18.53.53"), .service6 = addr("fd61:7070:7475::53"),
	};

	memset(&a, 0x55, sizeof(a));
	policy_decide(p, &q, &a);
	ck_assert(memchr(a.reason, '\0', sizeof(a.reason)) != NULL);
	return a.verdict;
}

#define SAYS(verdict, why, ...) do { \
	ck_assert_int_eq(ask(__VA_ARGS__), (verdict)); \
	ck_assert_str_eq(a.reason, (why)); \
} while (0)

START_TEST(routes_decide)
{
	fresh();
	route("10.0.0.0/8");
	route("10.1.0.0/16");
	exclude("10.10.10.10/32");
	SAYS(VERDICT_TUNNEL, "10.2.3.4 is in IPRoutes 10.0.0.0/8", 6, "10.2.3.4", 443, false);
	SAYS(VERDICT_TUNNEL, "10.1.3.4 is in IPRoutes 10.1.0.0/16", 6, "10.1.3.4", 443, false);
	SAYS(VERDICT_DIRECT, "10.10.10.10 is in ExcRoutes 10.10.10.10/32", 6, "10.10.10.10", 443,
	     false);
	SAYS(VERDICT_DIRECT, "192.0.2.1 is not in IPRoutes", 6, "192.0.2.1", 443, false);
	SAYS(VERDICT_DIRECT, "2001:db8::1 is not in IPRoutes", 6, "2001:db8::1", 443, false);
	SAYS(VERDICT_TUNNEL, "10.2.3.4 is in IPRoutes 10.0.0.0/8", 1, "10.2.3.4", 0, false);
	SAYS(VERDICT_TUNNEL, "SplitUDPPortList is not set: all UDP is tunnelled", 17, "10.2.3.4",
	     9999, false);
	SAYS(VERDICT_BLOCK, "protocol 47 is not carried", 47, "10.2.3.4", 0, false);
	/* what came out of the TUN is not asked about routes again */
	SAYS(VERDICT_TUNNEL, "192.0.2.1 came in through the tunnel's interface", 6, "192.0.2.1", 1,
	     true);
	ck_assert_int_eq(ask(6, "10.10.10.10", 1, true), VERDICT_TUNNEL);
}
END_TEST

START_TEST(a_wider_exclusion_wins)
{
	fresh();
	route("10.1.0.0/16");
	route("192.0.2.0/24");
	exclude("10.0.0.0/8");
	SAYS(VERDICT_DIRECT, "10.1.2.3 is in ExcRoutes 10.0.0.0/8", 6, "10.1.2.3", 80, false);
}
END_TEST

START_TEST(udp_ports_at_every_edge)
{
	static const struct {
		uint16_t port;
		const char *range;	/* NULL: not listed */
	} t[] = {
		{ 1, NULL }, { 52, NULL }, { 53, "53" }, { 54, NULL }, { 160, NULL },
		{ 161, "161-162" }, { 162, "161-162" }, { 163, NULL }, { 199, NULL },
		{ 200, "200-1024" }, { 1024, "200-1024" }, { 1025, NULL }, { 65535, NULL },
	};
	char why[96];
	size_t i;

	fresh();
	route("10.0.0.0/8");
	seed_ports();
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bool in = t[i].range != NULL;

		if (in)
			snprintf(why, sizeof(why), "UDP port %u is in SplitUDPPortList (%s)",
				 t[i].port, t[i].range);
		else
			snprintf(why, sizeof(why), "UDP port %u is not in SplitUDPPortList", t[i].port);
		SAYS(in ? VERDICT_TUNNEL : VERDICT_DIRECT, why, 17, "10.1.1.1", t[i].port, true);
		SAYS(in ? VERDICT_TUNNEL : VERDICT_DIRECT, why, 17, "10.1.1.1", t[i].port, false);
		ck_assert(policy_udp_tunnelled(p, t[i].port) == in);
	}
	/* the list is about UDP only */
	ck_assert_int_eq(ask(6, "10.1.1.1", 9999, true), VERDICT_TUNNEL);
	SAYS(VERDICT_DIRECT, "192.0.2.1 is not in IPRoutes", 17, "192.0.2.1", 53, false);
}
END_TEST

/* Binary search against the plain question, over every port. */
START_TEST(udp_ports_all)
{
	uint32_t port, i, n = 0;

	fresh();
	p->udp_split = 1;
	for (i = 0; i < PROFILE_MAX_PORTS; i++)
		p->ports[n++] = (struct port_range){ (uint16_t)(i * 64 + 1),
						     (uint16_t)(i * 64 + 1 + i % 60) };
	p->n_ports = n;
	for (port = 0; port <= 65535; port++) {
		bool in = port && (port - 1) % 64 <= (port - 1) / 64 % 60;

		ck_assert_msg(policy_udp_tunnelled(p, (uint16_t)port) == in, "port %u", port);
	}
	p->n_ports = 0;		/* a list of nothing: all goes direct */
	ck_assert(!policy_udp_tunnelled(p, 53));
	p->udp_split = 0;
	ck_assert(policy_udp_tunnelled(p, 53));
}
END_TEST

START_TEST(service_address)
{
	fresh();
	seed_ports();
	p->ports[0] = (struct port_range){ 60, 60 };	/* 53 is not listed */
	SAYS(VERDICT_TUNNEL, "198.18.53.53 port 53 is the DNS forwarder's service address", 17,
	     "198.18.53.53", 53, false);
	ck_assert_int_eq(ask(6, "fd61:7070:7475::53", 53, true), VERDICT_TUNNEL);
	SAYS(VERDICT_BLOCK, "198.18.53.53 is the service address, which answers DNS only", 17,
	     "198.18.53.53", 54, true);
	ck_assert_int_eq(ask(1, "198.18.53.53", 0, true), VERDICT_BLOCK);
}
END_TEST

START_TEST(the_family_left_over)
{
	fresh();
	route("0.0.0.0/0");
	SAYS(VERDICT_BLOCK, "IPRoutes has no IPv6, and [lock] IPv6 = block", 6, "2001:db8::1", 443,
	     false);
	p->lock_ipv6 = LOCK_IPV6_DIRECT;
	SAYS(VERDICT_DIRECT, "IPRoutes has no IPv6, and [lock] IPv6 = direct", 6, "2001:db8::1", 443,
	     false);
	p->lock_ipv6 = LOCK_IPV6_BLOCK;
	route("fd00::/8");	/* something of it: the rest is as the profile leaves it */
	SAYS(VERDICT_DIRECT, "2001:db8::1 is not in IPRoutes", 6, "2001:db8::1", 443, false);
	/* the other way round, with the whole in halves */
	fresh();
	route("::/1");
	route("8000::/1");
	SAYS(VERDICT_BLOCK, "IPRoutes has no IPv4, and [lock] IPv6 = block", 17, "192.0.2.1", 53,
	     false);
	/* a route that ExcRoutes takes out whole is none */
	fresh();
	route("0.0.0.0/0");
	route("fd00::/8");
	exclude("fc00::/7");
	ck_assert_int_eq(ask(6, "2001:db8::1", 443, false), VERDICT_BLOCK);
}
END_TEST

START_TEST(what_no_route_moves)
{
	fresh();
	route("0.0.0.0/0");
	route("::/0");
	ck_assert_int_eq(ask(6, "127.0.0.1", 80, false), VERDICT_DIRECT);
	ck_assert_int_eq(ask(6, "::1", 80, false), VERDICT_DIRECT);
	ck_assert_int_eq(ask(6, "fe80::1", 80, false), VERDICT_DIRECT);
	ck_assert_int_eq(ask(17, "ff02::fb", 5353, false), VERDICT_DIRECT);
	SAYS(VERDICT_BLOCK, "224.0.0.251 is in IPRoutes 0.0.0.0/0, and multicast is not carried", 17,
	     "224.0.0.251", 5353, false);
	ck_assert_int_eq(ask(58, "2001:db8::1", 0, false), VERDICT_TUNNEL);
}
END_TEST

START_TEST(names_of_verdicts)
{
	ck_assert_str_eq(verdict_name(VERDICT_TUNNEL), "tunnel");
	ck_assert_str_eq(verdict_name(VERDICT_DIRECT), "direct");
	ck_assert_str_eq(verdict_name(VERDICT_BLOCK), "block");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("policy");
	TCase *t = tcase_create("policy");
	SRunner *r;
	int failed;

	p = calloc(1, sizeof(*p));
	if (!p)
		return EXIT_FAILURE;
	tcase_add_test(t, routes_decide);
	tcase_add_test(t, a_wider_exclusion_wins);
	tcase_add_test(t, udp_ports_at_every_edge);
	tcase_add_test(t, udp_ports_all);
	tcase_add_test(t, service_address);
	tcase_add_test(t, the_family_left_over);
	tcase_add_test(t, what_no_route_moves);
	tcase_add_test(t, names_of_verdicts);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	free(p);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
