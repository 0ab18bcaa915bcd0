/* SPDX-License-Identifier: MIT */
/* conf_scan.h - the raw text of the INI file, before iniparser sees it */
#ifndef SENTRY_CONF_SCAN_H
#define SENTRY_CONF_SCAN_H

#include <stddef.h>

#define CONF_KEYS_MAX	512
#define CONF_LINE_MAX	1022	/* iniparser's */

struct conf_line {
	char name[160];		/* "section:key", lower case */
	unsigned int line;
};

/*
 * conf_scan() - find the keys and their lines
 * @seen: CONF_KEYS_MAX of them
 * Return: 0; -EINVAL: what iniparser would take in silence, or not at all, was
 *	said on stderr as FILE:LINE: text; or what opening gave (said too)
 */
int conf_scan(const char *path, struct conf_line *seen, size_t *n);

#endif
