/* SPDX-License-Identifier: MIT */
/*
 * A profile that needs a new session: two Sentries in this process, the engine
 * between them, the test as its daemon.  The old session must live until the
 * new one is proven, and for ever when that does not come.
 */
#define _GNU_SOURCE	/* accept4, memfd_create */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "client/engine.h"
#include "client/log.h"
#include "tests/unit/client/tls_peer.h"

#define TURNS	600		/* of at most 2 ms */

struct far {			/* a Sentry */
	struct pair identity;
	int listener;
	uint16_t port;
	struct peer peer;
	struct mux *mux;
	bool deaf;		/* accepts no connection */
	bool mute;		/* sends no CONFIG */
	bool bye, eof;
	unsigned int dials;
	char device[64];	/* name in the certificate that was shown */
};

static struct pair device, device2;
static struct far one, two;
static struct engine e;
static struct profile profile;		/* what the engine runs with; then the next one */
static int daemon_end, tun[2];
static uint64_t ahead;			/* us that the clock was put forward */
static char accepted[512], refused[512];
static int offers, apply_error, reloaded;
static bool slow;			/* the daemon does not answer offers by itself */
static char why[512];

/* ---- the far sides ------------------------------------------------------------------ */

static size_t no_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	(void)ctx, (void)user, (void)dst, (void)max;
	return 0;
}

static void no_closed(void *ctx, void *user)
{
	(void)ctx, (void)user;
}

static const struct mux_ops far_ops = { no_pull, no_closed };

static void far_init(struct far *f, const char *name, X509 *devices)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	memset(f, 0, sizeof(*f));
	f->identity = pair_make(name, NULL, NULL, -1, 30, 3);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(f->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(f->listener, 8), 0);
	ck_assert_int_eq(getsockname(f->listener, (struct sockaddr *)&sa, &len), 0);
	f->port = ntohs(sa.sin_port);
	peer_init(&f->peer, &f->identity, devices);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(f->peer.ctx), device2.cert);
	f->peer.answer = accepted;
	f->peer.answer_len = strlen(accepted);
}

static void far_hang_up(struct far *f)
{
	mux_free(f->mux);
	f->mux = NULL;
	f->bye = f->eof = false;
	peer_hang_up(&f->peer);
}

static void far_free(struct far *f)
{
	far_hang_up(f);
	peer_free(&f->peer);
	close(f->listener);
	pair_free(&f->identity);
}

static void far_start(struct far *f)
{
	static const char json[] = "{\"interface4\":\"10.9.0.2\",\"dns\":[\"10.0.0.53\"]}";
	struct mux_config config = { .role = MUX_SERVER, .max_streams = 65536 };
	X509 *shown = SSL_get1_peer_certificate(f->peer.ssl);

	X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, f->device,
				  sizeof(f->device));
	X509_free(shown);
	f->mux = mux_new(&config, &far_ops, f);
	ck_assert_ptr_nonnull(f->mux);
	if (!f->mute)
		ck_assert_int_eq(mux_send_config(f->mux, json, sizeof(json) - 1), 0);
}

static void far_frames(struct far *f, uint64_t now)
{
	static uint8_t buf[1u << 18];
	struct mux_event ev;
	const uint8_t *p;
	size_t used, at = 0, len;
	int n, got;

	while ((p = mux_output(f->mux, 16384, &len, now))) {
		ck_assert_int_eq(SSL_write(f->peer.ssl, p, (int)len), (int)len);
		mux_written(f->mux, len);
	}
	ERR_clear_error();
	n = SSL_read(f->peer.ssl, buf, sizeof(buf));
	if (n <= 0) {
		f->eof |= SSL_get_error(f->peer.ssl, n) != SSL_ERROR_WANT_READ;
		return;
	}
	while ((got = mux_recv(f->mux, buf + at, (size_t)n - at, &used, &ev, now)) > 0) {
		f->bye |= ev.type == MUX_EV_GOAWAY && ev.u.goaway.reason == MUX_BYE;
		at += used;
	}
	ck_assert_int_eq(got, 0);
	ck_assert_uint_eq(at + used, (size_t)n);	/* the peer writes whole frames */
	mux_recv_done(f->mux, now);
}

static void far_turn(struct far *f, uint64_t now)
{
	int fd;

	if (f->peer.fd < 0 && !f->deaf &&
	    (fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		f->dials++;
		peer_accepted(&f->peer, fd);
	}
	peer_step(&f->peer);
	if (f->peer.answered && !f->mux && f->peer.answer == accepted)
		far_start(f);
	if (f->mux && !f->eof)
		far_frames(f, now);
	if (f->peer.fd >= 0 && (f->peer.failed || (f->peer.answered && !f->mux)))
		far_hang_up(f);		/* the next attempt is heard */
}

/* ---- the daemon ---------------------------------------------------------------------- */

static void give_sockets(struct helper_msg *want)
{
	struct helper_msg m = { .type = HELPER_SOCKETS, .u.sockets = want->u.sockets };
	int fds[HELPER_MAX_FDS], i;

	for (i = 0; i < want->u.sockets.count; i++)
		fds[i] = socket(want->u.sockets.family == 4 ? AF_INET : AF_INET6,
				(want->u.sockets.kind ? SOCK_DGRAM : SOCK_STREAM) |
				SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(helper_send(daemon_end, &m, fds, (unsigned int)i), 0);
	while (i)
		close(fds[--i]);
}

static void answer_offer(void)
{
	struct helper_msg m = { .type = HELPER_APPLIED, .u.applied.error = apply_error };
	static bool first;

	first = !e.tunnel && !apply_error;
	m.u.applied.with_tun = first;
	ck_assert_int_eq(helper_send(daemon_end, &m, &tun[0], first), 0);
}


static void daemon_turn(void)
{
	int fds[HELPER_MAX_FDS];
	struct helper_msg m;

	while (helper_recv(daemon_end, &m, fds) > 0) {
		if (m.type == HELPER_WANT_SOCKETS) {
			give_sockets(&m);
		} else if (m.type == HELPER_OFFER) {
			offers++;
			if (!slow)
				answer_offer();
		} else if (m.type == HELPER_RELOADED) {
			ck_assert_int_eq(reloaded, 1);	/* once, and asked for */
			reloaded = m.u.reloaded.error;
			snprintf(why, sizeof(why), "%s", m.u.reloaded.text);
		}
	}
}

static void send_file(enum helper_file which, int index, int fd)
{
	struct helper_msg m = { .type = HELPER_FILE, .u.file.file = (uint8_t)which,
				.u.file.index = (uint8_t)index };

	ck_assert_int_eq(helper_send(daemon_end, &m, &fd, 1), 0);
	close(fd);
}

static void send_profile(void)
{
	int fd = memfd_create("profile", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, &profile, sizeof(profile)), (ssize_t)sizeof(profile));
	send_file(HELPER_FILE_PROFILE, 0, fd);
}

static uint32_t limit_ms;

static void send_reload(uint32_t flags)
{
	struct helper_msg m = { .type = HELPER_RELOAD, .u.reload.flags = flags,
				.u.reload.limit_ms = limit_ms };

	reloaded = 1;
	ck_assert_int_eq(helper_send(daemon_end, &m, NULL, 0), 0);
}

static void send_cancel(void)
{
	struct helper_msg m = { .type = HELPER_RELOAD, .u.reload.flags = RELOAD_CANCEL };

	ck_assert_int_eq(helper_send(daemon_end, &m, NULL, 0), 0);
}

/* ---- the engine's loop ------------------------------------------------------------------ */

static void engine_event(struct loop_src *src, uint32_t events, uint64_t now)
{
	if (src->kind == EV_HELPER)
		daemon_link_ready(&e, now);
	else if (src->kind == EV_DIAL && !standby_event(&e, src, events, now))
		link_dial_event(&e, src, events, now);
	else if (src->kind == EV_SENTRY && !standby_event(&e, src, events, now))
		link_read(&e, now);
}

static void turn(void)
{
	uint64_t now = loop_now() + ahead;
	struct loop_src *src;
	uint32_t events;

	far_turn(&one, now);
	far_turn(&two, now);
	daemon_turn();
	link_timer(&e, now);
	standby_timer(&e, now);
	if (e.tunnel)
		tunnel_timer(e.tunnel, now);
	link_write(&e, now);
	loop_wait(e.loop, 0, 2 * USEC_PER_MSEC);
	while ((src = loop_next(e.loop, &events)))
		engine_event(src, events, now);
	if (e.conn && conn_has_pending(e.conn))
		link_read(&e, now);
	link_write(&e, now);
	standby_turn(&e, now);
	ck_assert(!e.stopping);
}

static void turns(int n)
{
	while (n--)
		turn();
}

static void until_answered(void)
{
	for (int i = 0; i < TURNS && reloaded == 1; i++)
		turn();
	ck_assert_int_ne(reloaded, 1);
	turns(5);		/* the byes arrive */
}

static bool up_at(const struct far *f)
{
	return e.session.state == SESSION_UP && e.attached && f->mux && !f->eof &&
	       e.profile->hosts[e.retry.host].port == f->port;
}

static void use(const struct far *f)
{
	profile.hosts[0].port = f->port;
	X509_digest(f->identity.cert, EVP_sha256(), profile.pins[0].sha256, NULL);
}

static void profile_make(void)
{
	profile_defaults(&profile);
	snprintf(profile.stem, sizeof(profile.stem), "corp");
	snprintf(profile.device_id, sizeof(profile.device_id), "device-1");
	snprintf(profile.user_id, sizeof(profile.user_id), "user");
	snprintf(profile.certificate, sizeof(profile.certificate), "/c.pem");
	snprintf(profile.private_key, sizeof(profile.private_key), "/k.pem");
	snprintf(profile.hosts[0].name, sizeof(profile.hosts[0].name), "127.0.0.1");
	addr_parse("127.0.0.1", &profile.hosts[0].addr);
	profile.n_hosts = profile.n_pins = 1;
	profile.pins[0].kind = PIN_CERT_SHA256;
}

static void engine_make(void)
{
	struct helper_msg m = { .type = HELPER_START };
	enum cause cause;
	int pair[2];

	memset(&e, 0, sizeof(e));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(dup2(pair[1], HELPER_FD), HELPER_FD);
	close(pair[1]);
	daemon_end = pair[0];
	send_profile();
	send_file(HELPER_FILE_CERTIFICATE, 0, cert_file(device.cert, NULL));
	send_file(HELPER_FILE_KEY, 0, key_file(device.key, NULL));
	ck_assert_int_eq(helper_send(daemon_end, &m, NULL, 0), 0);
	e.tun_fd = -1;
	ck_assert_int_eq(daemon_link_receive_files(&e), 0);
	session_init(&e.session, loop_now());
	retry_init(&e.retry, 1, loop_now());
	sock_stock_init(&e.socks, HELPER_FD);
	e.loop = loop_new();
	e.rx_pool = bufpool_new(ENGINE_RX_BUF, 16);
	e.helper = (struct loop_src){ .kind = EV_HELPER, .fd = HELPER_FD };
	ck_assert_int_eq(loop_add(e.loop, &e.helper, EPOLLIN), 0);
	e.resolver = resolver_new(e.loop, &e.socks, NULL, NULL);
	e.tls = tls_ctx_new(e.profile, &e.files, &cause, why, sizeof(why));
	ck_assert_msg(e.tls != NULL, "%s", why);
}

static void setup(void)
{
	uint8_t id[ATP_SESSION_ID] = { 1 };

	ahead = 0;
	offers = apply_error = 0;
	slow = false;
	reloaded = 0;
	ck_assert_int_gt(atp_accept_write(accepted, sizeof(accepted), id, false, 0), 0);
	ck_assert_int_gt(atp_refuse_write(refused, sizeof(refused), 403, "device_blocked", "no", 0),
			 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
				    tun), 0);
	far_init(&one, "one", device.cert);
	far_init(&two, "two", device.cert);
	profile_make();
	use(&one);
	engine_make();
	for (int i = 0; i < TURNS && !up_at(&one); i++)
		turn();
	ck_assert(up_at(&one));
	ck_assert_int_eq(offers, 1);
}

static void teardown(void)
{
	standby_free(&e);
	link_stop(&e, loop_now() + ahead);
	tunnel_free(e.tunnel);
	close(e.tun_fd);
	ck_assert_uint_eq(bufpool_in_use(e.rx_pool), 0);
	bufpool_free(e.rx_pool);
	resolver_free(e.resolver);
	tls_ctx_free(e.tls);
	e.socks.helper = -1;
	sock_stock_free(&e.socks);
	loop_free(e.loop);
	reload_free(&e);
	far_free(&one);
	far_free(&two);
	close(daemon_end);
	close(tun[0]);
	close(tun[1]);
}

/* ---- it comes to be ------------------------------------------------------------------------ */

START_TEST(the_old_session_ends_when_the_new_one_is_proven)
{
	two.deaf = true;
	use(&two);
	send_profile();
	send_reload(RELOAD_SESSION);
	turns(30);
	ck_assert(up_at(&one));			/* nobody answered there yet */
	two.deaf = false;
	two.mute = true;
	turns(30);
	ck_assert_uint_eq(two.dials, 1);
	ck_assert(up_at(&one) && !one.bye);	/* no CONFIG yet */
	ck_assert_int_eq(offers, 1);
	ck_assert_int_eq(mux_send_config(two.mux, "{\"interface4\":\"10.9.0.2\"}", 25), 0);
	until_answered();
	ck_assert_msg(reloaded == 0, "%s", why);
	ck_assert_int_eq(offers, 2);
	ck_assert(up_at(&two));
	ck_assert(one.bye && one.eof);
	ck_assert_ptr_null(e.standby);
	ck_assert_uint_eq(e.session.reconnects, 0);
	turns(20);
	ck_assert(up_at(&two));
	ck_assert_uint_eq(one.dials, 1);
}
END_TEST

START_TEST(an_answer_is_for_the_offer_that_it_answers)
{
	slow = true;
	far_hang_up(&one);
	for (int i = 0; i < TURNS && offers < 2; i++)
		turn();
	ck_assert_int_eq(offers, 2);
	far_hang_up(&one);
	turns(5);
	ahead += 2 * USEC_PER_SEC;
	for (int i = 0; i < TURNS && !e.have_config; i++)
		turn();
	ck_assert(e.have_config && e.offer_due);
	turns(5);
	ck_assert_int_eq(offers, 2);		/* the daemon has not answered the last one */
	apply_error = -EADDRINUSE;		/* which was for a connection that is gone */
	answer_offer();
	for (int i = 0; i < TURNS && offers < 3; i++)
		turn();
	ck_assert_int_eq(offers, 3);
	ck_assert_ptr_nonnull(e.mux);
	ck_assert(!up_at(&one));
	apply_error = 0;
	answer_offer();
	for (int i = 0; i < TURNS && !up_at(&one); i++)
		turn();
	ck_assert(up_at(&one));
	ck_assert_uint_eq(one.dials, 3);
}
END_TEST

START_TEST(fields_decide_even_without_the_flag)
{
	use(&two);
	send_profile();
	send_reload(0);
	until_answered();
	ck_assert_int_eq(reloaded, 0);
	ck_assert(up_at(&two));
}
END_TEST

START_TEST(the_new_session_has_the_new_identity)
{
	ck_assert_str_eq(one.device, "device");
	use(&two);
	send_profile();
	send_file(HELPER_FILE_CERTIFICATE, 0, cert_file(device2.cert, NULL));
	send_file(HELPER_FILE_KEY, 0, key_file(device2.key, NULL));
	send_reload(RELOAD_SESSION);
	until_answered();
	ck_assert_msg(reloaded == 0, "%s", why);
	ck_assert_str_eq(two.device, "device2");
	ck_assert(up_at(&two));
}
END_TEST

START_TEST(the_next_host_of_the_new_profile_will_do)
{
	/* nobody listens at the first */
	use(&two);
	profile.hosts[1] = profile.hosts[0];
	profile.hosts[0].port = 1;
	profile.n_hosts = 2;
	send_profile();
	send_reload(RELOAD_SESSION);
	until_answered();
	ck_assert_int_eq(reloaded, 0);
	ck_assert_uint_eq(e.retry.host, 1);
	ck_assert(up_at(&two));
}
END_TEST

START_TEST(it_replaces_a_session_that_is_lost_meanwhile)
{
	use(&two);
	two.mute = true;
	send_profile();
	send_reload(RELOAD_SESSION);
	turns(30);
	one.deaf = true;
	far_hang_up(&one);
	turns(10);
	ck_assert_int_eq(e.session.state, SESSION_RECONNECTING);
	ck_assert_int_eq(mux_send_config(two.mux, "{\"interface4\":\"10.9.0.2\"}", 25), 0);
	until_answered();
	ck_assert_int_eq(reloaded, 0);
	ck_assert(up_at(&two));
}
END_TEST

/* ---- it does not ------------------------------------------------------------------------------ */

static void still_one(int error, const char *text)
{
	ck_assert_int_eq(reloaded, error);
	ck_assert_msg(strstr(why, text) != NULL, "%s", why);
	ck_assert(up_at(&one) && !one.bye);
	ck_assert_uint_eq(one.dials, 1);
	ck_assert_ptr_null(e.standby);
	ck_assert_ptr_null(e.new_profile);
	turns(20);
	ck_assert(up_at(&one));
}

START_TEST(a_wrong_pin_sends_nothing_and_changes_nothing)
{
	use(&two);
	profile.pins[0].sha256[3] ^= 1;
	send_profile();
	send_reload(RELOAD_SESSION);
	until_answered();
	still_one(-EPERM, "pin");
	ck_assert_uint_eq(two.peer.got, 0);
}
END_TEST

START_TEST(a_refusal_changes_nothing)
{
	two.peer.answer = refused;
	two.peer.answer_len = strlen(refused);
	use(&two);
	send_profile();
	send_reload(RELOAD_SESSION);
	until_answered();
	still_one(-EACCES, "device_blocked");
	ck_assert_int_eq(offers, 1);
}
END_TEST

START_TEST(thirty_seconds_without_a_result_change_nothing)
{
	two.mute = true;
	use(&two);
	send_profile();
	send_reload(RELOAD_SESSION);
	turns(30);
	ck_assert_uint_eq(two.dials, 1);
	ahead = 28 * USEC_PER_SEC;
	turns(5);
	ck_assert_int_eq(reloaded, 1);
	ahead = 30 * USEC_PER_SEC;
	until_answered();
	still_one(-ETIMEDOUT, "30 s");
}
END_TEST

START_TEST(a_limit_of_its_own)
{
	two.mute = true;
	use(&two);
	send_profile();
	limit_ms = 4000;
	send_reload(RELOAD_SESSION);
	turns(30);
	ahead = 2 * USEC_PER_SEC;
	turns(5);
	ck_assert_int_eq(reloaded, 1);
	ahead = 4 * USEC_PER_SEC;
	until_answered();
	still_one(-ETIMEDOUT, " 4 s");
	limit_ms = 0;
}
END_TEST

START_TEST(called_off)
{
	send_cancel();			/* nothing is under way: no answer */
	turns(5);
	two.mute = true;
	use(&two);
	send_profile();
	send_reload(RELOAD_SESSION);
	turns(30);
	ck_assert_uint_eq(two.dials, 1);
	ck_assert_int_eq(reloaded, 1);
	send_cancel();
	until_answered();
	still_one(-ECANCELED, "called off");
	ck_assert_int_eq(offers, 1);
}
END_TEST

START_TEST(an_offer_that_cannot_be_applied_changes_nothing)
{
	apply_error = -EADDRINUSE;
	use(&two);
	send_profile();
	send_reload(RELOAD_SESSION);
	for (int i = 0; i < TURNS && offers < 2; i++)
		turn();
	apply_error = 0;
	until_answered();
	still_one(-EADDRINUSE, "applied");
	ck_assert_int_eq(offers, 3);		/* ours is in effect again */
}
END_TEST

START_TEST(an_unusable_identity_changes_nothing)
{
	send_profile();
	send_file(HELPER_FILE_KEY, 0, key_file(device2.key, NULL));	/* of another certificate */
	send_reload(RELOAD_SESSION);
	until_answered();
	still_one(-EINVAL, "");
	snprintf(profile.private_key, sizeof(profile.private_key), "/elsewhere.pem");
	send_profile();				/* and the old file is not the one that it names */
	send_reload(RELOAD_SESSION);
	until_answered();
	still_one(-EINVAL, "");
	ck_assert_uint_eq(two.dials, 0);
}
END_TEST

START_TEST(one_change_at_a_time)
{
	two.mute = true;
	use(&two);
	send_profile();
	send_reload(RELOAD_SESSION);
	turns(20);
	send_profile();
	send_reload(0);
	until_answered();
	ck_assert_int_eq(reloaded, -EBUSY);
	ck_assert(up_at(&one));
	reloaded = 1;
	ck_assert_int_eq(mux_send_config(two.mux, "{\"interface4\":\"10.9.0.2\"}", 25), 0);
	until_answered();
	ck_assert_int_eq(reloaded, 0);
	ck_assert(up_at(&two));
}
END_TEST

/* Where no file can be opened any more. */
START_TEST(it_works_behind_the_lock)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		struct helper_msg m = { .type = HELPER_RELOAD, .u.reload.flags = RELOAD_SESSION };

		use(&two);
		send_profile();
		send_file(HELPER_FILE_CERTIFICATE, 0, cert_file(device2.cert, NULL));
		send_file(HELPER_FILE_KEY, 0, key_file(device2.key, NULL));
		helper_send(daemon_end, &m, NULL, 0);
		if (lockdown_apply() < 0)
			_exit(2);
		daemon_link_ready(&e, loop_now());
		standby_timer(&e, loop_now());
		_exit(e.standby ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("standby");
	TCase *tc = tcase_create("switch");
	SRunner *sr;
	int failed;

	if (dup2(STDERR_FILENO, HELPER_FD) < 0)		/* so that nobody else takes it */
		return EXIT_FAILURE;
	device = pair_make("device", NULL, NULL, -1, 30, 3);
	device2 = pair_make("device2", NULL, NULL, -1, 30, 3);
	log_level = LOG_LVL_ERROR;
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_old_session_ends_when_the_new_one_is_proven);
	tcase_add_test(tc, an_answer_is_for_the_offer_that_it_answers);
	tcase_add_test(tc, fields_decide_even_without_the_flag);
	tcase_add_test(tc, the_new_session_has_the_new_identity);
	tcase_add_test(tc, the_next_host_of_the_new_profile_will_do);
	tcase_add_test(tc, it_replaces_a_session_that_is_lost_meanwhile);
	tc = tcase_create("stay");
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_wrong_pin_sends_nothing_and_changes_nothing);
	tcase_add_test(tc, a_refusal_changes_nothing);
	tcase_add_test(tc, thirty_seconds_without_a_result_change_nothing);
	tcase_add_test(tc, a_limit_of_its_own);
	tcase_add_test(tc, called_off);
	tcase_add_test(tc, an_offer_that_cannot_be_applied_changes_nothing);
	tcase_add_test(tc, an_unusable_identity_changes_nothing);
	tcase_add_test(tc, one_change_at_a_time);
	tcase_add_test(tc, it_works_behind_the_lock);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	pair_free(&device);
	pair_free(&device2);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
