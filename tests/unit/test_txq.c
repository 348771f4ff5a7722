/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "txq.h"

/* A kernel of the test's own: takes `takes` entries at each flush and remembers what it got. */
struct sink {
	uint32_t takes;
	unsigned flushes;
	uint32_t got;
	uint32_t bad; /* entries that were not what the test had queued in their place */
};

static struct flow make_flow(uint32_t i)
{
	struct flow f;

	memset(&f, 0, sizeof(f));
	f.peer.family = f.local.family = AF_INET;
	f.peer.port = (uint16_t)(1000 + i % 5000);
	f.local.port = 4433;
	return f;
}

static size_t make_len(uint32_t i)
{
	return i * 7919 % 1400;
}

static uint8_t make_byte(uint32_t i, size_t k)
{
	return (uint8_t)(i * 31 + k);
}

static void sink_flush(void *ctx, struct txq *q)
{
	struct sink *s = ctx;
	uint32_t n, i = q->first;
	size_t k;

	s->flushes++;
	for (n = 0; n < s->takes && i < q->count; n++, i++) {
		const struct tx_entry *e = &q->entry[i];
		struct flow f = make_flow(s->got);
		bool good = e->len == make_len(s->got) && e->listener == s->got % 3 &&
			    e->handshake == (s->got % 2 == 0) && memcmp(&e->flow, &f, sizeof(f)) == 0;

		for (k = 0; good && k < e->len; k++)
			good = txq_data(q, e)[k] == make_byte(s->got, k);
		s->bad += !good;
		s->got++;
	}
	txq_sent(q, n);
}

/* Queues datagram number i. */
static bool put(struct txq *q, uint32_t i)
{
	struct flow f = make_flow(i);
	size_t k, len = make_len(i);
	uint8_t *p = txq_reserve(q, len + 100); /* asks for more than it commits, as a record layer does */

	if (p == NULL)
		return false;
	for (k = 0; k < len; k++)
		p[k] = make_byte(i, k);
	txq_commit(q, &f, i % 3, len, i % 2 == 0);
	return true;
}

static void flush_hands_over_all_in_order_and_starts_again(void **state)
{
	struct sink s = { .takes = UINT32_MAX };
	struct txq q;
	uint32_t i;

	(void)state;
	assert_int_equal(txq_init(&q, sink_flush, &s), 0);
	assert_true(txq_empty(&q));
	for (i = 0; i < 100; i++)
		assert_true(put(&q, i));
	assert_false(txq_empty(&q));
	assert_int_equal(s.flushes, 0);
	txq_flush(&q);
	assert_int_equal(s.got, 100);
	assert_int_equal(s.bad, 0);
	assert_true(txq_empty(&q));
	assert_int_equal(q.used, 0);
	assert_int_equal(q.count, 0);
	txq_destroy(&q);
}

static void empty_queue_is_not_flushed(void **state)
{
	struct sink s = { .takes = UINT32_MAX };
	struct txq q;

	(void)state;
	assert_int_equal(txq_init(&q, sink_flush, &s), 0);
	txq_flush(&q);
	assert_non_null(txq_reserve(&q, 100));
	txq_flush(&q);
	assert_int_equal(s.flushes, 0);
	txq_destroy(&q);
}

static void datagrams_lie_next_to_each_other(void **state)
{
	struct sink s = { .takes = UINT32_MAX };
	struct txq q;
	uint32_t i;

	(void)state;
	assert_int_equal(txq_init(&q, sink_flush, &s), 0);
	for (i = 0; i < 200; i++)
		assert_true(put(&q, i));
	for (i = 1; i < 200; i++)
		assert_int_equal(q.entry[i].offset, q.entry[i - 1].offset + q.entry[i - 1].len);
	txq_destroy(&q);
}

static void full_table_and_full_arena_flush_by_themselves(void **state)
{
	struct sink s = { .takes = UINT32_MAX };
	struct flow f = make_flow(0);
	struct txq q;
	uint32_t i;

	(void)state;
	assert_int_equal(txq_init(&q, sink_flush, &s), 0);
	for (i = 0; i <= TXQ_ENTRIES; i++) {
		assert_non_null(txq_reserve(&q, 0));
		txq_commit(&q, &f, 0, 0, false);
	}
	assert_int_equal(s.flushes, 1);
	assert_int_equal(q.count, 1);
	txq_flush(&q);
	for (i = 0; i <= TXQ_ARENA / TXQ_DATAGRAM_MAX; i++) {
		assert_non_null(txq_reserve(&q, TXQ_DATAGRAM_MAX));
		txq_commit(&q, &f, 0, TXQ_DATAGRAM_MAX, false);
	}
	assert_int_equal(s.flushes, 3);
	assert_int_equal(q.count, 1);
	txq_destroy(&q);
}

static void closed_kernel_leaves_no_room_and_loses_nothing(void **state)
{
	struct sink s = { .takes = 0 };
	struct txq q;
	uint32_t i = 0;

	(void)state;
	assert_int_equal(txq_init(&q, sink_flush, &s), 0);
	while (put(&q, i))
		i++;
	assert_true(i > TXQ_ARENA / 1500);
	assert_false(put(&q, i));
	s.takes = UINT32_MAX;
	txq_flush(&q);
	assert_int_equal(s.got, i);
	assert_int_equal(s.bad, 0);
	assert_true(put(&q, i));
	txq_destroy(&q);
}

/* The rest of a partly sent queue is moved, and stays what it was. */
static void slow_kernel_gets_everything_in_order(void **state)
{
	static const uint32_t takes[] = { 1, 2, 7, 50, 300 };
	size_t t;

	(void)state;
	for (t = 0; t < sizeof(takes) / sizeof(takes[0]); t++) {
		struct sink s = { .takes = takes[t] };
		struct txq q;
		uint32_t i, refused = 0;

		assert_int_equal(txq_init(&q, sink_flush, &s), 0);
		for (i = 0; i < 20000;) {
			if (put(&q, i))
				i++;
			else
				refused++;
			assert_true(refused < 100000);
			assert_true(q.used <= TXQ_ARENA && q.count <= TXQ_ENTRIES && q.first < q.count);
		}
		s.takes = UINT32_MAX;
		txq_flush(&q);
		assert_int_equal(s.got, 20000);
		assert_int_equal(s.bad, 0);
		txq_destroy(&q);
	}
}

static void room_in_front_is_used_once_it_is_worth_moving(void **state)
{
	struct sink s = { .takes = 0 };
	struct flow f = make_flow(0);
	struct txq q;
	uint32_t i;

	(void)state;
	assert_int_equal(txq_init(&q, sink_flush, &s), 0);
	for (i = 0; i < TXQ_ENTRIES; i++) {
		assert_non_null(txq_reserve(&q, 1));
		txq_commit(&q, &f, 0, 1, false);
	}
	txq_sent(&q, TXQ_ENTRIES / 4 - 1);
	assert_null(txq_reserve(&q, 1));
	txq_sent(&q, 1);
	assert_non_null(txq_reserve(&q, 1));
	assert_int_equal(q.first, 0);
	assert_int_equal(q.count, TXQ_ENTRIES * 3 / 4);
	assert_int_equal(q.entry[0].offset, 0);
	txq_destroy(&q);
}

static void reservation_that_is_not_committed_is_not_sent(void **state)
{
	struct sink s = { .takes = UINT32_MAX };
	struct txq q;

	(void)state;
	assert_int_equal(txq_init(&q, sink_flush, &s), 0);
	assert_true(put(&q, 0));
	assert_non_null(txq_reserve(&q, 1000));
	assert_non_null(txq_reserve(&q, 10));
	assert_true(put(&q, 1));
	txq_flush(&q);
	assert_int_equal(s.got, 2);
	assert_int_equal(s.bad, 0);
	txq_destroy(&q);
}

/* What a flush callback does when a datagram was too large: it queues smaller ones. */
static void requeue_flush(void *ctx, struct txq *q)
{
	unsigned *left = ctx;
	struct flow f = make_flow(0);

	while (!txq_empty(q)) {
		txq_sent(q, 1);
		if (*left > 0) {
			(*left)--;
			assert_non_null(txq_reserve(q, 10));
			txq_commit(q, &f, 0, 10, true);
		}
	}
}

static void flush_may_queue_more(void **state)
{
	struct flow f = make_flow(0);
	unsigned left = 3000;
	struct txq q;

	(void)state;
	assert_int_equal(txq_init(&q, requeue_flush, &left), 0);
	assert_non_null(txq_reserve(&q, 10));
	txq_commit(&q, &f, 0, 10, true);
	txq_flush(&q);
	assert_true(txq_empty(&q));
	assert_int_equal(left, 0);
	txq_destroy(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flush_hands_over_all_in_order_and_starts_again),
		cmocka_unit_test(empty_queue_is_not_flushed),
		cmocka_unit_test(datagrams_lie_next_to_each_other),
		cmocka_unit_test(full_table_and_full_arena_flush_by_themselves),
		cmocka_unit_test(closed_kernel_leaves_no_room_and_loses_nothing),
		cmocka_unit_test(slow_kernel_gets_everything_in_order),
		cmocka_unit_test(room_in_front_is_used_once_it_is_worth_moving),
		cmocka_unit_test(reservation_that_is_not_committed_is_not_sent),
		cmocka_unit_test(flush_may_queue_more),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
