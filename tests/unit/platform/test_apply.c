/* SPDX-License-Identifier: MIT */
/* apply.h on a machine in memory: all or nothing, whatever fails. */
#include "tests/unit/platform/fake_machine.h"

/* ---- tests -------------------------------------------------------------------------- */

START_TEST(up_and_down)
{
	struct plan plan;
	char line[PLAN_LINE_MAX];

	ck_assert_int_eq(lock(), 0);
	ck_assert_uint_eq(count(PLAN_SHADOW), 4);
	ck_assert_uint_eq(count(PLAN_RULE), 2);
	ck_assert_uint_eq(count(PLAN_ROUTE), 0);
	ck_assert(resolv_has("192.0.2.53"));
	ck_assert_int_eq(lock(), -EALREADY);
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_int_ge(tun, 0);
	ck_assert(vnet_hdr);
	ck_assert_uint_eq(count(PLAN_ROUTE), 4);
	ck_assert_uint_eq(m.sysctl[0], 1);
	ck_assert(resolv_has("nameserver 198.18.53.53"));
	/* what was printed is the plan, line by line */
	ck_assert_int_eq(plan_build(&plan, &profile, &offer, &names), 0);
	ck_assert_uint_eq(n_said, plan.n);
	for (size_t i = 0; i < plan.n; i++) {
		plan_item_text(&plan, &plan.items[i], line, sizeof(line));
		ck_assert_str_eq(said[i], line);
	}
	plan_free(&plan);
	ck_assert_int_eq(undo(), 0);
	as_before();
	ck_assert_int_eq(undo(), 0);
	ck_assert_int_eq(lock(), 0);	/* and again */
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

/* whoever changed it after us knows why */
START_TEST(others_settings_stay)
{
	ck_assert_int_eq(lock(), 0);
	m.sysctl[0] = 2;
	ck_assert_int_eq(undo(), 0);
	ck_assert_uint_eq(m.sysctl[0], 2);
	m.sysctl[0] = 0;
	as_before();
}
END_TEST

/* who can write there can have anything undone */
START_TEST(state_folder_open_to_others)
{
	ck_assert(!mkdir(state, 0700));
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert(!chmod(state, i ? 0702 : 0720));
		ck_assert_int_eq(lock(), -EPERM);
		ck_assert_uint_eq(m.calls, 0);
	}
	ck_assert(!chmod(state, 0755));
	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

START_TEST(conflict_changes_nothing)
{
	m.foreign = true;
	ck_assert_int_eq(lock(), -EEXIST);
	ck_assert_str_eq(why, "somebody is here");
	ck_assert_uint_eq(m.calls, 0);
	as_before();
}
END_TEST

START_TEST(no_journal_no_change)
{
	FILE *f = fopen(state, "w");

	fclose(f);
	ck_assert_int_lt(lock(), 0);
	ck_assert_ptr_nonnull(strstr(why, "state"));
	ck_assert_uint_eq(m.calls, 0);
	ck_assert(!unlink(state));
}
END_TEST

/* an error at each call: the lock goes back whole; the tunnel stage goes, the lock stays */
START_TEST(error_at_every_call)
{
	static const int errors[] = { -EPERM, -ENOBUFS, -EBUSY };
	unsigned int lock_calls, all_calls;

	ck_assert_int_eq(lock(), 0);
	lock_calls = m.calls;
	ck_assert_int_eq(tunnel(), 0);
	all_calls = m.calls;
	ck_assert_int_eq(undo(), 0);
	for (unsigned int n = 1; n <= all_calls; n++) {
		int error = errors[n % 3];

		m.calls = 0;
		m.fail_at = n;
		m.fail_with = error;
		why[0] = '\0';
		n_said = 0;
		if (n <= lock_calls) {
			ck_assert_int_eq(lock(), error);
			ck_assert_ptr_nonnull(strstr(why, strerror(-error)));
			as_before();
			continue;
		}
		ck_assert_int_eq(lock(), 0);
		ck_assert_int_eq(tunnel(), error);
		ck_assert_uint_eq(count(PLAN_SHADOW), 4);
		ck_assert_uint_eq(count(PLAN_ROUTE) + count(PLAN_ADDR), 0);
		ck_assert(!m.tun[0][0] && resolv_has("192.0.2.53"));
		m.fail_at = 0;
		ck_assert_int_eq(tunnel(), 0);	/* a second try may succeed */
		ck_assert_int_eq(undo(), 0);
		as_before();
	}
}
END_TEST

/* all hope lost at each call (nothing can be undone), then cleanup after a restart */
START_TEST(death_at_every_call)
{
	unsigned int n;
	int cleaned = 0;

	for (n = 1; n < 200; n++) {
		bool over;
		int got;

		m.calls = 0;
		m.fail_at = n;
		m.fail_with = -EPERM;
		m.dead = true;
		n_said = 0;
		if (!lock() && !tunnel())
			(void)undo();
		over = m.calls < n;
		apply_free(a);
		m.fail_at = 0;
		m.tun[0][0] = '\0';		/* the TUN dies with its owner */
		if (tun >= 0)
			close(tun);
		tun = -1;
		got = apply_cleanup(&fake, &m, state, say, NULL);
		ck_assert_int_ge(got, 0);
		cleaned += got;
		as_before();
		ck_assert_int_eq(apply_cleanup(&fake, &m, state, say, NULL), 0);
		a = apply_new(&fake, &m, state, "corp", say, NULL);
		if (over)
			break;
	}
	ck_assert_uint_gt(n, 40);
	ck_assert_uint_lt(n, 200);
	ck_assert_int_gt(cleaned, 40);
}
END_TEST

START_TEST(undo_that_fails_says_so)
{
	ck_assert_int_eq(lock(), 0);
	m.calls = 0;
	m.fail_at = 1;
	m.fail_with = -EPERM;
	m.dead = true;
	ck_assert_int_eq(undo(), -EIO);
	ck_assert_ptr_nonnull(strstr(why, "ip -6 rule delete not fwmark"));
	m.fail_at = 0;
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

START_TEST(reads_back)
{
	m.lie = true;
	ck_assert_int_eq(lock(), -EIO);
	ck_assert_ptr_nonnull(strstr(why, "read back"));
	as_before();
	m.lie = false;
	ck_assert_int_eq(lock(), 0);
	/* somebody removed a shadow and the filter: both are set again */
	for (size_t k = 0; k < m.n; k++)
		if (m.things[k].item.kind == PLAN_SHADOW)
			m.things[k--] = m.things[--m.n];
	m.nft[0][0] = '\0';
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_uint_eq(count(PLAN_SHADOW), 4);
	ck_assert(m.nft[0][0]);
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

START_TEST(reconnection_changes_what_differs)
{
	unsigned int before;

	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(tunnel(), 0);
	before = m.calls;
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_uint_eq(m.calls, before);
	/* other search domains: the file alone */
	offer.n_search = 1;
	snprintf(offer.search[0], PROFILE_NAME_MAX, "corp.internal");
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_uint_eq(m.calls, before);
	ck_assert(resolv_has("search corp.internal"));
	/* another address and MTU: routes are not touched, the old address goes last */
	addr_parse("172.28.13.7", &offer.addr4);
	offer.mtu = 1300;
	n_said = 0;
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_uint_eq(m.mtu, 1300);
	ck_assert_uint_eq(count(PLAN_ADDR), 2);
	ck_assert_uint_eq(count(PLAN_ROUTE), 4);
	ck_assert_uint_eq(n_said, 5);
	ck_assert_str_eq(said[2], "ip -4 address add 172.28.13.7/32 dev atp0 noprefixroute");
	ck_assert_str_eq(said[4], "ip -4 address delete 172.28.13.2/32 dev atp0");
	/* the network's own tools wrote over our file: theirs is kept, ours is back */
	put_resolv("nameserver 192.0.2.77\n");
	ck_assert_int_eq(tunnel(), 0);
	ck_assert(resolv_has("198.18.53.53"));
	ck_assert_int_eq(undo(), 0);
	ck_assert(resolv_has("nameserver 192.0.2.77\n"));
	put_resolv("nameserver 192.0.2.53\n");
	as_before();
}
END_TEST

START_TEST(engine_restart)
{
	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(tunnel(), 0);
	close(tun);
	m.tun[0][0] = '\0';
	for (size_t k = 0; k < m.n; k++)	/* what the kernel flushes with it */
		if (m.things[k].item.kind == PLAN_ROUTE || m.things[k].item.kind == PLAN_ADDR)
			m.things[k--] = m.things[--m.n];
	ck_assert_int_eq(apply_restart(a), 0);
	ck_assert_uint_eq(count(PLAN_SHADOW), 4);
	ck_assert_uint_eq(m.n_elements, 0);
	ck_assert(resolv_has("198.18.53.53"));
	tun = -1;
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_int_ge(tun, 0);
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

/* a session of many restarts does not fill the disk */
START_TEST(journal_stays_small)
{
	struct stat st;

	for (unsigned int i = 0; i < 30; i++) {
		char text[32];

		snprintf(text, sizeof(text), "192.0.%u.0/24", i);
		prefix_parse(text, &profile.routes[profile.n_routes++]);
	}
	ck_assert_int_eq(lock(), 0);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(tunnel(), 0);
		close(tun);
		tun = -1;
		n_said = 0;
		ck_assert_int_eq(apply_restart(a), 0);
	}
	ck_assert(!stat(journal_path, &st));
	ck_assert_int_lt(st.st_size, 100000);
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

START_TEST(two_profiles)
{
	struct apply *first = a, *second;

	m.sysctl[1] = 1;		/* this one the administrator had set */
	ck_assert_int_eq(lock(), 0);
	use("home", 1);
	second = a = apply_new(&fake, &m, state, "home", say, NULL);
	ck_assert_int_eq(lock(), 0);
	ck_assert_uint_eq(count(PLAN_RULE_MAIN), 2);
	ck_assert_uint_eq(count(PLAN_RULE), 4);
	/* a third hand may not take over a live one */
	a = apply_new(&fake, &m, state, "home", say, NULL);
	ck_assert_int_eq(lock(), -EEXIST);
	apply_free(a);
	ck_assert_int_eq(apply_cleanup(&fake, &m, state, say, NULL), 0);
	a = first;
	use("corp", 0);
	ck_assert_int_eq(undo(), 0);
	ck_assert_uint_eq(count(PLAN_RULE_MAIN), 2);
	ck_assert_uint_eq(count(PLAN_RULE), 2);
	ck_assert_uint_eq(m.sysctl[0], 1);
	a = second;
	ck_assert_int_eq(undo(), 0);
	apply_free(second);
	a = first;
	ck_assert_uint_eq(m.sysctl[1], 1);
	m.sysctl[1] = 0;
	as_before();
}
END_TEST

/* what stands where ours would is somebody's: it is named, and stays */
START_TEST(a_stranger_stays)
{
	struct thing *t = &m.things[m.n++];

	*t = (struct thing){ .item = { .kind = PLAN_SHADOW, .family = 6 } };
	prefix_parse("fd00:10::/32", &t->item.prefix);
	snprintf(t->tun, sizeof(t->tun), "atp0");
	ck_assert_int_eq(lock(), -EEXIST);
	ck_assert_ptr_nonnull(strstr(why, "unreachable fd00:10::/32"));
	ck_assert_uint_eq(m.n, 1);
	m.n = 0;
	as_before();
}
END_TEST

/* killed while it wrote resolv.conf in place: half a text is nobody's, so it goes */
START_TEST(half_written)
{
	char text[8192], *done;
	FILE *f;
	size_t n;

	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(tunnel(), 0);
	close(tun);
	tun = -1;
	m.tun[0][0] = '\0';
	apply_free(a);
	f = fopen(journal_path, "r");
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	done = strstr(text, "\n= ");
	ck_assert_ptr_nonnull(done);
	ck_assert(!truncate(journal_path, done + 1 - text));
	ck_assert(!truncate(resolv, 30));
	ck_assert_int_eq(apply_cleanup(&fake, &m, state, say, NULL), 1);
	as_before();
	a = apply_new(&fake, &m, state, "corp", say, NULL);
}
END_TEST

START_TEST(without_ipv6)
{
	m.no_ipv6 = true;
	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_uint_eq(count(PLAN_SHADOW), 2);
	ck_assert_uint_eq(count(PLAN_ADDR), 1);
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

START_TEST(connections_from_outside)
{
	static const char *const peers[] = { "10.1.2.3", "192.0.2.9" };

	for (int i = 0; i < 2; i++) {
		struct plan_item *c = &m.open[m.n_open++];

		*c = (struct plan_item){ .kind = PLAN_INBOUND, .family = 4, .sport = 22,
					 .dport = (uint16_t)(40000 + i), .prefix.len = 32 };
		addr_parse("192.0.2.2", &c->from);
		addr_parse(peers[i], &c->prefix.addr);
	}
	ck_assert_int_eq(lock(), 0);
	/* only the one whose answers the tunnel would take */
	ck_assert_uint_eq(count(PLAN_INBOUND), 1);
	ck_assert_str_eq(said[0], "ip -4 rule add from 192.0.2.2 to 10.1.2.3 ipproto tcp sport 22 "
			 "dport 40000 table main priority 4429 protocol 143");
	ck_assert_str_eq(m.elements[0],
			 "inet apptunnel open4 { 10.1.2.3 . 40000 . 192.0.2.2 . 22 }");
	ck_assert_int_eq(apply_inbound_sweep(a), 1);
	m.n_open = 0;
	ck_assert_int_eq(apply_inbound_sweep(a), 0);
	ck_assert_uint_eq(count(PLAN_INBOUND), 0);
	ck_assert_uint_eq(m.n_elements, 0);
	ck_assert_int_eq(undo(), 0);
	as_before();
	m.n_open = 2;
	profile.allow_inbound = 0;
	ck_assert_int_eq(lock(), 0);
	ck_assert_uint_eq(count(PLAN_INBOUND), 0);
	ck_assert_int_eq(undo(), 0);
}
END_TEST

START_TEST(another_boot)
{
	char text[4096];
	FILE *f;
	size_t n;

	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(tunnel(), 0);
	close(tun);
	apply_free(a);
	/* after a reboot the kernel's part is gone; somebody else uses the numbers */
	f = fopen(journal_path, "r+");
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	rewind(f);
	memcpy(strstr(text, "boot ") + 5, "00000000", 8);
	fwrite(text, 1, n, f);
	fclose(f);
	m.calls = 0;
	ck_assert_int_eq(apply_cleanup(&fake, &m, state, say, NULL), 1);
	ck_assert_uint_eq(m.calls, 0);
	memset(&m, 0, sizeof(m));
	as_before();
	a = apply_new(&fake, &m, state, "corp", say, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("apply");
	TCase *t = tcase_create("apply");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, up_and_down);
	tcase_add_test(t, others_settings_stay);
	tcase_add_test(t, state_folder_open_to_others);
	tcase_add_test(t, conflict_changes_nothing);
	tcase_add_test(t, no_journal_no_change);
	tcase_add_test(t, error_at_every_call);
	tcase_add_test(t, death_at_every_call);
	tcase_add_test(t, undo_that_fails_says_so);
	tcase_add_test(t, reads_back);
	tcase_add_test(t, reconnection_changes_what_differs);
	tcase_add_test(t, engine_restart);
	tcase_add_test(t, journal_stays_small);
	tcase_add_test(t, two_profiles);
	tcase_add_test(t, a_stranger_stays);
	tcase_add_test(t, half_written);
	tcase_add_test(t, without_ipv6);
	tcase_add_test(t, connections_from_outside);
	tcase_add_test(t, another_boot);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
