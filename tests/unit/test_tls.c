/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handshakes in memory: a GnuTLS client and a session of tls_session_new hand each other datagrams through
 * two queues that lose nothing, so no clock turns. Certificates are made when the program starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "log.h"
#include "tls.h"

/* ---- certificates and files ---- */

enum { DAY = 24 * 3600 };

struct identity {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

struct template {
	const char *cn; /* NULL: no subject */
	const char *purpose;
	unsigned usage;
	int from_day, to_day;
	bool ca;
};

static char dir[] = "/tmp/test_tls.XXXXXX";
static struct identity ca, foreign_ca, server, rsa_server, client, expired, foreign, wrong_purpose, nameless;
static struct identity no_signing, with_ip, old_server, intermediate, leaf;

static const char *path(const char *name)
{
	static char texts[64][64]; /* more than any test holds at a time */
	static unsigned next;
	char *text = texts[next++ % 64];

	snprintf(text, sizeof(texts[0]), "%s/%s", dir, name);
	return text;
}

static const char *write_file(const char *name, const char *text, size_t len)
{
	const char *p = path(name);
	int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
	return p;
}

static const char *write_text(const char *name, const char *text)
{
	return write_file(name, text, strlen(text));
}

static struct identity make(const struct template *t, gnutls_pk_algorithm_t algo,
			    const struct identity *issuer)
{
	static uint8_t serial = 1;
	struct identity id;
	unsigned bits = algo == GNUTLS_PK_RSA ? 2048 : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

	assert_int_equal(gnutls_x509_privkey_init(&id.key), 0);
	assert_int_equal(gnutls_x509_privkey_generate(id.key, algo, bits, 0), 0);
	assert_int_equal(gnutls_x509_crt_init(&id.crt), 0);
	gnutls_x509_crt_set_version(id.crt, 3);
	gnutls_x509_crt_set_serial(id.crt, &serial, 1);
	serial++;
	gnutls_x509_crt_set_key(id.crt, id.key);
	gnutls_x509_crt_set_activation_time(id.crt, time(NULL) + t->from_day * DAY);
	gnutls_x509_crt_set_expiration_time(id.crt, time(NULL) + t->to_day * DAY);
	if (t->cn != NULL)
		assert_int_equal(gnutls_x509_crt_set_dn(id.crt, t->cn, NULL), 0);
	else
		gnutls_x509_crt_set_subject_alt_name(id.crt, GNUTLS_SAN_DNSNAME, "device-7.example", 16, 0);
	gnutls_x509_crt_set_basic_constraints(id.crt, t->ca, -1);
	gnutls_x509_crt_set_key_usage(id.crt, t->ca ? GNUTLS_KEY_KEY_CERT_SIGN : t->usage);
	if (t->purpose != NULL)
		gnutls_x509_crt_set_key_purpose_oid(id.crt, t->purpose, 0);
	if (issuer == NULL)
		issuer = &id;
	assert_int_equal(gnutls_x509_crt_sign2(id.crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
	return id;
}

static struct identity make_ec(const struct identity *issuer, const char *cn, const char *purpose)
{
	struct template t = { cn, purpose, GNUTLS_KEY_DIGITAL_SIGNATURE, -1, 365, false };

	return make(&t, GNUTLS_PK_ECDSA, issuer);
}

/* Nothing but an address for a name. */
static struct identity make_ip(const struct identity *issuer)
{
	struct identity id = make_ec(issuer, NULL, NULL), named;

	assert_int_equal(gnutls_x509_crt_init(&named.crt), 0);
	named.key = id.key;
	gnutls_x509_crt_set_version(named.crt, 3);
	gnutls_x509_crt_set_serial(named.crt, "\x77", 1);
	gnutls_x509_crt_set_key(named.crt, named.key);
	gnutls_x509_crt_set_activation_time(named.crt, time(NULL) - DAY);
	gnutls_x509_crt_set_expiration_time(named.crt, time(NULL) + DAY);
	gnutls_x509_crt_set_subject_alt_name(named.crt, GNUTLS_SAN_IPADDRESS, "\xc0\x00\x02\x07", 4, 0);
	assert_int_equal(gnutls_x509_crt_sign2(named.crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
	gnutls_x509_crt_deinit(id.crt);
	return named;
}

static void save_crt(const char *name, const struct identity *const *ids, size_t n)
{
	char text[16384];
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		gnutls_datum_t pem;

		assert_int_equal(gnutls_x509_crt_export2(ids[i]->crt, GNUTLS_X509_FMT_PEM, &pem), 0);
		assert_true(len + pem.size <= sizeof(text));
		memcpy(text + len, pem.data, pem.size);
		len += pem.size;
		gnutls_free(pem.data);
	}
	write_file(name, text, len);
}

/* A chain whose second certificate has a key of an algorithm that nobody knows. */
static void save_odd_chain(const char *name)
{
	static const uint8_t ec_public_key[] = { 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
	gnutls_datum_t der, first, second;
	char text[8192];
	uint8_t *oid;
	int n;

	assert_int_equal(gnutls_x509_crt_export2(leaf.crt, GNUTLS_X509_FMT_PEM, &first), 0);
	assert_int_equal(gnutls_x509_crt_export2(intermediate.crt, GNUTLS_X509_FMT_DER, &der), 0);
	oid = memmem(der.data, der.size, ec_public_key, sizeof(ec_public_key));
	assert_non_null(oid);
	oid[sizeof(ec_public_key) - 1] = 0x77;
	assert_int_equal(gnutls_pem_base64_encode2("CERTIFICATE", &der, &second), 0);
	n = snprintf(text, sizeof(text), "%.*s%.*s", (int)first.size, (const char *)first.data, (int)second.size,
		     (const char *)second.data);
	write_file(name, text, (size_t)n);
	gnutls_free(first.data);
	gnutls_free(der.data);
	gnutls_free(second.data);
}

/* NAME.pem and NAME.key */
static void save(const char *name, const struct identity *id)
{
	char file[64];
	gnutls_datum_t pem;

	snprintf(file, sizeof(file), "%s.pem", name);
	save_crt(file, &id, 1);
	assert_int_equal(
	    gnutls_x509_privkey_export2_pkcs8(id->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem),
	    0);
	snprintf(file, sizeof(file), "%s.key", name);
	write_file(file, (const char *)pem.data, pem.size);
	gnutls_free(pem.data);
}

static void make_all(void)
{
	static const struct template authority = { "CN=Test CA", NULL, 0, -2, 365, true };
	static const struct template stranger = { "CN=Foreign CA", NULL, 0, -2, 365, true };
	static const struct template middle = { "CN=Intermediate", NULL, 0, -2, 365, true };
	static const struct template rsa = {
		"CN=rsa server", NULL, GNUTLS_KEY_DIGITAL_SIGNATURE, -1, 365, false
	};
	static const struct template late = { "CN=late", NULL, GNUTLS_KEY_DIGITAL_SIGNATURE, -2, -1, false };
	static const struct template cipher = { "CN=x", NULL, GNUTLS_KEY_KEY_ENCIPHERMENT, -1, 365, false };

	ca = make(&authority, GNUTLS_PK_ECDSA, NULL);
	foreign_ca = make(&stranger, GNUTLS_PK_ECDSA, NULL);
	intermediate = make(&middle, GNUTLS_PK_ECDSA, &ca);
	server = make_ec(&ca, "CN=server", GNUTLS_KP_TLS_WWW_SERVER);
	rsa_server = make(&rsa, GNUTLS_PK_RSA, &ca);
	leaf = make_ec(&intermediate, "CN=leaf", GNUTLS_KP_TLS_WWW_SERVER);
	client = make_ec(&ca, "CN=client,O=Example", GNUTLS_KP_TLS_WWW_CLIENT);
	nameless = make_ec(&ca, NULL, NULL);
	with_ip = make_ip(&ca);
	expired = make(&late, GNUTLS_PK_ECDSA, &ca);
	old_server = make(&late, GNUTLS_PK_ECDSA, &ca);
	foreign = make_ec(&foreign_ca, "CN=stranger", GNUTLS_KP_TLS_WWW_CLIENT);
	wrong_purpose = make_ec(&ca, "CN=a server", GNUTLS_KP_TLS_WWW_SERVER);
	no_signing = make(&cipher, GNUTLS_PK_ECDSA, &ca);
	save("ca", &ca);
	save("foreign-ca", &foreign_ca);
	save("server", &server);
	save("rsa", &rsa_server);
	save("old", &old_server);
	save("no-signing", &no_signing);
	save("leaf", &leaf);
	save_crt("chain.pem", (const struct identity *const[]){ &leaf, &intermediate }, 2);
	save_odd_chain("odd-chain.pem");
	save_crt("unsorted.pem", (const struct identity *const[]){ &intermediate, &leaf }, 2);
	write_text("psk", "alice:00112233445566778899aabbccddeeff\n#00ff5c41:0102030405060708\n");
	write_text("psk-bob", "bob:00112233445566778899aabbccddeeff\n");
}

static int group_set_up(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	make_all();
	return 0;
}

static int group_tear_down(void **state)
{
	struct identity *all[] = { &ca,		&foreign_ca,   &server,	       &rsa_server, &client,
				   &expired,	&foreign,      &wrong_purpose, &nameless,   &no_signing,
				   &old_server, &intermediate, &leaf, &with_ip };
	char command[80];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		gnutls_x509_crt_deinit(all[i]->crt);
		gnutls_x509_privkey_deinit(all[i]->key);
	}
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

/* ---- two ends and what is between them ---- */

enum { QUEUE = 64 };

struct end {
	gnutls_session_t session;
	struct end *peer;
	gnutls_datum_t queue[QUEUE];
	unsigned head, tail;
	int rc;
};

static ssize_t pull(gnutls_transport_ptr_t p, void *buf, size_t size)
{
	struct end *e = p;
	gnutls_datum_t d;

	if (e->head == e->tail) {
		gnutls_transport_set_errno(e->session, EAGAIN);
		return -1;
	}
	d = e->queue[e->head++ % QUEUE];
	assert_true(d.size <= size);
	memcpy(buf, d.data, d.size);
	free(d.data);
	return d.size;
}

static int pull_timeout(gnutls_transport_ptr_t p, unsigned ms)
{
	const struct end *e = p;

	(void)ms;
	return e->head != e->tail;
}

static ssize_t push(gnutls_transport_ptr_t p, const void *data, size_t size)
{
	struct end *e = p, *to = e->peer;
	gnutls_datum_t *d = &to->queue[to->tail++ % QUEUE];

	assert_true(to->tail - to->head <= QUEUE);
	d->data = malloc(size);
	assert_non_null(d->data);
	memcpy(d->data, data, size);
	d->size = (unsigned)size;
	return (ssize_t)size;
}

static void connect_end(struct end *e, struct end *peer)
{
	e->peer = peer;
	e->rc = GNUTLS_E_AGAIN;
	gnutls_transport_set_ptr(e->session, e);
	gnutls_transport_set_pull_function(e->session, pull);
	gnutls_transport_set_pull_timeout_function(e->session, pull_timeout);
	gnutls_transport_set_push_function(e->session, push);
}

/* What a client brings, and how the handshake went. */
struct talk {
	const char *priority;
	const struct identity *cert;
	const char *psk_user;
	const char *psk_key; /* hex */
	gnutls_datum_t psk_raw_user;
	unsigned flags;
	const gnutls_datum_t *resume;
	/* results */
	struct end client, server;
	struct tls_report report;
	bool resumed;
	gnutls_kx_algorithm_t kx;
	gnutls_group_t group;
	gnutls_cipher_algorithm_t cipher;
	gnutls_protocol_t version;
	char *identity;
	gnutls_datum_t session_data;
	char why[256];
	gnutls_alert_description_t alert; /* that the client got */
	gnutls_certificate_credentials_t cert_cred;
	gnutls_psk_client_credentials_t psk_cred;
};

/* Sends the certificate also when none of the CAs that the server names has signed it. */
static int on_request(gnutls_session_t s, const gnutls_datum_t *names, int count,
		      const gnutls_pk_algorithm_t *algos, int algos_count, gnutls_retr2_st *out)
{
	static gnutls_x509_crt_t crt;
	const struct talk *t = gnutls_session_get_ptr(s);

	(void)names;
	(void)count;
	(void)algos;
	(void)algos_count;
	crt = t->cert->crt;
	*out = (gnutls_retr2_st){ .cert_type = GNUTLS_CRT_X509, .key_type = GNUTLS_PRIVKEY_X509, .ncerts = 1,
				  .cert.x509 = &crt, .key.x509 = t->cert->key };
	return 0;
}

static void set_up_client(struct talk *t)
{
	gnutls_session_t s;

	assert_int_equal(gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK | t->flags), 0);
	t->client.session = s;
	assert_int_equal(gnutls_priority_set_direct(s, t->priority != NULL ? t->priority :
						    "NORMAL:+ECDHE-PSK:+PSK", NULL), 0);
	gnutls_certificate_allocate_credentials(&t->cert_cred);
	gnutls_session_set_ptr(s, t);
	if (t->cert != NULL)
		gnutls_certificate_set_retrieve_function(t->cert_cred, on_request);
	gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->cert_cred);
	if (t->psk_key != NULL) {
		gnutls_datum_t key = { (unsigned char *)(uintptr_t)t->psk_key, (unsigned)strlen(t->psk_key) };
		gnutls_datum_t user = { (unsigned char *)(uintptr_t)t->psk_user, 0 };

		if (t->psk_user != NULL)
			user.size = (unsigned)strlen(t->psk_user);
		else
			user = t->psk_raw_user;
		gnutls_psk_allocate_client_credentials(&t->psk_cred);
		assert_int_equal(
		    gnutls_psk_set_client_credentials2(t->psk_cred, &user, &key, GNUTLS_PSK_KEY_HEX), 0);
		gnutls_credentials_set(s, GNUTLS_CRD_PSK, t->psk_cred);
	}
	gnutls_dtls_set_timeouts(s, 3600000, 3600000);
	gnutls_dtls_set_mtu(s, 16384);
	if (t->resume != NULL)
		assert_int_equal(gnutls_session_set_data(s, t->resume->data, t->resume->size), 0);
}

static void step(struct end *e)
{
	if (e->rc == 0 || gnutls_error_is_fatal(e->rc))
		return;
	do
		e->rc = gnutls_handshake(e->session);
	while (e->rc < 0 && !gnutls_error_is_fatal(e->rc) && e->head != e->tail);
}

static void note_success(struct talk *t)
{
	gnutls_session_t s = t->server.session;

	t->resumed = gnutls_session_is_resumed(s) != 0;
	t->kx = gnutls_kx_get(s);
	t->group = gnutls_group_get(s);
	t->cipher = gnutls_cipher_get(s);
	t->version = gnutls_protocol_get_version(s);
	t->identity = tls_identity(s);
	assert_int_equal(gnutls_session_get_data2(t->client.session, &t->session_data), 0);
}

static void note_failure(struct talk *t)
{
	bool dead = gnutls_error_is_fatal(t->server.rc);

	tls_explain(dead ? t->server.rc : GNUTLS_E_TIMEDOUT, t->server.session, &t->report, t->why,
		    sizeof(t->why));
	if (!dead)
		return;
	assert_true(tls_send_alert(t->server.rc, t->server.session, &t->report) >= 0);
	step(&t->client);
	if (t->client.rc == GNUTLS_E_FATAL_ALERT_RECEIVED)
		t->alert = gnutls_alert_get(t->client.session);
}

static void drain(struct end *e)
{
	while (e->head != e->tail)
		free(e->queue[e->head++ % QUEUE].data);
	gnutls_deinit(e->session);
}

static void talk_end(struct talk *t)
{
	drain(&t->client);
	drain(&t->server);
	gnutls_certificate_free_credentials(t->cert_cred);
	if (t->psk_cred != NULL)
		gnutls_psk_free_client_credentials(t->psk_cred);
}

static void talk_start(struct tls *tls, struct talk *t)
{
	memset(&t->report, 0xff, sizeof(t->report)); /* tls_session_new has to clear it */
	set_up_client(t);
	assert_int_equal(tls_session_new(tls, &t->report, &t->server.session), 0);
	connect_end(&t->client, &t->server);
	connect_end(&t->server, &t->client);
}

/* true: both sides are done. */
static bool talk_finish(struct talk *t)
{
	for (int i = 0; i < 30; i++) {
		step(&t->client);
		step(&t->server);
	}
	if (t->client.rc == 0 && t->server.rc == 0) {
		note_success(t);
		return true;
	}
	note_failure(t);
	return false;
}

static bool talk(struct tls *tls, struct talk *t)
{
	bool done;

	talk_start(tls, t);
	done = talk_finish(t);
	if (!done && getenv("TEST_TLS_DEBUG") != NULL)
		fprintf(stderr, "client %d server %d (%s): %s\n", t->client.rc, t->server.rc,
			gnutls_strerror(t->server.rc), t->why);
	talk_end(t);
	return done;
}

static void forget(struct talk *t)
{
	free(t->identity);
	gnutls_free(t->session_data.data);
}

/* ---- servers ---- */

static char err[600];

static struct tls *load(const struct tls_options *o, struct tls_shared *shared)
{
	struct tls *t;

	err[0] = '\0';
	t = tls_load(o, shared, err, sizeof(err));
	if (t == NULL)
		fprintf(stderr, "%s\n", err);
	assert_non_null(t);
	return t;
}

/* The usual one: ECDSA certificate, PSKs, CA. */
static struct tls_options usual(enum verify_client verify)
{
	struct tls_options o = { .x509certfile = path("server.pem"), .x509keyfile = path("server.key"),
				 .pskpasswd = path("psk"), .verify_client = verify };

	if (verify != VERIFY_CLIENT_NONE)
		o.x509cafile = path("ca.pem");
	return o;
}

struct fixture {
	struct tls_shared *shared;
	struct tls *tls;
};

static struct fixture start(const struct tls_options *o)
{
	struct fixture f = { .shared = tls_shared_new(100, 3600) };

	assert_non_null(f.shared);
	f.tls = load(o, f.shared);
	return f;
}

static struct fixture start_usual(enum verify_client verify)
{
	struct tls_options o = usual(verify);

	return start(&o);
}

static void stop(struct fixture *f)
{
	tls_unref(f->tls);
	tls_shared_free(f->shared);
}

#define ALICE_KEY "00112233445566778899aabbccddeeff"
#define GNUTLS_12 "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:"

/* ---- full handshakes ---- */

static void ecdhe_ecdsa_prefers_gcm_and_x25519(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk t = { .priority = "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305:+AES-128-GCM:-GROUP-ALL:"
				      "+GROUP-SECP256R1:+GROUP-X25519" };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_int_equal(t.kx, GNUTLS_KX_ECDHE_ECDSA);
	assert_int_equal(t.cipher, GNUTLS_CIPHER_AES_128_GCM);
	assert_int_equal(t.group, GNUTLS_GROUP_X25519);
	assert_int_equal(t.version, GNUTLS_DTLS1_2);
	assert_int_equal(t.report.client_version, 0xfefd);
	assert_string_equal(t.report.cause, "");
	assert_false(t.resumed);
	assert_null(t.identity);
	forget(&t);
	stop(&f);
}

static void ecdhe_rsa(void **state)
{
	struct tls_options o = { .x509certfile = path("rsa.pem"), .x509keyfile = path("rsa.key") };
	struct fixture f = start(&o);
	struct talk t = { 0 };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_int_equal(t.kx, GNUTLS_KX_ECDHE_RSA);
	forget(&t);
	stop(&f);
}

static void a_chain_with_an_intermediate(void **state)
{
	struct tls_options o = { .x509certfile = path("chain.pem"), .x509keyfile = path("leaf.key") };
	struct fixture f = start(&o);
	struct talk t = { 0 };
	unsigned n = 0;

	(void)state;
	talk_start(f.tls, &t);
	assert_true(talk_finish(&t));
	assert_non_null(gnutls_certificate_get_peers(t.client.session, &n));
	assert_int_equal(n, 2);
	talk_end(&t);
	forget(&t);
	stop(&f);
}

static void every_cipher_that_the_record_layer_has(void **state)
{
	static const char *const names[] = { "AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305", "AES-128-CCM",
					     "AES-128-CCM-8" };
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char priority[100];
		struct talk t = { .priority = priority };

		snprintf(priority, sizeof(priority), "NORMAL:-CIPHER-ALL:+%s", names[i]);
		assert_true(talk(f.tls, &t));
		assert_string_equal(gnutls_cipher_get_name(t.cipher), names[i]);
		forget(&t);
	}
	stop(&f);
}

static void psk_and_ecdhe_psk(void **state)
{
	struct tls_options o = { .pskpasswd = path("psk") };
	struct fixture f = start(&o);
	struct talk plain = { .priority = GNUTLS_12 "+PSK", .psk_user = "alice", .psk_key = ALICE_KEY };
	struct talk ecdhe = { .priority = GNUTLS_12 "+ECDHE-PSK", .psk_user = "alice", .psk_key = ALICE_KEY };
	struct talk both = { .priority = GNUTLS_12 "+PSK:+ECDHE-PSK",
			     .psk_user = "alice",
			     .psk_key = ALICE_KEY };

	(void)state;
	assert_true(talk(f.tls, &plain));
	assert_int_equal(plain.kx, GNUTLS_KX_PSK);
	assert_string_equal(plain.identity, "psk:alice");
	assert_true(talk(f.tls, &ecdhe));
	assert_int_equal(ecdhe.kx, GNUTLS_KX_ECDHE_PSK);
	assert_string_equal(ecdhe.identity, "psk:alice");
	assert_true(talk(f.tls, &both));
	assert_int_equal(both.kx, GNUTLS_KX_ECDHE_PSK); /* forward secrecy first */
	forget(&plain);
	forget(&ecdhe);
	forget(&both);
	stop(&f);
}

static void binary_psk_identities(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	unsigned char raw[] = { 0x00, 0xff, '\\', 'A' };
	struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_raw_user = { raw, sizeof(raw) },
			  .psk_key = "0102030405060708" };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_string_equal(t.identity, "psk:\\x00\\xff\\x5cA");
	forget(&t);
	stop(&f);
}

static void the_longest_psk_key_and_identity_that_a_file_may_hold_work(void **state)
{
	char text[800], user[129], key[513];
	struct tls_options o = { .pskpasswd = path("psk-long") };
	struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_user = user, .psk_key = key };
	struct fixture f;

	(void)state;
	memset(user, 'u', 128);
	user[128] = '\0';
	memset(key, '4', 512);
	key[512] = '\0';
	snprintf(text, sizeof(text), "%s:%s\n", user, key);
	write_text("psk-long", text);
	f = start(&o);
	assert_true(talk(f.tls, &t));
	forget(&t);
	stop(&f);
}

static void an_unknown_psk_identity_is_not_told_from_a_wrong_key(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk unknown = { .priority = GNUTLS_12 "+PSK", .psk_user = "mallory\n", .psk_key = ALICE_KEY };
	struct talk wrong = { .priority = GNUTLS_12 "+PSK",
			      .psk_user = "alice",
			      .psk_key = "ffeeddccbbaa9988" };

	(void)state;
	assert_false(talk(f.tls, &unknown));
	assert_true(unknown.report.psk_unknown);
	assert_string_equal(unknown.why, "PSK identity \"mallory\\x0a\" is not in the PSK file");
	assert_false(talk(f.tls, &wrong));
	assert_false(wrong.report.psk_unknown);
	assert_non_null(strstr(wrong.why, "same PSK"));
	assert_int_equal(unknown.client.rc, wrong.client.rc);
	assert_int_equal(unknown.server.rc, wrong.server.rc);
	assert_int_equal(unknown.alert, wrong.alert);
	stop(&f);
}

/* ---- client certificates ---- */

static void a_client_certificate_names_its_owner(void **state)
{
	enum verify_client modes[] = { VERIFY_CLIENT_OPTIONAL, VERIFY_CLIENT_REQUIRED };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture f = start_usual(modes[i]);
		struct talk t = { .cert = &client }, n = { .cert = &nameless }, ip = { .cert = &with_ip };

		assert_true(talk(f.tls, &t));
		assert_string_equal(t.identity, "CN=client,O=Example");
		assert_true(talk(f.tls, &n));
		assert_string_equal(n.identity, "device-7.example");
		assert_true(talk(f.tls, &ip));
		assert_string_equal(ip.identity, "192.0.2.7");
		forget(&ip);
		forget(&t);
		forget(&n);
		stop(&f);
	}
}

static void a_client_certificate_is_not_asked_for_under_none(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk t = { .cert = &foreign };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_null(t.identity);
	forget(&t);
	stop(&f);
}

static void no_client_certificate_is_fine_when_optional_only(void **state)
{
	struct fixture optional = start_usual(VERIFY_CLIENT_OPTIONAL);
	struct fixture required = start_usual(VERIFY_CLIENT_REQUIRED);
	struct talk t = { 0 }, u = { 0 };

	(void)state;
	assert_true(talk(optional.tls, &t));
	assert_null(t.identity);
	assert_false(talk(required.tls, &u));
	assert_string_equal(u.why, "the client sent no certificate, but --verify-client required wants one");
	assert_int_equal(u.alert, GNUTLS_A_HANDSHAKE_FAILURE);
	forget(&t);
	stop(&optional);
	stop(&required);
}

static void a_bad_client_certificate_is_refused_with_cause_and_alert(void **state)
{
	static const struct {
		const struct identity *cert;
		const char *why;
		gnutls_alert_description_t alert;
	} cases[] = {
		{ &expired, "client certificate refused: it has expired (CN=late)",
		  GNUTLS_A_CERTIFICATE_EXPIRED },
		{ &foreign, "client certificate refused: its issuer is not in the CA file (CN=stranger)",
		  GNUTLS_A_UNKNOWN_CA },
		{ &wrong_purpose,
		  "client certificate refused: its extended key usage does not allow TLS clients "
		  "(CN=a server)",
		  GNUTLS_A_UNSUPPORTED_CERTIFICATE },
	};
	enum verify_client modes[] = { VERIFY_CLIENT_OPTIONAL, VERIFY_CLIENT_REQUIRED };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f = start_usual(modes[i % 2]);
		struct talk t = { .cert = cases[i / 2].cert };

		assert_false(talk(f.tls, &t));
		assert_string_equal(t.why, cases[i / 2].why);
		assert_int_equal(t.alert, cases[i / 2].alert);
		stop(&f);
	}
}

/* ---- resumption ---- */

/* A full handshake, then one that brings its session; the caller forgets both. */
static void twice(struct tls *first, struct tls *second, struct talk *t, struct talk *u)
{
	assert_true(talk(first, t));
	assert_false(t->resumed);
	u->resume = &t->session_data;
	assert_true(talk(second, u));
}

static void assert_resumes(struct tls *first, struct tls *second, struct talk like, bool resumes)
{
	struct talk t = like, u = like;

	twice(first, second, &t, &u);
	assert_int_equal(u.resumed, resumes);
	if (t.identity != NULL)
		assert_string_equal(u.identity, t.identity);
	else
		assert_null(u.identity);
	forget(&t);
	forget(&u);
}

static const struct talk TICKET_CERT = { .cert = &client };
static const struct talk TICKET_PSK = { .priority = GNUTLS_12 "+PSK",
					.psk_user = "alice",
					.psk_key = ALICE_KEY };
static const struct talk ID_CERT = { .cert = &client, .flags = GNUTLS_NO_TICKETS };
static const struct talk ID_PSK = { .priority = GNUTLS_12 "+PSK", .psk_user = "alice", .psk_key = ALICE_KEY,
				    .flags = GNUTLS_NO_TICKETS };
static const struct talk *const RESUMABLE[] = { &TICKET_CERT, &TICKET_PSK, &ID_CERT, &ID_PSK };

static void ticket_and_session_id_resume_with_the_identity(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_REQUIRED);

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_resumes(f.tls, f.tls, *RESUMABLE[i], true);
	stop(&f);
}

static void nothing_resumes_across_unrelated_servers(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_REQUIRED), g = start_usual(VERIFY_CLIENT_REQUIRED);

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_resumes(f.tls, g.tls, *RESUMABLE[i], false);
	stop(&f);
	stop(&g);
}

static void without_a_cache_session_ids_do_not_resume_but_tickets_do(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	struct fixture f = { .shared = tls_shared_new(0, 3600) }, g = { .shared = tls_shared_new(100, 0) };

	(void)state;
	f.tls = load(&o, f.shared);
	g.tls = load(&o, g.shared);
	assert_resumes(f.tls, f.tls, TICKET_CERT, true);
	assert_resumes(f.tls, f.tls, ID_CERT, false);
	assert_resumes(g.tls, g.tls, TICKET_CERT, false);
	assert_resumes(g.tls, g.tls, ID_CERT, false);
	stop(&f);
	stop(&g);
}

static void resumption_survives_a_reload_that_leaves_trust_alone(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	struct fixture f = start(&o);
	struct tls *again;

	(void)state;
	o.x509certfile = path("chain.pem");
	o.x509keyfile = path("leaf.key");
	again = load(&o, f.shared);
	for (size_t i = 0; i < 4; i++)
		assert_resumes(f.tls, again, *RESUMABLE[i], true);
	tls_unref(again);
	stop(&f);
}

static void nobody_resumes_after_a_reload_that_changes_trust(void **state)
{
	struct tls_options ca_changed = usual(VERIFY_CLIENT_REQUIRED), psk_changed = ca_changed,
			   verify_changed = ca_changed;
	struct tls_options *changed[] = { &ca_changed, &psk_changed, &verify_changed };

	(void)state;
	save_crt("two-cas.pem", (const struct identity *const[]){ &ca, &foreign_ca }, 2);
	write_text("psk-more", "alice:" ALICE_KEY "\ncarol:01\n");
	ca_changed.x509cafile = path("two-cas.pem");
	psk_changed.pskpasswd = path("psk-more");
	verify_changed.verify_client = VERIFY_CLIENT_OPTIONAL;
	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k < 4; k++) {
			struct fixture f = start_usual(VERIFY_CLIENT_REQUIRED);
			struct talk t = *RESUMABLE[k], u = t;
			struct tls *again;

			assert_true(talk(f.tls, &t));
			again = load(changed[i], f.shared);
			u.resume = &t.session_data;
			assert_true(talk(again, &u));
			assert_false(u.resumed);
			forget(&t);
			forget(&u);
			tls_unref(again);
			stop(&f);
		}
}

static void a_handshake_begun_before_trust_changed_leaves_nothing_that_resumes_after(void **state)
{
	struct tls_options without = { .x509certfile = path("server.pem"), .x509keyfile = path("server.key"),
				       .pskpasswd = path("psk-bob") };

	(void)state;
	for (unsigned flags = 0; flags <= GNUTLS_NO_TICKETS; flags += GNUTLS_NO_TICKETS) {
		struct fixture f = start_usual(VERIFY_CLIENT_NONE);
		struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_user = "alice", .psk_key = ALICE_KEY,
				  .flags = flags }, u = t;
		struct tls *again;

		talk_start(f.tls, &t);
		step(&t.client);
		step(&t.server);
		again = load(&without, f.shared);
		assert_true(talk_finish(&t));
		talk_end(&t);
		u.resume = &t.session_data;
		assert_false(talk(again, &u));
		assert_string_equal(u.why, "PSK identity \"alice\" is not in the PSK file");
		forget(&t);
		tls_unref(again);
		stop(&f);
	}
}

static void a_failed_reload_changes_nothing(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	struct fixture f = start(&o);
	struct talk t = TICKET_CERT, u = TICKET_CERT;

	(void)state;
	assert_true(talk(f.tls, &t));
	o.pskpasswd = path("psk-bob");
	o.priority = "NONSENSE";
	assert_null(tls_load(&o, f.shared, err, sizeof(err)));
	u.resume = &t.session_data;
	assert_true(talk(f.tls, &u));
	assert_true(u.resumed);
	forget(&t);
	forget(&u);
	stop(&f);
}

static void a_reference_outlives_the_loader(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct tls *kept = tls_ref(f.tls);
	struct talk t = { 0 };

	(void)state;
	assert_ptr_equal(kept, f.tls);
	tls_unref(f.tls);
	assert_true(talk(kept, &t));
	forget(&t);
	tls_unref(kept);
	tls_unref(NULL);
	tls_shared_free(f.shared);
	tls_shared_free(NULL);
}

struct crowd {
	struct tls *tls;
	_Atomic unsigned done;
};

static void *talk_often(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < 12; i++) {
		struct talk t = i % 2 ? TICKET_PSK : ID_PSK, u = t;

		c->done += talk(c->tls, &t);
		u.resume = &t.session_data;
		c->done += talk(c->tls, &u);
		forget(&t);
		forget(&u);
	}
	return NULL;
}

static void threads_share_one_while_others_are_loaded(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct tls_options other = usual(VERIFY_CLIENT_OPTIONAL);
	struct crowd crowd = { .tls = f.tls };
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, talk_often, &crowd), 0);
	for (int i = 0; i < 10; i++)
		tls_unref(load(&other, f.shared));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(crowd.done, 3 * 12 * 2);
	stop(&f);
}

/* ---- failures ---- */

static void explains_what_keeps_the_two_apart(void **state)
{
	static const struct {
		const char *priority;
		const char *why;
		gnutls_alert_description_t alert;
	} cases[] = {
		{ "NORMAL:-VERS-ALL:+VERS-DTLS1.0",
		  "the client offers DTLS 1.0 only; DTLS 1.2 is needed: update or "
		  "configure it",
		  GNUTLS_A_PROTOCOL_VERSION },
		{ "NORMAL:-CIPHER-ALL:+AES-128-CBC",
		  "no cipher suite in common; the client must offer an AEAD suite "
		  "(AES-GCM, AES-CCM, ChaCha20-Poly1305) for the certificate or PSK of this server",
		  GNUTLS_A_HANDSHAKE_FAILURE },
		{ GNUTLS_12 "+ECDHE-RSA",
		  "no cipher suite in common; the client must offer an AEAD suite "
		  "(AES-GCM, AES-CCM, ChaCha20-Poly1305) for the certificate or PSK of this server",
		  GNUTLS_A_HANDSHAKE_FAILURE },
	};
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk t = { .priority = cases[i].priority };

		assert_false(talk(f.tls, &t));
		assert_string_equal(t.why, cases[i].why);
		assert_int_equal(t.alert, cases[i].alert);
	}
	stop(&f);
}

static void explains_the_alert_that_came(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk t = { 0 };

	(void)state;
	talk_start(f.tls, &t);
	step(&t.client);
	step(&t.server);
	gnutls_alert_send(t.client.session, GNUTLS_AL_FATAL, GNUTLS_A_UNKNOWN_CA);
	step(&t.server);
	assert_int_equal(t.server.rc, GNUTLS_E_FATAL_ALERT_RECEIVED);
	note_failure(&t);
	assert_string_equal(t.why,
			    "the client sent the fatal alert UNKNOWN_CA (48); it does not have the CA of "
			    "this server's certificate");
	talk_end(&t);
	stop(&f);
}

static void explains_a_time_out_by_what_came_last(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk t = { 0 };

	(void)state;
	talk_start(f.tls, &t);
	step(&t.client);
	step(&t.server);
	note_failure(&t);
	assert_string_equal(t.why, "timed out; the client's last message was CLIENT HELLO");
	talk_end(&t);
	stop(&f);
}

static void every_error_has_a_phrase_that_fits_a_small_buffer(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct tls_report report;
	gnutls_session_t s;
	char buf[20];

	(void)state;
	assert_int_equal(tls_session_new(f.tls, &report, &s), 0);
	for (int e = -1; e > -450; e--) {
		assert_ptr_equal(tls_explain(e, s, &report, buf, sizeof(buf)), buf);
		assert_true(strlen(buf) > 3 && strlen(buf) < sizeof(buf));
	}
	gnutls_deinit(s);
	stop(&f);
}

/* ---- what is wrong with files and options ---- */

/* In messages and arguments '@' stands for the directory. */
static const char *expand(const char *in, char *out, size_t size)
{
	size_t at = 0;

	for (; *in != '\0' && at + sizeof(dir) < size; in++)
		at += (size_t)(*in == '@' ? snprintf(out + at, size - at, "%s", dir) :
					    snprintf(out + at, size - at, "%c", *in));
	return out;
}

struct bad {
	const char *cert, *key, *cafile, *psk, *priority;
	enum verify_client verify;
	const char *message;
};

static const struct bad BAD[] = {
	{ .message =
	      "there is neither a certificate nor a PSK file; give --x509certfile and --x509keyfile, or "
	      "--pskpasswd, or all three" },
	{ .cert = "@/server.pem",
	  .message = "--x509certfile @/server.pem is given without --x509keyfile; name its "
		     "private key too" },
	{ .key = "@/server.key",
	  .message = "--x509keyfile @/server.key is given without --x509certfile; name its "
		     "certificate too" },
	{ .cert = "@/none",
	  .key = "@/server.key",
	  .message =
	      "@/none: cannot open the certificate: No such file or directory; check the path and that "
	      "dtlsd's user may read it" },
	{ .cert = "@/server.pem",
	  .key = "@/none",
	  .message =
	      "@/none: cannot open the private key: No such file or directory; check the path and that "
	      "dtlsd's user may read it" },
	{ .cert = "@",
	  .key = "@/server.key",
	  .message = "@: cannot read the certificate: Is a directory; give the name of a readable file" },
	{ .cert = "@/server.key",
	  .key = "@/server.key",
	  .message =
	      "@/server.key: there is no certificate in it; a PEM file with BEGIN CERTIFICATE is wanted" },
	{ .cert = "@/empty",
	  .key = "@/server.key",
	  .message = "@/empty: there is no certificate in it; a PEM file with BEGIN CERTIFICATE is wanted" },
	{ .cert = "@/server.pem",
	  .key = "@/server.pem",
	  .message =
	      "@/server.pem: there is no private key in it; a PEM file with BEGIN PRIVATE KEY is wanted" },
	{ .cert = "@/server.pem",
	  .key = "@/empty",
	  .message = "@/empty: there is no private key in it; a PEM file with BEGIN PRIVATE KEY is wanted" },
	{ .cert = "@/server.pem",
	  .key = "@/encrypted.key",
	  .message =
	      "@/encrypted.key: the private key is encrypted and there is nobody to ask for the password; "
	      "decrypt it with: openssl pkey -in @/encrypted.key -out KEY" },
	{ .cert = "@/server.pem",
	  .key = "@/rsa.key",
	  .message =
	      "@/rsa.key: this private key does not belong to the first certificate of @/server.pem; give "
	      "the two that were made together" },
	/* the leak sanitizer looks here, too */
	{ .cert = "@/odd-chain.pem",
	  .key = "@/leaf.key",
	  .message =
	      "@/odd-chain.pem: the key in certificate 2 of the chain cannot be used: An unimplemented or "
	      "disabled feature has been requested.; get another one" },
	{ .cert = "@/unsorted.pem",
	  .key = "@/leaf.key",
	  .message =
	      "@/unsorted.pem: the certificates are not in order; put the server's own first, then each "
	      "one's issuer after it" },
	{ .cert = "@/no-signing.pem",
	  .key = "@/no-signing.key",
	  .message =
	      "@/no-signing.pem: the certificate's key usage does not allow digital signatures, which DTLS "
	      "with forward secrecy needs; issue one with digitalSignature" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .verify = VERIFY_CLIENT_OPTIONAL,
	  .message =
	      "--verify-client asks clients for certificates, but there is no CA to check them with; give "
	      "--x509cafile" },
	{ .psk = "@/psk",
	  .cafile = "@/ca.pem",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .message =
	      "--x509cafile @/ca.pem is of no use without --x509certfile: only a server with a certificate "
	      "can ask clients for theirs" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .cafile = "@/none",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .message =
	      "@/none: cannot open the CA certificate: No such file or directory; check the path and that "
	      "dtlsd's user may read it" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .cafile = "@/empty",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .message = "@/empty: there is no certificate in it; a PEM file with BEGIN CERTIFICATE is wanted" },
	{ .psk = "@/none",
	  .message = "@/none: cannot open the PSK file: No such file or directory; check the path "
		     "and that dtlsd's user may read it" },
	{ .psk = "@/psk-bad",
	  .message = "@/psk-bad:2: there is no colon; write identity:hexkey, as psktool does" },
	{ .psk = "@/empty",
	  .message = "@/empty: there is no identity in it, so nobody could come in; add one with: "
		     "psktool -u NAME -p @/empty" },
	{ .psk = "@/psk",
	  .priority = "NORMAL:+SPAM",
	  .message = "--priority: NORMAL:+SPAM: The request is invalid. at \"+SPAM\"; see gnutls-cli "
		     "--priority-list and the GnuTLS manual on priority strings" },
	{ .psk = "@/psk",
	  .priority = "NORMAL",
	  .message = "--priority: NORMAL: leaves no key exchange and AEAD cipher for the PSKs of @/psk; add "
		     "some, as "
		     ":+ECDHE-PSK:+PSK:+AES-128-GCM" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .priority = "NORMAL:-ECDHE-ECDSA",
	  .message = "--priority: NORMAL:-ECDHE-ECDSA: leaves no key exchange and AEAD cipher for the "
		     "certificate of "
		     "@/server.pem; add some, as :+ECDHE-ECDSA:+ECDHE-RSA:+AES-128-GCM" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .priority = "NORMAL:-CIPHER-ALL:+AES-128-CBC",
	  .message = "--priority: NORMAL:-CIPHER-ALL:+AES-128-CBC: no AEAD cipher is left of it; add one, as "
		     ":+AES-128-GCM" },
};

static void every_bad_file_and_option_says_what_and_why(void **state)
{
	struct tls_shared *shared = tls_shared_new(10, 60);
	gnutls_datum_t pem;

	(void)state;
	write_text("empty", "");
	write_text("psk-bad", "alice:00\nbob 11\n");
	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(server.key, GNUTLS_X509_FMT_PEM, "secret",
							   GNUTLS_PKCS_PBES2_AES_128, &pem), 0);
	write_file("encrypted.key", (const char *)pem.data, pem.size);
	gnutls_free(pem.data);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		const struct bad *b = &BAD[i];
		char text[6][500];
		struct tls_options o = {
			.x509certfile = b->cert ? expand(b->cert, text[0], 500) : NULL,
			.x509keyfile = b->key ? expand(b->key, text[1], 500) : NULL,
			.x509cafile = b->cafile ? expand(b->cafile, text[2], 500) : NULL,
			.pskpasswd = b->psk ? expand(b->psk, text[3], 500) : NULL,
			.priority = b->priority,
			.verify_client = b->verify,
		};

		strcpy(err, "nothing was said");
		assert_null(tls_load(&o, shared, err, sizeof(err)));
		assert_string_equal(err, expand(b->message, text[4], 500));
	}
	tls_shared_free(shared);
}

static void version_and_ciphers_are_imposed_on_any_priority(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_NONE);
	struct talk cbc = { .priority = "NORMAL:-CIPHER-ALL:+AES-128-CBC:+AES-256-CBC" };
	struct talk old = { .priority = "NORMAL:-VERS-ALL:+VERS-DTLS1.0" }, good = { 0 };
	struct fixture f;

	(void)state;
	o.priority = "NORMAL:+VERS-DTLS1.0:+PSK:+AES-128-CBC:+ARCFOUR-128:-VERS-DTLS1.2";
	f = start(&o);
	assert_false(talk(f.tls, &cbc));
	assert_false(talk(f.tls, &old));
	assert_true(talk(f.tls, &good));
	assert_int_equal(good.version, GNUTLS_DTLS1_2);
	forget(&good);
	stop(&f);
}

/* What tls_load logs goes into buf. */
static void load_logged(const struct tls_options *o, char *buf, size_t size)
{
	struct tls_shared *shared = tls_shared_new(10, 60);
	int saved = dup(STDERR_FILENO), fd = open(path("log"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct tls *t;
	ssize_t n;

	assert_true(saved >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	t = tls_load(o, shared, err, sizeof(err));
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_non_null(t);
	n = pread(fd, buf, size - 1, 0);
	assert_true(n >= 0);
	buf[n] = '\0';
	close(fd);
	tls_unref(t);
	tls_shared_free(shared);
}

static void warns_of_expiry_and_open_key_files_only(void **state)
{
	struct tls_options good = usual(VERIFY_CLIENT_REQUIRED);
	struct tls_options old = { .x509certfile = path("old.pem"), .x509keyfile = path("old.key") };
	struct tls_options open_key = { .x509certfile = path("server.pem"), .x509keyfile = path("open.key"),
					.pskpasswd = path("open.psk") };
	char log[2000], key[4096];
	int fd = open(path("server.key"), O_RDONLY);
	ssize_t n = read(fd, key, sizeof(key));

	(void)state;
	close(fd);
	assert_true(n > 0);
	write_file("open.key", key, (size_t)n);
	write_text("open.psk", "bob:01\n");
	chmod(path("open.key"), 0644);
	chmod(path("open.psk"), 0604);
	load_logged(&good, log, sizeof(log));
	assert_string_equal(log, "");
	load_logged(&old, log, sizeof(log));
	assert_non_null(strstr(log, "certificate 1 of the chain has expired"));
	load_logged(&open_key, log, sizeof(log));
	assert_non_null(strstr(log, "may access the private key; run: chmod o-rwx"));
	assert_non_null(strstr(log, "may access the PSK file; run: chmod o-rwx"));
}

static void *feed_pipe(void *arg)
{
	const char *text = arg;
	int fd = open(path("fifo"), O_WRONLY);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return good ? arg : NULL;
}

static void a_psk_file_may_be_a_pipe(void **state)
{
	struct tls_options o = { .pskpasswd = path("fifo") };
	struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_user = "bob", .psk_key = "0202020202020202" };
	char text[9000];
	pthread_t feeder;
	struct fixture f;
	void *good;

	(void)state;
	snprintf(text, sizeof(text), "alice:01\n#%8000s\nbob:0202020202020202\n", " ");
	assert_int_equal(mkfifo(path("fifo"), 0600), 0);
	assert_int_equal(pthread_create(&feeder, NULL, feed_pipe, text), 0);
	f = start(&o);
	assert_int_equal(pthread_join(feeder, &good), 0);
	assert_non_null(good);
	assert_true(talk(f.tls, &t));
	forget(&t);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ecdhe_ecdsa_prefers_gcm_and_x25519),
		cmocka_unit_test(ecdhe_rsa),
		cmocka_unit_test(a_chain_with_an_intermediate),
		cmocka_unit_test(every_cipher_that_the_record_layer_has),
		cmocka_unit_test(psk_and_ecdhe_psk),
		cmocka_unit_test(binary_psk_identities),
		cmocka_unit_test(the_longest_psk_key_and_identity_that_a_file_may_hold_work),
		cmocka_unit_test(an_unknown_psk_identity_is_not_told_from_a_wrong_key),
		cmocka_unit_test(a_client_certificate_names_its_owner),
		cmocka_unit_test(a_client_certificate_is_not_asked_for_under_none),
		cmocka_unit_test(no_client_certificate_is_fine_when_optional_only),
		cmocka_unit_test(a_bad_client_certificate_is_refused_with_cause_and_alert),
		cmocka_unit_test(ticket_and_session_id_resume_with_the_identity),
		cmocka_unit_test(nothing_resumes_across_unrelated_servers),
		cmocka_unit_test(without_a_cache_session_ids_do_not_resume_but_tickets_do),
		cmocka_unit_test(resumption_survives_a_reload_that_leaves_trust_alone),
		cmocka_unit_test(nobody_resumes_after_a_reload_that_changes_trust),
		cmocka_unit_test(a_handshake_begun_before_trust_changed_leaves_nothing_that_resumes_after),
		cmocka_unit_test(a_failed_reload_changes_nothing),
		cmocka_unit_test(a_reference_outlives_the_loader),
		cmocka_unit_test(threads_share_one_while_others_are_loaded),
		cmocka_unit_test(explains_what_keeps_the_two_apart),
		cmocka_unit_test(explains_the_alert_that_came),
		cmocka_unit_test(explains_a_time_out_by_what_came_last),
		cmocka_unit_test(every_error_has_a_phrase_that_fits_a_small_buffer),
		cmocka_unit_test(every_bad_file_and_option_says_what_and_why),
		cmocka_unit_test(version_and_ciphers_are_imposed_on_any_priority),
		cmocka_unit_test(warns_of_expiry_and_open_key_files_only),
		cmocka_unit_test(a_psk_file_may_be_a_pipe),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
