/* SPDX-License-Identifier: MIT */
/*
 * effective.h - the values in effect, key by key and as text, out of a record
 * and the places that its reader noted.  `profile show`, `profile diff` and the
 * writer of profiles print the same values by it.
 */
#ifndef APPTUNNEL_EFFECTIVE_H
#define APPTUNNEL_EFFECTIVE_H

#include "profiles/profile.h"
#include "profiles/reader.h"
#include "profiles/text.h"

#define EFFECTIVE_MAX	2048	/* bytes of one element's text: a path or 255 characters */

enum effective_source { FROM_FILE, FROM_DEFAULT, FROM_SENTRY, FROM_NOWHERE };

/*
 * effective_count() - how many elements a list has; 1 for a plain key
 * Return: 0: there is no value (nothing given, and no default)
 */
size_t effective_count(const struct profile *p, enum schema_id id);

/*
 * effective_text() - element @i of a list; the value of a plain key (@i 0)
 * @i: below effective_count()
 * @buf: EFFECTIVE_MAX bytes.  Return: @buf
 */
char *effective_text(const struct profile *p, enum schema_id id, size_t i, char *buf);

/* effective_json() - the whole value: number, true, string, array; null: none */
void effective_json(const struct profile *p, enum schema_id id, struct text *t);

/* effective_shown() - false for what a valid profile cannot have or is out of place here */
bool effective_shown(const struct profile *p, const struct origins *o, enum schema_id id);

/* effective_works() - is the key built, and does it concern this kind of profile? */
bool effective_works(const struct profile *p, enum schema_id id);

enum effective_source effective_source(const struct origins *o, enum schema_id id);

/* effective_is_bool() - a key of true and false */
bool effective_is_bool(enum schema_id id);

#endif
