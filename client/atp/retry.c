/* SPDX-License-Identifier: MIT */
/*
 * retry.c - the table of causes, and when to dial again.
 *
 * network: the first failure of an outage is dialled again at once, the next
 * ones go to the next Host at once; a round over all Hosts in vain backs off.
 * refused and trust: after 15 minutes.  broken: only when told.
 */
#include "client/atp/retry.h"

#include <stddef.h>
#include <string.h>

#include "client/limits.h"

#define RETRY_AFTER_MIN_S	1u
#define RETRY_AFTER_MAX_S	300u
#define RETRY_MAX_DOUBLINGS	7u	/* 0.5 s << 7 is above 60 s */

static const struct cause_info causes[CAUSES] = {
	[CAUSE_NONE] = { "none", RETRY_NETWORK, 0, "Nothing went wrong." },

	[CAUSE_RESOLVE] = { "resolve", RETRY_NETWORK, 4,
		"Sentry's name could not be resolved; check Host and the network's DNS servers." },
	[CAUSE_CONNECT] = { "connect", RETRY_NETWORK, 4,
		"No address of Sentry accepted a TCP connection; check the network, Host and "
		"port." },
	[CAUSE_TLS_IO] = { "tls_io", RETRY_NETWORK, 4,
		"The TLS handshake was cut off; check that Host is a Sentry and what lies "
		"between." },
	[CAUSE_TIMEOUT] = { "timeout", RETRY_NETWORK, 4,
		"Sentry did not answer in time; check the network and whether Sentry is "
		"overloaded." },
	[CAUSE_CUT] = { "cut", RETRY_NETWORK, 4,
		"The connection to Sentry was cut; it is dialled again." },
	[CAUSE_PROBES] = { "probes", RETRY_NETWORK, 4,
		"Sentry answered none of the probes; the connection is dropped and dialled "
		"again." },
	[CAUSE_BUSY] = { "busy", RETRY_NETWORK, 4,
		"Sentry is busy; it is dialled again after the time that it named." },
	[CAUSE_DRAINING] = { "draining", RETRY_NETWORK, 4,
		"Sentry is being taken out of service; another Host or a later attempt will do." },
	[CAUSE_GOAWAY_BYE] = { "goaway_bye", RETRY_NETWORK, 4,
		"Sentry ended the session; a new one is dialled." },
	[CAUSE_GOAWAY_INTERNAL] = { "goaway_internal", RETRY_NETWORK, 4,
		"Sentry ended the session for an internal error; a new one is dialled." },
	[CAUSE_REPLACED] = { "replaced", RETRY_NETWORK, 4,
		"Another connection took the session over; check that no second device uses "
		"this identity." },
	[CAUSE_ODD_ANSWER] = { "odd_answer", RETRY_NETWORK, 14,
		"What answered does not speak like a Sentry; check Host and port, or log in to "
		"the network's captive portal." },

	[CAUSE_BAD_REQUEST] = { "bad_request", RETRY_REFUSED, 14,
		"Sentry did not understand the request; client and Sentry may be of different "
		"versions." },
	[CAUSE_CERT_UNKNOWN] = { "certificate_unknown", RETRY_REFUSED, 12,
		"Sentry does not know the client certificate; have the device enrolled again." },
	[CAUSE_IDENTITY_MISMATCH] = { "identity_mismatch", RETRY_REFUSED, 12,
		"DeviceId or UserId are not those of the client certificate; correct the "
		"profile." },
	[CAUSE_CERT_REFUSED] = { "certificate_refused", RETRY_REFUSED, 12,
		"Sentry refused the client certificate in TLS; check its issuer, dates and "
		"revocation." },
	[CAUSE_DEVICE_UNKNOWN] = { "device_unknown", RETRY_REFUSED, 13,
		"Sentry does not know this device; enrol it, or correct DeviceId." },
	[CAUSE_DEVICE_BLOCKED] = { "device_blocked", RETRY_REFUSED, 13,
		"This device is blocked; ask the administrator." },
	[CAUSE_DEVICE_NOT_ENROLLED] = { "device_not_enrolled", RETRY_REFUSED, 13,
		"This device is no longer enrolled; enrol it again." },
	[CAUSE_DEVICE_NOT_COMPLIANT] = { "device_not_compliant", RETRY_REFUSED, 13,
		"This device does not comply with the policy; ask the administrator what is "
		"missing." },
	[CAUSE_USER_BLOCKED] = { "user_blocked", RETRY_REFUSED, 13,
		"This user is blocked; ask the administrator." },
	[CAUSE_SERVICE_DENIED] = { "service_denied", RETRY_REFUSED, 17,
		"This device may not use the service of the profile; ask the administrator." },
	[CAUSE_SERVICE_UNKNOWN] = { "service_unknown", RETRY_REFUSED, 17,
		"Sentry has no service of that name; correct the service in the profile." },
	[CAUSE_UPGRADE] = { "upgrade_required", RETRY_REFUSED, 14,
		"Sentry does not speak atp/1; client and Sentry are of different versions." },
	[CAUSE_REVOKED] = { "revoked", RETRY_REFUSED, 13,
		"Sentry withdrew the device's access during the session; ask the administrator." },
	[CAUSE_PROTOCOL] = { "protocol_error", RETRY_REFUSED, 14,
		"The tunnel protocol was violated; client and Sentry may be of different "
		"versions." },

	[CAUSE_PIN] = { "pin", RETRY_TRUST, 11,
		"Sentry's certificate is not a pinned one; someone may be in between, or the "
		"pin is old." },
	[CAUSE_CHAIN] = { "chain", RETRY_TRUST, 11,
		"Sentry's certificate does not lead to a trusted authority; check CaFile or pin "
		"it." },
	[CAUSE_NAME] = { "name", RETRY_TRUST, 11,
		"Sentry's certificate is not for this Host; correct Host or pin the "
		"certificate." },
	[CAUSE_DATES] = { "dates", RETRY_TRUST, 11,
		"Sentry's certificate is expired or not yet valid; renew it, or set this clock." },
	[CAUSE_TLS_VERSION] = { "tls_version", RETRY_TRUST, 11,
		"Sentry offers no TLS version and cipher that is safe enough; update Sentry." },

	[CAUSE_PROFILE] = { "profile", RETRY_BROKEN, 6,
		"The profile cannot be used; run `apptunnel profile check`." },
	[CAUSE_IDENTITY] = { "identity", RETRY_BROKEN, 12,
		"The client certificate or its key cannot be used; check the files of "
		"[identity]." },
};

const struct cause_info *cause_info(enum cause c)
{
	if ((unsigned int)c >= CAUSES)
		c = CAUSE_NONE;
	return &causes[c];
}

enum cause cause_of_refusal(int status, const char *code)
{
	static const struct {
		int status;
		const char *code;	/* NULL: any */
		enum cause cause;
	} rows[] = {
		{ 400, NULL, CAUSE_BAD_REQUEST },
		{ 403, "certificate_unknown", CAUSE_CERT_UNKNOWN },
		{ 403, "identity_mismatch", CAUSE_IDENTITY_MISMATCH },
		{ 403, "device_unknown", CAUSE_DEVICE_UNKNOWN },
		{ 403, "device_blocked", CAUSE_DEVICE_BLOCKED },
		{ 403, "device_not_enrolled", CAUSE_DEVICE_NOT_ENROLLED },
		{ 403, "device_not_compliant", CAUSE_DEVICE_NOT_COMPLIANT },
		{ 403, "user_blocked", CAUSE_USER_BLOCKED },
		{ 403, "service_denied", CAUSE_SERVICE_DENIED },
		{ 403, "service_unknown", CAUSE_SERVICE_UNKNOWN },
		{ 404, "service_denied", CAUSE_SERVICE_DENIED },
		{ 404, "service_unknown", CAUSE_SERVICE_UNKNOWN },
		{ 426, NULL, CAUSE_UPGRADE },
		{ 429, NULL, CAUSE_BUSY },
		{ 503, "draining", CAUSE_DRAINING },
		{ 503, NULL, CAUSE_BUSY },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status &&
		    (!rows[i].code || (code && strcmp(rows[i].code, code) == 0)))
			return rows[i].cause;
	return CAUSE_ODD_ANSWER;
}

void retry_init(struct retry *r, uint32_t n_hosts, uint64_t now)
{
	memset(r, 0, sizeof(*r));
	r->n_hosts = n_hosts ? n_hosts : 1;
	r->next = now;
}

void retry_up(struct retry *r, uint64_t now)
{
	r->up_since = now ? now : 1;
}

/* a * num / 2^32 without overflow for a below 2^31 */
static uint64_t scale(uint64_t a, uint32_t num)
{
	return (a * num) >> 32;
}

static uint64_t backoff(const struct retry *r, uint32_t random)
{
	uint32_t doublings = r->round > 0 ? r->round - 1 : 0;
	uint64_t cap;

	if (doublings > RETRY_MAX_DOUBLINGS)
		doublings = RETRY_MAX_DOUBLINGS;
	cap = LIMIT_BACKOFF_FIRST_US << doublings;
	if (cap > LIMIT_BACKOFF_MAX_US)
		cap = LIMIT_BACKOFF_MAX_US;
	return scale(cap, random);
}

static void failed_network(struct retry *r, enum cause c, uint32_t retry_after_s,
			   uint32_t random, uint64_t now)
{
	if (c == CAUSE_REPLACED) {
		/* Never at once: two devices with one identity would take
		 * the session from each other as fast as they can dial. */
		r->at_once_used = true;
		r->round++;
		r->next = now + LIMIT_BACKOFF_FIRST_US + backoff(r, random);
	} else if (!r->at_once_used) {
		r->at_once_used = true;
		r->round_start = r->host;
		r->next = now;
	} else {
		r->host = (r->host + 1) % r->n_hosts;
		r->next = now;
		if (r->host == r->round_start) {
			r->round++;
			r->next = now + backoff(r, random);
		}
	}
	if (retry_after_s) {
		if (retry_after_s > RETRY_AFTER_MAX_S)
			retry_after_s = RETRY_AFTER_MAX_S;
		if (retry_after_s < RETRY_AFTER_MIN_S)
			retry_after_s = RETRY_AFTER_MIN_S;
		r->not_before = now + retry_after_s * USEC_PER_SEC;
	}
	if (r->next < r->not_before)
		r->next = r->not_before;
}

enum retry_class retry_failed(struct retry *r, enum cause c, uint32_t retry_after_s,
			      uint32_t random, uint64_t now)
{
	enum retry_class class = cause_info(c)->class;

	if (r->up_since && now >= r->up_since + LIMIT_STABLE_US) {
		r->at_once_used = false;
		r->round = 0;
		r->odd_answers = 0;
		r->protocol_errors = 0;
		r->not_before = 0;
	}
	r->up_since = 0;

	/* Something odd may pass (a captive portal, a lost byte); twice in a
	 * row it is an answer. */
	r->odd_answers = c == CAUSE_ODD_ANSWER ? r->odd_answers + 1 : 0;
	r->protocol_errors = c == CAUSE_PROTOCOL ? r->protocol_errors + 1 : 0;
	if (c == CAUSE_ODD_ANSWER || c == CAUSE_PROTOCOL)
		class = r->odd_answers > 1 || r->protocol_errors > 1 ?
			RETRY_REFUSED : RETRY_NETWORK;

	switch (class) {
	case RETRY_NETWORK:
		failed_network(r, c, retry_after_s, random, now);
		break;
	case RETRY_REFUSED:
	case RETRY_TRUST:
		/* 90 % to 110 % */
		r->next = now + LIMIT_REFUSED_US * 9 / 10 + scale(LIMIT_REFUSED_US / 5, random);
		break;
	case RETRY_BROKEN:
		r->next = UINT64_MAX;
		break;
	}
	r->class = class;
	return class;
}

void retry_kick(struct retry *r, uint64_t now)
{
	r->round = 0;
	r->round_start = r->host;
	r->at_once_used = false;
	r->odd_answers = 0;
	r->protocol_errors = 0;
	r->next = now < r->not_before ? r->not_before : now;
}
