/* SPDX-License-Identifier: MIT */
/*
 * One connection against a TLS server in this process: identity, pins, dates,
 * names, versions, alerts, tickets, refusals, and the bytes that flow after.
 * The oracle for trust is what the server got: with a wrong pin not one byte
 * of application data, with the right one more than none.
 */
#define _GNU_SOURCE	/* accept4, memfd_create */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "client/conn.h"
#include "client/limits.h"
#include "client/tls.h"
#include "tests/unit/client/tls_peer.h"

#define TURNS	400	/* of at most 5 ms */

static struct pair device, stranger, sentry, other, expired, early, authority, named;

static struct profile profile;
static struct tls_setup files;
static struct loop *loop;
static struct sock_stock stock;
static struct resolver *resolver;
static struct tls_ctx *ctx;
static struct conn *conn;
static struct peer peer;
static int listener = -1;
static char accepted[512];
static enum cause cause;
static char why[256];

/* ---- the machinery ------------------------------------------------------------ */

static void make_pki(void)
{
	device = pair_make("device", NULL, NULL, -1, 30, 3);
	stranger = pair_make("stranger", NULL, NULL, -1, 30, 3);
	sentry = pair_make("sentry\x1b[31m", NULL, NULL, -1, 30, 3);
	other = pair_make("other", NULL, NULL, -1, 30, 3);
	expired = pair_make("expired", NULL, NULL, -30, -1, 3);
	early = pair_make("early", NULL, NULL, 1, 30, 3);
	authority = pair_make("authority", NULL, NULL, -1, 30, 3);
	named = pair_make("named", "DNS:sentry.example,IP:127.0.0.1", &authority, -1, 30, 3);
}

static void pin_cert(uint32_t i, X509 *cert)
{
	profile.pins[i].kind = PIN_CERT_SHA256;
	X509_digest(cert, EVP_sha256(), profile.pins[i].sha256, NULL);
	profile.n_pins = i + 1;
}

static void fill_stock(void)
{
	for (int i = 0; i < 4; i++) {
		stock.fds[HELPER_SOCK_TCP][0][i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		stock.count[HELPER_SOCK_TCP][0] = (uint16_t)(i + 1);
	}
}

static void listen_at(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
	snprintf(profile.hosts[0].name, sizeof(profile.hosts[0].name), "127.0.0.1");
	addr_parse("127.0.0.1", &profile.hosts[0].addr);
	profile.hosts[0].port = ntohs(sa.sin_port);
	profile.n_hosts = 1;
}

static void setup(void)
{
	uint8_t session[ATP_SESSION_ID] = { 1 };
	int len;

	memset(&profile, 0, sizeof(profile));
	memset(&files, 0xff, sizeof(files));
	snprintf(profile.service, sizeof(profile.service), "<IP_ANY>");
	snprintf(profile.device_id, sizeof(profile.device_id), "device-1");
	snprintf(profile.user_id, sizeof(profile.user_id), "user");
	snprintf(profile.platform, sizeof(profile.platform), "linux");
	profile.tls_max = TLS_MAX_1_3;
	profile.probe_idle_s = 60;
	profile.probe_interval_s = 1;
	profile.probe_count = 5;
	files.certificate = cert_file(device.cert, NULL);
	files.key = key_file(device.key, NULL);
	pin_cert(0, sentry.cert);
	loop = loop_new();
	sock_stock_init(&stock, -1);
	fill_stock();
	listen_at();
	resolver = resolver_new(loop, &stock, "127.0.0.1 sentry.example bad.example\n", "");
	peer_init(&peer, &sentry, device.cert);
	len = atp_accept_write(accepted, sizeof(accepted) - 6, session, false, 0);
	ck_assert_int_gt(len, 0);
	memcpy(accepted + len, "frames", 6);
	peer.answer = accepted;
	peer.answer_len = (size_t)len + 6;
}

static void teardown(void)
{
	conn_close(conn, false);
	conn = NULL;
	tls_ctx_free(ctx);
	ctx = NULL;
	peer_free(&peer);
	resolver_free(resolver);
	sock_stock_free(&stock);
	loop_free(loop);
	close(listener);
	close(files.certificate);
	close(files.key);
	for (int i = 0; i < PROFILE_MAX_PINS; i++)
		if (files.pins[i] >= 0)
			close(files.pins[i]);
	if (files.chain >= 0)
		close(files.chain);
	if (files.ca >= 0)
		close(files.ca);
}

static void context(void)
{
	ctx = tls_ctx_new(&profile, &files, &cause, why, sizeof(why));
	ck_assert_msg(ctx != NULL, "%s", why);
}

static void turn(void)
{
	uint64_t now = loop_now(), until = conn_deadline(conn);
	struct loop_src *s;
	uint32_t events;

	if (until > now + 5 * USEC_PER_MSEC)
		until = now + 5 * USEC_PER_MSEC;
	if (peer.fd < 0) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

		if (fd >= 0)
			peer_accepted(&peer, fd);
	}
	peer_step(&peer);
	loop_wait(loop, now, until);
	now = loop_now();
	while ((s = loop_next(loop, &events)))
		if (s->kind == EV_DIAL)
			conn_event(conn, s, events, now);
	if (conn_deadline(conn) <= now)
		conn_timer(conn, now);
}

static bool over(void)
{
	return conn_stage(conn) == CONN_LIVE || conn_stage(conn) == CONN_FAILED;
}

static void dial(void)
{
	struct conn_env env = { loop, &stock, ctx, resolver, &profile };

	conn_close(conn, false);
	peer_hang_up(&peer);
	conn = conn_dial(&env, 0, loop_now());
	ck_assert_ptr_nonnull(conn);
	for (int i = 0; i < TURNS && !over(); i++)
		turn();
	for (int i = 0; i < 3; i++)	/* what is still on its way to the server */
		peer_step(&peer);
}

static void dial_live(void)
{
	dial();
	ck_assert_msg(conn_stage(conn) == CONN_LIVE, "%s: %s",
		      cause_info(conn_cause(conn, NULL))->code, conn_why(conn));
	ck_assert_uint_gt(peer.got, 0);
}

static void dial_fails(enum cause expected)
{
	dial();
	ck_assert_int_eq(conn_stage(conn), CONN_FAILED);
	ck_assert_msg(conn_cause(conn, NULL) == expected, "%s: %s",
		      cause_info(conn_cause(conn, NULL))->code, conn_why(conn));
	ck_assert_uint_gt(strlen(conn_why(conn)), 0);
	for (const char *s = conn_why(conn); *s; s++)
		ck_assert(*s >= ' ' && *s <= '~');
}

/* Trust failed: Sentry's double must not have seen a byte of ours. */
static void dial_distrusts(enum cause expected)
{
	dial_fails(expected);
	ck_assert_uint_eq(peer.got, 0);
}

/* ---- pins ----------------------------------------------------------------------- */

START_TEST(right_pin)
{
	uint8_t hash[32], buf[64];
	struct ipaddr addr;
	uint16_t port;
	bool pinned;

	context();
	dial_live();
	conn_peer(conn, &addr, &port, hash, &pinned);
	ck_assert(pinned);
	ck_assert_uint_eq(port, profile.hosts[0].port);
	ck_assert_mem_eq(hash, profile.pins[0].sha256, 32);
	ck_assert_str_eq(conn_tls_version(conn), "TLSv1.3");
	ck_assert(!conn_resumed(conn));
	conn_local(conn, &addr);
	ck_assert_uint_eq(addr.family, 4);
	ck_assert_ptr_nonnull(strstr(peer.head, "POST /atp/1/session HTTP/1.1\r\n"));
	ck_assert_ptr_nonnull(strstr(peer.head, "\"device-1\""));
	/* what came behind the 101 is not lost */
	ck_assert(conn_has_pending(conn));
	ck_assert_int_eq(conn_read(conn, buf, 4), 4);
	ck_assert_mem_eq(buf, "fram", 4);
	ck_assert_int_eq(conn_read(conn, buf, sizeof(buf)), 2);
	ck_assert_mem_eq(buf, "es", 2);
	ck_assert_int_eq(conn_read(conn, buf, sizeof(buf)), -EAGAIN);
	ck_assert(!conn_has_pending(conn));
	ck_assert_uint_gt(conn_rtt_us(conn), 0);
	conn_keepalive(conn, true);
	conn_keepalive(conn, false);
	conn_lowat(conn, 1);
}
END_TEST

START_TEST(second_pin)
{
	pin_cert(0, other.cert);
	pin_cert(1, sentry.cert);
	context();
	dial_live();
}
END_TEST

START_TEST(wrong_pin)
{
	pin_cert(0, other.cert);
	pin_cert(1, stranger.cert);
	profile.pins[2].kind = PIN_KEY_SHA256;	/* the hash of the certificate is not its key's */
	X509_digest(sentry.cert, EVP_sha256(), profile.pins[2].sha256, NULL);
	profile.n_pins = 3;
	context();
	dial_distrusts(CAUSE_PIN);
	ck_assert_ptr_nonnull(strstr(conn_why(conn), "sha256:"));
	ck_assert_ptr_nonnull(strstr(conn_why(conn), "CN=sentry"));
}
END_TEST

/* the context is made, refuses, and goes */
static void distrusted_once(void)
{
	context();
	dial_distrusts(CAUSE_PIN);
	conn_close(conn, false);
	conn = NULL;
	tls_ctx_free(ctx);
	ctx = NULL;
	fill_stock();
}

START_TEST(one_bit_off)
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(sentry.key, &der);

	for (int i = 0; i < 256; i += 51) {
		pin_cert(0, sentry.cert);
		profile.pins[0].sha256[i / 8] ^= (uint8_t)(1 << i % 8);
		distrusted_once();
		profile.pins[0].kind = PIN_KEY_SHA256;
		EVP_Digest(der, (size_t)len, profile.pins[0].sha256, NULL, EVP_sha256(), NULL);
		profile.pins[0].sha256[i / 8] ^= (uint8_t)(1 << i % 8);
		distrusted_once();
	}
	OPENSSL_free(der);
}
END_TEST

/* The same name, key, dates and number, signed another time: another certificate. */
START_TEST(file_pin_of_a_twin)
{
	X509 *twin = X509_dup(sentry.cert);

	X509_sign(twin, sentry.key, EVP_sha256());
	profile.pins[0].kind = PIN_FILE;
	files.pins[0] = cert_file(twin, NULL);
	X509_free(twin);
	distrusted_once();
}
END_TEST

START_TEST(key_pin)
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(sentry.key, &der);

	profile.pins[0].kind = PIN_KEY_SHA256;
	EVP_Digest(der, (size_t)len, profile.pins[0].sha256, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	context();
	dial_live();
}
END_TEST

START_TEST(file_pin)
{
	profile.pins[0].kind = PIN_FILE;
	files.pins[0] = cert_file(sentry.cert, NULL);
	context();
	dial_live();
	conn_close(conn, false);
	conn = NULL;
	tls_ctx_free(ctx);
	close(files.pins[0]);
	files.pins[0] = cert_file(other.cert, NULL);
	context();
	dial_distrusts(CAUSE_PIN);
}
END_TEST

START_TEST(dates_count_with_a_pin)
{
	const struct pair *bad[] = { &expired, &early };

	for (int i = 0; i < 2; i++) {
		peer_free(&peer);
		peer_init(&peer, bad[i], device.cert);
		pin_cert(0, bad[i]->cert);
		context();
		dial_distrusts(CAUSE_DATES);
		ck_assert_ptr_nonnull(strstr(conn_why(conn), "Z"));
		conn_close(conn, false);
		conn = NULL;
		tls_ctx_free(ctx);
	}
	ctx = NULL;
}
END_TEST

/* ---- without pins: chain and name ------------------------------------------------- */

static void unpinned(const struct pair *shown, X509 *trusted, const char *host)
{
	const char *answer = peer.answer;
	size_t len = peer.answer_len;

	peer_free(&peer);
	peer_init(&peer, shown, device.cert);
	peer.answer = answer;
	peer.answer_len = len;
	profile.pinning_disabled = 1;
	profile.n_pins = 0;
	files.ca = cert_file(other.cert, trusted);
	if (host) {
		snprintf(profile.hosts[0].name, sizeof(profile.hosts[0].name), "%s", host);
		profile.hosts[0].addr.family = 0;
	}
	context();
}

START_TEST(good_name)
{
	uint8_t hash[32];
	struct ipaddr addr;
	uint16_t port;
	bool pinned;

	unpinned(&named, authority.cert, "sentry.example");
	dial_live();
	conn_peer(conn, &addr, &port, hash, &pinned);
	ck_assert(!pinned);
	/* resumed: the name is compared again */
	conn_read(conn, hash, 6);
	conn_read(conn, hash, 6);
	dial_live();
	ck_assert(conn_resumed(conn));
	conn_read(conn, hash, 6);
	conn_read(conn, hash, 6);
	snprintf(ctx->hosts[0].name, sizeof(ctx->hosts[0].name), "bad.example");
	dial_distrusts(CAUSE_NAME);
}
END_TEST

START_TEST(good_address)
{
	unpinned(&named, authority.cert, NULL);
	dial_live();
}
END_TEST

START_TEST(bad_name)
{
	unpinned(&named, authority.cert, "bad.example");
	dial_distrusts(CAUSE_NAME);
}
END_TEST

START_TEST(bad_address)
{
	unpinned(&named, authority.cert, NULL);
	tls_ctx_free(ctx);
	profile.hosts[0].addr.bytes[3] = 2;	/* also ours, but not in the certificate */
	close(listener);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&(struct sockaddr_in){
			 .sin_family = AF_INET, .sin_port = htons(profile.hosts[0].port),
			 .sin_addr.s_addr = htonl(0x7f000002) }, sizeof(struct sockaddr_in)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	context();
	dial_distrusts(CAUSE_NAME);
}
END_TEST

START_TEST(unknown_authority)
{
	unpinned(&named, sentry.cert, "sentry.example");
	dial_distrusts(CAUSE_CHAIN);
}
END_TEST

/* ---- versions ----------------------------------------------------------------------- */

START_TEST(tls_1_2_only)
{
	SSL_CTX_set_max_proto_version(peer.ctx, TLS1_2_VERSION);
	context();
	dial_live();
	ck_assert_str_eq(conn_tls_version(conn), "TLSv1.2");
	dial_live();			/* its ticket serves more than once */
	ck_assert(conn_resumed(conn));
	dial_live();
	ck_assert(conn_resumed(conn));
}
END_TEST

START_TEST(tls_max_holds)
{
	profile.tls_max = TLS_MAX_1_2;
	context();
	dial_live();
	ck_assert_str_eq(conn_tls_version(conn), "TLSv1.2");
}
END_TEST

START_TEST(no_extended_master_secret)
{
	SSL_CTX_set_max_proto_version(peer.ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(peer.ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	context();
	dial_distrusts(CAUSE_TLS_VERSION);
}
END_TEST

START_TEST(no_aead)
{
	SSL_CTX_set_max_proto_version(peer.ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(peer.ctx, "ECDHE-ECDSA-AES128-SHA");
	context();
	dial_distrusts(CAUSE_TLS_VERSION);
}
END_TEST

START_TEST(tls_1_1_only)
{
	SSL_CTX_set_security_level(peer.ctx, 0);
	SSL_CTX_set_min_proto_version(peer.ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(peer.ctx, TLS1_1_VERSION);
	context();
	dial_distrusts(CAUSE_TLS_VERSION);
}
END_TEST

START_TEST(other_alpn)
{
	SSL_CTX_set_alpn_select_cb(peer.ctx, choose_h2, NULL);
	context();
	dial_distrusts(CAUSE_ODD_ANSWER);
}
END_TEST

/* ---- our identity ----------------------------------------------------------------------- */

static void identity(const struct pair *cert, EVP_PKEY *key, const char *passphrase)
{
	close(files.certificate);
	close(files.key);
	files.certificate = cert_file(cert->cert, NULL);
	files.key = key_file(key, passphrase);
}

/* TLS 1.3: the handshake is good here; the alert follows the POST. */
START_TEST(identity_refused)
{
	identity(&stranger, stranger.key, NULL);
	context();
	dial_fails(CAUSE_CERT_REFUSED);
	SSL_CTX_set_max_proto_version(peer.ctx, TLS1_2_VERSION);
	dial_fails(CAUSE_CERT_REFUSED);
}
END_TEST

static void unusable(enum cause expected, const char *word)
{
	struct tls_ctx *c = tls_ctx_new(&profile, &files, &cause, why, sizeof(why));

	ck_assert_ptr_null(c);
	ck_assert_int_eq(cause, expected);
	ck_assert_msg(strstr(why, word) != NULL, "%s", why);
}

START_TEST(identity_unusable)
{
	struct pair old = pair_make("old", NULL, NULL, -1, 30, 1);
	int key = files.key;

	identity(&device, stranger.key, NULL);
	unusable(CAUSE_IDENTITY, "does not belong");
	identity(&device, device.key, "secret");
	unusable(CAUSE_IDENTITY, "encrypted");
	identity(&old, old.key, NULL);
	unusable(CAUSE_IDENTITY, "version 3");
	identity(&device, device.key, NULL);
	key = files.key;
	files.key = files.certificate;
	unusable(CAUSE_IDENTITY, "no private key");
	files.key = -1;
	unusable(CAUSE_IDENTITY, "PrivateKey was not given");
	files.key = key;
	ck_assert_int_eq(ftruncate(files.certificate, 40), 0);
	unusable(CAUSE_IDENTITY, "Certificate holds no");
	identity(&device, device.key, NULL);
	profile.n_pins = 0;
	unusable(CAUSE_PROFILE, "PinnedCertificate");
	profile.n_pins = 1;
	profile.pins[0].kind = PIN_FILE;
	files.pins[0] = key_file(device.key, NULL);
	unusable(CAUSE_PROFILE, "PinnedCertificate 1");
	profile.pinning_disabled = 1;
	unusable(CAUSE_PROFILE, "CA bundle");
	files.ca = key_file(device.key, NULL);
	unusable(CAUSE_PROFILE, "CaFile");
	pair_free(&old);
}
END_TEST

static int presented(X509_STORE_CTX *x, void *n)
{
	*(int *)n = sk_X509_num(X509_STORE_CTX_get0_untrusted(x));
	return 1;
}

START_TEST(chain_is_sent)
{
	int n = 0;

	files.chain = cert_file(authority.cert, other.cert);
	SSL_CTX_set_cert_verify_callback(peer.ctx, presented, &n);
	context();
	dial_live();
	ck_assert_int_eq(n, 3);
}
END_TEST

/* ---- tickets ------------------------------------------------------------------------------ */

static void read_tickets(void)
{
	uint8_t buf[64];

	while (conn_read(conn, buf, sizeof(buf)) > 0)
		;
}

START_TEST(ticket_resumes_after_a_cut)
{
	context();
	dial_live();
	read_tickets();
	ck_assert_ptr_nonnull(ctx->tickets[0][0]);
	dial_live();			/* dial() cuts the first */
	ck_assert(conn_resumed(conn));
	read_tickets();
	dial_live();
	ck_assert(conn_resumed(conn));
}
END_TEST

START_TEST(pin_removed_with_a_ticket_in_hand)
{
	context();
	dial_live();
	read_tickets();
	ck_assert_ptr_nonnull(ctx->tickets[0][0]);
	ctx->pins[0].sha256[7] ^= 1;
	dial_distrusts(CAUSE_PIN);
	ck_assert_ptr_null(ctx->tickets[0][0]);
	ck_assert_int_eq(peer.shaken && SSL_session_reused(peer.ssl), 1);
	/* and a new context has no ticket at all */
	conn_close(conn, false);
	conn = NULL;
	tls_ctx_free(ctx);
	context();
	dial_live();
	ck_assert(!conn_resumed(conn));
}
END_TEST

/* ---- answers, silence, other ends ------------------------------------------------------------ */

static void answer_is(const char *text, enum cause expected)
{
	peer.answer = text;
	peer.answer_len = strlen(text);
	dial_fails(expected);
}

START_TEST(refusals)
{
	uint32_t retry_after = 0;
	char buf[1024];

	context();
	ck_assert_int_gt(atp_refuse_write(buf, sizeof(buf), 403, "device_blocked",
					  "go away", 0), 0);
	answer_is(buf, CAUSE_DEVICE_BLOCKED);
	ck_assert_ptr_nonnull(strstr(conn_why(conn), "go away"));
	ck_assert_int_gt(atp_refuse_write(buf, sizeof(buf), 503, "busy", "later", 17), 0);
	answer_is(buf, CAUSE_BUSY);
	conn_cause(conn, &retry_after);
	ck_assert_uint_eq(retry_after, 17);
	fill_stock();
	answer_is("SSH-2.0-OpenSSH\r\n\r\n", CAUSE_ODD_ANSWER);
	answer_is("HTTP/1.1 101 Switching Protocols\r\n\r\n", CAUSE_ODD_ANSWER);
}
END_TEST

static void until(enum conn_stage stage)
{
	for (int i = 0; i < TURNS && conn_stage(conn) != stage; i++)
		turn();
	ck_assert_int_eq(conn_stage(conn), stage);
}

START_TEST(silence)
{
	struct conn_env env = { loop, &stock, NULL, resolver, &profile };
	uint64_t now = loop_now();

	context();
	env.tls = ctx;
	peer.fd = listener;		/* nobody accepts */
	conn = conn_dial(&env, 0, now);
	until(CONN_SECURING);
	ck_assert_uint_le(conn_deadline(conn), loop_now() + LIMIT_TLS_US);
	conn_timer(conn, conn_deadline(conn) - 1);
	ck_assert_int_eq(conn_stage(conn), CONN_SECURING);
	conn_timer(conn, conn_deadline(conn));
	ck_assert_int_eq(conn_cause(conn, NULL), CAUSE_TIMEOUT);
	peer.fd = -1;
	peer.answer = NULL;
	conn_close(conn, false);
	while ((now = (uint64_t)accept4(listener, NULL, NULL, 0)) < 1024)
		close((int)now);
	conn = conn_dial(&env, 0, loop_now());
	until(CONN_NEGOTIATING);
	ck_assert_uint_le(conn_answer_deadline(conn), loop_now() + LIMIT_ANSWER_US);
	conn_timer(conn, conn_deadline(conn));
	ck_assert_int_eq(conn_cause(conn, NULL), CAUSE_TIMEOUT);
}
END_TEST

START_TEST(closed_without_an_answer)
{
	struct conn_env env = { loop, &stock, NULL, resolver, &profile };

	context();
	env.tls = ctx;
	peer.answer = NULL;
	conn = conn_dial(&env, 0, loop_now());
	for (int i = 0; i < TURNS && !peer.got; i++)
		turn();
	SSL_shutdown(peer.ssl);
	until(CONN_FAILED);
	ck_assert_int_eq(conn_cause(conn, NULL), CAUSE_CUT);
	peer_hang_up(&peer);
	/* the same during the handshake */
	conn_close(conn, false);
	peer.fd = listener;
	conn = conn_dial(&env, 0, loop_now());
	until(CONN_SECURING);
	close(accept4(listener, NULL, NULL, 0));
	until(CONN_FAILED);
	ck_assert_int_eq(conn_cause(conn, NULL), CAUSE_TLS_IO);
	peer.fd = -1;
}
END_TEST

START_TEST(nobody_there)
{
	context();
	close(listener);
	listener = -1;
	dial_fails(CAUSE_CONNECT);
	ck_assert_ptr_nonnull(strstr(conn_why(conn), strerror(ECONNREFUSED)));
	profile.hosts[0].addr.family = 0;
	snprintf(profile.hosts[0].name, sizeof(profile.hosts[0].name), "missing.example");
	dial_fails(CAUSE_RESOLVE);
}
END_TEST

START_TEST(not_tls)
{
	struct conn_env env = { loop, &stock, NULL, resolver, &profile };
	int fd;

	context();
	env.tls = ctx;
	conn = conn_dial(&env, 0, loop_now());
	fd = accept4(listener, NULL, NULL, 0);
	ck_assert_int_eq(send(fd, "220 mail.example ESMTP\r\n", 24, 0), 24);
	peer.fd = fd;
	until(CONN_FAILED);
	ck_assert_int_eq(conn_cause(conn, NULL), CAUSE_TLS_IO);
}
END_TEST

/* Before the ServerHello an alert is plain text: so each of them can be sent. */
START_TEST(alerts)
{
	static const struct {
		uint8_t alert;
		enum cause cause;
	} rows[] = {
		{ 42, CAUSE_CERT_REFUSED }, { 43, CAUSE_CERT_REFUSED }, { 44, CAUSE_CERT_REFUSED },
		{ 45, CAUSE_CERT_REFUSED }, { 46, CAUSE_CERT_REFUSED }, { 48, CAUSE_CERT_REFUSED },
		{ 49, CAUSE_CERT_REFUSED }, { 116, CAUSE_CERT_REFUSED },
		{ 40, CAUSE_TLS_VERSION }, { 70, CAUSE_TLS_VERSION }, { 71, CAUSE_TLS_VERSION },
		{ 80, CAUSE_TLS_IO }, { 112, CAUSE_TLS_IO },
	};
	struct conn_env env = { loop, &stock, NULL, resolver, &profile };

	context();
	env.tls = ctx;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t record[] = { 21, 3, 3, 0, 2, 2, rows[i].alert };
		int fd;

		fill_stock();
		conn = conn_dial(&env, 0, loop_now());
		fd = accept4(listener, NULL, NULL, 0);
		ck_assert_int_eq(send(fd, record, sizeof(record), 0), sizeof(record));
		peer.fd = fd;
		until(CONN_FAILED);
		ck_assert_msg(conn_cause(conn, NULL) == rows[i].cause, "alert %u: %s",
			      rows[i].alert, conn_why(conn));
		conn_close(conn, false);
		conn = NULL;
		peer_hang_up(&peer);
	}
}
END_TEST

START_TEST(empty_stock_waits)
{
	struct conn_env env = { loop, &stock, NULL, resolver, &profile };

	context();
	env.tls = ctx;
	sock_stock_free(&stock);
	sock_stock_init(&stock, -1);
	conn = conn_dial(&env, 0, loop_now());
	ck_assert_uint_le(conn_deadline(conn), loop_now() + LIMIT_STARVED_US);
	turn();
	ck_assert(!over());
	fill_stock();
	until(CONN_LIVE);
	/* never one: it ends all the same */
	conn_close(conn, false);
	peer_hang_up(&peer);
	sock_stock_free(&stock);
	sock_stock_init(&stock, -1);
	conn = conn_dial(&env, 0, 1000);
	for (int i = 0; i < 3000 && !over(); i++)
		conn_timer(conn, conn_deadline(conn));
	ck_assert_int_eq(conn_stage(conn), CONN_FAILED);
	ck_assert_int_eq(conn_cause(conn, NULL), CAUSE_CONNECT);
}
END_TEST

/* ---- bytes ------------------------------------------------------------------- */

#define BULK	(3u << 20)

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 11));
}

START_TEST(bulk_up)
{
	static uint8_t out[BULK], in[BULK];
	size_t sent = 0, got = 0;
	bool blocked = false;
	ssize_t n;

	for (size_t i = 0; i < BULK; i++)
		out[i] = pattern(i);
	context();
	dial_live();
	for (int i = 0; i < 100000 && got < BULK; i++) {
		size_t want = BULK - sent < 65536 ? BULK - sent : 65536;

		n = want ? conn_write(conn, out + sent, want) : -EAGAIN;
		ck_assert(n > 0 || n == -EAGAIN);
		blocked |= want && n == -EAGAIN;
		sent += n > 0 ? (size_t)n : 0;
		if (n > 0 && got + (1u << 20) > sent)
			continue;	/* let it run full */
		conn_flush(conn);
		n = SSL_read(peer.ssl, in + got, (int)(BULK - got));
		got += n > 0 ? (size_t)n : 0;
	}
	ck_assert_uint_eq(got, BULK);
	ck_assert_int_eq(memcmp(in, out, BULK), 0);
	ck_assert(blocked);
	ck_assert(!conn_key_worn(conn));
}
END_TEST

START_TEST(flush_ends_a_batch)
{
	static uint8_t buf[LIMIT_RECORD];
	int got = 0, n;

	context();
	dial_live();
	ck_assert_int_eq(conn_write(conn, buf, sizeof(buf)), sizeof(buf));
	ck_assert_int_le(SSL_read(peer.ssl, buf, sizeof(buf)), 0);	/* gathered */
	ck_assert_int_eq(conn_flush(conn), 0);
	while ((n = SSL_read(peer.ssl, buf, sizeof(buf))) > 0)
		got += n;
	ck_assert_int_eq(got, sizeof(buf));
	ck_assert_int_eq(conn_write(conn, buf, 100), 100);
	ck_assert_int_eq(conn_flush(conn), 0);
	ck_assert_int_eq(SSL_read(peer.ssl, buf, sizeof(buf)), 100);
}
END_TEST

START_TEST(bulk_down)
{
	static uint8_t out[BULK], in[BULK + 6];
	size_t sent = 0, got = 0;
	ssize_t n;

	for (size_t i = 0; i < BULK; i++)
		out[i] = pattern(i);
	context();
	dial_live();
	for (int i = 0; i < 100000 && got < BULK + 6; i++) {
		struct pollfd in_fd = { .fd = conn_src(conn)->fd, .events = POLLIN };

		/* until the kernel takes no more: records arrive in parts */
		while (sent < BULK &&
		       (n = SSL_write(peer.ssl, out + sent, (int)(BULK - sent))) > 0)
			sent += (size_t)n;
		/* as the engine does: only when the socket or the connection says so */
		if (!conn_has_pending(conn) && poll(&in_fd, 1, 0) <= 0)
			continue;
		n = conn_read(conn, in + got, got + 20000 < BULK + 6 ? 20000 : BULK + 6 - got);
		ck_assert(n > 0 || n == -EAGAIN);
		ck_assert(n > 0 || !conn_has_pending(conn));
		got += n > 0 ? (size_t)n : 0;
	}
	ck_assert_uint_eq(got, BULK + 6);
	ck_assert_int_eq(memcmp(in + 6, out, BULK), 0);
}
END_TEST

START_TEST(last_words_after_a_write_error)
{
	uint8_t buf[256];
	ssize_t n;

	context();
	dial_live();
	ck_assert_int_eq(conn_read(conn, buf, sizeof(buf)), 6);
	ck_assert_int_eq(SSL_write(peer.ssl, "last words", 10), 10);
	SSL_shutdown(peer.ssl);
	close(peer.fd);
	peer.fd = -1;
	SSL_set_fd(peer.ssl, -1);
	for (int i = 0; i < 100; i++) {
		n = conn_write(conn, buf, sizeof(buf));
		if (n < 0 && n != -EAGAIN)
			break;
		conn_flush(conn);
	}
	ck_assert_int_eq(n, -EIO);
	ck_assert_int_eq(conn_write(conn, buf, sizeof(buf)), -EIO);
	ck_assert_int_eq(conn_read(conn, buf, sizeof(buf)), 10);
	ck_assert_mem_eq(buf, "last words", 10);
	ck_assert_int_eq(conn_read(conn, buf, sizeof(buf)), 0);
	ck_assert_int_eq(conn_cause(conn, NULL), CAUSE_CUT);
}
END_TEST

START_TEST(close_notify_when_clean)
{
	char buf[64];

	context();
	dial_live();
	conn_close(conn, true);
	conn = NULL;
	ck_assert_int_le(SSL_read(peer.ssl, buf, sizeof(buf)), 0);
	ck_assert_int_eq(SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN,
			 SSL_RECEIVED_SHUTDOWN);
	dial_live();
	conn_close(conn, false);
	conn = NULL;
	ck_assert_int_le(SSL_read(peer.ssl, buf, sizeof(buf)), 0);
	ck_assert_int_eq(SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN, 0);
}
END_TEST

START_TEST(keys_are_updated)
{
	uint8_t buf[1000] = { 0 };

	context();
	dial_live();
	ck_assert_int_eq(conn_write(conn, buf, sizeof(buf)), sizeof(buf));
	ck_assert_int_eq(SSL_key_update(peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	ck_assert_int_eq(SSL_write(peer.ssl, "after", 5), 5);
	ck_assert_int_eq(conn_read(conn, buf, 6), 6);
	ck_assert_int_eq(conn_read(conn, buf, sizeof(buf)), 5);
	ck_assert_int_eq(conn_write(conn, buf, 5), 5);
	ck_assert_int_eq(conn_flush(conn), 0);
	ck_assert_int_eq(SSL_read(peer.ssl, buf, sizeof(buf)), 1000);
	ck_assert_int_eq(SSL_read(peer.ssl, buf, sizeof(buf)), 5);
}
END_TEST

static void count_updates(int write, int version, int type, const void *buf, size_t len,
			  SSL *ssl, void *n)
{
	(void)version;
	(void)ssl;
	if (!write && type == SSL3_RT_HANDSHAKE && len && *(const uint8_t *)buf == SSL3_MT_KEY_UPDATE)
		++*(int *)n;
}

static struct tls *tls_pair(int fds[2])
{
	struct tls *t;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t = tls_open(ctx, 0, fds[0]);
	peer_accepted(&peer, fds[1]);
	for (int i = 0; i < 20 && !(t->phase == TLS_ANSWER && peer.shaken); i++) {
		if (t->phase == TLS_HANDSHAKE)
			tls_handshake(t);
		peer_step(&peer);
	}
	ck_assert_int_eq(t->phase, TLS_ANSWER);
	ck_assert(peer.shaken);
	return t;
}

START_TEST(worn_keys_are_changed)
{
	static uint8_t buf[100000];
	int updates = 0, fds[2];
	struct tls *t;

	context();
	t = tls_pair(fds);
	SSL_set_msg_callback(peer.ssl, count_updates);
	SSL_set_msg_callback_arg(peer.ssl, &updates);
	t->sent = LIMIT_KEY_BYTES - 1;
	ck_assert_int_eq(tls_write(t, buf, 10), 10);
	tls_flush(t);
	ck_assert_int_eq(SSL_read(peer.ssl, buf, 100), 10);
	ck_assert_int_eq(updates, 0);
	ck_assert_int_eq(tls_write(t, buf, 10), 10);
	tls_flush(t);
	ck_assert_int_eq(SSL_read(peer.ssl, buf, 100), 10);
	ck_assert_int_eq(updates, 1);
	ck_assert_uint_eq(t->sent, 10);
	tls_close(t, true);
	close(fds[0]);
	/* TLS 1.2 cannot: the counter stays, for conn_key_worn() */
	peer_hang_up(&peer);
	SSL_CTX_set_max_proto_version(peer.ctx, TLS1_2_VERSION);
	t = tls_pair(fds);
	t->sent = LIMIT_KEY_BYTES;
	ck_assert_int_eq(tls_write(t, buf, 10), 10);
	tls_flush(t);
	ck_assert_uint_gt(t->sent, LIMIT_KEY_BYTES);
	tls_close(t, false);
	close(fds[0]);
}
END_TEST

/* What is left of a record waits for the socket, whole records do not. */
START_TEST(pending_means_whole_records)
{
	uint8_t buf[1000] = { 0 };
	BIO *bio = BIO_new(BIO_s_mem());
	char *wire;
	struct tls *t;
	int fds[2];
	long len;

	context();
	t = tls_pair(fds);
	ck_assert_int_eq(tls_read(t, buf, sizeof(buf)), -EAGAIN);	/* tickets */
	SSL_set0_wbio(peer.ssl, bio);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(SSL_write(peer.ssl, buf, sizeof(buf)), sizeof(buf));
	len = BIO_get_mem_data(bio, &wire);
	ck_assert_int_eq(send(fds[1], wire, (size_t)len - 500, 0), len - 500);
	ck_assert_int_eq(tls_read(t, buf, sizeof(buf)), 1000);
	ck_assert(tls_has_pending(t));
	ck_assert_int_eq(tls_read(t, buf, sizeof(buf)), 1000);
	ck_assert_int_eq(tls_read(t, buf, sizeof(buf)), -EAGAIN);
	ck_assert(!tls_has_pending(t));
	ck_assert_int_eq(send(fds[1], wire + len - 500, 500, 0), 500);
	ck_assert_int_eq(tls_read(t, buf, sizeof(buf)), 1000);
	ck_assert(!tls_has_pending(t));
	tls_close(t, false);
	close(fds[0]);
}
END_TEST

/* A write that was cut short goes on with more behind it. */
START_TEST(short_writes_grow)
{
	static uint8_t out[400000], in[400000];
	size_t sent = 0, got = 0;
	struct tls *t;
	int fds[2], small = 8192;
	ssize_t n;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = pattern(i);
	context();
	t = tls_pair(fds);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (size_t ask = 700; got < sizeof(out); ask += 700) {
		size_t want = sizeof(out) - sent < ask ? sizeof(out) - sent : ask;

		n = want ? tls_write(t, out + sent, want) : 0;
		ck_assert(n >= 0 || n == -EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		n = SSL_read(peer.ssl, in + got, 3000);
		got += n > 0 ? (size_t)n : 0;
		tls_flush(t);
	}
	ck_assert_int_eq(memcmp(in, out, sizeof(out)), 0);
	tls_close(t, true);
	close(fds[0]);
}
END_TEST

/* From here on no file, no socket, no program: as the engine lives. */
START_TEST(nothing_is_opened)
{
	pid_t pid;
	int status;

	context();
	json_object_seed(0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

		seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(openat), 0);
		seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(open), 0);
		seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 0);
		seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(execve), 0);
		if (seccomp_load(f) < 0)
			_exit(2);
		dial();
		if (conn_stage(conn) != CONN_LIVE)
			_exit(3);
		read_tickets();
		dial();
		_exit(conn_stage(conn) == CONN_LIVE && conn_resumed(conn) ? 0 : 4);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tls");
	TCase *t = tcase_create("tls");
	struct pair *all[] = { &device, &stranger, &sentry, &other, &expired, &early,
			       &authority, &named };
	SRunner *r = srunner_create(s);
	int failed;

	signal(SIGPIPE, SIG_IGN);	/* the server's; the engine's send() asks for none */
	make_pki();
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, right_pin);
	tcase_add_test(t, second_pin);
	tcase_add_test(t, wrong_pin);
	tcase_add_test(t, one_bit_off);
	tcase_add_test(t, key_pin);
	tcase_add_test(t, file_pin);
	tcase_add_test(t, file_pin_of_a_twin);
	tcase_add_test(t, dates_count_with_a_pin);
	tcase_add_test(t, good_name);
	tcase_add_test(t, good_address);
	tcase_add_test(t, bad_name);
	tcase_add_test(t, bad_address);
	tcase_add_test(t, unknown_authority);
	tcase_add_test(t, tls_1_2_only);
	tcase_add_test(t, tls_max_holds);
	tcase_add_test(t, no_extended_master_secret);
	tcase_add_test(t, no_aead);
	tcase_add_test(t, tls_1_1_only);
	tcase_add_test(t, other_alpn);
	tcase_add_test(t, identity_refused);
	tcase_add_test(t, identity_unusable);
	tcase_add_test(t, chain_is_sent);
	tcase_add_test(t, ticket_resumes_after_a_cut);
	tcase_add_test(t, pin_removed_with_a_ticket_in_hand);
	tcase_add_test(t, refusals);
	tcase_add_test(t, silence);
	tcase_add_test(t, closed_without_an_answer);
	tcase_add_test(t, nobody_there);
	tcase_add_test(t, not_tls);
	tcase_add_test(t, alerts);
	tcase_add_test(t, empty_stock_waits);
	tcase_add_test(t, bulk_up);
	tcase_add_test(t, flush_ends_a_batch);
	tcase_add_test(t, bulk_down);
	tcase_add_test(t, last_words_after_a_write_error);
	tcase_add_test(t, close_notify_when_clean);
	tcase_add_test(t, keys_are_updated);
	tcase_add_test(t, worn_keys_are_changed);
	tcase_add_test(t, pending_means_whole_records);
	tcase_add_test(t, short_writes_grow);
	tcase_add_test(t, nothing_is_opened);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		pair_free(all[i]);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
