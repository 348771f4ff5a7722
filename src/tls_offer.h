/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_offer: what a ClientHello offers, and in words, for who has to be told why nothing of it fits. Total: a body that
 * is malformed offers less.
 */
#ifndef DTLSD_TLS_OFFER_H
#define DTLSD_TLS_OFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

/* Vectors of the hello, without their lengths; none where it has none. */
struct tls_offer_list {
	const uint8_t *data;
	size_t len;
};

struct tls_offer {
	struct tls_offer_list suites, groups, signatures, protocols, server_types;
};

/* body: behind the handshake header. Points into it. */
void tls_offer_parse(struct tls_offer *out, const uint8_t *body, size_t len);

/* Of a list of numbers in two bytes each, as suites and groups are. */
bool tls_offer_has(const struct tls_offer_list *l, uint16_t id);
/* Its number there (RFC 8422 5.1.1); 0: it has none that is known here. */
uint16_t tls_offer_group_id(gnutls_group_t group);
/* Has it one of the suites that are served? */
bool tls_offer_fits(const struct tls_offer *o, gnutls_priority_t served);
/* Signatures by an RSA key? */
bool tls_offer_takes_rsa(const struct tls_offer *o);

/*
 * GnuTLS found no cipher suite. Appends to buf, which tells of suites, what the client offers of them; where a
 * suite would have fitted, buf tells of what did not instead.
 */
void tls_offer_explain_suites(const struct tls_offer *o, gnutls_priority_t served, char *buf, size_t size);
/* Appends the application protocols that it asks for. */
void tls_offer_explain_protocols(const struct tls_offer *o, char *buf, size_t size);

#endif
