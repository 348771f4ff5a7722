/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare_handshake: what a handshake costs a server in GnuTLS when nothing is around it: client and server in one
 * process, flights handed over in memory, no cookie exchange, and only the server's calls under the clock.
 * Prints one JSON object: full, resumed (by ticket) and psk to ns, the least of many short repeats.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include "util.h"

#define REPEATS 50
#define HANDSHAKES 10
#define DATAGRAMS 32
#define DATAGRAM 4096
#define COMMON                                                                                               \
	"NONE:+VERS-DTLS1.2:+AES-128-GCM:+AEAD:+SIGN-ECDSA-SHA256:+GROUP-X25519:+GROUP-SECP256R1:+COMP-NULL" \
	":+CTYPE-ALL"

/* One end; what the other has sent and it has not read yet. */
struct end {
	gnutls_session_t session;
	struct end *other;
	unsigned first, next;
	size_t len[DATAGRAMS];
	uint8_t data[DATAGRAMS][DATAGRAM];
};

static struct {
	gnutls_certificate_credentials_t server_certificate, client_certificate;
	gnutls_psk_server_credentials_t server_psk;
	gnutls_psk_client_credentials_t client_psk;
	gnutls_datum_t ticket_key;
} keys;

static int check(int error, const char *what)
{
	if (error < 0)
		die("%s: %s", what, gnutls_strerror(error));
	return error;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static ssize_t push(gnutls_transport_ptr_t from, const void *data, size_t len)
{
	struct end *to = ((struct end *)from)->other;

	if (to->next == DATAGRAMS || len > DATAGRAM)
		die("a flight is longer than expected");
	memcpy(to->data[to->next], data, len);
	to->len[to->next++] = len;
	return (ssize_t)len;
}

static ssize_t pull(gnutls_transport_ptr_t at, void *data, size_t size)
{
	struct end *e = at;
	size_t len;

	if (e->first == e->next) {
		e->first = e->next = 0;
		gnutls_transport_set_errno(e->session, EAGAIN);
		return -1;
	}
	len = e->len[e->first] < size ? e->len[e->first] : size;
	memcpy(data, e->data[e->first++], len);
	return (ssize_t)len;
}

static int pull_timeout(gnutls_transport_ptr_t at, unsigned ms)
{
	const struct end *e = at;

	(void)ms;
	return e->first != e->next;
}

static void end_begin(struct end *e, struct end *other, unsigned side, bool psk)
{
	const char *priority = psk ? COMMON ":+PSK" : COMMON ":+ECDHE-ECDSA";
	bool server = side == GNUTLS_SERVER;

	e->other = other;
	e->first = e->next = 0;
	check(gnutls_init(&e->session, side | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK), "gnutls_init");
	check(gnutls_priority_set_direct(e->session, priority, NULL), priority);
	check(gnutls_credentials_set(e->session, GNUTLS_CRD_CERTIFICATE,
				     server ? keys.server_certificate : keys.client_certificate), "certificate");
	check(gnutls_credentials_set(e->session, GNUTLS_CRD_PSK,
				     server ? (void *)keys.server_psk : (void *)keys.client_psk), "PSK");
	if (server)
		check(gnutls_session_ticket_enable_server(e->session, &keys.ticket_key), "tickets");
	gnutls_dtls_set_mtu(e->session, DATAGRAM);
	gnutls_transport_set_ptr(e->session, e);
	gnutls_transport_set_push_function(e->session, push);
	gnutls_transport_set_pull_function(e->session, pull);
	gnutls_transport_set_pull_timeout_function(e->session, pull_timeout);
}

/*
 * One handshake, to its end on both sides. What it cost the server, with making and freeing its session.
 * ticket: an empty one is filled with what the client may resume, another one is resumed.
 */
static uint64_t handshake(bool psk, gnutls_datum_t *ticket)
{
	static struct end client, server;
	int at_client = GNUTLS_E_AGAIN, at_server = GNUTLS_E_AGAIN;
	uint64_t start, spent;

	start = cpu_ns();
	end_begin(&server, &client, GNUTLS_SERVER, psk);
	spent = cpu_ns() - start;
	end_begin(&client, &server, GNUTLS_CLIENT, psk);
	if (ticket && ticket->data)
		check(gnutls_session_set_data(client.session, ticket->data, ticket->size), "session data");
	while (at_client || at_server) {
		if (at_client)
			at_client = gnutls_handshake(client.session);
		start = cpu_ns();
		if (at_server)
			at_server = gnutls_handshake(server.session);
		spent += cpu_ns() - start;
		if (gnutls_error_is_fatal(at_client) || gnutls_error_is_fatal(at_server))
			die("no handshake: %s, %s", gnutls_strerror(at_client), gnutls_strerror(at_server));
	}
	if (ticket && ticket->data && !gnutls_session_is_resumed(client.session))
		die("a session is not resumed");
	if (ticket && !ticket->data)
		check(gnutls_session_get_data2(client.session, ticket), "session data");
	gnutls_deinit(client.session);
	start = cpu_ns();
	gnutls_deinit(server.session);
	return spent + cpu_ns() - start;
}

static double least(bool psk, gnutls_datum_t *ticket)
{
	uint64_t best = UINT64_MAX;

	for (unsigned r = 0; r < REPEATS; r++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < HANDSHAKES; i++)
			sum += handshake(psk, ticket);
		best = sum < best ? sum : best;
	}
	return (double)best / HANDSHAKES;
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
	static uint8_t psk_key[] = PSK_KEY;
	const gnutls_datum_t psk = {psk_key, PSK_BYTES};
	gnutls_datum_t ticket = {0};

	if (argc != 3)
		die("usage: bare_handshake CERTIFICATE KEY");
	check(gnutls_certificate_allocate_credentials(&keys.server_certificate), "credentials");
	check(gnutls_certificate_allocate_credentials(&keys.client_certificate), "credentials");
	check(gnutls_certificate_set_x509_key_file(keys.server_certificate, argv[1], argv[2],
						   GNUTLS_X509_FMT_PEM), argv[1]);
	check(gnutls_psk_allocate_server_credentials(&keys.server_psk), "PSK");
	check(gnutls_psk_allocate_client_credentials(&keys.client_psk), "PSK");
	gnutls_psk_set_server_credentials_function(keys.server_psk, psk_of);
	check(gnutls_psk_set_client_credentials(keys.client_psk, "bench", &psk, GNUTLS_PSK_KEY_RAW), "PSK");
	check(gnutls_session_ticket_key_generate(&keys.ticket_key), "ticket key");
	handshake(false, &ticket);
	printf("{\"full\": %.0f, \"resumed\": %.0f, \"psk\": %.0f}\n", least(false, NULL),
	       least(false, &ticket), least(true, NULL));
	return 0;
}
