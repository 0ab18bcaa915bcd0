/* SPDX-License-Identifier: MIT */
/*
 * limits.h - every bound, time-out and buffer size of engine and wire, with
 * its unit in the name and the reason beside it.  Sections are those of
 * docs/protocol.md.
 */
#ifndef APPTUNNEL_LIMITS_H
#define APPTUNNEL_LIMITS_H

#include <stdint.h>

#define USEC_PER_MSEC		UINT64_C(1000)
#define USEC_PER_SEC		UINT64_C(1000000)

/* Dialling (section 1, 2) */
#define LIMIT_CONNECT_US	(10 * USEC_PER_SEC)	/* an address */
#define LIMIT_TLS_US		(10 * USEC_PER_SEC)
#define LIMIT_ANSWER_US		(10 * USEC_PER_SEC)	/* 101 and CONFIG together */
#define LIMIT_RESOLVE_US	(10 * USEC_PER_SEC)
#define LIMIT_RACE_US		(250 * USEC_PER_MSEC)	/* RFC 8305 connection attempt delay */
#define LIMIT_RESOLVE_DELAY_US	(50 * USEC_PER_MSEC)	/* RFC 8305: A waits for AAAA */
#define LIMIT_STARVED_US	(10 * USEC_PER_MSEC)	/* no socket in the stock: ask again */
#define LIMIT_HTTP_HEAD		16384	/* bytes */
#define LIMIT_HTTP_BODY		16384	/* bytes */
#define LIMIT_HTTP_LINES	64
#define LIMIT_CONFIG		16384	/* bytes of CONFIG */
#define LIMIT_CONFIG_US		(1 * USEC_PER_SEC)	/* between two that are applied (section 3) */
#define LIMIT_BACKOFF_FIRST_US	(500 * USEC_PER_MSEC)
#define LIMIT_BACKOFF_MAX_US	(60 * USEC_PER_SEC)
#define LIMIT_BACKOFF_RESUME_US	(5 * USEC_PER_SEC)	/* while a session can be resumed */
#define LIMIT_STABLE_US		(60 * USEC_PER_SEC)	/* lived so long: back-off starts anew */
#define LIMIT_REFUSED_US	(900 * USEC_PER_SEC)	/* +- 10 % */

#define LIMIT_RELOAD_AGAIN_US	(2 * USEC_PER_SEC)	/* all its Hosts in vain: once more */

#define LIMIT_UNSAID_US		(100 * USEC_PER_MSEC)	/* the daemon's socket was full */
#define LIMIT_USAGE_US		(60 * USEC_PER_SEC)	/* the daemon hears of usage so often */

/* Frames (section 3) */
#define LIMIT_FRAME_HEADER	8
#define LIMIT_PAYLOAD		65536
#define LIMIT_DATA		16376	/* + header = one TLS record */
#define LIMIT_STREAM_ID		0x7fffffffu
#define LIMIT_OPENS_PENDING	1024	/* unanswered on the wire */
#define LIMIT_OPENS_PENDING_PEER 2048	/* a server's patience */
#define LIMIT_OPENS_HELD	4096	/* more wait, SYN held */
#define LIMIT_SYN_HELD_US	(10 * USEC_PER_SEC)	/* without a session */
#define LIMIT_PROBES_PER_S	10

/* Flow control (section 4) */
#define LIMIT_BUDGET		(128u << 20)	/* bytes a receiver has outstanding */
#define LIMIT_WINDOW_FLOOR	1024
#define LIMIT_WINDOW_FIRST	(16u << 10)
#define LIMIT_WINDOW_MAX	(16u << 20)
#define LIMIT_WINDOW_SUM	0x80000000u
#define LIMIT_RETURN_US		(1 * USEC_PER_SEC)	/* idle so long: give credit back */
#define LIMIT_DGRAM_AGE_US	(100 * USEC_PER_MSEC)
#define LIMIT_DGRAM_MAX_AGE_US	(2 * USEC_PER_SEC)
#define LIMIT_DGRAM_QUEUE	16384	/* bytes an association may have waiting past that age */

/* Store and ACK (section 5) */
#define LIMIT_STORE		(32u << 20)
#define LIMIT_STORE_RESERVE	(64u << 10)	/* not for data */
#define LIMIT_CHUNK		(64u << 10)
#define LIMIT_ACK_BYTES		(64u << 10)
#define LIMIT_ACK_US		(100 * USEC_PER_MSEC)
#define LIMIT_BURST		(1u << 20)	/* bytes read before anything else is served */

/* The connection's socket (sections 4, 5) */
#define LIMIT_LOWAT_MIN		(16u << 10)	/* bytes the kernel holds unsent */
#define LIMIT_LOWAT_MAX		(256u << 10)
#define LIMIT_KEEPALIVE_S	60		/* then every LIMIT_KEEPALIVE_NEXT_S */
#define LIMIT_KEEPALIVE_NEXT_S	15
#define LIMIT_KEY_BYTES		(64ull << 30)	/* sent under one key */
#define LIMIT_RECORD		16384		/* plaintext bytes of a TLS record */
#define LIMIT_RECORD_EXTRA	256		/* header, tag and padding of one, with room to spare */
#define LIMIT_TLS_BATCH		(128u << 10)	/* bytes of records that are sent by one send() */
#define LIMIT_PEM		(1u << 20)	/* bytes of an identity or pin file */
#define LIMIT_CA		(8u << 20)	/* bytes of a CA bundle */

/* Associations */
#define LIMIT_ASSOC_IDLE_US	(300 * USEC_PER_SEC)
#define LIMIT_ASSOC_DNS_US	(20 * USEC_PER_SEC)	/* only port 53 was used */
#define LIMIT_ASSOC_PEERS	256
#define LIMIT_DIRECT_SOCKETS	1024

#endif
