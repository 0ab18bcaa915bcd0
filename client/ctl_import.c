/* SPDX-License-Identifier: MIT */
/* ctl_import.c - apptunnel profile import: options, files, and the list of what was not carried */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl_import.h"
#include "client/ctl_load.h"
#include "profiles/reader.h"

#define PAYLOAD_MAX	1000u
#define FILE_MODE	0644	/* nothing in them is secret; umask applies */
#define SUFFIX		".ini"

struct options {
	const char *file, *output;	/* output NULL: stdout */
	uint32_t payload;		/* 0: the first that can be used */
	bool force;
};

static int usage(void)
{
	fprintf(stderr, "usage: apptunnel profile import FILE [-o FILE] [--payload N] [--force] "
		"[--json]\n");
	return CTL_USAGE;
}

static int say(const char *path, int err)
{
	fprintf(stderr, "apptunnel: %s: %s\n", path, strerror(err));
	if (err == ENOENT || err == ENOTDIR)
		return CTL_NO_PROFILE;
	return err == EACCES || err == EPERM || err == EROFS ? CTL_PERMISSION : CTL_UNEXPECTED;
}

/* ---- options -------------------------------------------------------------------------------- */

static bool number_option(const char *s, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (*s < '1' || *s > '9')
		return false;
	v = strtoul(s, &end, 10);
	if (*end || v > PAYLOAD_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool read_options(struct options *o, int argc, char **argv)
{
	bool end = false;
	int i;

	for (i = 1; i < argc; i++) {
		const char *a = argv[i];

		if (end || a[0] != '-' || !a[1]) {
			if (o->file)
				return false;
			o->file = a;
		} else if (!strcmp(a, "--")) {
			end = true;
		} else if (!strcmp(a, "--force")) {
			o->force = true;
		} else if (!strncmp(a, "--payload=", 10)) {
			if (!number_option(a + 10, &o->payload))
				return false;
		} else if (!strncmp(a, "--output=", 9)) {
			o->output = a + 9;
		} else if (i + 1 < argc && !strcmp(a, "--payload")) {
			if (!number_option(argv[++i], &o->payload))
				return false;
		} else if (i + 1 < argc && (!strcmp(a, "-o") || !strcmp(a, "--output"))) {
			o->output = argv[++i];
		} else {
			return false;
		}
	}
	if (o->output && !strcmp(o->output, "-"))
		o->output = NULL;
	return o->file && (!o->output || *o->output);
}

/* ---- the file that is imported -------------------------------------------------------------- */

static int read_input(const char *path, uint8_t **out, size_t *len)
{
	size_t cap = IMPORT_INPUT_MAX + 1, n = 0;	/* one more: that is too large */
	uint8_t *buf = malloc(cap);
	int fd, code = CTL_DONE;
	ssize_t r = 1;

	fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) :
				 fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || !buf) {
		code = say(path, fd < 0 ? errno : ENOMEM);
		goto out;
	}
	while (n < cap && r) {
		r = read(fd, buf + n, cap - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			code = say(path, errno);
			goto out;
		}
		n += (size_t)r;
	}
	*out = buf;
	*len = n;
	buf = NULL;
out:
	if (fd >= 0)
		close(fd);
	free(buf);
	return code;
}

/* ---- the files that are written ------------------------------------------------------------- */

struct output {
	char *path;		/* where it goes; owned */
	char *temp;		/* where it is until all are complete; owned */
	char *content;		/* owned */
};

struct outputs {
	struct output v[IMPORT_CERTS_MAX + 2];
	size_t n;
};

static void outputs_free(struct outputs *o)
{
	size_t i;

	for (i = 0; i < o->n; i++) {
		if (o->v[i].temp)
			unlink(o->v[i].temp);
		free(o->v[i].path);
		free(o->v[i].temp);
		free(o->v[i].content);
	}
}

/* Beside @beside, or there itself when @name is NULL. */
static bool output_add(struct outputs *o, const char *beside, const char *name, const char *content)
{
	const char *slash = strrchr(beside, '/');
	struct output *f = &o->v[o->n];
	int n;

	*f = (struct output){ .content = strdup(content) };
	if (name)
		n = asprintf(&f->path, "%.*s%s", slash ? (int)(slash + 1 - beside) : 0, beside, name);
	else
		n = asprintf(&f->path, "%s", beside);
	if (n < 0)
		f->path = NULL;
	o->n++;
	return f->path && f->content;
}

/* Certificates first: a profile that is there can be used. */
static bool outputs_collect(struct outputs *o, const struct import_result *r, const char *ini,
			    const char *path, const char *stem)
{
	struct text ca = { 0 };
	size_t i, pins = 0;
	char name[256], *s;
	bool good = true;

	for (i = 0; i < r->n_certs && good; i++) {
		if (r->certs[i].ca) {
			text_add(&ca, r->certs[i].pem);
			continue;
		}
		import_cert_name(stem, ++pins, name, sizeof(name));
		good = output_add(o, path, name, r->certs[i].pem);
	}
	if (ca.n) {
		import_cert_name(stem, 0, name, sizeof(name));
		s = text_take(&ca);
		good = s && good && output_add(o, path, name, s);
		free(s);
	}
	return good && output_add(o, path, NULL, ini);
}

static int check_place(const struct output *f, bool force)
{
	struct stat st;

	if (lstat(f->path, &st) < 0)
		return errno == ENOENT ? CTL_DONE : say(f->path, errno);
	if (!S_ISREG(st.st_mode)) {
		fprintf(stderr, "apptunnel: %s: not a regular file, so it is not written over\n",
			f->path);
		return CTL_CONFLICT;
	}
	if (!force) {
		fprintf(stderr, "apptunnel: %s is there already; --force writes over it\n",
			f->path);
		return CTL_CONFLICT;
	}
	return CTL_DONE;
}

/* All of it to a new file beside the place, so that the place never holds a part. */
static int write_temp(struct output *f)
{
	const char *slash = strrchr(f->path, '/');
	size_t len = strlen(f->content), at = 0;
	int fd, err = 0;
	ssize_t w;

	if (asprintf(&f->temp, "%.*s.%s.%ld", slash ? (int)(slash + 1 - f->path) : 0, f->path,
		     slash ? slash + 1 : f->path, (long)getpid()) < 0) {
		f->temp = NULL;
		return say(f->path, ENOMEM);
	}
	fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (fd < 0) {
		err = errno;
		free(f->temp);
		f->temp = NULL;
		return say(f->path, err);
	}
	while (at < len) {
		w = write(fd, f->content + at, len - at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0) {
			err = errno;
			break;
		}
		at += (size_t)w;
	}
	if (!err && fsync(fd) < 0)
		err = errno;
	close(fd);
	return err ? say(f->path, err) : CTL_DONE;
}

static int put_in_place(struct output *f, bool force)
{
	if (renameat2(AT_FDCWD, f->temp, AT_FDCWD, f->path, force ? 0 : RENAME_NOREPLACE) < 0) {
		if (errno != EEXIST)
			return say(f->path, errno);
		fprintf(stderr, "apptunnel: %s is there already; --force writes over it\n",
			f->path);
		return CTL_CONFLICT;
	}
	free(f->temp);
	f->temp = NULL;
	return CTL_DONE;
}

static int write_files(const struct options *o, const struct import_result *r, const char *ini,
		       const char *stem)
{
	struct outputs out = { .n = 0 };
	int code = CTL_DONE;
	size_t i;

	if (!outputs_collect(&out, r, ini, o->output, stem))
		code = say(o->output, ENOMEM);
	for (i = 0; !code && i < out.n; i++)
		code = check_place(&out.v[i], o->force);
	for (i = 0; !code && i < out.n; i++)
		code = write_temp(&out.v[i]);
	for (i = 0; !code && i < out.n; i++)
		code = put_in_place(&out.v[i], o->force);
	outputs_free(&out);
	return code;
}

/* ---- the list ------------------------------------------------------------------------------- */

static void list_people(const struct options *o, const struct import_result *r)
{
	size_t i;

	for (i = 0; i < r->n_notes; i++) {
		const struct import_note *n = &r->notes[i];
		const char *word = import_word(n->kind, false);

		if (strcmp(n->where, "-"))
			fprintf(stderr, "%s: %s: %s: %s\n", o->file, n->where, word, n->text);
		else
			fprintf(stderr, "%s: %s: %s\n", o->file, word, n->text);
	}
}

/* With -o the profile is in its file; without, it is a member. */
static char *list_programs(const struct options *o, const struct import_result *r, const char *ini,
			   bool written)
{
	struct text t = { 0 };
	size_t i;

	text_add(&t, "{\"version\": 1, \"source\": ");
	text_json(&t, o->file);
	text_add(&t, ", \"file\": ");
	if (o->output && written)
		text_json(&t, o->output);
	else
		text_add(&t, "null");
	text_add(&t, ", \"profile\": ");
	if (ini && !o->output)
		text_json(&t, ini);
	else
		text_add(&t, "null");
	text_add(&t, ", \"error\": ");
	if (r->why[0])
		text_json(&t, r->why);
	else
		text_add(&t, "null");
	text_add(&t, ", \"notes\": [");
	for (i = 0; i < r->n_notes; i++) {
		text_addf(&t, "%s\n  {\"kind\": \"%s\", \"where\": ", i ? "," : "",
			  import_word(r->notes[i].kind, true));
		text_json(&t, r->notes[i].where);
		text_add(&t, ", \"message\": ");
		text_json(&t, r->notes[i].text);
		text_add(&t, "}");
	}
	text_add(&t, "\n]}\n");
	return text_take(&t);
}

/* The name of the profile, by which its certificates are named, too. */
static char *stem_of(const struct options *o)
{
	const char *slash = strrchr(o->output, '/'), *name = slash ? slash + 1 : o->output;
	size_t n = strlen(name), k = strlen(SUFFIX);

	return n > k && !strcmp(name + n - k, SUFFIX) ? strndup(name, n - k) : strdup(name);
}

static int finish(const struct ctl_opts *g, const struct options *o, struct import_result *r)
{
	char *ini = NULL, *stem = o->output ? stem_of(o) : NULL, *s;
	int code = CTL_DONE, err;
	bool written = false;

	if (o->output && stem && !profile_stem_ok(stem)) {
		fprintf(stderr, "apptunnel: %s: a profile is known by a name of "
			"[A-Za-z0-9_-]{1,32} and %s\n", o->output, SUFFIX);
		free(stem);
		return CTL_USAGE;
	}
	err = o->output && !stem ? -ENOMEM : import_finish(r, stem, &ini);
	if (err)
		code = say(o->file, -err);
	if (!code && o->output) {
		code = write_files(o, r, ini, stem);
		written = !code;
	}
	if (!code && g->json) {
		s = list_programs(o, r, ini, written);
		code = ctl_print(s);
		free(s);
	} else if (!code) {
		list_people(o, r);
		if (!o->output)
			code = ctl_print(ini);
	}
	free(stem);
	free(ini);
	return code;
}

int ctl_profile_import(const struct ctl_opts *g, int argc, char **argv)
{
	struct import_result *r = calloc(1, sizeof(*r));
	struct options o = { 0 };
	uint8_t *in = NULL;
	size_t n = 0;
	int code, err;
	char *s;

	if (!read_options(&o, argc, argv) || !r) {
		free(r);
		return usage();
	}
	code = read_input(o.file, &in, &n);
	if (code)
		goto out;
	err = import_in_child(in, n, o.payload, r);
	if (err == -EBADMSG) {
		code = CTL_PROFILE;
		fprintf(stderr, "apptunnel: %s: %s\n", o.file, r->why);
		if (g->json) {
			s = list_programs(&o, r, NULL, false);
			ctl_print(s);
			free(s);
		}
	} else if (err) {
		code = say(o.file, -err);
	} else {
		code = finish(g, &o, r);
	}
out:
	free(in);
	import_free(r);
	free(r);
	return code;
}
