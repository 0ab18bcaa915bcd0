/* SPDX-License-Identifier: MIT */
/*
 * tunnel.c - joins the TUN and netstack with flows, associations, direct
 * sockets and the forwarder, and hands the mux' events to whom they belong.
 *
 * A packet's way up: tunnel_tun_ready() reads it into netstack's own buffer,
 * ns_input() finds its connection, a callback below finds its flow; the bytes
 * stay in netstack until the mux can send them and pulls.  The way down:
 * tunnel_mux_event() gives netstack a reference to the receive buffer, which
 * writes it to the TUN by op_output().
 */
#include "client/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/log.h"
#include "client/policy.h"
#include "client/tunnel_priv.h"

#define TUN_BURST	64	/* packets read in one turn of the loop */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

bool tunnel_is_service(const struct tunnel *t, const struct ipaddr *a)
{
	return addr_equal(a, a->family == 4 ? &t->env.service4 : &t->env.service6);
}

/* ---- what netstack asks and tells ---------------------------------------------------- */

static int op_output(void *ctx, const struct iovec *iov, int n)
{
	const struct tunnel *t = ctx;
	ssize_t w;

	if (log_level >= LOG_LVL_PACKET)
		packet_log(t, "down", iov, n);
	do
		w = writev(t->tun_fd, iov, n);
	while (w < 0 && errno == EINTR);
	return w < 0 ? -errno : 0;
}

static void op_tcp_syn(void *ctx, struct ns_tcp *tcp, const struct ns_tuple *tuple)
{
	flow_syn(ctx, tcp, tuple);
}

static void op_tcp_readable(void *ctx, struct ns_tcp *tcp, void *user)
{
	(void)tcp;
	if (user)
		flow_readable(ctx, user);
}

static void op_tcp_sent(void *ctx, struct ns_tcp *tcp, void *user, uint32_t n)
{
	(void)tcp;
	if (user)
		flow_sent(ctx, user, n);
}

static void op_tcp_eof(void *ctx, struct ns_tcp *tcp, void *user)
{
	(void)tcp;
	if (user)
		flow_eof(ctx, user);
}

static void op_tcp_closed(void *ctx, struct ns_tcp *tcp, void *user, bool reset)
{
	if (user)
		flow_tcp_closed(ctx, tcp, user, reset);
}

static void service_udp(struct tunnel *t, const struct ns_tuple *tuple, const uint8_t *data,
			size_t len, uint16_t segment)
{
	size_t n;

	if (tuple->dst_port != DNS_PORT) {
		ns_icmp_error(t->ns, tuple, MUX_UDP, NS_REFUSE_PORT);
		return;
	}
	for (; len; data += n, len -= n) {
		n = segment && len > segment ? segment : len;
		dnsfwd_query(t, tuple, data, n);
	}
}

static void op_udp(void *ctx, const struct ns_tuple *tuple, const uint8_t *data, size_t len,
		   uint16_t segment)
{
	struct tunnel *t = ctx;

	if (tunnel_is_service(t, &tuple->dst))
		service_udp(t, tuple, data, len, segment);
	else if (policy_udp_tunnelled(t->env.profile, tuple->dst_port))
		assoc_send(t, MUX_UDP, tuple, 0, data, len, segment);
	else
		direct_send(t, tuple, data, len, segment);
}

static void op_echo(void *ctx, const struct ns_tuple *tuple, uint16_t sequence,
		    const uint8_t *data, size_t len)
{
	struct tunnel *t = ctx;

	t->counters.echo++;
	if (tunnel_is_service(t, &tuple->dst))
		ns_echo_reply(t->ns, tuple, sequence, data, len);
	else
		assoc_send(t, tuple->dst.family == 4 ? MUX_ICMP : MUX_ICMP6, tuple, sequence,
			   data, len, 0);
}

static const struct ns_ops netstack_ops = {
	.output = op_output,
	.tcp_syn = op_tcp_syn,
	.tcp_readable = op_tcp_readable,
	.tcp_sent = op_tcp_sent,
	.tcp_eof = op_tcp_eof,
	.tcp_closed = op_tcp_closed,
	.udp = op_udp,
	.echo = op_echo,
};

/* ---- what the mux asks and tells ------------------------------------------------------- */

static size_t op_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	const struct user *u = user;

	/* associations have no bytes of their own: their datagrams wait in the mux */
	return u && u->kind == USER_FLOW ? flow_pull(ctx, user, dst, max) : 0;
}

static void op_closed(void *ctx, void *user)
{
	const struct user *u = user;

	if (!u)
		return;
	switch ((enum user_kind)u->kind) {
	case USER_FLOW:
		flow_mux_closed(ctx, user);
		break;
	case USER_ASSOC:
		assoc_mux_closed(ctx, user);
		break;
	case USER_DNS:
		dnsfwd_mux_closed(ctx, user);
		break;
	}
}

const struct mux_ops tunnel_mux_ops = { .pull = op_pull, .closed = op_closed };

void tunnel_mux_event(struct tunnel *t, const struct mux_event *ev, struct buf *b, uint64_t now)
{
	const struct user *u = ev->user;

	t->now = now;
	if (!u)
		return;
	switch ((enum user_kind)u->kind) {
	case USER_FLOW:
		flow_event(t, ev, b);
		break;
	case USER_ASSOC:
		assoc_event(t, ev);
		break;
	case USER_DNS:
		dnsfwd_event(t, ev);
		break;
	}
}

/* ---- life --------------------------------------------------------------------------------- */

struct tunnel *tunnel_new(const struct tunnel_env *env, int tun_fd, bool vnet_hdr,
			  const struct plan_offer *offer, uint64_t now)
{
	struct ns_config config = {
		.mtu = offer->mtu,
		.vnet_hdr = vnet_hdr,
		/* netstack falls back by itself when the kernel refuses one */
		.tso = vnet_hdr,
		.uso = vnet_hdr,
		.tun4 = offer->addr4,
		.tun6 = offer->addr6,
	};
	struct tunnel *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->env = *env;
	t->tun_fd = tun_fd;
	t->vnet_hdr = vnet_hdr;
	t->now = now;
	if (getrandom(t->key, sizeof(t->key), 0) != sizeof(t->key) ||
	    getrandom(config.hash_key, sizeof(config.hash_key), 0) != sizeof(config.hash_key))
		goto fail;
	t->ns = ns_new(&config, &netstack_ops, t);
	t->flows = flows_new(t);
	t->assocs = assocs_new(t);
	t->directs = directs_new(t);
	t->dns = dnsfwd_new(t);
	if (!t->ns || !t->flows || !t->assocs || !t->directs || !t->dns)
		goto fail;
	dnsfwd_set_offer(t, offer);
	return t;
fail:
	tunnel_free(t);
	return NULL;
}

void tunnel_free(struct tunnel *t)
{
	if (!t)
		return;
	ns_free(t->ns);
	dnsfwd_free(t->dns);
	directs_free(t);
	assocs_free(t->assocs);
	flows_free(t->flows);
	free(t);
}

void tunnel_verdict(const struct tunnel *t, uint8_t proto, const struct ipaddr *dst,
		    uint16_t port, struct policy_answer *out)
{
	struct policy_query q = { .proto = proto, .dst = *dst,
				  .port = proto == MUX_TCP || proto == MUX_UDP ? port : 0,
				  .in_tun = true, .service4 = t->env.service4,
				  .service6 = t->env.service6 };

	policy_decide(t->env.profile, &q, out);
}

bool tunnel_verdict_changed(const struct tunnel *t, const struct policy_diff *d, uint8_t proto,
			    const struct ipaddr *dst, uint16_t port)
{
	struct policy_query q = { .proto = proto, .dst = *dst,
				  .port = proto == MUX_TCP || proto == MUX_UDP ? port : 0,
				  .service4 = t->env.service4, .service6 = t->env.service6 };

	return policy_diff_has(d, &q);
}

int tunnel_set_profile(struct tunnel *t, const struct profile *p, uint32_t *ended, uint64_t now)
{
	struct policy_diff *d = policy_diff_new(t->env.profile, p);

	if (!d)
		return -ENOMEM;
	t->now = now;
	t->env.profile = p;
	*ended = flows_reconsider(t, d) + assocs_reconsider(t, d) + directs_reconsider(t, d);
	policy_diff_free(d);
	ns_flush(t->ns, now);
	return 0;
}

void tunnel_set_offer(struct tunnel *t, const struct plan_offer *offer)
{
	dnsfwd_set_offer(t, offer);
}

void tunnel_attach(struct tunnel *t, struct mux *m, uint64_t now)
{
	t->now = now;
	t->mux = m;
	t->hopeless = false;
	flows_attach(t);
	assocs_attach(t);
	dnsfwd_attach(t);
	ns_flush(t->ns, now);
}

void tunnel_detach(struct tunnel *t, uint64_t now)
{
	if (!t->mux)
		return;
	t->now = now;
	t->mux = NULL;
	flows_detach(t);
	assocs_detach(t);
	dnsfwd_detach(t);
	ns_flush(t->ns, now);
}

void tunnel_set_hopeless(struct tunnel *t, bool hopeless, uint64_t now)
{
	t->now = now;
	t->hopeless = hopeless;
	if (!hopeless || t->mux)
		return;
	flows_hopeless(t);
	assocs_hopeless(t);
	dnsfwd_hopeless(t);
	ns_flush(t->ns, now);
}

/* ---- turns of the loop ------------------------------------------------------------------------ */

void tunnel_tun_ready(struct tunnel *t, uint64_t now)
{
	bool log = log_level >= LOG_LVL_PACKET;
	size_t bytes = 0, size;
	int packets;

	t->now = now;
	for (packets = 0; packets < TUN_BURST && bytes < LIMIT_BURST; packets++) {
		uint8_t *buf = ns_input_buf(t->ns, &size);
		ssize_t n;

		if (!buf)
			break;
		n = read(t->tun_fd, buf, size);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN && !t->tun_failed) {
				LOG(LOG_LVL_ERROR, "tun.read", "reading the TUN failed: %s",
				    strerror(errno));
				t->tun_failed = true;
			}
			break;
		}
		if (!n)
			break;
		t->tun_failed = false;
		bytes += (size_t)n;
		if (log)
			packet_log(t, "up", &(struct iovec){ buf, (size_t)n }, 1);
		ns_input(t->ns, (size_t)n, now);
	}
	ns_flush(t->ns, now);
}

void tunnel_direct_ready(struct tunnel *t, struct loop_src *src, uint32_t events, uint64_t now)
{
	t->now = now;
	direct_ready(t, src, events);
}

void tunnel_flush(struct tunnel *t, uint64_t now)
{
	t->now = now;
	dnsfwd_flush(t);
	directs_flush(t);
	ns_flush(t->ns, now);
}

uint64_t tunnel_timer(struct tunnel *t, uint64_t now)
{
	uint64_t next;

	t->now = now;
	next = flows_timer(t);
	next = min_u64(next, assocs_timer(t));
	next = min_u64(next, directs_timer(t));
	next = min_u64(next, dnsfwd_timer(t));
	return min_u64(next, ns_timer(t->ns, now));
}

bool tunnel_wants_session(const struct tunnel *t)
{
	return !t->mux && (flows_waiting(t) || assocs_waiting(t) || dnsfwd_waiting(t));
}

const struct tunnel_counters *tunnel_counters(const struct tunnel *t)
{
	return &t->counters;
}

const struct ns_counters *tunnel_ns_counters(const struct tunnel *t)
{
	return ns_counters(t->ns);
}
