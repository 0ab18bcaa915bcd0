/* SPDX-License-Identifier: MIT */
/*
 * ctl_import.h - `apptunnel profile import`: the configuration that an MDM
 * gives to other platforms' tunnel becomes a profile of ours.
 *
 * The way of a file: ctl_import.c reads it (1 MiB at most); a child without
 * rights (ctl_import_child.c) finds out what it is, takes a signature's wrapping
 * off, judges its size and nesting before any library sees it (_guard.c), has
 * libplist or jansson read it (_read.c) into a tree (_tree.c), and picks values
 * out of that (_apple.c, _ondemand.c, _android.c, _keys.c, _value.c, _certs.c;
 * _rest.c lists what stays).  What comes back are values and sentences;
 * ctl_import_finish.c writes the profile, has the product's own reader check it,
 * and takes out what that refuses.
 */
#ifndef APPTUNNEL_CTL_IMPORT_H
#define APPTUNNEL_CTL_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profiles/schema.h"
#include "profiles/text.h"

#define IMPORT_INPUT_MAX	(1u << 20)	/* bytes of a file */
#define IMPORT_DEPTH_MAX	32u	/* dictionaries and lists inside each other */
#define IMPORT_NODES_MAX	20000u	/* elements; shared ones each time they are used */
#define IMPORT_BYTES_MAX	(4u << 20)	/* bytes in all strings together, counted so */
#define IMPORT_NOTES_MAX	1000u	/* lines of the list; one more says that there are others */
#define IMPORT_VALUES_MAX	20000u	/* more than two full lists of routes */
#define IMPORT_CERTS_MAX	32u
#define IMPORT_CERT_MAX		(64u << 10)	/* bytes of one payload with certificates */
#define IMPORT_TEXT_MAX		600	/* bytes of a sentence */
#define IMPORT_WHERE_MAX	200	/* bytes of a place in the file */

/* ---- what was found ------------------------------------------------------------------------- */

enum import_note_kind {
	IMPORT_NOT_CARRIED,	/* is in the file, is not in the profile */
	IMPORT_CHANGED,		/* is in the profile with another value */
	IMPORT_DEFAULT,		/* was not in the file; the vendor's default is written */
	IMPORT_MISSING,		/* a profile needs it, the file does not have it */
	IMPORT_UNSUPPORTED,	/* is in the profile, which is refused or without effect for it */
	IMPORT_REMARK,		/* worth knowing */
	IMPORT_NOTE_KINDS
};

struct import_note {
	enum import_note_kind kind;
	char *where;		/* place in the file, "-": none; owned */
	char *text;		/* one line; owned */
};

/* One value of the profile to be; of a list, one element. */
struct import_value {
	enum schema_id id;
	uint32_t rule;		/* 1..10 of an on-demand rule's keys, else 0 */
	char *text;		/* owned */
	char *where;		/* where it came from; owned */
};

struct import_cert {
	bool ca;
	char *pem;		/* owned */
	uint8_t sha256[32];	/* of the certificate in DER */
	char *where;		/* owned */
};

struct import_result {
	struct import_note *notes;
	size_t n_notes, cap_notes;
	struct import_value *values;
	size_t n_values, cap_values;
	struct import_cert certs[IMPORT_CERTS_MAX];
	size_t n_certs;
	char source[80];	/* what the file is, for the comment at the top of the profile */
	char why[IMPORT_TEXT_MAX];	/* when nothing could be made of it */
	bool failed;		/* memory ran out */
};

void import_free(struct import_result *r);	/* what it holds */

/* All three keep a failure in r->failed. */
void import_note(struct import_result *r, enum import_note_kind kind, const char *where,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* @rule: of an on-demand rule, from 1; 0: the key is of none.  @text: copied */
void import_value(struct import_result *r, enum schema_id id, uint32_t rule, const char *text,
		  const char *where);
/* @pem: becomes the result's */
void import_cert(struct import_result *r, bool ca, char *pem, const uint8_t *sha256,
		 const char *where);

/* import_has() - was any value carried to this key? */
bool import_has(const struct import_result *r, enum schema_id id);

/* import_refuse() - say in r->why that nothing can be made of the file.  Return: -EBADMSG */
int import_refuse(struct import_result *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* import_word() - "not carried" and so on; @json: "not-carried" */
const char *import_word(enum import_note_kind kind, bool json);

/* ---- from bytes to values ------------------------------------------------------------------- */

/*
 * import_convert() - everything that looks at the file's bytes
 * @in, @n: the file, IMPORT_INPUT_MAX bytes at most
 * @payload: which VPN payload, from 1; 0: the first one that can be used
 * @r: zeroed; import_free() in any case
 * Return: 0; -EBADMSG: nothing could be made of it, r->why says why; -ENOMEM
 */
int import_convert(const uint8_t *in, size_t n, uint32_t payload, struct import_result *r);

/*
 * import_in_child() - import_convert() in a process of its own that can do
 * nothing but think and answer: no files, no sockets, bounded memory and time
 * Return: as import_convert(), and another negative errno when the child could
 *	not be made; that it died is -EBADMSG
 */
int import_in_child(const uint8_t *in, size_t n, uint32_t payload, struct import_result *r);

/* ---- from values to a profile --------------------------------------------------------------- */

/*
 * import_finish() - write the profile and have it checked by profile_read()
 * What the reader calls an error is taken out again and listed, except what is
 * missing and what is not supported yet: that is listed only.
 * @stem: of the profile's file, for the names of certificates beside it
 *	(import_cert_name()); NULL: nothing is beside it, pins are written as hashes
 * @ini: written on success; free() it
 * Return: 0, -ENOMEM, -EBADMSG: no value at all was found (r->why)
 */
int import_finish(struct import_result *r, const char *stem, char **ini);

/*
 * import_cert_name() - "STEM-ca.pem", or "STEM-pin-N.pem" of the @pin-th pin from 1
 * @buf of @size bytes.  Return: @buf
 */
char *import_cert_name(const char *stem, size_t pin, char *buf, size_t size);

/* import_ini() - the text of a profile from the values; NULL: no memory */
char *import_ini(const struct import_result *r);

/* ---- the tree that both kinds of file become ------------------------------------------------ */

enum node_kind { NODE_DICT, NODE_ARRAY, NODE_STRING, NODE_INT, NODE_REAL, NODE_BOOL, NODE_DATA,
		 NODE_NULL, NODE_OTHER };

struct node {
	enum node_kind kind;
	bool used;		/* carried, or said to be not */
	char *key;		/* in a dictionary: its name; owned */
	char *s;		/* NODE_STRING: UTF-8 without NUL; NODE_DATA; owned, terminated */
	size_t n;		/* bytes of s, children of a dictionary or list */
	int64_t i;		/* NODE_INT, NODE_BOOL */
	double real;
	struct node *first, *last, *next;
};

/* node_new() - NULL: no memory.  node_free() - with all below; NULL is fine */
struct node *node_new(enum node_kind kind);
void node_free(struct node *n);
/* node_append() - @child becomes @parent's */
void node_append(struct node *parent, struct node *child);
/* @s: copied.  Return: false: no memory, or not UTF-8 without NUL */
bool node_set_string(struct node *n, const char *s, size_t len);
bool node_set_key(struct node *n, const char *s, size_t len);
bool node_set_data(struct node *n, const void *s, size_t len);
/* node_get() - the entry of this name, exactly so; NULL: none, or @n is no dictionary (or NULL) */
struct node *node_get(const struct node *n, const char *key);
/* node_string() - the text of an entry, NULL: none, or not a text */
const char *node_string(const struct node *n, const char *key);
/* node_use() - mark @n and all below as dealt with */
void node_use(struct node *n);
/* node_truth() - true, false, 1, 0 and the words: 1 or 0; -1: none of them */
int node_truth(const struct node *n);
/* node_what() - "a text", "a list" ... for sentences */
const char *node_what(const struct node *n);

/* ---- the parts of import_convert() ---------------------------------------------------------- */

/* import_read() - any accepted format to a tree.  Return: as import_convert() */
int import_read(const uint8_t *in, size_t n, struct node **tree, bool *is_json,
		struct import_result *r);

/*
 * guard_xml(), guard_binary(), guard_json() - before a library sees it: is it small
 * enough, flat enough, and free of tricks?
 * Return: NULL: yes; else what is wrong, as a part of a sentence
 */
const char *guard_xml(const char *s, size_t n);
const char *guard_binary(const uint8_t *s, size_t n);
const char *guard_json(const char *s, size_t n);

/* import_apple(), import_android() - values out of a tree.  Return: as import_convert() */
int import_apple(struct node *root, uint32_t payload, struct import_result *r);
int import_android(struct node *root, uint32_t payload, struct import_result *r);

/*
 * import_key() - carry one vendor key, or say why not
 * @where: place of the dictionary that @n is an entry of
 * @dict: that dictionary
 * Return: false: the name means nothing to us (nothing was said)
 */
bool import_key(struct import_result *r, const char *where, struct node *dict, struct node *n);

/* import_knows() - is this the name of a key that import_key() carries? */
bool import_knows(const char *name);

/*
 * import_provider() - ProviderType and VpnScope, when the keys are read: the
 * vendor's default where no type was given, and no app-proxy for a device
 * @where: where the type is, or would be
 * @apps: for single apps, else for the device
 */
void import_provider(struct import_result *r, const char *where, bool apps);

/*
 * import_as() - carry @n as key @id, or say why not
 * @where: place of @n itself
 */
void import_as(struct import_result *r, enum schema_id id, const char *where, struct node *n);

/* import_check() - would the reader take this value?  @why: IMPORT_TEXT_MAX bytes */
bool import_check(enum schema_id id, const char *s, size_t n, char *why);

/* import_rest() - list every entry below @n that nobody dealt with */
void import_rest(struct import_result *r, const char *where, struct node *n);

/*
 * import_loose() - lower case, letters and digits only, as names are compared;
 * "" when it is too long to be a key of ours
 * @to: IMPORT_NAME_MAX + 1 bytes
 */
#define IMPORT_NAME_MAX		48
void import_loose(const char *s, char *to);
/* import_loose_same() - is @name loosely @want, which is loose already? */
bool import_loose_same(const char *name, const char *want);

/*
 * import_number() - a number as a number or as text
 * Return: 0; -ERANGE: beyond what counts (*out: INT64_MIN or INT64_MAX); -EINVAL
 */
int import_number(const struct node *n, int64_t *out);

/* import_is_secret() - may the value of a key of this name not be shown? */
bool import_is_secret(const char *name);

/*
 * import_cert_bytes() - certificates from a payload, DER or PEM
 * Return: how many; 0: none in there (nothing was said)
 */
size_t import_cert_bytes(struct import_result *r, const char *where, const void *s, size_t n);

/* import_place() - "WHERE.KEY".  @buf: IMPORT_WHERE_MAX bytes.  Return: @buf */
char *import_place(const char *where, const char *key, char *buf);

#endif
