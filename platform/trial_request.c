/* SPDX-License-Identifier: MIT */
/*
 * trial_request.c - `profile apply`, `confirm` and `rollback`: who may, which
 * profile is meant, whether that can be now, and those who wait for it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/trial_priv.h"

#define ROLLBACK_ASKED	"rollback was asked for"
#define INTERRUPTED	"it was interrupted"
#define IN_CHANGE	"this profile is being changed already; try again"

static void refuse(struct client *c, int code, const char *why)
{
	client_say(c, "err", "apptunnel: %s", why);
	client_exit(c, code);
}

/* ---- those who wait, and do so no longer -------------------------------------------------- */

void trial_answer(struct daemon *d, const char *stem, const char *rolled, const char *why,
		  const char *so)
{
	char name[FILES_STEM_MAX];

	snprintf(name, sizeof(name), "%s", stem);
	for (int i = 0; i < DAEMON_CLIENTS; i++) {
		struct client *w = &d->clients[i];

		if (w->fd < 0 || w->wait != CLIENT_CHANGE || strcmp(w->req.profile, name) != 0)
			continue;
		if (w->req.verb == CONTROL_ROLLBACK) {
			client_say(w, "out", "%s %s", rolled, name);
			client_exit(w, 0);
		} else if (why) {
			client_say(w, "err", "apptunnel: %s: %s; %s", name, why, so);
			client_exit(w, EXIT_TIMEOUT);
		}
	}
}

bool trial_unwanted(struct daemon *d, const char *stem, const char **why)
{
	const struct client *w = candidate_client(d, stem);

	if (!w || w->eof) {
		*why = INTERRUPTED;
		return true;
	}
	for (int i = 0; i < DAEMON_CLIENTS; i++) {
		const struct client *c = &d->clients[i];

		if (c->fd >= 0 && c->wait == CLIENT_CHANGE && c->req.verb == CONTROL_ROLLBACK &&
		    !strcmp(c->req.profile, stem)) {
			*why = ROLLBACK_ASKED;
			return true;
		}
	}
	return false;
}

void trial_interrupted(struct daemon *d, struct client *c)
{
	struct trial *t = trial_find(d, c->req.profile);
	struct slot *s = supervise_find(d, c->req.profile);

	if (c->req.verb != CONTROL_APPLY)
		return;		/* a rollback goes on, listened to or not */
	if (t && t->ready_due)
		trial_back(d, t, INTERRUPTED);
	else if (s)
		(void)change_cancel(s, EXIT_NOT_UP, INTERRUPTED);
}

void trial_disconnected(struct daemon *d, const char *stem)
{
	struct trial *t = trial_find(d, stem);

	if (t && t->ready_due)
		trial_back(d, t, "it was disconnected before it was seen to work");
}

void trial_stopping(struct daemon *d)
{
	for (int i = 0; i < NAMES_MAX_PROFILES; i++) {
		const struct trial *t = &d->trials[i];

		if (t->stem[0])
			trial_answer(d, t->stem, "rolled back", "apptunneld is stopping",
				     "the profile before is in use when it starts again");
	}
}

/* ---- the requests ------------------------------------------------------------------------- */

static void apply(struct daemon *d, struct client *c, int text)
{
	struct candidate n = { .source = CANDIDATE_APPLY, .text = -1, .sealed = -1 };
	const struct control_request *r = &c->req;
	char why[512] = "no text came with the request";
	int err;

	if ((r->confirm_ms || r->ready) && !supervise_find(d, r->profile)) {
		refuse(c, EXIT_NOT_UP, "a profile that is not connected cannot be tried: connect it "
		       "first, or leave --confirm-within and --ready out");
		return;
	}
	snprintf(n.stem, sizeof(n.stem), "%s", r->profile);
	n.is_signed = r->flags & CONTROL_F_SIGNED;
	n.terms = (struct trial_terms){ .confirm_ms = r->confirm_ms, .ready = r->ready,
					.port = r->ready_port, .force = r->flags & CONTROL_F_FORCE };
	memcpy(n.terms.host, r->ready_host, sizeof(n.terms.host));
	n.text = text < 0 ? -EINVAL : files_copy_profile(text, r->profile, why, sizeof(why));
	if (n.text < 0) {
		refuse(c, EXIT_PROFILE, why);
		return;
	}
	install_mark(d, n.stem, n.folder);
	err = sha256_fd(n.text, FILES_PROFILE_MAX, n.sum);
	if (err) {
		candidate_free(&n);
	} else {
		c->wait = CLIENT_CHANGE;
		err = review_start(d, &n);
	}
	if (err)
		refuse(c, EXIT_UNEXPECTED, err == -EBUSY ? "another profile is being read; try again" :
		       "the parser cannot be started");
}

static bool on_trial(const struct client *c)
{
	return c->req.confirm_ms || c->req.ready;
}

static void rollback(struct daemon *d, struct client *c)
{
	const struct client *w = candidate_client(d, c->req.profile);
	struct slot *s = supervise_find(d, c->req.profile);
	const char *dir = d->o.state_dir, *stem = c->req.profile;
	struct trial *t = trial_find(d, stem);
	uint8_t active[SHA256_LEN], before[SHA256_LEN];

	if (t && t->same) {	/* which has nothing before it; but the profile has */
		trial_back(d, t, ROLLBACK_ASKED);
		t = NULL;
	}
	c->wait = CLIENT_CHANGE;
	if (t && !t->back_due) {
		trial_back(d, t, ROLLBACK_ASKED);
		return;
	}
	if (t)
		return;		/* it is on its way */
	if (s && s->change && w && on_trial(w) && change_cancel(s, EXIT_TIMEOUT, ROLLBACK_ASKED))
		return;		/* its end answers us, too */
	if (w || (s && s->change)) {
		refuse(c, EXIT_UNEXPECTED, IN_CHANGE);
		return;
	}
	if (store_sum(dir, stem, STORE_PREVIOUS, before) ||
	    store_sum(dir, stem, STORE_ACTIVE, active)) {
		refuse(c, EXIT_NO_PROFILE, "there is no profile before this one");
		return;
	}
	t = trial_make(d, stem);
	if (!t) {
		refuse(c, EXIT_UNEXPECTED, "too many profiles are on trial");
		return;
	}
	memcpy(t->kept.sum, active, sizeof(active));
	t->kept.version = VERSION_STAYS;	/* what counted before was not kept */
	install_mark(d, stem, t->kept.folder);
	trial_back(d, t, ROLLBACK_ASKED);
}

/* Has anybody ever heard of it? */
static bool known(struct daemon *d, const char *stem)
{
	char stems[FILES_LIST_MAX][FILES_STEM_MAX];
	uint8_t sum[SHA256_LEN];
	int n;

	if (supervise_find(d, stem) || !store_sum(d->o.state_dir, stem, STORE_ACTIVE, sum))
		return true;
	n = files_list(d->o.profile_dir, stems);
	while (n > 0 && strcmp(stems[n - 1], stem) != 0)
		n--;
	return n > 0;
}

static void confirm(struct daemon *d, struct client *c)
{
	struct trial *t = trial_find(d, c->req.profile);

	if (!t && !known(d, c->req.profile)) {
		refuse(c, EXIT_NO_PROFILE, "there is no such profile");
		return;
	}
	if (!t && candidate_client(d, c->req.profile)) {
		refuse(c, EXIT_UNEXPECTED, IN_CHANGE);
		return;
	}
	if (!t || t->back_due || t->ready_due) {
		refuse(c, EXIT_CONFLICT, !t || t->same ? "this profile is not on trial" :
		       t->back_due ? "it is being rolled back already" :
		       "it was not seen to be ready yet; `apptunnel profile rollback` ends the trial");
		return;
	}
	trial_keep(d, t, c);
	client_say(c, "out", "confirmed %s", c->req.profile);
	client_exit(c, 0);
}

/* The only one that it can mean, where the request names none.  false: answered */
static bool name_it(struct daemon *d, struct client *c)
{
	const char *only = NULL;
	int n = 0;

	for (int i = 0; !c->req.profile[0] && i < NAMES_MAX_PROFILES; i++) {
		const char *stem = c->req.verb == CONTROL_CONFIRM ? d->trials[i].stem :
				   d->slots[i].phase == SLOT_FREE ? "" : d->slots[i].stem;

		only = stem[0] ? stem : only;
		n += stem[0] != '\0';
	}
	if (n == 1)
		snprintf(c->req.profile, sizeof(c->req.profile), "%s", only);
	if (c->req.profile[0])
		return true;
	if (!n && c->req.verb == CONTROL_CONFIRM)
		refuse(c, EXIT_CONFLICT, "no profile is on trial");
	else
		refuse(c, EXIT_USAGE, "which profile? Name it");
	return false;
}

void trial_request(struct daemon *d, struct client *c, int text)
{
	if (c->uid) {
		refuse(c, EXIT_PERMISSION, "changing profiles takes root");
	} else if (!name_it(d, c)) {
		;
	} else if (c->req.verb == CONTROL_CONFIRM) {
		confirm(d, c);
	} else if (c->req.verb == CONTROL_ROLLBACK) {
		rollback(d, c);
	} else if (candidate_client(d, c->req.profile)) {
		refuse(c, EXIT_UNEXPECTED, IN_CHANGE);
	} else if (trial_on(d, c->req.profile)) {
		refuse(c, EXIT_CONFLICT, "this profile is on trial: confirm it or roll it back first");
	} else {
		apply(d, c, text);
	}
	if (text >= 0)
		close(text);
}
