/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chance.h"
#include "reassembly.h"
#include "starve.h"
#include "wire.h"

/* ---- messages whose bytes are known by their place ---- */

#define TYPE DTLS_CERTIFICATE

static uint8_t byte_of(uint32_t seq, uint32_t at)
{
	return (uint8_t)((seq + 1) * 131 + at * 7 + (at >> 8) * 13);
}

static enum reassembly_verdict add(struct reassembly *r, uint16_t seq, uint32_t length, uint32_t start,
				   uint32_t end)
{
	static uint8_t body[1 << 17];
	struct handshake_fragment f = { TYPE, length, seq, start, end - start, body };

	for (uint32_t i = start; i < end; i++)
		body[i - start] = byte_of(seq, i);
	return reassembly_add(r, &f);
}

static bool complete(struct reassembly *r)
{
	size_t len;

	return reassembly_next(r, &len) != NULL;
}

static void take(struct reassembly *r, uint16_t seq, uint32_t length)
{
	uint8_t header[12] = { TYPE };
	size_t len = 0;
	const uint8_t *p = reassembly_next(r, &len);

	assert_int_equal(reassembly_expected(r), seq);
	assert_non_null(p);
	assert_int_equal(len, 12 + length);
	wire_put24(header + 1, length);
	wire_put16(header + 4, seq);
	wire_put24(header + 9, length);
	assert_memory_equal(p, header, 12);
	for (uint32_t i = 0; i < length; i++) {
		if (p[12 + i] != byte_of(seq, i))
			fail_msg("message %u differs at %u", (unsigned)seq, (unsigned)i);
	}
	reassembly_pop(r);
}

/* ---- one thing at a time ---- */

static void whole_messages_come_out_in_order(void **state)
{
	struct reassembly *r = reassembly_new(3);

	(void)state;
	assert_int_equal(reassembly_expected(r), 3);
	assert_false(complete(r));
	assert_int_equal(add(r, 5, 30, 0, 30), REASSEMBLY_STORED);
	assert_int_equal(add(r, 4, 20, 0, 20), REASSEMBLY_STORED);
	assert_false(complete(r));
	assert_int_equal(add(r, 3, 10, 0, 10), REASSEMBLY_STORED);
	take(r, 3, 10);
	take(r, 4, 20);
	take(r, 5, 30);
	assert_false(complete(r));
	assert_int_equal(reassembly_bytes(r), 0);
	reassembly_free(r);
}

static void empty_messages_are_messages(void **state)
{
	struct reassembly *r = reassembly_new(0);

	(void)state;
	assert_int_equal(add(r, 0, 0, 0, 0), REASSEMBLY_STORED);
	assert_int_equal(add(r, 0, 0, 0, 0), REASSEMBLY_DUPLICATE);
	take(r, 0, 0);
	reassembly_free(r);
}

static void empty_fragments_say_nothing(void **state)
{
	struct reassembly *r = reassembly_new(0);

	(void)state;
	assert_int_equal(add(r, 0, 10, 5, 5), REASSEMBLY_DUPLICATE);
	assert_int_equal(reassembly_bytes(r), 0);
	/* They do not even settle the length. */
	assert_int_equal(add(r, 0, 20, 0, 10), REASSEMBLY_STORED);
	assert_int_equal(add(r, 0, 20, 15, 15), REASSEMBLY_DUPLICATE);
	assert_int_equal(add(r, 0, 10, 5, 5), REASSEMBLY_MISMATCH);
	reassembly_free(r);
}

static void pieces_merge_in_every_way_they_can_meet(void **state)
{
	/* [10,20) and [30,40) are there; fragments, and whether they say anything new. */
	static const struct { uint32_t start, end; bool fresh; } cases[] = {
		{ 0, 9, true }, { 0, 10, true }, { 0, 15, true }, { 0, 20, true }, { 0, 25, true },
		{ 0, 30, true }, { 0, 35, true }, { 0, 40, true }, { 0, 50, true }, { 10, 20, false },
		{ 12, 18, false }, { 10, 12, false }, { 10, 21, true }, { 15, 25, true }, { 15, 30, true },
		{ 15, 35, true }, { 15, 45, true }, { 20, 30, true }, { 21, 29, true }, { 25, 35, true },
		{ 25, 50, true }, { 35, 40, false }, { 40, 50, true }, { 41, 50, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reassembly *r = reassembly_new(0);

		assert_int_equal(add(r, 0, 50, 30, 40), REASSEMBLY_STORED);
		assert_int_equal(add(r, 0, 50, 10, 20), REASSEMBLY_STORED);
		assert_int_equal(add(r, 0, 50, cases[i].start, cases[i].end),
				 cases[i].fresh ? REASSEMBLY_STORED : REASSEMBLY_DUPLICATE);
		assert_int_equal(add(r, 0, 50, cases[i].start, cases[i].end), REASSEMBLY_DUPLICATE);
		/* A byte at a time: what is new and what is not must be just right. */
		for (uint32_t at = 0; at < 50; at++) {
			bool had = (at >= 10 && at < 20) || (at >= 30 && at < 40) ||
				   (at >= cases[i].start && at < cases[i].end);

			assert_int_equal(add(r, 0, 50, at, at + 1),
					 had ? REASSEMBLY_DUPLICATE : REASSEMBLY_STORED);
		}
		take(r, 0, 50);
		assert_int_equal(reassembly_bytes(r), 0);
		reassembly_free(r);
	}
}

static void what_came_first_stays(void **state)
{
	struct reassembly *r = reassembly_new(0);
	uint8_t forged[30];
	struct handshake_fragment f = { TYPE, 30, 0, 0, 30, forged };
	size_t len;

	(void)state;
	memset(forged, 0xee, sizeof(forged));
	add(r, 0, 30, 20, 25);
	add(r, 0, 30, 5, 15);
	assert_int_equal(reassembly_add(r, &f), REASSEMBLY_STORED);
	for (uint32_t i = 0; i < 30; i++) {
		bool first = (i >= 5 && i < 15) || (i >= 20 && i < 25);

		assert_int_equal(reassembly_next(r, &len)[12 + i], first ? byte_of(0, i) : 0xee);
	}
	reassembly_free(r);
}

static void messages_delivered_before_are_duplicates(void **state)
{
	struct reassembly *r = reassembly_new(2);

	(void)state;
	assert_int_equal(add(r, 0, 10, 0, 10), REASSEMBLY_DUPLICATE);
	assert_int_equal(add(r, 1, 10, 0, 10), REASSEMBLY_DUPLICATE);
	add(r, 2, 10, 0, 10);
	take(r, 2, 10);
	assert_int_equal(add(r, 2, 10, 0, 10), REASSEMBLY_DUPLICATE);
	assert_int_equal(add(r, 2, 99, 0, 10), REASSEMBLY_DUPLICATE);
	assert_int_equal(reassembly_bytes(r), 0);
	reassembly_free(r);
}

static void the_window_of_messages_moves_with_delivery(void **state)
{
	struct reassembly *r = reassembly_new(5);

	(void)state;
	assert_int_equal(add(r, 5 + REASSEMBLY_MESSAGES, 10, 0, 10), REASSEMBLY_TOO_FAR);
	assert_int_equal(add(r, 65535, 10, 0, 10), REASSEMBLY_TOO_FAR);
	assert_int_equal(reassembly_bytes(r), 0);
	assert_int_equal(add(r, 5 + REASSEMBLY_MESSAGES - 1, 10, 0, 10), REASSEMBLY_STORED);
	add(r, 5, 10, 0, 10);
	take(r, 5, 10);
	/* The same slot, used again. */
	assert_int_equal(add(r, 5 + REASSEMBLY_MESSAGES, 20, 0, 20), REASSEMBLY_STORED);
	for (uint16_t seq = 6; seq < 5 + REASSEMBLY_MESSAGES - 1; seq++) {
		add(r, seq, 15, 0, 15);
		take(r, seq, 15);
	}
	take(r, 5 + REASSEMBLY_MESSAGES - 1, 10);
	take(r, 5 + REASSEMBLY_MESSAGES, 20);
	reassembly_free(r);
}

static void sequences_end_and_do_not_wrap(void **state)
{
	struct reassembly *r = reassembly_new(65534);

	(void)state;
	assert_int_equal(add(r, 65535, 10, 0, 10), REASSEMBLY_STORED);
	assert_int_equal(add(r, 0, 10, 0, 10), REASSEMBLY_DUPLICATE);
	add(r, 65534, 10, 0, 10);
	take(r, 65534, 10);
	take(r, 65535, 10);
	assert_false(complete(r));
	assert_int_equal(add(r, 0, 10, 0, 10), REASSEMBLY_DUPLICATE);
	assert_int_equal(add(r, 65535, 10, 0, 10), REASSEMBLY_DUPLICATE);
	reassembly_pop(r);
	assert_int_equal(add(r, 0, 10, 0, 10), REASSEMBLY_DUPLICATE);
	reassembly_free(r);
}

static void a_fragment_that_tells_another_story_is_refused(void **state)
{
	struct reassembly *r = reassembly_new(0);
	uint8_t body[10] = { 0 };
	struct handshake_fragment f = { TYPE + 1, 50, 0, 10, 10, body };

	(void)state;
	add(r, 0, 50, 0, 10);
	assert_int_equal(reassembly_add(r, &f), REASSEMBLY_MISMATCH);
	assert_int_equal(add(r, 0, 51, 10, 20), REASSEMBLY_MISMATCH);
	assert_int_equal(add(r, 0, 49, 10, 20), REASSEMBLY_MISMATCH);
	assert_int_equal(add(r, 0, 50, 10, 50), REASSEMBLY_STORED);
	take(r, 0, 50);
	reassembly_free(r);
}

static void a_message_not_complete_can_be_skipped(void **state)
{
	struct reassembly *r = reassembly_new(0);

	(void)state;
	add(r, 0, 50, 0, 10);
	add(r, 0, 50, 20, 30);
	add(r, 1, 5, 0, 5);
	reassembly_pop(r);
	take(r, 1, 5);
	assert_int_equal(reassembly_bytes(r), 0);
	reassembly_free(r);
}

/* ---- bounds ---- */

static void a_claimed_length_over_the_bound_is_refused(void **state)
{
	struct reassembly *r = reassembly_new(0);

	(void)state;
	assert_int_equal(add(r, 0, REASSEMBLY_MESSAGE_MAX + 1, 0, 10), REASSEMBLY_TOO_LARGE);
	assert_int_equal(add(r, 0, 0xffffff, 0xfffff0, 0xffffff), REASSEMBLY_TOO_LARGE);
	assert_int_equal(reassembly_bytes(r), 0);
	assert_int_equal(add(r, 0, REASSEMBLY_MESSAGE_MAX, 0, REASSEMBLY_MESSAGE_MAX), REASSEMBLY_STORED);
	take(r, 0, REASSEMBLY_MESSAGE_MAX);
	reassembly_free(r);
}

static void claims_cost_no_memory(void **state)
{
	struct reassembly *r = reassembly_new(0);

	(void)state;
	for (uint16_t seq = 0; seq < REASSEMBLY_MESSAGES; seq++)
		assert_int_equal(add(r, seq, REASSEMBLY_MESSAGE_MAX, 60000, 60004), REASSEMBLY_STORED);
	assert_true(reassembly_bytes(r) <= REASSEMBLY_MESSAGES * 104);
	reassembly_free(r);
}

static void a_message_lies_in_so_many_pieces_and_no_more(void **state)
{
	struct reassembly *r = reassembly_new(0);
	size_t bytes;

	(void)state;
	for (uint32_t i = 0; i < REASSEMBLY_GAPS_MAX; i++)
		assert_int_equal(add(r, 0, 1000, 10 * i, 10 * i + 5), REASSEMBLY_STORED);
	bytes = reassembly_bytes(r);
	assert_true(bytes <= REASSEMBLY_GAPS_MAX * 105);
	assert_int_equal(add(r, 0, 1000, 900, 901), REASSEMBLY_TOO_LARGE);
	assert_int_equal(add(r, 0, 1000, 7, 8), REASSEMBLY_TOO_LARGE);
	assert_int_equal(reassembly_bytes(r), bytes);
	/* What grows or joins pieces is welcome, and makes room for others. */
	assert_int_equal(add(r, 0, 1000, 5, 6), REASSEMBLY_STORED);
	assert_int_equal(add(r, 0, 1000, 6, 10), REASSEMBLY_STORED);
	assert_int_equal(add(r, 0, 1000, 900, 901), REASSEMBLY_STORED);
	assert_int_equal(add(r, 0, 1000, 0, 1000), REASSEMBLY_STORED);
	take(r, 0, 1000);
	reassembly_free(r);
}

static void the_sum_of_all_messages_is_bounded(void **state)
{
	struct reassembly *r = reassembly_new(0);
	size_t bytes;

	(void)state;
	assert_int_equal(add(r, 1, 60000, 0, 60000), REASSEMBLY_STORED);
	assert_int_equal(add(r, 2, 38000, 0, 37000), REASSEMBLY_STORED);
	bytes = reassembly_bytes(r);
	assert_true(bytes <= REASSEMBLY_TOTAL_MAX);
	assert_int_equal(add(r, 2, 38000, 37000, 38000), REASSEMBLY_STORED);
	/* Neither a new piece nor a grown one. */
	assert_int_equal(add(r, 0, 60000, 0, 300), REASSEMBLY_TOO_LARGE);
	assert_int_equal(add(r, 3, 60000, 0, 20), REASSEMBLY_STORED);
	assert_int_equal(add(r, 3, 60000, 0, 300), REASSEMBLY_TOO_LARGE);
	assert_true(reassembly_bytes(r) <= REASSEMBLY_TOTAL_MAX);
	/* What is complete leaves and there is room again. */
	reassembly_pop(r);
	take(r, 1, 60000);
	take(r, 2, 38000);
	assert_int_equal(add(r, 3, 60000, 0, 60000), REASSEMBLY_STORED);
	take(r, 3, 60000);
	assert_int_equal(reassembly_bytes(r), 0);
	reassembly_free(r);
}

static void many_tiny_pieces_cannot_pass_the_bound(void **state)
{
	struct reassembly *r = reassembly_new(0);

	(void)state;
	for (uint16_t seq = 0; seq < REASSEMBLY_MESSAGES; seq++) {
		for (uint32_t i = 0; i < 59990; i += 7) {
			add(r, seq, 60000, i, i + 1 + chance(6));
			assert_true(reassembly_bytes(r) <= REASSEMBLY_TOTAL_MAX);
		}
	}
	assert_true(reassembly_bytes(r) <= REASSEMBLY_MESSAGES * REASSEMBLY_GAPS_MAX * 128);
	reassembly_free(r);
}

static void without_memory_all_stays_as_it_was(void **state)
{
	struct reassembly *r;
	struct reassembly *none;
	enum reassembly_verdict insert, merge;
	size_t bytes;

	(void)state;
	r = reassembly_new(0);
	add(r, 0, 2000, 0, 500);
	add(r, 0, 2000, 1000, 1500);
	bytes = reassembly_bytes(r);
	out_of_memory = true;
	none = reassembly_new(0);
	insert = add(r, 0, 2000, 600, 700);
	merge = add(r, 0, 2000, 400, 1200);
	out_of_memory = false;
	if (none) {
		reassembly_free(none);
		reassembly_free(r);
		skip();
	}
	assert_int_equal(insert, REASSEMBLY_MEMORY);
	assert_int_equal(merge, REASSEMBLY_MEMORY);
	assert_int_equal(reassembly_bytes(r), bytes);
	assert_int_equal(add(r, 0, 2000, 400, 2000), REASSEMBLY_STORED);
	take(r, 0, 2000);
	reassembly_free(r);
	reassembly_free(NULL);
}

/* ---- any order ---- */

struct cut {
	uint16_t seq;
	uint32_t start;
	uint32_t end;
};

struct story {
	uint16_t first;
	unsigned messages;
	uint32_t length[12];
	struct cut cut[2000];
	size_t cuts;
	uint8_t came[12][20000]; /* which bytes the model has seen */
};

/* Every message once in pieces, then overlaps and duplicates, all of it shuffled. */
static void story_tell(struct story *s, uint32_t largest, uint32_t pieces)
{
	s->first = (uint16_t)chance(100);
	s->messages = 1 + chance(12);
	s->cuts = 0;
	memset(s->came, 0, sizeof(s->came));
	for (uint16_t m = 0; m < s->messages; m++) {
		uint32_t length = chance(5) == 0 ? chance(3) : chance(largest);
		uint32_t at = 0;

		s->length[m] = length;
		do {
			uint32_t n = 1 + chance(2 * length / pieces + 2);

			n = n > length - at ? length - at : n;
			s->cut[s->cuts++] = (struct cut){ m, at, at + n };
			at += n;
		} while (at < length);
		for (uint32_t n = chance(10); n > 0; n--) {
			uint32_t start = chance(length + 1);

			at = start + chance(length - start + 1);
			s->cut[s->cuts++] = (struct cut){ m, start, at };
		}
	}
	for (size_t i = s->cuts - 1; i > 0; i--) {
		size_t j = chance((uint32_t)i + 1);
		struct cut swap = s->cut[i];

		s->cut[i] = s->cut[j];
		s->cut[j] = swap;
	}
}

/* How many pieces the model's message lies in. */
static uint32_t story_pieces(const struct story *s, uint16_t m)
{
	uint32_t pieces = 0;

	for (uint32_t i = 0; i < s->length[m]; i++)
		pieces += s->came[m][i] && (i == 0 || !s->came[m][i - 1]);
	return pieces;
}

static void story_play(struct story *s)
{
	struct reassembly *r = reassembly_new(s->first);
	unsigned next = 0;
	unsigned rounds = 0;

	/* A peer sends again what was lost or did not fit: round by round it must come to an end. */
	for (; next < s->messages; rounds++) {
		assert_true(rounds < 40);
		for (size_t i = 0; i < s->cuts; i++) {
			const struct cut *c = &s->cut[i];
			bool old = c->seq < next;
			bool fresh = memchr(s->came[c->seq] + c->start, 0, c->end - c->start) != NULL ||
				     s->length[c->seq] == 0;
			enum reassembly_verdict v = add(r, (uint16_t)(s->first + c->seq), s->length[c->seq],
							c->start, c->end);

			if (old)
				assert_int_equal(v, REASSEMBLY_DUPLICATE);
			else if (c->seq - next >= REASSEMBLY_MESSAGES)
				assert_int_equal(v, REASSEMBLY_TOO_FAR);
			else if (!fresh)
				assert_int_equal(v, REASSEMBLY_DUPLICATE);
			else if (v == REASSEMBLY_TOO_LARGE)
				assert_int_equal(story_pieces(s, c->seq), REASSEMBLY_GAPS_MAX);
			else if (v == REASSEMBLY_STORED)
				memset(s->came[c->seq] + c->start, 1, c->end - c->start);
			else
				assert_true(v == REASSEMBLY_DUPLICATE && s->length[c->seq] == 0);
			while (next < s->messages && complete(r)) {
				assert_null(memchr(s->came[next], 0, s->length[next]));
				take(r, (uint16_t)(s->first + next), s->length[next]);
				next++;
			}
		}
	}
	assert_int_equal(reassembly_bytes(r), 0);
	reassembly_free(r);
}

static void any_order_gives_the_messages_back(void **state)
{
	static struct story s;

	(void)state;
	for (int i = 0; i < 4000; i++) {
		story_tell(&s, 600, 1 + chance(40));
		story_play(&s);
	}
	for (int i = 0; i < 200; i++) {
		story_tell(&s, 7000, 1 + chance(30));
		story_play(&s);
	}
}

static void more_pieces_than_allowed_only_take_longer(void **state)
{
	static struct story s;

	(void)state;
	for (int i = 0; i < 100; i++) {
		story_tell(&s, 3000, 140);
		story_play(&s);
	}
}

static void memory_follows_the_bytes_received(void **state)
{
	static struct story s;

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct reassembly *r = reassembly_new(0);

		story_tell(&s, 2000, 30);
		for (size_t j = 0; j < s.cuts; j++) {
			const struct cut *c = &s.cut[j];
			size_t most = 0;

			if (add(r, c->seq, s.length[c->seq], c->start, c->end) == REASSEMBLY_STORED)
				memset(s.came[c->seq] + c->start, 1, c->end - c->start);
			for (uint16_t m = 0; m < s.messages; m++) {
				most += (s.length[m] == 0 ? 1 : story_pieces(&s, m)) * 100;
				for (uint32_t at = 0; at < s.length[m]; at++)
					most += s.came[m][at];
			}
			assert_true(reassembly_bytes(r) <= most);
		}
		reassembly_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_messages_come_out_in_order),
		cmocka_unit_test(empty_messages_are_messages),
		cmocka_unit_test(empty_fragments_say_nothing),
		cmocka_unit_test(pieces_merge_in_every_way_they_can_meet),
		cmocka_unit_test(what_came_first_stays),
		cmocka_unit_test(messages_delivered_before_are_duplicates),
		cmocka_unit_test(the_window_of_messages_moves_with_delivery),
		cmocka_unit_test(sequences_end_and_do_not_wrap),
		cmocka_unit_test(a_fragment_that_tells_another_story_is_refused),
		cmocka_unit_test(a_message_not_complete_can_be_skipped),
		cmocka_unit_test(a_claimed_length_over_the_bound_is_refused),
		cmocka_unit_test(claims_cost_no_memory),
		cmocka_unit_test(a_message_lies_in_so_many_pieces_and_no_more),
		cmocka_unit_test(the_sum_of_all_messages_is_bounded),
		cmocka_unit_test(many_tiny_pieces_cannot_pass_the_bound),
		cmocka_unit_test(without_memory_all_stays_as_it_was),
		cmocka_unit_test(any_order_gives_the_messages_back),
		cmocka_unit_test(more_pieces_than_allowed_only_take_longer),
		cmocka_unit_test(memory_follows_the_bytes_received),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
