/* SPDX-License-Identifier: MIT */
/*
 * usage.h - what each profile carried, per day: STATE_DIR/usage/PROFILE, a
 * record of fixed layout that only the daemon reads and writes.  Numbers only:
 * no address, no name, no time within the day.  With AnalyticsEnabled = false
 * there is none, and one that is there goes.
 */
#ifndef APPTUNNEL_USAGE_H
#define APPTUNNEL_USAGE_H

#include <stdint.h>

#include "platform/helper_msg.h"

#define USAGE_DAYS	400	/* that are kept; the oldest gives way */
#define USAGE_MAGIC	0x41545531u	/* "ATU1" */

struct usage_day {
	uint32_t day;			/* since 1970-01-01, UTC */
	uint32_t zero;
	struct usage_totals sum;
};

struct usage_file {
	uint32_t magic, n;		/* days, ascending */
	struct usage_day days[USAGE_DAYS];
};

struct daemon;
struct slot;
struct client;

/* usage_start() - an engine was started: its totals count from zero */
void usage_start(const struct daemon *d, struct slot *s);
/* usage_report() - the engine's totals: what they are more than the last ones is added */
void usage_report(const struct daemon *d, struct slot *s, const struct usage_totals *now);
/* usage_request() - `status --history` for @stem; the client gets its answer */
void usage_request(struct daemon *d, struct client *c, const char *stem);

/* usage_add() - pure; a @day before the last one (the clock was set) counts as the last */
void usage_add(struct usage_file *f, uint32_t day, const struct usage_totals *more);
/* usage_more() - pure: @now less @before; fields that went back count from zero */
void usage_more(const struct usage_totals *now, const struct usage_totals *before,
		struct usage_totals *more);
/*
 * usage_load(), usage_store() - @state_dir: the state folder
 * Return: 0, -ENOENT, -EBADMSG (not one of these files), or another negative errno
 */
int usage_load(const char *state_dir, const char *stem, struct usage_file *f);
int usage_store(const char *state_dir, const char *stem, const struct usage_file *f);
/* usage_forget() - remove it; fine when there is none */
void usage_forget(const char *state_dir, const char *stem);

#endif
