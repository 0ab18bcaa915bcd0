/* SPDX-License-Identifier: MIT */
/*
 * race.h - which address of a Host to connect to next (RFC 8305), pure.
 *
 * Addresses are added as the resolver finds them.  The caller connects what
 * race_start() names and reports how it went; the first connection that
 * stands wins, and the caller closes the others.  Families take turns, IPv6
 * first.  The next attempt starts LIMIT_RACE_US after the last one or as soon
 * as one failed; each has LIMIT_CONNECT_US.
 */
#ifndef APPTUNNEL_RACE_H
#define APPTUNNEL_RACE_H

#include <stdbool.h>
#include <stdint.h>

#include "profiles/addr.h"

#define RACE_MAX	16	/* addresses of one Host that are tried; the rest is ignored */

enum race_state { RACE_WAITING, RACE_TRYING, RACE_FAILED };

struct race {
	unsigned int n, trying, waiting;
	struct race_attempt {
		struct ipaddr addr;
		uint8_t state;		/* enum race_state */
		uint64_t at;		/* WAITING: not before; TRYING: time is up */
		int error;		/* FAILED: positive errno */
	} list[RACE_MAX];
	uint64_t next;			/* the next attempt may start */
	uint64_t hold_until;		/* IPv4 waits for the AAAA answer; 0: not set */
	bool pending6;			/* that answer is outstanding */
	uint8_t last_family;
	int error;			/* of the last attempt that failed */
};

/* race_init() - @pending6: the resolver still asks for IPv6 addresses */
void race_init(struct race *r, bool pending6);
/* race_add() - duplicates, and addresses nobody can connect to, are ignored */
void race_add(struct race *r, const struct ipaddr *addr, uint64_t now);
void race_answered6(struct race *r);	/* the AAAA answer came, or never will */
/* race_start() - Return: number of the attempt to start now, or -1 */
int race_start(struct race *r, uint64_t now);
/* race_failed() - attempt @i ended with @error (positive errno) */
void race_failed(struct race *r, unsigned int i, int error, uint64_t now);
/* race_postpone() - attempt @i had no socket: not before @until; another may go first */
void race_postpone(struct race *r, unsigned int i, uint64_t until, uint64_t now);
/* race_expired() - Return: an attempt whose time is up, or -1; report it by race_failed() */
int race_expired(const struct race *r, uint64_t now);
/* race_deadline() - when race_start() or race_expired() may have something; UINT64_MAX */
uint64_t race_deadline(const struct race *r);
/* race_lost() - nothing is tried nor waits (also when no address was added yet) */
bool race_lost(const struct race *r);

#endif
