/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsc_console: where lines come from and where everything is shown.
 *
 * On a terminal lines are edited and what arrives is printed above the half-typed line at once;
 * from a pipe or file lines are read as they are. Notes and errors go to standard error.
 */
#ifndef DTLSD_DTLSC_CONSOLE_H
#define DTLSD_DTLSC_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "dtlsc_edit.h"
#include "wire.h"

/* Long enough for the largest record there is, so a longer line can never be sent. */
#define CONSOLE_LINE_MAX DTLS_PLAINTEXT_MAX

struct console {
	bool verbose;
	bool input_is_terminal;
	bool output_is_terminal;
	bool output_failed; /* standard output took no more: said once */
	bool ended;         /* no more input will be read */
	bool key_ready;     /* a key waits for libedit */
	struct edit *edit;  /* NULL: plain lines */
	unsigned long line_number;
	size_t start; /* plain lines: buffer[start..used) is unread input */
	size_t used;
	size_t skipped; /* bytes dropped of a line that is too long for the buffer */
	char buffer[2 * (CONSOLE_LINE_MAX + 1)];
};

enum console_event {
	CONSOLE_NONE, /* no whole line yet */
	CONSOLE_LINE,
	CONSOLE_LONG, /* a line of len bytes that no record can hold; line is NULL */
	CONSOLE_END   /* ctrl-d, end of file; once only */
};

void console_init(struct console *console, bool verbose);
/* From here on lines are wanted: shows the prompt on a terminal. */
void console_start(struct console *console);
void console_stop(struct console *console);

/* When standard input is readable and console_next has nothing more. */
void console_fill(struct console *console);
/* The next line, without its newline, valid until the next console_fill. */
enum console_event console_next(struct console *console, const char **line, size_t *len);

/* What arrived, to standard output. */
void console_print(struct console *console, const char *data, size_t len);
/* "dtlsc: ..." to standard error; what it quotes may come from the network. */
void console_note(struct console *console, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, under --verbose only. */
void console_detail(struct console *console, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
