/* SPDX-License-Identifier: MIT */
/*
 * report.c - log lines on stderr, and sd_notify by hand.
 */
#include "platform/report.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool report_journal;	/* stderr is the journal: lines begin with "<N>" */

void report_init(void)
{
	report_journal = getenv("JOURNAL_STREAM") != NULL;
}

void report(enum report_level level, const char *code, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);	/* a line that is too long is cut */
	va_end(ap);
	if (report_journal)
		fprintf(stderr, "<%d>", (int)level);
	fprintf(stderr, "apptunneld: %s: %s\n", code, line);
}

void report_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(sun.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';		/* an abstract name */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	/* nothing to be done when the manager does not listen */
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sun,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		report(REPORT_WARNING, "notify.failed", "NOTIFY_SOCKET does not answer");
	close(fd);
}
