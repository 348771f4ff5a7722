/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstream: a worker's sockets towards backends: one for each session, connected, UDP or unix datagram, or one end of
 * a pair whose other end a process has. One epoll descriptor holds them all; the worker's loop watches that one.
 *
 * Datagrams keep their boundaries both ways. Those of one session that follow each other leave in one call
 * (UDP_SEGMENT where they are of one length, else sendmmsg), and answers come by recvmmsg with GRO.
 * Not thread-safe but for the limit.
 */
#ifndef DTLSD_UPSTREAM_H
#define DTLSD_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "metrics.h"
#include "sources.h"

struct upstream;
struct upstream_socket;

/* How many sockets there may be; shared by the workers. */
struct upstream_limit {
	atomic_uint open, most;
};

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
	bool connected;   /* else it is tried again with the next datagram */
	bool gso;
	bool deaf;        /* what comes is for somebody else */
	bool blocked;     /* a unix socket whose backend has as much to read as it takes */
};

struct upstream *upstream_new(struct upstream_limit *limit); /* borrowed; NULL: out of memory or file descriptors */
void upstream_free(struct upstream *u); /* NULL is fine; asserts that no socket is open */
void upstream_count(struct upstream *u, struct metrics *m); /* where it counts, borrowed; before anything is opened */
int upstream_fd(const struct upstream *u); /* readable: upstream_run has something to do */

/*
 * From one of the sources of its family, by turn; where there is none, or NULL, from where the system likes. 0: it is
 * open, though the backend may have refused already. Else it is not: -EDQUOT, the limit is reached; -EADDRNOTAVAIL, no
 * local port is left; -ENXIO, the sources are no addresses of this machine; -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM.
 */
int upstream_open(struct upstream *u, struct upstream_socket *s, const struct backend_addr *to,
		  const struct sources *from, const struct upstream_owner *owner);
const char *upstream_advice(int err); /* on each of these: why, and what to do */
/* Whether sockets could come from there: 0, or as above. */
int upstream_try_source(const struct addr *a);
/*
 * A connected SOCK_SEQPACKET socket, from here on its own: it is closed even when this fails, with -EDQUOT or -ENOMEM.
 * deaf: it only sends; another one reads what comes.
 */
int upstream_adopt(struct upstream *u, struct upstream_socket *s, int fd, bool deaf,
		   const struct upstream_owner *owner);
void upstream_close(struct upstream *u, struct upstream_socket *s);

/*
 * Queues head and data as one datagram; they are copied. What the kernel does not take is lost and counted; but for
 * unix sockets, whose backends are given few at a time, a bounded number waits until there is room.
 */
void upstream_send(struct upstream *u, struct upstream_socket *s, const void *head, size_t head_len, const void *data,
		   size_t len);
void upstream_flush(struct upstream *u);
/* Answers that wait: a bounded number. */
void upstream_run(struct upstream *u);

#endif
