/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_names: options of UDP sockets that old C libraries lack the names of. Whether the kernel has them is found out when
 * sockets are opened.
 */
#ifndef DTLSD_UDP_NAMES_H
#define DTLSD_UDP_NAMES_H

#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define UDP_SEGMENTS_MAX 64 /* datagrams that every kernel with UDP_SEGMENT takes in one message */

#endif
