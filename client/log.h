/* SPDX-License-Identifier: MIT */
/*
 * log.h - levels error to packet (docs, [support] LogLevel), a ring of 1 MiB
 * that `apptunnel log` reads, and stderr.  Every line has an event code.
 * Text of peers is made printable here.
 */
#ifndef APPTUNNEL_LOG_H
#define APPTUNNEL_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "profiles/profile.h"

/*
 * log_event() - one line
 * @code: stable event code, e.g. "session.up"
 * Rate limited per call site by LOG(): 20 a second, the rest is counted.
 */
void log_event(enum profile_log_level level, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
extern enum profile_log_level log_level;

#define LOG(level, code, ...) do { \
	if ((level) <= log_level) \
		log_event((level), (code), __VA_ARGS__); \
} while (0)

#endif
