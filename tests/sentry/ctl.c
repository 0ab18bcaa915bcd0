/* SPDX-License-Identifier: MIT */
/* ctl.c - `sentry ctl SOCKET VERB ...`: ask a running endpoint, print its answer */
#define _GNU_SOURCE
#include "tests/sentry/sentry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CTL_TIMEOUT_S	10
#define CTL_ANSWER	(64u << 20)

static int ctl_connect(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = CTL_TIMEOUT_S };
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

/* Return: the whole answer (caller frees), or NULL with errno */
static char *ctl_ask(int fd, const char *line, size_t len)
{
	char *buf = NULL;
	size_t have = 0, cap = 0;
	ssize_t n;

	if (send(fd, line, len, MSG_NOSIGNAL) != (ssize_t)len)
		return NULL;
	for (;;) {
		if (have + 1 >= cap) {
			char *b = cap < CTL_ANSWER ? realloc(buf, cap = cap ? cap * 2 : 65536) : NULL;

			if (!b)
				break;
			buf = b;
		}
		n = recv(fd, buf + have, cap - have - 1, 0);
		if (n == 0 && have) {
			buf[have] = 0;
			return buf;
		}
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	free(buf);
	return NULL;
}

int ctl_main(int argc, char **argv)
{
	json_t *words = json_array(), *o;
	char *line, *text, *answer;
	int fd, code = 1;

	if (argc < 2) {
		fprintf(stderr, "usage: sentry ctl SOCKET VERB ...\n");
		json_decref(words);
		return 2;
	}
	for (int i = 1; i < argc; i++)
		json_array_append_new(words, json_string(argv[i]));
	text = json_dumps(words, JSON_COMPACT);
	json_decref(words);
	if (!text || asprintf(&line, "%s\n", text) < 0) {
		free(text);
		return 1;
	}
	free(text);
	fd = ctl_connect(argv[0]);
	answer = fd >= 0 ? ctl_ask(fd, line, strlen(line)) : NULL;
	free(line);
	if (!answer) {
		fprintf(stderr, "sentry ctl: %s: %s\n", argv[0], strerror(errno));
		if (fd >= 0)
			close(fd);
		return 8;	/* not running */
	}
	close(fd);
	fputs(answer, stdout);
	o = json_loads(answer, 0, NULL);
	if (json_is_true(json_object_get(o, "ok")))
		code = 0;
	json_decref(o);
	free(answer);
	return code;
}
