/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * addr: a UDP endpoint in canonical form, and the pair of them that names a flow.
 *
 * Equal endpoints are equal bytes (IPv4 is held v4-mapped, every pad is zero), so a struct addr
 * may be hashed, compared with memcmp and put under a MAC. A struct sockaddr may not.
 */
#ifndef DTLSD_ADDR_H
#define DTLSD_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	uint8_t ip[16];  /* network order; IPv4 as ::ffff:a.b.c.d */
	uint32_t scope;  /* zone of a link-local IPv6 address, else 0 */
	uint16_t port;   /* host order */
	uint16_t family; /* AF_INET or AF_INET6; 0: no address */
};

/* One conversation: who speaks, and which of our addresses was spoken to. */
struct flow {
	struct addr peer;
	struct addr local;
};

#define ADDR_TEXT_MAX 80 /* "[ipv6%zone]:port" with its NUL */

bool addr_equal(const struct addr *a, const struct addr *b);
bool flow_equal(const struct flow *a, const struct flow *b);

/* From the kernel's form. 0, or -EAFNOSUPPORT. A v4-mapped IPv6 address stays AF_INET6. */
int addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len);
/* To the kernel's form; the length that bind, connect and sendmsg want, 0 for no address. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss);

/* "127.0.0.1:4433", "[::1]:4433", "[fe80::1%2]:4433" or "-" for no address. NUL-terminated; returns buf. */
const char *addr_format(const struct addr *a, char buf[static ADDR_TEXT_MAX]);

bool addr_is_wildcard(const struct addr *a);
bool addr_is_loopback(const struct addr *a);

/*
 * The part of an address that one customer is thought to own: all 32 bits of IPv4, the /prefix of
 * IPv6 (0..128), port and the other bits zero. What per-address limits count by.
 */
struct addr addr_prefix(const struct addr *a, unsigned ipv6_prefix);

/*
 * Reads "127.0.0.1:4433", "[::1]:4433", "[::]", "0.0.0.0", "*:4433", "*", ":4433", "localhost:4433"
 * (numeric addresses and names of /etc/hosts or DNS; zones by name or number). "*" and an empty
 * host give two results, 0.0.0.0 and [::]; [::ffff:127.0.0.1] is 127.0.0.1. Writes at most max (> 0)
 * results. The number of results, or -EINVAL with a sentence in err that names what is wrong and what is accepted.
 */
int addr_parse(const char *text, uint16_t default_port, struct addr *out, size_t max,
	       char *err, size_t err_size);

#endif
