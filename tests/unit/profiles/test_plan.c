/* SPDX-License-Identifier: MIT */
/* Profiles to lists of changes: what, in which order, in which words. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/plan.h"

static struct profile profile;
static struct plan_offer offer;
static struct plan_names names;
static struct plan plan;
static char nft[PLAN_NFT_MAX];

static void setup(void)
{
	memset(&profile, 0, sizeof(profile));
	memset(&offer, 0, sizeof(offer));
	snprintf(profile.stem, sizeof(profile.stem), "corp");
	profile.mtu = 1400;
	profile.allow_inbound = 1;
	plan_names_default(&names, 0);
}

static void teardown(void)
{
	plan_free(&plan);
}

static void route(const char *text)
{
	ck_assert(!prefix_parse(text, &profile.routes[profile.n_routes++]));
}

static void exclude(const char *text)
{
	ck_assert(!prefix_parse(text, &profile.excluded[profile.n_excluded++]));
}

static void build(const struct plan_offer *o)
{
	plan_free(&plan);
	ck_assert_int_eq(plan_build(&plan, &profile, o, &names), 0);
	ck_assert_int_gt(plan_nft_text(&plan, nft, sizeof(nft)), 0);
}

/* place of the line in the plan; -1: it is not there */
static int place(const char *line)
{
	char buf[PLAN_LINE_MAX];

	for (size_t i = 0; i < plan.n; i++) {
		ck_assert_int_ge(plan_item_text(&plan, &plan.items[i], buf, sizeof(buf)), 0);
		if (!strcmp(buf, line))
			return (int)i;
	}
	return -1;
}

#define has(line)	ck_assert_msg(place(line) >= 0, "missing: %s", line)
#define has_not(line)	ck_assert_msg(place(line) < 0, "there: %s", line)
#define nft_has(text)	ck_assert_msg(strstr(nft, text), "missing: %s in\n%s", text, nft)
#define nft_has_not(text) ck_assert_msg(!strstr(nft, text), "there: %s", text)

#define SHADOW(v, p)	"ip -" v " route add unreachable " p " metric 4294967295 table 44300 proto 143"
#define THROW(v, p)	"ip -" v " route add throw " p " table 44300 proto 143"
#define ROUTE(v, p)	"ip -" v " route add " p " dev atp0 table 44300 proto 143"
#define RULE(v)		"ip -" v " rule add not fwmark 0x1000000/0x1000000 table 44300 " \
			"priority 4430 protocol 143"

START_TEST(split_tunnel)
{
	route("10.0.0.0/8");
	route("fd00:10::/32");
	exclude("10.9.0.0/16");
	build(NULL);
	has("sysctl -w net.ipv4.conf.all.src_valid_mark=1");
	has("sysctl -w net.ipv6.fwmark_reflect=1");
	has("nft -f - # table inet apptunnel, table arp apptunnel");
	has("ip -4 rule add ipproto udp sport 68 dport 67 table main priority 4429 protocol 143");
	has("ip -6 rule add ipproto udp sport 546 dport 547 table main priority 4429 protocol 143");
	has(SHADOW("4", "10.0.0.0/8"));
	has(SHADOW("6", "fd00:10::/32"));
	has(SHADOW("4", "198.18.53.53/32"));
	has(SHADOW("6", "fd61:7070:7475::53/128"));
	has_not(SHADOW("6", "::/0"));
	has(THROW("4", "10.9.0.0/16"));
	has(ROUTE("4", "10.0.0.0/8"));
	has(ROUTE("6", "fd00:10::/32"));
	has(RULE("4"));
	has(RULE("6"));
	nft_has("elements = { 10.0.0.0/8, 198.18.53.53/32 }");
	nft_has("elements = { 10.9.0.0/16 }");
	nft_has("ip daddr != @covered4 accept");
	nft_has("ip daddr @excluded4 accept");
	nft_has("ip6 daddr != @covered6 accept");
	nft_has_not("@excluded6");
}
END_TEST

/* the rule comes when everything it leads to stands; the TUN after all of the lock */
START_TEST(order_is_safe)
{
	int last = -1;

	route("10.0.0.0/8");
	build(NULL);
	ck_assert_int_lt(place("nft -f - # table inet apptunnel, table arp apptunnel"),
			 place(SHADOW("4", "10.0.0.0/8")));
	ck_assert_int_lt(place(SHADOW("4", "10.0.0.0/8")), place(RULE("4")));
	ck_assert_int_lt(place(RULE("6")), place("ip tuntap add mode tun atp0"));
	for (size_t i = 0; i < plan.n; i++) {
		ck_assert_int_ge(plan.items[i].stage, last);
		last = plan.items[i].stage;
	}
	ck_assert_int_eq(last, PLAN_TUNNEL);
}
END_TEST

START_TEST(excluded_routes_are_dropped)
{
	route("10.1.0.0/16");
	route("10.0.0.0/8");
	route("192.0.2.0/24");
	exclude("10.1.0.0/16");
	exclude("192.0.0.0/16");
	exclude("198.18.53.53/32");
	build(NULL);
	has_not(SHADOW("4", "10.1.0.0/16"));
	has_not(ROUTE("4", "10.1.0.0/16"));
	has_not(SHADOW("4", "192.0.2.0/24"));
	has(SHADOW("4", "10.0.0.0/8"));
	has(THROW("4", "10.1.0.0/16"));
	/* would stand where the service route stands */
	has_not(THROW("4", "198.18.53.53/32"));
	has(ROUTE("4", "198.18.53.53/32"));
}
END_TEST

START_TEST(other_family)
{
	route("0.0.0.0/0");
	build(NULL);
	has(SHADOW("6", "::/0"));
	has_not(ROUTE("6", "::/0"));
	nft_has_not("@covered");

	profile.lock_ipv6 = LOCK_IPV6_DIRECT;
	build(NULL);
	has_not(SHADOW("6", "::/0"));
	nft_has("ip6 daddr != @covered6 accept");

	/* anything of the other family, and it is the administrator's business */
	profile.lock_ipv6 = LOCK_IPV6_BLOCK;
	route("fd00::/8");
	build(NULL);
	has_not(SHADOW("6", "::/0"));

	/* the whole in pieces is the whole; all but a piece is not */
	profile.n_routes = 0;
	route("128.0.0.0/1");
	route("0.0.0.0/2");
	build(NULL);
	has_not(SHADOW("6", "::/0"));
	route("64.0.0.0/2");
	build(NULL);
	has(SHADOW("6", "::/0"));

	/* and the other way round */
	profile.n_routes = 0;
	route("::/0");
	build(NULL);
	has(SHADOW("4", "0.0.0.0/0"));
	has_not(ROUTE("4", "0.0.0.0/0"));
}
END_TEST

START_TEST(lock_off)
{
	route("0.0.0.0/0");
	profile.lock_mode = LOCK_OFF;
	build(NULL);
	has_not(SHADOW("4", "0.0.0.0/0"));
	has(ROUTE("4", "0.0.0.0/0"));
	nft_has_not("chain lock");
	nft_has_not("@covered");
	/* the other family is refused, but only while the tunnel is up */
	ck_assert_int_gt(place(SHADOW("6", "::/0")), place("ip tuntap add mode tun atp0"));
}
END_TEST

START_TEST(answers_to_outside)
{
	route("0.0.0.0/0");
	build(NULL);
	nft_has("fib daddr type local ct mark set");
	nft_has("ct direction reply meta mark set");
	nft_has("@open4");
	profile.allow_inbound = 0;
	build(NULL);
	nft_has_not("fib daddr type local");
	nft_has_not("ct direction reply");
	nft_has_not("open4");
	nft_has("ct mark and 0x01000000 == 0x01000000 meta mark set");
	nft_has("chain lock");
}
END_TEST

START_TEST(what_sentry_says)
{
	route("10.0.0.0/8");
	build(NULL);
	has("ip -4 address add <from Sentry> dev atp0 noprefixroute");
	has("ip -6 address add <from Sentry> dev atp0 noprefixroute");
	has("ip link set dev atp0 mtu 1400 txqueuelen 8192 alias \"apptunnel corp\" up");
	has("cat > /etc/resolv.conf # nameserver 198.18.53.53, search <from Sentry>");
	nft_has_not("172.28.13.2");

	addr_parse("172.28.13.2", &offer.addr4);
	offer.mtu = 1300;
	offer.n_search = 2;
	snprintf(offer.search[0], PROFILE_NAME_MAX, "corp.internal");
	snprintf(offer.search[1], PROFILE_NAME_MAX, "b.example");
	build(&offer);
	has("ip -4 address add 172.28.13.2/32 dev atp0 noprefixroute");
	has_not("ip -6 address add <from Sentry> dev atp0 noprefixroute");
	has("nft 'add element inet apptunnel tunnel4 { 172.28.13.2 }; "
	    "add element arp apptunnel tunnel4 { 172.28.13.2 }'");
	has("ip link set dev atp0 mtu 1300 txqueuelen 8192 alias \"apptunnel corp\" up");
	has("cat > /etc/resolv.conf # nameserver 198.18.53.53, search corp.internal b.example");
	nft_has("elements = { 172.28.13.2 }");

	/* the smaller MTU wins, but not below what IPv6 needs */
	offer.mtu = 9000;
	build(&offer);
	has("ip link set dev atp0 mtu 1400 txqueuelen 8192 alias \"apptunnel corp\" up");
	offer.mtu = 600;
	build(&offer);
	has("ip link set dev atp0 mtu 1280 txqueuelen 8192 alias \"apptunnel corp\" up");

	/* TunIP and the profile's search domains are known before Sentry speaks */
	addr_parse("172.28.13.9", &profile.tun4);
	profile.n_search = 1;
	snprintf(profile.search[0], PROFILE_NAME_MAX, "mine.example");
	build(NULL);
	has("ip -4 address add 172.28.13.9/32 dev atp0 noprefixroute");
	has("cat > /etc/resolv.conf # nameserver 198.18.53.53, search mine.example");

	profile.backend = BACKEND_NONE;
	build(NULL);
	for (size_t i = 0; i < plan.n; i++)
		ck_assert_uint_ne(plan.items[i].kind, PLAN_DNS);
}
END_TEST

START_TEST(resolver_text)
{
	char buf[PLAN_RESOLV_MAX];
	uint32_t first = 0;

	route("10.0.0.0/8");
	build(&offer);
	ck_assert_int_gt(plan_resolv_text(&plan, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "nameserver 198.18.53.53\n");
	for (size_t i = 0; i < plan.n; i++)
		if (plan.items[i].kind == PLAN_DNS)
			first = plan.items[i].value;
	offer.n_search = PROFILE_MAX_SEARCH;
	for (size_t i = 0; i < PROFILE_MAX_SEARCH; i++) {
		memset(offer.search[i], 'a', PROFILE_NAME_MAX - 1);
		offer.search[i][PROFILE_NAME_MAX - 1] = '\0';
	}
	memset(names.resolv_conf, 'b', sizeof(names.resolv_conf) - 1);
	names.resolv_conf[sizeof(names.resolv_conf) - 1] = '\0';
	build(&offer);
	ck_assert_int_gt(plan_resolv_text(&plan, buf, sizeof(buf)), 32 * 253);
	ck_assert_int_eq(plan_resolv_text(&plan, buf, 100), -ENOSPC);
	/* the longest line there is */
	for (size_t i = 0; i < plan.n; i++) {
		ck_assert_int_ge(plan_item_text(&plan, &plan.items[i], buf, PLAN_LINE_MAX), 0);
		if (plan.items[i].kind == PLAN_DNS)
			ck_assert_uint_ne(plan.items[i].value, first);
	}
}
END_TEST

START_TEST(other_engines)
{
	char buf[ADDR_STRLEN];

	plan_names_default(&names, 2);
	ck_assert_str_eq(names.tun, "atp2");
	ck_assert_str_eq(names.nft, "apptunnel2");
	ck_assert_uint_eq(names.table, 44302);
	ck_assert_uint_eq(names.prio, 4432);
	ck_assert_uint_eq(names.prio_main, 4429);
	ck_assert_str_eq(addr_format(&names.service4, buf), "198.18.53.55");
	ck_assert_str_eq(addr_format(&names.service6, buf), "fd61:7070:7475::55");
	route("10.0.0.0/8");
	snprintf(names.tun, sizeof(names.tun), "work");
	build(NULL);
	has("ip tuntap add mode tun work");
	nft_has("table inet apptunnel2 {");
	nft_has("{ \"lo\", \"atp*\", \"work\" }");
}
END_TEST

START_TEST(coverage)
{
	static const struct { const char *addr; bool covered; } rows[] = {
		{ "10.1.2.3", true }, { "10.9.1.1", false }, { "11.0.0.1", false },
		{ "198.18.53.53", true }, { "2001:db8::1", false } };
	struct ipaddr a;

	route("10.0.0.0/8");
	exclude("10.9.0.0/16");
	build(NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		addr_parse(rows[i].addr, &a);
		ck_assert_msg(plan_covers(&plan, &a) == rows[i].covered, "%s", rows[i].addr);
	}
}
END_TEST

START_TEST(undo_lines)
{
	static const struct { enum plan_kind kind; const char *line; } rows[] = {
		{ PLAN_RULE, "ip -4 rule delete not fwmark 0x1000000/0x1000000 table 44300 "
			     "priority 4430 protocol 143" },
		{ PLAN_NFT, "nft 'delete table inet apptunnel; delete table arp apptunnel'" },
		{ PLAN_TUN, "ip link delete dev atp0" },
		{ PLAN_LINK, "" },
		{ PLAN_DNS, "cat > /etc/resolv.conf # as it was before" } };
	char buf[PLAN_LINE_MAX];

	route("10.0.0.0/8");
	build(NULL);
	for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		for (size_t i = 0; i < plan.n; i++) {
			if (plan.items[i].kind != rows[r].kind)
				continue;
			ck_assert_int_eq(plan_undo_text(&plan, &plan.items[i], buf, sizeof(buf)),
					 (int)strlen(rows[r].line));
			ck_assert_str_eq(buf, rows[r].line);
			break;
		}
	}
}
END_TEST

START_TEST(as_json)
{
	json_t *root, *changes, *c;
	char *text, line[PLAN_LINE_MAX];
	json_error_t e;
	size_t i;

	route("10.0.0.0/8");
	snprintf(names.resolv_conf, sizeof(names.resolv_conf), "/etc/\"odd\"\\name\x01");
	build(NULL);
	text = plan_json(&plan);
	ck_assert_ptr_nonnull(text);
	root = json_loads(text, JSON_REJECT_DUPLICATES, &e);
	ck_assert_msg(root != NULL, "%s", e.text);
	ck_assert_str_eq(json_string_value(json_object_get(root, "profile")), "corp");
	ck_assert_str_eq(json_string_value(json_object_get(root, "nft")), nft);
	changes = json_object_get(root, "changes");
	ck_assert_uint_eq(json_array_size(changes), plan.n);
	json_array_foreach(changes, i, c) {
		plan_item_text(&plan, &plan.items[i], line, sizeof(line));
		ck_assert_str_eq(json_string_value(json_object_get(c, "command")), line);
		ck_assert(json_is_true(json_object_get(c, "from_sentry")) ==
			  plan.items[i].from_sentry);
	}
	json_decref(root);
	free(text);
}
END_TEST

START_TEST(many_prefixes)
{
	char text[32];

	for (unsigned int i = 0; i < PROFILE_MAX_PREFIXES; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/25", i / 256, i % 256);
		route(text);
		snprintf(text, sizeof(text), "10.%u.%u.1/32", i / 256, i % 256);
		exclude(text);
	}
	build(NULL);
	ck_assert_uint_gt(plan.n, 3 * PROFILE_MAX_PREFIXES);
	has(SHADOW("4", "10.31.255.0/25"));
	ck_assert_int_eq(plan_nft_text(&plan, nft, 1000), -ENOSPC);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("plan");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, split_tunnel);
	tcase_add_test(t, order_is_safe);
	tcase_add_test(t, excluded_routes_are_dropped);
	tcase_add_test(t, other_family);
	tcase_add_test(t, lock_off);
	tcase_add_test(t, answers_to_outside);
	tcase_add_test(t, what_sentry_says);
	tcase_add_test(t, resolver_text);
	tcase_add_test(t, other_engines);
	tcase_add_test(t, coverage);
	tcase_add_test(t, undo_lines);
	tcase_add_test(t, as_json);
	tcase_add_test(t, many_prefixes);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
