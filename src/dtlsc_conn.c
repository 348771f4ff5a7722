/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsc_conn.h"
#include "dtlsc_saved.h"
#include "tls_advice.h"
#include "wire.h"

#include <errno.h>
#include <gnutls/dtls.h>
#include <gnutls/x509.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RETRANSMIT_MS 1000
#define WAIT_FLOOR_MS 100	 /* GnuTLS's timer says 0 for long after a partial flight */
#define LOST_FLIGHTS_MS 2500	 /* the flight was sent three times by then */
#define SMALL_MTU 548		 /* fits the 576 bytes that every IPv4 path carries */
#define RECEIVE_BUFFER (1 << 20) /* a burst of answers should not be lost on this side */
#define SOCKET_ERRORS_MAX 16

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The transport that GnuTLS sees. */

/*
 * GnuTLS keeps an incomplete record and appends the next datagram to it, so one forged or truncated
 * datagram would swallow good ones: only whole records go in.
 */
static bool is_record_chain(const uint8_t *data, size_t len)
{
	while (len >= DTLS_RECORD_HEADER) {
		size_t record = DTLS_RECORD_HEADER + wire_get16(data + 11);

		if (record > len)
			return false;
		data += record;
		len -= record;
		if (len == 0)
			return true;
	}
	return false;
}

/*
 * GnuTLS (3.7.9) ignores an alert that it reads in the same call in which it sent the second
 * ClientHello, and then waits for ever. So an answer is left to the next call.
 */
static bool must_not_read(const struct conn *conn)
{
	return conn->handshaking && conn->just_sent;
}

static ssize_t conn_pull(gnutls_transport_ptr_t ptr, void *data, size_t size)
{
	struct conn *conn = ptr;
	int errors = 0;

	while (errors < SOCKET_ERRORS_MAX && !must_not_read(conn)) {
		ssize_t n = recv(conn->fd, data, size, MSG_DONTWAIT | MSG_TRUNC);

		if (n >= 0 && (size_t)n <= size && is_record_chain(data, (size_t)n)) {
			conn->datagrams++;
			return n;
		}
		if (n >= 0)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		/* An ICMP error stands before datagrams that came earlier: remember it, take them. */
		if (errno != EINTR)
			conn->net_errno = errno;
		errors++;
	}
	gnutls_transport_set_errno(conn->tls, EAGAIN);
	return -1;
}

/* GnuTLS wants this function in non-blocking mode too; it must not wait then. */
static int conn_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
	struct conn *conn = ptr;
	struct pollfd pfd = {.fd = conn->fd, .events = POLLIN};

	(void)ms;
	return !must_not_read(conn) && poll(&pfd, 1, 0) > 0;
}

/* An errno other than EAGAIN would end the session, and a lost datagram is no reason for that. */
static ssize_t conn_push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct conn *conn = ptr;
	ssize_t n;
	int tries = 0;

	do {
		n = send(conn->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		/* A refusal answers an earlier datagram; this one was not sent yet. */
		if (n < 0 && errno == ECONNREFUSED)
			conn->net_errno = ECONNREFUSED;
	} while (n < 0 && (errno == EINTR || errno == ECONNREFUSED) && ++tries < 3);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		conn->blocked = true;
		gnutls_transport_set_errno(conn->tls, EAGAIN);
		return -1;
	}
	conn->blocked = false;
	conn->just_sent = true;
	if (n < 0)
		conn->net_errno = errno;
	return (ssize_t)len;
}

/* Failures in words. */

static const struct tls_advice_words words = {
	.identity = "--pskusername",
	.psk = "--pskusername and --pskkey",
	.own = "--x509certfile and --x509keyfile",
	.server_name = "--sni",
};

static const char *alert_name(gnutls_alert_description_t alert)
{
	const char *name = gnutls_alert_get_name(alert);

	return name != NULL ? name : "unknown alert";
}

static enum dtlsc_exit network_failed(struct conn *conn, int reason)
{
	const char *hint = "check the address, the route and the firewall";

	if (reason == ECONNREFUSED)
		hint = "nothing listens on that UDP port: check that the server runs and which port it has";
	else if (reason == EMSGSIZE)
		hint = "give a smaller --mtu";
	console_note(conn->console, "cannot reach %s: %s: %s", conn->peer, strerror(reason), hint);
	return DTLSC_NETWORK;
}

static enum dtlsc_exit handshake_timed_out(struct conn *conn)
{
	double seconds = conn->options->timeout_ms / 1000.0;

	if (conn->datagrams == 0)
		console_note(conn->console,
			     "%s: no answer in %g s: check address, port and firewall, or give a larger "
			     "--timeout",
			     conn->peer, seconds);
	else
		console_note(conn->console,
			     "%s: handshake not finished in %g s though %llu datagrams came: %s",
			     conn->peer, seconds, (unsigned long long)conn->datagrams,
			     conn->cred->psk != NULL ? "check --pskkey (a wrong key looks like this)"
						     : "try a smaller --mtu or a larger --timeout");
	return DTLSC_TIMEOUT;
}

static enum dtlsc_exit handshake_failed(struct conn *conn, int ret)
{
	gnutls_alert_description_t alert = gnutls_alert_get(conn->tls);
	char reason[1024];

	if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		console_note(conn->console, "%s: the server refused the handshake: %s", conn->peer,
			     tls_advice_on_alert(&words, (int)alert, conn->cred->psk != NULL, reason, sizeof(reason)));
		return DTLSC_HANDSHAKE;
	}
	gnutls_alert_send_appropriate(conn->tls, ret);
	if (ret == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
		cred_describe_refusal(conn->cred, conn->tls, reason, sizeof(reason));
		console_note(conn->console, "%s: %s", conn->peer, reason);
		return DTLSC_VERIFY;
	}
	console_note(conn->console, "%s: handshake failed: %s: --verbose shows more, the server's log too",
		     conn->peer, gnutls_strerror(ret));
	return DTLSC_HANDSHAKE;
}

/* The handshake. */

static void wait_for_flight(struct conn *conn, int64_t deadline)
{
	struct pollfd pfd = {.fd = conn->fd, .events = POLLIN};
	unsigned timer = gnutls_dtls_get_timeout(conn->tls);
	int64_t left = deadline - now_ms();

	/* gnutls_record_get_direction is of no use: it says "write" while a flight waits for its answer. */
	if (conn->blocked)
		pfd.events |= POLLOUT;
	if (timer == 0)
		timer = WAIT_FLOOR_MS;
	if (left > timer)
		left = timer;
	poll(&pfd, 1, left > 0 ? (int)left : 0);
}

static int handshake_step(struct conn *conn)
{
	int ret;

	conn->just_sent = false;
	conn->handshaking = true;
	ret = gnutls_handshake(conn->tls);
	conn->handshaking = false;
	return ret;
}

static enum dtlsc_exit conn_handshake(struct conn *conn)
{
	int64_t deadline = now_ms() + conn->options->timeout_ms;
	int64_t heard_at = now_ms();
	uint64_t heard = 0;
	bool lowered = false;

	for (;;) {
		int ret = handshake_step(conn);
		int64_t now = now_ms();

		if (ret == GNUTLS_E_SUCCESS)
			break;
		if (conn->net_errno != 0)
			return network_failed(conn, conn->net_errno);
		if (gnutls_error_is_fatal(ret))
			return handshake_failed(conn, ret);
		if (now >= deadline)
			return handshake_timed_out(conn);
		if (ret == GNUTLS_E_WARNING_ALERT_RECEIVED)
			console_detail(conn->console, "%s: warning alert: %s", conn->peer,
				       alert_name(gnutls_alert_get(conn->tls)));
		if (conn->datagrams != heard)
			heard_at = now;
		heard = conn->datagrams;
		/* GnuTLS itself would send the same large datagrams for ever. */
		if (heard != 0 && !lowered && now - heard_at > LOST_FLIGHTS_MS &&
		    conn->options->mtu > SMALL_MTU) {
			gnutls_dtls_set_mtu(conn->tls, SMALL_MTU);
			lowered = true;
			console_detail(conn->console,
				       "%s: flights are lost: going on with datagrams of %d bytes",
				       conn->peer, SMALL_MTU);
		}
		if (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED)
			wait_for_flight(conn, deadline);
	}
	gnutls_dtls_set_mtu(conn->tls, conn->options->mtu);
	return DTLSC_OK;
}

static void detail_certificate(struct conn *conn, const char *finding)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(conn->tls, &count);
	gnutls_x509_crt_t crt;
	gnutls_datum_t subject = {0};

	if (chain == NULL || count == 0 || gnutls_x509_crt_init(&crt) != 0)
		return;
	if (gnutls_x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER) == 0 &&
	    gnutls_x509_crt_get_dn3(crt, &subject, 0) == 0)
		console_detail(conn->console, "server certificate: %s (%u in chain), %s for '%s'",
			       subject.data, count, finding, conn->cred->name);
	gnutls_free(subject.data);
	gnutls_x509_crt_deinit(crt);
}

static void detail_session(struct conn *conn, int64_t took_ms)
{
	gnutls_group_t group = gnutls_group_get(conn->tls);
	const char *suite = gnutls_ciphersuite_get(conn->tls);

	console_detail(conn->console, "connected to %s in %lld ms", conn->peer, (long long)took_ms);
	console_detail(conn->console, "version %s, suite %s%s%s, %s",
		       gnutls_protocol_get_name(gnutls_protocol_get_version(conn->tls)),
		       suite != NULL ? suite : "?", group != 0 ? ", group " : "",
		       group != 0 ? gnutls_group_get_name(group) : "",
		       gnutls_session_is_resumed(conn->tls) ? "resumed" : "full handshake (not resumed)");
	console_detail(conn->console, "a line may have %zu bytes (--mtu %u)", conn_send_max(conn) - 1,
		       conn->options->mtu);
}

/*
 * GnuTLS verifies during a full handshake; a resumed one carries no certificate, and its session may
 * have been made under --insecure. So: once more, from the session.
 */
static enum dtlsc_exit check_server(struct conn *conn)
{
	char reason[1024] = "";
	bool verified = cred_server_is_verified(conn->cred, conn->tls, reason, sizeof(reason));

	if (gnutls_auth_server_get_type(conn->tls) == GNUTLS_CRD_PSK)
		console_detail(conn->console, "the server knows the pre-shared key of '%s'",
			       conn->options->pskusername != NULL ? conn->options->pskusername : "?");
	else
		detail_certificate(conn, verified ? "valid" : "NOT VALID");
	if (verified)
		return DTLSC_OK;
	if (conn->options->insecure) {
		console_note(conn->console, "WARNING: going on because of --insecure: %s", reason);
		return DTLSC_OK;
	}
	gnutls_alert_send(conn->tls, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
	console_note(conn->console, "%s: %s", conn->peer, reason);
	return DTLSC_VERIFY;
}

/* Connecting. */

static void format_peer(const struct addrinfo *ai, char *text, size_t size)
{
	char host[NI_MAXHOST];
	char port[NI_MAXSERV];

	if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(text, size, "?");
	else
		snprintf(text, size, ai->ai_family == AF_INET6 ? "[%.60s]:%.5s" : "%.60s:%.5s", host, port);
}

static int socket_connect(struct conn *conn, const struct addrinfo *ai)
{
	int bytes = RECEIVE_BUFFER;

	conn->fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	if (conn->fd < 0 || connect(conn->fd, ai->ai_addr, ai->ai_addrlen) != 0)
		return -errno;
	/* As much of it as the system allows; the default serves too. */
	setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return 0;
}

static int session_start(struct conn *conn)
{
	/* A client certificate that was named is sent, whatever issuers the server lists. */
	int ret = gnutls_init(&conn->tls,
			      GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK | GNUTLS_FORCE_CLIENT_CERT);

	if (ret != 0) {
		conn->tls = NULL;
		return ret;
	}
	ret = cred_apply(conn->cred, conn->tls, !conn->options->insecure);
	if (ret != 0)
		return ret;
	gnutls_transport_set_ptr(conn->tls, conn);
	gnutls_transport_set_push_function(conn->tls, conn_push);
	gnutls_transport_set_pull_function(conn->tls, conn_pull);
	gnutls_transport_set_pull_timeout_function(conn->tls, conn_pull_timeout);
	gnutls_dtls_set_mtu(conn->tls, conn->options->mtu);
	/* The deadline is ours: GnuTLS's would also end reads long after the handshake. */
	gnutls_dtls_set_timeouts(conn->tls, RETRANSMIT_MS, INT_MAX);
	if (conn->options->session_file != NULL)
		saved_session_load(conn->cred, conn->options, conn->tls, conn->console);
	return 0;
}

static enum dtlsc_exit try_address(struct conn *conn, const struct addrinfo *ai)
{
	int64_t started = now_ms();
	enum dtlsc_exit status;
	int ret;

	format_peer(ai, conn->peer, sizeof(conn->peer));
	conn->net_errno = 0;
	conn->datagrams = 0;
	ret = socket_connect(conn, ai);
	if (ret != 0)
		return network_failed(conn, -ret);
	ret = session_start(conn);
	if (ret != 0) {
		console_note(conn->console, "cannot start a session for '%s': %s", conn->cred->name,
			     gnutls_strerror(ret));
		return DTLSC_LOCAL;
	}
	status = conn_handshake(conn);
	if (status != DTLSC_OK)
		return status;
	detail_session(conn, now_ms() - started);
	status = check_server(conn);
	if (status == DTLSC_OK && conn->options->session_file != NULL)
		saved_session_save(conn->cred, conn->options, conn->tls, conn->console);
	return status;
}

enum dtlsc_exit conn_open(struct conn *conn, const struct dtlsc_options *options, const struct cred *cred,
			  struct console *console)
{
	struct addrinfo hints = {
		.ai_family = options->family, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	enum dtlsc_exit status = DTLSC_NETWORK;
	int ret;

	*conn = (struct conn){.options = options, .cred = cred, .console = console, .fd = -1};
	ret = getaddrinfo(options->host, options->port, &hints, &list);
	if (ret != 0) {
		console_note(console, "cannot resolve '%s'%s: %s: check the name", options->host,
			     options->family == AF_INET	   ? " in IPv4"
			     : options->family == AF_INET6 ? " in IPv6"
							   : "",
			     ret == EAI_SYSTEM ? strerror(errno) : gai_strerror(ret));
		return DTLSC_NETWORK;
	}
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		status = try_address(conn, ai);
		if (status == DTLSC_OK)
			break;
		conn_close(conn);
		/* A server that answered has spoken for all its addresses. */
		if (status != DTLSC_NETWORK && status != DTLSC_TIMEOUT)
			break;
		if (ai->ai_next != NULL)
			console_note(console, "trying the next address of '%s'", options->host);
	}
	freeaddrinfo(list);
	return status;
}

/* Data. */

size_t conn_send_max(const struct conn *conn)
{
	size_t mtu = gnutls_dtls_get_data_mtu(conn->tls);
	size_t record = gnutls_record_get_max_size(conn->tls);

	return mtu < record ? mtu : record;
}

int conn_send(struct conn *conn, const void *data, size_t len)
{
	ssize_t n;
	int reason;

	if (len > conn_send_max(conn))
		return -EMSGSIZE;
	n = gnutls_record_send(conn->tls, data, len);
	if (n < 0 && !conn->blocked)
		return n == GNUTLS_E_LARGE_PACKET ? -EMSGSIZE : -EIO;
	if (conn->net_errno == 0 || conn->net_errno == ECONNREFUSED)
		return 0; /* a refusal ends the session in conn_receive, after what came before it */
	reason = conn->net_errno;
	conn->net_errno = 0;
	return -reason;
}

void conn_flush(struct conn *conn)
{
	if (gnutls_record_send(conn->tls, NULL, 0) != GNUTLS_E_AGAIN)
		conn->blocked = false;
}

static enum conn_event receive_failed(struct conn *conn, int ret, enum dtlsc_exit *status)
{
	if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		gnutls_alert_description_t alert = gnutls_alert_get(conn->tls);

		console_note(conn->console,
			     "%s: the server ended the session with alert %d (%s): its log should say why",
			     conn->peer, (int)alert, alert_name(alert));
		*status = DTLSC_ALERT;
	} else {
		console_note(conn->console, "%s: session failed: %s: connect again", conn->peer,
			     gnutls_strerror(ret));
		*status = DTLSC_HANDSHAKE;
	}
	return CONN_FAILED;
}

static enum conn_event look_at_socket(struct conn *conn, enum dtlsc_exit *status)
{
	int reason = conn->net_errno;

	conn->net_errno = 0;
	if (reason == ECONNREFUSED) {
		console_note(conn->console,
			     "%s: connection refused: the server has stopped or was restarted: what was "
			     "sent last is "
			     "lost; start it, connect again",
			     conn->peer);
		*status = DTLSC_NETWORK;
		return CONN_FAILED;
	}
	if (reason != 0)
		console_note(conn->console, "%s: %s: a datagram may be lost", conn->peer, strerror(reason));
	return CONN_IDLE;
}

enum conn_event conn_receive(struct conn *conn, void *data, size_t size, size_t *len,
			     enum dtlsc_exit *status)
{
	for (;;) {
		ssize_t n = gnutls_record_recv(conn->tls, data, size);

		if (n > 0) {
			*len = (size_t)n;
			return CONN_DATA;
		}
		if (n == 0)
			return CONN_CLOSED;
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			return look_at_socket(conn, status);
		if (n == GNUTLS_E_REHANDSHAKE) {
			console_detail(conn->console, "%s: asked to renegotiate: refused", conn->peer);
			gnutls_alert_send(conn->tls, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
		} else if (n == GNUTLS_E_WARNING_ALERT_RECEIVED) {
			console_detail(conn->console, "%s: warning alert: %s", conn->peer,
				       alert_name(gnutls_alert_get(conn->tls)));
		} else if (gnutls_error_is_fatal((int)n)) {
			return receive_failed(conn, (int)n, status);
		}
	}
}

void conn_bye(struct conn *conn)
{
	gnutls_bye(conn->tls, GNUTLS_SHUT_WR);
}

void conn_close(struct conn *conn)
{
	if (conn->tls != NULL)
		gnutls_deinit(conn->tls);
	conn->tls = NULL;
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
}
