/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unix_name.h"

static void refused(const char *name, const char *what)
{
	char err[300] = "";

	assert_int_equal(unix_name_check(name, err, sizeof(err)), -EINVAL);
	if (!strstr(err, what))
		fail_msg("of '%s' it says '%s', not '%s'", name, err, what);
}

static void names_are_absolute_paths_or_abstract_and_fit(void **state)
{
	char longest[UNIX_NAME_MOST + 2] = "/", err[300];

	(void)state;
	assert_int_equal(unix_name_check("/a", err, sizeof(err)), 0);
	assert_int_equal(unix_name_check("@a", err, sizeof(err)), 0);
	refused("", "\"unix:\": an absolute path belongs there");
	refused("/", "an absolute path belongs there");
	refused("@", "an absolute path belongs there");
	refused("run/a", "\"unix:run/a\": an absolute path belongs there, or @name");
	memset(longest + 1, 'x', UNIX_NAME_MOST - 1);
	assert_int_equal(unix_name_check(longest, err, sizeof(err)), 0);
	longest[UNIX_NAME_MOST] = 'x';
	refused(longest, "a socket's path has at most 107 bytes");
}

static void the_kernel_gets_paths_with_their_nul_and_abstract_names_without(void **state)
{
	const socklen_t at = offsetof(struct sockaddr_un, sun_path);
	char longest[UNIX_NAME_MOST + 1] = "/";
	struct sockaddr_un un;

	(void)state;
	assert_int_equal(unix_name_to_sockaddr("/run/a", &un), at + 7);
	assert_int_equal(un.sun_family, AF_UNIX);
	assert_string_equal(un.sun_path, "/run/a");
	assert_int_equal(unix_name_to_sockaddr("@bc", &un), at + 3);
	assert_memory_equal(un.sun_path, "\0bc", 3);
	memset(longest + 1, 'x', UNIX_NAME_MOST - 1);
	assert_int_equal(unix_name_to_sockaddr(longest, &un), sizeof(un));
	assert_string_equal(un.sun_path, longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_absolute_paths_or_abstract_and_fit),
		cmocka_unit_test(the_kernel_gets_paths_with_their_nul_and_abstract_names_without),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
