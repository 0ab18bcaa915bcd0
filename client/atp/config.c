/* SPDX-License-Identifier: MIT */
/*
 * config.c - Sentry's CONFIG: typed values within local bounds.  Sentry can
 * offer addresses, resolvers and search domains; there is no member for
 * anything else, and unknown ones are ignored.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/atp/handshake.h"
#include "client/atp/http1.h"

#define CONFIG_MTU_DEFAULT	1400
#define CONFIG_MTU_MIN		1280
#define CONFIG_MTU_MAX		65535
#define CONFIG_RESUME_DEFAULT	120
#define CONFIG_RESUME_MAX	3600
#define CONFIG_STREAMS_DEFAULT	65536
#define CONFIG_STREAMS_MAX	(1 << 20)
#define CONFIG_LABEL_MAX	63
#define CONFIG_NAME_MAX		253

struct notes {
	char *text;
	size_t size, len;
};

/* Add a phrase; what does not fit any more is cut. */
static void note(struct notes *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct notes *n, const char *fmt, ...)
{
	va_list ap;
	int len;

	if (n->len && n->len + 2 < n->size) {
		n->text[n->len++] = ';';
		n->text[n->len++] = ' ';
		n->text[n->len] = '\0';
	}
	if (n->len + 1 >= n->size)
		return;
	va_start(ap, fmt);
	len = vsnprintf(n->text + n->len, n->size - n->len, fmt, ap);
	va_end(ap);
	if (len > 0)
		n->len = n->len + (size_t)len < n->size ? n->len + (size_t)len : n->size - 1;
}

/* A protocol error replaces the warnings collected so far. */
static int fail(struct notes *n, const char *what)
{
	n->len = 0;
	note(n, "CONFIG: %s", what);
	return -EPROTO;
}

/* "letters, digits, - and _", labels of 1 to 63, 253 in all; a final dot is dropped */
static bool name_copy(char *out, size_t size, const char *text, size_t len)
{
	size_t i, label = 0;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > CONFIG_NAME_MAX || len >= size)
		return false;
	for (i = 0; i < len; i++) {
		char c = text[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		      (c >= 'A' && c <= 'Z') || c == '-' || c == '_'))
			return false;
		if (++label > CONFIG_LABEL_MAX)
			return false;
	}
	if (label == 0)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

/* Return: 0, -EPROTO; absent leaves *out alone */
static int get_int(json_t *root, const char *name, json_int_t min, json_int_t max,
		   json_int_t *out)
{
	json_t *v = json_object_get(root, name);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return -EPROTO;
	*out = json_integer_value(v);
	return 0;
}

static int get_interface(json_t *root, const char *name, uint8_t family, struct ipaddr *out)
{
	json_t *v = json_object_get(root, name);
	struct prefix p;
	const char *text;

	if (!v)
		return 0;
	text = json_string_value(v);
	if (!text)
		return -EPROTO;
	if (strchr(text, '/') ? prefix_parse(text, &p) : addr_parse(text, &p.addr))
		return -EPROTO;
	if (p.addr.family != family || !addr_is_assignable(&p.addr))
		return -EPROTO;
	*out = p.addr;
	return 0;
}

static int get_dns(json_t *root, struct atp_config *c, struct notes *n)
{
	json_t *v = json_object_get(root, "dns"), *e;
	struct ipaddr a;
	size_t i;

	if (!v)
		return 0;
	if (!json_is_array(v) || json_array_size(v) > ATP_CONFIG_DNS)
		return -EPROTO;
	json_array_foreach(v, i, e) {
		const char *text = json_string_value(e);

		if (!text || addr_parse(text, &a) < 0 || !addr_is_assignable(&a))
			note(n, "dns entry %zu left out", i + 1);
		else
			c->dns[c->n_dns++] = a;
	}
	return 0;
}

static int get_search(json_t *root, struct atp_config *c, struct notes *n)
{
	json_t *v = json_object_get(root, "search"), *e;
	size_t i;

	if (!v)
		return 0;
	if (!json_is_array(v) || json_array_size(v) > ATP_CONFIG_SEARCH)
		return -EPROTO;
	json_array_foreach(v, i, e) {
		const char *text = json_string_value(e);

		if (!text || !name_copy(c->search[c->n_search], sizeof(c->search[0]),
					text, strlen(text)))
			note(n, "search entry %zu left out", i + 1);
		else
			c->n_search++;
	}
	return 0;
}

/* name, name:port, v4, v4:port, [v6], [v6]:port */
static bool resume_host_ok(const char *text)
{
	char host[CONFIG_NAME_MAX + 1];
	const char *port = NULL, *end;
	struct ipaddr a;
	uint64_t n;
	size_t len;

	if (*text == '[') {
		end = strchr(text, ']');
		len = end ? (size_t)(end - text - 1) : sizeof(host);
		if (len >= sizeof(host))
			return false;
		memcpy(host, text + 1, len);
		host[len] = '\0';
		if (addr_parse(host, &a) < 0 || a.family != 6)
			return false;
		if (end[1] == ':')
			port = end + 2;
		else if (end[1])
			return false;
	} else {
		end = strchr(text, ':');
		len = end ? (size_t)(end - text) : strlen(text);
		if (!name_copy(host, sizeof(host), text, len))
			return false;
		if (strspn(host, "0123456789.") == strlen(host) && addr_parse(host, &a) < 0)
			return false;	/* digits and dots, yet no address */
		if (end)
			port = end + 1;
	}
	return !port || (http_decimal(port, 65535, &n) == 0 && n > 0);
}

static int get_resume_host(json_t *root, struct atp_config *c, struct notes *n)
{
	json_t *v = json_object_get(root, "resume_host");
	const char *text;
	size_t len;

	if (!v)
		return 0;
	text = json_string_value(v);
	if (!text)
		return -EPROTO;
	len = strlen(text);
	if (len >= sizeof(c->resume_host) || !resume_host_ok(text)) {
		note(n, "resume_host left out");
		return 0;
	}
	memcpy(c->resume_host, text, len + 1);
	return 0;
}

static int read_members(json_t *root, struct atp_config *c, struct notes *n)
{
	json_int_t mtu = CONFIG_MTU_DEFAULT, window = CONFIG_RESUME_DEFAULT;
	json_int_t streams = CONFIG_STREAMS_DEFAULT;

	if (get_interface(root, "interface4", 4, &c->interface4) < 0)
		return fail(n, "interface4 is not an IPv4 address that can stand on an interface");
	if (get_interface(root, "interface6", 6, &c->interface6) < 0)
		return fail(n, "interface6 is not an IPv6 address that can stand on an interface");
	if (get_dns(root, c, n) < 0)
		return fail(n, "dns is not a list of at most 8 addresses");
	if (get_search(root, c, n) < 0)
		return fail(n, "search is not a list of at most 32 names");
	if (get_int(root, "mtu", 0, CONFIG_MTU_MAX, &mtu) < 0)
		return fail(n, "mtu is not a number up to 65535");
	if (get_int(root, "resume_window_s", 0, CONFIG_RESUME_MAX, &window) < 0)
		return fail(n, "resume_window_s is not a number from 0 to 3600");
	if (get_resume_host(root, c, n) < 0)
		return fail(n, "resume_host is not a text");
	if (get_int(root, "max_streams", 1, CONFIG_STREAMS_MAX, &streams) < 0)
		return fail(n, "max_streams is not a number from 1 to 1048576");
	c->mtu = (uint16_t)(mtu < CONFIG_MTU_MIN ? CONFIG_MTU_MIN : mtu);
	c->resume_window_s = (uint32_t)window;
	c->max_streams = (uint32_t)streams;
	return 0;
}

int atp_config_parse(const char *json, size_t len, struct atp_config *out,
		     char *why, size_t why_size)
{
	char spare[1];
	struct notes n = { why_size ? why : spare, why_size ? why_size : 1, 0 };
	struct atp_config c;
	const char *text = "";
	json_t *root;
	int err;

	n.text[0] = '\0';
	if (len > LIMIT_CONFIG)
		return fail(&n, "over 16 KiB");
	root = http_json(json, len, &text);
	if (!root)
		return fail(&n, text);
	memset(&c, 0, sizeof(c));
	err = read_members(root, &c, &n);
	json_decref(root);
	if (!err)
		*out = c;
	return err;
}

static int put_addr(json_t *root, const char *name, const struct ipaddr *a)
{
	char text[ADDR_STRLEN];

	if (!a->family)
		return 0;
	return json_object_set_new(root, name, json_string(addr_format(a, text)));
}

static int put_lists(json_t *root, const struct atp_config *c)
{
	json_t *dns = json_array(), *search = json_array();
	char text[ADDR_STRLEN];
	uint32_t i;
	int err = 0;

	for (i = 0; i < c->n_dns && i < ATP_CONFIG_DNS; i++)
		err |= json_array_append_new(dns, json_string(addr_format(&c->dns[i], text)));
	for (i = 0; i < c->n_search && i < ATP_CONFIG_SEARCH; i++)
		err |= json_array_append_new(search, json_string(c->search[i]));
	/* both take the reference also when they fail */
	err |= json_object_set_new(root, "dns", dns);
	err |= json_object_set_new(root, "search", search);
	return err;
}

int atp_config_write(const struct atp_config *c, char *buf, size_t size)
{
	json_t *root = json_object();
	size_t len = 0;
	int err;

	if (!root)
		return -ENOSPC;
	err = put_addr(root, "interface4", &c->interface4);
	err |= put_addr(root, "interface6", &c->interface6);
	err |= put_lists(root, c);
	err |= json_object_set_new(root, "mtu", json_integer(c->mtu));
	err |= json_object_set_new(root, "resume_window_s", json_integer(c->resume_window_s));
	if (c->resume_host[0])
		err |= json_object_set_new(root, "resume_host", json_string(c->resume_host));
	err |= json_object_set_new(root, "max_streams", json_integer(c->max_streams));
	if (!err)
		len = json_dumpb(root, buf, size, JSON_COMPACT);
	json_decref(root);
	return len == 0 || len > size || len > LIMIT_CONFIG ? -ENOSPC : (int)len;
}
