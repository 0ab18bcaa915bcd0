/* SPDX-License-Identifier: MIT */
/* reader_priv.h - what reader.c (the order, names, lists) and reader_value.c share */
#ifndef APPTUNNEL_READER_PRIV_H
#define APPTUNNEL_READER_PRIV_H

#include "profiles/ini.h"
#include "profiles/lint.h"
#include "profiles/reader.h"

/* One key line whose name is understood. */
struct occurrence {
	struct schema_hit hit;
	const struct ini_entry *e;
};

struct reader {
	struct ini_doc doc;
	struct reading r;
	struct occurrence *occ;
	size_t n_occ;
	struct origins *origins;
	const char *folder;
};

/*
 * occurrence_name() - the name as findings print it: in the spelling of the
 * file's author.  @buf: SCHEMA_NAME_MAX bytes.  Return: @buf
 */
char *occurrence_name(const struct occurrence *o, char *buf);

static inline uint32_t name_column(const struct ini_entry *e)
{
	return ini_column(e, e->name);
}

/* read_occurrence() - check and keep the value, or the list elements, of one line */
void read_occurrence(struct reader *rd, const struct occurrence *o);

/* store_word() - make word @word of a T_ENUM key the one in effect */
void store_word(struct reader *rd, enum schema_id id, unsigned int word);

#endif
