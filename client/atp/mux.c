/* SPDX-License-Identifier: MIT */
/*
 * mux.c - the session: made, probed, told to go, its CONFIG, its timers.  Its
 * streams are mux_stream.c's.
 */
#include "client/atp/mux_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUX_HASH_FIRST	1024u
#define MUX_STREAMS	65536u		/* when nobody said */

struct mux *mux_new(const struct mux_config *config, const struct mux_ops *ops, void *ctx)
{
	struct mux *m = calloc(1, sizeof(*m));
	unsigned int i, k;

	if (!m)
		return NULL;
	m->hash = calloc(MUX_HASH_FIRST, sizeof(struct mux_stream *));
	if (!m->hash) {
		free(m);
		return NULL;
	}
	m->hash_size = MUX_HASH_FIRST;
	m->role = config->role;
	m->ops = ops;
	m->ctx = ctx;
	m->max_streams = config->max_streams ? config->max_streams : MUX_STREAMS;
	m->budget = config->budget ? config->budget : LIMIT_BUDGET;
	m->elastic = m->budget - m->budget / 2;
	link_init(&m->all);
	link_init(&m->held);
	link_init(&m->dying);
	link_init(&m->ctl);
	link_init(&m->recent);
	link_init(&m->dgrams);
	for (i = 0; i < SCHED_CLASSES; i++)
		for (k = 0; k < SCHED_KINDS; k++)
			link_init(&m->sched[i][k]);
	store_init(&m->store, &m->pool, config->store ? config->store : LIMIT_STORE);
	return m;
}

void mux_free(struct mux *m)
{
	if (!m)
		return;
	if (m->span_dgram)
		dgram_done(m, m->span_dgram);
	while (!link_empty(&m->all))
		stream_free(m, link_entry(m->all.next, struct mux_stream, all));
	store_free(&m->store);
	chunk_free_all(&m->pool);
	free(m->config);
	free(m->hash);
	free(m);
}

void mux_fail(struct mux *m, enum mux_goaway reason, const char *why)
{
	if (mux_done(m))
		return;
	(void)snprintf(m->error, sizeof(m->error), "%s", why);
	m->failed = true;
	m->goaway_owed = true;
	m->goaway_reason = (uint16_t)reason;
	m->goaway_last = 0;
	memcpy(m->goaway_text, m->error, sizeof(m->error));
}

const char *mux_error(const struct mux *m)
{
	return m->error;
}

/* ---- session ------------------------------------------------------ */

void mux_probe(struct mux *m, uint64_t opaque)
{
	if (m->n_probes < MUX_PROBES)
		m->probes[m->n_probes++] = opaque;
}

void mux_goaway(struct mux *m, enum mux_goaway reason, uint32_t last, const char *text)
{
	if (mux_done(m))
		return;
	if (reason == MUX_DRAINING) {
		m->draining_out = true;
		m->draining_last = last < m->last_id ? m->last_id : last;
		if (last == UINT32_MAX)
			m->draining_last = m->last_id;
		m->goaway_last = m->draining_last;
	} else {
		m->over = true;
		m->goaway_last = m->role == MUX_SERVER && last != UINT32_MAX ? last : m->last_id;
	}
	if (m->role == MUX_CLIENT)
		m->goaway_last = 0;
	m->goaway_owed = true;
	m->goaway_reason = (uint16_t)reason;
	(void)snprintf(m->goaway_text, sizeof(m->goaway_text), "%s", text ? text : "");
}

static bool config_busy(const struct mux *m)
{
	return m->config || (m->config_sent && (m->store.acked < m->config_end ||
						m->now < m->config_time + MUX_CONFIG_US));
}

int mux_send_config(struct mux *m, const char *json, size_t len)
{
	if (m->role != MUX_SERVER || len > LIMIT_CONFIG)
		return -EINVAL;
	if (config_busy(m))
		return -EBUSY;
	m->config = malloc(len ? len : 1);
	if (!m->config)
		return -ENOMEM;
	memcpy(m->config, json, len);
	m->config_len = len;
	return 0;
}

void mux_set_max_streams(struct mux *m, uint32_t n)
{
	m->max_streams = n ? n : 1;
}

void mux_set_rtt(struct mux *m, uint64_t rtt_us)
{
	m->rtt_us = rtt_us;
}

bool mux_wants_to_send(const struct mux *m)
{
	return m->n_ready || m->n_held || !link_empty(&m->ctl) || !link_empty(&m->dgrams) ||
	       store_held(&m->store) || m->span_len > m->span_off;
}

uint64_t mux_unacked(const struct mux *m)
{
	return store_held(&m->store);
}

const struct mux_counters *mux_counters(const struct mux *m)
{
	struct mux_counters *c = (struct mux_counters *)&m->count;

	/* kept elsewhere, shown here */
	c->counted_in = m->counted_in;
	c->counted_out = m->store.made;
	c->acked_out = m->store.acked;
	c->opens_waiting = m->n_held;
	c->store_bytes = store_held(&m->store);
	return c;
}

/* ---- timers ------------------------------------------------------- */

/* Streams that had nothing to send for a second give their credit back. */
static void return_timer(struct mux *m)
{
	struct mux_stream *s;

	while (!link_empty(&m->recent)) {
		s = link_entry(m->recent.next, struct mux_stream, recent);
		if (m->now < s->last_sent + LIMIT_RETURN_US)
			return;
		link_remove(&s->recent);
		if (s->ready) {
			/* it has something, and waits for store or socket */
			s->last_sent = m->now;
			link_append(&m->recent, &s->recent);
		} else if (s->send_credit > LIMIT_WINDOW_FLOOR) {
			s->return_owed = true;
			ctl_owe(m, s);
		}
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_deadline(const struct mux *m)
{
	uint64_t next = UINT64_MAX;

	if (m->ack_first && !m->ack_due)
		next = earlier(next, m->ack_first + LIMIT_ACK_US);
	if (!link_empty(&m->recent))
		next = earlier(next, link_entry(m->recent.next, struct mux_stream,
						recent)->last_sent + LIMIT_RETURN_US);
	if (!link_empty(&m->dgrams))
		next = earlier(next, link_entry(m->dgrams.next, struct dgram_node,
						queue)->time + LIMIT_DGRAM_MAX_AGE_US);
	if (m->n_rst && m->n_held)
		next = earlier(next, m->rst_until[m->rst_first]);
	if (m->trim_at)
		next = earlier(next, m->trim_at);
	return next;
}

uint64_t mux_timer(struct mux *m, uint64_t now)
{
	mux_clock(m, now);
	mux_reap(m);
	if (mux_done(m))
		return UINT64_MAX;
	if (m->ack_first && m->now >= m->ack_first + LIMIT_ACK_US)
		m->ack_due = true;
	return_timer(m);
	dgram_timer(m);
	(void)mux_may_open(m);		/* lets old resets cease to count */
	if (m->trim_at && m->now >= m->trim_at) {
		chunk_trim(&m->pool, MUX_KEEP_CHUNKS);
		m->trim_at = 0;
	}
	if (!m->trim_at && m->pool.n_free > MUX_KEEP_CHUNKS)
		m->trim_at = m->now + USEC_PER_SEC;
	return next_deadline(m);
}
