/* SPDX-License-Identifier: MIT */
/*
 * trial_request.c - `profile apply`, `confirm` and `rollback`: who may, which
 * profile is meant, and whether that can be now.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/trial_priv.h"

static void refuse(struct client *c, int code, const char *why)
{
	client_say(c, "err", "apptunnel: %s", why);
	client_exit(c, code);
}

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

static void rollback(struct daemon *d, struct client *c)
{
	const char *dir = d->o.state_dir, *stem = c->req.profile;
	struct trial *t = trial_find(d, stem);
	uint8_t active[SHA256_LEN], before[SHA256_LEN];

	c->wait = CLIENT_CHANGE;
	if (t && !t->back_due) {
		trial_back(d, t, "rollback was asked for");
		return;
	}
	if (t)
		return;		/* it is on its way */
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
	trial_back(d, t, "rollback was asked for");
}

static void confirm(struct daemon *d, struct client *c)
{
	struct trial *t = trial_find(d, c->req.profile);

	if (!t || t->back_due) {
		refuse(c, EXIT_CONFLICT, t ? "it is being rolled back already" :
		       "this profile is not on trial");
		return;
	}
	trial_keep(d, t, c);
	client_say(c, "out", "confirmed %s", c->req.profile);
	client_exit(c, 0);
}

/* The only one that it can mean, where the request names none. */
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
	return c->req.profile[0];
}

void trial_request(struct daemon *d, struct client *c, int text)
{
	if (c->uid) {
		refuse(c, EXIT_PERMISSION, "changing profiles takes root");
	} else if (!name_it(d, c)) {
		refuse(c, EXIT_USAGE, "which profile? Name it");
	} else if (candidate_client(d, c->req.profile)) {
		refuse(c, EXIT_UNEXPECTED, "this profile is being changed already; try again");
	} else if (c->req.verb == CONTROL_CONFIRM) {
		confirm(d, c);
	} else if (c->req.verb == CONTROL_ROLLBACK) {
		rollback(d, c);
	} else if (trial_on(d, c->req.profile)) {
		refuse(c, EXIT_CONFLICT, "this profile is on trial: confirm it or roll it back first");
	} else {
		apply(d, c, text);
	}
	if (text >= 0)
		close(text);
}
