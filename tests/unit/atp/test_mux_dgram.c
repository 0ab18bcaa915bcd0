/* SPDX-License-Identifier: MIT */
/*
 * test_mux_dgram.c - associations and their datagrams
 */
#include "tests/unit/atp/world.h"

/* ---- associations ---------------------------------------------------- */

static const struct mux_dgram to = { .addr = { .family = 4, .bytes = { 192, 0, 2, 1 } },
				     .port = 53 };

START_TEST(datagrams_both_ways)
{
	struct app u, far = { 0 };
	uint8_t data[65000];
	struct mux_dgram batch = to;

	far_app = &far;
	ck_assert_ptr_nonnull(open_proto(&u, MUX_UDP));
	/* behind the OPEN, without waiting for its answer */
	ck_assert_int_eq(mux_stream_dgram(client.m, u.s, &to, (const uint8_t *)"query", 5, now), 0);
	settle();
	ck_assert_int_eq(last[1].type, MUX_EV_DGRAM);
	ck_assert_uint_eq(last[1].len, 5);
	ck_assert_uint_eq(last[1].u.dgram.port, 53);
	ck_assert_int_eq(mux_stream_dgram(server.m, far.s, &to, (const uint8_t *)"", 0, now), 0);
	settle();
	ck_assert_int_eq(last[0].type, MUX_EV_DGRAM);
	ck_assert_uint_eq(last[0].len, 0);
	/* larger than a record */
	memset(data, 7, sizeof(data));
	batch.segment = 1250;
	ck_assert_int_eq(mux_stream_dgram(server.m, far.s, &batch, data, sizeof(data), now), 0);
	settle();
	ck_assert_uint_eq(last[0].len, sizeof(data));
	ck_assert_uint_eq(last[0].u.dgram.segment, 1250);
	batch.segment = 1000;
	ck_assert_int_eq(mux_stream_dgram(server.m, far.s, &batch, data, sizeof(data), now),
			 -EINVAL);
	mux_stream_dgram_error(server.m, far.s, &to, 3, 4, 100);
	settle();
	ck_assert_int_eq(last[0].type, MUX_EV_DGRAM_ERROR);
	ck_assert_uint_eq(last[0].u.error.type, 3);
	ck_assert_uint_eq(last[0].u.error.mtu, 576);
}
END_TEST

START_TEST(datagrams_age)
{
	struct app u;
	uint8_t data[1000] = { 0 };
	int i;

	ck_assert_ptr_nonnull(open_proto(&u, MUX_UDP));
	settle();
	n_events[1] = 0;
	for (i = 0; i < 30; i++)
		ck_assert_int_eq(mux_stream_dgram(client.m, u.s, &to, data, sizeof(data), now), 0);
	now += LIMIT_DGRAM_AGE_US;
	settle();
	/* 16 KiB stay, in frames of 1,020 bytes */
	ck_assert_uint_eq(n_events[1], LIMIT_DGRAM_QUEUE / 1020);
	ck_assert_uint_eq(mux_counters(client.m)->dgrams_dropped, 30 - LIMIT_DGRAM_QUEUE / 1020);
	ck_assert_int_eq(mux_stream_dgram(client.m, u.s, &to, data, sizeof(data), now), 0);
	ck_assert_uint_le(mux_timer(client.m, now), now + LIMIT_DGRAM_MAX_AGE_US);
	now += LIMIT_DGRAM_MAX_AGE_US;
	(void)mux_timer(client.m, now);
	ck_assert(link_empty(&client.m->dgrams));	/* the timer took it, not the send */
	n_events[1] = 0;
	settle();
	ck_assert_uint_eq(n_events[1], 0);
	ck_assert_uint_eq(client.m->pool.n_used, client.m->store.chunks);
}
END_TEST

START_TEST(datagrams_are_bounded)
{
	static uint8_t data[60000];
	struct app u, v;
	int i;

	ck_assert_ptr_nonnull(open_proto(&u, MUX_UDP));
	for (i = 0; i < 200; i++)
		ck_assert_int_eq(mux_stream_dgram(client.m, u.s, &to, data, sizeof(data), now), 0);
	ck_assert_uint_le(client.m->dgram_chunks, MUX_DGRAM_CHUNKS);
	ck_assert_ptr_nonnull(open_proto(&v, MUX_UDP));
	ck_assert_int_eq(mux_stream_dgram(client.m, v.s, &to, data, sizeof(data), now), -ENOBUFS);
	ck_assert_uint_eq(mux_counters(client.m)->dgrams_dropped, 200 - MUX_DGRAM_CHUNKS + 1);
	mux_stream_reset(client.m, u.s, MUX_RST_RESET);
	ck_assert_uint_eq(client.m->dgram_chunks, 0);
}
END_TEST

START_TEST(association_reset_by_sentry)
{
	struct app u, far = { 0 };

	far_app = &far;
	ck_assert_ptr_nonnull(open_proto(&u, MUX_UDP));
	settle();
	ck_assert(u.opened);
	mux_stream_reset(server.m, far.s, MUX_RST_IDLE);
	ck_assert_int_eq(mux_stream_dgram(client.m, u.s, &to, (const uint8_t *)"x", 1, now), 0);
	settle();
	ck_assert_int_eq(u.reset, MUX_RST_IDLE);
	ck_assert(u.closed);
	ck_assert_uint_eq(mux_counters(server.m)->frames_discarded, 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		datagrams_both_ways, datagrams_age, datagrams_are_bounded,
		association_reset_by_sentry,
	};

	return world_run("mux dgram", tests, sizeof(tests) / sizeof(tests[0]));
}
