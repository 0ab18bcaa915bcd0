/* SPDX-License-Identifier: MIT */
/*
 * assoc_priv.h - the inside of an association; private to assoc.c (its socket,
 * both ways) and assoc_error.c (what the network says of its datagrams)
 */
#ifndef SENTRY_ASSOC_PRIV_H
#define SENTRY_ASSOC_PRIV_H

#include "tests/sentry/sentry.h"

#define ASSOC_ECHOES	64	/* identifiers remembered by sequence number */
#define ICMP_HEADER	8

struct peer {
	struct ipaddr addr;
	uint64_t last;
};

struct held {
	struct held *next;
	struct mux_dgram at;
	size_t len;
	uint8_t data[];
};

struct assoc {
	uint8_t family;
	bool other_ports;		/* not DNS alone */
	bool no_segment;		/* this kernel or path refuses UDP_SEGMENT */
	uint64_t last;
	uint32_t n_peers, cap_peers, hit;
	struct peer *peers;
	struct ipaddr denied;		/* last one that an audit line told of */
	struct held *held, **held_end;
	uint32_t n_held;
	struct { uint16_t seq, ident; } echo[ASSOC_ECHOES];
	uint16_t ident;
};

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The identifier that the app's echo request with this sequence number had. */
static inline uint16_t echo_ident(const struct assoc *a, uint16_t seq)
{
	return a->echo[seq % ASSOC_ECHOES].seq == seq ? a->echo[seq % ASSOC_ECHOES].ident :
							a->ident;
}

/* assoc_tell_errno() - what an errno of sending means to the app; the rest is loss */
void assoc_tell_errno(struct stream *st, const struct mux_dgram *at, int err);
/* assoc_read_errors() - empty the error queue, and tell the device */
void assoc_read_errors(struct stream *st);

#endif
