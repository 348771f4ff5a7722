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

enum verify_client { VERIFY_CLIENT_NONE, VERIFY_CLIENT_OPTIONAL, VERIFY_CLIENT_REQUIRED };

struct tls_options {
	const char *x509certfile; /* PEM chain, leaf first. With x509keyfile, or both NULL */
	const char *x509keyfile;
	const char *x509cafile;   /* PEM; what client certificates are verified with */
	const char *pskpasswd;    /* psktool's format: "identity:hexkey" lines, '#' comments */
	const char *priority;     /* NULL: TLS_PRIORITY_DEFAULT */
	enum verify_client verify_client;
};

/*
 * DTLS 1.2 and AEAD only, AES-GCM first, X25519 first among the groups. In any other string the same
 * version and ciphers are imposed, whatever it says; the rest of it holds.
 */
extern const char TLS_PRIORITY_DEFAULT[];

/*
 * Lives as long as the process and outlasts reloads: the ticket key and the bounded cache of
 * sessions for clients without tickets, shared by the workers (mutex; asked only in a handshake).
 */
struct tls_shared;
struct tls_shared *tls_shared_new(uint32_t cache_entries, uint32_t lifetime_s); /* NULL: out of memory */
void tls_shared_free(struct tls_shared *s);

struct tls;
/*
 * Loads and checks everything: files readable, key matches certificate, chain in order, CA present where
 * client certificates are asked for, PSK lines well-formed, at least one of certificate and PSK,
 * priority string valid and left with at least one AEAD cipher after DTLS 1.2 and our ciphers are imposed.
 * Warns (log) of a chain that has expired or is not valid yet and of key files that others may read.
 * NULL: err holds one sentence with file, line where there is one, cause and what to do.
 * When trust (CA, PSKs, verify_client) differs from what shared saw last, the ticket key is replaced and the
 * cache emptied, so that nobody who was removed can resume.
 */
struct tls *tls_load(const struct tls_options *o, struct tls_shared *shared, char *err, size_t err_size);
struct tls *tls_ref(struct tls *t);
void tls_unref(struct tls *t); /* NULL is fine */

/*
 * What one handshake tells about itself beyond GnuTLS's error code. Owned by the handshake, which
 * lends it to tls_session_new; it must outlive the session.
 */
#define TLS_CAUSE_MAX 160
struct tls_report {
	char cause[TLS_CAUSE_MAX]; /* "" or why a certificate or PSK identity was refused, for the log */
	bool psk_unknown;          /* the identity was not found; a random key went on in its place */
	uint8_t alert;             /* description that fits the cause better than GnuTLS's own; 0: none */
	uint16_t client_version;   /* from the ClientHello, 0xfeff is DTLS 1.0; 0: not seen */
};

/*
 * A server session, DATAGRAM | NONBLOCK, ready for prestate, transport and gnutls_handshake: GnuTLS's
 * own retransmission and MTU put out of the way (timeouts of an hour, MTU at its maximum). Clears the
 * report. Takes no reference: the caller holds one on t until the session is freed. Uses the session's
 * user pointer, database pointer and handshake hook. 0, or a GnuTLS error code.
 */
int tls_session_new(struct tls *t, struct tls_report *report, gnutls_session_t *out);

/*
 * Who the peer is, once the handshake is done, resumed or not: "CN=client,O=x" (the certificate's subject;
 * its first SAN when the subject is empty), "psk:identity" (unprintable bytes as \xNN), NULL for nobody.
 * malloc'd; the caller frees.
 */
char *tls_identity(gnutls_session_t s);

/*
 * One phrase for an operator: why this handshake failed ("no cipher suite in common", "client offers
 * DTLS 1.0 only; …", "client certificate refused: it has expired (CN=x)"). From the report where it knows
 * more. Returns buf. For a handshake that was given up, pass GNUTLS_E_TIMEDOUT: a wrong PSK and an unknown
 * identity end like that, as DTLS silently drops the Finished that does not decrypt.
 */
const char *tls_explain(int gnutls_error, gnutls_session_t s, const struct tls_report *report,
			char *buf, size_t size);

/*
 * Sends the fatal alert for a failed handshake: the one the report knows (unknown_ca, certificate_expired,
 * …) or GnuTLS's choice for the error; nothing where none is due. 0, or a GnuTLS error code.
 */
int tls_send_alert(int gnutls_error, gnutls_session_t s, const struct tls_report *report);

#endif
