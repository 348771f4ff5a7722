/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf: every text is read or refused with its place and cause; what was read lies within the bounds of the manual
 * and differs from itself in nothing; whatever came before, the next text is read as if it was the first.
 * The input is the text.
 */
#include <assert.h>
#include <stdlib.h>

#include "conf_check.h"
#include "conf_diff.h"
#include "conf_file.h"
#include "fuzz.h"
#include "setting.h"

#define PATH "fuzz.conf"

static int on_include(void *ctx, const char *what, struct conf_place place)
{
	unsigned *includes = ctx;

	assert(what[0] && place.line > 0 && strcmp(place.file, PATH) == 0);
	++*includes;
	return 0;
}

static void no_difference(void *ctx, enum conf_difference what, const char *line)
{
	(void)ctx;
	(void)what;
	(void)line;
	assert(!"a configuration differs from itself");
}

static void within_bounds(const void *base, enum setting_scope scope, const struct conf_place *said)
{
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *s = &settings[i];
		uint32_t value;

		if (said[i].line)
			assert(s->scope == scope && (s->where & SETTING_IN_FILE));
		if (s->scope != scope || s->kind != SETTING_NUMBER)
			continue;
		memcpy(&value, (const char *)base + s->offset, sizeof(value));
		assert(value >= s->least && value <= s->most);
	}
}

static void check_conf(const struct conf *c, unsigned lines)
{
	char err[700] = "";

	within_bounds(c, SETTING_OF_PROCESS, c->said);
	for (unsigned i = 0; i < c->service_count; i++) {
		const struct conf_service *s = c->services[i];

		within_bounds(s, SETTING_OF_SERVICE, s->said);
		assert(s->place.line > 0 && s->place.line <= lines);
		for (unsigned j = 0; j < s->listener_count; j++)
			assert(s->listeners[j].place.line >= s->place.line && s->listeners[j].place.line <= lines);
	}
	if (conf_check(c, err, sizeof(err)) < 0)
		assert(strncmp(err, PATH ":", strlen(PATH ":")) == 0);
	conf_diff(c, c, no_difference, NULL);
}

static struct conf *new_conf(void)
{
	struct conf *c = conf_new();

	assert(c);
	setting_presets(c, SETTING_OF_PROCESS);
	c->file = PATH;
	return c;
}

static void check_afresh(void)
{
	static const char text[] = "# a comment\nworkers = 3\nservice x { listen = \"*\" }\n";
	struct conf *c = new_conf();
	unsigned includes = 0;
	char err[700];

	assert(conf_file_parse(c, PATH, text, strlen(text), on_include, &includes, err, sizeof(err)) == 0);
	assert(c->workers == 3 && c->service_count == 1 && c->services[0]->listener_count == 2 && !includes);
	assert(c->services[0]->place.line == 3);
	conf_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size), err[700] = "";
	struct conf *c = new_conf();
	unsigned includes = 0, lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	if (conf_file_parse(c, PATH, text, size, on_include, &includes, err, sizeof(err)) == 0)
		check_conf(c, lines);
	else
		assert(strncmp(err, PATH ":", strlen(PATH ":")) == 0 && memchr(err, '\0', sizeof(err)));
	conf_free(c);
	free(text);
	check_afresh();
	return 0;
}
