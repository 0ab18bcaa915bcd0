/* SPDX-License-Identifier: MIT */
/*
 * mux_stream.c - a stream: its life from OPEN to the last byte consumed (mux_int.h
 * has it in one picture), and what its owner calls.
 */
#include "client/atp/mux_int.h"

#include <errno.h>
#include <stdlib.h>

/* ---- its life ----------------------------------------------------- */

struct mux_stream *stream_new(struct mux *m, uint8_t proto, void *user)
{
	struct mux_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->mux = m;
	s->user = user;
	s->proto = proto;
	s->tcp = proto == MUX_TCP;
	link_init(&s->ctl);
	link_init(&s->held);
	link_init(&s->sched);
	link_init(&s->recent);
	link_init(&s->dying);
	link_append(&m->all, &s->all);
	return s;
}

struct mux_stream *stream_find(const struct mux *m, uint32_t id)
{
	struct mux_stream *s = m->hash[id & (m->hash_size - 1)];

	while (s && s->id != id)
		s = s->hash_next;
	return s;
}

/* IDs are given out in sequence, so the low bits spread perfectly. */
static void hash_grow(struct mux *m)
{
	uint32_t size = m->hash_size * 2, i;
	struct mux_stream **hash = calloc(size, sizeof(*hash)), *s, *next;

	if (!hash)
		return;		/* longer chains, nothing worse */
	for (i = 0; i < m->hash_size; i++) {
		for (s = m->hash[i]; s; s = next) {
			next = s->hash_next;
			s->hash_next = hash[s->id & (size - 1)];
			hash[s->id & (size - 1)] = s;
		}
	}
	free(m->hash);
	m->hash = hash;
	m->hash_size = size;
}

void stream_hash(struct mux *m, struct mux_stream *s)
{
	struct mux_stream **slot;

	if (m->n_hashed >= m->hash_size)
		hash_grow(m);
	slot = &m->hash[s->id & (m->hash_size - 1)];
	s->hash_next = *slot;
	*slot = s;
	s->hashed = true;
	m->n_hashed++;
	m->count.streams++;
	m->count.streams_total++;
}

static void stream_unhash(struct mux *m, struct mux_stream *s)
{
	struct mux_stream **slot = &m->hash[s->id & (m->hash_size - 1)];

	if (!s->hashed)
		return;
	while (*slot != s)
		slot = &(*slot)->hash_next;
	*slot = s->hash_next;
	s->hashed = false;
	m->n_hashed--;
	m->count.streams--;
}

void stream_answered(struct mux *m, struct mux_stream *s)
{
	if (s->unanswered)
		m->n_unanswered--;
	s->unanswered = false;
}

void stream_end(struct mux *m, struct mux_stream *s)
{
	stream_unhash(m, s);
	s->ended = true;
	if (link_remove(&s->held))
		m->n_held--;
	link_remove(&s->ctl);
	link_remove(&s->sched);
	link_remove(&s->recent);
	if (s->ready)
		m->n_ready--;
	s->ready = false;
	dgram_drop_all(m, s);
	free(s->open);
	s->open = NULL;
}

void stream_check_gone(struct mux *m, struct mux_stream *s)
{
	if (s->ended && !s->detached && s->buffered == 0 && link_empty(&s->dying))
		link_append(&m->dying, &s->dying);
}

void stream_check_fins(struct mux *m, struct mux_stream *s)
{
	if (!s->fin_sent || !s->fin_received || s->ended)
		return;
	stream_end(m, s);
	stream_check_gone(m, s);
}

void stream_free(struct mux *m, struct mux_stream *s)
{
	if (!s->ended)
		stream_end(m, s);
	stream_answered(m, s);
	credit_drop(m, s);
	if (s->floored)
		m->n_floor--;
	link_remove(&s->ctl);
	link_remove(&s->dying);
	link_remove(&s->all);
	free(s);
}

void mux_reap(struct mux *m)
{
	struct mux_stream *s;
	void *user;

	while (!link_empty(&m->dying)) {
		s = link_entry(m->dying.next, struct mux_stream, dying);
		user = s->user;
		stream_free(m, s);
		if (user)
			m->ops->closed(m->ctx, user);
	}
}

/* ---- what the owner calls ------------------------------------------ */

bool mux_may_open(struct mux *m)
{
	while (m->n_rst && m->rst_until[m->rst_first] <= m->now) {
		m->rst_first = (m->rst_first + 1) % LIMIT_OPENS_PENDING;
		m->n_rst--;
	}
	return !m->draining_in && m->n_unanswered + m->n_rst < LIMIT_OPENS_PENDING &&
	       m->n_hashed < m->max_streams && m->last_id < LIMIT_STREAM_ID;
}

struct mux_stream *mux_stream_open(struct mux *m, const struct mux_open *open,
				   void *user, uint64_t now)
{
	struct mux_stream *s;

	mux_clock(m, now);
	if (m->role != MUX_CLIENT || mux_done(m) || m->draining_in ||
	    m->n_held >= LIMIT_OPENS_HELD || m->n_hashed + m->n_held >= m->max_streams ||
	    m->last_id + m->n_held >= LIMIT_STREAM_ID)
		return NULL;
	s = stream_new(m, open->proto, user);
	if (!s)
		return NULL;
	s->open = malloc(sizeof(*s->open));
	if (!s->open || (s->tcp && !credit_floor(m, s))) {
		stream_free(m, s);
		return NULL;
	}
	*s->open = *open;
	s->family = open->addr.family;
	link_append(&m->held, &s->held);
	m->n_held++;
	return s;
}

void mux_stream_set_user(struct mux_stream *s, void *user)
{
	s->user = user;
}

uint32_t mux_stream_id(const struct mux_stream *s)
{
	return s->id;
}

void mux_stream_accept(struct mux *m, struct mux_stream *s, const struct ipaddr *local,
		       uint16_t port, uint64_t now)
{
	mux_clock(m, now);
	if (m->role != MUX_SERVER || s->ended || s->answered || s->accept_owed)
		return;
	if (local)
		s->local = *local;
	s->local_port = port;
	s->accept_owed = true;
	ctl_owe(m, s);
}

void mux_stream_refuse(struct mux *m, struct mux_stream *s, enum mux_refused reason)
{
	if (s->ended || mux_done(m)) {
		stream_free(m, s);
		return;
	}
	if (s->answered) {
		mux_stream_reset(m, s, MUX_RST_RESET);
		return;
	}
	stream_end(m, s);
	credit_drop(m, s);
	s->detached = true;
	s->refuse_owed = (uint8_t)reason;
	ctl_owe(m, s);
}

void mux_stream_ready(struct mux *m, struct mux_stream *s, uint64_t now)
{
	mux_clock(m, now);
	if (s->ready || !s->tcp || s->ended || s->fin_sent)
		return;
	s->ready = true;
	m->n_ready++;
	sched_update(m, s);
}

void mux_stream_fin(struct mux *m, struct mux_stream *s)
{
	if (!s->tcp || s->ended || s->fin_wanted)
		return;
	s->fin_wanted = true;
	if (!s->ready)
		ctl_owe(m, s);
}

void mux_stream_reset(struct mux *m, struct mux_stream *s, enum mux_reset_reason r)
{
	uint32_t at;

	if (s->ended || !s->opened || mux_done(m)) {
		stream_free(m, s);
		return;
	}
	if (s->unanswered && m->role == MUX_CLIENT) {
		/* n_unanswered + n_rst never exceeds the ring, see mux_may_open() */
		at = (m->rst_first + m->n_rst++) % LIMIT_OPENS_PENDING;
		m->rst_until[at] = m->now + MUX_RST_COUNTS_US;
	}
	stream_answered(m, s);
	stream_end(m, s);
	credit_drop(m, s);
	s->detached = true;
	s->reset_owed = (uint8_t)r;
	ctl_owe(m, s);
}

void mux_stream_consumed(struct mux *m, struct mux_stream *s, uint32_t n, uint64_t now)
{
	mux_clock(m, now);
	credit_consumed(m, s, n);
	stream_check_gone(m, s);
}

int mux_stream_dgram(struct mux *m, struct mux_stream *s, const struct mux_dgram *d,
		     const uint8_t *data, size_t len, uint64_t now)
{
	mux_clock(m, now);
	if (s->tcp)
		return -EINVAL;
	if (s->ended || mux_done(m)) {
		m->count.dgrams_dropped++;
		return -ENOBUFS;
	}
	return dgram_queue(m, s, d, data, len);
}

void mux_stream_dgram_error(struct mux *m, struct mux_stream *s, const struct mux_dgram *at,
			    uint8_t type, uint8_t code, uint32_t mtu)
{
	if (m->role == MUX_SERVER && !s->tcp && !s->ended && !mux_done(m))
		dgram_queue_error(m, s, at, type, code, mtu);
}
