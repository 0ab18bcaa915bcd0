/* SPDX-License-Identifier: MIT */
/*
 * parse.c - the parser child: bytes in a sealed memory file go in, one record
 * of fixed size comes out.  The daemon itself reads no profile text.
 *
 *	apptunnel-parser STEM FOLDER ini|p7m OLDEST-VERSION
 *	3	the text or the signed message, sealed
 *	4	an empty memory file for struct profile
 *	5	the control connection: findings as "err FILE:LINE:COL: ..." lines
 *	6	who may sign, sealed; only where profiles are signed
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/isolate.h"
#include "platform/versions.h"

#define PARSER_NAME	"apptunnel-parser"

int parse_signer(const struct daemon *d, struct parse_input *in, char *why, size_t size)
{
	int err = 0;

	*in = (struct parse_input){ .text = -1, .signer = -1 };
	in->signer = files_open_signer(d->o.signer, why, size);
	if (in->signer < 0 && (in->signer != -ENOENT || d->o.signer_given)) {
		/* not "there is no such profile": nothing is accepted without that file */
		err = in->signer == -ENOENT ? -EPERM : in->signer;
		in->signer = -1;
	}
	return err;
}

int parse_open(const struct daemon *d, const char *stem, struct parse_input *in, char *why,
	       size_t size)
{
	int err = parse_signer(d, in, why, size);

	if (err)
		return err;
	in->text = files_open_profile(d->o.profile_dir, stem, in->signer >= 0, &in->p7m, why, size);
	if (in->text >= 0)
		return 0;
	err = in->text;
	parse_close(in);
	return err;
}

void parse_close(struct parse_input *in)
{
	if (in->text >= 0)
		close(in->text);
	if (in->signer >= 0)
		close(in->signer);
	in->text = in->signer = -1;
}

int parse_start(struct daemon *d, struct slot *s, const struct parse_input *in, int client)
{
	char path[PROFILE_PATH_MAX + sizeof(PARSER_NAME) + 1], oldest[24];
	char *argv[] = { (char *)PARSER_NAME, s->stem, (char *)d->o.profile_dir,
			 (char *)(in->p7m ? "p7m" : "ini"), oldest, NULL };
	struct isolate_child child = {
		.path = path, .argv = argv, .n_fds = in->signer >= 0 ? 4 : 3,
		.uid = d->uid, .gid = d->gid, .parser = true,
	};
	uint64_t seen = 0;
	int record, err;
	pid_t pid;

	if (in->signer >= 0) {
		err = versions_read(d->o.state_dir, s->stem, &seen);
		if (err)
			return err;
	}
	s->is_signed = in->signer >= 0;
	s->seen = seen;
	snprintf(oldest, sizeof(oldest), "%" PRIu64, s->force ? 0 : seen);
	snprintf(path, sizeof(path), "%s/" PARSER_NAME, d->o.libexec_dir);
	record = files_memory("profile");
	if (record < 0)
		return record;
	child.fds[0] = in->text;
	child.fds[1] = record;
	child.fds[2] = client;
	child.fds[3] = in->signer;
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
	if (!err && (strcmp(p->stem, s->stem) ||
		     (s->is_signed && !s->force && p->profile_version < s->seen)))
		err = -EBADMSG;		/* the parser had to say no */
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

int parse_taken(const struct daemon *d, const struct slot *s)
{
	if (!s->is_signed || s->profile->profile_version == s->seen)
		return 0;
	return versions_write(d->o.state_dir, s->stem, s->profile->profile_version);
}
