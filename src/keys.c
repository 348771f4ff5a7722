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

bool keys_record(gnutls_session_t s, uint64_t finished_seq, struct record_state *out)
{
	enum record_cipher c = record_cipher_from_gnutls((int)gnutls_cipher_get(s));
	struct record_direction in, outgoing;
	uint64_t read_seq, write_seq;

	if (c == RECORD_CIPHER_NONE || !keys_take(s, true, c, &in, &read_seq) ||
	    !keys_take(s, false, c, &outgoing, &write_seq))
		return false;
	read_seq = (read_seq & ~DTLS_SEQ_MAX) | ((finished_seq + 1) & DTLS_SEQ_MAX);
	record_init(out, c, &in, read_seq, &outgoing, write_seq);
	out->read_window = 1;
	gnutls_memset(&in, 0, sizeof(in));
	gnutls_memset(&outgoing, 0, sizeof(outgoing));
	return true;
}

enum record_cipher keys_cipher_of_hello(const uint8_t *msg, size_t len)
{
	size_t id = DTLS_HANDSHAKE_HEADER + 2 + DTLS_RANDOM_SIZE; /* where the session ID's length is */
	gnutls_cipher_algorithm_t cipher;
	const uint8_t *suite;
	unsigned char number[2];

	if (len <= id || len < id + 1 + msg[id] + 2)
		return RECORD_CIPHER_NONE;
	suite = msg + id + 1 + msg[id];
	for (size_t i = 0; gnutls_cipher_suite_info(i, number, NULL, &cipher, NULL, NULL); i++)
		if (memcmp(number, suite, 2) == 0)
			return record_cipher_from_gnutls((int)cipher);
	return RECORD_CIPHER_NONE;
}

struct reseal {
	gnutls_session_t session;
	struct record_cache *cache;
	uint8_t *scratch;
	enum record_cipher cipher;
	struct record_state state;
	bool ready;
};

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

	/* gnutls_cipher_get answers for what is read, which is not protected yet: the ServerHello names the suite */
	if (r->kind == RECORD_HANDSHAKE && r->body[0] == DTLS_SERVER_HELLO)
		z->cipher = keys_cipher_of_hello(r->body, r->length);
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

void keys_reseal(gnutls_session_t s, struct flight *f, enum record_cipher c, struct record_cache *cache,
		 uint8_t *scratch)
{
	struct reseal z = { .session = s, .cache = cache, .scratch = scratch, .cipher = c };
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
