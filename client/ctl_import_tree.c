/* SPDX-License-Identifier: MIT */
/* ctl_import_tree.c - the tree that a file becomes, and the result that grows beside it */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_import.h"
#include "profiles/array.h"

/* ---- the tree ------------------------------------------------------------------------------- */

struct node *node_new(enum node_kind kind)
{
	struct node *n = calloc(1, sizeof(*n));

	if (n)
		n->kind = kind;
	return n;
}

/* The tree is at most IMPORT_DEPTH_MAX deep: so is this. */
void node_free(struct node *n)
{
	while (n) {
		struct node *next = n->next;

		node_free(n->first);
		free(n->key);
		free(n->s);
		free(n);
		n = next;
	}
}

void node_append(struct node *parent, struct node *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->n++;
}

static char *copy_text(const char *s, size_t len)
{
	size_t i, k;
	char *to;

	for (i = 0; i < len; i += k) {
		k = text_utf8(s + i, len - i);
		if (!k || !s[i])
			return NULL;
	}
	to = malloc(len + 1);
	if (!to)
		return NULL;
	memcpy(to, s, len);
	to[len] = '\0';
	return to;
}

bool node_set_string(struct node *n, const char *s, size_t len)
{
	n->s = copy_text(s, len);
	n->n = len;
	return n->s;
}

bool node_set_key(struct node *n, const char *s, size_t len)
{
	n->key = copy_text(s, len);
	return n->key;
}

bool node_set_data(struct node *n, const void *s, size_t len)
{
	n->s = malloc(len + 1);
	if (!n->s)
		return false;
	if (len)
		memcpy(n->s, s, len);
	n->s[len] = '\0';
	n->n = len;
	return true;
}

struct node *node_get(const struct node *n, const char *key)
{
	struct node *c;

	if (!n || n->kind != NODE_DICT)
		return NULL;
	for (c = n->first; c; c = c->next) {
		if (!strcmp(c->key, key))
			return c;
	}
	return NULL;
}

const char *node_string(const struct node *n, const char *key)
{
	const struct node *c = node_get(n, key);

	return c && c->kind == NODE_STRING ? c->s : NULL;
}

void node_use(struct node *n)
{
	struct node *c;

	if (!n)
		return;
	n->used = true;
	if (n->kind != NODE_DICT && n->kind != NODE_ARRAY)
		return;
	for (c = n->first; c; c = c->next)
		node_use(c);
}

int node_truth(const struct node *n)
{
	if (!n)
		return -1;
	if (n->kind == NODE_BOOL || (n->kind == NODE_INT && (n->i == 0 || n->i == 1)))
		return (int)n->i;
	if (n->kind != NODE_STRING)
		return -1;
	if (text_same(n->s, n->n, "true"))
		return 1;
	return text_same(n->s, n->n, "false") ? 0 : -1;
}

const char *node_what(const struct node *n)
{
	switch (n->kind) {
	case NODE_DICT:
		return "a dictionary";
	case NODE_ARRAY:
		return "a list";
	case NODE_STRING:
		return "a text";
	case NODE_INT:
		return "a number";
	case NODE_REAL:
		return "a number with a fraction";
	case NODE_BOOL:
		return "true or false";
	case NODE_DATA:
		return "binary data";
	case NODE_NULL:
		return "nothing";
	case NODE_OTHER:
		break;
	}
	return "a date or the like";
}

/* ---- the result ----------------------------------------------------------------------------- */

void import_free(struct import_result *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->n_notes; i++) {
		free(r->notes[i].where);
		free(r->notes[i].text);
	}
	for (i = 0; i < r->n_values; i++) {
		free(r->values[i].text);
		free(r->values[i].where);
	}
	for (i = 0; i < r->n_certs; i++) {
		free(r->certs[i].pem);
		free(r->certs[i].where);
	}
	free(r->notes);
	free(r->values);
	*r = (struct import_result){ 0 };
}

/* What comes out of a file goes to a terminal: one line, no control characters. */
static void clean(char *s)
{
	size_t i, k, n = strlen(s);

	for (i = 0; i < n; i += k) {
		unsigned char c = (unsigned char)s[i];

		k = text_utf8(s + i, n - i);
		if (!k || c < 0x20 || c == 0x7f) {
			s[i] = '?';
			k = 1;
		} else if (c == 0xc2 && (unsigned char)s[i + 1] < 0xa0) {
			s[i] = s[i + 1] = '?';
		}
	}
}

/* Cut at @max bytes, but not inside a character. */
static char *copy_cut(const char *s, size_t max)
{
	size_t n = strlen(s);
	char *to;

	if (n >= max) {
		n = max - 1;
		while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
			n--;
	}
	to = malloc(n + 1);
	if (!to)
		return NULL;
	memcpy(to, s, n);
	to[n] = '\0';
	clean(to);
	return to;
}

void import_note(struct import_result *r, enum import_note_kind kind, const char *where,
		 const char *fmt, ...)
{
	char text[IMPORT_TEXT_MAX];
	struct import_note *note;
	va_list ap;

	if (r->n_notes > IMPORT_NOTES_MAX)
		return;
	if (!array_room(&r->notes, &r->cap_notes, r->n_notes, sizeof(*r->notes))) {
		r->failed = true;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->n_notes == IMPORT_NOTES_MAX) {
		kind = IMPORT_REMARK;
		where = "-";
		snprintf(text, sizeof(text), "the list ends here; there is more that was not "
			 "carried");
	}
	note = &r->notes[r->n_notes];
	*note = (struct import_note){ kind, copy_cut(where && *where ? where : "-",
						     IMPORT_WHERE_MAX),
				      copy_cut(text, sizeof(text)) };
	r->n_notes++;
	if (!note->where || !note->text)
		r->failed = true;
}

void import_value(struct import_result *r, enum schema_id id, uint32_t rule, const char *text,
		  const char *where)
{
	struct import_value *v;

	if (r->n_values == IMPORT_VALUES_MAX) {
		import_note(r, IMPORT_NOT_CARRIED, where, "more than %u values", IMPORT_VALUES_MAX);
		return;
	}
	if (!array_room(&r->values, &r->cap_values, r->n_values, sizeof(*r->values))) {
		r->failed = true;
		return;
	}
	v = &r->values[r->n_values];
	*v = (struct import_value){ id, rule, strdup(text), copy_cut(where, IMPORT_WHERE_MAX) };
	r->n_values++;
	if (!v->text || !v->where)
		r->failed = true;
}

void import_cert(struct import_result *r, bool ca, char *pem, const uint8_t *sha256,
		 const char *where)
{
	struct import_cert *c = &r->certs[r->n_certs];

	if (r->n_certs == IMPORT_CERTS_MAX) {
		free(pem);
		import_note(r, IMPORT_NOT_CARRIED, where, "more than %u certificates",
			    IMPORT_CERTS_MAX);
		return;
	}
	*c = (struct import_cert){ .ca = ca, .pem = pem,
				   .where = copy_cut(where, IMPORT_WHERE_MAX) };
	memcpy(c->sha256, sha256, sizeof(c->sha256));
	r->n_certs++;
	if (!c->where)
		r->failed = true;
}

bool import_has(const struct import_result *r, enum schema_id id)
{
	size_t i;

	for (i = 0; i < r->n_values; i++) {
		if (r->values[i].id == id)
			return true;
	}
	return false;
}

int import_refuse(struct import_result *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	clean(r->why);
	return -EBADMSG;
}

const char *import_word(enum import_note_kind kind, bool json)
{
	switch (kind) {
	case IMPORT_NOT_CARRIED:
		return json ? "not-carried" : "not carried";
	case IMPORT_CHANGED:
		return "changed";
	case IMPORT_DEFAULT:
		return "default";
	case IMPORT_MISSING:
		return json ? "missing" : "to fill in";
	case IMPORT_UNSUPPORTED:
		return json ? "unsupported" : "carried, but";
	case IMPORT_REMARK:
	case IMPORT_NOTE_KINDS:
		break;
	}
	return "note";
}

char *import_place(const char *where, const char *key, char *buf)
{
	snprintf(buf, IMPORT_WHERE_MAX, "%s%s%s", where, *where ? "." : "", key);
	return buf;
}
