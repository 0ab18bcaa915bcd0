/* SPDX-License-Identifier: MIT */
/* TCP of apps: held SYNs, what connect() is told, ends on either side. */
#include "client/log.h"
#include "tests/unit/client/tunnel_rig.h"

#define APP	"10.9.0.2"
#define FAR	"192.0.2.7"
#define APP6	"fd00:9::2"
#define FAR6	"2001:db8::7"
#define REFUSE_US (5 * USEC_PER_MSEC)	/* netstack waits 2 ms with an ICMP error */

static struct rig *r;
static struct rig_packet p;
static uint8_t bytes[70000];

static void setup(void)
{
	r = rig_new();
}

static void teardown(void)
{
	rig_free(r);
}

static bool reset_came(void)
{
	while (rig_read(r, &p))
		if (p.proto == 6 && p.flags & TCP_RST)
			return true;
	return false;
}

/* Is an ICMP error of this kind the next packet, from the destination? */
static void assert_icmp(const char *from, uint8_t type, uint8_t code)
{
	struct ipaddr a = rig_addr(from);

	rig_wait(r, REFUSE_US);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.proto, a.family == 4 ? 1 : 58);
	ck_assert_uint_eq(p.type, type);
	ck_assert_uint_eq(p.code, code);
	ck_assert(addr_equal(&p.src, &a));
}

START_TEST(syn_is_held_until_opened)
{
	struct rig_tcp c;

	rig_attach(r);
	r->answer = RIG_WAIT;
	c = rig_tcp_syn(r, APP, 40000, FAR, 443);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 1);
	ck_assert_uint_eq(r->streams[0].open.proto, MUX_TCP);
	ck_assert_uint_eq(r->streams[0].open.port, 443);
	ck_assert_uint_eq(r->streams[0].open.source_port, 40000);
	ck_assert(addr_equal(&r->streams[0].open.addr, &c.dst));
	rig_wait(r, 20 * USEC_PER_SEC);
	ck_assert_msg(!rig_read(r, &p), "the app was answered before Sentry was");
	mux_stream_accept(r->s, r->streams[0].s, &c.dst, 1, r->now);
	rig_pump(r);
	rig_tcp_established(&c);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 1);
}
END_TEST

static const struct {
	int reason;
	uint8_t type4, code4, type6, code6;	/* type 0: RST */
} refusals[] = {
	{ MUX_REF_CONN, 0, 0, 0, 0 }, { MUX_REF_LIMIT, 0, 0, 0, 0 },
	{ MUX_REF_NAME, 0, 0, 0, 0 }, { MUX_REF_UNSUPPORTED, 0, 0, 0, 0 },
	{ MUX_REF_NET, 3, 0, 1, 0 }, { MUX_REF_HOST, 3, 1, 1, 3 },
	{ MUX_REF_TIMEOUT, 3, 1, 1, 3 }, { MUX_REF_DENIED, 3, 13, 1, 1 },
};

START_TEST(refusals_reach_the_app)
{
	rig_attach(r);
	r->answer = refusals[_i].reason;
	rig_tcp_syn(r, APP, 40000, FAR, 443);
	rig_pump(r);
	if (refusals[_i].type4)
		assert_icmp(FAR, refusals[_i].type4, refusals[_i].code4);
	else
		ck_assert(reset_came());
	rig_tcp_syn(r, APP6, 40000, FAR6, 443);
	rig_pump(r);
	if (refusals[_i].type6)
		assert_icmp(FAR6, refusals[_i].type6, refusals[_i].code6);
	else
		ck_assert(reset_came());
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_refused, 2);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 0);
}
END_TEST

START_TEST(bytes_go_both_ways_and_end)
{
	struct rig_tcp c;
	uint8_t flags;
	size_t n;

	rig_attach(r);
	c = rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	rig_tcp_established(&c);
	rig_tcp_send(&c, TCP_ACK | TCP_PSH, "hello", 5);
	rig_pump(r);
	n = rig_tcp_read(&c, bytes, sizeof(bytes), &flags);
	ck_assert_uint_eq(n, 5);
	ck_assert_mem_eq(bytes, "hello", 5);
	rig_tcp_send(&c, TCP_ACK | TCP_FIN, NULL, 0);
	rig_pump(r);
	ck_assert(r->streams[0].fin);
	ck_assert_uint_eq(rig_tcp_read(&c, bytes, sizeof(bytes), &flags), 0);
	ck_assert(flags & TCP_FIN);
	rig_pump(r);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 0);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_reset, 0);
	ck_assert_uint_eq(tunnel_counters(r->t)->bytes_up, 5);
	ck_assert_uint_eq(tunnel_counters(r->t)->bytes_down, 5);
	ck_assert_uint_eq(mux_counters(r->c)->streams, 0);
	ck_assert_uint_eq(mux_counters(r->c)->outstanding, 0);
	ck_assert(r->streams[0].closed);
}
END_TEST

START_TEST(half_close_of_the_app_leaves_the_other_half)
{
	struct rig_tcp c;
	uint8_t flags;

	r->echo = false;
	rig_attach(r);
	c = rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	rig_tcp_established(&c);
	rig_tcp_send(&c, TCP_ACK | TCP_FIN | TCP_PSH, "req", 3);
	rig_pump(r);
	ck_assert(r->streams[0].fin);
	ck_assert_uint_eq(r->streams[0].len, 3);
	rig_tcp_read(&c, bytes, sizeof(bytes), &flags);
	mux_stream_ready(r->s, r->streams[0].s, r->now);	/* sends "req" back */
	rig_pump(r);
	ck_assert_uint_eq(rig_tcp_read(&c, bytes, sizeof(bytes), &flags), 3);
	ck_assert(!(flags & (TCP_FIN | TCP_RST)));
	mux_stream_fin(r->s, r->streams[0].s);
	rig_pump(r);
	rig_tcp_read(&c, bytes, sizeof(bytes), &flags);
	ck_assert(flags & TCP_FIN);
	rig_pump(r);
	ck_assert_uint_eq(mux_counters(r->c)->streams, 0);
}
END_TEST

START_TEST(reset_of_the_app_resets_the_stream)
{
	struct rig_tcp c;

	rig_attach(r);
	c = rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	rig_tcp_established(&c);
	rig_pump(r);
	rig_tcp_send(&c, TCP_RST | TCP_ACK, NULL, 0);
	rig_pump(r);
	ck_assert(r->streams[0].reset);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_reset, 1);
	/* and a SYN that is taken back before it was answered */
	r->answer = RIG_WAIT;
	c = rig_tcp_syn(r, APP, 40001, FAR, 80);
	rig_pump(r);
	rig_tcp_send(&c, TCP_RST, NULL, 0);
	rig_pump(r);
	ck_assert(r->streams[1].reset);
	ck_assert_uint_eq(mux_counters(r->c)->streams, 0);
}
END_TEST

START_TEST(reset_of_the_far_end_resets_the_app)
{
	struct rig_tcp c;

	rig_attach(r);
	c = rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	rig_tcp_established(&c);
	rig_pump(r);
	mux_stream_reset(r->s, r->streams[0].s, MUX_RST_RESET);
	rig_pump(r);
	ck_assert(reset_came());
	ck_assert_uint_eq(mux_counters(r->c)->streams, 0);
}
END_TEST

START_TEST(without_a_session_syns_wait_ten_seconds)
{
	rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	ck_assert(tunnel_wants_session(r->t));
	rig_wait(r, LIMIT_SYN_HELD_US - 1000);
	ck_assert(!rig_read(r, &p));
	rig_wait(r, 1000);
	assert_icmp(FAR, 3, 1);
	ck_assert(!tunnel_wants_session(r->t));
	/* hopeless: at once, those that wait too */
	rig_tcp_syn(r, APP, 40001, FAR, 80);
	rig_pump(r);
	tunnel_set_hopeless(r->t, true, r->now);
	assert_icmp(FAR, 3, 1);
	rig_tcp_syn(r, APP6, 40002, FAR6, 80);
	rig_pump(r);
	assert_icmp(FAR6, 1, 3);
	/* and one that comes while the session does is opened */
	tunnel_set_hopeless(r->t, false, r->now);
	rig_tcp_syn(r, APP, 40003, FAR, 80);
	rig_pump(r);
	rig_wait(r, 5 * USEC_PER_SEC);
	rig_attach(r);
	ck_assert_uint_eq(r->n_streams, 1);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.flags & (TCP_SYN | TCP_ACK), TCP_SYN | TCP_ACK);
}
END_TEST

START_TEST(too_many_held_syns_are_reset)
{
	uint32_t i;

	for (i = 0; i < LIMIT_OPENS_HELD; i++) {
		rig_tcp_syn(r, APP, (uint16_t)(1024 + i), FAR, 80);
		if (i % 32 == 31)
			tunnel_tun_ready(r->t, r->now);
	}
	ck_assert(!rig_read(r, &p));
	rig_tcp_syn(r, APP, 60000, FAR, 80);
	rig_pump(r);
	ck_assert(reset_came());
	ck_assert_uint_eq(p.dst_port, 60000);
}
END_TEST

START_TEST(lost_session_resets_open_flows_and_keeps_syns)
{
	struct rig_tcp c, d;

	rig_attach(r);
	c = rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	rig_tcp_established(&c);
	rig_tcp_send(&c, TCP_ACK, "x", 1);
	rig_pump(r);
	r->answer = RIG_WAIT;
	d = rig_tcp_syn(r, APP, 40001, FAR, 80);
	rig_pump(r);
	while (rig_read(r, &p))
		;
	rig_detach(r);
	ck_assert(reset_came());
	ck_assert_uint_eq(p.dst_port, 40000);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 0);
	ck_assert(tunnel_wants_session(r->t));
	r->answer = RIG_ACCEPT;
	rig_attach(r);
	rig_tcp_established(&d);
}
END_TEST

START_TEST(session_lost_with_streams_in_every_end)
{
	struct rig_tcp c[4];
	uint8_t flags;
	int i;

	rig_attach(r);
	for (i = 0; i < 4; i++) {
		c[i] = rig_tcp_syn(r, APP, (uint16_t)(40000 + i), FAR, 80);
		rig_pump(r);
		rig_tcp_established(&c[i]);
		rig_tcp_send(&c[i], TCP_ACK, "abc", 3);
		rig_pump(r);
		if (i != 3)
			rig_tcp_read(&c[i], bytes, sizeof(bytes), &flags);
	}
	rig_pump(r);
	rig_tcp_send(&c[0], TCP_ACK | TCP_FIN, NULL, 0);	/* FIN both ways, unacknowledged */
	rig_tcp_send(&c[1], TCP_RST | TCP_ACK, NULL, 0);
	mux_stream_reset(r->s, r->streams[2].s, MUX_RST_RESET);
	rig_pump(r);
	rig_detach(r);		/* c[3]: data not acknowledged */
	rig_wait(r, USEC_PER_SEC);
	while (rig_read(r, &p))
		;
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 1);	/* c[0] ends by itself */
}
END_TEST

START_TEST(dns_over_tcp_goes_to_the_resolvers)
{
	struct rig_tcp c;

	rig_attach(r);
	r->answer = MUX_REF_CONN;
	c = rig_tcp_syn(r, APP, 40000, "198.18.53.53", 53);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 2);
	ck_assert(addr_equal(&r->streams[0].open.addr, &r->offer.resolvers[0]));
	ck_assert(addr_equal(&r->streams[1].open.addr, &r->offer.resolvers[1]));
	ck_assert_uint_eq(r->streams[1].open.port, 53);
	ck_assert(reset_came());
	/* an IPv6 app may be served by an IPv4 resolver */
	r->answer = RIG_ACCEPT;
	c = rig_tcp_syn(r, APP6, 40001, "fd61:7070:7475::53", 53);
	rig_pump(r);
	rig_tcp_established(&c);
	/* the service address has nothing else */
	rig_tcp_syn(r, APP, 40002, "198.18.53.53", 80);
	rig_pump(r);
	ck_assert(reset_came());
	ck_assert_uint_eq(r->n_streams, 3);
}
END_TEST

START_TEST(a_reader_that_stalls_holds_its_own_stream_only)
{
	struct rig_tcp slow, fast;
	uint8_t flags;
	int i;

	rig_attach(r);
	slow = rig_tcp_syn(r, APP, 40000, FAR, 80);
	fast = rig_tcp_syn(r, APP, 40001, FAR, 80);
	rig_pump(r);
	rig_tcp_established(&slow);
	rig_tcp_established(&fast);
	rig_pump(r);
	memset(bytes, 'a', sizeof(bytes));
	r->streams[0].data = malloc(RIG_ECHO);
	memset(r->streams[0].data, 'b', RIG_ECHO);
	r->streams[0].len = RIG_ECHO;
	mux_stream_ready(r->s, r->streams[0].s, r->now);
	rig_pump(r);
	ck_assert_uint_lt(r->streams[0].pulled, RIG_ECHO / 2);	/* its window is full */
	while (rig_read(r, &p))
		;
	for (i = 0; i < 20; i++) {
		rig_tcp_send(&fast, TCP_ACK, bytes, 1000);
		rig_pump(r);
		ck_assert_uint_eq(rig_tcp_read(&fast, bytes, sizeof(bytes), &flags), 1000);
		rig_pump(r);
	}
}
END_TEST

static const struct {
	enum mux_reset_reason reason;
	uint8_t type, code;		/* type 0: RST */
} resets[] = {
	{ MUX_RST_RESET, 0, 0 }, { MUX_RST_LIMIT, 0, 0 }, { MUX_RST_TIMEOUT, 3, 1 },
	{ MUX_RST_HOST, 3, 1 }, { MUX_RST_POLICY, 3, 13 },
};

START_TEST(reset_before_it_was_open)
{
	rig_attach(r);
	r->answer = RIG_WAIT;
	rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	mux_stream_reset(r->s, r->streams[0].s, resets[_i].reason);
	rig_pump(r);
	if (resets[_i].type)
		assert_icmp(FAR, resets[_i].type, resets[_i].code);
	else
		ck_assert(reset_came());
	ck_assert_uint_eq(mux_counters(r->c)->streams, 0);
}
END_TEST

START_TEST(more_streams_than_sentry_allows)
{
	rig_attach(r);
	mux_set_max_streams(r->c, 1);
	rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.flags & (TCP_SYN | TCP_RST), TCP_SYN);
	rig_tcp_syn(r, APP, 40001, FAR, 80);
	rig_pump(r);
	ck_assert(reset_came());
	ck_assert_uint_eq(p.dst_port, 40001);
	ck_assert_uint_eq(r->n_streams, 1);
}
END_TEST

static bool logged(const char *what)
{
	uint64_t cursor = log_oldest();
	char line[LOG_LINE_MAX];

	while (log_read(&cursor, line, sizeof(line)))
		if (strstr(line, what))
			return true;
	return false;
}

START_TEST(session_level_tells_of_each_flow)
{
	struct rig_tcp c;
	uint8_t flags;

	log_level = LOG_LVL_SESSION;
	rig_attach(r);
	c = rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	rig_tcp_established(&c);
	rig_tcp_send(&c, TCP_ACK | TCP_FIN, "12345", 5);
	rig_pump(r);
	rig_tcp_read(&c, bytes, sizeof(bytes), &flags);
	rig_pump(r);
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	rig_detach(r);
	log_level = LOG_LVL_INFO;
	ck_assert(logged("flow.open: tcp 10.9.0.2 port 40000 to 192.0.2.7 port 80: tunnel, "));
	ck_assert(logged("finished, 5 bytes up, 5 down"));
	ck_assert(logged("assoc.open: udp 10.9.0.2 5000 to 192.0.2.7 7000: tunnel, "));
	ck_assert(logged("assoc.end: udp 10.9.0.2 5000: 1 bytes up, 0 down"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow");
	TCase *tc = tcase_create("flow");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, syn_is_held_until_opened);
	tcase_add_loop_test(tc, refusals_reach_the_app, 0,
			    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tc, bytes_go_both_ways_and_end);
	tcase_add_test(tc, half_close_of_the_app_leaves_the_other_half);
	tcase_add_test(tc, reset_of_the_app_resets_the_stream);
	tcase_add_test(tc, reset_of_the_far_end_resets_the_app);
	tcase_add_test(tc, without_a_session_syns_wait_ten_seconds);
	tcase_add_test(tc, too_many_held_syns_are_reset);
	tcase_add_test(tc, lost_session_resets_open_flows_and_keeps_syns);
	tcase_add_test(tc, session_lost_with_streams_in_every_end);
	tcase_add_test(tc, dns_over_tcp_goes_to_the_resolvers);
	tcase_add_test(tc, a_reader_that_stalls_holds_its_own_stream_only);
	tcase_add_loop_test(tc, reset_before_it_was_open, 0,
			    sizeof(resets) / sizeof(resets[0]));
	tcase_add_test(tc, more_streams_than_sentry_allows);
	tcase_add_test(tc, session_level_tells_of_each_flow);
	suite_add_tcase(s, tc);
	return rig_main(s);
}
