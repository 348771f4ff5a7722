/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_grant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tls_peer.h"

#define LINKS_MOST 8      /* certificates of a chain, as many as are verified */
#define SERIAL_SIZE 64
#define KEY_ID_SIZE 32

/*
 * A grant by certificate: how many links and CAs there are, the hash of the certificate, those of the links, of
 * the CAs, and the names: 'd' for DNS or 'o' for another one, text, NUL; a NUL ends them. Of a raw public key, RAW
 * in the place of the number of links, and at AT_HASHES its fingerprint.
 */
enum { AT_LINKS, AT_CAS, AT_HASHES };
#define RAW 0xff

/* ---- hashes ---- */

static int add_hash(struct tls_hashes *h, uint64_t hash)
{
	if (h->count == h->room) {
		size_t room = 2 * h->room + 16;
		uint64_t *grown = reallocarray(h->hash, room, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		h->hash = grown;
		h->room = room;
	}
	h->hash[h->count++] = hash;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool has_hash(const struct tls_hashes *h, uint64_t hash)
{
	return h->count > 0 && bsearch(&hash, h->hash, h->count, sizeof(hash), compare) != NULL;
}

static void free_hashes(struct tls_hashes *h)
{
	free(h->hash);
	*h = (struct tls_hashes){ .hash = NULL };
}

static uint64_t hash_datum(const struct tls_grants *g, const gnutls_datum_t *d)
{
	return siphash(&g->key, d->data, d->size);
}

/* A name and a key: the CA stays the same when its certificate is renewed. */
static bool hash_ca(const struct tls_grants *g, gnutls_x509_crt_t ca, uint64_t *out)
{
	uint8_t text[8 + KEY_ID_SIZE] = { 0 };
	gnutls_datum_t dn = { NULL, 0 };
	size_t size = KEY_ID_SIZE;
	uint64_t name;
	int rc = gnutls_x509_crt_get_raw_dn(ca, &dn);

	if (rc >= 0)
		rc = gnutls_x509_crt_get_key_id(ca, GNUTLS_KEYID_USE_SHA256, text + 8, &size);
	name = hash_datum(g, &dn);
	gnutls_free(dn.data);
	memcpy(text, &name, sizeof(name));
	*out = siphash(&g->key, text, sizeof(text));
	return rc >= 0;
}

/* What a revocation list names a certificate by. */
static uint64_t hash_serial(const struct tls_grants *g, uint64_t issuer, const uint8_t *serial, size_t size)
{
	uint8_t text[8 + SERIAL_SIZE];

	memcpy(text, &issuer, sizeof(issuer));
	memcpy(text + sizeof(issuer), serial, size);
	return siphash(&g->key, text, sizeof(issuer) + size);
}

/* ---- loading ---- */

int tls_grants_add_ca(struct tls_grants *g, gnutls_x509_crt_t ca)
{
	uint64_t hash;

	/* one with a key that GnuTLS cannot read vouches for nobody */
	return hash_ca(g, ca, &hash) ? add_hash(&g->cas, hash) : 0;
}

int tls_grants_add_crl(struct tls_grants *g, gnutls_x509_crl_t crl)
{
	gnutls_x509_crl_iter_t at = NULL;
	gnutls_datum_t dn = { NULL, 0 };
	uint8_t serial[SERIAL_SIZE];
	size_t size = sizeof(serial);
	uint64_t issuer;
	int rc = 0, got;

	if (gnutls_x509_crl_get_raw_issuer_dn(crl, &dn) < 0)
		return -ENOMEM;
	issuer = hash_datum(g, &dn);
	gnutls_free(dn.data);
	while (rc == 0 && (got = gnutls_x509_crl_iter_crt_serial(crl, &at, serial, &size, NULL)) >= 0) {
		rc = add_hash(&g->revoked, hash_serial(g, issuer, serial, size));
		size = sizeof(serial);
	}
	gnutls_x509_crl_iter_deinit(at);
	/* the end is where there are no more: behind anything else others may be revoked */
	return rc == 0 && got != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? -EINVAL : rc;
}

static void sort(struct tls_hashes *h)
{
	if (h->count > 1)
		qsort(h->hash, h->count, sizeof(*h->hash), compare);
}

void tls_grants_loaded(struct tls_grants *g)
{
	sort(&g->cas);
	sort(&g->revoked);
}

void tls_grants_clear(struct tls_grants *g)
{
	free_hashes(&g->cas);
	free_hashes(&g->revoked);
}

/* ---- taking ---- */

uint32_t tls_grant_key(const struct tls_grants *g, const uint8_t *key, size_t len)
{
	return (uint32_t)siphash(&g->key, key, len) | 1;
}

/* Of the key in the file. 0: there is none for it. */
static uint32_t find_psk(const struct tls_grants *g, const void *identity, size_t len)
{
	size_t key_len;
	const uint8_t *key = g->psks != NULL ? psk_find(g->psks, identity, len, &key_len) : NULL;

	return key != NULL ? tls_grant_key(g, key, key_len) : 0;
}

static uint32_t take_psk(const struct tls_grants *g, gnutls_session_t s, const struct psk_key *told)
{
	gnutls_datum_t identity;
	uint32_t psk = 0;

	if (gnutls_psk_server_get_username2(s, &identity) >= 0)
		psk = find_psk(g, identity.data, identity.size);
	return psk == 0 && told != NULL ? tls_grant_key(g, told->data, told->len) : psk;
}

static void put_hash(struct tls_grant *out, uint64_t hash)
{
	memcpy(out->certificate + out->size, &hash, sizeof(hash));
	out->size += sizeof(hash);
}

static uint64_t hash_link(const struct tls_grants *g, gnutls_x509_crt_t crt)
{
	uint8_t serial[SERIAL_SIZE] = { 0 };
	size_t size = sizeof(serial);
	gnutls_datum_t dn = { NULL, 0 };
	uint64_t issuer;

	if (gnutls_x509_crt_get_raw_issuer_dn(crt, &dn) < 0 || gnutls_x509_crt_get_serial(crt, serial, &size) < 0)
		size = 0;
	issuer = hash_datum(g, &dn);
	gnutls_free(dn.data);
	return hash_serial(g, issuer, serial, size);
}

static void put_links(const struct tls_grants *g, const gnutls_x509_crt_t *chain, unsigned count,
		      struct tls_grant *out)
{
	for (unsigned i = 0; i < count; i++)
		put_hash(out, hash_link(g, chain[i]));
	out->certificate[AT_LINKS] = (uint8_t)count;
}

/* By its key, whatever the names say. */
static bool has_signed(gnutls_x509_crt_t issuer, gnutls_x509_crt_t crt)
{
	unsigned wrong = 0;

	return gnutls_x509_crt_check_issuer(crt, issuer) == 1 &&
	       gnutls_x509_crt_verify(crt, &issuer, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &wrong) >= 0 &&
	       (wrong & (GNUTLS_CERT_SIGNATURE_FAILURE | GNUTLS_CERT_SIGNER_NOT_FOUND)) == 0;
}

/*
 * Of several CAs of one name GnuTLS finds the first: then all are looked at. alone: the handshake leaves no other than
 * that, and another signature to check would cost a fifth of it.
 */
static bool find_signer(const struct tls_grants *g, gnutls_x509_trust_list_t list, gnutls_x509_crt_t crt, bool alone,
			uint64_t *hash)
{
	gnutls_x509_trust_list_iter_t at = NULL;
	gnutls_x509_crt_t ca;
	bool found = false;

	if (gnutls_x509_trust_list_get_issuer(list, crt, &ca, 0) < 0)
		return false;
	if (alone || has_signed(ca, crt))
		return hash_ca(g, ca, hash);
	while (!found && gnutls_x509_trust_list_iter_get_ca(list, &at, &ca) >= 0) {
		found = has_signed(ca, crt) && hash_ca(g, ca, hash);
		gnutls_x509_crt_deinit(ca);
	}
	gnutls_x509_trust_list_iter_deinit(at);
	return found;
}

static void put_ca(struct tls_grant *out, uint64_t hash)
{
	put_hash(out, hash);
	out->certificate[AT_CAS]++;
}

/* Each of these can vouch for it: those that have signed a certificate of the chain, and one that is trusted itself. */
static void put_cas(const struct tls_grants *g, const gnutls_x509_crt_t *chain, unsigned count, struct tls_grant *out)
{
	bool alone = count == 1 && g->cas.count == 1;
	gnutls_x509_trust_list_t list;
	uint64_t hash;

	gnutls_certificate_get_trust_list(g->certificate, &list);
	for (unsigned i = 0; i < count; i++) {
		if (find_signer(g, list, chain[i], alone, &hash))
			put_ca(out, hash);
		if (hash_ca(g, chain[i], &hash) && has_hash(&g->cas, hash))
			put_ca(out, hash);
	}
}

static bool put_name(void *ctx, const char *name, bool dns)
{
	struct tls_grant *out = ctx;
	size_t size = strlen(name) + 1;

	if (out->size + 1 + size + 1 > sizeof(out->certificate))
		return false;
	out->certificate[out->size++] = dns ? 'd' : 'o';
	memcpy(out->certificate + out->size, name, size);
	out->size += (uint16_t)size;
	return false;
}

static void take_chain(const struct tls_grants *g, const gnutls_datum_t *der, const gnutls_x509_crt_t *chain,
		       unsigned count, struct tls_grant *out)
{
	uint8_t fingerprint[TLS_FINGERPRINT_SIZE] = { 0 };
	size_t size = sizeof(fingerprint);

	gnutls_fingerprint(GNUTLS_DIG_SHA256, der, fingerprint, &size);
	memset(out->certificate, 0, AT_HASHES);
	out->size = AT_HASHES;
	put_hash(out, siphash(&g->key, fingerprint, sizeof(fingerprint)));
	put_links(g, chain, count, out);
	put_cas(g, chain, count, out);
	if (count > 0)
		tls_allowed_names(chain[0], put_name, out);
	out->certificate[out->size++] = '\0';
}

/*
 * Brings those to the front that have signed one another, from the client's own on: beside them it may send what it
 * likes. How many they are.
 */
static unsigned follow_chain(gnutls_x509_crt_t *chain, unsigned count)
{
	unsigned n = count > 0;

	for (unsigned i = n; i < count; i++) {
		gnutls_x509_crt_t crt = chain[i];

		if (!has_signed(crt, chain[n - 1]))
			continue;
		chain[i] = chain[n];
		chain[n] = crt;
		i = n++;
	}
	return n;
}

static void free_chain(gnutls_x509_crt_t *chain, unsigned count)
{
	while (count > 0)
		gnutls_x509_crt_deinit(chain[--count]);
}

/* How many certificates are in chain: as many as are verified, none when memory is short. */
static unsigned read_chain(const gnutls_datum_t *ders, unsigned count, gnutls_x509_crt_t *chain)
{
	if (count > LINKS_MOST)
		count = LINKS_MOST;
	for (unsigned n = 0; n < count; n++) {
		if (gnutls_x509_crt_init(&chain[n]) < 0) {
			free_chain(chain, n);
			return 0;
		}
		if (gnutls_x509_crt_import(chain[n], &ders[n], GNUTLS_X509_FMT_DER) < 0) {
			free_chain(chain, n + 1); /* GnuTLS would read what it has freed of it */
			return 0;
		}
	}
	return count;
}

static void take_certificate(const struct tls_grants *g, const gnutls_datum_t *ders, unsigned count,
			     struct tls_grant *out)
{
	gnutls_x509_crt_t chain[LINKS_MOST];
	unsigned n = read_chain(ders, count, chain);

	take_chain(g, &ders[0], chain, follow_chain(chain, n), out); /* nothing vouches for an empty one */
	free_chain(chain, n);
}

void tls_grant_take(const struct tls_grants *g, gnutls_session_t s, const struct psk_key *told, struct tls_grant *out)
{
	const gnutls_datum_t *ders;
	unsigned count;

	out->psk = 0;
	out->size = 0;
	if (gnutls_auth_get_type(s) == GNUTLS_CRD_PSK) {
		out->psk = take_psk(g, s, told);
		return;
	}
	if (tls_raw_peer(s, out->certificate + AT_HASHES)) {
		out->certificate[AT_LINKS] = RAW;
		out->size = AT_HASHES + TLS_FINGERPRINT_SIZE;
		return;
	}
	ders = gnutls_certificate_get_peers(s, &count);
	if (ders != NULL && g->certificate != NULL)
		take_certificate(g, ders, count, out);
}

/* ---- asking ---- */

static uint64_t hash_at(const uint8_t **at)
{
	uint64_t hash;

	memcpy(&hash, *at, sizeof(hash));
	*at += sizeof(hash);
	return hash;
}

/* fingerprint: its hash. names: of the certificate. */
static bool is_allowed(const struct tls_grants *g, uint64_t fingerprint, const uint8_t *names)
{
	const struct tls_allowed *a = g->allowed;

	if (tls_allowed_all(a))
		return true;
	for (unsigned i = 0; i < a->fingerprint_count; i++)
		if (siphash(&g->key, a->fingerprints[i], TLS_FINGERPRINT_SIZE) == fingerprint)
			return true;
	while (*names != '\0') {
		const char *name = (const char *)names + 1;

		if (tls_allowed_name(a, name, *names == 'd'))
			return true;
		names += strlen(name) + 2;
	}
	return false;
}

static bool certificate_holds(const struct tls_grants *g, const uint8_t *c)
{
	const uint8_t *at = c + AT_HASHES;
	uint64_t fingerprint;
	bool vouched = false;

	if (c[AT_LINKS] == RAW)
		return tls_raw_has(g->raw, at);
	fingerprint = hash_at(&at);
	for (unsigned i = 0; i < c[AT_LINKS]; i++)
		if (has_hash(&g->revoked, hash_at(&at)))
			return false;
	for (unsigned i = 0; i < c[AT_CAS]; i++)
		vouched |= has_hash(&g->cas, hash_at(&at));
	return vouched && is_allowed(g, fingerprint, at);
}

/* The key is looked for under the identity that its session goes by. */
static enum tls_grant_verdict check_psk(const struct tls_grants *g, uint32_t psk, const char *identity)
{
	uint8_t raw[PSK_IDENTITY_MAX] = { 0 };
	size_t len = identity != NULL ? tls_peer_psk_identity(identity, raw, sizeof(raw)) : 0;
	uint32_t now = find_psk(g, raw, len);

	if (now == 0 && len > 0 && g->psk_program)
		return TLS_GRANT_ASK;
	return now == psk ? TLS_GRANT_GOOD : TLS_GRANT_VOID;
}

enum tls_grant_verdict tls_grant_check(const struct tls_grants *g, const uint8_t *certificate, uint32_t psk,
				       const char *identity)
{
	if (psk != 0)
		return check_psk(g, psk, identity);
	if (certificate != NULL ? certificate_holds(g, certificate) : !g->certificate_required)
		return TLS_GRANT_GOOD;
	return TLS_GRANT_VOID;
}
