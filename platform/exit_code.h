/* SPDX-License-Identifier: MIT */
/*
 * exit_code.h - what ends a request, as the last line of an answer (control.h)
 * and as the exit code of `apptunnel` or apptunneld.  Published: apptunnel(1)
 * lists them all, also those that only the command line has.
 */
#ifndef APPTUNNEL_EXIT_CODE_H
#define APPTUNNEL_EXIT_CODE_H

enum exit_code {
	EXIT_DONE = 0,
	EXIT_UNEXPECTED = 1,
	EXIT_USAGE = 2,
	EXIT_TIMEOUT = 3,
	EXIT_NOT_UP = 4,
	EXIT_UNDO = 5,		/* something could not be undone */
	EXIT_PROFILE = 6,
	EXIT_PERMISSION = 7,
	EXIT_NO_PROFILE = 10,
	EXIT_IDENTITY = 12,
	EXIT_SYSTEM = 15,	/* the machine refused a change */
	EXIT_CONFLICT = 16,
};

#endif
