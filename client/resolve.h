/* SPDX-License-Identifier: MIT */
/*
 * resolve.h - one name to its addresses; private to conn.c, resolve.c and
 * their tests.  The caller polls: it looks at the lookup after conn_event()
 * or conn_timer() and takes what is new.
 */
#ifndef APPTUNNEL_RESOLVE_H
#define APPTUNNEL_RESOLVE_H

#include "client/conn.h"
#include "client/race.h"

#define RESOLVE_SERVERS	4		/* nameserver lines that are used */

struct lookup {
	struct resolver *resolver;
	const char *name;		/* borrowed */
	unsigned int n;
	struct ipaddr addrs[RACE_MAX];	/* in the order in which they came */
	bool pending4, pending6;
	bool fresh;			/* something above changed; the caller clears it */
	const char *error;		/* of the last query that failed; static text */
};

/* lookup_start() - @l: zeroed or stopped; hosts snapshot at once, else A and AAAA in parallel */
void lookup_start(struct resolver *r, struct lookup *l, const char *name, uint64_t now);
/* lookup_stop() - forget what is outstanding; fine when nothing is */
void lookup_stop(struct lookup *l);
static inline bool lookup_pending(const struct lookup *l)
{
	return l->pending4 || l->pending6;
}

/* resolver_deadline() - when resolver_timer() is due (us); UINT64_MAX: never */
uint64_t resolver_deadline(const struct resolver *r);
/* resolver_port() - where the servers listen instead of 53 (tests) */
void resolver_port(struct resolver *r, uint16_t port);

#endif
