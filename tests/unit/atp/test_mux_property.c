/* SPDX-License-Identifier: MIT */
/*
 * test_mux_property.c - two muxes against each other with random operations.
 *
 *	app <-> client mux <- pipes, cut anywhere -> server mux <-> far end
 *
 * Every stream's bytes are a function of (pair, direction, offset), so that
 * one lost, repeated or misplaced byte shows.  Checked all along: credit
 * sums, floor, budget, store; at the end: nothing is left on either side.
 *
 *	MUX_STEPS=100000 MUX_SEED=7 build/unit/atp/test_mux_property
 */
#include <stdio.h>

#include "tests/unit/atp/pair.h"

#define PAIRS		48
#define STEPS		100000
#define BUDGET		(512u << 10)
#define STORE		(512u << 10)
#define BURST		(64u << 10)	/* a test's appetite */

/* Check notes the place of each assertion in a pipe: too slow for a million. */
#define MUST(what) do { \
	if (!(what)) \
		ck_abort_msg("%s:%d: %s", __func__, __LINE__, #what); \
} while (0)

enum { UP, DOWN };		/* client to server, server to client */

struct half {
	uint64_t avail;			/* written by the app in all */
	uint64_t pulled, received, consumed;
	bool fin, fin_seen;
};

struct pair {
	bool used, accepted, tcp;
	bool reset[2];			/* client's, server's owner is done with it */
	struct mux_stream *s[2];	/* client's, server's; NULL: none (any more) */
	struct half half[2];
	uint64_t key;
	uint32_t dgrams_sent[2], dgrams_got[2];
};

struct end {				/* what pull and closed get as ctx */
	struct test *t;
	int side;
};

struct test {
	struct side side[2];
	struct end end[2];
	struct pair pairs[PAIRS];
	uint64_t rnd, now, streams, bytes, resets, opened;
};

static uint64_t rnd(struct test *t)
{
	t->rnd ^= t->rnd << 13;
	t->rnd ^= t->rnd >> 7;
	t->rnd ^= t->rnd << 17;
	return t->rnd;
}

static uint32_t upto(struct test *t, uint32_t n)
{
	return n ? (uint32_t)(rnd(t) >> 33) % n : 0;
}

static uint8_t byte_at(const struct pair *p, int dir, uint64_t off)
{
	return (uint8_t)((p->key + (uint64_t)dir * 77 + off) * 0x9e3779b97f4a7c15ull >> 56);
}

static size_t on_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	struct end *e = ctx;
	struct pair *p = user;
	struct half *h = &p->half[e->side];
	size_t n = h->avail - h->pulled, i;

	MUST(max > 0);
	if (n > max)
		n = max;
	for (i = 0; i < n; i++)
		dst[i] = byte_at(p, e->side, h->pulled + i);
	h->pulled += n;
	return n;
}

static void release(struct pair *p)
{
	if (!p->s[0] && !p->s[1] && p->used)
		p->used = false;
}

static void on_closed(void *ctx, void *user)
{
	struct end *e = ctx;
	struct pair *p = user;

	MUST(p->s[e->side] != NULL);
	p->s[e->side] = NULL;
	/* closed by itself: both directions are whole, unless reset or refused */
	if (!p->reset[0] && !p->reset[1]) {
		struct half *in = &p->half[!e->side];

		MUST(in->fin_seen);
		MUST(in->received == in->avail);
		MUST(in->consumed == in->received);
	}
}

static const struct mux_ops ops = { on_pull, on_closed };

/* ---- the invariants ------------------------------------------------ */

static void check_sums(const struct mux *m)
{
	uint64_t out = 0, elastic = 0, floors = 0, sched = 0;
	struct link *l;

	for (l = m->all.next; l != &m->all; l = l->next) {
		const struct mux_stream *s = link_entry(l, struct mux_stream, all);
		uint32_t o = s->unused + s->buffered;

		out += o;
		elastic += o > LIMIT_WINDOW_FLOOR ? o - LIMIT_WINDOW_FLOOR : 0;
		floors += s->floored;
		sched += s->ready;
		if (s->ended)
			MUST(s->unused == 0);
	}
	MUST(out == m->count.outstanding);
	MUST(elastic == m->elastic_out);
	MUST(floors == m->n_floor);
	MUST(sched == m->n_ready);
	MUST(elastic <= m->elastic);
	MUST(floors * LIMIT_WINDOW_FLOOR <= m->budget - m->elastic);
	MUST(out <= m->budget);
	MUST(store_held(&m->store) <= STORE);
	MUST(m->store.chunks <= m->store.max_chunks);
	MUST(m->store.acked <= m->store.sent);
	MUST(m->store.sent <= m->store.made);
}

/* A sender never holds more credit than its receiver granted. */
static void check_credit(struct test *t)
{
	int i, d;

	for (i = 0; i < PAIRS; i++) {
		struct pair *p = &t->pairs[i];

		if (!p->s[0] || !p->s[1])
			continue;
		for (d = 0; d < 2; d++)
			if (!p->half[d].fin_seen && p->s[d]->answered && !p->s[!d]->ended)
				MUST(p->s[d]->send_credit <= p->s[!d]->unused);
	}
}

/* ---- operations ---------------------------------------------------- */

static void op_open(struct test *t)
{
	struct mux_open o = { .proto = MUX_TCP, .addr = { .family = 4, .bytes = { 10, 0, 0, 1 } },
			      .port = 80 };
	struct pair *p = &t->pairs[upto(t, PAIRS)];

	if (p->used)
		return;
	memset(p, 0, sizeof(*p));
	p->tcp = upto(t, 5) != 0;
	if (!p->tcp) {
		memset(&o, 0, sizeof(o));
		o.proto = MUX_UDP;
		o.addr.family = 4;
	}
	p->key = rnd(t);
	p->s[0] = mux_stream_open(t->side[0].m, &o, p, t->now);
	if (!p->s[0])
		return;
	p->used = true;
	t->streams++;
}

static struct pair *pick(struct test *t, int *side)
{
	struct pair *p = &t->pairs[upto(t, PAIRS)];

	*side = (int)upto(t, 2);
	return p->used && p->s[*side] && !p->reset[*side] ? p : NULL;
}

static void op_write(struct test *t)
{
	int side;
	struct pair *p = pick(t, &side);

	if (!p || !p->tcp || p->half[side].fin || (side == 1 && !p->accepted))
		return;
	p->half[side].avail += upto(t, 4) ? 1 + upto(t, 2000) : 1 + upto(t, 3 * BURST);
	mux_stream_ready(t->side[side].m, p->s[side], t->now);
}

static void op_fin(struct test *t)
{
	int side;
	struct pair *p = pick(t, &side);

	if (!p || !p->tcp || (side == 1 && !p->accepted))
		return;
	p->half[side].fin = true;
	mux_stream_fin(t->side[side].m, p->s[side]);
}

static void op_reset(struct test *t)
{
	int side;
	struct pair *p = pick(t, &side);

	if (!p || (side == 1 && !p->accepted) || upto(t, 4))
		return;
	mux_stream_reset(t->side[side].m, p->s[side], MUX_RST_RESET);
	p->s[side] = NULL;
	p->reset[0] = p->reset[1] = true;
	t->resets++;
}

static void consume(struct test *t, struct pair *p, int side, uint32_t n)
{
	struct half *h = &p->half[!side];

	if (n > h->received - h->consumed)
		n = (uint32_t)(h->received - h->consumed);
	if (!n)
		return;
	h->consumed += n;
	mux_stream_consumed(t->side[side].m, p->s[side], n, t->now);
}

static void op_consume(struct test *t)
{
	int side;
	struct pair *p = &t->pairs[upto(t, PAIRS)];

	side = (int)upto(t, 2);
	if (p->used && p->s[side])
		consume(t, p, side, upto(t, 2) ? 1 + upto(t, 3000) : UINT32_MAX);
}

static void op_dgram(struct test *t)
{
	struct mux_dgram d = { .addr = { .family = 4, .bytes = { 192, 0, 2, 1 } }, .port = 53 };
	uint8_t data[3000];
	int side;
	struct pair *p = pick(t, &side);
	size_t len = upto(t, sizeof(data));

	if (!p || p->tcp || (side == 1 && !p->accepted))
		return;
	memset(data, (int)(p->key & 0xff), len);
	if (mux_stream_dgram(t->side[side].m, p->s[side], &d, data, len, t->now) == 0)
		p->dgrams_sent[side]++;
}

/* Some bytes of @side's output enter the pipe to the other one. */
static void op_send(struct test *t)
{
	int side = (int)upto(t, 2);
	struct side *to = &t->side[!side];
	const uint8_t *p;
	size_t len, take;
	uint32_t i, spans = 1 + upto(t, 12);

	for (i = 0; i < spans; i++) {
		if (PIPE_SIZE - to->in.len < 2 * LIMIT_PAYLOAD)
			return;
		p = mux_output(t->side[side].m, 1 + upto(t, 20000), &len, t->now);
		if (!p)
			return;
		take = upto(t, 4) ? len : upto(t, (uint32_t)len + 1);
		pipe_add(&to->in, p, take);
		mux_written(t->side[side].m, take);
	}
}

static void on_event(struct test *t, int side, const struct mux_event *ev)
{
	struct pair *p = ev->user;
	struct half *h = p ? &p->half[!side] : NULL;
	size_t i;
	int k;

	switch (ev->type) {
	case MUX_EV_CONFIG:
	case MUX_EV_PROBE:
	case MUX_EV_PROBE_REPLY:
	case MUX_EV_GOAWAY:
	case MUX_EV_DGRAM_ERROR:
		break;
	case MUX_EV_OPEN:
		/* the client's stream of that ID, if it still wants it */
		for (k = 0; k < PAIRS; k++)
			if (t->pairs[k].used && t->pairs[k].s[0] &&
			    mux_stream_id(t->pairs[k].s[0]) == mux_stream_id(ev->stream))
				break;
		if (k == PAIRS) {
			if (upto(t, 2))
				mux_stream_refuse(t->side[1].m, ev->stream, MUX_REF_CONN);
			else
				mux_stream_reset(t->side[1].m, ev->stream, MUX_RST_RESET);
			break;
		}
		p = &t->pairs[k];
		if (upto(t, 10) == 0) {
			p->reset[0] = p->reset[1] = true;
			mux_stream_refuse(t->side[1].m, ev->stream, MUX_REF_HOST);
			break;
		}
		p->s[1] = ev->stream;
		p->accepted = true;
		mux_stream_set_user(ev->stream, p);
		mux_stream_accept(t->side[1].m, ev->stream, NULL, 0, t->now);
		break;
	case MUX_EV_OPENED:
		t->opened++;
		break;
	case MUX_EV_REFUSED:
		/* also by the mux itself: max_streams, floor */
		p->reset[0] = p->reset[1] = true;
		break;
	case MUX_EV_DATA:
		for (i = 0; i < ev->len; i++)
			if (ev->data[i] != byte_at(p, !side, h->received + i))
				ck_abort_msg("byte %zu is wrong", (size_t)h->received + i);
		h->received += ev->len;
		MUST(h->received <= h->pulled);
		t->bytes += ev->len;
		if (upto(t, 3) == 0)
			consume(t, p, side, 1 + upto(t, (uint32_t)ev->len));
		break;
	case MUX_EV_FIN:
		h->fin_seen = true;
		MUST(h->fin);
		MUST(h->received == h->avail);
		break;
	case MUX_EV_RESET:
		MUST(p->reset[side]);
		break;
	case MUX_EV_DGRAM:
		for (i = 0; i < ev->len; i++)
			MUST(ev->data[i] == (p->key & 0xff));
		p->dgrams_got[side]++;
		MUST(p->dgrams_got[side] <= p->dgrams_sent[!side]);
		break;
	}
}

static void receive(struct test *t, int side, size_t n)
{
	struct pipe *in = &t->side[side].in;
	struct mux_event ev;
	size_t used, at = 0;
	int got;

	do {
		got = mux_recv(t->side[side].m, in->buf + at, n - at, &used, &ev, t->now);
		if (got < 0)
			ck_abort_msg("side %d: %s", side, mux_error(t->side[side].m));
		at += used;
		if (got)
			on_event(t, side, &ev);
	} while (got);
	mux_recv_done(t->side[side].m, t->now);
	pipe_cut(in, at);
}

/* A read burst that ends anywhere, also within a header. */
static void op_recv(struct test *t)
{
	int side = (int)upto(t, 2);
	size_t len = t->side[side].in.len;

	receive(t, side, upto(t, 3) ? len : upto(t, (uint32_t)len + 1));
}

static void op_time(struct test *t)
{
	int i;

	t->now += upto(t, 20) ? upto(t, 2000) : upto(t, 2000000);
	for (i = 0; i < 2; i++)
		(void)mux_timer(t->side[i].m, t->now);
}

static void op_probe(struct test *t)
{
	if (upto(t, 8) == 0)
		mux_probe(t->side[upto(t, 2)].m, rnd(t));
}

static void step(struct test *t)
{
	static void (*const op[])(struct test *) = {
		op_open, op_open, op_write, op_write, op_fin, op_fin, op_reset,
		op_consume, op_consume, op_dgram, op_send, op_send, op_send, op_recv, op_recv, op_recv, op_time, op_probe,
	};
	int i;

	op[upto(t, sizeof(op) / sizeof(op[0]))](t);
	for (i = 0; i < PAIRS; i++)
		release(&t->pairs[i]);
}

/* ---- the end: finish everything, look for leftovers ------------------ */

static void settle(struct test *t)
{
	int i, side, rounds;

	for (rounds = 0; rounds < 2000; rounds++) {
		bool busy = false;

		t->now += 60000;
		for (side = 0; side < 2; side++) {
			(void)mux_timer(t->side[side].m, t->now);
			for (i = 0; i < PAIRS; i++) {
				struct pair *p = &t->pairs[i];

				if (p->used && p->s[side])
					consume(t, p, side, UINT32_MAX);
				if (p->used && p->s[side] && p->tcp && (side == 0 || p->accepted)) {
					p->half[side].fin = true;
					mux_stream_fin(t->side[side].m, p->s[side]);
				}
				if (p->used && !p->tcp && side == 0 && p->s[0] &&
				    p->s[0]->answered && !p->s[0]->dgrams) {
					mux_stream_reset(t->side[0].m, p->s[0], MUX_RST_IDLE);
					p->s[0] = NULL;
					p->reset[0] = p->reset[1] = true;
				}
			}
			busy |= side_flush(&t->side[side], &t->side[!side], t->now) > 0;
			receive(t, !side, t->side[!side].in.len);
		}
		if (!busy && !t->side[0].m->n_hashed && !t->side[1].m->n_hashed &&
		    !store_held(&t->side[0].m->store) && !store_held(&t->side[1].m->store))
			return;
	}
	ck_abort_msg("the streams did not come to an end");
}

static void check_rest(struct test *t)
{
	const struct mux_counters *a = mux_counters(t->side[0].m);
	const struct mux_counters *b = mux_counters(t->side[1].m);
	int i;

	MUST(a->counted_out == b->counted_in);
	MUST(b->counted_out == a->counted_in);
	MUST(a->acked_out == a->counted_out);
	MUST(b->acked_out == b->counted_out);
	MUST(a->frames_out == b->frames_in);
	MUST(b->frames_out == a->frames_in);
	MUST(a->bytes_out == b->bytes_in);
	MUST(a->outstanding + b->outstanding == 0);
	MUST(a->streams + b->streams + a->opens_waiting == 0);
	for (i = 0; i < 2; i++) {
		struct mux *m = t->side[i].m;

		MUST(link_empty(&m->all));
		MUST(link_empty(&m->ctl));
		MUST(link_empty(&m->recent));
		MUST(link_empty(&m->dgrams));
		MUST(m->n_floor == 0);
		MUST(m->n_unanswered == 0);
		MUST(m->store.chunks == 0);
		MUST(m->dgram_chunks == 0);
		MUST(m->pool.n_used == 0);
		MUST(!mux_wants_to_send(m));
	}
}

static uint64_t env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void run(uint64_t seed, uint64_t steps, uint64_t budget, uint32_t max_streams)
{
	struct mux_config c = { .budget = budget, .store = STORE, .max_streams = max_streams };
	struct test *t = calloc(1, sizeof(*t));
	uint64_t i;
	int k;

	MUST(t != NULL);
	t->rnd = seed * 0x9e3779b97f4a7c15ull + 1;
	t->now = 1000000;
	for (k = 0; k < 2; k++) {
		t->end[k] = (struct end){ t, k };
		c.role = k == 0 ? MUX_CLIENT : MUX_SERVER;
		side_init(&t->side[k], &c, &ops, &t->end[k]);
	}
	ck_assert_int_eq(mux_send_config(t->side[1].m, CONFIG_TEXT, strlen(CONFIG_TEXT)), 0);
	for (i = 0; i < steps; i++) {
		step(t);
		if (i % 8 == 0) {
			check_sums(t->side[0].m);
			check_sums(t->side[1].m);
			check_credit(t);
		}
	}
	settle(t);
	check_sums(t->side[0].m);
	check_sums(t->side[1].m);
	check_rest(t);
	if (getenv("MUX_VERBOSE"))
		printf("seed %llu: %llu streams, %llu opened, %llu resets, %llu bytes, "
		       "%llu discarded\n", (unsigned long long)seed, (unsigned long long)t->streams,
		       (unsigned long long)t->opened, (unsigned long long)t->resets,
		       (unsigned long long)t->bytes, (unsigned long long)
		       mux_counters(t->side[0].m)->frames_discarded);
	/* it must have done something to prove something */
	MUST(t->opened > steps / 500);
	MUST(t->bytes > steps * 10);
	side_done(&t->side[0]);
	side_done(&t->side[1]);
	free(t);
}

START_TEST(random_operations)
{
	uint64_t steps = env("MUX_STEPS", STEPS), seed = env("MUX_SEED", 1);

	run(seed, steps / 2, BUDGET, 0);
	/* floor for 32 streams only, hardly an elastic part */
	run(seed + 1000, steps / 4, 64u << 10, 0);
	run(seed + 2000, steps / 4, BUDGET, 12);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mux property");
	TCase *tc = tcase_create("random");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, random_operations);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
