/* SPDX-License-Identifier: MIT */
/*
 * dnsname.c - the little that the forwarder must understand of a message
 * (RFC 1035): its header, its one question, and the addresses of an answer,
 * which are remembered with the name that was asked for.
 *
 * Compressed names are only ever skipped, never followed.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/tunnel_priv.h"

#define DNS_TYPE_A	1
#define DNS_TYPE_AAAA	28
#define DNS_CLASS_IN	1
#define DNS_LABEL_MAX	63
#define DNS_WIRE_MAX	255		/* a name with its length bytes */
#define DNS_RR_FIXED	10		/* type, class, TTL, length */
#define DNS_RR_MAX	128		/* records of an answer that are looked at */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static bool name_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* The question's name: not compressed.  Return: the offset behind it, or -EBADMSG */
static int name_read(const uint8_t *msg, size_t len, size_t at, char *text)
{
	size_t start = at, out = 0, i;
	bool plain = true;

	while (at < len && msg[at]) {
		size_t label = msg[at++];

		if (label > DNS_LABEL_MAX || at + label >= len ||
		    at + label - start >= DNS_WIRE_MAX)
			return -EBADMSG;
		if (text && out)
			text[out++] = '.';
		for (i = 0; i < label; i++, at++) {
			plain = plain && name_char(msg[at]);
			if (text)
				text[out++] = (char)tolower(msg[at]);
		}
	}
	if (at >= len)
		return -EBADMSG;
	if (text)
		text[plain ? out : 0] = '\0';
	return (int)(at + 1);
}

/* Skip a name that may end in a pointer.  Return: the offset behind it, 0: bad */
static size_t name_skip(const uint8_t *msg, size_t len, size_t at)
{
	while (at < len) {
		uint8_t c = msg[at];

		if (!c)
			return at + 1;
		if ((c & 0xc0) == 0xc0)
			return at + 2;
		if (c > DNS_LABEL_MAX)
			return 0;
		at += 1u + c;
	}
	return 0;
}

int dns_question(const uint8_t *msg, size_t len, char *name, uint16_t *qtype)
{
	int at;

	if (len < DNS_HEADER || get16(msg + 4) != 1)
		return -EBADMSG;
	at = name_read(msg, len, DNS_HEADER, name);
	if (at < 0 || (size_t)at + 4 > len)
		return -EBADMSG;
	if (qtype)
		*qtype = get16(msg + at);
	return at + 4;
}

bool dns_same_question(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int qa = dns_question(a, a_len, NULL, NULL), qb = dns_question(b, b_len, NULL, NULL);
	int i;

	if (qa < 0 || qa != qb || memcmp(a + qa - 4, b + qb - 4, 4))
		return false;
	/* length bytes are below 64, so that folding the case leaves them alone */
	for (i = DNS_HEADER; i < qa - 4; i++)
		if (tolower(a[i]) != tolower(b[i]))
			return false;
	return true;
}

size_t dns_failure(const uint8_t *query, size_t qlen, enum dns_rcode rcode, uint8_t *out)
{
	memcpy(out, query, qlen);
	out[2] = (uint8_t)(0x80 | (query[2] & 0x79));	/* QR; opcode and RD as asked */
	out[3] = (uint8_t)(0x80 | rcode);		/* RA */
	memset(out + 4, 0, 8);
	out[5] = qlen > DNS_HEADER;
	return qlen;
}

/* ---- which name led to which address --------------------------------------------- */

struct entry {
	struct ipaddr addr;		/* family 0: free */
	uint16_t chain, older, newer;	/* index + 1; 0: none */
	uint32_t until_s;
	char name[254];
};

struct dnsnames {
	uint64_t key[2];
	uint16_t n, oldest, newest;	/* as above */
	uint16_t heads[DNS_NAMES];
	struct entry entries[DNS_NAMES];	/* touched as it fills */
};

struct dnsnames *dnsnames_new(const uint64_t key[2])
{
	struct dnsnames *n = calloc(1, sizeof(*n));

	if (n)
		memcpy(n->key, key, sizeof(n->key));
	return n;
}

void dnsnames_free(struct dnsnames *n)
{
	free(n);
}

static uint16_t *head_of(struct dnsnames *n, const struct ipaddr *a)
{
	return &n->heads[siphash24(n->key, a, sizeof(*a)) % DNS_NAMES];
}

static struct entry *find(struct dnsnames *n, const struct ipaddr *a)
{
	uint16_t i = *head_of(n, a);

	while (i && !addr_equal(&n->entries[i - 1].addr, a))
		i = n->entries[i - 1].chain;
	return i ? &n->entries[i - 1] : NULL;
}

static void age_unlink(struct dnsnames *n, struct entry *e)
{
	if (e->older)
		n->entries[e->older - 1].newer = e->newer;
	else
		n->oldest = e->newer;
	if (e->newer)
		n->entries[e->newer - 1].older = e->older;
	else
		n->newest = e->older;
}

static void age_append(struct dnsnames *n, struct entry *e)
{
	uint16_t i = (uint16_t)(e - n->entries + 1);

	e->newer = 0;
	e->older = n->newest;
	if (n->newest)
		n->entries[n->newest - 1].newer = i;
	else
		n->oldest = i;
	n->newest = i;
}

static struct entry *take(struct dnsnames *n, const struct ipaddr *a)
{
	struct entry *e;
	uint16_t *at;

	if (n->n < DNS_NAMES) {
		e = &n->entries[n->n++];
	} else {
		e = &n->entries[n->oldest - 1];
		for (at = head_of(n, &e->addr); *at != n->oldest;)
			at = &n->entries[*at - 1].chain;
		*at = e->chain;
		age_unlink(n, e);
	}
	e->addr = *a;
	at = head_of(n, a);
	e->chain = *at;
	*at = (uint16_t)(e - n->entries + 1);
	return e;
}

static void remember(struct dnsnames *n, const struct ipaddr *a, const char *name,
		     uint32_t ttl, uint64_t now)
{
	struct entry *e = find(n, a);

	if (e)
		age_unlink(n, e);
	else
		e = take(n, a);
	age_append(n, e);
	if (ttl < DNS_NAME_MIN_S)
		ttl = DNS_NAME_MIN_S;
	if (ttl > DNS_NAME_MAX_S)
		ttl = DNS_NAME_MAX_S;
	e->until_s = (uint32_t)(now / USEC_PER_SEC) + ttl;
	memcpy(e->name, name, strlen(name) + 1);
}

void dnsnames_learn(struct dnsnames *n, const uint8_t *msg, size_t len, uint64_t now)
{
	int q, records;
	char name[254];
	size_t at;

	q = dns_question(msg, len, name, NULL);
	if (q < 0 || !name[0] || (msg[3] & 0x0f) != DNS_NOERROR)
		return;
	records = get16(msg + 6);
	if (records > DNS_RR_MAX)
		records = DNS_RR_MAX;
	for (at = (size_t)q; records; records--) {
		struct ipaddr a = { 0 };
		uint16_t type, rdlen;

		at = name_skip(msg, len, at);
		if (!at || at + DNS_RR_FIXED > len)
			return;
		type = get16(msg + at);
		rdlen = get16(msg + at + 8);
		if (at + DNS_RR_FIXED + rdlen > len)
			return;
		if (get16(msg + at + 2) == DNS_CLASS_IN) {
			if (type == DNS_TYPE_A && rdlen == 4)
				a.family = 4;
			else if (type == DNS_TYPE_AAAA && rdlen == 16)
				a.family = 6;
		}
		if (a.family) {
			memcpy(a.bytes, msg + at + DNS_RR_FIXED, rdlen);
			remember(n, &a, name, get32(msg + at + 4), now);
		}
		at += (size_t)DNS_RR_FIXED + rdlen;
	}
}

const char *dnsnames_find(struct dnsnames *n, const struct ipaddr *a, uint64_t now)
{
	struct entry *e = find(n, a);

	return e && e->until_s > now / USEC_PER_SEC ? e->name : NULL;
}
