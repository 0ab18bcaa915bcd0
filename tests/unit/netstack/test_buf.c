/* SPDX-License-Identifier: MIT */
/* test_buf.c - buffers, size-classed memory, queues of pieces */
#include "fake_tun.h"

#include "netstack/internal.h"

START_TEST(pool_hands_out_and_takes_back)
{
	struct bufpool *p = bufpool_new(100, 2);
	struct buf *a = buf_get(p), *b = buf_get(p);

	ck_assert(a && b && a != b);
	ck_assert_uint_eq(a->size, 100);
	ck_assert_ptr_null(buf_get(p));
	ck_assert_uint_eq(bufpool_in_use(p), 2);
	buf_ref(a);
	buf_unref(a);
	ck_assert_uint_eq(bufpool_in_use(p), 2);
	buf_unref(a);
	ck_assert_uint_eq(bufpool_in_use(p), 1);
	/* the one that came back last goes out first */
	ck_assert_ptr_eq(buf_get(p), a);
	buf_unref(a);
	buf_unref(b);
	buf_unref(NULL);
	ck_assert_ptr_eq(buf_get(p), b);
	buf_unref(b);
	bufpool_trim(p, 1);
	ck_assert_uint_eq(bufpool_in_use(p), 0);
	bufpool_free(p);
	bufpool_free(NULL);
}
END_TEST

START_TEST(slab_gives_aligned_memory_of_any_size)
{
	size_t sizes[] = { 0, 1, 15, 16, 48, 49, 312, 2032, 2033, 70000 }, i;
	void *p[10];

	for (i = 0; i < 10; i++) {
		p[i] = slab_alloc(sizes[i]);
		ck_assert_ptr_nonnull(p[i]);
		ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
		memset(p[i], 0xa5, sizes[i]);
	}
	ck_assert_uint_gt(slab_in_use(), 0);
	for (i = 0; i < 10; i++)
		slab_free(p[i]);
	slab_free(NULL);
	ck_assert_uint_eq(slab_in_use(), 0);
	p[0] = slab_calloc(4, 8);
	ck_assert_uint_eq(*(uint64_t *)p[0], 0);
	slab_free(p[0]);
	ck_assert_ptr_null(slab_calloc(SIZE_MAX / 2, 4));
	ck_assert_ptr_null(slab_alloc(SIZE_MAX));
}
END_TEST

START_TEST(queue_keeps_order_over_copies_and_references)
{
	struct bufpool *chunks = bufpool_new(64, 1000), *pool = bufpool_new(1000, 10);
	struct buf *b = buf_get(pool);
	struct queue q = { 0 };
	uint8_t out[4096];
	size_t at = 0, n, round;

	pattern_fill(b->data, 1000, 0);
	for (round = 0; round < 3; round++) {
		ck_assert_int_eq(queue_append(chunks, &q, b, b->data, 10, true), 0);
		ck_assert_int_eq(queue_append(chunks, &q, b, b->data + 10, 190, true), 0);
		ck_assert_int_eq(queue_append(chunks, &q, b, b->data + 200, 300, false), 0);
		ck_assert_int_eq(queue_append(chunks, &q, b, b->data + 500, 500, false), 0);
	}
	ck_assert_uint_eq(q.bytes, 3000);
	ck_assert_uint_eq(b->refs, 4);		/* neighbours share a piece */
	for (n = 1; at < 3000; n += 37) {
		size_t got = queue_read(&q, out, n);

		ck_assert_uint_gt(got, 0);
		for (round = 0; round < got; round++, at++)
			ck_assert_uint_eq(out[round], b->data[at % 1000]);
	}
	ck_assert_uint_eq(q.bytes, 0);
	ck_assert_ptr_null(q.head);
	ck_assert_ptr_null(q.tail);
	ck_assert_uint_eq(queue_read(&q, out, 10), 0);

	queue_append(chunks, &q, b, b->data, 300, false);
	queue_append(chunks, &q, b, b->data, 300, true);
	queue_clear(&q);
	ck_assert_uint_eq(q.bytes, 0);
	ck_assert_uint_eq(b->refs, 1);
	buf_unref(b);
	ck_assert_uint_eq(bufpool_in_use(chunks), 0);
	bufpool_free(chunks);
	bufpool_free(pool);
	ck_assert_uint_eq(slab_in_use(), 0);
}
END_TEST

START_TEST(queue_says_when_memory_is_out)
{
	struct bufpool *chunks = bufpool_new(64, 1);
	struct queue q = { 0 };
	uint8_t data[200] = { 0 };

	ck_assert_int_eq(queue_append(chunks, &q, NULL, data, 60, true), 0);
	ck_assert_int_eq(queue_append(chunks, &q, NULL, data, 10, true), -ENOMEM);
	queue_clear(&q);
	ck_assert_uint_eq(bufpool_in_use(chunks), 0);
	bufpool_free(chunks);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buf");
	TCase *c = tcase_create("buf");

	tcase_add_test(c, pool_hands_out_and_takes_back);
	tcase_add_test(c, slab_gives_aligned_memory_of_any_size);
	tcase_add_test(c, queue_keeps_order_over_copies_and_references);
	tcase_add_test(c, queue_says_when_memory_is_out);
	suite_add_tcase(s, c);
	return suite_run(s);
}
