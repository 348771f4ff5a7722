/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsc_edit: line editing and history on a terminal, a key at a time, so that the caller's poll
 * loop never waits inside it. Without libedit edit_new gives NULL and lines are read plainly.
 */
#ifndef DTLSD_DTLSC_EDIT_H
#define DTLSD_DTLSC_EDIT_H

#include <stddef.h>

struct edit;

enum edit_event {
	EDIT_NONE, /* a key was taken, the line is not finished */
	EDIT_LINE, /* a line, without its newline */
	EDIT_END   /* ctrl-d on an empty line, or the terminal went away */
};

/* Puts the terminal in raw mode and shows the prompt. NULL: no libedit, or a terminal it cannot drive. */
struct edit *edit_new(void);
void edit_free(struct edit *edit); /* NULL is allowed; the terminal is as before */

/* To be called when standard input is readable. A line is valid until edit_next_line. */
enum edit_event edit_read(struct edit *edit, const char **line, size_t *len);
/* After EDIT_LINE: starts an empty line with a new prompt. */
void edit_next_line(struct edit *edit);

/* Around anything that is written to the terminal: takes prompt and half-typed line away, and back. */
void edit_hide(struct edit *edit);
void edit_show(struct edit *edit);

/* Around a stop of the process (ctrl-z): the shell's terminal mode, and ours again. */
void edit_suspend(struct edit *edit);
void edit_resume(struct edit *edit);

void edit_resize(struct edit *edit);

#endif
