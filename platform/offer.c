/* SPDX-License-Identifier: MIT */
/*
 * offer.c - Sentry is not trusted beyond its role.
 */
#include "platform/offer.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "platform/names.h"

static const char *address_check(const struct ipaddr *fixed, const struct ipaddr *a,
				 const struct plan_names *names)
{
	if (fixed->family)
		return addr_equal(fixed, a) ? NULL : "another address than TunIP";
	if (!a->family)
		return NULL;
	if (!addr_is_assignable(a))
		return "an address that no interface may have";
	if (addr_equal(a, &names->service4) || addr_equal(a, &names->service6))
		return "the DNS forwarder's own address";
	return NULL;
}

const char *offer_check(const struct profile *p, const struct plan_offer *o,
			const struct plan_names *names)
{
	const char *wrong;
	uint32_t i;

	if (!o->addr4.family && !o->addr6.family)
		return "no address at all";
	wrong = address_check(&p->tun4, &o->addr4, names);
	if (!wrong)
		wrong = address_check(&p->tun6, &o->addr6, names);
	if (wrong)
		return wrong;
	if (o->mtu > p->mtu)
		return "a larger MTU than the profile's";
	if (p->n_resolvers && p->n_resolvers != o->n_resolvers)
		return "other resolvers than the profile's";
	for (i = 0; i < o->n_resolvers; i++) {
		const struct ipaddr *r = &o->resolvers[i];

		if (p->n_resolvers && !addr_equal(&p->resolvers[i], r))
			return "other resolvers than the profile's";
		if (addr_is_unspecified(r) || addr_is_multicast(r) || addr_is_loopback(r))
			return "a resolver that cannot be one";
	}
	if (p->n_search && p->n_search != o->n_search)
		return "other search domains than the profile's";
	for (i = 0; i < p->n_search; i++) {
		if (strcmp(p->search[i], o->search[i]))
			return "other search domains than the profile's";
	}
	return NULL;
}

int offer_address_used(const struct plan_offer *o)
{
	const size_t stem = sizeof(NAMES_TUN_STEM) - 1;
	struct ifaddrs *list, *i;
	int err = 0;

	if (getifaddrs(&list) < 0)
		return -errno;
	for (i = list; i && !err; i = i->ifa_next) {
		struct sockaddr_storage ss;
		struct ipaddr a;

		if (!i->ifa_addr || !strncmp(i->ifa_name, NAMES_TUN_STEM, stem) ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		memset(&ss, 0, sizeof(ss));
		memcpy(&ss, i->ifa_addr, i->ifa_addr->sa_family == AF_INET ?
		       sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		if (addr_from_sockaddr(&ss, &a, NULL) == 0 &&
		    (addr_equal(&a, &o->addr4) || addr_equal(&a, &o->addr6)))
			err = -EADDRINUSE;
	}
	freeifaddrs(list);
	return err;
}
