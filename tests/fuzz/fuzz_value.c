/* SPDX-License-Identifier: MIT */
/* fuzz: profiles/schema.c profiles/value.c profiles/value_addr.c profiles/finding.c profiles/text.c profiles/addr.c */
/* The first byte picks a reader, the rest is one value: what is accepted is what it claims. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/schema.h"
#include "profiles/text.h"
#include "profiles/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *value;
static size_t n;
static struct value_error e;

/* The readers are promised UTF-8 without NUL. */
static bool is_text(void)
{
	size_t i, len;

	for (i = 0; i < n; i += len) {
		len = text_utf8(value + i, n - i);
		if (!len || !value[i])
			return false;
	}
	return true;
}

static void sound(int r)
{
	if (r)
		assert(e.at <= n && *e.text && e.code < FINDING_N_CODES);
}

static void number(void)
{
	uint64_t v = 0;
	char text[24];
	int r = value_number(value, n, 5, 18000, true, &v, &e), k;

	sound(r);
	if (r)
		return;
	assert(!v || (v >= 5 && v <= 18000));
	for (k = 0; v || !k; k++, v /= 10)
		text[sizeof(text) - 1 - (size_t)k] = (char)('0' + v % 10);
	assert((size_t)k == n && !memcmp(text + sizeof(text) - n, value, n));
}

static void prefix(bool ula)
{
	char text[PREFIX_STRLEN];
	struct prefix p, again;
	bool bits, more;
	int r = ula ? value_ula(value, n, &p, &bits, &e) : value_prefix(value, n, &p, &bits, &e);

	sound(r);
	if (r)
		return;
	prefix_format(&p, text);
	assert(!value_prefix(text, strlen(text), &again, &more, &e));
	assert(!more && prefix_equal(&p, &again));
	assert(!ula || (p.addr.family == 6 && p.len >= 7 && p.len <= 64));
}

static void host(void)
{
	struct profile_host h;
	struct ipaddr a;
	int r = value_host(value, n, &h, &e);

	sound(r);
	if (r)
		return;
	assert(h.port && h.name[0] && memchr(h.name, '\0', sizeof(h.name)));
	assert((addr_parse(h.name, &a) == 0) == (h.addr.family != 0));
	assert(!strpbrk(h.name, " []/%_"));
}

static void pin(void)
{
	struct profile_pin p;
	int r = value_pin(value, n, "/folder", &p, &e);

	sound(r);
	if (!r)
		assert((p.kind == PIN_FILE) == (p.path[0] == '/'));
}

static void texts(void)
{
	char path[PROFILE_PATH_MAX], service[129], name[PROFILE_NAME_MAX], text[PROFILE_TEXT_MAX];
	char email[PROFILE_EMAIL_MAX];
	int r;

	r = value_path(value, n, "/folder", path, &e);
	sound(r);
	assert(r || (path[0] == '/' && strlen(path) < sizeof(path)));
	r = value_service(value, n, service, &e);
	sound(r);
	assert(r || (strlen(service) == n && !strchr(service, ' ')));
	r = value_domain(value, n, false, name, &e);
	sound(r);
	assert(r || strlen(name) == n);
	sound(value_domain(value, n, true, NULL, &e));
	r = value_text(value, n, 1, 255, text, sizeof(text), &e);
	sound(r);
	assert(r || (strlen(text) == n && text_chars(text, n) <= 255));
	r = value_email(value, n, email, &e);
	sound(r);
	assert(r || strlen(email) == n);
	sound(value_app(value, n, &e));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct port_range ports;
	struct ipaddr a;
	unsigned int word;
	int r;

	if (!size)
		return 0;
	value = (const char *)data + 1;
	n = size - 1;
	if (!is_text())
		return 0;
	switch (data[0] % 8) {
	case 0:
		number();
		break;
	case 1:
		prefix(false);
		break;
	case 2:
		prefix(true);
		break;
	case 3:
		host();
		break;
	case 4:
		pin();
		break;
	case 5:
		texts();
		break;
	case 6:
		r = value_ports(value, n, &ports, &e);
		sound(r);
		assert(r || (ports.lo >= 1 && ports.lo <= ports.hi));
		r = value_tun_address(value, n, &a, &e);
		sound(r);
		assert(r || addr_is_assignable(&a));
		break;
	case 7:
		r = value_log_level(value, n, schema[K_LOG_LEVEL].values, &word, &e);
		sound(r);
		assert(r || word <= LOG_LVL_PACKET);
		break;
	}
	return 0;
}
