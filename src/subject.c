/* SPDX-License-Identifier: BSD-2-Clause */
#include "subject.h"

#include <string.h>

#include "log.h"
#include "names.h"
#include "setting.h"

const struct conf_answer *subject_answer(const struct subject *u)
{
	return u->route ? &u->route->answer : &u->service->answer;
}

static bool begins(const char *what, const char *with)
{
	size_t len = strlen(with);

	return strncmp(what, with, len) == 0 && (what[len] == ':' || what[len] == ' ');
}

/* A sentence begins with the name of the setting that it is about, or with that of a file of it. */
static bool is_about(const char *what, const struct setting *s, const void *base)
{
	bool file = s->kind == SETTING_FILE || s->kind == SETTING_FILES, found = begins(what, s->name);
	struct names names = { .count = 0 };

	if (!found && file)
		names_parse(&names, setting_text(s, base));
	for (unsigned i = 0; i < names.count && !found; i++)
		found = begins(what, names.name[i]);
	names_free(&names);
	return found;
}

/* NULL: none of the settings that are given there. */
static const struct conf_place *find_place(const char *what, enum setting_scope scope, const void *base,
					   const struct conf_place *said)
{
	for (size_t i = 0; i < setting_count; i++)
		if (settings[i].scope == scope && said[i].line && is_about(what, &settings[i], base))
			return &said[i];
	return NULL;
}

/* A route's processes have settings of its service, too. */
static const struct conf_place *place_of(const struct subject *u, const char *what)
{
	const struct conf_route *r = u->route;
	const struct conf_service *c = u->service;
	const struct conf_place *place = r ? find_place(what, SETTING_OF_ROUTE, r, r->said) : NULL;

	if (!place && c)
		place = find_place(what, SETTING_OF_SERVICE, c, c->said);
	if (!place && !c)
		place = find_place(what, SETTING_OF_PROCESS, u->conf, u->conf->said);
	return place ? place : r ? &r->place : c ? &c->place : NULL;
}

const char *subject_dashes(const struct subject *u)
{
	return u->conf->file ? "" : "--";
}

void subject_complain(const struct subject *u, const char *what)
{
	const struct conf_place *place = place_of(u, what);
	char where[CONF_PLACE_TEXT] = "";

	if (place)
		conf_place_text(place, where);
	if (u->route)
		log_error("%sservice %s: route %s: %s", where, u->service->name, u->route->name, what);
	else if (u->conf->file && u->service)
		log_error("%sservice %s: %s", where, u->service->name, what);
	else
		log_error("%s%s", where, what);
}
