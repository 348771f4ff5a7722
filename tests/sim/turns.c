/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turns: the expensive steps of handshakes are bounded in each turn of the loop, and who is in a session does
 * not notice how many others want one. A turn of the simulated world is a millisecond.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include "tap.h"
#include "world.h"

/* ---- an observer in a session ---- */

struct observer {
	struct world *w;
	struct client *talker; /* says something in every turn */
	unsigned said;
	unsigned apart;        /* so many turns lie between two ends of handshakes */
	uint64_t until_begun, until_done, until_turn;
	uint64_t turn, last_done;      /* turns */
	uint64_t begun, done, records; /* as they were when one of the first two moved */
};

static void observe(struct observer *o, struct world *w, struct client *talker, unsigned apart)
{
	*o = (struct observer){ .w = w, .talker = talker, .apart = apart, .begun = COUNT(w, hello_admitted),
				.done = COUNT(w, handshake_done) };
}

static bool every_turn(void *ctx)
{
	struct observer *o = ctx;
	uint64_t begun = COUNT(o->w, hello_admitted), done = COUNT(o->w, handshake_done);
	uint64_t records = COUNT(o->w, records_in), moved = begun - o->begun + done - o->done;

	assert_true(moved <= 1);
	o->turn++;
	if (moved && o->said > 20) /* by then its first words have arrived */
		assert_true(records > o->records);
	if (done > o->done) {
		assert_true(o->last_done == 0 || o->turn - o->last_done >= o->apart);
		o->last_done = o->turn;
	}
	if (moved)
		o->records = records;
	o->begun = begun;
	o->done = done;
	client_say(o->talker, o->said++);
	return begun >= o->until_begun && done >= o->until_done && o->turn >= o->until_turn;
}

/* The turns that it took until so many handshakes, the talker's included, had begun and so many were done. */
static uint64_t turns_until(struct observer *o, uint64_t begun, uint64_t done)
{
	uint64_t before = o->turn;

	o->until_begun = begun;
	o->until_done = done;
	o->w->net.now++; /* what ended the turn before does not begin the next */
	assert_true(world_run(o->w, MINUTE, every_turn, o));
	return o->turn - before;
}

static void turns_pass(struct observer *o, uint64_t n)
{
	o->until_turn = o->turn + n;
	turns_until(o, 0, 0);
}

static void assert_all_echoed(struct observer *o)
{
	pause_(o->w, 20);
	assert_int_equal(o->talker->echoes, o->said);
}

static struct client *client_of(struct world *w, const struct flow *flow)
{
	struct client *c = w->clients;

	while (!flow_equal(&c->flow, flow))
		c = c->next;
	return c;
}

/* All that was kept goes on at once, the last first: that is the order in which the clients get in. */
static void release_backwards(struct tap *t)
{
	for (unsigned i = t->kept; i > 0; i--)
		tap_release(t, i - 1);
}

static void assert_done_backwards(struct tap *t)
{
	const struct client *before = NULL;

	for (unsigned i = t->kept; i > 0; i--) {
		const struct client *c = client_of(t->w, &t->packet[i - 1].flow);

		if (before && before != c)
			assert_true(c->done_at > before->done_at);
		before = c;
	}
}

/* ---- many at once ---- */

static void two_hundred_answers_at_once_are_taken_one_a_turn(void **state)
{
	enum { CLIENTS = 200 };
	const struct world_options options = { .seed = 301, .handshake_steps_per_turn = 1 };
	struct observer o;
	struct client *talker;
	struct world w;
	struct tap *t;

	(void)state;
	world_init(&w, &options);
	talker = connected(&w, AUTH_ECDSA, 0);
	observe(&o, &w, talker, 1);
	t = tap_new(&w, keep_after_hello);
	t->spare = talker;
	for (unsigned i = 0; i < CLIENTS; i++)
		client_new(&w, AUTH_ECDSA, 0, NULL);
	assert_in_range(turns_until(&o, 1 + CLIENTS, 1), CLIENTS, CLIENTS + 20);
	assert_int_equal(COUNT(&w, hello_queued), CLIENTS - 1);
	turns_pass(&o, 10); /* until the last has answered */
	release_backwards(t);
	assert_in_range(turns_until(&o, 0, 1 + CLIENTS), CLIENTS, CLIENTS + 10);
	assert_int_equal(COUNT(&w, handshake_queued), CLIENTS - 1);
	assert_all_echoed(&o);
	assert_done_backwards(t);
	assert_int_equal(COUNT(&w, handshake_failed) + COUNT(&w, flight_resent) + COUNT(&w, limited_turn), 0);
	tap_free(t);
	world_end(&w);
}

/* Its chain, its key exchange and its proof of the key: three steps. */
static void a_client_certificate_takes_three_steps(void **state)
{
	enum { CLIENTS = 40 };
	const struct world_options options = { .seed = 302, .handshake_steps_per_turn = 1,
					       .verify = VERIFY_CLIENT_REQUIRED };
	struct observer o;
	struct client *talker;
	struct world w;
	struct tap *t;

	(void)state;
	world_init(&w, &options);
	talker = connected(&w, AUTH_MUTUAL, 0);
	observe(&o, &w, talker, 3);
	t = tap_new(&w, keep_after_hello);
	t->spare = talker;
	for (unsigned i = 0; i < CLIENTS; i++)
		client_new(&w, AUTH_MUTUAL, 0, NULL);
	turns_until(&o, 1 + CLIENTS, 1);
	turns_pass(&o, 10);
	release_backwards(t);
	assert_in_range(turns_until(&o, 0, 1 + CLIENTS), 3 * CLIENTS, 3 * CLIENTS + 10);
	assert_int_equal(COUNT(&w, handshake_queued), 1 + CLIENTS); /* the talker too, for its second step */
	assert_all_echoed(&o);
	assert_done_backwards(t);
	assert_int_equal(COUNT(&w, handshake_failed) + COUNT(&w, flight_resent), 0);
	tap_free(t);
	world_end(&w);
}

/* Clients that are admitted and whose answers are held back. */
static struct tap *held(struct world *w, enum world_auth auth, unsigned n)
{
	uint64_t begun = COUNT(w, hello_admitted) + n;
	struct tap *t = tap_new(w, keep_after_hello);

	while (n-- > 0)
		client_new(w, auth, 0, NULL);
	while (COUNT(w, hello_admitted) < begun)
		pause_(w, 1);
	pause_(w, 10);
	return t;
}

static bool some_done(void *ctx)
{
	return COUNT((struct world *)ctx, handshake_done) > 1;
}

static void who_needs_no_expensive_step_does_not_wait(void **state)
{
	const struct world_options options = { .seed = 303, .handshake_steps_per_turn = 1 };
	struct client *first, *psk;
	gnutls_datum_t data;
	struct world w;
	struct tap *t;
	unsigned before;

	(void)state;
	world_init(&w, &options);
	first = connected(&w, AUTH_ECDSA, 0);
	pause_(&w, 100);
	assert_int_equal(gnutls_session_get_data2(first->session, &data), 0);
	t = held(&w, AUTH_ECDSA, 10);
	before = t->kept;
	client_new(&w, AUTH_ECDSA, 0, &data);
	psk = client_new(&w, AUTH_PSK, 0, NULL);
	pause_(&w, 50);
	assert_true(t->kept > before);
	for (unsigned i = 0; i < t->kept; i++)
		tap_release(t, i);
	assert_true(world_run(&w, MINUTE, some_done, &w));
	/* in the turn of the first of the others */
	assert_int_equal(COUNT(&w, handshake_done), 1 + 3);
	assert_int_equal(COUNT(&w, handshake_resumed), 1);
	pause_(&w, 10);
	assert_true(psk->done);
	gnutls_free(data.data);
	tap_free(t);
	world_end(&w);
}

struct second {
	struct world *w;
	uint64_t begun;
};

static bool second_has_begun(void *ctx)
{
	struct second *s = ctx;

	return COUNT(s->w, hello_admitted) >= s->begun + 2;
}

static bool all_done(void *ctx)
{
	for (const struct client *c = ((struct world *)ctx)->clients; c; c = c->next)
		if (!c->done)
			return false;
	return true;
}

static void what_was_begun_goes_before_beginnings_and_these_have_their_turn(void **state)
{
	const struct world_options options = { .seed = 304, .handshake_steps_per_turn = 1 };
	struct second s;
	struct world w;
	struct tap *t;

	(void)state;
	world_init(&w, &options);
	t = held(&w, AUTH_ECDSA, 10);
	tap_off(t);
	s = (struct second){ &w, COUNT(&w, hello_admitted) };
	for (unsigned i = 0; i < 5; i++)
		client_new(&w, AUTH_ECDSA, 0, NULL);
	pause_(&w, 10); /* their second hellos, and behind them the answers of the others */
	release_backwards(t);
	assert_true(world_run(&w, MINUTE, second_has_begun, &s));
	/* and the first of the new ones, which was under way by then */
	assert_int_equal(COUNT(&w, handshake_done), 11);
	assert_true(world_run(&w, 500, all_done, &w));
	assert_int_equal(COUNT(&w, handshake_evicted) + COUNT(&w, flight_resent), 0);
	tap_free(t);
	world_end(&w);
}

/* ---- what becomes of those who wait ---- */

/* All of it arrives within one turn: the first has its step, the others stand in line. */
static void arrive_at_once(struct tap *t)
{
	for (unsigned i = 0; i < t->kept; i++)
		tap_release(t, i);
	t->w->net.now += 5;
	engine_turn(t->w->engine);
	world_deliver(t->w);
}

static void time_in_the_line_is_not_the_peers(void **state)
{
	const struct world_options options = { .seed = 305, .handshake_steps_per_turn = 1,
					       .handshake_timeout_ms = 3000 };
	struct world w;
	struct tap *t;

	(void)state;
	world_init(&w, &options);
	t = held(&w, AUTH_ECDSA, 3);
	/* the Finished of the last one is lost */
	while (has_record(t->packet[t->kept - 1].data, t->packet[t->kept - 1].len, DTLS_HANDSHAKE, 1))
		t->kept--;
	arrive_at_once(t);
	assert_int_equal(COUNT(&w, handshake_done), 1);
	assert_int_equal(COUNT(&w, handshake_queued), 2);
	w.net.now += 10000; /* a very slow machine */
	pause_(&w, 100);
	assert_int_equal(COUNT(&w, handshake_done), 2);
	/* when it is the peer's turn again, its time goes on */
	pause_(&w, 2500);
	assert_int_equal(COUNT(&w, handshake_failed), 0);
	assert_int_equal(engine_handshakes(w.engine), 1);
	pause_(&w, 1000);
	assert_int_equal(COUNT(&w, handshake_timeout), 1);
	assert_int_equal(engine_handshakes(w.engine), 0);
	tap_free(t);
	world_end(&w);
}

static void who_waits_is_not_evicted(void **state)
{
	const struct world_options options = { .seed = 306, .handshake_steps_per_turn = 1,
					       .limits = { 100, 10, 0, 64, 0 } };
	struct client *more;
	struct world w;
	struct tap *t;

	(void)state;
	world_init(&w, &options);
	t = held(&w, AUTH_ECDSA, 10);
	tap_off(t);
	more = client_new(&w, AUTH_ECDSA, 0, NULL);
	pause_(&w, 9); /* its cookie arrives behind the answers */
	arrive_at_once(t);
	assert_true(world_run(&w, 100, client_is_done, more));
	assert_int_equal(COUNT(&w, hello_queued), 9 + 1);
	assert_int_equal(COUNT(&w, handshake_done), 11);
	assert_int_equal(COUNT(&w, handshake_evicted) + COUNT(&w, limited_handshakes), 0);
	tap_free(t);
	world_end(&w);
}

static void a_flight_repeated_in_the_line_changes_nothing(void **state)
{
	const struct world_options options = { .seed = 307, .handshake_steps_per_turn = 1 };
	struct world w;
	struct tap *t;

	(void)state;
	world_init(&w, &options);
	t = held(&w, AUTH_ECDSA, 5);
	tap_off(t);
	arrive_at_once(t);
	for (unsigned i = 0; i < 3; i++)
		arrive_at_once(t);
	assert_true(world_run(&w, 100, all_done, &w));
	assert_int_equal(COUNT(&w, handshake_queued), 4);
	assert_int_equal(COUNT(&w, handshake_done), 5);
	assert_int_equal(COUNT(&w, flight_resent), 0);
	tap_free(t);
	world_end(&w);
}

static void a_hello_in_fragments_waits_for_its_signature(void **state)
{
	const struct world_options options = { .seed = 308, .handshake_steps_per_turn = 1 };
	struct client *cut;
	struct world w;
	struct tap *t;

	(void)state;
	world_init(&w, &options);
	t = held(&w, AUTH_ECDSA, 3);
	tap_off(t);
	cut = client_new(&w, AUTH_ECDSA, 0, NULL);
	gnutls_dtls_set_mtu(cut->session, 256 - 150);
	assert_true(world_run(&w, 100, client_is_done, cut));
	assert_int_equal(COUNT(&w, handshake_queued), 1); /* its beginning was the step of that turn */
	tap_free(t);
	world_end(&w);
}

static void shutting_down_drops_those_who_wait(void **state)
{
	(void)state;
	for (unsigned sudden = 0; sudden < 2; sudden++) {
		const struct world_options options = { .seed = 309 + sudden, .handshake_steps_per_turn = 1 };
		struct world w;
		struct tap *t;

		world_init(&w, &options);
		t = held(&w, AUTH_ECDSA, 5);
		arrive_at_once(t);
		assert_int_equal(COUNT(&w, handshake_queued), 4);
		if (!sudden) {
			engine_drain(w.engine);
			pause_(&w, 10);
			assert_true(engine_drained(w.engine));
			assert_int_equal(COUNT(&w, handshake_done), 2); /* the last turn had a step */
			assert_int_equal(COUNT(&w, handshake_drained), 3);
			assert_int_equal(COUNT(&w, session_closed_drain), 2);
		}
		tap_free(t);
		world_end(&w);
	}
}

/* ---- the books ---- */

/* A peer that says no more after its second hello. */
static void vanish(struct world *w, uint16_t port)
{
	uint64_t begun = COUNT(w, hello_admitted);
	struct client *c = client_new(w, AUTH_PSK, port, NULL);

	while (COUNT(w, hello_admitted) == begun)
		pause_(w, 1);
	client_free(c);
	pause_(w, 10); /* what it was sent is not for who comes after it */
}

static void every_handshake_ends_in_one_way_that_is_counted(void **state)
{
	const struct world_options options = { .seed = 311, .limits = { 100, 2, 0, 64, 0 },
					       .handshake_timeout_ms = 3000 };
	struct world w;

	(void)state;
	world_init(&w, &options);
	connected(&w, AUTH_PSK, 0);
	vanish(&w, 0);
	pause_(&w, 4000);
	assert_int_equal(COUNT(&w, handshake_failed), 1);
	vanish(&w, 0);
	vanish(&w, 0);
	connected(&w, AUTH_PSK, 0);
	assert_int_equal(COUNT(&w, handshake_evicted), 1);
	vanish(&w, 910);
	connected(&w, AUTH_PSK, 910);
	assert_int_equal(COUNT(&w, handshake_replaced), 1);
	assert_int_equal(engine_handshakes(w.engine), 1);
	assert_int_equal(COUNT(&w, handshake_drained), 0);
	engine_drain(w.engine);
	pause_(&w, 10);
	assert_int_equal(COUNT(&w, handshake_drained), 1);
	assert_int_equal(COUNT(&w, handshake_done), 3);
	assert_int_equal(COUNT(&w, hello_admitted), 3 + 4);
	world_end(&w); /* adds them up in every test */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_hundred_answers_at_once_are_taken_one_a_turn),
		cmocka_unit_test(a_client_certificate_takes_three_steps),
		cmocka_unit_test(who_needs_no_expensive_step_does_not_wait),
		cmocka_unit_test(what_was_begun_goes_before_beginnings_and_these_have_their_turn),
		cmocka_unit_test(time_in_the_line_is_not_the_peers),
		cmocka_unit_test(who_waits_is_not_evicted),
		cmocka_unit_test(a_flight_repeated_in_the_line_changes_nothing),
		cmocka_unit_test(a_hello_in_fragments_waits_for_its_signature),
		cmocka_unit_test(shutting_down_drops_those_who_wait),
		cmocka_unit_test(every_handshake_ends_in_one_way_that_is_counted),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
