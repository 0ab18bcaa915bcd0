/* SPDX-License-Identifier: MIT */
/*
 * test_mux.c - session frames, and streams from OPEN to their end
 */
#include "tests/unit/atp/world.h"

/* ---- session ------------------------------------------------------- */

START_TEST(silent_before_config)
{
	struct mux_config c = { .role = MUX_CLIENT };
	struct mux *m = mux_new(&c, &ops, NULL);
	struct mux_open o = { .proto = MUX_TCP, .addr = { .family = 4 }, .port = 1 };
	size_t len;

	ck_assert_ptr_nonnull(mux_stream_open(m, &o, NULL, now));
	mux_probe(m, 1);
	ck_assert_ptr_null(mux_output(m, MUX_RECORD, &len, now));
	ck_assert(mux_wants_to_send(m));
	mux_free(m);
	c.role = MUX_SERVER;
	m = mux_new(&c, &ops, NULL);
	mux_probe(m, 1);
	ck_assert_ptr_null(mux_output(m, MUX_RECORD, &len, now));
	mux_free(m);
}
END_TEST

START_TEST(config_text_arrives)
{
	ck_assert_int_eq(last[0].type, MUX_EV_CONFIG);
	ck_assert_uint_eq(last[0].len, strlen(CONFIG_TEXT));
	ck_assert_uint_eq(n_events[0], 1);
}
END_TEST

START_TEST(config_not_too_often)
{
	ck_assert_int_eq(mux_send_config(server.m, "{}", 2), -EBUSY);	/* not acknowledged */
	tick(LIMIT_ACK_US);
	ck_assert_uint_eq(mux_unacked(server.m), 0);
	ck_assert_int_eq(mux_send_config(server.m, "{}", 2), -EBUSY);	/* within a second */
	tick(USEC_PER_SEC);
	ck_assert_int_eq(mux_send_config(server.m, "{}", 2), 0);
	settle();
	ck_assert_uint_eq(n_events[0], 2);
	ck_assert_int_eq(mux_send_config(client.m, "{}", 2), -EINVAL);
}
END_TEST

START_TEST(largest_config)
{
	char *text = malloc(LIMIT_CONFIG + 1);

	tick(2 * USEC_PER_SEC);
	memset(text, ' ', LIMIT_CONFIG + 1);
	ck_assert_int_eq(mux_send_config(server.m, text, LIMIT_CONFIG + 1), -EINVAL);
	ck_assert_int_eq(mux_send_config(server.m, text, LIMIT_CONFIG), 0);
	settle();
	ck_assert_uint_eq(last[0].len, LIMIT_CONFIG);
	free(text);
}
END_TEST

START_TEST(ack_after_64k_or_100ms)
{
	struct app a, b;

	open_tcp(&a, &b);
	tick(LIMIT_ACK_US);
	ck_assert_uint_eq(mux_unacked(client.m), 0);
	send_bytes(&client, &a, 10);
	settle();
	ck_assert_uint_gt(mux_unacked(client.m), 0);
	tick(LIMIT_ACK_US - 1);
	ck_assert_uint_gt(mux_unacked(client.m), 0);
	ck_assert(mux_wants_to_send(client.m));
	tick(1);
	ck_assert_uint_eq(mux_unacked(client.m), 0);
	ck_assert(!mux_wants_to_send(client.m));
	/* by bytes: no timer needed for what makes 64 KiB */
	send_bytes(&client, &a, 300000);
	settle();
	ck_assert_uint_eq(b.got, 300010);
	ck_assert_uint_lt(mux_unacked(client.m), LIMIT_ACK_BYTES);
}
END_TEST

START_TEST(probes)
{
	uint32_t i;

	mux_probe(client.m, 0x1122334455667788);
	settle();
	ck_assert_int_eq(last[1].type, MUX_EV_PROBE);
	ck_assert_int_eq(last[0].type, MUX_EV_PROBE_REPLY);
	ck_assert_uint_eq(last[0].u.opaque, 0x1122334455667788);
	n_events[0] = n_events[1] = 0;
	for (i = 0; i < 30; i++) {
		mux_probe(client.m, i);
		settle();
	}
	ck_assert_uint_eq(n_events[1], 30);
	ck_assert_uint_eq(n_events[0], LIMIT_PROBES_PER_S - 1);
	tick(USEC_PER_SEC);
	mux_probe(client.m, 99);
	settle();
	ck_assert_uint_eq(last[0].u.opaque, 99);
}
END_TEST

START_TEST(goaway_ends)
{
	struct app a, b;
	size_t len;

	open_tcp(&a, &b);
	send_bytes(&server, &b, 100000);
	mux_goaway(server.m, MUX_REVOKED, UINT32_MAX, "blocked");
	settle();
	ck_assert_int_eq(last[0].type, MUX_EV_GOAWAY);
	ck_assert_uint_eq(last[0].u.goaway.reason, MUX_REVOKED);
	ck_assert_uint_eq(last[0].u.goaway.last, 1);
	ck_assert_uint_eq(last[0].len, 7);
	ck_assert_uint_eq(a.got, 0);
	ck_assert_ptr_null(mux_output(client.m, MUX_RECORD, &len, now));
	ck_assert_ptr_null(open_proto(&b, MUX_TCP));
	mux_stream_reset(client.m, a.s, MUX_RST_RESET);
	ck_assert_ptr_null(mux_output(client.m, MUX_RECORD, &len, now));
}
END_TEST

START_TEST(draining)
{
	struct app a, b, c;

	open_tcp(&a, &b);
	mux_goaway(server.m, MUX_DRAINING, UINT32_MAX, "");
	/* an OPEN that crosses the GOAWAY is opened and closed silently */
	ck_assert_ptr_nonnull(open_proto(&c, MUX_TCP));
	(void)side_flush(&client, &server, now);
	deliver(&server);
	ck_assert_uint_eq(mux_counters(server.m)->streams, 1);
	ck_assert_uint_eq(mux_counters(server.m)->frames_discarded, 1);
	settle();
	ck_assert_uint_eq(last[0].u.goaway.last, 1);
	ck_assert_ptr_null(open_proto(&c, MUX_TCP));
	send_bytes(&client, &a, 1000);		/* the open one goes on */
	settle();
	ck_assert_uint_eq(b.got, 1000);
}
END_TEST

/* ---- streams ------------------------------------------------------- */

START_TEST(open_carries_everything)
{
	struct app a, b;
	const struct mux_open *o = &last[1].u.open;

	answer_opens = false;
	open_tcp(&a, &b);
	ck_assert_int_eq(last[1].type, MUX_EV_OPEN);
	ck_assert_uint_eq(o->proto, MUX_TCP);
	ck_assert_uint_eq(o->addr.bytes[0], 10);
	ck_assert_uint_eq(o->port, 80);
	ck_assert_str_eq(o->name, "www.example");
	ck_assert_str_eq(o->app, "/usr/bin/curl");
	ck_assert_uint_eq(o->source_port, 40000);
	ck_assert(!a.opened);
	ck_assert_uint_eq(mux_stream_id(a.s), 1);
	mux_stream_accept(server.m, b.s, &(struct ipaddr){ 4, { 192, 0, 2, 9 } }, 4711, now);
	settle();
	ck_assert(a.opened);
	ck_assert_uint_eq(last[0].u.opened.addr.bytes[3], 9);
	ck_assert_uint_eq(last[0].u.opened.port, 4711);
}
END_TEST

START_TEST(refused)
{
	struct app a, b;

	answer_opens = false;
	open_tcp(&a, &b);
	mux_stream_refuse(server.m, b.s, MUX_REF_DENIED);
	settle();
	ck_assert_int_eq(a.refused, MUX_REF_DENIED);
	ck_assert(a.closed);
	ck_assert(!b.closed);
	ck_assert_uint_eq(mux_counters(client.m)->outstanding, 0);
	ck_assert_uint_eq(mux_counters(server.m)->streams, 0);
}
END_TEST

START_TEST(half_close)
{
	struct app a, b;

	open_tcp(&a, &b);
	send_bytes(&client, &a, 5000);
	mux_stream_fin(client.m, a.s);
	settle();
	ck_assert(b.fin);
	ck_assert_uint_eq(b.got, 5000);
	ck_assert(!a.closed && !b.closed);
	send_bytes(&server, &b, 70000);
	settle();
	ck_assert_uint_eq(a.got, 70000);
	mux_stream_fin(server.m, b.s);
	settle();
	ck_assert(a.fin);
	ck_assert(a.closed && b.closed);
	ck_assert_uint_eq(mux_counters(client.m)->outstanding, 0);
	ck_assert_uint_eq(mux_counters(server.m)->outstanding, 0);
}
END_TEST

START_TEST(buffered_bytes_outlive_fins)
{
	struct app a, b;

	consume = false;
	open_tcp(&a, &b);
	send_bytes(&server, &b, 3000);
	mux_stream_fin(server.m, b.s);
	mux_stream_fin(client.m, a.s);
	settle();
	ck_assert(b.closed);
	ck_assert(a.fin && !a.closed);
	ck_assert_uint_eq(mux_counters(client.m)->outstanding, 3000);
	mux_stream_consumed(client.m, a.s, 1000, now);
	settle();
	ck_assert(!a.closed);
	mux_stream_consumed(client.m, a.s, 2000, now);
	settle();
	ck_assert(a.closed);
	ck_assert_uint_eq(mux_counters(client.m)->outstanding, 0);
}
END_TEST

START_TEST(reset_cancels_data)
{
	struct app a, b;

	open_tcp(&a, &b);
	send_bytes(&client, &a, 10000);
	mux_stream_reset(client.m, a.s, MUX_RST_TIMEOUT);
	settle();
	ck_assert(!a.closed);
	ck_assert_int_eq(b.reset, MUX_RST_TIMEOUT);
	ck_assert(b.closed);
	ck_assert_uint_eq(b.got, 0);
}
END_TEST

START_TEST(reset_of_held_open)
{
	struct app a;

	ck_assert_ptr_nonnull(open_proto(&a, MUX_TCP));
	ck_assert_uint_eq(mux_stream_id(a.s), 0);
	mux_stream_reset(client.m, a.s, MUX_RST_RESET);
	settle();
	ck_assert_uint_eq(n_events[1], 0);
	ck_assert_uint_eq(mux_counters(client.m)->outstanding, 0);
}
END_TEST

START_TEST(crossing_resets)
{
	struct app a, b;

	open_tcp(&a, &b);
	mux_stream_reset(client.m, a.s, MUX_RST_RESET);
	mux_stream_reset(server.m, b.s, MUX_RST_RESET);
	settle();
	ck_assert(!a.closed && !b.closed);
	ck_assert_uint_eq(mux_counters(client.m)->frames_discarded, 1);
	ck_assert_uint_eq(mux_counters(server.m)->frames_discarded, 1);
}
END_TEST

START_TEST(opens_pending)
{
	static struct app apps[LIMIT_OPENS_PENDING + LIMIT_OPENS_HELD + 16];
	size_t i, n = LIMIT_OPENS_PENDING + 10;

	answer_opens = false;
	for (i = 0; i < n; i++)
		ck_assert_ptr_nonnull(open_proto(&apps[i], MUX_TCP));
	settle();
	ck_assert_uint_eq(mux_counters(server.m)->streams, LIMIT_OPENS_PENDING);
	ck_assert_uint_eq(mux_counters(client.m)->opens_waiting, 10);
	/* reset before its answer: counts for a second more */
	mux_stream_reset(client.m, apps[0].s, MUX_RST_RESET);
	settle();
	ck_assert_uint_eq(mux_counters(client.m)->opens_waiting, 10);
	ck_assert_uint_le(mux_timer(client.m, now), now + USEC_PER_SEC);
	tick(USEC_PER_SEC);
	ck_assert_uint_eq(mux_counters(client.m)->opens_waiting, 9);
	/* more wait, up to a bound */
	for (i = 0; i < LIMIT_OPENS_HELD - 9; i++)
		ck_assert_ptr_nonnull(open_proto(&apps[n + i], MUX_TCP));
	ck_assert_ptr_null(open_proto(&apps[n + i], MUX_TCP));
}
END_TEST

START_TEST(max_streams)
{
	struct app a, b, c;

	restart(0, 0, 2);
	mux_set_max_streams(client.m, 3);
	ck_assert_ptr_nonnull(open_proto(&a, MUX_TCP));
	ck_assert_ptr_nonnull(open_proto(&b, MUX_TCP));
	ck_assert_ptr_nonnull(open_proto(&c, MUX_TCP));
	ck_assert_ptr_null(open_proto(&c, MUX_TCP));
	settle();
	ck_assert_int_eq(last[0].type, MUX_EV_REFUSED);
	ck_assert_uint_eq(last[0].u.reason, MUX_REF_LIMIT);
	ck_assert_uint_eq(mux_counters(server.m)->streams, 2);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		silent_before_config, config_text_arrives, config_not_too_often,
		largest_config, ack_after_64k_or_100ms, probes, goaway_ends, draining,
		open_carries_everything, refused, half_close, buffered_bytes_outlive_fins,
		reset_cancels_data, reset_of_held_open, crossing_resets, opens_pending,
		max_streams,
	};

	return world_run("mux", tests, sizeof(tests) / sizeof(tests[0]));
}
