/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstream_socket: one socket of upstream, UDP or unix datagram: how it is made, bound and connected, and what its
 * errors mean.
 */
#ifndef DTLSD_UPSTREAM_SOCKET_H
#define DTLSD_UPSTREAM_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "sources.h"

struct upstream_socket;

struct upstream_owner {
	/* A datagram from the backend, borrowed. May close this socket, and others. */
	void (*reply)(struct upstream_socket *s, uint8_t *data, size_t len);
	/* The backend is not there; err: the error number. Closes nothing. Not of adopted sockets. */
	void (*refused)(struct upstream_socket *s, int err);
	/* Of adopted sockets: the other end is closed. May close this socket, and others. */
	void (*ended)(struct upstream_socket *s);
};

/* Lies in what its owner keeps of a session, and is not moved while it is open. */
struct upstream_socket {
	const struct upstream_owner *owner;
	const struct backend_addr *to; /* borrowed; NULL: it was adopted */
	int fd;
	uint16_t queued;  /* datagrams that have not left yet */
	uint16_t held;    /* of them, while those that stay are counted: they wait for a blocked socket */
	uint32_t held_bytes;
	bool connected;   /* else it is tried again with the next datagram */
	bool gso;
	bool deaf;        /* what comes is for somebody else */
	bool blocked;     /* a unix socket whose backend has as much to read as it takes */
};

static inline bool upstream_is_unix(const struct upstream_socket *s)
{
	return !s->to || s->to->addr.family == 0;
}

/*
 * For a socket with owner and to, and no fd yet: from one of the sources of its family, by turn; where there is none, or
 * NULL, from where the system likes. 0; *refusal is the error number of a backend that is not there, else 0. Or
 * -EADDRNOTAVAIL, no local port is left; -ENXIO, the sources are no addresses of this machine; -EMFILE, -ENFILE,
 * -ENOBUFS, -ENOMEM: what fd there is has to be closed.
 */
int upstream_make(struct upstream_socket *s, const struct sources *from, unsigned *turn, int *refusal);
/* Once more. 0, or the error number. */
int upstream_connect(struct upstream_socket *s);
/* The backend is not there. A datagram may meet such an error of the one before it, without being looked at. */
bool upstream_refusal(int err);
/* On each error of upstream_open: why, and what to do. */
const char *upstream_advice(int err);
/* Whether sockets could come from there, if not at this moment: 0, or as above. */
int upstream_try_source(const struct addr *a);

#endif
