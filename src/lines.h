/* SPDX-License-Identifier: BSD-2-Clause */
/* lines: cuts a stream of bytes into lines of bounded length; a longer one comes in pieces. Pure. */
#ifndef DTLSD_LINES_H
#define DTLSD_LINES_H

#include <stddef.h>

#define LINES_MOST 500

struct lines { /* begins all zero */
	size_t len;
	char text[LINES_MOST];
};

typedef void lines_call(void *ctx, const char *line, size_t len); /* without its end; never an empty one */

void lines_add(struct lines *l, const char *data, size_t len, lines_call *call, void *ctx);
/* The stream is over: what is left is a line. */
void lines_end(struct lines *l, lines_call *call, void *ctx);

#endif
