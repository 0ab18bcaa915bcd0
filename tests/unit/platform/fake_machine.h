/* SPDX-License-Identifier: MIT */
/*
 * fake_machine.h - what tests of apply.h work on: the machine is a list in
 * memory that the table of operations changes; it can fail at any call, and it
 * checks that each change was announced before.
 */
#ifndef TESTS_FAKE_MACHINE_H
#define TESTS_FAKE_MACHINE_H

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
#include "profiles/plan_diff.h"

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
	void (*watch)(void);		/* called after each change of a route */
} m;

static char base[64], state[96], resolv[96], journal_path[160];
static char said[LINES_MAX][256];
static size_t n_said;

static inline void say(void *arg, const char *line)
{
	(void)arg;
	ck_assert(!strncmp(line, "[#] ", 4));
	ck_assert_uint_lt(n_said, LINES_MAX);
	snprintf(said[n_said++], sizeof(said[0]), "%s", line + 4);
}

static inline int fault(void)
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

static inline int sync_note(int fd)
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

static inline off_t synced_size(FILE *f)
{
	struct stat st;

	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	for (unsigned int k = n_synced; k > 0 && k + 8 > n_synced; k--)
		if (synced[(k - 1) % 8].ino == st.st_ino)
			return synced[(k - 1) % 8].size;
	return 0;
}

/* is the item in somebody's journal, on disk, before it is done? */
static inline void announced(const struct plan_item *i)
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

static inline bool same_thing(const struct thing *t, const struct plan_item *i,
		       const struct plan_names *n)
{
	return t->item.kind == i->kind && t->item.family == i->family &&
	       t->item.sport == i->sport && t->item.dport == i->dport &&
	       prefix_equal(&t->item.prefix, &i->prefix) &&
	       /* the DHCP rules are one for all engines */
	       (i->kind == PLAN_RULE_MAIN || !strcmp(t->tun, n->tun));
}

static inline int change(bool add, const struct plan_item *i, const struct plan_names *n)
{
	int err = fault();

	if (err)
		return err;
	if (m.no_ipv6 && i->family == 6)
		return -EAFNOSUPPORT;
	for (size_t k = 0; k < m.n; k++) {
		bool clash = add && plan_item_clash(&m.things[k].item, i) &&
			     !strcmp(m.things[k].tun, n->tun);

		if (!clash && !same_thing(&m.things[k], i, n))
			continue;
		if (add)
			return -EEXIST;
		m.things[k] = m.things[--m.n];
		if (m.watch)
			m.watch();
		return 0;
	}
	if (!add)
		return -ESRCH;
	announced(i);
	m.things[m.n].item = *i;
	snprintf(m.things[m.n++].tun, sizeof(n->tun), "%s", n->tun);
	if (m.watch)
		m.watch();
	return 0;
}

static inline int f_rule(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	ck_assert_ptr_eq(ctx, &m);
	return change(add, i, n);
}

static inline int f_route(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	return change(add, i, n);
}

static inline int f_addr(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	return change(add, i, n);
}

static inline int f_link(void *ctx, const struct plan_item *i, const struct plan_names *n)
{
	int err = fault();

	(void)ctx;
	(void)n;
	if (!err)
		m.mtu = i->value;
	return err;
}

static inline int f_tun(void *ctx, const struct plan_names *n, int *fd, bool *vnet_hdr)
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

static inline void element(bool add, const char *line)
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

static inline int f_nft(void *ctx, const char *text)
{
	static char copy[PLAN_NFT_MAX * 2];
	char *rest = copy, *l, table[48] = "", set[16] = "";
	int err = fault();

	(void)ctx;
	if (err)
		return err;
	snprintf(copy, sizeof(copy), "%s", text);
	while ((l = strsep(&rest, "\n"))) {
		char name[32], addr[64], line[160];
		int at = 0;

		if (sscanf(l, "table %47[^{]", table) == 1)
			set[0] = '\0';
		(void)sscanf(l, "\tset %15s {", set);
		if (!strncmp(set, "tunnel", 6) && sscanf(l, "\t\telements = { %63s }", addr) == 1) {
			snprintf(line, sizeof(line), "%s%s { %s }", table, set, addr);
			element(true, line);
		}
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

static inline int sysctl_index(const char *path)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(path, sysctl_paths[i]))
			return m.no_ipv6 && i == 3 ? -ENOENT : i;
	return -ENOENT;
}

static inline int f_sysctl_get(void *ctx, const char *path, uint32_t *value)
{
	int i = sysctl_index(path);

	(void)ctx;
	if (i >= 0)
		*value = m.sysctl[i];
	return i < 0 ? i : 0;
}

static inline int f_sysctl_set(void *ctx, const char *path, uint32_t value)
{
	int i = sysctl_index(path), err = fault();

	(void)ctx;
	if (i < 0 || err)
		return i < 0 ? i : err;
	m.sysctl[i] = value;
	return 0;
}

static inline int f_conflict(void *ctx, const struct plan_names *n, char *what, size_t size)
{
	(void)ctx;
	(void)n;
	if (!m.foreign)
		return 0;
	snprintf(what, size, "somebody is here");
	return -EEXIST;
}

static inline int f_connections(void *ctx, struct plan_item *out, size_t max)
{
	(void)ctx;
	ck_assert_uint_ge(max, 8);
	memcpy(out, m.open, sizeof(m.open));
	return m.n_open;
}

static inline int f_present(void *ctx, const struct plan_item *i, const struct plan_names *n)
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

static inline void put_resolv(const char *text)
{
	FILE *f = fopen(resolv, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static inline bool resolv_has(const char *text)
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

static inline void use(const char *stem, unsigned int engine)
{
	snprintf(profile.stem, sizeof(profile.stem), "%s", stem);
	plan_names_default(&names, engine);
	snprintf(names.resolv_conf, sizeof(names.resolv_conf), "%s", resolv);
	snprintf(journal_path, sizeof(journal_path), "%s/%s.journal", state, stem);
}

static inline void setup(void)
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

static inline void teardown(void)
{
	apply_free(a);
	a = NULL;
	(void)unlink(resolv);
	(void)rmdir(state);
	ck_assert_msg(!rmdir(base), "%s is not empty", base);
}

/* nothing of ours on the machine, nor in the state folder */
static inline void as_before(void)
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

static inline int lock(void)
{
	struct plan plan;
	int err;

	ck_assert_int_eq(plan_build(&plan, &profile, NULL, &names), 0);
	err = apply_lock(a, &plan, why, sizeof(why));
	plan_free(&plan);
	return err;
}

static inline int tunnel(void)
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

static inline int undo(void)
{
	if (tun >= 0)
		close(tun);
	tun = -1;
	return apply_undo(a, why, sizeof(why));
}

static inline size_t count(enum plan_kind kind)
{
	size_t n = 0;

	for (size_t k = 0; k < m.n; k++)
		n += m.things[k].item.kind == kind;
	return n;
}

#endif
