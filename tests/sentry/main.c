/* SPDX-License-Identifier: MIT */
/*
 * main.c - the headless endpoint: the other end of the tunnel for tests, demo and
 * figures.
 *
 * The way of a byte: a device's TCP connection -> tls.c decrypts up to 128 KiB
 * into one buffer -> session.c gives it to the mux, which yields frames ->
 * DATA goes by sendmsg() from that very buffer to the stream's backend (tcp.c).
 * Back: an edge of the backend's socket marks the stream as ready -> at the end
 * of the turn the mux makes frames and calls for bytes, which recv() puts straight
 * into its store -> tls.c encrypts from there.
 *
 * A turn: wait, read what came, run what is due, then serve each connection that
 * was touched, then free what ended.
 */
#define _GNU_SOURCE
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ---- phases -------------------------------------------------------------- */

static void raise_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int start_signals(struct sentry *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal = (struct src){ .kind = SRC_SIGNAL, .owner = s };
	s->signal.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return s->signal.fd < 0 ? -errno : loop_add(&s->loop, &s->signal, EPOLLIN);
}

static int start_output(struct sentry *s)
{
	s->out = stdout;
	if (s->conf.audit && strcmp(s->conf.audit, "-") != 0) {
		s->out = fopen(s->conf.audit, "ae");
		if (!s->out) {
			fprintf(stderr, "%s: %s: %s\n", s->conf.path, s->conf.audit,
				strerror(errno));
			return -EINVAL;
		}
	}
	return 0;
}

static void say_ready(struct sentry *s)
{
	json_t *a = json_array(), *o;
	char addr[ADDR_STRLEN], text[ADDR_STRLEN + 10];

	for (uint32_t i = 0; i < s->conf.n_listen; i++) {
		bool v6 = s->conf.listen[i].addr.family == 6;

		snprintf(text, sizeof(text), "%s%s%s:%u", v6 ? "[" : "",
			 addr_format(&s->conf.listen[i].addr, addr), v6 ? "]" : "",
			 s->conf.listen[i].port);
		json_array_append_new(a, json_string(text));
	}
	o = json_pack("{s:s,s:s,s:o,s:i,s:b,s:b}", "event", "ready", "version", APPTUNNEL_VERSION,
		      "listen", a, "devices", (int)s->devices.n, "ping4", (int)s->ping4,
		      "ping6", (int)s->ping6);
	if (o) {
		json_dumpf(o, stdout, JSON_COMPACT);
		fputc('\n', stdout);
		fflush(stdout);
	}
	json_decref(o);
}

static int start(struct sentry *s)
{
	s->faults = &s->conf.faults;
	s->refusals = json_object();
	s->blocked = json_object();
	s->now = s->started = loop_now();
	if (!s->refusals || !s->blocked || loop_init(&s->loop) || start_signals(s)) {
		fprintf(stderr, "sentry: cannot start: %s\n", strerror(errno));
		return -EIO;
	}
	raise_files();
	if (start_output(s) || tls_init(s) || reload_init(s) || resolve_init(s) ||
	    control_init(s) || conn_listen(s))
		return -EINVAL;
	assoc_probe_ping(s);
	return 0;
}

static void stop_begin(struct sentry *s)
{
	struct session *next;

	s->stopping = true;
	for (uint32_t i = 0; i < s->conf.n_listen; i++)
		loop_close(&s->loop, &s->listeners[i]);
	for (struct session *ses = s->sessions; ses; ses = next) {
		next = ses->next;
		session_goaway(ses, MUX_BYE, "the endpoint is stopping");
	}
	for (struct conn *c = s->conns, *n; c; c = n) {
		n = c->next;
		if (c->state == CONN_TLS || c->state == CONN_POST || c->state == CONN_SILENT)
			conn_drop(c, false, "stopping");
	}
}

static void graves_free(struct sentry *s)
{
	struct grave *g;

	while ((g = s->graves)) {
		s->graves = g->next;
		free(g);	/* it is the first member of what it buries */
	}
}

static void stop_end(struct sentry *s)
{
	struct chunk *c;

	while (s->conns)
		conn_drop(s->conns, true, "stopping");
	resolve_free(s);
	graves_free(s);
	control_done(s);
	reload_done(s);
	loop_close(&s->loop, &s->signal);
	for (uint32_t i = 0; i < s->conf.n_listen; i++)
		loop_close(&s->loop, &s->listeners[i]);
	loop_done(&s->loop);
	while ((c = s->chunks)) {
		s->chunks = c->next;
		free(c);
	}
	tls_done(s);
	json_decref(s->refusals);
	json_decref(s->blocked);
	if (s->out && s->out != stdout)
		fclose(s->out);
	conf_free(&s->conf);
}

/* ---- the loop ------------------------------------------------------------ */

static void on_signal(struct sentry *s)
{
	struct signalfd_siginfo si;

	while (read(s->signal.fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			reload_all(s, false);
		else if (!s->stopping)
			stop_begin(s);
	}
}

static void dispatch(struct sentry *s, struct src *src, uint32_t events)
{
	switch (src->kind) {
	case SRC_LISTEN:
		conn_accept(s, src);
		break;
	case SRC_CONN:
		conn_event(src->owner, events);
		break;
	case SRC_TCP:
		tcp_event(src->owner, events);
		break;
	case SRC_ASSOC:
		assoc_event(src->owner, events);
		break;
	case SRC_DNS:
		resolve_event(s, src, events);
		break;
	case SRC_CTL_LISTEN:
		control_accept(s);
		break;
	case SRC_CTL:
		control_event(src, events);
		break;
	case SRC_SIGNAL:
		on_signal(s);
		break;
	}
}

static void due(struct sentry *s, struct timer *t)
{
	switch (t->kind) {
	case TIMER_CONN:
		conn_timer(t->owner);
		break;
	case TIMER_MUX:
		/* serving asks the mux what is due */
		conn_touch(((struct session *)t->owner)->conn);
		break;
	case TIMER_STREAM:
		stream_timer(t->owner);
		break;
	case TIMER_DNS:
		resolve_timer(s);
		break;
	case TIMER_RELOAD:
		reload_timer(s);
		break;
	}
}

static void serve_dirty(struct sentry *s)
{
	struct conn *c = s->dirty, *next;

	/* who is touched meanwhile has its turn next time */
	s->dirty = NULL;
	for (; c; c = next) {
		next = c->next_dirty;
		c->dirty = false;
		conn_serve(c);
		if (c->read_again && c->state == CONN_UP && !c->no_read)
			conn_touch(c);
	}
}

static int run(struct sentry *s)
{
	while (!s->stopping || s->n_conns) {
		struct timer *t;
		struct src *src;
		uint32_t events;
		int err = loop_wait(&s->loop, s->now, s->dirty ? 0 : timer_first(&s->loop));

		if (err)
			return err;
		s->now = loop_now();
		while ((src = loop_next(&s->loop, &events)))
			dispatch(s, src, events);
		while ((t = timer_due(&s->loop, s->now)))
			due(s, t);
		serve_dirty(s);
		graves_free(s);
		fflush(s->out);
	}
	return 0;
}

static void usage(FILE *f)
{
	fputs("usage: sentry [serve] CONFIG.ini\n"
	      "       sentry ctl SOCKET VERB ...\n"
	      "       sentry --help | --version\n"
	      "\n"
	      "The other end of the tunnel, without root: serves devices as CONFIG.ini says,\n"
	      "writes one JSON line per event, stops on SIGTERM.  SIGHUP reads the lists again.\n"
	      "\n"
	      "ctl verbs:\n"
	      "  sessions              who is here\n"
	      "  counters              what was counted\n"
	      "  block DEVICE          no more service, sessions end at once; unblock DEVICE\n"
	      "  drop [DEVICE|SESSION] cut connections by RST\n"
	      "  reload [force]        read device list and CRLs again (force: an older list, too)\n"
	      "  status                device list, revoked and own certificates; what is wrong\n"
	      "  certificate [1|2|auto]  use Certificate, Certificate2, or as the dates say\n"
	      "  faults                what is set, what fired\n"
	      "  fault NAME [ARGS] [device ID] [times N] [after MS] [always]\n"
	      "    refuse STATUS CODE [TIMES] [retry-after S]   answer the POST so\n"
	      "    no-post-answer, no-config                    stay silent\n"
	      "    refuse-open REASON, delay-open MS            of streams\n"
	      "    no-probe-reply                               count PROBEs, answer none\n"
	      "    freeze, deaf, mute                           read and write, read, write nothing\n"
	      "    rst, fin, goaway REASON                      end sessions\n"
	      "  fault off [NAME]      no more of it; frozen sessions go on\n"
	      "\n"
	      "In CONFIG.ini: [fault] with NAME = ARGS (or on), and [sentry] with\n", f);
	conf_help(f);
	fputs("Lists are separated by ; and quoted, or numbered: Services.1, Services.2.\n"
	      "\n"
	      "Example:\n"
	      "  sentry serve sentry.ini &\n"
	      "  sentry ctl /tmp/sentry.sock fault refuse 403 device_blocked 2\n", f);
}

static int serve_main(const char *path)
{
	struct sentry *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return 1;
	s->loop.epfd = s->signal.fd = s->ctl_listener.fd = -1;
	for (int i = 0; i < SENTRY_LISTEN_MAX; i++)
		s->listeners[i].fd = -1;
	err = conf_load(&s->conf, path);
	if (err) {
		free(s);
		return 6;
	}
	err = start(s);
	if (!err) {
		say_ready(s);
		event_emit(s, "start", NULL);
		err = run(s);
		if (err)
			fprintf(stderr, "sentry: %s\n", strerror(-err));
		event_emit(s, "stop", control_counters(s));
		fflush(s->out);
	}
	stop_end(s);
	free(s);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		printf("sentry %s\n", APPTUNNEL_VERSION);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "ctl") == 0)
		return ctl_main(argc - 2, argv + 2);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve_main(argv[2]);
	if (argc == 2 && argv[1][0] != '-')
		return serve_main(argv[1]);
	usage(stderr);
	return 2;
}
