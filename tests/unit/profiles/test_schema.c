/* SPDX-License-Identifier: MIT */
/* test_schema.c - the table of keys against the record, its defaults and the documents */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/finding.h"
#include "profiles/reader.h"
#include "profiles/schema.h"
#include "profiles/value.h"

static struct schema_hit hit;

static enum schema_match find(const char *section, const char *name)
{
	hit = (struct schema_hit){ 0 };
	return schema_find(section, name, strlen(name), &hit);
}

START_TEST(every_row_is_whole)
{
	size_t i, k;

	for (i = 0; i < SCHEMA_KEYS; i++) {
		const struct schema_key *row = &schema[i];

		ck_assert_msg(row->section && row->name && row->help && *row->help, "row %zu", i);
		ck_assert_msg(row->offset + row->size <= sizeof(struct profile), "%s", row->name);
		if (row->type == T_ENUM || row->type == T_LOG_LEVEL)
			ck_assert_msg(row->values != NULL, "%s", row->name);
		if (row->form == FORM_LIST)
			ck_assert_msg(row->max > 0, "%s holds nothing", row->name);
		if (row->type == T_NUMBER)
			ck_assert_msg(row->min < row->max, "%s", row->name);
		/* state in effect means that the value goes somewhere, or that only the
		 * default is accepted */
		if (row->state == STATE_IN_EFFECT)
			ck_assert_msg(row->size || row->refused_values, "%s", row->name);
		for (k = 0; k < i; k++)
			ck_assert_msg(strcmp(row->section, schema[k].section) != 0 ||
				      strcmp(row->name, schema[k].name) != 0, "%s twice", row->name);
	}
}
END_TEST

/* The defaults of the table are those of the record. */
START_TEST(defaults_agree)
{
	struct profile *p = malloc(sizeof(*p));
	struct value_error e;
	size_t i;

	ck_assert(p != NULL);
	profile_defaults(p);
	for (i = 0; i < SCHEMA_KEYS; i++) {
		const struct schema_key *row = &schema[i];
		const char *field = (const char *)p + row->offset;
		unsigned int word;
		uint64_t v = 0;

		if (!row->fallback || !row->size)
			continue;
		switch ((enum schema_type)row->type) {
		case T_NUMBER:
			ck_assert(!value_number(row->fallback, strlen(row->fallback), row->min,
						row->max, row->or_zero, &v, &e));
			ck_assert_msg(!memcmp(field, &v, row->size), "%s", row->name);
			break;
		case T_ENUM:
		case T_LOG_LEVEL:
			ck_assert(!value_enum(row->fallback, strlen(row->fallback), row->values,
					      &word, &e));
			ck_assert_msg(!(row->refused_values & (1u << word)), "%s", row->name);
			if (row->size == 1)
				ck_assert_msg((unsigned char)*field == word, "%s", row->name);
			else
				ck_assert_str_eq(field, row->fallback);
			break;
		case T_TEXT:
		case T_SERVICE:
			ck_assert_str_eq(field, row->fallback);
			break;
		case T_PREFIX:
			ck_assert_str_eq(row->fallback, "0.0.0.0/0");
			ck_assert_uint_eq(p->n_routes, 1);
			ck_assert_uint_eq(p->routes[0].len, 0);
			ck_assert_uint_eq(p->routes[0].addr.family, 4);
			break;
		case T_HOST: case T_PATH: case T_PIN: case T_PORTS: case T_ADDRESS:
		case T_TUN_ADDRESS: case T_ULA: case T_DOMAIN: case T_STRICT_DOMAIN:
		case T_EMAIL: case T_APP:
			ck_abort_msg("%s has a default that nobody compares", row->name);
			break;
		}
	}
	free(p);
}
END_TEST

START_TEST(names_are_found)
{
	ck_assert(find("tunnel", "iproutes") == MATCH_KEY && hit.id == K_ROUTES && !hit.number);
	ck_assert(find("tunnel", "IPRoutes.8192") == MATCH_KEY && hit.number == 8192);
	ck_assert(find("tunnel", "IPRoutes.8193") == MATCH_BAD_NUMBER);
	ck_assert(find("tunnel", "IPRoutes.4294967297") == MATCH_BAD_NUMBER);
	ck_assert(find("tunnel", "IPRoutes.1.2") == MATCH_UNKNOWN);
	ck_assert(find("tunnel", "MTU.1") == MATCH_NOT_A_LIST);
	ck_assert(find("tunnel", "INCLUDEDROUTES.3") == MATCH_KEY && hit.id == K_ROUTES && hit.alias &&
		  hit.number == 3);
	ck_assert(find("atp", "AtpProbeldleSec") == MATCH_KEY && hit.alias && hit.alias->misprint);
	ck_assert(find("dns", "IPRoutes") == MATCH_UNKNOWN);
	ck_assert(find("ondemand", "Rule.10.SSID.50") == MATCH_KEY && hit.rule == 10 &&
		  hit.number == 50 && hit.id == K_RULE_SSID);
	ck_assert(find("ondemand", "rule.1.action") == MATCH_KEY && hit.id == K_RULE_ACTION);
	ck_assert(find("ondemand", "Rule.11.Action") == MATCH_BAD_NUMBER);
	ck_assert(find("ondemand", "Rule.1.SSID") == MATCH_BAD_NUMBER);
	ck_assert(find("ondemand", "Rule.1.Action.1") == MATCH_NOT_A_LIST);
	ck_assert(find("ondemand", "Rule.1") == MATCH_UNKNOWN);
	ck_assert(find("ondemand", "Rule.") == MATCH_UNKNOWN);
	ck_assert(find("ondemand", "SSID") == MATCH_UNKNOWN);
	ck_assert(find("tunnel", "Rule.1.Action") == MATCH_UNKNOWN);
	ck_assert(find("tunnel", "") == MATCH_UNKNOWN && find("tunnel", ".") == MATCH_UNKNOWN);
	ck_assert_str_eq(schema_section("TUNNEL", 6), "tunnel");
	ck_assert(!schema_section("tunne", 5) && !schema_section("", 0));
	ck_assert(schema_section_refused("apps") && !schema_section_refused("dns"));
	ck_assert_str_eq(schema_home("tunnel", "CaFile", 6), "pinning");
	ck_assert(!schema_home("pinning", "CaFile", 6));
}
END_TEST

START_TEST(likeness)
{
	char buf[SCHEMA_NAME_MAX];

	ck_assert_str_eq(schema_near_key("tunnel", "IPRoute", 7, buf), "IPRoutes");
	ck_assert_str_eq(schema_near_key("tunnel", "IPRuotes.12", 11, buf), "IPRoutes.12");
	ck_assert_str_eq(schema_near_key("dns", "SplitDomainList", 15, buf), "SplitDomainsList");
	ck_assert(!schema_near_key("tunnel", "X", 1, buf));
	ck_assert(!schema_near_key("tunnel", "IPRoutesXYZ", 11, buf));
	ck_assert_str_eq(schema_near_section("senty", 5), "sentry");
	ck_assert(!schema_near_section("", 0));
}
END_TEST

START_TEST(codes_are_documented)
{
	char *text = calloc(1, 65536), row[256];
	FILE *f = fopen("docs/findings.md", "r");
	enum finding_code c, d;

	ck_assert_msg(f && text, "docs/findings.md: %s (run from the top of the tree)", strerror(errno));
	ck_assert_uint_lt(fread(text, 1, 65535, f), 65535);
	fclose(f);
	for (c = 0; c < FINDING_N_CODES; c++) {
		snprintf(row, sizeof(row), "| %s | %s |", finding_code_name(c),
			 finding_code_title(c));
		ck_assert_msg(strstr(text, row) != NULL, "docs/findings.md lacks: %s", row);
		for (d = 0; d < c; d++)
			ck_assert_str_ne(finding_code_name(c), finding_code_name(d));
	}
	free(text);
}
END_TEST

/* ---- the record ---------------------------------------------------------------------------- */

static struct profile *p;

static void sound(void)
{
	profile_defaults(p);
	memcpy(p->stem, "corp", 5);
}

#define REFUSED(change) do { \
	sound(); \
	ck_assert_int_eq(profile_check_record(p, sizeof(*p)), 0); \
	change; \
	ck_assert_msg(profile_check_record(p, sizeof(*p)) == -EBADMSG, "accepted: " #change); \
} while (0)

START_TEST(unsound_records_are_refused)
{
	p = malloc(sizeof(*p));
	ck_assert(p != NULL);
	sound();
	ck_assert_int_eq(profile_check_record(p, sizeof(*p) - 1), -EBADMSG);
	ck_assert_int_eq(profile_check_record(p, sizeof(*p) + 1), -EBADMSG);
	REFUSED(p->magic++);
	REFUSED(p->version++);
	REFUSED(p->size--);
	REFUSED(p->stem[0] = '\0');
	REFUSED(memcpy(p->stem, "../x", 5));
	REFUSED(memset(p->stem, 'a', sizeof(p->stem)));
	REFUSED(memset(p->name, 'a', sizeof(p->name)));
	REFUSED(memset(p->description, 'a', sizeof(p->description)));
	REFUSED(p->provider = 2);
	REFUSED(p->scope = 2);
	REFUSED(p->n_hosts = PROFILE_MAX_HOSTS + 1);
	REFUSED(p->n_hosts = 1);	/* without a name */
	REFUSED(p->n_hosts = 1; p->hosts[0].name[0] = 'a');	/* port 0 */
	REFUSED(p->n_hosts = 1; p->hosts[0].port = 1; memset(p->hosts[0].name, 'a', PROFILE_NAME_MAX));
	REFUSED(p->n_hosts = 1; p->hosts[0].port = 1; p->hosts[0].name[0] = 'a';
		p->hosts[0].addr.family = 5);
	REFUSED(memset(p->service, 'a', sizeof(p->service)));
	REFUSED(memset(p->device_id, 'a', sizeof(p->device_id)));
	REFUSED(memset(p->user_id, 'a', sizeof(p->user_id)));
	REFUSED(memset(p->platform, 'a', sizeof(p->platform)));
	REFUSED(p->tls_max = 2);
	REFUSED(memcpy(p->certificate, "relative", 9));
	REFUSED(memcpy(p->private_key, "relative", 9));
	REFUSED(memset(p->chain, '/', sizeof(p->chain)));
	REFUSED(memcpy(p->ca_file, "relative", 9));
	REFUSED(p->pinning_disabled = 2);
	REFUSED(p->n_pins = PROFILE_MAX_PINS + 1);
	REFUSED(p->n_pins = 1);		/* a file without a path */
	REFUSED(p->n_pins = 1; p->pins[0].kind = 3);
	REFUSED(p->n_pins = 1; p->pins[0].kind = PIN_KEY_SHA256; memcpy(p->pins[0].path, "/a", 3));
	REFUSED(p->n_routes = PROFILE_MAX_PREFIXES + 1);
	REFUSED(p->n_routes = UINT32_MAX);
	REFUSED(p->routes[0].addr.family = 0);
	REFUSED(p->routes[0].len = 33);
	REFUSED(p->routes[0].addr.bytes[3] = 1);	/* host bits */
	REFUSED(p->routes[0].addr.bytes[15] = 1);	/* behind an IPv4 address */
	REFUSED(p->n_excluded = 1);
	REFUSED(p->udp_split = 2);
	REFUSED(p->n_ports = PROFILE_MAX_PORTS + 1);
	REFUSED(p->n_ports = 1);	/* port 0 */
	REFUSED(p->n_ports = 1; p->ports[0] = ((struct port_range){ 5, 4 }));
	REFUSED(p->n_ports = 2; p->ports[0] = ((struct port_range){ 5, 9 });
		p->ports[1] = ((struct port_range){ 9, 9 }));
	REFUSED(p->mtu = 1279);
	REFUSED(p->tun4.family = 6);
	REFUSED(p->tun4.family = 4);	/* 0.0.0.0 */
	REFUSED(p->tun6.family = 4; p->tun6.bytes[0] = 10);
	REFUSED(p->probe_idle_s = 0);
	REFUSED(p->probe_idle_s = 86401);
	REFUSED(p->probe_interval_s = 3601);
	REFUSED(p->probe_count = 101);
	REFUSED(p->n_resolvers = PROFILE_MAX_RESOLVERS + 1);
	REFUSED(p->n_resolvers = 1);
	REFUSED(p->n_search = PROFILE_MAX_SEARCH + 1);
	REFUSED(p->n_search = 1);
	REFUSED(p->n_search = 1; memcpy(p->search[0], "a\nnameserver 9.9.9.9", 21));
	REFUSED(p->backend = 5);
	REFUSED(p->lock_mode = 3);
	REFUSED(p->allow_inbound = 2);
	REFUSED(p->lock_ipv6 = 2);
	REFUSED(p->log_level = 6);
	free(p);
}
END_TEST

START_TEST(stems)
{
	ck_assert(profile_stem_ok("corp") && profile_stem_ok("A-b_9"));
	ck_assert(profile_stem_ok("0123456789abcdef0123456789abcdef"));
	ck_assert(!profile_stem_ok("0123456789abcdef0123456789abcdefg"));
	ck_assert(!profile_stem_ok("") && !profile_stem_ok("a.b") && !profile_stem_ok("../a"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("schema");
	TCase *t = tcase_create("schema");
	SRunner *r;
	int failed;

	tcase_add_test(t, every_row_is_whole);
	tcase_add_test(t, defaults_agree);
	tcase_add_test(t, names_are_found);
	tcase_add_test(t, likeness);
	tcase_add_test(t, codes_are_documented);
	tcase_add_test(t, unsound_records_are_refused);
	tcase_add_test(t, stems);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
