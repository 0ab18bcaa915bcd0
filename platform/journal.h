/* SPDX-License-Identifier: MIT */
/*
 * journal.h - what was done to the machine, on disk before it is done, so that
 * it can be undone without the profile and after any crash.
 *
 * STATE_DIR/STEM.journal is text, append-only, one record a line:
 *
 *	+ SEQ ...	item SEQ is about to be applied (with a sysctl's old value)
 *	= SEQ		it is applied (files only: elsewhere nobody asks)
 *	! SEQ		it is about to be undone (files only)
 *	- SEQ		it is undone, or was never applied
 *
 * A last line without its end was never synced: what it announces was not done.
 * Whoever works with the journal holds a lock on the file (flock), so the
 * journal of a live daemon is never taken for the leavings of a dead one.
 */
#ifndef APPTUNNEL_JOURNAL_H
#define APPTUNNEL_JOURNAL_H

#include "platform/names.h"
#include "profiles/plan.h"

struct journal_rec {
	uint32_t seq;
	uint32_t old;		/* PLAN_SYSCTL: the value before ours */
	bool done, undoing, gone;
	struct plan_item item;
};

struct journal {
	int dir, fd;			/* the folder (borrowed), the file */
	char stem[33];
	bool same_boot;			/* else the kernel's part has gone by itself */
	struct plan_names names;
	uint32_t next;			/* sequence number */
	size_t size;			/* bytes that are whole lines */
	size_t n, room, n_gone;
	struct journal_rec *recs;
};

/* journal_create() - a new one, locked.  0; -EEXIST: there is one; -errno */
int journal_create(struct journal **out, int dir, const char *stem,
		   const struct plan_names *names);

/*
 * journal_open() - read one
 * @take: lock it, to go on with it; else only to look
 * Return: 0; -ENOENT; -EBUSY: its daemon lives; -EBADMSG: not a journal
 */
int journal_open(struct journal **out, int dir, const char *stem, bool take);

/* journal_add() - announce @item; nothing may be done before journal_sync().
 * Return: index of the record, or a negative errno */
int journal_add(struct journal *j, const struct plan_item *item, uint32_t old);
/* journal_sync() - on the disk when it returns.  0 or a negative errno */
int journal_sync(struct journal *j);

/* journal_mark() - @mark is one of '=' '!' '-' */
int journal_mark(struct journal *j, size_t index, char mark);

/* journal_compact() - rewrite it without what is gone; indexes change */
int journal_compact(struct journal *j);

int journal_remove(struct journal *j);		/* delete the file; @j stays valid */
void journal_close(struct journal *j);		/* and free; NULL is nothing */

/* journal_list() - profiles that have one.  Return: how many, or a negative errno */
int journal_list(int dir, char stems[][33], size_t max);

#define JOURNAL_MAX	64	/* journals in a folder that are looked at */

/* journal_find() - the first record at or behind @from (wrapping) that says the
 * same as @item and is not gone.  Return: its index, or -ENOENT */
int journal_find(const struct journal *j, const struct plan_item *item, size_t from);

#endif
