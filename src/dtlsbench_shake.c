/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_shake.h"

#include <errno.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <nettle/curve25519.h>
#include <nettle/hmac.h>

#include "classify.h"
#include "wire.h"

enum {
	EXTENSION_EXTENDED_MASTER = 23,
	GROUP_X25519 = 29,
	CURVE_NAMED = 3,
	MASTER_SIZE = 48,
	FINISHED_SIZE = SHAKE_FINISHED - DTLS_HANDSHAKE_HEADER,
	KEY_SIZE = 16,
	SALT_SIZE = 4
};

static const uint8_t x509_suites[] = {
	0, 6, 0xc0, 0x2b, 0xc0, 0x2f, 0, 0xff, /* ECDHE-ECDSA, ECDHE-RSA with AES-128-GCM; secure renegotiation */
	1, 0,                                  /* no compression */
};
static const uint8_t psk_suites[] = {
	0, 4, 0, 0xa8, 0, 0xff, /* PSK with AES-128-GCM */
	1, 0,
};
static const uint8_t extensions[] = {
	0, 10, 0, 6, 0, 4, 0, 29, 0, 23,       /* groups: X25519, P-256 for the certificate */
	0, 11, 0, 2, 1, 0,                     /* uncompressed points */
	0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1,   /* ECDSA, RSA-PSS and RSA with SHA-256 */
	0, 23, 0, 0,                           /* extended master secret */
	0, 35, 0, 0,                           /* session ticket: last, it may be left out */
};
#define TICKET_EXTENSION 4

int shake_prepare(struct shake_setup *setup)
{
	if (gnutls_rnd(GNUTLS_RND_KEY, setup->private_key, sizeof(setup->private_key)))
		return -EIO;
	curve25519_mul_g(setup->public_key, setup->private_key);
	return 0;
}

static enum shake_verdict fail(struct shake *s, const char *why)
{
	s->why = why;
	return SHAKE_FAILED;
}

/* ---- RFC 5246 5: the pseudorandom function */

static void prf(const uint8_t *secret, size_t secret_len, const char *label, const uint8_t *seed,
		size_t seed_len, uint8_t *out, size_t out_len)
{
	uint8_t a[SHA256_DIGEST_SIZE], block[SHA256_DIGEST_SIZE];
	size_t label_len = strlen(label);
	struct hmac_sha256_ctx h;

	hmac_sha256_set_key(&h, secret_len, secret);
	hmac_sha256_update(&h, label_len, (const uint8_t *)label);
	hmac_sha256_update(&h, seed_len, seed);
	hmac_sha256_digest(&h, sizeof(a), a);
	for (size_t at = 0; at < out_len; at += sizeof(block)) {
		size_t n = out_len - at < sizeof(block) ? out_len - at : sizeof(block);

		hmac_sha256_update(&h, sizeof(a), a);
		hmac_sha256_update(&h, label_len, (const uint8_t *)label);
		hmac_sha256_update(&h, seed_len, seed);
		hmac_sha256_digest(&h, sizeof(block), block);
		memcpy(out + at, block, n);
		hmac_sha256_update(&h, sizeof(a), a);
		hmac_sha256_digest(&h, sizeof(a), a);
	}
}

static void transcript_hash(const struct shake *s, uint8_t out[static SHA256_DIGEST_SIZE])
{
	struct sha256_ctx copy = s->transcript;

	sha256_digest(&copy, SHA256_DIGEST_SIZE, out);
}

/* ---- what the client says */

/* Room for a record of epoch 0 at the end of the flight; flights are bounded by what a client says. */
static uint8_t *record_begin(struct shake *s, uint8_t type, size_t body_len)
{
	uint8_t *p = s->flight + s->flight_len;

	p[0] = type;
	wire_put16(p + 1, DTLS_VERSION_1_2);
	wire_put64(p + 3, s->record_seq++);
	wire_put16(p + 11, (uint16_t)body_len);
	s->flight_len += DTLS_RECORD_HEADER + body_len;
	return p + DTLS_RECORD_HEADER;
}

static void message_header(struct shake *s, uint8_t *p, uint8_t type, size_t len)
{
	p[0] = type;
	wire_put24(p + 1, (uint32_t)len);
	wire_put16(p + 4, s->send_seq++);
	wire_put24(p + 6, 0);
	wire_put24(p + 9, (uint32_t)len);
}

static void hello(struct shake *s, const uint8_t *cookie, uint8_t cookie_len)
{
	const uint8_t *suites = s->setup->psk_len ? psk_suites : x509_suites;
	size_t suites_len = s->setup->psk_len ? sizeof(psk_suites) : sizeof(x509_suites);
	size_t extensions_len = sizeof(extensions) - (s->setup->tickets ? 0 : TICKET_EXTENSION);
	size_t len = 2 + DTLS_RANDOM_SIZE + 1 + 1 + cookie_len + suites_len + 2 + extensions_len;
	uint8_t *message, *p;

	s->flight_len = 0;
	message = record_begin(s, DTLS_HANDSHAKE, DTLS_HANDSHAKE_HEADER + len);
	message_header(s, message, DTLS_CLIENT_HELLO, len);
	p = message + DTLS_HANDSHAKE_HEADER;
	wire_put16(p, DTLS_VERSION_1_2);
	memcpy(p + 2, s->random, DTLS_RANDOM_SIZE);
	p[34] = 0; /* no session ID */
	p[35] = cookie_len;
	p += 36;
	if (cookie_len)
		memcpy(p, cookie, cookie_len);
	p += cookie_len;
	memcpy(p, suites, suites_len);
	p += suites_len;
	wire_put16(p, (uint16_t)extensions_len);
	memcpy(p + 2, extensions, extensions_len);
	/* RFC 6347 4.2.1: the transcript begins with the hello that has the cookie. */
	sha256_init(&s->transcript);
	sha256_update(&s->transcript, DTLS_HANDSHAKE_HEADER + len, message);
}

enum shake_verdict shake_begin(struct shake *s, const struct shake_setup *setup, struct record_cache *cache)
{
	memset(s, 0, sizeof(*s));
	s->setup = setup;
	s->cache = cache;
	s->in = reassembly_new(0);
	if (!s->in)
		return fail(s, "out of memory");
	if (gnutls_rnd(GNUTLS_RND_NONCE, s->random, sizeof(s->random)))
		return fail(s, "no random bytes");
	hello(s, NULL, 0);
	return SHAKE_SEND;
}

/* RFC 4279 2: as many zeros as the key has bytes, then the key. The length of what was written. */
static size_t premaster(const struct shake *s, uint8_t out[static 2 * (2 + SHAKE_PSK_MAX)])
{
	size_t n = s->setup->psk_len;

	if (n == 0) {
		curve25519_mul(out, s->setup->private_key, s->server_key);
		return 32;
	}
	wire_put16(out, (uint16_t)n);
	memset(out + 2, 0, n);
	wire_put16(out + 2 + n, (uint16_t)n);
	memcpy(out + 4 + n, s->setup->psk, n);
	return 2 * (2 + n);
}

static void derive_keys(struct shake *s)
{
	uint8_t secret[2 * (2 + SHAKE_PSK_MAX)], seed[2 * DTLS_RANDOM_SIZE], block[2 * (KEY_SIZE + SALT_SIZE)];
	size_t secret_len = premaster(s, secret);
	struct record_direction read = { .iv = {0} }, write = { .iv = {0} };

	if (s->extended_master) {
		transcript_hash(s, seed);
		prf(secret, secret_len, "extended master secret", seed, SHA256_DIGEST_SIZE, s->master,
		    MASTER_SIZE);
	} else {
		memcpy(seed, s->random, DTLS_RANDOM_SIZE);
		memcpy(seed + DTLS_RANDOM_SIZE, s->server_random, DTLS_RANDOM_SIZE);
		prf(secret, secret_len, "master secret", seed, sizeof(seed), s->master, MASTER_SIZE);
	}
	memcpy(seed, s->server_random, DTLS_RANDOM_SIZE);
	memcpy(seed + DTLS_RANDOM_SIZE, s->random, DTLS_RANDOM_SIZE);
	prf(s->master, MASTER_SIZE, "key expansion", seed, sizeof(seed), block, sizeof(block));
	memcpy(write.key, block, KEY_SIZE);
	memcpy(read.key, block + KEY_SIZE, KEY_SIZE);
	memcpy(write.iv, block + 2 * KEY_SIZE, SALT_SIZE);
	memcpy(read.iv, block + 2 * KEY_SIZE + SALT_SIZE, SALT_SIZE);
	record_init(&s->record, RECORD_AES_128_GCM, &read, UINT64_C(1) << 48, &write, UINT64_C(1) << 48);
	s->keyed = true;
}

static void client_key_exchange(struct shake *s)
{
	const struct shake_setup *setup = s->setup;
	size_t len = setup->psk_len ? 2 + setup->identity_len : 1 + sizeof(setup->public_key);
	uint8_t *message = record_begin(s, DTLS_HANDSHAKE, DTLS_HANDSHAKE_HEADER + len);
	uint8_t *body = message + DTLS_HANDSHAKE_HEADER;

	message_header(s, message, DTLS_CLIENT_KEY_EXCHANGE, len);
	if (setup->psk_len) {
		wire_put16(body, (uint16_t)setup->identity_len);
		memcpy(body + 2, setup->identity, setup->identity_len);
	} else {
		body[0] = sizeof(setup->public_key);
		memcpy(body + 1, setup->public_key, sizeof(setup->public_key));
	}
	sha256_update(&s->transcript, DTLS_HANDSHAKE_HEADER + len, message);
}

/* RFC 5246 7.4.6: a client without one answers the server's request by an empty list. */
static void no_certificate(struct shake *s)
{
	uint8_t *message = record_begin(s, DTLS_HANDSHAKE, DTLS_HANDSHAKE_HEADER + 3);

	message_header(s, message, DTLS_CERTIFICATE, 3);
	wire_put24(message + DTLS_HANDSHAKE_HEADER, 0);
	sha256_update(&s->transcript, DTLS_HANDSHAKE_HEADER + 3, message);
}

/* The Finished as a new record at the end of the flight. */
static bool seal_finished(struct shake *s)
{
	ssize_t n = record_protect(&s->record, s->cache, DTLS_HANDSHAKE, s->finished, sizeof(s->finished),
				   s->flight + s->flight_len, sizeof(s->flight) - s->flight_len);

	if (n < 0)
		return false;
	s->flight_len += (size_t)n;
	return true;
}

/* ClientKeyExchange, ChangeCipherSpec and Finished. */
static enum shake_verdict last_flight(struct shake *s)
{
	uint8_t hash[SHA256_DIGEST_SIZE];

	if (!s->setup->psk_len && !s->server_key_seen)
		return fail(s, "no ServerKeyExchange came");
	s->flight_len = 0;
	if (s->certificate_wanted)
		no_certificate(s);
	client_key_exchange(s);
	derive_keys(s);
	*record_begin(s, DTLS_CHANGE_CIPHER_SPEC, 1) = 1;
	message_header(s, s->finished, DTLS_FINISHED, FINISHED_SIZE);
	transcript_hash(s, hash);
	prf(s->master, MASTER_SIZE, "client finished", hash, sizeof(hash), s->finished + DTLS_HANDSHAKE_HEADER,
	    FINISHED_SIZE);
	sha256_update(&s->transcript, sizeof(s->finished), s->finished);
	return seal_finished(s) ? SHAKE_SEND : fail(s, "out of memory");
}

/* Of the Finished, too: a copy of the same record falls to the server's replay window, which asks for nothing. */
void shake_again(struct shake *s)
{
	size_t at = 0;

	for (; at < s->flight_len && wire_get16(s->flight + at + 3) == 0;
	     at += DTLS_RECORD_HEADER + wire_get16(s->flight + at + 11))
		wire_put64(s->flight + at + 3, s->record_seq++);
	s->flight_len = at;
	if (s->keyed)
		(void)seal_finished(s); /* without memory the rest goes alone */
}

/* ---- what the server says */

static enum shake_verdict hello_verify_request(struct shake *s, const uint8_t *p, size_t len)
{
	if (len < 3 || len != 3u + p[2])
		return fail(s, "the server's HelloVerifyRequest is not one");
	hello(s, p + 3, p[2]);
	return SHAKE_SEND;
}

static enum shake_verdict server_hello(struct shake *s, const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len;
	unsigned suite;

	if (len < 38 || wire_get16(p) != DTLS_VERSION_1_2 || len < 38u + p[34])
		return fail(s, "the server does not speak DTLS 1.2");
	memcpy(s->server_random, p + 2, DTLS_RANDOM_SIZE);
	p += 35 + p[34];
	suite = wire_get16(p);
	if (suite != (s->setup->psk_len ? 0xa8 : 0xc02b) && (s->setup->psk_len || suite != 0xc02f))
		return fail(s, "the server chooses a suite that was not offered");
	p += 3;
	s->extended_master = false;
	for (p += 2; p + 4 <= end; p += 4 + wire_get16(p + 2)) {
		if (wire_get16(p) == EXTENSION_EXTENDED_MASTER)
			s->extended_master = true;
	}
	return SHAKE_WAIT;
}

static enum shake_verdict server_key_exchange(struct shake *s, const uint8_t *p, size_t len)
{
	if (s->setup->psk_len)
		return SHAKE_WAIT; /* a hint only */
	if (len <= 36 || p[0] != CURVE_NAMED || wire_get16(p + 1) != GROUP_X25519 || p[3] != 32)
		return fail(s, "the server does not choose X25519, which is all that --lean can do");
	memcpy(s->server_key, p + 4, 32);
	s->server_key_seen = true;
	return SHAKE_WAIT;
}

static enum shake_verdict server_finished(struct shake *s, const uint8_t *p, size_t len)
{
	uint8_t hash[SHA256_DIGEST_SIZE], expected[FINISHED_SIZE];

	if (!s->keyed)
		return fail(s, "the server's Finished came too early");
	transcript_hash(s, hash);
	prf(s->master, MASTER_SIZE, "server finished", hash, sizeof(hash), expected, sizeof(expected));
	if (len != sizeof(expected) || memcmp(p, expected, len) != 0)
		return fail(s, "the server's Finished is wrong");
	return SHAKE_DONE;
}

/* One whole message, header first. */
static enum shake_verdict on_message(struct shake *s, const uint8_t *message, size_t len)
{
	const uint8_t *body = message + DTLS_HANDSHAKE_HEADER;
	size_t body_len = len - DTLS_HANDSHAKE_HEADER;

	if (message[0] != DTLS_FINISHED && message[0] != DTLS_HELLO_VERIFY_REQUEST)
		sha256_update(&s->transcript, len, message);
	switch (message[0]) {
	case DTLS_HELLO_VERIFY_REQUEST:
		return hello_verify_request(s, body, body_len);
	case DTLS_SERVER_HELLO:
		return server_hello(s, body, body_len);
	case DTLS_SERVER_KEY_EXCHANGE:
		return server_key_exchange(s, body, body_len);
	case DTLS_SERVER_HELLO_DONE:
		return last_flight(s);
	case DTLS_CERTIFICATE_REQUEST:
		s->certificate_wanted = true;
		return SHAKE_WAIT;
	case DTLS_CERTIFICATE:
	case DTLS_NEW_SESSION_TICKET:
		return SHAKE_WAIT;
	case DTLS_FINISHED:
		return server_finished(s, body, body_len);
	default:
		return fail(s, "the server sends a handshake message that --lean does not know");
	}
}

/* Sequences of messages, in any order, whole or in pieces. What is lost or does not fit comes again. */
static enum shake_verdict on_fragments(struct shake *s, const uint8_t *body, size_t len)
{
	struct handshake_fragment f;
	enum shake_verdict v = SHAKE_WAIT;
	const uint8_t *message;
	size_t at = 0, message_len;

	while (classify_handshake(body, len, &at, &f) > 0)
		reassembly_add(s->in, &f);
	while (v == SHAKE_WAIT && (message = reassembly_next(s->in, &message_len))) {
		v = on_message(s, message, message_len);
		reassembly_pop(s->in);
	}
	return v;
}

static enum shake_verdict on_alert(struct shake *s, const uint8_t *alert)
{
	const char *name = gnutls_alert_get_name(alert[1]);

	if (alert[0] != DTLS_ALERT_FATAL && alert[1] != DTLS_ALERT_CLOSE_NOTIFY)
		return SHAKE_WAIT;
	return fail(s, name ? name : "an alert that nobody knows");
}

static enum shake_verdict on_protected(struct shake *s, const struct record *r)
{
	uint8_t *plain;
	ssize_t n = s->keyed ? record_unprotect(&s->record, s->cache, r, &plain, NULL) : -1;

	if (n == 2 && r->type == DTLS_ALERT)
		return on_alert(s, plain);
	return n > 0 && r->type == DTLS_HANDSHAKE ? on_fragments(s, plain, (size_t)n) : SHAKE_WAIT;
}

enum shake_verdict shake_feed(struct shake *s, uint8_t *data, size_t len)
{
	enum shake_verdict v = SHAKE_WAIT;
	size_t at = 0;

	while (v == SHAKE_WAIT) {
		struct record r;

		switch (classify_record(data, len, &at, &r)) {
		case RECORD_END:
			return SHAKE_WAIT;
		case RECORD_HANDSHAKE:
			v = on_fragments(s, r.body, r.length);
			break;
		case RECORD_PROTECTED:
			v = on_protected(s, &r);
			break;
		case RECORD_ALERT:
			v = on_alert(s, r.body);
			break;
		default: /* ChangeCipherSpec, and what is not for us */
			break;
		}
	}
	return v;
}

void shake_end(struct shake *s)
{
	reassembly_free(s->in);
	if (s->keyed)
		record_wipe(&s->record, s->cache);
	explicit_bzero(s, sizeof(*s));
}
