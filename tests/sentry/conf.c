/* SPDX-License-Identifier: MIT */
/*
 * conf.c - the INI file: its keys, and what must hold of them together.
 * iniparser gives the values, conf_value.c and conf_tls.c understand them;
 * conf_scan.c looked at the raw text before it, for line numbers and for what
 * iniparser would swallow.
 */
#define _GNU_SOURCE
#include "tests/sentry/conf_scan.h"
#include "tests/sentry/conf_tls.h"
#include "tests/sentry/conf_value.h"
#include "tests/sentry/sentry.h"

#include <ctype.h>
#include <errno.h>
#include <iniparser/iniparser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum key {
	K_LISTEN, K_CERTIFICATE, K_PRIVATE_KEY, K_CHAIN, K_CERTIFICATE2, K_PRIVATE_KEY2,
	K_CHAIN2, K_DEVICE_CA, K_CRL, K_DEVICES, K_DEVICE_SIGNER, K_DEVICE_STATE,
	K_ALLOW_UNREGISTERED, K_SERVICES, K_POOL4, K_POOL6, K_DNS, K_SEARCH, K_MTU,
	K_MAX_STREAMS, K_TLS_MIN, K_TLS_MAX, K_CIPHERS, K_AUDIT, K_CONTROL,
	K_ALLOW_LOOPBACK, K_ALLOW_DESTINATIONS, K_RESOLVERS, K_IDLE_UDP, K_IDLE_DNS,
	K_CONNECT, K_SERVER,
	KEYS
};

static const struct {
	const char *name;
	bool list;
	const char *help;	/* what it holds; its default */
} keys[] = {
	[K_LISTEN] = { "Listen", true,
		"addresses, each with :PORT or 443; 0.0.0.0:443" },
	[K_CERTIFICATE] = { "Certificate", false,
		"PEM, own certificate (intermediates may follow it)" },
	[K_PRIVATE_KEY] = { "PrivateKey", false,
		"PEM" },
	[K_CHAIN] = { "Chain", false,
		"PEM, intermediates to send" },
	[K_CERTIFICATE2] = { "Certificate2", false,
		"PEM, takes over when the first has expired, or by `ctl certificate 2`" },
	[K_PRIVATE_KEY2] = { "PrivateKey2", false,
		"PEM" },
	[K_CHAIN2] = { "Chain2", false,
		"PEM, intermediates to send with it" },
	[K_DEVICE_CA] = { "DeviceCa", true,
		"PEM, who signs device certificates; a file may hold several" },
	[K_CRL] = { "Crl", true,
		"PEM or DER, certificates that those have revoked; read again when it changes" },
	[K_DEVICES] = { "Devices", false,
		"JSON lines: DeviceUid, CertThumbprint, UserId, EnrollmentStatus, ..." },
	[K_DEVICE_SIGNER] = { "DeviceSigner", false,
		"PEM, who signs the device list; an unsigned one is refused then" },
	[K_DEVICE_STATE] = { "DeviceState", false,
		"file that remembers the signed list's Version; that of Devices with .seen" },
	[K_ALLOW_UNREGISTERED] = { "AllowUnregistered", false,
		"true: serve devices that are not listed; false" },
	[K_SERVICES] = { "Services", true,
		"<IP_ANY>, <TCP_ANY>, names that begin with TCP; both built-in ones" },
	[K_POOL4] = { "Pool4", false,
		"prefix, devices get its first address, or none; 172.28.13.0/29" },
	[K_POOL6] = { "Pool6", false,
		"likewise; fd61:7070:7475:13::/64" },
	[K_DNS] = { "Dns", true,
		"resolvers that devices are told" },
	[K_SEARCH] = { "Search", true,
		"search domains that devices are told" },
	[K_MTU] = { "Mtu", false,
		"1280..65535; 1400" },
	[K_MAX_STREAMS] = { "MaxStreams", false,
		"of a session, 1..1048576; 65536" },
	[K_TLS_MIN] = { "TlsMin", false,
		"1.0 .. 1.3; 1.2" },
	[K_TLS_MAX] = { "TlsMax", false,
		"1.0 .. 1.3; 1.3" },
	[K_CIPHERS] = { "Ciphers", true,
		"suites of TLS 1.2 and 1.3 by preference, see sentry(1); all of them" },
	[K_AUDIT] = { "Audit", false,
		"file for events and audit lines, or -; -" },
	[K_CONTROL] = { "Control", false,
		"Unix socket for `sentry ctl`; none" },
	[K_ALLOW_LOOPBACK] = { "AllowLoopback", false,
		"true: devices reach this machine's 127.0.0.1 and ::1; false" },
	[K_ALLOW_DESTINATIONS] = { "AllowDestinations", true,
		"prefixes that are allowed whatever they are" },
	[K_RESOLVERS] = { "Resolvers", true,
		"for names of backends, with :PORT; the machine's" },
	[K_IDLE_UDP] = { "IdleUdp", false,
		"seconds until an association ends; 300" },
	[K_IDLE_DNS] = { "IdleDns", false,
		"likewise when it used port 53 only; 20" },
	[K_CONNECT] = { "ConnectTimeout", false,
		"seconds a backend has to answer; 30" },
	[K_SERVER] = { "Server", true,
		"Server.NAME, of a TCP service: HOST:PORT list; anything" },
};
_Static_assert(sizeof(keys) / sizeof(*keys) == KEYS, "a row for each key");

static void get_value(struct conf_reader *r, enum key k, const char *sub, const char *v)
{
	struct conf *c = r->c;
	uint32_t n = 0;

	switch (k) {
	case K_LISTEN:
		conf_get_listen(r, v);
		return;
	case K_CERTIFICATE:
		conf_get_text(r, v, &c->own[0].certificate);
		return;
	case K_PRIVATE_KEY:
		conf_get_text(r, v, &c->own[0].private_key);
		return;
	case K_CHAIN:
		conf_get_text(r, v, &c->own[0].chain);
		return;
	case K_CERTIFICATE2:
		conf_get_text(r, v, &c->own[1].certificate);
		return;
	case K_PRIVATE_KEY2:
		conf_get_text(r, v, &c->own[1].private_key);
		return;
	case K_CHAIN2:
		conf_get_text(r, v, &c->own[1].chain);
		return;
	case K_DEVICE_CA:
		conf_get_file(r, v, c->device_ca, &c->n_device_ca);
		return;
	case K_CRL:
		conf_get_file(r, v, c->crl, &c->n_crl);
		return;
	case K_DEVICES:
		conf_get_text(r, v, &c->devices);
		return;
	case K_DEVICE_SIGNER:
		conf_get_text(r, v, &c->device_signer);
		return;
	case K_DEVICE_STATE:
		conf_get_text(r, v, &c->device_state);
		return;
	case K_ALLOW_UNREGISTERED:
		conf_get_bool(r, v, &c->allow_unregistered);
		return;
	case K_SERVICES:
		conf_get_service(r, v);
		return;
	case K_POOL4:
		conf_get_pool(r, v, 4, &c->pool4);
		return;
	case K_POOL6:
		conf_get_pool(r, v, 6, &c->pool6);
		return;
	case K_DNS:
		conf_get_dns(r, v);
		return;
	case K_SEARCH:
		conf_get_search(r, v);
		return;
	case K_MTU:
		conf_get_number(r, v, 1280, 65535, &n);
		c->offer.mtu = (uint16_t)n;
		return;
	case K_MAX_STREAMS:
		conf_get_number(r, v, 1, 1u << 20, &c->offer.max_streams);
		return;
	case K_TLS_MIN:
		conf_tls_version(r, v, &c->tls_min);
		return;
	case K_TLS_MAX:
		conf_tls_version(r, v, &c->tls_max);
		return;
	case K_CIPHERS:
		conf_tls_cipher(r, v);
		return;
	case K_AUDIT:
		conf_get_text(r, v, &c->audit);
		return;
	case K_CONTROL:
		conf_get_text(r, v, &c->control);
		return;
	case K_ALLOW_LOOPBACK:
		conf_get_bool(r, v, &c->allow_loopback);
		return;
	case K_ALLOW_DESTINATIONS:
		conf_get_allow(r, v);
		return;
	case K_RESOLVERS:
		conf_get_resolver(r, v);
		return;
	case K_IDLE_UDP:
		conf_get_seconds(r, v, &c->idle_udp_us);
		return;
	case K_IDLE_DNS:
		conf_get_seconds(r, v, &c->idle_dns_us);
		return;
	case K_CONNECT:
		conf_get_seconds(r, v, &c->connect_us);
		return;
	case K_SERVER:
		conf_get_server(r, sub, v);
		return;
	case KEYS:
		return;
	}
}

void conf_help(FILE *f)
{
	for (uint32_t k = 0; k < KEYS; k++)
		fprintf(f, "  %-18s %s\n", keys[k].name, keys[k].help);
}

/* A value, or each of a list's values. */
static void get_values(struct conf_reader *r, enum key k, const char *sub, const char *text)
{
	char *copy, *p, *item;

	if (!keys[k].list) {
		get_value(r, k, sub, text);
		return;
	}
	copy = p = strdup(text);
	while (copy && (item = strsep(&p, ";"))) {
		char *e;

		while (isspace((unsigned char)*item))
			item++;
		for (e = item + strlen(item); e > item && isspace((unsigned char)e[-1]); )
			*--e = 0;
		if (*item)
			get_value(r, k, sub, item);
	}
	free(copy);
}

/* @name: of a key of [sentry], lower case.  Return: KEYS when unknown */
static enum key key_find(const char *name, const char **sub)
{
	size_t n = strcspn(name, ".");

	*sub = name[n] ? name + n + 1 : "";
	for (uint32_t k = 0; k < KEYS; k++) {
		if (strlen(keys[k].name) != n || strncasecmp(keys[k].name, name, n) != 0)
			continue;
		if (k == K_SERVER)
			return **sub ? k : KEYS;
		if (**sub && (!keys[k].list || (*sub)[strspn(*sub, "0123456789")]))
			return KEYS;
		return k;
	}
	return KEYS;
}

static int quiet(const char *fmt, ...)
{
	(void)fmt;
	return 0;
}

/* Services first: Server.NAME refers to them. */
static void get_all(struct conf_reader *r, dictionary *d, bool services)
{
	for (size_t i = 0; i < r->n_seen; i++) {
		const char *name = strchr(r->seen[i].name, ':') + 1;
		const char *v = iniparser_getstring(d, r->seen[i].name, "");
		const char *sub;
		enum key k;

		r->line = r->seen[i].line;
		if (strncmp(r->seen[i].name, "fault:", 6) == 0) {
			if (!services)
				conf_get_fault(r, name, v);
			continue;
		}
		k = key_find(name, &sub);
		if (k == KEYS && !services)
			conf_bad(r, "unknown key '%s' in [sentry]", name);
		else if (k != KEYS && (k == K_SERVICES) == services)
			get_values(r, k, sub, v);
	}
}

static int defaults(struct conf *c)
{
	c->services = calloc(SENTRY_SERVICES_MAX, sizeof(*c->services));
	if (!c->services)
		return -ENOMEM;
	prefix_parse("172.28.13.0/29", &c->pool4);
	prefix_parse("fd61:7070:7475:13::/64", &c->pool6);
	c->offer.mtu = 1400;
	c->offer.max_streams = 65536;
	c->tls_min = TLS1_2_VERSION;
	c->tls_max = TLS1_3_VERSION;
	c->idle_udp_us = LIMIT_ASSOC_IDLE_US;
	c->idle_dns_us = LIMIT_ASSOC_DNS_US;
	c->connect_us = 30 * USEC_PER_SEC;
	return 0;
}

/* first usable address of a pool: every device may get the same */
static void first_usable(const struct prefix *pool, struct ipaddr *out)
{
	*out = pool->addr;
	if (pool->addr.family && pool->len < addr_len(pool->addr.family) * 8)
		out->bytes[addr_len(pool->addr.family) - 1] |= 1;
}

static void check_whole(struct conf_reader *r)
{
	struct conf *c = r->c;

	r->line = 0;
	if (!c->own[0].certificate || !c->own[0].private_key || !c->n_device_ca)
		conf_bad(r, "[sentry] needs Certificate, PrivateKey and DeviceCa");
	if (!c->devices && !c->allow_unregistered)
		conf_bad(r, "[sentry] needs Devices, or AllowUnregistered = true");
	if (c->device_signer && !c->devices)
		conf_bad(r, "DeviceSigner says who signs the list of Devices, which is missing");
	if (c->device_state && !c->device_signer)
		conf_bad(r, "DeviceState has no effect without DeviceSigner");
	if (c->device_signer && !c->device_state && c->devices &&
	    asprintf(&c->device_state, "%s.seen", c->devices) < 0) {
		c->device_state = NULL;
		conf_bad(r, "out of memory");
	}
	if (!c->own[1].certificate != !c->own[1].private_key)
		conf_bad(r, "Certificate2 and PrivateKey2 belong together, one is missing");
	else if (c->own[1].chain && !c->own[1].certificate)
		conf_bad(r, "Chain2 has no effect without Certificate2");
	conf_tls_whole(r);
	if (!c->n_listen)
		conf_get_listen(r, "0.0.0.0:443");
	if (!c->n_services) {
		conf_get_service(r, "<IP_ANY>");
		conf_get_service(r, "<TCP_ANY>");
	}
	first_usable(&c->pool4, &c->offer.interface4);
	first_usable(&c->pool6, &c->offer.interface6);
	/* resuming comes later: the device is told that it cannot */
	c->offer.resume_window_s = 0;
}

int conf_load(struct conf *c, const char *path)
{
	struct conf_reader r = { .c = c, .path = path };
	dictionary *d = NULL;
	int err;

	*c = (struct conf){ .path = path };
	err = defaults(c);
	r.seen = calloc(CONF_KEYS_MAX, sizeof(*r.seen));
	if (err || !r.seen) {
		err = -ENOMEM;
		goto out;
	}
	err = conf_scan(&r);
	if (err)
		goto out;
	iniparser_set_error_callback(quiet);
	d = iniparser_load(path);
	if (!d) {
		fprintf(stderr, "%s: not an INI file\n", path);
		err = -EINVAL;
		goto out;
	}
	get_all(&r, d, true);
	get_all(&r, d, false);
	check_whole(&r);
	err = r.errors ? -EINVAL : 0;
out:
	if (d)
		iniparser_freedict(d);
	free(r.seen);
	if (err)
		conf_free(c);
	return err;
}

void conf_free(struct conf *c)
{
	for (int i = 0; i < SENTRY_OWN; i++) {
		free(c->own[i].certificate);
		free(c->own[i].private_key);
		free(c->own[i].chain);
	}
	for (uint32_t i = 0; i < c->n_device_ca; i++)
		free(c->device_ca[i]);
	for (uint32_t i = 0; i < c->n_crl; i++)
		free(c->crl[i]);
	free(c->devices);
	free(c->device_signer);
	free(c->device_state);
	free(c->audit);
	free(c->control);
	free(c->ciphers12);
	free(c->ciphers13);
	free(c->resolvers);
	free(c->services);
	*c = (struct conf){ 0 };
}
