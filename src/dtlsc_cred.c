/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsc_cred.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PRIORITY_COMMON                                                                            \
	"NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:" \
	"+AES-128-CCM:+AES-128-CCM-8:-MAC-ALL:+AEAD:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:"    \
	"+GROUP-SECP384R1:+GROUP-X448:+GROUP-SECP521R1:-KX-ALL"
#define PRIORITY_X509 PRIORITY_COMMON ":+ECDHE-ECDSA:+ECDHE-RSA"
#define PRIORITY_PSK PRIORITY_COMMON ":+ECDHE-PSK:+PSK"

/* GnuTLS says "error while reading file" only; the system knows which one it was. */
static int check_readable(const char *option, const char *path, char *err, size_t err_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		int reason = errno;

		snprintf(err, err_size, "--%s %s: %s", option, path, strerror(reason));
		return -reason;
	}
	close(fd);
	return 0;
}

static int load_trust(struct cred *cred, const struct dtlsc_options *o, char *err, size_t err_size)
{
	int count;

	if (o->cafile == NULL) {
		/* None installed is found out, and said, when a certificate has to be verified. */
		gnutls_certificate_set_x509_system_trust(cred->x509);
		return 0;
	}
	if (check_readable("x509cafile", o->cafile, err, err_size) != 0)
		return -EINVAL;
	count = gnutls_certificate_set_x509_trust_file(cred->x509, o->cafile, GNUTLS_X509_FMT_PEM);
	if (count > 0)
		return 0;
	snprintf(err, err_size, "--x509cafile %s: %s: give a file of CA certificates in PEM", o->cafile,
		 count < 0 ? gnutls_strerror(count) : "no certificate in it");
	return -EINVAL;
}

static int load_own_certificate(struct cred *cred, const struct dtlsc_options *o, char *err,
				size_t err_size)
{
	const char *keyfile = o->keyfile != NULL ? o->keyfile : o->certfile;
	int ret;

	if (o->certfile == NULL)
		return 0;
	if (check_readable("x509certfile", o->certfile, err, err_size) != 0 ||
	    check_readable("x509keyfile", keyfile, err, err_size) != 0)
		return -EINVAL;
	ret = gnutls_certificate_set_x509_key_file(cred->x509, o->certfile, keyfile, GNUTLS_X509_FMT_PEM);
	if (ret >= 0)
		return 0;
	snprintf(err, err_size,
		 "--x509certfile %s with key %s: %s: give a PEM certificate and the unencrypted key that "
		 "belongs to it",
		 o->certfile, keyfile, gnutls_strerror(ret));
	return -EINVAL;
}

static int load_psk(struct cred *cred, const struct dtlsc_options *o, char *err, size_t err_size)
{
	gnutls_datum_t key;
	int ret;

	if (o->pskusername == NULL)
		return 0;
	ret = gnutls_psk_allocate_client_credentials(&cred->psk);
	if (ret == 0) {
		key.data = (unsigned char *)o->pskkey;
		key.size = (unsigned)strlen(o->pskkey);
		ret = gnutls_psk_set_client_credentials(cred->psk, o->pskusername, &key,
							GNUTLS_PSK_KEY_HEX);
	}
	if (ret == 0)
		return 0;
	snprintf(err, err_size, "--pskusername %s: %s", o->pskusername, gnutls_strerror(ret));
	return -EINVAL;
}

static int load_priority(struct cred *cred, const struct dtlsc_options *o, char *err, size_t err_size)
{
	const char *fallback = o->pskusername != NULL ? PRIORITY_PSK : PRIORITY_X509;
	const char *text = o->priority != NULL ? o->priority : fallback;
	const char *where = text;
	int ret = gnutls_priority_init(&cred->priority, text, &where);

	if (ret == 0)
		return 0;
	cred->priority = NULL;
	snprintf(err, err_size, "--priority '%s': %s at '%s': gnutls-cli --list shows the words", text,
		 gnutls_strerror(ret), where);
	return -EINVAL;
}

/* The name to verify: --sni, else the host as typed, less a zone and the root's dot. */
static void choose_name(struct cred *cred, const struct dtlsc_options *o)
{
	uint8_t address[16];
	size_t len;

	snprintf(cred->name, sizeof(cred->name), "%s", o->sni != NULL ? o->sni : o->host);
	cred->name[strcspn(cred->name, "%")] = '\0';
	len = strlen(cred->name);
	if (len > 1 && cred->name[len - 1] == '.')
		cred->name[len - 1] = '\0';
	cred->name_is_address = inet_pton(AF_INET, cred->name, address) == 1 ||
				inet_pton(AF_INET6, cred->name, address) == 1;
}

enum dtlsc_exit cred_load(struct cred *cred, const struct dtlsc_options *o, char *err, size_t err_size)
{
	int ret;

	memset(cred, 0, sizeof(*cred));
	choose_name(cred, o);
	ret = gnutls_certificate_allocate_credentials(&cred->x509);
	if (ret != 0) {
		snprintf(err, err_size, "%s", gnutls_strerror(ret));
		return DTLSC_LOCAL;
	}
	if (load_priority(cred, o, err, err_size) != 0)
		return DTLSC_USAGE;
	if (load_trust(cred, o, err, err_size) != 0 || load_own_certificate(cred, o, err, err_size) != 0 ||
	    load_psk(cred, o, err, err_size) != 0)
		return DTLSC_LOCAL;
	return DTLSC_OK;
}

void cred_free(struct cred *cred)
{
	if (cred->priority != NULL)
		gnutls_priority_deinit(cred->priority);
	if (cred->psk != NULL)
		gnutls_psk_free_client_credentials(cred->psk);
	if (cred->x509 != NULL)
		gnutls_certificate_free_credentials(cred->x509);
	memset(cred, 0, sizeof(*cred));
}

int cred_apply(const struct cred *cred, gnutls_session_t tls, bool verify)
{
	int ret = gnutls_priority_set(tls, cred->priority);

	if (ret == 0)
		ret = gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, cred->x509);
	if (ret == 0 && cred->psk != NULL)
		ret = gnutls_credentials_set(tls, GNUTLS_CRD_PSK, cred->psk);
	if (ret == 0 && !cred->name_is_address)
		ret = gnutls_server_name_set(tls, GNUTLS_NAME_DNS, cred->name, strlen(cred->name));
	if (ret == 0 && verify)
		gnutls_session_set_verify_cert(tls, cred->name, 0);
	return ret;
}

static void describe_status(const struct cred *cred, unsigned status, char *err, size_t err_size)
{
	gnutls_datum_t text = {0};
	const char *hint = "give its CA with --x509cafile, or --insecure to talk to it all the same";
	const char *reason = "it could not be verified.";

	if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) == 0) {
		/* GnuTLS ends each of its sentences with ". ". */
		reason = (const char *)text.data;
		if (strlen(reason) > 1 && reason[strlen(reason) - 1] == ' ')
			text.data[strlen(reason) - 1] = '\0';
	}
	if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
		hint = "give the name it is for with --sni, or --insecure to talk to it all the same";
	else if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
		hint = "check this machine's clock, or renew that certificate";
	snprintf(err, err_size, "the server's certificate is refused for '%s': %.400s To go on: %s",
		 cred->name, reason, hint);
	gnutls_free(text.data);
}

void cred_describe_refusal(const struct cred *cred, gnutls_session_t tls, char *err, size_t err_size)
{
	describe_status(cred, gnutls_session_get_verify_cert_status(tls), err, err_size);
}

bool cred_server_is_verified(const struct cred *cred, gnutls_session_t tls, char *err, size_t err_size)
{
	unsigned status = 0;
	int ret;

	/* With a pre-shared key the server has proven that it knows it. */
	if (gnutls_auth_server_get_type(tls) == GNUTLS_CRD_PSK)
		return true;
	ret = gnutls_certificate_verify_peers3(tls, cred->name, &status);
	if (ret == 0 && status == 0)
		return true;
	if (ret == 0)
		describe_status(cred, status, err, err_size);
	else
		snprintf(err, err_size, "the server's certificate cannot be verified: %s",
			 gnutls_strerror(ret));
	return false;
}
