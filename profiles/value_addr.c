/* SPDX-License-Identifier: MIT */
/* value_addr.c - addresses, prefixes, hosts and domain names */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "profiles/text.h"
#include "profiles/value_priv.h"

#define LABEL_MAX	63u
#define PORT_DEFAULT	443u
#define ULA_LEN_MIN	7u
#define ULA_LEN_MAX	64u

/* Is it made of digits and periods only?  Then it is meant as an IPv4 address. */
static bool looks_ipv4(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (s[i] != '.' && (s[i] < '0' || s[i] > '9'))
			return false;
	}
	return n > 0;
}

/*
 * The address of the first @n bytes.  @what: "an IPv4 or IPv6 address" and the
 * like, for the message.
 */
static int address(const char *s, size_t n, enum finding_code code, const char *what,
		   struct ipaddr *out, struct value_error *e)
{
	char copy[ADDR_STRLEN + 1], quoted[TEXT_QUOTE_SIZE], v4[INET_ADDRSTRLEN];
	struct in6_addr a6;

	if (n < sizeof(copy)) {
		memcpy(copy, s, n);
		copy[n] = '\0';
		if (!addr_parse(copy, out))
			return 0;
		if (inet_pton(AF_INET6, copy, &a6) == 1 && IN6_IS_ADDR_V4MAPPED(&a6) &&
		    inet_ntop(AF_INET, &a6.s6_addr[12], v4, sizeof(v4)))
			return value_fail(e, code, 0, "%s is an IPv4 address in IPv6 form; write %s",
					  text_quote(s, n, quoted), v4);
	}
	text_quote(s, n, quoted);
	if (memchr(s, '%', n))
		return value_fail(e, code, 0, "%s has a zone; %s is accepted", quoted, what);
	if (looks_ipv4(s, n))
		return value_fail(e, code, 0, "%s is not a valid IPv4 address (four numbers 0 to 255 "
				  "without leading zeros); %s is accepted", quoted, what);
	return value_fail(e, code, 0, "%s is not an address; %s is accepted", quoted, what);
}

int value_address(const char *s, size_t n, struct ipaddr *out, struct value_error *e)
{
	char quoted[TEXT_QUOTE_SIZE];

	if (memchr(s, '/', n))
		return value_fail(e, FC_ADDRESS, 0, "%s has a prefix length; an address alone is "
				  "accepted", text_quote(s, n, quoted));
	return address(s, n, FC_ADDRESS, "an IPv4 or IPv6 address", out, e);
}

int value_server_address(const char *s, size_t n, struct ipaddr *out, struct value_error *e)
{
	struct ipaddr a;
	int r = value_address(s, n, &a, e);

	if (r < 0)
		return r;
	if (!addr_is_assignable(&a))
		return value_fail(e, FC_ADDRESS, 0, "%.*s is no server's address in the company's "
				  "network (loopback, multicast, unspecified or reserved)", (int)n, s);
	*out = a;
	return 0;
}

int value_tun_address(const char *s, size_t n, struct ipaddr *out, struct value_error *e)
{
	struct ipaddr a;
	int r = value_address(s, n, &a, e);

	if (r < 0)
		return r;
	if (!addr_is_assignable(&a))
		return value_fail(e, FC_TUNIP, 0, "%.*s cannot stand on an interface (loopback, "
				  "multicast, unspecified or reserved)", (int)n, s);
	*out = a;
	return 0;
}

int value_prefix(const char *s, size_t n, struct prefix *out, bool *had_bits,
		 struct value_error *e)
{
	const char *slash = memchr(s, '/', n), *what = "ADDRESS/LENGTH, e.g. 10.0.0.0/8 or fd00::/8,";
	size_t addr_n = slash ? (size_t)(slash - s) : n, i;
	char quoted[TEXT_QUOTE_SIZE];
	unsigned int len = 0, max;
	struct prefix p;
	int r;

	r = address(s, addr_n, FC_PREFIX, what, &p.addr, e);
	if (r < 0)
		return r;
	max = p.addr.family == 4 ? 32 : 128;
	if (!slash)
		return value_fail(e, FC_PREFIX, n, "%s has no prefix length; a single address is "
				  "written %.*s/%u", text_quote(s, n, quoted), (int)n, s, max);
	for (i = addr_n + 1; i < n && s[i] >= '0' && s[i] <= '9' && len <= 128; i++)
		len = len * 10 + (unsigned int)(s[i] - '0');
	if (i < n || addr_n + 1 == n || len > max || (s[addr_n + 1] == '0' && n - addr_n > 2))
		return value_fail(e, FC_PREFIX, addr_n + 1, "%s is not a prefix length; 0 to %u is "
				  "accepted", text_quote(slash + 1, n - addr_n - 1, quoted), max);
	p.len = (uint8_t)len;
	*had_bits = prefix_mask(&p);
	*out = p;
	return 0;
}

int value_ula(const char *s, size_t n, struct prefix *out, bool *had_bits,
	      struct value_error *e)
{
	struct prefix p;
	bool bits;
	int r = value_prefix(s, n, &p, &bits, e);

	if (r < 0)
		return r;
	if (p.addr.family != 6 || (p.addr.bytes[0] & 0xfe) != 0xfc || p.len < ULA_LEN_MIN ||
	    p.len > ULA_LEN_MAX)
		return value_fail(e, FC_ULA, 0, "%.*s is not a ULA prefix; a prefix inside fc00::/7 "
				  "with a length of %u to %u is accepted", (int)n, s, ULA_LEN_MIN,
				  ULA_LEN_MAX);
	*out = p;
	*had_bits = bits;
	return 0;
}

/* ---- names ------------------------------------------------------------------------------ */

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* One rule for host and domain names.  @e->at is relative to @s. */
static int name_check(const char *s, size_t n, bool underscores, enum finding_code code,
		      struct value_error *e)
{
	char quoted[TEXT_QUOTE_SIZE];
	size_t i, label = 0;

	if (n > PROFILE_NAME_MAX - 1)
		return value_fail(e, code, 0, "the name has %zu characters; at most %d are accepted",
				  n, PROFILE_NAME_MAX - 1);
	if (looks_ipv4(s, n))
		return value_fail(e, code, 0, "%s is made of digits and periods, which is an address "
				  "and not a name", text_quote(s, n, quoted));
	for (i = 0; i <= n; i++) {
		bool end = i == n || s[i] == '.';

		if (end && i == label)
			return value_fail(e, code, i, "%s", i == n && n ?
					  "a name may not end in a period" :
					  "an empty label; names are labels with periods between them");
		if (end && s[i - 1] == '-')
			return value_fail(e, code, i - 1, "a label may not end in a hyphen");
		if (end && i - label > LABEL_MAX)
			return value_fail(e, code, label, "a label has %zu characters; at most 63 are "
					  "accepted", i - label);
		if (end) {
			label = i + 1;
			continue;
		}
		if (is_alnum(s[i]) || (underscores && s[i] == '_'))
			continue;
		if (s[i] == '-' && i > label)
			continue;
		if (s[i] == '-')
			return value_fail(e, code, i, "a label may not begin with a hyphen");
		if ((unsigned char)s[i] >= 0x80)
			return value_fail(e, code, i, "international names are written in their xn-- "
					  "form");
		return value_fail(e, code, i, "a name may not have %s; letters, digits, hyphens%s and "
				  "periods are accepted", text_quote(s + i, 1, quoted),
				  underscores ? ", underscores" : "");
	}
	return 0;
}

int value_domain(const char *s, size_t n, bool strict, char *out, struct value_error *e)
{
	int r = name_check(s, n, !strict, FC_DOMAIN, e);

	if (!r && out) {
		memcpy(out, s, n);
		out[n] = '\0';
	}
	return r;
}

static int host_port(const char *s, size_t n, size_t at, uint16_t *out, struct value_error *e)
{
	struct port_range port;

	if (memchr(s, '-', n) || value_ports(s, n, &port, e) < 0)
		return value_fail(e, FC_HOST, at, "what follows the ':' is not a port; 1 to 65535 is "
				  "accepted");
	*out = port.lo;
	return 0;
}

int value_host(const char *s, size_t n, struct profile_host *out, struct value_error *e)
{
	const char *what = "NAME, ADDRESS or [IPV6], with or without :PORT,";
	struct profile_host h = { .port = PORT_DEFAULT };
	const char *colon = memchr(s, ':', n), *close;
	const char *name = s;
	size_t name_n = n;
	int r;

	if (n && s[0] == '[') {
		close = memchr(s, ']', n);
		if (!close)
			return value_fail(e, FC_HOST, 0, "the closing bracket is missing; %s is accepted",
					  what);
		name = s + 1;
		name_n = (size_t)(close - name);
		colon = close + 1 < s + n ? close + 1 : NULL;
		if (colon && *colon != ':')
			return value_fail(e, FC_HOST, (size_t)(colon - s), "only :PORT may follow the "
					  "bracket");
		r = address(name, name_n, FC_HOST, "an IPv6 address in brackets", &h.addr, e);
		if (!r && h.addr.family != 6)
			r = value_fail(e, FC_HOST, 0, "brackets are for IPv6 addresses");
		if (r < 0) {
			e->at = 1;
			return r;
		}
	} else if (colon && memchr(colon + 1, ':', n - (size_t)(colon + 1 - s))) {
		/* two colons: an IPv6 address, which has no port unless in brackets */
		colon = NULL;
		r = address(s, n, FC_HOST, "an IPv6 address, in brackets when a port follows,",
			    &h.addr, e);
		if (r < 0)
			return r;
	} else {
		if (colon)
			name_n = (size_t)(colon - s);
		r = looks_ipv4(s, name_n) ? address(s, name_n, FC_HOST, what, &h.addr, e) :
					    name_check(s, name_n, false, FC_HOST, e);
		if (r < 0)
			return r;
	}
	if (colon) {
		r = host_port(colon + 1, n - (size_t)(colon + 1 - s), (size_t)(colon + 1 - s),
			      &h.port, e);
		if (r < 0)
			return r;
	}
	memcpy(h.name, name, name_n);
	h.name[name_n] = '\0';
	*out = h;
	return 0;
}
