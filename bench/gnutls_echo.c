/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gnutls_echo: a DTLS 1.2 echo server as GnuTLS's manual suggests one, for many peers: one socket, the cookie
 * exchange of GnuTLS, a gnutls_session_t for each peer for as long as it lives, one datagram a system call.
 * What dtlsd's own record layer and batches are measured against.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include "util.h"

#define BUCKETS (1u << 16)
#define TICK_NS UINT64_C(250000000)
#define PRIORITY                                                                                             \
	"NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-128-GCM:-MAC-ALL:+AEAD"        \
	":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:%SERVER_PRECEDENCE"

struct peer {
	struct sockaddr_in address;
	gnutls_session_t session;
	bool established;
	struct peer *next; /* in its bucket */
};

static struct {
	int fd;
	gnutls_priority_t priority;
	gnutls_certificate_credentials_t credentials;
	gnutls_datum_t cookie_key, ticket_key;
	struct peer *buckets[BUCKETS];
	uint32_t shaking; /* handshakes under way */
	/* The datagram in hand. */
	uint8_t data[65536];
	size_t len; /* 0: it has been pulled */
} server;

static void check(int error, const char *what)
{
	if (error < 0)
		die("%s: %s", what, gnutls_strerror(error));
}

static ssize_t peer_push(gnutls_transport_ptr_t p, const void *data, size_t len)
{
	const struct peer *to = p;

	return sendto(server.fd, data, len, 0, (const struct sockaddr *)&to->address, sizeof(to->address));
}

static ssize_t peer_pull(gnutls_transport_ptr_t p, void *data, size_t size)
{
	struct peer *from = p;

	if (server.len == 0) {
		gnutls_transport_set_errno(from->session, EAGAIN);
		return -1;
	}
	size = server.len < size ? server.len : size;
	memcpy(data, server.data, size);
	server.len = 0;
	return (ssize_t)size;
}

static int peer_pull_timeout(gnutls_transport_ptr_t p, unsigned ms)
{
	(void)p;
	(void)ms;
	return server.len != 0;
}

static struct peer **peer_find(const struct sockaddr_in *a)
{
	uint32_t hash = (a->sin_addr.s_addr ^ (uint32_t)a->sin_port << 16) * 2654435761u;
	struct peer **at = &server.buckets[hash >> 16];

	while (*at && ((*at)->address.sin_addr.s_addr != a->sin_addr.s_addr ||
		       (*at)->address.sin_port != a->sin_port))
		at = &(*at)->next;
	return at;
}

static void peer_drop(struct peer **at)
{
	struct peer *p = *at;

	*at = p->next;
	server.shaking -= !p->established;
	gnutls_deinit(p->session);
	free(p);
}

static void peer_new(struct peer **at, const struct sockaddr_in *a, gnutls_dtls_prestate_st *prestate)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->address = *a;
	check(gnutls_init(&p->session, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK), "gnutls_init");
	check(gnutls_priority_set(p->session, server.priority), "gnutls_priority_set");
	check(gnutls_credentials_set(p->session, GNUTLS_CRD_CERTIFICATE, server.credentials), "credentials");
	check(gnutls_session_ticket_enable_server(p->session, &server.ticket_key), "tickets");
	gnutls_dtls_prestate_set(p->session, prestate);
	gnutls_dtls_set_mtu(p->session, 16384);
	gnutls_transport_set_ptr(p->session, p);
	gnutls_transport_set_push_function(p->session, peer_push);
	gnutls_transport_set_pull_function(p->session, peer_pull);
	gnutls_transport_set_pull_timeout_function(p->session, peer_pull_timeout);
	server.shaking++;
	*at = p;
}

static void peer_go(struct peer **at)
{
	struct peer *p = *at;
	uint8_t data[16384];
	ssize_t n;

	if (!p->established) {
		int error = gnutls_handshake(p->session);

		if (error == 0) {
			p->established = true;
			server.shaking--;
		} else if (gnutls_error_is_fatal(error)) {
			peer_drop(at);
		}
		return;
	}
	while ((n = gnutls_record_recv(p->session, data, sizeof(data))) > 0)
		gnutls_record_send(p->session, data, (size_t)n);
	if (n == 0) {
		gnutls_bye(p->session, GNUTLS_SHUT_WR);
		peer_drop(at);
	} else if (gnutls_error_is_fatal((int)n)) {
		peer_drop(at);
	}
}

static ssize_t stranger_push(gnutls_transport_ptr_t p, const void *data, size_t len)
{
	return sendto(server.fd, data, len, 0, p, sizeof(struct sockaddr_in));
}

static void datagram(struct sockaddr_in *from)
{
	struct peer **at = peer_find(from);
	gnutls_dtls_prestate_st prestate = {0};

	if (!*at) {
		int error = gnutls_dtls_cookie_verify(&server.cookie_key, from, sizeof(*from), server.data,
						      server.len, &prestate);

		if (error == GNUTLS_E_BAD_COOKIE)
			gnutls_dtls_cookie_send(&server.cookie_key, from, sizeof(*from), &prestate, from,
						stranger_push);
		if (error)
			return;
		peer_new(at, from, &prestate);
	}
	peer_go(at);
}

/* Lets GnuTLS look at its timers. */
static void retransmit(void)
{
	server.len = 0;
	for (uint32_t i = 0; i < BUCKETS && server.shaking; i++) {
		struct peer **at = &server.buckets[i];

		while (*at) {
			struct peer *p = *at;

			if (!p->established)
				peer_go(at);
			if (*at == p)
				at = &p->next;
		}
	}
}

static void serve(void)
{
	uint64_t last = mono_ns();

	for (;;) {
		struct sockaddr_in from = {0};
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(server.fd, server.data, sizeof(server.data), 0, (struct sockaddr *)&from,
				     &from_len);

		if (n > 0) {
			server.len = (size_t)n;
			datagram(&from);
		}
		if (server.shaking && mono_ns() - last > TICK_NS) {
			retransmit();
			last = mono_ns();
		}
	}
}

int main(int argc, char **argv)
{
	const struct timeval tick = {.tv_usec = TICK_NS / 1000};
	struct sockaddr_in bound;

	if (argc != 4)
		die("usage: gnutls_echo CERTIFICATE KEY IPV4:PORT");
	check(gnutls_priority_init(&server.priority, PRIORITY, NULL), "priority");
	check(gnutls_certificate_allocate_credentials(&server.credentials), "credentials");
	check(gnutls_certificate_set_x509_key_file(server.credentials, argv[1], argv[2], GNUTLS_X509_FMT_PEM),
	      argv[1]);
	check(gnutls_key_generate(&server.cookie_key, GNUTLS_COOKIE_KEY_SIZE), "cookie key");
	check(gnutls_session_ticket_key_generate(&server.ticket_key), "ticket key");
	bound = parse_endpoint(argv[3]);
	server.fd = open_udp(&bound, 0);
	deepen_queues(server.fd);
	if (setsockopt(server.fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)))
		die("SO_RCVTIMEO: %s", strerror(errno));
	serve();
}
