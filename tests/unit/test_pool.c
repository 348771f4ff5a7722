/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "chance.h"
#include "pool.h"

static void assert_all(const unsigned char *p, unsigned char byte, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] != byte)
			fail_msg("byte %zu is %02x, not %02x", i, p[i], byte);
	}
}

#define SLOTS 3000

static void random_use_of_size(size_t size)
{
	struct pool *p = pool_new(size);
	unsigned char **slot = test_calloc(SLOTS, sizeof(*slot));
	size_t used = 0, i;
	unsigned step;

	assert_non_null(p);
	for (step = 0; step < 8 * SLOTS; step++) {
		i = chance(SLOTS);
		if (slot[i] == NULL) {
			/* waves: rather taken in the first half of each, rather given back in the second */
			if (step / SLOTS % 2 == 1 && chance(4) != 0)
				continue;
			slot[i] = pool_get(p);
			assert_non_null(slot[i]);
			assert_int_equal((uintptr_t)slot[i] % 16, 0);
			assert_all(slot[i], 0, size); /* zeroed, whatever was there */
			memset(slot[i], (unsigned char)(i % 255 + 1), size);
			used++;
		} else {
			if (step / SLOTS % 2 == 0 && chance(4) != 0)
				continue;
			assert_all(slot[i], (unsigned char)(i % 255 + 1), size); /* nobody else's */
			pool_put(p, slot[i]);
			slot[i] = NULL;
			used--;
		}
		assert_int_equal(pool_used(p), used);
	}
	for (i = 0; i < SLOTS; i++) {
		if (slot[i] != NULL) {
			assert_all(slot[i], (unsigned char)(i % 255 + 1), size);
			pool_put(p, slot[i]);
		}
	}
	assert_int_equal(pool_used(p), 0);
	pool_free(p);
	test_free(slot);
}

static void objects_are_zeroed_aligned_and_apart(void **state)
{
	static const size_t sizes[] = { 1, 16, 17, 640, 8000, 8192 };
	size_t i;

	(void)state;
	chance_seed = 99;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		random_use_of_size(sizes[i]);
}

static void objects_larger_than_a_chunk_fit_too(void **state)
{
	struct pool *p = pool_new(200000);
	unsigned char *o[20];
	size_t i;

	(void)state;
	for (i = 0; i < 20; i++) {
		o[i] = pool_get(p);
		assert_non_null(o[i]);
		memset(o[i], (int)i + 1, 200000);
	}
	for (i = 0; i < 20; i++) {
		assert_all(o[i], (unsigned char)(i + 1), 200000);
		pool_put(p, o[i]);
	}
	pool_free(p);
}

static long pages_mapped(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &pages), 1);
	fclose(f);
	return pages;
}

static void memory_goes_back_when_objects_do_but_for_one_spare(void **state)
{
	enum { OBJECTS = 20000, CHUNK_PAGES = 16 };
	struct pool *p = pool_new(640);
	void **o = test_calloc(OBJECTS, sizeof(*o));
	long before, full, i;

	(void)state;
	pages_mapped(); /* stdio's own buffers */
	before = pages_mapped();
	for (i = 0; i < OBJECTS; i++)
		o[i] = pool_get(p);
	full = pages_mapped() - before;
	assert_in_range(full, OBJECTS * 640L / 4096, OBJECTS * 640L / 4096 * 11 / 10);
	for (i = 0; i < OBJECTS / 2; i++) { /* the first half, chunk by chunk */
		pool_put(p, o[i]);
	}
	assert_in_range(pages_mapped() - before, full * 4 / 10, full * 6 / 10);
	for (; i < OBJECTS; i++)
		pool_put(p, o[i]);
	assert_int_equal(pages_mapped() - before, CHUNK_PAGES);
	for (i = 0; i < 100; i++) { /* the spare serves what comes and goes */
		o[0] = pool_get(p);
		assert_int_equal(pages_mapped() - before, CHUNK_PAGES);
		pool_put(p, o[0]);
	}
	pool_free(p);
	assert_int_equal(pages_mapped() - before, 0);
	test_free(o);
}

static void freed_objects_are_used_before_new_memory(void **state)
{
	struct pool *p = pool_new(640);
	void *o[400];
	long before;
	size_t i;

	(void)state;
	for (i = 0; i < 400; i++)
		o[i] = pool_get(p);
	before = pages_mapped();
	for (i = 0; i < 400; i += 3)
		pool_put(p, o[i]);
	for (i = 0; i < 400; i += 3)
		o[i] = pool_get(p);
	assert_int_equal(pages_mapped(), before);
	for (i = 0; i < 400; i++)
		pool_put(p, o[i]);
	pool_free(p);
}

static void without_memory_there_is_no_object_and_no_harm(void **state)
{
	struct pool *p = pool_new(640);
	void *first = pool_get(p), *list = NULL, *o;
	struct rlimit old, none;
	unsigned got = 0;

	(void)state;
	assert_non_null(first);
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	none = old;
	none.rlim_cur = 4096;
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	while (got < 100000 && (o = pool_get(p)) != NULL) {
		*(void **)o = list;
		list = o;
		got++;
	}
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_in_range(got, 50, 110); /* the rest of the chunk */
	assert_int_equal(pool_used(p), got + 1);
	o = pool_get(p); /* memory is back */
	assert_non_null(o);
	pool_put(p, o);
	while (list != NULL) {
		o = list;
		list = *(void **)o;
		pool_put(p, o);
	}
	pool_put(p, first);
	pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_zeroed_aligned_and_apart),
		cmocka_unit_test(objects_larger_than_a_chunk_fit_too),
		cmocka_unit_test(memory_goes_back_when_objects_do_but_for_one_spare),
		cmocka_unit_test(freed_objects_are_used_before_new_memory),
		cmocka_unit_test(without_memory_there_is_no_object_and_no_harm),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
