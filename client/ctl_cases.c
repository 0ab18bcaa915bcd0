/* SPDX-License-Identifier: MIT */
/*
 * ctl_cases.c - apptunnel profile test: a file of cases, "tcp 10.1.2.3:443 ->
 * tunnel", each put to the code that decides packets.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl_load.h"
#include "client/ctl_question.h"
#include "profiles/text.h"

#define CASES_MAX	100000u		/* lines of a file */
#define CASE_LINE_MAX	4096		/* bytes */

struct word {
	const char *s;
	size_t n;
};

/* One line of the file that holds a case. */
struct one_case {
	struct question q;
	enum verdict expected;
	struct word text;		/* "tcp 10.1.2.3:443", as written */
};

struct cases {
	const struct ctl_opts *o;
	const struct profile *p;
	const char *file;
	struct text out;
	unsigned long line, passed, failed, bad;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct word trim(const char *s, const char *end)
{
	while (s < end && is_blank(*s))
		s++;
	while (end > s && is_blank(end[-1]))
		end--;
	return (struct word){ s, (size_t)(end - s) };
}

/* The word that @w begins with; @w becomes what follows it. */
static struct word first_word(struct word *w)
{
	const char *s = w->s, *end = s + w->n, *p = s;

	while (p < end && !is_blank(*p))
		p++;
	*w = trim(p, end);
	return (struct word){ s, (size_t)(p - s) };
}

/* "->", or the arrow of U+2192.  Return: its place, @len bytes long; NULL: none */
static const char *find_arrow(const char *s, size_t n, size_t *len)
{
	static const char *const arrows[] = { "->", "\xe2\x86\x92" };
	const char *at;
	size_t i;

	for (i = 0; i < 2; i++) {
		*len = strlen(arrows[i]);
		at = memmem(s, n, arrows[i], *len);
		if (at)
			return at;
	}
	return NULL;
}

static bool take_verdict(struct word w, enum verdict *out)
{
	static const enum verdict all[] = { VERDICT_TUNNEL, VERDICT_DIRECT, VERDICT_BLOCK };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (text_same(w.s, w.n, verdict_name(all[i]))) {
			*out = all[i];
			return true;
		}
	}
	return false;
}

/* Return: NULL, or what is wrong at @at */
static const char *parse_case(const char *s, size_t n, struct one_case *c, const char **at)
{
	struct word left, right, word;
	const char *arrow, *wrong;
	size_t len;

	arrow = find_arrow(s, n, &len);
	left = trim(s, arrow ? arrow : s + n);
	right = arrow ? trim(arrow + len, s + n) : (struct word){ s + n, 0 };
	c->text = left;
	*at = left.s;
	word = first_word(&left);
	c->q = (struct question){ 0 };
	if (!question_proto(&c->q, word.s, word.n))
		return "the protocol is tcp, udp or icmp";
	*at = left.s;
	word = first_word(&left);
	wrong = question_dest(&c->q, word.s, word.n);
	if (wrong)
		return wrong;
	*at = left.s;
	if (left.n || !arrow)
		return "an arrow (->) and the verdict follow the address";
	*at = right.s;
	if (!take_verdict(right, &c->expected))
		return "the verdict is tunnel, direct or block";
	return NULL;
}

static void report_json(struct cases *x, const struct one_case *c, const struct policy_answer *a)
{
	char *text = strndup(c->text.s, c->text.n);

	text_addf(&x->out, "%s\n  {\"line\": %lu, \"case\": ", x->passed + x->failed > 1 ? "," : "",
		  x->line);
	text_json(&x->out, text ? text : "");
	text_addf(&x->out, ", \"expected\": \"%s\", \"verdict\": \"%s\", \"passed\": %s, \"reason\": ",
		  verdict_name(c->expected), verdict_name(a->verdict),
		  a->verdict == c->expected ? "true" : "false");
	text_json(&x->out, a->reason);
	text_add(&x->out, "}");
	free(text);
}

static void run_case(struct cases *x, const struct one_case *c)
{
	struct policy_answer a;

	question_decide(x->p, &c->q, &a);
	if (a.verdict == c->expected)
		x->passed++;
	else
		x->failed++;
	if (x->o->json)
		report_json(x, c, &a);
	else if (a.verdict != c->expected)
		text_addf(&x->out, "%s:%lu: %.*s: expected %s, is %s: %s\n", x->file, x->line,
			  (int)c->text.n, c->text.s, verdict_name(c->expected),
			  verdict_name(a.verdict), a.reason);
}

static void bad_case(struct cases *x, const char *line, const char *at, const char *what)
{
	fprintf(stderr, "%s:%lu:%zu: error: %s; a case is PROTO ADDRESS[:PORT] -> VERDICT\n", x->file,
		x->line, text_chars(line, (size_t)(at - line)) + 1, what);
	x->bad++;
}

/* One line without its end. */
static void take_line(struct cases *x, const char *s, size_t n)
{
	struct word w = trim(s, s + n);
	struct one_case c;
	const char *wrong, *at = s;
	size_t i, len;

	for (i = 0; i < n; i += len) {
		len = text_utf8(s + i, n - i);
		if (len && s[i])
			continue;
		bad_case(x, s, s + i, "a byte that is no text in UTF-8");
		return;
	}
	if (!w.n || *w.s == '#')
		return;
	if (n > CASE_LINE_MAX) {
		bad_case(x, s, s, "the line is too long");
		return;
	}
	wrong = parse_case(w.s, w.n, &c, &at);
	if (wrong)
		bad_case(x, s, at, wrong);
	else
		run_case(x, &c);
}

/* Return: CTL_DONE, or the exit code, said on stderr */
static int read_cases(struct cases *x)
{
	bool standard = !strcmp(x->file, "-");
	FILE *f = standard ? stdin : fopen(x->file, "re");
	size_t cap = 0;
	char *line = NULL;
	ssize_t n;
	int err;

	if (!f) {
		fprintf(stderr, "apptunnel: %s: %s\n", x->file, strerror(errno));
		return errno == EACCES ? CTL_PERMISSION : CTL_USAGE;
	}
	errno = 0;
	while (x->line < CASES_MAX && (n = getline(&line, &cap, f)) >= 0) {
		x->line++;
		take_line(x, line, (size_t)(n && line[n - 1] == '\n' ? n - 1 : n));
	}
	err = ferror(f) ? errno : 0;
	if (x->line == CASES_MAX)
		bad_case(x, line, line, "too many lines, the rest is not looked at");
	free(line);
	if (!standard)
		fclose(f);
	if (err) {
		fprintf(stderr, "apptunnel: %s: %s\n", x->file, strerror(err));
		return CTL_UNEXPECTED;
	}
	return CTL_DONE;
}

static int run_file(struct cases *x, const char *stem)
{
	int code, r;
	char *s;

	if (x->o->json) {
		text_add(&x->out, "{\"version\": 1, \"profile\": ");
		text_json(&x->out, stem);
		text_add(&x->out, ", \"cases\": [");
	}
	code = read_cases(x);
	if (code) {
		text_free(&x->out);
		return code;
	}
	if (x->o->json)
		text_addf(&x->out, "\n], \"passed\": %lu, \"failed\": %lu}\n", x->passed, x->failed);
	else
		text_addf(&x->out, "%lu passed, %lu failed\n", x->passed, x->failed);
	s = text_take(&x->out);
	r = ctl_print(s);
	free(s);
	if (r)
		return r;
	if (x->bad)
		return CTL_USAGE;
	if (!x->passed && !x->failed) {
		fprintf(stderr, "apptunnel: %s holds no case; write lines as: tcp 10.1.2.3:443 -> tunnel\n",
			x->file);
		return CTL_USAGE;
	}
	return x->failed ? CTL_PROFILE : CTL_DONE;
}

int ctl_profile_test(const struct ctl_opts *o, int argc, char **argv)
{
	struct cases x = { .o = o };
	const char *profile = NULL;
	struct ctl_loaded l;
	int i, code;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--profile") && i + 1 < argc)
			profile = argv[++i];
		else if (!x.file && (argv[i][0] != '-' || !argv[i][1]))
			x.file = argv[i];
		else
			break;
	}
	if (i < argc || !x.file) {
		fprintf(stderr, "usage: apptunnel profile test CASES [--profile FILE|NAME] [--json]\n"
			"CASES: a file (-: standard input) of lines as: tcp 10.1.2.3:443 -> tunnel\n");
		return CTL_USAGE;
	}
	code = ctl_load(o, profile, &l);
	if (code == CTL_PROFILE) {
		ctl_load_errors(&l);
		ctl_loaded_free(&l);
	}
	if (code)
		return code;
	x.p = l.p;
	code = run_file(&x, l.stem);
	ctl_loaded_free(&l);
	return code;
}
