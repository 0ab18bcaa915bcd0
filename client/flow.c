/* SPDX-License-Identifier: MIT */
/*
 * flow.c - one TCP connection of an app: its netstack side (struct ns_tcp)
 * joined with its wire side (struct mux_stream).  flow_open.c leads there.
 *
 *	HELD     the SYN is held, there is no session; in fs->held
 *	OPENING  the SYN is held, Sentry was asked; in fs->live
 *	OPEN     bytes go both ways; in fs->live
 *
 * Either side may end first.  tcp is NULL once netstack has forgotten the
 * connection or was told to; stream is NULL once the mux has.  `over` is set
 * when an event ended the stream and the mux will still say closed(): until
 * then it must not be called for this stream.  A flow goes when both are NULL.
 *
 * Bytes are never copied to be kept here: upwards they stay in netstack until
 * the mux pulls them into a frame, downwards netstack refers to the receive
 * buffer, and credit goes back as the app's TCP acknowledges.
 */
#include <stdlib.h>
#include <string.h>

#include "client/flow_priv.h"
#include "client/log.h"

#define FLOW_SLAB	64	/* flows allocated at once */

struct flow_slab {
	struct flow_slab *next;
	struct flow flows[FLOW_SLAB];
};

/* ---- memory ---------------------------------------------------------------------- */

struct flow *flow_alloc(struct flows *fs)
{
	struct flow *f;
	uint32_t i;

	if (!fs->free) {
		struct flow_slab *s = malloc(sizeof(*s));

		if (!s)
			return NULL;
		s->next = fs->slabs;
		fs->slabs = s;
		for (i = 0; i < FLOW_SLAB; i++) {
			s->flows[i].next = fs->free;
			fs->free = &s->flows[i];
		}
	}
	f = fs->free;
	fs->free = f->next;
	memset(f, 0, sizeof(*f));
	f->user.kind = USER_FLOW;
	return f;
}

void flow_drop(struct flows *fs, struct flow *f)
{
	if (f->state == FLOW_HELD) {
		list_remove(&fs->held, f);
		fs->n_held--;
	} else {
		list_remove(&fs->live, f);
	}
	f->next = fs->free;
	fs->free = f;
}

void flow_put(struct flows *fs, struct flow *f)
{
	if (!f->tcp && !f->stream)
		flow_drop(fs, f);
}

struct flows *flows_new(struct tunnel *t)
{
	(void)t;
	return calloc(1, sizeof(struct flows));
}

void flows_free(struct flows *fs)
{
	struct flow_slab *s;

	if (!fs)
		return;
	while ((s = fs->slabs)) {
		fs->slabs = s->next;
		free(s);
	}
	free(fs);
}

/* ---- ends ------------------------------------------------------------------------ */

__attribute__((noinline))
void flow_log_end(const struct flow *f, const struct ns_tuple *tuple, const char *how)
{
	char src[ADDR_STRLEN], dst[ADDR_STRLEN];

	LOG(LOG_LVL_SESSION, "flow.end",
	    "tcp %s port %u to %s port %u: %s, %llu bytes up, %llu down",
	    addr_format(&tuple->src, src), tuple->src_port,
	    addr_format(&tuple->dst, dst), tuple->dst_port, how,
	    (unsigned long long)f->up, (unsigned long long)f->down);
}

/* A connection that had been accepted leaves netstack. */
static void count_end(struct tunnel *t, const struct flow *f, bool reset)
{
	if (f->state != FLOW_OPEN)
		return;
	t->counters.tcp_open--;
	if (reset)
		t->counters.tcp_reset++;
}

void flow_refuse(struct tunnel *t, struct flow *f, enum ns_refusal how, const char *why)
{
	struct ns_tcp *tcp = f->tcp;

	if (log_level >= LOG_LVL_SESSION)
		flow_log_end(f, ns_tcp_tuple(tcp), why);
	t->counters.tcp_refused++;
	f->tcp = NULL;
	ns_tcp_refuse(t->ns, tcp, how, t->now);
}

/* RST to the app. */
static void flow_abort(struct tunnel *t, struct flow *f, const char *why)
{
	struct ns_tcp *tcp = f->tcp;

	if (log_level >= LOG_LVL_SESSION)
		flow_log_end(f, ns_tcp_tuple(tcp), why);
	count_end(t, f, true);
	f->tcp = NULL;
	ns_tcp_abort(t->ns, tcp);
}

void flows_detach(struct tunnel *t)
{
	struct flow *f, *next;

	for (f = t->flows->live.head; f; f = next) {
		next = f->next;
		if (!f->stream)
			continue;	/* the app has yet to acknowledge the last bytes */
		f->stream = NULL;
		f->over = false;
		if (!f->tcp) {
			flow_drop(t->flows, f);
		} else if (f->state == FLOW_OPENING) {
			/* the app was told nothing yet: it may have the next session */
			list_remove(&t->flows->live, f);
			f->resolver = 0;
			flow_hold(t, f);
		} else {
			flow_abort(t, f, "session lost");
			flow_drop(t->flows, f);
		}
	}
	if (t->hopeless)
		flows_hopeless(t);
}

/* The app is told at once; Sentry too, unless it ended the stream itself. */
static void revoke(struct tunnel *t, struct flow *f)
{
	static const char why[] = "the new profile decides otherwise";
	struct mux_stream *stream = f->stream;

	if (f->state == FLOW_OPEN)
		flow_abort(t, f, why);
	else
		flow_refuse(t, f, NS_REFUSE_RST, why);
	if (stream && !f->over) {
		f->stream = NULL;
		mux_stream_reset(t->mux, stream, MUX_RST_POLICY);
	}
	flow_put(t->flows, f);
}

uint32_t flows_reconsider(struct tunnel *t, const struct policy_diff *d)
{
	struct flow *lists[] = { t->flows->held.head, t->flows->live.head };
	struct flow *f, *next;
	uint32_t n = 0, i;

	for (i = 0; i < 2; i++) {
		for (f = lists[i]; f; f = next) {
			const struct ns_tuple *tuple = f->tcp ? ns_tcp_tuple(f->tcp) : NULL;

			next = f->next;
			if (!tuple || !tunnel_verdict_changed(t, d, MUX_TCP, &tuple->dst,
							      tuple->dst_port))
				continue;
			revoke(t, f);
			n++;
		}
	}
	return n;
}

/* ---- netstack's side ------------------------------------------------------------- */

void flow_readable(struct tunnel *t, void *user)
{
	struct flow *f = user;

	if (f->stream && !f->over)
		mux_stream_ready(t->mux, f->stream, t->now);
}

void flow_sent(struct tunnel *t, void *user, uint32_t n)
{
	struct flow *f = user;

	if (f->stream && !f->over)
		mux_stream_consumed(t->mux, f->stream, n, t->now);
}

void flow_eof(struct tunnel *t, void *user)
{
	struct flow *f = user;

	if (f->stream && !f->over && !f->eof)
		mux_stream_fin(t->mux, f->stream);
	f->eof = true;
}

void flow_tcp_closed(struct tunnel *t, struct ns_tcp *tcp, void *user, bool reset)
{
	struct flow *f = user;

	if (log_level >= LOG_LVL_SESSION)
		flow_log_end(f, ns_tcp_tuple(tcp), reset ? "reset by the app" : "finished");
	count_end(t, f, reset);
	f->tcp = NULL;
	if (f->stream && !f->over && (reset || !f->eof)) {
		mux_stream_reset(t->mux, f->stream, MUX_RST_RESET);
		f->stream = NULL;
	}
	flow_put(t->flows, f);
}

/* ---- the mux' side --------------------------------------------------------------- */

size_t flow_pull(struct tunnel *t, void *user, uint8_t *dst, size_t max)
{
	struct flow *f = user;
	size_t n;

	if (!f->tcp)
		return 0;
	n = ns_tcp_read(t->ns, f->tcp, dst, max);
	f->up += n;
	t->counters.bytes_up += n;
	return n;
}

void flow_mux_closed(struct tunnel *t, void *user)
{
	struct flow *f = user;

	f->stream = NULL;
	flow_put(t->flows, f);
}

/* the last table of docs/design.md, as docs/protocol.md, 3 numbers the reasons; unknown ones are 2 */
static enum ns_refusal refusal_of(uint8_t reason)
{
	switch ((enum mux_refused)reason) {
	case MUX_REF_CONN:
	case MUX_REF_LIMIT:
	case MUX_REF_NAME:
	case MUX_REF_UNSUPPORTED:
		return NS_REFUSE_RST;
	case MUX_REF_NET:
		return NS_REFUSE_NET;
	case MUX_REF_DENIED:
		return NS_REFUSE_DENIED;
	case MUX_REF_HOST:
	case MUX_REF_TIMEOUT:
		break;
	}
	return NS_REFUSE_HOST;
}

static enum ns_refusal refusal_of_reset(uint8_t reason)
{
	switch ((enum mux_reset_reason)reason) {
	case MUX_RST_TIMEOUT:
	case MUX_RST_HOST:
		return NS_REFUSE_HOST;
	case MUX_RST_POLICY:
		return NS_REFUSE_DENIED;
	case MUX_RST_RESET:
	case MUX_RST_IDLE:
	case MUX_RST_LIMIT:
	case MUX_RST_SESSION:
		break;
	}
	return NS_REFUSE_RST;
}

static void flow_data(struct tunnel *t, struct flow *f, const struct mux_event *ev,
		      struct buf *b)
{
	f->down += ev->len;
	t->counters.bytes_down += ev->len;
	if (f->tcp)		/* when it fails, tcp_closed follows */
		(void)ns_tcp_write(t->ns, f->tcp, b, ev->data, ev->len);
}

void flow_event(struct tunnel *t, const struct mux_event *ev, struct buf *b)
{
	struct flow *f = ev->user;

	switch (ev->type) {
	case MUX_EV_OPENED:
		if (!f->tcp || f->state != FLOW_OPENING)
			break;
		f->state = FLOW_OPEN;
		t->counters.tcp_open++;
		ns_tcp_accept(t->ns, f->tcp, t->now);
		break;
	case MUX_EV_REFUSED:
		f->over = true;
		if (f->tcp && !flow_next_resolver(t, f))
			flow_refuse(t, f, refusal_of(ev->u.reason), "refused by Sentry");
		break;
	case MUX_EV_DATA:
		flow_data(t, f, ev, b);
		break;
	case MUX_EV_FIN:
		if (f->tcp)
			ns_tcp_fin(t->ns, f->tcp);
		break;
	case MUX_EV_RESET:
		f->over = true;
		if (!f->tcp)
			break;
		if (f->state == FLOW_OPEN)
			flow_abort(t, f, "reset by the far end");
		else
			flow_refuse(t, f, refusal_of_reset(ev->u.reason),
			       "reset before it was open");
		break;
	case MUX_EV_CONFIG:
	case MUX_EV_OPEN:
	case MUX_EV_DGRAM:
	case MUX_EV_DGRAM_ERROR:
	case MUX_EV_PROBE_REPLY:
	case MUX_EV_PROBE:
	case MUX_EV_GOAWAY:
		break;
	}
}
