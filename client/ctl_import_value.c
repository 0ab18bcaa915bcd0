/* SPDX-License-Identifier: MIT */
/* ctl_import_value.c - one value, from theirs to ours */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_import.h"
#include "profiles/value.h"

/* ---- would our reader take it? -------------------------------------------------------------- */

static bool check_value(const struct schema_key *k, const char *s, size_t n, struct value_error *e)
{
	char text[PROFILE_PATH_MAX];
	struct profile_host host;
	struct profile_pin pin;
	struct port_range ports;
	struct prefix prefix;
	struct ipaddr addr;
	unsigned int word;
	uint64_t number;
	bool bits;

	switch ((enum schema_type)k->type) {
	case T_TEXT:
		return !value_text(s, n, k->min, k->max, NULL, 0, e);
	case T_NUMBER:
		return !value_number(s, n, k->min, k->max, k->or_zero, &number, e);
	case T_ENUM:
		return !value_enum(s, n, k->values, &word, e);
	case T_LOG_LEVEL:
		return !value_log_level(s, n, k->values, &word, e);
	case T_HOST:
		return !value_host(s, n, &host, e);
	case T_SERVICE:
		return !value_service(s, n, NULL, e);
	case T_PATH:
		return !value_path(s, n, "/", text, e);
	case T_PIN:
		return !value_pin(s, n, "/", &pin, e);
	case T_PREFIX:
		return !value_prefix(s, n, &prefix, &bits, e);
	case T_ULA:
		return !value_ula(s, n, &prefix, &bits, e);
	case T_PORTS:
		return !value_ports(s, n, &ports, e);
	case T_ADDRESS:
		return !value_address(s, n, &addr, e);
	case T_TUN_ADDRESS:
		return !value_tun_address(s, n, &addr, e);
	case T_DOMAIN:
		return !value_domain(s, n, false, NULL, e);
	case T_STRICT_DOMAIN:
		return !value_domain(s, n, true, NULL, e);
	case T_EMAIL:
		return !value_email(s, n, NULL, e);
	case T_APP:
		return !value_app(s, n, e);
	}
	return false;
}

/* What an administrator's console replaces for each device: no value of anybody's. */
static bool is_placeholder(const char *s, size_t n)
{
	return n > 2 && ((s[0] == '$' && (s[n - 1] == '$' || s[n - 1] == '}')) ||
			 (s[0] == '{' && s[1] == '{') || (s[0] == '%' && s[n - 1] == '%'));
}

bool import_check(enum schema_id id, const char *s, size_t n, char *why)
{
	struct value_error e = { .text = "not accepted" };
	const struct schema_key *k = &schema[id];
	size_t i;

	if (is_placeholder(s, n)) {
		snprintf(why, IMPORT_TEXT_MAX, "a placeholder that the management server fills in");
		return false;
	}
	for (i = 0; i < n; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f) {
			snprintf(why, IMPORT_TEXT_MAX, "a line break or another control character");
			return false;
		}
	}
	/* a path of another machine, or one that somebody wants us to read */
	if (k->type == T_PATH || (k->type == T_PIN && (n < 7 || !text_same(s, 6, "sha256")))) {
		snprintf(why, IMPORT_TEXT_MAX, "the path of a file is not taken over; name one of "
			 "this machine");
		return false;
	}
	if (check_value(k, s, n, &e))
		return true;
	snprintf(why, IMPORT_TEXT_MAX, "%s", e.text);
	return false;
}

/* ---- one value ------------------------------------------------------------------------------ */

struct carrying {
	struct import_result *r;
	enum schema_id id;
	const char *where;
};

static char *name_of(enum schema_id id, char *buf)
{
	snprintf(buf, SCHEMA_NAME_MAX, "[%s] %s", schema[id].section, schema[id].name);
	return buf;
}

/* What it means that a key is not there, where that is not plain. */
static const char *consequence(enum schema_id id)
{
	if (id == K_ALLOWED || id == K_DISALLOWED)
		return ": every app uses the tunnel";
	if (id == K_EXCLUDED)
		return ": the tunnel takes these networks, too";
	if (id == K_UDP_PORTS)
		return ": all UDP is tunnelled";
	return id == K_ROUTES ? ": the default, all of IPv4, is in effect" : "";
}

static void refuse(const struct carrying *c, const char *why)
{
	char name[SCHEMA_NAME_MAX];

	import_note(c->r, IMPORT_NOT_CARRIED, c->where, "%s; %s is left out%s", why,
		    name_of(c->id, name), consequence(c->id));
}

static void refuse_empty(const struct carrying *c)
{
	char name[SCHEMA_NAME_MAX];

	import_note(c->r, IMPORT_NOT_CARRIED, c->where, "empty; %s is left out",
		    name_of(c->id, name));
}

static void refuse_type(const struct carrying *c, const struct node *n, const char *accepted)
{
	char text[IMPORT_TEXT_MAX];

	snprintf(text, sizeof(text), "%s, where %s is accepted", node_what(n), accepted);
	refuse(c, text);
}

int import_number(const struct node *n, int64_t *out)
{
	const char *s = n->s;
	char *end;
	long long v;

	if (n->kind == NODE_INT) {
		*out = n->i;
		return 0;
	}
	if (n->kind == NODE_REAL) {
		if (!isfinite(n->real) || n->real != floor(n->real))
			return -EINVAL;
		*out = n->real > 9e18 ? INT64_MAX : n->real < -9e18 ? INT64_MIN : (int64_t)n->real;
		return fabs(n->real) > 9e18 ? -ERANGE : 0;
	}
	if (n->kind != NODE_STRING)
		return -EINVAL;
	while (*s == ' ')
		s++;
	if (!((*s >= '0' && *s <= '9') || (*s == '-' && s[1] >= '0' && s[1] <= '9')))
		return -EINVAL;
	errno = 0;
	v = strtoll(s, &end, 10);
	*out = v;
	while (*end == ' ')
		end++;
	if (*end)
		return -EINVAL;
	return errno == ERANGE ? -ERANGE : 0;
}

static void carry_number(const struct carrying *c, const struct node *n)
{
	const struct schema_key *k = &schema[c->id];
	const char *zero = k->or_zero ? "0 or " : "";
	char text[32], quoted[TEXT_QUOTE_SIZE];
	int64_t v = 0, to;
	int err = import_number(n, &v);

	if (err == -EINVAL && n->kind == NODE_STRING) {
		char why[IMPORT_TEXT_MAX];

		snprintf(why, sizeof(why), "%s is not a number", text_quote(n->s, n->n, quoted));
		refuse(c, why);
		return;
	}
	if (err == -EINVAL) {
		refuse_type(c, n, "a whole number");
		return;
	}
	to = v;
	if (v < (int64_t)k->min && !(k->or_zero && v == 0))
		to = (int64_t)k->min;
	else if (v > (int64_t)k->max)
		to = (int64_t)k->max;
	if (err || to != v)
		import_note(c->r, IMPORT_CHANGED, c->where, "%" PRId64 "%s is out of range; "
			    "%" PRId64
			    " is written (%s%" PRIu64 " to %" PRIu64 " is accepted)", v,
			    err ? " and beyond" : "", to, zero, k->min, k->max);
	snprintf(text, sizeof(text), "%" PRId64, to);
	import_value(c->r, c->id, 0, text, c->where);
}

static bool is_bool(const struct schema_key *k)
{
	return k->type == T_ENUM && !strcmp(k->values[0], "false");
}

/* "Sentry Profile Only" and the like, as the consoles say it. */
static const char *mode_word(const char *s)
{
	char l[IMPORT_NAME_MAX + 1];
	bool sentry, access;

	import_loose(s, l);
	sentry = strstr(l, "sentry");
	access = strstr(l, "access");
	return sentry && access ? "sentry+access" : sentry ? "sentry" : access ? "access" : s;
}

static void carry_word(const struct carrying *c, const struct node *n)
{
	const struct schema_key *k = &schema[c->id];
	char why[IMPORT_TEXT_MAX];
	const char *s = n->s;
	int truth;

	if (is_bool(k)) {
		truth = node_truth(n);
		if (truth < 0)
			refuse_type(c, n, "true or false");
		else
			import_value(c->r, c->id, 0, truth ? "true" : "false", c->where);
		return;
	}
	if (n->kind != NODE_STRING) {
		refuse_type(c, n, "a text");
		return;
	}
	if (c->id == K_MODE)
		s = mode_word(s);
	if (!import_check(c->id, s, strlen(s), why))
		refuse(c, why);
	else
		import_value(c->r, c->id, 0, s, c->where);
}

static void carry_text(const struct carrying *c, const struct node *n)
{
	char why[IMPORT_TEXT_MAX];
	const char *s = n->s;
	size_t len = n->n;
	char *text;

	if (n->kind != NODE_STRING) {
		refuse_type(c, n, "a text");
		return;
	}
	while (len && (*s == ' ' || *s == '\t')) {
		s++;
		len--;
	}
	while (len && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	if (!import_check(c->id, s, len, why)) {
		if (len)
			refuse(c, why);
		else
			refuse_empty(c);
		return;
	}
	text = strndup(s, len);
	if (!text) {
		c->r->failed = true;
		return;
	}
	import_value(c->r, c->id, 0, text, c->where);
	free(text);
}

/* ---- lists ---------------------------------------------------------------------------------- */

struct list {
	struct text joined;	/* elements, each with a NUL behind it */
	size_t n, empty;
};

/* Return: false: the whole key is left out (said) */
static bool list_text(const struct carrying *c, struct list *l, const char *s, size_t n)
{
	char why[IMPORT_TEXT_MAX];
	const char *elem;
	size_t len;

	while (value_element(&s, &n, &elem, &len)) {
		if (!len) {
			l->empty++;
			continue;
		}
		if (!import_check(c->id, elem, len, why)) {
			refuse(c, why);
			return false;
		}
		text_addn(&l->joined, elem, len);
		text_addn(&l->joined, "", 1);
		l->n++;
	}
	return true;
}

/* An entry of a list: a text, or a dictionary with a name and a description. */
static const struct node *item_text(const struct carrying *c, const struct node *item)
{
	const struct node *e, *found = NULL;

	if (item->kind != NODE_DICT)
		return item;
	for (e = item->first; e; e = e->next) {
		if (e->kind == NODE_STRING && (import_loose_same(e->key, "domain") ||
					       import_loose_same(e->key, "value") ||
					       import_loose_same(e->key, "domainname")))
			found = e;
		else
			import_note(c->r, IMPORT_NOT_CARRIED, c->where, "%s of an entry: there is "
				    "no place for it in a profile", e->key);
	}
	return found ? found : item;
}

static bool list_items(const struct carrying *c, struct list *l, const struct node *array)
{
	const struct node *item;

	for (item = array->first; item; item = item->next) {
		const struct node *n = item_text(c, item);
		char number[24];

		if (n->kind == NODE_INT && schema[c->id].type == T_PORTS && n->i >= 0) {
			snprintf(number, sizeof(number), "%" PRId64, n->i);
			if (!list_text(c, l, number, strlen(number)))
				return false;
		} else if (n->kind != NODE_STRING) {
			refuse_type(c, n, "a list of texts");
			return false;
		} else if (!list_text(c, l, n->s, n->n)) {
			return false;
		}
	}
	return true;
}

static void carry_list(const struct carrying *c, const struct node *n)
{
	struct list l = { 0 };
	const char *s;
	char number[24];
	bool good;
	size_t i;

	if (n->kind == NODE_STRING) {
		good = list_text(c, &l, n->s, n->n);
	} else if (n->kind == NODE_ARRAY) {
		good = list_items(c, &l, n);
	} else if (n->kind == NODE_INT && schema[c->id].type == T_PORTS) {
		snprintf(number, sizeof(number), "%" PRId64, n->i);
		good = list_text(c, &l, number, strlen(number));
	} else {
		refuse_type(c, n, "a list");
		good = false;
	}
	if (good && l.n > schema[c->id].max) {
		char why[IMPORT_TEXT_MAX];

		snprintf(why, sizeof(why), "%zu values, at most %" PRIu64 " are accepted", l.n,
			 schema[c->id].max);
		refuse(c, why);
		good = false;
	}
	if (good && !l.n)
		refuse_empty(c);
	else if (good && l.empty && !l.joined.failed)
		import_note(c->r, IMPORT_CHANGED, c->where, "empty entries of the list are taken "
			    "out");
	for (i = 0, s = l.joined.s; good && !l.joined.failed && i < l.n; i++, s += strlen(s) + 1)
		import_value(c->r, c->id, 0, s, c->where);
	c->r->failed |= l.joined.failed;
	text_free(&l.joined);
}

/* ---- any ------------------------------------------------------------------------------------ */

/* A certificate that is written where a pin may be. */
static bool carry_pem(const struct carrying *c, const struct node *n)
{
	if (c->id != K_PINS || (n->kind != NODE_STRING && n->kind != NODE_DATA))
		return false;
	return import_cert_bytes(c->r, c->where, n->s, n->n) > 0;
}

void import_as(struct import_result *r, enum schema_id id, const char *where, struct node *n)
{
	struct carrying c = { r, id, where };
	const struct schema_key *k = &schema[id];

	node_use(n);
	if (n->kind == NODE_NULL)
		refuse(&c, "no value");
	else if (import_has(r, id) && id != K_CONNECT_DOMAINS)
		import_note(r, IMPORT_NOT_CARRIED, where, "[%s] %s is taken from another key of "
			    "the same meaning", k->section, k->name);
	else if (carry_pem(&c, n))
		return;
	else if (k->form == FORM_LIST)
		carry_list(&c, n);
	else if (k->type == T_NUMBER)
		carry_number(&c, n);
	else if (k->type == T_ENUM)
		carry_word(&c, n);
	else
		carry_text(&c, n);
}
