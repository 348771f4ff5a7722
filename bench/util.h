/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * util: what every program of the measurement shares. They are tools, not services: whatever goes wrong
 * ends them with a sentence.
 */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* What every server takes from every client that comes with a pre-shared key; bench/servers.py has it as well. */
#define PSK_KEY "measured, not us"
#define PSK_BYTES 16

#define BATCH 64 /* messages of one recvmmsg or sendmmsg, as in dtlsd */

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *xcalloc(size_t n, size_t size);

uint64_t mono_ns(void);
/* Lets this process have as many descriptors as the system permits. */
void raise_fd_limit(void);

/* "127.0.0.1:4433". */
struct sockaddr_in parse_endpoint(const char *text);
/* A bound UDP socket with don't-fragment set, as dtlsd's sockets have it. */
int open_udp(const struct sockaddr_in *bound, int reuse);
/* As large a socket buffer as the system's limit permits. */
void deepen_queues(int fd);

#endif
