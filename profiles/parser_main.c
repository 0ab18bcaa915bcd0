/* SPDX-License-Identifier: MIT */
/*
 * parser_main.c - apptunnel-parser STEM FOLDER [ini|p7m OLDEST-VERSION]: one
 * profile, from bytes to record, in a process that can do nothing else.
 *
 *	fd 3  the profile's text, or the signed message (read to its end, at most 1 MiB)
 *	fd 4  gets the struct profile, when it is good
 *	fd 5  gets the findings, a line each: "err FILE:LINE:COL: ..."
 *	fd 6  when it is open: who may sign (profiles/signed.h).  Then nothing is
 *	      parsed that is not a message of theirs; when it is not, nothing
 *	      is parsed that needs it
 *
 * It opens no file that the profile names; the one file that it opens is its
 * own memory file, by /proc/self/fd, for iniparser.  The daemon gives it its
 * user, an empty environment and no network; its own filter (parser_lock.h)
 * leaves it no socket and no process to make.
 *
 * Exit: 0 good (maybe with warnings), 6 invalid, 1 anything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "profiles/ini.h"
#include "profiles/parser_lock.h"
#include "profiles/reader.h"
#include "profiles/signed.h"

#define FD_TEXT		3
#define FD_RECORD	4
#define FD_FINDINGS	5
#define FD_SIGNER	6

#define EXIT_UNEXPECTED	1
#define EXIT_INVALID	6

#define LIMIT_CPU_S	10
#define LIMIT_FILE	(16u << 20)	/* bytes: record, findings, iniparser's copy */
#define LIMIT_MEMORY	(256u << 20)
#define LIMIT_FILES	16		/* descriptors; 8 are used */

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
static char *read_fd(int fd, size_t cap, size_t *len)
{
	size_t n = 0;
	char *text = malloc(cap);
	ssize_t r;

	if (!text)
		return NULL;
	while (n < cap) {
		r = read(fd, text + n, cap - n);
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

/* Phase 5: what was found goes out first, then the record. */
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

/* What the daemon tells about the file. */
struct told {
	const char *stem, *folder;
	bool p7m, has_signer;
	uint64_t oldest;	/* Version that is accepted */
};

static bool take_arguments(int argc, char **argv, struct told *t)
{
	char *end = NULL;

	if ((argc != 3 && argc != 5) || argv[2][0] != '/')
		return false;
	*t = (struct told){ .stem = argv[1], .folder = argv[2],
			    .has_signer = fcntl(FD_SIGNER, F_GETFD) >= 0 };
	if (argc == 3)
		return true;
	t->p7m = !strcmp(argv[3], "p7m");
	errno = 0;
	t->oldest = strtoull(argv[4], &end, 10);
	return (t->p7m || !strcmp(argv[3], "ini")) && argv[4][0] >= '0' && argv[4][0] <= '9' &&
	       !errno && !*end;
}

/* Phase 3: only what may be believed is read on.  Return: 0, -EBADMSG, -errno */
static int open_signature(const struct told *t, char **text, size_t *len, struct findings *f)
{
	char *signer, *inner = NULL;
	size_t signer_len, n = 0;
	int r;

	if (!t->p7m && !t->has_signer)
		return 0;
	if (!t->p7m) {
		finding_add(f, FC_UNSIGNED, 0, 0, NULL, "not signed: this machine takes signed "
			    "profiles only (%.40s.p7m), since it has a signer's file", t->stem);
		return -EBADMSG;
	}
	if (!t->has_signer) {
		finding_add(f, FC_NO_SIGNER, 0, 0, NULL, "who may sign is not known: put the signing "
			    "certificate at /etc/apptunnel/signer.pem (or apptunneld --signer)");
		return -EBADMSG;
	}
	signer = read_fd(FD_SIGNER, SIGNED_SIGNER_MAX + 1, &signer_len);
	if (!signer)
		return -EIO;
	/* no file of OpenSSL's own is read, whatever is configured on this machine */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	r = signed_open((uint8_t *)*text, *len, (uint8_t *)signer, signer_len,
			(uint64_t)time(NULL), f, &inner, &n);
	free(signer);
	if (!r) {
		free(*text);
		*text = inner;
		*len = n;
	}
	return r;
}

/* Phase 4 */
static int read_profile(const struct told *t, const char *text, size_t len, struct profile *p,
			struct findings *f)
{
	struct origins o = { 0 };
	int r = profile_read(text, len, t->stem, t->folder, p, f, &o);

	if (!r && p->profile_version < t->oldest) {
		const struct origin *v = &o.key[K_VERSION];

		finding_add(f, FC_OLDER, v->first, v->n_place ? v->place[0].column : 0, "Version",
			    "%" PRIu64 " is older than %" PRIu64 ", which was taken before; push "
			    "a newer one, or as root: apptunnel connect %s --force",
			    p->profile_version, t->oldest, t->stem);
		findings_sort(f);
		r = -EBADMSG;
	}
	origins_free(&o);
	return r;
}

int main(int argc, char **argv)
{
	struct findings f = { 0 };
	struct profile *p = NULL;
	char label[64], *text = NULL;
	int r, code = EXIT_UNEXPECTED;
	struct told told;
	size_t len = 0;

	if (!take_arguments(argc, argv, &told)) {
		fprintf(stderr, "usage: apptunnel-parser STEM FOLDER [ini|p7m OLDEST-VERSION]\n");
		return EXIT_UNEXPECTED;
	}
	r = limit_self();
	if (!r)
		r = parser_lock();
	if (r < 0)
		goto out;
	r = -ENOMEM;
	snprintf(label, sizeof(label), "%.40s.%s", told.stem, told.p7m ? "p7m" : "ini");
	p = malloc(sizeof(*p));
	text = read_fd(FD_TEXT, INI_FILE_MAX + 4 + 1, &len);	/* a BOM does not count */
	if (!p || !text || findings_init(&f, label))
		goto out;

	if (!profile_stem_ok(told.stem)) {
		finding_add(&f, FC_STORE_NAME, 0, 0, NULL, "the file name is not [A-Za-z0-9_-]{1,32}"
			    ".ini");
		r = -EBADMSG;
	} else {
		r = open_signature(&told, &text, &len, &f);
		if (!r)
			r = read_profile(&told, text, len, p, &f);
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
