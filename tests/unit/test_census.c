/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "census.h"
#include "chance.h"

static struct addr ipv4(uint32_t host, uint16_t port)
{
	return (struct addr){
		.ip = { [10] = 0xff, 0xff, (uint8_t)(host >> 24), (uint8_t)(host >> 16),
			(uint8_t)(host >> 8), (uint8_t)host },
		.port = port,
		.family = AF_INET,
	};
}

static struct addr ipv6(uint8_t net, uint8_t host)
{
	return (struct addr){
		.ip = { 0x20, 0x01, 0x0d, 0xb8, [7] = net, [15] = host },
		.port = host,
		.family = AF_INET6,
	};
}

static struct census *census_of(uint32_t sessions, uint32_t handshakes, uint32_t per_address)
{
	struct census_limits limits = { sessions, handshakes, per_address, 64, 0 };
	struct census *c = census_new(&limits);

	assert_non_null(c);
	return c;
}

static void leave(struct census *c, struct addr a)
{
	census_leave(c, &a);
}

static void over(struct census *c, struct addr a)
{
	census_handshake_over(c, &a);
}

static void give_up(struct census *c, struct addr a)
{
	over(c, a);
	leave(c, a);
}

static enum census_verdict admit(struct census *c, struct addr a)
{
	return census_admit(c, &a);
}

static void a_handshake_counts_as_a_session_to_be(void **state)
{
	struct census *c = census_of(10, 10, 0);

	(void)state;
	assert_int_equal(admit(c, ipv4(1, 1)), CENSUS_OK);
	assert_int_equal(census_sessions(c), 1);
	assert_int_equal(census_handshakes(c), 1);
	over(c, ipv4(1, 1));
	assert_int_equal(census_sessions(c), 1);
	assert_int_equal(census_handshakes(c), 0);
	leave(c, ipv4(1, 1));
	assert_int_equal(census_sessions(c), 0);
	census_free(c);
}

static void each_limit_has_its_verdict_and_a_refusal_counts_nothing(void **state)
{
	struct census *c = census_of(3, 2, 2);

	(void)state;
	assert_int_equal(admit(c, ipv4(1, 1)), CENSUS_OK);
	assert_int_equal(admit(c, ipv4(1, 2)), CENSUS_OK);
	assert_int_equal(admit(c, ipv4(2, 3)), CENSUS_HANDSHAKES);
	assert_int_equal(census_sessions(c), 2);
	assert_int_equal(census_handshakes(c), 2);
	over(c, ipv4(1, 1));
	assert_int_equal(admit(c, ipv4(1, 3)), CENSUS_ADDRESS);
	assert_int_equal(census_sessions(c), 2);
	assert_int_equal(census_handshakes(c), 1);
	assert_int_equal(admit(c, ipv4(2, 3)), CENSUS_OK);
	over(c, ipv4(1, 2));
	assert_int_equal(admit(c, ipv4(3, 3)), CENSUS_SESSIONS);
	assert_int_equal(census_sessions(c), 3);
	leave(c, ipv4(1, 1));
	assert_int_equal(admit(c, ipv4(1, 7)), CENSUS_OK); /* its place is free again */
	over(c, ipv4(1, 7));
	over(c, ipv4(2, 3));
	leave(c, ipv4(1, 2));
	leave(c, ipv4(1, 7));
	leave(c, ipv4(2, 3));
	census_free(c);
}

static void an_ipv6_network_is_one_address_and_an_ipv4_host_is_one(void **state)
{
	struct census *c = census_of(100, 100, 2);

	(void)state;
	assert_int_equal(admit(c, ipv6(1, 1)), CENSUS_OK);
	assert_int_equal(admit(c, ipv6(1, 2)), CENSUS_OK);
	assert_int_equal(admit(c, ipv6(1, 3)), CENSUS_ADDRESS);
	assert_int_equal(admit(c, ipv6(2, 1)), CENSUS_OK);
	assert_int_equal(admit(c, ipv4(0xc0000201, 1)), CENSUS_OK);
	assert_int_equal(admit(c, ipv4(0xc0000202, 1)), CENSUS_OK);
	assert_int_equal(admit(c, ipv4(0xc0000202, 2)), CENSUS_OK);
	assert_int_equal(admit(c, ipv4(0xc0000202, 3)), CENSUS_ADDRESS);
	give_up(c, ipv6(1, 2));
	give_up(c, ipv6(1, 2)); /* by whichever host of it */
	give_up(c, ipv6(2, 1));
	give_up(c, ipv4(0xc0000201, 1));
	give_up(c, ipv4(0xc0000202, 1));
	give_up(c, ipv4(0xc0000202, 1));
	assert_int_equal(census_handshakes(c), 0);
	census_free(c);
}

static void limits_can_change_below_what_is_there(void **state)
{
	struct census *c = census_of(10, 10, 0);
	struct census_limits limits = { 1, 10, 1, 64, 0 };

	(void)state;
	assert_int_equal(admit(c, ipv4(1, 1)), CENSUS_OK);
	assert_int_equal(admit(c, ipv4(1, 2)), CENSUS_OK);
	census_set_limits(c, &limits);
	assert_int_equal(census_sessions(c), 2); /* nobody is thrown out */
	assert_int_equal(admit(c, ipv4(2, 1)), CENSUS_SESSIONS);
	limits.sessions = 10;
	census_set_limits(c, &limits);
	assert_int_equal(admit(c, ipv4(1, 3)), CENSUS_ADDRESS);
	assert_int_equal(admit(c, ipv4(2, 1)), CENSUS_OK);
	limits.ipv6_prefix = 0; /* stays as it was: who came as one address leaves as one */
	census_set_limits(c, &limits);
	assert_int_equal(admit(c, ipv6(1, 1)), CENSUS_OK);
	assert_int_equal(admit(c, ipv6(2, 1)), CENSUS_OK);
	give_up(c, ipv6(1, 1));
	give_up(c, ipv6(2, 1));
	give_up(c, ipv4(1, 1));
	give_up(c, ipv4(1, 2));
	give_up(c, ipv4(2, 1));
	assert_int_equal(census_handshakes(c), 0);
	census_free(c);
}

static void handshakes_of_an_address_have_a_limit_of_their_own(void **state)
{
	struct census_limits limits = { 100, 4, 3, 56, 2 };
	struct census *c = census_new(&limits);
	struct addr a = ipv4(1, 1), b = ipv4(2, 1);

	(void)state;
	assert_non_null(c);
	assert_int_equal(admit(c, a), CENSUS_OK);
	assert_int_equal(admit(c, a), CENSUS_OK);
	assert_int_equal(admit(c, a), CENSUS_ADDRESS_HANDSHAKES);
	assert_int_equal(census_again(c, &a), CENSUS_ADDRESS_HANDSHAKES);
	assert_int_equal(admit(c, ipv6(0, 1)), CENSUS_OK); /* of this prefix the last byte of the /64 is no part */
	assert_int_equal(admit(c, ipv6(1, 1)), CENSUS_OK);
	assert_int_equal(census_handshakes(c), 4);
	/* the address is asked first: nobody has to make room for one who is over its own limit */
	assert_int_equal(admit(c, a), CENSUS_ADDRESS_HANDSHAKES);
	assert_int_equal(admit(c, ipv6(2, 1)), CENSUS_ADDRESS_HANDSHAKES);
	assert_int_equal(admit(c, b), CENSUS_HANDSHAKES);
	over(c, a);
	assert_int_equal(census_again(c, &a), CENSUS_OK);
	assert_int_equal(census_sessions(c), 4);
	over(c, a);
	assert_int_equal(admit(c, a), CENSUS_OK);
	over(c, a);
	assert_int_equal(admit(c, a), CENSUS_ADDRESS); /* three sessions, no handshake but one */
	leave(c, a);
	leave(c, a);
	give_up(c, a);
	give_up(c, ipv6(0, 1));
	give_up(c, ipv6(1, 1));
	assert_int_equal(census_sessions(c), 0);
	assert_int_equal(census_handshakes(c), 0);
	census_free(c);
}

#define ADDRESSES 30000
#define PER_ADDRESS 3

static void random_coming_and_going_matches_a_counter_per_address(void **state)
{
	struct census *c = census_of(UINT32_MAX, UINT32_MAX, PER_ADDRESS);
	unsigned *count = test_calloc(ADDRESSES, sizeof(*count));
	uint32_t total = 0, i, step, wave;

	(void)state;
	chance_seed = 4711;
	for (wave = 0; wave < 6; wave++) {
		for (step = 0; step < 3 * ADDRESSES; step++) {
			/* shards grow in even waves and shrink in odd ones */
			bool come = wave % 2 == 0 ? chance(5) > 0 : chance(5) == 0;

			i = (uint32_t)chance(ADDRESSES);
			if (come) {
				assert_int_equal(admit(c, ipv4(i, (uint16_t)step)),
						 count[i] < PER_ADDRESS ? CENSUS_OK : CENSUS_ADDRESS);
				if (count[i] == PER_ADDRESS)
					continue;
				over(c, ipv4(i, 9));
				count[i]++;
				total++;
			} else if (count[i] > 0) {
				leave(c, ipv4(i, 9));
				count[i]--;
				total--;
			}
		}
		assert_int_equal(census_sessions(c), total);
		for (i = 0; i < ADDRESSES; i++) { /* each count is exact: fill it up, and undo */
			unsigned n = 0;

			while (admit(c, ipv4(i, 0)) == CENSUS_OK)
				n++;
			assert_int_equal(count[i] + n, PER_ADDRESS);
			for (; n > 0; n--) {
				give_up(c, ipv4(i, 0));
			}
		}
	}
	for (i = 0; i < ADDRESSES; i++) {
		for (; count[i] > 0; count[i]--)
			leave(c, ipv4(i, 0));
	}
	assert_int_equal(census_sessions(c), 0);
	assert_int_equal(census_handshakes(c), 0);
	census_free(c);
	test_free(count);
}

/* The sanitizers' allocators map what they like and do not survive without memory. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_TESTS
#elif __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEMORY_TESTS
#else
#define MEMORY_TESTS \
	cmocka_unit_test(memory_falls_when_addresses_leave), \
	cmocka_unit_test(without_memory_new_addresses_are_refused_and_old_ones_are_kept),

/* Bytes of address space. */
static size_t mapped(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	size_t pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu", &pages), 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void memory_falls_when_addresses_leave(void **state)
{
	struct census *c = census_of(UINT32_MAX, UINT32_MAX, 0);
	size_t before = mapped(), full;
	uint32_t i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		assert_int_equal(admit(c, ipv4(i, 1)), CENSUS_OK);
		over(c, ipv4(i, 1));
	}
	full = mapped() - before;
	for (i = 0; i < 195000; i++)
		leave(c, ipv4(i, 1));
	assert_in_range(full, 200000 * 16, 200000 * 48);
	assert_true(mapped() - before < full / 10);
	for (; i < 200000; i++)
		leave(c, ipv4(i, 1));
	assert_in_range(mapped(), before, before + 65536);
	census_free(c);
}

static void without_memory_new_addresses_are_refused_and_old_ones_are_kept(void **state)
{
	struct census *c = census_of(UINT32_MAX, UINT32_MAX, 0);
	struct rlimit old, none;
	uint32_t i, admitted;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	none = old;
	none.rlim_cur = mapped() + (1 << 20);
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	for (admitted = 0; admitted < 50000000; admitted++) {
		if (admit(c, ipv4(admitted, 1)) == CENSUS_MEMORY)
			break;
	}
	i = census_sessions(c);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_in_range(admitted, 1, 49999999);
	assert_int_equal(i, admitted); /* the refused one was not counted */
	assert_int_equal(census_handshakes(c), admitted);
	assert_int_equal(admit(c, ipv4(admitted, 1)), CENSUS_OK); /* memory is back */
	for (i = 0; i <= admitted; i++) {
		give_up(c, ipv4(i, 1));
	}
	assert_int_equal(census_sessions(c), 0);
	census_free(c);
}
#endif

#define THREADS 4
#define MAX_TOGETHER 50

static struct census *shared;
static _Atomic int inside, worst;

static void *come_and_go(void *arg)
{
	uint64_t own = (uintptr_t)arg * UINT64_C(0x9e3779b97f4a7c15) + 1;
	struct addr held[40];
	unsigned n = 0, step;

	for (step = 0; step < 20000; step++) {
		own ^= own << 13;
		own ^= own >> 7;
		own ^= own << 17;
		if (n < 40 && own % 2 == 0) {
			struct addr a = ipv4((uint32_t)(own >> 32) % 16, 1);

			if (census_admit(shared, &a) != CENSUS_OK)
				continue;
			int now = atomic_fetch_add(&inside, 1) + 1, old = atomic_load(&worst);

			while (now > old && !atomic_compare_exchange_weak(&worst, &old, now))
				;
			held[n++] = a;
			census_handshake_over(shared, &a);
		} else if (n > 0) {
			atomic_fetch_sub(&inside, 1);
			census_leave(shared, &held[--n]);
		}
	}
	while (n > 0) {
		atomic_fetch_sub(&inside, 1);
		census_leave(shared, &held[--n]);
	}
	return NULL;
}

static void threads_never_exceed_a_limit_and_lose_no_count(void **state)
{
	pthread_t thread[THREADS];
	unsigned i;

	(void)state;
	shared = census_of(MAX_TOGETHER, UINT32_MAX, 5);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, (void *)(uintptr_t)i), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_in_range(atomic_load(&worst), 1, MAX_TOGETHER);
	assert_int_equal(census_sessions(shared), 0);
	assert_int_equal(census_handshakes(shared), 0);
	census_free(shared); /* asserts that every address has left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_counts_as_a_session_to_be),
		cmocka_unit_test(each_limit_has_its_verdict_and_a_refusal_counts_nothing),
		cmocka_unit_test(an_ipv6_network_is_one_address_and_an_ipv4_host_is_one),
		cmocka_unit_test(limits_can_change_below_what_is_there),
		cmocka_unit_test(handshakes_of_an_address_have_a_limit_of_their_own),
		cmocka_unit_test(random_coming_and_going_matches_a_counter_per_address),
		cmocka_unit_test(threads_never_exceed_a_limit_and_lose_no_count),
		MEMORY_TESTS
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
