/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_curves: GnuTLS gives a client an ECDSA certificate whose curve it does not know (RFC 8422 5.1.1). Where
 * the service has others beside that such a client takes, it is served as if they were all there are.
 */
#ifndef DTLSD_TLS_CURVES_H
#define DTLSD_TLS_CURVES_H

#include <stdint.h>

#include <gnutls/gnutls.h>

#include "tls_cert.h"
#include "tls_offer.h"

#define TLS_CURVES_MOST 3

struct tls_curves { /* begins all zero: there is nothing to choose */
	uint16_t curve[TLS_CURVES_MOST]; /* of our ECDSA certificates, as tls_cert has them */
	unsigned count;
	gnutls_priority_t others;        /* without ECDSA; NULL: there are no others */
};

/* priority: what was imposed (tls_priority.h). 0, or a GnuTLS error code. */
int tls_curves_load(struct tls_curves *c, const struct tls_cert *certs, unsigned cert_count, const char *priority);
void tls_curves_clear(struct tls_curves *c);
/* Before GnuTLS reads that hello. 0, or a GnuTLS error code. */
int tls_curves_choose(const struct tls_curves *c, const struct tls_offer *o, gnutls_session_t s);

#endif
