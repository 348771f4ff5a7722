/* SPDX-License-Identifier: BSD-2-Clause */
#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "handlers.h"
#include "loops.h"
#include "setting.h"
#include "upstream.h"

/* ---- handlers ---- */

/* What settings belong to one handler alone, and make it the handler where none is named. */
static const struct {
	const struct handler *handler;
	const char *setting, *how, *needs, *does, *in_file, *on_line; /* how: what the others begin with */
} owners[] = {
	{ &handler_forward, "forward", "forward-", "backends", "forward", "forward = \"127.0.0.1:5683\"", "--forward 127.0.0.1:5683" },
	{ &handler_exec, "command", "exec-", "a command", "run one", "command = {\"/usr/local/bin/handler\", \"argument\"}",
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
	const char *dashes = subject_dashes(u);

	for (size_t i = 0; i < OWNERS; i++) {
		bool given = is_given(subject_answer(u), i), wanted = owners[i].handler == h;

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

/* By the subject, or by one of the routes that the settings of a service are for as well. */
static bool is_done(const struct subject *u, size_t owner)
{
	bool done = is_given(subject_answer(u), owner);

	for (unsigned i = 0; !u->route && i < u->service->route_count; i++)
		done |= is_given(&u->service->routes[i].answer, owner);
	return done;
}

/* Whether s says how to do what nobody does: the setting that would have it done. NULL: it is of use. */
static const char *lacks(const struct subject *u, const struct setting *s)
{
	for (size_t i = 0; i < OWNERS; i++)
		if (strncmp(s->name, owners[i].how, strlen(owners[i].how)) == 0)
			return is_done(u, i) ? NULL : owners[i].setting;
	if (strcmp(s->name, "psk-cache") == 0 && !u->service->psk_socket)
		return "psk-socket";
	return strcmp(s->name, "connect-silence") == 0 ? "to" : NULL;
}

/* No setting says how to do what is not done, as where "command" was forgotten. false: it is in the log. */
static bool none_is_idle(const struct subject *u)
{
	const enum setting_scope scope = u->route ? SETTING_OF_ROUTE : SETTING_OF_SERVICE;
	const void *base = u->route ? (const void *)u->route : u->service;
	union {
		struct conf_service service;
		struct conf_route route;
	} preset = { .service = { .name = NULL } };
	const char *dashes = subject_dashes(u);
	char text[200];

	setting_presets(&preset, scope);
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *s = &settings[i];
		const char *lacking = lacks(u, s);

		if (s->scope != scope || setting_equal(s, base, &preset) || !lacking)
			continue;
		snprintf(text, sizeof(text), "%s%s is of no use without %s%s: give it that, or leave this one out",
			 dashes, s->name, dashes, lacking);
		subject_complain(u, text);
		return false;
	}
	return true;
}

const struct handler *answer_handler(const struct subject *u)
{
	const struct conf_answer *a = subject_answer(u);
	const struct handler *h = a->handler ? handler_find(a->handler) : &handler_command;
	char text[300];

	for (size_t i = 0; i < OWNERS && h == &handler_command; i++) /* nobody gives both on purpose */
		if (is_given(a, i))
			h = owners[i].handler;
	if (h == &handler_connect) /* of a route: services do not ask */
		snprintf(text, sizeof(text), "handler: connect is for whole services, which are clients then: give a "
			 "service to = \"HOST:PORT\"");
	else if (h && fits(u, h, text, sizeof(text)))
		return none_is_idle(u) ? h : NULL;
	if (!h)
		snprintf(text, sizeof(text), "%shandler: there is no handler '%.100s'; dtlsd --help lists them",
			 subject_dashes(u), a->handler);
	subject_complain(u, text);
	return NULL;
}

/* ---- where records go ---- */

/* Whether sessions could come from there. */
static int try_source(const struct addr *a, char *why, size_t size)
{
	char text[ADDR_TEXT_MAX];
	int err = upstream_try_source(a);

	if (err == 0)
		return 0;
	addr_format(a, text);
	*strrchr(text, ':') = '\0';
	if (err == -ENXIO)
		snprintf(why, size, "%s is no address of this machine: correct it, or add it to an interface", text);
	else
		snprintf(why, size, "%s: %s", text, strerror(-err));
	return err;
}

bool answer_sources(const struct subject *u, struct sources *out)
{
	const char *list = subject_answer(u)->forward_source;
	char why[300] = "", text[330];
	int err = list ? sources_parse(out, list, why, sizeof(why)) : 0;

	for (unsigned i = 0; err == 0 && i < out->count; i++)
		err = try_source(&out->addr[i], why, sizeof(why));
	if (err == 0)
		return true;
	snprintf(text, sizeof(text), "%sforward-source: %s", subject_dashes(u), why);
	subject_complain(u, text);
	return false;
}

bool answer_forward(const struct subject *u, const struct forward *before, struct forward *out)
{
	const struct conf_answer *a = subject_answer(u);
	char why[300], text[320];

	if (!a->forward)
		return true;
	out->proxy = (enum forward_proxy)a->forward_proxy;
	out->move = a->forward_move == 0;
	if (!answer_sources(u, &out->sources))
		return false;
	out->backends = backends_parse(a->forward, a->forward_silence * UINT64_C(1000), why, sizeof(why));
	if (!out->backends) {
		snprintf(text, sizeof(text), "%sforward: %s", subject_dashes(u), why);
		subject_complain(u, text);
		return false;
	}
	if (before && before->backends)
		backends_inherit(out->backends, before->backends);
	if (loops_elsewhere(u, "forward", out->backends))
		return true;
	backends_unref(out->backends);
	out->backends = NULL;
	return false;
}

bool answer_exec(const struct subject *u, struct exec *before, struct exec **out)
{
	const struct conf_service *c = u->service;
	const struct exec_options o = {
		.service = c->name,
		.command = subject_answer(u)->command,
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
		.shared = subject_answer(u)->exec_mode == 1,
		.dashes = subject_dashes(u),
	};
	char why[512];

	if (!o.command)
		return true;
	*out = exec_new(&o, u->crew, why, sizeof(why));
	if (!*out) {
		subject_complain(u, why);
		return false;
	}
	if (before && exec_same(before, *out)) {
		exec_unref(*out);
		*out = exec_ref(before);
	}
	return true;
}

/* ---- routes ---- */

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
	r->handler = answer_handler(u);
	return r->handler && answer_forward(u, before ? &before->forward : NULL, &r->forward) &&
	       answer_exec(u, before ? before->exec : NULL, &r->exec);
}

bool answer_routes_make(const struct subject *service, const struct service_config *before, struct answer_routes *out)
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

void answer_routes_clear(struct answer_routes *r)
{
	for (unsigned i = 0; i < CONF_ROUTES_MOST; i++) {
		backends_unref(r->route[i].forward.backends);
		exec_unref(r->route[i].exec);
	}
}
