/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls: what a service is (certificates, trust, PSKs, priorities, resumption) as one immutable object
 * for GnuTLS, loaded from files. A reload makes a new one; the old one lives until its last handshake
 * is over (counted references; sharing between threads is safe).
 */
#ifndef DTLSD_TLS_H
#define DTLSD_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "expiry.h"
#include "tls_grant.h"
#include "tls_options.h"
#include "tls_peer.h"
#include "tls_priority.h"
#include "tls_psk.h"
#include "tls_shared.h"

struct tls;
/*
 * Of several certificates GnuTLS takes in each handshake one that has the name that the client asks for (SNI), where
 * there is one, and a key and signatures that the client knows; ECDSA before RSA with the default priorities.
 *
 * Loads and checks everything: files readable, key matches certificate, chain in order, CA present where
 * client certificates are asked for, PSK lines well-formed, at least one of certificate and PSK,
 * priority string valid and left with at least one AEAD cipher after DTLS 1.2 and our ciphers are imposed.
 * Warns (log) of what has run out or soon will, of a chain that is not valid yet and of key files that others may read.
 * NULL: err holds one sentence with file, line where there is one, cause and what to do.
 * When trust (CA, PSKs, verify_client) differs from what shared saw last, the ticket key is replaced and the
 * cache emptied, so that nobody who was removed can resume.
 */
struct tls *tls_load(const struct tls_options *o, struct tls_shared *shared, char *err, size_t err_size);
struct tls *tls_ref(struct tls *t);
void tls_unref(struct tls *t); /* NULL is fine */

/* Whom it lets in. */
const struct tls_grants *tls_grants(const struct tls *t);
const struct tls_psk *tls_psk(const struct tls *t);
/* Who came in with the one might not come in with the other. */
bool tls_trust_differs(const struct tls *a, const struct tls *b);

/* Of its certificates, revocation lists and OCSP responses. */
const struct expiry *tls_expiry(const struct tls *t);

/*
 * A server session, DATAGRAM | NONBLOCK, ready for prestate, transport and gnutls_handshake: GnuTLS's
 * own retransmission and MTU put out of the way (flight does both). Clears the
 * report. Takes no reference: the caller holds one on t until the session is freed. Uses the session's
 * user pointer, database pointer and handshake hook. 0, or a GnuTLS error code, and *out is NULL.
 */
int tls_session_new(struct tls *t, struct tls_report *report, gnutls_session_t *out);

#endif
