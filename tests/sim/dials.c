/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dials: our own client, dial, with the real engine over every kind of network, many seeds each, in virtual time: full
 * handshakes and resumptions, and what a stranger can forge. "dials SEEDS" or NETWORK_SEEDS sets how many seeds each gets.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "classify.h"
#include "dial.h"
#include "env.h"
#include "metrics.h"
#include "pki.h"
#include "tls_client.h"
#include "wire.h"
#include "world.h"

#define MOST_MS 60000 /* as long as handshakes may take */
#define ASK_AGAIN_MS 200

static unsigned seeds = 20;
static char dir[] = "/tmp/dtlsd-dials-XXXXXX";
static const char *const names[] = { "ca", "ecdsa", "ecdsa-key", "rsa", "rsa-key", "psk" };
enum { CA, ECDSA, ECDSA_KEY, RSA, RSA_KEY, PSK, FILES };
static char paths[FILES][64];

enum auth { BY_ECDSA, BY_RSA, BY_PSK, AUTHS };

/* One client, and the network to its server. */
struct caller {
	struct world world;
	struct env env;
	struct metrics metrics;
	uint8_t scratch[ENV_SCRATCH];
	struct flow flow;
	struct tls_client *tls;
	struct dial *dial;
	enum dial_verdict verdict;
	struct dial_result result; /* once it is done */
	uint64_t begun, took, answered_at;
	unsigned echoes;
};

static int out(void *ctx, const uint8_t *data, size_t len)
{
	struct caller *c = ctx;

	net_send(&c->world.net, &c->flow, true, data, len);
	return 0;
}

static void set_time(struct caller *c)
{
	c->env.now = c->world.net.now;
	engine_time(c->world.engine, c->env.now, c->env.now / 1000);
}

static struct tls_client *make_client(enum auth auth)
{
	const struct tls_client_options o = {
		.to = "localhost:4433",
		.x509cafile = auth == BY_PSK ? NULL : paths[CA],
		.pskpasswd = auth == BY_PSK ? paths[PSK] : NULL,
		.psk_identity = auth == BY_PSK ? "sim" : NULL,
		.dashes = "--",
	};
	char err[500];
	struct tls_client *t = tls_client_load(&o, err, sizeof(err));

	if (!t)
		fail_msg("%s", err);
	return t;
}

static void begin_world(struct caller *c, enum auth auth, uint64_t seed)
{
	const struct world_options o = {
		.seed = seed,
		.handshake_timeout_ms = 120000,
		.certfile = paths[auth == BY_RSA ? RSA : ECDSA],
		.keyfile = paths[auth == BY_RSA ? RSA_KEY : ECDSA_KEY],
	};

	memset(c, 0, sizeof(*c));
	world_init(&c->world, &o);
	c->env = (struct env){ .metrics = &c->metrics, .cache = record_cache_new(4), .scratch = c->scratch };
	assert_non_null(c->env.cache);
	c->flow = (struct flow){ .peer = c->world.address, .local = c->world.address };
	c->flow.peer.port = 30000;
	c->tls = make_client(auth);
}

static void hang_up(struct caller *c)
{
	dial_free(c->dial);
	c->dial = NULL;
	flight_free(c->result.final);
	gnutls_free(c->result.saved.data);
	if (c->result.record.cipher)
		record_wipe(&c->result.record, c->env.cache);
	memset(&c->result, 0, sizeof(c->result));
}

static void end_world(struct caller *c)
{
	hang_up(c);
	tls_client_unref(c->tls);
	record_cache_free(c->env.cache);
	world_end(&c->world);
}

static void settle(struct caller *c, enum dial_verdict v)
{
	c->verdict = v;
	if (v == DIAL_GOING)
		return;
	c->took = c->env.now - c->begun;
	if (v == DIAL_DONE)
		assert_true(dial_finish(c->dial, &c->result));
	dial_free(c->dial);
	c->dial = NULL;
}

static void call(struct caller *c, const gnutls_datum_t *saved)
{
	const struct dial_config config = { .env = &c->env, .tls = c->tls, .saved = saved, .timeout_ms = MOST_MS, .mtu = 1200,
					    .out = out, .ctx = c };

	set_time(c);
	c->begun = c->env.now;
	c->flow.peer.port++;
	c->dial = dial_new(&config);
	assert_non_null(c->dial);
	settle(c, dial_start(c->dial));
}

/* ---- what comes when it is done: as line does it ---- */

static void on_open_record(struct caller *c, const struct record *r)
{
	uint8_t *plain;
	ssize_t len;

	if (r->kind != RECORD_PROTECTED)
		return;
	if (r->type == DTLS_HANDSHAKE && c->result.final && c->env.now - c->answered_at >= ASK_AGAIN_MS &&
	    record_peek(&c->result.record, c->env.cache, r, c->scratch) > 0) {
		c->answered_at = c->env.now;
		flight_rewind(c->result.final);
		flight_send(c->result.final, c->result.mtu, out, c);
		return;
	}
	len = record_unprotect(&c->result.record, c->env.cache, r, &plain, NULL);
	if (len == 5 && r->type == DTLS_APPLICATION_DATA && memcmp(plain, "hello", 5) == 0)
		c->echoes++;
}

static void deliver(struct caller *c, struct net_packet *p)
{
	struct datagram d = { .flow = p->flow, .data = p->data, .len = p->len };
	struct record r;
	size_t at = 0;

	if (p->to_server) {
		engine_datagram(c->world.engine, &d);
		return;
	}
	if (p->flow.peer.port != c->flow.peer.port)
		return;
	for (enum record_kind k; (k = classify_record(p->data, p->len, &at, &r)) != RECORD_END;) {
		if (k == RECORD_MALFORMED || k == RECORD_TOO_LARGE || k == RECORD_UNKNOWN)
			continue;
		if (c->dial)
			settle(c, dial_record(c->dial, &r));
		else if (c->verdict == DIAL_DONE)
			on_open_record(c, &r);
	}
}

/* Time passes until its handshake is over, or, of one that is, for so many ms. */
static void run(struct caller *c, uint64_t ms)
{
	uint64_t end = c->world.net.now + ms;
	bool dialing = c->dial != NULL;

	while (c->world.net.now < end && (!dialing || c->dial)) {
		struct net_packet *p;

		set_time(c);
		engine_turn(c->world.engine);
		while ((p = net_receive(&c->world.net))) {
			deliver(c, p);
			free(p);
		}
		engine_run(c->world.engine);
		if (c->dial && c->env.now >= dial_due(c->dial))
			settle(c, dial_tick(c->dial));
		c->world.net.now++;
	}
}

/* Are the keys right at both ends? Then what is said comes back, once the network is a fair one. */
static bool echoes(struct caller *c)
{
	uint8_t sealed[100];
	ssize_t len;

	c->world.net.up = c->world.net.down = (struct net_faults){ .loss = 0 };
	c->echoes = 0;
	for (unsigned i = 0; i < 4 && c->echoes == 0; i++) {
		/* the server of a resumption may still wait for our Finished, and asks for it within its next wait */
		len = record_protect(&c->result.record, c->env.cache, DTLS_APPLICATION_DATA, (const uint8_t *)"hello", 5,
				     sealed, sizeof(sealed));
		assert_true(len > 0);
		out(c, sealed, (size_t)len);
		run(c, 30000);
	}
	return c->echoes >= 1;
}

/* ---- weathers ---- */

struct weather {
	const char *name;
	struct net_faults both;
	unsigned may_fail; /* of 100 */
};

/* A bit flipped in a plaintext message is believed by any peer. */
static const struct weather weathers[] = {
	{ "fair", { .loss = 0 }, 0 },
	{ "loss 10 %", { .loss = 100 }, 1 },
	{ "loss 30 %", { .loss = 300 }, 12 },
	{ "half doubled", { .duplicate = 500 }, 0 },
	{ "all late by up to 80 ms", { .reorder = 1000 }, 0 },
	{ "one bit wrong in 1 %", { .corrupt = 10 }, 15 },
	{ "path of 576 bytes, silent", { .mtu = 548 }, 0 },
	{ "path of 576 bytes, loss 10 %", { .mtu = 548, .loss = 100 }, 3 },
	{ "loss 15 %, doubled, late", { .loss = 150, .duplicate = 200, .reorder = 300 }, 4 },
};

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void report(const char *name, const char *what, uint64_t *took, unsigned good, unsigned tries)
{
	qsort(took, good, sizeof(*took), by_size);
	print_message("# %s, %s: %u of %u, median %.2f s, all in %.2f s\n", name, what, good, tries,
		      good ? (double)took[good / 2] / 1000 : 0, good ? (double)took[good - 1] / 1000 : 0);
}

/* First a full handshake in that weather or, where resumed, in a fair one; then a resumption in it. */
static bool try_once(const struct weather *on, unsigned seed, bool resumed, uint64_t *took)
{
	gnutls_datum_t saved = { NULL, 0 };
	static struct caller c;
	bool done;

	begin_world(&c, resumed && seed % AUTHS == BY_RSA ? BY_ECDSA : seed % AUTHS, seed);
	if (!resumed)
		c.world.net.up = c.world.net.down = on->both;
	call(&c, &saved);
	run(&c, 2 * MOST_MS);
	if (resumed) {
		assert_int_equal(c.verdict, DIAL_DONE);
		saved = c.result.saved;
		c.result.saved = (gnutls_datum_t){ NULL, 0 };
		assert_true(saved.size > 0);
		hang_up(&c);
		c.world.net.up = c.world.net.down = on->both;
		call(&c, &saved);
		run(&c, 2 * MOST_MS);
	}
	done = c.verdict == DIAL_DONE;
	if (done) {
		assert_int_equal(c.result.resumed, resumed);
		assert_int_equal(c.result.final != NULL, resumed);
		*took = c.took;
		/* a Finished that was damaged on its way looks like a wrong PSK to the server, which ends it */
		done = echoes(&c);
		assert_true(done || on->both.corrupt > 0);
	}
	gnutls_free(saved.data);
	end_world(&c);
	return done;
}

static void try_weathers(bool resumed, const char *what)
{
	uint64_t *took = calloc(seeds, sizeof(*took));

	assert_non_null(took);
	for (size_t i = 0; i < sizeof(weathers) / sizeof(weathers[0]); i++) {
		const struct weather *on = &weathers[i];
		unsigned good = 0;

		for (unsigned n = 1; n <= seeds; n++)
			good += try_once(on, n, resumed, &took[good]);
		report(on->name, what, took, good, seeds);
		/* one more for what few seeds cannot tell */
		assert_true((seeds - good) * 100 <= on->may_fail * seeds + (on->may_fail ? 100 : 0));
	}
	free(took);
}

static void full_handshakes_come_through(void **state)
{
	(void)state;
	try_weathers(false, "full");
}

static void resumptions_come_through_with_their_last_flight(void **state)
{
	(void)state;
	try_weathers(true, "resumed");
}

/* ---- strangers ---- */

/* A record in the clear from the server's address. */
static void forge(struct caller *c, uint8_t type, const uint8_t *body, size_t len)
{
	uint8_t record[DTLS_RECORD_HEADER + 64];

	record[0] = type;
	wire_put16(record + 1, DTLS_VERSION_1_2);
	wire_put16(record + 3, 0);
	wire_put48(record + 5, 1000);
	wire_put16(record + 11, (uint16_t)len);
	memcpy(record + DTLS_RECORD_HEADER, body, len);
	net_send(&c->world.net, &c->flow, false, record, DTLS_RECORD_HEADER + len);
}

static void forge_message(struct caller *c, uint8_t type, uint16_t seq)
{
	uint8_t msg[DTLS_HANDSHAKE_HEADER] = { type };

	wire_put16(msg + 4, seq);
	forge(c, DTLS_HANDSHAKE, msg, sizeof(msg));
}

static void what_a_stranger_says_ends_no_handshake(void **state)
{
	static const uint8_t alert[2] = { DTLS_ALERT_FATAL, 40 }, closed[2] = { DTLS_ALERT_WARNING, 0 }, ccs[1] = { 1 };
	const gnutls_datum_t none = { NULL, 0 };
	static struct caller c;

	(void)state;
	for (uint64_t at = 0; at < 40; at++) {
		begin_world(&c, at % AUTHS, 50 + at);
		call(&c, &none);
		run(&c, at);
		if (c.dial) {
			forge(&c, DTLS_ALERT, alert, 2);
			forge(&c, DTLS_ALERT, closed, 2);
			forge(&c, DTLS_CHANGE_CIPHER_SPEC, ccs, 1);
			forge_message(&c, DTLS_HELLO_REQUEST, 1);
			forge_message(&c, DTLS_FINISHED, 1);
			forge_message(&c, DTLS_CLIENT_HELLO, 0);
			run(&c, 2 * MOST_MS);
		}
		assert_int_equal(c.verdict, DIAL_DONE);
		assert_true(echoes(&c));
		end_world(&c);
	}
}

static void an_alert_that_nothing_better_follows_is_the_cause(void **state)
{
	static const uint8_t alert[2] = { DTLS_ALERT_FATAL, 40 };
	const gnutls_datum_t none = { NULL, 0 };
	static struct caller c;

	(void)state;
	begin_world(&c, BY_ECDSA, 1);
	c.world.net.up.loss = 1000;
	call(&c, &none);
	forge(&c, DTLS_ALERT, alert, 2);
	run(&c, 5000);
	assert_int_equal(c.verdict, DIAL_FAILED);
	assert_in_range(c.took, 1000, 1100);
	end_world(&c);
}

/* ---- */

static int set_up(void **state)
{
	struct pki_pair ca, ecdsa, rsa;
	FILE *f;

	assert_int_equal(world_set_up(state), 0);
	assert_non_null(mkdtemp(dir));
	for (unsigned i = 0; i < FILES; i++)
		snprintf(paths[i], sizeof(paths[i]), "%s/%s.pem", dir, names[i]);
	ca = pki_ca("dials CA");
	ecdsa = pki_issue(&ca, "server", GNUTLS_PK_ECDSA, "localhost");
	rsa = pki_issue(&ca, "server", GNUTLS_PK_RSA, "localhost");
	pki_write_cert(&ca, NULL, paths[CA]);
	pki_write_cert(&ecdsa, NULL, paths[ECDSA]);
	pki_write_key(&ecdsa, paths[ECDSA_KEY]);
	pki_write_cert(&rsa, &ca, paths[RSA]);
	pki_write_key(&rsa, paths[RSA_KEY]);
	f = fopen(paths[PSK], "w");
	assert_non_null(f);
	fputs("sim:30313233343536373839616263646500\n", f); /* as the world's */
	fclose(f);
	chmod(paths[PSK], 0600);
	pki_free(&ca);
	pki_free(&ecdsa);
	pki_free(&rsa);
	return 0;
}

static int tear_down(void **state)
{
	for (unsigned i = 0; i < FILES; i++)
		unlink(paths[i]);
	rmdir(dir);
	return world_tear_down(state);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_handshakes_come_through),
		cmocka_unit_test(resumptions_come_through_with_their_last_flight),
		cmocka_unit_test(what_a_stranger_says_ends_no_handshake),
		cmocka_unit_test(an_alert_that_nothing_better_follows_is_the_cause),
	};
	const char *wanted = argc > 1 ? argv[1] : getenv("NETWORK_SEEDS");

	if (wanted && atoi(wanted) > 0)
		seeds = (unsigned)atoi(wanted);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
