/* SPDX-License-Identifier: MIT */
/* devices.c - the device list: one JSON object a line, read whole or not at all */
#include "tests/sentry/sentry.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES_MAX	100000

void devices_free(struct devices *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->v[i].uid);
		free(d->v[i].user);
	}
	free(d->v);
	d->v = NULL;
	d->n = 0;
}

/* text of member @key; NULL and *why when it is wrong */
static const char *member_text(json_t *o, const char *key, bool required, const char **why)
{
	json_t *v = json_object_get(o, key);

	if (!v && !required)
		return "";
	if (!json_is_string(v)) {
		*why = key;
		return NULL;
	}
	return json_string_value(v);
}

/* Return: 0, -EINVAL and *why the member at fault, -ENOMEM */
static int device_parse(json_t *o, struct device *d, const char **why)
{
	static const char *const known[] = {
		"DeviceUid", "CertThumbprint", "UserId", "applicationBundleId",
		"EnrollmentStatus", "complianceStatus", "Blocked", "UserBlocked",
	};
	const char *uid, *thumb, *user, *enrolled, *compliant, *key;
	json_t *v, *e;
	size_t i;

	json_object_foreach(o, key, v) {
		for (i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (strcmp(key, known[i]) == 0)
				break;
		if (i == sizeof(known) / sizeof(*known) && strncmp(key, "x-", 2) != 0) {
			*why = "an unknown member";
			return -EINVAL;
		}
	}
	uid = member_text(o, "DeviceUid", true, why);
	thumb = uid ? member_text(o, "CertThumbprint", true, why) : NULL;
	user = thumb ? member_text(o, "UserId", true, why) : NULL;
	enrolled = user ? member_text(o, "EnrollmentStatus", false, why) : NULL;
	compliant = enrolled ? member_text(o, "complianceStatus", false, why) : NULL;
	if (!compliant)
		return -EINVAL;
	*why = "DeviceUid";
	if (!*uid)
		return -EINVAL;
	*why = "CertThumbprint";
	if (strlen(thumb) != SENTRY_DIGEST_HEX - 1)
		return -EINVAL;
	for (i = 0; thumb[i]; i++) {
		if (!isxdigit((unsigned char)thumb[i]))
			return -EINVAL;
		d->thumb[i] = (char)tolower((unsigned char)thumb[i]);
	}
	d->thumb[i] = 0;
	*why = "EnrollmentStatus";
	d->enrolled = !*enrolled || strcmp(enrolled, "enrolled") == 0;
	if (!d->enrolled && strcmp(enrolled, "unenrolled") != 0)
		return -EINVAL;
	*why = "complianceStatus";
	d->compliant = !*compliant || strcmp(compliant, "compliant") == 0;
	if (!d->compliant && strcmp(compliant, "non-compliant") != 0)
		return -EINVAL;
	*why = "Blocked";
	v = json_object_get(o, "Blocked");
	if (v && !json_is_boolean(v))
		return -EINVAL;
	d->blocked = json_is_true(v);
	*why = "UserBlocked";
	v = json_object_get(o, "UserBlocked");
	if (v && !json_is_boolean(v))
		return -EINVAL;
	d->user_blocked = json_is_true(v);
	/* checked, and kept for per-app services to come */
	*why = "applicationBundleId";
	v = json_object_get(o, "applicationBundleId");
	if (v && !json_is_array(v))
		return -EINVAL;
	json_array_foreach(v, i, e) {
		if (!json_is_string(e))
			return -EINVAL;
	}
	*why = NULL;
	d->uid = strdup(uid);
	d->user = strdup(user);
	if (!d->uid || !d->user) {
		free(d->uid);
		free(d->user);
		return -ENOMEM;
	}
	return 0;
}

int devices_load(struct devices *out, const char *path, char *why, size_t size)
{
	struct devices d = { 0 };
	char *line = NULL;
	size_t cap = 0, cap_v = 0;
	unsigned int no = 0;
	ssize_t n;
	int err = 0;
	FILE *f = fopen(path, "re");

	if (!f) {
		err = -errno;
		snprintf(why, size, "%s: %s", path, strerror(errno));
		return err;
	}
	while (!err && (n = getline(&line, &cap, f)) >= 0) {
		const char *p = line, *what = NULL;
		json_error_t je;
		json_t *o;

		no++;
		while (isspace((unsigned char)*p))
			p++;
		if (!*p || *p == '#')
			continue;
		if (d.n == cap_v) {
			size_t cap2 = cap_v ? cap_v * 2 : 16;
			struct device *v2 = cap2 > 2 * DEVICES_MAX ? NULL :
					    realloc(d.v, cap2 * sizeof(*v2));

			if (!v2) {
				snprintf(why, size, "%s:%u: too many devices", path, no);
				err = -ENOMEM;
				break;
			}
			d.v = v2;
			cap_v = cap2;
		}
		o = json_loads(p, JSON_REJECT_DUPLICATES, &je);
		if (!json_is_object(o)) {
			snprintf(why, size, "%s:%u: not a JSON object: %s", path, no,
				 o ? "another value" : je.text);
			err = -EINVAL;
		} else {
			d.v[d.n] = (struct device){ 0 };
			err = device_parse(o, &d.v[d.n], &what);
			if (!err && devices_by_thumb(&d, d.v[d.n].thumb)) {
				d.n++;		/* for devices_free() */
				what = "CertThumbprint that stands twice";
				err = -EINVAL;
			} else if (!err) {
				d.n++;
			}
			if (err)
				snprintf(why, size, "%s:%u: bad value: %s", path, no,
					 what ? what : strerror(-err));
		}
		json_decref(o);
	}
	free(line);
	fclose(f);
	if (err) {
		devices_free(&d);
		return err;
	}
	devices_free(out);
	*out = d;
	return 0;
}

struct device *devices_by_thumb(const struct devices *d, const char *thumb)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->v[i].thumb, thumb) == 0)
			return &d->v[i];
	return NULL;
}

bool devices_has_uid(const struct devices *d, const char *uid)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->v[i].uid, uid) == 0)
			return true;
	return false;
}
