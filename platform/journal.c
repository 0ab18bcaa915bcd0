/* SPDX-License-Identifier: MIT */
/* journal.c - see journal.h: lines written, synced, read again */
#include "platform/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profiles/plan_diff.h"

#define SUFFIX		".journal"
#define MAGIC_LINE	"apptunnel journal 1"
#define LINE_MAX_	1400		/* bytes of the longest line: names */
#define FILE_MAX	(64l << 20)	/* bytes; compacting keeps it far below */
#define BOOT_LEN	37

static void boot_id(char out[BOOT_LEN])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, BOOT_LEN - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n ")] = '\0';
	if (!out[0])
		snprintf(out, BOOT_LEN, "unknown");
}

static int file_name(char *buf, size_t size, const char *stem, const char *suffix)
{
	int n = snprintf(buf, size, "%s%s", stem, suffix);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int write_line(struct journal *j, const char *line, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(j->fd, line + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n ? -errno : -ENOSPC;

			/* half a line would swallow the next one */
			if (done && ftruncate(j->fd, (off_t)j->size))
				return -EIO;
			return err;
		}
		done += (size_t)n;
	}
	j->size += len;
	return 0;
}

static int write_head(struct journal *j)
{
	const struct plan_names *n = &j->names;
	char line[LINE_MAX_], boot[BOOT_LEN], a[ADDR_STRLEN], b[ADDR_STRLEN];
	int len;

	boot_id(boot);
	len = snprintf(line, sizeof(line), "%s\nboot %s\nnames %u %u %u %u %s %s %s %s %s\n",
		       MAGIC_LINE, boot, n->mark, n->table, n->prio, n->prio_main, n->tun,
		       n->nft, addr_format(&n->service4, a), addr_format(&n->service6, b),
		       n->resolv_conf);
	if (len < 0 || (size_t)len >= sizeof(line) || !n->resolv_conf[0] ||
	    strchr(n->resolv_conf, '\n'))
		return -EINVAL;
	return write_line(j, line, (size_t)len);
}

static int write_rec(struct journal *j, const struct journal_rec *r)
{
	const struct plan_item *i = &r->item;
	char line[LINE_MAX_], p[PREFIX_STRLEN], a[ADDR_STRLEN];
	int len;

	len = snprintf(line, sizeof(line), "+ %u %u %u %u %u %u %u %u %s %s %s\n", r->seq,
		       i->kind, i->stage, i->family, i->sport, i->dport, i->value, r->old,
		       prefix_format(&i->prefix, p), addr_format(&i->from, a),
		       i->path[0] ? i->path : "-");
	/* a rewritten journal keeps what is known of the file */
	if (len > 0 && r->done)
		len += snprintf(line + len, sizeof(line) - (size_t)len, "= %u\n", r->seq);
	if (len > 0 && r->undoing)
		len += snprintf(line + len, sizeof(line) - (size_t)len, "! %u\n", r->seq);
	if (len < 0 || (size_t)len >= sizeof(line))
		return -EINVAL;
	return write_line(j, line, (size_t)len);
}

/* ---- reading ---------------------------------------------------------------------- */

static struct journal_rec *new_rec(struct journal *j)
{
	struct journal_rec *r;

	if (j->n == j->room) {
		size_t room = j->room ? j->room * 2 : 64;

		r = realloc(j->recs, room * sizeof(*r));
		if (!r)
			return NULL;
		j->recs = r;
		j->room = room;
	}
	r = &j->recs[j->n++];
	memset(r, 0, sizeof(*r));
	return r;
}

static int read_names(struct journal *j, const char *line)
{
	struct plan_names *n = &j->names;
	char a[ADDR_STRLEN], b[ADDR_STRLEN];

	if (sscanf(line, "names %u %u %u %u %15s %31s %45s %45s %1023[^\n]", &n->mark,
		   &n->table, &n->prio, &n->prio_main, n->tun, n->nft, a, b,
		   n->resolv_conf) != 9)
		return -EBADMSG;
	return n->resolv_conf[0] != '/' || addr_parse(a, &n->service4) ||
	       addr_parse(b, &n->service6) ? -EBADMSG : 0;
}

static int read_rec(struct journal *j, const char *line)
{
	char p[PREFIX_STRLEN], a[ADDR_STRLEN], path[sizeof(((struct plan_item *)0)->path)];
	unsigned int seq, kind, stage, family, sport, dport, value, old;
	struct journal_rec *r;

	if (sscanf(line, "+ %u %u %u %u %u %u %u %u %49s %45s %63[^\n]", &seq, &kind, &stage,
		   &family, &sport, &dport, &value, &old, p, a, path) != 11 ||
	    kind >= PLAN_KINDS || stage > PLAN_TUNNEL || family > 6 || sport > 65535 ||
	    dport > 65535)
		return -EBADMSG;
	r = new_rec(j);
	if (!r)
		return -ENOMEM;
	r->seq = seq;
	r->old = old;
	r->item = (struct plan_item){ .kind = (uint8_t)kind, .stage = (uint8_t)stage,
		.family = (uint8_t)family, .sport = (uint16_t)sport,
		.dport = (uint16_t)dport, .value = value };
	if ((p[0] != '-' && prefix_parse(p, &r->item.prefix)) ||
	    (a[0] != '-' && addr_parse(a, &r->item.from)))
		return -EBADMSG;
	if (strcmp(path, "-"))
		memcpy(r->item.path, path, sizeof(path));
	if (kind == PLAN_SYSCTL && (strncmp(path, "net/", 4) || strstr(path, "..")))
		return -EBADMSG;
	if (seq >= j->next)
		j->next = seq + 1;
	return 0;
}

static void set_mark(struct journal *j, struct journal_rec *r, char mark)
{
	r->done |= mark == '=';
	r->undoing |= mark == '!';
	j->n_gone += mark == '-' && !r->gone;
	r->gone |= mark == '-';
}

static int read_mark(struct journal *j, const char *line, size_t *hint)
{
	unsigned int seq;
	char mark;

	if (sscanf(line, "%c %u", &mark, &seq) != 2)
		return -EBADMSG;
	/* marks come in some order, mostly that of the records or its reverse */
	for (size_t k = 0; k < j->n; k++) {
		size_t at = (*hint + j->n - k) % j->n;

		if (j->recs[at].seq == seq) {
			set_mark(j, &j->recs[at], mark);
			*hint = at;
			return 0;
		}
	}
	return -EBADMSG;
}

static int read_lines(struct journal *j, char *text)
{
	char boot[BOOT_LEN], line[64], *s = text, *end;
	size_t hint = 0;
	int err = 0;

	boot_id(boot);
	snprintf(line, sizeof(line), "boot %s", boot);
	for (size_t n = 0; !err && (end = strchr(s, '\n')); n++, s = end + 1) {
		*end = '\0';
		j->size = (size_t)(end + 1 - text);
		if (n == 0)
			err = strcmp(s, MAGIC_LINE) ? -EBADMSG : 0;
		else if (n == 1)
			j->same_boot = !strcmp(s, line);
		else if (n == 2)
			err = read_names(j, s);
		else if (*s == '+')
			err = read_rec(j, s);
		else if (*s == '=' || *s == '!' || *s == '-')
			err = read_mark(j, s, &hint);
		else
			err = -EBADMSG;
	}
	return err;
}

static int read_file(struct journal *j)
{
	struct stat st;
	char *text;
	size_t got = 0;
	ssize_t n = 1;
	int err;

	if (fstat(j->fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return -EBADMSG;
	if ((st.st_uid && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;		/* whose words are these? */
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while (got < (size_t)st.st_size && n > 0) {
		n = pread(j->fd, text + got, (size_t)st.st_size - got, (off_t)got);
		got += n > 0 ? (size_t)n : 0;
	}
	text[got] = '\0';
	err = n < 0 ? -EIO : read_lines(j, text);
	free(text);
	return err;
}

static struct journal *journal_new(int dir, const char *stem)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (j) {
		j->dir = dir;
		j->fd = -1;
		snprintf(j->stem, sizeof(j->stem), "%s", stem);
	}
	return j;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	free(j->recs);
	free(j);
}

int journal_open(struct journal **out, int dir, const char *stem, bool take)
{
	struct journal *j = journal_new(dir, stem);
	char name[64];
	int err;

	if (!j)
		return -ENOMEM;
	err = file_name(name, sizeof(name), stem, SUFFIX);
	if (!err) {
		j->fd = openat(dir, name, (take ? O_RDWR | O_APPEND : O_RDONLY) | O_NOFOLLOW |
			       O_CLOEXEC);
		err = j->fd < 0 ? -errno : 0;
	}
	if (!err && take && flock(j->fd, LOCK_EX | LOCK_NB))
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (!err)
		err = read_file(j);
	/* what a crash tore is cut off before anything is appended */
	if (!err && take && ftruncate(j->fd, (off_t)j->size))
		err = -errno;
	if (err)
		journal_close(j);
	else
		*out = j;
	return err;
}

/* ---- writing ---------------------------------------------------------------------- */

static int create_file(struct journal *j, const char *name)
{
	int err;

	j->fd = openat(j->dir, name, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW |
		       O_CLOEXEC, 0600);
	if (j->fd < 0)
		return -errno;
	j->size = 0;
	err = flock(j->fd, LOCK_EX | LOCK_NB) ? -errno : write_head(j);
	for (size_t n = 0; !err && n < j->n; n++)
		if (!j->recs[n].gone)
			err = write_rec(j, &j->recs[n]);
	if (!err && fsync(j->fd))
		err = -errno;
	return err;
}

int journal_create(struct journal **out, int dir, const char *stem,
		   const struct plan_names *names)
{
	struct journal *j = journal_new(dir, stem);
	char name[64];
	int err;

	if (!j)
		return -ENOMEM;
	j->names = *names;
	j->same_boot = true;
	err = file_name(name, sizeof(name), stem, SUFFIX);
	if (!err)
		err = create_file(j, name);
	if (!err && fsync(dir))
		err = -errno;
	if (err) {
		if (j->fd >= 0)
			unlinkat(dir, name, 0);
		journal_close(j);
		return err;
	}
	*out = j;
	return 0;
}

int journal_add(struct journal *j, const struct plan_item *item, uint32_t old)
{
	struct journal_rec *r = new_rec(j);
	int err;

	if (!r)
		return -ENOMEM;
	r->item = *item;
	r->item.from_sentry = false;
	r->old = old;
	r->seq = j->next++;
	err = write_rec(j, r);
	if (err) {
		j->n--;
		return err;
	}
	return (int)(j->n - 1);
}

int journal_sync(struct journal *j)
{
	return fdatasync(j->fd) ? -errno : 0;
}

int journal_mark(struct journal *j, size_t index, char mark)
{
	char line[24];
	int len = snprintf(line, sizeof(line), "%c %u\n", mark, j->recs[index].seq);

	set_mark(j, &j->recs[index], mark);
	return write_line(j, line, (size_t)len);
}

int journal_compact(struct journal *j)
{
	char name[64], tmp[64];
	int old = j->fd, err;
	size_t size = j->size, n = 0;

	if (file_name(name, sizeof(name), j->stem, SUFFIX) ||
	    file_name(tmp, sizeof(tmp), j->stem, ".tmp"))
		return -ENAMETOOLONG;
	unlinkat(j->dir, tmp, 0);
	err = create_file(j, tmp);
	if (!err && renameat(j->dir, tmp, j->dir, name))
		err = -errno;
	if (err) {
		if (j->fd >= 0)
			close(j->fd);
		unlinkat(j->dir, tmp, 0);
		j->fd = old;
		j->size = size;
		return err;
	}
	close(old);
	for (size_t k = 0; k < j->n; k++)
		if (!j->recs[k].gone)
			j->recs[n++] = j->recs[k];
	j->n = n;
	j->n_gone = 0;
	return fsync(j->dir) ? -errno : 0;
}

int journal_remove(struct journal *j)
{
	char name[64];

	if (file_name(name, sizeof(name), j->stem, SUFFIX))
		return -ENAMETOOLONG;
	if (unlinkat(j->dir, name, 0) && errno != ENOENT)
		return -errno;
	/* what a crash left while rewriting it */
	if (!file_name(name, sizeof(name), j->stem, ".tmp"))
		(void)unlinkat(j->dir, name, 0);
	return fsync(j->dir) ? -errno : 0;
}

int journal_list(int dir, char stems[][33], size_t max)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	size_t n = 0;

	if (!d) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return err;
	}
	while (n < max && (e = readdir(d))) {
		size_t len = strlen(e->d_name), tail = strlen(SUFFIX);

		if (len <= tail || len - tail >= sizeof(stems[0]) ||
		    strcmp(e->d_name + len - tail, SUFFIX))
			continue;
		memcpy(stems[n], e->d_name, len - tail);
		stems[n++][len - tail] = '\0';
	}
	closedir(d);
	return (int)n;
}

int journal_find(const struct journal *j, const struct plan_item *item, size_t from)
{
	for (size_t k = 0; k < j->n; k++) {
		size_t at = (from + k) % j->n;

		if (!j->recs[at].gone && plan_item_same(&j->recs[at].item, item))
			return (int)at;
	}
	return -ENOENT;
}
