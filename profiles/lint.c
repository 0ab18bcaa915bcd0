/* SPDX-License-Identifier: MIT */
/* lint.c - advice: what is allowed and most likely not meant */
#include <stdio.h>
#include <string.h>

#include "profiles/lint.h"
#include "profiles/text.h"

/* Docker's bridge and the pools from which it takes further networks. */
static const char *const docker_ranges[] = {
	"172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/14", "172.24.0.0/14",
	"172.28.0.0/14", "192.168.0.0/16",
};

struct advice {
	struct reading *r;
	struct prefix_index routes, excluded;
};

static void advise(struct reading *r, enum finding_code code, enum schema_id id, uint32_t i,
		   const char *text)
{
	const struct place *p = &r->elem[id][i];
	char key[SCHEMA_NAME_MAX];

	finding_add(r->f, code, p->line, p->column, schema_name(id, 0, p->number, key), "%s", text);
}

static struct prefix host_prefix(const struct ipaddr *a)
{
	return (struct prefix){ .addr = *a, .len = a->family == 4 ? 32 : 128 };
}

/* The route by which @q goes into the tunnel, whole; NULL: it does not. */
static const struct prefix *carried(const struct advice *x, const struct prefix *q)
{
	if (prefix_index_covering(&x->excluded, q))
		return NULL;
	return prefix_index_covering(&x->routes, q);
}

/* ---- one function a lint ------------------------------------------------------------ */

static void advise_routes(struct advice *x)
{
	char a[PREFIX_STRLEN], b[PREFIX_STRLEN], text[256];
	struct reading *r = x->r;
	const struct prefix *by;
	uint32_t i;

	if (!r->key[K_ROUTES].line)
		finding_add(r->f, FC_ROUTES_DEFAULT, 0, 0, "IPRoutes", "left at its default: all "
			    "IPv4 traffic goes into the tunnel; say which routes are meant");
	for (i = 0; i < r->n_elem[K_ROUTES]; i++) {
		by = prefix_index_covering(&x->excluded, &r->p->routes[i]);
		if (!by)
			continue;
		snprintf(text, sizeof(text), "%s is dropped: it is inside %s of ExcRoutes, which is "
			 "taken out", prefix_format(&r->p->routes[i], a), prefix_format(by, b));
		advise(r, FC_ROUTE_DROPPED, K_ROUTES, i, text);
	}
	for (i = 0; i < r->n_elem[K_EXCLUDED]; i++) {
		const struct prefix *e = &r->p->excluded[i];

		if (prefix_index_covering(&x->routes, e) || prefix_index_inside(&x->routes, e))
			continue;
		snprintf(text, sizeof(text), "%s is outside all IPRoutes: it takes nothing out",
			 prefix_format(e, a));
		advise(r, FC_EXC_OUTSIDE, K_EXCLUDED, i, text);
	}
}

static void advise_docker(struct advice *x, uint32_t i)
{
	const struct prefix *route = &x->r->p->routes[i];
	char a[PREFIX_STRLEN], text[384];
	struct prefix range;
	size_t k;
	int n = 0;

	if (!route->len)
		return;
	n = snprintf(text, sizeof(text), "%s takes what Docker uses for its networks:",
		     prefix_format(route, a));
	for (k = 0; k < sizeof(docker_ranges) / sizeof(docker_ranges[0]); k++) {
		if (prefix_parse(docker_ranges[k], &range) || !prefix_covers(route, &range) ||
		    !carried(x, &range))
			continue;
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %s",
			      text[n - 1] == ':' ? "" : ",", docker_ranges[k]);
	}
	if (text[n - 1] == ':')
		return;
	snprintf(text + n, sizeof(text) - (size_t)n, "; containers of this machine would be looked for "
		 "in the tunnel");
	advise(x->r, FC_DOCKER, K_ROUTES, i, text);
}

static void advise_tun_ip(struct advice *x)
{
	char a[PREFIX_STRLEN], b[PREFIX_STRLEN], text[256];
	struct reading *r = x->r;
	const struct prefix *by;
	uint32_t i;

	for (i = 0; i < r->n_elem[K_TUN_IP]; i++) {
		/* elements stand in the order of the file, the values by family */
		bool v6 = memchr(r->elem[K_TUN_IP][i].s, ':', r->elem[K_TUN_IP][i].n) != NULL;
		const struct ipaddr *tun = v6 ? &r->p->tun6 : &r->p->tun4;
		struct prefix q = host_prefix(tun);

		by = tun->family ? carried(x, &q) : NULL;
		if (!by || !by->len)
			continue;
		snprintf(text, sizeof(text), "%s is inside the route %s: an address of the network "
			 "behind the tunnel is taken from it", addr_format(tun, a),
			 prefix_format(by, b));
		advise(r, FC_TUNIP_COVERED, K_TUN_IP, i, text);
	}
}

/* Return: is a resolver of the tunnel reached through the routes? */
static bool advise_resolvers(struct advice *x)
{
	struct reading *r = x->r;
	char a[ADDR_STRLEN], text[256];
	bool any = !r->n_elem[K_RESOLVERS];	/* Sentry's own are taken to be inside */
	uint32_t i;

	for (i = 0; i < r->n_elem[K_RESOLVERS]; i++) {
		struct prefix q = host_prefix(&r->p->resolvers[i]);

		if (carried(x, &q)) {
			any = true;
			continue;
		}
		snprintf(text, sizeof(text), "%s is not covered by IPRoutes: a program that asks it "
			 "by itself does so outside the tunnel",
			 addr_format(&r->p->resolvers[i], a));
		advise(r, FC_RESOLVER, K_RESOLVERS, i, text);
	}
	return any;
}

static void advise_udp(struct advice *x, bool resolver_inside)
{
	struct reading *r = x->r;
	uint32_t i;

	if (!r->good[K_UDP_PORTS] || !resolver_inside)
		return;
	for (i = 0; i < r->p->n_ports; i++) {
		if (r->p->ports[i].lo <= 53 && r->p->ports[i].hi >= 53)
			return;
	}
	finding_add(r->f, FC_UDP_53, r->key[K_UDP_PORTS].line, r->key[K_UDP_PORTS].column,
		    "SplitUDPPortList", "port 53 is not in the list: a program that asks a DNS "
		    "server by itself sends its questions outside the tunnel");
}

static void advise_pins(struct reading *r)
{
	const struct place *p;

	if (r->p->pinning_disabled) {
		p = &r->key[K_NO_PINNING];
		finding_add(r->f, FC_PINNING_OFF, p->line, p->column, "DisablePinning",
			    "pinning is disabled: anybody with a certificate of the trust store can "
			    "stand in for Sentry");
	} else if (r->good[K_PINS] && r->p->n_pins == 1) {
		p = &r->key[K_PINS];
		finding_add(r->f, FC_ONE_PIN, p->line, p->column, "PinnedCertificate",
			    "one pin only: when Sentry's certificate changes, nobody can connect; "
			    "name the next one, too");
	}
}

/* Is @name the domain @d, or inside it? */
static bool inside_domain(const char *name, const char *d, size_t n)
{
	size_t len = strlen(name);

	if (len < n || !text_same(d, n, name + len - n))
		return false;
	return len == n || name[len - n - 1] == '.';
}

static void advise_match(struct reading *r)
{
	char text[PROFILE_NAME_MAX * 2 + 96];
	uint32_t h, i;

	for (i = 0; i < r->n_elem[K_MATCH]; i++) {
		const struct place *d = &r->elem[K_MATCH][i];

		for (h = 0; h < r->p->n_hosts; h++) {
			const struct profile_host *host = &r->p->hosts[h];

			if (host->addr.family || !inside_domain(host->name, d->s, d->n))
				continue;
			snprintf(text, sizeof(text), "%.*s holds Sentry's own name %s, which cannot be "
				 "looked up through the tunnel", (int)d->n, d->s, host->name);
			advise(r, FC_SENTRY_MATCH, K_MATCH, i, text);
			break;
		}
	}
}

int lint_advice(struct reading *r)
{
	struct advice x = { .r = r };
	/* a list with a mistake in it says nothing about what is covered */
	bool routes = r->good[K_ROUTES] || !r->key[K_ROUTES].line;
	bool excluded = r->good[K_EXCLUDED] || !r->key[K_EXCLUDED].line;
	bool resolvers = r->good[K_RESOLVERS] || !r->key[K_RESOLVERS].line;
	uint32_t i;
	int e;

	advise_pins(r);
	advise_match(r);
	if (!routes || !excluded || !(r->scope & IN_PACKET))
		return 0;
	e = prefix_index_build(&x.routes, r->p->routes, r->p->n_routes);
	if (!e)
		e = prefix_index_build(&x.excluded, r->p->excluded, r->p->n_excluded);
	if (e < 0)
		goto out;
	advise_routes(&x);
	for (i = 0; i < r->n_elem[K_ROUTES]; i++)
		advise_docker(&x, i);
	advise_tun_ip(&x);
	if (resolvers)
		advise_udp(&x, advise_resolvers(&x));
out:
	prefix_index_free(&x.routes);
	prefix_index_free(&x.excluded);
	return e;
}
