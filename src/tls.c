/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/dtls.h>
#include <gnutls/x509.h>

#include "clock.h"
#include "log.h"
#include "psk.h"
#include "resumption.h"

const char TLS_PRIORITY_DEFAULT[] =
	"NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:+ECDHE-PSK:+PSK:"
	"-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-CCM:+AES-128-CCM-8:"
	"-MAC-ALL:+AEAD:"
	"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:%SERVER_PRECEDENCE";

#define IMPOSED ":-VERS-ALL:+VERS-DTLS1.2:+AEAD"
#define FILE_SIZE_MAX (64u << 20)
#define PRIORITY_MAX 4096
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
#define DIGEST_SIZE 32

struct tls_shared {
	pthread_mutex_t mutex; /* of trust and ticket_key; the cache has its own */
	struct resumption *cache;
	gnutls_datum_t ticket_key;
	uint8_t trust[DIGEST_SIZE];
	bool trust_known;
	bool caching;
	uint32_t lifetime_s;
};

/* Nothing but the count changes after tls_load, so the workers need no lock. */
struct tls {
	atomic_uint refs;
	struct tls_shared *shared;
	gnutls_priority_t priority;
	gnutls_certificate_credentials_t certificate; /* NULL: PSK only */
	gnutls_psk_server_credentials_t psk;          /* NULL: certificates only */
	struct psk_table *psk_table;
	gnutls_datum_t ticket_key; /* of this generation */
	uint64_t generation;       /* of the cache */
	gnutls_certificate_request_t request;
	gnutls_pk_algorithm_t key_type; /* of the certificate's key */
	unsigned mtu;                   /* for GnuTLS, see MTU_SMALL */
};

/* One tls_load under way. */
struct loader {
	const struct tls_options *o;
	const char *priority;
	struct tls *tls;
	gnutls_hash_hd_t trust;
	char *err;
	size_t err_size;
};

/* ---- files ---- */

__attribute__((format(printf, 2, 3)))
static int fail(struct loader *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->err, l->err_size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static void wipe(gnutls_datum_t *d)
{
	if (d->data != NULL)
		explicit_bzero(d->data, d->size);
	free(d->data);
	*d = (gnutls_datum_t){ NULL, 0 };
}

/* All that is left of fd; also of one that has no size, as a pipe. Leaves no copies behind in the heap. */
static int read_all(int fd, size_t expected, gnutls_datum_t *out)
{
	size_t room = expected + 1;

	for (;;) {
		gnutls_datum_t grown = { malloc(room), 0 };
		ssize_t n = 1;

		if (grown.data == NULL)
			return -ENOMEM;
		if (out->size > 0)
			memcpy(grown.data, out->data, out->size);
		grown.size = out->size;
		wipe(out);
		*out = grown;
		while (out->size < room && n > 0) {
			n = read(fd, out->data + out->size, room - out->size);
			if (n < 0 && errno != EINTR)
				return -errno;
			out->size += n > 0 ? (unsigned)n : 0;
			n = n < 0 ? 1 : n;
		}
		if (n == 0)
			return 0;
		if (room > FILE_SIZE_MAX)
			return -EFBIG;
		room = 2 * room + 4096;
	}
}

/* what: "certificate", …, for messages. The caller wipes out. */
static int read_file(struct loader *l, const char *path, const char *what, bool secret, gnutls_datum_t *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	int rc;

	*out = (gnutls_datum_t){ NULL, 0 };
	if (fd < 0)
		return fail(l, "%s: cannot open the %s: %s; check the path and that dtlsd's user may read it",
			    path, what, strerror(errno));
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && S_ISREG(st.st_mode) && st.st_size > (off_t)FILE_SIZE_MAX)
		rc = -EFBIG;
	if (rc == 0)
		rc = read_all(fd, S_ISREG(st.st_mode) ? (size_t)st.st_size : 0, out);
	close(fd);
	if (rc < 0) {
		wipe(out);
		return fail(l, "%s: cannot read the %s: %s; give the name of a readable file", path, what,
			    strerror(-rc));
	}
	if (secret && (st.st_mode & S_IRWXO) != 0 && S_ISREG(st.st_mode))
		log_warning("%s: every user of this machine may access the %s; run: chmod o-rwx %s", path,
			    what, path);
	return 0;
}

/* What decides who may come in goes into the digest of the trust. */
static int trust_add(struct loader *l, const char *label, const void *data, size_t len)
{
	uint64_t len64 = len;

	if (gnutls_hash(l->trust, label, strlen(label) + 1) < 0 ||
	    gnutls_hash(l->trust, &len64, sizeof(len64)) < 0 || gnutls_hash(l->trust, data, len) < 0)
		return fail(l, "cannot compute a SHA-256 digest: GnuTLS is broken or out of memory");
	return 0;
}

/* ---- certificates ---- */

struct chain {
	gnutls_x509_crt_t *certs;
	unsigned count;
};

static void chain_free(struct chain *c)
{
	for (unsigned i = 0; i < c->count; i++)
		gnutls_x509_crt_deinit(c->certs[i]);
	gnutls_free(c->certs);
}

static int parse_chain(struct loader *l, const char *path, const gnutls_datum_t *pem, unsigned flags,
		       struct chain *out)
{
	int rc = gnutls_x509_crt_list_import2(&out->certs, &out->count, pem, GNUTLS_X509_FMT_PEM, flags);

	if (rc >= 0 && out->count > 0)
		return 0;
	if (rc == GNUTLS_E_CERTIFICATE_LIST_UNSORTED)
		return fail(l, "%s: the certificates are not in order; put the server's own first, then each "
			    "one's issuer after it", path);
	if (rc >= 0 || rc == GNUTLS_E_NO_CERTIFICATE_FOUND || rc == GNUTLS_E_BASE64_UNEXPECTED_HEADER_ERROR)
		return fail(l,
			    "%s: there is no certificate in it; a PEM file with BEGIN CERTIFICATE is wanted",
			    path);
	return fail(l, "%s: bad certificate: %s; a PEM file with BEGIN CERTIFICATE is wanted", path,
		    gnutls_strerror(rc));
}

static void warn_dates(const char *path, const struct chain *c)
{
	time_t now = (time_t)clock_wall_s();

	for (unsigned i = 0; i < c->count; i++) {
		if (now > gnutls_x509_crt_get_expiration_time(c->certs[i]))
			log_warning(
			    "%s: certificate %u of the chain has expired, clients will refuse it; renew it",
			    path, i + 1);
		if (now < gnutls_x509_crt_get_activation_time(c->certs[i]))
			log_warning(
			    "%s: certificate %u of the chain is not valid yet, clients will refuse it; "
			    "check it and this machine's clock",
			    path, i + 1);
	}
}

static int parse_key(struct loader *l, const gnutls_datum_t *pem, gnutls_x509_privkey_t *key)
{
	const char *path = l->o->x509keyfile;
	int rc;

	if (memmem(pem->data, pem->size, "ENCRYPTED", 9) != NULL)
		return fail(l,
			    "%s: the private key is encrypted and there is nobody to ask for the password; "
			    "decrypt it with: openssl pkey -in %s -out KEY",
			    path, path);
	rc = gnutls_x509_privkey_init(key);
	if (rc < 0)
		return fail(l, "%s: %s", path, gnutls_strerror(rc));
	rc = gnutls_x509_privkey_import2(*key, pem, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
	if (rc >= 0)
		return 0;
	gnutls_x509_privkey_deinit(*key);
	if (memmem(pem->data, pem->size, "PRIVATE KEY-----", 16) == NULL)
		return fail(l,
			    "%s: there is no private key in it; a PEM file with BEGIN PRIVATE KEY is wanted",
			    path);
	return fail(l, "%s: bad private key: %s; a PEM file with BEGIN PRIVATE KEY is wanted", path,
		    gnutls_strerror(rc));
}

/* Every key exchange we serve signs with the certificate's key. */
static int check_leaf(struct loader *l, gnutls_x509_crt_t leaf)
{
	unsigned usage, bits;
	int type = gnutls_x509_crt_get_pk_algorithm(leaf, &bits);

	l->tls->key_type = (gnutls_pk_algorithm_t)type;
	if (gnutls_x509_crt_get_key_usage(leaf, &usage, NULL) >= 0 &&
	    (usage & GNUTLS_KEY_DIGITAL_SIGNATURE) == 0)
		return fail(
		    l,
		    "%s: the certificate's key usage does not allow digital signatures, which DTLS with "
		    "forward secrecy needs; issue one with digitalSignature",
		    l->o->x509certfile);
	switch (type) {
	case GNUTLS_PK_RSA:
	case GNUTLS_PK_RSA_PSS:
	case GNUTLS_PK_ECDSA:
	case GNUTLS_PK_EDDSA_ED25519:
	case GNUTLS_PK_EDDSA_ED448:
		return 0;
	default:
		return fail(
		    l,
		    "%s: the certificate has a key of a kind that DTLS 1.2 cannot use; ECDSA, EdDSA or "
		    "RSA is wanted",
		    l->o->x509certfile);
	}
}

/* GnuTLS would find it too, and then lose the memory of what it had taken of the chain. */
static int check_keys(struct loader *l, const struct chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++) {
		gnutls_pubkey_t key;
		int rc = gnutls_pubkey_init(&key);

		if (rc < 0)
			return fail(l, "out of memory");
		rc = gnutls_pubkey_import_x509(key, chain->certs[i], 0);
		gnutls_pubkey_deinit(key);
		if (rc < 0)
			return fail(l, "%s: the key in certificate %u of the chain cannot be used: %s; get another one",
				    l->o->x509certfile, i + 1, gnutls_strerror(rc));
	}
	return 0;
}

static int set_key_pair(struct loader *l, const struct chain *chain)
{
	const struct tls_options *o = l->o;
	gnutls_datum_t pem;
	gnutls_x509_privkey_t key;
	int rc = read_file(l, o->x509keyfile, "private key", true, &pem);

	if (rc < 0)
		return rc;
	rc = parse_key(l, &pem, &key);
	wipe(&pem);
	if (rc < 0)
		return rc;
	rc = gnutls_certificate_set_x509_key(l->tls->certificate, chain->certs, (int)chain->count, key);
	gnutls_x509_privkey_deinit(key);
	if (rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return fail(
		    l,
		    "%s: this private key does not belong to the first certificate of %s; give the two "
		    "that were made together",
		    o->x509keyfile, o->x509certfile);
	if (rc < 0)
		return fail(l, "%s with %s: %s", o->x509certfile, o->x509keyfile, gnutls_strerror(rc));
	return 0;
}

static void choose_mtu(struct tls *t, const struct chain *chain)
{
	size_t total = 0;

	for (unsigned i = 0; i < chain->count; i++) {
		size_t size = 0;

		gnutls_x509_crt_export(chain->certs[i], GNUTLS_X509_FMT_DER, NULL, &size);
		total += size;
	}
	t->mtu = total <= MTU_SMALL_CHAIN ? MTU_SMALL : MTU_LARGE;
}

static int load_certificate(struct loader *l)
{
	struct chain chain = { NULL, 0 };
	gnutls_datum_t pem;
	int rc;

	if (gnutls_certificate_allocate_credentials(&l->tls->certificate) < 0)
		return fail(l, "out of memory for the certificate");
	rc = read_file(l, l->o->x509certfile, "certificate", false, &pem);
	if (rc < 0)
		return rc;
	rc = parse_chain(l, l->o->x509certfile, &pem, GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED, &chain);
	wipe(&pem);
	if (rc < 0)
		return rc;
	rc = check_leaf(l, chain.certs[0]);
	if (rc == 0)
		rc = check_keys(l, &chain);
	if (rc == 0)
		rc = set_key_pair(l, &chain);
	if (rc == 0) {
		warn_dates(l->o->x509certfile, &chain);
		choose_mtu(l->tls, &chain);
	}
	chain_free(&chain);
	return rc;
}

static int load_ca(struct loader *l)
{
	struct chain chain = { NULL, 0 };
	gnutls_datum_t pem;
	int rc = read_file(l, l->o->x509cafile, "CA certificate", false, &pem);

	if (rc < 0)
		return rc;
	rc = parse_chain(l, l->o->x509cafile, &pem, 0, &chain);
	if (rc == 0)
		rc = trust_add(l, "ca", pem.data, pem.size);
	wipe(&pem);
	if (rc == 0) {
		rc = gnutls_certificate_set_x509_trust(l->tls->certificate, chain.certs, (int)chain.count);
		/* short of memory it takes fewer and calls that a success */
		if (rc >= 0 && (unsigned)rc < chain.count)
			rc = GNUTLS_E_MEMORY_ERROR;
		if (rc < 0)
			rc = fail(l, "%s: %s", l->o->x509cafile, gnutls_strerror(rc));
	}
	chain_free(&chain);
	return rc < 0 ? rc : 0;
}

/* ---- what a handshake asks ---- */

/* 1 makes GnuTLS go on with a random key, so that a stranger cannot find out which identities exist. */
static int on_psk(gnutls_session_t s, const gnutls_datum_t *identity, gnutls_datum_t *key)
{
	const struct tls *t = gnutls_db_get_ptr(s);
	struct tls_report *report = gnutls_session_get_ptr(s);
	size_t len;
	const uint8_t *found = psk_find(t->psk_table, identity->data, identity->size, &len);

	if (found == NULL) {
		tls_peer_psk_unknown(report, identity);
		return 1;
	}
	key->data = gnutls_malloc(len);
	if (key->data == NULL)
		return -1;
	memcpy(key->data, found, len);
	key->size = (unsigned)len;
	return 0;
}

/* client_version is the body's first field. */
static int on_client_hello(gnutls_session_t s, unsigned type, unsigned post, unsigned incoming,
			   const gnutls_datum_t *msg)
{
	struct tls_report *report = gnutls_session_get_ptr(s);

	(void)type;
	(void)post;
	if (incoming && msg->size >= 2)
		report->client_version = (uint16_t)(msg->data[0] << 8 | msg->data[1]);
	return 0;
}

static int on_store(void *ptr, gnutls_datum_t key, gnutls_datum_t data)
{
	const struct tls *t = ptr;

	return resumption_store(t->shared->cache, t->generation, &key, &data);
}

static gnutls_datum_t on_retrieve(void *ptr, gnutls_datum_t key)
{
	const struct tls *t = ptr;

	return resumption_retrieve(t->shared->cache, t->generation, &key);
}

static int on_remove(void *ptr, gnutls_datum_t key)
{
	const struct tls *t = ptr;

	return resumption_remove(t->shared->cache, t->generation, &key);
}

/* ---- priorities ---- */

static bool cipher_served(unsigned cipher)
{
	switch (cipher) {
	case GNUTLS_CIPHER_AES_128_GCM:
	case GNUTLS_CIPHER_AES_256_GCM:
	case GNUTLS_CIPHER_CHACHA20_POLY1305:
	case GNUTLS_CIPHER_AES_128_CCM:
	case GNUTLS_CIPHER_AES_256_CCM:
	case GNUTLS_CIPHER_AES_128_CCM_8:
	case GNUTLS_CIPHER_AES_256_CCM_8:
		return true;
	default:
		return false;
	}
}

/* Can the credentials at hand do this key exchange? */
static bool kx_served(const struct tls *t, gnutls_kx_algorithm_t kx, bool psk)
{
	switch (kx) {
	case GNUTLS_KX_PSK:
	case GNUTLS_KX_ECDHE_PSK:
	case GNUTLS_KX_DHE_PSK:
		return psk;
	case GNUTLS_KX_ECDHE_ECDSA:
		return !psk && (t->key_type == GNUTLS_PK_ECDSA || t->key_type == GNUTLS_PK_EDDSA_ED25519 ||
				t->key_type == GNUTLS_PK_EDDSA_ED448);
	case GNUTLS_KX_ECDHE_RSA:
	case GNUTLS_KX_DHE_RSA:
		return !psk && (t->key_type == GNUTLS_PK_RSA || t->key_type == GNUTLS_PK_RSA_PSS);
	case GNUTLS_KX_RSA:
		return !psk && t->key_type == GNUTLS_PK_RSA;
	default:
		return false;
	}
}

static bool suite_left(const struct tls *t, bool psk)
{
	gnutls_kx_algorithm_t kx;
	gnutls_cipher_algorithm_t cipher;
	unsigned suite;
	int rc = 0;

	for (unsigned i = 0; rc != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE; i++) {
		rc = gnutls_priority_get_cipher_suite_index(t->priority, i, &suite);
		if (rc >= 0 && gnutls_cipher_suite_info(suite, NULL, &kx, &cipher, NULL, NULL) != NULL &&
		    cipher_served(cipher) && kx_served(t, kx, psk))
			return true;
	}
	return false;
}

/* Appends "-NAME" for every cipher that the record layer cannot serve. false: no room. */
static bool subtract_ciphers(gnutls_priority_t p, char *text, size_t size)
{
	const unsigned *ciphers;
	int count = gnutls_priority_cipher_list(p, &ciphers);
	size_t at = strlen(text);

	for (int i = 0; i < count; i++)
		if (!cipher_served(ciphers[i]) && at < size)
			at += (size_t)snprintf(text + at, size - at, ":-%s",
					       gnutls_cipher_get_name((gnutls_cipher_algorithm_t)ciphers[i]));
	return at < size;
}

static int load_priority(struct loader *l, char *text, size_t size)
{
	gnutls_priority_t wished;
	const char *at = l->priority;
	int rc;

	if ((size_t)snprintf(text, size, "%s" IMPOSED, l->priority) >= size)
		return fail(l, "--priority: the string is longer than %zu bytes", size - sizeof(IMPOSED));
	rc = gnutls_priority_init(&wished, text, &at);
	if (rc < 0) {
		size_t offset = at >= text && at < text + strlen(l->priority) ? (size_t)(at - text) : 0;

		return fail(l,
			    "--priority: %s: %s at \"%.40s\"; see gnutls-cli --priority-list and the GnuTLS "
			    "manual on priority strings",
			    l->priority, gnutls_strerror(rc), l->priority + offset);
	}
	rc = subtract_ciphers(wished, text, size) ? 0 : -ENOSPC;
	gnutls_priority_deinit(wished);
	if (rc == 0)
		rc = gnutls_priority_init(&l->tls->priority, text, NULL);
	if (rc < 0)
		return fail(l, "--priority: %s: no AEAD cipher is left of it; add one, as :+AES-128-GCM",
			    l->priority);
	if (l->o->x509certfile != NULL && !suite_left(l->tls, false))
		return fail(
		    l,
		    "--priority: %s: leaves no key exchange and AEAD cipher for the certificate of %s; "
		    "add some, as :+ECDHE-ECDSA:+ECDHE-RSA:+AES-128-GCM",
		    l->priority, l->o->x509certfile);
	if (l->o->pskpasswd != NULL && !suite_left(l->tls, true))
		return fail(l,
			    "--priority: %s: leaves no key exchange and AEAD cipher for the PSKs of %s; add "
			    "some, as :+ECDHE-PSK:+PSK:+AES-128-GCM",
			    l->priority, l->o->pskpasswd);
	return 0;
}

/* ---- loading ---- */

static int load_psk(struct loader *l)
{
	const char *path = l->o->pskpasswd;
	gnutls_datum_t text;
	int rc = read_file(l, path, "PSK file", true, &text);

	if (rc < 0)
		return rc;
	l->tls->psk_table = psk_parse(path, (const char *)text.data, text.size, l->err, l->err_size);
	rc = l->tls->psk_table == NULL ? -EINVAL : trust_add(l, "psk", text.data, text.size);
	wipe(&text);
	if (rc < 0)
		return rc;
	if (gnutls_psk_allocate_server_credentials(&l->tls->psk) < 0)
		return fail(l, "out of memory for the PSKs");
	gnutls_psk_set_server_credentials_function2(l->tls->psk, on_psk);
	if (psk_count(l->tls->psk_table) > 0)
		return 0;
	if (l->o->x509certfile == NULL)
		return fail(l, "%s: there is no identity in it, so nobody could come in; add one with: "
			    "psktool -u NAME -p %s", path, path);
	log_warning("%s: there is no identity in it; add one with: psktool -u NAME -p %s", path, path);
	return 0;
}

static int check_options(struct loader *l)
{
	const struct tls_options *o = l->o;

	if (o->x509certfile != NULL && o->x509keyfile == NULL)
		return fail(l, "--x509certfile %s is given without --x509keyfile; name its private key too",
			    o->x509certfile);
	if (o->x509certfile == NULL && o->x509keyfile != NULL)
		return fail(l, "--x509keyfile %s is given without --x509certfile; name its certificate too",
			    o->x509keyfile);
	if (o->x509certfile == NULL && o->pskpasswd == NULL)
		return fail(l, "there is neither a certificate nor a PSK file; give --x509certfile and "
			    "--x509keyfile, or --pskpasswd, or all three");
	if (o->verify_client != VERIFY_CLIENT_NONE && o->x509cafile == NULL)
		return fail(l,
			    "--verify-client asks clients for certificates, but there is no CA to check them "
			    "with; give --x509cafile");
	if (o->x509cafile != NULL && o->x509certfile == NULL)
		return fail(l, "--x509cafile %s is of no use without --x509certfile: only a server with a "
			    "certificate can ask clients for theirs", o->x509cafile);
	if (o->x509cafile != NULL && o->verify_client == VERIFY_CLIENT_NONE)
		log_warning(
		    "--x509cafile %s is given, but clients are not asked for certificates; for that give "
		    "--verify-client optional or required",
		    o->x509cafile);
	return 0;
}

static int load_all(struct loader *l)
{
	char priority[PRIORITY_MAX];
	struct tls *t = l->tls;
	int rc = check_options(l);

	if (rc == 0 && l->o->x509certfile != NULL)
		rc = load_certificate(l);
	if (rc == 0 && l->o->x509cafile != NULL)
		rc = load_ca(l);
	if (rc == 0 && l->o->pskpasswd != NULL)
		rc = load_psk(l);
	if (rc == 0)
		rc = load_priority(l, priority, sizeof(priority));
	if (rc == 0)
		rc = trust_add(l, "priority", priority, strlen(priority));
	if (rc == 0)
		rc = trust_add(l, "verify", &l->o->verify_client, sizeof(l->o->verify_client));
	if (rc < 0)
		return rc;
	t->request = l->o->verify_client == VERIFY_CLIENT_REQUIRED ? GNUTLS_CERT_REQUIRE :
		     l->o->verify_client == VERIFY_CLIENT_OPTIONAL ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE;
	if (t->certificate != NULL) {
		gnutls_certificate_set_verify_function(t->certificate, tls_peer_verify);
		gnutls_certificate_set_verify_limits(t->certificate, VERIFY_BITS_MAX, VERIFY_DEPTH_MAX);
	}
	return 0;
}

/* gnutls_session_ticket_key_generate's key belongs to gnutls_free, so it is wiped by hand. */
static void ticket_key_free(gnutls_datum_t *key)
{
	if (key->data != NULL)
		explicit_bzero(key->data, key->size);
	gnutls_free(key->data);
	*key = (gnutls_datum_t){ NULL, 0 };
}

/* Mutex held. New keys where trust is not what it was; the tls gets its share of what is in force. */
static int join_locked(struct tls *t, const uint8_t trust[static DIGEST_SIZE])
{
	struct tls_shared *s = t->shared;

	if (!s->trust_known || memcmp(s->trust, trust, DIGEST_SIZE) != 0) {
		gnutls_datum_t fresh;

		if (gnutls_session_ticket_key_generate(&fresh) < 0)
			return -ENOMEM;
		ticket_key_free(&s->ticket_key);
		s->ticket_key = fresh;
		memcpy(s->trust, trust, DIGEST_SIZE);
		s->trust_known = true;
		resumption_renew(s->cache);
	}
	t->generation = resumption_generation(s->cache);
	t->ticket_key.data = gnutls_malloc(s->ticket_key.size);
	if (t->ticket_key.data == NULL)
		return -ENOMEM;
	t->ticket_key.size = s->ticket_key.size;
	memcpy(t->ticket_key.data, s->ticket_key.data, s->ticket_key.size);
	return 0;
}

static int join(struct tls *t, const uint8_t trust[static DIGEST_SIZE])
{
	int rc;

	pthread_mutex_lock(&t->shared->mutex);
	rc = join_locked(t, trust);
	pthread_mutex_unlock(&t->shared->mutex);
	return rc;
}

struct tls *tls_load(const struct tls_options *o, struct tls_shared *shared, char *err, size_t err_size)
{
	struct loader l = { .o = o, .err = err, .err_size = err_size };
	uint8_t trust[DIGEST_SIZE];
	int rc;

	l.priority = o->priority != NULL ? o->priority : TLS_PRIORITY_DEFAULT;
	l.tls = calloc(1, sizeof(*l.tls));
	if (l.tls == NULL || gnutls_hash_init(&l.trust, GNUTLS_DIG_SHA256) < 0) {
		free(l.tls);
		fail(&l, "out of memory");
		return NULL;
	}
	atomic_init(&l.tls->refs, 1);
	l.tls->mtu = MTU_SMALL;
	l.tls->shared = shared;
	rc = load_all(&l);
	gnutls_hash_deinit(l.trust, trust);
	if (rc == 0 && join(l.tls, trust) < 0)
		rc = fail(&l, "out of memory");
	if (rc == 0)
		return l.tls;
	tls_unref(l.tls);
	return NULL;
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
	if (t->certificate != NULL)
		gnutls_certificate_free_credentials(t->certificate);
	if (t->psk != NULL)
		gnutls_psk_free_server_credentials(t->psk);
	psk_free(t->psk_table);
	ticket_key_free(&t->ticket_key);
	free(t);
}

struct tls_shared *tls_shared_new(uint32_t cache_entries, uint32_t lifetime_s)
{
	struct tls_shared *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->cache = resumption_new(cache_entries, lifetime_s);
	if (s->cache == NULL || pthread_mutex_init(&s->mutex, NULL) != 0) {
		resumption_free(s->cache);
		free(s);
		return NULL;
	}
	s->caching = cache_entries > 0;
	s->lifetime_s = lifetime_s;
	return s;
}

void tls_shared_free(struct tls_shared *s)
{
	if (s == NULL)
		return;
	resumption_free(s->cache);
	ticket_key_free(&s->ticket_key);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

/* ---- sessions ---- */

static int set_up(struct tls *t, struct tls_report *report, gnutls_session_t s)
{
	int rc = gnutls_priority_set(s, t->priority);

	if (rc >= 0 && t->certificate != NULL)
		rc = gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->certificate);
	if (rc >= 0 && t->psk != NULL)
		rc = gnutls_credentials_set(s, GNUTLS_CRD_PSK, t->psk);
	if (rc >= 0 && t->shared->lifetime_s > 0)
		rc = gnutls_session_ticket_enable_server(s, &t->ticket_key);
	if (rc < 0)
		return rc;
	gnutls_session_set_ptr(s, report);
	gnutls_db_set_ptr(s, t);
	gnutls_db_set_cache_expiration(s, (int)t->shared->lifetime_s);
	if (t->shared->caching && t->shared->lifetime_s > 0) {
		gnutls_db_set_store_function(s, on_store);
		gnutls_db_set_retrieve_function(s, on_retrieve);
		gnutls_db_set_remove_function(s, on_remove);
	}
	gnutls_certificate_server_set_request(s, t->request);
	gnutls_handshake_set_hook_function(s, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE,
					   on_client_hello);
	gnutls_dtls_set_timeouts(s, TIMEOUT_OFF_MS, TIMEOUT_OFF_MS);
	gnutls_dtls_set_mtu(s, t->mtu);
	return 0;
}

int tls_session_new(struct tls *t, struct tls_report *report, gnutls_session_t *out)
{
	int rc = gnutls_init(out, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK);

	if (rc < 0)
		return rc;
	memset(report, 0, sizeof(*report));
	rc = set_up(t, report, *out);
	if (rc < 0)
		gnutls_deinit(*out);
	return rc < 0 ? rc : 0;
}
