/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

#include "escape.h"
#include "tls_offer.h"
#include "tls_raw.h"

#define NAME_MAX_BYTES 1024 /* what is kept of a subject, which a CA may make as long as it likes */

/* ---- names ---- */

__attribute__((format(printf, 2, 3)))
static void report_cause(struct tls_report *report, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(report->cause, sizeof(report->cause), fmt, ap);
	va_end(ap);
}

/* Bytes as printable ASCII, from which they can be told again: all else, and what begins such, becomes \xNN. */
static void escape_bytes(char *out, size_t size, const uint8_t *in, size_t len)
{
	size_t at = 0;

	assert(size > 0);
	for (size_t i = 0; i < len && at + 5 <= size; i++) {
		if (in[i] >= 0x20 && in[i] < 0x7f && in[i] != '\\')
			out[at++] = (char)in[i];
		else
			at += (size_t)snprintf(out + at, size - at, "\\x%02x", in[i]);
	}
	out[at] = '\0';
}

static bool begins(const char *name, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(name, prefix, strlen(prefix)) == 0;
}

bool tls_peer_is_name(const char *name, size_t len)
{
	size_t at = 0;

	while (at < len && name[at] != ':' && name[at] != '=')
		at++;
	return (at == len || name[at] == ':') && !begins(name, len, "psk:") && !begins(name, len, "sha256:") &&
	       !begins(name, len, "rpk:");
}

/* The certificate's subject, else its first alternative name, as text. The length; 0: it has no name. */
static size_t crt_name(gnutls_x509_crt_t crt, char *text, size_t size)
{
	gnutls_datum_t dn = { NULL, 0 };
	char san[256];
	size_t len = sizeof(san);
	int type;

	text[0] = '\0';
	if (gnutls_x509_crt_get_dn3(crt, &dn, 0) >= 0 && dn.size > 0) {
		escape_text(text, size, (const char *)dn.data, dn.size);
	} else {
		type = gnutls_x509_crt_get_subject_alt_name(crt, 0, san, &len, NULL);
		if (type == GNUTLS_SAN_IPADDRESS && (len == 4 || len == 16))
			inet_ntop(len == 4 ? AF_INET : AF_INET6, san, text, (socklen_t)size);
		else if (type >= 0 && tls_peer_is_name(san, len))
			escape_text(text, size, san, len);
	}
	gnutls_free(dn.data);
	return strlen(text);
}

gnutls_x509_crt_t tls_peer_leaf(gnutls_session_t s)
{
	bool psk = gnutls_auth_get_type(s) == GNUTLS_CRD_PSK;
	const gnutls_datum_t *peer = psk ? NULL : gnutls_certificate_get_peers(s, NULL);
	uint8_t raw[TLS_FINGERPRINT_SIZE];
	gnutls_x509_crt_t crt;

	if (peer == NULL || tls_raw_peer(s, raw) || gnutls_x509_crt_init(&crt) < 0)
		return NULL;
	if (gnutls_x509_crt_import(crt, peer, GNUTLS_X509_FMT_DER) >= 0)
		return crt;
	gnutls_x509_crt_deinit(crt);
	return NULL;
}

/* malloc'd; NULL when there is no certificate, no name in it, or no memory. */
static char *peer_name(gnutls_session_t s, gnutls_x509_crt_t leaf)
{
	uint8_t raw[TLS_FINGERPRINT_SIZE];
	char text[NAME_MAX_BYTES];

	if (tls_raw_peer(s, raw)) {
		tls_raw_name(raw, text);
		return strdup(text);
	}
	return leaf != NULL && crt_name(leaf, text, sizeof(text)) > 0 ? strdup(text) : NULL;
}

static char *psk_name(gnutls_session_t s)
{
	gnutls_datum_t identity;
	size_t size;
	char *name;

	if (gnutls_psk_server_get_username2(s, &identity) < 0)
		return NULL;
	size = 4 + 4 * (size_t)identity.size + 5;
	name = malloc(size);
	if (name == NULL)
		return NULL;
	memcpy(name, "psk:", 4);
	escape_bytes(name + 4, size - 4, identity.data, identity.size);
	return name;
}

size_t tls_peer_psk_identity(const char *name, uint8_t *out, size_t size)
{
	size_t len = 0;
	unsigned byte;

	if (strncmp(name, "psk:", 4) != 0)
		return 0;
	for (name += 4; *name != '\0'; len++) {
		bool plain = *name != '\\'; /* what escape_bytes lets through */

		if (len == size || (!plain && sscanf(name, "\\x%2x", &byte) != 1))
			return 0;
		out[len] = plain ? (uint8_t)*name : (uint8_t)byte;
		name += plain ? 1 : 4;
	}
	return len;
}

char *tls_identity(gnutls_session_t s, gnutls_x509_crt_t leaf)
{
	return gnutls_auth_get_type(s) == GNUTLS_CRD_PSK ? psk_name(s) : peer_name(s, leaf);
}

/* ---- refusals ---- */

void tls_peer_psk_unknown(struct tls_report *report, const gnutls_datum_t *identity, const char *where)
{
	char name[100];

	escape_bytes(name, sizeof(name), identity->data, identity->size);
	report->psk_unknown = true;
	report_cause(report, "PSK identity \"%s\" is not %s", name, where);
}

struct refusal {
	unsigned status;
	gnutls_alert_description_t alert;
	const char *why;
};

/* The first that applies is told: the later ones follow from it, or matter less. */
static const struct refusal REFUSALS[] = {
	{ GNUTLS_CERT_REVOKED, GNUTLS_A_CERTIFICATE_REVOKED, "it is revoked" },
	{ GNUTLS_CERT_SIGNATURE_FAILURE, GNUTLS_A_BAD_CERTIFICATE, "its signature is wrong" },
	{ GNUTLS_CERT_SIGNER_NOT_FOUND, GNUTLS_A_UNKNOWN_CA, "its issuer is not in the CA file" },
	{ GNUTLS_CERT_SIGNER_NOT_CA, GNUTLS_A_UNKNOWN_CA, "its issuer is not a CA" },
	{ GNUTLS_CERT_EXPIRED, GNUTLS_A_CERTIFICATE_EXPIRED, "it has expired" },
	{ GNUTLS_CERT_NOT_ACTIVATED, GNUTLS_A_BAD_CERTIFICATE, "it is not valid yet; check both clocks" },
	{ GNUTLS_CERT_PURPOSE_MISMATCH, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
	  "its extended key usage does not allow TLS clients" },
	{ GNUTLS_CERT_INSECURE_ALGORITHM, GNUTLS_A_BAD_CERTIFICATE,
	  "it uses an insecure algorithm or short key" },
	{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, GNUTLS_A_BAD_CERTIFICATE, "its issuer may not issue it" },
};

int tls_peer_refuse(gnutls_session_t s, const char *why, gnutls_alert_description_t alert)
{
	struct tls_report *report = gnutls_session_get_ptr(s);
	uint8_t raw[TLS_FINGERPRINT_SIZE];
	gnutls_x509_crt_t leaf = tls_peer_leaf(s);
	char *name = peer_name(s, leaf);

	if (leaf != NULL)
		gnutls_x509_crt_deinit(leaf);
	report->alert = (uint8_t)alert;
	report_cause(report, "client %s refused: %s (%.80s)", tls_raw_peer(s, raw) ? "public key" : "certificate", why,
		     name != NULL ? name : "no name");
	free(name);
	return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

int tls_peer_verify(gnutls_session_t s)
{
	gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID };
	static unsigned char client_oid[] = GNUTLS_KP_TLS_WWW_CLIENT;
	unsigned status, count;
	int rc;

	/* Where one is required, GnuTLS has refused its absence already. */
	if (gnutls_certificate_get_peers(s, &count) == NULL || count == 0)
		return 0;
	purpose.data = client_oid;
	rc = gnutls_certificate_verify_peers(s, &purpose, 1, &status);
	if (rc < 0)
		return tls_peer_refuse(s, gnutls_strerror(rc), GNUTLS_A_BAD_CERTIFICATE);
	if (status == 0)
		return 0;
	for (size_t i = 0; i < sizeof(REFUSALS) / sizeof(REFUSALS[0]); i++)
		if ((status & REFUSALS[i].status) != 0)
			return tls_peer_refuse(s, REFUSALS[i].why, REFUSALS[i].alert);
	return tls_peer_refuse(s, "it is not trusted", GNUTLS_A_BAD_CERTIFICATE);
}

/* ---- failures ---- */

static const struct {
	int error;
	const char *phrase;
} PHRASES[] = {
	{ GNUTLS_E_INSUFFICIENT_CREDENTIALS, "no certificate or PSK for what the client offers" },
	{ GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM,
	  "no signature algorithm in common; the certificate's key is of "
	  "a kind or hash that the other side does not take" },
	{ GNUTLS_E_ECC_NO_SUPPORTED_CURVES,
	  "no elliptic curve in common; the client should offer X25519 or P-256" },
	{ GNUTLS_E_ECC_UNSUPPORTED_CURVE,
	  "no elliptic curve in common; the client should offer X25519 or P-256" },
	{ GNUTLS_E_NO_COMMON_KEY_SHARE,
	  "no elliptic curve in common; the client should offer X25519 or P-256" },
	{ GNUTLS_E_NO_TEMPORARY_DH_PARAMS, "the client wants a DHE key exchange without naming a group; "
					   "it should offer ECDHE" },
	{ GNUTLS_E_NO_CERTIFICATE_FOUND,
	  "the client sent no certificate, but --verify-client required wants one" },
	{ GNUTLS_E_CERTIFICATE_REQUIRED,
	  "the client sent no certificate, but --verify-client required wants one" },
	{ GNUTLS_E_CERTIFICATE_ERROR, "bad client certificate" },
	{ GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, "client certificate refused" },
	{ GNUTLS_E_UNSUPPORTED_CERTIFICATE_TYPE,
	  "the client and this service have no kind of certificate in common (X.509, raw public keys)" },
	{ GNUTLS_E_KEY_USAGE_VIOLATION, "the client's certificate does not allow digital signatures" },
	{ GNUTLS_E_PK_SIG_VERIFY_FAILED,
	  "the client's signature is wrong: it does not hold the key of its certificate" },
	{ GNUTLS_E_DECRYPTION_FAILED,
	  "the client's Finished cannot be decrypted; do both sides have the same key?" },
	{ GNUTLS_E_ERROR_IN_FINISHED_PACKET,
	  "the client's Finished is wrong; do both sides have the same key?" },
	{ GNUTLS_E_ILLEGAL_SRP_USERNAME, "the client's PSK identity is empty or longer than 128 bytes" },
	{ GNUTLS_E_KEYFILE_ERROR, "out of memory while looking up the PSK" },
	{ GNUTLS_E_UNEXPECTED_PACKET, "the client sent a record out of turn" },
	{ GNUTLS_E_UNEXPECTED_HANDSHAKE_PACKET, "the client sent a handshake message out of turn" },
	{ GNUTLS_E_UNEXPECTED_PACKET_LENGTH, "the client sent a malformed message: a length does not fit" },
	{ GNUTLS_E_UNEXPECTED_EXTENSIONS_LENGTH,
	  "the client sent malformed extensions: a length does not fit" },
	{ GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER, "the client sent an illegal parameter" },
	{ GNUTLS_E_ILLEGAL_PARAMETER, "the client sent an illegal parameter" },
	{ GNUTLS_E_RECEIVED_ILLEGAL_EXTENSION, "the client sent an extension that is not allowed there" },
	{ GNUTLS_E_MISSING_EXTENSION, "the client left out an extension that is needed" },
	{ GNUTLS_E_PK_INVALID_PUBKEY, "the client sent an invalid public key" },
	{ GNUTLS_E_HANDSHAKE_TOO_LARGE,
	  "the client's message is too large; is its certificate chain needlessly long?" },
	{ GNUTLS_E_LARGE_PACKET, "a message is too large" },
	{ GNUTLS_E_RECORD_OVERFLOW, "the client sent a record that is too large" },
	{ GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS, "the client sent too many handshake messages" },
	{ GNUTLS_E_INSUFFICIENT_SECURITY,
	  "the client's key or parameters are too weak for this server's priorities" },
	{ GNUTLS_E_DH_PRIME_UNACCEPTABLE,
	  "the client's parameters are too weak for this server's priorities" },
	{ GNUTLS_E_SAFE_RENEGOTIATION_FAILED, "the client lacks secure renegotiation (RFC 5746)" },
	{ GNUTLS_E_UNSAFE_RENEGOTIATION_DENIED, "the client lacks secure renegotiation (RFC 5746)" },
	{ GNUTLS_E_INAPPROPRIATE_FALLBACK,
	  "the client fell back to an older version though both have a newer one" },
	{ GNUTLS_E_PREMATURE_TERMINATION, "the client ended the handshake" },
	{ GNUTLS_E_SESSION_EOF, "the client ended the handshake" },
	{ GNUTLS_E_PUSH_ERROR, "sending failed" },
	{ GNUTLS_E_PULL_ERROR, "receiving failed" },
	{ GNUTLS_E_MEMORY_ERROR, "out of memory; lower --max-handshakes and --max-sessions" },
	{ GNUTLS_E_INTERNAL_ERROR, "GnuTLS reports an internal error" },
};

const char *tls_alert_advice(gnutls_alert_description_t alert)
{
	switch (alert) {
	case GNUTLS_A_UNKNOWN_CA:
		return "; it does not have the CA of this server's certificate";
	case GNUTLS_A_BAD_CERTIFICATE:
	case GNUTLS_A_CERTIFICATE_UNKNOWN:
		return "; it refuses this server's certificate: does the name fit, is the chain complete?";
	case GNUTLS_A_CERTIFICATE_EXPIRED:
		return "; renew this server's certificate, or check the client's clock";
	case GNUTLS_A_UNKNOWN_PSK_IDENTITY:
	case GNUTLS_A_DECRYPT_ERROR:
	case GNUTLS_A_BAD_RECORD_MAC:
		return "; do both sides have the same key?";
	case GNUTLS_A_PROTOCOL_VERSION:
		return "; it does not accept DTLS 1.2";
	case GNUTLS_A_HANDSHAKE_FAILURE:
	case GNUTLS_A_INSUFFICIENT_SECURITY:
		return "; it does not accept this server's cipher suite, curve or signature";
	default:
		return "";
	}
}

static void explain_alert(gnutls_session_t s, char *buf, size_t size)
{
	gnutls_alert_description_t alert = gnutls_alert_get(s);
	const char *name = gnutls_alert_get_strname(alert);

	snprintf(buf, size, "the client sent the fatal alert %s (%d)%s",
		 name != NULL ? name + strlen("GNUTLS_A_") : "unknown", (int)alert, tls_alert_advice(alert));
}

static void explain_timeout(gnutls_session_t s, char *buf, size_t size)
{
	gnutls_handshake_description_t last = gnutls_handshake_get_last_in(s);
	bool psk = gnutls_auth_get_type(s) == GNUTLS_CRD_PSK;

	if (last == GNUTLS_HANDSHAKE_CLIENT_KEY_EXCHANGE && psk)
		snprintf(buf, size,
			 "timed out waiting for a Finished that can be decrypted; does the client have "
			 "the same PSK?");
	else
		snprintf(buf, size, "timed out; the client's last message was %s",
			 last == GNUTLS_HANDSHAKE_ANY ? "none" : gnutls_handshake_description_get_name(last));
}

static void explain_version(const struct tls_report *report, char *buf, size_t size)
{
	unsigned v = report->client_version;

	if (v == 0)
		snprintf(buf, size, "the client does not offer DTLS 1.2; update or configure it");
	else if (v == 0xfeff)
		snprintf(buf, size,
			 "the client offers DTLS 1.0 only; DTLS 1.2 is needed: update or configure it");
	else
		snprintf(buf, size,
			 "the client offers version %02x%02x only; DTLS 1.2 (fefd) is needed: update or "
			 "configure it",
			 v >> 8, v & 0xff);
}

static void explain_suites(gnutls_session_t s, const struct tls_report *report, char *buf, size_t size)
{
	const char *with = "with the service's kind of certificate, or a pre-shared key";
	struct tls_offer offer;
	void *cred;

	if (gnutls_credentials_get(s, GNUTLS_CRD_CERTIFICATE, &cred) < 0)
		with = "with a pre-shared key (gnutls-cli: --priority NORMAL:+PSK), as the service has no certificate";
	else if (gnutls_credentials_get(s, GNUTLS_CRD_PSK, &cred) < 0)
		with = "with the service's kind of certificate, as it has no pre-shared keys";
	snprintf(buf, size, "no cipher suite in common; the client must offer AES-GCM, AES-CCM or ChaCha20-Poly1305 %s",
		 with);
	if (report->hello == NULL)
		return;
	tls_offer_parse(&offer, report->hello, report->hello_len);
	tls_offer_explain_suites(&offer, report->served, buf, size);
}

static void explain_protocols(const struct tls_report *report, char *buf, size_t size)
{
	struct tls_offer offer;

	snprintf(buf, size, "no application protocol (ALPN) in common");
	if (report->hello == NULL)
		return;
	tls_offer_parse(&offer, report->hello, report->hello_len);
	tls_offer_explain_protocols(&offer, buf, size);
}

const char *tls_explain(int gnutls_error, gnutls_session_t s, const struct tls_report *report, char *buf,
			size_t size)
{
	if (report->cause[0] != '\0') {
		snprintf(buf, size, "%s", report->cause);
		return buf;
	}
	switch (gnutls_error) {
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
	case GNUTLS_E_WARNING_ALERT_RECEIVED:
		explain_alert(s, buf, size);
		return buf;
	case GNUTLS_E_TIMEDOUT:
		explain_timeout(s, buf, size);
		return buf;
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
		explain_version(report, buf, size);
		return buf;
	case GNUTLS_E_NO_CIPHER_SUITES:
		explain_suites(s, report, buf, size);
		return buf;
	case GNUTLS_E_NO_APPLICATION_PROTOCOL:
		explain_protocols(report, buf, size);
		return buf;
	}
	for (size_t i = 0; i < sizeof(PHRASES) / sizeof(PHRASES[0]); i++)
		if (PHRASES[i].error == gnutls_error) {
			snprintf(buf, size, "%s", PHRASES[i].phrase);
			return buf;
		}
	snprintf(buf, size, "%s", gnutls_strerror(gnutls_error));
	return buf;
}

int tls_send_alert(int gnutls_error, gnutls_session_t s, const struct tls_report *report)
{
	if (report->alert != 0 && gnutls_error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
		return gnutls_alert_send(s, GNUTLS_AL_FATAL, (gnutls_alert_description_t)report->alert);
	/* GnuTLS would say decode_error. RFC 5246 7.4.6: */
	if (gnutls_error == GNUTLS_E_NO_CERTIFICATE_FOUND)
		return gnutls_alert_send(s, GNUTLS_AL_FATAL, GNUTLS_A_HANDSHAKE_FAILURE);
	return gnutls_alert_send_appropriate(s, gnutls_error);
}
