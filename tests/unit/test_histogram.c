/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "histogram.h"

#define SAMPLES 20000
#define HOUR_NS UINT64_C(3600000000000)

static const double percents[] = { 0.01, 1, 10, 50, 90, 99, 99.9, 99.99, 99.995 };

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* From 1 ns to an hour, every order of magnitude as likely. */
static uint64_t next_duration(uint64_t *state)
{
	uint64_t limit = UINT64_C(1) << (1 + next_random(state) % 42);

	return 1 + next_random(state) % (limit < HOUR_NS ? limit : HOUR_NS);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void every_duration_is_in_its_bucket_and_buckets_have_no_gaps(void **state)
{
	struct histogram h;
	unsigned i;

	(void)state;
	assert_int_equal(histogram_low(0), 0);
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t low = histogram_low(i), high = histogram_high(i);

		assert_true(low <= high);
		assert_true((high - low) * 127 <= low); /* 0.8 % */
		if (i > 0)
			assert_int_equal(low, histogram_high(i - 1) + 1);
		histogram_init(&h);
		histogram_record(&h, low);
		histogram_record(&h, high);
		assert_int_equal(h.bucket[i], 2);
	}
	assert_true(histogram_high(HISTOGRAM_BUCKETS - 1) >= HOUR_NS);
	assert_int_equal(histogram_high(255), 255);
}

static void percentiles_are_those_of_the_sorted_samples(void **state)
{
	static uint64_t sample[SAMPLES];
	static struct histogram h;
	uint64_t seed = 1, exact, told;
	double sum = 0;
	size_t i;

	(void)state;
	histogram_init(&h);
	for (i = 0; i < SAMPLES; i++) {
		sample[i] = next_duration(&seed);
		sum += (double)sample[i];
		histogram_record(&h, sample[i]);
	}
	qsort(sample, SAMPLES, sizeof(sample[0]), ascending);
	for (i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		exact = sample[(size_t)(percents[i] * SAMPLES / 100 + 0.5) - 1];
		told = histogram_percentile(&h, percents[i]);
		assert_true(told >= exact);
		assert_true(told - exact <= exact / 127);
	}
	assert_int_equal(h.count, SAMPLES);
	assert_int_equal(h.min, sample[0]);
	assert_int_equal(h.max, sample[SAMPLES - 1]);
	assert_int_equal(histogram_percentile(&h, 0), sample[0]);
	assert_int_equal(histogram_percentile(&h, 100), sample[SAMPLES - 1]);
	assert_true(histogram_mean(&h) == sum / SAMPLES);
}

static void a_percentile_of_few_is_one_of_them(void **state)
{
	struct histogram h;
	unsigned i;

	(void)state;
	histogram_init(&h);
	for (i = 1; i <= 100; i++)
		histogram_record(&h, i);
	assert_int_equal(histogram_percentile(&h, 50), 50);
	assert_int_equal(histogram_percentile(&h, 50.1), 51);
	assert_int_equal(histogram_percentile(&h, 99), 99);
	assert_int_equal(histogram_percentile(&h, 99.9), 100);
	histogram_init(&h);
	for (i = 0; i < 1000; i++)
		histogram_record(&h, i < 999 ? 10 : 200);
	assert_int_equal(histogram_percentile(&h, 99.9), 10);
	assert_int_equal(histogram_percentile(&h, 99.91), 200);
}

static void merging_is_as_if_one_had_recorded_all(void **state)
{
	static struct histogram parts[4], all, merged;
	uint64_t seed = 2, ns;
	unsigned i;

	(void)state;
	histogram_init(&all);
	histogram_init(&merged);
	for (i = 0; i < 4; i++)
		histogram_init(&parts[i]);
	for (i = 0; i < SAMPLES; i++) {
		ns = next_random(&seed) % 1000000;
		histogram_record(&all, ns);
		histogram_record(&parts[i % 3], ns); /* one part stays empty */
	}
	for (i = 0; i < 4; i++)
		histogram_merge(&merged, &parts[i]);
	assert_memory_equal(&merged, &all, sizeof(all));
}

static void nothing_recorded_is_zero(void **state)
{
	struct histogram h;

	(void)state;
	histogram_init(&h);
	assert_int_equal(histogram_percentile(&h, 0), 0);
	assert_int_equal(histogram_percentile(&h, 50), 0);
	assert_int_equal(histogram_percentile(&h, 100), 0);
	assert_true(histogram_mean(&h) == 0);
}

static void what_lasts_longer_than_all_buckets_is_counted_in_the_last(void **state)
{
	struct histogram h;

	(void)state;
	histogram_init(&h);
	histogram_record(&h, 1000);
	histogram_record(&h, UINT64_MAX);
	histogram_record(&h, UINT64_MAX);
	assert_int_equal(h.bucket[HISTOGRAM_BUCKETS - 1], 2);
	assert_int_equal(h.max, UINT64_MAX);
	assert_int_equal(histogram_percentile(&h, 50), UINT64_MAX);
	assert_true(histogram_percentile(&h, 30) <= 1008);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_duration_is_in_its_bucket_and_buckets_have_no_gaps),
		cmocka_unit_test(percentiles_are_those_of_the_sorted_samples),
		cmocka_unit_test(a_percentile_of_few_is_one_of_them),
		cmocka_unit_test(merging_is_as_if_one_had_recorded_all),
		cmocka_unit_test(nothing_recorded_is_zero),
		cmocka_unit_test(what_lasts_longer_than_all_buckets_is_counted_in_the_last),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
