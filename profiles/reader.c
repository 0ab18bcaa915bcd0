/* SPDX-License-Identifier: MIT */
/*
 * reader.c - the order of reading: text, names, values, lists, rules, advice.
 * Every step reports what it finds and hands on what can still be judged.
 */
#include "profiles/reader_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/text.h"
#include "profiles/value.h"

#define TCP_IDLE_PER_APP_MS	60000u	/* the default where single apps are served */

/* ---- names -------------------------------------------------------------------------- */

static void check_section(struct reader *rd, const struct ini_section *s)
{
	struct findings *f = rd->r.f;
	const char *known = schema_section(s->name, s->n), *near;
	char quoted[TEXT_QUOTE_SIZE];

	if (schema_is_own(s->name, s->n))
		return;
	if (known) {
		if (schema_section_refused(known))
			finding_add(f, FC_SECTION_UNSUPPORTED, s->line, s->column, NULL,
				    "section [%s] is not supported yet; leave it out", known);
		return;
	}
	near = schema_near_section(s->name, s->n);
	finding_add(f, FC_UNKNOWN_SECTION, s->line, s->column, NULL, "unknown section %s%s%s%s",
		    text_quote(s->name, s->n, quoted), near ? "; did you mean [" : "",
		    near ? near : "", near ? "]?" : "");
}

static void unknown_key(struct reader *rd, const char *section, const struct ini_entry *e)
{
	const char *home = schema_home(section, e->name, e->name_n), *near;
	char buf[SCHEMA_NAME_MAX], quoted[TEXT_QUOTE_SIZE], name[SCHEMA_NAME_MAX];
	struct findings *f = rd->r.f;
	uint32_t column = name_column(e);

	near = schema_near_key(section, e->name, e->name_n, buf);
	text_quote(e->name, e->name_n, quoted);
	snprintf(name, sizeof(name), "%.*s", (int)e->name_n, e->name);
	if (near)
		finding_add(f, FC_UNKNOWN_KEY, e->line, column, name,
			    "unknown key %s in [%s]; did you mean %s?", quoted, section, near);
	else if (home)
		finding_add(f, FC_UNKNOWN_KEY, e->line, column, name,
			    "unknown key %s in [%s]; it belongs to [%s]", quoted, section, home);
	else
		finding_add(f, FC_UNKNOWN_KEY, e->line, column, name,
			    "unknown key %s in [%s]; keys of your own begin with x-", quoted,
			    section);
}

static void duplicate(struct reader *rd, const struct ini_entry *e, const char *name)
{
	finding_add(rd->r.f, FC_DUPLICATE_KEY, e->line, name_column(e), name,
		    "the key stands in line %u already", e->dup_of);
}

/* The key is in the file, whatever its value: nobody shall call it missing. */
static void mark_present(struct reader *rd, enum schema_id id, const struct ini_entry *e)
{
	struct place *p = &rd->r.key[id];

	if (!p->line || e->line < p->line)
		*p = (struct place){ .line = e->line, .column = name_column(e) };
}

static void bad_number(struct reader *rd, const struct schema_hit *hit,
		       const struct ini_entry *e, const char *name)
{
	if (schema[hit->id].form == FORM_RULE || schema[hit->id].form == FORM_RULE_LIST)
		finding_add(rd->r.f, FC_KEY_NUMBER, e->line, name_column(e), name, "rules have a "
			    "number from 1 to %u, their matches one from 1 to %u (Rule.1.SSID.1), "
			    "without leading zeros", SCHEMA_RULES_MAX, SCHEMA_NUMBER_MAX);
	else
		finding_add(rd->r.f, FC_KEY_NUMBER, e->line, name_column(e), name, "a list key has a "
			    "number from 1 to %u without leading zeros, e.g. %s.1",
			    SCHEMA_NUMBER_MAX, schema[hit->id].name);
}

static void check_name(struct reader *rd, const struct ini_entry *e)
{
	const struct ini_section *s;
	struct schema_hit hit = { 0 };
	char name[SCHEMA_NAME_MAX];
	const char *section;

	if (e->section == INI_NO_SECTION)
		return;
	s = &rd->doc.sections[e->section];
	section = schema_section(s->name, s->n);
	snprintf(name, sizeof(name), "%.*s", (int)e->name_n, e->name);
	if (schema_is_own(s->name, s->n) || (section && schema_is_own(e->name, e->name_n))) {
		if (e->dup_of)
			duplicate(rd, e, name);
		return;
	}
	if (!section)
		return;
	switch (schema_find(section, e->name, e->name_n, &hit)) {
	case MATCH_KEY:
		mark_present(rd, hit.id, e);
		if (e->dup_of)
			duplicate(rd, e, name);
		else
			rd->occ[rd->n_occ++] = (struct occurrence){ hit, e };
		break;
	case MATCH_NOT_A_LIST:
		mark_present(rd, hit.id, e);
		finding_add(rd->r.f, FC_NOT_A_LIST, e->line, name_column(e), name,
			    "%s holds one value and has no number", schema[hit.id].name);
		break;
	case MATCH_BAD_NUMBER:
		mark_present(rd, hit.id, e);
		bad_number(rd, &hit, e, name);
		/* it was meant for a match: the rule is not without one */
		if (schema[hit.id].form == FORM_RULE_LIST)
			rd->r.rule_pairs[hit.rule]++;
		break;
	case MATCH_UNKNOWN:
		unknown_key(rd, section, e);
		break;
	}
}

/* ---- groups: all lines of one key -------------------------------------------------------- */

static int occurrence_compare(const void *a, const void *b)
{
	const struct occurrence *x = a, *y = b;

	if (x->hit.id != y->hit.id)
		return x->hit.id < y->hit.id ? -1 : 1;
	if (x->hit.rule != y->hit.rule)
		return x->hit.rule < y->hit.rule ? -1 : 1;
	if (x->hit.number != y->hit.number)
		return x->hit.number < y->hit.number ? -1 : 1;
	return x->e < y->e ? -1 : x->e > y->e;
}

/*
 * The lines of one list key, or of one plain key in several spellings: exact
 * repetitions are out already.
 */
static void check_group(struct reader *rd, const struct occurrence *o, size_t n)
{
	const struct occurrence *first = o, *plain = NULL, *numbered = NULL, *later;
	char a[SCHEMA_NAME_MAX], b[SCHEMA_NAME_MAX];
	size_t i;

	if (n < 2 || schema[o->hit.id].form == FORM_RULE ||
	    schema[o->hit.id].form == FORM_RULE_LIST)
		return;
	for (i = 0; i < n; i++) {
		if (o[i].e < first->e)
			first = &o[i];
	}
	later = NULL;
	for (i = 0; i < n; i++) {
		if (o[i].hit.alias != first->hit.alias) {
			if (!later || o[i].e < later->e)
				later = &o[i];
		} else if (o[i].hit.number) {
			if (!numbered || o[i].e < numbered->e)
				numbered = &o[i];
		} else if (!plain || o[i].e < plain->e) {
			plain = &o[i];
		}
	}
	if (later) {
		finding_add(rd->r.f, FC_DUPLICATE_KEY, later->e->line, name_column(later->e),
			    occurrence_name(later, a), "another spelling of %s, which stands in "
			    "line %u already", occurrence_name(first, b), first->e->line);
	}
	if (plain && numbered) {
		later = plain->e > numbered->e ? plain : numbered;
		finding_add(rd->r.f, FC_PLAIN_NUMBERED, later->e->line, name_column(later->e),
			    occurrence_name(later, a), "%s is both plain and numbered; write the list "
			    "in one of the two forms", schema[later->hit.id].name);
	}
}

/* What later findings depend on is read first: for whom is this profile? */
static void read_kind(struct reader *rd)
{
	size_t i;

	for (i = 0; i < rd->n_occ; i++) {
		const struct occurrence *o = &rd->occ[i];
		struct value_error e;
		unsigned int word;

		if ((o->hit.id == K_PROVIDER || o->hit.id == K_SCOPE) && !o->e->broken &&
		    !value_enum(o->e->value, o->e->value_n, schema[o->hit.id].values, &word, &e))
			store_word(rd, o->hit.id, word);
	}
	if (rd->r.word[K_PROVIDER] == PROVIDER_APP_PROXY && !rd->r.key[K_SCOPE].line)
		store_word(rd, K_SCOPE, SCOPE_PER_APP);
	rd->r.scope = (rd->r.word[K_PROVIDER] == PROVIDER_APP_PROXY ? IN_PROXY : IN_PACKET) |
		      (rd->r.word[K_SCOPE] == SCOPE_PER_APP ? IN_PER_APP : IN_DEVICE);
}

static void read_values(struct reader *rd)
{
	size_t i, end;

	if (rd->n_occ)
		qsort(rd->occ, rd->n_occ, sizeof(*rd->occ), occurrence_compare);
	read_kind(rd);
	for (i = 0; i < rd->n_occ; i = end) {
		enum schema_id id = rd->occ[i].hit.id;

		rd->r.good[id] = true;
		if (id == K_ROUTES)
			rd->r.p->n_routes = 0;	/* away with the default */
		for (end = i; end < rd->n_occ && rd->occ[end].hit.id == id; end++)
			;
		check_group(rd, &rd->occ[i], end - i);
		for (; i < end; i++)
			read_occurrence(rd, &rd->occ[i]);
	}
}

/* Defaults that depend on other keys or on the file. */
static void late_defaults(struct reader *rd, const char *stem)
{
	struct profile *p = rd->r.p;

	snprintf(p->stem, sizeof(p->stem), "%s", stem);
	if (!p->name[0])
		snprintf(p->name, sizeof(p->name), "%s", stem);
	if (!rd->r.key[K_SERVICE].line && p->provider == PROVIDER_APP_PROXY)
		snprintf(p->service, sizeof(p->service), "<TCP_ANY>");
	if (!rd->r.key[K_TCP_IDLE].line && p->scope == SCOPE_PER_APP)
		p->tcp_idle_ms = TCP_IDLE_PER_APP_MS;
	p->udp_split = rd->r.key[K_UDP_PORTS].line != 0;
}

static int read_doc(struct reader *rd, const char *stem)
{
	size_t i;
	int r;

	rd->occ = calloc(rd->doc.n_entries + 1, sizeof(*rd->occ));
	if (!rd->occ)
		return -ENOMEM;
	for (i = 0; i < rd->doc.n_sections; i++)
		check_section(rd, &rd->doc.sections[i]);
	for (i = 0; i < rd->doc.n_entries; i++)
		check_name(rd, &rd->doc.entries[i]);
	read_values(rd);
	late_defaults(rd, stem);
	r = merge_lists(&rd->r);
	if (r < 0)
		return r;
	lint_rules(&rd->r);
	r = lint_advice(&rd->r);
	if (r < 0 || !rd->doc.clean)
		return r;
	r = ini_agree(&rd->doc);
	if (r == -EBADMSG)
		finding_add(rd->r.f, FC_READERS, 0, 0, NULL, "the file is read in two ways, and they "
			    "do not agree; please report this file");
	return r == -EBADMSG ? 0 : r;
}

/* Words in effect when nothing is said. */
static void default_words(struct reading *r)
{
	struct value_error e;
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (schema[i].type == T_ENUM && schema[i].fallback)
			value_enum(schema[i].fallback, strlen(schema[i].fallback), schema[i].values,
				   &r->word[i], &e);
	}
}

int profile_read(const char *text, size_t len, const char *stem, const char *folder,
		 struct profile *out, struct findings *f, struct origins *o)
{
	struct reader rd = { .origins = o, .folder = folder, .r.f = f };
	size_t i;
	int r;

	rd.r.p = malloc(sizeof(*rd.r.p));
	if (!rd.r.p)
		return -ENOMEM;
	profile_defaults(rd.r.p);
	default_words(&rd.r);
	r = ini_scan(text, len, f, &rd.doc);
	if (!r)
		r = read_doc(&rd, stem);
	findings_sort(f);
	if (!r && f->failed)
		r = -ENOMEM;
	if (!r && f->errors)
		r = -EBADMSG;
	if (!r)
		memcpy(out, rd.r.p, sizeof(*out));
	for (i = 0; i < SCHEMA_KEYS; i++)
		free(rd.r.elem[i]);
	free(rd.occ);
	ini_free(&rd.doc);
	free(rd.r.p);
	return r;
}

void origins_free(struct origins *o)
{
	size_t i;

	if (!o)
		return;
	for (i = 0; i < SCHEMA_KEYS; i++) {
		text_free(&o->key[i].text);
		free(o->key[i].place);
	}
	*o = (struct origins){ 0 };
}

bool profile_stem_ok(const char *stem)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-";
	size_t n = strspn(stem, allowed);

	return n && n < PROFILE_STEM_MAX && !stem[n];
}
