/* SPDX-License-Identifier: MIT */
/* ini_agree.c - the second reader: iniparser, on a sealed memory file */
#define _GNU_SOURCE
#include "profiles/ini.h"

#include <errno.h>
#include <fcntl.h>
#include <iniparser/iniparser.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profiles/text.h"

/* iniparser reports through this; its findings are ours already. */
static int stay_silent(const char *fmt, ...)
{
	(void)fmt;
	return 0;
}

static int seal_text(const struct ini_doc *doc)
{
	size_t done = 0;
	int fd, r;

	fd = memfd_create("profile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	while (done < doc->n) {
		ssize_t w = write(fd, doc->text + done, doc->n - done);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			r = w < 0 ? -errno : -EIO;
			goto fail;
		}
		done += (size_t)w;
	}
	/* opened again by path: the mode counts, whoever we are */
	if (fchmod(fd, 0444) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
		r = -errno;
		goto fail;
	}
	return fd;
fail:
	close(fd);
	return r;
}

/* Is @have the text @want in lower case? */
static bool lower_equal(const char *have, const char *want, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (!have[i] || have[i] != text_lower(want[i]))
			return false;
	}
	return true;
}

static bool same_section(const dictionary *d, int i, const struct ini_section *sec)
{
	return i < d->n && d->key[i] && !d->val[i] && lower_equal(d->key[i], sec->name, sec->n) &&
	       !d->key[i][sec->n];
}

static bool same_entry(const dictionary *d, int i, const struct ini_section *sec,
		       const struct ini_entry *e)
{
	const char *key;

	if (i >= d->n || !d->key[i] || !d->val[i])
		return false;
	key = d->key[i];
	return lower_equal(key, sec->name, sec->n) && key[sec->n] == ':' &&
	       lower_equal(key + sec->n + 1, e->name, e->name_n) &&
	       !key[sec->n + 1 + e->name_n] && strlen(d->val[i]) == e->value_n &&
	       !memcmp(d->val[i], e->value, e->value_n);
}

/* Nothing is ever removed from the dictionary, so it holds the order of the file. */
static bool dictionary_same(const dictionary *d, const struct ini_doc *doc)
{
	size_t e = 0, s;
	int i = 0;

	for (s = 0; s < doc->n_sections; s++) {
		if (!same_section(d, i++, &doc->sections[s]))
			return false;
		for (; e < doc->n_entries && doc->entries[e].section == s; e++) {
			if (!same_entry(d, i++, &doc->sections[s], &doc->entries[e]))
				return false;
		}
	}
	return e == doc->n_entries && i == d->n;
}

int ini_agree(const struct ini_doc *doc)
{
	char path[40];
	dictionary *d;
	int fd, r;

	fd = seal_text(doc);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	iniparser_set_error_callback(stay_silent);
	d = iniparser_load(path);
	r = d && dictionary_same(d, doc) ? 0 : -EBADMSG;
	if (d)
		iniparser_freedict(d);
	close(fd);
	return r;
}
