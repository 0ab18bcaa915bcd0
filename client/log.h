/* SPDX-License-Identifier: MIT */
/*
 * log.h - levels error to packet (apptunnel(1), log), a ring of 1 MiB
 * that `apptunnel log` reads, and stderr.  Every line has an event code.
 * Text of peers is made printable here.
 */
#ifndef APPTUNNEL_LOG_H
#define APPTUNNEL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/profile.h"

#define LOG_RING_SIZE	(1u << 20)	/* bytes */
#define LOG_LINE_MAX	1024		/* bytes of a line, time and code included */
#define LOG_SITE_RATE	50		/* lines a second of one call site; the rest is counted */

/* What one call site may say; LOG() keeps one in static storage. */
struct log_site {
	uint64_t second;	/* the second that is being counted */
	uint32_t said, kept_back;
};

/*
 * log_event() - one line, unless the call site has said too much this second
 * @site: NULL: not limited
 * @code: stable event code, e.g. "session.up"
 */
void log_event(struct log_site *site, enum profile_log_level level, const char *code,
	       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
extern enum profile_log_level log_level;	/* read by LOG(); set by the two below */

/* log_set_level() - log this much from here on.  Return: is it another level? */
bool log_set_level(enum profile_log_level level);
/*
 * log_set_file() - the debug log: @fd (taken over) gets every line of the ring
 * that no file has had yet, then each new one; while there is one the level is
 * debug at least.  -1: no file any more
 */
void log_set_file(int fd);

/* session and packet lines are never kept back: who switched them on wants all */
#define LOG(level, code, ...) do { \
	static struct log_site log_site_here; \
	if ((level) <= log_level) \
		log_event((level) >= LOG_LVL_SESSION ? NULL : &log_site_here, \
			  (level), (code), __VA_ARGS__); \
} while (0)

/* log_level_name() - "error" ... "packet" */
const char *log_level_name(enum profile_log_level level);

/* log_oldest() - where reading the ring begins */
uint64_t log_oldest(void);
/*
 * log_read() - one line of the ring, without its line end
 * @cursor: from log_oldest() or the last call; moved on; a line that was
 *	overwritten meanwhile is skipped
 * Return: length, 0: no more yet
 */
size_t log_read(uint64_t *cursor, char *line, size_t size);

/*
 * log_printable() - @text made harmless: printable ASCII, the rest becomes '?'
 * Return: @buf, always terminated
 */
char *log_printable(const char *text, size_t len, char *buf, size_t size);

#endif
