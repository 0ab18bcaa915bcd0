/* SPDX-License-Identifier: MIT */
/* slab.c - size-classed free lists */
#include "netstack/slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_BLOCK	65536u
#define SLAB_HEADER	16u		/* keeps the alignment */

/*
 * Under AddressSanitizer each object is malloc's own, so that a use after
 * free inside lwIP shows.
 */
#if defined(__SANITIZE_ADDRESS__)
#define SLAB_DIRECT	1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_DIRECT	1
#endif
#endif
#ifndef SLAB_DIRECT
#define SLAB_DIRECT	0
#endif

/* Sizes with the header.  Those of a pcb, a flow, a TCP segment and its
 * header pbuf are near a class; 2 KiB holds an MTU of 1,500 and its pbuf. */
static const uint32_t class_size[] = { 64, 96, 128, 192, 256, 384, 512, 1024, 2048 };

#define CLASSES		(sizeof(class_size) / sizeof(class_size[0]))
#define CLASS_MALLOC	CLASSES

struct header {
	uint32_t class;
	uint32_t size;			/* of the whole, for CLASS_MALLOC */
	struct header *next_free;
};

_Static_assert(sizeof(struct header) == SLAB_HEADER, "header keeps the alignment");

static struct header *free_list[CLASSES];
static size_t in_use;

static uint32_t class_of(size_t size)
{
	uint32_t c = 0;

	while (c < CLASSES && class_size[c] < size)
		c++;
	return c;
}

static int class_fill(uint32_t c)
{
	uint32_t step = class_size[c];
	uint8_t *block = malloc(SLAB_BLOCK);
	uint32_t at;

	if (!block)
		return -1;
	/* from the end, so that the list runs upwards in memory */
	for (at = SLAB_BLOCK / step * step; at >= step; at -= step) {
		struct header *h = (struct header *)(void *)(block + at - step);

		h->class = c;
		h->size = step;
		h->next_free = free_list[c];
		free_list[c] = h;
	}
	return 0;
}

void *slab_alloc(size_t size)
{
	struct header *h;
	uint32_t c;

	if (size > UINT32_MAX - SLAB_HEADER)
		return NULL;
	c = SLAB_DIRECT ? CLASS_MALLOC : class_of(size + SLAB_HEADER);
	if (c == CLASS_MALLOC) {
		h = malloc(size + SLAB_HEADER);
		if (!h)
			return NULL;
		h->class = CLASS_MALLOC;
		h->size = (uint32_t)(size + SLAB_HEADER);
	} else {
		if (!free_list[c] && class_fill(c) < 0)
			return NULL;
		h = free_list[c];
		free_list[c] = h->next_free;
	}
	in_use += h->size;
	return h + 1;
}

void *slab_calloc(size_t count, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	p = slab_alloc(total);
	if (p)
		memset(p, 0, total);
	return p;
}

void slab_free(void *p)
{
	struct header *h;

	if (!p)
		return;
	h = (struct header *)p - 1;
	in_use -= h->size;
	if (h->class == CLASS_MALLOC) {
		free(h);
		return;
	}
	h->next_free = free_list[h->class];
	free_list[h->class] = h;
}

size_t slab_in_use(void)
{
	return in_use;
}
