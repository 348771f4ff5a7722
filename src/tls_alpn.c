/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_alpn.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "tls_about.h"

#define ALPN_MOST 8 /* that GnuTLS takes */

int tls_alpn_load(const struct tls_error *e, const char *dashes, const char *list, struct names *out)
{
	int rc = names_parse(out, list);

	if (rc == -ENOMEM)
		return tls_fail(e, "out of memory for the names of alpn");
	if (rc == -EINVAL)
		return tls_fail(e, "%salpn %s: one of the names is empty; write them as: coap,h3", dashes, list);
	if (rc < 0 || out->count > ALPN_MOST)
		return tls_fail(e, "%salpn %s: more than %d names; leave some out", dashes, list, ALPN_MOST);
	for (unsigned i = 0; i < out->count; i++)
		if (strlen(out->name[i]) > TLS_ALPN_MOST)
			return tls_fail(e, "%salpn: the name %s has more than %d bytes; take a shorter one", dashes,
					out->name[i], TLS_ALPN_MOST);
	return 0;
}

int tls_alpn_set(const struct names *names, gnutls_session_t s, unsigned flags)
{
	gnutls_datum_t list[ALPN_MOST];

	if (names->count == 0)
		return 0;
	for (unsigned i = 0; i < names->count; i++) {
		list[i].data = (unsigned char *)(uintptr_t)names->name[i]; /* it is copied */
		list[i].size = (unsigned)strlen(names->name[i]);
	}
	return gnutls_alpn_set_protocols(s, list, names->count, flags);
}
