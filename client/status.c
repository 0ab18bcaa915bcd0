/* SPDX-License-Identifier: MIT */
/*
 * status.c - one snapshot as JSON and as text: the text is made from the same
 * JSON object, so that the two cannot disagree.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "client/engine.h"
#include "client/log.h"

#define STATUS_VERSION	1	/* of the JSON; grows when a member changes its meaning */
#define STATUS_ROUTES	64	/* routes listed one by one; the count is always there */

static json_t *addr_json(const struct ipaddr *a)
{
	char text[ADDR_STRLEN];

	return a->family ? json_string(addr_format(a, text)) : json_null();
}

static json_t *cause_json(const struct engine *e)
{
	const struct session *s = &e->session;
	const struct cause_info *info = cause_info(s->cause);

	if (s->cause == CAUSE_NONE || s->state == SESSION_UP || s->state == SESSION_PROBING)
		return json_null();
	return json_pack("{s:s,s:s,s:s,s:i}", "code", info->code, "text", info->text,
			 "detail", s->why, "exit", info->exit);
}

static json_t *sentry_json(const struct engine *e)
{
	const struct profile_host *h = &e->profile->hosts[e->retry.host];
	json_t *o = json_pack("{s:s,s:i,s:s}", "host", h->name, "port", h->port,
			      "service", e->profile->service);
	char hex[65] = "";
	struct ipaddr addr;
	uint16_t port;
	uint8_t sha[32];
	bool pinned;
	int i;

	if (!o || !e->mux)
		return o;
	conn_peer(e->conn, &addr, &port, sha, &pinned);
	for (i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sha[i]);
	json_object_set_new(o, "address", addr_json(&addr));
	json_object_set_new(o, "certificate", json_sprintf("sha256:%s", hex));
	json_object_set_new(o, "pinned", json_boolean(pinned));
	json_object_set_new(o, "tls", json_string(conn_tls_version(e->conn)));
	json_object_set_new(o, "cipher", json_string(conn_cipher(e->conn)));
	json_object_set_new(o, "rtt_us", json_integer((json_int_t)conn_rtt_us(e->conn)));
	return o;
}

static json_t *interface_json(const struct engine *e)
{
	json_t *addresses;

	if (!e->tunnel)
		return json_null();
	addresses = json_array();
	if (e->offer.addr4.family)
		json_array_append_new(addresses, addr_json(&e->offer.addr4));
	if (e->offer.addr6.family)
		json_array_append_new(addresses, addr_json(&e->offer.addr6));
	return json_pack("{s:s,s:o,s:i,s:b}", "name", e->names.tun, "addresses", addresses,
			 "mtu", e->offer.mtu, "offload", e->vnet_hdr);
}

static json_t *dns_json(const struct engine *e)
{
	json_t *resolvers = json_array(), *search = json_array();
	uint32_t i;

	for (i = 0; e->tunnel && i < e->offer.n_resolvers; i++)
		json_array_append_new(resolvers, addr_json(&e->offer.resolvers[i]));
	for (i = 0; e->tunnel && i < e->offer.n_search; i++)
		json_array_append_new(search, json_string(e->offer.search[i]));
	return json_pack("{s:o,s:o,s:o,s:s}", "service", addr_json(&e->names.service4),
			 "resolvers", resolvers, "search", search, "backend",
			 e->profile->backend == BACKEND_NONE ? "none" : "file");
}

static json_t *prefixes_json(const struct prefix *p, uint32_t n)
{
	json_t *a = json_array();
	char text[PREFIX_STRLEN];
	uint32_t i;

	for (i = 0; i < n && i < STATUS_ROUTES; i++)
		json_array_append_new(a, json_string(prefix_format(&p[i], text)));
	return a;
}

static json_t *counters_json(const struct engine *e)
{
	json_t *o = json_object();
	const struct tunnel_counters *t;
	const struct ns_counters *n;
	const struct mux_counters *m;

#define PUT(name, value) json_object_set_new(o, name, json_integer((json_int_t)(value)))
	PUT("bytes_in", e->bytes_in);
	PUT("bytes_out", e->bytes_out);
	PUT("reconnects", e->session.reconnects);
	PUT("probes", e->kept_probes + (e->mux ? mux_counters(e->mux)->probes_out : 0));
	PUT("probe_rounds", e->probe_rounds);
	if (e->mux) {
		m = mux_counters(e->mux);
		PUT("streams", m->streams);
		PUT("store_bytes", m->store_bytes);
		PUT("credit_outstanding", m->outstanding);
		PUT("dgrams_dropped", m->dgrams_dropped);
	}
	if (e->tunnel) {
		t = tunnel_counters(e->tunnel);
		n = tunnel_ns_counters(e->tunnel);
		PUT("tcp_open", t->tcp_open);
		PUT("tcp_total", t->tcp_total);
		PUT("tcp_refused", t->tcp_refused);
		PUT("tcp_reset", t->tcp_reset);
		PUT("udp_associations", t->udp_assocs);
		PUT("udp_direct", t->udp_direct);
		PUT("udp_dropped", t->udp_dropped);
		PUT("echo", t->echo);
		PUT("dns_queries", t->dns_queries);
		PUT("dns_failures", t->dns_failures);
		PUT("bytes_up", t->bytes_up);
		PUT("bytes_down", t->bytes_down);
		PUT("packets_in", n->packets_in);
		PUT("packets_out", n->packets_out);
		PUT("packets_malformed", n->malformed);
		PUT("packets_multicast", n->dropped_multicast);
		PUT("packets_other_protocol", n->other_proto);
		PUT("packets_no_flow", n->rst_no_flow);
		PUT("segments_out_of_window", n->tcp_unacceptable);
		PUT("fragments_dropped", n->frag_dropped);
		PUT("fragments_reassembled", n->reassembled);
		PUT("icmp_errors", n->icmp_sent);
		PUT("icmp_limited", n->icmp_limited);
		PUT("packets_lost_to_tun", n->output_failed);
	}
#undef PUT
	return o;
}

/* What weakens this connection is said each time somebody looks. */
static json_t *findings_json(const struct engine *e)
{
	json_t *a = json_array();

	/* what the daemon has to say of the profile's file comes first */
	for (const char *n = e->notes; n && *n; ) {
		size_t len = strcspn(n, "\n");

		json_array_append_new(a, json_stringn(n, len));
		n += len + (n[len] == '\n');
	}
	if (e->profile->pinning_disabled)
		json_array_append_new(a, json_string("pinning is disabled: any server whose name and chain are in order is taken for Sentry"));
	else if (e->profile->n_pins == 1)
		json_array_append_new(a, json_string("only one certificate is pinned: a change of Sentry's certificate cuts this device off"));
	if (e->profile->lock_mode == LOCK_OFF)
		json_array_append_new(a, json_string("[lock] Mode = off: while the tunnel is down its traffic leaves unprotected"));
	if (log_level == LOG_LVL_PACKET)
		json_array_append_new(a, json_string("log level packet: lengths and DNS names of all traffic are logged"));
	return a;
}

static json_t *status_object(const struct engine *e, uint64_t now)
{
	const struct session *s = &e->session;
	json_t *spent = json_object();
	char stamp[32];
	struct tm tm;
	int i;

	gmtime_r(&e->since_wall, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	for (i = 0; i < SESSION_STATES; i++) {
		uint64_t us = s->spent[i] + (i == (int)s->state ? now - s->since : 0);

		if (us)
			json_object_set_new(spent, session_state_name((enum session_state)i),
					    json_integer((json_int_t)(us / USEC_PER_MSEC)));
	}
	return json_pack("{s:i,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o,s:i,s:i},s:o,s:o}",
			 "version", STATUS_VERSION, "client", APPTUNNEL_VERSION,
			 "profile", e->profile->stem,
			 "state", session_state_name(s->state), "since", stamp,
			 "spent_ms", spent, "cause", cause_json(e), "sentry", sentry_json(e),
			 "interface", interface_json(e), "dns", dns_json(e),
			 "routes", "included", prefixes_json(e->profile->routes, e->profile->n_routes),
			 "excluded", prefixes_json(e->profile->excluded, e->profile->n_excluded),
			 "n_included", (int)e->profile->n_routes,
			 "n_excluded", (int)e->profile->n_excluded,
			 "counters", counters_json(e), "findings", findings_json(e));
}

char *status_json(const struct engine *e, uint64_t now)
{
	json_t *o = status_object(e, now);
	char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;

	json_decref(o);
	return text;
}

/* ---- text ------------------------------------------------------------------------ */

static void put_list(FILE *f, const char *label, json_t *list)
{
	json_t *v;
	size_t i;

	if (!json_array_size(list))
		return;
	fprintf(f, "  %-12s", label);
	json_array_foreach(list, i, v)
		fprintf(f, "%s%s", i ? ", " : "", json_string_value(v));
	fputc('\n', f);
}

static const char *member(json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "-";
}

static json_int_t number(json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

char *status_text(const struct engine *e, uint64_t now)
{
	json_t *o = status_object(e, now), *sub, *v;
	char *text = NULL;
	size_t size, i;
	FILE *f;

	f = o ? open_memstream(&text, &size) : NULL;
	if (!f)
		goto out;
	fprintf(f, "%s: %s since %s\n", member(o, "profile"), member(o, "state"),
		member(o, "since"));
	sub = json_object_get(o, "cause");
	if (json_is_object(sub))
		fprintf(f, "  %-12s%s %s\n", "cause", member(sub, "text"), member(sub, "detail"));
	sub = json_object_get(o, "sentry");
	fprintf(f, "  %-12s%s port %d", "sentry", member(sub, "host"), (int)number(sub, "port"));
	if (json_object_get(sub, "address"))
		fprintf(f, " at %s, %s, %s", member(sub, "address"), member(sub, "tls"),
			json_is_true(json_object_get(sub, "pinned")) ? "pinned" : "NOT pinned");
	fputc('\n', f);
	sub = json_object_get(o, "interface");
	if (json_is_object(sub)) {
		fprintf(f, "  %-12s%s, MTU %d\n", "interface", member(sub, "name"),
			(int)number(sub, "mtu"));
		put_list(f, "addresses", json_object_get(sub, "addresses"));
	}
	sub = json_object_get(o, "routes");
	put_list(f, "routes", json_object_get(sub, "included"));
	put_list(f, "excluded", json_object_get(sub, "excluded"));
	sub = json_object_get(o, "dns");
	put_list(f, "resolvers", json_object_get(sub, "resolvers"));
	put_list(f, "search", json_object_get(sub, "search"));
	sub = json_object_get(o, "counters");
	fprintf(f, "  %-12s%" JSON_INTEGER_FORMAT " up, %" JSON_INTEGER_FORMAT " down, %"
		JSON_INTEGER_FORMAT " TCP open, %" JSON_INTEGER_FORMAT " reconnects\n", "bytes",
		number(sub, "bytes_up"), number(sub, "bytes_down"), number(sub, "tcp_open"),
		number(sub, "reconnects"));
	json_array_foreach(json_object_get(o, "findings"), i, v)
		fprintf(f, "  %-12s%s\n", "warning", json_string_value(v));
	fclose(f);
out:
	json_decref(o);
	return text;
}
