/* SPDX-License-Identifier: MIT */
/*
 * dns_file.h - /etc/resolv.conf: kept as it was, replaced, and given back.
 *
 * The file that we write begins with "# apptunnel STEM HASH", HASH being that
 * of the rest: so it is known for ours, and for untouched, without any record.
 * What stood there (file_image.h) is kept in STATE_DIR/STEM.resolv.
 */
#ifndef APPTUNNEL_DNS_FILE_H
#define APPTUNNEL_DNS_FILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * dns_file_backup() - keep what stands at @path; changes nothing there
 * Return: 0; -EINVAL: neither file nor link; -EFBIG; or another negative errno
 */
int dns_file_backup(int state_dir, const char *stem, const char *path);

/* dns_file_write() - put @text there, with mode and owner of what was kept */
int dns_file_write(int state_dir, const char *stem, const char *path, const char *text);

/* dns_file_present() - is our @text there?  0, -ENOENT */
int dns_file_present(const char *stem, const char *path, const char *text);

/* dns_file_ours() - is what stands there written by us for @stem, untouched? */
bool dns_file_ours(const char *stem, const char *path);

/*
 * dns_file_restore() - give back what was kept, and forget it
 * @force: whatever stands there; else only if it is what we wrote.  Where
 *	another profile wrote over ours, that one inherits what was kept
 * Return: 0, also when nothing is kept; or a negative errno
 */
int dns_file_restore(int state_dir, const char *stem, const char *path, bool force);

/* dns_file_forget() - delete what is kept, and what a crash left half written */
void dns_file_forget(int state_dir, const char *stem);

/* dns_file_snapshot() - the network's own text, read-only and in memory: what
 * was kept when @path is ours.  Return: descriptor, or a negative errno */
int dns_file_snapshot(int state_dir, const char *path);

#endif
