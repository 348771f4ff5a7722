/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "retransmit.h"
#include "wire.h"

#define BODY 3000 /* of the one message: three datagrams of 1200 */

struct wire {
	unsigned datagrams;
	size_t largest;
};

static int leave(void *ctx, const uint8_t *data, size_t len)
{
	struct wire *w = ctx;

	(void)data;
	w->datagrams++;
	w->largest = len > w->largest ? len : w->largest;
	return 0;
}

/* A Certificate, as GnuTLS would push it. */
static void push(struct retransmit *r)
{
	static uint8_t record[DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + BODY];
	uint8_t *hs = record + DTLS_RECORD_HEADER;

	memset(record, 0, sizeof(record));
	record[0] = DTLS_HANDSHAKE;
	wire_put16(record + 1, DTLS_VERSION_1_2);
	wire_put16(record + 11, DTLS_HANDSHAKE_HEADER + BODY);
	hs[0] = DTLS_CERTIFICATE;
	wire_put24(hs + 1, BODY);
	wire_put24(hs + 9, BODY);
	retransmit_push(r, record, sizeof(record));
	assert_false(r->lost);
}

static struct wire again(struct retransmit *r, bool asked, uint64_t now)
{
	struct wire w = { 0 };

	retransmit_again(r, asked, now, leave, &w);
	return w;
}

static struct wire set_up(struct retransmit *r, uint64_t now)
{
	struct wire w = { 0 };

	assert_int_equal(retransmit_init(r, 0, 1200), 0);
	assert_false(retransmit_tick(r, now)); /* nothing was sent, nothing is missing */
	push(r);
	assert_true(r->unsent);
	retransmit_send(r, now, leave, &w);
	assert_false(r->unsent);
	return w;
}

/* RFC 6347 4.2.4.1: a second, doubled each time, at most a minute. */
static void the_wait_doubles_up_to_a_minute(void **state)
{
	static const uint64_t waits[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
	uint64_t now = 5000;
	struct retransmit r;

	(void)state;
	set_up(&r, now);
	for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		assert_int_equal(r.due, now + waits[i]);
		assert_false(retransmit_tick(&r, r.due - 1));
		now = r.due;
		assert_true(retransmit_tick(&r, now));
		again(&r, false, now);
		assert_int_equal(r.resends, i + 1);
	}
	retransmit_destroy(&r);
}

static void a_flight_that_vanishes_is_cut_smaller(void **state)
{
	static const size_t mtus[] = { 1200, 548, 548, 548, 228, 228 };
	struct wire w;
	struct retransmit r;
	size_t before;

	(void)state;
	w = set_up(&r, 0);
	assert_int_equal(w.datagrams, 3);
	before = w.datagrams;
	for (unsigned i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		uint64_t now = r.due;

		assert_true(retransmit_tick(&r, now));
		w = again(&r, false, now);
		assert_int_equal(r.mtu, mtus[i]);
		assert_true(w.largest <= mtus[i] && w.datagrams >= before);
		before = w.datagrams;
	}
	retransmit_destroy(&r);
}

static void the_peer_may_ask_now_and_then(void **state)
{
	struct retransmit r;

	(void)state;
	set_up(&r, 0);
	assert_false(retransmit_asked(&r, 199));
	assert_true(retransmit_asked(&r, 200));
	/* what it asks for comes beside what is due */
	assert_int_equal(again(&r, true, 200).datagrams, 3);
	assert_int_equal(r.due, 1000);
	assert_int_equal(r.resends, 0);
	assert_false(retransmit_asked(&r, 399));
	/* but what has just left is not sent twice */
	assert_true(retransmit_asked(&r, 900));
	again(&r, true, 900);
	assert_false(retransmit_tick(&r, 1000));
	assert_int_equal(r.due, 3000);
	assert_int_equal(r.resends, 1);
	/* unless it would be cut smaller now */
	assert_true(retransmit_asked(&r, 2900));
	again(&r, true, 2900);
	assert_true(retransmit_tick(&r, 3000));
	assert_int_equal(r.mtu, 548);
	retransmit_destroy(&r);
}

static void an_answer_ends_the_flight_when_the_next_begins(void **state)
{
	struct wire w = { 0 };
	struct retransmit r;

	(void)state;
	set_up(&r, 0);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t now = r.due;

		assert_true(retransmit_tick(&r, now));
		again(&r, false, now);
	}
	r.answered = true;
	assert_false(retransmit_asked(&r, 100000));
	push(&r);
	assert_false(r.answered);
	retransmit_send(&r, 100000, leave, &w);
	assert_int_equal(w.datagrams, again(&r, false, 100000).datagrams); /* it alone */
	assert_int_equal(r.resends, 0);
	assert_int_equal(r.due, 101000);
	assert_int_equal(r.mtu, 548); /* the path is the same */
	retransmit_destroy(&r);
}

static void what_the_kernel_says_counts_at_once(void **state)
{
	struct retransmit r;

	(void)state;
	set_up(&r, 0);
	retransmit_too_large(&r, 1300, 10); /* that is not what we send */
	assert_int_equal(r.due, 1000);
	retransmit_too_large(&r, 900, 10);
	assert_int_equal(r.mtu, 900);
	assert_int_equal(r.due, 10);
	/* each datagram of the flight brings the same news */
	retransmit_too_large(&r, 900, 10);
	retransmit_too_large(&r, 0, 10);
	assert_int_equal(r.mtu, 900);
	assert_true(retransmit_tick(&r, 10));
	assert_true(again(&r, false, 10).largest <= 900);
	assert_int_equal(r.resends, 0); /* the peer was never silent */
	assert_int_equal(r.due, 1010);
	/* without a number it goes down the steps, one for each flight */
	retransmit_too_large(&r, 0, 20);
	retransmit_too_large(&r, 0, 20);
	assert_int_equal(r.mtu, 548);
	assert_true(retransmit_tick(&r, 20));
	again(&r, false, 20);
	retransmit_too_large(&r, 100, 30);
	assert_int_equal(r.mtu, FLIGHT_MTU_MIN);
	retransmit_destroy(&r);
}

static void what_cannot_be_kept_marks_the_flight_as_lost(void **state)
{
	static const uint8_t alert[] = { DTLS_ALERT, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40 };
	struct retransmit r;

	(void)state;
	set_up(&r, 0);
	retransmit_push(&r, alert, sizeof(alert));
	assert_false(r.lost);
	retransmit_push(&r, alert, sizeof(alert) - 1);
	assert_true(r.lost);
	retransmit_destroy(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wait_doubles_up_to_a_minute),
		cmocka_unit_test(a_flight_that_vanishes_is_cut_smaller),
		cmocka_unit_test(the_peer_may_ask_now_and_then),
		cmocka_unit_test(an_answer_ends_the_flight_when_the_next_begins),
		cmocka_unit_test(what_the_kernel_says_counts_at_once),
		cmocka_unit_test(what_cannot_be_kept_marks_the_flight_as_lost),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
