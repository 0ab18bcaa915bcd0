/* SPDX-License-Identifier: MIT */
/*
 * inbox.c - the profile folder is watched: what was renamed into it, or closed
 * after writing, is looked at.  A profile that is connected is changed over to
 * it; of one that is not, only what is wrong is kept for `status`.  That a file
 * goes concerns nobody who is connected.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/report.h"

#define EVENTS	(IN_MOVED_TO | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ATTRIB | \
		 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

static void watch(struct daemon *d)
{
	struct inbox *in = &d->inbox;

	in->watch = inotify_add_watch(in->fd, d->o.profile_dir, EVENTS);
	in->retry_at = in->watch < 0 ? d->now + DAEMON_INBOX_MS : DAEMON_NEVER;
}

void inbox_init(struct daemon *d)
{
	d->inbox.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	d->inbox.retry_at = DAEMON_NEVER;
	if (d->inbox.fd < 0) {
		report(REPORT_WARNING, "inbox.blind", "%s cannot be watched: %s", d->o.profile_dir,
		       strerror(errno));
		return;
	}
	watch(d);
}

/* ---- what came ------------------------------------------------------------- */

/* The profile's name of a file's; false: it is none of ours */
static bool stem_of(const char *name, char stem[FILES_STEM_MAX])
{
	size_t len = strlen(name), tail = 4;

	if (len <= tail || len - tail >= FILES_STEM_MAX ||
	    (strcmp(name + len - tail, ".ini") && strcmp(name + len - tail, ".p7m")))
		return false;
	memcpy(stem, name, len - tail);
	stem[len - tail] = '\0';
	return files_stem_ok(stem);
}

static void push(struct daemon *d, const char *stem, uint64_t at)
{
	struct inbox *in = &d->inbox;
	unsigned int i;

	for (i = 0; i < in->n && strcmp(in->due[i].stem, stem); i++)
		;
	if (i == DAEMON_INBOX)
		return;		/* 64 names at once: whoever does that does it again */
	snprintf(in->due[i].stem, sizeof(in->due[i].stem), "%s", stem);
	in->due[i].at = at;
	in->n += i == in->n;
}

static void push_all(struct daemon *d)
{
	char stems[FILES_LIST_MAX][FILES_STEM_MAX];
	int n = files_list(d->o.profile_dir, stems), i;

	for (i = 0; i < n; i++)
		push(d, stems[i], d->now + DAEMON_SETTLE_MS);
}

/* A new name of something that nobody will write and close: a link of any kind. */
static bool is_link(const struct daemon *d, const char *name)
{
	char path[PROFILE_PATH_MAX + NAME_MAX + 2];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", d->o.profile_dir, name);
	return lstat(path, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_nlink > 1);
}

static void event(struct daemon *d, const struct inotify_event *e)
{
	char stem[FILES_STEM_MAX];

	if (e->mask & IN_Q_OVERFLOW) {
		push_all(d);
		return;
	}
	if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
		if (!(e->mask & IN_IGNORED))
			(void)inotify_rm_watch(d->inbox.fd, e->wd);
		if (e->wd == d->inbox.watch) {
			d->inbox.watch = -1;
			d->inbox.retry_at = d->now + DAEMON_INBOX_MS;
		}
		return;
	}
	if (!e->len || !stem_of(e->name, stem))
		return;
	if ((e->mask & IN_CREATE) && !is_link(d, e->name))
		return;		/* it is being written; its closing follows */
	/* owner or mode may be what was wrong; else they are no news */
	if ((e->mask & IN_ATTRIB) && !note_find(d, stem)[0])
		return;
	push(d, stem, d->now + DAEMON_SETTLE_MS);
}

void inbox_ready(struct daemon *d)
{
	char buf[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(d->inbox.fd, buf, sizeof(buf));

	for (ssize_t at = 0; at < n; ) {
		const struct inotify_event *e = (const struct inotify_event *)(buf + at);

		event(d, e);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
}

/* ---- looking at it ------------------------------------------------------------ */

/* Return: false: not now */
static bool take(struct daemon *d, const char *stem)
{
	struct candidate c = { .source = CANDIDATE_INBOX, .text = -1, .sealed = -1 };
	struct slot *s = supervise_find(d, stem);
	struct parse_input in;
	char why[512] = "";
	int err;

	/* a connect reads the file itself; a change, a trial or an undo has its turn first */
	if (review_busy(d) || (s && (s->change || s->phase == SLOT_PARSING ||
				     s->phase == SLOT_STOPPING)) || trial_on(d, stem))
		return false;
	snprintf(c.stem, sizeof(c.stem), "%s", stem);
	err = parse_open(d, stem, &in, why, sizeof(why));
	if (err == -ENOENT) {
		note_clear_file(d, stem);
		return true;
	}
	if (err == -ETXTBSY)
		return true;	/* its closing will be heard, too */
	if (err) {
		candidate_refuse(d, &c, EXIT_PROFILE, "%s", why);
		return true;
	}
	c.text = in.text;
	c.is_signed = in.p7m;
	in.text = -1;
	parse_close(&in);
	err = sha256_fd(c.text, FILES_PROFILE_MAX, c.sum);
	if (!err && s && !memcmp(s->sum, c.sum, sizeof(c.sum))) {
		note_clear_file(d, stem);
		candidate_free(&c);
		return true;
	}
	if (!err && store_rejected(d->o.state_dir, stem, c.sum)) {
		candidate_refuse(d, &c, EXIT_PROFILE, "the file in %s is the one that was rolled "
				 "back; it is not tried again (`apptunnel profile apply` does)",
				 d->o.profile_dir);
		candidate_free(&c);
		return true;
	}
	if (err) {
		candidate_refuse(d, &c, EXIT_PROFILE, "it cannot be read: %s", strerror(-err));
		candidate_free(&c);
		return true;
	}
	err = review_start(d, &c);
	if (err)
		report(REPORT_ERROR, "inbox.parser", "%s: %s", stem, strerror(-err));
	return true;
}

void inbox_timer(struct daemon *d)
{
	struct inbox *in = &d->inbox;

	if (in->fd >= 0 && d->now >= in->retry_at) {
		watch(d);
		if (in->watch >= 0)
			push_all(d);
	}
	for (unsigned int i = 0; i < in->n; i++) {
		char stem[FILES_STEM_MAX];

		if (d->now < in->due[i].at)
			continue;
		snprintf(stem, sizeof(stem), "%s", in->due[i].stem);
		if (!take(d, stem)) {
			in->due[i].at = d->now + DAEMON_SETTLE_MS;
			continue;
		}
		in->due[i] = in->due[--in->n];
		return;		/* one at a time; the others keep theirs */
	}
}

uint64_t inbox_deadline(const struct daemon *d)
{
	uint64_t until = d->inbox.retry_at;

	for (unsigned int i = 0; i < d->inbox.n; i++)
		until = d->inbox.due[i].at < until ? d->inbox.due[i].at : until;
	return until;
}
