/* SPDX-License-Identifier: MIT */
/*
 * reader.h - from the bytes of a profile to a checked record.  Needs iniparser;
 * the daemon, which does not link it, reads the record from the parser child.
 */
#ifndef APPTUNNEL_READER_H
#define APPTUNNEL_READER_H

#include "profiles/finding.h"
#include "profiles/profile.h"
#include "profiles/schema.h"
#include "profiles/text.h"

/* Where one element of a list, or the value of a plain key, begins. */
struct origin_place {
	uint32_t line, column, number;
};

/* Where the value of each key comes from. */
struct origin {
	uint32_t first, last;		/* lines; 0: the key is not in the file */
	struct text text;		/* its values as written, with ';' between them */
	struct origin_place *place;	/* one for each element of text; owned */
	size_t n_place, cap_place;
};

struct origins {
	struct origin key[SCHEMA_KEYS];
};

/*
 * profile_read() - read, check, and report everything at once
 * @text, @len: the file
 * @stem: the file's name without .ini, [A-Za-z0-9_-]{1,32}
 * @folder: absolute path that relative paths are relative to
 * @out: written on success only
 * @f: initialised with the label to print; gets every finding, sorted.  It may
 *	hold findings of the caller
 * @o: NULL, or zeroed; filled also when the profile is invalid; origins_free()
 * Return: 0: good, maybe with warnings; -EBADMSG: invalid, @f says why;
 *	another negative errno: it could not be tried
 */
int profile_read(const char *text, size_t len, const char *stem, const char *folder,
		 struct profile *out, struct findings *f, struct origins *o);

void origins_free(struct origins *o);

/* profile_stem_ok() - may a profile be known by this name? */
bool profile_stem_ok(const char *stem);

#endif
