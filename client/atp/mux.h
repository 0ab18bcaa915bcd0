/* SPDX-License-Identifier: MIT */
/*
 * mux.h - many streams over one connection (docs/protocol.md, 3 to 5).
 *
 * Sans I/O: received bytes go in by mux_recv(), which yields one event at a
 * time; bytes to send come out by mux_output(), which makes a frame only when
 * it is asked for one.  Both ends of the wire use it: the engine as client,
 * the endpoint as server.  `now` is a monotonic clock in microseconds.
 */
#ifndef APPTUNNEL_MUX_H
#define APPTUNNEL_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/addr.h"

struct mux;
struct mux_stream;

enum mux_role { MUX_CLIENT, MUX_SERVER };

enum mux_refused { MUX_REF_CONN = 1, MUX_REF_HOST, MUX_REF_NET, MUX_REF_TIMEOUT,
		   MUX_REF_DENIED, MUX_REF_LIMIT, MUX_REF_NAME, MUX_REF_UNSUPPORTED };
enum mux_reset_reason { MUX_RST_RESET = 1, MUX_RST_TIMEOUT, MUX_RST_IDLE, MUX_RST_POLICY,
			MUX_RST_LIMIT, MUX_RST_HOST, MUX_RST_SESSION };
enum mux_goaway { MUX_BYE, MUX_DRAINING, MUX_REVOKED, MUX_PROTOCOL_ERROR,
		  MUX_REPLACED, MUX_INTERNAL };
enum mux_proto { MUX_TCP = 6, MUX_UDP = 17, MUX_ICMP = 1, MUX_ICMP6 = 58 };

struct mux_config {
	enum mux_role role;
	uint32_t max_streams;		/* client: from CONFIG; server: what it said */
	uint64_t budget;		/* bytes; 0: LIMIT_BUDGET */
	uint32_t store;			/* bytes; 0: LIMIT_STORE */
};

/* The two things that the mux asks of its owner. */
struct mux_ops {
	/*
	 * Copy up to @max bytes that stream @user has to send to @dst.
	 * Return: bytes; less than @max: nothing more now, the stream is asked
	 * again after mux_stream_ready().  Called from mux_output() only; must
	 * not call the mux.
	 */
	size_t (*pull)(void *ctx, void *user, uint8_t *dst, size_t max);
	/*
	 * The mux has forgotten this stream (after FIN both ways with all
	 * received bytes consumed, REFUSED, a RESET received); not called for
	 * a stream that the owner reset or refused, nor while its user is
	 * NULL.  Called from mux_recv(), mux_recv_done(), mux_output() and
	 * mux_timer(), before they do anything else: so a stream of an event
	 * is valid until the next of these calls.
	 */
	void (*closed)(void *ctx, void *user);
};

/*
 * mux_new() - a session that has just been accepted (behind the 101)
 * A client sends nothing before it received CONFIG, a server nothing before
 * mux_send_config(); GOAWAY excepted.
 * Return: NULL: no memory.  @ops and @ctx are borrowed
 */
struct mux *mux_new(const struct mux_config *config, const struct mux_ops *ops, void *ctx);
void mux_free(struct mux *m);		/* NULL is fine; no callbacks */

/* ---- receiving ---------------------------------------------------- */

enum mux_event_type {
	MUX_EV_CONFIG,		/* client: data, len: JSON */
	MUX_EV_OPEN,		/* server: u.open; give it a user: mux_stream_set_user() */
	MUX_EV_OPENED,		/* client: u.opened */
	MUX_EV_REFUSED,		/* client: u.reason; the stream is gone after closed() */
	MUX_EV_DATA,		/* data, len: bytes inside the buffer given to mux_recv() */
	MUX_EV_FIN,		/* the peer's direction is finished */
	MUX_EV_RESET,		/* u.reason; the stream is gone after closed() */
	MUX_EV_DGRAM,		/* u.dgram, data, len */
	MUX_EV_DGRAM_ERROR,	/* client: u.error */
	MUX_EV_PROBE_REPLY,	/* u.opaque */
	MUX_EV_PROBE,		/* for counting; the reply is already due */
	MUX_EV_GOAWAY,		/* u.goaway; data, len: text */
};

struct mux_dgram {
	struct ipaddr addr;	/* far address: destination from the client, source from Sentry */
	uint16_t port;		/* ICMP echo: identifier */
	uint16_t segment;	/* 0: one datagram; else size of each */
};

struct mux_open {
	uint8_t proto;			/* enum mux_proto, or unknown: refuse with 8 */
	struct ipaddr addr;		/* family 0: by name only; associations: bytes 0 */
	uint16_t port;
	uint16_t source_port;		/* 0: not said */
	char name[254];			/* empty: none */
	bool bad_name;			/* unusable, or neither name nor address: refuse with 7 */
	char app[256];
};

struct mux_event {
	enum mux_event_type type;
	struct mux_stream *stream;	/* NULL for session events */
	void *user;			/* of the stream */
	const uint8_t *data;
	size_t len;
	union {
		struct mux_open open;
		struct { struct ipaddr addr; uint16_t port; } opened;
		uint8_t reason;
		struct mux_dgram dgram;
		struct { struct mux_dgram at; uint8_t type, code; uint32_t mtu; } error;
		uint64_t opaque;
		struct { uint16_t reason; uint32_t last; } goaway;
	} u;
};

/*
 * What stays with the owner: to judge CONFIG (mux_goaway(PROTOCOL_ERROR) when
 * it is bad), to filter the senders of DGRAM by what its association sent to,
 * to answer each OPEN, and to end the connection after a GOAWAY.  Over
 * max_streams or floor the mux refuses an OPEN itself.
 *
 * mux_recv() - take bytes of the connection, yield at most one event
 * @used: bytes taken; call again with the rest until it returns 0
 * Return: 1: *ev is valid (pointers until the buffer changes or the next
 *	mux_ call on that stream); 0: the rest is an incomplete frame that must
 *	be offered again with more bytes behind it (a frame is at most
 *	LIMIT_FRAME_HEADER + LIMIT_PAYLOAD); -EPROTO: mux_error() says what;
 *	mux_output() then still yields the GOAWAY
 */
int mux_recv(struct mux *m, const uint8_t *buf, size_t len, size_t *used,
	     struct mux_event *ev, uint64_t now);
/* mux_error() - one phrase, after -EPROTO; borrowed */
const char *mux_error(const struct mux *m);

/* mux_recv_done() - the end of a read burst: decides on ACK */
void mux_recv_done(struct mux *m, uint64_t now);

/* ---- streams ------------------------------------------------------ */

/*
 * mux_stream_open() - client: a held OPEN; it takes its ID when it is made
 * Return: the stream, or NULL (bounds: LIMIT_OPENS_HELD, max_streams, floor,
 *	memory)
 */
struct mux_stream *mux_stream_open(struct mux *m, const struct mux_open *open,
				   void *user, uint64_t now);
/* mux_stream_set_user() - what events and mux_ops name the stream by; borrowed, NULL: nothing */
void mux_stream_set_user(struct mux_stream *s, void *user);

/*
 * server: the answer to an OPEN.  After mux_stream_refuse() the stream is gone.
 * @local: far connection's local end; NULL or family 0: none
 */
void mux_stream_accept(struct mux *m, struct mux_stream *s, const struct ipaddr *local,
		       uint16_t port, uint64_t now);
void mux_stream_refuse(struct mux *m, struct mux_stream *s, enum mux_refused reason);

/* It has bytes for pull. */
void mux_stream_ready(struct mux *m, struct mux_stream *s, uint64_t now);
/* FIN once pull is exhausted. */
void mux_stream_fin(struct mux *m, struct mux_stream *s);
/* The stream is gone on return, whatever state it was in. */
void mux_stream_reset(struct mux *m, struct mux_stream *s, enum mux_reset_reason r);

/*
 * mux_stream_consumed() - the consumer took @n received bytes: credit flows back
 * All bytes of all MUX_EV_DATA are to be consumed some time (or the stream
 * reset): until then they count against the budget and the stream stays.
 */
void mux_stream_consumed(struct mux *m, struct mux_stream *s, uint32_t n, uint64_t now);

/*
 * mux_stream_dgram() - queue a datagram (or a batch) on an association
 * @data is copied.  Return: 0; -ENOBUFS: dropped and counted; -EINVAL: no
 * association, no family, too long, or not 1 to 64 segments
 */
int mux_stream_dgram(struct mux *m, struct mux_stream *s, const struct mux_dgram *d,
		     const uint8_t *data, size_t len, uint64_t now);
/* server */
void mux_stream_dgram_error(struct mux *m, struct mux_stream *s, const struct mux_dgram *at,
			    uint8_t type, uint8_t code, uint32_t mtu);

uint32_t mux_stream_id(const struct mux_stream *s);	/* 0: not made yet */

/* ---- session ------------------------------------------------------ */

/* mux_probe() - a PROBE with the next output; one too many at a time is not made */
void mux_probe(struct mux *m, uint64_t opaque);
/*
 * mux_goaway() - all reasons but MUX_DRAINING end the session: mux_output()
 * yields the GOAWAY and nothing after it, mux_recv() discards
 * @last: last accepted stream ID; UINT32_MAX: the highest opened so far
 */
void mux_goaway(struct mux *m, enum mux_goaway reason, uint32_t last, const char *text);
/* server; -EBUSY: one is unacknowledged, or the last is less than 1 s old; -EINVAL; -ENOMEM */
int mux_send_config(struct mux *m, const char *json, size_t len);
/* mux_set_max_streams() - CONFIG's, or our own; 0 counts as 1.  Open streams stay */
void mux_set_max_streams(struct mux *m, uint32_t n);
void mux_set_rtt(struct mux *m, uint64_t rtt_us);	/* from TCP_INFO; drives window growth */

/* Is anything outbound, judged before credit, socket and store?  Unacknowledged
 * bytes count.  Ask before mux_output(): a datagram is gone afterwards.  (section 6) */
bool mux_wants_to_send(const struct mux *m);
/* Bytes sent on this connection that the peer has not acknowledged. */
uint64_t mux_unacked(const struct mux *m);

/* ---- sending ------------------------------------------------------ */

/*
 * mux_output() - the next bytes for the connection
 * @room: bytes that the connection may take now; one TLS record (16,384) at most
 *	is made of it, less than 2,048 counts as 2,048, 0 makes nothing new
 * @len: bytes at the return value: whole frames, or the rest of a span that was
 *	written in part.  The same bytes come again until mux_written() took
 *	them, so a TLS write may be repeated as it must
 * Return: the bytes (valid until mux_written()), or NULL: nothing to send
 */
const uint8_t *mux_output(struct mux *m, size_t room, size_t *len, uint64_t now);

/* mux_written() - the first @n bytes of that span were taken by the connection */
void mux_written(struct mux *m, size_t n);

/*
 * mux_timer() - ACK delay, RETURN, old datagrams
 * Return: when to call it next (absolute, us), UINT64_MAX: never
 */
uint64_t mux_timer(struct mux *m, uint64_t now);

struct mux_counters {
	uint64_t frames_in, frames_out, bytes_in, bytes_out;	/* whole frames, header included */
	uint64_t counted_in, counted_out, acked_out;		/* section 5 */
	uint64_t streams, streams_total, opens_waiting;
	uint64_t dgrams_dropped, frames_discarded, unknown_skipped;
	uint64_t probes_in, probes_out;
	uint64_t outstanding;					/* credit granted, section 4 */
	uint64_t store_bytes;
};
/* mux_counters() - of this session, brought up to date by the call; borrowed */
const struct mux_counters *mux_counters(const struct mux *m);

#endif
