/* SPDX-License-Identifier: MIT */
/*
 * serve.c - what an engine may ask for and say (helper_msg.h): sockets, what
 * Sentry offers, its state.  Whoever sends anything unsound is ended; the lock
 * stays and engine_child.c starts a new one.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/offer.h"
#include "platform/report.h"
#include "platform/usage.h"

/* End it, and do nothing more of what it still asks for. */
static void engine_useless(struct slot *s)
{
	slot_kill(s);
	engine_close(s);
}

/* ---- what an engine gone mad can cost ------------------------------------- */

/* A bucket of tokens, filled by @rate a second up to @burst. */
static void bucket_fill(uint32_t *tokens, uint64_t *at, uint32_t burst, uint32_t rate, uint64_t now)
{
	uint64_t more = (now - *at) * rate / 1000;

	if (!more)
		return;
	*tokens = *tokens + more > burst ? burst : *tokens + (uint32_t)more;
	*at = now;
}

/* Sockets.  Return: how many of @want */
static uint32_t tokens_take(struct slot *s, uint32_t want, uint64_t now)
{
	bucket_fill(&s->tokens, &s->tokens_at, DAEMON_SOCKETS_BURST, DAEMON_SOCKETS_S, now);
	if (want > s->tokens)
		want = s->tokens;
	s->tokens -= want;
	return want;
}

/* What costs the daemon's time and its log's lines. */
static bool words_take(struct slot *s, uint32_t cost, uint64_t now)
{
	bucket_fill(&s->words, &s->words_at, DAEMON_WORDS_BURST, DAEMON_WORDS_S, now);
	if (cost > s->words)
		return false;
	s->words -= cost;
	return true;
}

/* ---- sockets ------------------------------------------------------------- */

static int socket_make(uint8_t kind, uint8_t family, uint32_t mark)
{
	int type = (kind == HELPER_SOCK_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK |
		   SOCK_CLOEXEC;
	int fd = socket(family == 4 ? AF_INET : AF_INET6, type, 0), on = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    (family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static void serve_sockets(struct daemon *d, struct slot *s, const struct helper_msg *m)
{
	struct helper_msg answer = { .type = HELPER_SOCKETS };
	uint32_t want = tokens_take(s, m->u.sockets.count, d->now);
	int fds[HELPER_MAX_FDS], err;
	unsigned int n = 0, i;

	while (n < want) {
		fds[n] = socket_make(m->u.sockets.kind, m->u.sockets.family,
				     s->plan.names.mark);
		if (fds[n] < 0) {
			if (d->now - s->told_at < DAEMON_TELL_MS)
				break;
			s->told_at = d->now;
			report(REPORT_WARNING, "socket.failed", "IPv%u: %s", m->u.sockets.family,
			       strerror(-fds[n]));
			break;
		}
		n++;
	}
	answer.u.sockets.kind = m->u.sockets.kind;
	answer.u.sockets.family = m->u.sockets.family;
	answer.u.sockets.count = (uint16_t)n;
	err = helper_send(s->sock, &answer, fds, n);
	for (i = 0; i < n; i++)
		close(fds[i]);
	if (err == -ETOOMANYREFS) {	/* too many descriptors on the way: none this time */
		answer.u.sockets.count = 0;
		err = helper_send(s->sock, &answer, NULL, 0);
	}
	if (err)
		engine_useless(s);	/* it does not read what it asked for */
}

/* ---- the offer ----------------------------------------------------------- */

/*
 * Plan and apply what Sentry gives.
 * Return: 0; -EADDRINUSE or -EINVAL: Sentry may not give that; else the machine's refusal
 */
static int offer_apply(struct slot *s, const struct plan_offer *o, int *tun, bool *vnet_hdr,
		       char *why, size_t size)
{
	struct plan plan;
	const char *wrong;
	int err;

	*tun = -1;
	if (change_offer(s, o, &err, why, size))
		return err;
	wrong = offer_check(s->profile, o, &s->plan.names);
	err = wrong ? -EINVAL : offer_address_used(o);
	if (err) {
		snprintf(why, size, "Sentry offers %s", wrong ? wrong : err == -EADDRINUSE ?
			 "an address that this machine already has" : "an address");
		return err;
	}
	s->offer = *o;
	err = plan_build(&plan, s->profile, &s->offer, &s->plan.names);
	if (err) {
		snprintf(why, size, "%s", strerror(-err));
		return err;
	}
	err = apply_tunnel(s->apply, &plan, tun, vnet_hdr, why, size);
	plan_free(&s->plan);
	s->plan = plan;
	return err;
}

static void serve_offer(struct daemon *d, struct slot *s, const struct helper_msg *m)
{
	struct helper_msg answer = { .type = HELPER_APPLIED };
	bool vnet_hdr = false, system;
	char why[512] = "";
	int tun = -1, err;

	err = offer_apply(s, &m->u.offer, &tun, &vnet_hdr, why, sizeof(why));
	system = err && err != -EADDRINUSE && err != -EINVAL;
	if (err) {
		report(REPORT_ERROR, "offer.refused", "%s: %s", s->stem, why);
		slot_say(s, "apptunnel: %s", why);
	}
	answer.u.applied.error = err;
	answer.u.applied.with_tun = tun >= 0;
	answer.u.applied.has_usable_gso = tun >= 0 && vnet_hdr;
	err = helper_send(s->sock, &answer, &tun, tun >= 0);
	if (tun >= 0)
		close(tun);
	if (system && !s->was_up && !s->keep)
		slot_end(d, s, EXIT_SYSTEM, "%s", why);
	else if (err || (system && s->applied))
		/* without the TUN's descriptor it is of no use; the one that it has went
		 * with what was undone */
		engine_useless(s);
	s->applied = !system && (s->applied || !answer.u.applied.error);
}

/* ---- states -------------------------------------------------------------- */

static void say_up(struct slot *s)
{
	char a4[ADDR_STRLEN], a6[ADDR_STRLEN];
	int i;

	addr_format(&s->offer.addr4, a4);
	addr_format(&s->offer.addr6, a6);
	for (i = 0; i < DAEMON_CLIENTS; i++) {
		struct client *c = &s->d->clients[i];

		if (c->fd < 0 || c->slot != s || c->wait != CLIENT_UP)
			continue;
		client_say(c, "out", "connected %s: %s %s%s%s", s->stem, s->plan.names.tun,
			   s->offer.addr4.family ? a4 : a6,
			   s->offer.addr4.family && s->offer.addr6.family ? ", " : "",
			   s->offer.addr4.family && s->offer.addr6.family ? a6 : "");
		client_exit(c, 0);
	}
}

/* What a waiting connect sees on the way. */
static void say_progress(struct slot *s)
{
	const struct profile_host *h = &s->profile->hosts[0];

	if (s->text[0]) {
		if (!strcmp(s->text, s->said))
			return;		/* the next attempt ended as the last one */
		memcpy(s->said, s->text, sizeof(s->said));
		slot_say(s, "apptunnel: %s", s->text);
		slot_say(s, "apptunnel: trying again ...");
	} else if (s->state == SESSION_RESOLVING) {
		slot_say(s, "apptunnel: resolving %s ...", h->name);
	} else {
		slot_say(s, "apptunnel: %s ...", slot_state_name(s));
	}
}

/* Refused, not trusted, or unusable: no time-out will mend it. */
static void say_hopeless(struct daemon *d, struct slot *s)
{
	int code = s->exit ? s->exit : EXIT_NOT_UP, i;

	if (!s->was_up && !s->keep) {
		slot_end(d, s, code, "%s", s->text[0] ? s->text : slot_state_name(s));
		return;
	}
	for (i = 0; i < DAEMON_CLIENTS; i++) {
		struct client *c = &d->clients[i];

		if (c->fd < 0 || c->slot != s || c->wait != CLIENT_UP)
			continue;
		client_say(c, "err", "apptunnel: %s", s->text);
		client_say(c, "err", "apptunnel: %s stays locked; `apptunnel disconnect %s` "
			   "releases it", s->stem, s->stem);
		client_exit(c, code);
	}
}

/* A log is read by people: an engine that flaps does not drown the rest. */
static bool may_log(struct slot *s, uint64_t now)
{
	if (now - s->lines_at >= 1000) {
		if (s->lines_left_out)
			report(REPORT_WARNING, "session.state", "%s: %u more changes", s->stem,
			       s->lines_left_out);
		s->lines = s->lines_left_out = 0;
		s->lines_at = now;
	}
	if (s->lines < DAEMON_LINES_S) {
		s->lines++;
		return true;
	}
	s->lines_left_out++;
	return false;
}

static void serve_state(struct daemon *d, struct slot *s, const struct helper_msg *m)
{
	enum session_state state = (enum session_state)m->u.state.state;
	bool changed = s->state != state;

	s->state = m->u.state.state;
	s->attempts_over = m->u.state.attempts_over;
	s->exit = m->u.state.exit;
	memcpy(s->text, m->u.state.text, sizeof(s->text));
	if (changed)
		s->since = d->now;
	if (changed && may_log(s, d->now))
		report(s->exit ? REPORT_WARNING : REPORT_INFO, "session.state", "%s: %s%s%s",
		       s->stem, slot_state_name(s), s->text[0] ? ": " : "", s->text);
	switch (state) {
	case SESSION_UP:
		s->was_up = true;
		connect_store(s);
		say_up(s);
		break;
	case SESSION_REFUSED:
	case SESSION_FAILED:
		say_hopeless(d, s);
		break;
	case SESSION_RESOLVING:
	case SESSION_CONNECTING:
	case SESSION_SECURING:
	case SESSION_NEGOTIATING:
	case SESSION_CONFIGURING:
	case SESSION_RECONNECTING:
		if (changed || s->text[0])
			say_progress(s);
		break;
	case SESSION_DOWN:
	case SESSION_PROBING:
	case SESSION_STATES:
		break;
	}
}

/* ---- the socket ---------------------------------------------------------- */

/* NULL, or why an engine that sends this well-formed message is not to be trusted */
static const char *misbehaves(struct slot *s, const struct helper_msg *m, uint64_t now)
{
	if (m->type == HELPER_OFFER)
		return words_take(s, DAEMON_WORDS_OFFER, now) ? NULL : "offers too often";
	if (m->type == HELPER_USAGE)	/* a file is written */
		return words_take(s, DAEMON_WORDS_OFFER, now) ? NULL : "counts too often";
	if (m->type != HELPER_STATE)
		return NULL;	/* sockets have a bucket of their own */
	if (!words_take(s, 1, now))
		return "changes its state too often";
	if ((m->u.state.state == SESSION_UP || m->u.state.state == SESSION_PROBING) && !s->applied)
		return "says that it is up, and nothing was applied";
	return NULL;
}

/* Return: false: nothing more is to be read from this engine now */
static bool serve_message(struct daemon *d, struct slot *s)
{
	int fds[HELPER_MAX_FDS], got;
	struct helper_msg msg;
	const char *why;

	got = helper_recv(s->sock, &msg, fds);
	if (got == -EAGAIN)
		return false;
	if (got <= 0 || helper_msg_check(&msg, true)) {
		if (got)
			report(REPORT_ERROR, "engine.unsound", "%s: a message of the engine is "
			       "not sound: ending it", s->stem);
		while (got > 0 && msg.n_fds)
			close(fds[--msg.n_fds]);
		/* nothing more from here; its end comes as a signal */
		if (s->phase == SLOT_RUNNING || got < 0)
			slot_kill(s);
		engine_close(s);
		return false;
	}
	if (s->phase != SLOT_RUNNING) {
		if (msg.type == HELPER_USAGE)
			usage_report(d, s, &msg.u.usage);
		return true;	/* being stopped: read, but done no more */
	}
	why = misbehaves(s, &msg, d->now);
	if (why) {
		report(REPORT_ERROR, "engine.unsound", "%s: the engine %s: ending it", s->stem,
		       why);
		engine_useless(s);
		return false;
	}
	switch (msg.type) {
	case HELPER_WANT_SOCKETS:
		serve_sockets(d, s, &msg);
		break;
	case HELPER_OFFER:
		serve_offer(d, s, &msg);
		return false;	/* it takes its time: the others first */
	case HELPER_STATE:
		serve_state(d, s, &msg);
		break;
	case HELPER_USAGE:
		usage_report(d, s, &msg.u.usage);
		break;
	case HELPER_RELOADED:
		if (!change_reloaded(d, s, &msg)) {
			report(REPORT_ERROR, "engine.unsound", "%s: the engine answers what nobody "
			       "asked: ending it", s->stem);
			engine_useless(s);
		}
		return false;
	}
	return s->sock >= 0;
}

short serve_events(const struct slot *s)
{
	return (short)(POLLIN | (s->phase == SLOT_RUNNING && !s->started ? POLLOUT : 0));
}

void serve_ready(struct daemon *d, struct slot *s, short revents)
{
	int n = 0;

	if ((revents & POLLOUT) && s->phase == SLOT_RUNNING && !s->started)
		engine_feed(d, s);
	if (revents & (POLLIN | POLLHUP | POLLERR)) {
		while (s->sock >= 0 && n++ < DAEMON_MESSAGES && serve_message(d, s))
			;
	}
}
