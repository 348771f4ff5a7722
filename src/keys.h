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
 * Protects our Finished anew, as the next record, in a flight that is sent again before the peer's
 * Finished has come: in a resumption ours goes first, and the peer may have it while its own was
 * lost. It repeats its own when it sees ours again, but its replay window drops the same record (RFC 6347
 * 4.2.4 has retransmitted messages in new records). Nothing happens to a flight without a Finished.
 * scratch: KEYS_SCRATCH bytes, which are wiped.
 */
void keys_reseal(gnutls_session_t s, struct flight *f, struct record_cache *cache, uint8_t *scratch);

#endif
