/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dial: handshakes of the client mode with a GnuTLS server, over a network that does what the input says: it loses, repeats,
 * reorders, changes and makes up datagrams. On one that is bad but honest the handshake comes to its end; after a full
 * one that does the server has come to it, too; both understand each other's records; what fails says why.
 * The input is who the client is and whether it resumes, and then what the network does. GnuTLS is not instrumented.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include <gnutls/dtls.h>

#include "dial.h"
#include "fuzz.h"
#include "loading.h"
#include "metrics.h"

#define LETTERS 64   /* under way each way; more are lost */
#define WAIT_MOST 5000 /* ms that the input may let pass */
#define ROUNDS 40    /* of a second each, in which all arrives */
#define TIMEOUT_MS 60000

enum { PSK = LOADING_MORE };
enum step { DELIVER, LOSE, REPEAT, CHANGE, MAKE_UP, PASS_TIME, STEPS };
enum way { TO_CLIENT, TO_SERVER, WAYS };

/* GnuTLS's own tests turn its clock with this; it is exported, but in no public header. */
void _gnutls_global_set_gettime_function(void (*gettime_func)(struct timespec *));

struct letter {
	uint8_t *data;
	size_t len;
};

static struct world {
	struct env env;
	struct metrics metrics;
	struct dial *dial;
	enum dial_verdict verdict;
	gnutls_session_t server;
	bool server_done, server_failed;
	bool honest; /* what arrived was sent by the other side */
	uint64_t waited;
	struct letter letter[WAYS][LETTERS];
	unsigned letters[WAYS];
} w;

static struct loading loading;
static struct tls_client *clients[2]; /* by certificate, by pre-shared key */
static gnutls_datum_t saved[2], ticket_key;
static gnutls_priority_t priority;
static gnutls_certificate_credentials_t certificate;
static gnutls_psk_server_credentials_t psk;
static uint8_t scratch[ENV_SCRATCH];

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* ---- letters ---- */

static void post(enum way way, const void *data, size_t len)
{
	if (w.letters[way] < LETTERS)
		w.letter[way][w.letters[way]++] = (struct letter){ fuzz_copy(data, len), len };
}

static struct letter take(enum way way, unsigned i)
{
	struct letter l = w.letter[way][i];

	w.letters[way]--;
	memmove(&w.letter[way][i], &w.letter[way][i + 1], (w.letters[way] - i) * sizeof(l));
	return l;
}

/* ---- the server ---- */

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	(void)ptr;
	post(TO_CLIENT, data, len);
	return (ssize_t)len;
}

/* The datagram in hand. */
static const struct letter *in_hand;

static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	(void)ptr;
	if (!in_hand || in_hand->len > len) {
		gnutls_transport_set_errno(w.server, EAGAIN);
		return -1;
	}
	memcpy(data, in_hand->data, in_hand->len);
	len = in_hand->len;
	in_hand = NULL;
	return (ssize_t)len;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
	(void)ptr;
	(void)ms;
	return in_hand != NULL;
}

static void virtual_time(struct timespec *t)
{
	t->tv_sec = (time_t)(w.env.now / 1000);
	t->tv_nsec = (long)(w.env.now % 1000) * 1000000;
}

static int on_psk(gnutls_session_t s, const char *name, gnutls_datum_t *key)
{
	(void)s;
	(void)name;
	key->data = gnutls_malloc(16);
	assert(key->data);
	memset(key->data, 0x11, 16);
	key->size = 16;
	return 0;
}

/* It looks at what is in hand, or at the time. */
static void run_server(void)
{
	uint8_t data[100];
	int rc;

	if (w.server_failed)
		return;
	if (w.server_done) {
		/* a Finished that comes again is answered here */
		(void)gnutls_record_recv(w.server, data, sizeof(data));
		return;
	}
	rc = gnutls_handshake(w.server);
	w.server_done = rc == 0;
	w.server_failed = rc < 0 && gnutls_error_is_fatal(rc);
}

static void new_server(void)
{
	assert(gnutls_init(&w.server, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK) == 0);
	assert(gnutls_priority_set(w.server, priority) == 0);
	assert(gnutls_credentials_set(w.server, GNUTLS_CRD_CERTIFICATE, certificate) == 0);
	assert(gnutls_credentials_set(w.server, GNUTLS_CRD_PSK, psk) == 0);
	assert(gnutls_session_ticket_enable_server(w.server, &ticket_key) == 0);
	gnutls_dtls_set_timeouts(w.server, 1000, 600000);
	gnutls_transport_set_push_function(w.server, push);
	gnutls_transport_set_pull_function(w.server, pull);
	gnutls_transport_set_pull_timeout_function(w.server, pull_timeout);
}

/* ---- the client ---- */

static int out(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	assert(len > 0 && len <= 1500);
	post(TO_SERVER, data, len);
	return 0;
}

static void client_hears(uint8_t *data, size_t len)
{
	struct record r;
	size_t at = 0;

	for (enum record_kind k; w.verdict == DIAL_GOING && (k = classify_record(data, len, &at, &r)) != RECORD_END;)
		if (k != RECORD_MALFORMED && k != RECORD_TOO_LARGE && k != RECORD_UNKNOWN)
			w.verdict = dial_record(w.dial, &r);
}

static void arrive(enum way way, const struct letter *l)
{
	if (way == TO_CLIENT) {
		client_hears(l->data, l->len);
	} else if (l->len > 0) { /* an empty one would end a GnuTLS session */
		in_hand = l;
		run_server();
		in_hand = NULL;
	}
}

static void pass_time(uint64_t ms)
{
	w.env.now += ms;
	if (w.verdict == DIAL_GOING && dial_due(w.dial) <= w.env.now)
		w.verdict = dial_tick(w.dial);
	run_server();
}

/* ---- the network ---- */

static void change(struct letter *l, struct fuzz_input *in)
{
	size_t at = fuzz_u16(in);
	uint8_t by = fuzz_u8(in);

	if (l->len == 0 || by == 0)
		return;
	l->data[at % l->len] ^= by;
	w.honest = false;
}

static void make_up(enum way way, struct fuzz_input *in)
{
	size_t len = fuzz_u8(in);
	const uint8_t *data = fuzz_bytes(in, &len);

	/* GnuTLS gives up on what anyone may have sent: that is why dial is between */
	if (way == TO_SERVER)
		return;
	post(way, data, len);
	w.honest = false;
}

static void step(struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);
	enum step s = op % STEPS;
	enum way way = op / STEPS % WAYS;
	unsigned i = fuzz_u8(in);
	struct letter l;

	if (s == PASS_TIME) {
		i = w.waited + i * 10 > WAIT_MOST ? 0 : i * 10;
		w.waited += i;
		pass_time(i);
	} else if (s == MAKE_UP) {
		make_up(way, in);
	} else if (w.letters[way] > 0) {
		i %= w.letters[way];
		if (s == CHANGE) {
			change(&w.letter[way][i], in);
			return;
		}
		if (s == REPEAT) {
			post(way, w.letter[way][i].data, w.letter[way][i].len);
			return;
		}
		l = take(way, i);
		if (s == DELIVER)
			arrive(way, &l);
		free(l.data);
	}
}

/* All that is under way arrives. */
static void deliver_all(void)
{
	for (unsigned n = 0; n < 4 * LETTERS && w.letters[TO_CLIENT] + w.letters[TO_SERVER] > 0; n++) {
		enum way way = w.letters[TO_CLIENT] ? TO_CLIENT : TO_SERVER;
		struct letter l = take(way, 0);

		arrive(way, &l);
		free(l.data);
	}
}

/* ---- what came of it ---- */

/* A record from the server opens. */
static void check_record(struct record_state *record)
{
	static const char text[] = "understood";
	struct letter l;
	struct record r;
	uint8_t *plain;
	size_t at = 0;

	deliver_all();
	assert(gnutls_record_send(w.server, text, sizeof(text)) == sizeof(text));
	assert(w.letters[TO_CLIENT] == 1);
	l = take(TO_CLIENT, 0);
	assert(classify_record(l.data, l.len, &at, &r) == RECORD_PROTECTED && at == l.len);
	assert(record_unprotect(record, w.env.cache, &r, &plain, NULL) == sizeof(text));
	assert(memcmp(plain, text, sizeof(text)) == 0);
	free(l.data);
}

static void check_done(bool keep, unsigned who)
{
	struct dial_result r;

	assert(dial_finish(w.dial, &r));
	assert(r.resumed || w.server_done);
	/* the end of a resumption is the client's, and may have to be said again */
	for (int i = 0; i < ROUNDS && !w.server_done && !w.server_failed && r.final; i++) {
		flight_rewind(r.final);
		flight_send(r.final, r.mtu, out, NULL);
		deliver_all();
		pass_time(1000);
	}
	assert(w.server_done || !w.honest);
	if (w.server_done)
		check_record(&r.record);
	if (keep && r.saved.size > 0) {
		saved[who] = r.saved;
		r.saved = (gnutls_datum_t){ NULL, 0 };
	}
	gnutls_free(r.saved.data);
	flight_free(r.final);
	record_wipe(&r.record, w.env.cache);
}

static void begin(unsigned who, bool resume)
{
	const gnutls_datum_t none = { NULL, 0 };
	const struct dial_config c = {
		.env = &w.env,
		.tls = clients[who],
		.saved = resume ? &saved[who] : &none,
		.timeout_ms = TIMEOUT_MS,
		.mtu = 1200,
		.out = out,
	};

	w.env = (struct env){ .now = 1000000, .metrics = &w.metrics, .cache = w.env.cache, .scratch = scratch };
	w.honest = true;
	w.server_done = w.server_failed = false;
	w.waited = 0;
	new_server();
	w.dial = dial_new(&c);
	assert(w.dial);
	w.verdict = dial_start(w.dial);
}

static void finish(bool keep, unsigned who)
{
	for (int i = 0; i < ROUNDS && w.verdict == DIAL_GOING; i++) {
		deliver_all();
		if (w.verdict == DIAL_GOING)
			pass_time(1000);
	}
	if (w.verdict == DIAL_DONE)
		check_done(keep, who);
	else
		assert(!w.honest);
	if (w.verdict == DIAL_FAILED)
		assert(dial_why(w.dial)[0]);
	dial_free(w.dial);
	gnutls_deinit(w.server);
	for (int way = 0; way < WAYS; way++)
		while (w.letters[way] > 0)
			free(take((enum way)way, 0).data);
}

/* ---- */

static struct tls_client *load(const struct tls_client_options *o)
{
	char err[LOADING_ERROR];
	struct tls_client *t = tls_client_load(o, err, sizeof(err));

	assert(t);
	return t;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char keys[] = "alice:11111111111111111111111111111111\n";
	const struct tls_client_options by_certificate = {
		.to = "localhost:1", .x509cafile = loading.path[LOADING_CA], .dashes = "",
	}, by_psk = {
		.to = "localhost:1", .pskpasswd = loading.path[PSK], .psk_identity = "alice", .dashes = "",
	};

	(void)argc;
	(void)argv;
	loading_begin(&loading);
	loading_write(&loading, PSK, keys, sizeof(keys) - 1);
	clients[0] = load(&by_certificate);
	clients[1] = load(&by_psk);
	assert(gnutls_priority_init(&priority, "NORMAL:-VERS-ALL:+VERS-DTLS1.2:+PSK:+ECDHE-PSK", NULL) == 0);
	assert(gnutls_certificate_allocate_credentials(&certificate) == 0);
	assert(gnutls_certificate_set_x509_key_file(certificate, loading.path[LOADING_CERT], loading.path[LOADING_KEY],
						    GNUTLS_X509_FMT_PEM) >= 0);
	assert(gnutls_psk_allocate_server_credentials(&psk) == 0);
	gnutls_psk_set_server_credentials_function(psk, on_psk);
	assert(gnutls_session_ticket_key_generate(&ticket_key) == 0);
	w.env.cache = record_cache_new(4);
	assert(w.env.cache);
	_gnutls_global_set_gettime_function(virtual_time);
	for (unsigned who = 0; who < 2; who++) {
		begin(who, false);
		finish(true, who);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t how = fuzz_u8(&in);

	begin(how & 1, how & 2);
	while (in.left > 0)
		step(&in);
	finish(false, 0);
	return 0;
}
