/* SPDX-License-Identifier: MIT */
/* conf_value.c - see conf_value.h */
#define _GNU_SOURCE
#include "tests/sentry/conf_value.h"

#include "tests/sentry/sentry.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- words and numbers --------------------------------------------------- */

void conf_get_text(struct conf_reader *r, const char *v, char **out)
{
	if (!*v) {
		conf_bad(r, "an empty value");
		return;
	}
	*out = strdup(v);
	if (!*out)
		conf_bad(r, "out of memory");
}

void conf_get_bool(struct conf_reader *r, const char *v, bool *out)
{
	if (strcasecmp(v, "true") == 0)
		*out = true;
	else if (strcasecmp(v, "false") == 0)
		*out = false;
	else
		conf_bad(r, "'%s' is neither true nor false", v);
}

void conf_get_number(struct conf_reader *r, const char *v, uint32_t min, uint32_t max,
		     uint32_t *out)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(v, &end, 10);
	if (errno || !isdigit((unsigned char)*v) || *end || n < min || n > max)
		conf_bad(r, "'%s' is not a number from %u to %u", v, min, max);
	else
		*out = (uint32_t)n;
}

void conf_get_seconds(struct conf_reader *r, const char *v, uint64_t *out)
{
	uint32_t n = 0;

	conf_get_number(r, v, 1, 86400, &n);
	*out = n * USEC_PER_SEC;
}

void conf_get_file(struct conf_reader *r, const char *v, char **list, uint32_t *n)
{
	if (*n == SENTRY_CAS_MAX) {
		conf_bad(r, "more than %d files", SENTRY_CAS_MAX);
		return;
	}
	for (uint32_t i = 0; i < *n; i++) {
		if (strcmp(list[i], v) == 0) {
			conf_bad(r, "%s stands twice", v);
			return;
		}
	}
	conf_get_text(r, v, &list[*n]);
	*n += list[*n] != NULL;
}

/* ---- addresses and names ------------------------------------------------- */

/* "host:port", "[v6]:port", and without port when @port is set */
static bool get_endpoint(const char *v, char host[254], uint16_t *port, bool need_port)
{
	const char *end = v + strlen(v), *colon = strrchr(v, ':'), *p;
	struct ipaddr a;
	char *e;
	unsigned long n;

	if (addr_parse(v, &a) == 0 && a.family == 6)
		colon = NULL;	/* bare IPv6 */
	if (*v == '[' && end[-1] == ']')
		colon = NULL;
	if (colon) {
		n = strtoul(colon + 1, &e, 10);
		if (!isdigit((unsigned char)colon[1]) || *e || n > 65535)
			return false;
		*port = (uint16_t)n;
		end = colon;
	} else if (need_port) {
		return false;
	}
	p = v;
	if (*p == '[' && end > p && end[-1] == ']')
		p++, end--;
	if (end == p || end - p > 253)
		return false;
	memcpy(host, p, (size_t)(end - p));
	host[end - p] = 0;
	return true;
}

void conf_get_listen(struct conf_reader *r, const char *v)
{
	struct conf *c = r->c;
	uint16_t port = 443;
	struct ipaddr a;
	char host[254];

	if (c->n_listen == SENTRY_LISTEN_MAX)
		conf_bad(r, "more than %d addresses", SENTRY_LISTEN_MAX);
	else if (!get_endpoint(v, host, &port, false) || addr_parse(host, &a))
		conf_bad(r, "'%s' is not ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT", v);
	else {
		c->listen[c->n_listen].addr = a;
		c->listen[c->n_listen++].port = port;
	}
}

void conf_get_resolver(struct conf_reader *r, const char *v)
{
	uint16_t port = 53;
	struct ipaddr a;
	char host[254], *all;

	if (!get_endpoint(v, host, &port, false) || addr_parse(host, &a)) {
		conf_bad(r, "'%s' is not ADDRESS or ADDRESS:PORT", v);
		return;
	}
	if (asprintf(&all, "%s%s%s%s%s:%u", r->c->resolvers ? r->c->resolvers : "",
		     r->c->resolvers ? "," : "", a.family == 6 ? "[" : "", host,
		     a.family == 6 ? "]" : "", port) < 0) {
		conf_bad(r, "out of memory");
		return;
	}
	free(r->c->resolvers);
	r->c->resolvers = all;
}

void conf_get_pool(struct conf_reader *r, const char *v, uint8_t family, struct prefix *out)
{
	struct prefix p;

	if (strcasecmp(v, "none") == 0)
		out->addr.family = 0;
	else if (prefix_parse(v, &p) || p.addr.family != family || prefix_mask(&p))
		conf_bad(r, "'%s' is not an IPv%u prefix without host bits, nor none", v, family);
	else
		*out = p;
}

void conf_get_allow(struct conf_reader *r, const char *v)
{
	struct conf *c = r->c;
	struct prefix p;

	if (prefix_parse(v, &p) || c->n_allow == SENTRY_ALLOW_MAX)
		conf_bad(r, "'%s' is not ADDRESS/LEN, or the list has more than %d", v,
			 SENTRY_ALLOW_MAX);
	else
		c->allow[c->n_allow++] = p;
}

void conf_get_dns(struct conf_reader *r, const char *v)
{
	struct atp_config *o = &r->c->offer;

	if (o->n_dns == ATP_CONFIG_DNS || addr_parse(v, &o->dns[o->n_dns]))
		conf_bad(r, "'%s' is not an address, or the list has more than %d", v, ATP_CONFIG_DNS);
	else
		o->n_dns++;
}

void conf_get_search(struct conf_reader *r, const char *v)
{
	struct atp_config *o = &r->c->offer;

	if (o->n_search == ATP_CONFIG_SEARCH || strlen(v) > 253)
		conf_bad(r, "'%s' is too long, or the list has more than %d", v, ATP_CONFIG_SEARCH);
	else
		snprintf(o->search[o->n_search++], sizeof(o->search[0]), "%s", v);
}

/* ---- services and their servers ------------------------------------------ */

int service_name_check(const char *name, const char **why)
{
	*why = "a service name has 1 to 128 characters";
	if (!*name || strlen(name) > 128)
		return -EINVAL;
	*why = "a service name holds no space, \\ ; * ? < > \" or |";
	if (strpbrk(name, " \\;*?<>\"|"))
		return -EINVAL;
	for (; *name; name++)
		if (iscntrl((unsigned char)*name))
			return -EINVAL;
	return 0;
}

void conf_get_service(struct conf_reader *r, const char *v)
{
	struct conf *c = r->c;
	struct service *s = &c->services[c->n_services];
	const char *why;

	if (c->n_services == SENTRY_SERVICES_MAX) {
		conf_bad(r, "more than %d services", SENTRY_SERVICES_MAX);
		return;
	}
	for (uint32_t i = 0; i < c->n_services; i++) {
		if (strcmp(c->services[i].name, v) == 0) {
			conf_bad(r, "the service %s stands twice", v);
			return;
		}
	}
	if (strcmp(v, "<IP_ANY>") == 0) {
		s->kind = SERVICE_IP_ANY;
	} else if (strcmp(v, "<TCP_ANY>") == 0) {
		s->kind = SERVICE_TCP_ANY;
	} else if (*v == '<') {
		conf_bad(r, "%s is not supported yet; built-in services are <IP_ANY>, <TCP_ANY>", v);
		return;
	} else if (service_name_check(v, &why)) {
		conf_bad(r, "'%s': %s", v, why);
		return;
	} else if (strncasecmp(v, "TCP", 3) == 0) {
		s->kind = SERVICE_TCP;
	} else {
		conf_bad(r, "'%s' is not supported yet: a name begins with TCP", v);
		return;
	}
	snprintf(s->name, sizeof(s->name), "%s", v);
	c->n_services++;
}

void conf_get_server(struct conf_reader *r, const char *name, const char *v)
{
	struct service *s = NULL;
	struct server *sv;
	const char *p;

	for (uint32_t i = 0; i < r->c->n_services; i++)
		if (strcasecmp(r->c->services[i].name, name) == 0)
			s = &r->c->services[i];
	if (!s || s->kind != SERVICE_TCP) {
		conf_bad(r, s ? "%s is built in: it has no servers" :
			   "%s is not one of the Services", name);
		return;
	}
	if (s->n_servers == SENTRY_SERVERS_MAX) {
		conf_bad(r, "more than %d servers", SENTRY_SERVERS_MAX);
		return;
	}
	sv = &s->servers[s->n_servers];
	if (!get_endpoint(v, sv->host, &sv->port, true) || !sv->port) {
		conf_bad(r, "'%s' is not HOST:PORT", v);
		return;
	}
	if (addr_parse(sv->host, &sv->addr)) {
		sv->addr.family = 0;
		for (p = sv->host; *p; p++) {
			if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.') {
				conf_bad(r, "'%s': a host holds letters, digits, hyphen and dot", v);
				return;
			}
		}
		if (!isalnum((unsigned char)*sv->host)) {
			conf_bad(r, "'%s': a host begins with a letter or digit", v);
			return;
		}
	}
	s->n_servers++;
}

/* ---- faults -------------------------------------------------------------- */

void conf_get_fault(struct conf_reader *r, const char *name, const char *value)
{
	const char *words[16], *why;
	char *copy = strdup(value), *p = copy, *w;
	char first[64];
	size_t n = 1;

	/* a fault may stand several times: no-probe-reply.2 = ... */
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(name, "."), name);
	words[0] = first;
	while (copy && (w = strsep(&p, " \t")))
		if (*w && n < 16)
			words[n++] = w;
	/* "freeze = on" reads better than an empty value */
	if (n == 2 && strcasecmp(words[1], "on") == 0)
		n = 1;
	if (fault_add(&r->c->faults, words, n, &why))
		conf_bad(r, "%s", why);
	else
		r->c->faults.v[r->c->faults.n - 1].once = false;
	free(copy);
}
