/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_world: handshakes in memory. A GnuTLS client and a session of tls_session_new hand each other datagrams
 * through two queues that lose nothing, so no clock turns. Certificates are made when the program starts.
 */
#ifndef TEST_TLS_WORLD_H
#define TEST_TLS_WORLD_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "tls.h"
#include "tls_names.h"

/* ---- certificates and files ---- */

struct identity {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

/* Signed by ca, where the name does not say otherwise. */
extern struct identity ca, foreign_ca, server, rsa_server, client, expired, foreign, wrong_purpose, nameless;
extern struct identity no_signing, with_ip, old_server, intermediate, leaf, other_server;
extern char world_dir[]; /* where the files are */

/* Files: ca, foreign-ca, server, other, rsa, old, no-signing, leaf as NAME.pem and NAME.key; chains; psk, psk-bob. */
int world_set_up(void **state);
int world_tear_down(void **state);

const char *path(const char *name); /* good until 64 more were asked for */
const char *write_file(const char *name, const char *text, size_t len);
const char *write_text(const char *name, const char *text);
struct identity make_ec(const struct identity *issuer, const char *cn, const char *purpose);
/* A revocation list of issuer's with one certificate, or none, that is good from one day to another. */
void save_crl(const char *name, const struct identity *issuer, const struct identity *revoked, int from_day,
	      int to_day);
void save_crt(const char *name, const struct identity *const *ids, size_t n);
void save(const char *name, const struct identity *id);

/* ---- handshakes ---- */

enum { QUEUE = 64 };

struct end {
	gnutls_session_t session;
	struct end *peer;
	gnutls_datum_t queue[QUEUE];
	unsigned head, tail;
	int rc;
};

/* What a client brings, and how the handshake went. */
struct talk {
	const char *priority;
	const char *server_name; /* that it asks for; NULL: none */
	const struct identity *cert;
	const struct identity *beside; /* a certificate that it sends with its own; NULL: none */
	const char *psk_user;
	const char *psk_key; /* hex */
	gnutls_datum_t psk_raw_user;
	unsigned flags;
	const gnutls_datum_t *resume;
	/* results */
	struct end client, server;
	struct tls_report report;
	bool resumed;
	gnutls_kx_algorithm_t kx;
	gnutls_group_t group;
	gnutls_cipher_algorithm_t cipher;
	gnutls_protocol_t version;
	char *identity;
	struct tls_grant grant;
	struct tls_names names;
	char server_cn[64]; /* of the certificate that the client saw */
	gnutls_datum_t session_data;
	char why[256];
	gnutls_alert_description_t alert; /* that the client got */
	gnutls_certificate_credentials_t cert_cred;
	gnutls_psk_client_credentials_t psk_cred;
};

/* true: both sides are done, and the caller forgets t. */
bool talk(struct tls *tls, struct talk *t);
/* The same in its parts. */
void talk_start(struct tls *tls, struct talk *t);
void step(struct end *e);
bool talk_finish(struct talk *t);
void note_failure(struct talk *t);
void talk_end(struct talk *t);
void forget(struct talk *t);

#define ALICE_KEY "00112233445566778899aabbccddeeff"
#define GNUTLS_12 "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:"

/* ---- servers ---- */

struct fixture {
	struct tls_shared *shared;
	struct tls *tls;
};

/* What tls_load logs goes into buf. */
void load_logged(const struct tls_options *o, char *buf, size_t size);
extern char world_err[600]; /* what tls_load said */
struct tls *load(const struct tls_options *o, struct tls_shared *shared); /* what must load */
/* The usual one: ECDSA certificate, PSKs, CA. */
struct tls_options usual(enum verify_client verify);
struct fixture start(const struct tls_options *o);
struct fixture start_usual(enum verify_client verify);
void stop(struct fixture *f);

#endif
