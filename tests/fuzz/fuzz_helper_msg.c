/* SPDX-License-Identifier: MIT */
/* fuzz: platform/helper_msg.c */
/* Any bytes as a message of the engine: what passes the check is what it claims to be. */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "platform/helper_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sound_offer(const struct plan_offer *o)
{
	uint32_t i;

	assert(o->mtu >= 1280 && o->n_resolvers <= PROFILE_MAX_RESOLVERS &&
	       o->n_search <= PROFILE_MAX_SEARCH);
	assert(o->addr4.family == 0 || o->addr4.family == 4);
	assert(o->addr6.family == 0 || o->addr6.family == 6);
	for (i = 0; i < o->n_search; i++) {
		size_t len = strnlen(o->search[i], sizeof(o->search[i]));

		assert(len && len < sizeof(o->search[i]));
		assert(strspn(o->search[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			      "0123456789-_.") == len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct helper_msg m;

	memset(&m, 0, sizeof(m));
	memcpy(&m, data, size < sizeof(m) ? size : sizeof(m));
	if (size && (data[size - 1] & 1))	/* past the first gate more often than by chance */
		m.magic = HELPER_MAGIC;
	if (helper_msg_check(&m, true) == 0) {
		assert(m.n_fds == 0 && m.type >= HELPER_WANT_SOCKETS && m.type <= HELPER_USAGE);
		if (m.type == HELPER_OFFER)
			sound_offer(&m.u.offer);
		if (m.type == HELPER_STATE)
			assert(strnlen(m.u.state.text, sizeof(m.u.state.text)) <
			       sizeof(m.u.state.text));
		if (m.type == HELPER_RELOADED)
			assert(m.u.reloaded.error <= 0 &&
			       strnlen(m.u.reloaded.text, sizeof(m.u.reloaded.text)) <
			       sizeof(m.u.reloaded.text));
	}
	if (helper_msg_check(&m, false) == 0)
		assert(m.type >= HELPER_FILE && m.type <= HELPER_LOG_END &&
		       m.n_fds <= HELPER_MAX_FDS);
	return 0;
}
