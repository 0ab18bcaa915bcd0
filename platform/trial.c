/* SPDX-License-Identifier: MIT */
/*
 * trial.c - a profile on trial, kept or led back.
 *
 * A profile that was applied on trial is active, and the one before it comes
 * back by itself: without a confirmation in time, when readiness is not seen
 * (trial_ready.c), and when the daemon starts and finds a trial that is over, is
 * of another boot, or whose readiness nobody saw.  The trial is on disk before
 * the profile is in effect.  Only a confirmed profile goes into the profile
 * folder.  `profile apply`, `confirm` and `rollback` are trial_request.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/report.h"
#include "platform/trial_priv.h"
#include "platform/versions.h"

#define TRY_AGAIN_MS	200	/* until a rollback can begin */
#define BACK_PAUSE_MS	5000	/* a rollback that failed is tried again after */
#define STUCK_PAUSE_MS	10000	/* one that could not begin, after */
#define SLACK_S		60	/* on disk: the change itself takes time, too */

struct trial *trial_find(struct daemon *d, const char *stem)
{
	for (int i = 0; i < NAMES_MAX_PROFILES; i++) {
		if (!strcmp(d->trials[i].stem, stem))
			return &d->trials[i];
	}
	return NULL;
}

struct trial *trial_make(struct daemon *d, const char *stem)
{
	struct trial *t = trial_find(d, stem);

	if (!t)
		t = trial_find(d, "");
	if (!t)
		return NULL;
	*t = (struct trial){ .deadline = DAEMON_NEVER };
	snprintf(t->stem, sizeof(t->stem), "%s", stem);
	return t;
}

static void forget(struct trial *t)
{
	*t = (struct trial){ .deadline = DAEMON_NEVER };
}

/* Its end: what came into the folder meanwhile has its turn. */
static void end(struct daemon *d, struct trial *t)
{
	struct trial was = *t;

	forget(t);
	if (install_delivered(d, was.stem, was.kept.folder, was.kept.sum))
		inbox_push(d, was.stem);
}

bool trial_on(const struct daemon *d, const char *stem)
{
	return trial_find((struct daemon *)(uintptr_t)d, stem) != NULL;
}

/* For `status`, as long as it lasts. */
static void say_trial(struct daemon *d, const struct trial *t)
{
	time_t until = (time_t)t->kept.deadline_s;
	char text[768], when[32] = "";
	struct tm tm;
	int len;

	if (gmtime_r(&until, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	len = snprintf(text, sizeof(text), "profile %s: on trial until %s: without %s by then the "
		       "profile before comes back", t->stem, when, t->terms.confirm_ms ?
		       "`apptunnel profile confirm`" : "readiness");
	if (t->file_waits)
		snprintf(text + len, sizeof(text) - (size_t)len, "\nprofile %s: what came into %.160s "
			 "meanwhile waits for the end of the trial", t->stem, d->o.profile_dir);
	note_set(d, t->stem, text);
}

static uint32_t window_ms(const struct trial_terms *t)
{
	return t->confirm_ms ? t->confirm_ms : CONTROL_READY_MS;
}

/* ---- for good: into the profile folder ----------------------------------------- */

static void install_active(struct daemon *d, const char *stem, const uint8_t sum[SHA256_LEN],
			   const uint8_t folder[SHA256_LEN], struct client *w)
{
	bool is_signed = false;
	int text = store_open(d->o.state_dir, stem, STORE_ACTIVE, &is_signed);
	int err = text < 0 ? text : install_text(d, stem, text, is_signed, sum, folder);

	if (text >= 0)
		close(text);
	if (err == -EEXIST) {
		report(REPORT_INFO, "install.newer", "%s: what came into %s meanwhile stays there",
		       stem, d->o.profile_dir);
		if (w)
			client_say(w, "err", "apptunnel: another file of %s came into %s meanwhile: "
				   "it stays there, and is taken into use next", stem,
				   d->o.profile_dir);
		inbox_push(d, stem);
		return;
	}
	if (!err)
		return;
	report(REPORT_ERROR, "install.failed", "%s: %s: %s", stem, d->o.profile_dir, strerror(-err));
	if (w)
		client_say(w, "err", "apptunnel: warning: it could not be written to %s (%s): the "
			   "next connect uses what is there", d->o.profile_dir, strerror(-err));
}

void trial_keep(struct daemon *d, struct trial *t, struct client *w)
{
	store_accept(d->o.state_dir, t->stem, t->kept.sum);
	if (!t->same && store_trial_end(d->o.state_dir, t->stem))
		report(REPORT_ERROR, "store.failed", "%s: the trial cannot be ended", t->stem);
	install_active(d, t->stem, t->kept.sum, t->kept.folder, w);
	note_clear(d, t->stem);
	report(REPORT_INFO, "trial.kept", "%s", t->stem);
	if (t->pid)
		(void)kill(t->pid, SIGKILL);
	forget(t);
}

/* ---- back -------------------------------------------------------------------------- */

static void say_back(struct daemon *d, const char *stem, const char *why)
{
	char text[512];

	snprintf(text, sizeof(text), "profile %s: the profile before is back: %s", stem, why);
	note_set(d, stem, text);
	report(REPORT_WARNING, "trial.back", "%s: %s", stem, why);
}

/* The Version of what was on trial does not count: the one before would be too old. */
static int version_back(struct daemon *d, const char *stem, uint64_t before)
{
	uint64_t now;
	int err = versions_read(d->o.state_dir, stem, &now);

	return err || now <= before ? err : versions_write(d->o.state_dir, stem, before);
}

/* In the store at once; the session follows as soon as it can. */
static int store_lead_back(struct daemon *d, const char *stem, const struct store_trial *kept)
{
	int err = store_reject(d->o.state_dir, stem, kept->sum);

	if (!err)
		err = store_back(d->o.state_dir, stem);
	if (!err)
		err = version_back(d, stem, kept->version);
	if (!err)
		err = store_trial_end(d->o.state_dir, stem);
	if (err)
		report(REPORT_ERROR, "store.failed", "%s: %s", stem, strerror(-err));
	return err;
}

static void answer_back(struct daemon *d, const char *stem, const char *why)
{
	trial_answer(d, stem, "rolled back", why, "the profile before is back");
}

void trial_back(struct daemon *d, struct trial *t, const char *why)
{
	struct slot *s = supervise_find(d, t->stem);

	if (t->pid)
		(void)kill(t->pid, SIGKILL);
	t->pid = 0;		/* reaped as nobody's */
	snprintf(t->why, sizeof(t->why), "%s", why);
	t->deadline = DAEMON_NEVER;
	t->ready_due = false;
	if (t->same) {
		report(REPORT_WARNING, "trial.unready", "%s: %s", t->stem, t->why);
		note_clear(d, t->stem);
		trial_answer(d, t->stem, "nothing was on trial of", t->why, "it was in use before, and "
			   "stays");
		end(d, t);
		return;
	}
	(void)store_lead_back(d, t->stem, &t->kept);
	if (s && s->phase != SLOT_STOPPING) {
		t->back_due = true;
		t->try_at = d->now;
		return;
	}
	say_back(d, t->stem, t->why);
	answer_back(d, t->stem, t->why);
	end(d, t);
}

/* The session goes back to what the store holds. */
static void back_begin(struct daemon *d, struct trial *t)
{
	struct candidate c = { .source = CANDIDATE_BACK, .sealed = -1 };
	struct slot *s = supervise_find(d, t->stem);
	int err;

	t->try_at = d->now + TRY_AGAIN_MS;
	if (review_busy(d) || (s && (s->change || s->phase == SLOT_PARSING)))
		return;
	if (!s || s->phase == SLOT_STOPPING) {
		say_back(d, t->stem, t->why);
		answer_back(d, t->stem, t->why);
		end(d, t);
		return;
	}
	snprintf(c.stem, sizeof(c.stem), "%s", t->stem);
	c.text = store_open(d->o.state_dir, t->stem, STORE_ACTIVE, &c.is_signed);
	err = c.text < 0 ? c.text : sha256_fd(c.text, FILES_PROFILE_MAX, c.sum);
	if (!err)
		err = review_start(d, &c);
	else
		candidate_free(&c);
	if (err) {
		report(REPORT_ERROR, "trial.stuck", "%s: %s", t->stem, strerror(-err));
		t->try_at = d->now + STUCK_PAUSE_MS;
		return;
	}
	t->try_at = DAEMON_NEVER;
}

/* ---- of a candidate's way ------------------------------------------------------------- */

static uint64_t version_before(const struct candidate *c)
{
	return c->signer ? c->seen : VERSION_STAYS;
}

int trial_prepare(struct daemon *d, const struct candidate *c)
{
	struct store_trial t = { .ready_due = c->terms.ready, .version = version_before(c) };

	if (c->source != CANDIDATE_APPLY || c->same || (!c->terms.confirm_ms && !c->terms.ready))
		return 0;
	t.deadline_s = (uint64_t)time(NULL) + window_ms(&c->terms) / 1000 + SLACK_S;
	store_boot(t.boot);
	memcpy(t.sum, c->sum, sizeof(t.sum));
	memcpy(t.folder, c->folder, sizeof(t.folder));
	return store_trial_put(d->o.state_dir, c->stem, &t);
}

static void begin(struct daemon *d, const struct candidate *c, struct client *w)
{
	const char *why;
	struct trial *t = trial_make(d, c->stem);

	if (!t)		/* as many as there are profiles */
		return;
	t->terms = c->terms;
	t->same = c->same;
	memcpy(t->kept.folder, c->folder, sizeof(t->kept.folder));
	memcpy(t->kept.sum, c->sum, sizeof(t->kept.sum));
	store_boot(t->kept.boot);
	t->kept.ready_due = c->terms.ready;
	t->kept.version = version_before(c);
	t->kept.deadline_s = (uint64_t)time(NULL) + window_ms(&c->terms) / 1000;
	t->deadline = d->now + window_ms(&c->terms);
	t->left = c->terms.ready;
	t->ready_due = t->left;
	t->try_at = d->now;
	if (!t->same) {
		(void)store_trial_put(d->o.state_dir, c->stem, &t->kept);
		say_trial(d, t);
	}
	if (trial_unwanted(d, c->stem, &why)) {	/* while it was still taken into use */
		trial_back(d, t, why);
	} else if (w && !t->ready_due) {
		client_say(w, "out", "applied %s on trial: `apptunnel profile confirm %s` within %u s "
			   "keeps it", c->stem, c->stem, c->terms.confirm_ms / 1000);
		client_exit(w, 0);
	}
}

void trial_begin(struct daemon *d, struct slot *s, const struct candidate *c)
{
	struct client *w = candidate_client(d, c->stem);
	struct trial *t = trial_find(d, c->stem);

	switch (c->source) {
	case CANDIDATE_INBOX:
	case CANDIDATE_FILES:
		break;
	case CANDIDATE_BACK:
		if (!t)
			break;
		say_back(d, c->stem, t->why);
		answer_back(d, c->stem, t->why);
		end(d, t);
		break;
	case CANDIDATE_APPLY:
		if (c->same && c->terms.confirm_ms && !c->terms.ready) {
			if (w) {
				client_say(w, "out", "%s is in use already: there is nothing to try, and "
					   "no trial begins", s->stem);
				client_exit(w, 0);
			}
			break;
		}
		if (c->terms.confirm_ms || c->terms.ready) {
			begin(d, c, w);
			break;
		}
		store_accept(d->o.state_dir, c->stem, c->sum);
		install_active(d, c->stem, c->sum, c->folder, w);
		if (w) {
			client_say(w, "out", "applied %s", s->stem);
			client_exit(w, 0);
		}
		break;
	}
}

void trial_offline(struct daemon *d, const struct candidate *c)
{
	struct client *w = candidate_client(d, c->stem);
	int err;

	if (c->source != CANDIDATE_APPLY)
		return;
	store_accept(d->o.state_dir, c->stem, c->sum);
	err = install_text(d, c->stem, c->text, c->is_signed, c->sum, c->folder);
	if (!w)
		return;
	if (err == -EEXIST)
		client_say(w, "err", "apptunnel: another file of %s came into %s meanwhile: it stays "
			   "there, and the next connect uses it", c->stem, d->o.profile_dir);
	else if (err)
		client_say(w, "err", "apptunnel: %s: %s", d->o.profile_dir, strerror(-err));
	else
		client_say(w, "out", "applied %s: the next connect uses it", c->stem);
	client_exit(w, err == -EEXIST ? EXIT_CONFLICT : err ? EXIT_SYSTEM : 0);
}

void trial_refused(struct daemon *d, const struct candidate *c)
{
	struct trial *t = trial_find(d, c->stem);

	if (c->source == CANDIDATE_BACK && t) {
		t->try_at = d->now + BACK_PAUSE_MS;	/* it must be had */
		return;
	}
	if (c->source == CANDIDATE_APPLY && !t) {
		(void)store_trial_end(d->o.state_dir, c->stem);
		trial_answer(d, c->stem, "not taken into use, the profile before stays:", NULL, "");
	}
}

/* ---- a file in the folder meanwhile -------------------------------------------------------- */

void trial_delivery(struct daemon *d, const char *stem)
{
	struct trial *t = trial_find(d, stem);

	if (!t || t->back_due || t->same || t->file_waits ||
	    !install_delivered(d, stem, t->kept.folder, t->kept.sum))
		return;
	t->file_waits = true;
	report(REPORT_INFO, "trial.file", "%s: what came into %s waits for the end of the trial", stem,
	       d->o.profile_dir);
	say_trial(d, t);
}

/* ---- time ---------------------------------------------------------------------------------- */

void trial_timer(struct daemon *d)
{
	for (int i = 0; i < NAMES_MAX_PROFILES; i++) {
		struct trial *t = &d->trials[i];

		if (!t->stem[0])
			continue;
		if (t->back_due && d->now >= t->try_at)
			back_begin(d, t);
		else if (d->now >= t->deadline)
			trial_back(d, t, t->ready_due ? trial_not_seen(t) : "no confirmation came in time");
		else if (t->ready_due && d->now >= t->try_at)
			trial_ready_timer(d, t);
	}
}

uint64_t trial_deadline(const struct daemon *d)
{
	uint64_t until = DAEMON_NEVER;

	for (int i = 0; i < NAMES_MAX_PROFILES; i++) {
		const struct trial *t = &d->trials[i];

		if (!t->stem[0])
			continue;
		until = t->deadline < until ? t->deadline : until;
		if ((t->back_due || (t->ready_due && !t->pid)) && t->try_at < until)
			until = t->try_at;
	}
	return until;
}

/* ---- at the start -------------------------------------------------------------------------- */

static void resume(struct daemon *d, const char *stem, const struct store_trial *kept)
{
	uint64_t wall = (uint64_t)time(NULL);
	uint8_t active[SHA256_LEN];
	struct trial *t;
	char boot[40];

	if (store_sum(d->o.state_dir, stem, STORE_ACTIVE, active) ||
	    memcmp(active, kept->sum, sizeof(active))) {
		/* it never became active; it may be why the daemon is not what it was */
		(void)store_reject(d->o.state_dir, stem, kept->sum);
		(void)version_back(d, stem, kept->version);
		(void)store_trial_end(d->o.state_dir, stem);
		say_back(d, stem, "the daemon ended while a new one was applied");
		return;
	}
	store_boot(boot);
	t = strcmp(boot, kept->boot) || kept->ready_due || wall >= kept->deadline_s ? NULL :
	    trial_make(d, stem);
	if (t) {
		t->kept = *kept;
		t->terms.confirm_ms = (uint32_t)(kept->deadline_s - wall) * 1000;
		t->deadline = d->now + (kept->deadline_s - wall) * 1000;
		say_trial(d, t);
		return;
	}
	(void)store_lead_back(d, stem, kept);
	say_back(d, stem, kept->ready_due ? "the daemon ended before the new one was seen to work" :
		 "the daemon ended, and no confirmation came in time");
}

void trial_resume(struct daemon *d)
{
	char stems[FILES_LIST_MAX][FILES_STEM_MAX];
	int n = store_list(d->o.state_dir, stems);
	struct store_trial kept;

	for (int i = 0; i < NAMES_MAX_PROFILES; i++)
		forget(&d->trials[i]);
	for (int i = 0; i < n; i++) {
		store_unstage(d->o.state_dir, stems[i]);
		if (store_trial_get(d->o.state_dir, stems[i], &kept) == 0)
			resume(d, stems[i], &kept);
	}
}
