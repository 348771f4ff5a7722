/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record: nothing opens that was not sealed, nothing opens twice, and what was sealed opens once, as it
 * was, as long as the window has not passed it.
 * The input is a cipher, a size for the cache, and a program: seal, deliver what was sealed, deliver it
 * changed, deliver the input's own bytes, let another session use the cache.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fuzz.h"
#include "record.h"
#include "siphash.h"

#define SEALED_MAX 96
#define PLAIN_MAX 200
#define EPOCH_1 (UINT64_C(1) << 48)
#define WIRE_MAX (DTLS_PLAINTEXT_MAX + 4096)

struct sealed {
	uint64_t seq;
	size_t len, plain_len;
	uint8_t plain[PLAIN_MAX];
	uint8_t wire[PLAIN_MAX + RECORD_OVERHEAD_MAX];
	bool opened;
};

static struct sealed sealed[SEALED_MAX];
static unsigned sealed_count;
static uint64_t newest_opened; /* + 1; 0: none */

struct pair {
	struct record_state sender, receiver;
};

static void pair_init(struct pair *p, enum record_cipher c, uint64_t salt, uint64_t first)
{
	struct record_direction up = { .key = { 1 }, .iv = { 2 } }, down = { .key = { 3 }, .iv = { 4 } };

	wire_put64(up.key + 1, salt);
	wire_put64(down.key + 1, salt);
	record_init(&p->sender, c, &down, EPOCH_1, &up, EPOCH_1 | first);
	record_init(&p->receiver, c, &up, EPOCH_1 | first, &down, EPOCH_1);
}

static void seal(struct pair *p, struct record_cache *c, struct fuzz_input *in)
{
	struct sealed *s = &sealed[sealed_count];
	uint8_t type = (uint8_t)(DTLS_CHANGE_CIPHER_SPEC + fuzz_u8(in) % 4);
	const uint8_t *text;
	unsigned skip;
	ssize_t n;

	if (sealed_count == SEALED_MAX)
		return;
	skip = fuzz_u8(in) & 0x0f ? 0 : fuzz_u8(in);
	if ((p->sender.write_seq & DTLS_SEQ_MAX) + skip < DTLS_SEQ_MAX)
		p->sender.write_seq += skip; /* as if some had been lost */
	s->plain_len = fuzz_u8(in) % PLAIN_MAX;
	text = fuzz_bytes(in, &s->plain_len);
	memcpy(s->plain, text, s->plain_len);
	s->seq = p->sender.write_seq & DTLS_SEQ_MAX;
	n = record_protect(&p->sender, c, type, s->plain, s->plain_len, s->wire, sizeof(s->wire));
	if (n == -EOVERFLOW)
		return;
	assert(n == (ssize_t)(s->plain_len + record_overhead((enum record_cipher)p->sender.cipher)));
	s->len = (size_t)n;
	s->opened = false;
	sealed_count++;
}

/* The sealed record that these bytes are, NULL: none. */
static struct sealed *find(const uint8_t *wire, size_t len)
{
	for (unsigned i = 0; i < sealed_count; i++)
		if (sealed[i].len == len && memcmp(sealed[i].wire, wire, len) == 0)
			return &sealed[i];
	return NULL;
}

static void check_opened(const struct record *r, struct sealed *s, const uint8_t *plain, size_t len,
			 bool newest)
{
	assert(s && s->seq == r->seq);
	assert(!s->opened);
	assert(s->plain_len == len && memcmp(s->plain, plain, len) == 0);
	assert(newest == (newest_opened <= s->seq));
	s->opened = true;
	if (newest)
		newest_opened = s->seq + 1;
}

static void check_refused(const struct record *r, const struct sealed *s, ssize_t why)
{
	switch (why) {
	case -EALREADY:
		/* the window knows numbers, not contents */
		assert(newest_opened > 0 || s == NULL);
		assert(r->seq < newest_opened || s == NULL);
		assert(!s || s->opened || newest_opened - 1 - s->seq >= RECORD_REPLAY_WINDOW);
		break;
	case -EBADMSG:
	case -EMSGSIZE:
		assert(s == NULL);
		break;
	default:
		assert(0);
	}
}

/* One datagram, which may hold several records. */
static void deliver(struct pair *p, struct record_cache *c, const uint8_t *data, size_t size)
{
	static uint8_t peeked[WIRE_MAX + 2048];
	uint8_t *wire = fuzz_copy(data, size);
	size_t at = 0;
	struct record r;
	enum record_kind kind;

	while ((kind = classify_record(wire, size, &at, &r)) != RECORD_END) {
		struct record_state before = p->receiver;
		struct sealed *s;
		uint8_t *plain = NULL;
		ssize_t n, peek;
		bool newest = true;

		if (kind != RECORD_PROTECTED)
			continue;
		s = find(r.header, DTLS_RECORD_HEADER + r.length);
		peek = record_peek(&p->receiver, c, &r, peeked);
		assert((peek >= 0) == (s != NULL));
		n = record_unprotect(&p->receiver, c, &r, &plain, &newest);
		if (n >= 0) {
			assert(plain >= r.body && plain + n <= r.body + r.length);
			assert(peek == n && memcmp(peeked, plain, (size_t)n) == 0);
			check_opened(&r, s, plain, (size_t)n, newest);
			continue;
		}
		assert(!newest);
		check_refused(&r, s, n);
		assert(before.read_next == p->receiver.read_next);
		assert(before.read_window == p->receiver.read_window);
	}
	free(wire);
}

static void deliver_changed(struct pair *p, struct record_cache *c, struct fuzz_input *in)
{
	uint8_t wire[2 * sizeof(sealed[0].wire)];
	uint8_t what = fuzz_u8(in);
	size_t len, at;

	if (sealed_count == 0)
		return;
	len = sealed[what % sealed_count].len;
	memcpy(wire, sealed[what % sealed_count].wire, len);
	switch (fuzz_u8(in) % 4) {
	case 0: /* a byte */
		at = fuzz_u8(in) % len;
		wire[at] ^= fuzz_u8(in);
		break;
	case 1: /* cut, with a length that fits */
		at = fuzz_u8(in) % (len - DTLS_RECORD_HEADER + 1);
		len -= at;
		wire_put16(wire + 11, (uint16_t)(len - DTLS_RECORD_HEADER));
		break;
	case 2: /* one number with another's body */
		memcpy(wire + 3, sealed[fuzz_u8(in) % sealed_count].wire + 3, 8);
		break;
	default: /* two in one datagram */
		what = fuzz_u8(in);
		memcpy(wire + len, sealed[what % sealed_count].wire, sealed[what % sealed_count].len);
		len += sealed[what % sealed_count].len;
	}
	deliver(p, c, wire, len);
}

static void use_cache(struct pair *other, struct record_cache *c)
{
	uint8_t wire[RECORD_OVERHEAD_MAX + 4], *plain;
	ssize_t n = record_protect(&other->sender, c, DTLS_APPLICATION_DATA, (const uint8_t *)"else", 4, wire,
				   sizeof(wire));
	struct record r;
	size_t at = 0;

	assert(n > 0 && classify_record(wire, (size_t)n, &at, &r) == RECORD_PROTECTED);
	assert(record_unprotect(&other->receiver, c, &r, &plain, NULL) == 4 && memcmp(plain, "else", 4) == 0);
}

static void step(struct pair *p, struct pair *other, struct record_cache *c, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in), which;
	const uint8_t *bytes;
	size_t len;

	switch (op % 8) {
	case 0:
	case 1:
	case 2:
		seal(p, c, in);
		break;
	case 3:
	case 4:
		which = fuzz_u8(in);
		if (sealed_count)
			deliver(p, c, sealed[which % sealed_count].wire, sealed[which % sealed_count].len);
		break;
	case 5:
		deliver_changed(p, c, in);
		break;
	case 6:
		len = fuzz_u16(in);
		bytes = fuzz_bytes(in, &len);
		deliver(p, c, bytes, len);
		break;
	default:
		if (op & 8)
			record_cache_cool(c, op >> 4);
		else
			use_cache(other, c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	enum record_cipher cipher = (enum record_cipher)(1 + fuzz_u8(&in) % RECORD_AES_256_CCM_8);
	uint8_t how = fuzz_u8(&in);
	struct record_cache *c = record_cache_new(1 + how % 5);
	/* other keys for each input, or a record sealed for one would be a forgery in the next */
	uint64_t salt = siphash(&(struct siphash_key){ 1, 2 }, data, size);
	struct pair p, other;

	assert(c);
	sealed_count = 0;
	/* from the start, or near the end of the numbers; what is below counts as seen */
	newest_opened = how & 0x80 ? DTLS_SEQ_MAX - 20 : 0;
	pair_init(&p, cipher, salt, newest_opened);
	pair_init(&other, RECORD_AES_128_GCM, salt + 1, 0);
	while (in.left > 0)
		step(&p, &other, c, &in);
	record_wipe(&p.sender, c);
	record_wipe(&p.receiver, c);
	record_wipe(&other.sender, c);
	record_wipe(&other.receiver, c);
	record_cache_free(c);
	return 0;
}
