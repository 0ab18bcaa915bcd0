/* SPDX-License-Identifier: MIT */
/*
 * ctl_apply.c - apptunnel profile apply | confirm | rollback: the bytes of a
 * profile go to the daemon beside the request, whoever could read them there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl.h"
#include "platform/control.h"

#define TEXT_MAX	(1u << 20)	/* bytes of a profile */
#define COPY		16384

static int bad(const char *verb, const char *why, const char *what)
{
	fprintf(stderr, "apptunnel profile %s: %s%s%s; `apptunnel profile --help` says more\n", verb,
		why, what ? ": " : "", what ? what : "");
	return CTL_USAGE;
}

static bool name_ok(const char *name)
{
	size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return len && len < sizeof(((struct control_request *)0)->profile) && !name[len];
}

/* The profile's name and kind of a path's last part. */
static bool name_of(const char *path, struct control_request *req)
{
	const char *base = strrchr(path, '/');
	size_t len;

	base = base ? base + 1 : path;
	len = strlen(base);
	if (len < 5 || len - 4 >= sizeof(req->profile) ||
	    (strcmp(base + len - 4, ".ini") && strcmp(base + len - 4, ".p7m")))
		return false;
	if (!strcmp(base + len - 4, ".p7m"))
		req->flags |= CONTROL_F_SIGNED;
	memcpy(req->profile, base, len - 4);
	return name_ok(req->profile);
}

/* tcp:HOST:PORT; an IPv6 address stands in brackets */
static bool ready_tcp(const char *text, struct control_request *req)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	unsigned long port;
	char *end;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return false;
	}
	if (!len || len >= sizeof(req->ready_host) || colon[1] < '0' || colon[1] > '9' ||
	    strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:") < len)
		return false;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port < 1 || port > 65535)
		return false;
	memset(req->ready_host, 0, sizeof(req->ready_host));
	memcpy(req->ready_host, text, len);
	req->ready_port = (uint16_t)port;
	return true;
}

static bool ready_list(char *list, struct control_request *req)
{
	char *one;

	while ((one = strsep(&list, ","))) {
		if (!strcmp(one, "tunnel"))
			req->ready |= CONTROL_READY_TUNNEL;
		else if (!strcmp(one, "dns"))
			req->ready |= CONTROL_READY_DNS;
		else if (!strncmp(one, "tcp:", 4) && !(req->ready & CONTROL_READY_TCP) &&
			 ready_tcp(one + 4, req))
			req->ready |= CONTROL_READY_TCP;
		else
			return false;
	}
	return true;
}

/* A copy in memory, which nobody changes while it is on its way. */
static int text_open(const char *path)
{
	/* not to wait for the writer of a FIFO, which is refused below */
	int from = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), to = -1, err = 0;
	char buf[COPY];
	struct stat st;
	size_t sum = 0;
	ssize_t n = 0;

	if (from < 0)
		return -errno;
	if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
		err = -EINVAL;
	if (!err) {
		to = memfd_create("profile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		err = to < 0 ? -errno : 0;
	}
	while (!err && (n = read(from, buf, sizeof(buf))) > 0) {
		sum += (size_t)n;
		err = sum > TEXT_MAX ? -EFBIG : write(to, buf, (size_t)n) != n ? -EIO : 0;
	}
	if (!err && (n < 0 || lseek(to, 0, SEEK_SET) < 0 ||
		     fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) < 0))
		err = -errno;
	close(from);
	if (err && to >= 0)
		close(to);
	return err ? err : to;
}

int ctl_profile_apply(const struct ctl_opts *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "confirm-within", required_argument, NULL, 'c' },
		{ "ready", required_argument, NULL, 'r' },
		{ "force", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 }
	};
	struct control_request req = { .magic = CONTROL_MAGIC, .verb = CONTROL_APPLY };
	int c, text, code;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			req.confirm_ms = ctl_seconds_ms(optarg, CONTROL_CONFIRM_MAX_MS);
			if (!req.confirm_ms)
				return bad("apply", "--confirm-within takes 1 to 86400 seconds", optarg);
			break;
		case 'r':
			if (!ready_list(optarg, &req))
				return bad("apply", "--ready takes tunnel, dns, tcp:HOST:PORT", NULL);
			break;
		case 'f':
			req.flags |= CONTROL_F_FORCE;
			break;
		default:
			return CTL_USAGE;
		}
	}
	if (optind + 1 != argc)
		return bad("apply", "takes one FILE", NULL);
	if (!name_of(argv[optind], &req))
		return bad("apply", "a profile's file is NAME.ini or NAME.p7m", argv[optind]);
	text = text_open(argv[optind]);
	if (text < 0) {
		fprintf(stderr, "apptunnel: %s: %s\n", argv[optind], text == -EFBIG ?
			"larger than 1 MiB" : text == -EINVAL ? "not a regular file" : strerror(-text));
		return text == -ENOENT ? CTL_NO_PROFILE : CTL_PROFILE;
	}
	code = ctl_request_with(o, &req, text);
	close(text);
	return code;
}

static int named(const struct ctl_opts *o, enum control_verb verb, int argc, char **argv)
{
	struct control_request req = { .magic = CONTROL_MAGIC, .verb = (uint8_t)verb };

	if (argc > 1) {
		if (!name_ok(argv[1]))
			return bad(argv[0], "not a profile's name", argv[1]);
		memcpy(req.profile, argv[1], strlen(argv[1]));
	}
	return ctl_request(o, &req);
}

int ctl_profile_confirm(const struct ctl_opts *o, int argc, char **argv)
{
	return named(o, CONTROL_CONFIRM, argc, argv);
}

int ctl_profile_rollback(const struct ctl_opts *o, int argc, char **argv)
{
	return named(o, CONTROL_ROLLBACK, argc, argv);
}
