/* SPDX-License-Identifier: MIT */
/* log.c - see log.h: one line is made once, for the ring, stderr and the debug log */
#include "client/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum profile_log_level log_level = LOG_LVL_INFO;
static enum profile_log_level chosen = LOG_LVL_INFO;	/* without a debug log */
static int log_fd = -1;
static uint64_t log_fd_at;	/* what of the ring a file has had */

/*
 * The ring holds whole lines, each ended by LF; positions only grow, so a
 * reader notices by arithmetic that it was overtaken.
 */
static char ring[LOG_RING_SIZE];
static uint64_t ring_head;	/* next byte to write */
static uint64_t ring_tail;	/* first byte of the oldest whole line */

static const char *const level_names[] = {
	[LOG_LVL_ERROR] = "error", [LOG_LVL_WARNING] = "warning", [LOG_LVL_INFO] = "info",
	[LOG_LVL_DEBUG] = "debug", [LOG_LVL_SESSION] = "session", [LOG_LVL_PACKET] = "packet",
};

const char *log_level_name(enum profile_log_level level)
{
	return level_names[level];
}

char *log_printable(const char *text, size_t len, char *buf, size_t size)
{
	size_t i;

	for (i = 0; i < len && i + 1 < size && text[i]; i++)
		buf[i] = text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?';
	if (size)
		buf[i] = '\0';
	return buf;
}

static void ring_put(const char *line, size_t len)
{
	size_t i;

	while (ring_head + len - ring_tail > LOG_RING_SIZE) {	/* drop the oldest lines */
		while (ring[ring_tail++ % LOG_RING_SIZE] != '\n')
			;
	}
	for (i = 0; i < len; i++)
		ring[ring_head++ % LOG_RING_SIZE] = line[i];
}

uint64_t log_oldest(void)
{
	return ring_tail;
}

size_t log_read(uint64_t *cursor, char *line, size_t size)
{
	size_t n = 0;

	if (*cursor < ring_tail)
		*cursor = ring_tail;
	if (*cursor >= ring_head)
		return 0;
	for (;;) {
		char c = ring[(*cursor)++ % LOG_RING_SIZE];

		if (c == '\n')
			break;
		if (n + 1 < size)
			line[n++] = c;
	}
	line[n] = '\0';
	return n;
}

/* A file that takes no more (full disk, its limit) misses lines; the ring has them. */
static void file_follow(void)
{
	char line[LOG_LINE_MAX + 1];
	size_t n;

	while (log_fd >= 0 && (n = log_read(&log_fd_at, line, LOG_LINE_MAX))) {
		line[n++] = '\n';
		if (write(log_fd, line, n) < 0)
			return;
	}
}

static void level_follow(void)
{
	log_level = log_fd >= 0 && chosen < LOG_LVL_DEBUG ? LOG_LVL_DEBUG : chosen;
}

bool log_set_level(enum profile_log_level level)
{
	bool other = chosen != level;

	chosen = level;
	level_follow();
	return other;
}

void log_set_file(int fd)
{
	if (log_fd >= 0)
		close(log_fd);
	log_fd = fd;
	level_follow();
	file_follow();
}

/* A site that says the same thing a thousand times a second must not drown the rest. */
static bool site_may_speak(struct log_site *site, uint64_t second, uint32_t *kept_back)
{
	*kept_back = 0;
	if (!site)
		return true;
	if (site->second != second) {
		*kept_back = site->kept_back;
		*site = (struct log_site){ .second = second };
	}
	if (site->said >= LOG_SITE_RATE) {
		site->kept_back++;
		return false;
	}
	site->said++;
	return true;
}

void log_event(struct log_site *site, enum profile_log_level level, const char *code,
	       const char *fmt, ...)
{
	char line[LOG_LINE_MAX], stamp[32];
	uint32_t kept_back;
	struct timespec ts;
	struct tm tm;
	va_list ap;
	int n, m;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (!site_may_speak(site, (uint64_t)ts.tv_sec, &kept_back))
		return;
	gmtime_r(&ts.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line, sizeof(line), "%s.%03ldZ %s %s: ", stamp, ts.tv_nsec / 1000000,
		     level_names[level], code);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	n += m < 0 ? 0 : m;
	if (n >= (int)sizeof(line) - 1)
		n = sizeof(line) - 2;
	/* what came from a peer may hold anything: keep a line a line */
	for (m = 0; m < n; m++) {
		if ((unsigned char)line[m] < 0x20 || (unsigned char)line[m] == 0x7f)
			line[m] = '?';
	}
	if (kept_back && n < (int)sizeof(line) - 40)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " (%u more were kept back)",
			      kept_back);
	line[n++] = '\n';
	ring_put(line, (size_t)n);
	file_follow();
	if (level <= LOG_LVL_INFO && write(STDERR_FILENO, line, (size_t)n) < 0)
		return;	/* nobody reads stderr: the ring has it */
}
