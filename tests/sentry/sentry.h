/* SPDX-License-Identifier: MIT */
/*
 * sentry.h - the headless endpoint: its types, and what its files ask of each
 * other.  One thread; everything hangs off one struct sentry.
 *
 *   conf.c, conf_scan.c  the INI file       devices.c  who may come
 *   conf_value.c, conf_tls.c  its values    list.c     the file of that list
 *   reload.c   files that change meanwhile  crl.c      certificates that were revoked
 *   conn.c     TCP, POST, refusals          tls.c      OpenSSL, a connection's
 *   tls_ctx.c  own certificates, device CAs
 *   admit.c    the checks of a POST         session.c  admitted, told to go, ended
 *   session_io.c  mux <-> TLS, frames to streams
 *   stream.c   OPEN: rules, names, states   tcp.c      a stream's far connection
 *   assoc.c    UDP and ICMP associations    assoc_error.c  ICMP errors for them
 *   resolve.c  names by c-ares
 *   fault.c    what goes wrong on purpose   control.c  `sentry ctl`
 *   event.c    JSON lines
 *
 * `now` is the monotonic clock in microseconds, read once a turn.
 */
#ifndef SENTRY_H
#define SENTRY_H

#include <jansson.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#include "client/atp/handshake.h"
#include "client/atp/mux.h"
#include "client/limits.h"
#include "profiles/addr.h"
#include "tests/sentry/loop.h"

#define SENTRY_LISTEN_MAX	16
#define SENTRY_SERVICES_MAX	64
#define SENTRY_SERVERS_MAX	32	/* of one TCP service */
#define SENTRY_ALLOW_MAX	64
#define SENTRY_BUSY_S		5	/* Retry-After */
#define SENTRY_SESSIONS_DEVICE	8	/* docs/protocol.md, 2 */
#define SENTRY_FAULTS_MAX	64
#define SENTRY_CONNS_MAX	65536
#define SENTRY_GOAWAY_US	(1 * USEC_PER_SEC)	/* flush at most so long (docs/protocol.md, 3) */
#define SENTRY_LINGER_US	(1 * USEC_PER_SEC)	/* wait for the peer's end after ours */
#define SENTRY_FAR_LINGER_US	(60 * USEC_PER_SEC)	/* far side still takes what is buffered */
#define SENTRY_NAME_ADDRS	8	/* tried for one name */
#define SENTRY_HELD_DGRAMS	16	/* before the socket exists (docs/protocol.md, 3) */
#define SENTRY_DIGEST_HEX	65
#define SENTRY_CAS_MAX		16	/* files of DeviceCa, and of Crl */
#define SENTRY_CRL_MAX		(16u << 20)	/* bytes of one */
#define SENTRY_OWN		2	/* certificates */
#define SENTRY_LIST_MAX		(64u << 20)	/* bytes of a device list (docs/mdm.md) */
#define SENTRY_VERSION_MAX	(1ll << 53)	/* of a device list */

/* ---- configuration ------------------------------------------------------- */

struct server {			/* of a TCP service's list */
	char host[254];
	struct ipaddr addr;	/* family 0: host is a name */
	uint16_t port;
};

enum service_kind { SERVICE_IP_ANY, SERVICE_TCP_ANY, SERVICE_TCP };

struct service {
	enum service_kind kind;
	char name[129];
	uint32_t n_servers;	/* SERVICE_TCP; 0: anything */
	struct server servers[SENTRY_SERVERS_MAX];
};

enum fault_name {
	FAULT_REFUSE, FAULT_NO_POST_ANSWER, FAULT_NO_CONFIG, FAULT_REFUSE_OPEN,
	FAULT_DELAY_OPEN, FAULT_NO_PROBE_REPLY, FAULT_FREEZE, FAULT_DEAF, FAULT_MUTE,
	FAULT_RST, FAULT_FIN, FAULT_GOAWAY,
	FAULTS
};

struct fault {
	enum fault_name name;
	char device[256];	/* empty: every device */
	uint32_t times;		/* 0: without end */
	uint64_t fired;
	int status;		/* refuse */
	char code[64];
	uint32_t retry_after_s;
	uint32_t value;		/* refuse-open and goaway: reason; delay-open: ms */
	uint32_t after_ms;	/* freeze ... goaway: so long after a session came up */
	bool once;		/* freeze ... goaway: the sessions of this moment only */
};

struct faults {
	uint32_t n;
	struct fault v[SENTRY_FAULTS_MAX];
	uint64_t fired[FAULTS];	/* also of faults that were taken off */
};

struct conf {
	const char *path;
	uint32_t n_listen;
	struct { struct ipaddr addr; uint16_t port; } listen[SENTRY_LISTEN_MAX];
	struct own { char *certificate, *private_key, *chain; } own[SENTRY_OWN];
	uint32_t n_device_ca, n_crl;
	char *device_ca[SENTRY_CAS_MAX], *crl[SENTRY_CAS_MAX];
	char *audit, *control;
	char *devices, *device_signer, *device_state;
	char *ciphers12, *ciphers13;	/* NULL: the default ones */
	char *resolvers;
	bool allow_unregistered, allow_loopback;
	uint32_t n_allow;
	struct prefix allow[SENTRY_ALLOW_MAX];
	uint32_t n_services;
	struct service *services;
	struct prefix pool4, pool6;	/* addr.family 0: none */
	struct atp_config offer;	/* what CONFIG says */
	int tls_min, tls_max;		/* TLS1_2_VERSION, ... */
	uint64_t idle_udp_us, idle_dns_us, connect_us;
	struct faults faults;
};

/*
 * conf_load() - read an INI file; every error is printed as FILE:LINE: text
 * Return: 0, or -EINVAL, -ENOMEM, or what opening gave (said on stderr)
 */
int conf_load(struct conf *c, const char *path);
void conf_free(struct conf *c);
void conf_help(FILE *f);		/* the keys, one a line */
/* Is the name one that the documents allow?  Return: 0, -EINVAL (@why says what) */
int service_name_check(const char *name, const char **why);

/* ---- devices ------------------------------------------------------------- */

struct device {
	char *uid, *user;
	char thumb[SENTRY_DIGEST_HEX];	/* SHA-256 of the certificate, lower-case hex */
	unsigned int line;
	bool enrolled, compliant, blocked, user_blocked;
};

/* Which list it is: of its header, without which version is 0.  docs/mdm.md */
struct devices_id {
	uint64_t version;
	char group[65];
	char digest[SENTRY_DIGEST_HEX];	/* SHA-256 of the text */
};

struct devices {
	struct device *v;	/* sorted by thumb */
	size_t n;
	struct devices_id id;
	bool is_signed;
};

/*
 * devices_parse() - read a list's text, whole or not at all
 * @label: what messages call the file
 * @why: on failure LABEL:LINE: text
 * Return: 0, -EINVAL, -ENOMEM; @d is written on success only
 */
int devices_parse(struct devices *d, const char *text, size_t len, const char *label, char *why,
		  size_t size);
void devices_free(struct devices *d);
struct device *devices_by_thumb(const struct devices *d, const char *thumb);
bool devices_has_uid(const struct devices *d, const char *uid);

/*
 * list_load() - read the file of a device list: JSON lines, or with @signer (PEM
 * file; NULL: none) a CMS message by one of its certificates and nothing else
 * @why: on failure FILE: text, or FILE:LINE: text
 * Return: 0, or a negative errno; @d is written on success only
 */
int list_load(struct devices *d, const char *path, const char *signer, char *why, size_t size);
/* sentry_file_read() - a whole regular file of at most @max bytes; free() it.
 * Return: 0, or a negative errno (-EINVAL: it is not a regular file) */
int sentry_file_read(const char *path, size_t max, uint8_t **out, size_t *len);
/*
 * list_newer() - may @d follow a list of @seen (version 0: none came yet)?
 * A lower version, an equal one with another text, and another group may not.
 * Return: true; or false and @why
 */
bool list_newer(const struct devices *d, const struct devices_id *seen, const char *path,
		char *why, size_t size);
/* list_seen_read(), list_seen_write() - what the state file @path remembers of the
 * list that was taken last; none: 0, version 0.  Return: 0, or a negative errno */
int list_seen_read(const char *path, struct devices_id *seen);
int list_seen_write(const char *path, const struct devices_id *seen);

/* ---- revoked certificates ------------------------------------------------ */

struct crls {
	uint32_t n;
	struct { X509_CRL *crl; const X509 *ca; } v[SENTRY_CAS_MAX];
};

/*
 * crls_load() - read CRL files (PEM or DER, one list each), whole or not at all
 * @old: those in effect; an older one of the same CA is refused
 * @cas: who may have signed them; referred to by @out
 * @why: on failure FILE: text
 * Return: 0, or a negative errno; @out is written on success only, and may be @old
 */
int crls_load(struct crls *out, const struct crls *old, char *const *files, uint32_t n,
	      STACK_OF(X509) *cas, char *why, size_t size);
void crls_free(struct crls *c);
bool crls_revoked(const struct crls *c, const X509 *x);
uint32_t crls_count(const struct crls *c);	/* certificates on them */
bool crls_stale(const struct crls *c);		/* one is past its nextUpdate */

/* ---- running state ------------------------------------------------------- */

struct counters {
	uint64_t connections, connections_over, tls_failed, tls_resumed, posts, refused;
	uint64_t sessions, sessions_ended, goaways, protocol_errors;
	uint64_t wire_in, wire_out;	/* bytes of TCP */
	uint64_t app_in, app_out;	/* bytes inside TLS: 0 from who stopped at the pin */
	uint64_t streams, streams_refused, assocs, probes, denied;
	uint64_t far_in, far_out;	/* bytes from and to backends, TCP */
	uint64_t dgrams_in, dgrams_out, dgrams_filtered, dgrams_lost, dgram_errors;
};

/* A file as it was when last looked at; all zero: it was not there. */
struct watch {
	int64_t sec, nsec, size;
	uint64_t ino;
};

struct sentry {
	struct conf conf;
	struct devices devices;
	struct loop loop;
	uint64_t now, started;
	SSL_CTX *tls;			/* of the certificate in use, one of own[] */
	SSL_CTX *own[SENTRY_OWN];	/* NULL: not configured */
	bool own_asked;			/* `sentry ctl certificate N` chose */
	bool own_warned;		/* that it has expired */
	STACK_OF(X509) *device_cas;
	struct crls crls;
	BIO_METHOD *bio;
	struct src listeners[SENTRY_LISTEN_MAX];
	struct src ctl_listener, signal;
	struct timer reload_timer, dns_timer;
	struct conn *conns, *dirty;
	uint32_t n_conns;
	struct session *sessions;
	struct grave *graves;		/* freed at the end of the turn */
	struct chunk *chunks;		/* free */
	uint32_t n_chunks;
	struct resolver *resolver;
	struct faults *faults;		/* &conf.faults */
	struct counters counters;
	json_t *refusals;		/* code -> times */
	json_t *blocked;		/* device -> true/false, said by `sentry ctl` */
	struct devices_id seen;		/* of the newest list that was taken */
	struct watch watch_devices, watch_signer;
	struct watch watch_crl[SENTRY_CAS_MAX];
	char *devices_error, *crl_error;	/* of the last attempt; NULL: none */
	bool crl_warned;		/* that one is past its nextUpdate */
	int64_t devices_since;		/* wall clock, us: when the list was taken */
	uint64_t entry;			/* audit */
	uint32_t session_number;
	FILE *out;			/* events and audit */
	bool ping4, ping6, stopping;
};

/* Embedded first in what is freed at the end of a turn. */
struct grave {
	struct grave *next;
};
void sentry_bury(struct sentry *s, struct grave *g);

/* ---- connections --------------------------------------------------------- */

enum conn_state {
	CONN_TLS,	/* handshake; 10 s */
	CONN_POST,	/* reading the request; 10 s */
	CONN_SILENT,	/* fault: the POST is never answered */
	CONN_REFUSING,	/* the refusal is being written */
	CONN_UP,	/* frames */
	CONN_CLOSING,	/* GOAWAY is being written; 1 s */
	CONN_LINGER,	/* our end is sent; reading the peer's away, 1 s */
	CONN_GONE,
};

struct conn {
	struct grave grave;
	struct src src;
	struct timer timer;
	struct conn *next, *prev, *next_dirty;
	struct sentry *s;
	SSL *ssl;
	enum conn_state state;
	struct session *ses;
	struct ipaddr peer;
	uint16_t peer_port;
	char thumb[SENTRY_DIGEST_HEX];	/* "" before TLS is up */
	struct atp_request_reader *post;
	char *head;			/* answer being written */
	size_t head_len, head_off;
	uint8_t *part;			/* incomplete frame between reads */
	size_t part_len;
	size_t write_len;		/* a write that must be repeated with this length */
	uint8_t *out;			/* LIMIT_TLS_BATCH bytes: records that wait for the socket */
	size_t out_len, out_sent;
	uint64_t rtt_read;		/* when TCP_INFO was read */
	uint64_t since_rekey;		/* bytes written */
	bool dirty, want_write, read_again;
	bool no_read, no_write;		/* faults */
};

int conn_listen(struct sentry *s);		/* 0 or a negative errno, said on stderr */
void conn_accept(struct sentry *s, struct src *listener);
void conn_event(struct conn *c, uint32_t events);
void conn_timer(struct conn *c);
void conn_touch(struct conn *c);		/* serve it at the end of the turn */
void conn_serve(struct conn *c);		/* write what is due */
void conn_want(struct conn *c);			/* register the events that its state wants */
/* conn_drop() - close at once; @rst: by RST.  The session goes with it. */
void conn_drop(struct conn *c, bool rst, const char *why);
/* conn_finish() - close_notify, FIN, linger for the peer's end */
void conn_finish(struct conn *c);
void conn_closing(struct conn *c);		/* GOAWAY was made: write it, then finish */
void conn_refuse(struct conn *c, int status, const char *code, const char *message,
		 uint32_t retry_after_s);
int conn_write_head(struct conn *c);		/* 1: the answer is in the batch, 0: blocked, -EIO */

/* tls_ctx.c */
int tls_init(struct sentry *s);			/* 0 or -EINVAL, said on stderr */
void tls_done(struct sentry *s);
/* tls_own_due() - the second certificate takes over when the first has expired */
void tls_own_due(struct sentry *s);
/*
 * tls_own_use() - use certificate @n from now on (its files are read anew), whatever
 * the dates say; 0: as the dates say.  Sessions that are up stay.
 * Return: true; false and @why: nothing has changed
 */
bool tls_own_use(struct sentry *s, unsigned int n, char *why, size_t size);
json_t *tls_own_status(const struct sentry *s);

/* tls.c */
int tls_attach(struct conn *c);			/* 0, -ENOMEM */
void tls_detach(struct conn *c);		/* frees; also after a failure */
/* tls_accept() - 1: done, c->thumb is set; 0: not yet; -EPROTO, -EIO: @why says what */
int tls_accept(struct conn *c, const char **why);
bool tls_cert_current(struct conn *c);		/* dates, for a resumed handshake too */
bool tls_cert_revoked(struct conn *c);		/* likewise: is it on a CRL? */
BIO_METHOD *tls_bio_method(void);		/* the socket under OpenSSL; NULL: no memory */
/* Into TLS and the batch.  Return: bytes, 0: would block, -EIO: the connection is dead */
int conn_write(struct conn *c, const void *buf, size_t len);
/* The end of a burst: send the batch.  Return: 1 all is out, 0 blocked, -EIO */
int conn_push(struct conn *c);
/* Return: bytes, 0: nothing now, -EPIPE: end of file, -EIO */
int conn_read(struct conn *c, void *buf, size_t len);

/* ---- sessions ------------------------------------------------------------ */

struct session {
	struct grave grave;
	struct session *next, *prev;
	struct sentry *s;
	struct conn *conn;
	struct mux *mux;
	struct timer mux_timer;
	uint32_t number;
	char id[23];			/* BASE64URL of 16 bytes */
	char *device, *user;
	char thumb[SENTRY_DIGEST_HEX], platform[16], client[64];
	const struct service *service;
	uint32_t tcp_idle_ms;
	int64_t since;			/* wall clock, us */
	uint64_t since_mono, probes, far_in, far_out;
	struct stream *streams, *reap;
	uint32_t n_streams;
	uint64_t streams_total;
	uint64_t fault_at;		/* when to look for faults of a session that is up; 0: never */
	uint32_t last_id;		/* last stream that was opened */
	bool closing;			/* GOAWAY was made */
};

/* session_begin() - answer the POST.  Return: true: c->ses is made; false: refused */
bool session_begin(struct conn *c, const struct atp_request *r);
void session_input(struct session *ses);	/* read until nothing is left or the burst is full */
void session_serve(struct session *ses);	/* timers of the mux, then write until it blocks */
void session_goaway(struct session *ses, enum mux_goaway reason, const char *text);
void session_end(struct session *ses, const char *why);	/* streams get RST */

/* admit.c */
struct refusal {
	int status;
	const char *code, *message;
};
/* admit_device() - the certificate and the IDs against the list.  NULL: welcome */
const struct refusal *admit_device(struct sentry *s, const char *thumb, const char *device,
				   const char *user);
/* admit_request() - all checks of a POST.  Return: true and @sv; false: it was refused */
bool admit_request(struct conn *c, const struct atp_request *r, const struct service **sv);
/* admit_again() - devices changed: who may no longer be here is told so */
void admit_again(struct sentry *s);

/* ---- streams ------------------------------------------------------------- */

enum stream_state {
	STREAM_DELAYED,		/* fault delay-open */
	STREAM_RESOLVING,
	STREAM_CONNECTING,
	STREAM_OPEN,
	STREAM_DRAINING,	/* the mux has forgotten it, the far side still takes bytes */
	STREAM_GONE,
};

struct opening {		/* until the far connection stands */
	bool by_name;		/* a rule believed the name beside the address */
	struct mux_open open;
	struct ipaddr addrs[SENTRY_NAME_ADDRS];
	uint32_t n_addrs, next_addr;
	enum mux_refused reason;	/* of the last attempt */
};

struct chunk {
	struct chunk *next;
	uint32_t start, end;
	uint8_t data[16384];
};

struct stream {
	struct grave grave;
	struct src src;
	struct timer timer;
	struct session *ses;
	struct mux_stream *ms;		/* NULL: the mux has forgotten it */
	struct stream *next, *prev, *next_reap;
	struct opening *opening;	/* NULL once open */
	struct assoc *assoc;		/* NULL: TCP */
	struct chunk *out, *out_last;	/* waiting for the far socket */
	uint32_t out_bytes;
	uint64_t far_in, far_out;
	struct ipaddr addr;		/* far address */
	uint16_t port;
	uint8_t proto;
	enum stream_state state : 8;
	bool resolving;			/* c-ares holds a pointer */
	bool reaping;
	bool far_fin;			/* the far side finished: mux_stream_fin() was called */
	bool far_dead;			/* reset or failed */
	bool fin_in;			/* the device finished */
	bool fin_sent;			/* shutdown(SHUT_WR) was done */
	bool reset_in;			/* RESET received */
};

/* stream.c; the stream may be gone (STREAM_GONE) after any of these */
void stream_open(struct session *ses, struct mux_event *ev);	/* MUX_EV_OPEN: refused, or begun */
void stream_proceed(struct stream *st);		/* any delay is over: rules, name, connect */
/* stream_resolved() - of resolve_start(): @err 0 and @n addresses, or a negative errno */
void stream_resolved(struct stream *st, int err, const struct ipaddr *addrs, uint32_t n);
void stream_timer(struct stream *st);
void stream_refuse(struct stream *st, enum mux_refused reason);
void stream_reset(struct stream *st, enum mux_reset_reason reason);
void stream_reap(struct session *ses);		/* what the mux has forgotten */
void stream_forget(struct stream *st);		/* to the reap list; safe inside mux callbacks */
void stream_gone(struct stream *st, bool rst);	/* close, unlink, bury */
/* May the endpoint talk to @a?  Loopback, link-local, metadata, multicast: no. */
bool stream_allowed(const struct conf *c, const struct ipaddr *a);

/* tcp.c */
void tcp_connect(struct stream *st);		/* the next of opening->addrs */
void tcp_event(struct stream *st, uint32_t events);
/* tcp_write() - @len bytes of the device; what the socket does not take is copied */
void tcp_write(struct stream *st, const struct iovec *iov, int n, size_t len);
void tcp_fin(struct stream *st);		/* the device finished: FIN behind what waits */
/* tcp_pull() - mux_ops.pull.  Return: bytes, 0: none now */
size_t tcp_pull(struct stream *st, uint8_t *dst, size_t max);
void tcp_free_out(struct stream *st);		/* forget what waits for the socket */
enum mux_refused tcp_reason(int err);		/* of a positive errno */

/* assoc.c */
/* assoc_open() - @family 0: no socket yet, DGRAMs are held.  Return: 0, or a negative errno */
int assoc_open(struct stream *st, uint8_t family);
void assoc_event(struct stream *st, uint32_t events);
/* assoc_dgram() - of the device; held (copied) while there is no socket */
void assoc_dgram(struct stream *st, const struct mux_dgram *d, const uint8_t *data, size_t len);
void assoc_flush_held(struct stream *st);	/* there is one now */
void assoc_timer(struct stream *st);
void assoc_free(struct assoc *a);
void assoc_probe_ping(struct sentry *s);	/* which ping sockets this machine allows */

/* resolve.c */
int resolve_init(struct sentry *s);		/* 0 or -EIO, said on stderr */
void resolve_free(struct sentry *s);
/* resolve_start() - stream_resolved() follows, maybe at once; st->resolving until then */
void resolve_start(struct sentry *s, struct stream *st, const char *name);
void resolve_event(struct sentry *s, struct src *src, uint32_t events);
void resolve_timer(struct sentry *s);

/* ---- faults -------------------------------------------------------------- */

const char *fault_text(enum fault_name f);
/*
 * fault_add() - "NAME ARGS..." as words
 * @why: what is wrong, on failure.  Return: 0, -EINVAL, -ENOSPC
 */
int fault_add(struct faults *f, const char *const *words, size_t n, const char **why);
/* fault_off() - @name NULL: all.  Frozen sessions go on.  Return: how many went */
uint32_t fault_off(struct sentry *s, const char *name);
/* fault_find() - the first of this name that holds for @device.  NULL: none.
 * It has not fired yet: fault_fire() says so. */
struct fault *fault_find(struct faults *f, enum fault_name name, const char *device);
void fault_fire(struct sentry *s, struct fault *f, const char *device);
/* fault_apply() - faults of a session that is up: freeze ... goaway.  The session
 * may be gone afterwards (memory stays until the end of the turn). */
void fault_apply(struct session *ses);
void fault_apply_all(struct sentry *s);		/* a fault was set by `sentry ctl` */
json_t *fault_list(const struct faults *f);

/* ---- control and events -------------------------------------------------- */

int control_init(struct sentry *s);		/* 0 or a negative errno, said on stderr */
void control_accept(struct sentry *s);
void control_event(struct src *src, uint32_t events);
void control_done(struct sentry *s);
json_t *control_counters(struct sentry *s);
int ctl_main(int argc, char **argv);		/* the verb `sentry ctl`; exit code */

/* ---- files that change meanwhile (reload.c) ------------------------------ */

int reload_init(struct sentry *s);		/* 0 or a negative errno, said on stderr */
void reload_done(struct sentry *s);
/* reload_timer() - look once a second: files by their dates */
void reload_timer(struct sentry *s);
/*
 * reload_all() - read everything anew, changed or not
 * @force: an older device list, too
 * Return: true; false: something is invalid, has changed nothing, and was said
 */
bool reload_all(struct sentry *s, bool force);
json_t *reload_status(struct sentry *s);	/* `sentry ctl status` */

/* ---- event.c -------------------------------------------------------------- */

/* event_emit() - one JSON line with time and event code; @o (may be NULL) is taken */
void event_emit(struct sentry *s, const char *event, json_t *o);
/* event_audit() - an audit line: @action ALLOW, BLOCK or NONE, and why; @addr: the far side */
void event_audit(struct stream *st, const struct opening *op, const struct ipaddr *addr,
		 uint16_t port, const char *action, const char *reason);
const char *event_time(int64_t wall_us, char buf[32]);	/* UTC, as events have it.  Return: @buf */
int64_t event_wall(void);			/* us since 1970 */

#endif
