/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_psk: the pre-shared keys of a service, from a file, from a program that is asked (psk_ask.h), or from both. */
#ifndef DTLSD_TLS_PSK_H
#define DTLSD_TLS_PSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "psk.h"
#include "psk_ask.h"
#include "tls_file.h"
#include "tls_offer.h"
#include "tls_trust.h"

#define TLS_PSK_SUITES 64

struct tls_psk { /* begins all zero: there are none */
	struct psk_table *table;  /* NULL: no file */
	struct psk_source source; /* id 0: no program */
	uint16_t suites[TLS_PSK_SUITES]; /* that are served and take a PSK */
	unsigned suite_count;
};

struct tls_psk_options {
	const char *file, *socket; /* NULL: not given; one of them is */
	uint32_t cache_s;
	const char *dashes;  /* before the names of options in messages */
	bool alone;          /* without a key nobody could come in */
};

/* 0, or -EINVAL with the sentence in the trust's e. */
int tls_psk_load(struct tls_psk *p, struct tls_trust *t, const struct tls_psk_options *o);
/* After the priorities are known. */
void tls_psk_serve(struct tls_psk *p, gnutls_priority_t priority);
void tls_psk_clear(struct tls_psk *p);

/*
 * Is this the offer of a client whose key may come from the program? Its sessions are not resumed: the
 * program would not be asked, and a handshake with a PSK costs as little.
 */
bool tls_psk_may_ask(const struct tls_psk *p, const struct tls_offer *o);
/* Is the program to be asked for the identity in this ClientKeyExchange with a PSK, which goes to identity and len? */
bool tls_psk_asks(const struct tls_psk *p, const uint8_t *body, size_t size, const uint8_t **identity, size_t *len);

#endif
