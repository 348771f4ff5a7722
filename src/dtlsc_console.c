/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsc_console.h"
#include "dtlsc_text.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOTE_MAX 2048

void console_init(struct console *c, bool verbose)
{
	memset(c, 0, sizeof(*c));
	c->verbose = verbose;
	c->input_is_terminal = isatty(STDIN_FILENO);
	c->output_is_terminal = isatty(STDOUT_FILENO);
}

void console_start(struct console *c)
{
	if (c->input_is_terminal && c->output_is_terminal)
		c->edit = edit_new();
}

void console_stop(struct console *c)
{
	if (c->edit == NULL)
		return;
	edit_hide(c->edit);
	edit_free(c->edit);
	c->edit = NULL;
}

/* Keeps what is unread, at the front. Of a line that fills the buffer only its length is kept. */
static void make_room(struct console *c)
{
	memmove(c->buffer, c->buffer + c->start, c->used - c->start);
	c->used -= c->start;
	c->start = 0;
	if (c->used > CONSOLE_LINE_MAX && memchr(c->buffer, '\n', c->used) == NULL) {
		c->skipped += c->used;
		c->used = 0;
	}
}

void console_fill(struct console *c)
{
	ssize_t n;

	if (c->edit != NULL) { /* libedit reads the terminal itself, one key at a time */
		c->key_ready = true;
		return;
	}
	make_room(c);
	assert(c->used < sizeof(c->buffer));
	n = read(STDIN_FILENO, c->buffer + c->used, sizeof(c->buffer) - c->used);
	if (n > 0)
		c->used += (size_t)n;
	else if (n == 0)
		c->ended = true;
	else if (errno != EINTR && errno != EAGAIN) {
		console_note(c, "standard input: %s: reading stops here", strerror(errno));
		c->ended = true;
	}
}

static enum console_event next_edited(struct console *c, const char **line, size_t *len)
{
	const char *text;

	if (!c->key_ready)
		return CONSOLE_NONE;
	c->key_ready = false;
	switch (edit_read(c->edit, &text, len)) {
	case EDIT_LINE:
		/* Copied, so that the next prompt stands before anything is said about this line. */
		*line = *len <= CONSOLE_LINE_MAX ? memcpy(c->buffer, text, *len) : NULL;
		c->line_number++;
		edit_next_line(c->edit);
		return *line != NULL ? CONSOLE_LINE : CONSOLE_LONG;
	case EDIT_END:
		console_stop(c);
		c->ended = true;
		return CONSOLE_END;
	case EDIT_NONE: break;
	}
	return CONSOLE_NONE;
}

enum console_event console_next(struct console *c, const char **line, size_t *len)
{
	const char *from = c->buffer + c->start;
	const char *newline;

	if (c->edit != NULL)
		return next_edited(c, line, len);
	newline = memchr(from, '\n', c->used - c->start);
	if (newline == NULL && !c->ended)
		return CONSOLE_NONE;
	if (newline == NULL && c->used == c->start && c->skipped == 0)
		return CONSOLE_END;

	/* A last line without its newline is a line. */
	*len = newline != NULL ? (size_t)(newline - from) : c->used - c->start;
	c->start += *len + (newline != NULL ? 1 : 0);
	c->line_number++;
	*line = from;
	if (*len + c->skipped <= CONSOLE_LINE_MAX)
		return CONSOLE_LINE;
	*len += c->skipped;
	*line = NULL;
	c->skipped = 0;
	return CONSOLE_LONG;
}

void console_print(struct console *c, const char *data, size_t len)
{
	if (c->edit != NULL)
		edit_hide(c->edit);
	text_write_lines(stdout, data, len, c->output_is_terminal);
	if (fflush(stdout) != 0 && !c->output_failed) {
		c->output_failed = true;
		console_note(c, "standard output: %s: what arrives cannot be shown", strerror(errno));
	}
	if (c->edit != NULL)
		edit_show(c->edit);
}

static void note(struct console *c, const char *text)
{
	if (c->edit != NULL)
		edit_hide(c->edit);
	fputs("dtlsc: ", stderr);
	text_write_escaped(stderr, text, strlen(text));
	putc('\n', stderr);
	if (c->edit != NULL)
		edit_show(c->edit);
}

void console_note(struct console *c, const char *format, ...)
{
	char text[NOTE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	note(c, text);
}

void console_detail(struct console *c, const char *format, ...)
{
	char text[NOTE_MAX];
	va_list args;

	if (!c->verbose)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	note(c, text);
}
