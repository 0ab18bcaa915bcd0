/* SPDX-License-Identifier: MIT */
/*
 * options.c - what apptunneld is told on its command line, and what holds
 * where it is told nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/daemon.h"

#define HOSTS_FILE	"/etc/hosts"

static void usage(FILE *f)
{
	fputs("Usage: apptunneld [OPTION]...\n"
	      "The daemon of AppTunnel for Linux.  It stays in the foreground.\n\n"
	      "  --profile-dir DIR   profiles (" NAMES_PROFILE_DIR ")\n"
	      "  --signer FILE       who may sign profiles, certificates in PEM (" NAMES_SIGNER ",\n"
	      "                      where that is there; then only signed ones are accepted)\n"
	      "  --run-dir DIR       control socket, lock (" NAMES_RUN_DIR ")\n"
	      "  --state-dir DIR     journal, copies of profiles (" NAMES_STATE_DIR ")\n"
	      "  --log-dir DIR       debug logs, while `apptunnel log --debug on` (" NAMES_LOG_DIR ")\n"
	      "  --resolv-conf FILE  " NAMES_RESOLV_CONF "\n"
	      "  --hosts FILE        " HOSTS_FILE "\n"
	      "  --libexec-dir DIR   where apptunnel-engine, -parser and -ready are\n"
	      "  --mark N            bypass bit, one bit (0x01000000)\n"
	      "  --table N           first routing table (44300)\n"
	      "  --priority N        first rule priority (4430)\n"
	      "  --group NAME|GID    who may use the control socket (" NAMES_USER ")\n"
	      "  --user NAME|UID     user of the programs that it starts (" NAMES_USER ")\n"
	      "  --no-vnet-hdr       open the TUN without virtio headers\n"
	      "  --cleanup           undo what a killed daemon left, and exit\n"
	      "  --foreground        the only way there is; accepted for service files\n"
	      "  --help, --version\n\n"
	      "Signals: TERM and INT disconnect, undo and end; HUP and USR2 say that the network\n"
	      "may be another one; USR1 writes the state to stderr.\n"
	      "Example: apptunneld --run-dir /tmp/run --state-dir /tmp/state --profile-dir .\n", f);
}

static bool number(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	unsigned long long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno || *end || v < min || v > max)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* The folder of this executable, when the engine lies beside it (a build tree). */
static void find_libexec(char *dir, size_t size)
{
	char self[PROFILE_PATH_MAX], engine[PROFILE_PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	snprintf(dir, size, "%s", APPTUNNEL_LIBEXECDIR);
	if (n <= 0)
		return;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return;
	*slash = '\0';
	snprintf(engine, sizeof(engine), "%s/apptunnel-engine", self);
	if (access(engine, X_OK) == 0)
		snprintf(dir, size, "%s", self);
}

/* The parser's folder and the journal need absolute paths.  NULL: too long */
static const char *absolute(const char *path)
{
	char cwd[PROFILE_PATH_MAX], *out;

	if (path[0] == '/')
		return strlen(path) < PROFILE_PATH_MAX ? path : NULL;
	if (!getcwd(cwd, sizeof(cwd)) || strlen(cwd) + strlen(path) + 2 > PROFILE_PATH_MAX)
		return NULL;
	out = malloc(PROFILE_PATH_MAX);		/* lives as long as the process */
	if (out)
		snprintf(out, PROFILE_PATH_MAX, "%s/%s", cwd, path);
	return out;
}

enum {
	OPT_PROFILE_DIR = 256, OPT_SIGNER,
	OPT_RUN_DIR, OPT_STATE_DIR, OPT_LOG_DIR, OPT_RESOLV_CONF, OPT_HOSTS, OPT_LIBEXEC,
	OPT_MARK, OPT_TABLE, OPT_PRIORITY, OPT_GROUP, OPT_USER, OPT_NO_VNET_HDR, OPT_CLEANUP,
	OPT_FOREGROUND, OPT_HELP, OPT_VERSION
};

static const struct option options[] = {
	{ "profile-dir", required_argument, NULL, OPT_PROFILE_DIR },
	{ "signer", required_argument, NULL, OPT_SIGNER },
	{ "run-dir", required_argument, NULL, OPT_RUN_DIR },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "log-dir", required_argument, NULL, OPT_LOG_DIR },
	{ "resolv-conf", required_argument, NULL, OPT_RESOLV_CONF },
	{ "hosts", required_argument, NULL, OPT_HOSTS },
	{ "libexec-dir", required_argument, NULL, OPT_LIBEXEC },
	{ "mark", required_argument, NULL, OPT_MARK },
	{ "table", required_argument, NULL, OPT_TABLE },
	{ "priority", required_argument, NULL, OPT_PRIORITY },
	{ "group", required_argument, NULL, OPT_GROUP },
	{ "user", required_argument, NULL, OPT_USER },
	{ "no-vnet-hdr", no_argument, NULL, OPT_NO_VNET_HDR },
	{ "cleanup", no_argument, NULL, OPT_CLEANUP },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 }
};

static bool option_path(const char **slot, const char *arg)
{
	*slot = absolute(arg);
	return *slot != NULL;
}

int options_take(struct daemon_opts *o, int argc, char **argv)
{
	const char *libexec = NULL;
	bool ok = true;
	int c;

	*o = (struct daemon_opts){
		.profile_dir = NAMES_PROFILE_DIR, .run_dir = NAMES_RUN_DIR,
		.signer = NAMES_SIGNER,
		.state_dir = NAMES_STATE_DIR, .log_dir = NAMES_LOG_DIR, .resolv_conf = NAMES_RESOLV_CONF,
		.hosts = HOSTS_FILE, .mark = NAMES_MARK, .table = NAMES_TABLE,
		.prio = NAMES_RULE_PRIO,
	};
	find_libexec(o->libexec_dir, sizeof(o->libexec_dir));
	while (ok && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case OPT_PROFILE_DIR:
			ok = option_path(&o->profile_dir, optarg);
			break;
		case OPT_SIGNER:
			ok = option_path(&o->signer, optarg);
			o->signer_given = true;
			break;
		case OPT_RUN_DIR:
			ok = option_path(&o->run_dir, optarg);
			break;
		case OPT_STATE_DIR:
			ok = option_path(&o->state_dir, optarg);
			break;
		case OPT_LOG_DIR:
			ok = option_path(&o->log_dir, optarg);
			break;
		case OPT_RESOLV_CONF:
			ok = option_path(&o->resolv_conf, optarg);
			break;
		case OPT_HOSTS:
			ok = option_path(&o->hosts, optarg);
			break;
		case OPT_LIBEXEC:
			ok = option_path(&libexec, optarg);
			if (ok)
				snprintf(o->libexec_dir, sizeof(o->libexec_dir), "%s", libexec);
			break;
		case OPT_MARK:
			ok = number(optarg, 1, UINT32_MAX, &o->mark) && !(o->mark & (o->mark - 1));
			break;
		case OPT_TABLE:		/* not those of the kernel; room for every engine */
			ok = number(optarg, 256, UINT32_MAX - NAMES_MAX_PROFILES, &o->table);
			break;
		case OPT_PRIORITY:	/* before main, and one is needed before it */
			ok = number(optarg, 2, 32765 - NAMES_MAX_PROFILES, &o->prio);
			break;
		case OPT_GROUP:
			o->group = optarg;
			break;
		case OPT_USER:
			o->user = optarg;
			break;
		case OPT_NO_VNET_HDR:
			o->no_vnet_hdr = true;
			break;
		case OPT_CLEANUP:
			o->cleanup = true;
			break;
		case OPT_FOREGROUND:
			break;
		case OPT_HELP:
			usage(stdout);
			return EXIT_DONE;
		case OPT_VERSION:
			puts("apptunneld " APPTUNNEL_VERSION);
			return EXIT_DONE;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (ok && optind == argc)
		return -1;
	fprintf(stderr, "apptunneld: \"%s\" is not a value for this option, or too much\n",
		ok ? argv[optind] : optarg);
	return EXIT_USAGE;
}

/* ---- user and group ------------------------------------------------------ */

/* Names that are not known become the bare number; a number is one. */
int options_ids(struct daemon *d)
{
	const struct daemon_opts *o = &d->o;
	const struct passwd *pw;
	const struct group *gr;
	uint32_t n;

	d->uid = NAMES_UID;
	d->gid = d->group = NAMES_UID;
	pw = getpwnam(o->user ? o->user : NAMES_USER);
	if (pw) {
		d->uid = pw->pw_uid;
		d->gid = pw->pw_gid;
	} else if (o->user) {
		if (!number(o->user, 1, UINT32_MAX - 1, &n))
			return -ENOENT;
		d->uid = d->gid = n;
	}
	gr = getgrnam(o->group ? o->group : NAMES_USER);
	if (gr) {
		d->group = gr->gr_gid;
	} else if (o->group) {
		if (!number(o->group, 0, UINT32_MAX - 1, &n))
			return -ENOENT;
		d->group = n;
	}
	return d->uid ? 0 : -EPERM;	/* the engine is never root */
}
