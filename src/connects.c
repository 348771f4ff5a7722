/* SPDX-License-Identifier: BSD-2-Clause */
#include "connects.h"

#include <stdarg.h>
#include <stdio.h>

#include "backend.h"
#include "tls_client.h"
#include "uplink.h"

__attribute__((format(printf, 2, 3)))
static bool fail(char *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, CONNECTS_ERROR, fmt, ap);
	va_end(ap);
	return false;
}

/* Settings that mean something to servers only. */
static bool check_unused(const struct conf_service *c, const char *dashes, char err[static CONNECTS_ERROR])
{
	const struct {
		const char *name;
		bool given;
	} unused[] = {
		{ "forward", c->answer.forward != NULL },
		{ "command", c->answer.command != NULL },
		{ "verify-client", c->verify_client != 0 },
		{ "allowed-names", c->allowed_names != NULL },
		{ "allowed-fingerprints", c->allowed_fingerprints != NULL },
		{ "ocsp-response", c->ocsp_response != NULL },
		{ "psk-socket", c->psk_socket != NULL },
		{ "handshake-rate", c->handshake_rate != 0 },
	};

	for (size_t i = 0; i < sizeof(unused) / sizeof(unused[0]); i++)
		if (unused[i].given)
			return fail(err, "%s%s is of no use to a client, which a service with %sto is: "
				    "leave one of them out", dashes, unused[i].name, dashes);
	if (c->route_count > 0)
		return fail(err, "routes are for the clients of a server, and a service with %sto is a client: "
			    "leave them out", dashes);
	return true;
}

static bool find_servers(const struct conf_service *c, const char *dashes, struct backends **out,
			 char err[static CONNECTS_ERROR])
{
	char why[300];

	*out = backends_parse(c->to, 0, why, sizeof(why));
	if (!*out)
		return fail(err, "%sto: %s", dashes, why);
	for (unsigned i = 0; i < backends_count(*out); i++)
		if (!backends_addr(*out, i)->addr.family)
			return fail(err, "%sto: DTLS is spoken over UDP: give HOST:PORT instead of a unix "
				    "socket", dashes);
	return true;
}

struct uplink *connects_uplink(const struct conf_service *c, const char *dashes, struct uplink *before,
			       char err[static CONNECTS_ERROR])
{
	const struct tls_client_options o = {
		.to = c->to,
		.server_name = c->server_name,
		.x509cafile = c->x509cafile,
		.x509crlfile = c->x509crlfile,
		.x509certfile = c->x509certfile,
		.x509keyfile = c->x509keyfile,
		.key_password = c->key_password,
		.raw_public_key = c->raw_public_key,
		.allowed_raw_keys = c->allowed_raw_keys,
		.pskpasswd = c->pskpasswd,
		.psk_identity = c->psk_identity,
		.priority = c->priority,
		.alpn = c->alpn,
		.dashes = dashes,
	};
	struct tls_client *tls = tls_client_load(&o, err, CONNECTS_ERROR);
	struct uplink *u;

	if (!tls)
		return NULL;
	if (before && tls_client_same(uplink_tls(before), tls))
		u = uplink_ref(before);
	else
		u = uplink_new(tls);
	tls_client_unref(tls);
	if (!u)
		fail(err, "out of memory");
	return u;
}

bool connects_make(const struct conf_service *c, const char *dashes, const struct service_config *before,
		   struct service_config *out, char err[static CONNECTS_ERROR])
{
	if (!c->to)
		return fail(err, "%shandler: connect needs a server, as: %sto %s\"192.0.2.1:4433\"", dashes,
			    dashes, *dashes ? "" : "= ");
	if (!check_unused(c, dashes, err) || !find_servers(c, dashes, &out->forward.backends, err))
		return false;
	out->silence_ms = c->connect_silence * UINT64_C(1000);
	out->uplink = connects_uplink(c, dashes, before ? before->uplink : NULL, err);
	return out->uplink != NULL;
}

bool connects_none(const struct conf_service *c, const char *dashes, char err[static CONNECTS_ERROR])
{
	const char *name = c->server_name ? "server-name" : "psk-identity";

	if (c->to)
		return fail(err, "%sto is given, which makes a service a client, and %shandler %s, which serves: "
			    "leave one of them out", dashes, dashes, c->answer.handler);
	if (c->server_name || c->psk_identity)
		return fail(err, "%s%s is for clients: give %sto, the server, too, or leave it out", dashes, name,
			    dashes);
	return true;
}
