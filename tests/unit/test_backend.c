/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"

#define SILENCE 10000
#define START 1000000

static struct backends *parse(const char *text)
{
	char err[300] = "";
	struct backends *b = backends_parse(text, SILENCE, err, sizeof(err));

	if (!b)
		fail_msg("%s: %s", text, err);
	return b;
}

static unsigned choose(struct backends *b, uint64_t now)
{
	bool trial;

	return backends_choose(b, now, &trial);
}

/* ---- what is written ---- */

static void addresses_of_all_kinds_are_understood(void **state)
{
	static const char *const want[] = { "192.0.2.1:5683", "[2001:db8::1]:1", "unix:/run/a*b", "unix:@abstract" };
	struct backends *b = parse("192.0.2.1:5683*3, [2001:db8::1]:1 ,unix:/run/a*b*2,unix:@abstract");
	char text[BACKEND_TEXT_MAX];

	(void)state;
	assert_int_equal(backends_count(b), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_string_equal(backend_format(backends_addr(b, i), text), want[i]);
	backends_unref(b);
}

static void a_name_stands_for_all_its_addresses(void **state)
{
	struct backends *b = parse("localhost:7");

	(void)state;
	assert_in_range(backends_count(b), 1, 2);
	for (unsigned i = 0; i < backends_count(b); i++)
		assert_true(addr_is_loopback(&backends_addr(b, i)->addr));
	backends_unref(b);
}

static void mistakes_are_told_with_what_to_write(void **state)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{ "", "a backend is missing; write 192.0.2.1:5683" },
		{ "192.0.2.1:1,", "a backend is missing" },
		{ "192.0.2.1:1,,192.0.2.2:1", "a backend is missing" },
		{ "192.0.2.1", "its port is missing" },
		{ "192.0.2.1:0", "its port is missing" },
		{ "0.0.0.0:1", "is every address" },
		{ "*:1", "is every address" },
		{ "192.0.2.1:1*", "weight" },
		{ "192.0.2.1:1*0", "from 1 to 100" },
		{ "192.0.2.1:1*101", "from 1 to 100" },
		{ "192.0.2.1:1*1x", "weight" },
		{ "192.0.2.1:70000", "out of range" },
		{ "unix:", "an absolute path" },
		{ "unix:run/a", "an absolute path" },
		{ "192.0.2.1:1,192.0.2.1:1*2", "192.0.2.1:1 is given twice" },
		{ "unix:/a,unix:/a", "unix:/a is given twice" },
		{ "192.0.2.1:1 192.0.2.2:1", "there is a blank in it; write 192.0.2.1:5683" },
		{ "192.0.2.1:1 *2", "there is a blank in it" },
		{ "unix:/a b", "there is a blank in it" },
	};
	char err[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = '\0';
		assert_null(backends_parse(bad[i].text, SILENCE, err, sizeof(err)));
		if (!strstr(err, bad[i].part))
			fail_msg("%s: '%s' lacks '%s'", bad[i].text, err, bad[i].part);
	}
}

static void a_path_or_a_list_that_is_too_long_is_refused(void **state)
{
	char path[5 + UNIX_NAME_MOST + 2] = "unix:/", list[BACKEND_MOST * 16 + 32] = "192.0.2.0:1", err[300];
	struct backends *b;

	(void)state;
	memset(path + 6, 'x', UNIX_NAME_MOST - 1);
	b = parse(path);
	backends_unref(b);
	path[5 + UNIX_NAME_MOST] = 'x';
	assert_null(backends_parse(path, SILENCE, err, sizeof(err)));
	for (unsigned i = 1; i < BACKEND_MOST; i++)
		sprintf(list + strlen(list), ",192.0.2.%u:1", i);
	b = parse(list);
	assert_int_equal(backends_count(b), BACKEND_MOST);
	backends_unref(b);
	strcat(list, ",unix:/a");
	assert_null(backends_parse(list, SILENCE, err, sizeof(err)));
	assert_non_null(strstr(err, "more than 64 backends"));
}

static void only_names_are_worth_asking_again(void **state)
{
	static const struct {
		const char *text;
		bool named;
	} some[] = {
		{ "192.0.2.1:1,[2001:db8::1]:1,unix:/run/a", false },
		{ "192.0.2.1:1,localhost:1", true },
		{ "localhost:1*3", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct backends *b = parse(some[i].text), *again;
		char err[300];

		assert_int_equal(backends_named(b), some[i].named);
		again = backends_again(b, err, sizeof(err));
		assert_non_null(again);
		assert_true(backends_same(b, again));
		backends_unref(again);
		backends_unref(b);
	}
}

static void the_same_backends_are_the_same_in_any_order(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {
		{ "192.0.2.1:1,192.0.2.2:1*2", "192.0.2.2:1*2,192.0.2.1:1", true },
		{ "192.0.2.1:1,192.0.2.2:1*2", "192.0.2.2:1,192.0.2.1:1*2", false },
		{ "192.0.2.1:1", "192.0.2.1:1,192.0.2.2:1", false },
		{ "192.0.2.1:1,192.0.2.2:1", "192.0.2.1:1", false },
		{ "192.0.2.1:1", "192.0.2.1:2", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct backends *a = parse(pairs[i].a), *b = parse(pairs[i].b);

		assert_int_equal(backends_same(a, b), pairs[i].same);
		backends_unref(a);
		backends_unref(b);
	}
}

/* ---- choice ---- */

static void sessions_are_shared_out_by_weight_and_spread(void **state)
{
	struct backends *b = parse("192.0.2.1:1*5,192.0.2.2:1,192.0.2.3:1*2");
	unsigned got[3] = { 0 }, in_a_row = 0, longest = 0;

	(void)state;
	for (unsigned n = 0; n < 8 * 100; n++) {
		unsigned i = choose(b, START);

		got[i]++;
		in_a_row = i == 0 ? in_a_row + 1 : 0;
		longest = in_a_row > longest ? in_a_row : longest;
	}
	assert_int_equal(got[0], 500);
	assert_int_equal(got[1], 100);
	assert_int_equal(got[2], 200);
	assert_in_range(longest, 1, 3);
	backends_unref(b);
}

static void one_that_is_down_gets_no_sessions_and_its_share_goes_to_the_others(void **state)
{
	struct backends *b = parse("192.0.2.1:1,192.0.2.2:1,192.0.2.3:1");
	unsigned got[3] = { 0 };

	(void)state;
	backends_refused(b, 1, ECONNREFUSED, START);
	for (unsigned n = 0; n < 300; n++)
		got[choose(b, START + 1)]++;
	assert_int_equal(got[1], 0);
	assert_in_range(got[0], 100, 200);
	assert_int_equal(got[0] + got[2], 300);
	assert_int_equal(backends_other(b, 0, START + 1), 2);
	assert_int_equal(backends_other(b, 2, START + 1), 0);
	backends_unref(b);
}

static void the_share_of_one_that_is_down_is_shared_out_by_weight_too(void **state)
{
	struct backends *b = parse("192.0.2.1:1*2,192.0.2.2:1,192.0.2.3:1*3");
	unsigned got[3] = { 0 }, others[3] = { 0 };

	(void)state;
	backends_refused(b, 2, ECONNREFUSED, START);
	for (unsigned n = 0; n < 600; n++)
		got[choose(b, START + 1)]++;
	for (unsigned n = 0; n < 600; n++)
		others[backends_other(b, 2, START + 1)]++;
	assert_int_equal(got[0], 400);
	assert_int_equal(got[1], 200);
	assert_int_equal(others[0], 400);
	assert_int_equal(others[1], 200);
	backends_unref(b);
}

static void when_all_are_down_each_may_be_the_trial(void **state)
{
	struct backends *b = parse("192.0.2.1:1*9,192.0.2.2:1");
	unsigned trials = 0;
	bool trial;

	(void)state;
	backends_refused(b, 0, ECONNREFUSED, START);
	backends_refused(b, 1, ECONNREFUSED, START);
	for (unsigned n = 0; n < 2; n++) {
		backends_choose(b, START + BACKEND_TRIAL_MS, &trial);
		trials += trial;
	}
	assert_int_equal(trials, 2);
	backends_choose(b, START + BACKEND_TRIAL_MS, &trial);
	assert_false(trial);
	backends_unref(b);
}

static void when_all_are_down_one_is_named_all_the_same(void **state)
{
	struct backends *b = parse("192.0.2.1:1,192.0.2.2:1");

	(void)state;
	backends_refused(b, 0, ECONNREFUSED, START);
	backends_refused(b, 1, ECONNREFUSED, START);
	assert_in_range(choose(b, START), 0, 1);
	assert_int_equal(backends_other(b, 0, START), -1);
	assert_false(backends_may_send(b, 0, START));
	assert_false(backends_may_send(b, 1, START));
	backends_unref(b);
}

/* ---- health ---- */

static void one_datagram_a_second_tries_what_refuses(void **state)
{
	struct backends *b = parse("192.0.2.1:1");
	unsigned sent = 0;

	(void)state;
	assert_true(backends_may_send(b, 0, START));
	backends_refused(b, 0, ECONNREFUSED, START);
	for (uint64_t at = START; at <= START + 10 * BACKEND_TRIAL_MS; at++)
		if (backends_may_send(b, 0, at)) {
			sent++;
			backends_refused(b, 0, ECONNREFUSED, at);
		}
	assert_int_equal(sent, 10);
	backends_unref(b);
}

static void an_answer_brings_it_back_at_once(void **state)
{
	struct backends *b = parse("192.0.2.1:1");

	(void)state;
	backends_refused(b, 0, ECONNREFUSED, START);
	assert_false(backends_may_send(b, 0, START + 1));
	backends_heard(b, 0, START + 2);
	assert_true(backends_may_send(b, 0, START + 2));
	assert_true(backends_may_send(b, 0, START + 2));
	backends_unref(b);
}

static void one_that_never_answers_is_back_when_trials_are_not_refused(void **state)
{
	struct backends *b = parse("192.0.2.1:1");
	uint64_t at = START;

	(void)state;
	backends_refused(b, 0, ECONNREFUSED, at);
	for (unsigned n = 0; n * BACKEND_TRIAL_MS <= BACKEND_PROBATION_MS; n++) {
		at += BACKEND_TRIAL_MS;
		assert_true(backends_may_send(b, 0, at));
	}
	assert_true(backends_may_send(b, 0, at));
	backends_unref(b);
}

static void a_refusal_begins_probation_anew(void **state)
{
	struct backends *b = parse("192.0.2.1:1");
	uint64_t at = START;

	(void)state;
	backends_refused(b, 0, ECONNREFUSED, at);
	for (unsigned n = 0; n < 20; n++) {
		at += BACKEND_TRIAL_MS;
		assert_true(backends_may_send(b, 0, at));
		assert_false(backends_may_send(b, 0, at));
		if (n % 3 == 2)
			backends_refused(b, 0, EHOSTUNREACH, at);
	}
	backends_unref(b);
}

static void a_new_session_may_be_the_trial(void **state)
{
	struct backends *b = parse("192.0.2.1:1,192.0.2.2:1");
	unsigned trials = 0;
	bool trial;

	(void)state;
	backends_refused(b, 1, ECONNREFUSED, START);
	for (unsigned n = 0; n < 100; n++) {
		unsigned i = backends_choose(b, START + BACKEND_TRIAL_MS, &trial);

		assert_int_equal(i, trial ? 1 : 0);
		trials += trial;
	}
	assert_int_equal(trials, 1);
	backends_unref(b);
}

/* One answers all along; the other is sent so many datagrams, from START on, and heard of never. */
static struct backends *silent_after(unsigned datagrams, const char *text)
{
	struct backends *b = parse(text);

	for (unsigned n = 0; n < datagrams; n++)
		backends_sent(b, 1, START + n);
	for (uint64_t at = START; at <= START + SILENCE; at += 1000) {
		backends_sent(b, 0, at);
		backends_heard(b, 0, at + 1);
	}
	return b;
}

static void silence_while_others_answer_is_down(void **state)
{
	struct backends *b = silent_after(BACKEND_SILENT, "192.0.2.1:1,192.0.2.2:1");

	(void)state;
	assert_true(backends_may_send(b, 1, START + SILENCE - 1));
	assert_false(backends_may_send(b, 1, START + SILENCE));
	/* that it refuses nothing is no proof now */
	for (uint64_t at = START + SILENCE; at < START + 3 * SILENCE; at += BACKEND_TRIAL_MS)
		backends_may_send(b, 1, at);
	assert_false(backends_may_send(b, 1, START + 3 * SILENCE - BACKEND_TRIAL_MS + 1));
	backends_heard(b, 1, START + 3 * SILENCE);
	assert_true(backends_may_send(b, 1, START + 3 * SILENCE));
	backends_unref(b);
}

static void a_few_datagrams_without_an_answer_are_no_silence(void **state)
{
	struct backends *b = silent_after(BACKEND_SILENT - 1, "192.0.2.1:1,192.0.2.2:1");

	(void)state;
	assert_true(backends_may_send(b, 1, START + SILENCE));
	backends_unref(b);
}

static void silence_of_all_or_of_the_only_one_is_held_against_nobody(void **state)
{
	struct backends *b = parse("192.0.2.1:1,192.0.2.2:1");

	(void)state;
	for (unsigned n = 0; n < 100; n++) {
		backends_sent(b, 0, START + n);
		backends_sent(b, 1, START + n);
	}
	assert_true(backends_may_send(b, 0, START + 2 * SILENCE));
	assert_true(backends_may_send(b, 1, START + 2 * SILENCE));
	backends_unref(b);
}

static void silence_can_be_allowed(void **state)
{
	char err[300];
	struct backends *b = backends_parse("192.0.2.1:1,192.0.2.2:1", 0, err, sizeof(err));

	(void)state;
	assert_non_null(b);
	for (unsigned n = 0; n < 100; n++)
		backends_sent(b, 1, START + n);
	backends_heard(b, 0, START + SILENCE);
	assert_true(backends_may_send(b, 1, START + SILENCE));
	backends_unref(b);
}

static void after_a_reload_the_same_address_is_still_down(void **state)
{
	struct backends *old = parse("192.0.2.1:1,unix:/a"), *b = parse("192.0.2.3:1,unix:/a,192.0.2.1:1");

	(void)state;
	backends_refused(old, 1, ECONNREFUSED, START);
	backends_inherit(b, old);
	backends_unref(old);
	assert_true(backends_may_send(b, 0, START));
	assert_false(backends_may_send(b, 1, START));
	assert_true(backends_may_send(b, 2, START));
	backends_unref(b);
}

/* Against a model: who refuses is never chosen until its trial, who answers always may be sent to. */
static void random_histories_keep_the_rules(void **state)
{
	struct backends *b = parse("192.0.2.1:1,192.0.2.2:1*2,192.0.2.3:1*3,192.0.2.4:1");
	uint64_t at = START, refused[4] = { 0 };
	unsigned seed = 7;

	(void)state;
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = (unsigned)rand_r(&seed) % 4, other;

		at += (unsigned)rand_r(&seed) % 50;
		switch (rand_r(&seed) % 4) {
		case 0:
			backends_refused(b, i, ECONNREFUSED, at);
			refused[i] = at;
			break;
		case 1:
			backends_heard(b, i, at);
			refused[i] = 0;
			assert_true(backends_may_send(b, i, at));
			break;
		case 2:
			if (refused[i] && at < refused[i] + BACKEND_TRIAL_MS)
				assert_false(backends_may_send(b, i, at));
			break;
		default:
			other = (unsigned)backends_other(b, i, at);
			if (other != (unsigned)-1) {
				assert_int_not_equal(other, i);
				assert_true(!refused[other] || at >= refused[other] + BACKEND_TRIAL_MS);
			}
			break;
		}
	}
	backends_unref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_all_kinds_are_understood),
		cmocka_unit_test(a_name_stands_for_all_its_addresses),
		cmocka_unit_test(mistakes_are_told_with_what_to_write),
		cmocka_unit_test(a_path_or_a_list_that_is_too_long_is_refused),
		cmocka_unit_test(only_names_are_worth_asking_again),
		cmocka_unit_test(the_same_backends_are_the_same_in_any_order),
		cmocka_unit_test(sessions_are_shared_out_by_weight_and_spread),
		cmocka_unit_test(one_that_is_down_gets_no_sessions_and_its_share_goes_to_the_others),
		cmocka_unit_test(the_share_of_one_that_is_down_is_shared_out_by_weight_too),
		cmocka_unit_test(when_all_are_down_each_may_be_the_trial),
		cmocka_unit_test(when_all_are_down_one_is_named_all_the_same),
		cmocka_unit_test(one_datagram_a_second_tries_what_refuses),
		cmocka_unit_test(an_answer_brings_it_back_at_once),
		cmocka_unit_test(one_that_never_answers_is_back_when_trials_are_not_refused),
		cmocka_unit_test(a_refusal_begins_probation_anew),
		cmocka_unit_test(a_new_session_may_be_the_trial),
		cmocka_unit_test(silence_while_others_answer_is_down),
		cmocka_unit_test(a_few_datagrams_without_an_answer_are_no_silence),
		cmocka_unit_test(silence_of_all_or_of_the_only_one_is_held_against_nobody),
		cmocka_unit_test(silence_can_be_allowed),
		cmocka_unit_test(after_a_reload_the_same_address_is_still_down),
		cmocka_unit_test(random_histories_keep_the_rules),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
