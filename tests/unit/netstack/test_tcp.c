/* SPDX-License-Identifier: MIT */
/* test_tcp.c - TCP flows through lwIP, from a small client to a pretended owner */
#include "fake_tun.h"

static uint8_t data[1 << 20];
static uint8_t read_back[1 << 20];

static size_t owner_read(struct fake *f, struct ns_tcp *t)
{
	size_t n, total = 0;

	while ((n = ns_tcp_read(f->ns, t, read_back + total, sizeof(read_back) - total)))
		total += n;
	return total;
}

/* @i: bit 0 virtio headers, bit 1 IPv6 */
#define ENVIRONMENTS 4

static void start(int i, struct fake **f, struct client *c)
{
	*f = fake_new(i & 1);
	client_init(c, *f, i & 2 ? 6 : 4, 40000);
}

START_TEST(handshake_tells_mss_scale_and_sack)
{
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	f->refuse = 0;
	client_syn(&c);
	ck_assert_uint_eq(f->syns, 1);
	ck_assert_uint_eq(f->tuple.src_port, 40000);
	ck_assert_uint_eq(f->tuple.dst_port, 80);
	ck_assert(addr_equal(&f->tuple.src, &c.t.src) && addr_equal(&f->tuple.dst, &c.t.dst));
	/* held: nothing goes out, whatever the app repeats */
	client_syn(&c);
	fake_wait(f, 500000);
	client_syn(&c);
	fake_flush(f);
	ck_assert_uint_eq(fake_pending(f), 0);
	ck_assert_uint_eq(f->syns, 1);
	ck_assert_uint_eq(ns_counters(f->ns)->syn_held, 1);

	ns_tcp_accept(f->ns, f->t, f->now);
	ck_assert_uint_eq(fake_pending(f), 1);
	c.snd_nxt++;
	client_pull(&c);
	ck_assert(c.established);
	ck_assert_uint_eq(c.peer_mss, FAKE_MTU - (_i & 2 ? 60 : 40));
	ck_assert_uint_ne(c.peer_scale, 255);
	ck_assert(c.peer_sack);
	ck_assert_uint_eq(ns_counters(f->ns)->syn_held, 0);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 1);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(bytes_go_up_and_are_acknowledged_once_a_batch)
{
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	pattern_fill(data, 60000, 0);
	client_send(&c, data, 100);
	client_send(&c, data + 100, 1300);
	client_send(&c, data + 1400, 20000);	/* as a super-segment */
	ck_assert_uint_eq(f->readables, 3);
	ck_assert_uint_eq(ns_tcp_readable(f->t), 21400);
	ck_assert_uint_eq(owner_read(f, f->t), 21400);
	ck_assert(pattern_is(read_back, 21400, 0));
	fake_flush(f);
	client_pull(&c);
	ck_assert_uint_eq(c.snd_una, c.snd_nxt);
	ck_assert_uint_le(c.acks, 3);
	/* the window is what it was, and more than 64 KiB by now */
	client_send(&c, data + 21400, 30000);
	owner_read(f, f->t);
	fake_flush(f);
	client_pull(&c);
	ck_assert_uint_ge(c.peer_window, 128 * 1024);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(small_request_waits_for_its_answer_to_carry_the_ack)
{
	struct bufpool *pool = bufpool_new(16384, 100);
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	client_send(&c, data, 10);
	owner_read(f, f->t);
	fake_flush(f);
	ck_assert_uint_eq(fake_pending(f), 0);
	fake_write(f, f->t, pool, 10, 0);
	fake_flush(f);
	ck_assert_uint_eq(fake_pending(f), 1);
	client_pull(&c);
	ck_assert_uint_eq(c.snd_una, c.snd_nxt);
	ck_assert_uint_eq(c.rx_len, 10);
	/* no answer: the ACK goes alone, a millisecond later */
	client_send(&c, data, 10);
	owner_read(f, f->t);
	fake_flush(f);
	ck_assert_uint_eq(fake_pending(f), 0);
	ck_assert_uint_le(ns_timer(f->ns, f->now), f->now + 1000);
	fake_wait(f, 1500);
	client_pull(&c);
	ck_assert_uint_eq(c.snd_una, c.snd_nxt);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(bytes_go_down_in_super_segments_and_are_counted)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	c.window = 4 << 20;
	client_connect(&c);
	fake_write(f, f->t, pool, 10, 0);
	fake_write(f, f->t, pool, 3, 10);
	fake_write(f, f->t, pool, 500000, 13);
	fake_write(f, f->t, pool, 1, 500013);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 500014);
	ck_assert(pattern_is(c.rx, 500014, 0));
	ck_assert_uint_eq(f->sent_bytes, 500014);
	ck_assert_uint_eq(bufpool_in_use(pool), 0);
	if (f->vnet) {
		ck_assert_uint_gt(c.supers, 6);
		ck_assert_uint_eq(c.last_gso, _i & 2 ? 1340 : 1360);
		ck_assert_uint_lt(c.packets, 30);
	} else {
		ck_assert_uint_eq(c.supers, 0);
	}
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(small_mss_of_the_app_is_respected)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct fake_packet *p;
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	c.mss = 301;
	client_connect(&c);
	fake_write(f, f->t, pool, 20000, 0);
	fake_flush(f);
	p = fake_peek(f);
	ck_assert_ptr_nonnull(p);
	if (f->vnet)
		ck_assert_uint_eq(p->vnet[4] | p->vnet[5] << 8, 301);
	else
		ck_assert_uint_eq(p->len, (_i & 2 ? 60u : 40u) + 301);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 20000);
	ck_assert(pattern_is(c.rx, 20000, 0));
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(app_without_options_works)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;
	int n;

	start(_i, &f, &c);
	c.mss = 0;
	c.scale = 255;
	c.sack = false;
	client_connect(&c);
	ck_assert_uint_eq(c.peer_scale, 255);
	ck_assert(!c.peer_sack);
	for (n = 0; n < 20; n++) {		/* more than one unscaled window */
		client_send(&c, data, 20000);
		owner_read(f, f->t);
		client_drain(&c);
		ck_assert_uint_eq(c.snd_una, c.snd_nxt);
		ck_assert_uint_ge(c.peer_window, 20000);
	}
	fake_write(f, f->t, pool, 200000, 0);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 200000);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(half_close_by_the_app)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	client_send(&c, data, 1000);
	client_fin(&c);
	ck_assert_uint_eq(f->eofs, 1);
	ck_assert_uint_eq(owner_read(f, f->t), 1000);
	client_drain(&c);
	ck_assert_uint_eq(c.snd_una, c.snd_nxt);
	ck_assert_uint_eq(f->closes, 0);
	fake_wait(f, 120000000);		/* as long as it likes */
	fake_write(f, f->t, pool, 100000, 0);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 100000);
	ns_tcp_fin(f->ns, f->t);
	client_drain(&c);
	ck_assert(c.fin_seen);
	ck_assert_uint_eq(f->closes, 1);
	ck_assert_uint_eq(f->resets, 0);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 0);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(half_close_by_the_owner_and_time_wait)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	fake_write(f, f->t, pool, 5000, 0);
	ns_tcp_fin(f->ns, f->t);
	client_drain(&c);
	ck_assert(c.fin_seen);
	ck_assert_uint_eq(c.rx_len, 5000);
	ck_assert_uint_eq(f->sent_bytes, 5000);
	fake_wait(f, 120000000);
	ck_assert_uint_eq(f->closes, 0);
	client_send(&c, data, 3000);
	ck_assert_uint_eq(owner_read(f, f->t), 3000);
	client_fin(&c);
	client_drain(&c);
	ck_assert_uint_eq(f->eofs, 1);
	ck_assert_uint_eq(f->closes, 1);
	ck_assert_uint_eq(f->resets, 0);
	ck_assert_uint_eq(c.snd_una, c.snd_nxt);
	/* our last ACK got lost: the FIN again is answered */
	client_segment(&c, TH_ACK | TH_FIN, c.snd_nxt - 1, c.rcv_nxt, NULL, 0);
	ck_assert_uint_eq(fake_pending(f), 1);
	c.snd_una = 0;
	client_pull(&c);
	ck_assert_uint_eq(c.snd_una, c.snd_nxt);
	/* and the tuple may be used anew at once */
	c.snd_nxt += 100000;
	c.rx_len = 0;
	c.established = false;
	client_connect(&c);
	ck_assert_uint_eq(f->syns, 2);
	client_send(&c, data, 10);
	ck_assert_uint_eq(ns_tcp_readable(f->t), 10);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(tombstone_goes_after_its_time)
{
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	ns_tcp_fin(f->ns, f->t);
	client_drain(&c);
	client_fin(&c);
	client_drain(&c);
	ck_assert_uint_eq(f->closes, 1);
	fake_wait(f, 10000000);
	ck_assert_uint_eq(ns_timer(f->ns, f->now), UINT64_MAX);
	client_segment(&c, TH_ACK, c.snd_nxt, c.rcv_nxt, NULL, 0);
	client_pull(&c);
	ck_assert(c.rst_seen);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(bytes_that_nobody_read_outlive_the_connection)
{
	struct client c;
	struct fake *f;
	struct ns_tcp *t;

	start(_i, &f, &c);
	client_connect(&c);
	t = f->t;
	client_send(&c, data, 5000);
	client_fin(&c);
	ns_tcp_fin(f->ns, t);
	client_drain(&c);
	ck_assert(c.fin_seen);
	ck_assert_uint_eq(f->closes, 0);
	/* meanwhile the app's port is used again */
	c.snd_nxt += 5000;
	c.established = false;
	client_connect(&c);
	ck_assert_uint_eq(f->syns, 2);
	ck_assert_ptr_ne(f->t, t);
	ck_assert_uint_eq(ns_tcp_readable(t), 5000);
	ck_assert_uint_eq(owner_read(f, t), 5000);
	fake_flush(f);
	ck_assert_uint_eq(f->closes, 1);
	ck_assert_uint_eq(f->resets, 0);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 1);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(reset_by_the_app)
{
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	client_send(&c, data, 100);
	/* a wrong sequence number inside the window: a challenge, no end */
	client_segment(&c, TH_RST, c.snd_nxt + 5, 0, NULL, 0);
	ck_assert_uint_eq(f->closes, 0);
	client_pull(&c);
	client_segment(&c, TH_RST, c.snd_nxt, 0, NULL, 0);
	ck_assert_uint_eq(f->closes, 1);
	ck_assert_uint_eq(f->resets, 1);
	fake_flush(f);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 0);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(reset_by_the_owner)
{
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	client_send(&c, data, 100);
	ns_tcp_abort(f->ns, f->t);
	fake_flush(f);
	client_pull(&c);
	ck_assert(c.rst_seen);
	ck_assert_uint_eq(f->closes, 0);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 0);
	/* also from inside a callback */
	client_init(&c, f, _i & 2 ? 6 : 4, 40001);
	client_connect(&c);
	f->abort_in_readable = true;
	client_send(&c, data, 100);
	client_pull(&c);
	ck_assert(c.rst_seen);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 0);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(shut_window_of_the_app)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;
	uint32_t packets;

	start(_i, &f, &c);
	c.window = 5000;
	c.scale = 0;
	client_connect(&c);
	c.auto_ack = false;
	fake_write(f, f->t, pool, 50000, 0);
	fake_flush(f);
	client_pull(&c);
	ck_assert_uint_le(c.rx_len, 5000);
	ck_assert_uint_gt(c.rx_len, 2000);
	c.window = 0;
	client_ack(&c);
	fake_flush(f);
	client_pull(&c);
	/* nothing more comes but probes, ever slower */
	packets = c.packets;
	fake_wait(f, 4000000);
	client_pull(&c);
	ck_assert_uint_gt(c.packets, packets);
	ck_assert_uint_le(c.packets, packets + 5);
	ck_assert_uint_le(c.rx_len, 5000);
	/* what the probe is answered with opens it again */
	c.window = 60000;
	c.auto_ack = true;
	client_ack(&c);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 50000);
	ck_assert(pattern_is(c.rx, 50000, 0));
	ck_assert_uint_eq(ns_timer(f->ns, f->now), UINT64_MAX);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(app_that_never_answers_probes_is_given_up)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	c.window = 1000;
	c.scale = 0;
	client_connect(&c);
	fake_write(f, f->t, pool, 5000, 0);
	fake_flush(f);
	c.auto_ack = false;
	client_pull(&c);
	c.window = 0;
	client_ack(&c);
	fake_flush(f);
	fake_wait(f, 3600ull * 1000000);
	ck_assert_uint_eq(f->resets, 1);
	ck_assert_uint_eq(bufpool_in_use(pool), 0);
	fake_clear(f);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(shut_window_of_ours)
{
	struct client c;
	struct fake *f;
	size_t sent = 0;

	start(_i, &f, &c);
	client_connect(&c);
	client_send(&c, data, 1);
	owner_read(f, f->t);
	client_drain(&c);
	fake_wait(f, 2000);
	client_pull(&c);
	pattern_fill(data, sizeof(data), 0);
	/* fill the window without anybody reading */
	while (c.peer_window) {
		size_t n = c.peer_window < 60000 ? c.peer_window : 60000;

		client_send(&c, data + sent, n);
		sent += n;
		fake_flush(f);
		client_pull(&c);
		ck_assert_uint_eq(c.snd_una, c.snd_nxt);
		ck_assert_uint_le(sent, 300000);
	}
	ck_assert_uint_ge(sent, 250000);
	/* beyond the window: not taken, answered (it is announced in units of
	 * 128 bytes, so a few may fit) */
	client_segment(&c, TH_ACK, c.snd_nxt, c.rcv_nxt, data + sent, 5000);
	fake_flush(f);
	ck_assert_uint_le(ns_tcp_readable(f->t), sent + 128);
	fake_wait(f, 1500);
	ck_assert_int_gt(client_pull(&c), 0);
	ck_assert_uint_eq(c.peer_window, 0);
	sent = ns_tcp_readable(f->t);
	/* the owner reads: the app hears of it */
	ck_assert_uint_eq(owner_read(f, f->t), sent);
	ck_assert(pattern_is(read_back, sent, 0));
	fake_flush(f);
	ck_assert_int_gt(client_pull(&c), 0);
	ck_assert_uint_ge(c.peer_window, 250000);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(segment_over_the_edge_of_the_window)
{
	static uint8_t big[60000];
	struct client c;
	struct fake *f;
	uint32_t window;

	start(_i, &f, &c);
	client_connect(&c);
	client_send(&c, data, 1);
	owner_read(f, f->t);
	client_drain(&c);
	fake_wait(f, 2000);
	client_pull(&c);
	window = c.peer_window;
	/* early, and longer than the window; then what is missing before it */
	client_segment(&c, TH_ACK | TH_FIN, c.snd_nxt + window - 10, c.rcv_nxt, big, 60000);
	while (window > 10) {
		uint32_t n = window - 10 < 60000 ? window - 10 : 60000;

		client_send(&c, big, n);
		window -= n;
	}
	fake_flush(f);
	client_pull(&c);
	ck_assert_uint_eq(f->eofs, 0);
	/* the edge is announced in units of 128 bytes */
	ck_assert_uint_ge(c.snd_una - c.snd_nxt, 10);
	ck_assert_uint_le(c.snd_una - c.snd_nxt, 10 + 128);
	client_free(&c);
	fake_free(f);
}
END_TEST

/* What no app can have sent is answered by an ACK and changes nothing. */
START_TEST(segments_from_nowhere_change_nothing)
{
	static const struct {
		int seq, ack;			/* off what would be right */
	} wild[] = { { 0x40000000, 0 }, { 0x1000000, 0 }, { -0x40000000, 0 }, { 0, 100000000 },
		     { 0, 1 }, { 0, -100000000 }, { 5, 0x60000000 } };
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;
	uint32_t packets, acks;
	size_t i;

	start(_i, &f, &c);
	client_connect(&c);
	client_send(&c, data, 10);
	owner_read(f, f->t);
	fake_wait(f, 2000);
	client_drain(&c);
	c.auto_ack = false;
	for (i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		packets = c.packets;
		acks = c.acks;
		c.window = 0;
		client_segment(&c, TH_ACK, c.snd_nxt + (uint32_t)wild[i].seq,
			       c.rcv_nxt + (uint32_t)wild[i].ack, "xyz", 3);
		fake_flush(f);
		client_pull(&c);
		ck_assert_uint_eq(c.packets - packets, 1);
		ck_assert_uint_eq(c.acks - acks, 1);
		ck_assert_uint_eq(c.snd_una, c.snd_nxt);
	}
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_unacceptable, i);
	ck_assert_uint_eq(ns_tcp_readable(f->t), 0);
	/* a window that was shut by one of them would stay shut */
	c.window = 65535;
	c.auto_ack = true;
	fake_write(f, f->t, pool, 200000, 0);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 200000);
	ck_assert(pattern_is(c.rx, c.rx_len, 0));
	client_send(&c, data, 10);
	ck_assert_uint_eq(owner_read(f, f->t), 10);
	/* a keep-alive is one byte back, and answered */
	fake_wait(f, 2000);
	client_drain(&c);
	acks = c.acks;
	client_segment(&c, TH_ACK, c.snd_nxt - 1, c.rcv_nxt, NULL, 0);
	fake_flush(f);
	client_pull(&c);
	ck_assert_uint_eq(c.acks - acks, 1);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(bytes_behind_the_fin_are_none)
{
	struct client c;
	struct fake *f;
	uint32_t isn;

	start(_i, &f, &c);
	client_connect(&c);
	isn = c.snd_nxt;
	pattern_fill(data, 60000, 0);
	/* the end comes early; then bytes that overlap and exceed it */
	client_segment(&c, TH_ACK | TH_FIN, isn + 20000, c.rcv_nxt, data + 20000, 1000);
	client_segment(&c, TH_ACK, isn + 30000, c.rcv_nxt, data + 30000, 30000);
	client_segment(&c, TH_ACK | TH_FIN, isn + 10000, c.rcv_nxt, data + 10000, 5000);
	ck_assert_uint_eq(f->eofs, 0);
	client_segment(&c, TH_ACK, isn, c.rcv_nxt, data, 60000);
	ck_assert_uint_eq(f->eofs, 1);
	ck_assert_uint_eq(owner_read(f, f->t), 21000);
	ck_assert(pattern_is(read_back, 21000, 0));
	fake_flush(f);
	client_pull(&c);
	ck_assert_uint_eq(c.snd_una, isn + 21001);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(segments_out_of_order_and_twice)
{
	struct client c;
	struct fake *f;
	uint32_t isn;
	int i;

	start(_i, &f, &c);
	client_connect(&c);
	isn = c.snd_nxt;
	pattern_fill(data, 100000, 0);
	for (i = 9; i > 0; i--)
		client_segment(&c, TH_ACK, isn + (uint32_t)i * 10000, c.rcv_nxt,
			       data + i * 10000, 10000);
	ck_assert_uint_eq(f->readables, 0);
	client_segment(&c, TH_ACK, isn + 5000, c.rcv_nxt, data + 5000, 20000);
	client_segment(&c, TH_ACK, isn, c.rcv_nxt, data, 7000);
	client_segment(&c, TH_ACK, isn, c.rcv_nxt, data, 7000);
	ck_assert_uint_eq(ns_tcp_readable(f->t), 100000);
	ck_assert_uint_eq(owner_read(f, f->t), 100000);
	ck_assert(pattern_is(read_back, 100000, 0));
	c.snd_nxt = isn + 100000;
	fake_flush(f);
	client_pull(&c);
	ck_assert_uint_eq(c.snd_una, c.snd_nxt);
	client_free(&c);
	fake_free(f);
}
END_TEST

START_TEST(lost_packets_are_sent_again)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	fake_write(f, f->t, pool, 30000, 0);
	fake_flush(f);
	fake_clear(f);				/* lost */
	fake_wait(f, 3000000);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 30000);
	ck_assert(pattern_is(c.rx, 30000, 0));
	/* the device refuses a packet: as if lost */
	f->output_error = -ENOBUFS;
	fake_write(f, f->t, pool, 100, 30000);
	fake_flush(f);
	ck_assert_uint_eq(ns_counters(f->ns)->output_failed, 1);
	fake_wait(f, 3000000);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 30100);
	ck_assert_uint_eq(f->sent_bytes, 30100);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(app_that_vanished_is_given_up)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	client_connect(&c);
	fake_write(f, f->t, pool, 30000, 0);
	fake_flush(f);
	fake_wait(f, 3600ull * 1000000);
	ck_assert_uint_eq(f->closes, 1);
	ck_assert_uint_eq(f->resets, 1);
	ck_assert_uint_eq(bufpool_in_use(pool), 0);
	fake_clear(f);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(kernel_that_takes_no_super_segments)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	struct client c;
	struct fake *f = fake_new(true);

	client_init(&c, f, _i ? 6 : 4, 40000);
	c.window = 1 << 20;
	client_connect(&c);
	f->output_error_gso = -EINVAL;
	fake_write(f, f->t, pool, 200000, 0);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 200000);
	ck_assert(pattern_is(c.rx, 200000, 0));
	ck_assert_uint_eq(c.supers, 0);
	ck_assert_uint_eq(ns_counters(f->ns)->gso_refused, 1);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

/* Cut here as a kernel cuts: PSH and FIN belong to the last segment only. */
START_TEST(only_the_last_segment_ends_a_super_segment)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	uint32_t packets = 0, fins = 0, pushes = 0, last = 0;
	struct fake_packet *o;
	struct client c;
	struct fake *f = fake_new(true);

	client_init(&c, f, _i ? 6 : 4, 40000);
	c.window = 1 << 20;
	client_connect(&c);
	f->output_error_gso = -EINVAL;
	fake_write(f, f->t, pool, 10000, 0);
	ns_tcp_fin(f->ns, f->t);
	fake_flush(f);
	while ((o = fake_peek(f))) {
		uint8_t flags = o->data[(_i ? 40 : 20) + 13];

		packets++;
		pushes += !!(flags & TH_PSH);
		fins += !!(flags & TH_FIN);
		if (flags & TH_FIN)
			last = packets;
		fake_drop(f);
	}
	ck_assert_uint_ge(packets, 8);
	ck_assert_uint_eq(fins, 1);
	ck_assert_uint_eq(last, packets);
	ck_assert_uint_le(pushes, 2);	/* of the last bytes, of the FIN */
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(smaller_mtu_behind_the_app)
{
	struct bufpool *pool = bufpool_new(16384, 1000);
	uint8_t icmp[128] = { 0 };
	struct client c;
	struct fake *f;
	size_t hlen = _i & 2 ? 40 : 20, n;

	start(_i, &f, &c);
	client_connect(&c);
	/* "too big" from a router, quoting a segment of ours */
	n = ip_header_write(icmp, &c.t.src, &c.t.dst, _i & 2 ? PROTO_ICMP6 : PROTO_ICMP, 64,
			    8 + hlen + 8);
	icmp[n] = _i & 2 ? 2 : 3;
	icmp[n + 1] = _i & 2 ? 0 : 4;
	put_be16(icmp + n + 6, 1280);
	ip_header_write(icmp + n + 8, &c.t.dst, &c.t.src, PROTO_TCP, 64, 20);
	put_be16(icmp + n + 8 + hlen, c.t.dst_port);
	put_be16(icmp + n + 10 + hlen, c.t.src_port);
	fake_input(f, icmp, n + 8 + hlen + 8);
	fake_write(f, f->t, pool, 20000, 0);
	fake_flush(f);
	if (f->vnet)
		ck_assert_uint_eq(fake_peek(f)->vnet[4] | fake_peek(f)->vnet[5] << 8,
				  1280 - hlen - 20);
	else
		ck_assert_uint_eq(fake_peek(f)->len, 1280);
	client_drain(&c);
	ck_assert_uint_eq(c.rx_len, 20000);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(bytes_that_nobody_reads_are_bounded)
{
	enum { FLOWS = 600 };
	static struct client c[FLOWS];
	struct ns_tcp *flows[FLOWS];
	struct fake *f = fake_new(false);
	uint64_t queued = 0;
	int i, n;

	for (i = 0; i < FLOWS; i++) {
		client_init(&c[i], f, 4, (uint16_t)(1000 + i));
		client_connect(&c[i]);
		flows[i] = f->t;
		client_send(&c[i], data, 1);	/* the large window is announced */
		fake_flush(f);
		client_pull(&c[i]);
	}
	for (i = 0; i < FLOWS; i++) {
		for (n = 0; n < 4; n++) {
			client_send(&c[i], data, 60000);
			fake_clear(f);
		}
		fake_flush(f);
		fake_clear(f);
		queued += ns_tcp_readable(flows[i]);
	}
	ck_assert_uint_le(queued, (128 << 20) + 60000);
	ck_assert_uint_gt(ns_counters(f->ns)->rx_over_budget, 0);
	ck_assert_uint_eq(ns_counters(f->ns)->no_buffer, 0);
	/* read a little: still far too much, the window stays shut */
	ns_tcp_read(f->ns, flows[0], read_back, 200000);
	fake_flush(f);
	fake_wait(f, 2000);
	for (; fake_peek(f); fake_drop(f))
		ck_assert_uint_ne(get_be16(fake_peek(f)->data + 22), 1000);
	/* read all: it opens, also of those that waited */
	for (i = 1; i < FLOWS; i++)
		ns_tcp_read(f->ns, flows[i], read_back, sizeof(read_back));
	fake_flush(f);
	fake_flush(f);
	for (n = 0; fake_peek(f); fake_drop(f))
		if (get_be16(fake_peek(f)->data + 22) == 1000)
			n++;
	ck_assert_int_gt(n, 0);
	fake_free(f);
}
END_TEST

START_TEST(idle_flows_are_on_no_timer)
{
	struct bufpool *pool = bufpool_new(16384, 100);
	struct client c;
	struct fake *f;

	start(_i, &f, &c);
	ck_assert_uint_eq(ns_timer(f->ns, f->now), UINT64_MAX);
	client_connect(&c);
	ck_assert_uint_eq(ns_timer(f->ns, f->now), UINT64_MAX);
	fake_write(f, f->t, pool, 10, 0);
	fake_flush(f);
	ck_assert_uint_ne(ns_timer(f->ns, f->now), UINT64_MAX);
	client_drain(&c);
	fake_wait(f, 2000000);
	ck_assert_uint_eq(ns_timer(f->ns, f->now), UINT64_MAX);
	client_free(&c);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

START_TEST(a_thousand_flows)
{
	struct bufpool *pool = bufpool_new(16384, 100);
	struct ns_tcp *flows[1000];
	struct client c[1000];
	struct fake *f = fake_new(_i);
	size_t before;
	int i;

	for (i = 0; i < 1000; i++) {
		client_init(&c[i], f, i & 1 ? 6 : 4, (uint16_t)(10000 + i));
		client_connect(&c[i]);
		flows[i] = f->t;
	}
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 1000);
	before = slab_in_use();
	ck_assert_uint_lt(before / 1000, 1000);	/* bytes of an idle flow */
	for (i = 999; i >= 0; i--) {
		client_send(&c[i], data, 100);
		ck_assert_ptr_eq(f->t, flows[i]);
		owner_read(f, f->t);
		fake_write(f, f->t, pool, 50, 0);
		client_drain(&c[i]);
		ck_assert_uint_eq(c[i].rx_len, 50);
	}
	ck_assert_uint_eq(slab_in_use(), before);
	for (i = 0; i < 1000; i++)
		client_free(&c[i]);
	fake_free(f);
	bufpool_free(pool);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tcp");
	TCase *c = tcase_create("tcp");

	tcase_set_timeout(c, 30);
	tcase_add_loop_test(c, handshake_tells_mss_scale_and_sack, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, bytes_go_up_and_are_acknowledged_once_a_batch, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, small_request_waits_for_its_answer_to_carry_the_ack, 0,
			    ENVIRONMENTS);
	tcase_add_loop_test(c, bytes_go_down_in_super_segments_and_are_counted, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, small_mss_of_the_app_is_respected, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, app_without_options_works, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, half_close_by_the_app, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, half_close_by_the_owner_and_time_wait, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, tombstone_goes_after_its_time, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, bytes_that_nobody_read_outlive_the_connection, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, reset_by_the_app, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, reset_by_the_owner, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, shut_window_of_the_app, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, app_that_never_answers_probes_is_given_up, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, shut_window_of_ours, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, segment_over_the_edge_of_the_window, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, segments_from_nowhere_change_nothing, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, bytes_behind_the_fin_are_none, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, segments_out_of_order_and_twice, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, lost_packets_are_sent_again, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, app_that_vanished_is_given_up, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, kernel_that_takes_no_super_segments, 0, 2);
	tcase_add_loop_test(c, only_the_last_segment_ends_a_super_segment, 0, 2);
	tcase_add_loop_test(c, smaller_mtu_behind_the_app, 0, ENVIRONMENTS);
	tcase_add_test(c, bytes_that_nobody_reads_are_bounded);
	tcase_add_loop_test(c, idle_flows_are_on_no_timer, 0, ENVIRONMENTS);
	tcase_add_loop_test(c, a_thousand_flows, 0, 2);
	suite_add_tcase(s, c);
	return suite_run(s);
}
