/* SPDX-License-Identifier: MIT */
/*
 * helper_msg.c - messages between engine and daemon: judged field by field,
 * sent and received with descriptors beside them.
 */
#include "platform/helper_msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HELPER_TO_DAEMON	HELPER_WANT_SOCKETS	/* types from here on */
#define HELPER_MTU_MIN		1280	/* IPv6 needs it */
#define HELPER_EXIT_MAX		17	/* the highest published exit code */

/* ---- parts of messages --------------------------------------------------- */

static bool is_zero(const void *mem, size_t len)
{
	const uint8_t *p = mem;

	while (len--) {
		if (*p++)
			return false;
	}
	return true;
}

/* A well-formed address; with @optional also none at all. */
static bool addr_sound(const struct ipaddr *a, bool optional)
{
	size_t len = addr_len(a->family);

	if (!len && (a->family || !optional))
		return false;
	return is_zero(a->bytes + len, sizeof(a->bytes) - len);
}

static bool letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits and @more only, NUL-terminated.  Return: length, or -1. */
static int name_sound(const char *name, size_t size, const char *more)
{
	size_t len = strnlen(name, size), i;

	if (len == size)
		return -1;
	for (i = 0; i < len; i++) {
		if (!letter_or_digit(name[i]) && !strchr(more, name[i]))
			return -1;
	}
	return (int)len;
}

static bool text_sound(const char *text, size_t size)
{
	size_t len = strnlen(text, size), i;

	for (i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	}
	return len < size;
}

static bool offer_sound(const struct plan_offer *o)
{
	uint32_t i;

	if (!addr_sound(&o->addr4, true) || !addr_sound(&o->addr6, true) ||
	    o->addr4.family == 6 || o->addr6.family == 4 || o->mtu < HELPER_MTU_MIN ||
	    o->n_resolvers > PROFILE_MAX_RESOLVERS || o->n_search > PROFILE_MAX_SEARCH)
		return false;
	for (i = 0; i < o->n_resolvers; i++) {
		if (!addr_sound(&o->resolvers[i], false))
			return false;
	}
	for (i = 0; i < o->n_search; i++) {
		if (name_sound(o->search[i], sizeof(o->search[i]), "-_.") <= 0 ||
		    o->search[i][0] == '-' || o->search[i][0] == '.')
			return false;
	}
	return true;
}

/* ---- whole messages ------------------------------------------------------ */

/* What only `profile apply` asks for. */
static bool apply_sound(const struct control_request *r)
{
	bool tcp = r->ready & CONTROL_READY_TCP;
	int len;

	if (r->end || (r->ready & ~CONTROL_READY_ALL) || r->confirm_ms > CONTROL_CONFIRM_MAX_MS ||
	    (r->verb != CONTROL_APPLY && (r->ready || r->confirm_ms)) ||
	    (r->verb == CONTROL_APPLY && !r->profile[0]) || tcp != (r->ready_port != 0))
		return false;
	len = name_sound(r->ready_host, sizeof(r->ready_host), "-.:");
	return len >= 0 && tcp == (len > 0) && r->ready_host[0] != '-' &&
	       is_zero(r->ready_host + len, sizeof(r->ready_host) - (size_t)len);
}

int control_request_check(const struct control_request *r)
{
	uint32_t flags = 0;
	int len;

	if (r->magic != CONTROL_MAGIC || r->pad)
		return -EBADMSG;
	switch ((enum control_verb)r->verb) {
	case CONTROL_CONNECT:
		flags = CONTROL_F_KEEP_TRYING | CONTROL_F_FORCE;
		break;
	case CONTROL_STATUS:
		flags = CONTROL_F_JSON | CONTROL_F_HISTORY;
		break;
	case CONTROL_EXPLAIN:
		flags = CONTROL_F_JSON;
		break;
	case CONTROL_LOG:
		flags = CONTROL_F_JSON | CONTROL_F_FOLLOW | CONTROL_F_SET_LEVEL;
		if (r->flags & (CONTROL_F_DEBUG_ON | CONTROL_F_DEBUG_OFF))
			flags = CONTROL_F_JSON | (r->flags & CONTROL_F_DEBUG_ON ?
						  CONTROL_F_DEBUG_ON : CONTROL_F_DEBUG_OFF);
		break;
	case CONTROL_APPLY:
		flags = CONTROL_F_FORCE | CONTROL_F_SIGNED;
		break;
	case CONTROL_DISCONNECT:
	case CONTROL_CONFIRM:
	case CONTROL_ROLLBACK:
		break;
	}
	if (r->verb < CONTROL_CONNECT || r->verb > CONTROL_ROLLBACK || (r->flags & ~flags))
		return -EBADMSG;
	if (r->level > LOG_LVL_PACKET || (r->level && r->verb != CONTROL_LOG))
		return -EBADMSG;
	if (r->timeout_ms > CONTROL_CONNECT_MAX_MS ||
	    (r->timeout_ms && r->verb != CONTROL_CONNECT))
		return -EBADMSG;
	if (r->verb == CONTROL_EXPLAIN) {
		if ((r->proto != 6 && r->proto != 17 && r->proto != 1 && r->proto != 58) ||
		    !addr_sound(&r->addr, false))
			return -EBADMSG;
	} else if (r->proto || r->port || !is_zero(&r->addr, sizeof(r->addr))) {
		return -EBADMSG;
	}
	if (!apply_sound(r))
		return -EBADMSG;
	len = name_sound(r->profile, sizeof(r->profile), "-_");
	if (len < 0 || !is_zero(r->profile + len, sizeof(r->profile) - (size_t)len))
		return -EBADMSG;
	return 0;
}

static bool from_engine_sound(const struct helper_msg *m)
{
	if (m->n_fds)
		return false;
	switch (m->type) {
	case HELPER_WANT_SOCKETS:
		return m->u.sockets.kind <= HELPER_SOCK_UDP && addr_len(m->u.sockets.family) &&
		       m->u.sockets.count && m->u.sockets.count <= HELPER_MAX_FDS;
	case HELPER_OFFER:
		return offer_sound(&m->u.offer);
	case HELPER_STATE:
		return m->u.state.state < SESSION_STATES &&
		       m->u.state.exit <= HELPER_EXIT_MAX && m->u.state.attempts_over <= 1 &&
		       text_sound(m->u.state.text, sizeof(m->u.state.text));
	case HELPER_USAGE:
		return true;	/* any numbers: they are added with care */
	case HELPER_RELOADED:
		return m->u.reloaded.error <= 0 &&
		       text_sound(m->u.reloaded.text, sizeof(m->u.reloaded.text));
	}
	return false;
}

static bool from_daemon_sound(const struct helper_msg *m)
{
	switch (m->type) {
	case HELPER_FILE:
		return m->n_fds == 1 && m->u.file.file >= HELPER_FILE_PROFILE &&
		       m->u.file.file <= HELPER_FILE_NOTES &&
		       m->u.file.index < PROFILE_MAX_PINS &&
		       (!m->u.file.index || m->u.file.file == HELPER_FILE_PIN);
	case HELPER_START:
		return !m->n_fds && addr_sound(&m->u.start.service4, true) &&
		       addr_sound(&m->u.start.service6, true) &&
		       name_sound(m->u.start.tun, sizeof(m->u.start.tun), "-_.") >= 0;
	case HELPER_SOCKETS:
		return m->u.sockets.kind <= HELPER_SOCK_UDP && addr_len(m->u.sockets.family) &&
		       m->u.sockets.count == m->n_fds;
	case HELPER_APPLIED:
		return m->u.applied.error <= 0 && m->u.applied.with_tun <= 1 &&
		       m->u.applied.has_usable_gso <= 1 && m->u.applied.with_tun == m->n_fds &&
		       !(m->u.applied.error && m->n_fds);
	case HELPER_CONTROL:
		return m->n_fds == 1 && control_request_check(&m->u.control) == 0;
	case HELPER_RELOAD:
		if (m->u.reload.flags == RELOAD_CANCEL)
			return !m->n_fds && !m->u.reload.limit_ms;
		return !m->n_fds && !(m->u.reload.flags & ~RELOAD_SESSION) &&
		       m->u.reload.limit_ms <= RELOAD_LIMIT_MS;
	case HELPER_NETWORK:
	case HELPER_DIAL:
	case HELPER_STOP:
	case HELPER_LOG_END:
		return !m->n_fds;
	}
	return false;
}

int helper_msg_check(const struct helper_msg *msg, bool to_daemon)
{
	if (msg->magic != HELPER_MAGIC || msg->n_fds > HELPER_MAX_FDS)
		return -EBADMSG;
	return (to_daemon ? from_engine_sound(msg) : from_daemon_sound(msg)) ? 0 : -EBADMSG;
}

/* ---- the socket ---------------------------------------------------------- */

/* Control data aligned as the kernel wants it. */
union helper_cmsg {
	struct cmsghdr align;
	char buf[CMSG_SPACE(HELPER_MAX_FDS * sizeof(int))];
};

int helper_send(int sock, struct helper_msg *msg, const int *fds, unsigned int n_fds)
{
	struct iovec iov = { .iov_base = msg, .iov_len = sizeof(*msg) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union helper_cmsg control;
	struct cmsghdr *c;
	ssize_t n;

	if (n_fds > HELPER_MAX_FDS)
		return -EINVAL;
	msg->magic = HELPER_MAGIC;
	msg->n_fds = (uint16_t)n_fds;
	if (n_fds) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == (ssize_t)sizeof(*msg) ? 0 : -EMSGSIZE;
}

/* Every descriptor that came goes into @fds, or is closed. */
static unsigned int collect_fds(struct msghdr *mh, int *fds)
{
	struct cmsghdr *c;
	unsigned int n = 0;

	for (c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t count, i;
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < HELPER_MAX_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

int helper_recv(int sock, struct helper_msg *msg, int *fds)
{
	struct iovec iov = { .iov_base = msg, .iov_len = sizeof(*msg) };
	union helper_cmsg control;
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	unsigned int n_fds;
	ssize_t n;

	do
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	n_fds = collect_fds(&mh, fds);
	if (n == 0 && !n_fds)
		return 0;
	if (n != (ssize_t)sizeof(*msg) || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    msg->n_fds != n_fds || helper_msg_check(msg, msg->type >= HELPER_TO_DAEMON)) {
		while (n_fds)
			close(fds[--n_fds]);
		return -EBADMSG;
	}
	return 1;
}
