/* SPDX-License-Identifier: MIT */
/* ctl_import_read.c - which format is it, out of its signature, through a library, to a tree */
#include <errno.h>
#include <jansson.h>
#include <plist/plist.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>	/* before cms.h, which declares by it */
#include <openssl/cms.h>

#include "client/ctl_import.h"

#define BOM	"\xef\xbb\xbf"

/* How much of the bounds is used up while a tree is made. */
struct builder {
	unsigned int depth, count;
	size_t bytes;
	bool no_memory;
	const char *why;	/* NULL: good so far */
};

static struct node *built(struct builder *b, struct node *n)
{
	if (!n)
		b->no_memory = true;
	else if (++b->count > IMPORT_NODES_MAX)
		b->why = "more than 20,000 elements";
	return n;
}

static void build_text(struct builder *b, struct node *n, const char *s, size_t len)
{
	b->bytes += len;
	if (b->bytes > IMPORT_BYTES_MAX)
		b->why = "more than 4 MiB of text";
	else if (!node_set_string(n, s, len))
		b->why = "a text that is not UTF-8, or has a NUL in it";
}

static bool build_key(struct builder *b, struct node *n, const char *key, size_t len)
{
	b->bytes += len;
	if (node_set_key(n, key, len))
		return true;
	b->why = "a key that is not UTF-8, or has a NUL in it";
	return false;
}

/* ---- property lists ------------------------------------------------------------------------- */

static struct node *from_plist(struct builder *b, plist_t p);

static void plist_entries(struct builder *b, struct node *dict, plist_t p)
{
	plist_dict_iter it = NULL;
	plist_t value = NULL;
	struct node *child;
	char *key = NULL;

	plist_dict_new_iter(p, &it);
	for (;;) {
		value = NULL;
		key = NULL;
		plist_dict_next_item(p, it, &key, &value);
		if (!key || !value || b->why || b->no_memory)
			break;
		child = from_plist(b, value);
		if (!child)
			break;
		if (!build_key(b, child, key, strlen(key))) {
			node_free(child);
			break;
		}
		node_append(dict, child);
		free(key);
	}
	free(key);
	free(it);
}

static void plist_items(struct builder *b, struct node *array, plist_t p)
{
	plist_array_iter it = NULL;
	struct node *child;
	plist_t value;

	/* by index, each would be found by counting from the first */
	plist_array_new_iter(p, &it);
	while (!b->why && !b->no_memory) {
		value = NULL;
		plist_array_next_item(p, it, &value);
		if (!value)
			break;
		child = from_plist(b, value);
		if (!child)
			break;
		node_append(array, child);
	}
	free(it);
}

static void plist_scalar(struct builder *b, struct node *n, plist_t p)
{
	uint64_t u = 0, len = 0;
	uint8_t truth = 0;
	const char *s;

	switch (n->kind) {
	case NODE_STRING:
		s = plist_get_string_ptr(p, &len);
		build_text(b, n, s ? s : "", s ? (size_t)len : 0);
		break;
	case NODE_DATA:
		s = plist_get_data_ptr(p, &len);
		b->bytes += (size_t)len;
		b->no_memory |= !node_set_data(n, s, s ? (size_t)len : 0);
		break;
	case NODE_INT:
		/* this version of the library gives a negative number as its two's complement */
		plist_get_uint_val(p, &u);
		n->i = (int64_t)u;
		break;
	case NODE_REAL:
		plist_get_real_val(p, &n->real);
		break;
	case NODE_BOOL:
		plist_get_bool_val(p, &truth);
		n->i = truth != 0;
		break;
	case NODE_DICT:
	case NODE_ARRAY:
	case NODE_NULL:
	case NODE_OTHER:
		break;
	}
}

static enum node_kind plist_kind(plist_t p)
{
	switch (plist_get_node_type(p)) {
	case PLIST_BOOLEAN:
		return NODE_BOOL;
	case PLIST_UINT:
		return NODE_INT;
	case PLIST_REAL:
		return NODE_REAL;
	case PLIST_STRING:
		return NODE_STRING;
	case PLIST_ARRAY:
		return NODE_ARRAY;
	case PLIST_DICT:
		return NODE_DICT;
	case PLIST_DATA:
		return NODE_DATA;
	case PLIST_DATE:
	case PLIST_KEY:
	case PLIST_UID:
	case PLIST_NONE:
		break;
	}
	return NODE_OTHER;
}

static struct node *from_plist(struct builder *b, plist_t p)
{
	struct node *n = built(b, node_new(plist_kind(p)));

	if (!n || b->why)
		return n;
	if (++b->depth > IMPORT_DEPTH_MAX + 1)
		b->why = "nested more than 32 levels deep";
	else if (n->kind == NODE_DICT)
		plist_entries(b, n, p);
	else if (n->kind == NODE_ARRAY)
		plist_items(b, n, p);
	else
		plist_scalar(b, n, p);
	b->depth--;
	return n;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static struct node *from_json(struct builder *b, json_t *j);

static void json_children(struct builder *b, struct node *n, json_t *j)
{
	struct node *child;
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_array(j)) {
		json_array_foreach(j, i, value) {
			child = from_json(b, value);
			if (!child || b->why || b->no_memory) {
				node_free(child);
				return;
			}
			node_append(n, child);
		}
		return;
	}
	json_object_foreach(j, key, value) {
		child = from_json(b, value);
		if (!child || b->why || b->no_memory || !build_key(b, child, key, strlen(key))) {
			node_free(child);
			return;
		}
		node_append(n, child);
	}
}

static enum node_kind json_kind(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return NODE_DICT;
	case JSON_ARRAY:
		return NODE_ARRAY;
	case JSON_STRING:
		return NODE_STRING;
	case JSON_INTEGER:
		return NODE_INT;
	case JSON_REAL:
		return NODE_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return NODE_BOOL;
	case JSON_NULL:
		break;
	}
	return NODE_NULL;
}

static struct node *from_json(struct builder *b, json_t *j)
{
	struct node *n = built(b, node_new(json_kind(j)));

	if (!n || b->why)
		return n;
	if (n->kind == NODE_STRING)
		build_text(b, n, json_string_value(j), json_string_length(j));
	else if (n->kind == NODE_INT)
		n->i = json_integer_value(j);
	else if (n->kind == NODE_REAL)
		n->real = json_real_value(j);
	else if (n->kind == NODE_BOOL)
		n->i = json_is_true(j);
	else
		json_children(b, n, j);	/* of what is not nested, none */
	return n;
}

/* ---- formats -------------------------------------------------------------------------------- */

static int finish(struct builder *b, struct node *n, struct node **tree, struct import_result *r,
		  const char *what)
{
	if (!n || b->why || b->no_memory) {
		node_free(n);
		return b->why ? import_refuse(r, "%s: %s", what, b->why) : -ENOMEM;
	}
	*tree = n;
	return 0;
}

static int read_plist(const uint8_t *in, size_t n, bool binary, struct node **tree,
		      struct import_result *r)
{
	const char *what = binary ? "a binary property list" : "an XML property list";
	const char *why = binary ? guard_binary(in, n) : guard_xml((const char *)in, n);
	struct builder b = { 0 };
	struct node *root;
	plist_t p = NULL;

	if (why)
		return import_refuse(r, "%s, which is refused: %s", what, why);
	if (binary)
		plist_from_bin((const char *)in, (uint32_t)n, &p);
	else
		plist_from_xml((const char *)in, (uint32_t)n, &p);
	if (!p)
		return import_refuse(r, "looks like %s, but is malformed", what);
	root = from_plist(&b, p);
	plist_free(p);
	return finish(&b, root, tree, r, what);
}

static int read_json(const char *in, size_t n, struct node **tree, struct import_result *r)
{
	const char *why = guard_json(in, n);
	struct builder b = { 0 };
	json_error_t e;
	json_t *j;
	struct node *root;

	if (why)
		return import_refuse(r, "JSON, which is refused: %s", why);
	j = json_loadb(in, n, JSON_REJECT_DUPLICATES, &e);
	if (!j)
		return import_refuse(r, "looks like JSON, but line %d, column %d: %s", e.line,
				     e.column,
				     e.text);
	root = from_json(&b, j);
	json_decref(j);
	return finish(&b, root, tree, r, "JSON");
}

static const uint8_t *skip_blanks(const uint8_t *in, size_t *n)
{
	if (*n >= 3 && !memcmp(in, BOM, 3)) {
		in += 3;
		*n -= 3;
	}
	while (*n && (*in == ' ' || *in == '\t' || *in == '\r' || *in == '\n')) {
		in++;
		(*n)--;
	}
	return in;
}

/*
 * Anything but a signature.  Return: -ENOENT: none of the formats
 */
static int read_plain(const uint8_t *in, size_t n, struct node **tree, bool *is_json,
		      struct import_result *r)
{
	*is_json = false;
	if (n >= 6 && !memcmp(in, "bplist", 6))
		return read_plist(in, n, true, tree, r);
	in = skip_blanks(in, &n);
	if (n && *in == '<')
		return read_plist(in, n, false, tree, r);
	if (n && (*in == '{' || *in == '[')) {
		*is_json = true;
		return read_json((const char *)in, n, tree, r);
	}
	return -ENOENT;
}

/* ---- signed --------------------------------------------------------------------------------- */

static CMS_ContentInfo *open_cms(const uint8_t *in, size_t n)
{
	BIO *bio = BIO_new_mem_buf(in, (int)n);
	CMS_ContentInfo *cms = NULL;

	if (bio)
		cms = *in == '-' ? PEM_read_bio_CMS(bio, NULL, NULL, NULL) : d2i_CMS_bio(bio, NULL);
	BIO_free(bio);
	ERR_clear_error();
	return cms;
}

static int read_signed(const uint8_t *in, size_t n, struct node **tree, bool *is_json,
		       struct import_result *r)
{
	CMS_ContentInfo *cms = open_cms(in, n);
	ASN1_OCTET_STRING **content;
	int err;

	if (!cms)
		return -ENOENT;
	content = CMS_get0_content(cms);
	if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed)
		err = import_refuse(r, "a CMS file that is not signed data; an encrypted profile "
				    "is exported anew without encryption");
	else if (!content || !*content || ASN1_STRING_length(*content) <= 0)
		err = import_refuse(r, "a signature without the profile that it signs");
	else
		err = read_plain(ASN1_STRING_get0_data(*content),
				 (size_t)ASN1_STRING_length(*content), tree, is_json, r);
	CMS_ContentInfo_free(cms);
	ERR_clear_error();
	if (err == -ENOENT)
		return import_refuse(r, "a signed file, but what is signed is neither a property "
				     "list nor JSON");
	if (!err)
		import_note(r, IMPORT_REMARK, "-", "the file is signed; the signature was not "
			    "verified, so make sure where the file comes from");
	return err;
}

int import_read(const uint8_t *in, size_t n, struct node **tree, bool *is_json,
		struct import_result *r)
{
	static const char accepted[] = "a configuration profile (XML or binary property list, "
	"signed or not) or a managed configuration in JSON is accepted";
	const uint8_t *p;
	size_t left = n;
	int err;

	if (n > IMPORT_INPUT_MAX)
		return import_refuse(r, "larger than 1 MiB");
	if (!n)
		return import_refuse(r, "empty; %s", accepted);
	err = read_plain(in, n, tree, is_json, r);
	if (err != -ENOENT)
		return err;
	p = skip_blanks(in, &left);
	if (in[0] == 0x30)
		err = read_signed(in, n, tree, is_json, r);
	else if (left > 5 && !memcmp(p, "-----", 5))
		err = read_signed(p, left, tree, is_json, r);
	if (err == -ENOENT)
		err = import_refuse(r, "not a format that is known; %s", accepted);
	return err;
}
