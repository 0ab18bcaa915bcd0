/* SPDX-License-Identifier: MIT */
/*
 * conflict.c - does anybody else use our numbers and names?  Our own traces of
 * a crash are undone from the journal before this is asked.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>

#include "platform/names.h"
#include "platform/sys.h"

static bool rule_conflicts(const struct rule_seen *r, const void *arg)
{
	const struct plan_names *n = arg;

	if (r->prio == n->prio || r->table == n->table)
		return true;
	/* this priority is shared by all our engines */
	return r->prio == n->prio_main && r->protocol != NAMES_ROUTE_PROTO;
}

int conflict_find(const struct plan_names *n, char *what, size_t size)
{
	char p[PREFIX_STRLEN];
	struct prefix prefix;
	struct rule_seen r;
	int err;

	rule_forget();
	route_forget();
	for (unsigned int f = 4; f <= 6; f += 2) {
		err = rule_find((uint8_t)f, rule_conflicts, n, &r);
		if (!err) {
			snprintf(what, size, "an IPv%u rule of priority %u with table %u is "
				 "there already and is not ours", f, r.prio, r.table);
			return -EEXIST;
		}
		if (err != -ENOENT && err != -EAFNOSUPPORT && err != -EOPNOTSUPP)
			return err;
		err = route_first((uint8_t)f, n->table, &prefix);
		if (!err) {
			snprintf(what, size, "routing table %u holds %s already and it is not "
				 "ours", n->table, prefix_format(&prefix, p));
			return -EEXIST;
		}
		if (err != -ENOENT)
			return err;
	}
	if (if_nametoindex(n->tun)) {
		snprintf(what, size, "an interface %s is there already and is not ours", n->tun);
		return -EEXIST;
	}
	for (unsigned int i = 0; i < 2; i++) {
		const char *family = i ? "arp" : "inet";

		err = nft_has_table(family, n->nft);
		if (err < 0)
			return err;
		if (err) {
			snprintf(what, size, "an nft table %s %s is there already and is not ours",
				 family, n->nft);
			return -EEXIST;
		}
	}
	return 0;
}
