/* SPDX-License-Identifier: MIT */
/*
 * ready_main.c - apptunnel-ready SERVICE TUN NAME [PORT]: does it work
 * through the tunnel?  Started by the daemon as nobody in particular; it asks
 * the tunnel's DNS (the forwarder at SERVICE) for NAME, and connects, where
 * there is a PORT, through TUN alone.
 *
 * Exit: 0 yes, 1 no.
 */
#define _GNU_SOURCE
#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define READY_MS	3000	/* for a connection */
#define DNS_MS		2000	/* for an answer; asked twice */
#define TURNS_MAX	1000

struct answer {
	bool done, good;
	struct sockaddr_storage addr;
	socklen_t len;
};

/*
 * Any answer says that somebody is there: that there is no such name, too, and
 * that it is not one to ask for this (the engine itself only says SERVFAIL).
 */
static void on_query(void *arg, int status, int timeouts, unsigned char *buf, int len)
{
	struct answer *a = arg;

	(void)timeouts;
	(void)buf;
	(void)len;
	a->done = true;
	a->good = status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND ||
		  status == ARES_EREFUSED;
}

static void on_address(void *arg, int status, int timeouts, struct ares_addrinfo *r)
{
	struct answer *a = arg;

	(void)timeouts;
	a->done = true;
	if (status == ARES_SUCCESS && r && r->nodes && r->nodes->ai_addrlen <= sizeof(a->addr)) {
		a->len = r->nodes->ai_addrlen;
		memcpy(&a->addr, r->nodes->ai_addr, a->len);
		a->good = true;
	}
	if (r)
		ares_freeaddrinfo(r);
}

static void wait_for(ares_channel ch, struct answer *a)
{
	for (int turn = 0; !a->done && turn < TURNS_MAX; turn++) {
		struct timeval most = { .tv_sec = 1 }, tv, *t;
		fd_set in, out;
		int n;

		FD_ZERO(&in);
		FD_ZERO(&out);
		n = ares_fds(ch, &in, &out);
		if (!n)
			return;
		t = ares_timeout(ch, &most, &tv);
		if (select(n, &in, &out, NULL, t) < 0 && errno != EINTR)
			return;
		ares_process(ch, &in, &out);
	}
}

static ares_channel channel(const char *service)
{
	/* NOCHECKRESP: else a refusal is no answer, and ends as "connection refused" */
	struct ares_options o = { .timeout = DNS_MS, .tries = 2,
				  .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOCHECKRESP };
	ares_channel ch = NULL;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&ch, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_FLAGS) !=
	    ARES_SUCCESS)
		return NULL;
	return ares_set_servers_csv(ch, service) == ARES_SUCCESS ? ch : NULL;
}

static bool connects(const char *tun, const struct answer *a)
{
	int fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(err);

	/* through the tunnel, or not at all: that it can be reached otherwise is no news */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, tun, (socklen_t)strlen(tun) + 1) < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)&a->addr, a->len) == 0)
		return true;
	return errno == EINPROGRESS && poll(&p, 1, READY_MS) == 1 &&
	       getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && !err;
}

int main(int argc, char **argv)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
					     .ai_flags = ARES_AI_NUMERICSERV };
	struct answer a = { 0 };
	ares_channel ch;

	if (argc < 4 || argc > 5) {
		fprintf(stderr, "usage: apptunnel-ready SERVICE TUN NAME [PORT]\n");
		return EXIT_FAILURE;
	}
	ch = channel(argv[1]);
	if (!ch)
		return EXIT_FAILURE;
	if (argc == 4)
		ares_query(ch, argv[3], 1, strcmp(argv[3], ".") ? 1 : 2, on_query, &a);	/* A, NS */
	else
		ares_getaddrinfo(ch, argv[3], argv[4], &hints, on_address, &a);
	wait_for(ch, &a);
	if (a.good && argc == 5)
		a.good = connects(argv[2], &a);
	ares_destroy(ch);
	ares_library_cleanup();
	return a.good ? EXIT_SUCCESS : EXIT_FAILURE;
}
