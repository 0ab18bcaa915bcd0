/* SPDX-License-Identifier: MIT */
/* effective.c - values in effect out of a record, by the one table of keys */
#include "profiles/effective.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
	snprintf(buf, EFFECTIVE_MAX, h->addr.family == 6 ? "[%s]:%u" : "%s:%u", h->name, h->port);
}

static void pin_text(const struct profile_pin *pin, char *buf)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *h = pin->sha256;
	size_t i;
	int n;

	switch ((enum profile_pin_kind)pin->kind) {
	case PIN_FILE:
		snprintf(buf, EFFECTIVE_MAX, "%s", pin->path);
		return;
	case PIN_CERT_SHA256:
		n = snprintf(buf, EFFECTIVE_MAX, "sha256:");
		for (i = 0; i < sizeof(pin->sha256); i++)
			n += snprintf(buf + n, (size_t)(EFFECTIVE_MAX - n), "%02x", h[i]);
		return;
	case PIN_KEY_SHA256:
		n = snprintf(buf, EFFECTIVE_MAX, "sha256//");
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

size_t effective_count(const struct profile *p, enum schema_id id)
{
	const struct schema_key *k = &schema[id];
	uint32_t n;

	if (!k->size)
		return 0;
	if (k->form != FORM_LIST && (k->type == T_PATH || k->type == T_EMAIL))
		return *(const char *)field_of(p, k) != '\0';
	if (k->type == T_ULA)
		return p->ipv6_prefix.addr.family != 0;
	if (k->form != FORM_LIST)
		return 1;
	if (k->type == T_TUN_ADDRESS)
		return (size_t)(p->tun4.family != 0) + (p->tun6.family != 0);
	memcpy(&n, (const char *)p + k->count, sizeof(n));
	return n;
}

char *effective_text(const struct profile *p, enum schema_id id, size_t i, char *buf)
{
	const struct schema_key *k = &schema[id];

	switch ((enum schema_type)k->type) {
	case T_TEXT:
	case T_SERVICE:
	case T_PATH:
	case T_EMAIL:
		snprintf(buf, EFFECTIVE_MAX, "%s", (const char *)field_of(p, k));
		return buf;
	case T_NUMBER:
		snprintf(buf, EFFECTIVE_MAX, "%" PRIu64, number_of(p, k));
		return buf;
	case T_ENUM:
	case T_LOG_LEVEL:
		snprintf(buf, EFFECTIVE_MAX, "%s", word_of(p, k));
		return buf;
	case T_HOST:
		host_text(&p->hosts[i], buf);
		return buf;
	case T_PIN:
		pin_text(&p->pins[i], buf);
		return buf;
	case T_PREFIX:
		prefix_format((const struct prefix *)field_of(p, k) + i, buf);
		return buf;
	case T_PORTS:
		snprintf(buf, EFFECTIVE_MAX, p->ports[i].lo == p->ports[i].hi ? "%u" : "%u-%u",
			 p->ports[i].lo, p->ports[i].hi);
		return buf;
	case T_ADDRESS:
		addr_format(&p->resolvers[i], buf);
		return buf;
	case T_TUN_ADDRESS:
		addr_format(i || !p->tun4.family ? &p->tun6 : &p->tun4, buf);
		return buf;
	case T_DOMAIN:
		snprintf(buf, EFFECTIVE_MAX, "%s", p->search[i]);
		return buf;
	case T_ULA:
		prefix_format(field_of(p, k), buf);
		return buf;
	case T_STRICT_DOMAIN:
	case T_APP:
		break;
	}
	buf[0] = '\0';	/* no key of this type is kept in the record yet */
	return buf;
}

static unsigned int scope_of(const struct profile *p)
{
	return (p->provider == PROVIDER_APP_PROXY ? IN_PROXY : IN_PACKET) |
	       (p->scope == SCOPE_PER_APP ? IN_PER_APP : IN_DEVICE);
}

bool effective_shown(const struct profile *p, const struct origins *o, enum schema_id id)
{
	if (schema[id].state == STATE_REFUSED)
		return false;
	return !schema[id].scope || (schema[id].scope & scope_of(p)) || o->key[id].first;
}

bool effective_works(const struct profile *p, enum schema_id id)
{
	return schema[id].state == STATE_IN_EFFECT &&
	       (!schema[id].scope || (schema[id].scope & scope_of(p)));
}

enum effective_source effective_source(const struct origins *o, enum schema_id id)
{
	const struct schema_key *k = &schema[id];

	if (o->key[id].first)
		return FROM_FILE;
	if (k->fallback_note && !strcmp(k->fallback_note, "Sentry"))
		return FROM_SENTRY;
	return k->fallback || k->fallback_note ? FROM_DEFAULT : FROM_NOWHERE;
}

bool effective_is_bool(enum schema_id id)
{
	return schema[id].type == T_ENUM && !strcmp(schema[id].values[0], "false");
}

static void json_scalar(enum schema_id id, const char *v, struct text *t)
{
	if (schema[id].type == T_NUMBER || effective_is_bool(id))
		text_add(t, v);
	else
		text_json(t, v);
}

void effective_json(const struct profile *p, enum schema_id id, struct text *t)
{
	size_t i, n = effective_count(p, id);
	char buf[EFFECTIVE_MAX];

	/* an empty list and "what Sentry says" are not the same */
	if (!n) {
		text_add(t, "null");
		return;
	}
	if (schema[id].form != FORM_LIST) {
		json_scalar(id, effective_text(p, id, 0, buf), t);
		return;
	}
	text_add(t, "[");
	for (i = 0; i < n; i++) {
		text_add(t, i ? ", " : "");
		json_scalar(id, effective_text(p, id, i, buf), t);
	}
	text_add(t, "]");
}
