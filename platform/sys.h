/* SPDX-License-Identifier: MIT */
/*
 * sys.h - the rows of the table sys_linux (apply.h), one file for each kind of
 * thing that the kernel is asked for.  All return 0 or a negative errno.
 *
 *	X_change()	add, or delete; the kernel's own errno, also for what is there
 *			already or gone: what of that is no failure apply.c and undo.c know
 *	X_present()	as sys_ops.present: 0, -ENOENT; the first look after
 *			X_forget() reads the kernel's table, the others go by that
 */
#ifndef APPTUNNEL_SYS_H
#define APPTUNNEL_SYS_H

#include "profiles/plan.h"

/* ---- rule.c: PLAN_RULE, PLAN_RULE_MAIN, PLAN_INBOUND ------------------------- */

/* What a rule looks like that the kernel holds. */
struct rule_seen {
	uint8_t family, action, protocol, ipproto, src_len, dst_len;
	bool invert;
	uint32_t prio, table, mark, mask;
	uint16_t sport[2], dport[2];
	struct ipaddr src, dst;
};

int rule_change(bool add, const struct plan_item *i, const struct plan_names *n);
int rule_present(const struct plan_item *i, const struct plan_names *n);
/* rule_find() - the first rule for which @match says true; -ENOENT: none */
int rule_find(uint8_t family, bool (*match)(const struct rule_seen *r, const void *arg),
	      const void *arg, struct rule_seen *out);
void rule_forget(void);		/* what was read before is old */

/* ---- route.c: PLAN_SHADOW, PLAN_THROW, PLAN_ROUTE -------------------------------- */

int route_change(bool add, const struct plan_item *i, const struct plan_names *n);
int route_present(const struct plan_item *i, const struct plan_names *n);
/* route_first() - any route of the table; -ENOENT: it is empty */
int route_first(uint8_t family, uint32_t table, struct prefix *out);
void route_forget(void);

/* ---- link.c: PLAN_LINK, PLAN_ADDR, deletion of PLAN_TUN --------------------------- */

#define LINK_ALIAS	"apptunnel"	/* our alias begins so */

int link_set(const struct plan_item *i, const struct plan_names *n);
int link_delete(const struct plan_names *n);	/* only if the alias is ours; -ENODEV */
int link_present(const struct plan_item *i, const struct plan_names *n);
int addr_change(bool add, const struct plan_item *i, const struct plan_names *n);
int addr_present(const struct plan_item *i, const struct plan_names *n);

/* ---- tun.c, nft.c, sysctl.c, conflict.c, inbound.c: as in struct sys_ops ------------ */

int tun_open(const struct plan_names *n, int *fd, bool *vnet_hdr);
int nft_run(const char *text);
/* nft_has_table() - 1 or 0; a negative errno: it cannot be known */
int nft_has_table(const char *family, const char *name);
int nft_present(const struct plan_item *i, const struct plan_names *n);
int sysctl_read(const char *path, uint32_t *value);
int sysctl_write(const char *path, uint32_t value);
int conflict_find(const struct plan_names *n, char *what, size_t size);
int inbound_list(struct plan_item *out, size_t max);

#endif
