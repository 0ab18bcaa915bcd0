/* SPDX-License-Identifier: MIT */
/*
 * dnsfwd.c - the forwarder at the service address, UDP side (over TCP a query
 * is a flow like any other, to dnsfwd_resolver()).
 *
 * A query goes unchanged, but for a random ID, to the resolver that worked
 * last, through an association of the forwarder's own; after DNS_RETRY_US, or
 * at once when that resolver fails, to the next one; after DNS_GIVE_UP_US the
 * app is told SERVFAIL.  Any resolver that was asked may still answer.  There
 * is no cache.
 *
 * A query (dnsquery.h) is due at its next try while it is SENT, at the end of
 * patience while it WAITS for a session.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/dnsquery.h"
#include "client/log.h"

#define DNS_REFUSED_US	(1 * USEC_PER_SEC)	/* REFUSED for an association is believed so long */
/* header bytes 2 and 3 */
#define DNS_FLAG_QR	0x80
#define DNS_RCODE_MASK	0x0f

/* One association for the resolvers of a family. */
struct dns_assoc {
	struct user user;
	uint8_t family;
	bool over;			/* an event ended it; closed() will come */
	struct mux_stream *stream;
	uint64_t last, refused_until;
};

struct dnsfwd {
	struct dns_assoc assocs[2];	/* 4, 6 */
	struct ipaddr resolvers[PROFILE_MAX_RESOLVERS];
	uint32_t n_resolvers, first;	/* first: the one that worked last */
	bool kick;			/* some QUERY_WAITS may be sent now */
	struct dnsnames *names;
	uint8_t out[DNS_QUERY_MAX];	/* failures are written here */
	uint8_t answer[LIMIT_PAYLOAD];
	struct queries queries;
};

_Static_assert(PROFILE_MAX_RESOLVERS <= 8, "query.asked has 8 bits");

struct dnsfwd *dnsfwd_new(struct tunnel *t)
{
	struct dnsfwd *d = calloc(1, sizeof(*d));
	int i;

	if (!d)
		return NULL;
	d->names = dnsnames_new(t->key);
	if (!d->names) {
		free(d);
		return NULL;
	}
	for (i = 0; i < 2; i++) {
		d->assocs[i].user.kind = USER_DNS;
		d->assocs[i].family = i ? 6 : 4;
	}
	return d;
}

void dnsfwd_free(struct dnsfwd *d)
{
	if (!d)
		return;
	dnsnames_free(d->names);
	free(d);
}

/* ---- answers of our own ---------------------------------------------------------- */

static void fail_message(struct tunnel *t, const struct ns_tuple *tuple, const uint8_t *query,
			 size_t qlen, enum dns_rcode rcode)
{
	size_t n = dns_failure(query, qlen, rcode, t->dns->out);

	t->counters.dns_failures++;
	(void)ns_udp_send(t->ns, tuple, t->dns->out, n, 0);
}

static void query_fail(struct tunnel *t, struct query *q)
{
	q->data[0] = (uint8_t)(q->app_id >> 8);
	q->data[1] = (uint8_t)q->app_id;
	fail_message(t, &q->tuple, q->data, q->qlen, DNS_SERVFAIL);
	query_free(&t->dns->queries, q);
}

/* ---- asking ---------------------------------------------------------------------- */

static struct dns_assoc *assoc_of(struct dnsfwd *d, uint8_t family)
{
	return &d->assocs[family == 6];
}

/* Return: 0, -EAGAIN: not now (the association is ending), -EHOSTUNREACH: not at all */
static int ask(struct tunnel *t, struct query *q, const struct ipaddr *resolver)
{
	struct dns_assoc *a = assoc_of(t->dns, resolver->family);
	struct mux_open open = { .proto = MUX_UDP, .addr.family = resolver->family };
	struct mux_dgram to = { .addr = *resolver, .port = DNS_PORT };

	if (a->refused_until > t->now)
		return -EHOSTUNREACH;
	if (a->over)
		return -EAGAIN;
	if (!a->stream)
		a->stream = mux_stream_open(t->mux, &open, a, t->now);
	if (!a->stream)
		return -EHOSTUNREACH;
	a->last = t->now;
	/* one that the mux drops is as one that the network drops: asked again */
	(void)mux_stream_dgram(t->mux, a->stream, &to, q->data, q->len, t->now);
	return 0;
}

/*
 * Ask the next resolver (the first one when none was asked).  Ends in SENT
 * with the next try due, in WAITS, or with SERVFAIL when none can be asked.
 */
static void ask_next(struct tunnel *t, struct query *q)
{
	struct dnsfwd *d = t->dns;
	uint32_t i;
	int err;

	for (i = 0; i < d->n_resolvers; i++) {
		q->at = (uint8_t)((d->first + q->tries) % d->n_resolvers);
		err = ask(t, q, &d->resolvers[q->at]);
		if (err == -EAGAIN) {
			q->state = QUERY_WAITS;
			query_set_due(&d->queries, q, q->give_up);
			return;
		}
		q->tries++;
		if (!err) {
			q->asked |= (uint8_t)(1u << q->at);
			q->state = QUERY_SENT;
			query_set_due(&d->queries, q, t->now + DNS_RETRY_US);
			return;
		}
	}
	query_fail(t, q);
}

/* A resolver that was not asked yet? */
static bool any_unasked(const struct dnsfwd *d, const struct query *q)
{
	return q->asked != (1u << d->n_resolvers) - 1;
}

static void __attribute__((noinline)) log_query(const struct query *q)
{
	char name[254], src[ADDR_STRLEN];
	uint16_t qtype = 0;

	if (dns_question(q->data, q->len, name, &qtype) < 0)
		return;
	LOG(LOG_LVL_PACKET, "dns.query", "%s port %u asks %s type %u, %u bytes",
	    addr_format(&q->tuple.src, src), q->tuple.src_port, name, qtype, q->len);
}

void dnsfwd_query(struct tunnel *t, const struct ns_tuple *tuple, const uint8_t *data,
		  size_t len)
{
	struct dnsfwd *d = t->dns;
	struct query *q;
	int qlen;

	if (len < DNS_HEADER || (data[2] & DNS_FLAG_QR))
		return;		/* not a query: answering could make a loop */
	t->counters.dns_queries++;
	qlen = dns_question(data, len, NULL, NULL);
	if (qlen < 0 || len > DNS_QUERY_MAX) {
		fail_message(t, tuple, data, DNS_HEADER, DNS_FORMERR);
		return;
	}
	if ((!t->mux && t->hopeless) || !d->n_resolvers ||
	    !(q = query_new(&d->queries, t->now + DNS_GIVE_UP_US))) {
		fail_message(t, tuple, data, (size_t)qlen, DNS_SERVFAIL);
		return;
	}
	q->tuple = *tuple;
	q->app_id = (uint16_t)(data[0] << 8 | data[1]);
	q->len = (uint16_t)len;
	q->qlen = (uint16_t)qlen;
	q->state = QUERY_WAITS;
	q->tries = q->at = q->asked = 0;
	memcpy(q->data, data, len);
	q->data[0] = (uint8_t)(q->id >> 8);
	q->data[1] = (uint8_t)q->id;
	if (log_level >= LOG_LVL_PACKET)
		log_query(q);
	if (t->mux)
		ask_next(t, q);
}

/* ---- answers of the resolvers ---------------------------------------------------- */

/* Which resolver that @q asked is @from?  -1: none */
static int asked_index(const struct dnsfwd *d, const struct query *q,
		       const struct mux_dgram *from)
{
	uint32_t i;

	if (from->port != DNS_PORT)
		return -1;
	for (i = 0; i < d->n_resolvers; i++)
		if ((q->asked & (1u << i)) && addr_equal(&d->resolvers[i], &from->addr))
			return (int)i;
	return -1;
}

static void __attribute__((noinline)) log_answer(const struct query *q, const uint8_t *data,
						 size_t len)
{
	char name[254], src[ADDR_STRLEN];

	if (dns_question(data, len, name, NULL) < 0)
		return;
	LOG(LOG_LVL_PACKET, "dns.answer", "%s port %u: %s code %u, %u records, %zu bytes",
	    addr_format(&q->tuple.src, src), q->tuple.src_port, name,
	    data[3] & DNS_RCODE_MASK, (unsigned int)(data[6] << 8 | data[7]), len);
}

static void receive(struct tunnel *t, const struct mux_event *ev)
{
	const uint8_t *data = ev->data;
	struct dnsfwd *d = t->dns;
	struct query *q;
	uint8_t rcode;
	int from;

	if (ev->u.dgram.segment || ev->len < DNS_HEADER || ev->len > sizeof(d->answer) ||
	    !(data[2] & DNS_FLAG_QR))
		return;
	q = query_find(&d->queries, (uint16_t)(data[0] << 8 | data[1]));
	if (!q)
		return;
	from = asked_index(d, q, &ev->u.dgram);
	if (from < 0 || !dns_same_question(q->data, q->len, data, ev->len))
		return;
	rcode = data[3] & DNS_RCODE_MASK;
	if (rcode == DNS_SERVFAIL || rcode == DNS_REFUSED || rcode == DNS_NOTIMP) {
		/* the app knows of no other server than us: try them all */
		if (any_unasked(d, q)) {
			LOG(LOG_LVL_DEBUG, "dns.next", "a resolver answers code %u: the next one",
			    rcode);
			if (from == q->at)
				ask_next(t, q);
			return;
		}
		t->counters.dns_failures++;
	} else {
		d->first = (uint32_t)from;
		dnsnames_learn(d->names, data, ev->len, t->now);
	}
	if (log_level >= LOG_LVL_PACKET)
		log_answer(q, data, ev->len);
	memcpy(d->answer, data, ev->len);
	d->answer[0] = (uint8_t)(q->app_id >> 8);
	d->answer[1] = (uint8_t)q->app_id;
	if (ns_udp_send(t->ns, &q->tuple, d->answer, ev->len, 0))
		t->counters.udp_dropped++;
	query_free(&d->queries, q);
}

/* A resolver cannot be reached: whoever waits for it asks the next one. */
static void resolver_down(struct tunnel *t, const struct mux_dgram *at)
{
	struct dnsfwd *d = t->dns;
	struct query *q, *next;

	for (q = d->queries.head; q; q = next) {
		next = q->next;
		if (q->state == QUERY_SENT && addr_equal(&d->resolvers[q->at], &at->addr) &&
		    at->port == DNS_PORT && any_unasked(d, q))
			ask_next(t, q);
	}
}

/* An association ended: what it carried is to be asked again. */
static void assoc_over(struct tunnel *t, const struct dns_assoc *a, bool refused)
{
	struct dnsfwd *d = t->dns;
	struct query *q, *next;

	for (q = d->queries.head; q; q = next) {
		next = q->next;
		if (q->state != QUERY_SENT || d->resolvers[q->at].family != a->family)
			continue;
		q->state = QUERY_WAITS;
		if (!refused)
			q->tries--;	/* the same resolver */
		query_set_due(&d->queries, q, q->give_up);
	}
	d->kick = true;
}

void dnsfwd_event(struct tunnel *t, const struct mux_event *ev)
{
	struct dns_assoc *a = ev->user;

	switch (ev->type) {
	case MUX_EV_DGRAM:
		a->last = t->now;
		receive(t, ev);
		break;
	case MUX_EV_DGRAM_ERROR:
		resolver_down(t, &ev->u.error.at);
		break;
	case MUX_EV_REFUSED:
		a->over = true;
		a->refused_until = t->now + DNS_REFUSED_US;
		assoc_over(t, a, true);
		break;
	case MUX_EV_RESET:
		a->over = true;
		assoc_over(t, a, false);
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

void dnsfwd_mux_closed(struct tunnel *t, void *user)
{
	struct dns_assoc *a = user;

	/* the mux must not be called from here: dnsfwd_flush() goes on */
	a->stream = NULL;
	a->over = false;
	t->dns->kick = true;
}

/* ---- sessions, time -------------------------------------------------------------- */

/* Ask for all that wait. */
static void ask_waiting(struct tunnel *t)
{
	struct query *q, *next;

	for (q = t->dns->queries.head; q; q = next) {
		next = q->next;
		if (q->state == QUERY_WAITS)
			ask_next(t, q);
	}
}

void dnsfwd_flush(struct tunnel *t)
{
	if (!t->mux || !t->dns->kick)
		return;
	t->dns->kick = false;
	ask_waiting(t);
}

void dnsfwd_attach(struct tunnel *t)
{
	ask_waiting(t);
}

void dnsfwd_detach(struct tunnel *t)
{
	struct dnsfwd *d = t->dns;
	struct query *q, *next;
	int i;

	for (i = 0; i < 2; i++) {
		d->assocs[i].stream = NULL;
		d->assocs[i].over = false;
		d->assocs[i].refused_until = 0;
	}
	for (q = d->queries.head; q; q = next) {
		next = q->next;
		q->state = QUERY_WAITS;
		q->tries = q->asked = 0;
		query_set_due(&d->queries, q, q->give_up);
	}
	if (t->hopeless)
		dnsfwd_hopeless(t);
}

void dnsfwd_hopeless(struct tunnel *t)
{
	while (t->dns->queries.head)
		query_fail(t, t->dns->queries.head);
}

void dnsfwd_set_offer(struct tunnel *t, const struct plan_offer *offer)
{
	struct dnsfwd *d = t->dns;
	uint32_t n = offer->n_resolvers;
	struct query *q;

	if (n > PROFILE_MAX_RESOLVERS)
		n = PROFILE_MAX_RESOLVERS;
	if (n == d->n_resolvers &&
	    !memcmp(d->resolvers, offer->resolvers, n * sizeof(d->resolvers[0])))
		return;
	memcpy(d->resolvers, offer->resolvers, n * sizeof(d->resolvers[0]));
	d->n_resolvers = n;
	d->first = 0;
	for (q = d->queries.head; q; q = q->next) {
		q->state = QUERY_WAITS;
		q->tries = q->at = q->asked = 0;
	}
	d->kick = true;
}

uint64_t dnsfwd_timer(struct tunnel *t)
{
	struct dnsfwd *d = t->dns;
	struct query *q;
	uint64_t next;
	int i;

	while ((q = d->queries.head) && q->due <= t->now) {
		if (q->give_up <= t->now || !t->mux)
			query_fail(t, q);
		else
			ask_next(t, q);
	}
	next = q ? q->due : UINT64_MAX;
	for (i = 0; i < 2; i++) {
		struct dns_assoc *a = &d->assocs[i];

		if (!a->stream || a->over)
			continue;
		if (a->last + LIMIT_ASSOC_DNS_US > t->now) {
			next = next < a->last + LIMIT_ASSOC_DNS_US ? next :
				a->last + LIMIT_ASSOC_DNS_US;
			continue;
		}
		/* the next query leaves from another port of Sentry's */
		mux_stream_reset(t->mux, a->stream, MUX_RST_IDLE);
		a->stream = NULL;
	}
	return next;
}

bool dnsfwd_waiting(const struct tunnel *t)
{
	return t->dns->queries.head != NULL;
}

/* ---- what others ask ------------------------------------------------------------- */

const struct ipaddr *dnsfwd_resolver(const struct tunnel *t, uint32_t try)
{
	const struct dnsfwd *d = t->dns;

	return try < d->n_resolvers ? &d->resolvers[(d->first + try) % d->n_resolvers] : NULL;
}

const char *dnsfwd_name_of(struct tunnel *t, const struct ipaddr *a)
{
	return dnsnames_find(t->dns->names, a, t->now);
}
