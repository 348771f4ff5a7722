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
#include "conf_file.h"
#include "setting.h"

#define PATH "etc/dtlsd.conf"

static struct conf *conf;
static char err[600];
static char included[200];

static int on_include(void *ctx, const char *what, struct conf_place place)
{
	size_t n = strlen(included);

	(void)ctx;
	snprintf(included + n, sizeof(included) - n, "%s:%u:%s ", place.file, place.line, what);
	return 0;
}

static int read_text(const char *text)
{
	conf_free(conf);
	conf = conf_new();
	assert_non_null(conf);
	setting_presets(conf, SETTING_OF_PROCESS);
	err[0] = included[0] = '\0';
	return conf_file_parse(conf, PATH, text, strlen(text), on_include, NULL, err, sizeof(err));
}

static int tear_down(void **state)
{
	(void)state;
	conf_free(conf);
	conf = NULL;
	return 0;
}

static void words_come_as_a_list_and_are_kept_apart(void **state)
{
	const struct conf_service *s;

	(void)state;
	assert_int_equal(read_text("service x {\n"
				   "	command = { \"/bin/x\", \"two words\",\n\t\t'say \"it\"', \"\" }\n"
				   "	exec-environment = TZ\n"
				   "	exec-mode = service\n"
				   "	route r { command = \"/bin/y z\" }\n"
				   "}\n"), 0);
	s = conf->services[0];
	assert_string_equal(s->answer.command, "/bin/x \"two words\" \"say \\\"it\\\"\" \"\"");
	assert_string_equal(s->exec_environment, "TZ");
	assert_int_equal(s->answer.exec_mode, 1);
	assert_string_equal(s->routes[0].answer.command, "\"/bin/y z\""); /* one word */
	assert_int_equal(read_text("service x {\n	command = { \"/bin/x\" }\n	command = { \"/bin/y\" }\n}\n"),
			 -EINVAL);
	assert_string_equal(err, PATH ":3: command is given already at " PATH ":2: leave one of them out");
}

static void every_setting_arrives(void **state)
{
	const struct conf_service *s;

	(void)state;
	assert_int_equal(read_text("# a comment\n"
				   "workers = 2\n"
				   "max-sessions = 500 // another\n"
				   "/* one of\n   two lines */ log-level = debug\n"
				   "hello-lane = no\nsyslog = yes\npid-file = \"/run/d.pid\"\n"
				   "service coap {\n"
				   "	listen = { \"127.0.0.1:5684\", '[::1]:5684' }\n"
				   "	listen = 127.0.0.2\n"
				   "	handler = echo\n"
				   "	x509certfile = server.pem\n"
				   "	x509keyfile = \"/keys/server.pem,rsa.key\"\n"
				   "	verify-client = required\n"
				   "	priority = \"NORMAL:+PSK\"\n"
				   "	idle-timeout = 60\n"
				   "	max-sessions = 7\n"
				   "}\n"
				   "service \"two words\" { listen = \"*\" }\n"), 0);
	assert_int_equal(conf->workers, 2);
	assert_int_equal(conf->max_sessions, 500);
	assert_int_equal(conf->log_level, 4);
	assert_int_equal(conf->hello_lane, 1);
	assert_true(conf->syslog);
	assert_string_equal(conf->pid_file, "/run/d.pid");
	assert_int_equal(conf->service_count, 2);
	s = conf->services[0];
	assert_string_equal(s->name, "coap");
	assert_int_equal(s->place.line, 9);
	assert_int_equal(s->listener_count, 3);
	assert_int_equal(s->listeners[0].addr.port, 5684);
	assert_int_equal(s->listeners[2].addr.port, CONF_PORT);
	assert_int_equal(s->listeners[2].place.line, 11);
	assert_string_equal(s->answer.handler, "echo");
	assert_string_equal(s->x509certfile, "etc/server.pem"); /* relative to the file */
	assert_string_equal(s->x509keyfile, "/keys/server.pem,etc/rsa.key");
	assert_int_equal(s->verify_client, 2);
	assert_string_equal(s->priority, "NORMAL:+PSK");
	assert_int_equal(s->idle_timeout, 60);
	assert_int_equal(s->max_sessions, 7);
	s = conf->services[1];
	assert_string_equal(s->name, "two words");
	assert_int_equal(s->place.line, 20);
	assert_int_equal(s->listener_count, 2);
}

static void what_is_not_given_has_the_defaults_of_the_command_line(void **state)
{
	const struct conf_service *s;

	(void)state;
	assert_int_equal(read_text("service x { }"), 0);
	s = conf->services[0];
	assert_string_equal(s->answer.handler, "command");
	assert_int_equal(s->idle_timeout, 300);
	assert_int_equal(s->handshake_timeout, 30);
	assert_int_equal(s->mtu, 1200);
	assert_int_equal(s->max_sessions, 0);
	assert_int_equal(s->max_handshakes, 0);
	assert_int_equal(s->handshake_rate, 0);
	assert_null(s->x509certfile);
	assert_int_equal(conf->max_sessions, 100000);
	assert_int_equal(conf->drain_time, 5);
	assert_int_equal(conf->log_level, 2);
	assert_int_equal(read_text(""), 0);
	assert_int_equal(conf->service_count, 0);
}

static void routes_are_read_in_their_order(void **state)
{
	const struct conf_service *s;
	const struct conf_route *r;

	(void)state;
	assert_int_equal(read_text("service a {\n"
				   "	route first { } # without anything, before all else\n"
				   "	handler = echo\n"
				   "	route second\n"
				   "	{\n"
				   "		sni = '*.example.org'\n"
				   "		alpn = coap\n"
				   "		identity = 'sensor-*'\n"
				   "		forward = '127.0.0.1:1'\n"
				   "		forward-proxy = first\n"
				   "	}\n"
				   "	mtu = 600\n"
				   "}\n"
				   "service b {\n"
				   "	route first {\n"
				   "		deny = yes\n"
				   "	}\n"
				   "}\n"), 0);
	s = conf->services[0];
	assert_int_equal(s->place.line, 1);
	assert_int_equal(s->mtu, 600);
	assert_string_equal(s->answer.handler, "echo");
	assert_int_equal(s->route_count, 2);
	r = &s->routes[0];
	assert_string_equal(r->name, "first");
	assert_int_equal(r->place.line, 2);
	assert_null(r->sni);
	assert_null(r->answer.handler);
	assert_int_equal(r->answer.forward_silence, 10);
	r = conf_find_route(s, "second");
	assert_ptr_equal(r, &s->routes[1]);
	assert_int_equal(r->place.line, 5);
	assert_string_equal(r->sni, "*.example.org");
	assert_string_equal(r->alpn, "coap");
	assert_string_equal(r->identity, "sensor-*");
	assert_string_equal(r->answer.forward, "127.0.0.1:1");
	assert_int_equal(r->answer.forward_proxy, 1);
	assert_false(r->deny);
	s = conf->services[1];
	assert_int_equal(s->place.line, 14);
	assert_int_equal(s->route_count, 1);
	assert_int_equal(s->routes[0].place.line, 15);
	assert_true(s->routes[0].deny);
	assert_null(conf_find_route(s, "second"));
}

static void includes_are_handed_on_with_their_place(void **state)
{
	(void)state;
	assert_int_equal(read_text("include = conf.d\n\ninclude = { 'a b' }\nworkers = 1\n"), 0);
	assert_string_equal(included, PATH ":1:conf.d " PATH ":3:a b ");
	assert_int_equal(conf->workers, 1);
}

static int refuse_include(void *ctx, const char *what, struct conf_place place)
{
	(void)ctx;
	(void)what;
	(void)place;
	strcpy(err, "because");
	return -ELOOP;
}

static void an_include_that_is_refused_ends_it_with_its_own_cause(void **state)
{
	static const char text[] = "include = x\nnonsense\n";

	(void)state;
	conf_free(conf);
	conf = conf_new();
	assert_int_equal(conf_file_parse(conf, PATH, text, strlen(text), refuse_include, NULL, err, sizeof(err)),
			 -ELOOP);
	assert_string_equal(err, "because");
}

/* Text, and what is said of it. */
static const char *const bad[][2] = {
	{ "idle-timout = 3\n", ":1: there is no option 'idle-timout'; dtlsd.conf(5) lists them all" },
	{ "\nservice x {\n\n\tx509cert = a\n}\n", ":4: there is no option 'x509cert'; dtlsd.conf(5)" },
	{ "idle-timeout = 3\n", ":1: 'idle-timeout' belongs into a service: move it there" },
	{ "listen = 127.0.0.1\n", ":1: 'listen' belongs into a service: move it there" },
	{ "service x {\nworkers = 1\n}\n", ":2: 'workers' belongs outside of services: move it there" },
	{ "verbose = 1\n", ":1: 'verbose' is for the command line only: give it there" },
	{ "daemon = yes\n", ":1: 'daemon' is for the command line only: give it there" },
	{ "config = x\n", ":1: 'config' is for the command line only: give it there" },
	{ "# 1\n/* 2\n3\n4 */workers = many\n", ":4: workers: 'many' is not a whole number from 0 to 256" },
	{ "workers = 257\n", ":1: workers: '257' is not a whole number from 0 to 256" },
	{ "workers = -1\n", "workers: '-1' is not a whole number" },
	{ "workers = ''\n", "workers: '' is not a whole number" },
	{ "drain-time = 0\n", ":1: drain-time: '0' is not a whole number from 1 to 3600" },
	{ "hello-lane = maybe\n", ":1: hello-lane: 'maybe' is none of yes|no" },
	{ "watch-files = 1\n", ":1: watch-files: '1' is none of yes|no" },
	{ "syslog = true\n", ":1: syslog: 'true' is none of yes|no" },
	{ "log-level = loud\n", ":1: log-level: 'loud' is none of error|warning|notice|info|debug" },
	{ "pid-file = ''\n", ":1: pid-file: there is nothing in it; give a value or leave it out" },
	{ "service x {\nverify-client = sometimes\n}\n", ":2: verify-client: 'sometimes' is none of none|optional|required" },
	{ "service x {\nlisten = 127.0.0.1:99999\n}\n", ":2: listen: " },
	{ "service x {\nlisten = { '[::1]',\n'1.2.3.4:x' }\n}\n", ":3: listen: " },
	{ "workers = 1\nworkers = 2\n", ":2: workers is given already at " PATH ":1: leave one of them out" },
	{ "service x {\nmtu = 1200\nmtu = 1200\n}\n", ":3: mtu is given already at " PATH ":2: leave one of them out" },
	{ "service x { }\n\nservice x { }\n", ":3: found duplicate title 'x'; give each service a name of its own" },
	{ "service { }\n", ":1: missing title for section 'service'; write service NAME" },
	{ "service x\nworkers = 1\n", ": missing opening brace for section 'service'; write service NAME" },
	{ "service = x\n", ":1: " },
	{ "\nservice x {\nmtu = 500\n", ":2: a { without a }: close the section" },
	{ "workers = 1\n}\n", ":2: a } without a {: remove it, or open the section before it" },
	{ "workers 1\n", ":1: missing equal sign after option 'workers'; write NAME = VALUE" },
	{ "workers = \n= 1", ": unexpected token '='; write NAME = VALUE" },
	{ "service a {\nforward = { \"b:1\", \"c:2\" }\n}\n",
	  ":2: unexpected token '{'; write NAME = VALUE, with quotes around values that hold blanks or { } ( ) = , "
	  "(several are NAME = \"A,B\", but listen = { \"A\", \"B\" })" },
	{ "workers =", ": premature end of file; write NAME = VALUE" },
	{ "workers = 1 2\n", ":1: there is no option '2'" },
	{ "service x { listen = { a = b } }", ": " },
	{ "service x { priority = NORMAL:+PSK }\n", ":1: a * or + outside of quotes: write the value as " },
	{ "service x {\nlisten = *:4433\n}\n", ":2: a * or + outside of quotes: write the value as " },
	{ "\npid-file = \"x\nworkers = 1\n", ":2: a string without an end: close it with the quote" },
	{ "pid-file = 'x", ":1: a string without an end: close it with the quote" },
	{ "workers = 1\n/* no end\n\n", ":2: a comment without an end: close it with */" },
	{ "pid-file = \"a\\9\"\n", ":1: a backslash before a number: double the backslash" },
	{ "pid-file = \"${HOME}/x\"\n", ":1: a ${: variables are not replaced; write the value as '" },
	{ "pid-file = ${HOME}\n", ":1: a ${: variables are not replaced; write the value as '" },
	{ "workers = 1\n\001\n", ":2: a control character: remove it" },
	{ "include x\n", ":1: missing equal sign after option 'include'; write NAME = VALUE" },
	{ "include(x)\n", ":1: missing equal sign after option 'include'; write NAME = VALUE" },
	{ "\ninclude = ''\n", ":2: include: there is nothing in it; name a file or a directory" },
	{ "service x {\nroute y {\nsnt = z\n}\n}\n", ":3: there is no option 'snt'" },
	{ "service x {\nroute y {\nmtu = 500\n}\n}\n", ":3: 'mtu' belongs into a service, outside of routes: move" },
	{ "service x {\nroute y {\nlisten = '*'\n}\n}\n", ":3: 'listen' belongs into a service, outside of routes" },
	{ "service x {\nroute y {\nworkers = 1\n}\n}\n", ":3: 'workers' belongs outside of services: move it there" },
	{ "service x {\nsni = y\n}\n", ":2: 'sni' belongs into a route of a service: move it there" },
	{ "route x {\n}\n", ":1: 'route' belongs into a service: move it there" },
	{ "service x {\nroute y {\nsni = z\nsni = z\n}\n}\n", ":4: sni is given already at " PATH ":3: leave one" },
	{ "service x {\nroute y {\ndeny = 1\n}\n}\n", ":3: deny: '1' is none of yes|no" },
	{ "service x {\nroute y {\nidentity = ''\n}\n}\n", ":3: identity: there is nothing in it" },
	{ "service x {\nroute y { }\nroute y { }\n}\n", ":3: found duplicate title 'y'; give each service a name" },
	{ "service x { include = a }\n", ":1: 'include' belongs outside of services: move it there" },
};

static void what_is_wrong_is_told_with_file_and_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (read_text(bad[i][0]) == 0)
			fail_msg("'%s' is taken", bad[i][0]);
		if (strncmp(err, PATH ":", strlen(PATH ":")) != 0 || !strstr(err, bad[i][1]))
			fail_msg("of '%s' it is said '%s', not '%s'", bad[i][0], err, bad[i][1]);
		/* libconfuse has kept nothing of it */
		assert_int_equal(read_text("workers = 3\n"), 0);
		assert_int_equal(conf->workers, 3);
	}
}

static void a_byte_of_value_0_is_told(void **state)
{
	static const char text[] = "workers = 1\npid-file = 'a\0b'\n";

	(void)state;
	conf_free(conf);
	conf = conf_new();
	assert_int_equal(conf_file_parse(conf, PATH, text, sizeof(text) - 1, on_include, NULL, err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(err, PATH ":2: a byte of value 0: this is no text file");
}

static void quotes_keep_what_would_mean_something(void **state)
{
	(void)state;
	assert_int_equal(read_text("pid-file = '/a#b//c/*d${e}\"{}()=,+*'\n"), 0);
	assert_string_equal(conf->pid_file, "/a#b//c/*d${e}\"{}()=,+*");
	assert_int_equal(read_text("pid-file = \"/a#b//c/*d$e'{}()=,+*\\\"\\\\\"\n"), 0);
	assert_string_equal(conf->pid_file, "/a#b//c/*d$e'{}()=,+*\"\\");
	assert_int_equal(read_text("pid-file = /a-b_c.d/e:f\r\nworkers = 2\r\n"), 0);
	assert_string_equal(conf->pid_file, "/a-b_c.d/e:f");
}

static void two_texts_add_up_and_do_not_overwrite(void **state)
{
	static const char more[] = "\nworkers = 2\n", service[] = "service b { listen = 127.0.0.1:2 }";

	(void)state;
	assert_int_equal(read_text("workers = 1\nservice a { listen = 127.0.0.1:1 }\n"), 0);
	assert_int_equal(conf_file_parse(conf, "b.conf", service, strlen(service), on_include, NULL, err, sizeof(err)), 0);
	assert_int_equal(conf->service_count, 2);
	assert_string_equal(conf->services[1]->place.file, "b.conf");
	assert_int_equal(conf_file_parse(conf, "c.conf", more, strlen(more), on_include, NULL, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "c.conf:2: workers is given already at " PATH ":1: leave one of them out");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(words_come_as_a_list_and_are_kept_apart, tear_down),
		cmocka_unit_test_teardown(every_setting_arrives, tear_down),
		cmocka_unit_test_teardown(what_is_not_given_has_the_defaults_of_the_command_line, tear_down),
		cmocka_unit_test_teardown(routes_are_read_in_their_order, tear_down),
		cmocka_unit_test_teardown(includes_are_handed_on_with_their_place, tear_down),
		cmocka_unit_test_teardown(an_include_that_is_refused_ends_it_with_its_own_cause, tear_down),
		cmocka_unit_test_teardown(what_is_wrong_is_told_with_file_and_line, tear_down),
		cmocka_unit_test_teardown(a_byte_of_value_0_is_told, tear_down),
		cmocka_unit_test_teardown(quotes_keep_what_would_mean_something, tear_down),
		cmocka_unit_test_teardown(two_texts_add_up_and_do_not_overwrite, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
