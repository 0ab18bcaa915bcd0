/* SPDX-License-Identifier: MIT */
/*
 * control.c - the command line's questions, on descriptors that the daemon
 * accepted, checked and handed over.  Nothing here may wait: an answer is
 * text in memory that leaves as the caller reads it, within a deadline.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "client/engine.h"
#include "client/log.h"
#include "client/policy.h"

#define CONTROL_FOLLOW_BATCH	65536	/* bytes of log made at once */
#define CONTROL_FOLLOW_US	(200 * USEC_PER_MSEC)	/* the ring is looked at so often */

struct control {
	struct loop_src src;
	struct control *next;
	struct control_request req;
	char *out;			/* what is still to be sent */
	size_t out_len, out_sent, out_size;
	uint64_t deadline;		/* for the next progress of a write */
	uint64_t cursor;		/* log */
	bool done;			/* the exit line is in out */
	bool follow;
};

static void control_close(struct engine *e, struct control *c)
{
	struct control **p = &e->controls;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	e->n_controls--;
	loop_del(e->loop, &c->src);
	close(c->src.fd);
	free(c->out);
	free(c);
}

void control_free_all(struct engine *e)
{
	while (e->controls)
		control_close(e, e->controls);
}

static void out_bytes(struct control *c, const char *data, size_t len)
{
	size_t size = c->out_size ? c->out_size : 4096;
	char *p;

	while (size < c->out_len + len)
		size *= 2;
	if (size != c->out_size) {
		p = realloc(c->out, size);
		if (!p)
			return;		/* the answer is cut; the exit line shows it is missing */
		c->out = p;
		c->out_size = size;
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
}

/* Each line of @text becomes an `out` line. */
static void out_text(struct control *c, const char *text)
{
	size_t len;

	while (*text) {
		len = strcspn(text, "\n");
		out_bytes(c, "out ", 4);
		out_bytes(c, text, len);
		out_bytes(c, "\n", 1);
		text += len + (text[len] == '\n');
	}
}

__attribute__((format(printf, 2, 3)))
static void out_line(struct control *c, const char *fmt, ...)
{
	char line[CONTROL_LINE_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if (n >= (int)sizeof(line) - 1)
		n = sizeof(line) - 2;
	line[n] = '\n';
	out_bytes(c, line, (size_t)n + 1);
}

static void out_exit(struct control *c, int code)
{
	out_line(c, "exit %d", code);
	c->done = true;
}

/* ---- verbs -------------------------------------------------------------------- */

static void answer_status(struct engine *e, struct control *c, uint64_t now)
{
	bool json = c->req.flags & CONTROL_F_JSON;
	char *text = json ? status_json(e, now) : status_text(e, now);

	if (text)
		out_text(c, text);
	free(text);
	out_exit(c, text ? 0 : 1);
}

static const char *proto_name(uint8_t proto)
{
	return proto == MUX_TCP ? "tcp" : proto == MUX_UDP ? "udp" : "icmp";
}

static void answer_explain(struct engine *e, struct control *c)
{
	struct policy_query q = {
		.proto = c->req.proto, .dst = c->req.addr, .port = c->req.port,
		.service4 = e->names.service4, .service6 = e->names.service6,
	};
	char addr[ADDR_STRLEN];
	struct policy_answer a;
	json_t *o;
	char *text;

	policy_decide(e->profile, &q, &a);
	if (c->req.flags & CONTROL_F_JSON) {
		/* the members of ctl_explain.c, and the state */
		o = json_pack("{s:i,s:s,s:s,s:s}", "version", 1, "profile", e->profile->stem,
			      "protocol", proto_name(q.proto), "address",
			      addr_format(&q.dst, addr));
		if (o && q.port)
			json_object_set_new(o, "port", json_integer(q.port));
		if (o)
			json_object_update_new(o, json_pack("{s:s,s:s,s:s}", "verdict",
					       verdict_name(a.verdict), "reason", a.reason, "state",
					       session_state_name(e->session.state)));
		text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
		if (text)
			out_text(c, text);
		free(text);
		json_decref(o);
	} else {
		out_line(c, "out %s: %s", verdict_name(a.verdict), a.reason);
	}
	out_exit(c, 0);
}

static void json_log_line(struct control *c, const char *line)
{
	char when[32] = "", level[16] = "", code[64] = "";
	int text = 0;
	json_t *o;
	char *s;

	if (sscanf(line, "%31s %15s %63[^:]: %n", when, level, code, &text) < 3)
		return;
	o = json_pack("{s:s,s:s,s:s,s:s}", "time", when, "level", level, "code", code,
		      "text", line + text);
	s = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (s)
		out_line(c, "out %s", s);
	free(s);
	json_decref(o);
}

/* As much of the ring as fits in one batch; the rest follows as it is read. */
static void answer_log(struct control *c)
{
	char line[LOG_LINE_MAX];

	while (c->out_len < CONTROL_FOLLOW_BATCH) {
		if (!log_read(&c->cursor, line, sizeof(line))) {
			if (!c->follow)
				out_exit(c, 0);
			return;
		}
		if (c->req.flags & CONTROL_F_JSON)
			json_log_line(c, line);
		else
			out_line(c, "out %s", line);
	}
}

static void answer_log_start(struct control *c)
{
	c->cursor = log_oldest();
	c->follow = c->req.flags & CONTROL_F_FOLLOW;
	if (c->req.flags & CONTROL_F_SET_LEVEL &&
	    log_set_level((enum profile_log_level)c->req.level))
		LOG(LOG_LVL_INFO, "log.level", "set to %s",
		    log_level_name((enum profile_log_level)c->req.level));
	answer_log(c);
}

/* ---- the connection -------------------------------------------------------------- */

/* Return: false when the connection was closed. */
static bool control_write(struct engine *e, struct control *c, uint64_t now)
{
	ssize_t n;

	for (;;) {
		if (c->out_sent == c->out_len) {
			c->out_sent = c->out_len = 0;
			if (!c->done && c->req.verb == CONTROL_LOG)
				answer_log(c);
			if (!c->out_len)
				break;
		}
		n = send(c->src.fd, c->out + c->out_sent, c->out_len - c->out_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			loop_mod(e->loop, &c->src, EPOLLOUT | EPOLLRDHUP);
			return true;
		}
		if (n < 0) {
			control_close(e, c);
			return false;
		}
		c->out_sent += (size_t)n;
		c->deadline = now + CONTROL_DEADLINE_MS * USEC_PER_MSEC;
	}
	if (c->done) {
		control_close(e, c);
		return false;
	}
	loop_mod(e->loop, &c->src, EPOLLRDHUP);
	return true;
}

void control_accept(struct engine *e, int fd, const struct control_request *req, uint64_t now)
{
	struct control *c = e->n_controls < ENGINE_CONTROLS ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		static const char busy[] = "err apptunnel: too many questions at once, try again\nexit 1\n";

		if (send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			LOG(LOG_LVL_DEBUG, "control.busy", "caller not told");
		close(fd);
		return;
	}
	c->src = (struct loop_src){ .kind = EV_CONTROL, .fd = fd, .owner = c };
	c->req = *req;
	c->next = e->controls;
	e->controls = c;
	e->n_controls++;
	c->deadline = now + CONTROL_DEADLINE_MS * USEC_PER_MSEC;
	if (loop_add(e->loop, &c->src, EPOLLRDHUP) < 0) {
		control_close(e, c);
		return;
	}
	switch ((enum control_verb)req->verb) {
	case CONTROL_STATUS:
		answer_status(e, c, now);
		break;
	case CONTROL_EXPLAIN:
		answer_explain(e, c);
		break;
	case CONTROL_LOG:
		answer_log_start(c);
		break;
	case CONTROL_CONNECT:
	case CONTROL_DISCONNECT:
	case CONTROL_APPLY:
	case CONTROL_CONFIRM:
	case CONTROL_ROLLBACK:
		out_line(c, "err apptunnel: this is the daemon's to answer");
		out_exit(c, 1);
		break;
	}
	control_write(e, c, now);
}

void control_event(struct engine *e, struct loop_src *src, uint32_t events, uint64_t now)
{
	struct control *c = src->owner;

	if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
		control_close(e, c);
	else
		control_write(e, c, now);
}

uint64_t control_timer(struct engine *e, uint64_t now)
{
	uint64_t until = UINT64_MAX;
	struct control *c, *next;

	for (c = e->controls; c; c = next) {
		next = c->next;
		if (c->out_sent < c->out_len) {		/* the caller does not read */
			if (now >= c->deadline) {
				control_close(e, c);
				continue;
			}
			until = c->deadline < until ? c->deadline : until;
		} else if (c->follow && control_write(e, c, now)) {
			until = now + CONTROL_FOLLOW_US < until ? now + CONTROL_FOLLOW_US : until;
		}
	}
	return until;
}
