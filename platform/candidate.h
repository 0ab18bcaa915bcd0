/* SPDX-License-Identifier: MIT */
/*
 * candidate.h - a profile that is to take another's place, and the files that it
 * passes through:
 *
 *	inbox.c		it came into the profile folder	-> review.c
 *	trial_request.c	`profile apply`			-> review.c
 *	renew.c		the files that it names changed	-> review.c
 *	review.c	it is read			-> change.c, if its slot runs
 *	change.c	it takes the slot's place	-> trial.c
 *	trial.c		it is kept, or led back		(trial_ready.c: does it work?)
 *	install.c	what is kept goes into the profile folder
 *	note.c		what `status` says about it
 *
 * Times, X_timer() and X_deadline() are as in slot.h.
 */
#ifndef APPTUNNEL_CANDIDATE_H
#define APPTUNNEL_CANDIDATE_H

#include "platform/slot.h"
#include "platform/store.h"

enum candidate_source {
	CANDIDATE_INBOX,	/* came into the profile folder */
	CANDIDATE_APPLY,	/* `profile apply` */
	CANDIDATE_BACK,		/* rolled back: must be taken, whatever it costs */
	CANDIDATE_FILES,	/* the one in use, whose certificates, key or pins changed */
};

/* What `profile apply` wants to see before it is for good. */
struct trial_terms {
	uint32_t confirm_ms;	/* a confirmation within; 0: none is needed */
	uint8_t ready;		/* CONTROL_READY_* */
	uint16_t port;		/* CONTROL_READY_TCP */
	char host[CONTROL_HOST_MAX];
	bool force;		/* a signed profile of an older Version, too */
};

struct candidate {
	enum candidate_source source;
	char stem[FILES_STEM_MAX];
	int text;		/* sealed; -1: there is none */
	bool is_signed;
	uint8_t sum[SHA256_LEN];
	uint8_t folder[SHA256_LEN];	/* APPLY: install_mark() when it was asked for */
	bool same;		/* APPLY: that text is in use already */
	struct trial_terms terms;
	/* once it was read */
	struct profile *profile;	/* owned */
	int sealed;
	bool signer;		/* as struct slot's is_signed and seen */
	uint64_t seen;
};

/* The parser at work on it; one at a time. */
struct review {
	struct slot parser;	/* pid, record; in no other use */
	struct candidate next;
	int findings;		/* memory file that the parser writes to */
};

/* Kept words about a profile, for `status`: lines of printable ASCII. */
#define DAEMON_NOTES		16
#define DAEMON_NOTE_MAX		8192	/* bytes of one */

struct note {
	char stem[FILES_STEM_MAX];	/* empty: free */
	char text[DAEMON_NOTE_MAX];
	uint64_t at;
};

/* Active, but not for good yet. */
struct trial {
	char stem[FILES_STEM_MAX];	/* empty: free */
	struct trial_terms terms;
	struct store_trial kept;
	uint64_t deadline;	/* ms */
	bool ready_due;		/* readiness was not seen yet */
	bool back_due;		/* is to be rolled back as soon as that can begin */
	bool same;		/* it was in use before: there is no way back, only readiness */
	bool file_waits;	/* another one came into the profile folder meanwhile */
	char why[256];
	uint64_t try_at;	/* ms */
	pid_t pid;		/* of what tries; 0: none */
	uint8_t left;		/* CONTROL_READY_* not seen yet */
};

#define DAEMON_INBOX		64	/* names that wait to be looked at */
#define DAEMON_SETTLE_MS	150	/* a file is left alone so long after it came */
#define DAEMON_SETTLE_MAX_MS	2000	/* though more comes all the time, it is looked at after */
#define DAEMON_INBOX_MS		2000	/* is the folder that is watched still the one? */
#define INBOX_BLIND_MAX		384	/* bytes */

struct inbox {
	int fd, watch;		/* -1: nothing is watched */
	dev_t dev;		/* the folder that is */
	ino_t ino;
	uint64_t look_at;	/* ms */
	char blind[INBOX_BLIND_MAX];	/* a line for `status`: why nothing is; or "" */
	unsigned int n;
	struct {
		char stem[FILES_STEM_MAX];
		uint64_t at, latest;	/* ms */
	} due[DAEMON_INBOX];
};

/* ---- inbox.c: the profile folder ------------------------------------------ */

void inbox_init(struct daemon *d);
void inbox_ready(struct daemon *d);
void inbox_timer(struct daemon *d);
uint64_t inbox_deadline(const struct daemon *d);
/* inbox_push() - have a look at that profile's file soon, as if it had just come */
void inbox_push(struct daemon *d, const char *stem);

/* ---- review.c: a candidate is read --------------------------------------------- */

void review_init(struct daemon *d);
bool review_busy(const struct daemon *d);
/*
 * review_start() - have @c read, and then take it into use
 * @c: taken over, also on failure
 * Return: 0, -EBUSY: another one is being read; or another negative errno
 */
int review_start(struct daemon *d, struct candidate *c);
/* review_child() - was that our parser? */
bool review_child(struct daemon *d, pid_t pid, int status);
void review_timer(struct daemon *d);
uint64_t review_deadline(const struct daemon *d);
/* candidate_free() - and what it owns */
void candidate_free(struct candidate *c);
/* candidate_refuse() - to `status`, the log, and whoever waits; @exit: for them */
void candidate_refuse(struct daemon *d, const struct candidate *c, int exit, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* candidate_client() - who waits for that `profile apply`; NULL: nobody */
struct client *candidate_client(struct daemon *d, const char *stem);

/* ---- note.c ---------------------------------------------------------------------- */

/* note_set() - in place of what was said before; note_clear() */
void note_set(struct daemon *d, const char *stem, const char *text);
void note_clear(struct daemon *d, const char *stem);
/* note_clear_file() - only if it is about the file in the profile folder */
void note_clear_file(struct daemon *d, const char *stem);
#define NOTE_FILE	": the new file is not "	/* stands in such a note */
/* note_clear_files() - only if it is about the files that the profile names */
void note_clear_files(struct daemon *d, const char *stem);
#define NOTE_FILES	": the changed files that it names are not "
/* note_find() - lines with their ends, or "" */
const char *note_find(const struct daemon *d, const char *stem);
/* note_text() - the same, and what concerns all profiles; @stem "": only that */
#define NOTE_TEXT_MAX	(DAEMON_NOTE_MAX + INBOX_BLIND_MAX + 1)
void note_text(const struct daemon *d, const char *stem, char text[NOTE_TEXT_MAX]);
/* note_tell() - the engine, which answers `status` while it runs */
void note_tell(struct slot *s);

/* ---- change.c: another profile for a slot that runs ---------------------------------- */

/* change_start() - @c: taken over.  The outcome is told as with candidate_refuse() */
void change_start(struct daemon *d, struct slot *s, struct candidate *c);
/* change_reloaded() - the engine's answer.  false: nobody asked it */
bool change_reloaded(struct daemon *d, struct slot *s, const struct helper_msg *m);
/* change_lost() - the engine is gone; the old profile stays */
void change_lost(struct daemon *d, struct slot *s);
void change_timer(struct daemon *d, struct slot *s);
uint64_t change_deadline(const struct slot *s);
/* change_over() - the slot is: nothing comes of it */
void change_over(struct slot *s);
/*
 * change_cancel() - whoever applied it does not want it any more; @exit and @why: for them
 * Return: false: nothing that was applied is under way.  true: the outcome is told as ever,
 *	and it may be too late
 */
bool change_cancel(struct slot *s, int exit, const char *why);
/*
 * change_offer() - apply an offer that comes while the engine goes over
 * Return: false: it is the old profile's; else *err is 0 or a negative errno
 */
bool change_offer(struct slot *s, const struct plan_offer *o, int *err, char *why, size_t size);

/* ---- install.c: what is kept, for the next connect ------------------------------------------- */

/* install_mark() - what stands in the profile folder under that name, to be compared later */
void install_mark(const struct daemon *d, const char *stem, uint8_t mark[SHA256_LEN]);
/* install_delivered() - is it another one than it was, and neither gone nor @sum's text? */
bool install_delivered(const struct daemon *d, const char *stem, const uint8_t mark[SHA256_LEN],
		       const uint8_t sum[SHA256_LEN]);
/*
 * install_text() - write it there, unless something was delivered since @mark
 * @text, @sum: a profile's, sealed
 * Return: 0; -EEXIST: that is kept; or another negative errno
 */
int install_text(const struct daemon *d, const char *stem, int text, bool is_signed,
		 const uint8_t sum[SHA256_LEN], const uint8_t mark[SHA256_LEN]);

/* ---- trial.c, trial_ready.c, trial_request.c ------------------------------------------------- */

/* trial_resume() - at the start: what a dead daemon left on trial */
void trial_resume(struct daemon *d);
/* trial_request() - apply, confirm, rollback; @text: what came with it (taken over), or -1 */
void trial_request(struct daemon *d, struct client *c, int text);
/* trial_prepare() - the candidate is about to be active: written down first.  0 or -errno */
int trial_prepare(struct daemon *d, const struct candidate *c);
/* trial_begin() - it is active now */
void trial_begin(struct daemon *d, struct slot *s, const struct candidate *c);
/* trial_offline() - it is valid, and its profile is not connected */
void trial_offline(struct daemon *d, const struct candidate *c);
/* trial_refused() - it did not become active */
void trial_refused(struct daemon *d, const struct candidate *c);
bool trial_on(const struct daemon *d, const char *stem);
/* trial_delivery() - there is something in the folder for a profile on trial: it waits */
void trial_delivery(struct daemon *d, const char *stem);
/* trial_interrupted() - whoever waits for an apply is gone, or will not wait any longer */
void trial_interrupted(struct daemon *d, struct client *c);
/* trial_disconnected() - a readiness that is waited for cannot be seen any more */
void trial_disconnected(struct daemon *d, const char *stem);
/* trial_stopping() - the daemon ends: those who wait are told */
void trial_stopping(struct daemon *d);
/* trial_child() - was that what tried the readiness? */
bool trial_child(struct daemon *d, pid_t pid, int status);
void trial_timer(struct daemon *d);
uint64_t trial_deadline(const struct daemon *d);

#endif
