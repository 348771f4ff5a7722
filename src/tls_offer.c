/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_offer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "escape.h"
#include "wire.h"

#define EXTENSION_GROUPS 10
#define EXTENSION_SIGNATURES 13
#define EXTENSION_PROTOCOLS 16
#define EXTENSION_SERVER_TYPES 20 /* RFC 7250 */

#define X509 0
#define RAW_PUBLIC_KEY 2

static const struct {
	uint16_t id;
	gnutls_group_t group;
} known_groups[] = {
	{ 23, GNUTLS_GROUP_SECP256R1 }, { 24, GNUTLS_GROUP_SECP384R1 }, { 25, GNUTLS_GROUP_SECP521R1 },
	{ 29, GNUTLS_GROUP_X25519 },    { 30, GNUTLS_GROUP_X448 },
};

#define KNOWN_GROUPS (sizeof(known_groups) / sizeof(known_groups[0]))

/* ---- reading ---- */

/* The next vector behind a length of so many bytes. What does not fit is none, and ends all. */
static struct tls_offer_list take(struct tls_offer_list *from, size_t head)
{
	struct tls_offer_list none = { NULL, 0 }, out = none;
	size_t len = 0;

	if (from->len >= head)
		len = head == 1 ? from->data[0] : wire_get16(from->data);
	if (from->len < head + len) {
		*from = none;
		return none;
	}
	out.data = from->data + head;
	out.len = len;
	from->data += head + len;
	from->len -= head + len;
	return out;
}

static void take_extension(struct tls_offer *out, uint16_t type, struct tls_offer_list body)
{
	if (type == EXTENSION_GROUPS)
		out->groups = take(&body, 2);
	else if (type == EXTENSION_SIGNATURES)
		out->signatures = take(&body, 2);
	else if (type == EXTENSION_PROTOCOLS)
		out->protocols = take(&body, 2);
	else if (type == EXTENSION_SERVER_TYPES)
		out->server_types = take(&body, 1);
}

void tls_offer_parse(struct tls_offer *out, const uint8_t *body, size_t len)
{
	const size_t fixed = 2 + DTLS_RANDOM_SIZE;
	struct tls_offer_list rest = { body, len }, extensions;

	memset(out, 0, sizeof(*out));
	if (len < fixed)
		return;
	rest.data += fixed;
	rest.len -= fixed;
	take(&rest, 1); /* session ID */
	take(&rest, 1); /* cookie */
	out->suites = take(&rest, 2);
	take(&rest, 1); /* compression */
	extensions = take(&rest, 2);
	while (extensions.len >= 2) {
		uint16_t type = wire_get16(extensions.data);

		extensions.data += 2;
		extensions.len -= 2;
		take_extension(out, type, take(&extensions, 2));
	}
}

bool tls_offer_has(const struct tls_offer_list *l, uint16_t id)
{
	for (size_t i = 0; i + 2 <= l->len; i += 2)
		if (wire_get16(l->data + i) == id)
			return true;
	return false;
}

uint16_t tls_offer_group_id(gnutls_group_t group)
{
	for (size_t i = 0; i < KNOWN_GROUPS; i++)
		if (known_groups[i].group == group)
			return known_groups[i].id;
	return 0;
}

static bool is_served(gnutls_cipher_algorithm_t c)
{
	switch (c) {
	case GNUTLS_CIPHER_AES_128_GCM:
	case GNUTLS_CIPHER_AES_256_GCM:
	case GNUTLS_CIPHER_AES_128_CCM:
	case GNUTLS_CIPHER_AES_256_CCM:
	case GNUTLS_CIPHER_AES_128_CCM_8:
	case GNUTLS_CIPHER_AES_256_CCM_8:
	case GNUTLS_CIPHER_CHACHA20_POLY1305:
		return true;
	default:
		return false;
	}
}

/* Does anything fit of the suites that are served? */
static bool any_suite(const struct tls_offer *o, gnutls_priority_t served,
		      bool (*fits)(const struct tls_offer *o, uint16_t id, gnutls_kx_algorithm_t kx))
{
	unsigned index;
	int rc = 0;

	for (unsigned i = 0; rc != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE; i++) {
		gnutls_kx_algorithm_t kx;
		unsigned char id[2];

		rc = gnutls_priority_get_cipher_suite_index(served, i, &index);
		if (rc >= 0 && gnutls_cipher_suite_info(index, id, &kx, NULL, NULL, NULL) &&
		    fits(o, wire_get16(id), kx))
			return true;
	}
	return false;
}

static bool offers_suite(const struct tls_offer *o, uint16_t wanted, gnutls_kx_algorithm_t kx)
{
	(void)kx;
	return tls_offer_has(&o->suites, wanted);
}

static bool offers_kx(const struct tls_offer *o, uint16_t unused, gnutls_kx_algorithm_t wanted)
{
	gnutls_cipher_algorithm_t cipher;
	gnutls_kx_algorithm_t kx;
	unsigned char id[2];

	(void)unused;
	for (size_t i = 0; gnutls_cipher_suite_info(i, id, &kx, &cipher, NULL, NULL); i++)
		if (kx == wanted && is_served(cipher) && tls_offer_has(&o->suites, wire_get16(id)))
			return true;
	return false;
}

bool tls_offer_fits(const struct tls_offer *o, gnutls_priority_t served)
{
	return any_suite(o, served, offers_suite);
}

static bool shares_group(const struct tls_offer *o, gnutls_priority_t served)
{
	const unsigned *list;
	int n = gnutls_priority_group_list(served, &list);

	for (int i = 0; i < n; i++) {
		uint16_t id = tls_offer_group_id((gnutls_group_t)list[i]);

		if (id && tls_offer_has(&o->groups, id))
			return true;
	}
	return !o->groups.data;
}

/* ---- words ---- */

__attribute__((format(printf, 3, 4)))
static void append(char *buf, size_t size, const char *fmt, ...)
{
	size_t len = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + len, size - len, fmt, ap);
	va_end(ap);
}

/* A name of a list that begins at an offset of buf; each comes once. */
static void append_once(char *buf, size_t size, size_t begin, const char *name)
{
	const char *at = buf + begin;
	size_t len = strlen(name);

	for (; (at = strstr(at, name)); at += len)
		if ((at == buf + begin || at[-1] == ' ') && (at[len] == '\0' || at[len] == ','))
			return;
	append(buf, size, "%s%s", buf[begin] ? ", " : "", name);
}

/* Its key exchanges with such ciphers. */
static void append_key_exchanges(const struct tls_offer *o, char *buf, size_t size)
{
	size_t begin = strlen(buf);
	gnutls_cipher_algorithm_t cipher;
	gnutls_kx_algorithm_t kx;
	unsigned char id[2];

	for (size_t i = 0; gnutls_cipher_suite_info(i, id, &kx, &cipher, NULL, NULL); i++) {
		const char *name = gnutls_kx_get_name(kx);

		if (name && is_served(cipher) && tls_offer_has(&o->suites, wire_get16(id)))
			append_once(buf, size, begin, name);
	}
	if (!buf[begin])
		append(buf, size, "nothing");
}

static void append_groups(const struct tls_offer *o, char *buf, size_t size)
{
	size_t begin = strlen(buf);

	for (size_t i = 0; i < KNOWN_GROUPS; i++)
		if (tls_offer_has(&o->groups, known_groups[i].id))
			append_once(buf, size, begin, gnutls_group_get_name(known_groups[i].group));
	if (!buf[begin])
		append(buf, size, "others");
}

/* RFC 5246 7.4.1.4.1, and RFC 8446 4.2.3 for those whose first byte is 8. */
static const char *signature_name(const uint8_t id[2])
{
	if (id[0] == 8)
		return id[1] == 7 || id[1] == 8 ? "EdDSA" : "RSA-PSS";
	return id[1] == 1 ? "RSA" : id[1] == 2 ? "DSA" : id[1] == 3 ? "ECDSA" : "others";
}

bool tls_offer_takes_rsa(const struct tls_offer *o)
{
	for (size_t i = 0; i + 2 <= o->signatures.len; i += 2)
		if (strncmp(signature_name(o->signatures.data + i), "RSA", 3) == 0)
			return true;
	return !o->signatures.data;
}

static void append_signatures(const struct tls_offer *o, char *buf, size_t size)
{
	size_t begin = strlen(buf);

	for (size_t i = 0; i + 2 <= o->signatures.len; i += 2)
		append_once(buf, size, begin, signature_name(o->signatures.data + i));
	if (!buf[begin])
		append(buf, size, "RSA or ECDSA with SHA-1");
}

/* What the server may prove itself with; without the extension that is a certificate. */
static const char *type_names(const struct tls_offer_list *types)
{
	if (!types->len || !memchr(types->data, RAW_PUBLIC_KEY, types->len))
		return "X.509 certificates";
	return memchr(types->data, X509, types->len) ? "X.509 certificates and raw public keys" : "raw public keys";
}

void tls_offer_explain_suites(const struct tls_offer *o, gnutls_priority_t served, char *buf, size_t size)
{
	if (!tls_offer_fits(o, served)) {
		append(buf, size, "; of these it offers ");
		append_key_exchanges(o, buf, size);
		if (any_suite(o, served, offers_kx))
			append(buf, size, ", but with other ciphers than the service's priority has");
	} else if (!shares_group(o, served)) {
		snprintf(buf, size, "no elliptic curve in common; the client should offer X25519 or P-256; it "
			 "offers ");
		append_groups(o, buf, size);
	} else {
		snprintf(buf, size, "the service has no key that the client takes; it takes %s, and signatures "
			 "with ", type_names(&o->server_types));
		append_signatures(o, buf, size);
	}
}

void tls_offer_explain_protocols(const struct tls_offer *o, char *buf, size_t size)
{
	struct tls_offer_list rest = o->protocols;
	const char *between = ": the client asks for ";

	while (rest.len > 0) {
		struct tls_offer_list one = take(&rest, 1);
		char name[64];

		escape_text(name, sizeof(name), (const char *)one.data, one.len);
		append(buf, size, "%s%s", between, name);
		between = ", ";
	}
}
