/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backlog.h"

static const struct siphash_key key;

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
	assert_int_equal(backlog_init(&b, &key), 0);
	assert_null(backlog_take(&b));
	assert_int_equal(add(&b, 1, "one"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, 2, "two"), BACKLOG_TAKEN);
	expect(&b, 1, "one");
	assert_int_equal(add(&b, 3, "three"), BACKLOG_TAKEN);
	expect(&b, 2, "two");
	expect(&b, 3, "three");
	assert_null(backlog_take(&b));
	assert_int_equal(add(&b, 4, "four"), BACKLOG_TAKEN);
	expect(&b, 4, "four");
	assert_true(backlog_empty(&b));
	backlog_destroy(&b);
}

static void a_flow_has_one_place_and_its_first_datagram(void **state)
{
	struct backlog b;

	(void)state;
	assert_int_equal(backlog_init(&b, &key), 0);
	assert_int_equal(add(&b, 1, "one"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, 2, "two"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, 3, "three"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, 1, "one again"), BACKLOG_REPEATED);
	assert_int_equal(add(&b, 3, "3"), BACKLOG_REPEATED);
	expect(&b, 1, "one");
	assert_int_equal(add(&b, 1, "one more"), BACKLOG_TAKEN);
	expect(&b, 2, "two");
	expect(&b, 3, "three");
	expect(&b, 1, "one more");
	assert_null(backlog_take(&b));
	backlog_destroy(&b);
}

static void it_is_bounded(void **state)
{
	struct backlog b;

	(void)state;
	assert_int_equal(backlog_init(&b, &key), 0);
	for (uint16_t i = 0; i < BACKLOG_MOST; i++)
		assert_int_equal(add(&b, i, "x"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, BACKLOG_MOST, "x"), BACKLOG_FULL);
	assert_int_equal(add(&b, 7, "y"), BACKLOG_REPEATED);
	expect(&b, 0, "x");
	assert_int_equal(add(&b, BACKLOG_MOST, "z"), BACKLOG_TAKEN);
	assert_int_equal(add(&b, BACKLOG_MOST + 1, "z"), BACKLOG_FULL);
	backlog_destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_comes_first_is_served_first),
		cmocka_unit_test(a_flow_has_one_place_and_its_first_datagram),
		cmocka_unit_test(it_is_bounded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
