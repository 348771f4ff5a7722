/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>

#include "chance.h"
#include "classify.h"
#include "wire.h"

#define ARENA 131072

/* Ends at a page that may not be touched: one byte read beyond a datagram kills the test. */
static uint8_t *guard_end;

static uint8_t *guarded(const uint8_t *data, size_t len)
{
	return len == 0 ? guard_end : memcpy(guard_end - len, data, len);
}

static int guard_setup(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, ARENA + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	if (map == MAP_FAILED)
		return -1;
	guard_end = map + ARENA;
	return mprotect(guard_end, page, PROT_NONE);
}

/* Builders: each appends at p and returns the end. */
static uint8_t *put_record(uint8_t *p, uint8_t type, uint16_t epoch, uint64_t seq, const void *body,
			   size_t len)
{
	p[0] = type;
	wire_put16(p + 1, DTLS_VERSION_1_2);
	wire_put16(p + 3, epoch);
	wire_put48(p + 5, seq);
	wire_put16(p + 11, (uint16_t)len);
	if (len > 0)
		memcpy(p + 13, body, len);
	return p + 13 + len;
}

static uint8_t *put_fragment(uint8_t *p, uint8_t type, uint32_t length, uint16_t seq, uint32_t offset,
			     uint32_t fragment_length)
{
	p[0] = type;
	wire_put24(p + 1, length);
	wire_put16(p + 4, seq);
	wire_put24(p + 6, offset);
	wire_put24(p + 9, fragment_length);
	memset(p + 12, 0xab, fragment_length);
	return p + 12 + fragment_length;
}

/* A ClientHello body as far as the gate reads it, and `more` bytes after the cookie. */
static size_t put_hello(uint8_t *p, uint8_t session_id, uint8_t cookie, size_t more)
{
	uint8_t *start = p;

	wire_put16(p, DTLS_VERSION_1_2);
	for (int i = 0; i < 32; i++)
		p[2 + i] = (uint8_t)i;
	p += 34;
	*p++ = session_id;
	memset(p, 0x51, session_id);
	p += session_id;
	*p++ = cookie;
	memset(p, 0xc0, cookie);
	p += cookie;
	memset(p, 0x77, more);
	return (size_t)(p + more - start);
}

/* A whole hello record; returns its length. */
static size_t hello_record(uint8_t *out, uint8_t session_id, uint8_t cookie, size_t more)
{
	uint8_t hs[1024];
	uint8_t body[512];
	size_t n = put_hello(body, session_id, cookie, more);
	uint8_t *end = put_fragment(hs, DTLS_CLIENT_HELLO, (uint32_t)n, 7, 0, (uint32_t)n);

	memcpy(hs + 12, body, n);
	return (size_t)(put_record(out, DTLS_HANDSHAKE, 0, 0x0102030405, hs, (size_t)(end - hs)) - out);
}

static enum record_kind kind_of(const uint8_t *data, size_t len, size_t *offset, struct record *r)
{
	size_t at = 0;
	enum record_kind k = classify_record(guarded(data, len), len, &at, r);

	assert_int_equal(k, r->kind);
	if (offset)
		*offset = at;
	return k;
}

static enum record_kind kind_of_one(uint8_t type, uint16_t epoch, const void *body, size_t len)
{
	static uint8_t buf[70000];
	struct record r;
	size_t at;
	size_t n = (size_t)(put_record(buf, type, epoch, 9, body, len) - buf);
	enum record_kind k = kind_of(buf, n, &at, &r);

	/* A whole record is always stepped over, also when its body is bad. */
	assert_int_equal(at, n);
	return k;
}

static void nothing_is_the_end(void **state)
{
	struct record r;

	(void)state;
	assert_int_equal(kind_of(NULL, 0, NULL, &r), RECORD_END);
}

static void a_short_header_voids_the_datagram(void **state)
{
	uint8_t buf[64];
	struct record r;
	size_t at;

	(void)state;
	put_record(buf, DTLS_APPLICATION_DATA, 1, 0, "", 0);
	for (size_t n = 1; n < 13; n++) {
		assert_int_equal(kind_of(buf, n, &at, &r), RECORD_MALFORMED);
		assert_int_equal(at, n);
	}
	assert_int_equal(kind_of(buf, 13, &at, &r), RECORD_PROTECTED);
}

static void a_lying_length_voids_the_datagram(void **state)
{
	uint8_t buf[64];
	struct record r;
	size_t at;
	size_t n = (size_t)(put_record(buf, DTLS_APPLICATION_DATA, 1, 0, "0123456789", 10) - buf);

	(void)state;
	for (size_t cut = 1; cut <= 10; cut++) {
		assert_int_equal(kind_of(buf, n - cut, &at, &r), RECORD_MALFORMED);
		assert_int_equal(at, n - cut);
	}
	wire_put16(buf + 11, 0xffff);
	assert_int_equal(kind_of(buf, n, &at, &r), RECORD_MALFORMED);
	assert_int_equal(at, n);
}

static void only_dtls_1_0_and_1_2_versions_pass(void **state)
{
	uint8_t buf[64];
	struct record r;
	size_t n = (size_t)(put_record(buf, DTLS_APPLICATION_DATA, 1, 0, "0123456789", 10) - buf);
	unsigned passed = 0;
	size_t at;

	(void)state;
	for (unsigned v = 0; v <= 0xffff; v++) {
		wire_put16(buf + 1, (uint16_t)v);
		if (kind_of(buf, n, &at, &r) == RECORD_PROTECTED)
			passed += v == DTLS_VERSION_1_0 || v == DTLS_VERSION_1_2 ? 1 : 100;
		assert_int_equal(at, n);
	}
	assert_int_equal(passed, 2);
}

static void the_header_is_read_field_by_field(void **state)
{
	static const uint8_t wire[] = { 23, 0xfe, 0xff, 0x12, 0x34, 0xa1, 0xa2, 0xa3,
					0xa4, 0xa5, 0xa6, 0, 3, 7, 8, 9, 0 };
	struct record r;
	size_t at;

	(void)state;
	assert_int_equal(kind_of(wire, 16, &at, &r), RECORD_PROTECTED);
	assert_int_equal(at, 16);
	assert_int_equal(r.type, 23);
	assert_int_equal(r.version, 0xfeff);
	assert_int_equal(r.epoch, 0x1234);
	assert_true(r.seq == UINT64_C(0xa1a2a3a4a5a6));
	assert_ptr_equal(r.header, guard_end - 16);
	assert_ptr_equal(r.body, guard_end - 3);
	assert_int_equal(r.length, 3);
}

static void every_content_type_has_its_kind(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		bool known = type >= 20 && type <= 23;
		enum record_kind later = known ? RECORD_PROTECTED : type == 25 ? RECORD_CID : RECORD_UNKNOWN;

		assert_int_equal(kind_of_one((uint8_t)type, 1, "x", 1), later);
		assert_int_equal(kind_of_one((uint8_t)type, 0xffff, "", 0), later);
		if (!known)
			assert_int_equal(kind_of_one((uint8_t)type, 0, "x", 1), RECORD_UNKNOWN);
	}
	assert_int_equal(kind_of_one(DTLS_APPLICATION_DATA, 0, "x", 1), RECORD_PLAIN_DATA);
}

static void a_cid_record_takes_the_rest_from_the_id_on(void **state)
{
	uint8_t buf[64];
	struct record r;
	size_t at;
	uint8_t *p = put_record(buf, DTLS_TLS12_CID, 1, 5, "0123456789", 10);

	(void)state;
	p = put_record(p, DTLS_APPLICATION_DATA, 1, 6, "x", 1);
	/* Where the length would be is the connection ID: it may say anything. */
	wire_put16(buf + 11, 0xffff);
	assert_int_equal(kind_of(buf, (size_t)(p - buf), &at, &r), RECORD_CID);
	assert_int_equal(at, p - buf);
	assert_ptr_equal(r.body, r.header + 11);
	assert_int_equal(r.length, p - buf - 11);
}

static void empty_bodies_are_legal_in_later_epochs_only(void **state)
{
	(void)state;
	for (uint8_t type = 20; type <= 23; type++) {
		assert_int_equal(kind_of_one(type, 0, "", 0), RECORD_MALFORMED);
		assert_int_equal(kind_of_one(type, 1, "", 0), RECORD_PROTECTED);
	}
}

static void alerts_are_two_bytes(void **state)
{
	(void)state;
	assert_int_equal(kind_of_one(DTLS_ALERT, 0, "\2", 1), RECORD_MALFORMED);
	assert_int_equal(kind_of_one(DTLS_ALERT, 0, "\2\50", 2), RECORD_ALERT);
	assert_int_equal(kind_of_one(DTLS_ALERT, 0, "\2\50\0", 3), RECORD_MALFORMED);
	assert_int_equal(kind_of_one(DTLS_ALERT, 1, "\2\50\0", 3), RECORD_PROTECTED);
}

static void change_cipher_spec_is_one_byte_one(void **state)
{
	(void)state;
	assert_int_equal(kind_of_one(DTLS_CHANGE_CIPHER_SPEC, 0, "\1", 1), RECORD_CCS);
	assert_int_equal(kind_of_one(DTLS_CHANGE_CIPHER_SPEC, 0, "\2", 1), RECORD_MALFORMED);
	assert_int_equal(kind_of_one(DTLS_CHANGE_CIPHER_SPEC, 0, "\1\1", 2), RECORD_MALFORMED);
}

static void records_over_the_limit_are_stepped_over(void **state)
{
	static uint8_t big[DTLS_CIPHERTEXT_MAX + 1];
	const uint8_t type = DTLS_APPLICATION_DATA;

	(void)state;
	assert_int_equal(kind_of_one(type, 0, big, DTLS_PLAINTEXT_MAX), RECORD_PLAIN_DATA);
	assert_int_equal(kind_of_one(type, 0, big, DTLS_PLAINTEXT_MAX + 1), RECORD_TOO_LARGE);
	assert_int_equal(kind_of_one(type, 1, big, DTLS_CIPHERTEXT_MAX), RECORD_PROTECTED);
	assert_int_equal(kind_of_one(type, 1, big, DTLS_CIPHERTEXT_MAX + 1), RECORD_TOO_LARGE);
}

static void good_records_after_a_bad_body_still_count(void **state)
{
	uint8_t buf[128];
	uint8_t finished[40] = { 0 };
	struct record r;
	size_t at = 0;
	uint8_t *p = put_record(buf, DTLS_CHANGE_CIPHER_SPEC, 0, 1, "\2", 1);
	size_t len;

	/* A client's last flight: two epochs in one datagram. */
	(void)state;
	p = put_record(p, DTLS_CHANGE_CIPHER_SPEC, 0, 2, "\1", 1);
	p = put_record(p, DTLS_HANDSHAKE, 1, 0, finished, sizeof(finished));
	*p++ = 22;
	len = (size_t)(p - buf);
	guarded(buf, len);
	assert_int_equal(classify_record(guard_end - len, len, &at, &r), RECORD_MALFORMED);
	assert_int_equal(classify_record(guard_end - len, len, &at, &r), RECORD_CCS);
	assert_int_equal(r.seq, 2);
	assert_int_equal(classify_record(guard_end - len, len, &at, &r), RECORD_PROTECTED);
	assert_int_equal(r.length, 40);
	assert_int_equal(classify_record(guard_end - len, len, &at, &r), RECORD_MALFORMED);
	assert_int_equal(classify_record(guard_end - len, len, &at, &r), RECORD_END);
}

static void the_first_fragment_names_the_record(void **state)
{
	uint8_t hs[256];
	uint8_t *first = put_fragment(hs, DTLS_CLIENT_HELLO, 50, 0, 0, 20);
	uint8_t *end = put_fragment(first, DTLS_CLIENT_KEY_EXCHANGE, 5, 1, 0, 5);

	(void)state;
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, (size_t)(first - hs)), RECORD_HELLO);
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, (size_t)(end - hs)), RECORD_HELLO);
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 1, hs, (size_t)(end - hs)), RECORD_PROTECTED);
	end = put_fragment(hs, DTLS_CLIENT_HELLO, 50, 0, 1, 20);
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, (size_t)(end - hs)), RECORD_HELLO_TAIL);
	first = put_fragment(hs, DTLS_CLIENT_KEY_EXCHANGE, 5, 1, 0, 5);
	end = put_fragment(first, DTLS_CLIENT_HELLO, 50, 0, 0, 20);
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, (size_t)(end - hs)), RECORD_HANDSHAKE);
	/* Empty messages are legal: ServerHelloDone is one. */
	end = put_fragment(hs, DTLS_SERVER_HELLO_DONE, 0, 1, 0, 0);
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, (size_t)(end - hs)), RECORD_HANDSHAKE);
}

static void bad_fragments_make_a_record_malformed(void **state)
{
	uint8_t hs[256];
	uint8_t *good = put_fragment(hs, DTLS_CLIENT_HELLO, 50, 0, 0, 20);
	uint8_t *end;

	(void)state;
	for (size_t n = 1; n < 32; n++)
		assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, n), RECORD_MALFORMED);
	/* Sound at first, a byte too many at the end. */
	*good = 0;
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, 33), RECORD_MALFORMED);
	end = put_fragment(hs, DTLS_CERTIFICATE, 20, 0, 1, 20);
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, (size_t)(end - hs)), RECORD_MALFORMED);
	end = put_fragment(hs, DTLS_CERTIFICATE, 20, 0, 0xffffff, 20);
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, (size_t)(end - hs)), RECORD_MALFORMED);
	wire_put24(hs + 9, 0xffffff);
	assert_int_equal(kind_of_one(DTLS_HANDSHAKE, 0, hs, (size_t)(end - hs)), RECORD_MALFORMED);
}

static void fragments_are_read_field_by_field(void **state)
{
	static const uint8_t wire[] = { 11, 1, 2, 3, 4, 5, 1, 2, 0, 0, 0, 3, 'a', 'b', 'c',
					14, 0, 0, 0, 4, 6, 0, 0, 0, 0, 0, 0 };
	struct handshake_fragment f;
	const uint8_t *p = guarded(wire, sizeof(wire));
	size_t at = 0;

	(void)state;
	assert_int_equal(classify_handshake(p, sizeof(wire), &at, &f), 1);
	assert_int_equal(f.type, DTLS_CERTIFICATE);
	assert_int_equal(f.length, 0x010203);
	assert_int_equal(f.message_seq, 0x0405);
	assert_int_equal(f.offset, 0x010200);
	assert_int_equal(f.fragment_length, 3);
	assert_ptr_equal(f.body, p + 12);
	assert_int_equal(at, 15);
	assert_int_equal(classify_handshake(p, sizeof(wire), &at, &f), 1);
	assert_int_equal(f.type, DTLS_SERVER_HELLO_DONE);
	assert_int_equal(f.message_seq, 0x0406);
	assert_int_equal(at, sizeof(wire));
	assert_int_equal(classify_handshake(p, sizeof(wire), &at, &f), 0);
}

static void a_hello_gives_the_gate_what_it_needs(void **state)
{
	uint8_t buf[1024];
	struct record r;
	struct hello h;

	(void)state;
	for (unsigned sid = 0; sid <= 32; sid++) {
		for (unsigned cookie = 0; cookie < 256; cookie++) {
			size_t n = hello_record(buf, (uint8_t)sid, (uint8_t)cookie, 1);

			assert_int_equal(kind_of(buf, n, NULL, &r), RECORD_HELLO);
			assert_true(classify_hello(&r, &h));
			assert_true(h.record_seq == UINT64_C(0x0102030405));
			assert_int_equal(h.message_seq, 7);
			assert_ptr_equal(h.random, r.header + 27);
			assert_int_equal(h.random[31], 31);
			assert_int_equal(h.cookie_length, cookie);
			assert_ptr_equal(h.cookie, r.header + 61 + sid);
			assert_true(cookie == 0 || (h.cookie[0] == 0xc0 && h.cookie[cookie - 1] == 0xc0));
			assert_ptr_equal(h.msg, r.header);
			assert_int_equal(h.msg_length, n);
			/* The answer must never be larger than the question. */
			assert_true(n >= 61 && n > DTLS_HELLO_VERIFY_SIZE);
		}
	}
}

static void a_hello_cut_before_the_byte_after_its_cookie_is_none(void **state)
{
	uint8_t buf[1024];
	struct record r;
	struct hello h;
	size_t n = hello_record(buf, 5, 16, 1);

	(void)state;
	/* Cut in the record, the message's own length staying: a first fragment. */
	for (size_t cut = 1; cut <= n - 25; cut++) {
		wire_put16(buf + 11, (uint16_t)(n - cut - 13));
		wire_put24(buf + 22, (uint32_t)(n - cut - 25));
		assert_int_equal(kind_of(buf, n - cut, NULL, &r), RECORD_HELLO);
		assert_false(classify_hello(&r, &h));
	}
}

static void the_cookie_must_lie_in_the_first_fragment(void **state)
{
	uint8_t hs[512];
	uint8_t buf[1024];
	uint8_t body[128];
	struct record r;
	struct hello h;
	size_t n = put_hello(body, 0, 16, 1);
	uint8_t *p = put_fragment(hs, DTLS_CLIENT_HELLO, 200, 0, 0, (uint32_t)n - 1);
	size_t len;

	/* The bytes go on in a second fragment of the same record, which is another header. */
	(void)state;
	memcpy(hs + 12, body, n - 1);
	p = put_fragment(p, DTLS_CLIENT_HELLO, 200, 0, (uint32_t)n - 1, 100);
	len = (size_t)(put_record(buf, DTLS_HANDSHAKE, 0, 0, hs, (size_t)(p - hs)) - buf);
	assert_int_equal(kind_of(buf, len, NULL, &r), RECORD_HELLO);
	assert_false(classify_hello(&r, &h));
}

static void a_hello_of_another_protocol_is_none(void **state)
{
	uint8_t buf[1024];
	struct record r;
	struct hello h;
	size_t n = hello_record(buf, 0, 0, 50);

	(void)state;
	for (unsigned major = 0; major < 256; major++) {
		buf[25] = (uint8_t)major;
		assert_int_equal(kind_of(buf, n, NULL, &r), RECORD_HELLO);
		assert_int_equal(classify_hello(&r, &h), major == 0xfe);
	}
	buf[25] = 0xfe;
	buf[59] = 33;
	kind_of(buf, n, NULL, &r);
	assert_false(classify_hello(&r, &h));
	buf[59] = 0;
	kind_of(buf, n, NULL, &r);
	assert_true(classify_hello(&r, &h));
}

static void only_a_hello_record_is_read_as_hello(void **state)
{
	uint8_t buf[1024];
	struct record r;
	struct hello h;
	size_t n = hello_record(buf, 0, 0, 50);

	(void)state;
	buf[0] = DTLS_APPLICATION_DATA;
	assert_int_equal(kind_of(buf, n, NULL, &r), RECORD_PLAIN_DATA);
	assert_false(classify_hello(&r, &h));
	buf[0] = DTLS_HANDSHAKE;
	kind_of(buf, n, NULL, &r);
	r.length = 5; /* whoever builds a record by hand */
	assert_false(classify_hello(&r, &h));
}

/* What must hold for any bytes whatever. */
static void check_any_datagram(uint8_t *data, size_t len)
{
	size_t at = 0;
	size_t before;
	struct record r;
	struct hello h;
	enum record_kind k;

	do {
		before = at;
		k = classify_record(data, len, &at, &r);
		assert_int_equal(k, r.kind);
		assert_true(at <= len);
		assert_true(k == RECORD_END ? before == len && at == len : at > before);
		if (k == RECORD_END || k == RECORD_MALFORMED)
			continue;
		assert_ptr_equal(r.header, data + before);
		assert_ptr_equal(r.body + r.length, data + at);
		if (k == RECORD_PROTECTED || k == RECORD_CID)
			assert_true(r.epoch > 0);
		if (k == RECORD_HELLO || k == RECORD_HELLO_TAIL || k == RECORD_HANDSHAKE) {
			struct handshake_fragment f;
			size_t in = 0;
			int rc;

			while ((rc = classify_handshake(r.body, r.length, &in, &f)) == 1)
				assert_true(f.body + f.fragment_length <= r.body + r.length);
			assert_int_equal(rc, 0);
		}
		if (classify_hello(&r, &h)) {
			assert_int_equal(k, RECORD_HELLO);
			assert_true(h.msg_length > 61);
			assert_true(h.cookie + h.cookie_length < r.body + r.length);
		}
	} while (k != RECORD_END);
}

/* A few sound records, then a few bytes turned, cut or doubled. */
static size_t random_datagram(uint8_t *buf)
{
	uint8_t *p = buf;
	uint8_t hs[400] = { 0 };

	for (uint32_t n = chance(5); n > 0; n--) {
		uint8_t *end = hs;

		switch (chance(5)) {
		case 0:
			p += hello_record(p, (uint8_t)chance(33), (uint8_t)chance(40),
					  chance(60));
			break;
		case 1:
			for (uint32_t m = 1 + chance(3); m > 0; m--)
				end = put_fragment(end, (uint8_t)chance(21), 100, 1, chance(90),
						   chance(11));
			p = put_record(p, DTLS_HANDSHAKE, 0, 3, hs, (size_t)(end - hs));
			break;
		case 2:
			p = put_record(p, (uint8_t)(19 + chance(8)), 1, 3, hs, chance(70));
			break;
		case 3:
			p = put_record(p, (uint8_t)(19 + chance(8)), 0, 3, "\1\1", chance(3));
			break;
		default:
			for (uint32_t m = chance(30); m > 0; m--)
				*p++ = (uint8_t)chance(256);
		}
	}
	if (p == buf)
		return 0;
	for (uint32_t n = chance(4); n > 0; n--)
		buf[chance((uint32_t)(p - buf))] = (uint8_t)chance(256);
	if (chance(4) == 0)
		p -= chance((uint32_t)(p - buf));
	return (size_t)(p - buf);
}

static void any_datagram_has_a_verdict(void **state)
{
	static uint8_t buf[8192];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		size_t len = random_datagram(buf);

		check_any_datagram(guarded(buf, len), len);
	}
}

static void any_start_of_a_datagram_has_a_verdict(void **state)
{
	static uint8_t buf[8192];

	(void)state;
	for (int i = 0; i < 300; i++) {
		size_t len = random_datagram(buf);

		for (size_t n = 0; n <= len; n++)
			check_any_datagram(guarded(buf, n), n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_the_end),
		cmocka_unit_test(a_short_header_voids_the_datagram),
		cmocka_unit_test(a_lying_length_voids_the_datagram),
		cmocka_unit_test(only_dtls_1_0_and_1_2_versions_pass),
		cmocka_unit_test(the_header_is_read_field_by_field),
		cmocka_unit_test(every_content_type_has_its_kind),
		cmocka_unit_test(a_cid_record_takes_the_rest_from_the_id_on),
		cmocka_unit_test(empty_bodies_are_legal_in_later_epochs_only),
		cmocka_unit_test(alerts_are_two_bytes),
		cmocka_unit_test(change_cipher_spec_is_one_byte_one),
		cmocka_unit_test(records_over_the_limit_are_stepped_over),
		cmocka_unit_test(good_records_after_a_bad_body_still_count),
		cmocka_unit_test(the_first_fragment_names_the_record),
		cmocka_unit_test(bad_fragments_make_a_record_malformed),
		cmocka_unit_test(fragments_are_read_field_by_field),
		cmocka_unit_test(a_hello_gives_the_gate_what_it_needs),
		cmocka_unit_test(a_hello_cut_before_the_byte_after_its_cookie_is_none),
		cmocka_unit_test(the_cookie_must_lie_in_the_first_fragment),
		cmocka_unit_test(a_hello_of_another_protocol_is_none),
		cmocka_unit_test(only_a_hello_record_is_read_as_hello),
		cmocka_unit_test(any_datagram_has_a_verdict),
		cmocka_unit_test(any_start_of_a_datagram_has_a_verdict),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, guard_setup, NULL);
}
