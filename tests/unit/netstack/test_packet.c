/* SPDX-License-Identifier: MIT */
/* test_packet.c - packets that are not what they say, and checksums */
#include "fake_tun.h"

/* One malformed packet: a good one of @kind with bytes changed or cut. */
enum kind { UDP4, UDP6, TCP4, TCP6, EXT6, OPT4, ICMP4, ICMP6, MAP6 };

struct edit {
	int at;					/* offset, -1: none */
	uint8_t value;
};

struct bad {
	const char *what;
	enum kind kind;
	struct edit edit[3];
	int len;				/* 0: as it is; else cut or keep to this */
};

#define NONE	{ -1, 0 }

/* offsets: IPv4 0..19, UDP/TCP at 20 (OPT4: options at 20, UDP at 28); IPv6 0..39,
 * transport at 40 (EXT6: hop-by-hop at 40, destination options at 48) */
static const struct bad bad[] = {
	{ "version 0", UDP4, { { 0, 0x05 }, NONE, NONE }, 0 },
	{ "version 5", UDP4, { { 0, 0x55 }, NONE, NONE }, 0 },
	{ "version 15", UDP6, { { 0, 0xf0 }, NONE, NONE }, 0 },
	{ "one byte", UDP4, { NONE, NONE, NONE }, 1 },
	{ "19 bytes of IPv4", UDP4, { NONE, NONE, NONE }, 19 },
	{ "header length 0", UDP4, { { 0, 0x40 }, NONE, NONE }, 0 },
	{ "header length 16", UDP4, { { 0, 0x44 }, NONE, NONE }, 0 },
	{ "header longer than the packet", UDP4, { { 0, 0x4f }, NONE, NONE }, 0 },
	{ "total length 0", UDP4, { { 2, 0 }, { 3, 0 }, NONE }, 0 },
	{ "total length below the header", UDP4, { { 2, 0 }, { 3, 19 }, NONE }, 0 },
	{ "total length beyond the packet", UDP4, { { 2, 0xff }, NONE, NONE }, 0 },
	{ "packet cut", UDP4, { NONE, NONE, NONE }, 35 },
	{ "IPv4 option of length 0", OPT4, { { 20, 7 }, { 21, 0 }, NONE }, 0 },
	{ "IPv4 option of length 1", OPT4, { { 20, 7 }, { 21, 1 }, NONE }, 0 },
	{ "IPv4 option beyond the header", OPT4, { { 22, 7 }, { 23, 7 }, NONE }, 0 },
	{ "IPv4 option without a length", OPT4, { { 27, 7 }, NONE, NONE }, 0 },
	{ "loose source route", OPT4, { { 20, 131 }, { 21, 7 }, { 22, 4 } }, 0 },
	{ "strict source route", OPT4, { { 20, 137 }, { 21, 7 }, { 22, 4 } }, 0 },
	{ "no UDP header", UDP4, { { 2, 0 }, { 3, 20 }, NONE }, 0 },
	{ "half a UDP header", UDP4, { { 2, 0 }, { 3, 24 }, NONE }, 0 },
	{ "UDP length 0", UDP4, { { 24, 0 }, { 25, 0 }, NONE }, 0 },
	{ "UDP length 7", UDP4, { { 24, 0 }, { 25, 7 }, NONE }, 0 },
	{ "UDP length beyond the packet", UDP4, { { 24, 1 }, NONE, NONE }, 0 },
	{ "UDP to port 0", UDP4, { { 22, 0 }, { 23, 0 }, NONE }, 0 },
	{ "from 0.0.0.0", UDP4, { { 12, 0 }, { 13, 0 }, { 15, 0 } }, 0 },
	{ "from loopback", UDP4, { { 12, 127 }, NONE, NONE }, 0 },
	{ "from multicast", UDP4, { { 12, 224 }, NONE, NONE }, 0 },
	{ "to loopback", UDP4, { { 16, 127 }, NONE, NONE }, 0 },
	{ "to itself", UDP4, { { 17, 9 }, { 19, 1 }, NONE }, 0 },
	{ "39 bytes of IPv6", UDP6, { NONE, NONE, NONE }, 39 },
	{ "payload length 0", UDP6, { { 4, 0 }, { 5, 0 }, NONE }, 0 },
	{ "payload length beyond the packet", UDP6, { { 4, 0xff }, NONE, NONE }, 0 },
	{ "IPv6 packet cut", UDP6, { NONE, NONE, NONE }, 50 },
	{ "IPv6 UDP length beyond", UDP6, { { 44, 1 }, NONE, NONE }, 0 },
	{ "IPv6 from multicast", UDP6, { { 8, 0xff }, NONE, NONE }, 0 },
	{ "TCP cut in its header", TCP4, { { 2, 0 }, { 3, 39 }, NONE }, 0 },
	{ "TCP data offset 0", TCP4, { { 32, 0x00 }, NONE, NONE }, 0 },
	{ "TCP data offset 4", TCP4, { { 32, 0x40 }, NONE, NONE }, 0 },
	{ "TCP data offset beyond", TCP4, { { 32, 0xf0 }, NONE, NONE }, 0 },
	{ "TCP from port 0", TCP4, { { 20, 0 }, { 21, 0 }, NONE }, 0 },
	{ "TCP to port 0", TCP4, { { 22, 0 }, { 23, 0 }, NONE }, 0 },
	{ "TCP without flags", TCP4, { { 33, 0 }, NONE, NONE }, 0 },
	{ "TCP SYN with FIN", TCP4, { { 33, 0x03 }, NONE, NONE }, 0 },
	{ "TCP SYN with RST", TCP4, { { 33, 0x06 }, NONE, NONE }, 0 },
	{ "TCP option of length 0", TCP4, { { 41, 0 }, NONE, NONE }, 0 },
	{ "TCP option of length 1", TCP4, { { 41, 1 }, NONE, NONE }, 0 },
	{ "TCP option beyond the header", TCP4, { { 41, 9 }, NONE, NONE }, 0 },
	{ "TCP option without a length", TCP4, { { 40, 1 }, { 41, 1 }, { 43, 8 } }, 0 },
	{ "IPv6 TCP data offset beyond", TCP6, { { 52, 0xf0 }, NONE, NONE }, 0 },
	{ "extension header beyond the packet", EXT6, { { 41, 40 }, NONE, NONE }, 0 },
	{ "IPv6 option beyond its header", EXT6, { { 42, 1 }, { 43, 5 }, NONE }, 0 },
	{ "IPv6 option without a length", EXT6, { { 47, 5 }, NONE, NONE }, 0 },
	{ "IPv6 option that says: drop me", EXT6, { { 42, 0x41 }, { 43, 2 }, NONE }, 0 },
	{ "from an IPv4-mapped address", MAP6, { { 24, 0xfd }, NONE, NONE }, 0 },
	{ "to an IPv4-mapped address", MAP6, { { 8, 0xfd }, NONE, NONE }, 0 },
	{ "two fragment headers", EXT6, { { 6, 44 }, { 40, 44 }, NONE }, 0 },
	{ "extension headers without end", EXT6, { { 40, 60 }, { 48, 60 }, NONE }, 0 },
};

static size_t good(enum kind kind, uint8_t *p)
{
	bool v4 = kind == UDP4 || kind == TCP4 || kind == OPT4 || kind == ICMP4;
	struct ns_tuple t = fake_tuple(v4 ? 4 : 6, 1111, 2222);
	bool tcp = kind == TCP4 || kind == TCP6, icmp = kind == ICMP4 || kind == ICMP6;
	size_t ext = kind == EXT6 ? 16 : kind == OPT4 ? 8 : 0, l4 = tcp ? 24 : 28, n;
	uint8_t proto = tcp ? PROTO_TCP : !icmp ? PROTO_UDP : v4 ? PROTO_ICMP : PROTO_ICMP6;

	memset(p, 0, 256);
	if (kind == MAP6)			/* both; a test leaves one of them */
		memcpy(t.src.bytes, (uint8_t[16]){ [10] = 0xff, 0xff, 10, 9, 0, 1 }, 16),
		memcpy(t.dst.bytes, (uint8_t[16]){ [10] = 0xff, 0xff, 10, 8, 0, 9 }, 16);
	n = ip_header_write(p, &t.src, &t.dst, proto, 64, ext + l4);
	if (kind == OPT4) {			/* eight times "no operation" */
		p[0] = 0x47;
		memset(p + n, 1, ext);
		n += ext;
		ext = 0;
	}
	if (ext) {				/* hop-by-hop, then destination options */
		p[6] = PROTO_HOPOPTS;
		p[n] = PROTO_DSTOPTS;
		p[n + 8] = PROTO_UDP;
		n += 16;
	}
	if (icmp) {
		p[n] = v4 ? 8 : 128;
		return n + l4;
	}
	put_be16(p + n, t.src_port);
	put_be16(p + n + 2, t.dst_port);
	if (tcp) {
		p[n + 12] = 6 << 4;
		p[n + 13] = TH_SYN;
		memcpy(p + n + 20, (uint8_t[]){ 2, 4, 5, 0x50 }, 4);
	} else {
		put_be16(p + n + 4, (uint16_t)l4);
	}
	return n + l4;
}

START_TEST(good_packets_pass)
{
	struct fake *f = fake_new(false);
	uint8_t p[512];

	fake_input(f, p, good(UDP4, p));
	fake_input(f, p, good(UDP6, p));
	fake_input(f, p, good(EXT6, p));
	ck_assert_uint_eq(f->udps, 3);
	fake_input(f, p, good(OPT4, p));
	ck_assert_uint_eq(f->udps, 4);
	fake_input(f, p, good(TCP4, p));
	fake_input(f, p, good(TCP6, p));
	ck_assert_uint_eq(f->syns, 2);
	fake_input(f, p, good(ICMP4, p));
	fake_input(f, p, good(ICMP6, p));
	ck_assert_uint_eq(f->echoes, 2);
	/* options that are none of ours to know: padding, router alert */
	good(EXT6, p);
	memcpy(p + 42, (uint8_t[]){ 5, 2, 0, 0, 1, 0 }, 6);
	fake_input(f, p, 84);
	ck_assert_uint_eq(f->udps, 5);
	/* a record of the route, nothing in it yet */
	good(OPT4, p);
	memcpy(p + 20, (uint8_t[]){ 7, 7, 4, 0, 0, 0, 0, 0 }, 8);
	fake_input(f, p, 56);
	ck_assert_uint_eq(f->udps, 6);
	/* bytes behind the packet do not matter */
	good(UDP4, p);
	fake_input(f, p, 200);
	ck_assert_uint_eq(f->udps, 7);
	ck_assert_uint_eq(f->udp_len, 20);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 0);
	fake_clear(f);
	fake_free(f);
}
END_TEST

START_TEST(bad_packets_do_nothing)
{
	const struct bad *b = &bad[_i];
	struct fake *f = fake_new(_i & 1);
	uint8_t p[512], *exact;
	size_t n = good(b->kind, p), i;

	for (i = 0; i < 3; i++)
		if (b->edit[i].at >= 0)
			p[b->edit[i].at] = b->edit[i].value;
	if (b->len)
		n = (size_t)b->len;
	/* a copy of just this size, for the sanitizer's sake */
	exact = malloc(n);
	memcpy(exact, p, n);
	/* bad for one reason only */
	fake_sums(exact, n);
	fake_input_vnet(f, NULL, exact, n);
	free(exact);
	ck_assert_msg(ns_counters(f->ns)->malformed == 1, "%s", b->what);
	ck_assert_msg(!f->syns && !f->udps && !f->echoes, "%s", b->what);
	ck_assert_msg(!fake_pending(f), "%s", b->what);
	fake_free(f);
}
END_TEST

/* Sums and what the virtio header says of them: who vouches for it is believed. */
START_TEST(checksums_are_verified_where_nobody_vouches)
{
	static const struct {
		enum kind kind;
		int field;
	} of[] = { { UDP4, 26 }, { UDP6, 46 }, { TCP4, 36 }, { TCP6, 56 }, { ICMP4, 22 },
		   { ICMP6, 42 } };
	bool vnet = _i & 1;
	int field = of[_i / 2].field;
	struct fake *f = fake_new(vnet);
	uint8_t flags[10] = { 0 }, p[512];
	size_t n = good(of[_i / 2].kind, p);

	f->refuse = 0;
	fake_sums(p, n);
	p[n - 1] ^= 1;
	fake_input_vnet(f, NULL, p, n);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 1);
	p[n - 1] ^= 1;
	p[field] ^= 0x80;
	fake_input_vnet(f, NULL, p, n);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 2);
	ck_assert(!f->syns && !f->udps && !f->echoes);
	if (vnet) {
		flags[0] = 1;			/* needs a checksum: it has none yet */
		fake_input_vnet(f, flags, p, n);
		ck_assert_uint_eq(f->syns + f->udps + f->echoes, 1);
	}
	p[field] ^= 0x80;
	p[0] ^= 0x01;				/* IPv4: the header's own; IPv6: its class */
	fake_input_vnet(f, NULL, p, n);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, of[_i / 2].field < 40 ? 3 : 2);
	fake_clear(f);
	fake_free(f);
}
END_TEST

START_TEST(ip_header_and_missing_sums)
{
	struct fake *f = fake_new(false);
	uint8_t p[512];
	size_t n = good(UDP4, p);

	fake_sums(p, n);
	p[26] = p[27] = 0;			/* none, as IPv4 allows */
	fake_input_vnet(f, NULL, p, n);
	ck_assert_uint_eq(f->udps, 1);
	p[11] ^= 1;
	fake_input_vnet(f, NULL, p, n);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 1);
	n = good(UDP6, p);
	fake_input_vnet(f, NULL, p, n);		/* none, where one must be */
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 2);
	ck_assert_uint_eq(f->udps, 1);
	fake_free(f);
}
END_TEST

/* RFC 8200 has the sender told where its packet is wrong. */
static const struct {
	const char *what;
	struct edit edit[3];
	uint8_t code, at;
	bool other;				/* an unknown protocol: not malformed */
} problems[] = {
	{ "hop-by-hop in second place", { { 6, 60 }, { 40, 0 }, NONE }, 1, 40, true },
	{ "unknown header", { { 40, 99 }, NONE, NONE }, 1, 40, true },
	{ "routing header 0 with segments left", { { 6, 43 }, { 43, 1 }, NONE }, 0, 42, false },
	{ "jumbo payload", { { 42, 0xc2 }, { 43, 4 }, NONE }, 2, 42, false },
	{ "option that says: tell me", { { 50, 1 }, { 52, 0x80 }, { 53, 2 } }, 2, 52, false },
	{ "the first of two", { { 42, 0xc2 }, { 43, 4 }, { 50, 0x80 } }, 2, 42, false },
};

START_TEST(ipv6_problems_are_told)
{
	struct fake *f = fake_new(_i & 1);
	uint8_t p[512], copy[2048];
	size_t n = good(EXT6, p), i;
	struct pkt k;

	for (i = 0; i < 3; i++)
		if (problems[_i].edit[i].at >= 0)
			p[problems[_i].edit[i].at] = problems[_i].edit[i].value;
	fake_input(f, p, n);
	ck_assert_msg(!f->udps, "%s", problems[_i].what);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, !problems[_i].other);
	ck_assert_msg(fake_next(f, &k, copy), "%s", problems[_i].what);
	ck_assert_uint_eq(k.proto, PROTO_ICMP6);
	ck_assert_uint_eq(k.l4[0], 4);
	ck_assert_uint_eq(k.l4[1], problems[_i].code);
	ck_assert_uint_eq(get_be32(k.l4 + 4), problems[_i].at);
	ck_assert_mem_eq(k.l4 + 8, p, n);
	fake_free(f);
}
END_TEST

START_TEST(nothing_and_half_a_virtio_header)
{
	struct fake *f = fake_new(true);
	uint8_t vnet[10] = { 0 }, p[256];
	size_t size;

	ns_input_buf(f->ns, &size);
	ns_input(f->ns, 0, f->now);
	ns_input_buf(f->ns, &size);
	ns_input(f->ns, 9, f->now);
	ns_input_buf(f->ns, &size);
	ns_input(f->ns, 10, f->now);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 3);
	vnet[1] = 3;				/* UFO is long gone */
	fake_input_vnet(f, vnet, p, good(UDP4, p));
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 4);
	vnet[0] = 1;
	vnet[1] = 0x81;				/* ECN may be set on TCP */
	fake_input_vnet(f, vnet, p, good(TCP4, p));
	ck_assert_uint_eq(f->syns, 1);
	fake_clear(f);
	fake_free(f);
}
END_TEST

START_TEST(bad_fragments)
{
	struct fake *f = fake_new(false);
	uint8_t p[512];
	size_t n = good(UDP4, p);

	put_be16(p + 6, 0x1fff);		/* ends beyond 65,535 */
	fake_input(f, p, n);
	put_be16(p + 6, 0x2000);		/* 28 bytes: no multiple of eight */
	fake_input(f, p, n);
	put_be16(p + 6, 0x0010);
	put_be16(p + 2, 20);			/* empty */
	fake_input(f, p, n);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 3);
	/* a datagram whose UDP length is beyond what was put together */
	n = good(UDP4, p);
	put_be16(p + 24, 60);
	put_be16(p + 2, 20 + 24);
	put_be16(p + 6, 0x2000);
	fake_input(f, p, n);
	put_be16(p + 6, 3);
	fake_input(f, p, n);
	ck_assert_uint_eq(ns_counters(f->ns)->reassembled, 1);
	ck_assert_uint_eq(ns_counters(f->ns)->malformed, 4);
	ck_assert_uint_eq(f->udps, 0);
	fake_free(f);
}
END_TEST

/* RFC 1071's sum, as the book has it */
static uint16_t plain_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

START_TEST(checksums_add_up_over_any_split)
{
	uint8_t p[300];
	size_t len, at, start;

	for (len = 0; len < sizeof(p); len++)
		p[len] = (uint8_t)(len * 167 + (len >> 3) + 0x80);
	for (start = 0; start < 8; start++) {
		for (len = 0; len + start < sizeof(p); len += 7) {
			ck_assert_uint_eq(csum_fold(csum_add(0, p + start, len, false)),
					  plain_sum(p + start, len));
			for (at = 0; at <= len; at += 13) {
				uint64_t sum = csum_add(0, p + start, at, false);

				sum = csum_add(sum, p + start + at, len - at, at & 1);
				ck_assert_uint_eq(csum_fold(sum), plain_sum(p + start, len));
			}
		}
	}
}
END_TEST

START_TEST(slices)
{
	uint8_t a[10], b[5], c[20];
	struct iovec from[] = { { a, 10 }, { b, 5 }, { c, 20 } }, to[3];

	ck_assert_int_eq(iov_slice(from, 3, 0, 35, to), 3);
	ck_assert_int_eq(iov_slice(from, 3, 10, 5, to), 1);
	ck_assert_ptr_eq(to[0].iov_base, b);
	ck_assert_int_eq(iov_slice(from, 3, 9, 7, to), 3);
	ck_assert_ptr_eq(to[0].iov_base, a + 9);
	ck_assert_uint_eq(to[0].iov_len, 1);
	ck_assert_uint_eq(to[1].iov_len, 5);
	ck_assert_uint_eq(to[2].iov_len, 1);
	ck_assert_int_eq(iov_slice(from, 3, 35, 1, to), 0);
	ck_assert_int_eq(iov_slice(from, 3, 3, 0, to), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("packet");
	TCase *c = tcase_create("packet");

	tcase_add_test(c, good_packets_pass);
	tcase_add_loop_test(c, bad_packets_do_nothing, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_loop_test(c, checksums_are_verified_where_nobody_vouches, 0, 12);
	tcase_add_test(c, ip_header_and_missing_sums);
	tcase_add_loop_test(c, ipv6_problems_are_told, 0,
			    sizeof(problems) / sizeof(problems[0]));
	tcase_add_test(c, nothing_and_half_a_virtio_header);
	tcase_add_test(c, bad_fragments);
	tcase_add_test(c, checksums_add_up_over_any_split);
	tcase_add_test(c, slices);
	suite_add_tcase(s, c);
	return suite_run(s);
}
