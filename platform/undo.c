/* SPDX-License-Identifier: MIT */
/*
 * undo.c - everything back, from the journal, last first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/apply_priv.h"
#include "platform/dns_file.h"

int apply_open_dir(struct apply *a, bool make)
{
	struct stat st;
	int fd;

	if (a->dir >= 0)
		return 0;
	if (make && mkdir(a->state_dir, 0700) && errno != EEXIST)
		return -errno;
	fd = open(a->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* who can write here can have anything undone, and any file written */
	if (fstat(fd, &st) || (st.st_uid && st.st_uid != geteuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH))) {
		close(fd);
		return -EPERM;
	}
	a->dir = fd;
	return 0;
}

/* the sysctls and DHCP rules are the same for every engine: not to be undone
 * under another one's feet */
static bool is_shared(const struct plan_item *i)
{
	return i->kind == PLAN_SYSCTL || i->kind == PLAN_RULE_MAIN;
}

bool apply_other_has(const struct apply *a, const struct plan_item *i, uint32_t *old)
{
	char stems[JOURNAL_MAX][33];
	int n = journal_list(a->dir, stems, JOURNAL_MAX);
	bool found = false;

	for (int k = 0; k < n && !found; k++) {
		struct journal *j;
		int at;

		if (!strcmp(stems[k], a->stem) || journal_open(&j, a->dir, stems[k], false))
			continue;
		at = j->same_boot ? journal_find(j, i, 0) : -ENOENT;
		if (at >= 0) {
			found = true;
			*old = j->recs[at].old;
		}
		journal_close(j);
	}
	return found;
}

static void say_undo(struct apply *a, const struct journal_rec *r)
{
	struct plan plan = { .names = a->j->names };
	char line[PLAN_LINE_MAX + 8] = "[#] ";
	struct plan_item i = r->item;

	if (i.kind == PLAN_SYSCTL)
		i.value = r->old;
	if (plan_undo_text(&plan, &i, line + 4, sizeof(line) - 4) > 0)
		a->say(a->say_arg, line);
}

static int undo_sysctl(struct apply *a, const struct journal_rec *r)
{
	uint32_t now;
	int err = a->ops->sysctl_get(a->ctx, r->item.path, &now);

	if (err)
		return err;
	/* whoever changed it after us knows why */
	return now == r->item.value ? a->ops->sysctl_set(a->ctx, r->item.path, r->old) : 0;
}

static int undo_nft(struct apply *a, const struct plan_item *i)
{
	const char *t = a->j->names.nft;
	char text[256], addr[ADDR_STRLEN];

	addr_format(&i->prefix.addr, addr);
	if (i->kind == PLAN_NFT)
		/* adding first makes the deletion valid when they are gone */
		snprintf(text, sizeof(text), "add table inet %s\ndelete table inet %s\n"
			 "add table arp %s\ndelete table arp %s\n", t, t, t, t);
	else if (i->family == 4)
		snprintf(text, sizeof(text), "delete element inet %s tunnel4 { %s }\n"
			 "delete element arp %s tunnel4 { %s }\n", t, addr, t, addr);
	else
		snprintf(text, sizeof(text), "delete element inet %s tunnel6 { %s }\n", t, addr);
	return a->ops->nft(a->ctx, text);
}

static int undo_kernel(struct apply *a, const struct journal_rec *r)
{
	const struct plan_names *n = &a->j->names;

	switch ((enum plan_kind)r->item.kind) {
	case PLAN_SYSCTL:
		return undo_sysctl(a, r);
	case PLAN_NFT:
	case PLAN_GUARD:
		return undo_nft(a, &r->item);
	case PLAN_RULE_MAIN:
	case PLAN_RULE:
	case PLAN_INBOUND:
		return a->ops->rule(a->ctx, false, &r->item, n);
	case PLAN_SHADOW:
	case PLAN_THROW:
	case PLAN_ROUTE:
		return a->ops->route(a->ctx, false, &r->item, n);
	case PLAN_TUN:
		return a->ops->tun(a->ctx, n, NULL, NULL);
	case PLAN_ADDR:
		return a->ops->addr(a->ctx, false, &r->item, n);
	case PLAN_LINK:		/* goes with the TUN */
	case PLAN_DNS:
	case PLAN_KINDS:
		break;
	}
	return 0;
}

static int undo_dns(struct apply *a, size_t index)
{
	struct journal_rec *r = &a->j->recs[index];
	/* where a crash cut our own writing short, the text is nobody's */
	bool force = !r->done || r->undoing;
	int err;

	err = journal_mark(a->j, index, '!');
	if (!err)
		err = journal_sync(a->j);
	/* without the mark a second crash might leave half a file: still the lesser evil */
	(void)err;
	return dns_file_restore(a->dir, a->stem, a->j->names.resolv_conf, force);
}

int undo_rec(struct apply *a, size_t index)
{
	struct journal_rec *r = &a->j->recs[index];
	uint32_t old;
	int err = 0;

	if (r->gone)
		return 0;
	if (r->item.kind == PLAN_DNS) {
		say_undo(a, r);
		err = undo_dns(a, index);
	} else if (a->j->same_boot && !(is_shared(&r->item) &&
					apply_other_has(a, &r->item, &old))) {
		say_undo(a, r);
		err = undo_kernel(a, r);
		/* an error about something that is not there is none */
		if (err && (err == -ENOENT || err == -ESRCH || err == -ENODEV ||
			    err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT))
			err = 0;
		if (err) {
			a->ops->present(a->ctx, NULL, &a->j->names);
			if (a->ops->present(a->ctx, &r->item, &a->j->names) == -ENOENT)
				err = 0;
		}
	}
	/* a mark that cannot be written costs a second, harmless undo */
	if (!err)
		(void)journal_mark(a->j, index, '-');
	return err;
}

void undo_explain(struct apply *a, const struct plan_item *i, int err, char *why, size_t size)
{
	struct plan plan = { .names = a->j->names };
	char line[PLAN_LINE_MAX];

	if (plan_undo_text(&plan, i, line, sizeof(line)) < 0)
		line[0] = '\0';
	snprintf(why, size, "%s: %s", line, strerror(-err));
}

int undo_back(struct apply *a, size_t first, unsigned int stages, bool keep_dns,
	      char *why, size_t size)
{
	int err, result = 0;

	for (size_t n = a->j->n; n-- > first; ) {
		const struct plan_item *i = &a->j->recs[n].item;

		if (!(stages & 1u << i->stage) || (keep_dns && i->kind == PLAN_DNS))
			continue;
		err = undo_rec(a, n);
		if (err && !result) {
			result = err;
			if (why)
				undo_explain(a, i, err, why, size);
		}
	}
	return result;
}

int undo_finish(struct apply *a)
{
	int err;

	dns_file_forget(a->dir, a->stem);
	err = journal_remove(a->j);
	journal_close(a->j);
	a->j = NULL;
	return err;
}

int undo_stale(struct apply *a)
{
	int err = journal_open(&a->j, a->dir, a->stem, true);

	if (err)
		return err == -ENOENT ? 0 : err;
	err = undo_back(a, 0, UNDO_ALL, false, NULL, 0);
	if (!err)
		return undo_finish(a);
	journal_close(a->j);
	a->j = NULL;
	return err;
}

int apply_undo(struct apply *a, char *why, size_t size)
{
	int err;

	if (size)
		why[0] = '\0';
	if (!a->j)
		return 0;
	if (undo_back(a, 0, UNDO_ALL, false, why, size))
		return -EIO;
	err = undo_finish(a);
	if (err) {
		snprintf(why, size, "the journal could not be deleted: %s", strerror(-err));
		return -EIO;
	}
	return 0;
}

int apply_restart(struct apply *a)
{
	return a->j ? undo_back(a, 0, 1u << PLAN_TUNNEL, true, NULL, 0) : 0;
}

/* what is left to do is a person's */
static void say_stayed(struct apply *a, int err)
{
	char line[PLAN_LINE_MAX];

	if (err == -EBADMSG)
		snprintf(line, sizeof(line), "%s/%s.journal cannot be read (damaged, or of another "
			 "version): see what it says, undo that by hand, then delete it",
			 a->state_dir, a->stem);
	else
		snprintf(line, sizeof(line), "%s/%s.journal: something could not be undone: %s",
			 a->state_dir, a->stem, strerror(-err));
	a->say(a->say_arg, line);
}

int apply_cleanup(const struct sys_ops *ops, void *ctx, const char *state_dir,
		  void (*say)(void *arg, const char *line), void *say_arg)
{
	char stems[JOURNAL_MAX][33];
	int n, err, done = 0, result = 0;
	struct apply *a;

	a = apply_new(ops, ctx, state_dir, "", say, say_arg);
	if (!a)
		return -ENOMEM;
	err = apply_open_dir(a, false);
	n = err ? err : journal_list(a->dir, stems, JOURNAL_MAX);
	for (int k = 0; k < n; k++) {
		snprintf(a->stem, sizeof(a->stem), "%s", stems[k]);
		err = undo_stale(a);
		if (err && err != -EBUSY) {	/* busy: its daemon lives */
			result = err;
			say_stayed(a, err);
		}
		done += !err;
	}
	apply_free(a);
	if (n < 0)
		return n == -ENOENT ? 0 : n;
	return result ? result : done;
}
