/* SPDX-License-Identifier: MIT */
/*
 * conn.h - from a list of Hosts to one pinned mutual-TLS connection that
 * carries frames: names (resolve.c), addresses raced (race.c), TLS (tls.c),
 * POST (atp/handshake.c).  The engine feeds it events and time; it yields one
 * result.
 */
#ifndef APPTUNNEL_CONN_H
#define APPTUNNEL_CONN_H

#include <openssl/ssl.h>

#include "client/atp/handshake.h"
#include "client/atp/retry.h"
#include "client/loop.h"
#include "platform/sock.h"
#include "profiles/profile.h"

/* ---- identity and trust, loaded once, before the engine locks itself down */

struct tls_setup {			/* descriptors of PEM files; -1: none */
	int certificate, key, chain, ca;
	int pins[PROFILE_MAX_PINS];	/* for PIN_FILE */
};
struct tls_ctx;
/*
 * tls_ctx_new() - SSL_CTX from the profile
 * @files: read here, not closed; nothing is opened by path then or later
 * @why: one sentence on failure
 * Return: NULL on failure; *cause is CAUSE_IDENTITY or CAUSE_PROFILE
 */
struct tls_ctx *tls_ctx_new(const struct profile *p, const struct tls_setup *files,
			    enum cause *cause, char *why, size_t size);
void tls_ctx_free(struct tls_ctx *c);	/* no connection may be left; NULL is fine */

/* ---- one connection, dialling and then live */

struct conn;
enum conn_stage { CONN_RESOLVING, CONN_CONNECTING, CONN_SECURING, CONN_NEGOTIATING,
		  CONN_LIVE, CONN_FAILED };

struct conn_env {			/* borrowed for the life of the connection */
	struct loop *loop;
	struct sock_stock *socks;
	struct tls_ctx *tls;
	struct resolver *resolver;
	const struct profile *profile;
};

/* conn_dial() - start with Host number @host.  NULL: no memory */
struct conn *conn_dial(const struct conn_env *env, uint32_t host, uint64_t now);
/*
 * conn_event() - a descriptor of kind EV_DIAL (owner: the conn) is ready; with
 * @src NULL: something else moved that a dial may wait for (the resolver, new
 * sockets in the stock).  Never for EV_SENTRY.
 */
void conn_event(struct conn *c, struct loop_src *src, uint32_t events, uint64_t now);
/* conn_deadline() - when conn_timer() is due (absolute us); UINT64_MAX: never */
uint64_t conn_deadline(const struct conn *c);
void conn_timer(struct conn *c, uint64_t now);	/* look at conn_stage() afterwards */
enum conn_stage conn_stage(const struct conn *c);
/* After CONN_FAILED */
enum cause conn_cause(const struct conn *c, uint32_t *retry_after_s);
const char *conn_why(const struct conn *c);	/* detail, printable, never NULL */
/* After CONN_LIVE (also partly earlier) */
const struct atp_answer *conn_answer(const struct conn *c);
/* conn_peer() - whom it is with, the hash of his certificate, and whether a pin vouches for it */
void conn_peer(const struct conn *c, struct ipaddr *addr, uint16_t *port,
	       uint8_t cert_sha256[32], bool *pinned);
/* OpenSSL's names, borrowed; "-" while there is no TLS yet */
const char *conn_tls_version(const struct conn *c);
const char *conn_cipher(const struct conn *c);
void conn_local(const struct conn *c, struct ipaddr *addr);	/* our end; family 0: not known */
/* conn_answer_deadline() - CONFIG must be there by then (section 2: 101 and CONFIG
 * together); absolute us, UINT64_MAX before the POST was sent */
uint64_t conn_answer_deadline(const struct conn *c);
/* conn_resumed() - was the TLS session resumed from a ticket? */
bool conn_resumed(const struct conn *c);

/*
 * Live I/O.  conn_read(): bytes > 0 (as many whole records as came and fit),
 * 0: end of file, -EAGAIN, or -EIO with conn_cause().  TLS takes more from the
 * socket than one call returns: while conn_has_pending() says so, the caller
 * must come again without waiting for EPOLLIN.
 *
 * conn_write(): bytes taken (> 0), -EAGAIN (wait for EPOLLOUT), -EIO.  It makes
 * records of 16 KiB; the kernel gathers long ones, and conn_flush() at the end
 * of a batch sends what is still gathered.  What conn_write() did not take
 * must come first in the next call, with the same bytes (they may have moved,
 * more may follow).  After a write error what has come is still read; the
 * error shows as -EIO of conn_write() only.
 */
ssize_t conn_read(struct conn *c, uint8_t *buf, size_t size);
ssize_t conn_write(struct conn *c, const uint8_t *buf, size_t len);
/* conn_flush() - send what conn_write() and conn_read() left in the batch; at the end of
 * each turn.  Return: 0, -EAGAIN: some is left, wait for EPOLLOUT and call again */
int conn_flush(struct conn *c);
bool conn_has_pending(const struct conn *c);
/* conn_key_worn() - TLS 1.2 after LIMIT_KEY_BYTES: it cannot change its keys, dial again.
 * (TLS 1.3 updates them by itself.) */
bool conn_key_worn(const struct conn *c);
/* conn_keepalive() - kernel keep-alives (60 s, then 15 s); for while TCP streams are open */
void conn_keepalive(struct conn *c, bool on);
/* conn_lowat() - TCP_NOTSENT_LOWAT, cut to LIMIT_LOWAT_MIN .. LIMIT_LOWAT_MAX; no system
 * call when equal */
void conn_lowat(struct conn *c, uint32_t bytes);
/* conn_src() - kind EV_SENTRY and not registered once live: the caller adds it to the
 * loop; conn_close() takes it out */
struct loop_src *conn_src(struct conn *c);
uint64_t conn_rtt_us(const struct conn *c);	/* TCP_INFO; 0 unknown */
/*
 * conn_set_profile() - @p instead of env's, with the same Hosts: that one may
 * go.  What a socket was set to by the profile is set again.
 */
void conn_set_profile(struct conn *c, const struct profile *p);
/* conn_close() - @clean: close_notify; else cut.  Frees; NULL is fine */
void conn_close(struct conn *c, bool clean);

/* ---- names (c-ares over marked sockets), resolve.c */
struct resolver;
/*
 * resolver_new() - @hosts, @resolv: text of the snapshots (may be NULL).  Opens
 * files (randomness): before the engine locks itself down.
 */
struct resolver *resolver_new(struct loop *loop, struct sock_stock *socks,
			      const char *hosts, const char *resolv);
/* resolver_update() - other snapshots (copied); what is outstanding is asked anew */
void resolver_update(struct resolver *r, const char *hosts, const char *resolv);
/* resolver_event() - a source of kind EV_RESOLVE is ready; then conn_event(c, NULL, ...) */
void resolver_event(struct resolver *r, struct loop_src *src, uint32_t events, uint64_t now);
/* resolver_timer() - time-outs of queries.  Return: when next (us), UINT64_MAX: never */
uint64_t resolver_timer(struct resolver *r, uint64_t now);
void resolver_free(struct resolver *r);		/* no connection may be left */

#endif
