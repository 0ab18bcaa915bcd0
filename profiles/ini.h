/* SPDX-License-Identifier: MIT */
/*
 * ini.h - the text of a profile, before any meaning: lines, sections, keys.
 *
 * Two readers look at the same bytes.  The raw scan knows lines and columns
 * and refuses everything that iniparser would swallow without a word (an
 * unquoted ';' for one, which would cut a list of routes).  Then iniparser
 * reads the normalised text from a sealed memory file, and both must have
 * seen the same keys with the same values in the same order.
 */
#ifndef APPTUNNEL_INI_H
#define APPTUNNEL_INI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/finding.h"

#define INI_FILE_MAX	(1u << 20)	/* bytes */
#define INI_LINE_MAX	1022u		/* bytes without BOM, CR and LF: iniparser's limit */
#define INI_KEYS_MAX	8192u		/* loading is quadratic in them */
#define INI_NO_SECTION	UINT32_MAX	/* keys before any section, or below a broken header */

struct ini_section {
	const char *name;		/* as written; not terminated */
	uint32_t n, line, column;
};

struct ini_entry {
	const char *line_start;		/* columns are counted from here */
	const char *name, *value;	/* as written; not terminated; value without quotes */
	uint32_t name_n, value_n;
	uint32_t line;
	uint32_t section;		/* index of the first section of that name */
	uint32_t dup_of;		/* line of the first key of that name; 0: none */
	bool broken;			/* there is a finding already: the value means nothing */
};

struct ini_doc {
	char *text;			/* without BOM, line ends are LF; owned */
	size_t n;
	struct ini_section *sections;	/* in order of appearance, repeated ones merged */
	struct ini_entry *entries;	/* in order of appearance */
	size_t n_sections, n_entries;
	size_t cap_sections, cap_entries;
	bool clean;			/* nothing was found: iniparser may look at it */
};

/*
 * ini_scan() - find every section and key, and everything wrong with the text
 * @raw, @n: the file's bytes; not kept
 * @f: gets the findings; a repeated key is left to the caller (dup_of), who
 *	knows in which sections it matters
 * @doc: valid in any case; release with ini_free()
 * Return: 0; -EBADMSG: the text is such that nothing else can be said;
 *	-ENOMEM
 */
int ini_scan(const char *raw, size_t n, struct findings *f, struct ini_doc *doc);
void ini_free(struct ini_doc *doc);

/* ini_column() - column of @at, which lies in the line of @e; from 1, in characters */
uint32_t ini_column(const struct ini_entry *e, const char *at);

/*
 * ini_agree() - load the text with iniparser and compare
 * @doc: clean
 * Return: 0: both saw the same; -EBADMSG: they did not; another negative
 *	errno: it could not be tried
 */
int ini_agree(const struct ini_doc *doc);

#endif
