/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - apptunneld's one struct.  What it has of profiles that are
 * connected is slot.h's, of such as are to take their place candidate.h's.
 */
#ifndef APPTUNNEL_DAEMON_H
#define APPTUNNEL_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/candidate.h"
#include "platform/debuglog.h"
#include "platform/slot.h"

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

/* ---- netmon.c ------------------------------------------------------------ */

/* netmon_open() - hear of addresses and default routes.  Descriptor or negative errno */
int netmon_open(void);
/* netmon_read() - true: something changed that is not ours */
bool netmon_read(int fd);

#endif
