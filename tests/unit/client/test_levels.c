/* SPDX-License-Identifier: MIT */
/*
 * What each log level says about the same few flows, and what it must not:
 * nothing above the level, and at no level a byte of what an app said.
 */
#include "tests/unit/client/tunnel_rig.h"

#include "client/log.h"

#define APP	"10.9.0.2"
#define FAR	"192.0.2.7"
#define DNS	"198.18.53.53"
#define SECRET	"Top/Secret+payload"

static struct rig *r;
static struct rig_packet p;
static uint32_t up, down;		/* packets that the app wrote and read */
static char text[1u << 20];		/* the log */

static void setup(void)
{
	r = rig_new();
	up = down = 0;
}

static void teardown(void)
{
	log_level = LOG_LVL_INFO;
	rig_free(r);
}

static uint32_t count(const char *what)
{
	const char *s = text;
	uint32_t n = 0;

	while ((s = strstr(s, what))) {
		s += strlen(what);
		n++;
	}
	return n;
}

static void app_read(struct rig_tcp *c)
{
	rig_pump(r);
	while (rig_read(r, &p)) {
		down++;
		if (c && p.proto == 6) {
			c->ack = p.seq + (uint32_t)p.len +
				 !!(p.flags & TCP_SYN) + !!(p.flags & TCP_FIN);
			if (p.len || p.flags & (TCP_SYN | TCP_FIN)) {
				rig_tcp_send(c, TCP_ACK, NULL, 0);
				up++;
				rig_pump(r);
			}
		}
	}
}

static void tcp_flow(void)
{
	struct rig_tcp c = rig_tcp_syn(r, APP, 40000, FAR, 80);

	up++;
	app_read(&c);
	rig_tcp_send(&c, TCP_ACK | TCP_PSH, SECRET, strlen(SECRET));
	up++;
	app_read(&c);
	rig_tcp_send(&c, TCP_ACK | TCP_FIN, NULL, 0);
	up++;
	app_read(&c);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 0);
}

static void refused_flow(void)
{
	struct rig_tcp c = rig_tcp_syn(r, APP, 40001, DNS, 99);

	up++;
	rig_wait(r, 10 * USEC_PER_MSEC);
	app_read(&c);
}

static void udp_and_echo(void)
{
	rig_send_udp(r, APP, 5000, FAR, 4444, SECRET, strlen(SECRET));
	rig_send_echo(r, APP, FAR, 7, 1, SECRET);
	up += 2;
	app_read(NULL);
}

static void dns(void)
{
	static uint8_t query[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
				 "\x04host\x07""example\x00\x00\x01\x00";
	const size_t len = sizeof(query);	/* its NUL is the class' last byte */
	struct rig_dgram *d;

	query[len - 1] = 1;
	rig_send_udp(r, APP, 5001, DNS, 53, query, len);
	up++;
	app_read(NULL);
	d = &r->dgrams[r->n_dgrams - 1];
	ck_assert_uint_eq(d->d.port, 53);
	d->data[2] |= 0x80;
	ck_assert_int_eq(mux_stream_dgram(r->s, d->stream->s, &d->d, d->data, d->len, r->now), 0);
	app_read(NULL);
}

/* The scenario at @level; the log of it is in text. */
static void run(enum profile_log_level level)
{
	static const char *const names[] = { "error", "warning", "info", "debug", "session",
					     "packet" };
	char line[LOG_LINE_MAX], when[64], name[16];
	uint64_t cursor = log_oldest();
	size_t len = 0, i;

	while (log_read(&cursor, line, sizeof(line)))
		;
	log_level = level;
	rig_attach(r);
	tcp_flow();
	refused_flow();
	udp_and_echo();
	dns();
	rig_detach(r);
	while (log_read(&cursor, line, sizeof(line))) {
		ck_assert_int_eq(sscanf(line, "%63s %15s", when, name), 2);
		for (i = 0; strcmp(names[i], name) != 0; i++)
			ck_assert_uint_lt(i, 5);
		ck_assert_uint_le(i, level);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n", line);
		ck_assert_uint_lt(len, sizeof(text));
	}
	text[len] = '\0';
	ck_assert_ptr_null(strstr(text, "Secret"));
}

START_TEST(below_session_flows_are_not_told)
{
	run((enum profile_log_level)_i);
	ck_assert_msg(!strstr(text, "flow.") && !strstr(text, "assoc.") && !strstr(text, "dns.") &&
		      !strstr(text, "packet"), "%s", text);
}
END_TEST

START_TEST(session_tells_each_flow_once)
{
	run(LOG_LVL_SESSION);
	ck_assert_uint_eq(count("session flow.open: "), 2);
	ck_assert_uint_eq(count("session flow.end: "), 2);
	ck_assert_uint_eq(count("flow.open: tcp 10.9.0.2 port 40000 to 192.0.2.7 port 80: tunnel, "
				"192.0.2.7 is in IPRoutes 0.0.0.0/0"), 1);
	ck_assert_uint_eq(count("flow.end: tcp 10.9.0.2 port 40000 to 192.0.2.7 port 80: finished, "
				"18 bytes up, 18 down"), 1);
	ck_assert_uint_eq(count("198.18.53.53 port 99: block, "), 1);
	ck_assert_uint_eq(count("flow.end: tcp 10.9.0.2 port 40001 to 198.18.53.53 port 99: not a "
				"port of the DNS forwarder, 0 bytes up, 0 down"), 1);
	ck_assert_uint_eq(count("assoc.open: udp 10.9.0.2 5000 to 192.0.2.7 4444: tunnel, "), 1);
	ck_assert_uint_eq(count("assoc.open: echo "), 1);
	ck_assert_uint_eq(count("assoc.end: udp 10.9.0.2 5000: 18 bytes up, 0 down"), 1);
	ck_assert_uint_eq(count("packet"), 0);
	ck_assert_uint_eq(count("dns."), 0);
}
END_TEST

START_TEST(packet_tells_each_packet_and_dns)
{
	run(LOG_LVL_PACKET);
	ck_assert_uint_eq(count("packet packet: up "), up);
	ck_assert_uint_eq(count("packet packet: down "), down);
	ck_assert_uint_gt(down, 5);
	ck_assert_uint_eq(count("packet: up 44 bytes, tcp 10.9.0.2 port 40000 to 192.0.2.7 port 80, "
				"S, payload 0"), 1);
	ck_assert_uint_eq(count("packet: up 58 bytes, tcp 10.9.0.2 port 40000 to 192.0.2.7 port 80, "
				"PA, payload 18"), 1);
	ck_assert_uint_eq(count("udp 10.9.0.2 port 5000 to 192.0.2.7 port 4444, payload 18"), 1);
	ck_assert_uint_eq(count("icmp 10.9.0.2 to 192.0.2.7, type 8 code 0"), 1);
	ck_assert_uint_eq(count("dns.query: 10.9.0.2 port 5001 asks host.example type 1"), 1);
	ck_assert_uint_eq(count("dns.answer: 10.9.0.2 port 5001: host.example code 0"), 1);
	ck_assert_uint_eq(count("flow.end: "), 2);
}
END_TEST

START_TEST(any_bytes_make_a_line)
{
	static const uint8_t junk[200] = { 0x45 };
	uint8_t bytes[200];
	struct iovec iov[3];
	uint32_t i, k;

	log_level = LOG_LVL_PACKET;
	for (i = 0; i < 200; i++) {
		for (k = 0; k < 3; k++) {
			memset(bytes, (int)(i * 7 + k), sizeof(bytes));
			bytes[0] = k == 0 ? 0x4f : k == 1 ? 0x60 : junk[0];
			bytes[9] = bytes[6] = (uint8_t)(k == 2 ? 17 : 6);
			iov[0] = (struct iovec){ bytes, i / 3 };
			iov[1] = (struct iovec){ bytes + i / 3, i / 3 };
			iov[2] = (struct iovec){ bytes + i / 3 * 2, i - i / 3 * 2 };
			packet_log(r->t, "up", iov, 3);
			r->t->vnet_hdr = !r->t->vnet_hdr;
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("levels");
	TCase *tc = tcase_create("levels");

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, below_session_flows_are_not_told, LOG_LVL_ERROR, LOG_LVL_SESSION);
	tcase_add_test(tc, session_tells_each_flow_once);
	tcase_add_test(tc, packet_tells_each_packet_and_dns);
	tcase_add_test(tc, any_bytes_make_a_line);
	return rig_main(s);
}
