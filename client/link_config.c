/* SPDX-License-Identifier: MIT */
/*
 * link_config.c - what Sentry offers: its CONFIG, bounded by the profile, is
 * applied by the daemon (an offer); the first one that is leads to the PROBE
 * whose answer decides on "up" (docs/protocol.md, 8).
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "client/link_priv.h"
#include "client/log.h"

static void link_keep_address(const struct engine *e, struct plan_offer *o)
{
	const struct plan_offer *has = &e->offer_sent;

	if (!addr_equal(&has->addr4, &o->addr4) || !addr_equal(&has->addr6, &o->addr6) ||
	    has->mtu != o->mtu)
		LOG(LOG_LVL_WARNING, "config.address",
		    "Sentry offers another address or MTU; the interface keeps its own");
	o->addr4 = has->addr4;
	o->addr6 = has->addr6;
	o->mtu = has->mtu;
}

/* Who wins: the profile before Sentry; mtu is the smaller of both (section 8). */
int link_offer_make(struct engine *e, const struct profile *p, const struct atp_config *c,
		    struct plan_offer *out)
{
	struct plan_offer *o = out;
	uint32_t i;

	memset(o, 0, sizeof(*o));
	o->addr4 = p->tun4.family ? p->tun4 : c->interface4;
	o->addr6 = p->tun6.family ? p->tun6 : c->interface6;
	o->mtu = c->mtu < p->mtu ? c->mtu : p->mtu;
	if (p->n_resolvers) {
		o->n_resolvers = p->n_resolvers;
		memcpy(o->resolvers, p->resolvers, sizeof(o->resolvers));
	} else {
		o->n_resolvers = c->n_dns;
		memcpy(o->resolvers, c->dns, sizeof(c->dns));
	}
	if (p->n_search) {
		o->n_search = p->n_search;
		memcpy(o->search, p->search, sizeof(o->search));
	} else {
		o->n_search = c->n_search;
		for (i = 0; i < c->n_search; i++)
			memcpy(o->search[i], c->search[i], sizeof(c->search[i]));
	}
	if (e->tunnel)
		link_keep_address(e, o);
	return o->addr4.family || o->addr6.family ? 0 : -EPROTO;
}

uint64_t link_offer(struct engine *e, uint64_t now)
{
	if (!e->offer_due || e->offer_out || standby_waits(e))
		return UINT64_MAX;
	if (now < e->offer_at)
		return e->offer_at;
	if (e->tunnel)	/* it may have come since the offer was made */
		link_keep_address(e, &e->offer);
	e->offer_due = false;
	e->offer_pending = true;
	e->offer_at = now + LIMIT_CONFIG_US;
	daemon_link_offer(e, &e->offer);
	return UINT64_MAX;
}

static void link_log_config(const struct plan_offer *o, const struct atp_config *c)
{
	char addr4[ADDR_STRLEN], addr6[ADDR_STRLEN], dns[ADDR_STRLEN];

	LOG(LOG_LVL_DEBUG, "config.offer",
	    "addresses %s, %s, MTU %u, %u resolvers from %s, %u search domains, %u streams",
	    addr_format(&o->addr4, addr4), addr_format(&o->addr6, addr6), o->mtu,
	    o->n_resolvers, addr_format(&o->resolvers[0], dns), o->n_search, c->max_streams);
}

void link_config(struct engine *e, const struct mux_event *ev, uint64_t now)
{
	struct plan_offer offer;
	char why[256];
	bool differs;

	if (atp_config_parse((const char *)ev->data, ev->len, &e->config, why, sizeof(why)) < 0) {
		link_violated(e, why, now);
		return;
	}
	if (why[0])
		LOG(LOG_LVL_WARNING, "config.entry", "%s", why);
	mux_set_max_streams(e->mux, e->config.max_streams);
	if (link_offer_make(e, e->profile, &e->config, &offer) < 0) {
		link_violated(e, "CONFIG names no interface address and the profile has no TunIP",
			      now);
		return;
	}
	differs = memcmp(&offer, &e->offer, sizeof(offer)) != 0;
	e->offer = offer;
	e->have_config = true;
	link_log_config(&offer, &e->config);
	link_state(e, SE_CONFIGURING, CAUSE_NONE, NULL, now);
	if (!e->attached || differs)
		e->offer_due = true;
	link_offer(e, now);
}

void link_profile_changed(struct engine *e, uint64_t now)
{
	const struct profile *p = e->profile;
	struct plan_offer offer;

	if (e->conn)
		conn_set_profile(e->conn, p);
	if (e->attached)
		probe_tune(&e->probe, p->probe_idle_s, p->probe_interval_s, p->probe_count);
	/* without a CONFIG the next one makes the offer */
	if (e->have_config && link_offer_make(e, p, &e->config, &offer) == 0 &&
	    memcmp(&offer, &e->offer, sizeof(offer))) {
		e->offer = offer;
		e->offer_due = true;
		e->offer_at = now;	/* the daemon asked for it */
		link_offer(e, now);
	}
}

void link_applied(struct engine *e, int error, uint64_t now)
{
	if (!e->offer_pending || !e->mux)
		return;		/* the connection it was for is gone */
	e->offer_pending = false;
	if (error == -EADDRINUSE || error == -EINVAL) {
		link_violated(e, error == -EINVAL ? "Sentry offers what it may not" :
			      "Sentry offers an address that this machine already has", now);
		return;
	}
	if (error || !e->tunnel) {
		link_lost(e, CAUSE_CUT, 0, "the daemon could not apply what Sentry offers", now);
		return;
	}
	tunnel_set_offer(e->tunnel, &e->offer);
	if (e->attached)
		return;		/* a later CONFIG */
	if (getrandom(&e->up_probe, sizeof(e->up_probe), GRND_NONBLOCK) != sizeof(e->up_probe))
		e->up_probe = now;
	e->up_probe |= 1;	/* 0 means none */
	mux_probe(e->mux, e->up_probe);
}
