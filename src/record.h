/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record: DTLS 1.2 record protection with AEAD ciphers (RFC 6347 4.1.2, RFC 5246 6.2.3.3, RFC 5288,
 * RFC 6655, RFC 7905) on keys taken over from GnuTLS, and the replay window (RFC 6347 4.1.2.6).
 *
 * A session keeps only its keys. The AEAD handles of GnuTLS (752 bytes of heap each for GCM) live in a
 * bounded cache per worker: a hot session finds its own there, a cold one has them made again, and
 * displaces other cold ones rather than a hot one. Entry and state know each other by a ticket that is
 * never given twice, not by address: a state may be moved or freed, and never meets another's keys. All
 * its life a state is used with one cache.
 */
#ifndef DTLSD_RECORD_H
#define DTLSD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "classify.h"
#include "wire.h"

enum record_cipher {
	RECORD_CIPHER_NONE,
	RECORD_AES_128_GCM,
	RECORD_AES_256_GCM,
	RECORD_CHACHA20_POLY1305,
	RECORD_AES_128_CCM,
	RECORD_AES_256_CCM,
	RECORD_AES_128_CCM_8,
	RECORD_AES_256_CCM_8
};

#define RECORD_KEY_MAX 32
#define RECORD_IV_MAX 12
#define RECORD_OVERHEAD_MAX (DTLS_RECORD_HEADER + 8 + 16)
#define RECORD_REPLAY_WINDOW 64

struct record_direction {
	uint8_t key[RECORD_KEY_MAX];
	uint8_t iv[RECORD_IV_MAX]; /* 4-byte salt for GCM and CCM */
};

/*
 * One session's protection. Plain data; wipe with record_wipe. The IVs come before the keys: every record needs them,
 * the keys only make handles. What the cipher does not use of secret is at the end, and nothing here touches it, so
 * that a state may be kept in its first record_size bytes.
 */
struct record_state {
	uint64_t write_seq;          /* epoch in the upper 16 bits: next to be sent */
	uint64_t read_next;          /* highest authentic sequence + 1 */
	uint64_t read_window;        /* bit i: read_next - 1 - i was seen */
	uint64_t cache_ticket : 48;  /* the entry in cache_slot is ours if it has the same; 0: none yet */
	uint64_t cache_slot : 16;
	uint16_t read_epoch;
	uint8_t cipher;              /* enum record_cipher */
	uint8_t secret[2 * (RECORD_IV_MAX + RECORD_KEY_MAX)]; /* IVs, then keys; of each that to read comes first */
};

struct record_cache;
#define RECORD_CACHE_MAX 65536
/* 1 to RECORD_CACHE_MAX entries. NULL: out of memory. */
struct record_cache *record_cache_new(unsigned entries);
void record_cache_free(struct record_cache *c);
/* AEAD handles made so far: every one was a miss. */
uint64_t record_cache_misses(const struct record_cache *c);
/*
 * Frees the handles of those among the next n entries that were not used since their last visit, so that sessions
 * that fell silent cost their keys only. How many that were.
 */
unsigned record_cache_cool(struct record_cache *c, unsigned n);

/* A record of this state is about to come. In this order: its entry of the cache, and its handles, are fetched. */
void record_expect_entry(const struct record_state *s, const struct record_cache *c);
void record_expect_handles(const struct record_state *s, const struct record_cache *c);

/* Name as in GnuTLS priority strings, "AES-128-GCM". */
const char *record_cipher_name(enum record_cipher c);
/* gnutls_cipher_algorithm_t to ours; RECORD_CIPHER_NONE when it is none of the AEADs above. */
enum record_cipher record_cipher_from_gnutls(int gnutls_cipher);
/* Bytes of the key and the IV (or salt) that GnuTLS exports for it. */
size_t record_key_size(enum record_cipher c);
size_t record_iv_size(enum record_cipher c);

/* Bytes of a state that the cipher needs. */
size_t record_size(enum record_cipher c);

/*
 * Starts a state, in a whole struct: read_seq and write_seq are epoch << 48 | the next sequence number. All read
 * sequences below the given one count as seen.
 */
void record_init(struct record_state *s, enum record_cipher cipher,
		 const struct record_direction *read, uint64_t read_seq,
		 const struct record_direction *write, uint64_t write_seq);
/* Overwrites the state and frees the handles that the cache holds for it. */
void record_wipe(struct record_state *s, struct record_cache *c);

/*
 * Bytes that a record adds to its plaintext, header included.
 */
size_t record_overhead(enum record_cipher c);

/*
 * Writes a whole record to out, which has record_overhead() + len bytes, and returns its length.
 * -EMSGSIZE: len > 2^14. -ENOSPC: out too small. -EOVERFLOW: the sequence numbers are used up (RFC 6347
 * 4.1): close; one is left for the alert that says so. -ENOMEM. in and out do not overlap.
 */
ssize_t record_protect(struct record_state *s, struct record_cache *c, uint8_t type,
		       const uint8_t *in, size_t len, uint8_t *out, size_t out_size);

/*
 * Opens r in place: *plain points into r->body. Returns the plaintext's length.
 * -EBADMSG: not authentic (r->body is then garbage), wrong epoch or version, or too short. -EALREADY:
 * replay or older than the window (found before the AEAD runs; r->body is untouched). -EMSGSIZE: more
 * than 2^14. -ENOMEM. The window moves only for an authentic record. *newest, where not NULL: the record
 * is authentic and its sequence is above all before.
 */
ssize_t record_unprotect(struct record_state *s, struct record_cache *c, const struct record *r,
			 uint8_t **plain, bool *newest);

/*
 * As record_unprotect, but without looking at or moving the replay window, and without touching
 * r->body: plain has room for r->length bytes. For a final flight asked for again, and to ask
 * whether a record belongs to this state at all.
 */
ssize_t record_peek(struct record_state *s, struct record_cache *c, const struct record *r,
		    uint8_t *plain);

#endif
