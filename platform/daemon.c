/* SPDX-License-Identifier: MIT */
/*
 * apptunneld: supervisor and helper, the one process with privileges.
 *
 * It takes options (options.c) and requests on a socket (accept.c, answer.c), has
 * profiles read by an unprivileged child (parse.c), locks and changes the
 * machine by a journalled list (connect.c, apply.c), runs one unprivileged engine
 * a profile (supervise.c, engine_child.c) and gives it sockets, a TUN and
 * descriptors (serve.c).  It parses no text of a peer, a user or a profile, runs
 * no shell and nothing but its own children, and links neither OpenSSL nor lwIP.
 *
 * One thread, one poll loop; main() names the phases.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/isolate.h"
#include "platform/report.h"

#define LOCK_FILE	"apptunneld.pid"
#define NOFILE_WANTED	1024	/* descriptors: clients, engines, 32 sockets at once */
#define POLL_FAILED_MS	100
#define NET_SETTLE_MS	500	/* a change of the network is rarely one message */

/* ---- phase: user, folders, lock ------------------------------------------ */

/* A folder of ours alone: in one that others can write to, socket and journal would be theirs. */
static bool make_folder(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST) {
		fprintf(stderr, "apptunneld: cannot make %s: %s\n", path, strerror(errno));
		return false;
	}
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		fprintf(stderr, "apptunneld: %s is not a folder\n", path);
		return false;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		fprintf(stderr, "apptunneld: %s does not belong to root (chown root)\n", path);
		return false;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		fprintf(stderr, "apptunneld: %s can be written by others (chmod go-w)\n", path);
		return false;
	}
	return true;
}

/* One daemon a run folder.  Held until the process ends. */
static int take_lock(struct daemon *d)
{
	char path[PROFILE_PATH_MAX + sizeof(LOCK_FILE) + 1], pid[16];
	int fd, len, err;

	snprintf(path, sizeof(path), "%s/" LOCK_FILE, d->o.run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || ftruncate(fd, 0) < 0 ||
	    write(fd, pid, (size_t)len) != len) {
		err = errno ? -errno : -EIO;
		close(fd);
		return err;
	}
	d->lock_fd = fd;
	return 0;
}

/* Return: -1: go on; else the exit code */
static int prepare(struct daemon *d)
{
	int err;

	umask(022);
	if (geteuid() != 0) {
		fprintf(stderr, "apptunneld: this needs root\n");
		return EXIT_PERMISSION;
	}
	err = options_ids(d);
	if (err) {
		fprintf(stderr, "apptunneld: --user or --group: %s\n", err == -EPERM ?
			"engine and parser cannot be root" : "no such user or group");
		return EXIT_USAGE;
	}
	if (!make_folder(d->o.run_dir, 0755) || !make_folder(d->o.state_dir, 0700))
		return EXIT_UNEXPECTED;
	err = take_lock(d);
	if (err == -EWOULDBLOCK) {
		fprintf(stderr, "apptunneld: another one runs with %s; `apptunnel disconnect` "
			"undoes what it changed\n", d->o.run_dir);
		return EXIT_CONFLICT;
	}
	if (err) {
		fprintf(stderr, "apptunneld: %s/" LOCK_FILE ": %s\n", d->o.run_dir, strerror(-err));
		return EXIT_UNEXPECTED;
	}
	return -1;
}

/* ---- phase: leftovers ---------------------------------------------------- */

static void say_cleanup(void *arg, const char *line)
{
	(void)arg;
	report(REPORT_INFO, "cleanup.change", "%s", line);
}

/* What a killed daemon left is undone from its journal.  Return: exit code */
static int clean_leftovers(struct daemon *d)
{
	int n = apply_cleanup(&sys_linux, NULL, d->o.state_dir, say_cleanup, NULL);

	if (n < 0) {
		report(REPORT_ERROR, "cleanup.incomplete", "not everything could be undone (%s); "
		       "the lines above say what stayed", strerror(-n));
		return EXIT_UNDO;
	}
	if (n || d->o.cleanup)
		report(REPORT_INFO, "cleanup.done", "%d journal%s undone", n, n == 1 ? "" : "s");
	return EXIT_DONE;
}

/* ---- phase: signals ------------------------------------------------------ */

static int open_signals(struct daemon *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);		/* somebody writes where files.c looked for that */
	signal(SIGCHLD, SIG_DFL);	/* ignored, as some parents leave it, no child is heard of */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	d->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return d->signal_fd < 0 ? -errno : 0;
}

static void reap(struct daemon *d)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		supervise_child(d, pid, status);
}

static void signals_ready(struct daemon *d)
{
	struct signalfd_siginfo si;

	while (read(d->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			d->stopping = true;
			report(REPORT_INFO, "daemon.stop", "signal %u", si.ssi_signo);
			report_notify("STOPPING=1");
			supervise_stop(d);
			break;
		case SIGHUP:	/* nothing to read again: profiles are watched (inbox.c) */
		case SIGUSR2:
			engine_network(d);
			break;
		case SIGUSR1:
			answer_dump(d);
			break;
		}
	}
	reap(d);	/* several SIGCHLD are one */
}

/* ---- phase: run ---------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t slot_deadline(const struct slot *s)
{
	uint64_t until = s->phase == SLOT_FREE || s->phase == SLOT_RUNNING ?
			 DAEMON_NEVER : s->deadline;

	if (renew_deadline(s) < until)
		until = renew_deadline(s);
	if (change_deadline(s) < until)
		until = change_deadline(s);
	return s->apply && s->sweep_at < until ? s->sweep_at : until;
}

static void run_timers(struct daemon *d)
{
	unsigned int i;

	for (i = 0; i < NAMES_MAX_PROFILES; i++)
		slot_timer(d, &d->slots[i]);
	for (i = 0; i < DAEMON_CLIENTS; i++) {
		if (d->clients[i].fd >= 0)
			client_timer(d, &d->clients[i]);
	}
	if (d->now >= d->net_at) {
		d->net_at = DAEMON_NEVER;
		engine_network(d);
	}
	debuglog_timer(d);
	review_timer(d);
	trial_timer(d);
	inbox_timer(d);
}

/* Milliseconds for poll(2). */
static int time_left(const struct daemon *d)
{
	uint64_t until = d->net_at, t, now = now_ms();

	if (d->debuglog.look_at < until)
		until = d->debuglog.look_at;
	if (d->accept_at > d->now && d->accept_at < until)
		until = d->accept_at;
	until = inbox_deadline(d) < until ? inbox_deadline(d) : until;
	until = review_deadline(d) < until ? review_deadline(d) : until;
	until = trial_deadline(d) < until ? trial_deadline(d) : until;
	for (unsigned int i = 0; i < NAMES_MAX_PROFILES; i++) {
		t = slot_deadline(&d->slots[i]);
		until = t < until ? t : until;
	}
	for (unsigned int i = 0; i < DAEMON_CLIENTS; i++) {
		if (d->clients[i].fd < 0)
			continue;
		t = client_deadline(&d->clients[i]);
		until = t < until ? t : until;
	}
	if (until == DAEMON_NEVER)
		return -1;
	return until <= now ? 0 : until - now > 60000 ? 60000 : (int)(until - now);
}

enum { P_SIGNAL, P_NET, P_LISTEN, P_INBOX, P_SLOTS, P_CLIENTS = P_SLOTS + NAMES_MAX_PROFILES,
       P_COUNT = P_CLIENTS + DAEMON_CLIENTS };

/* One turn: signals and ends of children, engines, clients, new clients, timers. */
static void turn(struct daemon *d)
{
	struct pollfd p[P_COUNT];
	unsigned int i;

	p[P_SIGNAL] = (struct pollfd){ .fd = d->signal_fd, .events = POLLIN };
	p[P_INBOX] = (struct pollfd){ .fd = d->inbox.fd, .events = POLLIN };
	p[P_NET] = (struct pollfd){ .fd = d->net_fd, .events = POLLIN };
	p[P_LISTEN] = (struct pollfd){ .fd = d->accept_at > d->now ? -1 : d->listen_fd,
				       .events = POLLIN };
	for (i = 0; i < NAMES_MAX_PROFILES; i++)	/* poll(2) skips a negative fd */
		p[P_SLOTS + i] = (struct pollfd){ .fd = d->slots[i].sock,
						  .events = serve_events(&d->slots[i]) };
	for (i = 0; i < DAEMON_CLIENTS; i++)
		p[P_CLIENTS + i] = (struct pollfd){ .fd = d->clients[i].fd,
						    .events = client_events(&d->clients[i]) };
	if (poll(p, P_COUNT, time_left(d)) < 0) {
		if (errno != EINTR)	/* no memory, or a limit below P_COUNT: it may pass */
			(void)poll(NULL, 0, POLL_FAILED_MS);
		return;
	}
	d->now = now_ms();
	if (p[P_SIGNAL].revents)
		signals_ready(d);
	if (p[P_NET].revents && netmon_read(d->net_fd) && d->net_at == DAEMON_NEVER)
		d->net_at = d->now + NET_SETTLE_MS;
	if (p[P_INBOX].revents)
		inbox_ready(d);
	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		if (p[P_SLOTS + i].revents && d->slots[i].sock == p[P_SLOTS + i].fd)
			serve_ready(d, &d->slots[i], p[P_SLOTS + i].revents);
	}
	for (i = 0; i < DAEMON_CLIENTS; i++) {
		if (p[P_CLIENTS + i].revents && d->clients[i].fd == p[P_CLIENTS + i].fd)
			client_ready(d, &d->clients[i], p[P_CLIENTS + i].revents);
	}
	if (p[P_LISTEN].revents)
		accept_ready(d);
	run_timers(d);
}

static void run(struct daemon *d)
{
	report(REPORT_INFO, "daemon.ready", "version " APPTUNNEL_VERSION ", control socket %s/"
	       NAMES_CONTROL_SOCKET, d->o.run_dir);
	report_notify("READY=1");
	while (!d->stopping || !supervise_idle(d))
		turn(d);
}

/* ---- phase: end ---------------------------------------------------------- */

static void finish(struct daemon *d)
{
	char path[PROFILE_PATH_MAX + sizeof(NAMES_CONTROL_SOCKET) + 1];
	unsigned int i;

	for (i = 0; i < DAEMON_CLIENTS; i++)
		client_drop(&d->clients[i]);
	snprintf(path, sizeof(path), "%s/" NAMES_CONTROL_SOCKET, d->o.run_dir);
	unlink(path);
	report(REPORT_INFO, "daemon.end", "the daemon ends");
}

/* ---- phase: begin -------------------------------------------------------- */

/* Whatever our parent left open or closed, and however few it allowed us. */
static void tidy_descriptors(void)
{
	struct rlimit r;
	int fd;

	do	/* nothing of ours may get the numbers 0, 1, 2 */
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	(void)close_range(STDERR_FILENO + 1, ~0u, 0);
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < NOFILE_WANTED) {
		r.rlim_cur = r.rlim_max < NOFILE_WANTED ? r.rlim_max : NOFILE_WANTED;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	static struct daemon d;
	int code, err;

	tidy_descriptors();
	report_init();
	code = options_take(&d.o, argc, argv);
	if (code < 0)
		code = prepare(&d);
	if (code >= 0)
		return code;
	err = isolate_daemon();
	if (err)
		report(REPORT_WARNING, "daemon.capabilities", "could not be cut: %s",
		       strerror(-err));
	code = clean_leftovers(&d);
	if (d.o.cleanup)
		return code;
	accept_init(&d);
	debuglog_init(&d);
	supervise_init(&d);
	review_init(&d);
	d.now = now_ms();
	trial_resume(&d);
	inbox_init(&d);
	d.net_at = DAEMON_NEVER;
	err = open_signals(&d);
	if (!err)
		err = accept_listen(&d);
	if (!err) {
		d.net_fd = netmon_open();
		err = d.net_fd < 0 ? d.net_fd : 0;
	}
	if (err) {
		report(REPORT_ERROR, "daemon.start", "%s", strerror(-err));
		return EXIT_UNEXPECTED;
	}
	run(&d);
	finish(&d);
	return EXIT_DONE;
}
