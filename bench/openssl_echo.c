/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * openssl_echo: a DTLS 1.2 echo server on OpenSSL as one would write it with care: one thread on epoll, a
 * listening socket for hellos (DTLSv1_listen with an HMAC cookie), and a connected socket for each peer.
 * Session tickets are issued, as by dtlsd.
 *
 * New sockets share the listener's port through SO_REUSEPORT. Between bind and connect such a socket can
 * catch a datagram of somebody else (under load it does for one hello in a hundred, also when a BPF program
 * on the group points all strangers to the listener): it is lost, and its sender has to retransmit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "util.h"

#define EVENTS 256
#define TICK_MS 250
#define COOKIE 16 /* bytes of the HMAC, as in GnuTLS */

struct peer {
	SSL *ssl;
	int fd;
	struct peer *prev, *next; /* in the list of handshakes under way */
};

struct server {
	SSL_CTX *context;
	struct sockaddr_in bound;
	int listener, epoll;
	SSL *waiting;         /* for the next hello */
	struct peer shaking;  /* head of the list */
};

static uint8_t cookie_key[32];

static int cookie_of(SSL *ssl, unsigned char *cookie)
{
	BIO_ADDR *peer = BIO_ADDR_new();
	unsigned char bytes[64];
	unsigned short port;
	size_t len = sizeof(bytes) - sizeof(port);
	unsigned cookie_len = 0;

	if (!peer || BIO_dgram_get_peer(SSL_get_rbio(ssl), peer) <= 0 ||
	    !BIO_ADDR_rawaddress(peer, bytes + sizeof(port), &len))
		die("a hello without an address");
	port = BIO_ADDR_rawport(peer);
	memcpy(bytes, &port, sizeof(port));
	BIO_ADDR_free(peer);
	HMAC(EVP_sha1(), cookie_key, sizeof(cookie_key), bytes, sizeof(port) + len, cookie, &cookie_len);
	return COOKIE;
}

static int cookie_generate(SSL *ssl, unsigned char *cookie, unsigned *len)
{
	*len = (unsigned)cookie_of(ssl, cookie);
	return 1;
}

static int cookie_verify(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	unsigned char expected[EVP_MAX_MD_SIZE];
	unsigned expected_len = (unsigned)cookie_of(ssl, expected);

	return len == expected_len && CRYPTO_memcmp(cookie, expected, len) == 0;
}

static unsigned psk_of(SSL *ssl, const char *identity, unsigned char *key, unsigned size)
{
	(void)ssl;
	(void)identity;
	if (size < PSK_BYTES)
		return 0;
	memcpy(key, PSK_KEY, PSK_BYTES);
	return PSK_BYTES;
}

static SSL_CTX *context_new(const char *cert, const char *key)
{
	static int groups[] = {NID_X25519, NID_X9_62_prime256v1};
	SSL_CTX *c = SSL_CTX_new(DTLS_server_method());

	if (!c || !SSL_CTX_set_min_proto_version(c, DTLS1_2_VERSION) ||
	    !SSL_CTX_set_cipher_list(c, "ECDHE-ECDSA-AES128-GCM-SHA256:PSK-AES128-GCM-SHA256") ||
	    !SSL_CTX_set1_groups(c, groups, 2) ||
	    SSL_CTX_use_certificate_chain_file(c, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		die("no OpenSSL context from %s and %s", cert, key);
	}
	SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_QUERY_MTU |
				       SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_psk_server_callback(c, psk_of);
	SSL_CTX_set_cookie_generate_cb(c, cookie_generate);
	SSL_CTX_set_cookie_verify_cb(c, cookie_verify);
	return c;
}

static void peer_shaking(struct server *s, struct peer *p)
{
	p->next = s->shaking.next;
	p->prev = &s->shaking;
	p->next->prev = p;
	s->shaking.next = p;
}

static void peer_settled(struct peer *p)
{
	if (!p->next)
		return;
	p->prev->next = p->next;
	p->next->prev = p->prev;
	p->next = p->prev = NULL;
}

static void peer_free(struct peer *p)
{
	peer_settled(p);
	SSL_free(p->ssl);
	close(p->fd);
	free(p);
}

/* Goes on with whatever the peer is at; frees it when it is over. */
static void peer_go(struct peer *p)
{
	unsigned char data[16384];
	int n;

	if (!SSL_is_init_finished(p->ssl)) {
		n = SSL_accept(p->ssl);
		if (n <= 0) {
			if (SSL_get_error(p->ssl, n) != SSL_ERROR_WANT_READ)
				peer_free(p);
			return;
		}
		peer_settled(p);
		return;
	}
	/* epoll is level-triggered: one read a turn, and no second one to hear that there is nothing. */
	n = SSL_read(p->ssl, data, sizeof(data));
	if (n > 0) {
		SSL_write(p->ssl, data, n);
		return;
	}
	if (SSL_get_error(p->ssl, n) == SSL_ERROR_WANT_READ)
		return;
	if (SSL_get_error(p->ssl, n) == SSL_ERROR_ZERO_RETURN)
		SSL_shutdown(p->ssl);
	peer_free(p);
}

/* The hello in s->waiting was good: its sender gets a socket of its own. */
static void peer_admit(struct server *s, BIO_ADDR *from)
{
	struct peer *p = xcalloc(1, sizeof(*p));
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = BIO_ADDR_rawport(from)};
	size_t len = sizeof(to.sin_addr);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
	BIO *bio;

	BIO_ADDR_rawaddress(from, &to.sin_addr, &len);
	p->ssl = s->waiting;
	s->waiting = NULL;
	p->fd = open_udp(&s->bound, 1);
	if (connect(p->fd, (const struct sockaddr *)&to, sizeof(to)))
		die("connect: %s", strerror(errno));
	bio = BIO_new_dgram(p->fd, BIO_NOCLOSE);
	BIO_ctrl_set_connected(bio, from);
	BIO_socket_nbio(p->fd, 1);
	SSL_set_bio(p->ssl, bio, bio);
	peer_shaking(s, p);
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, p->fd, &event))
		die("epoll_ctl: %s", strerror(errno));
	peer_go(p);
}

static void listener_go(struct server *s)
{
	BIO_ADDR *from = BIO_ADDR_new();
	int n;

	/* Until it would block: DTLSv1_listen answers hellos without a cookie by itself. */
	do {
		if (!s->waiting) {
			BIO *bio = BIO_new_dgram(s->listener, BIO_NOCLOSE);

			s->waiting = SSL_new(s->context);
			SSL_set_bio(s->waiting, bio, bio);
			SSL_set_options(s->waiting, SSL_OP_COOKIE_EXCHANGE);
			SSL_set_mtu(s->waiting, 1200);
		}
		n = DTLSv1_listen(s->waiting, from);
		if (n > 0)
			peer_admit(s, from);
	} while (n > 0);
	ERR_clear_error();
	BIO_ADDR_free(from);
}

static void retransmit(struct server *s)
{
	struct peer *next;

	for (struct peer *p = s->shaking.next; p != &s->shaking; p = next) {
		next = p->next;
		if (DTLSv1_handle_timeout(p->ssl) < 0)
			peer_free(p);
	}
}

static void serve(struct server *s)
{
	struct epoll_event events[EVENTS];
	uint64_t last = mono_ns();

	for (;;) {
		int n = epoll_wait(s->epoll, events, EVENTS, s->shaking.next == &s->shaking ? -1 : TICK_MS);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				peer_go(events[i].data.ptr);
			else
				listener_go(s);
		}
		if (mono_ns() - last > TICK_MS * UINT64_C(1000000)) {
			retransmit(s);
			last = mono_ns();
		}
	}
}

int main(int argc, char **argv)
{
	struct server s = {.shaking = {.next = &s.shaking, .prev = &s.shaking}};
	struct epoll_event event = {.events = EPOLLIN};

	if (argc != 4)
		die("usage: openssl_echo CERTIFICATE KEY IPV4:PORT");
	raise_fd_limit();
	if (RAND_bytes(cookie_key, sizeof(cookie_key)) != 1)
		die("no random bytes");
	s.context = context_new(argv[1], argv[2]);
	s.bound = parse_endpoint(argv[3]);
	s.listener = open_udp(&s.bound, 1);
	deepen_queues(s.listener);
	BIO_socket_nbio(s.listener, 1);
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s.epoll < 0 || epoll_ctl(s.epoll, EPOLL_CTL_ADD, s.listener, &event))
		die("epoll: %s", strerror(errno));
	serve(&s);
}
