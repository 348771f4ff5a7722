/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_curves.h"

#include <stdbool.h>
#include <stdio.h>

#include "tls_priority.h"

static void add(struct tls_curves *c, uint16_t curve)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->curve[i] == curve)
			return;
	c->curve[c->count++] = curve;
}

int tls_curves_load(struct tls_curves *c, const struct tls_cert *certs, unsigned cert_count, const char *priority)
{
	char text[TLS_PRIORITY_MAX + sizeof(":-ECDHE-ECDSA")];
	bool rsa = false;

	for (unsigned i = 0; i < cert_count; i++) {
		bool ecdsa = certs[i].curve != 0;

		if (ecdsa)
			add(c, certs[i].curve);
		else if (certs[i].key_type != GNUTLS_PK_RSA && certs[i].key_type != GNUTLS_PK_RSA_PSS)
			return 0; /* EdDSA, which goes by the same suites */
		rsa |= !ecdsa;
	}
	if (!rsa || c->count == 0)
		return 0;
	snprintf(text, sizeof(text), "%s:-ECDHE-ECDSA", priority);
	return gnutls_priority_init(&c->others, text, NULL);
}

void tls_curves_clear(struct tls_curves *c)
{
	if (c->others != NULL)
		gnutls_priority_deinit(c->others);
}

int tls_curves_choose(const struct tls_curves *c, const struct tls_offer *o, gnutls_session_t s)
{
	if (c->others == NULL || o->groups.len == 0)
		return 0;
	for (unsigned i = 0; i < c->count; i++)
		if (tls_offer_has(&o->groups, c->curve[i]))
			return 0;
	/* for whom there is nothing else, an ECDSA one may do after all */
	return tls_offer_takes_rsa(o) && tls_offer_fits(o, c->others) ? gnutls_priority_set(s, c->others) : 0;
}
