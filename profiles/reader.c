/* SPDX-License-Identifier: MIT */
/*
 * reader.c - the order of reading: text, names, values, lists, rules, advice.
 * Every step reports what it finds and hands on what can still be judged.
 */
#include "profiles/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/ini.h"
#include "profiles/lint.h"
#include "profiles/text.h"
#include "profiles/value.h"

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

/* The name as findings print it: the spelling of the file's author. */
static char *occurrence_name(const struct occurrence *o, char *buf)
{
	if (!o->hit.alias)
		return schema_name(o->hit.id, o->hit.rule, o->hit.number, buf);
	if (o->hit.number)
		snprintf(buf, SCHEMA_NAME_MAX, "%s.%u", o->hit.alias->name, o->hit.number);
	else
		snprintf(buf, SCHEMA_NAME_MAX, "%s", o->hit.alias->name);
	return buf;
}

static uint32_t name_column(const struct ini_entry *e)
{
	return ini_column(e, e->name);
}

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
		break;
	case MATCH_UNKNOWN:
		unknown_key(rd, section, e);
		break;
	}
}

/* ---- values -------------------------------------------------------------------------- */

static void store_number(struct reader *rd, const struct schema_key *k, uint64_t v)
{
	char *field = (char *)rd->r.p + k->offset;
	uint16_t v16 = (uint16_t)v;
	uint32_t v32 = (uint32_t)v;

	if (k->size == sizeof(v16))
		memcpy(field, &v16, sizeof(v16));
	else if (k->size == sizeof(v32))
		memcpy(field, &v32, sizeof(v32));
	else if (k->size == sizeof(v))
		memcpy(field, &v, sizeof(v));
}

static void store_word(struct reader *rd, enum schema_id id, unsigned int word)
{
	const struct schema_key *k = &schema[id];
	char *field = (char *)rd->r.p + k->offset;
	uint8_t v8 = (uint8_t)word;

	rd->r.word[id] = word;
	if (id == K_PLATFORM)
		snprintf(field, k->size, "%s", k->values[word]);
	else if (k->size == sizeof(v8))
		memcpy(field, &v8, sizeof(v8));
}

/* Where element @i of a list goes; a place of no consequence where it is not kept. */
static void *slot(struct reader *rd, const struct schema_key *k, size_t i, void *scratch,
		  size_t size)
{
	return k->size && i < k->max ? (char *)rd->r.p + k->offset + i * size : scratch;
}

/* Any element that is kept nowhere: only its check matters. */
union scratch {
	struct profile_host host;
	struct profile_pin pin;
	struct prefix prefix;
	struct port_range ports;
	struct ipaddr addr;
	char text[PROFILE_PATH_MAX];
};

static int read_prefix(struct reader *rd, const struct occurrence *o, const char *s, size_t n,
		       struct prefix *out, struct value_error *e)
{
	char text[PREFIX_STRLEN], name[SCHEMA_NAME_MAX];
	bool bits = false;
	int r;

	r = schema[o->hit.id].type == T_ULA ? value_ula(s, n, out, &bits, e) :
					      value_prefix(s, n, out, &bits, e);
	if (!r && bits)
		finding_add(rd->r.f, FC_HOST_BITS, o->e->line, ini_column(o->e, s),
			    occurrence_name(o, name), "%.*s has host bits set; %s is used", (int)n, s,
			    prefix_format(out, text));
	return r;
}

static int read_tun(struct reader *rd, const char *s, size_t n, struct value_error *e)
{
	struct ipaddr a, *slots[2] = { &rd->r.p->tun4, &rd->r.p->tun6 }, *to;
	int r = value_tun_address(s, n, &a, e);

	if (r < 0)
		return r;
	to = slots[a.family == 6];
	if (to->family) {
		e->code = FC_TUNIP;
		e->at = 0;
		snprintf(e->text, sizeof(e->text), "a second IPv%u address; one of each family is "
			 "accepted", a.family);
		return -EINVAL;
	}
	*to = a;
	return 0;
}

static int read_word(struct reader *rd, const struct occurrence *o, const char *s, size_t n,
		     struct value_error *e)
{
	const struct schema_key *k = &schema[o->hit.id];
	unsigned int word;
	char name[SCHEMA_NAME_MAX];
	int r;

	r = k->type == T_ENUM ? value_enum(s, n, k->values, &word, e) :
				value_log_level(s, n, k->values, &word, e);
	if (r < 0)
		return r;
	store_word(rd, o->hit.id, word);
	if (k->refused_values & (1u << word))
		finding_add(rd->r.f, FC_VALUE_UNSUPPORTED, o->e->line, ini_column(o->e, s),
			    occurrence_name(o, name), "%s is not supported yet; the default is %s",
			    k->values[word], k->fallback);
	return 0;
}

/* @i: index of the element in the list, at k->max when the list is full */
static int read_value(struct reader *rd, const struct occurrence *o, size_t i, const char *s,
		      size_t n, struct value_error *e)
{
	const struct schema_key *k = &schema[o->hit.id];
	struct profile *p = rd->r.p;
	char *field = k->size ? (char *)p + k->offset : NULL;
	union scratch x;
	uint64_t number;
	int r;

	switch ((enum schema_type)k->type) {
	case T_TEXT:
		return value_text(s, n, k->min, k->max, field, k->size, e);
	case T_NUMBER:
		r = value_number(s, n, k->min, k->max, k->or_zero, &number, e);
		if (!r)
			store_number(rd, k, number);
		return r;
	case T_ENUM:
	case T_LOG_LEVEL:
		return read_word(rd, o, s, n, e);
	case T_HOST:
		return value_host(s, n, slot(rd, k, i, &x, sizeof(x.host)), e);
	case T_SERVICE:
		return value_service(s, n, field, e);
	case T_PATH:
		return value_path(s, n, rd->folder, field, e);
	case T_PIN:
		return value_pin(s, n, rd->folder, slot(rd, k, i, &x, sizeof(x.pin)), e);
	case T_PREFIX:
		return read_prefix(rd, o, s, n, slot(rd, k, i, &x, sizeof(x.prefix)), e);
	case T_ULA:
		return read_prefix(rd, o, s, n, &x.prefix, e);
	case T_PORTS:
		return value_ports(s, n, slot(rd, k, i, &x, sizeof(x.ports)), e);
	case T_ADDRESS:
		return value_address(s, n, slot(rd, k, i, &x, sizeof(x.addr)), e);
	case T_TUN_ADDRESS:
		return read_tun(rd, s, n, e);
	case T_DOMAIN:
		return value_domain(s, n, false, slot(rd, k, i, &x, PROFILE_NAME_MAX), e);
	case T_STRICT_DOMAIN:
		return value_domain(s, n, true, NULL, e);
	case T_EMAIL:
		return value_email(s, n, e);
	case T_APP:
		return value_app(s, n, e);
	}
	return -EINVAL;
}

static bool keep_place(struct reading *r, const struct occurrence *o, const char *s, size_t n)
{
	enum schema_id id = o->hit.id;
	struct place *v = r->elem[id];
	size_t cap = r->cap_elem[id];

	if (r->n_elem[id] == cap) {
		cap = cap ? cap * 2 : 16;
		v = realloc(v, cap * sizeof(*v));
		if (!v) {
			r->f->failed = true;
			return false;
		}
		r->elem[id] = v;
		r->cap_elem[id] = cap;
	}
	v[r->n_elem[id]++] = (struct place){
		.line = o->e->line, .column = ini_column(o->e, s), .number = o->hit.number,
		.s = s, .n = (uint32_t)n,
	};
	return true;
}

static const char *empty_text(const struct schema_key *k)
{
	if (k->required || k == &schema[K_PINS])
		return "the value is empty; it is required";
	return "the value is empty; leave the key out instead";
}

/* Return: was every element good? */
static bool read_list(struct reader *rd, const struct occurrence *o)
{
	const struct schema_key *k = &schema[o->hit.id];
	const char *rest = o->e->value, *elem;
	size_t left = o->e->value_n, n, *have = &rd->r.n_elem[o->hit.id];
	struct findings *f = rd->r.f;
	char name[SCHEMA_NAME_MAX];
	struct value_error e;
	bool good = true, first = true;
	uint32_t count;

	occurrence_name(o, name);
	for (; value_element(&rest, &left, &elem, &n); first = false) {
		if (!n) {
			bool empty = first && !rest;

			finding_add(f, empty ? FC_EMPTY : FC_EMPTY_ELEMENT, o->e->line,
				    ini_column(o->e, elem), name, "%s", empty ? empty_text(k) :
				    "an empty element of the list; take the ';' out");
			good = false;
			continue;
		}
		if (read_value(rd, o, *have, elem, n, &e) < 0) {
			finding_add(f, e.code, o->e->line, ini_column(o->e, elem + e.at), name, "%s",
				    e.text);
			good = false;
			continue;
		}
		if (*have == k->max) {
			/* once a list: the rest is checked, and not kept */
			if (rd->r.good[o->hit.id])
				finding_add(f, FC_TOO_MANY_VALUES, o->e->line, ini_column(o->e, elem),
					    name, "at most %llu values are accepted",
					    (unsigned long long)k->max);
			rd->r.good[o->hit.id] = false;
			continue;
		}
		if (!keep_place(&rd->r, o, elem, n))
			return false;
	}
	if (k->size && k->count) {
		count = (uint32_t)*have;
		memcpy((char *)rd->r.p + k->count, &count, sizeof(count));
	}
	return good;
}

static bool read_single(struct reader *rd, const struct occurrence *o)
{
	const struct ini_entry *e = o->e;
	const struct schema_key *k = &schema[o->hit.id];
	char name[SCHEMA_NAME_MAX];
	struct value_error error;

	occurrence_name(o, name);
	if (!e->value_n && !(k->type == T_TEXT && !k->min)) {
		finding_add(rd->r.f, FC_EMPTY, e->line, ini_column(e, e->value), name, "%s",
			    empty_text(k));
		return false;
	}
	if (read_value(rd, o, 0, e->value, e->value_n, &error) < 0) {
		finding_add(rd->r.f, error.code, e->line, ini_column(e, e->value + error.at), name,
			    "%s", error.text);
		return false;
	}
	return true;
}

static void note_rule(struct reader *rd, const struct occurrence *o)
{
	uint32_t rule = o->hit.rule;
	struct place *p = &rd->r.rule[rule];

	if (!rule)
		return;
	if (!p->line || o->e->line < p->line)
		*p = (struct place){ .line = o->e->line, .column = name_column(o->e) };
	if (o->hit.id == K_RULE_ACTION)
		rd->r.rule_action[rule] = true;
	else if (o->hit.id != K_RULE_DESCRIPTION)
		rd->r.rule_pairs[rule]++;
}

static bool note_place(struct origin *to, const struct occurrence *o, const char *at)
{
	size_t cap = to->cap_place ? to->cap_place * 2 : 4;
	struct origin_place *v;

	if (to->n_place == to->cap_place) {
		v = realloc(to->place, cap * sizeof(*v));
		if (!v)
			return false;
		to->place = v;
		to->cap_place = cap;
	}
	to->place[to->n_place++] = (struct origin_place){
		.line = o->e->line, .column = ini_column(o->e, at), .number = o->hit.number,
	};
	return true;
}

static void note_origin(struct reader *rd, const struct occurrence *o)
{
	const char *rest = o->e->value, *elem;
	size_t left = o->e->value_n, n;
	struct origin *to;

	if (!rd->origins)
		return;
	to = &rd->origins->key[o->hit.id];
	if (!to->first || o->e->line < to->first)
		to->first = o->e->line;
	if (o->e->line > to->last)
		to->last = o->e->line;
	if (to->text.n)
		text_add(&to->text, ";");
	text_addn(&to->text, o->e->value, o->e->value_n);
	if (to->text.failed)
		rd->r.f->failed = true;
	if (schema[o->hit.id].form != FORM_LIST) {
		rd->r.f->failed |= !note_place(to, o, rest);
		return;
	}
	while (value_element(&rest, &left, &elem, &n))
		rd->r.f->failed |= !note_place(to, o, elem);
}

static void read_occurrence(struct reader *rd, const struct occurrence *o)
{
	const struct schema_key *k = &schema[o->hit.id];
	struct findings *f = rd->r.f;
	char name[SCHEMA_NAME_MAX];
	bool good;

	if (o->hit.alias && o->hit.alias->misprint)
		finding_add(f, FC_MISPRINT, o->e->line, name_column(o->e),
			    occurrence_name(o, name), "a misprint of %s, which is accepted",
			    k->name);
	if (o->hit.alias && o->hit.alias->scope && !(o->hit.alias->scope & rd->r.scope))
		finding_add(f, FC_OUT_OF_SCOPE, o->e->line, name_column(o->e),
			    occurrence_name(o, name), "this spelling is for profiles with VpnScope = "
			    "device; write %s", k->name);
	note_rule(rd, o);
	if (o->e->broken) {
		good = false;
	} else {
		note_origin(rd, o);
		good = k->form == FORM_LIST ? read_list(rd, o) : read_single(rd, o);
	}
	if (!good)
		rd->r.good[o->hit.id] = false;
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
		if (!o[i].hit.number && (!plain || o[i].e < plain->e))
			plain = &o[i];
		if (o[i].hit.number && (!numbered || o[i].e < numbered->e))
			numbered = &o[i];
	}
	later = NULL;
	for (i = 0; i < n; i++) {
		if (o[i].hit.alias != first->hit.alias && (!later || o[i].e < later->e))
			later = &o[i];
	}
	if (later) {
		finding_add(rd->r.f, FC_DUPLICATE_KEY, later->e->line, name_column(later->e),
			    occurrence_name(later, a), "another spelling of %s, which stands in "
			    "line %u already", occurrence_name(first, b), first->e->line);
	} else if (plain && numbered) {
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

	return n && n <= 32 && !stem[n];
}
