/* SPDX-License-Identifier: MIT */
/* The endpoint's INI file: TLS values, certificates, and what is said about wrong ones. */
#include "tests/sentry/sentry.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BASE	"[sentry]\nCertificate = a.pem\nPrivateKey = a.key\nDeviceCa = ca.pem\n" \
		"AllowUnregistered = true\n"

static char path[] = "/tmp/test_conf.XXXXXX";
static char said[16384];

static void setup(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

/* conf_load() of @text; said[] holds what it wrote to stderr */
static int load(struct conf *c, const char *text)
{
	FILE *f = fopen(path, "w"), *err = tmpfile();
	int old = dup(STDERR_FILENO), r;
	size_t n;

	fputs(text, f);
	fclose(f);
	fflush(stderr);
	dup2(fileno(err), STDERR_FILENO);
	r = conf_load(c, path);
	fflush(stderr);
	dup2(old, STDERR_FILENO);
	close(old);
	rewind(err);
	n = fread(said, 1, sizeof(said) - 1, err);
	said[n] = 0;
	fclose(err);
	return r;
}

static const struct { const char *text, *line, *says; } bad[] = {
	{ "TlsMin = 1.4\n", ":6: ", "1.0, 1.1, 1.2 or 1.3" },
	{ "TlsMax = 3\n", ":6: ", "1.0, 1.1, 1.2 or 1.3" },
	{ "TlsMax = TLSv1.2\n", ":6: ", "1.0, 1.1, 1.2 or 1.3" },
	{ "TlsMin = 1.3\nTlsMax = 1.2\n", ":0: ", "TlsMin is above TlsMax" },
	{ "Ciphers = RC4-SHA\n", ":6: ", "TLS_AES_128_GCM_SHA256, " },
	{ "Ciphers = RC4-SHA\n", ":6: ", "ECDHE-RSA-CHACHA20-POLY1305" },
	{ "Ciphers = HIGH\n", ":6: ", "'HIGH' is not a cipher suite" },
	{ "Ciphers = @SECLEVEL=0\n", ":6: ", "'@SECLEVEL=0'" },
	{ "Ciphers = TLS_AES_128_GCM_SHA256:\n", ":6: ", "'' is not" },
	{ "Ciphers = TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256\n", ":6: ", "stands twice" },
	{ "Ciphers = TLS_AES_128_GCM_SHA256\n", ":0: ", "none of TLS 1.2" },
	{ "Ciphers = ECDHE-ECDSA-AES128-GCM-SHA256\n", ":0: ", "none of TLS 1.3" },
	{ "Ciphers = TLS_AES_128_GCM_SHA256\nTlsMax = 1.2\n", ":0: ", "none of TLS 1.2" },
	{ "TlsMax = 1.2\nCiphers = \"TLS_AES_128_GCM_SHA256;ECDHE-ECDSA-AES128-GCM-SHA256\"\n",
	  ":0: ", "TlsMax is below" },
	{ "TlsMin = 1.3\nCiphers = \"TLS_AES_128_GCM_SHA256;ECDHE-ECDSA-AES128-GCM-SHA256\"\n",
	  ":0: ", "TlsMin is above" },
	{ "TlsMin = 1.0\nCiphers = ECDHE-ECDSA-AES128-GCM-SHA256\n", ":0: ", "TlsMin is below" },
	{ "Certificate2 = b.pem\n", ":0: ", "belong together" },
	{ "PrivateKey2 = b.key\n", ":0: ", "belong together" },
	{ "Chain2 = b.pem\n", ":0: ", "Chain2" },
	{ "DeviceCa.2 = ca.pem\n", ":6: ", "ca.pem stands twice" },
	{ "DeviceSigner = s.pem\n", ":0: ", "DeviceSigner" },
	{ "DeviceState = s\n", ":0: ", "DeviceState" },
	{ "Crl =\n", NULL, NULL },	/* an empty list */
};

START_TEST(says_what_is_wrong)
{
	struct conf c;
	char text[1024];
	int err;

	snprintf(text, sizeof(text), BASE "%s", bad[_i].text);
	err = load(&c, text);
	if (!bad[_i].says) {
		ck_assert_msg(err == 0, "%s", said);
		conf_free(&c);
		return;
	}
	ck_assert_msg(err == -EINVAL, "accepted: %s", bad[_i].text);
	ck_assert_msg(strstr(said, bad[_i].says) && strstr(said, bad[_i].line), "%s", said);
	/* one mistake, one line */
	ck_assert_msg(strchr(said, '\n') == said + strlen(said) - 1, "%s", said);
}
END_TEST

START_TEST(takes_lists)
{
	struct conf c;

	ck_assert_int_eq(load(&c, BASE
		"DeviceCa.2 = two.pem\nDeviceCa.3 = three.pem\nCrl = \"one.crl; two.crl\"\n"
		"Certificate2 = b.pem\nPrivateKey2 = b.key\nChain2 = c.pem\n"
		"Devices = list.p7m\nDeviceSigner = signer.pem\nTlsMin = 1.2\nTlsMax = 1.3\n"
		"Ciphers = \"TLS_AES_256_GCM_SHA384; ECDHE-ECDSA-AES256-GCM-SHA384:"
		"TLS_AES_128_GCM_SHA256;ECDHE-RSA-AES128-GCM-SHA256\"\n"), 0);
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(c.n_device_ca, 3);
	ck_assert_str_eq(c.device_ca[2], "three.pem");
	ck_assert_int_eq(c.n_crl, 2);
	ck_assert_str_eq(c.crl[1], "two.crl");
	ck_assert_str_eq(c.own[1].certificate, "b.pem");
	ck_assert_str_eq(c.own[1].chain, "c.pem");
	ck_assert_str_eq(c.device_state, "list.p7m.seen");
	ck_assert_str_eq(c.ciphers13, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256");
	ck_assert_str_eq(c.ciphers12, "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256");
	conf_free(&c);
}
END_TEST

START_TEST(has_defaults)
{
	struct conf c;

	ck_assert_int_eq(load(&c, BASE), 0);
	ck_assert(c.tls_min == TLS1_2_VERSION && c.tls_max == TLS1_3_VERSION);
	ck_assert_ptr_null(c.ciphers12);
	ck_assert_ptr_null(c.ciphers13);
	ck_assert_ptr_null(c.own[1].certificate);
	ck_assert_ptr_null(c.device_state);
	conf_free(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf");
	TCase *tc = tcase_create("conf");
	SRunner *sr;
	int failed;

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, says_what_is_wrong, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, takes_lists);
	tcase_add_test(tc, has_defaults);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
