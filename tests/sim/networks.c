/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * networks: every kind of handshake over every kind of network, many seeds each, in virtual time. For each network
 * one line says how many of how many came through and how long they took. "networks SEEDS" or NETWORK_SEEDS sets
 * how many seeds each gets; make check takes a few.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/dtls.h>

#include "pki.h"
#include "world.h"

#define TRIES 5

static unsigned seeds = 30;

struct weather {
	const char *name;
	struct net_faults both;
	unsigned may_fail; /* of 100 */
};

/*
 * What may fail, fails with the client, which gives up after 60 s, that is 7 tries: at 30 % loss the hello alone
 * comes to nothing in 1 of 110, and a flight of three datagrams comes through in 1 of 3 only. A bit flipped in a
 * plaintext message is believed by any peer.
 */
static const struct weather weathers[] = {
	{ "fair", { 0 }, 0 },
	{ "loss 5 %", { .loss = 50 }, 1 },
	{ "loss 10 %", { .loss = 100 }, 1 },
	{ "loss 20 %", { .loss = 200 }, 4 },
	{ "loss 30 %", { .loss = 300 }, 10 },
	{ "half doubled", { .duplicate = 500 }, 0 },
	{ "half late by up to 80 ms", { .reorder = 500 }, 0 },
	{ "all late by up to 80 ms", { .reorder = 1000 }, 0 },
	{ "one bit wrong in 1 %", { .corrupt = 10 }, 15 },
	{ "300 ms each way", { .delay = 300 }, 0 },
	{ "path of 576 bytes, silent", { .mtu = 548 }, 0 },
	{ "path of 576 bytes, loss 10 %", { .mtu = 548, .loss = 100 }, 3 },
	{ "path of 576 bytes, all late", { .mtu = 548, .reorder = 1000 }, 1 },
	{ "loss 15 %, doubled, late", { .loss = 150, .duplicate = 200, .reorder = 300 }, 3 },
};

static void converse(struct world *w, struct client *c, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		client_say(c, i);
		world_run(w, 20, NULL, NULL);
	}
	world_run(w, 1500, NULL, NULL);
}

/* The session serves, and has altered, repeated and invented nothing, whatever the network did. */
static void expect_integrity(struct world *w, struct client *c)
{
	bool damaged = w->net.down.corrupt > 0;
	uint64_t in, out;

	/* messages of any size: what the path swallows is lost, not refused */
	gnutls_dtls_set_mtu(c->session, 1200);
	converse(w, c, 0, 10);
	w->net.up = w->net.down = (struct net_faults){ 0 };
	world_run(w, 1000, NULL, NULL);
	c->echoes = 0;
	in = COUNT(w, records_in);
	out = COUNT(w, records_out);
	converse(w, c, 500, 3);
	assert_int_equal(COUNT(w, records_in) - in, 3);
	assert_int_equal(COUNT(w, records_out) - out, 3);
	/* GnuTLS's client waits for the rest of a record whose length was damaged, and takes what follows for it */
	assert_true(c->echoes == 3 || damaged);
	assert_int_equal(c->strange, 0);
	assert_int_equal(c->repeated, 0);
	assert_int_equal(engine_sessions(w->engine), 1);
}

/* ---- figures ---- */

struct figures {
	unsigned tries, good;
	uint64_t *took;
};

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void note(struct figures *f, const struct client *c, uint64_t begun)
{
	f->tries++;
	if (!c->done)
		return;
	f->took = realloc(f->took, (f->good + 1) * sizeof(*f->took));
	assert_non_null(f->took);
	f->took[f->good++] = c->done_at - begun;
}

static void report(struct figures *f, const char *name)
{
	if (f->good)
		qsort(f->took, f->good, sizeof(*f->took), by_size);
	print_message("# %s: %u of %u, median %.2f s, 90 %% in %.2f s, all in %.2f s\n", name, f->good, f->tries,
		      f->good ? (double)f->took[f->good / 2] / 1000 : 0,
		      f->good ? (double)f->took[f->good * 9 / 10] / 1000 : 0,
		      f->good ? (double)f->took[f->good - 1] / 1000 : 0);
	free(f->took);
	memset(f, 0, sizeof(*f));
}

/* ---- weathers ---- */

static void try_once(const struct weather *on, unsigned n, struct figures *f)
{
	static const enum world_auth auths[] = { AUTH_ECDSA, AUTH_RSA, AUTH_PSK, AUTH_ECDHE_PSK, AUTH_MUTUAL };
	enum world_auth auth = auths[n % 5];
	const struct world_options o = { .seed = n * 100 + (uint64_t)(on - weathers), .rsa = auth == AUTH_RSA,
					 .verify = VERIFY_CLIENT_OPTIONAL, .handshake_timeout_ms = 120000 };
	struct client *c;
	struct world w;

	world_init(&w, &o);
	w.net.up = w.net.down = on->both;
	c = client_new(&w, auth, 0, NULL);
	if (on->both.mtu) {
		/* it knows its own link; GnuTLS never cuts anew */
		c->mtu = on->both.mtu;
		gnutls_dtls_set_mtu(c->session, (unsigned)c->mtu);
	}
	world_run(&w, 3 * MINUTE, client_settled, c);
	note(f, c, 1000000);
	if (c->done)
		expect_integrity(&w, c);
	world_end(&w);
}

static void handshakes_come_through_and_data_stays_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(weathers) / sizeof(weathers[0]); i++) {
		const struct weather *on = &weathers[i];
		struct figures f = { 0 };
		unsigned failed;

		for (unsigned n = 1; n <= seeds; n++)
			try_once(on, n, &f);
		failed = f.tries - f.good;
		report(&f, on->name);
		/* one more for what few seeds cannot tell */
		assert_true(failed * 100 <= on->may_fail * seeds + (on->may_fail ? 100 : 0));
	}
}

static void who_fails_by_damage_gets_in_at_the_next_try(void **state)
{
	unsigned again = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		const struct world_options o = { .seed = seed, .handshake_timeout_ms = 15000 };
		struct client *c = NULL;
		struct world w;

		world_init(&w, &o);
		w.net.up.corrupt = w.net.down.corrupt = 50;
		for (int i = 0; i < TRIES && (!c || !c->done); i++) {
			if (c)
				client_free(c), again++;
			c = client_new(&w, AUTH_ECDSA, 999, NULL);
			world_run(&w, 2 * MINUTE, client_settled, c);
		}
		assert_true(c->done);
		expect_integrity(&w, c);
		world_run(&w, MINUTE, NULL, NULL);
		assert_int_equal(engine_handshakes(w.engine), 0);
		world_end(&w);
	}
	print_message("# %u of %u had to begin again\n", again, seeds);
}

/* ---- silence ---- */

/* Silence in one direction from a moment of the handshake on, for some time: how long it takes after its end. */
static void silence(bool up, const char *name)
{
	struct figures f = { 0 };

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		const struct world_options o = { .seed = seed, .handshake_timeout_ms = 60000 };
		uint64_t begun, most;
		struct client *c;
		struct world w;

		world_init(&w, &o);
		begun = w.net.now;
		c = client_new(&w, AUTH_ECDSA, 0, NULL);
		world_run(&w, net_random(&w.net, 50), NULL, NULL);
		*(up ? &w.net.up.loss : &w.net.down.loss) = 1000;
		world_run(&w, 500 + net_random(&w.net, 9500), NULL, NULL);
		w.net.up.loss = w.net.down.loss = 0;
		/* both sides double their waits: the next try comes after as much time as has passed, and 1 s */
		most = 2 * (w.net.now - begun) + 2000;
		assert_true(world_run(&w, 2 * MINUTE, client_is_done, c));
		assert_true(c->done_at - begun <= most);
		note(&f, c, begun);
		expect_integrity(&w, c);
		world_end(&w);
	}
	report(&f, name);
}

static void one_way_silence_is_outlived(void **state)
{
	(void)state;
	silence(true, "silence up for 0.5 to 10 s");
	silence(false, "silence down for 0.5 to 10 s");
}

/* A client that repeats itself just before our timer is due must not put it off. */
static void what_the_peer_asks_for_puts_our_own_timer_not_off(void **state)
{
	const struct world_options o = { .seed = 3 };
	uint64_t begun;
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	begun = w.net.now;
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	while (COUNT(&w, hello_admitted) == 0)
		world_run(&w, 1, NULL, NULL);
	net_clear(&w.net);
	w.net.down.loss = 1000;
	world_run(&w, begun + 2500 - w.net.now, NULL, NULL);
	assert_true(COUNT(&w, hello_repeated) >= 1);
	w.net.down.loss = 0;
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	/* resent after 1 and after 2 more seconds */
	assert_in_range(c->done_at - begun, 3000, 3200);
	world_end(&w);
}

/* ---- rebinding ---- */

/* A device on the way gives the client another port: what goes to the old one comes to nobody. */
static void rebind(struct client *c)
{
	c->flow.peer.port = (uint16_t)(c->flow.peer.port + 10000);
}

static void a_port_that_changes_in_a_handshake_harms_nobody(void **state)
{
	unsigned through = 0, tries = 0;

	(void)state;
	for (uint64_t at = 0; at < 60; at++, tries++) {
		const struct world_options o = { .seed = 700 + at, .handshake_timeout_ms = 20000,
						 .idle_timeout_ms = 60000 };
		struct client *c;
		bool early;
		struct world w;

		world_init(&w, &o);
		c = client_new(&w, AUTH_ECDSA, 0, NULL);
		world_run(&w, at, NULL, NULL);
		if (c->done) { /* the next test's matter */
			world_end(&w);
			break;
		}
		early = COUNT(&w, hello_received) < 2;
		rebind(c);
		world_run(&w, 2 * MINUTE, client_settled, c);
		/* the cookie is made anew for the new port; later there is no way on without a connection ID */
		if (early)
			assert_true(c->done);
		through += c->done;
		if (!c->done) {
			client_free(c);
			c = client_new(&w, AUTH_ECDSA, 0, NULL);
			assert_true(world_run(&w, MINUTE, client_is_done, c));
		}
		/* what the old port left behind is over in time */
		world_run(&w, 25000, NULL, NULL);
		assert_int_equal(engine_handshakes(w.engine), 0);
		converse(&w, c, 0, 3);
		assert_int_equal(c->echoes, 3);
		world_run(&w, MINUTE, NULL, NULL);
		assert_true(engine_sessions(w.engine) <= 1);
		world_end(&w);
	}
	print_message("# the port changed at some ms of the handshake: %u of %u came through\n", through, tries);
}

static void a_session_whose_port_changes_is_silent_and_its_peer_begins_anew(void **state)
{
	const struct world_options o = { .seed = 800, .idle_timeout_ms = 30000 };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	converse(&w, c, 0, 2);
	rebind(c);
	converse(&w, c, 2, 3);
	assert_int_equal(c->echoes, 2);
	assert_int_equal(COUNT(&w, drop_no_session), 3);
	c = client_new(&w, AUTH_ECDSA, c->flow.peer.port, NULL);
	client_free(c->next);
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	converse(&w, c, 0, 5);
	assert_int_equal(c->echoes, 5);
	world_run(&w, 27000, NULL, NULL);
	assert_int_equal(COUNT(&w, session_closed_idle), 1); /* the old one */
	world_end(&w);
}

/* ---- large messages ---- */

struct reversal {
	struct net *net;
	struct net_packet *burst; /* last first */
	bool passing;
};

/* Holds what the client sends. */
static bool hold_back(void *ctx, const struct flow *flow, bool to_server, const uint8_t *data, size_t len)
{
	struct reversal *r = ctx;
	struct net_packet *p;

	if (!to_server || r->passing)
		return false;
	p = malloc(sizeof(*p) + len);
	assert_non_null(p);
	p->flow = *flow;
	p->len = len;
	memcpy(p->data, data, len);
	p->next = r->burst;
	r->burst = p;
	return true;
}

/* Lets it go, the last one first. */
static void release(struct reversal *r)
{
	struct net_packet *p;

	r->passing = true;
	while ((p = r->burst)) {
		r->burst = p->next;
		net_send(r->net, &p->flow, true, p->data, p->len);
		free(p);
	}
	r->passing = false;
}

static void a_client_chain_of_10_kb_in_reverse_comes_through_loss(void **state)
{
	static const unsigned losses[] = { 0, 50, 100 };

	(void)state;
	for (size_t l = 0; l < sizeof(losses) / sizeof(losses[0]); l++) {
		struct figures f = { 0 };
		char name[64];

		for (uint64_t seed = 1; seed <= (seeds + 2) / 3; seed++) {
			const struct world_options o = { .seed = seed, .verify = VERIFY_CLIENT_REQUIRED,
							 .handshake_timeout_ms = 120000 };
			struct reversal r;
			struct client *c;
			struct world w;

			world_init(&w, &o);
			r = (struct reversal){ .net = &w.net };
			w.net.up.loss = w.net.down.loss = losses[l];
			w.net.tap = hold_back;
			w.net.tap_ctx = &r;
			c = client_new(&w, AUTH_MUTUAL_BULKY, 0, NULL);
			gnutls_dtls_set_mtu(c->session, 548);
			for (unsigned ms = 0; ms < 2 * MINUTE && !client_settled(c); ms += 5) {
				world_run(&w, 5, client_settled, c);
				release(&r);
			}
			release(&r);
			w.net.tap = NULL;
			note(&f, c, 1000000);
			if (c->done)
				expect_integrity(&w, c);
			world_end(&w);
		}
		snprintf(name, sizeof(name), "client chain of 10 KB, reversed, loss %u %%", losses[l] / 10);
		assert_true(f.good + (losses[l] ? f.tries / 20 + 1 : 0) >= f.tries);
		report(&f, name);
	}
}

static void an_rsa_4096_chain_comes_through_a_path_of_576_bytes(void **state)
{
	static const unsigned losses[] = { 0, 50, 100 };
	char cert[] = "/tmp/dtlsd-4096-XXXXXX", key[] = "/tmp/dtlsd-4096-XXXXXX";
	struct pki_pair ca = pki_issue_rsa(NULL, "a large CA", 4096), leaf = pki_issue_rsa(&ca, "localhost", 4096);

	(void)state;
	close(mkstemp(cert));
	close(mkstemp(key));
	pki_write_cert(&leaf, &ca, cert);
	pki_write_key(&leaf, key);
	for (size_t l = 0; l < sizeof(losses) / sizeof(losses[0]); l++) {
		struct figures f = { 0 };
		char name[64];

		for (uint64_t seed = 1; seed <= (seeds + 2) / 3; seed++) {
			const struct world_options o = { .seed = seed, .certfile = cert, .keyfile = key,
							 .handshake_timeout_ms = 120000 };
			struct client *c;
			struct world w;

			world_init(&w, &o);
			w.net.up.loss = w.net.down.loss = losses[l];
			w.net.up.mtu = w.net.down.mtu = 548;
			c = client_new(&w, AUTH_RSA, 0, NULL);
			gnutls_dtls_set_mtu(c->session, 548);
			world_run(&w, 2 * MINUTE, client_settled, c);
			note(&f, c, 1000000);
			if (c->done)
				expect_integrity(&w, c);
			world_end(&w);
		}
		snprintf(name, sizeof(name), "RSA-4096 chain, path of 576 bytes, loss %u %%", losses[l] / 10);
		assert_true(f.good + (losses[l] ? f.tries / 10 + 1 : 0) >= f.tries);
		report(&f, name);
	}
	unlink(cert);
	unlink(key);
	pki_free(&ca);
	pki_free(&leaf);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshakes_come_through_and_data_stays_whole),
		cmocka_unit_test(who_fails_by_damage_gets_in_at_the_next_try),
		cmocka_unit_test(one_way_silence_is_outlived),
		cmocka_unit_test(what_the_peer_asks_for_puts_our_own_timer_not_off),
		cmocka_unit_test(a_port_that_changes_in_a_handshake_harms_nobody),
		cmocka_unit_test(a_session_whose_port_changes_is_silent_and_its_peer_begins_anew),
		cmocka_unit_test(a_client_chain_of_10_kb_in_reverse_comes_through_loss),
		cmocka_unit_test(an_rsa_4096_chain_comes_through_a_path_of_576_bytes),
	};
	const char *wanted = argc > 1 ? argv[1] : getenv("NETWORK_SEEDS");

	if (wanted && atoi(wanted) > 0)
		seeds = (unsigned)atoi(wanted);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (argc > 2) /* a pattern for the names of those to run */
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
