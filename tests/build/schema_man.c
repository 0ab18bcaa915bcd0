/* SPDX-License-Identifier: MIT */
/*
 * schema_man.c - prints docs/man/apptunnel-profile.5 from the one table of keys
 * (profiles/schema.c).  `make man` writes the page; a build check compares the
 * page with what this prints, so that the two cannot differ.
 */
#include <stdio.h>
#include <string.h>

#include "profiles/ini.h"
#include "profiles/schema_doc.h"

/* Text of the table: hyphens and backslashes as they are, no line begins with a control. */
static void put(const char *s)
{
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", stdout);
		else if (*s == '-')
			fputs("\\-", stdout);
		else
			putchar(*s);
	}
}

/* What the table says in words. */
static void put_doc(void (*doc)(enum schema_id id, struct text *t), enum schema_id id)
{
	struct text t = { 0 };

	doc(id, &t);
	if (t.s)
		put(t.s);
	text_free(&t);
}

static void put_state(const struct schema_key *k)
{
	const char *sep = "";
	unsigned int i;

	switch ((enum schema_state)k->state) {
	case STATE_IN_EFFECT:
		break;
	case STATE_NOT_YET:
		puts("Accepted and checked, but\n.B not in effect\nyet.");
		return;
	case STATE_REFUSED:
		puts(".B Refused\nas not supported yet.");
		return;
	}
	if (!k->refused_values)
		return;
	for (i = 0; k->values[i]; i++) {
		if (!(k->refused_values & 1u << i))
			continue;
		printf("%s", sep);
		put(k->values[i]);
		sep = ", ";
	}
	puts(":\n.B refused\nas not supported yet.");
}

static void put_aliases(enum schema_id id)
{
	size_t i;

	for (i = 0; i < schema_n_aliases; i++) {
		const struct schema_alias *a = &schema_aliases[i];

		if (a->id != id)
			continue;
		put(a->misprint ? "The misprint " : "Also written ");
		put(a->name);
		puts(a->misprint ? " is understood, with a warning." : ".");
	}
}

/* The one line of help as a sentence; a word that is a value stays as it is. */
static void put_help(const char *s)
{
	size_t word = strspn(s, "abcdefghijklmnopqrstuvwxyz'");

	if (word && (s[word] == ' ' || s[word] == ',') && s[0] >= 'a' && s[0] <= 'z')
		putchar(*s++ - 'a' + 'A');
	put(s);
	puts(".");
}

static void put_key(enum schema_id id)
{
	const struct schema_key *k = &schema[id];
	const char *scope = schema_doc_scope(id);
	bool rule = k->form == FORM_RULE || k->form == FORM_RULE_LIST;

	printf(".TP\n.B %s", rule ? "Rule.\\fIN\\fB." : "");
	put(k->name);
	puts(k->form == FORM_RULE_LIST ? ".\\fIM" : "");
	put_help(k->help);
	fputs("Value: ", stdout);
	put_doc(schema_doc_value, id);
	fputs("; ", stdout);
	put_doc(schema_doc_default, id);
	puts(".");
	if (scope) {
		fputs("Only with ", stdout);
		put(scope);
		puts(".");
	}
	put_aliases(id);
	put_state(k);
}

static void head(void)
{
	puts(".\\\" written by `make man` from profiles/schema.c and tests/build/schema_man.c; do not edit\n"
	     ".TH APPTUNNEL-PROFILE 5 2026-11-21 \"AppTunnel " APPTUNNEL_VERSION "\" \"AppTunnel for Linux\"\n"
	     ".SH NAME\n"
	     "apptunnel\\-profile \\- what a profile of AppTunnel holds\n"
	     ".SH SYNOPSIS\n"
	     ".I /etc/apptunnel/profiles.d/NAME.ini\n"
	     ".SH DESCRIPTION\n"
	     "A profile is one INI file; it says which Sentry to trust, who this device is, and what the tunnel takes.\n"
	     ".I NAME\n"
	     "is 1 to 32 letters, digits, hyphens and underscores; commands know the profile by it.\n"
	     "The file belongs to root, and nobody else can write it.\n"
	     ".PP\n"
	     ".B apptunnel profile check\n"
	     "reports every finding at once, with line and column; nothing of an invalid profile is ever applied.\n"
	     ".SH TEXT OF THE FILE\n"
	     "Lines are\n"
	     ".IR [section] ,\n"
	     ".IR \"key = value\" ,\n"
	     "a comment that begins with # or ; or blank.\n"
	     "A comment stands on a line of its own.\n"
	     "Names of sections and keys are matched without regard to case.\n"
	     "A section or key that begins with\n"
	     ".B x\\-\n"
	     "is the administrator's own: kept, and ignored; any other unknown name is an error.\n"
	     "Paths are relative to the folder of the profile.\n"
	     "Nothing is expanded.");
	printf(".PP\n"
	       "A list stands in double quotes with ; between the values, or over several numbered lines,\n"
	       "each with one value or several:\n"
	       ".PP\n.RS\n.nf\n"
	       "IPRoutes = \"10.0.0.0/8;172.16.0.0/16\"\n"
	       ".PP\n"
	       "IPRoutes.1 = 10.0.0.0/8\n"
	       "IPRoutes.2 = \"172.16.0.0/16;192.0.2.0/24\"\n"
	       ".fi\n.RE\n.PP\n"
	       "An unquoted ; or # in a value is refused, for INI readers take it for a comment and lose the rest.\n"
	       "A key is either plain or numbered, not both; numbers are 1 to %u, and gaps are allowed.\n"
	       "Refused as well: a key or section given twice, a line over %u bytes, more than %u keys, a file over 1 MiB, "
	       "text that is not UTF\\-8, a line that ends in a backslash.\n"
	       ".SH KEYS\n", SCHEMA_NUMBER_MAX, INI_LINE_MAX, INI_KEYS_MAX);
}

static void tail(void)
{
	puts(".SH EXAMPLE\n.nf\n"
	     "[sentry]\n"
	     "Host = \"sentry\\-a.example.com;sentry\\-b.example.com\"\n"
	     "DeviceId = laptop\\-0815\n"
	     "UserId = jane\n"
	     ".PP\n"
	     "[identity]\n"
	     "Certificate = laptop.crt\n"
	     "PrivateKey = laptop.key\n"
	     ".PP\n"
	     "[pinning]\n"
	     "PinnedCertificate = \"sentry.pem;sentry\\-next.pem\"\n"
	     ".PP\n"
	     "[tunnel]\n"
	     "IPRoutes = \"10.0.0.0/8;172.16.0.0/16\"\n"
	     "ExcRoutes = 10.10.10.10/32\n"
	     "SplitUDPPortList = \"53;161\\-162;200\\-1024\"\n"
	     ".fi\n"
	     ".PP\n"
	     ".B apptunnel profile example\n"
	     "prints one with every key explained.\n"
	     ".SH DIFFERENCES\n"
	     "The names of the keys are those of the vendor's clients; a few defaults and ranges are not, for one packet tunnel for a whole machine is the main case here:\n"
	     ".IP \\(bu 2\n"
	     "ProviderType is packet\\-tunnel, VpnScope device and DefaultAction ignore, where the vendor's clients begin with an app proxy, single apps and connect.\n"
	     ".IP \\(bu 2\n"
	     "TcpIdleTmoMs is 1800000 for a device, the top of its range: 60 seconds, which the vendor states for single apps, would cut idle ssh and database connections.\n"
	     ".IP \\(bu 2\n"
	     "Routes and resolvers may be IPv6, and domain names may have hyphens.\n"
	     ".IP \\(bu 2\n"
	     "A list with ; stands in quotes.\n"
	     ".SH SEE ALSO\n"
	     ".BR apptunnel (1),\n"
	     ".BR apptunneld (8);\n"
	     "docs/findings.md lists what\n"
	     ".B profile check\n"
	     "may say.");
}

int main(void)
{
	const char *section = "";
	size_t i;

	head();
	for (i = 0; i < SCHEMA_KEYS; i++) {
		if (strcmp(section, schema[i].section) != 0) {
			section = schema[i].section;
			printf(".SS [%s]\n", section);
			if (schema_section_refused(section))
				puts("The whole section is refused as not supported yet.");
			if (!strcmp(section, "ondemand"))
				printf("Rules are numbered, 1 to %u; the first that matches counts.\n",
				       SCHEMA_RULES_MAX);
		}
		put_key(i);
	}
	tail();
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
