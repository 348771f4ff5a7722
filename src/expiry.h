/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * expiry: when certificates, CAs, revocation lists and OCSP responses run out, and warnings of it in good time: 30, 7
 * and 1 days ahead and at the end. Of these the ones that come in the first half of a life are left out, as a response
 * that is renewed every week would always be warned of. Pure but for the log.
 */
#ifndef DTLSD_EXPIRY_H
#define DTLSD_EXPIRY_H

#include <stddef.h>
#include <stdint.h>

enum expiry_kind { EXPIRY_CERTIFICATE, EXPIRY_CRL, EXPIRY_OCSP, EXPIRY_CA };

struct expiry_item {
	enum expiry_kind kind;
	const char *file;
	unsigned place;       /* in the file, from 1 */
	uint64_t from, until; /* seconds of the wall clock */
};

struct expiry { /* begins all zero */
	struct expiry_item *items;
	size_t count;
};

/* file is copied. 0 or -ENOMEM. */
int expiry_add(struct expiry *e, const struct expiry_item *item);
/* Logs the warnings that have fallen due since before; 0: all, but of each item the last one only. */
void expiry_warn(const struct expiry *e, uint64_t before, uint64_t now);
/* When the first of them runs out, UINT64_MAX: never. But for CAs: of a large file of them one always has. */
uint64_t expiry_first(const struct expiry *e);
void expiry_clear(struct expiry *e);

#endif
