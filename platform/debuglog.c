/* SPDX-License-Identifier: MIT */
/* debuglog.c - engines write debug logs, the daemon opens and rotates them */
#define _GNU_SOURCE	/* O_PATH */
#include "platform/debuglog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/report.h"

#define NAME_MAX_LEN	(FILES_STEM_MAX + 8)	/* bytes: stem, ".log.1" and NUL */

/* ---- files ------------------------------------------------------------------ */

/* The folder, made with mode 0700 if it is not there; nobody but @owner may write to it. */
static int folder_open(const char *dir, uid_t owner)
{
	struct stat st;
	int fd;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_uid != owner || (st.st_mode & 022)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

int debuglog_open(const char *dir, const char *stem, uid_t owner)
{
	int folder = folder_open(dir, owner), fd, err = 0;
	char name[NAME_MAX_LEN];
	struct stat st;

	if (folder < 0)
		return folder;
	snprintf(name, sizeof(name), "%s.log", stem);
	fd = openat(folder, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
		    O_CLOEXEC, 0600);
	if (fd < 0)
		err = -errno;
	else if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != owner)
		err = -EPERM;
	close(folder);
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

int debuglog_rotate(const char *dir, const char *stem, uid_t owner)
{
	int folder = folder_open(dir, owner), err = 0;
	char name[NAME_MAX_LEN], old[NAME_MAX_LEN];

	if (folder < 0)
		return folder;
	snprintf(name, sizeof(name), "%s.log", stem);
	snprintf(old, sizeof(old), "%s.log.1", stem);
	if (renameat(folder, name, folder, old) < 0)
		err = -errno;
	close(folder);
	return err;
}

/* ---- engines ------------------------------------------------------------------ */

static void forget(struct daemon *d, const struct slot *s)
{
	int *fd = &d->debuglog.fds[s->n];

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool is_long(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size >= (off_t)DEBUGLOG_MAX;
}

/* Return: 0 or a negative errno; the engine goes on with the file it had */
static int give_file(struct daemon *d, struct slot *s)
{
	struct helper_msg msg = { .type = HELPER_FILE, .u.file.file = HELPER_FILE_LOG };
	int fd = debuglog_open(d->o.log_dir, s->stem, geteuid()), err;

	if (fd >= 0 && is_long(fd)) {
		close(fd);
		fd = debuglog_rotate(d->o.log_dir, s->stem, geteuid());
		if (!fd)
			fd = debuglog_open(d->o.log_dir, s->stem, geteuid());
	}
	if (fd < 0)
		return fd;
	err = helper_send(s->sock, &msg, &fd, 1);
	if (err) {
		close(fd);
		return err;
	}
	forget(d, s);
	d->debuglog.fds[s->n] = fd;
	return 0;
}

static bool runs(const struct slot *s)
{
	return s->phase == SLOT_RUNNING && s->started && s->sock >= 0;
}

void debuglog_init(struct daemon *d)
{
	unsigned int i;

	d->debuglog.on = false;
	d->debuglog.look_at = DAEMON_NEVER;
	for (i = 0; i < NAMES_MAX_PROFILES; i++)
		d->debuglog.fds[i] = -1;
}

void debuglog_start(struct daemon *d, struct slot *s)
{
	int err = d->debuglog.on ? give_file(d, s) : 0;

	if (err)
		report(REPORT_WARNING, "debuglog.open", "%s/%s.log: %s", d->o.log_dir, s->stem,
		       strerror(-err));
}

void debuglog_stop(struct daemon *d, const struct slot *s)
{
	forget(d, s);
}

void debuglog_timer(struct daemon *d)
{
	unsigned int i;

	if (d->now < d->debuglog.look_at)
		return;
	d->debuglog.look_at = d->now + DEBUGLOG_LOOK_MS;
	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		struct slot *s = &d->slots[i];

		/* one that could not be opened, or not be sent, is tried again */
		if (runs(s) && (d->debuglog.fds[i] < 0 || is_long(d->debuglog.fds[i])))
			(void)give_file(d, s);
	}
}

/* ---- the switch ------------------------------------------------------------------ */

static void answer(struct daemon *d, struct client *c)
{
	if (c->req.flags & CONTROL_F_JSON)
		client_say(c, "out", "{\"version\": 1, \"debug_log\": %s, \"folder\": \"%s\"}",
			   d->debuglog.on ? "true" : "false", d->o.log_dir);
	else if (d->debuglog.on)
		client_say(c, "out", "debug logging is on: %s/PROFILE.log", d->o.log_dir);
	else
		client_say(c, "out", "debug logging is off; what was written stays in %s",
			   d->o.log_dir);
	client_exit(c, 0);
}

void debuglog_request(struct daemon *d, struct client *c)
{
	bool on = c->req.flags & CONTROL_F_DEBUG_ON;
	unsigned int i;
	int err = 0;

	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		struct slot *s = &d->slots[i];

		if (on && runs(s) && d->debuglog.fds[i] < 0 && !err)
			err = give_file(d, s);
		else if (!on && d->debuglog.fds[i] >= 0) {
			if (runs(s) && engine_tell(s, HELPER_LOG_END) < 0)
				err = -EAGAIN;	/* it is told by switching once more */
			else
				forget(d, s);
		}
	}
	if (on && !err) {	/* also where nothing runs yet: can there be a file? */
		int fd = folder_open(d->o.log_dir, geteuid());

		err = fd < 0 ? fd : 0;
		if (fd >= 0)
			close(fd);
	}
	if (err) {
		client_say(c, "err", "apptunnel: debug logging cannot be switched %s: %s: %s%s",
			   on ? "on" : "off", d->o.log_dir, strerror(-err),
			   err == -EPERM ? "; it must belong to root, and nobody else may write "
			   "to it" : "");
		client_exit(c, EXIT_UNEXPECTED);
		return;
	}
	if (d->debuglog.on != on)
		report(REPORT_INFO, "debuglog.switch", "debug logging is %s", on ? "on" : "off");
	d->debuglog.on = on;
	d->debuglog.look_at = on ? d->now + DEBUGLOG_LOOK_MS : DAEMON_NEVER;
	answer(d, c);
}
