/* SPDX-License-Identifier: BSD-2-Clause */
#include "services.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "connects.h"
#include "expiry.h"
#include "forward.h"
#include "handler.h"
#include "handlers.h"
#include "log.h"
#include "setting.h"
#include "tls.h"
#include "upstream.h"

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

/* What is made: a service, or one of its routes. */
struct subject {
	const struct conf *conf;
	const struct conf_service *service;
	const struct conf_route *route; /* NULL: the service itself */
	struct crew *crew;              /* of the service */
};

static const struct conf_answer *answer_of(const struct subject *u)
{
	return u->route ? &u->route->answer : &u->service->answer;
}

static const struct conf_place *place_of(const struct subject *u, const char *name)
{
	const struct conf_place *said = u->route ? u->route->said : u->service->said;

	if (name) {
		const struct setting *s = setting_find(name, u->route ? SETTING_OF_ROUTE : SETTING_OF_SERVICE,
						       SETTING_IN_FILE);

		if (said[s - settings].line)
			return &said[s - settings];
	}
	return u->route ? &u->route->place : &u->service->place;
}

/* How its settings are written in messages. */
static const char *dashes_of(const struct subject *u)
{
	return u->conf->file ? "" : "--";
}

/* name: of the setting that it is about, NULL: of all of it. */
static void complain(const struct subject *u, const char *name, const char *what)
{
	char where[CONF_PLACE_TEXT];

	conf_place_text(place_of(u, name), where);
	if (u->route)
		log_error("%sservice %s: route %s: %s", where, u->service->name, u->route->name, what);
	else if (u->conf->file)
		log_error("%sservice %s: %s", where, u->service->name, what);
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
		.dashes = dashes_of(u),
	};
	struct tls *tls;
	char err[512];

	tls = tls_load(&o, shared, err, sizeof(err));
	if (!tls)
		complain(u, NULL, err);
	return tls;
}

/* What settings belong to one handler alone, and make it the handler where none is named. */
static const struct {
	const struct handler *handler;
	const char *setting, *needs, *does, *in_file, *on_line;
} owners[] = {
	{ &handler_forward, "forward", "backends", "forward", "forward = \"127.0.0.1:5683\"", "--forward 127.0.0.1:5683" },
	{ &handler_exec, "command", "a command", "run one", "command = {\"/usr/local/bin/handler\", \"argument\"}",
	  "--command \"/usr/local/bin/handler argument\"" },
};

#define OWNERS (sizeof(owners) / sizeof(owners[0]))

static bool is_given(const struct conf_answer *a, size_t owner)
{
	return owners[owner].handler == &handler_forward ? a->forward != NULL : a->command != NULL;
}

/* h and the settings of handlers do not fit together. false: it is told in out. */
static bool fits(const struct subject *u, const struct handler *h, char *out, size_t size)
{
	const char *dashes = dashes_of(u);

	for (size_t i = 0; i < OWNERS; i++) {
		bool given = is_given(answer_of(u), i), wanted = owners[i].handler == h;

		if (wanted && !given)
			snprintf(out, size, "%shandler: %s needs %s, as: %s", dashes, h->name,
				 owners[i].needs, u->conf->file ? owners[i].in_file : owners[i].on_line);
		else if (given && !wanted)
			snprintf(out, size, "%shandler: %s does not %s: leave it out, or %s%s", dashes, h->name,
				 owners[i].does, dashes, owners[i].setting);
		if (given != wanted)
			return false;
	}
	return true;
}

/* NULL: it is in the log. */
static const struct handler *find_handler(const struct subject *u)
{
	const struct conf_answer *a = answer_of(u);
	const struct handler *h = a->handler ? handler_find(a->handler) : &handler_command;
	char text[300];

	for (size_t i = 0; i < OWNERS && h == &handler_command; i++) /* nobody gives both on purpose */
		if (is_given(a, i))
			h = owners[i].handler;
	if (h == &handler_connect) /* of a route: services do not ask */
		snprintf(text, sizeof(text), "handler: connect is for whole services, which are clients then: give a "
			 "service to = \"HOST:PORT\"");
	else if (h && fits(u, h, text, sizeof(text)))
		return h;
	if (!h)
		snprintf(text, sizeof(text), "%shandler: there is no handler '%.100s'; dtlsd --help lists them",
			 dashes_of(u), a->handler);
	complain(u, "handler", text);
	return NULL;
}

/* Whether sessions could come from there; out of ports is as many sessions as there can be, and no mistake. */
static int try_source(const struct addr *a, char *why, size_t size)
{
	char text[ADDR_TEXT_MAX];
	int err = upstream_try_source(a);

	if (err == 0 || err == -EADDRNOTAVAIL)
		return 0;
	addr_format(a, text);
	*strrchr(text, ':') = '\0';
	if (err == -ENXIO)
		snprintf(why, size, "%s is no address of this machine: correct it, or add it to an interface", text);
	else
		snprintf(why, size, "%s: %s", text, strerror(-err));
	return err;
}

/* false: it is in the log. */
static bool find_sources(const struct subject *u, struct sources *out)
{
	const char *list = answer_of(u)->forward_source;
	char why[300] = "", text[330];
	int err = list ? sources_parse(out, list, why, sizeof(why)) : 0;

	for (unsigned i = 0; err == 0 && i < out->count; i++)
		err = try_source(&out->addr[i], why, sizeof(why));
	if (err == 0)
		return true;
	snprintf(text, sizeof(text), "%sforward-source: %s", dashes_of(u), why);
	complain(u, "forward-source", text);
	return false;
}

/* Nobody else can be there. */
static bool listens_at(const struct conf_service *s, const struct addr *a)
{
	for (unsigned i = 0; i < s->listener_count; i++) {
		const struct addr *l = &s->listeners[i].addr;

		if (addr_equal(l, a) || (addr_is_wildcard(l) && addr_is_loopback(a) && l->family == a->family &&
					 l->port == a->port))
			return true;
	}
	return false;
}

/* A mistyped port, as 5684 for 5683: records would come back as datagrams that are not DTLS. false: it is in the log. */
static bool leads_elsewhere(const struct subject *u, const char *setting, const struct backends *b)
{
	char where[BACKEND_TEXT_MAX], text[BACKEND_TEXT_MAX + 100];

	for (unsigned i = 0; i < backends_count(b); i++) {
		const struct backend_addr *a = backends_addr(b, i);

		if (!a->addr.family || !listens_at(u->service, &a->addr))
			continue;
		snprintf(text, sizeof(text), "%s%s: %s is where the service itself listens: name the server that is "
			 "meant", dashes_of(u), setting, backend_format(a, where));
		complain(u, setting, text);
		return false;
	}
	return true;
}

/* before: what was there in its place, NULL: nothing. false: it is in the log. */
static bool make_forward(const struct subject *u, const struct forward *before, struct forward *out)
{
	const struct conf_answer *a = answer_of(u);
	char why[300], text[320];

	if (!a->forward)
		return true;
	out->proxy = (enum forward_proxy)a->forward_proxy;
	out->move = a->forward_move == 0;
	if (!find_sources(u, &out->sources))
		return false;
	out->backends = backends_parse(a->forward, a->forward_silence * UINT64_C(1000), why, sizeof(why));
	if (!out->backends) {
		snprintf(text, sizeof(text), "%sforward: %s", dashes_of(u), why);
		complain(u, "forward", text);
		return false;
	}
	if (before && before->backends)
		backends_inherit(out->backends, before->backends);
	if (leads_elsewhere(u, "forward", out->backends))
		return true;
	backends_unref(out->backends);
	out->backends = NULL;
	return false;
}

/* The same for the handler exec. What is as it was before goes on, with its process. */
static bool make_exec(const struct subject *u, struct exec *before, struct exec **out)
{
	const struct conf_service *c = u->service;
	const struct exec_options o = {
		.service = c->name,
		.command = answer_of(u)->command,
		.environment = c->exec_environment,
		.directory = c->exec_directory,
		.umask = c->exec_umask,
		.user = c->exec_user,
		.group = c->exec_group,
		.memory_mb = c->exec_memory,
		.cpu_s = c->exec_cpu,
		.files = c->exec_files,
		.tasks = c->exec_tasks,
		.grace_s = c->exec_grace,
		.shared = answer_of(u)->exec_mode == 1,
		.dashes = dashes_of(u),
	};
	char why[512];

	if (!o.command)
		return true;
	*out = exec_new(&o, u->crew, why, sizeof(why));
	if (!*out) {
		complain(u, "command", why);
		return false;
	}
	if (before && exec_same(before, *out)) {
		exec_unref(*out);
		*out = exec_ref(before);
	}
	return true;
}

/* ---- routes ---- */

struct routes {
	struct service_route route[CONF_ROUTES_MOST];
	char place[CONF_ROUTES_MOST][CONF_PLACE_TEXT];
};

/* NULL: there was none. */
static const struct service_route *find_route_before(const struct service_config *before, const char *name)
{
	for (unsigned i = 0; before && i < before->route_count; i++)
		if (strcmp(before->routes[i].name, name) == 0)
			return &before->routes[i];
	return NULL;
}

/* What its handler needs. false: it is in the log. */
static bool make_route(const struct subject *u, const struct service_route *before, struct service_route *r)
{
	r->handler = find_handler(u);
	return r->handler && make_forward(u, before ? &before->forward : NULL, &r->forward) &&
	       make_exec(u, before ? before->exec : NULL, &r->exec);
}

/* All of a service, so that each that is wrong is in the log. The caller lets go of what they hold in any case. */
static bool make_routes(const struct subject *service, const struct service_config *before, struct routes *out)
{
	const struct conf_service *c = service->service;
	bool well = true;

	memset(out->route, 0, sizeof(out->route));
	for (unsigned i = 0; i < c->route_count; i++) {
		const struct conf_route *from = &c->routes[i];
		const struct subject u = { service->conf, c, from, service->crew };
		struct service_route *r = &out->route[i];

		r->name = from->name;
		r->place = conf_place_text(&from->place, out->place[i]);
		r->rule = (struct route_rule){ from->sni, from->alpn, from->identity, from->deny };
		if (from->deny)
			continue;
		well &= make_route(&u, find_route_before(before, r->name), r);
	}
	return well;
}

static void clear_routes(struct routes *r)
{
	for (unsigned i = 0; i < CONF_ROUTES_MOST; i++) {
		backends_unref(r->route[i].forward.backends);
		exec_unref(r->route[i].exec);
	}
}

/* ---- services ---- */

/* With routes that were made for it. NULL: it is in the log. */
static struct service *make_with(const struct subject *u, struct standing *standing, const struct service_config *old,
				 const struct routes *routes)
{
	const struct conf_service *c = u->service;
	struct service_config config = {
		.name = c->name,
		.handler = find_handler(u),
		.standing = standing,
		.idle_timeout_ms = c->idle_timeout * UINT64_C(1000),
		.handshake_timeout_ms = c->handshake_timeout * UINT64_C(1000),
		.mtu = c->mtu,
		.routes = routes->route,
		.route_count = c->route_count,
	};
	struct service *s = NULL;

	if (config.handler && make_forward(u, old ? &old->forward : NULL, &config.forward) &&
	    make_exec(u, old ? old->exec : NULL, &config.exec))
		config.tls = load(u, standing_tls(standing));
	if (config.tls)
		s = service_new(&config);
	if (config.tls && !s)
		complain(u, NULL, "out of memory");
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
	struct connects_error e;
	struct service *s = NULL;

	if (!connects_make(c, dashes_of(u), old, &config, &e)) {
		complain(u, e.setting, e.text);
	} else if (leads_elsewhere(u, "to", config.forward.backends) && find_sources(u, &config.forward.sources)) {
		config.standing = old ? standing_ref(old->standing) : standing_new(&limits);
		s = config.standing ? service_new(&config) : NULL;
		if (!s)
			complain(u, NULL, "out of memory");
	}
	uplink_unref(config.uplink);
	standing_unref(config.standing);
	backends_unref(config.forward.backends);
	return s;
}

static bool check_server(const struct subject *u)
{
	struct connects_error e;

	if (connects_none(u->service, dashes_of(u), &e))
		return true;
	complain(u, e.setting, e.text);
	return false;
}

/* One that serves. NULL: it is in the log. */
static struct service *make_server(struct subject *u, const struct service_config *old)
{
	const struct quota_limits limits = limits_of(u->conf, u->service);
	struct standing *standing = old ? standing_ref(old->standing) : standing_new(&limits);
	struct service *s = NULL;
	struct routes routes;

	if (!standing) {
		complain(u, NULL, "out of memory");
		return NULL;
	}
	u->crew = standing_crew(standing);
	if (make_routes(u, old, &routes))
		s = make_with(u, standing, old, &routes);
	clear_routes(&routes);
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
	if (!well)
		services_clear(out);
	return well;
}

/* ---- files ---- */

/* What a service's files hold now, into config. false: they are no good, which is in the log. */
static bool load_again(const struct subject *u, struct service_config *config)
{
	struct connects_error e;

	if (!config->uplink) {
		config->tls = load(u, standing_tls(config->standing));
		return config->tls != NULL;
	}
	config->uplink = connects_uplink(u->service, dashes_of(u), config->uplink, &e);
	if (!config->uplink)
		complain(u, e.setting, e.text);
	return config->uplink != NULL;
}

/* NULL: out of memory. */
static struct service *renew(const struct conf *c, unsigned index, struct service *s, bool *different)
{
	const struct subject u = { .conf = c, .service = c->services[index] };
	struct service_config config = s->config;
	struct service *made;

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
	*different = true;
	return made;
}

bool services_renew(struct services *out, const struct conf *c, const struct services *before, const bool *changed)
{
	bool different = false;

	out->count = 0;
	for (unsigned i = 0; i < before->count; i++) {
		struct service *s = before->service[i];
		struct service *made = changed[i] ? renew(c, i, s, &different) : service_ref(s);

		if (!made) {
			log_error("out of memory: what is in changed files is not used; lower --max-sessions");
			services_clear(out);
			return false;
		}
		out->service[out->count++] = made;
	}
	if (!different)
		services_clear(out);
	return different;
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

void services_clear(struct services *s)
{
	for (unsigned i = 0; i < s->count; i++)
		service_unref(s->service[i]);
	s->count = 0;
}

/* Where one process serves all sessions it is there before the first of them. */
static void start_process(const struct service_config *c, struct exec *x)
{
	struct exec_channel channel;
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
