/* SPDX-License-Identifier: MIT */
/* What Sentry offers stays within what the profile leaves open. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/offer.h"

static struct profile *p;
static struct plan_names names;
static struct plan_offer o;

static struct ipaddr A(const char *text)
{
	struct ipaddr a;

	ck_assert_msg(!addr_parse(text, &a), "%s", text);
	return a;
}

static void setup(void)
{
	p = calloc(1, sizeof(*p));
	ck_assert_ptr_nonnull(p);
	p->mtu = 1400;
	plan_names_default(&names, 0);
	memset(&o, 0, sizeof(o));
	o.addr4 = A("172.28.13.2");
	o.mtu = 1400;
	o.n_resolvers = 1;
	o.resolvers[0] = A("10.0.0.53");
	o.n_search = 1;
	strcpy(o.search[0], "corp.example");
}

static void teardown(void)
{
	free(p);
}

#define GOOD() ck_assert_ptr_null(offer_check(p, &o, &names))
#define BAD() ck_assert_ptr_nonnull(offer_check(p, &o, &names))

START_TEST(addresses)
{
	static const char *const bad[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1",
		"240.0.0.1", "255.255.255.255", "198.18.53.53" };
	size_t i;

	GOOD();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o.addr4 = A(bad[i]);
		ck_assert_msg(offer_check(p, &o, &names), "%s", bad[i]);
	}
	memset(&o.addr4, 0, sizeof(o.addr4));
	BAD();			/* none at all */
	o.addr6 = A("fd00::2");
	GOOD();
	o.addr6 = A("::1");
	BAD();
	o.addr6 = A("ff02::1");
	BAD();
	o.addr6 = names.service6;
	BAD();
}
END_TEST

START_TEST(what_the_profile_fixes)
{
	p->tun4 = A("172.28.13.3");
	BAD();
	o.addr4 = p->tun4;
	GOOD();
	o.mtu = 1401;
	BAD();
	o.mtu = 1280;
	GOOD();
	p->n_resolvers = 1;
	p->resolvers[0] = A("10.0.0.54");
	BAD();
	o.resolvers[0] = p->resolvers[0];
	GOOD();
	o.n_resolvers = 2;
	o.resolvers[1] = A("10.0.0.55");
	BAD();
	o.n_resolvers = 1;
	p->n_search = 1;
	strcpy(p->search[0], "other.example");
	BAD();
	strcpy(o.search[0], "other.example");
	GOOD();
}
END_TEST

START_TEST(resolvers)
{
	o.resolvers[0] = A("127.0.0.53");
	BAD();
	o.resolvers[0] = A("0.0.0.0");
	BAD();
	o.resolvers[0] = A("ff02::fb");
	BAD();
	o.n_resolvers = 0;
	GOOD();
}
END_TEST

START_TEST(addresses_of_the_machine)
{
	o.addr4 = A("127.0.0.1");	/* lo has it everywhere */
	ck_assert_int_eq(offer_address_used(&o), -EADDRINUSE);
	o.addr4 = A("203.0.113.77");
	ck_assert_int_eq(offer_address_used(&o), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("offer");
	TCase *t = tcase_create("offer");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, addresses);
	tcase_add_test(t, what_the_profile_fixes);
	tcase_add_test(t, resolvers);
	tcase_add_test(t, addresses_of_the_machine);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
