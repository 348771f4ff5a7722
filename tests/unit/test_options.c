/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "options.h"

static struct conf *conf;
static char err[600];

static enum options_verdict parse(const char *first, ...)
{
	char *argv[32] = { (char *)(uintptr_t)"dtlsd" };
	int argc = 1;
	va_list ap;

	va_start(ap, first);
	for (const char *a = first; a; a = va_arg(ap, const char *))
		argv[argc++] = (char *)(uintptr_t)a;
	va_end(ap);
	err[0] = '\0';
	conf_free(conf);
	conf = NULL;
	return options_parse(&conf, argc, argv, err, sizeof(err));
}

static void the_defaults_are_those_of_the_manual(void **state)
{
	const struct conf_service *s;

	(void)state;
	assert_int_equal(parse(NULL), OPTIONS_RUN);
	assert_int_equal(conf->service_count, 1);
	s = conf->services[0];
	assert_int_equal(s->listener_count, 2);
	assert_true(addr_is_wildcard(&s->listeners[0].addr) && addr_is_wildcard(&s->listeners[1].addr));
	assert_int_not_equal(s->listeners[0].addr.family, s->listeners[1].addr.family);
	assert_int_equal(s->listeners[0].addr.port, 4433);
	assert_string_equal(s->answer.handler, "command");
	assert_int_equal(s->verify_client, 0);
	assert_int_equal(conf->workers, 0);
	assert_int_equal(s->idle_timeout, 300);
	assert_int_equal(s->handshake_timeout, 30);
	assert_int_equal(conf->max_sessions, 100000);
	assert_int_equal(conf->max_handshakes, 1000);
	assert_int_equal(conf->max_sessions_per_address, 10000);
	assert_int_equal(conf->max_handshakes_per_address, 100);
	assert_int_equal(conf->ipv6_prefix, 64);
	assert_int_equal(conf->handshake_steps_per_turn, 1);
	assert_int_equal(conf->handshake_rate, 0);
	assert_int_equal(s->mtu, 1200);
	assert_int_equal(conf->cookie_lifetime, 60);
	assert_int_equal(conf->drain_time, 5);
	assert_int_equal(conf->hello_lane, 0);
	assert_false(conf->daemon || conf->syslog || conf->check);
	assert_null(conf->file);
	assert_null(conf->pid_file);
	assert_null(conf->cookie_secret);
}

static void each_kind_of_option_arrives(void **state)
{
	const struct conf_service *s;

	(void)state;
	assert_int_equal(parse("--handler", "echo", "--workers=3", "--verify-client", "required", "-vv", "-q", "--daemon",
			       "--pskpasswd", "f", "[::1]:5684", "127.0.0.1", NULL), OPTIONS_RUN);
	s = conf->services[0];
	assert_string_equal(s->answer.handler, "echo");
	assert_int_equal(conf->workers, 3);
	assert_int_equal(s->verify_client, 2);
	assert_int_equal(conf->verbose, 2);
	assert_int_equal(conf->quiet, 1);
	assert_true(conf->daemon);
	assert_string_equal(s->pskpasswd, "f");
	assert_int_equal(s->listener_count, 2);
	assert_int_equal(s->listeners[0].addr.port, 5684);
	assert_int_equal(s->listeners[1].addr.port, 4433);
}

static void help_and_version_are_verdicts(void **state)
{
	(void)state;
	assert_int_equal(parse("--help", NULL), OPTIONS_HELP);
	assert_int_equal(parse("-h", NULL), OPTIONS_HELP);
	assert_int_equal(parse("--version", NULL), OPTIONS_VERSION);
	assert_int_equal(parse("-V", NULL), OPTIONS_VERSION);
}

static void bad(const char *option, const char *value, const char *says)
{
	assert_int_equal(parse(option, value, NULL), OPTIONS_BAD);
	if (!strstr(err, says))
		fail_msg("'%s' does not say '%s'", err, says);
}

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	bad("--workers", "many", "--workers: 'many' is not a whole number from 0 to 256");
	bad("--workers", "257", "from 0 to 256");
	bad("--workers", "-1", "--workers: '-1'");
	bad("--workers", "1x", "'1x'");
	bad("--mtu", "227", "from 228 to 16384");
	bad("--mtu", "99999999999999999999", "--mtu");
	bad("--idle-timeout", "", "--idle-timeout: ''");
	bad("--verify-client", "perhaps", "'perhaps' is none of none|optional|required");
	bad("--verify-client", "opt", "'opt' is none of");
	bad("--no-such-option", NULL, "--no-such-option");
	bad("-x", NULL, "-x");
	bad("--handler", NULL, "--handler needs an argument");
	bad("127.0.0.1:99999", NULL, "99999");
	bad("127.0.0.1:1:2", NULL, "127.0.0.1:1:2");
	bad("127.0.0.1:4433", "127.0.0.1", "given twice");
}

static char path[] = "/tmp/dtlsd-options-XXXXXX";

static int write_file(void **state)
{
	static const char text[] = "drain-time = 9\npid-file = '/of/file'\nlog-level = info\n"
				   "service x { listen = 127.0.0.1:7 }\n";
	int fd;

	(void)state;
	strcpy(path + strlen(path) - 6, "XXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -1;
	return close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	conf_free(conf);
	conf = NULL;
	return unlink(path);
}

static void a_file_gives_the_services(void **state)
{
	(void)state;
	assert_int_equal(parse("--config", path, NULL), OPTIONS_RUN);
	assert_string_equal(conf->file, path);
	assert_int_equal(conf->service_count, 1);
	assert_string_equal(conf->services[0]->name, "x");
	assert_int_equal(conf->drain_time, 9);
	assert_int_equal(conf->max_sessions, 100000);
	assert_string_equal(conf->pid_file, "/of/file");
	assert_false(conf->check);
}

static void what_may_stand_beside_a_file_outweighs_it(void **state)
{
	(void)state;
	assert_int_equal(parse("-v", "--check", "--pid-file", "/of/line", "--config", path, "--syslog", NULL), OPTIONS_RUN);
	assert_string_equal(conf->pid_file, "/of/line");
	assert_true(conf->check && conf->syslog);
	assert_int_equal(conf->verbose, 1);
	assert_int_equal(conf->log_level, 3);
}

static void what_may_not_stand_beside_a_file_is_refused(void **state)
{
	(void)state;
	assert_int_equal(parse("--config", path, "--workers", "3", NULL), OPTIONS_BAD);
	assert_non_null(strstr(err, "--workers beside --config: write it into /tmp/dtlsd-options-"));
	assert_int_equal(parse("--handler", "echo", "--config", path, NULL), OPTIONS_BAD);
	assert_non_null(strstr(err, "--handler beside --config: write it into "));
	assert_int_equal(parse("--config", path, "*:4433", NULL), OPTIONS_BAD);
	assert_non_null(strstr(err, "*:4433 beside --config: write it into "));
	assert_non_null(strstr(err, "as: listen = \"*:4433\""));
}

static void a_bad_file_is_no_bad_command_line(void **state)
{
	(void)state;
	assert_int_equal(parse("--config", "/nonexistent/dtlsd.conf", NULL), OPTIONS_FAILED);
	assert_non_null(strstr(err, "/nonexistent/dtlsd.conf: cannot read the configuration: No such file"));
	assert_int_equal(parse("--config", path, "--help", NULL), OPTIONS_HELP);
	assert_int_equal(parse("--config", "", NULL), OPTIONS_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_defaults_are_those_of_the_manual),
		cmocka_unit_test(each_kind_of_option_arrives),
		cmocka_unit_test(help_and_version_are_verdicts),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test_setup_teardown(a_file_gives_the_services, write_file, remove_file),
		cmocka_unit_test_setup_teardown(what_may_stand_beside_a_file_outweighs_it, write_file, remove_file),
		cmocka_unit_test_setup_teardown(what_may_not_stand_beside_a_file_is_refused, write_file, remove_file),
		cmocka_unit_test_setup_teardown(a_bad_file_is_no_bad_command_line, write_file, remove_file),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
