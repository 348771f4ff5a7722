/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_scan: looks over the text of a configuration file before libconfuse reads it, and tells what that would
 * pass over or only find at the end: strings, comments and braces without an end, bytes that it
 * skips in silence. Pure.
 */
#ifndef DTLSD_CONF_SCAN_H
#define DTLSD_CONF_SCAN_H

#include <stddef.h>

struct conf_scan {
	unsigned line;     /* where what is wrong is */
	const char *wrong; /* and what to do; static */
};

/*
 * Comments become blanks, which libconfuse counts no lines of. 0; -EINVAL with *out filled in. text need not end
 * with a NUL.
 */
int conf_scan(char *text, size_t len, struct conf_scan *out);
/* The line of the nth opening brace that is in no other, counted from 0; 0: there is none. Of a text that is well. */
unsigned conf_scan_section(char *text, size_t len, unsigned nth);

#endif
