/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wolfssl_echo: a DTLS 1.2 echo server on wolfSSL for many peers on one socket: an object for each peer, and
 * one that answers hellos until one of them has a good cookie.
 */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "demux.h"
#include "util.h"

static WOLFSSL_CTX *context;
static WOLFSSL *waiting; /* for the next hello */
static bool hello_good;  /* the one in hand */

static int push(WOLFSSL *ssl, char *data, int len, void *to)
{
	ssize_t n = demux_push(to, data, (size_t)len);

	(void)ssl;
	return n < 0 ? WOLFSSL_CBIO_ERR_WANT_WRITE : (int)n;
}

static int pull(WOLFSSL *ssl, char *data, int size, void *from)
{
	ssize_t n = demux_pull(data, (size_t)size);

	(void)ssl;
	(void)from;
	return n < 0 ? WOLFSSL_CBIO_ERR_WANT_READ : (int)n;
}

static int on_good_hello(WOLFSSL *ssl, void *arg)
{
	(void)ssl;
	(void)arg;
	hello_good = true;
	return 0;
}

static WOLFSSL *session_new(void)
{
	static const unsigned char secret[32] = "constant: nothing depends on it";
	WOLFSSL *ssl = wolfSSL_new(context);

	/* One secret for all: the hello with the cookie may meet another object than the one before. */
	if (!ssl || wolfSSL_DTLS_SetCookieSecret(ssl, secret, sizeof(secret)) != 0 ||
	    wolfDTLS_SetChGoodCb(ssl, on_good_hello, NULL) != WOLFSSL_SUCCESS)
		die("wolfSSL makes no session");
	wolfSSL_dtls_set_using_nonblock(ssl, 1);
	return ssl;
}

static void session_free(void *session)
{
	wolfSSL_free(session);
}

static bool wants_more(WOLFSSL *ssl, int result)
{
	int error = wolfSSL_get_error(ssl, result);

	return error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE;
}

static void *admit(struct peer *stranger)
{
	WOLFSSL *ssl = waiting;
	bool lives;

	wolfSSL_SetIOReadCtx(ssl, stranger);
	wolfSSL_SetIOWriteCtx(ssl, stranger);
	if (wolfSSL_dtls_set_peer(ssl, &stranger->address, sizeof(stranger->address)) != WOLFSSL_SUCCESS)
		die("wolfSSL takes no address");
	hello_good = false;
	lives = wants_more(ssl, wolfSSL_accept(ssl));
	if (lives && !hello_good)
		return NULL;
	waiting = session_new();
	if (lives)
		return ssl;
	wolfSSL_free(ssl);
	return NULL;
}

static bool go(struct peer *p)
{
	unsigned char data[16384];
	int n;

	if (!p->established) {
		n = wolfSSL_accept(p->session);
		p->established = n == WOLFSSL_SUCCESS;
		return p->established || wants_more(p->session, n);
	}
	while ((n = wolfSSL_read(p->session, data, sizeof(data))) > 0)
		wolfSSL_write(p->session, data, n);
	if (wolfSSL_get_error(p->session, n) == WOLFSSL_ERROR_ZERO_RETURN)
		wolfSSL_shutdown(p->session);
	return wants_more(p->session, n);
}

static void configure(const char *certificate, const char *key)
{
	wolfSSL_Init();
	context = wolfSSL_CTX_new(wolfDTLSv1_2_server_method());
	if (!context ||
	    wolfSSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256") != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_UseSupportedCurve(context, WOLFSSL_ECC_X25519) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_UseSupportedCurve(context, WOLFSSL_ECC_SECP256R1) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_use_certificate_file(context, certificate, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_use_PrivateKey_file(context, key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set_group_messages(context) != WOLFSSL_SUCCESS)
		die("no wolfSSL context from %s and %s", certificate, key);
	wolfSSL_CTX_SetIORecv(context, pull);
	wolfSSL_CTX_SetIOSend(context, push);
}

int main(int argc, char **argv)
{
	static const struct library library = {admit, go, session_free};

	if (argc != 4)
		die("usage: wolfssl_echo CERTIFICATE KEY IPV4:PORT");
	configure(argv[1], argv[2]);
	waiting = session_new();
	demux_serve(argv[3], &library);
}
