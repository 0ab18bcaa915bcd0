/* SPDX-License-Identifier: MIT */
/*
 * isolate.c - cut the daemon to what it needs, and children to nothing.
 */
#define _GNU_SOURCE
#include "platform/isolate.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENGINE_FILE_MAX	(256u << 20)	/* bytes: a debug log that nobody rotates in time */
#define ENGINE_NOFILE	4096	/* 1,024 direct sockets, the stock, the command lines */
#define PARSER_NOFILE	16	/* its four, stderr, and the file being read */
#define PARSER_FILE_MAX	(16u << 20)	/* bytes: record, copy of the text */
#define PARSER_CPU_S	10
#define PARSER_MEMORY	(256u << 20)	/* bytes of address space */
#define FD_HIGH		64	/* out of the way of 3, 4, 5 */

/*
 * What each is for: NET_ADMIN everything about routes, marks, TUN, nft and
 * sysctl; KILL ends an engine of another uid; SETUID, SETGID make it one;
 * CHOWN gives the control socket its group and resolv.conf its owner;
 * DAC_OVERRIDE and FOWNER put resolv.conf back where its folder is not root's,
 * and read a profile below a folder closed to others.
 */
static const unsigned int daemon_caps[] = {
	CAP_NET_ADMIN, CAP_KILL, CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,
};

int isolate_daemon(void)
{
	struct rlimit no_core = { 0, 0 };
	bool have[sizeof(daemon_caps) / sizeof(daemon_caps[0])];
	size_t i;

	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0);	/* it opens private keys */
	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (i = 0; i < sizeof(have) / sizeof(have[0]); i++)
		have[i] = capng_have_capability(CAPNG_PERMITTED, daemon_caps[i]);
	capng_clear(CAPNG_SELECT_BOTH);
	for (i = 0; i < sizeof(have) / sizeof(have[0]); i++) {
		if (have[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED |
				     CAPNG_BOUNDING_SET, daemon_caps[i]);
	}
	return capng_apply(CAPNG_SELECT_BOTH) < 0 ? -EPERM : 0;
}

/* ---- in the child -------------------------------------------------------- */

static void limit(int resource, rlim_t value)
{
	struct rlimit r = { value, value };

	setrlimit((__rlimit_resource_t)resource, &r);
}

static void child_limits(bool parser)
{
	struct rlimit r;

	limit(RLIMIT_CORE, 0);
	if (!parser) {
		if (getrlimit(RLIMIT_NOFILE, &r) == 0)
			limit(RLIMIT_NOFILE, r.rlim_max < ENGINE_NOFILE ?
			      r.rlim_max : ENGINE_NOFILE);
		limit(RLIMIT_FSIZE, ENGINE_FILE_MAX);
		return;
	}
	limit(RLIMIT_NOFILE, PARSER_NOFILE);
	limit(RLIMIT_FSIZE, PARSER_FILE_MAX);
	limit(RLIMIT_CPU, PARSER_CPU_S);
#ifndef __SANITIZE_ADDRESS__		/* whose leak check runs in a thread */
	limit(RLIMIT_NPROC, 0);		/* no child of its own; exec is not counted */
#endif
#ifndef __SANITIZE_ADDRESS__		/* whose shadow takes terabytes of address space */
	limit(RLIMIT_AS, PARSER_MEMORY);
#endif
}

/* @fds become 3, 4, ...; all others but stderr go. */
static int child_fds(const struct isolate_child *c)
{
	int high[ISOLATE_FDS_MAX], null;
	unsigned int i;

	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		return -1;
	for (i = 0; i < c->n_fds; i++) {
		high[i] = fcntl(c->fds[i], F_DUPFD, FD_HIGH);
		if (high[i] < 0)
			return -1;
	}
	for (i = 0; i < c->n_fds; i++) {
		if (dup2(high[i], ISOLATE_FD_FIRST + (int)i) < 0)
			return -1;
	}
	return close_range(ISOLATE_FD_FIRST + c->n_fds, ~0u, 0);
}

static int child_drop(const struct isolate_child *c, pid_t parent)
{
	if (setgroups(0, NULL) < 0 || setresgid(c->gid, c->gid, c->gid) < 0 ||
	    setresuid(c->uid, c->uid, c->uid) < 0)
		return -1;
	/* after setresuid(), which clears it; then look whether it came too late */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void __attribute__((noreturn)) child_run(const struct isolate_child *c, pid_t parent)
{
	char *env[] = { NULL, NULL };
	sigset_t none;

#ifdef __SANITIZE_ADDRESS__
	const char *options = getenv("ASAN_OPTIONS");

	if (options)
		env[0] = (char *)options - sizeof("ASAN_OPTIONS=") + 1;
#endif
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (child_fds(c) < 0 || child_drop(c, parent) < 0)
		_exit(ISOLATE_EXIT_SETUP);
	/* where user namespaces are open to all; elsewhere the parser only has no
	 * descriptor left to make a socket worth while */
	if (c->parser && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		errno = 0;
	child_limits(c->parser);
	execve(c->path, c->argv, env);
	_exit(ISOLATE_EXIT_EXEC);
}

pid_t isolate_spawn(const struct isolate_child *c)
{
	pid_t parent = getpid(), pid;

	if (c->n_fds > ISOLATE_FDS_MAX)
		return -EINVAL;
	pid = fork();
	if (pid == 0)
		child_run(c, parent);
	return pid < 0 ? -errno : pid;
}

void isolate_how_ended(int status, char *buf, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(buf, size, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(buf, size, "ended with %d", WEXITSTATUS(status));
}
