/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libconfuse reports where it is only while it reads, so every value is taken in a callback, which
 * puts it into the struct conf at once; libconfuse itself keeps nothing that is used.
 */
#include "conf_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <confuse.h>

#include "conf_scan.h"
#include "names.h"
#include "setting.h"
#include "words.h"

#define INCLUDE "include"
#define LISTEN "listen"
#define SERVICE "service"
#define ROUTE "route"

struct reader {
	struct conf *conf;
	const char *path; /* kept by conf */
	char *text;
	size_t len;
	cfg_t *root;
	cfg_t *section;   /* that is read; NULL: none */
	struct conf_service *service; /* made for it */
	cfg_t *route_section; /* the route in it that is read; NULL: none */
	struct conf_route *route;
	unsigned sections;
	int (*include)(void *ctx, const char *what, struct conf_place place);
	void *ctx;
	char *err;
	size_t err_size;
	int rc; /* -errno: err is filled in */
};

static struct reader *reading; /* libconfuse's callbacks have no argument of ours */

__attribute__((format(printf, 3, 4)))
static int fail(struct reader *r, unsigned line, const char *fmt, ...)
{
	const struct conf_place place = { r->path, line };
	char where[CONF_PLACE_TEXT];
	va_list ap;
	int n;

	if (r->rc < 0) /* the first cause is the one to tell */
		return -1;
	n = snprintf(r->err, r->err_size, "%s", conf_place_text(&place, where));
	va_start(ap, fmt);
	if (n >= 0 && (size_t)n < r->err_size)
		vsnprintf(r->err + n, r->err_size - (size_t)n, fmt, ap);
	va_end(ap);
	r->rc = -EINVAL;
	return -1;
}

static int no_memory(struct reader *r)
{
	fail(r, 0, "out of memory");
	r->rc = -ENOMEM;
	return -1;
}

/* ---- what libconfuse calls ---- */

/* The service of the section that is read. NULL: out of memory, which is told. */
static struct conf_service *service_of(struct reader *r, cfg_t *section)
{
	struct conf_place place = { r->path, 0 };

	if (r->section == section)
		return r->service;
	place.line = conf_scan_section(r->text, r->len, r->sections++);
	r->section = section;
	r->service = conf_add_service(r->conf, cfg_title(section), place);
	if (r->service)
		setting_presets(r->service, SETTING_OF_SERVICE);
	else
		no_memory(r);
	return r->service;
}

/* The one that is being read of the sections of that name in another. */
static cfg_t *current_section(cfg_t *in, const char *name)
{
	cfg_opt_t *opt = cfg_getopt(in, name);

	return cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
}

/* The same for a route. While that is read its service's section stays at the line where it begins. */
static struct conf_route *route_of(struct reader *r, cfg_t *section)
{
	cfg_t *outer = current_section(r->root, SERVICE);
	struct conf_service *service = service_of(r, outer);
	struct conf_place place = { r->path, (unsigned)outer->line };

	if (r->route_section == section || !service)
		return service ? r->route : NULL;
	r->route_section = section;
	r->route = conf_add_route(r->conf, service, cfg_title(section), place);
	if (r->route)
		setting_presets(r->route, SETTING_OF_ROUTE);
	else
		no_memory(r);
	return r->route;
}

const char *conf_file_relative(struct conf *c, const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	const char *kept;
	char *joined;

	if (*name == '/' || !slash)
		return conf_keep(c, name);
	if (asprintf(&joined, "%.*s/%s", (int)(slash - path), path, name) < 0)
		return NULL;
	kept = conf_keep(c, joined);
	free(joined);
	return kept;
}

/* The same of each of a list. NULL: out of memory. */
static const char *relative_list(struct conf *c, const char *path, const char *list)
{
	char *joined = NULL, *longer;
	struct names names;
	const char *kept;

	if (names_parse(&names, list) < 0) { /* what is wrong with it is told where it is used */
		names_free(&names);
		return conf_keep(c, list);
	}
	for (unsigned i = 0; i < names.count; i++) {
		const char *name = names.name[i];
		const char *one = names_token(name) ? name : conf_file_relative(c, path, name);

		if (!one || asprintf(&longer, "%s%s%s", joined ? joined : "", joined ? "," : "", one) < 0)
			longer = NULL;
		free(joined);
		joined = longer;
		if (!joined)
			break;
	}
	kept = joined ? conf_keep(c, joined) : NULL;
	free(joined);
	names_free(&names);
	return kept;
}

static const char *keep_value(struct reader *r, const struct setting *s, const char *value)
{
	if (s->kind == SETTING_FILE && *value)
		return conf_file_relative(r->conf, r->path, value);
	if (s->kind == SETTING_FILES && *value)
		return relative_list(r->conf, r->path, value);
	return conf_keep(r->conf, value);
}

/* One of a list: the first, or one more behind those that base has. NULL: out of memory. */
static const char *keep_word(struct reader *r, const struct setting *s, const void *base, bool first, const char *word)
{
	char *joined = words_join(first ? NULL : setting_text(s, base), word);
	const char *kept = joined ? conf_keep(r->conf, joined) : NULL;

	free(joined);
	return kept;
}

static int take_setting(struct reader *r, unsigned line, const struct setting *s, void *base, struct conf_place *said,
			const char *value, bool more)
{
	const char *kept = s->kind == SETTING_WORDS ? keep_word(r, s, base, !more, value) : keep_value(r, s, value);
	char first[CONF_PLACE_TEXT], why[300];

	if (!kept)
		return no_memory(r);
	if (said->line && !more)
		return fail(r, line, "%s is given already at %sleave one of them out", s->name,
			    conf_place_text(said, first));
	if (setting_apply(s, base, kept, why, sizeof(why)) < 0)
		return fail(r, line, "%s: %s", s->name, why);
	*said = (struct conf_place){ r->path, line };
	return 0;
}

static int take_listener(struct reader *r, unsigned line, struct conf_service *service, const char *value)
{
	char why[300];

	if (conf_add_listener(r->conf, service, value, (struct conf_place){ r->path, line }, why, sizeof(why)) < 0)
		return fail(r, line, LISTEN ": %s", why);
	return 0;
}

static enum setting_scope scope_of(const struct reader *r, cfg_t *cfg)
{
	if (cfg == r->root)
		return SETTING_OF_PROCESS;
	return strcmp(cfg_name(cfg), ROUTE) == 0 ? SETTING_OF_ROUTE : SETTING_OF_SERVICE;
}

/* libconfuse keeps a pointer for each value; what it points to does not matter. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reader *r = reading;
	unsigned line = (unsigned)cfg->line;
	enum setting_scope scope = scope_of(r, cfg);
	const struct setting *s = setting_find(opt->name, scope, SETTING_IN_FILE);
	bool more = (opt->flags & CFGF_LIST) && cfg_opt_size(opt) > 1; /* of a list, after its first */
	struct conf_service *service;
	struct conf_route *route;

	*(void **)result = r;
	if (scope == SETTING_OF_PROCESS)
		return take_setting(r, line, s, r->conf, &r->conf->said[s - settings], value, more);
	if (scope == SETTING_OF_ROUTE) {
		route = route_of(r, cfg);
		return route ? take_setting(r, line, s, route, &route->said[s - settings], value, more) : -1;
	}
	service = service_of(r, cfg);
	if (!service)
		return -1;
	if (strcmp(opt->name, LISTEN) == 0)
		return take_listener(r, line, service, value);
	return take_setting(r, line, s, service, &service->said[s - settings], value, more);
}

/* A route is over. */
static int on_route(cfg_t *cfg, cfg_opt_t *opt)
{
	struct reader *r = reading;

	(void)cfg;
	return route_of(r, cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1)) ? 0 : -1; /* one without any setting */
}

/* A section is over. */
static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
	struct reader *r = reading;
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	(void)cfg;
	if (!service_of(r, section)) /* one without any setting */
		return -1;
	r->section = NULL;
	return 0;
}

static int on_include(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reader *r = reading;
	unsigned line = (unsigned)cfg->line;

	(void)opt;
	*(void **)result = r;
	if (!*value)
		return fail(r, line, INCLUDE ": there is nothing in it; name a file or a directory");
	r->rc = r->include(r->ctx, value, (struct conf_place){ r->path, line });
	return r->rc;
}

static bool belongs_to(enum setting_scope scope, const char *name)
{
	if (scope == SETTING_OF_PROCESS && strcmp(name, INCLUDE) == 0)
		return true;
	if (scope == SETTING_OF_SERVICE && (strcmp(name, LISTEN) == 0 || strcmp(name, ROUTE) == 0))
		return true;
	return setting_find(name, scope, SETTING_IN_FILE) != NULL;
}

static void fail_unknown(struct reader *r, cfg_t *cfg, const char *name)
{
	bool in_route = scope_of(r, cfg) == SETTING_OF_ROUTE;
	unsigned line = (unsigned)cfg->line;

	if (belongs_to(SETTING_OF_SERVICE, name))
		fail(r, line, "'%s' belongs into a service%s: move it there", name, in_route ? ", outside of routes" : "");
	else if (belongs_to(SETTING_OF_PROCESS, name))
		fail(r, line, "'%s' belongs outside of services: move it there", name);
	else if (belongs_to(SETTING_OF_ROUTE, name))
		fail(r, line, "'%s' belongs into a route of a service: move it there", name);
	else if (setting_find(name, SETTING_OF_PROCESS, SETTING_ON_LINE))
		fail(r, line, "'%s' is for the command line only: give it there", name);
	else
		fail(r, line, "there is no option '%s'; dtlsd.conf(5) lists them all", name);
}

/* libconfuse says what is wrong, we say what to do. */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	static const struct {
		const char *begins, *advice;
	} known[] = {
		{ "missing equal sign", "write NAME = VALUE" },
		{ "unexpected token", "write NAME = VALUE, with quotes around values that hold blanks or { } ( ) = , "
				      "(several are NAME = \"A,B\", but listen = { \"A\", \"B\" })" },
		{ "unexpected closing brace", "remove it" },
		{ "missing title", "write service NAME { … }, in it route NAME { … }" },
		{ "missing opening brace", "write service NAME { … }, in it route NAME { … }" },
		{ "found duplicate title", "give each service a name of its own, and each route in it" },
		{ "unexpected end", "write NAME = VALUE" },
		{ "premature end", "write NAME = VALUE" },
	};
	struct reader *r = reading;
	const char *advice = "dtlsd.conf(5) shows the form";
	char text[300], name[CONF_NAME_MOST + 1];

	/* the form comes from libconfuse and its translations */
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wformat-nonliteral\"")
	vsnprintf(text, sizeof(text), fmt, ap);
	_Pragma("GCC diagnostic pop")
	if (sscanf(text, "no such option '%64[^']'", name) == 1) {
		fail_unknown(r, cfg, name);
		return;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strncmp(text, known[i].begins, strlen(known[i].begins)) == 0)
			advice = known[i].advice;
	fail(r, (unsigned)cfg->line, "%s; %s", text, advice);
}

/* ---- one text ---- */

/* libconfuse's table of a scope, made from settings, but for what is none and the end, whose place is returned. */
static cfg_opt_t *make_table(cfg_opt_t *out, enum setting_scope scope)
{
	for (size_t i = 0; i < setting_count; i++) {
		const cfg_opt_t one = CFG_PTR_CB(settings[i].name, NULL, CFGF_NODEFAULT, on_value, NULL);
		const cfg_opt_t list = CFG_PTR_LIST_CB(settings[i].name, NULL, CFGF_NODEFAULT, on_value, NULL);

		if (settings[i].scope == scope && (settings[i].where & SETTING_IN_FILE))
			*out++ = settings[i].kind == SETTING_WORDS ? list : one;
	}
	return out;
}

#define TABLE_SIZE (CONF_SETTINGS_MOST + 3) /* with room for two that are no settings, and the end */

static void make_tables(cfg_opt_t *of_process, cfg_opt_t *of_service, cfg_opt_t *of_route)
{
	const cfg_opt_t end = CFG_END();
	const cfg_opt_t listen = CFG_PTR_LIST_CB(LISTEN, NULL, CFGF_NODEFAULT, on_value, NULL);
	const cfg_opt_t include = CFG_PTR_LIST_CB(INCLUDE, NULL, CFGF_NODEFAULT, on_include, NULL);
	const int sections = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
	cfg_opt_t *at;

	at = make_table(of_route, SETTING_OF_ROUTE);
	*at = end;
	at = make_table(of_service, SETTING_OF_SERVICE);
	*at++ = listen;
	*at++ = (cfg_opt_t)CFG_SEC(ROUTE, of_route, sections);
	*at = end;
	at = make_table(of_process, SETTING_OF_PROCESS);
	*at++ = include;
	*at++ = (cfg_opt_t)CFG_SEC(SERVICE, of_service, sections);
	*at = end;
}

static int parse(struct reader *r)
{
	cfg_opt_t of_process[TABLE_SIZE], of_service[TABLE_SIZE], of_route[TABLE_SIZE];
	int rc;

	make_tables(of_process, of_service, of_route);
	r->root = cfg_init(of_process, CFGF_NONE);
	if (!r->root)
		return no_memory(r);
	cfg_set_error_function(r->root, on_error);
	cfg_set_validate_func(r->root, SERVICE, on_section);
	cfg_set_validate_func(r->root, SERVICE "|" ROUTE, on_route);
	reading = r;
	rc = cfg_parse_buf(r->root, r->text);
	reading = NULL;
	if (rc != CFG_SUCCESS && r->rc == 0)
		fail(r, (unsigned)r->root->line, "it cannot be read from here on; dtlsd.conf(5) shows the form");
	cfg_free(r->root);
	return r->rc;
}

int conf_file_parse(struct conf *c, const char *path, const char *text, size_t len,
		    int (*include)(void *ctx, const char *what, struct conf_place place), void *ctx, char *err,
		    size_t err_size)
{
	struct reader r = { .conf = c, .len = len, .include = include, .ctx = ctx, .err = err, .err_size = err_size };
	struct conf_scan bad;

	r.path = conf_keep(c, path);
	r.text = malloc(len + 1);
	if (!r.path || !r.text) {
		r.path = path;
		no_memory(&r);
	} else {
		memcpy(r.text, text, len);
		r.text[len] = '\0';
		if (conf_scan(r.text, len, &bad) < 0)
			fail(&r, bad.line, "%s", bad.wrong);
		else
			parse(&r);
	}
	free(r.text);
	return r.rc;
}
