/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * psk: the pre-shared keys of psktool's file as an immutable hashed table. Pure: text in, table out.
 *
 * A line is "identity:hexkey", split at the last colon, so an identity may hold colons and blanks. A line
 * "#hex:hexkey" is psktool's way to write an identity of any bytes, in hex; every other line that begins
 * with '#' is a comment, and blank lines are skipped. So "# alice:00ff" (with a blank) is always a comment.
 */
#ifndef DTLSD_PSK_H
#define DTLSD_PSK_H

#include <stddef.h>
#include <stdint.h>

#define PSK_IDENTITY_MAX 128 /* what GnuTLS accepts from a client */
#define PSK_KEY_MAX 256

struct psk_table;

/*
 * text is read only; name is the file's, for errors. The table owns copies of all it holds. NULL: err has
 * one sentence with file:line, cause and what to do (a key is never quoted in it).
 */
struct psk_table *psk_parse(const char *name, const char *text, size_t len, char *err, size_t err_size);
/* Wipes every key. NULL is fine. */
void psk_free(struct psk_table *t);

uint32_t psk_count(const struct psk_table *t);

/* The key of exactly these identity bytes, or NULL. Borrowed from the table. */
const uint8_t *psk_find(const struct psk_table *t, const void *identity, size_t len, size_t *key_len);

#endif
