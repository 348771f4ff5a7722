/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_advice: what to do when a server refuses a handshake, in an operator's words; for dtlsd as a client, and for dtlsc. */
#ifndef DTLSD_TLS_ADVICE_H
#define DTLSD_TLS_ADVICE_H

#include <stdbool.h>
#include <stddef.h>

/* What the program's options are called that the advice is about. */
struct tls_advice_words {
	const char *identity, *psk; /* which of the pre-shared keys, and both that and where the keys are */
	const char *own;            /* the client's certificate or public key */
	const char *server_name;
	const char *alpn, *raw_keys; /* raw_keys: those of servers; NULL: the program has no such option */
};

/* An alert with its name and a phrase. psk: a pre-shared key was used. Returns buf. */
const char *tls_advice_on_alert(const struct tls_advice_words *w, int alert, bool psk, char *buf, size_t size);

#endif
