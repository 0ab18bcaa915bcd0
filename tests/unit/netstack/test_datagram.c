/* SPDX-License-Identifier: MIT */
/* test_datagram.c - UDP, ICMP echo and errors, other protocols, fragments */
#include "fake_tun.h"

static uint8_t packet[70000], copy[70000], payload[65536];

static size_t header_len(int family)
{
	return family == 4 ? 20 : 40;
}

/* An IP packet around @len bytes of @proto.  Return: its length */
static size_t ip_build(const struct ns_tuple *t, uint8_t proto, const void *l4, size_t len)
{
	size_t n = ip_header_write(packet, &t->src, &t->dst, proto, 64, len);

	memcpy(packet + n, l4, len);
	return n + len;
}

static size_t udp_build(const struct ns_tuple *t, size_t len)
{
	static uint8_t l4[66000];

	put_be16(l4, t->src_port);
	put_be16(l4 + 2, t->dst_port);
	put_be16(l4 + 4, (uint16_t)(8 + len));
	put_be16(l4 + 6, 0);
	memcpy(l4 + 8, payload, len);
	return ip_build(t, PROTO_UDP, l4, 8 + len);
}

START_TEST(udp_in)
{
	int family = _i & 1 ? 6 : 4;
	struct ns_tuple t = fake_tuple(family, 5000, 53);
	struct fake *f = fake_new(_i & 2);
	size_t sizes[] = { 0, 1, 1372 }, i;

	pattern_fill(payload, 2000, 0);
	for (i = 0; i < 3; i++) {
		fake_input(f, packet, udp_build(&t, sizes[i]));
		ck_assert_uint_eq(f->udps, i + 1);
		ck_assert_uint_eq(f->udp_len, sizes[i]);
		ck_assert_uint_eq(f->udp_segment, 0);
		ck_assert(pattern_is(f->udp_data, sizes[i], 0));
		ck_assert_mem_eq(&f->tuple, &t, sizeof(t));
	}
	fake_free(f);
}
END_TEST

START_TEST(udp_batch_in)
{
	struct ns_tuple t = fake_tuple(_i ? 6 : 4, 5000, 443);
	uint8_t vnet[10] = { 1, 5 };
	struct fake *f = fake_new(true);

	pattern_fill(payload, 30500, 0);
	vnet[4] = 1000 & 0xff;
	vnet[5] = 1000 >> 8;
	fake_input_vnet(f, vnet, packet, udp_build(&t, 30500));
	ck_assert_uint_eq(f->udps, 1);
	ck_assert_uint_eq(f->udp_len, 30500);
	ck_assert_uint_eq(f->udp_segment, 1000);
	ck_assert(pattern_is(f->udp_data, 30500, 0));
	/* a batch of one is a datagram */
	fake_input_vnet(f, vnet, packet, udp_build(&t, 900));
	ck_assert_uint_eq(f->udp_segment, 0);
	/* a batch without a size is none */
	vnet[4] = vnet[5] = 0;
	fake_input_vnet(f, vnet, packet, udp_build(&t, 900));
	ck_assert_uint_eq(f->udps, 2);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 1);
	fake_free(f);
}
END_TEST

START_TEST(udp_out)
{
	int family = _i & 1 ? 6 : 4;
	struct ns_tuple t = fake_tuple(family, 5000, 53);
	struct fake *f = fake_new(_i & 2);
	size_t sizes[] = { 0, 1, 1000, 1352 }, i;
	struct udp_view u;
	struct pkt p;

	pattern_fill(payload, 2000, 0);
	for (i = 0; i < 4; i++) {
		ck_assert_int_eq(ns_udp_send(f->ns, &t, payload, sizes[i], 0), 0);
		ck_assert_uint_eq(fake_pending(f), 1);
		ck_assert(fake_next(f, &p, copy));
		ck_assert(udp_parse(&p, &u, false));
		ck_assert(addr_equal(&p.src, &t.dst) && addr_equal(&p.dst, &t.src));
		ck_assert_uint_eq(u.src, 53);
		ck_assert_uint_eq(u.dst, 5000);
		ck_assert_uint_eq(u.len, sizes[i]);
		ck_assert(pattern_is(u.payload, sizes[i], 0));
	}
	ck_assert_int_eq(ns_udp_send(f->ns, &t, payload, 65528, 0), -EMSGSIZE);
	fake_free(f);
}
END_TEST

/* 0 says that there is no checksum: a sum that comes to it is sent as 0xffff. */
START_TEST(udp_checksum_is_never_zero)
{
	struct ns_tuple t = fake_tuple(_i ? 6 : 4, 5000, 53);
	struct fake *f = fake_new(false);
	size_t at = (_i ? 40 : 20) + 6;
	uint16_t sum;

	put_be16(payload, 0);
	ck_assert_int_eq(ns_udp_send(f->ns, &t, payload, 2, 0), 0);
	sum = get_be16(fake_peek(f)->data + at);
	fake_drop(f);
	put_be16(payload, sum);		/* what is missing to all ones */
	ck_assert_int_eq(ns_udp_send(f->ns, &t, payload, 2, 0), 0);
	ck_assert_uint_eq(get_be16(fake_peek(f)->data + at), 0xffff);
	fake_drop(f);
	fake_free(f);
}
END_TEST

START_TEST(udp_batch_out)
{
	int family = _i & 1 ? 6 : 4;
	bool vnet = _i & 2, refuse = _i & 4;
	struct ns_tuple t = fake_tuple(family, 5000, 443);
	struct fake *f = fake_new(vnet);
	struct udp_view u;
	size_t got = 0;
	struct pkt p;

	if (refuse)
		f->output_error_gso = -EINVAL;
	pattern_fill(payload, 65000, 0);
	ck_assert_int_eq(ns_udp_send(f->ns, &t, payload, 65000, 1000), 0);
	if (vnet && !refuse) {
		ck_assert_uint_eq(fake_pending(f), 2);	/* 64 and 1 */
		ck_assert_uint_eq(fake_peek(f)->vnet[1], 5);
		ck_assert_uint_eq(fake_peek(f)->vnet[4] | fake_peek(f)->vnet[5] << 8, 1000);
	} else {
		ck_assert_uint_eq(fake_pending(f), 65);
	}
	while (fake_next(f, &p, copy)) {
		ck_assert(udp_parse(&p, &u, false));
		ck_assert(pattern_is(u.payload, u.len, got));
		got += u.len;
	}
	ck_assert_uint_eq(got, 65000);
	fake_free(f);
}
END_TEST

START_TEST(udp_fragments_both_ways)
{
	int family = _i & 1 ? 6 : 4;
	struct ns_tuple t = fake_tuple(family, 5000, 53), back;
	struct fake *f = fake_new(_i & 2);
	struct fake *g = fake_new(_i & 2);
	size_t sizes[] = { 1373, 1400, 8000, 65507 }, i;
	uint32_t order, n;

	/* what one stack cuts, another puts together, in any order */
	back = t;
	back.src = t.dst;
	back.dst = t.src;
	back.src_port = 53;
	back.dst_port = 5000;
	pattern_fill(payload, 65535, 3);
	for (i = 0; i < 4; i++) {
		for (order = 0; order < 2; order++) {
			ck_assert_int_eq(ns_udp_send(f->ns, &t, payload, sizes[i], 0), 0);
			n = fake_pending(f);
			ck_assert_uint_ge(n, 2);
			g->udps = 0;
			while (n--) {
				uint32_t at = order ? f->head + n : f->head;
				struct fake_packet *o = &f->out[at % FAKE_OUT_MAX];

				ck_assert_uint_le(o->len, FAKE_MTU);
				fake_input(g, o->data, o->len);
				if (!order)
					fake_drop(f);
			}
			fake_clear(f);
			ck_assert_uint_eq(g->udps, 1);
			ck_assert_uint_eq(g->udp_len, sizes[i]);
			ck_assert(pattern_is(g->udp_data, sizes[i], 3));
			ck_assert_mem_eq(&g->tuple, &back, sizeof(back));
		}
	}
	ck_assert_uint_eq(ns_counters(g->ns)->reassembled, 8);
	ck_assert_uint_eq(ns_counters(g->ns)->frag_dropped, 0);
	ck_assert_uint_eq(ns_timer(g->ns, g->now), UINT64_MAX);
	ns_free(g->ns);
	fake_clear(g);
	free(g);
	fake_free(f);
}
END_TEST

/* The checksum of 1,600 bytes that come as two fragments of 800. */
static uint16_t halves_sum(const struct ns_tuple *t)
{
	uint64_t sum = csum_pseudo(&t->src, &t->dst, PROTO_UDP, 1600) + 1 + 2 + 1600;

	/* zeros, then 100 in each byte */
	return (uint16_t)~csum_fold(sum + 400 * (100 << 8 | 100));
}

/* A fragment of a datagram of the test's own making.  Return: bytes of packet */
static size_t fragment_build(int family, uint32_t id, size_t off, size_t len, bool more)
{
	struct ns_tuple t = fake_tuple(family, 1, 2);
	size_t n;

	if (family == 4) {
		n = ip_header_write(packet, &t.src, &t.dst, PROTO_UDP, 64, len);
		put_be16(packet + 4, (uint16_t)id);
		put_be16(packet + 6, (uint16_t)((more ? 0x2000 : 0) | off / 8));
	} else {
		n = ip_header_write(packet, &t.src, &t.dst, PROTO_FRAGMENT, 64, 8 + len);
		packet[n] = PROTO_UDP;
		packet[n + 1] = 0;
		put_be16(packet + n + 2, (uint16_t)(off | (more ? 1 : 0)));
		put_be32(packet + n + 4, id);
		n += 8;
	}
	memset(packet + n, (int)(off / 8), len);
	if (!off) {
		put_be16(packet + n, 1);
		put_be16(packet + n + 2, 2);
		put_be16(packet + n + 4, 1600);
		put_be16(packet + n + 6, halves_sum(&t));
	}
	return n + len;
}

static void fragment_input(struct fake *f, int family, uint32_t id, size_t off, size_t len,
			   bool more)
{
	fake_input(f, packet, fragment_build(family, id, off, len, more));
}

START_TEST(fragments_that_overlap_drop_the_datagram)
{
	int family = _i ? 6 : 4;
	struct fake *f = fake_new(false);

	/* a repetition is none */
	fragment_input(f, family, 1, 0, 800, true);
	fragment_input(f, family, 1, 0, 800, true);
	fragment_input(f, family, 1, 800, 800, false);
	ck_assert_uint_eq(f->udps, 1);
	/* an overlap by eight bytes; what comes later is swallowed */
	fragment_input(f, family, 2, 0, 808, true);
	fragment_input(f, family, 2, 800, 800, false);
	fragment_input(f, family, 2, 808, 792, false);
	ck_assert_uint_eq(f->udps, 1);
	ck_assert_uint_eq(ns_counters(f->ns)->frag_dropped, 1);
	/* two ends; bytes behind the end */
	fragment_input(f, family, 3, 800, 800, false);
	fragment_input(f, family, 3, 1600, 800, false);
	ck_assert_uint_eq(ns_counters(f->ns)->frag_dropped, 2);
	fragment_input(f, family, 4, 800, 800, false);
	fragment_input(f, family, 4, 1600, 800, true);
	ck_assert_uint_eq(ns_counters(f->ns)->frag_dropped, 3);
	/* covers a part from both sides */
	fragment_input(f, family, 5, 800, 80, true);
	fragment_input(f, family, 5, 720, 800, true);
	ck_assert_uint_eq(ns_counters(f->ns)->frag_dropped, 4);
	/* the end before bytes that are here already */
	fragment_input(f, family, 6, 1600, 800, true);
	fragment_input(f, family, 6, 8, 800, false);
	ck_assert_uint_eq(ns_counters(f->ns)->frag_dropped, 5);
	ck_assert_uint_eq(f->udps, 1);
	fake_free(f);
}
END_TEST

/* The same identification from two hosts, or to two: two datagrams. */
START_TEST(fragments_of_strangers_do_not_mix)
{
	struct fake *f = fake_new(false);
	size_t at = _i & 1 ? (_i & 2 ? 39 : 19) : (_i & 2 ? 23 : 15);
	int family = _i & 2 ? 6 : 4;
	size_t len;

	fragment_input(f, family, 1, 0, 800, true);
	/* the rest, from or to a neighbour: the last byte of that address differs */
	len = fragment_build(family, 1, 800, 800, false);
	packet[at] ^= 3;
	if (family == 4)
		ip4_header_checksum(packet);
	fake_input(f, packet, len);
	ck_assert_uint_eq(f->udps, 0);
	fragment_input(f, family, 1, 800, 800, false);
	ck_assert_uint_eq(f->udps, 1);
	fake_free(f);
}
END_TEST

START_TEST(fragments_are_bounded_in_number_bytes_and_time)
{
	int family = _i ? 6 : 4, i;
	struct fake *f = fake_new(false);

	for (i = 0; i < 100; i++)
		fragment_input(f, family, (uint32_t)i, 0, 800, true);
	ck_assert_uint_eq(ns_counters(f->ns)->frag_dropped, 36);
	fragment_input(f, family, 99, 800, 800, false);	/* the young ones live */
	ck_assert_uint_eq(f->udps, 1);
	fake_wait(f, 31000000);
	ck_assert_uint_eq(ns_counters(f->ns)->frag_dropped, 99);
	ck_assert_uint_eq(ns_timer(f->ns, f->now), UINT64_MAX);
	for (i = 0; i < 60; i++)
		fragment_input(f, family, (uint32_t)i, 0, 16000, true);
	ck_assert_uint_lt(slab_in_use(), 300000);
	fake_free(f);
}
END_TEST

START_TEST(a_datagram_that_comes_too_late_is_told)
{
	int family = _i ? 6 : 4;
	struct fake *f = fake_new(false);
	struct pkt p;

	fragment_input(f, family, 1, 0, 800, true);
	fragment_input(f, family, 2, 800, 800, false);	/* without the first part */
	fragment_input(f, family, 3, 0, 808, true);	/* and one that overlaps */
	fragment_input(f, family, 3, 800, 800, false);
	fake_wait(f, 29000000);
	ck_assert_uint_eq(fake_pending(f), 0);
	fake_wait(f, 2000000);
	ck_assert_uint_eq(fake_pending(f), 1);
	ck_assert(fake_next(f, &p, copy));
	ck_assert_uint_eq(p.l4[0], family == 4 ? 11 : 3);
	ck_assert_uint_eq(p.l4[1], 1);
	/* the ports are where its kernel looks for them */
	ck_assert_uint_eq(get_be32(p.l4 + 8 + header_len(family)), 1 << 16 | 2);
	fake_free(f);
}
END_TEST

START_TEST(fragments_of_the_wrong_length_are_told)
{
	struct fake *f = fake_new(false);
	struct pkt p;

	/* IPv4 has no word for it */
	fragment_input(f, 4, 1, 0, 801, true);
	fragment_input(f, 4, 1, 65528, 800, false);
	ck_assert_uint_eq(fake_pending(f), 0);
	fragment_input(f, 6, 1, 0, 801, true);
	ck_assert(fake_next(f, &p, copy));
	ck_assert_uint_eq(p.l4[0] << 8 | p.l4[1], 4 << 8 | 0);
	ck_assert_uint_eq(get_be32(p.l4 + 4), 4);
	fragment_input(f, 6, 1, 65528, 800, false);
	ck_assert(fake_next(f, &p, copy));
	ck_assert_uint_eq(p.l4[0] << 8 | p.l4[1], 4 << 8 | 0);
	ck_assert_uint_eq(get_be32(p.l4 + 4), 42);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 4);
	fake_free(f);
}
END_TEST

START_TEST(echo_both_ways)
{
	int family = _i & 1 ? 6 : 4;
	struct ns_tuple t = fake_tuple(family, 777, 0);
	struct fake *f = fake_new(_i & 2);
	uint8_t l4[100] = { family == 4 ? 8 : 128 };
	struct pkt p;
	size_t got;

	put_be16(l4 + 4, 777);
	put_be16(l4 + 6, 9);
	pattern_fill(l4 + 8, 92, 0);
	fake_input(f, packet, ip_build(&t, family == 4 ? PROTO_ICMP : PROTO_ICMP6, l4, 100));
	ck_assert_uint_eq(f->echoes, 1);
	ck_assert_uint_eq(f->echo_seq, 9);
	ck_assert_uint_eq(f->udp_len, 92);
	ck_assert_mem_eq(&f->tuple, &t, sizeof(t));

	ck_assert_int_eq(ns_echo_reply(f->ns, &t, 9, l4 + 8, 92), 0);
	ck_assert(fake_next(f, &p, copy));
	ck_assert(addr_equal(&p.src, &t.dst) && addr_equal(&p.dst, &t.src));
	ck_assert_uint_eq(p.l4[0], family == 4 ? 0 : 129);
	ck_assert_uint_eq(get_be16(p.l4 + 4), 777);
	ck_assert_uint_eq(get_be16(p.l4 + 6), 9);
	ck_assert_uint_eq(p.l4_len, 100);
	ck_assert(pattern_is(p.l4 + 8, 92, 0));
	/* a large one in fragments */
	ck_assert_int_eq(ns_echo_reply(f->ns, &t, 10, payload, 5000), 0);
	for (got = 0; fake_next(f, &p, copy); got += p.l4_len)
		ck_assert(p.fragment);
	ck_assert_uint_eq(got, 5008);
	/* replies and errors of the app are nobody's */
	l4[0] = family == 4 ? 0 : 129;
	fake_input(f, packet, ip_build(&t, family == 4 ? PROTO_ICMP : PROTO_ICMP6, l4, 100));
	l4[0] = family == 4 ? 3 : 1;
	fake_input(f, packet, ip_build(&t, family == 4 ? PROTO_ICMP : PROTO_ICMP6, l4, 100));
	ck_assert_uint_eq(f->echoes, 1);
	ck_assert_uint_eq(fake_pending(f), 0);
	fake_free(f);
}
END_TEST

START_TEST(errors_to_the_app)
{
	int family = _i & 1 ? 6 : 4, n;
	struct ns_tuple t = fake_tuple(family, 5000, 53);
	struct fake *f = fake_new(_i & 2);
	size_t hlen = header_len(family);
	struct pkt p;

	ns_icmp_error(f->ns, &t, PROTO_UDP, NS_REFUSE_PORT);
	ck_assert(fake_next(f, &p, copy));
	ck_assert(addr_equal(&p.src, &t.dst) && addr_equal(&p.dst, &t.src));
	ck_assert_uint_eq(p.l4[0], family == 4 ? 3 : 1);
	ck_assert_uint_eq(p.l4[1], family == 4 ? 3 : 4);
	ck_assert_uint_eq(get_be16(p.l4 + 8 + hlen), 5000);
	ck_assert_uint_eq(get_be16(p.l4 + 8 + hlen + 2), 53);

	ns_icmp_error_raw(f->ns, &t, PROTO_UDP, family == 4 ? 3 : 2, family == 4 ? 4 : 0, 1300);
	ck_assert(fake_next(f, &p, copy));
	ck_assert_uint_eq(get_be32(p.l4 + 4), 1300);
	/* only errors may come from outside */
	ns_icmp_error_raw(f->ns, &t, PROTO_UDP, family == 4 ? 5 : 137, 0, 0);
	ck_assert_uint_eq(fake_pending(f), 0);

	ns_icmp_error(f->ns, &t, family == 4 ? PROTO_ICMP : PROTO_ICMP6, NS_REFUSE_DENIED);
	ck_assert(fake_next(f, &p, copy));
	ck_assert_uint_eq(p.l4[8 + hlen], family == 4 ? 8 : 128);
	ck_assert_uint_eq(get_be16(p.l4 + 8 + hlen + 4), 5000);

	for (n = 0; n < 500; n++)
		ns_icmp_error(f->ns, &t, PROTO_UDP, NS_REFUSE_PORT);
	ck_assert_uint_le(fake_pending(f), 100);
	ck_assert_uint_ge(ns_counters(f->ns)->icmp_limited, 400);
	fake_free(f);
}
END_TEST

START_TEST(other_protocols_are_answered)
{
	struct fake *f = fake_new(_i & 2);
	int family = _i & 1 ? 6 : 4;
	struct ns_tuple t = fake_tuple(family, 0, 0);
	uint8_t l4[64] = { 0 };
	struct pkt p;
	size_t n = ip_build(&t, 132, l4, 40);	/* SCTP */

	fake_input(f, packet, n);
	ck_assert_uint_eq(ns_counters(f->ns)->other_proto, 1);
	ck_assert(fake_next(f, &p, copy));
	ck_assert_uint_eq(p.l4[0], family == 4 ? 3 : 4);
	ck_assert_uint_eq(p.l4[1], family == 4 ? 2 : 1);
	ck_assert_uint_eq(get_be32(p.l4 + 4), family == 4 ? 0 : 6);
	ck_assert_mem_eq(p.l4 + 8, packet, n);
	/* the other family's ICMP too */
	fake_input(f, packet, ip_build(&t, family == 4 ? PROTO_ICMP6 : PROTO_ICMP, l4, 40));
	ck_assert_uint_eq(ns_counters(f->ns)->other_proto, 2);
	fake_clear(f);
	/* nothing at all needs no answer */
	if (family == 6) {
		fake_input(f, packet, ip_build(&t, PROTO_NONE, l4, 8));
		ck_assert_uint_eq(fake_pending(f), 0);
	}
	fake_free(f);
}
END_TEST

START_TEST(the_last_hop_is_told)
{
	int family = _i ? 6 : 4;
	struct ns_tuple t = fake_tuple(family, 5000, 33434);
	struct fake *f = fake_new(false);
	struct pkt p;
	size_t n = udp_build(&t, 32);

	packet[family == 4 ? 8 : 7] = 1;
	fake_input(f, packet, n);
	ck_assert_uint_eq(f->udps, 0);
	ck_assert(fake_next(f, &p, copy));
	ck_assert_uint_eq(p.l4[0], family == 4 ? 11 : 3);
	ck_assert_uint_eq(p.l4[1], 0);
	fake_free(f);
}
END_TEST

START_TEST(errors_are_no_matter_for_errors)
{
	static const uint8_t types4[] = { 3, 4, 5, 11, 12 }, types6[] = { 1, 2, 3, 4, 100, 137 };
	int family = _i ? 6 : 4;
	struct ns_tuple t = fake_tuple(family, 0, 0);
	struct fake *f = fake_new(false);
	uint8_t l4[64] = { 0 }, proto = family == 4 ? PROTO_ICMP : PROTO_ICMP6;
	size_t n, i;

	for (i = 0; i < (family == 4 ? sizeof(types4) : sizeof(types6)); i++) {
		l4[0] = family == 4 ? types4[i] : types6[i];
		n = ip_build(&t, proto, l4, 64);
		packet[family == 4 ? 8 : 7] = 1;
		fake_input(f, packet, n);
		ck_assert_uint_eq(fake_pending(f), 0);
	}
	l4[0] = family == 4 ? 8 : 128;
	n = ip_build(&t, proto, l4, 64);
	packet[family == 4 ? 8 : 7] = 1;
	fake_input(f, packet, n);
	ck_assert_uint_eq(fake_pending(f), 1);
	fake_free(f);
}
END_TEST

START_TEST(multicast_and_broadcast_are_dropped)
{
	struct fake *f = fake_new(false);
	struct ns_tuple t = fake_tuple(4, 5000, 53);
	const char *to4[] = { "224.0.0.251", "239.255.255.250", "255.255.255.255" };
	const char *to6[] = { "ff02::1", "ff05::2" };
	int i;

	for (i = 0; i < 3; i++) {
		t.dst = fake_addr(to4[i]);
		fake_input(f, packet, udp_build(&t, 10));
	}
	t = fake_tuple(6, 5000, 53);
	for (i = 0; i < 2; i++) {
		t.dst = fake_addr(to6[i]);
		fake_input(f, packet, udp_build(&t, 10));
	}
	ck_assert_uint_eq(f->udps, 0);
	ck_assert_uint_eq(fake_pending(f), 0);
	ck_assert_uint_eq(ns_counters(f->ns)->dropped_multicast, 5);
	fake_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("datagram");
	TCase *c = tcase_create("datagram");

	tcase_add_loop_test(c, udp_in, 0, 4);
	tcase_add_loop_test(c, udp_batch_in, 0, 2);
	tcase_add_loop_test(c, udp_out, 0, 4);
	tcase_add_loop_test(c, udp_checksum_is_never_zero, 0, 2);
	tcase_add_loop_test(c, udp_batch_out, 0, 8);
	tcase_add_loop_test(c, udp_fragments_both_ways, 0, 4);
	tcase_add_loop_test(c, fragments_that_overlap_drop_the_datagram, 0, 2);
	tcase_add_loop_test(c, fragments_of_strangers_do_not_mix, 0, 4);
	tcase_add_loop_test(c, fragments_are_bounded_in_number_bytes_and_time, 0, 2);
	tcase_add_loop_test(c, a_datagram_that_comes_too_late_is_told, 0, 2);
	tcase_add_test(c, fragments_of_the_wrong_length_are_told);
	tcase_add_loop_test(c, echo_both_ways, 0, 4);
	tcase_add_loop_test(c, errors_to_the_app, 0, 4);
	tcase_add_loop_test(c, other_protocols_are_answered, 0, 4);
	tcase_add_loop_test(c, the_last_hop_is_told, 0, 2);
	tcase_add_loop_test(c, errors_are_no_matter_for_errors, 0, 2);
	tcase_add_test(c, multicast_and_broadcast_are_dropped);
	suite_add_tcase(s, c);
	return suite_run(s);
}
