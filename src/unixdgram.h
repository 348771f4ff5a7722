/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unixdgram: a unix datagram socket that local programs send to. Their own sockets need a name to be answered (bind, also
 * by autobind: unix(7)).
 */
#ifndef DTLSD_UNIXDGRAM_H
#define DTLSD_UNIXDGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "metrics.h"

/*
 * Non-blocking and close-on-exec; path: "/…", or "@name" in the abstract name space. A socket that is left there from
 * before and that nobody serves is replaced. The descriptor, or -errno with a sentence in err.
 */
int unixdgram_open(const char *path, char *err, size_t err_size);
/* Closes it and removes its name. */
void unixdgram_close(int fd, const char *path);

/*
 * Takes up to most datagrams into buffer, one after another, and hands each over with its sender's name as sun_path has
 * it. Who has none is dropped and counted, as there is nobody to answer. How many there were.
 */
unsigned unixdgram_recv(int fd, uint8_t *buffer, size_t size, unsigned most, struct metrics *m,
			void (*each)(void *ctx, const char *name, size_t name_len, const uint8_t *data, size_t len),
			void *ctx);
/*
 * What it does not take is lost and counted. unheard: the peer's, 0 when it is heard of. What nobody has read yet takes
 * room in our socket: when half of it is gone, who has got his share since he was heard of gets no more.
 */
void unixdgram_send(int fd, struct metrics *m, const char *name, size_t name_len, uint32_t *unheard, const void *data,
		    size_t len);

#endif
