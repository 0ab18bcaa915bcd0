/* SPDX-License-Identifier: MIT */
/* value_priv.h - what value.c and value_addr.c share */
#ifndef APPTUNNEL_VALUE_PRIV_H
#define APPTUNNEL_VALUE_PRIV_H

#include "profiles/value.h"

/* value_fail() - fill @e.  Return: -EINVAL */
int value_fail(struct value_error *e, enum finding_code code, size_t at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
