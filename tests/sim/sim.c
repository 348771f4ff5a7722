/* SPDX-License-Identifier: BSD-2-Clause */
/* sim: whole handshakes and conversations over networks that misbehave, seeded, in virtual time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attacks.h"
#include "handlers.h"
#include "session.h"
#include "wire.h"
#include "world.h"

/* Says messages first..first+n-1, one every 20 ms, and gives the echoes time to come. */
static void converse(struct world *w, struct client *c, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		client_say(c, i);
		pause_(w, 20);
	}
	pause_(w, 500);
}

/* ---- a network that does nothing wrong ---- */

static void every_key_exchange_gives_a_session_that_echoes(void **state)
{
	static const enum world_auth all[] = { AUTH_ECDSA, AUTH_PSK, AUTH_ECDHE_PSK, AUTH_MUTUAL };
	const struct world_options o = { .seed = 1, .verify = VERIFY_CLIENT_OPTIONAL };
	struct world w;

	(void)state;
	world_init(&w, &o);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct client *c = connected(&w, all[i], 0);

		converse(&w, c, 0, 5);
		assert_int_equal(c->echoes, 5);
		assert_int_equal(c->strange + c->repeated, 0);
	}
	assert_int_equal(COUNT(&w, handshake_done), 4);
	assert_int_equal(COUNT(&w, handshake_failed), 0);
	assert_int_equal(COUNT(&w, flight_resent), 0);
	assert_int_equal(engine_handshakes(w.engine), 0);
	world_end(&w);
}

static void nothing_is_kept_for_a_peer_that_never_returns_its_cookie(void **state)
{
	const struct world_options o = { .seed = 2 };
	struct world w;

	(void)state;
	world_init(&w, &o);
	w.net.down.loss = 1000; /* as with a spoofed source: our answers go elsewhere */
	for (int i = 0; i < 20; i++)
		client_new(&w, AUTH_ECDSA, 0, NULL);
	pause_(&w, 5000);
	assert_true(COUNT(&w, hello_challenged) >= 20);
	assert_int_equal(engine_handshakes(w.engine), 0);
	assert_int_equal(census_sessions(w.census), 0);
	assert_true(w.net.bytes_down < w.net.bytes_up);
	world_end(&w);
}

static void a_session_resumes_by_ticket(void **state)
{
	const struct world_options o = { .seed = 3 };
	gnutls_datum_t data;
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_ECDSA, 0);
	converse(&w, c, 0, 1);
	assert_int_equal(gnutls_session_get_data2(c->session, &data), 0);
	c = client_new(&w, AUTH_ECDSA, 0, &data);
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	assert_true(gnutls_session_is_resumed(c->session));
	converse(&w, c, 0, 3);
	assert_int_equal(c->echoes, 3);
	assert_int_equal(COUNT(&w, handshake_resumed), 1);
	gnutls_free(data.data);
	world_end(&w);
}

static void close_notify_is_answered_and_the_session_is_gone(void **state)
{
	const struct world_options o = { .seed = 4 };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_PSK, 0);
	client_bye(c);
	pause_(&w, 100);
	assert_true(c->closed);
	assert_int_equal(engine_sessions(w.engine), 0);
	assert_int_equal(COUNT(&w, session_closed_peer), 1);
	world_end(&w);
}

static void idle_sessions_leave_with_close_notify_and_busy_ones_stay(void **state)
{
	const struct world_options o = { .seed = 5, .idle_timeout_ms = 10000 };
	struct client *quiet, *busy;
	struct world w;

	(void)state;
	world_init(&w, &o);
	quiet = connected(&w, AUTH_PSK, 0);
	busy = connected(&w, AUTH_PSK, 0);
	for (unsigned i = 0; i < 4; i++)
		converse(&w, busy, i, 1), pause_(&w, 3000);
	assert_true(quiet->closed);
	assert_false(busy->closed);
	assert_int_equal(engine_sessions(w.engine), 1);
	assert_int_equal(COUNT(&w, session_closed_idle), 1);
	world_end(&w);
}

static void draining_says_goodbye_to_all(void **state)
{
	const struct world_options o = { .seed = 6 };
	struct client *c[20];
	struct world w;

	(void)state;
	world_init(&w, &o);
	for (int i = 0; i < 20; i++)
		c[i] = connected(&w, AUTH_PSK, 0);
	client_new(&w, AUTH_PSK, 0, NULL); /* in the middle of its handshake */
	pause_(&w, 12);
	engine_drain(w.engine);
	pause_(&w, 100);
	assert_true(engine_drained(w.engine));
	for (int i = 0; i < 20; i++)
		assert_true(c[i]->closed);
	assert_int_equal(COUNT(&w, session_closed_drain), 20);
	world_end(&w);
}

static int refuse(struct session *s)
{
	(void)s;
	return -EPERM;
}

static void swallow(struct session *s, const uint8_t *data, size_t len)
{
	(void)s;
	(void)data;
	(void)len;
}

static void a_handler_that_refuses_a_session_closes_it(void **state)
{
	static const struct handler unfriendly = { .name = "unfriendly", .open = refuse, .record = swallow };
	const struct world_options o = { .seed = 15, .handler = &unfriendly };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_PSK, 0);
	pause_(&w, 100);
	assert_true(c->closed);
	assert_int_equal(COUNT(&w, session_closed_local), 1);
	world_end(&w);
}

/* Answers as if it had sent almost all that a session may. */
static void exhaust(struct session *s, const uint8_t *data, size_t len)
{
	s->record.write_seq |= DTLS_SEQ_MAX - 100;
	(void)session_send(s, data, len);
}

static void a_session_that_has_used_up_its_numbers_is_closed(void **state)
{
	static const struct handler talkative = { .name = "talkative", .record = exhaust };
	const struct world_options o = { .seed = 16, .handler = &talkative };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_PSK, 0);
	client_say(c, 0);
	pause_(&w, 100);
	assert_true(c->closed);
	assert_int_equal(c->echoes, 0);
	assert_int_equal(COUNT(&w, session_closed_seq), 1);
	world_end(&w);
}

/* ---- restarts ---- */

static void a_restarted_peer_replaces_its_session_only_when_it_has_finished(void **state)
{
	const struct world_options o = { .seed = 7 };
	struct client *old, *fresh;
	struct world w;

	(void)state;
	world_init(&w, &o);
	old = connected(&w, AUTH_ECDSA, 777);
	converse(&w, old, 0, 2);
	fresh = client_new(&w, AUTH_ECDSA, 777, NULL);
	/* the old session serves while the new handshake is on its way */
	for (unsigned i = 2; !fresh->done && i < 40; i++) {
		assert_true(engine_sessions(w.engine) == 1);
		world_run(&w, 3, client_is_done, fresh);
	}
	assert_true(fresh->done);
	client_free(old);
	converse(&w, fresh, 0, 3);
	assert_int_equal(fresh->echoes, 3);
	assert_int_equal(engine_sessions(w.engine), 1);
	assert_int_equal(COUNT(&w, session_closed_replaced), 1);
	world_end(&w);
}

static void a_restart_in_any_phase_of_a_handshake_is_survived(void **state)
{
	(void)state;
	/* 5 ms a hop: every step up to 60 ms is another phase */
	for (uint64_t at = 1; at < 60; at += 4) {
		const struct world_options o = { .seed = 100 + at };
		struct client *first, *second;
		struct world w;

		world_init(&w, &o);
		first = client_new(&w, AUTH_ECDSA, 778, NULL);
		pause_(&w, at);
		client_free(first);
		second = client_new(&w, AUTH_ECDSA, 778, NULL);
		/* what is still on its way to the first may make the second give up: it is started once more */
		for (int tries = 0; tries < 3 && !second->done; tries++) {
			if (second->error) {
				client_free(second);
				second = client_new(&w, AUTH_ECDSA, 778, NULL);
			}
			world_run(&w, MINUTE, client_settled, second);
		}
		assert_true(second->done);
		converse(&w, second, 0, 2);
		assert_int_equal(second->echoes, 2);
		assert_int_equal(engine_sessions(w.engine), 1);
		assert_int_equal(engine_handshakes(w.engine), 0);
		world_end(&w);
	}
}

static void an_old_hello_replayed_does_not_touch_the_session_it_led_to(void **state)
{
	const struct world_options o = { .seed = 8 };
	struct net_packet *copy[16], *p;
	unsigned copies = 0;
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	/* keep a copy of everything that goes up during the handshake */
	while (!c->done) {
		for (p = w.net.queue; p && copies < 16; p = p->next) {
			bool known = !p->to_server;

			for (unsigned i = 0; i < copies; i++)
				known |= copy[i]->order == p->order;
			if (known)
				continue;
			copy[copies] = malloc(sizeof(*p) + p->len);
			memcpy(copy[copies++], p, sizeof(*p) + p->len);
		}
		pause_(&w, 1);
	}
	converse(&w, c, 0, 2);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < copies; i++) {
			net_send(&w.net, &c->flow, true, copy[i]->data, copy[i]->len);
			pause_(&w, 20);
		}
	converse(&w, c, 2, 2);
	assert_int_equal(c->echoes, 4);
	assert_int_equal(c->repeated, 0);
	assert_int_equal(engine_sessions(w.engine), 1);
	assert_int_equal(engine_handshakes(w.engine), 0);
	assert_int_equal(COUNT(&w, hello_admitted), 1);
	for (unsigned i = 0; i < copies; i++)
		free(copy[i]);
	world_end(&w);
}

/* ---- networks that misbehave ---- */

static const struct net_faults weather[] = {
	{ .loss = 50 },
	{ .loss = 100 },
	{ .loss = 200 },
	{ .loss = 300 },
	{ .duplicate = 500 },
	{ .reorder = 500 },
	{ .loss = 150, .duplicate = 200, .reorder = 300 },
};

static void handshakes_complete_in_any_weather(void **state)
{
	static const enum world_auth auths[] = { AUTH_ECDSA, AUTH_RSA, AUTH_PSK, AUTH_ECDHE_PSK, AUTH_MUTUAL };

	(void)state;
	for (size_t f = 0; f < sizeof(weather) / sizeof(weather[0]); f++) {
		unsigned failed = 0;

		for (uint64_t seed = 1; seed <= 100; seed++) {
			const struct world_options o = { .seed = seed, .verify = VERIFY_CLIENT_OPTIONAL,
							 .handshake_timeout_ms = 120000,
							 .rsa = auths[seed % 5] == AUTH_RSA };
			enum world_auth auth = auths[seed % 5];
			struct client *c;
			struct world w;

			world_init(&w, &o);
			w.net.up = w.net.down = weather[f];
			c = client_new(&w, auth, 0, NULL);
			world_run(&w, 3 * MINUTE, client_settled, c);
			failed += !c->done;
			world_end(&w);
		}
		/*
		 * The client gives up after 60 s, that is 7 tries. A round trip fails by (1 - p)^2: at 30 % loss the
		 * hello alone comes to nothing in 1 of 110, at 20 % in 1 of 1300.
		 */
		print_message("# loss %u: %u of 100 handshakes failed\n", weather[f].loss, failed);
		assert_true(failed <= (weather[f].loss >= 300 ? 8 : 2));
	}
}

static void data_is_never_altered_repeated_or_invented(void **state)
{
	(void)state;
	for (size_t f = 0; f < sizeof(weather) / sizeof(weather[0]); f++) {
		const struct world_options o = { .seed = 50 + f };
		struct client *c;
		struct world w;

		world_init(&w, &o);
		c = connected(&w, AUTH_ECDSA, 0);
		w.net.up = w.net.down = weather[f];
		w.net.up.corrupt = w.net.down.corrupt = 50;
		converse(&w, c, 0, 200);
		assert_int_equal(c->strange, 0);
		assert_int_equal(c->repeated, 0);
		assert_true(c->echoes > 50);
		if (weather[f].loss == 0)
			assert_true(c->echoes > 150);
		/* the network is well again, and so is the session */
		w.net.up = w.net.down = (struct net_faults){ 0 };
		c->echoes = 0;
		converse(&w, c, 500, 10);
		assert_int_equal(c->echoes, 10);
		world_end(&w);
	}
}

static void corruption_never_harms_the_server(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		const struct world_options o = { .seed = seed, .handshake_timeout_ms = 20000 };
		struct client *healthy, *c;
		struct world w;

		world_init(&w, &o);
		healthy = connected(&w, AUTH_PSK, 0);
		w.net.up.corrupt = w.net.down.corrupt = 400;
		c = client_new(&w, AUTH_ECDSA, 0, NULL);
		world_run(&w, MINUTE, client_settled, c);
		client_free(c);
		w.net.up = w.net.down = (struct net_faults){ 0 };
		pause_(&w, 30000); /* what was begun in the storm is over */
		assert_int_equal(engine_handshakes(w.engine), 0);
		converse(&w, healthy, 0, 2);
		assert_int_equal(healthy->echoes, 2);
		c = connected(&w, AUTH_ECDSA, 0);
		world_end(&w);
	}
}

static void a_lost_final_flight_is_sent_again(void **state)
{
	const struct world_options o = { .seed = 9 };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	while (engine_sessions(w.engine) == 0)
		pause_(&w, 1);
	w.net.down.loss = 1000; /* the first copy was sent in this very millisecond */
	net_clear(&w.net);
	pause_(&w, 1500);
	assert_false(c->done);
	w.net.down.loss = 0;
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	assert_true(COUNT(&w, final_flight_resent) >= 1);
	converse(&w, c, 0, 3);
	assert_int_equal(c->echoes, 3);
	world_end(&w);
}

static void a_chain_gets_through_a_path_of_576_bytes_that_swallows_more(void **state)
{
	const struct world_options o = { .seed = 10, .rsa = true };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	w.net.down.mtu = 548; /* silently: no ICMP comes */
	c = client_new(&w, AUTH_RSA, 0, NULL);
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	assert_true(COUNT(&w, flight_resent) >= 2);
	world_end(&w);
}

static void a_flight_cut_smaller_on_emsgsize_needs_no_timeout(void **state)
{
	const struct world_options o = { .seed = 11, .rsa = true };
	struct client *c;
	struct tx_entry t = { 0 };
	uint64_t begun;
	struct world w;

	(void)state;
	world_init(&w, &o);
	w.net.down.mtu = 548;
	c = client_new(&w, AUTH_RSA, 0, NULL);
	begun = w.net.now;
	while (COUNT(&w, hello_admitted) == 0)
		pause_(&w, 1);
	t.flow = c->flow;
	t.handshake = true;
	engine_too_large(w.engine, &t, 548); /* as the worker does when the kernel refuses */
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	/*
	 * The last datagram of the first try was small enough and arrived; GnuTLS's client cannot merge what
	 * overlaps it and waits for the next copy. By time-outs alone the flight shrinks only after 3 s.
	 */
	assert_true(w.net.now - begun < 2900);
	world_end(&w);
}

static void one_way_silence_ends_by_itself(void **state)
{
	const struct world_options o = { .seed = 12, .idle_timeout_ms = 20000, .handshake_timeout_ms = 15000 };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	connected(&w, AUTH_PSK, 0);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	while (COUNT(&w, hello_admitted) < 2)
		pause_(&w, 1);
	w.net.up.loss = 1000;
	pause_(&w, 2 * MINUTE);
	assert_false(c->done);
	assert_int_equal(engine_sessions(w.engine), 0);
	assert_int_equal(engine_handshakes(w.engine), 0);
	assert_int_equal(COUNT(&w, handshake_timeout), 1);
	assert_int_equal(COUNT(&w, session_closed_idle), 1);
	world_end(&w);
}

/* ---- limits ---- */

static void each_limit_refuses_the_new_and_keeps_the_old(void **state)
{
	struct world_options o = { .seed = 13, .limits = { 3, 100, 0, 64, 0 } };
	struct client *c[3], *over;
	struct world w;

	(void)state;
	world_init(&w, &o);
	for (int i = 0; i < 3; i++)
		c[i] = connected(&w, AUTH_PSK, 0);
	over = client_new(&w, AUTH_PSK, 0, NULL);
	pause_(&w, 5000);
	assert_false(over->done);
	assert_true(COUNT(&w, limited_sessions) > 0);
	converse(&w, c[0], 0, 2);
	assert_int_equal(c[0]->echoes, 2);
	/* a place becomes free, and the one who waits gets it */
	client_bye(c[1]);
	assert_true(world_run(&w, MINUTE, client_is_done, over));
	world_end(&w);

	o.limits = (struct census_limits){ 100, 100, 2, 64, 0 };
	world_init(&w, &o);
	connected(&w, AUTH_PSK, 0);
	connected(&w, AUTH_PSK, 0);
	over = client_new(&w, AUTH_PSK, 0, NULL);
	pause_(&w, 5000);
	assert_false(over->done);
	assert_true(COUNT(&w, limited_address) > 0);
	world_end(&w);
}

static void a_broadcast_reaches_every_session(void **state)
{
	const struct world_options o = { .seed = 14, .handler = &handler_command };
	struct client *c[10];
	struct world w;

	(void)state;
	world_init(&w, &o);
	for (int i = 0; i < 10; i++)
		c[i] = connected(&w, AUTH_PSK, 0);
	assert_int_equal(gnutls_record_send(c[4]->session, "bc hello all", 12), 12);
	pause_(&w, 200);
	/* the judge of echoes does not know the text: that is what strange counts */
	for (int i = 0; i < 10; i++)
		assert_int_equal(c[i]->strange, 1);
	world_end(&w);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_exchange_gives_a_session_that_echoes),
		cmocka_unit_test(nothing_is_kept_for_a_peer_that_never_returns_its_cookie),
		cmocka_unit_test(a_session_resumes_by_ticket),
		cmocka_unit_test(close_notify_is_answered_and_the_session_is_gone),
		cmocka_unit_test(idle_sessions_leave_with_close_notify_and_busy_ones_stay),
		cmocka_unit_test(draining_says_goodbye_to_all),
		cmocka_unit_test(a_handler_that_refuses_a_session_closes_it),
		cmocka_unit_test(a_session_that_has_used_up_its_numbers_is_closed),
		cmocka_unit_test(a_restarted_peer_replaces_its_session_only_when_it_has_finished),
		cmocka_unit_test(a_restart_in_any_phase_of_a_handshake_is_survived),
		cmocka_unit_test(an_old_hello_replayed_does_not_touch_the_session_it_led_to),
		cmocka_unit_test(handshakes_complete_in_any_weather),
		cmocka_unit_test(data_is_never_altered_repeated_or_invented),
		cmocka_unit_test(corruption_never_harms_the_server),
		cmocka_unit_test(a_lost_final_flight_is_sent_again),
		cmocka_unit_test(a_chain_gets_through_a_path_of_576_bytes_that_swallows_more),
		cmocka_unit_test(a_flight_cut_smaller_on_emsgsize_needs_no_timeout),
		cmocka_unit_test(one_way_silence_ends_by_itself),
		cmocka_unit_test(each_limit_refuses_the_new_and_keeps_the_old),
		cmocka_unit_test(a_broadcast_reaches_every_session),
#define X(name) cmocka_unit_test(name),
		ATTACKS(X)
#undef X
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (argc > 1) /* a pattern for the names of those to run, for a look into one */
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
