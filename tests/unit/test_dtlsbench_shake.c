/* SPDX-License-Identifier: BSD-2-Clause */
/* The lean client, and the one by GnuTLS, against a GnuTLS server in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include "../sim/pki.h"
#include "dtlsbench_shake.h"
#include "dtlsbench_tls.h"
#include "wire.h"

#define QUEUE 256
#define DATAGRAM 2048
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-DTLS1.2:+PSK"

/* One direction of the network. */
struct pipe {
	uint8_t data[QUEUE][DATAGRAM];
	size_t len[QUEUE];
	unsigned first, next;
};

struct server {
	gnutls_session_t session;
	gnutls_dtls_prestate_st prestate;
	gnutls_datum_t cookie_key;
	bool proved, done;
	struct pipe in, out;
};

static struct {
	gnutls_certificate_credentials_t ecdsa, rsa;
	gnutls_psk_server_credentials_t psk;
	gnutls_datum_t tickets;
	gnutls_priority_t priority;
} server_has;

static struct shake_setup x509 = { .tickets = true };
static struct shake_setup psk = { .tickets = true, .psk_len = 4, .psk = { 1, 2, 3, 4 }, .identity_len = 5,
				  .identity = "alice" };

/* ---- the network */

static void pipe_put(struct pipe *p, const void *data, size_t len)
{
	assert_true(len <= DATAGRAM);
	if (p->next - p->first == QUEUE)
		return; /* a full network loses */
	memcpy(p->data[p->next % QUEUE], data, len);
	p->len[p->next++ % QUEUE] = len;
}

/* NULL: empty. Valid until QUEUE more have been put. */
static uint8_t *pipe_get(struct pipe *p, size_t *len)
{
	if (p->first == p->next)
		return NULL;
	*len = p->len[p->first % QUEUE];
	return p->data[p->first++ % QUEUE];
}

/* ---- the server */

static ssize_t server_push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct server *s = ptr;

	pipe_put(&s->out, data, len);
	return (ssize_t)len;
}

static ssize_t server_pull(gnutls_transport_ptr_t ptr, void *data, size_t size)
{
	struct server *s = ptr;
	size_t len;
	uint8_t *d = pipe_get(&s->in, &len);

	if (!d) {
		gnutls_transport_set_errno(s->session, EAGAIN);
		return -1;
	}
	assert_true(len <= size);
	memcpy(data, d, len);
	return (ssize_t)len;
}

static int server_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
	struct server *s = ptr;

	(void)ms;
	return s->in.first != s->in.next;
}

static int psk_of(gnutls_session_t session, const char *user, gnutls_datum_t *key)
{
	static const uint8_t secret[4] = { 1, 2, 3, 4 };

	(void)session;
	if (strcmp(user, "alice") != 0)
		return -1;
	key->data = gnutls_malloc(4);
	memcpy(key->data, secret, 4);
	key->size = 4;
	return 0;
}

static struct server *server_new(gnutls_certificate_credentials_t certificate, gnutls_certificate_request_t wanted)
{
	struct server *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	assert_int_equal(gnutls_init(&s->session, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK), 0);
	assert_int_equal(gnutls_priority_set(s->session, server_has.priority), 0);
	gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, certificate);
	gnutls_credentials_set(s->session, GNUTLS_CRD_PSK, server_has.psk);
	gnutls_certificate_server_set_request(s->session, wanted);
	gnutls_session_ticket_enable_server(s->session, &server_has.tickets);
	gnutls_dtls_set_mtu(s->session, 400); /* certificates come in pieces */
	gnutls_dtls_set_timeouts(s->session, 1, 60000);
	gnutls_transport_set_ptr(s->session, s);
	gnutls_transport_set_push_function(s->session, server_push);
	gnutls_transport_set_pull_function(s->session, server_pull);
	gnutls_transport_set_pull_timeout_function(s->session, server_pull_timeout);
	assert_int_equal(gnutls_key_generate(&s->cookie_key, GNUTLS_COOKIE_KEY_SIZE), 0);
	return s;
}

static void server_free(struct server *s)
{
	gnutls_deinit(s->session);
	gnutls_free(s->cookie_key.data);
	free(s);
}

/* The exchange of cookies, then the handshake. A GnuTLS error when it has failed, else 0. */
static int server_turn(struct server *s)
{
	char peer[] = "peer", data[DATAGRAM];
	size_t len;
	int ret;

	while (!s->proved && s->in.first != s->in.next) {
		uint8_t *d = s->in.data[s->in.first % QUEUE];

		len = s->in.len[s->in.first % QUEUE];
		if (gnutls_dtls_cookie_verify(&s->cookie_key, peer, 4, d, len, &s->prestate) == 0) {
			gnutls_dtls_prestate_set(s->session, &s->prestate);
			s->proved = true; /* and the datagram stays for the handshake */
			break;
		}
		memset(&s->prestate, 0, sizeof(s->prestate));
		gnutls_dtls_cookie_send(&s->cookie_key, peer, 4, &s->prestate, s, server_push);
		s->in.first++;
	}
	/* GnuTLS repeats its last flight when it is asked for data and finds the client's once more */
	while (s->done && s->in.first != s->in.next)
		gnutls_record_recv(s->session, data, sizeof(data));
	if (!s->proved || s->done)
		return 0;
	do
		ret = gnutls_handshake(s->session);
	while (ret == GNUTLS_E_WARNING_ALERT_RECEIVED || (ret == GNUTLS_E_AGAIN && s->in.first != s->in.next));
	s->done = ret == 0;
	if (gnutls_error_is_fatal(ret)) {
		gnutls_alert_send_appropriate(s->session, ret);
		return ret;
	}
	return 0;
}

/* ---- the clients */

static enum shake_verdict lean_take(struct shake *c, struct server *s, enum shake_verdict v)
{
	if (v == SHAKE_SEND)
		pipe_put(&s->in, c->flight, c->flight_len);
	return v == SHAKE_SEND ? SHAKE_WAIT : v;
}

/* Until the client is done or has failed. chance: percent of datagrams that are lost, doubled or late. */
static enum shake_verdict converse(struct shake *c, struct server *s, enum shake_verdict v, unsigned chance)
{
	v = lean_take(c, s, v);
	for (int round = 0; round < 3000 && v == SHAKE_WAIT; round++) {
		size_t len;
		uint8_t *d;

		if (server_turn(s) < 0)
			round = 2900; /* its alert is on the way */
		d = pipe_get(&s->out, &len);
		if (!d) {
			usleep(chance ? 1500 : 0); /* the time-outs of GnuTLS are real ones */
			if (round % 3 == 2 && chance) {
				shake_again(c);
				pipe_put(&s->in, c->flight, c->flight_len);
			}
			continue;
		}
		if ((unsigned)random() % 100 < chance) {
			unsigned what = (unsigned)random() % 3;

			if (what > 0)
				pipe_put(&s->out, d, len); /* again, or later */
			if (what < 2)
				continue; /* lost, or later */
		}
		v = lean_take(c, s, shake_feed(c, d, len));
	}
	return v;
}

static struct record_cache *cache;

/* Both sides have the same keys, in both directions. */
static void assert_they_talk(struct record_state *record, struct server *s)
{
	uint8_t buffer[DATAGRAM], *plain, *d;
	struct record r;
	size_t len = 0, at = 0;
	ssize_t n = record_protect(record, cache, DTLS_APPLICATION_DATA, (const uint8_t *)"to you", 6, buffer,
				   sizeof(buffer));

	assert_true(n > 0);
	while (!s->done)
		assert_int_equal(server_turn(s), 0);
	pipe_put(&s->in, buffer, (size_t)n);
	do /* what is left of the handshake comes first */
		n = gnutls_record_recv(s->session, buffer, sizeof(buffer));
	while (n == GNUTLS_E_AGAIN && s->in.first != s->in.next);
	assert_int_equal(n, 6);
	assert_memory_equal(buffer, "to you", 6);
	while (pipe_get(&s->out, &len))
		;
	assert_int_equal(gnutls_record_send(s->session, "and back", 8), 8);
	d = pipe_get(&s->out, &len);
	assert_non_null(d);
	assert_int_equal(classify_record(d, len, &at, &r), RECORD_PROTECTED);
	assert_int_equal(record_unprotect(record, cache, &r, &plain, NULL), 8);
	assert_memory_equal(plain, "and back", 8);
}

static void lean_completes(const struct shake_setup *setup, gnutls_certificate_credentials_t certificate,
			   gnutls_certificate_request_t wanted, unsigned chance)
{
	struct server *s = server_new(certificate, wanted);
	struct shake c;
	enum shake_verdict v = converse(&c, s, shake_begin(&c, setup, cache), chance);

	if (v != SHAKE_DONE)
		fail_msg("%s", c.why ? c.why : "it hangs");
	assert_they_talk(&c.record, s);
	shake_end(&c);
	server_free(s);
}

static void lean_completes_with_an_ecdsa_certificate(void **state)
{
	(void)state;
	lean_completes(&x509, server_has.ecdsa, GNUTLS_CERT_IGNORE, 0);
}

static void lean_completes_with_an_rsa_certificate(void **state)
{
	(void)state;
	lean_completes(&x509, server_has.rsa, GNUTLS_CERT_IGNORE, 0);
}

static void lean_completes_with_a_preshared_key(void **state)
{
	(void)state;
	lean_completes(&psk, server_has.ecdsa, GNUTLS_CERT_IGNORE, 0);
}

static void lean_has_no_certificate_for_a_server_that_asks(void **state)
{
	(void)state;
	lean_completes(&x509, server_has.ecdsa, GNUTLS_CERT_REQUEST, 0);
}

static void lean_completes_where_much_is_lost_doubled_and_late(void **state)
{
	(void)state;
	srandom(11);
	for (int i = 0; i < 10; i++) {
		lean_completes(&x509, server_has.ecdsa, GNUTLS_CERT_IGNORE, 25);
		lean_completes(&psk, server_has.ecdsa, GNUTLS_CERT_IGNORE, 25);
	}
}

static void lean_tells_the_alert_that_refused_it(void **state)
{
	struct shake_setup stranger = psk;
	struct server *s = server_new(server_has.ecdsa, GNUTLS_CERT_IGNORE);
	struct shake c;

	(void)state;
	stranger.psk[0] ^= 1;
	/* GnuTLS cannot open the Finished and stays silent: the wrong key shows as a handshake that hangs */
	assert_int_equal(converse(&c, s, shake_begin(&c, &stranger, cache), 0), SHAKE_WAIT);
	shake_end(&c);
	server_free(s);
	s = server_new(server_has.ecdsa, GNUTLS_CERT_REQUIRE);
	assert_int_equal(converse(&c, s, shake_begin(&c, &x509, cache), 0), SHAKE_FAILED);
	assert_non_null(c.why);
	assert_int_not_equal(strlen(c.why), 0);
	shake_end(&c);
	server_free(s);
}

/* A handshake with one bit of one datagram changed either completes by what comes again, or fails; it never crashes. */
static void lean_survives_a_server_that_talks_nonsense(void **state)
{
	unsigned failed = 0;

	(void)state;
	srandom(5);
	for (int i = 0; i < 150; i++) {
		struct server *s = server_new(server_has.ecdsa, GNUTLS_CERT_IGNORE);
		struct shake c;
		enum shake_verdict v = lean_take(&c, s, shake_begin(&c, &x509, cache));
		unsigned which = (unsigned)random() % 6;
		size_t len;
		uint8_t *d;

		for (int round = 0; round < 40 && v == SHAKE_WAIT; round++) {
			server_turn(s);
			d = pipe_get(&s->out, &len);
			if (d && which-- == 0)
				d[(size_t)random() % len] ^= (uint8_t)(1 << random() % 8);
			if (d)
				v = lean_take(&c, s, shake_feed(&c, d, len));
		}
		failed += v != SHAKE_DONE;
		shake_end(&c);
		server_free(s);
	}
	assert_true(failed > 10);
}

static void a_repeated_flight_has_new_record_numbers(void **state)
{
	struct shake c;

	(void)state;
	assert_int_equal(shake_begin(&c, &x509, cache), SHAKE_SEND);
	assert_int_equal(wire_get48(c.flight + 5), 0);
	shake_again(&c);
	assert_int_equal(wire_get48(c.flight + 5), 1);
	assert_int_equal(wire_get16(c.flight + 17), 0); /* the message's own number stays */
	shake_end(&c);
}

/* ---- the client by GnuTLS */

static void emit(void *ctx, const uint8_t *record, size_t len)
{
	struct server *s = ctx;

	pipe_put(&s->in, record, len);
}

static enum shake_verdict tls_converse(struct tls_client *c, struct server *s, enum shake_verdict v)
{
	for (int round = 0; round < 200 && v == SHAKE_WAIT; round++) {
		size_t len;
		uint8_t *d;

		server_turn(s);
		d = pipe_get(&s->out, &len);
		if (d)
			v = tls_feed(c, d, len);
	}
	return v;
}

static void setup_gnutls(struct tls_setup *setup, const struct dtlsc_options *who)
{
	char err[256];

	*setup = (struct tls_setup){ .tickets = true, .mtu = 1200, .retransmit_ms = 500, .timeout_ms = 5000 };
	assert_int_equal(cred_load(&setup->cred, who, err, sizeof(err)), DTLSC_OK);
}

static void gnutls_completes_and_resumes(void **state)
{
	const struct dtlsc_options who = { .host = "localhost", .insecure = true };
	struct tls_setup setup;
	struct record_state record;

	(void)state;
	setup_gnutls(&setup, &who);
	for (int i = 0; i < 3; i++) {
		struct server *s = server_new(server_has.ecdsa, GNUTLS_CERT_IGNORE);
		struct tls_client c;
		bool resumed;

		assert_int_equal(tls_converse(&c, s, tls_begin(&c, &setup, emit, s)), SHAKE_DONE);
		assert_true(tls_take(&c, &record, &resumed));
		assert_int_equal(resumed, i > 0);
		if (i == 0)
			assert_int_equal(tls_save(&c, &setup.resume), 0);
		tls_end(&c);
		assert_they_talk(&record, s);
		record_wipe(&record, cache);
		server_free(s);
	}
	gnutls_free(setup.resume.data);
	cred_free(&setup.cred);
}

static void gnutls_tells_why_a_certificate_is_refused(void **state)
{
	const struct dtlsc_options who = { .host = "elsewhere.example" };
	struct server *s = server_new(server_has.ecdsa, GNUTLS_CERT_IGNORE);
	struct tls_setup setup;
	struct tls_client c;

	(void)state;
	setup_gnutls(&setup, &who);
	setup.verify = true;
	assert_int_equal(tls_converse(&c, s, tls_begin(&c, &setup, emit, s)), SHAKE_FAILED);
	assert_non_null(strstr(c.why, "elsewhere.example"));
	tls_end(&c);
	server_free(s);
	cred_free(&setup.cred);
}

/* GnuTLS would keep it and add what comes next to it. */
static void a_truncated_datagram_does_not_reach_gnutls(void **state)
{
	const struct dtlsc_options who = { .host = "localhost", .insecure = true };
	struct server *s = server_new(server_has.ecdsa, GNUTLS_CERT_IGNORE);
	uint8_t cut[16] = { DTLS_HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0 };
	struct tls_setup setup;
	struct tls_client c;
	enum shake_verdict v;

	(void)state;
	setup_gnutls(&setup, &who);
	v = tls_begin(&c, &setup, emit, s);
	assert_int_equal(v, SHAKE_WAIT);
	assert_int_equal(tls_feed(&c, cut, sizeof(cut)), SHAKE_WAIT);
	assert_int_equal(tls_converse(&c, s, v), SHAKE_DONE);
	tls_end(&c);
	server_free(s);
	cred_free(&setup.cred);
}

static gnutls_certificate_credentials_t credentials(struct pki_pair *p)
{
	gnutls_certificate_credentials_t c;

	assert_int_equal(gnutls_certificate_allocate_credentials(&c), 0);
	assert_int_equal(gnutls_certificate_set_x509_key(c, &p->cert, 1, p->key), 0);
	pki_free(p);
	return c;
}

static int prepare(void **state)
{
	struct pki_pair ca = pki_ca("test CA"), ecdsa = pki_issue(&ca, "localhost", GNUTLS_PK_ECDSA, "localhost");
	struct pki_pair rsa = pki_issue_rsa(&ca, "localhost", 2048);

	(void)state;
	server_has.ecdsa = credentials(&ecdsa);
	server_has.rsa = credentials(&rsa);
	pki_free(&ca);
	gnutls_psk_allocate_server_credentials(&server_has.psk);
	gnutls_psk_set_server_credentials_function(server_has.psk, psk_of);
	gnutls_session_ticket_key_generate(&server_has.tickets);
	cache = record_cache_new(4);
	return gnutls_priority_init(&server_has.priority, PRIORITY, NULL) || !cache || shake_prepare(&x509) ||
	       shake_prepare(&psk);
}

static int clear(void **state)
{
	(void)state;
	gnutls_certificate_free_credentials(server_has.ecdsa);
	gnutls_certificate_free_credentials(server_has.rsa);
	gnutls_psk_free_server_credentials(server_has.psk);
	gnutls_free(server_has.tickets.data);
	gnutls_priority_deinit(server_has.priority);
	record_cache_free(cache);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lean_completes_with_an_ecdsa_certificate),
		cmocka_unit_test(lean_completes_with_an_rsa_certificate),
		cmocka_unit_test(lean_completes_with_a_preshared_key),
		cmocka_unit_test(lean_has_no_certificate_for_a_server_that_asks),
		cmocka_unit_test(lean_completes_where_much_is_lost_doubled_and_late),
		cmocka_unit_test(lean_tells_the_alert_that_refused_it),
		cmocka_unit_test(lean_survives_a_server_that_talks_nonsense),
		cmocka_unit_test(a_repeated_flight_has_new_record_numbers),
		cmocka_unit_test(gnutls_completes_and_resumes),
		cmocka_unit_test(gnutls_tells_why_a_certificate_is_refused),
		cmocka_unit_test(a_truncated_datagram_does_not_reach_gnutls),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, prepare, clear);
}
