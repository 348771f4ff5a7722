/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_ocsp.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <gnutls/ocsp.h>
#include <gnutls/x509.h>

#include "clock.h"
#include "log.h"
#include "tls_chain.h"

static int parse(const struct tls_error *e, const char *path, const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format,
		 gnutls_ocsp_resp_t resp)
{
	int rc = gnutls_ocsp_resp_import2(resp, data, format);

	if (rc < 0)
		return tls_fail(e, "%s: bad OCSP response: %s; get one with: openssl ocsp -respout", path,
				gnutls_strerror(rc));
	rc = gnutls_ocsp_resp_get_status(resp);
	if (rc != GNUTLS_OCSP_RESP_SUCCESSFUL)
		return tls_fail(e, "%s: in this OCSP response the responder says error %d and nothing of a "
				"certificate; ask it again", path, rc);
	return 0;
}

/* Fills in the chain of the certificate that the response is about. Its index, -1: of none. */
static int find_chain(gnutls_ocsp_resp_t resp, gnutls_certificate_credentials_t creds, struct tls_chain *out)
{
	for (unsigned i = 0; gnutls_certificate_get_x509_crt(creds, i, &out->certs, &out->count) >= 0; i++) {
		if (gnutls_ocsp_resp_check_crt(resp, 0, out->certs[0]) >= 0)
			return (int)i;
		tls_chain_free(out);
	}
	*out = (struct tls_chain){ NULL, 0 };
	return -1;
}

/* Whose issuer is not in its chain is left to the client. */
static bool signed_by_issuer(gnutls_ocsp_resp_t resp, const struct tls_chain *chain)
{
	unsigned wrong = 0;

	if (chain->count < 2)
		return true;
	return gnutls_ocsp_resp_verify_direct(resp, chain->certs[1], &wrong, 0) >= 0 && wrong == 0;
}

/* false: no client would be helped by it. dates: of the response; until is UINT64_MAX where it does not say. */
static bool worth_sending(const char *path, gnutls_ocsp_resp_t resp, struct expiry_item *dates)
{
	time_t from = (time_t)-1, next = (time_t)-1;
	unsigned status = GNUTLS_OCSP_CERT_UNKNOWN;

	gnutls_ocsp_resp_get_single(resp, 0, NULL, NULL, NULL, NULL, &status, &from, &next, NULL, NULL);
	*dates = (struct expiry_item){ .kind = EXPIRY_OCSP, .file = path, .place = 1, .from = (uint64_t)from,
				       .until = (uint64_t)next };
	if (status != GNUTLS_OCSP_CERT_GOOD) {
		log_warning("%s: this OCSP response calls the certificate %s and is not sent; clients may refuse it, "
			    "get a new one", path, status == GNUTLS_OCSP_CERT_REVOKED ? "revoked" : "unknown");
		return false;
	}
	if (next == (time_t)-1 || next >= (time_t)clock_wall_s())
		return true;
	log_warning("%s: this OCSP response is out of date and not sent; get a new one and send SIGHUP", path);
	return false;
}

static int staple(const struct tls_error *e, const char *path, const gnutls_datum_t *data, gnutls_ocsp_resp_t resp,
		  gnutls_certificate_credentials_t into, struct expiry *expiry)
{
	gnutls_x509_crt_fmt_t format = memmem(data->data, data->size, "-----BEGIN", 10) != NULL ? GNUTLS_X509_FMT_PEM :
				       GNUTLS_X509_FMT_DER;
	int rc = parse(e, path, data, format, resp), index;
	struct expiry_item dates;
	struct tls_chain chain;

	if (rc < 0)
		return rc;
	index = find_chain(resp, into, &chain);
	if (index < 0)
		return tls_fail(e, "%s: this OCSP response is about none of the certificates; ask for one about the "
				"server's", path);
	if (!signed_by_issuer(resp, &chain))
		rc = tls_fail(e, "%s: this OCSP response was not signed for the issuer of the certificate; ask the "
			      "responder that the certificate names", path);
	else if (!worth_sending(path, resp, &dates))
		rc = 0; /* it was told of */
	else if (gnutls_certificate_set_ocsp_status_request_mem(into, data, (unsigned)index, format) < 0)
		log_warning("%s: GnuTLS does not send this OCSP response, as one that does not say how long it holds "
			    "and is old; get a new one and send SIGHUP", path);
	else if (expiry_add(expiry, &dates) < 0)
		rc = tls_fail(e, "out of memory");
	tls_chain_free(&chain);
	return rc;
}

int tls_ocsp_load(const struct tls_error *e, const char *path, gnutls_certificate_credentials_t into,
		  struct expiry *expiry, size_t *size)
{
	gnutls_ocsp_resp_t resp;
	gnutls_datum_t data;
	int rc = tls_file_read(e, path, "OCSP response", false, &data);

	if (rc < 0)
		return rc;
	*size = data.size;
	rc = gnutls_ocsp_resp_init(&resp) < 0 ? tls_fail(e, "out of memory") : 0;
	if (rc == 0) {
		rc = staple(e, path, &data, resp, into, expiry);
		gnutls_ocsp_resp_deinit(resp);
	}
	tls_wipe(&data);
	return rc;
}
