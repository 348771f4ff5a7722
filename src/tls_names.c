/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_names.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "escape.h"
#include "tls_peer.h"
#include "tls_raw.h"

#define PSK_PREFIX "psk:"
#define SHA256_PREFIX "sha256:"
#define SHA256_SIZE 32
#define NAME_MOST 1024

static void add(struct tls_names *out, const char *prefix, const void *name, size_t len)
{
	size_t head = strlen(prefix), room = sizeof(out->text) - 1 - out->len;
	char *at = out->text + out->len;

	if (head + 4 * len + ESCAPE_LEAST > room) { /* a byte may become \xNN */
		out->cut = true;
		return;
	}
	memcpy(at, prefix, head);
	out->len += head + escape_text(at + head, room - head, name, len) + 1;
}

static void add_alone(struct tls_names *out, const char *name, size_t len)
{
	if (len > 0 && tls_peer_is_name(name, len))
		add(out, "", name, len);
}

static void add_psk(gnutls_session_t s, struct tls_names *out)
{
	gnutls_datum_t identity;

	if (gnutls_psk_server_get_username2(s, &identity) < 0)
		return;
	add(out, PSK_PREFIX, identity.data, identity.size);
	add_alone(out, (const char *)identity.data, identity.size);
}

static void add_subject(gnutls_x509_crt_t crt, struct tls_names *out)
{
	gnutls_datum_t dn = { NULL, 0 };
	char name[NAME_MOST];
	size_t len = sizeof(name);
	int rc;

	if (gnutls_x509_crt_get_dn3(crt, &dn, 0) >= 0 && dn.size > 0)
		add(out, "", dn.data, dn.size);
	gnutls_free(dn.data);
	for (unsigned i = 0; (rc = gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, i, 0, name, &len)) >= 0;
	     i++) {
		add_alone(out, name, strnlen(name, len));
		len = sizeof(name);
	}
	if (rc != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		out->cut = true;
}

static void add_address(struct tls_names *out, const void *bytes, size_t len)
{
	char text[INET6_ADDRSTRLEN];

	if ((len == 4 || len == 16) && inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, text, sizeof(text)))
		add(out, "", text, strlen(text));
}

/* DNS knows no difference. */
static void lower(char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] - 'A' + 'a');
}

static void add_sans(gnutls_x509_crt_t crt, struct tls_names *out)
{
	char name[NAME_MOST];
	size_t len = sizeof(name);
	int type;

	for (unsigned i = 0; (type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &len, NULL)) >= 0; i++) {
		if (type == GNUTLS_SAN_DNSNAME)
			lower(name, len);
		if (type == GNUTLS_SAN_IPADDRESS)
			add_address(out, name, len);
		else if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_URI || type == GNUTLS_SAN_RFC822NAME)
			add_alone(out, name, len);
		len = sizeof(name);
	}
	if (type != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		out->cut = true;
}

static void add_fingerprint(const gnutls_datum_t *der, struct tls_names *out)
{
	uint8_t hash[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	size_t len = sizeof(hash);

	if (gnutls_fingerprint(GNUTLS_DIG_SHA256, der, hash, &len) < 0) {
		out->cut = true;
		return;
	}
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	add(out, SHA256_PREFIX, hex, 2 * len);
}

static void add_certificate(const gnutls_datum_t *der, gnutls_x509_crt_t crt, struct tls_names *out)
{
	add_fingerprint(der, out);
	if (!crt) {
		out->cut = true;
		return;
	}
	add_subject(crt, out);
	add_sans(crt, out);
}

void tls_names(gnutls_session_t s, gnutls_x509_crt_t leaf, struct tls_names *out)
{
	bool psk = gnutls_auth_get_type(s) == GNUTLS_CRD_PSK;
	uint8_t raw[TLS_FINGERPRINT_SIZE];
	char name[TLS_RAW_NAME_SIZE];
	const gnutls_datum_t *peer = psk ? NULL : gnutls_certificate_get_peers(s, NULL);

	out->len = 0;
	out->cut = false;
	if (psk) {
		add_psk(s, out);
	} else if (tls_raw_peer(s, raw)) {
		tls_raw_name(raw, name);
		add(out, "", name, strlen(name));
	} else if (peer) {
		add_certificate(peer, leaf, out);
	}
	out->text[out->len] = '\0';
}
