/* SPDX-License-Identifier: MIT */
/*
 * fault.c - what goes wrong on purpose.  A fault stands until `off`, or until it
 * fired as often as it was told to, for one device or for all.  Those that hit a
 * session that is up (freeze to goaway) go when they have hit the sessions of the
 * moment, unless `always`, `times` or `after` says that later ones are meant too.
 */
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const fault_names[] = {
	[FAULT_REFUSE] = "refuse", [FAULT_NO_POST_ANSWER] = "no-post-answer",
	[FAULT_NO_CONFIG] = "no-config", [FAULT_REFUSE_OPEN] = "refuse-open",
	[FAULT_DELAY_OPEN] = "delay-open", [FAULT_NO_PROBE_REPLY] = "no-probe-reply",
	[FAULT_FREEZE] = "freeze", [FAULT_DEAF] = "deaf", [FAULT_MUTE] = "mute",
	[FAULT_RST] = "rst", [FAULT_FIN] = "fin", [FAULT_GOAWAY] = "goaway",
};
_Static_assert(sizeof(fault_names) / sizeof(*fault_names) == FAULTS, "a name for each fault");

const char *fault_text(enum fault_name f)
{
	return fault_names[f];
}

/* Return: 0, -EINVAL */
static int number(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || v < min || v > max)
		return -EINVAL;
	*out = (uint32_t)v;
	return 0;
}

/* reasons by name or number */
static int reason(const char *text, const char *const *names, uint32_t n, uint32_t min,
		  uint32_t *out)
{
	for (uint32_t i = min; i < n; i++) {
		if (names[i] && strcasecmp(text, names[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return number(text, min, 255, out);
}

static int fault_args(struct fault *f, const char *const *w, size_t n, size_t *used,
		      const char **why)
{
	static const char *const refused[] = {
		NULL, "connection-refused", "host-unreachable", "network-unreachable",
		"timed-out", "denied", "resource-limit", "name-not-found", "not-supported",
	};
	static const char *const goaway[] = {
		"bye", "draining", "revoked", "protocol_error", "replaced", "internal",
	};
	uint32_t v;

	*used = 0;
	switch (f->name) {
	case FAULT_REFUSE:
		*why = "refuse takes STATUS CODE [TIMES] [retry-after S]";
		if (n < 2 || number(w[0], 200, 999, &v) || strlen(w[1]) >= sizeof(f->code))
			return -EINVAL;
		f->status = (int)v;
		memcpy(f->code, w[1], strlen(w[1]) + 1);
		*used = 2;
		if (n > 2 && number(w[2], 1, UINT32_MAX, &f->times) == 0)
			*used = 3;
		if (n > *used + 1 && strcmp(w[*used], "retry-after") == 0) {
			if (number(w[*used + 1], 0, 1000000, &f->retry_after_s))
				return -EINVAL;
			*used += 2;
		}
		return 0;
	case FAULT_REFUSE_OPEN:
		*why = "refuse-open takes REASON (1..255, or connection-refused, host-unreachable, "
		       "network-unreachable, timed-out, denied, resource-limit, name-not-found, "
		       "not-supported)";
		if (n < 1 || reason(w[0], refused, 9, 1, &f->value))
			return -EINVAL;
		*used = 1;
		return 0;
	case FAULT_DELAY_OPEN:
		*why = "delay-open takes MILLISECONDS";
		if (n < 1 || number(w[0], 0, 3600000, &f->value))
			return -EINVAL;
		*used = 1;
		return 0;
	case FAULT_GOAWAY:
		*why = "goaway takes REASON (bye, draining, revoked, protocol_error, replaced, "
		       "internal, or a number)";
		if (n < 1 || reason(w[0], goaway, 6, 0, &f->value))
			return -EINVAL;
		*used = 1;
		return 0;
	case FAULT_NO_POST_ANSWER:
	case FAULT_NO_CONFIG:
	case FAULT_NO_PROBE_REPLY:
	case FAULT_FREEZE:
	case FAULT_DEAF:
	case FAULT_MUTE:
	case FAULT_RST:
	case FAULT_FIN:
	case FAULTS:
		return 0;
	}
	return -EINVAL;
}

int fault_add(struct faults *fs, const char *const *w, size_t n, const char **why)
{
	struct fault f = { .name = FAULTS };
	size_t used;

	*why = "no such fault";
	if (!n)
		return -EINVAL;
	for (uint32_t i = 0; i < FAULTS; i++)
		if (strcasecmp(w[0], fault_names[i]) == 0)
			f.name = i;
	if (f.name == FAULTS)
		return -EINVAL;
	w++, n--;
	if (fault_args(&f, w, n, &used, why))
		return -EINVAL;
	w += used, n -= used;
	f.once = f.name >= FAULT_FREEZE;
	*why = "after its own arguments a fault takes: device ID, times N, after MS, always";
	if (n && strcmp(w[n - 1], "always") == 0) {
		f.once = false;
		n--;
	}
	for (; n >= 2; w += 2, n -= 2) {
		if (strcmp(w[0], "device") == 0 && strlen(w[1]) < sizeof(f.device))
			memcpy(f.device, w[1], strlen(w[1]) + 1);
		else if (strcmp(w[0], "times") != 0 && strcmp(w[0], "after") != 0)
			return -EINVAL;
		else if (number(w[1], 1, UINT32_MAX,
				w[0][0] == 't' ? &f.times : &f.after_ms))
			return -EINVAL;
		else
			f.once = false;
	}
	if (n)
		return -EINVAL;
	*why = "too many faults";
	if (fs->n == SENTRY_FAULTS_MAX)
		return -ENOSPC;
	fs->v[fs->n++] = f;
	*why = NULL;
	return 0;
}

struct fault *fault_find(struct faults *fs, enum fault_name name, const char *device)
{
	for (uint32_t i = 0; i < fs->n; i++) {
		struct fault *f = &fs->v[i];

		if (f->name == name && (!f->times || f->fired < f->times) &&
		    (!f->device[0] || strcmp(f->device, device) == 0))
			return f;
	}
	return NULL;
}

void fault_fire(struct sentry *s, struct fault *f, const char *device)
{
	f->fired++;
	s->faults->fired[f->name]++;
	event_emit(s, "fault", json_pack("{s:s,s:s}", "name", fault_names[f->name],
					 "device", device));
}

/* Is this fault due for a session that is up?  Sets its timer when not yet. */
static struct fault *due(struct session *ses, enum fault_name name)
{
	struct sentry *s = ses->s;
	struct fault *f = fault_find(s->faults, name, ses->device);
	uint64_t at;

	if (!f)
		return NULL;
	at = ses->since_mono + f->after_ms * USEC_PER_MSEC;
	if (at > s->now) {
		if (!ses->fault_at || at < ses->fault_at)
			ses->fault_at = at;
		return NULL;
	}
	return f;
}

/* One of freeze, deaf, mute.  What it did stays until fault_thaw(). */
static void due_silence(struct session *ses, enum fault_name name, bool rd, bool wr)
{
	struct fault *f = due(ses, name);
	struct conn *c = ses->conn;

	if (!f || ((!rd || c->no_read) && (!wr || c->no_write)))
		return;
	fault_fire(ses->s, f, ses->device);
	c->no_read |= rd;
	c->no_write |= wr;
	conn_want(c);
}

void fault_apply(struct session *ses)
{
	struct sentry *s = ses->s;
	struct conn *c = ses->conn;
	struct fault *f;

	ses->fault_at = 0;
	if (!c || c->state != CONN_UP)
		return;
	f = due(ses, FAULT_RST);
	if (f) {
		fault_fire(s, f, ses->device);
		conn_drop(c, true, "fault");
		return;
	}
	f = due(ses, FAULT_FIN);
	if (f) {
		fault_fire(s, f, ses->device);
		conn_drop(c, false, "fault");
		return;
	}
	f = due(ses, FAULT_GOAWAY);
	if (f && !ses->closing) {
		fault_fire(s, f, ses->device);
		session_goaway(ses, f->value, "fault");
		return;
	}
	due_silence(ses, FAULT_FREEZE, true, true);
	due_silence(ses, FAULT_DEAF, true, false);
	due_silence(ses, FAULT_MUTE, false, true);
}

static bool is_silence(enum fault_name name)
{
	return name == FAULT_FREEZE || name == FAULT_DEAF || name == FAULT_MUTE;
}

static void fault_thaw(struct sentry *s)
{
	for (struct session *ses = s->sessions; ses; ses = ses->next) {
		struct conn *c = ses->conn;

		if (!c || (!c->no_read && !c->no_write))
			continue;
		c->no_read = c->no_write = false;
		c->read_again = true;
		conn_want(c);
		conn_touch(c);
	}
}

uint32_t fault_off(struct sentry *s, const char *name)
{
	struct faults *fs = s->faults;
	uint32_t kept = 0, n = fs->n;
	bool thaw = !name;

	for (uint32_t i = 0; i < FAULTS; i++)
		if (name && is_silence(i) && strcasecmp(fault_names[i], name) == 0)
			thaw = true;
	for (uint32_t i = 0; i < n; i++)
		if (name && strcasecmp(fault_names[fs->v[i].name], name) != 0)
			fs->v[kept++] = fs->v[i];
	fs->n = kept;
	if (thaw)
		fault_thaw(s);
	return n - kept;
}

void fault_apply_all(struct sentry *s)
{
	struct faults *fs = s->faults;
	struct session *next;
	uint32_t kept = 0;

	for (struct session *ses = s->sessions; ses; ses = next) {
		next = ses->next;
		fault_apply(ses);
	}
	for (uint32_t i = 0; i < fs->n; i++)
		if (!fs->v[i].once)
			fs->v[kept++] = fs->v[i];
	fs->n = kept;
}

json_t *fault_list(const struct faults *fs)
{
	json_t *a = json_array(), *fired = json_object();

	for (uint32_t i = 0; i < fs->n; i++) {
		const struct fault *f = &fs->v[i];
		json_t *o = json_pack("{s:s,s:s,s:I,s:I}", "name", fault_names[f->name], "device",
				      f->device, "times", (json_int_t)f->times, "fired",
				      (json_int_t)f->fired);

		if (f->name == FAULT_REFUSE) {
			json_object_set_new(o, "status", json_integer(f->status));
			json_object_set_new(o, "code", json_string(f->code));
		}
		json_array_append_new(a, o);
	}
	for (uint32_t i = 0; i < FAULTS; i++)
		json_object_set_new(fired, fault_names[i], json_integer((json_int_t)fs->fired[i]));
	return json_pack("{s:o,s:o}", "faults", a, "fired", fired);
}
