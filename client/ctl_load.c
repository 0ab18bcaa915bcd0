/* SPDX-License-Identifier: MIT */
/* ctl_load.c - find a profile, read it as the caller */
#define _GNU_SOURCE
#include "client/ctl_load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "profiles/ini.h"
#include "profiles/signed.h"

#define SUFFIX		".ini"
#define SIGNED		".p7m"
#define FILES_MAX	1024	/* profiles in one folder */

static int say(const char *path, int err)
{
	fprintf(stderr, "apptunnel: %s: %s\n", path, strerror(err));
	if (err == ENOENT || err == ENOTDIR)
		return CTL_NO_PROFILE;
	return err == EACCES || err == EPERM ? CTL_PERMISSION : CTL_UNEXPECTED;
}

static bool ends_in(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n > k && !strcmp(s + n - k, suffix);
}

static bool has_suffix(const char *s)
{
	return ends_in(s, SUFFIX) || ends_in(s, SIGNED);
}

/* Are profiles signed on this machine? */
static bool signer_there(const struct ctl_opts *o)
{
	return access(o->signer, F_OK) == 0;
}

/* ---- which file ------------------------------------------------------------------------ */

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int ctl_profile_files(const struct ctl_opts *o, struct ctl_names *names)
{
	DIR *d = opendir(o->profile_dir);
	struct dirent *e;
	int code = CTL_DONE;

	*names = (struct ctl_names){ 0 };
	if (!d)
		return say(o->profile_dir, errno);
	names->v = calloc(FILES_MAX, sizeof(*names->v));
	while (names->v && names->n < FILES_MAX && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !has_suffix(e->d_name))
			continue;
		names->v[names->n] = strdup(e->d_name);
		if (!names->v[names->n++])
			break;
	}
	if (!names->v || (names->n && !names->v[names->n - 1])) {
		code = say(o->profile_dir, ENOMEM);
		ctl_names_free(names);
	}
	closedir(d);
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), name_compare);
	return code;
}

void ctl_names_free(struct ctl_names *names)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	*names = (struct ctl_names){ 0 };
}

/* The only profile there is, or a usage error that lists them. */
static int only_profile(const struct ctl_opts *o, char **path)
{
	struct ctl_names names;
	int code = ctl_profile_files(o, &names);
	size_t i;

	if (code)
		return code;
	if (names.n == 1 && asprintf(path, "%s/%s", o->profile_dir, names.v[0]) < 0)
		code = say(o->profile_dir, ENOMEM);
	if (!names.n) {
		fprintf(stderr, "apptunnel: no profile in %s\n", o->profile_dir);
		code = CTL_NO_PROFILE;
	}
	if (names.n > 1) {
		fprintf(stderr, "apptunnel: which profile?");
		for (i = 0; i < names.n; i++)
			fprintf(stderr, " %.*s", (int)(strlen(names.v[i]) - strlen(SUFFIX)),
				names.v[i]);
		fputc('\n', stderr);
		code = CTL_USAGE;
	}
	ctl_names_free(&names);
	return code;
}

static int find_path(const struct ctl_opts *o, const char *what, char **path)
{
	int n;

	if (!what)
		return only_profile(o, path);
	if (strchr(what, '/') || has_suffix(what)) {
		n = asprintf(path, "%s", what);
	} else if (!profile_stem_ok(what)) {
		fprintf(stderr, "apptunnel: %s: not the name of a profile ([A-Za-z0-9_-]{1,32}); a file "
			"is given with its path\n", what);
		return CTL_NO_PROFILE;
	} else {
		/* as the daemon chooses: by whether profiles are signed here */
		bool p7m = signer_there(o);

		n = asprintf(path, "%s/%s%s", o->profile_dir, what, p7m ? SIGNED : SUFFIX);
		if (n >= 0 && access(*path, F_OK) && errno == ENOENT) {
			free(*path);
			n = asprintf(path, "%s/%s%s", o->profile_dir, what, p7m ? SUFFIX : SIGNED);
			if (n >= 0 && access(*path, F_OK) && errno == ENOENT)
				memcpy(*path + n - strlen(SUFFIX), SUFFIX, strlen(SUFFIX));
		}
	}
	return n < 0 ? say(what, ENOMEM) : CTL_DONE;
}

/* ---- its bytes --------------------------------------------------------------------------- */

/*
 * A pipe that somebody names (`profile check /dev/stdin`) is read; a FIFO that stands in the
 * profile folder is refused, as the daemon does, instead of waiting for a writer: NULL, and
 * CTL_PROFILE is not said yet
 */
static char *read_file(const char *path, bool stored, size_t *len, uid_t *owner, int *code)
{
	/* one byte more than may be: that there are more is all one needs to know */
	size_t cap = INI_FILE_MAX + 4, n = 0;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	char *text = NULL;
	struct stat st;
	ssize_t r = -1;

	if (fd < 0) {
		*code = say(path, errno);
		return NULL;
	}
	if (fstat(fd, &st) < 0)
		goto fail;
	if (stored && !S_ISREG(st.st_mode)) {
		*code = CTL_PROFILE;
		close(fd);
		return NULL;
	}
	if (fcntl(fd, F_SETFL, 0) < 0 || !(text = malloc(cap)))
		goto fail;
	while (n < cap) {
		r = read(fd, text + n, cap - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	if (r < 0)
		goto fail;
	close(fd);
	*len = n;
	*owner = st.st_uid;
	return text;
fail:
	*code = say(path, errno);
	free(text);
	close(fd);
	return NULL;
}

/* Absolute path of the folder that holds @path. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir, *real;

	if (!slash)
		dir = strdup(".");
	else
		dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	real = dir ? realpath(dir, NULL) : NULL;
	free(dir);
	return real;
}

static bool is_stored(const struct ctl_opts *o, const char *folder)
{
	char *store = realpath(o->profile_dir, NULL);
	bool same = store && !strcmp(store, folder);

	free(store);
	return same;
}

/* The stem of a file that no command can know: some name, for the record's sake. */
static void set_stem(struct ctl_loaded *l)
{
	const char *slash = strrchr(l->path, '/'), *base = slash ? slash + 1 : l->path;
	size_t n = strlen(base);
	char stem[PROFILE_STEM_MAX + 1];	/* one more: too long is seen */

	if (has_suffix(base))
		n -= strlen(SUFFIX);
	snprintf(stem, sizeof(stem), "%.*s", n < sizeof(stem) ? (int)n : (int)sizeof(stem) - 1, base);
	if (has_suffix(base) && profile_stem_ok(stem)) {
		memcpy(l->stem, stem, sizeof(l->stem));
		return;
	}
	snprintf(l->stem, sizeof(l->stem), "profile");
	finding_add(&l->f, FC_FILE_NAME, 0, 0, NULL, "in the profile folder the file's name must be "
		    "[A-Za-z0-9_-]{1,32}.ini");
}

/* What the parser of the daemon does before it reads on.  Return: 0, -EBADMSG, -errno */
static int open_signed(const struct ctl_opts *o, struct ctl_loaded *l, char **text, size_t *len,
		       const char *what)
{
	char *signer, *inner = NULL;
	size_t signer_len, n = 0;
	uid_t owner;
	int code, r;

	if (!ends_in(l->path, SIGNED)) {
		/* a draft anywhere else may be unsigned, the file that would be used not */
		if (!what || strcmp(what, l->path) == 0 || !signer_there(o))
			return 0;
		finding_add(&l->f, FC_UNSIGNED, 0, 0, NULL, "not signed: this machine takes signed "
			    "profiles only (%s" SIGNED "), since %s is there", l->stem, o->signer);
		return -EBADMSG;
	}
	if (!signer_there(o)) {
		finding_add(&l->f, FC_NO_SIGNER, 0, 0, NULL, "who may sign is not known: there is no "
			    "%s (--signer FILE names another)", o->signer);
		return -EBADMSG;
	}
	signer = read_file(o->signer, true, &signer_len, &owner, &code);
	if (!signer)
		return code == CTL_PROFILE ? -EINVAL : -EACCES;
	r = signed_open((uint8_t *)*text, *len, (uint8_t *)signer, signer_len,
			(uint64_t)time(NULL), &l->f, &inner, &n);
	free(signer);
	if (!r) {
		free(*text);
		*text = inner;
		*len = n;
	}
	return r;
}

int ctl_load(const struct ctl_opts *o, const char *what, struct ctl_loaded *l)
{
	char *text = NULL;
	size_t len = 0;
	int r, code;

	*l = (struct ctl_loaded){ 0 };
	code = find_path(o, what, &l->path);
	if (code)
		goto fail;
	l->folder = folder_of(l->path);
	l->stored = l->folder && is_stored(o, l->folder);
	text = read_file(l->path, l->stored, &len, &l->owner, &code);
	if (!text && code != CTL_PROFILE)
		goto fail;
	l->p = calloc(1, sizeof(*l->p));
	if (!l->folder || !l->p || findings_init(&l->f, l->path)) {
		code = say(l->path, errno ? errno : ENOMEM);
		goto fail;
	}
	set_stem(l);
	if (!text) {
		finding_add(&l->f, FC_FILE_KIND, 0, 0, NULL, "this is not a regular file; only such "
			    "are profiles");
		return CTL_PROFILE;
	}
	r = open_signed(o, l, &text, &len, what);
	if (!r)
		r = profile_read(text, len, l->stem, l->folder, l->p, &l->f, &l->o);
	if (r && r != -EBADMSG) {
		code = say(l->path, -r);
		goto fail;
	}
	free(text);
	l->good = !r;
	return r ? CTL_PROFILE : CTL_DONE;
fail:
	free(text);
	ctl_loaded_free(l);
	return code;
}

void ctl_loaded_free(struct ctl_loaded *l)
{
	if (!l)
		return;
	free(l->path);
	free(l->folder);
	free(l->p);
	findings_free(&l->f);
	origins_free(&l->o);
	*l = (struct ctl_loaded){ 0 };
}

void ctl_load_errors(const struct ctl_loaded *l)
{
	char line[FINDING_LINE_MAX];
	size_t i;

	for (i = 0; i < l->f.n; i++) {
		if (finding_code_is_error(l->f.v[i].code))
			fprintf(stderr, "%s\n",
				finding_format(&l->f, &l->f.v[i], line, sizeof(line)));
	}
}

int ctl_print(const char *s)
{
	if (!s) {
		fprintf(stderr, "apptunnel: %s\n", strerror(ENOMEM));
		return CTL_UNEXPECTED;
	}
	if (fputs(s, stdout) == EOF || fflush(stdout)) {
		fprintf(stderr, "apptunnel: cannot write: %s\n", strerror(errno));
		return CTL_UNEXPECTED;
	}
	return CTL_DONE;
}
