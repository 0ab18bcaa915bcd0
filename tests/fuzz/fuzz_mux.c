/* SPDX-License-Identifier: MIT */
/*
 * fuzz_mux.c - a peer that knows the protocol and does not keep to it, and an
 * owner that does what it likes.  The first byte is the role; then each byte
 * is an operation: a frame of the peer with plausible fields, raw bytes, an
 * action of the owner, output, time.  Credit, budget and store keep their
 * bounds whatever happens, and nothing is read twice.
 * fuzz: client/atp/mux.c client/atp/mux_stream.c client/atp/mux_recv.c client/atp/mux_send.c client/atp/mux_credit.c client/atp/mux_dgram.c client/atp/store.c client/atp/frame.c
 */
#include <stdlib.h>
#include <string.h>

#include "client/atp/mux_int.h"

#define STREAMS	32
#define BUDGET	(64u << 10)
#define STORE	(256u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	const uint8_t *data;
	size_t size;
	struct mux *m;
	struct mux_stream *s[STREAMS];	/* the owner's; index + 1 is the user */
	uint64_t now;
	uint8_t in[2 * LIMIT_PAYLOAD];
	size_t len;
};

static struct run run;

static uint8_t take(void)
{
	if (!run.size)
		return 0;
	run.size--;
	return *run.data++;
}

static size_t on_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	size_t n = (size_t)take() * 97;

	(void)ctx;
	(void)user;
	if (n > max)
		n = max;
	memset(dst, 0x41, n);
	return n;
}

static void on_closed(void *ctx, void *user)
{
	size_t i = (size_t)(uintptr_t)user - 1;

	(void)ctx;
	if (i >= STREAMS || !run.s[i])
		abort();
	run.s[i] = NULL;
}

static const struct mux_ops ops = { on_pull, on_closed };

static void keep(struct mux_stream *s)
{
	size_t i;

	for (i = 0; i < STREAMS; i++) {
		if (run.s[i])
			continue;
		run.s[i] = s;
		mux_stream_set_user(s, (void *)(uintptr_t)(i + 1));
		return;
	}
	mux_stream_reset(run.m, s, MUX_RST_LIMIT);
}

static void on_event(const struct mux_event *ev)
{
	if (ev->type == MUX_EV_OPEN) {
		if (take() % 8 == 0) {
			mux_stream_refuse(run.m, ev->stream, MUX_REF_CONN);
			return;
		}
		if (take() % 8)
			mux_stream_accept(run.m, ev->stream, NULL, 0, run.now);
		keep(ev->stream);
	} else if (ev->type == MUX_EV_DATA && take() % 2) {
		mux_stream_consumed(run.m, ev->stream, (uint32_t)ev->len, run.now);
	}
	if (ev->len && (ev->data < run.in || ev->data + ev->len > run.in + run.len))
		abort();
}

static void receive(void)
{
	struct mux_event ev;
	size_t used, at = 0;
	int got;

	do {
		got = mux_recv(run.m, run.in + at, run.len - at, &used, &ev, run.now);
		if (used > run.len - at)
			abort();
		at += used;
		if (got > 0)
			on_event(&ev);
	} while (got > 0);
	if (got < 0 && !*mux_error(run.m))
		abort();
	mux_recv_done(run.m, run.now);
	if (got < 0)
		at = run.len;
	memmove(run.in, run.in + at, run.len - at);
	run.len -= at;
}

/* A frame with a stream ID near the ones in use and a payload that often fits. */
static void peer_frame(uint8_t type)
{
	static const uint8_t fixed[] = { [FRAME_OPENED] = 7, [FRAME_REFUSED] = 1, [FRAME_WINDOW] = 4,
		[FRAME_RESET] = 1, [FRAME_RETURN] = 4, [FRAME_ACK] = 8, [FRAME_PROBE] = 8,
		[FRAME_PROBE_REPLY] = 8, [FRAME_GOAWAY] = 6, [FRAME_OPEN] = 12, [FRAME_CONFIG] = 2,
		[FRAME_DGRAM] = 14, [FRAME_DGRAM_ERROR] = 20 };
	uint32_t len = type < sizeof(fixed) ? fixed[type] : 0, id = 0, i;
	uint8_t *p = run.in + run.len, knob = take();

	if (type == FRAME_DATA)
		len = 1 + knob * 16u;
	if (len + LIMIT_FRAME_HEADER > sizeof(run.in) - run.len)
		return;
	if (type < FRAME_ACK && type != FRAME_CONFIG)
		id = type == FRAME_OPEN ? run.m->last_id + 1 : 1 + take() % (run.m->last_id + 2);
	frame_header(p, type, len, id);
	p += LIMIT_FRAME_HEADER;
	memset(p, 0, len);
	switch (type) {
	case FRAME_OPEN:
		p[0] = knob & 1 ? MUX_TCP : MUX_UDP;
		p[1] = 4;
		if (knob & 1)
			put32(p + 8, knob * 512u);
		break;
	case FRAME_OPENED:
		put32(p, knob & 1 ? knob * 512u : 0);
		break;
	case FRAME_WINDOW:
	case FRAME_RETURN:
		put32(p, 1 + knob * 64u);
		break;
	case FRAME_DGRAM:
	case FRAME_DGRAM_ERROR:
		p[0] = 4;
		break;
	case FRAME_ACK:
		/* mostly where it may point */
		put64(p, knob < 250 ? run.m->store.sent : run.m->store.acked + knob);
		break;
	case FRAME_CONFIG:
		memcpy(p, "{}", 2);
		break;
	case FRAME_GOAWAY:
		put16(p, knob % 8);
		break;
	default:
		for (i = 0; i < len; i++)
			p[i] = knob;
	}
	run.len += LIMIT_FRAME_HEADER + len;
}

static void raw_bytes(void)
{
	size_t n = take();

	while (n-- && run.size && run.len < sizeof(run.in))
		run.in[run.len++] = take();
}

static void owner_open(void)
{
	struct mux_open o = { .proto = take() % 4 ? MUX_TCP : MUX_UDP, .addr = { .family = 4 } };
	struct mux_stream *s = mux_stream_open(run.m, &o, NULL, run.now);

	if (s)
		keep(s);
}

static void owner_stream(uint8_t op)
{
	struct mux_dgram d = { .addr = { .family = 4 }, .port = 53 };
	static const uint8_t data[4096];
	size_t i = take() % STREAMS;
	struct mux_stream *s = run.s[i];

	if (!s)
		return;
	switch (op % 6) {
	case 0:
		mux_stream_ready(run.m, s, run.now);
		break;
	case 1:
		mux_stream_fin(run.m, s);
		break;
	case 2:
		run.s[i] = NULL;
		mux_stream_reset(run.m, s, MUX_RST_RESET);
		break;
	case 3:
		mux_stream_consumed(run.m, s, take() * 64u, run.now);
		break;
	case 4:
		(void)mux_stream_dgram(run.m, s, &d, data, (size_t)take() * 16, run.now);
		break;
	case 5:
		mux_stream_accept(run.m, s, NULL, 0, run.now);
		break;
	}
}

static void output(void)
{
	size_t len, n;

	if (!mux_output(run.m, 1 + take() * 128u, &len, run.now))
		return;
	if (!len)
		abort();
	n = take();
	mux_written(run.m, n > 200 || n > len ? len : n);
}

static void check(void)
{
	const struct mux_counters *c = mux_counters(run.m);

	if (c->outstanding > BUDGET || c->store_bytes > STORE || c->acked_out > c->counted_out ||
	    run.m->elastic_out > run.m->elastic || c->counted_in > c->bytes_in)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mux_config c = { .budget = BUDGET, .store = STORE, .max_streams = 64 };
	uint8_t op;

	memset(run.s, 0, sizeof(run.s));
	run.data = data;
	run.size = size;
	run.len = 0;
	run.now = 1000000;
	op = take();
	c.role = op & 1 ? MUX_SERVER : MUX_CLIENT;
	run.m = mux_new(&c, &ops, NULL);
	if (!run.m)
		return 0;
	if (c.role == MUX_SERVER)
		(void)mux_send_config(run.m, "{}", 2);
	else if (op & 2)
		peer_frame(FRAME_CONFIG);
	while (run.size) {
		op = take();
		if (op < 0x14)
			peer_frame(op);
		else if (op < 0x18)
			raw_bytes();
		else if (op < 0x20)
			owner_open();
		else if (op < 0x60)
			owner_stream(op);
		else if (op < 0xa0)
			output();
		else if (op < 0xb0)
			peer_frame(FRAME_DATA);
		else if (op < 0xc0)
			run.now += take() * 20000u;
		else if (op < 0xc8)
			(void)mux_timer(run.m, run.now);
		else if (op < 0xcc)
			mux_probe(run.m, op);
		else if (op == 0xcc)
			mux_goaway(run.m, (enum mux_goaway)(take() % 6), UINT32_MAX, "text");
		else
			receive();
		check();
	}
	receive();
	mux_free(run.m);
	return 0;
}
