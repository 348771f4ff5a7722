/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf.h"
#include "conf_diff.h"
#include "conf_file.h"
#include "setting.h"

static char said[4000];

static void say(void *ctx, enum conf_difference what, const char *line)
{
	size_t n = strlen(said);

	assert_ptr_equal(ctx, said);
	snprintf(said + n, sizeof(said) - n, "%s%s\n", what == CONF_AT_START ? "! " : "", line);
}

static struct conf *make(const char *text)
{
	struct conf *c = conf_new();
	char err[300];

	setting_presets(c, SETTING_OF_PROCESS);
	if (conf_file_parse(c, "x.conf", text, strlen(text), NULL, NULL, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	return c;
}

static void differ(const char *from, const char *to, const char *lines)
{
	struct conf *a = make(from), *b = make(to);

	said[0] = '\0';
	conf_diff(a, b, say, said);
	assert_string_equal(said, lines);
	conf_free(a);
	conf_free(b);
}

#define A "service a { listen = 127.0.0.1:1 }\n"

static void what_is_the_same_is_not_said(void **state)
{
	(void)state;
	differ("", "", "");
	differ("workers = 2 service a { mtu = 1200 listen = '*:1' }", "service a { listen = { '[::]:1', 0.0.0.0:1 } } workers=2",
	       "");
}

static void settings_are_said_with_both_values(void **state)
{
	(void)state;
	differ("drain-time = 3 " A, "max-sessions = 7 log-level = info service a { listen = 127.0.0.1:1 idle-timeout = 60 "
	       "verify-client = optional pskpasswd = '/k' }",
	       "max-sessions 100000 -> 7\ndrain-time 3 -> 5\nlog-level notice -> info\n"
	       "service a: verify-client none -> optional\nservice a: pskpasswd none -> /k\n"
	       "service a: idle-timeout 300 -> 60\n");
}

static void services_and_listeners_come_and_go(void **state)
{
	(void)state;
	differ(A "service b { listen = 127.0.0.1:2 }",
	       "service a { listen = { 127.0.0.1:1, '[::1]:5' } } service c { listen = 127.0.0.1:2 }",
	       "service b: removed\nservice a: listen + [::1]:5\nservice c: added\n");
	differ("service a { listen = { 127.0.0.1:1, 127.0.0.1:2 } }", A, "service a: listen - 127.0.0.1:2\n");
}

static void routes_are_told_by_their_names(void **state)
{
	(void)state;
#define R(routes) "service a { listen = 127.0.0.1:1 " routes " }"
	differ(R("route x { sni = a deny = yes } route y { handler = echo }"),
	       R("route x { sni = b handler = echo } route z { handler = echo }"),
	       "service a: route y: removed\nservice a: route x: sni a -> b\nservice a: route x: deny yes -> no\n"
	       "service a: route x: handler none -> echo\nservice a: route z: added\n");
	differ(R("route x { deny = yes } route y { deny = yes }"), R("route y { deny = yes } route x { deny = yes }"),
	       "service a: its routes are in another order\n");
	differ(R("route x { deny = yes }"), R("route x { deny = yes }"), "");
#undef R
}

static void what_only_a_start_changes_is_marked(void **state)
{
	(void)state;
	differ("", "workers = 2 ipv6-prefix = 48 hello-lane = no syslog = yes pid-file = '/p' cookie-secret = '/s' "
	       "cookie-lifetime = 5",
	       "! workers 0 -> 2\n! ipv6-prefix 64 -> 48\n! cookie-lifetime 60 -> 5\n! cookie-secret none -> /s\n"
	       "! hello-lane yes -> no\n! pid-file none -> /p\n! syslog no -> yes\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_the_same_is_not_said),
		cmocka_unit_test(settings_are_said_with_both_values),
		cmocka_unit_test(services_and_listeners_come_and_go),
		cmocka_unit_test(routes_are_told_by_their_names),
		cmocka_unit_test(what_only_a_start_changes_is_marked),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
