/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_names: all names that a client goes by after its handshake, for rules about clients (route.h). */
#ifndef DTLSD_TLS_NAMES_H
#define DTLSD_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/x509.h>

#define TLS_NAMES_SIZE 16384

/*
 * Of a PSK "psk:IDENTITY" and the identity alone. Of a raw public key "rpk:sha256:" and its fingerprint. Of a certificate its subject ("CN=x,O=y"), "sha256:" and its
 * fingerprint in small hex digits, each common name, and each DNS name (in small letters), URI, mail and IP address of its SANs. What stands
 * alone is left out where it looks like one of the forms with a prefix. Unprintable bytes are written as \xNN.
 */
struct tls_names {
	char text[TLS_NAMES_SIZE]; /* each ends with NUL; behind the last there is another one */
	size_t len;
	bool cut;                  /* there was no room for all of them, or one cannot be read */
};

/* It was verified in this handshake, or in the one that this one resumes. leaf: of tls_peer_leaf. */
void tls_names(gnutls_session_t s, gnutls_x509_crt_t leaf, struct tls_names *out);

#endif
