/* SPDX-License-Identifier: MIT */
/*
 * reload.c - another profile while the engine runs (platform/helper_msg.h,
 * "A changed profile").  Nothing is opened here: the engine is locked down,
 * files came as descriptors.
 *
 * Everything that can fail is done before anything is changed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/engine.h"
#include "client/log.h"

#define RELOAD_WHY	256	/* bytes of a reason, with NUL */

/* ---- what was sent --------------------------------------------------------------- */

static void files_none(struct tls_setup *f)
{
	int i;

	f->certificate = f->key = f->chain = f->ca = -1;
	for (i = 0; i < PROFILE_MAX_PINS; i++)
		f->pins[i] = -1;
}

static void slot_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void files_close(struct tls_setup *f)
{
	int i;

	slot_close(&f->certificate);
	slot_close(&f->key);
	slot_close(&f->chain);
	slot_close(&f->ca);
	for (i = 0; i < PROFILE_MAX_PINS; i++)
		slot_close(&f->pins[i]);
}

static void profile_unmap(const struct profile **p)
{
	if (*p)
		munmap((void *)*p, sizeof(**p));
	*p = NULL;
}

void reload_init(struct engine *e)
{
	e->new_profile = NULL;
	files_none(&e->new_files);
}

static void staged_drop(struct engine *e)
{
	profile_unmap(&e->new_profile);
	files_close(&e->new_files);
}

void reload_free(struct engine *e)
{
	staged_drop(e);
	files_close(&e->files);
}

/* ---- may it be? -------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool same_hosts(const struct profile *a, const struct profile *b)
{
	uint32_t i;

	for (i = 0; i < a->n_hosts && i < b->n_hosts; i++) {
		if (!same_text(a->hosts[i].name, b->hosts[i].name) ||
		    a->hosts[i].port != b->hosts[i].port)
			return false;
	}
	return a->n_hosts == b->n_hosts;
}

static bool same_pins(const struct profile *a, const struct profile *b)
{
	uint32_t i;

	for (i = 0; i < a->n_pins && i < b->n_pins; i++) {
		const struct profile_pin *p = &a->pins[i], *q = &b->pins[i];

		if (p->kind != q->kind || memcmp(p->sha256, q->sha256, sizeof(p->sha256)) ||
		    !same_text(p->path, q->path))
			return false;
	}
	return a->n_pins == b->n_pins;
}

/* Do both ask for the same session?  What the files hold is the daemon's to compare. */
static bool same_session(const struct profile *a, const struct profile *b)
{
	return same_hosts(a, b) && same_pins(a, b) &&
	       same_text(a->service, b->service) && same_text(a->device_id, b->device_id) &&
	       same_text(a->user_id, b->user_id) && same_text(a->platform, b->platform) &&
	       a->tls_max == b->tls_max && a->pinning_disabled == b->pinning_disabled &&
	       same_text(a->certificate, b->certificate) &&
	       same_text(a->private_key, b->private_key) &&
	       same_text(a->chain, b->chain) && same_text(a->ca_file, b->ca_file);
}

/* Return: 0 or a negative errno with @why filled */
static int judge(const struct engine *e, char *why)
{
	const struct profile *was = e->profile, *is = e->new_profile;

	if (e->standby) {
		snprintf(why, RELOAD_WHY, "the change before this one is still under way");
		return -EBUSY;
	}
	if (e->session.state == SESSION_FAILED) {
		snprintf(why, RELOAD_WHY, "the present one cannot be used: connect again");
		return -EOPNOTSUPP;
	}
	if (!is) {
		snprintf(why, RELOAD_WHY, "no sound profile came");
		return -EBADMSG;
	}
	if (!same_text(was->stem, is->stem)) {
		snprintf(why, RELOAD_WHY, "it is another profile: %s", is->stem);
		return -EINVAL;
	}
	if (was->mtu != is->mtu || !addr_equal(&was->tun4, &is->tun4) ||
	    !addr_equal(&was->tun6, &is->tun6)) {
		snprintf(why, RELOAD_WHY,
			 "MTU and TunIP of an interface stay as they are: connect again");
		return -EOPNOTSUPP;
	}
	return 0;
}

void reload_log(const struct profile *p)
{
	LOG(LOG_LVL_INFO, "profile.values",
	    "%u hosts, service %s, %u routes less %u, UDP %s, probes %u s %u x %u s, log level %s",
	    p->n_hosts, p->service, p->n_routes, p->n_excluded,
	    p->udp_split ? "of the ports named" : "of all ports", p->probe_idle_s,
	    p->probe_count, p->probe_interval_s,
	    log_level_name((enum profile_log_level)p->log_level));
}

/* ---- it takes effect ------------------------------------------------------------------ */

int reload_use(struct engine *e, const struct profile *p, struct tls_setup *files,
	       struct tls_ctx *tls, uint64_t now)
{
	const struct profile *was = e->profile;
	uint32_t ended = 0;
	int err = 0;

	if (e->tunnel)
		err = tunnel_set_profile(e->tunnel, p, &ended, now);
	if (err)
		return err;
	e->profile = p;
	/* one that was set by hand stays, unless the profile's own is another one now */
	if (was->log_level != p->log_level)
		log_set_level((enum profile_log_level)p->log_level);
	if (tls) {
		link_leave(e, now);
		tls_ctx_free(e->tls);
		e->tls = tls;
		files_close(&e->files);
		e->files = *files;
	} else {
		link_profile_changed(e, now);
	}
	profile_unmap(&was);
	LOG(LOG_LVL_INFO, "profile.changed", "%s, %u flows ended because their verdict is another",
	    tls ? "a new profile and its session are in effect" : "a new profile is in effect",
	    ended);
	reload_log(p);
	return 0;
}

void reload_answer(struct engine *e, int error, const char *why)
{
	if (error)
		LOG(LOG_LVL_WARNING, "profile.kept", "the new profile is not used: %s", why);
	daemon_link_reloaded(e, error, why);
}

void reload_begin(struct engine *e, uint32_t flags, uint32_t limit_ms, uint64_t now)
{
	char why[RELOAD_WHY] = "";
	bool under_way = false;
	int err;

	err = judge(e, why);
	if (!err && (flags & RELOAD_SESSION || !same_session(e->profile, e->new_profile))) {
		err = standby_begin(e, limit_ms, why, sizeof(why), now);
		under_way = !err;
	} else if (!err) {
		err = reload_use(e, e->new_profile, NULL, NULL, now);
		if (err)
			snprintf(why, sizeof(why), "%s", strerror(-err));
		else
			e->new_profile = NULL;
	}
	if (!under_way)
		reload_answer(e, err, why);
	staged_drop(e);
}
