/* SPDX-License-Identifier: MIT */
/*
 * ctl_import_child.c - the file's bytes are looked at in a child: no files, no
 * sockets, no new processes, bounded memory and time.  It answers through a
 * pipe, in records that the parent judges one by one:
 *
 *	kind (1 byte), a (4), b (4), length of the first text (4), of the second (4),
 *	the two texts
 *
 * all numbers in the machine's order, for it is the same program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "client/ctl_import.h"

#define CHILD_CPU_S	10u
#define CHILD_MEMORY	(512ull << 20)	/* address space */
#define ANSWER_MAX	(8u << 20)	/* bytes */

enum record_kind { REC_VALUE = 1, REC_NOTE, REC_CERT, REC_SOURCE, REC_WHY, REC_END };

struct record {
	uint8_t kind;
	uint32_t a, b, n1, n2;
};
#define RECORD_SIZE	17u

/* ---- convert: what both the child and the tests call ---------------------------------------- */

int import_convert(const uint8_t *in, size_t n, uint32_t payload, struct import_result *r)
{
	struct node *root = NULL;
	bool is_json = false;
	int err;

	err = import_read(in, n, &root, &is_json, r);
	if (!err)
		err = is_json ? import_android(root, payload, r) : import_apple(root, payload, r);
	node_free(root);
	return !err && r->failed ? -ENOMEM : err;
}

/* ---- the child ------------------------------------------------------------------------------ */

static void put_u32(struct text *t, uint32_t v)
{
	text_addn(t, (const char *)&v, sizeof(v));
}

static void put(struct text *t, enum record_kind kind, uint32_t a, uint32_t b, const char *s1,
		size_t n1, const char *s2)
{
	char k = (char)kind;

	text_addn(t, &k, 1);
	put_u32(t, a);
	put_u32(t, b);
	put_u32(t, (uint32_t)n1);
	put_u32(t, (uint32_t)strlen(s2));
	text_addn(t, s1, n1);
	text_add(t, s2);
}

static void put_result(struct text *t, const struct import_result *r, int err)
{
	size_t i;

	for (i = 0; i < r->n_values; i++)
		put(t, REC_VALUE, r->values[i].id, r->values[i].rule, r->values[i].text,
		    strlen(r->values[i].text), r->values[i].where);
	for (i = 0; i < r->n_notes; i++)
		put(t, REC_NOTE, r->notes[i].kind, 0, r->notes[i].text, strlen(r->notes[i].text),
		    r->notes[i].where);
	for (i = 0; i < r->n_certs; i++) {
		put(t, REC_CERT, r->certs[i].ca, 0, r->certs[i].pem, strlen(r->certs[i].pem),
		    r->certs[i].where);
		text_addn(t, (const char *)r->certs[i].sha256, sizeof(r->certs[i].sha256));
	}
	put(t, REC_SOURCE, 0, 0, r->source, strlen(r->source), "");
	put(t, REC_WHY, 0, 0, r->why, strlen(r->why), "");
	put(t, REC_END, (uint32_t)-err, 0, "", 0, "");
}

static void limit(int what, rlim_t v)
{
	struct rlimit l = { v, v };

	setrlimit(what, &l);
}

/* What thinking and one pipe need; anything else fails. */
static int shut_in(void)
{
	static const int allowed[] = {
		SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(fstat),
		SCMP_SYS(newfstatat), SCMP_SYS(lseek),
		SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap),
		SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom),
		SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
		SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
		SCMP_SYS(sigaltstack), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill),
		SCMP_SYS(exit), SCMP_SYS(exit_group),
	};
	scmp_filter_ctx ctx;
	size_t i;
	int err = 0;

	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, CHILD_CPU_S);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_NOFILE, 0);
#ifndef __SANITIZE_ADDRESS__
	limit(RLIMIT_AS, CHILD_MEMORY);
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && !err; i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

static void __attribute__((noreturn)) child(const uint8_t *in, size_t n, uint32_t payload, int fd)
{
	struct import_result r = { 0 };
	struct text t = { 0 };
	size_t at = 0;
	ssize_t w;
	int err = shut_in();

	if (!err)
		err = import_convert(in, n, payload, &r);
	if (!r.failed)
		put_result(&t, &r, err);
	while (!t.failed && at < t.n) {
		w = write(fd, t.s + at, t.n - at);
		if (w < 0 && errno != EINTR)
			break;
		at += w > 0 ? (size_t)w : 0;
	}
	_exit(t.failed || r.failed || at < t.n);
}

/* ---- the parent ----------------------------------------------------------------------------- */

struct answer {
	const char *p;
	size_t left;
};

static bool get(struct answer *a, void *to, size_t n)
{
	if (a->left < n)
		return false;
	memcpy(to, a->p, n);
	a->p += n;
	a->left -= n;
	return true;
}

static bool get_record(struct answer *a, struct record *rec, char **s1, char **s2)
{
	*s1 = *s2 = NULL;
	if (!get(a, &rec->kind, 1) || !get(a, &rec->a, 4) || !get(a, &rec->b, 4) ||
	    !get(a, &rec->n1, 4) || !get(a, &rec->n2, 4) ||
	    (uint64_t)rec->n1 + rec->n2 > a->left)
		return false;
	*s1 = strndup(a->p, rec->n1);
	*s2 = strndup(a->p + rec->n1, rec->n2);
	a->p += rec->n1 + rec->n2;
	a->left -= rec->n1 + rec->n2;
	return *s1 && *s2;
}

/* Return: 1: go on; 0: the end, *err is set; -EBADMSG: not what a child of ours says */
static int take_record(struct answer *a, struct import_result *r, int *err)
{
	struct record rec = { 0 };
	uint8_t sha256[32];
	char *s1, *s2;
	int more = 1;

	if (!get_record(a, &rec, &s1, &s2)) {
		more = -EBADMSG;
	} else if (rec.kind == REC_VALUE && rec.a < SCHEMA_KEYS && rec.b <= SCHEMA_RULES_MAX &&
		   !strpbrk(s1, "\r\n")) {
		import_value(r, rec.a, rec.b, s1, s2);
	} else if (rec.kind == REC_NOTE && rec.a < IMPORT_NOTE_KINDS) {
		import_note(r, rec.a, s2, "%s", s1);
	} else if (rec.kind == REC_CERT && get(a, sha256, sizeof(sha256))) {
		import_cert(r, rec.a, s1, sha256, s2);
		s1 = NULL;
	} else if (rec.kind == REC_SOURCE && !strpbrk(s1, "\r\n\\")) {
		snprintf(r->source, sizeof(r->source), "%s", s1);
	} else if (rec.kind == REC_WHY) {
		snprintf(r->why, sizeof(r->why), "%s", s1);
	} else if (rec.kind == REC_END && rec.a < 4096) {
		*err = -(int)rec.a;
		more = 0;
	} else {
		more = -EBADMSG;
	}
	free(s1);
	free(s2);
	return more;
}

static int take_answer(const struct text *t, struct import_result *r)
{
	struct answer a = { t->s, t->n };
	int err = 0, more;

	do
		more = take_record(&a, r, &err);
	while (more > 0);
	return more < 0 ? more : err;
}

static int read_answer(int fd, struct text *t)
{
	char buf[16384];
	ssize_t n;

	for (;;) {
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		text_addn(t, buf, (size_t)n);
		if (t->failed || t->n > ANSWER_MAX)
			return -ENOMEM;
	}
}

int import_in_child(const uint8_t *in, size_t n, uint32_t payload, struct import_result *r)
{
	struct text t = { 0 };
	int fd[2], err, status = 0;
	pid_t pid;

	/* both would look for files at their first use, where there are none any more */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
	json_object_seed(0);
	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(fd[0]);
		close(fd[1]);
		return err;
	}
	if (!pid) {
		close(fd[0]);
		child(in, n, payload, fd[1]);
	}
	close(fd[1]);
	err = read_answer(fd[0], &t);
	close(fd[0]);
	if (err)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!err && WIFSIGNALED(status))
		err = import_refuse(r, "reading it failed (signal %d); it is malformed, or larger "
				    "than it looks", WTERMSIG(status));
	else if (!err && WEXITSTATUS(status))
		err = -ENOMEM;
	else if (!err)
		err = take_answer(&t, r);
	if (err == -EBADMSG && !r->why[0])
		import_refuse(r, "reading it gave no sensible answer");
	text_free(&t);
	return err ? err : r->failed ? -ENOMEM : 0;
}
