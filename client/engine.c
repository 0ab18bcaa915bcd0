/* SPDX-License-Identifier: MIT */
/*
 * apptunnel-engine: the unprivileged process that carries the apps' traffic.
 *
 * A packet's way, up:
 *	the TUN is readable      tunnel_tun_ready()  tunnel.c
 *	parsed, found its flow   ns_input()          netstack/demux.c
 *	a new flow: the verdict  policy_decide()     policy.c
 *	its bytes become frames  mux_output()        atp/mux_send.c pulls from netstack/tcp.c
 *	records leave            link_write()        link_io.c, tls_io.c
 * and down:
 *	records arrive           link_read()         link_io.c
 *	frames become events     mux_recv()          atp/mux_recv.c
 *	bytes go to the app      tunnel_mux_event()  flow.c, netstack/tcp.c
 *	one write to the TUN     ns_ops.output       tunnel.c
 *
 * One thread, one loop, one switch (engine_turn()); `now` is read once a turn.
 */
#include "client/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <jansson.h>

#include "client/log.h"

/* ---- phases ------------------------------------------------------------------ */

static void engine_prepare(struct engine *e)
{
	struct rlimit no_core = { 0, 0 };

	memset(e, 0, sizeof(*e));
	e->tun_fd = -1;
#ifndef __SANITIZE_ADDRESS__		/* whose leak check traces its own process */
	prctl(PR_SET_DUMPABLE, 0);	/* it holds the identity's private key */
#endif
	setrlimit(RLIMIT_CORE, &no_core);
}

static int engine_signals(struct engine *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGXFSZ);	/* a debug log at its limit: write(2) says so */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	e->signals = (struct loop_src){
		.kind = EV_SIGNAL, .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
	};
	return e->signals.fd < 0 ? -errno : 0;
}

/* Everything that opens a file or allocates a descriptor happens here. */
static int engine_load(struct engine *e, uint64_t now)
{
	enum cause cause = CAUSE_IDENTITY;
	char why[256] = "";
	int err;

	log_set_level((enum profile_log_level)e->profile->log_level);
	json_object_seed(0);	/* jansson reads /dev/urandom for it: now, not after lockdown */
	session_init(&e->session, now);
	e->since_wall = time(NULL);
	retry_init(&e->retry, e->profile->n_hosts, now);
	sock_stock_init(&e->socks, HELPER_FD);
	e->loop = loop_new();
	e->rx_pool = bufpool_new(ENGINE_RX_BUF, ENGINE_RX_BUFS);
	if (!e->loop || !e->rx_pool)
		return -ENOMEM;
	err = engine_signals(e);
	if (!err)
		err = loop_add(e->loop, &e->signals, EPOLLIN);
	e->helper = (struct loop_src){ .kind = EV_HELPER, .fd = HELPER_FD };
	if (!err)
		err = loop_add(e->loop, &e->helper, EPOLLIN);
	if (err)
		return err;
	e->resolver = resolver_new(e->loop, &e->socks, e->hosts, e->resolv);
	if (!e->resolver)
		return -ENOMEM;
	e->tls = tls_ctx_new(e->profile, &e->files, &cause, why, sizeof(why));
	if (!e->tls) {
		/* not fatal: the daemon and `status` are told, and decide */
		LOG(LOG_LVL_ERROR, "identity.unusable", "%s", why);
		session_event(&e->session, SE_BROKEN, cause, why, now);
		daemon_link_state(e);
	}
	return 0;
}

/* ---- the loop ------------------------------------------------------------------ */

static void signal_ready(struct engine *e)
{
	struct signalfd_siginfo si;

	while (read(e->signals.fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
			e->stopping = true;
	}
}

/* One turn: what is ready, then what is due, then what can be written. */
static void engine_turn(struct engine *e, uint64_t until)
{
	uint64_t now = loop_now();
	struct loop_src *src;
	uint32_t events;

	if (loop_wait(e->loop, now, until) < 0)
		return;
	now = loop_now();
	while ((src = loop_next(e->loop, &events))) {
		switch (src->kind) {
		case EV_HELPER:
			daemon_link_ready(e, now);
			break;
		case EV_TUN:
			tunnel_tun_ready(e->tunnel, now);
			break;
		case EV_SENTRY:
			if (standby_event(e, src, events, now))
				break;
			if (events & EPOLLOUT)
				e->out_blocked = false;
			link_read(e, now);
			break;
		case EV_DIAL:
			if (standby_event(e, src, events, now))
				break;
			link_dial_event(e, src, events, now);
			break;
		case EV_RESOLVE:
			resolver_event(e->resolver, src, events, now);
			link_dial_event(e, NULL, 0, now);
			standby_event(e, NULL, 0, now);
			break;
		case EV_DIRECT:
			tunnel_direct_ready(e->tunnel, src, events, now);
			break;
		case EV_CONTROL:
			control_event(e, src, events, now);
			break;
		case EV_SIGNAL:
			signal_ready(e);
			break;
		case EV_KINDS:
			break;
		}
	}
	if (e->conn && (e->rx_starved || conn_has_pending(e->conn)))
		link_read(e, now);
	if (e->tunnel)
		tunnel_flush(e->tunnel, now);
	link_write(e, now);
	standby_turn(e, now);
}

static uint64_t engine_timers(struct engine *e)
{
	uint64_t now = loop_now(), until, t;

	until = link_timer(e, now);
	t = usage_timer(e, now);
	until = t < until ? t : until;
	t = standby_timer(e, now);
	until = t < until ? t : until;
	t = resolver_timer(e->resolver, now);
	until = t < until ? t : until;
	t = control_timer(e, now);
	until = t < until ? t : until;
	if (e->tunnel) {
		tunnel_timer(e->tunnel, now);
		tunnel_flush(e->tunnel, now);
	}
	link_write(e, now);	/* timers may have made frames (probes, answers) */
	if (e->tunnel) {	/* asked last: flush and write may have made something due */
		t = tunnel_timer(e->tunnel, now);
		until = t < until ? t : until;
	}
	if (e->conn && conn_has_pending(e->conn))
		until = now;
	if (e->rx_starved && until > now + USEC_PER_MSEC)
		until = now + USEC_PER_MSEC;
	t = daemon_link_again(e, now);
	until = t < until ? t : until;
	return until;
}

static void engine_run(struct engine *e)
{
	while (!e->stopping)
		engine_turn(e, engine_timers(e));
	link_stop(e, loop_now());
	usage_tell(e, loop_now());
}

static void engine_free(struct engine *e)
{
	control_free_all(e);
	standby_free(e);
	tunnel_free(e->tunnel);
	if (e->tun_fd >= 0)
		close(e->tun_fd);
	buf_unref(e->rx);
	if (e->rx_pool)
		bufpool_free(e->rx_pool);
	resolver_free(e->resolver);
	tls_ctx_free(e->tls);
	sock_stock_free(&e->socks);
	loop_free(e->loop);
	if (e->signals.fd > 0)
		close(e->signals.fd);
	reload_free(e);
	free(e->hosts);
	free(e->notes);
	free(e->resolv);
}

int main(int argc, char **argv)
{
	static struct engine e;
	int err;

	(void)argv;
	if (argc != 1) {
		fprintf(stderr, "apptunnel-engine is started by apptunneld, not by hand\n");
		return 2;
	}
	engine_prepare(&e);
	err = daemon_link_receive_files(&e);
	if (!err)
		err = engine_load(&e, loop_now());
	if (!err)
		err = lockdown_apply();
	if (err) {
		fprintf(stderr, "apptunnel-engine: cannot start: %s\n", strerror(-err));
		return 1;
	}
	LOG(LOG_LVL_INFO, "engine.start", "profile %s, version " APPTUNNEL_VERSION,
	    e.profile->stem);
	reload_log(e.profile);
	if (e.tls)
		link_dial(&e, loop_now());
	engine_run(&e);
	engine_free(&e);
	return 0;
}
