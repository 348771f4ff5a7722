/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_about.h"

#include <string.h>

void tls_about_alpn(gnutls_session_t s, char out[static TLS_ALPN_MOST + 1])
{
	gnutls_datum_t alpn;

	out[0] = '\0';
	if (gnutls_alpn_get_selected_protocol(s, &alpn) < 0 || alpn.size > TLS_ALPN_MOST)
		return;
	memcpy(out, alpn.data, alpn.size);
	out[alpn.size] = '\0';
}

static void take_server_name(gnutls_session_t s, struct tls_about *out)
{
	size_t len = sizeof(out->server_name);
	unsigned type;

	if (gnutls_server_name_get(s, out->server_name, &len, &type, 0) < 0 || type != GNUTLS_NAME_DNS)
		out->server_name[0] = '\0';
}

static void take_common_name(gnutls_x509_crt_t leaf, struct tls_about *out)
{
	size_t len = sizeof(out->common_name);

	if (gnutls_x509_crt_get_dn_by_oid(leaf, GNUTLS_OID_X520_COMMON_NAME, 0, 0, out->common_name, &len) < 0)
		out->common_name[0] = '\0';
}

static void take_psk_identity(gnutls_session_t s, struct tls_about *out)
{
	gnutls_datum_t identity;

	if (gnutls_psk_server_get_username2(s, &identity) < 0 || identity.size > sizeof(out->psk_identity))
		return;
	memcpy(out->psk_identity, identity.data, identity.size);
	out->psk_identity_len = identity.size;
}

void tls_about(gnutls_session_t s, gnutls_x509_crt_t leaf, struct tls_about *out)
{
	const char *cipher;

	memset(out, 0, sizeof(*out));
	take_server_name(s, out);
	tls_about_alpn(s, out->alpn);
	cipher = gnutls_ciphersuite_get(s);
	if (cipher && strlen(cipher) < sizeof(out->cipher))
		strcpy(out->cipher, cipher);
	if (gnutls_auth_get_type(s) == GNUTLS_CRD_PSK) {
		take_psk_identity(s, out);
		return;
	}
	out->certificate = gnutls_certificate_get_peers(s, NULL) != NULL;
	if (leaf)
		take_common_name(leaf, out);
}
