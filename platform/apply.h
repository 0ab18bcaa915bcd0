/* SPDX-License-Identifier: MIT */
/*
 * apply.h - the plan meets the kernel: journal, apply, read back, undo.
 * Used by the daemon only; the privileged calls sit in struct sys_ops, so
 * that tests put a recording fake in their place.
 */
#ifndef APPTUNNEL_APPLY_H
#define APPTUNNEL_APPLY_H

#include "profiles/plan.h"

struct apply;

/*
 * Privileged operations, one row of the table for each thing that the product
 * asks of the kernel.  All return 0 or a negative errno.  sys_linux (libnl,
 * libnftables, /proc/sys, TUN ioctls) is the real one.
 */
struct sys_ops {
	int (*rule)(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n);
	int (*route)(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n);
	int (*addr)(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n);
	int (*link)(void *ctx, const struct plan_item *i, const struct plan_names *n);
	/* @fd NULL: delete the TUN if it is still there and ours (-ENODEV: it is not) */
	int (*tun)(void *ctx, const struct plan_names *n, int *fd, bool *vnet_hdr);
	int (*nft)(void *ctx, const char *text);
	int (*sysctl_get)(void *ctx, const char *path, uint32_t *value);
	int (*sysctl_set)(void *ctx, const char *path, uint32_t value);
	/* is anything foreign standing under our numbers and names? -EEXIST; *what says which */
	int (*conflict)(void *ctx, const struct plan_names *n, char *what, size_t size);
	/* open TCP connections from outside, as PLAN_INBOUND items; how many, or -errno */
	int (*connections)(void *ctx, struct plan_item *out, size_t max);
	/* does the kernel hold what the item says?  0, -ENOENT; @i NULL: begin a new look */
	int (*present)(void *ctx, const struct plan_item *i, const struct plan_names *n);
};

extern const struct sys_ops sys_linux;

/*
 * apply_new() - prepare to change the machine
 * @ops, @ctx: who does it (sys_linux takes no context: NULL)
 * @state_dir: where the journal stands; made (0700) if it is missing
 * @stem: profile name, part of the journal's file name
 * @say: called with each "[#] ..." line before it is done (never NULL)
 */
struct apply *apply_new(const struct sys_ops *ops, void *ctx,
			const char *state_dir, const char *stem,
			void (*say)(void *arg, const char *line), void *say_arg);
void apply_free(struct apply *a);	/* forgets; undoes nothing */

/*
 * apply_lock() - check for conflicts, then apply the LOCK stage of @plan,
 * inbound connections that are already open included
 * @why: on failure one sentence for people, @size bytes
 * Return: 0; -EEXIST: conflict, nothing was changed (exit 16); any other
 *	negative errno: what had been done was undone (exit 15)
 */
int apply_lock(struct apply *a, const struct plan *plan, char *why, size_t size);

/*
 * apply_tunnel() - apply the TUNNEL stage (the plan now holds the offer) and
 * read the whole plan back.  Called again after a reconnection it changes only
 * what differs (resolvers, search domains).
 * @tun: receives the TUN descriptor the first time (owned by the caller), else -1
 * Return: 0, or a negative errno: the TUNNEL stage was undone, the lock stays
 */
int apply_tunnel(struct apply *a, const struct plan *plan, int *tun,
		 bool *vnet_hdr, char *why, size_t size);

/*
 * apply_change() - go over to another plan without touching what stays
 * @upto: PLAN_LOCK: only refuse what the new plan takes and the old does not
 *	(before the engine changes over); PLAN_TUNNEL: all of it, new routes before
 *	old ones go.  The tunnel's part is left alone when there is no TUN or no offer
 * Return: 0; or a negative errno and @why: then what stands is something between
 *	the two, and apply_change() with the old plan (PLAN_TUNNEL) leads back
 */
int apply_change(struct apply *a, const struct plan *plan, enum plan_stage upto, char *why,
		 size_t size);

/* apply_undo() - everything back, last first.  0, or -EIO: @why names what stayed (exit 5) */
int apply_undo(struct apply *a, char *why, size_t size);

/*
 * apply_restart() - the engine died: the TUN is gone, the lock stays.  Forget
 * the TUNNEL stage but for DNS, so that apply_tunnel() does it anew.
 */
int apply_restart(struct apply *a);

/*
 * apply_cleanup() - undo every journal found in @state_dir; idempotent.  Those
 * of profiles that are alive (struct apply that locked and was not freed, in
 * whatever process) are left alone
 * Return: number of journals undone, or a negative errno: something stayed, and
 * its journal with it
 */
int apply_cleanup(const struct sys_ops *ops, void *ctx, const char *state_dir,
		  void (*say)(void *arg, const char *line), void *say_arg);

/*
 * apply_inbound_sweep() - forget the connections from outside (of the moment of
 * locking) that have ended; to be called every half minute while locked
 * Return: how many are still held, or a negative errno
 */
int apply_inbound_sweep(struct apply *a);

#define APPLY_INBOUND_MAX	1024	/* connections from outside that are kept */
#define APPLY_SWEEP_S		30

/* apply_resolv_snapshot() - the network's own resolv.conf (our backup when it
 * points at us).  Return: a read-only descriptor, or a negative errno */
int apply_resolv_snapshot(struct apply *a, const char *resolv_conf);

#endif
