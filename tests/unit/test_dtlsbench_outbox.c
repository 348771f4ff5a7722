/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dtlsbench_outbox.h"

#define MTU 1200

/* What was sent: the bytes of all parcels, and how they were parted. */
static struct {
	unsigned calls, parcels;
	struct parcel parcel[1000];
	uint8_t bytes[4 << 20];
	size_t used;
	int verdict;
} network;

int __wrap_source_send(struct source *s, const struct parcel *p, unsigned n);
int __wrap_source_send(struct source *s, const struct parcel *p, unsigned n)
{
	(void)s;
	assert_in_range(n, 1, SOURCE_BATCH);
	network.calls++;
	for (unsigned i = 0; i < n; i++) {
		struct parcel *kept = &network.parcel[network.parcels++];

		*kept = p[i];
		kept->data = network.bytes + network.used;
		memcpy(kept->data, p[i].data, p[i].len);
		network.used += p[i].len;
	}
	return network.verdict;
}

static struct outbox *new_outbox(void)
{
	struct outbox *o = malloc(sizeof(*o));

	assert_non_null(o);
	memset(&network, 0, sizeof(network));
	outbox_init(o, NULL, MTU);
	return o;
}

static void add(struct outbox *o, uint32_t peer, uint8_t what, size_t len, enum outbox_join join)
{
	memset(outbox_reserve(o, len + 100), what, len); /* more is reserved than is used */
	outbox_add(o, peer, len, join);
}

static void records_of_a_flight_share_datagrams_up_to_the_mtu(void **state)
{
	struct outbox *o = new_outbox();

	(void)state;
	add(o, 1, 'a', 600, OUTBOX_FLIGHT);
	add(o, 1, 'b', 600, OUTBOX_FLIGHT);
	add(o, 1, 'c', 1, OUTBOX_FLIGHT);
	outbox_flush(o);
	assert_int_equal(network.parcels, 2);
	assert_int_equal(network.parcel[0].len, 1200);
	assert_int_equal(network.parcel[0].segment, 0);
	assert_int_equal(network.parcel[0].data[599], 'a');
	assert_int_equal(network.parcel[0].data[600], 'b');
	assert_int_equal(network.parcel[1].len, 1);
	free(o);
}

static void another_clients_flight_is_apart(void **state)
{
	struct outbox *o = new_outbox();

	(void)state;
	add(o, 1, 'a', 60, OUTBOX_FLIGHT);
	add(o, 2, 'b', 60, OUTBOX_FLIGHT);
	add(o, 1, 'c', 60, OUTBOX_FLIGHT);
	add(o, 1, 'd', 60, OUTBOX_APART);
	outbox_flush(o);
	assert_int_equal(network.parcels, 4);
	assert_int_equal(network.parcel[1].peer, 2);
	free(o);
}

static void records_of_one_length_make_one_run(void **state)
{
	struct outbox *o = new_outbox();

	(void)state;
	for (int i = 0; i < 8; i++)
		add(o, 3, (uint8_t)('a' + i), 101, OUTBOX_RUN);
	add(o, 3, 'x', 50, OUTBOX_RUN);
	add(o, 4, 'y', 50, OUTBOX_RUN);
	outbox_flush(o);
	assert_int_equal(network.parcels, 3);
	assert_int_equal(network.parcel[0].len, 808);
	assert_int_equal(network.parcel[0].segment, 101);
	assert_int_equal(network.parcel[0].data[7 * 101], 'h');
	assert_int_equal(network.parcel[1].segment, 50);
	free(o);
}

static void a_run_has_at_most_64_datagrams_and_fits_a_message(void **state)
{
	struct outbox *o = new_outbox();

	(void)state;
	for (int i = 0; i < 65; i++)
		add(o, 3, 'a', 100, OUTBOX_RUN);
	for (int i = 0; i < 5; i++)
		add(o, 4, 'b', 16000, OUTBOX_RUN);
	outbox_flush(o);
	assert_int_equal(network.parcels, 4);
	assert_int_equal(network.parcel[0].len, 6400);
	assert_int_equal(network.parcel[1].len, 100);
	assert_int_equal(network.parcel[2].len, 64000);
	assert_int_equal(network.parcel[3].len, 16000);
	free(o);
}

/* The run begins as the batch's last parcel: it must go on growing there. */
static void a_full_batch_is_sent_before_the_next_parcel_and_cuts_no_run(void **state)
{
	struct outbox *o = new_outbox();

	(void)state;
	for (unsigned i = 0; i < SOURCE_BATCH - 1; i++)
		add(o, i, 'a', 10, OUTBOX_APART);
	for (int i = 0; i < 8; i++)
		add(o, 99, 'b', 10, OUTBOX_RUN);
	assert_int_equal(network.calls, 0);
	add(o, 100, 'c', 10, OUTBOX_APART);
	assert_int_equal(network.calls, 1);
	add(o, 101, 'd', 20, OUTBOX_APART);
	outbox_flush(o);
	assert_int_equal(network.parcels, SOURCE_BATCH + 2);
	assert_int_equal(network.parcel[SOURCE_BATCH - 1].len, 80);
	assert_int_equal(network.parcel[SOURCE_BATCH].data[9], 'c');
	assert_int_equal(network.parcel[SOURCE_BATCH + 1].data[19], 'd');
	free(o);
}

static void nothing_is_lost_or_mixed_up_in_a_long_random_row(void **state)
{
	struct outbox *o = new_outbox();
	uint8_t *expected = malloc(sizeof(network.bytes));
	size_t total = 0;

	(void)state;
	assert_non_null(expected);
	srandom(3);
	for (int i = 0; i < 900; i++) {
		size_t len = 1 + (size_t)random() % (i % 50 ? 3000 : 60000);
		uint8_t *at = outbox_reserve(o, len);

		for (size_t k = 0; k < len; k++)
			at[k] = expected[total + k] = (uint8_t)random();
		outbox_add(o, (uint32_t)random() % 3, len, (enum outbox_join)(random() % 3));
		total += len;
	}
	outbox_flush(o);
	assert_int_equal(network.used, total);
	assert_memory_equal(network.bytes, expected, total);
	free(expected);
	free(o);
}

static void borrowed_bytes_keep_their_place_in_the_row(void **state)
{
	struct outbox *o = new_outbox();
	uint8_t mine[4] = "mine";
	const struct parcel p = { .peer = 7, .segment = 2, .data = mine, .len = 4 };

	(void)state;
	add(o, 1, 'a', 10, OUTBOX_FLIGHT);
	outbox_borrow(o, &p);
	add(o, 1, 'b', 10, OUTBOX_FLIGHT);
	outbox_flush(o);
	assert_int_equal(network.parcels, 3);
	assert_int_equal(network.parcel[1].segment, 2);
	assert_memory_equal(network.parcel[1].data, "mine", 4);
	assert_int_equal(network.parcel[2].data[0], 'b');
	free(o);
}

static void after_a_failure_it_is_told_and_nothing_more_is_sent(void **state)
{
	struct outbox *o = new_outbox();

	(void)state;
	network.verdict = -ENETUNREACH;
	add(o, 1, 'a', 10, OUTBOX_APART);
	outbox_flush(o);
	assert_int_equal(o->error, -ENETUNREACH);
	add(o, 1, 'b', 10, OUTBOX_APART);
	outbox_flush(o);
	assert_int_equal(network.calls, 1);
	free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_of_a_flight_share_datagrams_up_to_the_mtu),
		cmocka_unit_test(another_clients_flight_is_apart),
		cmocka_unit_test(records_of_one_length_make_one_run),
		cmocka_unit_test(a_run_has_at_most_64_datagrams_and_fits_a_message),
		cmocka_unit_test(a_full_batch_is_sent_before_the_next_parcel_and_cuts_no_run),
		cmocka_unit_test(nothing_is_lost_or_mixed_up_in_a_long_random_row),
		cmocka_unit_test(borrowed_bytes_keep_their_place_in_the_row),
		cmocka_unit_test(after_a_failure_it_is_told_and_nothing_more_is_sent),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
