/* SPDX-License-Identifier: MIT */
/*
 * pair.h - two muxes in one process and the two pipes between them, for the
 * tests of the mux.  Nothing moves by itself.
 */
#ifndef ATP_TEST_PAIR_H
#define ATP_TEST_PAIR_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/atp/mux_int.h"

#define PIPE_SIZE	(1u << 20)
#define CONFIG_TEXT	"{\"mtu\":1400}"

struct pipe {
	uint8_t *buf;
	size_t len;
};

struct side {
	struct mux *m;
	struct pipe in;		/* on its way to this side */
};

static inline void pipe_add(struct pipe *p, const uint8_t *data, size_t len)
{
	if (p->len + len > PIPE_SIZE)
		ck_abort_msg("the pipe overflows");
	memcpy(p->buf + p->len, data, len);
	p->len += len;
}

static inline void pipe_cut(struct pipe *p, size_t n)
{
	memmove(p->buf, p->buf + n, p->len - n);
	p->len -= n;
}

static inline void side_init(struct side *s, const struct mux_config *c,
			     const struct mux_ops *ops, void *ctx)
{
	s->m = mux_new(c, ops, ctx);
	ck_assert_ptr_nonnull(s->m);
	s->in.buf = malloc(PIPE_SIZE);
	ck_assert_ptr_nonnull(s->in.buf);
	s->in.len = 0;
}

static inline void side_done(struct side *s)
{
	mux_free(s->m);
	free(s->in.buf);
}

/* Everything that @from has to send goes into the pipe to @to. */
static inline size_t side_flush(struct side *from, struct side *to, uint64_t now)
{
	const uint8_t *p;
	size_t len, sum = 0;

	while (to->in.len + 2 * LIMIT_PAYLOAD < PIPE_SIZE &&
	       (p = mux_output(from->m, MUX_RECORD, &len, now))) {
		pipe_add(&to->in, p, len);
		mux_written(from->m, len);
		sum += len;
	}
	return sum;
}

#endif
