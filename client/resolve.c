/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - Sentry's name: the snapshot of /etc/hosts first, else c-ares
 * over marked sockets at the servers of the network's resolv.conf.
 *
 * c-ares is initialised once, with every option given, and gets its sockets
 * from the stock, so it opens nothing afterwards.  When the stock is empty a
 * query fails inside c-ares at once; it is then asked again shortly, and that
 * does not count as an answer.
 */
#include "client/resolve.h"

#include <ares.h>
#include <ares_nameser.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/limits.h"

#define RESOLVE_QUERIES	8		/* outstanding: A and AAAA of four names */
#define RESOLVE_SOCKETS	(2 * RESOLVE_SERVERS)	/* UDP and TCP to each */
#define RESOLVE_TIMEOUT	1500		/* ms, doubled with each round over the servers */
#define RESOLVE_TRIES	3
#define RESOLVE_LINE	1024		/* bytes of a line of the snapshots that are read */

struct query {
	struct resolver *resolver;
	struct lookup *owner;		/* NULL: nobody waits any more */
	int type;			/* ns_t_a, ns_t_aaaa; 0: slot is free */
	bool asked;			/* c-ares will call query_done() */
	uint64_t again;			/* !asked: when to ask */
};

struct resolver {
	struct loop *loop;
	struct sock_stock *socks;
	ares_channel channel;
	char *hosts;
	uint16_t port;
	uint64_t now, next;
	bool starved;			/* c-ares was refused a socket in this call */
	unsigned int n_servers;
	struct ipaddr servers[RESOLVE_SERVERS];
	struct query queries[RESOLVE_QUERIES];
	struct loop_src srcs[RESOLVE_SOCKETS];
};

/* ---- sockets for c-ares ------------------------------------------------------ */

static ares_socket_t give_socket(int family, int type, int proto, void *arg)
{
	struct resolver *r = arg;
	int fd;

	(void)proto;
	fd = sock_take(r->socks, type == SOCK_STREAM ? HELPER_SOCK_TCP : HELPER_SOCK_UDP,
		       family == AF_INET6 ? 6 : 4);
	if (fd < 0) {
		r->starved = true;
		errno = -fd;
		return ARES_SOCKET_BAD;
	}
	return fd;
}

static int give_close(ares_socket_t fd, void *arg)
{
	(void)arg;
	return close(fd);
}

static int give_connect(ares_socket_t fd, const struct sockaddr *sa, ares_socklen_t len,
			void *arg)
{
	(void)arg;
	return connect(fd, sa, len);
}

static ares_ssize_t give_recv(ares_socket_t fd, void *buf, size_t size, int flags,
			      struct sockaddr *from, ares_socklen_t *from_len, void *arg)
{
	(void)arg;
	return recvfrom(fd, buf, size, flags, from, from_len);
}

static ares_ssize_t give_send(ares_socket_t fd, const struct iovec *iov, int n, void *arg)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };

	(void)arg;
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static const struct ares_socket_functions give = {
	give_socket, give_close, give_connect, give_recv, give_send,
};

/* c-ares says what it waits for on a socket; neither: it is about to close it. */
static void socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
	struct resolver *r = arg;
	struct loop_src *s = NULL;

	for (int i = 0; i < RESOLVE_SOCKETS; i++) {
		if (r->srcs[i].fd == fd) {
			s = &r->srcs[i];
			break;
		}
		if (r->srcs[i].fd < 0 && !s)
			s = &r->srcs[i];
	}
	if (!s || (s->fd != fd && !events))
		return;			/* without a slot the query ends by its time-out */
	if (s->fd == fd && events) {
		loop_mod(r->loop, s, events);
	} else if (events) {
		s->fd = fd;
		if (loop_add(r->loop, s, events) < 0)
			s->fd = -1;
	} else {
		loop_del(r->loop, s);
		s->fd = -1;
	}
}

/* ---- the snapshots ------------------------------------------------------------- */

/* Next line of @*text without comment into @line; false: no more. */
static bool line_next(const char **text, char *line)
{
	const char *s = *text;
	size_t len, keep;

	if (!s || !*s)
		return false;
	len = strcspn(s, "\n");
	keep = strcspn(s, "\n#");
	if (keep >= RESOLVE_LINE)
		keep = RESOLVE_LINE - 1;
	memcpy(line, s, keep);
	line[keep] = '\0';
	*text = s + len + (s[len] == '\n');
	return true;
}

/* Next word of a line, which is cut up by it; NULL: no more. */
static char *word_next(char **line)
{
	char *word = *line + strspn(*line, " \t\r");
	size_t len = strcspn(word, " \t\r");

	if (len == 0)
		return NULL;
	*line = word + len;
	if (**line)
		*(*line)++ = '\0';
	return word;
}

static void hosts_read(const char *text, struct lookup *l)
{
	char line[RESOLVE_LINE], *rest, *word;
	struct ipaddr addr;

	while (l->n < RACE_MAX && line_next(&text, line)) {
		rest = line;
		word = word_next(&rest);
		if (!word || addr_parse(word, &addr) < 0)
			continue;
		while ((word = word_next(&rest))) {
			if (strcasecmp(word, l->name) == 0) {
				l->addrs[l->n++] = addr;
				break;
			}
		}
	}
}

/* A server with a zone (fe80::1%eth0) is passed over: the engine cannot ask for
 * the interface's number. */
static void servers_read(struct resolver *r, const char *text)
{
	char line[RESOLVE_LINE], *rest, *word;

	r->n_servers = 0;
	while (r->n_servers < RESOLVE_SERVERS && line_next(&text, line)) {
		rest = line;
		word = word_next(&rest);
		if (!word || strcmp(word, "nameserver") != 0)
			continue;
		word = word_next(&rest);
		if (word && addr_parse(word, &r->servers[r->n_servers]) == 0)
			r->n_servers++;
	}
}

static void servers_set(struct resolver *r)
{
	struct ares_addr_port_node nodes[RESOLVE_SERVERS];

	memset(nodes, 0, sizeof(nodes));
	for (unsigned int i = 0; i < r->n_servers; i++) {
		nodes[i].next = i + 1 < r->n_servers ? &nodes[i + 1] : NULL;
		nodes[i].family = r->servers[i].family == 6 ? AF_INET6 : AF_INET;
		nodes[i].udp_port = nodes[i].tcp_port = r->port;
		memcpy(&nodes[i].addr, r->servers[i].bytes, addr_len(r->servers[i].family));
	}
	ares_set_servers_ports(r->channel, r->n_servers ? nodes : NULL);
}

/* ---- queries ------------------------------------------------------------------- */

static void lookup_add(struct lookup *l, uint8_t family, const void *bytes)
{
	if (l->n == RACE_MAX)
		return;
	l->addrs[l->n] = (struct ipaddr){ .family = family };
	memcpy(l->addrs[l->n].bytes, bytes, addr_len(family));
	l->n++;
}

static int answer_read(struct lookup *l, int type, const unsigned char *buf, int len)
{
	struct ares_addrttl a4[RACE_MAX];
	struct ares_addr6ttl a6[RACE_MAX];
	int n = RACE_MAX, status;

	if (type == ns_t_a)
		status = ares_parse_a_reply(buf, len, NULL, a4, &n);
	else
		status = ares_parse_aaaa_reply(buf, len, NULL, a6, &n);
	for (int i = 0; status == ARES_SUCCESS && i < n; i++) {
		if (type == ns_t_a)
			lookup_add(l, 4, &a4[i].ipaddr);
		else
			lookup_add(l, 6, &a6[i].ip6addr);
	}
	return status;
}

/* c-ares' callback; may run inside ares_query(), ares_cancel() and the like. */
static void query_done(void *arg, int status, int timeouts, unsigned char *buf, int len)
{
	struct query *q = arg;
	struct resolver *r = q->resolver;
	struct lookup *l = q->owner;

	(void)timeouts;
	q->asked = false;
	if (!l) {
		q->type = 0;
		return;
	}
	if (status == ARES_ECANCELLED) {	/* resolver_update(): new servers */
		q->again = r->now;
		return;
	}
	if (status != ARES_SUCCESS && r->starved) {
		q->again = r->now + LIMIT_STARVED_US;
		return;
	}
	if (status == ARES_SUCCESS)
		status = answer_read(l, q->type, buf, len);
	if (status != ARES_SUCCESS)
		l->error = ares_strerror(status);
	if (q->type == ns_t_a)
		l->pending4 = false;
	else
		l->pending6 = false;
	l->fresh = true;
	q->owner = NULL;
	q->type = 0;
}

static void queries_ask(struct resolver *r)
{
	for (int i = 0; i < RESOLVE_QUERIES; i++) {
		struct query *q = &r->queries[i];

		if (!q->type || q->asked || q->again > r->now)
			continue;
		r->starved = false;
		q->asked = true;
		ares_query(r->channel, q->owner->name, ns_c_in, q->type, query_done, q);
	}
}

/* When must resolver_timer() run?  After everything that may have changed it. */
static void next_find(struct resolver *r)
{
	struct timeval tv;

	r->next = UINT64_MAX;
	for (int i = 0; i < RESOLVE_QUERIES; i++)
		if (r->queries[i].type && !r->queries[i].asked && r->queries[i].again < r->next)
			r->next = r->queries[i].again;
	if (ares_timeout(r->channel, NULL, &tv)) {
		uint64_t t = r->now + (uint64_t)tv.tv_sec * USEC_PER_SEC + (uint64_t)tv.tv_usec;

		r->next = t < r->next ? t : r->next;
	}
}

static bool query_new(struct resolver *r, struct lookup *l, int type)
{
	for (int i = 0; i < RESOLVE_QUERIES; i++) {
		struct query *q = &r->queries[i];

		if (q->type)
			continue;
		*q = (struct query){ .resolver = r, .owner = l, .type = type, .again = r->now };
		return true;
	}
	l->error = "too many questions at once";
	return false;
}

void lookup_start(struct resolver *r, struct lookup *l, const char *name, uint64_t now)
{
	*l = (struct lookup){ .resolver = r, .name = name, .fresh = true };
	r->now = now;
	hosts_read(r->hosts, l);
	if (l->n)
		return;
	if (r->n_servers == 0) {
		l->error = "the network named no DNS server";
		return;
	}
	l->pending6 = query_new(r, l, ns_t_aaaa);
	l->pending4 = query_new(r, l, ns_t_a);
	queries_ask(r);
	next_find(r);
}

void lookup_stop(struct lookup *l)
{
	struct resolver *r = l->resolver;
	bool wanted = false;

	if (!r)
		return;
	l->pending4 = l->pending6 = false;
	for (int i = 0; i < RESOLVE_QUERIES; i++) {
		struct query *q = &r->queries[i];

		if (q->owner == l) {
			q->owner = NULL;
			if (!q->asked)
				q->type = 0;
		}
		wanted |= q->owner != NULL;
	}
	if (!wanted)
		ares_cancel(r->channel);	/* closes the sockets too */
	next_find(r);
}

/* ---- the resolver ---------------------------------------------------------------- */

struct resolver *resolver_new(struct loop *loop, struct sock_stock *socks,
			      const char *hosts, const char *resolv)
{
	char lookups[] = "b", no_file[] = "/dev/null";
	struct ares_options o = {
		/* nothing but what is asked for: no search list, no aliases */
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
		.timeout = RESOLVE_TIMEOUT, .tries = RESOLVE_TRIES, .ndots = 0,
		.lookups = lookups, .ednspsz = 1232, .resolvconf_path = no_file,
		.sock_state_cb = socket_state,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
		   ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ | ARES_OPT_RESOLVCONF |
		   ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS | ARES_OPT_SERVERS |
		   ARES_OPT_SORTLIST | ARES_OPT_NOROTATE;
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->loop = loop;
	r->socks = socks;
	r->port = NAMESERVER_PORT;
	r->next = UINT64_MAX;
	for (int i = 0; i < RESOLVE_SOCKETS; i++)
		r->srcs[i] = (struct loop_src){ .kind = EV_RESOLVE, .fd = -1, .owner = r };
	o.sock_state_cb_data = r;
	if (ares_init_options(&r->channel, &o, mask) != ARES_SUCCESS) {
		free(r);
		return NULL;
	}
	ares_set_socket_functions(r->channel, &give, r);
	resolver_update(r, hosts, resolv);
	return r;
}

void resolver_update(struct resolver *r, const char *hosts, const char *resolv)
{
	free(r->hosts);
	r->hosts = hosts ? strdup(hosts) : NULL;
	servers_read(r, resolv);
	ares_cancel(r->channel);	/* servers can only be changed at rest */
	servers_set(r);
	next_find(r);			/* what was outstanding is asked anew by the timer */
}

void resolver_port(struct resolver *r, uint16_t port)
{
	r->port = port;
	servers_set(r);
}

uint64_t resolver_deadline(const struct resolver *r)
{
	return r->next;
}

void resolver_event(struct resolver *r, struct loop_src *src, uint32_t events, uint64_t now)
{
	int fd = src->fd;

	r->now = now;
	r->starved = false;
	ares_process_fd(r->channel, events & ~(uint32_t)EPOLLOUT ? fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
	next_find(r);
}

uint64_t resolver_timer(struct resolver *r, uint64_t now)
{
	if (r->next > now)
		return r->next;
	r->now = now;
	r->starved = false;
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	queries_ask(r);
	next_find(r);
	return r->next;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	for (int i = 0; i < RESOLVE_QUERIES; i++)
		r->queries[i].owner = NULL;
	ares_destroy(r->channel);
	free(r->hosts);
	free(r);
}
