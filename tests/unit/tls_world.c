/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_world.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/dtls.h>

/* ---- certificates and files ---- */

enum { DAY = 24 * 3600 };

struct template {
	const char *cn; /* NULL: no subject */
	const char *purpose;
	unsigned usage;
	int from_day, to_day;
	bool ca;
};

char world_dir[] = "/tmp/test_tls.XXXXXX";
char world_err[600];
struct identity ca, foreign_ca, server, rsa_server, client, expired, foreign, wrong_purpose, nameless;
struct identity no_signing, with_ip, old_server, intermediate, leaf, other_server;

const char *path(const char *name)
{
	static char texts[64][64]; /* more than any test holds at a time */
	static unsigned next;
	char *text = texts[next++ % 64];

	snprintf(text, sizeof(texts[0]), "%s/%s", world_dir, name);
	return text;
}

const char *write_file(const char *name, const char *text, size_t len)
{
	const char *p = path(name);
	int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
	return p;
}

const char *write_text(const char *name, const char *text)
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
	gnutls_x509_crt_set_key_usage(id.crt, t->ca ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN : t->usage);
	if (t->purpose != NULL)
		gnutls_x509_crt_set_key_purpose_oid(id.crt, t->purpose, 0);
	if (issuer == NULL)
		issuer = &id;
	assert_int_equal(gnutls_x509_crt_sign2(id.crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
	return id;
}

struct identity make_ec(const struct identity *issuer, const char *cn, const char *purpose)
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

void save_crt(const char *name, const struct identity *const *ids, size_t n)
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

void save_crl(const char *name, const struct identity *issuer, const struct identity *revoked, int from_day,
	      int to_day)
{
	gnutls_x509_crl_t crl;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_crl_init(&crl), 0);
	gnutls_x509_crl_set_version(crl, 2);
	gnutls_x509_crl_set_this_update(crl, time(NULL) + from_day * DAY);
	gnutls_x509_crl_set_next_update(crl, time(NULL) + to_day * DAY);
	gnutls_x509_crl_set_number(crl, "\x01", 1);
	if (revoked != NULL)
		assert_int_equal(gnutls_x509_crl_set_crt(crl, revoked->crt, time(NULL) + from_day * DAY), 0);
	assert_int_equal(gnutls_x509_crl_sign2(crl, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_file(name, (const char *)pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_crl_deinit(crl);
}

/* A chain whose second certificate, which is odd-ca.pem too, has a key of an algorithm that nobody knows. */
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
	write_file("odd-ca.pem", (const char *)second.data, second.size);
	gnutls_free(first.data);
	gnutls_free(der.data);
	gnutls_free(second.data);
}

/* NAME.pem and NAME.key */
void save(const char *name, const struct identity *id)
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
	other_server = make_ec(&ca, "CN=other.example", GNUTLS_KP_TLS_WWW_SERVER);
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
	save("other", &other_server);
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

int world_set_up(void **state)
{
	(void)state;
	if (mkdtemp(world_dir) == NULL)
		return -1;
	make_all();
	return 0;
}

int world_tear_down(void **state)
{
	struct identity *all[] = { &ca,		&foreign_ca,   &server,	       &rsa_server, &client,
				   &expired,	&foreign,      &wrong_purpose, &nameless,   &no_signing,
				   &old_server, &intermediate, &leaf, &with_ip, &other_server };
	char command[80];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		gnutls_x509_crt_deinit(all[i]->crt);
		gnutls_x509_privkey_deinit(all[i]->key);
	}
	snprintf(command, sizeof(command), "rm -r %s", world_dir);
	return system(command);
}

/* ---- two ends and what is between them ---- */

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

/* Sends the certificate also when none of the CAs that the server names has signed it. */
static int on_request(gnutls_session_t s, const gnutls_datum_t *names, int count,
		      const gnutls_pk_algorithm_t *algos, int algos_count, gnutls_retr2_st *out)
{
	static gnutls_x509_crt_t crts[2];
	const struct talk *t = gnutls_session_get_ptr(s);

	(void)names;
	(void)count;
	(void)algos;
	(void)algos_count;
	crts[0] = t->cert->crt;
	if (t->beside != NULL)
		crts[1] = t->beside->crt;
	*out = (gnutls_retr2_st){ .cert_type = GNUTLS_CRT_X509, .key_type = GNUTLS_PRIVKEY_X509,
				  .ncerts = t->beside != NULL ? 2 : 1, .cert.x509 = crts, .key.x509 = t->cert->key };
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
	if (t->server_name != NULL)
		gnutls_server_name_set(s, GNUTLS_NAME_DNS, t->server_name, strlen(t->server_name));
	gnutls_dtls_set_timeouts(s, 3600000, 3600000);
	gnutls_dtls_set_mtu(s, 16384);
	if (t->resume != NULL)
		assert_int_equal(gnutls_session_set_data(s, t->resume->data, t->resume->size), 0);
}

void step(struct end *e)
{
	if (e->rc == 0 || gnutls_error_is_fatal(e->rc))
		return;
	do
		e->rc = gnutls_handshake(e->session);
	while (e->rc < 0 && !gnutls_error_is_fatal(e->rc) && e->head != e->tail);
}

static void note_server_cn(struct talk *t)
{
	const gnutls_datum_t *der = gnutls_certificate_get_peers(t->client.session, NULL);
	size_t size = sizeof(t->server_cn);
	gnutls_x509_crt_t crt;

	if (der == NULL)
		return;
	gnutls_x509_crt_init(&crt);
	assert_int_equal(gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER), 0);
	assert_int_equal(gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, t->server_cn, &size), 0);
	gnutls_x509_crt_deinit(crt);
}

static void note_success(struct talk *t)
{
	gnutls_session_t s = t->server.session;
	gnutls_x509_crt_t peer = tls_peer_leaf(s);

	t->resumed = gnutls_session_is_resumed(s) != 0;
	t->kx = gnutls_kx_get(s);
	t->group = gnutls_group_get(s);
	t->cipher = gnutls_cipher_get(s);
	t->version = gnutls_protocol_get_version(s);
	t->identity = tls_identity(s, peer);
	tls_grant_take(tls_grants(gnutls_db_get_ptr(s)), s, NULL, &t->grant);
	tls_names(s, peer, &t->names);
	if (peer)
		gnutls_x509_crt_deinit(peer);
	note_server_cn(t);
	assert_int_equal(gnutls_session_get_data2(t->client.session, &t->session_data), 0);
}

void note_failure(struct talk *t)
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

void talk_end(struct talk *t)
{
	drain(&t->client);
	drain(&t->server);
	gnutls_certificate_free_credentials(t->cert_cred);
	if (t->psk_cred != NULL)
		gnutls_psk_free_client_credentials(t->psk_cred);
}

void talk_start(struct tls *tls, struct talk *t)
{
	memset(&t->report, 0xff, sizeof(t->report)); /* tls_session_new has to clear it */
	set_up_client(t);
	assert_int_equal(tls_session_new(tls, &t->report, &t->server.session), 0);
	connect_end(&t->client, &t->server);
	connect_end(&t->server, &t->client);
}

/* true: both sides are done. */
bool talk_finish(struct talk *t)
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

bool talk(struct tls *tls, struct talk *t)
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

void forget(struct talk *t)
{
	free(t->identity);
	gnutls_free(t->session_data.data);
}

/* ---- servers ---- */

struct tls *load(const struct tls_options *o, struct tls_shared *shared)
{
	struct tls *t;

	world_err[0] = '\0';
	t = tls_load(o, shared, world_err, sizeof(world_err));
	if (t == NULL)
		fprintf(stderr, "%s\n", world_err);
	assert_non_null(t);
	return t;
}

struct tls_options usual(enum verify_client verify)
{
	struct tls_options o = { .x509certfile = path("server.pem"), .x509keyfile = path("server.key"),
				 .pskpasswd = path("psk"), .verify_client = verify };

	if (verify != VERIFY_CLIENT_NONE)
		o.x509cafile = path("ca.pem");
	return o;
}

struct fixture start(const struct tls_options *o)
{
	struct fixture f = { .shared = tls_shared_new(100, 3600) };

	assert_non_null(f.shared);
	f.tls = load(o, f.shared);
	return f;
}

struct fixture start_usual(enum verify_client verify)
{
	struct tls_options o = usual(verify);

	return start(&o);
}

void stop(struct fixture *f)
{
	tls_unref(f->tls);
	tls_shared_free(f->shared);
}

void load_logged(const struct tls_options *o, char *buf, size_t size)
{
	struct tls_shared *shared = tls_shared_new(10, 60);
	int saved = dup(STDERR_FILENO), fd = open(path("log"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct tls *t;
	ssize_t n;

	assert_true(saved >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	t = tls_load(o, shared, world_err, sizeof(world_err));
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
