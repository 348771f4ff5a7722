/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_file: reads the files of a service for tls, and says what is wrong with them.
 */
#ifndef DTLSD_TLS_FILE_H
#define DTLSD_TLS_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>

#include "names.h"

/* Where the one sentence goes that says why a service cannot be loaded. */
struct tls_error {
	char *text;
	size_t size;
};

/* -EINVAL, always. */
__attribute__((format(printf, 2, 3)))
int tls_fail(const struct tls_error *e, const char *fmt, ...);

/* The files, or other names, that an option lists. The caller frees out, also after -EINVAL. */
int tls_file_names(const struct tls_error *e, const char *dashes, const char *option, const char *list,
		   struct names *out);

/*
 * The whole of a file or pipe, and behind it a NUL that size does not count. what: "certificate", …, for messages.
 * Warns (log) of a secret that others may read. The caller wipes out. 0, or -EINVAL with the sentence in e.
 */
int tls_file_read(const struct tls_error *e, const char *path, const char *what, bool secret, gnutls_datum_t *out);
/* Overwrites and frees what tls_file_read gave. */
void tls_wipe(gnutls_datum_t *d);

#endif
