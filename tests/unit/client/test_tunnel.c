/* SPDX-License-Identifier: MIT */
/* The whole data side: bulk, many flows, UDP beside the tunnel, disorder. */
#include "tests/unit/client/tunnel_rig.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#define APP	"10.9.0.2"
#define FAR	"192.0.2.7"
#define APP6	"fd00:9::2"

static struct rig *r;
static struct rig_packet p;
static uint8_t bytes[1u << 20];

static void setup(void)
{
	r = rig_new();
}

static void teardown(void)
{
	rig_free(r);
}

START_TEST(half_a_megabyte_there_and_back)
{
	static uint8_t sent[512u << 10];
	size_t up = 0, down = 0, n;
	struct rig_tcp c;
	uint8_t flags;
	uint32_t i;

	rig_attach(r);
	c = rig_tcp_syn(r, APP, 40000, FAR, 80);
	rig_pump(r);
	rig_tcp_established(&c);
	for (i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 2654435761u >> 24);
	while (down < sizeof(sent)) {
		for (i = 0; i < 16 && up < sizeof(sent); i++, up += n) {
			n = sizeof(sent) - up < 1300 ? sizeof(sent) - up : 1300;
			rig_tcp_send(&c, TCP_ACK, sent + up, n);
		}
		rig_pump(r);
		n = rig_tcp_read(&c, bytes + down, sizeof(bytes) - down, &flags);
		ck_assert_msg(n || up < sizeof(sent), "stalled at %zu of %zu", down, up);
		ck_assert(!(flags & TCP_RST));
		down += n;
		rig_pump(r);
	}
	ck_assert_mem_eq(sent, bytes, sizeof(sent));
	ck_assert_uint_eq(tunnel_counters(r->t)->bytes_up, sizeof(sent));
	ck_assert_uint_eq(tunnel_counters(r->t)->bytes_down, sizeof(sent));
}
END_TEST

START_TEST(idle_flows_need_no_timer)
{
	struct rig_tcp c[20];
	int i;

	rig_attach(r);
	for (i = 0; i < 20; i++) {
		c[i] = rig_tcp_syn(r, APP, (uint16_t)(40000 + i), FAR, 80);
		rig_pump(r);
		rig_tcp_established(&c[i]);
	}
	rig_wait(r, 5 * USEC_PER_SEC);
	ck_assert_uint_eq(tunnel_timer(r->t, r->now), UINT64_MAX);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 20);
}
END_TEST

/* ---- UDP beside the tunnel -------------------------------------------------------------- */

static struct sockaddr_in own;		/* an address of this machine, not loopback */

static bool own_address(void)
{
	struct ifaddrs *all, *i;
	bool found = false;

	if (getifaddrs(&all))
		return false;
	for (i = all; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    i->ifa_flags & IFF_LOOPBACK || !(i->ifa_flags & IFF_UP))
			continue;
		memcpy(&own, i->ifa_addr, sizeof(own));
		found = true;
	}
	freeifaddrs(all);
	return found;
}

static void stock(int n)
{
	while (n--) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		ck_assert_int_ge(fd, 0);
		r->socks.fds[HELPER_SOCK_UDP][0][r->socks.count[HELPER_SOCK_UDP][0]++] = fd;
	}
}

static int server(uint16_t *port)
{
	socklen_t len = sizeof(own);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	own.sin_port = 0;
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &len), 0);
	*port = ntohs(own.sin_port);
	return fd;
}

static void split(void)
{
	r->profile.udp_split = 1;
	r->profile.n_ports = 1;
	r->profile.ports[0].lo = r->profile.ports[0].hi = 53;
}

/* Serve what is ready, as the engine does. */
static void turn(void)
{
	struct loop_src *src;
	uint32_t events;

	loop_wait(r->loop, loop_now(), loop_now() + 200 * USEC_PER_MSEC);
	while ((src = loop_next(r->loop, &events))) {
		ck_assert_int_eq(src->kind, EV_DIRECT);
		tunnel_direct_ready(r->t, src, events, r->now);
	}
	tunnel_flush(r->t, r->now);
}

START_TEST(other_ports_go_direct)
{
	struct sockaddr_in from, again;
	socklen_t len = sizeof(from);
	char text[INET_ADDRSTRLEN];
	struct ipaddr a;
	uint16_t port;
	int fd, other;

	if (!own_address())
		return;
	split();
	fd = server(&port);
	(void)inet_ntop(AF_INET, &own.sin_addr, text, sizeof(text));
	rig_send_udp(r, APP, 5000, text, port, "one", 3);	/* the stock is empty */
	rig_pump(r);
	ck_assert_int_lt(recv(fd, bytes, sizeof(bytes), 0), 0);
	stock(2);
	rig_pump(r);
	ck_assert_int_eq(recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from,
				  &len), 3);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_direct, 1);
	ck_assert_uint_eq(r->n_streams, 0);
	/* one socket for all destinations of that port */
	other = server(&port);
	rig_send_udp(r, APP, 5000, text, port, "two", 3);
	rig_pump(r);
	ck_assert_int_eq(recvfrom(other, bytes, sizeof(bytes), 0, (struct sockaddr *)&again,
				  &len), 3);
	ck_assert_uint_eq(from.sin_port, again.sin_port);
	/* the answer comes as from the destination */
	ck_assert_int_eq(sendto(other, "back", 4, 0, (struct sockaddr *)&from, len), 4);
	turn();
	ck_assert(rig_read(r, &p));
	a = rig_addr(text);
	ck_assert(addr_equal(&p.src, &a));
	ck_assert_uint_eq(p.src_port, port);
	ck_assert_uint_eq(p.dst_port, 5000);
	ck_assert_mem_eq(p.data, "back", 4);
	/* nobody there: the app hears of it */
	close(other);
	rig_send_udp(r, APP, 5000, text, port, "three", 5);
	rig_pump(r);
	turn();
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.proto, 1);
	ck_assert_uint_eq(p.type, 3);
	ck_assert_uint_eq(p.code, 3);
	rig_wait(r, LIMIT_ASSOC_IDLE_US + 1000);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_direct, 0);
	close(fd);
}
END_TEST

START_TEST(direct_answers_come_from_peers_only)
{
	struct sockaddr_in own_port, stranger = { .sin_family = AF_INET };
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char text[INET_ADDRSTRLEN];
	uint16_t port;
	int fd, other;

	if (!own_address())
		return;
	split();
	fd = server(&port);
	own_port = own;
	(void)inet_ntop(AF_INET, &own.sin_addr, text, sizeof(text));
	stock(1);
	rig_send_udp(r, APP, 5000, text, port, "one", 3);
	rig_pump(r);
	ck_assert_int_eq(recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from,
				  &len), 3);
	/* another address of this machine speaks to the socket */
	other = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	stranger.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(other, (struct sockaddr *)&stranger, sizeof(stranger)), 0);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(sendto(other, "evil", 4, 0, (struct sockaddr *)&from, len), 4);
	turn();
	ck_assert(!rig_read(r, &p));
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_dropped, 1);
	/* another port of the peer may */
	close(other);
	own_port.sin_port = 0;
	other = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(other, (struct sockaddr *)&own_port, sizeof(own_port)), 0);
	ck_assert_int_eq(sendto(other, "good", 4, 0, (struct sockaddr *)&from, len), 4);
	turn();
	ck_assert(rig_read(r, &p));
	ck_assert_mem_eq(p.data, "good", 4);
	close(other);
	close(fd);
}
END_TEST

START_TEST(nothing_goes_direct_to_this_machine)
{
	static const char *const never[] = {
		"127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1",
	};
	struct ns_tuple tuple = { .src_port = 5000, .dst_port = 7000 };
	size_t i;

	split();
	stock(1);
	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		tuple.dst = rig_addr(never[i]);
		tuple.src = rig_addr(tuple.dst.family == 4 ? APP : APP6);
		direct_send(r->t, &tuple, bytes, 1, 0);
		ck_assert_msg(!tunnel_counters(r->t)->udp_direct, "%s", never[i]);
		ck_assert(rig_read(r, &p));
		ck_assert_uint_eq(p.code, tuple.dst.family == 4 ? 3 : 4);
	}
}
END_TEST

START_TEST(batches_go_direct)
{
	struct tunnel *t = r->t;
	struct ns_tuple tuple = { .src = rig_addr(APP), .src_port = 5000 };
	uint16_t port;
	ssize_t n, all = 0;
	int fd, count = 0;

	if (!own_address())
		return;
	split();
	fd = server(&port);
	tuple.dst.family = 4;
	memcpy(tuple.dst.bytes, &own.sin_addr, 4);
	tuple.dst_port = port;
	stock(1);
	memset(bytes, 'x', 10000);
	direct_send(t, &tuple, bytes, 10000, 100);	/* 100 datagrams: two system calls */
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		ck_assert_int_eq(n, 100);
		all += n;
		count++;
	}
	ck_assert_int_eq(count, 100);
	ck_assert_int_eq(all, 10000);
	direct_send(t, &tuple, bytes, 250, 100);
	ck_assert_int_eq(recv(fd, bytes, sizeof(bytes), 0), 100);
	ck_assert_int_eq(recv(fd, bytes, sizeof(bytes), 0), 100);
	ck_assert_int_eq(recv(fd, bytes, sizeof(bytes), 0), 50);
	close(fd);
}
END_TEST

START_TEST(no_socket_and_no_way)
{
	split();
	rig_send_udp(r, APP, 5000, FAR, 7000, "one", 3);
	rig_pump(r);
	ck_assert(!rig_read(r, &p));
	rig_wait(r, USEC_PER_SEC + 1);
	ck_assert(rig_read(r, &p));		/* none came: port unreachable */
	ck_assert_uint_eq(p.code, 3);
	/* never to this machine itself */
	stock(1);
	rig_send_udp(r, APP, 5000, "127.0.0.1", 7000, "one", 3);
	rig_pump(r);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_direct, 0);
	/* a listed port needs the session */
	rig_attach(r);
	rig_send_udp(r, APP, 5000, FAR, 53, "one", 3);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 1);
}
END_TEST

START_TEST(sockets_are_bounded)
{
	struct ns_tuple tuple = { .src = rig_addr(APP), .dst_port = 9 };
	uint32_t i;

	if (!own_address())
		return;
	split();
	tuple.dst.family = 4;
	memcpy(tuple.dst.bytes, &own.sin_addr, 4);
	for (i = 0; i < LIMIT_DIRECT_SOCKETS; i++) {
		if (!r->socks.count[HELPER_SOCK_UDP][0])
			stock(1);
		tuple.src_port = (uint16_t)(2000 + i);
		direct_send(r->t, &tuple, bytes, 1, 0);
		if (!tunnel_counters(r->t)->udp_direct)
			return;
	}
	stock(1);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_direct, LIMIT_DIRECT_SOCKETS);
	while (rig_read(r, &p))
		;
	tuple.src_port = 1;
	direct_send(r->t, &tuple, bytes, 1, 0);		/* all are young: told */
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.code, 3);
	r->t->now += 31 * USEC_PER_SEC;			/* the oldest was quiet for long */
	direct_send(r->t, &tuple, bytes, 1, 0);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_direct, LIMIT_DIRECT_SOCKETS);
	ck_assert_uint_eq(r->socks.count[HELPER_SOCK_UDP][0], 0);
}
END_TEST

/* ---- disorder ----------------------------------------------------------------------------- */

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

#define CONNS 12

static void random_app(struct rig_tcp *c)
{
	uint8_t flags, m[64] = { 0 };

	switch (rnd(12)) {
	case 0:
	case 1:
		*c = rig_tcp_syn(r, rnd(8) ? APP : APP6, (uint16_t)(40000 + rnd(CONNS)),
				 "192.0.2.7", (uint16_t)(rnd(4) ? 80 : 53));
		break;
	case 2:
		rig_tcp_send(c, TCP_ACK, bytes, rnd(1300));
		break;
	case 3:
		rig_tcp_send(c, TCP_ACK | TCP_FIN, bytes, rnd(100));
		break;
	case 4:
		rig_tcp_send(c, TCP_RST | TCP_ACK, NULL, 0);
		break;
	case 5:
		rig_send_udp(r, APP, (uint16_t)(5000 + rnd(20)), "192.0.2.9",
			     (uint16_t)(rnd(2) ? 53 : 9999), bytes, rnd(2000));
		break;
	case 6:
		m[5] = 1;
		m[12] = 1;
		m[13] = (uint8_t)('a' + rnd(26));
		rig_send_udp(r, APP, (uint16_t)(5000 + rnd(20)), "198.18.53.53", 53, m,
			     19 + rnd(30));
		break;
	case 7:
		rig_send_echo(r, APP, "192.0.2.9", (uint16_t)rnd(10), 1, "x");
		break;
	case 8:
		*c = rig_tcp_syn(r, APP, (uint16_t)(40000 + rnd(CONNS)), "198.18.53.53",
				 (uint16_t)(rnd(4) ? 53 : 80));
		break;
	default:
		(void)rig_tcp_read(c, bytes, sizeof(bytes), &flags);
		break;
	}
}

static void random_far(void)
{
	struct rig_stream *st;
	struct rig_dgram *d;

	if (!r->n_streams)
		return;
	st = &r->streams[rnd(r->n_streams)];
	switch (rnd(6)) {
	case 0:
		r->answer = rnd(3) ? RIG_ACCEPT : (int)rnd(9);
		break;
	case 1:
		if (st->s && !st->reset) {
			mux_stream_reset(r->s, st->s, MUX_RST_RESET);
			st->s = NULL;
			st->reset = true;
		}
		break;
	case 2:
		if (!r->n_dgrams)
			break;
		d = &r->dgrams[rnd(r->n_dgrams)];
		if (d->stream->s && !d->stream->reset && d->len < 1400) {
			d->data[2] |= 0x80;
			(void)mux_stream_dgram(r->s, d->stream->s, &d->d, d->data, d->len,
					       r->now);
		}
		break;
	default:
		break;
	}
}

/* Streams of the far side that are over make room for others. */
static void forget_streams(void)
{
	uint32_t i;

	if (r->n_streams < RIG_STREAMS - 16 && r->n_dgrams < RIG_DGRAMS - 32)
		return;
	rig_detach(r);
	for (i = 0; i < RIG_STREAMS; i++) {
		free(r->streams[i].data);
		memset(&r->streams[i], 0, sizeof(r->streams[i]));
	}
	r->n_streams = r->n_dgrams = 0;
	rig_pump(r);
	rig_attach(r);
}

START_TEST(disorder)
{
	struct rig_tcp c[CONNS];
	int i, k;

	seed = 4711u + (uint32_t)_i;
	for (i = 0; i < CONNS; i++)
		c[i] = rig_tcp_syn(r, APP, (uint16_t)(40000 + i), FAR, 80);
	rig_attach(r);
	for (i = 0; i < 1200; i++) {
		for (k = (int)rnd(4); k >= 0; k--)
			random_app(&c[rnd(CONNS)]);
		if (!r->c && !rnd(4))
			rig_attach(r);
		rig_pump(r);
		if (r->c) {
			random_far();
			rig_pump(r);
			forget_streams();
			if (!rnd(100)) {
				rig_detach(r);
				for (k = 0; k < RIG_STREAMS; k++) {
					free(r->streams[k].data);
					memset(&r->streams[k], 0, sizeof(r->streams[k]));
				}
				r->n_streams = r->n_dgrams = 0;
			}
		} else if (!rnd(3)) {
			tunnel_set_hopeless(r->t, rnd(2), r->now);
		}
		if (!rnd(10))
			r->now += rnd(3) * USEC_PER_SEC;
	}
	/* at rest nothing is left */
	if (r->c)
		rig_detach(r);
	tunnel_set_hopeless(r->t, true, r->now);
	for (i = 0; i < 100; i++) {
		r->now += 10 * USEC_PER_SEC;
		rig_pump(r);
		while (rig_read(r, &p))
			;
	}
	ck_assert(!tunnel_wants_session(r->t));
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 0);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_assocs, 0);
	ck_assert_uint_eq(tunnel_ns_counters(r->t)->tcp_flows, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tunnel");
	TCase *tc = tcase_create("tunnel");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, half_a_megabyte_there_and_back);
	tcase_add_test(tc, idle_flows_need_no_timer);
	tcase_add_test(tc, other_ports_go_direct);
	tcase_add_test(tc, direct_answers_come_from_peers_only);
	tcase_add_test(tc, nothing_goes_direct_to_this_machine);
	tcase_add_test(tc, batches_go_direct);
	tcase_add_test(tc, no_socket_and_no_way);
	tcase_add_test(tc, sockets_are_bounded);
	tcase_add_loop_test(tc, disorder, 0, 3);
	suite_add_tcase(s, tc);
	return rig_main(s);
}
