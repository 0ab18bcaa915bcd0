/* SPDX-License-Identifier: MIT */
/* test_syn.c - held SYNs, their refusals, resets for nobody, the flow table */
#include "fake_tun.h"

#include "netstack/internal.h"

static uint8_t copy[70000];

static struct fake *start(int family, struct client *c)
{
	struct fake *f = fake_new(false);

	client_init(c, f, family, 40000);
	f->refuse = 0;
	return f;
}

/* 00-overview's table: ICMP type and code by family; type 0 stands for RST */
static const struct {
	enum ns_refusal how;
	uint8_t type4, code4, type6, code6;
} table[] = {
	{ NS_REFUSE_RST, 0, 0, 0, 0 },
	{ NS_REFUSE_NET, 3, 0, 1, 0 },
	{ NS_REFUSE_HOST, 3, 1, 1, 3 },
	{ NS_REFUSE_DENIED, 3, 13, 1, 1 },
	{ NS_REFUSE_PORT, 0, 0, 0, 0 },
};

START_TEST(refusals_are_told_as_the_table_says)
{
	int row = _i / 2, family = _i & 1 ? 6 : 4;
	size_t hlen = family == 4 ? 20 : 40;
	uint8_t type = family == 4 ? table[row].type4 : table[row].type6;
	struct client c;
	struct fake *f = start(family, &c);
	struct tcp_view v;
	struct pkt p;

	client_syn(&c);
	fake_wait(f, 50000);
	ns_tcp_refuse(f->ns, f->t, table[row].how, f->now);
	ck_assert(fake_next(f, &p, copy));
	ck_assert(addr_equal(&p.src, &c.t.dst));
	ck_assert(addr_equal(&p.dst, &c.t.src));
	if (!type) {
		ck_assert(tcp_parse(&p, &v));
		ck_assert_uint_eq(v.flags, TH_RST | TH_ACK);
		ck_assert_uint_eq(v.ack, c.snd_nxt + 1);
	} else {
		const uint8_t *quote = p.l4 + 8;

		ck_assert_uint_eq(p.proto, family == 4 ? PROTO_ICMP : PROTO_ICMP6);
		ck_assert_uint_eq(p.l4[0], type);
		ck_assert_uint_eq(p.l4[1], family == 4 ? table[row].code4 : table[row].code6);
		ck_assert_uint_ge(p.l4_len, 8 + hlen + 8);
		ck_assert_uint_eq(quote[0] >> 4, family);
		ck_assert_uint_eq(quote[family == 4 ? 9 : 6], PROTO_TCP);
		ck_assert_mem_eq(quote + (family == 4 ? 12 : 8), c.t.src.bytes,
				 family == 4 ? 4 : 16);
		ck_assert_mem_eq(quote + (family == 4 ? 16 : 24), c.t.dst.bytes,
				 family == 4 ? 4 : 16);
		ck_assert_uint_eq(get_be16(quote + hlen), 40000);
		ck_assert_uint_eq(get_be16(quote + hlen + 2), 80);
		ck_assert_uint_eq(get_be32(quote + hlen + 4), c.snd_nxt);
	}
	ck_assert_uint_eq(fake_pending(f), 0);
	ck_assert_uint_eq(f->closes, 0);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 0);
	ck_assert_uint_eq(ns_counters(f->ns)->syn_held, 0);
	/* forgotten: the next SYN asks anew */
	client_syn(&c);
	ck_assert_uint_eq(f->syns, 2);
	fake_free(f);
}
END_TEST

START_TEST(an_error_known_at_once_waits_two_milliseconds)
{
	struct client c;
	struct fake *f = start(_i ? 6 : 4, &c);
	uint64_t next;

	f->refuse = NS_REFUSE_HOST + 1;
	client_syn(&c);
	fake_flush(f);
	ck_assert_uint_eq(fake_pending(f), 0);
	next = ns_timer(f->ns, f->now);
	ck_assert_uint_eq(next, f->now + 2000);
	/* the same SYN again is the same question */
	client_syn(&c);
	ck_assert_uint_eq(f->syns, 1);
	fake_wait(f, 1900);
	ck_assert_uint_eq(fake_pending(f), 0);
	fake_wait(f, 200);
	ck_assert_uint_eq(fake_pending(f), 1);
	ck_assert_uint_eq(ns_timer(f->ns, f->now), UINT64_MAX);
	fake_clear(f);
	/* a reset is heard at any time */
	f->refuse = NS_REFUSE_RST + 1;
	client_syn(&c);
	ck_assert_uint_eq(fake_pending(f), 1);
	/* an owner's hesitation counts */
	f->refuse = 0;
	fake_clear(f);
	client_syn(&c);
	fake_wait(f, 1500);
	ns_tcp_refuse(f->ns, f->t, NS_REFUSE_NET, f->now);
	ck_assert_uint_eq(ns_timer(f->ns, f->now), f->now + 500);
	fake_wait(f, 500);
	ck_assert_uint_eq(fake_pending(f), 1);
	fake_free(f);
}
END_TEST

START_TEST(the_app_takes_its_syn_back)
{
	struct client c;
	struct fake *f = start(_i ? 6 : 4, &c);

	client_syn(&c);
	client_segment(&c, TH_RST, c.snd_nxt + 77, 0, NULL, 0);
	ck_assert_uint_eq(f->closes, 0);
	client_segment(&c, TH_RST, c.snd_nxt + 1, 0, NULL, 0);
	ck_assert_uint_eq(f->closes, 1);
	ck_assert_uint_eq(f->resets, 1);
	ck_assert_uint_eq(ns_counters(f->ns)->syn_held, 0);
	/* another ISN: another connection */
	client_syn(&c);
	ck_assert_uint_eq(f->syns, 2);
	c.snd_nxt += 5000;
	client_syn(&c);
	ck_assert_uint_eq(f->syns, 3);
	ck_assert_uint_eq(f->closes, 2);
	ns_tcp_accept(f->ns, f->t, f->now);
	c.snd_nxt++;
	client_pull(&c);
	ck_assert(c.established);
	fake_free(f);
}
END_TEST

START_TEST(a_lost_syn_ack_is_repeated)
{
	struct client c;
	struct fake *f = start(_i ? 6 : 4, &c);

	f->refuse = -1;
	client_syn(&c);
	ck_assert_uint_eq(fake_pending(f), 1);
	fake_clear(f);
	client_syn(&c);				/* the app asks again */
	ck_assert_uint_eq(fake_pending(f), 1);
	fake_clear(f);
	fake_wait(f, 2500000);			/* or we do of ourselves */
	ck_assert_uint_ge(fake_pending(f), 1);
	c.snd_nxt++;
	client_pull(&c);
	ck_assert(c.established);
	client_send(&c, "x", 1);
	ck_assert_uint_eq(ns_tcp_readable(f->t), 1);
	ck_assert_uint_eq(f->syns, 1);
	fake_free(f);
}
END_TEST

START_TEST(a_handshake_that_nobody_ends_is_given_up)
{
	struct client c;
	struct fake *f = start(_i ? 6 : 4, &c);

	f->refuse = -1;
	client_syn(&c);
	fake_wait(f, 60000000);
	ck_assert_uint_eq(f->resets, 1);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 0);
	fake_clear(f);
	/* or begun anew meanwhile */
	client_syn(&c);
	c.snd_nxt += 999;
	client_syn(&c);
	ck_assert_uint_eq(f->syns, 3);
	ck_assert_uint_eq(f->resets, 2);
	fake_free(f);
}
END_TEST

START_TEST(segments_for_nobody_are_reset)
{
	struct client c;
	struct fake *f = start(_i ? 6 : 4, &c);
	struct tcp_view v;
	struct pkt p;
	int n;

	client_segment(&c, TH_ACK, 100, 200, "abc", 3);
	ck_assert(fake_next(f, &p, copy) && tcp_parse(&p, &v));
	ck_assert_uint_eq(v.flags, TH_RST);
	ck_assert_uint_eq(v.seq, 200);
	client_segment(&c, TH_FIN, 100, 0, "abc", 3);
	ck_assert(fake_next(f, &p, copy) && tcp_parse(&p, &v));
	ck_assert_uint_eq(v.flags, TH_RST | TH_ACK);
	ck_assert_uint_eq(v.ack, 104);
	client_segment(&c, TH_SYN | TH_ACK, 100, 200, NULL, 0);
	ck_assert(fake_next(f, &p, copy) && tcp_parse(&p, &v));
	ck_assert_uint_eq(v.flags, TH_RST);
	client_segment(&c, TH_RST, 100, 200, NULL, 0);
	ck_assert_uint_eq(fake_pending(f), 0);
	ck_assert_uint_eq(f->syns, 0);
	/* but not without end */
	for (n = 0; n < 5000; n++)
		client_segment(&c, TH_ACK, 100, 200, NULL, 0);
	ck_assert_uint_le(fake_pending(f), 1000);
	ck_assert_uint_eq(ns_counters(f->ns)->rst_no_flow, fake_pending(f) + 3);
	fake_clear(f);
	fake_wait(f, 1000000);
	client_segment(&c, TH_ACK, 100, 200, NULL, 0);
	ck_assert_uint_eq(fake_pending(f), 1);
	fake_free(f);
}
END_TEST

START_TEST(a_full_table_refuses_at_once)
{
	struct fake *f = fake_new_mtu(false, 3, FAKE_MTU);
	struct client c[4];
	int i;

	for (i = 0; i < 4; i++) {
		client_init(&c[i], f, 4, (uint16_t)(1000 + i));
		client_syn(&c[i]);
	}
	ck_assert_uint_eq(f->syns, 3);
	ck_assert_uint_eq(fake_pending(f), 4);
	ck_assert_uint_eq(fake_peek(f)->data[33], TH_SYN | TH_ACK);
	for (i = 0; i < 3; i++)
		fake_drop(f);
	ck_assert_uint_eq(fake_peek(f)->data[33], TH_RST | TH_ACK);
	fake_free(f);
}
END_TEST

START_TEST(flows_differ_in_each_part_of_the_tuple)
{
	struct ns_tuple base = fake_tuple(_i ? 6 : 4, 1, 2), other[4];
	struct fake *f = fake_new(false);
	struct client c;
	int i;

	for (i = 0; i < 4; i++)
		other[i] = base;
	other[0].src_port = 3;
	other[1].dst_port = 3;
	other[2].src.bytes[3]++;
	other[3].dst.bytes[3]++;
	client_init(&c, f, 4, 1);
	for (i = 0; i < 4; i++) {
		ck_assert_uint_ne(tuple_hash(f->ns, &base), tuple_hash(f->ns, &other[i]));
		c.t = other[i];
		client_syn(&c);
	}
	ck_assert_uint_eq(f->syns, 4);
	ck_assert_uint_eq(ns_counters(f->ns)->tcp_flows, 4);
	fake_free(f);
}
END_TEST

START_TEST(siphash_matches_its_paper)
{
	/* key 00..0f over 00 01 .. 07 and over 00 .. 0f: the reference vectors */
	uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	uint64_t words[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

	ck_assert_uint_eq(siphash24(key, words, 8), 0x93f5f5799a932462);
	ck_assert_uint_eq(siphash24(key, words, 16), 0x3f2acc7f57c29bdb);
}
END_TEST

START_TEST(initial_sequence_numbers_differ)
{
	struct fake *f = fake_new(false);
	uint32_t isn[2];
	struct client c;
	int i;

	for (i = 0; i < 2; i++) {
		client_init(&c, f, 4, (uint16_t)(1 + i));
		client_connect(&c);
		isn[i] = c.rcv_nxt;
	}
	ck_assert_uint_ne(isn[0], isn[1]);
	ck_assert_uint_gt(isn[0] - isn[1] + 1000, 2000);
	fake_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("syn");
	TCase *c = tcase_create("syn");

	tcase_add_loop_test(c, refusals_are_told_as_the_table_says, 0, 10);
	tcase_add_loop_test(c, an_error_known_at_once_waits_two_milliseconds, 0, 2);
	tcase_add_loop_test(c, the_app_takes_its_syn_back, 0, 2);
	tcase_add_loop_test(c, a_lost_syn_ack_is_repeated, 0, 2);
	tcase_add_loop_test(c, a_handshake_that_nobody_ends_is_given_up, 0, 2);
	tcase_add_loop_test(c, segments_for_nobody_are_reset, 0, 2);
	tcase_add_test(c, a_full_table_refuses_at_once);
	tcase_add_loop_test(c, flows_differ_in_each_part_of_the_tuple, 0, 2);
	tcase_add_test(c, siphash_matches_its_paper);
	tcase_add_test(c, initial_sequence_numbers_differ);
	suite_add_tcase(s, c);
	return suite_run(s);
}
