/* SPDX-License-Identifier: MIT */
/*
 * schema.h - the one table of keys.  Reader, checks, `profile show` and the
 * documents are driven by it; a key is added here, and nowhere else.
 */
#ifndef APPTUNNEL_SCHEMA_H
#define APPTUNNEL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/profile.h"

enum schema_id {
	/* [profile] */
	K_NAME, K_VERSION, K_DESCRIPTION, K_PROVIDER, K_SCOPE, K_MODE,
	/* [sentry] */
	K_HOST, K_SERVICE, K_DEVICE_ID, K_USER_ID, K_PLATFORM, K_TLS_MAX,
	/* [access] */
	K_ACCESS_HOST, K_ACCESS_SERVICE, K_ACCESS_DOMAINS,
	/* [identity] */
	K_CERTIFICATE, K_PRIVATE_KEY, K_CHAIN,
	/* [pinning] */
	K_PINS, K_NO_PINNING, K_CA_FILE,
	/* [tunnel] */
	K_ROUTES, K_EXCLUDED, K_UDP_PORTS, K_MTU, K_TUN_IP, K_IPV6_PREFIX, K_TCP_IDLE,
	K_DISCONNECT, K_DIRECT_LOCALHOST,
	/* [atp] */
	K_PROBE_IDLE, K_PROBE_INTERVAL, K_PROBE_COUNT,
	/* [dns] */
	K_RESOLVERS, K_SEARCH, K_MATCH, K_BACKEND,
	/* [lock] */
	K_LOCK_MODE, K_ALLOW_LAN, K_ALLOW_INBOUND, K_LOCK_IPV6,
	/* [ondemand] */
	K_RULE_ACTION, K_RULE_SSID, K_RULE_INTERFACE, K_RULE_DOMAIN, K_RULE_DESCRIPTION,
	K_DEFAULT_ACTION, K_TRIGGER_DOMAINS, K_CONNECT_DOMAINS,
	/* [apps] */
	K_ALLOWED, K_DISALLOWED, K_ALLOW_BYPASS,
	/* [support] */
	K_LOG_LEVEL, K_DEBUG_RECIPIENT, K_ANALYTICS,
	SCHEMA_KEYS
};

enum schema_type {
	T_TEXT,			/* min..max characters */
	T_NUMBER,		/* min..max */
	T_ENUM,			/* one of values[] */
	T_HOST,
	T_SERVICE,
	T_PATH,			/* becomes absolute */
	T_PIN,
	T_PREFIX,
	T_PORTS,
	T_ADDRESS,
	T_TUN_ADDRESS,
	T_ULA,
	T_DOMAIN,		/* underscores allowed */
	T_STRICT_DOMAIN,	/* letters, digits, hyphen, period */
	T_LOG_LEVEL,
	T_EMAIL,
	T_APP,
};

enum schema_state {
	STATE_IN_EFFECT,
	STATE_NOT_YET,		/* accepted: leaving it out neither weakens nor widens anything */
	STATE_REFUSED,		/* checked, then refused as not supported yet */
};

enum schema_form {
	FORM_PLAIN,		/* KEY = one value */
	FORM_LIST,		/* KEY = "a;b", or KEY.1 = ..., KEY.2 = ... */
	FORM_RULE,		/* Rule.N.KEY = one value */
	FORM_RULE_LIST,		/* Rule.N.KEY.M = one value, always numbered */
};

/* Where a key has an effect; 0: everywhere.  Any one of the bits suffices. */
#define IN_DEVICE	0x1u
#define IN_PER_APP	0x2u
#define IN_PACKET	0x4u
#define IN_PROXY	0x8u

#define SCHEMA_NUMBER_MAX	8192u	/* of numbered keys */
#define SCHEMA_RULES_MAX	10u
#define SCHEMA_PAIRS_MAX	50u	/* SSID, Interface and DnsDomain of one rule together */
#define SCHEMA_SSID_MAX		32u	/* bytes */

struct schema_key {
	const char *section;		/* as documented */
	const char *name;		/* as documented; of a rule: what follows Rule.N. */
	const char *fallback;		/* default as text; NULL: none */
	const char *fallback_note;	/* shown instead of a default, e.g. "Sentry" */
	const char *help;		/* one line */
	const char *example;		/* a value for the example; NULL: the default */
	const char *const *values;	/* T_ENUM, T_LOG_LEVEL: NULL-terminated */
	uint64_t min, max;		/* T_NUMBER, T_TEXT; of a list: max is the capacity */
	uint32_t refused_values;	/* bits of values[] that are not supported yet */
	uint32_t offset, size;		/* of the field in struct profile; size 0: not kept */
	uint32_t count;			/* offset of a list's uint32_t count */
	uint8_t type, form, state, scope;
	bool required;			/* unless ProfileMode = access */
	bool or_zero;			/* T_NUMBER: 0 is accepted beside min..max */
};

struct schema_alias {
	const char *section, *name;
	enum schema_id id;
	uint8_t scope;			/* where this spelling belongs; 0: everywhere */
	bool misprint;			/* accepted with a warning */
};

extern const struct schema_key schema[SCHEMA_KEYS];
extern const struct schema_alias schema_aliases[];
extern const size_t schema_n_aliases;

/* How a name in the file was understood. */
enum schema_match {
	MATCH_KEY,		/* id; number and rule where the form has them (0: plain) */
	MATCH_NOT_A_LIST,	/* id; a number behind a key that holds one value */
	MATCH_BAD_NUMBER,	/* id; a number that is none, or out of range */
	MATCH_UNKNOWN,
};

struct schema_hit {
	enum schema_id id;
	const struct schema_alias *alias;	/* NULL: the documented spelling */
	uint32_t number, rule;
};

/*
 * schema_find() - what does this name mean in this section?
 * @section: as documented (see schema_section())
 * @name, @n: as written
 */
enum schema_match schema_find(const char *section, const char *name, size_t n,
			      struct schema_hit *hit);

/*
 * schema_section() - the documented spelling of a section
 * Return: NULL for an unknown one
 */
const char *schema_section(const char *name, size_t n);

/* schema_section_refused() - is every key of this section refused? */
bool schema_section_refused(const char *section);

/*
 * schema_near_section(), schema_near_key() - "did you mean"
 * @buf: SCHEMA_NAME_MAX bytes
 * Return: @buf with the nearest name at an edit distance of at most 2, or NULL
 */
#define SCHEMA_NAME_MAX		64
const char *schema_near_section(const char *name, size_t n);
const char *schema_near_key(const char *section, const char *name, size_t n, char *buf);

/* schema_home() - another section that has this very key, or NULL */
const char *schema_home(const char *section, const char *name, size_t n);

/*
 * schema_name() - the name of a key as findings print it: with its numbers
 * @buf: SCHEMA_NAME_MAX bytes.  Return: @buf
 */
char *schema_name(enum schema_id id, uint32_t rule, uint32_t number, char *buf);

/* schema_words() - "a, b or c" of a word list.  @buf of @size bytes.  Return: @buf */
char *schema_words(const char *const *values, char *buf, size_t size);

/* schema_is_own() - a name that begins with x-, the administrator's own */
bool schema_is_own(const char *name, size_t n);

#endif
