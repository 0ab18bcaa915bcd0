/* SPDX-License-Identifier: MIT */
/* array.h - room for one more element of a growing array */
#ifndef APPTUNNEL_ARRAY_H
#define APPTUNNEL_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_FIRST	16	/* elements */

/*
 * array_room() - make sure that an array has room for another element
 * @array: address of the pointer to its elements, from malloc or NULL
 * @cap: elements that it has room for; changed when it grows
 * @n: elements in use
 * @size: bytes of one
 * Return: false: no memory, nothing is changed
 */
static inline bool array_room(void *array, size_t *cap, size_t n, size_t size)
{
	size_t want = *cap ? *cap * 2 : ARRAY_FIRST;
	void *p;

	if (n < *cap)
		return true;
	memcpy(&p, array, sizeof(p));	/* a pointer of any type: no aliasing */
	p = reallocarray(p, want, size);
	if (!p)
		return false;
	memcpy(array, &p, sizeof(p));
	*cap = want;
	return true;
}

#endif
