/* SPDX-License-Identifier: BSD-2-Clause */
#include "services.h"

#include <stdio.h>
#include <string.h>

#include "expiry.h"
#include "forward.h"
#include "handler.h"
#include "handlers.h"
#include "log.h"
#include "setting.h"
#include "tls.h"

static struct quota_limits limits_of(const struct conf_service *c)
{
	return (struct quota_limits){
		.sessions = c->max_sessions,
		.handshakes = c->max_handshakes,
		.handshake_rate = c->handshake_rate,
	};
}

/* name: of the setting that it is about, NULL: of the service. */
static void complain(const struct conf *conf, const struct conf_service *c, const char *name, const char *what)
{
	const struct conf_place *place = &c->place;
	char where[CONF_PLACE_TEXT];

	if (name) {
		const struct setting *s = setting_find(name, SETTING_OF_SERVICE, SETTING_IN_FILE);

		if (c->said[s - settings].line)
			place = &c->said[s - settings];
	}
	if (conf->file)
		log_error("%sservice %s: %s", conf_place_text(place, where), c->name, what);
	else
		log_error("%s", what);
}

/* The service of that name; NULL: there was none. */
static const struct service_config *find_before(const char *name, const struct services *before)
{
	for (unsigned i = 0; i < before->count; i++)
		if (strcmp(before->service[i]->config.name, name) == 0)
			return &before->service[i]->config;
	return NULL;
}

static struct tls *load(const struct conf *conf, const struct conf_service *c, struct tls_shared *shared)
{
	const struct tls_options o = {
		.x509certfile = c->x509certfile,
		.x509keyfile = c->x509keyfile,
		.key_password = c->key_password,
		.ocsp_response = c->ocsp_response,
		.x509cafile = c->x509cafile,
		.x509crlfile = c->x509crlfile,
		.allowed_names = c->allowed_names,
		.allowed_fingerprints = c->allowed_fingerprints,
		.pskpasswd = c->pskpasswd,
		.priority = c->priority,
		.alpn = c->alpn,
		.verify_client = (enum verify_client)c->verify_client,
		.dashes = conf->file ? "" : "--",
	};
	struct tls *tls;
	char err[512];

	tls = tls_load(&o, shared, err, sizeof(err));
	if (!tls)
		complain(conf, c, NULL, err);
	return tls;
}

/* NULL: it is in the log. */
static const struct handler *find_handler(const struct conf *conf, const struct conf_service *c)
{
	const char *dashes = conf->file ? "" : "--";
	const struct handler *h = handler_find(c->handler);
	char text[300];

	if (c->forward && h == &handler_command) /* nobody gives both on purpose */
		h = &handler_forward;
	if (!h)
		snprintf(text, sizeof(text), "%shandler: there is no handler '%.100s'; dtlsd --help lists them", dashes,
			 c->handler);
	else if (h == &handler_forward && !c->forward)
		snprintf(text, sizeof(text), "%shandler: forward needs backends, as: %s", dashes,
			 conf->file ? "forward = \"127.0.0.1:5683\"" : "--forward 127.0.0.1:5683");
	else if (c->forward && h != &handler_forward)
		snprintf(text, sizeof(text), "%shandler: %s does not forward: leave it out, or %sforward", dashes, h->name,
			 dashes);
	else
		return h;
	complain(conf, c, "handler", text);
	return NULL;
}

/* false: it is in the log. */
static bool make_forward(const struct conf *conf, const struct conf_service *c, const struct service_config *before,
			 struct forward *out)
{
	char why[300], text[320];

	if (!c->forward)
		return true;
	out->proxy = (enum forward_proxy)c->forward_proxy;
	out->move = c->forward_move == 0;
	out->backends = backends_parse(c->forward, c->forward_silence * UINT64_C(1000), why, sizeof(why));
	if (!out->backends) {
		snprintf(text, sizeof(text), "%sforward: %s", conf->file ? "" : "--", why);
		complain(conf, c, "forward", text);
		return false;
	}
	if (before && before->forward.backends)
		backends_inherit(out->backends, before->forward.backends);
	return true;
}

/* NULL: it is in the log. */
static struct service *make(const struct conf *conf, const struct conf_service *c, const struct services *before)
{
	const struct quota_limits limits = limits_of(c);
	struct service_config config = {
		.name = c->name,
		.handler = find_handler(conf, c),
		.idle_timeout_ms = c->idle_timeout * UINT64_C(1000),
		.handshake_timeout_ms = c->handshake_timeout * UINT64_C(1000),
		.mtu = c->mtu,
	};
	const struct service_config *old = find_before(c->name, before);
	struct service *s = NULL;

	if (!config.handler || !make_forward(conf, c, old, &config.forward))
		return NULL;
	config.standing = old ? standing_ref(old->standing) : standing_new(&limits);
	if (config.standing)
		config.tls = load(conf, c, standing_tls(config.standing));
	if (config.tls)
		s = service_new(&config);
	if (!config.standing || (config.tls && !s))
		complain(conf, c, NULL, "out of memory");
	tls_unref(config.tls);
	standing_unref(config.standing);
	backends_unref(config.forward.backends);
	return s;
}

bool services_make(struct services *out, const struct conf *c, const struct services *before)
{
	bool well = true;

	out->count = 0;
	for (unsigned i = 0; i < c->service_count; i++) {
		struct service *s = make(c, c->services[i], before);

		if (s)
			out->service[out->count++] = s;
		else
			well = false;
	}
	if (!well)
		services_clear(out);
	return well;
}

void services_limit(const struct services *s, const struct conf *c)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct quota_limits limits = limits_of(c->services[i]);

		quota_set_limits(service_quota(s->service[i]), &limits);
	}
}

void services_warn(const struct services *s, uint64_t before, uint64_t now)
{
	for (unsigned i = 0; i < s->count; i++)
		expiry_warn(tls_expiry(s->service[i]->config.tls), before, now);
}

uint64_t services_expiry(const struct services *s)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < s->count; i++) {
		uint64_t one = expiry_first(tls_expiry(s->service[i]->config.tls));

		first = one < first ? one : first;
	}
	return first;
}

void services_clear(struct services *s)
{
	for (unsigned i = 0; i < s->count; i++)
		service_unref(s->service[i]);
	s->count = 0;
}
