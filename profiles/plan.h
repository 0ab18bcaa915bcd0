/* SPDX-License-Identifier: MIT */
/*
 * plan.h - the list of desired changes to the machine.
 *
 * One list, five uses: `apptunnel plan` prints it, the daemon applies it in
 * order, reads it back, journals it, and undoes it from the end.  Building
 * and printing it is pure.
 */
#ifndef APPTUNNEL_PLAN_H
#define APPTUNNEL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/addr.h"
#include "profiles/profile.h"

/* What of platform/names.h the daemon's options may change. */
struct plan_names {
	uint32_t mark;		/* bypass bit */
	uint32_t table;		/* routing table of this engine */
	uint32_t prio;		/* its rule; exceptions stand at NAMES_RULE_PRIO_MAIN */
	uint32_t prio_main;
	char tun[16];
	char nft[32];		/* tables inet and arp of this engine */
	struct ipaddr service4, service6;
	char resolv_conf[PROFILE_PATH_MAX];
	bool no_vnet_hdr;	/* open the TUN without virtio headers (for tests) */
};

/* plan_names_default() - the names of engine @n (0 .. NAMES_MAX_PROFILES - 1) */
void plan_names_default(struct plan_names *names, unsigned int n);

/*
 * What Sentry's CONFIG (bounded by the profile) adds.  A field that the
 * profile fixes is already replaced by the profile's value.
 */
struct plan_offer {
	struct ipaddr addr4, addr6;
	uint16_t mtu;
	uint32_t n_resolvers, n_search;
	struct ipaddr resolvers[PROFILE_MAX_RESOLVERS];
	char search[PROFILE_MAX_SEARCH][PROFILE_NAME_MAX];
};

enum plan_kind {
	PLAN_SYSCTL,		/* path, value */
	PLAN_NFT,		/* the tables inet and arp, one transaction; value 1: with lock */
	PLAN_RULE_MAIN,		/* DHCP: family, sport, dport -> main */
	PLAN_RULE,		/* not fwmark B/B lookup T */
	PLAN_SHADOW,		/* unreachable PREFIX metric max, table T */
	PLAN_THROW,		/* throw PREFIX, table T */
	PLAN_TUN,		/* create the TUN */
	PLAN_LINK,		/* MTU, queue length, alias (path), up */
	PLAN_GUARD,		/* drop packets to PREFIX that did not come out of a TUN */
	PLAN_ADDR,		/* /32 or /128, no prefix route */
	PLAN_ROUTE,		/* PREFIX dev TUN, table T */
	PLAN_DNS,		/* the resolv.conf back-end; value: hash of the text */
	/* never in a plan, for it depends on the moment: apply_lock() adds them */
	PLAN_INBOUND,		/* an open connection from outside, PREFIX its peer -> main */
	PLAN_KINDS
};

/*
 * LOCK stands before the first dial and is removed last; TUNNEL follows
 * Sentry's CONFIG.  The TUN itself belongs to TUNNEL.
 */
enum plan_stage { PLAN_LOCK, PLAN_TUNNEL };

struct plan_item {
	uint8_t kind, stage;
	uint8_t family;			/* 4 or 6 where it applies, else 0 */
	bool from_sentry;		/* the value comes from Sentry: shown so when unknown */
	uint16_t sport, dport;		/* PLAN_RULE_MAIN, PLAN_INBOUND (sport: ours) */
	uint32_t value;			/* sysctl value, MTU */
	struct prefix prefix;		/* SHADOW, THROW, GUARD, ADDR, ROUTE, INBOUND (peer) */
	struct ipaddr from;		/* PLAN_INBOUND: the local address */
	char path[64];			/* PLAN_SYSCTL: below /proc/sys/, with slashes */
};

#define PLAN_LINE_MAX	3072		/* bytes; no plan_item_text() is longer */
#define PLAN_NFT_MAX	(2u << 20)	/* bytes; nor is a plan_nft_text() */
#define PLAN_RESOLV_MAX	16384		/* bytes; nor a plan_resolv_text() */

struct plan {
	struct plan_names names;
	const struct profile *profile;	/* borrowed */
	const struct plan_offer *offer;	/* borrowed; NULL: Sentry has not spoken yet */
	size_t n;
	struct plan_item *items;	/* in order of application; owned */
};

/*
 * plan_build() - profile and offer to the ordered list
 * @offer: NULL before Sentry's CONFIG; the list then holds the same items with
 *	from_sentry set and no value
 * @plan: filled on success; release it with plan_free()
 * Return: 0, -ENOMEM
 */
int plan_build(struct plan *plan, const struct profile *profile,
	       const struct plan_offer *offer, const struct plan_names *names);
void plan_free(struct plan *plan);

/*
 * plan_item_text() - the one line that planning and applying print, as the
 * equivalent command, without the leading "[#] "
 * Return: length, or -ENOSPC; always terminated
 */
int plan_item_text(const struct plan *plan, const struct plan_item *item,
		   char *buf, size_t size);

/* plan_undo_text() - the same for taking @item back; length 0: nothing to say */
int plan_undo_text(const struct plan *plan, const struct plan_item *item,
		   char *buf, size_t size);

/*
 * plan_resolv_text() - what resolv.conf is to say: the service address as name
 * server, and the search domains
 * Return: length, or -ENOSPC
 */
int plan_resolv_text(const struct plan *plan, char *buf, size_t size);

/* plan_covers() - does the plan lead traffic to @a into the tunnel (or refuse it)? */
bool plan_covers(const struct plan *plan, const struct ipaddr *a);

/*
 * plan_nft_text() - the rule set (both tables) as libnftables reads it; holds
 * nothing but numbers, addresses and our own names
 * Return: length, or -ENOSPC
 */
int plan_nft_text(const struct plan *plan, char *buf, size_t size);

/* plan_json() - `apptunnel plan --json`; allocated, free() it; NULL: no memory */
char *plan_json(const struct plan *plan);

#endif
