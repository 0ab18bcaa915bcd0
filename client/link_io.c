/* SPDX-License-Identifier: MIT */
/*
 * link_io.c - the bytes of the connection that stands: records become frames
 * and frames events, and what the mux has to send becomes records.  Every
 * packet of an app passes here; what happens once a session is in link.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "client/link_priv.h"
#include "client/log.h"

/* ---- what the mux asks ----------------------------------------------------- */

/* The mux is there before the TUN is: nothing can be pulled until then. */
static size_t link_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	struct engine *e = ctx;

	return e->tunnel ? tunnel_mux_ops.pull(e->tunnel, user, dst, max) : 0;
}

static void link_closed(void *ctx, void *user)
{
	struct engine *e = ctx;

	if (e->tunnel)
		tunnel_mux_ops.closed(e->tunnel, user);
}

static const struct mux_ops link_mux_ops = { .pull = link_pull, .closed = link_closed };

struct mux *link_mux_new(struct engine *e)
{
	struct mux_config config = { .role = MUX_CLIENT, .max_streams = 65536 };

	return mux_new(&config, &link_mux_ops, e);
}

/* ---- reading --------------------------------------------------------------- */

/* Room for at least one more record behind what is still incomplete. */
static bool link_room(struct engine *e)
{
	size_t held = e->rx_end - e->rx_start;
	struct buf *fresh;

	if (e->rx && e->rx->size - e->rx_end >= LIMIT_DATA + LIMIT_FRAME_HEADER)
		return true;
	if (e->rx && e->rx->refs == 1) {	/* nobody else looks at it: use it again */
		memmove(e->rx->data, e->rx->data + e->rx_start, held);
	} else {
		fresh = buf_get(e->rx_pool);
		if (!fresh)
			return false;
		if (held)
			memcpy(fresh->data, e->rx->data + e->rx_start, held);
		buf_unref(e->rx);
		e->rx = fresh;
	}
	e->rx_start = 0;
	e->rx_end = held;
	return true;
}

static void link_event(struct engine *e, const struct mux_event *ev, uint64_t now)
{
	switch (ev->type) {
	case MUX_EV_CONFIG:
		link_config(e, ev, now);
		break;
	case MUX_EV_GOAWAY:
		link_goaway(e, ev, now);
		break;
	case MUX_EV_PROBE_REPLY:
		LOG(LOG_LVL_SESSION, "probe.answered", "%u were sent in this round",
		    e->up_probe ? 1 : e->probe.sent);
		if (e->up_probe && ev->u.opaque == e->up_probe)
			link_up(e, now);
		break;
	case MUX_EV_PROBE:
	case MUX_EV_OPEN:	/* a server's event: the mux refuses it */
		break;
	case MUX_EV_OPENED:
	case MUX_EV_REFUSED:
	case MUX_EV_DATA:
	case MUX_EV_FIN:
	case MUX_EV_RESET:
	case MUX_EV_DGRAM:
	case MUX_EV_DGRAM_ERROR:
		if (e->attached)
			tunnel_mux_event(e->tunnel, ev, e->rx, now);
		break;
	}
}

/* Return: false when the connection is gone. */
static bool link_consume(struct engine *e, uint64_t now)
{
	struct mux_event ev;
	char why[200];
	size_t used;
	int got;

	while (e->rx_start < e->rx_end) {
		got = mux_recv(e->mux, e->rx->data + e->rx_start, e->rx_end - e->rx_start,
			       &used, &ev, now);
		if (got < 0) {
			snprintf(why, sizeof(why), "%s", mux_error(e->mux));
			link_protocol_error(e, why, now);
			return false;
		}
		e->rx_start += used;
		if (!got)
			break;
		link_event(e, &ev, now);
		if (!e->mux)
			return false;
	}
	return true;
}

#define RTT_LOOK_US	(10 * USEC_PER_MSEC)

/* A system call: not for every burst. */
static void link_rtt(struct engine *e, uint64_t now)
{
	if (now - e->rtt_read < RTT_LOOK_US)
		return;
	e->rtt_read = now;
	mux_set_rtt(e->mux, conn_rtt_us(e->conn));
}

void link_read(struct engine *e, uint64_t now)
{
	uint32_t retry_after = 0;
	size_t total = 0;
	ssize_t n = -EAGAIN;
	enum cause cause;

	if (!e->mux)
		return;
	while (total < LIMIT_BURST) {
		e->rx_starved = !link_room(e);
		if (e->rx_starved) {
			loop_mod(e->loop, conn_src(e->conn), e->out_blocked ? EPOLLOUT : 0);
			break;
		}
		n = conn_read(e->conn, e->rx->data + e->rx_end, e->rx->size - e->rx_end);
		if (n <= 0)
			break;
		e->rx_end += (size_t)n;
		total += (size_t)n;
		if (!link_consume(e, now))
			return;
	}
	if (total) {
		e->bytes_in += total;
		mux_recv_done(e->mux, now);
		link_rtt(e, now);
		if (e->attached) {
			probe_inbound(&e->probe, now);
			link_state(e, SE_INBOUND, CAUSE_NONE, NULL, now);
		}
	}
	if (n == 0) {
		link_lost(e, CAUSE_CUT, 0, "Sentry closed the connection", now);
	} else if (n < 0 && n != -EAGAIN) {
		cause = conn_cause(e->conn, &retry_after);
		link_lost(e, cause, retry_after, conn_why(e->conn), now);
	}
}

/* ---- writing --------------------------------------------------------------- */

#define LOWAT_LOOK_US	(100 * USEC_PER_MSEC)

/*
 * What the kernel has not sent yet stays small: 50 ms of the rate of late
 * (conn_lowat() keeps the bounds), so that a key press does not wait behind it.
 */
static void link_tune(struct engine *e, uint64_t now)
{
	uint64_t took = now - e->tune_since;

	if (took < LOWAT_LOOK_US)
		return;
	conn_lowat(e->conn, (uint32_t)((e->bytes_out - e->tune_bytes) * 50 * USEC_PER_MSEC / took));
	e->tune_since = now;
	e->tune_bytes = e->bytes_out;
}

void link_write(struct engine *e, uint64_t now)
{
	const uint8_t *p = NULL;
	size_t len, total = 0;
	ssize_t n = 0;

	if (!e->mux)
		return;
	/* asked before it leaves: a lone datagram leaves no trace in the mux */
	e->wanted |= mux_wants_to_send(e->mux);
	while (!e->out_blocked && total < LIMIT_BURST) {
		p = mux_output(e->mux, LIMIT_CHUNK, &len, now);
		if (!p)
			break;
		n = conn_write(e->conn, p, len);
		if (n <= 0)
			break;
		mux_written(e->mux, (size_t)n);
		total += (size_t)n;
	}
	if (n >= 0 && !e->out_blocked)
		n = conn_flush(e->conn);
	e->bytes_out += total;
	if (total)
		link_tune(e, now);
	if (n == -EAGAIN || (p && total >= LIMIT_BURST))
		e->out_blocked = true;
	else if (n < 0)
		return;		/* broken for writing: what came is still read, then it is lost */
	loop_mod(e->loop, conn_src(e->conn),
		 (e->rx_starved ? 0 : EPOLLIN) | (e->out_blocked ? EPOLLOUT : 0));
}
