/* SPDX-License-Identifier: MIT */
/*
 * connect.c - from the request to a locked machine: which text of the profile,
 * the parser's judgement, its files, its neighbours, the lock.  Then the engine
 * starts (engine_child.c); how it ends is supervise.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/isolate.h"
#include "platform/overlap.h"
#include "platform/report.h"
#include "platform/versions.h"

/* ---- which text -------------------------------------------------------------- */

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

/* ---- the request ------------------------------------------------------------- */

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
	else if (s->phase == SLOT_RUNNING && s->started && engine_tell(s, HELPER_DIAL) < 0)
		slot_kill(s);
}

void connect_profile(struct daemon *d, struct client *c, const char *stem)
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

/* ---- the profile was read ---------------------------------------------------- */

/* The "[#] ..." lines of apply: to those who wait, else to the log. */
static void say_change(void *arg, const char *line)
{
	struct slot *s = arg;

	if (!slot_say(s, "%s", line))
		report(REPORT_INFO, "system.change", "%s: %s", s->stem, line);
}

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
bool connect_overlap(struct daemon *d, const struct slot *s, const struct profile *p, char *why,
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
	if (connect_overlap(d, s, s->profile, why, sizeof(why))) {
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

void connect_parsed(struct daemon *d, struct slot *s, int status)
{
	char how[64];
	int err;

	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_PROFILE) {
		slot_end(d, s, EXIT_PROFILE, "profile %s is not valid", s->stem);
		return;
	}
	isolate_how_ended(status, how, sizeof(how));
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

/* ---- it works ------------------------------------------------------------ */

/* Once it is up: a full disk is for the journal first. */
void connect_store(struct slot *s)
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
