/* SPDX-License-Identifier: MIT */
/*
 * ctl_import_apple.c - a configuration profile: which of its payloads, the keys
 * of a VPN payload and of its VendorConfig, and the certificates beside it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl_import_apple.h"

#define TYPE_DEVICE	"com.apple.vpn.managed"
#define TYPE_APPS	"com.apple.vpn.managed.applayer"
#define CONTENT		"PayloadContent"

static const char *type_of(const struct node *payload)
{
	const char *type = node_string(payload, "PayloadType");

	return type ? type : "";
}

static bool is_vpn(const struct node *payload)
{
	return !strcmp(type_of(payload), TYPE_DEVICE) || !strcmp(type_of(payload), TYPE_APPS);
}

/* IKEv2, L2TP and the like are the system's own, and nothing of ours. */
static bool is_ours(const struct node *payload)
{
	const char *type = node_string(payload, "VPNType");

	return is_vpn(payload) && (!type || text_same(type, strlen(type), "VPN"));
}

static const char *name_of(const struct node *payload)
{
	const char *name = node_string(payload, "UserDefinedName");

	if (!name)
		name = node_string(payload, "PayloadDisplayName");
	return name ? name : "no name";
}

/* ---- one VPN payload ------------------------------------------------------------------------ */

/* The vendor's own keys; in VendorConfig as they are documented. */
static void carry_vendor(struct import_result *r, const char *where, struct node *dict)
{
	struct node *n;

	if (!dict || dict->kind != NODE_DICT)
		return;
	for (n = dict->first; n; n = n->next) {
		if (!n->used)
			import_key(r, where, dict, n);
	}
}

static void carry_vpn(struct import_result *r, const char *where, struct node *vpn)
{
	struct node *host = node_get(vpn, "RemoteAddress");
	struct node *method = node_get(vpn, "AuthenticationMethod");
	char place[IMPORT_WHERE_MAX];
	size_t i;

	/* the vendor's own key says it better; the same again needs no word */
	for (i = 0; host && host->kind == NODE_STRING && i < r->n_values; i++) {
		if (r->values[i].id == K_HOST && !strcmp(r->values[i].text, host->s))
			host->used = true;
	}
	if (host && !host->used)
		import_as(r, K_HOST, import_place(where, "VPN.RemoteAddress", place), host);
	if (method && method->kind == NODE_STRING && !strcmp(method->s, "Certificate"))
		method->used = true;
}

static void carry_names(struct import_result *r, const char *where, struct node *payload)
{
	struct node *name = node_get(payload, "UserDefinedName");
	struct node *text = node_get(payload, "PayloadDescription");
	char place[IMPORT_WHERE_MAX];

	if (!name)
		name = node_get(payload, "PayloadDisplayName");
	if (name && !(name->kind == NODE_STRING && !name->n))
		import_as(r, K_NAME, import_place(where, name->key, place), name);
	if (text && !(text->kind == NODE_STRING && !text->n))
		import_as(r, K_DESCRIPTION, import_place(where, text->key, place), text);
	else
		node_use(text);
}

static void carry_domains(struct import_result *r, const char *where, struct node *payload)
{
	static const char *const keys[] = { "SafariDomains", "MailDomains", "CalendarDomains",
					    "ContactsDomains" };
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct node *n = node_get(payload, keys[i]);

		/* consoles write the list also where nobody filled it */
		if (n && n->kind == NODE_ARRAY && !n->first)
			node_use(n);
		else if (n)
			import_key(r, where, payload, n);
	}
}

static void carry_payload(struct import_result *r, const char *where, struct node *payload)
{
	bool apps = !strcmp(type_of(payload), TYPE_APPS);
	struct node *vpn = node_get(payload, "VPN"), *type = node_get(vpn, "ProviderType");
	char place[IMPORT_WHERE_MAX];

	carry_names(r, where, payload);
	if (type)
		import_as(r, K_PROVIDER, import_place(where, "VPN.ProviderType", place), type);
	carry_vendor(r, import_place(where, "VendorConfig", place),
		     node_get(payload, "VendorConfig"));
	carry_vendor(r, import_place(where, "VPN.VendorConfig", place),
		     node_get(vpn, "VendorConfig"));
	carry_vpn(r, where, vpn);
	import_provider(r, import_place(where, "VPN.ProviderType", place), apps);
	carry_domains(r, where, payload);
	import_ondemand(r, where, vpn, payload);
	if (apps && !import_has(r, K_TCP_IDLE)) {
		import_value(r, K_TCP_IDLE, 0, "60000", "TcpIdleTmoMs");
		import_place(where, "VendorConfig.TcpIdleTmoMs", place);
		import_note(r, IMPORT_DEFAULT, place, "not given; 60000 is written, which is the "
			    "vendor's default for apps");
	}
}

/* ---- the payloads beside it ----------------------------------------------------------------- */

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

static void carry_certificate(struct import_result *r, const char *where, struct node *payload)
{
	struct node *content = node_get(payload, CONTENT);
	const char *file = node_string(payload, "PayloadCertificateFileName");
	const char *type = type_of(payload);
	char quoted[TEXT_QUOTE_SIZE];

	node_use(payload);
	if (ends_in(type, ".pkcs12"))
		import_note(r, IMPORT_NOT_CARRIED, where, "PKCS#12 %s: certificate and key of a "
			    "device; write them as two PEM files with `openssl pkcs12` and name "
			    "them in [identity]",
			    file ? text_quote(file, strlen(file), quoted) : "");
	else if (!content || (content->kind != NODE_DATA && content->kind != NODE_STRING) ||
		 !import_cert_bytes(r, where, content->s, content->n))
		import_note(r, IMPORT_NOT_CARRIED, where, "no certificate in DER or PEM form in %s",
			    type);
}

/* A payload that is not the chosen one.  @vpn: its number among the VPN payloads, or 0 */
static void other_payload(struct import_result *r, const char *where, struct node *payload,
			  size_t vpn)
{
	const char *type = type_of(payload);

	if (payload->kind == NODE_DICT && !strncmp(type, "com.apple.security.", 19) &&
	    (ends_in(type, ".root") || ends_in(type, ".pem") || ends_in(type, ".pkcs1") ||
	     ends_in(type, ".pkcs12"))) {
		carry_certificate(r, where, payload);
		return;
	}
	node_use(payload);
	if (vpn && is_ours(payload))
		import_note(r, IMPORT_NOT_CARRIED, where, "VPN payload %zu, %.60s (%s), is not "
			    "the one that was taken: --payload %zu takes it", vpn, name_of(payload),
			    type, vpn);
	else if (vpn)
		import_note(r, IMPORT_NOT_CARRIED, where, "VPN payload %zu, %.60s, is of type "
			    "%.40s, which is another product's", vpn, name_of(payload),
			    node_string(payload, "VPNType"));
	else if (ends_in(type, ".scep") || ends_in(type, ".acme"))
		import_note(r, IMPORT_NOT_CARRIED, where, "%s gets the device its identity; enrol "
			    "this one and name the files in [identity]", type);
	else if (ends_in(type, ".appmapping"))
		import_note(r, IMPORT_NOT_CARRIED, where, "%s names apps of another platform; "
			    "apps are named in [apps]", type);
	else
		import_note(r, IMPORT_NOT_CARRIED, where, "a payload of type %.100s", *type ? type :
			    "(none)");
}

/* ---- which payload -------------------------------------------------------------------------- */

/* The chosen one.  @count: of VPN payloads.  NULL: there is none */
static struct node *choose(struct node *content, uint32_t want, size_t *count)
{
	struct node *n, *chosen = NULL;

	*count = 0;
	for (n = content->first; n; n = n->next) {
		if (!is_vpn(n))
			continue;
		++*count;
		if (want ? *count == want : !chosen && is_ours(n))
			chosen = n;
	}
	return chosen;
}

static int none(struct import_result *r, const struct node *content, uint32_t want, size_t count)
{
	if (want && want > count)
		return import_refuse(r, "there is no VPN payload %u; the file has %zu", want,
				     count);
	if (count)
		return import_refuse(r, "the VPN payloads are of the system's own types (IKEv2, "
				     "L2TP and the like); one with VPNType VPN is needed");
	if (!content->first)
		return import_refuse(r, "a configuration profile without payloads");
	return import_refuse(r, "no VPN payload (com.apple.vpn.managed or "
			     "com.apple.vpn.managed.applayer) is in the file");
}

static int whole_profile(struct node *root, struct node *content, uint32_t want,
			 struct import_result *r)
{
	char where[IMPORT_WHERE_MAX];
	struct node *n, *chosen;
	size_t count, vpn = 0, i = 0;

	chosen = choose(content, want, &count);
	if (!chosen)
		return none(r, content, want, count);
	if (!is_ours(chosen))
		return import_refuse(r, "VPN payload %u is of type %.40s, which is another "
				     "product's", want,
				     node_string(chosen, "VPNType"));
	for (n = content->first; n; n = n->next) {
		snprintf(where, sizeof(where), "%s[%zu]", CONTENT, ++i);
		vpn += is_vpn(n);
		if (n == chosen) {
			snprintf(r->source, sizeof(r->source), "an Apple configuration profile, "
				 "VPN payload %zu of %zu", vpn, count);
			carry_payload(r, where, n);
			import_rest(r, where, n);
		} else {
			other_payload(r, where, n, is_vpn(n) ? vpn : 0);
		}
	}
	content->used = true;
	/* of the whole file: what is not bookkeeping */
	node_use(node_get(root, "PayloadDescription"));
	node_use(node_get(root, "PayloadScope"));
	import_rest(r, "", root);
	return 0;
}

int import_apple(struct node *root, uint32_t payload, struct import_result *r)
{
	struct node *content = node_get(root, CONTENT);

	if (root->kind != NODE_DICT)
		return import_refuse(r, "a property list, but no configuration profile: %s, where "
				     "a dictionary is accepted", node_what(root));
	if (node_get(root, "EncryptedPayloadContent"))
		return import_refuse(r, "an encrypted configuration profile; export it anew "
				     "without encryption");
	if (is_vpn(root)) {
		if (payload > 1)
			return import_refuse(r, "there is no VPN payload %u; the file is one",
					     payload);
		if (!is_ours(root))
			return import_refuse(r, "the VPN payload is of type %.40s, which is "
					     "another product's", node_string(root, "VPNType"));
		snprintf(r->source, sizeof(r->source), "an Apple VPN payload");
		carry_payload(r, "", root);
		import_rest(r, "", root);
		return 0;
	}
	if (!content || content->kind != NODE_ARRAY)
		return import_refuse(r, "a property list, but no configuration profile: it has no "
				     "PayloadContent");
	return whole_profile(root, content, payload, r);
}
