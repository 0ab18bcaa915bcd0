/* SPDX-License-Identifier: MIT */
/*
 * tunnel_priv.h - what the files of the tunnel share.  Private to
 * tunnel.c (joins all), flow_open.c and flow.c (TCP), assoc.c (UDP and echo
 * through the tunnel), direct.c (UDP beside it), mapping.c (the ports of apps,
 * for both), dnsfwd.c, dnsquery.c and dnsname.c (the forwarder), peers.c (who may
 * answer) and held.c (datagrams that wait).
 */
#ifndef APPTUNNEL_TUNNEL_PRIV_H
#define APPTUNNEL_TUNNEL_PRIV_H

#include "client/limits.h"
#include "client/policy.h"
#include "client/tunnel.h"
#include "netstack/siphash.h"

#define DNS_PORT	53

/* What a mux stream's user points to begins with one of these. */
enum user_kind { USER_FLOW, USER_ASSOC, USER_DNS };

struct user {
	uint8_t kind;			/* enum user_kind */
};

struct flows;
struct assocs;
struct directs;
struct dnsfwd;

struct tunnel {
	struct tunnel_env env;
	int tun_fd;
	struct netstack *ns;
	struct mux *mux;		/* NULL: no session */
	bool hopeless;
	bool tun_failed;		/* a read failed: logged once */
	bool vnet_hdr;			/* packets of the TUN begin with a virtio_net_hdr */
	uint64_t now;			/* of this call into the tunnel, us */
	uint64_t key[2];		/* of siphash24(), random */
	struct tunnel_counters counters;
	struct flows *flows;
	struct assocs *assocs;
	struct directs *directs;
	struct dnsfwd *dns;
};

/* Is @a the forwarder's address? */
bool tunnel_is_service(const struct tunnel *t, const struct ipaddr *a);

/* The profile's verdict on this traffic, which came out of the TUN */
void tunnel_verdict(const struct tunnel *t, uint8_t proto, const struct ipaddr *dst,
		    uint16_t port, struct policy_answer *out);

/* The profile changes: is the verdict on this traffic another one? */
bool tunnel_verdict_changed(const struct tunnel *t, const struct policy_diff *d, uint8_t proto,
			    const struct ipaddr *dst, uint16_t port);

/* ---- level "packet" (packet_log.c) ----------------------------------------- */

/* packet_log() - a line for one packet of the TUN; ask for the level first */
void packet_log(const struct tunnel *t, const char *way, const struct iovec *iov, int n);

/* ---- who may answer (peers.c) ---------------------------------------------- */

/*
 * The addresses that an app's port sent to: the last LIMIT_ASSOC_PEERS of
 * them, for LIMIT_ASSOC_IDLE_US each.  Nobody else may speak to it
 * (RFC 4787: address-dependent filtering).
 */
struct peer {
	struct ipaddr addr;
	uint16_t older, newer, chain;	/* indices, PEER_NONE */
	uint32_t sent_s;		/* when it was sent to, s */
};

struct peers {
	struct peer *table;		/* cap entries, then cap chain heads (uint16_t) */
	struct peer first;		/* most ports speak to one address: no table then */
	uint16_t n, cap, oldest, newest;
};

/* peers_sent() - remember @a.  Return: 0, -ENOMEM (it is not remembered) */
int peers_sent(struct peers *p, const struct ipaddr *a, uint64_t now);
/* peers_known() - was @a sent to within LIMIT_ASSOC_IDLE_US?  @now: us */
bool peers_known(const struct peers *p, const struct ipaddr *a, uint64_t now);
/* peers_free() - the table; @p itself is its owner's */
void peers_free(struct peers *p);
/* peers_drop() - forget every address that @drop says */
void peers_drop(struct peers *p, bool (*drop)(void *ctx, const struct ipaddr *a), void *ctx);

/* ---- datagrams that wait for a session or a socket (held.c) ------------------ */

#define HELD_MAX	64		/* datagrams in one queue */
#define HELD_BYTES	(256u << 10)	/* their payload */

struct held {
	struct held *next;
	struct ns_tuple tuple;
	uint64_t since;			/* us */
	uint32_t len;
	uint16_t segment;		/* as in ns_ops.udp */
	uint16_t sequence;		/* of an echo */
	uint8_t proto;			/* enum mux_proto */
	uint8_t data[];
};

struct held_queue {
	struct held *head, **tail;
	uint32_t n, bytes;
};

/* held_init() - empty; held_clear() frees what is in it */
void held_init(struct held_queue *q);
/* held_room() - is there room for @len bytes more? */
bool held_room(const struct held_queue *q, size_t len);
/* held_push() - copy one in.  Return: 0, -ENOBUFS (no room), -ENOMEM */
int held_push(struct held_queue *q, const struct held *head, const uint8_t *data);
/* held_pop() - the oldest, to be free()d; NULL: none */
struct held *held_pop(struct held_queue *q);
void held_clear(struct held_queue *q);
/* held_drop() - free every one that @drop says.  Return: how many */
uint32_t held_drop(struct held_queue *q, bool (*drop)(void *ctx, const struct held *h),
		   void *ctx);

/* ---- what carries: X is flows, assocs, directs or dnsfwd --------------------- */

/*
 * What these functions have in common; the time is t->now:
 *	X_new()		NULL: no memory.  X_free() takes NULL
 *	X_attach()	t->mux is a session: what was held goes to it
 *	X_detach()	t->mux is NULL, its streams are gone without closed()
 *	X_hopeless()	no session will come soon: what is held is answered
 *	X_reconsider()	another profile: end what @d decides otherwise on.
 *			Return: how many
 *	X_timer()	what is due.  Return: when to call it next (absolute us),
 *			UINT64_MAX: never
 *	X_waiting()	is anything held for a session?
 *	X_event()	an event of a stream whose user is theirs (docs/protocol.md, 3)
 *	X_mux_closed()	mux_ops.closed() of such a stream: it is not to be used again
 */

/* ---- TCP (flow_open.c, flow.c) ------------------------------------------------- */

struct flows *flows_new(struct tunnel *t);
void flows_free(struct flows *fs);
/* flow_syn() - ns_ops.tcp_syn: held, brought to Sentry, or refused at once */
void flow_syn(struct tunnel *t, struct ns_tcp *tcp, const struct ns_tuple *tuple);
/* The other callbacks of ns_ops; @user: the flow */
void flow_readable(struct tunnel *t, void *user);
void flow_sent(struct tunnel *t, void *user, uint32_t n);
void flow_eof(struct tunnel *t, void *user);
void flow_tcp_closed(struct tunnel *t, struct ns_tcp *tcp, void *user, bool reset);
/* flow_pull() - mux_ops.pull: up to @max bytes of the app.  Return: how many, 0: none now */
size_t flow_pull(struct tunnel *t, void *user, uint8_t *dst, size_t max);
void flow_mux_closed(struct tunnel *t, void *user);
/* @b: the buffer that holds ev->data; references are taken */
void flow_event(struct tunnel *t, const struct mux_event *ev, struct buf *b);
void flows_attach(struct tunnel *t);
void flows_detach(struct tunnel *t);
void flows_hopeless(struct tunnel *t);
uint32_t flows_reconsider(struct tunnel *t, const struct policy_diff *d);
uint64_t flows_timer(struct tunnel *t);
bool flows_waiting(const struct tunnel *t);

/* ---- UDP and echo through the tunnel (assoc.c) ---------------------------------- */

struct assocs *assocs_new(struct tunnel *t);
void assocs_free(struct assocs *as);
/* One datagram, batch or echo of an app; @proto MUX_UDP, MUX_ICMP or MUX_ICMP6 */
void assoc_send(struct tunnel *t, uint8_t proto, const struct ns_tuple *tuple,
		uint16_t sequence, const uint8_t *data, size_t len, uint16_t segment);
void assoc_mux_closed(struct tunnel *t, void *user);
void assoc_event(struct tunnel *t, const struct mux_event *ev);
void assocs_attach(struct tunnel *t);
void assocs_detach(struct tunnel *t);
void assocs_hopeless(struct tunnel *t);
uint32_t assocs_reconsider(struct tunnel *t, const struct policy_diff *d);
uint64_t assocs_timer(struct tunnel *t);
bool assocs_waiting(const struct tunnel *t);

/* ---- UDP beside the tunnel (direct.c) -------------------------------------------- */

struct directs *directs_new(struct tunnel *t);
void directs_free(struct tunnel *t);	/* closes the sockets */
/* direct_send() - a datagram or batch of an app, as in ns_ops.udp; copied if it waits */
void direct_send(struct tunnel *t, const struct ns_tuple *tuple, const uint8_t *data,
		 size_t len, uint16_t segment);
/* direct_ready() - a source of kind EV_DIRECT has datagrams or errors: a bounded burst is read */
void direct_ready(struct tunnel *t, struct loop_src *src, uint32_t events);
uint32_t directs_reconsider(struct tunnel *t, const struct policy_diff *d);
void directs_flush(struct tunnel *t);	/* sockets may have come */
uint64_t directs_timer(struct tunnel *t);

/* ---- the DNS forwarder (dnsfwd.c) ------------------------------------------------- */

#define DNS_QUERY_MAX	1280	/* bytes of a query over UDP; longer: FORMERR */
#define DNS_IN_FLIGHT	1024	/* queries; more: SERVFAIL at once */
#define DNS_RETRY_US	(2 * USEC_PER_SEC)	/* then the next resolver is asked */
#define DNS_GIVE_UP_US	(10 * USEC_PER_SEC)	/* then SERVFAIL */

struct dnsfwd *dnsfwd_new(struct tunnel *t);
void dnsfwd_free(struct dnsfwd *d);
/* A query to the service address; port checked already */
void dnsfwd_query(struct tunnel *t, const struct ns_tuple *tuple, const uint8_t *data,
		  size_t len);
/* dnsfwd_set_offer() - the resolvers are others: what is under way starts anew */
void dnsfwd_set_offer(struct tunnel *t, const struct plan_offer *offer);
/*
 * dnsfwd_resolver() - where DNS over TCP goes
 * @try: 0: the one that worked last; 1, 2...: the following ones
 * Return: NULL when there is none (or no more)
 */
const struct ipaddr *dnsfwd_resolver(const struct tunnel *t, uint32_t try);
/* dnsfwd_name_of() - which name led to @a; NULL: unknown.  Letters, digits, - _ . */
const char *dnsfwd_name_of(struct tunnel *t, const struct ipaddr *a);
void dnsfwd_mux_closed(struct tunnel *t, void *user);
void dnsfwd_event(struct tunnel *t, const struct mux_event *ev);
void dnsfwd_attach(struct tunnel *t);
void dnsfwd_detach(struct tunnel *t);
void dnsfwd_hopeless(struct tunnel *t);
/* dnsfwd_flush() - ask again for what lost its association; not from inside a mux_ call */
void dnsfwd_flush(struct tunnel *t);
uint64_t dnsfwd_timer(struct tunnel *t);
bool dnsfwd_waiting(const struct tunnel *t);

/* ---- messages and names of DNS, pure (dnsname.c) ------------------------------------ */

#define DNS_HEADER	12
#define DNS_NAMES	4096		/* addresses whose name is remembered */
#define DNS_NAME_MIN_S	60		/* apps keep addresses longer than a short TTL */
#define DNS_NAME_MAX_S	3600

enum dns_rcode { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NOTIMP = 4,
		 DNS_REFUSED = 5 };

/*
 * dns_question() - check header and single question of a message
 * @name: receives its text (254 bytes), NULL: not wanted; empty when it holds
 *	other characters than letters, digits, - _ .
 * Return: bytes of header and question, or -EBADMSG
 */
int dns_question(const uint8_t *msg, size_t len, char *name, uint16_t *qtype);
/* dns_same_question() - do both messages (checked already) ask the same? */
bool dns_same_question(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);
/*
 * dns_failure() - the answer with no records to @query
 * @qlen: bytes of header and question, or DNS_HEADER when the question is bad
 * Return: its length in @out (>= @qlen bytes)
 */
size_t dns_failure(const uint8_t *query, size_t qlen, enum dns_rcode rcode, uint8_t *out);

struct dnsnames;
/* dnsnames_new() - @key: of siphash24().  NULL: no memory; dnsnames_free() takes NULL */
struct dnsnames *dnsnames_new(const uint64_t key[2]);
void dnsnames_free(struct dnsnames *n);
/* dnsnames_learn() - take the A and AAAA records of an answer whose question is checked */
void dnsnames_learn(struct dnsnames *n, const uint8_t *msg, size_t len, uint64_t now);
/* dnsnames_find() - the name that led to @a and is not too old (@now: us); NULL: none.
 * Valid until the next dnsnames_learn() */
const char *dnsnames_find(struct dnsnames *n, const struct ipaddr *a, uint64_t now);

#endif
