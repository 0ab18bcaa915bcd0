/* SPDX-License-Identifier: MIT */
/*
 * debuglog.h - the switch "Debug Logging": while it is on, what the engines
 * tell goes to LOG_DIR/PROFILE.log too, level debug at least.
 *
 * An engine cannot open a file, and what it writes is not to pass through the
 * daemon: so the daemon opens the file for appending, hands the descriptor to
 * the engine, and looks once in a while how long the file is.  A long one
 * becomes PROFILE.log.1, and the engine gets a new one.  That an engine cannot
 * fill the disk meanwhile is the matter of its RLIMIT_FSIZE (isolate.c).
 */
#ifndef APPTUNNEL_DEBUGLOG_H
#define APPTUNNEL_DEBUGLOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/names.h"

#define DEBUGLOG_MAX	(8u << 20)	/* bytes, then the file is rotated; one old one is kept */
#define DEBUGLOG_LOOK_MS 1000		/* how often its length is looked at */

struct daemon;
struct slot;
struct client;

struct debuglog {
	bool on;
	uint64_t look_at;		/* ms; DAEMON_NEVER while it is off */
	int fds[NAMES_MAX_PROFILES];	/* our end of each slot's file; -1: none */
};

void debuglog_init(struct daemon *d);
/* debuglog_request() - `apptunnel log --debug on|off`; the client gets its answer */
void debuglog_request(struct daemon *d, struct client *c);
/* debuglog_start() - an engine was started: give it a file if the switch is on */
void debuglog_start(struct daemon *d, struct slot *s);
/* debuglog_stop() - its engine is gone */
void debuglog_stop(struct daemon *d, const struct slot *s);
void debuglog_timer(struct daemon *d);

/*
 * debuglog_open() - DIR/STEM.log for appending; DIR is made if it is not there
 * DIR must be a folder of @owner that nobody else may write to, the file a
 * regular one with one name only; never through a link.
 * Return: descriptor or a negative errno
 */
int debuglog_open(const char *dir, const char *stem, uid_t owner);
/* debuglog_rotate() - STEM.log becomes STEM.log.1, the older one goes.  0 or negative errno */
int debuglog_rotate(const char *dir, const char *stem, uid_t owner);

#endif
