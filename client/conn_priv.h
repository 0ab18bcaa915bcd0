/* SPDX-License-Identifier: MIT */
/*
 * conn_priv.h - the inside of a connection; private to conn.c (until it is
 * live) and conn_live.c (what it says of itself, bytes in and out).
 */
#ifndef APPTUNNEL_CONN_PRIV_H
#define APPTUNNEL_CONN_PRIV_H

#include "client/conn.h"
#include "client/limits.h"
#include "client/race.h"
#include "client/resolve.h"
#include "client/tls.h"

struct conn {
	struct conn_env env;
	uint32_t host;
	const struct profile_host *h;
	enum conn_stage stage;
	uint64_t by;			/* the present stage must be over: us */
	enum cause cause;
	uint32_t retry_after_s;
	char why[TLS_WHY];

	struct lookup lookup;
	unsigned int taken;		/* of the lookup's addresses */
	struct race race;
	struct loop_src tries[RACE_MAX];	/* as race.list; fd -1: none */
	uint64_t starved_since;		/* the stock has been empty; 0: no */

	struct loop_src src;		/* the connection that stands */
	struct ipaddr peer;
	struct tls *tls;
	uint32_t lowat;
	bool keepalive;
	char request[LIMIT_HTTP_HEAD + LIMIT_HTTP_BODY];
	size_t request_len, request_sent;
	struct atp_answer_reader reader;
	uint8_t early[LIMIT_RECORD];	/* frames that came behind the 101 */
	size_t early_at, early_len;
};

#endif
