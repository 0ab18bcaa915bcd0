/* SPDX-License-Identifier: MIT */
/*
 * report.h - the daemon's own words: log lines on stderr and notes to the
 * service manager.  What has struct daemon at hand reports; what that calls
 * returns errors.
 */
#ifndef APPTUNNEL_REPORT_H
#define APPTUNNEL_REPORT_H

/* Priorities of syslog(3), as the journal reads them in "<N>". */
enum report_level { REPORT_ERROR = 3, REPORT_WARNING = 4, REPORT_INFO = 6 };

/* report_init() - look whether stderr is the journal (JOURNAL_STREAM) */
void report_init(void);

/*
 * report() - one line
 * @code: stable event code, e.g. "engine.ended"
 */
void report(enum report_level level, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* report_notify() - tell the service manager (sd_notify(3)), e.g. "READY=1"; no
 * manager, no effect */
void report_notify(const char *state);

#endif
