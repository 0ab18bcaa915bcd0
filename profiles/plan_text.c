/* SPDX-License-Identifier: MIT */
/*
 * plan_text.c - the plan as people read it ("[#]" lines, JSON), as libnftables
 * reads it, and as the resolver reads it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/names.h"
#include "profiles/plan_priv.h"

#define UNKNOWN		"<from Sentry>"
#define SEARCH_SHOWN	4u	/* search domains in a line; the rest is counted */

/* Text of bounded size; once full it stays full. */
struct text {
	char *buf;
	size_t size, len;
	bool full;
};

__attribute__((format(printf, 2, 3)))
static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->full)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->size - t->len) {
		t->buf[t->len] = '\0';
		t->full = true;
		return;
	}
	t->len += (size_t)n;
}

static int text_end(const struct text *t)
{
	return t->full ? -ENOSPC : (int)t->len;
}

static struct text text_begin(char *buf, size_t size)
{
	if (size)
		buf[0] = '\0';
	return (struct text){ .buf = buf, .size = size, .full = !size };
}

static const char *const kind_names[] = {
	[PLAN_SYSCTL] = "sysctl", [PLAN_NFT] = "nft", [PLAN_RULE_MAIN] = "rule-main",
	[PLAN_RULE] = "rule", [PLAN_SHADOW] = "shadow", [PLAN_THROW] = "throw",
	[PLAN_TUN] = "tun", [PLAN_LINK] = "link", [PLAN_GUARD] = "guard",
	[PLAN_ADDR] = "address", [PLAN_ROUTE] = "route", [PLAN_DNS] = "dns",
	[PLAN_INBOUND] = "inbound",
};
_Static_assert(sizeof(kind_names) / sizeof(*kind_names) == PLAN_KINDS, "a kind has no name");

/* ---- search domains: the offer's, else the profile's --------------------------- */

static uint32_t search_count(const struct plan *plan)
{
	return plan->offer ? plan->offer->n_search :
	       plan->profile ? plan->profile->n_search : 0;
}

static const char *search_name(const struct plan *plan, uint32_t n)
{
	return plan->offer ? plan->offer->search[n] : plan->profile->search[n];
}

int plan_resolv_text(const struct plan *plan, char *buf, size_t size)
{
	struct text t = text_begin(buf, size);
	uint32_t n = search_count(plan);
	char a[ADDR_STRLEN];

	put(&t, "nameserver %s\n", addr_format(&plan->names.service4, a));
	for (uint32_t i = 0; i < n; i++)
		put(&t, "%s%s", i ? " " : "search ", search_name(plan, i));
	if (n)
		put(&t, "\n");
	return text_end(&t);
}

/* ---- one line a change --------------------------------------------------------- */

static void put_prefix(struct text *t, const struct plan_item *i, const char *after)
{
	char p[PREFIX_STRLEN];

	put(t, "%s%s", i->from_sentry ? UNKNOWN : prefix_format(&i->prefix, p), after);
}

static void put_route(struct text *t, const struct plan *plan, const struct plan_item *i,
		      bool undo)
{
	put(t, "ip -%u route %s ", i->family, undo ? "delete" : "add");
	put(t, "%s", i->kind == PLAN_SHADOW ? "unreachable " :
		     i->kind == PLAN_THROW ? "throw " : "");
	put_prefix(t, i, "");
	if (i->kind == PLAN_SHADOW)
		put(t, " metric %u", NAMES_SHADOW_METRIC);
	if (i->kind == PLAN_ROUTE)
		put(t, " dev %s", plan->names.tun);
	put(t, " table %u proto %u", plan->names.table, NAMES_ROUTE_PROTO);
}

static void put_rule(struct text *t, const struct plan *plan, const struct plan_item *i,
		     bool undo)
{
	const struct plan_names *n = &plan->names;
	char a[ADDR_STRLEN], b[ADDR_STRLEN];

	put(t, "ip -%u rule %s ", i->family, undo ? "delete" : "add");
	if (i->kind == PLAN_RULE) {
		put(t, "not fwmark 0x%x/0x%x table %u priority %u", n->mark, n->mark,
		    n->table, n->prio);
	} else {
		if (i->kind == PLAN_INBOUND)
			put(t, "from %s to %s ", addr_format(&i->from, a),
			    addr_format(&i->prefix.addr, b));
		put(t, "ipproto %s sport %u dport %u table main priority %u",
		    i->kind == PLAN_INBOUND ? "tcp" : "udp", i->sport, i->dport,
		    n->prio_main);
	}
	put(t, " protocol %u", NAMES_ROUTE_PROTO);
}

static void put_guard(struct text *t, const struct plan *plan, const struct plan_item *i,
		      bool undo)
{
	const char *verb = undo ? "delete" : "add";
	char buf[ADDR_STRLEN];
	const char *a = i->from_sentry ? UNKNOWN : addr_format(&i->prefix.addr, buf);

	put(t, "nft '%s element inet %s tunnel%u { %s }", verb, plan->names.nft, i->family, a);
	if (i->family == 4)
		put(t, "; %s element arp %s tunnel4 { %s }", verb, plan->names.nft, a);
	put(t, "'");
}

static void put_dns(struct text *t, const struct plan *plan, const struct plan_item *i)
{
	uint32_t n = search_count(plan);
	char a[ADDR_STRLEN];

	put(t, "cat > %s # nameserver %s", plan->names.resolv_conf,
	    addr_format(&plan->names.service4, a));
	if (i->from_sentry) {
		put(t, ", search " UNKNOWN);
		return;
	}
	for (uint32_t k = 0; k < n && k < SEARCH_SHOWN; k++)
		put(t, "%s%s", k ? " " : ", search ", search_name(plan, k));
	if (n > SEARCH_SHOWN)
		put(t, " and %u more", n - SEARCH_SHOWN);
}

static void put_sysctl(struct text *t, const struct plan_item *i)
{
	put(t, "sysctl -w ");
	for (const char *c = i->path; *c; c++)
		put(t, "%c", *c == '/' ? '.' : *c);
	put(t, "=%u", i->value);
}

static void put_item(struct text *t, const struct plan *plan, const struct plan_item *i)
{
	const struct plan_names *n = &plan->names;

	switch ((enum plan_kind)i->kind) {
	case PLAN_SYSCTL:
		put_sysctl(t, i);
		break;
	case PLAN_NFT:
		put(t, "nft -f - # table inet %s, table arp %s", n->nft, n->nft);
		break;
	case PLAN_RULE_MAIN:
	case PLAN_INBOUND:
	case PLAN_RULE:
		put_rule(t, plan, i, false);
		break;
	case PLAN_SHADOW:
	case PLAN_THROW:
	case PLAN_ROUTE:
		put_route(t, plan, i, false);
		break;
	case PLAN_TUN:
		put(t, "ip tuntap add mode tun %s", n->tun);
		break;
	case PLAN_LINK:
		put(t, "ip link set dev %s mtu %u txqueuelen %u alias \"%s\" up", n->tun,
		    i->value, NAMES_TUN_QUEUE, i->path);
		break;
	case PLAN_GUARD:
		put_guard(t, plan, i, false);
		break;
	case PLAN_ADDR:
		put(t, "ip -%u address add ", i->family);
		put_prefix(t, i, "");
		put(t, " dev %s noprefixroute", n->tun);
		break;
	case PLAN_DNS:
		put_dns(t, plan, i);
		break;
	case PLAN_KINDS:
		break;
	}
}

static void put_undo(struct text *t, const struct plan *plan, const struct plan_item *i)
{
	const struct plan_names *n = &plan->names;

	switch ((enum plan_kind)i->kind) {
	case PLAN_SYSCTL:
		put_sysctl(t, i);
		break;
	case PLAN_NFT:
		put(t, "nft 'delete table inet %s; delete table arp %s'", n->nft, n->nft);
		break;
	case PLAN_RULE_MAIN:
	case PLAN_INBOUND:
	case PLAN_RULE:
		put_rule(t, plan, i, true);
		break;
	case PLAN_SHADOW:
	case PLAN_THROW:
	case PLAN_ROUTE:
		put_route(t, plan, i, true);
		break;
	case PLAN_TUN:
		put(t, "ip link delete dev %s", n->tun);
		break;
	case PLAN_GUARD:
		put_guard(t, plan, i, true);
		break;
	case PLAN_ADDR:
		put(t, "ip -%u address delete ", i->family);
		put_prefix(t, i, "");
		put(t, " dev %s", n->tun);
		break;
	case PLAN_DNS:
		put(t, "cat > %s # as it was before", n->resolv_conf);
		break;
	case PLAN_LINK:		/* goes with the TUN */
	case PLAN_KINDS:
		break;
	}
}

int plan_item_text(const struct plan *plan, const struct plan_item *item,
		   char *buf, size_t size)
{
	struct text t = text_begin(buf, size);

	put_item(&t, plan, item);
	return text_end(&t);
}

int plan_undo_text(const struct plan *plan, const struct plan_item *item,
		   char *buf, size_t size)
{
	struct text t = text_begin(buf, size);

	put_undo(&t, plan, item);
	return text_end(&t);
}

/* ---- the rule set ----------------------------------------------------------------- */

static void put_set(struct text *t, const char *name, uint8_t family,
		    const struct prefix_set *set)
{
	const char *sep = "elements = { ";
	char p[PREFIX_STRLEN];

	put(t, "\tset %s%u {\n\t\ttype ipv%u_addr\n\t\tflags interval\n\t\tauto-merge\n\t\t",
	    name, family, family);
	for (size_t i = 0; i < set->n; i++) {
		if (set->p[i].addr.family != family)
			continue;
		put(t, "%s%s", sep, prefix_format(&set->p[i], p));
		sep = ", ";
	}
	put(t, "%s\n\t}\n", sep[0] == ',' ? " }" : "");
}

/* whole: the family as it stands; covered: by the set; minus what is excluded */
static void put_reach_sets(struct text *t, const struct plan_reach *r)
{
	for (uint8_t f = 4; f <= 6; f += 2) {
		if (!(f == 4 ? r->whole4 || r->block4 : r->whole6 || r->block6))
			put_set(t, "covered", f, &r->covered);
		if (prefix_set_any(&r->excluded, f))
			put_set(t, "excluded", f, &r->excluded);
	}
}

static void put_lock(struct text *t, const struct plan_names *n, const char *outside,
		     const struct plan_reach *r)
{
	put(t, "\tchain lock {\n"
	       "\t\ttype filter hook output priority filter; policy accept;\n"
	       "\t\toifname %s accept\n"
	       "\t\tmeta mark and 0x%08x == 0x%08x accept\n"
	       "\t\ticmpv6 type { nd-router-solicit, nd-neighbor-solicit, "
	       "nd-neighbor-advert, mld2-listener-report } accept\n"
	       "\t\tudp sport 68 udp dport 67 accept\n"
	       "\t\tudp sport 546 udp dport 547 accept\n", outside, n->mark, n->mark);
	for (uint8_t f = 4; f <= 6; f += 2) {
		const char *ip = f == 4 ? "ip" : "ip6";

		if (!(f == 4 ? r->whole4 || r->block4 : r->whole6 || r->block6))
			put(t, "\t\t%s daddr != @covered%u accept\n", ip, f);
		if (prefix_set_any(&r->excluded, f))
			put(t, "\t\t%s daddr @excluded%u accept\n", ip, f);
	}
	/* a socket bound to a device hears a TCP reset, but no ICMPv6 error */
	put(t, "\t\tmeta l4proto tcp reject with tcp reset\n"
	       "\t\treject with icmpx admin-prohibited\n"
	       "\t}\n");
}

static void put_guard_set(struct text *t, const struct plan *plan, uint8_t family)
{
	char a[ADDR_STRLEN];

	put(t, "\tset tunnel%u {\n\t\ttype ipv%u_addr\n", family, family);
	for (size_t n = 0; plan->offer && n < plan->n; n++) {
		const struct plan_item *i = &plan->items[n];

		if (i->kind == PLAN_GUARD && i->family == family && !i->from_sentry)
			put(t, "\t\telements = { %s }\n", addr_format(&i->prefix.addr, a));
	}
	put(t, "\t}\n");
}

static void put_chains(struct text *t, const struct plan *plan, const char *outside)
{
	const struct plan_names *n = &plan->names;
	bool inbound = plan->profile->allow_inbound;

	put(t, "\tchain prerouting {\n"
	       "\t\ttype filter hook prerouting priority mangle; policy accept;\n"
	       "\t\tiifname != %s ip daddr @tunnel4 drop\n"
	       "\t\tiifname != %s ip6 daddr @tunnel6 drop\n", outside, outside);
	if (inbound)
		put(t, "\t\tiifname != %s ct direction original fib daddr type local "
		       "ct mark set ct mark or 0x%08x\n"
		       "\t\tip saddr . tcp sport . ip daddr . tcp dport @open4 "
		       "ct mark set ct mark or 0x%08x\n"
		       "\t\tip6 saddr . tcp sport . ip6 daddr . tcp dport @open6 "
		       "ct mark set ct mark or 0x%08x\n",
		    outside, n->mark, n->mark, n->mark);
	put(t, "\t\tct mark and 0x%08x == 0x%08x meta mark set meta mark or 0x%08x\n"
	       "\t}\n"
	       "\tchain output {\n"
	       "\t\ttype route hook output priority mangle; policy accept;\n",
	    n->mark, n->mark, n->mark);
	if (inbound)
		put(t, "\t\tip daddr . tcp dport . ip saddr . tcp sport @open4 "
		       "meta mark set meta mark or 0x%08x\n"
		       "\t\tip6 daddr . tcp dport . ip6 saddr . tcp sport @open6 "
		       "meta mark set meta mark or 0x%08x\n", n->mark, n->mark);
	put(t, "\t\tmeta mark and 0x%08x == 0x%08x ct mark set ct mark or 0x%08x\n",
	    n->mark, n->mark, n->mark);
	if (inbound)
		put(t, "\t\tct direction reply meta mark set meta mark or 0x%08x\n", n->mark);
	put(t, "\t}\n");
}

int plan_nft_text(const struct plan *plan, char *buf, size_t size)
{
	const struct plan_names *n = &plan->names;
	struct text t = text_begin(buf, size);
	struct plan_reach reach;
	char outside[64];
	int err;

	err = plan_reach_make(&reach, plan->profile, n);
	if (err)
		return err;
	/* every engine's TUN is inside; a name of one's own is added */
	snprintf(outside, sizeof(outside), "{ \"lo\", \"%s*\"%s%s%s }", NAMES_TUN_STEM,
		 strncmp(n->tun, NAMES_TUN_STEM, strlen(NAMES_TUN_STEM)) ? ", \"" : "",
		 strncmp(n->tun, NAMES_TUN_STEM, strlen(NAMES_TUN_STEM)) ? n->tun : "",
		 strncmp(n->tun, NAMES_TUN_STEM, strlen(NAMES_TUN_STEM)) ? "\"" : "");

	/* adding makes the deletion valid; all of it is one transaction */
	put(&t, "add table inet %s\ndelete table inet %s\nadd table arp %s\n"
		"delete table arp %s\ntable inet %s {\n", n->nft, n->nft, n->nft, n->nft,
	    n->nft);
	put_guard_set(&t, plan, 4);
	put_guard_set(&t, plan, 6);
	for (unsigned int f = 4; plan->profile->allow_inbound && f <= 6; f += 2)
		put(&t, "\tset open%u {\n\t\ttype ipv%u_addr . inet_service . "
			"ipv%u_addr . inet_service\n\t}\n", f, f, f);
	if (plan->profile->lock_mode != LOCK_OFF)
		put_reach_sets(&t, &reach);
	put_chains(&t, plan, outside);
	if (plan->profile->lock_mode != LOCK_OFF)
		put_lock(&t, n, outside, &reach);
	put(&t, "}\ntable arp %s {\n", n->nft);
	put_guard_set(&t, plan, 4);
	/* ARP's own source check would look in our table, and the router lose us */
	put(&t, "\tchain input {\n"
		"\t\ttype filter hook input priority filter; policy accept;\n"
		"\t\tarp operation request arp daddr ip @tunnel4 drop\n"
		"\t\tmeta mark set meta mark or 0x%08x\n"
		"\t}\n}\n", n->mark);
	plan_reach_free(&reach);
	return text_end(&t);
}

/* ---- JSON ------------------------------------------------------------------------- */

static void put_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", f);
		else if (c == '\t')
			fputs("\\t", f);
		else if (c < 0x20 || c == 0x7f)
			fprintf(f, "\\u%04x", c);
		else
			fputc(c, f);
	}
	fputc('"', f);
}

static bool put_json_item(FILE *f, const struct plan *plan, const struct plan_item *i)
{
	char line[PLAN_LINE_MAX];

	if (plan_item_text(plan, i, line, sizeof(line)) < 0)
		return false;
	fprintf(f, "{\"stage\": \"%s\", \"kind\": \"%s\"",
		i->stage == PLAN_LOCK ? "lock" : "tunnel", kind_names[i->kind]);
	if (i->family)
		fprintf(f, ", \"family\": %u", i->family);
	if (i->prefix.addr.family) {
		char p[PREFIX_STRLEN];

		fprintf(f, ", \"prefix\": \"%s\"", prefix_format(&i->prefix, p));
	}
	fprintf(f, ", \"from_sentry\": %s, \"command\": ", i->from_sentry ? "true" : "false");
	put_string(f, line);
	fputc('}', f);
	return true;
}

char *plan_json(const struct plan *plan)
{
	size_t nft_size = PLAN_NFT_MAX, len;
	char *out = NULL, *nft = malloc(nft_size);
	bool ok = false;
	FILE *f;

	f = nft ? open_memstream(&out, &len) : NULL;
	if (!f)
		goto end;
	ok = plan_nft_text(plan, nft, nft_size) >= 0;
	fputs("{\"version\": 1, \"profile\": ", f);
	put_string(f, plan->profile->stem);
	fputs(", \"changes\": [", f);
	for (size_t n = 0; ok && n < plan->n; n++) {
		fputs(n ? ",\n  " : "\n  ", f);
		ok = put_json_item(f, plan, &plan->items[n]);
	}
	fputs("\n], \"nft\": ", f);
	put_string(f, nft);
	fputs("}\n", f);
	ok &= !ferror(f);
	ok &= !fclose(f);
end:
	free(nft);
	if (!ok) {
		free(out);
		out = NULL;
	}
	return out;
}
