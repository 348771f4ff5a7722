/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <nettle/hmac.h>

#include "cookie.h"

static const uint8_t MASTER[COOKIE_MASTER_SIZE] = {
	0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
	0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f,
};

static void mac(const void *key, size_t key_len, const void *a, size_t a_len, const void *b, size_t b_len,
		uint8_t counter, uint8_t out[32])
{
	struct hmac_sha256_ctx ctx;

	hmac_sha256_set_key(&ctx, key_len, key);
	hmac_sha256_update(&ctx, a_len, a);
	hmac_sha256_update(&ctx, b_len, b);
	if (counter)
		hmac_sha256_update(&ctx, 1, &counter);
	hmac_sha256_digest(&ctx, 32, out);
}

/* HKDF-SHA256 as RFC 5869 writes it, up to 64 bytes, to hold the module against. */
static void reference_hkdf(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
			   const void *info, size_t info_len, uint8_t out[64])
{
	uint8_t prk[32];

	mac(salt, salt_len, ikm, ikm_len, "", 0, 0, prk);
	mac(prk, 32, "", 0, info, info_len, 1, out);
	mac(prk, 32, out, 32, info, info_len, 2, out + 32);
}

static void expected_key(uint64_t slot, uint8_t out[64])
{
	uint8_t info[16 + 8] = "dtlsd cookie key";

	for (int i = 0; i < 8; i++)
		info[16 + i] = (uint8_t)(slot >> (56 - 8 * i));
	reference_hkdf("", 0, MASTER, sizeof(MASTER), info, sizeof(info), out);
}

static void the_reference_passes_rfc_5869_vectors(void **state)
{
	/* A.1: basic; A.3: no salt, no info. Both with 22 bytes of 0x0b. */
	static const uint8_t okm_1[42] = {
		0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36,
		0x2f, 0x2a, 0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56,
		0xec, 0xc4, 0xc5, 0xbf, 0x34, 0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65,
	};
	static const uint8_t okm_3[42] = {
		0x8d, 0xa4, 0xe7, 0x75, 0xa5, 0x63, 0xc1, 0x8f, 0x71, 0x5f, 0x80, 0x2a, 0x06, 0x3c,
		0x5a, 0x31, 0xb8, 0xa1, 0x1f, 0x5c, 0x5e, 0xe1, 0x87, 0x9e, 0xc3, 0x45, 0x4e, 0x5f,
		0x3c, 0x73, 0x8d, 0x2d, 0x9d, 0x20, 0x13, 0x95, 0xfa, 0xa4, 0xb6, 0x1a, 0x96, 0xc8,
	};
	static const uint8_t salt[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
	static const uint8_t info[] = { 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9 };
	uint8_t ikm[22];
	uint8_t out[64];

	(void)state;
	memset(ikm, 0x0b, sizeof(ikm));
	reference_hkdf(salt, sizeof(salt), ikm, sizeof(ikm), info, sizeof(info), out);
	assert_memory_equal(out, okm_1, sizeof(okm_1));
	reference_hkdf("", 0, ikm, sizeof(ikm), "", 0, out);
	assert_memory_equal(out, okm_3, sizeof(okm_3));
}

static void keys_are_hkdf_of_master_and_slot(void **state)
{
	static const uint64_t times[] = { 60, 61, 1732228800, UINT64_C(1) << 40, UINT64_MAX };
	struct cookie_ring c;
	uint8_t key[64];

	(void)state;
	cookie_init(&c, MASTER, 60);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		cookie_turn(&c, times[i]);
		assert_true(c.slot == times[i] / 60);
		expected_key(times[i] / 60, key);
		assert_memory_equal(c.current, key, COOKIE_KEY_SIZE);
		expected_key(times[i] / 60 - 1, key);
		assert_memory_equal(c.previous, key, COOKIE_KEY_SIZE);
	}
}

static void a_cookie_lives_one_slot_and_the_next(void **state)
{
	struct cookie_ring c;
	uint8_t key[COOKIE_KEY_SIZE];

	(void)state;
	cookie_init(&c, MASTER, 10);
	cookie_turn(&c, 1000);
	memcpy(key, c.current, sizeof(key));
	cookie_turn(&c, 1009);
	assert_memory_equal(c.current, key, sizeof(key));
	cookie_turn(&c, 1010);
	assert_memory_equal(c.previous, key, sizeof(key));
	assert_memory_not_equal(c.current, key, sizeof(key));
	cookie_turn(&c, 1019);
	assert_memory_equal(c.previous, key, sizeof(key));
	cookie_turn(&c, 1020);
	assert_memory_not_equal(c.previous, key, sizeof(key));
	assert_memory_not_equal(c.current, key, sizeof(key));
}

static void a_clock_set_back_gives_the_same_keys_again(void **state)
{
	struct cookie_ring c;
	struct cookie_ring before;

	(void)state;
	cookie_init(&c, MASTER, 10);
	cookie_turn(&c, 1000);
	before = c;
	cookie_turn(&c, 5000);
	cookie_turn(&c, 1005);
	assert_memory_equal(c.current, before.current, COOKIE_KEY_SIZE);
	assert_memory_equal(c.previous, before.previous, COOKIE_KEY_SIZE);
}

static void processes_with_one_master_agree_and_others_do_not(void **state)
{
	struct cookie_ring a;
	struct cookie_ring b;
	uint8_t other[COOKIE_MASTER_SIZE];

	(void)state;
	memcpy(other, MASTER, sizeof(other));
	cookie_init(&a, MASTER, 7);
	cookie_init(&b, other, 7);
	cookie_turn(&a, 77);
	cookie_turn(&b, 78);
	assert_memory_equal(a.current, b.current, COOKIE_KEY_SIZE);
	other[31] ^= 1;
	cookie_init(&b, other, 7);
	cookie_turn(&b, 78);
	assert_memory_not_equal(a.current, b.current, COOKIE_KEY_SIZE);
}

static void no_key_is_guessable_before_the_first_turn(void **state)
{
	static const uint8_t zero[COOKIE_KEY_SIZE];
	struct cookie_ring c = { .slot = 0 };

	(void)state;
	cookie_init(&c, MASTER, 60);
	assert_true(c.slot == UINT64_MAX);
	assert_memory_not_equal(c.current, zero, sizeof(zero));
	assert_memory_not_equal(c.previous, zero, sizeof(zero));
}

static void the_first_slot_of_all_turns_too(void **state)
{
	struct cookie_ring c;
	uint8_t key[64];

	(void)state;
	cookie_init(&c, MASTER, 60);
	cookie_turn(&c, 0);
	expected_key(0, key);
	assert_memory_equal(c.current, key, COOKIE_KEY_SIZE);
}

static void a_turn_within_a_slot_touches_nothing(void **state)
{
	struct cookie_ring c;

	(void)state;
	cookie_init(&c, MASTER, 60);
	cookie_turn(&c, 600);
	memset(c.current, 0x5a, sizeof(c.current));
	cookie_turn(&c, 659);
	assert_int_equal(c.current[0], 0x5a);
	cookie_turn(&c, 660);
	assert_int_not_equal(c.current[0] + c.current[31], 2 * 0x5a);
}

static void wiping_leaves_no_secret(void **state)
{
	static const uint8_t zero[COOKIE_KEY_SIZE];
	struct cookie_ring c;

	(void)state;
	cookie_init(&c, MASTER, 60);
	cookie_turn(&c, 600);
	cookie_wipe(&c);
	assert_memory_equal(c.master, zero, sizeof(c.master));
	assert_memory_equal(c.current, zero, sizeof(c.current));
	assert_memory_equal(c.previous, zero, sizeof(c.previous));
}

static void every_part_of_the_binding_counts(void **state)
{
	uint8_t random[DTLS_RANDOM_SIZE];
	struct flow flow = {
		.peer = { .port = 1, .family = AF_INET },
		.local = { .port = 2, .family = AF_INET },
	};
	struct cookie_data d;
	struct cookie_data e;

	/* Bytes left over from something else must not shine through. */
	(void)state;
	memset(random, 0x3c, sizeof(random));
	memset(&d, 0x00, sizeof(d));
	memset(&e, 0xff, sizeof(e));
	cookie_bind(&d, &flow, random);
	cookie_bind(&e, &flow, random);
	assert_memory_equal(&d, &e, sizeof(d));
	for (size_t i = 0; i < sizeof(random); i++) {
		random[i] ^= 1;
		cookie_bind(&e, &flow, random);
		assert_memory_not_equal(&d, &e, sizeof(d));
		random[i] ^= 1;
	}
	for (size_t i = 0; i < sizeof(flow); i++) {
		((uint8_t *)&flow)[i] ^= 1;
		cookie_bind(&e, &flow, random);
		assert_memory_not_equal(&d, &e, sizeof(d));
		((uint8_t *)&flow)[i] ^= 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_passes_rfc_5869_vectors),
		cmocka_unit_test(keys_are_hkdf_of_master_and_slot),
		cmocka_unit_test(a_cookie_lives_one_slot_and_the_next),
		cmocka_unit_test(a_clock_set_back_gives_the_same_keys_again),
		cmocka_unit_test(processes_with_one_master_agree_and_others_do_not),
		cmocka_unit_test(no_key_is_guessable_before_the_first_turn),
		cmocka_unit_test(the_first_slot_of_all_turns_too),
		cmocka_unit_test(a_turn_within_a_slot_touches_nothing),
		cmocka_unit_test(wiping_leaves_no_secret),
		cmocka_unit_test(every_part_of_the_binding_counts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
