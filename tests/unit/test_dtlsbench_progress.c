/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dtlsbench_progress.h"

struct screen {
	FILE *out;
	char *text;
	size_t len;
	struct progress progress;
};

static void open_screen(struct screen *s, bool terminal)
{
	s->out = open_memstream(&s->text, &s->len);
	assert_non_null(s->out);
	progress_init(&s->progress, s->out);
	assert_false(s->progress.terminal); /* it is none */
	s->progress.terminal = terminal;
}

static void assert_screen(struct screen *s, const char *text)
{
	fclose(s->out);
	assert_string_equal(s->text, text);
	free(s->text);
}

static void the_line_is_drawn_over_itself(void **state)
{
	struct screen s;

	(void)state;
	open_screen(&s, true);
	progress_show(&s.progress, 1000, "%d sessions", 1000);
	progress_show(&s.progress, 2000, "%d sessions", 20);
	progress_clear(&s.progress);
	progress_clear(&s.progress);
	assert_screen(&s, "\r1000 sessions\r20 sessions  \r           \r");
}

static void it_is_drawn_five_times_a_second_at_most(void **state)
{
	struct screen s;
	unsigned i, drawn = 0;
	char *at;

	(void)state;
	open_screen(&s, true);
	for (i = 0; i < 1000; i++)
		progress_show(&s.progress, 5000 + i, "%u", i);
	fflush(s.out);
	for (at = s.text; (at = strchr(at, '\r')) != NULL; at++)
		drawn++;
	assert_int_equal(drawn, 5);
	assert_screen(&s, "\r0\r200\r400\r600\r800");
}

static void without_a_terminal_nothing_is_written(void **state)
{
	struct screen s;

	(void)state;
	open_screen(&s, false);
	progress_show(&s.progress, 1000, "%d sessions", 1000);
	progress_clear(&s.progress);
	assert_screen(&s, "");
	progress_init(&s.progress, NULL);
	progress_show(&s.progress, 1000, "%d sessions", 1000);
	progress_clear(&s.progress);
}

static void a_long_line_does_not_wrap(void **state)
{
	struct screen s;

	(void)state;
	open_screen(&s, true);
	progress_show(&s.progress, 1000, "%0200d", 0);
	fflush(s.out);
	assert_int_equal(s.len, 80);
	fclose(s.out);
	free(s.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_line_is_drawn_over_itself),
		cmocka_unit_test(it_is_drawn_five_times_a_second_at_most),
		cmocka_unit_test(without_a_terminal_nothing_is_written),
		cmocka_unit_test(a_long_line_does_not_wrap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
