/* SPDX-License-Identifier: MIT */
/* write.h - a record as a profile again: what was read is what is written */
#ifndef APPTUNNEL_WRITE_H
#define APPTUNNEL_WRITE_H

#include "profiles/profile.h"
#include "profiles/reader.h"
#include "profiles/text.h"

/*
 * write_profile() - a profile of all values in effect, defaults included.
 * profile_read() of it, with the same stem and folder, gives the same record.
 * Keys of the administrator's own (x-) and comments are not in a record.
 * @folder: what relative paths are relative to; paths are written absolute
 *	unless the line would be too long
 */
void write_profile(const struct profile *p, const struct origins *o, const char *folder,
		   struct text *t);

#endif
