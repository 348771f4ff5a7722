/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_progress.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_COLUMNS     79 /* one less than a terminal has: the last would wrap */
#define PROGRESS_INTERVAL_MS 200

void progress_init(struct progress *p, FILE *out)
{
	memset(p, 0, sizeof(*p));
	p->out = out;
	p->terminal = out != NULL && isatty(fileno(out));
}

/* The text over what was there; a shorter one leaves blanks behind it. */
static void draw(struct progress *p, const char *text)
{
	unsigned len = (unsigned)strlen(text);

	fprintf(p->out, "\r%s%*s", text, p->width > len ? (int)(p->width - len) : 0, "");
	p->width = len;
}

void progress_show(struct progress *p, uint64_t now_ms, const char *format, ...)
{
	char text[PROGRESS_COLUMNS + 1];
	va_list args;

	if (!p->terminal || now_ms < p->next_ms)
		return;
	p->next_ms = now_ms + PROGRESS_INTERVAL_MS;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	draw(p, text);
	fflush(p->out);
}

void progress_clear(struct progress *p)
{
	if (p->width == 0)
		return;
	draw(p, "");
	putc('\r', p->out);
	fflush(p->out);
}
