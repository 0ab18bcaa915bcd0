/* SPDX-License-Identifier: MIT */
/* What is new and what is over between two plans. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/plan_diff.h"

static struct plan_item item(enum plan_kind kind, const char *prefix, uint32_t value)
{
	struct plan_item i = { .kind = (uint8_t)kind, .value = value, .stage = PLAN_LOCK };

	if (kind == PLAN_ROUTE)
		i.stage = PLAN_TUNNEL;
	if (prefix) {
		ck_assert_int_eq(prefix_parse(prefix, &i.prefix), 0);
		i.family = i.prefix.addr.family;
	}
	return i;
}

START_TEST(nothing_differs)
{
	struct plan_item list[] = { item(PLAN_NFT, NULL, 1), item(PLAN_SHADOW, "10.0.0.0/8", 0),
				    item(PLAN_ROUTE, "10.0.0.0/8", 0) }, other[3];
	struct plan_diff d;

	/* another order, and another origin of a value, are no difference */
	for (int i = 0; i < 3; i++)
		other[2 - i] = list[i];
	other[0].from_sentry = true;
	ck_assert_int_eq(plan_diff_make(&d, list, 3, other, 3), 0);
	ck_assert_uint_eq(d.n_fresh + d.n_gone, 0);
	plan_diff_free(&d);
	ck_assert_int_eq(plan_diff_make(&d, NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(d.n_fresh + d.n_gone, 0);
	plan_diff_free(&d);
	plan_diff_free(&d);
	plan_diff_free(NULL);
}
END_TEST

START_TEST(fresh_and_gone)
{
	struct plan_item old[] = { item(PLAN_SHADOW, "10.0.0.0/8", 0),
				   item(PLAN_ROUTE, "10.0.0.0/8", 0), item(PLAN_LINK, NULL, 1400),
				   item(PLAN_ROUTE, "10.1.0.0/16", 0) };
	struct plan_item now[] = { item(PLAN_ROUTE, "fd00::/8", 0), item(PLAN_LINK, NULL, 1300),
				   item(PLAN_ROUTE, "10.0.0.0/8", 0),
				   item(PLAN_SHADOW, "10.0.0.0/9", 0) };
	struct plan_diff d;

	ck_assert_int_eq(plan_diff_make(&d, old, 4, now, 4), 0);
	ck_assert_uint_eq(d.n_fresh, 3);
	ck_assert(d.fresh[0] == 0 && d.fresh[1] == 1 && d.fresh[2] == 3);
	ck_assert_uint_eq(d.n_gone, 3);
	ck_assert(d.gone[0] == 3 && d.gone[1] == 2 && d.gone[2] == 0);
	plan_diff_free(&d);
}
END_TEST

/* a change in any member is one */
START_TEST(each_member_counts)
{
	struct plan_item a = item(PLAN_ROUTE, "10.0.0.0/8", 0), b[9];

	for (int i = 0; i < 9; i++)
		b[i] = a;
	b[0].kind = PLAN_SHADOW;
	b[1].stage = PLAN_LOCK;
	b[2].family = 6;
	b[3].sport = 1;
	b[4].dport = 1;
	b[5].value = 1;
	b[6].prefix.len = 9;
	b[7].from.family = 4;
	b[8].path[0] = 'x';
	for (int i = 0; i < 9; i++) {
		struct plan_diff d;

		ck_assert(!plan_item_same(&a, &b[i]));
		ck_assert_int_eq(plan_diff_make(&d, &a, 1, &b[i], 1), 0);
		ck_assert_msg(d.n_fresh == 1 && d.n_gone == 1, "member %d", i);
		plan_diff_free(&d);
	}
}
END_TEST

START_TEST(clashes)
{
	struct plan_item r = item(PLAN_ROUTE, "10.0.0.0/8", 0), t = item(PLAN_THROW, "10.0.0.0/8", 0),
			 s = item(PLAN_SHADOW, "10.0.0.0/8", 0), o = item(PLAN_THROW, "10.0.0.0/9", 0);

	ck_assert(plan_item_clash(&r, &t) && plan_item_clash(&t, &r));
	ck_assert(!plan_item_clash(&r, &s) && !plan_item_clash(&t, &s) &&
		  !plan_item_clash(&r, &o) && !plan_item_clash(&r, &r));
}
END_TEST

static bool leads(const struct plan_item *items, size_t n, const char *text)
{
	struct prefix p;

	ck_assert_int_eq(prefix_parse(text, &p), 0);
	return plan_items_lead(items, n, &p);
}

START_TEST(what_leads)
{
	struct plan_item l[] = { item(PLAN_SHADOW, "10.0.0.0/8", 0), item(PLAN_THROW, "10.5.0.0/16", 0),
				 item(PLAN_ROUTE, "10.5.5.0/24", 0), item(PLAN_SHADOW, "10.5.0.0/16", 0),
				 item(PLAN_NFT, NULL, 1) };

	ck_assert(leads(l, 5, "10.0.0.0/8") && leads(l, 5, "10.1.0.0/16"));
	ck_assert(!leads(l, 5, "0.0.0.0/0") && !leads(l, 5, "11.0.0.0/8"));
	ck_assert(!leads(l, 5, "10.5.0.0/16"));		/* the exception before the shadow */
	ck_assert(!leads(l, 5, "10.5.6.0/24") && leads(l, 5, "10.5.5.128/25"));
	ck_assert(!leads(l, 5, "fd00::/8") && !leads(NULL, 0, "10.0.0.0/8"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan_diff");
	TCase *t = tcase_create("plan_diff");
	SRunner *r;
	int failed;

	tcase_add_test(t, nothing_differs);
	tcase_add_test(t, fresh_and_gone);
	tcase_add_test(t, each_member_counts);
	tcase_add_test(t, clashes);
	tcase_add_test(t, what_leads);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
