/* SPDX-License-Identifier: MIT */
/*
 * ctl.c - apptunnel: the verb table, global options, help, and the way to the
 * daemon and back.
 */
#define _GNU_SOURCE
#include "client/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/control.h"
#include "platform/names.h"

#define CTL_ANSWER_MS	15000	/* for each piece of an answer; the daemon may be busy applying */
#define CTL_WHOLE_MAX	(4u << 20)	/* bytes: the ring of a log as JSON, and more */
#define CTL_SIGNALLED	128	/* + number: as a shell says it */

struct verb {
	const char *name;
	int (*run)(const struct ctl_opts *o, int argc, char **argv);
	const char *args, *what, *more;
};

static const struct verb verbs[] = {
	{ "connect", ctl_connect, "[NAME] [--timeout S] [--keep-trying] [--force]",
	  "lock, dial, and come back when the tunnel is up",
	  "  --timeout S     give up after S seconds (30); everything is undone then\n"
	  "  --keep-trying   stay locked and go on dialling instead\n"
	  "  --force         accept a signed profile of an older Version than was seen (root)\n"
	  "NAME may be left out when there is one profile.\n"
	  "Example: apptunnel connect corp --timeout 60\n" },
	{ "disconnect", ctl_disconnect, "[NAME]", "end the tunnel and undo everything",
	  "Example: apptunnel disconnect corp\n" },
	{ "status", ctl_status, "[NAME] [--history] [--json]", "what is, since when and why",
	  "  --history      usage per day instead: time, sessions, flows, bytes (kept on this\n"
	  "                 machine only, unless AnalyticsEnabled = false)\n"
	  "Example: apptunnel status --json\n" },
	{ "plan", ctl_plan, "[NAME|FILE] [--profile FILE] [--json]",
	  "what connecting would change on this machine",
	  "Example: apptunnel plan ./corp.ini\n" },
	{ "explain", ctl_explain, "tcp|udp|icmp DEST[:PORT] [--profile FILE|NAME] [--json]",
	  "where such a packet would go, and why",
	  "Without --profile the connected profile answers.\n"
	  "Example: apptunnel explain udp 10.1.2.3:53 --profile corp.ini\n" },
	{ "profile", ctl_profile, "check|show|list|diff|test|import|example|schema|apply|confirm|rollback"
	  " [ARGUMENT]... [--json]",
	  "look at profiles, try, compare and import them",
	  "  check FILE|NAME   every finding of the profile and the files it names, by line and column\n"
	  "  show FILE|NAME    each key with its value in effect, and where that comes from;\n"
	  "                    --ini: as a profile again\n"
	  "  list              the profiles there are, and whether they are valid\n"
	  "  diff A B          keys and system changes by which B differs from A\n"
	  "  test CASES [--profile FILE|NAME]\n"
	  "                    does it decide so?  Lines as: tcp 10.1.2.3:443 -> tunnel\n"
	  "  import FILE [-o FILE] [--payload N] [--force]\n"
	  "                    a profile from an Apple configuration profile (.mobileconfig) or an\n"
	  "                    Android managed configuration (JSON); a list of what was not carried\n"
	  "  example           a profile with every key, explained\n"
	  "  schema            JSON Schema of what `show --json` prints\n"
	  "  apply FILE [--confirm-within S] [--ready tunnel,dns,tcp:HOST:PORT] [--force]\n"
	  "                    take NAME.ini or NAME.p7m into use without dropping what stays (root);\n"
	  "                    the one before comes back unless it is confirmed, or ready, in time\n"
	  "  confirm [NAME]    keep what is on trial (root)\n"
	  "  rollback [NAME]   take the profile before into use (root)\n"
	  "Examples:\n"
	  "  apptunnel profile check corp.ini\n"
	  "  apptunnel profile diff corp new/corp.ini\n"
	  "  apptunnel profile test cases.txt --profile corp.ini\n"
	  "  apptunnel profile import corp.mobileconfig -o corp.ini\n"
	  "  apptunnel profile example >corp.ini\n"
	  "Example: apptunnel profile show corp --json\n" },
	{ "log", ctl_log, "[NAME] [--follow] [--level L] [--json] | --debug on|off",
	  "the engine's last lines",
	  "  -f, --follow   go on as they come\n"
	  "  --level L      log from now on: error, warning, info, debug, session, packet\n"
	  "  --debug on     write debug logs to files too, of all profiles, until `off`;\n"
	  "                 the daemon's --log-dir says where\n"
	  "Example: apptunnel log --follow --level debug\n" },
	{ "cleanup", ctl_cleanup, "", "undo what a killed daemon left (root)",
	  "Example: sudo apptunnel cleanup\n" },
	{ "version", ctl_version, "[--license] [--json]", "version and licence",
	  "Example: apptunnel version --license\n" },
};
#define N_VERBS	(sizeof(verbs) / sizeof(verbs[0]))

static void help(FILE *f)
{
	size_t i;

	fputs("Usage: apptunnel [OPTION]... VERB [ARGUMENT]...\n\n", f);
	for (i = 0; i < N_VERBS; i++)
		fprintf(f, "  %-11s %s\n", verbs[i].name, verbs[i].what);
	fputs("\n"
	      "  --profile-dir DIR   " NAMES_PROFILE_DIR "; or APPTUNNEL_PROFILE_DIR\n"
	      "  --run-dir DIR       " NAMES_RUN_DIR "; or APPTUNNEL_RUN_DIR\n"
	      "  --state-dir DIR     " NAMES_STATE_DIR "; or APPTUNNEL_STATE_DIR\n"
	      "  --signer FILE       " NAMES_SIGNER "; or APPTUNNEL_SIGNER\n"
	      "  --json              results for programs, with every verb that reads\n"
	      "  --help, --version   `apptunnel VERB --help` says more\n\n"
	      "Examples:\n"
	      "  apptunnel profile check corp.ini\n"
	      "  apptunnel plan corp\n"
	      "  apptunnel connect corp\n"
	      "  apptunnel explain tcp 10.1.2.3:443\n"
	      "  apptunnel disconnect\n\n"
	      "Exit codes: 0 done, 1 unexpected, 2 usage, 3 timed out, 4 not connected, 5 undo\n"
	      "incomplete, 6 profile invalid, 7 permission, 8 no daemon, 10 no such profile, 11\n"
	      "server not trusted, 12 identity, 13 device or user blocked, 14 protocol, 15 system\n"
	      "change failed and was undone, 16 conflict, 17 service denied or unknown\n", f);
}

static void verb_help(const struct verb *v)
{
	printf("Usage: apptunnel %s%s%s\n%c%s.\n\n%s", v->name, v->args[0] ? " " : "", v->args,
	       v->what[0] >= 'a' ? v->what[0] - 'a' + 'A' : v->what[0], v->what + 1, v->more);
}

uint32_t ctl_seconds_ms(const char *text, uint32_t max_ms)
{
	unsigned long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (*end == 's')
		end++;
	return errno || *end || v < 1 || v > max_ms / 1000 ? 0 : (uint32_t)v * 1000;
}

/* ---- the daemon ---------------------------------------------------------- */

static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
	signalled = sig;
}

int ctl_open(const struct ctl_opts *o)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int dir, fd, err = 0;

	dir = open(o->run_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		close(dir);
		return -errno;
	}
	/* by way of /proc, for a run folder may have a longer path than sun_path holds */
	snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/" NAMES_CONTROL_SOCKET, dir);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		err = -errno;
		close(fd);
	}
	close(dir);
	return err ? err : fd;
}

static int open_failed(const struct ctl_opts *o, int err)
{
	if (err == -EACCES || err == -EPERM) {
		fprintf(stderr, "apptunnel: %s/" NAMES_CONTROL_SOCKET ": only root and members of "
			"group " NAMES_USER " may do this (try sudo)\n", o->run_dir);
		return CTL_PERMISSION;
	}
	fprintf(stderr, "apptunnel: apptunneld is not running (%s/" NAMES_CONTROL_SOCKET ": %s); "
		"start it as root: apptunneld\n", o->run_dir, strerror(-err));
	return CTL_NO_DAEMON;
}

/* Until when an answer must go on; -1: it may be silent for ever. */
static int patience_ms(const struct control_request *req)
{
	uint32_t ms;

	if (req->verb == CONTROL_CONNECT) {
		ms = req->timeout_ms ? req->timeout_ms : CONTROL_CONNECT_MS;
		return (int)(ms + CTL_ANSWER_MS);
	}
	if (req->verb == CONTROL_APPLY) {	/* a new session, then readiness */
		ms = req->ready ? req->confirm_ms ? req->confirm_ms : CONTROL_READY_MS : 0;
		return (int)(ms + 4 * CTL_ANSWER_MS);
	}
	if (req->verb == CONTROL_ROLLBACK)
		return 4 * CTL_ANSWER_MS;
	return req->verb == CONTROL_LOG && (req->flags & CONTROL_F_FOLLOW) ? -1 : CTL_ANSWER_MS;
}

/* One line of the answer.  Return: -1: more follow; else the exit code */
static int take_line(char *line)
{
	/* an engine is trusted with less than a terminal can be told to do */
	for (char *p = line; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = *p == '\t' ? '\t' : '?';
	}
	if (!strncmp(line, "out ", 4)) {
		puts(line + 4);
	} else if (!strncmp(line, "err ", 4)) {
		fflush(stdout);
		fprintf(stderr, "%s\n", line + 4);
	} else if (!strncmp(line, "exit ", 5)) {
		long code = strtol(line + 5, NULL, 10);

		return code >= 0 && code <= 255 ? (int)code : CTL_UNEXPECTED;
	}
	return -1;
}

struct answer {
	char buf[CONTROL_LINE_MAX + 1];
	size_t len;
	int code;	/* -1: not here yet */
};

static void take_bytes(struct answer *a)
{
	char *lf, *line = a->buf;

	while (a->code < 0 && (lf = memchr(line, '\n', a->len - (size_t)(line - a->buf)))) {
		*lf = '\0';
		a->code = take_line(line);
		line = lf + 1;
	}
	a->len -= (size_t)(line - a->buf);
	memmove(a->buf, line, a->len);
	if (a->len == CONTROL_LINE_MAX) {	/* longer than a line can be: show what there is */
		a->buf[a->len] = '\0';
		a->code = take_line(a->buf);
		a->len = 0;
	}
}

static char whole_answer[CTL_WHOLE_MAX];	/* stdout's until the process ends */

/*
 * Relay until "exit N".  A signal (connect and apply only; let in while we wait,
 * by @unblocked) closes our direction only: the daemon takes that as an
 * interruption, undoes within @undo_ms, and says so; a second one ends us at once.
 * @whole: the answer has an end and is shown when that is here
 */
static int relay(int fd, int patience, int undo_ms, bool whole, const sigset_t *unblocked)
{
	struct answer a = { .code = -1 };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool told = false;
	struct timespec ts;
	ssize_t n;
	int ready;

	/* the reader of our output takes his time (less); the engine does not wait for him */
	if (whole)
		setvbuf(stdout, whole_answer, _IOFBF, sizeof(whole_answer));
	while (a.code < 0) {
		if (signalled && !told) {
			told = true;
			shutdown(fd, SHUT_WR);
			patience = undo_ms;
		}
		ts = (struct timespec){ patience / 1000, patience % 1000 * 1000000L };
		ready = ppoll(&p, 1, patience < 0 ? NULL : &ts, unblocked);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready == 0) {
			fprintf(stderr, "apptunnel: apptunneld does not answer\n");
			return CTL_UNEXPECTED;
		}
		n = read(fd, a.buf + a.len, CONTROL_LINE_MAX - a.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "apptunnel: the daemon broke the connection off\n");
			return CTL_UNEXPECTED;
		}
		a.len += (size_t)n;
		take_bytes(&a);
		if (!whole)
			fflush(stdout);
	}
	/* it may have come up, or been undone, just before the signal did */
	return told && a.code ? CTL_SIGNALLED + (int)signalled : a.code;
}

/* Return: as write(2) */
static ssize_t send_request(int sock, const struct control_request *req, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)req, sizeof(*req) };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *h;

	if (fd >= 0) {
		memset(&u, 0, sizeof(u));
		msg.msg_control = u.buf;
		msg.msg_controllen = sizeof(u.buf);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL);
}

int ctl_request(const struct ctl_opts *o, const struct control_request *req)
{
	return ctl_request_with(o, req, -1);
}

int ctl_request_with(const struct ctl_opts *o, const struct control_request *req, int passed)
{
	/* one-shot: the second signal has its usual effect */
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	struct timeval tv = { .tv_sec = CONTROL_DEADLINE_MS / 1000 };
	sigset_t block, unblocked;
	int fd, code;

	signal(SIGPIPE, SIG_IGN);
	fd = ctl_open(o);
	if (fd < 0)
		return open_failed(o, fd);
	sigemptyset(&block);
	if (req->verb == CONTROL_CONNECT || req->verb == CONTROL_APPLY) {
		sigaddset(&block, SIGINT);
		sigaddset(&block, SIGTERM);
		sigaction(SIGINT, &sa, NULL);
		sigaction(SIGTERM, &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, &unblocked);
	sigdelset(&unblocked, SIGINT);
	sigdelset(&unblocked, SIGTERM);
	errno = 0;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ||
	    (send_request(fd, req, passed) != (ssize_t)sizeof(*req) && errno != EPIPE)) {
		/* EPIPE: turned away before we asked; what it says stands in the socket */
		fprintf(stderr, "apptunnel: cannot ask apptunneld: %s\n", strerror(errno));
		close(fd);
		return CTL_UNEXPECTED;
	}
	/* the profile before may need a new session, as with rollback */
	code = relay(fd, patience_ms(req), req->verb == CONTROL_APPLY ? 4 * CTL_ANSWER_MS :
		     CTL_ANSWER_MS, req->verb == CONTROL_LOG && !(req->flags & CONTROL_F_FOLLOW),
		     &unblocked);
	close(fd);
	if (fflush(stdout) || ferror(stdout))
		return code ? code : CTL_UNEXPECTED;
	return code;
}

/* ---- options and verbs --------------------------------------------------- */

/* Take --NAME VALUE or --NAME=VALUE out of argv.  1: taken, 0: another, -1: no value */
static int path_option(const char *name, const char **slot, int argc, char **argv, int *i)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len))
		return 0;
	if (argv[*i][len] == '=') {
		*slot = argv[*i] + len + 1;
		return 1;
	}
	if (argv[*i][len])
		return 0;
	if (*i + 1 >= argc) {
		fprintf(stderr, "apptunnel: %s needs a value\n", name);
		return -1;
	}
	*slot = argv[++*i];
	return 1;
}

/* Global options may stand anywhere; what is left is packed into @rest.  Return: how many */
static int take_globals(struct ctl_opts *o, int argc, char **argv, char **rest, bool *want_help)
{
	bool end = false;
	int i, n = 0, got;

	for (i = 1; i < argc; i++) {
		if (end || argv[i][0] != '-') {
			rest[n++] = argv[i];
			continue;
		}
		got = path_option("--profile-dir", &o->profile_dir, argc, argv, &i);
		if (!got)
			got = path_option("--run-dir", &o->run_dir, argc, argv, &i);
		if (!got)
			got = path_option("--signer", &o->signer, argc, argv, &i);
		if (!got)
			got = path_option("--state-dir", &o->state_dir, argc, argv, &i);
		if (got < 0)
			return -1;
		if (got)
			continue;
		if (!strcmp(argv[i], "--json"))
			o->json = true;
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			*want_help = true;
		else if (!strcmp(argv[i], "--version") && !n)
			rest[n++] = (char *)"version";
		else
			rest[n++] = argv[i];
		end = !strcmp(argv[i], "--");
	}
	rest[n] = NULL;
	return n;
}

static const char *from_env(const char *name, const char *otherwise)
{
	const char *v = getenv(name);

	return v && v[0] ? v : otherwise;
}

int main(int argc, char **argv)
{
	struct ctl_opts o = {
		.profile_dir = from_env("APPTUNNEL_PROFILE_DIR", NAMES_PROFILE_DIR),
		.run_dir = from_env("APPTUNNEL_RUN_DIR", NAMES_RUN_DIR),
		.state_dir = from_env("APPTUNNEL_STATE_DIR", NAMES_STATE_DIR),
		.signer = from_env("APPTUNNEL_SIGNER", NAMES_SIGNER),
	};
	char **rest = calloc((size_t)argc + 1, sizeof(*rest));
	bool want_help = false;
	int n, code = CTL_USAGE;
	size_t i;

	if (!rest)
		return CTL_UNEXPECTED;
	n = take_globals(&o, argc, argv, rest, &want_help);
	if (n < 0)
		goto out;
	if (n == 0) {
		help(want_help ? stdout : stderr);
		code = want_help ? CTL_DONE : CTL_USAGE;
		goto out;
	}
	for (i = 0; i < N_VERBS && strcmp(rest[0], verbs[i].name); i++)
		;
	if (i == N_VERBS && !strcmp(rest[0], "help")) {
		help(stdout);
		code = CTL_DONE;
	} else if (i == N_VERBS) {
		fprintf(stderr, "apptunnel: no such verb: %s; `apptunnel --help` lists them\n",
			rest[0]);
	} else if (want_help) {
		verb_help(&verbs[i]);
		code = CTL_DONE;
	} else {
		code = verbs[i].run(&o, n, rest);
	}
out:
	free(rest);
	return code;
}
