/* SPDX-License-Identifier: MIT */
/*
 * offer.h - what Sentry's CONFIG may change on this machine: address, MTU,
 * resolvers and search domains, within the profile's bounds.
 */
#ifndef APPTUNNEL_OFFER_H
#define APPTUNNEL_OFFER_H

#include "profiles/plan.h"

/*
 * offer_check() - pure: is @o within what the profile leaves open?
 * An address that may stand on an interface and is no service address; what
 * the profile fixes is as the profile says; MTU at most the profile's;
 * resolvers are unicast.  (That names hold only harmless letters was seen by
 * helper_msg_check().)
 * Return: NULL, or what is wrong
 */
const char *offer_check(const struct profile *p, const struct plan_offer *o,
			const struct plan_names *names);

/*
 * offer_address_used() - does another interface, none of our TUNs, hold one of
 * the addresses?
 * Return: 0, -EADDRINUSE, or another negative errno
 */
int offer_address_used(const struct plan_offer *o);

#endif
