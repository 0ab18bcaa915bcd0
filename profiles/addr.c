/* SPDX-License-Identifier: MIT */
/* addr.c - see addr.h */
#include "profiles/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_head[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

int addr_parse(const char *text, struct ipaddr *out)
{
	struct ipaddr a = { 0 };

	/* inet_pton() refuses leading zeros, zones and short forms of IPv4 */
	if (inet_pton(AF_INET, text, a.bytes) == 1) {
		a.family = 4;
	} else if (inet_pton(AF_INET6, text, a.bytes) == 1) {
		a.family = 6;
		if (addr_is_mapped(&a))
			return -EINVAL;
	} else {
		return -EINVAL;
	}
	*out = a;
	return 0;
}

char *addr_format(const struct ipaddr *a, char *buf)
{
	int af = a->family == 4 ? AF_INET : AF_INET6;

	if (!addr_len(a->family) || !inet_ntop(af, a->bytes, buf, ADDR_STRLEN))
		memcpy(buf, "-", 2);
	return buf;
}

int prefix_parse(const char *text, struct prefix *out)
{
	const char *slash = strchr(text, '/'), *s;
	char addr[ADDR_STRLEN];
	struct prefix p;
	unsigned int len = 0;

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	if (addr_parse(addr, &p.addr))
		return -EINVAL;
	s = slash + 1;
	if (!*s || (*s == '0' && s[1]))
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		len = len * 10 + (unsigned int)(*s - '0');
		if (len > addr_len(p.addr.family) * 8)
			return -EINVAL;
	}
	p.len = (uint8_t)len;
	*out = p;
	return 0;
}

char *prefix_format(const struct prefix *p, char *buf)
{
	size_t n;

	addr_format(&p->addr, buf);
	n = strlen(buf);
	snprintf(buf + n, PREFIX_STRLEN - n, "/%u", p->len);
	return buf;
}

bool prefix_mask(struct prefix *p)
{
	uint8_t *bytes = p->addr.bytes;
	size_t size = addr_len(p->addr.family), i = p->len / 8;
	bool had = false;

	if (i < size && p->len % 8) {
		uint8_t host = (uint8_t)(0xff >> (p->len % 8));

		had = bytes[i] & host;
		bytes[i] &= (uint8_t)~host;
		i++;
	}
	for (; i < size; i++) {
		had |= bytes[i] != 0;
		bytes[i] = 0;
	}
	return had;
}

bool addr_is_mapped(const struct ipaddr *a)
{
	return a->family == 6 && !memcmp(a->bytes, mapped_head, sizeof(mapped_head));
}

bool addr_equal(const struct ipaddr *a, const struct ipaddr *b)
{
	return addr_compare(a, b) == 0;
}

int addr_compare(const struct ipaddr *a, const struct ipaddr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, addr_len(a->family));
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && addr_equal(&a->addr, &b->addr);
}

bool prefix_has(const struct prefix *p, const struct ipaddr *a)
{
	size_t whole = p->len / 8;
	unsigned int rest = p->len % 8;

	if (a->family != p->addr.family || p->len > addr_len(a->family) * 8)
		return false;
	if (memcmp(a->bytes, p->addr.bytes, whole))
		return false;
	return !rest || !((a->bytes[whole] ^ p->addr.bytes[whole]) >> (8 - rest));
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return outer->len <= inner->len && prefix_has(outer, &inner->addr);
}

/* is @a inside the prefix that @bytes begin?  The bytes not given are 0. */
static bool addr_in(const struct ipaddr *a, uint8_t family, uint8_t len,
		    uint8_t b0, uint8_t b1)
{
	struct prefix p = { .addr = { .family = family, .bytes = { b0, b1 } }, .len = len };

	return prefix_has(&p, a);
}

static bool addr_is_one(const struct ipaddr *a)
{
	static const struct ipaddr one = { .family = 6, .bytes = { [15] = 1 } };

	return addr_equal(a, &one);
}

bool addr_is_loopback(const struct ipaddr *a)
{
	return addr_in(a, 4, 8, 127, 0) || addr_is_one(a);
}

bool addr_is_multicast(const struct ipaddr *a)
{
	return addr_in(a, 4, 4, 224, 0) || addr_in(a, 6, 8, 0xff, 0);
}

bool addr_is_unspecified(const struct ipaddr *a)
{
	return addr_in(a, 4, 32, 0, 0) || addr_in(a, 6, 128, 0, 0);
}

bool addr_is_linklocal(const struct ipaddr *a)
{
	return addr_in(a, 4, 16, 169, 254) || addr_in(a, 6, 10, 0xfe, 0x80);
}

bool addr_is_assignable(const struct ipaddr *a)
{
	if (!addr_len(a->family))
		return false;
	return !addr_in(a, 4, 8, 0, 0) && !addr_in(a, 4, 3, 224, 0) &&
	       !addr_is_loopback(a) && !addr_is_multicast(a) && !addr_is_unspecified(a);
}

socklen_t addr_to_sockaddr(const struct ipaddr *a, uint16_t port,
			   struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		sin->sin_family = AF_INET;
		sin->sin_port = htons(port);
		memcpy(&sin->sin_addr, a->bytes, 4);
		return sizeof(*sin);
	}
	if (a->family == 6) {
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(port);
		memcpy(&sin6->sin6_addr, a->bytes, 16);
		return sizeof(*sin6);
	}
	return 0;
}

int addr_from_sockaddr(const struct sockaddr_storage *ss, struct ipaddr *a,
		       uint16_t *port)
{
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)ss;
	const struct sockaddr_in *sin = (const struct sockaddr_in *)ss;
	struct ipaddr out = { 0 };

	if (ss->ss_family == AF_INET) {
		out.family = 4;
		memcpy(out.bytes, &sin->sin_addr, 4);
		if (port)
			*port = ntohs(sin->sin_port);
	} else if (ss->ss_family == AF_INET6) {
		out.family = 6;
		memcpy(out.bytes, &sin6->sin6_addr, 16);
		if (port)
			*port = ntohs(sin6->sin6_port);
	} else {
		return -EINVAL;
	}
	*a = out;
	return 0;
}
