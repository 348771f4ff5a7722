/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct scan {
	char *text;
	size_t len, at;
	unsigned line;
	unsigned depth; /* of braces */
	unsigned opened; /* line of the brace that depth 1 is in */
	struct conf_scan *out;
};

static int wrong(const struct scan *s, unsigned line, const char *what)
{
	*s->out = (struct conf_scan){ line, what };
	return -EINVAL;
}

/* A byte further, -1 at the end. */
static int next(struct scan *s)
{
	if (s->at == s->len)
		return -1;
	if (s->text[s->at] == '\n')
		s->line++;
	return (unsigned char)s->text[s->at++];
}

static int peek(const struct scan *s)
{
	return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

/*
 * What libconfuse reads in a way of its own: it stops inside the string at numbers that it does not know, and what
 * begins as a variable ends with the next brace, wherever that is.
 */
static int special(struct scan *s, int c, int quote)
{
	if (c == '\\' && quote != '\'' && peek(s) > 0 && strchr("0123456789x", peek(s)))
		return wrong(s, s->line, "a backslash before a number: double the backslash");
	if (c == '$' && quote != '\'' && peek(s) == '{')
		return wrong(s, s->line, "a ${: variables are not replaced; write the value as '…'");
	return 0;
}

/* Names and values come into the log as they are. */
static int check_control(const struct scan *s, int c)
{
	return (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 127 ?
	       wrong(s, s->line, "a control character: remove it") : 0;
}

static int skip_string(struct scan *s, int quote)
{
	unsigned line = s->line;

	for (;;) {
		int c = next(s), rc;

		if (c == quote)
			return 0;
		if (c < 0 || c == '\n')
			return wrong(s, line, "a string without an end: close it with the quote that it begins with");
		if (c == 0)
			return wrong(s, s->line, "a byte of value 0: this is no text file");
		rc = check_control(s, c);
		if (rc == 0)
			rc = special(s, c, quote);
		if (rc < 0)
			return rc;
		if (c == '\\' && check_control(s, peek(s)) == 0)
			next(s);
	}
}

static void blank_line(struct scan *s)
{
	while (s->at < s->len && s->text[s->at] != '\n')
		s->text[s->at++] = ' ';
}

static int blank_comment(struct scan *s)
{
	unsigned line = s->line;

	s->text[s->at - 1] = ' ';
	s->text[s->at++] = ' ';
	while (s->at < s->len) {
		bool end = s->text[s->at] == '*' && s->at + 1 < s->len && s->text[s->at + 1] == '/';

		if (s->text[s->at] == '\n')
			s->line++;
		else
			s->text[s->at] = ' ';
		s->at++;
		if (end) {
			s->text[s->at++] = ' ';
			return 0;
		}
	}
	return wrong(s, line, "a comment without an end: close it with */");
}

/* What is read last but blanks, before that place, which becomes its own. -1: nothing. */
static int before(const struct scan *s, size_t *at)
{
	while (*at > 0)
		if (!strchr(" \t\r\n", s->text[--*at]))
			return (unsigned char)s->text[*at];
	return -1;
}

/* That of a list in which there is nothing, which libconfuse takes for an option that is not given. */
static bool closes_nothing(const struct scan *s)
{
	size_t at = s->at - 1;

	return before(s, &at) == '{' && before(s, &at) == '=';
}

static int brace(struct scan *s, int c)
{
	if (c == '}' && closes_nothing(s))
		return wrong(s, s->line, "an empty list: put something in, or leave the option out");
	if (c == '{' && s->depth++ == 0)
		s->opened = s->line;
	if (c == '}' && s->depth-- == 0)
		return wrong(s, s->line, "a } without a {: remove it, or open the section before it");
	return 0;
}

/* One byte outside of strings and comments, or all of one that begins with it. */
static int step(struct scan *s, int c)
{
	switch (c) {
	case '"':
	case '\'':
		return skip_string(s, c);
	case '#':
		s->text[s->at - 1] = ' ';
		blank_line(s);
		return 0;
	case '/':
		if (peek(s) == '/') {
			s->text[s->at - 1] = ' ';
			blank_line(s);
		}
		return peek(s) == '*' ? blank_comment(s) : 0;
	case '{':
	case '}':
		return brace(s, c);
	case '*':
	case '+':
		return wrong(s, s->line, "a * or + outside of quotes: write the value as \"…\"");
	case '$':
		return special(s, c, 0);
	default:
		return check_control(s, c);
	}
}

int conf_scan(char *text, size_t len, struct conf_scan *out)
{
	struct scan s = { .text = text, .len = len, .line = 1, .out = out };
	int c, rc = 0;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark, as some editors write */
		memset(text, ' ', 3);
	while (rc == 0 && (c = next(&s)) >= 0)
		rc = step(&s, c);
	if (rc == 0 && s.depth > 0)
		rc = wrong(&s, s.opened, "a { without a }: close the section");
	return rc;
}

unsigned conf_scan_section(char *text, size_t len, unsigned nth)
{
	struct conf_scan ignored;
	struct scan s = { .text = text, .len = len, .line = 1, .out = &ignored };
	int c;

	while ((c = next(&s)) >= 0 && step(&s, c) == 0)
		if (c == '{' && s.depth == 1 && nth-- == 0)
			return s.opened;
	return 0;
}
