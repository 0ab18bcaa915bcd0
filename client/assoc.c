/* SPDX-License-Identifier: MIT */
/*
 * assoc.c - UDP and ICMP echo through the tunnel.
 *
 * One association (a mux stream) stands for one port of an app, or one
 * identifier of its echo requests, whatever the destination: endpoint-
 * independent mapping (mapping.h).  Those that spoke to port 53 only expire
 * sooner.  After REFUSED one stays a moment without a stream, so that a flood
 * of datagrams is no flood of OPENs.
 */
#include <stdlib.h>
#include <string.h>

#include "client/log.h"
#include "client/mapping.h"
#include "client/policy.h"

#define ASSOC_BUCKETS	16384	/* a power of two */
#define ASSOC_MAX	65536	/* at once; Sentry's max_streams is a bound too */
#define ASSOC_REFUSED_US (1 * USEC_PER_SEC)	/* REFUSED is believed so long */
#define BATCH_SEGMENTS	64	/* datagrams in one DGRAM */
#define ECHO_MAX	65535

struct assoc {
	struct user user;
	bool over;			/* an event ended the stream; closed() will come */
	bool refused;			/* it was by REFUSED */
	struct mapping m;
	struct mux_stream *stream;
	uint64_t refused_until;
	enum ns_refusal answer;		/* while refused */
};

struct assocs {
	struct mappings map;
	struct held_queue held;		/* no session */
	uint8_t echo[2 + ECHO_MAX];	/* sequence and data, made one */
};

static struct assoc *assoc_of(struct mapping *m)
{
	return m ? (struct assoc *)((char *)m - offsetof(struct assoc, m)) : NULL;
}

struct assocs *assocs_new(struct tunnel *t)
{
	struct assocs *as = calloc(1, sizeof(*as));

	(void)t;
	if (!as || mappings_init(&as->map, ASSOC_BUCKETS)) {
		free(as);
		return NULL;
	}
	held_init(&as->held);
	return as;
}

/* ---- ends ------------------------------------------------------------------------ */

static void __attribute__((noinline)) log_end(const struct assoc *a)
{
	char src[ADDR_STRLEN];

	LOG(LOG_LVL_SESSION, "assoc.end", "%s %s %u: %llu bytes up, %llu down",
	    a->m.key.proto == MUX_UDP ? "udp" : "echo", addr_format(&a->m.key.addr, src),
	    a->m.key.port, (unsigned long long)a->m.up, (unsigned long long)a->m.down);
}

static void assoc_free(struct tunnel *t, struct assoc *a)
{
	if (log_level >= LOG_LVL_SESSION)
		log_end(a);
	mapping_remove(t, &t->assocs->map, &a->m);
	if (a->m.key.proto == MUX_UDP)
		t->counters.udp_assocs--;
	free(a);
}

void assocs_free(struct assocs *as)
{
	struct assoc *a;
	int i;

	if (!as)
		return;
	for (i = 0; i < 2; i++) {
		while ((a = assoc_of(as->map.idle[i].oldest))) {
			as->map.idle[i].oldest = a->m.newer;
			peers_free(&a->m.peers);
			free(a);
		}
	}
	mappings_done(&as->map);
	held_clear(&as->held);
	free(as);
}

/* ---- words to the app ------------------------------------------------------------ */

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
	struct ns_tuple tuple = { .src = a->m.key.addr, .src_port = a->m.key.port,
				  .dst = a->m.dst.addr, .dst_port = a->m.dst.port };

	tell(t, a->m.key.proto, &tuple, how);
}

/* ---- making one ------------------------------------------------------------------ */

/* Return: false: policy says no */
static bool decide(struct tunnel *t, uint8_t proto, const struct ns_tuple *tuple)
{
	char src[ADDR_STRLEN], dst[ADDR_STRLEN];
	struct policy_answer answer;

	tunnel_verdict(t, proto, &tuple->dst, tuple->dst_port, &answer);
	LOG(LOG_LVL_SESSION, "assoc.open", "%s %s %u to %s %u: %s, %s",
	    proto == MUX_UDP ? "udp" : "echo", addr_format(&tuple->src, src),
	    tuple->src_port, addr_format(&tuple->dst, dst),
	    proto == MUX_UDP ? tuple->dst_port : 0,
	    verdict_name(answer.verdict), answer.reason);
	return answer.verdict != VERDICT_BLOCK;
}

static struct assoc *assoc_new(struct tunnel *t, const struct mapping_key *key)
{
	struct assoc *a;

	if (t->assocs->map.n >= ASSOC_MAX)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->user.kind = USER_ASSOC;
	mapping_add(t, &t->assocs->map, &a->m, key);
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
	struct mapping_key key;
	struct assoc *a;

	mapping_key_make(&key, proto, tuple);
	a = assoc_of(mapping_find(t, &t->assocs->map, &key));
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

/* ---- up -------------------------------------------------------------------------- */

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
			a->m.up += n;
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
	mapping_touch(t, &as->map, &a->m, a->m.dns_only && proto == MUX_UDP &&
		      tuple->dst_port == DNS_PORT);
	a->m.dst.addr = tuple->dst;
	a->m.dst.port = tuple->dst_port;
	if (peers_sent(&a->m.peers, &tuple->dst, t->now)) {
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

/* ---- down ------------------------------------------------------------------------ */

static void receive(struct tunnel *t, struct assoc *a, const struct mux_event *ev)
{
	const struct mux_dgram *d = &ev->u.dgram;
	struct ns_tuple tuple = { .src = a->m.key.addr, .src_port = a->m.key.port,
				  .dst = d->addr, .dst_port = d->port };
	int err = 0;

	if (!peers_known(&a->m.peers, &d->addr, t->now)) {
		t->counters.udp_dropped++;
		return;
	}
	mapping_touch(t, &t->assocs->map, &a->m, a->m.dns_only);
	if (a->m.key.proto == MUX_UDP) {
		err = ns_udp_send(t->ns, &tuple, ev->data, ev->len, d->segment);
	} else if (ev->len >= 2 && !d->segment) {
		tuple.dst_port = 0;
		err = ns_echo_reply(t->ns, &tuple, (uint16_t)(ev->data[0] << 8 | ev->data[1]),
				    ev->data + 2, ev->len - 2);
	}
	if (err)
		t->counters.udp_dropped++;
	a->m.down += ev->len;
	t->counters.bytes_down += ev->len;
}

/* Sentry passes on an ICMP error that came for one of our datagrams. */
static void receive_error(struct tunnel *t, struct assoc *a, const struct mux_event *ev)
{
	const struct mux_dgram *at = &ev->u.error.at;
	struct ns_tuple tuple = { .src = a->m.key.addr, .src_port = a->m.key.port, .dst = at->addr,
				  .dst_port = a->m.key.proto == MUX_UDP ? at->port : 0 };
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
	if (!error || !peers_known(&a->m.peers, &at->addr, t->now))
		return;
	/* frame.c keeps the MTU sane; in other errors that field is unused, or points
	 * into the packet */
	ns_icmp_error_raw(t->ns, &tuple, a->m.key.proto, type, code, big ? ev->u.error.mtu : 0);
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
		    a->m.key.proto == MUX_UDP ? "udp" : "echo", a->m.key.port, ev->u.reason);
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

/* ---- sessions and time ----------------------------------------------------------- */

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
		while ((a = assoc_of(t->assocs->map.idle[i].oldest)))
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

uint32_t assocs_reconsider(struct tunnel *t, const struct policy_diff *d)
{
	struct mapping *m, *newer;
	uint32_t n = 0;
	int i;

	for (i = 0; i < 2; i++) {
		for (m = t->assocs->map.idle[i].oldest; m; m = newer) {
			struct assoc *a = assoc_of(m);

			newer = m->newer;
			if (!mapping_reconsider(t, d, m) || a->over)
				continue;
			if (a->stream)
				mux_stream_reset(t->mux, a->stream, MUX_RST_POLICY);
			assoc_free(t, a);
			n++;
		}
	}
	t->counters.udp_dropped += mapping_reconsider_held(t, d, &t->assocs->held);
	return n;
}

static uint64_t expire(struct tunnel *t, struct age_list *l, uint64_t idle)
{
	struct assoc *a;

	while ((a = assoc_of(l->oldest)) && a->m.last + idle <= t->now) {
		if (a->over) {		/* closed() will come: not yet */
			mapping_touch(t, &t->assocs->map, &a->m, a->m.dns_only);
			continue;
		}
		if (a->stream)
			mux_stream_reset(t->mux, a->stream, MUX_RST_IDLE);
		assoc_free(t, a);
	}
	return a ? a->m.last + idle : UINT64_MAX;
}

uint64_t assocs_timer(struct tunnel *t)
{
	struct assocs *as = t->assocs;
	uint64_t next, n;
	struct held *h;

	next = expire(t, &as->map.idle[false], LIMIT_ASSOC_IDLE_US);
	n = expire(t, &as->map.idle[true], LIMIT_ASSOC_DNS_US);
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
