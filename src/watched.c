/* SPDX-License-Identifier: BSD-2-Clause */
#include "watched.h"

#include <assert.h>
#include <errno.h>

#include "names.h"
#include "setting.h"

static int watch_list(struct watch *w, const char *list, unsigned owner)
{
	struct names names;
	int rc = names_parse(&names, list);

	for (unsigned i = 0; rc == 0 && i < names.count; i++)
		if (!names_token(names.name[i]))
			rc = watch_file(w, names.name[i], owner);
	names_free(&names);
	return rc == -ENOMEM ? rc : 0; /* what is wrong with the list is found where it is read */
}

static int watch_service(struct watch *w, const struct conf_service *c, unsigned owner)
{
	int rc = 0;

	for (size_t i = 0; i < setting_count && rc == 0; i++) {
		const struct setting *s = &settings[i];
		const char *value = s->where & SETTING_WATCHED ? setting_text(s, c) : NULL;

		if (value)
			rc = s->kind == SETTING_FILES ? watch_list(w, value, owner) : watch_file(w, value, owner);
	}
	return rc;
}

struct watch *watched_files(const struct conf *c, const struct watch_config *config)
{
	struct watch *w = watch_new(config);

	static_assert(CONF_SERVICES_MOST <= WATCH_OWNERS, "a service is an owner");
	for (unsigned i = 0; i < c->service_count && w; i++)
		if (watch_service(w, c->services[i], i) < 0) {
			watch_free(w);
			w = NULL;
		}
	return w;
}
