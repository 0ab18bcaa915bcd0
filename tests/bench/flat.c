/* SPDX-License-Identifier: MIT */
/*
 * flat.c - does a packet cost the same whatever the number of flows?
 *
 * flat FLOWS PACKETS opens FLOWS TCP flows over a pretended TUN, then lets
 * PACKETS small requests arrive, round robin.  Each becomes a frame of the mux,
 * a second mux plays Sentry and answers, the answer goes to the TUN and is
 * acknowledged; timers are asked as often as the engine does.  Only the second
 * part is flat_run(), so
 *
 *	valgrind --tool=callgrind --toggle-collect=flat_run build/bench/flat 10 20000
 *
 * counts the instructions of the packets alone (of netstack and of both muxes);
 * compare with 1000 flows.
 * Prints: "flows N packets N in N out N bytes_per_flow N allocations N", the last
 * being the calls of malloc, calloc and realloc in flat_run() (linked with
 * --wrap): the promise is none, and another number is an error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/atp/mux.h"
#include "netstack/netstack.h"
#include "netstack/packet.h"
#include "netstack/slab.h"

#define FLOWS_MAX	60000ul
#define REQUEST		100u
#define ANSWER		200u
#define WIRE		16384u	/* one record */
#define VNET		10u	/* struct virtio_net_hdr */
#define VNET_NEEDS_CSUM	1

struct app {
	struct ns_tuple tuple;
	struct ns_tcp *t;
	struct mux_stream *near, *far;	/* in the client's mux, in Sentry's */
	uint32_t seq, ack;
	uint32_t answers;		/* bytes that Sentry has yet to send */
};

static struct netstack *ns;
static struct app *apps;
static struct app *current;
static struct bufpool *pool;
static struct mux *client, *server;
static uint64_t now = 1000000;

static int output(void *ctx, const struct iovec *iov, int n)
{
	const uint8_t *tcp = (const uint8_t *)iov[1].iov_base + IPV4_HLEN;
	uint32_t len = 0;
	int i;

	(void)ctx;
	for (i = 1; i < n; i++)
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
	struct mux_open open = { .proto = MUX_TCP, .addr = tuple->dst, .port = tuple->dst_port,
				 .source_port = tuple->src_port };

	(void)ctx;
	current->t = t;
	ns_tcp_set_user(t, current);
	current->near = mux_stream_open(client, &open, current, now);
	if (!current->near)
		exit(1);
}

static void tcp_readable(void *ctx, struct ns_tcp *t, void *user)
{
	const struct app *a = user;

	(void)ctx;
	(void)t;
	mux_stream_ready(client, a->near, now);
}

static void tcp_sent(void *ctx, struct ns_tcp *t, void *user, uint32_t n)
{
	const struct app *a = user;

	(void)ctx;
	(void)t;
	mux_stream_consumed(client, a->near, n, now);
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

/* ---- what is asked of malloc -------------------------------------------------- */

static unsigned long allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	allocations++;
	return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	allocations++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	allocations++;
	return __real_realloc(p, n);
}

/* ---- the wire ------------------------------------------------------------ */

static size_t near_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	const struct app *a = user;

	(void)ctx;
	return ns_tcp_read(ns, a->t, dst, max);
}

static size_t far_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	struct app *a = user;
	size_t n = a->answers < max ? a->answers : max;

	(void)ctx;
	memset(dst, 'a', n);
	a->answers -= (uint32_t)n;
	return n;
}

static void stream_closed(void *ctx, void *user)
{
	(void)ctx;
	(void)user;
	fprintf(stderr, "a stream was closed\n");
	exit(1);
}

static void near_event(const struct mux_event *ev, struct buf *b)
{
	const struct app *a = ev->user;

	if (ev->type == MUX_EV_OPENED)
		ns_tcp_accept(ns, a->t, now);
	else if (ev->type == MUX_EV_DATA)
		ns_tcp_write(ns, a->t, b, ev->data, ev->len);
	else if (ev->type != MUX_EV_CONFIG)
		exit(1);
}

static void far_event(const struct mux_event *ev)
{
	struct app *a = ev->user;

	if (ev->type == MUX_EV_OPEN) {
		a = &apps[ev->u.open.source_port - 1024];
		a->far = ev->stream;
		mux_stream_set_user(ev->stream, a);
		mux_stream_accept(server, ev->stream, NULL, 0, now);
	} else if (ev->type == MUX_EV_DATA) {
		mux_stream_consumed(server, ev->stream, (uint32_t)ev->len, now);
		a->answers += (uint32_t)ev->len * (ANSWER / REQUEST);
		mux_stream_ready(server, ev->stream, now);
	} else {
		exit(1);
	}
}

/* Carry what @from has to @to.  Return: bytes */
static size_t carry(struct mux *from, struct mux *to)
{
	size_t len, used, off, total = 0;
	const uint8_t *p;
	struct mux_event ev;
	struct buf *b;

	while ((p = mux_output(from, WIRE, &len, now))) {
		b = buf_get(pool);
		if (!b || len > b->size)
			exit(1);
		memcpy(b->data, p, len);
		mux_written(from, len);
		for (off = 0; off < len; off += used) {
			int got = mux_recv(to, b->data + off, len - off, &used, &ev, now);

			if (got < 0)
				exit(1);
			if (!got && !used)
				break;
			if (got && to == client)
				near_event(&ev, b);
			else if (got)
				far_event(&ev);
		}
		buf_unref(b);
		total += len;
	}
	if (total)
		mux_recv_done(to, now);
	return total;
}

/* A turn of the engine's loop, and one of Sentry's. */
static void turn(void)
{
	size_t moved;

	do {
		ns_flush(ns, now);
		moved = carry(client, server);
		moved += carry(server, client);
	} while (moved);
	mux_timer(client, now);
	mux_timer(server, now);
	ns_timer(ns, now);
}

static void segment(struct app *a, uint8_t flags, uint32_t len)
{
	size_t size;
	uint8_t *vnet = ns_input_buf(ns, &size), *p = vnet + VNET, *tcp = p + IPV4_HLEN;

	/* as an app's packet comes: its checksum is still to be made */
	memset(vnet, 0, VNET);
	vnet[0] = VNET_NEEDS_CSUM;
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
	ns_input(ns, VNET + IPV4_HLEN + TCP_HLEN_MIN + len, now);
	turn();
}

static void request(struct app *a)
{
	segment(a, TH_ACK | TH_PSH, REQUEST);
	segment(a, TH_ACK, 0);
	now += 10;
}

__attribute__((noinline))
static void flat_run(unsigned long flows, unsigned long packets)
{
	unsigned long i;

	for (i = 0; i < packets; i++)
		request(&apps[i % flows]);
}

int main(int argc, char **argv)
{
	static const struct ns_ops ops = {
		.output = output, .tcp_syn = tcp_syn, .tcp_readable = tcp_readable,
		.tcp_sent = tcp_sent, .tcp_eof = tcp_eof, .tcp_closed = tcp_closed,
	};
	static const struct mux_ops near_ops = { near_pull, stream_closed };
	static const struct mux_ops far_ops = { far_pull, stream_closed };
	struct mux_config near_config = { .role = MUX_CLIENT, .max_streams = FLOWS_MAX };
	struct mux_config far_config = { .role = MUX_SERVER, .max_streams = FLOWS_MAX };
	struct ns_config config = { .mtu = 1400, .vnet_hdr = true, .hash_key = "a key of benches" };
	unsigned long flows = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
	unsigned long packets = argc > 2 ? strtoul(argv[2], NULL, 10) : 20000, i, used;
	const struct ns_counters *c;

	if (!flows || flows > FLOWS_MAX) {
		fprintf(stderr, "usage: flat FLOWS(1..%lu) PACKETS\n", FLOWS_MAX);
		return 2;
	}
	ns = ns_new(&config, &ops, NULL);
	pool = bufpool_new(16384, 16);
	apps = calloc(flows, sizeof(*apps));
	client = mux_new(&near_config, &near_ops, NULL);
	server = mux_new(&far_config, &far_ops, NULL);
	if (!ns || !pool || !apps || !client || !server || mux_send_config(server, "{}", 2))
		return 1;
	turn();
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
	for (i = 0; i < flows; i++)	/* the first of each flow takes its room */
		request(&apps[i]);
	if (!allocations)
		return 1;		/* nothing is counted */
	allocations = 0;
	flat_run(flows, packets);
	used = allocations;
	c = ns_counters(ns);
	printf("flows %llu packets %lu in %llu out %llu bytes_per_flow %zu allocations %lu\n",
	       (unsigned long long)c->tcp_flows, packets, (unsigned long long)c->packets_in,
	       (unsigned long long)c->packets_out, slab_in_use() / flows, used);
	if (c->tcp_flows != flows || c->bytes_out < packets * ANSWER || used)
		return 1;
	mux_free(client);
	mux_free(server);
	ns_free(ns);
	bufpool_free(pool);
	free(apps);
	return 0;
}
