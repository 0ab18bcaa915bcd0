/* SPDX-License-Identifier: MIT */
/* show.h - the values in effect, each with its origin: `profile show` */
#ifndef APPTUNNEL_SHOW_H
#define APPTUNNEL_SHOW_H

#include "profiles/profile.h"
#include "profiles/reader.h"
#include "profiles/text.h"

/*
 * show_text() - for people: a section after the other, a key a line, list
 * elements below each other
 * @file: the label of origins
 */
void show_text(const struct profile *p, const struct origins *o, const char *file,
	       struct text *t);

/*
 * show_json() - {"version": 1, "profile", "file", "keys": [{"section", "key",
 * "value", "origin": {"kind": "file"|"default"|"sentry"|"none", "line", "last"},
 * "in_effect"}]}; value null: not given
 */
void show_json(const struct profile *p, const struct origins *o, const char *file,
	       struct text *t);

#endif
