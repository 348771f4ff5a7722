/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf.h"
#include "conf_load.h"
#include "setting.h"

static char top[] = "/tmp/dtlsd-conf-XXXXXX";
static struct conf *conf;
static char err[700];

static const char *path_of(const char *name)
{
	static char path[4][200];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", top, name);
	return p;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static int load(void)
{
	conf_free(conf);
	conf = conf_new();
	assert_non_null(conf);
	setting_presets(conf, SETTING_OF_PROCESS);
	err[0] = '\0';
	return conf_load(conf, path_of("main.conf"), err, sizeof(err));
}

/* what: with %s for the directory */
static void refused(int rc, const char *what)
{
	char text[700];

	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wformat-nonliteral\"")
	snprintf(text, sizeof(text), what, top, top, top);
	_Pragma("GCC diagnostic pop")
	assert_int_equal(load(), rc);
	if (strncmp(err, text, strlen(text)) != 0)
		fail_msg("it says '%s', not '%s'", err, text);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(top + strlen(top) - 6, "XXXXXX");
	return mkdtemp(top) && mkdir(path_of("conf.d"), 0700) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "main.conf", "a.conf", "b.conf", "conf.d/1.conf", "conf.d/2.conf",
					     "conf.d/3.txt", "conf.d/.4.conf", "link.conf", "conf.d" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (unlink(path_of(names[i])) < 0)
			rmdir(path_of(names[i]));
	conf_free(conf);
	conf = NULL;
	return rmdir(top);
}

static void a_directory_gives_its_files_in_order(void **state)
{
	(void)state;
	put("main.conf", "include = conf.d\nworkers = 1\n");
	put("conf.d/2.conf", "service two { x509certfile = c.pem }\n");
	put("conf.d/1.conf", "service one { }\n");
	put("conf.d/3.txt", "nonsense\n");
	put("conf.d/.4.conf", "nonsense\n");
	assert_int_equal(load(), 0);
	assert_int_equal(conf->service_count, 2);
	assert_string_equal(conf->services[0]->name, "one");
	assert_string_equal(conf->services[1]->name, "two");
	assert_string_equal(conf->services[1]->x509certfile, path_of("conf.d/c.pem"));
}

static void a_pattern_gives_what_matches_and_may_give_nothing(void **state)
{
	(void)state;
	put("main.conf", "include = 'conf.d/[12].co*'\ninclude = 'no/*.conf'\ninclude = 'conf.d/x*'\n");
	put("conf.d/2.conf", "workers = 4\n");
	put("conf.d/3.txt", "nonsense\n");
	assert_int_equal(load(), 0);
	assert_int_equal(conf->workers, 4);
}

static void includes_nest_to_any_depth_relative_to_their_file(void **state)
{
	(void)state;
	put("main.conf", "include = conf.d/1.conf\n");
	put("conf.d/1.conf", "include = 2.conf\n");
	put("conf.d/2.conf", "include = ../a.conf\n");
	put("a.conf", "service deep { }\n");
	assert_int_equal(load(), 0);
	assert_string_equal(conf->services[0]->name, "deep");
}

static void loops_and_doubles_are_found_under_any_name(void **state)
{
	(void)state;
	put("main.conf", "\ninclude = a.conf\n");
	put("a.conf", "include = main.conf\n");
	refused(-ELOOP, "%s/a.conf:1: include: %s/main.conf is the file that all began with: leave it out");
	put("a.conf", "include = b.conf\n");
	put("b.conf", "workers = 1\n\ninclude = a.conf\n");
	refused(-ELOOP, "%s/b.conf:3: include: %s/a.conf is included already, at %s/main.conf:2: leave one of them out");
	put("a.conf", "include = conf.d/../link.conf\ninclude = b.conf\n");
	put("b.conf", "");
	assert_int_equal(symlink("b.conf", path_of("link.conf")), 0);
	refused(-ELOOP, "%s/a.conf:2: include: %s/b.conf is included already, at %s/a.conf:1: leave one of them out");
}

static void what_cannot_be_read_is_told_with_the_place_of_its_include(void **state)
{
	char *large = malloc(CONF_LOAD_SIZE_MOST + 2);

	(void)state;
	refused(-ENOENT, "%s/main.conf: cannot read the configuration: No such file or directory; check the path");
	put("main.conf", "\n\ninclude = none.conf\n");
	refused(-ENOENT, "%s/main.conf:3: %s/none.conf: cannot read the configuration: No such file or directory");
	put("main.conf", "include = conf.d\n");
	assert_int_equal(mkdir(path_of("conf.d/1.conf"), 0700), 0);
	refused(-EISDIR, "%s/main.conf:1: %s/conf.d/1.conf: cannot read the configuration: Is a directory");
	assert_non_null(large);
	memset(large, ' ', CONF_LOAD_SIZE_MOST + 1);
	large[CONF_LOAD_SIZE_MOST + 1] = '\0';
	put("main.conf", large + 1);
	assert_int_equal(load(), 0);
	put("main.conf", large);
	refused(-EFBIG, "%s/main.conf: cannot read the configuration: File too large");
	free(large);
}

static void an_error_in_an_included_file_names_that_file(void **state)
{
	(void)state;
	put("main.conf", "include = a.conf\n");
	put("a.conf", "workers = 1\nwrkers = 1\n");
	refused(-EINVAL, "%s/a.conf:2: there is no option 'wrkers'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_directory_gives_its_files_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pattern_gives_what_matches_and_may_give_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(includes_nest_to_any_depth_relative_to_their_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(loops_and_doubles_are_found_under_any_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_is_told_with_the_place_of_its_include, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(an_error_in_an_included_file_names_that_file, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
