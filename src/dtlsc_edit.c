/* SPDX-License-Identifier: BSD-2-Clause */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "dtlsc_edit.h"

#ifdef HAVE_LIBEDIT

#include <histedit.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define PROMPT "> "
#define PROMPT_WIDTH 2
#define HISTORY_LINES 500

struct edit {
	EditLine *el;
	History *history;
	bool ended;
};

static char *edit_prompt(EditLine *el)
{
	static char prompt[] = PROMPT;

	(void)el;
	return prompt;
}

/* ctrl-d: the end on an empty line, else it deletes the character under the cursor. */
static unsigned char edit_end_or_delete(EditLine *el, int key)
{
	struct edit *edit = NULL;
	const LineInfo *line = el_line(el);

	(void)key;
	el_get(el, EL_CLIENTDATA, &edit);
	if (line->buffer == line->lastchar) {
		edit->ended = true;
		return CC_NORM;
	}
	if (line->cursor == line->lastchar)
		return CC_ERROR;
	el_cursor(el, 1);
	el_deletestr(el, 1);
	return CC_REFRESH;
}

/* TERM says what the terminal can do; without it, or with "dumb", nothing may be redrawn. */
static bool terminal_can_edit(void)
{
	const char *term = getenv("TERM");

	return term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

struct edit *edit_new(void)
{
	struct edit *edit;
	HistEvent event;

	if (!terminal_can_edit())
		return NULL;
	edit = calloc(1, sizeof(*edit));
	if (edit == NULL)
		return NULL;
	edit->el = el_init("dtlsc", stdin, stdout, stderr);
	edit->history = history_init();
	if (edit->el == NULL || edit->history == NULL) {
		edit_free(edit);
		return NULL;
	}
	history(edit->history, &event, H_SETSIZE, HISTORY_LINES);
	history(edit->history, &event, H_SETUNIQUE, 1);
	el_set(edit->el, EL_CLIENTDATA, edit);
	el_set(edit->el, EL_PROMPT, edit_prompt);
	el_set(edit->el, EL_EDITOR, "emacs");
	el_set(edit->el, EL_HIST, history, edit->history);
	/* The wide form borrows the names; the narrow one copies them and never frees the copies. */
	el_wset(edit->el, EL_ADDFN, L"dtlsc-end-or-delete", L"End the conversation, or delete a character",
		edit_end_or_delete);
	el_set(edit->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_source(edit->el, NULL);
	el_set(edit->el, EL_BIND, "^D", "dtlsc-end-or-delete", NULL);
	el_set(edit->el, EL_UNBUFFERED, 1);
	return edit;
}

void edit_free(struct edit *edit)
{
	if (edit == NULL)
		return;
	if (edit->el != NULL) {
		el_set(edit->el, EL_UNBUFFERED, 0);
		el_end(edit->el);
	}
	if (edit->history != NULL)
		history_end(edit->history);
	free(edit);
}

enum edit_event edit_read(struct edit *edit, const char **line, size_t *len)
{
	int count = 0;
	const char *text = el_gets(edit->el, &count);
	HistEvent event;

	if (edit->ended)
		return EDIT_END;
	if (text == NULL)
		return count < 0 ? EDIT_END : EDIT_NONE;
	if (count <= 0 || (text[count - 1] != '\n' && text[count - 1] != '\r'))
		return EDIT_NONE;
	if (count > 1)
		history(edit->history, &event, H_ENTER, text);
	*line = text;
	*len = (size_t)count - 1;
	return EDIT_LINE;
}

void edit_next_line(struct edit *edit)
{
	/* libedit empties its line when it is prepared anew. */
	el_set(edit->el, EL_UNBUFFERED, 0);
	el_set(edit->el, EL_UNBUFFERED, 1);
}

/* Columns that the text takes as libedit shows it: control characters are two, as in ^A. */
static size_t shown_width(const char *text, size_t len)
{
	size_t width = PROMPT_WIDTH;
	size_t i = 0;

	while (i < len) {
		mbstate_t state = {0};
		wchar_t c;
		size_t n = mbrtowc(&c, text + i, len - i, &state);
		int columns = 2;

		if (n == 0 || n > len - i)
			n = 1;
		else
			columns = wcwidth(c);
		width += columns < 0 ? 2 : (size_t)columns;
		i += n;
	}
	return width;
}

void edit_hide(struct edit *edit)
{
	const LineInfo *line = el_line(edit->el);
	size_t width = shown_width(line->buffer, (size_t)(line->cursor - line->buffer));
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		size.ws_col = 80;
	if (width >= size.ws_col)
		fprintf(stdout, "\033[%zuA", width / size.ws_col);
	fputs("\r\033[J", stdout);
	fflush(stdout);
}

void edit_show(struct edit *edit)
{
	el_set(edit->el, EL_REFRESH);
}

void edit_suspend(struct edit *edit)
{
	edit_hide(edit);
	el_set(edit->el, EL_PREP_TERM, 0);
}

void edit_resume(struct edit *edit)
{
	el_set(edit->el, EL_PREP_TERM, 1);
	edit_show(edit);
}

void edit_resize(struct edit *edit)
{
	el_resize(edit->el);
}

#else /* !HAVE_LIBEDIT */

struct edit *edit_new(void)
{
	return NULL;
}

void edit_free(struct edit *edit)
{
	(void)edit;
}

enum edit_event edit_read(struct edit *edit, const char **line, size_t *len)
{
	(void)edit;
	(void)line;
	(void)len;
	return EDIT_END;
}

void edit_next_line(struct edit *edit)
{
	(void)edit;
}

void edit_hide(struct edit *edit)
{
	(void)edit;
}

void edit_show(struct edit *edit)
{
	(void)edit;
}

void edit_suspend(struct edit *edit)
{
	(void)edit;
}

void edit_resume(struct edit *edit)
{
	(void)edit;
}

void edit_resize(struct edit *edit)
{
	(void)edit;
}

#endif
