/* SPDX-License-Identifier: MIT */
/* fuzz: profiles/ini.c profiles/ini_agree.c profiles/reader.c profiles/reader_value.c profiles/schema.c profiles/value.c profiles/value_addr.c profiles/merge.c profiles/rules.c profiles/lint.c profiles/finding.c profiles/text.c profiles/profile.c profiles/show.c profiles/effective.c profiles/write.c profiles/addr.c -liniparser */
/*
 * Any bytes as a profile.  What the raw scan finds nothing wrong with,
 * iniparser reads the same; what is called good is a sound record that can be
 * shown, and that is read again from what is written of it; findings are in
 * order and have a place.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/ini.h"
#include "profiles/reader.h"
#include "profiles/show.h"
#include "profiles/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scan_agrees(const char *text, size_t n)
{
	struct findings f;
	struct ini_doc doc;
	size_t i;

	if (findings_init(&f, "f"))
		return;
	if (!ini_scan(text, n, &f, &doc) && doc.clean) {
		assert(f.n == 0);
		assert(ini_agree(&doc) == 0);
	}
	for (i = 0; i < doc.n_entries; i++) {
		const struct ini_entry *e = &doc.entries[i];

		assert(e->name_n && e->name >= doc.text && e->value + e->value_n <= doc.text + doc.n);
		assert(ini_column(e, e->name) >= 1 && ini_column(e, e->value) > ini_column(e, e->name));
	}
	ini_free(&doc);
	findings_free(&f);
}

/* parse, print, parse: the same record, and nothing to correct in what was printed */
static void round_trip(const struct profile *p, const struct origins *o)
{
	static struct profile *again;
	struct text t = { 0 };
	struct findings f;
	size_t i;

	if (!again)
		again = malloc(sizeof(*again));
	if (!again || findings_init(&f, "again.ini"))
		return;
	write_profile(p, o, "/folder", &t);
	scan_agrees(t.s, t.n);
	assert(profile_read(t.s, t.n, "f", "/folder", again, &f, NULL) == 0);
	for (i = 0; i < f.n; i++)
		assert(f.v[i].code != FC_HOST_BITS && f.v[i].code != FC_OVERLAP &&
		       f.v[i].code != FC_MISPRINT);
	assert(!memcmp(p, again, sizeof(*p)));
	findings_free(&f);
	text_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct profile *p;
	struct origins o = { 0 };
	struct text shown = { 0 };
	struct findings f;
	char line[FINDING_LINE_MAX], *json;
	size_t i;
	int r;

	if (!p)
		p = malloc(sizeof(*p));
	if (!p || findings_init(&f, "f.ini"))
		return 0;
	scan_agrees((const char *)data, size);
	r = profile_read((const char *)data, size, "f", "/folder", p, &f, &o);
	assert(r == 0 || r == -EBADMSG);
	assert((r == 0) == (f.errors == 0) && f.errors + f.warnings == f.n);
	for (i = 0; i < f.n; i++) {
		assert(f.v[i].code != FC_READERS);
		assert((f.v[i].line == 0) == (f.v[i].column == 0));
		assert(!i || f.v[i - 1].line <= f.v[i].line);
		finding_format(&f, &f.v[i], line, sizeof(line));
		assert(!memchr(line, '\n', strlen(line)));
	}
	json = findings_json(&f);
	free(json);
	if (!r) {
		assert(profile_check_record(p, sizeof(*p)) == 0);
		show_text(p, &o, "f.ini", &shown);
		show_json(p, &o, "f.ini", &shown);
		text_free(&shown);
		round_trip(p, &o);
	}
	origins_free(&o);
	findings_free(&f);
	return 0;
}
