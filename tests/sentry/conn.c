/* SPDX-License-Identifier: MIT */
/* conn.c - a device's connection from accept to its end; see enum conn_state */
#define _GNU_SOURCE
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_ACCEPTS	64	/* a turn */
#define CONN_HEAD	4096	/* longest answer */
#define CONN_NOTSENT	(256 * 1024)

void sentry_bury(struct sentry *s, struct grave *g)
{
	g->next = s->graves;
	s->graves = g;
}

int conn_listen(struct sentry *s)
{
	for (uint32_t i = 0; i < s->conf.n_listen; i++) {
		struct src *l = &s->listeners[i];
		struct sockaddr_storage ss;
		socklen_t len = addr_to_sockaddr(&s->conf.listen[i].addr, s->conf.listen[i].port,
						 &ss);
		char text[ADDR_STRLEN];
		int one = 1, err;

		l->kind = SRC_LISTEN;
		l->owner = s;
		l->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (l->fd < 0)
			goto bad;
		setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (ss.ss_family == AF_INET6)
			setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (bind(l->fd, (struct sockaddr *)&ss, len) < 0 || listen(l->fd, 1024) < 0)
			goto bad;
		len = sizeof(ss);
		if (getsockname(l->fd, (struct sockaddr *)&ss, &len) < 0)
			goto bad;
		addr_from_sockaddr(&ss, &s->conf.listen[i].addr, &s->conf.listen[i].port);
		if (loop_add(&s->loop, l, EPOLLIN))
			goto bad;
		continue;
bad:
		err = errno;
		fprintf(stderr, "%s: cannot listen on %s port %u: %s\n", s->conf.path,
			addr_format(&s->conf.listen[i].addr, text), s->conf.listen[i].port,
			strerror(err));
		return -err;
	}
	return 0;
}

static void conn_sockopts(int fd)
{
	int one = 1, idle = 120, every = 15, user = 180000, lowat = CONN_NOTSENT;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
	/* a dead device is noticed so (docs/protocol.md, 5) */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user, sizeof(user));
}

static struct conn *conn_new(struct sentry *s, int fd, const struct sockaddr_storage *ss)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->s = s;
	c->src = (struct src){ .kind = SRC_CONN, .fd = fd, .owner = c };
	c->timer = (struct timer){ .kind = TIMER_CONN, .owner = c };
	c->state = CONN_TLS;
	addr_from_sockaddr(ss, &c->peer, &c->peer_port);
	conn_sockopts(fd);
	c->post = malloc(sizeof(*c->post));
	if (!c->post || tls_attach(c) || loop_add(&s->loop, &c->src, EPOLLIN) ||
	    timer_set(&s->loop, &c->timer, s->now + LIMIT_TLS_US)) {
		loop_close(&s->loop, &c->src);
		tls_detach(c);
		free(c->post);
		free(c);
		return NULL;
	}
	atp_request_init(c->post);
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->n_conns++;
	return c;
}

void conn_accept(struct sentry *s, struct src *listener)
{
	for (int i = 0; i < CONN_ACCEPTS; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		int fd = accept4(listener->fd, (struct sockaddr *)&ss, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (s->n_conns >= SENTRY_CONNS_MAX) {
			s->counters.connections_over++;
			close(fd);
			continue;
		}
		s->counters.connections++;
		conn_new(s, fd, &ss);
	}
}

void conn_touch(struct conn *c)
{
	if (c->dirty || c->state == CONN_GONE)
		return;
	c->dirty = true;
	c->next_dirty = c->s->dirty;
	c->s->dirty = c;
}

void conn_want(struct conn *c)
{
	uint32_t ev = 0;

	switch (c->state) {
	case CONN_TLS:
		ev = c->want_write ? EPOLLOUT : EPOLLIN;
		break;
	case CONN_POST:
	case CONN_SILENT:
	case CONN_LINGER:
		ev = EPOLLIN;
		break;
	case CONN_REFUSING:
	case CONN_CLOSING:
		ev = c->no_write ? 0 : EPOLLOUT;
		break;
	case CONN_UP:
		ev = (c->no_read ? 0u : EPOLLIN) |
		     (c->want_write && !c->no_write ? EPOLLOUT : 0u);
		break;
	case CONN_GONE:
		return;
	}
	loop_mod(&c->s->loop, &c->src, ev);
}

static void conn_enter(struct conn *c, enum conn_state state, uint64_t limit_us)
{
	c->state = state;
	if (limit_us)
		timer_set(&c->s->loop, &c->timer, c->s->now + limit_us);
	else
		timer_off(&c->s->loop, &c->timer);
	conn_want(c);
}

void conn_drop(struct conn *c, bool rst, const char *why)
{
	struct sentry *s = c->s;

	if (c->state == CONN_GONE)
		return;
	c->state = CONN_GONE;
	if (c->ses)
		session_end(c->ses, why);
	if (rst) {
		struct linger lg = { .l_onoff = 1 };

		setsockopt(c->src.fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
	}
	timer_off(&s->loop, &c->timer);
	loop_close(&s->loop, &c->src);
	tls_detach(c);
	free(c->post);
	free(c->head);
	free(c->part);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->n_conns--;
	sentry_bury(s, &c->grave);
}

void conn_finish(struct conn *c)
{
	if (c->ses)
		session_end(c->ses, "closed");
	if (SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);	/* close_notify, as far as it goes */
	conn_push(c);
	shutdown(c->src.fd, SHUT_WR);
	/* closing now with unread bytes would be a RST, which eats what we said last */
	conn_enter(c, CONN_LINGER, SENTRY_LINGER_US);
}

void conn_refuse(struct conn *c, int status, const char *code, const char *message,
		 uint32_t retry_after_s)
{
	struct sentry *s = c->s;
	char peer[ADDR_STRLEN];
	int n;

	s->counters.refused++;
	json_object_set_new(s->refusals, code, json_integer(
		json_integer_value(json_object_get(s->refusals, code)) + 1));
	event_emit(s, "refused", json_pack("{s:i,s:s,s:s,s:s,s:s,s:s}", "status", status,
		   "code", code, "message", message, "client", addr_format(&c->peer, peer),
		   "device", c->post->request.device_id, "thumbprint", c->thumb));
	c->head = malloc(CONN_HEAD);
	n = c->head ? atp_refuse_write(c->head, CONN_HEAD, status, code, message,
				       retry_after_s) : -ENOMEM;
	if (n < 0) {
		conn_drop(c, true, "no memory");
		return;
	}
	c->head_len = (size_t)n;
	conn_enter(c, CONN_REFUSING, LIMIT_TLS_US);
	conn_touch(c);
}

static void conn_post(struct conn *c)
{
	uint8_t buf[4096], extra;
	struct fault *f;
	int n, done = 0;

	while (!done) {
		n = conn_read(c, buf, sizeof(buf));
		if (n == 0) {
			conn_want(c);
			return;
		}
		if (n < 0) {
			conn_drop(c, false, "cut");
			return;
		}
		done = atp_request_feed(c->post, buf, (size_t)n);
	}
	c->s->counters.posts++;
	f = fault_find(c->s->faults, FAULT_NO_POST_ANSWER, c->post->request.device_id);
	if (f) {
		fault_fire(c->s, f, c->post->request.device_id);
		conn_enter(c, CONN_SILENT, 0);
		return;
	}
	if (!c->post->status && conn_read(c, &extra, 1) > 0) {
		conn_refuse(c, 400, "bad_request", "bytes after the body", 0);
		return;
	}
	if (c->post->status) {
		conn_refuse(c, c->post->status, c->post->error, c->post->message, 0);
		return;
	}
	if (session_begin(c, &c->post->request)) {
		c->want_write = false;
		conn_enter(c, CONN_UP, 0);
		free(c->post);
		c->post = NULL;
		conn_touch(c);
	}
}

static void conn_tls(struct conn *c)
{
	struct sentry *s = c->s;
	const char *why;
	char peer[ADDR_STRLEN];
	int n = tls_accept(c, &why);

	if (n == 0) {
		conn_want(c);
		return;
	}
	if (n < 0) {
		s->counters.tls_failed++;
		event_emit(s, "tls.failed", json_pack("{s:s,s:s}", "client",
			   addr_format(&c->peer, peer), "reason", why));
		if (n == -EIO) {
			conn_drop(c, false, why);
			return;
		}
		shutdown(c->src.fd, SHUT_WR);	/* the alert went before */
		conn_enter(c, CONN_LINGER, SENTRY_LINGER_US);
		return;
	}
	if (SSL_session_reused(c->ssl))
		s->counters.tls_resumed++;
	conn_enter(c, CONN_POST, LIMIT_TLS_US);
	conn_post(c);		/* it came with the Finished */
}

static void conn_linger(struct conn *c)
{
	char trash[16384];
	ssize_t n;

	while ((n = recv(c->src.fd, trash, sizeof(trash), 0)) > 0)
		;
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		conn_drop(c, false, "closed");
}

static void conn_silent(struct conn *c)
{
	char trash[4096];
	int n;

	while ((n = conn_read(c, trash, sizeof(trash))) > 0)
		;
	if (n < 0)
		conn_drop(c, false, "closed");
}

void conn_event(struct conn *c, uint32_t events)
{
	switch (c->state) {
	case CONN_TLS:
		conn_tls(c);
		return;
	case CONN_POST:
		conn_post(c);
		return;
	case CONN_SILENT:
		conn_silent(c);
		return;
	case CONN_UP:
		if ((events & (EPOLLERR | EPOLLHUP)) && c->no_read) {
			conn_drop(c, false, "cut");
			return;
		}
		if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			session_input(c->ses);
		if (events & EPOLLOUT)
			c->want_write = false;
		conn_touch(c);
		return;
	case CONN_REFUSING:
	case CONN_CLOSING:
		if (events & (EPOLLERR | EPOLLHUP))
			conn_drop(c, false, "cut");
		c->want_write = false;
		conn_touch(c);
		return;
	case CONN_LINGER:
		conn_linger(c);
		return;
	case CONN_GONE:
		return;
	}
}

/* Return: 1 the answer is in the batch, 0 blocked, -EIO */
int conn_write_head(struct conn *c)
{
	while (c->head) {
		int n = conn_write(c, c->head + c->head_off, c->head_len - c->head_off);

		if (n <= 0)
			return n;
		c->head_off += (size_t)n;
		if (c->head_off == c->head_len) {
			free(c->head);
			c->head = NULL;
		}
	}
	return 1;
}

void conn_serve(struct conn *c)
{
	int n;

	switch (c->state) {
	case CONN_REFUSING:
		n = conn_write_head(c);
		if (n > 0)
			n = conn_push(c);
		if (n < 0)
			conn_drop(c, false, "cut");
		else if (n > 0)
			conn_finish(c);
		break;
	case CONN_UP:
		if (c->read_again && !c->no_read)
			session_input(c->ses);
		if (c->state == CONN_UP || c->state == CONN_CLOSING)
			session_serve(c->ses);
		break;
	case CONN_CLOSING:
		session_serve(c->ses);
		break;
	case CONN_TLS:
	case CONN_POST:
	case CONN_SILENT:
	case CONN_LINGER:
	case CONN_GONE:
		return;
	}
	conn_want(c);
}

void conn_closing(struct conn *c)
{
	conn_enter(c, CONN_CLOSING, SENTRY_GOAWAY_US);
	conn_touch(c);
}

void conn_timer(struct conn *c)
{
	switch (c->state) {
	case CONN_TLS:
		c->s->counters.tls_failed++;
		conn_drop(c, false, "TLS took too long");
		return;
	case CONN_POST:
	case CONN_SILENT:
	case CONN_REFUSING:
	case CONN_LINGER:
		conn_drop(c, false, "took too long");
		return;
	case CONN_CLOSING:
		conn_finish(c);
		return;
	case CONN_UP:
	case CONN_GONE:
		return;
	}
}
