/* SPDX-License-Identifier: MIT */
/*
 * engine_child.c - one engine, as the daemon's child: forked, given what it
 * needs as descriptors, told what changes, and started again when it dies.
 * What it asks for is serve.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/isolate.h"
#include "platform/report.h"
#include "platform/usage.h"

#define ENGINE_NAME	"apptunnel-engine"

/* ---- what it is given -------------------------------------------------------- */

enum {
	STEP_PROFILE, STEP_CERTIFICATE, STEP_KEY, STEP_CHAIN, STEP_CA, STEP_PINS,
	STEP_HOSTS = STEP_PINS + PROFILE_MAX_PINS, STEP_RESOLV, STEP_START, STEPS
};

static void step_file(struct helper_msg *msg, int file, unsigned int index)
{
	msg->type = HELPER_FILE;
	msg->u.file.file = (uint8_t)file;
	msg->u.file.index = (uint8_t)index;
}

/* The message of step @n.  Return: its descriptor; -1: there is none (a file: left out) */
static int step_message(struct slot *s, unsigned int n, struct helper_msg *msg)
{
	memset(msg, 0, sizeof(*msg));
	if (n >= STEP_PINS && n < STEP_HOSTS) {
		step_file(msg, HELPER_FILE_PIN, n - STEP_PINS);
		return s->files.pins[n - STEP_PINS];
	}
	switch (n) {
	case STEP_PROFILE:
		step_file(msg, HELPER_FILE_PROFILE, 0);
		return s->sealed;
	case STEP_CERTIFICATE:
		step_file(msg, HELPER_FILE_CERTIFICATE, 0);
		return s->files.certificate;
	case STEP_KEY:
		step_file(msg, HELPER_FILE_KEY, 0);
		return s->files.key;
	case STEP_CHAIN:
		step_file(msg, HELPER_FILE_CHAIN, 0);
		return s->files.chain;
	case STEP_CA:
		step_file(msg, HELPER_FILE_CA, 0);
		return s->files.ca;
	case STEP_HOSTS:
		step_file(msg, HELPER_FILE_HOSTS, 0);
		return s->hosts;
	case STEP_RESOLV:
		step_file(msg, HELPER_FILE_RESOLV, 0);
		return s->resolv;
	case STEP_START:
		break;
	}
	msg->type = HELPER_START;
	msg->u.start.service4 = s->plan.names.service4;
	msg->u.start.service6 = s->plan.names.service6;
	snprintf(msg->u.start.tun, sizeof(msg->u.start.tun), "%s", s->plan.names.tun);
	return -1;
}

static void close_snapshots(struct slot *s)
{
	if (s->hosts >= 0)
		close(s->hosts);
	if (s->resolv >= 0)
		close(s->resolv);
	s->hosts = s->resolv = -1;
}

/* Whichever cannot be opened is missing: the engine resolves without it. */
static void open_snapshots(struct daemon *d, struct slot *s)
{
	close_snapshots(s);
	s->hosts = open(d->o.hosts, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	s->resolv = apply_resolv_snapshot(s->apply, d->o.resolv_conf);
	if (s->resolv < 0)
		s->resolv = -1;
}

void engine_feed(struct daemon *d, struct slot *s)
{
	struct helper_msg msg;
	int fd, err;

	if (s->step == 0)
		open_snapshots(d, s);
	for (; s->step < STEPS; s->step++) {
		fd = step_message(s, s->step, &msg);
		if (fd < 0 && msg.type == HELPER_FILE)
			continue;
		err = helper_send(s->sock, &msg, &fd, fd >= 0);
		if (err == -EAGAIN)
			return;		/* POLLOUT brings us back */
		if (err) {
			report(REPORT_ERROR, "engine.start", "%s: %s", s->stem, strerror(-err));
			slot_kill(s);
			return;
		}
	}
	s->started = true;
	files_close_identity(&s->files);
	close_snapshots(s);
	debuglog_start(d, s);
	usage_start(d, s);
	if (note_find(d, s->stem)[0] || d->inbox.blind[0])
		note_tell(s);
}

int engine_file(struct slot *s, enum helper_file file, unsigned int index, int fd)
{
	struct helper_msg msg = { 0 };

	step_file(&msg, (int)file, index);
	return helper_send(s->sock, &msg, &fd, 1);
}

int engine_tell(struct slot *s, enum helper_type type)
{
	struct helper_msg msg = { .type = (uint16_t)type };

	return helper_send(s->sock, &msg, NULL, 0);
}

void engine_network(struct daemon *d)
{
	struct helper_msg msg;
	unsigned int i, n;
	int fd;

	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		struct slot *s = &d->slots[i];

		if (s->phase != SLOT_RUNNING || !s->started)
			continue;
		open_snapshots(d, s);
		for (n = STEP_HOSTS; n <= STEP_RESOLV; n++) {
			fd = step_message(s, n, &msg);
			if (fd >= 0 && helper_send(s->sock, &msg, &fd, 1) < 0)
				report(REPORT_WARNING, "network.unsaid", "%s", s->stem);
		}
		close_snapshots(s);
		if (engine_tell(s, HELPER_NETWORK) < 0)
			report(REPORT_WARNING, "network.unsaid", "%s", s->stem);
	}
}

/* ---- its start --------------------------------------------------------------- */

/* The engine cannot be started, or died: again later, the lock stays. */
static void engine_later(struct daemon *d, struct slot *s)
{
	if (s->started_at && d->now - s->started_at >= DAEMON_STABLE_MS)
		s->backoff_ms = 0;
	s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : DAEMON_BACKOFF_MIN_MS;
	if (s->backoff_ms > DAEMON_BACKOFF_MAX_MS)
		s->backoff_ms = DAEMON_BACKOFF_MAX_MS;
	s->phase = SLOT_WAITING;
	s->deadline = d->now + s->backoff_ms;
	s->since = d->now;
	s->state = SESSION_DOWN;
	s->attempts_over = 0;
}

/* Fork it with one end of a new pair; what it needs follows by engine_feed(). */
static int engine_spawn(struct daemon *d, struct slot *s)
{
	char path[PROFILE_PATH_MAX + sizeof(ENGINE_NAME) + 1];
	char *argv[] = { (char *)ENGINE_NAME, NULL };
	struct isolate_child child = {
		.path = path, .argv = argv, .n_fds = 1, .uid = d->uid, .gid = d->gid,
	};
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/" ENGINE_NAME, d->o.libexec_dir);
	child.fds[0] = pair[1];
	pid = isolate_spawn(&child);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return (int)pid;
	}
	s->pid = pid;
	s->sock = pair[0];
	return 0;
}

void engine_start(struct daemon *d, struct slot *s)
{
	char why[512] = "";
	int err;

	err = files_open_identity(s->profile, &s->files, why, sizeof(why));
	if (!err) {
		err = engine_spawn(d, s);
		if (err)
			snprintf(why, sizeof(why), "cannot start " ENGINE_NAME ": %s",
				 strerror(-err));
	}
	if (err) {
		report(REPORT_ERROR, "engine.unstartable", "%s: %s", s->stem, why);
		files_close_identity(&s->files);
		slot_say(s, "apptunnel: %s", why);
		engine_later(d, s);
		s->exit = EXIT_UNEXPECTED;
		snprintf(s->text, sizeof(s->text), "%s", why);
		return;
	}
	s->stamp = files_identity_stamp(&s->files);
	s->phase = SLOT_RUNNING;
	s->step = 0;
	s->started = false;
	s->started_at = s->since = s->tokens_at = d->now;
	s->tokens = DAEMON_SOCKETS_BURST;
	s->words_at = d->now;
	s->words = DAEMON_WORDS_BURST;
	s->applied = false;
	s->state = SESSION_DOWN;
	s->attempts_over = 0;
	report(REPORT_INFO, "engine.start", "%s: pid %d", s->stem, (int)s->pid);
	engine_feed(d, s);
}

/* ---- its end ----------------------------------------------------------------- */

/* What an engine said last is read when it has ended already. */
static void last_words(struct slot *s)
{
	int fds[HELPER_MAX_FDS], n;
	struct usage_totals usage;
	struct helper_msg msg;
	bool told = false;

	for (n = 0; n < DAEMON_WORDS_BURST && helper_recv(s->sock, &msg, fds) > 0; n++) {
		while (msg.n_fds)
			close(fds[--msg.n_fds]);
		if (msg.type == HELPER_USAGE) {
			usage = msg.u.usage;
			told = true;
		}
	}
	if (told)
		usage_report(s->d, s, &usage);
}

void engine_close(struct slot *s)
{
	if (s->sock >= 0 && s->started)
		last_words(s);
	if (s->sock >= 0)
		close(s->sock);
	s->sock = -1;
	s->started = false;
	debuglog_stop(s->d, s);
	files_close_identity(&s->files);
	close_snapshots(s);
}

void engine_ended(struct daemon *d, struct slot *s, int status)
{
	bool unfit = WIFEXITED(status) && (WEXITSTATUS(status) == ISOLATE_EXIT_EXEC ||
					   WEXITSTATUS(status) == ISOLATE_EXIT_SETUP);
	char how[64];

	isolate_how_ended(status, how, sizeof(how));
	engine_close(s);
	if (unfit && !s->was_up && !s->keep) {
		slot_end(d, s, EXIT_UNEXPECTED, "cannot run %s/" ENGINE_NAME, d->o.libexec_dir);
		return;
	}
	if (apply_restart(s->apply) < 0)
		report(REPORT_ERROR, "apply.restart", "%s: the journal cannot be written", s->stem);
	change_lost(d, s);
	if (s->renewing) {
		s->renewing = false;
		engine_start(d, s);
		return;
	}
	engine_later(d, s);
	s->exit = EXIT_UNEXPECTED;
	snprintf(s->text, sizeof(s->text), "the engine %s", how);
	report(REPORT_WARNING, "engine.ended", "%s: the engine %s; started again in %u ms", s->stem,
	       how, s->backoff_ms);
	slot_say(s, "apptunnel: the engine %s; it is started again in %u s, %s stays locked", how,
		 s->backoff_ms / 1000, s->stem);
}
