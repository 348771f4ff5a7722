/* SPDX-License-Identifier: BSD-2-Clause */
#include "attacks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/dtls.h>

#include "handler.h"
#include "handlers.h"
#include "peers.h"
#include "session.h"
#include "tap.h"
#include "wire.h"
#include "world.h"

static void assert_echoes(struct world *w, struct client *c, unsigned first, unsigned n)
{
	unsigned before = c->echoes;

	for (unsigned i = first; i < first + n; i++)
		client_say(c, i);
	pause_(w, 200);
	assert_int_equal(c->echoes, before + n);
}

static size_t put_record(uint8_t *p, uint8_t type, uint16_t version, uint16_t epoch, uint64_t seq, size_t len)
{
	p[0] = type;
	wire_put16(p + 1, version);
	wire_put16(p + 3, epoch);
	wire_put48(p + 5, seq);
	wire_put16(p + 11, (uint16_t)len);
	memset(p + DTLS_RECORD_HEADER, 0x5a, len);
	return DTLS_RECORD_HEADER + len;
}

static enum deed keep_first_finished(struct tap *t, const uint8_t *data, size_t len)
{
	return has_record(data, len, DTLS_HANDSHAKE, 1) && t->count++ == 0 ? KEEP : PASS;
}

static enum deed keep_all(struct tap *t, const uint8_t *data, size_t len)
{
	(void)t;
	(void)data;
	(void)len;
	return KEEP;
}

/* ---- around the Finished ---- */

/* A resumption, in which the client has the last word and may go on talking at once. */
static struct client *resumed(struct world *w)
{
	struct client *c = connected(w, AUTH_ECDSA, 0);
	gnutls_datum_t data;

	assert_echoes(w, c, 0, 1);
	assert_int_equal(gnutls_session_get_data2(c->session, &data), 0);
	client_bye(c);
	pause_(w, 100);
	c = client_new(w, AUTH_ECDSA, 0, &data);
	gnutls_free(data.data);
	return c;
}

void data_sent_while_the_finished_is_lost_does_not_lock_it_out(void **state)
{
	const struct world_options o = { .seed = 201 };
	struct client *c;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = resumed(&w);
	t = tap_new(&w, keep_first_finished);
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	assert_true(gnutls_session_is_resumed(c->session));
	assert_int_equal(t->kept, 1);
	for (unsigned i = 0; i < 40; i++)
		client_say(c, i), pause_(&w, 5);
	assert_int_equal(engine_sessions(w.engine), 0);
	tap_release(t, 0);
	pause_(&w, 100);
	assert_int_equal(engine_sessions(w.engine), 1);
	assert_true(c->echoes >= 4);
	assert_echoes(&w, c, 100, 5);
	tap_free(t);
	world_end(&w);
}

void data_that_overtakes_the_finished_is_delivered(void **state)
{
	const struct world_options o = { .seed = 202 };
	struct client *c;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = resumed(&w);
	t = tap_new(&w, keep_first_finished);
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	for (unsigned i = 0; i < 4; i++)
		client_say(c, i);
	pause_(&w, 20);
	assert_int_equal(c->echoes, 0);
	tap_release(t, 0);
	pause_(&w, 20);
	assert_int_equal(c->echoes, 4);
	tap_free(t);
	world_end(&w);
}

/* The client's last flight is held back while strangers write in its name. */
static void forge(uint64_t seed, uint8_t type, size_t least, size_t most)
{
	const struct world_options o = { .seed = seed };
	uint8_t fake[DTLS_RECORD_HEADER + 300];
	struct client *c;
	struct tap *t;
	struct world w;

	world_init(&w, &o);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	t = tap_new(&w, keep_first_finished);
	while (t->kept == 0)
		pause_(&w, 1);
	pause_(&w, 10);
	for (size_t n = least; n <= most; n++) {
		tap_inject(&w, &c->flow, fake, put_record(fake, type, DTLS_VERSION_1_2, 1, n, n));
		tap_inject(&w, &c->flow, fake, put_record(fake, type, DTLS_VERSION_1_0, 1, 0, n));
		tap_inject(&w, &c->flow, fake, put_record(fake, type, DTLS_VERSION_1_2, 1, DTLS_SEQ_MAX - n, n));
		tap_inject(&w, &c->flow, fake, put_record(fake, type, DTLS_VERSION_1_2, 2, n, n));
	}
	pause_(&w, 10);
	assert_int_equal(engine_handshakes(w.engine), 1);
	tap_release(t, 0);
	pause_(&w, 50);
	assert_true(c->done);
	assert_echoes(&w, c, 0, 3);
	assert_int_equal(COUNT(&w, handshake_failed), 0);
	tap_free(t);
	world_end(&w);
}

void forged_data_does_not_lock_the_finished_out(void **state)
{
	(void)state;
	forge(204, DTLS_APPLICATION_DATA, 20, 60);
}

void forged_finished_records_do_not_end_a_handshake(void **state)
{
	(void)state;
	forge(205, DTLS_HANDSHAKE, 0, 100);
	forge(206, DTLS_ALERT, 0, 60);
	forge(207, DTLS_CHANGE_CIPHER_SPEC, 0, 60);
}

/* ---- restarts ---- */

static enum deed keep_a_copy_of_cookies(struct tap *t, const uint8_t *data, size_t len)
{
	if (!has_cookie(data, len) || t->kept == TAP_KEPT_MAX)
		return PASS;
	/* kept, and sent all the same */
	t->packet[t->kept].flow = t->only->flow;
	t->packet[t->kept].len = len;
	memcpy(t->packet[t->kept++].data, data, len);
	return PASS;
}

/* In whichever millisecond of the new handshake the old hello comes. */
void a_late_hello_of_the_session_does_not_harm_the_restart(void **state)
{
	(void)state;
	for (uint64_t at = 1; at < 50; at += 3) {
		const struct world_options o = { .seed = 300 + at };
		struct client *old, *fresh;
		struct tap *t;
		struct world w;

		world_init(&w, &o);
		old = client_new(&w, AUTH_ECDSA, 900, NULL);
		t = tap_new(&w, keep_a_copy_of_cookies);
		t->only = old;
		assert_true(world_run(&w, MINUTE, client_is_done, old));
		tap_off(t);
		assert_true(t->kept >= 1);
		client_free(old);
		fresh = client_new(&w, AUTH_ECDSA, 900, NULL);
		pause_(&w, at);
		tap_release(t, 0);
		assert_true(world_run(&w, 500, client_is_done, fresh));
		assert_echoes(&w, fresh, 0, 2);
		assert_int_equal(COUNT(&w, flight_resent), 0);
		assert_int_equal(engine_sessions(w.engine), 1);
		tap_free(t);
		world_end(&w);
	}
}

void a_late_hello_of_an_abandoned_handshake_does_not_harm_the_next(void **state)
{
	const struct world_options o = { .seed = 208 };
	struct client *old, *fresh;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	old = client_new(&w, AUTH_ECDSA, 901, NULL);
	t = tap_new(&w, keep_a_copy_of_cookies);
	t->only = old;
	while (COUNT(&w, hello_admitted) == 0)
		pause_(&w, 1);
	tap_off(t);
	client_free(old);
	net_clear(&w.net);
	fresh = client_new(&w, AUTH_ECDSA, 901, NULL);
	while (COUNT(&w, hello_admitted) == 1)
		pause_(&w, 1);
	tap_release(t, 0); /* the client's answer to the flight leaves before the copy is there */
	assert_true(world_run(&w, 500, client_is_done, fresh));
	assert_echoes(&w, fresh, 0, 2);
	assert_int_equal(COUNT(&w, hello_admitted), 2);
	tap_free(t);
	world_end(&w);
}

void a_restart_needs_no_second_place(void **state)
{
	static const struct census_limits limits[] = { { 1, 100, 0, 64, 0 }, { 100, 100, 1, 64, 0 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct world_options o = { .seed = 210 + i, .limits = limits[i], .handshake_timeout_ms = 5000 };
		struct client *old, *fresh, *other;
		struct world w;

		world_init(&w, &o);
		old = connected(&w, AUTH_PSK, 902);
		client_free(old);
		/* one that comes to nothing gives nothing away */
		fresh = client_new(&w, AUTH_PSK, 902, NULL);
		while (engine_handshakes(w.engine) == 0)
			pause_(&w, 1);
		client_free(fresh);
		pause_(&w, 6000);
		assert_int_equal(engine_handshakes(w.engine), 0);
		assert_int_equal(engine_sessions(w.engine), 1);
		assert_int_equal(census_sessions(w.census), 1);
		fresh = client_new(&w, AUTH_PSK, 902, NULL);
		assert_true(world_run(&w, 1000, client_is_done, fresh));
		assert_echoes(&w, fresh, 0, 2);
		assert_int_equal(census_sessions(w.census), 1);
		assert_int_equal(census_handshakes(w.census), 0);
		other = client_new(&w, AUTH_PSK, 903, NULL);
		pause_(&w, 3000);
		assert_false(other->done);
		client_bye(fresh);
		assert_true(world_run(&w, MINUTE, client_is_done, other));
		world_end(&w);
	}
}

void a_session_that_ends_beside_a_handshake_leaves_it_its_place(void **state)
{
	(void)state;
	for (unsigned way = 0; way < 2; way++) {
		const struct world_options o = { .seed = 220 + way, .limits = { 1, 100, 1, 64, 0 },
						 .handshake_timeout_ms = 5000 };
		struct client *old, *fresh;
		struct world w;

		world_init(&w, &o);
		old = connected(&w, AUTH_PSK, 904);
		fresh = client_new(&w, AUTH_PSK, 904, NULL);
		while (engine_handshakes(w.engine) == 0)
			pause_(&w, 1);
		client_bye(old);
		net_clear(&w.net);
		client_bye(old);
		if (way == 0)
			client_free(old);
		else
			client_free(fresh);
		pause_(&w, 6);
		assert_int_equal(engine_sessions(w.engine), 0);
		assert_int_equal(census_sessions(w.census), 1);
		if (way == 0)
			assert_true(world_run(&w, MINUTE, client_is_done, fresh));
		pause_(&w, 6000);
		assert_int_equal(census_sessions(w.census), way == 0);
		world_end(&w);
	}
}

static enum deed keep_cookies(struct tap *t, const uint8_t *data, size_t len)
{
	(void)t;
	return has_cookie(data, len) ? KEEP : PASS;
}

void one_datagram_begins_one_handshake(void **state)
{
	const struct world_options o = { .seed = 230 };
	static uint8_t all[8192];
	size_t len = 0;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	t = tap_new(&w, keep_cookies);
	for (unsigned i = 0; i < 5; i++) {
		struct client *c = client_new(&w, AUTH_PSK, 905, NULL);

		while (t->kept == i)
			pause_(&w, 1);
		client_free(c);
	}
	for (unsigned i = 0; i < 5; i++) {
		memcpy(all + len, t->packet[i].data, t->packet[i].len);
		len += t->packet[i].len;
	}
	tap_inject(&w, &t->packet[0].flow, all, len);
	pause_(&w, 10);
	assert_int_equal(COUNT(&w, hello_admitted), 1);
	tap_free(t);
	world_end(&w);
}

/* ---- limits ---- */

void who_is_over_a_limit_does_not_use_up_the_rate(void **state)
{
	const struct world_options o = { .seed = 240, .limits = { 100, 100, 1, 64, 0 }, .handshake_rate = 2 };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	connected(&w, AUTH_PSK, 0);
	pause_(&w, 2000);
	for (int i = 0; i < 20; i++)
		client_new(&w, AUTH_PSK, 0, NULL);
	pause_(&w, 100);
	c = client_new(&w, AUTH_PSK, 0, NULL);
	c->flow.peer.ip[15] ^= 1;
	assert_true(world_run(&w, 100, client_is_done, c));
	assert_int_equal(COUNT(&w, limited_rate), 0);
	world_end(&w);
}

void rosters_under_way_are_bounded(void **state)
{
	const struct world_options o = { .seed = 241, .handler = &handler_command };
	unsigned letters = 0;
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_PSK, 0);
	pause_(&w, 100);
	/* the worker that is asked has no time: nothing takes the letters */
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(gnutls_record_send(c->session, "stats", 5), 5);
	w.net.now += 10;
	world_deliver(&w);
	for (struct letter *l = w.letters; l; l = l->next)
		letters++;
	assert_in_range(letters, 1, 64);
	/* every question has an answer, and when these are through there is room for more */
	pause_(&w, 100);
	assert_true(c->strange >= 250); /* what the client's inbox holds */
	c->strange = 0;
	assert_int_equal(gnutls_record_send(c->session, "stats", 5), 5);
	pause_(&w, 100);
	assert_int_equal(c->strange, 1);
	world_end(&w);
}

static void no_flush(void *ctx, struct txq *q)
{
	(void)ctx;
	(void)q;
}

void a_blocked_socket_loses_no_goodbye(void **state)
{
	const struct world_options o = { .seed = 242 };
	enum { CLIENTS = 1500 };
	void (*flush)(void *ctx, struct txq *q);
	static struct client *c[CLIENTS];
	struct world w;

	(void)state;
	world_init(&w, &o);
	for (int i = 0; i < CLIENTS; i++)
		c[i] = connected(&w, AUTH_PSK, 0);
	flush = engine_txq(w.engine)->flush;
	engine_txq(w.engine)->flush = no_flush;
	engine_drain(w.engine);
	pause_(&w, 500);
	assert_false(engine_drained(w.engine));
	engine_txq(w.engine)->flush = flush;
	pause_(&w, 500);
	assert_true(engine_drained(w.engine));
	assert_int_equal(COUNT(&w, tx_queue_full), 0);
	for (int i = 0; i < CLIENTS; i++)
		assert_true(c[i]->closed);
	world_end(&w);
}

struct idle_end {
	struct world *w;
	uint64_t closed, until; /* stop when so many have */
	unsigned turns;
};

/* After each turn. */
static bool piece_by_piece(void *ctx)
{
	struct idle_end *x = ctx;
	uint64_t closed = COUNT(x->w, session_closed_idle);

	assert_true(closed - x->closed <= PEERS_EXPIRIES_A_RUN);
	x->turns += closed > x->closed;
	x->closed = closed;
	return closed >= x->until;
}

void sessions_that_expire_together_hold_nobody_up(void **state)
{
	const struct world_options o = { .seed = 243, .idle_timeout_ms = 10 * MINUTE };
	enum { CLIENTS = 1500 };
	void (*flush)(void *ctx, struct txq *q);
	static struct client *c[CLIENTS];
	struct client *busy;
	struct idle_end x;
	struct world w;

	(void)state;
	world_init(&w, &o);
	for (int i = 0; i < CLIENTS; i++)
		c[i] = connected(&w, AUTH_PSK, 0);
	busy = connected(&w, AUTH_PSK, 0);
	for (int i = 0; i < CLIENTS; i++)
		client_say(c[i], 0);
	pause_(&w, 5 * MINUTE);
	client_say(busy, 0);

	x = (struct idle_end){ .w = &w, .until = CLIENTS / 8 };
	assert_true(world_run(&w, 6 * MINUTE, piece_by_piece, &x));
	client_say(busy, 1); /* in the middle of it all */
	x.until = CLIENTS / 4;
	assert_true(world_run(&w, MINUTE, piece_by_piece, &x));

	/* who is not told now stays until he can be */
	flush = engine_txq(w.engine)->flush;
	engine_txq(w.engine)->flush = no_flush;
	x.until = CLIENTS;
	assert_false(world_run(&w, 500, piece_by_piece, &x));
	engine_txq(w.engine)->flush = flush;
	assert_true(world_run(&w, MINUTE, piece_by_piece, &x));
	assert_true(x.turns >= CLIENTS / PEERS_EXPIRIES_A_RUN);
	pause_(&w, 500);
	assert_int_equal(COUNT(&w, tx_queue_full), 0);
	for (int i = 0; i < CLIENTS; i++)
		assert_true(c[i]->closed);
	assert_int_equal(busy->echoes, 2);
	assert_false(busy->closed);
	assert_int_equal(engine_sessions(w.engine), 1);
	world_end(&w);
}

/* ---- records ---- */

static void fill(struct session *s, const uint8_t *data, size_t len)
{
	static uint8_t text[DTLS_PLAINTEXT_MAX];

	(void)data;
	(void)len;
	assert_int_equal(session_send(s, text, sizeof(text)), 0);
}

void records_of_full_size_come_and_go(void **state)
{
	static const struct handler filler = { .name = "fill", .help = "", .record = fill };
	static const enum world_auth all[] = { AUTH_ECDSA, AUTH_PSK, AUTH_ECDHE_PSK };
	static uint8_t text[DTLS_PLAINTEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct world_options o = { .seed = 250 + i, .handler = &filler };
		struct client *c;
		struct world w;
		unsigned most;

		world_init(&w, &o);
		c = connected(&w, all[i], 0);
		gnutls_dtls_set_mtu(c->session, 17000);
		most = gnutls_dtls_get_data_mtu(c->session); /* GnuTLS counts the header too, so not quite 2^14 */
		assert_in_range(most, 16300, sizeof(text));
		assert_int_equal(gnutls_record_send(c->session, text, most), most);
		pause_(&w, 50);
		assert_int_equal(c->strange, 1); /* not one of the numbered messages */
		assert_int_equal(c->error, 0);
		assert_int_equal(COUNT(&w, bytes_in), most);
		assert_int_equal(COUNT(&w, bytes_out), sizeof(text));
		assert_true(w.net.largest_down > sizeof(text));
		world_end(&w);
	}
}

static int shouted;

static void shout(struct session *s, const uint8_t *data, size_t len)
{
	static uint8_t text[DTLS_PLAINTEXT_MAX + 1];

	shouted = session_send(s, text, sizeof(text));
	session_send(s, data, len);
}

void a_message_too_large_is_refused_and_counted(void **state)
{
	static const struct handler shouter = { .name = "shout", .help = "", .record = shout };
	const struct world_options o = { .seed = 253, .handler = &shouter };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_PSK, 0);
	assert_echoes(&w, c, 0, 3);
	assert_int_equal(shouted, -EMSGSIZE);
	assert_int_equal(COUNT(&w, send_too_large), 3);
	world_end(&w);
}

void several_records_share_a_datagram(void **state)
{
	const struct world_options o = { .seed = 254 };
	static uint8_t all[16384];
	size_t len = 0;
	struct client *c;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_ECDSA, 0);
	t = tap_new(&w, keep_all);
	for (unsigned i = 0; i < 6; i++)
		client_say(c, i);
	assert_int_equal(t->kept, 6);
	for (unsigned i = 0; i < 6; i++) {
		if (i == 3) /* a forged one among them harms none of the others */
			len += put_record(all + len, DTLS_APPLICATION_DATA, DTLS_VERSION_1_2, 1, 77, 40);
		memcpy(all + len, t->packet[i].data, t->packet[i].len);
		len += t->packet[i].len;
	}
	tap_inject(&w, &c->flow, all, len);
	pause_(&w, 20);
	assert_int_equal(c->echoes, 6);
	assert_int_equal(COUNT(&w, drop_bad_mac), 1);
	/* and a replay of all is seven records nobody gets */
	tap_inject(&w, &c->flow, all, len);
	pause_(&w, 20);
	assert_int_equal(c->repeated, 0);
	assert_int_equal(COUNT(&w, drop_replay), 6);
	assert_int_equal(COUNT(&w, records_in), 6);
	tap_free(t);
	world_end(&w);
}

void renegotiation_is_refused_and_the_session_lives(void **state)
{
	const struct world_options o = { .seed = 255 };
	struct client *c;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_ECDSA, 0);
	assert_echoes(&w, c, 0, 2);
	assert_int_equal(gnutls_handshake(c->session), GNUTLS_E_AGAIN);
	c->done = false; /* until it has heard */
	for (int i = 0; i < 10 && !c->done; i++) {
		pause_(&w, 5);
		c->done = gnutls_alert_get(c->session) == GNUTLS_A_NO_RENEGOTIATION;
	}
	assert_true(c->done);
	assert_int_equal(COUNT(&w, renegotiation_refused), 1);
	assert_int_equal(engine_sessions(w.engine), 1);
	assert_int_equal(engine_handshakes(w.engine), 0);
	assert_echoes(&w, c, 10, 3);
	world_end(&w);
}

void a_finished_sent_again_is_answered_now_and_then(void **state)
{
	const struct world_options o = { .seed = 256 };
	struct client *c;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	t = tap_new(&w, keep_first_finished);
	while (t->kept == 0)
		pause_(&w, 1);
	tap_release(t, 0);
	assert_true(world_run(&w, MINUTE, client_is_done, c));
	pause_(&w, 1000);
	/* anyone can send a copy a hundred times */
	for (unsigned i = 0; i < 100; i++)
		tap_release(t, 0);
	pause_(&w, 100);
	assert_int_equal(COUNT(&w, final_flight_resent), 1);
	pause_(&w, 200);
	tap_release(t, 0);
	pause_(&w, 100);
	assert_int_equal(COUNT(&w, final_flight_resent), 2);
	/* who sends data has our Finished */
	assert_echoes(&w, c, 0, 2);
	pause_(&w, 300);
	tap_release(t, 0);
	pause_(&w, 100);
	assert_int_equal(COUNT(&w, final_flight_resent), 2);
	assert_int_equal(COUNT(&w, drop_replay), 1);
	tap_free(t);
	world_end(&w);
}

static enum deed drop_ccs(struct tap *t, const uint8_t *data, size_t len)
{
	uint8_t rest[2048];
	size_t n = 0, next;

	if (!has_record(data, len, DTLS_CHANGE_CIPHER_SPEC, 0))
		return PASS;
	t->count++;
	for (size_t at = 0; at < len; at = next) {
		next = next_record(data, len, at);
		if (data[at] == DTLS_CHANGE_CIPHER_SPEC)
			continue;
		memcpy(rest + n, data + at, next - at);
		n += next - at;
	}
	if (n)
		tap_inject(t->w, &t->only->flow, rest, n);
	return DROP;
}

void a_lost_change_cipher_spec_does_not_matter(void **state)
{
	static const enum world_auth all[] = { AUTH_ECDSA, AUTH_PSK, AUTH_MUTUAL };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct world_options o = { .seed = 257 + i, .verify = VERIFY_CLIENT_OPTIONAL };
		struct client *c;
		struct tap *t;
		struct world w;

		world_init(&w, &o);
		c = client_new(&w, all[i], 0, NULL);
		t = tap_new(&w, drop_ccs);
		t->only = c;
		assert_true(world_run(&w, 500, client_is_done, c));
		assert_int_equal(t->count, 1);
		assert_echoes(&w, c, 0, 2);
		tap_free(t);
		world_end(&w);
	}
}

static enum deed count_hello_parts(struct tap *t, const uint8_t *data, size_t len)
{
	t->count += is_hello(data, len) || (len > 25 && data[13] == DTLS_CLIENT_HELLO);
	return PASS;
}

void a_hello_in_many_fragments_is_understood(void **state)
{
	const struct world_options o = { .seed = 260 };
	struct client *c;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	gnutls_dtls_set_mtu(c->session, 256 - 150);
	t = tap_new(&w, count_hello_parts);
	assert_true(world_run(&w, 500, client_is_done, c));
	assert_true(t->count >= 4);
	assert_int_equal(COUNT(&w, flight_resent), 0);
	tap_free(t);
	world_end(&w);
}

void a_large_client_certificate_in_reverse_needs_one_flight(void **state)
{
	const struct world_options o = { .seed = 261, .verify = VERIFY_CLIENT_REQUIRED };
	struct client *c;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = client_new(&w, AUTH_MUTUAL_BULKY, 0, NULL);
	t = tap_new(&w, keep_after_hello);
	while (t->kept == 0)
		pause_(&w, 1);
	tap_off(t);
	assert_true(t->kept > WORLD_BULK / 1200);
	for (unsigned i = t->kept; i > 0; i--) {
		tap_release(t, i - 1);
		tap_release(t, t->kept - i); /* and some twice, from the other end */
	}
	assert_true(world_run(&w, 500, client_is_done, c));
	assert_int_equal(COUNT(&w, flight_resent), 0);
	assert_echoes(&w, c, 0, 2);
	tap_free(t);
	world_end(&w);
}

/* ---- alerts ---- */

void alerts_do_what_they_say(void **state)
{
	const struct world_options o = { .seed = 262 };
	struct client *c;
	uint64_t down;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = connected(&w, AUTH_PSK, 0);
	/* a warning is no more than that */
	assert_int_equal(gnutls_alert_send(c->session, GNUTLS_AL_WARNING, GNUTLS_A_USER_CANCELED), 0);
	assert_echoes(&w, c, 0, 2);
	/* a fatal one ends the session, and nobody answers */
	down = w.net.sent_down;
	assert_int_equal(gnutls_alert_send(c->session, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR), 0);
	pause_(&w, 100);
	assert_int_equal(engine_sessions(w.engine), 0);
	assert_int_equal(COUNT(&w, session_closed_peer), 1);
	assert_int_equal(w.net.sent_down, down);
	world_end(&w);
}

void a_forged_alert_is_forgotten_when_the_handshake_goes_on(void **state)
{
	const struct world_options o = { .seed = 263 };
	uint8_t alert[DTLS_RECORD_HEADER + 2];
	struct client *c;
	struct tap *t;
	struct world w;

	(void)state;
	world_init(&w, &o);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	t = tap_new(&w, keep_after_hello);
	while (t->kept == 0)
		pause_(&w, 1);
	tap_off(t);
	put_record(alert, DTLS_ALERT, DTLS_VERSION_1_2, 0, 9, 2);
	alert[DTLS_RECORD_HEADER] = DTLS_ALERT_FATAL;
	alert[DTLS_RECORD_HEADER + 1] = 40;
	tap_inject(&w, &c->flow, alert, sizeof(alert));
	pause_(&w, 500);
	for (unsigned i = 0; i < t->kept; i++)
		tap_release(t, i);
	pause_(&w, 3000);
	assert_true(c->done);
	/* but where nothing follows, it ends the handshake before its time */
	tap_free(t);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	t = tap_new(&w, keep_after_hello);
	while (t->kept == 0)
		pause_(&w, 1);
	client_free(c);
	tap_inject(&w, &t->packet[0].flow, alert, sizeof(alert));
	pause_(&w, 3000);
	assert_int_equal(engine_handshakes(w.engine), 0);
	assert_int_equal(COUNT(&w, handshake_failed), 1);
	tap_free(t);
	world_end(&w);
}
