/* SPDX-License-Identifier: MIT */
/* ini.c - the raw scan */
#include "profiles/ini.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/array.h"
#include "profiles/text.h"

#define BOM		"\xef\xbb\xbf"
#define UNQUOTED_SHOWN	200	/* bytes of a value that a finding repeats */

struct scan {
	struct ini_doc *doc;
	struct findings *f;
	uint32_t line;
	const char *start;		/* of this line */
	const char *end;		/* of this line, blanks at the end excluded */
	uint32_t section;
	bool any_section;		/* a header was seen, be it a broken one */
	bool bad;			/* this line has a finding already */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* What iniparser takes for blank at the end of a line. */
static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

static uint32_t column_of(const char *start, const char *at)
{
	return (uint32_t)text_chars(start, (size_t)(at - start)) + 1;
}

uint32_t ini_column(const struct ini_entry *e, const char *at)
{
	return column_of(e->line_start, at);
}

/* ---- what makes the whole text unreadable -------------------------------------- */

static int scan_bytes(const char *raw, size_t n, struct findings *f)
{
	const char *start = raw, *p = raw, *end = raw + n;
	uint32_t line = 1;

	while (p < end) {
		size_t len = text_utf8(p, (size_t)(end - p));

		if (!len) {
			finding_add(f, FC_UTF8, line, column_of(start, p), NULL,
				    "byte 0x%02x is not UTF-8; the file must be UTF-8",
				    (unsigned char)*p);
			return -EBADMSG;
		}
		if (!*p) {
			finding_add(f, FC_NUL, line, column_of(start, p), NULL,
				    "a NUL byte; a profile is plain text");
			return -EBADMSG;
		}
		if (*p == '\n') {
			line++;
			start = p + 1;
		}
		p += len;
	}
	return 0;
}

/*
 * Copies the text with LF line ends.  A CR inside a line stays: it is found
 * and reported with its line.
 */
static int copy_text(struct ini_doc *doc, const char *raw, size_t n)
{
	size_t i;

	doc->text = malloc(n + 1);
	if (!doc->text)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		if (raw[i] == '\r' && i + 1 < n && raw[i + 1] == '\n')
			continue;
		doc->text[doc->n++] = raw[i];
	}
	doc->text[doc->n] = '\0';
	return 0;
}

/* ---- sections and keys ----------------------------------------------------------- */

static int section_enter(struct scan *s, const char *name, size_t n)
{
	struct ini_doc *doc = s->doc;
	size_t i;

	for (i = 0; i < doc->n_sections; i++) {
		struct ini_section *old = &doc->sections[i];

		if (old->n != n || strncasecmp(old->name, name, n) != 0)
			continue;
		finding_add(s->f, FC_DUPLICATE_SECTION, s->line, column_of(s->start, name) - 1,
			    NULL, "section [%.*s] stands in line %u already; "
			    "write each section once", (int)n, name, old->line);
		s->section = (uint32_t)i;
		return 0;
	}
	if (doc->n_sections == INI_KEYS_MAX) {
		finding_add(s->f, FC_TOO_MANY_KEYS, s->line, 1, NULL, "more than %u sections",
			    INI_KEYS_MAX);
		return -EBADMSG;
	}
	if (!array_room(&doc->sections, &doc->cap_sections, doc->n_sections, sizeof(*doc->sections)))
		return -ENOMEM;
	doc->sections[doc->n_sections] = (struct ini_section){
		.name = name, .n = (uint32_t)n, .line = s->line,
		.column = column_of(s->start, name) - 1,
	};
	s->section = (uint32_t)doc->n_sections++;
	return 0;
}

static void section_finding(struct scan *s, const char *at, const char *what)
{
	finding_add(s->f, FC_SECTION, s->line, column_of(s->start, at), NULL,
		    "%s; a section is written [name], alone on its line", what);
}

/*
 * A header with a mistake still opens the section that it plainly means, so
 * that its keys are judged; where that is not plain they are left alone.
 */
static int scan_section(struct scan *s, const char *p)
{
	const char *name = p + 1, *close = memchr(name, ']', (size_t)(s->end - name));
	const char *end = close ? close : s->end, *q;

	s->section = INI_NO_SECTION;
	s->any_section = true;
	if (!close)
		section_finding(s, s->end, "the closing bracket is missing");
	else if (close + 1 < s->end)
		section_finding(s, close + 1, "text after the closing bracket");
	else if (name == close)
		section_finding(s, name, "the section has no name");
	else if (is_blank(*name) || is_blank(close[-1]))
		section_finding(s, is_blank(*name) ? name : close - 1,
				"blanks inside the brackets");
	while (name < end && is_blank(*name))
		name++;
	while (end > name && is_blank(end[-1]))
		end--;
	for (q = name; q < end && is_name(*q); q++)
		;
	if (q < end && close && close + 1 == s->end) {
		finding_add(s->f, FC_NAME_CHAR, s->line, column_of(s->start, q), NULL,
			    "a section name holds letters, digits, '-', '_' and '.' only");
	}
	if (q < end || q == name)
		return 0;
	return section_enter(s, name, (size_t)(end - name));
}

static const char *after_char(const char *p)
{
	p++;
	while ((*p & 0xc0) == 0x80)
		p++;
	return p;
}

/* Return: true when the value may be believed */
static bool scan_quoted(struct scan *s, struct ini_entry *e, const char *key, const char *p)
{
	const char *close = memchr(p + 1, '"', (size_t)(s->end - p - 1)), *rest;

	if (!close) {
		finding_add(s->f, FC_OPEN_QUOTE, s->line, column_of(s->start, p), key,
			    "the closing double quote is missing");
		return false;
	}
	if (close[-1] == '\\' && close - 1 > p) {
		finding_add(s->f, FC_QUOTE_BACKSLASH, s->line, column_of(s->start, close - 1), key,
			    "a quoted value may not end in a backslash, and \\\" does not stand "
			    "for a quote");
		return false;
	}
	for (rest = close + 1; rest < s->end && is_blank(*rest); rest++)
		;
	if (rest < s->end) {
		finding_add(s->f, FC_AFTER_QUOTE, s->line, column_of(s->start, rest), key,
			    "text after the closing quote; a comment stands on a line of its own");
		return false;
	}
	e->value = p + 1;
	e->value_n = (uint32_t)(close - p - 1);
	return true;
}

static bool scan_plain(struct scan *s, struct ini_entry *e, const char *key, const char *p)
{
	const char *q;

	for (q = p; q < s->end && *q != ';' && *q != '#'; q++)
		;
	if (q < s->end) {
		/* a separator with blanks around it may be meant as a comment */
		bool comment = (q == p || is_blank(q[-1])) && (q + 1 == s->end || is_blank(q[1]));
		const char *or_else = comment ? ", or the comment on a line of its own" : "";
		int n = (int)(s->end - p);

		if (q == p || memchr(p, '"', (size_t)n) || n > UNQUOTED_SHOWN)
			finding_add(s->f, FC_UNQUOTED, s->line, column_of(s->start, q), key,
				    "an unquoted '%c' would end the value here; write %s = \"...\"%s",
				    *q, key, or_else);
		else
			finding_add(s->f, FC_UNQUOTED, s->line, column_of(s->start, q), key,
				    "an unquoted '%c' would end the value here; write %s = \"%.*s\"%s",
				    *q, key, n, p, or_else);
		return false;
	}
	e->value = p;
	e->value_n = (uint32_t)(s->end - p);
	return true;
}

static bool scan_value(struct scan *s, struct ini_entry *e, const char *key, const char *p)
{
	while (p < s->end && is_blank(*p))
		p++;
	/* where findings about the value as a whole point */
	e->value = p;
	e->value_n = 0;
	if (p < s->end && *p == '"')
		return scan_quoted(s, e, key, p);
	if (p < s->end && *p == '\'') {
		finding_add(s->f, FC_SINGLE_QUOTE, s->line, column_of(s->start, p), key,
			    "single quotes do not quote; use double quotes");
		return false;
	}
	return scan_plain(s, e, key, p);
}

static int scan_key(struct scan *s, const char *p)
{
	struct ini_doc *doc = s->doc;
	const char *eq = memchr(p, '=', (size_t)(s->end - p)), *end, *q;
	char key[TEXT_QUOTE_SIZE], quoted[TEXT_QUOTE_SIZE];
	struct ini_entry *e;

	if (!eq) {
		finding_add(s->f, FC_LINE, s->line, column_of(s->start, p), NULL,
			    "%s is neither a [section], a KEY = VALUE, nor a comment",
			    text_quote(p, (size_t)(s->end - p), quoted));
		return 0;
	}
	if (doc->n_entries == INI_KEYS_MAX) {
		finding_add(s->f, FC_TOO_MANY_KEYS, s->line, column_of(s->start, p), NULL,
			    "more than %u keys", INI_KEYS_MAX);
		return -EBADMSG;
	}
	for (end = eq; end > p && is_blank(end[-1]); end--)
		;
	for (q = p; q < end && is_name(*q); q++)
		;
	if (end == p || q < end) {
		finding_add(s->f, FC_NAME_CHAR, s->line, column_of(s->start, q), NULL,
			    end == p ? "there is no key before the '='" :
			    "a key holds letters, digits, '-', '_' and '.' only, not %s",
			    text_quote(q, (size_t)(after_char(q) - q), quoted));
		return 0;
	}
	if (!array_room(&doc->entries, &doc->cap_entries, doc->n_entries, sizeof(*doc->entries)))
		return -ENOMEM;
	e = &doc->entries[doc->n_entries++];
	*e = (struct ini_entry){
		.line_start = s->start, .name = p, .name_n = (uint32_t)(end - p),
		.line = s->line, .section = s->section,
	};
	snprintf(key, sizeof(key), "%.*s", (int)e->name_n, p);
	e->broken = !scan_value(s, e, key, eq + 1) || s->bad;
	if (!s->any_section)
		finding_add(s->f, FC_NO_SECTION, s->line, column_of(s->start, p), key,
			    "a key before any section; begin with a line such as [profile]");
	return 0;
}

/* ---- lines -------------------------------------------------------------------------- */

/* What is wrong with a line whatever it is. */
static void scan_any(struct scan *s, const char *p, const char *eol)
{
	const char *q, *end = eol;

	if (eol - p > (ptrdiff_t)INI_LINE_MAX)
		finding_add(s->f, FC_LONG_LINE, s->line, 1, NULL,
			    "the line has %zu bytes, at most %u are accepted; a list can be "
			    "written over several lines, as KEY.1, KEY.2", (size_t)(eol - p),
			    INI_LINE_MAX);
	for (q = p; q < eol; q++) {
		unsigned char c = (unsigned char)*q;
		bool c1 = c == 0xc2 && (unsigned char)q[1] < 0xa0;

		if (c == '\r') {
			finding_add(s->f, FC_LONE_CR, s->line, column_of(p, q), NULL,
				    "a carriage return that is not followed by a line feed");
			s->bad = true;
			break;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f || c1) {
			finding_add(s->f, FC_CONTROL, s->line, column_of(p, q), NULL,
				    "control character U+%04X", c1 ? (unsigned char)q[1] : c);
			s->bad = true;
			break;
		}
	}
	while (end > p && is_space(end[-1]))
		end--;
	/* 'KEY = "...\"' is a matter of the quotes, not of the line */
	if (end > p && end[-1] == '\\') {
		finding_add(s->f, FC_LINE_BACKSLASH, s->line, column_of(p, end - 1), NULL,
			    "a line may not end in a backslash: it would swallow the next one");
		s->bad = true;
	}
}

static int scan_line(struct scan *s, const char *p, const char *eol)
{
	s->start = p;
	s->bad = false;
	scan_any(s, p, eol);
	while (p < eol && is_space(*p))
		p++;
	for (s->end = eol; s->end > p && is_space(s->end[-1]); s->end--)
		;
	if (p == s->end || *p == '#' || *p == ';')
		return 0;
	if (*p == '[')
		return scan_section(s, p);
	return scan_key(s, p);
}

static int entry_compare(const void *a, const void *b)
{
	const struct ini_entry *x = *(const struct ini_entry *const *)a;
	const struct ini_entry *y = *(const struct ini_entry *const *)b;
	int d;

	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	if (x->name_n != y->name_n)
		return x->name_n < y->name_n ? -1 : 1;
	d = strncasecmp(x->name, y->name, x->name_n);
	return d ? d : x < y ? -1 : x > y;
}

static int mark_duplicates(struct ini_doc *doc)
{
	struct ini_entry **v;
	size_t i;

	if (!doc->n_entries)
		return 0;
	v = calloc(doc->n_entries, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (i = 0; i < doc->n_entries; i++)
		v[i] = &doc->entries[i];
	qsort(v, doc->n_entries, sizeof(struct ini_entry *), entry_compare);
	for (i = 1; i < doc->n_entries; i++) {
		struct ini_entry *first = v[i - 1], *e = v[i];

		if (first->section != e->section || first->name_n != e->name_n ||
		    strncasecmp(first->name, e->name, e->name_n) != 0)
			continue;
		e->dup_of = first->dup_of ? first->dup_of : first->line;
		doc->clean = false;
	}
	free(v);
	return 0;
}

int ini_scan(const char *raw, size_t n, struct findings *f, struct ini_doc *doc)
{
	struct scan s = { .doc = doc, .f = f, .section = INI_NO_SECTION };
	size_t before = f->n;
	const char *p, *eol, *end;
	int r;

	*doc = (struct ini_doc){ 0 };
	if (n >= 3 && !memcmp(raw, BOM, 3)) {
		raw += 3;
		n -= 3;
	}
	if (n > INI_FILE_MAX) {
		finding_add(f, FC_TOO_BIG, 0, 0, NULL, "the file is larger than 1 MiB");
		return -EBADMSG;
	}
	r = scan_bytes(raw, n, f);
	if (r < 0)
		return r;
	r = copy_text(doc, raw, n);
	if (r < 0)
		return r;
	end = doc->text + doc->n;
	for (p = doc->text; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		s.line++;
		r = scan_line(&s, p, eol);
		if (r < 0)
			return r;
	}
	doc->clean = f->n == before;
	return mark_duplicates(doc);
}

void ini_free(struct ini_doc *doc)
{
	if (!doc)
		return;
	free(doc->text);
	free(doc->sections);
	free(doc->entries);
	*doc = (struct ini_doc){ 0 };
}
