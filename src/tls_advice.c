/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_advice.h"

#include <stdio.h>

#include <gnutls/gnutls.h>

/* What is wrong, and the option to look at, NULL: it is none of ours. */
struct phrase {
	const char *text, *check;
};

static struct phrase phrase_of(const struct tls_advice_words *w, int alert, bool psk)
{
	switch (alert) {
	case GNUTLS_A_HANDSHAKE_FAILURE:
	case GNUTLS_A_INSUFFICIENT_SECURITY:
		if (psk)
			return (struct phrase){ "no cipher in common: does it take pre-shared keys, and DTLS 1.2?", NULL };
		return (struct phrase){ "no key exchange or cipher in common: does it want a client certificate or a "
					"pre-shared key, show a raw public key, or speak another version than DTLS 1.2?",
					w->raw_keys };
	case GNUTLS_A_UNKNOWN_PSK_IDENTITY:
		return (struct phrase){ "it does not know the identity", w->identity };
	case GNUTLS_A_DECRYPT_ERROR:
	case GNUTLS_A_BAD_RECORD_MAC:
		return psk ? (struct phrase){ "it has another key", w->psk } :
			     (struct phrase){ "what it got is not what was sent", NULL };
	case GNUTLS_A_ACCESS_DENIED:
		return (struct phrase){ "it does not let this client in", psk ? w->identity : w->own };
	case GNUTLS_A_UNSUPPORTED_CERTIFICATE:
		return (struct phrase){ "it wants, or shows, another kind of certificate or key", w->own };
	case GNUTLS_A_BAD_CERTIFICATE:
	case GNUTLS_A_CERTIFICATE_REVOKED:
	case GNUTLS_A_CERTIFICATE_EXPIRED:
	case GNUTLS_A_CERTIFICATE_UNKNOWN:
	case GNUTLS_A_UNKNOWN_CA:
	case GNUTLS_A_CERTIFICATE_REQUIRED:
		return (struct phrase){ "it wants a client certificate, or another one", w->own };
	case GNUTLS_A_PROTOCOL_VERSION:
		return (struct phrase){ "it does not speak DTLS 1.2", NULL };
	case GNUTLS_A_UNRECOGNIZED_NAME:
		return (struct phrase){ "it does not serve this name", w->server_name };
	case GNUTLS_A_NO_APPLICATION_PROTOCOL:
		return (struct phrase){ "it does not speak what was asked for", w->alpn };
	default:
		return (struct phrase){ "its log should say why", NULL };
	}
}

const char *tls_advice_on_alert(const struct tls_advice_words *w, int alert, bool psk, char *buf, size_t size)
{
	const char *name = gnutls_alert_get_name((gnutls_alert_description_t)alert);
	const struct phrase p = phrase_of(w, alert, psk);

	snprintf(buf, size, "alert %d (%s): %s%s%s", alert, name ? name : "unknown", p.text, p.check ? "; check " : "",
		 p.check ? p.check : "");
	return buf;
}
