/* SPDX-License-Identifier: MIT */
/*
 * handshake.c - the POST and its answer: writers and incremental readers for
 * client and server.  No descriptors, no allocation that outlives a call.
 */
#include "client/atp/handshake.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/atp/http1.h"

#define ATP_PATH	"/atp/1/session"
#define ATP_UPGRADE	"atp/1"
#define SESSION_TEXT	23		/* 16 bytes as BASE64URL, with NUL */
#define PROOF_TEXT	44		/* 32 bytes */
#define MESSAGE_MAX	200		/* of a refusal, characters shown */
#define RETRY_AFTER_MAX	300u

static int format(char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int format(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= size ? -ENOSPC : n;
}

/* Append @len bytes of a body behind the @used bytes of a head. */
static int append(char *buf, size_t size, int used, const char *body, size_t len)
{
	if (used < 0)
		return used;
	if (len > LIMIT_HTTP_BODY || len > size - (size_t)used)
		return -ENOSPC;
	memcpy(buf + used, body, len);
	return used + (int)len;
}

/* ---- client: writing ---------------------------------------------- */

static json_t *request_json(const struct atp_request *r)
{
	char session[SESSION_TEXT], proof[PROOF_TEXT];
	json_t *root, *resume;

	root = json_pack("{s:s, s:s, s:s, s:s, s:s}", "device_id", r->device_id,
			 "user_id", r->user_id, "service_id", r->service,
			 "platform", r->platform, "client", r->client);
	if (!root || !r->resume)
		return root;
	base64url_encode(r->session, sizeof(r->session), session);
	base64url_encode(r->proof, sizeof(r->proof), proof);
	resume = json_pack("{s:s, s:I, s:I, s:s}", "session", session,
			   "attempt", (json_int_t)r->attempt,
			   "received", (json_int_t)r->received, "proof", proof);
	if (!resume || json_object_set_new(root, "resume", resume) < 0) {
		json_decref(root);
		return NULL;
	}
	return root;
}

int atp_request_write(const struct atp_request *r, char *buf, size_t size)
{
	char body[LIMIT_HTTP_BODY], idle[64] = "";
	json_t *root;
	size_t len;
	int n;

	if (!*r->host || !http_value_ok(r->host) || !*r->client || !http_value_ok(r->client))
		return -EINVAL;
	root = request_json(r);		/* NULL: not UTF-8 (or no memory) */
	if (!root)
		return -EINVAL;
	len = json_dumpb(root, body, sizeof(body), JSON_COMPACT);
	json_decref(root);
	if (!len || len > sizeof(body))
		return -ENOSPC;
	if (r->tcp_idle_ms) {
		n = format(idle, sizeof(idle), "X-App-TcpIdleTimeoutMs: %" PRIu32 "\r\n",
			   r->tcp_idle_ms);
		if (n < 0)
			return n;
	}
	n = format(buf, size,
		   "POST " ATP_PATH " HTTP/1.1\r\n"
		   "Host: %s\r\n"
		   "User-Agent: %s\r\n"
		   "Connection: Upgrade\r\n"
		   "Upgrade: " ATP_UPGRADE "\r\n"
		   "Content-Type: application/json\r\n"
		   "Content-Length: %zu\r\n"
		   "%s\r\n", r->host, r->client, len, idle);
	return append(buf, size, n, body, len);
}

/* ---- client: reading the answer ----------------------------------- */

void atp_answer_init(struct atp_answer_reader *r)
{
	r->len = r->head_len = r->body_len = 0;
	memset(&r->answer, 0, sizeof(r->answer));
}

static enum atp_answer_kind answer_bad(struct atp_answer_reader *r, const char *why)
{
	r->answer.kind = ATP_ANSWER_BAD;
	/* a constant sentence of ours, always shorter */
	(void)format(r->answer.message, sizeof(r->answer.message), "%s", why);
	return ATP_ANSWER_BAD;
}

/* "HTTP/1.1 101 Switching Protocols".  Return: the status, or -EPROTO */
static int status_line(const char *line)
{
	int status = 0, i;

	if (strncmp(line, "HTTP/1.1 ", 9) != 0 && strncmp(line, "HTTP/1.0 ", 9) != 0)
		return -EPROTO;
	for (i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -EPROTO;
		status = status * 10 + (line[i] - '0');
	}
	if ((line[12] != ' ' && line[12] != '\0') || status < 100)
		return -EPROTO;
	if (status < 200 && line[7] != '1')
		return -EPROTO;	/* no upgrade in HTTP/1.0 */
	return status;
}

static enum atp_answer_kind answer_accepted(struct atp_answer_reader *r,
					    const struct http_head *h)
{
	struct atp_answer *a = &r->answer;
	const char *session, *resumed, *received;
	unsigned int n[3];

	if (!http_has_token(h, "Connection", "upgrade") ||
	    !http_has_token(h, "Upgrade", ATP_UPGRADE))
		return answer_bad(r, "101 without Connection: Upgrade and Upgrade: atp/1");
	session = http_find(h, "ATP-Session", &n[0]);
	resumed = http_find(h, "ATP-Resumed", &n[1]);
	received = http_find(h, "ATP-Received", &n[2]);
	if (n[0] != 1 || n[1] != 1 || n[2] != 1)
		return answer_bad(r, "101 without exactly one of each ATP header");
	if (base64url_decode(session, a->session, ATP_SESSION_ID) < 0)
		return answer_bad(r, "malformed ATP-Session");
	if (strcmp(resumed, "0") != 0 && strcmp(resumed, "1") != 0)
		return answer_bad(r, "malformed ATP-Resumed");
	if (http_decimal(received, INT64_MAX, &a->received) < 0)
		return answer_bad(r, "malformed ATP-Received");
	a->resumed = *resumed == '1';
	if (!a->resumed && a->received != 0)
		return answer_bad(r, "a new session with ATP-Received other than 0");
	a->kind = ATP_ANSWER_ACCEPTED;
	return a->kind;
}

static enum atp_answer_kind answer_head(struct atp_answer_reader *r)
{
	struct atp_answer *a = &r->answer;
	struct http_head h;
	const char *why = "", *value;
	uint64_t n;

	if (http_parse(r->buf, r->head_len, &h, &why) < 0)
		return answer_bad(r, why);
	a->status = status_line(h.first);
	if (a->status < 0) {
		a->status = 0;
		return answer_bad(r, "not an HTTP/1.1 status line");
	}
	if (a->status == 101)
		return answer_accepted(r, &h);
	if (a->status < 200)
		return answer_bad(r, "an interim answer other than 101");
	value = http_find(&h, "Retry-After", NULL);
	if (value && http_decimal(value, UINT32_MAX, &n) == 0)
		a->retry_after_s = n < 1 ? 1 : n > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (uint32_t)n;
	value = http_find(&h, "Content-Length", NULL);
	if (value) {
		if (http_decimal(value, UINT64_MAX, &n) < 0)
			return answer_bad(r, "malformed Content-Length");
		if (n > LIMIT_HTTP_BODY)
			return answer_bad(r, "the body is over 16 KiB");
		r->body_len = n;
	}
	return ATP_ANSWER_MORE;
}

/* Text of a peer, made fit for a terminal. */
static void copy_printable(char *out, size_t size, const char *text)
{
	size_t n;

	for (n = 0; text[n] && n + 1 < size; n++)
		out[n] = text[n] >= 0x20 && text[n] <= 0x7e ? text[n] : '?';
	out[n] = '\0';
}

static enum atp_answer_kind answer_body(struct atp_answer_reader *r)
{
	struct atp_answer *a = &r->answer;
	const char *why = "", *text;
	json_t *root;

	a->kind = ATP_ANSWER_REFUSED;
	/* A gateway in between answers in HTML: then only the status counts. */
	root = http_json(r->buf + r->head_len, r->body_len, &why);
	if (!root)
		return a->kind;
	text = json_string_value(json_object_get(root, "error"));
	if (text)
		copy_printable(a->code, sizeof(a->code), text);
	text = json_string_value(json_object_get(root, "message"));
	if (text)
		copy_printable(a->message, sizeof(a->message), text);
	json_decref(root);
	return a->kind;
}

_Static_assert(sizeof(((struct atp_answer *)0)->message) == MESSAGE_MAX + 1,
	       "the text of a refusal is shown cut to 200 characters");

enum atp_answer_kind atp_answer_feed(struct atp_answer_reader *r, const uint8_t *data,
				     size_t len, size_t *used)
{
	enum atp_answer_kind kind;
	const char *why = "";
	size_t take, before;
	int found;

	*used = 0;
	if (r->answer.kind != ATP_ANSWER_MORE)
		return r->answer.kind;
	if (r->head_len == 0) {
		before = r->len;
		take = len < LIMIT_HTTP_HEAD - before ? len : LIMIT_HTTP_HEAD - before;
		memcpy(r->buf + before, data ? data : (const uint8_t *)"", take);
		found = http_scan(r->buf, before + take, before, &r->head_len, &why);
		if (found < 0)
			return answer_bad(r, why);
		r->len = found ? r->head_len : before + take;
		*used = r->len - before;
		if (!found)
			return ATP_ANSWER_MORE;
		kind = answer_head(r);
		if (kind != ATP_ANSWER_MORE)
			return kind;
	}
	take = r->head_len + r->body_len - r->len;
	if (take > len - *used)
		take = len - *used;
	if (take)
		memcpy(r->buf + r->len, data + *used, take);
	r->len += take;
	*used += take;
	if (r->len < r->head_len + r->body_len)
		return ATP_ANSWER_MORE;
	return answer_body(r);
}

/* ---- server: reading the request ---------------------------------- */

void atp_request_init(struct atp_request_reader *r)
{
	r->len = r->head_len = r->body_len = 0;
	r->status = 0;
	r->error[0] = r->message[0] = '\0';
	memset(&r->request, 0, sizeof(r->request));
}

/* Return: always 1 (complete), so that callers can end with it */
static int request_refuse(struct atp_request_reader *r, int status, const char *why)
{
	r->status = status;
	(void)format(r->error, sizeof(r->error), "%s",
		     status == 426 ? "upgrade_required" : "bad_request");
	(void)format(r->message, sizeof(r->message), "%s", why);
	return 1;
}

/* Return: 0 go on with the body, 1 refused */
static int request_head(struct atp_request_reader *r)
{
	struct http_head h;
	const char *why = "", *value;
	unsigned int count;
	uint64_t n;

	if (http_parse(r->buf, r->head_len, &h, &why) < 0)
		return request_refuse(r, 400, why);
	if (strcmp(h.first, "POST " ATP_PATH " HTTP/1.1") != 0)
		return request_refuse(r, 400, "expected POST " ATP_PATH " HTTP/1.1");
	value = http_find(&h, "Host", &count);
	if (count != 1 || !*value ||
	    format(r->request.host, sizeof(r->request.host), "%s", value) < 0)
		return request_refuse(r, 400, "expected exactly one Host");
	value = http_find(&h, "Content-Length", NULL);
	if (!value || http_decimal(value, UINT64_MAX, &n) < 0)
		return request_refuse(r, 400, "missing or malformed Content-Length");
	if (n > LIMIT_HTTP_BODY)
		return request_refuse(r, 400, "the body is over 16 KiB");
	r->body_len = n;
	value = http_find(&h, "X-App-TcpIdleTimeoutMs", &count);
	if (value) {
		if (count > 1 || http_decimal(value, UINT32_MAX, &n) < 0)
			return request_refuse(r, 400, "malformed X-App-TcpIdleTimeoutMs");
		r->request.tcp_idle_ms = (uint32_t)n;
	}
	if (!http_has_token(&h, "Connection", "upgrade") ||
	    !http_has_token(&h, "Upgrade", ATP_UPGRADE)) {
		/* Answered when the body was read, as every refusal is that
		 * does not come from a head that cannot be trusted. */
		(void)request_refuse(r, 426, "Upgrade: " ATP_UPGRADE " is required");
	}
	return 0;
}

/* Return: 0, -EINVAL: not a string, absent though required, or too long */
static int member(json_t *root, const char *name, bool required, char *out, size_t size)
{
	json_t *value = json_object_get(root, name);
	const char *text = json_string_value(value);

	if (!value)
		return required ? -EINVAL : 0;
	if (!text)
		return -EINVAL;
	return format(out, size, "%s", text) < 0 ? -EINVAL : 0;
}

static int request_resume(struct atp_request *r, json_t *resume)
{
	json_t *attempt = json_object_get(resume, "attempt");
	json_t *received = json_object_get(resume, "received");
	const char *session = json_string_value(json_object_get(resume, "session"));
	const char *proof = json_string_value(json_object_get(resume, "proof"));

	if (!json_is_object(resume) || !session || !proof || !json_is_integer(attempt) ||
	    !json_is_integer(received))
		return -EINVAL;
	if (json_integer_value(attempt) < 1 || json_integer_value(attempt) > UINT32_MAX ||
	    json_integer_value(received) < 0)
		return -EINVAL;
	r->attempt = (uint32_t)json_integer_value(attempt);
	r->received = (uint64_t)json_integer_value(received);
	/* Wrong lengths mean "not possible", that is: a new session. */
	r->resume = base64url_decode(session, r->session, sizeof(r->session)) == 0 &&
		    base64url_decode(proof, r->proof, sizeof(r->proof)) == 0;
	return 0;
}

static int request_body(struct atp_request_reader *r)
{
	struct atp_request *q = &r->request;
	const char *why = "";
	json_t *root, *resume;

	if (r->status)
		return 1;
	root = http_json(r->buf + r->head_len, r->body_len, &why);
	if (!root)
		return request_refuse(r, 400, why);
	resume = json_object_get(root, "resume");
	if (member(root, "device_id", true, q->device_id, sizeof(q->device_id)) < 0)
		(void)request_refuse(r, 400, "device_id is missing or malformed");
	else if (member(root, "user_id", true, q->user_id, sizeof(q->user_id)) < 0)
		(void)request_refuse(r, 400, "user_id is missing or malformed");
	else if (member(root, "service_id", true, q->service, sizeof(q->service)) < 0)
		(void)request_refuse(r, 400, "service_id is missing or malformed");
	else if (member(root, "platform", false, q->platform, sizeof(q->platform)) < 0)
		(void)request_refuse(r, 400, "platform is malformed");
	else if (member(root, "client", false, q->client, sizeof(q->client)) < 0)
		(void)request_refuse(r, 400, "client is malformed");
	else if (resume && request_resume(q, resume) < 0)
		(void)request_refuse(r, 400, "resume is malformed");
	json_decref(root);
	return 1;
}

int atp_request_feed(struct atp_request_reader *r, const uint8_t *data, size_t len)
{
	const char *why = "";
	size_t take, before;
	int found;

	if (r->head_len == 0) {
		if (r->status)
			return 1;
		before = r->len;
		take = len < LIMIT_HTTP_HEAD - before ? len : LIMIT_HTTP_HEAD - before;
		memcpy(r->buf + before, data ? data : (const uint8_t *)"", take);
		found = http_scan(r->buf, before + take, before, &r->head_len, &why);
		if (found < 0)
			return request_refuse(r, 400, why);
		r->len = found ? r->head_len : before + take;
		if (!found)
			return 0;
		data += r->len - before;
		len -= r->len - before;
		if (request_head(r))
			return 1;
	} else if (r->len == r->head_len + r->body_len || r->status == 400) {
		return len && !r->status ?
			request_refuse(r, 400, "bytes after the body") : 1;
	}
	take = r->head_len + r->body_len - r->len;
	if (take > len)
		take = len;
	if (take)
		memcpy(r->buf + r->len, data, take);
	r->len += take;
	if (r->len < r->head_len + r->body_len)
		return 0;
	if (len > take && !r->status)
		return request_refuse(r, 400, "bytes after the body");
	return request_body(r);
}

/* ---- server: writing ---------------------------------------------- */

int atp_accept_write(char *buf, size_t size, const uint8_t session[ATP_SESSION_ID],
		     bool resumed, uint64_t received)
{
	char text[SESSION_TEXT];

	base64url_encode(session, ATP_SESSION_ID, text);
	return format(buf, size,
		      "HTTP/1.1 101 Switching Protocols\r\n"
		      "Connection: Upgrade\r\n"
		      "Upgrade: " ATP_UPGRADE "\r\n"
		      "ATP-Session: %s\r\n"
		      "ATP-Resumed: %d\r\n"
		      "ATP-Received: %" PRIu64 "\r\n\r\n", text, resumed ? 1 : 0, received);
}

static const char *reason_phrase(int status)
{
	switch (status) {
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 426:
		return "Upgrade Required";
	case 429:
		return "Too Many Requests";
	case 503:
		return "Service Unavailable";
	}
	return "Refused";
}

int atp_refuse_write(char *buf, size_t size, int status, const char *code,
		     const char *message, uint32_t retry_after_s)
{
	char body[LIMIT_HTTP_BODY], retry[48] = "", upgrade[32] = "";
	json_t *root;
	size_t len;
	int n;

	root = json_pack("{s:s, s:s}", "error", code, "message", message);
	if (!root)
		return -ENOSPC;
	len = json_dumpb(root, body, sizeof(body), JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(root);
	if (!len || len > sizeof(body))
		return -ENOSPC;
	if (retry_after_s &&
	    format(retry, sizeof(retry), "Retry-After: %" PRIu32 "\r\n", retry_after_s) < 0)
		return -ENOSPC;
	if (status == 426 && format(upgrade, sizeof(upgrade), "Upgrade: " ATP_UPGRADE "\r\n") < 0)
		return -ENOSPC;
	n = format(buf, size,
		   "HTTP/1.1 %d %s\r\n"
		   "Connection: close\r\n"
		   "%s%s"
		   "Content-Type: application/json\r\n"
		   "Content-Length: %zu\r\n\r\n",
		   status, reason_phrase(status), upgrade, retry, len);
	return append(buf, size, n, body, len);
}
