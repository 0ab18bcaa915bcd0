/* SPDX-License-Identifier: MIT */
/*
 * assoc_error.c - what the network says of an association's datagrams: ICMP
 * errors from the socket's error queue, and what sending failed with, become
 * DGRAM_ERRORs to the device.
 */
#define _GNU_SOURCE
#include "tests/sentry/assoc_priv.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define ASSOC_ERRORS	16	/* of the error queue, a turn */

static void tell_error(struct stream *st, const struct mux_dgram *at, uint8_t type, uint8_t code,
		       uint32_t mtu)
{
	struct session *ses = st->ses;
	struct mux_dgram d = *at;

	d.segment = 0;
	ses->s->counters.dgram_errors++;
	mux_stream_dgram_error(ses->mux, st->ms, &d, type, code, mtu);
	conn_touch(ses->conn);
}

void assoc_tell_errno(struct stream *st, const struct mux_dgram *at, int err)
{
	bool v4 = at->addr.family == 4;

	switch (err) {
	case ENETUNREACH:
		tell_error(st, at, v4 ? 3 : 1, 0, 0);
		return;
	case EHOSTUNREACH:
		tell_error(st, at, v4 ? 3 : 1, v4 ? 1 : 3, 0);
		return;
	case EACCES:
	case EPERM:
		tell_error(st, at, v4 ? 3 : 1, v4 ? 13 : 1, 0);
		return;
	}
	st->ses->s->counters.dgrams_lost++;
}

/* Return: false: the error queue is empty */
static bool read_error(struct stream *st)
{
	struct sockaddr_storage ss;
	uint8_t quoted[64];
	union {
		struct cmsghdr align;
		char buf[512];
	} control;
	struct iovec iov = { quoted, sizeof(quoted) };
	struct msghdr mh = { .msg_name = &ss, .msg_namelen = sizeof(ss), .msg_iov = &iov,
			     .msg_iovlen = 1, .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(st->src.fd, &mh, MSG_ERRQUEUE);
	struct mux_dgram at = { 0 };

	if (n < 0)
		return false;
	if (addr_from_sockaddr(&ss, &at.addr, &at.port) || at.addr.family != st->assoc->family)
		return true;
	if (st->proto != MUX_UDP)
		at.port = n >= ICMP_HEADER ? echo_ident(st->assoc, get16(quoted + 6)) :
					     st->assoc->ident;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm)) {
		struct sock_extended_err ee;

		if (!(cm->cmsg_level == IPPROTO_IP && cm->cmsg_type == IP_RECVERR) &&
		    !(cm->cmsg_level == IPPROTO_IPV6 && cm->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&ee, CMSG_DATA(cm), sizeof(ee));
		if (ee.ee_origin == SO_EE_ORIGIN_ICMP || ee.ee_origin == SO_EE_ORIGIN_ICMP6)
			tell_error(st, &at, ee.ee_type, ee.ee_code,
				   ee.ee_errno == EMSGSIZE ? ee.ee_info : 0);
		else if (ee.ee_origin == SO_EE_ORIGIN_LOCAL && ee.ee_errno == EMSGSIZE)
			tell_error(st, &at, at.addr.family == 4 ? 3 : 2,
				   at.addr.family == 4 ? 4 : 0, ee.ee_info);
	}
	return true;
}

void assoc_read_errors(struct stream *st)
{
	int err = 0;
	socklen_t len = sizeof(err);

	for (int i = 0; i < ASSOC_ERRORS; i++)
		if (!read_error(st))
			break;
	/* or it is reported to the next sendmsg() in place of sending */
	getsockopt(st->src.fd, SOL_SOCKET, SO_ERROR, &err, &len);
}
