/* SPDX-License-Identifier: MIT */
/*
 * change.c - another profile for a slot that runs, without dropping what stays:
 *
 *	what the new plan locks more -> engine goes over (HELPER_RELOAD) -> the
 *	rest that is new, then what is over goes
 *
 * Until the engine says yes, and the machine did all of it, the old profile is
 * in effect; apply_change() with the old plan leads back from anywhere.  What
 * the running engine cannot do (another MTU) a new one does, locked meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/offer.h"
#include "platform/report.h"

#define CHANGE_MS	45000	/* for the engine; a new session has 30 s of its own */

struct change {
	struct candidate next;
	struct plan plan;
	struct plan_offer offer;
	uint32_t flags;		/* RELOAD_* */
	uint64_t deadline;	/* ms */
	uint64_t stamp;		/* of the new profile's files */
	bool stored;		/* the store's active copy is this text already */
	bool cancelled;		/* nobody wants it any more: exit code and why */
	int cancel_exit;
	char cancel_why[128];
};

static void change_free(struct slot *s)
{
	struct change *ch = s->change;

	if (!ch)
		return;
	s->change = NULL;
	candidate_free(&ch->next);
	plan_free(&ch->plan);
	free(ch);
}

/* ---- what differs --------------------------------------------------------------- */

static bool hosts_same(const struct profile *a, const struct profile *b)
{
	if (a->n_hosts != b->n_hosts)
		return false;
	for (uint32_t i = 0; i < a->n_hosts; i++) {
		if (strcmp(a->hosts[i].name, b->hosts[i].name) ||
		    a->hosts[i].port != b->hosts[i].port)
			return false;
	}
	return true;
}

static bool pins_same(const struct profile *a, const struct profile *b)
{
	if (a->n_pins != b->n_pins)
		return false;
	for (uint32_t i = 0; i < a->n_pins; i++) {
		if (a->pins[i].kind != b->pins[i].kind ||
		    memcmp(a->pins[i].sha256, b->pins[i].sha256, sizeof(a->pins[i].sha256)) ||
		    strcmp(a->pins[i].path, b->pins[i].path))
			return false;
	}
	return true;
}

/* Could the session that stands have been made with the new profile, too? */
static bool session_same(const struct profile *a, const struct profile *b)
{
	return hosts_same(a, b) && pins_same(a, b) && !strcmp(a->service, b->service) &&
	       !strcmp(a->device_id, b->device_id) && !strcmp(a->user_id, b->user_id) &&
	       !strcmp(a->platform, b->platform) && a->tls_max == b->tls_max &&
	       a->pinning_disabled == b->pinning_disabled &&
	       !strcmp(a->certificate, b->certificate) &&
	       !strcmp(a->private_key, b->private_key) && !strcmp(a->chain, b->chain) &&
	       !strcmp(a->ca_file, b->ca_file);
}

/* What Sentry gave, in the bounds of the new profile; the engine says what it
 * knows better by an offer. */
static void offer_adjust(struct plan_offer *o, const struct profile *p)
{
	if (p->tun4.family)
		o->addr4 = p->tun4;
	if (p->tun6.family)
		o->addr6 = p->tun6;
	if (o->mtu > p->mtu)
		o->mtu = p->mtu;
	if (p->n_resolvers) {
		o->n_resolvers = p->n_resolvers;
		memcpy(o->resolvers, p->resolvers, sizeof(o->resolvers));
	}
	if (p->n_search) {
		o->n_search = p->n_search;
		memcpy(o->search, p->search, sizeof(o->search));
	}
}

/* ---- the end of it ---------------------------------------------------------------- */

/* Everything as the old plan says.  What cannot be had back ends the engine: the
 * next one finds the lock, and has everything set anew. */
static void lead_back(struct slot *s)
{
	char why[512] = "";

	if (!apply_change(s->apply, &s->plan, PLAN_TUNNEL, why, sizeof(why)))
		return;
	report(REPORT_ERROR, "change.stuck", "%s: %s", s->stem, why);
	if (s->phase == SLOT_RUNNING) {
		s->renewing = true;
		slot_kill(s);
	}
}

/* The new profile is the slot's from here on. */
static void swap(struct daemon *d, struct slot *s)
{
	struct change *ch = s->change;
	struct candidate *c = &ch->next;

	free(s->profile);
	close(s->sealed);
	plan_free(&s->plan);
	s->profile = c->profile;
	s->sealed = c->sealed;
	s->plan = ch->plan;
	s->plan.profile = s->profile;
	if (s->plan.offer) {
		s->offer = ch->offer;
		s->plan.offer = &s->offer;
	}
	c->profile = NULL;
	c->sealed = -1;
	ch->plan.items = NULL;
	ch->plan.n = 0;
	memcpy(s->sum, c->sum, sizeof(s->sum));
	s->text_sum = renew_text_sum(c->text);
	s->stamp = ch->stamp;
	s->is_signed = c->signer;
	s->seen = c->seen;
	s->in_store = true;
	if (s->profile_text >= 0)
		close(s->profile_text);
	s->profile_text = -1;
	if (parse_taken(d, s))
		report(REPORT_ERROR, "version.unwritten", "%s", s->stem);
}

static void done(struct daemon *d, struct slot *s, const char *how)
{
	struct change *ch = s->change;
	struct candidate c = ch->next;
	int err = 0;

	swap(d, s);
	/* of what is rolled back, or was in use before, the store knows already */
	if (c.source != CANDIDATE_BACK && !ch->stored)
		err = store_commit(d->o.state_dir, s->stem);
	if (err)
		report(REPORT_ERROR, "store.failed", "%s: %s", s->stem, strerror(-err));
	report(REPORT_INFO, "profile.changed", "%s: %s in effect%s", s->stem,
	       c.source == CANDIDATE_FILES ? "the new files are" : "a new profile is", how);
	note_clear(d, s->stem);
	trial_begin(d, s, &c);
	change_free(s);
}

static void failed(struct daemon *d, struct slot *s, int exit, const char *why)
{
	struct change *ch = s->change;

	s->change = NULL;	/* it is over before anybody is told */
	store_unstage(d->o.state_dir, s->stem);
	candidate_refuse(d, &ch->next, exit, "%s", why);
	s->change = ch;
	change_free(s);
}

/* ---- by a new engine ---------------------------------------------------------------- */

/* The lock goes over now, the tunnel's part with the engine that is started next. */
static void by_new_engine(struct daemon *d, struct slot *s)
{
	struct change *ch = s->change;
	char why[512] = "";
	int err;

	ch->plan.offer = NULL;
	err = apply_change(s->apply, &ch->plan, PLAN_TUNNEL, why, sizeof(why));
	if (err && ch->next.source != CANDIDATE_BACK) {
		lead_back(s);
		failed(d, s, EXIT_SYSTEM, why);
		return;
	}
	done(d, s, ", with a new engine");
	if (s->phase == SLOT_WAITING) {
		s->deadline = d->now;
	} else if (s->phase == SLOT_RUNNING) {
		s->renewing = true;
		slot_kill(s);
	}
}

/* ---- by the engine that runs ----------------------------------------------------------- */

static int send_all(struct slot *s, const struct identity *id)
{
	struct helper_msg msg = { .type = HELPER_RELOAD };
	struct change *ch = s->change;
	const struct {
		enum helper_file file;
		int fd;
	} files[] = {
		{ HELPER_FILE_CERTIFICATE, id->certificate }, { HELPER_FILE_KEY, id->key },
		{ HELPER_FILE_CHAIN, id->chain }, { HELPER_FILE_CA, id->ca },
	};
	int err = engine_file(s, HELPER_FILE_PROFILE, 0, ch->next.sealed);

	for (size_t i = 0; !err && ch->flags && i < sizeof(files) / sizeof(files[0]); i++) {
		if (files[i].fd >= 0)
			err = engine_file(s, files[i].file, 0, files[i].fd);
	}
	for (unsigned int i = 0; !err && ch->flags && i < PROFILE_MAX_PINS; i++) {
		if (id->pins[i] >= 0)
			err = engine_file(s, HELPER_FILE_PIN, i, id->pins[i]);
	}
	msg.u.reload.flags = ch->flags;
	if (ch->next.source == CANDIDATE_APPLY && ch->next.terms.confirm_ms < RELOAD_LIMIT_MS)
		msg.u.reload.limit_ms = ch->next.terms.confirm_ms;
	return err ? err : helper_send(s->sock, &msg, NULL, 0);
}

/* Is there a session that could go on?  Else a new engine loses nothing. */
static bool engine_lives(const struct slot *s)
{
	return s->phase == SLOT_RUNNING && s->started && s->applied && !s->renewing &&
	       s->state != SESSION_REFUSED && s->state != SESSION_FAILED;
}

static int plan_next(struct slot *s)
{
	struct change *ch = s->change;

	ch->offer = s->offer;
	offer_adjust(&ch->offer, ch->next.profile);
	plan_free(&ch->plan);
	return plan_build(&ch->plan, ch->next.profile, s->applied ? &ch->offer : NULL,
			  &s->plan.names);
}

void change_start(struct daemon *d, struct slot *s, struct candidate *c)
{
	struct change *ch = calloc(1, sizeof(*ch));
	char why[768] = "no memory";
	struct identity id;
	int err, exit = EXIT_UNEXPECTED;

	files_forget_identity(&id);
	if (!ch || s->change || !s->apply ||
	    (s->phase != SLOT_RUNNING && s->phase != SLOT_WAITING)) {
		candidate_refuse(d, c, EXIT_UNEXPECTED, "%s is being connected, changed or "
				 "disconnected; try again", s->stem);
		candidate_free(c);
		free(ch);
		return;
	}
	ch->next = *c;
	s->change = ch;
	err = files_open_identity(ch->next.profile, &id, why, sizeof(why));
	if (err) {
		exit = err;
		goto fail;
	}
	exit = EXIT_CONFLICT;
	if (connect_overlap(d, s, ch->next.profile, why, sizeof(why)))
		goto fail;
	ch->stamp = files_identity_stamp(&id);
	if (ch->stamp != s->stamp || !session_same(s->profile, ch->next.profile))
		ch->flags |= RELOAD_SESSION;
	exit = EXIT_SYSTEM;
	connect_store(s);
	ch->next.same = ch->next.source == CANDIDATE_APPLY &&
			!memcmp(s->sum, ch->next.sum, sizeof(s->sum));
	ch->stored = ch->next.same && s->in_store;
	if (ch->next.source == CANDIDATE_FILES)
		ch->stored = true;
	err = ch->next.source == CANDIDATE_BACK || ch->stored ? 0 :
	      store_put(d->o.state_dir, s->stem, STORE_STAGED, ch->next.text, ch->next.is_signed);
	if (!err)
		err = trial_prepare(d, &ch->next);
	if (err) {
		snprintf(why, sizeof(why), "%s cannot be written: %s", d->o.state_dir,
			 strerror(-err));
		goto fail;
	}
	err = plan_next(s);
	if (!err && !engine_lives(s)) {
		files_close_identity(&id);
		by_new_engine(d, s);
		return;
	}
	if (!err)
		err = apply_change(s->apply, &ch->plan, PLAN_LOCK, why, sizeof(why));
	if (!err) {
		err = send_all(s, &id);
		if (err)
			snprintf(why, sizeof(why), "the engine takes no message: %s", strerror(-err));
	}
	if (err) {
		lead_back(s);
		goto fail;
	}
	files_close_identity(&id);
	ch->deadline = d->now + CHANGE_MS;
	report(REPORT_INFO, "profile.change", "%s: %s%s", s->stem,
	       ch->next.source == CANDIDATE_FILES ? "new files" : "a new profile",
	       ch->flags ? ", which needs a new session" : "");
	return;
fail:
	files_close_identity(&id);
	failed(d, s, exit, why);
}

bool change_offer(struct slot *s, const struct plan_offer *o, int *err, char *why, size_t size)
{
	struct change *ch = s->change;

	if (!ch || offer_check(ch->next.profile, o, &s->plan.names))
		return false;
	*err = offer_address_used(o);
	if (*err) {
		snprintf(why, size, "an address that Sentry offers cannot be used");
		return true;
	}
	ch->offer = *o;
	plan_free(&ch->plan);
	*err = plan_build(&ch->plan, ch->next.profile, &ch->offer, &s->plan.names);
	if (!*err)
		*err = apply_change(s->apply, &ch->plan, PLAN_TUNNEL, why, size);
	return true;
}

bool change_reloaded(struct daemon *d, struct slot *s, const struct helper_msg *m)
{
	struct change *ch = s->change;
	char why[768] = "";
	int err = m->u.reloaded.error;

	if (!ch)
		return false;
	if (!err) {
		err = apply_change(s->apply, &ch->plan, PLAN_TUNNEL, why, sizeof(why));
		if (!err) {
			done(d, s, "");
			return true;
		}
		/* it goes by the new profile already: what is left is a new engine */
		lead_back(s);
		s->renewing = true;
		slot_kill(s);
		failed(d, s, EXIT_SYSTEM, why);
		return true;
	}
	if (ch->next.source == CANDIDATE_BACK || (err == -EOPNOTSUPP && !ch->cancelled)) {
		by_new_engine(d, s);
		return true;
	}
	lead_back(s);
	snprintf(why, sizeof(why), "%s", ch->cancelled ? ch->cancel_why :
		 m->u.reloaded.text[0] ? m->u.reloaded.text : strerror(-err));
	failed(d, s, ch->cancelled ? ch->cancel_exit : err == -ETIMEDOUT ? EXIT_TIMEOUT :
	       EXIT_UNEXPECTED, why);
	return true;
}

bool change_cancel(struct slot *s, int exit, const char *why)
{
	struct helper_msg msg = { .type = HELPER_RELOAD, .u.reload.flags = RELOAD_CANCEL };
	struct change *ch = s->change;

	if (!ch || ch->next.source != CANDIDATE_APPLY)
		return false;
	if (ch->cancelled)
		return true;
	ch->cancelled = true;
	ch->cancel_exit = exit;
	snprintf(ch->cancel_why, sizeof(ch->cancel_why), "%s", why);
	/* if it cannot be told: it has a limit, and what follows that goes by the flag */
	if (s->sock >= 0 && helper_send(s->sock, &msg, NULL, 0) < 0)
		report(REPORT_WARNING, "change.uncancelled", "%s", s->stem);
	return true;
}

void change_lost(struct daemon *d, struct slot *s)
{
	if (!s->change)
		return;
	if (s->change->next.source == CANDIDATE_BACK) {
		by_new_engine(d, s);
		return;
	}
	lead_back(s);
	failed(d, s, EXIT_UNEXPECTED, "the engine ended while it went over to the new profile");
}

void change_over(struct slot *s)
{
	const struct trial_terms *t = s->change ? &s->change->next.terms : NULL;

	/* "not connected" would ask for another try, without a trial */
	if (t)
		failed(s->d, s, t->confirm_ms || t->ready ? EXIT_TIMEOUT : EXIT_NOT_UP,
		       "it was disconnected meanwhile");
}

void change_timer(struct daemon *d, struct slot *s)
{
	if (!s->change || d->now < s->change->deadline)
		return;
	s->change->deadline = DAEMON_NEVER;
	report(REPORT_ERROR, "change.late", "%s: the engine does not answer: ending it", s->stem);
	s->renewing = true;
	slot_kill(s);		/* change_lost() follows */
}

uint64_t change_deadline(const struct slot *s)
{
	return s->change ? s->change->deadline : DAEMON_NEVER;
}
