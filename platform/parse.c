/* SPDX-License-Identifier: MIT */
/*
 * parse.c - the parser child: bytes in a sealed memory file go in, one record
 * of fixed size comes out.  The daemon itself reads no profile text.
 *
 *	apptunnel-parser STEM FOLDER
 *	3	the text, sealed
 *	4	an empty memory file for struct profile
 *	5	the control connection: findings as "err FILE:LINE:COL: ..." lines
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/isolate.h"

#define PARSER_NAME	"apptunnel-parser"

int parse_start(struct daemon *d, struct slot *s, int text, int client)
{
	char path[PROFILE_PATH_MAX + sizeof(PARSER_NAME) + 1];
	char *argv[] = { (char *)PARSER_NAME, s->stem, (char *)d->o.profile_dir, NULL };
	struct isolate_child child = {
		.path = path, .argv = argv, .n_fds = 3, .uid = d->uid, .gid = d->gid,
		.parser = true,
	};
	pid_t pid;
	int record;

	snprintf(path, sizeof(path), "%s/" PARSER_NAME, d->o.libexec_dir);
	record = files_memory("profile");
	if (record < 0)
		return record;
	child.fds[0] = text;
	child.fds[1] = record;
	child.fds[2] = client;
	pid = isolate_spawn(&child);
	if (pid < 0) {
		close(record);
		return (int)pid;
	}
	s->pid = pid;
	s->record = record;
	return 0;
}

static int record_read(int fd, struct profile *p)
{
	size_t got = 0;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)sizeof(*p))
		return -EBADMSG;
	while (got < sizeof(*p)) {
		n = pread(fd, (char *)p + got, sizeof(*p) - got, (off_t)got);
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		got += (size_t)n;
	}
	return profile_check_record(p, sizeof(*p));
}

int parse_result(struct slot *s)
{
	struct profile *p = malloc(sizeof(*p));
	int sealed, err;

	if (!p)
		return -ENOMEM;
	sealed = files_seal(s->record);		/* from here on nobody can change it */
	err = sealed < 0 ? sealed : record_read(sealed, p);
	if (!err && strcmp(p->stem, s->stem))
		err = -EBADMSG;
	if (err) {
		if (sealed >= 0)
			close(sealed);
		free(p);
		return err;
	}
	close(s->record);
	s->record = -1;
	s->sealed = sealed;
	s->profile = p;
	return 0;
}
