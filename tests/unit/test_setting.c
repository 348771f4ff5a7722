/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf.h"
#include "setting.h"

static void a_name_is_there_once_for_each_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < setting_count; i++)
		for (size_t j = 0; j < i; j++) {
			const struct setting *a = &settings[i], *b = &settings[j];

			if (strcmp(a->name, b->name) == 0)
				assert_false((a->where & b->where & SETTING_ON_LINE) ||
					     ((a->where & b->where & SETTING_IN_FILE) && a->scope == b->scope));
			if (a->letter)
				assert_int_not_equal(a->letter, b->letter);
		}
}

static void what_may_stand_beside_a_file_is_of_the_process(void **state)
{
	(void)state;
	for (size_t i = 0; i < setting_count; i++)
		if (settings[i].where & SETTING_BESIDE_FILE) {
			assert_int_equal(settings[i].scope, SETTING_OF_PROCESS);
			assert_true(settings[i].where & SETTING_ON_LINE);
		}
}

/* The help names the default in brackets. */
static void the_defaults_are_those_of_the_help(void **state)
{
	struct conf_service service = { .name = NULL };
	struct conf_route route = { .name = NULL };
	struct conf conf = { .file = NULL };
	void *const base[] = { [SETTING_OF_PROCESS] = &conf, [SETTING_OF_SERVICE] = &service, [SETTING_OF_ROUTE] = &route };

	(void)state;
	setting_presets(&conf, SETTING_OF_PROCESS);
	setting_presets(&service, SETTING_OF_SERVICE);
	setting_presets(&route, SETTING_OF_ROUTE);
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *s = &settings[i];
		char value[100], bracket[110];

		if (s->kind != SETTING_NUMBER && s->kind != SETTING_CHOICE)
			continue;
		setting_format(s, base[s->scope], value, sizeof(value));
		snprintf(bracket, sizeof(bracket), "(%s)", value);
		if (!strstr(s->help, bracket))
			fail_msg("the help of %s does not name its default %s", s->name, value);
	}
}

static void a_value_comes_back_as_it_was_given(void **state)
{
	static const struct {
		const char *name;
		enum setting_scope scope;
		const char *value;
	} some[] = {
		{ "workers", SETTING_OF_PROCESS, "17" },
		{ "hello-lane", SETTING_OF_PROCESS, "no" },
		{ "watch-files", SETTING_OF_PROCESS, "no" },
		{ "log-level", SETTING_OF_PROCESS, "error" },
		{ "log-level", SETTING_OF_PROCESS, "debug" },
		{ "syslog", SETTING_OF_PROCESS, "yes" },
		{ "pid-file", SETTING_OF_PROCESS, "/p" },
		{ "verify-client", SETTING_OF_SERVICE, "optional" },
		{ "handler", SETTING_OF_SERVICE, "echo" },
		{ "max-sessions", SETTING_OF_SERVICE, "0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		const struct setting *s = setting_find(some[i].name, some[i].scope, SETTING_IN_FILE);
		union {
			struct conf conf;
			struct conf_service service;
		} a = { .conf = { .file = NULL } }, b = a;
		char err[200], value[100];

		assert_non_null(s);
		assert_true(setting_equal(s, &a, &b));
		assert_int_equal(setting_apply(s, &a, some[i].value, err, sizeof(err)), 0);
		setting_format(s, &a, value, sizeof(value));
		assert_string_equal(value, some[i].value);
		assert_int_equal(setting_equal(s, &a, &b), strcmp(some[i].value, "0") == 0 || strcmp(value, "error") == 0);
	}
}

static void what_was_there_stays_when_a_value_is_bad(void **state)
{
	const struct setting *s = setting_find("workers", SETTING_OF_PROCESS, SETTING_IN_FILE);
	struct conf c = { .workers = 5 };
	char err[200];

	(void)state;
	assert_int_equal(setting_apply(s, &c, "9x", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "'9x' is not a whole number from 0 to 256");
	assert_int_equal(c.workers, 5);
	assert_null(setting_find("workers", SETTING_OF_SERVICE, SETTING_IN_FILE));
	assert_null(setting_find("verbose", SETTING_OF_PROCESS, SETTING_IN_FILE));
	assert_null(setting_find("log-level", SETTING_OF_PROCESS, SETTING_ON_LINE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_there_once_for_each_place),
		cmocka_unit_test(what_may_stand_beside_a_file_is_of_the_process),
		cmocka_unit_test(the_defaults_are_those_of_the_help),
		cmocka_unit_test(a_value_comes_back_as_it_was_given),
		cmocka_unit_test(what_was_there_stays_when_a_value_is_bad),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
