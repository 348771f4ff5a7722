/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"

static struct options o;
static char err[256];

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
	return options_parse(&o, argc, argv, err, sizeof(err));
}

static void the_defaults_are_those_of_the_manual(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL), OPTIONS_RUN);
	assert_int_equal(o.listen_count, 2);
	assert_true(addr_is_wildcard(&o.listen[0]) && addr_is_wildcard(&o.listen[1]));
	assert_int_not_equal(o.listen[0].family, o.listen[1].family);
	assert_int_equal(o.listen[0].port, 4433);
	assert_string_equal(o.handler, "command");
	assert_int_equal(o.verify_client, 0);
	assert_int_equal(o.workers, 0);
	assert_int_equal(o.idle_timeout, 300);
	assert_int_equal(o.handshake_timeout, 30);
	assert_int_equal(o.max_sessions, 100000);
	assert_int_equal(o.max_handshakes, 1000);
	assert_int_equal(o.max_sessions_per_address, 10000);
	assert_int_equal(o.max_handshakes_per_address, 100);
	assert_int_equal(o.ipv6_prefix, 64);
	assert_int_equal(o.handshake_steps_per_turn, 1);
	assert_int_equal(o.handshake_rate, 0);
	assert_int_equal(o.mtu, 1200);
	assert_int_equal(o.cookie_lifetime, 60);
	assert_int_equal(o.drain_time, 5);
	assert_int_equal(o.hello_lane, 0);
	assert_false(o.daemon || o.syslog);
	assert_null(o.pid_file);
	assert_null(o.cookie_secret);
}

static void each_kind_of_option_arrives(void **state)
{
	(void)state;
	assert_int_equal(parse("--handler", "echo", "--workers=3", "--verify-client", "required", "-vv", "-q", "--daemon",
			       "--pskpasswd", "f", "[::1]:5684", "127.0.0.1", NULL), OPTIONS_RUN);
	assert_string_equal(o.handler, "echo");
	assert_int_equal(o.workers, 3);
	assert_int_equal(o.verify_client, 2);
	assert_int_equal(o.verbose, 2);
	assert_int_equal(o.quiet, 1);
	assert_true(o.daemon);
	assert_string_equal(o.pskpasswd, "f");
	assert_int_equal(o.listen_count, 2);
	assert_int_equal(o.listen[0].port, 5684);
	assert_int_equal(o.listen[1].port, 4433);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_defaults_are_those_of_the_manual),
		cmocka_unit_test(each_kind_of_option_arrives),
		cmocka_unit_test(help_and_version_are_verdicts),
		cmocka_unit_test(what_is_wrong_is_named),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
