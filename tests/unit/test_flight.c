/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "chance.h"
#include "classify.h"
#include "flight.h"
#include "reassembly.h"
#include "starve.h"
#include "wire.h"

/* ---- what GnuTLS pushes ---- */

static uint8_t byte_of(uint16_t message, uint32_t at)
{
	return (uint8_t)((message + 1) * 131 + at * 7 + (at >> 8) * 13);
}

static size_t put_record(uint8_t *p, uint8_t type, uint16_t epoch, uint64_t seq, const void *body,
			 size_t len)
{
	p[0] = type;
	wire_put16(p + 1, DTLS_VERSION_1_2);
	wire_put16(p + 3, epoch);
	wire_put48(p + 5, seq);
	wire_put16(p + 11, (uint16_t)len);
	memcpy(p + 13, body, len);
	return 13 + len;
}

static size_t put_fragment(uint8_t *p, uint16_t message, uint32_t length, uint32_t start, uint32_t end)
{
	p[0] = DTLS_CERTIFICATE;
	wire_put24(p + 1, length);
	wire_put16(p + 4, message);
	wire_put24(p + 6, start);
	wire_put24(p + 9, end - start);
	for (uint32_t i = start; i < end; i++)
		p[12 + i - start] = byte_of(message, i);
	return 12 + end - start;
}

/* A message in as many full records as it takes, each pushed by itself. */
static void push_message(struct flight *f, uint16_t message, uint32_t length)
{
	static uint8_t body[DTLS_PLAINTEXT_MAX], record[DTLS_PLAINTEXT_MAX + 13];
	uint32_t start = 0;

	do {
		uint32_t room = sizeof(body) - 12;
		uint32_t end = length - start > room ? start + room : length;
		size_t n = put_fragment(body, message, length, start, end);

		n = put_record(record, DTLS_HANDSHAKE, 0, 4711 + message, body, n);
		assert_int_equal(flight_push(f, record, n), 0);
		start = end;
	} while (start < length);
}

static int push_record(struct flight *f, uint8_t type, uint16_t epoch, const void *body, size_t len)
{
	static uint8_t record[70000];

	return flight_push(f, record, put_record(record, type, epoch, 5, body, len));
}

static void push_ccs(struct flight *f)
{
	assert_int_equal(push_record(f, DTLS_CHANGE_CIPHER_SPEC, 0, "\1", 1), 0);
}

/* ---- what leaves: counted, checked and put together again as a peer would ---- */

struct peer {
	struct reassembly *reassembly;
	size_t mtu;
	uint64_t next_seq;
	size_t datagrams;
	size_t records;
	size_t bytes;
	size_t last;     /* length of the last datagram */
	char kinds[512]; /* one letter a record: h, c, a, p */
	uint8_t protected[20000];
	size_t protected_len;
	int fail_at; /* datagram that out refuses; 0: none */
};

static void peer_reset(struct peer *p, size_t mtu, uint64_t next_seq)
{
	*p = (struct peer){ .mtu = mtu, .next_seq = next_seq, .reassembly = reassembly_new(0) };
}

static void peer_note(struct peer *p, const struct record *r, char kind)
{
	if (p->records < sizeof(p->kinds))
		p->kinds[p->records] = kind;
	p->records++;
	if (kind == 'p')
		return;
	/* Each record has a number of its own, in order. */
	assert_int_equal(r->epoch, 0);
	assert_true(r->seq == p->next_seq);
	p->next_seq = (p->next_seq + 1) & DTLS_SEQ_MAX;
}

static int peer_receive(void *ctx, const uint8_t *data, size_t len)
{
	static uint8_t copy[70000];
	struct peer *p = ctx;
	struct handshake_fragment f;
	struct record r;
	size_t at = 0;
	size_t in;
	size_t records = 0;

	p->datagrams++;
	if (p->fail_at && p->datagrams == (size_t)p->fail_at)
		return -EIO;
	p->last = len;
	p->bytes += len;
	memcpy(copy, data, len);
	for (;; records++) {
		switch (classify_record(copy, len, &at, &r)) {
		case RECORD_END:
			assert_true(len > 0);
			/* What cannot be cut may be larger, but only by itself. */
			assert_true(len <= p->mtu || records == 1);
			assert_true(len <= p->mtu || p->kinds[p->records - 1] == 'p');
			return 0;
		case RECORD_HANDSHAKE:
			in = 0;
			assert_int_equal(classify_handshake(r.body, r.length, &in, &f), 1);
			assert_int_equal(in, r.length); /* a fragment a record */
			assert_true(f.fragment_length > 0 || f.length == 0);
			reassembly_add(p->reassembly, &f);
			peer_note(p, &r, 'h');
			break;
		case RECORD_CCS:
			peer_note(p, &r, 'c');
			break;
		case RECORD_ALERT:
			peer_note(p, &r, 'a');
			break;
		case RECORD_PROTECTED:
			memcpy(p->protected + p->protected_len, r.header, 13 + r.length);
			p->protected_len += 13 + r.length;
			peer_note(p, &r, 'p');
			break;
		default:
			fail_msg("a record of kind %d left", (int)r.kind);
		}
	}
}

static void peer_expects(struct peer *p, uint16_t message, uint32_t length)
{
	size_t len;
	const uint8_t *m = reassembly_next(p->reassembly, &len);

	assert_non_null(m);
	assert_int_equal(m[0], DTLS_CERTIFICATE);
	assert_int_equal(wire_get16(m + 4), message);
	assert_int_equal(len, 12 + length);
	for (uint32_t i = 0; i < length; i++) {
		if (m[12 + i] != byte_of(message, i))
			fail_msg("message %u differs at %u", message, (unsigned)i);
	}
	reassembly_pop(p->reassembly);
}

static void peer_done(struct peer *p)
{
	assert_int_equal(reassembly_bytes(p->reassembly), 0);
	reassembly_free(p->reassembly);
}

/* ---- tests ---- */

static void a_flight_that_fits_is_one_datagram(void **state)
{
	struct flight *f = flight_new(9);
	void *room;
	struct peer p;

	(void)state;
	push_message(f, 0, 90);
	push_message(f, 1, 800);
	push_message(f, 2, 110);
	push_message(f, 3, 0);
	/* To the byte: 25 for each record's headers. */
	peer_reset(&p, 1000 + 4 * 25, 9);
	assert_int_equal(flight_send(f, p.mtu, peer_receive, &p), 0);
	assert_int_equal(p.datagrams, 1);
	assert_int_equal(p.bytes, 1100);
	assert_int_equal(p.records, 4);
	assert_true(flight_next_seq(f) == 13);
	peer_expects(&p, 0, 90);
	peer_expects(&p, 1, 800);
	peer_expects(&p, 2, 110);
	peer_expects(&p, 3, 0);
	peer_done(&p);
	/* One byte less is two. */
	room = malloc(flight_packed_size(f));
	assert_non_null(room);
	f = flight_pack(f, room);
	peer_reset(&p, 1099, 13);
	flight_rewind(f);
	assert_int_equal(flight_send(f, p.mtu, peer_receive, &p), 0);
	assert_int_equal(p.datagrams, 2);
	for (uint16_t i = 0; i < 4; i++)
		peer_expects(&p, i, (uint32_t[]){ 90, 800, 110, 0 }[i]);
	peer_done(&p);
	free(room);
}

static void a_resend_has_fresh_numbers_and_the_same_contents(void **state)
{
	struct flight *f = flight_new(0);
	struct peer p;
	uint64_t seq = 0;

	(void)state;
	push_message(f, 0, 500);
	push_message(f, 1, 3000);
	push_ccs(f);
	for (size_t mtu = 1400; mtu >= 300; mtu -= 100) {
		peer_reset(&p, mtu, seq);
		assert_int_equal(flight_send(f, mtu, peer_receive, &p), 0);
		seq = p.next_seq;
		assert_true(flight_next_seq(f) == seq);
		peer_expects(&p, 0, 500);
		peer_expects(&p, 1, 3000);
		assert_int_equal(p.kinds[p.records - 1], 'c');
		peer_done(&p);
		flight_rewind(f);
	}
	flight_free(f);
}

static void numbers_begin_where_told_and_stay_in_48_bits(void **state)
{
	struct flight *f = flight_new(DTLS_SEQ_MAX - 1);
	struct peer p;

	(void)state;
	for (uint16_t i = 0; i < 4; i++)
		push_message(f, i, 10);
	peer_reset(&p, 1000, DTLS_SEQ_MAX - 1);
	assert_int_equal(flight_send(f, p.mtu, peer_receive, &p), 0);
	assert_true(flight_next_seq(f) == 2);
	for (uint16_t i = 0; i < 4; i++)
		peer_expects(&p, i, 10);
	peer_done(&p);
	flight_free(f);
	f = flight_new(UINT64_MAX);
	assert_true(flight_next_seq(f) == DTLS_SEQ_MAX);
	flight_free(f);
}

static void only_what_was_not_sent_is_sent(void **state)
{
	struct flight *f = flight_new(0);
	struct peer p;

	(void)state;
	peer_reset(&p, 1200, 0);
	assert_true(flight_empty(f));
	assert_int_equal(flight_send(f, 1200, peer_receive, &p), 0);
	assert_int_equal(p.datagrams, 0);
	push_message(f, 0, 100);
	assert_false(flight_empty(f));
	flight_send(f, 1200, peer_receive, &p);
	flight_send(f, 1200, peer_receive, &p);
	assert_int_equal(p.datagrams, 1);
	push_message(f, 1, 100);
	flight_send(f, 1200, peer_receive, &p);
	assert_int_equal(p.datagrams, 2);
	assert_int_equal(p.records, 2);
	flight_rewind(f);
	flight_send(f, 1200, peer_receive, &p);
	assert_int_equal(p.datagrams, 3);
	assert_int_equal(p.records, 4);
	peer_expects(&p, 0, 100);
	peer_expects(&p, 1, 100);
	peer_done(&p);
	flight_free(f);
}

static void a_new_flight_forgets_the_old_but_not_its_numbers(void **state)
{
	struct flight *f = flight_new(3);
	struct peer p;

	(void)state;
	push_message(f, 9, 100);
	push_ccs(f);
	assert_true(flight_has_ccs(f));
	peer_reset(&p, 1200, 3);
	flight_send(f, 1200, peer_receive, &p);
	reassembly_free(p.reassembly);
	push_message(f, 9, 100);
	flight_begin(f);
	assert_true(flight_empty(f));
	assert_false(flight_has_ccs(f));
	peer_reset(&p, 1200, 5);
	push_message(f, 0, 50);
	flight_send(f, 1200, peer_receive, &p);
	assert_int_equal(p.records, 1);
	assert_true(flight_next_seq(f) == 6);
	peer_expects(&p, 0, 50);
	peer_done(&p);
	flight_free(f);
}

/* The last flight of a handshake: ticket, ChangeCipherSpec, Finished of epoch 1. */
static void protected_records_leave_verbatim_and_in_order(void **state)
{
	struct flight *f = flight_new(0);
	uint8_t finished[48], expect[61];
	struct peer p;
	uint64_t seq = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(finished); i++)
		finished[i] = (uint8_t)chance(256);
	put_record(expect, DTLS_HANDSHAKE, 1, 5, finished, sizeof(finished));
	push_message(f, 0, 200);
	assert_false(flight_has_ccs(f));
	push_ccs(f);
	assert_true(flight_has_ccs(f));
	assert_int_equal(push_record(f, DTLS_HANDSHAKE, 1, finished, sizeof(finished)), 0);
	for (int i = 0; i < 5; i++) {
		peer_reset(&p, 1200, seq);
		assert_int_equal(flight_send(f, 1200, peer_receive, &p), 0);
		assert_int_equal(p.datagrams, 1);
		assert_string_equal(p.kinds, "hcp");
		assert_int_equal(p.protected_len, sizeof(expect));
		assert_memory_equal(p.protected, expect, sizeof(expect));
		seq = p.next_seq;
		peer_expects(&p, 0, 200);
		peer_done(&p);
		flight_rewind(f);
	}
	/* It takes two: the Finished has to wait for the next. */
	peer_reset(&p, 290, seq);
	assert_int_equal(flight_send(f, 290, peer_receive, &p), 0);
	assert_int_equal(p.datagrams, 2);
	assert_string_equal(p.kinds, "hcp");
	assert_int_equal(p.last, sizeof(expect));
	peer_expects(&p, 0, 200);
	peer_done(&p);
	flight_free(f);
}

struct visit {
	char kinds[8];
	size_t count;
};

static void visit_and_renumber(void *ctx, struct record *r)
{
	struct visit *v = ctx;

	assert_in_range(v->count, 0, sizeof(v->kinds) - 2);
	v->kinds[v->count++] = r->kind == RECORD_HANDSHAKE ? 'h' : r->kind == RECORD_CCS ? 'c' : 'p';
	if (r->kind == RECORD_PROTECTED) {
		wire_put48(r->header + 5, 77);
		r->body[0] ^= 1;
	}
}

static void records_can_be_visited_and_protected_ones_made_anew(void **state)
{
	struct flight *f = flight_new(0);
	uint8_t finished[48] = { 9 }, expect[61];
	struct visit v = { "", 0 };
	struct peer p;

	(void)state;
	flight_each(f, visit_and_renumber, &v);
	assert_int_equal(v.count, 0);
	push_message(f, 0, 200);
	push_ccs(f);
	assert_int_equal(push_record(f, DTLS_HANDSHAKE, 1, finished, sizeof(finished)), 0);
	flight_each(f, visit_and_renumber, &v);
	assert_string_equal(v.kinds, "hcp");
	finished[0] ^= 1;
	put_record(expect, DTLS_HANDSHAKE, 1, 77, finished, sizeof(finished));
	peer_reset(&p, 1200, 0);
	assert_int_equal(flight_send(f, 1200, peer_receive, &p), 0);
	assert_string_equal(p.kinds, "hcp");
	assert_memory_equal(p.protected, expect, sizeof(expect));
	peer_expects(&p, 0, 200);
	peer_done(&p);
	flight_free(f);
}

static void a_protected_record_over_the_mtu_goes_alone(void **state)
{
	static uint8_t big[5000];
	struct flight *f = flight_new(0);
	struct peer p;

	(void)state;
	push_message(f, 0, 10);
	assert_int_equal(push_record(f, DTLS_APPLICATION_DATA, 1, big, sizeof(big)), 0);
	assert_int_equal(push_record(f, DTLS_APPLICATION_DATA, 1, big, sizeof(big)), 0);
	push_message(f, 1, 10);
	peer_reset(&p, 1200, 0);
	assert_int_equal(flight_send(f, 1200, peer_receive, &p), 0);
	assert_int_equal(p.datagrams, 4);
	assert_string_equal(p.kinds, "hpph");
	assert_int_equal(p.protected_len, 2 * 5013);
	peer_expects(&p, 0, 10);
	peer_expects(&p, 1, 10);
	peer_done(&p);
	/* A refusal before or at it ends the sending all the same. */
	for (int at = 1; at <= 3; at++) {
		peer_reset(&p, 1200, flight_next_seq(f));
		p.fail_at = at;
		flight_rewind(f);
		assert_int_equal(flight_send(f, 1200, peer_receive, &p), -EIO);
		assert_int_equal(p.datagrams, at);
		reassembly_free(p.reassembly);
	}
	flight_free(f);
}

static int keep_first(void *ctx, const uint8_t *data, size_t len)
{
	memcpy(ctx, data, len < 64 ? len : 64);
	return 0;
}

static void headers_are_written_as_pushed_but_for_the_number(void **state)
{
	static const uint8_t alert[] = { 21, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 77, 0, 2, 2, 70 };
	static const uint8_t expect[] = { 21, 0xfe, 0xff, 0, 0, 0, 0, 0, 1, 2, 3, 0, 2, 2, 70 };
	struct flight *f = flight_new(0x010203);
	uint8_t got[64] = { 0 };

	(void)state;
	assert_int_equal(flight_push(f, alert, sizeof(alert)), 0);
	assert_int_equal(flight_send(f, 1200, keep_first, got), 0);
	assert_memory_equal(got, expect, sizeof(expect));
	flight_free(f);
}

static void several_records_and_messages_can_come_at_once(void **state)
{
	struct flight *f = flight_new(0);
	uint8_t body[256], push[512];
	struct peer p;
	size_t n = put_fragment(body, 0, 50, 0, 50);
	size_t len;

	/* Two messages in the first record, a third in the second. */
	(void)state;
	n += put_fragment(body + n, 1, 60, 0, 60);
	len = put_record(push, DTLS_HANDSHAKE, 0, 1, body, n);
	n = put_fragment(body, 2, 70, 0, 70);
	len += put_record(push + len, DTLS_HANDSHAKE, 0, 2, body, n);
	assert_int_equal(flight_push(f, push, len), 0);
	peer_reset(&p, 1200, 0);
	assert_int_equal(flight_send(f, 1200, peer_receive, &p), 0);
	assert_int_equal(p.datagrams, 1);
	assert_string_equal(p.kinds, "hhh");
	peer_expects(&p, 0, 50);
	peer_expects(&p, 1, 60);
	peer_expects(&p, 2, 70);
	peer_done(&p);
	flight_free(f);
}

static void what_is_not_whole_records_is_refused_as_a_whole(void **state)
{
	struct flight *f = flight_new(0);
	uint8_t body[64], push[256];
	struct peer p;
	size_t n = put_fragment(body, 1, 40, 0, 40);
	size_t first = put_record(push, DTLS_CHANGE_CIPHER_SPEC, 0, 1, "\1", 1);
	size_t len = first + put_record(push + first, DTLS_HANDSHAKE, 0, 2, body, n);

	(void)state;
	push_message(f, 0, 10);
	assert_int_equal(flight_push(f, push, 0), -EBADMSG);
	for (size_t cut = 1; cut < len; cut++) {
		if (cut != first)
			assert_int_equal(flight_push(f, push, cut), -EBADMSG);
	}
	/* Nothing that a server says in a handshake. */
	assert_int_equal(push_record(f, DTLS_APPLICATION_DATA, 0, "x", 1), -EBADMSG);
	assert_int_equal(push_record(f, DTLS_ALERT, 0, "x", 1), -EBADMSG);
	assert_int_equal(push_record(f, 24, 0, "x", 1), -EBADMSG);
	assert_false(flight_has_ccs(f));
	peer_reset(&p, 1200, 0);
	assert_int_equal(flight_send(f, 1200, peer_receive, &p), 0);
	assert_string_equal(p.kinds, "h");
	peer_expects(&p, 0, 10);
	peer_done(&p);
	assert_int_equal(flight_push(f, push, len), 0);
	assert_true(flight_has_ccs(f));
	flight_free(f);
}

static void a_flight_is_bounded(void **state)
{
	static uint8_t record[DTLS_PLAINTEXT_MAX];
	static uint8_t body[DTLS_PLAINTEXT_MAX - 13];
	struct flight *f = flight_new(0);
	size_t n = put_record(record, DTLS_APPLICATION_DATA, 1, 1, body, sizeof(body));

	(void)state;
	for (size_t sum = n; sum <= FLIGHT_BYTES_MAX; sum += n)
		assert_int_equal(flight_push(f, record, n), 0);
	assert_int_equal(push_record(f, DTLS_ALERT, 0, "\1\1", 2), -EMSGSIZE);
	flight_begin(f);
	assert_int_equal(push_record(f, DTLS_ALERT, 0, "\1\1", 2), 0);
	flight_free(f);
}

static void without_memory_nothing_is_appended(void **state)
{
	struct flight *f;
	struct flight *none;
	static uint8_t record[3000];
	static uint8_t body[2900];
	size_t n = put_record(record, DTLS_APPLICATION_DATA, 1, 1, body, sizeof(body));
	struct peer p;
	int rc;

	(void)state;
	f = flight_new(0);
	push_message(f, 0, 10);
	out_of_memory = true;
	none = flight_new(0);
	rc = flight_push(f, record, n);
	out_of_memory = false;
	if (none) {
		flight_free(none);
		flight_free(f);
		skip();
	}
	assert_int_equal(rc, -ENOMEM);
	peer_reset(&p, 1200, 0);
	assert_int_equal(flight_send(f, 1200, peer_receive, &p), 0);
	assert_string_equal(p.kinds, "h");
	peer_expects(&p, 0, 10);
	peer_done(&p);
	assert_int_equal(flight_push(f, record, n), 0);
	flight_free(f);
	flight_free(NULL);
}

static void a_refusal_ends_the_sending_and_the_rest_counts_as_sent(void **state)
{
	struct flight *f = flight_new(0);
	struct peer p;

	(void)state;
	push_message(f, 0, 5000);
	push_ccs(f);
	push_message(f, 1, 10);
	/* At a fragment, at the ChangeCipherSpec, at the end. */
	for (int at = 1; at <= 5; at++) {
		peer_reset(&p, 1269, flight_next_seq(f)); /* four fragments of 1244 and one of 24 */
		p.fail_at = at;
		flight_rewind(f);
		assert_int_equal(flight_send(f, p.mtu, peer_receive, &p), -EIO);
		assert_int_equal(p.datagrams, at);
		assert_int_equal(flight_send(f, p.mtu, peer_receive, &p), 0);
		assert_int_equal(p.datagrams, at);
		reassembly_free(p.reassembly);
	}
	for (int length = 180; length <= 215; length++) {
		flight_begin(f);
		push_message(f, 0, (uint32_t)length);
		push_ccs(f);
		push_record(f, DTLS_HANDSHAKE, 1, "0123456789", 10);
		peer_reset(&p, 228, flight_next_seq(f));
		p.fail_at = 1;
		assert_int_equal(flight_send(f, p.mtu, peer_receive, &p), -EIO);
		assert_int_equal(p.datagrams, 1);
		reassembly_free(p.reassembly);
	}
	flight_rewind(f);
	peer_reset(&p, 1200, flight_next_seq(f));
	assert_int_equal(flight_send(f, 1200, peer_receive, &p), 0);
	assert_string_equal(p.kinds, "hcp");
	peer_expects(&p, 0, 215);
	peer_done(&p);
	flight_free(f);
}

static void absurd_mtus_are_bent(void **state)
{
	struct flight *f = flight_new(0);
	struct peer p;

	(void)state;
	push_message(f, 0, 16000);
	push_message(f, 1, 16000);
	for (size_t mtu = 0; mtu <= FLIGHT_MTU_MIN; mtu += 57) {
		peer_reset(&p, FLIGHT_MTU_MIN, flight_next_seq(f));
		flight_rewind(f);
		assert_int_equal(flight_send(f, mtu, peer_receive, &p), 0);
		assert_int_equal(p.datagrams, (32000 + FLIGHT_MTU_MIN - 26) / (FLIGHT_MTU_MIN - 25));
		peer_expects(&p, 0, 16000);
		peer_expects(&p, 1, 16000);
		peer_done(&p);
	}
	/* No UDP datagram is larger than this. */
	push_message(f, 2, 40000);
	peer_reset(&p, 65535, flight_next_seq(f));
	flight_rewind(f);
	assert_int_equal(flight_send(f, SIZE_MAX, peer_receive, &p), 0);
	assert_int_equal(p.datagrams, 2);
	peer_expects(&p, 0, 16000);
	peer_expects(&p, 1, 16000);
	peer_expects(&p, 2, 40000);
	peer_done(&p);
	flight_free(f);
}

/* ---- pieces ---- */

static void sent_as(const uint32_t *lengths, unsigned messages, size_t mtu, size_t datagrams, size_t records)
{
	struct flight *f = flight_new(1);
	struct peer p;

	for (uint16_t i = 0; i < messages; i++)
		push_message(f, i, lengths[i]);
	peer_reset(&p, mtu, 1);
	assert_int_equal(flight_send(f, mtu, peer_receive, &p), 0);
	assert_int_equal(p.datagrams, datagrams);
	assert_int_equal(p.records, records);
	for (uint16_t i = 0; i < messages; i++)
		peer_expects(&p, i, lengths[i]);
	assert_true(flight_next_seq(f) == 1 + records);
	peer_done(&p);
	flight_free(f);
}

static void messages_stay_whole_where_that_costs_no_datagram(void **state)
{
	static const uint32_t chain[] = { 97, 842, 296, 60, 0 }, long_chain[] = { 97, 1517, 296, 0 };
	static const uint32_t three[] = { 700, 700, 700 };

	(void)state;
	sent_as(chain, 5, 1200, 2, 5);
	sent_as(chain, 5, 548, 3, 6);
	sent_as(long_chain, 4, 1200, 2, 5);
	/* one datagram each, or two with one message cut */
	sent_as(three, 3, 1200, 2, 4);
}

/* ---- any flight, any MTU ---- */

/* Datagrams that it takes when each is filled to the last byte before the next is begun. */
static size_t fewest(const uint32_t *lengths, unsigned messages, bool finished, size_t mtu)
{
	size_t n = 1, len = 0;

	for (unsigned i = 0; i < messages; i++) {
		uint32_t left = lengths[i], record, piece;

		do { /* GnuTLS's records are cut, but not joined */
			record = left < DTLS_PLAINTEXT_MAX - 12 ? left : DTLS_PLAINTEXT_MAX - 12;
			left -= record;
			do {
				if (25 + (record > 0) > mtu - len)
					n++, len = 0;
				piece = record < mtu - len - 25 ? record : (uint32_t)(mtu - len - 25);
				len += 25 + piece;
				record -= piece;
			} while (record);
		} while (left);
	}
	if (finished && 14 > mtu - len)
		n++, len = 0;
	if (finished && 53 > mtu - len - 14)
		n++;
	return n;
}

static void one_random_flight(struct flight *f, size_t mtu)
{
	uint32_t lengths[REASSEMBLY_MESSAGES];
	unsigned messages = 1 + chance(REASSEMBLY_MESSAGES);
	bool finished = chance(2);
	size_t whole = 0;
	struct peer p;

	flight_begin(f);
	for (uint16_t i = 0; i < messages; i++) {
		lengths[i] = chance(4) == 0 ? chance(40000) : chance(2000);
		if (chance(6) == 0)
			lengths[i] = 0;
		whole += lengths[i];
	}
	if (whole > REASSEMBLY_TOTAL_MAX - 4096)
		return;
	for (uint16_t i = 0; i < messages; i++)
		push_message(f, i, lengths[i]);
	if (finished) {
		push_ccs(f);
		push_record(f, DTLS_HANDSHAKE, 1, "0123456789012345678901234567890123456789", 40);
	}
	for (int round = 0; round < 2; round++) {
		peer_reset(&p, mtu, flight_next_seq(f));
		flight_rewind(f);
		assert_int_equal(flight_send(f, mtu, peer_receive, &p), 0);
		assert_true(flight_next_seq(f) == p.next_seq);
		assert_true(p.datagrams <= fewest(lengths, messages, finished, mtu));
		for (uint16_t i = 0; i < messages; i++)
			peer_expects(&p, i, lengths[i]);
		assert_int_equal(p.protected_len, finished ? 53 : 0);
		peer_done(&p);
	}
}

static void any_flight_is_put_together_again_at_any_mtu(void **state)
{
	struct flight *f = flight_new(1);

	(void)state;
	for (size_t mtu = FLIGHT_MTU_MIN; mtu <= 1500; mtu++)
		one_random_flight(f, mtu);
	for (int i = 0; i < 100; i++) {
		one_random_flight(f, 9000);
		one_random_flight(f, 16384);
		one_random_flight(f, FLIGHT_MTU_MIN + chance(65535 - FLIGHT_MTU_MIN));
	}
	flight_free(f);
}

static void a_message_of_several_records_is_one_message(void **state)
{
	struct flight *f = flight_new(1);
	struct peer p;

	(void)state;
	push_message(f, 0, 60000);
	for (size_t mtu = FLIGHT_MTU_MIN; mtu < 20000; mtu += 777) {
		peer_reset(&p, mtu, flight_next_seq(f));
		flight_rewind(f);
		assert_int_equal(flight_send(f, mtu, peer_receive, &p), 0);
		peer_expects(&p, 0, 60000);
		peer_done(&p);
	}
	flight_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flight_that_fits_is_one_datagram),
		cmocka_unit_test(a_resend_has_fresh_numbers_and_the_same_contents),
		cmocka_unit_test(numbers_begin_where_told_and_stay_in_48_bits),
		cmocka_unit_test(only_what_was_not_sent_is_sent),
		cmocka_unit_test(a_new_flight_forgets_the_old_but_not_its_numbers),
		cmocka_unit_test(protected_records_leave_verbatim_and_in_order),
		cmocka_unit_test(records_can_be_visited_and_protected_ones_made_anew),
		cmocka_unit_test(a_protected_record_over_the_mtu_goes_alone),
		cmocka_unit_test(headers_are_written_as_pushed_but_for_the_number),
		cmocka_unit_test(several_records_and_messages_can_come_at_once),
		cmocka_unit_test(what_is_not_whole_records_is_refused_as_a_whole),
		cmocka_unit_test(a_flight_is_bounded),
		cmocka_unit_test(without_memory_nothing_is_appended),
		cmocka_unit_test(a_refusal_ends_the_sending_and_the_rest_counts_as_sent),
		cmocka_unit_test(absurd_mtus_are_bent),
		cmocka_unit_test(messages_stay_whole_where_that_costs_no_datagram),
		cmocka_unit_test(any_flight_is_put_together_again_at_any_mtu),
		cmocka_unit_test(a_message_of_several_records_is_one_message),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
