/* SPDX-License-Identifier: BSD-2-Clause */
#include "services.h"

#include <stdio.h>
#include <string.h>

#include "handler.h"
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

static struct standing *standing_of(const char *name, const struct services *before)
{
	for (unsigned i = 0; i < before->count; i++)
		if (strcmp(before->service[i]->config.name, name) == 0)
			return standing_ref(before->service[i]->config.standing);
	return NULL;
}

static struct tls *load(const struct conf *conf, const struct conf_service *c, struct tls_shared *shared)
{
	const struct tls_options o = {
		.x509certfile = c->x509certfile,
		.x509keyfile = c->x509keyfile,
		.x509cafile = c->x509cafile,
		.pskpasswd = c->pskpasswd,
		.priority = c->priority,
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
static struct service *make(const struct conf *conf, const struct conf_service *c, const struct services *before)
{
	const struct quota_limits limits = limits_of(c);
	struct service_config config = {
		.name = c->name,
		.handler = handler_find(c->handler),
		.idle_timeout_ms = c->idle_timeout * UINT64_C(1000),
		.handshake_timeout_ms = c->handshake_timeout * UINT64_C(1000),
		.mtu = c->mtu,
	};
	struct service *s = NULL;
	char text[300];

	if (!config.handler) {
		snprintf(text, sizeof(text), "%shandler: there is no handler '%.100s'; dtlsd --help lists them",
			 conf->file ? "" : "--", c->handler);
		complain(conf, c, "handler", text);
		return NULL;
	}
	config.standing = standing_of(c->name, before);
	if (!config.standing)
		config.standing = standing_new(&limits);
	if (config.standing)
		config.tls = load(conf, c, standing_tls(config.standing));
	if (config.tls)
		s = service_new(&config);
	if (!config.standing || (config.tls && !s))
		complain(conf, c, NULL, "out of memory");
	tls_unref(config.tls);
	standing_unref(config.standing);
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

void services_clear(struct services *s)
{
	for (unsigned i = 0; i < s->count; i++)
		service_unref(s->service[i]);
	s->count = 0;
}
