/* SPDX-License-Identifier: MIT */
/*
 * store.h - the profiles that were taken into use, byte for byte.
 *
 *	STATE_DIR/profiles/NAME/active		in use, or last in use
 *				previous	before that: what `rollback` leads to
 *				staged		being taken into use
 *				trial		there while active waits for its confirmation
 *				rejected	hashes of what was rolled back, a line each
 *
 * Root's alone (0700, 0600).  A file is written beside its place, synced, and
 * renamed; whatever a crash leaves is either the old or the new.
 */
#ifndef APPTUNNEL_STORE_H
#define APPTUNNEL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/files.h"
#include "platform/sha256.h"

/*
 * @state_dir: absolute path; @stem: a checked name.  Where nothing else is said,
 * an int is 0 or a negative errno, and on the disk when it is 0.
 */

#define STORE_REJECTED_MAX	64	/* hashes that are remembered of a profile */

enum store_copy { STORE_ACTIVE, STORE_PREVIOUS, STORE_STAGED, STORE_COPIES };

/* What trial says: until when, and of which text. */
struct store_trial {
	uint64_t deadline_s;		/* wall clock, Unix seconds */
	char boot[40];			/* boot_id of the kernel that saw it begin */
	uint8_t sum[SHA256_LEN];
	bool ready_due;			/* readiness was not seen yet */
	uint64_t version;		/* versions.h: what counted before it */
	uint8_t folder[SHA256_LEN];	/* install_mark() when it began */
};

/*
 * store_put() - keep a copy of @text as @copy, with its mark of being signed
 * Return: 0 or a negative errno
 */
int store_put(const char *state_dir, const char *stem, enum store_copy copy, int text,
	      bool is_signed);

/*
 * store_open() - a sealed copy, as files_open_profile()
 * @is_signed: may be NULL
 * Return: descriptor; -ENOENT; or another negative errno
 */
int store_open(const char *state_dir, const char *stem, enum store_copy copy, bool *is_signed);

/* store_sum() - of one of the copies.  0, -ENOENT, or another negative errno */
int store_sum(const char *state_dir, const char *stem, enum store_copy copy,
	      uint8_t sum[SHA256_LEN]);

/* store_commit() - active becomes previous, staged becomes active */
int store_commit(const char *state_dir, const char *stem);

/* store_back() - previous becomes active again; -ENOENT: there is none */
int store_back(const char *state_dir, const char *stem);

/* store_unstage() - staged came to nothing */
void store_unstage(const char *state_dir, const char *stem);

/* store_reject(), store_accept() - never take this text from the profile folder again; or do.
 * store_rejected() - which of the two holds? */
int store_reject(const char *state_dir, const char *stem, const uint8_t sum[SHA256_LEN]);
void store_accept(const char *state_dir, const char *stem, const uint8_t sum[SHA256_LEN]);
bool store_rejected(const char *state_dir, const char *stem, const uint8_t sum[SHA256_LEN]);

/* store_trial_put(), _get(), _end() - what a crash must not forget.  _get(): -ENOENT: there is
 * none; a damaged file is a trial that is over */
int store_trial_put(const char *state_dir, const char *stem, const struct store_trial *t);
int store_trial_get(const char *state_dir, const char *stem, struct store_trial *t);
int store_trial_end(const char *state_dir, const char *stem);

/* store_boot() - this boot's id, as in struct store_trial */
void store_boot(char boot[40]);

/* store_list() - names that have a folder.  Return: how many, or a negative errno */
int store_list(const char *state_dir, char stems[FILES_LIST_MAX][FILES_STEM_MAX]);

#endif
