/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gate: the stateless cookie exchange (RFC 6347 4.2.1) in front of everything that costs memory.
 * Allocates nothing, whatever comes.
 */
#ifndef DTLSD_GATE_H
#define DTLSD_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>
#include <gnutls/dtls.h>

#include "classify.h"
#include "cookie.h"

enum gate_verdict {
	GATE_DROP,      /* no answer */
	GATE_CHALLENGE, /* answer is a HelloVerifyRequest for the peer; nothing is remembered */
	GATE_ADMIT      /* the peer receives at its address; prestate is for gnutls_dtls_prestate_set */
};

#define GATE_ANSWER_MAX 64

struct gate_result {
	gnutls_dtls_prestate_st prestate; /* ADMIT */
	bool stale;                       /* CHALLENGE: a cookie was there, but is not one of ours (any more) */
	size_t answer_len;                /* CHALLENGE */
	uint8_t answer[GATE_ANSWER_MAX];
};

/*
 * The keys must have been turned to the present. The cookie is bound to flow and to the hello's random, so a
 * cookie proves one address for one hello. Also right when a second HelloVerifyRequest is needed
 * because the keys turned meanwhile: record and message sequence are taken from the hello.
 */
enum gate_verdict gate_check(const struct cookie_ring *keys, const struct flow *flow,
			     const struct hello *hello, struct gate_result *out);

#endif
