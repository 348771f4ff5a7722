/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mbedtls_echo: a DTLS 1.2 echo server on mbedTLS, with the steps of its dtls_server example, for many peers on
 * one socket: a context for each peer, and one that waits for the next good cookie. Session tickets are issued.
 */
#include "mbedtls_key.h" /* before others of mbedTLS */

#include <stdlib.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/timing.h>

#include "demux.h"
#include "util.h"

#define MTU 1400 /* also the largest record: mbedTLS does not write what is longer */
#define TICKET_LIFETIME_S 86400

struct session {
	mbedtls_ssl_context ssl;
	mbedtls_timing_delay_context timer;
};

static struct {
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_x509_crt certificate;
	mbedtls_pk_context key;
	mbedtls_ssl_config config;
	mbedtls_ssl_cookie_ctx cookies;
	mbedtls_ssl_ticket_context tickets;
	struct session *waiting; /* for the next hello */
} server;

static void check(int error, const char *what)
{
	char text[128];

	if (error == 0)
		return;
	mbedtls_strerror(error, text, sizeof(text));
	die("%s: %s", what, text);
}

static int push(void *to, const unsigned char *data, size_t len)
{
	ssize_t n = demux_push(to, data, len);

	return n < 0 ? MBEDTLS_ERR_SSL_WANT_WRITE : (int)n;
}

static int pull(void *from, unsigned char *data, size_t size)
{
	ssize_t n = demux_pull(data, size);

	(void)from;
	return n < 0 ? MBEDTLS_ERR_SSL_WANT_READ : (int)n;
}

static struct session *session_new(void)
{
	struct session *s = xcalloc(1, sizeof(*s));

	mbedtls_ssl_init(&s->ssl);
	check(mbedtls_ssl_setup(&s->ssl, &server.config), "mbedtls_ssl_setup");
	mbedtls_ssl_set_timer_cb(&s->ssl, &s->timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
	mbedtls_ssl_set_mtu(&s->ssl, MTU);
	return s;
}

static void session_free(void *session)
{
	struct session *s = session;

	mbedtls_ssl_free(&s->ssl);
	free(s);
}

static void *admit(struct peer *stranger)
{
	struct session *s = server.waiting;
	int error;

	mbedtls_ssl_set_bio(&s->ssl, stranger, push, pull, NULL);
	check(mbedtls_ssl_set_client_transport_id(&s->ssl, (const unsigned char *)&stranger->address,
						  sizeof(stranger->address)), "transport id");
	error = mbedtls_ssl_handshake(&s->ssl);
	if (error == MBEDTLS_ERR_SSL_WANT_READ && s->ssl.state > MBEDTLS_SSL_CLIENT_HELLO) {
		server.waiting = session_new();
		return s;
	}
	check(mbedtls_ssl_session_reset(&s->ssl), "mbedtls_ssl_session_reset");
	return NULL;
}

static bool go(struct peer *p)
{
	mbedtls_ssl_context *ssl = &((struct session *)p->session)->ssl;
	unsigned char data[16384];
	int n;

	if (!p->established) {
		n = mbedtls_ssl_handshake(ssl);
		p->established = n == 0;
		return n == 0 || n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE;
	}
	while ((n = mbedtls_ssl_read(ssl, data, sizeof(data))) > 0)
		mbedtls_ssl_write(ssl, data, (size_t)n);
	if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		mbedtls_ssl_close_notify(ssl);
	return n == MBEDTLS_ERR_SSL_WANT_READ;
}

static void configure(const char *certificate, const char *key)
{
	static const int suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0};
	static const mbedtls_ecp_group_id groups[] = {MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
						      MBEDTLS_ECP_DP_NONE};
	mbedtls_ssl_config *c = &server.config;

	check(mbedtls_ctr_drbg_seed(&server.random, mbedtls_entropy_func, &server.entropy, NULL, 0), "random");
	check(mbedtls_x509_crt_parse_file(&server.certificate, certificate), certificate);
	check(key_parse_file(&server.key, key, &server.random), key);
	check(mbedtls_ssl_config_defaults(c, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
					  MBEDTLS_SSL_PRESET_DEFAULT), "defaults");
	mbedtls_ssl_conf_rng(c, mbedtls_ctr_drbg_random, &server.random);
	want_dtls12(c);
	mbedtls_ssl_conf_ciphersuites(c, suites);
	mbedtls_ssl_conf_curves(c, groups);
	check(mbedtls_ssl_conf_own_cert(c, &server.certificate, &server.key), certificate);
	check(mbedtls_ssl_cookie_setup(&server.cookies, mbedtls_ctr_drbg_random, &server.random), "cookies");
	mbedtls_ssl_conf_dtls_cookies(c, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &server.cookies);
	check(mbedtls_ssl_ticket_setup(&server.tickets, mbedtls_ctr_drbg_random, &server.random,
				       MBEDTLS_CIPHER_AES_256_GCM, TICKET_LIFETIME_S), "tickets");
	mbedtls_ssl_conf_session_tickets_cb(c, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse,
					    &server.tickets);
}

int main(int argc, char **argv)
{
	static const struct library library = {admit, go, session_free};

	if (argc != 4)
		die("usage: mbedtls_echo CERTIFICATE KEY IPV4:PORT");
	mbedtls_entropy_init(&server.entropy);
	mbedtls_ctr_drbg_init(&server.random);
	mbedtls_x509_crt_init(&server.certificate);
	mbedtls_pk_init(&server.key);
	mbedtls_ssl_config_init(&server.config);
	mbedtls_ssl_cookie_init(&server.cookies);
	mbedtls_ssl_ticket_init(&server.tickets);
	configure(argv[1], argv[2]);
	server.waiting = session_new();
	demux_serve(argv[3], &library);
}
