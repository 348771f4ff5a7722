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

#include "metrics.h"
#include "upstream_socket.h"

struct upstream;

/* How many sockets there may be; shared by the workers. */
struct upstream_limit {
	atomic_uint open, most;
};

struct upstream *upstream_new(struct upstream_limit *limit); /* borrowed; NULL: out of memory or file descriptors */
void upstream_free(struct upstream *u); /* NULL is fine; asserts that no socket is open */
void upstream_count(struct upstream *u, struct metrics *m); /* where it counts, borrowed; before anything is opened */
int upstream_fd(const struct upstream *u); /* readable: upstream_run has something to do */

/* 0: it is open, though the backend may have refused already. Else it is not: -EDQUOT, or as upstream_make. */
int upstream_open(struct upstream *u, struct upstream_socket *s, const struct backend_addr *to,
		  const struct sources *from, const struct upstream_owner *owner);
/*
 * A connected SOCK_SEQPACKET socket, from here on its own: it is closed even when this fails, with -EDQUOT or -ENOMEM.
 * deaf: it only sends, until upstream_listen; another one reads what comes.
 */
int upstream_adopt(struct upstream *u, struct upstream_socket *s, int fd, bool deaf,
		   const struct upstream_owner *owner);
void upstream_listen(struct upstream *u, struct upstream_socket *s);
void upstream_close(struct upstream *u, struct upstream_socket *s);

/*
 * Queues head and data as one datagram; they are copied. What the kernel does not take is lost and counted; but for
 * unix sockets, whose backends are given few at a time, a bounded number waits until there is room: who reads nothing
 * leaves the others their share of it.
 */
void upstream_send(struct upstream *u, struct upstream_socket *s, const void *head, size_t head_len, const void *data,
		   size_t len);
void upstream_flush(struct upstream *u);
/* Answers that wait: a bounded number. */
void upstream_run(struct upstream *u);

#endif
