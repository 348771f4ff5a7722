/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "resumption.h"

static uint64_t now_ns;

static uint64_t fake_mono(void)
{
	return now_ns;
}

static int set_up(void **state)
{
	(void)state;
	now_ns = 1000000000;
	clock_inject(fake_mono, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	clock_inject(NULL, NULL);
	return 0;
}

/* A session ID made of the number. */
static gnutls_datum_t id(unsigned n)
{
	static uint8_t bytes[RESUMPTION_KEY_MAX];

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &n, sizeof(n));
	return (gnutls_datum_t){ bytes, sizeof(bytes) };
}

static int store(struct resumption *r, unsigned n, const char *text)
{
	gnutls_datum_t key = id(n), data = { (unsigned char *)(uintptr_t)text, (unsigned)strlen(text) };

	return resumption_store(r, resumption_generation(r), &key, &data);
}

static void assert_has(struct resumption *r, unsigned n, const char *text)
{
	gnutls_datum_t key = id(n), got = resumption_retrieve(r, resumption_generation(r), &key);

	assert_non_null(got.data);
	assert_int_equal(got.size, strlen(text));
	assert_memory_equal(got.data, text, got.size);
	gnutls_free(got.data);
}

static void assert_lacks(struct resumption *r, unsigned n)
{
	gnutls_datum_t key = id(n), got = resumption_retrieve(r, resumption_generation(r), &key);

	assert_null(got.data);
	assert_int_equal(got.size, 0);
}

static void gives_back_what_was_stored(void **state)
{
	struct resumption *r = resumption_new(10, 60);
	gnutls_datum_t key = id(1);

	(void)state;
	assert_int_equal(store(r, 1, "one"), 0);
	assert_int_equal(store(r, 2, "two"), 0);
	assert_has(r, 1, "one");
	assert_has(r, 1, "one");
	assert_has(r, 2, "two");
	assert_lacks(r, 3);
	key.size--;
	assert_null(resumption_retrieve(r, 0, &key).data);
	key.size = 0;
	assert_null(resumption_retrieve(r, 0, &key).data);
	resumption_free(r);
	resumption_free(NULL);
}

static void replaces_and_removes(void **state)
{
	struct resumption *r = resumption_new(10, 60);
	gnutls_datum_t key;

	(void)state;
	assert_int_equal(store(r, 1, "one"), 0);
	assert_int_equal(store(r, 1, "another"), 0);
	assert_int_equal(resumption_count(r), 1);
	assert_has(r, 1, "another");
	key = id(1);
	assert_int_equal(resumption_remove(r, 0, &key), 0);
	assert_int_equal(resumption_remove(r, 0, &key), -ENOENT);
	assert_int_equal(resumption_count(r), 0);
	assert_lacks(r, 1);
	resumption_free(r);
}

static void drops_the_one_used_longest_ago(void **state)
{
	struct resumption *r = resumption_new(3, 60);

	(void)state;
	store(r, 1, "one");
	store(r, 2, "two");
	store(r, 3, "three");
	assert_has(r, 1, "one");
	store(r, 4, "four");
	assert_int_equal(resumption_count(r), 3);
	assert_lacks(r, 2);
	assert_has(r, 1, "one");
	assert_has(r, 3, "three");
	assert_has(r, 4, "four");
	resumption_free(r);
}

static void forgets_after_the_lifetime(void **state)
{
	struct resumption *r = resumption_new(3, 60);

	(void)state;
	store(r, 1, "one");
	now_ns += 59999 * 1000000ull;
	assert_has(r, 1, "one"); /* use does not prolong it */
	now_ns += 1000000;
	assert_lacks(r, 1);
	assert_int_equal(resumption_count(r), 0);
	resumption_free(r);
}

static void keeps_to_its_bounds(void **state)
{
	enum { ENTRIES = 16 };
	struct resumption *r = resumption_new(ENTRIES, 60);
	struct resumption *none = resumption_new(0, 60);
	uint8_t *large = calloc(1, RESUMPTION_DATA_MAX + 1);
	gnutls_datum_t key = id(1), data = { large, RESUMPTION_DATA_MAX };
	uint8_t long_key[RESUMPTION_KEY_MAX + 1] = { 0 };
	gnutls_datum_t longer = { long_key, sizeof(long_key) };

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		key = id(i);
		assert_int_equal(resumption_store(r, 0, &key, &data), 0);
		assert_true(resumption_count(r) * RESUMPTION_DATA_MAX <= ENTRIES * RESUMPTION_DATA_TYPICAL);
	}
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(store(r, i, "small"), 0);
	assert_int_equal(resumption_count(r), ENTRIES);
	assert_int_equal(resumption_store(r, 0, &longer, &data), -EMSGSIZE);
	data.size++;
	assert_int_equal(resumption_store(r, 0, &key, &data), -EMSGSIZE);
	data.size = 0;
	assert_int_equal(resumption_store(r, 0, &key, &data), -EMSGSIZE);
	assert_int_equal(store(none, 1, "one"), -ENOBUFS);
	assert_lacks(none, 1);
	free(large);
	resumption_free(none);
	resumption_free(r);
}

static void serves_one_generation_only(void **state)
{
	struct resumption *r = resumption_new(10, 60);
	gnutls_datum_t key, data = { (unsigned char[]){ 1 }, 1 }, got;
	uint64_t old = resumption_generation(r), new;

	(void)state;
	store(r, 1, "one");
	new = resumption_renew(r);
	assert_true(new != old);
	assert_int_equal(resumption_generation(r), new);
	key = id(1);
	got = resumption_retrieve(r, old, &key); /* nobody has asked with the new one yet */
	assert_int_equal(got.size, strlen("one"));
	gnutls_free(got.data);
	assert_null(resumption_retrieve(r, new, &key).data);
	assert_int_equal(resumption_count(r), 0);
	key = id(2);
	assert_int_equal(resumption_store(r, old, &key, &data), -ESTALE); /* a handshake begun before */
	assert_lacks(r, 2);
	assert_int_equal(resumption_store(r, new, &key, &data), 0);
	assert_null(resumption_retrieve(r, old, &key).data);
	assert_int_equal(resumption_remove(r, old, &key), -ENOENT);
	assert_int_equal(resumption_count(r), 1);
	resumption_free(r);
}

static void *hammer(void *arg)
{
	struct resumption *r = arg;
	uint32_t x = 1;

	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[4] = { 0 };
		gnutls_datum_t key = { bytes, sizeof(bytes) }, got;

		x = x * 1103515245 + 12345;
		bytes[0] = (uint8_t)(x >> 16) % 64;
		if (i % 3 == 0) {
			resumption_store(r, resumption_generation(r), &key, &key);
			continue;
		}
		if (i % 17 == 0)
			resumption_remove(r, resumption_generation(r), &key);
		if (i % 5000 == 0)
			resumption_renew(r);
		got = resumption_retrieve(r, resumption_generation(r), &key);
		/* What comes is whole and is what belongs to the key. */
		if (got.data != NULL && (got.size != key.size || memcmp(got.data, bytes, sizeof(bytes)) != 0))
			return arg;
		gnutls_free(got.data);
	}
	return NULL;
}

static void is_whole_under_threads(void **state)
{
	struct resumption *r = resumption_new(32, 60);
	pthread_t threads[3];
	void *wrong;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, r), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	assert_true(resumption_count(r) <= 32);
	resumption_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_was_stored),
		cmocka_unit_test(replaces_and_removes),
		cmocka_unit_test(drops_the_one_used_longest_ago),
		cmocka_unit_test(forgets_after_the_lifetime),
		cmocka_unit_test(keeps_to_its_bounds),
		cmocka_unit_test(serves_one_generation_only),
		cmocka_unit_test(is_whole_under_threads),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
