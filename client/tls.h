/* SPDX-License-Identifier: MIT */
/*
 * tls.h - what conn.c, tls.c (trust, tickets), tls_files.c (identity and pins
 * out of files) and tls_io.c (one connection) share; private to them and
 * their tests.  OpenSSL is used in these files and nowhere else in the engine.
 */
#ifndef APPTUNNEL_TLS_H
#define APPTUNNEL_TLS_H

#include <openssl/ssl.h>
#include <sys/types.h>

#include "client/conn.h"

#define TLS_TICKETS	2	/* kept a Host; Sentry sends two a handshake */
#define TLS_WHY		256	/* bytes of a reason, with NUL */

struct tls_pin {
	uint8_t kind;			/* enum profile_pin_kind */
	uint8_t sha256[32];		/* unless PIN_FILE */
	uint8_t *der;			/* PIN_FILE: the whole certificate; owned */
	size_t der_len;
};

struct tls_ctx {
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	bool pinned;			/* else: chain and name */
	uint32_t n_pins, n_hosts;
	struct tls_pin pins[PROFILE_MAX_PINS];
	struct profile_host hosts[PROFILE_MAX_HOSTS];
	SSL_SESSION *tickets[PROFILE_MAX_HOSTS][TLS_TICKETS];	/* newest first */
};

/* What an alert about our certificate means depends on the answer being there. */
enum tls_phase { TLS_HANDSHAKE, TLS_ANSWER, TLS_LIVE };

struct tls {
	struct tls_ctx *ctx;
	uint32_t host;
	int fd;				/* borrowed */
	SSL *ssl;
	enum tls_phase phase;
	bool want_write;		/* the handshake waits for EPOLLOUT */
	bool drained;			/* the last read emptied TLS and socket */
	bool read_blocked;		/* that read waits until something can be sent */
	bool eof;
	bool write_dead;		/* nothing can be sent any more */
	size_t retry;			/* bytes that OpenSSL holds of a refused write */
	int read_error, write_error;	/* errno of the socket */
	bool deferred;			/* an end or error that is told after the bytes before it */
	uint64_t sent;			/* under the present key */
	uint8_t cert_sha256[32];
	enum cause cause;
	char why[TLS_WHY];
	size_t out_len, out_sent;
	uint8_t out[LIMIT_TLS_BATCH];	/* records that wait for the socket */
};

/* tls_method() - the BIO of tls_io.c; NULL: no memory */
BIO_METHOD *tls_method(void);

/* tls_open() - @fd is connected and stays the caller's.  NULL: no memory */
struct tls *tls_open(struct tls_ctx *ctx, uint32_t host, int fd);
/*
 * tls_handshake() - go on with it
 * Return: 0: done, every check of section 1 passed and nothing but TLS was
 *	sent yet; -EAGAIN: t->want_write tells what to wait for; -EIO: t->cause,
 *	t->why
 */
int tls_handshake(struct tls *t);
/* As conn_read() and conn_write(). */
ssize_t tls_read(struct tls *t, uint8_t *buf, size_t size);
ssize_t tls_write(struct tls *t, const uint8_t *buf, size_t len);
/* tls_flush() - send what is held.  0, -EAGAIN: some is left, wait for EPOLLOUT */
int tls_flush(struct tls *t);
bool tls_has_pending(const struct tls *t);
/* tls_close() - frees; NULL is fine.  @clean: say close_notify */
void tls_close(struct tls *t, bool clean);

/* ---- tls.c, for tls_io.c ------------------------------------------------ */

/*
 * tls_check_leaf() - pin and dates, or name and dates, of what was presented
 * Return: true: good; else *cause and @why are set
 */
bool tls_check_leaf(const struct tls_ctx *ctx, uint32_t host, X509 *leaf,
		    enum cause *cause, char *why, size_t size);
/* tls_set_host() - SNI; with pinning disabled also the name to verify.  0, -ENOMEM */
int tls_set_host(const struct tls_ctx *ctx, uint32_t host, SSL *ssl);
SSL_SESSION *tls_ticket_take(struct tls_ctx *ctx, uint32_t host);	/* owned; may be NULL */
void tls_ticket_keep(struct tls_ctx *ctx, uint32_t host, SSL_SESSION *s);	/* takes @s */
void tls_tickets_drop(struct tls_ctx *ctx, uint32_t host);

/* ---- tls_files.c, for tls.c ---------------------------------------------- */

/* Where a reason goes: one sentence and its cause. */
struct tls_failure {
	enum cause *cause;
	char *why;
	size_t size;
};
/* tls_fail() - Return: false, to be returned */
bool tls_fail(const struct tls_failure *f, enum cause cause, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const char *tls_reason(void);		/* OpenSSL's last error */

/* Return: true, or false with *f filled.  Descriptors are neither moved nor closed. */
bool tls_load_identity(struct tls_ctx *c, const struct tls_setup *files,
		       const struct tls_failure *f);
bool tls_load_pins(struct tls_ctx *c, const struct profile *p, const struct tls_setup *files,
		   const struct tls_failure *f);
/* Each certificate of a file to the trust store, or to the chain that we send. */
bool tls_load_certs(struct tls_ctx *c, int fd, bool trust, const struct tls_failure *f);

#endif
