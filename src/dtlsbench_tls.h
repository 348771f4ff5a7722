/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_tls: one client's handshake by GnuTLS, sans I/O: with whatever suite, certificate or pre-shared key both
 * sides agree on, verified or not, and resumed where a session is at hand. Once it is done the keys are taken and
 * GnuTLS is left.
 */
#ifndef DTLSD_DTLSBENCH_TLS_H
#define DTLSD_DTLSBENCH_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "dtlsbench_shake.h"
#include "dtlsc_cred.h"
#include "record.h"

#define TLS_WHY_MAX 256

/* What all clients share. */
struct tls_setup {
	struct cred cred;
	bool verify;
	bool tickets;
	unsigned mtu, retransmit_ms, timeout_ms;
	gnutls_datum_t resume; /* the session that all resume; size 0: none */
};

/* One record of a flight. They are to be sent in order, and may share a datagram. */
typedef void tls_emit(void *ctx, const uint8_t *record, size_t len);

/* One handshake. All zero before the first use; may be begun again after tls_end. */
struct tls_client {
	gnutls_session_t session;
	const struct tls_setup *setup;
	tls_emit *emit;
	void *ctx;
	uint8_t *fed; /* the datagram that GnuTLS has not taken yet */
	size_t fed_len;
	char why[TLS_WHY_MAX];
};

/* Never SHAKE_SEND: flights leave through emit. */
enum shake_verdict tls_begin(struct tls_client *t, const struct tls_setup *setup, tls_emit *emit, void *ctx);
/* One datagram from the server. */
enum shake_verdict tls_feed(struct tls_client *t, uint8_t *data, size_t len);
/* Time has passed: GnuTLS repeats its flight if it thinks that it is time to. */
enum shake_verdict tls_again(struct tls_client *t);

/* After SHAKE_DONE. false: why says that this generator has no such cipher. */
bool tls_take(struct tls_client *t, struct record_state *record, bool *resumed);
/* After SHAKE_DONE: the session for others to resume. 0 or a GnuTLS error. */
int tls_save(struct tls_client *t, gnutls_datum_t *out);
void tls_end(struct tls_client *t);

#endif
