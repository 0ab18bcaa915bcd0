/* SPDX-License-Identifier: MIT */
/*
 * Names: the hosts snapshot, A and AAAA against a small DNS server in this
 * process, truncation, an empty stock of sockets, changed servers; and that
 * nothing is opened once the resolver is there.
 */
#define _GNU_SOURCE	/* accept4 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/limits.h"
#include "client/resolve.h"

#define TYPE_A		1
#define TYPE_AAAA	28
#define TURNS		400		/* of 5 ms: 2 s */

static struct loop *loop;
static struct sock_stock stock;
static struct resolver *resolver;
static struct lookup lookup;

/* the server: what it does with a question */
static int udp, tcp, client = -1;
static uint16_t port;
static bool mute, truncate_udp, no_such, hold_a;
static unsigned int asked_a, asked_aaaa, asked_tcp;

static void fill_stock(void)
{
	for (int i = 0; i < 4; i++) {
		stock.fds[HELPER_SOCK_UDP][0][i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		stock.fds[HELPER_SOCK_TCP][0][i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	}
	stock.count[HELPER_SOCK_UDP][0] = stock.count[HELPER_SOCK_TCP][0] = 4;
}

static void server_start(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	int tries;

	/* a port that is free for both: somebody may have the one of TCP */
	for (tries = 0; tries < 20; tries++) {
		udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		sa.sin_port = 0;
		ck_assert_int_eq(bind(udp, (struct sockaddr *)&sa, sizeof(sa)), 0);
		ck_assert_int_eq(getsockname(udp, (struct sockaddr *)&sa, &len), 0);
		port = ntohs(sa.sin_port);
		if (bind(tcp, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			break;
		close(udp);
		close(tcp);
	}
	ck_assert_int_lt(tries, 20);
	ck_assert_int_eq(listen(tcp, 4), 0);
}

/* The answer to @q, in place.  Return: its length, 0: none */
static size_t answer(uint8_t *q, size_t len, bool over_tcp)
{
	static const uint8_t v4[] = { 192, 0, 2, 7 };
	static const uint8_t v6[] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7 };
	size_t end = 12;
	uint16_t type;

	while (end < len && q[end])
		end += q[end] + 1u;
	end++;
	type = (uint16_t)(q[end] << 8 | q[end + 1]);
	end += 4;
	asked_a += type == TYPE_A;
	asked_aaaa += type == TYPE_AAAA;
	asked_tcp += over_tcp;
	if (mute || (hold_a && type == TYPE_A))
		return 0;
	q[2] = 0x81;
	q[3] = 0x80;
	memset(q + 6, 0, 6);
	if (truncate_udp && !over_tcp) {
		q[2] |= 2;
		return end;
	}
	if (no_such) {
		q[3] |= 3;
		return end;
	}
	q[7] = 1;
	memcpy(q + end, (uint8_t[]){ 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60, 0,
	       type == TYPE_A ? 4 : 16 }, 12);
	memcpy(q + end + 12, type == TYPE_A ? v4 : v6, type == TYPE_A ? 4 : 16);
	return end + 12 + (type == TYPE_A ? 4 : 16);
}

static void server_step(void)
{
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	uint8_t buf[1024];
	ssize_t n;

	while ((n = recvfrom(udp, buf, 512, 0, (struct sockaddr *)&from, &from_len)) > 0) {
		size_t len = answer(buf, (size_t)n, false);

		if (len)
			sendto(udp, buf, len, 0, (struct sockaddr *)&from, from_len);
	}
	if (client < 0)
		client = accept4(tcp, NULL, NULL, SOCK_NONBLOCK);
	n = client < 0 ? -1 : recv(client, buf, 512, 0);
	for (ssize_t at = 0; n > 0 && at + 2 <= n;) {	/* questions may come together */
		size_t len = (size_t)(buf[at] << 8 | buf[at + 1]), out;
		uint8_t one[600];

		memcpy(one + 2, buf + at + 2, len);
		out = answer(one + 2, len, true);
		one[0] = (uint8_t)(out >> 8);
		one[1] = (uint8_t)out;
		ck_assert_int_eq(send(client, one, out + 2, MSG_NOSIGNAL), (ssize_t)out + 2);
		at += (ssize_t)len + 2;
	}
}

static void step(void)
{
	uint64_t now = loop_now(), until = resolver_deadline(resolver);
	struct loop_src *s;
	uint32_t events;

	if (until > now + 5 * USEC_PER_MSEC)
		until = now + 5 * USEC_PER_MSEC;
	loop_wait(loop, now, until);
	now = loop_now();
	while ((s = loop_next(loop, &events))) {
		ck_assert_int_eq(s->kind, EV_RESOLVE);
		resolver_event(resolver, s, events, now);
	}
	resolver_timer(resolver, now);
	server_step();
}

static void run(void)
{
	for (int i = 0; i < TURNS && lookup_pending(&lookup); i++)
		step();
}

static void make(const char *hosts, const char *resolv)
{
	resolver = resolver_new(loop, &stock, hosts, resolv);
	ck_assert_ptr_nonnull(resolver);
	resolver_port(resolver, port);
}

static void setup(void)
{
	loop = loop_new();
	sock_stock_init(&stock, -1);
	mute = truncate_udp = no_such = hold_a = false;
	asked_a = asked_aaaa = asked_tcp = 0;
	client = -1;
	memset(&lookup, 0, sizeof(lookup));
	server_start();
	fill_stock();
}

static void teardown(void)
{
	lookup_stop(&lookup);
	resolver_free(resolver);
	sock_stock_free(&stock);
	loop_free(loop);
	close(udp);
	close(tcp);
	if (client >= 0)
		close(client);
}

static const char *text(unsigned int i)
{
	static char buf[ADDR_STRLEN];

	return addr_format(&lookup.addrs[i], buf);
}

#define RESOLV "# made by hand\nsearch example.net\n" \
	       "nameserver 127.0.0.1 \r\nnameserver fe80::1%eth0\n"

START_TEST(hosts_come_first)
{
	make("127.0.0.1 localhost\n# 192.0.2.1 sentry.example\n"
	     "192.0.2.9\tother Sentry.Example # sentry\n2001:db8::9 sentry.example\n"
	     "fe80::1%eth0 sentry.example\n192.0.2.10 xsentry.example", RESOLV);
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	ck_assert(!lookup_pending(&lookup));
	ck_assert(lookup.fresh);
	ck_assert_uint_eq(lookup.n, 2);
	ck_assert_str_eq(text(0), "192.0.2.9");
	ck_assert_str_eq(text(1), "2001:db8::9");
	server_step();
	ck_assert_uint_eq(asked_a + asked_aaaa, 0);
}
END_TEST

START_TEST(both_families_in_parallel)
{
	make("", RESOLV);
	hold_a = true;
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	lookup.fresh = false;
	for (int i = 0; i < TURNS && !lookup.fresh; i++)
		step();
	/* one answer is used although the other is outstanding */
	ck_assert(!lookup.pending6 && lookup.pending4);
	ck_assert_uint_eq(lookup.n, 1);
	ck_assert_str_eq(text(0), "2001:db8::7");
	ck_assert_uint_eq(asked_a, 1);
	ck_assert_uint_eq(asked_aaaa, 1);
}
END_TEST

START_TEST(all_answers)
{
	make(NULL, RESOLV);
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	run();
	ck_assert_uint_eq(lookup.n, 2);
	ck_assert_ptr_null(lookup.error);
	ck_assert_uint_eq(asked_tcp, 0);
	ck_assert_uint_eq(resolver_deadline(resolver), UINT64_MAX);
}
END_TEST

START_TEST(truncated_goes_to_tcp)
{
	make(NULL, RESOLV);
	truncate_udp = true;
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	run();
	ck_assert_uint_eq(asked_tcp, 2);
	ck_assert_uint_eq(lookup.n, 2);
}
END_TEST

START_TEST(no_such_name)
{
	make(NULL, RESOLV);
	no_such = true;
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	run();
	ck_assert(!lookup_pending(&lookup));
	ck_assert_uint_eq(lookup.n, 0);
	ck_assert_ptr_nonnull(lookup.error);
}
END_TEST

START_TEST(no_server)
{
	make(NULL, "search example.net\n");
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	ck_assert(!lookup_pending(&lookup));
	ck_assert_ptr_nonnull(lookup.error);
	resolver_update(resolver, NULL, NULL);
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	ck_assert(!lookup_pending(&lookup));
}
END_TEST

START_TEST(empty_stock_waits)
{
	make(NULL, RESOLV);
	sock_stock_free(&stock);
	sock_stock_init(&stock, -1);
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	for (int i = 0; i < 5; i++)
		step();
	ck_assert(lookup.pending4 && lookup.pending6);
	ck_assert_uint_eq(asked_a + asked_aaaa, 0);
	fill_stock();
	run();
	ck_assert_uint_eq(lookup.n, 2);
	ck_assert_ptr_null(lookup.error);
}
END_TEST

START_TEST(other_servers_meanwhile)
{
	make(NULL, RESOLV);
	mute = true;
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	for (int i = 0; i < TURNS && asked_a + asked_aaaa < 2; i++)
		step();
	mute = false;
	resolver_update(resolver, NULL, RESOLV);
	ck_assert(lookup.pending4 && lookup.pending6);
	run();
	ck_assert_uint_eq(lookup.n, 2);
	ck_assert_uint_eq(asked_a + asked_aaaa, 4);
}
END_TEST

START_TEST(stopped_in_the_middle)
{
	struct lookup second = { 0 };

	make(NULL, RESOLV);
	mute = true;
	lookup_start(resolver, &lookup, "sentry.example", loop_now());
	lookup_start(resolver, &second, "other.example", loop_now());
	step();
	lookup_stop(&lookup);
	ck_assert(!lookup_pending(&lookup));
	ck_assert(lookup_pending(&second));
	mute = false;
	for (int i = 0; i < 5; i++)
		step();
	lookup_stop(&second);
	ck_assert_uint_eq(resolver_deadline(resolver), UINT64_MAX);
	/* every slot is free again */
	for (int i = 0; i < 4; i++) {
		fill_stock();
		lookup_start(resolver, &lookup, "sentry.example", loop_now());
		ck_assert(lookup.pending4 && lookup.pending6);
		run();
		ck_assert_uint_eq(lookup.n, 2);
		sock_stock_free(&stock);
		sock_stock_init(&stock, -1);
	}
}
END_TEST

START_TEST(nothing_is_opened)
{
	pid_t pid;
	int status;

	make(NULL, RESOLV);
	truncate_udp = true;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

		seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(openat), 0);
		seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(open), 0);
		seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 0);
		seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(execve), 0);
		if (seccomp_load(f) < 0)
			_exit(2);
		lookup_start(resolver, &lookup, "sentry.example", loop_now());
		run();
		_exit(lookup.n == 2 && asked_tcp == 2 ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resolve");
	TCase *t = tcase_create("resolve");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, hosts_come_first);
	tcase_add_test(t, both_families_in_parallel);
	tcase_add_test(t, all_answers);
	tcase_add_test(t, truncated_goes_to_tcp);
	tcase_add_test(t, no_such_name);
	tcase_add_test(t, no_server);
	tcase_add_test(t, empty_stock_waits);
	tcase_add_test(t, other_servers_meanwhile);
	tcase_add_test(t, stopped_in_the_middle);
	tcase_add_test(t, nothing_is_opened);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
