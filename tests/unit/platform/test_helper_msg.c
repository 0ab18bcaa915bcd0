/* SPDX-License-Identifier: MIT */
/* Each field of each message is judged; descriptors of a bad message do not leak. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/helper_msg.h"
#include "platform/sock.h"

static int pair[2];

static void setup(void)
{
	ck_assert(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}

static void teardown(void)
{
	close(pair[0]);
	close(pair[1]);
}

static struct helper_msg message(int type, unsigned int n_fds)
{
	return (struct helper_msg){ .magic = HELPER_MAGIC, .type = (uint16_t)type,
				    .n_fds = (uint16_t)n_fds };
}

static struct ipaddr A(const char *text)
{
	struct ipaddr a;

	ck_assert_msg(!addr_parse(text, &a), "%s", text);
	return a;
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

#define GOOD(m, dir) ck_assert_int_eq(helper_msg_check(&(m), dir), 0)
#define BAD(m, dir) ck_assert_int_eq(helper_msg_check(&(m), dir), -EBADMSG)
/* One field of a copy is @value: refused. */
#define BAD_WITH(m, dir, field, value) do { \
	struct helper_msg with = (m); \
	with.field = (value); \
	BAD(with, dir); \
} while (0)

START_TEST(judges_the_head)
{
	struct helper_msg m = message(HELPER_DIAL, 0);
	int type;

	GOOD(m, false);
	BAD_WITH(m, false, magic, HELPER_MAGIC + 1);
	BAD_WITH(m, false, n_fds, 1);
	BAD_WITH(m, false, n_fds, HELPER_MAX_FDS + 1);
	for (type = 0; type < 70; type++) {	/* direction, and nothing unknown */
		m = message(type, 0);
		if (type < HELPER_FILE || (type > HELPER_LOG_END && type < HELPER_WANT_SOCKETS) ||
		    type > HELPER_USAGE) {
			BAD(m, false);
			BAD(m, true);
		} else if (type >= HELPER_WANT_SOCKETS) {
			BAD(m, false);
		} else {
			BAD(m, true);
		}
	}
}
END_TEST

START_TEST(judges_reloads)
{
	struct helper_msg m = message(HELPER_RELOAD, 0);

	GOOD(m, false);
	BAD(m, true);
	BAD_WITH(m, false, n_fds, 1);
	BAD_WITH(m, false, u.reload.flags, RELOAD_CANCEL << 1);
	BAD_WITH(m, false, u.reload.flags, RELOAD_CANCEL | RELOAD_SESSION);
	BAD_WITH(m, false, u.reload.limit_ms, RELOAD_LIMIT_MS + 1);
	m.u.reload.flags = RELOAD_SESSION;
	m.u.reload.limit_ms = RELOAD_LIMIT_MS;
	GOOD(m, false);
	BAD_WITH(m, false, u.reload.flags, RELOAD_CANCEL);
	m.u.reload.flags = RELOAD_CANCEL;
	m.u.reload.limit_ms = 0;
	GOOD(m, false);

	m = message(HELPER_RELOADED, 0);
	GOOD(m, true);
	BAD(m, false);
	BAD_WITH(m, true, n_fds, 1);
	BAD_WITH(m, true, u.reloaded.error, 1);
	m.u.reloaded.error = -EINVAL;
	strcpy(m.u.reloaded.text, "the profile is not sound");
	GOOD(m, true);
	BAD_WITH(m, true, u.reloaded.text[3], '\n');
	memset(m.u.reloaded.text, 'x', sizeof(m.u.reloaded.text));
	BAD(m, true);
}
END_TEST

START_TEST(judges_usage)
{
	struct helper_msg m = message(HELPER_USAGE, 0);

	memset(&m.u.usage, 0xff, sizeof(m.u.usage));
	GOOD(m, true);
	BAD(m, false);
	BAD_WITH(m, true, n_fds, 1);
}
END_TEST

START_TEST(judges_files)
{
	struct helper_msg m = message(HELPER_FILE, 1);

	m.u.file.file = HELPER_FILE_KEY;
	GOOD(m, false);
	BAD_WITH(m, false, n_fds, 0);
	BAD_WITH(m, false, n_fds, 2);
	BAD_WITH(m, false, u.file.file, 0);
	BAD_WITH(m, false, u.file.file, HELPER_FILE_NOTES + 1);
	BAD_WITH(m, false, u.file.index, 1);
	m.u.file.file = HELPER_FILE_PIN;
	m.u.file.index = PROFILE_MAX_PINS - 1;
	GOOD(m, false);
	BAD_WITH(m, false, u.file.index, PROFILE_MAX_PINS);
}
END_TEST

START_TEST(judges_start_and_applied)
{
	struct helper_msg m = message(HELPER_START, 0);

	m.u.start.service4 = A("198.18.53.53");
	strcpy(m.u.start.tun, "atp0");
	GOOD(m, false);
	BAD_WITH(m, false, u.start.service4.family, 5);
	BAD_WITH(m, false, u.start.service4.bytes[4], 1);
	BAD_WITH(m, false, u.start.service6.bytes[0], 1);
	BAD_WITH(m, false, u.start.tun[1], '/');
	memset(m.u.start.tun, 'a', sizeof(m.u.start.tun));
	BAD(m, false);

	m = message(HELPER_APPLIED, 1);
	m.u.applied.with_tun = 1;
	GOOD(m, false);
	BAD_WITH(m, false, u.applied.with_tun, 0);
	BAD_WITH(m, false, u.applied.with_tun, 2);
	BAD_WITH(m, false, u.applied.error, -EIO);
	BAD_WITH(m, false, u.applied.has_usable_gso, 2);
	m = message(HELPER_APPLIED, 0);
	m.u.applied.error = -EIO;
	GOOD(m, false);
	BAD_WITH(m, false, u.applied.error, 1);
}
END_TEST

START_TEST(judges_sockets)
{
	struct helper_msg m = message(HELPER_WANT_SOCKETS, 0);

	m.u.sockets.kind = HELPER_SOCK_UDP;
	m.u.sockets.family = 6;
	m.u.sockets.count = HELPER_MAX_FDS;
	GOOD(m, true);
	BAD_WITH(m, true, u.sockets.count, 0);
	BAD_WITH(m, true, u.sockets.count, HELPER_MAX_FDS + 1);
	BAD_WITH(m, true, u.sockets.kind, 2);
	BAD_WITH(m, true, u.sockets.family, 0);
	BAD_WITH(m, true, n_fds, 1);
	m = message(HELPER_SOCKETS, 3);
	m.u.sockets.family = 4;
	m.u.sockets.count = 3;
	GOOD(m, false);
	BAD_WITH(m, false, n_fds, 2);
	m = message(HELPER_SOCKETS, 0);		/* none this time */
	m.u.sockets.family = 4;
	GOOD(m, false);
}
END_TEST

START_TEST(judges_offers)
{
	struct helper_msg m = message(HELPER_OFFER, 0);
	struct plan_offer *o = &m.u.offer;
	static const char *const names[] = { "", "a b", "$(x)", "a;b", "-a", ".a", "a\n", "\xc3\xa4",
					     "a/b", "a`b" };
	size_t i;

	o->addr4 = A("172.28.13.2");
	o->addr6 = A("fd00::2");
	o->mtu = 1280;
	o->n_resolvers = 2;
	o->resolvers[0] = A("10.0.0.53");
	o->resolvers[1] = A("fd00::53");
	o->n_search = 1;
	strcpy(o->search[0], "corp-1.exam_ple");
	GOOD(m, true);
	BAD_WITH(m, true, n_fds, 1);
	BAD_WITH(m, true, u.offer.mtu, 1279);
	BAD_WITH(m, true, u.offer.addr4.family, 6);
	BAD_WITH(m, true, u.offer.addr6.family, 4);
	BAD_WITH(m, true, u.offer.addr4.bytes[15], 1);
	BAD_WITH(m, true, u.offer.n_resolvers, PROFILE_MAX_RESOLVERS + 1);
	BAD_WITH(m, true, u.offer.n_resolvers, 3);	/* the third is none */
	BAD_WITH(m, true, u.offer.n_search, PROFILE_MAX_SEARCH + 1);
	BAD_WITH(m, true, u.offer.n_search, UINT32_MAX);
	BAD_WITH(m, true, u.offer.resolvers[0].family, 0);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		strcpy(o->search[0], names[i]);
		BAD(m, true);
	}
	memset(o->search[0], 'a', sizeof(o->search[0]));	/* not terminated */
	BAD(m, true);
}
END_TEST

START_TEST(judges_states)
{
	struct helper_msg m = message(HELPER_STATE, 0);

	m.u.state.state = SESSION_FAILED;
	m.u.state.exit = 17;
	m.u.state.attempts_over = 1;
	strcpy(m.u.state.text, "printable ~");
	GOOD(m, true);
	BAD_WITH(m, true, u.state.state, SESSION_STATES);
	BAD_WITH(m, true, u.state.exit, 18);
	BAD_WITH(m, true, u.state.attempts_over, 2);
	BAD_WITH(m, true, u.state.text[3], '\n');
	BAD_WITH(m, true, u.state.text[3], '\x1b');
	BAD_WITH(m, true, u.state.text[3], '\x7f');
	BAD_WITH(m, true, u.state.text[3], (char)0x9b);
	memset(m.u.state.text, 'a', sizeof(m.u.state.text));
	BAD(m, true);
}
END_TEST

START_TEST(carries_descriptors)
{
	struct helper_msg m = message(HELPER_SOCKETS, 0), got;
	int fds[HELPER_MAX_FDS], in[HELPER_MAX_FDS], i;
	unsigned int before;

	for (i = 0; i < HELPER_MAX_FDS; i++)
		fds[i] = dup(pair[0]);
	m.u.sockets.family = 4;
	m.u.sockets.count = HELPER_MAX_FDS;
	before = open_fds();
	ck_assert_int_eq(helper_recv(pair[1], &got, in), -EAGAIN);
	ck_assert_int_eq(helper_send(pair[0], &m, fds, HELPER_MAX_FDS), 0);
	ck_assert_int_eq(helper_recv(pair[1], &got, in), 1);
	ck_assert_int_eq(got.n_fds, HELPER_MAX_FDS);
	ck_assert_uint_eq(open_fds(), before + HELPER_MAX_FDS);
	for (i = 0; i < HELPER_MAX_FDS; i++) {
		ck_assert_int_eq(fcntl(in[i], F_GETFD), FD_CLOEXEC);
		close(in[i]);
		close(fds[i]);
	}
	ck_assert_int_eq(helper_send(pair[0], &m, fds, HELPER_MAX_FDS + 1), -EINVAL);
	close(pair[0]);
	ck_assert_int_eq(helper_recv(pair[1], &got, in), 0);
	ck_assert_int_eq(helper_send(pair[1], &m, NULL, 0), -EPIPE);
	pair[0] = dup(pair[1]);
}
END_TEST

/* Raw bytes with one descriptor beside them. */
static void send_raw(const void *data, size_t len)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf,
			     .msg_controllen = sizeof(c.buf) };

	c.align.cmsg_level = SOL_SOCKET;
	c.align.cmsg_type = SCM_RIGHTS;
	c.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&c.align), &pair[0], sizeof(int));
	ck_assert_int_eq(sendmsg(pair[0], &mh, 0), (int)len);
}

START_TEST(closes_descriptors_of_bad_messages)
{
	char big[sizeof(struct helper_msg) + 1] = { 0 };
	struct helper_msg m, got;
	int in[HELPER_MAX_FDS];
	unsigned int before = open_fds();

	m = message(HELPER_FILE, 1);
	m.u.file.file = 99;
	send_raw(&m, sizeof(m));		/* a bad field */
	ck_assert_int_eq(helper_recv(pair[1], &got, in), -EBADMSG);
	m.u.file.file = HELPER_FILE_KEY;
	send_raw(&m, sizeof(m) - 1);		/* too short */
	ck_assert_int_eq(helper_recv(pair[1], &got, in), -EBADMSG);
	memcpy(big, &m, sizeof(m));
	send_raw(big, sizeof(big));		/* too long */
	ck_assert_int_eq(helper_recv(pair[1], &got, in), -EBADMSG);
	m = message(HELPER_DIAL, 0);
	send_raw(&m, sizeof(m));		/* more descriptors than it says */
	ck_assert_int_eq(helper_recv(pair[1], &got, in), -EBADMSG);
	send_raw("x", 1);
	ck_assert_int_eq(helper_recv(pair[1], &got, in), -EBADMSG);
	ck_assert_uint_eq(open_fds(), before);
	m = message(HELPER_FILE, 1);
	m.u.file.file = HELPER_FILE_KEY;
	send_raw(&m, sizeof(m));		/* and a good one still passes */
	ck_assert_int_eq(helper_recv(pair[1], &got, in), 1);
	close(in[0]);
}
END_TEST

/* The daemon's side of the stock: answer the request that stands in the pair. */
static void answer(struct sock_stock *s, unsigned int count)
{
	struct helper_msg m;
	int fds[HELPER_MAX_FDS];
	unsigned int i;

	ck_assert_int_eq(helper_recv(pair[1], &m, fds), 1);
	ck_assert_int_eq(m.type, HELPER_WANT_SOCKETS);
	ck_assert_uint_ge(m.u.sockets.count, count);
	for (i = 0; i < count; i++)
		fds[i] = dup(pair[1]);
	m.n_fds = (uint16_t)count;
	sock_put(s, &m, fds);
}

START_TEST(keeps_a_stock)
{
	unsigned int before = open_fds(), i;
	struct sock_stock s;
	struct helper_msg m;
	int fds[HELPER_MAX_FDS], fd;

	sock_stock_init(&s, pair[0]);
	ck_assert_int_eq(sock_take(&s, HELPER_SOCK_TCP, 6), -EAGAIN);
	ck_assert_int_eq(sock_take(&s, HELPER_SOCK_TCP, 6), -EAGAIN);	/* asks once */
	answer(&s, SOCK_STOCK);
	ck_assert_int_eq(helper_recv(pair[1], &m, fds), -EAGAIN);
	for (i = 0; i < SOCK_STOCK; i++) {
		fd = sock_take(&s, HELPER_SOCK_TCP, 6);
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
	ck_assert_uint_eq(s.got, SOCK_STOCK);
	ck_assert_uint_eq(s.empty, 2);
	ck_assert_int_eq(sock_take(&s, HELPER_SOCK_TCP, 4), -EAGAIN);	/* its own shelf */
	answer(&s, 0);		/* the refill of IPv6: none this time ... */
	answer(&s, 1);		/* one for IPv4 */
	ck_assert_int_eq(sock_take(&s, HELPER_SOCK_TCP, 6), -EAGAIN);	/* ... so asked again */
	answer(&s, 20);
	sock_stock_free(&s);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(closes_what_has_no_room)
{
	struct helper_msg m = message(HELPER_SOCKETS, 20);
	unsigned int before = open_fds(), round;
	struct sock_stock s;
	int fds[HELPER_MAX_FDS], i;

	sock_stock_init(&s, pair[0]);
	m.u.sockets.kind = HELPER_SOCK_UDP;
	m.u.sockets.family = 4;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 20; i++)
			fds[i] = dup(pair[1]);
		sock_put(&s, &m, fds);
	}
	ck_assert_uint_eq(open_fds(), before + SOCK_STOCK);
	sock_stock_free(&s);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("helper_msg");
	TCase *t = tcase_create("helper_msg");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, judges_the_head);
	tcase_add_test(t, judges_files);
	tcase_add_test(t, judges_reloads);
	tcase_add_test(t, judges_usage);
	tcase_add_test(t, judges_start_and_applied);
	tcase_add_test(t, judges_sockets);
	tcase_add_test(t, judges_offers);
	tcase_add_test(t, judges_states);
	tcase_add_test(t, carries_descriptors);
	tcase_add_test(t, closes_descriptors_of_bad_messages);
	tcase_add_test(t, keeps_a_stock);
	tcase_add_test(t, closes_what_has_no_room);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
