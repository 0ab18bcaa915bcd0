/* SPDX-License-Identifier: MIT */
/*
 * fuzz_signed.c - a signed profile: DER and CMS.  One text was ever signed with
 * this certificate (corpus/signed/good); whatever opens must be that text.
 * fuzz: profiles/signed.c profiles/finding.c profiles/text.c -lcrypto
 */
#include <stdlib.h>
#include <string.h>

#include "profiles/signed.h"

#define NOW	1900000000u	/* 2030 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* the private key does not exist any more */
static const char signer[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBdjCCARygAwIBAgIUVT8BBxG4Hj8JNGAMxhgXV6h3/j4wCgYIKoZIzj0EAwIw\n"
	"DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjExNTI3MjVaGA8yMDgxMDgyNDE1Mjcy\n"
	"NVowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcf\n"
	"SF7UNawC5EOZtDZAhkcLbH90gUMSLjfTQ6gD5v/U4B877i067S0hvNbxrPRzf7IN\n"
	"3r/c9wiyEGcXInPY6OujVDBSMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgeA\n"
	"MBMGA1UdJQQMMAoGCCsGAQUFBwMDMB0GA1UdDgQWBBRNrJuVmkd0h8IWH2UXd+Vn\n"
	"9m82hzAKBggqhkjOPQQDAgNIADBFAiB6SuMAolkL477/0ig/LvDKGElzpQ3NmLrD\n"
	"Znjb0ZnLMgIhAO0oWuod4gK2a9bnXusm5kZfWla5FZ82dj25ruTqeGCH\n"
	"-----END CERTIFICATE-----\n";

static const char text[] = "[profile]\nVersion = 7\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct findings f;
	char *out = NULL;
	size_t n = 0;
	int r;

	if (findings_init(&f, "t.p7m"))
		return 0;
	r = signed_open(data, size, (const uint8_t *)signer, sizeof(signer) - 1, NOW, &f, &out, &n);
	if (!r != !f.n || (!r && (n != sizeof(text) - 1 || memcmp(out, text, n))))
		abort();
	if (!r && !signed_der(data, size, SIGNED_DEPTH))
		abort();
	free(out);
	findings_free(&f);
	return 0;
}
