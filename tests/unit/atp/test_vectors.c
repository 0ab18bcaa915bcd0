/* SPDX-License-Identifier: MIT */
/*
 * test_vectors.c - tests/vectors read by the C code: every frame is decoded,
 * compared field by field, and written again to the same bytes; the handshake
 * and CONFIG texts; the counts; the resume proof.
 * Run from the top of the tree, or with VECTORS=DIR.
 */
#include <errno.h>
#include <stdio.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "client/atp/handshake.h"
#include "client/atp/http1.h"
#include "tests/unit/atp/pair.h"

#define BUF	70000

static json_t *load(const char *name)
{
	const char *dir = getenv("VECTORS");
	json_error_t err;
	char path[512];
	json_t *root;

	(void)snprintf(path, sizeof(path), "%s/%s", dir ? dir : "tests/vectors", name);
	root = json_load_file(path, 0, &err);
	ck_assert_msg(root != NULL, "%s: %s", path, err.text);
	return root;
}

static const char *str(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	ck_assert_msg(s != NULL, "no %s", key);
	return s;
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2, i;
	unsigned int v;

	ck_assert_uint_le(n, BUF);
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &v), 1);
		out[i] = (uint8_t)v;
	}
	return n;
}

static json_t *hex(const uint8_t *data, size_t len)
{
	char *text = malloc(2 * len + 1);
	json_t *j;
	size_t i;

	for (i = 0; i < len; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", data[i]);
	text[2 * len] = '\0';
	j = json_string(text);
	free(text);
	return j;
}

static json_t *addr(const struct ipaddr *a)
{
	char text[ADDR_STRLEN];

	return json_string(a->family ? addr_format(a, text) : "");
}

static const char *type_name(uint8_t type)
{
	static const char *const names[] = {
		[FRAME_CONFIG] = "CONFIG", [FRAME_OPEN] = "OPEN", [FRAME_OPENED] = "OPENED",
		[FRAME_REFUSED] = "REFUSED", [FRAME_DATA] = "DATA", [FRAME_WINDOW] = "WINDOW",
		[FRAME_FIN] = "FIN", [FRAME_RESET] = "RESET", [FRAME_RETURN] = "RETURN",
		[FRAME_DGRAM] = "DGRAM", [FRAME_DGRAM_ERROR] = "DGRAM_ERROR", [FRAME_ACK] = "ACK",
		[FRAME_PROBE] = "PROBE", [FRAME_PROBE_REPLY] = "PROBE_REPLY",
		[FRAME_GOAWAY] = "GOAWAY",
	};

	return type >= FRAME_SKIPPED ? "SKIPPED" : names[type];
}

static void set(json_t *o, const char *key, json_t *value)
{
	ck_assert_int_eq(json_object_set_new(o, key, value), 0);
}

static void set_int(json_t *o, const char *key, uint64_t value)
{
	set(o, key, json_integer((json_int_t)value));
}

static void dgram_json(json_t *o, const struct mux_dgram *d)
{
	set_int(o, "family", d->addr.family);
	set_int(o, "port", d->port);
	set(o, "address", addr(&d->addr));
}

static void open_json(json_t *o, const struct frame *f)
{
	const struct mux_open *q = &f->u.open.open;

	set_int(o, "protocol", q->proto);
	set_int(o, "family", q->addr.family);
	set_int(o, "port", q->port);
	set(o, "address", addr(&q->addr));
	set_int(o, "window", f->u.open.window);
	set(o, "name", json_string(q->name));
	set(o, "name_usable", json_boolean(!q->bad_name));
	set(o, "app", json_string(q->app));
	set_int(o, "source_port", q->source_port);
}

static json_t *frame_json(const struct frame *f)
{
	json_t *o = json_object();
	uint8_t opaque[8];

	set(o, "type", json_string(type_name(f->type)));
	set_int(o, "stream", f->id);
	set_int(o, "length", f->len);
	set(o, "counted", json_boolean(f->counted));
	if (f->type >= FRAME_SKIPPED) {
		set_int(o, "code", f->type);
		return o;
	}
	switch ((enum frame_type)f->type) {
	case FRAME_CONFIG:
		set(o, "json", json_stringn((const char *)f->data, f->data_len));
		break;
	case FRAME_OPEN:
		open_json(o, f);
		break;
	case FRAME_OPENED:
		set_int(o, "window", f->u.opened.window);
		set_int(o, "family", f->u.opened.addr.family);
		set_int(o, "port", f->u.opened.port);
		set(o, "address", addr(&f->u.opened.addr));
		break;
	case FRAME_REFUSED:
	case FRAME_RESET:
		set_int(o, "reason", f->u.reason);
		break;
	case FRAME_DATA:
		set(o, "data", hex(f->data, f->data_len));
		break;
	case FRAME_WINDOW:
	case FRAME_RETURN:
		set_int(o, "credit", f->u.credit);
		break;
	case FRAME_FIN:
	case FRAME_SKIPPED:
		break;
	case FRAME_DGRAM:
		dgram_json(o, &f->u.dgram);
		set_int(o, "segment", f->u.dgram.segment);
		set(o, "data", hex(f->data, f->data_len));
		break;
	case FRAME_DGRAM_ERROR:
		dgram_json(o, &f->u.error.at);
		set_int(o, "icmp_type", f->u.error.type);
		set_int(o, "icmp_code", f->u.error.code);
		set_int(o, "mtu", f->u.error.mtu);
		break;
	case FRAME_ACK:
		set_int(o, "offset", f->u.number);
		break;
	case FRAME_PROBE:
	case FRAME_PROBE_REPLY:
		put64(opaque, f->u.number);
		set(o, "opaque", hex(opaque, sizeof(opaque)));
		break;
	case FRAME_GOAWAY:
		set_int(o, "reason", f->u.goaway.reason);
		set_int(o, "last", f->u.goaway.last);
		set(o, "text", json_stringn((const char *)f->data, f->data_len));
		break;
	}
	return o;
}

/* Write it again.  Return: 0: this frame cannot come from our writers */
static size_t rewrite(const struct frame *f, uint8_t *out)
{
	char text[FRAME_GOAWAY_TEXT + 1] = "";
	size_t n;

	if (f->type >= FRAME_SKIPPED)
		return 0;
	switch ((enum frame_type)f->type) {
	case FRAME_CONFIG:
	case FRAME_DATA:
	case FRAME_FIN:
		frame_header(out, f->type, f->len, f->id);
		memcpy(out + LIMIT_FRAME_HEADER, f->data, f->len);
		return LIMIT_FRAME_HEADER + f->len;
	case FRAME_OPEN:
		return frame_put_open(out, f->id, &f->u.open.open, f->u.open.window);
	case FRAME_OPENED:
		return frame_put_opened(out, f->id, &f->u.opened.addr, f->u.opened.port,
					f->u.opened.window);
	case FRAME_REFUSED:
	case FRAME_RESET:
		return frame_put_reason(out, f->type, f->id, f->u.reason);
	case FRAME_WINDOW:
	case FRAME_RETURN:
		return frame_put_credit(out, f->type, f->id, f->u.credit);
	case FRAME_DGRAM:
		n = frame_put_dgram(out, f->id, &f->u.dgram, f->data_len);
		memcpy(out + n, f->data, f->data_len);
		return n + f->data_len;
	case FRAME_DGRAM_ERROR:
		return frame_put_dgram_error(out, f->id, &f->u.error.at, f->u.error.type,
					     f->u.error.code, f->u.error.mtu);
	case FRAME_ACK:
	case FRAME_PROBE:
	case FRAME_PROBE_REPLY:
		return frame_put_number(out, f->type, f->u.number);
	case FRAME_GOAWAY:
		memcpy(text, f->data, f->data_len);
		return frame_put_goaway(out, f->u.goaway.reason, f->u.goaway.last, text);
	case FRAME_SKIPPED:
		break;
	}
	return 0;
}

/* What we read but would not write: unknown values, TLVs and MTUs that are mapped. */
static bool one_way(const char *name)
{
	static const char *const words[] = { "unknown", "refused", "empty name", "dgram error" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(name, words[i]))
			return true;
	return false;
}

START_TEST(frames)
{
	json_t *root = load("frames.json"), *v, *got;
	uint8_t *buf = malloc(BUF), *out = malloc(BUF);
	const char *why = "", *name;
	struct frame f;
	size_t i, len, n;
	bool to_client;

	json_array_foreach(root, i, v) {
		name = str(v, "name");
		len = unhex(str(v, "hex"), buf);
		to_client = strcmp(str(v, "to"), "client") == 0;
		ck_assert_msg(frame_decode(buf, len, to_client, &f, &why) == (int)len, "%s: %s",
			      name, why);
		got = frame_json(&f);
		ck_assert_msg(json_equal(got, json_object_get(v, "decoded")), "%s: %s", name,
			      json_dumps(got, 0));
		json_decref(got);
		n = rewrite(&f, out);
		if (n && (n == len || !one_way(name))) {
			ck_assert_msg(n == len, "%s", name);
			if (!one_way(name))
				ck_assert_mem_eq(out, buf, len);
		}
		for (n = 0; n < len; n++)
			ck_assert_int_eq(frame_decode(buf, n, to_client, &f, &why), 0);
	}
	ck_assert_uint_gt(i, 50);
	json_decref(root);
	free(buf);
	free(out);
}
END_TEST

START_TEST(invalid_frames)
{
	json_t *root = load("frames-invalid.json"), *v;
	uint8_t *buf = malloc(BUF);
	const char *why = NULL;
	struct frame f;
	size_t i, len;

	json_array_foreach(root, i, v) {
		len = unhex(str(v, "hex"), buf);
		ck_assert_msg(frame_decode(buf, len, strcmp(str(v, "to"), "client") == 0, &f,
					   &why) == -EPROTO, "%s was taken", str(v, "name"));
		ck_assert_uint_gt(strlen(why), 5);
	}
	ck_assert_uint_gt(i, 50);
	json_decref(root);
	free(buf);
}
END_TEST

static size_t no_pull(void *ctx, void *user, uint8_t *dst, size_t max)
{
	(void)ctx;
	(void)user;
	(void)dst;
	(void)max;
	return 0;
}

static void no_closed(void *ctx, void *user)
{
	(void)ctx;
	(void)user;
}

START_TEST(counts)
{
	static const struct mux_ops ops = { no_pull, no_closed };
	struct mux_config c = { .role = MUX_SERVER };
	struct mux *m = mux_new(&c, &ops, NULL);
	json_t *v = load("counts.json"), *after = json_object_get(v, "counted_after_each");
	uint8_t *buf = malloc(BUF);
	size_t len = unhex(str(v, "hex"), buf), at = 0, used, room;
	struct mux_event ev;
	const char *why;
	struct frame f;
	size_t i;
	int got, n;

	ck_assert_int_eq(mux_send_config(m, "{\"mtu\":1400}", 12), 0);
	ck_assert_ptr_nonnull(mux_output(m, MUX_RECORD, &room, 1));
	mux_written(m, room);
	for (i = 0; at < len; i++) {
		/* one frame at a time */
		n = frame_decode(buf + at, len - at, false, &f, &why);
		ck_assert_int_gt(n, 0);
		got = mux_recv(m, buf + at, (size_t)n, &used, &ev, 1);
		ck_assert_msg(got >= 0, "%s", mux_error(m));
		ck_assert_uint_eq(used, n);
		if (got && ev.type == MUX_EV_OPEN) {
			mux_stream_accept(m, ev.stream, NULL, 0, 1);
			while (mux_output(m, MUX_RECORD, &room, 1))
				mux_written(m, room);
		}
		at += used;
		ck_assert_int_eq(mux_counters(m)->counted_in,
				 json_integer_value(json_array_get(after, i)));
	}
	ck_assert_uint_eq(i, json_array_size(after));
	ck_assert_uint_eq(mux_counters(m)->acked_out, 20);
	mux_free(m);
	json_decref(v);
	free(buf);
}
END_TEST

START_TEST(requests)
{
	static struct atp_request_reader r;
	json_t *root = load("handshake.json"), *v, *want;
	const char *text, *name;
	size_t i;

	json_array_foreach(json_object_get(root, "requests"), i, v) {
		name = str(v, "name");
		text = str(v, "text");
		want = json_object_get(v, "result");
		atp_request_init(&r);
		ck_assert_msg(atp_request_feed(&r, (const uint8_t *)text, strlen(text)) == 1, "%s",
			      name);
		if (json_is_integer(want)) {
			ck_assert_msg(r.status == json_integer_value(want), "%s: %d", name, r.status);
			continue;
		}
		ck_assert_msg(r.status == 0, "%s: %s", name, r.message);
		ck_assert_str_eq(r.request.device_id, str(want, "device_id"));
		ck_assert_str_eq(r.request.user_id, str(want, "user_id"));
		ck_assert_str_eq(r.request.service, str(want, "service_id"));
		ck_assert_int_eq(r.request.tcp_idle_ms,
				 json_integer_value(json_object_get(want, "tcp_idle_ms")));
		ck_assert_msg(r.request.resume == json_is_true(json_object_get(want, "resume")),
			      "%s", name);
		if (r.request.resume) {
			ck_assert_int_eq(r.request.attempt,
					 json_integer_value(json_object_get(want, "attempt")));
			ck_assert_int_eq(r.request.received,
					 json_integer_value(json_object_get(want, "received")));
		}
	}
	ck_assert_uint_gt(i, 10);
	json_decref(root);
}
END_TEST

START_TEST(answers)
{
	static const char *const kinds[] = { "more", "accepted", "refused", "bad" };
	static struct atp_answer_reader r;
	json_t *root = load("handshake.json"), *v, *want;
	const char *text;
	uint8_t session[ATP_SESSION_ID];
	size_t i, used;

	json_array_foreach(json_object_get(root, "answers"), i, v) {
		text = str(v, "text");
		want = json_object_get(v, "result");
		atp_answer_init(&r);
		(void)atp_answer_feed(&r, (const uint8_t *)text, strlen(text), &used);
		ck_assert_msg(strcmp(kinds[r.answer.kind], str(want, "kind")) == 0, "%s: %s",
			      str(v, "name"), r.answer.message);
		if (r.answer.kind == ATP_ANSWER_ACCEPTED) {
			ck_assert_uint_eq(unhex(str(want, "session"), session), sizeof(session));
			ck_assert_mem_eq(r.answer.session, session, sizeof(session));
			ck_assert(r.answer.resumed == json_is_true(json_object_get(want, "resumed")));
			ck_assert_int_eq(r.answer.received,
					 json_integer_value(json_object_get(want, "received")));
		} else if (r.answer.kind == ATP_ANSWER_REFUSED) {
			ck_assert_int_eq(r.answer.status,
					 json_integer_value(json_object_get(want, "status")));
			ck_assert_str_eq(r.answer.code, str(want, "code"));
			ck_assert_str_eq(r.answer.message, str(want, "message"));
			ck_assert_int_eq(r.answer.retry_after_s,
					 json_integer_value(json_object_get(want, "retry_after")));
		}
	}
	ck_assert_uint_gt(i, 5);
	json_decref(root);
}
END_TEST

static json_t *config_json(const struct atp_config *c)
{
	json_t *o = json_object(), *dns = json_array(), *search = json_array();
	uint32_t i;

	set(o, "interface4", addr(&c->interface4));
	set(o, "interface6", addr(&c->interface6));
	for (i = 0; i < c->n_dns; i++)
		json_array_append_new(dns, addr(&c->dns[i]));
	for (i = 0; i < c->n_search; i++)
		json_array_append_new(search, json_string(c->search[i]));
	set(o, "dns", dns);
	set(o, "search", search);
	set_int(o, "mtu", c->mtu);
	set_int(o, "resume_window_s", c->resume_window_s);
	set(o, "resume_host", json_string(c->resume_host));
	set_int(o, "max_streams", c->max_streams);
	return o;
}

START_TEST(configs)
{
	json_t *root = load("config.json"), *v, *want, *got;
	struct atp_config c;
	const char *text;
	char why[200];
	size_t i;

	json_array_foreach(root, i, v) {
		text = str(v, "json");
		want = json_object_get(v, "result");
		if (atp_config_parse(text, strlen(text), &c, why, sizeof(why)) < 0) {
			ck_assert_msg(json_is_null(want), "%s: %s", text, why);
			continue;
		}
		got = config_json(&c);
		ck_assert_msg(json_equal(got, want), "%s: %s", text, json_dumps(got, 0));
		json_decref(got);
	}
	ck_assert_uint_gt(i, 10);
	json_decref(root);
}
END_TEST

START_TEST(resume_proof)
{
	json_t *root = load("resume.json"), *v;
	uint8_t secret[BUF / 1000], text[16 + 8 + 4 + 32], proof[32], mac[EVP_MAX_MD_SIZE];
	unsigned int len;
	size_t i;

	json_array_foreach(root, i, v) {
		ck_assert_uint_eq(unhex(str(v, "secret"), secret), 32);
		ck_assert_uint_eq(unhex(str(v, "session"), text), 16);
		put64(text + 16, (uint64_t)json_integer_value(json_object_get(v, "received")));
		put32(text + 24, (uint32_t)json_integer_value(json_object_get(v, "attempt")));
		ck_assert_uint_eq(unhex(str(v, "binding"), text + 28), 32);
		ck_assert_ptr_nonnull(HMAC(EVP_sha256(), secret, 32, text, sizeof(text), mac, &len));
		ck_assert_int_eq(base64url_decode(str(v, "proof"), proof, sizeof(proof)), 0);
		ck_assert_uint_eq(len, sizeof(proof));
		ck_assert_mem_eq(mac, proof, sizeof(proof));
	}
	ck_assert_uint_gt(i, 0);
	json_decref(root);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vectors");
	TCase *tc = tcase_create("vectors");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, frames);
	tcase_add_test(tc, invalid_frames);
	tcase_add_test(tc, counts);
	tcase_add_test(tc, requests);
	tcase_add_test(tc, answers);
	tcase_add_test(tc, configs);
	tcase_add_test(tc, resume_proof);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
