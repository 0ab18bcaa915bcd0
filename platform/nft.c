/* SPDX-License-Identifier: MIT */
/*
 * nft.c - the packet filter, over libnftables: a text is one transaction, and
 * one that fails leaves the old state.
 */
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/sys.h"

/* @out: what it prints, allocated; NULL: nobody wants it.  -ENOENT: refused */
static int nft_command(const char *text, char **out)
{
	struct nft_ctx *c = nft_ctx_new(NFT_CTX_DEFAULT);
	const char *printed;
	int err = -ENOMEM;

	if (!c)
		return -ENOMEM;
	if (nft_ctx_buffer_error(c) || nft_ctx_buffer_output(c))
		goto end;
	nft_ctx_output_set_flags(c, NFT_CTX_OUTPUT_TERSE | NFT_CTX_OUTPUT_STATELESS);
	err = nft_run_cmd_from_buffer(c, text) ? -ENOENT : 0;
	if (err || !out)
		goto end;
	printed = nft_ctx_get_output_buffer(c);		/* gives it only once */
	*out = strdup(printed ? printed : "");
	if (!*out)
		err = -ENOMEM;
end:
	nft_ctx_free(c);
	return err;
}

int nft_run(const char *text)
{
	int err = nft_command(text, NULL);

	return err == -ENOENT ? -EIO : err;
}

static char *list_table(const char *family, const char *name)
{
	char text[96], *out = NULL;

	snprintf(text, sizeof(text), "list table %s %s", family, name);
	return nft_command(text, &out) ? NULL : out;
}

bool nft_has_table(const char *family, const char *name)
{
	char *t = list_table(family, name);

	free(t);
	return t != NULL;
}

static int present_tables(const struct plan_item *i, const struct plan_names *n)
{
	char *inet = list_table("inet", n->nft), *arp = list_table("arp", n->nft);
	bool ok;

	ok = inet && arp && strstr(inet, "chain prerouting {") && strstr(inet, "chain output {") &&
	     strstr(inet, "@tunnel4 drop") && strstr(arp, "chain input {") &&
	     !strstr(inet, "chain lock {") == !i->value;
	free(inet);
	free(arp);
	return ok ? 0 : -ENOENT;
}

int nft_present(const struct plan_item *i, const struct plan_names *n)
{
	char a[ADDR_STRLEN], text[160];

	if (i->kind == PLAN_NFT)
		return present_tables(i, n);
	snprintf(text, sizeof(text), "get element inet %s tunnel%u { %s }", n->nft, i->family,
		 addr_format(&i->prefix.addr, a));
	return nft_command(text, NULL);
}
