/* SPDX-License-Identifier: MIT */
/*
 * tunnel.h - flows: where an app's connection (netstack), the verdict
 * (policy), the wire (mux) and the direct sockets meet.  One tunnel lives as
 * long as the TUN; sessions come and go under it (tunnel_attach/detach).
 */
#ifndef APPTUNNEL_TUNNEL_H
#define APPTUNNEL_TUNNEL_H

#include "client/atp/mux.h"
#include "client/loop.h"
#include "netstack/netstack.h"
#include "platform/sock.h"
#include "profiles/plan.h"
#include "profiles/profile.h"

struct tunnel;

struct tunnel_env {
	struct loop *loop;
	struct sock_stock *socks;
	const struct profile *profile;
	struct ipaddr service4, service6;	/* the DNS forwarder's addresses */
};

/*
 * tunnel_new() - no session yet: tunnel_attach()
 * @env: copied; what it points to, and @tun_fd, is borrowed
 * @offer: address, MTU and resolvers; copied
 * @now: here and below monotonic us
 * Return: NULL: no memory
 */
struct tunnel *tunnel_new(const struct tunnel_env *env, int tun_fd, bool vnet_hdr,
			  const struct plan_offer *offer, uint64_t now);
void tunnel_free(struct tunnel *t);	/* open flows are reset; NULL is fine */
/*
 * tunnel_set_profile() - decide by @p from here on (borrowed, instead of env's).
 * Flows whose verdict differs end: TCP by RST, associations and direct sockets
 * are closed; those of one port that spoke to several addresses forget the
 * addresses concerned.
 * @ended: how many, only on success
 * Return: 0, -ENOMEM: nothing was changed
 */
int tunnel_set_profile(struct tunnel *t, const struct profile *p, uint32_t *ended,
		       uint64_t now);
/* resolvers of the session in use */
void tunnel_set_offer(struct tunnel *t, const struct plan_offer *offer);

/* ops and ctx for mux_new(); the mux belongs to the engine */
extern const struct mux_ops tunnel_mux_ops;		/* ctx: struct tunnel */
/* A session is up: held SYNs are opened, associations made anew. */
void tunnel_attach(struct tunnel *t, struct mux *m, uint64_t now);
/*
 * The session is gone (before mux_free()): every open flow ends with RST; SYNs
 * and DNS queries that nobody answered yet are held for the next session.
 */
void tunnel_detach(struct tunnel *t, uint64_t now);
/*
 * With no session: true: it will not come soon (refused, failed): new flows
 * are answered at once; false: SYNs are held up to LIMIT_SYN_HELD_US.
 */
void tunnel_set_hopeless(struct tunnel *t, bool hopeless, uint64_t now);

void tunnel_tun_ready(struct tunnel *t, uint64_t now);	/* read a bounded burst */
/* One event of the mux (OPENED, DATA, DGRAM...); @b holds ev->data */
void tunnel_mux_event(struct tunnel *t, const struct mux_event *ev, struct buf *b, uint64_t now);
/* A source of kind EV_DIRECT is ready; @events: of epoll */
void tunnel_direct_ready(struct tunnel *t, struct loop_src *src, uint32_t events, uint64_t now);
/* End of a loop turn, before mux_output(): also sends what waited for sockets. */
void tunnel_flush(struct tunnel *t, uint64_t now);
uint64_t tunnel_timer(struct tunnel *t, uint64_t now);	/* returns the next deadline */
/* Does any app wait for the session (held SYN, queued datagram)? */
bool tunnel_wants_session(const struct tunnel *t);

struct tunnel_counters {
	uint64_t tcp_open, tcp_total, tcp_refused, tcp_reset;
	uint64_t udp_assocs, udp_direct, udp_total, udp_dropped, echo;
	uint64_t dns_queries, dns_failures;
	uint64_t bytes_up, bytes_down;			/* payload */
};
/* Since tunnel_new(); borrowed */
const struct tunnel_counters *tunnel_counters(const struct tunnel *t);
const struct ns_counters *tunnel_ns_counters(const struct tunnel *t);

#endif
