/* SPDX-License-Identifier: MIT */
/*
 * ctl_import_android.c - managed configurations in JSON, in the shapes in which
 * consoles and interfaces give them out:
 *   { "KEY": VALUE ... }
 *   { "managedConfiguration": { "KEY": VALUE ... } }
 *   { "applications": [ { "packageName": ..., "managedConfiguration": { ... } } ... ] }
 *   { "managedProperty": [ { "key": "KEY", "valueString": VALUE } ... ] }
 *   { "restrictions": [ { "key": "KEY", "value": VALUE, "defaultValue": VALUE } ... ] }
 *   [ { "key": "KEY", "value": VALUE } ... ]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_import.h"

#define CONFIG	"managedConfiguration"

/* ---- a list of properties to a dictionary --------------------------------------------------- */

static bool is_properties(const struct node *n)
{
	return n && n->kind == NODE_ARRAY && n->first && node_string(n->first, "key");
}

/* The list inside a dictionary that holds nothing but one. */
static struct node *properties_of(const struct node *n)
{
	static const char *const names[] = { "managedProperty", "restrictions", "properties" };
	struct node *list;
	size_t i;

	for (i = 0; i < 3; i++) {
		list = node_get(n, names[i]);
		if (is_properties(list))
			return list;
	}
	return NULL;
}

static struct node *detach(struct node *parent, struct node *child)
{
	struct node **at = &parent->first, *prev = NULL;

	while (*at != child) {
		prev = *at;
		at = &(*at)->next;
	}
	*at = child->next;
	if (parent->last == child)
		parent->last = prev;
	child->next = NULL;
	parent->n--;
	return child;
}

/* What a property is set to; *fallback: there is but a default. */
static struct node *value_of(const struct node *item, bool *fallback)
{
	static const char *const names[] = { "value", "valueString", "valueBool", "valueInteger",
					     "valueStringArray", "valueBundle", "valueBundleArray",
					     "restrictions", "defaultValue" };
	struct node *n;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		n = node_get(item, names[i]);
		if (!n)
			continue;
		*fallback = !strcmp(names[i], "defaultValue");
		return n;
	}
	return NULL;
}

/* Move the value of each property of @list to @flat, under the property's name. */
static void flatten(struct import_result *r, struct node *list, struct node *flat)
{
	struct node *item, *value, *inner;
	const char *key;
	bool fallback;

	for (item = list->first; item; item = item->next) {
		key = node_string(item, "key");
		value = key ? value_of(item, &fallback) : NULL;
		if (!value) {
			import_note(r, IMPORT_NOT_CARRIED, key ? key : "-", key ? "no value" :
				    "an entry without a key");
			continue;
		}
		inner = is_properties(value) ? value : properties_of(value);
		if (inner) {
			flatten(r, inner, flat);
			continue;
		}
		if (fallback)
			import_note(r, IMPORT_REMARK, key, "only the default of the list is "
				    "given; it is taken as the value");
		detach(item, value);
		free(value->key);
		value->key = strdup(key);
		if (!value->key) {
			r->failed = true;
			node_free(value);
			return;
		}
		node_append(flat, value);
	}
}

/* ---- which configuration -------------------------------------------------------------------- */

struct candidates {
	struct node *v[64];
	const char *app[64];		/* package name, or NULL */
	char where[64][IMPORT_WHERE_MAX];
	size_t n;
};

static void candidate(struct candidates *c, struct node *n, const char *app, const char *where)
{
	if (c->n == sizeof(c->v) / sizeof(c->v[0]))
		return;
	c->v[c->n] = n;
	c->app[c->n] = app;
	snprintf(c->where[c->n++], IMPORT_WHERE_MAX, "%s", where);
}

static void collect(struct candidates *c, struct node *root)
{
	struct node *apps = node_get(root, "applications"), *n;
	char where[IMPORT_WHERE_MAX];
	size_t i = 0;

	if (apps && apps->kind == NODE_ARRAY) {
		for (n = apps->first; n; n = n->next) {
			snprintf(where, sizeof(where), "applications[%zu]." CONFIG, ++i);
			if (node_get(n, CONFIG))
				candidate(c, node_get(n, CONFIG), node_string(n, "packageName"),
					  where);
		}
	} else if (node_get(root, CONFIG)) {
		candidate(c, node_get(root, CONFIG), NULL, CONFIG);
	} else if (is_properties(root)) {
		candidate(c, root, NULL, "");
	} else if (properties_of(root)) {
		candidate(c, properties_of(root), NULL, "");
	} else if (root->kind == NODE_DICT) {
		candidate(c, root, NULL, "");
	}
}

/* Is there a key in it that means something to us? */
static bool means_something(const struct node *n)
{
	const struct node *c;

	if (n->kind != NODE_DICT && n->kind != NODE_ARRAY)
		return false;
	for (c = n->first; c; c = c->next) {
		const char *key = n->kind == NODE_DICT ? c->key : node_string(c, "key");

		if ((key && import_knows(key)) || means_something(c))
			return true;
	}
	return false;
}

/* ---- one configuration ---------------------------------------------------------------------- */

static void carry_dict(struct import_result *r, const char *where, struct node *dict)
{
	char place[IMPORT_WHERE_MAX];
	struct node *n;

	for (n = dict->first; n; n = n->next) {
		if (n->used || import_key(r, where, dict, n))
			continue;
		if (n->kind == NODE_DICT)
			carry_dict(r, import_place(where, n->key, place), n);
	}
}

static void carry(struct import_result *r, const char *where, struct node *n)
{
	struct node *list = is_properties(n) ? n : properties_of(n), *flat;

	if (!list) {
		carry_dict(r, where, n);
		import_rest(r, where, n);
		return;
	}
	flat = node_new(NODE_DICT);
	if (!flat) {
		r->failed = true;
		return;
	}
	flatten(r, list, flat);
	carry_dict(r, where, flat);
	import_rest(r, where, flat);
	node_free(flat);
}

int import_android(struct node *root, uint32_t payload, struct import_result *r)
{
	struct candidates c = { .n = 0 };
	const char *first = NULL;
	size_t chosen, i, told;

	collect(&c, root);
	if (payload > c.n)
		return import_refuse(r, "there is no configuration %u; the file has %zu", payload,
				     c.n);
	for (chosen = payload ? payload - 1 : 0; !payload && chosen < c.n; chosen++) {
		if (means_something(c.v[chosen]))
			break;
	}
	if (chosen >= c.n || !means_something(c.v[chosen]))
		return import_refuse(r, "JSON, but no managed configuration of a tunnel: no key "
				     "in it is known");
	snprintf(r->source, sizeof(r->source), "an Android managed configuration, %zu of %zu",
		 chosen + 1, c.n);
	for (i = 0; i < c.n; i++) {
		const char *app = c.app[i] ? c.app[i] : "no name";

		if (i == chosen) {
			told = r->n_notes;
			carry(r, c.where[i], c.v[i]);
			if (r->n_notes > told)
				first = r->notes[told].text;
		} else if (means_something(c.v[i]))
			import_note(r, IMPORT_NOT_CARRIED, c.where[i], "configuration %zu "
				    "(%.100s) is not the one that was taken: --payload %zu takes "
				    "it", i + 1, app, i + 1);
		else
			import_note(r, IMPORT_NOT_CARRIED, c.where[i], "configuration %zu "
				    "(%.100s) is another app's", i + 1, app);
	}
	if (!r->n_values && !r->n_certs)
		return import_refuse(r, "none of its keys can be carried over%s%s", first ? ": " : "",
				     first ? first : "");
	import_provider(r, "ProviderType", false);
	return 0;
}
