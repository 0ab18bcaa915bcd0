/* SPDX-License-Identifier: MIT */
/*
 * drive_apply - applies real plans to the kernel of its namespace, for
 * tests/net/plan-apply.sh.  Not a unit test: it needs root.
 *
 *	drive_apply STATE_DIR RESOLV_CONF [SETTING...] -- COMMAND...
 *
 * Settings: route=PREFIX exc=PREFIX addr=ADDRESS mtu=N search=NAME stem=NAME
 * engine=N lock=off inbound=off ipv6=direct vnet=off
 * Commands: lock tunnel readdress=ADDRESS restart undo cleanup sweep snapshot
 * hold (close standard output, wait for its input to end) die (SIGKILL)
 * Ends with the first error as exit code (the errno); lines go to stdout.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/apply.h"
#include "profiles/profile.h"

static struct profile profile;
static struct plan_offer offer;
static struct plan_names names;
static int tun = -1;

static void say(void *arg, const char *line)
{
	(void)arg;
	puts(line);
	fflush(stdout);
}

static int set(const char *word)
{
	const char *v = strchr(word, '=');
	struct ipaddr a;

	if (!v++)
		return -EINVAL;
	if (!strncmp(word, "route=", 6))
		return prefix_parse(v, &profile.routes[profile.n_routes++]);
	if (!strncmp(word, "exc=", 4))
		return prefix_parse(v, &profile.excluded[profile.n_excluded++]);
	if (!strncmp(word, "addr=", 5)) {
		if (addr_parse(v, &a))
			return -EINVAL;
		*(a.family == 4 ? &offer.addr4 : &offer.addr6) = a;
	} else if (!strncmp(word, "mtu=", 4)) {
		offer.mtu = (uint16_t)strtoul(v, NULL, 10);
	} else if (!strncmp(word, "search=", 7)) {
		snprintf(offer.search[offer.n_search++], PROFILE_NAME_MAX, "%s", v);
	} else if (!strncmp(word, "stem=", 5)) {
		snprintf(profile.stem, sizeof(profile.stem), "%s", v);
	} else if (!strncmp(word, "engine=", 7)) {
		struct plan_names n = names;

		plan_names_default(&names, (unsigned int)strtoul(v, NULL, 10));
		memcpy(names.resolv_conf, n.resolv_conf, sizeof(n.resolv_conf));
	} else if (!strcmp(word, "lock=off")) {
		profile.lock_mode = LOCK_OFF;
	} else if (!strcmp(word, "inbound=off")) {
		profile.allow_inbound = 0;
	} else if (!strcmp(word, "ipv6=direct")) {
		profile.lock_ipv6 = LOCK_IPV6_DIRECT;
	} else if (!strcmp(word, "vnet=off")) {
		names.no_vnet_hdr = true;
	} else {
		return -EINVAL;
	}
	return 0;
}

static int do_tunnel(struct apply *a, char *why, size_t size)
{
	struct plan plan;
	bool vnet = false;
	int fd, err;

	err = plan_build(&plan, &profile, &offer, &names);
	if (err)
		return err;
	err = apply_tunnel(a, &plan, &fd, &vnet, why, size);
	if (!err && fd >= 0) {
		tun = fd;
		printf("vnet_hdr %d\n", vnet);
	}
	plan_free(&plan);
	return err;
}

static int do_lock(struct apply *a, char *why, size_t size)
{
	struct plan plan;
	int err = plan_build(&plan, &profile, NULL, &names);

	if (err)
		return err;
	err = apply_lock(a, &plan, why, size);
	plan_free(&plan);
	return err;
}

static int do_snapshot(struct apply *a)
{
	char buf[4096];
	int fd = apply_resolv_snapshot(a, names.resolv_conf);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, buf, sizeof(buf) - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
	printf("snapshot: %s", buf);
	return close(fd);
}

static int command(struct apply *a, const char *state, const char *c, char *why, size_t size)
{
	char buf[64];
	int n;

	if (!strcmp(c, "lock"))
		return do_lock(a, why, size);
	if (!strcmp(c, "tunnel"))
		return do_tunnel(a, why, size);
	if (!strncmp(c, "readdress=", 10)) {
		(void)addr_parse(c + 10, &offer.addr4);
		return do_tunnel(a, why, size);
	}
	if (!strcmp(c, "restart")) {
		close(tun);
		return apply_restart(a);
	}
	if (!strcmp(c, "undo")) {
		close(tun);
		return apply_undo(a, why, size);
	}
	if (!strcmp(c, "cleanup")) {
		n = apply_cleanup(&sys_linux, NULL, state, say, NULL);
		printf("cleaned %d\n", n);
		return n < 0 ? n : 0;
	}
	if (!strcmp(c, "sweep")) {
		n = apply_inbound_sweep(a);
		printf("held %d\n", n);
		return n < 0 ? n : 0;
	}
	if (!strcmp(c, "snapshot"))
		return do_snapshot(a);
	if (!strcmp(c, "hold")) {
		puts("holding");
		fflush(stdout);
		while (read(STDIN_FILENO, buf, sizeof(buf)) > 0 && buf[0] != '\n')
			;
		return 0;
	}
	if (!strcmp(c, "die"))
		return raise(SIGKILL);
	return -EINVAL;
}

int main(int argc, char **argv)
{
	char why[4096] = "";
	struct apply *a;
	int i, err = 0;

	if (argc < 3)
		return 2;
	snprintf(profile.stem, sizeof(profile.stem), "corp");
	profile.mtu = 1400;
	profile.allow_inbound = 1;
	profile.backend = BACKEND_AUTO;
	plan_names_default(&names, 0);
	snprintf(names.resolv_conf, sizeof(names.resolv_conf), "%s", argv[2]);
	for (i = 3; !err && i < argc && strcmp(argv[i], "--"); i++)
		err = set(argv[i]);
	if (err) {
		fprintf(stderr, "bad setting %s\n", argv[i - 1]);
		return 2;
	}
	a = apply_new(&sys_linux, NULL, argv[1], profile.stem, say, NULL);
	if (!a)
		return 2;
	for (i++; !err && i < argc; i++) {
		err = command(a, argv[1], argv[i], why, sizeof(why));
		if (err)
			fprintf(stderr, "%s: %s (%s)\n", argv[i], strerror(-err), why);
	}
	apply_free(a);
	return -err;
}
