/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sources: the addresses of this machine that datagrams to backends come from. Each has local ports of its own: of one
 * alone there are not enough for a hundred thousand sessions.
 */
#ifndef DTLSD_SOURCES_H
#define DTLSD_SOURCES_H

#include <stddef.h>

#include "addr.h"

#define SOURCES_MOST 16

struct sources { /* begins all zero: the system chooses */
	unsigned count;
	struct addr addr[SOURCES_MOST]; /* without ports */
};

/* "10.0.0.5,10.0.0.6,[2001:db8::5]". 0, or -EINVAL, -ENOMEM with what is wrong and what to write in err. */
int sources_parse(struct sources *out, const char *text, char *err, size_t err_size);

#endif
