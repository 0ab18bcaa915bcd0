/* SPDX-License-Identifier: MIT */
/*
 * What the filter refuses, asked by the system calls themselves: a scenario
 * that only sees none of them made would not notice that they are allowed.
 */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/engine.h"

#define DENIED(call)	do { \
		errno = 0; \
		if ((call) != -1 || errno != EPERM) { \
			fprintf(stderr, "not refused: %s: %d\n", #call, errno); \
			bad++; \
		} \
	} while (0)

#define ALLOWED(call)	do { \
		errno = 0; \
		if ((call) == -1 && errno == EPERM) { \
			fprintf(stderr, "refused: %s\n", #call); \
			bad++; \
		} \
	} while (0)

/* calls that would end or change this process if they were let through come with bad arguments */
static int denied(void)
{
	int bad = 0, pair[2];

	DENIED(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
	DENIED(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair));
	DENIED(syscall(SYS_accept, -1, NULL, NULL));
	DENIED(syscall(SYS_accept4, -1, NULL, NULL, 0));
	DENIED(syscall(SYS_listen, -1, 1));
	DENIED(syscall(SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0));
	DENIED(syscall(SYS_creat, "", 0));
	DENIED(syscall(SYS_open_by_handle_at, -1, NULL, 0));
	DENIED(syscall(SYS_memfd_create, NULL, ~0u));
	DENIED(syscall(SYS_execve, "/bin/true", NULL, NULL));
	DENIED(syscall(SYS_execveat, -1, "", NULL, NULL, 0));
	DENIED(syscall(SYS_fork));
	DENIED(syscall(SYS_vfork));
	DENIED(syscall(SYS_clone3, NULL, 0));
	DENIED(syscall(SYS_kill, 0, 0));
	DENIED(syscall(SYS_setuid, getuid()));
	DENIED(syscall(SYS_setns, -1, 0));
	DENIED(syscall(SYS_unshare, 0));
	DENIED(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL));
	DENIED(syscall(SYS_bpf, 0, NULL, 0));
	DENIED(syscall(SYS_io_uring_setup, 0, NULL));
	DENIED(syscall(SYS_pidfd_open, 1, 0));
	DENIED(syscall(SYS_pidfd_getfd, -1, 0, 0));
	DENIED(syscall(SYS_unlinkat, -1, "", 0));
	DENIED(syscall(SYS_process_vm_writev, 0, NULL, 0, NULL, 0, 0));
#ifndef __SANITIZE_ADDRESS__		/* for its leak check */
	DENIED(syscall(SYS_open, "/dev/null", O_RDONLY));
	DENIED(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY));
	DENIED(syscall(SYS_ptrace, ~0ul, 0, 0, 0));
	DENIED(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
	DENIED(syscall(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0));
	DENIED(ioctl(-1, TUNSETPERSIST, 1));
	DENIED(ioctl(-1, TUNSETOWNER, 0));
	DENIED(ioctl(-1, TUNSETIFF, NULL));
	DENIED(ioctl(-1, TUNSETCARRIER, NULL));
#endif
	return bad;
}

/* what the loop lives on; a rare path must not find its call missing */
static int allowed(void)
{
	struct epoll_event ev;
	struct iovec iov = { 0 };
	struct msghdr msg = { 0 };
	struct mmsghdr mmsg = { 0 };
	struct timespec ts = { 0 };
	struct stat st;
	char c = 0;
	int bad = 0, n;
	void *p;

	ALLOWED(read(-1, &c, 1));
	ALLOWED(write(-1, &c, 1));
	ALLOWED(readv(-1, &iov, 1));
	ALLOWED(writev(-1, &iov, 1));
	ALLOWED(pread(-1, &c, 1, 0));
	ALLOWED(recv(-1, &c, 1, 0));
	ALLOWED(send(-1, &c, 1, 0));
	ALLOWED(recvmsg(-1, &msg, 0));
	ALLOWED(sendmsg(-1, &msg, 0));
	ALLOWED(recvmmsg(-1, &mmsg, 1, 0, NULL));
	ALLOWED(sendmmsg(-1, &mmsg, 1, 0));
	ALLOWED(connect(-1, NULL, 0));
	ALLOWED(bind(-1, NULL, 0));
	ALLOWED(shutdown(-1, SHUT_RDWR));
	ALLOWED(getsockopt(-1, SOL_SOCKET, SO_ERROR, NULL, NULL));
	ALLOWED(setsockopt(-1, SOL_SOCKET, SO_SNDBUF, NULL, 0));
	ALLOWED(getsockname(-1, NULL, NULL));
	ALLOWED(getpeername(-1, NULL, NULL));
	ALLOWED(ioctl(-1, FIONREAD, &n));
	ALLOWED(epoll_ctl(-1, EPOLL_CTL_ADD, -1, &ev));
	ALLOWED(epoll_wait(-1, &ev, 1, 0));
	ALLOWED(poll(NULL, 0, 0));
	ALLOWED(fstat(-1, &st));
	ALLOWED(fcntl(-1, F_GETFL));
	ALLOWED(getrandom(&c, 1, GRND_NONBLOCK));
	ALLOWED(clock_gettime(CLOCK_MONOTONIC, &ts));
	ALLOWED(close(-1));
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || madvise(p, 1 << 20, MADV_DONTNEED) || munmap(p, 1 << 20)) {
		fprintf(stderr, "no memory\n");
		bad++;
	}
	return bad;
}

static void in_child(int (*ask)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(lockdown_apply() ? 100 : ask());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

START_TEST(refuses)
{
	in_child(denied);
}
END_TEST

START_TEST(lets_the_loop_work)
{
	in_child(allowed);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lockdown");
	TCase *t = tcase_create("lockdown");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, refuses);
	tcase_add_test(t, lets_the_loop_work);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
