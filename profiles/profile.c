/* SPDX-License-Identifier: MIT */
/* profile.c - the record itself: its defaults, and whether one is sound */
#include "profiles/profile.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

void profile_defaults(struct profile *p)
{
	memset(p, 0, sizeof(*p));
	p->magic = PROFILE_MAGIC;
	p->version = PROFILE_VERSION;
	p->size = sizeof(*p);
	memcpy(p->service, "<IP_ANY>", sizeof("<IP_ANY>"));
	memcpy(p->platform, "linux", sizeof("linux"));
	p->tls_max = TLS_MAX_1_3;
	p->n_routes = 1;
	p->routes[0].addr.family = 4;
	p->mtu = 1400;
	p->tcp_idle_ms = 1800000;
	p->disconnect_s = 60;
	p->probe_idle_s = 60;
	p->probe_interval_s = 1;
	p->probe_count = 5;
	p->backend = BACKEND_AUTO;
	p->lock_mode = LOCK_SESSION;
	p->allow_inbound = 1;
	p->lock_ipv6 = LOCK_IPV6_BLOCK;
	p->log_level = LOG_LVL_INFO;
	p->analytics = 1;
}

static bool text_sound(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

static bool path_sound(const char *s)
{
	return text_sound(s, PROFILE_PATH_MAX) && (!*s || *s == '/');
}

static bool stem_sound(const char *s, size_t size)
{
	size_t n, i;

	if (!text_sound(s, size))
		return false;
	n = strlen(s);
	for (i = 0; i < n; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '-'))
			return false;
	}
	return n > 0;
}

/* Unused bytes are zero, so that records and addresses compare as bytes. */
static bool addr_sound(const struct ipaddr *a, bool may_be_empty)
{
	size_t i = addr_len(a->family);

	if (!i && (a->family || !may_be_empty))
		return false;
	for (; i < sizeof(a->bytes); i++) {
		if (a->bytes[i])
			return false;
	}
	return true;
}

static bool prefixes_sound(const struct prefix *v, uint32_t n)
{
	uint32_t i;

	if (n > PROFILE_MAX_PREFIXES)
		return false;
	for (i = 0; i < n; i++) {
		struct prefix p = v[i];

		if (!addr_sound(&p.addr, false) || p.len > addr_len(p.addr.family) * 8 ||
		    prefix_mask(&p))
			return false;
	}
	return true;
}

/* Inside fc00::/7, /7 to /64; or not there at all. */
static bool ula_sound(const struct prefix *p)
{
	if (!p->addr.family)
		return addr_sound(&p->addr, true) && !p->len;
	return prefixes_sound(p, 1) && p->addr.family == 6 && p->len >= 7 && p->len <= 64 &&
	       (p->addr.bytes[0] & 0xfe) == 0xfc;
}

static bool sentry_sound(const struct profile *p)
{
	uint32_t i;

	if (p->n_hosts > PROFILE_MAX_HOSTS || p->n_pins > PROFILE_MAX_PINS)
		return false;
	for (i = 0; i < p->n_hosts; i++) {
		const struct profile_host *h = &p->hosts[i];

		if (!text_sound(h->name, sizeof(h->name)) || !*h->name || !h->port ||
		    !addr_sound(&h->addr, true))
			return false;
	}
	for (i = 0; i < p->n_pins; i++) {
		const struct profile_pin *pin = &p->pins[i];

		if (pin->kind > PIN_KEY_SHA256 || !path_sound(pin->path) ||
		    (pin->kind == PIN_FILE) != (*pin->path != '\0'))
			return false;
	}
	return text_sound(p->service, sizeof(p->service)) &&
	       text_sound(p->device_id, sizeof(p->device_id)) &&
	       text_sound(p->user_id, sizeof(p->user_id)) &&
	       text_sound(p->platform, sizeof(p->platform)) && path_sound(p->certificate) &&
	       path_sound(p->private_key) && path_sound(p->chain) && path_sound(p->ca_file);
}

static bool tunnel_sound(const struct profile *p)
{
	uint32_t i, last = 0;

	if (!prefixes_sound(p->routes, p->n_routes) ||
	    !prefixes_sound(p->excluded, p->n_excluded) || p->n_ports > PROFILE_MAX_PORTS)
		return false;
	for (i = 0; i < p->n_ports; i++) {
		/* sorted, merged, and without 0: `last` begins below port 1 */
		if (p->ports[i].lo <= last || p->ports[i].hi < p->ports[i].lo)
			return false;
		last = p->ports[i].hi;
	}
	return p->mtu >= 1280 && ula_sound(&p->ipv6_prefix) && p->direct_localhost <= 1 && addr_sound(&p->tun4, true) && addr_sound(&p->tun6, true) &&
	       (!p->tun4.family || (p->tun4.family == 4 && addr_is_assignable(&p->tun4))) &&
	       (!p->tun6.family || (p->tun6.family == 6 && addr_is_assignable(&p->tun6)));
}

static bool in(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max;
}

static bool dns_sound(const struct profile *p)
{
	uint32_t i;

	if (p->n_resolvers > PROFILE_MAX_RESOLVERS || p->n_search > PROFILE_MAX_SEARCH)
		return false;
	for (i = 0; i < p->n_resolvers; i++) {
		if (!addr_sound(&p->resolvers[i], false))
			return false;
	}
	for (i = 0; i < p->n_search; i++) {
		const char *s = p->search[i];

		if (!text_sound(s, PROFILE_NAME_MAX) || !*s ||
		    s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			     "0123456789-_.")])
			return false;
	}
	return true;
}

int profile_check_record(const struct profile *p, size_t size)
{
	if (size != sizeof(*p) || p->magic != PROFILE_MAGIC || p->version != PROFILE_VERSION ||
	    p->size != sizeof(*p))
		return -EBADMSG;
	if (!stem_sound(p->stem, sizeof(p->stem)) || !text_sound(p->name, sizeof(p->name)) ||
	    !text_sound(p->description, sizeof(p->description)))
		return -EBADMSG;
	if (p->provider > PROVIDER_APP_PROXY || p->scope > SCOPE_PER_APP ||
	    p->mode > MODE_SENTRY_ACCESS ||
	    p->tls_max > TLS_MAX_1_3 || p->pinning_disabled > 1 || p->udp_split > 1 ||
	    p->backend > BACKEND_NONE || p->lock_mode > LOCK_OFF || p->allow_inbound > 1 ||
	    p->lock_ipv6 > LOCK_IPV6_DIRECT || p->allow_lan > 1 ||
	    p->log_level > LOG_LVL_PACKET ||
	    p->analytics > 1 || !text_sound(p->debug_recipient, sizeof(p->debug_recipient)))
		return -EBADMSG;
	if (!in(p->probe_idle_s, 1, 86400) || !in(p->probe_interval_s, 1, 3600) ||
	    !in(p->probe_count, 1, 100))
		return -EBADMSG;
	if (!sentry_sound(p) || !tunnel_sound(p) || !dns_sound(p))
		return -EBADMSG;
	return 0;
}
