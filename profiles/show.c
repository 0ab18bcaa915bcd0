/* SPDX-License-Identifier: MIT */
/* show.c - print the values in effect from the one table of keys */
#include "profiles/show.h"

#include <stdio.h>
#include <string.h>

#include "profiles/effective.h"

#define NAME_WIDTH	27
#define VALUE_WIDTH	32

/* ---- for people ---------------------------------------------------------------------------------- */

static void origin_text(const struct profile *p, const struct origins *o, enum schema_id id,
			const char *file, struct text *t)
{
	const struct origin *from = &o->key[id];

	switch (effective_source(o, id)) {
	case FROM_FILE:
		text_addf(t, "%s:%u", file, from->first);
		if (from->last != from->first)
			text_addf(t, "-%u", from->last);
		break;
	case FROM_DEFAULT:
		text_add(t, "default");
		break;
	case FROM_SENTRY:
		text_add(t, "Sentry");
		break;
	case FROM_NOWHERE:
		text_add(t, "not given");
		break;
	}
	if (schema[id].state == STATE_NOT_YET)
		text_add(t, ", not in effect yet");
	else if (!effective_works(p, id))
		text_add(t, ", no effect in this profile");
}

static void key_text(const struct profile *p, const struct origins *o, enum schema_id id,
		     const char *file, struct text *t)
{
	const struct schema_key *k = &schema[id];
	size_t i, n = effective_count(p, id);
	const char *v = NULL;
	char buf[EFFECTIVE_MAX];

	if (n)
		v = effective_text(p, id, 0, buf);
	if (!v)
		v = k->fallback_note ? k->fallback_note : "-";
	if (effective_source(o, id) == FROM_SENTRY)
		v = "-";
	text_addf(t, "  %-*s %-*s  ", NAME_WIDTH, k->name, VALUE_WIDTH, v);
	origin_text(p, o, id, file, t);
	text_add(t, "\n");
	for (i = 1; i < n; i++)
		text_addf(t, "  %-*s %s\n", NAME_WIDTH, "", effective_text(p, id, i, buf));
}

void show_text(const struct profile *p, const struct origins *o, const char *file,
	       struct text *t)
{
	const char *section = "";
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (!effective_shown(p, o, i))
			continue;
		if (strcmp(section, schema[i].section) != 0) {
			text_addf(t, "%s[%s]\n", *section ? "\n" : "", schema[i].section);
			section = schema[i].section;
		}
		key_text(p, o, i, file, t);
	}
}

/* ---- for programs ---------------------------------------------------------------------------------- */

void show_json(const struct profile *p, const struct origins *o, const char *file,
	       struct text *t)
{
	static const char *const kinds[] = { "file", "default", "sentry", "none" };
	bool first = true;
	size_t i;

	text_add(t, "{\"version\": 1, \"profile\": ");
	text_json(t, p->stem);
	text_add(t, ", \"file\": ");
	text_json(t, file);
	text_add(t, ", \"keys\": [");
	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (!effective_shown(p, o, i))
			continue;
		text_addf(t, "%s\n  {\"section\": \"%s\", \"key\": \"%s\", \"value\": ", first ? "" : ",",
			  schema[i].section, schema[i].name);
		first = false;
		effective_json(p, i, t);
		text_addf(t, ", \"origin\": {\"kind\": \"%s\"", kinds[effective_source(o, i)]);
		if (o->key[i].first)
			text_addf(t, ", \"line\": %u, \"last\": %u", o->key[i].first, o->key[i].last);
		text_addf(t, "}, \"in_effect\": %s}", effective_works(p, i) ? "true" : "false");
	}
	text_add(t, "\n]}\n");
}
