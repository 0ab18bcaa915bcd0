/* SPDX-License-Identifier: MIT */
/*
 * frame.c - the frames of docs/protocol.md, 3, one at a time.
 */
#include "client/atp/frame.h"

#include <errno.h>
#include <string.h>

#define DGRAM_HEAD	8	/* bytes before the address */
#define OPEN_HEAD	4	/* likewise */
#define DGRAM_ERROR_TAIL 8
#define MTU_MIN_4	576
#define MTU_MIN_6	1280

enum tlv { TLV_NAME = 1, TLV_APP, TLV_SOURCE_PORT };

enum on { ON_SESSION, ON_STREAM };
enum way { BOTH, TO_CLIENT, TO_SERVER };

/* One row a type: what can be judged from the header alone. */
static const struct frame_rule {
	const char *bad_len;	/* NULL: no such type */
	uint32_t min, max;	/* payload */
	enum on on;
	enum way way;
	bool counted;
} rules[] = {
	[FRAME_CONFIG] = { "CONFIG over 16 KiB", 0, LIMIT_CONFIG, ON_SESSION, TO_CLIENT, true },
	[FRAME_OPEN] = { "OPEN of a wrong length", 8, 8 + 16 + FRAME_TLVS, ON_STREAM, TO_SERVER,
			 true },
	[FRAME_OPENED] = { "OPENED of a wrong length", 7, 23, ON_STREAM, TO_CLIENT, true },
	[FRAME_REFUSED] = { "REFUSED of a wrong length", 1, 1, ON_STREAM, TO_CLIENT, true },
	[FRAME_DATA] = { "DATA empty or over 65,536 bytes", 1, LIMIT_PAYLOAD, ON_STREAM, BOTH,
			 true },
	[FRAME_WINDOW] = { "WINDOW of a wrong length", 4, 4, ON_STREAM, BOTH, true },
	[FRAME_FIN] = { "FIN of a wrong length", 0, 0, ON_STREAM, BOTH, true },
	[FRAME_RESET] = { "RESET of a wrong length", 1, 1, ON_STREAM, BOTH, true },
	[FRAME_RETURN] = { "RETURN of a wrong length", 4, 4, ON_STREAM, BOTH, true },
	[FRAME_DGRAM] = { "DGRAM of a wrong length", DGRAM_HEAD + 4, LIMIT_PAYLOAD, ON_STREAM,
			  BOTH, false },
	[FRAME_DGRAM_ERROR] = { "DGRAM_ERROR of a wrong length", DGRAM_HEAD + 4 + DGRAM_ERROR_TAIL,
				DGRAM_HEAD + 16 + DGRAM_ERROR_TAIL, ON_STREAM, TO_CLIENT, false },
	[FRAME_ACK] = { "ACK of a wrong length", 8, 8, ON_SESSION, BOTH, false },
	[FRAME_PROBE] = { "PROBE of a wrong length", 8, 8, ON_SESSION, BOTH, false },
	[FRAME_PROBE_REPLY] = { "PROBE_REPLY of a wrong length", 8, 8, ON_SESSION, BOTH, false },
	[FRAME_GOAWAY] = { "GOAWAY of a wrong length", 6, 6 + FRAME_GOAWAY_TEXT, ON_SESSION, BOTH,
			   false },
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

bool frame_counted(uint8_t type)
{
	if (type >= FRAME_SKIPPED)
		return true;
	return type < RULES && rules[type].counted;
}

static const char *check_header(uint8_t type, uint32_t len, uint32_t id, bool to_client)
{
	const struct frame_rule *r;

	if (len > LIMIT_PAYLOAD)
		return "a payload over 65,536 bytes";
	if (type >= FRAME_SKIPPED)
		return NULL;
	if (type >= RULES || !rules[type].bad_len)
		return "an unknown frame type below 0x80";
	r = &rules[type];
	if (r->on == ON_SESSION && id != 0)
		return "a session frame on a stream";
	if (r->on == ON_STREAM && id == 0)
		return "a stream frame on stream 0";
	if (id > LIMIT_STREAM_ID)
		return "a stream ID of 2^31 or more";
	if ((r->way == TO_CLIENT && !to_client) || (r->way == TO_SERVER && to_client))
		return "a frame in the wrong direction";
	if (len < r->min || len > r->max)
		return r->bad_len;
	return NULL;
}

static void get_addr(struct ipaddr *a, uint8_t family, const uint8_t *p)
{
	memset(a, 0, sizeof(*a));
	a->family = family;
	memcpy(a->bytes, p, addr_len(family));
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static bool name_ok(const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'z') ||
		      (p[i] >= 'A' && p[i] <= 'Z') || p[i] == '-' || p[i] == '_' || p[i] == '.'))
			return false;
	return len > 0 && len <= FRAME_NAME;
}

static const char *decode_tlv(struct mux_open *o, uint8_t type, const uint8_t *p, size_t len)
{
	switch (type) {
	case TLV_NAME:
		if (!name_ok(p, len)) {
			o->bad_name = true;
			break;
		}
		memcpy(o->name, p, len);
		o->name[len] = '\0';
		break;
	case TLV_APP:
		if (len > FRAME_APP || memchr(p, '\0', len))
			return "OPEN with a bad app identifier";
		memcpy(o->app, p, len);
		o->app[len] = '\0';
		break;
	case TLV_SOURCE_PORT:
		if (len != 2)
			return "OPEN with a bad source port";
		o->source_port = get16(p);
		break;
	}
	return NULL;
}

static const char *decode_tlvs(struct mux_open *o, const uint8_t *p, size_t left)
{
	uint32_t seen[256 / 32] = { 0 };
	const char *err;
	uint16_t len;
	uint8_t type;

	if (left > FRAME_TLVS)
		return "OPEN with over 1 KiB of TLVs";
	while (left) {
		if (left < 3)
			return "OPEN with a cut TLV";
		type = p[0];
		len = get16(p + 1);
		if (len > left - 3)
			return "OPEN with a cut TLV";
		if (seen[type / 32] & 1u << type % 32)
			return "OPEN with a repeated TLV";
		seen[type / 32] |= 1u << type % 32;
		err = decode_tlv(o, type, p + 3, len);
		if (err)
			return err;
		p += 3 + len;
		left -= 3u + len;
	}
	return NULL;
}

static const char *decode_open(struct frame *f, const uint8_t *p)
{
	struct mux_open *o = &f->u.open.open;
	const char *err;
	size_t alen, head;
	uint8_t family = p[1];

	if (family != 0 && family != 4 && family != 6)
		return "OPEN with an unknown family";
	alen = addr_len(family);
	head = OPEN_HEAD + alen + 4;
	if (f->len < head)
		return "OPEN of a wrong length";
	memset(o, 0, sizeof(*o));
	o->proto = p[0];
	o->port = get16(p + 2);
	get_addr(&o->addr, family, p + OPEN_HEAD);
	f->u.open.window = get32(p + OPEN_HEAD + alen);
	if (f->u.open.window >= LIMIT_WINDOW_SUM)
		return "OPEN with a window of 2^31 or more";
	if (o->proto == MUX_UDP || o->proto == MUX_ICMP || o->proto == MUX_ICMP6) {
		if (!family)
			return "an association without a family";
		if ((o->proto == MUX_ICMP && family != 4) || (o->proto == MUX_ICMP6 && family != 6))
			return "an ICMP association of the other family";
		if (o->port || f->u.open.window || !all_zero(o->addr.bytes, sizeof(o->addr.bytes)))
			return "an association with an address, a port or a window";
	}
	err = decode_tlvs(o, p + head, f->len - head);
	if (!err && !family && !o->name[0])
		o->bad_name = true;	/* neither name nor address */
	return err;
}

static const char *decode_opened(struct frame *f, const uint8_t *p)
{
	uint8_t family = p[4];

	if (family != 0 && family != 4 && family != 6)
		return "OPENED with an unknown family";
	if (f->len != 7 + addr_len(family))
		return "OPENED of a wrong length";
	f->u.opened.window = get32(p);
	if (f->u.opened.window >= LIMIT_WINDOW_SUM)
		return "OPENED with a window of 2^31 or more";
	f->u.opened.port = get16(p + 5);
	get_addr(&f->u.opened.addr, family, p + 7);
	return NULL;
}

/* The part that DGRAM and DGRAM_ERROR share.  @rest: bytes behind the address */
static const char *decode_dgram_head(struct frame *f, const uint8_t *p, struct mux_dgram *d,
				     size_t *rest)
{
	uint8_t family = p[0];

	if (family != 4 && family != 6)
		return "a datagram of an unknown family";
	if (p[1] || p[6] || p[7])
		return "a datagram with a reserved byte that is not zero";
	if (f->len < DGRAM_HEAD + addr_len(family))
		return "a datagram that is too short for its address";
	d->port = get16(p + 2);
	d->segment = get16(p + 4);
	get_addr(&d->addr, family, p + DGRAM_HEAD);
	*rest = f->len - DGRAM_HEAD - addr_len(family);
	return NULL;
}

static const char *decode_dgram(struct frame *f, const uint8_t *p)
{
	struct mux_dgram *d = &f->u.dgram;
	const char *err = decode_dgram_head(f, p, d, &f->data_len);

	if (err)
		return err;
	f->data = p + f->len - f->data_len;
	if (d->segment && !f->data_len)
		return "a segment size with empty data";
	if (d->segment && f->data_len > (size_t)d->segment * FRAME_SEGMENTS)
		return "over 64 datagrams in one DGRAM";
	return NULL;
}

static const char *decode_dgram_error(struct frame *f, const uint8_t *p)
{
	struct mux_dgram *d = &f->u.error.at;
	uint32_t least;
	size_t rest;
	const char *err = decode_dgram_head(f, p, d, &rest);

	if (err)
		return err;
	if (rest != DGRAM_ERROR_TAIL)
		return "DGRAM_ERROR of a wrong length";
	if (d->segment)
		return "DGRAM_ERROR with a segment size";
	p += f->len - DGRAM_ERROR_TAIL;
	if (p[2] || p[3])
		return "DGRAM_ERROR with a reserved byte that is not zero";
	f->u.error.type = p[0];
	f->u.error.code = p[1];
	least = d->addr.family == 4 ? MTU_MIN_4 : MTU_MIN_6;
	f->u.error.mtu = get32(p + 4);
	if (f->u.error.mtu < least)
		f->u.error.mtu = least;
	return NULL;
}

static const char *decode_credit(struct frame *f, const uint8_t *p)
{
	f->u.credit = get32(p);
	if (f->u.credit == 0)
		return f->type == FRAME_WINDOW ? "WINDOW of 0" : "RETURN of 0";
	if (f->u.credit >= LIMIT_WINDOW_SUM)
		return f->type == FRAME_WINDOW ? "WINDOW of 2^31 or more" :
		       "RETURN of 2^31 or more";
	return NULL;
}

static const char *decode_payload(struct frame *f, const uint8_t *p, bool to_client)
{
	f->data = p;
	f->data_len = f->len;
	if (f->type >= FRAME_SKIPPED)
		return NULL;
	switch ((enum frame_type)f->type) {
	case FRAME_CONFIG:
	case FRAME_DATA:
	case FRAME_FIN:
	case FRAME_SKIPPED:
		return NULL;
	case FRAME_OPEN:
		return decode_open(f, p);
	case FRAME_OPENED:
		return decode_opened(f, p);
	case FRAME_REFUSED:
		f->u.reason = p[0] < MUX_REF_CONN || p[0] > MUX_REF_UNSUPPORTED ?
			MUX_REF_HOST : p[0];
		return NULL;
	case FRAME_RESET:
		f->u.reason = p[0] < MUX_RST_RESET || p[0] > MUX_RST_SESSION ?
			MUX_RST_RESET : p[0];
		return NULL;
	case FRAME_WINDOW:
	case FRAME_RETURN:
		return decode_credit(f, p);
	case FRAME_DGRAM:
		return decode_dgram(f, p);
	case FRAME_DGRAM_ERROR:
		return decode_dgram_error(f, p);
	case FRAME_ACK:
	case FRAME_PROBE:
	case FRAME_PROBE_REPLY:
		f->u.number = get64(p);
		return NULL;
	case FRAME_GOAWAY:
		f->u.goaway.reason = get16(p);
		f->u.goaway.last = get32(p + 2);
		if (f->u.goaway.reason > MUX_INTERNAL)
			f->u.goaway.reason = MUX_INTERNAL;
		f->data = p + 6;
		f->data_len = f->len - 6;
		if (!to_client && f->u.goaway.reason != MUX_BYE &&
		    f->u.goaway.reason != MUX_PROTOCOL_ERROR)
			return "a GOAWAY that only Sentry may send";
		return NULL;
	}
	return "an unknown frame type below 0x80";
}

int frame_decode(const uint8_t *buf, size_t len, bool to_client, struct frame *f,
		 const char **why)
{
	const char *err;

	if (len < LIMIT_FRAME_HEADER)
		return 0;
	f->type = buf[0];
	f->len = get24(buf + 1);
	f->id = get32(buf + 4);
	err = check_header(f->type, f->len, f->id, to_client);
	if (err)
		goto bad;
	if (len - LIMIT_FRAME_HEADER < f->len)
		return 0;
	f->counted = frame_counted(f->type);
	err = decode_payload(f, buf + LIMIT_FRAME_HEADER, to_client);
	if (err)
		goto bad;
	return (int)(LIMIT_FRAME_HEADER + f->len);
bad:
	*why = err;
	return -EPROTO;
}

/* ---- writers ------------------------------------------------------ */

void frame_header(uint8_t *p, uint8_t type, uint32_t payload, uint32_t id)
{
	put32(p, (uint32_t)type << 24 | payload);
	put32(p + 4, id);
}

static uint8_t *put_addr(uint8_t *p, const struct ipaddr *a)
{
	size_t len = addr_len(a->family);

	memcpy(p, a->bytes, len);
	return p + len;
}

static uint8_t *put_tlv(uint8_t *p, uint8_t type, const void *data, size_t len)
{
	p[0] = type;
	put16(p + 1, (uint16_t)len);
	memcpy(p + 3, data, len);
	return p + 3 + len;
}

size_t frame_put_open(uint8_t *p, uint32_t id, const struct mux_open *open, uint32_t window)
{
	uint8_t *q = p + LIMIT_FRAME_HEADER, port[2];
	size_t len;

	*q++ = open->proto;
	*q++ = open->addr.family;
	put16(q, open->port);
	q = put_addr(q + 2, &open->addr);
	put32(q, window);
	q += 4;
	len = strnlen(open->name, sizeof(open->name) - 1);
	if (len)
		q = put_tlv(q, TLV_NAME, open->name, len);
	len = strnlen(open->app, sizeof(open->app) - 1);
	if (len)
		q = put_tlv(q, TLV_APP, open->app, len);
	if (open->source_port) {
		put16(port, open->source_port);
		q = put_tlv(q, TLV_SOURCE_PORT, port, sizeof(port));
	}
	frame_header(p, FRAME_OPEN, (uint32_t)(q - p) - LIMIT_FRAME_HEADER, id);
	return (size_t)(q - p);
}

size_t frame_put_opened(uint8_t *p, uint32_t id, const struct ipaddr *local, uint16_t port,
			uint32_t window)
{
	uint8_t *q = p + LIMIT_FRAME_HEADER;

	put32(q, window);
	q[4] = local->family;
	put16(q + 5, port);
	q = put_addr(q + 7, local);
	frame_header(p, FRAME_OPENED, (uint32_t)(q - p) - LIMIT_FRAME_HEADER, id);
	return (size_t)(q - p);
}

size_t frame_put_reason(uint8_t *p, uint8_t type, uint32_t id, uint8_t reason)
{
	frame_header(p, type, 1, id);
	p[LIMIT_FRAME_HEADER] = reason;
	return LIMIT_FRAME_HEADER + 1;
}

size_t frame_put_credit(uint8_t *p, uint8_t type, uint32_t id, uint32_t credit)
{
	frame_header(p, type, 4, id);
	put32(p + LIMIT_FRAME_HEADER, credit);
	return LIMIT_FRAME_HEADER + 4;
}

size_t frame_put_number(uint8_t *p, uint8_t type, uint64_t number)
{
	frame_header(p, type, 8, 0);
	put64(p + LIMIT_FRAME_HEADER, number);
	return LIMIT_FRAME_HEADER + 8;
}

size_t frame_put_goaway(uint8_t *p, uint16_t reason, uint32_t last, const char *text)
{
	size_t len = text ? strnlen(text, FRAME_GOAWAY_TEXT) : 0;

	frame_header(p, FRAME_GOAWAY, (uint32_t)(6 + len), 0);
	put16(p + LIMIT_FRAME_HEADER, reason);
	put32(p + LIMIT_FRAME_HEADER + 2, last);
	if (len)
		memcpy(p + LIMIT_FRAME_HEADER + 6, text, len);
	return LIMIT_FRAME_HEADER + 6 + len;
}

static uint8_t *put_dgram_head(uint8_t *q, const struct mux_dgram *d, uint16_t segment)
{
	q[0] = d->addr.family;
	q[1] = 0;
	put16(q + 2, d->port);
	put16(q + 4, segment);
	put16(q + 6, 0);
	return put_addr(q + DGRAM_HEAD, &d->addr);
}

size_t frame_put_dgram(uint8_t *p, uint32_t id, const struct mux_dgram *d, size_t len)
{
	uint8_t *q = put_dgram_head(p + LIMIT_FRAME_HEADER, d, d->segment);
	size_t head = (size_t)(q - p);

	frame_header(p, FRAME_DGRAM, (uint32_t)(head - LIMIT_FRAME_HEADER + len), id);
	return head;
}

size_t frame_put_dgram_error(uint8_t *p, uint32_t id, const struct mux_dgram *at,
			     uint8_t type, uint8_t code, uint32_t mtu)
{
	uint8_t *q = put_dgram_head(p + LIMIT_FRAME_HEADER, at, 0);

	q[0] = type;
	q[1] = code;
	put16(q + 2, 0);
	put32(q + 4, mtu);
	q += DGRAM_ERROR_TAIL;
	frame_header(p, FRAME_DGRAM_ERROR, (uint32_t)(q - p) - LIMIT_FRAME_HEADER, id);
	return (size_t)(q - p);
}
