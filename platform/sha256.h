/* SPDX-License-Identifier: MIT */
/*
 * sha256.h - SHA-256 (FIPS 180-4), by which the store knows a profile again.
 * Our own, for the daemon links no OpenSSL, a kernel need not have AF_ALG, and
 * nothing here is a secret or a signature.
 */
#ifndef APPTUNNEL_SHA256_H
#define APPTUNNEL_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN	32
#define SHA256_HEX	65	/* with NUL */

/* sha256() - of @len bytes */
void sha256(const void *data, size_t len, uint8_t out[SHA256_LEN]);

/* sha256_fd() - of all of a file, from its beginning; at most @max bytes
 * Return: 0, -EFBIG, or another negative errno */
int sha256_fd(int fd, size_t max, uint8_t out[SHA256_LEN]);

/* sha256_hex() - as lower-case text.  Return: @out */
char *sha256_hex(const uint8_t sum[SHA256_LEN], char out[SHA256_HEX]);

#endif
