/* SPDX-License-Identifier: MIT */
/*
 * fuzz_frame.c - single frames, both directions.  What is decoded lies inside
 * the input, a cut frame is never an error that a whole one is not, and what
 * our writers can express comes out the same again.
 * fuzz: client/atp/frame.c
 */
#include <stdlib.h>
#include <string.h>

#include "client/atp/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_open(const struct frame *f, const uint8_t *data, size_t len)
{
	uint8_t out[FRAME_CONTROL_MAX];
	struct frame again;
	const char *why;
	size_t n;

	if (f->u.open.open.bad_name)
		return;
	n = frame_put_open(out, f->id, &f->u.open.open, f->u.open.window);
	if (n > sizeof(out) || frame_decode(out, n, false, &again, &why) != (int)n ||
	    memcmp(&again.u.open.open, &f->u.open.open, sizeof(struct mux_open)) != 0)
		abort();
	/* without unknown TLVs and in our order it is the very same frame */
	if (n == len && out[1] == data[1] && memcmp(out, data, 12) != 0)
		abort();
}

static void one(const uint8_t *data, size_t size, bool to_client)
{
	const char *why = NULL;
	struct frame f, cut;
	int n, m;

	while ((n = frame_decode(data, size, to_client, &f, &why)) > 0) {
		if ((size_t)n > size || (size_t)n != LIMIT_FRAME_HEADER + f.len)
			abort();
		if (f.data < data || f.data + f.data_len > data + n)
			abort();
		m = frame_decode(data, (size_t)n - 1, to_client, &cut, &why);
		if (m != 0)
			abort();
		if (f.type == FRAME_OPEN)
			check_open(&f, data, (size_t)n);
		data += n;
		size -= (size_t)n;
	}
	if (n < 0 && (!why || !*why))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one(data, size, true);
	one(data, size, false);
	return 0;
}
