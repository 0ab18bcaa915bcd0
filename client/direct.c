/* SPDX-License-Identifier: MIT */
/*
 * direct.c - UDP that SplitUDPPortList leaves outside the tunnel.
 *
 * One marked socket from the stock stands for one port of an app, whatever
 * the destination: endpoint-independent mapping (mapping.h).  Batches go out
 * and come in as batches (UDP_SEGMENT, UDP_GRO); ICMP errors come from the
 * socket's error queue and are told to the app.
 *
 * While the stock is empty datagrams wait in a short queue.
 */
#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>	/* needs struct timespec */
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/log.h"
#include "client/mapping.h"
#include "client/policy.h"

#define DIRECT_BUCKETS	1024
#define DIRECT_BURST	32	/* datagrams or batches read from one socket in a turn */
#define DIRECT_ERRORS	16	/* entries of the error queue read in a turn */
#define DIRECT_WAIT_US	(1 * USEC_PER_SEC)	/* for a socket of the stock */
/* All sockets in use: the oldest gives way when it was quiet for so long. */
#define DIRECT_QUIET_US	(30 * USEC_PER_SEC)
#define DIRECT_QUIET_DNS_US (2 * USEC_PER_SEC)
#define BATCH_SEGMENTS	64	/* what every kernel takes in one UDP_SEGMENT */
#define DATAGRAM_MAX	65535

struct direct {
	struct loop_src src;		/* EV_DIRECT; owner: this */
	bool no_segment;		/* this kernel refuses UDP_SEGMENT */
	struct mapping m;
};

struct directs {
	struct mappings map;
	struct held_queue held;		/* no socket */
	uint8_t buf[DATAGRAM_MAX];
};

static struct direct *direct_of(struct mapping *m)
{
	return m ? (struct direct *)((char *)m - offsetof(struct direct, m)) : NULL;
}

struct directs *directs_new(struct tunnel *t)
{
	struct directs *ds = calloc(1, sizeof(*ds));

	(void)t;
	if (!ds || mappings_init(&ds->map, DIRECT_BUCKETS)) {
		free(ds);
		return NULL;
	}
	held_init(&ds->held);
	return ds;
}

/* ---- ends ------------------------------------------------------------------------ */

static void __attribute__((noinline)) log_end(const struct direct *d)
{
	char src[ADDR_STRLEN];

	LOG(LOG_LVL_SESSION, "direct.end", "udp %s %u: %llu bytes up, %llu down",
	    addr_format(&d->m.key.addr, src), d->m.key.port, (unsigned long long)d->m.up,
	    (unsigned long long)d->m.down);
}

static void direct_free(struct tunnel *t, struct direct *d)
{
	if (log_level >= LOG_LVL_SESSION)
		log_end(d);
	mapping_remove(t, &t->directs->map, &d->m);
	t->counters.udp_direct--;
	loop_del(t->env.loop, &d->src);
	close(d->src.fd);
	free(d);
}

void directs_free(struct tunnel *t)
{
	struct directs *ds = t->directs;
	int i;

	if (!ds)
		return;
	for (i = 0; i < 2; i++)
		while (ds->map.idle[i].oldest)
			direct_free(t, direct_of(ds->map.idle[i].oldest));
	mappings_done(&ds->map);
	held_clear(&ds->held);
	free(ds);
	t->directs = NULL;
}

/* ---- making one ------------------------------------------------------------------ */

static void tell(struct tunnel *t, const struct ns_tuple *tuple, enum ns_refusal how)
{
	t->counters.udp_dropped++;
	ns_icmp_error(t->ns, tuple, MUX_UDP, how);
}

static void __attribute__((noinline)) log_open(struct tunnel *t, const struct ns_tuple *tuple)
{
	char src[ADDR_STRLEN], dst[ADDR_STRLEN];
	struct policy_answer a;

	tunnel_verdict(t, MUX_UDP, &tuple->dst, tuple->dst_port, &a);
	LOG(LOG_LVL_SESSION, "direct.open", "udp %s %u to %s %u: %s, %s",
	    addr_format(&tuple->src, src), tuple->src_port,
	    addr_format(&tuple->dst, dst), tuple->dst_port, verdict_name(a.verdict), a.reason);
}

/* Room for one more socket? */
static bool make_room(struct tunnel *t)
{
	struct mappings *map = &t->directs->map;
	struct mapping *m;

	if (map->n < LIMIT_DIRECT_SOCKETS)
		return true;
	m = map->idle[true].oldest;
	if (!m || m->last + DIRECT_QUIET_DNS_US > t->now)
		m = map->idle[false].oldest;
	if (!m || m->last + (m->dns_only ? DIRECT_QUIET_DNS_US : DIRECT_QUIET_US) > t->now)
		return false;
	direct_free(t, direct_of(m));
	return true;
}

static void set_option(int fd, int level, int option)
{
	int on = 1;

	/* only comfort: without it errors are not told, batches come singly */
	(void)setsockopt(fd, level, option, &on, sizeof(on));
}

/* Return: 0, -EAGAIN: no socket in stock, or another negative errno */
static int direct_new(struct tunnel *t, const struct mapping_key *key, struct direct **out)
{
	struct direct *d;
	int fd, err;

	fd = sock_take(t->env.socks, HELPER_SOCK_UDP, key->addr.family);
	if (fd < 0)
		return fd;
	err = -ENOMEM;
	d = calloc(1, sizeof(*d));
	if (!d)
		goto fail;
	if (key->addr.family == 4)
		set_option(fd, IPPROTO_IP, IP_RECVERR);
	else
		set_option(fd, IPPROTO_IPV6, IPV6_RECVERR);
	set_option(fd, IPPROTO_UDP, UDP_GRO);
	d->src.kind = EV_DIRECT;
	d->src.fd = fd;
	d->src.owner = d;
	err = loop_add(t->env.loop, &d->src, EPOLLIN);
	if (err)
		goto fail;
	mapping_add(t, &t->directs->map, &d->m, key);
	t->counters.udp_direct++;
	t->counters.udp_total++;
	*out = d;
	return 0;
fail:
	free(d);
	close(fd);
	return err;
}

/* ---- errors of the network ------------------------------------------------------- */

/* One entry of the error queue.  Return: false: it is empty */
static bool read_error(struct tunnel *t, struct direct *d)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[512];
	} control;
	struct sockaddr_storage from;
	struct ns_tuple tuple = { .src = d->m.key.addr, .src_port = d->m.key.port };
	struct sock_extended_err e = { 0 };
	struct iovec iov = { .iov_base = t->directs->buf, .iov_len = DATAGRAM_MAX };
	struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from),
			      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	memset(&from, 0, sizeof(from));
	if (recvmsg(d->src.fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
		     (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) &&
		    c->cmsg_len >= CMSG_LEN(sizeof(e)))
			memcpy(&e, CMSG_DATA(c), sizeof(e));
	}
	if (addr_from_sockaddr(&from, &tuple.dst, &tuple.dst_port) ||
	    tuple.dst.family != tuple.src.family || !peers_known(&d->m.peers, &tuple.dst, t->now))
		return true;
	if (e.ee_origin == SO_EE_ORIGIN_ICMP || e.ee_origin == SO_EE_ORIGIN_ICMP6)
		ns_icmp_error_raw(t->ns, &tuple, MUX_UDP, e.ee_type, e.ee_code,
				  e.ee_errno == EMSGSIZE ? e.ee_info : 0);
	else if (e.ee_errno == EMSGSIZE)	/* the path is known to be narrower */
		ns_icmp_error_raw(t->ns, &tuple, MUX_UDP, tuple.src.family == 4 ? 3 : 2,
				  tuple.src.family == 4 ? 4 : 0, e.ee_info);
	else
		tell(t, &tuple, NS_REFUSE_PORT);
	return true;
}

static void read_errors(struct tunnel *t, struct direct *d)
{
	int i;

	for (i = 0; i < DIRECT_ERRORS && read_error(t, d); i++)
		;
}

/* ---- up -------------------------------------------------------------------------- */

/* Return: 0 or a negative errno */
static int send_one(struct direct *d, const struct sockaddr_storage *to, socklen_t to_len,
		    const uint8_t *data, size_t len, uint16_t segment)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control;
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_name = (void *)to, .msg_namelen = to_len,
			      .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (segment && len > segment) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(segment));
		memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	}
	return sendmsg(d->src.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* What an earlier datagram met may be reported instead of sending this one. */
static bool stale_error(int err)
{
	return err == -ECONNREFUSED || err == -EHOSTUNREACH || err == -ENETUNREACH ||
	       err == -EPROTO || err == -ENOPROTOOPT || err == -EMSGSIZE || err == -EACCES;
}

static int send_again(struct tunnel *t, struct direct *d, const struct sockaddr_storage *to,
		      socklen_t to_len, const uint8_t *data, size_t len, uint16_t segment)
{
	int err = send_one(d, to, to_len, data, len, segment);

	if (stale_error(err)) {
		read_errors(t, d);
		err = send_one(d, to, to_len, data, len, segment);
	}
	return err;
}

/* A batch, whole or, where the kernel does not want it so, one by one */
static int send_batch(struct tunnel *t, struct direct *d, const struct sockaddr_storage *to,
		      socklen_t to_len, const uint8_t *data, size_t len, uint16_t segment)
{
	int err = 0;
	size_t n;

	if (!segment || len <= segment)
		return send_again(t, d, to, to_len, data, len, 0);
	while (len && !d->no_segment) {
		n = len / BATCH_SEGMENTS >= segment ? (size_t)segment * BATCH_SEGMENTS : len;
		err = send_again(t, d, to, to_len, data, n, segment);
		if (err == -EINVAL || err == -EIO || err == -EMSGSIZE) {
			d->no_segment = err != -EMSGSIZE;
			break;
		}
		if (err)
			return err;
		data += n;
		len -= n;
	}
	for (; len; data += n, len -= n) {
		n = len < segment ? len : segment;
		err = send_again(t, d, to, to_len, data, n, 0);
		if (err)
			return err;
	}
	return 0;
}

static bool may_go(const struct ipaddr *a)
{
	/* nothing of this machine, and nothing that needs a scope we do not know */
	return !addr_is_loopback(a) && !addr_is_unspecified(a) && !addr_is_multicast(a) &&
	       !(a->family == 6 && addr_is_linklocal(a));
}

static void wait_for_socket(struct tunnel *t, const struct ns_tuple *tuple,
			    const uint8_t *data, size_t len, uint16_t segment)
{
	struct held head = { .tuple = *tuple, .since = t->now, .len = (uint32_t)len,
			     .segment = segment, .proto = MUX_UDP };

	if (held_push(&t->directs->held, &head, data))
		tell(t, tuple, NS_REFUSE_PORT);
}

/* Return: -EAGAIN: no socket in stock, nothing was done; else the matter is settled */
static int try_send(struct tunnel *t, const struct ns_tuple *tuple, const uint8_t *data,
		    size_t len, uint16_t segment)
{
	struct mapping_key key;
	struct sockaddr_storage to;
	struct direct *d;
	socklen_t to_len;
	int err;

	mapping_key_make(&key, MUX_UDP, tuple);
	d = direct_of(mapping_find(t, &t->directs->map, &key));
	if (!d) {
		err = make_room(t) ? direct_new(t, &key, &d) : -EMFILE;
		if (err == -EAGAIN)
			return err;
		if (err) {
			tell(t, tuple, NS_REFUSE_PORT);
			return 0;
		}
		if (log_level >= LOG_LVL_SESSION)
			log_open(t, tuple);
	}
	mapping_touch(t, &t->directs->map, &d->m,
		      d->m.dns_only && tuple->dst_port == DNS_PORT);
	d->m.dst.addr = tuple->dst;
	d->m.dst.port = tuple->dst_port;
	if (peers_sent(&d->m.peers, &tuple->dst, t->now)) {
		t->counters.udp_dropped++;
		return 0;
	}
	to_len = addr_to_sockaddr(&tuple->dst, tuple->dst_port, &to);
	err = send_batch(t, d, &to, to_len, data, len, segment);
	if (!err) {
		d->m.up += len;
		t->counters.bytes_up += len;
	} else if (err == -EAGAIN || err == -ENOBUFS) {
		t->counters.udp_dropped++;	/* the network is slower: as any queue */
	} else {
		tell(t, tuple, err == -EPERM || err == -EACCES ? NS_REFUSE_DENIED :
		     NS_REFUSE_PORT);
	}
	return 0;
}

void direct_send(struct tunnel *t, const struct ns_tuple *tuple, const uint8_t *data,
		 size_t len, uint16_t segment)
{
	if (!may_go(&tuple->dst)) {
		tell(t, tuple, NS_REFUSE_PORT);
		return;
	}
	if (try_send(t, tuple, data, len, segment) == -EAGAIN)
		wait_for_socket(t, tuple, data, len, segment);
}

void directs_flush(struct tunnel *t)
{
	struct held_queue *q = &t->directs->held;
	struct held *h;

	while ((h = q->head)) {
		if (try_send(t, &h->tuple, h->data, h->len, h->segment) == -EAGAIN)
			return;
		free(held_pop(q));
	}
}

/* ---- down ------------------------------------------------------------------------ */

/* Return: false: nothing more now */
static bool read_one(struct tunnel *t, struct direct *d)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[256];
	} control;
	struct ns_tuple tuple = { .src = d->m.key.addr, .src_port = d->m.key.port };
	struct sockaddr_storage from;
	struct iovec iov = { .iov_base = t->directs->buf, .iov_len = DATAGRAM_MAX };
	struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from),
			      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int segment = 0;
	ssize_t n;

	memset(&from, 0, sizeof(from));
	n = recvmsg(d->src.fd, &msg, MSG_DONTWAIT);
	if (n < 0)	/* a pending error counts as read: the next call goes on */
		return errno != EAGAIN && errno != EBADF && errno != ENOTSOCK;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO &&
		    c->cmsg_len >= CMSG_LEN(sizeof(segment)))
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
	}
	if (addr_from_sockaddr(&from, &tuple.dst, &tuple.dst_port) ||
	    tuple.dst.family != tuple.src.family || !peers_known(&d->m.peers, &tuple.dst, t->now)) {
		t->counters.udp_dropped++;
		return true;
	}
	mapping_touch(t, &t->directs->map, &d->m, d->m.dns_only);
	if (segment <= 0 || segment >= n)
		segment = 0;
	if (ns_udp_send(t->ns, &tuple, t->directs->buf, (size_t)n, (uint16_t)segment)) {
		t->counters.udp_dropped++;
		return true;
	}
	d->m.down += (uint64_t)n;
	t->counters.bytes_down += (uint64_t)n;
	return true;
}

void direct_ready(struct tunnel *t, struct loop_src *src, uint32_t events)
{
	struct direct *d = src->owner;
	int i;

	if (events & EPOLLERR)
		read_errors(t, d);
	for (i = 0; i < DIRECT_BURST && read_one(t, d); i++)
		;
}

/* ---- another profile ------------------------------------------------------------- */

uint32_t directs_reconsider(struct tunnel *t, const struct policy_diff *diff)
{
	struct mapping *m, *newer;
	uint32_t n = 0;
	int i;

	for (i = 0; i < 2; i++) {
		for (m = t->directs->map.idle[i].oldest; m; m = newer) {
			newer = m->newer;
			if (!mapping_reconsider(t, diff, m))
				continue;
			direct_free(t, direct_of(m));
			n++;
		}
	}
	t->counters.udp_dropped += mapping_reconsider_held(t, diff, &t->directs->held);
	return n;
}

/* ---- time ------------------------------------------------------------------------ */

static uint64_t expire(struct tunnel *t, struct age_list *l, uint64_t idle)
{
	while (l->oldest && l->oldest->last + idle <= t->now)
		direct_free(t, direct_of(l->oldest));
	return l->oldest ? l->oldest->last + idle : UINT64_MAX;
}

uint64_t directs_timer(struct tunnel *t)
{
	struct directs *ds = t->directs;
	uint64_t next, n;
	struct held *h;

	next = expire(t, &ds->map.idle[false], LIMIT_ASSOC_IDLE_US);
	n = expire(t, &ds->map.idle[true], LIMIT_ASSOC_DNS_US);
	if (n < next)
		next = n;
	while ((h = ds->held.head) && h->since + DIRECT_WAIT_US <= t->now) {
		h = held_pop(&ds->held);
		tell(t, &h->tuple, NS_REFUSE_PORT);
		free(h);
	}
	if (h && h->since + DIRECT_WAIT_US < next)
		next = h->since + DIRECT_WAIT_US;
	return next;
}
