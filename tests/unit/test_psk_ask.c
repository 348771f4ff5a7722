/* SPDX-License-Identifier: BSD-2-Clause */
/* psk_ask: with a program at the other end of a real unix socket, and a clock that the tests turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "psk_ask.h"
#include "psk_program.h"

#define REMEMBER_MS 60000

static struct upstream_limit limit;
static struct metrics metrics;
static struct upstream *u;
static struct psk_asks *asks;
static struct psk_source source;
static struct psk_key key;
static uint64_t now;

static int set_up(void **state)
{
	(void)state;
	log_open(LOG_TO_STDERR, LOG_ERROR_, "test");
	memset(&metrics, 0, sizeof(metrics));
	atomic_store(&limit.open, 0);
	atomic_store(&limit.most, 100);
	now = 1000000;
	u = upstream_new(&limit);
	assert_non_null(u);
	upstream_count(u, &metrics);
	asks = psk_asks_new(u, &metrics, &now);
	assert_non_null(asks);
	serve();
	psk_source_init(&source, path, REMEMBER_MS);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	psk_asks_free(asks);
	assert_int_equal(atomic_load(&limit.open), 0);
	upstream_free(u);
	if (server >= 0)
		end_serving();
	return 0;
}

static enum psk_answer ask(const char *identity, struct place *waiter)
{
	enum psk_answer a = psk_ask(asks, &source, identity, strlen(identity), waiter, &key);

	upstream_flush(u);
	return a;
}

/* The program gets this question, and no other one before it. */
static void expect_question(const char *text)
{
	struct pollfd p = { .fd = server, .events = POLLIN };
	char got[600];
	ssize_t n;

	assert_int_equal(poll(&p, 1, 20000), 1);
	asker_len = sizeof(asker);
	n = recvfrom(server, got, sizeof(got) - 1, 0, (struct sockaddr *)&asker, &asker_len);
	assert_true(n > 0);
	got[n] = '\0';
	assert_string_equal(got, text);
}

static void expect_silence(void)
{
	struct pollfd p = { .fd = server, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 0), 0); /* what has left is there at once */
}

static void answer(const char *text)
{
	struct pollfd p = { .fd = upstream_fd(u), .events = POLLIN };

	assert_int_equal(sendto(server, text, strlen(text), 0, (struct sockaddr *)&asker, asker_len), strlen(text));
	assert_int_equal(poll(&p, 1, 20000), 1);
	upstream_run(u);
}

/* From now on it is remembered. */
static void learn(const char *identity, const char *question, const char *text)
{
	struct place a;

	place_init(&a);
	assert_int_equal(ask(identity, &a), PSK_ANSWER_WAIT);
	expect_question(question);
	answer(text);
	assert_ptr_equal(psk_asks_news(asks), &a);
}

static void an_answer_lets_all_go_on_who_wait_and_is_remembered(void **state)
{
	struct place a, b, c;

	(void)state;
	place_init(&a);
	place_init(&b);
	place_init(&c);
	assert_int_equal(ask("alice", &a), PSK_ANSWER_WAIT);
	assert_int_equal(ask("alice", &b), PSK_ANSWER_WAIT);
	assert_int_equal(ask("bob", &c), PSK_ANSWER_WAIT);
	assert_null(psk_asks_news(asks));
	expect_question("get 616c696365"); /* once */
	expect_question("get 626f62");
	answer("key 616c696365 0011FF");
	assert_ptr_equal(psk_asks_news(asks), &a);
	assert_ptr_equal(psk_asks_news(asks), &b);
	assert_null(psk_asks_news(asks));
	assert_int_equal(ask("alice", &a), PSK_ANSWER_KEY);
	assert_int_equal(key.len, 3);
	assert_memory_equal(key.data, "\x00\x11\xff", 3);
	answer("no 626f62\n");
	assert_ptr_equal(psk_asks_news(asks), &c);
	assert_int_equal(ask("bob", &c), PSK_ANSWER_UNKNOWN);
	expect_silence();
	assert_int_equal(metric_get(&metrics, METRIC_psk_asked), 2);
	assert_int_equal(metric_get(&metrics, METRIC_psk_remembered), 2);
}

static void what_was_remembered_runs_out_and_what_is_unknown_sooner(void **state)
{
	struct place a;

	(void)state;
	place_init(&a);
	learn("alice", "get 616c696365", "key 616c696365 00");
	learn("bob", "get 626f62", "no 626f62");
	now += PSK_ASK_NO_MS;
	assert_int_equal(ask("bob", &a), PSK_ANSWER_UNKNOWN);
	now += 1;
	assert_int_equal(ask("bob", &a), PSK_ANSWER_WAIT);
	expect_question("get 626f62");
	assert_int_equal(ask("alice", &a), PSK_ANSWER_KEY);
	now += REMEMBER_MS;
	assert_int_equal(ask("alice", &a), PSK_ANSWER_WAIT);
	expect_question("get 616c696365");
	place_leave(&a);
}

static void a_question_without_an_answer_is_put_again_but_not_at_once(void **state)
{
	struct place a;

	(void)state;
	place_init(&a);
	ask("alice", &a);
	expect_question("get 616c696365");
	now += PSK_ASK_AGAIN_MS - 1;
	assert_int_equal(ask("alice", &a), PSK_ANSWER_WAIT);
	expect_silence();
	now += 1;
	assert_int_equal(ask("alice", &a), PSK_ANSWER_WAIT);
	expect_question("get 616c696365");
	place_leave(&a);
}

static void what_nobody_asked_and_nonsense_change_nothing(void **state)
{
	static const char *const nonsense[] = { "", "key", "no", "key 616c696365", "key 616c696365 ", "key 616c696365 0",
		"key 616c696365 0g", "key 61 6c 69", "no 616c696365 00", "no 616c69636", "get 616c696365", "key  00" };
	static char huge[4000], many[2 * PSK_KEY_MAX + 40] = "key 616c696365 ";
	struct place a;

	(void)state;
	place_init(&a);
	ask("alice", &a);
	expect_question("get 616c696365");
	answer("key 626f62 00");
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		answer(nonsense[i]);
	memset(huge, 'k', sizeof(huge) - 1);
	answer(huge);
	memset(many + strlen(many), '0', 2 * PSK_KEY_MAX + 2);
	answer(many);
	assert_null(psk_asks_news(asks));
	assert_int_equal(ask("alice", &a), PSK_ANSWER_WAIT);
	many[strlen(many) - 2] = '\0'; /* as long as a key may be */
	answer(many);
	assert_ptr_equal(psk_asks_news(asks), &a);
	assert_int_equal(ask("alice", &a), PSK_ANSWER_KEY);
	assert_int_equal(key.len, PSK_KEY_MAX);
	answer("key 616c696365 01"); /* it was not asked for any more */
	assert_int_equal(ask("alice", &a), PSK_ANSWER_KEY);
	assert_int_equal(key.len, PSK_KEY_MAX);
}

/* The program dies under a question; is tried again after 100, 200, 400 ms …; and is back. */
static void while_the_program_is_gone_all_are_told_so_at_once(void **state)
{
	uint64_t wait = PSK_ASK_DOWN_MS;
	struct place a, b;

	(void)state;
	place_init(&a);
	place_init(&b);
	learn("alice", "get 616c696365", "key 616c696365 00");
	assert_int_equal(ask("bob", &a), PSK_ANSWER_WAIT);
	end_serving();
	assert_int_equal(ask("carol", &b), PSK_ANSWER_WAIT);
	assert_non_null(psk_asks_news(asks));
	assert_non_null(psk_asks_news(asks));
	assert_int_equal(ask("bob", &a), PSK_ANSWER_DOWN);
	assert_true(place_alone(&a));
	for (unsigned i = 0; i < 8; i++) {
		now += wait - 1;
		assert_int_equal(ask("bob", &a), PSK_ANSWER_DOWN);
		assert_null(psk_asks_news(asks));
		now += 1;
		assert_int_equal(ask("bob", &a), PSK_ANSWER_WAIT); /* a trial */
		assert_ptr_equal(psk_asks_news(asks), &a);
		wait = 2 * wait < PSK_ASK_DOWN_MOST_MS ? 2 * wait : PSK_ASK_DOWN_MOST_MS;
	}
	assert_int_equal(ask("alice", &a), PSK_ANSWER_KEY); /* which is remembered */
	serve();
	now += wait;
	assert_int_equal(ask("bob", &a), PSK_ANSWER_WAIT);
	expect_question("get 626f62");
	answer("key 626f62 01");
	assert_ptr_equal(psk_asks_news(asks), &a);
	assert_int_equal(ask("bob", &a), PSK_ANSWER_KEY);
}

static void a_program_that_was_never_there_is_found_later(void **state)
{
	struct place a;

	(void)state;
	place_init(&a);
	end_serving();
	assert_int_equal(ask("alice", &a), PSK_ANSWER_DOWN);
	serve();
	assert_int_equal(ask("alice", &a), PSK_ANSWER_DOWN);
	now += PSK_ASK_DOWN_MS;
	assert_int_equal(ask("alice", &a), PSK_ANSWER_WAIT);
	expect_question("get 616c696365");
	place_leave(&a);
}

/* With room for none more one waits all the same, and asks again when he likes; who gave up makes room. */
static void identities_are_bounded(void **state)
{
	static struct place some[PSK_ASK_KNOWN];
	struct place late;
	char name[16];

	(void)state;
	place_init(&late);
	for (unsigned i = 0; i < PSK_ASK_KNOWN; i++) {
		place_init(&some[i]);
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(ask(name, &some[i]), PSK_ANSWER_WAIT);
	}
	assert_int_equal(metric_get(&metrics, METRIC_psk_asked), PSK_ASK_KNOWN);
	assert_int_equal(ask("late", &late), PSK_ANSWER_WAIT);
	assert_int_equal(metric_get(&metrics, METRIC_psk_asked), PSK_ASK_KNOWN);
	place_leave(&some[7]);
	for (unsigned i = 0; i <= PSK_ASK_KNOWN / 64 && metric_get(&metrics, METRIC_psk_asked) == PSK_ASK_KNOWN; i++)
		assert_int_equal(ask("late", &late), PSK_ANSWER_WAIT); /* it looks at some of them at a time */
	assert_int_equal(metric_get(&metrics, METRIC_psk_asked), PSK_ASK_KNOWN + 1);
	place_leave(&late);
	for (unsigned i = 0; i < PSK_ASK_KNOWN; i++)
		place_leave(&some[i]);
}

static void names_that_nobody_knows_push_out_no_key(void **state)
{
	char name[8], question[32], no[32];
	struct place a;

	(void)state;
	place_init(&a);
	learn("alice", "get 616c696365", "key 616c696365 00");
	for (unsigned i = 0; i < PSK_ASK_KNOWN + 100; i++) {
		snprintf(name, sizeof(name), "%04u", i);
		snprintf(question, sizeof(question), "get 3%c3%c3%c3%c", name[0], name[1], name[2], name[3]);
		snprintf(no, sizeof(no), "no %s", question + strlen("get "));
		learn(name, question, no);
	}
	assert_int_equal(ask("alice", &a), PSK_ANSWER_KEY);
	assert_int_equal(ask("0000", &a), PSK_ANSWER_WAIT); /* the oldest of these is forgotten */
	place_leave(&a);
	assert_int_equal(ask("4195", &a), PSK_ANSWER_UNKNOWN);
}

/* A reload makes a source of its own, with nothing remembered; the old one is forgotten in time. */
static void programs_that_nobody_asks_are_forgotten(void **state)
{
	struct psk_source before = source;
	struct place a;

	(void)state;
	place_init(&a);
	learn("alice", "get 616c696365", "key 616c696365 00");
	psk_source_init(&source, path, REMEMBER_MS);
	assert_int_equal(ask("alice", &a), PSK_ANSWER_WAIT);
	expect_question("get 616c696365");
	place_leave(&a);
	assert_int_equal(atomic_load(&limit.open), 2);
	source = before;
	now += REMEMBER_MS;
	assert_int_equal(ask("alice", &a), PSK_ANSWER_KEY);
	now += 2 * REMEMBER_MS;
	psk_asks_clean(asks);
	assert_int_equal(atomic_load(&limit.open), 1);
	now += 2 * REMEMBER_MS;
	psk_asks_clean(asks);
	assert_int_equal(atomic_load(&limit.open), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_lets_all_go_on_who_wait_and_is_remembered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_remembered_runs_out_and_what_is_unknown_sooner, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_question_without_an_answer_is_put_again_but_not_at_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_nobody_asked_and_nonsense_change_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(while_the_program_is_gone_all_are_told_so_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_program_that_was_never_there_is_found_later, set_up, tear_down),
		cmocka_unit_test_setup_teardown(identities_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_that_nobody_knows_push_out_no_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(programs_that_nobody_asks_are_forgotten, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
