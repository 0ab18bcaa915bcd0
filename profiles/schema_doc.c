/* SPDX-License-Identifier: MIT */
/* schema_doc.c - the table of keys in words, and the commented example */
#include "profiles/schema_doc.h"

#include <inttypes.h>
#include <string.h>

static void add_type(const struct schema_key *k, struct text *t)
{
	char words[160];

	switch ((enum schema_type)k->type) {
	case T_TEXT:
		text_addf(t, "a text of %" PRIu64 " to %" PRIu64 " characters", k->min, k->max);
		break;
	case T_NUMBER:
		text_addf(t, "%s%" PRIu64 " to %" PRIu64, k->or_zero ? "0, or " : "", k->min, k->max);
		break;
	case T_ENUM:
		text_add(t, schema_words(k->values, words, sizeof(words)));
		break;
	case T_LOG_LEVEL:
		text_add(t, schema_words(k->values, words, sizeof(words)));
		text_add(t, "; debug may stand before it (debug session)");
		break;
	case T_HOST:
		text_add(t, "NAME, ADDRESS or [IPV6ADDRESS], :PORT may follow (443)");
		break;
	case T_SERVICE:
		text_add(t, "<IP_ANY>, <TCP_ANY>, or a name of 1 to 128 characters without space \\ ; * ? "
			    "< > \" and |");
		break;
	case T_PATH:
		text_add(t, "the path of a PEM file");
		break;
	case T_PIN:
		text_add(t, "the path of a PEM file (its first certificate counts), sha256: and 64 "
			    "hexadecimal digits (hash of the certificate), or sha256// and 44 Base64 "
			    "characters (hash of its public key)");
		break;
	case T_PREFIX:
		text_add(t, "ADDRESS/LENGTH, IPv4 or IPv6");
		break;
	case T_PORTS:
		text_add(t, "PORT or LOW-HIGH, 1 to 65535");
		break;
	case T_ADDRESS:
		text_add(t, "an IPv4 or IPv6 address");
		break;
	case T_TUN_ADDRESS:
		text_add(t, "an address that may stand on an interface");
		break;
	case T_ULA:
		text_add(t, "a prefix inside fc00::/7, /7 to /64");
		break;
	case T_DOMAIN:
		text_add(t, "a domain name; underscores are allowed");
		break;
	case T_STRICT_DOMAIN:
		text_add(t, "a domain name of letters, digits, hyphens and periods");
		break;
	case T_EMAIL:
		text_add(t, "NAME@DOMAIN");
		break;
	case T_APP:
		text_add(t, "/PATH, uid:NAME, unit:NAME.service or cgroup:PATH");
		break;
	}
}

void schema_doc_value(enum schema_id id, struct text *t)
{
	const struct schema_key *k = &schema[id];

	add_type(k, t);
	switch ((enum schema_form)k->form) {
	case FORM_PLAIN:
	case FORM_RULE:
		break;
	case FORM_LIST:
		text_addf(t, "; a list of up to %" PRIu64, k->max);
		break;
	case FORM_RULE_LIST:
		text_addf(t, "; numbered, all conditions of a rule together up to %u",
			  SCHEMA_PAIRS_MAX);
		break;
	}
}

void schema_doc_default(enum schema_id id, struct text *t)
{
	const struct schema_key *k = &schema[id];

	if (id == K_PINS)
		text_add(t, "required unless DisablePinning = true");
	else if (k->required)
		text_add(t, "required");
	else if (k->fallback && *k->fallback)
		text_addf(t, "default %s", k->fallback);
	else if (k->fallback_note && !strcmp(k->fallback_note, "Sentry"))
		text_add(t, "without it, what Sentry says");
	else if (k->fallback_note)
		text_addf(t, "without it: %s", k->fallback_note);
	else
		text_add(t, "no default");
}

const char *schema_doc_scope(enum schema_id id)
{
	switch (schema[id].scope) {
	case 0:
		return NULL;
	case IN_PACKET:
		return "packet-tunnel";
	case IN_PROXY:
		return "app-proxy";
	case IN_DEVICE:
		return "VpnScope = device";
	case IN_PER_APP:
		return "VpnScope = per-app";
	}
	return "VpnScope = per-app or app-proxy";
}

/* ---- the example ------------------------------------------------------------------------------ */

/* What is not built yet of a key, a line. */
static void example_state(const struct schema_key *k, struct text *t)
{
	const char *sep = "";
	unsigned int i;

	switch ((enum schema_state)k->state) {
	case STATE_IN_EFFECT:
		break;
	case STATE_NOT_YET:
		text_add(t, "#   accepted and checked, not in effect yet\n");
		return;
	case STATE_REFUSED:
		text_add(t, "#   refused: not supported yet\n");
		return;
	}
	if (!k->refused_values)
		return;
	text_add(t, "#   refused, not supported yet: ");
	for (i = 0; k->values[i]; i++) {
		if (!(k->refused_values & 1u << i))
			continue;
		text_addf(t, "%s%s", sep, k->values[i]);
		sep = ", ";
	}
	text_add(t, "\n");
}

static void example_key(enum schema_id id, struct text *t)
{
	const struct schema_key *k = &schema[id];
	const char *v = k->example ? k->example : k->fallback ? k->fallback : "";
	bool needed = k->required || id == K_PINS;
	const char *quote = strpbrk(v, ";#") || !*v ? "\"" : "";
	char name[SCHEMA_NAME_MAX];

	text_addf(t, "\n# %s\n#   ", k->help);
	schema_doc_value(id, t);
	text_add(t, "\n#   ");
	schema_doc_default(id, t);
	if (schema_doc_scope(id))
		text_addf(t, "; only with %s", schema_doc_scope(id));
	text_add(t, "\n");
	example_state(k, t);
	schema_name(id, k->form == FORM_RULE || k->form == FORM_RULE_LIST, k->form == FORM_RULE_LIST,
		    name);
	text_addf(t, "%s%s = %s%s%s\n", needed ? "" : "#", name, quote, v, quote);
}

void schema_example(struct text *t)
{
	const char *section = "";
	size_t i;

	text_add(t, "# A profile of AppTunnel with every key that there is.  What is required is filled\n"
		    "# in with examples to be changed; of the rest take the '#' away from what is meant.\n"
		    "# apptunnel profile check FILE says what is missing, apptunnel-profile(5) says more.\n"
		    "#\n"
		    "# A list stands in double quotes with ';' between its values, or on numbered lines:\n"
		    "# IPRoutes.1 = 10.0.0.0/8, IPRoutes.2 = 172.16.0.0/16.  Comments stand on lines of\n"
		    "# their own.  Paths are relative to the folder of the profile.\n");
	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (strcmp(section, schema[i].section) != 0) {
			bool refused = schema_section_refused(schema[i].section);

			section = schema[i].section;
			text_addf(t, "\n%s%s[%s]\n", refused ? "# not supported yet as a whole:\n" : "",
				  refused ? "#" : "", section);
		}
		example_key(i, t);
	}
}
