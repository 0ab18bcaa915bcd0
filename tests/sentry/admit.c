/* SPDX-License-Identifier: MIT */
/* admit.c - who may have a session: the checks of docs/protocol.md 2, in its order */
#include "tests/sentry/sentry.h"

#include <string.h>

static const struct refusal revoked = {
	403, "certificate_unknown", "the certificate was revoked",
};

const struct refusal *admit_device(struct sentry *s, const char *thumb, const char *device,
				    const char *user)
{
	static const struct refusal
		unknown = { 403, "device_unknown", "this device is not registered" },
		certificate = { 403, "certificate_unknown",
				"the device is registered with another certificate" },
		mismatch = { 403, "identity_mismatch",
			     "device_id or user_id is not that of this certificate" },
		blocked = { 403, "device_blocked", "this device is blocked" },
		user_blocked = { 403, "user_blocked", "this user is blocked" },
		unenrolled = { 403, "device_not_enrolled", "this device is not enrolled" },
		compliance = { 403, "device_not_compliant", "this device is not compliant" };
	const struct device *d = devices_by_thumb(&s->devices, thumb);
	json_t *said = json_object_get(s->blocked, device);

	if (!d) {
		if (devices_has_uid(&s->devices, device))
			return &certificate;
		if (!s->conf.allow_unregistered)
			return &unknown;
		return json_is_true(said) ? &blocked : NULL;
	}
	if (strcmp(d->uid, device) != 0 || strcmp(d->user, user) != 0)
		return &mismatch;
	if (said ? json_is_true(said) : d->blocked)
		return &blocked;
	if (d->user_blocked)
		return &user_blocked;
	if (!d->enrolled)
		return &unenrolled;
	return d->compliant ? NULL : &compliance;
}

void admit_again(struct sentry *s)
{
	struct session *next;

	for (struct session *ses = s->sessions; ses; ses = next) {
		const struct refusal *r;

		next = ses->next;
		if (ses->closing)
			continue;
		r = admit_device(s, ses->thumb, ses->device, ses->user);
		if (!r && tls_cert_revoked(ses->conn))
			r = &revoked;
		if (r)
			session_goaway(ses, MUX_REVOKED, r->message);
	}
}

static const struct service *find_service(const struct conf *c, const char *name)
{
	for (uint32_t i = 0; i < c->n_services; i++)
		if (strcmp(c->services[i].name, name) == 0)
			return &c->services[i];
	return NULL;
}

static uint32_t sessions_of(const struct sentry *s, const char *device)
{
	uint32_t n = 0;

	for (const struct session *ses = s->sessions; ses; ses = ses->next)
		n += !ses->closing && strcmp(ses->device, device) == 0;
	return n;
}

bool admit_request(struct conn *c, const struct atp_request *r, const struct service **sv)
{
	struct sentry *s = c->s;
	struct fault *f = fault_find(s->faults, FAULT_REFUSE, r->device_id);
	const struct refusal *no;
	const char *why;

	if (f) {
		fault_fire(s, f, r->device_id);
		conn_refuse(c, f->status, f->code, "refused by a fault", f->retry_after_s);
		return false;
	}
	/* on a resumed TLS session nobody looked at the dates */
	if (!tls_cert_current(c)) {
		conn_refuse(c, 403, "certificate_unknown", "the certificate has expired", 0);
		return false;
	}
	if (tls_cert_revoked(c)) {
		conn_refuse(c, revoked.status, revoked.code, revoked.message, 0);
		return false;
	}
	no = admit_device(s, c->thumb, r->device_id, r->user_id);
	if (no) {
		conn_refuse(c, no->status, no->code, no->message, 0);
		return false;
	}
	*sv = find_service(&s->conf, r->service);
	if (!*sv) {
		if (r->service[0] != '<' && service_name_check(r->service, &why))
			conn_refuse(c, 400, "bad_request", why, 0);
		else
			conn_refuse(c, 404, "service_unknown", "no such service here", 0);
		return false;
	}
	if (sessions_of(s, r->device_id) >= SENTRY_SESSIONS_DEVICE) {
		conn_refuse(c, 429, "busy", "too many sessions of this device", SENTRY_BUSY_S);
		return false;
	}
	if (s->stopping) {
		conn_refuse(c, 503, "draining", "this endpoint is stopping", SENTRY_BUSY_S);
		return false;
	}
	return true;
}
