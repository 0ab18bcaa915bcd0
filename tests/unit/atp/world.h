/* SPDX-License-Identifier: MIT */
/*
 * world.h - a client's and a server's mux with simple owners, for the tests of
 * what the mux does by itself.  Everything is delivered at once by settle();
 * time passes by tick().
 */
#ifndef ATP_TEST_WORLD_H
#define ATP_TEST_WORLD_H

#include <errno.h>
#include <stdio.h>

#include "tests/unit/atp/pair.h"

#define MS	USEC_PER_MSEC
#define START	(1000 * MS)

struct app {			/* one stream's owner */
	size_t avail;		/* bytes to send */
	size_t pulled, got;
	bool closed, opened, fin;
	int refused, reset;
	struct mux_stream *s;
};

static struct side client, server;
static struct mux_event last[2];	/* last event of client, of server */
static unsigned int n_events[2];
static uint64_t now;
static bool answer_opens, consume;
static struct app *far_app;		/* gets the server's next stream */

static inline size_t on_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	struct app *a = user;
	size_t n = a->avail < max ? a->avail : max;

	(void)ctx;
	memset(dst, 'x', n);
	a->avail -= n;
	a->pulled += n;
	return n;
}

static inline void on_closed(void *ctx, void *user)
{
	struct app *a = user;

	(void)ctx;
	ck_assert(!a->closed);
	a->closed = true;
	a->s = NULL;
}

static const struct mux_ops ops = { on_pull, on_closed };

static inline void handle(struct side *at, const struct mux_event *ev)
{
	struct app *a = ev->user;

	last[at == &server] = *ev;
	n_events[at == &server]++;
	switch (ev->type) {
	case MUX_EV_OPEN:
		if (far_app) {
			far_app->s = ev->stream;
			mux_stream_set_user(ev->stream, far_app);
			far_app = NULL;
		}
		if (answer_opens)
			mux_stream_accept(at->m, ev->stream, NULL, 0, now);
		break;
	case MUX_EV_OPENED:
		if (a)
			a->opened = true;
		break;
	case MUX_EV_REFUSED:
		a->refused = ev->u.reason;
		break;
	case MUX_EV_RESET:
		if (a)
			a->reset = ev->u.reason;
		break;
	case MUX_EV_DATA:
		if (a)
			a->got += ev->len;
		if (consume)
			mux_stream_consumed(at->m, ev->stream, (uint32_t)ev->len, now);
		break;
	case MUX_EV_FIN:
		if (a)
			a->fin = true;
		break;
	case MUX_EV_CONFIG:
	case MUX_EV_DGRAM:
	case MUX_EV_DGRAM_ERROR:
	case MUX_EV_PROBE_REPLY:
	case MUX_EV_PROBE:
	case MUX_EV_GOAWAY:
		break;
	}
}

static inline void deliver(struct side *to)
{
	struct mux_event ev;
	size_t used, at = 0;
	int got;

	do {
		got = mux_recv(to->m, to->in.buf + at, to->in.len - at, &used, &ev, now);
		ck_assert_msg(got >= 0, "%s", mux_error(to->m));
		at += used;
		if (got)
			handle(to, &ev);
	} while (got);
	pipe_cut(&to->in, at);
	mux_recv_done(to->m, now);
}

static inline void settle(void)
{
	int i;

	for (i = 0; i < 100; i++) {
		size_t n = side_flush(&client, &server, now);

		deliver(&server);
		n += side_flush(&server, &client, now);
		deliver(&client);
		if (!n)
			return;
	}
	ck_abort_msg("two idle muxes keep talking");
}

static inline void tick(uint64_t us)
{
	now += us;
	(void)mux_timer(client.m, now);
	(void)mux_timer(server.m, now);
	settle();
}

static inline void start_with(uint64_t budget, uint32_t store, uint32_t max_streams)
{
	struct mux_config c = { .budget = budget, .store = store, .max_streams = max_streams };

	memset(n_events, 0, sizeof(n_events));
	now = START;
	answer_opens = consume = true;
	far_app = NULL;
	c.role = MUX_CLIENT;
	side_init(&client, &c, &ops, NULL);
	c.role = MUX_SERVER;
	side_init(&server, &c, &ops, NULL);
	ck_assert_int_eq(mux_send_config(server.m, CONFIG_TEXT, strlen(CONFIG_TEXT)), 0);
	settle();
}

static inline void setup(void)
{
	start_with(0, 0, 0);
}

static inline void teardown(void)
{
	side_done(&client);
	side_done(&server);
}

static inline void restart(uint64_t budget, uint32_t store, uint32_t max_streams)
{
	teardown();
	start_with(budget, store, max_streams);
}

static inline struct mux_stream *open_proto(struct app *a, uint8_t proto)
{
	struct mux_open o = { .proto = proto, .addr = { .family = 4 } };

	memset(a, 0, sizeof(*a));
	if (proto == MUX_TCP) {
		o.addr.bytes[0] = 10;
		o.port = 80;
		(void)snprintf(o.name, sizeof(o.name), "www.example");
		(void)snprintf(o.app, sizeof(o.app), "/usr/bin/curl");
		o.source_port = 40000;
	}
	a->s = mux_stream_open(client.m, &o, a, now);
	return a->s;
}

static inline void open_tcp(struct app *a, struct app *far)
{
	memset(far, 0, sizeof(*far));
	far_app = far;
	ck_assert_ptr_nonnull(open_proto(a, MUX_TCP));
	settle();
}

static inline void send_bytes(struct side *at, struct app *a, size_t n)
{
	a->avail += n;
	mux_stream_ready(at->m, a->s, now);
}

/* Run @n tests, each in a new world.  Return: exit code */
static inline int world_run(const char *name, const TTest *const *tests, size_t n)
{
	Suite *s = suite_create(name);
	TCase *tc = tcase_create(name);
	SRunner *sr = srunner_create(s);
	int failed;
	size_t i;

	tcase_add_checked_fixture(tc, setup, teardown);
	for (i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
