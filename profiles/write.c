/* SPDX-License-Identifier: MIT */
/* write.c - print a record as a profile */
#include "profiles/write.h"

#include <stdio.h>
#include <string.h>

#include "profiles/effective.h"
#include "profiles/ini.h"

#define LINE_NICE	90u	/* bytes of a line of a list that people read */
#define LIST_LONG	64u	/* elements: from here on few lines count for more */

/* The value as its file can hold it, on one line; quoted unless it holds a quote. */
static void put_line(const char *name, const char *v, struct text *t)
{
	size_t n = strlen(name) + strlen(v);

	/* a value with a quote in it was never quoted, and needs no quotes */
	if (strchr(v, '"') || n + strlen("=\"\"") > INI_LINE_MAX)
		text_addf(t, "%s=%s\n", name, v);
	else if (n + strlen(" = \"\"") > INI_LINE_MAX)
		text_addf(t, "%s=\"%s\"\n", name, v);
	else
		text_addf(t, "%s = \"%s\"\n", name, v);
}

/* A path too long to stand on a line was read relative to the folder, and is written so. */
static const char *shortened(enum schema_id id, const char *name, const char *v,
			     const char *folder)
{
	size_t n = strlen(folder);

	if ((schema[id].type != T_PATH && schema[id].type != T_PIN) ||
	    strlen(name) + strlen("=") + strlen(v) <= INI_LINE_MAX || strncmp(v, folder, n) != 0 ||
	    v[n] != '/' || v[n + 1] == '/')
		return v;
	return v + n + 1;
}

static void put_list(const struct profile *p, enum schema_id id, size_t n, const char *folder,
		     struct text *t)
{
	size_t i, len, have = 0, room = n > LIST_LONG ? INI_LINE_MAX - 40 : LINE_NICE;
	char buf[EFFECTIVE_MAX], name[SCHEMA_NAME_MAX], line[2 * EFFECTIVE_MAX];
	uint32_t number = 1;
	const char *v;

	for (i = 0; i < n; i++) {
		schema_name(id, 0, n > 1 ? number : 0, name);
		v = shortened(id, name, effective_text(p, id, i, buf), folder);
		len = strlen(v);
		if (have && strlen(name) + have + 1 + len > room) {
			put_line(name, line, t);
			number++;
			have = 0;
		}
		have += (size_t)snprintf(line + have, sizeof(line) - have, "%s%s", have ? ";" : "", v);
	}
	schema_name(id, 0, n > 1 ? number : 0, name);
	put_line(name, line, t);
}

void write_profile(const struct profile *p, const struct origins *o, const char *folder,
		   struct text *t)
{
	char buf[EFFECTIVE_MAX];
	const char *section = "";
	size_t i, n;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		n = effective_count(p, i);
		if (!n || !effective_shown(p, o, i))
			continue;
		if (strcmp(section, schema[i].section) != 0) {
			text_addf(t, "%s[%s]\n", *section ? "\n" : "", schema[i].section);
			section = schema[i].section;
		}
		if (schema[i].form == FORM_LIST)
			put_list(p, i, n, folder, t);
		else
			put_line(schema[i].name, shortened(i, schema[i].name,
							   effective_text(p, i, 0, buf), folder), t);
	}
}
