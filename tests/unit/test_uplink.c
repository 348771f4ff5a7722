/* SPDX-License-Identifier: BSD-2-Clause */
/* uplink and tls_client: what the clients of one service share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "redial.h"
#include "tls_client.h"
#include "tls_world.h"
#include "uplink.h"

static const struct addr SERVER = { .ip = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, .port = 4433, .family = AF_INET };
static const struct addr OTHER = { .ip = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, .port = 4434, .family = AF_INET };

static struct tls_client_options by_ca(void)
{
	return (struct tls_client_options){ .to = "localhost:4433", .x509cafile = path("ca.pem"), .dashes = "--" };
}

static struct tls_client *load_client(const struct tls_client_options *o)
{
	struct tls_client *t = tls_client_load(o, world_err, sizeof(world_err));

	if (!t)
		fail_msg("%s", world_err);
	return t;
}

static struct uplink *make_uplink(void)
{
	const struct tls_client_options o = by_ca();
	struct tls_client *t = load_client(&o);
	struct uplink *u = uplink_new(t);

	tls_client_unref(t);
	assert_non_null(u);
	return u;
}

/* The number of what was offered last. */
static unsigned offered;

static enum uplink_verdict ask(struct uplink *u, const struct addr *a, uint64_t now, size_t *saved_size)
{
	struct uplink_offer offer = { .number = 0 };
	enum uplink_verdict v = uplink_may_dial(u, a, now, &offer);

	*saved_size = offer.saved.size;
	offered = offer.number;
	uplink_forget(&offer.saved);
	return v;
}

static void end_offered(struct uplink *u, unsigned number, const char *saved, bool resumed, uint64_t now)
{
	const gnutls_datum_t d = { (unsigned char *)(uintptr_t)saved, (unsigned)strlen(saved) };

	uplink_dialed(u, &SERVER, number, &d, resumed, now);
}

static void end(struct uplink *u, const char *saved, bool resumed, uint64_t now)
{
	end_offered(u, offered, saved, resumed, now);
}

/* A handshake with SERVER, from its beginning to its end. */
static void dial(struct uplink *u, bool resumed, uint64_t now)
{
	size_t size;

	assert_int_equal(ask(u, &SERVER, now, &size), UPLINK_GO);
	end(u, resumed ? "" : "session", resumed, now);
}

static void the_first_goes_alone_and_all_others_resume_what_it_left(void **state)
{
	struct uplink *u = make_uplink();
	size_t size;

	(void)state;
	assert_int_equal(ask(u, &SERVER, 1, &size), UPLINK_GO);
	assert_int_equal(size, 0);
	assert_int_equal(ask(u, &SERVER, 2, &size), UPLINK_WAIT);
	assert_int_equal(ask(u, &OTHER, 2, &size), UPLINK_GO); /* another server is another matter */
	end(u, "session", false, 3);
	for (unsigned i = 0; i < UPLINK_DIALS; i++) {
		assert_int_equal(ask(u, &SERVER, 4, &size), UPLINK_GO);
		assert_int_equal(size, 7);
	}
	assert_int_equal(ask(u, &SERVER, 4, &size), UPLINK_WAIT);
	end(u, "", true, 5);
	assert_int_equal(ask(u, &SERVER, 6, &size), UPLINK_GO);
	uplink_unref(u);
}

static void a_server_that_keeps_no_sessions_is_dialed_by_many_all_the_same(void **state)
{
	struct uplink *u = make_uplink();
	size_t size;

	(void)state;
	assert_int_equal(ask(u, &SERVER, 1, &size), UPLINK_GO);
	end(u, "", false, 2);
	assert_int_equal(ask(u, &SERVER, 3, &size), UPLINK_GO);
	assert_int_equal(ask(u, &SERVER, 3, &size), UPLINK_GO);
	assert_int_equal(uplink_forgetful(u), 0);
	uplink_unref(u);
}

static void a_session_is_resumed_for_an_hour(void **state)
{
	struct uplink *u = make_uplink();
	size_t size;

	(void)state;
	assert_int_equal(ask(u, &SERVER, 1, &size), UPLINK_GO);
	end(u, "session", false, 10);
	assert_int_equal(ask(u, &SERVER, 10 + UPLINK_SAVED_MS - 1, &size), UPLINK_GO);
	assert_int_equal(size, 7);
	end(u, "newer ticket", true, 10 + UPLINK_SAVED_MS - 1);
	assert_int_equal(ask(u, &SERVER, 10 + UPLINK_SAVED_MS, &size), UPLINK_GO);
	assert_int_equal(size, 0);
	uplink_unref(u);
}

/* Each worker reads the clock for itself, and may ask with a time from before another one's answer. */
static void a_worker_whose_clock_is_behind_resumes_all_the_same(void **state)
{
	struct uplink *u = make_uplink();
	size_t size;

	(void)state;
	assert_int_equal(ask(u, &SERVER, 10, &size), UPLINK_GO);
	end(u, "session", false, 13);
	assert_int_equal(ask(u, &SERVER, 12, &size), UPLINK_GO);
	assert_int_equal(size, 7);
	end(u, "", true, 13);
	assert_int_equal(ask(u, &SERVER, 20, &size), UPLINK_GO);
	end(u, "another", false, 21);
	assert_int_equal(ask(u, &SERVER, 22, &size), UPLINK_GO);
	end(u, "", true, 22);
	assert_int_equal(ask(u, &SERVER, 20, &size), UPLINK_GO);
	end(u, "a third", false, 20); /* too soon after the last to be believed */
	assert_false(uplink_has_forgotten(u, &SERVER, 1));
	uplink_unref(u);
}

static void a_server_that_does_not_know_its_session_has_forgotten_the_others(void **state)
{
	struct uplink *u = make_uplink();
	unsigned before;

	(void)state;
	dial(u, false, 2);
	dial(u, true, 4);
	before = uplink_newest(u, &SERVER);
	assert_false(uplink_has_forgotten(u, &SERVER, before));
	assert_int_equal(uplink_forgetful(u), 0);
	dial(u, false, 6);
	assert_int_equal(uplink_forgetful(u), 1);
	assert_true(uplink_has_forgotten(u, &SERVER, before));
	assert_false(uplink_has_forgotten(u, &SERVER, uplink_newest(u, &SERVER)));
	assert_false(uplink_has_forgotten(u, &OTHER, before));
	uplink_unref(u);
}

static void each_restart_is_noticed_however_soon_it_follows_where_enough_have_resumed_since(void **state)
{
	struct uplink *u = make_uplink();
	unsigned before;

	(void)state;
	dial(u, false, 1);
	dial(u, true, 1);
	for (uint64_t now = 2; now < 22; now++) {
		before = uplink_newest(u, &SERVER);
		dial(u, false, now);
		assert_true(uplink_has_forgotten(u, &SERVER, before));
		assert_false(uplink_has_forgotten(u, &SERVER, uplink_newest(u, &SERVER)));
		for (unsigned i = 0; i < UPLINK_AGREE; i++)
			dial(u, true, now);
	}
	uplink_unref(u);
}

static void with_few_peers_a_restart_is_noticed_after_some_seconds(void **state)
{
	struct uplink *u = make_uplink();
	unsigned before;

	(void)state;
	dial(u, false, 1);
	dial(u, true, 1);
	for (uint64_t now = 2; now < 10 * UPLINK_AGREE_MS; now += UPLINK_AGREE_MS) {
		before = uplink_newest(u, &SERVER);
		dial(u, false, now);
		assert_true(uplink_has_forgotten(u, &SERVER, before));
		dial(u, true, now);
	}
	uplink_unref(u);
}

/* Those that were under way when it was restarted: each of them is told that it does not know what was offered. */
static void of_handshakes_with_one_offer_the_first_tells_and_the_others_contradict_nothing(void **state)
{
	struct uplink *u = make_uplink();
	unsigned before, number[UPLINK_DIALS];
	size_t size;

	(void)state;
	dial(u, false, 1);
	dial(u, true, 2);
	before = uplink_newest(u, &SERVER);
	for (unsigned i = 0; i < UPLINK_DIALS; i++) {
		assert_int_equal(ask(u, &SERVER, 3, &size), UPLINK_GO);
		number[i] = offered;
	}
	end_offered(u, number[0], "another", false, 4);
	dial(u, true, 5);
	for (unsigned i = 1; i < UPLINK_DIALS; i++)
		end_offered(u, number[i], "one of many", false, 6);
	assert_int_equal(uplink_forgetful(u), 1);
	assert_true(uplink_has_forgotten(u, &SERVER, before));
	assert_int_equal(ask(u, &SERVER, 7, &size), UPLINK_GO);
	assert_int_equal(size, 7); /* another: it has been resumed */
	end(u, "", true, 7);
	uplink_unref(u);
}

/* As mbedTLS without a cache and without tickets: its sessions have ids, and it knows none of them. */
static void a_server_that_never_resumes_has_forgotten_nothing(void **state)
{
	struct uplink *u = make_uplink();
	size_t size;

	(void)state;
	for (uint64_t now = 1; now < 10; now += 2) {
		assert_int_equal(ask(u, &SERVER, now, &size), UPLINK_GO);
		end(u, "session", false, now + 1);
	}
	assert_int_equal(uplink_forgetful(u), 0);
	uplink_unref(u);
}

/* As several machines behind one address that do not know each other's. */
static void servers_that_share_nothing_are_believed_for_a_moment_in_a_minute(void **state)
{
	struct uplink *u = make_uplink();
	unsigned first, believed = 0;

	(void)state;
	dial(u, false, 1);
	first = uplink_newest(u, &SERVER);
	for (uint64_t now = 100; now < 10 * UPLINK_DOUBT_MS; now += 100) {
		dial(u, now % 200 == 100, now);
		believed += uplink_has_forgotten(u, &SERVER, first);
	}
	assert_in_range(uplink_forgetful(u), 9, 10);
	assert_in_range(believed, 18, 20); /* from one full handshake to the next */
	uplink_unref(u);
}

static void what_is_taken_back_is_not_what_was_agreed_on_before(void **state)
{
	struct uplink *u = make_uplink();
	unsigned first, second;

	(void)state;
	dial(u, false, 1);
	dial(u, true, 1);
	first = uplink_newest(u, &SERVER);
	dial(u, false, 2);
	for (unsigned i = 0; i < UPLINK_AGREE; i++)
		dial(u, true, 3);
	second = uplink_newest(u, &SERVER);
	dial(u, false, 4);
	assert_true(uplink_has_forgotten(u, &SERVER, second));
	dial(u, true, 5);
	dial(u, false, 6);
	assert_false(uplink_has_forgotten(u, &SERVER, second));
	assert_true(uplink_has_forgotten(u, &SERVER, first));
	uplink_unref(u);
}

static void who_fails_lets_the_next_one_find_out(void **state)
{
	struct uplink *u = make_uplink();
	size_t size;

	(void)state;
	assert_int_equal(ask(u, &SERVER, 1, &size), UPLINK_GO);
	uplink_failed(u, &SERVER, UPLINK_OURS, 1, 2);
	assert_int_equal(ask(u, &SERVER, 3, &size), UPLINK_GO);
	uplink_failed(u, &SERVER, UPLINK_SILENT, 3, 4);
	assert_int_equal(ask(u, &SERVER, 5, &size), UPLINK_DOWN);
	assert_int_equal(ask(u, &OTHER, 5, &size), UPLINK_GO);
	assert_int_equal(ask(u, &SERVER, 4 + REDIAL_FIRST_MS, &size), UPLINK_GO);
	assert_true(uplink_dialed(u, &SERVER, 0, &(gnutls_datum_t){ NULL, 0 }, false, 600));
	uplink_unref(u);
}

static void a_server_that_ends_sessions_at_once_is_left_alone_for_a_moment(void **state)
{
	struct uplink *u = make_uplink();
	uint64_t now = 1;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(ask(u, &SERVER, now, &size), UPLINK_GO);
		end(u, "session", i > 0, now + 1);
		uplink_turned_away(u, &SERVER, now, now + 2);
		assert_int_equal(ask(u, &SERVER, now + 3, &size), UPLINK_DOWN);
		now += 2 + REDIAL_FIRST_MS;
	}
	uplink_unref(u);
}

static void a_session_that_may_be_the_cause_of_a_failure_is_not_offered_again(void **state)
{
	struct uplink *u = make_uplink();
	size_t size;

	(void)state;
	assert_int_equal(ask(u, &SERVER, 1, &size), UPLINK_GO);
	end(u, "session", false, 2);
	assert_int_equal(ask(u, &SERVER, 3, &size), UPLINK_GO);
	uplink_failed(u, &SERVER, UPLINK_SILENT, 3, 4);
	assert_int_equal(ask(u, &SERVER, 4 + REDIAL_FIRST_MS, &size), UPLINK_GO);
	assert_int_equal(size, 7); /* who was silent may have been away */
	uplink_failed(u, &SERVER, UPLINK_ANSWERED, 4 + REDIAL_FIRST_MS, 1000);
	assert_int_equal(ask(u, &SERVER, 1000 + 2 * REDIAL_FIRST_MS, &size), UPLINK_GO);
	assert_int_equal(size, 0);
	uplink_unref(u);
}

static void clients_are_the_same_while_whom_they_talk_to_is(void **state)
{
	struct tls_client_options o = by_ca();
	struct tls_client *one = load_client(&o), *two = load_client(&o), *three, *four;

	(void)state;
	assert_true(tls_client_same(one, two));
	o.server_name = "elsewhere";
	three = load_client(&o);
	assert_false(tls_client_same(one, three));
	o = by_ca();
	o.x509cafile = path("foreign-ca.pem");
	four = load_client(&o);
	assert_false(tls_client_same(one, four));
	tls_client_unref(one);
	tls_client_unref(two);
	tls_client_unref(three);
	tls_client_unref(four);
}

static void the_name_is_that_of_the_server_where_none_is_given(void **state)
{
	static const char *const cases[][2] = {
		{ "localhost:4433", "localhost" }, { " localhost:1*3", "localhost" }, { "a.example.:1", "a.example" },
		{ "192.0.2.1:5", "192.0.2.1" }, { "[2001:db8::1]:5", "2001:db8::1" }, { "[fe80::1%lo]:5", "fe80::1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_client_options o = by_ca();
		struct tls_client *t;

		o.to = cases[i][0];
		t = load_client(&o);
		assert_string_equal(tls_client_name(t), cases[i][1]);
		tls_client_unref(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_goes_alone_and_all_others_resume_what_it_left),
		cmocka_unit_test(a_server_that_keeps_no_sessions_is_dialed_by_many_all_the_same),
		cmocka_unit_test(a_session_is_resumed_for_an_hour),
		cmocka_unit_test(a_worker_whose_clock_is_behind_resumes_all_the_same),
		cmocka_unit_test(a_server_that_does_not_know_its_session_has_forgotten_the_others),
		cmocka_unit_test(each_restart_is_noticed_however_soon_it_follows_where_enough_have_resumed_since),
		cmocka_unit_test(with_few_peers_a_restart_is_noticed_after_some_seconds),
		cmocka_unit_test(of_handshakes_with_one_offer_the_first_tells_and_the_others_contradict_nothing),
		cmocka_unit_test(a_server_that_never_resumes_has_forgotten_nothing),
		cmocka_unit_test(servers_that_share_nothing_are_believed_for_a_moment_in_a_minute),
		cmocka_unit_test(what_is_taken_back_is_not_what_was_agreed_on_before),
		cmocka_unit_test(who_fails_lets_the_next_one_find_out),
		cmocka_unit_test(a_server_that_ends_sessions_at_once_is_left_alone_for_a_moment),
		cmocka_unit_test(a_session_that_may_be_the_cause_of_a_failure_is_not_offered_again),
		cmocka_unit_test(clients_are_the_same_while_whom_they_talk_to_is),
		cmocka_unit_test(the_name_is_that_of_the_server_where_none_is_given),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
