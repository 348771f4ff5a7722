/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/dtls.h>
#include <gnutls/x509.h>

#include "clock.h"
#include "hex.h"
#include "names.h"
#include "psk.h"
#include "tls_advice.h"
#include "tls_alpn.h"
#include "tls_cert.h"
#include "tls_priority.h"
#include "tls_raw.h"

#define TIMEOUT_OFF_MS (3600u * 1000)
#define MTU_LARGE 16384 /* the flight is cut for the path later */
#define NAME_MOST 255

struct tls_client {
	atomic_uint refs;
	gnutls_priority_t priority;
	gnutls_certificate_credentials_t certificate; /* NULL: the server has a PSK */
	gnutls_psk_client_credentials_t psk;          /* NULL: it has a certificate or public key */
	struct tls_raw raw;                           /* that the server may show */
	bool any_raw;                                 /* public keys are shown or taken */
	struct names alpn;
	struct expiry expiry;
	char name[NAME_MOST + 1];
	bool name_is_address;                         /* not a name for SNI (RFC 6066 3) */
	gnutls_typed_vdata_st wanted[2];              /* of the server's certificate: its name and purpose */
	gnutls_datum_t password;                      /* of keys in tokens, which may be asked for at any time */
	uint8_t digest[TLS_TRUST_SIZE];
};

/* One load under way. */
struct loader {
	const struct tls_client_options *o;
	struct tls_client *tls;
	struct tls_trust trust;
	struct tls_grants grants; /* of no use here: a server's sessions are judged by them */
	struct tls_error error;
};

/* ---- whom it talks to ---- */

/* Does the server show a certificate? It may show a public key, too. */
static bool takes_x509(const struct tls_client_options *o)
{
	return o->pskpasswd == NULL && (o->allowed_raw_keys == NULL || o->x509cafile != NULL);
}

static int on_server(gnutls_session_t s)
{
	struct tls_client *t = gnutls_session_get_ptr(s);
	uint8_t raw[TLS_FINGERPRINT_SIZE];
	unsigned status;

	if (tls_raw_peer(s, raw) ? tls_raw_has(&t->raw, raw) :
				   gnutls_certificate_verify_peers(s, t->wanted, 2, &status) >= 0 && status == 0)
		return 0;
	return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/* The host of the first server: "name:port", "192.0.2.1:port*2", "[::1]:port". */
static size_t find_host(const char *to, const char **host)
{
	to += strspn(to, " \t");
	if (*to == '[') {
		*host = to + 1;
		return strcspn(to + 1, "%]");
	}
	*host = to;
	return strcspn(to, ":,* \t");
}

static int load_name(struct loader *l)
{
	const char *host = l->o->server_name, *d = l->o->dashes;
	size_t len = host != NULL ? strlen(host) : find_host(l->o->to, &host);
	char *name = l->tls->name;
	static unsigned char server_oid[] = GNUTLS_KP_TLS_WWW_SERVER;
	uint8_t address[16];

	if (l->o->server_name == NULL && takes_x509(l->o) && strchr(l->o->to, ',') != NULL)
		return tls_fail(&l->error, "%sto names several servers; say with %sserver-name which name their "
				"certificates have", d, d);
	if (len == 0 || len > NAME_MOST)
		return tls_fail(&l->error, "%sserver-name: the server's name has %zu bytes; 1 to %d are allowed", d, len,
				NAME_MOST);
	memcpy(name, host, len);
	if (len > 1 && name[len - 1] == '.')
		name[len - 1] = '\0';
	l->tls->wanted[0] = (gnutls_typed_vdata_st){ GNUTLS_DT_DNS_HOSTNAME, (unsigned char *)name, 0 };
	l->tls->wanted[1] = (gnutls_typed_vdata_st){ GNUTLS_DT_KEY_PURPOSE_OID, server_oid, 0 };
	l->tls->name_is_address = inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
	return 0;
}

/* Whether a reload found others. */
static int digest_system_cas(struct loader *l)
{
	gnutls_x509_trust_list_iter_t at = NULL;
	gnutls_x509_trust_list_t list;
	gnutls_x509_crt_t ca;
	int rc = 0;

	gnutls_certificate_get_trust_list(l->tls->certificate, &list);
	while (rc == 0 && gnutls_x509_trust_list_iter_get_ca(list, &at, &ca) >= 0) {
		uint8_t print[32];
		size_t size = sizeof(print);

		if (gnutls_x509_crt_get_fingerprint(ca, GNUTLS_DIG_SHA256, print, &size) >= 0)
			rc = tls_trust_add(&l->trust, "system-ca", print, size);
		gnutls_x509_crt_deinit(ca);
	}
	gnutls_x509_trust_list_iter_deinit(at);
	return rc;
}

static int load_cas(struct loader *l)
{
	if (l->o->x509cafile != NULL)
		return tls_trust_cas(&l->trust, l->o->x509cafile, l->tls->certificate, &l->tls->expiry);
	if (gnutls_certificate_set_x509_system_trust(l->tls->certificate) <= 0)
		return tls_fail(&l->error, "this system has no CAs to verify the server with; install them (Debian: "
				"ca-certificates), or give those of the server with %sx509cafile", l->o->dashes);
	return digest_system_cas(l);
}

/* ---- as whom ---- */

static int digest_file(struct loader *l, const char *what, const char *path)
{
	gnutls_datum_t pem;
	int rc;

	if (names_token(path))
		return tls_trust_add(&l->trust, what, path, strlen(path));
	rc = tls_file_read(&l->error, path, what, false, &pem);
	if (rc == 0)
		rc = tls_trust_add(&l->trust, what, pem.data, pem.size);
	tls_wipe(&pem);
	return rc;
}

static int load_certificate(struct loader *l)
{
	const struct tls_client_options *o = l->o;
	const char *password = (const char *)l->tls->password.data;
	const struct tls_pair pair = { o->x509certfile, o->x509keyfile, password, o->dashes, true };
	struct tls_cert cert;
	int rc = tls_cert_load(&l->error, &pair, l->tls->certificate, &l->tls->expiry, &cert);

	return rc == 0 ? digest_file(l, "certificate", o->x509certfile) : rc;
}

static int load_raw_key(struct loader *l)
{
	const struct tls_client_options *o = l->o;
	const char *password = (const char *)l->tls->password.data;
	const struct tls_pair pair = { NULL, o->raw_public_key, password, o->dashes, true };
	struct tls_cert cert;
	int rc = tls_cert_load_raw(&l->error, &pair, l->tls->certificate, &cert);

	return rc == 0 ? digest_file(l, "key", o->raw_public_key) : rc;
}

static int load_own(struct loader *l)
{
	const struct tls_client_options *o = l->o;
	int rc = 0;

	if (o->key_password != NULL)
		rc = tls_cert_password(&l->error, o->key_password, &l->tls->password);
	if (rc == 0 && o->x509certfile != NULL)
		rc = load_certificate(l);
	if (rc == 0 && o->raw_public_key != NULL)
		rc = load_raw_key(l);
	return rc;
}

static int use_psk(struct loader *l, const struct psk_table *table)
{
	const char *identity = l->o->psk_identity;
	gnutls_datum_t name = { (unsigned char *)(uintptr_t)identity, (unsigned)strlen(identity) };
	gnutls_datum_t key = { NULL, 0 };
	size_t len = 0;

	key.data = (unsigned char *)(uintptr_t)psk_find(table, identity, strlen(identity), &len);
	key.size = (unsigned)len;
	if (key.data == NULL)
		return tls_fail(&l->error, "%s: the identity %s of %spsk-identity is not in it; add it with: psktool -u "
				"%s -p %s", l->o->pskpasswd, identity, l->o->dashes, identity, l->o->pskpasswd);
	if (gnutls_psk_allocate_client_credentials(&l->tls->psk) < 0 ||
	    gnutls_psk_set_client_credentials2(l->tls->psk, &name, &key, GNUTLS_PSK_KEY_RAW) < 0)
		return tls_fail(&l->error, "out of memory for the PSK");
	return tls_trust_add(&l->trust, "psk-identity", identity, strlen(identity));
}

static int load_psk(struct loader *l)
{
	struct psk_table *table = NULL;
	int rc = tls_trust_psks(&l->trust, l->o->pskpasswd, &table);

	if (rc == 0)
		rc = use_psk(l, table);
	psk_free(table);
	return rc;
}

static int load_public_keys(struct loader *l)
{
	const struct tls_client_options *o = l->o;
	int rc = 0;

	if (gnutls_certificate_allocate_credentials(&l->tls->certificate) < 0)
		return tls_fail(&l->error, "out of memory for certificates");
	if (takes_x509(o))
		rc = load_cas(l);
	if (rc == 0 && o->x509crlfile != NULL)
		rc = tls_trust_crls(&l->trust, o->dashes, o->x509crlfile, l->tls->certificate, &l->tls->expiry);
	if (rc == 0 && o->allowed_raw_keys != NULL)
		rc = tls_trust_raw_keys(&l->trust, o->allowed_raw_keys, &l->tls->raw);
	l->tls->any_raw = o->allowed_raw_keys != NULL || o->raw_public_key != NULL;
	return rc == 0 ? load_own(l) : rc;
}

/* ---- what it offers ---- */

static int load_priority(struct loader *l)
{
	char text[TLS_PRIORITY_MAX];
	const struct tls_wish wish = {
		.priority = l->o->priority != NULL ? l->o->priority : TLS_PRIORITY_DEFAULT,
		.dashes = l->o->dashes,
		.psks = l->o->pskpasswd,
		.verifies = l->o->pskpasswd == NULL,
		.raw_server = l->o->allowed_raw_keys != NULL,
		.raw_client = l->o->raw_public_key != NULL,
		.x509_server = takes_x509(l->o),
		.x509_client = l->o->x509certfile != NULL,
	};
	int rc = tls_priority_load(&l->error, &wish, text, &l->tls->priority);

	if (rc < 0)
		return rc;
	return tls_trust_add(&l->trust, "priority", text, strlen(text));
}

static int load_alpn(struct loader *l)
{
	int rc = tls_alpn_load(&l->error, l->o->dashes, l->o->alpn, &l->tls->alpn);

	return rc < 0 ? rc : tls_trust_add(&l->trust, "alpn", l->o->alpn, strlen(l->o->alpn));
}

/* What GnuTLS takes as late as that: above all the name, which must be one that SNI can carry. */
static int try_session(struct loader *l)
{
	const gnutls_datum_t none = { NULL, 0 };
	gnutls_session_t s;
	int rc = tls_client_session(l->tls, &none, &s);

	if (rc < 0)
		return tls_fail(&l->error, "%sserver-name: give another one than %s, for which no session can be made: "
				"%s", l->o->dashes, l->tls->name, gnutls_strerror(rc));
	gnutls_deinit(s);
	return 0;
}

static int check_options(const struct loader *l)
{
	const struct tls_client_options *o = l->o;
	const char *d = o->dashes;

	if ((o->x509certfile == NULL) != (o->x509keyfile == NULL))
		return tls_fail(&l->error, "%sx509certfile and %sx509keyfile belong together; give both or none", d, d);
	if ((o->pskpasswd == NULL) != (o->psk_identity == NULL))
		return tls_fail(&l->error, "%spskpasswd and %spsk-identity belong together: the file, and which of its "
				"identities this client is; give both or none", d, d);
	if (o->pskpasswd != NULL && (o->raw_public_key != NULL || o->allowed_raw_keys != NULL))
		return tls_fail(&l->error, "%spskpasswd is given, with which no public keys are used; leave out %spskpasswd, or "
				"%sraw-public-key and %sallowed-raw-keys", d, d, d, d);
	if (o->pskpasswd != NULL && (o->x509certfile != NULL || o->x509cafile != NULL || o->x509crlfile != NULL))
		return tls_fail(&l->error, "%spskpasswd is given, with which no certificates are used; leave out "
				"%spskpasswd, or %sx509certfile, %sx509cafile and %sx509crlfile", d, d, d, d, d);
	return 0;
}

static int load_all(struct loader *l)
{
	const struct tls_client_options *o = l->o;
	int rc = check_options(l);

	if (rc == 0)
		rc = load_name(l);
	if (rc == 0)
		rc = o->pskpasswd != NULL ? load_psk(l) : load_public_keys(l);
	if (rc == 0)
		rc = load_priority(l);
	if (rc == 0 && o->alpn != NULL)
		rc = load_alpn(l);
	if (rc == 0)
		rc = tls_trust_add(&l->trust, "to", o->to, strlen(o->to));
	if (rc == 0)
		rc = tls_trust_add(&l->trust, "name", l->tls->name, strlen(l->tls->name));
	if (rc == 0)
		rc = try_session(l);
	return rc;
}

struct tls_client *tls_client_load(const struct tls_client_options *o, char *err, size_t err_size)
{
	struct loader l = { .o = o, .tls = calloc(1, sizeof(*l.tls)), .error = { err, err_size } };
	int rc;

	if (l.tls == NULL || tls_trust_begin(&l.trust, &l.grants, &l.error) < 0) {
		free(l.tls);
		tls_fail(&l.error, "out of memory");
		return NULL;
	}
	atomic_init(&l.tls->refs, 1);
	rc = load_all(&l);
	tls_trust_end(&l.trust, l.tls->digest);
	tls_grants_clear(&l.grants);
	if (rc == 0) {
		expiry_warn(&l.tls->expiry, 0, clock_wall_s());
		return l.tls;
	}
	tls_client_unref(l.tls);
	return NULL;
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_client_unref(struct tls_client *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (t->priority != NULL)
		gnutls_priority_deinit(t->priority);
	if (t->certificate != NULL)
		gnutls_certificate_free_credentials(t->certificate);
	if (t->psk != NULL)
		gnutls_psk_free_client_credentials(t->psk);
	tls_wipe(&t->password);
	tls_raw_clear(&t->raw);
	names_free(&t->alpn);
	expiry_clear(&t->expiry);
	free(t);
}

bool tls_client_same(const struct tls_client *a, const struct tls_client *b)
{
	return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

const struct expiry *tls_client_expiry(const struct tls_client *t)
{
	return &t->expiry;
}

const char *tls_client_name(const struct tls_client *t)
{
	return t->name;
}

/* ---- sessions ---- */

static int set_up(struct tls_client *t, const gnutls_datum_t *saved, gnutls_session_t s)
{
	int rc = gnutls_priority_set(s, t->priority);

	if (rc >= 0 && t->certificate != NULL)
		rc = gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->certificate);
	if (rc >= 0 && t->psk != NULL)
		rc = gnutls_credentials_set(s, GNUTLS_CRD_PSK, t->psk);
	if (rc >= 0 && !t->name_is_address)
		rc = gnutls_server_name_set(s, GNUTLS_NAME_DNS, t->name, strlen(t->name));
	if (rc >= 0)
		rc = tls_alpn_set(&t->alpn, s, 0);
	if (rc < 0)
		return rc;
	if (t->certificate != NULL)
		gnutls_session_set_verify_function(s, on_server);
	gnutls_session_set_ptr(s, t);
	if (saved->size > 0) /* what it cannot use leads to a full handshake */
		(void)gnutls_session_set_data(s, saved->data, saved->size);
	gnutls_dtls_set_timeouts(s, TIMEOUT_OFF_MS, TIMEOUT_OFF_MS);
	gnutls_dtls_set_mtu(s, MTU_LARGE);
	return 0;
}

int tls_client_session(struct tls_client *t, const gnutls_datum_t *saved, gnutls_session_t *out)
{
	/* a certificate that was given is sent, whatever issuers the server lists */
	int rc = gnutls_init(out, GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK | GNUTLS_FORCE_CLIENT_CERT |
			     (t->any_raw ? GNUTLS_ENABLE_RAWPK : 0));

	if (rc >= 0) {
		rc = set_up(t, saved, *out);
		if (rc < 0)
			gnutls_deinit(*out);
	}
	if (rc < 0)
		*out = NULL;
	return rc < 0 ? rc : 0;
}

/* ---- failures in words ---- */

static const struct tls_advice_words words = {
	.identity = "psk-identity",
	.psk = "psk-identity and its key in pskpasswd",
	.own = "x509certfile and raw-public-key",
	.server_name = "server-name",
	.alpn = "alpn",
	.raw_keys = "allowed-raw-keys",
};

static void explain_raw(const uint8_t key[static TLS_FINGERPRINT_SIZE], char *buf, size_t size)
{
	char hex[2 * TLS_FINGERPRINT_SIZE + 1];

	hex_encode(hex, key, TLS_FINGERPRINT_SIZE);
	snprintf(buf, size, "the server's public key is refused: %s is not in allowed-raw-keys: write it there if it is the "
		 "server's", hex);
}

static void explain_certificate(const struct tls_client *t, gnutls_session_t s, char *buf, size_t size)
{
	const char *why = "it cannot be verified: x509cafile should name its CA";
	unsigned status = 0;

	(void)gnutls_certificate_verify_peers(s, (gnutls_typed_vdata_st *)(uintptr_t)t->wanted, 2, &status);
	if (status & GNUTLS_CERT_REVOKED)
		why = "it is revoked: renew it";
	else if (status & GNUTLS_CERT_EXPIRED)
		why = "it has expired: renew it, or check this machine's clock";
	else if (status & GNUTLS_CERT_NOT_ACTIVATED)
		why = "it is not valid yet: check this machine's clock";
	else if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		why = "its CA is not trusted here: name it with x509cafile";
	else if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
		why = "it is for another name: say with server-name which one it has";
	else if (status & GNUTLS_CERT_PURPOSE_MISMATCH)
		why = "it is not for servers, by its key purposes: give the server one that is";
	else if (status & GNUTLS_CERT_INSECURE_ALGORITHM)
		why = "it is signed with an insecure algorithm: renew it";
	snprintf(buf, size, "the server's certificate is refused for %s: %s", t->name, why);
}

static void explain_other(int gnutls_error, char *buf, size_t size)
{
	const char *text = gnutls_strerror(gnutls_error);
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '.')
		len--;
	snprintf(buf, size, "%.*s: the server's log should say more", (int)len, text);
}

const char *tls_client_explain(const struct tls_client *t, gnutls_session_t s, int gnutls_error, int alert, char *buf,
			       size_t size)
{
	uint8_t raw[TLS_FINGERPRINT_SIZE];
	char advice[256];

	if (alert >= 0)
		snprintf(buf, size, "the server refused with %s", tls_advice_on_alert(&words, alert, t->psk != NULL, advice,
										      sizeof(advice)));
	else if (gnutls_error != GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
		explain_other(gnutls_error, buf, size);
	else if (tls_raw_peer(s, raw))
		explain_raw(raw, buf, size);
	else
		explain_certificate(t, s, buf, size);
	return buf;
}
