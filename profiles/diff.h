/* SPDX-License-Identifier: MIT */
/* diff.h - what is in effect in one profile and not in another: `profile diff` */
#ifndef APPTUNNEL_DIFF_H
#define APPTUNNEL_DIFF_H

#include "profiles/profile.h"
#include "profiles/reader.h"
#include "profiles/text.h"

struct diff_side {
	const struct profile *p;
	const struct origins *o;
	const char *file;		/* label of origins */
	const char *folder;		/* absolute; files inside it are compared by their rest */
};

/*
 * diff_text() - "--- A", "+++ B", and of each key that differs its section,
 * name, lines, and the values that go (-) and come (+).  Nothing when no key
 * differs.  Values are compared, not their spelling; the order of a list
 * counts where it has a meaning (Host, DnsResolverIPs, DnsSearchDomains).
 * Return: number of keys that differ, or -ENOMEM (@t may hold a part)
 */
int diff_text(const struct diff_side *a, const struct diff_side *b, struct text *t);

/*
 * diff_json() - {"version": 1, "from": {"profile", "file"}, "to": {...}, "changes":
 * [{"section", "key", "from", "to", "removed", "added"}], "commands": [; the last two of a
 * change of lists only.  The caller adds what would change of the machine, and "]}".
 * Return: as diff_text()
 */
int diff_json(const struct diff_side *a, const struct diff_side *b, struct text *t);

#endif
