/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config.c - Sentry's CONFIG.  What is taken keeps its bounds, and is the
 * same when it is written and read again.
 * fuzz: client/atp/config.c client/atp/http1.c profiles/addr.c -ljansson
 */
#include <stdlib.h>
#include <string.h>

#include "client/atp/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name)
{
	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
	    strlen(name) || strlen(name) > 253)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[200], buf[LIMIT_CONFIG];
	struct atp_config c, d;
	uint32_t i;
	int n;

	if (atp_config_parse((const char *)data, size, &c, why, sizeof(why)) < 0) {
		if (strncmp(why, "CONFIG: ", 8) != 0)
			abort();
		return 0;
	}
	if (c.n_dns > ATP_CONFIG_DNS || c.n_search > ATP_CONFIG_SEARCH || c.mtu < 1280 ||
	    c.resume_window_s > 3600 || !c.max_streams || c.max_streams > 1 << 20)
		abort();
	if ((c.interface4.family && !addr_is_assignable(&c.interface4)) ||
	    (c.interface6.family && !addr_is_assignable(&c.interface6)))
		abort();
	for (i = 0; i < c.n_search; i++)
		check_name(c.search[i]);
	if (strpbrk(c.resume_host, " \t\r\n;$`'\"\\/"))
		abort();
	n = atp_config_write(&c, buf, sizeof(buf));
	if (n < 0)
		return 0;
	if (atp_config_parse(buf, (size_t)n, &d, why, sizeof(why)) < 0 || *why ||
	    memcmp(&c, &d, sizeof(c)) != 0)
		abort();
	return 0;
}
