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

#include "words.h"

static void splits(const char *text, unsigned count, const char *const *want)
{
	struct words w;

	assert_int_equal(words_split(&w, text), 0);
	assert_int_equal(w.count, count);
	for (unsigned i = 0; i < count; i++)
		assert_string_equal(w.word[i], want[i]);
	words_free(&w);
	assert_int_equal(w.count, 0);
}

static void blanks_part_words_and_quotes_hold_them_together(void **state)
{
	(void)state;
	splits("", 0, NULL);
	splits(" \t\n", 0, NULL);
	splits("/bin/x", 1, (const char *[]){ "/bin/x" });
	splits("  /bin/x -a\t\"two words\" \"\" b ", 5, (const char *[]){ "/bin/x", "-a", "two words", "", "b" });
	splits("A=\"b c\"d", 1, (const char *[]){ "A=b cd" });
	splits("\\\"a\\\\ \"\\\"\" $x 'y' *", 5, (const char *[]){ "\"a\\", "\"", "$x", "'y'", "*" });
	splits("a\\b\\", 1, (const char *[]){ "a\\b\\" });
}

static void what_has_no_end_or_is_too_much_is_refused(void **state)
{
	char many[2 * WORDS_MOST + 3] = "";
	struct words w;

	(void)state;
	assert_int_equal(words_split(&w, "a \"b"), -EINVAL);
	words_free(&w);
	assert_int_equal(words_split(&w, "a\"\\\""), -EINVAL);
	words_free(&w);
	for (unsigned i = 0; i < WORDS_MOST; i++)
		strcat(many, "x ");
	assert_int_equal(words_split(&w, many), 0);
	assert_int_equal(w.count, WORDS_MOST);
	assert_int_equal(w.size, sizeof("x") * WORDS_MOST);
	words_free(&w);
	strcat(many, "x");
	assert_int_equal(words_split(&w, many), -E2BIG);
	words_free(&w);
}

static void what_was_joined_splits_into_the_same_words(void **state)
{
	static const char letters[] = "ab \"\\\t\n'=";

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 1000; round++) {
		char word[8][12] = { "" };
		char *list = NULL;
		unsigned n = (unsigned)rand() % 8 + 1;
		struct words w;

		for (unsigned i = 0; i < n; i++) {
			char *more;

			for (unsigned j = 0, len = (unsigned)rand() % 11; j < len; j++)
				word[i][j] = letters[(unsigned)rand() % (sizeof(letters) - 1)];
			more = words_join(list, word[i]);
			assert_non_null(more);
			free(list);
			list = more;
		}
		assert_int_equal(words_split(&w, list), 0);
		assert_int_equal(w.count, n);
		for (unsigned i = 0; i < n; i++)
			assert_string_equal(w.word[i], word[i]);
		words_free(&w);
		free(list);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blanks_part_words_and_quotes_hold_them_together),
		cmocka_unit_test(what_has_no_end_or_is_too_much_is_refused),
		cmocka_unit_test(what_was_joined_splits_into_the_same_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
