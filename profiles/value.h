/* SPDX-License-Identifier: MIT */
/*
 * value.h - one value of a profile, from text to type.  Each reader takes one
 * element of a list, blanks trimmed, not terminated; it writes its output on
 * success only, and on failure says what is wrong and what is accepted.
 */
#ifndef APPTUNNEL_VALUE_H
#define APPTUNNEL_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/finding.h"
#include "profiles/profile.h"

#define VALUE_TEXT_MAX	384

struct value_error {
	enum finding_code code;
	size_t at;			/* offset in the element */
	char text[VALUE_TEXT_MAX];
};

/* All of them Return: 0, or -EINVAL with @e filled. */

/* decimal digits, no sign, no leading zero; @or_zero: 0 is accepted beside min..max */
int value_number(const char *s, size_t n, uint64_t min, uint64_t max, bool or_zero,
		 uint64_t *out, struct value_error *e);
/* @words: NULL-terminated; without regard to case */
int value_enum(const char *s, size_t n, const char *const *words, unsigned int *out,
	       struct value_error *e);
/* "session", or "debug session" as the vendor's documents write it */
int value_log_level(const char *s, size_t n, const char *const *words, unsigned int *out,
		    struct value_error *e);
/* min..max characters.  @out: @size bytes, large enough for max characters; may be NULL */
int value_text(const char *s, size_t n, uint64_t min, uint64_t max, char *out, size_t size,
	       struct value_error *e);
/* NAME, IPv4 address or [IPv6 address], :PORT may follow; else the port is 443 */
int value_host(const char *s, size_t n, struct profile_host *out, struct value_error *e);
/* @out: 129 bytes, may be NULL */
int value_service(const char *s, size_t n, char *out, struct value_error *e);
/* @folder: what relative paths are relative to.  @out: PROFILE_PATH_MAX bytes */
int value_path(const char *s, size_t n, const char *folder, char *out, struct value_error *e);
/* sha256:HEX, sha256//BASE64, else a path as value_path() */
int value_pin(const char *s, size_t n, const char *folder, struct profile_pin *out,
	      struct value_error *e);
/* as addr_parse() */
int value_address(const char *s, size_t n, struct ipaddr *out, struct value_error *e);
/* as value_address(), and one that a server behind Sentry may have */
int value_server_address(const char *s, size_t n, struct ipaddr *out, struct value_error *e);
/* as value_address(), and one that may stand on an interface */
int value_tun_address(const char *s, size_t n, struct ipaddr *out, struct value_error *e);
/* host bits are cleared; @had_bits says whether there were any */
int value_prefix(const char *s, size_t n, struct prefix *out, bool *had_bits,
		 struct value_error *e);
/* /64 or shorter inside fc00::/7 */
int value_ula(const char *s, size_t n, struct prefix *out, bool *had_bits,
	      struct value_error *e);
/* PORT or LOW-HIGH, 1 to 65535 */
int value_ports(const char *s, size_t n, struct port_range *out, struct value_error *e);
/* @strict: no underscores.  @out: PROFILE_NAME_MAX bytes, may be NULL */
int value_domain(const char *s, size_t n, bool strict, char *out, struct value_error *e);
/* @out: PROFILE_EMAIL_MAX bytes, may be NULL */
int value_email(const char *s, size_t n, char *out, struct value_error *e);
/* /PATH, uid:NAME, unit:NAME.service or cgroup:PATH; checked only */
int value_app(const char *s, size_t n, struct value_error *e);

/*
 * value_element() - the next element of a list "a; b;c"
 * @s, @n: what is left of the list; moved behind the element
 * @elem, @elem_n: blanks trimmed; where it is empty, the place of its end
 * Return: false when nothing is left (an empty list has one empty element)
 */
bool value_element(const char **s, size_t *n, const char **elem, size_t *elem_n);

#endif
