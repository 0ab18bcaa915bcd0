/* SPDX-License-Identifier: MIT */
/* ctl_import_ondemand.c - OnDemandRules: a rule is carried whole, or left out whole */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_import.h"
#include "client/ctl_import_apple.h"

struct pair {
	enum schema_id id;
	const char *text;
};

struct rule {
	const char *action;	/* of ours; NULL: none fits */
	struct pair pairs[SCHEMA_PAIRS_MAX];
	size_t n;
	bool conditions;	/* there is a key that is a condition */
	char why[IMPORT_TEXT_MAX];	/* why it is left out; "": it is not */
};

static bool left_out(struct rule *rule, const char *key, const char *why)
{
	if (!rule->why[0])
		snprintf(rule->why, sizeof(rule->why), "%.60s: %.400s", key, why);
	return false;
}

static const char *interface_word(const char *s)
{
	static const char *const words[] = { "wifi", "ethernet", "cellular" };
	size_t i;

	for (i = 0; i < 3; i++) {
		if (text_same(s, strlen(s), words[i]))
			return words[i];
	}
	return s;
}

static bool take_pair(struct rule *rule, enum schema_id id, const char *key, const char *s)
{
	char why[IMPORT_TEXT_MAX];

	if (rule->n == SCHEMA_PAIRS_MAX)
		return left_out(rule, key, "more than 50 conditions");
	if (id == K_RULE_INTERFACE)
		s = interface_word(s);
	if (id == K_RULE_SSID && strlen(s) > SCHEMA_SSID_MAX)
		return left_out(rule, key, "longer than the 32 bytes that a network's name can "
				"have");
	if (!import_check(id, s, strlen(s), why))
		return left_out(rule, key, why);
	rule->pairs[rule->n++] = (struct pair){ id, s };
	return true;
}

static bool take_condition(struct rule *rule, enum schema_id id, const struct node *n)
{
	const struct node *item;

	if (n->kind == NODE_STRING)
		return take_pair(rule, id, n->key, n->s);
	if (n->kind != NODE_ARRAY || !n->first)
		return left_out(rule, n->key, "a list with an entry is accepted");
	for (item = n->first; item; item = item->next) {
		if (item->kind != NODE_STRING)
			return left_out(rule, n->key, "a list of texts is accepted");
		if (!take_pair(rule, id, n->key, item->s))
			return false;
	}
	return true;
}

static void read_action(struct rule *rule, const struct node *n)
{
	static const char *const words[] = { "connect", "disconnect", "ignore" };
	size_t i;

	for (i = 0; n->kind == NODE_STRING && i < 3; i++) {
		if (text_same(n->s, n->n, words[i]))
			rule->action = words[i];
	}
	if (!rule->action && !rule->why[0])
		snprintf(rule->why, sizeof(rule->why), "Action %.60s: there are Connect and "
			 "Disconnect here", n->kind == NODE_STRING ? n->s : "of a wrong type");
}

static void read_rule(struct rule *rule, const struct node *dict)
{
	static const struct { const char *key; enum schema_id id; } conditions[] = {
		{ "SSIDMatch", K_RULE_SSID }, { "InterfaceTypeMatch", K_RULE_INTERFACE },
		{ "DNSDomainMatch", K_RULE_DOMAIN },
	};
	const struct node *n;
	size_t i;

	if (dict->kind != NODE_DICT) {
		left_out(rule, "the rule", "a dictionary is accepted");
		return;
	}
	for (n = dict->first; n; n = n->next) {
		if (!strcmp(n->key, "Action")) {
			read_action(rule, n);
			continue;
		}
		if (!strcmp(n->key, "ActionParameters"))
			continue;	/* of an action that there is not here */
		rule->conditions = true;
		for (i = 0; i < 3 && strcmp(n->key, conditions[i].key) != 0; i++)
			;
		if (i < 3)
			take_condition(rule, conditions[i].id, n);
		else
			left_out(rule, n->key, "a condition that there is not here");
	}
	if (!rule->action && !rule->why[0])
		left_out(rule, "Action", "missing");
	if (!rule->why[0] && rule->conditions && !strcmp(rule->action, "ignore"))
		left_out(rule, "Action Ignore", "a rule connects or disconnects here");
}

static void write_rule(struct import_result *r, const struct rule *rule, uint32_t number,
		       const char *where)
{
	size_t i;

	import_value(r, K_RULE_ACTION, number, rule->action, where);
	for (i = 0; i < rule->n; i++)
		import_value(r, rule->pairs[i].id, number, rule->pairs[i].text, where);
}

/*
 * The rule without a condition is the default; what follows it is never looked
 * at.  Return: the default was found, and nothing stands in its place
 */
static bool carry_rules(struct import_result *r, const char *where, struct node *rules)
{
	char place[IMPORT_WHERE_MAX], name[32];
	struct node *n;
	uint32_t number = 0;
	bool ended = false;
	size_t i = 0;

	for (n = rules->first; n; n = n->next) {
		struct rule rule = { 0 };

		snprintf(name, sizeof(name), "%zu", ++i);
		import_place(where, name, place);
		node_use(n);
		if (ended) {
			import_note(r, IMPORT_NOT_CARRIED, place, "the rule stands behind one "
				    "that always matches, and is never reached");
			continue;
		}
		read_rule(&rule, n);
		/* also where it could not be carried: it is the one that always matches */
		ended = !rule.conditions && n->kind == NODE_DICT;
		if (rule.why[0])
			import_note(r, IMPORT_NOT_CARRIED, place, "the rule is left out whole: %s",
				    rule.why);
		else if (ended)
			import_value(r, K_DEFAULT_ACTION, 0, rule.action, place);
		else if (number == SCHEMA_RULES_MAX)
			import_note(r, IMPORT_NOT_CARRIED, place, "the rule is left out: a "
				    "profile has at most %u", SCHEMA_RULES_MAX);
		else
			write_rule(r, &rule, ++number, place);
	}
	rules->used = true;
	return ended;
}

static void list_rules(struct import_result *r, const char *where, struct node *rules)
{
	char place[IMPORT_WHERE_MAX], name[32];
	struct node *n;
	size_t i = 0;

	for (n = rules->first; n; n = n->next) {
		const char *action = node_string(n, "Action");

		snprintf(name, sizeof(name), "%zu", ++i);
		import_note(r, IMPORT_NOT_CARRIED, import_place(where, name, place),
			    "a rule (%.60s) that is switched off: OnDemandEnabled is not set",
			    action ? action : "no Action");
	}
	node_use(rules);
}

void import_ondemand(struct import_result *r, const char *where, struct node *vpn,
		     struct node *payload)
{
	struct node *enabled = node_get(vpn, "OnDemandEnabled"), *rules;
	struct node *by_app = node_get(payload, "OnDemandMatchAppEnabled");
	char place[IMPORT_WHERE_MAX];
	bool on, ended = false;

	if (!enabled)
		enabled = node_get(payload, "OnDemandEnabled");
	rules = node_get(vpn, "OnDemandRules");
	import_place(where, "VPN.OnDemandRules", place);
	if (!rules) {
		rules = node_get(payload, "OnDemandRules");
		import_place(where, "OnDemandRules", place);
	}
	on = node_truth(enabled) == 1 || (!enabled && node_truth(by_app) == 1 && rules);
	node_use(enabled);
	if (rules && rules->kind != NODE_ARRAY) {
		import_note(r, IMPORT_NOT_CARRIED, place, "%s, where a list is accepted",
			    node_what(rules));
		node_use(rules);
		rules = NULL;
	}
	if (rules && !on)
		list_rules(r, place, rules);
	else if (rules)
		ended = carry_rules(r, place, rules);
	if (on && !ended) {
		import_value(r, K_DEFAULT_ACTION, 0, "connect", place);
		import_note(r, IMPORT_DEFAULT, place, "no rule that always matches; DefaultAction "
			    "= connect is written, which is the vendor's default");
	}
}
