/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/dtls.h>
#include <gnutls/x509.h>

#include "handlers.h"
#include "log.h"
#include "pki.h"

/* GnuTLS's own tests turn its clock with this; it is exported, but in no public header. */
void _gnutls_global_set_gettime_function(void (*gettime_func)(struct timespec *));

static uint64_t virtual_ms = 1000000;
static gnutls_certificate_credentials_t plain_client, mutual_client, bulky_client;
static gnutls_psk_client_credentials_t psk_client;
static char directory[] = "/tmp/dtlsd-sim-XXXXXX";
static char paths[7][64];

enum { PATH_CA, PATH_CERT, PATH_KEY, PATH_RSA_CERT, PATH_RSA_KEY, PATH_PSK, PATH_OTHER_PSK };

static void virtual_time(struct timespec *t)
{
	t->tv_sec = (time_t)(virtual_ms / 1000);
	t->tv_nsec = (long)(virtual_ms % 1000) * 1000000;
}

static const char *in_directory(int which, const char *name)
{
	snprintf(paths[which], sizeof(paths[which]), "%s/%s", directory, name);
	return paths[which];
}

int world_set_up(void **state)
{
	static const unsigned char key[16] = "0123456789abcde";
	const gnutls_datum_t k = { (unsigned char *)(uintptr_t)key, sizeof(key) };
	struct pki_pair ca, server, rsa, client, bulky;
	FILE *f;

	(void)state;
	log_open(LOG_TO_STDERR, LOG_ERROR_, "sim");
	assert_non_null(mkdtemp(directory));
	ca = pki_ca("sim CA");
	server = pki_issue(&ca, "server", GNUTLS_PK_ECDSA, "localhost");
	rsa = pki_issue(&ca, "server", GNUTLS_PK_RSA, "localhost");
	client = pki_issue(&ca, "client", GNUTLS_PK_ECDSA, NULL);
	bulky = pki_issue_bulky(&ca, "bulky client", WORLD_BULK);
	pki_write_cert(&ca, NULL, in_directory(PATH_CA, "ca.pem"));
	/* the CA goes along to make the chain a long one */
	pki_write_cert(&server, NULL, in_directory(PATH_CERT, "cert.pem"));
	pki_write_key(&server, in_directory(PATH_KEY, "key.pem"));
	pki_write_cert(&rsa, &ca, in_directory(PATH_RSA_CERT, "rsa.pem"));
	pki_write_key(&rsa, in_directory(PATH_RSA_KEY, "rsa-key.pem"));
	f = fopen(in_directory(PATH_PSK, "psk"), "w");
	assert_non_null(f);
	for (fputs("sim:", f); ftell(f) < 4 + 32;)
		fprintf(f, "%02x", key[(ftell(f) - 4) / 2]);
	fputc('\n', f);
	fclose(f);
	gnutls_certificate_allocate_credentials(&plain_client);
	gnutls_certificate_set_x509_trust(plain_client, &ca.cert, 1);
	gnutls_certificate_allocate_credentials(&mutual_client);
	gnutls_certificate_set_x509_trust(mutual_client, &ca.cert, 1);
	gnutls_certificate_set_x509_key(mutual_client, &client.cert, 1, client.key);
	gnutls_certificate_allocate_credentials(&bulky_client);
	gnutls_certificate_set_x509_trust(bulky_client, &ca.cert, 1);
	gnutls_certificate_set_x509_key(bulky_client, &bulky.cert, 1, bulky.key);
	gnutls_psk_allocate_client_credentials(&psk_client);
	gnutls_psk_set_client_credentials(psk_client, "sim", &k, GNUTLS_PSK_KEY_RAW);
	pki_free(&ca);
	pki_free(&server);
	pki_free(&rsa);
	pki_free(&client);
	pki_free(&bulky);
	_gnutls_global_set_gettime_function(virtual_time);
	return 0;
}

int world_tear_down(void **state)
{
	(void)state;
	gnutls_certificate_free_credentials(plain_client);
	gnutls_certificate_free_credentials(mutual_client);
	gnutls_certificate_free_credentials(bulky_client);
	gnutls_psk_free_client_credentials(psk_client);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		unlink(paths[i]);
	rmdir(directory);
	return 0;
}

/* ---- the server's side ---- */

static void flush(void *ctx, struct txq *q)
{
	struct world *w = ctx;

	for (uint32_t i = q->first; i < q->count; i++) {
		const struct tx_entry *e = &q->entry[i];

		net_send(&w->net, &e->flow, false, txq_data(q, e), e->len);
	}
	txq_sent(q, q->count - q->first);
}

static bool post(void *ctx, unsigned worker, struct letter *l)
{
	struct world *w = ctx;

	assert_int_equal(worker, 0);
	l->next = NULL;
	*w->last_letter = l;
	w->last_letter = &l->next;
	return true;
}

static void settled(void *ctx, unsigned changes)
{
	struct world *w = ctx;

	w->settled += changes;
}

static void left(void *ctx, unsigned listener)
{
	struct world *w = ctx;

	assert_null(w->settings.services[listener]);
	w->left[listener]++;
}

static const char *write_psks(const char *text)
{
	FILE *f = fopen(in_directory(PATH_OTHER_PSK, "other-psk"), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return paths[PATH_OTHER_PSK];
}

struct service *world_service(const struct world_options *o, const char *name, struct standing *standing)
{
	const struct tls_options t = {
		.x509certfile = o->certfile ? o->certfile : paths[o->rsa ? PATH_RSA_CERT : PATH_CERT],
		.x509keyfile = o->keyfile ? o->keyfile : paths[o->rsa ? PATH_RSA_KEY : PATH_KEY],
		.x509cafile = paths[PATH_CA],
		.pskpasswd = o->psks ? write_psks(o->psks) : paths[PATH_PSK],
		.verify_client = o->verify,
	};
	struct service_config c = {
		.name = name,
		.handler = o->handler ? o->handler : &handler_echo,
		.standing = standing ? standing_ref(standing) : standing_new(&o->quota),
		.idle_timeout_ms = o->idle_timeout_ms ? o->idle_timeout_ms : 300000,
		.handshake_timeout_ms = o->handshake_timeout_ms ? o->handshake_timeout_ms : 60000,
		.mtu = 1200,
		.routes = o->routes,
		.route_count = o->route_count,
	};
	struct service *s;
	char err[512];

	assert_non_null(c.standing);
	c.tls = tls_load(&t, standing_tls(c.standing), err, sizeof(err));
	if (!c.tls)
		fail_msg("%s", err);
	s = service_new(&c);
	assert_non_null(s);
	tls_unref(c.tls);
	standing_unref(c.standing);
	return s;
}

void world_serve(struct world *w, unsigned listener, struct service *s)
{
	service_unref(w->settings.services[listener]);
	w->settings.services[listener] = s;
	engine_apply(w->engine, &w->settings);
}

void world_init(struct world *w, const struct world_options *o)
{
	static const uint8_t master[COOKIE_MASTER_SIZE] = { 7 };
	struct census_limits limits = o->limits;
	struct engine_config c = {
		.count = 1,
		.cookie_master = master,
		.cookie_lifetime_s = 60,
		.post = post,
		.flush = flush,
		.left = left,
		.settled = settled,
		.ctx = w,
	};
	char err[512];

	memset(w, 0, sizeof(*w));
	net_init(&w->net, o->seed);
	virtual_ms = w->net.now;
	w->last_letter = &w->letters;
	if (!limits.sessions)
		limits = (struct census_limits){ 100000, 100000, 0, 64, 0 };
	c.census = w->census = census_new(&limits);
	assert_int_equal(addr_parse("192.0.2.1:4433", 4433, &w->address, 1, err, sizeof(err)), 1);
	w->engine = engine_new(&c, w->net.now, w->net.now / 1000);
	assert_non_null(w->engine);
	w->settings.handshake_rate = o->handshake_rate;
	w->settings.handshake_steps_per_turn = o->handshake_steps_per_turn;
	world_serve(w, 0, world_service(o, "sim", NULL));
}

void world_end(struct world *w)
{
	while (w->clients)
		client_free(w->clients);
	while (w->letters) {
		struct letter *l = w->letters;

		w->letters = l->next;
		free(l);
	}
	engine_free(w->engine);
	assert_int_equal(census_sessions(w->census), 0);
	assert_int_equal(census_handshakes(w->census), 0);
	census_free(w->census);
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		service_unref(w->settings.services[i]); /* and quotas want to be empty */
	net_clear(&w->net);
}

/* ---- a client ---- */

static ssize_t pull(gnutls_transport_ptr_t ptr, void *buf, size_t size)
{
	struct client *c = ptr;
	gnutls_datum_t *d = &c->inbox[c->inbox_first];
	ssize_t n;

	if (c->inbox_count == 0) {
		gnutls_transport_set_errno(c->session, EAGAIN);
		return -1;
	}
	assert_true(d->size <= size);
	n = d->size;
	memcpy(buf, d->data, d->size);
	free(d->data);
	c->inbox_first = (c->inbox_first + 1) % 256;
	c->inbox_count--;
	return n;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	(void)ms;
	return ((struct client *)ptr)->inbox_count > 0;
}

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct client *c = ptr;

	net_send(&c->world->net, &c->flow, true, data, len);
	return (ssize_t)len;
}

static const char *priority_of(enum world_auth auth)
{
	switch (auth) {
	case AUTH_RSA:
		return "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-RSA";
	case AUTH_PSK:
		return "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8:-MAC-ALL:+AEAD";
	case AUTH_ECDHE_PSK:
		return "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-PSK:-CIPHER-ALL:+CHACHA20-POLY1305:-MAC-ALL:+AEAD";
	default:
		return "NORMAL:-VERS-ALL:+VERS-DTLS1.2";
	}
}

struct client *client_new(struct world *w, enum world_auth auth, uint16_t port, const gnutls_datum_t *resume)
{
	static uint16_t next_port = 20000;
	struct client *c = calloc(1, sizeof(*c));
	char err[128];

	assert_non_null(c);
	c->world = w;
	c->flow.local = w->address;
	assert_int_equal(addr_parse("192.0.2.9:1", 1, &c->flow.peer, 1, err, sizeof(err)), 1);
	c->flow.peer.port = port ? port : ++next_port;
	c->mtu = 1200;
	c->next = w->clients;
	w->clients = c;
	assert_int_equal(gnutls_init(&c->session, GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK), 0);
	assert_int_equal(gnutls_priority_set_direct(c->session, priority_of(auth), NULL), 0);
	if (auth == AUTH_PSK || auth == AUTH_ECDHE_PSK)
		gnutls_credentials_set(c->session, GNUTLS_CRD_PSK, psk_client);
	else
		gnutls_credentials_set(c->session, GNUTLS_CRD_CERTIFICATE,
				       auth == AUTH_MUTUAL ? mutual_client :
				       auth == AUTH_MUTUAL_BULKY ? bulky_client : plain_client);
	gnutls_transport_set_ptr(c->session, c);
	gnutls_transport_set_push_function(c->session, push);
	gnutls_transport_set_pull_function(c->session, pull);
	gnutls_transport_set_pull_timeout_function(c->session, pull_timeout);
	gnutls_dtls_set_mtu(c->session, (unsigned)c->mtu);
	gnutls_dtls_set_timeouts(c->session, 1000, 60000);
	if (resume)
		assert_int_equal(gnutls_session_set_data(c->session, resume->data, resume->size), 0);
	return c;
}

struct client *client_new_to(struct world *w, unsigned listener, enum world_auth auth)
{
	struct client *c = client_new(w, auth, 0, NULL);

	c->flow.local.port = (uint16_t)(w->address.port + listener);
	return c;
}

void client_free(struct client *c)
{
	struct client **at = &c->world->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	for (; c->inbox_count; c->inbox_count--, c->inbox_first = (c->inbox_first + 1) % 256)
		free(c->inbox[c->inbox_first].data);
	gnutls_deinit(c->session);
	free(c);
}

static size_t message(unsigned i, uint8_t *out)
{
	size_t len = 4 + (i * 37) % 900;

	for (size_t k = 0; k < len; k++)
		out[k] = (uint8_t)(i * 31 + k * 7);
	out[0] = (uint8_t)(i >> 8);
	out[1] = (uint8_t)i;
	return len;
}

void client_say(struct client *c, unsigned i)
{
	uint8_t text[1024];
	size_t len = message(i, text);

	assert_true(i < 1024 && c->done);
	assert_int_equal(gnutls_record_send(c->session, text, len), len);
}

void client_bye(struct client *c)
{
	gnutls_bye(c->session, GNUTLS_SHUT_WR);
}

static void judge(struct client *c, const uint8_t *data, size_t len)
{
	uint8_t expected[1024];
	unsigned i;

	if (len < 4 || (i = (unsigned)(data[0] << 8 | data[1])) >= 1024 || message(i, expected) != len ||
	    memcmp(expected, data, len) != 0)
		c->strange++;
	else if (c->seen[i])
		c->repeated++;
	else
		c->echoes++, c->seen[i] = true;
}

static void client_turn(struct client *c)
{
	uint8_t buf[20000];
	ssize_t n;

	if (c->error)
		return;
	if (!c->done) {
		int err;

		do {
			err = gnutls_handshake(c->session);
		} while (err < 0 && !gnutls_error_is_fatal(err) && c->inbox_count);
		if (err == 0) {
			c->done = true;
			c->done_at = c->world->net.now;
		} else if (gnutls_error_is_fatal(err)) {
			c->error = err;
			return;
		}
	}
	while (c->done && (n = gnutls_record_recv(c->session, buf, sizeof(buf))) != GNUTLS_E_AGAIN) {
		if (n > 0)
			judge(c, buf, (size_t)n);
		else if (n == 0)
			c->closed = true;
		else if (gnutls_error_is_fatal((int)n))
			c->error = (int)n;
		if (n == 0 || c->error)
			break;
	}
}

static uint64_t client_due(const struct client *c)
{
	unsigned ms;

	if (c->error || c->done)
		return UINT64_MAX;
	ms = gnutls_dtls_get_timeout(c->session);
	/* it stays 0 after a partial flight */
	return c->world->net.now + (ms < 100 ? 100 : ms);
}

/* ---- time ---- */

static void deliver(struct world *w, struct net_packet *p)
{
	if (p->to_server) {
		/* listener n has port n more than the first */
		uint32_t listener = (uint32_t)(p->flow.local.port - w->address.port) + w->shift;
		struct datagram d = { p->flow, listener, p->data, p->len, 0 };

		engine_expect(w->engine, &d, 1);
		engine_datagram(w->engine, &d);
		txq_flush(engine_txq(w->engine));
		return;
	}
	for (struct client *c = w->clients; c; c = c->next)
		if (flow_equal(&c->flow, &p->flow)) {
			gnutls_datum_t *slot = &c->inbox[(c->inbox_first + c->inbox_count) % 256];

			if (c->error || p->len == 0 || c->inbox_count == 256)
				return;
			slot->data = malloc(p->len);
			assert_non_null(slot->data);
			memcpy(slot->data, p->data, p->len);
			slot->size = (unsigned)p->len;
			c->inbox_count++;
			client_turn(c);
			return;
		}
}

static void deliver_letters(struct world *w)
{
	while (w->letters) {
		struct letter *l = w->letters;

		w->letters = l->next;
		if (!w->letters)
			w->last_letter = &w->letters;
		engine_letter(w->engine, l);
	}
}

void world_deliver(struct world *w)
{
	struct net_packet *p;

	engine_time(w->engine, w->net.now, w->net.now / 1000);
	while ((p = net_receive(&w->net))) {
		deliver(w, p);
		free(p);
	}
}

bool world_run(struct world *w, uint64_t ms, bool (*done)(void *ctx), void *ctx)
{
	uint64_t end = w->net.now + ms;

	for (struct client *c = w->clients; c; c = c->next)
		client_turn(c);
	for (;;) {
		uint64_t next, wait;

		engine_turn(w->engine);
		world_deliver(w);
		deliver_letters(w);
		wait = engine_run(w->engine);
		if (done && done(ctx))
			return true;
		if (w->net.now >= end)
			return false;
		next = net_next(&w->net);
		if (wait != UINT64_MAX && w->net.now + wait < next)
			next = w->net.now + wait;
		for (struct client *c = w->clients; c; c = c->next)
			if (client_due(c) < next)
				next = client_due(c);
		if (next <= w->net.now)
			next = w->net.now + 1;
		w->net.now = virtual_ms = next < end ? next : end;
		for (struct client *c = w->clients; c; c = c->next)
			if (!c->done)
				client_turn(c);
	}
}

bool client_settled(void *client)
{
	const struct client *c = client;

	return c->done || c->error;
}

bool client_is_done(void *client)
{
	return ((const struct client *)client)->done;
}

void pause_(struct world *w, uint64_t ms)
{
	world_run(w, ms, NULL, NULL);
}

struct client *connected(struct world *w, enum world_auth auth, uint16_t port)
{
	struct client *c = client_new(w, auth, port, NULL);

	assert_true(world_run(w, MINUTE, client_is_done, c));
	return c;
}
