/* SPDX-License-Identifier: MIT */
/*
 * fnv.h - FNV-1a, 64 bits: to see that something changed, where nobody gains by
 * a collision.  What must not be forged has sha256.h.
 */
#ifndef APPTUNNEL_FNV_H
#define APPTUNNEL_FNV_H

#include <stddef.h>
#include <stdint.h>

#define FNV_START	14695981039346656037u
#define FNV_PRIME	1099511628211u

/* fnv_word() - @sum with @value (a byte as FNV has it, or a word at once) */
static inline uint64_t fnv_word(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * FNV_PRIME;
}

/* fnv_bytes() - @sum with @len bytes; the first @sum is FNV_START */
static inline uint64_t fnv_bytes(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len--)
		sum = fnv_word(sum, *p++);
	return sum;
}

#endif
