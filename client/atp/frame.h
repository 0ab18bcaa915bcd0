/* SPDX-License-Identifier: MIT */
/*
 * frame.h - encode and decode single frames (docs/protocol.md, 3).  Stateless:
 * lengths, values, directions and which stream ID a type may stand on are
 * judged here; what the state of a stream allows is the mux' matter.
 * Internal to client/atp.
 */
#ifndef APPTUNNEL_FRAME_H
#define APPTUNNEL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/atp/mux.h"
#include "client/limits.h"

enum frame_type {
	FRAME_CONFIG = 0x01, FRAME_OPEN, FRAME_OPENED, FRAME_REFUSED, FRAME_DATA,
	FRAME_WINDOW, FRAME_FIN, FRAME_RESET, FRAME_DGRAM, FRAME_DGRAM_ERROR,
	FRAME_RETURN,
	FRAME_ACK = 0x10, FRAME_PROBE, FRAME_PROBE_REPLY, FRAME_GOAWAY,
	FRAME_SKIPPED = 0x80,		/* from here on: skipped and counted */
};

#define FRAME_GOAWAY_TEXT	256	/* bytes */
#define FRAME_TLVS		1024	/* bytes of TLVs in an OPEN */
#define FRAME_NAME		253
#define FRAME_APP		255
#define FRAME_SEGMENTS		64	/* datagrams in one DGRAM */
#define FRAME_CONTROL_MAX	(LIMIT_FRAME_HEADER + 12 + 16 + FRAME_TLVS)

struct frame {
	uint8_t type;			/* as on the wire */
	bool counted;
	uint32_t id;
	uint32_t len;			/* payload */
	const uint8_t *data;		/* CONFIG, DATA, DGRAM: bytes; GOAWAY: text */
	size_t data_len;
	union {
		struct { struct mux_open open; uint32_t window; } open;
		struct { struct ipaddr addr; uint16_t port; uint32_t window; } opened;
		uint8_t reason;		/* REFUSED, RESET: unknown ones mapped */
		uint32_t credit;	/* WINDOW, RETURN */
		struct mux_dgram dgram;
		struct { struct mux_dgram at; uint8_t type, code; uint32_t mtu; } error;
		uint64_t number;	/* ACK: offset; PROBE, PROBE_REPLY: opaque */
		struct { uint16_t reason; uint32_t last; } goaway;
	} u;
};

/*
 * frame_decode() - read the frame at @buf
 * @to_client: direction: from Sentry to the client, or the other way
 * @f: only the union's member of that type is written; pointers into @buf
 * @why: on -EPROTO one phrase
 * Return: bytes of the frame with its header; 0: incomplete (as far as can be
 *	seen it is well-formed); -EPROTO
 */
int frame_decode(const uint8_t *buf, size_t len, bool to_client, struct frame *f,
		 const char **why);

/* frame_counted() - does this type enter the counts of section 5? */
bool frame_counted(uint8_t type);

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static inline void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)(v >> 32));
	put32(p + 4, (uint32_t)v);
}

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static inline uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

/*
 * Writers.  @p has room for the whole frame (FRAME_CONTROL_MAX is enough for
 * any but DATA, DGRAM, CONFIG).  Return: bytes written.
 */
void frame_header(uint8_t *p, uint8_t type, uint32_t payload, uint32_t id);
size_t frame_put_open(uint8_t *p, uint32_t id, const struct mux_open *open, uint32_t window);
size_t frame_put_opened(uint8_t *p, uint32_t id, const struct ipaddr *local, uint16_t port,
			uint32_t window);
size_t frame_put_reason(uint8_t *p, uint8_t type, uint32_t id, uint8_t reason);
size_t frame_put_credit(uint8_t *p, uint8_t type, uint32_t id, uint32_t credit);
size_t frame_put_number(uint8_t *p, uint8_t type, uint64_t number);
size_t frame_put_goaway(uint8_t *p, uint16_t reason, uint32_t last, const char *text);
/* the head of a DGRAM whose data is @len bytes; the caller puts them behind it */
size_t frame_put_dgram(uint8_t *p, uint32_t id, const struct mux_dgram *d, size_t len);
size_t frame_put_dgram_error(uint8_t *p, uint32_t id, const struct mux_dgram *at,
			     uint8_t type, uint8_t code, uint32_t mtu);

#endif
