/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - what the files of apptunneld share.  Private to
 * daemon.c (phases, loop), accept.c (control socket), answer.c (what the
 * daemon answers itself), parse.c (the parser child), supervise.c (profiles
 * and engines) and serve.c (the engines' messages).
 *
 * A client is a control connection, a slot is a profile that is connected or
 * being so.  Everything is one thread; nobody blocks on a client, a parser or
 * an engine.
 */
#ifndef APPTUNNEL_DAEMON_H
#define APPTUNNEL_DAEMON_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/apply.h"
#include "platform/control.h"
#include "platform/debuglog.h"
#include "platform/exit_code.h"
#include "platform/files.h"
#include "platform/helper_msg.h"
#include "platform/names.h"
#include "platform/store.h"
#include "profiles/plan.h"
#include "profiles/profile.h"

#define DAEMON_CLIENTS		32	/* control connections at once */
#define DAEMON_CLIENTS_UID	8	/* of one user */
#define DAEMON_OUT_MAX		(2u << 20)	/* bytes waiting for one client to read */
#define DAEMON_PARSE_MS		10000	/* for the parser */
#define DAEMON_STOP_MS		2000	/* for an engine to say bye */
#define DAEMON_BACKOFF_MIN_MS	1000	/* a dead engine is started again after */
#define DAEMON_BACKOFF_MAX_MS	30000
#define DAEMON_STABLE_MS	60000	/* it lived so long: back-off begins anew */
#define DAEMON_SOCKETS_BURST	4096	/* marked sockets an engine may get at once, */
#define DAEMON_SOCKETS_S	1024	/* and a second after that */
#define DAEMON_MESSAGES		64	/* of one engine in one turn */
#define DAEMON_WORDS_BURST	2048	/* what an engine may say at once: a state costs 1, */
#define DAEMON_WORDS_S		256	/* and a second after that; more ends it */
#define DAEMON_WORDS_OFFER	16	/* an offer: the machine is read back for it */
#define DAEMON_LINES_S		16	/* states of an engine that are logged in a second */
#define DAEMON_WATCH_MS		2000	/* the files of an identity that was refused are looked at */
#define DAEMON_TELL_MS		1000	/* a failure that repeats is logged so often */
#define DAEMON_ACCEPT_MS	1000	/* out of descriptors: look at the socket again after */
#define DAEMON_CLIENTS_ROOT	4	/* of DAEMON_CLIENTS: kept free for root */
#define DAEMON_QUEUE_MAX	65536	/* bytes on their way to an engine: no question is added */

#define DAEMON_NEVER		UINT64_MAX

struct slot;

/* ---- clients ------------------------------------------------------------- */

enum client_wait {
	CLIENT_READING,		/* the request is not here yet */
	CLIENT_UP,		/* connect: waits for the session */
	CLIENT_DOWN,		/* disconnect: waits for the undo */
	CLIENT_CHANGE,		/* apply, rollback: waits for the change */
	CLIENT_LEAVING,		/* has its exit code; output is being taken */
};

struct client {
	int fd;			/* -1: free */
	struct daemon *d;
	uid_t uid;
	enum client_wait wait;
	bool eof;		/* it will say no more: interrupted */
	struct slot *slot;	/* CLIENT_UP, CLIENT_DOWN */
	uint64_t deadline;	/* of the request or the connect, ms */
	struct control_request req;
	size_t got;		/* bytes of req */
	int passed;		/* a descriptor that came with it; -1 */
	char *out;		/* not yet taken */
	size_t out_len, out_size;
	bool out_cut;		/* lines were left out */
	uint64_t out_since;	/* when something of out was last taken, ms */
};

/* ---- slots --------------------------------------------------------------- */

enum slot_phase {
	SLOT_FREE,
	SLOT_PARSING,		/* pid: the parser.  Nothing is changed yet */
	SLOT_RUNNING,		/* pid: the engine.  Locked */
	SLOT_WAITING,		/* the engine died: locked, started again at deadline */
	SLOT_STOPPING,		/* pid ends, at deadline by force; then all is undone */
};

struct slot {
	enum slot_phase phase;
	unsigned int n;		/* of plan_names_default() */
	char stem[FILES_STEM_MAX];
	struct daemon *d;
	pid_t pid;		/* 0: no child */
	uint64_t deadline;	/* ms; what it means depends on phase */

	int record;		/* what the parser writes; -1 */
	int sealed;		/* struct profile, for the engine; -1 */
	struct profile *profile;	/* the same, checked; owned */
	struct plan plan;
	struct plan_offer offer;
	struct apply *apply;	/* NULL: nothing is changed */

	int sock;		/* to the engine; -1 */
	struct identity files;	/* not sent yet */
	int hosts, resolv;
	unsigned int step;	/* of the messages that start an engine */
	bool started;		/* HELPER_START is out */
	uint64_t started_at;
	uint32_t backoff_ms;
	uint32_t tokens;	/* sockets it may have now */
	uint64_t tokens_at;
	uint32_t words;		/* states and offers it may send now */
	uint64_t words_at;
	uint32_t lines, lines_left_out;	/* states logged, and not, since lines_at */
	uint64_t lines_at;
	uint64_t told_at;	/* when the last failure of a socket was logged */
	uint64_t stamp;		/* of the identity's files, as this engine got them */
	uint64_t text_sum;	/* of the profile's text, as it was read */
	uint8_t sum[SHA256_LEN];	/* of the same, by which the store knows it */
	int profile_text;	/* the same itself, until it is in the store; -1 */
	bool p7m;		/* of which kind that is */
	bool in_store;		/* it is the store's active copy */
	struct change *change;	/* being taken into use; NULL: none */
	bool is_signed;		/* profiles are signed on this machine */
	bool force;		/* connect --force: an older Version too */
	uint64_t seen;		/* the Version that was taken last, when it was parsed */
	bool renewing;		/* killed to be started again with new files */
	uint64_t watch_at;	/* refused or failed: look whether they changed */
	uint64_t sweep_at;	/* look after connections from outside; DAEMON_NEVER */
	bool applied;		/* an offer of this engine stands */
	struct usage_totals usage;	/* what this engine said last */

	/* as the engine says */
	uint8_t state, exit, attempts_over;
	char text[512];
	char said[512];		/* the last cause that those who wait were told */
	uint64_t since;		/* of state, ms */
	bool was_up;		/* only disconnect releases from here on */
	bool keep;		/* connect --keep-trying */

	int end_exit;		/* SLOT_STOPPING: for whoever waits for "up" */
	char end_text[768];
};

/* copied as a whole, with its end */
_Static_assert(sizeof(((struct slot *)0)->text) ==
	       sizeof(((struct helper_msg *)0)->u.state.text), "text of a state");

/* ---- a profile that is to take another's place ------------------------------ */

enum candidate_source {
	CANDIDATE_INBOX,	/* came into the profile folder */
	CANDIDATE_APPLY,	/* `profile apply` */
	CANDIDATE_BACK,		/* rolled back: must be taken, whatever it costs */
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
	char why[256];
	uint64_t try_at;	/* ms */
	pid_t pid;		/* of what tries; 0: none */
	uint8_t left;		/* CONTROL_READY_* not seen yet */
};

#define DAEMON_INBOX		64	/* names that wait to be looked at */
#define DAEMON_SETTLE_MS	150	/* a file is left alone so long after it came */
#define DAEMON_INBOX_MS		5000	/* no profile folder: look again after */

struct inbox {
	int fd, watch;
	uint64_t retry_at;	/* ms */
	unsigned int n;
	struct {
		char stem[FILES_STEM_MAX];
		uint64_t at;	/* ms */
	} due[DAEMON_INBOX];
};

struct daemon_opts {
	const char *profile_dir, *run_dir, *state_dir, *log_dir, *resolv_conf, *hosts;
	const char *signer;
	bool signer_given;	/* then it must be there; else it says so by being there */
	char libexec_dir[PROFILE_PATH_MAX];
	const char *user, *group;
	uint32_t mark, table, prio;
	bool cleanup, no_vnet_hdr;
};

struct daemon {
	struct daemon_opts o;
	uid_t uid;		/* of engine and parser */
	gid_t gid;
	gid_t group;		/* may use the control socket */
	int lock_fd, listen_fd, signal_fd, net_fd;
	uint64_t now;		/* monotonic ms, read once a turn */
	uint64_t net_at;	/* when engines are told of a change of the network */
	uint64_t accept_at;	/* no accept(2) before: there were no descriptors */
	bool stopping;
	struct debuglog debuglog;
	struct client clients[DAEMON_CLIENTS];
	struct slot slots[NAMES_MAX_PROFILES];
	struct inbox inbox;
	struct review review;
	struct note notes[DAEMON_NOTES];
	struct trial trials[NAMES_MAX_PROFILES];
};

/* ---- options.c ----------------------------------------------------------- */

/* options_take() - -1: go on; else the exit code, after the words that go with it */
int options_take(struct daemon_opts *o, int argc, char **argv);
/*
 * options_ids() - of the user and the group that the options name: d->uid, d->gid, d->group
 * Return: 0; -ENOENT: there is none of that name; -EPERM: that is root
 */
int options_ids(struct daemon *d);

/* ---- renew.c: files that change while Sentry refuses ----------------------- */

/* renew_timer() - look whether they did, and start the engine again if so */
void renew_timer(struct daemon *d, struct slot *s);

/* renew_deadline() - when to look next, ms; DAEMON_NEVER */
uint64_t renew_deadline(const struct slot *s);

/*
 * renew_connect() - an explicit connect while Sentry refuses or the identity is broken
 * Return: true: the engine is started again; false: it is to dial
 */
bool renew_connect(struct slot *s);

/* renew_text_sum() - of all that can be read of @fd; only to see a change */
uint64_t renew_text_sum(int fd);

/* renew_profile_changed() - is the file another one than was read for @s? */
bool renew_profile_changed(const struct daemon *d, const struct slot *s);

/* ---- inbox.c: the profile folder ------------------------------------------ */

void inbox_init(struct daemon *d);
void inbox_ready(struct daemon *d);
void inbox_timer(struct daemon *d);
uint64_t inbox_deadline(const struct daemon *d);

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
/* candidate_client() - who waits for it; NULL: nobody */
struct client *candidate_client(struct daemon *d, const char *stem);

/* ---- note.c ---------------------------------------------------------------------- */

/* note_set() - in place of what was said before; note_clear() */
void note_set(struct daemon *d, const char *stem, const char *text);
void note_clear(struct daemon *d, const char *stem);
/* note_clear_file() - only if it is about the file in the profile folder */
void note_clear_file(struct daemon *d, const char *stem);
#define NOTE_FILE	": the new file is not "	/* stands in such a note */
/* note_find() - lines with their ends, or "" */
const char *note_find(const struct daemon *d, const char *stem);
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
 * change_offer() - apply an offer that comes while the engine goes over
 * Return: false: it is the old profile's; else *err is 0 or a negative errno
 */
bool change_offer(struct slot *s, const struct plan_offer *o, int *err, char *why, size_t size);

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
/* trial_child() - was that what tried the readiness? */
bool trial_child(struct daemon *d, pid_t pid, int status);
void trial_timer(struct daemon *d);
uint64_t trial_deadline(const struct daemon *d);

/* ---- accept.c: the control socket ---------------------------------------- */

/* accept_init(), accept_listen() - all free; make RUN_DIR/control.sock.  0 or a negative errno */
void accept_init(struct daemon *d);
int accept_listen(struct daemon *d);
void accept_ready(struct daemon *d);
void client_ready(struct daemon *d, struct client *c, short revents);
void client_timer(struct daemon *d, struct client *c);
uint64_t client_deadline(const struct client *c);
/* events for poll(2) */
short client_events(const struct client *c);
/* client_say() - one line; @to: "out" or "err".  Never fails: what a client does not
 * take in time ends its connection */
void client_say(struct client *c, const char *to, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* client_exit() - the last line */
void client_exit(struct client *c, int code);
/* client_drop() - close without a word (handed over, or gone) */
void client_drop(struct client *c);

/* ---- answer.c: requests -------------------------------------------------- */

/* answer_request() - a whole, checked request is here */
void answer_request(struct daemon *d, struct client *c);
/* answer_dump() - everything, to stderr (SIGUSR1) */
void answer_dump(const struct daemon *d);
const char *slot_state_name(const struct slot *s);

/* ---- parse.c ------------------------------------------------------------- */

/* What the parser is given: sealed memory files. */
struct parse_input {
	int text;		/* the profile */
	int signer;		/* -1: profiles are not signed on this machine */
	bool p7m;		/* text is NAME.p7m, else NAME.ini */
};

/*
 * parse_open() - the profile of that name in the profile folder, and who may sign
 * @in: parse_close() it
 * Return: 0; -ENOENT: there is no such profile; another negative errno: not
 *	fit to be read, @why says what
 */
int parse_open(const struct daemon *d, const char *stem, struct parse_input *in, char *why,
	       size_t size);
void parse_close(struct parse_input *in);
/* parse_signer() - the same for a text that comes from elsewhere: only who may sign */
int parse_signer(const struct daemon *d, struct parse_input *in, char *why, size_t size);
/*
 * parse_start() - run the parser on a sealed profile; s->pid and s->record are set
 * @client: where findings go (borrowed)
 * Return: 0 or a negative errno
 */
int parse_start(struct daemon *d, struct slot *s, const struct parse_input *in, int client);
/*
 * parse_result() - the parser ended with 0: take over its record
 * Return: 0 and s->profile, s->sealed; or a negative errno
 */
int parse_result(struct slot *s);
/*
 * parse_taken() - the profile is taken into use: remember its Version, if signed
 * Return: 0 or a negative errno
 */
int parse_taken(const struct daemon *d, const struct slot *s);

/* ---- supervise.c: the slots ----------------------------------------------- */

void supervise_init(struct daemon *d);
void supervise_disconnect(struct daemon *d, struct client *c, struct slot *s);
/* a client that waits is gone, was interrupted, or waited long enough */
void supervise_interrupted(struct daemon *d, struct client *c);
void supervise_timeout(struct daemon *d, struct client *c);
/* supervise_child() - a child ended; @status as of waitpid(2) */
void supervise_child(struct daemon *d, pid_t pid, int status);
void supervise_stop(struct daemon *d);	/* all of them: the daemon ends */
bool supervise_idle(const struct daemon *d);
struct slot *supervise_find(struct daemon *d, const char *stem);
void slot_timer(struct daemon *d, struct slot *s);
/*
 * slot_end() - stop and undo; whoever waits for "up" gets @exit and the text
 */
void slot_end(struct daemon *d, struct slot *s, int exit, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* slot_kill() - end the engine by force; it is started again while it is wanted */
void slot_kill(struct slot *s);
/* slot_free() - forget all of it: nothing is changed, or all is undone, and no child lives */
void slot_free(struct slot *s);
/* slot_say() - one line to each client that waits for this slot.  Return: was there any? */
bool slot_say(struct slot *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- connect.c: from the request to the lock ------------------------------- */

void connect_profile(struct daemon *d, struct client *c, const char *stem);
/* connect_parsed() - the parser ended; @status as of waitpid(2) */
void connect_parsed(struct daemon *d, struct slot *s, int status);
/* connect_overlap() - is another profile connected whose routes @p has, too?  @why */
bool connect_overlap(struct daemon *d, const struct slot *s, const struct profile *p, char *why,
		     size_t size);
/* connect_store() - what is in use is the store's active copy from here on */
void connect_store(struct slot *s);

/* ---- engine_child.c: an engine's start, end and messages ------------------- */

/* engine_start() - fork one for a locked slot, and engine_feed(); if it cannot be, later */
void engine_start(struct daemon *d, struct slot *s);
/* engine_ended() - it did, unasked; @status as of waitpid(2).  The lock stays */
void engine_ended(struct daemon *d, struct slot *s, int status);
/* engine_feed() - send what starts an engine, as far as its socket takes it */
void engine_feed(struct daemon *d, struct slot *s);
/* engine_file() - one file to a running engine.  0 or a negative errno */
int engine_file(struct slot *s, enum helper_file file, unsigned int index, int fd);
/* engine_tell() - a message without content (DIAL, STOP).  0 or a negative errno */
int engine_tell(struct slot *s, enum helper_type type);
/* engine_network() - snapshots anew, and HELPER_NETWORK, to all engines */
void engine_network(struct daemon *d);
/* engine_close() - forget the connection to the engine and what was not sent */
void engine_close(struct slot *s);

/* ---- serve.c: what an engine asks for -------------------------------------- */

void serve_ready(struct daemon *d, struct slot *s, short revents);
short serve_events(const struct slot *s);

/* ---- netmon.c ------------------------------------------------------------ */

/* netmon_open() - hear of addresses and default routes.  Descriptor or negative errno */
int netmon_open(void);
/* netmon_read() - true: something changed that is not ours */
bool netmon_read(int fd);

#endif
