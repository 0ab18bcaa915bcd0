/* SPDX-License-Identifier: MIT */
/*
 * reload.c - files that change while the endpoint runs.  A look at their dates
 * once a second, not inotify: it sees a file whose folder was replaced, a link
 * that leads elsewhere and a network's file system, too.  What is invalid
 * changes nothing, and is said once: as an event, on stderr, and in `sentry ctl
 * status` for as long as it is so.
 */
#define _GNU_SOURCE
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RELOAD_US	(1 * USEC_PER_SEC)
#define RELOAD_WHY	1024

/* Has it changed since the last look?  Notes what it is now. */
static bool watch_changed(struct watch *w, const char *path)
{
	struct watch now = { 0 };
	struct stat sb;

	if (!path)
		return false;
	if (stat(path, &sb) == 0)
		now = (struct watch){ sb.st_mtim.tv_sec, sb.st_mtim.tv_nsec, sb.st_size, sb.st_ino };
	if (now.sec == w->sec && now.nsec == w->nsec && now.size == w->size && now.ino == w->ino)
		return false;
	*w = now;
	return true;
}

/* @error: what is wrong now, as `status` says it; @why NULL: nothing */
static void said(char **error, const char *why)
{
	free(*error);
	*error = why ? strdup(why) : NULL;
}

/* ---- devices --------------------------------------------------------------- */

static bool devices_watch(struct sentry *s)
{
	bool list = watch_changed(&s->watch_devices, s->conf.devices);

	return watch_changed(&s->watch_signer, s->conf.device_signer) || list;
}

/* Return: 0, or a negative errno and @why, and nothing has changed */
static int devices_take(struct sentry *s, bool force, char *why, size_t size)
{
	struct devices d;
	int err = list_load(&d, s->conf.devices, s->conf.device_signer, why, size);

	if (err)
		return err;
	if (!force && !list_newer(&d, &s->seen, s->conf.devices, why, size)) {
		devices_free(&d);
		return -ESTALE;
	}
	devices_free(&s->devices);
	s->devices = d;
	s->seen = d.id;
	s->devices_since = event_wall();
	said(&s->devices_error, NULL);
	return 0;
}

/* Return: 0, or a negative errno and @why */
static int devices_remember(struct sentry *s, char *why, size_t size)
{
	int err = s->conf.device_state ? list_seen_write(s->conf.device_state, &s->seen) : 0;

	if (err)
		snprintf(why, size, "%s: the list's version cannot be kept: %s; name a file that "
			 "may be written as DeviceState", s->conf.device_state, strerror(-err));
	return err;
}

static bool devices_again(struct sentry *s, bool force)
{
	char why[RELOAD_WHY];
	const char *device;
	json_t *block;
	void *tmp;

	if (!s->conf.devices)
		return true;
	if (devices_take(s, force, why, sizeof(why))) {
		said(&s->devices_error, why);
		fprintf(stderr, "sentry: the device list stays as it was: %s\n", why);
		event_emit(s, "devices.invalid", json_pack("{s:s}", "text", why));
		return false;
	}
	/* what `unblock` said was about the list of that time; `block` stays */
	json_object_foreach_safe(s->blocked, tmp, device, block) {
		if (!json_is_true(block))
			json_object_del(s->blocked, device);
	}
	event_emit(s, "devices.loaded", json_pack("{s:I,s:I,s:s,s:b}", "devices",
		   (json_int_t)s->devices.n, "version", (json_int_t)s->devices.id.version,
		   "group", s->devices.id.group, "signed", (int)s->devices.is_signed));
	/* who is blocked is so at once, whatever becomes of the state file */
	admit_again(s);
	if (devices_remember(s, why, sizeof(why))) {
		fprintf(stderr, "sentry: %s\n", why);
		event_emit(s, "warning", json_pack("{s:s}", "text", why));
	}
	return true;
}

static int devices_start(struct sentry *s)
{
	char why[RELOAD_WHY];
	int err = 0;

	if (!s->conf.devices)
		return 0;
	devices_watch(s);
	if (s->conf.device_state)
		err = list_seen_read(s->conf.device_state, &s->seen);
	if (err) {
		fprintf(stderr, "%s: not the state of a device list (%s); remove it when lists of "
			"any version may be taken\n", s->conf.device_state, strerror(-err));
		return err;
	}
	err = devices_take(s, false, why, sizeof(why));
	if (!err)
		err = devices_remember(s, why, sizeof(why));
	if (err)
		fprintf(stderr, "%s\n", why);
	if (err == -ESTALE && s->conf.device_state)
		fprintf(stderr, "%s says which list came before; remove it to take this one\n",
			s->conf.device_state);
	return err;
}

/* ---- revoked certificates ---------------------------------------------------- */

static bool crl_watch(struct sentry *s)
{
	bool changed = false;

	for (uint32_t i = 0; i < s->conf.n_crl; i++)
		changed |= watch_changed(&s->watch_crl[i], s->conf.crl[i]);
	return changed;
}

/* Return: 0, or a negative errno and @why, and nothing has changed */
static int crl_take(struct sentry *s, char *why, size_t size)
{
	int err = crls_load(&s->crls, &s->crls, s->conf.crl, s->conf.n_crl, s->device_cas, why,
			    size);

	if (!err) {
		said(&s->crl_error, NULL);
		s->crl_warned = false;
	}
	return err;
}

static bool crl_again(struct sentry *s)
{
	char why[RELOAD_WHY];

	if (!s->conf.n_crl)
		return true;
	if (crl_take(s, why, sizeof(why))) {
		said(&s->crl_error, why);
		fprintf(stderr, "sentry: the revoked certificates stay as they were: %s\n", why);
		event_emit(s, "crl.invalid", json_pack("{s:s}", "text", why));
		return false;
	}
	event_emit(s, "crl.loaded", json_pack("{s:I}", "revoked",
		   (json_int_t)crls_count(&s->crls)));
	admit_again(s);
	return true;
}

/* What was revoked stays so, also when the next list does not come. */
static void crl_due(struct sentry *s)
{
	if (s->crl_warned || !crls_stale(&s->crls))
		return;
	s->crl_warned = true;
	event_emit(s, "warning", json_pack("{s:s}", "text",
		   "a list of revoked certificates is past its next update: a newer one is missing"));
}

static int crl_start(struct sentry *s)
{
	char why[RELOAD_WHY];
	int err;

	crl_watch(s);
	err = crl_take(s, why, sizeof(why));
	if (err)
		fprintf(stderr, "%s\n", why);
	return err;
}

/* ---- all of them ----------------------------------------------------------- */

int reload_init(struct sentry *s)
{
	int err;

	s->reload_timer = (struct timer){ .kind = TIMER_RELOAD, .owner = s };
	err = crl_start(s);
	if (!err)
		err = devices_start(s);
	return err ? err : timer_set(&s->loop, &s->reload_timer, s->now + RELOAD_US);
}

void reload_done(struct sentry *s)
{
	timer_off(&s->loop, &s->reload_timer);
	devices_free(&s->devices);
	crls_free(&s->crls);
	said(&s->devices_error, NULL);
	said(&s->crl_error, NULL);
}

void reload_timer(struct sentry *s)
{
	if (devices_watch(s))
		devices_again(s, false);
	if (crl_watch(s))
		crl_again(s);
	crl_due(s);
	tls_own_due(s);
	timer_set(&s->loop, &s->reload_timer, s->now + RELOAD_US);
}

bool reload_all(struct sentry *s, bool force)
{
	bool crl;

	devices_watch(s);
	crl_watch(s);
	crl = crl_again(s);
	return devices_again(s, force) && crl;
}

static json_t *devices_status(struct sentry *s)
{
	const struct devices *d = &s->devices;
	char when[32];

	if (!s->conf.devices)
		return json_null();
	return json_pack("{s:s,s:I,s:b,s:I,s:s,s:s,s:s?}", "file", s->conf.devices,
			 "devices", (json_int_t)d->n, "signed", (int)d->is_signed,
			 "version", (json_int_t)d->id.version, "group", d->id.group,
			 "since", event_time(s->devices_since, when), "error", s->devices_error);
}

static json_t *crl_status(struct sentry *s)
{
	if (!s->conf.n_crl)
		return json_null();
	return json_pack("{s:i,s:I,s:b,s:s?}", "files", (int)s->conf.n_crl, "revoked",
			 (json_int_t)crls_count(&s->crls), "stale", (int)crls_stale(&s->crls),
			 "error", s->crl_error);
}

json_t *reload_status(struct sentry *s)
{
	return json_pack("{s:b,s:o,s:o,s:o}", "ok", 1, "devices", devices_status(s), "crl",
			 crl_status(s), "certificates", tls_own_status(s));
}
