/* SPDX-License-Identifier: MIT */
/*
 * ctl.h - the command line `apptunnel`: one verb table (ctl.c), one file per
 * family of verbs.  Results on stdout, talk on stderr; published exit codes.
 */
#ifndef APPTUNNEL_CTL_H
#define APPTUNNEL_CTL_H

#include <stdbool.h>
#include <stdint.h>

enum ctl_exit {
	CTL_DONE = 0, CTL_UNEXPECTED = 1, CTL_USAGE = 2, CTL_TIMEOUT = 3, CTL_CONNECT = 4,
	CTL_UNDO = 5, CTL_PROFILE = 6, CTL_PERMISSION = 7, CTL_NO_DAEMON = 8,
	CTL_NO_PROFILE = 10, CTL_NOT_TRUSTED = 11, CTL_IDENTITY = 12, CTL_BLOCKED = 13,
	CTL_PROTOCOL = 14, CTL_SYSTEM = 15, CTL_CONFLICT = 16, CTL_SERVICE = 17,
};

/* Global options, already taken out of argv. */
struct ctl_opts {
	const char *profile_dir;	/* --profile-dir, APPTUNNEL_PROFILE_DIR, else the default */
	const char *run_dir;		/* --run-dir, APPTUNNEL_RUN_DIR, else the default */
	const char *state_dir;		/* --state-dir, APPTUNNEL_STATE_DIR, else the default */
	const char *signer;		/* --signer, APPTUNNEL_SIGNER, else the default */
	bool json;
};

/* argv[0] is the verb.  Return: the exit code. */
int ctl_connect(const struct ctl_opts *o, int argc, char **argv);
int ctl_disconnect(const struct ctl_opts *o, int argc, char **argv);
int ctl_status(const struct ctl_opts *o, int argc, char **argv);
int ctl_log(const struct ctl_opts *o, int argc, char **argv);
int ctl_cleanup(const struct ctl_opts *o, int argc, char **argv);
int ctl_version(const struct ctl_opts *o, int argc, char **argv);
int ctl_plan(const struct ctl_opts *o, int argc, char **argv);		/* ctl_plan.c, offline */
int ctl_explain(const struct ctl_opts *o, int argc, char **argv);	/* ctl_explain.c */
int ctl_profile(const struct ctl_opts *o, int argc, char **argv);	/* ctl_profile.c */
int ctl_profile_diff(const struct ctl_opts *o, int argc, char **argv);	/* ctl_diff.c */
int ctl_profile_test(const struct ctl_opts *o, int argc, char **argv);	/* ctl_cases.c */
int ctl_profile_import(const struct ctl_opts *o, int argc, char **argv);	/* ctl_import.c */

/* ctl_apply.c; argv[0] is apply, confirm, rollback */
int ctl_profile_apply(const struct ctl_opts *o, int argc, char **argv);
int ctl_profile_confirm(const struct ctl_opts *o, int argc, char **argv);
int ctl_profile_rollback(const struct ctl_opts *o, int argc, char **argv);

/* ctl.c, for all of them */

/* ctl_seconds_ms() - seconds of an option, 1 to @max_ms / 1000, with or without an "s".  Return:
 * milliseconds; 0: not that */
uint32_t ctl_seconds_ms(const char *text, uint32_t max_ms);

/* ctl_open() - connect to the daemon.  Descriptor, or a negative errno (-EACCES, -ENOENT ...) */
int ctl_open(const struct ctl_opts *o);

struct control_request;
/*
 * ctl_request() - send @req to the daemon and relay its answer (ctl.c)
 * Return: the exit code that came, CTL_NO_DAEMON (said on stderr), CTL_PERMISSION
 */
int ctl_request(const struct ctl_opts *o, const struct control_request *req);
/* ctl_request_with() - the same, with a descriptor beside it (borrowed); -1: none */
int ctl_request_with(const struct ctl_opts *o, const struct control_request *req, int fd);

#endif
