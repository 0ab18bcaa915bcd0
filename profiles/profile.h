/* SPDX-License-Identifier: MIT */
/*
 * profile.h - a profile as checked, typed values.
 *
 * The parser child writes one of these into a sealed memory file; the daemon
 * checks it as a whole (profile_check_record()), builds the plan from it and
 * hands the same file to the engine.  So it is a record
 * of fixed size without pointers, and every reader treats it as input.
 */
#ifndef APPTUNNEL_PROFILE_H
#define APPTUNNEL_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "profiles/addr.h"

#define PROFILE_MAGIC		0x41545031u	/* "ATP1" */
#define PROFILE_VERSION		3u	/* raised whenever this layout changes */

#define PROFILE_MAX_PREFIXES	8192	/* = keys a file may hold */
#define PROFILE_MAX_HOSTS	8
#define PROFILE_MAX_PINS	16
#define PROFILE_MAX_PORTS	1024	/* ranges of SplitUDPPortList */
#define PROFILE_MAX_RESOLVERS	8
#define PROFILE_MAX_SEARCH	32
#define PROFILE_MAX_MATCH	256
#define PROFILE_NAME_MAX	254	/* host or domain name with NUL */
#define PROFILE_PATH_MAX	1024	/* absolute path with NUL */
#define PROFILE_STEM_MAX	33	/* bytes with NUL */
#define PROFILE_TEXT_MAX	1024	/* free text with NUL: 255 characters of UTF-8 */
#define PROFILE_EMAIL_MAX	(64 + 1 + PROFILE_NAME_MAX)	/* LOCAL@DOMAIN with NUL */

enum profile_provider { PROVIDER_PACKET_TUNNEL, PROVIDER_APP_PROXY };
enum profile_scope { SCOPE_DEVICE, SCOPE_PER_APP };
enum profile_mode { MODE_SENTRY, MODE_ACCESS, MODE_SENTRY_ACCESS };
enum profile_tls_max { TLS_MAX_1_2, TLS_MAX_1_3 };
enum profile_backend { BACKEND_AUTO, BACKEND_RESOLVED, BACKEND_RESOLVCONF,
		       BACKEND_FILE, BACKEND_NONE };
enum profile_lock { LOCK_SESSION, LOCK_STRICT, LOCK_OFF };
enum profile_lock_ipv6 { LOCK_IPV6_BLOCK, LOCK_IPV6_DIRECT };
enum profile_log_level { LOG_LVL_ERROR, LOG_LVL_WARNING, LOG_LVL_INFO,
			 LOG_LVL_DEBUG, LOG_LVL_SESSION, LOG_LVL_PACKET };
enum profile_pin_kind { PIN_FILE, PIN_CERT_SHA256, PIN_KEY_SHA256 };

struct profile_host {
	char name[PROFILE_NAME_MAX];	/* as written, without port and brackets */
	struct ipaddr addr;		/* set when the name is an address */
	uint16_t port;
};

struct profile_pin {
	uint8_t kind;			/* enum profile_pin_kind */
	uint8_t sha256[32];		/* unless PIN_FILE */
	char path[PROFILE_PATH_MAX];	/* PIN_FILE only */
};

struct port_range {
	uint16_t lo, hi;		/* both inclusive, lo <= hi */
};

struct profile {
	uint32_t magic, version, size;	/* PROFILE_MAGIC, PROFILE_VERSION, sizeof */

	char stem[PROFILE_STEM_MAX];	/* file name without .ini: [A-Za-z0-9_-]{1,32} */
	char name[PROFILE_TEXT_MAX];	/* [profile] Name, shown to people */
	char description[PROFILE_TEXT_MAX];
	uint64_t profile_version;
	uint8_t provider, scope, mode;

	/* [sentry] */
	uint32_t n_hosts;
	struct profile_host hosts[PROFILE_MAX_HOSTS];
	char service[129];
	char device_id[PROFILE_TEXT_MAX];
	char user_id[PROFILE_TEXT_MAX];
	char platform[16];
	uint8_t tls_max;

	/* [identity], [pinning]: absolute paths; empty: not given */
	char certificate[PROFILE_PATH_MAX];
	char private_key[PROFILE_PATH_MAX];
	char chain[PROFILE_PATH_MAX];
	char ca_file[PROFILE_PATH_MAX];
	uint8_t pinning_disabled;
	uint32_t n_pins;
	struct profile_pin pins[PROFILE_MAX_PINS];

	/* [tunnel]: host bits cleared, duplicates gone, order of the file */
	uint32_t n_routes, n_excluded;
	struct prefix routes[PROFILE_MAX_PREFIXES];
	struct prefix excluded[PROFILE_MAX_PREFIXES];
	uint8_t udp_split;		/* 0: key not set, all UDP is tunnelled */
	uint32_t n_ports;
	struct port_range ports[PROFILE_MAX_PORTS];	/* sorted and merged */
	uint16_t mtu;
	struct ipaddr tun4, tun6;	/* TunIP; family 0: what Sentry assigns */
	uint32_t tcp_idle_ms;		/* not in effect yet */
	uint32_t disconnect_s;		/* not in effect yet; 0: never */
	struct prefix ipv6_prefix;	/* not in effect yet; family 0: not given */
	uint8_t direct_localhost;	/* not in effect yet */

	/* [atp] */
	uint32_t probe_idle_s, probe_interval_s, probe_count;

	/* [dns] */
	uint32_t n_resolvers, n_search;
	struct ipaddr resolvers[PROFILE_MAX_RESOLVERS];
	char search[PROFILE_MAX_SEARCH][PROFILE_NAME_MAX];
	uint8_t backend;

	/* [lock] */
	uint8_t lock_mode, allow_inbound, lock_ipv6, allow_lan;

	/* [support] */
	uint8_t log_level;
	uint8_t analytics;		/* keep a local history of usage */
	char debug_recipient[PROFILE_EMAIL_MAX];	/* not in effect yet; empty: not given */
};

/* profile_defaults() - a profile of nothing but defaults */
void profile_defaults(struct profile *p);

/*
 * profile_check_record() - is this record sound?
 * Every count within its bound, every text terminated, every enum in range,
 * every prefix valid and without host bits.  For whoever receives a record
 * from another process: it judges the record, not the administrator's file.
 * @p: the record, @size: bytes that were received
 * Return: 0, or -EBADMSG
 */
int profile_check_record(const struct profile *p, size_t size);

#endif
