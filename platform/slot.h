/* SPDX-License-Identifier: MIT */
/*
 * slot.h - a slot is a profile that is connected or being so, a client is a
 * control connection; and the files that take a slot from free to free:
 *
 *	accept.c	the control socket	connect.c	request to lock
 *	answer.c	what it asks for	parse.c		the parser child
 *	supervise.c	slots, their end	engine_child.c	the engine child
 *	renew.c		files that change	serve.c		what an engine asks for
 *
 * Everything is one thread; nobody blocks on a client, a parser or an engine.
 * Times are d->now's, monotonic ms.  Of X: X_events() is what to poll(2) for,
 * X_ready() takes what came of it (@revents), X_deadline() is when X_timer() is
 * due (DAEMON_NEVER: not by itself); X_timer() may be called too early.
 */
#ifndef APPTUNNEL_SLOT_H
#define APPTUNNEL_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/apply.h"
#include "platform/control.h"
#include "platform/exit_code.h"
#include "platform/files.h"
#include "platform/helper_msg.h"
#include "platform/names.h"
#include "platform/sha256.h"
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
#define DAEMON_FILES_MS		10000	/* those of one that works are */
#define DAEMON_TELL_MS		1000	/* a failure that repeats is logged so often */
#define DAEMON_ACCEPT_MS	1000	/* out of descriptors: look at the socket again after */
#define DAEMON_CLIENTS_ROOT	4	/* of DAEMON_CLIENTS: kept free for root */
#define DAEMON_QUEUE_MAX	65536	/* bytes on their way to an engine: no question is added */

#define DAEMON_NEVER		UINT64_MAX

struct daemon;
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
	uint64_t watch_at;	/* look whether its files changed */
	uint64_t looks, looked;	/* how they looked last; and when they were read last */
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

/* ---- accept.c: the control socket ---------------------------------------- */

/* accept_init(), accept_listen() - all free; make RUN_DIR/control.sock.  0 or a negative errno */
void accept_init(struct daemon *d);
int accept_listen(struct daemon *d);
/* accept_ready() - d->listen_fd: a bounded number of callers is let in, or refused */
void accept_ready(struct daemon *d);
/* client_ready(), client_timer() - @c may be free on return (c->fd < 0) */
void client_ready(struct daemon *d, struct client *c, short revents);
void client_timer(struct daemon *d, struct client *c);
uint64_t client_deadline(const struct client *c);
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
/* slot_state_name() - a word for `status`, static: the engine's state, or what stands for it */
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

void supervise_init(struct daemon *d);	/* all free */
/* supervise_disconnect() - slot_end(); @c gets its answer when all is undone */
void supervise_disconnect(struct daemon *d, struct client *c, struct slot *s);
/* a client that waits is gone, was interrupted, or waited long enough */
void supervise_interrupted(struct daemon *d, struct client *c);
void supervise_timeout(struct daemon *d, struct client *c);
/* supervise_child() - a child ended; @status as of waitpid(2) */
void supervise_child(struct daemon *d, pid_t pid, int status);
void supervise_stop(struct daemon *d);	/* all of them: the daemon ends */
bool supervise_idle(const struct daemon *d);	/* is every slot free? */
/* supervise_find() - the slot of that profile, in whatever phase; NULL: none */
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

/* connect_profile() - `connect`: a slot begins with it, or @c waits for the one that is there;
 * what stands against it is said to @c, with its exit code */
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

/* serve_ready() - DAEMON_MESSAGES of them at most; the slot may be stopping on return */
void serve_ready(struct daemon *d, struct slot *s, short revents);
short serve_events(const struct slot *s);

/* ---- renew.c: files that a profile names, and that change -------------------- */

/*
 * renew_timer() - look whether they did; while Sentry refuses, a new engine gets them,
 * else the engine that runs, as a candidate (CANDIDATE_FILES)
 */
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

#endif
