/* SPDX-License-Identifier: MIT */
/*
 * lwipopts.h - how lwIP 2.2.1 is compiled.  lwIP is the TCP state machine of
 * one connection at a time: demultiplexing, IP input, UDP, ICMP, fragments,
 * timers and memory are ours.
 */
#ifndef APPTUNNEL_LWIPOPTS_H
#define APPTUNNEL_LWIPOPTS_H

/* One thread, no sockets, no cyclic timers of its own. */
#define NO_SYS				1
#define SYS_LIGHTWEIGHT_PROT		0
#define LWIP_SOCKET			0
#define LWIP_NETCONN			0
#define LWIP_TIMERS			0
#define LWIP_STATS			0
#define MIB2_STATS			0

/* Both families, of which only the output functions run. */
#define LWIP_IPV4			1
#define LWIP_IPV6			1
#define LWIP_TCP			1
#define LWIP_UDP			0
#define LWIP_RAW			0
#define LWIP_ICMP			0
#define LWIP_ARP			0
#define LWIP_ETHERNET			0
#define LWIP_DHCP			0
#define LWIP_AUTOIP			0
#define LWIP_IGMP			0
#define LWIP_DNS			0
#define LWIP_IPV6_MLD			0
#define LWIP_IPV6_AUTOCONFIG		0
#define LWIP_IPV6_DHCP6			0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT	0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS	0
#define LWIP_IPV6_SCOPES		0
#define LWIP_ND6_TCP_REACHABILITY_HINTS	0
#define LWIP_ND6_QUEUEING		0
#define LWIP_ND6_NUM_NEIGHBORS		1
#define LWIP_ND6_NUM_DESTINATIONS	1
#define LWIP_ND6_NUM_PREFIXES		1
#define LWIP_ND6_NUM_ROUTERS		1
#define LWIP_IPV6_NUM_ADDRESSES		1
#define IP_REASSEMBLY			0
#define LWIP_IPV6_REASS			0
#define IP_OPTIONS_ALLOWED		0

/* A super-segment is larger than any MTU and must leave in one piece. */
#define IP_FRAG				0
#define LWIP_IPV6_FRAG			0

/* Memory: everything comes from netstack/slab.c, nothing from fixed pools,
 * which would refuse flows or kill old ones. */
#define MEMP_MEM_MALLOC			1
#define MEM_CUSTOM_ALLOCATOR		1
#define MEM_CUSTOM_MALLOC		slab_alloc
#define MEM_CUSTOM_FREE			slab_free
#define MEM_CUSTOM_CALLOC		slab_calloc
#define MEM_ALIGNMENT			8
#define MEM_SIZE			(1024 * 1024)	/* for the width of mem_size_t only */
#define LWIP_SUPPORT_CUSTOM_PBUF	1
#define PBUF_POOL_SIZE			0
#define MEMP_NUM_TCP_SEG		1
#define PBUF_POOL_FREE_OOSEQ		0
/* no link layer in front of IP */
#define PBUF_LINK_HLEN			0
#define PBUF_LINK_ENCAPSULATION_HLEN	0

/*
 * TCP_MSS caps what the app's SYN may say; what we advertise is written into
 * the SYN-ACK from the MTU (gso.c).  After the handshake pcb->mss becomes a
 * multiple of the app's: a segment is then a super-segment.  The sanity checks
 * know only the sizes of embedded devices.
 */
#define TCP_MSS				65455
#define LWIP_DISABLE_TCP_SANITY_CHECKS	1
#define TCP_CALCULATE_EFF_SEND_MSS	0
#define TCP_OVERSIZE			0
#define LWIP_NETIF_TX_SINGLE_PBUF	0

/*
 * TCP_WND is the most that a flow's window may be; tcp.c grants less (the
 * limits are there).  Window updates are tcp.c's too, so lwIP's own threshold
 * is out of reach.
 */
#define LWIP_WND_SCALE			1
#define TCP_RCV_SCALE			7
#define TCP_WND				(4 * 1024 * 1024)
#define TCP_WND_UPDATE_THRESHOLD	0x7fffffff
/* Only a counter: tcp.c writes just in time, never more than the window. */
#define TCP_SND_BUF			0x40000000
#define TCP_SND_QUEUELEN		0xfff0
#define TCP_SNDLOWAT			1
#define TCP_SNDQUEUELOWAT		1

/* A full TUN queue drops packets of the app: keep what came behind the gap. */
#define TCP_QUEUE_OOSEQ			1
#define TCP_OOSEQ_MAX_BYTES		(512 * 1024)
#define TCP_OOSEQ_MAX_PBUFS		256
#define LWIP_TCP_SACK_OUT		1
#define LWIP_TCP_TIMESTAMPS		0
#define LWIP_TCP_KEEPALIVE		0
#define TCP_LISTEN_BACKLOG		0
/* TIME_WAIT is a tombstone of ours; this bounds LAST_ACK only (twice this). */
#define TCP_TTL				64
#define TCP_MSL				30000UL
/* The other end is on this machine: half the usual first time-out. */
#define LWIP_TCP_RTO_TIME		1000

/* Checksums: nothing is verified (the packet never left the machine), and
 * what goes out is gso.c's. */
#define CHECKSUM_GEN_IP			0
#define CHECKSUM_GEN_TCP		0
#define CHECKSUM_GEN_ICMP6		0
#define CHECKSUM_CHECK_IP		0
#define CHECKSUM_CHECK_TCP		0
#define CHECKSUM_CHECK_ICMP6		0
#define LWIP_CHECKSUM_ON_COPY		0

/* netif->output learns the connection from the hint inside its pcb */
#define LWIP_NETIF_HWADDRHINT		1
#define LWIP_NETIF_LOOPBACK		0
#define LWIP_HAVE_LOOPIF		0
#define LWIP_SINGLE_NETIF		0

/* initial sequence numbers by keyed hash (RFC 6528) */
#define LWIP_HOOK_FILENAME		"lwip_hooks.h"
#define LWIP_HOOK_TCP_ISN		ns_tcp_isn

#endif
