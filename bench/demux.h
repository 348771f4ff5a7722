/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * demux: the half of an echo server that does not depend on the library: one socket for all peers, a table of
 * those that have a session, one datagram a system call, and a look at unfinished handshakes four times a
 * second. Libraries read the datagram in hand with demux_pull and answer with demux_push.
 */
#ifndef BENCH_DEMUX_H
#define BENCH_DEMUX_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct peer {
	struct sockaddr_in address;
	void *session;     /* the library's; NULL in a stranger */
	bool established;
	struct peer *next; /* in its bucket */
};

struct library {
	/*
	 * A datagram came from an address without a session. Returns the new session when its hello had a good
	 * cookie, else NULL. The peer stays where it is for as long as the session lives; without one it is gone.
	 */
	void *(*admit)(struct peer *stranger);
	/* There may be a datagram in hand, or time has gone by. Sets p->established. False: free the session. */
	bool (*go)(struct peer *p);
	void (*free)(void *session);
};

/* The datagram in hand; demux_pull takes it away. */
uint8_t *demux_datagram(size_t *len);
/* At most size bytes of the datagram in hand; -1: there is none. */
ssize_t demux_pull(void *data, size_t size);
bool demux_waits(void);
ssize_t demux_push(const struct peer *to, const void *data, size_t len);

_Noreturn void demux_serve(const char *endpoint, const struct library *library);

#endif
