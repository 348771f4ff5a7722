/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_peer: what tls knows of the other side of a handshake: is its certificate good, who is it, and in
 * an operator's words why it was refused. Users include tls.h.
 */
#ifndef DTLSD_TLS_PEER_H
#define DTLSD_TLS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/x509.h>

struct psk_key;

/*
 * What one handshake tells about itself beyond GnuTLS's error code. Owned by the handshake, which
 * lends it to tls_session_new; it must outlive the session.
 */
#define TLS_CAUSE_MAX 160
struct tls_report {
	char cause[TLS_CAUSE_MAX]; /* "" or why a certificate or PSK identity was refused, for the log */
	const uint8_t *hello;      /* the ClientHello's body, while it is fed; NULL: something else is */
	size_t hello_len;
	gnutls_priority_t served;  /* by the service */
	const struct psk_key *psk_key; /* what a program said of the client's identity, while it is fed; NULL: nothing */
	bool psk_unknown;          /* the identity was not found; a random key went on in its place */
	uint8_t alert;             /* description that fits the cause better than GnuTLS's own; 0: none */
	uint16_t client_version;   /* from the ClientHello, 0xfeff is DTLS 1.0; 0: not seen */
};

/*
 * The certificate that the peer has shown, for those who read in it after the handshake. NULL: none, a raw key, or out of
 * memory. The caller frees.
 */
gnutls_x509_crt_t tls_peer_leaf(gnutls_session_t s);

/*
 * Who the peer is, once the handshake is done, resumed or not: "CN=client,O=x" (the certificate's subject; when that is
 * empty its first SAN, where it may be a name), "rpk:sha256:HEX" (tls_raw.h), "psk:identity" (unprintable bytes as \xNN),
 * NULL for nobody. malloc'd; the caller frees.
 */
char *tls_identity(gnutls_session_t s, gnutls_x509_crt_t leaf);
/* A name that its owner may have chosen must not pass for a subject, a PSK identity, a public key or a fingerprint. */
bool tls_peer_is_name(const char *name, size_t len);
/* The bytes of a PSK identity that tls_identity wrote as name. Their number; 0: it is none, or they have no room. */
size_t tls_peer_psk_identity(const char *name, uint8_t *out, size_t size);

/*
 * One phrase for an operator: why this handshake failed ("no cipher suite in common", "client offers
 * DTLS 1.0 only; …", "client certificate refused: it has expired (CN=x)"). From the report where it knows
 * more. Returns buf. For a handshake that was given up, pass GNUTLS_E_TIMEDOUT: a wrong PSK and an unknown
 * identity end like that, as DTLS silently drops the Finished that does not decrypt.
 */
const char *tls_explain(int gnutls_error, gnutls_session_t s, const struct tls_report *report,
			char *buf, size_t size);

/* What a server's operator is to do about an alert that a client has sent: "; …", or "". */
const char *tls_alert_advice(gnutls_alert_description_t alert);

/*
 * Sends the fatal alert for a failed handshake: the one the report knows (unknown_ca, certificate_expired,
 * …) or GnuTLS's choice for the error; nothing where none is due. 0, or a GnuTLS error code.
 */
int tls_send_alert(int gnutls_error, gnutls_session_t s, const struct tls_report *report);

/* For tls.c. The session's user pointer is its tls_report. */
int tls_peer_verify(gnutls_session_t s); /* for gnutls_certificate_set_verify_function */
/* A certificate that is good, for another reason. What the verify function has to return then. */
int tls_peer_refuse(gnutls_session_t s, const char *why, gnutls_alert_description_t alert);
/* where: "in the PSK file", … */
void tls_peer_psk_unknown(struct tls_report *report, const gnutls_datum_t *identity, const char *where);

#endif
