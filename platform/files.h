/* SPDX-License-Identifier: MIT */
/*
 * files.h - the files that a profile is and names, opened by the daemon and
 * judged by descriptor: kind, owner, mode, size.  Nothing here reads what is
 * in them.
 */
#ifndef APPTUNNEL_FILES_H
#define APPTUNNEL_FILES_H

#include <stddef.h>

#include "profiles/profile.h"

#define FILES_PROFILE_MAX	(1u << 20)	/* bytes of a profile */
#define FILES_SIGNER_MAX	(64u << 10)	/* bytes of signer.pem */
#define FILES_STAMP_MAX		(2u << 20)	/* bytes of a file of identity that are read */
#define FILES_STEM_MAX		33		/* a profile's name with NUL */
#define FILES_LIST_MAX		64		/* profiles that are listed */
#define FILES_CA_BUNDLE		"/etc/ssl/certs/ca-certificates.crt"

/* files_stem_ok() - may this be a profile's name?  [A-Za-z0-9_-]{1,32} */
bool files_stem_ok(const char *stem);

/*
 * files_list() - names of the profiles in @dir, sorted
 * Return: how many, or a negative errno
 */
int files_list(const char *dir, char stems[FILES_LIST_MAX][FILES_STEM_MAX]);

/*
 * files_open_profile() - a sealed copy of DIR/STEM.ini or DIR/STEM.p7m, mode 0444
 * @signer: are profiles signed on this machine?  Then STEM.p7m comes first,
 *	else STEM.ini; the other one only where that is not there, for the parser
 *	to say what is wrong with it
 * @p7m: it is the signed one
 * @why: one sentence on failure
 * Return: a descriptor at offset 0, or a negative errno: -ENOENT there is no
 *	such profile; -ETXTBSY: somebody writes it at this moment; anything else:
 *	not fit to be read (owner, mode, kind, size)
 */
int files_open_profile(const char *dir, const char *stem, bool signer, bool *p7m, char *why,
		       size_t size);

/* files_copy_profile() - a sealed copy of what @fd holds from where it stands; as above */
int files_copy_profile(int fd, const char *stem, char *why, size_t size);

/*
 * files_open_signer() - a sealed copy of the file that says who may sign, mode 0444
 * Return: a descriptor at offset 0, or a negative errno and @why: -ENOENT it
 *	is not there; anything else: not fit to be believed
 */
int files_open_signer(const char *path, char *why, size_t size);

/* files_memory() - an empty memory file that can be sealed.  Descriptor or errno */
int files_memory(const char *name);

/*
 * files_seal() - seal @fd for ever against writing and resizing
 * Return: a new read-only descriptor of it, or a negative errno.  (Before
 *	Linux 6.7 a sealed file can only be mapped through one of these.)
 */
int files_seal(int fd);

/* Descriptors of what [identity] and [pinning] name; -1: not given. */
struct identity {
	int certificate, key, chain, ca;
	int pins[PROFILE_MAX_PINS];
};

/*
 * files_open_identity() - open them all, read-only
 * @id: filled in any case; close it with files_close_identity()
 * @why: one sentence on failure
 * Return: 0, or EXIT_IDENTITY: certificate, key or chain; EXIT_PROFILE: pin or CA
 */
int files_open_identity(const struct profile *p, struct identity *id, char *why, size_t size);
/*
 * files_identity_stamp() - changes when one of the files says something else
 * @id: as files_open_identity() filled it
 */
uint64_t files_identity_stamp(const struct identity *id);
/*
 * files_identity_looks() - changes when one of the files is written or replaced: cheap, and
 * no more than a reason to ask for the stamp
 */
uint64_t files_identity_looks(const struct identity *id);

void files_close_identity(struct identity *id);
void files_forget_identity(struct identity *id);	/* all -1, closes nothing */

/*
 * files_check_stat() - pure half of the judgement
 * @mode, @uid, @bytes: as fstat(2) says; @euid: the daemon's own
 * @secret: nobody else may read it
 * Return: NULL, or what is wrong ("is writable by others")
 */
const char *files_check_stat(unsigned int mode, unsigned int uid, unsigned int euid, bool secret);

#endif
