/* SPDX-License-Identifier: MIT */
/*
 * fuzz_http1.c - the POST and its answer.  The first byte says who reads, the
 * second how the bytes are cut: whole and in pieces must come to the same.
 * fuzz: client/atp/handshake.c client/atp/http1.c -ljansson
 */
#include <stdlib.h>
#include <string.h>

#include "client/atp/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct atp_answer_reader answers[2];
static struct atp_request_reader requests[2];

static size_t read_answer(struct atp_answer_reader *r, const uint8_t *data, size_t size,
			  size_t piece)
{
	size_t at = 0, n, used;

	atp_answer_init(r);
	while (at < size) {
		n = size - at < piece ? size - at : piece;
		if (atp_answer_feed(r, data + at, n, &used) != r->answer.kind && used == 0)
			break;
		if (used > n)
			abort();
		at += used;
		if (r->answer.kind != ATP_ANSWER_MORE)
			break;
		if (used != n)
			abort();	/* wants more, yet left something */
	}
	return at;
}

static void answer(const uint8_t *data, size_t size, size_t piece)
{
	const struct atp_answer *a = &answers[0].answer, *b = &answers[1].answer;
	size_t whole = read_answer(&answers[0], data, size, size);
	size_t cut = read_answer(&answers[1], data, size, piece);

	if (a->kind != b->kind)
		abort();
	if (a->kind == ATP_ANSWER_BAD || a->kind == ATP_ANSWER_MORE)
		return;
	if (whole != cut || a->status != b->status || strcmp(a->code, b->code) != 0 ||
	    strcmp(a->message, b->message) != 0 || a->received != b->received)
		abort();
	for (const char *p = a->message; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			abort();
}

static int read_request(struct atp_request_reader *r, const uint8_t *data, size_t size,
			size_t piece)
{
	size_t at, n;
	int done = 0;

	atp_request_init(r);
	for (at = 0; at < size && !(done && r->status); at += n) {
		n = size - at < piece ? size - at : piece;
		done = atp_request_feed(r, data + at, n);
	}
	return done;
}

static void request(const uint8_t *data, size_t size, size_t piece)
{
	char buf[LIMIT_HTTP_HEAD + LIMIT_HTTP_BODY];
	int whole = read_request(&requests[0], data, size, size);
	int cut = read_request(&requests[1], data, size, piece);
	int n;

	if (whole != cut)
		abort();
	if (!whole)
		return;
	if (requests[0].status != requests[1].status)
		abort();
	if (requests[0].status)
		return;
	/* what was read can be written, and reads the same */
	if (!requests[0].request.client[0])
		return;
	n = atp_request_write(&requests[0].request, buf, sizeof(buf));
	if (n < 0)
		return;
	if (read_request(&requests[1], (uint8_t *)buf, (size_t)n, (size_t)n) != 1 ||
	    requests[1].status != 0 ||
	    strcmp(requests[0].request.user_id, requests[1].request.user_id) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece;

	if (size < 3)
		return 0;
	piece = data[1] ? data[1] : 1;
	if (data[0] & 1)
		answer(data + 2, size - 2, piece);
	else
		request(data + 2, size - 2, piece);
	return 0;
}
