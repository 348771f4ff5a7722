/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sources.h"

static void addresses_of_both_families_are_listed(void **state)
{
	static const char *const want[] = { "192.0.2.5:0", "[2001:db8::5]:0", "[2001:db8::6]:0" };
	char text[ADDR_TEXT_MAX], err[300];
	struct sources s;

	(void)state;
	assert_int_equal(sources_parse(&s, "192.0.2.5,[2001:db8::5], [2001:db8::6]", err, sizeof(err)), 0);
	assert_int_equal(s.count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(addr_format(&s.addr[i], text), want[i]);
}

static void mistakes_are_told_with_what_to_write(void **state)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{ "", "an address is missing; write addresses of this machine, as: 10.0.0.5" },
		{ "192.0.2.5,", "an address is missing" },
		{ "192.0.2.5,,192.0.2.6", "an address is missing" },
		{ "*", "is more than one address" },
		{ "0.0.0.0", "is more than one address" },
		{ "[::]", "is more than one address" },
		{ "192.0.2.5:77", "has a port, which the system chooses" },
		{ "192.0.2.5,192.0.2.5", "is given twice" },
		{ "192.0.2.256", "192.0.2.256" },
	};
	char err[300];
	struct sources s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = '\0';
		assert_true(sources_parse(&s, bad[i].text, err, sizeof(err)) < 0);
		if (!strstr(err, bad[i].part))
			fail_msg("%s: '%s' lacks '%s'", bad[i].text, err, bad[i].part);
	}
}

static void there_may_be_so_many(void **state)
{
	char list[300 * 12] = "192.0.2.1", err[300];
	struct sources s;

	(void)state;
	for (unsigned i = 2; i <= SOURCES_MOST; i++)
		sprintf(list + strlen(list), ",192.0.2.%u", i);
	assert_int_equal(sources_parse(&s, list, err, sizeof(err)), 0);
	assert_int_equal(s.count, SOURCES_MOST);
	strcat(list, ",192.0.2.99");
	assert_true(sources_parse(&s, list, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "more than 16 addresses"));
	for (unsigned i = 17; i < 256; i++)
		sprintf(list + strlen(list), ",192.0.2.%u", i);
	assert_true(sources_parse(&s, list, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "more than 16 addresses"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_both_families_are_listed),
		cmocka_unit_test(mistakes_are_told_with_what_to_write),
		cmocka_unit_test(there_may_be_so_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
