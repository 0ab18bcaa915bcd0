/* SPDX-License-Identifier: MIT */
/*
 * test_import.c - what other platforms' files become.  Each file of data/ is
 * imported, here and in the child, and must give what stands in NAME.expect:
 * the profile, then the list, or why it is refused.  A number at the end of a
 * name is the payload; "-nofile": without a file for certificates beside it.
 * UPDATE=1 writes the .expect files anew, to be read before they are committed.
 */
#define _GNU_SOURCE
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl.h"
#include "client/ctl_import.h"
#include "profiles/reader.h"

#define DATA	"tests/unit/ctl/data"
#define LEAST	120	/* inputs: fewer means that the folder was not found */
#define STEM	"corp"

static struct profile *profile;

static uint8_t *slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *s = malloc(IMPORT_INPUT_MAX + 2);

	ck_assert_msg(f && s, "%s: %s", path, strerror(errno));
	*n = fread(s, 1, IMPORT_INPUT_MAX + 1, f);
	s[*n] = '\0';
	fclose(f);
	return s;
}

/* ---- data files ----------------------------------------------------------------------------- */

/*
 * Without what depends on which keys are built, and on the table's one-line
 * helps: that is checked apart.
 */
static void dump(const struct import_result *r, const char *ini, struct text *t)
{
	const char *p = ini, *cut;
	size_t i, n;

	for (; *p; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		cut = memmem(p, n, "   (", 4);
		text_addn(t, p, *p == '#' && cut ? (size_t)(cut - p) : n);
		text_add(t, "\n");
	}
	text_add(t, "----\n");
	for (i = 0; i < r->n_notes; i++) {
		const struct import_note *note = &r->notes[i];

		if (note->kind == IMPORT_UNSUPPORTED)
			continue;
		text_addf(t, "%s: %s", import_word(note->kind, true), note->where);
		if (note->kind != IMPORT_MISSING)
			text_addf(t, ": %s", note->text);
		text_add(t, "\n");
	}
}

/* The reader finds no error that the list does not name. */
static void check_listed(const char *name, const struct import_result *r, const char *ini)
{
	size_t i, listed = 0;
	struct findings f;
	int err;

	for (i = 0; i < r->n_notes; i++)
		listed += r->notes[i].kind == IMPORT_MISSING ||
			  (r->notes[i].kind == IMPORT_UNSUPPORTED &&
			   strstr(r->notes[i].text, "(E"));
	ck_assert(!findings_init(&f, "i.ini"));
	err = profile_read(ini, strlen(ini), "i", "/etc/apptunnel/profiles.d", profile, &f, NULL);
	ck_assert_msg(err == 0 || err == -EBADMSG, "%s: profile_read() = %d", name, err);
	ck_assert_msg(f.errors == listed, "%s: %zu errors, %zu in the list", name, f.errors,
		      listed);
	for (i = 0; i < f.n; i++)
		ck_assert_msg(!finding_code_is_error(f.v[i].code) || f.v[i].code == FC_MISSING ||
			      f.v[i].code == FC_NO_PIN || f.v[i].code == FC_ACCESS ||
			      finding_code_name(f.v[i].code)[1] == '5', "%s: %s %s", name,
			      finding_code_name(f.v[i].code), f.v[i].text);
	findings_free(&f);
}

typedef int convert_fn(const uint8_t *in, size_t n, uint32_t payload, struct import_result *r);

static char *imported(const char *name, const uint8_t *in, size_t n, convert_fn *convert)
{
	const char *dash = strrchr(name, '-');
	uint32_t payload = dash ? (uint32_t)strtoul(dash + 1, NULL, 10) : 0;
	bool file = !dash || strcmp(dash, "-nofile");
	struct import_result *r = calloc(1, sizeof(*r));
	struct text t = { 0 };
	char *ini = NULL;
	int err;

	err = convert(in, n, payload, r);
	ck_assert_msg(err == 0 || err == -EBADMSG, "%s: %d", name, err);
	if (!err) {
		err = import_finish(r, file ? STEM : NULL, &ini);
		ck_assert_msg(!err, "%s: import_finish() = %d", name, err);
		dump(r, ini, &t);
		check_listed(name, r, ini);
	} else {
		ck_assert_msg(r->why[0], "%s: refused without a reason", name);
		text_addf(&t, "refused: %s\n", r->why);
	}
	free(ini);
	import_free(r);
	free(r);
	return text_take(&t);
}

static bool same_as_file(const char *name, const char *got)
{
	char path[512], *want;
	size_t n;
	FILE *f;
	bool same;

	snprintf(path, sizeof(path), DATA "/%s.expect", name);
	if (getenv("UPDATE")) {
		f = fopen(path, "w");
		ck_assert(f && fputs(got, f) >= 0 && !fclose(f));
		return true;
	}
	want = (char *)slurp(path, &n);
	same = !strcmp(got, want);
	if (!same)
		printf("%s: expected\n%s\nbut found\n%s\n", name, want, got);
	free(want);
	return same;
}

START_TEST(data_files_become_what_is_expected)
{
	struct dirent *e;
	DIR *d = opendir(DATA);
	int files = 0, bad = 0;

	ck_assert_msg(d != NULL, DATA ": %s (run from the top of the tree)", strerror(errno));
	while ((e = readdir(d))) {
		const char *dot = strrchr(e->d_name, '.');
		char path[512], name[256], *here, *there;
		uint8_t *in;
		size_t n;

		if (e->d_name[0] == '.' || !dot || !strcmp(dot, ".expect"))
			continue;
		snprintf(path, sizeof(path), DATA "/%s", e->d_name);
		snprintf(name, sizeof(name), "%.*s", (int)(dot - e->d_name), e->d_name);
		in = slurp(path, &n);
		here = imported(name, in, n, import_convert);
		there = imported(name, in, n, import_in_child);
		ck_assert_msg(!strcmp(here, there), "%s: in the child it became\n%s\ninstead "
			      "of\n%s", name, there, here);
		/* values of keys that hold secrets are never repeated */
		ck_assert_msg(!strstr(here, "hunter2") && !strstr(here, "secret"), "%s tells a "
			      "secret", name);
		files++;
		bad += !same_as_file(name, here);
		free(here);
		free(there);
		free(in);
	}
	closedir(d);
	ck_assert_int_ge(files, LEAST);
	ck_assert_msg(!bad, "%d of %d files became something else", bad, files);
}
END_TEST

/* Cut anywhere, and with any byte changed, it is refused or read, and nothing else. */
START_TEST(damaged_files_are_refused_or_read)
{
	static const char *const names[] = { "binary", "signed", "device-minimal" };
	size_t k, i, n;

	for (k = 0; k < 3; k++) {
		char path[512];
		uint8_t *in, *copy;

		snprintf(path, sizeof(path), DATA "/%s.mobileconfig", names[k]);
		in = slurp(path, &n);
		copy = malloc(n);
		ck_assert(copy != NULL);
		for (i = 0; i < n; i += k ? 3 : 1) {
			free(imported("cut", in, i, import_convert));
			memcpy(copy, in, n);
			copy[i] ^= (uint8_t)(1u << i % 8);
			free(imported("flipped", copy, n, import_convert));
		}
		free(copy);
		free(in);
	}
}
END_TEST

START_TEST(one_byte_more_than_a_mebibyte_is_refused)
{
	struct import_result r = { 0 };
	uint8_t *in = malloc(IMPORT_INPUT_MAX + 1);
	static const char json[] = "{\"MTU\": 1400}";

	ck_assert(in != NULL);
	memset(in, ' ', IMPORT_INPUT_MAX + 1);
	memcpy(in, json, sizeof(json) - 1);
	ck_assert_int_eq(import_in_child(in, IMPORT_INPUT_MAX, 0, &r), 0);
	import_free(&r);
	ck_assert_int_eq(import_in_child(in, IMPORT_INPUT_MAX + 1, 0, &r), -EBADMSG);
	ck_assert_str_eq(r.why, "larger than 1 MiB");
	import_free(&r);
	free(in);
}
END_TEST

/* A list that is too long for its key is left out whole, not cut. */
START_TEST(a_list_is_carried_whole_or_not)
{
	struct text t = { 0 };
	char *whole, *none;
	unsigned int i;

	text_add(&t, "{\"SentryServer\": \"sentry.example.com\", \"IPRoutes\": \"");
	for (i = 0; i < PROFILE_MAX_PREFIXES; i++)
		text_addf(&t, "%s10.%u.%u.0/24", i ? ";" : "", i >> 8, i & 255);
	text_add(&t, "\"}");
	whole = imported("routes", (uint8_t *)t.s, t.n, import_in_child);
	ck_assert(strstr(whole, "IPRoutes.1 = \"10.0.0.0/24;") != NULL);
	ck_assert(strstr(whole, ";10.31.255.0/24\"\n") != NULL);
	t.n -= 2;
	text_add(&t, ";10.32.0.0/24\"}");
	none = imported("routes", (uint8_t *)t.s, t.n, import_in_child);
	ck_assert(strstr(none, "IPRoutes.1") == NULL);
	ck_assert(strstr(none, "not-carried: IPRoutes: 8193 values, at most 8192 are "
			 "accepted") != NULL);
	free(whole);
	free(none);
	text_free(&t);
}
END_TEST

/* ---- the verb ------------------------------------------------------------------------------- */

static char dir[] = "/tmp/test-import-XXXXXX";
static char *said, *printed;	/* stderr, stdout of the last run */

static char *text_of(const char *path)
{
	size_t n;

	return (char *)slurp(path, &n);
}

static int redirect(int fd, const char *name)
{
	char path[256];
	int to, saved;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	saved = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	ck_assert(to >= 0 && saved >= 0 && dup2(to, fd) == fd);
	close(to);
	return saved;
}

static char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

/* apptunnel profile import ARGS...; what it said is kept. */
static int run(bool json, const char *a, const char *b, const char *c, const char *d, const char *e)
{
	char *argv[] = { (char *)"import", (char *)a, (char *)b, (char *)c,
			 (char *)d, (char *)e, NULL };
	struct ctl_opts o = { .json = json };
	int argc = 1, out, err, code;

	while (argv[argc])
		argc++;
	fflush(NULL);
	out = redirect(1, "stdout");
	err = redirect(2, "stderr");
	code = ctl_profile_import(&o, argc, argv);
	fflush(NULL);
	ck_assert(dup2(out, 1) == 1 && dup2(err, 2) == 2);
	close(out);
	close(err);
	free(said);
	free(printed);
	said = text_of(in_dir("stderr"));
	printed = text_of(in_dir("stdout"));
	return code;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	return lstat(in_dir(name), &st) ? 0 : st.st_mode & 07777;
}

static void enter(void)
{
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	ck_assert(mkdtemp(dir) != NULL);
}

/* What the tests made, and nothing else: a file that was left behind stays, and says so. */
static void leave(void)
{
	static const char *const ours[] = { "stdout", "stderr", "corp.ini", "corp-ca.pem",
					    "corp-pin-1.pem", "corp-pin-2.pem", "in.json" };
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		unlink(in_dir(ours[i]));
	ck_assert_msg(!rmdir(dir), "%s: something was left behind", dir);
}

START_TEST(files_are_written_with_their_modes)
{
	mode_t old = umask(022);
	struct findings f;
	size_t i;

	ck_assert_int_eq(run(false, DATA "/certs.mobileconfig", "-o", in_dir("corp.ini"), NULL,
			     NULL), 0);
	ck_assert_str_eq(printed, "");
	ck_assert(strstr(said, "PKCS#12") != NULL);
	ck_assert_uint_eq(mode_of("corp.ini"), 0644);
	ck_assert_uint_eq(mode_of("corp-ca.pem"), 0644);
	ck_assert_uint_eq(mode_of("corp-pin-1.pem"), 0644);
	ck_assert_uint_eq(mode_of("corp-pin-2.pem"), 0644);
	/* the profile names them as they are: read from where it lies */
	free(said);
	said = text_of(in_dir("corp.ini"));
	ck_assert(!findings_init(&f, "corp.ini"));
	profile_read(said, strlen(said), "corp", dir, profile, &f, NULL);
	for (i = 0; i < f.n; i++)
		ck_assert(!finding_code_is_error(f.v[i].code) || f.v[i].code == FC_MISSING);
	findings_free(&f);
	ck_assert(strstr(said, "PinnedCertificate = \"corp-pin-1.pem;corp-pin-2.pem\"\n") != NULL);
	ck_assert(strstr(said, "CaFile = corp-ca.pem\n") != NULL);
	free(said);
	said = text_of(in_dir("corp-ca.pem"));
	ck_assert(!strncmp(said, "-----BEGIN CERTIFICATE-----\n", 28));
	ck_assert(strstr(said + 1, "-----BEGIN CERTIFICATE-----\n") != NULL);	/* two of them */
	umask(077);
	ck_assert_int_eq(run(false, DATA "/certs.mobileconfig", "-o", in_dir("corp.ini"), "--force",
			     NULL),
			 0);
	ck_assert_uint_eq(mode_of("corp.ini"), 0600);
	umask(old);
}
END_TEST

START_TEST(nothing_is_written_over_unless_forced)
{
	FILE *f = fopen(in_dir("corp-ca.pem"), "w");

	ck_assert(f && fputs("mine", f) >= 0 && !fclose(f));
	ck_assert_int_eq(run(false, DATA "/certs.mobileconfig", "-o", in_dir("corp.ini"), NULL,
			     NULL),
			 CTL_CONFLICT);
	ck_assert(strstr(said, "corp-ca.pem is there already; --force") != NULL);
	/* all or nothing */
	ck_assert_uint_eq(mode_of("corp.ini"), 0);
	ck_assert_uint_eq(mode_of("corp-pin-1.pem"), 0);
	free(said);
	said = text_of(in_dir("corp-ca.pem"));
	ck_assert_str_eq(said, "mine");
	ck_assert_int_eq(run(false, "--force", DATA "/certs.mobileconfig", "-o", in_dir("corp.ini"),
			     NULL), 0);
	free(said);
	said = text_of(in_dir("corp-ca.pem"));
	ck_assert_str_ne(said, "mine");
	/* a link is not followed, nor replaced */
	unlink(in_dir("corp.ini"));
	ck_assert(!symlink("corp-ca.pem", in_dir("corp.ini")));
	ck_assert_int_eq(run(false, "--force", DATA "/certs.mobileconfig", "-o", in_dir("corp.ini"),
			     NULL), CTL_CONFLICT);
	ck_assert(strstr(said, "not a regular file") != NULL);
}
END_TEST

START_TEST(exit_codes)
{
	static const char cfg[] = DATA "/device-minimal.mobileconfig";

	ck_assert_int_eq(run(false, cfg, NULL, NULL, NULL, NULL), 0);
	ck_assert(!strncmp(printed, "# Imported from an Apple configuration profile", 40));
	ck_assert(strstr(said, cfg) && strstr(said, ": to fill in: "));
	ck_assert_int_eq(run(false, DATA "/html.mobileconfig", "-o", in_dir("corp.ini"), NULL,
			     NULL),
			 CTL_PROFILE);
	ck_assert_uint_eq(mode_of("corp.ini"), 0);
	ck_assert_int_eq(run(false, in_dir("missing"), NULL, NULL, NULL, NULL), CTL_NO_PROFILE);
	ck_assert_int_eq(run(false, NULL, NULL, NULL, NULL, NULL), CTL_USAGE);
	ck_assert_int_eq(run(false, cfg, cfg, NULL, NULL, NULL), CTL_USAGE);
	ck_assert_int_eq(run(false, cfg, "--payload", "0", NULL, NULL), CTL_USAGE);
	ck_assert_int_eq(run(false, cfg, "--payload", "1x", NULL, NULL), CTL_USAGE);
	ck_assert_int_eq(run(false, cfg, "--payload", NULL, NULL, NULL), CTL_USAGE);
	ck_assert_int_eq(run(false, cfg, "--payload=1", NULL, NULL, NULL), 0);
	ck_assert_int_eq(run(false, cfg, "--payload", "2", NULL, NULL), CTL_PROFILE);
	ck_assert_int_eq(run(false, cfg, "--what", NULL, NULL, NULL), CTL_USAGE);
	ck_assert_int_eq(run(false, cfg, "-o", in_dir("not a name.ini"), NULL, NULL), CTL_USAGE);
	ck_assert_int_eq(run(false, cfg, "-o", in_dir("no/corp.ini"), NULL, NULL), CTL_NO_PROFILE);
	ck_assert_int_eq(run(false, "/dev/zero", NULL, NULL, NULL, NULL), CTL_PROFILE);
	ck_assert(strstr(said, "larger than 1 MiB") != NULL);
}
END_TEST

START_TEST(json_is_one_document)
{
	const char *kind;
	json_t *j, *note;
	size_t i, fill = 0;

	ck_assert_int_eq(run(true, DATA "/certs.mobileconfig", NULL, NULL, NULL, NULL), 0);
	ck_assert_str_eq(said, "");
	j = json_loads(printed, 0, NULL);
	ck_assert(j && json_integer_value(json_object_get(j, "version")) == 1);
	ck_assert(json_is_null(json_object_get(j, "file")));
	ck_assert(json_is_null(json_object_get(j, "error")));
	kind = json_string_value(json_object_get(j, "profile"));
	ck_assert(strstr(kind, "[sentry]\nHost = ") != NULL);
	json_array_foreach(json_object_get(j, "notes"), i, note) {
		kind = json_string_value(json_object_get(note, "kind"));
		fill += !strcmp(kind, "missing");
		ck_assert(json_is_string(json_object_get(note, "where")));
		ck_assert(json_is_string(json_object_get(note, "message")));
	}
	ck_assert_uint_gt(fill, 0);
	json_decref(j);
	ck_assert_int_eq(run(true, DATA "/certs.mobileconfig", "-o", in_dir("corp.ini"), NULL,
			     NULL), 0);
	j = json_loads(printed, 0, NULL);
	ck_assert_str_eq(json_string_value(json_object_get(j, "file")), in_dir("corp.ini"));
	ck_assert(json_is_null(json_object_get(j, "profile")));
	json_decref(j);
	ck_assert_int_eq(run(true, DATA "/html.mobileconfig", NULL, NULL, NULL, NULL), CTL_PROFILE);
	j = json_loads(printed, 0, NULL);
	ck_assert(json_is_string(json_object_get(j, "error")));
	json_decref(j);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("import");
	TCase *data = tcase_create("data"), *verb = tcase_create("verb");
	SRunner *sr;
	int failed;

	profile = malloc(sizeof(*profile));
	tcase_set_timeout(data, 60);
	tcase_set_timeout(verb, 60);
	tcase_add_test(data, data_files_become_what_is_expected);
	tcase_add_test(data, damaged_files_are_refused_or_read);
	tcase_add_test(data, one_byte_more_than_a_mebibyte_is_refused);
	tcase_add_test(data, a_list_is_carried_whole_or_not);
	tcase_add_checked_fixture(verb, enter, leave);
	tcase_add_test(verb, files_are_written_with_their_modes);
	tcase_add_test(verb, nothing_is_written_over_unless_forced);
	tcase_add_test(verb, exit_codes);
	tcase_add_test(verb, json_is_one_document);
	suite_add_tcase(s, data);
	suite_add_tcase(s, verb);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	free(said);
	free(printed);
	free(profile);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
