/* SPDX-License-Identifier: MIT */
/*
 * engine.h - what the files of the engine share.  Private to
 * engine.c (phases, loop), link.c, link_dial.c, link_io.c and link_config.c (the
 * connection), daemon_link.c and usage.c (the daemon), reload.c and standby.c
 * (another profile), control.c and status.c (the command line), lockdown.c.
 *
 * `now` is monotonic us, read once a turn; what is not said to return an error
 * logs it.  Of X: X_timer() returns when to call it next (UINT64_MAX: never).
 */
#ifndef APPTUNNEL_ENGINE_H
#define APPTUNNEL_ENGINE_H

#include <time.h>

#include "client/atp/mux.h"
#include "client/atp/probe.h"
#include "client/atp/retry.h"
#include "client/conn.h"
#include "client/loop.h"
#include "client/session.h"
#include "client/tunnel.h"
#include "platform/helper_msg.h"
#include "platform/sock.h"
#include "profiles/plan.h"
#include "profiles/profile.h"

#define ENGINE_RX_BUF	(LIMIT_FRAME_HEADER + LIMIT_PAYLOAD + 16384)	/* a frame and a record */
#define ENGINE_RX_BUFS	2048		/* 160 MiB when every one is pinned by a slow app */
#define ENGINE_CONTROLS	32		/* command line connections at once */

struct control;
struct standby;

struct engine {
	/* given by the daemon */
	const struct profile *profile;	/* mapped, read-only */
	struct tls_setup files;
	const struct profile *new_profile; /* sent since, for RELOAD; NULL: none */
	struct tls_setup new_files;
	struct standby *standby;	/* a session of the new profile, beside ours */
	char *hosts, *resolv;		/* snapshots, NUL-terminated; may be NULL */
	char *notes;			/* the daemon's lines for `status`; may be NULL */
	struct plan_names names;

	struct loop *loop;
	struct loop_src helper, signals, tun;
	struct sock_stock socks;
	struct tls_ctx *tls;
	struct resolver *resolver;
	struct conn_env env;
	bool stopping;			/* leave at the next turn of the loop */

	/* the session and the connection under it (link*.c) */
	struct session session;
	struct retry retry;
	struct probe probe;
	struct conn *conn;		/* being dialled, or live */
	struct mux *mux;		/* from the 101 on */
	struct bufpool *rx_pool;
	struct buf *rx;			/* received bytes [rx_start, rx_end) */
	size_t rx_start, rx_end;
	bool rx_starved;		/* no buffer was free: read again later */
	bool out_blocked;		/* the socket took no more */
	bool goodbye;			/* a GOAWAY of ours is said: close_notify follows */
	bool wanted;			/* something was to be sent since the probes were judged */
	uint64_t answer_by;		/* 101, CONFIG, first PROBE_REPLY must be there */
	uint64_t up_probe;		/* opaque of the PROBE that decides on "up"; 0: none */
	uint64_t live_since;		/* of the connection, us */
	uint64_t kept_probes;		/* probes sent since the start, all sessions */
	uint64_t probe_rounds;
	struct atp_config config;	/* Sentry's last */
	struct plan_offer offer;	/* what of it is in use */
	bool have_config, offer_pending, attached;
	bool offer_out;			/* the daemon has not answered the last one, whoever it was for */
	struct plan_offer offer_sent;	/* that one */
	bool offer_due;			/* the daemon has not heard of the latest offer */
	uint64_t offer_at;		/* not before then, us */
	uint64_t bytes_in, bytes_out;	/* of all connections */
	uint64_t rtt_read;		/* when TCP_INFO was last asked for */
	uint64_t tune_since, tune_bytes; /* where the present rate is measured from */

	struct tunnel *tunnel;		/* lives as long as the TUN */
	int tun_fd;
	bool vnet_hdr;

	/* the daemon's copy of the state is behind: say it again (daemon_link.c) */
	bool state_unsaid, attempts_over;
	bool reloaded_unsaid;
	struct helper_msg reloaded;	/* the answer to the last RELOAD */
	time_t since_wall;		/* when the state was entered */

	struct usage_totals usage;	/* as the daemon knows it */
	uint64_t usage_at;		/* when it is told next, us */

	struct control *controls;
	uint32_t n_controls;
};

/* ---- link*.c: dial, read, write, lose ------------------------------------- */

/* link_dial() - the next Host (e->retry says which); nothing while one is dialled or live */
void link_dial(struct engine *e, uint64_t now);
/* link_dial_event() - as conn_event(), for the connection that is being made */
void link_dial_event(struct engine *e, struct loop_src *src, uint32_t events, uint64_t now);
/* link_read() - a bounded burst (LIMIT_BURST), its events; the connection may be gone afterwards */
void link_read(struct engine *e, uint64_t now);
/* link_write() - what the mux has, as far as the socket takes it: the end of each turn */
void link_write(struct engine *e, uint64_t now);
/* link_applied() - the daemon applied the offer: @error as in HELPER_APPLIED */
void link_applied(struct engine *e, int error, uint64_t now);
/* link_timer() - probes, deadlines, redial.  Return: the next deadline, us */
uint64_t link_timer(struct engine *e, uint64_t now);
void link_stop(struct engine *e, uint64_t now);		/* bye, close */
/* What a connection got to before it became the link's. */
struct link_start {
	struct conn *conn;		/* live; its source is in the loop */
	struct mux *mux;		/* of link_mux_new(); CONFIG came, a PROBE was answered */
	struct buf *rx;			/* received bytes [rx_start, rx_end); may be NULL */
	size_t rx_start, rx_end;
	bool out_blocked;
	uint32_t host;
	struct atp_config config;
	struct plan_offer offer;	/* applied by the daemon */
};

/* link_mux_new() - a client's, which asks the tunnel.  NULL: no memory */
struct mux *link_mux_new(struct engine *e);
/*
 * link_offer_make() - what Sentry's @c is bounded to by the profile @p; the TUN
 * keeps the address and MTU that it has
 * Return: 0, -EPROTO: there is no address for the interface
 */
int link_offer_make(struct engine *e, const struct profile *p, const struct atp_config *c,
		    struct plan_offer *out);
/*
 * link_adopt() - after link_leave(): @s is the connection, and the session is
 * up; e->profile and e->tls are its own already, the tunnel exists
 */
void link_adopt(struct engine *e, struct link_start *s, uint64_t now);
/* link_leave() - bye to Sentry, then nothing is connected any more */
void link_leave(struct engine *e, uint64_t now);
/* link_profile_changed() - e->profile is another one, the session stays */
void link_profile_changed(struct engine *e, uint64_t now);
/* link_lost() - the connection or the attempt ended */
void link_lost(struct engine *e, enum cause cause, uint32_t retry_after_s,
	       const char *why, uint64_t now);

/* ---- daemon_link.c: messages of and to the daemon --------------------------- */

/* Blocking, before the loop: all HELPER_FILE up to HELPER_START.  0 or negative errno */
int daemon_link_receive_files(struct engine *e);
/* daemon_link_ready() - all messages that came; without a daemon the engine stops */
void daemon_link_ready(struct engine *e, uint64_t now);
/* daemon_link_offer() - HELPER_OFFER; e->offer_out until HELPER_APPLIED comes */
void daemon_link_offer(struct engine *e, const struct plan_offer *offer);
void daemon_link_state(struct engine *e);		/* e->session */

/* daemon_link_reloaded() - @error and why, of a RELOAD */
void daemon_link_reloaded(struct engine *e, int error, const char *why);
/* daemon_link_usage() - Return: 0 or a negative errno: say it again later */
int daemon_link_usage(const struct usage_totals *t);
/* daemon_link_again() - what the socket did not take.  Return: when to try again, us */
uint64_t daemon_link_again(struct engine *e, uint64_t now);

/* ---- reload.c: another profile while it runs --------------------------------- */

/* reload_init() - nothing was sent yet */
void reload_init(struct engine *e);
/* reload_begin() - @flags and @limit_ms as in HELPER_RELOAD */
void reload_begin(struct engine *e, uint32_t flags, uint32_t limit_ms, uint64_t now);
/* reload_free() - what the daemon sent and nobody uses, and e->files */
void reload_free(struct engine *e);
/* reload_log() - the parameters of a profile, level info */
void reload_log(const struct profile *p);
/*
 * reload_use() - @p is the profile from here on, @files and @tls too unless
 * @tls is NULL (the session stays); all become the engine's
 * Return: 0, -ENOMEM: nothing was changed and all is still the caller's
 */
int reload_use(struct engine *e, const struct profile *p, struct tls_setup *files,
	       struct tls_ctx *tls, uint64_t now);
/* reload_answer() - a RELOAD is over; with @error all stays as it was, @why says it */
void reload_answer(struct engine *e, int error, const char *why);
/* files_close() - all that are open; -1 afterwards */
void files_close(struct tls_setup *f);

/* ---- standby.c: a session of the new profile beside the one that lives -------- */

/*
 * standby_begin() - dial by e->new_profile and e->new_files, taken over on success
 * @limit_ms: for all of it; 0: RELOAD_LIMIT_MS
 * Return: 0: reload_answer() follows; or a negative errno with @why filled
 */
int standby_begin(struct engine *e, uint32_t limit_ms, char *why, size_t size, uint64_t now);
/* standby_cancel() - it is not wanted any more; all stays, unless it is being applied */
void standby_cancel(struct engine *e, uint64_t now);
/*
 * standby_event() - @src NULL: something else moved that a dial may wait for
 * Return: true: @src was its own
 */
bool standby_event(struct engine *e, struct loop_src *src, uint32_t events, uint64_t now);
void standby_turn(struct engine *e, uint64_t now);	/* end of a turn: read on, write */
uint64_t standby_timer(struct engine *e, uint64_t now);	/* the next deadline, us */
/* standby_waits() - for HELPER_APPLIED of its own offer?  Else NULL */
const struct link_start *standby_waits(const struct engine *e);
/* standby_profile() - borrowed; only while there is a standby */
const struct profile *standby_profile(const struct engine *e);
/* standby_applied() - HELPER_APPLIED of its offer: takes the link's place, or ends with @error */
void standby_applied(struct engine *e, int error, uint64_t now);
/* standby_free() - without an answer to the daemon; fine when there is none */
void standby_free(struct engine *e);

/* ---- usage.c ------------------------------------------------------------------ */

void usage_tell(struct engine *e, uint64_t now);	/* if it is news */
uint64_t usage_timer(struct engine *e, uint64_t now);	/* the next deadline, us */

/* ---- control.c, status.c ------------------------------------------------------ */

/* control_accept() - a checked request that the daemon passed on; @fd: taken over */
void control_accept(struct engine *e, int fd, const struct control_request *req, uint64_t now);
/* control_event() - a source of kind EV_CONTROL; it may be gone on return */
void control_event(struct engine *e, struct loop_src *src, uint32_t events, uint64_t now);
uint64_t control_timer(struct engine *e, uint64_t now);
void control_free_all(struct engine *e);
/* status_text(), status_json() - allocated text with line ends; NULL: no memory */
char *status_text(const struct engine *e, uint64_t now);
char *status_json(const struct engine *e, uint64_t now);

/* ---- lockdown.c ------------------------------------------------------------- */

/* No new descriptor of any kind, no exec from here on.  0 or a negative errno */
int lockdown_apply(void);

#endif
