/* SPDX-License-Identifier: MIT */
/* fuzz: platform/helper_msg.c */
/* Any bytes as a request of a local user: what passes can be used without a further look. */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "platform/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request r;
	size_t len;

	memset(&r, 0, sizeof(r));
	memcpy(&r, data, size < sizeof(r) ? size : sizeof(r));
	if (size && (data[size - 1] & 1))	/* past the first gate more often than by chance */
		r.magic = CONTROL_MAGIC;
	if (control_request_check(&r))
		return 0;
	len = strnlen(r.profile, sizeof(r.profile));
	assert(len < sizeof(r.profile));
	assert(!memchr(r.profile, '/', len) && !memchr(r.profile, '.', len));
	assert(r.verb >= CONTROL_CONNECT && r.verb <= CONTROL_ROLLBACK);
	assert(r.level <= LOG_LVL_PACKET && r.timeout_ms <= CONTROL_CONNECT_MAX_MS);
	assert(r.verb != CONTROL_EXPLAIN || addr_len(r.addr.family));
	return 0;
}
