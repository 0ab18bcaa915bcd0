/* SPDX-License-Identifier: MIT */
/* Who may write a profile: every way to be refused, and every byte that may be missing. */
#include <check.h>
#include <errno.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/signed.h"

#define NOW	1800000000u	/* 2027-01-15 */
#define DAY	86400

static const char text[] = "[profile]\nVersion = 7\n[sentry]\nHost = sentry.example.com\n";

struct person {
	EVP_PKEY *key;
	X509 *cert;
};

static struct person good, other, ca, expired, future, server, no_usage, weak;

static void extend(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ck_assert_ptr_nonnull(e);
	ck_assert(X509_add_ext(cert, e, -1));
	X509_EXTENSION_free(e);
}

static struct person person(const char *name, EVP_PKEY *key, long from, long to, const char *basic,
			    const char *usage, const char *extended)
{
	static long serial = 100;
	struct person p = { key, X509_new() };
	X509_NAME *n;

	ck_assert(p.key && p.cert);
	X509_set_version(p.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(p.cert), serial++);
	ASN1_TIME_set(X509_getm_notBefore(p.cert), (time_t)NOW + from);
	ASN1_TIME_set(X509_getm_notAfter(p.cert), (time_t)NOW + to);
	n = X509_get_subject_name(p.cert);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0);
	X509_set_issuer_name(p.cert, n);
	X509_set_pubkey(p.cert, p.key);
	extend(p.cert, NID_basic_constraints, basic);
	if (usage)
		extend(p.cert, NID_key_usage, usage);
	if (extended)
		extend(p.cert, NID_ext_key_usage, extended);
	ck_assert_int_gt(X509_sign(p.cert, p.key, EVP_sha256()), 0);
	return p;
}

static struct person ec_person(const char *name, long from, long to, const char *basic,
			       const char *usage, const char *extended)
{
	return person(name, EVP_EC_gen("P-256"), from, to, basic, usage, extended);
}

static void person_free(struct person *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->cert);
}

#define LEAF	"critical,CA:FALSE"
#define SIGNS	"critical,digitalSignature"

static void setup(void)
{
	good = ec_person("signer", -DAY, DAY, LEAF, SIGNS, "codeSigning");
	other = ec_person("other", -DAY, DAY, LEAF, SIGNS, "codeSigning");
	ca = ec_person("ca", -DAY, DAY, "critical,CA:TRUE", "critical,digitalSignature,keyCertSign",
		       "codeSigning");
	expired = ec_person("expired", -2 * DAY, -DAY, LEAF, SIGNS, "codeSigning");
	future = ec_person("future", DAY, 2 * DAY, LEAF, SIGNS, "codeSigning");
	server = ec_person("server", -DAY, DAY, LEAF, SIGNS, "serverAuth,clientAuth");
	no_usage = ec_person("no usage", -DAY, DAY, LEAF, NULL, "codeSigning");
	weak = person("weak", EVP_RSA_gen(1024), -DAY, DAY, LEAF, SIGNS, "codeSigning");
}

static void teardown(void)
{
	struct person *all[] = { &good, &other, &ca, &expired, &future, &server, &no_usage, &weak };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		person_free(all[i]);
}

/* ---- bytes -------------------------------------------------------------------- */

struct bytes {
	uint8_t *p;
	size_t n;
};

static struct bytes take(BIO *bio)
{
	struct bytes b;
	char *p;
	long n = BIO_get_mem_data(bio, &p);

	b.n = (size_t)n;
	b.p = malloc(b.n ? b.n : 1);
	memcpy(b.p, p, b.n);
	BIO_free(bio);
	return b;
}

static struct bytes pem_of(const struct person *const *who, size_t n)
{
	BIO *bio = BIO_new(BIO_s_mem());
	size_t i;

	for (i = 0; i < n; i++)
		PEM_write_bio_X509(bio, who[i]->cert);
	return take(bio);
}

static struct bytes der_of(CMS_ContentInfo *cms)
{
	BIO *bio = BIO_new(BIO_s_mem());

	ck_assert_int_eq(i2d_CMS_bio(bio, cms), 1);
	CMS_ContentInfo_free(cms);
	return take(bio);
}

static CMS_ContentInfo *message(const char *what, size_t n, unsigned int flags)
{
	BIO *bio = BIO_new_mem_buf(what, (int)n);
	CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, bio, flags | CMS_BINARY | CMS_PARTIAL);

	ck_assert_ptr_nonnull(cms);
	BIO_free(bio);
	return cms;
}

static struct bytes finish(CMS_ContentInfo *cms, unsigned int flags)
{
	BIO *bio = BIO_new_mem_buf(text, sizeof(text) - 1);

	ck_assert_int_eq(CMS_final(cms, bio, NULL, flags | CMS_BINARY), 1);
	BIO_free(bio);
	return der_of(cms);
}

static struct bytes sign_as(const struct person *who, const EVP_MD *md, unsigned int flags)
{
	CMS_ContentInfo *cms = message(text, sizeof(text) - 1, flags);

	ck_assert_ptr_nonnull(CMS_add1_signer(cms, who->cert, who->key, md, flags | CMS_BINARY));
	return finish(cms, flags);
}

/* What signed_open() says: NULL: it opened, and the text is that of above. */
static const char *verdict(const uint8_t *der, size_t n, const struct person *const *signers,
			   size_t n_signers)
{
	struct bytes pem = pem_of(signers, n_signers);
	static const char *name;
	struct findings f;
	char *out = NULL;
	size_t out_n = 0;
	int r;

	findings_init(&f, "t.p7m");
	r = signed_open(der, n, pem.p, pem.n, NOW, &f, &out, &out_n);
	if (!r) {
		ck_assert_uint_eq(f.n, 0);
		ck_assert_uint_eq(out_n, sizeof(text) - 1);
		ck_assert_str_eq(out, text);
		name = NULL;
	} else {
		ck_assert_int_eq(r, -EBADMSG);
		ck_assert_uint_eq(f.n, 1);
		ck_assert_ptr_null(out);
		name = finding_code_name(f.v[0].code);
	}
	ck_assert_uint_eq(ERR_peek_error(), 0);
	free(out);
	free(pem.p);
	findings_free(&f);
	return name;
}

static const char *judged(struct bytes b, const struct person *signer)
{
	const char *v = verdict(b.p, b.n, &signer, 1);

	free(b.p);
	return v;
}

/* ---- tests ---------------------------------------------------------------------- */

START_TEST(opens_what_the_signer_signed)
{
	const struct person *two[] = { &other, &good };
	struct bytes b;

	ck_assert_ptr_null(judged(sign_as(&good, EVP_sha256(), 0), &good));
	ck_assert_ptr_null(judged(sign_as(&good, EVP_sha384(), CMS_NOCERTS), &good));
	ck_assert_ptr_null(judged(sign_as(&good, EVP_sha512(), CMS_NOSMIMECAP), &good));
	/* while one signing certificate replaces another, both stand in the file */
	b = sign_as(&good, EVP_sha256(), 0);
	ck_assert_ptr_null(verdict(b.p, b.n, two, 2));
	free(b.p);
}
END_TEST

START_TEST(refuses_signers)
{
	ck_assert_str_eq(judged(sign_as(&other, EVP_sha256(), 0), &good), "E704");
	ck_assert_str_eq(judged(sign_as(&expired, EVP_sha256(), 0), &expired), "E706");
	ck_assert_str_eq(judged(sign_as(&future, EVP_sha256(), 0), &future), "E706");
	ck_assert_str_eq(judged(sign_as(&server, EVP_sha256(), 0), &server), "E707");
	ck_assert_str_eq(judged(sign_as(&no_usage, EVP_sha256(), 0), &no_usage), "E707");
	ck_assert_str_eq(judged(sign_as(&ca, EVP_sha256(), 0), &ca), "E707");
	ck_assert_str_eq(judged(sign_as(&weak, EVP_sha256(), 0), &weak), "E707");
}
END_TEST

/* Same issuer and serial number as the signer's, another key. */
START_TEST(refuses_a_namesake)
{
	struct person fake = { EVP_EC_gen("P-256"), X509_dup(good.cert) };
	struct bytes b;

	X509_set_pubkey(fake.cert, fake.key);
	ck_assert_int_gt(X509_sign(fake.cert, fake.key, EVP_sha256()), 0);
	b = sign_as(&fake, EVP_sha256(), 0);
	ck_assert_str_eq(judged(b, &good), "E703");	/* brings its own certificate */
	b = sign_as(&fake, EVP_sha256(), CMS_NOCERTS);
	ck_assert_str_eq(judged(b, &good), "E705");
	person_free(&fake);
}
END_TEST

START_TEST(refuses_kinds)
{
	STACK_OF(X509) *to = sk_X509_new_null();
	CMS_ContentInfo *cms;
	BIO *bio;

	ck_assert_str_eq(judged(sign_as(&good, EVP_sha256(), CMS_DETACHED), &good), "E703");
	ck_assert_str_eq(judged(sign_as(&good, EVP_sha1(), 0), &good), "E703");
	ck_assert_str_eq(judged(sign_as(&good, EVP_sha256(), CMS_NOATTR), &good), "E703");
	/* two signers, nobody, and more certificates than the signer's */
	cms = message(text, sizeof(text) - 1, 0);
	CMS_add1_signer(cms, good.cert, good.key, EVP_sha256(), CMS_BINARY);
	CMS_add1_signer(cms, other.cert, other.key, EVP_sha256(), CMS_BINARY);
	ck_assert_str_eq(judged(finish(cms, 0), &good), "E703");
	ck_assert_str_eq(judged(der_of(message(text, sizeof(text) - 1, 0)), &good), "E703");
	cms = message(text, sizeof(text) - 1, 0);
	CMS_add1_signer(cms, good.cert, good.key, EVP_sha256(), CMS_BINARY);
	CMS_add1_cert(cms, other.cert);
	ck_assert_str_eq(judged(finish(cms, 0), &good), "E703");
	/* encrypted, plain data, a digest */
	sk_X509_push(to, good.cert);
	bio = BIO_new_mem_buf(text, sizeof(text) - 1);
	cms = CMS_encrypt(to, bio, EVP_aes_128_cbc(), CMS_BINARY);
	ck_assert_str_eq(judged(der_of(cms), &good), "E703");
	BIO_free(bio);
	bio = BIO_new_mem_buf(text, sizeof(text) - 1);
	ck_assert_str_eq(judged(der_of(CMS_data_create(bio, CMS_BINARY)), &good), "E703");
	BIO_free(bio);
	bio = BIO_new_mem_buf(text, sizeof(text) - 1);
	ck_assert_str_eq(judged(der_of(CMS_digest_create(bio, EVP_sha256(), CMS_BINARY)), &good),
			 "E703");
	BIO_free(bio);
	sk_X509_free(to);
}
END_TEST

START_TEST(refuses_forms)
{
	const struct person *me = &good;
	CMS_ContentInfo *cms = message(text, sizeof(text) - 1, 0);
	BIO *bio = BIO_new(BIO_s_mem()), *in = BIO_new_mem_buf(text, sizeof(text) - 1);
	struct bytes b;

	ck_assert_str_eq(verdict((const uint8_t *)text, sizeof(text) - 1, &me, 1), "E701");
	ck_assert_str_eq(verdict((const uint8_t *)"", 0, &me, 1), "E701");
	/* BER: indefinite lengths and content in pieces, as streaming writes it */
	CMS_add1_signer(cms, good.cert, good.key, EVP_sha256(), CMS_BINARY);
	CMS_ContentInfo_free(cms);
	cms = CMS_sign(good.cert, good.key, NULL, in, CMS_BINARY | CMS_STREAM);
	ck_assert_int_eq(i2d_CMS_bio_stream(bio, cms, in, CMS_STREAM | CMS_BINARY), 1);
	CMS_ContentInfo_free(cms);
	ck_assert_str_eq(judged(take(bio), &good), "E702");
	BIO_free(in);
	/* PEM */
	bio = BIO_new(BIO_s_mem());
	in = BIO_new_mem_buf(text, sizeof(text) - 1);
	cms = CMS_sign(good.cert, good.key, NULL, in, CMS_BINARY);
	ck_assert_int_eq(PEM_write_bio_CMS_stream(bio, cms, in, CMS_BINARY), 1);
	CMS_ContentInfo_free(cms);
	ck_assert_str_eq(judged(take(bio), &good), "E702");
	BIO_free(in);
	/* one byte behind its end */
	b = sign_as(&good, EVP_sha256(), 0);
	b.p = realloc(b.p, b.n + 1);
	b.p[b.n++] = 0;
	ck_assert_str_eq(judged(b, &good), "E702");
	/* a length with a leading zero: same message, other bytes */
	b = sign_as(&good, EVP_sha256(), 0);
	ck_assert_uint_eq(b.p[1], 0x82);
	b.p = realloc(b.p, b.n + 1);
	memmove(b.p + 3, b.p + 2, b.n - 2);
	b.p[1] = 0x83;
	b.p[2] = 0;
	b.n++;
	ck_assert_str_eq(judged(b, &good), "E702");
}
END_TEST

START_TEST(refuses_each_truncation)
{
	const struct person *me = &good;
	struct bytes b = sign_as(&good, EVP_sha256(), 0);
	const char *v;
	size_t n;

	for (n = 0; n < b.n; n++) {
		uint8_t *cut = malloc(n ? n : 1);	/* its own, so that ASan sees a byte too many */

		memcpy(cut, b.p, n);
		v = verdict(cut, n, &me, 1);
		ck_assert_msg(v && !strcmp(v, n ? "E702" : "E701"), "cut at %zu: %s", n,
			      v ? v : "opened");
		free(cut);
	}
	free(b.p);
}
END_TEST

/* Each byte changed: refused, and never another text. */
START_TEST(refuses_each_change)
{
	const struct person *me = &good;
	struct bytes b = sign_as(&good, EVP_sha256(), 0);
	size_t i, opened = 0;

	for (i = 0; i < b.n; i++) {
		b.p[i] ^= 0x01;
		if (!verdict(b.p, b.n, &me, 1))		/* it compares the text itself */
			opened++;
		b.p[i] ^= 0x01;
	}
	/* version numbers and the list of digests say nothing that counts */
	ck_assert_uint_le(opened, 32);
	free(b.p);
}
END_TEST

START_TEST(refuses_signer_files)
{
	struct bytes b = sign_as(&good, EVP_sha256(), 0), pem = pem_of((const struct person *const[])
								       { &good }, 1);
	const struct person *nine[SIGNED_SIGNERS + 1];
	struct bytes many;
	struct findings f;
	char *out = NULL;
	size_t n, i;

	for (i = 0; i < SIGNED_SIGNERS + 1; i++)
		nine[i] = &good;
	many = pem_of(nine, SIGNED_SIGNERS + 1);
	findings_init(&f, "t.p7m");
	ck_assert_int_eq(signed_open(b.p, b.n, pem.p, 0, NOW, &f, &out, &n), -EBADMSG);
	ck_assert_int_eq(signed_open(b.p, b.n, pem.p, pem.n - 40, NOW, &f, &out, &n), -EBADMSG);
	ck_assert_int_eq(signed_open(b.p, b.n, (const uint8_t *)text, sizeof(text), NOW, &f, &out,
				     &n), -EBADMSG);
	ck_assert_int_eq(signed_open(b.p, b.n, many.p, many.n, NOW, &f, &out, &n), -EBADMSG);
	ck_assert_uint_eq(f.n, 4);
	for (i = 0; i < f.n; i++)
		ck_assert_str_eq(finding_code_name(f.v[i].code), "E708");
	findings_free(&f);
	free(many.p);
	free(pem.p);
	free(b.p);
}
END_TEST

START_TEST(bounds_the_size)
{
	const struct person *me = &good;
	uint8_t *big = calloc(1, SIGNED_MAX + 1);

	big[0] = 0x30;
	ck_assert_str_eq(verdict(big, SIGNED_MAX + 1, &me, 1), "E101");
	ck_assert_str_eq(verdict(big, SIGNED_MAX, &me, 1), "E702");
	free(big);
}
END_TEST

START_TEST(reads_der)
{
	static const struct {
		const char *hex;
		bool good;
	} rows[] = {
		{ "\x30\x00", true }, { "\x30\x03\x02\x01\x05", true },
		{ "\x30\x05\x30\x03\x02\x01\x05", true },
		{ "\x30\x03\x02\x01", false },			/* short */
		{ "\x30\x02\x02\x01\x05", false },		/* child beyond its parent */
		{ "\x30\x03\x02\x01\x05\x00", false },		/* behind the end */
		{ "\x30\x81\x03\x02\x01\x05", false },		/* long form of a short length */
		{ "\x30\x80\x02\x01\x05\x00\x00", false },	/* indefinite */
		{ "\x24\x03\x04\x01\x05", false },		/* a string in pieces */
		{ "\x10\x00", false }, { "\x22\x00", false },	/* forms that do not fit the tag */
		{ "\x3f\x01\x00", false },			/* a high tag number */
		{ "\x00\x00", false }, { "\x30", false }, { "", false },
	};
	static const size_t lens[] = { 2, 5, 7, 4, 5, 6, 6, 7, 5, 2, 2, 3, 2, 1, 0 };
	uint8_t deep[2 * (SIGNED_DEPTH + 1)];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(signed_der((const uint8_t *)rows[i].hex, lens[i], SIGNED_DEPTH) ==
			      rows[i].good, "row %zu", i);
	for (i = 0; i < sizeof(deep); i += 2) {
		deep[i] = 0x30;
		deep[i + 1] = (uint8_t)(sizeof(deep) - i - 2);
	}
	ck_assert(!signed_der(deep, sizeof(deep), SIGNED_DEPTH));
	ck_assert(signed_der(deep + 2, sizeof(deep) - 2, SIGNED_DEPTH));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("signed");
	TCase *tc = tcase_create("signed");
	SRunner *sr;
	int failed;

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, opens_what_the_signer_signed);
	tcase_add_test(tc, refuses_signers);
	tcase_add_test(tc, refuses_a_namesake);
	tcase_add_test(tc, refuses_kinds);
	tcase_add_test(tc, refuses_forms);
	tcase_add_test(tc, refuses_each_truncation);
	tcase_add_test(tc, refuses_each_change);
	tcase_add_test(tc, refuses_signer_files);
	tcase_add_test(tc, bounds_the_size);
	tcase_add_test(tc, reads_der);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
