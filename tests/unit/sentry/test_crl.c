/* SPDX-License-Identifier: MIT */
/* The endpoint's lists of revoked certificates: whose, how old, and who is on them. */
#include "tests/sentry/sentry.h"

#include <check.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/test_crl.XXXXXX";
static char one[64], two[64];
static EVP_PKEY *keys[4];
static X509 *cas[4];	/* two that are trusted, one that is not, one that may not sign lists */
static X509 *leaf;	/* of the first, number 7 */
static STACK_OF(X509) *trusted;
static char why[1024];

static X509 *certificate(const char *name, long serial, EVP_PKEY *own, const char *issuer,
			 EVP_PKEY *by, const char *usage)
{
	X509 *x = X509_new();
	X509_NAME *n;
	X509_EXTENSION *e;

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	n = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0);
	n = X509_NAME_new();
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *)issuer, -1, -1, 0);
	X509_set_issuer_name(x, n);
	X509_NAME_free(n);
	X509_set_pubkey(x, own);
	e = X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, usage);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	ck_assert_int_gt(X509_sign(x, by, EVP_sha256()), 0);
	return x;
}

static void setup(void)
{
	static const char *const names[] = { "first", "second", "first", "fourth" };

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(one, sizeof(one), "%s/one", dir);
	snprintf(two, sizeof(two), "%s/two", dir);
	trusted = sk_X509_new_null();
	for (int i = 0; i < 4; i++) {
		keys[i] = EVP_EC_gen("P-256");
		cas[i] = certificate(names[i], 1, keys[i], names[i], keys[i],
				     i == 3 ? "keyCertSign" : "keyCertSign,cRLSign");
		if (i != 2)
			sk_X509_push(trusted, cas[i]);
	}
	leaf = certificate("laptop", 7, keys[3], "first", keys[0], "digitalSignature");
}

static void teardown(void)
{
	unlink(one);
	unlink(two);
	rmdir(dir);
	sk_X509_free(trusted);
	for (int i = 0; i < 4; i++) {
		EVP_PKEY_free(keys[i]);
		X509_free(cas[i]);
	}
	X509_free(leaf);
}

struct make {
	const char *path;
	int ca;			/* who signs */
	long last, next;	/* seconds from now */
	long number;		/* 0: none */
	long serial;		/* revoked */
	int critical;		/* NID of a critical extension */
	bool pem, twice, more;
};

static void put(struct make m)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *r = X509_REVOKED_new();
	ASN1_INTEGER *n = ASN1_INTEGER_new();
	ASN1_TIME *t = ASN1_TIME_new();
	FILE *f = fopen(m.path, "w");

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(cas[m.ca]));
	X509_CRL_set1_lastUpdate(crl, X509_gmtime_adj(t, m.last));
	X509_CRL_set1_nextUpdate(crl, X509_gmtime_adj(t, m.next));
	ASN1_INTEGER_set(n, m.serial);
	X509_REVOKED_set_serialNumber(r, n);
	X509_REVOKED_set_revocationDate(r, X509_gmtime_adj(t, -60));
	X509_CRL_add0_revoked(crl, r);
	ASN1_INTEGER_set(n, m.number ? m.number : 1);
	if (m.number)
		X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0);
	if (m.critical)
		X509_CRL_add1_ext_i2d(crl, m.critical, n, 1, 0);
	ck_assert_int_gt(X509_CRL_sign(crl, keys[m.ca], EVP_sha256()), 0);
	for (int i = 0; i <= m.twice; i++) {
		if (m.pem)
			PEM_write_X509_CRL(f, crl);
		else
			i2d_X509_CRL_fp(f, crl);
	}
	if (m.more)
		fputs("x", f);
	fclose(f);
	ASN1_INTEGER_free(n);
	ASN1_TIME_free(t);
	X509_CRL_free(crl);
}

static int load(struct crls *c, uint32_t n)
{
	char *files[] = { one, two };

	return crls_load(c, c, files, n, trusted, why, sizeof(why));
}

START_TEST(finds_who_is_on_it)
{
	struct crls c = { 0 };

	for (int pem = 0; pem < 2; pem++) {
		put((struct make){ .path = one, .last = -60, .next = 60, .serial = 7, .pem = pem });
		ck_assert_msg(load(&c, 1) == 0, "%s", why);
		ck_assert(crls_revoked(&c, leaf));
		ck_assert(!crls_revoked(&c, cas[0]));
		ck_assert_uint_eq(crls_count(&c), 1);
		ck_assert(!crls_stale(&c));
		put((struct make){ .path = one, .last = -30, .next = -1, .serial = 8, .pem = pem });
		ck_assert_msg(load(&c, 1) == 0, "%s", why);
		ck_assert(!crls_revoked(&c, leaf));
		ck_assert(crls_stale(&c));
		crls_free(&c);
	}
	/* the same number of another CA is somebody else */
	put((struct make){ .path = one, .last = -60, .next = 60, .serial = 9 });
	put((struct make){ .path = two, .ca = 1, .last = -60, .next = 60, .serial = 7 });
	ck_assert_msg(load(&c, 2) == 0, "%s", why);
	ck_assert(!crls_revoked(&c, leaf));
	ck_assert_uint_eq(crls_count(&c), 2);
	crls_free(&c);
}
END_TEST

static const struct { struct make m; const char *says; } bad[] = {
	{ { .path = one, .ca = 2, .last = -60, .next = 60 }, "none of DeviceCa" },
	{ { .path = one, .ca = 3, .last = -60, .next = 60 }, "none of DeviceCa" },
	{ { .path = one, .last = 600, .next = 1200 }, "future" },
	{ { .path = one, .last = -60, .next = 60, .critical = NID_delta_crl }, "critical" },
	{ { .path = one, .last = -60, .next = 60, .pem = true, .twice = true }, "more than one" },
	{ { .path = one, .last = -60, .next = 60, .more = true }, "not a list" },
	{ { .path = two, .last = -60, .next = 60 }, "another file" },
	{ { .path = one, .last = -300, .next = 60 }, "older" },
	{ { .path = one, .last = -10, .next = 60, .number = 4 }, "older" },
};

START_TEST(refuses)
{
	struct crls c = { 0 };

	put((struct make){ .path = one, .last = -60, .next = 60, .serial = 7,
			   .number = bad[_i].m.number ? 5 : 0 });
	ck_assert_msg(load(&c, 1) == 0, "%s", why);
	put(bad[_i].m);
	ck_assert_int_eq(load(&c, bad[_i].m.path == two ? 2 : 1), -EINVAL);
	ck_assert_msg(strstr(why, bad[_i].says) != NULL, "%s", why);
	ck_assert(crls_revoked(&c, leaf));	/* as it was */
	crls_free(&c);
}
END_TEST

START_TEST(refuses_what_is_no_list)
{
	struct crls c = { 0 };
	uint8_t der[4096];
	size_t n;
	FILE *f;

	unlink(one);
	ck_assert_int_eq(load(&c, 1), -EINVAL);
	put((struct make){ .path = one, .last = -60, .next = 60, .serial = 7 });
	f = fopen(one, "r");
	n = fread(der, 1, sizeof(der), f);
	fclose(f);
	for (size_t i = 0; i < n; i++) {
		f = fopen(one, "w");
		fwrite(der, 1, i, f);
		fclose(f);
		ck_assert_msg(load(&c, 1) == -EINVAL, "%zu bytes", i);
		der[i] ^= 1;
		f = fopen(one, "w");
		fwrite(der, 1, n, f);
		fclose(f);
		ck_assert_msg(load(&c, 1) == -EINVAL, "byte %zu", i);
		der[i] ^= 1;
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("crl");
	TCase *tc = tcase_create("crl");
	SRunner *sr;
	int failed;

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, finds_who_is_on_it);
	tcase_add_loop_test(tc, refuses, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, refuses_what_is_no_list);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
