/* SPDX-License-Identifier: MIT */
/*
 * control.h - the control socket between `apptunnel` and the daemon.
 *
 * SOCK_STREAM at RUN_DIR/control.sock.  The caller sends one fixed-size
 * request; what comes back is lines of text until the connection closes:
 *
 *	out TEXT	goes to stdout
 *	err TEXT	goes to stderr (progress, [#] lines, errors)
 *	exit N		the exit code; the last line
 *
 * The daemon judges the request and the caller's uid (SO_PEERCRED), answers
 * what concerns processes, the system and its own files (enum control_verb says
 * which), and hands the descriptor with the request to the engine for the rest.
 */
#ifndef APPTUNNEL_CONTROL_H
#define APPTUNNEL_CONTROL_H

#include <stdint.h>

#include "profiles/addr.h"
#include "profiles/profile.h"

#define CONTROL_MAGIC		0x41544332u
#define CONTROL_DEADLINE_MS	5000	/* for the request to arrive, and for each write */
#define CONTROL_LINE_MAX	8192	/* bytes of one answer line, LF included */
#define CONTROL_CONNECT_MS	30000	/* connect waits so long unless told otherwise */
#define CONTROL_CONNECT_MAX_MS	86400000	/* and never longer than a day */

enum control_verb {
	CONTROL_CONNECT = 1,	/* daemon */
	CONTROL_DISCONNECT,	/* daemon */
	CONTROL_STATUS,		/* engine; daemon when none runs, and with HISTORY */
	CONTROL_EXPLAIN,	/* engine */
	CONTROL_LOG,		/* engine; daemon with DEBUG_ON and DEBUG_OFF */
	CONTROL_APPLY,		/* daemon, root; the text comes beside it (SCM_RIGHTS) */
	CONTROL_CONFIRM,	/* daemon, root */
	CONTROL_ROLLBACK,	/* daemon, root */
};

#define CONTROL_F_JSON		0x01u
#define CONTROL_F_KEEP_TRYING	0x02u	/* connect */
#define CONTROL_F_FOLLOW	0x04u	/* log */
#define CONTROL_F_SET_LEVEL	0x08u	/* log: level is to be set */
#define CONTROL_F_DEBUG_ON	0x10u	/* log, alone: the daemon's debug logging */
#define CONTROL_F_DEBUG_OFF	0x20u
#define CONTROL_F_HISTORY	0x40u	/* status: usage per day, from the daemon */
#define CONTROL_F_FORCE		0x100u	/* connect, root only: an older Version too */

#define CONTROL_F_SIGNED	0x200u	/* apply: the text is a signed message */

/* apply: what must be seen before the profile is for good */
#define CONTROL_READY_TUNNEL	0x1u
#define CONTROL_READY_DNS	0x2u
#define CONTROL_READY_TCP	0x4u	/* ready_host, ready_port */
#define CONTROL_READY_ALL	0x7u
#define CONTROL_READY_MS	30000	/* for that, unless there is a confirm_ms */
#define CONTROL_CONFIRM_MAX_MS	86400000
#define CONTROL_HOST_MAX	254

struct control_request {
	uint32_t magic;
	uint8_t verb;
	uint8_t level;		/* log: enum profile_log_level */
	uint8_t proto;		/* explain: 6, 17, 1 */
	uint8_t pad;
	uint32_t flags;
	uint32_t timeout_ms;	/* connect; 0: 30 s */
	uint16_t port;		/* explain */
	struct ipaddr addr;	/* explain */
	char profile[33];	/* empty: the only one there is */
	uint8_t ready;		/* apply: CONTROL_READY_* */
	uint16_t ready_port;
	uint32_t confirm_ms;	/* apply; 0: no confirmation is needed */
	char ready_host[CONTROL_HOST_MAX];
	uint16_t end;		/* 0; no padding behind the name */
};

/*
 * control_request_check() - pure: is this request sound in every field?
 * Enums in range, flags that the verb knows, padding and what follows the
 * name zero, the name of profile-file letters only (or empty).
 * Return: 0, or -EBADMSG
 */
int control_request_check(const struct control_request *r);

#endif
