/* SPDX-License-Identifier: BSD-2-Clause */
#include "record.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#define NONCE_SIZE 12
#define AAD_SIZE 13 /* epoch and sequence 8, type 1, version 2, plaintext length 2 */

enum record_side { SIDE_READ, SIDE_WRITE };

/*
 * Handles are made for whoever asks, and a session chosen at random out of many comes once: what it displaces should
 * be memory that the processor's cache still holds, and not what served the sessions that talk all the time. So once
 * all entries are taken, newcomers displace each other within a window of few entries, and it moves on by its own
 * length now and then, for those that talk now to displace those that did.
 */
#define WINDOW 64
#define WINDOW_ROUNDS 16

enum record_use {
	USE_NONE,  /* since the last visit */
	USE_KEYED, /* for one record, or for it and the answer */
	USE_AGAIN
};

struct record_entry {
	uint64_t ticket; /* of the state it serves; 0: nobody */
	gnutls_aead_cipher_hd_t handle[2]; /* by enum record_side; NULL: not keyed yet */
	uint32_t next; /* free entry; the number of entries: there is no further one */
	uint8_t use; /* enum record_use */
};

struct record_cache {
	uint64_t next_ticket;
	uint64_t misses;
	uint32_t count;
	uint32_t free; /* the first free entry */
	uint32_t window; /* its first entry */
	uint32_t visited; /* entries since the window moved */
	uint32_t cooled; /* where record_cache_cool goes on */
	struct record_entry entry[];
};

struct record_params {
	const char *name;
	gnutls_cipher_algorithm_t algorithm;
	uint8_t key_size;
	uint8_t iv_size;
	uint8_t explicit_size; /* nonce bytes in the record */
	uint8_t tag_size;
};

static const struct record_params record_params[] = {
	[RECORD_CIPHER_NONE] = { "none", GNUTLS_CIPHER_UNKNOWN, 0, 0, 0, 0 },
	[RECORD_AES_128_GCM] = { "AES-128-GCM", GNUTLS_CIPHER_AES_128_GCM, 16, 4, 8, 16 },
	[RECORD_AES_256_GCM] = { "AES-256-GCM", GNUTLS_CIPHER_AES_256_GCM, 32, 4, 8, 16 },
	[RECORD_CHACHA20_POLY1305] = { "CHACHA20-POLY1305", GNUTLS_CIPHER_CHACHA20_POLY1305, 32, 12, 0, 16 },
	[RECORD_AES_128_CCM] = { "AES-128-CCM", GNUTLS_CIPHER_AES_128_CCM, 16, 4, 8, 16 },
	[RECORD_AES_256_CCM] = { "AES-256-CCM", GNUTLS_CIPHER_AES_256_CCM, 32, 4, 8, 16 },
	[RECORD_AES_128_CCM_8] = { "AES-128-CCM-8", GNUTLS_CIPHER_AES_128_CCM_8, 16, 4, 8, 8 },
	[RECORD_AES_256_CCM_8] = { "AES-256-CCM-8", GNUTLS_CIPHER_AES_256_CCM_8, 32, 4, 8, 8 },
};
#define RECORD_CIPHERS (sizeof(record_params) / sizeof(record_params[0]))

/* A million idle sessions hold a million of these, each cut off behind its keys. */
static_assert(offsetof(struct record_state, secret) == 35, "struct record_state has grown");

/* ---- the cache ---- */

struct record_cache *record_cache_new(unsigned entries)
{
	struct record_cache *c;

	assert(entries >= 1 && entries <= RECORD_CACHE_MAX);
	c = calloc(1, sizeof(*c) + entries * sizeof(c->entry[0]));
	if (!c)
		return NULL;
	c->count = entries;
	c->next_ticket = 1;
	for (uint32_t i = 0; i < entries; i++)
		c->entry[i].next = i + 1;
	return c;
}

/*
 * Handles are made anew for each owner. gnutls_aead_cipher_set_key would be cheaper, but an AES-GCM
 * handle of GnuTLS 3.7.9 makes wrong tags once it has been given a second key.
 */
static void record_entry_free(struct record_cache *c, struct record_entry *e)
{
	for (int side = SIDE_READ; side <= SIDE_WRITE; side++) {
		if (e->handle[side])
			gnutls_aead_cipher_deinit(e->handle[side]);
	}
	*e = (struct record_entry){ .ticket = 0, .next = c->free };
	c->free = (uint32_t)(e - c->entry);
}

void record_cache_free(struct record_cache *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->count; i++) {
		if (c->entry[i].ticket)
			record_entry_free(c, &c->entry[i]);
	}
	free(c);
}

uint64_t record_cache_misses(const struct record_cache *c)
{
	return c->misses;
}

unsigned record_cache_cool(struct record_cache *c, unsigned n)
{
	unsigned freed = 0;

	for (; n > 0; n--) {
		struct record_entry *e = &c->entry[c->cooled];

		c->cooled = (c->cooled + 1) % c->count;
		if (e->ticket && e->use == USE_NONE) {
			record_entry_free(c, e);
			freed++;
		}
		e->use = USE_NONE;
	}
	return freed;
}

static bool record_owns_entry(const struct record_state *s, const struct record_cache *c)
{
	assert(s->cache_slot < c->count);
	return s->cache_ticket != 0 && c->entry[s->cache_slot].ticket == s->cache_ticket;
}

/* The next of the window that was not used again since it was visited or keyed; those that were have another round. */
static struct record_entry *record_entry_displaced(struct record_cache *c)
{
	uint32_t window = c->count < WINDOW ? c->count : WINDOW;

	for (;;) {
		struct record_entry *e = &c->entry[(c->window + c->visited % window) % c->count];

		if (++c->visited == window * WINDOW_ROUNDS) {
			c->visited = 0;
			c->window = (c->window + window) % c->count;
		}
		if (e->use != USE_AGAIN)
			return e;
		e->use = USE_KEYED;
	}
}

static struct record_entry *record_entry_claim(struct record_state *s, struct record_cache *c)
{
	struct record_entry *e;

	if (c->free == c->count)
		record_entry_free(c, record_entry_displaced(c));
	e = &c->entry[c->free];
	s->cache_slot = (uint16_t)c->free;
	c->free = e->next;
	e->ticket = s->cache_ticket = c->next_ticket++;
	return e;
}

/* Takes the handles of some entry that has some, other than keep. false: there is none. */
static bool record_make_room(struct record_cache *c, const struct record_entry *keep)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct record_entry *e = &c->entry[(c->window + i) % c->count];

		if (e == keep || !e->ticket)
			continue;
		record_entry_free(c, e);
		return true;
	}
	return false;
}

static inline uint8_t *record_iv(struct record_state *s, const struct record_params *p, enum record_side side)
{
	return s->secret + side * p->iv_size;
}

static inline uint8_t *record_key(struct record_state *s, const struct record_params *p, enum record_side side)
{
	return s->secret + 2 * p->iv_size + side * p->key_size;
}

static __attribute__((noinline)) gnutls_aead_cipher_hd_t
record_handle_key(struct record_state *s, struct record_cache *c, enum record_side side)
{
	const struct record_params *p = &record_params[s->cipher];
	gnutls_datum_t key = { record_key(s, p, side), p->key_size };
	struct record_entry *e;
	int err;

	assert(s->cipher != RECORD_CIPHER_NONE);
	e = record_owns_entry(s, c) ? &c->entry[s->cache_slot] : record_entry_claim(s, c);
	c->misses++;
	/* without memory the sessions serve each other's handles: slower, but all are served */
	do
		err = gnutls_aead_cipher_init(&e->handle[side], p->algorithm, &key);
	while (err == GNUTLS_E_MEMORY_ERROR && record_make_room(c, e));
	if (err < 0) {
		e->handle[side] = NULL;
		record_entry_free(c, e);
		return NULL;
	}
	if (e->use == USE_NONE)
		e->use = USE_KEYED;
	return e->handle[side];
}

static inline gnutls_aead_cipher_hd_t record_handle(struct record_state *s, struct record_cache *c,
						    enum record_side side)
{
	struct record_entry *e = &c->entry[s->cache_slot];

	assert(s->cache_slot < c->count);
	if (e->ticket != s->cache_ticket || !e->handle[side])
		return record_handle_key(s, c, side);
	e->use = USE_AGAIN;
	return e->handle[side];
}

void record_expect_entry(const struct record_state *s, const struct record_cache *c)
{
	__builtin_prefetch(&c->entry[s->cache_slot], 1);
}

/* What a handle of AES-GCM takes of malloc lies together as a rule, and nothing breaks where it does not. */
#define HANDLE_SIZE 752

void record_expect_handles(const struct record_state *s, const struct record_cache *c)
{
	const struct record_entry *e = &c->entry[s->cache_slot];

	if (s->cache_ticket == 0 || e->ticket != s->cache_ticket)
		return;
	for (int side = SIDE_READ; side <= SIDE_WRITE; side++)
		for (size_t at = 0; at < HANDLE_SIZE; at += 64)
			__builtin_prefetch((const char *)e->handle[side] + at);
}

/* ---- ciphers ---- */

const char *record_cipher_name(enum record_cipher c)
{
	assert(c < RECORD_CIPHERS);
	return record_params[c].name;
}

enum record_cipher record_cipher_from_gnutls(int gnutls_cipher)
{
	for (unsigned i = RECORD_CIPHER_NONE + 1; i < RECORD_CIPHERS; i++) {
		if ((int)record_params[i].algorithm == gnutls_cipher)
			return (enum record_cipher)i;
	}
	return RECORD_CIPHER_NONE;
}

size_t record_key_size(enum record_cipher c)
{
	assert(c < RECORD_CIPHERS);
	return record_params[c].key_size;
}

size_t record_iv_size(enum record_cipher c)
{
	assert(c < RECORD_CIPHERS);
	return record_params[c].iv_size;
}

size_t record_overhead(enum record_cipher c)
{
	assert(c < RECORD_CIPHERS);
	return (size_t)DTLS_RECORD_HEADER + record_params[c].explicit_size + record_params[c].tag_size;
}

size_t record_size(enum record_cipher c)
{
	assert(c < RECORD_CIPHERS);
	return offsetof(struct record_state, secret) + 2 * ((size_t)record_params[c].iv_size + record_params[c].key_size);
}

/* ---- states ---- */

static void record_set_secret(struct record_state *s, enum record_side side, const struct record_direction *d)
{
	const struct record_params *p = &record_params[s->cipher];

	memcpy(record_iv(s, p, side), d->iv, p->iv_size);
	memcpy(record_key(s, p, side), d->key, p->key_size);
}

void record_init(struct record_state *s, enum record_cipher cipher, const struct record_direction *read,
		 uint64_t read_seq, const struct record_direction *write, uint64_t write_seq)
{
	assert(cipher != RECORD_CIPHER_NONE && cipher < RECORD_CIPHERS);
	*s = (struct record_state){
		.write_seq = write_seq,
		.read_epoch = (uint16_t)(read_seq >> 48),
		.read_next = read_seq & DTLS_SEQ_MAX,
		.read_window = UINT64_MAX,
		.cipher = (uint8_t)cipher,
	};
	record_set_secret(s, SIDE_READ, read);
	record_set_secret(s, SIDE_WRITE, write);
}

void record_wipe(struct record_state *s, struct record_cache *c)
{
	if (record_owns_entry(s, c))
		record_entry_free(c, &c->entry[s->cache_slot]);
	explicit_bzero(s, record_size(s->cipher));
}

static bool record_seen(const struct record_state *s, uint64_t seq)
{
	uint64_t back;

	if (seq >= s->read_next)
		return false;
	back = s->read_next - 1 - seq;
	return back >= RECORD_REPLAY_WINDOW || (s->read_window >> back & 1);
}

/* true: seq is above all before. */
static bool record_mark_seen(struct record_state *s, uint64_t seq)
{
	uint64_t ahead;

	if (seq < s->read_next) {
		s->read_window |= UINT64_C(1) << (s->read_next - 1 - seq);
		return false;
	}
	ahead = seq + 1 - s->read_next;
	s->read_window = ahead >= RECORD_REPLAY_WINDOW ? 1 : s->read_window << ahead | 1;
	s->read_next = seq + 1;
	return true;
}

/* ---- protection ---- */

/*
 * seq: the 8 bytes of epoch and sequence; explicit: the 8 bytes of nonce that GCM and CCM records
 * carry (RFC 5288 3, RFC 6655 3). ChaCha20 has none and takes seq instead (RFC 7905 2).
 */
static inline void record_nonce(uint8_t nonce[static NONCE_SIZE], const struct record_params *p,
				const uint8_t *iv, const uint8_t *seq, const uint8_t *explicit)
{
	uint64_t a, b;

	memcpy(nonce, iv, 4);
	if (p->explicit_size) {
		memcpy(nonce + 4, explicit, 8);
		return;
	}
	memcpy(&a, iv + 4, 8);
	memcpy(&b, seq, 8);
	a ^= b;
	memcpy(nonce + 4, &a, 8);
}

static inline void record_aad(uint8_t aad[static AAD_SIZE], const uint8_t *header, size_t plain_len)
{
	memcpy(aad, header + 3, 8);
	memcpy(aad + 8, header, 3);
	wire_put16(aad + 11, (uint16_t)plain_len);
}

ssize_t record_protect(struct record_state *s, struct record_cache *c, uint8_t type, const uint8_t *in,
		       size_t len, uint8_t *out, size_t out_size)
{
	const struct record_params *p = &record_params[s->cipher];
	uint8_t *body = out + DTLS_RECORD_HEADER + p->explicit_size;
	uint8_t nonce[NONCE_SIZE], aad[AAD_SIZE];
	size_t sealed = len + p->tag_size;
	gnutls_aead_cipher_hd_t handle;

	if (len > DTLS_PLAINTEXT_MAX)
		return -EMSGSIZE;
	if (out_size < (size_t)(body - out) + sealed)
		return -ENOSPC;
	/* The last number is never used: counting on from it would run into the next epoch. */
	if ((s->write_seq & DTLS_SEQ_MAX) >= DTLS_SEQ_MAX - (type == DTLS_ALERT ? 0 : 1))
		return -EOVERFLOW;
	handle = record_handle(s, c, SIDE_WRITE);
	if (!handle)
		return -ENOMEM;

	out[0] = type;
	wire_put16(out + 1, DTLS_VERSION_1_2);
	wire_put64(out + 3, s->write_seq);
	wire_put16(out + 11, (uint16_t)(p->explicit_size + sealed));
	if (p->explicit_size)
		memcpy(out + DTLS_RECORD_HEADER, out + 3, 8);
	record_nonce(nonce, p, record_iv(s, p, SIDE_WRITE), out + 3, out + 3);
	record_aad(aad, out, len);
	if (gnutls_aead_cipher_encrypt(handle, nonce, NONCE_SIZE, aad, AAD_SIZE, p->tag_size, in, len, body,
				       &sealed) < 0)
		return -ENOMEM;
	s->write_seq++;
	return body + sealed - out;
}

/* What needs no key. Returns the plaintext's length. */
static inline ssize_t record_check(const struct record_state *s, const struct record *r)
{
	const struct record_params *p = &record_params[s->cipher];
	size_t overhead = (size_t)p->explicit_size + p->tag_size;

	if (r->epoch != s->read_epoch || r->version != DTLS_VERSION_1_2 || r->length < overhead)
		return -EBADMSG;
	if (r->length - overhead > DTLS_PLAINTEXT_MAX)
		return -EMSGSIZE;
	return (ssize_t)(r->length - overhead);
}

/* r has passed record_check, which gave len; plain may be where the ciphertext lies. */
static inline ssize_t record_open(struct record_state *s, struct record_cache *c, const struct record *r,
				  size_t len, uint8_t *plain)
{
	const struct record_params *p = &record_params[s->cipher];
	uint8_t nonce[NONCE_SIZE], aad[AAD_SIZE];
	gnutls_aead_cipher_hd_t handle = record_handle(s, c, SIDE_READ);

	if (!handle)
		return -ENOMEM;
	record_nonce(nonce, p, record_iv(s, p, SIDE_READ), r->header + 3, r->body);
	record_aad(aad, r->header, len);
	if (gnutls_aead_cipher_decrypt(handle, nonce, NONCE_SIZE, aad, AAD_SIZE, p->tag_size,
				       r->body + p->explicit_size, r->length - p->explicit_size, plain,
				       &len) < 0)
		return -EBADMSG;
	return (ssize_t)len;
}

ssize_t record_unprotect(struct record_state *s, struct record_cache *c, const struct record *r,
			 uint8_t **plain, bool *newest)
{
	ssize_t len = record_check(s, r);
	bool is_newest;

	if (newest)
		*newest = false;
	if (len < 0)
		return len;
	if (record_seen(s, r->seq))
		return -EALREADY;
	*plain = r->body + record_params[s->cipher].explicit_size;
	len = record_open(s, c, r, (size_t)len, *plain);
	if (len < 0)
		return len;
	is_newest = record_mark_seen(s, r->seq);
	if (newest)
		*newest = is_newest;
	return len;
}

ssize_t record_peek(struct record_state *s, struct record_cache *c, const struct record *r, uint8_t *plain)
{
	ssize_t len = record_check(s, r);

	return len < 0 ? len : record_open(s, c, r, (size_t)len, plain);
}
