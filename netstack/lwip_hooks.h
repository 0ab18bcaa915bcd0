/* SPDX-License-Identifier: MIT */
/* lwip_hooks.h - functions of ours that lwIP calls; included by lwIP only */
#ifndef APPTUNNEL_LWIP_HOOKS_H
#define APPTUNNEL_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

u32_t ns_tcp_isn(const ip_addr_t *local, u16_t local_port,
		 const ip_addr_t *remote, u16_t remote_port);

#endif
