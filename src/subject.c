/* SPDX-License-Identifier: BSD-2-Clause */
#include "subject.h"

#include "log.h"
#include "setting.h"

const struct conf_answer *subject_answer(const struct subject *u)
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

const char *subject_dashes(const struct subject *u)
{
	return u->conf->file ? "" : "--";
}

void subject_complain(const struct subject *u, const char *name, const char *what)
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
