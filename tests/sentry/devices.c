/* SPDX-License-Identifier: MIT */
/* devices.c - the device list: one JSON object a line, read whole or not at all */
#include "tests/sentry/sentry.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES_MAX	200000
#define DEVICES_TEXT	255	/* characters of an ID */

void devices_free(struct devices *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->v[i].uid);
		free(d->v[i].user);
	}
	free(d->v);
	*d = (struct devices){ 0 };
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

static int text_id(const char *text)
{
	size_t n = strlen(text);

	return n >= 1 && n <= DEVICES_TEXT ? 0 : -EINVAL;
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
	if (text_id(uid))
		return -EINVAL;
	*why = "UserId";
	if (text_id(user))
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

/* The first object of a list that has one.  Return: 0, -EINVAL and *why */
static int header_parse(json_t *o, struct devices_id *id, const char **why)
{
	const char *key, *group = json_string_value(json_object_get(o, "Group"));
	json_int_t version = json_integer_value(json_object_get(o, "Version"));
	json_t *v;

	json_object_foreach(o, key, v) {
		if (strcmp(key, "DeviceList") != 0 && strcmp(key, "Version") != 0 &&
		    strcmp(key, "Group") != 0 && strcmp(key, "Created") != 0 &&
		    strncmp(key, "x-", 2) != 0) {
			*why = "an unknown member of the header";
			return -EINVAL;
		}
	}
	*why = "DeviceList (1 is understood)";
	v = json_object_get(o, "DeviceList");
	if (!json_is_integer(v) || json_integer_value(v) != 1)
		return -EINVAL;
	*why = "Version (1 to 2^53)";
	if (version < 1 || version > SENTRY_VERSION_MAX)
		return -EINVAL;
	*why = "Group (1 to 64 letters, digits, dots, hyphens, underscores)";
	if (!group || !*group || strlen(group) >= sizeof(id->group))
		return -EINVAL;
	for (const char *p = group; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return -EINVAL;
	*why = "Created";
	v = json_object_get(o, "Created");
	if (v && !json_is_string(v))
		return -EINVAL;
	*why = NULL;
	id->version = (uint64_t)version;
	snprintf(id->group, sizeof(id->group), "%s", group);
	return 0;
}

/* Room for one more.  Return: 0, -ENOMEM */
static int devices_grow(struct devices *d, size_t *cap)
{
	size_t want = *cap ? *cap * 2 : 16;
	struct device *v;

	if (d->n < *cap)
		return 0;
	v = d->n < DEVICES_MAX ? realloc(d->v, want * sizeof(*v)) : NULL;
	if (!v)
		return -ENOMEM;
	d->v = v;
	*cap = want;
	return 0;
}

static int by_thumb(const void *a, const void *b)
{
	const struct device *x = a, *y = b;

	return strcmp(x->thumb, y->thumb);
}

/* Two lines of one certificate.  Return: the later of them, NULL: none */
static const struct device *find_twice(const struct devices *d)
{
	for (size_t i = 1; i < d->n; i++) {
		const struct device *x = &d->v[i - 1], *y = &d->v[i];

		if (strcmp(x->thumb, y->thumb) == 0)
			return x->line > y->line ? x : y;
	}
	return NULL;
}

/* One object.  Return: 0, -EINVAL, -ENOMEM; *what may say more */
static int line_parse(struct devices *d, size_t *cap, bool first, const char *p, size_t len,
		      unsigned int no, const char **what)
{
	json_error_t je;
	json_t *o = json_loadb(p, len, JSON_REJECT_DUPLICATES, &je);
	int err = -EINVAL;

	*what = o ? "not a JSON object" : "not JSON";
	if (json_is_object(o) && first && json_object_get(o, "DeviceList")) {
		err = header_parse(o, &d->id, what);
	} else if (json_is_object(o)) {
		*what = "too many devices";
		err = devices_grow(d, cap);
		if (!err) {
			d->v[d->n] = (struct device){ .line = no };
			err = device_parse(o, &d->v[d->n], what);
		}
		if (!err)
			d->n++;
	}
	json_decref(o);
	return err;
}

int devices_parse(struct devices *out, const char *text, size_t len, const char *label, char *why,
		  size_t size)
{
	struct devices d = { 0 };
	const struct device *twice;
	const char *what = NULL, *p = text, *end = text + len;
	unsigned int no = 0;
	size_t cap = 0;
	bool first = true;
	int err = 0;

	while (!err && p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));

		if (!eol)
			eol = end;
		no++;
		while (p < eol && isspace((unsigned char)*p))
			p++;
		if (p < eol && *p != '#') {
			err = line_parse(&d, &cap, first, p, (size_t)(eol - p), no, &what);
			first = false;
		}
		p = eol + 1;
	}
	if (!err && d.n) {
		qsort(d.v, d.n, sizeof(*d.v), by_thumb);
		twice = find_twice(&d);
		if (twice) {
			what = "CertThumbprint that stands twice";
			no = twice->line;
			err = -EINVAL;
		}
	}
	if (err) {
		snprintf(why, size, "%s:%u: bad value: %s", label, no, what ? what : strerror(-err));
		devices_free(&d);
		return err;
	}
	*out = d;
	return 0;
}

struct device *devices_by_thumb(const struct devices *d, const char *thumb)
{
	struct device key;

	if (!d->n || strlen(thumb) >= sizeof(key.thumb))
		return NULL;
	snprintf(key.thumb, sizeof(key.thumb), "%s", thumb);
	return bsearch(&key, d->v, d->n, sizeof(*d->v), by_thumb);
}

bool devices_has_uid(const struct devices *d, const char *uid)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->v[i].uid, uid) == 0)
			return true;
	return false;
}
