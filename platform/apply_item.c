/* SPDX-License-Identifier: MIT */
/*
 * apply_item.c - one change of the plan: done, said, and looked at.  What it is
 * one of, and what stands in the journal about it, is apply.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/apply_priv.h"
#include "platform/dns_file.h"
#include "platform/fnv.h"

/* ---- words ----------------------------------------------------------------------------------- */

void item_explain(const struct plan *plan, const struct plan_item *i, int err, char *why,
		  size_t size)
{
	char line[PLAN_LINE_MAX];

	if (plan_item_text(plan, i, line, sizeof(line)) < 0)
		line[0] = '\0';
	snprintf(why, size, "%s: %s", line, strerror(-err));
}

void item_say(struct apply *a, const struct plan *plan, const struct plan_item *i)
{
	char line[PLAN_LINE_MAX + 8] = "[#] ";

	if (plan_item_text(plan, i, line + 4, sizeof(line) - 4) > 0)
		a->say(a->say_arg, line);
}

/* ---- the rule set ---------------------------------------------------------------------------- */

/* of the rule set without what Sentry gave; 0: not known */
static uint64_t nft_sum(const struct plan *plan)
{
	char *text = malloc(PLAN_NFT_MAX);
	struct plan bare = *plan;
	uint64_t sum = 0;

	bare.offer = NULL;
	if (text && plan_nft_text(&bare, text, PLAN_NFT_MAX) >= 0)
		sum = fnv_bytes(FNV_START, text, strlen(text));
	free(text);
	return sum;
}

/* the rule set with the connections that are open already, in one transaction */
static int do_nft(struct apply *a, const struct plan *plan)
{
	size_t size = PLAN_NFT_MAX + APPLY_INBOUND_TEXT;
	char *text = malloc(size);
	int n, err;

	if (!text)
		return -ENOMEM;
	n = plan_nft_text(plan, text, PLAN_NFT_MAX);
	if (n < 0) {
		free(text);
		return n;
	}
	if (plan->profile->allow_inbound)
		apply_inbound_text(a, text + n, size - (size_t)n);
	err = a->ops->nft(a->ctx, text);
	free(text);
	/* what was tried and failed is not what stands: look again next time */
	a->nft_sum = err ? 0 : nft_sum(plan);
	return err;
}

int apply_nft_again(struct apply *a, const struct plan *plan, bool force, char *why, size_t size)
{
	uint64_t sum = nft_sum(plan);
	int err;

	if (!force && sum && sum == a->nft_sum)
		return 0;
	for (size_t k = 0; k < plan->n; k++)
		if (plan->items[k].kind == PLAN_NFT)
			item_say(a, plan, &plan->items[k]);
	err = do_nft(a, plan);
	if (err)
		snprintf(why, size, "nft: %s", strerror(-err));
	return err;
}

static int do_guard(struct apply *a, const struct plan *plan, const struct plan_item *i)
{
	const char *t = plan->names.nft;
	char text[256], addr[ADDR_STRLEN];
	int n;

	addr_format(&i->prefix.addr, addr);
	n = snprintf(text, sizeof(text), "add element inet %s tunnel%u { %s }\n", t, i->family,
		     addr);
	if (i->family == 4)
		snprintf(text + n, sizeof(text) - (size_t)n,
			 "add element arp %s tunnel4 { %s }\n", t, addr);
	return a->ops->nft(a->ctx, text);
}

/* ---- one change ------------------------------------------------------------------------------ */

static char *resolv_text(const struct plan *plan)
{
	char *text = malloc(PLAN_RESOLV_MAX);

	if (text && plan_resolv_text(plan, text, PLAN_RESOLV_MAX) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int do_dns(struct apply *a, const struct plan *plan, size_t index)
{
	char *text = resolv_text(plan);
	int err;

	if (!text)
		return -ENOMEM;
	err = dns_file_write(a->dir, a->stem, plan->names.resolv_conf, text);
	free(text);
	if (!err)
		err = journal_mark(a->j, index, '=');
	return err ? err : journal_sync(a->j);
}

int item_do(struct apply *a, const struct plan *plan, size_t index, struct tun_out *t)
{
	const struct plan_names *n = &plan->names;
	const struct plan_item *i = &a->j->recs[index].item;
	uint32_t old;
	int err;

	switch ((enum plan_kind)i->kind) {
	case PLAN_SYSCTL:
		return a->ops->sysctl_set(a->ctx, i->path, i->value);
	case PLAN_NFT:
		return do_nft(a, plan);
	case PLAN_RULE_MAIN:
		err = a->ops->rule(a->ctx, true, i, n);
		return err == -EEXIST && apply_other_has(a, i, &old) ? 0 : err;
	case PLAN_RULE:
	case PLAN_INBOUND:
		return a->ops->rule(a->ctx, true, i, n);
	case PLAN_SHADOW:
	case PLAN_THROW:
	case PLAN_ROUTE:
		return a->ops->route(a->ctx, true, i, n);
	case PLAN_TUN:
		return t ? a->ops->tun(a->ctx, n, &t->fd, &t->vnet_hdr) : -EINVAL;
	case PLAN_LINK:
		return a->ops->link(a->ctx, i, n);
	case PLAN_GUARD:
		return do_guard(a, plan, i);
	case PLAN_ADDR:
		return a->ops->addr(a->ctx, true, i, n);
	case PLAN_DNS:
		return do_dns(a, plan, index);
	case PLAN_KINDS:
		break;
	}
	return -EINVAL;
}

/*
 * A machine without IPv6 has nothing to lock, and one where it is switched off
 * for new interfaces keeps the shadow: neither is a failure.
 */
bool item_may_lack(const struct plan_item *i, int err)
{
	if (i->family != 6)
		return false;
	if (err == -EAFNOSUPPORT || err == -EOPNOTSUPP)
		return true;
	if (i->kind == PLAN_SYSCTL)
		return err == -ENOENT;
	return (i->kind == PLAN_ADDR || i->kind == PLAN_ROUTE) && err == -EACCES;
}

/* ---- is it there? ---------------------------------------------------------------------------- */

int item_look(struct apply *a, const struct plan *plan, const struct journal_rec *r)
{
	char *text;
	int err;

	if (r->item.kind != PLAN_DNS)
		return a->ops->present(a->ctx, &r->item, &plan->names);
	text = resolv_text(plan);
	err = text ? dns_file_present(a->stem, plan->names.resolv_conf, text) : -ENOMEM;
	free(text);
	return err;
}
