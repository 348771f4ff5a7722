/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * escape: bytes of strangers as one line of text that is safe in a log. Printable UTF-8 (RFC 3629) stays as
 * it is. Of all else each byte becomes \xNN: control characters (C0, DEL, C1), what is not UTF-8, and the
 * characters that break a line or change the direction of what follows.
 */
#ifndef DTLSD_ESCAPE_H
#define DTLSD_ESCAPE_H

#include <stddef.h>

/*
 * Writes in to out, with a NUL at its end, and returns the length. A text of more than size - 4 bytes is cut
 * between two characters and ends in "...". size is at least ESCAPE_LEAST: one escaped byte, "..." and NUL.
 */
#define ESCAPE_LEAST 8
size_t escape_text(char *out, size_t size, const char *in, size_t len);

#endif
