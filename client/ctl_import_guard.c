/* SPDX-License-Identifier: MIT */
/*
 * ctl_import_guard.c - a look at a file before a library reads it.
 *
 * libplist (2.2) knows no entities but the five of XML and fetches nothing, but
 * it skips a document type's own declarations instead of refusing them, follows
 * nesting as deep as it goes, and reads an object of a binary list anew each
 * time it is referred to: a few hundred bytes can become gigabytes.  So the
 * shape is judged here first; each scan errs towards refusing, never towards
 * seeing less than the library will.
 */
#define _GNU_SOURCE
#include <string.h>

#include "client/ctl_import.h"

#define TOO_DEEP	"nested more than 32 levels deep"
#define TOO_MANY	"more than 20,000 elements"
_Static_assert(IMPORT_DEPTH_MAX == 32 && IMPORT_NODES_MAX == 20000, "the sentences say so");

/* ---- text in general ------------------------------------------------------------------------ */

static const char *guard_text(const char *s, size_t n)
{
	size_t i, k;

	for (i = 0; i < n; i += k) {
		k = text_utf8(s + i, n - i);
		if (!k)
			return "text that is not UTF-8";
		if (!s[i])
			return "a NUL byte (only UTF-8 is read)";
	}
	return NULL;
}

/* ---- XML ------------------------------------------------------------------------------------ */

struct xml {
	const char *p, *end;
	unsigned int depth, count;
	bool doctype, root;
};

static bool starts(const struct xml *x, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(x->end - x->p) >= n && !memcmp(x->p, word, n);
}

/* Behind @skip bytes, go behind the next @word.  Return: false: there is none */
static bool skip_past(struct xml *x, size_t skip, const char *word)
{
	const char *at = memmem(x->p + skip, (size_t)(x->end - x->p) - skip, word, strlen(word));

	if (!at)
		return false;
	x->p = at + strlen(word);
	return true;
}

/* A "?>" in quotes is the end for one reader and not for another: there may be none. */
static const char *xml_instruction(struct xml *x)
{
	const char *p = x->p + 1;
	bool quoted = false;

	if (!skip_past(x, 1, "?>"))
		return "a processing instruction without end";
	for (; p < x->p - 2; p++) {
		if (*p == '<')
			return "a processing instruction with a < inside";
		quoted ^= *p == '"';
	}
	return quoted ? "a processing instruction with a quote that does not end" : NULL;
}

/*
 * From '<' behind the '>'.  Whatever a reader holds to be quoted, it must come
 * to the same '>': so there is no other, and no '<', nor "'" before it.
 */
static const char *xml_tag(struct xml *x, bool *empty, bool *quoted)
{
	const char *p = x->p + 1;

	*quoted = false;
	for (; p < x->end && *p != '>'; p++) {
		if (*p == '<' || *p == '\'')
			return "a tag with a < or ' inside";
		if (*p == '"')
			*quoted = !*quoted;
	}
	if (p == x->end)
		return "a tag without end";
	if (*quoted)
		return "a tag with a quote that does not end, or with a > inside";
	*empty = p[-1] == '/';
	x->p = p + 1;
	return NULL;
}

static const char *xml_doctype(struct xml *x)
{
	const char *p;
	bool empty, quoted;

	if (x->doctype || x->root)
		return "a document type in the wrong place";
	x->doctype = true;
	for (p = x->p; p < x->end && *p != '>'; p++) {
		if (*p == '[')
			return "a document type with declarations of its own; entities are not "
			"accepted";
	}
	return xml_tag(x, &empty, &quoted);
}

static const char *xml_element(struct xml *x)
{
	const char *start = x->p, *why;
	bool empty, quoted;

	why = xml_tag(x, &empty, &quoted);
	if (why)
		return why;
	if (start[1] == '/') {
		if (!x->depth)
			return "an end tag without its beginning";
		x->depth--;
		return NULL;
	}
	x->root = true;
	if (++x->count > IMPORT_NODES_MAX)
		return TOO_MANY;
	/* plist and the element itself are not nesting that anybody wrote */
	if (!empty && ++x->depth > IMPORT_DEPTH_MAX + 2)
		return TOO_DEEP;
	return NULL;
}

static const char *xml_entity(struct xml *x)
{
	static const char *const known[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#" };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (starts(x, known[i])) {
			x->p += strlen(known[i]);
			return NULL;
		}
	}
	return "an entity other than the five of XML";
}

const char *guard_xml(const char *s, size_t n)
{
	struct xml x = { .p = s, .end = s + n };
	const char *why = guard_text(s, n);

	while (!why && x.p < x.end) {
		if (*x.p == '&')
			why = xml_entity(&x);
		else if (*x.p != '<')
			x.p++;
		else if (starts(&x, "<!--"))
			why = skip_past(&x, 4, "-->") ? NULL : "a comment without end";
		else if (starts(&x, "<![CDATA["))
			why = skip_past(&x, 9, "]]>") ? NULL : "a CDATA section without end";
		else if (starts(&x, "<!DOCTYPE"))
			why = xml_doctype(&x);
		else if (starts(&x, "<!"))
			why = "a declaration inside the document; entities are not accepted";
		else if (starts(&x, "<?"))
			why = xml_instruction(&x);
		else
			why = xml_element(&x);
	}
	if (!why && x.depth)
		why = "cut off: an element does not end";
	return why;
}

/* ---- binary property lists ------------------------------------------------------------------ */

#define TRAILER		32u
#define MAGIC		8u

static const char outside[] = "an object that ends outside the file";

struct bin {
	const uint8_t *s;
	size_t table;			/* objects end where the table of offsets begins */
	unsigned int offset_size, ref_size;
	uint64_t n_objects;
	unsigned int count;
	size_t bytes;
};

static uint64_t be(const uint8_t *s, unsigned int n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *s++;
	return v;
}

/* The count of an object: in its marker, or in the integer that follows. */
static bool bin_length(const struct bin *b, size_t *at, uint64_t *len)
{
	unsigned int size;

	*len = b->s[(*at)++] & 0x0f;
	if (*len != 0x0f)
		return true;
	if (*at >= b->table || (b->s[*at] & 0xf0) != 0x10 || (b->s[*at] & 0x0f) > 3)
		return false;
	size = 1u << (b->s[(*at)++] & 0x0f);
	if (b->table - *at < size)
		return false;
	*len = be(b->s + *at, size);
	*at += size;
	return true;
}

static const char *bin_object(struct bin *b, uint64_t index, unsigned int depth);

static const char *bin_children(struct bin *b, size_t at, uint64_t n, unsigned int depth)
{
	const char *why = NULL;
	uint64_t i;

	if (depth >= IMPORT_DEPTH_MAX)
		return TOO_DEEP;
	if (n > IMPORT_NODES_MAX)
		return TOO_MANY;
	if (n * b->ref_size > b->table - at)
		return "a list that ends outside the file";
	for (i = 0; i < n && !why; i++)
		why = bin_object(b, be(b->s + at + i * b->ref_size, b->ref_size), depth + 1);
	return why;
}

/*
 * Data (@unit 0), or a text of characters of @unit bytes: the library asserts
 * that there is no NUL in one.
 */
static const char *bin_bytes(struct bin *b, size_t at, unsigned int unit)
{
	size_t size = unit ? unit : 1, i;
	uint64_t len;

	if (!bin_length(b, &at, &len) || len > (b->table - at) / size)
		return outside;
	for (i = 0; unit && i < len; i++) {
		if (!b->s[at + i * size] && !b->s[at + i * size + size - 1])
			return "a NUL in a text";
	}
	b->bytes += (size_t)len * size;
	return b->bytes > IMPORT_BYTES_MAX ? "more than 4 MiB of text" : NULL;
}

static const char *bin_object(struct bin *b, uint64_t index, unsigned int depth)
{
	uint64_t offset, len;
	size_t at;

	if (++b->count > IMPORT_NODES_MAX)
		return TOO_MANY;
	if (index >= b->n_objects)
		return "a reference to an object that is not there";
	offset = be(b->s + b->table + index * b->offset_size, b->offset_size);
	if (offset < MAGIC || offset >= b->table)
		return "an object outside the file";
	at = (size_t)offset;
	switch (b->s[at] & 0xf0) {
	case 0x00:
		return NULL;
	case 0x10:
	case 0x20:
	case 0x30:
		len = b->s[at++] & 0x0f;
		return len > 4 || b->table - at < 1u << len ? outside : NULL;
	case 0x80:
		len = (b->s[at++] & 0x0fu) + 1;
		return b->table - at < len ? outside : NULL;
	case 0x40:
		return bin_bytes(b, at, 0);
	case 0x50:
		return bin_bytes(b, at, 1);
	case 0x60:
		return bin_bytes(b, at, 2);
	case 0xa0:
	case 0xc0:
		if (!bin_length(b, &at, &len))
			return outside;
		return bin_children(b, at, len, depth);
	case 0xd0:
		if (!bin_length(b, &at, &len))
			return outside;
		if (len > IMPORT_NODES_MAX)
			return TOO_MANY;
		return bin_children(b, at, len * 2, depth);
	}
	return "an object of an unknown kind";
}

const char *guard_binary(const uint8_t *s, size_t n)
{
	struct bin b = { .s = s };
	uint64_t table, root;
	const uint8_t *t;

	if (n < MAGIC + 1 + TRAILER)
		return "too short";
	if (memcmp(s, "bplist00", MAGIC) != 0)
		return "not version 00 of the format";
	t = s + n - TRAILER;
	b.offset_size = t[6];
	b.ref_size = t[7];
	b.n_objects = be(t + 8, 8);
	root = be(t + 16, 8);
	table = be(t + 24, 8);
	if (!b.offset_size || b.offset_size > 8 || !b.ref_size || b.ref_size > 8)
		return "offsets of an impossible size";
	if (table < MAGIC + 1 || table > n - TRAILER)
		return "its table of objects is outside the file";
	if (b.n_objects > (n - TRAILER - table) / b.offset_size)
		return "more objects than its table has";
	b.table = (size_t)table;
	return bin_object(&b, root, 0);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

const char *guard_json(const char *s, size_t n)
{
	unsigned int depth = 0, count = 0;
	const char *why = guard_text(s, n);
	bool quoted = false;
	size_t i;

	for (i = 0; i < n && !why; i++) {
		if (quoted) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				quoted = false;
			continue;
		}
		switch (s[i]) {
		case '"':
			quoted = true;
			break;
		case '{':
		case '[':
			if (++depth > IMPORT_DEPTH_MAX)
				why = TOO_DEEP;
			/* fall through */
		case ',':
			if (++count > IMPORT_NODES_MAX)
				why = TOO_MANY;
			break;
		case '}':
		case ']':
			depth -= depth > 0;
			break;
		}
	}
	return why;
}
