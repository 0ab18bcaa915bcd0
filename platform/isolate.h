/* SPDX-License-Identifier: MIT */
/*
 * isolate.h - who may do what: the daemon's own capabilities, and the ground
 * on which its two kinds of children stand.
 */
#ifndef APPTUNNEL_ISOLATE_H
#define APPTUNNEL_ISOLATE_H

#include <stdbool.h>
#include <sys/types.h>

#define ISOLATE_FD_FIRST	3	/* descriptors given to a child stand from here on */
#define ISOLATE_FDS_MAX		4

struct isolate_child {
	const char *path;		/* executable */
	char *const *argv;		/* NULL-terminated */
	int fds[ISOLATE_FDS_MAX];	/* become 3, 4, ... */
	unsigned int n_fds;
	uid_t uid;
	gid_t gid;
	bool parser;			/* short-lived: small limits, no network */
};

/*
 * isolate_daemon() - keep the capabilities that the daemon needs, in the
 * bounding set too; no core dumps
 * Return: 0, or -EPERM: the machine (a container) did not let us; go on
 */
int isolate_daemon(void);

/*
 * isolate_spawn() - start a child without any privilege: its own uid and gid,
 * no groups, no capability, no_new_privs, killed when the daemon dies, no
 * descriptor but stderr and @c->fds
 * Return: its pid, or a negative errno.  A child that could not be brought so
 *	far ends with ISOLATE_EXIT_SETUP, or _EXEC when the file does not run.
 */
pid_t isolate_spawn(const struct isolate_child *c);
#define ISOLATE_EXIT_SETUP	126
#define ISOLATE_EXIT_EXEC	127

/* isolate_how_ended() - @status, as of waitpid(2), in words: "ended with 1" */
void isolate_how_ended(int status, char *buf, size_t size);

#endif
