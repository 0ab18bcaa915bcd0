/* SPDX-License-Identifier: MIT */
/*
 * http1.h - the strict, bounded reader of an HTTP/1.1 head that both sides of
 * the handshake use (docs/protocol.md, 2), and the JSON reader of the
 * bodies.  Internal to client/atp.
 */
#ifndef APPTUNNEL_HTTP1_H
#define APPTUNNEL_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "client/limits.h"

#define HTTP_JSON_DEPTH	16	/* nesting that a body may have */

struct http_line {
	const char *name, *value;	/* NUL-terminated, in the head's buffer */
};

struct http_head {
	const char *first;		/* request or status line */
	unsigned int n;
	struct http_line lines[LIMIT_HTTP_LINES];
};

/*
 * http_scan() - look for the end of a head
 * @from: bytes that an earlier call has looked at
 * @head_len: on 1: bytes of the head with its blank line
 * Return: 1 whole, 0 more bytes wanted, -EPROTO: a bare LF or CR, a NUL or
 *	over LIMIT_HTTP_HEAD; *why says what
 */
int http_scan(const char *buf, size_t len, size_t from, size_t *head_len,
	      const char **why);

/*
 * http_parse() - cut a whole head into lines
 * @buf: @head_len bytes that http_scan() found whole; NULs are written into it
 * Return: 0, -EPROTO with *why (folded or malformed line, over 64 lines, a
 *	value with HTAB or bytes outside 0x20 to 0x7E, Transfer-Encoding, a
 *	second Content-Length)
 */
int http_parse(char *buf, size_t head_len, struct http_head *out, const char **why);

/* http_find() - the value of the first line called @name, or NULL; *count (may be NULL) of all */
const char *http_find(const struct http_head *h, const char *name, unsigned int *count);

/* http_has_token() - is @token in one of the comma lists called @name?  ASCII case ignored */
bool http_has_token(const struct http_head *h, const char *name, const char *token);

/* http_decimal() - digits only, at most @max.  Return: 0, -EINVAL */
int http_decimal(const char *text, uint64_t max, uint64_t *out);

/* http_value_ok() - may @text stand in a header value?  (0x20 to 0x7E) */
bool http_value_ok(const char *text);

/*
 * http_json() - read a body: one JSON object, no duplicate members, at most
 * HTTP_JSON_DEPTH deep
 * Return: owned by the caller (json_decref), or NULL with *why
 */
json_t *http_json(const char *text, size_t len, const char **why);

/* BASE64URL without padding.  encode: @out holds (len * 4 + 2) / 3 + 1 bytes.
 * decode: exactly @len bytes.  Return: 0, -EINVAL (length, letter, spare bits) */
void base64url_encode(const uint8_t *data, size_t len, char *out);
int base64url_decode(const char *text, uint8_t *out, size_t len);

#endif
