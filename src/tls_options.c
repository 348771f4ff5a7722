/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_options.h"

#include <stddef.h>

#include "log.h"

static int check_server(const struct tls_options *o, const struct tls_error *e, const char *d)
{
	if (o->x509certfile != NULL && o->x509keyfile == NULL)
		return tls_fail(e, "%sx509certfile %s is given without %sx509keyfile; name its private key too", d,
				o->x509certfile, d);
	if (o->x509certfile == NULL && o->x509keyfile != NULL)
		return tls_fail(e, "%sx509keyfile %s is given without %sx509certfile; name its certificate too", d,
				o->x509keyfile, d);
	if (o->key_password != NULL && !tls_has_key(o))
		return tls_fail(e, "%skey-password %s is of no use without a key; give %sx509certfile and "
				"%sx509keyfile too, or leave it out", d, o->key_password, d, d);
	if (!tls_has_key(o) && !tls_has_psks(o))
		return tls_fail(e, "there is neither a certificate nor a PSK file; give %sx509certfile and "
				"%sx509keyfile, or %spskpasswd, or all three", d, d, d);
	if (o->ocsp_response != NULL && o->x509certfile == NULL)
		return tls_fail(e, "%socsp-response %s is of no use without the certificate that it is about; give "
				"%sx509certfile", d, o->ocsp_response, d);
	return 0;
}

static int check_clients(const struct tls_options *o, const struct tls_error *e, const char *d)
{
	bool asked = o->verify_client != VERIFY_CLIENT_NONE;

	if (asked && o->x509cafile == NULL && o->allowed_raw_keys == NULL)
		return tls_fail(e, "%sverify-client asks clients for certificates, but there is no CA to check them "
				"with; give %sx509cafile", d, d);
	if (o->x509cafile != NULL && !tls_has_key(o))
		return tls_fail(e, "%sx509cafile %s is of no use without %sx509certfile: only a server with a "
				"certificate can ask clients for theirs", d, o->x509cafile, d);
	if (o->allowed_raw_keys != NULL && !tls_has_key(o))
		return tls_fail(e, "%sallowed-raw-keys %s is of no use without %sraw-public-key or %sx509certfile: only a "
				"server with a key can ask clients for theirs", d, o->allowed_raw_keys, d, d);
	if (o->allowed_raw_keys != NULL && !asked)
		return tls_fail(e, "%sallowed-raw-keys %s is of no use while clients are not asked for keys; give "
				"%sverify-client required or optional", d, o->allowed_raw_keys, d);
	if (o->x509crlfile != NULL && o->x509cafile == NULL)
		return tls_fail(e, "%sx509crlfile %s is of no use without the CA that signed it; give %sx509cafile", d,
				o->x509crlfile, d);
	if ((o->allowed_names != NULL || o->allowed_fingerprints != NULL) && !asked)
		return tls_fail(e, "%sallowed-%s is of no use while clients are not asked for certificates; give "
				"%sverify-client required or optional", d,
				o->allowed_names != NULL ? "names" : "fingerprints", d);
	if (o->x509cafile != NULL && !asked)
		log_warning("%sx509cafile %s is given, but clients are not asked for certificates; for that give "
			    "%sverify-client optional or required", d, o->x509cafile, d);
	return 0;
}

int tls_options_check(const struct tls_options *o, const struct tls_error *e)
{
	const char *d = o->dashes != NULL ? o->dashes : "--";
	int rc = check_server(o, e, d);

	return rc < 0 ? rc : check_clients(o, e, d);
}
