/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * services: several of them behind one engine, each with its own identity, handler, time-outs and share, and what
 * becomes of their peers when a reload changes, moves or removes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "handlers.h"
#include "session.h"
#include "world.h"

static struct client *connected_to(struct world *w, unsigned listener, enum world_auth auth)
{
	struct client *c = client_new_to(w, listener, auth);

	assert_true(world_run(w, MINUTE, client_is_done, c));
	return c;
}

static void echoes(struct world *w, struct client *c)
{
	unsigned before = c->echoes;

	client_say(c, before);
	pause_(w, 100);
	assert_int_equal(c->echoes, before + 1);
}

/* It is not answered, be it a handshake or not. */
static void silent(struct world *w, unsigned listener)
{
	struct client *c = client_new_to(w, listener, AUTH_PSK);
	uint64_t challenged = COUNT(w, hello_challenged);

	pause_(w, 3000);
	assert_false(c->done);
	assert_int_equal(COUNT(w, hello_challenged), challenged);
	client_free(c);
}

static gnutls_pk_algorithm_t key_of_server(struct client *c)
{
	unsigned count;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(c->session, &count);
	gnutls_x509_crt_t cert;
	int type;

	assert_non_null(chain);
	assert_int_equal(gnutls_x509_crt_init(&cert), 0);
	assert_int_equal(gnutls_x509_crt_import(cert, chain, GNUTLS_X509_FMT_DER), 0);
	type = gnutls_x509_crt_get_pk_algorithm(cert, NULL);
	gnutls_x509_crt_deinit(cert);
	return (gnutls_pk_algorithm_t)type;
}

static void each_has_its_own_identity_and_handler(void **state)
{
	const struct world_options first = { .seed = 1 }, second = { .rsa = true, .handler = &handler_discard };
	struct client *a, *b;
	struct world w;

	(void)state;
	world_init(&w, &first);
	world_serve(&w, 1, world_service(&second, "second", NULL));
	a = connected_to(&w, 0, AUTH_ECDSA);
	b = connected_to(&w, 1, AUTH_RSA);
	assert_int_equal(key_of_server(a), GNUTLS_PK_ECDSA);
	assert_int_equal(key_of_server(b), GNUTLS_PK_RSA);
	echoes(&w, a);
	client_say(b, 0);
	pause_(&w, 1000);
	assert_int_equal(b->echoes, 0);
	assert_int_equal(COUNT(&w, records_in), 2);
	world_end(&w);
}

static void a_ticket_of_one_is_of_no_use_at_the_other(void **state)
{
	const struct world_options o = { .seed = 2 };
	gnutls_datum_t ticket;
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	world_serve(&w, 1, world_service(&o, "second", NULL));
	c = connected_to(&w, 0, AUTH_ECDSA);
	assert_int_equal(gnutls_session_get_data2(c->session, &ticket), 0);
	for (unsigned listener = 0; listener < 2; listener++) {
		c = client_new_to(&w, listener, AUTH_ECDSA);
		assert_int_equal(gnutls_session_set_data(c->session, ticket.data, ticket.size), 0);
		assert_true(world_run(&w, MINUTE, client_is_done, c));
		assert_int_equal(gnutls_session_is_resumed(c->session), listener == 0);
		echoes(&w, c);
	}
	gnutls_free(ticket.data);
	world_end(&w);
}

static void a_listener_without_a_service_is_silent(void **state)
{
	const struct world_options o = { .seed = 3 };
	struct world w;

	(void)state;
	world_init(&w, &o);
	silent(&w, 1);
	world_end(&w);
}

static void a_full_service_refuses_and_the_others_serve(void **state)
{
	const struct world_options free = { .seed = 4 }, small = { .quota = { .sessions = 2 } };
	struct client *c, *again;
	struct world w;

	(void)state;
	world_init(&w, &free);
	world_serve(&w, 1, world_service(&small, "small", NULL));
	c = connected_to(&w, 1, AUTH_PSK);
	connected_to(&w, 1, AUTH_PSK);
	again = client_new_to(&w, 1, AUTH_PSK);
	pause_(&w, 5000);
	assert_false(again->done);
	assert_true(COUNT(&w, limited_sessions) > 0);
	connected_to(&w, 0, AUTH_PSK);
	client_bye(c); /* gives its place away */
	assert_true(world_run(&w, MINUTE, client_is_done, again));
	echoes(&w, again);
	world_end(&w);
}

static void a_peer_that_restarts_needs_no_second_place(void **state)
{
	const struct world_options small = { .seed = 5, .quota = { .sessions = 1 } };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &small);
	c = connected(&w, AUTH_PSK, 777);
	client_free(c);
	c = connected(&w, AUTH_PSK, 777);
	echoes(&w, c);
	assert_int_equal(COUNT(&w, session_closed_replaced), 1);
	world_end(&w);
}

static void a_service_evicts_its_own_half_open_peers_only(void **state)
{
	const struct world_options free = { .seed = 6 }, small = { .quota = { .handshakes = 1 } };
	struct client *other, *mute, *c;
	struct world w;

	(void)state;
	world_init(&w, &free);
	world_serve(&w, 1, world_service(&small, "small", NULL));
	w.net.down.delay = 2000; /* all stay half open */
	other = client_new_to(&w, 0, AUTH_PSK);
	mute = client_new_to(&w, 1, AUTH_PSK);
	pause_(&w, 3000);
	assert_int_equal(engine_handshakes(w.engine), 2);
	w.net.down.delay = 0;
	c = connected_to(&w, 1, AUTH_PSK);
	assert_int_equal(COUNT(&w, handshake_evicted), 1);
	assert_true(world_run(&w, MINUTE, client_is_done, other));
	echoes(&w, c);
	(void)mute;
	world_end(&w);
}

/* Nobody gives his place to one who is then refused, be it by the rate of the service or by its share. */
static void who_is_refused_evicts_nobody(void **state)
{
	const struct world_options free = { .seed = 8, .limits = { 100, 2, 0, 64, 0 } };
	const struct world_options slow = { .quota = { .handshakes = 1, .handshake_rate = 1 } };
	const struct world_options full = { .quota = { .sessions = 1 } };
	struct client *first;
	struct world w;

	(void)state;
	world_init(&w, &free);
	world_serve(&w, 1, world_service(&slow, "slow", NULL));
	world_serve(&w, 2, world_service(&full, "full", NULL));
	connected_to(&w, 2, AUTH_PSK);
	w.net.down.delay = 300; /* all stay half open for a while */
	first = client_new_to(&w, 0, AUTH_PSK);
	client_new_to(&w, 1, AUTH_PSK);
	pause_(&w, 100);
	client_new_to(&w, 1, AUTH_PSK);
	client_new_to(&w, 2, AUTH_PSK);
	pause_(&w, 400);
	assert_int_equal(COUNT(&w, handshake_evicted), 0);
	assert_int_equal(COUNT(&w, limited_rate), 1);
	assert_int_equal(COUNT(&w, limited_sessions), 1);
	assert_int_equal(engine_handshakes(w.engine), 2);
	assert_true(world_run(&w, MINUTE, client_is_done, first));
	world_end(&w);
}

static void the_rate_of_a_service_is_its_own(void **state)
{
	const struct world_options free = { .seed = 7 }, slow = { .quota = { .handshake_rate = 1 } };
	struct client *c[5];
	struct world w;

	(void)state;
	world_init(&w, &free);
	world_serve(&w, 1, world_service(&slow, "slow", NULL));
	for (int i = 0; i < 5; i++)
		c[i] = client_new_to(&w, 1, AUTH_PSK);
	pause_(&w, 500);
	assert_int_equal(engine_sessions(w.engine), 1);
	assert_true(COUNT(&w, limited_rate) > 0);
	for (int i = 0; i < 5; i++)
		connected_to(&w, 0, AUTH_PSK);
	for (int i = 0; i < 5; i++)
		assert_true(world_run(&w, MINUTE, client_is_done, c[i]));
	world_end(&w);
}

/* ---- reloads ---- */

static void who_is_taken_away_is_told_and_others_do_not_notice(void **state)
{
	const struct world_options o = { .seed = 20 };
	struct client *stays, *goes[300];
	struct world w;

	(void)state;
	world_init(&w, &o);
	world_serve(&w, 1, world_service(&o, "second", NULL));
	stays = connected_to(&w, 0, AUTH_PSK);
	for (int i = 0; i < 300; i++) /* more than one piece of the sweep */
		goes[i] = client_new_to(&w, 1, AUTH_PSK);
	pause_(&w, MINUTE);
	client_new_to(&w, 1, AUTH_PSK); /* in the middle of its handshake */
	pause_(&w, 12);
	world_serve(&w, 1, NULL);
	assert_int_equal(w.left[1], 0);
	pause_(&w, 100);
	for (int i = 0; i < 300; i++)
		assert_true(goes[i]->closed);
	assert_int_equal(w.left[1], 1);
	assert_int_equal(w.left[0], 0);
	assert_int_equal(engine_sessions(w.engine), 1);
	assert_int_equal(engine_handshakes(w.engine), 0);
	silent(&w, 1);
	echoes(&w, stays);
	/* and it can come back */
	world_serve(&w, 1, world_service(&o, "third", NULL));
	echoes(&w, connected_to(&w, 1, AUTH_PSK));
	assert_int_equal(w.left[1], 1);
	world_end(&w);
}

static void new_files_leave_sessions_and_handshakes_alone(void **state)
{
	const struct world_options ecdsa = { .seed = 21 }, rsa = { .rsa = true };
	struct client *live, *half;
	struct world w;

	(void)state;
	world_init(&w, &ecdsa);
	live = connected_to(&w, 0, AUTH_ECDSA);
	half = client_new_to(&w, 0, AUTH_ECDSA);
	while (!engine_handshakes(w.engine))
		pause_(&w, 1);
	world_serve(&w, 0, world_service(&rsa, "sim", w.settings.services[0]->config.standing));
	assert_true(world_run(&w, MINUTE, client_is_done, half));
	assert_int_equal(key_of_server(half), GNUTLS_PK_ECDSA);
	assert_int_equal(key_of_server(connected_to(&w, 0, AUTH_RSA)), GNUTLS_PK_RSA);
	echoes(&w, live);
	echoes(&w, half);
	world_end(&w);
}

/* More of them than one piece of the round, and one in the middle of its handshake. */
static void whose_key_is_gone_is_told_and_others_go_on(void **state)
{
	const struct world_options o = { .seed = 29 }, without = { .psks = "other:00\n" };
	struct client *goes[300], *half, *stays;
	struct standing *standing;
	struct world w;

	(void)state;
	world_init(&w, &o);
	standing = w.settings.services[0]->config.standing;
	stays = connected_to(&w, 0, AUTH_ECDSA);
	for (int i = 0; i < 300; i++)
		goes[i] = client_new_to(&w, 0, AUTH_PSK);
	pause_(&w, MINUTE);
	half = client_new_to(&w, 0, AUTH_PSK);
	while (!engine_handshakes(w.engine))
		pause_(&w, 1);
	world_serve(&w, 0, world_service(&o, "sim", standing)); /* with the same key */
	pause_(&w, 1);
	assert_int_equal(COUNT(&w, session_closed_revoked), 0);
	world_serve(&w, 0, world_service(&without, "sim", standing));
	pause_(&w, 1000);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(goes[i]->error, GNUTLS_E_FATAL_ALERT_RECEIVED);
		assert_int_equal(gnutls_alert_get(goes[i]->session), GNUTLS_A_ACCESS_DENIED);
	}
	assert_int_equal(half->error, GNUTLS_E_FATAL_ALERT_RECEIVED);
	assert_int_equal(COUNT(&w, session_closed_revoked), 301);
	pause_(&w, SESSION_REFUSED_MS + 1000); /* for so long who had not been let in may ask again */
	assert_int_equal(engine_sessions(w.engine), 1);
	assert_int_equal(w.settled, 3);
	echoes(&w, stays);
	world_end(&w);
}

static void a_shorter_idle_time_out_holds_for_live_sessions(void **state)
{
	const struct world_options patient = { .seed = 22, .idle_timeout_ms = 600000 }, hasty = { .idle_timeout_ms = 5000 };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &patient);
	c = connected_to(&w, 0, AUTH_PSK);
	pause_(&w, 10000);
	assert_false(c->closed);
	world_serve(&w, 0, world_service(&hasty, "sim", w.settings.services[0]->config.standing));
	pause_(&w, 1000);
	assert_true(c->closed);
	assert_int_equal(COUNT(&w, session_closed_idle), 1);
	world_end(&w);
}

static void another_handler_begins_anew(void **state)
{
	const struct world_options echo = { .seed = 23 }, discard = { .handler = &handler_discard };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &discard);
	c = connected_to(&w, 0, AUTH_PSK);
	world_serve(&w, 0, world_service(&echo, "sim", w.settings.services[0]->config.standing));
	pause_(&w, 100);
	assert_true(c->closed);
	assert_int_equal(w.left[0], 0);
	echoes(&w, connected_to(&w, 0, AUTH_PSK));
	world_end(&w);
}

static const struct service_route deny_psk[] = {
	{ .name = "deny", .place = "x:1: ", .rule = { .identity = "psk:s?m", .deny = true } },
	{ .name = "discard", .place = "x:2: ", .rule = { .identity = "CN=*" }, .handler = &handler_discard },
};

static void routes_lead_to_handlers_or_deny(void **state)
{
	const struct world_options o = { .seed = 27, .verify = VERIFY_CLIENT_OPTIONAL, .routes = deny_psk,
					 .route_count = 2 };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = client_new(&w, AUTH_PSK, 0, NULL);
	pause_(&w, 1000);
	assert_int_equal(c->error, GNUTLS_E_FATAL_ALERT_RECEIVED);
	assert_int_equal(gnutls_alert_get(c->session), GNUTLS_A_ACCESS_DENIED);
	assert_int_equal(COUNT(&w, session_closed_denied), 1);
	c = connected_to(&w, 0, AUTH_MUTUAL);
	client_say(c, 0);
	pause_(&w, 1000);
	assert_int_equal(c->echoes, 0);
	assert_int_equal(COUNT(&w, records_in), 1);
	echoes(&w, connected_to(&w, 0, AUTH_ECDSA)); /* nobody in particular: no route is for it */
	world_end(&w);
}

/* All that is on its way but for the first so many. */
static void lose_behind(struct net *n, unsigned keep)
{
	struct net_packet **at = &n->queue, *next;

	for (; keep > 0; keep--)
		at = &(*at)->next;
	for (; *at; *at = next) {
		next = (*at)->next;
		free(*at);
	}
}

/* It asks for our final flight, or takes itself for connected as the alert alone was lost. */
static void who_is_denied_is_told_again_when_that_was_lost(void **state)
{
	const struct world_options o = { .seed = 30, .routes = deny_psk, .route_count = 1 };
	struct client *c;
	struct world w;

	(void)state;
	for (unsigned keep = 0; keep < 2; keep++) { /* nothing, or the flight but not the alert */
		world_init(&w, &o);
		c = client_new(&w, AUTH_PSK, 0, NULL);
		while (COUNT(&w, session_closed_denied) == 0)
			pause_(&w, 1);
		lose_behind(&w.net, keep);
		pause_(&w, 500);
		assert_int_equal(c->error, 0);
		assert_int_equal(c->done, keep == 1);
		if (c->done)
			client_say(c, 0);
		pause_(&w, 2000);
		assert_int_equal(c->error, GNUTLS_E_FATAL_ALERT_RECEIVED);
		assert_int_equal(gnutls_alert_get(c->session), GNUTLS_A_ACCESS_DENIED);
		pause_(&w, SESSION_REFUSED_MS);
		assert_int_equal(engine_sessions(w.engine), 0);
		assert_int_equal(COUNT(&w, session_closed_denied), 1);
		assert_int_equal(COUNT(&w, records_in), 0);
		world_end(&w);
	}
}

static void other_routes_begin_anew_and_the_same_go_on(void **state)
{
	const struct world_options o = { .seed = 28, .routes = deny_psk, .route_count = 2 },
				   fewer = { .routes = deny_psk, .route_count = 1 };
	struct standing *standing;
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	standing = w.settings.services[0]->config.standing;
	c = connected_to(&w, 0, AUTH_ECDSA);
	world_serve(&w, 0, world_service(&o, "sim", standing));
	pause_(&w, 100);
	assert_false(c->closed);
	echoes(&w, c);
	world_serve(&w, 0, world_service(&fewer, "sim", standing));
	pause_(&w, 100);
	assert_true(c->closed);
	assert_int_equal(w.left[0], 0);
	echoes(&w, connected_to(&w, 0, AUTH_ECDSA));
	world_end(&w);
}

static void an_address_that_moves_begins_anew_in_the_other_quota(void **state)
{
	const struct world_options free = { .seed = 24 }, small = { .quota = { .sessions = 1 } };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &free);
	world_serve(&w, 1, world_service(&small, "small", NULL));
	c = connected_to(&w, 0, AUTH_PSK);
	connected_to(&w, 1, AUTH_PSK);
	world_serve(&w, 0, service_ref(w.settings.services[1]));
	pause_(&w, 100);
	assert_true(c->closed);
	c = client_new_to(&w, 0, AUTH_PSK);
	pause_(&w, 5000);
	assert_false(c->done); /* the one session of the service is at the other address */
	world_serve(&w, 1, NULL);
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	echoes(&w, c);
	world_end(&w); /* where all quotas want to be empty */
}

/* An address beside a wildcard: the same flow comes in by another listener. */
static void a_flow_may_come_by_another_listener(void **state)
{
	const struct world_options o = { .seed = 25, .quota = { .sessions = 5 } };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	world_serve(&w, 1, world_service(&o, "second", NULL));
	for (unsigned again = 0; again < 3; again++) {
		c = connected(&w, AUTH_PSK, 777);
		echoes(&w, c);
		client_free(c);
		w.shift = again == 0; /* the second by listener 1, the third by 0 again */
	}
	assert_int_equal(COUNT(&w, session_closed_replaced), 2);
	w.shift = 1; /* a handshake beside the session, in the other quota, that comes to nothing */
	c = client_new(&w, AUTH_PSK, 777, NULL);
	while (!engine_handshakes(w.engine))
		pause_(&w, 1);
	client_free(c);
	world_serve(&w, 1, NULL);
	pause_(&w, 100);
	assert_int_equal(engine_handshakes(w.engine), 0);
	assert_int_equal(engine_sessions(w.engine), 1);
	world_end(&w);
}

static void reloads_under_load_lose_nobody(void **state)
{
	const struct world_options o = { .seed = 26 };
	struct client *c[40];
	struct world w;

	(void)state;
	world_init(&w, &o);
	for (int i = 0; i < 40; i++) {
		c[i] = client_new_to(&w, 0, i % 2 ? AUTH_PSK : AUTH_ECDSA);
		world_serve(&w, 0, world_service(&o, "sim", w.settings.services[0]->config.standing));
		world_serve(&w, 1, i % 3 ? NULL : world_service(&o, "second", NULL));
		pause_(&w, 3);
	}
	for (int i = 0; i < 40; i++) {
		assert_true(world_run(&w, MINUTE, client_is_done, c[i]));
		echoes(&w, c[i]);
	}
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_own_identity_and_handler),
		cmocka_unit_test(a_ticket_of_one_is_of_no_use_at_the_other),
		cmocka_unit_test(a_listener_without_a_service_is_silent),
		cmocka_unit_test(a_full_service_refuses_and_the_others_serve),
		cmocka_unit_test(a_peer_that_restarts_needs_no_second_place),
		cmocka_unit_test(a_service_evicts_its_own_half_open_peers_only),
		cmocka_unit_test(who_is_refused_evicts_nobody),
		cmocka_unit_test(the_rate_of_a_service_is_its_own),
		cmocka_unit_test(who_is_taken_away_is_told_and_others_do_not_notice),
		cmocka_unit_test(new_files_leave_sessions_and_handshakes_alone),
		cmocka_unit_test(whose_key_is_gone_is_told_and_others_go_on),
		cmocka_unit_test(a_shorter_idle_time_out_holds_for_live_sessions),
		cmocka_unit_test(another_handler_begins_anew),
		cmocka_unit_test(routes_lead_to_handlers_or_deny),
		cmocka_unit_test(who_is_denied_is_told_again_when_that_was_lost),
		cmocka_unit_test(other_routes_begin_anew_and_the_same_go_on),
		cmocka_unit_test(an_address_that_moves_begins_anew_in_the_other_quota),
		cmocka_unit_test(a_flow_may_come_by_another_listener),
		cmocka_unit_test(reloads_under_load_lose_nobody),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
