/* SPDX-License-Identifier: BSD-2-Clause */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/dtls.h>

#include "util.h"

#define PRIORITY                                                                                            \
	"NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-128-GCM:-MAC-ALL:+AEAD"      \
	":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1"
#define RETRANSMIT_MS 100
#define GIVE_UP 100 /* times in a row that nothing came for that long */

static gnutls_priority_t priority;
static gnutls_certificate_credentials_t credentials;
static unsigned init_flags;

/* One handshake under way. */
struct lane {
	gnutls_session_t session;
	uint32_t peer;
	struct source *source;
	const uint8_t *in; /* the datagram to be pulled next, or NULL */
	size_t in_len;
};

static void check(int error, const char *what)
{
	if (error < 0)
		die("%s: %s", what, gnutls_strerror(error));
}

void client_init(bool tickets)
{
	init_flags = tickets ? 0 : GNUTLS_NO_TICKETS;
	check(gnutls_priority_init(&priority, PRIORITY, NULL), "priority");
	check(gnutls_certificate_allocate_credentials(&credentials), "credentials");
}

static ssize_t lane_push(gnutls_transport_ptr_t p, const void *data, size_t len)
{
	struct lane *l = p;
	uint8_t copy[2048];
	const struct parcel parcel = {.peer = l->peer, .data = copy, .len = len};

	if (len > sizeof(copy))
		die("a flight of %zu bytes in one datagram", len);
	memcpy(copy, data, len);
	source_send(l->source, &parcel, 1);
	return (ssize_t)len;
}

static ssize_t lane_pull(gnutls_transport_ptr_t p, void *data, size_t size)
{
	struct lane *l = p;

	if (!l->in) {
		gnutls_transport_set_errno(l->session, EAGAIN);
		return -1;
	}
	size = l->in_len < size ? l->in_len : size;
	memcpy(data, l->in, size);
	l->in = NULL;
	return (ssize_t)size;
}

static int lane_pull_timeout(gnutls_transport_ptr_t p, unsigned ms)
{
	const struct lane *l = p;

	(void)ms;
	return l->in != NULL;
}

static gnutls_session_t session_new(void *transport, gnutls_push_func push)
{
	gnutls_session_t s;

	check(gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK | init_flags), "gnutls_init");
	check(gnutls_priority_set(s, priority), "gnutls_priority_set");
	check(gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, credentials), "gnutls_credentials_set");
	gnutls_transport_set_ptr(s, transport);
	gnutls_transport_set_push_function(s, push);
	gnutls_transport_set_pull_function(s, lane_pull);
	gnutls_transport_set_pull_timeout_function(s, lane_pull_timeout);
	gnutls_dtls_set_timeouts(s, RETRANSMIT_MS, 60000);
	return s;
}

/* Catches the first flight instead of sending it. */
struct catch {
	struct lane lane; /* must be first: lane_pull gets the same pointer */
	uint8_t *hello;
	size_t len;
};

static ssize_t catch_push(gnutls_transport_ptr_t p, const void *data, size_t len)
{
	struct catch *c = p;

	if (len > HELLO_MAX)
		die("a ClientHello of %zu bytes", len);
	memcpy(c->hello, data, len);
	c->len = len;
	return (ssize_t)len;
}

size_t client_hello(uint8_t hello[static HELLO_MAX])
{
	struct catch c = {.hello = hello};

	c.lane.session = session_new(&c, catch_push);
	if (gnutls_handshake(c.lane.session) != GNUTLS_E_AGAIN || c.len == 0)
		die("GnuTLS made no ClientHello");
	gnutls_deinit(c.lane.session);
	return c.len;
}

static uint64_t seq_of(const unsigned char bytes[8])
{
	uint64_t seq = 0;

	for (unsigned i = 0; i < 8; i++)
		seq = seq << 8 | bytes[i];
	return seq;
}

static void take_keys(gnutls_session_t s, struct secure *out)
{
	gnutls_datum_t mac, iv, key;
	unsigned char seq[8];

	if (gnutls_cipher_get(s) != GNUTLS_CIPHER_AES_128_GCM ||
	    gnutls_kx_get(s) != GNUTLS_KX_ECDHE_ECDSA || gnutls_group_get(s) != GNUTLS_GROUP_X25519)
		die("the server chose %s: not what is to be measured", gnutls_session_get_desc(s));
	check(gnutls_record_get_state(s, 1, &mac, &iv, &key, seq), "read state");
	memcpy(out->read_salt, iv.data, sizeof(out->read_salt));
	check(gnutls_aead_cipher_init(&out->reader, GNUTLS_CIPHER_AES_128_GCM, &key), "read key");
	check(gnutls_record_get_state(s, 0, &mac, &iv, &key, seq), "write state");
	memcpy(out->write_salt, iv.data, sizeof(out->write_salt));
	check(gnutls_aead_cipher_init(&out->writer, GNUTLS_CIPHER_AES_128_GCM, &key), "write key");
	out->write_seq = seq_of(seq);
}

/* True when the handshake is complete; its keys are then in out and the lane is empty. */
static bool lane_go(struct lane *l, struct secure *out)
{
	int error;

	do {
		error = gnutls_handshake(l->session);
	} while (error < 0 && error != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(error));
	if (error == GNUTLS_E_AGAIN)
		return false;
	if (error == GNUTLS_E_FATAL_ALERT_RECEIVED)
		die("alert from the server: %s", gnutls_alert_get_name(gnutls_alert_get(l->session)));
	check(error, "handshake");
	take_keys(l->session, out);
	gnutls_deinit(l->session);
	l->session = NULL;
	return true;
}

struct connector {
	struct source *source;
	struct lane *lanes;
	struct lane **lane_of; /* by peer - first; NULL: not begun or done */
	uint32_t first, count, begun, done;
	struct secure *out;
};

static void lane_begin(struct connector *c, struct lane *l)
{
	uint32_t i = c->begun;

	if (i == c->count)
		return;
	c->begun++;
	*l = (struct lane){.peer = c->first + i, .source = c->source};
	l->session = session_new(l, lane_push);
	c->lane_of[i] = l;
	lane_go(l, &c->out[i]);
}

static void connector_feed(struct connector *c, const struct parcel *p)
{
	size_t segment = p->segment ? p->segment : p->len;
	uint32_t i = p->peer - c->first;

	for (size_t at = 0; at < p->len; at += segment) {
		struct lane *l = i < c->count ? c->lane_of[i] : NULL;

		if (!l)
			return;
		l->in = p->data + at;
		l->in_len = p->len - at < segment ? p->len - at : segment;
		if (lane_go(l, &c->out[i])) {
			c->lane_of[i] = NULL;
			c->done++;
			lane_begin(c, l);
		}
		l->in = NULL;
	}
}

/* Lets GnuTLS look at its timers. */
static void connector_kick(struct connector *c, unsigned lanes)
{
	for (unsigned k = 0; k < lanes; k++) {
		struct lane *l = &c->lanes[k];

		if (l->session && lane_go(l, &c->out[l->peer - c->first]))
			die("a handshake ended without a datagram");
	}
}

void client_connect(struct source *s, uint32_t first, uint32_t count, unsigned lanes, struct secure *out)
{
	struct connector c = {.source = s, .first = first, .count = count, .out = out};
	struct parcel parcels[BATCH];
	uint64_t alive = mono_ns();
	unsigned stuck = 0;

	c.lanes = xcalloc(lanes, sizeof(*c.lanes));
	c.lane_of = xcalloc(count, sizeof(struct lane *));
	for (unsigned k = 0; k < lanes; k++)
		lane_begin(&c, &c.lanes[k]);
	while (c.done < count) {
		unsigned n = source_receive(s, parcels);

		for (unsigned i = 0; i < n; i++)
			connector_feed(&c, &parcels[i]);
		if (n) {
			alive = mono_ns();
			stuck = 0;
		} else if (mono_ns() - alive > RETRANSMIT_MS * UINT64_C(1100000)) {
			if (++stuck > GIVE_UP)
				die("%u of %u handshakes done, then the server fell silent", c.done, count);
			connector_kick(&c, lanes);
			alive = mono_ns();
		}
	}
	free(c.lane_of);
	free(c.lanes);
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

/* RFC 6347 4.1.2.1: epoch and sequence, type, version, length of the plaintext. */
static void additional_data(uint8_t data[static 13], const uint8_t *seq, uint8_t type, size_t len)
{
	memcpy(data, seq, 8);
	data[8] = type;
	data[9] = 0xfe;
	data[10] = 0xfd;
	data[11] = (uint8_t)(len >> 8);
	data[12] = (uint8_t)len;
}

void secure_seal(struct secure *c, uint8_t type, const uint8_t *in, size_t len, uint8_t *out)
{
	size_t body = 8 + len + 16, sealed = len + 16;
	uint8_t nonce[12], data[13], seq[8];

	put64(seq, c->write_seq++);
	memcpy(nonce, c->write_salt, 4);
	memcpy(nonce + 4, seq, 8);
	additional_data(data, seq, type, len);
	out[0] = type;
	out[1] = 0xfe;
	out[2] = 0xfd;
	memcpy(out + 3, seq, 8);
	out[11] = (uint8_t)(body >> 8);
	out[12] = (uint8_t)body;
	memcpy(out + 13, seq, 8);
	check(gnutls_aead_cipher_encrypt(c->writer, nonce, 12, data, 13, 16, in, len, out + 21, &sealed),
	      "seal");
}

ssize_t secure_open(struct secure *c, const uint8_t *record, size_t len, uint8_t *plain)
{
	uint8_t nonce[12], data[13];
	size_t plain_len = len;

	if (len < RECORD_OVERHEAD || (size_t)(record[11] << 8 | record[12]) != len - 13)
		return -1;
	memcpy(nonce, c->read_salt, 4);
	memcpy(nonce + 4, record + 13, 8);
	additional_data(data, record + 3, record[0], len - RECORD_OVERHEAD);
	if (gnutls_aead_cipher_decrypt(c->reader, nonce, 12, data, 13, 16, record + 21, len - 21, plain,
				       &plain_len))
		return -1;
	return (ssize_t)plain_len;
}

void secure_free(struct secure *c)
{
	gnutls_aead_cipher_deinit(c->writer);
	gnutls_aead_cipher_deinit(c->reader);
}
