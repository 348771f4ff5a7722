/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chance.h"
#include "intake.h"
#include "reassembly.h"
#include "wire.h"

#define FIRST 1 /* message_seq of a ClientHello with a cookie */

/* Message k of the client, or a part of it. */
static enum intake_verdict part(struct intake *in, unsigned k, uint8_t type, uint32_t length, uint32_t from,
				uint32_t n)
{
	static const uint8_t body[2048];
	struct handshake_fragment f = { type, length, (uint16_t)(FIRST + k), from, n, body };

	return intake_fragment(in, &f);
}

static enum intake_verdict say(struct intake *in, unsigned k, uint8_t type)
{
	return part(in, k, type, 100, 0, 100);
}

static enum intake_verdict protected(struct intake *in, uint8_t type, uint64_t seq, size_t len)
{
	static uint8_t data[DTLS_RECORD_HEADER + 20000];
	struct record r = { RECORD_PROTECTED, type, DTLS_VERSION_1_2, 1, seq, data, data + DTLS_RECORD_HEADER, len };

	data[0] = type;
	wire_put48(data + 5, seq);
	return intake_protected(in, &r);
}

static void expect(struct intake *in, enum intake_kind kind, uint8_t type)
{
	const uint8_t *data;
	size_t len;

	assert_int_equal(intake_next(in, &data, &len), kind);
	assert_int_equal(intake_next(in, &data, &len), kind); /* asking changes nothing */
	if (kind == INTAKE_MESSAGE || kind == INTAKE_PROTECTED)
		assert_int_equal(data[0], type);
	if (kind != INTAKE_NOTHING)
		intake_pop(in);
}

static void expect_finished(struct intake *in, uint64_t seq)
{
	const uint8_t *data;
	size_t len;

	assert_int_equal(intake_next(in, &data, &len), INTAKE_PROTECTED);
	assert_int_equal(data[0], DTLS_HANDSHAKE);
	assert_int_equal(wire_get48(data + 5), seq);
	intake_pop(in);
}

/* The ClientHello has led to our flight. */
static void set_up(struct intake *in, bool cert_requested, bool abbreviated)
{
	assert_int_equal(intake_init(in, FIRST), 0);
	expect(in, INTAKE_NOTHING, 0);
	assert_int_equal(say(in, 0, DTLS_CLIENT_HELLO), INTAKE_KEPT);
	assert_int_equal(intake_given(in), 0);
	expect(in, INTAKE_MESSAGE, DTLS_CLIENT_HELLO);
	assert_int_equal(intake_given(in), 1);
	in->cert_requested = cert_requested;
	in->abbreviated = abbreviated;
	expect(in, INTAKE_NOTHING, 0);
}

/* ---- the order of RFC 5246 7.3 ---- */

enum { MESSAGES = 3, CCS = MESSAGES, FINISHED, THINGS };

static const uint8_t full[MESSAGES] = { DTLS_CERTIFICATE, DTLS_CLIENT_KEY_EXCHANGE, DTLS_CERTIFICATE_VERIFY };

static void arrive(struct intake *in, unsigned thing)
{
	if (thing == CCS)
		intake_ccs(in);
	else if (thing == FINISHED)
		assert_int_equal(protected(in, DTLS_HANDSHAKE, 7, 40), INTAKE_KEPT);
	else
		assert_int_equal(say(in, thing + 1, full[thing]), INTAKE_KEPT);
}

static void any_order_of_arrival_comes_out_in_order(void **state)
{
	(void)state;
	for (unsigned run = 0; run < 500; run++) {
		unsigned order[THINGS] = { 0, 1, 2, CCS, FINISHED }, came = 0, next = 0;
		struct intake in;

		set_up(&in, true, false);
		for (unsigned i = THINGS - 1; i > 0; i--) {
			unsigned j = chance(i + 1), t = order[i];

			order[i] = order[j];
			order[j] = t;
		}
		for (unsigned i = 0; i < THINGS; i++) {
			arrive(&in, order[i]);
			came |= 1U << order[i];
			if (order[i] == FINISHED) /* the record before it may be lost */
				came |= 1U << CCS;
			for (; next < THINGS && (came >> next & 1); next++)
				expect(&in, next == CCS ? INTAKE_CCS : next == FINISHED ? INTAKE_PROTECTED : INTAKE_MESSAGE,
				       next < MESSAGES ? full[next] : DTLS_HANDSHAKE);
			expect(&in, INTAKE_NOTHING, 0);
		}
		assert_int_equal(next, THINGS);
		intake_destroy(&in);
	}
}

static void without_a_certificate_nothing_is_verified(void **state)
{
	struct intake in;

	(void)state;
	/* none was asked for */
	set_up(&in, false, false);
	intake_ccs(&in);
	expect(&in, INTAKE_NOTHING, 0);
	assert_int_equal(say(&in, 1, DTLS_CLIENT_KEY_EXCHANGE), INTAKE_KEPT);
	expect(&in, INTAKE_MESSAGE, DTLS_CLIENT_KEY_EXCHANGE);
	expect(&in, INTAKE_CCS, 0);
	intake_destroy(&in);
	/* the client has none: its list is empty */
	set_up(&in, true, false);
	assert_int_equal(part(&in, 1, DTLS_CERTIFICATE, 3, 0, 3), INTAKE_KEPT);
	assert_int_equal(say(&in, 2, DTLS_CLIENT_KEY_EXCHANGE), INTAKE_KEPT);
	intake_ccs(&in);
	expect(&in, INTAKE_MESSAGE, DTLS_CERTIFICATE);
	expect(&in, INTAKE_MESSAGE, DTLS_CLIENT_KEY_EXCHANGE);
	expect(&in, INTAKE_CCS, 0);
	expect(&in, INTAKE_NOTHING, 0);
	intake_destroy(&in);
	/* it has one: without the proof nothing goes on */
	set_up(&in, true, false);
	assert_int_equal(part(&in, 1, DTLS_CERTIFICATE, 4, 0, 4), INTAKE_KEPT);
	assert_int_equal(say(&in, 2, DTLS_CLIENT_KEY_EXCHANGE), INTAKE_KEPT);
	intake_ccs(&in);
	expect(&in, INTAKE_MESSAGE, DTLS_CERTIFICATE);
	expect(&in, INTAKE_MESSAGE, DTLS_CLIENT_KEY_EXCHANGE);
	expect(&in, INTAKE_NOTHING, 0);
	intake_destroy(&in);
}

static void a_resumption_needs_only_the_finished(void **state)
{
	struct intake in;

	(void)state;
	set_up(&in, false, true);
	assert_int_equal(say(&in, 1, DTLS_CLIENT_KEY_EXCHANGE), INTAKE_UNEXPECTED);
	assert_int_equal(protected(&in, DTLS_HANDSHAKE, 3, 40), INTAKE_KEPT);
	expect(&in, INTAKE_CCS, 0);
	expect_finished(&in, 3);
	expect(&in, INTAKE_NOTHING, 0);
	intake_destroy(&in);
}

static void a_message_that_cannot_stand_there_is_refused(void **state)
{
	struct intake in;

	(void)state;
	for (unsigned asked = 0; asked < 2; asked++) {
		set_up(&in, asked, false);
		for (unsigned k = 1; k < 8; k++)
			for (unsigned type = 0; type < 256; type++) {
				bool legal = asked ? k <= MESSAGES && full[k - 1] == type :
						     k == 1 && type == DTLS_CLIENT_KEY_EXCHANGE;

				if (!legal)
					assert_int_equal(say(&in, k, (uint8_t)type), INTAKE_UNEXPECTED);
			}
		assert_int_equal(say(&in, 0, DTLS_CERTIFICATE), INTAKE_UNEXPECTED);
		assert_int_equal(say(&in, (unsigned)-1, DTLS_CLIENT_HELLO), INTAKE_UNEXPECTED);
		expect(&in, INTAKE_NOTHING, 0);
		intake_destroy(&in);
	}
}

static void a_repeated_flight_is_told_by_its_end(void **state)
{
	struct intake in;

	(void)state;
	set_up(&in, true, false);
	assert_int_equal(say(&in, 0, DTLS_CLIENT_HELLO), INTAKE_DUPLICATE_END);
	assert_int_equal(part(&in, 0, DTLS_CLIENT_HELLO, 100, 0, 50), INTAKE_DUPLICATE);
	assert_int_equal(part(&in, 0, DTLS_CLIENT_HELLO, 100, 50, 50), INTAKE_DUPLICATE_END);
	assert_int_equal(say(&in, 1, DTLS_CERTIFICATE), INTAKE_KEPT);
	/* not given out yet: that is no wish for anything */
	assert_int_equal(say(&in, 1, DTLS_CERTIFICATE), INTAKE_DUPLICATE);
	expect(&in, INTAKE_MESSAGE, DTLS_CERTIFICATE);
	assert_int_equal(say(&in, 0, DTLS_CLIENT_HELLO), INTAKE_DUPLICATE);
	assert_int_equal(say(&in, 1, DTLS_CERTIFICATE), INTAKE_DUPLICATE_END);
	intake_destroy(&in);
}

static void lies_about_a_length_are_told_apart(void **state)
{
	struct intake in;

	(void)state;
	set_up(&in, false, false);
	assert_int_equal(part(&in, 1, DTLS_CLIENT_KEY_EXCHANGE, REASSEMBLY_MESSAGE_MAX + 1, 0, 10),
			 INTAKE_TOO_LARGE);
	assert_int_equal(part(&in, 1, DTLS_CLIENT_KEY_EXCHANGE, 100, 0, 10), INTAKE_KEPT);
	assert_int_equal(part(&in, 1, DTLS_CLIENT_KEY_EXCHANGE, 101, 10, 91), INTAKE_UNEXPECTED);
	assert_int_equal(part(&in, 1, DTLS_CLIENT_KEY_EXCHANGE, 100, 10, 90), INTAKE_KEPT);
	expect(&in, INTAKE_MESSAGE, DTLS_CLIENT_KEY_EXCHANGE);
	intake_destroy(&in);
}

/* ---- what is protected ---- */

static void forged_data_leaves_room_for_the_finished(void **state)
{
	struct intake in;
	unsigned held = 0;

	(void)state;
	set_up(&in, false, false);
	for (unsigned i = 0; i < 100; i++)
		held += protected(&in, DTLS_APPLICATION_DATA, i, 1000) == INTAKE_KEPT;
	assert_int_equal(held, INTAKE_RECORDS);
	assert_int_equal(protected(&in, DTLS_HANDSHAKE, 200, 40), INTAKE_KEPT);
	intake_destroy(&in);
	/* and their bytes are bounded too */
	set_up(&in, false, false);
	assert_int_equal(protected(&in, DTLS_APPLICATION_DATA, 1, INTAKE_BYTES - DTLS_RECORD_HEADER), INTAKE_KEPT);
	assert_int_equal(protected(&in, DTLS_APPLICATION_DATA, 2, 1), INTAKE_UNEXPECTED);
	assert_int_equal(protected(&in, DTLS_HANDSHAKE, 3, INTAKE_FINISHED_MAX), INTAKE_KEPT);
	intake_destroy(&in);
}

static void of_many_that_may_be_the_finished_the_latest_are_tried(void **state)
{
	struct intake in;

	(void)state;
	set_up(&in, false, false);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(protected(&in, DTLS_HANDSHAKE, i, 40), INTAKE_KEPT);
		protected(&in, DTLS_APPLICATION_DATA, 100 + i, 40); /* lies between them */
	}
	/* a Finished is not that long, and a ChangeCipherSpec has no place here */
	assert_int_equal(protected(&in, DTLS_HANDSHAKE, 10, INTAKE_FINISHED_MAX + 1), INTAKE_UNEXPECTED);
	assert_int_equal(protected(&in, DTLS_CHANGE_CIPHER_SPEC, 11, 1), INTAKE_UNEXPECTED);
	assert_int_equal(say(&in, 1, DTLS_CLIENT_KEY_EXCHANGE), INTAKE_KEPT);
	expect(&in, INTAKE_MESSAGE, DTLS_CLIENT_KEY_EXCHANGE);
	expect(&in, INTAKE_CCS, 0);
	for (unsigned i = 10 - INTAKE_FINISHED; i < 10; i++)
		expect_finished(&in, i);
	expect(&in, INTAKE_NOTHING, 0);
	/* all were forged: there is room for others */
	assert_int_equal(protected(&in, DTLS_HANDSHAKE, 50, 40), INTAKE_KEPT);
	expect_finished(&in, 50);
	intake_destroy(&in);
}

struct rest {
	unsigned count;
	uint64_t seq[16];
};

static void note_rest(void *ctx, uint8_t *data, size_t len)
{
	struct rest *r = ctx;

	assert_true(len > DTLS_RECORD_HEADER);
	r->seq[r->count++] = wire_get48(data + 5);
}

static void what_overtook_the_finished_is_left_in_order(void **state)
{
	struct rest rest = { 0 };
	struct intake in;

	(void)state;
	set_up(&in, false, false);
	protected(&in, DTLS_APPLICATION_DATA, 2, 10);
	protected(&in, DTLS_HANDSHAKE, 1, 40);
	protected(&in, DTLS_ALERT, 3, 10);
	protected(&in, DTLS_HANDSHAKE, 1, 40); /* sent twice */
	protected(&in, DTLS_APPLICATION_DATA, 4, 10);
	assert_int_equal(say(&in, 1, DTLS_CLIENT_KEY_EXCHANGE), INTAKE_KEPT);
	expect(&in, INTAKE_MESSAGE, DTLS_CLIENT_KEY_EXCHANGE);
	expect(&in, INTAKE_CCS, 0);
	expect_finished(&in, 1);
	intake_rest(&in, note_rest, &rest);
	assert_int_equal(rest.count, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rest.seq[i], ((const uint64_t[]){ 2, 3, 1, 4 })[i]);
	/* it is forgotten, and there is room again */
	intake_rest(&in, note_rest, &rest);
	assert_int_equal(rest.count, 4);
	for (unsigned i = 0; i < INTAKE_RECORDS; i++)
		assert_int_equal(protected(&in, DTLS_APPLICATION_DATA, 10 + i, 10), INTAKE_KEPT);
	intake_destroy(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_of_arrival_comes_out_in_order),
		cmocka_unit_test(without_a_certificate_nothing_is_verified),
		cmocka_unit_test(a_resumption_needs_only_the_finished),
		cmocka_unit_test(a_message_that_cannot_stand_there_is_refused),
		cmocka_unit_test(a_repeated_flight_is_told_by_its_end),
		cmocka_unit_test(lies_about_a_length_are_told_apart),
		cmocka_unit_test(forged_data_leaves_room_for_the_finished),
		cmocka_unit_test(of_many_that_may_be_the_finished_the_latest_are_tried),
		cmocka_unit_test(what_overtook_the_finished_is_left_in_order),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
