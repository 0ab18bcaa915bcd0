/* SPDX-License-Identifier: MIT */
/*
 * test_handshake.c - the POST and its answers, written by one side and read by
 * the other, whole and byte by byte; and what a strict reader refuses.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/atp/handshake.h"
#include "client/atp/http1.h"

#define HEAD	"POST /atp/1/session HTTP/1.1\r\nHost: s\r\n"
#define UP	"Connection: Upgrade\r\nUpgrade: atp/1\r\n"
#define BODY	"{\"device_id\":\"d\",\"user_id\":\"u\",\"service_id\":\"<IP_ANY>\"}"
#define LEN	"Content-Length: 55\r\n"

static struct atp_request_reader rq;
static struct atp_answer_reader an;

static int request(const char *text)
{
	atp_request_init(&rq);
	return atp_request_feed(&rq, (const uint8_t *)text, strlen(text));
}

static enum atp_answer_kind answer(const char *text, size_t *used)
{
	atp_answer_init(&an);
	return atp_answer_feed(&an, (const uint8_t *)text, strlen(text), used);
}

static struct atp_request sample(void)
{
	struct atp_request r = { .host = "sentry.example", .device_id = "d-\"1\"", .user_id = "ü",
				 .service = "<IP_ANY>", .platform = "linux",
				 .client = "AppTunnel/0.1", .tcp_idle_ms = 60000 };

	return r;
}

START_TEST(request_round_trip)
{
	struct atp_request r = sample();
	char buf[4096];
	int n = atp_request_write(&r, buf, sizeof(buf)), i;

	ck_assert_int_gt(n, 0);
	atp_request_init(&rq);
	for (i = 0; i < n; i++)		/* one byte at a time */
		ck_assert_int_eq(atp_request_feed(&rq, (uint8_t *)buf + i, 1), i == n - 1);
	ck_assert_int_eq(rq.status, 0);
	ck_assert_str_eq(rq.request.device_id, r.device_id);
	ck_assert_str_eq(rq.request.user_id, r.user_id);
	ck_assert_str_eq(rq.request.service, r.service);
	ck_assert_str_eq(rq.request.platform, "linux");
	ck_assert_str_eq(rq.request.client, r.client);
	ck_assert_str_eq(rq.request.host, r.host);
	ck_assert_uint_eq(rq.request.tcp_idle_ms, 60000);
	ck_assert(!rq.request.resume);
	/* a byte more before the 101 */
	ck_assert_int_eq(atp_request_feed(&rq, (const uint8_t *)"x", 1), 1);
	ck_assert_int_eq(rq.status, 400);
}
END_TEST

START_TEST(resume_round_trip)
{
	struct atp_request r = sample();
	char buf[4096];
	int n, i;

	r.resume = true;
	r.received = 12345;
	r.attempt = 3;
	for (i = 0; i < 32; i++)
		r.proof[i] = (uint8_t)(i * 7);
	for (i = 0; i < 16; i++)
		r.session[i] = (uint8_t)(0xa0 + i);
	n = atp_request_write(&r, buf, sizeof(buf));
	ck_assert_int_gt(n, 0);
	atp_request_init(&rq);
	ck_assert_int_eq(atp_request_feed(&rq, (uint8_t *)buf, (size_t)n), 1);
	ck_assert_int_eq(rq.status, 0);
	ck_assert(rq.request.resume);
	ck_assert_uint_eq(rq.request.received, 12345);
	ck_assert_uint_eq(rq.request.attempt, 3);
	ck_assert_mem_eq(rq.request.proof, r.proof, 32);
	ck_assert_mem_eq(rq.request.session, r.session, 16);
}
END_TEST

START_TEST(request_not_writable)
{
	struct atp_request r = sample();
	char buf[4096];

	(void)snprintf(r.host, sizeof(r.host), "a\r\nEvil: 1");
	ck_assert_int_eq(atp_request_write(&r, buf, sizeof(buf)), -EINVAL);
	r = sample();
	(void)snprintf(r.client, sizeof(r.client), "\xc3\xbc");
	ck_assert_int_eq(atp_request_write(&r, buf, sizeof(buf)), -EINVAL);
	r = sample();
	(void)snprintf(r.user_id, sizeof(r.user_id), "\xff");
	ck_assert_int_eq(atp_request_write(&r, buf, sizeof(buf)), -EINVAL);
	r = sample();
	ck_assert_int_eq(atp_request_write(&r, buf, 100), -ENOSPC);
}
END_TEST

static const struct {
	const char *text;
	int status;		/* 0: good; -1: more is wanted */
} requests[] = {
	{ HEAD UP LEN "\r\n" BODY, 0 },
	{ HEAD "connection: foo , UPGRADE\r\nuPGRADE: h2c,atp/1\r\n" LEN "\r\n" BODY, 0 },
	{ HEAD UP LEN "\r\n" BODY "x", 400 },
	{ HEAD UP "Content-Length: 54\r\n\r\n" BODY, 400 },
	{ HEAD UP "Content-Length: 56\r\n\r\n" BODY, -1 },
	{ HEAD UP "\r\n", 400 },
	{ HEAD UP LEN LEN "\r\n" BODY, 400 },
	{ HEAD UP "Content-Length: +55\r\n\r\n" BODY, 400 },
	{ HEAD UP "Content-Length: 55x\r\n\r\n" BODY, 400 },
	{ HEAD UP "Content-Length: 99999999999999999999\r\n\r\n", 400 },
	{ HEAD UP "Content-Length: 16385\r\n\r\n", 400 },
	{ HEAD UP LEN "Transfer-Encoding: chunked\r\n\r\n" BODY, 400 },
	{ HEAD LEN "\r\n" BODY, 426 },
	{ HEAD "Connection: Upgrade\r\nUpgrade: websocket\r\n" LEN "\r\n" BODY, 426 },
	{ HEAD "Connection: close\r\nUpgrade: atp/1\r\n" LEN "\r\n" BODY, 426 },
	{ HEAD "Connection: close\r\nUpgrade: atp/1\r\n" LEN "\r\n", -1 },
	{ "GET /atp/1/session HTTP/1.1\r\nHost: s\r\n" UP LEN "\r\n" BODY, 400 },
	{ "POST / HTTP/1.1\r\nHost: s\r\n" UP LEN "\r\n" BODY, 400 },
	{ "POST /atp/1/session HTTP/1.0\r\nHost: s\r\n" UP LEN "\r\n" BODY, 400 },
	{ "POST  /atp/1/session HTTP/1.1\r\nHost: s\r\n" UP LEN "\r\n" BODY, 400 },
	{ "POST /atp/1/session HTTP/1.1\r\n" UP LEN "\r\n" BODY, 400 },
	{ HEAD "Host: t\r\n" UP LEN "\r\n" BODY, 400 },
	{ "\r\n" HEAD UP LEN "\r\n" BODY, 400 },
	{ HEAD UP LEN "A: b\n\r\n" BODY, 400 },
	{ HEAD UP LEN "A: b\rc\r\n\r\n" BODY, 400 },
	{ HEAD UP LEN "A: b\r\n c\r\n\r\n" BODY, 400 },
	{ HEAD UP LEN "A: b\tc\r\n\r\n" BODY, 400 },
	{ HEAD UP LEN "A: \x80\r\n\r\n" BODY, 400 },
	{ HEAD UP LEN "A : b\r\n\r\n" BODY, 400 },
	{ HEAD UP LEN "A\r\n\r\n" BODY, 400 },
	{ HEAD UP LEN ": b\r\n\r\n" BODY, 400 },
	{ HEAD UP LEN "A:\r\n\r\n" BODY, 0 },
	{ HEAD UP LEN "X-App-TcpIdleTimeoutMs: 60000\r\n\r\n" BODY, 0 },
	{ HEAD UP LEN "X-App-TcpIdleTimeoutMs: -1\r\n\r\n" BODY, 400 },
	{ HEAD UP LEN "X-App-TcpIdleTimeoutMs: 4294967296\r\n\r\n" BODY, 400 },
	{ HEAD UP "Content-Length: 2\r\n\r\n{}", 400 },
	{ HEAD UP "Content-Length: 0\r\n\r\n", 400 },
	{ HEAD UP "Content-Length: 4\r\n\r\nnull", 400 },
	{ HEAD UP "Content-Length: 48\r\n\r\n{\"device_id\":1,\"user_id\":\"u\",\"service_id\":\"svc\"}",
	  400 },
	{ HEAD UP "Content-Length: 63\r\n\r\n{\"device_id\":\"d\",\"device_id\":\"d\",\"user_id\":\"u\","
	  "\"service_id\":\"\"}", 400 },
	{ HEAD UP "Content-Length: 60\r\n\r\n{\"device_id\":\"d\",\"user_id\":\"u\",\"service_id\":\"s\","
	  "\"resume\":1 }", 400 },
	{ HEAD UP "Content-Length: 65\r\n\r\n{\"device_id\":\"d\",\"user_id\":\"u\",\"service_id\":\"s\","
	  "\"future\":[1,2]}  ", 0 },
};

START_TEST(request_row)
{
	int got = request(requests[_i].text);

	if (requests[_i].status < 0) {
		ck_assert_msg(got == 0, "%s", requests[_i].text);
		return;
	}
	ck_assert_msg(got == 1 && rq.status == requests[_i].status, "%s: %d %d %s",
		      requests[_i].text, got, rq.status, rq.message);
	if (rq.status)
		ck_assert_str_eq(rq.error, rq.status == 426 ? "upgrade_required" : "bad_request");
}
END_TEST

START_TEST(resume_of_wrong_length_is_a_new_session)
{
	ck_assert_int_eq(request(HEAD UP "Content-Length: 123\r\n\r\n"
		"{\"device_id\":\"d\",\"user_id\":\"u\",\"service_id\":\"s\",\"resume\":{"
		"\"session\":\"AAAA\",\"attempt\":1,\"received\":0,\"proof\":\"AAAA\"},\"a\":\"\"}"), 1);
	ck_assert_int_eq(rq.status, 0);
	ck_assert(!rq.request.resume);
}
END_TEST

START_TEST(long_heads)
{
	char *text = malloc(40000);
	size_t n, lines;

	/* 64 lines are allowed, 65 are not; four stand in the sample */
	for (lines = 60; lines <= 61; lines++) {
		n = sizeof(HEAD UP LEN) - 1;
		memcpy(text, HEAD UP LEN, n);
		for (size_t i = 0; i < lines; i++) {
			memcpy(text + n, "A: b\r\n", 6);
			n += 6;
		}
		memcpy(text + n, "\r\n" BODY, sizeof("\r\n" BODY));
		ck_assert_int_eq(request(text), 1);
		ck_assert_int_eq(rq.status, lines == 60 ? 0 : 400);
	}
	memset(text, 'a', 39999);
	text[39999] = '\0';
	ck_assert_int_eq(request(text), 1);
	ck_assert_int_eq(rq.status, 400);
	free(text);
}
END_TEST

START_TEST(accept_round_trip)
{
	uint8_t id[ATP_SESSION_ID];
	char buf[512];
	size_t used, i, n;

	for (i = 0; i < sizeof(id); i++)
		id[i] = (uint8_t)(i * 17);
	n = (size_t)atp_accept_write(buf, sizeof(buf) - 4, id, true, 77);
	memcpy(buf + n, "rest", 4);
	atp_answer_init(&an);
	ck_assert_int_eq(atp_answer_feed(&an, (uint8_t *)buf, n + 4, &used), ATP_ANSWER_ACCEPTED);
	ck_assert_uint_eq(used, n);
	ck_assert_mem_eq(an.answer.session, id, sizeof(id));
	ck_assert(an.answer.resumed);
	ck_assert_uint_eq(an.answer.received, 77);
	atp_answer_init(&an);
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(atp_answer_feed(&an, (uint8_t *)buf + i, 1, &used),
				 i == n - 1 ? ATP_ANSWER_ACCEPTED : ATP_ANSWER_MORE);
		ck_assert_uint_eq(used, 1);
	}
	ck_assert_int_eq(atp_accept_write(buf, 50, id, false, 0), -ENOSPC);
}
END_TEST

START_TEST(refusal_round_trip)
{
	char buf[1024], long_text[400];
	size_t used;
	int n;

	memset(long_text, 'm', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	n = atp_refuse_write(buf, sizeof(buf), 503, "busy", long_text, 17);
	ck_assert_int_gt(n, 0);
	atp_answer_init(&an);
	ck_assert_int_eq(atp_answer_feed(&an, (uint8_t *)buf, (size_t)n, &used),
			 ATP_ANSWER_REFUSED);
	ck_assert_int_eq(an.answer.status, 503);
	ck_assert_str_eq(an.answer.code, "busy");
	ck_assert_uint_eq(strlen(an.answer.message), 200);
	ck_assert_uint_eq(an.answer.retry_after_s, 17);
	n = atp_refuse_write(buf, sizeof(buf), 403, "device_blocked", "\x1b[2J\xc3\xbc", 0);
	atp_answer_init(&an);
	ck_assert_int_eq(atp_answer_feed(&an, (uint8_t *)buf, (size_t)n, &used),
			 ATP_ANSWER_REFUSED);
	ck_assert_str_eq(an.answer.message, "?[2J??");
	/* cut in the body: more, for ever */
	atp_answer_init(&an);
	ck_assert_int_eq(atp_answer_feed(&an, (uint8_t *)buf, (size_t)n - 1, &used),
			 ATP_ANSWER_MORE);
	ck_assert_int_eq(atp_answer_feed(&an, NULL, 0, &used), ATP_ANSWER_MORE);
}
END_TEST

#define OK101	"HTTP/1.1 101 Switching Protocols\r\n" UP
#define SID	"ATP-Session: AAAAAAAAAAAAAAAAAAAAAA\r\n"
#define NEW	"ATP-Resumed: 0\r\nATP-Received: 0\r\n"

static const struct {
	const char *text;
	enum atp_answer_kind kind;
	int status;
	const char *part;	/* of message */
} answers[] = {
	{ OK101 SID NEW "\r\n", ATP_ANSWER_ACCEPTED, 101, "" },
	{ "HTTP/1.1 101\r\n" UP SID NEW "\r\n", ATP_ANSWER_ACCEPTED, 101, "" },
	{ OK101 SID NEW, ATP_ANSWER_MORE, 0, "" },
	{ OK101 SID "ATP-Resumed: 0\r\nATP-Received: 1\r\n\r\n", ATP_ANSWER_BAD, 101, "new session" },
	{ OK101 SID "ATP-Resumed: 1\r\nATP-Received: 9\r\n\r\n", ATP_ANSWER_ACCEPTED, 101, "" },
	{ OK101 SID "ATP-Resumed: 2\r\nATP-Received: 0\r\n\r\n", ATP_ANSWER_BAD, 101, "ATP-Resumed" },
	{ OK101 SID "ATP-Resumed: 0\r\nATP-Received: -1\r\n\r\n", ATP_ANSWER_BAD, 101, "ATP-Received" },
	{ OK101 SID SID NEW "\r\n", ATP_ANSWER_BAD, 101, "exactly one" },
	{ OK101 NEW "\r\n", ATP_ANSWER_BAD, 101, "exactly one" },
	{ OK101 "ATP-Session: AAAA\r\n" NEW "\r\n", ATP_ANSWER_BAD, 101, "ATP-Session" },
	{ OK101 "ATP-Session: AAAAAAAAAAAAAAAAAAAAAB\r\n" NEW "\r\n", ATP_ANSWER_BAD, 101,
	  "ATP-Session" },
	{ OK101 "ATP-Session: AAAAAAAAAAAAAAAAAAAAA=\r\n" NEW "\r\n", ATP_ANSWER_BAD, 101,
	  "ATP-Session" },
	{ "HTTP/1.1 101 X\r\n" SID NEW "\r\n", ATP_ANSWER_BAD, 101, "Upgrade" },
	{ "HTTP/1.1 100 Continue\r\n\r\n", ATP_ANSWER_BAD, 100, "interim" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ATP_ANSWER_REFUSED, 200, "" },
	{ "HTTP/1.1 302 Found\r\n\r\n", ATP_ANSWER_REFUSED, 302, "" },
	{ "HTTP/1.0 503 Busy\r\nRetry-After: 9999\r\n\r\n", ATP_ANSWER_REFUSED, 503, "" },
	{ "HTTP/1.0 101 X\r\n" UP SID NEW "\r\n", ATP_ANSWER_BAD, 0, "status line" },
	{ "HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\n<html>", ATP_ANSWER_REFUSED, 403, "" },
	{ "HTTP/1.1 403 No\r\nContent-Length: 16385\r\n\r\n", ATP_ANSWER_BAD, 403, "16 KiB" },
	{ "HTTP/1.1 403 No\r\nContent-Length: x\r\n\r\n", ATP_ANSWER_BAD, 403, "Content-Length" },
	{ "HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", ATP_ANSWER_BAD, 0,
	  "second Content-Length" },
	{ "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n", ATP_ANSWER_BAD, 0, "Transfer" },
	{ "HTTP/2 403 No\r\n\r\n", ATP_ANSWER_BAD, 0, "status line" },
	{ "HTTP/1.1 40 No\r\n\r\n", ATP_ANSWER_BAD, 0, "status line" },
	{ "HTTP/1.1 4033 No\r\n\r\n", ATP_ANSWER_BAD, 0, "status line" },
	{ "SSH-2.0-OpenSSH\r\n\r\n", ATP_ANSWER_BAD, 0, "status line" },
	{ "SSH-2.0-OpenSSH\n", ATP_ANSWER_BAD, 0, "bare LF" },
	{ "220 mail\r\n\r\n", ATP_ANSWER_BAD, 0, "status line" },
};

START_TEST(answer_row)
{
	size_t used;
	enum atp_answer_kind kind = answer(answers[_i].text, &used);

	ck_assert_msg(kind == answers[_i].kind, "%s: %d %s", answers[_i].text, kind,
		      an.answer.message);
	ck_assert_int_eq(an.answer.status, answers[_i].status);
	ck_assert_msg(strstr(an.answer.message, answers[_i].part) != NULL, "%s", an.answer.message);
	ck_assert_uint_le(an.answer.retry_after_s, 300);
	if (kind != ATP_ANSWER_MORE)
		ck_assert_int_eq(atp_answer_feed(&an, (const uint8_t *)"x", 1, &used), kind);
}
END_TEST

START_TEST(nul_and_endless_answers)
{
	uint8_t *text = malloc(20000);
	size_t used;

	memset(text, 'x', 20000);
	atp_answer_init(&an);
	ck_assert_int_eq(atp_answer_feed(&an, text, 20000, &used), ATP_ANSWER_BAD);
	atp_answer_init(&an);
	ck_assert_int_eq(atp_answer_feed(&an, (const uint8_t *)"HTTP/1.1 \0", 10, &used),
			 ATP_ANSWER_BAD);
	free(text);
}
END_TEST

START_TEST(base64url)
{
	uint8_t in[40], out[40];
	char text[64];
	size_t len, i;

	for (len = 0; len <= 32; len++) {
		for (i = 0; i < len; i++)
			in[i] = (uint8_t)(i * 37 + len);
		base64url_encode(in, len, text);
		ck_assert_uint_eq(strlen(text), (len * 4 + 2) / 3);
		ck_assert_int_eq(base64url_decode(text, out, len), 0);
		ck_assert_mem_eq(in, out, len);
	}
	ck_assert_int_eq(base64url_decode("+A", out, 1), -EINVAL);
	ck_assert_int_eq(base64url_decode("_w", out, 1), 0);
	ck_assert_uint_eq(out[0], 0xff);
	ck_assert_int_eq(base64url_decode("_x", out, 1), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("handshake");
	TCase *tc = tcase_create("handshake");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, request_round_trip);
	tcase_add_test(tc, resume_round_trip);
	tcase_add_test(tc, request_not_writable);
	tcase_add_loop_test(tc, request_row, 0, (int)(sizeof(requests) / sizeof(requests[0])));
	tcase_add_test(tc, resume_of_wrong_length_is_a_new_session);
	tcase_add_test(tc, long_heads);
	tcase_add_test(tc, accept_round_trip);
	tcase_add_test(tc, refusal_round_trip);
	tcase_add_loop_test(tc, answer_row, 0, (int)(sizeof(answers) / sizeof(answers[0])));
	tcase_add_test(tc, nul_and_endless_answers);
	tcase_add_test(tc, base64url);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
