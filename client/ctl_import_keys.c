/* SPDX-License-Identifier: MIT */
/* ctl_import_keys.c - the vendor's keys by name */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_import.h"

#define PORT_KEY	"sentryport"

/*
 * Names as import_loose() makes them.  The vendor's documents and consoles write the
 * same key in several ways, and so do people who copy them.
 */
static const struct vendor_key {
	const char *name;
	enum schema_id id;
} vendor_keys[] = {
	{ "providertype", K_PROVIDER },
	{ "profilemode", K_MODE },
	{ "tunnelprofilemode", K_MODE },
	{ "profileselectionmode", K_MODE },
	{ "host", K_HOST },
	{ "sentry", K_HOST },
	{ "sentryhost", K_HOST },
	{ "sentryserver", K_HOST },
	{ "servicename", K_SERVICE },
	{ "sentryservice", K_SERVICE },
	{ "deviceid", K_DEVICE_ID },
	{ "userid", K_USER_ID },
	{ "tlsmax", K_TLS_MAX },
	{ "accesshost", K_ACCESS_HOST },
	{ "accessservice", K_ACCESS_SERVICE },
	{ "accessservicename", K_ACCESS_SERVICE },
	{ "accessdomains", K_ACCESS_DOMAINS },
	{ "pinnedcertificate", K_PINS },
	{ "sentrycertificate", K_PINS },
	{ "disablepinning", K_NO_PINNING },
	{ "iproutes", K_ROUTES },
	{ "includedroutes", K_ROUTES },
	{ "addedroutes", K_ROUTES },
	{ "excroutes", K_EXCLUDED },
	{ "excludedroutes", K_EXCLUDED },
	{ "splitudpportlist", K_UDP_PORTS },
	{ "mtu", K_MTU },
	{ "tunip", K_TUN_IP },
	{ "ipv6networkprefix", K_IPV6_PREFIX },
	{ "tcpidletmoms", K_TCP_IDLE },
	{ "disconnecttimeoutinseconds", K_DISCONNECT },
	{ "directlocalhost", K_DIRECT_LOCALHOST },
	{ "atpprobeidlesec", K_PROBE_IDLE },
	{ "atpprobeldlesec", K_PROBE_IDLE },	/* misprinted with an l in the documents */
	{ "atpprobeintervalsec", K_PROBE_INTERVAL },
	{ "atpprobecount", K_PROBE_COUNT },
	{ "dnsresolverips", K_RESOLVERS },
	{ "dnssearchdomains", K_SEARCH },
	{ "dnssearchdomainlist", K_SEARCH },
	{ "matchdomains", K_MATCH },
	{ "matchdomainlist", K_MATCH },
	{ "splitdomainslist", K_MATCH },
	{ "safaridomain", K_TRIGGER_DOMAINS },
	{ "safaridomains", K_TRIGGER_DOMAINS },
	{ "maildomain", K_CONNECT_DOMAINS },
	{ "maildomains", K_CONNECT_DOMAINS },
	{ "calendardomain", K_CONNECT_DOMAINS },
	{ "contactdomain", K_CONNECT_DOMAINS },
	{ "calendardomains", K_CONNECT_DOMAINS },
	{ "contactdomains", K_CONNECT_DOMAINS },
	{ "contactsdomains", K_CONNECT_DOMAINS },
	{ "allowed", K_ALLOWED },
	{ "allowedapplist", K_ALLOWED },
	{ "disallowed", K_DISALLOWED },
	{ "disallowedapplist", K_DISALLOWED },
	{ "allowbypass", K_ALLOW_BYPASS },
	{ "loglevel", K_LOG_LEVEL },
	{ "debuginforecipient", K_DEBUG_RECIPIENT },
	{ "analyticsenabled", K_ANALYTICS },
};

void import_loose(const char *s, char *to)
{
	size_t n = 0;

	for (; *s && n <= IMPORT_NAME_MAX; s++) {
		char c = text_lower(*s);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			to[n++] = c;
	}
	to[n > IMPORT_NAME_MAX ? 0 : n] = '\0';
}

bool import_loose_same(const char *name, const char *want)
{
	char l[IMPORT_NAME_MAX + 1];

	import_loose(name, l);
	return !strcmp(l, want);
}

bool import_is_secret(const char *name)
{
	static const char *const words[] = { "pass", "secret", "token", "pin", "credential",
					     "privatekey", "apikey" };
	size_t n = strlen(name), i, k;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		for (k = 0; k + len <= n; k++) {
			if (text_same(name + k, len, words[i]))
				return true;
		}
	}
	return false;
}

/* Host and port in two keys become one value. */
static void carry_host(struct import_result *r, const char *where, struct node *dict,
		       struct node *n)
{
	char text[PROFILE_NAME_MAX + 16];
	struct node *e, *port = NULL, *joined;
	int64_t v = 0;

	for (e = dict->first; e; e = e->next) {
		if (import_loose_same(e->key, PORT_KEY))
			port = e;
	}
	if (!port || port->used || n->kind != NODE_STRING || strchr(n->s, ':') || strchr(n->s,
											 ';') ||
	    import_number(port, &v) || v < 1 || v > UINT16_MAX || n->n > PROFILE_NAME_MAX) {
		import_as(r, K_HOST, where, n);
		return;
	}
	snprintf(text, sizeof(text), "%s:%" PRId64, n->s, v);
	joined = node_new(NODE_STRING);
	if (!joined || !node_set_string(joined, text, strlen(text))) {
		r->failed = true;
	} else {
		import_as(r, K_HOST, where, joined);
		node_use(n);
		node_use(port);
	}
	node_free(joined);
}

/* The row of a key of this name; NULL: none. */
static const struct vendor_key *vendor_key(const char *key)
{
	char name[IMPORT_NAME_MAX + 1];
	const char *p = name;
	size_t i;

	import_loose(key, name);
	/* "Ivanti Tunnel profile mode": whose tunnel it is does not matter */
	if (!strncmp(p, "ivanti", 6))
		p += 6;
	else if (!strncmp(p, "mobileiron", 10))
		p += 10;
	for (i = 0; i < sizeof(vendor_keys) / sizeof(vendor_keys[0]); i++) {
		if (!strcmp(p, vendor_keys[i].name))
			return &vendor_keys[i];
	}
	return NULL;
}

bool import_knows(const char *name)
{
	return vendor_key(name);
}

bool import_key(struct import_result *r, const char *where, struct node *dict, struct node *n)
{
	const struct vendor_key *k = vendor_key(n->key);
	char place[IMPORT_WHERE_MAX];

	if (!k)
		return false;
	import_place(where, n->key, place);
	if (k->id == K_HOST)
		carry_host(r, place, dict, n);
	else
		import_as(r, k->id, place, n);
	return true;
}

void import_provider(struct import_result *r, const char *where, bool apps)
{
	const char *type = apps ? "app-proxy" : "packet-tunnel";
	struct import_value *v;
	size_t i;

	import_value(r, K_SCOPE, 0, apps ? "per-app" : "device", where);
	if (!import_has(r, K_PROVIDER)) {
		import_value(r, K_PROVIDER, 0, type, where);
		import_note(r, IMPORT_DEFAULT, where, "not given; ProviderType = %s is written, "
			    "which is the vendor's default for %s", type, apps ? "apps" : "a "
			    "device");
		return;
	}
	for (i = 0; !apps && i < r->n_values; i++) {
		v = &r->values[i];
		if (v->id != K_PROVIDER || !v->text || !text_same(v->text, strlen(v->text),
								  "app-proxy"))
			continue;
		free(v->text);
		v->text = strdup("packet-tunnel");
		r->failed |= !v->text;
		import_note(r, IMPORT_CHANGED, where, "app-proxy does not go with a whole device; "
			    "ProviderType = packet-tunnel is written");
	}
}
