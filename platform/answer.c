/* SPDX-License-Identifier: MIT */
/*
 * answer.c - what becomes of a request: connect goes to connect.c, disconnect to
 * supervise.c, a change of profiles to trial_request.c, questions to the engine
 * concerned, and where there is none the daemon has a fixed answer.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "platform/daemon.h"
#include "platform/report.h"
#include "platform/usage.h"
#include "profiles/finding.h"

#define STATUS_VERSION	1	/* of the JSON, as in the engine's */

const char *slot_state_name(const struct slot *s)
{
	static const char *const names[SESSION_STATES] = {
		"down", "resolving", "connecting", "securing", "negotiating", "configuring",
		"up", "probing", "reconnecting", "refused", "failed",
	};

	switch (s->phase) {
	case SLOT_RUNNING:
		return s->was_up && s->state == SESSION_DOWN ? "reconnecting" : names[s->state];
	case SLOT_WAITING:
		return "reconnecting";
	case SLOT_FREE:
	case SLOT_PARSING:
	case SLOT_STOPPING:
		break;
	}
	return "down";
}

/* ---- without an engine --------------------------------------------------- */

static void say_names(struct client *c, char stems[FILES_LIST_MAX][FILES_STEM_MAX], int n)
{
	int i;

	for (i = 0; i < n; i++)
		client_say(c, "err", "  %s", stems[i]);
}

/* One line after the other as JSON strings; they are printable ASCII. */
static void say_notes(struct client *c, const char *notes)
{
	const char *comma = "";

	client_say(c, "out", "  \"findings\": [");
	while (*notes) {
		size_t len = strcspn(notes, "\n");
		char text[2 * FINDING_LINE_MAX];
		size_t n = 0;

		for (size_t i = 0; i < len && n < sizeof(text) - 2; i++) {
			if (notes[i] == '"' || notes[i] == '\\')
				text[n++] = '\\';
			text[n++] = notes[i];
		}
		text[n] = '\0';
		client_say(c, "out", "    %s\"%s\"", comma, text);
		comma = ", ";
		notes += len + (notes[len] == '\n');
	}
	client_say(c, "out", "  ]");
}

static void status_down(struct client *c, const char *stem, const struct slot *s)
{
	char text[NOTE_TEXT_MAX];
	const char *notes = text;
	const char *state = s ? slot_state_name(s) : "down";
	const char *q = stem ? "\"" : "";

	note_text(c->d, stem ? stem : "", text);
	if (!(c->req.flags & CONTROL_F_JSON)) {
		client_say(c, "out", "%s: %s%s", stem ? stem : "no profile", state,
			   s && s->apply ? " (locked)" : "");
		while (*notes) {
			int len = (int)strcspn(notes, "\n");

			client_say(c, "out", "  %-12s%.*s", "warning", len, notes);
			notes += len + (notes[len] == '\n');
		}
		return;
	}
	client_say(c, "out", "{");
	client_say(c, "out", "  \"version\": %d,", STATUS_VERSION);
	client_say(c, "out", "  \"client\": \"" APPTUNNEL_VERSION "\",");
	client_say(c, "out", "  \"profile\": %s%s%s,", q, stem ? stem : "null", q);
	client_say(c, "out", "  \"state\": \"%s\",", state);
	client_say(c, "out", "  \"since\": null, \"spent_ms\": null, \"cause\": null, \"sentry\": null, "
		   "\"interface\": null, \"dns\": null, \"routes\": null, \"counters\": null,");
	say_notes(c, notes);
	client_say(c, "out", "}");
}

/* Nothing is connected: one "down" for each profile (JSON: one object, of the only one). */
static void status_all_down(struct daemon *d, struct client *c)
{
	char stems[FILES_LIST_MAX][FILES_STEM_MAX];
	int n = files_list(d->o.profile_dir, stems), i;

	if (n <= 0 || ((c->req.flags & CONTROL_F_JSON) && n != 1))
		status_down(c, NULL, NULL);
	else
		for (i = 0; i < n; i++)
			status_down(c, stems[i], NULL);
	client_exit(c, 0);
}

/* ---- which profile ------------------------------------------------------- */

/* The profile that is in use where the request names none; NULL: the client was answered. */
static struct slot *only_slot(struct daemon *d, struct client *c, bool *none)
{
	struct slot *found = NULL;
	unsigned int i, n = 0;

	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		if (d->slots[i].phase != SLOT_FREE) {
			found = &d->slots[i];
			n++;
		}
	}
	*none = !n;
	if (n < 2)
		return found;
	client_say(c, "err", "apptunnel: which profile? These are connected:");
	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		if (d->slots[i].phase != SLOT_FREE)
			client_say(c, "err", "  %s", d->slots[i].stem);
	}
	client_exit(c, EXIT_USAGE);
	return NULL;
}

static void connect_request(struct daemon *d, struct client *c)
{
	char stems[FILES_LIST_MAX][FILES_STEM_MAX];
	int n;

	if (c->req.profile[0]) {
		connect_profile(d, c, c->req.profile);
		return;
	}
	n = files_list(d->o.profile_dir, stems);
	if (n == 1) {
		connect_profile(d, c, stems[0]);
	} else if (n <= 0) {
		client_say(c, "err", "apptunnel: no profile in %s", d->o.profile_dir);
		client_exit(c, EXIT_NO_PROFILE);
	} else {
		client_say(c, "err", "apptunnel: connect which profile? There are:");
		say_names(c, stems, n);
		client_exit(c, EXIT_USAGE);
	}
}

/* The engine answers: it gets the connection itself. */
static void hand_over(struct client *c, struct slot *s)
{
	struct helper_msg msg = { .type = HELPER_CONTROL };
	int queued;

	msg.u.control = c->req;
	/* what users ask must not fill the way of what the engine itself waits for */
	if (ioctl(s->sock, SIOCOUTQ, &queued) == 0 && queued < DAEMON_QUEUE_MAX &&
	    fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0 &&
	    helper_send(s->sock, &msg, &c->fd, 1) == 0) {
		client_drop(c);
		return;
	}
	client_say(c, "err", "apptunnel: the engine of %s is too busy to answer", s->stem);
	client_exit(c, EXIT_UNEXPECTED);
}

/* Of the profile that is named, in use, or the only one there is. */
static void history(struct daemon *d, struct client *c, const struct slot *s)
{
	char stems[FILES_LIST_MAX][FILES_STEM_MAX];
	int n;

	if (s || c->req.profile[0]) {
		usage_request(d, c, s ? s->stem : c->req.profile);
		return;
	}
	n = files_list(d->o.profile_dir, stems);
	if (n == 1) {
		usage_request(d, c, stems[0]);
	} else if (n <= 0) {
		client_say(c, "err", "apptunnel: no profile in %s", d->o.profile_dir);
		client_exit(c, EXIT_NO_PROFILE);
	} else {
		client_say(c, "err", "apptunnel: the history of which profile? There are:");
		say_names(c, stems, n);
		client_exit(c, EXIT_USAGE);
	}
}

static void question(struct daemon *d, struct client *c)
{
	struct slot *s;
	bool none = true;

	s = c->req.profile[0] ? supervise_find(d, c->req.profile) : only_slot(d, c, &none);
	if (!s && !c->req.profile[0] && !none)
		return;		/* answered */
	if (c->req.flags & CONTROL_F_HISTORY) {
		history(d, c, s);
		return;
	}
	if (s && s->phase == SLOT_RUNNING && s->started) {
		hand_over(c, s);
		return;
	}
	if (c->req.verb == CONTROL_STATUS) {
		if (!s && !c->req.profile[0]) {
			status_all_down(d, c);
			return;
		}
		status_down(c, s ? s->stem : c->req.profile, s);
		client_exit(c, 0);
		return;
	}
	client_say(c, "err", "apptunnel: %s%s",
		   c->req.profile[0] ? "this profile is not connected" : "nothing is connected",
		   c->req.verb == CONTROL_EXPLAIN ?
		   "; `apptunnel explain ... --profile FILE` asks a profile file" : "");
	client_exit(c, EXIT_NOT_UP);
}

static void say_leftover(void *arg, const char *line)
{
	client_say(arg, "err", "%s", line);
}

static void disconnect_request(struct daemon *d, struct client *c)
{
	struct slot *s;
	bool none = true;
	int n;

	s = c->req.profile[0] ? supervise_find(d, c->req.profile) : only_slot(d, c, &none);
	if (!s && !c->req.profile[0] && !none)
		return;
	if (s) {
		supervise_disconnect(d, c, s);
		return;
	}
	/* nothing that lives; but an undo that failed before can be tried again */
	n = apply_cleanup(&sys_linux, NULL, d->o.state_dir, say_leftover, c);
	if (n < 0)
		client_say(c, "err", "apptunnel: not everything could be undone; `apptunnel "
			   "disconnect` tries again");
	else
		client_say(c, "err", "apptunnel: %s%s", c->req.profile[0] ?
			   "this profile is not connected" : "nothing is connected",
			   n ? "; what was left of an earlier connection is undone now" : "");
	client_exit(c, n < 0 ? EXIT_UNDO : 0);
}

void answer_request(struct daemon *d, struct client *c)
{
	if (d->stopping) {	/* let in before, asked after */
		client_say(c, "err", "apptunnel: apptunneld is stopping");
		client_exit(c, EXIT_UNEXPECTED);
		return;
	}
	switch ((enum control_verb)c->req.verb) {
	case CONTROL_CONNECT:
		connect_request(d, c);
		break;
	case CONTROL_DISCONNECT:
		disconnect_request(d, c);
		break;
	case CONTROL_STATUS:
	case CONTROL_EXPLAIN:
	case CONTROL_LOG:
		if (c->req.flags & (CONTROL_F_DEBUG_ON | CONTROL_F_DEBUG_OFF)) {
			debuglog_request(d, c);
			break;
		}
		question(d, c);
		break;
	case CONTROL_APPLY:
	case CONTROL_CONFIRM:
	case CONTROL_ROLLBACK: {
		int text = c->passed;

		c->passed = -1;
		trial_request(d, c, text);
		break;
	}
	}
}

void answer_dump(const struct daemon *d)
{
	static const char *const phases[] = {
		"free", "parsing", "running", "waiting", "stopping",
	};
	unsigned int i, clients = 0;

	for (i = 0; i < DAEMON_CLIENTS; i++)
		clients += d->clients[i].fd >= 0;
	report(REPORT_INFO, "dump.daemon", "version " APPTUNNEL_VERSION ", %u control connections",
	       clients);
	for (i = 0; i < NAMES_MAX_PROFILES; i++) {
		const struct slot *s = &d->slots[i];

		if (s->phase == SLOT_FREE)
			continue;
		report(REPORT_INFO, "dump.profile", "%s: %s, pid %d, %s for %" PRIu64 " ms%s%s%s%s",
		       s->stem, phases[s->phase], (int)s->pid, slot_state_name(s),
		       d->now - s->since, s->was_up ? ", was up" : "",
		       s->keep ? ", keeps trying" : "", s->text[0] ? ": " : "", s->text);
	}
}
