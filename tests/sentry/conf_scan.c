/* SPDX-License-Identifier: MIT */
/* conf_scan.c - see conf_scan.h */
#define _GNU_SOURCE
#include "tests/sentry/conf_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void conf_bad(struct conf_reader *r, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%u: ", r->path, r->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	r->errors++;
}

/* @p: after the '='.  Says what iniparser would do to this value in silence. */
static void scan_value(struct conf_reader *r, const char *p)
{
	const char *end;

	while (isspace((unsigned char)*p))
		p++;
	if (*p == '"') {
		end = strchr(p + 1, '"');
		if (!end) {
			conf_bad(r, "a closing quote is missing");
			return;
		}
		for (end++; isspace((unsigned char)*end); end++)
			;
		if (*end && *end != ';' && *end != '#')
			conf_bad(r, "text after the closing quote");
		return;
	}
	for (end = p; *end && *end != '#'; end++) {
		if (*end == ';' && end > p && !isspace((unsigned char)end[-1])) {
			conf_bad(r, "a list with ';' must be quoted: \"%.*s\"",
			    (int)strcspn(p, "\n#"), p);
			return;
		}
	}
	if (strchr(p, '\\') && p[strcspn(p, "\r\n") - 1] == '\\')
		conf_bad(r, "a line may not end in a backslash");
}

static void scan_line(struct conf_reader *r, char *text, char *section, size_t size)
{
	char *p = text, *q, *e;
	struct conf_line *k;

	text[strcspn(text, "\r\n")] = 0;
	while (isspace((unsigned char)*p))
		p++;
	if (!*p)
		return;
	if (*p == ';' || *p == '#') {
		if (p[strlen(p) - 1] == '\\')
			conf_bad(r, "a comment may not end in a backslash");
		return;
	}
	if (*p == '[') {
		q = strchr(p, ']');
		if (!q || q[1 + strspn(q + 1, " \t")] || (size_t)(q - p) > size) {
			conf_bad(r, "not a section: %.60s", p);
			return;
		}
		*q = 0;
		for (e = section, p++; *p; p++)
			*e++ = (char)tolower((unsigned char)*p);
		*e = 0;
		if (strcmp(section, "sentry") != 0 && strcmp(section, "fault") != 0)
			conf_bad(r, "unknown section [%s]; there are [sentry] and [fault]", section);
		return;
	}
	q = strchr(p, '=');
	if (!q) {
		conf_bad(r, "neither section, key, comment nor blank: %.60s", p);
		return;
	}
	if (!*section) {
		conf_bad(r, "a key before any section");
		return;
	}
	for (e = q; e > p && isspace((unsigned char)e[-1]); e--)
		;
	if (e == p || (size_t)(e - p) > 120 || memchr(p, ':', (size_t)(e - p)) ||
	    memchr(p, ' ', (size_t)(e - p))) {
		conf_bad(r, "a key's name has 1 to 120 characters without colon and space");
		return;
	}
	if (r->n_seen == CONF_KEYS_MAX) {
		conf_bad(r, "more than %d keys", CONF_KEYS_MAX);
		return;
	}
	k = &r->seen[r->n_seen];
	snprintf(k->name, sizeof(k->name), "%.16s:%.*s", section, (int)(e - p), p);
	for (e = k->name; *e; e++)
		*e = (char)tolower((unsigned char)*e);
	k->line = r->line;
	for (size_t i = 0; i < r->n_seen; i++)
		if (strcmp(r->seen[i].name, k->name) == 0)
			conf_bad(r, "%s stands in line %u already", strchr(k->name, ':') + 1,
			    r->seen[i].line);
	r->n_seen++;
	scan_value(r, q + 1);
}

int conf_scan(struct conf_reader *r)
{
	char section[64] = "", *line = NULL;
	size_t cap = 0;
	ssize_t len;
	FILE *f = fopen(r->path, "re");

	if (!f) {
		int err = -errno;

		fprintf(stderr, "%s: %s\n", r->path, strerror(errno));
		return err;
	}
	while ((len = getline(&line, &cap, f)) >= 0) {
		r->line++;
		if (len > CONF_LINE_MAX || strlen(line) != (size_t)len)
			conf_bad(r, "a line has at most %d bytes and no NUL", CONF_LINE_MAX);
		else
			scan_line(r, line, section, sizeof(section));
	}
	free(line);
	fclose(f);
	return r->errors ? -EINVAL : 0;
}
