/* SPDX-License-Identifier: MIT */
/*
 * nft.c - the packet filter, over libnftables: a text is one transaction, and
 * one that fails leaves the old state.
 *
 * libnftables calls exit(3) when it gets no socket, no memory, or an answer
 * that it did not expect.  That must not be the end of the daemon (and of its
 * engines), so each command runs in a child of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <nftables/libnftables.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

#include "platform/sys.h"

#define NFT_FD		3		/* where the child's output goes */
#define NFT_OUT_MAX	(16u << 20)	/* bytes of a listing that are read */

enum { CHILD_DONE = 42, CHILD_REFUSED = 43 };	/* nothing that exit(3) is called with */

/* ---- in the child -------------------------------------------------------- */

static int child_command(const char *text, bool print)
{
	struct nft_ctx *c = nft_ctx_new(NFT_CTX_DEFAULT);
	const char *s = "";
	ssize_t n;

	if (!c || nft_ctx_buffer_error(c) || nft_ctx_buffer_output(c))
		return EXIT_FAILURE;
	nft_ctx_output_set_flags(c, NFT_CTX_OUTPUT_TERSE | NFT_CTX_OUTPUT_STATELESS);
	if (nft_run_cmd_from_buffer(c, text))
		return CHILD_REFUSED;
	if (print)
		s = nft_ctx_get_output_buffer(c);
	for (size_t left = s ? strlen(s) : 0; left; left -= (size_t)n, s += n) {
		n = write(NFT_FD, s, left);
		if (n <= 0)
			return EXIT_FAILURE;
	}
	return CHILD_DONE;	/* its memory goes with it */
}

static void __attribute__((noreturn)) child_run(int fd, pid_t parent, const char *text, bool print)
{
	/* not a moment longer than the daemon, and with nothing of its: its locks are on files */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
	    (fd == NFT_FD ? fcntl(fd, F_SETFD, 0) : dup2(fd, NFT_FD)) < 0 ||
	    close_range(NFT_FD + 1, ~0u, 0) < 0)
		_exit(EXIT_FAILURE);
	_exit(child_command(text, print));
}

/* ---- in the daemon ------------------------------------------------------- */

/* All that comes out of @fd; NULL: too much, or no memory. */
static char *read_all(int fd)
{
	size_t len = 0, size = 4096;
	char *s = malloc(size), *p;
	ssize_t n;

	while (s) {
		n = read(fd, s + len, size - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		if (size - len > 1)
			continue;
		p = size < NFT_OUT_MAX ? realloc(s, size * 2) : NULL;
		if (!p)
			free(s);
		s = p;
		size *= 2;
	}
	if (s)
		s[len] = '\0';
	return s;
}

/* @out: what it prints, allocated; NULL: nobody wants it.  -ENOENT: refused */
static int nft_command(const char *text, char **out)
{
	pid_t parent = getpid(), pid;
	int p[2], status = 0, err;
	char *s;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child_run(p[1], parent, text, out);
	err = pid < 0 ? -errno : 0;
	close(p[1]);
	s = err ? NULL : read_all(p[0]);
	close(p[0]);	/* a child that has more to say ends by that */
	if (err)
		return err;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			free(s);
			return -errno;
		}
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_REFUSED)
		err = -ENOENT;
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != CHILD_DONE)
		err = -EIO;
	else if (!s)
		err = -ENOMEM;
	if (err || !out)
		free(s);
	else
		*out = s;
	return err;
}

int nft_run(const char *text)
{
	int err = nft_command(text, NULL);

	return err == -ENOENT ? -EIO : err;
}

/* 0 and the text; -ENOENT: there is no such table; -EIO: nobody knows */
static int list_table(const char *family, const char *name, char **out)
{
	char text[96];

	snprintf(text, sizeof(text), "list table %s %s", family, name);
	return nft_command(text, out);
}

int nft_has_table(const char *family, const char *name)
{
	char *t;
	int err = list_table(family, name, &t);

	if (!err)
		free(t);
	return err ? err == -ENOENT ? 0 : err : 1;
}

static int present_tables(const struct plan_item *i, const struct plan_names *n)
{
	char *inet = NULL, *arp = NULL;
	int err;
	bool ok;

	err = list_table("inet", n->nft, &inet);
	if (!err)
		err = list_table("arp", n->nft, &arp);
	ok = inet && arp && strstr(inet, "chain prerouting {") && strstr(inet, "chain output {") &&
	     strstr(inet, "@tunnel4 drop") && strstr(arp, "chain input {") &&
	     !strstr(inet, "chain lock {") == !i->value;
	free(inet);
	free(arp);
	return ok ? 0 : err ? err : -ENOENT;
}

int nft_present(const struct plan_item *i, const struct plan_names *n)
{
	char a[ADDR_STRLEN], text[160];

	if (i->kind == PLAN_NFT)
		return present_tables(i, n);
	snprintf(text, sizeof(text), "get element inet %s tunnel%u { %s }", n->nft, i->family,
		 addr_format(&i->prefix.addr, a));
	return nft_command(text, NULL);
}
