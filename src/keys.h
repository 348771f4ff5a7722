/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys: what GnuTLS's traffic keys are taken over by (as kernel TLS does), during a handshake and
 * after it.
 */
#ifndef DTLSD_KEYS_H
#define DTLSD_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "flight.h"
#include "record.h"

#define KEYS_SCRATCH 1024 /* a Finished is 24 bytes before protection */

/* One direction's key and IV, and the next sequence number with its epoch. false: not what c needs. */
bool keys_take(gnutls_session_t s, bool read, enum record_cipher c, struct record_direction *out,
	       uint64_t *seq);

/*
 * The state to go on with after a handshake. finished_seq: of the peer's Finished; that is all of epoch 1 that
 * GnuTLS has taken, and it does not export its replay window, so everything else is new, also data that was sent before
 * a Finished that had to be sent again. false: it is none of our ciphers.
 */
bool keys_record(gnutls_session_t s, uint64_t finished_seq, struct record_state *out);

/* The cipher that a whole ServerHello chooses, its 12 header bytes included. */
enum record_cipher keys_cipher_of_hello(const uint8_t *msg, size_t len);

/*
 * Protects our Finished anew, as the next record, in a flight that is sent again before the peer's
 * Finished has come: in a resumption ours goes first, and the peer may have it while its own was
 * lost. It repeats its own when it sees ours again, but its replay window drops the same record (RFC 6347
 * 4.2.4 has retransmitted messages in new records). Nothing happens to a flight without a Finished.
 * c: of the connection, where the flight is not that of the ServerHello. scratch: KEYS_SCRATCH bytes, which are wiped.
 */
void keys_reseal(gnutls_session_t s, struct flight *f, enum record_cipher c, struct record_cache *cache,
		 uint8_t *scratch);

#endif
