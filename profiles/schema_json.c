/* SPDX-License-Identifier: MIT */
/*
 * schema_json.c - JSON Schema of `profile show --json`, from the table of keys.
 * The types are those of the values as they are shown: paths absolute, hosts
 * with their port, prefixes without host bits.
 */
#include <inttypes.h>
#include <string.h>

#include "profiles/effective.h"
#include "profiles/schema_doc.h"

#define RE_IPV4		"[0-9]{1,3}([.][0-9]{1,3}){3}"
#define RE_IPV6		"[0-9a-f:]*:[0-9a-f:]*([0-9]{1,3}([.][0-9]{1,3}){3})?"

/* What the text of one element looks like; NULL: anything. */
static const char *pattern_of(const struct schema_key *k)
{
	switch ((enum schema_type)k->type) {
	case T_HOST:
		return "^([A-Za-z0-9][A-Za-z0-9.-]*|\\[[0-9A-Fa-f:.]+\\]):[1-9][0-9]{0,4}$";
	case T_SERVICE:
		return "^(<(IP|TCP)_ANY>|[^\\s\\\\;*?<>\"|]+)$";
	case T_PATH:
		return "^/";
	case T_PIN:
		return "^(/.+|sha256:[0-9a-f]{64}|sha256//[A-Za-z0-9+/]{43}=)$";
	case T_PREFIX:
		return "^(" RE_IPV4 "/([12]?[0-9]|3[0-2])|" RE_IPV6 "/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$";
	case T_PORTS:
		return "^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$";
	case T_ADDRESS:
	case T_TUN_ADDRESS:
		return "^(" RE_IPV4 "|" RE_IPV6 ")$";
	case T_ULA:
		return "^f[cd][0-9a-f:]*/([7-9]|[1-5][0-9]|6[0-4])$";
	case T_DOMAIN:
		return "^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$";
	case T_STRICT_DOMAIN:
		return "^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$";
	case T_EMAIL:
		return "^[^@\\s]{1,64}@[A-Za-z0-9.-]{1,253}$";
	case T_APP:
		return "^(/|uid:|unit:|cgroup:).";
	case T_TEXT:
	case T_NUMBER:
	case T_ENUM:
	case T_LOG_LEVEL:
		return NULL;
	}
	return NULL;
}

static void add_words(const struct schema_key *k, bool nullable, struct text *t)
{
	const char *sep = "";
	unsigned int i;

	text_add(t, "\"enum\": [");
	for (i = 0; k->values[i]; i++) {
		/* a valid profile cannot hold what is refused */
		if (k->refused_values & 1u << i)
			continue;
		text_add(t, sep);
		text_json(t, k->values[i]);
		sep = ", ";
	}
	text_add(t, nullable ? ", null]" : "]");
}

/* The keywords of one element. */
static void add_element(enum schema_id id, bool nullable, struct text *t)
{
	const struct schema_key *k = &schema[id];
	const char *type = nullable ? "[\"string\", \"null\"]" : "\"string\"";

	switch ((enum schema_type)k->type) {
	case T_NUMBER:
		if (k->or_zero)
			text_addf(t, "\"anyOf\": [{\"const\": 0}, {\"type\": \"integer\", \"minimum\": %"
				  PRIu64 ", \"maximum\": %" PRIu64 "}]", k->min, k->max);
		else
			text_addf(t, "\"type\": \"integer\", \"minimum\": %" PRIu64 ", \"maximum\": %"
				  PRIu64, k->min, k->max);
		return;
	case T_ENUM:
	case T_LOG_LEVEL:
		if (!effective_is_bool(id))
			add_words(k, nullable, t);
		else if (k->refused_values)
			text_addf(t, "\"const\": %s", k->refused_values & 1u ? "true" : "false");
		else
			text_add(t, "\"type\": \"boolean\"");
		return;
	case T_TEXT:
	case T_SERVICE:
		text_addf(t, "\"type\": %s, \"minLength\": %" PRIu64 ", \"maxLength\": %" PRIu64, type,
			  k->min, k->max);
		break;
	case T_HOST:
	case T_PATH:
	case T_PIN:
	case T_PREFIX:
	case T_PORTS:
	case T_ADDRESS:
	case T_TUN_ADDRESS:
	case T_ULA:
	case T_DOMAIN:
	case T_STRICT_DOMAIN:
	case T_EMAIL:
	case T_APP:
		text_addf(t, "\"type\": %s", type);
		break;
	}
	if (pattern_of(k)) {
		text_add(t, ", \"pattern\": ");
		text_json(t, pattern_of(k));
	}
}

static void add_value(enum schema_id id, struct text *t)
{
	const struct schema_key *k = &schema[id];
	bool nullable = !k->required && !k->fallback && id != K_NAME;

	if (k->form != FORM_LIST) {
		add_element(id, nullable, t);
		return;
	}
	text_addf(t, "\"type\": %s, \"minItems\": 1, \"maxItems\": %" PRIu64 ", \"items\": {",
		  nullable ? "[\"array\", \"null\"]" : "\"array\"", k->max);
	add_element(id, false, t);
	text_add(t, "}");
}

static void add_key(enum schema_id id, struct text *t)
{
	const struct schema_key *k = &schema[id];

	text_add(t, "{\n        \"type\": \"object\", \"description\": ");
	text_json(t, k->help);
	text_addf(t, ",\n        \"properties\": {\n"
		  "          \"section\": {\"const\": \"%s\"}, \"key\": {\"const\": \"%s\"},\n"
		  "          \"value\": {", k->section, k->name);
	add_value(id, t);
	text_add(t, "},\n          \"origin\": {\"$ref\": \"#/$defs/origin\"}, \"in_effect\": ");
	text_add(t, k->state != STATE_IN_EFFECT ? "{\"const\": false}" :
		    k->scope ? "{\"type\": \"boolean\"}" : "{\"const\": true}");
	text_add(t, "\n        },\n        \"required\": [\"section\", \"key\", \"value\", \"origin\", "
		    "\"in_effect\"], \"additionalProperties\": false\n      }");
}

void schema_json(struct text *t)
{
	bool first = true;
	size_t i;

	text_add(t, "{\n"
		    "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
		    "  \"title\": \"apptunnel profile show --json\",\n"
		    "  \"type\": \"object\",\n"
		    "  \"properties\": {\n"
		    "    \"version\": {\"const\": 1},\n"
		    "    \"profile\": {\"type\": \"string\", \"pattern\": \"^[A-Za-z0-9_-]{1,32}$\"},\n"
		    "    \"file\": {\"type\": \"string\"},\n"
		    "    \"keys\": {\n"
		    "      \"type\": \"array\",\n"
		    "      \"items\": {\"anyOf\": [");
	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (schema[i].state == STATE_REFUSED)
			continue;
		text_add(t, first ? "" : ", ");
		first = false;
		add_key(i, t);
	}
	/* what is required is always shown */
	text_add(t, "]},\n      \"allOf\": [");
	first = true;
	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (!schema[i].required)
			continue;
		text_addf(t, "%s\n        {\"contains\": {\"properties\": {\"section\": {\"const\": \"%s\"}, "
			  "\"key\": {\"const\": \"%s\"}}}}", first ? "" : ",", schema[i].section,
			  schema[i].name);
		first = false;
	}
	text_add(t, "\n      ]\n    }\n  },\n"
		    "  \"required\": [\"version\", \"profile\", \"file\", \"keys\"],\n"
		    "  \"additionalProperties\": false,\n"
		    "  \"$defs\": {\n"
		    "    \"origin\": {\n"
		    "      \"type\": \"object\",\n"
		    "      \"properties\": {\n"
		    "        \"kind\": {\"enum\": [\"file\", \"default\", \"sentry\", \"none\"]},\n"
		    "        \"line\": {\"type\": \"integer\", \"minimum\": 1},\n"
		    "        \"last\": {\"type\": \"integer\", \"minimum\": 1}\n"
		    "      },\n"
		    "      \"required\": [\"kind\"], \"additionalProperties\": false,\n"
		    "      \"if\": {\"properties\": {\"kind\": {\"const\": \"file\"}}},\n"
		    "      \"then\": {\"required\": [\"line\", \"last\"]},\n"
		    "      \"else\": {\"maxProperties\": 1}\n"
		    "    }\n"
		    "  }\n"
		    "}\n");
}
