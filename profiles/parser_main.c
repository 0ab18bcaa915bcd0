/* SPDX-License-Identifier: MIT */
/*
 * parser_main.c - apptunnel-parser STEM FOLDER: one profile, from bytes to
 * record, in a process that can do nothing else.
 *
 *	fd 3  the profile's text (read to its end, at most 1 MiB)
 *	fd 4  gets the struct profile, when it is good
 *	fd 5  gets the findings, a line each: "err FILE:LINE:COL: ..."
 *
 * It opens no file that the profile names; the one file that it opens is its
 * own memory file, by /proc/self/fd, for iniparser.  The daemon gives it its
 * user, an empty environment and no network.
 *
 * Exit: 0 good (maybe with warnings), 6 invalid, 1 anything else.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "profiles/ini.h"
#include "profiles/reader.h"

#define FD_TEXT		3
#define FD_RECORD	4
#define FD_FINDINGS	5

#define EXIT_UNEXPECTED	1
#define EXIT_INVALID	6

#define LIMIT_CPU_S	10
#define LIMIT_FILE	(16u << 20)	/* bytes: record, findings, iniparser's copy */
#define LIMIT_MEMORY	(256u << 20)
#define LIMIT_FILES	16		/* descriptors; 7 are used */

/* Phase 1: nothing here needs much. */
static int limit_self(void)
{
	const struct {
		int what;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_CPU, LIMIT_CPU_S },
		{ RLIMIT_FSIZE, LIMIT_FILE },
		{ RLIMIT_NOFILE, LIMIT_FILES },
#ifndef __SANITIZE_ADDRESS__	/* whose shadow is terabytes of address space */
		{ RLIMIT_AS, LIMIT_MEMORY },
#endif
	};
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit l;

		if (getrlimit(limits[i].what, &l) < 0)
			return -errno;
		if (l.rlim_max <= limits[i].most)
			continue;	/* the daemon has set a tighter one */
		l.rlim_cur = l.rlim_max = limits[i].most;
		if (setrlimit(limits[i].what, &l) < 0)
			return -errno;
	}
	return 0;
}

/* Phase 2: the text; one byte over the limit is enough to know. */
static char *read_text(size_t *len)
{
	size_t cap = INI_FILE_MAX + 4 + 1, n = 0;	/* a BOM does not count */
	char *text = malloc(cap);
	ssize_t r;

	if (!text)
		return NULL;
	while (n < cap) {
		r = read(FD_TEXT, text + n, cap - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			free(text);
			return NULL;
		}
		if (!r)
			break;
		n += (size_t)r;
	}
	*len = n;
	return text;
}

static int write_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	ssize_t w;

	while (n) {
		w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Phase 4: what was found goes out first, then the record. */
static int write_findings(const struct findings *f)
{
	char line[FINDING_LINE_MAX];
	struct text t = { 0 };
	size_t i;
	int r;

	for (i = 0; i < f->n; i++)
		text_addf(&t, "err %s\n", finding_format(f, &f->v[i], line, sizeof(line)));
	r = t.failed ? -ENOMEM : write_all(FD_FINDINGS, t.s ? t.s : "", t.n);
	text_free(&t);
	return r;
}

int main(int argc, char **argv)
{
	struct findings f = { 0 };
	struct profile *p = NULL;
	char label[64], *text = NULL;
	int r, code = EXIT_UNEXPECTED;
	size_t len = 0;

	if (argc != 3 || argv[2][0] != '/') {
		fprintf(stderr, "usage: apptunnel-parser STEM FOLDER\n");
		return EXIT_UNEXPECTED;
	}
	r = limit_self();
	if (r < 0)
		goto out;
	r = -ENOMEM;
	snprintf(label, sizeof(label), "%.40s.ini", argv[1]);
	p = malloc(sizeof(*p));
	text = read_text(&len);
	if (!p || !text || findings_init(&f, label))
		goto out;

	/* Phase 3 */
	if (!profile_stem_ok(argv[1])) {
		finding_add(&f, FC_STORE_NAME, 0, 0, NULL, "the file name is not [A-Za-z0-9_-]{1,32}"
			    ".ini");
		r = -EBADMSG;
	} else {
		r = profile_read(text, len, argv[1], argv[2], p, &f, NULL);
	}
	if (r && r != -EBADMSG)
		goto out;
	code = r ? EXIT_INVALID : EXIT_SUCCESS;
	r = write_findings(&f);
	if (!r && code == EXIT_SUCCESS)
		r = write_all(FD_RECORD, p, sizeof(*p));
	if (r < 0)
		code = EXIT_UNEXPECTED;
out:
	if (r < 0 && code == EXIT_UNEXPECTED)
		fprintf(stderr, "apptunnel-parser: %s\n", strerror(-r));
	findings_free(&f);
	free(text);
	free(p);
	return code;
}
