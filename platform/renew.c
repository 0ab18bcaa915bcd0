/* SPDX-License-Identifier: MIT */
/*
 * renew.c - what was refused is tried again when its files change
 * (docs/protocol.md, 2, the retry classes): the engine holds the identity as
 * it was when it started, so a new engine gets the new files.  The lock stays.
 */
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/fnv.h"
#include "platform/report.h"

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

void renew_timer(struct daemon *d, struct slot *s)
{
	if (!hopeless(s) || d->now < s->watch_at)
		return;
	s->watch_at = d->now + DAEMON_WATCH_MS;
	if (!files_changed(s))
		return;
	report(REPORT_INFO, "identity.changed", "%s: its files changed, trying again", s->stem);
	renew(s);
}

uint64_t renew_deadline(const struct slot *s)
{
	return hopeless(s) && !s->renewing ? s->watch_at : DAEMON_NEVER;
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
