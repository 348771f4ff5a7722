/* SPDX-License-Identifier: BSD-2-Clause */
/* inquiry: what a program at a real unix socket says of live sessions. The tests turn the clock. */
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

#include "handlers.h"
#include "hex.h"
#include "inquiry.h"
#include "log.h"
#include "psk_program.h"
#include "service.h"
#include "txq.h"

#define SESSIONS 100
#define KEY "\x00\x11\x22\x33"
#define KEY_HEX "00112233"

/* A worker's, with services at two listeners that ask the same program. */
static struct {
	struct upstream_limit limit;
	struct metrics metrics;
	struct txq txq;
	struct env env;
	struct service *services[2];
	struct inquiry inquiry;
	struct session *session[SESSIONS]; /* NULL: it was closed */
	unsigned count;
	uint8_t scratch[ENV_SCRATCH];
} w;

static void send_nothing(void *ctx, struct txq *q)
{
	(void)ctx;
	txq_sent(q, q->count - q->first);
}

static void end_session(struct session *s)
{
	table_remove(w.inquiry.sessions, &s->node);
	session_release(s);
	session_free(s);
}

static void settle(void *ctx, struct session *s)
{
	(void)ctx;
	assert_int_equal(s->end, SESSION_END_REVOKED);
	w.session[s->serial] = NULL;
	end_session(s);
}

/* As a reload makes it, one of another psk_source. */
static struct service *make_service(struct standing *standing)
{
	const struct tls_options o = { .psk_socket = path, .psk_cache_s = 60 };
	struct service_config c = { .name = "test", .handler = &handler_echo, .idle_timeout_ms = 300000 };
	struct service *s;
	char err[256];

	c.standing = standing;
	c.tls = tls_load(&o, standing_tls(standing), err, sizeof(err));
	assert_non_null(c.tls);
	s = service_new(&c);
	assert_non_null(s);
	tls_unref(c.tls);
	return s;
}

static void reload(unsigned listener)
{
	struct service *before = w.services[listener];

	w.services[listener] = make_service(before->config.standing);
	service_unref(before);
	inquiry_begin(&w.inquiry, listener);
}

static int set_up(void **state)
{
	static const struct siphash_key key = { 1, 2 };
	static const struct quota_limits none;

	(void)state;
	log_open(LOG_TO_STDERR, LOG_ERROR_, "test");
	memset(&w, 0, sizeof(w));
	atomic_store(&w.limit.most, 100);
	serve();
	assert_int_equal(txq_init(&w.txq, send_nothing, NULL), 0);
	w.env = (struct env){ .now = 1000000, .txq = &w.txq, .metrics = &w.metrics, .cache = record_cache_new(4),
			      .services = w.services, .store = session_store_new(), .scratch = w.scratch,
			      .upstream = upstream_new(&w.limit), .inquiry = &w.inquiry };
	upstream_count(w.env.upstream, &w.metrics);
	for (unsigned i = 0; i < 2; i++) {
		struct standing *standing = standing_new(&none);

		w.services[i] = make_service(standing);
		standing_unref(standing);
	}
	w.inquiry = (struct inquiry){ .env = &w.env, .sessions = table_new(&key), .settle = settle };
	inquiry_init(&w.inquiry);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < w.count; i++)
		if (w.session[i])
			end_session(w.session[i]);
	inquiry_clear(&w.inquiry);
	table_free(w.inquiry.sessions);
	assert_int_equal(atomic_load(&w.limit.open), 0);
	upstream_free(w.env.upstream);
	record_cache_free(w.env.cache);
	session_store_free(w.env.store);
	txq_destroy(&w.txq);
	service_unref(w.services[0]);
	service_unref(w.services[1]);
	end_serving();
	return 0;
}

/* One that came in by "NUMBER" with that key; its number. */
static unsigned open_session(unsigned listener, const char *key, size_t len)
{
	const struct record_direction up = { { 1, 2, 3 }, { 4, 5 } }, down = { { 6, 7 }, { 8 } };
	const struct tls_grants *grants = tls_grants(w.services[listener]->config.tls);
	struct tls_grant grant = { .psk = tls_grant_key(grants, (const uint8_t *)key, len) };
	struct session_names names = { .grant = &grant };
	struct record_state record;
	unsigned number = w.count++;
	char identity[16], text[32], err[64];
	struct session *s;

	snprintf(identity, sizeof(identity), "psk:%u", number);
	names.identity = identity;
	record_init(&record, RECORD_AES_128_GCM, &up, 1, &down, 1);
	s = session_new(&w.env, &record, &names);
	assert_non_null(s);
	snprintf(text, sizeof(text), "192.0.2.9:%u", number + 1);
	assert_int_equal(addr_parse(text, 1, &s->node.flow.peer, 1, err, sizeof(err)), 1);
	assert_int_equal(addr_parse("192.0.2.1:4433", 1, &s->node.flow.local, 1, err, sizeof(err)), 1);
	s->listener = (uint16_t)listener;
	s->serial = number;
	table_insert(w.inquiry.sessions, &s->node);
	w.session[number] = s;
	return number;
}

static void run(void)
{
	upstream_run(w.env.upstream); /* the program may have made room, or gone */
	while (inquiry_run(&w.inquiry))
		;
	upstream_flush(w.env.upstream);
}

/* So many ms, a turn for each that the inquiry wants. */
static void pass(uint64_t ms)
{
	uint64_t end = w.env.now + ms;

	while (w.env.now < end) {
		w.env.now += inquiry_wait(&w.inquiry, end - w.env.now);
		run();
	}
}

/* The number in the next question; -1: none waits. */
static int question(void)
{
	struct sockaddr_un from;
	socklen_t len = sizeof(from);
	char text[64], number[16];
	ssize_t n = recvfrom(server, text, sizeof(text) - 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len);

	if (n < 0)
		return -1;
	asker = from;
	asker_len = len;
	text[n] = '\0';
	assert_memory_equal(text, "get ", 4);
	n = hex_decode((uint8_t *)number, sizeof(number) - 1, text + 4, strlen(text + 4));
	assert_true(n > 0);
	number[n] = '\0';
	return atoi(number);
}

/* key: in hex, NULL: the program does not know it. */
static void answer(int number, const char *key)
{
	struct pollfd p = { .fd = upstream_fd(w.env.upstream), .events = POLLIN };
	char name[16], hex[40], text[128];

	snprintf(name, sizeof(name), "%d", number);
	hex_encode(hex, (const uint8_t *)name, strlen(name));
	snprintf(text, sizeof(text), key ? "key %s %s" : "no %s", hex, key ? key : "");
	assert_int_equal(sendto(server, text, strlen(text), 0, (struct sockaddr *)&asker, asker_len), strlen(text));
	assert_int_equal(poll(&p, 1, 20000), 1);
	run();
}

static void who_is_unknown_or_has_another_key_is_closed_and_others_go_on(void **state)
{
	unsigned good = open_session(0, KEY, 4), gone = open_session(0, KEY, 4), other = open_session(0, "other", 5);
	unsigned elsewhere = open_session(1, KEY, 4), asked = 0;
	int number;

	(void)state;
	reload(0);
	run();
	while ((number = question()) >= 0) {
		answer(number, number == (int)gone ? NULL : KEY_HEX);
		asked++;
	}
	assert_int_equal(asked, 3);
	assert_non_null(w.session[good]);
	assert_null(w.session[gone]);
	assert_null(w.session[other]);
	assert_non_null(w.session[elsewhere]);
	assert_false(w.inquiry.busy);
	assert_int_equal(atomic_load(&w.limit.open), 0); /* nothing is kept behind it */
	assert_int_equal(inquiry_wait(&w.inquiry, 1000), 1000);
}

/* However fast the program is, and however slow. */
static void questions_are_few_at_a_time(void **state)
{
	int waiting[INQUIRY_AT_ONCE], number;
	unsigned asked = 0, spells = 0;

	(void)state;
	for (unsigned i = 0; i < SESSIONS; i++)
		open_session(0, KEY, 4);
	reload(0);
	run();
	for (unsigned i = 0; i < INQUIRY_AT_ONCE; i++)
		assert_true((waiting[i] = question()) >= 0);
	assert_int_equal(question(), -1);
	for (unsigned i = 0; i < INQUIRY_AT_ONCE; i++)
		answer(waiting[i], KEY_HEX);
	for (asked = INQUIRY_AT_ONCE; w.inquiry.busy; spells++) {
		while ((number = question()) >= 0) {
			answer(number, KEY_HEX);
			asked++;
		}
		assert_true(asked <= (spells + 1) * INQUIRY_A_SPELL);
		pass(INQUIRY_SPELL_MS);
	}
	assert_int_equal(asked, SESSIONS);
	assert_int_equal(metric_get(&w.metrics, METRIC_psk_asked), SESSIONS);
	assert_int_equal(metric_get(&w.metrics, METRIC_session_closed_revoked), 0);
}

static void a_silent_program_closes_nobody_and_is_asked_until_it_answers(void **state)
{
	unsigned gone = open_session(0, KEY, 4);

	(void)state;
	reload(0);
	pass(3 * INQUIRY_SILENT_MS);
	assert_int_equal(metric_get(&w.metrics, METRIC_psk_recheck_unanswered), 3);
	assert_non_null(w.session[gone]);
	while (question() >= 0)
		;
	pass(2 * PSK_ASK_AGAIN_MS);
	assert_int_equal(question(), (int)gone);
	answer((int)gone, NULL);
	assert_null(w.session[gone]);
	assert_false(w.inquiry.busy);
}

/* Until all but those below silent have their answers; how many had. What is asked again is answered once. */
static unsigned answer_from(unsigned silent)
{
	bool answered[SESSIONS] = { false };
	unsigned answers = 0;
	int number;

	for (unsigned turns = 0; turns < 100; turns++, pass(INQUIRY_AGAIN_MS))
		while ((number = question()) >= 0) {
			if (number < (int)silent || answered[number])
				continue;
			answer(number, KEY_HEX);
			answered[number] = true;
			answers++;
		}
	return answers;
}

static void those_it_is_silent_about_do_not_hold_up_the_others(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5 * INQUIRY_AT_ONCE; i++)
		open_session(0, KEY, 4);
	reload(0);
	run();
	assert_int_equal(answer_from(3 * INQUIRY_AT_ONCE), 2 * INQUIRY_AT_ONCE);
	assert_true(w.inquiry.busy);
	assert_true(metric_get(&w.metrics, METRIC_psk_recheck_unanswered) > 0);
	assert_int_equal(answer_from(0), 3 * INQUIRY_AT_ONCE);
	assert_false(w.inquiry.busy);
}

static void with_many_that_it_is_silent_about_the_rest_waits(void **state)
{
	unsigned asked;

	(void)state;
	for (unsigned i = 0; i < SESSIONS; i++)
		open_session(0, KEY, 4);
	reload(0);
	run();
	for (unsigned i = 0; i < 2; i++)
		answer_from(SESSIONS);
	asked = w.inquiry.walks[0].questions;
	assert_in_range(asked, INQUIRY_SILENT_MOST, INQUIRY_SILENT_MOST + INQUIRY_AT_ONCE);
	assert_int_equal(answer_from(0), SESSIONS);
	assert_false(w.inquiry.busy);
}

static void a_program_that_is_away_closes_nobody_and_is_found_again(void **state)
{
	unsigned gone = open_session(0, KEY, 4);

	(void)state;
	end_serving();
	reload(0);
	pass(2 * INQUIRY_SILENT_MS);
	assert_int_equal(metric_get(&w.metrics, METRIC_psk_recheck_unanswered), 2);
	assert_non_null(w.session[gone]);
	serve();
	pass(PSK_ASK_DOWN_MOST_MS + INQUIRY_AGAIN_MS);
	assert_int_equal(question(), (int)gone);
	answer((int)gone, NULL);
	assert_null(w.session[gone]);
}

static void services_do_not_wait_for_the_silence_of_one_another(void **state)
{
	unsigned seen = 0, last;
	int number;

	(void)state;
	for (unsigned i = 0; i < 2 * INQUIRY_AT_ONCE; i++)
		open_session(0, KEY, 4);
	last = open_session(1, KEY, 4);
	reload(0);
	run();
	reload(1);
	run();
	while ((number = question()) >= 0)
		seen += number == (int)last;
	assert_int_equal(seen, 1);
}

/* It is asked in the next turn: who opens it still has it in his hands. */
static void one_that_was_under_way_is_asked_about_by_itself(void **state)
{
	unsigned late;

	(void)state;
	reload(0);
	run();
	late = open_session(0, KEY, 4);
	inquiry_ask(&w.inquiry, w.session[late]);
	assert_int_equal(inquiry_wait(&w.inquiry, 1000), 0);
	run();
	assert_int_equal(question(), (int)late);
	answer((int)late, NULL);
	assert_null(w.session[late]);
}

static void who_ends_meanwhile_or_comes_in_anew_is_left_alone(void **state)
{
	unsigned first = open_session(0, KEY, 4), second = open_session(0, KEY, 4);

	(void)state;
	reload(0);
	run();
	end_session(w.session[first]);
	w.session[first] = NULL;
	w.session[second]->serial = SESSIONS; /* another one of that flow */
	answer(question(), NULL);
	answer(question(), NULL);
	assert_int_equal(w.session[second]->end, SESSION_LIVE);
	assert_false(w.inquiry.busy);
}

static void the_next_reload_asks_all_anew(void **state)
{
	unsigned number = open_session(0, KEY, 4);

	(void)state;
	reload(0);
	run();
	assert_int_equal(question(), (int)number);
	reload(0);
	pass(INQUIRY_AGAIN_MS);
	assert_int_equal(question(), (int)number);
	answer((int)number, NULL);
	pass(INQUIRY_AGAIN_MS);
	assert_null(w.session[number]);
	assert_false(w.inquiry.busy);
}

/* Each asks by a socket of its own. */
static void reloads_while_it_is_silent_leave_nothing_behind(void **state)
{
	(void)state;
	open_session(0, KEY, 4);
	for (unsigned i = 0; i < 10; i++) {
		reload(0);
		pass(100000);
		while (question() >= 0)
			;
	}
	assert_true(w.inquiry.busy);
	assert_in_range(atomic_load(&w.limit.open), 1, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_unknown_or_has_another_key_is_closed_and_others_go_on, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(questions_are_few_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_silent_program_closes_nobody_and_is_asked_until_it_answers, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(those_it_is_silent_about_do_not_hold_up_the_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(with_many_that_it_is_silent_about_the_rest_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_program_that_is_away_closes_nobody_and_is_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(services_do_not_wait_for_the_silence_of_one_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_was_under_way_is_asked_about_by_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_ends_meanwhile_or_comes_in_anew_is_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_next_reload_asks_all_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reloads_while_it_is_silent_leave_nothing_behind, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
