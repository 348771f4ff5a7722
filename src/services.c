/* SPDX-License-Identifier: BSD-2-Clause */
#include "services.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "clock.h"
#include "connects.h"
#include "expiry.h"
#include "handlers.h"
#include "log.h"
#include "loops.h"
#include "subject.h"
#include "tls.h"

/* A service that connects is not counted in the census, and has the limits of the process for itself. */
static struct quota_limits limits_of(const struct conf *conf, const struct conf_service *c)
{
	bool connects = conf_connects(c);

	return (struct quota_limits){
		.sessions = c->max_sessions || !connects ? c->max_sessions : conf->max_sessions,
		.handshakes = c->max_handshakes || !connects ? c->max_handshakes : conf->max_handshakes,
		.handshake_rate = c->handshake_rate,
	};
}

/* The service of that name; NULL: there was none. */
static const struct service_config *find_before(const char *name, const struct services *before)
{
	for (unsigned i = 0; i < before->count; i++)
		if (strcmp(before->service[i]->config.name, name) == 0)
			return &before->service[i]->config;
	return NULL;
}

static struct tls *load(const struct subject *u, struct tls_shared *shared)
{
	const struct conf_service *c = u->service;
	const struct tls_options o = {
		.x509certfile = c->x509certfile,
		.x509keyfile = c->x509keyfile,
		.key_password = c->key_password,
		.ocsp_response = c->ocsp_response,
		.x509cafile = c->x509cafile,
		.x509crlfile = c->x509crlfile,
		.allowed_names = c->allowed_names,
		.allowed_fingerprints = c->allowed_fingerprints,
		.raw_public_key = c->raw_public_key,
		.allowed_raw_keys = c->allowed_raw_keys,
		.pskpasswd = c->pskpasswd,
		.psk_socket = c->psk_socket,
		.psk_cache_s = c->psk_cache,
		.priority = c->priority,
		.alpn = c->alpn,
		.verify_client = (enum verify_client)c->verify_client,
		.dashes = subject_dashes(u),
	};
	struct tls *tls;
	char err[512];

	tls = tls_load(&o, shared, err, sizeof(err));
	if (!tls)
		subject_complain(u, err);
	return tls;
}

/* With routes that were made for it. NULL: it is in the log. */
static struct service *make_with(const struct subject *u, struct standing *standing, const struct service_config *old,
				 const struct answer_routes *routes)
{
	const struct conf_service *c = u->service;
	struct service_config config = {
		.name = c->name,
		.handler = answer_handler(u),
		.standing = standing,
		.idle_timeout_ms = c->idle_timeout * UINT64_C(1000),
		.handshake_timeout_ms = c->handshake_timeout * UINT64_C(1000),
		.mtu = c->mtu,
		.routes = routes->route,
		.route_count = c->route_count,
	};
	struct service *s = NULL;

	if (config.handler && answer_forward(u, old ? &old->forward : NULL, &config.forward) &&
	    answer_exec(u, old ? old->exec : NULL, &config.exec))
		config.tls = load(u, standing_tls(standing));
	if (config.tls)
		s = service_new(&config);
	if (config.tls && !s)
		subject_complain(u, "out of memory");
	tls_unref(config.tls);
	backends_unref(config.forward.backends);
	exec_unref(config.exec);
	return s;
}

/* One that connects. NULL: it is in the log. */
static struct service *make_client(const struct subject *u, const struct service_config *old)
{
	const struct conf_service *c = u->service;
	const struct quota_limits limits = limits_of(u->conf, c);
	struct service_config config = {
		.name = c->name,
		.handler = &handler_connect,
		.idle_timeout_ms = c->idle_timeout * UINT64_C(1000),
		.handshake_timeout_ms = c->handshake_timeout * UINT64_C(1000),
		.mtu = c->mtu,
	};
	char err[CONNECTS_ERROR];
	struct service *s = NULL;

	if (!connects_make(c, subject_dashes(u), old, &config, err)) {
		subject_complain(u, err);
	} else if (loops_elsewhere(u, "to", config.forward.backends) && answer_sources(u, &config.forward.sources)) {
		config.standing = old ? standing_ref(old->standing) : standing_new(&limits);
		s = config.standing ? service_new(&config) : NULL;
		if (!s)
			subject_complain(u, "out of memory");
	}
	uplink_unref(config.uplink);
	standing_unref(config.standing);
	backends_unref(config.forward.backends);
	return s;
}

static bool check_server(const struct subject *u)
{
	char err[CONNECTS_ERROR];

	if (connects_none(u->service, subject_dashes(u), err))
		return true;
	subject_complain(u, err);
	return false;
}

/* One that serves. NULL: it is in the log. */
static struct service *make_server(struct subject *u, const struct service_config *old)
{
	const struct quota_limits limits = limits_of(u->conf, u->service);
	struct standing *standing = old ? standing_ref(old->standing) : standing_new(&limits);
	struct service *s = NULL;
	struct answer_routes routes;

	if (!standing) {
		subject_complain(u, "out of memory");
		return NULL;
	}
	u->crew = standing_crew(standing);
	if (answer_routes_make(u, old, &routes))
		s = make_with(u, standing, old, &routes);
	answer_routes_clear(&routes);
	standing_unref(standing);
	return s;
}

/* NULL: it is in the log. */
static struct service *make(const struct conf *conf, const struct conf_service *c, const struct services *before)
{
	const struct service_config *old = find_before(c->name, before);
	struct subject u = { .conf = conf, .service = c };

	if (conf_connects(c))
		return make_client(&u, old);
	return check_server(&u) ? make_server(&u, old) : NULL;
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
	well = well && loops_none(c, out->service);
	if (!well)
		services_clear(out);
	return well;
}

void services_say_ends(const struct services *before, const struct services *now)
{
	for (unsigned i = 0; i < now->count; i++) {
		const struct service_config *c = &now->service[i]->config;
		const struct service_config *old = find_before(c->name, before);

		if (old && !service_goes_on(old, c))
			log_notice("service %s: its sessions end, as its %s", c->name, c->uplink ?
				   "server, trust or identity is another" : "handler or routes are others");
	}
}

/* ---- files ---- */

/* What a service's files hold now, into config. false: they are no good, which is in the log. */
static bool load_again(const struct subject *u, struct service_config *config)
{
	char err[CONNECTS_ERROR];

	if (!config->uplink) {
		config->tls = load(u, standing_tls(config->standing));
		return config->tls != NULL;
	}
	config->uplink = connects_uplink(u->service, subject_dashes(u), config->uplink, err);
	if (!config->uplink)
		subject_complain(u, err);
	return config->uplink != NULL;
}

bool services_replace(struct services *out, const struct services *before, services_renewal *renew, void *ctx,
		      const char *lost)
{
	bool different = false;

	out->count = 0;
	for (unsigned i = 0; i < before->count; i++) {
		struct service *made = renew(ctx, i, before->service[i]);

		if (!made) {
			log_error("out of memory: %s", lost);
			services_clear(out);
			return false;
		}
		different |= made != before->service[i];
		out->service[out->count++] = made;
	}
	if (!different)
		services_clear(out);
	return different;
}

struct reading {
	const struct conf *conf;
	const bool *changed;
};

static struct service *read_again(void *ctx, unsigned index, struct service *s)
{
	const struct reading *r = ctx;
	const struct subject u = { .conf = r->conf, .service = r->conf->services[index] };
	struct service_config config = s->config;
	struct service *made;

	if (!r->changed[index])
		return service_ref(s);
	if (!load_again(&u, &config)) {
		log_warning("service %s: its files have changed and are no good: what was read before stays in force until "
			    "they change again", config.name);
		return service_ref(s);
	}
	made = service_new(&config);
	tls_unref(config.tls);
	uplink_unref(config.uplink);
	if (made)
		log_notice("service %s: its files have changed: new handshakes use what is in them now", config.name);
	return made;
}

bool services_renew(struct services *out, const struct conf *c, const struct services *before, const bool *changed)
{
	struct reading r = { c, changed };

	return services_replace(out, before, read_again, &r, "what is in changed files is not used; lower --max-sessions");
}

void services_limit(const struct services *s, const struct conf *c)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct quota_limits limits = limits_of(c, c->services[i]);

		quota_set_limits(service_quota(s->service[i]), &limits);
		crew_set_limits(standing_crew(s->service[i]->config.standing), c->services[i]->exec_processes,
				c->services[i]->exec_rate);
	}
}

static const struct expiry *expiry_of(const struct service_config *c)
{
	return c->uplink ? tls_client_expiry(uplink_tls(c->uplink)) : tls_expiry(c->tls);
}

void services_warn(const struct services *s, uint64_t before, uint64_t now)
{
	for (unsigned i = 0; i < s->count; i++)
		expiry_warn(expiry_of(&s->service[i]->config), before, now);
}

uint64_t services_expiry(const struct services *s)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < s->count; i++) {
		uint64_t one = expiry_first(expiry_of(&s->service[i]->config));

		first = one < first ? one : first;
	}
	return first;
}

bool services_local_peers(const struct services *s, uint32_t *peers)
{
	bool any = false;

	*peers = 0;
	for (unsigned i = 0; i < s->count; i++) {
		if (!s->service[i]->config.uplink)
			continue;
		*peers += quota_sessions(service_quota(s->service[i]));
		any = true;
	}
	return any;
}

void services_clear(struct services *s)
{
	for (unsigned i = 0; i < s->count; i++)
		service_unref(s->service[i]);
	s->count = 0;
}

bool services_run_programs(const struct services *s)
{
	for (unsigned i = 0; i < s->count; i++)
		for (unsigned j = 0; j <= s->service[i]->config.route_count; j++)
			if (service_exec(&s->service[i]->config, j))
				return true;
	return false;
}

/* Where one process serves all sessions it is there before the first of them. */
static void start_process(const struct service_config *c, struct exec *x)
{
	uint64_t channel;
	int err = x && exec_shared(x) ? exec_channel(x, clock_mono_ms(), &channel) : 0;

	if (err < 0)
		log_error("service %s: its process is not started: %s; with its first session it is tried again", c->name,
			  strerror(-err));
}

void services_start(const struct services *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct service_config *c = &s->service[i]->config;

		for (unsigned j = 0; j <= c->route_count; j++)
			start_process(c, service_exec(c, j));
	}
}
