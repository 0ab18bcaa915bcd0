/* SPDX-License-Identifier: MIT */
/* cc.h - what lwIP wants to know of compiler and platform */
#ifndef APPTUNNEL_LWIP_CC_H
#define APPTUNNEL_LWIP_CC_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>

#define LWIP_NO_UNISTD_H	0
#define LWIP_TIMEVAL_PRIVATE	0

#define LWIP_PLATFORM_DIAG(x)	do { } while (0)

/* A broken invariant inside lwIP: memory can no longer be trusted. */
_Noreturn void ns_lwip_panic(const char *what, const char *file, int line);
#define LWIP_PLATFORM_ASSERT(x)	ns_lwip_panic(x, __FILE__, __LINE__)

void *slab_alloc(size_t size);
void *slab_calloc(size_t count, size_t size);
void slab_free(void *p);

#endif
