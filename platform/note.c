/* SPDX-License-Identifier: MIT */
/*
 * note.c - what is wrong with a profile that came while nobody waited for the
 * answer: kept for `status`.  The engine answers that while it runs, so it gets
 * the lines, too.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/report.h"

static struct note *find(struct daemon *d, const char *stem)
{
	for (int i = 0; i < DAEMON_NOTES; i++) {
		if (!strcmp(d->notes[i].stem, stem))
			return &d->notes[i];
	}
	return NULL;
}

/* The one that was not looked at for longest makes room. */
static struct note *room(struct daemon *d)
{
	struct note *n = find(d, ""), *oldest = &d->notes[0];

	for (int i = 1; i < DAEMON_NOTES; i++)
		oldest = d->notes[i].at < oldest->at ? &d->notes[i] : oldest;
	return n ? n : oldest;
}

void note_tell(struct slot *s)
{
	char text[NOTE_TEXT_MAX];
	int fd, ro = -1;
	size_t len;

	if (s->phase != SLOT_RUNNING || !s->started)
		return;
	note_text(s->d, s->stem, text);
	len = strlen(text);
	fd = files_memory("notes");
	if (fd >= 0 && write(fd, text, len) == (ssize_t)len)
		ro = files_seal(fd);
	if (ro < 0 || engine_file(s, HELPER_FILE_NOTES, 0, ro) < 0)
		report(REPORT_WARNING, "note.unsaid", "%s", s->stem);
	if (ro >= 0)
		close(ro);
	if (fd >= 0)
		close(fd);
}

void note_set(struct daemon *d, const char *stem, const char *text)
{
	struct note *n = find(d, stem);
	struct slot *s = supervise_find(d, stem);
	size_t len = 0;

	if (!n)
		n = room(d);
	snprintf(n->stem, sizeof(n->stem), "%s", stem);
	n->at = d->now;
	/* whoever wrote it: nothing that a terminal or JSON takes for more than text */
	for (; text[len] && len < sizeof(n->text) - 2; len++) {
		unsigned char c = (unsigned char)text[len];

		n->text[len] = c == '\n' || (c >= 0x20 && c < 0x7f) ? (char)c : '?';
	}
	if (len && n->text[len - 1] != '\n')
		n->text[len++] = '\n';
	n->text[len] = '\0';
	if (s)
		note_tell(s);
}

void note_clear(struct daemon *d, const char *stem)
{
	struct note *n = find(d, stem);
	struct slot *s = supervise_find(d, stem);

	if (!n || !stem[0])
		return;
	memset(n, 0, sizeof(*n));
	if (s)
		note_tell(s);
}

void note_clear_file(struct daemon *d, const char *stem)
{
	/* that the one before came back is still so when the folder holds it, too */
	if (strstr(note_find(d, stem), NOTE_FILE))
		note_clear(d, stem);
}

void note_clear_files(struct daemon *d, const char *stem)
{
	if (strstr(note_find(d, stem), NOTE_FILES))
		note_clear(d, stem);
}

const char *note_find(const struct daemon *d, const char *stem)
{
	const struct note *n = stem[0] ? find((struct daemon *)(uintptr_t)d, stem) : NULL;

	return n ? n->text : "";
}

void note_text(const struct daemon *d, const char *stem, char text[NOTE_TEXT_MAX])
{
	snprintf(text, NOTE_TEXT_MAX, "%s%s%s", note_find(d, stem), d->inbox.blind,
		 d->inbox.blind[0] ? "\n" : "");
}
