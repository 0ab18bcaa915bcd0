/* SPDX-License-Identifier: MIT */
/* conf_scan.h - the raw text of the INI file, before iniparser sees it */
#ifndef SENTRY_CONF_SCAN_H
#define SENTRY_CONF_SCAN_H

#include <stddef.h>

struct conf;

#define CONF_KEYS_MAX	512
#define CONF_LINE_MAX	1022	/* iniparser's */

struct conf_line {
	char name[160];		/* "section:key", lower case */
	unsigned int line;
};

/* a file being read: by conf_scan() first, then by conf.c */
struct conf_reader {
	struct conf *c;			/* what conf.c fills */
	const char *path;
	unsigned int line;		/* the one that is judged */
	int errors;
	size_t n_seen;
	struct conf_line *seen;		/* CONF_KEYS_MAX of them */
};

/* conf_bad() - say FILE:LINE: text on stderr, and count it */
__attribute__((format(printf, 2, 3)))
void conf_bad(struct conf_reader *r, const char *fmt, ...);

/*
 * conf_scan() - find the keys of @r->path and their lines
 * Return: 0, @r->seen holds @r->n_seen keys; -EINVAL: what iniparser would take
 *	in silence, or not at all, was said; or what opening gave (said too)
 */
int conf_scan(struct conf_reader *r);

#endif
