/* SPDX-License-Identifier: MIT */
/*
 * The machine is a list in memory that the table of operations works on; it can
 * fail at any call, and it checks that each change was announced before.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/apply.h"
#include "platform/journal.h"

#define LINES_MAX	4096

/* ---- the machine -------------------------------------------------------------- */

struct thing {
	struct plan_item item;
	char tun[16];
};

static struct machine {
	struct thing things[256];
	size_t n;
	uint32_t sysctl[4];
	char nft[4][32];		/* tables that stand */
	char elements[64][96];		/* "TABLE SET" of guards */
	size_t n_elements;
	char tun[2][16];
	uint32_t mtu;
	/* faults */
	unsigned int calls;		/* changing calls so far */
	unsigned int fail_at;		/* 0: never; that call fails */
	int fail_with;
	bool dead;			/* that call and all later ones fail */
	bool no_ipv6, lie, foreign;
	struct plan_item open[8];
	int n_open;
} m;

static char base[64], state[96], resolv[96], journal_path[160];
static char said[LINES_MAX][256];
static size_t n_said;

static void say(void *arg, const char *line)
{
	(void)arg;
	ck_assert(!strncmp(line, "[#] ", 4));
	ck_assert_uint_lt(n_said, LINES_MAX);
	snprintf(said[n_said++], sizeof(said[0]), "%s", line + 4);
}

static int fault(void)
{
	m.calls++;
	if (m.fail_at && (m.calls == m.fail_at || (m.dead && m.calls > m.fail_at)))
		return m.fail_with;
	return 0;
}

/*
 * How much of a file a crash of the machine would leave: in place of libc's,
 * which would tell nobody that it was called.
 */
static struct synced {
	ino_t ino;
	off_t size;
} synced[8];
static unsigned int n_synced;

static int sync_note(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -1;
	synced[n_synced++ % 8] = (struct synced){ st.st_ino, st.st_size };
	return 0;
}

int fsync(int fd)
{
	return sync_note(fd);
}

int fdatasync(int fd)
{
	return sync_note(fd);
}

static off_t synced_size(FILE *f)
{
	struct stat st;

	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	for (unsigned int k = n_synced; k > 0 && k + 8 > n_synced; k--)
		if (synced[(k - 1) % 8].ino == st.st_ino)
			return synced[(k - 1) % 8].size;
	return 0;
}

/* is the item in somebody's journal, on disk, before it is done? */
static void announced(const struct plan_item *i)
{
	char line[512], prefix[PREFIX_STRLEN];
	bool found = false;
	off_t size;
	FILE *f;

	f = fopen(journal_path, "r");
	ck_assert_ptr_nonnull(f);
	size = synced_size(f);
	prefix_format(&i->prefix, prefix);
	while (!found && fgets(line, sizeof(line), f) && ftell(f) <= size) {
		unsigned int seq, kind;
		int at = 0;

		if (sscanf(line, "+ %u %u%n", &seq, &kind, &at) == 2)
			found = kind == i->kind && strstr(line + at, prefix);
	}
	fclose(f);
	ck_assert_msg(found, "kind %u %s was not announced", i->kind, prefix);
}

static bool same_thing(const struct thing *t, const struct plan_item *i,
		       const struct plan_names *n)
{
	return t->item.kind == i->kind && t->item.family == i->family &&
	       t->item.sport == i->sport && t->item.dport == i->dport &&
	       prefix_equal(&t->item.prefix, &i->prefix) &&
	       /* the DHCP rules are one for all engines */
	       (i->kind == PLAN_RULE_MAIN || !strcmp(t->tun, n->tun));
}

static int change(bool add, const struct plan_item *i, const struct plan_names *n)
{
	int err = fault();

	if (err)
		return err;
	if (m.no_ipv6 && i->family == 6)
		return -EAFNOSUPPORT;
	for (size_t k = 0; k < m.n; k++) {
		if (!same_thing(&m.things[k], i, n))
			continue;
		if (add)
			return -EEXIST;
		m.things[k] = m.things[--m.n];
		return 0;
	}
	if (!add)
		return -ESRCH;
	announced(i);
	m.things[m.n].item = *i;
	snprintf(m.things[m.n++].tun, sizeof(n->tun), "%s", n->tun);
	return 0;
}

static int f_rule(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	ck_assert_ptr_eq(ctx, &m);
	return change(add, i, n);
}

static int f_route(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	return change(add, i, n);
}

static int f_addr(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	return change(add, i, n);
}

static int f_link(void *ctx, const struct plan_item *i, const struct plan_names *n)
{
	int err = fault();

	(void)ctx;
	(void)n;
	if (!err)
		m.mtu = i->value;
	return err;
}

static int f_tun(void *ctx, const struct plan_names *n, int *fd, bool *vnet_hdr)
{
	int err = fault(), at = n->tun[3] - '0';

	(void)ctx;
	if (err)
		return err;
	if (!fd) {
		if (!m.tun[at][0])
			return -ENODEV;
		m.tun[at][0] = '\0';
		return 0;
	}
	snprintf(m.tun[at], sizeof(m.tun[at]), "%s", n->tun);
	*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	*vnet_hdr = true;
	return 0;
}

static void element(bool add, const char *line)
{
	char text[96];

	snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, line);
	for (size_t k = 0; k < m.n_elements; k++) {
		if (strcmp(m.elements[k], text))
			continue;
		if (!add)
			memcpy(m.elements[k], m.elements[--m.n_elements], sizeof(text));
		return;
	}
	if (add)
		snprintf(m.elements[m.n_elements++], sizeof(text), "%s", text);
}

static int f_nft(void *ctx, const char *text)
{
	static char copy[PLAN_NFT_MAX * 2];
	char *rest = copy, *l;
	int err = fault();

	(void)ctx;
	if (err)
		return err;
	snprintf(copy, sizeof(copy), "%s", text);
	while ((l = strsep(&rest, "\n"))) {
		char name[32];
		int at = 0;

		if (sscanf(l, "delete table inet %31s", name) == 1) {
			m.nft[name[9] ? name[9] - '0' : 0][0] = '\0';
			m.n_elements = 0;
		} else if (sscanf(l, "table inet %31s {", name) == 1) {
			snprintf(m.nft[name[9] ? name[9] - '0' : 0], 32, "%s", name);
		} else if (!sscanf(l, "add element %n", &at) && at) {
			element(true, l + at);
		} else if (!sscanf(l, "delete element %n", &at) && at) {
			element(false, l + at);
		}
	}
	return 0;
}

static const char *const sysctl_paths[] = { "net/ipv4/conf/all/src_valid_mark",
	"net/ipv4/tcp_fwmark_accept", "net/ipv4/fwmark_reflect", "net/ipv6/fwmark_reflect" };

static int sysctl_index(const char *path)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(path, sysctl_paths[i]))
			return m.no_ipv6 && i == 3 ? -ENOENT : i;
	return -ENOENT;
}

static int f_sysctl_get(void *ctx, const char *path, uint32_t *value)
{
	int i = sysctl_index(path);

	(void)ctx;
	if (i >= 0)
		*value = m.sysctl[i];
	return i < 0 ? i : 0;
}

static int f_sysctl_set(void *ctx, const char *path, uint32_t value)
{
	int i = sysctl_index(path), err = fault();

	(void)ctx;
	if (i < 0 || err)
		return i < 0 ? i : err;
	m.sysctl[i] = value;
	return 0;
}

static int f_conflict(void *ctx, const struct plan_names *n, char *what, size_t size)
{
	(void)ctx;
	(void)n;
	if (!m.foreign)
		return 0;
	snprintf(what, size, "somebody is here");
	return -EEXIST;
}

static int f_connections(void *ctx, struct plan_item *out, size_t max)
{
	(void)ctx;
	ck_assert_uint_ge(max, 8);
	memcpy(out, m.open, sizeof(m.open));
	return m.n_open;
}

static int f_present(void *ctx, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	if (!i)
		return 0;
	if (m.lie && i->kind == PLAN_RULE)
		return -ENOENT;
	if (i->kind == PLAN_SYSCTL)
		return m.sysctl[sysctl_index(i->path)] == i->value ? 0 : -ENOENT;
	if (i->kind == PLAN_NFT)
		return m.nft[n->tun[3] - '0'][0] ? 0 : -ENOENT;
	if (i->kind == PLAN_TUN || i->kind == PLAN_LINK)
		return m.tun[n->tun[3] - '0'][0] ? 0 : -ENOENT;
	if (i->kind == PLAN_GUARD)
		return m.n_elements ? 0 : -ENOENT;
	for (size_t k = 0; k < m.n; k++)
		if (same_thing(&m.things[k], i, n))
			return 0;
	return -ENOENT;
}

static const struct sys_ops fake = {
	.rule = f_rule, .route = f_route, .addr = f_addr, .link = f_link, .tun = f_tun,
	.nft = f_nft, .sysctl_get = f_sysctl_get, .sysctl_set = f_sysctl_set,
	.conflict = f_conflict, .connections = f_connections, .present = f_present,
};

/* ---- the frame of a test --------------------------------------------------------- */

static struct profile profile;
static struct plan_offer offer;
static struct plan_names names;
static struct apply *a;
static char why[512];
static int tun;
static bool vnet_hdr;

static void put_resolv(const char *text)
{
	FILE *f = fopen(resolv, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static bool resolv_has(const char *text)
{
	char buf[1024];
	FILE *f = fopen(resolv, "r");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(buf, 1, sizeof(buf) - 1, f);
	buf[n] = '\0';
	fclose(f);
	return strstr(buf, text);
}

static void use(const char *stem, unsigned int engine)
{
	snprintf(profile.stem, sizeof(profile.stem), "%s", stem);
	plan_names_default(&names, engine);
	snprintf(names.resolv_conf, sizeof(names.resolv_conf), "%s", resolv);
	snprintf(journal_path, sizeof(journal_path), "%s/%s.journal", state, stem);
}

static void setup(void)
{
	memset(&m, 0, sizeof(m));
	memset(&profile, 0, sizeof(profile));
	memset(&offer, 0, sizeof(offer));
	/* thousands of syncs: where they cost nothing, if there is such a place */
	snprintf(base, sizeof(base), "%s/apptunnel-apply.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(state, sizeof(state), "%s/state", base);
	snprintf(resolv, sizeof(resolv), "%s/resolv.conf", base);
	put_resolv("nameserver 192.0.2.53\n");
	use("corp", 0);
	profile.mtu = 1400;
	profile.allow_inbound = 1;
	prefix_parse("10.0.0.0/8", &profile.routes[profile.n_routes++]);
	prefix_parse("fd00:10::/32", &profile.routes[profile.n_routes++]);
	prefix_parse("10.9.0.0/16", &profile.excluded[profile.n_excluded++]);
	addr_parse("172.28.13.2", &offer.addr4);
	addr_parse("fd53::2", &offer.addr6);
	offer.mtu = 1400;
	n_said = 0;
	why[0] = '\0';
	tun = -1;
	a = apply_new(&fake, &m, state, "corp", say, NULL);
	ck_assert_ptr_nonnull(a);
}

static void teardown(void)
{
	apply_free(a);
	a = NULL;
	(void)unlink(resolv);
	(void)rmdir(state);
	ck_assert_msg(!rmdir(base), "%s is not empty", base);
}

/* nothing of ours on the machine, nor in the state folder */
static void as_before(void)
{
	static const struct machine none;
	DIR *d = opendir(state);
	struct dirent *e;

	ck_assert_uint_eq(m.n, 0);
	ck_assert_uint_eq(m.n_elements, 0);
	ck_assert(!memcmp(m.sysctl, none.sysctl, sizeof(m.sysctl)));
	ck_assert(!m.nft[0][0] && !m.nft[1][0] && !m.tun[0][0] && !m.tun[1][0]);
	ck_assert(resolv_has("nameserver 192.0.2.53\n") && !resolv_has("apptunnel"));
	while (d && (e = readdir(d)))
		ck_assert_msg(e->d_name[0] == '.', "%s stays", e->d_name);
	if (d)
		closedir(d);
}

static int lock(void)
{
	struct plan plan;
	int err;

	ck_assert_int_eq(plan_build(&plan, &profile, NULL, &names), 0);
	err = apply_lock(a, &plan, why, sizeof(why));
	plan_free(&plan);
	return err;
}

static int tunnel(void)
{
	struct plan plan;
	int err, fd = -2;

	ck_assert_int_eq(plan_build(&plan, &profile, &offer, &names), 0);
	err = apply_tunnel(a, &plan, &fd, &vnet_hdr, why, sizeof(why));
	plan_free(&plan);
	if (!err && fd >= 0)
		tun = fd;
	ck_assert(!err || fd == -2);
	return err;
}

static int undo(void)
{
	if (tun >= 0)
		close(tun);
	tun = -1;
	return apply_undo(a, why, sizeof(why));
}

static size_t count(enum plan_kind kind)
{
	size_t n = 0;

	for (size_t k = 0; k < m.n; k++)
		n += m.things[k].item.kind == kind;
	return n;
}

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
