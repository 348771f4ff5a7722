/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client: DTLS 1.2 clients by the thousand, many handshakes at a time. Of each session only the keys stay.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "secure.h"
#include "source.h"

/*
 * Full handshakes of peers first..first+count-1, lanes at a time; their keys go to out[0..count-1].
 * Retransmits; ends the program when the server falls silent.
 */
void client_connect(struct source *s, uint32_t first, uint32_t count, unsigned lanes, struct secure *out);
/* One full handshake; false when the server refuses it or it is not done by then, and what out holds is lost. */
bool client_try(struct source *s, uint32_t peer, uint64_t until, struct secure *out);

#endif
