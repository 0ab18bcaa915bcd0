/* SPDX-License-Identifier: MIT */
/*
 * probe.c - when to send an ATP probe, and when the connection is dead.
 *
 * A round begins when the client wants to send although nothing came in for
 * idle_us, or at once when the network changed.  It then runs to its end by
 * itself: only an inbound byte stops it, because the probes that stay
 * unanswered are themselves the outbound traffic.
 */
#include "client/atp/probe.h"

#include <string.h>

#include "client/limits.h"

#define PROBE_URGENT_US	USEC_PER_SEC	/* interval after a change of network */

void probe_init(struct probe *p, uint32_t idle_s, uint32_t interval_s,
		uint32_t count, uint64_t now)
{
	memset(p, 0, sizeof(*p));
	probe_tune(p, idle_s, interval_s, count);
	p->last_in = now;
}

void probe_tune(struct probe *p, uint32_t idle_s, uint32_t interval_s, uint32_t count)
{
	p->idle_us = idle_s * USEC_PER_SEC;
	p->interval_us = interval_s * USEC_PER_SEC;
	p->count = count ? count : 1;
}

void probe_inbound(struct probe *p, uint64_t now)
{
	p->last_in = now;
	p->sent = 0;
	p->urgent = false;
}

void probe_network_changed(struct probe *p, uint64_t now)
{
	p->urgent = true;
	p->sent = 0;
	p->next = now;
}

static bool probe_due(const struct probe *p, bool wants_to_send, uint64_t now)
{
	if (p->sent > 0)
		return now >= p->next;
	if (p->urgent)
		return true;
	return wants_to_send && now >= p->last_in + p->idle_us;
}

enum probe_action probe_step(struct probe *p, bool wants_to_send, uint64_t now)
{
	if (!probe_due(p, wants_to_send, now))
		return PROBE_NOTHING;
	if (p->sent >= p->count)
		return PROBE_DEAD;
	p->sent++;
	/* From now, not from the last due time: a process that was stopped
	 * must not send its whole round in one go. */
	p->next = now + (p->urgent && p->interval_us > PROBE_URGENT_US ?
			 PROBE_URGENT_US : p->interval_us);
	return PROBE_SEND;
}

uint64_t probe_deadline(const struct probe *p, bool wants_to_send)
{
	if (p->sent > 0 || p->urgent)
		return p->next;
	return wants_to_send ? p->last_in + p->idle_us : UINT64_MAX;
}
