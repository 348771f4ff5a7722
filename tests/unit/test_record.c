/* SPDX-License-Identifier: BSD-2-Clause */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <nettle/ccm.h>
#include <nettle/chacha-poly1305.h>
#include <nettle/gcm.h>

#include "chance.h"
#include "record.h"

#define CIPHERS (RECORD_AES_256_CCM_8 + 1)
#define FOR_EACH_CIPHER(c) for (int c = RECORD_AES_128_GCM; c < CIPHERS; c++)
#define WIRE_MAX (DTLS_PLAINTEXT_MAX + RECORD_OVERHEAD_MAX)

static void fill(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)chance(256);
}

/* ---- nettle's plain AEADs, to hold the module against ---- */

static void reference_seal(int cipher, const uint8_t *key, const uint8_t nonce[12], const uint8_t *aad,
			   size_t aad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	size_t tag = cipher == RECORD_AES_128_CCM_8 || cipher == RECORD_AES_256_CCM_8 ? 8 : 16;
	struct gcm_aes128_ctx gcm128;
	struct gcm_aes256_ctx gcm256;
	struct ccm_aes128_ctx ccm128;
	struct ccm_aes256_ctx ccm256;
	struct chacha_poly1305_ctx chacha;

	switch (cipher) {
	case RECORD_AES_128_GCM:
		gcm_aes128_set_key(&gcm128, key);
		gcm_aes128_set_iv(&gcm128, 12, nonce);
		gcm_aes128_update(&gcm128, aad_len, aad);
		gcm_aes128_encrypt(&gcm128, len, out, in);
		gcm_aes128_digest(&gcm128, 16, out + len);
		break;
	case RECORD_AES_256_GCM:
		gcm_aes256_set_key(&gcm256, key);
		gcm_aes256_set_iv(&gcm256, 12, nonce);
		gcm_aes256_update(&gcm256, aad_len, aad);
		gcm_aes256_encrypt(&gcm256, len, out, in);
		gcm_aes256_digest(&gcm256, 16, out + len);
		break;
	case RECORD_CHACHA20_POLY1305:
		chacha_poly1305_set_key(&chacha, key);
		chacha_poly1305_set_nonce(&chacha, nonce);
		chacha_poly1305_update(&chacha, aad_len, aad);
		chacha_poly1305_encrypt(&chacha, len, out, in);
		chacha_poly1305_digest(&chacha, 16, out + len);
		break;
	case RECORD_AES_128_CCM:
	case RECORD_AES_128_CCM_8:
		ccm_aes128_set_key(&ccm128, key);
		ccm_aes128_encrypt_message(&ccm128, 12, nonce, aad_len, aad, tag, len + tag, out, in);
		break;
	default:
		ccm_aes256_set_key(&ccm256, key);
		ccm_aes256_encrypt_message(&ccm256, 12, nonce, aad_len, aad, tag, len + tag, out, in);
	}
}

/* A whole record as the RFCs write it. explicit: the 8 nonce bytes of GCM and CCM. */
static size_t reference_record(int cipher, const struct record_direction *d, uint64_t seq, uint64_t explicit,
			       uint8_t type, const uint8_t *in, size_t len, uint8_t *out)
{
	size_t overhead = record_overhead((enum record_cipher)cipher) - 13;
	uint8_t aad[13];
	uint8_t nonce[12];
	uint8_t seq_bytes[8];

	wire_put64(seq_bytes, seq);
	memcpy(aad, seq_bytes, 8);
	memcpy(aad + 8, (uint8_t[]){ type, 0xfe, 0xfd, (uint8_t)(len >> 8), (uint8_t)len }, 5);
	out[0] = type;
	out[1] = 0xfe;
	out[2] = 0xfd;
	memcpy(out + 3, seq_bytes, 8);
	wire_put16(out + 11, (uint16_t)(len + overhead));
	memcpy(nonce, d->iv, 12);
	if (cipher == RECORD_CHACHA20_POLY1305) {
		for (int i = 0; i < 8; i++)
			nonce[4 + i] ^= seq_bytes[i];
		reference_seal(cipher, d->key, nonce, aad, 13, in, len, out + 13);
	} else {
		wire_put64(out + 13, explicit);
		memcpy(nonce + 4, out + 13, 8);
		reference_seal(cipher, d->key, nonce, aad, 13, in, len, out + 21);
	}
	return 13 + overhead + len;
}

static uint8_t *unhex(const char *hex, uint8_t *out)
{
	for (; hex[0]; hex += 2)
		*out++ = (uint8_t)strtoul((char[]){ hex[0], hex[1], 0 }, NULL, 16);
	return out;
}

static void check_vector(int cipher, const char *key, const char *nonce, const char *aad, const char *plain,
			 const char *sealed)
{
	uint8_t k[32], n[12], a[64], p[256], expect[256], got[256];
	size_t a_len = (size_t)(unhex(aad, a) - a);
	size_t p_len = (size_t)(unhex(plain, p) - p);
	size_t s_len = (size_t)(unhex(sealed, expect) - expect);

	unhex(key, k);
	unhex(nonce, n);
	assert_int_equal(13 + (cipher == RECORD_CHACHA20_POLY1305 ? 0 : 8) + s_len - p_len,
			 record_overhead((enum record_cipher)cipher));
	reference_seal(cipher, k, n, a, a_len, p, p_len, got);
	assert_memory_equal(got, expect, s_len);
}

static void the_reference_passes_published_vectors(void **state)
{
	static const char gcm_plain[] =
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";

	(void)state;
	/* McGrew and Viega, The Galois/Counter Mode of Operation, test cases 4 and 16. */
	check_vector(RECORD_AES_128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
		     "feedfacedeadbeeffeedfacedeadbeefabaddad2", gcm_plain,
		     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
		     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
		     "5bc94fbc3221a5db94fae95ae7121a47");
	check_vector(RECORD_AES_256_GCM,
		     "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
		     "cafebabefacedbaddecaf888",
		     "feedfacedeadbeeffeedfacedeadbeefabaddad2", gcm_plain,
		     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
		     "76fc6ece0f4e1768cddf8853bb2d551b");
	/* RFC 8439 2.8.2. */
	check_vector(RECORD_CHACHA20_POLY1305,
		     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
		     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
		     "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
		     "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
		     "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
		     "637265656e20776f756c642062652069742e",
		     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
		     "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
		     "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
		     "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691");
	/* NIST SP 800-38C, example 3: a 12-byte nonce and an 8-byte tag. */
	check_vector(RECORD_AES_128_CCM_8, "404142434445464748494a4b4c4d4e4f", "101112131415161718191a1b",
		     "000102030405060708090a0b0c0d0e0f10111213",
		     "202122232425262728292a2b2c2d2e2f3031323334353637",
		     "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951");
}

/* ---- two ends ---- */

struct ends {
	struct record_cache *cache;
	struct record_direction up, down; /* client to server, server to client */
	struct record_state client, server;
};

static void ends_open(struct ends *e, int cipher, uint64_t up_seq, uint64_t down_seq)
{
	fill(&e->up, sizeof(e->up));
	fill(&e->down, sizeof(e->down));
	record_init(&e->server, (enum record_cipher)cipher, &e->up, up_seq, &e->down, down_seq);
	record_init(&e->client, (enum record_cipher)cipher, &e->down, down_seq, &e->up, up_seq);
}

#define EPOCH_1 (UINT64_C(1) << 48)

static void ends_new(struct ends *e, int cipher)
{
	e->cache = record_cache_new(4);
	assert_non_null(e->cache);
	ends_open(e, cipher, EPOCH_1 | 1, EPOCH_1 | 1);
}

static void ends_free(struct ends *e)
{
	record_wipe(&e->server, e->cache);
	record_wipe(&e->client, e->cache);
	record_cache_free(e->cache);
}

/* The record from the client that has this sequence, whatever was sent before. */
static size_t client_record(struct ends *e, uint64_t seq, const char *text, uint8_t *wire)
{
	ssize_t n;

	e->client.write_seq = EPOCH_1 | seq;
	n = record_protect(&e->client, e->cache, DTLS_APPLICATION_DATA, (const uint8_t *)text, strlen(text),
			   wire, WIRE_MAX);
	assert_true(n > 0);
	return (size_t)n;
}

static struct record parse(uint8_t *wire, size_t n)
{
	struct record r;
	size_t at = 0;

	assert_int_equal(classify_record(wire, n, &at, &r), RECORD_PROTECTED);
	return r;
}

static ssize_t server_opens(struct ends *e, uint8_t *wire, size_t n, bool *newest)
{
	uint8_t copy[512];
	struct record r;
	uint8_t *plain;

	memcpy(copy, wire, n);
	r = parse(copy, n);
	return record_unprotect(&e->server, e->cache, &r, &plain, newest);
}

static ssize_t server_gets(struct ends *e, uint64_t seq)
{
	uint8_t wire[256];
	bool newest;

	return server_opens(e, wire, client_record(e, seq, "text", wire), &newest);
}

static const size_t LENGTHS[] = {
	0, 1, 7, 8, 15, 16, 17, 31, 64, 65, 300, 512, 1200, 8191, DTLS_PLAINTEXT_MAX,
};

static void records_are_what_the_rfcs_say(void **state)
{
	static uint8_t plain[DTLS_PLAINTEXT_MAX], got[WIRE_MAX], expect[WIRE_MAX];
	struct ends e;

	(void)state;
	FOR_EACH_CIPHER(c) {
		ends_new(&e, c);
		for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
			size_t len = LENGTHS[i];
			uint64_t seq = EPOCH_1 << chance(3) | chance(1000) << chance(30);
			uint8_t type = (uint8_t)(20 + chance(4));
			size_t n;

			fill(plain, len);
			n = reference_record(c, &e.down, seq, seq, type, plain, len, expect);
			e.server.write_seq = seq;
			assert_int_equal(record_protect(&e.server, e.cache, type, plain, len, got, n), n);
			assert_memory_equal(got, expect, n);
			assert_true(e.server.write_seq == seq + 1);
			assert_int_equal(n - len, record_overhead((enum record_cipher)c));
		}
		ends_free(&e);
	}
}

static void records_of_any_peer_are_opened_in_place(void **state)
{
	static uint8_t plain[DTLS_PLAINTEXT_MAX], wire[WIRE_MAX];
	struct ends e;

	(void)state;
	FOR_EACH_CIPHER(c) {
		ends_new(&e, c);
		for (uint64_t seq = 1; seq < 400; seq++) {
			size_t len = seq < 300 ? (size_t)seq : LENGTHS[seq % 15];
			/* A peer may choose its explicit nonce as it likes (OpenSSL begins at random). */
			uint64_t nonce = seq * UINT64_C(0x9e3779b97f4a7c15);
			struct record r;
			uint8_t *out = NULL;
			size_t n;
			bool newest;

			fill(plain, len);
			n = reference_record(c, &e.up, EPOCH_1 | seq, nonce, 23, plain, len, wire);
			r = parse(wire, n);
			assert_int_equal(record_unprotect(&e.server, e.cache, &r, &out, &newest), len);
			assert_true(newest);
			assert_true(out >= r.body && out + len <= r.body + r.length);
			assert_memory_equal(out, plain, len);
		}
		ends_free(&e);
	}
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
	struct ends e;
	struct record_state before;
	uint8_t wire[256], copy[256], *plain;
	struct record r;

	(void)state;
	FOR_EACH_CIPHER(c) {
		size_t n;

		ends_new(&e, c);
		n = client_record(&e, 5, "a little text", wire);
		assert_int_equal(server_gets(&e, 4), 4); /* keys the cache: the state stays as it is then */
		before = e.server;
		for (size_t bit = 0; bit < 8 * n; bit++) {
			size_t at = 0;

			memcpy(copy, wire, n);
			copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (classify_record(copy, n, &at, &r) != RECORD_PROTECTED)
				continue;
			assert_true(record_unprotect(&e.server, e.cache, &r, &plain, NULL) < 0);
			assert_memory_equal(&e.server, &before, sizeof(before));
		}
		assert_int_equal(server_opens(&e, wire, n, NULL), 13);
		ends_free(&e);
	}
}

static void cut_records_are_refused(void **state)
{
	struct ends e;
	uint8_t wire[256], copy[256], *plain;

	(void)state;
	FOR_EACH_CIPHER(c) {
		size_t n;

		ends_new(&e, c);
		n = client_record(&e, 5, "a little text", wire);
		for (size_t len = 0; len < n - 13; len++) {
			struct record r;

			memcpy(copy, wire, n);
			wire_put16(copy + 11, (uint16_t)len);
			r = parse(copy, 13 + len);
			assert_int_equal(record_unprotect(&e.server, e.cache, &r, &plain, NULL), -EBADMSG);
		}
		ends_free(&e);
	}
}

static void only_dtls_1_2_and_the_right_epoch_are_opened(void **state)
{
	struct ends e;
	uint8_t wire[256], copy[256], *plain;
	struct record r;
	size_t n;

	(void)state;
	ends_new(&e, RECORD_AES_128_GCM);
	n = client_record(&e, 1, "text", wire);
	for (unsigned epoch = 0; epoch < 5; epoch++) {
		size_t at = 0;

		memcpy(copy, wire, n);
		copy[4] = (uint8_t)epoch;
		classify_record(copy, n, &at, &r);
		r.kind = RECORD_PROTECTED;
		if (epoch != 1)
			assert_int_equal(record_unprotect(&e.server, e.cache, &r, &plain, NULL), -EBADMSG);
	}
	/* Sealed as 1.2, named 1.0: known to be bad without asking the AEAD. */
	memcpy(copy, wire, n);
	copy[2] = 0xff;
	r = parse(copy, n);
	assert_int_equal(record_unprotect(&e.server, e.cache, &r, &plain, NULL), -EBADMSG);
	assert_memory_equal(copy + 13, wire + 13, n - 13);
	assert_int_equal(server_opens(&e, wire, n, NULL), 4);
	ends_free(&e);
}

static void a_state_in_a_later_epoch_reads_that(void **state)
{
	struct ends e;
	uint8_t wire[256], *plain;
	struct record r;
	ssize_t n;

	(void)state;
	e.cache = record_cache_new(2);
	ends_open(&e, RECORD_AES_128_GCM, UINT64_C(0xfffe) << 48 | 7, EPOCH_1);
	n = record_protect(&e.client, e.cache, 23, (const uint8_t *)"text", 4, wire, sizeof(wire));
	r = parse(wire, (size_t)n);
	assert_int_equal(r.epoch, 0xfffe);
	assert_int_equal(r.seq, 7);
	assert_int_equal(record_unprotect(&e.server, e.cache, &r, &plain, NULL), 4);
	ends_free(&e);
}

static void replays_are_refused_before_the_aead_runs(void **state)
{
	struct ends e;
	uint8_t wire[256], copy[256], *plain;
	struct record r;
	bool newest = true;
	size_t n;

	(void)state;
	ends_new(&e, RECORD_AES_128_GCM);
	n = client_record(&e, 9, "text", wire);
	assert_int_equal(server_opens(&e, wire, n, &newest), 4);
	assert_true(newest);
	memcpy(copy, wire, n);
	r = parse(copy, n);
	assert_int_equal(record_unprotect(&e.server, e.cache, &r, &plain, &newest), -EALREADY);
	assert_false(newest);
	assert_memory_equal(copy, wire, n);
	ends_free(&e);
}

static void the_window_is_64_wide(void **state)
{
	struct ends e;

	(void)state;
	ends_new(&e, RECORD_AES_128_GCM);
	assert_int_equal(server_gets(&e, 1000), 4);
	assert_int_equal(server_gets(&e, 1000), -EALREADY);
	assert_int_equal(server_gets(&e, 1000 - 64), -EALREADY);
	assert_int_equal(server_gets(&e, 1000 - 63), 4);
	assert_int_equal(server_gets(&e, 1000 - 63), -EALREADY);
	assert_int_equal(server_gets(&e, 1001), 4);
	assert_int_equal(server_gets(&e, 1000 - 63), -EALREADY);
	assert_int_equal(server_gets(&e, 1001 - 63), 4);
	/* 63 on: 1001 is the last that the window still knows; 64 on: forgets all, 1001 is too old. */
	assert_int_equal(server_gets(&e, 1001 + 63), 4);
	assert_int_equal(server_gets(&e, 1001), -EALREADY);
	assert_int_equal(server_gets(&e, 1002), 4);
	assert_int_equal(server_gets(&e, 1064 + 64), 4);
	assert_int_equal(server_gets(&e, 1064), -EALREADY);
	assert_int_equal(server_gets(&e, 1065), 4);
	/* Far ahead: only what the window covers below it is still open. */
	assert_int_equal(server_gets(&e, UINT64_C(1) << 40), 4);
	assert_int_equal(server_gets(&e, 1129), -EALREADY);
	assert_int_equal(server_gets(&e, (UINT64_C(1) << 40) - 63), 4);
	assert_int_equal(server_gets(&e, (UINT64_C(1) << 40) - 64), -EALREADY);
	ends_free(&e);
}

static void all_below_the_first_sequence_counts_as_seen(void **state)
{
	struct ends e;

	(void)state;
	e.cache = record_cache_new(2);
	ends_open(&e, RECORD_AES_128_GCM, EPOCH_1 | 20, EPOCH_1 | 1);
	for (uint64_t seq = 0; seq < 20; seq++)
		assert_int_equal(server_gets(&e, seq), -EALREADY);
	assert_int_equal(server_gets(&e, 22), 4);
	assert_int_equal(server_gets(&e, 19), -EALREADY);
	assert_int_equal(server_gets(&e, 20), 4);
	assert_int_equal(server_gets(&e, 21), 4);
	ends_free(&e);
}

static void an_untouched_state_takes_sequence_zero(void **state)
{
	struct ends e;

	(void)state;
	e.cache = record_cache_new(2);
	ends_open(&e, RECORD_AES_128_GCM, EPOCH_1, EPOCH_1);
	assert_int_equal(server_gets(&e, 0), 4);
	assert_int_equal(server_gets(&e, 0), -EALREADY);
	assert_int_equal(server_gets(&e, 1), 4);
	ends_free(&e);
}

static void the_window_agrees_with_a_list_of_all_that_came(void **state)
{
	static bool seen[20000];
	struct ends e;
	uint8_t wire[256];
	uint64_t top = 0;

	(void)state;
	ends_new(&e, RECORD_CHACHA20_POLY1305);
	seen[0] = true;
	for (int i = 0; i < 20000; i++) {
		uint64_t spread = chance(50) == 0 ? 300 : 70;
		uint64_t seq = top + chance((uint32_t)spread);
		bool newest;
		bool fresh;
		ssize_t rc;

		seq = seq > 60 ? seq - 60 : 0;
		if (seq >= sizeof(seen))
			break;
		fresh = !seen[seq] && seq + 64 > top;
		rc = server_opens(&e, wire, client_record(&e, seq, "text", wire), &newest);
		assert_int_equal(rc, fresh ? 4 : -EALREADY);
		assert_int_equal(newest, fresh && seq > top);
		seen[seq] = true;
		if (seq > top)
			top = seq;
	}
	assert_true(top > 1000);
	ends_free(&e);
}

static void forgeries_do_not_move_the_window(void **state)
{
	struct ends e;
	uint8_t wire[256];
	bool newest = true;
	size_t n;

	(void)state;
	ends_new(&e, RECORD_AES_256_GCM);
	assert_int_equal(server_gets(&e, 5), 4);
	n = client_record(&e, 1 << 20, "text", wire);
	wire[n - 1] ^= 1;
	assert_int_equal(server_opens(&e, wire, n, &newest), -EBADMSG);
	assert_false(newest);
	assert_int_equal(server_gets(&e, 6), 4);
	assert_int_equal(server_gets(&e, 1 << 20), 4);
	ends_free(&e);
}

static void only_what_is_above_all_before_is_newest(void **state)
{
	static const struct { uint64_t seq; bool newest; } steps[] = {
		{ 3, true }, { 2, false }, { 4, true }, { 200, true }, { 199, false }, { 201, true },
	};
	struct ends e;
	uint8_t wire[256];
	bool newest;

	(void)state;
	ends_new(&e, RECORD_AES_128_CCM_8);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		newest = !steps[i].newest;
		server_opens(&e, wire, client_record(&e, steps[i].seq, "text", wire), &newest);
		assert_int_equal(newest, steps[i].newest);
	}
	ends_free(&e);
}

static void sizes_over_the_limit_are_named(void **state)
{
	static uint8_t plain[DTLS_PLAINTEXT_MAX + 1], wire[WIRE_MAX + 1];
	struct ends e;
	uint8_t *out;

	(void)state;
	FOR_EACH_CIPHER(c) {
		size_t n;
		struct record r;

		ends_new(&e, c);
		n = sizeof(plain);
		assert_int_equal(record_protect(&e.server, e.cache, 23, plain, n, wire, sizeof(wire)),
				 -EMSGSIZE);
		n = record_overhead((enum record_cipher)c) + 10;
		assert_int_equal(record_protect(&e.server, e.cache, 23, plain, 10, wire, n - 1), -ENOSPC);
		assert_int_equal(record_protect(&e.server, e.cache, 23, plain, 10, wire, 0), -ENOSPC);
		assert_true(e.server.write_seq == (EPOCH_1 | 1));
		assert_int_equal(record_protect(&e.server, e.cache, 23, plain, 10, wire, n), n);
		n = reference_record(c, &e.up, EPOCH_1 | 3, 3, 23, plain, sizeof(plain), wire);
		r = parse(wire, n);
		assert_int_equal(record_unprotect(&e.server, e.cache, &r, &out, NULL), -EMSGSIZE);
		ends_free(&e);
	}
}

static void used_up_sequence_numbers_leave_one_for_the_alert(void **state)
{
	struct ends e;
	uint8_t wire[64];
	const uint8_t alert[] = { 1, 0 };

	(void)state;
	ends_new(&e, RECORD_AES_128_GCM);
	e.server.write_seq = EPOCH_1 | (DTLS_SEQ_MAX - 2);
	assert_int_equal(record_protect(&e.server, e.cache, 23, alert, 2, wire, sizeof(wire)), 39);
	assert_int_equal(record_protect(&e.server, e.cache, 23, alert, 2, wire, sizeof(wire)), -EOVERFLOW);
	assert_int_equal(record_protect(&e.server, e.cache, 21, alert, 2, wire, sizeof(wire)), 39);
	assert_int_equal(record_protect(&e.server, e.cache, 21, alert, 2, wire, sizeof(wire)), -EOVERFLOW);
	assert_int_equal(record_protect(&e.server, e.cache, 23, alert, 2, wire, sizeof(wire)), -EOVERFLOW);
	/* Never a number of the next epoch. */
	assert_true(e.server.write_seq >> 48 == 1);
	ends_free(&e);
}

static void the_highest_sequence_can_be_read(void **state)
{
	const uint64_t highest = EPOCH_1 | DTLS_SEQ_MAX;
	struct ends e;
	uint8_t wire[64];
	const uint8_t x = 'x';
	size_t n;

	(void)state;
	ends_new(&e, RECORD_AES_128_GCM);
	n = reference_record(RECORD_AES_128_GCM, &e.up, highest, 1, 23, &x, 1, wire);
	assert_int_equal(server_opens(&e, wire, n, NULL), 1);
	assert_int_equal(server_opens(&e, wire, n, NULL), -EALREADY);
	n = reference_record(RECORD_AES_128_GCM, &e.up, highest - 1, 2, 23, &x, 1, wire);
	assert_int_equal(server_opens(&e, wire, n, NULL), 1);
	ends_free(&e);
}

static void a_peek_leaves_no_trace(void **state)
{
	struct ends e;
	struct record_state before;
	uint8_t wire[256], copy[256], plain[256];

	(void)state;
	FOR_EACH_CIPHER(c) {
		struct record r;
		size_t n;

		ends_new(&e, c);
		n = client_record(&e, 5, "a little text", wire);
		assert_int_equal(server_gets(&e, 4), 4);
		before = e.server;
		memcpy(copy, wire, n);
		r = parse(copy, n);
		assert_int_equal(record_peek(&e.server, e.cache, &r, plain), 13);
		assert_memory_equal(plain, "a little text", 13);
		assert_memory_equal(copy, wire, n);
		assert_memory_equal(&e.server, &before, sizeof(before));
		/* What was opened before can be asked for as well, and what is too old. */
		assert_int_equal(server_opens(&e, wire, n, NULL), 13);
		assert_int_equal(record_peek(&e.server, e.cache, &r, plain), 13);
		assert_int_equal(server_gets(&e, 500), 4);
		assert_int_equal(record_peek(&e.server, e.cache, &r, plain), 13);
		copy[n - 1] ^= 1;
		assert_int_equal(record_peek(&e.server, e.cache, &r, plain), -EBADMSG);
		copy[n - 1] ^= 1;
		r.epoch = 2;
		assert_int_equal(record_peek(&e.server, e.cache, &r, plain), -EBADMSG);
		/* The other direction's key does not do. */
		r.epoch = 1;
		assert_int_equal(record_peek(&e.client, e.cache, &r, plain), -EBADMSG);
		ends_free(&e);
	}
}

/* ---- the cache ---- */

/* Both directions of a server against the reference: a key of somebody else would show. */
static void check_both_ways(struct ends *e, int cipher, struct record_cache *cache, uint64_t seq)
{
	uint8_t plain[40], wire[128], expect[128], *out;
	struct record r;
	size_t n;

	fill(plain, sizeof(plain));
	e->server.write_seq = EPOCH_1 | seq;
	seq |= EPOCH_1;
	n = reference_record(cipher, &e->down, seq, seq, 23, plain, sizeof(plain), expect);
	assert_int_equal(record_protect(&e->server, cache, 23, plain, sizeof(plain), wire, sizeof(wire)), n);
	assert_memory_equal(wire, expect, n);
	n = reference_record(cipher, &e->up, seq, seq * 3, 23, plain, sizeof(plain), wire);
	r = parse(wire, n);
	assert_int_equal(record_unprotect(&e->server, cache, &r, &out, NULL), sizeof(plain));
	assert_memory_equal(out, plain, sizeof(plain));
}

static void sessions_share_few_entries_and_never_keys(void **state)
{
	/* Of other ciphers, of one cipher, and both; more sessions than entries and fewer. */
	static const int mixes[][3] = {
		{ RECORD_AES_128_GCM, RECORD_CHACHA20_POLY1305, RECORD_AES_128_CCM_8 },
		{ RECORD_AES_128_GCM, RECORD_AES_128_GCM, RECORD_AES_128_GCM },
		{ RECORD_CHACHA20_POLY1305, RECORD_CHACHA20_POLY1305, RECORD_CHACHA20_POLY1305 },
		{ RECORD_AES_256_CCM, RECORD_AES_256_CCM, RECORD_AES_256_CCM_8 },
		{ RECORD_AES_256_GCM, RECORD_AES_256_GCM, RECORD_AES_128_CCM },
	};

	(void)state;
	for (size_t m = 0; m < sizeof(mixes) / sizeof(mixes[0]); m++) {
		for (unsigned entries = 1; entries <= 4; entries++) {
			struct record_cache *cache = record_cache_new(entries);
			struct ends e[3];

			for (int i = 0; i < 3; i++)
				ends_open(&e[i], mixes[m][i], EPOCH_1 | 1, EPOCH_1 | 1);
			for (uint64_t seq = 1; seq < 60; seq++) {
				uint32_t i = seq % 2 ? (uint32_t)(seq / 2 % 3) : chance(3);

				check_both_ways(&e[i], mixes[m][i], cache, seq);
			}
			for (int i = 0; i < 3; i++)
				record_wipe(&e[i].server, cache);
			record_cache_free(cache);
		}
	}
}

static void a_session_in_the_cache_is_keyed_once(void **state)
{
	struct record_cache *cache = record_cache_new(3);
	struct ends e[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		ends_open(&e[i], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	assert_true(record_cache_misses(cache) == 0);
	for (uint64_t seq = 1; seq < 100; seq++)
		check_both_ways(&e[seq % 3], RECORD_AES_128_GCM, cache, seq);
	/* One handle for each direction. */
	assert_true(record_cache_misses(cache) == 6);
	record_cache_free(cache);
}

static void expect(const struct record_state *s, const struct record_cache *cache)
{
	record_expect_entry(s, cache);
	record_expect_handles(s, cache);
}

static void to_expect_a_record_changes_nothing(void **state)
{
	struct record_cache *cache = record_cache_new(2);
	struct ends e[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		ends_open(&e[i], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
		expect(&e[i].server, cache); /* it was never in the cache */
		check_both_ways(&e[i], RECORD_AES_128_GCM, cache, 1);
		for (int j = 0; j <= i; j++) { /* in it, or pushed out */
			struct record_state before = e[j].server;

			expect(&e[j].server, cache);
			assert_memory_equal(&e[j].server, &before, sizeof(before));
		}
		assert_true(record_cache_misses(cache) == 2 * ((uint64_t)i + 1));
	}
	record_cache_cool(cache, 2);
	record_cache_cool(cache, 2);
	expect(&e[2].server, cache); /* its handles were freed */
	record_cache_free(cache);
}

static void what_cools_down_is_freed_and_keyed_again_when_needed(void **state)
{
	struct record_cache *cache = record_cache_new(4);
	struct ends e[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		ends_open(&e[i], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
		check_both_ways(&e[i], RECORD_AES_128_GCM, cache, 1);
	}
	assert_int_equal(record_cache_cool(cache, 4), 0); /* both were used since the last round */
	check_both_ways(&e[0], RECORD_AES_128_GCM, cache, 2);
	assert_int_equal(record_cache_cool(cache, 4), 1); /* the other one goes */
	assert_true(record_cache_misses(cache) == 4);
	check_both_ways(&e[0], RECORD_AES_128_GCM, cache, 3);
	assert_true(record_cache_misses(cache) == 4);
	check_both_ways(&e[1], RECORD_AES_128_GCM, cache, 2);
	assert_true(record_cache_misses(cache) == 6);
	record_cache_cool(cache, 8);
	assert_int_equal(record_cache_cool(cache, 4), 0); /* nothing is left to free */
	record_cache_free(cache);
}

static void a_hot_session_stays_while_cold_ones_pass(void **state)
{
	struct record_cache *cache = record_cache_new(4);
	struct ends hot;
	struct ends cold[10];
	uint64_t seq = 1;
	uint64_t misses;

	(void)state;
	ends_open(&hot, RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	for (int i = 0; i < 10; i++)
		ends_open(&cold[i], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	for (int i = 0; i < 4; i++) {
		check_both_ways(&cold[i], RECORD_AES_128_GCM, cache, seq++);
		check_both_ways(&hot, RECORD_AES_128_GCM, cache, seq++);
	}
	for (int round = 0; round < 50; round++) {
		check_both_ways(&cold[round % 10], RECORD_AES_128_GCM, cache, seq++);
		misses = record_cache_misses(cache);
		check_both_ways(&hot, RECORD_AES_128_GCM, cache, seq++);
		assert_true(record_cache_misses(cache) == misses);
	}
	record_cache_free(cache);
}

/* A crowd of sessions in one cache, each at the same record. */
static void crowd_open(struct ends *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ends_open(&e[i], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
}

/* The handles that had to be made while each said a record. */
static uint64_t crowd_speaks(struct ends *e, unsigned n, struct record_cache *cache, uint64_t seq)
{
	uint64_t before = record_cache_misses(cache);

	for (unsigned i = 0; i < n; i++)
		check_both_ways(&e[i], RECORD_AES_128_GCM, cache, seq);
	return record_cache_misses(cache) - before;
}

static void those_who_come_once_displace_few(void **state)
{
	struct record_cache *cache = record_cache_new(200);
	struct ends stay[200], once[300];

	(void)state;
	crowd_open(stay, 200);
	crowd_open(once, 300);
	assert_true(crowd_speaks(stay, 200, cache, 1) == 2 * 200);
	assert_true(crowd_speaks(once, 300, cache, 1) == 2 * 300);
	/* no more than the 64 of a window, which are in it in turn from then on */
	assert_true(crowd_speaks(stay, 200, cache, 2) == 2 * 64);
	record_cache_free(cache);
}

static void a_crowd_takes_the_place_of_the_one_before(void **state)
{
	struct record_cache *cache = record_cache_new(100);
	struct ends before[100], after[100];
	uint64_t misses = 0, more = 1;

	(void)state;
	crowd_open(before, 100);
	crowd_open(after, 100);
	for (uint64_t seq = 1; seq < 4; seq++)
		(void)crowd_speaks(before, 100, cache, seq);
	for (uint64_t seq = 1; more > 0; seq++) {
		more = crowd_speaks(after, 100, cache, seq);
		misses += more;
		assert_true(misses < UINT64_C(2) * 4 * 1024); /* two windows of 1024 visits, twice, two handles each */
	}
	record_cache_free(cache);
}

static void states_may_be_moved_and_their_places_reused(void **state)
{
	struct record_cache *cache = record_cache_new(2);
	struct ends e[2];
	struct record_state swap;
	struct record_direction d;

	(void)state;
	ends_open(&e[0], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	ends_open(&e[1], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	check_both_ways(&e[0], RECORD_AES_128_GCM, cache, 1);
	check_both_ways(&e[1], RECORD_AES_128_GCM, cache, 2);
	swap = e[0].server;
	e[0].server = e[1].server;
	e[1].server = swap;
	d = e[0].up, e[0].up = e[1].up, e[1].up = d;
	d = e[0].down, e[0].down = e[1].down, e[1].down = d;
	check_both_ways(&e[0], RECORD_AES_128_GCM, cache, 3);
	check_both_ways(&e[1], RECORD_AES_128_GCM, cache, 4);
	assert_true(record_cache_misses(cache) == 4);
	/* A new session where an old one was, without a farewell to the cache. */
	for (uint64_t seq = 5; seq < 25; seq++) {
		ends_open(&e[seq % 2], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
		check_both_ways(&e[0], RECORD_AES_128_GCM, cache, seq);
		check_both_ways(&e[1], RECORD_AES_128_GCM, cache, seq);
		check_both_ways(&e[0], RECORD_AES_128_GCM, cache, seq + 100);
		e[0].server.read_next = e[1].server.read_next = seq + 1;
		e[0].server.read_window = e[1].server.read_window = UINT64_MAX;
	}
	record_cache_free(cache);
}

static void wiping_leaves_no_key_and_frees_the_entry(void **state)
{
	static const struct record_state zero;
	struct record_cache *cache = record_cache_new(2);
	struct ends e[3];
	uint64_t misses;

	(void)state;
	for (int i = 0; i < 3; i++)
		ends_open(&e[i], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	check_both_ways(&e[0], RECORD_AES_128_GCM, cache, 1);
	check_both_ways(&e[1], RECORD_AES_128_GCM, cache, 1);
	record_wipe(&e[1].server, cache);
	assert_memory_equal(&e[1].server, &zero, sizeof(zero));
	/* Once more, and one that never was in the cache. */
	record_wipe(&e[1].server, cache);
	check_both_ways(&e[2], RECORD_AES_128_GCM, cache, 1);
	check_both_ways(&e[0], RECORD_AES_128_GCM, cache, 2);
	check_both_ways(&e[2], RECORD_AES_128_GCM, cache, 2);
	record_wipe(&e[0].client, cache);
	/* One that was evicted: its entry is another's by now and stays. */
	ends_open(&e[1], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	for (uint64_t seq = 3; seq < 6; seq++) {
		check_both_ways(&e[1], RECORD_AES_128_GCM, cache, seq);
		check_both_ways(&e[2], RECORD_AES_128_GCM, cache, seq);
	}
	misses = record_cache_misses(cache);
	record_wipe(&e[0].server, cache);
	check_both_ways(&e[1], RECORD_AES_128_GCM, cache, 7);
	check_both_ways(&e[2], RECORD_AES_128_GCM, cache, 7);
	assert_true(record_cache_misses(cache) == misses);
	record_cache_free(cache);
	record_cache_free(NULL);
}

static long handles_held;

static void *counted_calloc(size_t n, size_t size)
{
	handles_held++;
	return calloc(n, size);
}

static void counted_free(void *p)
{
	handles_held -= p != NULL;
	free(p);
}

static void the_memory_of_handles_goes_back(void **state)
{
	struct record_cache *cache = record_cache_new(2);
	struct ends e[3];
	long two;

	(void)state;
	gnutls_calloc = counted_calloc;
	gnutls_free = counted_free;
	handles_held = 0;
	for (int i = 0; i < 3; i++)
		ends_open(&e[i], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	check_both_ways(&e[0], RECORD_AES_128_GCM, cache, 1);
	check_both_ways(&e[1], RECORD_AES_128_GCM, cache, 1);
	two = handles_held;
	assert_true(two > 0);
	/* An evicted session's are gone, a wiped one's too, and the cache takes its own with it. */
	check_both_ways(&e[2], RECORD_AES_128_GCM, cache, 1);
	assert_int_equal(handles_held, two);
	record_wipe(&e[2].server, cache);
	assert_int_equal(handles_held, two / 2);
	record_cache_free(cache);
	assert_int_equal(handles_held, 0);
	gnutls_calloc = calloc;
	gnutls_free = free;
}

static long handles_most;

static void *scarce_calloc(size_t n, size_t size)
{
	return handles_held < handles_most ? counted_calloc(n, size) : NULL;
}

static void when_memory_is_scarce_all_are_served_with_the_handles_of_others(void **state)
{
	struct record_cache *cache = record_cache_new(8);
	struct ends e[5];

	(void)state;
	gnutls_calloc = scarce_calloc;
	gnutls_free = counted_free;
	handles_held = 0;
	handles_most = LONG_MAX;
	for (int i = 0; i < 5; i++)
		ends_open(&e[i], RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	check_both_ways(&e[0], RECORD_AES_128_GCM, cache, 1);
	check_both_ways(&e[1], RECORD_AES_128_GCM, cache, 1);
	handles_most = handles_held; /* no more than there are now */
	for (uint64_t seq = 2; seq < 40; seq++)
		check_both_ways(&e[seq % 5], RECORD_AES_128_GCM, cache, seq);
	assert_true(handles_held > 0 && handles_held <= handles_most);
	for (int i = 0; i < 5; i++)
		record_wipe(&e[i].server, cache);
	record_cache_free(cache);
	assert_int_equal(handles_held, 0);
	gnutls_calloc = calloc;
	gnutls_free = free;
}

static void *no_memory(size_t n, size_t size)
{
	(void)n;
	(void)size;
	return NULL;
}

static void without_memory_a_record_fails_and_the_next_one_works(void **state)
{
	struct ends e;
	uint8_t wire[128], *plain;
	struct record r;
	ssize_t rc, peeked, sealed;
	size_t n;

	(void)state;
	ends_new(&e, RECORD_AES_128_GCM);
	n = reference_record(RECORD_AES_128_GCM, &e.up, EPOCH_1 | 1, 1, 23, (const uint8_t *)"text", 4, wire);
	r = parse(wire, n);
	gnutls_calloc = no_memory;
	rc = record_unprotect(&e.server, e.cache, &r, &plain, NULL);
	peeked = record_peek(&e.server, e.cache, &r, wire + 64);
	sealed = record_protect(&e.server, e.cache, 23, wire, 4, wire + 64, 64);
	gnutls_calloc = calloc;
	assert_int_equal(rc, -ENOMEM);
	assert_int_equal(peeked, -ENOMEM);
	assert_int_equal(sealed, -ENOMEM);
	assert_true(e.server.write_seq == (EPOCH_1 | 1));
	check_both_ways(&e, RECORD_AES_128_GCM, e.cache, 1);
	ends_free(&e);
}

static void ciphers_are_known_by_number_name_and_size(void **state)
{
	static const struct { int gnutls; const char *name; size_t key, iv, overhead; } list[] = {
		{ GNUTLS_CIPHER_AES_128_GCM, "AES-128-GCM", 16, 4, 37 },
		{ GNUTLS_CIPHER_AES_256_GCM, "AES-256-GCM", 32, 4, 37 },
		{ GNUTLS_CIPHER_CHACHA20_POLY1305, "CHACHA20-POLY1305", 32, 12, 29 },
		{ GNUTLS_CIPHER_AES_128_CCM, "AES-128-CCM", 16, 4, 37 },
		{ GNUTLS_CIPHER_AES_256_CCM, "AES-256-CCM", 32, 4, 37 },
		{ GNUTLS_CIPHER_AES_128_CCM_8, "AES-128-CCM-8", 16, 4, 29 },
		{ GNUTLS_CIPHER_AES_256_CCM_8, "AES-256-CCM-8", 32, 4, 29 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		enum record_cipher c = record_cipher_from_gnutls(list[i].gnutls);

		assert_int_equal(c, i + 1);
		assert_string_equal(record_cipher_name(c), list[i].name);
		assert_int_equal(gnutls_cipher_get_id(list[i].name), list[i].gnutls);
		assert_int_equal(record_key_size(c), list[i].key);
		assert_int_equal(record_iv_size(c), list[i].iv);
		assert_int_equal(record_overhead(c), list[i].overhead);
		assert_true(record_overhead(c) <= RECORD_OVERHEAD_MAX);
	}
	assert_int_equal(record_cipher_from_gnutls(GNUTLS_CIPHER_AES_128_CBC), RECORD_CIPHER_NONE);
	assert_int_equal(record_cipher_from_gnutls(GNUTLS_CIPHER_UNKNOWN), RECORD_CIPHER_NONE);
	assert_int_equal(record_cipher_from_gnutls(-1), RECORD_CIPHER_NONE);
	assert_string_equal(record_cipher_name(RECORD_CIPHER_NONE), "none");
}

/* ---- linked with --wrap=calloc and --wrap=gnutls_aead_cipher_encrypt ---- */

void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);
int __wrap_gnutls_aead_cipher_encrypt(gnutls_aead_cipher_hd_t handle, const void *nonce, size_t nonce_len,
				      const void *auth, size_t auth_len, size_t tag_size, const void *in,
				      size_t in_len, void *out, size_t *out_len);
int __real_gnutls_aead_cipher_encrypt(gnutls_aead_cipher_hd_t handle, const void *nonce, size_t nonce_len,
				      const void *auth, size_t auth_len, size_t tag_size, const void *in,
				      size_t in_len, void *out, size_t *out_len);

static bool memory_is_out;

void *__wrap_calloc(size_t n, size_t size)
{
	return memory_is_out ? NULL : __real_calloc(n, size);
}

int __wrap_gnutls_aead_cipher_encrypt(gnutls_aead_cipher_hd_t handle, const void *nonce, size_t nonce_len,
				      const void *auth, size_t auth_len, size_t tag_size, const void *in,
				      size_t in_len, void *out, size_t *out_len)
{
	if (memory_is_out)
		return GNUTLS_E_MEMORY_ERROR;
	return __real_gnutls_aead_cipher_encrypt(handle, nonce, nonce_len, auth, auth_len, tag_size, in, in_len,
						 out, out_len);
}

static void a_record_that_cannot_be_sealed_uses_up_no_number(void **state)
{
	struct record_cache *cache = record_cache_new(2);
	uint8_t wire[RECORD_OVERHEAD_MAX + 4];
	struct ends e;
	uint64_t seq;

	(void)state;
	ends_open(&e, RECORD_AES_128_GCM, EPOCH_1 | 1, EPOCH_1 | 1);
	check_both_ways(&e, RECORD_AES_128_GCM, cache, 1); /* the handles are there */
	seq = e.server.write_seq;
	memory_is_out = true;
	assert_null(record_cache_new(2));
	assert_int_equal(record_protect(&e.server, cache, DTLS_APPLICATION_DATA, (const uint8_t *)"text", 4, wire,
					sizeof(wire)), -ENOMEM);
	memory_is_out = false;
	assert_true(e.server.write_seq == seq);
	check_both_ways(&e, RECORD_AES_128_GCM, cache, 2);
	record_wipe(&e.server, cache);
	record_cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_passes_published_vectors),
		cmocka_unit_test(records_are_what_the_rfcs_say),
		cmocka_unit_test(records_of_any_peer_are_opened_in_place),
		cmocka_unit_test(a_flipped_bit_anywhere_is_refused),
		cmocka_unit_test(cut_records_are_refused),
		cmocka_unit_test(only_dtls_1_2_and_the_right_epoch_are_opened),
		cmocka_unit_test(a_state_in_a_later_epoch_reads_that),
		cmocka_unit_test(replays_are_refused_before_the_aead_runs),
		cmocka_unit_test(the_window_is_64_wide),
		cmocka_unit_test(all_below_the_first_sequence_counts_as_seen),
		cmocka_unit_test(an_untouched_state_takes_sequence_zero),
		cmocka_unit_test(the_window_agrees_with_a_list_of_all_that_came),
		cmocka_unit_test(forgeries_do_not_move_the_window),
		cmocka_unit_test(only_what_is_above_all_before_is_newest),
		cmocka_unit_test(sizes_over_the_limit_are_named),
		cmocka_unit_test(used_up_sequence_numbers_leave_one_for_the_alert),
		cmocka_unit_test(the_highest_sequence_can_be_read),
		cmocka_unit_test(a_peek_leaves_no_trace),
		cmocka_unit_test(sessions_share_few_entries_and_never_keys),
		cmocka_unit_test(a_session_in_the_cache_is_keyed_once),
		cmocka_unit_test(to_expect_a_record_changes_nothing),
		cmocka_unit_test(a_hot_session_stays_while_cold_ones_pass),
		cmocka_unit_test(those_who_come_once_displace_few),
		cmocka_unit_test(a_crowd_takes_the_place_of_the_one_before),
		cmocka_unit_test(what_cools_down_is_freed_and_keyed_again_when_needed),
		cmocka_unit_test(states_may_be_moved_and_their_places_reused),
		cmocka_unit_test(wiping_leaves_no_key_and_frees_the_entry),
		cmocka_unit_test(the_memory_of_handles_goes_back),
		cmocka_unit_test(when_memory_is_scarce_all_are_served_with_the_handles_of_others),
		cmocka_unit_test(a_record_that_cannot_be_sealed_uses_up_no_number),
		cmocka_unit_test(without_memory_a_record_fails_and_the_next_one_works),
		cmocka_unit_test(ciphers_are_known_by_number_name_and_size),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
