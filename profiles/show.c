/* SPDX-License-Identifier: MIT */
/* show.c - print the values in effect from the one table of keys */
#include "profiles/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX	2048	/* bytes of one element's text: a path or 255 characters */
#define NAME_WIDTH	27
#define VALUE_WIDTH	32

enum source { FROM_FILE, FROM_DEFAULT, FROM_SENTRY, FROM_NOWHERE };

/* ---- values ------------------------------------------------------------------------------ */

static const void *field_of(const struct profile *p, const struct schema_key *k)
{
	return (const char *)p + k->offset;
}

static uint64_t number_of(const struct profile *p, const struct schema_key *k)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;

	switch (k->size) {
	case sizeof(v8):
		memcpy(&v8, field_of(p, k), sizeof(v8));
		return v8;
	case sizeof(v16):
		memcpy(&v16, field_of(p, k), sizeof(v16));
		return v16;
	case sizeof(v32):
		memcpy(&v32, field_of(p, k), sizeof(v32));
		return v32;
	}
	memcpy(&v64, field_of(p, k), sizeof(v64));
	return v64;
}

static const char *word_of(const struct profile *p, const struct schema_key *k)
{
	/* DevicePlatform is kept as text */
	return k->size == 1 ? k->values[number_of(p, k)] : field_of(p, k);
}

static void host_text(const struct profile_host *h, char *buf)
{
	snprintf(buf, VALUE_MAX, h->addr.family == 6 ? "[%s]:%u" : "%s:%u", h->name, h->port);
}

static void pin_text(const struct profile_pin *pin, char *buf)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *h = pin->sha256;
	size_t i;
	int n;

	switch ((enum profile_pin_kind)pin->kind) {
	case PIN_FILE:
		snprintf(buf, VALUE_MAX, "%s", pin->path);
		return;
	case PIN_CERT_SHA256:
		n = snprintf(buf, VALUE_MAX, "sha256:");
		for (i = 0; i < sizeof(pin->sha256); i++)
			n += snprintf(buf + n, (size_t)(VALUE_MAX - n), "%02x", h[i]);
		return;
	case PIN_KEY_SHA256:
		n = snprintf(buf, VALUE_MAX, "sha256//");
		for (i = 0; i < 43; i++) {
			/* six bits from bit 6 * i on; behind the 32 bytes come zeros */
			unsigned int at = (unsigned int)i * 6, two = (unsigned int)h[at / 8] << 8;

			if (at / 8 + 1 < sizeof(pin->sha256))
				two |= h[at / 8 + 1];
			buf[n++] = digits[two >> (10 - at % 8) & 0x3f];
		}
		buf[n++] = '=';
		buf[n] = '\0';
		return;
	}
}

static size_t list_length(const struct profile *p, const struct schema_key *k)
{
	uint32_t n;

	if (k->type == T_TUN_ADDRESS)
		return (size_t)(p->tun4.family != 0) + (p->tun6.family != 0);
	memcpy(&n, (const char *)p + k->count, sizeof(n));
	return n;
}

/* Element @i of a list, the value of a plain key; @buf of VALUE_MAX bytes. */
static void element_text(const struct profile *p, const struct schema_key *k, size_t i, char *buf)
{
	switch ((enum schema_type)k->type) {
	case T_TEXT:
	case T_SERVICE:
	case T_PATH:
		snprintf(buf, VALUE_MAX, "%s", (const char *)field_of(p, k));
		return;
	case T_NUMBER:
		snprintf(buf, VALUE_MAX, "%" PRIu64, number_of(p, k));
		return;
	case T_ENUM:
	case T_LOG_LEVEL:
		snprintf(buf, VALUE_MAX, "%s", word_of(p, k));
		return;
	case T_HOST:
		host_text(&p->hosts[i], buf);
		return;
	case T_PIN:
		pin_text(&p->pins[i], buf);
		return;
	case T_PREFIX:
		prefix_format((const struct prefix *)field_of(p, k) + i, buf);
		return;
	case T_PORTS:
		snprintf(buf, VALUE_MAX, p->ports[i].lo == p->ports[i].hi ? "%u" : "%u-%u",
			 p->ports[i].lo, p->ports[i].hi);
		return;
	case T_ADDRESS:
		addr_format(&p->resolvers[i], buf);
		return;
	case T_TUN_ADDRESS:
		addr_format(i || !p->tun4.family ? &p->tun6 : &p->tun4, buf);
		return;
	case T_DOMAIN:
		snprintf(buf, VALUE_MAX, "%s", p->search[i]);
		return;
	case T_ULA:
	case T_STRICT_DOMAIN:
	case T_EMAIL:
	case T_APP:
		break;
	}
	buf[0] = '\0';	/* not kept in the record */
}

/* ---- which keys, and from where -------------------------------------------------------------- */

/* What a valid profile cannot have, and what is out of place in this one, is left out. */
static bool is_shown(const struct profile *p, const struct origins *o, enum schema_id id)
{
	unsigned int scope = (p->provider == PROVIDER_APP_PROXY ? IN_PROXY : IN_PACKET) |
			     (p->scope == SCOPE_PER_APP ? IN_PER_APP : IN_DEVICE);

	if (schema[id].state == STATE_REFUSED)
		return false;
	return !schema[id].scope || (schema[id].scope & scope) || o->key[id].first;
}

static bool in_effect(const struct profile *p, enum schema_id id)
{
	unsigned int scope = (p->provider == PROVIDER_APP_PROXY ? IN_PROXY : IN_PACKET) |
			     (p->scope == SCOPE_PER_APP ? IN_PER_APP : IN_DEVICE);

	return schema[id].state == STATE_IN_EFFECT &&
	       (!schema[id].scope || (schema[id].scope & scope));
}

static enum source source_of(const struct origins *o, enum schema_id id)
{
	const struct schema_key *k = &schema[id];

	if (o->key[id].first)
		return FROM_FILE;
	if (k->fallback_note && !strcmp(k->fallback_note, "Sentry"))
		return FROM_SENTRY;
	return k->fallback || k->fallback_note ? FROM_DEFAULT : FROM_NOWHERE;
}

/* Lists of which nothing was given have no element, but for IPRoutes' default. */
static size_t elements(const struct profile *p, const struct schema_key *k)
{
	return k->form == FORM_LIST && k->size ? list_length(p, k) : 1;
}

/* Element @i as text; NULL: there is no value. */
static const char *value_text_of(const struct profile *p, const struct origins *o,
				 enum schema_id id, size_t i, char *buf)
{
	const struct schema_key *k = &schema[id];

	if (k->size && (k->form == FORM_LIST || k->type != T_PATH || *(const char *)field_of(p, k))) {
		element_text(p, k, i, buf);
		return buf;
	}
	if (o->key[id].text.s) {
		snprintf(buf, VALUE_MAX, "%s", o->key[id].text.s);
		return buf;
	}
	return k->size ? NULL : k->fallback;
}

/* ---- for people ---------------------------------------------------------------------------------- */

static void origin_text(const struct profile *p, const struct origins *o, enum schema_id id,
			const char *file, struct text *t)
{
	const struct origin *from = &o->key[id];

	switch (source_of(o, id)) {
	case FROM_FILE:
		text_addf(t, "%s:%u", file, from->first);
		if (from->last != from->first)
			text_addf(t, "-%u", from->last);
		break;
	case FROM_DEFAULT:
		text_add(t, "default");
		break;
	case FROM_SENTRY:
		text_add(t, "Sentry");
		break;
	case FROM_NOWHERE:
		text_add(t, "not given");
		break;
	}
	if (schema[id].state == STATE_NOT_YET)
		text_add(t, ", not in effect yet");
	else if (!in_effect(p, id))
		text_add(t, ", no effect in this profile");
}

static void key_text(const struct profile *p, const struct origins *o, enum schema_id id,
		     const char *file, struct text *t)
{
	const struct schema_key *k = &schema[id];
	size_t i, n = elements(p, k);
	const char *v = NULL;
	char buf[VALUE_MAX];

	if (n)
		v = value_text_of(p, o, id, 0, buf);
	if (!v)
		v = k->fallback_note ? k->fallback_note : "-";
	if (source_of(o, id) == FROM_SENTRY)
		v = "-";
	text_addf(t, "  %-*s %-*s  ", NAME_WIDTH, k->name, VALUE_WIDTH, v);
	origin_text(p, o, id, file, t);
	text_add(t, "\n");
	for (i = 1; i < n; i++) {
		v = value_text_of(p, o, id, i, buf);
		text_addf(t, "  %-*s %s\n", NAME_WIDTH, "", v ? v : "-");
	}
}

void show_text(const struct profile *p, const struct origins *o, const char *file,
	       struct text *t)
{
	const char *section = "";
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (!is_shown(p, o, i))
			continue;
		if (strcmp(section, schema[i].section) != 0) {
			text_addf(t, "%s[%s]\n", *section ? "\n" : "", schema[i].section);
			section = schema[i].section;
		}
		key_text(p, o, i, file, t);
	}
}

/* ---- for programs ---------------------------------------------------------------------------------- */

static void json_scalar(const struct schema_key *k, const char *v, struct text *t)
{
	bool boolean = k->type == T_ENUM && !strcmp(k->values[0], "false");

	if (k->type == T_NUMBER || boolean)
		text_add(t, v);
	else
		text_json(t, v);
}

static void json_value(const struct profile *p, const struct origins *o, enum schema_id id,
		       struct text *t)
{
	const struct schema_key *k = &schema[id];
	size_t i, n = elements(p, k);
	char buf[VALUE_MAX];
	const char *v;

	if (k->form != FORM_LIST) {
		v = value_text_of(p, o, id, 0, buf);
		if (v)
			json_scalar(k, v, t);
		else
			text_add(t, "null");
		return;
	}
	/* an empty list and "what Sentry says" are not the same */
	if (!n) {
		text_add(t, "null");
		return;
	}
	text_add(t, "[");
	for (i = 0; i < n; i++) {
		v = value_text_of(p, o, id, i, buf);
		text_add(t, i ? ", " : "");
		json_scalar(k, v ? v : "", t);
	}
	text_add(t, "]");
}

void show_json(const struct profile *p, const struct origins *o, const char *file,
	       struct text *t)
{
	static const char *const kinds[] = { "file", "default", "sentry", "none" };
	bool first = true;
	size_t i;

	text_add(t, "{\"version\": 1, \"profile\": ");
	text_json(t, p->stem);
	text_add(t, ", \"file\": ");
	text_json(t, file);
	text_add(t, ", \"keys\": [");
	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (!is_shown(p, o, i))
			continue;
		text_addf(t, "%s\n  {\"section\": \"%s\", \"key\": \"%s\", \"value\": ", first ? "" : ",",
			  schema[i].section, schema[i].name);
		first = false;
		json_value(p, o, i, t);
		text_addf(t, ", \"origin\": {\"kind\": \"%s\"", kinds[source_of(o, i)]);
		if (o->key[i].first)
			text_addf(t, ", \"line\": %u, \"last\": %u", o->key[i].first, o->key[i].last);
		text_addf(t, "}, \"in_effect\": %s}", in_effect(p, i) ? "true" : "false");
	}
	text_add(t, "\n]}\n");
}
