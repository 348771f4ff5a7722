/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tunnels: the local peers of a worker's services that connect, each with a session of its own with the remote server:
 * who is who, and who may come in.
 */
#ifndef DTLSD_TUNNELS_H
#define DTLSD_TUNNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datagram.h"
#include "siphash.h"
#include "tunnel.h"

struct tunnels {
	struct tunnel_home home; /* env and local are filled in by the owner before tunnels_init */
	struct siphash_key key, name_key;
	uint64_t cursor; /* of the round under way */
};

/* Not to be moved afterwards. 0, -ENOMEM; tunnels_clear is due in either case. */
int tunnels_init(struct tunnels *t, uint64_t now_ms);
/* Ends all, with close_notify as far as the sockets take it, and frees what init made. */
void tunnels_clear(struct tunnels *t);

/* A datagram of a local peer, for a listener with a service that connects. admit: who is not known may come. */
void tunnels_datagram(struct tunnels *t, const struct datagram *d, bool admit);
/* The same from a unix socket, by the name of the peer's. who->flow is made up. */
void tunnels_named(struct tunnels *t, const struct tunnel_peer *who, bool admit, const uint8_t *data, size_t len);

/* Timers: a bounded piece. true: there is more. */
bool tunnels_run(struct tunnels *t);
/* Milliseconds until tunnels_run is wanted, at most that; UINT64_MAX: there is nothing to wait for. */
uint64_t tunnels_wait(const struct tunnels *t, uint64_t limit_ms);

/*
 * A piece of a round over all: those of listeners that leave end, the others have their timers set anew. begun is the
 * caller's, false at first. true: there is more.
 */
bool tunnels_sweep(struct tunnels *t, bool *begun, const bool *leaving);
/* A piece of ending all. true: there is more. */
bool tunnels_drain(struct tunnels *t);
bool tunnels_none(const struct tunnels *t);

#endif
