/* SPDX-License-Identifier: MIT */
/* Which profiles may be connected at the same time. */
#include <check.h>
#include <stdlib.h>

#include "platform/overlap.h"

static struct profile one, two;

static void setup(void)
{
	profile_defaults(&one);
	profile_defaults(&two);
	one.n_routes = two.n_routes = one.n_excluded = two.n_excluded = 0;
}

static void route(struct profile *p, const char *text)
{
	ck_assert_int_eq(prefix_parse(text, &p->routes[p->n_routes++]), 0);
}

static void exclude(struct profile *p, const char *text)
{
	ck_assert_int_eq(prefix_parse(text, &p->excluded[p->n_excluded++]), 0);
}

static bool meets(const char *text)
{
	const struct prefix *a = overlap_find(&one, &two), *b = overlap_find(&two, &one);
	struct prefix want;

	ck_assert_int_eq(!a, !b);
	if (!a)
		return false;
	ck_assert_int_eq(prefix_parse(text, &want), 0);
	return prefix_equal(a, &want) && prefix_equal(b, &want);
}

START_TEST(apart)
{
	route(&one, "10.0.0.0/9");
	route(&two, "10.128.0.0/9");
	route(&two, "fd00::/8");
	ck_assert_ptr_null(overlap_find(&one, &two));
	ck_assert_ptr_null(overlap_find(&two, &one));
}
END_TEST

START_TEST(equal_and_inside)
{
	route(&one, "192.168.0.0/16");
	route(&one, "10.0.0.0/8");
	route(&two, "10.1.2.0/24");
	ck_assert(meets("10.1.2.0/24"));
	route(&one, "fd00:10::/32");
	two.n_routes = 0;
	route(&two, "fd00:10::/32");
	ck_assert(meets("fd00:10::/32"));
}
END_TEST

START_TEST(full_tunnels)
{
	route(&one, "0.0.0.0/0");
	route(&two, "::/0");
	ck_assert_ptr_null(overlap_find(&one, &two));	/* another family each */
	route(&two, "203.0.113.7/32");
	ck_assert(meets("203.0.113.7/32"));
}
END_TEST

START_TEST(excluded_as_a_whole)
{
	route(&one, "10.0.0.0/8");
	exclude(&one, "10.1.0.0/16");
	route(&two, "10.1.2.0/24");
	ck_assert_ptr_null(overlap_find(&one, &two));
	ck_assert_ptr_null(overlap_find(&two, &one));
	route(&two, "10.0.0.0/15");		/* of which only a half is excluded */
	ck_assert(meets("10.0.0.0/15"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("overlap");
	TCase *t = tcase_create("overlap");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, apart);
	tcase_add_test(t, equal_and_inside);
	tcase_add_test(t, full_tunnels);
	tcase_add_test(t, excluded_as_a_whole);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
