/* SPDX-License-Identifier: MIT */
/* conf_tls.h - the values of TlsMin, TlsMax and Ciphers */
#ifndef SENTRY_CONF_TLS_H
#define SENTRY_CONF_TLS_H

#include "tests/sentry/conf_scan.h"

/* what docs/protocol.md 1 allows, and nothing else */
#define CONF_CIPHERS_13 \
	"TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256"
#define CONF_CIPHERS_12 \
	"ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES256-GCM-SHA384, " \
	"ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-RSA-AES128-GCM-SHA256, " \
	"ECDHE-RSA-AES256-GCM-SHA384, ECDHE-RSA-CHACHA20-POLY1305"

/* each says by conf_bad() what is wrong with the value @v */
void conf_tls_version(struct conf_reader *r, const char *v, int *out);
void conf_tls_cipher(struct conf_reader *r, const char *v);	/* one, or several with : */
void conf_tls_whole(struct conf_reader *r);			/* do they fit each other? */

#endif
