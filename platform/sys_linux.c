/* SPDX-License-Identifier: MIT */
/* sys_linux.c - the table of privileged operations, against the kernel. */
#include <errno.h>

#include "platform/apply.h"
#include "platform/sys.h"

static int op_rule(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	return rule_change(add, i, n);
}

static int op_route(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	return route_change(add, i, n);
}

static int op_addr(void *ctx, bool add, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	return addr_change(add, i, n);
}

static int op_link(void *ctx, const struct plan_item *i, const struct plan_names *n)
{
	(void)ctx;
	return link_set(i, n);
}

static int op_tun(void *ctx, const struct plan_names *n, int *fd, bool *vnet_hdr)
{
	(void)ctx;
	return fd ? tun_open(n, fd, vnet_hdr) : link_delete(n);
}

static int op_nft(void *ctx, const char *text)
{
	(void)ctx;
	return nft_run(text);
}

static int op_sysctl_get(void *ctx, const char *path, uint32_t *value)
{
	(void)ctx;
	return sysctl_read(path, value);
}

static int op_sysctl_set(void *ctx, const char *path, uint32_t value)
{
	(void)ctx;
	return sysctl_write(path, value);
}

static int op_conflict(void *ctx, const struct plan_names *n, char *what, size_t size)
{
	(void)ctx;
	return conflict_find(n, what, size);
}

static int op_connections(void *ctx, struct plan_item *out, size_t max)
{
	(void)ctx;
	return inbound_list(out, max);
}

static int op_present(void *ctx, const struct plan_item *i, const struct plan_names *n)
{
	uint32_t value;
	int err;

	(void)ctx;
	if (!i) {
		rule_forget();
		route_forget();
		return 0;
	}
	switch ((enum plan_kind)i->kind) {
	case PLAN_SYSCTL:
		err = sysctl_read(i->path, &value);
		return err ? err : value == i->value ? 0 : -ENOENT;
	case PLAN_NFT:
	case PLAN_GUARD:
		return nft_present(i, n);
	case PLAN_RULE_MAIN:
	case PLAN_RULE:
	case PLAN_INBOUND:
		return rule_present(i, n);
	case PLAN_SHADOW:
	case PLAN_THROW:
	case PLAN_ROUTE:
		return route_present(i, n);
	case PLAN_TUN:
	case PLAN_LINK:
		return link_present(i, n);
	case PLAN_ADDR:
		return addr_present(i, n);
	case PLAN_DNS:		/* a file: dns_file.c looks itself */
	case PLAN_KINDS:
		break;
	}
	return 0;
}

const struct sys_ops sys_linux = {
	.rule = op_rule,
	.route = op_route,
	.addr = op_addr,
	.link = op_link,
	.tun = op_tun,
	.nft = op_nft,
	.sysctl_get = op_sysctl_get,
	.sysctl_set = op_sysctl_set,
	.conflict = op_conflict,
	.connections = op_connections,
	.present = op_present,
};
