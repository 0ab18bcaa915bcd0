/* SPDX-License-Identifier: MIT */
/*
 * event.c - one JSON line per event.  Audit lines carry the field names that the
 * vendor publishes for its gateway's log, so that tools made for that log read
 * this one.
 */
#include "tests/sentry/sentry.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

int64_t event_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

const char *event_time(int64_t wall_us, char buf[32])
{
	time_t t = (time_t)(wall_us / 1000000);
	struct tm tm;
	size_t n;

	gmtime_r(&t, &tm);
	n = strftime(buf, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, 32 - n, ".%06dZ", (int)(wall_us % 1000000));
	return buf;
}

static void event_line(struct sentry *s, json_t *line)
{
	if (!line)
		return;
	/* the turn's end flushes */
	json_dumpf(line, s->out, JSON_COMPACT);
	fputc('\n', s->out);
	json_decref(line);
}

void event_emit(struct sentry *s, const char *event, json_t *o)
{
	char when[32];
	json_t *line = json_pack("{s:s,s:s}", "event", event, "time",
				 event_time(event_wall(), when));

	if (line && o)
		json_object_update(line, o);
	json_decref(o);
	event_line(s, line);
}

static const char *service_type(const struct service *sv)
{
	switch (sv->kind) {
	case SERVICE_IP_ANY:
		return "IP_TUNNEL";
	case SERVICE_TCP_ANY:
	case SERVICE_TCP:
		return "TCP_TUNNEL";
	}
	return "";
}

static const char *proto_text(uint8_t proto)
{
	switch (proto) {
	case MUX_TCP:
		return "tcp";
	case MUX_UDP:
		return "udp";
	case MUX_ICMP:
	case MUX_ICMP6:
		return "icmp";
	}
	return "other";
}

void event_audit(struct stream *st, const struct opening *op, const struct ipaddr *addr,
		 uint16_t port, const char *action, const char *reason)
{
	struct session *ses = st->ses;
	struct sentry *s = ses->s;
	char when[32], entry[32], peer[ADDR_STRLEN], far[ADDR_STRLEN];
	const char *host = op && op->open.name[0] ? op->open.name : addr_format(addr, far);

	snprintf(entry, sizeof(entry), "%" PRIu64, ++s->entry);
	event_line(s, json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:{},s:s,s:i,s:s,s:s,s:s,s:i}",
		"publishTime", event_time(event_wall(), when), "entryID", entry,
		"useCaseID", "AppTunnel", "entryType", "access",
		"userID", ses->user, "deviceID", ses->device, "deviceType", ses->platform,
		"serviceType", service_type(ses->service), "serviceName", ses->service->name,
		"clientHost", ses->conn ? addr_format(&ses->conn->peer, peer) : "-",
		"clientPort", ses->conn ? (int)ses->conn->peer_port : 0,
		"requestUrl", "", "httpMethod", "",
		"applicationId", op ? op->open.app : "", "contextHeaders",
		"serverHost", host, "serverPort", (int)port, "action", action,
		"reason", reason, "protocol", proto_text(st->proto),
		"session", (int)ses->number));
}
