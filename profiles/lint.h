/* SPDX-License-Identifier: MIT */
/*
 * lint.h - what is between reader.c, merge.c, rules.c and lint.c: a profile half
 * read, and where each value stands.
 */
#ifndef APPTUNNEL_LINT_H
#define APPTUNNEL_LINT_H

#include "profiles/finding.h"
#include "profiles/profile.h"
#include "profiles/schema.h"

struct place {
	uint32_t line, column;		/* line 0: not in the file */
	uint32_t number;		/* of a numbered key */
	const char *s;			/* the element as written; not terminated */
	uint32_t n;
};

struct reading {
	struct profile *p;
	struct findings *f;
	unsigned int scope;		/* IN_ bits of this profile */
	struct place key[SCHEMA_KEYS];	/* first appearance, column of the name */
	bool good[SCHEMA_KEYS];		/* given, and every value was accepted */
	unsigned int word[SCHEMA_KEYS];	/* T_ENUM: index of the value in effect */
	/* of list keys: place of element i; stays parallel to the list in *p */
	struct place *elem[SCHEMA_KEYS];
	size_t n_elem[SCHEMA_KEYS], cap_elem[SCHEMA_KEYS];
	/* on-demand rules: what was seen of each */
	struct place rule[SCHEMA_RULES_MAX + 1];
	bool rule_action[SCHEMA_RULES_MAX + 1];
	uint32_t rule_pairs[SCHEMA_RULES_MAX + 1];
};

/* lint_rules() - the rules between keys: errors, and keys without effect (rules.c) */
void lint_rules(struct reading *r);

/*
 * lint_advice() - traps that are no errors.  After merge_lists(), on a profile
 * without errors in the keys concerned.
 * Return: 0, -ENOMEM
 */
int lint_advice(struct reading *r);

/*
 * merge_lists() - drop repeated and covered elements (in *p and in elem[]), one
 * warning each; ports are sorted and merged
 * Return: 0, -ENOMEM
 */
int merge_lists(struct reading *r);

/* A sorted copy of prefixes none of which covers another. */
struct prefix_index {
	struct prefix *v;
	size_t n;
};

/* prefix_index_build() - @x owns its copy: prefix_index_free().  0, -ENOMEM */
int prefix_index_build(struct prefix_index *x, const struct prefix *v, size_t n);
void prefix_index_free(struct prefix_index *x);
/* The prefix that covers (or equals) @q; the first one that is inside @q.  NULL: none */
const struct prefix *prefix_index_covering(const struct prefix_index *x, const struct prefix *q);
const struct prefix *prefix_index_inside(const struct prefix_index *x, const struct prefix *q);

#endif
