/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proxy2: the header of the PROXY protocol, version 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt, section 2.2),
 * for datagrams: who speaks to the backend, and what the handshake has told of him. Pure.
 */
#ifndef DTLSD_PROXY2_H
#define DTLSD_PROXY2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

/* Of the range that the specification leaves to applications: the bytes of a PSK identity. */
#define PROXY2_TYPE_PSK_IDENTITY 0xe0

#define PROXY2_TEXT_MOST 255 /* what is longer is left out, never cut */
#define PROXY2_MAX 2048      /* with all there is */

/* NULL and lengths of 0: not known, left out. */
struct proxy2 {
	const struct flow *flow; /* NULL, or of two families: UNSPEC, no addresses */
	const char *alpn, *authority; /* the server name that the client asked for */
	const char *version, *cipher;
	const char *common_name;
	const uint8_t *psk_identity;
	size_t psk_identity_len;
	bool certificate; /* the client has shown one */
	bool verified;    /* and it is good */
};

/* The length. */
size_t proxy2_write(const struct proxy2 *p, uint8_t out[static PROXY2_MAX]);

#endif
