/* SPDX-License-Identifier: MIT */
/* reader_value.c - the value of one line: into the record, the places, the origins */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/array.h"
#include "profiles/reader_priv.h"
#include "profiles/text.h"
#include "profiles/value.h"

char *occurrence_name(const struct occurrence *o, char *buf)
{
	if (!o->hit.alias)
		return schema_name(o->hit.id, o->hit.rule, o->hit.number, buf);
	if (o->hit.number)
		snprintf(buf, SCHEMA_NAME_MAX, "%s.%u", o->hit.alias->name, o->hit.number);
	else
		snprintf(buf, SCHEMA_NAME_MAX, "%s", o->hit.alias->name);
	return buf;
}

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

void store_word(struct reader *rd, enum schema_id id, unsigned int word)
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
		return read_prefix(rd, o, s, n, (struct prefix *)field, e);
	case T_PORTS:
		return value_ports(s, n, slot(rd, k, i, &x, sizeof(x.ports)), e);
	case T_ADDRESS:
		return value_server_address(s, n, slot(rd, k, i, &x, sizeof(x.addr)), e);
	case T_TUN_ADDRESS:
		return read_tun(rd, s, n, e);
	case T_DOMAIN:
		return value_domain(s, n, false, slot(rd, k, i, &x, PROFILE_NAME_MAX), e);
	case T_STRICT_DOMAIN:
		return value_domain(s, n, true, NULL, e);
	case T_EMAIL:
		return value_email(s, n, field, e);
	case T_APP:
		return value_app(s, n, e);
	}
	return -EINVAL;
}

static bool keep_place(struct reading *r, const struct occurrence *o, const char *s, size_t n)
{
	enum schema_id id = o->hit.id;

	if (!array_room(&r->elem[id], &r->cap_elem[id], r->n_elem[id], sizeof(**r->elem))) {
		r->f->failed = true;
		return false;
	}
	r->elem[id][r->n_elem[id]++] = (struct place){
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
	if (!array_room(&to->place, &to->cap_place, to->n_place, sizeof(*to->place)))
		return false;
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

void read_occurrence(struct reader *rd, const struct occurrence *o)
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
