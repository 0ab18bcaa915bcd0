/* SPDX-License-Identifier: MIT */
/*
 * inbox.c - the profile folder is watched: what was renamed into it, or closed
 * after writing, is looked at.  A profile that is connected is changed over to
 * it; of one that is not, only what is wrong is kept for `status`.  That a file
 * goes concerns nobody who is connected.
 *
 * A watch follows the folder, not its name.  So while anybody is connected it is
 * looked at now and then whether the name still leads there: a folder above it
 * may have been moved, a symbolic link or a mount be another one, and of that
 * inotify says nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
		 IN_DELETE_SELF | IN_MOVE_SELF)

/* ---- the folder ------------------------------------------------------------- */

/* For good or bad, to the log and to `status`; @err: a positive errno, or 0 */
static void seeing(struct daemon *d, int err)
{
	char line[INBOX_BLIND_MAX] = "";

	if (err)
		snprintf(line, sizeof(line), "the profile folder %.160s cannot be watched (%s): what "
			 "is put there is not noticed until it can", d->o.profile_dir, strerror(err));
	for (char *p = line; *p; p++)	/* as in note_set(): it goes to a terminal, and into JSON */
		*p = *p >= 0x20 && *p < 0x7f ? *p : '?';
	if (!strcmp(line, d->inbox.blind))
		return;
	snprintf(d->inbox.blind, sizeof(d->inbox.blind), "%s", line);
	if (err)
		report(REPORT_WARNING, "inbox.blind", "%s", line);
	else
		report(REPORT_INFO, "inbox.watched", "%s", d->o.profile_dir);
	for (int i = 0; i < NAMES_MAX_PROFILES; i++)
		note_tell(&d->slots[i]);
}

/* By a descriptor: what is watched is what was looked at, whatever is renamed meanwhile. */
static void watch(struct daemon *d)
{
	struct inbox *in = &d->inbox;
	char path[40];
	struct stat st;
	int fd, err;

	fd = open(d->o.profile_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 || fstat(fd, &st) < 0 ? errno : 0;
	if (!err) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		in->watch = inotify_add_watch(in->fd, path, EVENTS);
		err = in->watch < 0 ? errno : 0;
	}
	if (fd >= 0)
		close(fd);
	if (!err) {
		in->dev = st.st_dev;
		in->ino = st.st_ino;
	}
	seeing(d, err);
}

/* Nothing comes from there any more; look soon for what stands there now. */
static void unwatch(struct daemon *d)
{
	struct inbox *in = &d->inbox;

	if (in->watch >= 0)
		(void)inotify_rm_watch(in->fd, in->watch);	/* it may be gone by itself */
	in->watch = -1;
	in->look_at = d->now + DAEMON_SETTLE_MS;
}

static void push_all(struct daemon *d);

static void look(struct daemon *d)
{
	struct inbox *in = &d->inbox;
	struct stat st;

	in->look_at = d->now + DAEMON_INBOX_MS;
	if (in->watch >= 0 && (stat(d->o.profile_dir, &st) < 0 || st.st_dev != in->dev ||
			       st.st_ino != in->ino)) {
		unwatch(d);
		in->look_at = d->now + DAEMON_INBOX_MS;
	}
	if (in->watch >= 0)
		return;
	watch(d);
	if (in->watch >= 0)
		push_all(d);	/* who knows what came meanwhile */
}

void inbox_init(struct daemon *d)
{
	struct inbox *in = &d->inbox;

	in->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	in->watch = -1;
	in->look_at = d->now + DAEMON_INBOX_MS;
	if (in->fd < 0)
		seeing(d, errno);
	else
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

/* To be looked at when no more comes for a moment; but it does not wait for that for ever. */
void inbox_push(struct daemon *d, const char *stem)
{
	struct inbox *in = &d->inbox;
	uint64_t at = d->now + DAEMON_SETTLE_MS;
	unsigned int i;

	for (i = 0; i < in->n && strcmp(in->due[i].stem, stem); i++)
		;
	if (i == DAEMON_INBOX)
		return;		/* 64 names at once: whoever does that does it again */
	if (i == in->n) {
		in->n++;
		snprintf(in->due[i].stem, sizeof(in->due[i].stem), "%s", stem);
		in->due[i].latest = d->now + DAEMON_SETTLE_MAX_MS;
	}
	in->due[i].at = at < in->due[i].latest ? at : in->due[i].latest;
}

static void push_all(struct daemon *d)
{
	char stems[FILES_LIST_MAX][FILES_STEM_MAX];
	int n = files_list(d->o.profile_dir, stems), i;

	for (i = 0; i < n; i++)
		inbox_push(d, stems[i]);
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
		if (e->wd == d->inbox.watch)
			unwatch(d);
		return;
	}
	if (!e->len || !stem_of(e->name, stem))
		return;
	if ((e->mask & IN_CREATE) && !is_link(d, e->name))
		return;		/* it is being written; its closing follows */
	/* owner or mode may be what was wrong; else they are no news */
	if ((e->mask & IN_ATTRIB) && !note_find(d, stem)[0])
		return;
	inbox_push(d, stem);
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

	if (trial_on(d, stem)) {
		trial_delivery(d, stem);	/* its end brings us back */
		return true;
	}
	/* a connect reads the file itself; a change or an undo has its turn first */
	if (review_busy(d) || (s && (s->change || s->phase == SLOT_PARSING ||
				     s->phase == SLOT_STOPPING)))
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

/* Of profiles that nobody uses there is no hurry. */
static uint64_t look_at(const struct daemon *d)
{
	const struct inbox *in = &d->inbox;

	return in->fd < 0 || (in->watch >= 0 && supervise_idle(d)) ? DAEMON_NEVER : in->look_at;
}

void inbox_timer(struct daemon *d)
{
	struct inbox *in = &d->inbox;

	if (d->now >= look_at(d))
		look(d);
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
	uint64_t until = look_at(d);

	for (unsigned int i = 0; i < d->inbox.n; i++)
		until = d->inbox.due[i].at < until ? d->inbox.due[i].at : until;
	return until;
}
