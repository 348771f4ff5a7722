/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names: a list of names, as of files, with commas between. Pure.
 */
#ifndef DTLSD_NAMES_H
#define DTLSD_NAMES_H

#include <stdbool.h>

#define NAMES_MOST 128

struct names {
	char *text; /* what the names point into */
	const char *name[NAMES_MOST];
	unsigned count;
};

/*
 * 0; -EINVAL: one of them is empty; -E2BIG: there are more than NAMES_MOST; -ENOMEM. names_free in any case.
 */
int names_parse(struct names *out, const char *list);
void names_free(struct names *n);

/* Of an object in a PKCS#11 token (RFC 7512), not of a file. */
bool names_token(const char *name);

#endif
