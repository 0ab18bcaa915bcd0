/* SPDX-License-Identifier: MIT */
/* netlink.c - see netlink.h */
#include "platform/netlink.h"

#include <errno.h>
#include <netlink/errno.h>
#include <netlink/handlers.h>
#include <netlink/socket.h>
#include <string.h>

struct verdict {
	int err;		/* the kernel's, 0 or negative */
	bool over, torn;
	int (*each)(const struct nlmsghdr *h, void *arg);
	void *arg;
};

struct nl_msg *netlink_request(int type, int flags, const void *head, size_t size)
{
	struct nl_msg *m = nlmsg_alloc();

	if (!m)
		return NULL;
	if (!nlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags) ||
	    nlmsg_append(m, (void *)(uintptr_t)head, size, NLMSG_ALIGNTO)) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

int netlink_put_addr(struct nl_msg *m, int attr, const struct ipaddr *a)
{
	return nla_put(m, attr, (int)addr_len(a->family), a->bytes) ? -EMSGSIZE : 0;
}

struct ipaddr netlink_addr(const struct nlattr *a, uint8_t family)
{
	struct ipaddr out = { 0 };

	if (a && (size_t)nla_len(a) == addr_len(family)) {
		out.family = family;
		memcpy(out.bytes, nla_data(a), addr_len(family));
	}
	return out;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	struct verdict *v = arg;

	(void)from;
	v->err = e->error;
	v->over = true;
	return NL_STOP;
}

static int on_end(struct nl_msg *m, void *arg)
{
	struct verdict *v = arg;

	(void)m;
	v->over = true;
	return NL_STOP;
}

static int on_message(struct nl_msg *m, void *arg)
{
	struct verdict *v = arg;
	int r;

	if (v->err || !v->each)
		return NL_OK;
	r = v->each(nlmsg_hdr(m), v->arg);
	if (r)
		v->err = r;	/* the rest of the dump is read and passed over */
	return NL_OK;
}

/* the table changed while it was read: what came is not one state */
static int on_torn(struct nl_msg *m, void *arg)
{
	struct verdict *v = arg;

	(void)m;
	v->torn = true;
	return NL_OK;
}

static int run(int protocol, struct nl_msg *m, int bad, struct verdict *v)
{
	struct nl_sock *s = NULL;
	struct nl_cb *cb = NULL;
	int err = -ENOMEM, one = 1;

	if (!m || bad) {
		err = bad ? bad : -ENOMEM;
		goto end;
	}
	s = nl_socket_alloc();
	cb = nl_cb_alloc(NL_CB_DEFAULT);
	if (!s || !cb)
		goto end;
	err = -EIO;
	if (nl_connect(s, protocol))
		goto end;
	/* lets the kernel filter dumps by table; older ones dump all */
	(void)setsockopt(nl_socket_get_fd(s), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one,
			 sizeof(one));
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, v);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_end, v);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_end, v);
	nl_cb_set(cb, NL_CB_DUMP_INTR, NL_CB_CUSTOM, on_torn, v);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_message, v);
	if (nl_send_auto(s, m) < 0)
		goto end;
	while (!v->over)
		if (nl_recvmsgs(s, cb) < 0 && !v->over)
			goto end;
	err = v->err ? v->err : v->torn ? -EAGAIN : 0;
end:
	nl_cb_put(cb);
	nl_socket_free(s);
	nlmsg_free(m);
	return err;
}

int netlink_done(int protocol, struct nl_msg *m, int bad)
{
	struct verdict v = { 0 };

	return run(protocol, m, bad, &v);
}

int netlink_dump(int protocol, struct nl_msg *m, int bad,
	    int (*each)(const struct nlmsghdr *h, void *arg), void *arg)
{
	struct verdict v = { .each = each, .arg = arg };

	return run(protocol, m, bad, &v);
}
