/* SPDX-License-Identifier: MIT */
/* race.c - see race.h (RFC 8305, 5) */
#include "client/race.h"

#include <errno.h>
#include <string.h>

#include "client/limits.h"

void race_init(struct race *r, bool pending6)
{
	memset(r, 0, sizeof(*r));
	r->pending6 = pending6;
}

void race_add(struct race *r, const struct ipaddr *addr, uint64_t now)
{
	struct race_attempt *a;

	if (addr_len(addr->family) == 0 || addr_is_unspecified(addr) || addr_is_multicast(addr))
		return;
	for (unsigned int i = 0; i < r->n; i++)
		if (addr_equal(&r->list[i].addr, addr))
			return;
	if (r->n == RACE_MAX)
		return;
	if (r->n == 0 && addr->family == 4 && r->pending6)
		r->hold_until = now + LIMIT_RESOLVE_DELAY_US;
	if (addr->family == 6)
		r->hold_until = 0;
	a = &r->list[r->n++];
	*a = (struct race_attempt){ .addr = *addr, .state = RACE_WAITING, .at = now };
	r->waiting++;
}

void race_answered6(struct race *r)
{
	r->pending6 = false;
	r->hold_until = 0;
}

/* May a waiting attempt start, apart from its own "not before"?  When. */
static uint64_t race_gate(const struct race *r)
{
	uint64_t gate = r->trying ? r->next : 0;

	return r->hold_until > gate ? r->hold_until : gate;
}

int race_start(struct race *r, uint64_t now)
{
	uint8_t want = r->last_family == 6 ? 4 : 6;
	int found = -1;

	if (race_gate(r) > now)
		return -1;
	for (unsigned int i = 0; i < r->n; i++) {
		const struct race_attempt *a = &r->list[i];

		if (a->state != RACE_WAITING || a->at > now)
			continue;
		if (found < 0 || (a->addr.family == want &&
				  r->list[found].addr.family != want))
			found = (int)i;
	}
	if (found < 0)
		return -1;
	r->list[found].state = RACE_TRYING;
	r->list[found].at = now + LIMIT_CONNECT_US;
	r->last_family = r->list[found].addr.family;
	r->next = now + LIMIT_RACE_US;
	r->waiting--;
	r->trying++;
	return found;
}

void race_failed(struct race *r, unsigned int i, int error, uint64_t now)
{
	if (i >= r->n || r->list[i].state != RACE_TRYING)
		return;
	r->list[i].state = RACE_FAILED;
	r->list[i].error = error;
	r->error = error;
	r->trying--;
	r->next = now;
}

void race_postpone(struct race *r, unsigned int i, uint64_t until, uint64_t now)
{
	if (i >= r->n || r->list[i].state != RACE_TRYING)
		return;
	r->list[i].state = RACE_WAITING;
	r->list[i].at = until;
	r->trying--;
	r->waiting++;
	r->next = now;
}

int race_expired(const struct race *r, uint64_t now)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (r->list[i].state == RACE_TRYING && r->list[i].at <= now)
			return (int)i;
	return -1;
}

uint64_t race_deadline(const struct race *r)
{
	uint64_t first = UINT64_MAX;

	for (unsigned int i = 0; i < r->n; i++) {
		const struct race_attempt *a = &r->list[i];
		uint64_t t = a->at;

		if (a->state == RACE_FAILED)
			continue;
		if (a->state == RACE_WAITING && race_gate(r) > t)
			t = race_gate(r);
		if (t < first)
			first = t;
	}
	return first;
}

bool race_lost(const struct race *r)
{
	return r->trying == 0 && r->waiting == 0;
}
