/* SPDX-License-Identifier: MIT */
/*
 * From one plan to another on a machine in memory: what stays is tunnelled, or
 * direct, at every moment; whatever fails, the old plan can be had back.
 */
#include "tests/unit/platform/fake_machine.h"

static struct profile other;		/* the profile that comes after `profile`, */
static struct plan_offer other_offer;	/* and what Sentry offers then */

static int change_to(const struct profile *p, enum plan_stage upto)
{
	struct plan plan;
	int err;

	ck_assert_int_eq(plan_build(&plan, p, p == &other && other_offer.mtu ? &other_offer :
				    &offer, &names), 0);
	err = apply_change(a, &plan, upto, why, sizeof(why));
	plan_free(&plan);
	return err;
}

static void routes(struct profile *p, const char *in, const char *ex)
{
	char text[256], *rest = text, *one;

	p->n_routes = p->n_excluded = 0;
	snprintf(text, sizeof(text), "%s", in);
	while ((one = strsep(&rest, " ")))
		if (*one)
			ck_assert_int_eq(prefix_parse(one, &p->routes[p->n_routes++]), 0);
	rest = text;
	snprintf(text, sizeof(text), "%s", ex);
	while ((one = strsep(&rest, " ")))
		if (*one)
			ck_assert_int_eq(prefix_parse(one, &p->excluded[p->n_excluded++]), 0);
}

/* ---- where an address goes, by the machine's table --------------------------- */

enum way { DIRECT, REFUSED, TUNNEL };

static enum way way(const struct ipaddr *to)
{
	enum way found = DIRECT;
	int best = -1;

	for (size_t k = 0; k < m.n; k++) {
		const struct plan_item *i = &m.things[k].item;
		int metric = i->kind == PLAN_SHADOW ? 0 : 1;

		if ((i->kind != PLAN_SHADOW && i->kind != PLAN_THROW && i->kind != PLAN_ROUTE) ||
		    !prefix_has(&i->prefix, to) || i->prefix.len * 2 + metric <= best)
			continue;
		best = i->prefix.len * 2 + metric;
		found = i->kind == PLAN_ROUTE ? TUNNEL : i->kind == PLAN_THROW ? DIRECT : REFUSED;
	}
	return found;
}

#define WATCHED	32

static struct {
	struct ipaddr addr;
	enum way old, now;		/* in the old plan, and the last time it was looked at */
	bool stays;
} watched[WATCHED];

/* what both plans tunnel is tunnelled now; what both leave alone is left alone;
 * what is to be tunnelled is never direct again once it was refused */
static void look(void)
{
	char text[ADDR_STRLEN];

	for (int k = 0; k < WATCHED; k++) {
		enum way w = way(&watched[k].addr);

		addr_format(&watched[k].addr, text);
		if (watched[k].stays)
			ck_assert_msg(w == watched[k].old, "%s is on another way (%d, not %d)", text,
				      (int)w, (int)watched[k].old);
		else if (watched[k].old == DIRECT)
			ck_assert_msg(w >= watched[k].now, "%s goes back from %d to %d", text,
				      (int)watched[k].now, (int)w);
		watched[k].now = w;
	}
}

static size_t snapshot(struct thing *out)
{
	memcpy(out, m.things, sizeof(m.things));
	return m.n;
}

static bool same_things(const struct thing *t, size_t n)
{
	if (n != m.n)
		return false;
	for (size_t k = 0; k < n; k++) {
		bool found = false;

		for (size_t i = 0; i < m.n; i++)
			found |= same_thing(&m.things[i], &t[k].item, &names);
		if (!found)
			return false;
	}
	return true;
}

/* ---- tests -------------------------------------------------------------------- */

START_TEST(only_the_difference)
{
	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(tunnel(), 0);
	other = profile;
	m.calls = 0;
	n_said = 0;
	ck_assert_int_eq(change_to(&other, PLAN_TUNNEL), 0);
	ck_assert_uint_eq(m.calls, 0);
	ck_assert_uint_eq(n_said, 0);
	/* one more: shadow, rule set, route; then one less */
	routes(&other, "10.0.0.0/8 fd00:10::/32 172.16.0.0/12", "10.9.0.0/16");
	ck_assert_int_eq(change_to(&other, PLAN_LOCK), 0);
	ck_assert_uint_eq(m.calls, 2);
	ck_assert_uint_eq(count(PLAN_SHADOW), 5);
	ck_assert_uint_eq(count(PLAN_ROUTE), 4);
	ck_assert_int_eq(change_to(&other, PLAN_TUNNEL), 0);
	ck_assert_uint_eq(m.calls, 3);
	ck_assert_uint_eq(count(PLAN_ROUTE), 5);
	ck_assert_int_eq(change_to(&profile, PLAN_TUNNEL), 0);
	ck_assert_uint_eq(m.calls, 6);
	ck_assert_uint_eq(count(PLAN_SHADOW), 4);
	ck_assert_uint_eq(count(PLAN_ROUTE), 4);
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

static void pick_routes(struct profile *p, unsigned int *seed)
{
	static const char *const pool[] = {
		"10.0.0.0/8", "10.5.0.0/16", "10.5.5.0/24", "10.5.5.128/25", "10.0.0.0/9",
		"10.5.128.0/17", "10.5.5.5/32", "0.0.0.0/0", "10.5.5.4/30", "10.64.0.0/10",
	};
	char in[256] = "", ex[256] = "";

	for (size_t k = 0; k < sizeof(pool) / sizeof(pool[0]); k++) {
		int what = rand_r(seed) % 4;
		char *to = what == 0 ? in : what == 1 ? ex : NULL;

		if (to)
			snprintf(to + strlen(to), 256 - strlen(to), "%s ", pool[k]);
	}
	routes(p, in, ex);
}

/* what goes where in the end is what a machine says that knew nothing else */
static void expect(const struct profile *p, enum way *out)
{
	struct machine kept = m;
	struct plan plan;

	m.n = 0;
	ck_assert_int_eq(plan_build(&plan, p, &offer, &names), 0);
	for (size_t k = 0; k < plan.n; k++)
		m.things[m.n++].item = plan.items[k];
	for (int k = 0; k < WATCHED; k++)
		out[k] = way(&watched[k].addr);
	plan_free(&plan);
	m = kept;
}

START_TEST(nothing_that_stays_is_touched)
{
	enum way after[WATCHED];
	unsigned int seed = 4711;

	for (int round = 0; round < 400; round++) {
		pick_routes(&profile, &seed);
		pick_routes(&other, &seed);
		ck_assert_int_eq(lock(), 0);
		ck_assert_int_eq(tunnel(), 0);
		for (int step = 0; step < 4; step++) {
			const struct profile *to = step % 2 ? &profile : &other;

			for (int k = 0; k < WATCHED; k++) {
				static const char *const from[] = {
					"10.5.5.5", "10.5.5.4", "10.5.5.200", "10.5.200.1",
					"10.5.1.1", "10.200.1.1", "10.70.1.1", "192.0.2.1",
				};

				addr_parse(from[k % 8], &watched[k].addr);
				watched[k].now = watched[k].old = way(&watched[k].addr);
			}
			expect(to, after);
			for (int k = 0; k < WATCHED; k++)
				watched[k].stays = watched[k].old == after[k];
			m.watch = look;
			if (rand_r(&seed) % 2)
				ck_assert_int_eq(change_to(to, PLAN_LOCK), 0);
			ck_assert_int_eq(change_to(to, PLAN_TUNNEL), 0);
			m.watch = NULL;
			for (int k = 0; k < WATCHED; k++)
				ck_assert_int_eq(way(&watched[k].addr), after[k]);
		}
		ck_assert_int_eq(undo(), 0);
		as_before();
		n_said = 0;
	}
}
END_TEST

/* all that a profile can change on the machine, at once */
static void all_differs(void)
{
	other = profile;
	routes(&other, "10.1.0.0/16 10.9.0.0/16 0.0.0.0/1", "fd00:10::/32 10.8.0.0/16");
	other.mtu = 1300;
	addr_parse("172.28.13.9", &other.tun4);
	other_offer = offer;
	other_offer.mtu = 1300;
	other_offer.n_search = 1;
	snprintf(other_offer.search[0], sizeof(other_offer.search[0]), "new.example");
	other.lock_mode = LOCK_OFF;
	other.lock_ipv6 = LOCK_IPV6_BLOCK;
	other.allow_inbound = 0;
}

START_TEST(error_at_every_call_leads_back)
{
	struct thing before[256];
	unsigned int calls;
	size_t n;

	m.n_open = 1;
	m.open[0] = (struct plan_item){ .kind = PLAN_INBOUND, .family = 4, .sport = 22, .dport = 999 };
	prefix_parse("10.3.3.3/32", &m.open[0].prefix);
	addr_parse("192.0.2.2", &m.open[0].from);
	all_differs();
	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_uint_eq(count(PLAN_INBOUND), 1);
	m.calls = 0;
	ck_assert_int_eq(change_to(&other, PLAN_TUNNEL), 0);
	calls = m.calls;
	ck_assert_uint_eq(m.mtu, 1300);
	ck_assert_uint_eq(count(PLAN_INBOUND), 0);
	ck_assert_uint_eq(count(PLAN_SHADOW), 0);
	ck_assert(resolv_has("search new.example"));
	ck_assert_int_eq(change_to(&profile, PLAN_TUNNEL), 0);
	ck_assert_uint_eq(m.mtu, 1400);
	ck_assert(!resolv_has("new.example"));
	ck_assert_uint_eq(count(PLAN_INBOUND), 0);	/* it is as old as the profile now */
	m.n_open = 0;
	n = snapshot(before);
	ck_assert_uint_gt(calls, 15);
	for (unsigned int at = 1; at <= calls; at++) {
		int err;

		m.calls = 0;
		m.fail_at = at;
		m.fail_with = -ENOBUFS;
		n_said = 0;
		err = change_to(&other, PLAN_TUNNEL);
		m.fail_at = 0;
		if (err) {
			ck_assert_int_eq(err, -ENOBUFS);
			ck_assert_ptr_nonnull(strstr(why, strerror(ENOBUFS)));
		}
		ck_assert_int_eq(change_to(&profile, PLAN_TUNNEL), 0);
		ck_assert_uint_eq(m.mtu, 1400);
		ck_assert(same_things(before, n));
		ck_assert(resolv_has("nameserver 198.18.53.53") && !resolv_has("new.example"));
	}
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

START_TEST(death_at_every_call_is_cleared_away)
{
	for (unsigned int at = 1, calls = 2; at < calls; at++) {
		memset(&m, 0, sizeof(m));
		all_differs();
		ck_assert_int_eq(lock(), 0);
		ck_assert_int_eq(tunnel(), 0);
		m.calls = 0;
		m.fail_at = at;
		m.fail_with = -EIO;
		m.dead = true;
		if (!change_to(&other, PLAN_TUNNEL))
			calls = at;	/* it needs no more than so many */
		else
			calls = at + 2;
		/* the process is gone; another one cleans up */
		apply_free(a);
		close(tun);
		tun = -1;
		m.fail_at = 0;
		ck_assert_int_eq(apply_cleanup(&fake, &m, state, say, NULL), 1);
		as_before();
		n_said = 0;
		a = apply_new(&fake, &m, state, "corp", say, NULL);
		ck_assert_ptr_nonnull(a);
	}
}
END_TEST

/* before the engine has a TUN there is only the lock to change */
START_TEST(without_a_tunnel)
{
	other = profile;
	routes(&other, "10.0.0.0/8 172.16.0.0/12", "");
	ck_assert_int_eq(change_to(&other, PLAN_TUNNEL), -EINVAL);
	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(change_to(&other, PLAN_TUNNEL), 0);
	ck_assert_uint_eq(count(PLAN_SHADOW), 4);
	ck_assert_uint_eq(count(PLAN_THROW), 0);
	ck_assert_uint_eq(count(PLAN_ROUTE), 0);
	profile = other;
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_uint_eq(count(PLAN_ROUTE), 4);
	/* the engine died: its TUN is gone, the names stay tunnelled */
	m.tun[0][0] = '\0';
	for (size_t k = 0; k < m.n; k++)
		if (m.things[k].item.kind == PLAN_ROUTE || m.things[k].item.kind == PLAN_ADDR)
			m.things[k--] = m.things[--m.n];
	ck_assert_int_eq(apply_restart(a), 0);
	routes(&other, "10.0.0.0/8", "");
	ck_assert_int_eq(change_to(&other, PLAN_TUNNEL), 0);
	ck_assert_uint_eq(count(PLAN_SHADOW), 3);
	ck_assert(resolv_has("198.18.53.53"));
	profile = other;
	close(tun);
	ck_assert_int_eq(tunnel(), 0);
	ck_assert_uint_eq(count(PLAN_ROUTE), 3);
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

/* a connection from outside that the new plan would take stays as it is */
START_TEST(inbound_stays)
{
	ck_assert_int_eq(lock(), 0);
	ck_assert_int_eq(tunnel(), 0);
	m.n_open = 2;
	m.open[0] = (struct plan_item){ .kind = PLAN_INBOUND, .family = 4, .sport = 22, .dport = 999 };
	prefix_parse("172.16.3.3/32", &m.open[0].prefix);
	addr_parse("192.0.2.2", &m.open[0].from);
	m.open[1] = m.open[0];
	prefix_parse("198.51.100.9/32", &m.open[1].prefix);
	other = profile;
	routes(&other, "10.0.0.0/8 172.16.0.0/12", "");
	ck_assert_int_eq(change_to(&other, PLAN_LOCK), 0);
	ck_assert_uint_eq(count(PLAN_INBOUND), 1);
	ck_assert_uint_eq(m.n_elements, 4);	/* three guards, and it */
	ck_assert_int_eq(change_to(&profile, PLAN_TUNNEL), 0);
	ck_assert_int_eq(undo(), 0);
	as_before();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("apply_change");
	TCase *t = tcase_create("apply_change");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, only_the_difference);
	tcase_add_test(t, nothing_that_stays_is_touched);
	tcase_add_test(t, error_at_every_call_leads_back);
	tcase_add_test(t, death_at_every_call_is_cleared_away);
	tcase_add_test(t, without_a_tunnel);
	tcase_add_test(t, inbound_stays);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
