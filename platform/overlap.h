/* SPDX-License-Identifier: MIT */
/* overlap.h - may two profiles be connected at the same time? */
#ifndef APPTUNNEL_OVERLAP_H
#define APPTUNNEL_OVERLAP_H

#include "profiles/profile.h"

/*
 * overlap_find() - pure: do both profiles lead the same addresses into their
 * tunnel?  What either excludes as a whole does not count.
 * Return: the narrower of the first two routes that meet (of one of the
 *	profiles), or NULL
 */
const struct prefix *overlap_find(const struct profile *p, const struct profile *o);

#endif
