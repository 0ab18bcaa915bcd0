/* SPDX-License-Identifier: MIT */
/*
 * assoc.c - associations: one unconnected socket each, to any destination, and
 * from those only that it sent to (RFC 4787: endpoint-independent mapping,
 * address-dependent filtering).  ICMP echo goes by ping sockets, which need no
 * right but net.ipv4.ping_group_range.
 */
#define _GNU_SOURCE
#include "tests/sentry/assoc_priv.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASSOC_BUFFER	65536
#define ASSOC_READS	32	/* a turn; epoll is level-triggered here */
#define ASSOC_SEGMENTS	64	/* in one DGRAM */

static uint8_t buffer[ASSOC_BUFFER];

/* ---- opening ------------------------------------------------------------- */

static int ping_socket(int family)
{
	return socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		      family == AF_INET ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
}

void assoc_probe_ping(struct sentry *s)
{
	int fd4 = ping_socket(AF_INET), fd6 = ping_socket(AF_INET6);
	char text[200];

	s->ping4 = fd4 >= 0;
	s->ping6 = fd6 >= 0;
	if (fd4 >= 0)
		close(fd4);
	if (fd6 >= 0)
		close(fd6);
	if (s->ping4 && s->ping6)
		return;
	snprintf(text, sizeof(text), "no ICMP echo: net.ipv4.ping_group_range must hold group %u "
		 "(sysctl -w net.ipv4.ping_group_range='%u %u'); OPEN is answered \"not supported\"",
		 getegid(), getegid(), getegid());
	event_emit(s, "warning", json_pack("{s:s}", "text", text));
}

int assoc_open(struct stream *st, uint8_t family)
{
	struct sentry *s = st->ses->s;
	struct assoc *a = st->assoc;
	int fd, af = family == 4 ? AF_INET : AF_INET6, one = 1;

	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return -ENOMEM;
		a->held_end = &a->held;
		st->assoc = a;
	}
	a->last = s->now;
	a->family = family;
	if (!family)
		return 0;	/* DGRAMs are held */
	fd = st->proto == MUX_UDP ?
	     socket(af, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : ping_socket(af);
	if (fd < 0)
		return -errno;
	st->src.fd = fd;
	if (af == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one));
	if (st->proto == MUX_UDP)
		setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
	if (loop_add(&s->loop, &st->src, EPOLLIN))
		return -ENOMEM;
	return timer_set(&s->loop, &st->timer, s->now + s->conf.idle_dns_us);
}

void assoc_free(struct assoc *a)
{
	struct held *h;

	if (!a)
		return;
	while ((h = a->held)) {
		a->held = h->next;
		free(h);
	}
	free(a->peers);
	free(a);
}

void assoc_timer(struct stream *st)
{
	struct sentry *s = st->ses->s;
	const struct assoc *a = st->assoc;
	uint64_t idle = st->proto == MUX_UDP && !a->other_ports && a->n_peers ?
			s->conf.idle_dns_us : s->conf.idle_udp_us;

	if (s->now >= a->last + idle)
		stream_reset(st, MUX_RST_IDLE);
	else
		timer_set(&s->loop, &st->timer, a->last + idle);
}

/* ---- who may answer ------------------------------------------------------ */

static struct peer *peer_find(struct assoc *a, const struct ipaddr *addr, uint64_t now)
{
	uint32_t i;

	if (a->hit < a->n_peers && addr_equal(&a->peers[a->hit].addr, addr)) {
		i = a->hit;
	} else {
		for (i = 0; i < a->n_peers; i++)
			if (addr_equal(&a->peers[i].addr, addr))
				break;
		if (i == a->n_peers)
			return NULL;
		a->hit = i;
	}
	return a->peers[i].last + LIMIT_ASSOC_IDLE_US > now ? &a->peers[i] : NULL;
}

/* Return: true when @addr is new */
static bool peer_add(struct assoc *a, const struct ipaddr *addr, uint64_t now)
{
	struct peer *p = peer_find(a, addr, now);
	uint32_t oldest = 0;

	if (p) {
		p->last = now;
		return false;
	}
	if (a->n_peers == a->cap_peers && a->cap_peers < LIMIT_ASSOC_PEERS) {
		uint32_t cap = a->cap_peers ? a->cap_peers * 4 : 4;
		struct peer *v = realloc(a->peers, cap * sizeof(*v));

		if (v) {
			a->peers = v;
			a->cap_peers = cap;
		}
	}
	if (!a->cap_peers)
		return false;
	if (a->n_peers < a->cap_peers) {
		oldest = a->n_peers++;
	} else {
		for (uint32_t i = 1; i < a->n_peers; i++)
			if (a->peers[i].last < a->peers[oldest].last)
				oldest = i;
	}
	a->peers[oldest] = (struct peer){ *addr, now };
	return true;
}

/* ---- to the backend ------------------------------------------------------ */

/* Return: 0 or an errno */
static int send_one(struct stream *st, const struct mux_dgram *d, const struct iovec *iov, int n,
		    uint16_t segment)
{
	struct sockaddr_storage ss;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	struct msghdr mh = { .msg_name = &ss, .msg_iov = (struct iovec *)(uintptr_t)iov,
			     .msg_iovlen = (size_t)n };

	/* a ping socket wants port 0 */
	mh.msg_namelen = addr_to_sockaddr(&d->addr, st->proto == MUX_UDP ? d->port : 0, &ss);
	if (segment) {
		struct cmsghdr *cm;

		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = IPPROTO_UDP;
		cm->cmsg_type = UDP_SEGMENT;
		cm->cmsg_len = CMSG_LEN(sizeof(segment));
		memcpy(CMSG_DATA(cm), &segment, sizeof(segment));
	}
	for (int i = 0; i < 2; i++) {
		if (sendmsg(st->src.fd, &mh, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EAGAIN || errno == EINVAL || errno == EIO || errno == ENOBUFS)
			return errno;
		/* an older ICMP error may stand in the way of this datagram */
		int err = errno;

		assoc_read_errors(st);
		if (i)
			return err;
	}
	return EIO;
}

static void send_udp(struct stream *st, const struct mux_dgram *d, const uint8_t *data, size_t len)
{
	struct sentry *s = st->ses->s;
	struct assoc *a = st->assoc;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	size_t segment = d->segment;
	int err;

	if (segment && segment < len && !a->no_segment) {
		err = send_one(st, d, &iov, 1, (uint16_t)segment);
		if (!err) {
			s->counters.dgrams_out += (len + segment - 1) / segment;
			return;
		}
		if (err != EINVAL && err != EIO && err != EMSGSIZE) {
			assoc_tell_errno(st, d, err);
			return;
		}
		a->no_segment = err == EIO;	/* EINVAL: over this path's MTU, perhaps */
	}
	if (!segment || segment > len)
		segment = len;
	do {
		size_t n = len < segment ? len : segment;

		iov = (struct iovec){ (void *)(uintptr_t)data, n };
		err = send_one(st, d, &iov, 1, 0);
		if (err) {
			assoc_tell_errno(st, d, err);
			return;
		}
		s->counters.dgrams_out++;
		data += n;
		len -= n;
	} while (len);
}

static void send_echo(struct stream *st, const struct mux_dgram *d, const uint8_t *data, size_t len)
{
	struct assoc *a = st->assoc;
	uint8_t head[ICMP_HEADER] = { 0 };
	struct iovec iov[2] = { { head, sizeof(head) } };
	uint16_t seq;
	int err;

	if (len < 2)
		return;
	seq = get16(data);
	a->ident = d->port;
	a->echo[seq % ASSOC_ECHOES].seq = seq;
	a->echo[seq % ASSOC_ECHOES].ident = d->port;
	/* the kernel writes checksum and its own identifier */
	head[0] = a->family == 4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	memcpy(head + 6, data, 2);
	iov[1] = (struct iovec){ (void *)(uintptr_t)(data + 2), len - 2 };
	err = send_one(st, d, iov, 2, 0);
	if (err)
		assoc_tell_errno(st, d, err);
	else
		st->ses->s->counters.dgrams_out++;
}

static void hold(struct stream *st, const struct mux_dgram *d, const uint8_t *data, size_t len)
{
	struct assoc *a = st->assoc;
	struct held *h = a->n_held < SENTRY_HELD_DGRAMS ? malloc(sizeof(*h) + len) : NULL;

	if (!h) {
		st->ses->s->counters.dgrams_lost++;
		return;
	}
	h->next = NULL;
	h->at = *d;
	h->len = len;
	memcpy(h->data, data, len);
	*a->held_end = h;
	a->held_end = &h->next;
	a->n_held++;
}

void assoc_dgram(struct stream *st, const struct mux_dgram *d, const uint8_t *data, size_t len)
{
	struct sentry *s = st->ses->s;
	struct assoc *a = st->assoc;

	if (st->state != STREAM_OPEN) {
		hold(st, d, data, len);
		return;
	}
	a->last = s->now;
	if (!stream_allowed(&s->conf, &d->addr)) {
		s->counters.denied++;
		if (!addr_equal(&a->denied, &d->addr))
			event_audit(st, st->opening, &d->addr, d->port, "BLOCK", "destination");
		a->denied = d->addr;
		assoc_tell_errno(st, d, EACCES);
		return;
	}
	if (peer_add(a, &d->addr, s->now))
		event_audit(st, st->opening, &d->addr, d->port, "ALLOW", "");
	if (d->port != 53)
		a->other_ports = true;
	if (st->proto == MUX_UDP)
		send_udp(st, d, data, len);
	else
		send_echo(st, d, data, len);
}

void assoc_flush_held(struct stream *st)
{
	struct assoc *a = st->assoc;
	struct held *h;

	while ((h = a->held)) {
		a->held = h->next;
		/* held before the family was known to hold */
		if (h->at.addr.family == a->family)
			assoc_dgram(st, &h->at, h->data, h->len);
		free(h);
	}
	a->held_end = &a->held;
	a->n_held = 0;
}

/* ---- from the backend ---------------------------------------------------- */

static void give(struct stream *st, const struct mux_dgram *d, const uint8_t *data, size_t len)
{
	struct session *ses = st->ses;

	ses->s->counters.dgrams_in++;
	if (mux_stream_dgram(ses->mux, st->ms, d, data, len, ses->s->now))
		ses->s->counters.dgrams_lost++;
	conn_touch(ses->conn);
}

/* @segment: what UDP_GRO joined, 0: one datagram */
static void got_udp(struct stream *st, struct mux_dgram *d, size_t len, size_t segment)
{
	size_t max = LIMIT_PAYLOAD - 8 - addr_len(d->addr.family), off = 0;

	if (!segment || segment >= len) {
		if (len <= max)
			give(st, d, buffer, len);
		return;
	}
	if (max > segment * ASSOC_SEGMENTS)
		max = segment * ASSOC_SEGMENTS;
	max -= max % segment;
	while (off < len) {
		size_t n = len - off < max ? len - off : max;

		d->segment = n > segment ? (uint16_t)segment : 0;
		give(st, d, buffer + off, n);
		off += n;
	}
}

static void got_echo(struct stream *st, struct mux_dgram *d, size_t len)
{
	uint8_t reply = st->assoc->family == 4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;

	if (len < ICMP_HEADER || buffer[0] != reply ||
	    len - 6 > LIMIT_PAYLOAD - 8 - addr_len(d->addr.family))
		return;
	d->port = echo_ident(st->assoc, get16(buffer + 6));
	give(st, d, buffer + 6, len - 6);
}

/* Return: false: nothing more */
static bool receive(struct stream *st)
{
	struct sockaddr_storage ss;
	union {
		struct cmsghdr align;
		char buf[128];
	} control;
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr mh = { .msg_name = &ss, .msg_namelen = sizeof(ss), .msg_iov = &iov,
			     .msg_iovlen = 1, .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(st->src.fd, &mh, 0);
	struct sentry *s = st->ses->s;
	struct mux_dgram d = { 0 };
	int segment = 0;

	if (n < 0)
		return false;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm))
		if (cm->cmsg_level == IPPROTO_UDP && cm->cmsg_type == UDP_GRO)
			memcpy(&segment, CMSG_DATA(cm), sizeof(segment));
	if (addr_from_sockaddr(&ss, &d.addr, &d.port) || !peer_find(st->assoc, &d.addr, s->now)) {
		s->counters.dgrams_filtered++;
		return true;
	}
	st->assoc->last = s->now;
	if (st->proto == MUX_UDP)
		got_udp(st, &d, (size_t)n, segment > 0 ? (size_t)segment : 0);
	else
		got_echo(st, &d, (size_t)n);
	return true;
}

void assoc_event(struct stream *st, uint32_t events)
{
	if (st->state != STREAM_OPEN || !st->ms)
		return;
	if (events & EPOLLERR)
		assoc_read_errors(st);
	if (!(events & EPOLLIN))
		return;
	for (int i = 0; i < ASSOC_READS; i++)
		if (!receive(st))
			break;
}
