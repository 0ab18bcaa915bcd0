/* SPDX-License-Identifier: MIT */
/*
 * test_reader.c - whole profiles.  data/NAME.ini is read and must draw exactly
 * the findings of data/NAME.expect, a line each: CODE FILE:LINE:COL: ...
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/ini.h"
#include "profiles/reader.h"
#include "profiles/show.h"
#include "profiles/write.h"

#define FOLDER	"/etc/apptunnel/profiles.d"
#define DATA	"tests/unit/profiles/data"
#define SAMPLES	"profiles/samples"
#define LEAST	150	/* data files: fewer means that the folder was not found */

static struct profile *profile;

static char *slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *s = malloc(INI_FILE_MAX + 1);

	ck_assert_msg(f && s, "%s: %s", path, strerror(errno));
	*n = fread(s, 1, INI_FILE_MAX, f);
	s[*n] = '\0';
	fclose(f);
	return s;
}

static int read_text(const char *text, size_t n, const char *stem, struct findings *f,
		     struct origins *o)
{
	char label[80];

	snprintf(label, sizeof(label), "%s.ini", stem);
	ck_assert(!findings_init(f, label));
	return profile_read(text, n, stem, FOLDER, profile, f, o);
}

static char *as_expected(const struct findings *f)
{
	char line[FINDING_LINE_MAX];
	struct text t = { 0 };
	size_t i;

	for (i = 0; i < f->n; i++)
		text_addf(&t, "%s %s\n", finding_code_name(f->v[i].code),
			  finding_format(f, &f->v[i], line, sizeof(line)));
	return text_take(&t);
}

/* Lines of @a that are not in @b, with @sign before them. */
static void print_missing(const char *a, const char *b, char sign)
{
	size_t n, m;

	for (; *a; a += n + (a[n] == '\n')) {
		const char *p = b;

		n = strcspn(a, "\n");
		for (; *p; p += m + (p[m] == '\n')) {
			m = strcspn(p, "\n");
			if (m == n && !memcmp(p, a, n))
				break;
		}
		if (!*p)
			printf("  %c %.*s\n", sign, (int)n, a);
	}
}

/* What is written of the record is read as the same record. */
static bool check_written(const char *stem, const struct origins *o)
{
	struct profile *was = malloc(sizeof(*was));
	struct text t = { 0 };
	struct findings f;
	bool same;

	ck_assert(was != NULL);
	memcpy(was, profile, sizeof(*was));
	write_profile(profile, o, FOLDER, &t);
	ck_assert(!t.failed);
	same = !read_text(t.s, t.n, was->stem, &f, NULL) && !memcmp(was, profile, sizeof(*was));
	if (!same)
		printf("%s: written and read again, it is another:\n%s", stem, t.s);
	findings_free(&f);
	text_free(&t);
	free(was);
	return same;
}

static bool check_file(const char *stem)
{
	struct origins o = { 0 };
	char path[512], *text, *want, *got;
	struct findings f;
	size_t n, m;
	bool same;
	int r;

	snprintf(path, sizeof(path), DATA "/%s.ini", stem);
	text = slurp(path, &n);
	snprintf(path, sizeof(path), DATA "/%s.expect", stem);
	want = slurp(path, &m);
	r = read_text(text, n, stem, &f, &o);
	got = as_expected(&f);
	same = !strcmp(want, got);
	if (!same) {
		printf("%s: expected (-) and found (+)\n", stem);
		print_missing(want, got, '-');
		print_missing(got, want, '+');
	}
	if ((r == 0) != (f.errors == 0) || (r && r != -EBADMSG)) {
		printf("%s: %zu errors, but profile_read() = %d\n", stem, f.errors, r);
		same = false;
	}
	if (!r && profile_check_record(profile, sizeof(*profile))) {
		printf("%s: the record is not sound\n", stem);
		same = false;
	}
	if (!r)
		same &= check_written(stem, &o);
	origins_free(&o);
	findings_free(&f);
	free(got);
	free(want);
	free(text);
	return same;
}

START_TEST(data_files_draw_their_findings)
{
	struct dirent *e;
	int files = 0, bad = 0;
	DIR *d = opendir(DATA);

	ck_assert_msg(d != NULL, DATA ": %s (run from the top of the tree)", strerror(errno));
	while ((e = readdir(d))) {
		size_t n = strlen(e->d_name);
		char stem[256];

		if (n < 5 || strcmp(e->d_name + n - 4, ".ini") != 0)
			continue;
		snprintf(stem, sizeof(stem), "%.*s", (int)(n - 4), e->d_name);
		files++;
		bad += !check_file(stem);
	}
	closedir(d);
	ck_assert_int_ge(files, LEAST);
	ck_assert_msg(!bad, "%d of %d data files drew other findings than expected", bad, files);
}
END_TEST

START_TEST(samples_are_good)
{
	struct dirent *e;
	DIR *d = opendir(SAMPLES);
	int files = 0;

	ck_assert(d != NULL);
	while ((e = readdir(d))) {
		size_t n = strlen(e->d_name), len;
		char path[512], stem[256], *text, *got;
		struct origins o = { 0 };
		struct findings f;

		if (n < 5 || strcmp(e->d_name + n - 4, ".ini") != 0)
			continue;
		snprintf(stem, sizeof(stem), "%.*s", (int)(n - 4), e->d_name);
		snprintf(path, sizeof(path), SAMPLES "/%s", e->d_name);
		text = slurp(path, &len);
		ck_assert(profile_stem_ok(stem));
		ck_assert_msg(!read_text(text, len, stem, &f, &o), "%s is invalid", path);
		got = as_expected(&f);
		/* samples teach: they draw no advice but where they are about it */
		ck_assert_msg(!f.n || strstr(got, "W426"), "%s", got);
		ck_assert(check_written(stem, &o));
		origins_free(&o);
		free(got);
		findings_free(&f);
		free(text);
		files++;
	}
	closedir(d);
	ck_assert_int_ge(files, 4);
}
END_TEST

/* ---- what the record says --------------------------------------------------------------- */

#define REQUIRED \
	"[sentry]\nHost = \"a.example; [2001:db8::1]:8443; 192.0.2.1:444\"\n" \
	"DeviceId = d\nUserId = u\n" \
	"[identity]\nCertificate = c.pem\nPrivateKey = /k.pem\n" \
	"[pinning]\nPinnedCertificate = \"s.pem;sha256:" \
	"000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F;" \
	"sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n"

static void must_read(const char *text, struct findings *f, struct origins *o)
{
	int r = read_text(text, strlen(text), "corp", f, o);
	char *got = as_expected(f);

	ck_assert_msg(!r, "%d: %s", r, got);
	ck_assert(!profile_check_record(profile, sizeof(*profile)));
	free(got);
}

static const char *fmt(const struct prefix *p)
{
	static char buf[PREFIX_STRLEN];

	return prefix_format(p, buf);
}

START_TEST(record_holds_the_values)
{
	struct findings f;
	uint32_t i;

	must_read("[profile]\nName = Z\xc3\xbcrich\nVersion = 9007199254740992\n" REQUIRED
		  "[tunnel]\nIPRoutes = \"10.1.2.3/8;2001:db8::/32;10.0.0.0/9\"\n"
		  "ExcRoutes.9 = 10.9.0.0/16\nExcRoutes.1 = \"10.1.0.0/16 ; 10.2.0.0/16\"\n"
		  "SplitUDPPortList = \"200-1024;53;161-162;163\"\nTunIP = \"fd00::9;192.168.13.10\"\n"
		  "MTU = 9000\n[lock]\nMode = OFF\nAllowInbound = false\nIPv6 = direct\n"
		  "[dns]\nBackend = none\nDnsSearchDomains = \"a.example;b.example\"\n"
		  "[support]\nLogLevel = debug session\n", &f, NULL);
	ck_assert_str_eq(profile->stem, "corp");
	ck_assert_str_eq(profile->name, "Z\xc3\xbcrich");
	ck_assert(profile->profile_version == 1ull << 53);
	ck_assert_uint_eq(profile->n_hosts, 3);
	ck_assert_str_eq(profile->hosts[0].name, "a.example");
	ck_assert_uint_eq(profile->hosts[0].port, 443);
	ck_assert_uint_eq(profile->hosts[0].addr.family, 0);
	ck_assert_str_eq(profile->hosts[1].name, "2001:db8::1");
	ck_assert_uint_eq(profile->hosts[1].addr.family, 6);
	ck_assert_uint_eq(profile->hosts[1].port, 8443);
	ck_assert_str_eq(profile->hosts[2].name, "192.0.2.1");
	ck_assert_uint_eq(profile->hosts[2].addr.family, 4);
	ck_assert_str_eq(profile->certificate, FOLDER "/c.pem");
	ck_assert_str_eq(profile->private_key, "/k.pem");
	ck_assert_uint_eq(profile->n_pins, 3);
	ck_assert_str_eq(profile->pins[0].path, FOLDER "/s.pem");
	ck_assert_uint_eq(profile->pins[1].kind, PIN_CERT_SHA256);
	ck_assert_uint_eq(profile->pins[2].kind, PIN_KEY_SHA256);
	for (i = 0; i < 32; i++) {
		ck_assert_uint_eq(profile->pins[1].sha256[i], i);
		ck_assert_uint_eq(profile->pins[2].sha256[i], i);
	}
	ck_assert_uint_eq(profile->n_routes, 2);
	ck_assert_str_eq(fmt(&profile->routes[0]), "10.0.0.0/8");
	ck_assert_str_eq(fmt(&profile->routes[1]), "2001:db8::/32");
	ck_assert_uint_eq(profile->n_excluded, 3);
	ck_assert_str_eq(fmt(&profile->excluded[0]), "10.1.0.0/16");
	ck_assert_str_eq(fmt(&profile->excluded[2]), "10.9.0.0/16");
	ck_assert_uint_eq(profile->udp_split, 1);
	ck_assert_uint_eq(profile->n_ports, 3);
	ck_assert_uint_eq(profile->ports[1].lo, 161);
	ck_assert_uint_eq(profile->ports[1].hi, 163);
	ck_assert_uint_eq(profile->tun4.family, 4);
	ck_assert_uint_eq(profile->tun6.family, 6);
	ck_assert_uint_eq(profile->mtu, 9000);
	ck_assert_uint_eq(profile->lock_mode, LOCK_OFF);
	ck_assert_uint_eq(profile->allow_inbound, 0);
	ck_assert_uint_eq(profile->lock_ipv6, LOCK_IPV6_DIRECT);
	ck_assert_uint_eq(profile->backend, BACKEND_NONE);
	ck_assert_uint_eq(profile->n_search, 2);
	ck_assert_str_eq(profile->search[1], "b.example");
	ck_assert_uint_eq(profile->log_level, LOG_LVL_SESSION);
	findings_free(&f);
}
END_TEST

START_TEST(required_keys_alone_draw_one_lint)
{
	struct profile *d = malloc(sizeof(*d));
	struct findings f;

	ck_assert(d != NULL);
	must_read(REQUIRED, &f, NULL);
	ck_assert_uint_eq(f.n, 1);
	ck_assert_int_eq(f.v[0].code, FC_ROUTES_DEFAULT);
	profile_defaults(d);
	ck_assert_str_eq(profile->name, "corp");
	ck_assert_str_eq(profile->service, d->service);
	ck_assert_uint_eq(profile->n_routes, 1);
	ck_assert_str_eq(fmt(&profile->routes[0]), "0.0.0.0/0");
	ck_assert_uint_eq(profile->mtu, d->mtu);
	ck_assert_uint_eq(profile->udp_split, 0);
	ck_assert_uint_eq(profile->tls_max, TLS_MAX_1_3);
	findings_free(&f);
	free(d);
}
END_TEST

START_TEST(nothing_is_written_on_failure)
{
	struct findings f;
	struct profile *was = malloc(sizeof(*was));

	ck_assert(was != NULL);
	memset(profile, 0x5a, sizeof(*profile));
	memcpy(was, profile, sizeof(*was));
	ck_assert_int_eq(read_text("[tunnel]\n", 9, "corp", &f, NULL), -EBADMSG);
	ck_assert(!memcmp(was, profile, sizeof(*was)));
	findings_free(&f);
	free(was);
}
END_TEST

START_TEST(findings_are_bounded)
{
	struct text t = { 0 };
	struct findings f;
	size_t i;

	text_add(&t, "[tunnel]\n");
	for (i = 1; i <= 4000; i++)
		text_addf(&t, "IPRoutes.%zu = \"x;y;z;0;1\"\n", i);
	ck_assert_int_eq(read_text(t.s, t.n, "corp", &f, NULL), -EBADMSG);
	ck_assert_uint_eq(f.n, FINDINGS_MAX);
	for (i = 0; i < f.n && f.v[i].code != FC_TOO_MANY; i++)
		;
	ck_assert_uint_lt(i, f.n);
	findings_free(&f);
	text_free(&t);
}
END_TEST

START_TEST(many_routes_are_read_at_once)
{
	struct text t = { 0 };
	struct findings f;
	uint32_t i;

	/* the most that a file may hold, on one line each, in falling order */
	text_add(&t, REQUIRED "[tunnel]\n");
	for (i = 8000; i; i--)
		text_addf(&t, "IPRoutes.%u = 10.%u.%u.0/24\n", i, i / 256, i % 256);
	must_read(t.s, &f, NULL);
	ck_assert_uint_eq(profile->n_routes, 8000);
	ck_assert_str_eq(fmt(&profile->routes[0]), "10.0.1.0/24");
	ck_assert_str_eq(fmt(&profile->routes[7999]), "10.31.64.0/24");
	findings_free(&f);
	text_free(&t);
}
END_TEST

START_TEST(too_many_routes_are_refused)
{
	struct text t = { 0 };
	struct findings f;
	uint32_t i, k, n = 0;

	text_add(&t, REQUIRED "[tunnel]\n");
	for (i = 1; n <= PROFILE_MAX_PREFIXES; i++) {
		text_addf(&t, "IPRoutes.%u = \"", i);
		for (k = 0; k < 40 && n <= PROFILE_MAX_PREFIXES; k++, n++)
			text_addf(&t, "%s10.%u.%u.0/24", k ? ";" : "", n / 256, n % 256);
		text_add(&t, "\"\n");
	}
	ck_assert_int_eq(read_text(t.s, t.n, "corp", &f, NULL), -EBADMSG);
	ck_assert_uint_eq(f.errors, 1);
	ck_assert_int_eq(f.v[0].code, FC_TOO_MANY_VALUES);
	findings_free(&f);
	text_free(&t);
}
END_TEST

/* ---- JSON and origins --------------------------------------------------------------------- */

START_TEST(findings_as_json)
{
	static const char text[] = "[profile]\nName = \"a\\\nWh\"at = \x01\n";
	struct findings f;
	json_t *j, *v;
	json_error_t e;
	size_t i;
	char *s;

	ck_assert_int_eq(read_text(text, strlen(text), "corp", &f, NULL), -EBADMSG);
	s = findings_json(&f);
	j = json_loads(s, JSON_REJECT_DUPLICATES, &e);
	ck_assert_msg(j != NULL, "%s: %s", e.text, s);
	ck_assert_int_eq(json_integer_value(json_object_get(j, "version")), 1);
	ck_assert_uint_eq((size_t)json_integer_value(json_object_get(j, "errors")), f.errors);
	ck_assert_uint_eq((size_t)json_integer_value(json_object_get(j, "warnings")), f.warnings);
	v = json_object_get(j, "findings");
	ck_assert_uint_eq(json_array_size(v), f.n);
	for (i = 0; i < f.n; i++) {
		json_t *one = json_array_get(v, i);

		ck_assert_uint_eq(json_object_size(one), 7);
		ck_assert_str_eq(json_string_value(json_object_get(one, "file")), "corp.ini");
		ck_assert_uint_eq((uint32_t)json_integer_value(json_object_get(one, "line")),
				  f.v[i].line);
		ck_assert_str_eq(json_string_value(json_object_get(one, "code")),
				 finding_code_name(f.v[i].code));
		ck_assert_str_eq(json_string_value(json_object_get(one, "message")), f.v[i].text);
	}
	json_decref(j);
	free(s);
	findings_free(&f);
}
END_TEST

static json_t *shown(const json_t *j, const char *section, const char *key)
{
	json_t *keys = json_object_get(j, "keys"), *one;
	size_t i;

	json_array_foreach(keys, i, one) {
		if (!strcmp(json_string_value(json_object_get(one, "section")), section) &&
		    !strcmp(json_string_value(json_object_get(one, "key")), key))
			return one;
	}
	ck_abort_msg("[%s] %s is not shown", section, key);
	return NULL;
}

static const char *kind(const json_t *one)
{
	return json_string_value(json_object_get(json_object_get(one, "origin"), "kind"));
}

START_TEST(show_says_where_values_come_from)
{
	struct origins o = { 0 };
	struct text t = { 0 };
	struct findings f;
	json_error_t e;
	json_t *j, *one;

	must_read(REQUIRED "[tunnel]\nIPRoutes.2 = \"10.0.0.0/8;fd00::/8\"\nIPRoutes.1 = 192.0.2.0/24\n"
		  "TcpIdleTmoMs = 5000\nMTU = 1500\n", &f, &o);
	show_json(profile, &o, "corp.ini", &t);
	j = json_loads(t.s, JSON_REJECT_DUPLICATES, &e);
	ck_assert_msg(j != NULL, "%s: %s", e.text, t.s);
	one = shown(j, "tunnel", "IPRoutes");
	ck_assert_str_eq(kind(one), "file");
	ck_assert_uint_eq(json_array_size(json_object_get(one, "value")), 3);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(one, "value"), 0)),
			 "192.0.2.0/24");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(one, "origin"), "line")),
			 11);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(one, "origin"), "last")),
			 12);
	one = shown(j, "tunnel", "MTU");
	ck_assert_int_eq(json_integer_value(json_object_get(one, "value")), 1500);
	ck_assert(json_is_true(json_object_get(one, "in_effect")));
	one = shown(j, "tunnel", "TcpIdleTmoMs");
	ck_assert_int_eq(json_integer_value(json_object_get(one, "value")), 5000);
	ck_assert(json_is_false(json_object_get(one, "in_effect")));
	one = shown(j, "pinning", "PinnedCertificate");
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(one, "value"), 1)),
			 "sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(one, "value"), 2)),
			 "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
	ck_assert_str_eq(kind(shown(j, "sentry", "TlsMax")), "default");
	ck_assert_str_eq(kind(shown(j, "dns", "DnsResolverIPs")), "sentry");
	ck_assert(json_is_null(json_object_get(shown(j, "identity", "Chain"), "value")));
	ck_assert(json_is_false(json_object_get(shown(j, "pinning", "DisablePinning"), "value")));
	json_decref(j);
	text_free(&t);
	show_text(profile, &o, "corp.ini", &t);
	ck_assert(!t.failed && strstr(t.s, "corp.ini:11-12") && strstr(t.s, "not in effect yet"));
	text_free(&t);
	origins_free(&o);
	findings_free(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reader");
	TCase *t = tcase_create("reader");
	SRunner *r;
	int failed;

	profile = calloc(1, sizeof(*profile));
	if (!profile)
		return EXIT_FAILURE;
	tcase_add_test(t, data_files_draw_their_findings);
	tcase_add_test(t, samples_are_good);
	tcase_add_test(t, record_holds_the_values);
	tcase_add_test(t, required_keys_alone_draw_one_lint);
	tcase_add_test(t, nothing_is_written_on_failure);
	tcase_add_test(t, findings_are_bounded);
	tcase_add_test(t, many_routes_are_read_at_once);
	tcase_add_test(t, too_many_routes_are_refused);
	tcase_add_test(t, findings_as_json);
	tcase_add_test(t, show_says_where_values_come_from);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	free(profile);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
