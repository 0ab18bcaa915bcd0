/* SPDX-License-Identifier: MIT */
/*
 * assoc.c - UDP and ICMP echo through the tunnel.
 *
 * One association (a mux stream) stands for one port of an app, or one
 * identifier of its echo requests, whatever the destination: endpoint-
 * independent mapping.  Who may answer is in its peers.
 *
 * An association is in the hash and in one of two lists by age: those that
 * spoke to port 53 only expire sooner.  After REFUSED it stays a moment
 * without a stream, so that a flood of datagrams is no flood of OPENs.
 */
#include <stdlib.h>
#include <string.h>

#include "client/log.h"
#include "client/policy.h"
#include "client/tunnel_priv.h"

#define ASSOC_BUCKETS	16384	/* a power of two */
#define ASSOC_MAX	65536	/* at once; Sentry's max_streams is a bound too */
#define ASSOC_REFUSED_US (1 * USEC_PER_SEC)	/* REFUSED is believed so long */
#define BATCH_SEGMENTS	64	/* datagrams in one DGRAM */
#define ECHO_MAX	65535

struct assoc_key {			/* hashed as bytes: no padding */
	struct ipaddr addr;
	uint8_t proto;			/* enum mux_proto */
	uint16_t port;			/* or identifier */
};

struct assoc {
	struct user user;
	bool dns_only;			/* in which list it is */
	bool over;			/* an event ended the stream; closed() will come */
	bool refused;			/* it was by REFUSED */
	struct assoc_key key;
	struct assoc *chain;
	struct assoc *older, *newer;
	struct mux_stream *stream;
	uint64_t last;			/* traffic in either direction, us */
	uint64_t refused_until;
	struct {			/* whom the app spoke to last */
		struct ipaddr addr;
		uint16_t port;
	} dst;
	enum ns_refusal answer;		/* while refused */
	uint64_t up, down;
	struct peers peers;
};

struct age_list {
	struct assoc *oldest, *newest;
};

struct assocs {
	struct assoc *buckets[ASSOC_BUCKETS];
	struct age_list idle[2];	/* by dns_only */
	uint32_t n;
	struct held_queue held;		/* no session */
	uint8_t echo[2 + ECHO_MAX];	/* sequence and data, made one */
};

_Static_assert(sizeof(struct assoc_key) == 20, "assoc_key is hashed as bytes");

struct assocs *assocs_new(struct tunnel *t)
{
	struct assocs *as = calloc(1, sizeof(*as));

	(void)t;
	if (as)
		held_init(&as->held);
	return as;
}

/* ---- table and lists ------------------------------------------------------------------ */

static struct assoc **bucket_of(struct tunnel *t, const struct assoc_key *key)
{
	return &t->assocs->buckets[siphash24(t->key, key, sizeof(*key)) % ASSOC_BUCKETS];
}

static void key_make(struct assoc_key *key, uint8_t proto, const struct ns_tuple *tuple)
{
	memset(key, 0, sizeof(*key));
	key->addr = tuple->src;
	key->proto = proto;
	key->port = tuple->src_port;
}

static struct assoc *assoc_find(struct tunnel *t, const struct assoc_key *key)
{
	struct assoc *a = *bucket_of(t, key);

	while (a && memcmp(&a->key, key, sizeof(*key)))
		a = a->chain;
	return a;
}

static void age_remove(struct age_list *l, struct assoc *a)
{
	if (a->older)
		a->older->newer = a->newer;
	else
		l->oldest = a->newer;
	if (a->newer)
		a->newer->older = a->older;
	else
		l->newest = a->older;
}

static void age_append(struct age_list *l, struct assoc *a)
{
	a->newer = NULL;
	a->older = l->newest;
	if (l->newest)
		l->newest->newer = a;
	else
		l->oldest = a;
	l->newest = a;
}

/* Traffic was seen; @dns: to or from where only resolvers are. */
static void touch(struct tunnel *t, struct assoc *a, bool dns)
{
	if (a->last == t->now && a->dns_only == dns)
		return;
	age_remove(&t->assocs->idle[a->dns_only], a);
	a->dns_only = dns;
	a->last = t->now;
	age_append(&t->assocs->idle[a->dns_only], a);
}

static void __attribute__((noinline)) log_end(const struct assoc *a)
{
	char src[ADDR_STRLEN];

	LOG(LOG_LVL_SESSION, "assoc.end", "%s %s %u: %llu bytes up, %llu down",
	    a->key.proto == MUX_UDP ? "udp" : "echo", addr_format(&a->key.addr, src),
	    a->key.port, (unsigned long long)a->up, (unsigned long long)a->down);
}

static void assoc_free(struct tunnel *t, struct assoc *a)
{
	struct assoc **at = bucket_of(t, &a->key);

	if (log_level >= LOG_LVL_SESSION)
		log_end(a);
	while (*at != a)
		at = &(*at)->chain;
	*at = a->chain;
	age_remove(&t->assocs->idle[a->dns_only], a);
	t->assocs->n--;
	if (a->key.proto == MUX_UDP)
		t->counters.udp_assocs--;
	peers_free(&a->peers);
	free(a);
}

void assocs_free(struct assocs *as)
{
	struct assoc *a;
	int i;

	if (!as)
		return;
	for (i = 0; i < 2; i++) {
		while ((a = as->idle[i].oldest)) {
			as->idle[i].oldest = a->newer;
			peers_free(&a->peers);
			free(a);
		}
	}
	held_clear(&as->held);
	free(as);
}

/* ---- words to the app -------------------------------------------------------------------- */

static void tell(struct tunnel *t, uint8_t proto, const struct ns_tuple *tuple,
		 enum ns_refusal how)
{
	/* "host unreachable" never reaches a UDP app; "port" says nothing to ping */
	if (proto == MUX_UDP && how != NS_REFUSE_DENIED)
		how = NS_REFUSE_PORT;
	if (proto != MUX_UDP && (how == NS_REFUSE_PORT || how == NS_REFUSE_RST))
		how = NS_REFUSE_HOST;
	t->counters.udp_dropped++;
	ns_icmp_error(t->ns, tuple, proto, how);
}

static void tell_last(struct tunnel *t, const struct assoc *a, enum ns_refusal how)
{
	struct ns_tuple tuple = { .src = a->key.addr, .src_port = a->key.port,
				  .dst = a->dst.addr, .dst_port = a->dst.port };

	tell(t, a->key.proto, &tuple, how);
}

/* ---- making one ----------------------------------------------------------------------------- */

/* Return: false: policy says no */
static bool decide(struct tunnel *t, uint8_t proto, const struct ns_tuple *tuple)
{
	struct policy_query q = { .proto = proto, .dst = tuple->dst,
				  .port = proto == MUX_UDP ? tuple->dst_port : 0,
				  .in_tun = true, .service4 = t->env.service4,
				  .service6 = t->env.service6 };
	char src[ADDR_STRLEN], dst[ADDR_STRLEN];
	struct policy_answer answer;

	policy_decide(t->env.profile, &q, &answer);
	LOG(LOG_LVL_SESSION, "assoc.open", "%s %s %u to %s %u: %s, %s",
	    proto == MUX_UDP ? "udp" : "echo", addr_format(&tuple->src, src),
	    tuple->src_port, addr_format(&tuple->dst, dst), q.port,
	    verdict_name(answer.verdict), answer.reason);
	return answer.verdict != VERDICT_BLOCK;
}

static struct assoc *assoc_new(struct tunnel *t, const struct assoc_key *key)
{
	struct assoc **bucket = bucket_of(t, key), *a;

	if (t->assocs->n >= ASSOC_MAX)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->user.kind = USER_ASSOC;
	a->key = *key;
	a->chain = *bucket;
	*bucket = a;
	a->dns_only = true;
	a->last = t->now;
	age_append(&t->assocs->idle[true], a);
	t->assocs->n++;
	if (key->proto == MUX_UDP) {
		t->counters.udp_assocs++;
		t->counters.udp_total++;
	}
	return a;
}

/* Return: an association that may send, or NULL: the app was told */
static struct assoc *assoc_get(struct tunnel *t, uint8_t proto, const struct ns_tuple *tuple)
{
	struct mux_open open = { .proto = proto, .addr.family = tuple->src.family };
	struct assoc_key key;
	struct assoc *a;

	key_make(&key, proto, tuple);
	a = assoc_find(t, &key);
	if (a && a->stream && !a->over)
		return a;
	if (a && a->refused && (a->over || t->now < a->refused_until)) {
		tell(t, proto, tuple, a->answer);
		return NULL;
	}
	if (a && a->over) {
		t->counters.udp_dropped++;
		return NULL;
	}
	if (!decide(t, proto, tuple)) {
		tell(t, proto, tuple, NS_REFUSE_DENIED);
		return NULL;
	}
	if (!a)
		a = assoc_new(t, &key);
	if (a) {
		a->refused = false;
		a->stream = mux_stream_open(t->mux, &open, a, t->now);
		if (a->stream)
			return a;
		assoc_free(t, a);
	}
	tell(t, proto, tuple, NS_REFUSE_PORT);
	return NULL;
}

/* ---- up ----------------------------------------------------------------------------------------- */

static void wait_for_session(struct tunnel *t, uint8_t proto, const struct ns_tuple *tuple,
			     uint16_t sequence, const uint8_t *data, size_t len,
			     uint16_t segment)
{
	struct held head = { .tuple = *tuple, .since = t->now, .len = (uint32_t)len,
			     .segment = segment, .sequence = sequence, .proto = proto };
	struct held_queue *q = &t->assocs->held;
	struct held *h;

	if (t->hopeless || len > HELD_BYTES) {
		tell(t, proto, tuple, NS_REFUSE_PORT);
		return;
	}
	while (!held_room(q, len) && (h = held_pop(q))) {
		tell(t, h->proto, &h->tuple, NS_REFUSE_PORT);
		free(h);
	}
	if (held_push(q, &head, data))
		tell(t, proto, tuple, NS_REFUSE_PORT);
}

static void send_batches(struct tunnel *t, struct assoc *a, const struct ns_tuple *tuple,
			 const uint8_t *data, size_t len, uint16_t segment)
{
	struct mux_dgram d = { .addr = tuple->dst, .port = tuple->dst_port,
			       .segment = segment };
	size_t n;

	do {
		n = segment && len / BATCH_SEGMENTS >= segment ?
			(size_t)segment * BATCH_SEGMENTS : len;
		if (n <= segment)
			d.segment = 0;	/* what is left is one datagram */
		if (mux_stream_dgram(t->mux, a->stream, &d, data, n, t->now)) {
			t->counters.udp_dropped++;
		} else {
			a->up += n;
			t->counters.bytes_up += n;
		}
		data += n;
		len -= n;
	} while (len);
}

void assoc_send(struct tunnel *t, uint8_t proto, const struct ns_tuple *tuple,
		uint16_t sequence, const uint8_t *data, size_t len, uint16_t segment)
{
	struct assocs *as = t->assocs;
	struct ns_tuple to = *tuple;
	struct assoc *a;

	if (proto != MUX_UDP && len > ECHO_MAX)
		return;
	if (!t->mux) {
		wait_for_session(t, proto, tuple, sequence, data, len, segment);
		return;
	}
	a = assoc_get(t, proto, tuple);
	if (!a)
		return;
	touch(t, a, a->dns_only && proto == MUX_UDP && tuple->dst_port == DNS_PORT);
	a->dst.addr = tuple->dst;
	a->dst.port = tuple->dst_port;
	if (peers_sent(&a->peers, &tuple->dst, t->now)) {
		t->counters.udp_dropped++;
		return;
	}
	if (proto != MUX_UDP) {
		as->echo[0] = (uint8_t)(sequence >> 8);
		as->echo[1] = (uint8_t)sequence;
		memcpy(as->echo + 2, data, len);
		data = as->echo;
		len += 2;
		to.dst_port = tuple->src_port;	/* the identifier */
	}
	send_batches(t, a, &to, data, len, segment);
}

/* ---- down ------------------------------------------------------------------------------------------ */

static void receive(struct tunnel *t, struct assoc *a, const struct mux_event *ev)
{
	const struct mux_dgram *d = &ev->u.dgram;
	struct ns_tuple tuple = { .src = a->key.addr, .src_port = a->key.port,
				  .dst = d->addr, .dst_port = d->port };
	int err = 0;

	if (!peers_known(&a->peers, &d->addr, t->now)) {
		t->counters.udp_dropped++;
		return;
	}
	touch(t, a, a->dns_only);
	if (a->key.proto == MUX_UDP) {
		err = ns_udp_send(t->ns, &tuple, ev->data, ev->len, d->segment);
	} else if (ev->len >= 2 && !d->segment) {
		tuple.dst_port = 0;
		err = ns_echo_reply(t->ns, &tuple, (uint16_t)(ev->data[0] << 8 | ev->data[1]),
				    ev->data + 2, ev->len - 2);
	}
	if (err)
		t->counters.udp_dropped++;
	a->down += ev->len;
	t->counters.bytes_down += ev->len;
}

/* Sentry passes on an ICMP error that came for one of our datagrams. */
static void receive_error(struct tunnel *t, struct assoc *a, const struct mux_event *ev)
{
	const struct mux_dgram *at = &ev->u.error.at;
	struct ns_tuple tuple = { .src = a->key.addr, .src_port = a->key.port, .dst = at->addr,
				  .dst_port = a->key.proto == MUX_UDP ? at->port : 0 };
	uint8_t type = ev->u.error.type, code = ev->u.error.code;
	bool error, big;

	/* unreachable, time exceeded, parameter problem; v6: and too big */
	if (at->addr.family == 4) {
		error = type == 3 || type == 11 || type == 12;
		big = type == 3 && code == 4;
	} else {
		error = type >= 1 && type <= 4;
		big = type == 2;
	}
	if (!error || !peers_known(&a->peers, &at->addr, t->now))
		return;
	/* frame.c keeps the MTU sane; in other errors that field is unused, or points
	 * into the packet */
	ns_icmp_error_raw(t->ns, &tuple, a->key.proto, type, code, big ? ev->u.error.mtu : 0);
}

static enum ns_refusal refusal_of(uint8_t reason)
{
	switch ((enum mux_refused)reason) {
	case MUX_REF_DENIED:
		return NS_REFUSE_DENIED;
	case MUX_REF_NET:
		return NS_REFUSE_NET;
	case MUX_REF_CONN:
	case MUX_REF_HOST:
	case MUX_REF_TIMEOUT:
	case MUX_REF_LIMIT:
	case MUX_REF_NAME:
	case MUX_REF_UNSUPPORTED:
		break;
	}
	return NS_REFUSE_HOST;
}

void assoc_event(struct tunnel *t, const struct mux_event *ev)
{
	struct assoc *a = ev->user;

	switch (ev->type) {
	case MUX_EV_REFUSED:
		a->over = a->refused = true;
		a->refused_until = t->now + ASSOC_REFUSED_US;
		a->answer = refusal_of(ev->u.reason);
		LOG(LOG_LVL_SESSION, "assoc.refused", "%s port %u: by Sentry, reason %u",
		    a->key.proto == MUX_UDP ? "udp" : "echo", a->key.port, ev->u.reason);
		tell_last(t, a, a->answer);
		break;
	case MUX_EV_RESET:
		a->over = true;
		if (ev->u.reason == MUX_RST_POLICY)
			tell_last(t, a, NS_REFUSE_DENIED);
		break;
	case MUX_EV_DGRAM:
		receive(t, a, ev);
		break;
	case MUX_EV_DGRAM_ERROR:
		receive_error(t, a, ev);
		break;
	case MUX_EV_OPENED:
	case MUX_EV_CONFIG:
	case MUX_EV_OPEN:
	case MUX_EV_DATA:
	case MUX_EV_FIN:
	case MUX_EV_PROBE_REPLY:
	case MUX_EV_PROBE:
	case MUX_EV_GOAWAY:
		break;
	}
}

void assoc_mux_closed(struct tunnel *t, void *user)
{
	struct assoc *a = user;

	a->stream = NULL;
	a->over = false;
	if (!a->refused)
		assoc_free(t, a);
}

/* ---- sessions and time --------------------------------------------------------------------------------- */

void assocs_attach(struct tunnel *t)
{
	struct held *h;

	while ((h = held_pop(&t->assocs->held))) {
		if (t->now - h->since > LIMIT_DGRAM_MAX_AGE_US)
			t->counters.udp_dropped++;	/* the app will have sent it again */
		else
			assoc_send(t, h->proto, &h->tuple, h->sequence, h->data, h->len,
				   h->segment);
		free(h);
	}
}

void assocs_detach(struct tunnel *t)
{
	struct assoc *a;
	int i;

	for (i = 0; i < 2; i++)
		while ((a = t->assocs->idle[i].oldest))
			assoc_free(t, a);
}

void assocs_hopeless(struct tunnel *t)
{
	struct held *h;

	while ((h = held_pop(&t->assocs->held))) {
		tell(t, h->proto, &h->tuple, NS_REFUSE_PORT);
		free(h);
	}
}

struct reconsidered {
	struct tunnel *t;
	const struct policy_diff *diff;
	uint8_t proto;
	uint16_t port;
};

/* The ports that it was spoken to at are not known: as the last one that the app used. */
static bool peer_changed(void *ctx, const struct ipaddr *a)
{
	const struct reconsidered *r = ctx;

	return tunnel_verdict_changed(r->t, r->diff, r->proto, a, r->port);
}

static bool held_changed(void *ctx, const struct held *h)
{
	const struct reconsidered *r = ctx;

	return tunnel_verdict_changed(r->t, r->diff, h->proto, &h->tuple.dst, h->tuple.dst_port);
}

static bool assoc_reconsider(const struct reconsidered *common, struct assoc *a)
{
	struct reconsidered r = *common;

	r.proto = a->key.proto;
	r.port = a->dst.port;
	peers_drop(&a->peers, peer_changed, &r);
	if (!peer_changed(&r, &a->dst.addr) || a->over)
		return false;
	if (a->stream)
		mux_stream_reset(r.t->mux, a->stream, MUX_RST_POLICY);
	assoc_free(r.t, a);
	return true;
}

uint32_t assocs_reconsider(struct tunnel *t, const struct policy_diff *d)
{
	struct reconsidered r = { .t = t, .diff = d };
	struct assoc *a, *newer;
	uint32_t n = 0;
	int i;

	for (i = 0; i < 2; i++) {
		for (a = t->assocs->idle[i].oldest; a; a = newer) {
			newer = a->newer;
			n += assoc_reconsider(&r, a);
		}
	}
	t->counters.udp_dropped += held_drop(&t->assocs->held, held_changed, &r);
	return n;
}

static uint64_t expire(struct tunnel *t, struct age_list *l, uint64_t idle)
{
	struct assoc *a;

	while ((a = l->oldest) && a->last + idle <= t->now) {
		if (a->over) {		/* closed() will come: not yet */
			touch(t, a, a->dns_only);
			continue;
		}
		if (a->stream)
			mux_stream_reset(t->mux, a->stream, MUX_RST_IDLE);
		assoc_free(t, a);
	}
	return a ? a->last + idle : UINT64_MAX;
}

uint64_t assocs_timer(struct tunnel *t)
{
	struct assocs *as = t->assocs;
	uint64_t next, n;
	struct held *h;

	next = expire(t, &as->idle[false], LIMIT_ASSOC_IDLE_US);
	n = expire(t, &as->idle[true], LIMIT_ASSOC_DNS_US);
	if (n < next)
		next = n;
	while ((h = as->held.head) && h->since + LIMIT_SYN_HELD_US <= t->now) {
		h = held_pop(&as->held);
		tell(t, h->proto, &h->tuple, NS_REFUSE_PORT);
		free(h);
	}
	if (h && h->since + LIMIT_SYN_HELD_US < next)
		next = h->since + LIMIT_SYN_HELD_US;
	return next;
}

bool assocs_waiting(const struct tunnel *t)
{
	return t->assocs->held.head != NULL;
}
