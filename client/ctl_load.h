/* SPDX-License-Identifier: MIT */
/* ctl_load.h - a profile for the verbs that look at one without the daemon */
#ifndef APPTUNNEL_CTL_LOAD_H
#define APPTUNNEL_CTL_LOAD_H

#include <stdio.h>
#include <sys/types.h>

#include "client/ctl.h"
#include "profiles/finding.h"
#include "profiles/profile.h"
#include "profiles/reader.h"

struct ctl_loaded {
	char *path;			/* as it was found; label of the findings */
	char *folder;			/* absolute; relative paths start here */
	char stem[PROFILE_STEM_MAX];
	uid_t owner;			/* of the file */
	struct profile *p;		/* sound only when good */
	bool good;
	bool stored;			/* in the profile folder: the daemon would open it */
	struct findings f;
	struct origins o;
};

/*
 * ctl_load() - read a profile as the caller
 * @what: a path (with a '/' or ending in .ini or .p7m), the name of a profile in the
 *	profile folder, or NULL: the only one there is
 * @l: filled unless it returns another code than the first two; ctl_loaded_free()
 * Return: CTL_DONE; CTL_PROFILE: the file is there, and invalid; else the exit
 *	code, said on stderr
 */
int ctl_load(const struct ctl_opts *o, const char *what, struct ctl_loaded *l);
void ctl_loaded_free(struct ctl_loaded *l);	/* what it holds */

/* ctl_load_errors() - say on stderr why @l cannot be used (its errors only) */
void ctl_load_errors(const struct ctl_loaded *l);

/* ctl_print() - text of a struct text or a taken string to stdout.  Return: exit code */
int ctl_print(const char *s);

struct ctl_names {
	char **v;			/* stems or file names, sorted */
	size_t n;
};

/*
 * ctl_profile_files() - the *.ini and *.p7m files of the profile folder
 * Return: CTL_DONE, or the exit code, said on stderr
 */
int ctl_profile_files(const struct ctl_opts *o, struct ctl_names *names);
void ctl_names_free(struct ctl_names *names);

/*
 * ctl_check_files() - a stored profile and the files that one names, looked at as the caller:
 * kind, owner, mode, PEM, dates, and whether the key fits (ctl_check.c)
 * @l: gets the findings, which are sorted anew
 */
void ctl_check_files(struct ctl_loaded *l);

#endif
