/* SPDX-License-Identifier: MIT */
/*
 * handshake.h - the POST and its answer (docs/protocol.md, 2 and 8), sans I/O,
 * both sides.
 */
#ifndef APPTUNNEL_HANDSHAKE_H
#define APPTUNNEL_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/limits.h"
#include "profiles/addr.h"

#define ATP_SESSION_ID	16		/* raw bytes */

struct atp_request {
	char host[262];			/* value of Host: */
	char device_id[1024], user_id[1024];
	char service[129];
	char platform[16];
	char client[64];		/* NAME/VERSION, also User-Agent */
	uint32_t tcp_idle_ms;		/* X-App-TcpIdleTimeoutMs; 0: header absent */
	bool resume;			/* the rest only when set */
	uint8_t session[ATP_SESSION_ID];
	uint64_t received;
	uint32_t attempt;
	uint8_t proof[32];
};

/* Client: write the request.  Return: length, or -ENOSPC, -EINVAL (a value
 * that must not stand in a header) */
int atp_request_write(const struct atp_request *r, char *buf, size_t size);

enum atp_answer_kind {
	ATP_ANSWER_MORE,	/* feed more bytes */
	ATP_ANSWER_ACCEPTED,	/* 101 */
	ATP_ANSWER_REFUSED,	/* status, code, message */
	ATP_ANSWER_BAD,		/* not HTTP, or against the rules: reason in message */
};

struct atp_answer {
	enum atp_answer_kind kind;
	int status;			/* HTTP status */
	uint8_t session[ATP_SESSION_ID];
	bool resumed;
	uint64_t received;
	char code[64];			/* "error" of the body, "" when absent */
	char message[201];		/* printable, cut to 200 */
	uint32_t retry_after_s;		/* 0: none; else 1..300 */
};

/* Client: incremental reader of the answer's head (and body of a refusal). */
struct atp_answer_reader {
	char buf[LIMIT_HTTP_HEAD + LIMIT_HTTP_BODY];
	size_t len, head_len;
	size_t body_len;		/* Content-Length once the head was read */
	struct atp_answer answer;
};
void atp_answer_init(struct atp_answer_reader *r);
/*
 * atp_answer_feed() - give bytes
 * @used: bytes that belonged to the answer; after ACCEPTED the rest are frames
 * Return: the kind; final unless MORE.  At end of file call with len 0:
 * MORE then means a cut answer
 */
enum atp_answer_kind atp_answer_feed(struct atp_answer_reader *r, const uint8_t *data,
				     size_t len, size_t *used);

/* Server: incremental reader of the request. */
struct atp_request_reader {
	char buf[LIMIT_HTTP_HEAD + LIMIT_HTTP_BODY];
	size_t len, head_len, body_len;
	struct atp_request request;
	int status;			/* 0: good; else the refusal's status */
	char error[64];			/* its code */
	char message[128];
};
void atp_request_init(struct atp_request_reader *r);
/* Return: 0 more, 1 complete (status tells good or refusal) */
int atp_request_feed(struct atp_request_reader *r, const uint8_t *data, size_t len);

/* Server: write the answers.  Return: length or -ENOSPC */
int atp_accept_write(char *buf, size_t size, const uint8_t session[ATP_SESSION_ID],
		     bool resumed, uint64_t received);
int atp_refuse_write(char *buf, size_t size, int status, const char *code,
		     const char *message, uint32_t retry_after_s);

/* ---- CONFIG (section 8) ------------------------------------------- */

#define ATP_CONFIG_DNS		8
#define ATP_CONFIG_SEARCH	32

struct atp_config {
	struct ipaddr interface4, interface6;	/* family 0: not given */
	uint32_t n_dns, n_search;
	struct ipaddr dns[ATP_CONFIG_DNS];
	char search[ATP_CONFIG_SEARCH][254];
	uint16_t mtu;				/* default 1400; below 1280 reads 1280 */
	uint32_t resume_window_s;		/* default 120 */
	char resume_host[270];			/* "" when absent or left out */
	uint32_t max_streams;			/* default 65536 */
};

/*
 * atp_config_parse() - read Sentry's CONFIG
 * @why: on -EPROTO what is wrong; on success the warnings, ';'-separated, or ""
 * Return: 0, -EPROTO
 */
int atp_config_parse(const char *json, size_t len, struct atp_config *out,
		     char *why, size_t why_size);
/* Return: length or -ENOSPC */
int atp_config_write(const struct atp_config *c, char *buf, size_t size);

#endif
