/* SPDX-License-Identifier: MIT */
/* fuzz: client/ctl_import_tree.c client/ctl_import_guard.c client/ctl_import_read.c client/ctl_import_keys.c client/ctl_import_value.c client/ctl_import_certs.c client/ctl_import_rest.c client/ctl_import_ondemand.c client/ctl_import_apple.c client/ctl_import_android.c client/ctl_import_finish.c client/ctl_import_child.c profiles/ini.c profiles/ini_agree.c profiles/reader.c profiles/reader_value.c profiles/schema.c profiles/value.c profiles/value_addr.c profiles/merge.c profiles/rules.c profiles/lint.c profiles/finding.c profiles/text.c profiles/profile.c profiles/addr.c -liniparser -ljansson -lplist-2.0 -lcrypto -lseccomp */
/*
 * Any bytes as the file that is imported: refused with a reason, or a profile
 * in which the reader finds no error but what is missing or not built yet, and
 * a list of single lines without control characters.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_import.h"
#include "profiles/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *s)
{
	size_t i, k, n = strlen(s);

	for (i = 0; i < n; i += k) {
		k = text_utf8(s + i, n - i);
		assert(k && (unsigned char)s[i] >= 0x20 && s[i] != 0x7f);
	}
}

static void check_profile(const char *ini)
{
	static struct profile *p;
	struct findings f;
	size_t i;
	int err;

	if (!p)
		p = malloc(sizeof(*p));
	if (!p || findings_init(&f, "f.ini"))
		return;
	err = profile_read(ini, strlen(ini), "f", "/", p, &f, NULL);
	assert(err == 0 || err == -EBADMSG);
	for (i = 0; i < f.n; i++) {
		const char *code = finding_code_name(f.v[i].code);

		assert(code[0] == 'W' || code[1] == '5' || f.v[i].code == FC_MISSING ||
		       f.v[i].code == FC_NO_PIN || f.v[i].code == FC_ACCESS);
	}
	findings_free(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import_result *r = calloc(1, sizeof(*r));
	char *ini = NULL;
	size_t i;
	int err;

	if (!r)
		return 0;
	err = import_convert(data, size, 0, r);
	assert(err == 0 || err == -EBADMSG);
	if (err) {
		assert(r->why[0]);
		check_line(r->why);
	} else {
		err = import_finish(r, size % 2 ? "f" : NULL, &ini);
		assert(!err);
		check_profile(ini);
	}
	for (i = 0; i < r->n_notes; i++) {
		check_line(r->notes[i].where);
		check_line(r->notes[i].text);
	}
	free(ini);
	import_free(r);
	free(r);
	return 0;
}
