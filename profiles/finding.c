/* SPDX-License-Identifier: MIT */
/* finding.c - collect findings, put them in order, print them */
#include "profiles/finding.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/array.h"
#include "profiles/text.h"

static const struct {
	const char *name, *title;
} codes[FINDING_N_CODES] = {
#define FINDING_ROW(id, code, title) [id] = { code, title },
	FINDING_CODES(FINDING_ROW)
#undef FINDING_ROW
};

const char *finding_code_name(enum finding_code code)
{
	return codes[code].name;
}

const char *finding_code_title(enum finding_code code)
{
	return codes[code].title;
}

bool finding_code_is_error(enum finding_code code)
{
	return codes[code].name[0] == 'E';
}

int findings_init(struct findings *f, const char *file)
{
	char *label = strdup(file);

	if (!label)
		return -ENOMEM;
	*f = (struct findings){ .file = label };
	return 0;
}

void findings_free(struct findings *f)
{
	size_t i;

	if (!f)
		return;
	for (i = 0; i < f->n; i++) {
		free(f->v[i].key);
		free(f->v[i].text);
	}
	free(f->v);
	free(f->file);
	*f = (struct findings){ 0 };
}

void finding_add(struct findings *f, enum finding_code code, uint32_t line, uint32_t column,
		 const char *key, const char *fmt, ...)
{
	char text[FINDING_TEXT_MAX];
	struct finding one;
	va_list ap;

	if (f->n >= FINDINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (f->n == FINDINGS_MAX - 1) {
		code = FC_TOO_MANY;
		key = NULL;
		snprintf(text, sizeof(text), "more than %d findings; the rest is left out",
			 FINDINGS_MAX - 1);
	}
	one = (struct finding){
		.line = line, .column = column, .seq = (uint32_t)f->n, .code = code,
		.key = strdup(key ? key : "-"), .text = strdup(text),
	};
	if (!one.key || !one.text || !array_room(&f->v, &f->cap, f->n, sizeof(*f->v))) {
		free(one.key);
		free(one.text);
		f->failed = true;
		return;
	}
	f->v[f->n++] = one;
	if (finding_code_is_error(code))
		f->errors++;
	else
		f->warnings++;
}

static int finding_compare(const void *a, const void *b)
{
	const struct finding *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void findings_sort(struct findings *f)
{
	if (f->n)
		qsort(f->v, f->n, sizeof(*f->v), finding_compare);
}

char *finding_format(const struct findings *f, const struct finding *one, char *buf, size_t size)
{
	snprintf(buf, size, "%s:%u:%u: %s: %s: %s", f->file, one->line, one->column,
		 finding_code_is_error(one->code) ? "error" : "warning", one->key, one->text);
	return buf;
}

char *findings_json(const struct findings *f)
{
	struct text t = { 0 };
	size_t i;

	text_add(&t, "{\"version\": 1, \"findings\": [");
	for (i = 0; i < f->n; i++) {
		const struct finding *one = &f->v[i];

		text_add(&t, i ? ",\n  {\"file\": " : "\n  {\"file\": ");
		text_json(&t, f->file);
		text_addf(&t, ", \"line\": %u, \"column\": %u, \"severity\": \"%s\", \"key\": ",
			  one->line, one->column,
			  finding_code_is_error(one->code) ? "error" : "warning");
		text_json(&t, one->key);
		text_addf(&t, ", \"code\": \"%s\", \"message\": ", finding_code_name(one->code));
		text_json(&t, one->text);
		text_add(&t, "}");
	}
	text_addf(&t, "%s], \"errors\": %zu, \"warnings\": %zu}\n", f->n ? "\n" : "",
		  f->errors, f->warnings);
	return text_take(&t);
}
