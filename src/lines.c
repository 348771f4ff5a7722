/* SPDX-License-Identifier: BSD-2-Clause */
#include "lines.h"

void lines_end(struct lines *l, lines_call *call, void *ctx)
{
	size_t len = l->len;

	l->len = 0;
	if (len > 0 && l->text[len - 1] == '\r')
		len--;
	if (len > 0)
		call(ctx, l->text, len);
}

void lines_add(struct lines *l, const char *data, size_t len, lines_call *call, void *ctx)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			lines_end(l, call, ctx);
			continue;
		}
		if (l->len == LINES_MOST)
			lines_end(l, call, ctx);
		l->text[l->len++] = data[i];
	}
}
