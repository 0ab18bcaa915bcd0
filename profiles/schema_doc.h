/* SPDX-License-Identifier: MIT */
/*
 * schema_doc.h - what is written from the table of keys: the words of the
 * manual page, the commented example, and the JSON Schema.
 */
#ifndef APPTUNNEL_SCHEMA_DOC_H
#define APPTUNNEL_SCHEMA_DOC_H

#include "profiles/schema.h"
#include "profiles/text.h"

/* schema_doc_value() - what one value may be, and how many: "1280 to 65535" */
void schema_doc_value(enum schema_id id, struct text *t);

/* schema_doc_default() - "required", "default 1400", "without it, what Sentry says" */
void schema_doc_default(enum schema_id id, struct text *t);

/* schema_doc_scope() - in which profiles the key has an effect; NULL: in all */
const char *schema_doc_scope(enum schema_id id);

/*
 * schema_example() - a profile with every key, explained: what is required is
 * filled in with examples, all else is a comment
 */
void schema_example(struct text *t);

/* schema_json() - JSON Schema (2020-12) of what `profile show --json` prints */
void schema_json(struct text *t);

#endif
