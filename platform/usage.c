/* SPDX-License-Identifier: MIT */
/* usage.c - a profile's history of usage, per day */
#include "platform/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/report.h"

#define FOLDER		"usage"
#define DAY_S		86400
#define SHOWN_DAYS	31	/* of the text; JSON has all */
#define FIELDS		(sizeof(struct usage_totals) / sizeof(uint64_t))

_Static_assert(sizeof(struct usage_totals) % sizeof(uint64_t) == 0, "numbers only");

/* ---- numbers ------------------------------------------------------------------ */

/* The totals as numbers in a row, to be treated alike. */
union totals {
	struct usage_totals t;
	uint64_t v[FIELDS];
};

void usage_more(const struct usage_totals *now, const struct usage_totals *before,
		struct usage_totals *more)
{
	union totals n = { .t = *now }, b = { .t = *before }, m;
	size_t i;

	for (i = 0; i < FIELDS; i++)
		m.v[i] = n.v[i] >= b.v[i] ? n.v[i] - b.v[i] : n.v[i];
	*more = m.t;
}

static void totals_add(struct usage_totals *to, const struct usage_totals *more)
{
	union totals t = { .t = *to }, m = { .t = *more };
	size_t i;

	for (i = 0; i < FIELDS; i++)
		if (__builtin_add_overflow(t.v[i], m.v[i], &t.v[i]))
			t.v[i] = UINT64_MAX;
	*to = t.t;
}

void usage_add(struct usage_file *f, uint32_t day, const struct usage_totals *more)
{
	struct usage_day *last = f->n ? &f->days[f->n - 1] : NULL;

	if (!last || last->day < day) {
		if (f->n == USAGE_DAYS) {
			memmove(f->days, f->days + 1, (USAGE_DAYS - 1) * sizeof(f->days[0]));
			f->n--;
		}
		last = &f->days[f->n++];
		*last = (struct usage_day){ .day = day };
	}
	totals_add(&last->sum, more);
}

/* ---- the file ------------------------------------------------------------------ */

static int path_of(char *path, size_t size, const char *state_dir, const char *stem,
		   const char *end)
{
	int n = snprintf(path, size, "%s/" FOLDER "/%s%s", state_dir, stem, end);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static size_t file_size(uint32_t n)
{
	return offsetof(struct usage_file, days) + n * sizeof(struct usage_day);
}

static bool sound(const struct usage_file *f, size_t size)
{
	uint32_t i;

	if (size < file_size(0) || f->magic != USAGE_MAGIC || f->n > USAGE_DAYS ||
	    size != file_size(f->n))
		return false;
	for (i = 1; i < f->n; i++)
		if (f->days[i].day <= f->days[i - 1].day)
			return false;
	return true;
}

int usage_load(const char *state_dir, const char *stem, struct usage_file *f)
{
	char path[PROFILE_PATH_MAX];
	int err = path_of(path, sizeof(path), state_dir, stem, ""), fd;
	ssize_t n;

	if (err)
		return err;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, f, sizeof(*f));
	err = n < 0 ? -errno : sound(f, (size_t)n) ? 0 : -EBADMSG;
	close(fd);
	return err;
}

/* No fsync(2): a minute of it that a power cut takes is no loss. */
int usage_store(const char *state_dir, const char *stem, const struct usage_file *f)
{
	char path[PROFILE_PATH_MAX], fresh[PROFILE_PATH_MAX];
	int err = path_of(path, sizeof(path), state_dir, "", ""), fd;
	size_t size = file_size(f->n);
	ssize_t n;

	if (err)
		return err;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	err = path_of(path, sizeof(path), state_dir, stem, "");
	if (!err)
		err = path_of(fresh, sizeof(fresh), state_dir, stem, ".new");
	if (err)
		return err;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	n = write(fd, f, size);
	err = n == (ssize_t)size ? 0 : n < 0 ? -errno : -ENOSPC;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err && rename(fresh, path) < 0)
		err = -errno;
	if (err)
		unlink(fresh);
	return err;
}

void usage_forget(const char *state_dir, const char *stem)
{
	char path[PROFILE_PATH_MAX];

	if (path_of(path, sizeof(path), state_dir, stem, "") == 0)
		unlink(path);
}

/* ---- the engine's word ------------------------------------------------------------ */

void usage_start(const struct daemon *d, struct slot *s)
{
	memset(&s->usage, 0, sizeof(s->usage));
	if (!s->profile->analytics)
		usage_forget(d->o.state_dir, s->stem);
}

void usage_report(const struct daemon *d, struct slot *s, const struct usage_totals *now)
{
	struct usage_file *f;
	struct usage_totals more;
	int err;

	usage_more(now, &s->usage, &more);
	s->usage = *now;
	if (!s->profile || !s->profile->analytics) {
		usage_forget(d->o.state_dir, s->stem);	/* switched off while it ran */
		return;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return;
	err = usage_load(d->o.state_dir, s->stem, f);
	if (err == -EBADMSG || err == -ENOENT) {
		if (err == -EBADMSG)
			report(REPORT_WARNING, "usage.unsound", "%s: the history of usage cannot "
			       "be read: it begins anew", s->stem);
		memset(f, 0, sizeof(*f));
		f->magic = USAGE_MAGIC;
		err = 0;
	}
	if (!err) {
		usage_add(f, (uint32_t)(time(NULL) / DAY_S), &more);
		err = usage_store(d->o.state_dir, s->stem, f);
	}
	if (err)
		report(REPORT_WARNING, "usage.store", "%s: %s", s->stem, strerror(-err));
	free(f);
}

/* ---- people ---------------------------------------------------------------------------- */

static void day_text(uint32_t day, char text[16])
{
	time_t when = (time_t)day * DAY_S;
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(text, 16, "%Y-%m-%d", &tm);
}

static void bytes_text(uint64_t bytes, char text[24])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 1024 && i < 6) {
		v /= 1024;
		i++;
	}
	snprintf(text, 24, i ? "%.1f %s" : "%.0f %s", v, units[i]);
}

static void say_row(struct client *c, const char *day, const struct usage_totals *t)
{
	char up[24], down[24];

	bytes_text(t->bytes_up, up);
	bytes_text(t->bytes_down, down);
	client_say(c, "out", "%-10s %4" PRIu64 ":%02u:%02u %8" PRIu64 " %8" PRIu64 " %8" PRIu64
		   " %8" PRIu64 " %11s %11s", day, t->up_s / 3600,
		   (unsigned int)(t->up_s / 60 % 60), (unsigned int)(t->up_s % 60), t->sessions,
		   t->tcp, t->udp, t->dns, up, down);
}

static void say_text(struct client *c, const char *stem, const struct usage_file *f, bool off)
{
	uint32_t i = f->n > SHOWN_DAYS ? f->n - SHOWN_DAYS : 0;
	struct usage_totals sum = { 0 };
	char day[16];

	if (!f->n) {
		client_say(c, "out", "%s: %s", stem, off ?
			   "AnalyticsEnabled = false: no history is kept" : "no history yet");
		return;
	}
	client_say(c, "out", "%-10s %10s %8s %8s %8s %8s %11s %11s", "day (UTC)", "up", "sessions",
		   "TCP", "UDP", "DNS", "sent", "received");
	for (; i < f->n; i++) {
		day_text(f->days[i].day, day);
		say_row(c, day, &f->days[i].sum);
		totals_add(&sum, &f->days[i].sum);
	}
	say_row(c, "sum", &sum);
}

static void say_json(struct client *c, const char *stem, const struct usage_file *f)
{
	char day[16];
	uint32_t i;

	client_say(c, "out", "{\"version\": 1, \"profile\": \"%s\", \"days\": [", stem);
	for (i = 0; i < f->n; i++) {
		const struct usage_totals *t = &f->days[i].sum;

		day_text(f->days[i].day, day);
		client_say(c, "out", "  {\"day\": \"%s\", \"up_seconds\": %" PRIu64
			   ", \"sessions\": %" PRIu64 ", \"tcp\": %" PRIu64 ", \"udp\": %" PRIu64
			   ", \"dns_queries\": %" PRIu64 ", \"bytes_up\": %" PRIu64
			   ", \"bytes_down\": %" PRIu64 "}%s", day, t->up_s, t->sessions, t->tcp,
			   t->udp, t->dns, t->bytes_up, t->bytes_down, i + 1 < f->n ? "," : "");
	}
	client_say(c, "out", "]}");
}

void usage_request(struct daemon *d, struct client *c, const char *stem)
{
	struct usage_file *f = calloc(1, sizeof(*f));
	struct slot *s = supervise_find(d, stem);
	int err = f ? usage_load(d->o.state_dir, stem, f) : -ENOMEM;

	if (err == -ENOENT) {
		f->n = 0;
		err = 0;
	}
	if (err) {
		client_say(c, "err", "apptunnel: the history of %s cannot be read: %s", stem,
			   strerror(-err));
	} else if (c->req.flags & CONTROL_F_JSON) {
		say_json(c, stem, f);
	} else {
		say_text(c, stem, f, s && s->profile && !s->profile->analytics);
	}
	free(f);
	client_exit(c, err ? 1 : 0);
}
