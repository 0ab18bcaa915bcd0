/* SPDX-License-Identifier: MIT */
/*
 * review.c - a candidate is read by the parser child, as connect has it read;
 * its findings go to a memory file instead of a terminal.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/report.h"

#define FINDINGS_KEPT	(DAEMON_NOTE_MAX - 1024)	/* bytes; the rest is for the words around them */

void review_init(struct daemon *d)
{
	struct review *r = &d->review;

	*r = (struct review){ .findings = -1 };
	r->next.text = r->next.sealed = -1;
	r->parser.d = d;
	r->parser.record = r->parser.sealed = r->parser.profile_text = -1;
}

bool review_busy(const struct daemon *d)
{
	return d->review.parser.pid != 0;
}

void candidate_free(struct candidate *c)
{
	if (c->text >= 0)
		close(c->text);
	if (c->sealed >= 0)
		close(c->sealed);
	free(c->profile);
	c->text = c->sealed = -1;
	c->profile = NULL;
}

struct client *candidate_client(struct daemon *d, const char *stem)
{
	for (int i = 0; i < DAEMON_CLIENTS; i++) {
		struct client *c = &d->clients[i];

		if (c->fd >= 0 && c->wait == CLIENT_CHANGE && c->req.verb == CONTROL_APPLY &&
		    !strcmp(c->req.profile, stem))
			return c;
	}
	return NULL;
}

void candidate_refuse(struct daemon *d, const struct candidate *c, int exit, const char *fmt, ...)
{
	/* a rollback is tried until it is done */
	struct client *w = c->source == CANDIDATE_APPLY ? candidate_client(d, c->stem) : NULL;
	struct slot *s = supervise_find(d, c->stem);
	char why[768], text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	report(REPORT_WARNING, "profile.kept", "%s: %s", c->stem, why);
	if (w) {
		client_say(w, "err", "apptunnel: %s%s", why, s ? "; the profile in use stays" : "");
		client_exit(w, exit);
	}
	if (c->source == CANDIDATE_INBOX) {
		snprintf(text, sizeof(text), "profile %s" NOTE_FILE "used%s: %s", c->stem,
			 s ? ", the old one stays in effect" : "", why);
		note_set(d, c->stem, text);
	} else if (c->source == CANDIDATE_FILES) {
		snprintf(text, sizeof(text), "profile %s" NOTE_FILES "used, the session goes on with "
			 "what it had: %s", c->stem, why);
		note_set(d, c->stem, text);
	} else if (c->source == CANDIDATE_BACK) {
		snprintf(text, sizeof(text), "profile %s: the profile before cannot come back yet, it is "
			 "tried again: %s", c->stem, why);
		note_set(d, c->stem, text);
	}
	trial_refused(d, c);
}

int review_start(struct daemon *d, struct candidate *c)
{
	struct review *r = &d->review;
	struct parse_input in;
	char why[512] = "";
	int err;

	if (review_busy(d)) {
		candidate_free(c);
		return -EBUSY;
	}
	err = parse_signer(d, &in, why, sizeof(why));
	r->findings = err ? -1 : files_memory("findings");
	if (!err && r->findings < 0)
		err = r->findings;
	if (!err) {
		in.text = c->text;
		in.p7m = c->is_signed;
		snprintf(r->parser.stem, sizeof(r->parser.stem), "%s", c->stem);
		/* what was good once may come back, however old */
		r->parser.force = c->source == CANDIDATE_BACK || c->source == CANDIDATE_FILES ||
				  c->terms.force;
		err = parse_start(d, &r->parser, &in, r->findings);
		in.text = -1;		/* the candidate's */
	}
	parse_close(&in);
	if (err) {
		if (r->findings >= 0)
			close(r->findings);
		r->findings = -1;
		candidate_free(c);
		return err;
	}
	r->next = *c;
	r->parser.deadline = d->now + DAEMON_PARSE_MS;
	return 0;
}

/* The lines without "err "; free() it. */
static char *findings_text(int fd)
{
	char *text = calloc(1, FINDINGS_KEPT + 1), *out = calloc(1, FINDINGS_KEPT + 64), *rest, *line;
	ssize_t n = text && out ? pread(fd, text, FINDINGS_KEPT, 0) : -1;
	size_t at = 0;

	if (n < 0) {
		free(text);
		free(out);
		return NULL;
	}
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		if (!rest) {	/* cut, or the end */
			if (line[0])
				snprintf(out + at, 64, "(there are more)\n");
			break;
		}
		at += (size_t)snprintf(out + at, FINDINGS_KEPT + 64 - at, "%s\n",
				       strncmp(line, "err ", 4) ? line : line + 4);
	}
	free(text);
	return out;
}

static void invalid(struct daemon *d, const struct candidate *c, const char *findings)
{
	struct client *w = c->source == CANDIDATE_APPLY ? candidate_client(d, c->stem) : NULL;
	char *text = malloc(DAEMON_NOTE_MAX), *copy = strdup(findings), *rest = copy, *line;
	bool runs = supervise_find(d, c->stem);

	report(REPORT_WARNING, "profile.kept", "%s: not valid: %.200s", c->stem, findings);
	if (text && c->source == CANDIDATE_INBOX) {
		snprintf(text, DAEMON_NOTE_MAX, "profile %s" NOTE_FILE "valid%s\n%s", c->stem,
			 runs ? ", the old one stays in effect" : "", findings);
		note_set(d, c->stem, text);
	} else if (text && c->source == CANDIDATE_FILES) {
		snprintf(text, DAEMON_NOTE_MAX, "profile %s" NOTE_FILES "used: the profile is not valid "
			 "any more\n%s", c->stem, findings);
		note_set(d, c->stem, text);
	}
	while (w && copy && (line = strsep(&rest, "\n")))
		if (line[0])
			client_say(w, "err", "%s", line);
	if (w) {
		client_say(w, "err", "apptunnel: profile %s is not valid%s", c->stem,
			   runs ? "; the profile in use stays" : "");
		client_exit(w, EXIT_PROFILE);
	}
	free(text);
	free(copy);
	trial_refused(d, c);
}

static void reviewed(struct daemon *d, struct candidate *c)
{
	struct client *w = c->source == CANDIDATE_APPLY ? candidate_client(d, c->stem) : NULL;
	struct slot *s = supervise_find(d, c->stem);

	if (c->source == CANDIDATE_APPLY && (!w || w->eof)) {
		candidate_refuse(d, c, EXIT_NOT_UP, "it was interrupted");
		candidate_free(c);
		return;
	}
	if (s) {
		change_start(d, s, c);
	} else {
		note_clear(d, c->stem);
		if (c->source == CANDIDATE_BACK)
			trial_refused(d, c);
		else
			trial_offline(d, c);
		candidate_free(c);
	}
}

bool review_child(struct daemon *d, pid_t pid, int status)
{
	struct review *r = &d->review;
	struct candidate c = r->next;
	char *findings;
	int err;

	if (!pid || r->parser.pid != pid)
		return false;
	findings = findings_text(r->findings);
	err = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? parse_result(&r->parser) : -EINVAL;
	c.profile = r->parser.profile;
	c.sealed = r->parser.sealed;
	c.signer = r->parser.is_signed;
	c.seen = r->parser.seen;
	if (r->parser.record >= 0)
		close(r->parser.record);
	close(r->findings);
	review_init(d);
	if (!err) {
		reviewed(d, &c);
	} else {
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_PROFILE)
			invalid(d, &c, findings ? findings : "");
		else
			candidate_refuse(d, &c, EXIT_UNEXPECTED, "the parser failed on it");
		candidate_free(&c);
	}
	free(findings);
	return true;
}

void review_timer(struct daemon *d)
{
	struct review *r = &d->review;

	if (!r->parser.pid || d->now < r->parser.deadline)
		return;
	if (kill(r->parser.pid, SIGKILL) < 0)
		report(REPORT_ERROR, "kill.failed", "parser: %s", strerror(errno));
	r->parser.deadline = d->now + DAEMON_PARSE_MS;
}

uint64_t review_deadline(const struct daemon *d)
{
	return d->review.parser.pid ? d->review.parser.deadline : DAEMON_NEVER;
}
