/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_alpn: the application protocols of a service (RFC 7301), the most wanted first.
 */
#ifndef DTLSD_TLS_ALPN_H
#define DTLSD_TLS_ALPN_H

#include <gnutls/gnutls.h>

#include "names.h"
#include "tls_file.h"

/* list: names with commas between. The caller frees out, also after -EINVAL, with the sentence in e. */
int tls_alpn_load(const struct tls_error *e, const char *dashes, const char *list, struct names *out);
/* flags: of gnutls_alpn_set_protocols. 0, or a GnuTLS error code; nothing happens where there are no names. */
int tls_alpn_set(const struct names *names, gnutls_session_t s, unsigned flags);

#endif
