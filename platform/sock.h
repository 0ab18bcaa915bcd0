/* SPDX-License-Identifier: MIT */
/*
 * sock.h - the engine's stock of marked sockets, got from the daemon.
 */
#ifndef APPTUNNEL_SOCK_H
#define APPTUNNEL_SOCK_H

#include "platform/helper_msg.h"

#define SOCK_STOCK	32	/* of each kind and family */

struct sock_stock {
	int helper;					/* the engine's end of the pair */
	int fds[2][2][SOCK_STOCK];			/* kind, family (4: 0, 6: 1) */
	uint16_t count[2][2];
	uint16_t asked[2][2];				/* requested, not here yet */
	uint64_t got, empty;				/* counters */
};

/* sock_stock_init() - empty; @helper is borrowed.  sock_stock_free() closes what is left */
void sock_stock_init(struct sock_stock *s, int helper);
/*
 * sock_take() - a marked non-blocking socket; the caller owns and closes it
 * Return: descriptor, or -EAGAIN: none now, more were asked for
 */
int sock_take(struct sock_stock *s, enum helper_socket kind, uint8_t family);
/* sock_put() - descriptors of a HELPER_SOCKETS message; closes what has no room */
void sock_put(struct sock_stock *s, const struct helper_msg *msg, const int *fds);
void sock_stock_free(struct sock_stock *s);

#endif
