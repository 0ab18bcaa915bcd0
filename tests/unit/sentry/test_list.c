/* SPDX-License-Identifier: MIT */
/* The endpoint's device list: its lines, its header, its signature, and which one is newer. */
#include "tests/sentry/sentry.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define A64	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64	"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
#define C64	"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define DEV(uid, thumb, more) \
	"{\"DeviceUid\":\"" uid "\",\"CertThumbprint\":\"" thumb "\",\"UserId\":\"jane\"" more "}\n"
#define HEAD(version)	"{\"DeviceList\":1,\"Version\":" version ",\"Group\":\"corp\"}\n"

static char dir[] = "/tmp/test_list.XXXXXX";
static char path[64], signer[64], state[64];
static EVP_PKEY *key, *other_key;
static X509 *cert, *other;
static char why[1024];

static void put(const char *name, const void *data, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static X509 *certificate(const char *name, EVP_PKEY *k)
{
	static const struct { int nid; const char *value; } ext[] = {
		{ NID_basic_constraints, "critical,CA:FALSE" },
		{ NID_key_usage, "critical,digitalSignature" },
		{ NID_ext_key_usage, "codeSigning" },
	};
	X509 *x = X509_new();
	X509_NAME *n = X509_get_subject_name(x);

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0);
	X509_set_issuer_name(x, n);
	X509_set_pubkey(x, k);
	for (size_t i = 0; i < sizeof(ext) / sizeof(*ext); i++) {
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, ext[i].nid, ext[i].value);

		ck_assert(X509_add_ext(x, e, -1));
		X509_EXTENSION_free(e);
	}
	ck_assert_int_gt(X509_sign(x, k, EVP_sha256()), 0);
	return x;
}

static void setup(void)
{
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/devices", dir);
	snprintf(signer, sizeof(signer), "%s/signer.pem", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	key = EVP_EC_gen("P-256");
	other_key = EVP_EC_gen("P-256");
	cert = certificate("signer", key);
	other = certificate("other", other_key);
	f = fopen(signer, "w");
	PEM_write_X509(f, cert);
	fclose(f);
}

static void teardown(void)
{
	unlink(path);
	unlink(signer);
	unlink(state);
	rmdir(dir);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other_key);
	X509_free(cert);
	X509_free(other);
}

/* @text signed into @path.  Return: its length */
static size_t sign(const char *text, X509 *who, EVP_PKEY *k)
{
	BIO *in = BIO_new_mem_buf(text, -1), *out = BIO_new(BIO_s_mem());
	CMS_ContentInfo *cms = CMS_sign(who, k, NULL, in, CMS_BINARY);
	char *der;
	long n;

	ck_assert_ptr_nonnull(cms);
	ck_assert_int_eq(i2d_CMS_bio(out, cms), 1);
	n = BIO_get_mem_data(out, &der);
	put(path, der, (size_t)n);
	CMS_ContentInfo_free(cms);
	BIO_free(in);
	BIO_free(out);
	return (size_t)n;
}

static int load(const char *by)
{
	struct devices d = { 0 };
	int err = list_load(&d, path, by, why, sizeof(why));

	devices_free(&d);
	return err;
}

START_TEST(reads_lines)
{
	static const char text[] = "# ours\n\n" HEAD("42") DEV("b", B64, "") DEV("a", A64,
		",\"Blocked\":true,\"UserBlocked\":false,\"EnrollmentStatus\":\"unenrolled\","
		"\"complianceStatus\":\"non-compliant\",\"applicationBundleId\":[\"x\"],\"x-y\":1");
	struct devices d;
	struct device *v;

	ck_assert_int_eq(devices_parse(&d, text, sizeof(text) - 1, "f", why, sizeof(why)), 0);
	ck_assert_int_eq(d.n, 2);
	ck_assert_int_eq(d.id.version, 42);
	ck_assert_str_eq(d.id.group, "corp");
	v = devices_by_thumb(&d, A64);
	ck_assert_ptr_nonnull(v);
	ck_assert_str_eq(v->uid, "a");
	ck_assert(v->blocked && !v->enrolled && !v->compliant && !v->user_blocked);
	v = devices_by_thumb(&d, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
			     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	ck_assert_ptr_nonnull(v);
	ck_assert(!v->blocked && v->enrolled && v->compliant);
	ck_assert_ptr_null(devices_by_thumb(&d, C64));
	ck_assert_ptr_null(devices_by_thumb(&d, ""));
	ck_assert(devices_has_uid(&d, "b") && !devices_has_uid(&d, "c"));
	devices_free(&d);
}
END_TEST

static const struct { const char *text, *says; } bad[] = {
	{ "nonsense\n", "f:1: bad value: not JSON" },
	{ "\n[]\n", "f:2: bad value: not a JSON object" },
	{ DEV("a", A64, "") "{\n", "f:2: " },
	{ DEV("a", A64, "") "\n" DEV("b", A64, ""), "f:3: bad value: CertThumbprint that stands twice" },
	{ DEV("a", "aa", ""), "f:1: bad value: CertThumbprint" },
	{ DEV("", A64, ""), "f:1: bad value: DeviceUid" },
	{ DEV("a", A64, ",\"Blocked\":1"), "f:1: bad value: Blocked" },
	{ DEV("a", A64, ",\"blocked\":true"), "f:1: bad value: an unknown member" },
	{ DEV("a", A64, ",\"UserId\":\"joe\""), "f:1: " },
	{ DEV("a", A64, ",\"EnrollmentStatus\":\"yes\""), "f:1: bad value: EnrollmentStatus" },
	{ DEV("a", A64, ",\"complianceStatus\":\"\""), NULL },
	{ "{\"DeviceList\":2,\"Version\":1,\"Group\":\"g\"}\n", "f:1: bad value: DeviceList" },
	{ "{\"DeviceList\":1,\"Version\":0,\"Group\":\"g\"}\n", "f:1: bad value: Version" },
	{ "{\"DeviceList\":1,\"Version\":9007199254740993,\"Group\":\"g\"}\n", "f:1: bad value: Version" },
	{ "{\"DeviceList\":1,\"Version\":\"1\",\"Group\":\"g\"}\n", "f:1: bad value: Version" },
	{ "{\"DeviceList\":1,\"Version\":1}\n", "f:1: bad value: Group" },
	{ "{\"DeviceList\":1,\"Version\":1,\"Group\":\"a b\"}\n", "f:1: bad value: Group" },
	{ "{\"DeviceList\":1,\"Version\":1,\"Group\":\"g\",\"Devices\":2}\n", "f:1: bad value: an unknown" },
	{ DEV("a", A64, "") HEAD("1"), "f:2: bad value: an unknown member" },
	{ HEAD("1") HEAD("2"), "f:2: bad value: an unknown member" },
};

START_TEST(refuses_lines)
{
	struct devices d = { .n = 77 };
	int err = devices_parse(&d, bad[_i].text, strlen(bad[_i].text), "f", why, sizeof(why));

	if (!bad[_i].says) {	/* an empty text is a missing one */
		ck_assert_int_eq(err, 0);
		devices_free(&d);
		return;
	}
	ck_assert_int_eq(err, -EINVAL);
	ck_assert_msg(strncmp(why, bad[_i].says, strlen(bad[_i].says)) == 0, "%s", why);
	ck_assert_int_eq(d.n, 77);
}
END_TEST

START_TEST(believes_its_signer_only)
{
	static const char text[] = HEAD("3") DEV("a", A64, "");
	struct devices d;
	size_t n;

	put(path, text, sizeof(text) - 1);
	ck_assert_int_eq(load(NULL), 0);
	ck_assert_int_eq(load(signer), -EBADMSG);	/* unsigned */
	ck_assert_ptr_nonnull(strstr(why, "not signed"));
	n = sign(text, cert, key);
	ck_assert_int_eq(load(NULL), -EBADMSG);		/* nobody to check it by */
	ck_assert_ptr_nonnull(strstr(why, "DeviceSigner"));
	ck_assert_int_eq(list_load(&d, path, signer, why, sizeof(why)), 0);
	ck_assert(d.is_signed && d.id.version == 3 && d.n == 1);
	ck_assert_int_eq(strlen(d.id.digest), 64);
	devices_free(&d);
	ck_assert_int_eq(truncate(path, (off_t)n - 1), 0);
	ck_assert_int_eq(load(signer), -EBADMSG);
	sign(text, other, other_key);
	ck_assert_int_eq(load(signer), -EBADMSG);
	sign(DEV("a", A64, ""), cert, key);		/* signed, and no header */
	ck_assert_int_eq(load(signer), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "header"));
	sign(HEAD("3") "nonsense\n", cert, key);
	ck_assert_int_eq(load(signer), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "devices:2:"));
	sign(text, cert, key);
	ck_assert_int_eq(load("/nonexistent"), -ENOENT);
	ck_assert_int_eq(list_load(&d, dir, signer, why, sizeof(why)), -EINVAL);
}
END_TEST

/* A few bytes of a message mean nothing (the list of digests): the text is the same then. */
START_TEST(refuses_each_change_of_a_signed_list)
{
	struct devices d, was;
	size_t n = sign(HEAD("3") DEV("a", A64, ",\"Blocked\":true"), cert, key), got, passed = 0;
	uint8_t *der = malloc(n);
	FILE *f = fopen(path, "r");

	got = fread(der, 1, n, f);
	fclose(f);
	ck_assert_int_eq(got, n);
	ck_assert_int_eq(list_load(&was, path, signer, why, sizeof(why)), 0);
	for (size_t i = 0; i < n; i++) {
		der[i] ^= 4;
		put(path, der, n);
		der[i] ^= 4;
		if (list_load(&d, path, signer, why, sizeof(why)))
			continue;
		passed++;
		ck_assert_msg(!strcmp(d.id.digest, was.id.digest), "byte %zu", i);
		devices_free(&d);
	}
	ck_assert_uint_le(passed, 16);
	devices_free(&was);
	free(der);
}
END_TEST

START_TEST(knows_the_newer_one)
{
	static const struct {
		struct devices_id seen, next;
		bool newer;
	} rows[] = {
		{ { 0, "", "" }, { 1, "g", "x" }, true },
		{ { 0, "", "" }, { 0, "", "x" }, true },
		{ { 5, "g", "x" }, { 6, "g", "y" }, true },
		{ { 5, "g", "x" }, { 5, "g", "x" }, true },
		{ { 5, "g", "x" }, { 5, "g", "y" }, false },
		{ { 5, "g", "x" }, { 4, "g", "x" }, false },
		{ { 5, "g", "x" }, { 6, "h", "y" }, false },
		{ { 5, "g", "x" }, { 0, "", "y" }, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct devices d = { .id = rows[i].next };

		ck_assert_msg(list_newer(&d, &rows[i].seen, "f", why, sizeof(why)) == rows[i].newer,
			      "row %zu", i);
	}
}
END_TEST

START_TEST(remembers)
{
	struct devices_id id = { 9007199254740992, "a.b-c_d", A64 }, got;
	static const char *const wrong[] = {
		"", "x", "0 g " A64 "\n", "1 g " A64, "1 g aa\n", "1  " A64 "\n", "-1 g " A64 "\n",
		"1 g " A64 "\nmore", " 1 g " A64 "\n", "99999999999999999999 g " A64 "\n",
	};

	ck_assert_int_eq(list_seen_read(state, &got), 0);
	ck_assert_int_eq(got.version, 0);
	ck_assert_int_eq(list_seen_write(state, &id), 0);
	ck_assert_int_eq(list_seen_read(state, &got), 0);
	ck_assert(got.version == id.version && !strcmp(got.group, id.group) &&
		  !strcmp(got.digest, id.digest));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		put(state, wrong[i], strlen(wrong[i]));
		ck_assert_msg(list_seen_read(state, &got) == -EBADMSG, "row %zu", i);
	}
	ck_assert_int_eq(list_seen_write("/nonexistent/x", &id), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("list");
	TCase *tc = tcase_create("list");
	SRunner *sr;
	int failed;

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, reads_lines);
	tcase_add_loop_test(tc, refuses_lines, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, believes_its_signer_only);
	tcase_add_test(tc, refuses_each_change_of_a_signed_list);
	tcase_add_test(tc, knows_the_newer_one);
	tcase_add_test(tc, remembers);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
