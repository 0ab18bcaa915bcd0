/* SPDX-License-Identifier: MIT */
/*
 * netstack.h - IP packets of the apps <-> flows.
 *
 * Packets go in by ns_input() and out by ops->output(); TCP is terminated by
 * an unmodified lwIP that is entered for one connection at a time, UDP and
 * ICMP are handled here.  No sockets, no clock (now is passed in, monotonic
 * microseconds), no configuration beyond struct ns_config.
 *
 * A TCP connection is a struct ns_tcp from its SYN to its end.  The SYN is
 * held: nothing is answered until the owner says accept or refuse.
 */
#ifndef APPTUNNEL_NETSTACK_H
#define APPTUNNEL_NETSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "netstack/buf.h"
#include "profiles/addr.h"

struct netstack;
struct ns_tcp;

/* src: the app's end, dst: where it wants to go; ports in host order.  ICMP
 * echo: src_port is the identifier, dst_port 0. */
struct ns_tuple {
	struct ipaddr src, dst;
	uint16_t src_port, dst_port;
};

/* How a flow that cannot be is told to the app (docs/design.md, last table). */
enum ns_refusal {
	NS_REFUSE_RST,			/* ECONNREFUSED */
	NS_REFUSE_NET,			/* 3/0, 1/0 */
	NS_REFUSE_HOST,			/* 3/1, 1/3 */
	NS_REFUSE_DENIED,		/* 3/13, 1/1 */
	NS_REFUSE_PORT,			/* 3/3, 1/4: UDP only */
};

struct ns_ops {
	/*
	 * Write one packet to the TUN: iov[0] is the 10-byte virtio_net_hdr
	 * when config.vnet_hdr is set.  Return: 0, or a negative errno (the
	 * packet is lost; -EINVAL on a super-segment: ns falls back)
	 */
	int (*output)(void *ctx, const struct iovec *iov, int n);

	/* A new connection's SYN is held.  Answer now or later by ns_tcp_accept()
	 * or ns_tcp_refuse().  Set the owner's pointer by ns_tcp_set_user(). */
	void (*tcp_syn)(void *ctx, struct ns_tcp *t, const struct ns_tuple *tuple);
	/* Bytes arrived from the app; pull them by ns_tcp_read(). */
	void (*tcp_readable)(void *ctx, struct ns_tcp *t, void *user);
	/* The app's TCP acknowledged @n bytes that were given to ns_tcp_write(). */
	void (*tcp_sent)(void *ctx, struct ns_tcp *t, void *user, uint32_t n);
	/* The app finished its direction; all its bytes have been readable. */
	void (*tcp_eof)(void *ctx, struct ns_tcp *t, void *user);
	/*
	 * The connection is over and forgotten: reset by the app, given up by
	 * TCP (both reset = true), or finished both ways and acknowledged.  A
	 * held SYN that the app took back too.  Not called after
	 * ns_tcp_refuse() or ns_tcp_abort().
	 */
	void (*tcp_closed)(void *ctx, struct ns_tcp *t, void *user, bool reset);

	/*
	 * A datagram of an app, or a batch of them (@segment != 0: the size of
	 * each, the last may be shorter).
	 */
	void (*udp)(void *ctx, const struct ns_tuple *tuple, const uint8_t *data,
		    size_t len, uint16_t segment);
	/* An ICMP or ICMPv6 echo request; data begins after identifier and sequence. */
	void (*echo)(void *ctx, const struct ns_tuple *tuple, uint16_t sequence,
		     const uint8_t *data, size_t len);
};

struct ns_config {
	uint16_t mtu;			/* of the TUN: 1280..65535 */
	bool vnet_hdr;			/* packets carry a 10-byte virtio_net_hdr */
	bool tso, uso;			/* may we write super-segments / super-datagrams */
	uint8_t hash_key[16];		/* random */
	uint32_t max_tcp;		/* flows; 0: 65536 */
	struct ipaddr tun4, tun6;	/* for ICMPv6 errors and packets to the TUN itself */
};

/* Return: NULL when out of memory.  One netstack a process (lwIP is global). */
struct netstack *ns_new(const struct ns_config *config, const struct ns_ops *ops, void *ctx);
/* ns_free() - open flows are reset, without callbacks but output; NULL is fine */
void ns_free(struct netstack *ns);

/* ---- packets ------------------------------------------------------- */

/*
 * ns_input_buf() - where the next TUN packet is to be read to: a buffer of at
 * least 10 + 65535 bytes, virtio header first if there is one.  NULL: no
 * buffer is free (bound reached): stop reading the TUN for now.
 */
uint8_t *ns_input_buf(struct netstack *ns, size_t *size);
/* ns_input() - the packet of @len bytes was read there */
void ns_input(struct netstack *ns, size_t len, uint64_t now);
/* ns_flush() - the end of a batch: acknowledgements of the flows it touched,
 * writes that wait.  Also to be called after the owner wrote, read or closed. */
void ns_flush(struct netstack *ns, uint64_t now);
/* ns_timer() - lwIP's tick for the armed flows, delayed answers, reassembly.
 * Return: when to call it next (absolute us), UINT64_MAX: never */
uint64_t ns_timer(struct netstack *ns, uint64_t now);

/* ---- TCP ------------------------------------------------------------ */

/* ns_tcp_set_user() - what the callbacks get; borrowed.  ns_tcp_tuple() - valid as long as @t */
void ns_tcp_set_user(struct ns_tcp *t, void *user);
const struct ns_tuple *ns_tcp_tuple(const struct ns_tcp *t);

/* ns_tcp_accept() - answer the held SYN; when there is no memory for it, tcp_closed follows */
void ns_tcp_accept(struct netstack *ns, struct ns_tcp *t, uint64_t now);
/* ns_tcp_refuse() - only while the SYN is held; @t is gone on return */
void ns_tcp_refuse(struct netstack *ns, struct ns_tcp *t, enum ns_refusal how, uint64_t now);

/*
 * ns_tcp_read() - move up to @max of the app's bytes to @dst; the app's window
 * opens accordingly.  Return: bytes, 0: none now
 */
size_t ns_tcp_read(struct netstack *ns, struct ns_tcp *t, uint8_t *dst, size_t max);
/* ns_tcp_readable() - bytes of the app that wait for ns_tcp_read() */
size_t ns_tcp_readable(const struct ns_tcp *t);

/*
 * ns_tcp_write() - queue bytes for the app; never refuses (the owner's credit
 * bounds it).  @data lies inside @b; a reference is taken (large pieces) or
 * the bytes are copied (small pieces).  tcp_sent reports what was acknowledged.
 * Return: 0, -ENOMEM (the connection was aborted, tcp_closed comes)
 */
int ns_tcp_write(struct netstack *ns, struct ns_tcp *t, struct buf *b,
		 const uint8_t *data, size_t len);
void ns_tcp_fin(struct netstack *ns, struct ns_tcp *t);		/* after what was written */
void ns_tcp_abort(struct netstack *ns, struct ns_tcp *t);	/* RST; @t is gone on return */

/* ---- UDP, ICMP ------------------------------------------------------- */

/*
 * ns_udp_send() - a datagram (or batch) to an app: from tuple->dst to
 * tuple->src, fragmented when it exceeds the MTU
 * Return: 0, or a negative errno
 */
int ns_udp_send(struct netstack *ns, const struct ns_tuple *tuple,
		const uint8_t *data, size_t len, uint16_t segment);
/* ns_echo_reply() - the answer to an echo request of the app; @data as in ns_ops.echo.
 * Return: as ns_udp_send() */
int ns_echo_reply(struct netstack *ns, const struct ns_tuple *tuple, uint16_t sequence,
		  const uint8_t *data, size_t len);

/*
 * ns_icmp_error() - tell an app that a datagram (@proto 17, or 1/58 for echo)
 * of @tuple could not be delivered; the quote is made from the tuple.
 * Rate limited (100 a second).
 */
void ns_icmp_error(struct netstack *ns, const struct ns_tuple *tuple, uint8_t proto,
		   enum ns_refusal how);
/* The same with the ICMP type and code that came from outside, in the terms
 * of the tuple's family; @mtu for "too big". */
void ns_icmp_error_raw(struct netstack *ns, const struct ns_tuple *tuple, uint8_t proto,
		       uint8_t type, uint8_t code, uint32_t mtu);

struct ns_counters {
	uint64_t packets_in, packets_out, bytes_in, bytes_out;
	uint64_t malformed, dropped_multicast, other_proto, frag_dropped, reassembled;
	uint64_t tcp_flows, tcp_total, syn_held, rst_no_flow, icmp_sent, icmp_limited;
	uint64_t output_failed, no_buffer;
	uint64_t tcp_unacceptable;	/* segments outside their flow's windows */
	uint64_t rx_over_budget;	/* segments dropped: nobody reads */
	uint64_t gso_refused;		/* the kernel took no super-segments: cut here since */
};
/* ns_counters() - since ns_new(); borrowed */
const struct ns_counters *ns_counters(const struct netstack *ns);

#endif
