/* SPDX-License-Identifier: MIT */
/*
 * slab.h - memory of the netstack and of lwIP: a last-in-first-out free list
 * for each size class, filled from 64 KiB blocks that are kept.  Sizes beyond
 * the largest class come from malloc.  One thread, no locks.
 */
#ifndef APPTUNNEL_SLAB_H
#define APPTUNNEL_SLAB_H

#include <stddef.h>

/* Return: memory aligned to 16, NULL: none left */
void *slab_alloc(size_t size);
/* slab_calloc() - the same, zeroed; NULL also when count * size is too large */
void *slab_calloc(size_t count, size_t size);
void slab_free(void *p);		/* NULL is fine */

/* bytes handed out now, with their headers: 0 when nothing leaks */
size_t slab_in_use(void);

#endif
