/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate.h"

#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "wire.h"

static ssize_t keep_answer(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct gate_result *out = ptr;

	if (len > sizeof(out->answer))
		return -1;
	memcpy(out->answer, data, len);
	out->answer_len = len;
	return (ssize_t)len;
}

static bool verify(const uint8_t *key, struct cookie_data *data, const struct hello *hello,
		   gnutls_dtls_prestate_st *prestate)
{
	gnutls_datum_t k = { (uint8_t *)(uintptr_t)key, COOKIE_KEY_SIZE };

	/* GnuTLS reads the message at fixed offsets and does not write to it; classify has checked them */
	return gnutls_dtls_cookie_verify(&k, data, sizeof(*data), (void *)(uintptr_t)hello->msg,
					 hello->msg_length, prestate) == 0;
}

static enum gate_verdict challenge(const struct cookie_ring *keys, struct cookie_data *data,
				   const struct hello *hello, struct gate_result *out)
{
	gnutls_datum_t k = { (uint8_t *)(uintptr_t)keys->current, COOKIE_KEY_SIZE };

	memset(&out->prestate, 0, sizeof(out->prestate));
	out->answer_len = 0;
	if (gnutls_dtls_cookie_send(&k, data, sizeof(*data), &out->prestate, out, keep_answer) < 0 ||
	    out->answer_len < DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER ||
	    out->answer_len > hello->msg_length)
		return GATE_DROP;
	/*
	 * The record sequence is that of the hello, all six bytes (RFC 6347 4.2.1), and the message sequence
	 * too: 0 for the first exchange, 1 when the client must be asked a second time. The prestate
	 * holds one byte of each.
	 */
	wire_put48(out->answer + 5, hello->record_seq);
	wire_put16(out->answer + DTLS_RECORD_HEADER + 4, hello->message_seq);
	return GATE_CHALLENGE;
}

enum gate_verdict gate_check(const struct cookie_ring *keys, const struct flow *flow,
			     const struct hello *hello, struct gate_result *out)
{
	struct cookie_data data;

	cookie_bind(&data, flow, hello->random);
	memset(&out->prestate, 0, sizeof(out->prestate));
	out->stale = hello->cookie_length > 0;
	/* without a cookie there is nothing to verify: one HMAC answers */
	if (hello->cookie_length > 0 && (verify(keys->current, &data, hello, &out->prestate) ||
					 verify(keys->previous, &data, hello, &out->prestate))) {
		out->prestate.record_seq = (unsigned)hello->record_seq;
		out->prestate.hsk_read_seq = hello->message_seq;
		/* gnutls_dtls_prestate_set adds one: the ServerHello answers with the hello's own number */
		out->prestate.hsk_write_seq = hello->message_seq - 1U;
		return GATE_ADMIT;
	}
	return challenge(keys, &data, hello, out);
}
