/* SPDX-License-Identifier: MIT */
/*
 * usage.c - once a minute the daemon hears what was carried since the start;
 * whether a history is kept of it is the daemon's to know (AnalyticsEnabled).
 */
#include <string.h>

#include "client/engine.h"

static void totals(const struct engine *e, struct usage_totals *t, uint64_t now)
{
	const struct session *s = &e->session;
	uint64_t up = s->spent[SESSION_UP] + s->spent[SESSION_PROBING];

	if (s->state == SESSION_UP || s->state == SESSION_PROBING)
		up += now - s->since;
	*t = (struct usage_totals){
		.up_s = up / USEC_PER_SEC,
		.sessions = s->was_up ? s->reconnects + 1 : 0,
	};
	if (e->tunnel) {
		const struct tunnel_counters *c = tunnel_counters(e->tunnel);

		t->tcp = c->tcp_total;
		t->udp = c->udp_total;
		t->dns = c->dns_queries;
		t->bytes_up = c->bytes_up;
		t->bytes_down = c->bytes_down;
	}
}

void usage_tell(struct engine *e, uint64_t now)
{
	struct usage_totals t;

	totals(e, &t, now);
	if (memcmp(&t, &e->usage, sizeof(t)) != 0 && daemon_link_usage(&t) == 0)
		e->usage = t;
}

uint64_t usage_timer(struct engine *e, uint64_t now)
{
	if (!e->session.was_up)
		return UINT64_MAX;
	if (now >= e->usage_at) {
		usage_tell(e, now);
		e->usage_at = now + LIMIT_USAGE_US;
	}
	return e->usage_at;
}
