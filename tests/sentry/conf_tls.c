/* SPDX-License-Identifier: MIT */
/* conf_tls.c - see conf_tls.h */
#define _GNU_SOURCE
#include "tests/sentry/conf_tls.h"

#include "tests/sentry/sentry.h"

#include <stdlib.h>
#include <string.h>

void conf_tls_version(struct conf_reader *r, const char *v, int *out)
{
	static const struct { const char *text; int v; } t[] = {
		{ "1.0", TLS1_VERSION }, { "1.1", TLS1_1_VERSION },
		{ "1.2", TLS1_2_VERSION }, { "1.3", TLS1_3_VERSION },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		if (strcmp(v, t[i].text) == 0) {
			*out = t[i].v;
			return;
		}
	}
	conf_bad(r, "'%s' is not 1.0, 1.1, 1.2 or 1.3", v);
}

/* Is @name (of @n bytes) one of a list with ", " or ":" between? */
static bool listed(const char *list, const char *name, size_t n)
{
	while (list && *list) {
		size_t len = strcspn(list, ",:");

		if (len == n && memcmp(list, name, n) == 0)
			return true;
		list += len;
		list += strspn(list, ",: ");
	}
	return false;
}

static void add_cipher(struct conf_reader *r, const char *name, size_t n)
{
	struct conf *c = r->c;
	bool is13 = listed(CONF_CIPHERS_13, name, n);
	char **list = is13 ? &c->ciphers13 : &c->ciphers12, *all;

	if (!is13 && !listed(CONF_CIPHERS_12, name, n)) {
		conf_bad(r, "'%.*s' is not a cipher suite that is accepted; these are: %s, %s", (int)n,
			 name, CONF_CIPHERS_13, CONF_CIPHERS_12);
		return;
	}
	if (listed(*list, name, n)) {
		conf_bad(r, "%.*s stands twice", (int)n, name);
		return;
	}
	if (asprintf(&all, "%s%s%.*s", *list ? *list : "", *list ? ":" : "", (int)n, name) < 0) {
		conf_bad(r, "out of memory");
		return;
	}
	free(*list);
	*list = all;
}

void conf_tls_cipher(struct conf_reader *r, const char *v)
{
	for (;;) {
		size_t n = strcspn(v, ":");

		add_cipher(r, v, n);
		v += n;
		if (!*v++)
			return;
	}
}

void conf_tls_whole(struct conf_reader *r)
{
	const struct conf *c = r->c;

	if (c->tls_min > c->tls_max) {
		conf_bad(r, "TlsMin is above TlsMax");
		return;
	}
	/* what is missing may be what was refused above */
	if (r->errors || (!c->ciphers12 && !c->ciphers13))
		return;
	if (c->tls_min < TLS1_2_VERSION)
		conf_bad(r, "Ciphers are those of TLS 1.2 and 1.3, and TlsMin is below; leave Ciphers "
			 "out, or set TlsMin = 1.2");
	else if (c->tls_max >= TLS1_3_VERSION && !c->ciphers13)
		conf_bad(r, "Ciphers names none of TLS 1.3; name one of %s, or set TlsMax = 1.2",
			 CONF_CIPHERS_13);
	else if (c->tls_min <= TLS1_2_VERSION && !c->ciphers12)
		conf_bad(r, "Ciphers names none of TLS 1.2; name one of %s, or set TlsMin = 1.3",
			 CONF_CIPHERS_12);
	else if (c->tls_max < TLS1_3_VERSION && c->ciphers13)
		conf_bad(r, "Ciphers names %s, of TLS 1.3, and TlsMax is below", c->ciphers13);
	else if (c->tls_min > TLS1_2_VERSION && c->ciphers12)
		conf_bad(r, "Ciphers names %s, of TLS 1.2, and TlsMin is above", c->ciphers12);
}
