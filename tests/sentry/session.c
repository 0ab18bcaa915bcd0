/* SPDX-License-Identifier: MIT */
/*
 * session.c - a session: admitted by its POST, told to go, ended.  Nothing here
 * walks over the streams but the end.  Its bytes are session_io.c's.
 */
#include "tests/sentry/session_priv.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the mux asks --------------------------------------------------- */

static size_t session_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	struct session *ses = ctx;

	/* a session that is ending has lost its streams already */
	if (ses->closing || !user)
		return 0;
	return tcp_pull(user, dst, max);
}

static void session_closed(void *ctx, void *user)
{
	struct session *ses = ctx;
	struct stream *st = user;

	if (ses->closing || !st)
		return;
	st->ms = NULL;
	stream_forget(st);
}

/* ---- begin and end ------------------------------------------------------- */

static const char *session_id(struct session *ses, const uint8_t raw[ATP_SESSION_ID])
{
	static const char abc[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0, have = 0, n = 0;

	for (int i = 0; i < ATP_SESSION_ID; i++) {
		bits = bits << 8 | raw[i];
		for (have += 8; have >= 6; have -= 6)
			ses->id[n++] = abc[bits >> (have - 6) & 63];
	}
	ses->id[n++] = abc[bits << (6 - have) & 63];
	ses->id[n] = 0;
	return ses->id;
}

static void session_free(struct session *ses)
{
	mux_free(ses->mux);
	free(ses->device);
	free(ses->user);
	ses->mux = NULL;
	ses->device = ses->user = NULL;
}

static struct session *session_new(struct conn *c, const struct atp_request *r,
				   const struct service *sv)
{
	static const struct mux_ops ops = { session_pull, session_closed };
	struct sentry *s = c->s;
	struct mux_config mc = { .role = MUX_SERVER, .max_streams = s->conf.offer.max_streams };
	struct session *ses = calloc(1, sizeof(*ses));

	if (!ses)
		return NULL;
	ses->s = s;
	ses->conn = c;
	ses->service = sv;
	ses->mux_timer = (struct timer){ .kind = TIMER_MUX, .owner = ses };
	ses->device = strdup(r->device_id);
	ses->user = strdup(r->user_id);
	ses->mux = mux_new(&mc, &ops, ses);
	if (!ses->device || !ses->user || !ses->mux) {
		session_free(ses);
		free(ses);
		return NULL;
	}
	memcpy(ses->thumb, c->thumb, sizeof(ses->thumb));
	snprintf(ses->platform, sizeof(ses->platform), "%s", r->platform);
	snprintf(ses->client, sizeof(ses->client), "%s", r->client);
	ses->tcp_idle_ms = r->tcp_idle_ms;
	ses->number = ++s->session_number;
	ses->since = event_wall();
	ses->since_mono = ses->fault_at = s->now;
	return ses;
}

void session_say(struct session *ses, const char *event, json_t *more)
{
	struct conn *c = ses->conn;
	char peer[ADDR_STRLEN];
	json_t *o = json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:i}", "session", (int)ses->number,
			      "id", ses->id, "device", ses->device, "user", ses->user,
			      "service", ses->service->name,
			      "clientHost", c ? addr_format(&c->peer, peer) : "-",
			      "clientPort", c ? (int)c->peer_port : 0);

	if (o && more)
		json_object_update(o, more);
	json_decref(more);
	event_emit(ses->s, event, o);
}

bool session_begin(struct conn *c, const struct atp_request *r)
{
	struct sentry *s = c->s;
	const struct service *sv = NULL;
	uint8_t raw[ATP_SESSION_ID];
	char config[LIMIT_CONFIG];
	struct session *ses;
	struct fault *f;
	int n, len;

	if (!admit_request(c, r, &sv))
		return false;
	ses = session_new(c, r, sv);
	c->head = malloc(1024);
	if (!ses || !c->head || RAND_bytes(raw, sizeof(raw)) != 1)
		goto nomem;
	session_id(ses, raw);
	/* a request to resume gets a new session: nothing is kept here yet */
	n = atp_accept_write(c->head, 1024, raw, false, 0);
	if (n < 0)
		goto nomem;
	c->head_len = (size_t)n;
	c->head_off = 0;
	f = fault_find(s->faults, FAULT_NO_CONFIG, ses->device);
	if (f) {
		fault_fire(s, f, ses->device);
	} else {
		len = atp_config_write(&s->conf.offer, config, sizeof(config));
		if (len < 0 || mux_send_config(ses->mux, config, (size_t)len))
			goto nomem;
	}
	ses->next = s->sessions;
	if (ses->next)
		ses->next->prev = ses;
	s->sessions = ses;
	c->ses = ses;
	s->counters.sessions++;
	session_say(ses, "session.open", json_pack("{s:s,s:s,s:b,s:s,s:s,s:i,s:b}",
		    "tls", SSL_get_version(c->ssl), "cipher", SSL_get_cipher_name(c->ssl),
		    "tlsResumed", SSL_session_reused(c->ssl), "platform", ses->platform,
		    "client", ses->client, "tcpIdleMs", (int)ses->tcp_idle_ms,
		    "resumeAsked", (int)r->resume));
	return true;
nomem:
	if (ses) {
		session_free(ses);
		free(ses);
	}
	free(c->head);
	c->head = NULL;
	conn_refuse(c, 503, "busy", "out of memory", SENTRY_BUSY_S);
	return false;
}

void session_drop_streams(struct session *ses)
{
	ses->closing = true;
	ses->reap = NULL;
	while (ses->streams) {
		ses->streams->ms = NULL;
		stream_gone(ses->streams, true);
	}
}

void session_end(struct session *ses, const char *why)
{
	struct sentry *s = ses->s;
	const struct mux_counters *k = mux_counters(ses->mux);

	session_drop_streams(ses);
	s->counters.sessions_ended++;
	session_say(ses, "session.close", json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "reason", why,
		    "bytesIn", (json_int_t)k->bytes_in, "bytesOut", (json_int_t)k->bytes_out,
		    "farIn", (json_int_t)ses->far_in, "farOut", (json_int_t)ses->far_out,
		    "streams", (json_int_t)ses->streams_total,
		    "probes", (json_int_t)ses->probes));
	timer_off(&s->loop, &ses->mux_timer);
	if (ses->prev)
		ses->prev->next = ses->next;
	else
		s->sessions = ses->next;
	if (ses->next)
		ses->next->prev = ses->prev;
	if (ses->conn)
		ses->conn->ses = NULL;
	ses->conn = NULL;
	session_free(ses);
	sentry_bury(s, &ses->grave);
}

void session_goaway(struct session *ses, enum mux_goaway reason, const char *text)
{
	static const char *const names[] = {
		"bye", "draining", "revoked", "protocol_error", "replaced", "internal",
	};

	if (ses->closing)
		return;
	ses->s->counters.goaways++;
	mux_goaway(ses->mux, reason, ses->last_id, text);
	session_say(ses, "session.goaway", json_pack("{s:s,s:s}", "reason",
		    (unsigned int)reason < 6 ? names[reason] : "other", "text", text));
	if (reason == MUX_DRAINING) {
		conn_touch(ses->conn);
		return;
	}
	session_drop_streams(ses);
	conn_closing(ses->conn);
}
