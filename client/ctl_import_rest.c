/* SPDX-License-Identifier: MIT */
/* ctl_import_rest.c - what nobody carried is listed, with a word where we know one */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl_import.h"

/* Names of what a file may have and a profile has not, and what to do instead. */
static const struct hint {
	const char *key, *text;
} hints[] = {
	{ "AllowedApplications", "apps of another platform" },
	{ "AssociatedDomains", "bound to an app of another platform" },
	{ "AuthName", "a user is known by the device's certificate here" },
	{ "CellularSliceUUID", "there is no such thing here" },
	{ "ClientCertAlias", "the identity: name Certificate and PrivateKey in [identity]" },
	{ "DisconnectOnIdle", "an idle timer of another platform; disconnectTimeoutInSeconds is "
	  "the profile's own" },
	{ "DisconnectOnIdleTimer", "an idle timer of another platform; disconnectTimeoutInSeconds "
	  "is the profile's own" },
	{ "DNS", "a platform's own DNS settings; DnsResolverIPs, DnsSearchDomains and "
	  "MatchDomains are the profile's" },
	{ "EnforceRoutes", "IPRoutes always hold here" },
	{ "ExcludedDomains", "there is no such exception here" },
	{ "ExcludeLocalNetworks", "[lock] AllowLan is the nearest thing here" },
	{ "IncludeAllNetworks", "write IPRoutes = \"0.0.0.0/0;::/0\" for all traffic" },
	{ "OnDemandMatchAppEnabled", "apps do not start the connection here" },
	{ "OnDemandMatchDomainsAlways", "superseded by OnDemandRules; see TriggerDomains in "
	  "[ondemand]" },
	{ "OnDemandMatchDomainsNever", "superseded by OnDemandRules" },
	{ "OnDemandMatchDomainsOnRetry", "superseded by OnDemandRules; see TriggerDomains in "
	  "[ondemand]" },
	{ "PayloadCertificateUUID", "the identity: name Certificate and PrivateKey in [identity]" },
	{ "PayloadRemovalDisallowed", "a matter of file permissions here" },
	{ "ProviderBundleIdentifier", "names the app of another platform" },
	{ "ProviderDesignatedRequirement", "names the app of another platform" },
	{ "Proxies", "no proxy is set for apps" },
	{ "SMBDomains", "there is no such trigger here" },
	{ "VPNSubType", "names the app of another platform" },
	{ "VPNUUID", "apps are named in [apps]" },
};

/* Bookkeeping of the format, which no profile needs. */
static const char *const bookkeeping[] = {
	"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName",
	"PayloadOrganization", "PayloadEnabled", "VPNType",
};

static bool is_bookkeeping(const char *key)
{
	size_t i;

	for (i = 0; key && i < sizeof(bookkeeping) / sizeof(bookkeeping[0]); i++) {
		if (!strcmp(key, bookkeeping[i]))
			return true;
	}
	return false;
}

static const char *hint_for(const char *key)
{
	size_t i;

	for (i = 0; key && i < sizeof(hints) / sizeof(hints[0]); i++) {
		if (!strcmp(key, hints[i].key))
			return hints[i].text;
	}
	return NULL;
}

/* What it was set to, as far as that fits a line and is nobody's secret. */
static void shown(const struct node *n, char *buf, size_t size)
{
	char quoted[TEXT_QUOTE_SIZE];

	buf[0] = '\0';
	if (n->kind == NODE_STRING && n->key && import_is_secret(n->key))
		snprintf(buf, size, " (a text that is not shown)");
	else if (n->kind == NODE_STRING)
		snprintf(buf, size, " (%s)", text_quote(n->s, n->n, quoted));
	else if (n->kind == NODE_INT)
		snprintf(buf, size, " (%" PRId64 ")", n->i);
	else if (n->kind == NODE_BOOL)
		snprintf(buf, size, " (%s)", n->i ? "true" : "false");
	else if (n->kind == NODE_ARRAY || n->kind == NODE_DATA)
		snprintf(buf, size, " (%s)", node_what(n));
}

static void list_one(struct import_result *r, const char *where, const struct node *n,
		     const char *hint)
{
	char value[TEXT_QUOTE_SIZE + 8];

	if (!hint)
		hint = hint_for(n->key);
	shown(n, value, sizeof(value));
	import_note(r, IMPORT_NOT_CARRIED, where, "%s%s", hint ? hint :
		    "no key of a profile corresponds to it", value);
}

static bool any_used(const struct node *n)
{
	const struct node *c;

	if (n->used)
		return true;
	if (n->kind != NODE_DICT && n->kind != NODE_ARRAY)
		return false;
	for (c = n->first; c; c = c->next) {
		if (any_used(c))
			return true;
	}
	return false;
}

static void list_rest(struct import_result *r, const char *where, struct node *n,
		      const char *hint)
{
	char place[IMPORT_WHERE_MAX], name[24];
	struct node *c;
	size_t i = 0;

	if (n->used)
		return;
	/* of a list, one line says enough, unless some of it was carried */
	if (n->kind != NODE_DICT && (n->kind != NODE_ARRAY || !any_used(n))) {
		if (!is_bookkeeping(n->key))
			list_one(r, where, n, hint);
		n->used = true;
		return;
	}
	if (!hint)
		hint = hint_for(n->key);
	for (c = n->first; c; c = c->next) {
		snprintf(name, sizeof(name), "%zu", ++i);
		list_rest(r, import_place(where, c->key ? c->key : name, place), c, hint);
	}
	n->used = true;
}

void import_rest(struct import_result *r, const char *where, struct node *n)
{
	list_rest(r, where, n, NULL);
}
