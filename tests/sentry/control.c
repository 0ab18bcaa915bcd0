/* SPDX-License-Identifier: MIT */
/*
 * control.c - the control socket: one JSON array of words a connection, one JSON
 * object as the answer, then the end.  Who may connect is up to the file's mode.
 */
#define _GNU_SOURCE
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_REQUEST	4096
#define CONTROL_WORDS	32
#define CONTROL_CONNS	32

struct control {
	struct grave grave;
	struct src src;
	struct sentry *s;
	char request[CONTROL_REQUEST];
	size_t len;
	char *answer;
	size_t answer_len, answer_off;
};

static uint32_t n_control;

int control_init(struct sentry *s)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct src *l = &s->ctl_listener;
	mode_t old;
	int err;

	*l = (struct src){ .kind = SRC_CTL_LISTEN, .fd = -1, .owner = s };
	if (!s->conf.control)
		return 0;
	err = ENAMETOOLONG;
	if (strlen(s->conf.control) >= sizeof(un.sun_path))
		goto bad;
	memcpy(un.sun_path, s->conf.control, strlen(s->conf.control) + 1);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	err = errno;
	if (l->fd < 0)
		goto bad;
	/* a stale socket goes, a living one stays */
	if (connect(l->fd, (struct sockaddr *)&un, sizeof(un)) == 0) {
		err = EADDRINUSE;
		goto bad;
	}
	if (errno == ECONNREFUSED)
		unlink(un.sun_path);
	close(l->fd);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	old = umask(0077);
	err = l->fd < 0 || bind(l->fd, (struct sockaddr *)&un, sizeof(un)) < 0 ? errno : 0;
	umask(old);
	if (!err && listen(l->fd, 16) < 0)
		err = errno;
	if (!err)
		err = -loop_add(&s->loop, l, EPOLLIN);
	if (!err)
		return 0;
bad:
	fprintf(stderr, "%s: control socket %s: %s\n", s->conf.path, s->conf.control,
		strerror(err));
	return -err;
}

/* ---- answers ------------------------------------------------------------- */

static json_t *failed(const char *text)
{
	return json_pack("{s:b,s:s}", "ok", 0, "error", text);
}

static json_t *session_json(const struct session *ses)
{
	const struct mux_counters *k = mux_counters(ses->mux);
	const struct conn *c = ses->conn;
	char when[32], peer[ADDR_STRLEN];

	return json_pack(
		"{s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:b}",
		"session", (int)ses->number, "id", ses->id, "device", ses->device,
		"user", ses->user, "service", ses->service->name, "since",
		event_time(ses->since, when), "platform", ses->platform, "client", ses->client,
		"clientHost", addr_format(&c->peer, peer), "clientPort", (int)c->peer_port,
		"tls", SSL_get_version(c->ssl), "cipher", SSL_get_cipher_name(c->ssl),
		"streams", (json_int_t)ses->n_streams, "streamsTotal",
		(json_int_t)ses->streams_total, "bytesIn", (json_int_t)k->bytes_in,
		"bytesOut", (json_int_t)k->bytes_out, "farIn", (json_int_t)ses->far_in,
		"farOut", (json_int_t)ses->far_out, "probes", (json_int_t)ses->probes,
		"tlsResumed", SSL_session_reused(c->ssl), "noRead", (int)c->no_read,
		"noWrite", (int)c->no_write);
}

static json_t *verb_sessions(struct sentry *s)
{
	json_t *a = json_array();

	for (struct session *ses = s->sessions; ses; ses = ses->next) {
		json_t *o;

		if (ses->closing || !ses->conn)
			continue;
		o = session_json(ses);
		json_object_set_new(o, "tcpIdleTimeoutMs", json_integer(ses->tcp_idle_ms));
		json_array_append_new(a, o);
	}
	return json_pack("{s:b,s:o}", "ok", 1, "sessions", a);
}

json_t *control_counters(struct sentry *s)
{
	const struct counters *k = &s->counters;
	const struct { const char *name; uint64_t v; } rows[] = {
		{ "connections", k->connections }, { "connections_open", s->n_conns },
		{ "connections_over", k->connections_over }, { "tls_failed", k->tls_failed },
		{ "tls_resumed", k->tls_resumed }, { "posts", k->posts },
		{ "refused", k->refused }, { "sessions", k->sessions },
		{ "sessions_ended", k->sessions_ended }, { "goaways", k->goaways },
		{ "protocol_errors", k->protocol_errors }, { "wire_in", k->wire_in },
		{ "wire_out", k->wire_out }, { "app_in", k->app_in }, { "app_out", k->app_out },
		{ "streams", k->streams }, { "streams_refused", k->streams_refused },
		{ "associations", k->assocs }, { "probes", k->probes }, { "denied", k->denied },
		{ "far_in", k->far_in }, { "far_out", k->far_out },
		{ "dgrams_in", k->dgrams_in }, { "dgrams_out", k->dgrams_out },
		{ "dgrams_filtered", k->dgrams_filtered }, { "dgrams_lost", k->dgrams_lost },
		{ "dgram_errors", k->dgram_errors },
	};
	json_t *o = json_object(), *fired = json_object();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		json_object_set_new(o, rows[i].name, json_integer((json_int_t)rows[i].v));
	json_object_set(o, "refusals", s->refusals);
	for (uint32_t i = 0; i < FAULTS; i++)
		if (s->faults->fired[i])
			json_object_set_new(fired, fault_text(i),
					    json_integer((json_int_t)s->faults->fired[i]));
	json_object_set_new(o, "faults", fired);
	return o;
}

static json_t *verb_block(struct sentry *s, const char *device, bool block)
{
	json_object_set_new(s->blocked, device, json_boolean(block));
	event_emit(s, block ? "device.blocked" : "device.unblocked",
		   json_pack("{s:s}", "device", device));
	admit_again(s);
	return json_pack("{s:b}", "ok", 1);
}

/* @which: device or session number, NULL: all */
static json_t *verb_drop(struct sentry *s, const char *which)
{
	struct session *next;
	int n = 0;

	for (struct session *ses = s->sessions; ses; ses = next) {
		char number[16];

		next = ses->next;
		snprintf(number, sizeof(number), "%u", ses->number);
		if (which && strcmp(which, ses->device) != 0 && strcmp(which, number) != 0)
			continue;
		conn_drop(ses->conn, true, "dropped");
		n++;
	}
	return json_pack("{s:b,s:i}", "ok", 1, "dropped", n);
}

static json_t *verb_fault(struct sentry *s, const char *const *w, size_t n)
{
	const char *why;

	if (n && strcmp(w[0], "off") == 0)
		return json_pack("{s:b,s:i}", "ok", 1, "off",
				 (int)fault_off(s, n > 1 ? w[1] : NULL));
	if (fault_add(s->faults, w, n, &why))
		return failed(why);
	fault_apply_all(s);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *verb_reload(struct sentry *s, bool force)
{
	bool ok = reload_all(s, force);
	json_t *o = reload_status(s);

	if (o && !ok) {
		json_object_set_new(o, "ok", json_false());
		json_object_set_new(o, "error", json_string(
			"a file is invalid and changed nothing; its entry says why"));
	}
	return o;
}

/* @which: a certificate's number, "auto": as the dates say, NULL: just tell */
static json_t *verb_certificate(struct sentry *s, const char *which)
{
	bool by_dates = which && strcmp(which, "auto") == 0;
	char why[1024];

	if (which && !by_dates && strcmp(which, "1") != 0 && strcmp(which, "2") != 0)
		return failed("certificate 1, 2 or auto");
	if (which && !tls_own_use(s, by_dates ? 0u : (unsigned int)(which[0] - '0'), why,
				  sizeof(why)))
		return failed(why);
	return json_pack("{s:b,s:o}", "ok", 1, "certificates", tls_own_status(s));
}

static json_t *control_do(struct sentry *s, const char *const *w, size_t n)
{
	json_t *o;

	if (n && strcmp(w[0], "sessions") == 0)
		return verb_sessions(s);
	if (n == 2 && strcmp(w[0], "block") == 0)
		return verb_block(s, w[1], true);
	if (n == 2 && strcmp(w[0], "unblock") == 0)
		return verb_block(s, w[1], false);
	if (n && strcmp(w[0], "drop") == 0)
		return verb_drop(s, n > 1 ? w[1] : NULL);
	if (n >= 2 && strcmp(w[0], "fault") == 0)
		return verb_fault(s, w + 1, n - 1);
	if (n == 1 && strcmp(w[0], "faults") == 0) {
		o = fault_list(s->faults);
		json_object_set_new(o, "ok", json_true());
		return o;
	}
	if (n == 1 && strcmp(w[0], "counters") == 0)
		return json_pack("{s:b,s:o}", "ok", 1, "counters", control_counters(s));
	if ((n == 1 || n == 2) && strcmp(w[0], "certificate") == 0)
		return verb_certificate(s, n == 2 ? w[1] : NULL);
	if (n == 1 && strcmp(w[0], "status") == 0)
		return reload_status(s);
	if (n && strcmp(w[0], "reload") == 0 &&
	    (n == 1 || (n == 2 && strcmp(w[1], "force") == 0)))
		return verb_reload(s, n == 2);
	return failed("verbs: sessions, block DEVICE, unblock DEVICE, fault NAME [ARGS] | off [NAME], "
		      "faults, counters, drop [DEVICE | SESSION], reload [force], status, "
		      "certificate [1 | 2 | auto]");
}

/* ---- connections --------------------------------------------------------- */

static void control_close(struct control *k)
{
	loop_close(&k->s->loop, &k->src);
	free(k->answer);
	k->answer = NULL;
	n_control--;
	sentry_bury(k->s, &k->grave);
}

void control_accept(struct sentry *s)
{
	int fd = accept4(s->ctl_listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct control *k;

	if (fd < 0)
		return;
	k = n_control < CONTROL_CONNS ? calloc(1, sizeof(*k)) : NULL;
	if (!k) {
		close(fd);
		return;
	}
	n_control++;
	k->s = s;
	k->src = (struct src){ .kind = SRC_CTL, .fd = fd, .owner = k };
	if (loop_add(&s->loop, &k->src, EPOLLIN))
		control_close(k);
}

static void control_answer(struct control *k)
{
	const char *words[CONTROL_WORDS] = { 0 };
	json_error_t je;
	json_t *req = json_loadb(k->request, k->len, 0, &je), *v, *o = NULL;
	size_t n = 0, i;

	json_array_foreach(req, i, v) {
		if (n < CONTROL_WORDS && json_is_string(v))
			words[n++] = json_string_value(v);
	}
	if (!json_is_array(req) || n != json_array_size(req))
		o = failed("a request is one array of at most 32 strings");
	if (!o)
		o = control_do(k->s, words, n);
	json_decref(req);
	k->answer = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
	json_decref(o);
	if (!k->answer) {
		control_close(k);
		return;
	}
	k->answer_len = strlen(k->answer);
	k->answer[k->answer_len++] = '\n';	/* in the NUL's place */
	loop_mod(&k->s->loop, &k->src, EPOLLOUT);
}

void control_event(struct src *src, uint32_t events)
{
	struct control *k = src->owner;
	ssize_t n;

	if (k->answer) {
		n = send(src->fd, k->answer + k->answer_off, k->answer_len - k->answer_off,
			 MSG_NOSIGNAL);
		if (n > 0)
			k->answer_off += (size_t)n;
		if ((n < 0 && errno != EAGAIN) || k->answer_off == k->answer_len)
			control_close(k);
		return;
	}
	(void)events;
	n = recv(src->fd, k->request + k->len, sizeof(k->request) - k->len, 0);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			control_close(k);
		return;
	}
	k->len += (size_t)n;
	if (memchr(k->request, '\n', k->len))
		control_answer(k);
	else if (k->len == sizeof(k->request))
		control_close(k);
}

void control_done(struct sentry *s)
{
	if (s->ctl_listener.fd >= 0)
		unlink(s->conf.control);
	loop_close(&s->loop, &s->ctl_listener);
}
