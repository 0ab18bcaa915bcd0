/* SPDX-License-Identifier: MIT */
/*
 * conf_value.h - one value of the INI file: its text becomes a field of struct
 * conf, or conf_bad() says what is wrong with it and the field stays.
 */
#ifndef SENTRY_CONF_VALUE_H
#define SENTRY_CONF_VALUE_H

#include "profiles/addr.h"
#include "tests/sentry/conf_scan.h"

#include <stdbool.h>
#include <stdint.h>

/* words and numbers, to *@out */
void conf_get_text(struct conf_reader *r, const char *v, char **out);	/* strdup()ed */
void conf_get_bool(struct conf_reader *r, const char *v, bool *out);
void conf_get_number(struct conf_reader *r, const char *v, uint32_t min, uint32_t max,
		     uint32_t *out);
void conf_get_seconds(struct conf_reader *r, const char *v, uint64_t *out);	/* in us */
void conf_get_pool(struct conf_reader *r, const char *v, uint8_t family, struct prefix *out);
/* conf_get_file() - one more of @list, which has SENTRY_CAS_MAX places; strdup()ed */
void conf_get_file(struct conf_reader *r, const char *v, char **list, uint32_t *n);

/* one more of a list of r->c */
void conf_get_listen(struct conf_reader *r, const char *v);
void conf_get_resolver(struct conf_reader *r, const char *v);
void conf_get_allow(struct conf_reader *r, const char *v);
void conf_get_dns(struct conf_reader *r, const char *v);
void conf_get_search(struct conf_reader *r, const char *v);
void conf_get_service(struct conf_reader *r, const char *v);
/* conf_get_server() - of the service @name, which stands already */
void conf_get_server(struct conf_reader *r, const char *name, const char *v);
/* conf_get_fault() - @name: the key in [fault], with or without .NUMBER */
void conf_get_fault(struct conf_reader *r, const char *name, const char *value);

#endif
