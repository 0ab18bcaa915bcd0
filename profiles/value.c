/* SPDX-License-Identifier: MIT */
/* value.c - words, numbers, texts, services, paths and pins */
#include "profiles/value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "profiles/schema.h"
#include "profiles/text.h"
#include "profiles/value_priv.h"

#define PORT_MAX	65535u
#define SHA256_HEX	64u
#define SHA256_BASE64	44u

int value_fail(struct value_error *e, enum finding_code code, size_t at, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->at = at;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

bool value_element(const char **s, size_t *n, const char **elem, size_t *elem_n)
{
	const char *p = *s, *end, *semicolon;

	if (!p)
		return false;
	semicolon = memchr(p, ';', *n);
	end = semicolon ? semicolon : p + *n;
	if (semicolon) {
		*n -= (size_t)(semicolon + 1 - p);
		*s = semicolon + 1;
	} else {
		*n = 0;
		*s = NULL;
	}
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*elem = p;
	*elem_n = (size_t)(end - p);
	return true;
}

/* ---- numbers and words ------------------------------------------------------------- */

/*
 * Digits to number.  Return: 0; -EINVAL: not digits, or a leading zero; -ERANGE
 */
static int digits(const char *s, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	bool over = false;
	size_t i;

	if (!n || (s[0] == '0' && n > 1))
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			over = true;
	}
	if (over)
		return -ERANGE;
	*out = v;
	return 0;
}

int value_number(const char *s, size_t n, uint64_t min, uint64_t max, bool or_zero,
		 uint64_t *out, struct value_error *e)
{
	const char *zero = or_zero ? "0 or " : "";
	char quoted[TEXT_QUOTE_SIZE];
	uint64_t v = 0;
	int r = digits(s, n, &v);

	if (r == -EINVAL)
		return value_fail(e, FC_NUMBER, 0, "%s is not a number; digits without sign, unit "
				  "or leading zero are accepted, %s%llu to %llu",
				  text_quote(s, n, quoted), zero, (unsigned long long)min,
				  (unsigned long long)max);
	if (r == -ERANGE || ((v < min || v > max) && !(or_zero && !v)))
		return value_fail(e, FC_RANGE, 0, "%.*s is out of range; %s%llu to %llu is accepted",
				  n > 30 ? 30 : (int)n, s, zero, (unsigned long long)min,
				  (unsigned long long)max);
	*out = v;
	return 0;
}

int value_enum(const char *s, size_t n, const char *const *words, unsigned int *out,
	       struct value_error *e)
{
	char quoted[TEXT_QUOTE_SIZE], accepted[128];
	unsigned int i;

	for (i = 0; words[i]; i++) {
		if (text_same(s, n, words[i])) {
			*out = i;
			return 0;
		}
	}
	return value_fail(e, FC_ENUM, 0, "%s is not known; accepted: %s", text_quote(s, n, quoted),
			  schema_words(words, accepted, sizeof(accepted)));
}

int value_log_level(const char *s, size_t n, const char *const *words, unsigned int *out,
		    struct value_error *e)
{
	static const char word[] = "debug";
	size_t skip = sizeof(word) - 1;
	int r;

	if (n > skip && text_same(s, skip, word) && (s[skip] == ' ' || s[skip] == '\t')) {
		while (skip < n && (s[skip] == ' ' || s[skip] == '\t'))
			skip++;
		r = value_enum(s + skip, n - skip, words, out, e);
		if (r < 0)
			e->at += skip;
		return r;
	}
	return value_enum(s, n, words, out, e);
}

/* ---- texts --------------------------------------------------------------------------- */

int value_text(const char *s, size_t n, uint64_t min, uint64_t max, char *out, size_t size,
	       struct value_error *e)
{
	size_t chars = text_chars(s, n);

	if (chars < min)
		return value_fail(e, FC_EMPTY, 0, "the value is empty; a text of %llu to %llu "
				  "characters is accepted", (unsigned long long)min,
				  (unsigned long long)max);
	if (chars > max || (out && n >= size))
		return value_fail(e, FC_LENGTH, 0, "the text has %zu characters; at most %llu are "
				  "accepted", chars, (unsigned long long)max);
	if (out) {
		memcpy(out, s, n);
		out[n] = '\0';
	}
	return 0;
}

static int service_builtin(const char *s, size_t n, struct value_error *e)
{
	static const char *const ours[] = { "<IP_ANY>", "<TCP_ANY>" };
	static const char *const others[] = { "<ANY>", "<CIFS_ANY>", "<IP_ANY_WP8.1>" };
	char quoted[TEXT_QUOTE_SIZE];
	size_t i;

	for (i = 0; i < 2; i++) {
		if (strlen(ours[i]) == n && !memcmp(s, ours[i], n))
			return 0;
		if (text_same(s, n, ours[i]))
			return value_fail(e, FC_SERVICE, 0, "built-in service names are written in "
					  "capitals; did you mean %s?", ours[i]);
	}
	for (i = 0; i < 3; i++) {
		if (text_same(s, n, others[i]))
			return value_fail(e, FC_SERVICE, 0, "%s is a service of other clients; <IP_ANY>"
					  ", <TCP_ANY> or the name of a service is accepted",
					  others[i]);
	}
	return value_fail(e, FC_SERVICE, 0, "%s is no built-in service; <IP_ANY> and <TCP_ANY> are",
			  text_quote(s, n, quoted));
}

int value_service(const char *s, size_t n, char *out, struct value_error *e)
{
	static const char barred[] = "\\;*?<>\"|";
	int r = 0;
	size_t i;

	if (!n)
		return value_fail(e, FC_EMPTY, 0, "the value is empty; <IP_ANY> or the name of a "
				  "service is accepted");
	if (text_chars(s, n) > 128)
		return value_fail(e, FC_LENGTH, 0, "the name has %zu characters; at most 128 are "
				  "accepted", text_chars(s, n));
	if (s[0] == '<')
		r = service_builtin(s, n, e);
	for (i = 0; s[0] != '<' && i < n; i++) {
		if (s[i] <= ' ' || s[i] > '~' || strchr(barred, s[i])) {
			char quoted[TEXT_QUOTE_SIZE];
			size_t len = text_utf8(s + i, n - i);

			return value_fail(e, FC_SERVICE, i, "a service name may not have %s; printable "
					  "ASCII without space \\ ; * ? < > \" | is accepted",
					  text_quote(s + i, len ? len : 1, quoted));
		}
	}
	if (!r && out) {
		memcpy(out, s, n);
		out[n] = '\0';
	}
	return r;
}

/* ---- paths and pins ------------------------------------------------------------------ */

int value_path(const char *s, size_t n, const char *folder, char *out, struct value_error *e)
{
	static const char pkcs11[] = "pkcs11:";
	char path[PROFILE_PATH_MAX];
	int len;

	if (!n)
		return value_fail(e, FC_EMPTY, 0, "the value is empty; the path of a PEM file is "
				  "accepted");
	if (n >= sizeof(pkcs11) - 1 && text_same(s, sizeof(pkcs11) - 1, pkcs11))
		return value_fail(e, FC_VALUE_UNSUPPORTED, 0, "pkcs11: URIs are not supported yet; "
				  "the path of a PEM file is accepted");
	if (n > PROFILE_PATH_MAX)
		len = PROFILE_PATH_MAX;
	else if (s[0] == '/')
		len = snprintf(path, sizeof(path), "%.*s", (int)n, s);
	else
		len = snprintf(path, sizeof(path), "%s/%.*s", folder, (int)n, s);
	if (len < 0 || len >= PROFILE_PATH_MAX)
		return value_fail(e, FC_PATH, 0, "the path is too long; at most %d bytes are accepted",
				  PROFILE_PATH_MAX - 1);
	memcpy(out, path, (size_t)len + 1);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = text_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int pin_hex(const char *s, size_t n, uint8_t *out, size_t skip, struct value_error *e)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (hex_digit(s[i]) < 0)
			return value_fail(e, FC_PIN, skip + i, "not a hexadecimal digit; sha256: is "
					  "followed by the 64 of the certificate's hash");
	}
	if (n != SHA256_HEX)
		return value_fail(e, FC_PIN, 0, "sha256: is followed by %zu digits, 64 are accepted",
				  n);
	for (i = 0; i < n; i += 2)
		out[i / 2] = (uint8_t)(hex_digit(s[i]) << 4 | hex_digit(s[i + 1]));
	return 0;
}

/* 32 bytes: 43 digits, the last of which carries two bits that must be 0, and '='. */
static int pin_base64(const char *s, size_t n, uint8_t *out, size_t skip, struct value_error *e)
{
	uint32_t bits = 0, have = 0;
	size_t i, at = 0;

	for (i = 0; i < n && base64_digit(s[i]) >= 0; i++)
		;
	if (i < n && s[i] != '=')
		return value_fail(e, FC_PIN, skip + i, "not a Base64 digit; sha256// is followed by "
				  "the 44 characters of the public key's hash, '=' at the end");
	if (n != SHA256_BASE64 || i != SHA256_BASE64 - 1)
		return value_fail(e, FC_PIN, 0, "sha256// is followed by %zu characters; the 44 of "
				  "the public key's hash are accepted, one '=' at the end", n);
	if (base64_digit(s[i - 1]) & 3)
		return value_fail(e, FC_PIN, skip + i - 1, "the last Base64 digit has bits that belong "
				  "to no byte");
	for (i = 0; i < SHA256_BASE64 - 1; i++) {
		bits = bits << 6 | (uint32_t)base64_digit(s[i]);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[at++] = (uint8_t)(bits >> have);
		}
	}
	return 0;
}

int value_pin(const char *s, size_t n, const char *folder, struct profile_pin *out,
	      struct value_error *e)
{
	struct profile_pin pin = { .kind = PIN_FILE };
	int r;

	if (n >= 8 && text_same(s, 8, "sha256//")) {
		pin.kind = PIN_KEY_SHA256;
		r = pin_base64(s + 8, n - 8, pin.sha256, 8, e);
	} else if (n >= 7 && text_same(s, 7, "sha256:")) {
		pin.kind = PIN_CERT_SHA256;
		r = pin_hex(s + 7, n - 7, pin.sha256, 7, e);
	} else {
		r = value_path(s, n, folder, pin.path, e);
	}
	if (!r)
		*out = pin;
	return r;
}

/* ---- what is checked for its shape only ---------------------------------------------- */

int value_email(const char *s, size_t n, char *out, struct value_error *e)
{
	const char *at = memchr(s, '@', n);
	struct value_error domain;
	size_t i, local;

	if (!n)
		return value_fail(e, FC_EMPTY, 0, "the value is empty; an e-mail address is accepted");
	local = at ? (size_t)(at - s) : 0;
	if (!local || local > 64)
		return value_fail(e, FC_EMAIL, 0, "not an e-mail address; NAME@DOMAIN is accepted");
	for (i = 0; i < local; i++) {
		if (s[i] <= ' ' || s[i] > '~' || strchr("()<>[]:;,\\\"", s[i]))
			return value_fail(e, FC_EMAIL, i, "a character that the name of an e-mail "
					  "address may not have");
	}
	if (value_domain(at + 1, n - local - 1, true, NULL, &domain))
		return value_fail(e, FC_EMAIL, local + 1, "what follows the @ is not a domain name");
	if (out) {
		memcpy(out, s, n);
		out[n] = '\0';
	}
	return 0;
}

int value_app(const char *s, size_t n, struct value_error *e)
{
	static const char *const kinds[] = { "uid:", "unit:", "cgroup:" };
	char quoted[TEXT_QUOTE_SIZE];
	size_t i, k;

	if (n > 1 && s[0] == '/')
		return 0;
	for (i = 0; i < 3; i++) {
		k = strlen(kinds[i]);
		if (n > k && !memcmp(s, kinds[i], k))
			return 0;
	}
	return value_fail(e, FC_APP, 0, "%s is no app; /PATH, uid:NAME, unit:NAME.service or "
			  "cgroup:PATH is accepted", text_quote(s, n, quoted));
}

int value_ports(const char *s, size_t n, struct port_range *out, struct value_error *e)
{
	const char *dash = memchr(s, '-', n);
	size_t lo_n = dash ? (size_t)(dash - s) : n;
	char quoted[TEXT_QUOTE_SIZE];
	uint64_t lo = 0, hi = 0;
	int r, q = 0;

	r = digits(s, lo_n, &lo);
	if (dash)
		q = digits(dash + 1, n - lo_n - 1, &hi);
	else
		hi = lo;
	if (r == -EINVAL || q == -EINVAL)
		return value_fail(e, FC_PORT, 0, "%s is neither a port nor a range; 1 to 65535 or "
				  "LOW-HIGH is accepted, e.g. 53 or 161-162", text_quote(s, n, quoted));
	if (r || q || lo < 1 || lo > PORT_MAX || hi < 1 || hi > PORT_MAX)
		return value_fail(e, FC_PORT, r || lo < 1 || lo > PORT_MAX ? 0 : lo_n + 1,
				  "ports are 1 to 65535");
	if (lo > hi)
		return value_fail(e, FC_PORT, 0, "the range %.*s is upside down; LOW-HIGH is accepted",
				  (int)n, s);
	*out = (struct port_range){ (uint16_t)lo, (uint16_t)hi };
	return 0;
}
