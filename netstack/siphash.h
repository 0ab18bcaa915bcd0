/* SPDX-License-Identifier: MIT */
/*
 * siphash.h - SipHash-2-4 (Aumasson and Bernstein, 2012): the keyed hash of
 * every table whose keys an app or a peer can choose.
 */
#ifndef APPTUNNEL_SIPHASH_H
#define APPTUNNEL_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* siphash24() - hash of @len bytes under the random @key; reads the bytes as
 * this machine does, so the value means nothing elsewhere */
uint64_t siphash24(const uint64_t key[2], const void *data, size_t len);

#endif
