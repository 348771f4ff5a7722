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
#include <sys/types.h>

/* What every server takes from every client that comes with a pre-shared key; bench/servers.py has it as well. */
#define PSK_KEY "measured, not us"
#define PSK_BYTES 16

#define BATCH 64 /* messages of one recvmmsg or sendmmsg, as in dtlsd */

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *xcalloc(size_t n, size_t size);

uint64_t mono_ns(void);
/*
 * User and system time of all threads of another process. Exact only while it sleeps: the kernel brings a
 * running thread's account up to date at its timer tick, so drain the server before you ask.
 */
uint64_t process_cpu_ns(pid_t pid);
/* VmRSS, in KiB. */
long process_rss_kb(pid_t pid);
/* Lets this process have as many descriptors as the system permits. */
void raise_fd_limit(void);

/* Big-endian access. */
static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}
static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}
static inline void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)(v >> 32));
	put32(p + 4, (uint32_t)v);
}

/* "127.0.0.1:4433". */
struct sockaddr_in parse_endpoint(const char *text);
/* The same or "[::1]:4433"; IPv4 becomes a mapped address. */
struct sockaddr_in6 parse_server(const char *text);
/* A bound UDP socket with don't-fragment set, as dtlsd's sockets have it. */
int open_udp(const struct sockaddr_in *bound, int reuse);
/* As large a socket buffer as the system's limit permits. */
void deepen_queues(int fd);

#endif
