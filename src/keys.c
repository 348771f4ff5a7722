/* SPDX-License-Identifier: BSD-2-Clause */
#include "keys.h"

#include <string.h>

#include "classify.h"
#include "wire.h"

bool keys_take(gnutls_session_t s, bool read, enum record_cipher c, struct record_direction *out,
	       uint64_t *seq)
{
	gnutls_datum_t mac, iv, key;
	unsigned char number[8];

	if (gnutls_record_get_state(s, read, &mac, &iv, &key, number) < 0 || key.size != record_key_size(c) ||
	    iv.size < record_iv_size(c))
		return false;
	memset(out, 0, sizeof(*out));
	memcpy(out->key, key.data, key.size);
	memcpy(out->iv, iv.data, record_iv_size(c));
	*seq = wire_get64(number);
	return true;
}

struct reseal {
	gnutls_session_t session;
	struct record_cache *cache;
	uint8_t *scratch;
	enum record_cipher cipher;
	struct record_state state;
	bool ready;
};

/* gnutls_cipher_get answers for what is read, which is not protected yet: the ServerHello names the suite. */
static enum record_cipher cipher_of_hello(const struct record *r)
{
	size_t id = DTLS_HANDSHAKE_HEADER + 2 + DTLS_RANDOM_SIZE; /* where the session ID's length is */
	gnutls_cipher_algorithm_t cipher;
	const uint8_t *suite;
	unsigned char number[2];

	if (r->length <= id || r->length < id + 1 + r->body[id] + 2)
		return RECORD_CIPHER_NONE;
	suite = r->body + id + 1 + r->body[id];
	for (size_t i = 0; gnutls_cipher_suite_info(i, number, NULL, &cipher, NULL, NULL); i++)
		if (memcmp(number, suite, 2) == 0)
			return record_cipher_from_gnutls((int)cipher);
	return RECORD_CIPHER_NONE;
}

/* The state in which our next record would be protected; it reads our own, too. */
static bool begin(struct reseal *z)
{
	struct record_direction own;
	uint64_t seq;

	if (z->cipher == RECORD_CIPHER_NONE || !keys_take(z->session, false, z->cipher, &own, &seq))
		return false;
	record_init(&z->state, z->cipher, &own, seq, &own, seq);
	gnutls_memset(&own, 0, sizeof(own));
	return true;
}

static void reseal_one(void *ctx, struct record *r)
{
	size_t size = DTLS_RECORD_HEADER + r->length;
	struct reseal *z = ctx;
	uint8_t *plain = z->scratch + KEYS_SCRATCH / 2;
	ssize_t len;

	if (r->kind == RECORD_HANDSHAKE && r->body[0] == DTLS_SERVER_HELLO)
		z->cipher = cipher_of_hello(r);
	if (r->kind != RECORD_PROTECTED || size > KEYS_SCRATCH / 2)
		return;
	if (!z->ready)
		z->ready = begin(z);
	if (!z->ready)
		return;
	len = record_peek(&z->state, z->cache, r, plain);
	/* the same plaintext makes a record of the same size */
	if (len >= 0 && record_protect(&z->state, z->cache, r->type, plain, (size_t)len, z->scratch, size) > 0)
		memcpy(r->header, z->scratch, size);
}

void keys_reseal(gnutls_session_t s, struct flight *f, struct record_cache *cache, uint8_t *scratch)
{
	struct reseal z = { .session = s, .cache = cache, .scratch = scratch, .cipher = RECORD_CIPHER_NONE };
	unsigned char number[8];

	if (!flight_has_ccs(f))
		return;
	flight_each(f, reseal_one, &z);
	if (!z.ready)
		return;
	/* no number is ever used twice: what GnuTLS or the session sends next comes after */
	wire_put64(number, z.state.write_seq);
	gnutls_record_set_state(s, 0, number);
	record_wipe(&z.state, cache);
	gnutls_memset(scratch, 0, KEYS_SCRATCH);
}
