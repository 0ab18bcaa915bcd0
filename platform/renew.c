/* SPDX-License-Identifier: MIT */
/*
 * renew.c - the files that a profile names change, and its text does not.  The
 * engine holds them as it got them.  While a session works it goes over to the
 * new ones, as with a changed profile; what was refused is tried again
 * (docs/protocol.md, 2, the retry classes) by a new engine.  The lock stays.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/fnv.h"
#include "platform/report.h"
#include "platform/sha256.h"

static bool hopeless(const struct slot *s)
{
	return s->phase == SLOT_RUNNING && s->started &&
	       (s->state == SESSION_REFUSED || s->state == SESSION_FAILED);
}

/* Files that cannot be opened now may be in the middle of being replaced. */
static bool files_changed(const struct slot *s)
{
	char why[512];
	struct identity id;
	bool changed;

	changed = !files_open_identity(s->profile, &id, why, sizeof(why)) &&
		  files_identity_stamp(&id) != s->stamp;
	files_close_identity(&id);
	return changed;
}

static void renew(struct slot *s)
{
	s->renewing = true;
	slot_kill(s);
}

/* ---- while a session works ------------------------------------------------------- */

static bool works(const struct slot *s)
{
	return s->phase == SLOT_RUNNING && s->started && s->applied && s->in_store &&
	       !s->renewing && !s->change && !hopeless(s) && !trial_on(s->d, s->stem);
}

/* The profile in use once more, with the files as they are now. */
static void go_over(struct daemon *d, struct slot *s)
{
	struct candidate c = { .source = CANDIDATE_FILES, .sealed = -1 };
	int err;

	snprintf(c.stem, sizeof(c.stem), "%s", s->stem);
	c.text = store_open(d->o.state_dir, s->stem, STORE_ACTIVE, &c.is_signed);
	err = c.text < 0 ? c.text : sha256_fd(c.text, FILES_PROFILE_MAX, c.sum);
	if (err)
		candidate_free(&c);
	else
		err = review_start(d, &c);
	if (err)
		report(REPORT_ERROR, "identity.unread", "%s: %s", s->stem, strerror(-err));
	else
		report(REPORT_INFO, "identity.changed", "%s: its files changed", s->stem);
}

static void look(struct daemon *d, struct slot *s)
{
	struct identity id;
	uint64_t looks;
	char why[512];

	s->watch_at = d->now + DAEMON_FILES_MS;
	if (review_busy(d))
		return;
	if (files_open_identity(s->profile, &id, why, sizeof(why)))
		goto out;	/* in the middle of being replaced, or gone: what stands goes on */
	looks = files_identity_looks(&id);
	if (looks == s->looked)
		goto out;
	if (looks != s->looks) {	/* a certificate comes with its key: wait for both */
		s->looks = looks;
		s->watch_at = d->now + DAEMON_WATCH_MS;
		goto out;
	}
	s->looked = looks;	/* what is not taken is not tried again, until they change */
	if (files_identity_stamp(&id) != s->stamp)
		go_over(d, s);
	else
		note_clear_files(d, s->stem);
out:
	files_close_identity(&id);
}

void renew_timer(struct daemon *d, struct slot *s)
{
	if (d->now < s->watch_at)
		return;
	if (works(s)) {
		look(d, s);
		return;
	}
	if (!hopeless(s))
		return;
	s->watch_at = d->now + DAEMON_WATCH_MS;
	if (!files_changed(s))
		return;
	report(REPORT_INFO, "identity.changed", "%s: its files changed, trying again", s->stem);
	renew(s);
}

uint64_t renew_deadline(const struct slot *s)
{
	return works(s) || (hopeless(s) && !s->renewing) ? s->watch_at : DAEMON_NEVER;
}

bool renew_connect(struct slot *s)
{
	if (!hopeless(s) || (s->state == SESSION_REFUSED && !files_changed(s)))
		return false;
	renew(s);
	return true;
}

uint64_t renew_text_sum(int fd)
{
	uint64_t sum = FNV_START;
	uint8_t buf[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		sum = fnv_bytes(sum, buf, (size_t)n);
		at += n;
	}
	return sum;
}

bool renew_profile_changed(const struct daemon *d, const struct slot *s)
{
	struct parse_input in;
	bool changed;
	char why[512];

	if (parse_open(d, s->stem, &in, why, sizeof(why)) < 0)
		return false;
	changed = renew_text_sum(in.text) != s->text_sum;
	parse_close(&in);
	return changed;
}
