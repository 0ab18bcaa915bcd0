/* SPDX-License-Identifier: MIT */
/*
 * daemon_link.c - the engine's end of platform/helper_msg.h.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/engine.h"
#include "client/log.h"

#define SNAPSHOT_MAX	(1u << 20)	/* bytes of /etc/hosts or resolv.conf that are read */

/* A snapshot's text, NUL-terminated; NULL when it cannot be read. */
static char *snapshot_read(int fd)
{
	char *text = malloc(SNAPSHOT_MAX + 1), *shrunk;
	size_t len = 0;
	ssize_t n;

	if (!text)
		return NULL;
	while (len < SNAPSHOT_MAX) {
		n = pread(fd, text + len, SNAPSHOT_MAX - len, (off_t)len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	shrunk = realloc(text, len + 1);
	return shrunk ? shrunk : text;
}

static int profile_map(int fd, const struct profile **out)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)sizeof(struct profile))
		return -EBADMSG;
	p = mmap(NULL, sizeof(struct profile), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	if (profile_check_record(p, (size_t)st.st_size) < 0) {
		munmap(p, sizeof(struct profile));
		return -EBADMSG;
	}
	*out = p;
	return 0;
}

static void snapshot_replace(char **slot, int fd)
{
	char *text = snapshot_read(fd);

	if (text) {
		free(*slot);
		*slot = text;
	}
}

static void slot_fill(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

/* Takes over @fd.  Snapshots are in use at once, the rest goes to @profile and @files. */
static int file_take(struct engine *e, const struct profile **profile, struct tls_setup *files,
		     const struct helper_msg *m, int fd)
{
	int err = 0;

	switch ((enum helper_file)m->u.file.file) {
	case HELPER_FILE_PROFILE:
		if (*profile)
			munmap((void *)*profile, sizeof(**profile));
		*profile = NULL;
		err = profile_map(fd, profile);
		break;
	case HELPER_FILE_CERTIFICATE:
		slot_fill(&files->certificate, fd);
		return 0;
	case HELPER_FILE_KEY:
		slot_fill(&files->key, fd);
		return 0;
	case HELPER_FILE_CHAIN:
		slot_fill(&files->chain, fd);
		return 0;
	case HELPER_FILE_CA:
		slot_fill(&files->ca, fd);
		return 0;
	case HELPER_FILE_PIN:
		slot_fill(&files->pins[m->u.file.index], fd);	/* index: helper_msg_check() */
		return 0;
	case HELPER_FILE_LOG:
		log_set_file(fd);
		return 0;
	case HELPER_FILE_HOSTS:
		snapshot_replace(&e->hosts, fd);
		break;
	case HELPER_FILE_RESOLV:
		snapshot_replace(&e->resolv, fd);
		break;
	case HELPER_FILE_NOTES:
		snapshot_replace(&e->notes, fd);
		break;
	}
	close(fd);
	return err;
}

int daemon_link_receive_files(struct engine *e)
{
	struct pollfd p = { .fd = HELPER_FD, .events = POLLIN };
	int fds[HELPER_MAX_FDS], err;
	struct helper_msg m;

	reload_init(e);
	e->files = e->new_files;
	for (;;) {
		err = helper_recv(HELPER_FD, &m, fds);
		if (err == -EAGAIN) {
			if (poll(&p, 1, 10000) == 0)
				return -ETIMEDOUT;
			continue;
		}
		if (err <= 0)
			return err ? err : -EPIPE;
		if (m.type == HELPER_START)
			break;
		if (m.type != HELPER_FILE)
			return -EBADMSG;
		err = file_take(e, &e->profile, &e->files, &m, fds[0]);
		if (err)
			return err;
	}
	if (!e->profile)
		return -EBADMSG;
	plan_names_default(&e->names, 0);
	if (m.u.start.service4.family)
		e->names.service4 = m.u.start.service4;
	if (m.u.start.service6.family)
		e->names.service6 = m.u.start.service6;
	if (m.u.start.tun[0])
		snprintf(e->names.tun, sizeof(e->names.tun), "%s", m.u.start.tun);
	return 0;
}

/* The first offer that is applied brings the TUN.  Return: 0 or a negative errno */
static int tun_take(struct engine *e, const struct profile *p, const struct plan_offer *offer,
		    bool vnet_hdr, int fd, uint64_t now)
{
	struct tunnel_env env = {
		.loop = e->loop, .socks = &e->socks, .profile = p,
		.service4 = e->names.service4, .service6 = e->names.service6,
	};

	if (e->tunnel) {
		close(fd);
		return 0;
	}
	e->tun_fd = fd;
	e->vnet_hdr = vnet_hdr;
	e->tunnel = tunnel_new(&env, e->tun_fd, e->vnet_hdr, offer, now);
	e->tun = (struct loop_src){ .kind = EV_TUN, .fd = e->tun_fd };
	return e->tunnel ? loop_add(e->loop, &e->tun, EPOLLIN) : -ENOMEM;
}

static void applied(struct engine *e, const struct helper_msg *m, const int *fds, uint64_t now)
{
	const struct link_start *s = standby_waits(e);
	int error = m->u.applied.error;

	e->offer_out = false;
	if (m->n_fds)	/* then without error: helper_msg_check() */
		error = tun_take(e, s ? standby_profile(e) : e->profile, &e->offer_sent,
				 m->u.applied.has_usable_gso, fds[0], now);
	if (s)
		standby_applied(e, error, now);
	else
		link_applied(e, error, now);
}

void daemon_link_ready(struct engine *e, uint64_t now)
{
	int fds[HELPER_MAX_FDS], got;
	struct helper_msg m;

	while ((got = helper_recv(HELPER_FD, &m, fds)) > 0) {
		switch ((enum helper_type)m.type) {
		case HELPER_FILE:
			/* what cannot be taken is missed by reload_begin() */
			file_take(e, &e->new_profile, &e->new_files, &m, fds[0]);
			if (m.u.file.file == HELPER_FILE_HOSTS ||
			    m.u.file.file == HELPER_FILE_RESOLV)
				resolver_update(e->resolver, e->hosts, e->resolv);
			break;
		case HELPER_LOG_END:
			log_set_file(-1);
			break;
		case HELPER_RELOAD:
			if (m.u.reload.flags & RELOAD_CANCEL)
				standby_cancel(e, now);
			else
				reload_begin(e, m.u.reload.flags, m.u.reload.limit_ms, now);
			break;
		case HELPER_SOCKETS:
			sock_put(&e->socks, &m, fds);
			link_dial_event(e, NULL, 0, now);
			standby_event(e, NULL, 0, now);
			break;
		case HELPER_APPLIED:
			applied(e, &m, fds, now);
			break;
		case HELPER_CONTROL:
			control_accept(e, fds[0], &m.u.control, now);
			break;
		case HELPER_NETWORK:
			if (e->attached)
				probe_network_changed(&e->probe, now);
			retry_kick(&e->retry, now);
			break;
		case HELPER_DIAL:
			retry_kick(&e->retry, now);
			break;
		case HELPER_STOP:
			e->stopping = true;
			break;
		case HELPER_START:
		case HELPER_WANT_SOCKETS:
		case HELPER_OFFER:
		case HELPER_STATE:
		case HELPER_RELOADED:
		case HELPER_USAGE:
			break;	/* not of this direction: helper_msg_check() refused them */
		}
	}
	if (got != -EAGAIN) {
		/* without the daemon there is nobody to undo, to dial or to restart us */
		LOG(LOG_LVL_ERROR, "engine.orphan", "the daemon is gone: ending");
		e->stopping = true;
	}
}

void daemon_link_offer(struct engine *e, const struct plan_offer *offer)
{
	struct helper_msg m = { .type = HELPER_OFFER };

	m.u.offer = *offer;
	e->offer_sent = *offer;
	e->offer_out = helper_send(HELPER_FD, &m, NULL, 0) == 0;
	if (!e->offer_out)
		LOG(LOG_LVL_ERROR, "daemon.offer", "the daemon takes no message");
}

void daemon_link_reloaded(struct engine *e, int error, const char *why)
{
	struct helper_msg *m = &e->reloaded;

	*m = (struct helper_msg){ .type = HELPER_RELOADED, .u.reloaded.error = error };
	log_printable(why, strlen(why), m->u.reloaded.text, sizeof(m->u.reloaded.text));
	e->reloaded_unsaid = helper_send(HELPER_FD, m, NULL, 0) < 0;
}

uint64_t daemon_link_again(struct engine *e, uint64_t now)
{
	if (e->reloaded_unsaid)
		e->reloaded_unsaid = helper_send(HELPER_FD, &e->reloaded, NULL, 0) < 0;
	if (e->state_unsaid)
		daemon_link_state(e);
	return e->reloaded_unsaid || e->state_unsaid ? now + LIMIT_UNSAID_US : UINT64_MAX;
}

int daemon_link_usage(const struct usage_totals *t)
{
	struct helper_msg m = { .type = HELPER_USAGE, .u.usage = *t };

	return helper_send(HELPER_FD, &m, NULL, 0);
}

void daemon_link_state(struct engine *e)
{
	const struct session *s = &e->session;
	struct helper_msg m = { .type = HELPER_STATE };
	const struct cause_info *info = cause_info(s->cause);
	char text[sizeof(m.u.state.text)];

	m.u.state.state = (uint8_t)s->state;
	m.u.state.attempts_over = e->attempts_over;
	if (s->cause != CAUSE_NONE && s->state != SESSION_UP) {
		m.u.state.exit = (uint8_t)info->exit;
		size_t len = strlen(info->text) - 1;	/* without the sentence's full stop */

		snprintf(text, sizeof(text), "%.*s%s%.250s%s", (int)(len < 200 ? len : 200),
			 info->text, s->why[0] ? " (" : "", s->why, s->why[0] ? ")" : "");
		log_printable(text, sizeof(text), m.u.state.text, sizeof(m.u.state.text));
	}
	e->state_unsaid = helper_send(HELPER_FD, &m, NULL, 0) < 0;
}
