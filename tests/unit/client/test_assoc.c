/* SPDX-License-Identifier: MIT */
/* UDP and echo through the tunnel: mapping, filtering, errors, waiting. */
#include "tests/unit/client/tunnel_rig.h"

#define APP	"10.9.0.2"
#define FAR	"192.0.2.7"
#define APP6	"fd00:9::2"
#define FAR6	"2001:db8::7"

static struct rig *r;
static struct rig_packet p;

static void setup(void)
{
	r = rig_new();
}

static void teardown(void)
{
	rig_free(r);
}

/* ---- who may answer --------------------------------------------------------------- */

static struct ipaddr host(uint32_t i)
{
	struct ipaddr a = { .family = 4, .bytes = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i } };

	return a;
}

START_TEST(peers_are_the_last_256_for_300_seconds)
{
	uint64_t now = 5000 * USEC_PER_SEC;
	struct peers q = { 0 };
	struct ipaddr a;
	uint32_t i;

	a = host(0);
	ck_assert(!peers_known(&q, &a, now));
	for (i = 0; i < 1000; i++) {
		a = host(i);
		ck_assert_int_eq(peers_sent(&q, &a, now), 0);
		ck_assert(peers_known(&q, &a, now));
		if (i >= 10) {		/* this one is kept by use */
			a = host(5);
			ck_assert_int_eq(peers_sent(&q, &a, now), 0);
		}
	}
	ck_assert_uint_eq(q.n, LIMIT_ASSOC_PEERS);
	for (i = 0; i < 1000; i++) {
		a = host(i);
		ck_assert_msg(peers_known(&q, &a, now) == (i == 5 || i >= 1000 - 255),
			      "peer %u", i);
	}
	a = host(999);
	ck_assert(peers_known(&q, &a, now + LIMIT_ASSOC_IDLE_US));
	ck_assert(!peers_known(&q, &a, now + LIMIT_ASSOC_IDLE_US + USEC_PER_SEC));
	a.bytes[0] = 11;
	ck_assert(!peers_known(&q, &a, now));
	peers_free(&q);
}
END_TEST

START_TEST(old_peers_give_way_before_the_table_grows)
{
	uint64_t now = 5000 * USEC_PER_SEC;
	struct peers q = { 0 };
	struct ipaddr a;
	uint32_t i;

	for (i = 0; i < 10000; i++, now += 100 * USEC_PER_SEC) {
		a = host(i);
		ck_assert_int_eq(peers_sent(&q, &a, now), 0);
	}
	ck_assert_uint_le(q.cap, 8);
	peers_free(&q);
}
END_TEST

START_TEST(held_queue_is_bounded)
{
	static uint8_t data[65536];
	struct held_queue q;
	struct held head = { .len = sizeof(data) }, *h;
	uint32_t i;

	held_init(&q);
	for (i = 0; i < HELD_BYTES / sizeof(data); i++)
		ck_assert_int_eq(held_push(&q, &head, data), 0);
	head.len = 1;
	ck_assert_int_eq(held_push(&q, &head, data), -ENOBUFS);
	held_clear(&q);
	for (i = 0; i < HELD_MAX; i++) {
		head.sequence = (uint16_t)i;
		ck_assert_int_eq(held_push(&q, &head, data), 0);
	}
	ck_assert_int_eq(held_push(&q, &head, data), -ENOBUFS);
	for (i = 0; (h = held_pop(&q)); i++) {
		ck_assert_uint_eq(h->sequence, i);
		free(h);
	}
	ck_assert_uint_eq(i, HELD_MAX);
	ck_assert_int_eq(held_push(&q, &head, data), 0);	/* the tail is right again */
	held_clear(&q);
}
END_TEST

/* ---- up and down ---------------------------------------------------------------------- */

static void answer(uint32_t i, const char *from, uint16_t port, const char *text)
{
	struct mux_dgram d = { .addr = rig_addr(from), .port = port };

	ck_assert_int_eq(mux_stream_dgram(r->s, r->dgrams[i].stream->s, &d,
					  (const uint8_t *)text, strlen(text), r->now), 0);
	rig_pump(r);
}

START_TEST(mapping_is_endpoint_independent)
{
	rig_attach(r);
	rig_send_udp(r, APP, 5000, FAR, 7000, "one", 3);
	rig_send_udp(r, APP, 5000, "192.0.2.8", 7001, "two", 3);
	rig_send_udp(r, APP, 5001, FAR, 7000, "three", 5);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 2);
	ck_assert_uint_eq(r->n_dgrams, 3);
	ck_assert_uint_eq(r->streams[0].open.proto, MUX_UDP);
	ck_assert_uint_eq(r->streams[0].open.addr.family, 4);
	ck_assert_uint_eq(r->streams[0].open.port, 0);
	ck_assert_ptr_eq(r->dgrams[0].stream, r->dgrams[1].stream);
	ck_assert_mem_eq(r->dgrams[1].data, "two", 3);
	ck_assert_uint_eq(r->dgrams[1].d.port, 7001);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_assocs, 2);
	answer(1, "192.0.2.8", 7001, "back");
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.proto, 17);
	ck_assert_uint_eq(p.dst_port, 5000);
	ck_assert_uint_eq(p.src_port, 7001);
	ck_assert_uint_eq(p.len, 4);
	ck_assert_mem_eq(p.data, "back", 4);
}
END_TEST

START_TEST(only_who_was_spoken_to_may_answer)
{
	rig_attach(r);
	rig_send_udp(r, APP, 5000, FAR, 7000, "one", 3);
	rig_pump(r);
	answer(0, "192.0.2.66", 7000, "evil");
	ck_assert(!rig_read(r, &p));
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_dropped, 1);
	answer(0, FAR, 69, "other port");	/* address-dependent: fine */
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.src_port, 69);
	/* 301 s later, kept alive by answers only */
	rig_wait(r, 200 * USEC_PER_SEC);
	answer(0, FAR, 7000, "late");
	ck_assert(rig_read(r, &p));
	rig_wait(r, 102 * USEC_PER_SEC);
	answer(0, FAR, 7000, "too late");
	ck_assert(!rig_read(r, &p));
}
END_TEST

START_TEST(associations_expire)
{
	rig_attach(r);
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_send_udp(r, APP, 5001, FAR, 53, "b", 1);
	rig_pump(r);
	rig_wait(r, LIMIT_ASSOC_DNS_US - 1000);
	ck_assert(!r->streams[1].reset);
	rig_wait(r, 2000);
	ck_assert(r->streams[1].reset);
	ck_assert_uint_eq(r->streams[1].reason, MUX_RST_IDLE);
	ck_assert(!r->streams[0].reset);
	rig_wait(r, LIMIT_ASSOC_IDLE_US - LIMIT_ASSOC_DNS_US);
	ck_assert(r->streams[0].reset);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_assocs, 0);
	/* another port than 53 once: the long time */
	rig_send_udp(r, APP, 5002, FAR, 7000, "a", 1);
	rig_send_udp(r, APP, 5002, FAR, 53, "b", 1);
	rig_pump(r);
	rig_wait(r, 2 * LIMIT_ASSOC_DNS_US);
	ck_assert(!r->streams[2].reset);
}
END_TEST

START_TEST(reset_by_sentry_makes_a_new_one)
{
	rig_attach(r);
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	mux_stream_reset(r->s, r->streams[0].s, MUX_RST_IDLE);
	rig_pump(r);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_assocs, 0);
	ck_assert(!rig_read(r, &p));
	rig_send_udp(r, APP, 5000, FAR, 7000, "b", 1);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 2);
	ck_assert_uint_eq(r->n_dgrams, 2);
}
END_TEST

START_TEST(refused_is_told_and_believed_for_a_second)
{
	rig_attach(r);
	r->answer = MUX_REF_DENIED;
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.proto, 1);
	ck_assert_uint_eq(p.type, 3);
	ck_assert_uint_eq(p.code, 13);
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.code, 13);
	ck_assert_uint_eq(r->n_streams, 1);	/* not asked again */
	rig_wait(r, 1100 * USEC_PER_MSEC);
	r->answer = MUX_REF_HOST;		/* cannot be said to UDP: port */
	rig_send_udp(r, APP6, 5000, FAR6, 7000, "a", 1);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.proto, 58);
	ck_assert_uint_eq(p.type, 1);
	ck_assert_uint_eq(p.code, 4);
	r->answer = RIG_ACCEPT;
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 3);
	ck_assert(!rig_read(r, &p));
}
END_TEST

START_TEST(icmp_errors_come_back_from_peers_only)
{
	struct mux_dgram at = { .addr = rig_addr(FAR), .port = 7000 };

	rig_attach(r);
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	mux_stream_dgram_error(r->s, r->streams[0].s, &at, 3, 3, 0);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.type, 3);
	ck_assert_uint_eq(p.code, 3);
	ck_assert_mem_eq(p.data, "\0\0\0\0", 4);	/* no MTU where none belongs */
	/* too big: an MTU below what IPv4 must carry is taken as that */
	mux_stream_dgram_error(r->s, r->streams[0].s, &at, 3, 4, 1300);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.code, 4);
	ck_assert_mem_eq(p.data, "\0\0\x05\x14", 4);
	mux_stream_dgram_error(r->s, r->streams[0].s, &at, 3, 4, 68);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_mem_eq(p.data, "\0\0\x02\x40", 4);
	mux_stream_dgram_error(r->s, r->streams[0].s, &at, 5, 1, 0);	/* no redirects */
	at.addr = rig_addr("192.0.2.9");
	mux_stream_dgram_error(r->s, r->streams[0].s, &at, 3, 3, 0);
	rig_pump(r);
	ck_assert(!rig_read(r, &p));
}
END_TEST

START_TEST(too_big_is_at_least_1280_in_ipv6)
{
	struct mux_dgram at = { .addr = rig_addr(FAR6), .port = 7000 };

	rig_attach(r);
	rig_send_udp(r, APP6, 5000, FAR6, 7000, "a", 1);
	rig_pump(r);
	mux_stream_dgram_error(r->s, r->streams[0].s, &at, 2, 0, 100);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.type, 2);
	ck_assert_mem_eq(p.data, "\0\0\x05\0", 4);
}
END_TEST

START_TEST(echo_goes_by_identifier)
{
	rig_attach(r);
	rig_send_echo(r, APP, FAR, 77, 1, "ping");
	rig_send_echo(r, APP, "192.0.2.8", 77, 2, "ping");
	rig_send_echo(r, APP6, FAR6, 77, 3, "ping6");
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 2);
	ck_assert_uint_eq(r->streams[0].open.proto, MUX_ICMP);
	ck_assert_uint_eq(r->streams[1].open.proto, MUX_ICMP6);
	ck_assert_uint_eq(r->n_dgrams, 3);
	ck_assert_uint_eq(r->dgrams[0].d.port, 77);
	ck_assert_mem_eq(r->dgrams[2].data, "\0\3ping6", 7);
	ck_assert_int_eq(mux_stream_dgram(r->s, r->dgrams[2].stream->s, &r->dgrams[2].d,
					  r->dgrams[2].data, 7, r->now), 0);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.proto, 58);
	ck_assert_uint_eq(p.type, 129);
	ck_assert_mem_eq(p.data, "\0\115\0\3ping6", 9);
	ck_assert_uint_eq(tunnel_counters(r->t)->echo, 3);
	/* the service address answers for itself */
	rig_send_echo(r, APP, "198.18.53.53", 5, 6, "x");
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.type, 0);
	ck_assert_mem_eq(p.data, "\0\5\0\6x", 5);
	ck_assert_uint_eq(r->n_streams, 2);
}
END_TEST

START_TEST(without_a_session_datagrams_wait)
{
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	ck_assert(tunnel_wants_session(r->t));
	rig_wait(r, USEC_PER_SEC);
	rig_attach(r);
	ck_assert_uint_eq(r->n_dgrams, 1);
	ck_assert_mem_eq(r->dgrams[0].data, "a", 1);
	rig_detach(r);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_assocs, 0);
	/* too long: told */
	rig_send_udp(r, APP, 5000, FAR, 7000, "b", 1);
	rig_pump(r);
	rig_wait(r, LIMIT_SYN_HELD_US - 1000);
	ck_assert(!rig_read(r, &p));
	rig_wait(r, 2000);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.type, 3);
	ck_assert_uint_eq(p.code, 3);
	/* hopeless: at once */
	rig_send_udp(r, APP6, 5000, FAR6, 7000, "c", 1);
	rig_pump(r);
	ck_assert(!rig_read(r, &p));
	tunnel_set_hopeless(r->t, true, r->now);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.type, 1);
	ck_assert_uint_eq(p.code, 4);
	rig_send_udp(r, APP, 5000, FAR, 7000, "d", 1);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.code, 3);
}
END_TEST

START_TEST(the_queue_drops_the_oldest_and_says_so)
{
	uint32_t i, told = 0;

	for (i = 0; i < HELD_MAX + 3; i++) {
		rig_send_udp(r, APP, (uint16_t)(5000 + i), FAR, 7000, "a", 1);
		rig_pump(r);
	}
	while (rig_read(r, &p))
		told += p.proto == 1 && p.type == 3 && p.code == 3;
	ck_assert_uint_eq(told, 3);
}
END_TEST

START_TEST(a_stale_datagram_is_not_sent)
{
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	rig_wait(r, LIMIT_DGRAM_MAX_AGE_US + 1000);
	rig_attach(r);
	ck_assert_uint_eq(r->n_dgrams, 0);
}
END_TEST

START_TEST(a_large_datagram_and_its_answer)
{
	static uint8_t big[8000];
	struct mux_dgram d;
	size_t got = 0;
	uint32_t i;

	rig_attach(r);
	for (i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)i;
	rig_send_udp(r, APP, 5000, FAR, 7000, big, sizeof(big));
	rig_pump(r);
	ck_assert_uint_eq(r->n_dgrams, 1);
	ck_assert_uint_eq(r->dgrams[0].len, sizeof(big));
	d = r->dgrams[0].d;
	ck_assert_int_eq(mux_stream_dgram(r->s, r->streams[0].s, &d, big, sizeof(big),
					  r->now), 0);
	rig_pump(r);
	for (i = 0; rig_read(r, &p); i++) {	/* fragments: lengths must add up */
		got += (size_t)(p.raw[2] << 8 | p.raw[3]) - 20;
	}
	ck_assert_uint_eq(got, sizeof(big) + 8);
	ck_assert_uint_gt(i, 5);
}
END_TEST

START_TEST(batches_stay_batches_of_at_most_64)
{
	struct ns_tuple tuple = { .src = rig_addr(APP), .src_port = 5000,
				  .dst = rig_addr(FAR), .dst_port = 443 };
	static uint8_t data[10000];

	rig_attach(r);
	assoc_send(r->t, MUX_UDP, &tuple, 0, data, 10000, 100);
	rig_pump(r);
	ck_assert_uint_eq(r->n_dgrams, 2);
	ck_assert_uint_eq(r->dgrams[0].len, 6400);
	ck_assert_uint_eq(r->dgrams[0].d.segment, 100);
	ck_assert_uint_eq(r->dgrams[1].len, 3600);
	ck_assert_uint_eq(r->dgrams[1].d.segment, 100);
	assoc_send(r->t, MUX_UDP, &tuple, 0, data, 6450, 100);
	assoc_send(r->t, MUX_UDP, &tuple, 0, data, 0, 0);
	rig_pump(r);
	ck_assert_uint_eq(r->n_dgrams, 5);
	ck_assert_uint_eq(r->dgrams[3].len, 50);
	ck_assert_uint_eq(r->dgrams[3].d.segment, 0);	/* one datagram is no batch */
	ck_assert_uint_eq(r->dgrams[4].len, 0);
}
END_TEST

START_TEST(policy_reset_is_told)
{
	rig_attach(r);
	rig_send_udp(r, APP, 5000, FAR, 7000, "a", 1);
	rig_pump(r);
	mux_stream_reset(r->s, r->streams[0].s, MUX_RST_POLICY);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.code, 13);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("assoc");
	TCase *tc = tcase_create("assoc");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, peers_are_the_last_256_for_300_seconds);
	tcase_add_test(tc, old_peers_give_way_before_the_table_grows);
	tcase_add_test(tc, held_queue_is_bounded);
	tcase_add_test(tc, mapping_is_endpoint_independent);
	tcase_add_test(tc, only_who_was_spoken_to_may_answer);
	tcase_add_test(tc, associations_expire);
	tcase_add_test(tc, reset_by_sentry_makes_a_new_one);
	tcase_add_test(tc, refused_is_told_and_believed_for_a_second);
	tcase_add_test(tc, icmp_errors_come_back_from_peers_only);
	tcase_add_test(tc, too_big_is_at_least_1280_in_ipv6);
	tcase_add_test(tc, echo_goes_by_identifier);
	tcase_add_test(tc, without_a_session_datagrams_wait);
	tcase_add_test(tc, the_queue_drops_the_oldest_and_says_so);
	tcase_add_test(tc, a_stale_datagram_is_not_sent);
	tcase_add_test(tc, a_large_datagram_and_its_answer);
	tcase_add_test(tc, batches_stay_batches_of_at_most_64);
	tcase_add_test(tc, policy_reset_is_told);
	suite_add_tcase(s, tc);
	return rig_main(s);
}
