/* SPDX-License-Identifier: MIT */
/* schema.c - the table of keys, and looking things up in it */
#include "profiles/schema.h"

#include <stdio.h>
#include <string.h>

#include "profiles/text.h"

#define AT(member) .offset = offsetof(struct profile, member), \
		   .size = sizeof(((struct profile *)NULL)->member)
#define LIST(member, n) .form = FORM_LIST, AT(member), .count = offsetof(struct profile, n), \
		   .max = sizeof(((struct profile *)NULL)->member) / \
			  sizeof(((struct profile *)NULL)->member[0])
#define WORDS(...) .type = T_ENUM, .values = (const char *const[]){ __VA_ARGS__, NULL }
#define BOOL WORDS("false", "true")
#define BIT(n) (1u << (n))
#define MAX_VERSION (1ull << 53)	/* what a double holds exactly: JSON */
#define FREE_LIST .form = FORM_LIST, .max = PROFILE_MAX_MATCH	/* checked, not kept */

const struct schema_key schema[SCHEMA_KEYS] = {
[K_NAME] = {
	.section = "profile", .name = "Name", .type = T_TEXT, .min = 1, .max = 64, AT(name),
	.fallback_note = "file name", .help = "name shown to people",
	.example = "Head office" },
[K_VERSION] = {
	.section = "profile", .name = "Version", .type = T_NUMBER, .max = MAX_VERSION,
	AT(profile_version), .fallback = "0",
	.help = "rising number; with signed profiles an older one is refused",
	.example = "1" },
[K_DESCRIPTION] = {
	.section = "profile", .name = "Description", .type = T_TEXT, .max = 255, AT(description),
	.fallback = "", .help = "free text",
	.example = "Laptops of the head office" },
[K_PROVIDER] = {
	.section = "profile", .name = "ProviderType", WORDS("packet-tunnel", "app-proxy"),
	AT(provider), .fallback = "packet-tunnel", .refused_values = BIT(PROVIDER_APP_PROXY),
	.help = "packet-tunnel carries TCP, UDP and ICMP echo; app-proxy TCP only" },
[K_SCOPE] = {
	.section = "profile", .name = "VpnScope", WORDS("device", "per-app"), AT(scope),
	.fallback = "device", .refused_values = BIT(SCOPE_PER_APP),
	.help = "whose traffic the tunnel takes" },
[K_MODE] = {
	.section = "profile", .name = "ProfileMode", WORDS("sentry", "access", "sentry+access"),
	AT(mode), .fallback = "sentry", .refused_values = BIT(1) | BIT(2),
	.help = "where the traffic goes: Sentry, Access, or both" },

[K_HOST] = {
	.section = "sentry", .name = "Host", .type = T_HOST, LIST(hosts, n_hosts),
	.required = true, .help = "Standalone Sentry, NAME[:PORT]; further ones are alternates",
	.example = "sentry.example.com" },
[K_SERVICE] = {
	.section = "sentry", .name = "ServiceName", .type = T_SERVICE, .min = 1, .max = 128,
	AT(service), .fallback = "<IP_ANY>", .help = "service of the gateway that is asked for" },
[K_DEVICE_ID] = {
	.section = "sentry", .name = "DeviceId", .type = T_TEXT, .min = 1, .max = 255,
	AT(device_id), .required = true, .help = "this device, as its certificate says",
	.example = "laptop-0815" },
[K_USER_ID] = {
	.section = "sentry", .name = "UserId", .type = T_TEXT, .min = 1, .max = 255,
	AT(user_id), .required = true, .help = "its user, as the certificate says",
	.example = "jane" },
[K_PLATFORM] = {
	.section = "sentry", .name = "DevicePlatform",
	WORDS("linux", "android", "ios", "macos", "windows"), AT(platform), .fallback = "linux",
	.help = "platform that the handshake names" },
[K_TLS_MAX] = {
	.section = "sentry", .name = "TlsMax", WORDS("1.2", "1.3"), AT(tls_max),
	.fallback = "1.3", .help = "highest TLS version offered" },

[K_ACCESS_HOST] = {
	.section = "access", .name = "Host", .type = T_HOST, FREE_LIST, .state = STATE_REFUSED,
	.help = "Access, for authentication traffic",
	.example = "access.example.com" },
[K_ACCESS_SERVICE] = {
	.section = "access", .name = "ServiceName", .type = T_SERVICE, .min = 1, .max = 128,
	.fallback = "<TCP_ANY>", .state = STATE_REFUSED, .help = "service of Access" },
[K_ACCESS_DOMAINS] = {
	.section = "access", .name = "Domains", .type = T_DOMAIN, FREE_LIST,
	.state = STATE_REFUSED, .help = "domains whose authentication goes to Access",
	.example = "login.example.com" },

[K_CERTIFICATE] = {
	.section = "identity", .name = "Certificate", .type = T_PATH, AT(certificate),
	.required = true, .help = "the device's certificate (PEM, X.509 v3)",
	.example = "laptop.crt" },
[K_PRIVATE_KEY] = {
	.section = "identity", .name = "PrivateKey", .type = T_PATH, AT(private_key),
	.required = true, .help = "its private key (PEM), readable by its owner only",
	.example = "laptop.key" },
[K_CHAIN] = {
	.section = "identity", .name = "Chain", .type = T_PATH, AT(chain),
	.help = "intermediate certificates to send (PEM)",
	.example = "chain.pem" },

[K_PINS] = {
	.section = "pinning", .name = "PinnedCertificate", .type = T_PIN, LIST(pins, n_pins),
	.help = "Sentry's certificate is one of these: PEM path, sha256:HEX, sha256//BASE64",
	.example = "sentry.pem;sentry-next.pem" },
[K_NO_PINNING] = {
	.section = "pinning", .name = "DisablePinning", BOOL, AT(pinning_disabled),
	.fallback = "false", .help = "true: trust store and host name decide instead" },
[K_CA_FILE] = {
	.section = "pinning", .name = "CaFile", .type = T_PATH, AT(ca_file),
	.fallback_note = "system store", .help = "trust store without pinning (PEM)",
	.example = "ca.pem" },

[K_ROUTES] = {
	.section = "tunnel", .name = "IPRoutes", .type = T_PREFIX, LIST(routes, n_routes),
	.fallback = "0.0.0.0/0", .scope = IN_PACKET, .help = "what goes into the tunnel",
	.example = "10.0.0.0/8;172.16.0.0/16" },
[K_EXCLUDED] = {
	.section = "tunnel", .name = "ExcRoutes", .type = T_PREFIX, LIST(excluded, n_excluded),
	.scope = IN_PACKET, .help = "taken out of IPRoutes",
	.example = "10.10.10.10/32" },
[K_UDP_PORTS] = {
	.section = "tunnel", .name = "SplitUDPPortList", .type = T_PORTS, LIST(ports, n_ports),
	.scope = IN_PACKET, .fallback_note = "all UDP is tunnelled",
	.help = "UDP ports that are tunnelled; all other UDP goes direct",
	.example = "53;161-162;200-1024" },
[K_MTU] = {
	.section = "tunnel", .name = "MTU", .type = T_NUMBER, .min = 1280, .max = 65535, AT(mtu),
	.fallback = "1400", .scope = IN_PACKET, .help = "MTU of the TUN interface" },
[K_TUN_IP] = {
	.section = "tunnel", .name = "TunIP", .type = T_TUN_ADDRESS, .form = FORM_LIST, AT(tun4),
	.max = 2, .fallback_note = "Sentry", .scope = IN_PACKET,
	.help = "address of the TUN interface: IPv4, IPv6, or one of each",
	.example = "192.168.13.10" },
[K_IPV6_PREFIX] = {
	.section = "tunnel", .name = "IPv6NetworkPrefix", .type = T_ULA, AT(ipv6_prefix),
	.scope = IN_PACKET, .state = STATE_NOT_YET, .help = "ULA prefix for reaching IPv4 destinations over IPv6",
	.example = "fd00:13::/64" },
[K_TCP_IDLE] = {
	.section = "tunnel", .name = "TcpIdleTmoMs", .type = T_NUMBER, .min = 5000,
	.max = 1800000, AT(tcp_idle_ms), .fallback = "1800000", .state = STATE_NOT_YET,
	.help = "idle time-out of an app's TCP connection, in ms; per-app: 60000" },
[K_DISCONNECT] = {
	.section = "tunnel", .name = "disconnectTimeoutInSeconds", .type = T_NUMBER, .min = 5,
	.max = 18000, .or_zero = true, AT(disconnect_s), .fallback = "60", .state = STATE_NOT_YET,
	.help = "time without any flow until the connection is closed; 0: never" },
[K_DIRECT_LOCALHOST] = {
	.section = "tunnel", .name = "DirectLocalhost", BOOL, AT(direct_localhost),
	.fallback = "false",
	.scope = IN_PER_APP | IN_PROXY, .state = STATE_NOT_YET,
	.help = "an app's TCP to localhost goes to the device itself" },

[K_PROBE_IDLE] = {
	.section = "atp", .name = "AtpProbeIdleSec", .type = T_NUMBER, .min = 1, .max = 86400,
	AT(probe_idle_s), .fallback = "60", .scope = IN_PACKET,
	.help = "silence of the gateway after which outbound traffic is probed" },
[K_PROBE_INTERVAL] = {
	.section = "atp", .name = "AtpProbeIntervalSec", .type = T_NUMBER, .min = 1, .max = 3600,
	AT(probe_interval_s), .fallback = "1", .scope = IN_PACKET, .help = "time between probes" },
[K_PROBE_COUNT] = {
	.section = "atp", .name = "AtpProbeCount", .type = T_NUMBER, .min = 1, .max = 100,
	AT(probe_count), .fallback = "5", .scope = IN_PACKET,
	.help = "unanswered probes after which the connection is dead" },

[K_RESOLVERS] = {
	.section = "dns", .name = "DnsResolverIPs", .type = T_ADDRESS,
	LIST(resolvers, n_resolvers), .fallback_note = "Sentry", .scope = IN_PACKET,
	.help = "DNS servers, asked through the tunnel",
	.example = "10.1.0.53;10.2.0.53" },
[K_SEARCH] = {
	.section = "dns", .name = "DnsSearchDomains", .type = T_DOMAIN, LIST(search, n_search),
	.fallback_note = "Sentry", .scope = IN_PACKET, .help = "search domains",
	.example = "corp.example.com" },
[K_MATCH] = {
	.section = "dns", .name = "MatchDomains", .type = T_DOMAIN, FREE_LIST,
	.scope = IN_PACKET, .state = STATE_REFUSED, .fallback_note = "all names",
	.help = "names resolved by the tunnel's DNS; all others by the network's own",
	.example = "corp.example.com;example.net" },
[K_BACKEND] = {
	.section = "dns", .name = "Backend",
	WORDS("auto", "resolved", "resolvconf", "file", "none"), AT(backend), .fallback = "auto",
	.refused_values = BIT(BACKEND_RESOLVED) | BIT(BACKEND_RESOLVCONF), .scope = IN_PACKET,
	.help = "how the system is told about the DNS servers" },

[K_LOCK_MODE] = {
	.section = "lock", .name = "Mode", WORDS("session", "strict", "off"), AT(lock_mode),
	.fallback = "session", .refused_values = BIT(LOCK_STRICT), .scope = IN_PACKET,
	.help = "when covered traffic may not leave outside the tunnel" },
[K_ALLOW_LAN] = {
	.section = "lock", .name = "AllowLan", BOOL, AT(allow_lan), .fallback = "false",
	.refused_values = BIT(1), .scope = IN_PACKET, .help = "directly attached private networks stay reachable" },
[K_ALLOW_INBOUND] = {
	.section = "lock", .name = "AllowInbound", BOOL, AT(allow_inbound), .fallback = "true",
	.scope = IN_PACKET, .help = "answers of connections from outside go back as they came" },
[K_LOCK_IPV6] = {
	.section = "lock", .name = "IPv6", WORDS("block", "direct"), AT(lock_ipv6),
	.fallback = "block", .scope = IN_PACKET,
	.help = "the family that a full tunnel of the other does not carry" },

[K_RULE_ACTION] = {
	.section = "ondemand", .name = "Action", WORDS("connect", "disconnect"),
	.form = FORM_RULE, .state = STATE_REFUSED, .help = "what the rule does",
	.example = "connect" },
[K_RULE_SSID] = {
	.section = "ondemand", .name = "SSID", .type = T_TEXT, .min = 1, .max = SCHEMA_SSID_MAX,
	.form = FORM_RULE_LIST, .state = STATE_REFUSED, .help = "name of a wireless network",
	.example = "Guests" },
[K_RULE_INTERFACE] = {
	.section = "ondemand", .name = "Interface", WORDS("wifi", "ethernet", "cellular"),
	.form = FORM_RULE_LIST, .state = STATE_REFUSED, .help = "kind of the primary network",
	.example = "wifi" },
[K_RULE_DOMAIN] = {
	.section = "ondemand", .name = "DnsDomain", .type = T_DOMAIN, .form = FORM_RULE_LIST,
	.state = STATE_REFUSED, .help = "search domain of the primary network",
	.example = "hotel.example" },
[K_RULE_DESCRIPTION] = {
	.section = "ondemand", .name = "Description", .type = T_TEXT, .max = 255,
	.form = FORM_RULE, .fallback = "", .state = STATE_REFUSED, .help = "free text",
	.example = "Away from the office" },
[K_DEFAULT_ACTION] = {
	.section = "ondemand", .name = "DefaultAction", WORDS("connect", "disconnect", "ignore"),
	.fallback = "ignore", .state = STATE_REFUSED, .help = "when no rule matches" },
[K_TRIGGER_DOMAINS] = {
	.section = "ondemand", .name = "TriggerDomains", .type = T_STRICT_DOMAIN, FREE_LIST,
	.state = STATE_REFUSED, .help = "a look-up of these names connects",
	.example = "corp.example.com" },
[K_CONNECT_DOMAINS] = {
	.section = "ondemand", .name = "ConnectDomains", .type = T_STRICT_DOMAIN, FREE_LIST,
	.scope = IN_PER_APP, .state = STATE_REFUSED, .help = "a look-up connects at once",
	.example = "mail.example.com" },

[K_ALLOWED] = {
	.section = "apps", .name = "Allowed", .type = T_APP, FREE_LIST, .scope = IN_PACKET,
	.state = STATE_REFUSED, .help = "only these apps use the tunnel",
	.example = "/usr/bin/firefox*;unit:mail.service" },
[K_DISALLOWED] = {
	.section = "apps", .name = "Disallowed", .type = T_APP, FREE_LIST, .scope = IN_PACKET,
	.state = STATE_REFUSED, .help = "all but these apps use the tunnel",
	.example = "uid:backup" },
[K_ALLOW_BYPASS] = {
	.section = "apps", .name = "AllowBypass", BOOL, .fallback = "false", .scope = IN_PACKET,
	.state = STATE_REFUSED, .help = "may an app leave the tunnel by binding elsewhere" },

[K_LOG_LEVEL] = {
	.section = "support", .name = "LogLevel", .type = T_LOG_LEVEL,
	.values = (const char *const[]){ "error", "warning", "info", "debug", "session",
					 "packet", NULL },
	AT(log_level), .fallback = "info", .help = "how much is logged" },
[K_DEBUG_RECIPIENT] = {
	.section = "support", .name = "debugInfoRecipient", .type = T_EMAIL,
	AT(debug_recipient), .state = STATE_NOT_YET, .help = "where a debug bundle is addressed",
	.example = "helpdesk@example.com" },
[K_ANALYTICS] = {
	.section = "support", .name = "AnalyticsEnabled", BOOL, AT(analytics), .fallback = "true",
	.help = "keep a local history of usage per day; `status --history` shows it" },
};

const struct schema_alias schema_aliases[] = {
	{ "tunnel", "IncludedRoutes", K_ROUTES, IN_DEVICE, false },
	{ "atp", "AtpProbeldleSec", K_PROBE_IDLE, 0, true },	/* an l for the I */
	{ "dns", "SplitDomainsList", K_MATCH, 0, false },
	{ "apps", "AllowedAppList", K_ALLOWED, 0, false },
	{ "apps", "DisallowedAppList", K_DISALLOWED, 0, false },
};
const size_t schema_n_aliases = sizeof(schema_aliases) / sizeof(schema_aliases[0]);

#define RULE_PREFIX "Rule."

/* Decimal digits without leading zero, 1..max; 0 when it is none. */
static uint32_t number_of(const char *s, size_t n, uint32_t max)
{
	uint32_t v = 0;
	size_t i;

	if (!n || s[0] == '0')
		return 0;
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
		v = v * 10 + (uint32_t)(s[i] - '0');
		if (v > max)
			return 0;
	}
	return v;
}

static bool is_rule(enum schema_id id)
{
	return schema[id].form == FORM_RULE || schema[id].form == FORM_RULE_LIST;
}

/* The key (not a rule's) of exactly this name. */
static bool find_name(const char *section, const char *name, size_t n, bool rule,
		      struct schema_hit *hit)
{
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (!strcmp(schema[i].section, section) && is_rule(i) == rule &&
		    text_same(name, n, schema[i].name)) {
			*hit = (struct schema_hit){ .id = i };
			return true;
		}
	}
	for (i = 0; !rule && i < schema_n_aliases; i++) {
		const struct schema_alias *a = &schema_aliases[i];

		if (!strcmp(a->section, section) && text_same(name, n, a->name)) {
			*hit = (struct schema_hit){ .id = a->id, .alias = a };
			return true;
		}
	}
	return false;
}

/* memrchr(), which needs no feature macro this way */
static const char *last_dot(const char *name, size_t n)
{
	while (n--) {
		if (name[n] == '.')
			return name + n;
	}
	return NULL;
}

static enum schema_match find_rule(const char *section, const char *name, size_t n,
				   struct schema_hit *hit)
{
	const char *end = name + n, *number = name + strlen(RULE_PREFIX), *kind, *dot;
	uint32_t rule;

	dot = memchr(number, '.', (size_t)(end - number));
	if (!dot)
		return MATCH_UNKNOWN;
	rule = number_of(number, (size_t)(dot - number), SCHEMA_RULES_MAX);
	kind = dot + 1;
	dot = last_dot(kind, (size_t)(end - kind));
	if (find_name(section, kind, (size_t)((dot ? dot : end) - kind), true, hit)) {
		bool list = schema[hit->id].form == FORM_RULE_LIST;

		hit->rule = rule;
		if (dot)
			hit->number = number_of(dot + 1, (size_t)(end - dot - 1),
						SCHEMA_NUMBER_MAX);
		if (dot && !list)
			return MATCH_NOT_A_LIST;
		if (!rule || (list && !hit->number))
			return MATCH_BAD_NUMBER;
		return MATCH_KEY;
	}
	return MATCH_UNKNOWN;
}

enum schema_match schema_find(const char *section, const char *name, size_t n,
			      struct schema_hit *hit)
{
	const char *dot = last_dot(name, n);

	if (!strcmp(section, "ondemand") && n > strlen(RULE_PREFIX) &&
	    text_same(name, strlen(RULE_PREFIX), RULE_PREFIX))
		return find_rule(section, name, n, hit);
	if (find_name(section, name, n, false, hit))
		return MATCH_KEY;
	if (!dot || !find_name(section, name, (size_t)(dot - name), false, hit))
		return MATCH_UNKNOWN;
	if (schema[hit->id].form != FORM_LIST)
		return MATCH_NOT_A_LIST;
	hit->number = number_of(dot + 1, (size_t)(name + n - dot - 1), SCHEMA_NUMBER_MAX);
	return hit->number ? MATCH_KEY : MATCH_BAD_NUMBER;
}

const char *schema_section(const char *name, size_t n)
{
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (text_same(name, n, schema[i].section))
			return schema[i].section;
	}
	return NULL;
}

bool schema_section_refused(const char *section)
{
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (!strcmp(schema[i].section, section) && schema[i].state != STATE_REFUSED)
			return false;
	}
	return true;
}

/* Two edits turn any short name into any other: ask for a likeness, too. */
static unsigned int nearness(const char *name, size_t n, const char *candidate)
{
	unsigned int d = text_distance(name, n, candidate);

	return d <= 2 && strlen(candidate) > d + 1 && n > d ? d : 3;
}

const char *schema_near_section(const char *name, size_t n)
{
	const char *best = NULL;
	unsigned int least = 3, d;
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		d = nearness(name, n, schema[i].section);
		if (d < least) {
			least = d;
			best = schema[i].section;
		}
	}
	return best;
}

const char *schema_near_key(const char *section, const char *name, size_t n, char *buf)
{
	const char *best = NULL, *dot = last_dot(name, n), *tail = "";
	unsigned int least = 3, d;
	size_t i, tail_n = 0;

	/* a misspelt list key keeps its number */
	if (dot && number_of(dot + 1, (size_t)(name + n - dot - 1), SCHEMA_NUMBER_MAX)) {
		tail = dot;
		tail_n = (size_t)(name + n - dot);
		n -= tail_n;
	}
	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (strcmp(schema[i].section, section) != 0 || is_rule(i))
			continue;
		d = nearness(name, n, schema[i].name);
		if (d < least) {
			least = d;
			best = schema[i].name;
		}
	}
	for (i = 0; i < schema_n_aliases; i++) {
		if (strcmp(schema_aliases[i].section, section) != 0 || schema_aliases[i].misprint)
			continue;
		d = nearness(name, n, schema_aliases[i].name);
		if (d < least) {
			least = d;
			best = schema_aliases[i].name;
		}
	}
	if (!best)
		return NULL;
	snprintf(buf, SCHEMA_NAME_MAX, "%s%.*s", best, (int)tail_n, tail);
	return buf;
}

const char *schema_home(const char *section, const char *name, size_t n)
{
	struct schema_hit hit;
	size_t i;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (strcmp(schema[i].section, section) != 0 &&
		    schema_find(schema[i].section, name, n, &hit) == MATCH_KEY)
			return schema[i].section;
	}
	return NULL;
}

char *schema_name(enum schema_id id, uint32_t rule, uint32_t number, char *buf)
{
	int n = 0;

	if (rule)
		n = snprintf(buf, SCHEMA_NAME_MAX, RULE_PREFIX "%u.", rule);
	if (number)
		snprintf(buf + n, SCHEMA_NAME_MAX - (size_t)n, "%s.%u", schema[id].name, number);
	else
		snprintf(buf + n, SCHEMA_NAME_MAX - (size_t)n, "%s", schema[id].name);
	return buf;
}

char *schema_words(const char *const *values, char *buf, size_t size)
{
	size_t i, at = 0;
	int n;

	buf[0] = '\0';
	for (i = 0; values[i]; i++) {
		const char *sep = !i ? "" : values[i + 1] ? ", " : " or ";

		n = snprintf(buf + at, size - at, "%s%s", sep, values[i]);
		if (n < 0 || (size_t)n >= size - at)
			break;
		at += (size_t)n;
	}
	return buf;
}

bool schema_is_own(const char *name, size_t n)
{
	return n >= 2 && text_same(name, 2, "x-");
}
