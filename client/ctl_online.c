/* SPDX-License-Identifier: MIT */
/*
 * ctl_online.c - the verbs that ask the daemon: connect, disconnect, status,
 * log; cleanup, for when there is none; version.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl.h"
#include "platform/control.h"
#include "profiles/profile.h"

#define CLEANUP_PATH_MAX	4096

static struct control_request request(const struct ctl_opts *o, enum control_verb verb)
{
	bool reads = verb == CONTROL_STATUS || verb == CONTROL_LOG;

	return (struct control_request){
		.magic = CONTROL_MAGIC, .verb = (uint8_t)verb,
		.flags = o->json && reads ? CONTROL_F_JSON : 0,
	};
}

static int usage(const char *verb, const char *why, const char *what)
{
	fprintf(stderr, "apptunnel %s: %s%s%s; `apptunnel %s --help` says more\n", verb, why,
		what ? ": " : "", what ? what : "", verb);
	return CTL_USAGE;
}

/* The one argument that may be left: a profile's name.  0, or CTL_USAGE */
static int take_name(const char *verb, int argc, char **argv, struct control_request *req)
{
	const char *name = argv[optind];

	if (optind >= argc)
		return 0;
	if (optind + 1 < argc)
		return usage(verb, "too many arguments", argv[optind + 1]);
	if (!name[0] || strlen(name) >= sizeof(req->profile) ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") !=
	    strlen(name))
		return usage(verb, "not a profile's name", name);
	memcpy(req->profile, name, strlen(name));
	return 0;
}

int ctl_connect(const struct ctl_opts *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "keep-trying", no_argument, NULL, 'k' },
		{ "force", no_argument, NULL, 'F' },
		{ NULL, 0, NULL, 0 }
	};
	struct control_request req = request(o, CONTROL_CONNECT);
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 't':
			req.timeout_ms = ctl_seconds_ms(optarg, CONTROL_CONNECT_MAX_MS);
			if (!req.timeout_ms)
				return usage("connect", "--timeout takes 1 to 86400 seconds",
					     optarg);
			break;
		case 'k':
			req.flags |= CONTROL_F_KEEP_TRYING;
			break;
		case 'F':
			req.flags |= CONTROL_F_FORCE;
			break;
		default:
			return CTL_USAGE;
		}
	}
	c = take_name("connect", argc, argv, &req);
	return c ? c : ctl_request(o, &req);
}

int ctl_disconnect(const struct ctl_opts *o, int argc, char **argv)
{
	static const struct option options[] = { { NULL, 0, NULL, 0 } };
	struct control_request req = request(o, CONTROL_DISCONNECT);
	int c;

	if (getopt_long(argc, argv, "", options, NULL) != -1)
		return CTL_USAGE;
	c = take_name("disconnect", argc, argv, &req);
	return c ? c : ctl_request(o, &req);
}

int ctl_status(const struct ctl_opts *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "history", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct control_request req = request(o, CONTROL_STATUS);
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'h')
			return CTL_USAGE;
		req.flags |= CONTROL_F_HISTORY;
	}
	c = take_name("status", argc, argv, &req);
	return c ? c : ctl_request(o, &req);
}

int ctl_log(const struct ctl_opts *o, int argc, char **argv)
{
	static const char *const levels[] = {
		[LOG_LVL_ERROR] = "error", [LOG_LVL_WARNING] = "warning", [LOG_LVL_INFO] = "info",
		[LOG_LVL_DEBUG] = "debug", [LOG_LVL_SESSION] = "session",
		[LOG_LVL_PACKET] = "packet",
	};
	static const struct option options[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "level", required_argument, NULL, 'l' },
		{ "debug", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 }
	};
	struct control_request req = request(o, CONTROL_LOG);
	bool debug = false;
	int c;

	while ((c = getopt_long(argc, argv, "f", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			req.flags |= CONTROL_F_FOLLOW;
			break;
		case 'l':
			req.flags |= CONTROL_F_SET_LEVEL;
			while (req.level <= LOG_LVL_PACKET && strcmp(levels[req.level], optarg))
				req.level++;
			if (req.level > LOG_LVL_PACKET)
				return usage("log", "no such level", optarg);
			break;
		case 'd':
			debug = true;
			if (strcmp(optarg, "on") != 0 && strcmp(optarg, "off") != 0)
				return usage("log", "--debug takes on or off", optarg);
			req.flags |= optarg[1] == 'n' ? CONTROL_F_DEBUG_ON : CONTROL_F_DEBUG_OFF;
			break;
		default:
			return CTL_USAGE;
		}
	}
	if (debug && ((req.flags & (CONTROL_F_FOLLOW | CONTROL_F_SET_LEVEL)) || optind < argc))
		return usage("log", "--debug is for all profiles and stands alone",
			     optind < argc ? argv[optind] : "--debug");
	if ((req.flags & CONTROL_F_DEBUG_ON) && (req.flags & CONTROL_F_DEBUG_OFF))
		return usage("log", "on or off, not both", "--debug");
	c = take_name("log", argc, argv, &req);
	return c ? c : ctl_request(o, &req);
}

/* ---- without a daemon ---------------------------------------------------- */

/* apptunneld: beside this executable, or in the sbin beside its folder. */
static int find_daemon(char *path, size_t size)
{
	static const char *const places[] = { "/apptunneld", "/../sbin/apptunneld" };
	char self[CLEANUP_PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	size_t i;

	if (n <= 0)
		return -ENOENT;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int len = snprintf(path, size, "%s%s", self, places[i]);

		if (len > 0 && (size_t)len < size && access(path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

int ctl_cleanup(const struct ctl_opts *o, int argc, char **argv)
{
	char path[CLEANUP_PATH_MAX + 32];
	char *child[] = {
		(char *)"apptunneld", (char *)"--cleanup", (char *)"--run-dir", (char *)o->run_dir,
		(char *)"--state-dir", (char *)o->state_dir, NULL
	};
	int fd;

	(void)argv;
	if (argc > 1)
		return usage("cleanup", "takes no argument", argv[1]);
	if (geteuid() != 0) {
		fprintf(stderr, "apptunnel: cleanup needs root\n");
		return CTL_PERMISSION;
	}
	fd = ctl_open(o);
	if (fd >= 0) {
		close(fd);
		fprintf(stderr, "apptunnel: apptunneld is running and keeps its own order; "
			"`apptunnel disconnect` undoes what it changed\n");
		return CTL_CONFLICT;
	}
	if (find_daemon(path, sizeof(path)) == 0)
		execv(path, child);
	fprintf(stderr, "apptunnel: cannot run apptunneld: it is not where apptunnel is\n");
	return CTL_UNEXPECTED;
}

static const char licence[] =
	"MIT licence.  Copyright (c) 2026 The AppTunnel for Linux authors.\n\n"
	"Permission is granted, free of charge, to use, copy, modify, merge, publish,\n"
	"distribute, sublicense and sell copies, provided that the copyright notice and the\n"
	"licence text (file LICENSE) stay with them.  There is NO WARRANTY of any kind.\n\n"
	"In the executables: lwIP (BSD, engine); OpenSSL (Apache-2.0, engine and command\n"
	"line); c-ares, jansson and iniparser (MIT); libseccomp, libnl and libcap-ng\n"
	"(LGPL-2.1); libnftables (GPL-2, daemon only).\n";

int ctl_version(const struct ctl_opts *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "license", no_argument, NULL, 'l' },
		{ "licence", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 }
	};
	bool text = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'l')
			return CTL_USAGE;
		text = true;
	}
	if (optind < argc)
		return usage("version", "takes no argument", argv[optind]);
	if (o->json)
		puts("{\"version\": \"" APPTUNNEL_VERSION "\", \"license\": \"MIT\"}");
	else
		puts("apptunnel " APPTUNNEL_VERSION);
	if (text && !o->json)
		fputs(licence, stdout);
	return CTL_DONE;
}
