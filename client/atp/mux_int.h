/* SPDX-License-Identifier: MIT */
/*
 * mux_int.h - what the files of the mux share.  mux.c: the session; mux_stream.c:
 * streams; mux_recv.c: frames in; mux_send.c: frames out; mux_credit.c: windows
 * and budget; mux_dgram.c: datagrams waiting.  Internal to client/atp.
 *
 * A stream and its lists.  Nothing is on a list while it is idle:
 *	all	every stream, for mux_free()
 *	ctl	it owes a control frame (OPENED, REFUSED, RESET, WINDOW, RETURN, FIN)
 *	held	client: its OPEN is not made yet
 *	sched	it has data, and credit for it; or datagrams
 *	recent	it sent data within the last second and holds credit (RETURN)
 *	dying	finished; closed() is due
 *
 * Life:	new -> opened (OPEN made or received) -> answered (OPENED made or
 * received) -> ended (both FINs, REFUSED, RESET): out of the hash.  An ended
 * stream stays as long as the consumer holds received bytes, or as long as it
 * owes its last frame.
 */
#ifndef APPTUNNEL_MUX_INT_H
#define APPTUNNEL_MUX_INT_H

#include "client/atp/frame.h"
#include "client/atp/mux.h"
#include "client/atp/store.h"

#define MUX_RECORD	16384u		/* bytes handed out at once: one TLS record */
#define MUX_RECORD_MIN	2048u		/* less room than this is not asked for */
#define MUX_DATA_MIN	512u		/* no DATA frame is cut shorter at a record's end */
#define MUX_FIRST_MIN	1024u		/* ... nor by the end of a chunk at its beginning */
#define MUX_SMALL_BYTES	(64u << 10)	/* sent within MUX_SMALL_US: still a small flow */
#define MUX_SMALL_US	(100 * USEC_PER_MSEC)
#define MUX_SMALL_RUN	(64u << 10)	/* small flows go before bulk for so many bytes */
#define MUX_RTT_MIN_US	(1 * USEC_PER_MSEC)	/* also when not known */
#define MUX_RST_COUNTS_US USEC_PER_SEC	/* an OPEN reset unanswered still counts */
#define MUX_CONFIG_US	USEC_PER_SEC	/* no two CONFIGs within */
#define MUX_DGRAM_CHUNKS 64u		/* 4 MiB of datagrams may wait */
#define MUX_KEEP_CHUNKS	4u		/* free chunks kept when at rest */
#define MUX_PROBES	4u		/* own probes waiting to be sent */

struct link {
	struct link *prev, *next;
};

static inline void link_init(struct link *l)
{
	l->prev = l->next = l;
}

static inline bool link_empty(const struct link *l)
{
	return l->next == l;
}

static inline void link_append(struct link *list, struct link *l)
{
	l->prev = list->prev;
	l->next = list;
	list->prev->next = l;
	list->prev = l;
}

/* Also for what is on no list.  Return: was it on one? */
static inline bool link_remove(struct link *l)
{
	bool was = !link_empty(l);

	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
	return was;
}

#define link_entry(l, type, member) ((type *)((char *)(l) - offsetof(type, member)))

/* A datagram that waits, in a chunk; its frame lies behind it. */
struct dgram_node {
	struct link queue;		/* of all, oldest first */
	struct dgram_node *next;	/* of its association */
	struct mux_stream *stream;
	struct chunk *chunk;
	uint64_t time;
	uint32_t len;			/* of the frame */
	uint8_t frame[];
};

enum sched_class { SCHED_SMALL, SCHED_BULK, SCHED_CLASSES };
enum sched_kind { SCHED_DATA, SCHED_DGRAM, SCHED_KINDS };

struct mux_stream {
	struct mux_stream *hash_next;
	struct mux *mux;
	void *user;
	uint32_t id;			/* 0: not made yet */
	uint8_t proto;
	uint8_t family;			/* of an association */

	bool tcp : 1;
	bool opened : 1, answered : 1;
	bool ready : 1;			/* pull may yield bytes */
	bool fin_wanted : 1, fin_sent : 1, fin_received : 1;
	bool ended : 1;			/* the protocol is done with it */
	bool detached : 1;		/* the owner is done with it */
	bool accept_owed : 1, window_owed : 1, return_owed : 1;
	bool returned : 1;		/* the peer gave credit back, no DATA since */
	bool hashed : 1, floored : 1, unanswered : 1;
	uint8_t refuse_owed, reset_owed;	/* reason; 0: none */

	/* sending */
	uint32_t send_credit;
	int32_t deficit;
	uint32_t recent_bytes;		/* since recent_start */
	uint64_t recent_start, last_sent;

	/* receiving: unused + buffered is outstanding */
	uint32_t unused;		/* credit that the peer still has */
	uint32_t buffered;		/* received, not consumed */
	uint32_t window;		/* outstanding after the last grant or RETURN */
	uint32_t goal;			/* window that we want it to have */
	uint64_t use_start;		/* first DATA since the last grant; 0: none */

	struct mux_open *open;		/* client: until the OPEN is made */
	struct ipaddr local;		/* server: of OPENED */
	uint16_t local_port;

	struct dgram_node *dgrams, *dgrams_tail;
	uint32_t dgram_bytes;

	struct link all, ctl, held, sched, recent, dying;
};

struct mux {
	enum mux_role role;
	const struct mux_ops *ops;
	void *ctx;
	uint64_t now;
	struct mux_counters count;
	char error[128];
	bool failed;			/* protocol error: only the GOAWAY goes out */
	bool over;			/* a GOAWAY that destroys the session went or came */
	bool draining_in, draining_out;
	uint32_t draining_last;

	/* streams */
	struct mux_stream **hash;
	uint32_t hash_size;		/* power of two */
	uint32_t n_hashed;
	uint32_t last_id;		/* highest that was opened */
	uint32_t max_streams;
	struct link all, held, dying;
	uint32_t n_held, n_ready;
	uint32_t n_unanswered;		/* OPENs on the wire */
	/* client: when OPENs that were reset unanswered cease to count */
	uint64_t rst_until[LIMIT_OPENS_PENDING];
	uint32_t rst_first, n_rst;

	/* credit granted to the peer */
	uint64_t budget, elastic, elastic_out;
	uint32_t n_floor;
	uint64_t rtt_us;

	/* receiving */
	uint64_t counted_in, acked_in;
	uint64_t ack_first;		/* when the first byte not acknowledged came; 0: none */
	bool ack_due;
	bool config_seen;		/* client: the session may be used */

	/* sending: session frames */
	char *config;			/* server: waiting to be made */
	size_t config_len;
	bool config_sent;
	uint64_t config_end, config_time;
	uint64_t probes[MUX_PROBES];
	uint32_t n_probes;
	uint64_t replies[LIMIT_PROBES_PER_S];
	uint32_t n_replies, replies_in_second;
	uint64_t reply_second;		/* start of the second that is counted */
	bool goaway_owed, goaway_sent;
	uint16_t goaway_reason;
	uint32_t goaway_last;
	char goaway_text[FRAME_GOAWAY_TEXT + 1];

	/* sending: streams */
	struct link ctl, recent;
	struct link sched[SCHED_CLASSES][SCHED_KINDS];
	uint32_t small_run;		/* bytes of small flows since the last of bulk */
	bool dgram_turn[SCHED_CLASSES];
	struct link dgrams;		/* all that wait, oldest first */
	uint32_t dgram_chunks;
	struct chunk *dgram_chunk;	/* the one being filled */

	/* what mux_output() handed out: scratch bytes, then store bytes */
	const uint8_t *span;
	size_t span_len, span_off, span_side;
	struct dgram_node *span_dgram;
	uint8_t scratch[MUX_RECORD];

	struct chunk_pool pool;
	struct store store;
	uint64_t trim_at;		/* 0: nothing to trim */
};

static inline void mux_clock(struct mux *m, uint64_t now)
{
	if (now > m->now)
		m->now = now;
}

static inline bool mux_done(const struct mux *m)
{
	return m->failed || m->over;
}

/* mux.c: mux_fail() - the session is over; GOAWAY @reason is owed, @why is copied */
void mux_fail(struct mux *m, enum mux_goaway reason, const char *why);

/* mux_stream.c */
struct mux_stream *stream_new(struct mux *m, uint8_t proto, void *user);	/* NULL: no memory */
struct mux_stream *stream_find(const struct mux *m, uint32_t id);	/* NULL: not open */
void stream_hash(struct mux *m, struct mux_stream *s);	/* it has its ID: found and counted by it */
void stream_answered(struct mux *m, struct mux_stream *s);	/* its OPEN is none that waits */
void stream_end(struct mux *m, struct mux_stream *s);	/* leaves hash and lists, credit back */
void stream_check_fins(struct mux *m, struct mux_stream *s);	/* both: ended */
void stream_check_gone(struct mux *m, struct mux_stream *s);	/* ended, consumed: dying */
void stream_free(struct mux *m, struct mux_stream *s);	/* at once; no closed() */
void mux_reap(struct mux *m);				/* closed() for the dying */
bool mux_may_open(struct mux *m);			/* a held OPEN now? */

/* mux_credit.c */
bool credit_floor(struct mux *m, struct mux_stream *s);	/* reserve; false: none left */
uint32_t credit_first(struct mux *m, struct mux_stream *s);	/* the initial window */
void credit_data(struct mux *m, struct mux_stream *s, uint32_t n);	/* @n bytes came */
void credit_consumed(struct mux *m, struct mux_stream *s, uint32_t n);	/* and were taken */
void credit_returned(struct mux *m, struct mux_stream *s, uint32_t n);	/* by RETURN, judged */
void credit_fin(struct mux *m, struct mux_stream *s);	/* the unused part comes back */
void credit_drop(struct mux *m, struct mux_stream *s);	/* all of it */
uint32_t credit_grant(struct mux *m, struct mux_stream *s);	/* WINDOW now; 0: none */

/* mux_send.c: on its list, or off it, as the stream's state now says */
void ctl_owe(struct mux *m, struct mux_stream *s);
void sched_update(struct mux *m, struct mux_stream *s);
void recent_update(struct mux *m, struct mux_stream *s);

/* mux_dgram.c; dgram_queue() as mux_stream_dgram() */
int dgram_queue(struct mux *m, struct mux_stream *s, const struct mux_dgram *d,
		const uint8_t *data, size_t len);
void dgram_queue_error(struct mux *m, struct mux_stream *s, const struct mux_dgram *at,
		       uint8_t type, uint8_t code, uint32_t mtu);
void dgram_drop_all(struct mux *m, struct mux_stream *s);
void dgram_drop_late(struct mux *m, struct mux_stream *s);	/* the rules of section 3 */
struct dgram_node *dgram_take(struct mux *m, struct mux_stream *s);	/* the oldest, or NULL */
void dgram_done(struct mux *m, struct dgram_node *n);	/* of dgram_take(): its memory */
void dgram_timer(struct mux *m);	/* drop what waited LIMIT_DGRAM_MAX_AGE_US */

#endif
