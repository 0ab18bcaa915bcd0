/* SPDX-License-Identifier: MIT */
/*
 * trial_ready.c - does the profile on trial work?  The tunnel is up, its DNS
 * answers, something is reached through it: each is looked for in turn, the
 * last two by a child (apptunnel-ready), for an answer is a peer's bytes.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "platform/isolate.h"
#include "platform/report.h"
#include "platform/trial_priv.h"

#define READY_NAME	"apptunnel-ready"
#define READY_PAUSE_MS	1000	/* between two attempts */

/* A name that the tunnel's resolvers should know something about. */
static char *ask_for(struct trial *t, struct slot *s)
{
	struct ipaddr a;

	if (t->terms.host[0] && addr_parse(t->terms.host, &a))
		return t->terms.host;
	return s->offer.n_search ? s->offer.search[0] : (char *)".";
}

static void try_one(struct daemon *d, struct trial *t, struct slot *s)
{
	char path[PROFILE_PATH_MAX + sizeof(READY_NAME) + 1], service[ADDR_STRLEN], port[8];
	bool dns = t->left & CONTROL_READY_DNS;
	char *argv[] = { (char *)READY_NAME, service, s->plan.names.tun,
			 dns ? ask_for(t, s) : t->terms.host, dns ? NULL : port, NULL };
	struct isolate_child child = { .path = path, .argv = argv, .uid = d->uid, .gid = d->gid };
	pid_t pid;

	snprintf(path, sizeof(path), "%s/" READY_NAME, d->o.libexec_dir);
	snprintf(port, sizeof(port), "%u", t->terms.port);
	addr_format(&s->plan.names.service4, service);
	pid = isolate_spawn(&child);
	if (pid < 0)
		report(REPORT_ERROR, "ready.unstartable", "%s: %s", t->stem, strerror(-(int)pid));
	else
		t->pid = pid;
}

static void seen(struct daemon *d, struct trial *t, uint8_t what)
{
	struct client *w = candidate_client(d, t->stem);

	t->left &= (uint8_t)~what;
	if (t->left)
		return;
	t->ready_due = t->kept.ready_due = false;
	if (!t->terms.confirm_ms || t->same) {
		if (w)
			client_say(w, "out", "applied %s: it is ready", t->stem);
		trial_keep(d, t, w);
	} else {
		(void)store_trial_put(d->o.state_dir, t->stem, &t->kept);
		if (w)
			client_say(w, "out", "applied %s on trial: it is ready, and `apptunnel "
				   "profile confirm %s` within %u s keeps it", t->stem, t->stem,
				   (unsigned int)((t->deadline - d->now) / 1000));
	}
	if (w)
		client_exit(w, 0);
}

bool trial_child(struct daemon *d, pid_t pid, int status)
{
	for (int i = 0; i < NAMES_MAX_PROFILES; i++) {
		struct trial *t = &d->trials[i];

		if (!t->pid || t->pid != pid)
			continue;
		t->pid = 0;
		t->try_at = d->now + READY_PAUSE_MS;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			t->try_at = d->now;
			seen(d, t, t->left & CONTROL_READY_DNS ? CONTROL_READY_DNS :
			     CONTROL_READY_TCP);
		}
		return true;
	}
	return false;
}

void trial_ready_timer(struct daemon *d, struct trial *t)
{
	struct slot *s = supervise_find(d, t->stem);
	bool up = s && s->phase == SLOT_RUNNING && s->state == SESSION_UP && s->applied;

	if (t->pid)
		return;
	t->try_at = d->now + READY_PAUSE_MS;
	if (!up)
		return;
	if (t->left & CONTROL_READY_TUNNEL)
		seen(d, t, CONTROL_READY_TUNNEL);
	if (t->left)
		try_one(d, t, s);
}

const char *trial_not_seen(const struct trial *t)
{
	return t->left & CONTROL_READY_TUNNEL ? "the tunnel did not come up in time" :
	       t->left & CONTROL_READY_DNS ? "the tunnel's DNS did not answer in time" :
	       "what was to be reached through the tunnel did not answer in time";
}
