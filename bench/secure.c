/* SPDX-License-Identifier: BSD-2-Clause */
#include "secure.h"

#include <string.h>

#include "util.h"

static void cipher_init(gnutls_aead_cipher_hd_t *h, const uint8_t key[static 16])
{
	uint8_t copy[16];
	const gnutls_datum_t k = {copy, sizeof(copy)};

	memcpy(copy, key, sizeof(copy));
	if (gnutls_aead_cipher_init(h, GNUTLS_CIPHER_AES_128_GCM, &k))
		die("GnuTLS has no AES-128-GCM");
}

void secure_init(struct secure *c, const uint8_t write_key[static 16], const uint8_t read_key[static 16],
		 const uint8_t write_salt[static 4], const uint8_t read_salt[static 4])
{
	c->write_seq = UINT64_C(1) << 48;
	memcpy(c->write_salt, write_salt, sizeof(c->write_salt));
	memcpy(c->read_salt, read_salt, sizeof(c->read_salt));
	cipher_init(&c->writer, write_key);
	cipher_init(&c->reader, read_key);
}

/* RFC 6347 4.1.2.1: epoch and sequence, type, version, length of the plaintext. */
static void additional_data(uint8_t data[static 13], const uint8_t *seq, uint8_t type, size_t len)
{
	memcpy(data, seq, 8);
	data[8] = type;
	put16(data + 9, 0xfefd);
	put16(data + 11, (uint16_t)len);
}

void secure_seal(struct secure *c, uint8_t type, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[12], data[13], seq[8];
	size_t sealed = len + 16;

	put64(seq, c->write_seq++);
	memcpy(nonce, c->write_salt, 4);
	memcpy(nonce + 4, seq, 8);
	additional_data(data, seq, type, len);
	out[0] = type;
	put16(out + 1, 0xfefd);
	memcpy(out + 3, seq, 8);
	put16(out + 11, (uint16_t)(8 + sealed));
	memcpy(out + RECORD_HEADER, seq, 8);
	if (gnutls_aead_cipher_encrypt(c->writer, nonce, 12, data, 13, 16, in, len, out + RECORD_HEADER + 8,
				       &sealed))
		die("a record of %zu bytes cannot be sealed", len);
}

ssize_t secure_open(struct secure *c, const uint8_t *record, size_t len, uint8_t *plain)
{
	uint8_t nonce[12], data[13];
	size_t plain_len = len;

	if (len < RECORD_OVERHEAD || get16(record + 11) != len - RECORD_HEADER)
		return -1;
	memcpy(nonce, c->read_salt, 4);
	memcpy(nonce + 4, record + RECORD_HEADER, 8);
	additional_data(data, record + 3, record[0], len - RECORD_OVERHEAD);
	if (gnutls_aead_cipher_decrypt(c->reader, nonce, 12, data, 13, 16, record + RECORD_HEADER + 8,
				       len - RECORD_HEADER - 8, plain, &plain_len))
		return -1;
	return (ssize_t)plain_len;
}

void secure_free(struct secure *c)
{
	gnutls_aead_cipher_deinit(c->writer);
	gnutls_aead_cipher_deinit(c->reader);
}
