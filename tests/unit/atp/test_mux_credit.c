/* SPDX-License-Identifier: MIT */
/*
 * test_mux_credit.c - windows, floor and budget; whose turn it is; the store
 */
#include "tests/unit/atp/world.h"

/* ---- credit -------------------------------------------------------- */

START_TEST(window_stops_the_sender)
{
	struct app a, b;

	consume = false;
	open_tcp(&a, &b);
	send_bytes(&client, &a, 100000);
	settle();
	ck_assert_uint_eq(b.got, LIMIT_WINDOW_FIRST);
	mux_stream_consumed(server.m, b.s, LIMIT_WINDOW_FIRST / 2 - 1, now);
	settle();
	ck_assert_uint_eq(b.got, LIMIT_WINDOW_FIRST);
	now += 10 * MS;
	mux_stream_consumed(server.m, b.s, 1, now);
	settle();
	ck_assert_uint_eq(b.got, LIMIT_WINDOW_FIRST + LIMIT_WINDOW_FIRST / 2);
}
END_TEST

START_TEST(window_grows)
{
	struct app a, b;

	open_tcp(&a, &b);
	send_bytes(&client, &a, 64 << 20);
	settle();
	ck_assert_uint_eq(b.got, 64 << 20);
	ck_assert_uint_eq(a.s->send_credit, b.s->unused);
	ck_assert_uint_gt(b.s->goal, 1 << 20);
	ck_assert_uint_le(b.s->goal, LIMIT_WINDOW_MAX);
}
END_TEST

START_TEST(window_of_slow_stream_stays)
{
	struct app a, b;
	int i;

	open_tcp(&a, &b);
	mux_set_rtt(server.m, 5 * MS);
	for (i = 0; i < 100; i++) {
		send_bytes(&client, &a, 2000);
		tick(5 * MS);
	}
	ck_assert_uint_eq(b.got, 200000);
	ck_assert_uint_eq(b.s->goal, LIMIT_WINDOW_FIRST);
}
END_TEST

START_TEST(credit_comes_back_when_idle)
{
	struct app a, b;

	open_tcp(&a, &b);
	tick(LIMIT_RETURN_US - 1);
	ck_assert_uint_eq(a.s->send_credit, LIMIT_WINDOW_FIRST);
	tick(1);
	ck_assert_uint_eq(a.s->send_credit, LIMIT_WINDOW_FLOOR);
	ck_assert_uint_eq(b.s->unused, LIMIT_WINDOW_FLOOR);
	ck_assert_uint_eq(mux_counters(server.m)->outstanding, LIMIT_WINDOW_FLOOR);
	ck_assert_uint_eq(mux_counters(client.m)->outstanding, LIMIT_WINDOW_FLOOR);
	tick(LIMIT_ACK_US);
	/* idle: no timer at all, after two rounds of giving memory back */
	tick(USEC_PER_SEC);
	tick(USEC_PER_SEC);
	ck_assert_uint_eq(mux_timer(client.m, now), UINT64_MAX);
	ck_assert_uint_eq(mux_timer(server.m, now), UINT64_MAX);
	/* a key press calls for nothing */
	n_events[0] = 0;
	send_bytes(&client, &a, 10);
	settle();
	ck_assert_uint_eq(b.s->unused, LIMIT_WINDOW_FLOOR - 10);
	/* a transfer gets its window at once, before anything is consumed */
	consume = false;
	send_bytes(&client, &a, 900);
	settle();
	ck_assert_uint_eq(b.s->unused + b.s->buffered, LIMIT_WINDOW_FIRST);
	ck_assert_uint_eq(a.s->send_credit, b.s->unused);
}
END_TEST

START_TEST(floor_and_budget)
{
	static struct app apps[64];
	uint64_t budget = 64u << 10;
	int i, open = 0;

	restart(budget, 0, 0);
	consume = false;
	for (i = 0; i < 64; i++)
		open += open_proto(&apps[i], MUX_TCP) != NULL;
	/* half of the budget is floor, 1 KiB a stream */
	ck_assert_int_eq(open, 32);
	settle();
	/* the first had 16 KiB until half of the elastic part was out */
	ck_assert_uint_eq(apps[0].s->unused, LIMIT_WINDOW_FIRST);
	ck_assert_uint_eq(apps[1].s->unused, LIMIT_WINDOW_FIRST);
	ck_assert_uint_eq(apps[2].s->unused, LIMIT_WINDOW_FLOOR);
	ck_assert_uint_eq(mux_counters(client.m)->outstanding, 2 * 15360 + 32 * 1024);
	ck_assert_uint_le(mux_counters(client.m)->outstanding, budget);
	/* an association takes no floor */
	ck_assert_ptr_nonnull(open_proto(&apps[40], MUX_UDP));
}
END_TEST

START_TEST(floor_at_the_server)
{
	static struct app apps[64];
	struct mux_config c = { .role = MUX_SERVER, .budget = 8u << 10 };
	int i, n_refused = 0;

	side_done(&server);
	side_init(&server, &c, &ops, NULL);
	ck_assert_int_eq(mux_send_config(server.m, "{}", 2), 0);
	settle();
	for (i = 0; i < 6; i++)
		ck_assert_ptr_nonnull(open_proto(&apps[i], MUX_TCP));
	settle();
	for (i = 0; i < 6; i++)
		n_refused += apps[i].refused == MUX_REF_LIMIT;
	ck_assert_int_eq(n_refused, 2);
}
END_TEST

START_TEST(starved_streams_all_finish)
{
	static struct app apps[32], far[32];
	int i, k;

	restart(64u << 10, 0, 0);
	for (i = 0; i < 32; i++) {
		open_tcp(&apps[i], &far[i]);
		send_bytes(&client, &apps[i], 100000);
	}
	for (k = 0; k < 50; k++)
		settle();
	for (i = 0; i < 32; i++)
		ck_assert_uint_eq(far[i].got, 100000);
	ck_assert_uint_le(mux_counters(server.m)->outstanding, 64u << 10);
}
END_TEST

/* ---- order, store --------------------------------------------------- */

/* Which stream has the first DATA frame of what @m sends next? */
static uint32_t first_data(struct mux *m)
{
	size_t len, at;
	const uint8_t *p;

	while ((p = mux_output(m, MUX_RECORD, &len, now))) {
		for (at = 0; at < len; at += LIMIT_FRAME_HEADER + get24(p + at + 1)) {
			if (p[at] == FRAME_DATA) {
				uint32_t id = get32(p + at + 4);

				mux_written(m, len);
				return id;
			}
		}
		mux_written(m, len);
	}
	return 0;
}

START_TEST(small_before_bulk)
{
	struct app bulk, key, bf, kf;

	open_tcp(&bulk, &bf);
	open_tcp(&key, &kf);
	send_bytes(&client, &bulk, 4 << 20);
	settle();
	send_bytes(&client, &bulk, 1 << 20);
	ck_assert_uint_eq(first_data(client.m), mux_stream_id(bulk.s));
	send_bytes(&client, &key, 1);
	ck_assert_uint_eq(first_data(client.m), mux_stream_id(key.s));
}
END_TEST

START_TEST(bulk_is_not_starved)
{
	static struct app small[40], far[40];
	struct app bulk, bf;
	uint32_t turns = 0;
	size_t i;

	open_tcp(&bulk, &bf);
	send_bytes(&client, &bulk, 4 << 20);
	settle();
	for (i = 0; i < 40; i++)
		open_tcp(&small[i], &far[i]);
	send_bytes(&client, &bulk, 1 << 20);
	for (i = 0; i < 40; i++)
		send_bytes(&client, &small[i], 10000);
	for (i = 0; i < 20; i++)
		turns += first_data(client.m) == mux_stream_id(bulk.s);
	ck_assert_uint_ge(turns, 3);
	ck_assert_uint_le(turns, 8);
}
END_TEST

START_TEST(equal_streams_share)
{
	static struct app a[4], b[4];
	uint32_t n[5] = { 0 };
	int i;

	for (i = 0; i < 4; i++) {
		open_tcp(&a[i], &b[i]);
		send_bytes(&client, &a[i], 4 << 20);
	}
	settle();
	for (i = 0; i < 4; i++)
		send_bytes(&client, &a[i], 4 << 20);
	for (i = 0; i < 40; i++)
		n[first_data(client.m)]++;
	for (i = 1; i <= 4; i++)
		ck_assert_uint_eq(n[i], 10);
}
END_TEST

START_TEST(records_are_full)
{
	struct app a, b;
	const uint8_t *p;
	size_t len;
	int i;

	open_tcp(&a, &b);
	send_bytes(&client, &a, 4 << 20);
	settle();
	tick(LIMIT_ACK_US);
	send_bytes(&client, &a, 1 << 20);
	for (i = 0; i < 20; i++) {
		p = mux_output(client.m, 1 << 20, &len, now);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(len, MUX_RECORD);
		ck_assert_uint_eq(get24(p + 1), LIMIT_DATA);
		ck_assert_uint_eq((uintptr_t)p % 64, 0);
		mux_written(client.m, len);
	}
}
END_TEST

START_TEST(unwritten_span_comes_again)
{
	struct app a, b;
	const uint8_t *p, *q;
	size_t len, again;

	open_tcp(&a, &b);
	send_bytes(&client, &a, 1000);
	p = mux_output(client.m, MUX_RECORD, &len, now);
	ck_assert_uint_eq(len, 1008);
	mux_probe(client.m, 1);			/* must not go in front */
	send_bytes(&client, &a, 1000);
	q = mux_output(client.m, MUX_RECORD, &again, now);
	ck_assert_ptr_eq(p, q);
	ck_assert_uint_eq(len, again);
	mux_written(client.m, 10);
	q = mux_output(client.m, MUX_RECORD, &again, now);
	ck_assert_ptr_eq(p + 10, q);
	ck_assert_uint_eq(again, 998);
	ck_assert_uint_eq(mux_counters(client.m)->bytes_out, client.m->store.sent);
}
END_TEST

START_TEST(full_store_is_back_pressure)
{
	struct app a, b, c, far, u;
	struct mux_dgram d = { .addr = { .family = 4, .bytes = { 9, 9, 9, 9 } }, .port = 9 };
	size_t len, sum = 0;

	restart(0, 256 << 10, 0);
	ck_assert_ptr_nonnull(open_proto(&u, MUX_UDP));
	settle();
	open_tcp(&a, &b);
	open_tcp(&c, &far);
	send_bytes(&client, &a, 8 << 20);
	settle();
	ck_assert_uint_eq(b.got, 8 << 20);
	tick(LIMIT_ACK_US);
	send_bytes(&client, &a, 8 << 20);
	while (mux_output(client.m, MUX_RECORD, &len, now)) {	/* into a black hole */
		mux_written(client.m, len);
		sum += len;
	}
	ck_assert_uint_eq(sum, (256 << 10) - LIMIT_STORE_RESERVE);
	ck_assert(mux_wants_to_send(client.m));
	/* control frames have the reserve, datagrams and probes need no room */
	mux_stream_fin(client.m, c.s);
	mux_probe(client.m, 7);
	ck_assert_int_eq(mux_stream_dgram(client.m, u.s, &d, (const uint8_t *)"hi", 2, now), 0);
	sum = 0;
	while (mux_output(client.m, MUX_RECORD, &len, now)) {
		mux_written(client.m, len);
		sum += len;
	}
	ck_assert_uint_eq(sum, 8 + 16 + 8 + 12 + 2);
}
END_TEST

START_TEST(memory_at_rest)
{
	struct app a, b;
	int i;

	open_tcp(&a, &b);
	send_bytes(&client, &a, 32 << 20);
	settle();
	tick(LIMIT_ACK_US);
	ck_assert_uint_eq(client.m->store.chunks, 0);
	ck_assert_uint_gt(client.m->pool.n_free, MUX_KEEP_CHUNKS);
	for (i = 0; i < 5; i++)
		tick(USEC_PER_SEC);
	ck_assert_uint_le(client.m->pool.n_free, MUX_KEEP_CHUNKS);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		window_stops_the_sender, window_grows, window_of_slow_stream_stays,
		credit_comes_back_when_idle, floor_and_budget, floor_at_the_server,
		starved_streams_all_finish, small_before_bulk, bulk_is_not_starved,
		equal_streams_share, records_are_full, unwritten_span_comes_again,
		full_store_is_back_pressure, memory_at_rest,
	};

	return world_run("mux credit", tests, sizeof(tests) / sizeof(tests[0]));
}
