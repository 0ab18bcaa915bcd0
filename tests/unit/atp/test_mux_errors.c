/* SPDX-License-Identifier: MIT */
/*
 * test_mux_errors.c - every clause of docs/protocol.md, 3 to 5, that is
 * a protocol error, and beside each what is almost the same and allowed.
 *
 * Each row feeds frames in hex to one mux.  The client has opened stream 1
 * and 2 (TCP) and 3 (UDP over IPv4) and received CONFIG; the server accepts
 * each OPEN at once.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/atp/pair.h"

#define O1	"02 00000c 00000001 06 04 0050 0a000001 00004000 "	/* TCP, window 16 KiB */
#define O2	"02 00000c 00000002 06 04 0050 0a000001 00004000 "
#define U1	"02 00000c 00000001 11 04 0000 00000000 00000000 "	/* UDP */
#define A1	"03 000007 00000001 00004000 00 0000 "			/* OPENED */
#define A2	"03 000007 00000002 00004000 00 0000 "
#define A3	"03 000007 00000003 00000000 00 0000 "
#define D1	"05 000001 00000001 41 "
#define F1	"07 000000 00000001 "
#define R1	"08 000001 00000001 01 "
#define R3	"08 000001 00000003 01 "
#define G1	"09 00000d 00000001 04 00 0035 0000 0000 c0000201 41 "	/* DGRAM */
#define G3	"09 00000d 00000003 04 00 0035 0000 0000 c0000201 41 "

static const struct row {
	enum mux_role role;
	const char *hex;
	const char *error;	/* part of mux_error(); NULL: allowed */
} rows[] = {
	/* the header */
	{ MUX_SERVER, "00 000000 00000000", "unknown frame type" },
	{ MUX_SERVER, "0c 000000 00000001", "unknown frame type" },
	{ MUX_SERVER, "7f 000000 00000000", "unknown frame type" },
	{ MUX_SERVER, "80 000000 00000000 ff 000002 ffffffff 0102", NULL },
	{ MUX_SERVER, "80 010001 00000000", "over 65,536" },
	{ MUX_SERVER, O1 "05 010001 00000001", "over 65,536" },
	{ MUX_SERVER, "06 000004 00000000 00000001", "on stream 0" },
	{ MUX_SERVER, "10 000008 00000001 0000000000000000", "session frame on a stream" },
	{ MUX_SERVER, "02 00000c 80000000 06 04 0050 0a000001 00004000", "2^31" },

	/* directions */
	{ MUX_SERVER, "01 000002 00000000 7b7d", "direction" },
	{ MUX_SERVER, O1 A1, "direction" },
	{ MUX_SERVER, O1 "04 000001 00000001 01", "direction" },
	{ MUX_SERVER, U1 "0a 000014 00000001 04 00 0035 0000 0000 c0000201 03 03 0000 00000000",
	  "direction" },
	{ MUX_CLIENT, "02 00000c 00000004 06 04 0050 0a000001 00004000", "direction" },

	/* lengths and values */
	{ MUX_SERVER, O1 "05 000000 00000001", "DATA empty" },
	{ MUX_SERVER, O1 "06 000003 00000001 000001", "WINDOW of a wrong length" },
	{ MUX_SERVER, O1 "06 000004 00000001 00000000", "WINDOW of 0" },
	{ MUX_SERVER, O1 "06 000004 00000001 80000000", "WINDOW of 2^31" },
	{ MUX_SERVER, O1 "06 000004 00000001 7fffbfff", NULL },
	{ MUX_SERVER, O1 "06 000004 00000001 7fffc000", "makes 2^31" },
	{ MUX_SERVER, O1 "0b 000004 00000001 00000000", "RETURN of 0" },
	{ MUX_SERVER, O1 "0b 000004 00000001 00000001", NULL },
	{ MUX_SERVER, O1 "0b 000004 00000001 00004001", "RETURN of more" },
	{ MUX_SERVER, O1 "07 000001 00000001 00", "FIN of a wrong length" },
	{ MUX_SERVER, O1 "08 000000 00000001", "RESET of a wrong length" },
	{ MUX_SERVER, O1 "08 000001 00000001 63", NULL },	/* unknown reason: taken as 1 */
	{ MUX_SERVER, "11 000007 00000000 00000000000000", "PROBE of a wrong length" },
	{ MUX_SERVER, "13 000005 00000000 0000000000", "GOAWAY of a wrong length" },
	{ MUX_SERVER, "13 000006 00000000 0000 00000000", NULL },
	{ MUX_SERVER, "13 000006 00000000 0002 00000000", "only Sentry may send" },
	{ MUX_CLIENT, "13 000006 00000000 0002 00000000", NULL },

	/* OPEN */
	{ MUX_SERVER, O1 O2, NULL },
	{ MUX_SERVER, O2, "leaves out" },
	{ MUX_SERVER, O1 O1, "opened before" },
	{ MUX_SERVER, O1 R1 O1, "opened before" },
	{ MUX_SERVER, "02 000007 00000001 06 00 0050 000000", "OPEN of a wrong length" },
	{ MUX_SERVER, "02 000008 00000001 06 04 0050 0a000001", "OPEN of a wrong length" },
	{ MUX_SERVER, "02 00000c 00000001 06 05 0050 0a000001 00004000", "unknown family" },
	{ MUX_SERVER, "02 00000c 00000001 06 04 0050 0a000001 80000000", "window of 2^31" },
	{ MUX_SERVER, "02 00000c 00000001 06 04 0050 0a000001 00000000", NULL },
	{ MUX_SERVER, "02 00000c 00000001 84 04 0050 0a000001 00000000", NULL },
	{ MUX_SERVER, "02 00000c 00000001 11 04 0001 00000000 00000000", "association with" },
	{ MUX_SERVER, "02 00000c 00000001 11 04 0000 01000000 00000000", "association with" },
	{ MUX_SERVER, "02 00000c 00000001 11 04 0000 00000000 00000001", "association with" },
	{ MUX_SERVER, "02 000008 00000001 11 00 0000 00000000", "without a family" },
	{ MUX_SERVER, "02 000018 00000001 01 06 0000 00000000000000000000000000000000 00000000",
	  "ICMP association" },
	{ MUX_SERVER, "02 00000c 00000001 3a 04 0000 00000000 00000000", "ICMP association" },
	{ MUX_SERVER, "02 000010 00000001 06 00 0050 00004000 01 0001 61 ffff 0000", "cut TLV" },
	{ MUX_SERVER, "02 00000a 00000001 06 00 0050 00004000 01 00", "cut TLV" },
	{ MUX_SERVER, "02 00000d 00000001 06 00 0050 00004000 01 0001 61 02", "cut TLV" },
	{ MUX_SERVER, "02 000010 00000001 06 00 0050 00004000 01 0001 61 01 0001 62", "repeated" },
	{ MUX_SERVER, "02 000010 00000001 06 00 0050 00004000 09 0001 61 09 0001 61", "repeated" },
	{ MUX_SERVER, "02 000010 00000001 06 00 0050 00004000 09 0001 61 08 0001 61", NULL },
	{ MUX_SERVER, "02 00000c 00000001 06 00 0050 00004000 03 0001 61", "source port" },
	{ MUX_SERVER, "02 00000c 00000001 06 00 0050 00004000 01 0001 20", NULL }, /* REFUSED 7 */
	{ MUX_SERVER, "02 00000c 00000001 06 00 0050 00004000 02 0001 00", "app identifier" },

	/* answers */
	{ MUX_CLIENT, A1 A2 A3, NULL },
	{ MUX_CLIENT, A1 A1, "answered before" },
	{ MUX_CLIENT, A1 "04 000001 00000001 01", "answered before" },
	{ MUX_CLIENT, "04 000001 00000001 63", NULL },
	{ MUX_CLIENT, "04 000001 00000001 01 04 000001 00000001 01", NULL },
	{ MUX_CLIENT, "03 000007 00000003 00000001 00 0000", "association with a window" },
	{ MUX_CLIENT, "03 000007 00000001 00000001 04 0000", "OPENED of a wrong length" },
	{ MUX_CLIENT, "03 000007 00000001 00000001 09 0000", "unknown family" },
	{ MUX_CLIENT, "03 000007 00000001 80000000 00 0000", "window of 2^31" },
	{ MUX_CLIENT, D1, "DATA before OPENED" },
	{ MUX_CLIENT, F1, "FIN before OPENED" },
	{ MUX_CLIENT, "06 000004 00000001 00000001", "WINDOW before OPENED" },
	{ MUX_CLIENT, "0b 000004 00000001 00000001", "RETURN before OPENED" },
	{ MUX_CLIENT, R1, NULL },
	{ MUX_CLIENT, A1 D1 F1, NULL },

	/* what was never opened, what is closed */
	{ MUX_SERVER, D1, "never opened" },
	{ MUX_SERVER, "06 000004 00000001 00000001", "never opened" },
	{ MUX_SERVER, "08 000001 00000001 01", "never opened" },
	{ MUX_CLIENT, "05 000001 00000004 41", "never opened" },
	{ MUX_SERVER, G1, NULL },
	{ MUX_SERVER, O1 R1 D1 F1 R1 "06 000004 00000001 00000001", NULL },
	{ MUX_SERVER, O1 R1 "06 000004 00000001 00000000", "WINDOW of 0" },
	{ MUX_SERVER, O1 R1 "05 000000 00000001", "DATA empty" },

	/* after FIN */
	{ MUX_SERVER, O1 D1 F1 "06 000004 00000001 00000001", NULL },
	{ MUX_SERVER, O1 F1 R1, NULL },
	{ MUX_SERVER, O1 F1 D1, "DATA after FIN" },
	{ MUX_SERVER, O1 F1 F1, "second FIN" },
	{ MUX_SERVER, O1 F1 "0b 000004 00000001 00000001", "RETURN after FIN" },

	/* associations */
	{ MUX_SERVER, U1 G1 R1, NULL },
	{ MUX_SERVER, U1 R1 G1, NULL },
	{ MUX_SERVER, O1 G1, "datagram on a TCP stream" },
	{ MUX_SERVER, "09 00000d 00000000 04 00 0035 0000 0000 c0000201 41", "on stream 0" },
	{ MUX_SERVER, U1 D1, "on an association" },
	{ MUX_SERVER, U1 F1, "on an association" },
	{ MUX_SERVER, U1 "06 000004 00000001 00000001", "on an association" },
	{ MUX_SERVER, U1 "0b 000004 00000001 00000001", "on an association" },
	{ MUX_CLIENT, A3 R3 G3, NULL },
	{ MUX_CLIENT, A3 "05 000001 00000003 41", "on an association" },
	{ MUX_SERVER, U1 "09 00000d 00000001 05 00 0035 0000 0000 c0000201 41", "unknown family" },
	{ MUX_SERVER, U1 "09 00000d 00000001 04 01 0035 0000 0000 c0000201 41", "reserved" },
	{ MUX_SERVER, U1 "09 00000d 00000001 04 00 0035 0000 0001 c0000201 41", "reserved" },
	{ MUX_SERVER, U1 "09 00000b 00000001 04 00 0035 0000 0000 c00002", "DGRAM of a wrong" },
	{ MUX_SERVER, U1 "09 00000d 00000001 06 00 0035 0000 0000 c0000201 41", "too short" },
	{ MUX_SERVER, U1 "09 00000c 00000001 04 00 0035 0000 0000 c0000201", NULL },
	{ MUX_SERVER, U1 "09 00000c 00000001 04 00 0035 0001 0000 c0000201", "segment size" },
	{ MUX_SERVER, U1 "09 00000d 00000001 04 00 0035 0001 0000 c0000201 41", NULL },
	{ MUX_SERVER, U1 "09 000018 00000001 06 00 0035 0000 0000 "
	  "20010db8000000000000000000000001", "another family" },
	{ MUX_SERVER, "02 00000c 00000001 01 04 0000 00000000 00000000 " G1, "echo without" },
	{ MUX_CLIENT, "0a 000014 00000003 04 00 0035 0000 0000 c0000201 03 03 0000 00000000", NULL },
	{ MUX_CLIENT, "0a 000014 00000003 04 00 0035 0001 0000 c0000201 03 03 0000 00000000",
	  "segment size" },
	{ MUX_CLIENT, "0a 000014 00000003 04 00 0035 0000 0000 c0000201 03 03 0001 00000000",
	  "reserved" },
	{ MUX_CLIENT, "0a 000015 00000003 04 00 0035 0000 0000 c0000201 03 03 0000 00000000 00",
	  "DGRAM_ERROR of a wrong" },
	{ MUX_CLIENT, "0a 000014 00000001 04 00 0035 0000 0000 c0000201 03 03 0000 00000000",
	  "on a TCP stream" },

	/* ACK: CONFIG is 8 + 12 bytes, nothing else was sent */
	{ MUX_SERVER, "10 000008 00000000 0000000000000014", NULL },
	{ MUX_SERVER, "10 000008 00000000 0000000000000015", "more than was sent" },
	{ MUX_SERVER, "10 000008 00000000 0000000000000013", "not a frame boundary" },
	{ MUX_SERVER, "10 000008 00000000 0000000000000014 10 000008 00000000 0000000000000000",
	  "less than before" },
};

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

static const struct mux_ops ops = { no_pull, no_closed };

static size_t from_hex(const char *hex, uint8_t *out, size_t size)
{
	unsigned int v;
	size_t n = 0;

	while (*hex) {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		ck_assert_int_eq(sscanf(hex, "%2x", &v), 1);
		ck_assert_uint_lt(n, size);
		out[n++] = (uint8_t)v;
		hex += 2;
	}
	return n;
}

static void flush(struct mux *m)
{
	size_t len;

	while (mux_output(m, MUX_RECORD, &len, 1))
		mux_written(m, len);
}

/* Return: the error, NULL: none */
static const char *feed(struct mux *m, const uint8_t *buf, size_t len)
{
	struct mux_event ev;
	size_t used;
	int got;

	do {
		got = mux_recv(m, buf, len, &used, &ev, 1);
		buf += used;
		len -= used;
		if (got > 0 && ev.type == MUX_EV_OPEN) {
			mux_stream_accept(m, ev.stream, NULL, 0, 1);
			flush(m);
		}
	} while (got > 0);
	if (got == 0)
		ck_assert_uint_eq(len, 0);
	return got < 0 ? mux_error(m) : NULL;
}

static struct mux *setup(enum mux_role role)
{
	struct mux_config c = { .role = role };
	struct mux *m = mux_new(&c, &ops, NULL);
	struct mux_open tcp = { .proto = MUX_TCP, .addr = { .family = 4 }, .port = 1 };
	struct mux_open udp = { .proto = MUX_UDP, .addr = { .family = 4 } };
	uint8_t buf[64];

	ck_assert_ptr_nonnull(m);
	if (role == MUX_SERVER) {
		ck_assert_int_eq(mux_send_config(m, "{\"mtu\":1400}", 12), 0);
		flush(m);
		return m;
	}
	ck_assert_ptr_null(feed(m, buf, from_hex("01 000002 00000000 7b7d", buf, sizeof(buf))));
	ck_assert_ptr_nonnull(mux_stream_open(m, &tcp, NULL, 1));
	ck_assert_ptr_nonnull(mux_stream_open(m, &tcp, NULL, 1));
	ck_assert_ptr_nonnull(mux_stream_open(m, &udp, NULL, 1));
	flush(m);
	ck_assert_uint_eq(mux_counters(m)->streams, 3);
	return m;
}

START_TEST(clause)
{
	const struct row *r = &rows[_i];
	struct mux *m = setup(r->role);
	uint8_t buf[512];
	const char *error = feed(m, buf, from_hex(r->hex, buf, sizeof(buf)));
	const uint8_t *out;
	size_t len, used;
	struct mux_event ev;

	if (!r->error) {
		ck_assert_msg(!error, "%s: %s", r->hex, error);
		mux_free(m);
		return;
	}
	ck_assert_msg(error && strstr(error, r->error), "%s: got \"%s\", expected \"%s\"", r->hex,
		      error ? error : "no error", r->error);
	/* the GOAWAY, with the sentence, and nothing after it */
	out = mux_output(m, MUX_RECORD, &len, 2);
	ck_assert_ptr_nonnull(out);
	ck_assert_uint_eq(out[0], FRAME_GOAWAY);
	ck_assert_uint_eq(get16(out + 8), MUX_PROTOCOL_ERROR);
	ck_assert_uint_eq(len, 14 + strlen(error));
	ck_assert_mem_eq(out + 14, error, strlen(error));
	mux_written(m, len);
	ck_assert_ptr_null(mux_output(m, MUX_RECORD, &len, 3));
	ck_assert_int_eq(mux_recv(m, buf, 8, &used, &ev, 3), -EPROTO);
	ck_assert_uint_eq(mux_timer(m, 4), UINT64_MAX);
	mux_free(m);
}
END_TEST

START_TEST(first_frame_is_config)
{
	struct mux_config c = { .role = MUX_CLIENT };
	static const char *const other[] = {
		"11 000008 00000000 0000000000000000", "80 000000 00000000",
		"05 000001 00000001 41",
	};
	struct mux *m;
	uint8_t buf[64];
	size_t i;

	for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		m = mux_new(&c, &ops, NULL);
		ck_assert_str_eq(feed(m, buf, from_hex(other[i], buf, sizeof(buf))),
				 "the first frame is not CONFIG");
		mux_free(m);
	}
}
END_TEST

static size_t opens(uint8_t *buf, uint32_t first, uint32_t n)
{
	struct mux_open o = { .proto = MUX_TCP, .addr = { .family = 4 }, .port = 1 };
	size_t len = 0;

	while (n--)
		len += frame_put_open(buf + len, first++, &o, 0);
	return len;
}

START_TEST(open_flood)
{
	struct mux_config c = { .role = MUX_SERVER };
	struct mux *m = mux_new(&c, &ops, NULL);
	uint8_t *buf = malloc(64 * 4096);
	struct mux_event ev;
	size_t len = opens(buf, 1, LIMIT_OPENS_PENDING_PEER + 1), used, at = 0;
	uint32_t n = 0;
	int got;

	while ((got = mux_recv(m, buf + at, len - at, &used, &ev, 1)) > 0) {
		at += used;
		n++;
	}
	ck_assert_int_eq(got, -EPROTO);
	ck_assert_uint_eq(n, LIMIT_OPENS_PENDING_PEER);
	ck_assert_str_eq(mux_error(m), "over 2,048 OPENs unanswered");
	mux_free(m);
	free(buf);
}
END_TEST

START_TEST(data_beyond_window)
{
	struct mux *m = setup(MUX_SERVER);
	uint8_t *buf = calloc(1, LIMIT_PAYLOAD);

	ck_assert_ptr_null(feed(m, buf, from_hex(O1, buf, 64)));
	frame_header(buf, FRAME_DATA, LIMIT_WINDOW_FIRST, 1);
	ck_assert_ptr_null(feed(m, buf, LIMIT_FRAME_HEADER + LIMIT_WINDOW_FIRST));
	frame_header(buf, FRAME_DATA, 1, 1);
	ck_assert_str_eq(feed(m, buf, LIMIT_FRAME_HEADER + 1), "DATA beyond the window");
	mux_free(m);
	free(buf);
}
END_TEST

/* A frame takes effect when it is whole, wherever it is cut. */
START_TEST(cut_at_every_byte)
{
	uint8_t buf[256];
	size_t len = from_hex(O1 D1 "06 000004 00000001 00000005 80 000003 00000007 010203 "
			      "0b 000004 00000001 00000001 " F1, buf, sizeof(buf));
	size_t cut, used, at;
	struct mux_event ev;
	struct mux *m;
	int events;

	for (cut = 0; cut <= len; cut++) {
		m = setup(MUX_SERVER);
		events = 0;
		at = 0;
		/* first up to the cut, then the rest from where it stopped */
		for (int part = 0; part < 2; part++) {
			size_t end = part ? len : cut;
			int got;

			while ((got = mux_recv(m, buf + at, end - at, &used, &ev, 1)) > 0) {
				at += used;
				events++;
				if (ev.type == MUX_EV_OPEN) {
					mux_stream_accept(m, ev.stream, NULL, 0, 1);
					flush(m);
				}
			}
			ck_assert_int_eq(got, 0);
			at += used;
			ck_assert_uint_eq(mux_counters(m)->counted_in, at);
			ck_assert_uint_eq(mux_counters(m)->bytes_in, at);
		}
		ck_assert_uint_eq(at, len);
		ck_assert_int_eq(events, 3);
		ck_assert_uint_eq(mux_counters(m)->unknown_skipped, 1);
		mux_free(m);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mux errors");
	TCase *tc = tcase_create("clauses");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, clause, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tc, first_frame_is_config);
	tcase_add_test(tc, open_flood);
	tcase_add_test(tc, data_beyond_window);
	tcase_add_test(tc, cut_at_every_byte);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
