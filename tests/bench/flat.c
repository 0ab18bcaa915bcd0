/* SPDX-License-Identifier: MIT */
/*
 * flat.c - does a packet cost the same whatever the number of flows?
 *
 * flat FLOWS PACKETS opens FLOWS TCP flows over a pretended TUN, then lets
 * PACKETS small requests arrive, round robin, each read and answered by the
 * owner and the answer acknowledged.  Only the second part is flat_run(), so
 *
 *	valgrind --tool=callgrind --toggle-collect=flat_run build/flat 10 20000
 *
 * counts the instructions of the packets alone; compare with 1000 flows.
 * Prints: "flows N packets N in N out N bytes_per_flow N".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/netstack.h"
#include "netstack/packet.h"
#include "netstack/slab.h"

#define FLOWS_MAX	60000ul
#define REQUEST		100u
#define ANSWER		200u

struct app {
	struct ns_tuple tuple;
	struct ns_tcp *t;
	uint32_t seq, ack;
};

static struct netstack *ns;
static struct app *apps;
static struct app *current;
static struct bufpool *pool;
static uint64_t now = 1000000;

static int output(void *ctx, const struct iovec *iov, int n)
{
	const uint8_t *tcp = (const uint8_t *)iov[0].iov_base + IPV4_HLEN;
	uint32_t len = 0;
	int i;

	(void)ctx;
	for (i = 0; i < n; i++)
		len += (uint32_t)iov[i].iov_len;
	len -= IPV4_HLEN + (tcp[12] >> 4) * 4u;
	if (tcp[13] & TH_RST)
		return -ECONNRESET;
	/* one flow speaks at a time */
	if (get_be16(tcp + 2) == current->tuple.src_port && (len || tcp[13] & TH_SYN))
		current->ack = get_be32(tcp + 4) + len + !!(tcp[13] & TH_SYN);
	return 0;
}

static void tcp_syn(void *ctx, struct ns_tcp *t, const struct ns_tuple *tuple)
{
	(void)ctx;
	(void)tuple;
	current->t = t;
	ns_tcp_set_user(t, current);
	ns_tcp_accept(ns, t, now);
}

static void tcp_readable(void *ctx, struct ns_tcp *t, void *user)
{
	uint8_t request[REQUEST];
	struct buf *b;

	(void)ctx;
	(void)user;
	if (ns_tcp_read(ns, t, request, sizeof(request)) != sizeof(request))
		return;
	b = buf_get(pool);
	if (!b)
		exit(1);
	memset(b->data, 'a', ANSWER);
	ns_tcp_write(ns, t, b, b->data, ANSWER);
	buf_unref(b);
}

static void tcp_sent(void *ctx, struct ns_tcp *t, void *user, uint32_t n)
{
	(void)ctx;
	(void)t;
	(void)user;
	(void)n;
}

static void tcp_eof(void *ctx, struct ns_tcp *t, void *user)
{
	(void)ctx;
	(void)t;
	(void)user;
}

static void tcp_closed(void *ctx, struct ns_tcp *t, void *user, bool reset)
{
	(void)ctx;
	(void)t;
	(void)user;
	(void)reset;
	fprintf(stderr, "a flow was closed\n");
	exit(1);
}

static void segment(struct app *a, uint8_t flags, uint32_t len)
{
	size_t size;
	uint8_t *p = ns_input_buf(ns, &size), *tcp = p + IPV4_HLEN;

	ip_header_write(p, &a->tuple.src, &a->tuple.dst, PROTO_TCP, 64, TCP_HLEN_MIN + len);
	memset(tcp, 0, TCP_HLEN_MIN);
	put_be16(tcp, a->tuple.src_port);
	put_be16(tcp + 2, a->tuple.dst_port);
	put_be32(tcp + 4, a->seq);
	put_be32(tcp + 8, a->ack);
	tcp[12] = TCP_HLEN_MIN / 4 << 4;
	tcp[13] = flags;
	put_be16(tcp + 14, 65535);
	memset(tcp + TCP_HLEN_MIN, 'q', len);
	a->seq += len + !!(flags & TH_SYN);
	current = a;
	ns_input(ns, IPV4_HLEN + TCP_HLEN_MIN + len, now);
	ns_flush(ns, now);
}

__attribute__((noinline))
static void flat_run(unsigned long flows, unsigned long packets)
{
	unsigned long i;

	for (i = 0; i < packets; i++) {
		struct app *a = &apps[i % flows];

		segment(a, TH_ACK | TH_PSH, REQUEST);
		segment(a, TH_ACK, 0);
		now += 10;
	}
}

int main(int argc, char **argv)
{
	static const struct ns_ops ops = {
		.output = output, .tcp_syn = tcp_syn, .tcp_readable = tcp_readable,
		.tcp_sent = tcp_sent, .tcp_eof = tcp_eof, .tcp_closed = tcp_closed,
	};
	struct ns_config config = { .mtu = 1400, .hash_key = "a key of benches" };
	unsigned long flows = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
	unsigned long packets = argc > 2 ? strtoul(argv[2], NULL, 10) : 20000, i;
	const struct ns_counters *c;

	if (!flows || flows > FLOWS_MAX) {
		fprintf(stderr, "usage: flat FLOWS(1..%lu) PACKETS\n", FLOWS_MAX);
		return 2;
	}
	ns = ns_new(&config, &ops, NULL);
	pool = bufpool_new(16384, 16);
	apps = calloc(flows, sizeof(*apps));
	if (!ns || !pool || !apps)
		return 1;
	for (i = 0; i < flows; i++) {
		struct app *a = &apps[i];

		addr_parse("10.9.0.1", &a->tuple.src);
		addr_parse("10.8.0.9", &a->tuple.dst);
		a->tuple.src_port = (uint16_t)(1024 + i);
		a->tuple.dst_port = 80;
		a->seq = (uint32_t)i * 77777;
		segment(a, TH_SYN, 0);
		segment(a, TH_ACK, 0);
	}
	flat_run(flows, packets);
	c = ns_counters(ns);
	printf("flows %llu packets %lu in %llu out %llu bytes_per_flow %zu\n",
	       (unsigned long long)c->tcp_flows, packets, (unsigned long long)c->packets_in,
	       (unsigned long long)c->packets_out, slab_in_use() / flows);
	if (c->tcp_flows != flows || c->bytes_out < packets * ANSWER)
		return 1;
	ns_free(ns);
	bufpool_free(pool);
	free(apps);
	return 0;
}
