/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/dtls.h>

#include "clock.h"
#include "log.h"
#include "resumption.h"
#include "tls_allowed.h"
#include "tls_alpn.h"
#include "tls_cert.h"
#include "tls_curves.h"
#include "tls_file.h"
#include "tls_ocsp.h"
#include "tls_trust.h"

#define TIMEOUT_OFF_MS (3600u * 1000)
/*
 * GnuTLS allocates its MTU twice for each message of a flight. What is over 1 KiB is slow with malloc, so
 * where all messages are short a small one saves a tenth of a handshake; a long chain takes the maximum,
 * since GnuTLS fails at 32 fragments. The flight is cut for the path later in either case.
 */
#define MTU_LARGE 16384
#define MTU_SMALL 896
#define MTU_SMALL_CHAIN 700 /* bytes of DER that fit into one record of it, with headers */
#define VERIFY_BITS_MAX 8192 /* a stranger's certificate must not choose how long we compute */
#define VERIFY_DEPTH_MAX 8

/* Nothing but the count changes after tls_load, so the workers need no lock. */
struct tls {
	atomic_uint refs;
	struct tls_share share;
	gnutls_priority_t priority;
	struct tls_curves curves;
	gnutls_certificate_credentials_t certificate; /* NULL: PSK only */
	gnutls_psk_server_credentials_t psk;          /* NULL: certificates only */
	struct tls_psk keys;
	struct names alpn;
	gnutls_certificate_request_t request;
	struct expiry expiry;
	struct tls_allowed allowed;
	struct tls_raw raw;
	bool any_raw; /* public keys are shown or taken */
	struct tls_grants grants;
	gnutls_datum_t pin; /* of keys in tokens, which may be asked for at any time */
	unsigned mtu; /* for GnuTLS, see MTU_SMALL */
};

/* One tls_load under way. */
struct loader {
	const struct tls_options *o;
	const char *dashes;
	struct tls *tls;
	struct tls_trust trust;
	struct tls_error error;
	struct names certfiles;
	struct tls_cert certs[NAMES_MOST + 1]; /* of each of them, and behind of the raw public key */
	unsigned cert_count;
};

/* ---- what a handshake asks ---- */

static int on_certificate(gnutls_session_t s)
{
	const struct tls *t = gnutls_db_get_ptr(s);
	const gnutls_datum_t *leaf = gnutls_certificate_get_peers(s, NULL);
	uint8_t raw[TLS_FINGERPRINT_SIZE];
	int rc;

	if (tls_raw_peer(s, raw))
		return tls_raw_has(&t->raw, raw) ? 0 :
		       tls_peer_refuse(s, "it is none of those that are allowed", GNUTLS_A_ACCESS_DENIED);
	rc = tls_peer_verify(s);
	if (rc < 0 || leaf == NULL || tls_allowed_has(&t->allowed, leaf))
		return rc;
	return tls_peer_refuse(s, "it is none of those that are allowed", GNUTLS_A_ACCESS_DENIED);
}

static int give_key(gnutls_datum_t *out, const uint8_t *key, size_t len)
{
	out->data = gnutls_malloc(len);
	if (out->data == NULL)
		return -1;
	memcpy(out->data, key, len);
	out->size = (unsigned)len;
	return 0;
}

/* 1 makes GnuTLS go on with a random key, so that a stranger cannot find out which identities exist. */
static int on_psk(gnutls_session_t s, const gnutls_datum_t *identity, gnutls_datum_t *key)
{
	const struct tls *t = gnutls_db_get_ptr(s);
	struct tls_report *report = gnutls_session_get_ptr(s);
	const uint8_t *found = NULL;
	size_t len;

	if (t->keys.table != NULL)
		found = psk_find(t->keys.table, identity->data, identity->size, &len);
	if (found != NULL)
		return give_key(key, found, len);
	if (report->psk_key != NULL && report->psk_key->len > 0)
		return give_key(key, report->psk_key->data, report->psk_key->len);
	tls_peer_psk_unknown(report, identity, report->psk_key != NULL ? "known at the psk-socket" : "in the PSK file");
	return 1;
}

static int on_store(void *ptr, gnutls_datum_t key, gnutls_datum_t data)
{
	const struct tls *t = ptr;

	return resumption_store(t->share.cache, t->share.generation, &key, &data);
}

static gnutls_datum_t on_retrieve(void *ptr, gnutls_datum_t key)
{
	const struct tls *t = ptr;

	return resumption_retrieve(t->share.cache, t->share.generation, &key);
}

static int on_remove(void *ptr, gnutls_datum_t key)
{
	const struct tls *t = ptr;

	return resumption_remove(t->share.cache, t->share.generation, &key);
}

static int allow_resumption(struct tls *t, gnutls_session_t s)
{
	if (t->share.cache != NULL) {
		gnutls_db_set_store_function(s, on_store);
		gnutls_db_set_retrieve_function(s, on_retrieve);
		gnutls_db_set_remove_function(s, on_remove);
	}
	return t->share.lifetime_s > 0 ? gnutls_session_ticket_enable_server(s, &t->share.ticket_key) : 0;
}

/* client_version is the body's first field. */
static int on_client_hello(gnutls_session_t s, unsigned type, unsigned post, unsigned incoming,
			   const gnutls_datum_t *msg)
{
	struct tls_report *report = gnutls_session_get_ptr(s);
	struct tls *t = gnutls_db_get_ptr(s);

	struct tls_offer offer;
	int rc;

	(void)type;
	(void)post;
	if (!incoming)
		return 0;
	if (msg->size >= 2)
		report->client_version = (uint16_t)(msg->data[0] << 8 | msg->data[1]);
	tls_offer_parse(&offer, msg->data, msg->size);
	rc = tls_curves_choose(&t->curves, &offer, s);
	return rc < 0 || tls_psk_may_ask(&t->keys, &offer) ? rc : allow_resumption(t, s);
}

/* ---- loading ---- */

static int load_pairs(struct loader *l, const struct names *keyfiles, const char *password)
{
	struct tls *t = l->tls;

	if (l->certfiles.count != keyfiles->count)
		return tls_fail(&l->error, "%sx509certfile and %sx509keyfile name %u certificates and %u keys; name as "
				"many of each, in the same order", l->dashes, l->dashes, l->certfiles.count,
				keyfiles->count);
	for (unsigned i = 0; i < keyfiles->count; i++) {
		const struct tls_pair pair = { l->certfiles.name[i], keyfiles->name[i], password, l->dashes, false };
		int rc = tls_cert_load(&l->error, &pair, t->certificate, &t->expiry, &l->certs[i]);

		if (rc < 0)
			return rc;
		l->cert_count++;
		if (l->certs[i].der_size > MTU_SMALL_CHAIN)
			t->mtu = MTU_LARGE;
	}
	return 0;
}

static int load_raw_key(struct loader *l, const char *password)
{
	const struct tls_pair pair = { .keyfile = l->o->raw_public_key, .password = password, .dashes = l->dashes };

	if (l->o->raw_public_key == NULL)
		return 0;
	return tls_cert_load_raw(&l->error, &pair, l->tls->certificate, &l->certs[l->cert_count++]);
}

static bool any_token(const struct names *keyfiles)
{
	bool any = false;

	for (unsigned i = 0; i < keyfiles->count; i++)
		any |= names_token(keyfiles->name[i]);
	return any;
}

static int load_certificates(struct loader *l)
{
	struct tls *t = l->tls;
	struct names keyfiles = { .count = 0 };
	gnutls_datum_t password = { NULL, 0 };
	int rc = 0;

	if (gnutls_certificate_allocate_credentials(&t->certificate) < 0)
		return tls_fail(&l->error, "out of memory for the certificate");
	gnutls_certificate_set_verify_function(t->certificate, on_certificate);
	gnutls_certificate_set_verify_limits(t->certificate, VERIFY_BITS_MAX, VERIFY_DEPTH_MAX);
	if (l->o->x509certfile != NULL)
		rc = tls_file_names(&l->error, l->dashes, "x509certfile", l->o->x509certfile, &l->certfiles);
	if (rc == 0 && l->o->x509keyfile != NULL)
		rc = tls_file_names(&l->error, l->dashes, "x509keyfile", l->o->x509keyfile, &keyfiles);
	if (rc == 0 && l->o->key_password != NULL)
		rc = tls_cert_password(&l->error, l->o->key_password, &password);
	if (rc == 0)
		rc = load_pairs(l, &keyfiles, (const char *)password.data);
	if (rc == 0)
		rc = load_raw_key(l, (const char *)password.data);
	if (rc == 0 && (any_token(&keyfiles) || (l->o->raw_public_key != NULL && names_token(l->o->raw_public_key))))
		t->pin = password;
	else
		tls_wipe(&password);
	names_free(&keyfiles);
	return rc;
}

static int load_ocsp(struct loader *l)
{
	struct names files;
	int rc = tls_file_names(&l->error, l->dashes, "ocsp-response", l->o->ocsp_response, &files);

	for (unsigned i = 0; rc == 0 && i < files.count; i++) {
		size_t size = 0;

		rc = tls_ocsp_load(&l->error, files.name[i], l->tls->certificate, &l->tls->expiry, &size);
		if (size > MTU_SMALL_CHAIN)
			l->tls->mtu = MTU_LARGE;
	}
	names_free(&files);
	return rc;
}

static int load_allowed(struct loader *l)
{
	const char *names = l->o->allowed_names, *fingerprints = l->o->allowed_fingerprints;
	int rc = tls_allowed_load(&l->tls->allowed, &l->error, l->dashes, names, fingerprints);

	if (rc == 0 && names != NULL)
		rc = tls_trust_add(&l->trust, "allowed-names", names, strlen(names));
	if (rc == 0 && fingerprints != NULL)
		rc = tls_trust_add(&l->trust, "allowed-fingerprints", fingerprints, strlen(fingerprints));
	return rc;
}

static int load_psk(struct loader *l)
{
	const struct tls_psk_options o = {
		.file = l->o->pskpasswd,
		.socket = l->o->psk_socket,
		.cache_s = l->o->psk_cache_s,
		.dashes = l->dashes,
		.alone = !tls_has_key(l->o) && l->o->psk_socket == NULL,
	};

	if (gnutls_psk_allocate_server_credentials(&l->tls->psk) < 0)
		return tls_fail(&l->error, "out of memory for the PSKs");
	gnutls_psk_set_server_credentials_function2(l->tls->psk, on_psk);
	return tls_psk_load(&l->tls->keys, &l->trust, &o);
}

static int load_priority(struct loader *l)
{
	/* then GnuTLS 3.7 still refuses a client that could show none of the kinds that are named (RFC 7250 4.2) */
	bool nobody_asked = l->o->verify_client == VERIFY_CLIENT_NONE;
	const struct tls_wish wish = {
		.priority = l->o->priority != NULL ? l->o->priority : TLS_PRIORITY_DEFAULT,
		.dashes = l->dashes,
		.certs = l->certs,
		.cert_count = l->cert_count,
		.raw_server = l->o->raw_public_key != NULL,
		.raw_client = l->o->allowed_raw_keys != NULL || (nobody_asked && l->o->raw_public_key != NULL),
		.x509_server = l->o->x509certfile != NULL,
		.x509_client = l->o->x509cafile != NULL || nobody_asked,
		.psks = l->o->pskpasswd != NULL ? l->o->pskpasswd : l->o->psk_socket,
	};
	char text[TLS_PRIORITY_MAX];
	int rc = tls_priority_load(&l->error, &wish, text, &l->tls->priority);

	if (rc < 0)
		return rc;
	if (tls_curves_load(&l->tls->curves, l->certs, l->cert_count, text) < 0)
		return tls_fail(&l->error, "out of memory for the priorities");
	tls_psk_serve(&l->tls->keys, l->tls->priority);
	return tls_trust_add(&l->trust, "priority", text, strlen(text));
}

static void note_grants(struct loader *l)
{
	struct tls_grants *g = &l->tls->grants;

	g->allowed = &l->tls->allowed;
	g->raw = &l->tls->raw;
	g->psks = l->tls->keys.table;
	g->psk_program = l->o->psk_socket != NULL;
	g->certificate = l->o->x509cafile != NULL ? l->tls->certificate : NULL;
	g->certificate_required = l->o->verify_client == VERIFY_CLIENT_REQUIRED;
	tls_grants_loaded(g);
}

static int load_all(struct loader *l)
{
	const struct tls_options *o = l->o;
	int rc = tls_options_check(o, &l->error);

	if (rc == 0 && tls_has_key(o))
		rc = load_certificates(l);
	if (rc == 0 && o->ocsp_response != NULL)
		rc = load_ocsp(l);
	if (rc == 0 && o->x509cafile != NULL)
		rc = tls_trust_cas(&l->trust, o->x509cafile, l->tls->certificate, &l->tls->expiry);
	if (rc == 0 && o->x509crlfile != NULL)
		rc = tls_trust_crls(&l->trust, l->dashes, o->x509crlfile, l->tls->certificate, &l->tls->expiry);
	if (rc == 0)
		rc = load_allowed(l);
	if (rc == 0 && o->allowed_raw_keys != NULL)
		rc = tls_trust_raw_keys(&l->trust, o->allowed_raw_keys, &l->tls->raw);
	if (rc == 0 && tls_has_psks(o))
		rc = load_psk(l);
	if (rc == 0 && o->alpn != NULL)
		rc = tls_alpn_load(&l->error, l->dashes, o->alpn, &l->tls->alpn);
	if (rc == 0)
		rc = load_priority(l);
	if (rc == 0)
		rc = tls_trust_add(&l->trust, "verify", &o->verify_client, sizeof(o->verify_client));
	note_grants(l);
	l->tls->any_raw = o->raw_public_key != NULL || o->allowed_raw_keys != NULL;
	l->tls->request = o->verify_client == VERIFY_CLIENT_REQUIRED ? GNUTLS_CERT_REQUIRE :
			  o->verify_client == VERIFY_CLIENT_OPTIONAL ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE;
	return rc;
}

struct tls *tls_load(const struct tls_options *o, struct tls_shared *shared, char *err, size_t err_size)
{
	struct loader l = { .o = o, .error = { err, err_size } };
	uint8_t trust[TLS_TRUST_SIZE];
	int rc;

	l.dashes = o->dashes != NULL ? o->dashes : "--";
	l.tls = calloc(1, sizeof(*l.tls));
	if (l.tls == NULL || tls_trust_begin(&l.trust, &l.tls->grants, &l.error) < 0) {
		free(l.tls);
		tls_fail(&l.error, "out of memory");
		return NULL;
	}
	atomic_init(&l.tls->refs, 1);
	l.tls->mtu = MTU_SMALL;
	l.tls->grants.key = *tls_shared_hash_key(shared);
	rc = load_all(&l);
	tls_trust_end(&l.trust, trust);
	names_free(&l.certfiles);
	if (rc == 0 && tls_share_join(shared, trust, &l.tls->share) < 0)
		rc = tls_fail(&l.error, "out of memory");
	if (rc == 0) {
		expiry_warn(&l.tls->expiry, 0, clock_wall_s());
		return l.tls;
	}
	tls_unref(l.tls);
	return NULL;
}

const struct tls_grants *tls_grants(const struct tls *t)
{
	return &t->grants;
}

const struct tls_psk *tls_psk(const struct tls *t)
{
	return &t->keys;
}

bool tls_trust_differs(const struct tls *a, const struct tls *b)
{
	return a != b && a->share.generation != b->share.generation;
}

const struct expiry *tls_expiry(const struct tls *t)
{
	return &t->expiry;
}

struct tls *tls_ref(struct tls *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_unref(struct tls *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (t->priority != NULL)
		gnutls_priority_deinit(t->priority);
	tls_curves_clear(&t->curves);
	if (t->certificate != NULL)
		gnutls_certificate_free_credentials(t->certificate);
	if (t->psk != NULL)
		gnutls_psk_free_server_credentials(t->psk);
	tls_wipe(&t->pin);
	tls_psk_clear(&t->keys);
	expiry_clear(&t->expiry);
	tls_allowed_clear(&t->allowed);
	tls_raw_clear(&t->raw);
	tls_grants_clear(&t->grants);
	names_free(&t->alpn);
	tls_share_clear(&t->share);
	free(t);
}

/* ---- sessions ---- */

static int set_up(struct tls *t, struct tls_report *report, gnutls_session_t s)
{
	int rc = gnutls_priority_set(s, t->priority);

	if (rc >= 0 && t->certificate != NULL)
		rc = gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->certificate);
	if (rc >= 0 && t->psk != NULL)
		rc = gnutls_credentials_set(s, GNUTLS_CRD_PSK, t->psk);
	/* a client that asks for none goes on without; one that asks for others only is refused (RFC 7301 3.2) */
	if (rc >= 0)
		rc = tls_alpn_set(&t->alpn, s, GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE);
	if (rc < 0)
		return rc;
	gnutls_session_set_ptr(s, report);
	gnutls_db_set_ptr(s, t);
	gnutls_db_set_cache_expiration(s, (int)t->share.lifetime_s);
	gnutls_certificate_server_set_request(s, t->request);
	gnutls_handshake_set_hook_function(s, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE,
					   on_client_hello);
	gnutls_dtls_set_timeouts(s, TIMEOUT_OFF_MS, TIMEOUT_OFF_MS);
	gnutls_dtls_set_mtu(s, t->mtu);
	return 0;
}

int tls_session_new(struct tls *t, struct tls_report *report, gnutls_session_t *out)
{
	int rc = gnutls_init(out, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK |
			     (t->any_raw ? GNUTLS_ENABLE_RAWPK : 0));

	memset(report, 0, sizeof(*report));
	report->served = t->priority;
	if (rc >= 0) {
		rc = set_up(t, report, *out);
		if (rc < 0)
			gnutls_deinit(*out);
	}
	if (rc < 0)
		*out = NULL;
	return rc < 0 ? rc : 0;
}
