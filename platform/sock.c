/* SPDX-License-Identifier: MIT */
/*
 * sock.c - the engine's stock of marked sockets.  One request of a kind and
 * family is out at a time: whatever number the daemon answers with (it bounds
 * rate and amount), the next sock_take() asks again for what is missing.
 */
#include "platform/sock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SOCK_REFILL	(SOCK_STOCK / 2)	/* ask when fewer are left */

_Static_assert(SOCK_STOCK <= HELPER_MAX_FDS, "one message fills a shelf");

void sock_stock_init(struct sock_stock *s, int helper)
{
	memset(s, 0, sizeof(*s));
	s->helper = helper;
}

static void sock_refill(struct sock_stock *s, unsigned int kind, unsigned int fam)
{
	struct helper_msg msg = { .type = HELPER_WANT_SOCKETS };
	uint16_t want = (uint16_t)(SOCK_STOCK - s->count[kind][fam]);

	if (s->asked[kind][fam] || s->count[kind][fam] >= SOCK_REFILL)
		return;
	msg.u.sockets.kind = (uint8_t)kind;
	msg.u.sockets.family = fam ? 6 : 4;
	msg.u.sockets.count = want;
	if (helper_send(s->helper, &msg, NULL, 0) == 0)
		s->asked[kind][fam] = want;
}

int sock_take(struct sock_stock *s, enum helper_socket kind, uint8_t family)
{
	unsigned int fam = family == 6;
	int fd = -EAGAIN;

	if (s->count[kind][fam])
		fd = s->fds[kind][fam][--s->count[kind][fam]];
	else
		s->empty++;
	sock_refill(s, kind, fam);
	return fd;
}

void sock_put(struct sock_stock *s, const struct helper_msg *msg, const int *fds)
{
	unsigned int kind = msg->u.sockets.kind, fam = msg->u.sockets.family == 6;
	unsigned int i;

	s->asked[kind][fam] = 0;
	for (i = 0; i < msg->n_fds; i++) {
		if (s->count[kind][fam] < SOCK_STOCK) {
			s->fds[kind][fam][s->count[kind][fam]++] = fds[i];
			s->got++;
		} else {
			close(fds[i]);
		}
	}
}

void sock_stock_free(struct sock_stock *s)
{
	unsigned int kind, fam;

	for (kind = 0; kind < 2; kind++) {
		for (fam = 0; fam < 2; fam++) {
			while (s->count[kind][fam])
				close(s->fds[kind][fam][--s->count[kind][fam]]);
			s->asked[kind][fam] = 0;
		}
	}
}
