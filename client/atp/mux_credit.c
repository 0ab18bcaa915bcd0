/* SPDX-License-Identifier: MIT */
/*
 * mux_credit.c - what the peer may send (docs/protocol.md, 4).
 *
 * Outstanding of a stream is what was granted and is neither consumed nor
 * given back: unused + buffered.  Its first 1 KiB is floor, reserved when the
 * stream is made; what lies above is elastic.  Floor reserved and elastic out
 * never exceed half of the budget each, so their sum never exceeds it.
 */
#include "client/atp/mux_int.h"

static uint32_t outstanding(const struct mux_stream *s)
{
	return s->unused + s->buffered;
}

static uint32_t above_floor(uint32_t n)
{
	return n > LIMIT_WINDOW_FLOOR ? n - LIMIT_WINDOW_FLOOR : 0;
}

/* Set both parts of a stream's credit and keep the sums. */
static void credit_set(struct mux *m, struct mux_stream *s, uint32_t unused, uint32_t buffered)
{
	uint32_t before = outstanding(s), after = unused + buffered;

	m->count.outstanding += after;
	m->count.outstanding -= before;
	m->elastic_out += above_floor(after);
	m->elastic_out -= above_floor(before);
	s->unused = unused;
	s->buffered = buffered;
}

bool credit_floor(struct mux *m, struct mux_stream *s)
{
	if ((m->n_floor + 1ull) * LIMIT_WINDOW_FLOOR > m->budget - m->elastic)
		return false;
	m->n_floor++;
	s->floored = true;
	return true;
}

/* The largest grant that floor and elastic part allow. */
static uint32_t grantable(const struct mux *m, const struct mux_stream *s, uint32_t want)
{
	uint32_t have = outstanding(s);
	uint64_t free = m->elastic - m->elastic_out, most;

	most = (have < LIMIT_WINDOW_FLOOR ? LIMIT_WINDOW_FLOOR - have : 0) + free;
	return want < most ? want : (uint32_t)most;
}

uint32_t credit_first(struct mux *m, struct mux_stream *s)
{
	uint32_t n = LIMIT_WINDOW_FLOOR;

	s->goal = LIMIT_WINDOW_FIRST;
	if (m->elastic_out * 2 < m->elastic)
		n = grantable(m, s, LIMIT_WINDOW_FIRST);
	credit_set(m, s, n, 0);
	s->window = n;
	s->use_start = 0;
	return n;
}

void credit_data(struct mux *m, struct mux_stream *s, uint32_t n)
{
	/* unused becomes buffered: the sums stay */
	s->unused -= n;
	s->buffered += n;
	if (s->use_start == 0)
		s->use_start = m->now ? m->now : 1;
	if (s->returned) {
		/* A key press shall not call for a window, a transfer shall
		 * not wait for its first kilobyte to be consumed. */
		if (s->unused * 2 > LIMIT_WINDOW_FLOOR)
			return;
		s->returned = false;
		s->window_owed = true;
		ctl_owe(m, s);
	}
}

void credit_consumed(struct mux *m, struct mux_stream *s, uint32_t n)
{
	if (n > s->buffered)
		n = s->buffered;
	credit_set(m, s, s->unused, s->buffered - n);
	if (s->fin_received || s->ended || s->window_owed)
		return;
	if (outstanding(s) <= s->window / 2) {
		s->window_owed = true;
		ctl_owe(m, s);
	}
}

void credit_returned(struct mux *m, struct mux_stream *s, uint32_t n)
{
	credit_set(m, s, s->unused - n, s->buffered);
	s->window = outstanding(s);
	s->returned = true;
	s->use_start = 0;
}

void credit_fin(struct mux *m, struct mux_stream *s)
{
	credit_set(m, s, 0, s->buffered);
	s->window_owed = false;
}

void credit_drop(struct mux *m, struct mux_stream *s)
{
	credit_set(m, s, 0, 0);
	s->window_owed = false;
}

/* Was half of the window used within two round trips? */
static bool limited(const struct mux *m, const struct mux_stream *s)
{
	uint64_t rtt = m->rtt_us > MUX_RTT_MIN_US ? m->rtt_us : MUX_RTT_MIN_US;

	return s->use_start && s->window >= s->goal && m->now - s->use_start <= 2 * rtt;
}

uint32_t credit_grant(struct mux *m, struct mux_stream *s)
{
	uint32_t have = outstanding(s), goal = s->goal, n;

	if (s->fin_received || s->ended)
		return 0;
	if (limited(m, s) && goal < LIMIT_WINDOW_MAX)
		goal *= 2;
	if (goal <= have)
		return 0;
	n = grantable(m, s, goal - have);
	if (n == goal - have)
		s->goal = goal;
	/* Crumbs are for a peer that has nothing else. */
	if (n == 0 || (n < LIMIT_WINDOW_FLOOR / 2 && s->buffered > 0))
		return 0;
	credit_set(m, s, s->unused + n, s->buffered);
	s->window = outstanding(s);
	s->use_start = 0;
	s->returned = false;
	return n;
}
