/* SPDX-License-Identifier: MIT */
/*
 * helper_msg.h - what the engine and the daemon say to each other, over one
 * SOCK_SEQPACKET pair that the engine inherits as descriptor 3.
 *
 * Every message is one struct helper_msg of fixed size; descriptors travel
 * beside it (SCM_RIGHTS).  Each side checks magic, size, type, direction and
 * every field before use; a bad message from the engine ends the engine.
 */
#ifndef APPTUNNEL_HELPER_MSG_H
#define APPTUNNEL_HELPER_MSG_H

#include <stdint.h>

#include "platform/control.h"
#include "profiles/plan.h"

#define HELPER_MAGIC		0x41544832u
#define HELPER_FD		3	/* the engine's end */
#define HELPER_MAX_FDS		32	/* descriptors in one message */

enum helper_type {
	/* daemon -> engine, in this order at the start */
	HELPER_FILE = 1,	/* one descriptor; u.file says which */
	HELPER_START,		/* all files were sent: load, lock down, dial */
	/* daemon -> engine, later */
	HELPER_SOCKETS,		/* answer: u.sockets.count descriptors */
	HELPER_APPLIED,		/* answer to OFFER: u.applied; with the TUN once */
	HELPER_CONTROL,		/* one control connection and its request */
	HELPER_NETWORK,		/* the network changed; resolvers follow as HELPER_FILE */
	HELPER_DIAL,		/* an explicit connect: dial now, also in refused */
	HELPER_STOP,		/* say bye to Sentry and exit within 2 s */
	HELPER_RELOAD,		/* u.reload: the files sent since are to take effect, below */
	HELPER_LOG_END,		/* no debug log any more */
	/* engine -> daemon */
	HELPER_WANT_SOCKETS = 32,	/* u.sockets */
	HELPER_OFFER,		/* u.offer: apply the tunnel stage of the plan */
	HELPER_STATE,		/* u.state: the session changed its state */
	HELPER_RELOADED,	/* answer to RELOAD: u.reloaded */
	HELPER_USAGE,		/* u.usage: once a minute, and at the end */
};

/*
 * A changed profile.  The daemon sends HELPER_FILE(PROFILE), and of the others
 * those that changed (an unchanged one stays in use), then RELOAD.  The engine
 * judges all of it and answers RELOADED exactly once:
 *
 *	error 0		it decides by the new profile.  Flows whose verdict is
 *			another now were ended, all others live on.
 *	negative errno	nothing changed, u.reloaded.text says why.  -EOPNOTSUPP: a
 *			value changed that needs a new engine (TunIP, MTU);
 *			-EBUSY: one reload is under way already
 *
 * When what the session offers changed (resolvers, search domains), an OFFER
 * comes before RELOADED; the daemon applies it under the profile that is in
 * effect and answers APPLIED as always.
 */

enum helper_file {
	HELPER_FILE_PROFILE = 1,	/* sealed struct profile */
	HELPER_FILE_CERTIFICATE,
	HELPER_FILE_KEY,
	HELPER_FILE_CHAIN,
	HELPER_FILE_CA,			/* CaFile, or the system's bundle */
	HELPER_FILE_PIN,		/* u.file.index: which pin */
	HELPER_FILE_HOSTS,		/* snapshot of /etc/hosts */
	HELPER_FILE_RESOLV,		/* snapshot of the network's resolv.conf */
	HELPER_FILE_LOG,		/* debug log, for appending: in use until the next one */
	HELPER_FILE_NOTES,		/* lines about the profile, for `status`; any time */
};

/* All sockets carry the bypass mark, are non-blocking and close-on-exec. */
enum helper_socket { HELPER_SOCK_TCP, HELPER_SOCK_UDP };

/*
 * The new profile needs a new session (Host, service, IDs, identity, pins, CA,
 * TLS version): it is dialled beside the one that lives, which ends when the
 * new one is good.  When it is not within 30 s, or u.reload.limit_ms, all stays
 * as it was (-ETIMEDOUT).
 */
#define RELOAD_SESSION	0x1u
/*
 * Alone: the RELOAD that is under way is called off.  It is answered -ECANCELED
 * then; or as always, if it was too late for that.  This one has no answer.
 */
#define RELOAD_CANCEL	0x2u
#define RELOAD_LIMIT_MS	30000

enum session_state {
	SESSION_DOWN, SESSION_RESOLVING, SESSION_CONNECTING, SESSION_SECURING,
	SESSION_NEGOTIATING, SESSION_CONFIGURING, SESSION_UP, SESSION_PROBING,
	SESSION_RECONNECTING, SESSION_REFUSED, SESSION_FAILED, SESSION_STATES
};

/* What was carried since the engine started; numbers only, all of 64 bits. */
struct usage_totals {
	uint64_t up_s;			/* with a session */
	uint64_t sessions;
	uint64_t tcp, udp, dns;		/* connections, ports of apps, queries */
	uint64_t bytes_up, bytes_down;	/* payload */
};

struct helper_msg {
	uint32_t magic;
	uint16_t type;
	uint16_t n_fds;			/* descriptors beside this message */
	union {
		struct { uint8_t file; uint8_t index; } file;
		struct {
			struct ipaddr service4, service6; /* the DNS forwarder's addresses */
			char tun[16];
		} start;
		struct { uint8_t kind; uint8_t family; uint16_t count; } sockets;
		struct plan_offer offer;
		struct {
			int32_t error;		/* 0, or a negative errno: nothing was left applied */
			uint8_t with_tun;	/* the first success: descriptor 0 is the TUN */
			uint8_t has_usable_gso;	/* TUN was opened with IFF_VNET_HDR */
		} applied;
		struct control_request control;
		struct {
			uint32_t flags;		/* RELOAD_* */
			uint32_t limit_ms;	/* for a new session; 0: RELOAD_LIMIT_MS */
		} reload;
		struct {
			int32_t error;		/* 0, or a negative errno: nothing changed */
			char text[512];		/* printable, NUL-terminated; why */
		} reloaded;
		struct usage_totals usage;
		struct {
			uint8_t state;		/* enum session_state */
			uint8_t exit;		/* exit code this cause stands for; 0: none */
			uint8_t attempts_over;	/* every Host was tried once in vain */
			char text[512];		/* printable, NUL-terminated; why */
		} state;
	} u;
};

/*
 * helper_send() - send one message with @n_fds descriptors (not closed here);
 * magic and n_fds are filled in.  Never blocks, raises no SIGPIPE.
 * Return: 0, or a negative errno (-EAGAIN: the socket is full)
 */
int helper_send(int sock, struct helper_msg *msg, const int *fds, unsigned int n_fds);

/*
 * helper_recv() - receive one message; never blocks
 * @fds: room for HELPER_MAX_FDS; the caller owns what arrived (msg->n_fds)
 * The message is sound for the direction that its type belongs to; a receiver
 * for whom that direction may be the wrong one asks helper_msg_check().
 * Return: 1 and *msg, 0 at end of file, -EAGAIN, -EBADMSG (descriptors closed),
 *	or another negative errno
 */
int helper_recv(int sock, struct helper_msg *msg, int *fds);

/* helper_msg_check() - pure: is this message sound for @to_daemon?  0 or -EBADMSG */
int helper_msg_check(const struct helper_msg *msg, bool to_daemon);

#endif
