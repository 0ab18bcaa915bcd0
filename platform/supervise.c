/* SPDX-License-Identifier: MIT */
/*
 * supervise.c - a profile's way from connect to undone.
 *
 *	free -> parsing -> running <-> waiting		(the engine died)
 *	            any of them -> stopping -> free	(killed, undone, answered)
 *
 * The way to running is connect.c's, from there to waiting and back is
 * engine_child.c's; here are the end, those who wait, children and timers.
 *
 * connect is a transaction: until the session was up for the first time (and
 * unless --keep-trying was asked for) every failure ends in slot_end().  From
 * then on only disconnect and the daemon's own end release the lock.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/report.h"

static void slot_clear(struct slot *s, struct daemon *d, unsigned int n)
{
	*s = (struct slot){ .n = n, .d = d, .record = -1, .sealed = -1, .sock = -1, .hosts = -1,
			    .resolv = -1, .profile_text = -1 };
	files_forget_identity(&s->files);
}

void supervise_init(struct daemon *d)
{
	unsigned int i;

	for (i = 0; i < NAMES_MAX_PROFILES; i++)
		slot_clear(&d->slots[i], d, i);
}

struct slot *supervise_find(struct daemon *d, const char *stem)
{
	unsigned int i;

	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		if (d->slots[i].phase != SLOT_FREE && !strcmp(d->slots[i].stem, stem))
			return &d->slots[i];
	}
	return NULL;
}

bool supervise_idle(const struct daemon *d)
{
	unsigned int i;

	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		if (d->slots[i].phase != SLOT_FREE)
			return false;
	}
	return true;
}

/* ---- words to those who wait --------------------------------------------- */

bool slot_say(struct slot *s, const char *fmt, ...)
{
	char line[CONTROL_LINE_MAX];
	bool heard = false;
	va_list ap;
	int i;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	for (i = 0; i < DAEMON_CLIENTS; i++) {
		if (s->d->clients[i].fd >= 0 && s->d->clients[i].slot == s) {
			client_say(&s->d->clients[i], "err", "%s", line);
			heard = true;
		}
	}
	return heard;
}

static bool others_wait(const struct slot *s, const struct client *but)
{
	int i;

	for (i = 0; i < DAEMON_CLIENTS; i++) {
		const struct client *c = &s->d->clients[i];

		if (c != but && c->fd >= 0 && c->slot == s && c->wait == CLIENT_UP && !c->eof &&
		    c->deadline != DAEMON_NEVER)
			return true;
	}
	return false;
}

/* ---- the end: stop, undo, answer, forget --------------------------------- */

void slot_free(struct slot *s)
{
	engine_close(s);
	change_over(s);
	if (s->profile_text >= 0)
		close(s->profile_text);
	if (s->record >= 0)
		close(s->record);
	if (s->sealed >= 0)
		close(s->sealed);
	apply_free(s->apply);
	plan_free(&s->plan);
	free(s->profile);
	slot_clear(s, s->d, s->n);
}

/* No child is left: everything back, then the answers. */
static void slot_finish(struct slot *s)
{
	char why[512] = "";
	bool locked = s->apply;
	int err, i;

	err = locked ? apply_undo(s->apply, why, sizeof(why)) : 0;
	if (err)
		report(REPORT_ERROR, "undo.incomplete", "%s: %s", s->stem, why);
	else
		report(REPORT_INFO, "profile.released", "%s%s%s", s->stem,
		       s->end_text[0] ? ": " : "", s->end_text);
	for (i = 0; i < DAEMON_CLIENTS; i++) {
		struct client *c = &s->d->clients[i];

		if (c->fd < 0 || c->slot != s)
			continue;
		if (c->wait == CLIENT_UP && s->end_text[0])
			client_say(c, "err", "apptunnel: %s", s->end_text);
		if (err)
			client_say(c, "err", "apptunnel: not everything could be undone: %s; "
				   "`apptunnel disconnect` tries again", why);
		else if (c->wait == CLIENT_DOWN)
			client_say(c, "out", "disconnected %s", s->stem);
		else if (locked)
			client_say(c, "err", "apptunnel: everything is as it was before");
		client_exit(c, err && c->wait == CLIENT_DOWN ? EXIT_UNDO :
			    c->wait == CLIENT_DOWN ? 0 : s->end_exit);
	}
	slot_free(s);
}

void slot_kill(struct slot *s)
{
	if (s->pid > 0 && kill(s->pid, SIGKILL) < 0)
		report(REPORT_ERROR, "kill.failed", "%s: %s", s->stem, strerror(errno));
}

void slot_end(struct daemon *d, struct slot *s, int exit, const char *fmt, ...)
{
	bool polite = s->phase == SLOT_RUNNING && s->started;
	va_list ap;

	if (s->phase == SLOT_STOPPING || s->phase == SLOT_FREE)
		return;
	s->end_exit = exit;
	va_start(ap, fmt);
	vsnprintf(s->end_text, sizeof(s->end_text), fmt, ap);
	va_end(ap);
	s->phase = SLOT_STOPPING;
	if (!s->pid) {
		slot_finish(s);
		return;
	}
	s->deadline = d->now + DAEMON_STOP_MS;
	if (!polite || engine_tell(s, HELPER_STOP) < 0)
		slot_kill(s);
}

/* ---- disconnect ---------------------------------------------------------- */

void supervise_disconnect(struct daemon *d, struct client *c, struct slot *s)
{
	char stem[FILES_STEM_MAX];

	memcpy(stem, s->stem, sizeof(stem));
	c->slot = s;
	c->wait = CLIENT_DOWN;
	slot_end(d, s, EXIT_NOT_UP, "disconnect was asked for");
	trial_disconnected(d, stem);
}

/* ---- those who wait go, or waited enough --------------------------------- */

void supervise_interrupted(struct daemon *d, struct client *c)
{
	struct slot *s = c->slot;

	if (c->wait != CLIENT_UP)
		return;		/* an undo goes on, listened to or not */
	c->deadline = DAEMON_NEVER;
	if (s->phase == SLOT_STOPPING)
		return;
	if (s->was_up || s->keep || others_wait(s, c)) {
		client_say(c, "err", "apptunnel: %s goes on dialling; `apptunnel disconnect %s` "
			   "ends that", s->stem, s->stem);
		client_exit(c, EXIT_NOT_UP);
		return;
	}
	slot_end(d, s, EXIT_NOT_UP, "interrupted");
}

void supervise_timeout(struct daemon *d, struct client *c)
{
	struct slot *s = c->slot;
	bool dialling = s->phase == SLOT_RUNNING && s->state != SESSION_RECONNECTING;
	unsigned int ms = c->req.timeout_ms ? c->req.timeout_ms : CONTROL_CONNECT_MS;
	int exit = EXIT_TIMEOUT;
	char text[sizeof(s->text) + 128];

	if (s->phase == SLOT_STOPPING)
		return;
	if (s->phase != SLOT_PARSING && (s->attempts_over || !dialling) && s->text[0]) {
		exit = s->exit ? s->exit : EXIT_NOT_UP;
		snprintf(text, sizeof(text), "%s did not come up within %u s: %s", s->stem,
			 ms / 1000, s->text);
	} else {
		snprintf(text, sizeof(text), "%s did not come up within %u s; it was still %s",
			 s->stem, ms / 1000,
			 s->phase == SLOT_PARSING ? "being read" : slot_state_name(s));
	}
	if (!s->was_up && !s->keep && !others_wait(s, c)) {
		slot_end(d, s, exit, "%s", text);
		return;
	}
	client_say(c, "err", "apptunnel: %s", text);
	client_say(c, "err", "apptunnel: %s stays locked and goes on dialling; `apptunnel "
		   "disconnect %s` ends that", s->stem, s->stem);
	client_exit(c, exit);
}

/* ---- children and timers ------------------------------------------------- */

void supervise_child(struct daemon *d, pid_t pid, int status)
{
	unsigned int i;

	if (review_child(d, pid, status) || trial_child(d, pid, status))
		return;
	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		struct slot *s = &d->slots[i];

		if (s->pid != pid)
			continue;
		s->pid = 0;
		switch (s->phase) {
		case SLOT_PARSING:
			connect_parsed(d, s, status);
			break;
		case SLOT_RUNNING:
			engine_ended(d, s, status);
			break;
		case SLOT_STOPPING:
			slot_finish(s);
			break;
		case SLOT_FREE:
		case SLOT_WAITING:
			break;
		}
		return;
	}
}

/* Connections from outside, of the moment of locking, that ended meanwhile. */
static void slot_sweep(struct daemon *d, struct slot *s)
{
	int held = apply_inbound_sweep(s->apply);

	if (held < 0)
		report(REPORT_WARNING, "inbound.sweep", "%s: %s", s->stem, strerror(-held));
	s->sweep_at = held ? d->now + APPLY_SWEEP_S * 1000 : DAEMON_NEVER;
}

void slot_timer(struct daemon *d, struct slot *s)
{
	if (s->apply && d->now >= s->sweep_at)
		slot_sweep(d, s);
	change_timer(d, s);
	renew_timer(d, s);
	if (d->now < s->deadline)
		return;
	switch (s->phase) {
	case SLOT_PARSING:
		slot_end(d, s, EXIT_PROFILE, "profile %s takes too long to read", s->stem);
		break;
	case SLOT_WAITING:
		engine_start(d, s);
		break;
	case SLOT_STOPPING:
		slot_kill(s);
		s->deadline = d->now + DAEMON_STOP_MS;
		break;
	case SLOT_FREE:
	case SLOT_RUNNING:
		break;
	}
}

void supervise_stop(struct daemon *d)
{
	unsigned int i;

	trial_stopping(d);
	for (i = 0; i < NAMES_MAX_PROFILES; i++)
		slot_end(d, &d->slots[i], EXIT_UNEXPECTED, "apptunneld is stopping");
}
