/* SPDX-License-Identifier: MIT */
/* Another profile while flows live: whose verdict changed ends, all others go on. */
#define _GNU_SOURCE
#include "tests/unit/client/tunnel_rig.h"

#include <netinet/in.h>
#include <sys/mman.h>

#include "client/engine.h"
#include "client/log.h"
#include "client/policy.h"

#define APP	"10.9.0.2"
#define STAYS	"192.0.2.7"
#define GOES	"198.51.100.7"

static struct rig *r;
static struct rig_packet p;
static uint8_t bytes[65536];
static struct profile next;		/* the new profile, to be changed by a test */

static void setup(void)
{
	r = rig_new();
	next = r->profile;
}

static void teardown(void)
{
	rig_free(r);
}

static void exclude(const char *prefix)
{
	ck_assert_int_eq(prefix_parse(prefix, &next.excluded[next.n_excluded++]), 0);
}

/* The tunnel keeps a pointer: @next is free to be changed further. */
static uint32_t change(void)
{
	static struct profile in_use[2];
	static unsigned int turn;
	uint32_t ended = 99;

	in_use[++turn % 2] = next;
	ck_assert_int_eq(tunnel_set_profile(r->t, &in_use[turn % 2], &ended, r->now), 0);
	rig_pump(r);
	return ended;
}

/* ---- two profiles ------------------------------------------------------------------- */

static uint32_t state = 1;

static uint32_t dice(uint32_t n)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

static void random_profile(struct profile *v)
{
	uint32_t i;

	profile_defaults(v);
	v->n_routes = dice(4);
	v->n_excluded = dice(3);
	for (i = 0; i < v->n_routes + v->n_excluded; i++) {
		struct prefix *x = i < v->n_routes ? &v->routes[i] : &v->excluded[i - v->n_routes];

		*x = (struct prefix){ .addr.family = dice(4) ? 4 : 6, .len = (uint8_t)dice(7) };
		x->addr.bytes[0] = (uint8_t)(dice(16) << 4);
		prefix_mask(x);
	}
	v->udp_split = (uint8_t)dice(2);
	v->n_ports = v->udp_split;
	v->ports[0] = (struct port_range){ (uint16_t)(1 + dice(3)), (uint16_t)(4 + dice(3)) };
	v->lock_ipv6 = dice(2) ? LOCK_IPV6_BLOCK : LOCK_IPV6_DIRECT;
}

START_TEST(differs_where_the_decision_does)
{
	static struct profile was, is;
	static const uint8_t protos[] = { 1, 6, 17, 58 };
	uint32_t round, i, changed = 0;

	for (round = 0; round < 2000; round++) {
		struct policy_diff *d;

		random_profile(&was);
		random_profile(&is);
		d = policy_diff_new(&was, &is);
		ck_assert_ptr_nonnull(d);
		for (i = 0; i < 20; i++) {
			struct policy_query q = { .proto = protos[dice(4)],
						  .port = (uint16_t)dice(9),
						  .dst.family = dice(4) ? 4 : 6 };
			struct policy_answer a, b;

			q.dst.bytes[0] = (uint8_t)dice(256);
			q.dst.bytes[3] = 1;
			policy_decide(&was, &q, &a);
			policy_decide(&is, &q, &b);
			ck_assert_int_eq(policy_diff_has(d, &q), a.verdict != b.verdict);
			changed += a.verdict != b.verdict;
		}
		policy_diff_free(d);
	}
	ck_assert_uint_gt(changed, 1000);
}
END_TEST

/* ---- TCP ------------------------------------------------------------------------------- */

START_TEST(tcp_ends_only_where_the_verdict_changed)
{
	struct rig_tcp stays, goes;
	uint8_t flags;

	rig_attach(r);
	stays = rig_tcp_syn(r, APP, 40000, STAYS, 80);
	rig_pump(r);
	rig_tcp_established(&stays);
	goes = rig_tcp_syn(r, APP, 40001, GOES, 80);
	rig_pump(r);
	rig_tcp_established(&goes);
	rig_pump(r);
	ck_assert_uint_eq(change(), 0);		/* the same words again: nothing happens */
	exclude("198.51.100.0/24");
	ck_assert_uint_eq(change(), 1);
	while (rig_read(r, &p)) {
		ck_assert_uint_eq(p.proto, 6);
		ck_assert_uint_eq(p.dst_port, goes.sport);
		ck_assert(p.flags & TCP_RST);
	}
	ck_assert(r->streams[1].reset);
	ck_assert_uint_eq(r->streams[1].reason, MUX_RST_POLICY);
	ck_assert(!r->streams[0].reset);
	rig_tcp_send(&stays, TCP_ACK, "still there", 11);
	rig_pump(r);
	ck_assert_uint_eq(rig_tcp_read(&stays, bytes, sizeof(bytes), &flags), 11);
	ck_assert(!(flags & TCP_RST));
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_open, 1);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_reset, 1);
}
END_TEST

START_TEST(syns_that_wait_are_answered)
{
	uint32_t rst = 0, icmp = 0;

	rig_tcp_syn(r, APP, 40000, GOES, 80);		/* no session: held */
	rig_pump(r);
	exclude("198.51.100.0/24");
	ck_assert_uint_eq(change(), 1);
	r->answer = RIG_WAIT;
	next.n_excluded = 0;
	ck_assert_uint_eq(change(), 0);
	rig_attach(r);
	ck_assert_uint_eq(r->n_streams, 0);		/* it was not asked for */
	rig_tcp_syn(r, APP, 40001, GOES, 80);		/* opening */
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 1);
	exclude("198.51.100.0/24");
	ck_assert_uint_eq(change(), 1);
	rig_wait(r, 10 * USEC_PER_MSEC);
	while (rig_read(r, &p)) {
		rst += p.proto == 6 && (p.flags & TCP_RST);
		icmp += p.proto == 1;
	}
	ck_assert_uint_eq(rst, 2);
	ck_assert_uint_eq(icmp, 0);
	ck_assert(r->streams[0].reset);
	ck_assert_uint_eq(tunnel_counters(r->t)->tcp_refused, 2);
}
END_TEST

/* ---- UDP --------------------------------------------------------------------------------- */

static void split(struct profile *v, uint16_t port)
{
	v->udp_split = 1;
	v->n_ports = 1;
	v->ports[0].lo = v->ports[0].hi = port;
}

START_TEST(associations_end_by_port_and_by_route)
{
	rig_attach(r);
	rig_send_udp(r, APP, 5000, STAYS, 53, "a", 1);
	rig_send_udp(r, APP, 5001, STAYS, 99, "b", 1);
	rig_send_udp(r, APP, 5002, GOES, 53, "c", 1);
	rig_send_echo(r, APP, GOES, 7, 1, "ping");
	rig_send_echo(r, APP, STAYS, 8, 1, "ping");
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 5);
	split(&next, 53);
	exclude("198.51.100.0/24");
	ck_assert_uint_eq(change(), 3);
	ck_assert(!r->streams[0].reset && r->streams[1].reset && r->streams[2].reset &&
		  r->streams[3].reset && !r->streams[4].reset);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_assocs, 1);
	rig_send_udp(r, APP, 5000, STAYS, 53, "again", 5);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 5);		/* the same association */
}
END_TEST

START_TEST(an_association_forgets_whom_it_may_not_hear_any_more)
{
	struct mux_dgram d = { .addr = rig_addr(GOES), .port = 53 };

	rig_attach(r);
	rig_send_udp(r, APP, 5000, GOES, 53, "a", 1);
	rig_send_udp(r, APP, 5000, STAYS, 53, "b", 1);
	rig_pump(r);
	exclude("198.51.100.0/24");
	ck_assert_uint_eq(change(), 0);
	ck_assert_int_eq(mux_stream_dgram(r->s, r->streams[0].s, &d, (const uint8_t *)"no", 2,
					  r->now), 0);
	rig_pump(r);
	ck_assert(!rig_read(r, &p));
	d.addr = rig_addr(STAYS);
	ck_assert_int_eq(mux_stream_dgram(r->s, r->streams[0].s, &d, (const uint8_t *)"yes", 3,
					  r->now), 0);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.len, 3);
}
END_TEST

START_TEST(direct_sockets_close_when_their_port_is_tunnelled)
{
	int i;

	split(&next, 53);
	ck_assert_uint_eq(change(), 0);
	rig_attach(r);
	for (i = 0; i < 2; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		ck_assert_int_ge(fd, 0);
		r->socks.fds[HELPER_SOCK_UDP][0][r->socks.count[HELPER_SOCK_UDP][0]++] = fd;
	}
	rig_send_udp(r, APP, 5000, STAYS, 99, "a", 1);
	rig_send_udp(r, APP, 5001, STAYS, 98, "b", 1);
	rig_pump(r);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_direct, 2);
	split(&next, 99);
	ck_assert_uint_eq(change(), 1);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_direct, 1);
	rig_send_udp(r, APP, 5000, STAYS, 99, "c", 1);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 1);
}
END_TEST

START_TEST(datagrams_that_wait_for_a_session_are_dropped)
{
	rig_send_udp(r, APP, 5000, GOES, 53, "a", 1);
	rig_send_udp(r, APP, 5001, STAYS, 53, "b", 1);
	rig_send_udp(r, APP, 5002, GOES, 53, "c", 1);
	rig_pump(r);
	exclude("198.51.100.0/24");
	ck_assert_uint_eq(change(), 0);
	ck_assert_uint_eq(tunnel_counters(r->t)->udp_dropped, 2);
	rig_attach(r);
	ck_assert_uint_eq(r->n_streams, 1);
	ck_assert_uint_eq(r->n_dgrams, 1);
	rig_send_udp(r, APP, 5003, STAYS, 53, "d", 1);	/* the queue still works */
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 2);
}
END_TEST

START_TEST(peers_are_dropped_one_by_one)
{
	struct peers q = { 0 };
	struct ipaddr a = { .family = 4, .bytes = { 10, 0, 0, 0 } };
	uint64_t now = 5000 * USEC_PER_SEC;
	bool odd(void *ctx, const struct ipaddr *x)
	{
		(void)ctx;
		return x->bytes[3] & 1;
	}
	uint32_t i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < 200; i++) {
			a.bytes[3] = (uint8_t)i;
			ck_assert_int_eq(peers_sent(&q, &a, now), 0);
		}
		peers_drop(&q, odd, NULL);
		ck_assert_uint_eq(q.n, 100);
		for (i = 0; i < 200; i++) {
			a.bytes[3] = (uint8_t)i;
			ck_assert_int_eq(peers_known(&q, &a, now), !(i & 1));
		}
	}
	for (i = 0; i < 1000; i++) {	/* lists and chains are whole: all give way in turn */
		a.bytes[2] = (uint8_t)(1 + i / 250);
		a.bytes[3] = (uint8_t)(i % 250);
		ck_assert_int_eq(peers_sent(&q, &a, now), 0);
	}
	ck_assert_uint_eq(q.n, LIMIT_ASSOC_PEERS);
	peers_free(&q);
	a.bytes[3] = 1;			/* the first one lies in the struct itself */
	ck_assert_int_eq(peers_sent(&q, &a, now), 0);
	peers_drop(&q, odd, NULL);
	ck_assert(!peers_known(&q, &a, now));
}
END_TEST

/* ---- the engine and its daemon ----------------------------------------------------------------- */

static struct engine e;
static int daemon_end;

static void engine_setup(void)
{
	int pair[2];

	setup();
	snprintf(next.stem, sizeof(next.stem), "corp");
	memset(&e, 0, sizeof(e));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(dup2(pair[1], HELPER_FD), HELPER_FD);
	close(pair[1]);
	daemon_end = pair[0];
	reload_init(&e);
	e.files = e.new_files;
	e.loop = r->loop;
	e.tunnel = r->t;
	e.offer = r->offer;
	e.resolver = resolver_new(e.loop, &r->socks, NULL, NULL);
	session_init(&e.session, r->now);
	log_level = LOG_LVL_INFO;
}

static void engine_teardown(void)
{
	resolver_free(e.resolver);
	reload_free(&e);
	close(daemon_end);
	teardown();
}

/* A sealed record, as the daemon passes it. */
static int record(const struct profile *v, size_t size)
{
	int fd = memfd_create("profile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, v, size), (ssize_t)size);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

static void send_file(enum helper_file which, int fd)
{
	struct helper_msg m = { .type = HELPER_FILE, .u.file.file = (uint8_t)which };

	ck_assert_int_eq(helper_send(daemon_end, &m, &fd, 1), 0);
	close(fd);
}

static void send_profile(const struct profile *v)
{
	send_file(HELPER_FILE_PROFILE, record(v, sizeof(*v)));
}

/* Return: the answer to a RELOAD; *offer: what came before it */
static int reload(uint32_t flags, char why[512], struct helper_msg *offer)
{
	struct helper_msg m = { .type = HELPER_RELOAD, .u.reload.flags = flags };
	int fds[HELPER_MAX_FDS], got;
	bool answered = false;
	int error = 0;

	ck_assert_int_eq(helper_send(daemon_end, &m, NULL, 0), 0);
	daemon_link_ready(&e, r->now);
	ck_assert(!e.stopping);
	while ((got = helper_recv(daemon_end, &m, fds)) > 0) {
		ck_assert(!answered);		/* it is the last */
		if (m.type == HELPER_RELOADED) {
			answered = true;
			error = m.u.reloaded.error;
			snprintf(why, 512, "%s", m.u.reloaded.text);
		} else if (m.type == HELPER_OFFER && offer) {
			*offer = m;
		}
	}
	ck_assert_int_eq(got, -EAGAIN);
	ck_assert(answered);
	return error;
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The profile that the engine starts with, mapped as its own. */
static void start(void)
{
	send_profile(&next);
	daemon_link_ready(&e, r->now);
	ck_assert_ptr_nonnull(e.new_profile);
	e.profile = e.new_profile;
	e.new_profile = NULL;
	r->t->env.profile = e.profile;
}

START_TEST(a_profile_that_may_not_be_changes_nothing)
{
	const struct profile *was;
	unsigned int before;
	char why[512];

	start();
	was = e.profile;
	before = open_fds();
	ck_assert_int_eq(reload(0, why, NULL), -EBADMSG);	/* none was sent */
	send_file(HELPER_FILE_PROFILE, record(&next, sizeof(next) - 1));
	ck_assert_int_eq(reload(0, why, NULL), -EBADMSG);	/* too short */
	next.n_routes = PROFILE_MAX_PREFIXES + 1;
	send_profile(&next);
	ck_assert_int_eq(reload(0, why, NULL), -EBADMSG);
	next.n_routes = 1;
	next.mtu = 1280;
	send_profile(&next);
	ck_assert_int_eq(reload(0, why, NULL), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(why, "MTU"));
	next.mtu = was->mtu;
	next.tun4 = rig_addr("10.9.0.3");
	send_profile(&next);
	ck_assert_int_eq(reload(0, why, NULL), -EOPNOTSUPP);
	next.tun4 = was->tun4;
	snprintf(next.stem, sizeof(next.stem), "other");
	send_profile(&next);
	ck_assert_int_eq(reload(0, why, NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "other"));
	ck_assert_ptr_eq(e.profile, was);
	ck_assert_ptr_eq(r->t->env.profile, was);
	ck_assert_uint_eq(open_fds(), before);
	ck_assert_int_eq(log_level, LOG_LVL_INFO);
}
END_TEST

START_TEST(an_answer_that_the_socket_does_not_take_is_said_again)
{
	struct helper_msg m = { .type = HELPER_RELOAD }, noise = { .type = HELPER_USAGE };
	int fds[HELPER_MAX_FDS], answers = 0;

	start();
	send_profile(&next);
	ck_assert_int_eq(helper_send(daemon_end, &m, NULL, 0), 0);
	while (helper_send(HELPER_FD, &noise, NULL, 0) == 0)
		;
	daemon_link_ready(&e, r->now);
	ck_assert(e.reloaded_unsaid);
	ck_assert_uint_eq(daemon_link_again(&e, r->now), r->now + LIMIT_UNSAID_US);
	while (helper_recv(daemon_end, &m, fds) > 0)
		ck_assert_int_eq(m.type, HELPER_USAGE);
	ck_assert_uint_eq(daemon_link_again(&e, r->now), UINT64_MAX);
	ck_assert_uint_eq(daemon_link_again(&e, r->now), UINT64_MAX);
	while (helper_recv(daemon_end, &m, fds) > 0)
		answers += m.type == HELPER_RELOADED && m.u.reloaded.error == 0;
	ck_assert_int_eq(answers, 1);
}
END_TEST

START_TEST(the_log_level_follows_the_profile_when_it_changes)
{
	char why[512];

	start();
	log_level = LOG_LVL_ERROR;		/* by hand */
	next.mtu = e.profile->mtu;
	exclude("198.51.100.0/24");
	send_profile(&next);
	ck_assert_int_eq(reload(0, why, NULL), 0);
	ck_assert_int_eq(log_level, LOG_LVL_ERROR);
	next.log_level = LOG_LVL_DEBUG;
	send_profile(&next);
	ck_assert_int_eq(reload(0, why, NULL), 0);
	ck_assert_int_eq(log_level, LOG_LVL_DEBUG);
	log_level = LOG_LVL_INFO;
}
END_TEST

START_TEST(resolvers_timers_and_routes_change_in_one_go)
{
	struct helper_msg offer = { 0 };
	struct rig_tcp goes;
	char why[512];

	start();
	rig_attach(r);
	goes = rig_tcp_syn(r, APP, 40001, GOES, 80);
	rig_pump(r);
	rig_tcp_established(&goes);
	rig_pump(r);
	e.attached = e.have_config = true;
	e.config.mtu = 1400;
	e.config.interface4 = rig_addr("10.9.0.2");
	e.config.interface6 = rig_addr("fd00:9::2");
	e.config.n_dns = 2;
	e.config.dns[0] = r->offer.resolvers[0];
	e.config.dns[1] = r->offer.resolvers[1];
	e.offer_sent.addr4 = e.config.interface4;	/* what the TUN has */
	e.offer_sent.addr6 = e.config.interface6;
	e.offer_sent.mtu = 1400;
	e.mux = r->c;
	probe_init(&e.probe, 60, 1, 5, r->now);
	e.probe.sent = 2;
	next.probe_idle_s = 7;
	next.probe_interval_s = 3;
	next.probe_count = 9;
	next.n_resolvers = 1;
	next.resolvers[0] = rig_addr("10.0.7.53");
	next.n_search = 1;
	snprintf(next.search[0], sizeof(next.search[0]), "new.example");
	exclude("198.51.100.0/24");
	send_profile(&next);
	ck_assert_int_eq(reload(0, why, &offer), 0);
	ck_assert_uint_eq(offer.type, HELPER_OFFER);
	ck_assert_uint_eq(offer.u.offer.n_resolvers, 1);
	ck_assert(addr_equal(&offer.u.offer.resolvers[0], &next.resolvers[0]));
	ck_assert_str_eq(offer.u.offer.search[0], "new.example");
	ck_assert(addr_equal(&offer.u.offer.addr4, &e.config.interface4));
	ck_assert_uint_eq(e.probe.idle_us, 7 * USEC_PER_SEC);
	ck_assert_uint_eq(e.probe.interval_us, 3 * USEC_PER_SEC);
	ck_assert_uint_eq(e.probe.count, 9);
	ck_assert_uint_eq(e.probe.sent, 2);		/* the round goes on */
	link_applied(&e, 0, r->now);
	ck_assert(addr_equal(dnsfwd_resolver(r->t, 0), &next.resolvers[0]));
	rig_pump(r);
	ck_assert(rig_read(r, &p) && p.flags & TCP_RST);
	/* the same again: nothing to offer */
	offer.type = 0;
	send_profile(&next);
	ck_assert_int_eq(reload(0, why, &offer), 0);
	ck_assert_uint_eq(offer.type, 0);
	e.mux = NULL;
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reload");
	TCase *tc = tcase_create("tunnel");

	if (dup2(STDERR_FILENO, HELPER_FD) < 0)		/* so that nobody else takes it */
		return EXIT_FAILURE;
	suite_add_tcase(s, tc);
	tcase_add_test(tc, differs_where_the_decision_does);
	tcase_add_test(tc, peers_are_dropped_one_by_one);
	tc = tcase_create("flows");
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, tcp_ends_only_where_the_verdict_changed);
	tcase_add_test(tc, syns_that_wait_are_answered);
	tcase_add_test(tc, associations_end_by_port_and_by_route);
	tcase_add_test(tc, an_association_forgets_whom_it_may_not_hear_any_more);
	tcase_add_test(tc, direct_sockets_close_when_their_port_is_tunnelled);
	tcase_add_test(tc, datagrams_that_wait_for_a_session_are_dropped);
	tc = tcase_create("engine");
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, engine_setup, engine_teardown);
	tcase_add_test(tc, a_profile_that_may_not_be_changes_nothing);
	tcase_add_test(tc, an_answer_that_the_socket_does_not_take_is_said_again);
	tcase_add_test(tc, the_log_level_follows_the_profile_when_it_changes);
	tcase_add_test(tc, resolvers_timers_and_routes_change_in_one_go);
	return rig_main(s);
}
