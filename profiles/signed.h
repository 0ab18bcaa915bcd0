/* SPDX-License-Identifier: MIT */
/*
 * signed.h - a signed profile: CMS SignedData (RFC 5652) in DER, the text of
 * the profile attached.  NAME.p7m in the profile folder.
 *
 * Who may sign stands in one file (signer.pem): certificates in PEM, and a
 * message counts only when its one signer *is* one of them, byte for byte.  A
 * chain is not followed: then every certificate that a CA ever gave out, for
 * whatever purpose, could write profiles, and there would have to be
 * revocation.  Several certificates stand there while one replaces another.
 *
 * Needs OpenSSL; the daemon, which does not link it, leaves this to the parser
 * child, the command line and the test endpoint.
 */
#ifndef APPTUNNEL_SIGNED_H
#define APPTUNNEL_SIGNED_H

#include <stddef.h>
#include <stdint.h>

#include "profiles/finding.h"

#define SIGNED_MAX		(1u << 20)	/* bytes of a message, signature and all */
#define SIGNED_SIGNER_MAX	(64u << 10)	/* bytes of signer.pem */
#define SIGNED_SIGNERS		8u		/* certificates in it */
#define SIGNED_DEPTH		24u		/* of DER in DER; RFC 5652 and X.509 need 15 */
#define SIGNED_BITS		112		/* security of a signer's key: RSA 2048, P-224 */

/*
 * signed_der() - is this one DER value and nothing else, at every depth?
 * Definite and shortest lengths only, children that fill their parent exactly,
 * no string in pieces.  So there is one way to write a message down, and
 * OpenSSL's reader sees nothing that is not of this form.
 * @depth: deepest nesting that is accepted
 * Return: whether it is
 */
bool signed_der(const uint8_t *der, size_t len, unsigned int depth);

/*
 * signed_open_max() - the text, if one of @signer_pem signed it
 * Everything is refused (the codes E7xx say what) but: SignedData of
 * type data, attached, one signer with signed attributes and SHA-256 or
 * better, by a certificate of @signer_pem that is valid at @now_s, for digital
 * signature and for code signing or mail, and no CA.  The message may bring
 * that certificate along, and nothing else that is not signed.
 * @der, @len: the message; refused before it is looked at when over @max bytes
 * @signer_pem: certificates; at most SIGNED_SIGNER_MAX bytes
 * @now_s: seconds since 1970
 * @f: initialised; gets the one finding that says why not
 * @text, @text_len: a NUL-terminated copy, free() it
 * Return: 0; -EBADMSG: @f says why; -ENOMEM
 */
int signed_open_max(const uint8_t *der, size_t len, size_t max, const uint8_t *signer_pem,
		    size_t signer_len, uint64_t now_s, struct findings *f, char **text,
		    size_t *text_len);

/* signed_open() - the same, for a profile: at most SIGNED_MAX bytes */
int signed_open(const uint8_t *der, size_t len, const uint8_t *signer_pem, size_t signer_len,
		uint64_t now_s, struct findings *f, char **text, size_t *text_len);

#endif
