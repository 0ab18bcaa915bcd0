/* SPDX-License-Identifier: MIT */
/*
 * mux_recv.c - frames in: what the state of session and stream allows.
 * frame.c has judged lengths, values and directions before.
 */
#include <errno.h>
#include <string.h>

#include "client/atp/mux_int.h"

/* What a handler returns besides -EPROTO. */
enum { QUIET = 0, EVENT = 1 };

static int bad(struct mux *m, const char *why)
{
	mux_fail(m, MUX_PROTOCOL_ERROR, why);
	return -EPROTO;
}

static int event(struct mux_event *ev, enum mux_event_type type, struct mux_stream *s,
		 const struct frame *f)
{
	ev->type = type;
	ev->stream = s;
	ev->user = s ? s->user : NULL;
	ev->data = f->data;
	ev->len = f->data_len;
	return EVENT;
}

/* The stream is out of the protocol; closed() follows with the next call. */
static void gone(struct mux *m, struct mux_stream *s)
{
	stream_answered(m, s);
	stream_end(m, s);
	credit_drop(m, s);
	stream_check_gone(m, s);
}

/* ---- OPEN and its answers ----------------------------------------- */

/* Refused before the owner hears of it: no stream, only a frame that is owed. */
static int refuse_limit(struct mux *m, struct mux_stream *s)
{
	s->detached = true;
	s->ended = true;
	s->refuse_owed = MUX_REF_LIMIT;
	ctl_owe(m, s);
	return QUIET;
}

static int on_open(struct mux *m, const struct frame *f, struct mux_event *ev)
{
	struct mux_stream *s;

	if (f->id <= m->last_id)
		return bad(m, "OPEN of a stream that was opened before");
	if (f->id != m->last_id + 1)
		return bad(m, "OPEN that leaves out a stream ID");
	m->last_id = f->id;
	if (m->draining_out && f->id > m->draining_last) {
		m->count.frames_discarded++;
		return QUIET;
	}
	if (m->n_unanswered >= LIMIT_OPENS_PENDING_PEER)
		return bad(m, "over 2,048 OPENs unanswered");
	s = stream_new(m, f->u.open.open.proto, NULL);
	if (!s) {
		mux_fail(m, MUX_INTERNAL, "no memory for a stream");
		return -EPROTO;
	}
	s->id = f->id;
	s->family = f->u.open.open.addr.family;
	s->opened = true;
	s->unanswered = true;
	m->n_unanswered++;
	s->send_credit = f->u.open.window;
	if (m->n_hashed >= m->max_streams || (s->tcp && !credit_floor(m, s)))
		return refuse_limit(m, s);
	stream_hash(m, s);
	ev->u.open = f->u.open.open;
	return event(ev, MUX_EV_OPEN, s, f);
}

static int on_opened(struct mux *m, struct mux_stream *s, const struct frame *f,
		     struct mux_event *ev)
{
	if (s->answered)
		return bad(m, "OPENED on a stream that was answered before");
	if (!s->tcp && f->u.opened.window)
		return bad(m, "OPENED of an association with a window");
	stream_answered(m, s);
	s->answered = true;
	s->send_credit += f->u.opened.window;
	sched_update(m, s);
	recent_update(m, s);
	if (s->fin_wanted && !s->ready)
		ctl_owe(m, s);
	ev->u.opened.addr = f->u.opened.addr;
	ev->u.opened.port = f->u.opened.port;
	return event(ev, MUX_EV_OPENED, s, f);
}

static int on_refused(struct mux *m, struct mux_stream *s, const struct frame *f,
		      struct mux_event *ev)
{
	if (s->answered)
		return bad(m, "REFUSED on a stream that was answered before");
	gone(m, s);
	ev->u.reason = f->u.reason;
	return event(ev, MUX_EV_REFUSED, s, f);
}

/* ---- frames of an open stream ------------------------------------- */

static int on_data(struct mux *m, struct mux_stream *s, const struct frame *f,
		   struct mux_event *ev)
{
	if (!s->answered)
		return bad(m, "DATA before OPENED");
	if (s->fin_received)
		return bad(m, "DATA after FIN");
	if (f->len > s->unused)
		return bad(m, "DATA beyond the window");
	credit_data(m, s, f->len);
	return event(ev, MUX_EV_DATA, s, f);
}

static int on_window(struct mux *m, struct mux_stream *s, const struct frame *f)
{
	if (!s->answered && m->role == MUX_CLIENT)
		return bad(m, "WINDOW before OPENED");
	if (s->fin_sent)
		return QUIET;
	if ((uint64_t)s->send_credit + f->u.credit >= LIMIT_WINDOW_SUM)
		return bad(m, "WINDOW that makes 2^31 or more");
	s->send_credit += f->u.credit;
	sched_update(m, s);
	recent_update(m, s);
	return QUIET;
}

static int on_return(struct mux *m, struct mux_stream *s, const struct frame *f)
{
	if (!s->answered)
		return bad(m, "RETURN before OPENED");
	if (s->fin_received)
		return bad(m, "RETURN after FIN");
	if (f->u.credit > s->unused)
		return bad(m, "RETURN of more than the unused credit");
	credit_returned(m, s, f->u.credit);
	return QUIET;
}

static int on_fin(struct mux *m, struct mux_stream *s, const struct frame *f,
		  struct mux_event *ev)
{
	if (!s->answered)
		return bad(m, "FIN before OPENED");
	if (s->fin_received)
		return bad(m, "a second FIN");
	s->fin_received = true;
	credit_fin(m, s);
	stream_check_fins(m, s);
	return event(ev, MUX_EV_FIN, s, f);
}

static int on_reset(struct mux *m, struct mux_stream *s, const struct frame *f,
		    struct mux_event *ev)
{
	gone(m, s);
	ev->u.reason = f->u.reason;
	return event(ev, MUX_EV_RESET, s, f);
}

/* @s is never NULL */
static int on_counted(struct mux *m, struct mux_stream *s, const struct frame *f,
		      struct mux_event *ev)
{
	switch (f->type) {
	case FRAME_OPENED:
		return on_opened(m, s, f, ev);
	case FRAME_REFUSED:
		return on_refused(m, s, f, ev);
	case FRAME_RESET:
		return on_reset(m, s, f, ev);
	}
	if (!s->tcp)
		return bad(m, "a frame of TCP streams on an association");
	switch (f->type) {
	case FRAME_DATA:
		return on_data(m, s, f, ev);
	case FRAME_WINDOW:
		return on_window(m, s, f);
	case FRAME_RETURN:
		return on_return(m, s, f);
	case FRAME_FIN:
		return on_fin(m, s, f, ev);
	}
	return bad(m, "an unknown frame type below 0x80");
}

/* ---- datagrams ---------------------------------------------------- */

static int on_dgram(struct mux *m, const struct frame *f, struct mux_event *ev)
{
	struct mux_stream *s = stream_find(m, f->id);
	const struct mux_dgram *d = f->type == FRAME_DGRAM ? &f->u.dgram : &f->u.error.at;

	if (!s) {
		m->count.frames_discarded++;
		return QUIET;
	}
	if (s->tcp)
		return bad(m, "a datagram on a TCP stream");
	if (d->addr.family != s->family)
		return bad(m, "a datagram of another family than its association");
	if (f->type == FRAME_DGRAM_ERROR) {
		ev->u.error.at = f->u.error.at;
		ev->u.error.type = f->u.error.type;
		ev->u.error.code = f->u.error.code;
		ev->u.error.mtu = f->u.error.mtu;
		event(ev, MUX_EV_DGRAM_ERROR, s, f);
		ev->data = NULL;
		ev->len = 0;
		return EVENT;
	}
	if (s->proto != MUX_UDP && f->data_len < 2)
		return bad(m, "an echo without a sequence number");
	ev->u.dgram = f->u.dgram;
	return event(ev, MUX_EV_DGRAM, s, f);
}

/* ---- the session -------------------------------------------------- */

static int on_ack(struct mux *m, const struct frame *f)
{
	switch (store_ack(&m->store, f->u.number)) {
	case 0:
		return QUIET;
	case -EINVAL:
		return bad(m, "ACK of an offset that is not a frame boundary");
	}
	return bad(m, f->u.number < m->store.acked ? "ACK of less than before" :
		   "ACK of more than was sent");
}

static int on_probe(struct mux *m, const struct frame *f, struct mux_event *ev)
{
	m->count.probes_in++;
	if (m->now >= m->reply_second + USEC_PER_SEC || m->replies_in_second == 0) {
		m->reply_second = m->now;
		m->replies_in_second = 0;
	}
	if (m->replies_in_second < LIMIT_PROBES_PER_S && m->n_replies < LIMIT_PROBES_PER_S) {
		m->replies_in_second++;
		m->replies[m->n_replies++] = f->u.number;
	}
	ev->u.opaque = f->u.number;
	return event(ev, MUX_EV_PROBE, NULL, f);
}

static int on_goaway(struct mux *m, const struct frame *f, struct mux_event *ev)
{
	if (f->u.goaway.reason == MUX_DRAINING)
		m->draining_in = true;
	else
		m->over = true;
	ev->u.goaway.reason = f->u.goaway.reason;
	ev->u.goaway.last = f->u.goaway.last;
	return event(ev, MUX_EV_GOAWAY, NULL, f);
}

static int on_session(struct mux *m, const struct frame *f, struct mux_event *ev)
{
	switch (f->type) {
	case FRAME_CONFIG:
		m->config_seen = true;
		return event(ev, MUX_EV_CONFIG, NULL, f);
	case FRAME_ACK:
		return on_ack(m, f);
	case FRAME_PROBE:
		return on_probe(m, f, ev);
	case FRAME_PROBE_REPLY:
		ev->u.opaque = f->u.number;
		return event(ev, MUX_EV_PROBE_REPLY, NULL, f);
	case FRAME_GOAWAY:
		return on_goaway(m, f, ev);
	}
	return bad(m, "an unknown frame type below 0x80");
}

static int on_frame(struct mux *m, const struct frame *f, struct mux_event *ev)
{
	struct mux_stream *s;

	if (m->role == MUX_CLIENT && !m->config_seen && f->type != FRAME_CONFIG &&
	    f->type != FRAME_GOAWAY)
		return bad(m, "the first frame is not CONFIG");
	if (f->type >= FRAME_SKIPPED) {
		m->count.unknown_skipped++;
		return QUIET;
	}
	if (f->id == 0)
		return on_session(m, f, ev);
	if (f->type == FRAME_OPEN)
		return on_open(m, f, ev);
	if (!f->counted)
		return on_dgram(m, f, ev);
	if (f->id > m->last_id)
		return bad(m, "a frame on a stream that was never opened");
	s = stream_find(m, f->id);
	if (s)
		return on_counted(m, s, f, ev);
	m->count.frames_discarded++;
	return QUIET;
}

int mux_recv(struct mux *m, const uint8_t *buf, size_t len, size_t *used,
	     struct mux_event *ev, uint64_t now)
{
	const char *why = "";
	struct frame f;
	int n, got;

	mux_clock(m, now);
	mux_reap(m);
	*used = 0;
	for (;;) {
		if (m->failed)
			return -EPROTO;
		if (m->over) {
			*used = len;
			return 0;
		}
		n = frame_decode(buf + *used, len - *used, m->role == MUX_CLIENT, &f, &why);
		if (n == 0)
			return 0;
		if (n < 0)
			return bad(m, why);
		got = on_frame(m, &f, ev);
		if (got < 0)
			return got;
		*used += (size_t)n;
		m->count.frames_in++;
		m->count.bytes_in += (size_t)n;
		if (f.counted) {
			m->counted_in += (size_t)n;
			if (!m->ack_first)
				m->ack_first = m->now ? m->now : 1;
		}
		if (got == EVENT)
			return 1;
	}
}

void mux_recv_done(struct mux *m, uint64_t now)
{
	mux_clock(m, now);
	mux_reap(m);
	if (m->counted_in - m->acked_in >= LIMIT_ACK_BYTES)
		m->ack_due = true;
}
