/* SPDX-License-Identifier: MIT */
/*
 * parser_lock.h - what the parser child may still ask of the kernel.
 */
#ifndef APPTUNNEL_PARSER_LOCK_H
#define APPTUNNEL_PARSER_LOCK_H

/*
 * parser_lock() - a seccomp filter: descriptors that are there, memory, the
 * clock, and files to read; no socket, no new process, nothing to write to.
 * What is not listed fails with EPERM.  To be called before the first byte of
 * the profile is read; also sets no_new_privs.
 * Return: 0, or a negative errno (then nothing may be parsed)
 */
int parser_lock(void);

#endif
