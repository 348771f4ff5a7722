/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer: which socket of an SO_REUSEPORT group gets a datagram: hellos have a lane of their own, so that a
 * flood of them fills its buffer and not that of the records; and a peer keeps its worker in both lanes.
 */
#ifndef DTLSD_STEER_H
#define DTLSD_STEER_H

#include "udp.h"

/*
 * group: 2 * workers sockets of one udp_open. From now on what begins with a ClientHello (epoch 0, any fragment)
 * goes to one of the upper half, all else to one of the lower half, chosen by a keyed hash of the peer's address
 * and port; the pair i and i + workers sees the same peers. Needs no privilege. 0, or -errno when the kernel does
 * not take the program: the group is as it was.
 */
int steer_attach(struct udp_socket *group, unsigned workers);

#endif
