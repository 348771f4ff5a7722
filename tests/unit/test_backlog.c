/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backlog.h"

static struct datagram datagram(uint16_t port, char *text)
{
	return (struct datagram){
		.flow = { .peer = { .family = AF_INET, .port = port }, .local = { .family = AF_INET, .port = 4433 } },
		.listener = 2,
		.data = (uint8_t *)text,
		.len = strlen(text),
	};
}

static enum backlog_verdict add(struct backlog *b, uint16_t port, const char *text)
{
	char copy[64];
	struct datagram d;
	enum backlog_verdict v;

	strcpy(copy, text);
	d = datagram(port, copy);
	v = backlog_add(b, &d);
	memset(copy, 'x', sizeof(copy)); /* what is borrowed ends with the call */
	return v;
}

static void expect(struct backlog *b, uint16_t port, const char *text)
{
	struct backlog_entry *e = backlog_take(b);

	assert_non_null(e);
	assert_int_equal(e->datagram.flow.peer.port, port);
	assert_int_equal(e->datagram.listener, 2);
	assert_int_equal(e->datagram.len, strlen(text));
	assert_memory_equal(e->datagram.data, text, strlen(text));
	free(e);
}

static void who_comes_first_is_served_first(void **state)
{
	struct backlog b;

	(void)state;
	backlog_init(&b);
	assert_null(backlog_take(&b));
	assert_int_equal(add(&b, 1, "one"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, 2, "two"), BACKLOG_TAKEN);
	expect(&b, 1, "one");
	assert_int_equal(add(&b, 3, "three"), BACKLOG_TAKEN);
	assert_int_equal(b.count, 2);
	expect(&b, 2, "two");
	expect(&b, 3, "three");
	assert_null(backlog_take(&b));
	assert_int_equal(add(&b, 4, "four"), BACKLOG_TAKEN);
	expect(&b, 4, "four");
	assert_int_equal(b.count, 0);
}

static void a_flow_has_one_place_and_its_last_datagram(void **state)
{
	struct backlog b;

	(void)state;
	backlog_init(&b);
	assert_int_equal(add(&b, 1, "one"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, 2, "two"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, 3, "three"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, 1, "one again"), BACKLOG_REPEATED);
	assert_int_equal(add(&b, 3, "3"), BACKLOG_REPEATED); /* the last one: others can still be added behind it */
	assert_int_equal(add(&b, 4, "four"), BACKLOG_TAKEN);
	assert_int_equal(b.count, 4);
	expect(&b, 1, "one again");
	expect(&b, 2, "two");
	expect(&b, 3, "3");
	expect(&b, 4, "four");
	assert_null(backlog_take(&b));
}

static void it_is_bounded(void **state)
{
	struct backlog b;

	(void)state;
	backlog_init(&b);
	for (uint16_t i = 0; i < BACKLOG_MOST; i++)
		assert_int_equal(add(&b, i, "x"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, BACKLOG_MOST, "x"), BACKLOG_FULL);
	assert_int_equal(add(&b, 7, "y"), BACKLOG_REPEATED);
	expect(&b, 0, "x");
	assert_int_equal(add(&b, BACKLOG_MOST, "z"), BACKLOG_TAKEN);
	assert_int_equal(b.count, BACKLOG_MOST);
	backlog_clear(&b);
	assert_int_equal(b.count, 0);
	assert_null(backlog_take(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_comes_first_is_served_first),
		cmocka_unit_test(a_flow_has_one_place_and_its_last_datagram),
		cmocka_unit_test(it_is_bounded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
