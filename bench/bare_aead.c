/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare_aead: what one open and one seal of AES-128-GCM cost in GnuTLS, without records around them: the
 * cryptography in one echoed record. Prints one JSON object: size to ns, the least of many short repeats.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "util.h"

#define TAG 16
#define REPEATS 200
#define PAIRS 500

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Opens what it sealed the time before, as an echo does; the sequence goes on in nonce and data. */
static uint64_t pairs(gnutls_aead_cipher_hd_t opener, gnutls_aead_cipher_hd_t sealer, size_t size)
{
	static uint8_t plain[2048], sealed[2048 + TAG];
	uint8_t nonce[12] = {1, 2, 3, 4}, data[13] = {0};
	size_t sealed_len = sizeof(sealed), plain_len;
	uint64_t start;

	if (gnutls_aead_cipher_encrypt(sealer, nonce, 12, data, 13, TAG, plain, size, sealed, &sealed_len))
		die("AES-128-GCM does not seal");
	start = cpu_ns();
	for (unsigned i = 0; i < PAIRS; i++) {
		plain_len = sizeof(plain);
		if (gnutls_aead_cipher_decrypt(opener, nonce, 12, data, 13, TAG, sealed, sealed_len, plain,
					       &plain_len))
			die("AES-128-GCM does not open");
		memcpy(nonce + 8, &i, sizeof(i));
		memcpy(data + 4, &i, sizeof(i));
		sealed_len = sizeof(sealed);
		if (gnutls_aead_cipher_encrypt(sealer, nonce, 12, data, 13, TAG, plain, size, sealed,
					       &sealed_len))
			die("AES-128-GCM does not seal");
	}
	return cpu_ns() - start;
}

int main(void)
{
	static const size_t sizes[] = {64, 512, 1200};
	static uint8_t key[16] = "measured, not us";
	const gnutls_datum_t k = {key, sizeof(key)};
	gnutls_aead_cipher_hd_t opener, sealer;

	if (gnutls_aead_cipher_init(&opener, GNUTLS_CIPHER_AES_128_GCM, &k) ||
	    gnutls_aead_cipher_init(&sealer, GNUTLS_CIPHER_AES_128_GCM, &k))
		die("no AES-128-GCM");
	printf("{");
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t least = UINT64_MAX;

		for (unsigned r = 0; r < REPEATS; r++) {
			uint64_t ns = pairs(opener, sealer, sizes[i]);

			least = ns < least ? ns : least;
		}
		printf("%s\"%zu\": %.1f", i ? ", " : "", sizes[i], (double)least / PAIRS);
	}
	printf("}\n");
	gnutls_aead_cipher_deinit(opener);
	gnutls_aead_cipher_deinit(sealer);
	return 0;
}
