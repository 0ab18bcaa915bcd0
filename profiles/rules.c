/* SPDX-License-Identifier: MIT */
/* rules.c - the rules between keys */
#include <stdio.h>
#include <string.h>

#include "profiles/lint.h"
#include "profiles/text.h"

static void missing(struct reading *r, enum schema_id id, enum finding_code code,
		    const char *condition)
{
	if (r->key[id].line)
		return;
	finding_add(r->f, code, 0, 0, schema[id].name, "required in [%s]%s: %s",
		    schema[id].section, condition, schema[id].help);
}

static void rule_required(struct reading *r)
{
	unsigned int mode = r->word[K_MODE];
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (schema[i].required && mode != MODE_ACCESS)
			missing(r, i, FC_MISSING, "");
	}
	if (!r->p->pinning_disabled && !(r->key[K_NO_PINNING].line && !r->good[K_NO_PINNING]))
		missing(r, K_PINS, FC_NO_PIN, " unless DisablePinning = true");
	if (mode != MODE_SENTRY) {
		missing(r, K_ACCESS_HOST, FC_ACCESS, " with this ProfileMode");
		missing(r, K_ACCESS_DOMAINS, FC_ACCESS, " with this ProfileMode");
	}
}

static void rule_provider(struct reading *r)
{
	bool proxy = r->word[K_PROVIDER] == PROVIDER_APP_PROXY;
	const struct place *p = &r->key[K_SCOPE];
	bool tcp = !strcmp(r->p->service, "<TCP_ANY>") || text_same(r->p->service, 3, "tcp");

	if (proxy && p->line && r->good[K_SCOPE] && r->word[K_SCOPE] == SCOPE_DEVICE)
		finding_add(r->f, FC_PROXY_DEVICE, p->line, p->column, "VpnScope", "app-proxy serves "
			    "single apps; with ProviderType = app-proxy only per-app is accepted");
	p = &r->key[K_SERVICE];
	if (!p->line || !r->good[K_SERVICE] || tcp == proxy)
		return;
	if (proxy)
		finding_add(r->f, FC_SERVICE_TYPE, p->line, p->column, "ServiceName", "app-proxy needs "
			    "a TCP service: <TCP_ANY>, or a name that begins with TCP");
	else
		finding_add(r->f, FC_SERVICE_TYPE, p->line, p->column, "ServiceName", "packet-tunnel "
			    "needs an IP service: <IP_ANY>, or a name that does not begin with TCP");
}

static void rule_apps(struct reading *r)
{
	const struct place *a = &r->key[K_ALLOWED], *d = &r->key[K_DISALLOWED];
	const struct place *later = a->line > d->line ? a : d;

	if (a->line && d->line)
		finding_add(r->f, FC_APPS_BOTH, later->line, later->column,
			    later == a ? "Allowed" : "Disallowed",
			    "Allowed and Disallowed together; one of the two is accepted");
}

static void rule_ondemand(struct reading *r)
{
	char key[SCHEMA_NAME_MAX];
	uint32_t i;

	for (i = 1; i <= SCHEMA_RULES_MAX; i++) {
		const struct place *p = &r->rule[i];

		if (!p->line)
			continue;
		snprintf(key, sizeof(key), "Rule.%u", i);
		if (!r->rule_action[i])
			finding_add(r->f, FC_RULE, p->line, p->column, key, "the rule has no Action; "
				    "Rule.%u.Action = connect or disconnect is needed", i);
		if (!r->rule_pairs[i])
			finding_add(r->f, FC_RULE, p->line, p->column, key, "the rule matches nothing; "
				    "at least one SSID.1, Interface.1 or DnsDomain.1 is needed");
		if (r->rule_pairs[i] > SCHEMA_PAIRS_MAX)
			finding_add(r->f, FC_TOO_MANY_VALUES, p->line, p->column, key, "the rule has "
				    "%u of SSID, Interface and DnsDomain together; at most %u are "
				    "accepted", r->rule_pairs[i], SCHEMA_PAIRS_MAX);
	}
}

static const char *scope_words(unsigned int scope)
{
	if (scope == IN_PACKET)
		return "with ProviderType = packet-tunnel";
	if (scope == IN_DEVICE)
		return "with VpnScope = device";
	if (scope == IN_PER_APP)
		return "with VpnScope = per-app";
	return "with VpnScope = per-app or ProviderType = app-proxy";
}

/* Keys without effect: out of scope, not built yet, refused as a whole. */
static void rule_effect(struct reading *r)
{
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		const struct schema_key *k = &schema[i];
		const struct place *p = &r->key[i];

		if (!p->line)
			continue;
		if (k->scope && !(k->scope & r->scope)) {
			finding_add(r->f, FC_OUT_OF_SCOPE, p->line, p->column, k->name,
				    "has no effect in this profile; it is for profiles %s",
				    scope_words(k->scope));
			continue;
		}
		switch ((enum schema_state)k->state) {
		case STATE_IN_EFFECT:
			break;
		case STATE_NOT_YET:
			finding_add(r->f, FC_NOT_YET, p->line, p->column, k->name,
				    "accepted, but not in effect yet");
			break;
		case STATE_REFUSED:
			if (!schema_section_refused(k->section))
				finding_add(r->f, FC_KEY_UNSUPPORTED, p->line, p->column, k->name,
					    "not supported yet; leave the key out");
			break;
		}
	}
}

void lint_rules(struct reading *r)
{
	rule_required(r);
	rule_provider(r);
	rule_apps(r);
	rule_ondemand(r);
	rule_effect(r);
}
