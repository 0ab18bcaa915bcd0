/* SPDX-License-Identifier: MIT */
/*
 * mux_send.c - frames out.  mux_output() builds one TLS record's worth at a
 * time, when it is asked: session frames first (scratch, uncounted), then the
 * control frames that streams owe, then data in turns (store, counted) or
 * datagrams (scratch).  What is not made yet is state of its stream, so
 * nothing urgent ever waits behind something made earlier than one record.
 */
#include <stdlib.h>
#include <string.h>

#include "client/atp/mux_int.h"

#define OPEN_MAX	(LIMIT_FRAME_HEADER + 8 + 16 + 3 + FRAME_NAME + 3 + FRAME_APP + 5)
#define CTL_MAX		(LIMIT_FRAME_HEADER + 23)	/* OPENED, the longest */

_Static_assert(MUX_RECORD_MIN > OPEN_MAX, "the smallest record takes an OPEN");
_Static_assert(MUX_RECORD == LIMIT_DATA + LIMIT_FRAME_HEADER, "DATA fills a record");

/* ---- lists -------------------------------------------------------- */

void ctl_owe(struct mux *m, struct mux_stream *s)
{
	if (link_empty(&s->ctl))
		link_append(&m->ctl, &s->ctl);
}

static bool sched_eligible(const struct mux_stream *s)
{
	if (s->ended)
		return false;
	if (!s->tcp)
		return s->dgrams && (s->mux->role == MUX_CLIENT ? s->opened : s->answered);
	return s->ready && s->answered && s->send_credit > 0 && !s->fin_sent;
}

static enum sched_class sched_class(struct mux *m, struct mux_stream *s)
{
	if (m->now - s->recent_start >= MUX_SMALL_US) {
		s->recent_start = m->now;
		s->recent_bytes = 0;
	}
	return s->recent_bytes < MUX_SMALL_BYTES ? SCHED_SMALL : SCHED_BULK;
}

static void sched_append(struct mux *m, struct mux_stream *s)
{
	enum sched_kind kind = s->tcp ? SCHED_DATA : SCHED_DGRAM;

	link_append(&m->sched[sched_class(m, s)][kind], &s->sched);
}

void sched_update(struct mux *m, struct mux_stream *s)
{
	if (!sched_eligible(s)) {
		link_remove(&s->sched);
	} else if (link_empty(&s->sched)) {
		s->deficit = LIMIT_DATA;
		sched_append(m, s);
	}
}

/* Deficit round robin: a turn is over, or goes on with the next record. */
static void sched_used(struct mux *m, struct mux_stream *s, enum sched_class class, size_t n)
{
	s->deficit -= (int32_t)n;
	s->recent_bytes += (uint32_t)n;
	if (class == SCHED_SMALL)
		m->small_run += (uint32_t)n;
	if (sched_eligible(s) && s->deficit >= (int32_t)MUX_DATA_MIN)
		return;
	if (class == SCHED_BULK)
		m->small_run = 0;
	if (!sched_eligible(s)) {
		link_remove(&s->sched);
		return;
	}
	s->deficit += LIMIT_DATA;
	m->dgram_turn[class] = s->tcp;
	link_remove(&s->sched);
	sched_append(m, s);
}

static struct mux_stream *pick_kind(struct mux *m, enum sched_class class,
				    enum sched_kind kind, bool data_ok)
{
	struct link *list = &m->sched[class][kind];

	if (link_empty(list) || (kind == SCHED_DATA && !data_ok))
		return NULL;
	return link_entry(list->next, struct mux_stream, sched);
}

static struct mux_stream *pick_class(struct mux *m, enum sched_class class, bool data_ok)
{
	enum sched_kind first = m->dgram_turn[class] ? SCHED_DGRAM : SCHED_DATA;
	struct mux_stream *s = pick_kind(m, class, first, data_ok);

	if (!s)
		s = pick_kind(m, class, first == SCHED_DATA ? SCHED_DGRAM : SCHED_DATA, data_ok);
	return s;
}

/* Small flows before bulk, but for one turn of bulk after each small_run. */
static struct mux_stream *sched_pick(struct mux *m, bool data_ok, enum sched_class *class)
{
	struct mux_stream *s;
	bool bulk_turn = m->small_run >= MUX_SMALL_RUN;

	*class = bulk_turn ? SCHED_BULK : SCHED_SMALL;
	s = pick_class(m, *class, data_ok);
	if (s)
		return s;
	*class = bulk_turn ? SCHED_SMALL : SCHED_BULK;
	if (bulk_turn)
		m->small_run = 0;
	return pick_class(m, *class, data_ok);
}

void recent_update(struct mux *m, struct mux_stream *s)
{
	if (!s->tcp || !s->answered || s->ended || s->fin_sent || !link_empty(&s->recent) ||
	    s->send_credit <= LIMIT_WINDOW_FLOOR)
		return;
	s->last_sent = m->now;
	link_append(&m->recent, &s->recent);
}

/* ---- session frames, into the scratch ------------------------------ */

/* Return: bytes at the head of the scratch */
static size_t put_session(struct mux *m)
{
	uint8_t *p = m->scratch;
	uint32_t i;

	if (m->goaway_owed) {
		p += frame_put_goaway(p, m->goaway_reason, m->goaway_last, m->goaway_text);
		m->goaway_owed = false;
		m->count.frames_out++;
	}
	if (mux_done(m) || (m->role == MUX_CLIENT && !m->config_seen) ||
	    (m->role == MUX_SERVER && !m->config_sent))
		return (size_t)(p - m->scratch);
	for (i = 0; i < m->n_replies; i++)
		p += frame_put_number(p, FRAME_PROBE_REPLY, m->replies[i]);
	for (i = 0; i < m->n_probes; i++)
		p += frame_put_number(p, FRAME_PROBE, m->probes[i]);
	m->count.frames_out += m->n_replies + m->n_probes;
	m->count.probes_out += m->n_probes;
	m->n_replies = m->n_probes = 0;
	if (m->ack_due) {
		p += frame_put_number(p, FRAME_ACK, m->counted_in);
		m->count.frames_out++;
		m->acked_in = m->counted_in;
		m->ack_first = 0;
		m->ack_due = false;
	}
	return (size_t)(p - m->scratch);
}

/* ---- control frames, into the store ------------------------------- */

/* Return: where a control frame of up to @need bytes goes; NULL: not now */
static uint8_t *ctl_room(struct mux *m, size_t need, size_t left)
{
	size_t room;

	return need > left ? NULL : store_room(&m->store, need, false, &room);
}

static void ctl_add(struct mux *m, size_t len, size_t *left)
{
	store_add(&m->store, len);
	m->count.frames_out++;
	*left -= len;
}

static bool make_config(struct mux *m, size_t *left)
{
	size_t len = LIMIT_FRAME_HEADER + m->config_len, room;
	uint8_t *p = NULL;

	if (m->config)
		p = store_room(&m->store, len, false, &room);
	if (!p)
		return m->config_sent;
	frame_header(p, FRAME_CONFIG, (uint32_t)m->config_len, 0);
	memcpy(p + LIMIT_FRAME_HEADER, m->config, m->config_len);
	store_add(&m->store, len);
	m->count.frames_out++;
	*left = *left > len ? *left - len : 0;
	free(m->config);
	m->config = NULL;
	m->config_sent = true;
	m->config_time = m->now;
	m->config_end = m->store.made;
	return true;
}

static size_t put_opened(struct mux *m, struct mux_stream *s, uint8_t *p)
{
	uint32_t window = s->tcp ? credit_first(m, s) : 0;

	s->accept_owed = false;
	s->answered = true;
	stream_answered(m, s);
	sched_update(m, s);
	recent_update(m, s);
	return frame_put_opened(p, s->id, &s->local, s->local_port, window);
}

/*
 * The frames that @s owes, in the order of its life.
 * Return: false: no room, it stays first on the list
 */
static bool make_ctl(struct mux *m, struct mux_stream *s, size_t *left)
{
	uint8_t *p = ctl_room(m, CTL_MAX, *left);
	uint32_t n;

	if (!p)
		return false;
	if (s->refuse_owed || s->reset_owed) {
		ctl_add(m, s->refuse_owed ?
			frame_put_reason(p, FRAME_REFUSED, s->id, s->refuse_owed) :
			frame_put_reason(p, FRAME_RESET, s->id, s->reset_owed), left);
		stream_free(m, s);
		return true;
	}
	if (s->accept_owed) {
		ctl_add(m, put_opened(m, s, p), left);
		p = ctl_room(m, CTL_MAX, *left);
		if (!p)
			return false;
	}
	if (s->window_owed) {
		s->window_owed = false;
		n = credit_grant(m, s);
		if (n) {
			ctl_add(m, frame_put_credit(p, FRAME_WINDOW, s->id, n), left);
			p = ctl_room(m, CTL_MAX, *left);
			if (!p)
				return false;
		}
	}
	if (s->return_owed) {
		s->return_owed = false;
		if (!s->ready && !s->fin_wanted && s->send_credit > LIMIT_WINDOW_FLOOR) {
			n = s->send_credit - LIMIT_WINDOW_FLOOR;
			s->send_credit = LIMIT_WINDOW_FLOOR;
			ctl_add(m, frame_put_credit(p, FRAME_RETURN, s->id, n), left);
			p = ctl_room(m, CTL_MAX, *left);
			if (!p)
				return false;
		}
	}
	link_remove(&s->ctl);
	if (s->fin_wanted && !s->ready && s->answered && !s->fin_sent) {
		frame_header(p, FRAME_FIN, 0, s->id);
		ctl_add(m, LIMIT_FRAME_HEADER, left);
		s->fin_sent = true;
		link_remove(&s->sched);
		link_remove(&s->recent);
		stream_check_fins(m, s);
	}
	return true;
}

static bool make_open(struct mux *m, struct mux_stream *s, size_t *left)
{
	uint8_t *p = ctl_room(m, OPEN_MAX, *left);
	uint32_t window;

	if (!p)
		return false;
	link_remove(&s->held);
	m->n_held--;
	s->id = ++m->last_id;
	s->opened = true;
	s->unanswered = true;
	m->n_unanswered++;
	stream_hash(m, s);
	window = s->tcp ? credit_first(m, s) : 0;
	ctl_add(m, frame_put_open(p, s->id, s->open, window), left);
	free(s->open);
	s->open = NULL;
	sched_update(m, s);
	return true;
}

/* What finds no room stays state of its stream; datagrams may still go. */
static void make_control(struct mux *m, size_t *left)
{
	struct mux_stream *s;

	while (!link_empty(&m->ctl)) {
		s = link_entry(m->ctl.next, struct mux_stream, ctl);
		if (!make_ctl(m, s, left))
			return;
	}
	while (!link_empty(&m->held) && mux_may_open(m)) {
		s = link_entry(m->held.next, struct mux_stream, held);
		if (!make_open(m, s, left))
			return;
	}
}

/* ---- data and datagrams ------------------------------------------- */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

enum made { MADE, RECORD_FULL, STORE_FULL };

/* One DATA frame, pulled straight behind its header into the store. */
static enum made make_data(struct mux *m, struct mux_stream *s, enum sched_class class,
			   size_t *left)
{
	bool first = m->store.sent == m->store.made;
	size_t want = min_size(min_size((size_t)s->deficit, s->send_credit), LIMIT_DATA);
	size_t least = LIMIT_FRAME_HEADER + min_size(want, first ? MUX_FIRST_MIN : MUX_DATA_MIN);
	size_t room, got;
	uint8_t *p;

	/* A record lies in one chunk: what does not fit begins the next one. */
	if (*left < least || (!first && store_tail_room(&m->store) < least))
		return RECORD_FULL;
	p = store_room(&m->store, least, true, &room);
	if (!p)
		return STORE_FULL;
	want = min_size(want, min_size(room, *left) - LIMIT_FRAME_HEADER);
	got = min_size(m->ops->pull(m->ctx, s->user, p + LIMIT_FRAME_HEADER, want), want);
	if (got) {
		frame_header(p, FRAME_DATA, (uint32_t)got, s->id);
		ctl_add(m, LIMIT_FRAME_HEADER + got, left);
		s->send_credit -= (uint32_t)got;
		s->last_sent = m->now;
		link_remove(&s->recent);
		link_append(&m->recent, &s->recent);
	}
	if (got < want) {
		s->ready = false;
		m->n_ready--;
		if (s->fin_wanted)
			ctl_owe(m, s);
	}
	sched_used(m, s, class, got);
	return MADE;
}

/* Hand one datagram out as it lies: it is larger than the scratch. */
static void span_set_dgram(struct mux *m, struct dgram_node *n)
{
	m->span_dgram = n;
	m->span = n->frame;
	m->span_len = m->span_side = n->len;
}

/*
 * Datagrams of @s, and of the next ones in turn, behind @used bytes of scratch.
 * Return: bytes used then
 */
static size_t make_dgrams(struct mux *m, struct mux_stream *s, enum sched_class class,
			  size_t used)
{
	struct dgram_node *n;

	while (s && !s->tcp) {
		dgram_drop_late(m, s);
		n = s->dgrams;
		if (!n) {
			sched_used(m, s, class, 0);
		} else if (n->len <= MUX_RECORD - used) {
			dgram_take(m, s);
			put32(n->frame + 4, s->id);
			memcpy(m->scratch + used, n->frame, n->len);
			used += n->len;
			m->count.frames_out++;
			sched_used(m, s, class, n->len);
			dgram_done(m, n);
		} else if (used == 0) {
			dgram_take(m, s);
			put32(n->frame + 4, s->id);
			m->count.frames_out++;
			sched_used(m, s, class, n->len);
			span_set_dgram(m, n);
			break;
		} else {
			break;
		}
		s = sched_pick(m, true, &class);
	}
	return used;
}

/*
 * Fill the record with data, or with datagrams.
 * @side: bytes in the scratch.  Return: bytes there then
 */
static size_t make_payload(struct mux *m, size_t side, size_t *left)
{
	enum sched_class class;
	bool data_ok = true;
	struct mux_stream *s;

	while ((s = sched_pick(m, data_ok, &class))) {
		if (!s->tcp) {
			/* store bytes go out behind scratch bytes: keep turns */
			if (m->store.sent == m->store.made)
				side = make_dgrams(m, s, class, side);
			break;
		}
		switch (make_data(m, s, class, left)) {
		case MADE:
			continue;
		case STORE_FULL:
			data_ok = false;
			continue;
		case RECORD_FULL:
			break;
		}
		break;
	}
	return side;
}

/* ---- the record ---------------------------------------------------- */

/* May anything but a GOAWAY go out?  Neither side speaks before CONFIG. */
static bool may_speak(struct mux *m, size_t *left)
{
	if (mux_done(m))
		return false;
	return m->role == MUX_CLIENT ? m->config_seen : make_config(m, left);
}

static void record_make(struct mux *m, size_t size)
{
	size_t side = put_session(m), left = size > side ? size - side : 0, n = 0;
	const uint8_t *p = NULL;

	if (may_speak(m, &left)) {
		if (m->store.sent == m->store.made) {
			make_control(m, &left);
			side = make_payload(m, side, &left);
			if (m->span_dgram)
				return;
			/* a FIN right behind the last DATA */
			make_control(m, &left);
		}
		p = store_unsent(&m->store, MUX_RECORD - side, &n);
	}
	m->span = m->scratch;
	if (p && !side)
		m->span = p;
	else if (p && n <= MUX_RECORD - side)
		/* One record of both costs a copy, two would cost a write. */
		memcpy(m->scratch + side, p, n);
	else
		n = 0;
	m->span_side = side;
	m->span_len = side + n;
}

const uint8_t *mux_output(struct mux *m, size_t room, size_t *len, uint64_t now)
{
	mux_clock(m, now);
	mux_reap(m);
	if (m->span_off == m->span_len) {
		m->span_len = m->span_off = 0;
		if (room == 0)
			return NULL;
		record_make(m, room < MUX_RECORD_MIN ? MUX_RECORD_MIN :
			    room > MUX_RECORD ? MUX_RECORD : room);
		if (m->span_len == 0)
			return NULL;
	}
	*len = m->span_len - m->span_off;
	return m->span + m->span_off;
}

void mux_written(struct mux *m, size_t n)
{
	size_t before = m->span_off;

	n = min_size(n, m->span_len - before);
	m->span_off += n;
	m->count.bytes_out += n;
	if (before < m->span_side)
		before = m->span_side;		/* scratch bytes are not the store's */
	if (m->span_off > before)
		store_sent(&m->store, m->span_off - before);
	if (m->span_off < m->span_len)
		return;
	if (m->span_dgram)
		dgram_done(m, m->span_dgram);
	m->span_dgram = NULL;
}
