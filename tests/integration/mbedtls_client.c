/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A DTLS 1.2 client on mbedTLS 2.28 for the integration tests. It prints "connected VERSION SUITE new" (or
 * "... resumed"), then sends each line of standard input as one record, line feed included, and prints each
 * record that arrives. End of input sends close_notify. Exit status: 0 closed by either side with
 * close_notify, 1 usage or set-up, 2 handshake failed, 3 the session broke.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../bench/mbedtls_key.h" /* before others of mbedTLS */

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/timing.h>
#include <mbedtls/x509_crt.h>

enum { EXIT_SETUP = 1, EXIT_HANDSHAKE = 2, EXIT_BROKEN = 3 };

struct settings {
	const char *ca, *cert, *key, *psk, *identity, *suite, *name, *resume;
	const char *host, *port;
	int local_port, mtu;
};

struct client {
	const struct settings *set;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context drbg;
	mbedtls_ssl_config conf;
	mbedtls_ssl_context ssl;
	mbedtls_x509_crt ca, cert;
	mbedtls_pk_context key;
	mbedtls_timing_delay_context timer;
	mbedtls_net_context net;
	int suites[2];
};

static void complain(const char *what, int error)
{
	char text[160];

	mbedtls_strerror(error, text, sizeof(text));
	fprintf(stderr, "mbedtls_client: %s: -0x%04x %s\n", what, (unsigned int)-error, text);
}

static int must(const char *what, int error)
{
	if (error) {
		complain(what, error);
		exit(EXIT_SETUP);
	}
	return error;
}

static size_t parse_hex(const char *text, unsigned char *out, size_t size)
{
	size_t n = 0;
	unsigned int byte;

	for (; text[0] && n < size && sscanf(text, "%2x", &byte) == 1; text += 2)
		out[n++] = (unsigned char)byte;
	return n;
}

static int open_socket(const struct settings *set)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *ai = NULL;
	int fd;

	if (getaddrinfo(set->host, set->port, &hints, &ai) || !ai) {
		fprintf(stderr, "mbedtls_client: cannot resolve %s\n", set->host);
		exit(EXIT_SETUP);
	}
	fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && set->local_port) {
		struct addrinfo mine = { .ai_family = ai->ai_family, .ai_socktype = SOCK_DGRAM,
					 .ai_flags = AI_PASSIVE }, *local = NULL;
		char port[16];

		snprintf(port, sizeof(port), "%d", set->local_port);
		if (getaddrinfo(NULL, port, &mine, &local) || bind(fd, local->ai_addr, local->ai_addrlen)) {
			perror("mbedtls_client: bind");
			exit(EXIT_SETUP);
		}
		freeaddrinfo(local);
	}
	if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen)) {
		perror("mbedtls_client: connect");
		exit(EXIT_SETUP);
	}
	freeaddrinfo(ai);
	return fd;
}

static void load_credentials(struct client *c)
{
	const struct settings *set = c->set;

	if (set->ca) {
		must(set->ca, mbedtls_x509_crt_parse_file(&c->ca, set->ca));
		mbedtls_ssl_conf_ca_chain(&c->conf, &c->ca, NULL);
	}
	mbedtls_ssl_conf_authmode(&c->conf, set->ca ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
	if (set->cert) {
		must(set->cert, mbedtls_x509_crt_parse_file(&c->cert, set->cert));
		must(set->key, key_parse_file(&c->key, set->key, &c->drbg));
		must("own certificate", mbedtls_ssl_conf_own_cert(&c->conf, &c->cert, &c->key));
	}
	if (set->psk) {
		unsigned char key[64];
		size_t n = parse_hex(set->psk, key, sizeof(key));

		must("psk", mbedtls_ssl_conf_psk(&c->conf, key, n, (const unsigned char *)set->identity,
						 strlen(set->identity)));
	}
	if (set->suite) {
		c->suites[0] = mbedtls_ssl_get_ciphersuite_id(set->suite);
		if (!c->suites[0]) {
			fprintf(stderr, "mbedtls_client: unknown suite %s\n", set->suite);
			exit(EXIT_SETUP);
		}
		mbedtls_ssl_conf_ciphersuites(&c->conf, c->suites);
	}
}

static void set_up(struct client *c)
{
	mbedtls_entropy_init(&c->entropy);
	mbedtls_ctr_drbg_init(&c->drbg);
	mbedtls_ssl_config_init(&c->conf);
	mbedtls_x509_crt_init(&c->ca);
	mbedtls_x509_crt_init(&c->cert);
	mbedtls_pk_init(&c->key);
	must("seed", mbedtls_ctr_drbg_seed(&c->drbg, mbedtls_entropy_func, &c->entropy, NULL, 0));
	must("defaults", mbedtls_ssl_config_defaults(&c->conf, MBEDTLS_SSL_IS_CLIENT,
						     MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT));
	mbedtls_ssl_conf_rng(&c->conf, mbedtls_ctr_drbg_random, &c->drbg);
	want_dtls12(&c->conf);
	mbedtls_ssl_conf_read_timeout(&c->conf, 1);
	if (c->set->resume && strcmp(c->set->resume, "ticket") != 0)
		mbedtls_ssl_conf_session_tickets(&c->conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
	load_credentials(c);
}

static void tear_down(struct client *c)
{
	mbedtls_pk_free(&c->key);
	mbedtls_x509_crt_free(&c->cert);
	mbedtls_x509_crt_free(&c->ca);
	mbedtls_ssl_config_free(&c->conf);
	mbedtls_ctr_drbg_free(&c->drbg);
	mbedtls_entropy_free(&c->entropy);
}

/* session NULL: a full handshake; else it is offered for resumption. */
static int handshake(struct client *c, const mbedtls_ssl_session *session)
{
	int error;

	mbedtls_ssl_init(&c->ssl);
	must("ssl", mbedtls_ssl_setup(&c->ssl, &c->conf));
	must("name", mbedtls_ssl_set_hostname(&c->ssl, c->set->name));
	if (session)
		must("session", mbedtls_ssl_set_session(&c->ssl, session));
	if (c->set->mtu)
		mbedtls_ssl_set_mtu(&c->ssl, (uint16_t)c->set->mtu);
	c->net.fd = open_socket(c->set);
	mbedtls_ssl_set_bio(&c->ssl, &c->net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
	mbedtls_ssl_set_timer_cb(&c->ssl, &c->timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
	do
		error = mbedtls_ssl_handshake(&c->ssl);
	while (error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE);
	if (error)
		complain("handshake", error);
	return error ? EXIT_HANDSHAKE : 0;
}

static void hang_up(struct client *c)
{
	mbedtls_ssl_close_notify(&c->ssl);
	mbedtls_net_free(&c->net);
	mbedtls_ssl_free(&c->ssl);
}

/* Everything that has arrived. -1: go on, else the exit status. */
static int read_records(struct client *c)
{
	unsigned char buf[MBEDTLS_SSL_IN_CONTENT_LEN];
	int n;

	do {
		n = mbedtls_ssl_read(&c->ssl, buf, sizeof(buf));
		if (n > 0) {
			fwrite(buf, 1, (size_t)n, stdout);
			fflush(stdout);
		}
	} while (n > 0);
	switch (n) {
	case MBEDTLS_ERR_SSL_TIMEOUT:
	case MBEDTLS_ERR_SSL_WANT_READ:
	case MBEDTLS_ERR_SSL_WANT_WRITE:
		return -1;
	case 0:
	case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
		puts("closed by peer");
		return 0;
	default:
		complain("read", n);
		return EXIT_BROKEN;
	}
}

static int converse(struct client *c)
{
	struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = c->net.fd, .events = POLLIN } };
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int status = -1;

	/* unbuffered, so that poll and getline agree on whether a line waits */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (status < 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents) {
			status = read_records(c);
			if (status >= 0)
				break;
		}
		if (!fds[0].revents)
			continue;
		n = getline(&line, &size, stdin);
		if (n <= 0) {
			status = 0;
		} else if (mbedtls_ssl_write(&c->ssl, (const unsigned char *)line, (size_t)n) < 0) {
			fprintf(stderr, "mbedtls_client: write failed\n");
			status = EXIT_BROKEN;
		}
	}
	free(line);
	return status < 0 ? EXIT_BROKEN : status;
}

static int run(struct client *c)
{
	mbedtls_ssl_session first, second;
	bool resumed = false;
	int status;

	mbedtls_ssl_session_init(&first);
	mbedtls_ssl_session_init(&second);
	status = handshake(c, NULL);
	if (!status && c->set->resume) {
		must("save", mbedtls_ssl_get_session(&c->ssl, &first));
		hang_up(c);
		status = handshake(c, &first);
		if (!status) {
			must("save", mbedtls_ssl_get_session(&c->ssl, &second));
			/* the same master secret can only come from a resumption */
			resumed = memcmp(first.master, second.master, sizeof(first.master)) == 0;
		}
	}
	if (!status) {
		printf("connected %s %s %s\n", mbedtls_ssl_get_version(&c->ssl),
		       mbedtls_ssl_get_ciphersuite(&c->ssl), resumed ? "resumed" : "new");
		fflush(stdout);
		status = converse(c);
	}
	hang_up(c);
	mbedtls_ssl_session_free(&first);
	mbedtls_ssl_session_free(&second);
	return status;
}

static void usage(FILE *out)
{
	fputs("Usage: mbedtls_client [--ca FILE] [--cert FILE --key FILE] [--psk HEX --identity NAME]\n"
	      "  [--suite NAME] [--name HOST] [--resume ticket|id] [--local-port N] [--mtu N] HOST PORT\n", out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "ca", required_argument, NULL, 'a' },     { "cert", required_argument, NULL, 'c' },
		{ "key", required_argument, NULL, 'k' },    { "psk", required_argument, NULL, 'p' },
		{ "identity", required_argument, NULL, 'i' }, { "suite", required_argument, NULL, 's' },
		{ "name", required_argument, NULL, 'n' },   { "resume", required_argument, NULL, 'r' },
		{ "local-port", required_argument, NULL, 'l' }, { "mtu", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	struct settings set = { .name = "localhost" };
	struct client c = { .set = &set };
	int option, status;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'a': set.ca = optarg; break;
		case 'c': set.cert = optarg; break;
		case 'k': set.key = optarg; break;
		case 'p': set.psk = optarg; break;
		case 'i': set.identity = optarg; break;
		case 's': set.suite = optarg; break;
		case 'n': set.name = optarg; break;
		case 'r': set.resume = optarg; break;
		case 'l': set.local_port = atoi(optarg); break;
		case 'm': set.mtu = atoi(optarg); break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return EXIT_SETUP;
		}
	}
	if (argc - optind != 2 || !set.cert != !set.key || !set.psk != !set.identity) {
		usage(stderr);
		return EXIT_SETUP;
	}
	set.host = argv[optind];
	set.port = argv[optind + 1];
	set_up(&c);
	status = run(&c);
	tear_down(&c);
	return status;
}
