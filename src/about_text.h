/* SPDX-License-Identifier: BSD-2-Clause */
/* about_text: who a session's peer is, as environment for the processes of the handler exec. */
#ifndef DTLSD_ABOUT_TEXT_H
#define DTLSD_ABOUT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "session.h"

#define ABOUT_TEXT_MAX 4096

/*
 * Of a session that is being opened: texts NAME=VALUE, each with a NUL; what is not known is not there. Values are one
 * line of printable UTF-8: see escape.h. The length; *count: how many.
 */
size_t about_text(const struct session *s, uint64_t id, char out[static ABOUT_TEXT_MAX], unsigned *count);

#endif
