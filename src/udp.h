/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp: sockets, batches, and every kernel feature that makes them fast: recvmmsg and sendmmsg, GRO and
 * GSO, packet info, drop counts. The only file that calls recvmmsg and sendmmsg.
 */
#ifndef DTLSD_UDP_H
#define DTLSD_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "datagram.h"
#include "metrics.h"
#include "txq.h"

struct udp_socket {
	int fd;
	uint32_t listener;
	struct addr bound;   /* with the port that the kernel chose, if it was 0 */
	bool wildcard;       /* packet info is needed to know and to choose our address */
	bool named;          /* a unix datagram socket (unixdgram.h), which nothing here is for */
	bool hellos;         /* the lane of ClientHellos (steer.h) */
	bool gro, gso;       /* what the kernel agreed to; gso is cleared when it refuses later */
	uint32_t kernel_drops; /* last SO_RXQ_OVFL value */
};

#define UDP_BATCH 64

/* Receive buffers of one worker: UDP_BATCH of 64 KiB, touched only as far as they are filled. */
struct udp_rx;
struct udp_rx *udp_rx_new(void); /* NULL: out of memory */
void udp_rx_free(struct udp_rx *rx);

/*
 * Opens count sockets on one address with SO_REUSEPORT (one per worker), non-blocking, close-on-exec,
 * IPV6_V6ONLY, don't-fragment, packet info where wildcard, GRO and SO_RXQ_OVFL where the kernel has
 * them, rcvbuf/sndbuf bytes where not 0 (clipped silently by the kernel's limit). A port that another
 * process serves is found first: SO_REUSEPORT alone would share it in silence. All or nothing: 0, or -errno
 * with a sentence in err (what, which address, what to do). Port 0: the first socket's port serves all.
 */
int udp_open(struct udp_socket *out, unsigned count, const struct addr *a, uint32_t listener,
	     int rcvbuf, int sndbuf, char *err, size_t err_size);
void udp_close(struct udp_socket *s);

/*
 * Receives up to UDP_BATCH messages and hands them to batch together, in order, n > 0 of them. Zero-length datagrams
 * are counted and passed on. Returns the number of messages, 0 when none waits, -errno otherwise (counted in rx_errors).
 */
int udp_recv(struct udp_socket *s, struct udp_rx *rx, struct metrics *m,
	     void (*batch)(void *ctx, struct datagram *d, unsigned n), void *ctx);

/*
 * Sends what lies in q, in order, sockets[e->listener] for each entry; runs of one flow and length are
 * sent with UDP_SEGMENT where the socket can. Calls txq_sent for all that left or failed for good.
 * A datagram over the path MTU: too_large(ctx, entry, mtu) when it is part of a handshake (mtu: the
 * UDP payload that fits, 0 unknown); otherwise it is sent again with IP fragmentation allowed.
 * Refusals of one datagram are counted and passed over. 0: q is empty; -EAGAIN: *blocked is the socket that
 * takes no more now, and the rest stays.
 */
int udp_send(struct udp_socket *sockets, struct txq *q, struct metrics *m,
	     void (*too_large)(void *ctx, const struct tx_entry *e, size_t mtu), void *ctx,
	     struct udp_socket **blocked);

#endif
