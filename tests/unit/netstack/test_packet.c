/* SPDX-License-Identifier: MIT */
/* test_packet.c - packets that are not what they say, and checksums */
#include "fake_tun.h"

/* One malformed packet: a good one of @kind with bytes changed or cut. */
enum kind { UDP4, UDP6, TCP4, TCP6, EXT6 };

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

/* offsets: IPv4 0..19, UDP/TCP at 20; IPv6 0..39, transport at 40 */
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
	{ "hop-by-hop in second place", EXT6, { { 6, 60 }, { 40, 0 }, NONE }, 0 },
	{ "routing header with segments left", EXT6, { { 6, 43 }, { 43, 1 }, NONE }, 0 },
	{ "two fragment headers", EXT6, { { 6, 44 }, { 40, 44 }, NONE }, 0 },
	{ "extension headers without end", EXT6, { { 40, 60 }, { 48, 60 }, NONE }, 0 },
};

static size_t good(enum kind kind, uint8_t *p)
{
	struct ns_tuple t = fake_tuple(kind == UDP4 || kind == TCP4 ? 4 : 6, 1111, 2222);
	bool tcp = kind == TCP4 || kind == TCP6;
	size_t ext = kind == EXT6 ? 16 : 0, l4 = tcp ? 24 : 28, n;

	memset(p, 0, 256);
	n = ip_header_write(p, &t.src, &t.dst, tcp ? PROTO_TCP : PROTO_UDP, 64, ext + l4);
	if (ext) {				/* hop-by-hop, then destination options */
		p[6] = PROTO_HOPOPTS;
		p[n] = PROTO_DSTOPTS;
		p[n + 8] = PROTO_UDP;
		n += 16;
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
	fake_input(f, p, good(TCP4, p));
	fake_input(f, p, good(TCP6, p));
	ck_assert_uint_eq(f->syns, 2);
	/* bytes behind the packet do not matter */
	good(UDP4, p);
	fake_input(f, p, 200);
	ck_assert_uint_eq(f->udps, 4);
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
	fake_input(f, exact, n);
	free(exact);
	ck_assert_msg(ns_counters(f->ns)->malformed == 1, "%s", b->what);
	ck_assert_msg(!f->syns && !f->udps && !f->echoes, "%s", b->what);
	ck_assert_msg(!fake_pending(f), "%s", b->what);
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
	tcase_add_test(c, nothing_and_half_a_virtio_header);
	tcase_add_test(c, bad_fragments);
	tcase_add_test(c, checksums_add_up_over_any_split);
	tcase_add_test(c, slices);
	suite_add_tcase(s, c);
	return suite_run(s);
}
