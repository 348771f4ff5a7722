/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsc_text: network bytes as text that is safe to show.
 *
 * What a server sends must not move the cursor, retitle the window or answer for the user, so a
 * terminal gets printable characters of its own locale only; the rest as \xNN or \uNNNN. Files and
 * pipes get the bytes as they came.
 */
#ifndef DTLSD_DTLSC_TEXT_H
#define DTLSD_DTLSC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Writes data as whole lines: a newline is added where the last line lacks one. With terminal,
 * unprintable characters are escaped; newlines and tabs pass, and CR LF is one newline.
 */
void text_write_lines(FILE *out, const char *data, size_t len, bool terminal);

/* Writes data within one line: as above for a terminal, newlines escaped too. */
void text_write_escaped(FILE *out, const char *data, size_t len);

#endif
