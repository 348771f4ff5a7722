/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsc_conn: one DTLS 1.2 client session over one connected UDP socket. Only conn_open waits.
 */
#ifndef DTLSD_DTLSC_CONN_H
#define DTLSD_DTLSC_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "dtlsc_console.h"
#include "dtlsc_cred.h"
#include "dtlsc_options.h"

#define CONN_PEER_MAX 80 /* "[ipv6%zone]:port" */

struct conn {
	const struct dtlsc_options *options;
	const struct cred *cred;
	struct console *console;
	gnutls_session_t tls;
	int fd; /* -1: not connected */
	int net_errno;      /* of the socket since the last look at it; 0: none */
	bool blocked;       /* a record waits for room in the socket's buffer: poll for POLLOUT */
	bool handshaking;
	bool just_sent;     /* in the present call of gnutls_handshake */
	uint64_t datagrams; /* well-formed ones that came */
	char peer[CONN_PEER_MAX];
};

enum conn_event {
	CONN_IDLE,   /* nothing more has come */
	CONN_DATA,   /* a record of application data */
	CONN_CLOSED, /* the server's close_notify */
	CONN_FAILED  /* the session is over: *status says why, and it was said on the console */
};

/*
 * Resolves the name and tries each of its addresses in turn until one has finished a handshake and
 * is verified. What went wrong is said on the console.
 */
enum dtlsc_exit conn_open(struct conn *conn, const struct dtlsc_options *options, const struct cred *cred,
			  struct console *console);

/* The most that one record can carry under the MTU. */
size_t conn_send_max(const struct conn *conn);

/*
 * Sends one record. 0; -EMSGSIZE when it can never be sent; another -errno when the network took it
 * badly this time. When conn->blocked is set afterwards, nothing may be sent before conn_flush has
 * cleared it.
 */
int conn_send(struct conn *conn, const void *data, size_t len);
void conn_flush(struct conn *conn);

/* To be called until CONN_IDLE when the socket is readable. */
enum conn_event conn_receive(struct conn *conn, void *data, size_t size, size_t *len,
			     enum dtlsc_exit *status);

/* Sends close_notify. */
void conn_bye(struct conn *conn);
/* Releases all; a struct conn that was never opened may be closed. */
void conn_close(struct conn *conn);

#endif
