/* SPDX-License-Identifier: MIT */
/*
 * text.h - a growing piece of text, for what is printed: findings, values,
 * JSON.  Errors are sticky, so that a writer asks once at the end.
 */
#ifndef APPTUNNEL_TEXT_H
#define APPTUNNEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *s;		/* NUL-terminated once something was added; owned */
	size_t n, cap;
	bool failed;		/* no memory: what follows is dropped */
};

/* text_add(), _addn(), _addf() - @t: all zero at first; what fails is kept in t->failed */
void text_add(struct text *t, const char *s);
void text_addn(struct text *t, const char *s, size_t n);
void text_addf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* text_json() - @s as a JSON string with its quotes */
void text_json(struct text *t, const char *s);

/*
 * text_take() - the finished text, owned by the caller; @t is empty afterwards
 * Return: the text, or NULL when memory ran out
 */
char *text_take(struct text *t);
void text_free(struct text *t);		/* @t is empty afterwards */

/*
 * text_quote() - @s in double quotes for a message: control characters as
 * \xNN, cut after TEXT_QUOTE_CHARS characters
 * @buf: TEXT_QUOTE_SIZE bytes.  Return: @buf
 */
#define TEXT_QUOTE_CHARS	60
#define TEXT_QUOTE_SIZE		256
char *text_quote(const char *s, size_t n, char *buf);

/*
 * text_chars() - characters in @n bytes of checked UTF-8
 */
size_t text_chars(const char *s, size_t n);

/*
 * text_utf8() - length of the well-formed character at @s
 * Return: 1 to 4, or 0 (overlong, surrogate, above U+10FFFF, cut off)
 */
size_t text_utf8(const char *s, size_t n);

/* ASCII only, whatever the locale: names in a profile are ASCII. */
char text_lower(char c);
bool text_same(const char *a, size_t n, const char *b);		/* without regard to case */

/*
 * text_distance() - edit distance without regard to case
 * Return: 0 to 3, where 3 means "3 or more, or a name over 64 characters"
 */
unsigned int text_distance(const char *a, size_t n, const char *b);

#endif
