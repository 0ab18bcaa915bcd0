/* SPDX-License-Identifier: MIT */
/*
 * supervise.c - a profile's way from connect to undone.
 *
 *	free -> parsing -> running <-> waiting		(the engine died)
 *	            any of them -> stopping -> free	(killed, undone, answered)
 *
 * connect is a transaction: until the session was up for the first time (and
 * unless --keep-trying was asked for) every failure ends in slot_end().  From
 * then on only disconnect and the daemon's own end release the lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/isolate.h"
#include "platform/overlap.h"
#include "platform/report.h"
#include "platform/versions.h"

#define ENGINE_NAME	"apptunnel-engine"

void supervise_init(struct daemon *d)
{
	unsigned int i;

	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		d->slots[i] = (struct slot){ .n = i, .d = d, .record = -1, .sealed = -1,
					     .sock = -1, .hosts = -1, .resolv = -1,
				     .profile_text = -1 };
		files_forget_identity(&d->slots[i].files);
	}
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

/* The "[#] ..." lines of apply: to those who wait, else to the log. */
static void say_change(void *arg, const char *line)
{
	struct slot *s = arg;

	if (!slot_say(s, "%s", line))
		report(REPORT_INFO, "system.change", "%s: %s", s->stem, line);
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

static void slot_free(struct slot *s)
{
	struct slot fresh = { .n = s->n, .d = s->d, .record = -1, .sealed = -1, .sock = -1,
			      .hosts = -1, .resolv = -1, .profile_text = -1 };

	serve_close(s);
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
	files_forget_identity(&fresh.files);
	*s = fresh;
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
	if (!polite || serve_simple(s, HELPER_STOP) < 0)
		slot_kill(s);
}

/* ---- the engine ---------------------------------------------------------- */

/* The engine cannot be started, or died: again later, the lock stays. */
static void engine_later(struct daemon *d, struct slot *s)
{
	if (s->started_at && d->now - s->started_at >= DAEMON_STABLE_MS)
		s->backoff_ms = 0;
	s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : DAEMON_BACKOFF_MIN_MS;
	if (s->backoff_ms > DAEMON_BACKOFF_MAX_MS)
		s->backoff_ms = DAEMON_BACKOFF_MAX_MS;
	s->phase = SLOT_WAITING;
	s->deadline = d->now + s->backoff_ms;
	s->since = d->now;
	s->state = SESSION_DOWN;
	s->attempts_over = 0;
}

/* Fork it with one end of a new pair; what it needs follows by serve_start(). */
static int engine_spawn(struct daemon *d, struct slot *s)
{
	char path[PROFILE_PATH_MAX + sizeof(ENGINE_NAME) + 1];
	char *argv[] = { (char *)ENGINE_NAME, NULL };
	struct isolate_child child = {
		.path = path, .argv = argv, .n_fds = 1, .uid = d->uid, .gid = d->gid,
	};
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/" ENGINE_NAME, d->o.libexec_dir);
	child.fds[0] = pair[1];
	pid = isolate_spawn(&child);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return (int)pid;
	}
	s->pid = pid;
	s->sock = pair[0];
	return 0;
}

static void engine_start(struct daemon *d, struct slot *s)
{
	char why[512] = "";
	int err;

	err = files_open_identity(s->profile, &s->files, why, sizeof(why));
	if (!err) {
		err = engine_spawn(d, s);
		if (err)
			snprintf(why, sizeof(why), "cannot start " ENGINE_NAME ": %s",
				 strerror(-err));
	}
	if (err) {
		report(REPORT_ERROR, "engine.unstartable", "%s: %s", s->stem, why);
		files_close_identity(&s->files);
		slot_say(s, "apptunnel: %s", why);
		engine_later(d, s);
		s->exit = EXIT_UNEXPECTED;
		snprintf(s->text, sizeof(s->text), "%s", why);
		return;
	}
	s->stamp = files_identity_stamp(&s->files);
	s->phase = SLOT_RUNNING;
	s->step = 0;
	s->started = false;
	s->started_at = s->since = s->tokens_at = d->now;
	s->tokens = DAEMON_SOCKETS_BURST;
	s->words_at = d->now;
	s->words = DAEMON_WORDS_BURST;
	s->applied = false;
	s->state = SESSION_DOWN;
	s->attempts_over = 0;
	report(REPORT_INFO, "engine.start", "%s: pid %d", s->stem, (int)s->pid);
	serve_start(d, s);
}

static void how_ended(int status, char *buf, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(buf, size, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(buf, size, "ended with %d", WEXITSTATUS(status));
}

static void engine_ended(struct daemon *d, struct slot *s, int status)
{
	bool unfit = WIFEXITED(status) && (WEXITSTATUS(status) == ISOLATE_EXIT_EXEC ||
					   WEXITSTATUS(status) == ISOLATE_EXIT_SETUP);
	char how[64];

	how_ended(status, how, sizeof(how));
	serve_close(s);
	if (unfit && !s->was_up && !s->keep) {
		slot_end(d, s, EXIT_UNEXPECTED, "cannot run %s/" ENGINE_NAME, d->o.libexec_dir);
		return;
	}
	if (apply_restart(s->apply) < 0)
		report(REPORT_ERROR, "apply.restart", "%s: the journal cannot be written", s->stem);
	change_lost(d, s);
	if (s->renewing) {
		s->renewing = false;
		engine_start(d, s);
		return;
	}
	engine_later(d, s);
	s->exit = EXIT_UNEXPECTED;
	snprintf(s->text, sizeof(s->text), "the engine %s", how);
	report(REPORT_WARNING, "engine.ended", "%s: the engine %s; started again in %u ms", s->stem,
	       how, s->backoff_ms);
	slot_say(s, "apptunnel: the engine %s; it is started again in %u s, %s stays locked", how,
		 s->backoff_ms / 1000, s->stem);
}

/* ---- connect ------------------------------------------------------------- */

static void slot_names(const struct daemon *d, struct slot *s, struct plan_names *names)
{
	plan_names_default(names, s->n);
	names->mark = d->o.mark;
	names->table = d->o.table + s->n;
	names->prio = d->o.prio + s->n;
	names->prio_main = d->o.prio - 1;
	names->no_vnet_hdr = d->o.no_vnet_hdr;
	snprintf(names->resolv_conf, sizeof(names->resolv_conf), "%s", d->o.resolv_conf);
}

/* Which of two tunnels a packet takes must not depend on who was connected first. */
bool supervise_overlap(struct daemon *d, const struct slot *s, const struct profile *p, char *why,
		       size_t size)
{
	char text[PREFIX_STRLEN];

	for (int i = 0; i < NAMES_MAX_PROFILES; i++) {
		const struct slot *o = &d->slots[i];
		const struct prefix *both;

		if (o == s || !o->apply)
			continue;
		both = overlap_find(p, o->profile);
		if (!both)
			continue;
		snprintf(why, size, "%s and %s (which is connected) both have %s in their "
			 "IPRoutes; disconnect %s first, or exclude it from one of them "
			 "(ExcRoutes)", s->stem, o->stem, prefix_format(both, text), o->stem);
		return true;
	}
	return false;
}

/* The profile is good: look whether its files are, lock, start the engine. */
static void slot_lock(struct daemon *d, struct slot *s)
{
	struct plan_names names;
	char why[512] = "";
	int err;

	err = files_open_identity(s->profile, &s->files, why, sizeof(why));
	files_close_identity(&s->files);	/* each engine gets its own, opened anew */
	if (err) {
		slot_end(d, s, err, "%s", why);
		return;
	}
	if (supervise_overlap(d, s, s->profile, why, sizeof(why))) {
		slot_end(d, s, EXIT_CONFLICT, "%s", why);
		return;
	}
	slot_names(d, s, &names);
	err = plan_build(&s->plan, s->profile, NULL, &names);
	if (!err) {
		s->apply = apply_new(&sys_linux, NULL, d->o.state_dir, s->stem, say_change, s);
		err = s->apply ? 0 : -ENOMEM;
	}
	if (err) {
		slot_end(d, s, EXIT_UNEXPECTED, "%s", strerror(-err));
		return;
	}
	err = apply_lock(s->apply, &s->plan, why, sizeof(why));
	if (err) {
		apply_free(s->apply);		/* nothing is left that it could undo */
		s->apply = NULL;
		slot_end(d, s, err == -EEXIST ? EXIT_CONFLICT : EXIT_SYSTEM, "%s", why);
		return;
	}
	s->sweep_at = d->now + APPLY_SWEEP_S * 1000;
	if (s->profile->pinning_disabled)
		slot_say(s, "apptunnel: warning: DisablePinning: whoever has a certificate of a "
			 "known CA for this name is taken for Sentry");
	if (s->profile->lock_mode == LOCK_OFF)
		slot_say(s, "apptunnel: warning: [lock] Mode = off: without the tunnel its traffic "
			 "leaves unprotected");
	engine_start(d, s);
}

static void slot_parsed(struct daemon *d, struct slot *s, int status)
{
	char how[64];
	int err;

	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_PROFILE) {
		slot_end(d, s, EXIT_PROFILE, "profile %s is not valid", s->stem);
		return;
	}
	how_ended(status, how, sizeof(how));
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		slot_end(d, s, EXIT_UNEXPECTED, "the parser of profile %s %s", s->stem, how);
		return;
	}
	err = parse_result(s);
	if (err) {
		slot_end(d, s, EXIT_UNEXPECTED, "the parser's record is not sound: %s",
			 strerror(-err));
		return;
	}
	err = parse_taken(d, s);
	if (err)
		slot_end(d, s, EXIT_UNEXPECTED, "the Version of profile %s cannot be written down "
			 "in %s: %s", s->stem, d->o.state_dir, strerror(-err));
	else
		slot_lock(d, s);
}

static void wait_for_up(struct client *c, struct slot *s)
{
	uint32_t ms = c->req.timeout_ms ? c->req.timeout_ms : CONTROL_CONNECT_MS;

	s->said[0] = '\0';
	c->slot = s;
	c->wait = CLIENT_UP;
	c->deadline = c->d->now + ms;
	if (c->req.flags & CONTROL_F_KEEP_TRYING)
		s->keep = true;
}

/* The profile has a slot already. */
static void connect_again(struct daemon *d, struct client *c, struct slot *s)
{
	if (s->phase == SLOT_STOPPING) {
		client_say(c, "err", "apptunnel: %s is being disconnected; try again", s->stem);
		client_exit(c, EXIT_UNEXPECTED);
		return;
	}
	if (s->phase == SLOT_RUNNING && (s->state == SESSION_UP || s->state == SESSION_PROBING)) {
		client_say(c, "out", "%s is connected already", s->stem);
		client_exit(c, 0);
		return;
	}
	wait_for_up(c, s);
	client_say(c, "err", "apptunnel: %s is %s; trying now", s->stem, slot_state_name(s));
	if (renew_profile_changed(d, s))
		client_say(c, "err", "apptunnel: warning: the file of profile %s is another one than "
			   "is in use; `apptunnel status` says why", s->stem);
	if (s->phase == SLOT_WAITING)
		s->deadline = d->now;
	else if (renew_connect(s))
		;
	else if (s->phase == SLOT_RUNNING && s->started && serve_simple(s, HELPER_DIAL) < 0)
		slot_kill(s);
}

/* Once it is up: a full disk is for the journal first. */
void slot_store(struct slot *s)
{
	const char *dir = s->d->o.state_dir;
	int err;

	if (s->in_store || s->profile_text < 0)
		return;
	err = store_put(dir, s->stem, STORE_STAGED, s->profile_text, s->p7m);
	if (!err)
		err = store_commit(dir, s->stem);
	if (err) {	/* it works; there is only no way back to it */
		report(REPORT_ERROR, "store.failed", "%s: %s", s->stem, strerror(-err));
		store_unstage(dir, s->stem);
	}
	s->in_store = !err;
	close(s->profile_text);
	s->profile_text = -1;
}

/*
 * The file in the profile folder, unless it was rolled back or another one is
 * on trial: then the store's.  What is taken from the folder goes into the store.
 */
static int choose_text(struct daemon *d, struct client *c, struct slot *s, struct parse_input *in)
{
	uint8_t active[SHA256_LEN];
	int err = sha256_fd(in->text, FILES_PROFILE_MAX, s->sum), text;

	if (err)
		return err;
	if (trial_on(d, s->stem) || store_rejected(d->o.state_dir, s->stem, s->sum)) {
		text = store_open(d->o.state_dir, s->stem, STORE_ACTIVE, &in->p7m);
		if (text < 0)
			return text;
		close(in->text);
		in->text = text;
		s->in_store = true;
		s->force = true;	/* it was taken before, whatever came after it */
		client_say(c, "err", "apptunnel: warning: not the file in %s: %s", d->o.profile_dir,
			   trial_on(d, s->stem) ? "another one is on trial" :
			   "it was rolled back, the profile before it is used");
		return sha256_fd(in->text, FILES_PROFILE_MAX, s->sum);
	}
	s->in_store = !store_sum(d->o.state_dir, s->stem, STORE_ACTIVE, active) &&
		      !memcmp(active, s->sum, sizeof(active));
	if (s->in_store)
		return 0;
	s->p7m = in->p7m;
	s->profile_text = fcntl(in->text, F_DUPFD_CLOEXEC, 0);
	return s->profile_text < 0 ? -errno : 0;
}

void supervise_connect(struct daemon *d, struct client *c, const char *stem)
{
	struct slot *s = supervise_find(d, stem);
	struct parse_input in;
	char why[512] = "";
	unsigned int i;
	int err;

	if ((c->req.flags & CONTROL_F_FORCE) && c->uid) {
		client_say(c, "err", "apptunnel: --force takes root: it accepts a profile that was "
			   "replaced by a newer one");
		client_exit(c, EXIT_PERMISSION);
		return;
	}
	if (s) {
		connect_again(d, c, s);
		return;
	}
	for (i = 0; i < NAMES_MAX_PROFILES && d->slots[i].phase != SLOT_FREE; i++)
		;
	if (i == NAMES_MAX_PROFILES) {
		client_say(c, "err", "apptunnel: %d profiles are connected, more cannot be",
			   NAMES_MAX_PROFILES);
		client_exit(c, EXIT_UNEXPECTED);
		return;
	}
	err = parse_open(d, stem, &in, why, sizeof(why));
	if (err) {
		if (err == -ENOENT)
			client_say(c, "err", "apptunnel: no profile %s in %s; `apptunnel profile "
				   "list` shows those that are there", stem, d->o.profile_dir);
		else
			client_say(c, "err", "apptunnel: %s", why);
		client_exit(c, err == -ENOENT ? EXIT_NO_PROFILE : EXIT_PROFILE);
		return;
	}
	s = &d->slots[i];
	snprintf(s->stem, sizeof(s->stem), "%s", stem);
	err = choose_text(d, c, s, &in);
	if (err) {
		parse_close(&in);
		client_say(c, "err", "apptunnel: the file of profile %s is the one that was rolled "
			   "back, and there is none before it: %s", stem, strerror(-err));
		client_exit(c, EXIT_PROFILE);
		slot_free(s);
		return;
	}
	s->force |= (c->req.flags & CONTROL_F_FORCE) != 0;
	s->text_sum = renew_text_sum(in.text);
	err = parse_start(d, s, &in, c->fd);
	parse_close(&in);
	if (err == -EBADMSG)
		client_say(c, "err", "apptunnel: %s/" VERSIONS_DIR "/%s is damaged: which Version "
			   "was seen last cannot be told; remove that file to begin anew",
			   d->o.state_dir, stem);
	else if (err)
		client_say(c, "err", "apptunnel: cannot start the parser: %s", strerror(-err));
	if (err) {
		client_exit(c, EXIT_UNEXPECTED);
		slot_free(s);
		return;
	}
	s->phase = SLOT_PARSING;
	s->deadline = d->now + DAEMON_PARSE_MS;
	s->since = d->now;
	wait_for_up(c, s);
	report(REPORT_INFO, "profile.connect", "%s, asked for by uid %u", s->stem,
	       (unsigned int)c->uid);
}

void supervise_disconnect(struct daemon *d, struct client *c, struct slot *s)
{
	c->slot = s;
	c->wait = CLIENT_DOWN;
	slot_end(d, s, EXIT_NOT_UP, "disconnect was asked for");
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
			slot_parsed(d, s, status);
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

	for (i = 0; i < NAMES_MAX_PROFILES; i++)
		slot_end(d, &d->slots[i], EXIT_UNEXPECTED, "apptunneld is stopping");
}
