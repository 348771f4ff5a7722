/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_about: what a handshake has told of the client, for handlers that pass it on. */
#ifndef DTLSD_TLS_ABOUT_H
#define DTLSD_TLS_ABOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/x509.h>

#define TLS_ABOUT_TEXT 256
#define TLS_ALPN_MOST 31 /* bytes of a protocol's name: GnuTLS takes no longer ones */

/* Texts are "" and lengths 0 where there is nothing to say, or more than has room. */
struct tls_about {
	char server_name[TLS_ABOUT_TEXT]; /* that the client asked for (RFC 6066 3) */
	char alpn[TLS_ALPN_MOST + 1];     /* the protocol that was agreed on (RFC 7301) */
	char common_name[TLS_ABOUT_TEXT]; /* of its certificate */
	char cipher[64];                  /* the suite */
	uint8_t psk_identity[TLS_ABOUT_TEXT];
	size_t psk_identity_len;
	bool certificate; /* it has shown one, here or in the handshake that this one resumes; it was verified */
};

/* After a handshake; leaf: of tls_peer_leaf. */
void tls_about(gnutls_session_t s, gnutls_x509_crt_t leaf, struct tls_about *out);
/* Of that the protocol alone. */
void tls_about_alpn(gnutls_session_t s, char out[static TLS_ALPN_MOST + 1]);

#endif
