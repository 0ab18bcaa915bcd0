/* SPDX-License-Identifier: MIT */
/*
 * ctl_import_finish.c - values to the text of a profile, and the judgement of
 * the product's own reader on it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_import.h"
#include "profiles/finding.h"
#include "profiles/ini.h"
#include "profiles/reader.h"

#define LINE_ROOM	900u	/* bytes of a list in one line; the reader takes 1,022 */
#define STEM		"imported"
/* of reading and taking out: each key and each rule can go once */
#define ROUNDS_MAX	(SCHEMA_KEYS + SCHEMA_RULES_MAX + 1)

/* ---- text ----------------------------------------------------------------------------------- */

/*
 * Every value that is not plain stands in quotes.  What holds a double quote
 * cannot: it stands bare, and the reader says whether that works.
 */
static void put_value(struct text *t, const char *name, const char *s)
{
	size_t n = strlen(s);
	bool bare = n && !strpbrk(s, ";#\"'\\<> ");

	if (!bare && !strchr(s, '"'))
		text_addf(t, "%s = \"%s\"\n", name, s);
	else
		text_addf(t, "%s = %s\n", name, s);
}

/* All elements of a list, in as many numbered lines as they need. */
static void put_list(struct text *t, const struct import_result *r, enum schema_id id)
{
	struct text line = { 0 };
	char name[SCHEMA_NAME_MAX];
	uint32_t number = 0;
	size_t i, total = 0;

	for (i = 0; i < r->n_values; i++)
		total += r->values[i].id == id ? strlen(r->values[i].text) + 1 : 0;
	for (i = 0; i <= r->n_values; i++) {
		bool end = i == r->n_values;
		const char *s = end ? "" : r->values[i].text;

		if (!end && r->values[i].id != id)
			continue;
		if (line.n && (end || line.n + strlen(s) + 1 > LINE_ROOM)) {
			number += total > LINE_ROOM;
			put_value(t, schema_name(id, 0, number, name), line.s);
			line.n = 0;
			line.s[0] = '\0';
		}
		if (end)
			break;
		if (line.n)
			text_add(&line, ";");
		text_add(&line, s);
	}
	t->failed |= line.failed;
	text_free(&line);
}

static void put_rules(struct text *t, const struct import_result *r)
{
	uint32_t rule, number[SCHEMA_KEYS];
	char name[SCHEMA_NAME_MAX];
	size_t i;

	for (rule = 1; rule <= SCHEMA_RULES_MAX; rule++) {
		memset(number, 0, sizeof(number));
		for (i = 0; i < r->n_values; i++) {
			const struct import_value *v = &r->values[i];
			bool list = schema[v->id].form == FORM_RULE_LIST;

			if (v->rule != rule)
				continue;
			schema_name(v->id, rule, list ? ++number[v->id] : 0, name);
			put_value(t, name, v->text);
		}
	}
}

static void put_key(struct text *t, const struct import_result *r, enum schema_id id)
{
	size_t i;

	if (schema[id].form == FORM_LIST) {
		put_list(t, r, id);
		return;
	}
	for (i = 0; i < r->n_values; i++) {
		if (r->values[i].id == id && !r->values[i].rule)
			put_value(t, schema[id].name, r->values[i].text);
	}
}

/* What every profile needs and no management server's file has. */
static bool to_fill_in(const struct import_result *r, enum schema_id id)
{
	size_t i;

	if (import_has(r, id))
		return false;
	for (i = 0; i < r->n_values; i++) {
		if (r->values[i].id == K_MODE && !strcmp(r->values[i].text, "access"))
			return id == K_PINS;
		if (r->values[i].id == K_NO_PINNING && !strcmp(r->values[i].text, "true") &&
		    id == K_PINS)
			return false;
	}
	return schema[id].required || id == K_PINS;
}

char *import_ini(const struct import_result *r)
{
	const char *section = NULL;
	struct text t = { 0 };
	size_t i;

	text_addf(&t, "# Imported from %s.\n", r->source[0] ? r->source : "another system");
	text_add(&t, "# What could not be carried over was listed then; check it with\n"
		     "#   apptunnel profile check FILE\n");
	for (i = 0; i < SCHEMA_KEYS; i++) {
		bool rules = i == K_RULE_ACTION, fill = to_fill_in(r, i);

		if (schema[i].form == FORM_RULE_LIST || (schema[i].form == FORM_RULE && !rules))
			continue;	/* with their rule */
		if (!import_has(r, i) && !fill)
			continue;
		if (!section || strcmp(section, schema[i].section) != 0) {
			section = schema[i].section;
			text_addf(&t, "\n[%s]\n", section);
		}
		if (fill)
			text_addf(&t, "# to fill in: %s = ...   (%s)\n", schema[i].name,
				  schema[i].help);
		else if (rules)
			put_rules(&t, r);
		else
			put_key(&t, r, i);
	}
	return text_take(&t);
}

/* ---- the reader's judgement ----------------------------------------------------------------- */

/* Errors that an imported profile may have: they are listed, and stay. */
static bool may_stay(enum finding_code code)
{
	return code == FC_MISSING || code == FC_NO_PIN || code == FC_ACCESS ||
	       code == FC_KEY_UNSUPPORTED || code == FC_VALUE_UNSUPPORTED ||
	       code == FC_SECTION_UNSUPPORTED;
}

#define NO_FORM "cannot be written in a profile: a double quote, or a backslash at the end"

/* Not the value is wrong, but there is no way to write it. */
static bool is_form(enum finding_code code)
{
	return finding_code_name(code)[1] == '1' && code != FC_LONG_LINE;
}

/*
 * Which key stands in this line?  Lines of our own making: "NAME = ..." below
 * "[section]".
 */
static bool key_at(const char *ini, uint32_t line, struct schema_hit *hit)
{
	const char *section = NULL, *p = ini, *eq;
	uint32_t i;

	for (i = 1; *p && i <= line; i++, p += strcspn(p, "\n"), p += *p == '\n') {
		if (*p == '[')
			section = schema_section(p + 1, strcspn(p + 1, "]\n"));
		if (i < line)
			continue;
		eq = strstr(p, " = ");
		return section && eq && eq < p + strcspn(p, "\n") &&
		       schema_find(section, p, (size_t)(eq - p), hit) == MATCH_KEY;
	}
	return false;
}

/* A list is left out whole, a rule too: half of either would mean something else. */
static size_t take_out(struct import_result *r, const struct schema_hit *hit, const char *why)
{
	const char *whole = hit->rule ? "the whole rule, for " : "";
	size_t i, to = 0, gone = 0;

	for (i = 0; i < r->n_values; i++) {
		struct import_value *v = &r->values[i];
		bool same = hit->rule ? v->rule == hit->rule : v->id == hit->id && !v->rule;

		if (!same) {
			r->values[to++] = *v;
			continue;
		}
		if (!gone++)
			import_note(r, IMPORT_NOT_CARRIED, v->where, "[%s] %s%s: %s",
				    schema[hit->id].section, whole, schema[hit->id].name, why);
		free(v->text);
		free(v->where);
	}
	r->n_values = to;
	return gone;
}

static const char *where_of(const struct import_result *r, const struct schema_hit *hit)
{
	size_t i;

	for (i = 0; i < r->n_values; i++) {
		if (r->values[i].id == hit->id && r->values[i].rule == hit->rule)
			return r->values[i].where;
	}
	return "-";
}

static void list_finding(struct import_result *r, const char *ini, const struct finding *f)
{
	const char *key = strcmp(f->key, "-") ? f->key : "", *where = "-";
	struct schema_hit hit;

	if (f->line && key_at(ini, f->line, &hit))
		where = where_of(r, &hit);
	if (f->code == FC_MISSING || f->code == FC_NO_PIN || f->code == FC_ACCESS)
		import_note(r, IMPORT_MISSING, f->key, "%s", f->text);
	else if (finding_code_is_error(f->code) || f->code == FC_OUT_OF_SCOPE)
		import_note(r, IMPORT_UNSUPPORTED, where, "%s%s%s (%s)", key, *key ? ": " : "",
			    f->text, finding_code_name(f->code));
}

/*
 * Read it; take out what is wrong.  Return: 1: something was taken out, again;
 * 0: it is as good as it gets; -ENOMEM, -EIO
 */
static int judge(struct import_result *r, const char *ini, struct profile *p)
{
	struct findings f;
	struct schema_hit hit;
	int err, again = 0;
	size_t i;

	if (findings_init(&f, STEM ".ini"))
		return -ENOMEM;
	err = profile_read(ini, strlen(ini), STEM, "/", p, &f, NULL);
	if (err && err != -EBADMSG)
		goto out;
	err = 0;
	for (i = 0; i < f.n && !again; i++) {
		if (!finding_code_is_error(f.v[i].code) || may_stay(f.v[i].code))
			continue;
		/* one by one: the next may be gone with this one */
		if (!key_at(ini, f.v[i].line, &hit) ||
		    !take_out(r, &hit, is_form(f.v[i].code) ? NO_FORM : f.v[i].text))
			err = -EIO;
		again = 1;
	}
	for (i = 0; !again && i < f.n; i++)
		list_finding(r, ini, &f.v[i]);
out:
	findings_free(&f);
	return err ? err : again;
}

/* ---- certificates --------------------------------------------------------------------------- */

char *import_cert_name(const char *stem, size_t pin, char *buf, size_t size)
{
	if (pin)
		snprintf(buf, size, "%s-pin-%zu.pem", stem, pin);
	else
		snprintf(buf, size, "%s-ca.pem", stem);
	return buf;
}

static void add_pin(struct import_result *r, const struct import_cert *c, const char *stem,
		    size_t number)
{
	char text[256];
	size_t i, n;

	if (stem) {
		import_cert_name(stem, number, text, sizeof(text));
	} else {
		n = (size_t)snprintf(text, sizeof(text), "sha256:");
		for (i = 0; i < sizeof(c->sha256); i++, n += 2)
			snprintf(text + n, sizeof(text) - n, "%02x", c->sha256[i]);
	}
	import_value(r, K_PINS, 0, text, c->where);
}

static void add_certs(struct import_result *r, const char *stem)
{
	size_t i, pins = 0, cas = 0;
	char name[256];

	for (i = 0; i < r->n_certs; i++) {
		const struct import_cert *c = &r->certs[i];

		if (!c->ca)
			add_pin(r, c, stem, ++pins);
		else if (!stem)
			import_note(r, IMPORT_NOT_CARRIED, c->where, "the certificate of a CA; "
				    "with -o FILE it is written beside that file and named in "
				    "CaFile");
		else if (!cas++)
			import_value(r, K_CA_FILE, 0, import_cert_name(stem, 0, name, sizeof(name)),
				     c->where);
	}
	if (cas)
		import_note(r, IMPORT_REMARK, "-", "CaFile (%zu %s) counts only where "
			    "DisablePinning is true",
			    cas, cas == 1 ? "certificate" : "certificates");
}

int import_finish(struct import_result *r, const char *stem, char **ini)
{
	struct profile *p = malloc(sizeof(*p));
	char *text = NULL;
	unsigned int round;
	int again = 1;

	if (!p || r->failed) {
		free(p);
		return -ENOMEM;
	}
	add_certs(r, stem);
	for (round = 0; again > 0 && round < ROUNDS_MAX; round++) {
		free(text);
		text = r->failed ? NULL : import_ini(r);
		again = text ? judge(r, text, p) : -ENOMEM;
	}
	free(p);
	if (!again && r->failed)
		again = -ENOMEM;
	if (again) {
		free(text);
		return again > 0 ? -EIO : again;
	}
	*ini = text;
	return 0;
}
