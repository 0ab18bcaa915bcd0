/* SPDX-License-Identifier: MIT */
/*
 * addr.h - addresses and prefixes: the one leaf header that every folder may
 * include.  Plain bytes without padding, so that the types can stand in
 * records that cross a process boundary and in hash keys.
 */
#ifndef APPTUNNEL_ADDR_H
#define APPTUNNEL_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_STRLEN	46	/* longest text of an address, with NUL */
#define PREFIX_STRLEN	50	/* "address/128" with NUL */

/* An IP address in network order.  IPv4 uses bytes[0..3], the rest is 0. */
struct ipaddr {
	uint8_t family;		/* 4, 6, or 0: no address */
	uint8_t bytes[16];
};

struct prefix {
	struct ipaddr addr;
	uint8_t len;		/* bits: 0..32 or 0..128 */
};

/* Bytes of an address of @family: 4, 16, or 0. */
static inline size_t addr_len(uint8_t family)
{
	return family == 4 ? 4 : family == 6 ? 16 : 0;
}

/*
 * addr_parse() - text to address, strictly
 * @text: NUL-terminated; dotted quad without leading zeros, or IPv6 without
 *	zone; an IPv4-mapped IPv6 address is refused
 * @out: written on success only
 * Return: 0, or -EINVAL
 */
int addr_parse(const char *text, struct ipaddr *out);

/* addr_format() - @buf holds ADDR_STRLEN bytes; "-" for no address.  Return: @buf */
char *addr_format(const struct ipaddr *a, char *buf);

/*
 * prefix_parse() - "ADDRESS/LEN" to prefix; host bits are kept as written
 * Return: 0, or -EINVAL (a missing length too)
 */
int prefix_parse(const char *text, struct prefix *out);

/* prefix_format() - @buf holds PREFIX_STRLEN bytes.  Return: @buf */
char *prefix_format(const struct prefix *p, char *buf);

/* prefix_mask() - clear the host bits of @p.  Return: true if there were any */
bool prefix_mask(struct prefix *p);

/* addr_is_mapped() - IPv4 in an IPv6 address (::ffff:0:0/96): for sockets, on no wire */
bool addr_is_mapped(const struct ipaddr *a);

/* Family and bytes.  addr_compare(): < 0, 0, > 0, by family, then as numbers */
bool addr_equal(const struct ipaddr *a, const struct ipaddr *b);
int addr_compare(const struct ipaddr *a, const struct ipaddr *b);
bool prefix_equal(const struct prefix *a, const struct prefix *b);

/* Is @a inside @p?  False when the families differ. */
bool prefix_has(const struct prefix *p, const struct ipaddr *a);

/* Is all of @inner inside (or equal to) @outer? */
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);

bool addr_is_loopback(const struct ipaddr *a);		/* 127/8, ::1 */
bool addr_is_multicast(const struct ipaddr *a);		/* 224/4, ff00::/8 */
bool addr_is_unspecified(const struct ipaddr *a);	/* 0.0.0.0, :: */
bool addr_is_linklocal(const struct ipaddr *a);		/* 169.254/16, fe80::/10 */

/* May @a stand on an interface?  Not in 0/8, 127/8, 224/3, ::, ::1, ff00::/8. */
bool addr_is_assignable(const struct ipaddr *a);

/*
 * addr_to_sockaddr() - fill @ss for connect() or sendto()
 * @port: host order
 * Return: the length for the system call, 0 when @a holds no address
 */
socklen_t addr_to_sockaddr(const struct ipaddr *a, uint16_t port,
			   struct sockaddr_storage *ss);

/* addr_from_sockaddr() - @port (may be NULL) in host order.  Return: 0, -EINVAL */
int addr_from_sockaddr(const struct sockaddr_storage *ss, struct ipaddr *a,
		       uint16_t *port);

#endif
