/* SPDX-License-Identifier: MIT */
/*
 * retry.h - why a connection could not be or ended, what exit code and retry
 * class that is, and when to dial again (docs/protocol.md, 2).  Pure.
 */
#ifndef APPTUNNEL_RETRY_H
#define APPTUNNEL_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum retry_class { RETRY_NETWORK, RETRY_REFUSED, RETRY_TRUST, RETRY_BROKEN };

enum cause {
	CAUSE_NONE,
	/* network */
	CAUSE_RESOLVE, CAUSE_CONNECT, CAUSE_TLS_IO, CAUSE_TIMEOUT, CAUSE_CUT,
	CAUSE_PROBES, CAUSE_BUSY, CAUSE_DRAINING, CAUSE_GOAWAY_BYE, CAUSE_GOAWAY_INTERNAL,
	CAUSE_REPLACED, CAUSE_ODD_ANSWER,
	/* refused */
	CAUSE_BAD_REQUEST, CAUSE_CERT_UNKNOWN, CAUSE_IDENTITY_MISMATCH, CAUSE_CERT_REFUSED,
	CAUSE_DEVICE_UNKNOWN, CAUSE_DEVICE_BLOCKED, CAUSE_DEVICE_NOT_ENROLLED,
	CAUSE_DEVICE_NOT_COMPLIANT, CAUSE_USER_BLOCKED, CAUSE_SERVICE_DENIED,
	CAUSE_SERVICE_UNKNOWN, CAUSE_UPGRADE, CAUSE_REVOKED, CAUSE_PROTOCOL,
	/* trust */
	CAUSE_PIN, CAUSE_CHAIN, CAUSE_NAME, CAUSE_DATES, CAUSE_TLS_VERSION,
	/* broken */
	CAUSE_PROFILE, CAUSE_IDENTITY,
	CAUSES
};

struct cause_info {
	const char *code;	/* stable, lower-case with underscores */
	enum retry_class class;
	int exit;		/* published exit code */
	const char *text;	/* one sentence: what happened and what to do */
};
const struct cause_info *cause_info(enum cause c);	/* static, never NULL */

/* cause_of_refusal() - HTTP status and error code of a refusal to a cause */
enum cause cause_of_refusal(int status, const char *code);

struct retry {
	uint64_t not_before;	/* Retry-After, us */
	uint64_t next;		/* when to dial, us; UINT64_MAX: only when told */
	uint64_t up_since;	/* 0: not up */
	uint32_t round;		/* rounds over all Hosts in vain */
	uint32_t host, n_hosts;	/* next Host to dial */
	uint32_t round_start;	/* Host with which this outage began */
	bool at_once_used;	/* the immediate retry of this outage was spent */
	uint32_t odd_answers, protocol_errors;	/* in a row */
	enum retry_class class;
};
/* retry_init() - the first dial is due at once, with Host 0 */
void retry_init(struct retry *r, uint32_t n_hosts, uint64_t now);
void retry_up(struct retry *r, uint64_t now);	/* the session came up */
/*
 * retry_failed() - the attempt or the connection ended
 * @random: 32 random bits (jitter)
 * @retry_after_s: of the answer, 0: none
 * Return: the class as judged (network causes that repeat may become refused)
 */
enum retry_class retry_failed(struct retry *r, enum cause c, uint32_t retry_after_s,
			      uint32_t random, uint64_t now);
/*
 * retry_kick() - explicit connect, network or profile change: dial now (not
 * before Retry-After, if the last answer named one)
 */
void retry_kick(struct retry *r, uint64_t now);

#endif
