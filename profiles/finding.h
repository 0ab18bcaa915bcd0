/* SPDX-License-Identifier: MIT */
/*
 * finding.h - what is wrong, or worth a word, in a profile: place, key, a
 * stable code and a sentence.  docs/findings.md lists the codes.
 */
#ifndef APPTUNNEL_FINDING_H
#define APPTUNNEL_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Codes never change their meaning and are never used again.  E: an error,
 * W: a warning.  1xx text of the file, 2xx names of keys, 3xx values, 4xx
 * between keys, 5xx not built, 6xx the files that a profile names, 7xx the signature.
 */
#define FINDING_CODES(X) \
	X(FC_TOO_BIG,		"E101", "the file is larger than 1 MiB") \
	X(FC_NUL,		"E102", "a NUL byte") \
	X(FC_UTF8,		"E103", "not UTF-8") \
	X(FC_TOO_MANY_KEYS,	"E104", "more than 8,192 keys") \
	X(FC_LONG_LINE,		"E105", "a line over 1,022 bytes") \
	X(FC_LONE_CR,		"E106", "a carriage return that ends no line") \
	X(FC_CONTROL,		"E107", "a control character") \
	X(FC_LINE,		"E108", "neither section, key, comment nor blank") \
	X(FC_OPEN_QUOTE,	"E109", "the closing quote is missing") \
	X(FC_AFTER_QUOTE,	"E110", "text after the closing quote") \
	X(FC_LINE_BACKSLASH,	"E111", "a line that ends in a backslash") \
	X(FC_UNQUOTED,		"E112", "an unquoted ; or # in a value") \
	X(FC_SINGLE_QUOTE,	"E113", "single quotes") \
	X(FC_NAME_CHAR,		"E114", "a character that a name may not have") \
	X(FC_NO_SECTION,	"E115", "a key before any section") \
	X(FC_DUPLICATE_KEY,	"E116", "a key given twice, also in two spellings") \
	X(FC_DUPLICATE_SECTION,	"E117", "a section given twice") \
	X(FC_SECTION,		"E118", "a malformed section line") \
	X(FC_QUOTE_BACKSLASH,	"E119", "a quoted value that ends in a backslash") \
	X(FC_READERS,		"E120", "the two readers of the file disagree") \
	X(FC_TOO_MANY,		"E121", "too many findings, the rest is left out") \
	X(FC_UNKNOWN_SECTION,	"E201", "an unknown section") \
	X(FC_UNKNOWN_KEY,	"E202", "an unknown key") \
	X(FC_NOT_A_LIST,	"E203", "a number behind a key that holds one value") \
	X(FC_KEY_NUMBER,	"E204", "a wrong number behind a list key") \
	X(FC_PLAIN_NUMBERED,	"E205", "a list key both plain and numbered") \
	X(FC_MISSING,		"E207", "a required key is missing") \
	X(FC_MISPRINT,		"W208", "the misprinted spelling of a key") \
	X(FC_OUT_OF_SCOPE,	"W209", "a key that has no effect in this kind of profile") \
	X(FC_FILE_NAME,		"W210", "a file name by which no command can know the profile") \
	X(FC_STORE_NAME,	"E210", "a file name outside the pattern, in the store") \
	X(FC_EMPTY,		"E301", "an empty value") \
	X(FC_EMPTY_ELEMENT,	"E302", "an empty element of a list") \
	X(FC_LENGTH,		"E303", "a text that is too long") \
	X(FC_NUMBER,		"E304", "not a number") \
	X(FC_RANGE,		"E305", "a number out of range") \
	X(FC_ENUM,		"E306", "not one of the words that are accepted") \
	X(FC_HOST,		"E307", "not a host") \
	X(FC_ADDRESS,		"E308", "not an address") \
	X(FC_PREFIX,		"E309", "not an address with a prefix length") \
	X(FC_PORT,		"E310", "not a port or a range of ports") \
	X(FC_DOMAIN,		"E311", "not a domain name") \
	X(FC_PIN,		"E312", "not a pin") \
	X(FC_PATH,		"E313", "not a usable path") \
	X(FC_SERVICE,		"E314", "not a service name") \
	X(FC_EMAIL,		"E315", "not an e-mail address") \
	X(FC_APP,		"E316", "not an app identifier") \
	X(FC_TOO_MANY_VALUES,	"E317", "more values than a key holds") \
	X(FC_TUNIP,		"E318", "not usable as the address of the TUN") \
	X(FC_ULA,		"E319", "not a ULA prefix") \
	X(FC_PROXY_DEVICE,	"E401", "app-proxy for a whole device") \
	X(FC_SERVICE_TYPE,	"E402", "a service that does not fit the provider") \
	X(FC_NO_PIN,		"E403", "no pin, with pinning enabled") \
	X(FC_ACCESS,		"E404", "[access] is incomplete") \
	X(FC_APPS_BOTH,		"E405", "Allowed and Disallowed together") \
	X(FC_RULE,		"E406", "an incomplete on-demand rule") \
	X(FC_UDP_53,		"W421", "SplitUDPPortList without 53") \
	X(FC_EXC_OUTSIDE,	"W422", "an ExcRoute outside all IPRoutes") \
	X(FC_RESOLVER,		"W423", "a resolver that is not covered") \
	X(FC_TUNIP_COVERED,	"W424", "TunIP inside a route") \
	X(FC_HOST_BITS,		"W425", "host bits set in a prefix") \
	X(FC_PINNING_OFF,	"W426", "pinning is disabled") \
	X(FC_ONE_PIN,		"W427", "one pin only") \
	X(FC_SELF_SIGNED,	"W428", "a self-signed Sentry certificate") \
	X(FC_SENTRY_MATCH,	"W429", "Sentry's own name inside MatchDomains") \
	X(FC_DOCKER,		"W430", "Docker's default ranges inside a route") \
	X(FC_ROUTE_DROPPED,	"W431", "an IPRoute dropped by an ExcRoute") \
	X(FC_ROUTES_DEFAULT,	"W432", "IPRoutes left at its default") \
	X(FC_OVERLAP,		"W433", "repeated or overlapping entries") \
	X(FC_KEY_UNSUPPORTED,	"E501", "a key that is not supported yet") \
	X(FC_VALUE_UNSUPPORTED,	"E502", "a value that is not supported yet") \
	X(FC_SECTION_UNSUPPORTED, "E503", "a section that is not supported yet") \
	X(FC_NOT_YET,		"W504", "a key that is not in effect yet") \
	X(FC_FILE_MISSING,	"E601", "a file that is not there") \
	X(FC_FILE_KIND,		"E602", "not a regular file") \
	X(FC_FILE_OWNER,	"E603", "a file of the wrong owner") \
	X(FC_FILE_MODE,		"E604", "a file that others can write, or a key they can read") \
	X(FC_FILE_PEM,		"E605", "not the PEM that is expected") \
	X(FC_KEY_MISMATCH,	"E606", "the key does not fit the certificate") \
	X(FC_X509_V3,		"E607", "a certificate that is not X.509 v3") \
	X(FC_EXPIRED,		"W608", "an expired certificate") \
	X(FC_EXPIRES_SOON,	"W609", "a certificate that expires soon") \
	X(FC_NOT_CHECKED,	"W610", "a file that could not be checked") \
	X(FC_UNSIGNED,		"E701", "not signed, where only signed profiles are accepted") \
	X(FC_SIGNED_FORM,	"E702", "a signed file that is cut short or not in DER form") \
	X(FC_SIGNED_KIND,	"E703", "a CMS message of a kind that is not accepted") \
	X(FC_SIGNED_BY,		"E704", "signed by somebody who may not") \
	X(FC_SIGNED_ALTERED,	"E705", "altered after it was signed") \
	X(FC_SIGNER_EXPIRED,	"E706", "the signer's certificate is not valid now") \
	X(FC_SIGNER_UNFIT,	"E707", "the signer's certificate is not one for signing profiles") \
	X(FC_SIGNER_FILE,	"E708", "the signer's file is unusable") \
	X(FC_NO_SIGNER,		"E709", "signed, and nothing says who may sign") \
	X(FC_OLDER,		"E710", "an older Version than one that was seen")

enum finding_code {
#define FINDING_ENUM(id, code, title) id,
	FINDING_CODES(FINDING_ENUM)
#undef FINDING_ENUM
	FINDING_N_CODES
};

#define FINDINGS_MAX		16384	/* of one file; the last says that there are more */
#define FINDING_TEXT_MAX	512	/* bytes of a sentence */
#define FINDING_LINE_MAX	2048	/* bytes of a formatted line, with NUL */

struct finding {
	uint32_t line, column;		/* from 1, in characters; 0: what is missing */
	uint32_t seq;			/* keeps the order of equals */
	enum finding_code code;
	char *key;			/* "-": none */
	char *text;
};

struct findings {
	char *file;			/* label, as printed; owned */
	size_t n, cap, errors, warnings;
	bool failed;			/* memory ran out */
	struct finding *v;
};

/* findings_init() - Return: 0, -ENOMEM */
int findings_init(struct findings *f, const char *file);
void findings_free(struct findings *f);

/*
 * finding_add() - one more; a failure is kept in @f
 * @key: as printed, NULL: none
 */
void finding_add(struct findings *f, enum finding_code code, uint32_t line, uint32_t column,
		 const char *key, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* findings_sort() - by line, column, and the order in which they were found */
void findings_sort(struct findings *f);

const char *finding_code_name(enum finding_code code);		/* "E101" */
const char *finding_code_title(enum finding_code code);
bool finding_code_is_error(enum finding_code code);

/*
 * finding_format() - "FILE:LINE:COL: severity: KEY: text", no line end
 * @buf: FINDING_LINE_MAX bytes or more.  Return: @buf
 */
char *finding_format(const struct findings *f, const struct finding *one, char *buf, size_t size);

/* findings_json() - the --json form of `profile check`; free() it; NULL: no memory */
char *findings_json(const struct findings *f);

#endif
