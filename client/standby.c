/* SPDX-License-Identifier: MIT */
/*
 * standby.c - a profile that needs a new session: it is dialled beside the one
 * that lives, and gets as far as can be without touching anything.
 *
 *	dialled    Hosts in turn, until one answers or says no
 *	live       waits for CONFIG, then asks by a PROBE whether all of it works
 *	proven     the PROBE was answered: the daemon is asked to apply its offer
 *	applied    the old session ends, this one takes its place (link_adopt())
 *
 * Whatever fails on the way, the end of its time and the daemon's wish
 * free the standby and answer the daemon; the session and its profile are as before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/engine.h"
#include "client/log.h"

struct standby {
	const struct profile *profile;
	struct tls_setup files;
	struct tls_ctx *tls;
	struct conn_env env;
	struct link_start at;		/* where it has got to */
	bool have_config, proven, offer_pending;
	uint64_t probe;			/* opaque of the PROBE */
	uint64_t give_up, redial;	/* us; redial 0: it is being dialled */
	uint32_t limit_ms;		/* until give_up */
	uint32_t failed_hosts;		/* in this round */
};

/* ---- ends -------------------------------------------------------------------------- */

static void standby_hang_up(struct standby *s)
{
	mux_free(s->at.mux);
	conn_close(s->at.conn, false);
	buf_unref(s->at.rx);
	s->at.mux = NULL;
	s->at.conn = NULL;
	s->at.rx = NULL;
	s->at.rx_start = s->at.rx_end = 0;
	s->at.out_blocked = s->have_config = false;
}

void standby_free(struct engine *e)
{
	struct standby *s = e->standby;

	if (!s)
		return;
	e->standby = NULL;
	standby_hang_up(s);
	tls_ctx_free(s->tls);
	files_close(&s->files);
	if (s->profile)
		munmap((void *)s->profile, sizeof(*s->profile));
	free(s);
}

/* All stays as it was.  @why may die with the standby. */
static void standby_fail(struct engine *e, int error, const char *why, uint64_t now)
{
	char text[512];
	bool offered = e->standby->offer_pending;

	snprintf(text, sizeof(text), "%s", why);
	standby_free(e);
	if (offered && e->have_config) {	/* the daemon may have applied what is not in use */
		e->offer_due = true;
		e->offer_at = now;
	}
	reload_answer(e, error, text);
}

static int errno_of(enum retry_class class)
{
	switch (class) {
	case RETRY_NETWORK:
		return -EHOSTUNREACH;
	case RETRY_REFUSED:
		return -EACCES;
	case RETRY_TRUST:
		return -EPERM;
	case RETRY_BROKEN:
		break;
	}
	return -EINVAL;
}

/* The attempt failed: what may be another Host's or the next moment's matter is tried on. */
static void standby_lost(struct engine *e, enum cause cause, const char *detail, uint64_t now)
{
	const struct cause_info *info = cause_info(cause);
	struct standby *s = e->standby;
	char why[512];

	if (info->class != RETRY_NETWORK || s->offer_pending) {
		snprintf(why, sizeof(why), "the new session cannot be: %s (%s)", info->text, detail);
		standby_fail(e, errno_of(info->class), why, now);
		return;
	}
	LOG(LOG_LVL_INFO, "standby.lost", "host %s: %s (%s)", s->profile->hosts[s->at.host].name,
	    info->code, detail);
	standby_hang_up(s);
	s->at.host = (s->at.host + 1) % s->profile->n_hosts;
	s->failed_hosts++;
	s->redial = now;
	if (s->failed_hosts >= s->profile->n_hosts) {
		s->failed_hosts = 0;
		s->redial = now + LIMIT_RELOAD_AGAIN_US;
	}
}

/* ---- dialling ------------------------------------------------------------------------ */

/* Which of the old files stay in use?  -1: none.  Return: 0 or a negative errno */
static int carry(int *slot, int old, const char *path, const char *old_path)
{
	if (*slot >= 0 || old < 0 || strcmp(path, old_path) != 0)
		return 0;
	*slot = fcntl(old, F_DUPFD_CLOEXEC, 0);
	return *slot < 0 ? -errno : 0;
}

static int carry_pin(struct engine *e, struct tls_setup *f, uint32_t i)
{
	const struct profile *was = e->profile, *is = e->new_profile;
	uint32_t k;
	int err = 0;

	for (k = 0; k < was->n_pins && !err && is->pins[i].kind == PIN_FILE; k++) {
		if (was->pins[k].kind == PIN_FILE)
			err = carry(&f->pins[i], e->files.pins[k], is->pins[i].path,
				    was->pins[k].path);
	}
	return err;
}

/* What the daemon did not send again is as before. */
static int carry_files(struct engine *e)
{
	const struct profile *was = e->profile, *is = e->new_profile;
	struct tls_setup *f = &e->new_files;
	const struct tls_setup *old = &e->files;
	uint32_t i;
	int err;

	err = carry(&f->certificate, old->certificate, is->certificate, was->certificate);
	if (!err)
		err = carry(&f->key, old->key, is->private_key, was->private_key);
	if (!err)
		err = carry(&f->chain, old->chain, is->chain, was->chain);
	if (!err)
		err = carry(&f->ca, old->ca, is->ca_file, was->ca_file);
	for (i = 0; i < is->n_pins && !err; i++)
		err = carry_pin(e, f, i);
	return err;
}

static void standby_dial(struct engine *e, uint64_t now);

int standby_begin(struct engine *e, uint32_t limit_ms, char *why, size_t size, uint64_t now)
{
	enum cause cause = CAUSE_IDENTITY;
	struct tls_ctx *tls;
	struct standby *s;
	int err;

	err = carry_files(e);
	s = err ? NULL : calloc(1, sizeof(*s));
	if (!s) {
		err = err ? err : -ENOMEM;
		snprintf(why, size, "%s", strerror(-err));
		return err;
	}
	tls = tls_ctx_new(e->new_profile, &e->new_files, &cause, why, size);
	if (!tls) {
		free(s);
		return -EINVAL;
	}
	s->profile = e->new_profile;
	s->files = e->new_files;
	s->tls = tls;
	reload_init(e);		/* they are the standby's now */
	s->env = (struct conn_env){
		.loop = e->loop, .socks = &e->socks, .tls = tls,
		.resolver = e->resolver, .profile = s->profile,
	};
	s->limit_ms = limit_ms ? limit_ms : RELOAD_LIMIT_MS;
	s->give_up = now + s->limit_ms * USEC_PER_MSEC;
	s->redial = now;
	e->standby = s;
	LOG(LOG_LVL_INFO, "standby.begin", "the new profile needs a new session: dialling it "
	    "beside the present one");
	return 0;
}

static void standby_live(struct engine *e, uint64_t now);

static void standby_progress(struct engine *e, uint64_t now)
{
	struct standby *s = e->standby;
	uint32_t retry_after;
	char why[512];

	switch (conn_stage(s->at.conn)) {
	case CONN_RESOLVING:
	case CONN_CONNECTING:
	case CONN_SECURING:
	case CONN_NEGOTIATING:
		break;
	case CONN_LIVE:
		standby_live(e, now);
		break;
	case CONN_FAILED:
		snprintf(why, sizeof(why), "%s", conn_why(s->at.conn));
		standby_lost(e, conn_cause(s->at.conn, &retry_after), why, now);
		break;
	}
}

static void standby_dial(struct engine *e, uint64_t now)
{
	struct standby *s = e->standby;

	s->redial = 0;
	s->at.conn = conn_dial(&s->env, s->at.host, now);
	if (!s->at.conn)
		standby_fail(e, -ENOMEM, strerror(ENOMEM), now);
	else
		standby_progress(e, now);
}

/* ---- frames ------------------------------------------------------------------------------ */

static void standby_write(struct engine *e, uint64_t now)
{
	struct link_start *at = &e->standby->at;
	const uint8_t *p;
	ssize_t n = 0;
	size_t len;

	while (!at->out_blocked && (p = mux_output(at->mux, LIMIT_CHUNK, &len, now))) {
		n = conn_write(at->conn, p, len);
		if (n <= 0)
			break;
		mux_written(at->mux, (size_t)n);
	}
	if (n >= 0 && !at->out_blocked)
		n = conn_flush(at->conn);
	if (n == -EAGAIN)
		at->out_blocked = true;
	/* an error is told by reading */
	loop_mod(e->loop, conn_src(at->conn), EPOLLIN | (at->out_blocked ? EPOLLOUT : 0));
}

static void standby_config(struct engine *e, const struct mux_event *ev, uint64_t now)
{
	struct standby *s = e->standby;
	char why[256];

	if (s->offer_pending)
		return;		/* the link learns of the next one */
	if (atp_config_parse((const char *)ev->data, ev->len, &s->at.config, why,
			     sizeof(why)) < 0) {
		standby_lost(e, CAUSE_ODD_ANSWER, why, now);
		return;
	}
	if (link_offer_make(e, s->profile, &s->at.config, &s->at.offer) < 0) {
		standby_fail(e, -EPROTO, "CONFIG names no interface address and the profile has "
			     "no TunIP", now);
		return;
	}
	if (s->have_config)
		return;
	s->have_config = true;
	if (getrandom(&s->probe, sizeof(s->probe), GRND_NONBLOCK) != sizeof(s->probe))
		s->probe = now;
	mux_probe(s->at.mux, s->probe);
}

static void standby_goaway(struct engine *e, const struct mux_event *ev, uint64_t now)
{
	char text[128], why[200];

	snprintf(why, sizeof(why), "Sentry ended the session: %s",
		 log_printable((const char *)ev->data, ev->len, text, sizeof(text)));
	standby_lost(e, ev->u.goaway.reason == MUX_REVOKED ? CAUSE_REVOKED : CAUSE_GOAWAY_BYE,
		     why, now);
}

static void standby_frame(struct engine *e, const struct mux_event *ev, uint64_t now)
{
	switch (ev->type) {
	case MUX_EV_CONFIG:
		standby_config(e, ev, now);
		break;
	case MUX_EV_GOAWAY:
		standby_goaway(e, ev, now);
		break;
	case MUX_EV_PROBE_REPLY:
		if (e->standby->have_config && ev->u.opaque == e->standby->probe)
			e->standby->proven = true;
		break;
	case MUX_EV_PROBE:
	case MUX_EV_OPEN:
	case MUX_EV_OPENED:
	case MUX_EV_REFUSED:
	case MUX_EV_DATA:
	case MUX_EV_FIN:
	case MUX_EV_RESET:
	case MUX_EV_DGRAM:
	case MUX_EV_DGRAM_ERROR:
		break;		/* of streams: there are none yet */
	}
}

/* Frames in what was read.  Return: false: this attempt is over */
static bool standby_consume(struct engine *e, uint64_t now)
{
	struct standby *s = e->standby;
	struct link_start *at = &s->at;
	struct mux_event ev;
	char why[200];
	size_t used;
	int got;

	for (;;) {
		got = mux_recv(at->mux, at->rx->data + at->rx_start, at->rx_end - at->rx_start,
			       &used, &ev, now);
		if (got < 0) {
			snprintf(why, sizeof(why), "%s", mux_error(at->mux));
			standby_lost(e, CAUSE_PROTOCOL, why, now);
			return false;
		}
		at->rx_start += used;
		if (!got)
			break;
		standby_frame(e, &ev, now);
		if (e->standby != s || !at->mux)
			return false;
	}
	memmove(at->rx->data, at->rx->data + at->rx_start, at->rx_end - at->rx_start);
	at->rx_end -= at->rx_start;
	at->rx_start = 0;
	return true;
}

static void standby_read(struct engine *e, uint64_t now)
{
	struct link_start *at = &e->standby->at;
	uint32_t retry_after;
	char why[512];
	ssize_t n;

	/* a whole frame fits, so there is room for more after each standby_consume() */
	n = conn_read(at->conn, at->rx->data + at->rx_end, at->rx->size - at->rx_end);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		snprintf(why, sizeof(why), "%s", conn_why(at->conn));
		standby_lost(e, conn_cause(at->conn, &retry_after), why, now);
		return;
	}
	at->rx_end += (size_t)n;
	if (standby_consume(e, now))
		mux_recv_done(at->mux, now);
}

static void standby_live(struct engine *e, uint64_t now)
{
	struct standby *s = e->standby;
	struct loop_src *src = conn_src(s->at.conn);
	int err;

	s->at.mux = link_mux_new(e);
	s->at.rx = buf_get(e->rx_pool);
	err = s->at.mux && s->at.rx ? loop_add(e->loop, src, EPOLLIN) : -ENOMEM;
	if (err == -EEXIST)
		err = loop_mod(e->loop, src, EPOLLIN);
	if (err)
		standby_fail(e, err, strerror(-err), now);
	else
		standby_read(e, now);	/* frames may have come with the 101 */
}

/* ---- the switch ------------------------------------------------------------------------------ */

const struct link_start *standby_waits(const struct engine *e)
{
	return e->standby && e->standby->offer_pending ? &e->standby->at : NULL;
}

const struct profile *standby_profile(const struct engine *e)
{
	return e->standby->profile;
}

static void standby_offer(struct engine *e)
{
	struct standby *s = e->standby;

	if (!s->proven || s->offer_pending || e->offer_out)
		return;		/* one offer at a time */
	s->offer_pending = true;
	daemon_link_offer(e, &s->at.offer);
}

void standby_applied(struct engine *e, int error, uint64_t now)
{
	struct standby *s = e->standby;
	struct link_start at;

	if (!error && !e->tunnel)
		error = -ENODEV;
	if (!error)
		error = reload_use(e, s->profile, &s->files, s->tls, now);
	if (error) {
		standby_fail(e, error, "what Sentry offers could not be applied", now);
		return;
	}
	at = s->at;
	e->standby = NULL;
	free(s);
	link_adopt(e, &at, now);
	reload_answer(e, 0, "");
	link_read(e, now);	/* more frames may have come */
}

/* ---- events and time --------------------------------------------------------------------------- */

bool standby_event(struct engine *e, struct loop_src *src, uint32_t events, uint64_t now)
{
	struct standby *s = e->standby;

	if (!s || !s->at.conn || (src && src->owner != s->at.conn))
		return false;
	if (!s->at.mux) {
		conn_event(s->at.conn, src, events, now);
		standby_progress(e, now);
	} else if (src) {
		if (events & EPOLLOUT)
			s->at.out_blocked = false;
		standby_read(e, now);
	}
	return src != NULL;
}

void standby_turn(struct engine *e, uint64_t now)
{
	struct standby *s = e->standby;

	if (s && s->at.mux && conn_has_pending(s->at.conn))
		standby_read(e, now);
	if (e->standby == s && s && s->at.mux) {
		standby_offer(e);
		standby_write(e, now);
	}
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void standby_cancel(struct engine *e, uint64_t now)
{
	/* what is being applied comes to its end in a moment */
	if (e->standby && !e->standby->offer_pending)
		standby_fail(e, -ECANCELED, "it was called off", now);
}

uint64_t standby_timer(struct engine *e, uint64_t now)
{
	struct standby *s = e->standby;
	char why[64];

	if (!s)
		return UINT64_MAX;
	if (now >= s->give_up) {
		snprintf(why, sizeof(why), "the new session was not up within %u s",
			 s->limit_ms / 1000);
		standby_fail(e, -ETIMEDOUT, why, now);
		return UINT64_MAX;
	}
	if (s->redial && now >= s->redial)
		standby_dial(e, now);
	else if (s->at.conn && !s->at.mux && now >= conn_deadline(s->at.conn)) {
		conn_timer(s->at.conn, now);
		standby_progress(e, now);
	}
	if (e->standby != s)
		return UINT64_MAX;
	if (s->redial)
		return min_u64(s->redial, s->give_up);
	if (!s->at.mux)
		return min_u64(conn_deadline(s->at.conn), s->give_up);
	if (conn_has_pending(s->at.conn))
		return now;
	return min_u64(mux_timer(s->at.mux, now), s->give_up);
}
