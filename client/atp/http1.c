/* SPDX-License-Identifier: MIT */
/*
 * http1.c - HTTP/1.1 heads, read strictly.  Both sides refuse what other
 * readers might understand differently: bare line ends, folded lines, NULs,
 * repeated lengths.
 */
#include "client/atp/http1.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

int http_scan(const char *buf, size_t len, size_t from, size_t *head_len,
	      const char **why)
{
	size_t i;

	for (i = from; i < len; i++) {
		if (i >= LIMIT_HTTP_HEAD) {
			*why = "the head is over 16 KiB";
			return -EPROTO;
		}
		if (buf[i] == '\0') {
			*why = "a NUL in the head";
			return -EPROTO;
		}
		if (i > 0 && buf[i - 1] == '\r' && buf[i] != '\n') {
			*why = "a bare CR in the head";
			return -EPROTO;
		}
		if (buf[i] != '\n')
			continue;
		if (i == 0 || buf[i - 1] != '\r') {
			*why = "a bare LF in the head";
			return -EPROTO;
		}
		if (i >= 3 && buf[i - 2] == '\n') {
			*head_len = i + 1;
			return 1;
		}
	}
	if (len >= LIMIT_HTTP_HEAD) {
		*why = "the head is over 16 KiB";
		return -EPROTO;
	}
	return 0;
}

static bool is_token_char(unsigned char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

bool http_value_ok(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
			return false;
	return true;
}

static int parse_line(char *line, struct http_line *out, const char **why)
{
	char *colon, *value, *end;

	if (*line == ' ' || *line == '\t') {
		*why = "a folded header line";
		return -EPROTO;
	}
	for (colon = line; is_token_char((unsigned char)*colon); colon++)
		;
	if (colon == line || *colon != ':') {
		*why = "a malformed header name";
		return -EPROTO;
	}
	*colon = '\0';
	value = colon + 1;
	if (!http_value_ok(value)) {
		*why = "a header value holds a character outside 0x20 to 0x7E";
		return -EPROTO;
	}
	while (*value == ' ')
		value++;
	end = value + strlen(value);
	while (end > value && end[-1] == ' ')
		*--end = '\0';
	out->name = line;
	out->value = value;
	return 0;
}

int http_parse(char *buf, size_t head_len, struct http_head *out, const char **why)
{
	char *line = buf, *end = buf + head_len - 2, *eol;
	unsigned int count;
	int err;

	out->n = 0;
	out->first = NULL;
	while (line < end) {
		eol = memchr(line, '\r', (size_t)(end - line));
		if (!eol)
			break;	/* cannot be: http_scan() saw CRLF at the end */
		*eol = '\0';
		if (!out->first) {
			out->first = line;
			if (!http_value_ok(line)) {
				*why = "an unprintable character in the first line";
				return -EPROTO;
			}
		} else {
			if (out->n == LIMIT_HTTP_LINES) {
				*why = "more than 64 header lines";
				return -EPROTO;
			}
			err = parse_line(line, &out->lines[out->n], why);
			if (err)
				return err;
			out->n++;
		}
		line = eol + 2;
	}
	if (!out->first || !*out->first) {
		*why = "an empty first line";
		return -EPROTO;
	}
	if (http_find(out, "Transfer-Encoding", NULL)) {
		*why = "Transfer-Encoding is not allowed";
		return -EPROTO;
	}
	http_find(out, "Content-Length", &count);
	if (count > 1) {
		*why = "a second Content-Length";
		return -EPROTO;
	}
	return 0;
}

const char *http_find(const struct http_head *h, const char *name, unsigned int *count)
{
	const char *value = NULL;
	unsigned int i, found = 0;

	for (i = 0; i < h->n; i++) {
		if (strcasecmp(h->lines[i].name, name) != 0)
			continue;
		if (found++ == 0)
			value = h->lines[i].value;
	}
	if (count)
		*count = found;
	return value;
}

static bool list_has(const char *list, const char *token)
{
	size_t want = strlen(token), len;
	const char *end;

	for (;;) {
		list += strspn(list, " ,");
		if (!*list)
			return false;
		end = strchr(list, ',');
		len = end ? (size_t)(end - list) : strlen(list);
		while (len > 0 && list[len - 1] == ' ')
			len--;
		if (len == want && strncasecmp(list, token, want) == 0)
			return true;
		list += len;
	}
}

bool http_has_token(const struct http_head *h, const char *name, const char *token)
{
	unsigned int i;

	for (i = 0; i < h->n; i++)
		if (strcasecmp(h->lines[i].name, name) == 0 &&
		    list_has(h->lines[i].value, token))
			return true;
	return false;
}

int http_decimal(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v) || v > max)
			return -EINVAL;
	}
	*out = v;
	return 0;
}

/* jansson recurses as deep as the text says; this is the bound before it. */
static bool json_depth_ok(const char *text, size_t len)
{
	bool string = false;
	unsigned int depth = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (string) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				string = false;
		} else if (text[i] == '"') {
			string = true;
		} else if (text[i] == '{' || text[i] == '[') {
			if (++depth > HTTP_JSON_DEPTH)
				return false;
		} else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
			depth--;
		}
	}
	return true;
}

json_t *http_json(const char *text, size_t len, const char **why)
{
	json_error_t err;
	json_t *root;

	if (!json_depth_ok(text, len)) {
		*why = "JSON nested too deeply";
		return NULL;
	}
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);
	if (!root) {
		*why = json_error_code(&err) == json_error_duplicate_key ?
			"a duplicate JSON member" : "not JSON";
		return NULL;
	}
	if (!json_is_object(root)) {
		json_decref(root);
		*why = "not a JSON object";
		return NULL;
	}
	return root;
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(const uint8_t *data, size_t len, char *out)
{
	uint32_t acc = 0;
	unsigned int bits = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		acc = (acc << 8 | data[i]) & 0xffff;
		bits += 8;
		while (bits >= 6) {
			bits -= 6;
			*out++ = b64[acc >> bits & 63];
		}
	}
	if (bits)
		*out++ = b64[acc << (6 - bits) & 63];
	*out = '\0';
}

int base64url_decode(const char *text, uint8_t *out, size_t len)
{
	const char *at;
	uint32_t acc = 0;
	unsigned int bits = 0;
	size_t n = 0;

	if (strlen(text) != (len * 4 + 2) / 3)
		return -EINVAL;
	for (; *text; text++) {
		at = strchr(b64, *text);
		if (!at)
			return -EINVAL;
		acc = (acc << 6 | (uint32_t)(at - b64)) & 0xffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			if (n == len)
				return -EINVAL;
			out[n++] = (uint8_t)(acc >> bits);
		}
	}
	/* spare bits must be zero: one value, one text */
	return n == len && (acc & ((1u << bits) - 1)) == 0 ? 0 : -EINVAL;
}
