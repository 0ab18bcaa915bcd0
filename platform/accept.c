/* SPDX-License-Identifier: MIT */
/*
 * accept.c - the control socket: who may ask, one request of fixed size, and
 * lines back, without ever waiting for anybody.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/report.h"

#define GROUPS_MAX	1024	/* supplementary groups of a caller that are looked at */
#define BACKLOG		16

void accept_init(struct daemon *d)
{
	int i;

	d->listen_fd = -1;
	for (i = 0; i < DAEMON_CLIENTS; i++) {
		d->clients[i].fd = d->clients[i].passed = -1;
		d->clients[i].d = d;
	}
}

int accept_listen(struct daemon *d)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int dir, fd, err;

	dir = open(d->o.run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		goto fail;
	/* by way of /proc, for a run folder may have a longer path than sun_path holds */
	snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/" NAMES_CONTROL_SOCKET, dir);
	if (unlinkat(dir, NAMES_CONTROL_SOCKET, 0) < 0 && errno != ENOENT)
		goto fail;
	if (fchmod(fd, 0600) < 0 ||	/* the mode that bind() gives the file */
	    bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    fchownat(dir, NAMES_CONTROL_SOCKET, (uid_t)-1, d->group, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dir, NAMES_CONTROL_SOCKET, 0660, 0) < 0 ||
	    listen(fd, BACKLOG) < 0)
		goto fail;
	close(dir);
	d->listen_fd = fd;
	return 0;
fail:
	err = -errno;
	if (fd >= 0)
		close(fd);
	close(dir);
	return err;
}

/* ---- lines out ----------------------------------------------------------- */

static void client_flush(struct client *c)
{
	ssize_t n;

	if (c->fd < 0 || !c->out_len)
		return;
	n = send(c->fd, c->out, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			c->out_len = 0;		/* it is gone; poll says so soon */
		return;
	}
	c->out_len -= (size_t)n;
	memmove(c->out, c->out + n, c->out_len);
	c->out_since = c->d->now;
}

static void client_append(struct client *c, const char *line, size_t len)
{
	if (c->out_len + len > c->out_size) {
		size_t size = c->out_size ? c->out_size * 2 : CONTROL_LINE_MAX;
		char *p = size <= DAEMON_OUT_MAX ? realloc(c->out, size) : NULL;

		if (!p) {
			c->out_cut = true;
			return;
		}
		c->out = p;
		c->out_size = size;
	}
	if (!c->out_len)
		c->out_since = c->d->now;
	memcpy(c->out + c->out_len, line, len);
	c->out_len += len;
	client_flush(c);
}

void client_say(struct client *c, const char *to, const char *fmt, ...)
{
	char line[CONTROL_LINE_MAX];
	int head, len;
	va_list ap;

	if (c->fd < 0)
		return;
	head = snprintf(line, sizeof(line), "%s ", to);
	va_start(ap, fmt);
	len = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	len += head;
	if (len > (int)sizeof(line) - 2)
		len = (int)sizeof(line) - 2;	/* cut */
	line[len++] = '\n';
	client_append(c, line, (size_t)len);
}

void client_exit(struct client *c, int code)
{
	char line[48];
	int len;

	if (c->fd < 0)
		return;
	if (c->out_cut)		/* room for this is there as soon as some was taken */
		c->out_len = c->out_len > CONTROL_LINE_MAX ? c->out_len - CONTROL_LINE_MAX : 0;
	len = snprintf(line, sizeof(line), "%sexit %d\n", c->out_cut ? "\nerr ...\n" : "", code);
	client_append(c, line, (size_t)len);
	c->slot = NULL;
	c->wait = CLIENT_LEAVING;
	if (!c->out_len)
		client_drop(c);
}

void client_drop(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->passed >= 0)
		close(c->passed);
	free(c->out);
	*c = (struct client){ .fd = -1, .passed = -1, .d = c->d };
}

/* ---- who may ------------------------------------------------------------- */

/* uid 0, the daemon's own, or a member of the group: as the kernel knows it of the peer. */
static bool peer_allowed(const struct daemon *d, int fd, uid_t *uid)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(struct ucred);
	struct ucred cred;
	size_t i;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	*uid = cred.uid;
	if (cred.uid == 0 || cred.uid == geteuid() || cred.gid == d->group)
		return true;
	len = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (i = 0; i < len / sizeof(groups[0]); i++) {
		if (groups[i] == d->group)
			return true;
	}
	return false;
}

/* A few words to one who is not let in; whether they arrive does not matter. */
static void turn_away(int fd, const char *why, int code)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "err apptunnel: %s\nexit %d\n", why, code);

	if (send(fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		len = 0;
	close(fd);
}

static void accept_one(struct daemon *d, int fd)
{
	struct client *free_one = NULL;
	unsigned int i, same = 0, used = 0;
	uid_t uid = (uid_t)-1;

	if (!peer_allowed(d, fd, &uid)) {
		turn_away(fd, "only root and members of the daemon's group may do this",
			  EXIT_PERMISSION);
		return;
	}
	for (i = 0; i < DAEMON_CLIENTS; i++) {
		if (d->clients[i].fd < 0) {
			free_one = &d->clients[i];
			continue;
		}
		used++;
		same += d->clients[i].uid == uid;
	}
	/* so many ordinary users there are: root must still be able to disconnect */
	if (uid && used >= DAEMON_CLIENTS - DAEMON_CLIENTS_ROOT)
		free_one = NULL;
	if (!free_one || same >= DAEMON_CLIENTS_UID || d->stopping) {
		turn_away(fd, d->stopping ? "apptunneld is stopping" :
			  "apptunneld has too many requests at the moment", EXIT_UNEXPECTED);
		return;
	}
	free_one->fd = fd;
	free_one->uid = uid;
	free_one->wait = CLIENT_READING;
	free_one->deadline = d->now + CONTROL_DEADLINE_MS;
}

void accept_ready(struct daemon *d)
{
	int fd, n;

	for (n = 0; n < BACKLOG; n++) {
		/* not O_NONBLOCK, for the parser writes to it; we ask per call (MSG_DONTWAIT) */
		fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			accept_one(d, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* no descriptor or no memory: whoever waits goes on waiting, and so do we,
		 * for poll(2) would say "readable" again at once */
		report(REPORT_WARNING, "accept.failed", "%s", strerror(errno));
		d->accept_at = d->now + DAEMON_ACCEPT_MS;
		return;
	}
}

/* ---- requests in --------------------------------------------------------- */

static void client_bad(struct client *c, const char *why)
{
	client_say(c, "err", "apptunnel: %s", why);
	client_exit(c, EXIT_UNEXPECTED);
}

/* There is room for two, because of alignment: only one alone is what apply sends. */
static void client_take(struct client *c, struct msghdr *msg)
{
	struct cmsghdr *h;
	size_t n;
	int fd;

	for (h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
			if (c->passed >= 0 || n > 1)
				close(fd);
			else
				c->passed = fd;
		}
	}
}

static void client_read(struct daemon *d, struct client *c)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec iov = { (char *)&c->req + c->got, sizeof(c->req) - c->got };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
			      .msg_controllen = sizeof(u.buf) };
	ssize_t n;

	n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n > 0)
		client_take(c, &msg);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_drop(c);
		return;
	}
	c->got += (size_t)n;
	if (c->got < sizeof(c->req))
		return;
	c->deadline = DAEMON_NEVER;
	if (control_request_check(&c->req)) {
		client_bad(c, "apptunneld does not understand this request (another version?)");
		return;
	}
	answer_request(d, c);
}

/* Whoever waits will not wait any longer. */
static void interrupted(struct daemon *d, struct client *c)
{
	if (c->slot)
		supervise_interrupted(d, c);
	else if (c->wait == CLIENT_CHANGE)
		trial_interrupted(d, c);
}

/* After the request there is nothing more to come but the end. */
static void client_listen(struct daemon *d, struct client *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->eof = true;
	interrupted(d, c);
}

short client_events(const struct client *c)
{
	return (short)((c->eof ? 0 : POLLIN) | (c->out_len ? POLLOUT : 0));
}

void client_ready(struct daemon *d, struct client *c, short revents)
{
	if (revents & POLLOUT)
		client_flush(c);
	if (c->wait == CLIENT_LEAVING && !c->out_len) {
		client_drop(c);
		return;
	}
	if ((revents & POLLIN) && c->wait == CLIENT_READING)
		client_read(d, c);
	else if ((revents & POLLIN) && !c->eof)
		client_listen(d, c);
	if (c->fd >= 0 && (revents & (POLLHUP | POLLERR | POLLNVAL))) {
		/* not even half of it is left */
		if (!c->eof)
			interrupted(d, c);
		client_drop(c);
	}
}

uint64_t client_deadline(const struct client *c)
{
	uint64_t until = c->wait == CLIENT_READING || c->wait == CLIENT_UP ?
			 c->deadline : DAEMON_NEVER;
	uint64_t out = c->out_len ? c->out_since + CONTROL_DEADLINE_MS : DAEMON_NEVER;

	return out < until ? out : until;
}

void client_timer(struct daemon *d, struct client *c)
{
	if (c->out_len && d->now >= c->out_since + CONTROL_DEADLINE_MS) {
		/* it does not read: as good as gone */
		interrupted(d, c);
		client_drop(c);
	} else if (c->wait == CLIENT_READING && d->now >= c->deadline) {
		client_bad(c, "no request came");
	} else if (c->wait == CLIENT_UP && d->now >= c->deadline) {
		c->deadline = DAEMON_NEVER;
		supervise_timeout(d, c);
	}
}
