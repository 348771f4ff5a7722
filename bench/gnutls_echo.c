/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gnutls_echo: a DTLS 1.2 echo server as GnuTLS's manual suggests one, for many peers: one socket, the cookie
 * exchange of GnuTLS, a gnutls_session_t for each peer for as long as it lives. What dtlsd's own record layer
 * and batches are measured against.
 */
#include <errno.h>
#include <string.h>

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include "demux.h"
#include "util.h"

#define PRIORITY                                                                                             \
	"NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-ECDSA:+PSK:-CIPHER-ALL:+AES-128-GCM"                  \
	":-MAC-ALL:+AEAD:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:%SERVER_PRECEDENCE"

static struct {
	gnutls_priority_t priority;
	gnutls_certificate_credentials_t credentials;
	gnutls_psk_server_credentials_t psk;
	gnutls_datum_t cookie_key, ticket_key;
} server;

static void check(int error, const char *what)
{
	if (error < 0)
		die("%s: %s", what, gnutls_strerror(error));
}

static ssize_t push(gnutls_transport_ptr_t to, const void *data, size_t len)
{
	return demux_push(to, data, len);
}

static ssize_t pull(gnutls_transport_ptr_t from, void *data, size_t size)
{
	ssize_t n = demux_pull(data, size);

	if (n < 0)
		gnutls_transport_set_errno(((struct peer *)from)->session, EAGAIN);
	return n;
}

static int pull_timeout(gnutls_transport_ptr_t from, unsigned ms)
{
	(void)from;
	(void)ms;
	return demux_waits();
}

static gnutls_session_t session_new(struct peer *p, gnutls_dtls_prestate_st *prestate)
{
	gnutls_session_t s;

	check(gnutls_init(&s, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK), "gnutls_init");
	check(gnutls_priority_set(s, server.priority), "gnutls_priority_set");
	check(gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, server.credentials), "credentials");
	check(gnutls_credentials_set(s, GNUTLS_CRD_PSK, server.psk), "PSK credentials");
	check(gnutls_session_ticket_enable_server(s, &server.ticket_key), "tickets");
	gnutls_dtls_prestate_set(s, prestate);
	gnutls_dtls_set_mtu(s, 16384);
	gnutls_transport_set_ptr(s, p);
	gnutls_transport_set_push_function(s, push);
	gnutls_transport_set_pull_function(s, pull);
	gnutls_transport_set_pull_timeout_function(s, pull_timeout);
	return s;
}

static void session_free(void *session)
{
	gnutls_deinit(session);
}

static void *admit(struct peer *stranger)
{
	gnutls_dtls_prestate_st prestate = {0};
	size_t len;
	uint8_t *data = demux_datagram(&len);
	int error = gnutls_dtls_cookie_verify(&server.cookie_key, &stranger->address, sizeof(stranger->address),
					      data, len, &prestate);

	if (error == GNUTLS_E_BAD_COOKIE)
		gnutls_dtls_cookie_send(&server.cookie_key, &stranger->address, sizeof(stranger->address),
					&prestate, stranger, push);
	return error ? NULL : session_new(stranger, &prestate);
}

static bool go(struct peer *p)
{
	uint8_t data[16384];
	ssize_t n;

	if (!p->established) {
		int error = gnutls_handshake(p->session);

		p->established = error == 0;
		return !gnutls_error_is_fatal(error);
	}
	while ((n = gnutls_record_recv(p->session, data, sizeof(data))) > 0)
		gnutls_record_send(p->session, data, (size_t)n);
	if (n == 0)
		gnutls_bye(p->session, GNUTLS_SHUT_WR);
	return n != 0 && !gnutls_error_is_fatal((int)n);
}

static int psk_of(gnutls_session_t s, const char *identity, gnutls_datum_t *key)
{
	(void)s;
	(void)identity;
	key->data = gnutls_malloc(PSK_BYTES);
	if (!key->data)
		return -1;
	memcpy(key->data, PSK_KEY, PSK_BYTES);
	key->size = PSK_BYTES;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct library library = {admit, go, session_free};

	if (argc != 4)
		die("usage: gnutls_echo CERTIFICATE KEY IPV4:PORT");
	check(gnutls_priority_init(&server.priority, PRIORITY, NULL), "priority");
	check(gnutls_certificate_allocate_credentials(&server.credentials), "credentials");
	check(gnutls_certificate_set_x509_key_file(server.credentials, argv[1], argv[2], GNUTLS_X509_FMT_PEM),
	      argv[1]);
	check(gnutls_psk_allocate_server_credentials(&server.psk), "PSK credentials");
	gnutls_psk_set_server_credentials_function(server.psk, psk_of);
	check(gnutls_key_generate(&server.cookie_key, GNUTLS_COOKIE_KEY_SIZE), "cookie key");
	check(gnutls_session_ticket_key_generate(&server.ticket_key), "ticket key");
	demux_serve(argv[3], &library);
}
