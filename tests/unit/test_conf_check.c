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
#include "conf_check.h"

static struct conf *conf;
static char err[700];

static int set_up(void **state)
{
	(void)state;
	conf = conf_new();
	conf->file = "x.conf";
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	conf_free(conf);
	return 0;
}

static struct conf_service *add(const char *name, unsigned line, const char *address)
{
	struct conf_service *s = conf_add_service(conf, name, (struct conf_place){ "x.conf", line });

	assert_non_null(s);
	if (address)
		assert_int_equal(conf_add_listener(conf, s, address, (struct conf_place){ "x.conf", line + 1 }, err,
						   sizeof(err)), 0);
	return s;
}

static void refused(const char *what)
{
	assert_int_equal(conf_check(conf, err, sizeof(err)), -EINVAL);
	if (strcmp(err, what) != 0)
		fail_msg("it says '%s', not '%s'", err, what);
}

static void what_is_well_passes(void **state)
{
	(void)state;
	add("a", 1, "127.0.0.1:1");
	add("b", 1, "*:2");
	add("c", 1, "127.0.0.1:0");
	add("d", 1, "127.0.0.1:0"); /* any port is not the same port */
	assert_int_equal(conf_check(conf, err, sizeof(err)), 0);
}

static void there_is_a_service(void **state)
{
	(void)state;
	refused("x.conf: there is no service in it; add one, as: service NAME { listen = \"*:4433\" … }");
}

static void a_name_is_given_once(void **state)
{
	(void)state;
	add("a", 1, "127.0.0.1:1");
	add("b", 3, "127.0.0.1:2");
	add("a", 5, "127.0.0.1:3");
	refused("x.conf:5: service a: there is one of that name already, at x.conf:1: give this one another name");
}

static void a_name_has_a_length(void **state)
{
	char name[CONF_NAME_MOST + 2];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[CONF_NAME_MOST + 1] = '\0';
	add(name, 3, "127.0.0.1:1");
	assert_int_equal(conf_check(conf, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "its name has 65 bytes; 1 to 64 are allowed"));
	conf->services[0]->name = "";
	assert_int_equal(conf_check(conf, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "its name has 0 bytes"));
}

static void a_service_listens(void **state)
{
	(void)state;
	add("a", 7, NULL);
	refused("x.conf:7: service a: it listens nowhere; give it an address, as: listen = \"*:4433\"");
}

static void an_address_is_given_once(void **state)
{
	struct conf_service *s;

	(void)state;
	add("a", 1, "*:4433");
	s = add("b", 5, "127.0.0.1:4434");
	assert_int_equal(conf_add_listener(conf, s, "[::]:4433", (struct conf_place){ "y.conf", 9 }, err, sizeof(err)), 0);
	refused("y.conf:9: service b: listen: [::]:4433 is given twice, also at x.conf:2: leave one of them out");
}

static void who_listens_everywhere_leaves_no_address_of_the_port(void **state)
{
	(void)state;
	add("a", 1, "*:4433");
	add("b", 5, "127.0.0.1:4433");
	refused("x.conf:6: service b: listen: 127.0.0.1:4433 is given twice, also by 0.0.0.0:4433 at x.conf:2: "
		"leave one of them out");
}

static void all_addresses_do_not_go_beside_one_of_them(void **state)
{
	(void)state;
	add("a", 1, "[::1]:4433");
	add("b", 3, "0.0.0.0:4433"); /* no IPv6 */
	add("c", 5, "[::]:4434");
	assert_int_equal(conf_check(conf, err, sizeof(err)), 0);
	add("d", 7, "[::]:4433");
	refused("x.conf:8: service d: listen: [::]:4433 is given twice, also by [::1]:4433 at x.conf:2: "
		"leave one of them out");
}

static void on_the_command_line_there_is_no_place_and_no_service(void **state)
{
	struct conf_service *s;

	(void)state;
	conf->file = NULL;
	s = conf_add_service(conf, "a", (struct conf_place){ NULL, 0 });
	for (int i = 0; i < 2; i++)
		assert_int_equal(conf_add_listener(conf, s, "127.0.0.1:1", (struct conf_place){ NULL, 0 }, err,
						   sizeof(err)), 0);
	refused("127.0.0.1:1 is given twice: leave one of them out");
}

static void services_and_listeners_are_bounded(void **state)
{
	struct conf_service *s;
	char text[40];

	(void)state;
	for (unsigned i = 0; i < CONF_SERVICES_MOST; i++) {
		snprintf(text, sizeof(text), "127.0.0.1:%u", i + 1);
		add(text, i, text);
	}
	assert_int_equal(conf_check(conf, err, sizeof(err)), 0);
	s = add("more", 99, NULL);
	assert_int_equal(conf_add_listener(conf, s, "*", (struct conf_place){ "x.conf", 1 }, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "more than 64 addresses to listen on: start a second dtlsd");
	refused("x.conf:99: there are more than 64 services: start a second dtlsd");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void routes_that_cannot_be_meant_are_refused(void **state)
{
	struct conf_service *s = add("a", 1, "127.0.0.1:1");
	struct conf_route *r = conf_add_route(conf, s, "x", (struct conf_place){ "x.conf", 5 });

	(void)state;
	assert_non_null(r);
	refused("x.conf:5: service a: route x: it leads nowhere: give it a handler, forward, command, or deny = yes");
	r->answer.forward = "127.0.0.1:2";
	assert_int_equal(conf_check(conf, err, sizeof(err)), 0);
	r->deny = true;
	refused("x.conf:5: service a: route x: it denies and has a handler: leave one of them out");
	r->answer.forward = NULL;
	assert_int_equal(conf_check(conf, err, sizeof(err)), 0);
	assert_non_null(conf_add_route(conf, s, "y", (struct conf_place){ "x.conf", 6 }));
	r = &s->routes[0];
	s->routes[1].deny = true;
	refused("x.conf:6: service a: route y: nobody comes to it: route x before it is for everybody; put that "
		"one last");
	r->sni = "x.example";
	assert_int_equal(conf_check(conf, err, sizeof(err)), 0);
	r->alpn = "coap";
	refused("x.conf:5: service a: route x: alpn: the service has no protocols that it could be; give it some, as: "
		"alpn = coap");
	s->alpn = "coap";
	assert_int_equal(conf_check(conf, err, sizeof(err)), 0);
	r->name = "";
	refused("x.conf:5: service a: the name of a route has 0 bytes; 1 to 64 are allowed");
	r->name = "x";
	for (unsigned i = 2; i <= CONF_ROUTES_MOST; i++) {
		assert_int_equal(conf_check(conf, err, sizeof(err)), 0);
		s->routes[i - 1].sni = "y.example";
		r = conf_add_route(conf, s, "y", (struct conf_place){ "x.conf", 5 + i });
		assert_non_null(r);
		r->deny = true;
	}
	refused("x.conf:37: service a: there are more than 32 routes: join some");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_well_passes),
		TEST(routes_that_cannot_be_meant_are_refused),
		TEST(there_is_a_service),
		TEST(a_name_is_given_once),
		TEST(a_name_has_a_length),
		TEST(a_service_listens),
		TEST(an_address_is_given_once),
		TEST(on_the_command_line_there_is_no_place_and_no_service),
		TEST(who_listens_everywhere_leaves_no_address_of_the_port),
		TEST(all_addresses_do_not_go_beside_one_of_them),
		TEST(services_and_listeners_are_bounded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
