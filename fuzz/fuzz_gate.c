/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gate: whoever has not shown the cookie of this address, hello and time is not admitted, and gets at
 * most one answer that is no longer than the question; who shows it is admitted.
 * The input is a number that chooses the peer's port and a datagram.
 */
#include <assert.h>
#include <stdlib.h>

#include "fuzz.h"
#include "gate.h"
#include "siphash.h"
#include "wire.h"

#define LIFETIME_S 60
#define NOW_S (1000 * LIFETIME_S)

static struct flow make_flow(uint16_t port)
{
	struct flow f = { { .port = port, .family = AF_INET }, { .port = 4433, .family = AF_INET } };

	memcpy(f.peer.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x09", 16);
	memcpy(f.local.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01", 16);
	return f;
}

/* Other keys for each input, or a cookie made for one would be a forgery in the next. */
static uint8_t master[COOKIE_MASTER_SIZE];

static struct cookie_ring ring_at(uint64_t wall_s)
{
	struct cookie_ring keys;

	cookie_init(&keys, master, LIFETIME_S);
	cookie_turn(&keys, wall_s);
	return keys;
}

/* The same hello with another cookie, in a record of one whole message. NULL: it would be too large. */
static uint8_t *with_cookie(const struct hello *h, const uint8_t *cookie, uint8_t cookie_len, size_t *len)
{
	size_t before = (size_t)(h->cookie - h->msg), after = h->msg_length - before - h->cookie_length;
	size_t body;
	uint8_t *out;

	*len = before + cookie_len + after;
	body = *len - DTLS_RECORD_HEADER - DTLS_HANDSHAKE_HEADER;
	if (body + DTLS_HANDSHAKE_HEADER > DTLS_PLAINTEXT_MAX)
		return NULL;
	out = malloc(*len);
	assert(out);
	memcpy(out, h->msg, before);
	out[before - 1] = cookie_len;
	memcpy(out + before, cookie, cookie_len);
	memcpy(out + before + cookie_len, h->cookie + h->cookie_length, after);
	wire_put16(out + 11, (uint16_t)(*len - DTLS_RECORD_HEADER));
	wire_put24(out + DTLS_RECORD_HEADER + 1, (uint32_t)body);
	wire_put24(out + DTLS_RECORD_HEADER + 6, 0);
	wire_put24(out + DTLS_RECORD_HEADER + 9, (uint32_t)body);
	return out;
}

static void check_answer(const struct hello *h, struct gate_result *answer)
{
	struct handshake_fragment f;
	struct record r;
	size_t at = 0;

	assert(answer->answer_len <= h->msg_length && answer->answer_len <= GATE_ANSWER_MAX);
	assert(answer->stale == (h->cookie_length > 0));
	assert(classify_record(answer->answer, answer->answer_len, &at, &r) == RECORD_HANDSHAKE);
	assert(at == answer->answer_len && r.seq == h->record_seq);
	at = 0;
	assert(classify_handshake(r.body, r.length, &at, &f) == 1 && at == r.length);
	assert(f.type == DTLS_HELLO_VERIFY_REQUEST && f.offset == 0 && f.fragment_length == f.length);
	assert(f.message_seq == h->message_seq);
	assert(f.length == 3U + f.body[2] && f.body[2] > 0);
}

static enum gate_verdict check_at(uint64_t wall_s, const struct flow *flow, const struct hello *h)
{
	struct cookie_ring keys = ring_at(wall_s);
	struct gate_result out;

	return gate_check(&keys, flow, h, &out);
}

static void check_return(const struct flow *flow, const struct hello *h, const struct gate_result *answer)
{
	const uint8_t *cookie = answer->answer + DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + 3;
	struct flow other = *flow;
	struct gate_result out;
	struct cookie_ring keys = ring_at(NOW_S);
	struct hello again;
	struct record r;
	size_t at = 0, len;
	uint8_t *data = with_cookie(h, cookie, cookie[-1], &len);

	if (!data)
		return;
	/* what follows the first message in the record is now a part of it: still a hello */
	assert(classify_record(data, len, &at, &r) == RECORD_HELLO && classify_hello(&r, &again));
	assert(gate_check(&keys, flow, &again, &out) == GATE_ADMIT);
	assert(out.prestate.hsk_read_seq == again.message_seq);
	assert(check_at(NOW_S + LIFETIME_S, flow, &again) == GATE_ADMIT);
	assert(check_at(NOW_S + 2 * LIFETIME_S, flow, &again) != GATE_ADMIT);
	other.peer.port ^= 1;
	assert(check_at(NOW_S, &other, &again) != GATE_ADMIT);
	other = *flow;
	other.local.ip[15] ^= 1;
	assert(check_at(NOW_S, &other, &again) != GATE_ADMIT);
	data[again.random - data] ^= 0x80;
	assert(check_at(NOW_S, flow, &again) != GATE_ADMIT);
	data[again.random - data] ^= 0x80;
	data[again.cookie - data + again.cookie_length - 1] ^= 1;
	assert(check_at(NOW_S, flow, &again) != GATE_ADMIT);
	free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct flow flow = make_flow(fuzz_u16(&in));
	uint8_t *copy = fuzz_copy(in.at, in.left);
	struct cookie_ring keys;
	size_t at = 0;
	struct record r;

	wire_put64(master, siphash(&(struct siphash_key){ 1, 2 }, data, size));
	keys = ring_at(NOW_S);
	while (classify_record(copy, in.left, &at, &r) != RECORD_END) {
		struct gate_result out;
		struct hello h;

		if (!classify_hello(&r, &h))
			continue;
		/* no input can hold a good cookie: that would be a forged HMAC */
		if (gate_check(&keys, &flow, &h, &out) == GATE_CHALLENGE) {
			check_answer(&h, &out);
			check_return(&flow, &h, &out);
		} else {
			assert(check_at(NOW_S, &flow, &h) == GATE_DROP);
		}
	}
	assert(in.left == 0 || memcmp(copy, in.at, in.left) == 0);
	free(copy);
	return 0;
}
