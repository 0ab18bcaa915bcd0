/* SPDX-License-Identifier: MIT */
/*
 * versions.h - the highest [profile] Version that was taken, for each signed
 * profile: STATE_DIR/versions/NAME, decimal, root's alone.  A signature says
 * who wrote a profile; this says that it is not one of last year.
 */
#ifndef APPTUNNEL_VERSIONS_H
#define APPTUNNEL_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

#define VERSIONS_DIR	"versions"	/* in the state folder, 0700 */

/*
 * versions_read() - the version that was taken last
 * @state_dir: absolute path, @stem: a checked name
 * @version: 0 when none ever was
 * Return: 0; -EBADMSG: the file is damaged; another negative errno
 */
int versions_read(const char *state_dir, const char *stem, uint64_t *version);

/*
 * versions_write() - remember @version, also a lower one; on disk when it returns
 * Return: 0, or a negative errno and what was remembered before still stands
 */
int versions_write(const char *state_dir, const char *stem, uint64_t version);

#endif
