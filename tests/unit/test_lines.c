/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lines.h"

static char got[4000];

static void on_line(void *ctx, const char *line, size_t len)
{
	size_t n = strlen(got);

	assert_ptr_equal(ctx, got);
	snprintf(got + n, sizeof(got) - n, "[%.*s]", (int)len, line);
}

static void feed(struct lines *l, const char *text, size_t step)
{
	size_t len = strlen(text);

	got[0] = '\0';
	for (size_t i = 0; i < len; i += step)
		lines_add(l, text + i, len - i < step ? len - i : step, on_line, got);
}

static void lines_come_whole_however_the_bytes_come(void **state)
{
	(void)state;
	for (size_t step = 1; step < 20; step++) {
		struct lines l = { .len = 0 };

		feed(&l, "one\ntwo\r\n\n\r\nthree\nfo", step);
		assert_string_equal(got, "[one][two][three]");
		lines_end(&l, on_line, got);
		assert_string_equal(got, "[one][two][three][fo]");
		lines_end(&l, on_line, got);
		assert_string_equal(got, "[one][two][three][fo]");
	}
}

static void a_line_without_an_end_comes_in_pieces(void **state)
{
	struct lines l = { .len = 0 };
	char text[2 * LINES_MOST + 11];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	feed(&l, text, 77);
	assert_int_equal(strlen(got), 2 * (LINES_MOST + 2));
	lines_add(&l, "\n", 1, on_line, got);
	assert_string_equal(got + 2 * (LINES_MOST + 2), "[xxxxxxxxxx]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_whole_however_the_bytes_come),
		cmocka_unit_test(a_line_without_an_end_comes_in_pieces),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
