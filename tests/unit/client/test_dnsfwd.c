/* SPDX-License-Identifier: MIT */
/* The DNS forwarder: messages, names, failover. */
#include "tests/unit/client/tunnel_rig.h"

#define APP	"10.9.0.2"
#define APP6	"fd00:9::2"
#define SERVICE	"198.18.53.53"
#define SERVICE6 "fd61:7070:7475::53"

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

/* ---- messages --------------------------------------------------------------------------- */

/* A query for @name.  Return: its length */
static size_t query(uint8_t *m, uint16_t id, const char *name, uint16_t type)
{
	size_t n = DNS_HEADER;

	memset(m, 0, DNS_HEADER);
	rig_put16(m, id);
	m[2] = 1;			/* RD */
	m[5] = 1;
	while (*name) {
		size_t l = strcspn(name, ".");

		m[n++] = (uint8_t)l;
		memcpy(m + n, name, l);
		n += l;
		name += l + (name[l] == '.');
	}
	m[n++] = 0;
	rig_put16(m + n, type);
	rig_put16(m + n + 2, 1);
	return n + 4;
}

/* Make the query in @m an answer with one address.  Return: its length */
static size_t answer(uint8_t *m, size_t n, uint8_t rcode, const char *addr, uint32_t ttl)
{
	struct ipaddr a;

	m[2] |= 0x80;
	m[3] = rcode;
	if (!addr)
		return n;
	a = rig_addr(addr);
	m[7]++;
	rig_put16(m + n, 0xc00c);
	rig_put16(m + n + 2, a.family == 4 ? 1 : 28);
	rig_put16(m + n + 4, 1);
	rig_put32(m + n + 6, ttl);
	rig_put16(m + n + 10, (uint32_t)addr_len(a.family));
	memcpy(m + n + 12, a.bytes, addr_len(a.family));
	return n + 12 + addr_len(a.family);
}

START_TEST(questions)
{
	uint8_t m[512], k[512];
	char name[254], longest[254];
	uint16_t type;
	size_t n, i;

	n = query(m, 1, "www.Example_1.COM", 28);
	ck_assert_int_eq(dns_question(m, n, name, &type), (int)n);
	ck_assert_str_eq(name, "www.example_1.com");
	ck_assert_uint_eq(type, 28);
	for (i = 0; i < n; i++)		/* every cut is noticed */
		ck_assert_int_eq(dns_question(m, i, name, NULL), -EBADMSG);
	n = query(m, 1, "a$(x).b", 1);
	ck_assert_int_gt(dns_question(m, n, name, NULL), 0);
	ck_assert_str_eq(name, "");
	n = query(m, 1, "", 1);		/* the root */
	ck_assert_int_eq(dns_question(m, n, name, NULL), 17);
	ck_assert_str_eq(name, "");
	for (i = 0; i < 253; i++)
		longest[i] = i % 64 == 63 ? '.' : 'x';
	longest[253] = '\0';
	n = query(m, 1, longest, 1);
	ck_assert_int_eq(dns_question(m, n, name, NULL), (int)n);
	ck_assert_str_eq(name, longest);
	m[DNS_HEADER + 192]++;		/* 256 bytes */
	memmove(m + n - 4, m + n - 5, 5);
	m[n - 5] = 'x';
	ck_assert_int_eq(dns_question(m, n + 1, name, NULL), -EBADMSG);
	n = query(m, 1, "a.b", 1);
	m[DNS_HEADER] = 0xc0;		/* a pointer in a question */
	ck_assert_int_eq(dns_question(m, n, name, NULL), -EBADMSG);
	n = query(m, 1, "a.b", 1);
	m[5] = 2;
	ck_assert_int_eq(dns_question(m, n, name, NULL), -EBADMSG);
	n = query(m, 1, "Host.Name", 1);
	i = query(k, 2, "hoST.naME", 1);
	ck_assert(dns_same_question(m, n, k, i));
	i = query(k, 2, "host.name", 28);
	ck_assert(!dns_same_question(m, n, k, i));
	i = query(k, 2, "host.nama", 1);
	ck_assert(!dns_same_question(m, n, k, i));
	i = query(k, 2, "host.name.x", 1);
	ck_assert(!dns_same_question(m, n, k, i));
}
END_TEST

START_TEST(names_are_remembered)
{
	uint64_t key[2] = { 1, 2 }, now = 100 * USEC_PER_SEC;
	struct dnsnames *names = dnsnames_new(key);
	struct ipaddr a = rig_addr("192.0.2.7"), b = rig_addr("2001:db8::1");
	uint8_t m[512];
	size_t n, i;

	n = query(m, 1, "www.example.com", 1);
	n = answer(m, n, 0, "192.0.2.7", 5);
	n = answer(m, n, 0, "2001:db8::1", 100000);
	dnsnames_learn(names, m, n, now);
	ck_assert_str_eq(dnsnames_find(names, &a, now), "www.example.com");
	ck_assert_str_eq(dnsnames_find(names, &b, now), "www.example.com");
	now += (DNS_NAME_MIN_S - 1) * USEC_PER_SEC;
	ck_assert_ptr_nonnull(dnsnames_find(names, &a, now));
	now += 2 * USEC_PER_SEC;
	ck_assert_ptr_null(dnsnames_find(names, &a, now));
	now += DNS_NAME_MAX_S * USEC_PER_SEC;
	ck_assert_ptr_null(dnsnames_find(names, &b, now));
	for (i = 0; i <= n; i++) {	/* cut anywhere, wrong anywhere: nothing bad happens */
		dnsnames_learn(names, m, i, now);
		if (i < n)
			m[i] ^= 0xff;
		dnsnames_learn(names, m, n, now);
		if (i < n)
			m[i] ^= 0xff;
	}
	/* no name for a failure, nor for what a host name cannot be */
	n = query(m, 1, "bad", 1);
	n = answer(m, n, 3, "192.0.2.9", 60);
	dnsnames_learn(names, m, n, now);
	a = rig_addr("192.0.2.9");
	ck_assert_ptr_null(dnsnames_find(names, &a, now));
	n = query(m, 1, "b ad", 1);
	n = answer(m, n, 0, "192.0.2.9", 60);
	dnsnames_learn(names, m, n, now);
	ck_assert_ptr_null(dnsnames_find(names, &a, now));
	dnsnames_free(names);
}
END_TEST

START_TEST(the_oldest_names_go)
{
	uint64_t key[2] = { 1, 2 }, now = 100 * USEC_PER_SEC;
	struct dnsnames *names = dnsnames_new(key);
	struct ipaddr a;
	char text[32];
	uint8_t m[512];
	uint32_t i;
	size_t n;

	for (i = 0; i < DNS_NAMES + 100; i++) {
		(void)snprintf(text, sizeof(text), "10.1.%u.%u", i / 256, i % 256);
		n = query(m, 1, "host", 1);
		n = answer(m, n, 0, text, 3600);
		dnsnames_learn(names, m, n, now);
	}
	for (i = 0; i < DNS_NAMES + 100; i++) {
		(void)snprintf(text, sizeof(text), "10.1.%u.%u", i / 256, i % 256);
		a = rig_addr(text);
		ck_assert_int_eq(dnsnames_find(names, &a, now) != NULL, i >= 100);
	}
	dnsnames_free(names);
}
END_TEST

/* ---- forwarding -------------------------------------------------------------------------- */

static size_t ask(const char *app, uint16_t port, uint16_t id, const char *name)
{
	uint8_t m[512];
	size_t n = query(m, id, name, 1);

	rig_send_udp(r, app, port, app[0] == 'f' ? SERVICE6 : SERVICE, 53, m, n);
	rig_pump(r);
	return n;
}

/* The resolver's answer to the forwarded query number @i */
static void reply(uint32_t i, uint8_t rcode, const char *addr)
{
	struct rig_dgram d = r->dgrams[i];
	size_t n = answer(d.data, d.len, rcode, addr, 60);

	(void)mux_stream_dgram(r->s, d.stream->s, &d.d, d.data, n, r->now);
	rig_pump(r);
}

static void assert_answer(uint16_t port, uint16_t id, uint8_t rcode)
{
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.proto, 17);
	ck_assert_uint_eq(p.src_port, 53);
	ck_assert_uint_eq(p.dst_port, port);
	ck_assert_uint_eq(p.data[0] << 8 | p.data[1], id);
	ck_assert_uint_eq(p.data[2] & 0x80, 0x80);
	ck_assert_uint_eq(p.data[3] & 0x0f, rcode);
}

static bool asked(uint32_t i, uint32_t resolver)
{
	return i < r->n_dgrams && r->dgrams[i].d.port == 53 &&
	       addr_equal(&r->dgrams[i].d.addr, &r->offer.resolvers[resolver]);
}

START_TEST(a_query_and_its_answer)
{
	struct ipaddr service = rig_addr(SERVICE);
	size_t n;

	rig_attach(r);
	n = ask(APP, 3000, 0x1234, "www.example.com");
	ck_assert_uint_eq(r->n_streams, 1);
	ck_assert_uint_eq(r->streams[0].open.proto, MUX_UDP);
	ck_assert_uint_eq(r->n_dgrams, 1);
	ck_assert(asked(0, 0));
	ck_assert_uint_eq(r->dgrams[0].len, n);
	reply(0, 0, "192.0.2.7");
	assert_answer(3000, 0x1234, 0);
	ck_assert(addr_equal(&p.src, &service));
	ck_assert_uint_eq(p.len, n + 16);
	reply(0, 0, "192.0.2.7");		/* a second one is not passed on */
	ck_assert(!rig_read(r, &p));
	/* the name goes into the OPEN of what follows */
	rig_tcp_syn(r, APP, 4000, "192.0.2.7", 443);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 2);
	ck_assert_str_eq(r->streams[1].open.name, "www.example.com");
	ck_assert_uint_eq(tunnel_counters(r->t)->dns_queries, 1);
	ck_assert_uint_eq(tunnel_counters(r->t)->dns_failures, 0);
}
END_TEST

START_TEST(ids_are_random_and_apps_apart)
{
	uint32_t i, same = 0;

	rig_attach(r);
	for (i = 0; i < 100; i++)
		ask(i % 2 ? APP : APP6, (uint16_t)(3000 + i), 7, "x.example");
	ck_assert_uint_eq(r->n_dgrams, 100);
	for (i = 1; i < 100; i++)
		same += r->dgrams[i].data[0] == r->dgrams[i - 1].data[0] &&
			(uint8_t)(r->dgrams[i].data[1] - r->dgrams[i - 1].data[1]) < 2;
	ck_assert_uint_lt(same, 5);
	for (i = 100; i-- > 0;) {
		reply(i, 0, "192.0.2.7");
		assert_answer((uint16_t)(3000 + i), 7, 0);
		ck_assert_uint_eq(p.src.family, i % 2 ? 4 : 6);
	}
}
END_TEST

START_TEST(false_answers_are_ignored)
{
	struct rig_dgram d;
	size_t n;

	rig_attach(r);
	ask(APP, 3000, 9, "www.example.com");
	d = r->dgrams[0];
	n = answer(d.data, d.len, 0, "192.0.2.66", 60);
	d.d.addr = r->offer.resolvers[1];		/* was not asked */
	(void)mux_stream_dgram(r->s, d.stream->s, &d.d, d.data, n, r->now);
	d.d = r->dgrams[0].d;
	d.d.port = 54;					/* another port */
	(void)mux_stream_dgram(r->s, d.stream->s, &d.d, d.data, n, r->now);
	d.d.port = 53;
	d.data[13] ^= 1;				/* another question */
	(void)mux_stream_dgram(r->s, d.stream->s, &d.d, d.data, n, r->now);
	d.data[13] ^= 1;
	d.data[0] ^= 1;					/* another ID */
	(void)mux_stream_dgram(r->s, d.stream->s, &d.d, d.data, n, r->now);
	d.data[0] ^= 1;
	d.data[2] &= 0x7f;				/* no answer */
	(void)mux_stream_dgram(r->s, d.stream->s, &d.d, d.data, n, r->now);
	(void)mux_stream_dgram(r->s, d.stream->s, &d.d, d.data, 5, r->now);
	rig_pump(r);
	ck_assert(!rig_read(r, &p));
	reply(0, 0, "192.0.2.7");
	assert_answer(3000, 9, 0);
}
END_TEST

START_TEST(the_next_resolver_after_two_seconds)
{
	rig_attach(r);
	ask(APP, 3000, 9, "www.example.com");
	rig_wait(r, DNS_RETRY_US - 1000);
	ck_assert_uint_eq(r->n_dgrams, 1);
	rig_wait(r, 1000);
	ck_assert(asked(1, 1));
	reply(1, 0, "192.0.2.7");
	assert_answer(3000, 9, 0);
	ask(APP, 3000, 10, "www.example.com");		/* the one that worked comes first */
	ck_assert(asked(2, 1));
	rig_wait(r, DNS_RETRY_US);
	ck_assert(asked(3, 0));
	reply(2, 0, "192.0.2.7");			/* late, but it was asked */
	assert_answer(3000, 10, 0);
}
END_TEST

START_TEST(servfail_after_ten_seconds)
{
	rig_attach(r);
	ask(APP, 3000, 9, "www.example.com");
	rig_wait(r, DNS_GIVE_UP_US - 1000);
	ck_assert(!rig_read(r, &p));
	ck_assert_uint_eq(r->n_dgrams, 5);		/* at 0, 2, 4, 6, 8 s */
	rig_wait(r, 1000);
	assert_answer(3000, 9, DNS_SERVFAIL);
	ck_assert_uint_eq(tunnel_counters(r->t)->dns_failures, 1);
	ck_assert(r->dgrams[4].d.addr.bytes[2] == r->offer.resolvers[0].bytes[2]);
}
END_TEST

START_TEST(a_failing_resolver_is_left_at_once)
{
	struct mux_dgram at = { .addr = rig_addr("10.0.0.53"), .port = 53 };

	rig_attach(r);
	ask(APP, 3000, 9, "www.example.com");
	reply(0, DNS_SERVFAIL, NULL);
	ck_assert(asked(1, 1));
	ck_assert(!rig_read(r, &p));
	reply(1, DNS_REFUSED, NULL);			/* all failed: the app hears the last */
	assert_answer(3000, 9, DNS_REFUSED);
	ask(APP, 3000, 10, "www.example.com");
	mux_stream_dgram_error(r->s, r->streams[0].s, &at, 3, 3, 0);
	rig_pump(r);
	ck_assert(asked(3, 1));
	reply(3, 3, NULL);				/* NXDOMAIN is an answer */
	assert_answer(3000, 10, 3);
}
END_TEST

START_TEST(queries_wait_for_a_session)
{
	ask(APP, 3000, 9, "www.example.com");
	ck_assert(tunnel_wants_session(r->t));
	rig_wait(r, 3 * USEC_PER_SEC);
	rig_attach(r);
	ck_assert_uint_eq(r->n_dgrams, 1);
	rig_detach(r);					/* lost: asked again in the next one */
	rig_attach(r);
	ck_assert_uint_eq(r->n_dgrams, 2);
	ck_assert(asked(1, 0));
	rig_detach(r);
	rig_wait(r, 8 * USEC_PER_SEC);
	assert_answer(3000, 9, DNS_SERVFAIL);
	ask(APP, 3000, 10, "www.example.com");
	ck_assert(!rig_read(r, &p));
	tunnel_set_hopeless(r->t, true, r->now);
	assert_answer(3000, 10, DNS_SERVFAIL);
	ask(APP, 3000, 11, "www.example.com");
	assert_answer(3000, 11, DNS_SERVFAIL);
	ck_assert(!tunnel_wants_session(r->t));
}
END_TEST

START_TEST(an_association_that_ends_is_made_anew)
{
	rig_attach(r);
	ask(APP, 3000, 9, "www.example.com");
	ask(APP, 3001, 9, "www.example.com");
	mux_stream_reset(r->s, r->streams[0].s, MUX_RST_IDLE);
	rig_pump(r);
	ck_assert_uint_eq(r->n_streams, 2);
	ck_assert_uint_eq(r->n_dgrams, 4);
	ck_assert(asked(2, 0));
	reply(2, 0, "192.0.2.7");
	reply(3, 0, "192.0.2.7");
	assert_answer(3000, 9, 0);
	assert_answer(3001, 9, 0);
	rig_wait(r, LIMIT_ASSOC_DNS_US + 1000);		/* quiet: given up */
	ck_assert(r->streams[1].reset);
	ask(APP, 3002, 9, "www.example.com");
	ck_assert_uint_eq(r->n_streams, 3);
}
END_TEST

START_TEST(a_refused_association_is_servfail)
{
	r->answer = MUX_REF_UNSUPPORTED;
	rig_attach(r);
	ask(APP, 3000, 9, "www.example.com");
	ask(APP, 3001, 10, "www.example.com");
	assert_answer(3000, 9, DNS_SERVFAIL);
	assert_answer(3001, 10, DNS_SERVFAIL);
	ck_assert_uint_eq(r->n_streams, 1);
	r->answer = RIG_ACCEPT;
	rig_wait(r, 2 * USEC_PER_SEC);
	ask(APP, 3000, 9, "www.example.com");
	reply(0, 0, "192.0.2.7");
	assert_answer(3000, 9, 0);
}
END_TEST

START_TEST(other_resolvers_take_over)
{
	rig_attach(r);
	ask(APP, 3000, 9, "www.example.com");
	r->offer.resolvers[0] = rig_addr("fd00:1::53");
	r->offer.n_resolvers = 1;
	tunnel_set_offer(r->t, &r->offer);
	rig_pump(r);
	ck_assert(asked(1, 0));
	ck_assert_uint_eq(r->streams[1].open.addr.family, 6);
	reply(0, 0, "192.0.2.66");			/* the old one is not asked any more */
	ck_assert(!rig_read(r, &p));
	r->offer.n_resolvers = 0;
	tunnel_set_offer(r->t, &r->offer);
	rig_pump(r);
	assert_answer(3000, 9, DNS_SERVFAIL);
	ask(APP, 3000, 10, "www.example.com");
	assert_answer(3000, 10, DNS_SERVFAIL);
}
END_TEST

START_TEST(bad_queries)
{
	uint8_t m[2000];
	size_t n;

	rig_attach(r);
	n = query(m, 1, "a.b", 1);
	m[2] |= 0x80;					/* an answer: silence */
	rig_send_udp(r, APP, 3000, SERVICE, 53, m, n);
	rig_send_udp(r, APP, 3000, SERVICE, 53, m, 11);
	rig_pump(r);
	ck_assert(!rig_read(r, &p));
	n = query(m, 0x102, "a.b", 1);
	m[5] = 0;
	rig_send_udp(r, APP, 3000, SERVICE, 53, m, n);
	rig_pump(r);
	assert_answer(3000, 0x102, DNS_FORMERR);
	ck_assert_uint_eq(p.len, DNS_HEADER);
	memset(m, 0, sizeof(m));
	(void)query(m, 0x103, "a.b", 1);
	rig_send_udp(r, APP, 3000, SERVICE, 53, m, DNS_QUERY_MAX + 1);
	rig_pump(r);
	assert_answer(3000, 0x103, DNS_FORMERR);
	ck_assert_uint_eq(r->n_dgrams, 0);
	/* EDNS, and whatever else follows the question, stays */
	n = query(m, 5, "a.b", 1);
	memset(m + n, 0xab, 100);
	rig_send_udp(r, APP, 3000, SERVICE, 53, m, n + 100);
	rig_pump(r);
	ck_assert_uint_eq(r->dgrams[0].len, n + 100);
	ck_assert_mem_eq(r->dgrams[0].data + 2, m + 2, n + 98);
	/* another port of the service address */
	rig_send_udp(r, APP, 3000, SERVICE, 54, m, n);
	rig_pump(r);
	ck_assert(rig_read(r, &p));
	ck_assert_uint_eq(p.proto, 1);
	ck_assert_uint_eq(p.code, 3);
}
END_TEST

START_TEST(more_than_the_table_holds)
{
	uint32_t i, failed = 0;
	uint8_t m[512];
	size_t n;

	for (i = 0; i < DNS_IN_FLIGHT + 10; i++) {
		n = query(m, (uint16_t)i, "www.example.com", 1);
		rig_send_udp(r, APP, 3000, SERVICE, 53, m, n);
		rig_pump(r);
	}
	while (rig_read(r, &p))
		failed++;
	ck_assert_uint_eq(failed, 10);
	rig_wait(r, DNS_GIVE_UP_US);
	for (failed = 0; rig_read(r, &p); failed++)
		;
	ck_assert_uint_gt(failed, 0);
	rig_pump(r);
	ask(APP, 3000, 9, "www.example.com");
	ck_assert(!rig_read(r, &p));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dnsfwd");
	TCase *tc = tcase_create("dnsfwd");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, questions);
	tcase_add_test(tc, names_are_remembered);
	tcase_add_test(tc, the_oldest_names_go);
	tcase_add_test(tc, a_query_and_its_answer);
	tcase_add_test(tc, ids_are_random_and_apps_apart);
	tcase_add_test(tc, false_answers_are_ignored);
	tcase_add_test(tc, the_next_resolver_after_two_seconds);
	tcase_add_test(tc, servfail_after_ten_seconds);
	tcase_add_test(tc, a_failing_resolver_is_left_at_once);
	tcase_add_test(tc, queries_wait_for_a_session);
	tcase_add_test(tc, an_association_that_ends_is_made_anew);
	tcase_add_test(tc, a_refused_association_is_servfail);
	tcase_add_test(tc, other_resolvers_take_over);
	tcase_add_test(tc, bad_queries);
	tcase_add_test(tc, more_than_the_table_holds);
	suite_add_tcase(s, tc);
	return rig_main(s);
}
