/* SPDX-License-Identifier: MIT */
/* text.c - growing text and the few string questions that readers share */
#include "profiles/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FIRST	256
#define TEXT_MAX	(64u << 20)	/* nothing we print comes near it */
#define DISTANCE_NAME	64
#define DISTANCE_FAR	3u

static bool text_room(struct text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : TEXT_FIRST;
	char *s;

	if (t->failed)
		return false;
	if (n >= TEXT_MAX || t->n + n + 1 > TEXT_MAX) {
		t->failed = true;
		return false;
	}
	if (t->n + n + 1 <= t->cap)
		return true;
	while (cap < t->n + n + 1)
		cap *= 2;
	s = realloc(t->s, cap);
	if (!s) {
		t->failed = true;
		return false;
	}
	t->s = s;
	t->cap = cap;
	return true;
}

void text_addn(struct text *t, const char *s, size_t n)
{
	if (!text_room(t, n))
		return;
	memcpy(t->s + t->n, s, n);
	t->n += n;
	t->s[t->n] = '\0';
}

void text_add(struct text *t, const char *s)
{
	text_addn(t, s, strlen(s));
}

void text_addf(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !text_room(t, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(t->s + t->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->n += (size_t)n;
}

void text_json(struct text *t, const char *s)
{
	text_addn(t, "\"", 1);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			text_addf(t, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			text_addf(t, "\\u%04x", c);
		else
			text_addn(t, s, 1);
	}
	text_addn(t, "\"", 1);
}

char *text_take(struct text *t)
{
	char *s = NULL;

	if (!t->failed)
		s = t->s ? t->s : calloc(1, 1);
	else
		free(t->s);
	*t = (struct text){ 0 };
	return s;
}

void text_free(struct text *t)
{
	if (!t)
		return;
	free(t->s);
	*t = (struct text){ 0 };
}

size_t text_utf8(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	uint32_t c, least;
	size_t len, i;

	if (!n)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] >= 0xc2 && u[0] < 0xe0) {
		len = 2;
		c = u[0] & 0x1f;
		least = 0x80;
	} else if ((u[0] & 0xf0) == 0xe0) {
		len = 3;
		c = u[0] & 0x0f;
		least = 0x800;
	} else if (u[0] >= 0xf0 && u[0] < 0xf5) {
		len = 4;
		c = u[0] & 0x07;
		least = 0x10000;
	} else {
		return 0;
	}
	if (n < len)
		return 0;
	for (i = 1; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return len;
}

size_t text_chars(const char *s, size_t n)
{
	size_t chars = 0;

	while (n--)
		chars += (*s++ & 0xc0) != 0x80;
	return chars;
}

/* C1 controls are two bytes, C2 80 to C2 9F; some terminals obey them. */
static bool text_control(const char *s, size_t len)
{
	unsigned char c = (unsigned char)*s;

	return c < 0x20 || c == 0x7f || len == 0 ||
	       (len == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0);
}

char *text_quote(const char *s, size_t n, char *buf)
{
	size_t at = 0, chars = 0, len;

	buf[at++] = '"';
	while (n && chars < TEXT_QUOTE_CHARS) {
		len = text_utf8(s, n);
		/* the longest step is 4 bytes; "...", quote and NUL must follow */
		if (at + 4 + 5 > TEXT_QUOTE_SIZE)
			break;
		if (text_control(s, len)) {
			snprintf(buf + at, 5, "\\x%02x", (unsigned char)*s);
			at += 4;
			len = 1;
		} else {
			memcpy(buf + at, s, len);
			at += len;
		}
		s += len;
		n -= len;
		chars++;
	}
	if (n) {
		memcpy(buf + at, "...", 3);
		at += 3;
	}
	buf[at++] = '"';
	buf[at] = '\0';
	return buf;
}

char text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool text_same(const char *a, size_t n, const char *b)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (!b[i] || text_lower(a[i]) != text_lower(b[i]))
			return false;
	}
	return !b[n];
}

unsigned int text_distance(const char *a, size_t n, const char *b)
{
	unsigned int row[DISTANCE_NAME + 1], diagonal, above, best;
	size_t m = strlen(b), i, j;

	if (n > DISTANCE_NAME || m > DISTANCE_NAME || n > m + 2 || m > n + 2)
		return DISTANCE_FAR;
	for (j = 0; j <= m; j++)
		row[j] = (unsigned int)j;
	for (i = 1; i <= n; i++) {
		diagonal = row[0];
		row[0] = (unsigned int)i;
		for (j = 1; j <= m; j++) {
			above = row[j];
			best = diagonal + (text_lower(a[i - 1]) != text_lower(b[j - 1]));
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[m] < DISTANCE_FAR ? row[m] : DISTANCE_FAR;
}
